/* libcommon/json_scan.c; more of it, by way of json_parse, in json_test.c */

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/json_scan.c"

#define NROWS(rows) ((int)(sizeof(rows) / sizeof((rows)[0])))

static const struct scan_row {
	const char *name;
	const char *text;
	const char *want; /* NULL: nothing wrong */
	size_t n; /* values at most, or the offset */
} scan_rows[] = {
	{ "nothing", "", NULL, 1 },
	{ "empty array", "[]", NULL, 2 },
	{ "three", "[1,2]", NULL, 3 },
	{ "nested", "{\"a\":[1,{}],\"b\":2}", NULL, 6 },
	{ "commas in a string count too", "\"a,b[c{\"", NULL, 4 },
	{ "unfinished escapes are yajl's", "\"\\u12\\x\\", NULL, 1 },
	{ "surrogate digits are no digits", "\"\\ud80g\"", NULL, 1 },
	{ "offset of a byte", "ab\x01", "control character", 2 },
	{ "offset of UTF-8", "\xc3\xa9\xff", "invalid UTF-8", 2 },
	{ "offset of an escape", "\"\\n\\u0000\"", "NUL in a string", 3 },
	{ "offset of a surrogate", "\"\\\\\\udc00\"",
	    "lone surrogate in a string", 3 },
	{ "the first of two", "\x01\xff", "control character", 0 },
};

START_TEST(scan)
{
	const struct scan_row *r = &scan_rows[_i];
	size_t values, off;
	const char *why;

	why = json_scan(r->text, strlen(r->text), &values, &off);
	if (r->want == NULL) {
		ck_assert_msg(why == NULL, "%s: %s", r->name, why);
		ck_assert_uint_eq(values, r->n);
	} else {
		ck_assert_msg(why != NULL, "%s", r->name);
		ck_assert_str_eq(why, r->want);
		ck_assert_uint_eq(off, r->n);
	}
}
END_TEST

static const struct tail_row {
	const char *text;
	bool comments;
	const char *want;
} tail_rows[] = {
	{ "", false, NULL },
	{ " \t\r\n", false, NULL },
	{ "x", false, "something behind the value" },
	{ " \f", false, "something behind the value" },
	{ "//", false, "something behind the value" },
	{ "//", true, NULL },
	{ "// a\n//b\n ", true, NULL },
	{ "// a\nb", true, "something behind the value" },
	{ "/**/ /* \n */", true, NULL },
	{ "/*/", true, "comment without an end" },
	{ "/* *", true, "comment without an end" },
	{ "/", true, "something behind the value" },
	{ "/ /", true, "something behind the value" },
};

START_TEST(tail)
{
	const struct tail_row *r = &tail_rows[_i];
	const char *why;

	why = json_scan_tail(r->text, strlen(r->text), r->comments);
	if (r->want == NULL)
		ck_assert_msg(why == NULL, "%s: %s", r->text, why);
	else
		ck_assert_msg(
		    why != NULL && strcmp(why, r->want) == 0, "%s", r->text);
}
END_TEST

int
main(void)
{
	Suite *s;
	TCase *tc;
	SRunner *sr;
	int failed;

	s = suite_create("json_scan");
	tc = tcase_create("json_scan");
	tcase_add_loop_test(tc, scan, 0, NROWS(scan_rows));
	tcase_add_loop_test(tc, tail, 0, NROWS(tail_rows));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
