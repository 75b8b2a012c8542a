/* How what there is of a run is taken down, and in which order. */

#include "queue_world.h"

static const struct msg_list *
listed(size_t n)
{
	return &heard(&world.egressd, MSG_TYPE_runs_sync, n)->u.runs_sync.runs;
}

/* The engine is stuck: who is taken down has no way out all the same. */
START_TEST(test_engine_stuck)
{
	char run[RUNID_LEN + 1];

	world.play.phase = NULL;
	world.play.mute = MSG_TYPE_engine_remove;
	submit_run("a", run);
	until_state(run, "GATED");
	stop_run(run);
	heard(&world.engine, MSG_TYPE_engine_remove, 1);
	ck_assert_uint_eq(world.egressd.count[MSG_TYPE_run_status], 1);
	ck_assert_uint_eq(world.egressd.count[MSG_TYPE_run_close], 1);
	ck_assert_str_eq(show(run)->state, "GATED");
}
END_TEST

/* Nor has a tool that PID 1 does not end, when it had its time to. */
START_TEST(test_kill_stuck)
{
	char run[RUNID_LEN + 1];

	world.play.mute = MSG_TYPE_engine_kill;
	submit_run("a", run);
	until_state(run, "RUNNING");
	stop_run(run);
	quiet();
	ck_assert_uint_eq(world.egressd.count[MSG_TYPE_run_close], 0);
	heard(&world.egressd, MSG_TYPE_run_close, 1);
	ck_assert_uint_eq(world.engine.count[MSG_TYPE_engine_kill], 0);
	ck_assert_str_eq(show(run)->state, "RUNNING");
	heard(&world.engine, MSG_TYPE_engine_kill, 1);
}
END_TEST

/* A harvest needs none, and it is closed once. */
START_TEST(test_harvest)
{
	char run[RUNID_LEN + 1];

	submit_run("a", run);
	until_state(run, "RUNNING");
	ck_assert_uint_eq(world.egressd.count[MSG_TYPE_run_close], 0);
	tool_exits(run);
	heard(&world.egressd, MSG_TYPE_run_close, 1);
	ck_assert_str_eq(show(run)->state, "EXITED");
	/* An egressd that comes back is not asked to open it again. */
	peer_free(&world.egressd.p);
	ck_assert_uint_eq(listed(2)->n, 0);
	quiet();
	ck_assert_uint_eq(world.egressd.count[MSG_TYPE_run_open], 1);
	tool_ends(run, 5);
	until_state(run, "DONE");
	ck_assert_str_eq(show(run)->class, "ok");
	ck_assert_uint_eq(world.egressd.count[MSG_TYPE_run_close], 1);
}
END_TEST

/* egressd is away: the container goes, and the rest when it is back. */
START_TEST(test_egressd_away)
{
	char run[RUNID_LEN + 1];
	size_t syncs;

	submit_run("a", run);
	until_state(run, "RUNNING");
	syncs = world.egressd.count[MSG_TYPE_runs_sync];
	egressd_leaves();
	tool_ends(run, 5);
	heard(&world.engine, MSG_TYPE_engine_remove, 1);
	quiet();
	ck_assert_str_eq(show(run)->state, "HARVESTED");
	ck_assert_uint_eq(world.runs.count[MSG_TYPE_job_close], 0);
	egressd_returns();
	ck_assert_uint_eq(listed(syncs + 1)->n, 0);
	heard(&world.egressd, MSG_TYPE_run_close, 1);
	until_state(run, "DONE");
	ck_assert_str_eq(show(run)->class, "ok");
}
END_TEST

/* The proof's own denial is no deed of the tool's, in either sum. */
START_TEST(test_denied)
{
	const struct msg_show_answer *s;
	char run[RUNID_LEN + 1];

	world.play.status_error = NULL;
	world.play.proof_denials = _i == 0 ? "1" : "3";
	world.play.denied = 7;
	whole_run("a", 0, run);
	s = show(run);
	ck_assert_int_eq(s->denied, 6);
	ck_assert_uint_eq(s->denials.n, _i);
	if (_i == 1)
		ck_assert_str_eq(s->denials.v[0], "2");
}
END_TEST

static int
tests(void)
{
	Suite *s = suite_create("queue_end");
	TCase *tc = tcase_create("end");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, world_start, world_stop);
	tcase_add_test(tc, test_engine_stuck);
	tcase_add_test(tc, test_kill_stuck);
	tcase_add_test(tc, test_harvest);
	tcase_add_test(tc, test_egressd_away);
	tcase_add_loop_test(tc, test_denied, 0, 2);
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
