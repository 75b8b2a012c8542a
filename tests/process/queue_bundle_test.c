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
