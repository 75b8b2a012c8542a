/* What egressd answers, and what becomes of a run then. */

#include "queue_world.h"

/* No packet rules: it ends before there is anything of it. */
START_TEST(test_not_enforced)
{
	char run[RUNID_LEN + 1];
	const struct msg_show_answer *s;

	world.play.enforced = false;
	submit_run("a", run);
	until_state(run, "DONE");
	s = show(run);
	ck_assert_str_eq(s->class, "boundary_violation");
	ck_assert_ptr_nonnull(strstr(s->reason, "no packet rules"));
	ck_assert_ptr_nonnull(strstr(s->reason, "set nft in egressd.conf"));
	ck_assert_uint_eq(world.engine.count[MSG_TYPE_engine_create], 0);
	ck_assert_uint_eq(world.runs.count[MSG_TYPE_job_start], 0);
	world.play.enforced = true;
	submit_run("b", run);
	until_state(run, "RUNNING");
}
END_TEST

/* An egressd that comes back without them ends what runs already. */
START_TEST(test_not_enforced_later)
{
	char run[RUNID_LEN + 1];

	submit_run("a", run);
	until_state(run, "RUNNING");
	world.play.enforced = false;
	peer_free(&world.egressd.p);
	until_state(run, "DONE");
	ck_assert_str_eq(show(run)->class, "boundary_violation");
	ck_assert_uint_eq(world.engine.count[MSG_TYPE_engine_remove], 1);
}
END_TEST

/* One that comes back with them goes on with it. */
START_TEST(test_comes_back)
{
	char run[RUNID_LEN + 1];
	size_t opens;

	submit_run("a", run);
	until_state(run, "RUNNING");
	opens = world.egressd.count[MSG_TYPE_run_open];
	peer_free(&world.egressd.p);
	heard(&world.egressd, MSG_TYPE_run_open, opens + 1);
	quiet();
	ck_assert_str_eq(show(run)->state, "RUNNING");
	tool_ends(run, 0);
	until_state(run, "DONE");
	ck_assert_str_eq(show(run)->class, "ok");
}
END_TEST

static const struct {
	const char *code, *reason;
	const char *want[3]; /* of the reason that show tells */
} refusals[] = {
	{ "refused", "the table peers does not let you run.open",
	    { "egressd: refused: the table peers", "peers of egressd.conf",
	        "run.open, run.close, run.status and runs.sync" } },
	{ "invalid", "profile: there is none of that name",
	    { "egressd: invalid: profile: there is none",
	        "egressd.conf lacks the profile dev",
	        "profile dev in dispatchd.conf" } },
	{ "invalid", "address: not an IPv4 address of run_networks",
	    { "egressd: invalid: address:", "network_pool of dispatchd.conf",
	        "run_networks of egressd.conf" } },
	{ "conflict", "address: run bbbbbbbbbbbb has it",
	    { "egressd: conflict: address: run bbbbbbbbbbbb has it", "", "" } },
};

/* What no retry changes ends the run, with egressd's code and who mends it. */
START_TEST(test_refusals)
{
	char run[RUNID_LEN + 1];
	const struct msg_show_answer *s;
	int i;

	world.play.egress_error = refusals[_i].code;
	world.play.egress_reason = refusals[_i].reason;
	submit_run("a", run);
	until_state(run, "DONE");
	s = show(run);
	ck_assert_str_eq(s->class, "lost_infra");
	for (i = 0; i < 3; i++)
		ck_assert_msg(strstr(s->reason, refusals[_i].want[i]) != NULL,
		    "%s: lacks %s", s->reason, refusals[_i].want[i]);
	ck_assert_uint_eq(world.engine.count[MSG_TYPE_engine_create], 0);
}
END_TEST

/*
 * Two configurations that differ are not a boundary that does not hold: the run
 * ends before there is anything of it, with both ports and the key.
 */
