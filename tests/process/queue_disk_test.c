/* disk_reserve: what is refused and what waits, and what does not. */

#include "queue_world.h"

#define TOO_MUCH ", \"disk_reserve\": \"1000000g\""
#define NONE ", \"disk_reserve\": 0"

static void
reserve(const char *config)
{
	world.play.config = config;
	world_reload();
}

/* With the numbers, and on record; what was taken in is answered as ever. */
START_TEST(test_refused)
{
	char run[RUNID_LEN + 1];
	const struct msg *m;

	submit_run("a", run);
	reserve(TOO_MUCH);
	ck_assert_int_eq(submit("b", ""), MSG_TYPE_error);
	refused("storage", "free, and disk_reserve is 1000000g");
	refused("storage", world_dir());
	m = heard(&world.audit, MSG_TYPE_rec_refused, 1);
	ck_assert_str_eq(m->u.rec_refused.code, "storage");
	ck_assert_int_eq(m->u.rec_refused.peer_uid, 1000);
	ck_assert_int_eq(m->u.rec_refused.peer_pid, 77);
	ck_assert_int_eq(submit("a", ""), MSG_TYPE_run_accepted);
	m = &world.frontend.last[MSG_TYPE_run_accepted];
	ck_assert_str_eq(m->u.run_accepted.run, run);
	ck_assert(m->u.run_accepted.again);
	reserve(NONE);
	ck_assert_int_eq(submit("b", ""), MSG_TYPE_run_accepted);
}
END_TEST

/* The run that goes on is looked after to its end; the next one waits. */
START_TEST(test_waits)
{
	char run[RUNID_LEN + 1], next[RUNID_LEN + 1];

	world.play.config = ", \"capacity\": {\"memory\": \"8g\", \"cpus\": 4,"
	                    " \"pids\": 4096, \"runs\": 1}";
	world_reload();
	submit_run("a", run);
	until_state(run, "RUNNING");
	submit_run("b", next);
	reserve(TOO_MUCH);
	tool_ends(run, 5);
	until_state(run, "DONE");
	ck_assert_str_eq(show(run)->class, "ok");
	quiet();
	ck_assert_str_eq(show(next)->state, "QUEUED");
	ck_assert_ptr_nonnull(
	    strstr(show(next)->why, "free, and disk_reserve is 1000000g"));
	/* It can be stopped without any room. */
	stop_run(next);
	until_state(next, "DONE");
	UNTIL(records_of(next, "DONE") == 1);
}
END_TEST

/* Over a restart it waits on, and goes on when there is room. */
START_TEST(test_goes_on)
{
	char run[RUNID_LEN + 1];

	world.play.phase = NULL;
	submit_run("a", run);
	until_state(run, "GATED");
	world_kill();
	container_is(run, "absent");
	world.play.config = TOO_MUCH;
	world.play.phase = "new";
	world_spawn();
	until_state(run, "QUEUED");
	quiet();
	ck_assert_str_eq(show(run)->state, "QUEUED");
	reserve(NONE);
	until_state(run, "RUNNING");
}
END_TEST

/* runs is told how much it is to leave. */
START_TEST(test_handed_on)
{
	char run[RUNID_LEN + 1];

	reserve(", \"disk_reserve\": \"1k\"");
	submit_run("a", run);
	until_state(run, "RUNNING");
	ck_assert_int_eq(
	    world.runs.last[MSG_TYPE_job_start].u.job_start.disk_reserve, 1024);
}
END_TEST

static int
tests(void)
{
	Suite *s = suite_create("queue_disk");
	TCase *tc = tcase_create("disk");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, world_start, world_stop);
	tcase_add_test(tc, test_refused);
	tcase_add_test(tc, test_waits);
	tcase_add_test(tc, test_goes_on);
	tcase_add_test(tc, test_handed_on);
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
