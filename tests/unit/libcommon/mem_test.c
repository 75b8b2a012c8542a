#include <sys/wait.h>

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/mem.h"
#include "libcommon/proc.h"

/* The address sanitizer would end us itself when memory is out. */
const char *__asan_default_options(void);
const char *
__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

START_TEST(test_gives)
{
	char *p, *q;
	size_t i;

	ck_assert_ptr_nonnull(p = xmalloc(0));
	free(p);
	ck_assert_ptr_nonnull(p = xcalloc(3, 5));
	for (i = 0; i < 15; i++)
		ck_assert_int_eq(p[i], 0);
	memcpy(p, "abc", 4);
	p = xreallocarray(p, 1000, 7);
	ck_assert_str_eq(p, "abc");
	q = xstrdup(p);
	ck_assert_str_eq(q, "abc");
	free(p);
	p = xasprintf("%s-%d", q, 7);
	ck_assert_str_eq(p, "abc-7");
	free(p);
	free(q);
	ck_assert_ptr_nonnull(p = xcalloc(0, 8));
	free(p);
	ck_assert_ptr_nonnull(p = xreallocarray(NULL, 0, 8));
	free(p);
}
END_TEST

/* A product that overflows must end us and not give a small piece. */
START_TEST(test_overflow)
{
	volatile size_t half = SIZE_MAX / 2;
	int status;
	pid_t pid;

	if ((pid = fork()) == 0) {
		close(STDERR_FILENO);
		free(xreallocarray(NULL, half, 3));
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), EXIT_SYSTEM);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("mem");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_gives);
	tcase_add_test(t, test_overflow);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
