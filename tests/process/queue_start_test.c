/* What a run is told that it has to find closed: the networks of others. */

#include <stdio.h>

#include "queue_world.h"

#define MANY 11 /* runs at a time */
#define SIBLINGS_MAX 8 /* queue.h */

static void
capacity(int runs)
{
	static char config[256];

	snprintf(config, sizeof(config),
	    ", \"capacity\": {\"memory\": \"64g\", \"cpus\": 64,"
	    " \"pids\": 4096, \"runs\": %d}",
	    runs);
	world.play.config = config;
	world_reload();
}

static void
start_next(const char *request)
{
	char run[RUNID_LEN + 1];

	submit_run(request, run);
	until_state(run, "RUNNING");
}

static const struct msg_list *
siblings(size_t n)
{
	return &heard(&world.runs, MSG_TYPE_job_start, n)->u.job_start.siblings;
}

/* Alone, it tries the network that the next one would get. */
START_TEST(test_alone)
{
	start_next("a");
	ck_assert_uint_eq(siblings(1)->n, 1);
	ck_assert_str_eq(siblings(1)->v[0], "10.201.0.8/29");
	ck_assert_str_eq(
	    world.runs.last[MSG_TYPE_job_start].u.job_start.gateway,
	    "10.201.0.1");
}
END_TEST

/* Else those that there are, as many as are tried at most. */
START_TEST(test_others)
{
	char id[8];
	size_t i;

	capacity(MANY);
	for (i = 0; i < MANY; i++) {
		snprintf(id, sizeof(id), "s%zu", i);
		start_next(id);
		if (i == 0)
			continue;
		ck_assert_uint_eq(
		    siblings(i + 1)->n, i < SIBLINGS_MAX ? i : SIBLINGS_MAX);
		ck_assert_str_eq(siblings(i + 1)->v[0], "10.201.0.0/29");
	}
	ck_assert_str_eq(siblings(MANY)->v[7], "10.201.0.56/29");
}
END_TEST

/* A pool of one network has no other: then there is none to be tried. */
START_TEST(test_no_other)
{
	world.play.pool = "10.201.0.0/29";
	capacity(1);
	start_next("a");
	ck_assert_uint_eq(siblings(1)->n, 0);
}
END_TEST

/* An image that is away is waited for: what was accepted is not lost by it. */
START_TEST(test_image_absent)
{
	char run[RUNID_LEN + 1];

	world.play.create_error = "image_absent";
	submit_run("a", run);
	heard(&world.engine, MSG_TYPE_engine_create, 2);
	ck_assert_str_eq(show(run)->class, "");
	world.play.create_error = NULL;
	until_state(run, "RUNNING");
	ck_assert_uint_eq(world.engine.count[MSG_TYPE_engine_remove], 0);
}
END_TEST

/* egressd was killed in the midst of a proof: that is no way out. */
START_TEST(test_proxy_away)
{
	char run[RUNID_LEN + 1];

	world.play.proof_ok = false;
	world.play.proof_text = "violation: 10.201.0.1 port 3128: ECONNREFUSED";
	submit_run("a", run);
	heard(&world.engine, MSG_TYPE_engine_remove, 1);
	world.play.proof_ok = true;
	world.play.proof_text = NULL;
	until_state(run, "RUNNING");
}
END_TEST

/* Whatever the proxy does: what is open is a violation, and final. */
START_TEST(test_open)
{
	char run[RUNID_LEN + 1];

	world.play.proof_ok = false;
	world.play.direct_text = "violation: 192.0.2.1 port 443: connected";
	if (_i == 1)
		world.play.proof_text =
		    "violation: 10.201.0.1 port 3128: ECONNREFUSED";
	submit_run("a", run);
	until_state(run, "DONE");
	ck_assert_str_eq(show(run)->class, "boundary_violation");
}
END_TEST

/*
 * PID 1 left before it was released. What it printed goes with its container,
 * so it is asked for first, and the run's step back tells it.
 */
START_TEST(test_words)
{
	char run[RUNID_LEN + 1];

	world.play.words = _i == 0 ? "agent-cli: no \\x1b way" : NULL;
	world.play.exit_code = 78;
	world.play.phase = NULL;
	submit_run("a", run);
	until_state(run, "GATED");
	world.play.phase = "new";
	container_is(run, "exited");
	ck_assert_str_eq(heard(&world.engine, MSG_TYPE_engine_stderr, 1)
	                     ->u.engine_stderr.container,
	    "0123456789ab");
	ck_assert_uint_eq(world.engine.count[MSG_TYPE_engine_remove], 0);
	ck_assert_str_eq(evidence_of(run, "QUEUED"),
	    _i == 0 ? "its container ended before it was released: "
	              "agent-cli: no \\x1b way"
	            : "its container ended before it was released");
	until_state(run, "RUNNING");
}
END_TEST

/* Of what a tool may have printed into it nothing is made a reason. */
START_TEST(test_no_words)
{
	struct msg m = { .type = MSG_TYPE_job_link };
	char run[RUNID_LEN + 1];

	submit_run("a", run);
	until_state(run, "RUNNING");
	container_is(run, "exited");
	m.u.job_link.run = run;
	m.u.job_link.phase = "none";
	say(&world.runs, &m);
	until_state(run, "DONE");
	ck_assert_str_eq(show(run)->class, "lost_infra");
	ck_assert_uint_eq(world.engine.count[MSG_TYPE_engine_stderr], 0);
}
END_TEST

static int
tests(void)
{
	Suite *s = suite_create("queue_start");
	TCase *tc = tcase_create("start");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, world_start, world_stop);
	tcase_add_test(tc, test_alone);
	tcase_add_test(tc, test_others);
	tcase_add_test(tc, test_no_other);
	tcase_add_test(tc, test_image_absent);
	tcase_add_test(tc, test_proxy_away);
	tcase_add_loop_test(tc, test_words, 0, 2);
	tcase_add_test(tc, test_no_words);
	tcase_add_loop_test(tc, test_open, 0, 2);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}

int
main(int argc, char **argv)
{
	return world_main(argc, argv, tests);
}
