/* How a run is started: what it has to find closed, and starts that fail. */

#include <stdio.h>

#include "dispatchd/queue_limit.h"
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

/* --- starts that fail ------------------------------------------------------
 */

static void
until_waits(const char *run, const char *part)
{
	UNTIL(strstr(show(run)->why, part) != NULL);
	ck_assert_str_eq(show(run)->state, "QUEUED");
}

/* It is left alone for a while, longer each time, and others go before it. */
START_TEST(test_pause)
{
	char a[RUNID_LEN + 1], b[RUNID_LEN + 1];
	int64_t since;

	world.play.start_error = "refused";
	submit_run("a", a);
	until_waits(a, "start 1 of at most 20 failed");
	since = clock_boot_ms();
	until_waits(a, "start 2 of at most 20 failed");
	ck_assert_int_ge(clock_boot_ms() - since, QUEUE_PAUSE_MS / 2);
	since = clock_boot_ms();
	world.play.start_error = NULL;
	submit_run("b", b);
	until_state(b, "RUNNING");
	ck_assert_str_eq(show(a)->state, "QUEUED");
	ck_assert_uint_eq(creates_of(a), 2);
	until_state(a, "RUNNING");
	ck_assert_int_ge(clock_boot_ms() - since, 3 * QUEUE_PAUSE_MS / 2);
	ck_assert_uint_eq(creates_of(a), 3);
}
END_TEST

/* A run that has gone back n times, in another boot. */
static void
went_back(int n, char run[RUNID_LEN + 1])
{
	char dir[128], why[QUEUE_STORE_WHY_MAX + 1];
	enum queue_store_error error;
	struct queue_store *s;
	struct queue_time now;
	struct queue_row row;

	world_kill();
	world.play.mute = MSG_TYPE_engine_list;
	world_spawn();
	submit_run("a", run);
	world_kill();
	world.play.mute = 0;
	snprintf(dir, sizeof(dir), "%s/queue", world_dir());
	s = queue_store_open(dir, &error, why);
	ck_assert_msg(s != NULL, "%s", why);
	ck_assert_int_eq(queue_store_get(s, run, &row), 0);
	queue_time_now(&now);
	now.boot_id[0] = now.boot_id[0] == '0' ? '1' : '0';
	while (n-- > 0) {
		strlcpy(row.network, "10.201.0.0/29", sizeof(row.network));
		ck_assert_int_eq(
		    queue_store_step(s, &row, STATE_ADMITTED, "e", &now), 0);
		ck_assert_int_eq(
		    queue_store_step(s, &row, STATE_QUEUED, "e", &now), 0);
	}
	queue_store_close(&s);
}

/* What fails so often is given up, with the reason that it had last. */
START_TEST(test_given_up)
{
	const struct msg_show_answer *s;
	char run[RUNID_LEN + 1];

	went_back(18 + _i, run);
	world.play.start_error = "refused";
	world_spawn();
	if (_i == 0) {
		until_waits(run, "start 19 of at most 20 failed");
		return;
	}
	until_state(run, "DONE");
	s = show(run);
	ck_assert_str_eq(s->class, "lost_infra");
	ck_assert_str_eq(s->reason,
	    "given up behind 20 starts that failed: so it is played");
	ck_assert_uint_eq(world.engine.count[MSG_TYPE_engine_start], 1);
	ck_assert_uint_eq(world.engine.count[MSG_TYPE_engine_remove], 1);
}
END_TEST

/* Somebody else has the lowest network: the next one is taken, and stays so. */
START_TEST(test_subnet)
{
	char run[RUNID_LEN + 1];
	const struct msg *m;

	world.play.subnet = "10.201.0.0/29";
	submit_run("a", run);
	until_state(run, "RUNNING");
	m = heard(&world.engine, MSG_TYPE_engine_create, 2);
	ck_assert_str_eq(m->u.engine_create.subnet, "10.201.0.8/29");
	ck_assert_str_eq(siblings(2)->v[0], "10.201.0.16/29");
	tool_ends(run, 0);
	until_state(run, "DONE");
	submit_run("b", run);
	until_state(run, "RUNNING");
	ck_assert_uint_eq(world.engine.count[MSG_TYPE_engine_create], 3);
	m = heard(&world.engine, MSG_TYPE_engine_create, 3);
	ck_assert_str_eq(m->u.engine_create.subnet, "10.201.0.8/29");
}
END_TEST

/* There is no other: it waits, and nothing of it is lost. */
START_TEST(test_only_subnet)
{
	char run[RUNID_LEN + 1];

	world.play.pool = world.play.subnet = "10.201.0.0/29";
	capacity(1);
	submit_run("a", run);
	heard(&world.engine, MSG_TYPE_engine_create, 1);
	until_waits(run, "start 1 of at most 20 failed");
	quiet();
	quiet();
	ck_assert_uint_eq(world.engine.count[MSG_TYPE_engine_create], 1);
	ck_assert_str_eq(show(run)->state, "QUEUED");
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
	tcase_add_test(tc, test_pause);
	tcase_add_loop_test(tc, test_given_up, 0, 2);
	tcase_add_test(tc, test_subnet);
	tcase_add_test(tc, test_only_subnet);
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
