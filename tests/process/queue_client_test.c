/* What clients ask the queue: lists, stops, and who did what on record. */

#include <stdio.h>

#include "queue_world.h"

/* --- ps ----------------------------------------------------------------- */

#define RUNS 210 /* more than a page, and less than two */
#define PAGE 200

/* A page; returns where the next one begins, 0: there is none. */
static int64_t
ps(bool all, int64_t after, size_t want)
{
	const struct side *f = &world.frontend;
	size_t before = f->count[MSG_TYPE_ps_row];
	struct msg m = { .type = MSG_TYPE_ps };

	m.u.ps.all = all;
	m.u.ps.after = after;
	ck_assert_int_eq(asked(&m, MSG_TYPE_ps_answer), MSG_TYPE_ps_answer);
	ck_assert_uint_eq(f->count[MSG_TYPE_ps_row] - before, want);
	ck_assert_int_eq(f->last[MSG_TYPE_ps_answer].u.ps_answer.count, want);
	return f->last[MSG_TYPE_ps_answer].u.ps_answer.next;
}

/* Nobody can have more than a page written at once, and all can be had. */
START_TEST(test_pages)
{
	const struct msg *row = &world.frontend.last[MSG_TYPE_ps_row];
	char first[RUNID_LEN + 1], run[RUNID_LEN + 1], id[16];
	int64_t next;
	int i;

	world.play.mute = MSG_TYPE_engine_create;
	submit_run("first", first);
	for (i = 1; i < RUNS; i++) {
		snprintf(id, sizeof(id), "r%d", i);
		submit_run(id, run);
	}
	next = ps(true, 0, PAGE);
	ck_assert_int_ne(next, 0);
	ck_assert_int_eq(ps(true, next, RUNS - PAGE), 0);
	ck_assert_str_eq(row->u.ps_row.run, first);
	next = ps(false, 0, PAGE);
	ck_assert_int_ne(next, 0);
	ck_assert_int_eq(ps(false, next, RUNS - PAGE), 0);
	ck_assert_str_eq(row->u.ps_row.run, run);
	ck_assert_int_eq(ps(true, 1, 0), 0);
}
END_TEST

static int
tests(void)
{
	Suite *s = suite_create("queue_client");
	TCase *tc = tcase_create("client");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, world_start, world_stop);
	tcase_add_test(tc, test_pages);
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
