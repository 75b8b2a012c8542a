/* libcommon/json_slab.c */

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/json_slab.c"

/* Returns NULL when the slab is exhausted, as no caller of it ever sees. */
static void *
try_malloc(struct json_slab *s, size_t size)
{
	if (setjmp(s->exhausted) != 0)
		return NULL;
	return json_slab_malloc(s, size);
}

static void *
try_realloc(struct json_slab *s, void *ptr, size_t size)
{
	if (setjmp(s->exhausted) != 0)
		return NULL;
	return json_slab_realloc(s, ptr, size);
}

START_TEST(blocks)
{
	struct json_slab s;
	char *a, *b, *c;

	json_slab_init(&s, 256);
	a = try_malloc(&s, 1);
	b = try_malloc(&s, 20);
	ck_assert_uint_eq((uintptr_t)a % SLAB_ALIGN, 0);
	ck_assert_uint_eq((uintptr_t)b % SLAB_ALIGN, 0);
	ck_assert(b >= a + 1);
	memset(a, 'a', 1);
	memset(b, 'b', 20);
	/* The last grows where it is, the first moves. */
	ck_assert_ptr_eq(try_realloc(&s, b, 40), b);
	ck_assert_mem_eq(b, "bbbbbbbbbbbbbbbbbbbb", 20);
	c = try_realloc(&s, a, 2);
	ck_assert(c >= b + 40);
	ck_assert_int_eq(c[0], 'a');
	ck_assert_ptr_eq(try_realloc(&s, b, 10), b);
	ck_assert_ptr_nonnull(try_realloc(&s, NULL, 1));
	json_slab_free(&s, c);
	json_slab_done(&s);
	json_slab_done(&s);
}
END_TEST

START_TEST(exhausted)
{
	struct json_slab s;
	char *a;

	json_slab_init(&s, 64);
	ck_assert_ptr_null(try_malloc(&s, 65));
	ck_assert_ptr_null(try_malloc(&s, 49));
	ck_assert_ptr_null(try_malloc(&s, SIZE_MAX));
	a = try_malloc(&s, 16);
	ck_assert_ptr_nonnull(a);
	ck_assert_ptr_null(try_realloc(&s, a, 49));
	ck_assert_ptr_null(try_malloc(&s, 49));
	/* What was used is zeroed also when the last request failed. */
	ck_assert_uint_eq(s.high, 32);
	json_slab_done(&s);
}
END_TEST

int
main(void)
{
	Suite *s;
	TCase *tc;
	SRunner *sr;
	int failed;

	s = suite_create("json_slab");
	tc = tcase_create("json_slab");
	tcase_add_test(tc, blocks);
	tcase_add_test(tc, exhausted);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
