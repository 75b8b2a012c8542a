#include <check.h>

#include "libcommon/audit_internal.h"

START_TEST(some)
{
	struct audit_steps *s = audit_steps_new();

	ck_assert_ptr_nonnull(s);
	ck_assert(!audit_steps_has(s, "aaaaaaaaaaaa", 1));
	ck_assert(!audit_steps_has(s, "", 0));
	audit_steps_add(s, "aaaaaaaaaaaa", 1);
	audit_steps_add(s, "bbbbbbbbbbbb", 2);
	ck_assert(audit_steps_has(s, "aaaaaaaaaaaa", 1));
	ck_assert(audit_steps_has(s, "bbbbbbbbbbbb", 2));
	ck_assert(!audit_steps_has(s, "aaaaaaaaaaaa", 2));
	ck_assert(!audit_steps_has(s, "aaaaaaaaaaab", 1));
	audit_steps_free(&s);
	ck_assert_ptr_null(s);
}
END_TEST

/* The last so many; the oldest goes first. */
START_TEST(full)
{
	struct audit_steps *s = audit_steps_new();
	int64_t i;

	for (i = 1; i <= AUDIT_STEPS_MAX; i++)
		audit_steps_add(s, "aaaaaaaaaaaa", i);
	ck_assert(audit_steps_has(s, "aaaaaaaaaaaa", 1));
	audit_steps_add(s, "aaaaaaaaaaaa", i);
	ck_assert(!audit_steps_has(s, "aaaaaaaaaaaa", 1));
	ck_assert(audit_steps_has(s, "aaaaaaaaaaaa", 2));
	ck_assert(audit_steps_has(s, "aaaaaaaaaaaa", i));
	audit_steps_free(&s);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("audit_steps");
	TCase *tc = tcase_create("all");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, some);
	tcase_add_test(tc, full);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
