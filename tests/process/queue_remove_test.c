/* Runs that are forgotten: on demand, and by keep_runs and keep_days. */

#include <stdio.h>

#include "queue_world.h"

#define KEEP_ONE ", \"keep_runs\": 1"

static void
bundle_was_fetched(const char *run, const char *sha256)
{
	struct msg m = { .type = MSG_TYPE_bundle_fetched };

	m.u.bundle_fetched.run = run;
	m.u.bundle_fetched.sha256 = sha256;
	say(&world.frontend, &m);
}

static void
until_gone(const char *run)
{
	int64_t end = clock_boot_ms() + WORLD_WAIT_MS;

	while (show(run) != NULL) {
		ck_assert_msg(clock_boot_ms() < end, "%s is there yet", run);
		turn(10);
	}
}

/* On record with whose wish it was, before its files go, before its row. */
START_TEST(test_rm)
{
	char run[RUNID_LEN + 1], other[RUNID_LEN + 1];
	const struct msg *m;

	whole_run("a", 5, run);
	submit_run("b", other);
	until_state(other, "RUNNING");
	ck_assert_int_eq(remove_run(other), MSG_TYPE_error);
	refused("busy", "stop it first");
	ck_assert_uint_eq(world.audit.count[MSG_TYPE_rec_remove], 0);

	ck_assert_int_eq(remove_run(run), MSG_TYPE_rm_answer);
	m = heard(&world.audit, MSG_TYPE_rec_remove, 1);
	ck_assert_str_eq(m->u.rec_remove.run, run);
	ck_assert_int_eq(m->u.rec_remove.peer_uid, 1000);
	ck_assert_int_eq(m->u.rec_remove.peer_pid, 78);
	ck_assert_str_eq(m->u.rec_remove.class, "ok");
	ck_assert_int_eq(m->u.rec_remove.bundle_bytes, 5);
	ck_assert(!m->u.rec_remove.fetched);
	m = &world.runs.last[MSG_TYPE_job_close];
	ck_assert_str_eq(m->u.job_close.run, run);
	ck_assert(m->u.job_close.remove);
	ck_assert_ptr_null(show(run));
	ck_assert_int_eq(remove_run(run), MSG_TYPE_error);
	refused("no_run", "no run of that id");
	until_state(other, "RUNNING");
}
END_TEST

/* What cannot be recorded, or not removed, stays whole and says why. */
START_TEST(test_rm_fails)
{
	char run[RUNID_LEN + 1];

	whole_run("a", 0, run);
	world.play.records = RECORDS_REFUSED;
	ck_assert_int_eq(remove_run(run), MSG_TYPE_error);
	refused("unrecordable", "on record");
	ck_assert_ptr_nonnull(show(run));
	world.play.records = RECORDS_WRITTEN;
	world.play.files_stay = true;
	ck_assert_int_eq(remove_run(run), MSG_TYPE_error);
	refused("unavailable", "cannot be removed");
	ck_assert_ptr_nonnull(show(run));
	world.play.files_stay = false;
	ck_assert_int_eq(remove_run(run), MSG_TYPE_rm_answer);
	ck_assert_ptr_null(show(run));
}
END_TEST

/* Killed on the way: the row is there yet, and can be removed again. */
START_TEST(test_rm_killed)
{
	char run[RUNID_LEN + 1];
	struct msg m = { .type = MSG_TYPE_job_rm, .id = 9999 };

	whole_run("a", 0, run);
	world.play.records = RECORDS_HELD;
	m.u.job_rm.run = run;
	say(&world.frontend, &m);
	heard(&world.audit, MSG_TYPE_rec_remove, 1);
	world_kill();
	world.play.records = RECORDS_WRITTEN;
	world_spawn();
	ck_assert_ptr_nonnull(show(run));
	ck_assert_int_eq(remove_run(run), MSG_TYPE_rm_answer);
}
END_TEST

