#include <sys/resource.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libcommon/clock.c"

static const struct {
	const char *name;
	int64_t sec;
	long nsec;
	const char *want;
} format_rows[] = {
	{ "the epoch", 0, 0, "1970-01-01T00:00:00.000Z" },
	{ "milliseconds", 1785618000, 123999999, "2026-08-01T21:00:00.123Z" },
	{ "last of a second", 1785618000, 999999999,
	    "2026-08-01T21:00:00.999Z" },
	{ "a leap day", 1709208000, 1000000, "2024-02-29T12:00:00.001Z" },
	{ "behind 2038", INT64_C(2147483648), 0, "2038-01-19T03:14:08.000Z" },
	{ "the last second", INT64_C(253402300799), 999000000,
	    "9999-12-31T23:59:59.999Z" },
	{ "year 10000", INT64_C(253402300800), 5000000,
	    "9999-12-31T23:59:59.000Z" },
	{ "before the epoch", -1, 5000000, "1970-01-01T00:00:00.000Z" },
	{ "far future", INT64_MAX, 0, "9999-12-31T23:59:59.000Z" },
};

START_TEST(test_format)
{
	char buf[CLOCK_RFC3339_LEN];

	clock_format(format_rows[_i].sec, format_rows[_i].nsec, buf);
	ck_assert_msg(strcmp(buf, format_rows[_i].want) == 0, "%s: %s",
	    format_rows[_i].name, buf);
}
END_TEST

/* Wherever the process thinks it is, lines are in UTC. */
START_TEST(test_no_zone)
{
	char before[CLOCK_RFC3339_LEN], buf[CLOCK_RFC3339_LEN];
	char after[CLOCK_RFC3339_LEN];
	struct timespec ts;

	setenv("TZ", "Asia/Kolkata", 1);
	tzset();
	clock_gettime(CLOCK_REALTIME, &ts);
	clock_format(ts.tv_sec, ts.tv_nsec, before);
	clock_rfc3339(buf);
	clock_gettime(CLOCK_REALTIME, &ts);
	clock_format(ts.tv_sec, ts.tv_nsec, after);
	ck_assert_uint_eq(strlen(buf), CLOCK_RFC3339_LEN - 1);
	ck_assert_str_le(before, buf);
	ck_assert_str_le(buf, after);
}
END_TEST

START_TEST(test_boot_ms)
{
	struct timespec ts = { 0, 20 * 1000 * 1000 };
	int64_t a, b;

	a = clock_boot_ms();
	ck_assert_int_gt(a, 0);
	nanosleep(&ts, NULL);
	b = clock_boot_ms();
	ck_assert_int_ge(b, a + 20);
	ck_assert_int_lt(b, a + 10000);
}
END_TEST

START_TEST(test_boot_id)
{
	char a[CLOCK_BOOT_ID_LEN], b[CLOCK_BOOT_ID_LEN];
	struct rlimit before, none;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	clock_boot_id(a);
	/* as in a sandbox, where nothing can be opened */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	clock_boot_id(b);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_str_ne(b, "unknown");
	ck_assert_str_ne(a, "");
	ck_assert_str_eq(a, b);
	ck_assert_ptr_null(strchr(a, '\n'));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("clock");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_loop_test(
	    t, test_format, 0, sizeof(format_rows) / sizeof(format_rows[0]));
	tcase_add_test(t, test_no_zone);
	tcase_add_test(t, test_boot_ms);
	tcase_add_test(t, test_boot_id);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
