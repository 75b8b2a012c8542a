/* What compat/ has for libbsd's functions, tried beside libbsd's own. */

#include <check.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define WATCHED 4096

/* Freed memory may not be looked at: this one is, just before it goes. */
static unsigned char *freed;
static size_t freed_dirty;
static size_t freed_len;

static void
free_watched(void *p)
{
	size_t i;

	freed = p;
	freed_dirty = 0;
	for (i = 0; i < freed_len; i++)
		freed_dirty += freed[i] != 0;
	free(p);
}

#define explicit_bzero compat_bzero
#define freezero compat_freezero
#define reallocarray compat_reallocarray
#define recallocarray compat_recallocarray
#define free free_watched
void compat_bzero(void *, size_t);
void compat_freezero(void *, size_t);
void *compat_reallocarray(void *, size_t, size_t);
void *compat_recallocarray(void *, size_t, size_t, size_t);
#include "libcommon/compat/alloc.c"
#undef explicit_bzero
#undef freezero
#undef reallocarray
#undef recallocarray
#undef free

/* The address sanitizer would end us itself when too much is asked for. */
const char *__asan_default_options(void);
const char *
__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static unsigned char *
filled(size_t len)
{
	unsigned char *p;

	ck_assert_ptr_nonnull(p = malloc(len));
	memset(p, 0xa5, len);
	freed_len = len;
	return p;
}

START_TEST(test_wipes)
{
	unsigned char *p = filled(WATCHED);
	size_t i;

	compat_bzero(p, WATCHED - 1);
	for (i = 0; i < WATCHED - 1; i++)
		ck_assert_int_eq(p[i], 0);
	ck_assert_int_eq(p[WATCHED - 1], 0xa5);
	memset(p, 0xa5, WATCHED);
	compat_freezero(p, WATCHED);
	ck_assert_ptr_eq(freed, p);
	ck_assert_uint_eq(freed_dirty, 0);
	freed = NULL;
	compat_freezero(NULL, WATCHED);
	ck_assert_ptr_null(freed);
}
END_TEST

static const struct {
	size_t n, size;
} too_much[] = {
	{ SIZE_MAX / 2, 3 },
	{ 3, SIZE_MAX / 2 },
	{ SIZE_MAX, SIZE_MAX },
	{ SIZE_MAX / 2 + 1, 2 },
};

/* Neither gives a small piece for a product that overflows, nor takes p. */
START_TEST(test_overflow)
{
	volatile size_t n = too_much[_i].n, size = too_much[_i].size;
	unsigned char *p = filled(16);

	errno = 0;
	ck_assert_ptr_null(compat_reallocarray(p, n, size));
	ck_assert_int_eq(errno, ENOMEM);
	errno = 0;
	ck_assert_ptr_null(reallocarray(p, n, size));
	ck_assert_int_eq(errno, ENOMEM);
	errno = 0;
	ck_assert_ptr_null(compat_recallocarray(p, 16, n, size));
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_int_eq(p[15], 0xa5);
	free(p);
}
END_TEST

START_TEST(test_reallocarray)
{
	char *p;

	ck_assert_ptr_nonnull(p = compat_reallocarray(NULL, 2, 3));
	memcpy(p, "hello", 6);
	ck_assert_ptr_nonnull(p = compat_reallocarray(p, 1000, 6));
	ck_assert_str_eq(p, "hello");
	free(p);
}
END_TEST

static const struct {
	size_t had, n, size;
} moves[] = {
	{ 4, 9, 7 },
	{ 9, 4, 7 },
	{ 5, 5, 5 },
	{ 1, WATCHED, 1 },
	{ WATCHED, 1, 1 },
	{ 3, 0, 4 },
};

/* What it had is kept, what is new is zero, what is left behind is wiped. */
START_TEST(test_recallocarray)
{
	size_t had = moves[_i].had * moves[_i].size, i;
	size_t n = moves[_i].n * moves[_i].size;
	unsigned char *p = filled(had), *q;

	q = compat_recallocarray(p, moves[_i].had, moves[_i].n, moves[_i].size);
	ck_assert_ptr_nonnull(q);
	ck_assert_ptr_eq(freed, p);
	ck_assert_uint_eq(freed_dirty, 0);
	for (i = 0; i < n; i++)
		ck_assert_int_eq(q[i], i < had ? 0xa5 : 0);
	free(q);
}
END_TEST

START_TEST(test_recallocarray_first)
{
	unsigned char *p;
	size_t i;

	ck_assert_ptr_nonnull(p = compat_recallocarray(NULL, 0, 5, 4));
	for (i = 0; i < 20; i++)
		ck_assert_int_eq(p[i], 0);
	errno = 0;
	ck_assert_ptr_null(compat_recallocarray(p, SIZE_MAX / 2, 1, (size_t)4));
	ck_assert_int_eq(errno, EINVAL);
	free(p);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("compat_alloc");
	TCase *t = tcase_create("compat_alloc");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_wipes);
	tcase_add_loop_test(
	    t, test_overflow, 0, sizeof(too_much) / sizeof(too_much[0]));
	tcase_add_test(t, test_reallocarray);
	tcase_add_loop_test(
	    t, test_recallocarray, 0, sizeof(moves) / sizeof(moves[0]));
	tcase_add_test(t, test_recallocarray_first);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
