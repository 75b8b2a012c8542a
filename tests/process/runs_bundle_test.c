/* A bundle behind the one that handed it over: what is stored, and served. */

#include <sys/stat.h>

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runs_world.h"

#define BIG (3 * 1024 * 1024 + 5) /* more than is read in one turn */

static char told[RUNS_HASH_LEN + 1];

static void
hand_over(size_t len)
{
	run_begins(BIG, 1);
	bundle(len, 7, NULL);
	bundle_ends();
	strlcpy(told,
	    heard(&queue, MSG_TYPE_job_bundle, 1)->u.job_bundle.sha256,
	    sizeof(told));
}

/* --- which one is stored ---------------------------------------------------
 */

static const struct msg_job_stored_answer *
stored(size_t n)
{
	struct msg m = plain(MSG_TYPE_job_stored, 11);
	const struct msg *a;

	m.u.job_stored.run = RUN;
	say(&queue, &m);
	a = heard(&queue, MSG_TYPE_job_stored_answer, n);
	ck_assert_int_eq(a->id, 11);
	return &a->u.job_stored_answer;
}

/* As it was told, also by one that did not store it itself. */
START_TEST(test_stored)
{
	size_t len = _i == 0 ? 100 : BIG;

	hand_over(len);
	ck_assert_int_eq(stored(1)->bytes, (int64_t)len);
	ck_assert_str_eq(stored(2)->sha256, told);
	world_restart();
	ck_assert_int_eq(stored(1)->bytes, (int64_t)len);
	ck_assert_str_eq(stored(2)->sha256, told);
}
END_TEST

/* No directory; no bundle in it; one that is not whole. */
START_TEST(test_none_stored)
{
	if (_i > 0)
		run_begins(BIG, 1);
	if (_i > 1) {
		bundle(1000, 7, NULL);
		UNTIL(agent.sent == agent.nout && there("bundle.part"));
	}
	ck_assert_int_eq(stored(1)->bytes, 0);
	ck_assert_str_eq(stored(2)->sha256, "");
}
END_TEST

/* What is in its place and is none is said so, and read by nobody. */
START_TEST(test_no_file)
{
	struct msg m = plain(MSG_TYPE_job_stored, 12);
	char name[128];

	run_begins(BIG, 1);
	snprintf(name, sizeof(name), "%s/" RUN "/bundle", directory);
	if (_i == 0)
		ck_assert_int_eq(mkfifo(name, 0666), 0);
	else
		ck_assert_int_eq(symlink("/dev/zero", name), 0);
	m.u.job_stored.run = RUN;
	say(&queue, &m);
	ck_assert_str_eq(
	    heard(&queue, MSG_TYPE_error, 1)->u.error.error, "storage");
}
END_TEST

/* --- served ----------------------------------------------------------------
 */

static void
change(off_t size, int byte)
{
	char name[128], b = (char)byte;
	int fd;

	snprintf(name, sizeof(name), "%s/" RUN "/bundle", directory);
	ck_assert_int_ne(fd = open(name, O_RDWR | O_CLOEXEC), -1);
	ck_assert_int_eq(ftruncate(fd, size), 0);
	ck_assert_int_eq(pwrite(fd, &b, 1, 17), 1);
	close(fd);
}

/* One that an outside hand changed is not handed out as if it were it. */
START_TEST(test_changed)
{
	const struct msg *m;

	hand_over(BIG);
	if (_i == 0)
		change(BIG, 8);
	else
		change(_i == 1 ? BIG - 1 : BIG + 1, 7);
	serve(MSG_TYPE_bundle_get);
	m = heard(&frontend, MSG_TYPE_error, 1);
	ck_assert_str_eq(m->u.error.error, "storage");
	ck_assert_ptr_nonnull(strstr(m->u.error.reason, "recorded"));
	UNTIL(frontend.aborted);
	ck_assert_uint_eq(frontend.count[MSG_TYPE_bundle_get_answer], 0);
	/* By its size it is seen before a byte of it goes out. */
	if (_i > 0)
		ck_assert_uint_eq(frontend.nin, 0);
}
END_TEST

/* A file that the queue knows nothing of is none of the run's. */
START_TEST(test_not_recorded)
{
	hand_over(BIG);
	row.bytes = 0;
	row.sha256[0] = '\0';
	serve(MSG_TYPE_bundle_get);
	ck_assert_str_eq(
	    heard(&frontend, MSG_TYPE_error, 1)->u.error.error, "no_bundle");
	UNTIL(frontend.aborted);
	ck_assert_uint_eq(frontend.nin, 0);
}
END_TEST

int
world_tests(void)
{
	Suite *s = suite_create("runs_bundle");
	TCase *tc = tcase_create("bundle");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, world_start, world_stop);
	tcase_add_loop_test(tc, test_stored, 0, 2);
	tcase_add_loop_test(tc, test_none_stored, 0, 3);
	tcase_add_loop_test(tc, test_no_file, 0, 2);
	tcase_add_loop_test(tc, test_changed, 0, 3);
	tcase_add_test(tc, test_not_recorded);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
