#include <check.h>
#include <stdlib.h>

#include "libcommon/punycode.c"

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

/* n: how many code points, -1 for a refusal. */
static const struct {
	const char *name, *input;
	int n;
	uint32_t want[PUNYCODE_MAX];
} decodes[] = {
	{ "RFC 3492 7.1 (R)", "d9juau41awczczp", 7,
	    { 0x305d, 0x306e, 0x30b9, 0x30d4, 0x30fc, 0x30c9, 0x3067 } },
	{ "RFC 3492 7.1 (L)", "3b-ww4c5e180e575a65lsy2b", 8,
	    { 0x33, 0x5e74, 0x62, 0x7d44, 0x91d1, 0x516b, 0x5148, 0x751f } },
	{ "RFC 3492 7.1 (B)", "ihqwcrb4cv8a8dqg056pqjye", 9,
	    { 0x4ed6, 0x4eec, 0x4e3a, 0x4ec0, 0x4e48, 0x4e0d, 0x8bf4, 0x4e2d,
	        0x6587 } },
	{ "ascii and one", "bcher-kva", 6, { 'b', 0xfc, 'c', 'h', 'e', 'r' } },
	{ "one alone", "tda", 1, { 0xfc } },
	{ "hyphens of its own", "ab--joa", 4, { 'a', 'b', '-', 0xfc } },
	{ "lowest", "a", 1, { 0x80 } },
	{ "highest", "dn32g", 1, { 0x10ffff } },
	{ "beyond the highest", "en32g", -1, { 0 } },
	{ "ascii alone", "abc-", 3, { 'a', 'b', 'c' } },
	{ "empty", "", 0, { 0 } },
	{ "a hyphen alone", "-", -1, { 0 } },
	{ "a hyphen first", "-tda", -1, { 0 } },
	{ "upper case", "TDA", -1, { 0 } },
	{ "unfinished number", "td", -1, { 0 } },
	{ "unfinished second", "bcher-kv", -1, { 0 } },
	{ "no digit", "t_a", -1, { 0 } },
	{ "no ascii", "\xc3\xbc-tda", -1, { 0 } },
	{ "overflow", "99999999999999999999", -1, { 0 } },
	{ "overflow behind ascii", "ab-9999999999", -1, { 0 } },
};

START_TEST(test_decode)
{
	uint32_t out[PUNYCODE_MAX] = { 0 };
	const char *in = decodes[_i].input;
	int n;

	n = punycode_decode(in, strlen(in), out);
	ck_assert_msg(n == decodes[_i].n, "%s: %d", decodes[_i].name, n);
	if (n > 0)
		ck_assert_mem_eq(
		    out, decodes[_i].want, (size_t)n * sizeof(out[0]));
}
END_TEST

START_TEST(test_decode_wraps)
{
	uint32_t out[PUNYCODE_MAX];
	const char *in = "43902716a";

	/* U+00FC plus 2^32: taken modulo 2^32 it would be a second "tda". */
	ck_assert_int_eq(punycode_decode(in, strlen(in), out), -1);
}
END_TEST

START_TEST(test_decode_length)
{
	uint32_t out[PUNYCODE_MAX];
	char s[PUNYCODE_MAX + 1];
	int i;

	/* U+0080 as often as it fits: as many code points as bytes. */
	memset(s, 'a', sizeof(s));
	ck_assert_int_eq(punycode_decode(s, PUNYCODE_MAX, out), PUNYCODE_MAX);
	for (i = 0; i < PUNYCODE_MAX; i++)
		ck_assert_uint_eq(out[i], 0x80);
	ck_assert_int_eq(punycode_decode(s, PUNYCODE_MAX + 1, out), -1);
}
END_TEST

static const struct {
	const char *name, *input;
	bool want;
} alabels[] = {
	{ "buecher", "bcher-kva", true },
	{ "sharp s", "fa-hia", true },
	{ "chinese", "fiqs8s", true },
	{ "cyrillic", "e1afmkfd", true },
	{ "joiner, allowed by context", "ab-m1t", true },
	{ "middle dot, allowed by context", "ll-0ea", true },
	{ "a snowman resolves", "n3h", true },
	{ "A11 empty", "", false },
	{ "A11 ascii alone", "abc-", false },
	{ "A11 does not decode", "zz--", false },
	{ "A11 overflow", "99999999", false },
	{ "A11 underscore", "_-dha", false },
	{ "A11 a dot inside", ".x-wka", false },
	{ "A11 hyphen first", "--eha", false },
	{ "A11 hyphen last", "--dha", false },
	{ "A11 hyphens third and fourth", "ab---3ra", false },
	{ "A11 xn-- within", "xn---3ra", false },
	{ "every kind of ASCII", "0a9z-zra", true },
	{ "A11 one hyphen is fine", "ab--joa", true },
	{ "A2 ideographic full stop", "ab-r13a", false },
	{ "A2 soft hyphen", "ab-5da", false },
	{ "A2 right-to-left override", "ab-g4t", false },
	{ "A2 full width digit", "bh7c", false },
	{ "byte order mark", "a-6m0i", false },
	{ "tag letter", "a-b611m", false },
	{ "C1 control", "a", false },
	{ "surrogate", "ib9b", false },
	{ "highest code point", "dn32g", false },
	{ "capital, latin", "bcher-2pa", false },
	{ "capital, greek", "b-4jb", false },
	{ "capital, ascii", "A-dha", false },
};

START_TEST(test_alabel)
{
	const char *in = alabels[_i].input;

	ck_assert_msg(punycode_alabel_valid(in, strlen(in)) == alabels[_i].want,
	    "%s", alabels[_i].name);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("punycode");
	TCase *tc = tcase_create("punycode");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, test_decode, 0, ROWS(decodes));
	tcase_add_test(tc, test_decode_wraps);
	tcase_add_test(tc, test_decode_length);
	tcase_add_loop_test(tc, test_alabel, 0, ROWS(alabels));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
