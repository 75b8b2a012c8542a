/* libcommon/utf8.c */

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/utf8.c"

static const struct decode_row {
	const char *name;
	const char *text;
	size_t len;
	size_t want;
	uint32_t cp;
} decode_rows[] = {
	{ "nothing", "", 0, 0, 0 },
	{ "NUL", "\0", 1, 1, 0 },
	{ "ASCII", "ab", 2, 1, 'a' },
	{ "DEL", "\x7f", 1, 1, 0x7f },
	{ "lone continuation", "\x80", 1, 0, 0 },
	{ "last continuation", "\xbf", 1, 0, 0 },
	{ "C0", "\xc0\x80", 2, 0, 0 },
	{ "C1", "\xc1\xbf", 2, 0, 0 },
	{ "first of two", "\xc2\x80", 2, 2, 0x80 },
	{ "last of two", "\xdf\xbf", 2, 2, 0x7ff },
	{ "two, cut", "\xdf", 1, 0, 0 },
	{ "two, no continuation", "\xc2\x41", 2, 0, 0 },
	{ "two, start for continuation", "\xc2\xc2", 2, 0, 0 },
	{ "three, overlong", "\xe0\x9f\xbf", 3, 0, 0 },
	{ "first of three", "\xe0\xa0\x80", 3, 3, 0x800 },
	{ "before the surrogates", "\xed\x9f\xbf", 3, 3, 0xd7ff },
	{ "first surrogate", "\xed\xa0\x80", 3, 0, 0 },
	{ "last surrogate", "\xed\xbf\xbf", 3, 0, 0 },
	{ "behind the surrogates", "\xee\x80\x80", 3, 3, 0xe000 },
	{ "last of three", "\xef\xbf\xbf", 3, 3, 0xffff },
	{ "three, cut", "\xe2\x82", 2, 0, 0 },
	{ "three, second bad", "\xe2\x28\xa1", 3, 0, 0 },
	{ "three, third bad", "\xe2\x82\x28", 3, 0, 0 },
	{ "four, overlong", "\xf0\x8f\xbf\xbf", 4, 0, 0 },
	{ "first of four", "\xf0\x90\x80\x80", 4, 4, 0x10000 },
	{ "an emoji and more", "\xf0\x9f\x98\x80x", 5, 4, 0x1f600 },
	{ "last of four", "\xf4\x8f\xbf\xbf", 4, 4, 0x10ffff },
	{ "too high", "\xf4\x90\x80\x80", 4, 0, 0 },
	{ "F5", "\xf5\x80\x80\x80", 4, 0, 0 },
	{ "five bytes", "\xf8\x88\x80\x80\x80", 5, 0, 0 },
	{ "four, cut", "\xf0\x9f\x98", 3, 0, 0 },
	{ "FF", "\xff", 1, 0, 0 },
};

START_TEST(decode)
{
	const struct decode_row *r = &decode_rows[_i];
	uint32_t cp;
	char *copy;
	size_t n;

	copy = malloc(r->len > 0 ? r->len : 1);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, r->text, r->len);
	cp = 0;
	n = utf8_decode(copy, r->len, &cp);
	ck_assert_msg(n == r->want, "%s: %zu", r->name, n);
	ck_assert_uint_eq(cp, r->cp);
	free(copy);
}
END_TEST

int
main(void)
{
	Suite *s;
	TCase *tc;
	SRunner *sr;
	int failed;

	s = suite_create("utf8");
	tc = tcase_create("utf8");
	tcase_add_loop_test(
	    tc, decode, 0, (int)(sizeof(decode_rows) / sizeof(decode_rows[0])));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
