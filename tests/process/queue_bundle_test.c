/* What a run hands back decides its class, and what is missing is its reason.
 */

#include <stdio.h>

#include "queue_world.h"

static void
submit_repo(const char *request, char run[RUNID_LEN + 1])
{
	struct msg m = { .type = MSG_TYPE_job_submit };

	m.u.job_submit.peer_uid = 1000;
	m.u.job_submit.peer_pid = 77;
	m.u.job_submit.request = request;
	m.u.job_submit.repo = "https://example.org/a/b";
	m.u.job_submit.base = m.u.job_submit.profile = "";
	m.u.job_submit.tool = "sh";
	ck_assert_int_eq(
	    asked(&m, MSG_TYPE_run_accepted), MSG_TYPE_run_accepted);
	(void)strlcpy(run,
	    world.frontend.last[MSG_TYPE_run_accepted].u.run_accepted.run,
	    RUNID_LEN + 1);
}

static const struct {
	int bytes;
	const char *lost, *why, *class, *reason;
} rows[] = {
	{ 5, "", NULL, "ok", "" },
	{ 5, "", "a file is missing", "ok", "a file is missing" },
	{ 0, "", NULL, "no_change", "" },
	{ 0, "agent", "git: broken", "agent_failed", "git: broken" },
	{ 0, "quota", "the workspace is full", "quota",
	    "the workspace is full" },
	{ 0, "storage", "no disk", "lost_infra", "no disk" },
};

START_TEST(test_bundle)
{
	struct msg m = { .type = MSG_TYPE_job_bundle };
	char run[RUNID_LEN + 1];

	submit_repo("a", run);
	until_state(run, "RUNNING");
	tool_exits(run);
	m.u.job_bundle.run = run;
	m.u.job_bundle.bytes = rows[_i].bytes;
	m.u.job_bundle.sha256 = rows[_i].bytes > 0 ? bundle_hash : "";
	m.u.job_bundle.base = m.u.job_bundle.head = "";
	m.u.job_bundle.lost = rows[_i].lost;
	m.u.job_bundle.why = rows[_i].why;
	say(&world.runs, &m);
	until_state(run, "DONE");
	ck_assert_str_eq(show(run)->class, rows[_i].class);
	ck_assert_str_eq(show(run)->reason, rows[_i].reason);
}
END_TEST

/* --- stored, and nobody told -----------------------------------------------
 */

static const struct {
	const char *state; /* in which the queue is killed */
	const char *status; /* of its container then */
} lives[] = {
	{ "COMMITTED", "absent" },
	{ "RUNNING", "absent" },
	{ "RUNNING", "exited" },
	{ "EXITED", "absent" },
	{ "EXITED", "exited" },
};

static void
killed_in(const char *state, const char *status, char run[RUNID_LEN + 1])
{
	world.play.begin = strcmp(state, "COMMITTED") != 0;
	submit_repo("a", run);
	until_state(run, world.play.begin ? "RUNNING" : "COMMITTED");
	if (strcmp(state, "EXITED") == 0)
		tool_exits(run);
	until_state(run, state);
	world_kill();
	play_well();
	world.play.phase = NULL;
	container_is(run, status);
}

/* What it was is not known any more, but what it handed back is there. */
START_TEST(test_stored)
{
	const struct msg_show_answer *s;
	char run[RUNID_LEN + 1];

	killed_in(lives[_i].state, lives[_i].status, run);
	world.play.stored_bytes = 5;
	world_spawn();
	until_state(run, "DONE");
	s = show(run);
	ck_assert_str_eq(s->class, "lost_infra");
	ck_assert_int_eq(s->bundle_bytes, 5);
	ck_assert_str_eq(s->bundle_sha256, bundle_hash);
	ck_assert_uint_eq(world.runs.count[MSG_TYPE_job_stored], 1);
	/* It is on disk so. */
	world_kill();
	world_spawn();
	ck_assert_int_eq(show(run)->bundle_bytes, 5);
}
END_TEST

/* There is none, or nobody can tell: it ends all the same. */
START_TEST(test_none_stored)
{
	char run[RUNID_LEN + 1];

	killed_in("EXITED", "absent", run);
	world.play.stored_error = _i == 0 ? NULL : "storage";
	world_spawn();
	until_state(run, "DONE");
	ck_assert_str_eq(show(run)->class, "lost_infra");
	ck_assert_str_eq(show(run)->reason, "its branch could not be had");
	ck_assert_int_eq(show(run)->bundle_bytes, 0);
}
END_TEST

/* What passes is waited for: else it would be taken for one without. */
START_TEST(test_stored_later)
{
	char run[RUNID_LEN + 1];

	killed_in("RUNNING", "absent", run);
	world.play.stored_error = "limit";
	world_spawn();
	heard(&world.runs, MSG_TYPE_job_stored, 2);
	ck_assert_str_eq(show(run)->state, "RUNNING");
	world.play.stored_error = NULL;
	world.play.stored_bytes = 5;
	until_state(run, "DONE");
	ck_assert_int_eq(show(run)->bundle_bytes, 5);
}
END_TEST

/* --- what runs is told of it ------------------------------------------------
 */

static const struct msg_bundle_row_answer *
row_of(const char *run, size_t n)
{
	struct msg m = { .type = MSG_TYPE_bundle_row, .id = 21 };
	const struct msg *a;

	m.u.bundle_row.run = run;
	say(&world.runs, &m);
	a = heard(&world.runs, MSG_TYPE_bundle_row_answer, n);
	ck_assert_int_eq(a->id, 21);
	return &a->u.bundle_row_answer;
}

START_TEST(test_row)
{
	char run[RUNID_LEN + 1];

	world.play.leave = false;
	submit_run("a", run);
	until_state(run, "RUNNING");
	ck_assert_int_eq(row_of(run, 1)->bytes, 0);
	ck_assert_str_eq(row_of(run, 2)->sha256, "");
	tool_ends(run, 5);
	until_state(run, "HARVESTED");
	ck_assert_int_eq(row_of(run, 3)->bytes, 5);
	until_state(run, "DONE");
	ck_assert_int_eq(row_of(run, 4)->bytes, 5);
	ck_assert_str_eq(row_of(run, 5)->sha256, bundle_hash);
	ck_assert_int_eq(row_of("aaaaaaaaaaaa", 6)->bytes, 0);
}
END_TEST

static int
tests(void)
{
	Suite *s = suite_create("queue_bundle");
	TCase *tc = tcase_create("bundle");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, world_start, world_stop);
	tcase_add_loop_test(
	    tc, test_bundle, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_loop_test(
	    tc, test_stored, 0, (int)(sizeof(lives) / sizeof(lives[0])));
	tcase_add_loop_test(tc, test_none_stored, 0, 2);
	tcase_add_test(tc, test_stored_later);
	tcase_add_test(tc, test_row);
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
