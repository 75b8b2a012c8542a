#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "agent-cli/options.c"

static int complaints;

void
complain(const char *fmt, ...)
{
	complaints++;
}

char *
visible(const void *text, size_t len)
{
	return strndup(text, len);
}

START_TEST(durations)
{
	static const struct {
		const char *text;
		int64_t want; /* -1: refused */
	} cases[] = { { "1", 1000 }, { "90", 90000 }, { "5ms", 5 },
		{ "30s", 30000 }, { "30m", 1800000 }, { "2h", 7200000 },
		{ "", -1 }, { "0", -1 }, { "-1", -1 }, { "+1", -1 },
		{ " 1", -1 }, { "1 s", -1 }, { "1d", -1 }, { "1.5h", -1 },
		{ "m", -1 }, { "1sm", -1 }, { "9223372036854775807", -1 },
		{ "9223372036854775807ms", INT64_MAX },
		{ "9223372036854775808ms", -1 } };
	int64_t ms;
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		ms = -1;
		ck_assert_int_eq(option_duration(cases[i].text, &ms),
		    cases[i].want == -1 ? -1 : 0);
		ck_assert_msg(ms == cases[i].want, "%s", cases[i].text);
	}
}
END_TEST

START_TEST(own)
{
	char *argv[] = { (char[]){ "--repo" }, (char[]){ "a/b" },
		(char[]){ "--repo=c/d=e" }, (char[]){ "--detach" },
		(char[]){ "--json" }, (char[]){ "--base" }, NULL };
	struct cli cli = { .nown = 0 };
	int i = 0;

	ck_assert_int_eq(option_own(&cli, "run", argv, &i), 1);
	ck_assert_int_eq(i, 1);
	ck_assert_str_eq(option_value(&cli, "--repo"), "a/b");
	i = 2;
	ck_assert_int_eq(option_own(&cli, "run", argv, &i), 1);
	ck_assert_int_eq(i, 2);
	ck_assert_str_eq(option_value(&cli, "--repo"), "c/d=e");
	ck_assert_uint_eq(cli.nown, 1);
	i = 3;
	ck_assert_int_eq(option_own(&cli, "ps", argv, &i), 0);
	ck_assert_int_eq(option_own(&cli, "run", argv, &i), 1);
	ck_assert_str_eq(option_value(&cli, "--detach"), "");
	i = 4;
	ck_assert_int_eq(option_own(&cli, "run", argv, &i), 0);
	i = 5;
	ck_assert_int_eq(option_own(&cli, "run", argv, &i), -1);
	ck_assert_int_eq(complaints, 1);
	ck_assert_ptr_null(option_value(&cli, "--base"));
}
END_TEST

START_TEST(run)
{
	char *good[] = { (char[]){ "abcdefghij27" }, NULL };
	char *bad[] = { (char[]){ "abcdefghij21" }, NULL };

	complaints = 0;
	ck_assert_str_eq(option_run(1, good), "abcdefghij27");
	ck_assert_ptr_null(option_run(0, good));
	ck_assert_int_eq(complaints, 0);
	ck_assert_ptr_null(option_run(1, bad));
	ck_assert_int_eq(complaints, 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("options");
	TCase *t = tcase_create("all");
	SRunner *sr;
	int failed;

	tcase_add_test(t, durations);
	tcase_add_test(t, own);
	tcase_add_test(t, run);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