START_TEST(test_other_port)
{
	const char *reason;
	char run[RUNID_LEN + 1];

	if (_i == 0)
		world.play.proxy_port = 3140;
	else
		world.play.canary_port = 3140;
	submit_run("a", run);
	until_state(run, "DONE");
	ck_assert_str_eq(show(run)->class, "lost_infra");
	reason = show(run)->reason;
	ck_assert_ptr_nonnull(strstr(reason,
	    _i == 0 ? "proxy at 10.201.0.1:3140,"
	            : "the canary at 10.201.0.1:3140,"));
	ck_assert_ptr_nonnull(
	    strstr(reason, "proxy_port of dispatchd.conf is 3128"));
	ck_assert_uint_eq(world.engine.count[MSG_TYPE_engine_create], 0);
}
END_TEST

/* A tool at work is not torn down: it hands back what it has. */
START_TEST(test_refused_later)
{
	char run[RUNID_LEN + 1];

	submit_run("a", run);
	until_state(run, "RUNNING");
	world.play.egress_error = refusals[1].code;
	world.play.egress_reason = refusals[1].reason;
	peer_free(&world.egressd.p);
	heard(&world.runs, MSG_TYPE_job_stop, 1);
	ck_assert_uint_eq(world.engine.count[MSG_TYPE_engine_remove], 0);
	tool_ends(run, 1);
	until_state(run, "DONE");
	ck_assert_str_eq(show(run)->class, "lost_infra");
}
END_TEST

/* Nor is it left without a way out, when that could not be had at once. */
START_TEST(test_asked_again)
{
	char run[RUNID_LEN + 1];
	size_t opens;

	submit_run("a", run);
	until_state(run, "RUNNING");
	opens = world.egressd.count[MSG_TYPE_run_open];
	world.play.egress_error = "draining";
	world.play.egress_reason = "not now";
	peer_free(&world.egressd.p);
	heard(&world.egressd, MSG_TYPE_run_open, opens + 1);
	world.play.egress_error = NULL;
	heard(&world.egressd, MSG_TYPE_run_open, opens + 2);
	ck_assert_str_eq(show(run)->state, "RUNNING");
	tool_ends(run, 0);
	until_state(run, "DONE");
	ck_assert_str_eq(show(run)->class, "ok");
}
END_TEST

/* What passes is waited for. */
START_TEST(test_busy)
{
	char run[RUNID_LEN + 1];

	world.play.egress_error = "busy";
	world.play.egress_reason = "not now";
	submit_run("a", run);
	heard(&world.egressd, MSG_TYPE_run_open, 2);
	ck_assert_str_eq(show(run)->state, "ADMITTED");
	world.play.egress_error = NULL;
	until_state(run, "RUNNING");
}
END_TEST

/* The list of those that are alive is sent until it is taken. */
START_TEST(test_synced_again)
{
	char run[RUNID_LEN + 1];
	size_t n;

	submit_run("a", run);
	until_state(run, "RUNNING");
	n = world.egressd.count[MSG_TYPE_runs_sync];
	world.play.sync_error = "unrecordable";
	peer_free(&world.egressd.p);
	heard(&world.egressd, MSG_TYPE_runs_sync, n + 2);
	world.play.sync_error = NULL;
	ck_assert_uint_eq(heard(&world.egressd, MSG_TYPE_runs_sync, n + 3)
	                      ->u.runs_sync.runs.n,
	    1);
	n = world.egressd.count[MSG_TYPE_runs_sync];
	quiet();
	quiet();
	quiet();
	quiet();
	ck_assert_uint_eq(world.egressd.count[MSG_TYPE_runs_sync], n);
}
END_TEST

static int
tests(void)
{
	Suite *s = suite_create("queue_egress");
	TCase *tc = tcase_create("egress");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, world_start, world_stop);
	tcase_add_test(tc, test_not_enforced);
	tcase_add_test(tc, test_not_enforced_later);
	tcase_add_test(tc, test_comes_back);
	tcase_add_loop_test(tc, test_refusals, 0,
	    (int)(sizeof(refusals) / sizeof(refusals[0])));
	tcase_add_loop_test(tc, test_other_port, 0, 2);
	tcase_add_test(tc, test_refused_later);
	tcase_add_test(tc, test_asked_again);
	tcase_add_test(tc, test_busy);
	tcase_add_test(tc, test_synced_again);
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
