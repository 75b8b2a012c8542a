/* F12: a disk that takes bytes and then says that it could not keep them. */

#include <sqlite3.h>

#include "store_fixture.h"

#define METHODS_MAX 8

static bool failing;

/* SQLite's own files, but for what a sync of them says. */
static struct {
	const sqlite3_io_methods *real;
	sqlite3_io_methods ours;
} methods[METHODS_MAX];
static sqlite3_vfs *real_vfs;
static sqlite3_vfs our_vfs;

static int
sync_file(sqlite3_file *f, int flags)
{
	size_t i;

	if (failing)
		return SQLITE_IOERR_FSYNC;
	for (i = 0; &methods[i].ours != f->pMethods; i++)
		;
	return methods[i].real->xSync(f, flags);
}

static int
open_file(
    sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
	int rc = real_vfs->xOpen(vfs, name, f, flags, out);
	size_t i;

	if (f->pMethods == NULL)
		return rc;
	for (i = 0; methods[i].real != NULL && methods[i].real != f->pMethods;
	     i++)
		ck_assert_uint_lt(i, METHODS_MAX - 1);
	methods[i].real = f->pMethods;
	methods[i].ours = *f->pMethods;
	methods[i].ours.xSync = sync_file;
	f->pMethods = &methods[i].ours;
	return rc;
}

static void
setup(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	our_vfs = *real_vfs;
	our_vfs.zName = "failing";
	our_vfs.xOpen = open_file;
	ck_assert_int_eq(sqlite3_vfs_register(&our_vfs, 1), SQLITE_OK);
	fixture_setup();
}

static int
submit(struct queue_store *s, const char *id, bool *again)
{
	struct queue_time now;
	struct queue_row r;

	queue_time_now(&now);
	fixture_row(&r, id);
	return queue_store_submit(s, &r, (const uint8_t *)"p", 1, &now, again);
}

START_TEST(test_submit)
{
	struct queue_store *s = fixture_open();
	int64_t n;
	bool again;

	ck_assert_int_eq(submit(s, "a", &again), 0);
	failing = true;
	ck_assert_int_eq(submit(s, "b", &again), -1);
	ck_assert_int_eq(queue_store_error(s), STORE_STORAGE);
	ck_assert(queue_store_failed(s));
	/* The disk is well again: that says nothing about what was written. */
	failing = false;
	ck_assert_int_eq(submit(s, "c", &again), -1);
	ck_assert_int_eq(queue_store_error(s), STORE_STORAGE);
	failing = true;
	ck_assert_int_eq(queue_store_recheck(s), -1);
	ck_assert(queue_store_failed(s));
	ck_assert_int_eq(submit(s, "c", &again), -1);
	failing = false;
	ck_assert_msg(queue_store_recheck(s) == 0, "%s", queue_store_why(s));
	ck_assert_int_eq(queue_store_count(s, FILTER_ALL, &n), 0);
	ck_assert(n == 1 || n == 2);
	/* Who got no answer asks again, and has one run. */
	ck_assert_int_eq(submit(s, "b", &again), 0);
	ck_assert_int_eq(again, n == 2);
	ck_assert_int_eq(queue_store_count(s, FILTER_ALL, &n), 0);
	ck_assert_int_eq(n, 2);
	queue_store_close(&s);
}
END_TEST

/* A step that was not told of did not happen, or did: the disk says which. */
START_TEST(test_step)
{
	struct queue_store *s = fixture_open();
	struct queue_row r, before, disk;
	struct queue_time now;

	queue_time_now(&now);
	fixture_submit(s, "a", &r);
	fixture_to(s, &r, STATE_GATED);
	before = r;
	failing = true;
	ck_assert_int_eq(
	    queue_store_step(s, &r, STATE_COMMITTED, "e", &now), -1);
	ck_assert_int_eq(r.state, before.state);
	ck_assert_int_eq(r.steps, before.steps);
	failing = false;
	ck_assert_int_eq(queue_store_recheck(s), 0);
	ck_assert_int_eq(queue_store_get(s, r.run, &disk), 0);
	ck_assert(disk.state == STATE_GATED || disk.state == STATE_COMMITTED);
	fixture_to(s, &disk, STATE_DONE);
	queue_store_close(&s);
}
END_TEST

/* While nothing can be synced, none is opened. */
START_TEST(test_open)
{
	failing = true;
	(void)fixture_refused(STORE_STORAGE);
	failing = false;
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queue_store_sync");
	TCase *tc = tcase_create("sync");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, fixture_teardown);
	tcase_add_test(tc, test_submit);
	tcase_add_test(tc, test_step);
	tcase_add_test(tc, test_open);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
