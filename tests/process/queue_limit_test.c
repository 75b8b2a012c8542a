/* When a run that goes on is ended: its deadline, and that nothing came. */

#include "queue_world.h"

static void
times(const char *text)
{
	world.play.times = text;
	world_reload();
}

static const char *
stopped_as(const char *run)
{
	heard(&world.runs, MSG_TYPE_job_stop, 1);
	tool_ends(run, 5);
	until_state(run, "DONE");
	return show(run)->class;
}

/* Not on an answer that did not come: the next one may tell of a tunnel. */
START_TEST(test_not_told)
{
	char run[RUNID_LEN + 1];

	times(
	    "\"deadline\": \"30m\", \"hung_start\": \"1s\", \"idle\": \"2s\"");
	world.play.status_error = "draining";
	submit_run("a", run);
	until_state(run, "RUNNING");
	heard(&world.egressd, MSG_TYPE_run_status, 5);
	quiet();
	ck_assert_str_eq(show(run)->state, "RUNNING");
	ck_assert_uint_eq(world.runs.count[MSG_TYPE_job_stop], 0);
	world.play.status_error = NULL;
	world.play.tunnel_quiet_ms = -1;
	ck_assert_str_eq(stopped_as(run), "hung_start");
}
END_TEST

/* Nor while nobody is there who could tell; the deadline is not asked for. */
START_TEST(test_away)
{
	char run[RUNID_LEN + 1];

	times("\"deadline\": \"6s\", \"hung_start\": \"1s\", \"idle\": \"1s\"");
	submit_run("a", run);
	until_state(run, "RUNNING");
	egressd_leaves();
	quiet();
	quiet();
	ck_assert_uint_eq(world.runs.count[MSG_TYPE_job_stop], 0);
	heard(&world.runs, MSG_TYPE_job_stop, 1);
	egressd_returns();
	ck_assert_str_eq(stopped_as(run), "deadline");
}
END_TEST

/* The last byte of a tunnel does not make later output older. */
START_TEST(test_later_output)
{
	struct msg m = { .type = MSG_TYPE_job_output };
	char run[RUNID_LEN + 1];
	size_t asked;

	times(
	    "\"deadline\": \"30m\", \"hung_start\": \"4s\", \"idle\": \"4s\"");
	world.play.status_error = "draining";
	submit_run("a", run);
	until_state(run, "RUNNING");
	m.u.job_output.run = run;
	m.u.job_output.bytes = m.u.job_output.kept = 1;
	say(&world.runs, &m);
	world.play.status_error = NULL;
	world.play.tunnel_bytes = 1;
	world.play.tunnel_quiet_ms = 3600 * 1000;
	asked = world.egressd.count[MSG_TYPE_run_status];
	heard(&world.egressd, MSG_TYPE_run_status, asked + 1);
	quiet();
	ck_assert_uint_eq(world.runs.count[MSG_TYPE_job_stop], 0);
	ck_assert_str_eq(stopped_as(run), "idle");
}
END_TEST

/* "released" was lost with us: its deadline counts from its commit. */
START_TEST(test_deadline_behind_restart)
{
	char run[RUNID_LEN + 1];

	times("\"deadline\": \"3s\", \"hung_start\": \"2s\", \"idle\": \"2s\"");
	world.play.begin = false;
	submit_run("a", run);
	until_state(run, "COMMITTED");
	world_kill();
	world.play.phase = "tool";
	world.play.status_error = "draining";
	world_spawn();
	until_state(run, "RUNNING");
	ck_assert_str_eq(stopped_as(run), "deadline");
}
END_TEST

static int
tests(void)
{
	Suite *s = suite_create("queue_limit");
	TCase *tc = tcase_create("limit");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, world_start, world_stop);
	tcase_add_test(tc, test_not_told);
	tcase_add_test(tc, test_away);
	tcase_add_test(tc, test_later_output);
	tcase_add_test(tc, test_deadline_behind_restart);
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