/* The oldest go at the end of a run, as many as are too many. */
START_TEST(test_keep_runs)
{
	char run[4][RUNID_LEN + 1], id[8];
	const struct msg *m;
	int i;

	for (i = 0; i < 3; i++) {
		snprintf(id, sizeof(id), "p%d", i);
		whole_run(id, 0, run[i]);
	}
	quiet();
	ck_assert_uint_eq(world.audit.count[MSG_TYPE_rec_prune], 0);
	world.play.config = KEEP_ONE;
	world_reload();
	whole_run("p3", 0, run[3]);
	for (i = 0; i < 3; i++)
		until_gone(run[i]);
	m = heard(&world.audit, MSG_TYPE_rec_prune, 3);
	ck_assert_str_eq(m->u.rec_prune.run, run[2]);
	ck_assert_str_eq(m->u.rec_prune.key, "keep_runs");
	ck_assert_str_eq(m->u.rec_prune.class, "ok");
	ck_assert_str_eq(
	    world.runs.last[MSG_TYPE_job_close].u.job_close.run, run[2]);
	quiet();
	ck_assert_ptr_nonnull(show(run[3]));
}
END_TEST

/* A bundle that nobody fetched keeps its run, over restarts too. */
START_TEST(test_not_fetched)
{
	static const char other[] = "ffffffffffffffffffffffffffffffff"
	                            "ffffffffffffffffffffffffffffffff";
	char run[RUNID_LEN + 1], next[RUNID_LEN + 1];

	world.play.config = KEEP_ONE;
	world_reload();
	whole_run("a", 5, run);
	whole_run("b", 0, next);
	quiet();
	ck_assert_ptr_nonnull(show(run));
	/* Another bundle than it has. */
	bundle_was_fetched(run, other);
	quiet();
	ck_assert_ptr_nonnull(show(run));
	world_kill();
	world_spawn();
	quiet();
	ck_assert_ptr_nonnull(show(run));
	bundle_was_fetched(run, bundle_hash);
	until_gone(run);
	ck_assert_ptr_nonnull(show(next));
}
END_TEST

/* That it was fetched is on disk, not in a memory. */
START_TEST(test_fetched_lasts)
{
	char run[RUNID_LEN + 1], next[RUNID_LEN + 1];

	whole_run("a", 5, run);
	bundle_was_fetched(run, bundle_hash);
	ck_assert_ptr_nonnull(show(run));
	world_kill();
	world.play.config = KEEP_ONE;
	world_spawn();
	quiet();
	ck_assert_ptr_nonnull(show(run));
	whole_run("b", 0, next);
	until_gone(run);
}
END_TEST

/* One whose bundle goes out before it is over. */
START_TEST(test_fetched_early)
{
	char run[RUNID_LEN + 1], next[RUNID_LEN + 1];

	world.play.config = KEEP_ONE;
	world_reload();
	submit_run("a", run);
	until_state(run, "RUNNING");
	world.play.records = RECORDS_HELD;
	tool_ends(run, 5);
	UNTIL(show(run)->bundle_bytes == 5);
	bundle_was_fetched(run, bundle_hash);
	world.play.records = RECORDS_WRITTEN;
	until_state(run, "DONE");
	whole_run("b", 0, next);
	until_gone(run);
}
END_TEST

/* A live run is never one too many, and a failing prune ends nothing. */
START_TEST(test_prune_spares)
{
	char live[RUNID_LEN + 1], run[RUNID_LEN + 1], next[RUNID_LEN + 1];

	world.play.config = KEEP_ONE;
	world_reload();
	submit_run("live", live);
	until_state(live, "RUNNING");
	whole_run("a", 0, run);
	world.play.files_stay = true;
	whole_run("b", 0, next);
	heard(&world.audit, MSG_TYPE_rec_prune, 1);
	quiet();
	ck_assert_ptr_nonnull(show(run));
	ck_assert_ptr_nonnull(show(next));
	/* It is not tried without a pause. */
	ck_assert_uint_eq(world.audit.count[MSG_TYPE_rec_prune], 1);
	until_state(live, "RUNNING");
}
END_TEST

static int
tests(void)
{
	Suite *s = suite_create("queue_remove");
	TCase *tc = tcase_create("remove");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, world_start, world_stop);
	tcase_add_test(tc, test_rm);
	tcase_add_test(tc, test_rm_fails);
	tcase_add_test(tc, test_rm_killed);
	tcase_add_test(tc, test_keep_runs);
	tcase_add_test(tc, test_not_fetched);
	tcase_add_test(tc, test_fetched_lasts);
	tcase_add_test(tc, test_fetched_early);
	tcase_add_test(tc, test_prune_spares);
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
