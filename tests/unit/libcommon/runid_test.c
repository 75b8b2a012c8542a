#include <check.h>
#include <stdlib.h>

#include "libcommon/runid.h"

static const struct {
	const char *id;
	bool want;
} rows[] = {
	{ "aaaaaaaaaaaa", true },
	{ "abcdefghijkl", true },
	{ "mnopqrstuvwx", true },
	{ "yz234567yz23", true },
	{ "", false },
	{ "aaaaaaaaaaa", false },
	{ "aaaaaaaaaaaaa", false },
	{ "Aaaaaaaaaaaa", false },
	{ "aaaaaaaaaaa1", false },
	{ "aaaaaaaaaaa8", false },
	{ "aaaaaaaaaaa0", false },
	{ "aaaaaaaaaaa-", false },
	{ "aaaa/../aaaa", false },
	{ "aaaaaaaaaaa\n", false },
	{ " aaaaaaaaaaa", false },
	{ "aaaaaaaaaa\xc3\xa4", false },
};

START_TEST(valid)
{
	ck_assert_int_eq(runid_valid(rows[_i].id), rows[_i].want);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("runid");
	TCase *tc = tcase_create("runid");
	SRunner *r;
	int failed;

	tcase_add_loop_test(tc, valid, 0, sizeof(rows) / sizeof(rows[0]));
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
