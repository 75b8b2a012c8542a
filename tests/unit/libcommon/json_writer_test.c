/* libcommon/json_writer.c */

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* The allocation with this number fails; 0: none. */
static int fail_at;

static void *
test_recallocarray(void *p, size_t old, size_t n, size_t size)
{
	if (fail_at > 0 && --fail_at == 0)
		return NULL;
	return recallocarray(p, old, n, size);
}

#define recallocarray test_recallocarray
#include "libcommon/json_writer.c"
#undef recallocarray

#define NROWS(rows) ((int)(sizeof(rows) / sizeof((rows)[0])))

static const struct string_row {
	const char *name;
	const char *text;
	const char *want; /* NULL: refused */
} string_rows[] = {
	{ "empty", "", "\"\"" },
	{ "all that is plain", " !#$%&'()*+,-./09:;<=>?@AZ[]^_`az{|}~",
	    "\" !#$%&'()*+,-./09:;<=>?@AZ[]^_`az{|}~\"" },
	{ "quote and backslash", "a\"b\\c", "\"a\\\"b\\\\c\"" },
	{ "control characters", "\n\t\r\b\f\x01\x1f",
	    "\"\\u000a\\u0009\\u000d\\u0008\\u000c\\u0001\\u001f\"" },
	{ "terminal escape", "\x1b[31m", "\"\\u001b[31m\"" },
	{ "DEL", "\x7f", "\"\\u007f\"" },
	{ "C1 control character", "\xc2\x9b", "\"\\u009b\"" },
	{ "two bytes", "\xc3\xa9", "\"\\u00e9\"" },
	{ "three bytes", "\xe2\x82\xac", "\"\\u20ac\"" },
	{ "right-to-left override",
	    "a\xe2\x80\xae"
	    "b",
	    "\"a\\u202eb\"" },
	{ "four bytes", "\xf0\x9f\x98\x80", "\"\\ud83d\\ude00\"" },
	{ "the first of four bytes", "\xf0\x90\x80\x80", "\"\\ud800\\udc00\"" },
	{ "the last", "\xf4\x8f\xbf\xbf", "\"\\udbff\\udfff\"" },
	{ "U+FFFF", "\xef\xbf\xbf", "\"\\uffff\"" },
	{ "lone continuation", "a\x80", NULL },
	{ "overlong", "\xc0\xaf", NULL },
	{ "surrogate", "\xed\xa0\x80", NULL },
	{ "too high", "\xf4\x90\x80\x80", NULL },
	{ "cut", "\xe2\x82", NULL },
	{ "no string", NULL, NULL },
};

START_TEST(strings)
{
	const struct string_row *r = &string_rows[_i];
	struct json_writer *w;
	const char *text;
	size_t len;
	int ok;

	w = json_writer_new(1000);
	json_string(w, r->text);
	ok = json_writer_end(w, &text, &len);
	if (r->want == NULL) {
		ck_assert_msg(ok == -1, "%s", r->name);
	} else {
		ck_assert_msg(ok == 0, "%s", r->name);
		ck_assert_str_eq(text, r->want);
		ck_assert_uint_eq(len, strlen(r->want));
	}
	json_writer_free(&w);
	ck_assert_ptr_null(w);
	/* As a key it is no other. */
	w = json_writer_new(1000);
	json_open_object(w);
	json_key(w, r->text);
	json_null(w);
	json_close_object(w);
	ck_assert_int_eq(json_writer_end(w, &text, &len), ok);
	json_writer_free(&w);
}
END_TEST

/*
 * A call a letter: { } [ ] as they are, k key, s string, i int, t and f bool,
 * n null.
 */
static void
play(struct json_writer *w, const char *calls)
{
	for (; *calls != '\0'; calls++) {
		switch (*calls) {
		case '{':
			json_open_object(w);
			break;
		case '}':
			json_close_object(w);
			break;
		case '[':
			json_open_array(w);
			break;
		case ']':
			json_close_array(w);
			break;
		case 'k':
			json_key(w, "k");
			break;
		case 's':
			json_string(w, "s");
			break;
		case 'i':
			json_int(w, -12);
			break;
		case 't':
			json_bool(w, true);
			break;
		case 'f':
			json_bool(w, false);
			break;
		default:
			json_null(w);
			break;
		}
	}
}

static const struct shape_row {
	const char *calls;
	const char *want; /* NULL: refused */
} shape_rows[] = {
	{ "", "" },
	{ "n", "null" },
	{ "i", "-12" },
	{ "{}", "{}" },
	{ "[]", "[]" },
	{ "[stfni]", "[\"s\",true,false,null,-12]" },
	{ "[[][]]", "[[],[]]" },
	{ "[{}{}]", "[{},{}]" },
	{ "{ksks}", "{\"k\":\"s\",\"k\":\"s\"}" },
	{ "{k{}k[]kn}", "{\"k\":{},\"k\":[],\"k\":null}" },
	{ "{k[{ki}t]kf}", "{\"k\":[{\"k\":-12},true],\"k\":false}" },
	{ "{ks", "{\"k\":\"s\"" },
	{ "nn", NULL },
	{ "{}{}", NULL },
	{ "k", NULL },
	{ "[k", NULL },
	{ "{s", NULL },
	{ "{{", NULL },
	{ "{kk", NULL },
	{ "{k}", NULL },
	{ "{]", NULL },
	{ "[}", NULL },
	{ "}", NULL },
	{ "]", NULL },
	{ "[]]", NULL },
	{ "[s}]", NULL },
	{ "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", NULL },
};

START_TEST(shapes)
{
	const struct shape_row *r = &shape_rows[_i];
	struct json_writer *w;
	const char *text;
	size_t len;
	int ok;

	w = json_writer_new(1000);
	play(w, r->calls);
	ok = json_writer_end(w, &text, &len);
	if (r->want == NULL) {
		ck_assert_msg(ok == -1, "%s", r->calls);
		/* What failed stays failed. */
		play(w, "[]");
		ck_assert_int_eq(json_writer_end(w, &text, &len), -1);
	} else {
		ck_assert_msg(ok == 0, "%s", r->calls);
		ck_assert_str_eq(text, r->want);
		ck_assert_uint_eq(len, strlen(r->want));
	}
	json_writer_free(&w);
}
END_TEST

static const struct int_row {
	int64_t n;
	const char *want;
} int_rows[] = {
	{ 0, "0" },
	{ -1, "-1" },
	{ INT64_MAX, "9223372036854775807" },
	{ INT64_MIN, "-9223372036854775808" },
};

START_TEST(ints)
{
	struct json_writer *w;
	const char *text;
	size_t len;

	w = json_writer_new(20);
	json_int(w, int_rows[_i].n);
	ck_assert_int_eq(json_writer_end(w, &text, &len), 0);
	ck_assert_str_eq(text, int_rows[_i].want);
	json_writer_free(&w);
}
END_TEST

START_TEST(cap)
{
	struct json_writer *w;
	const char *text;
	size_t len, n;
	char *big;

	big = malloc(100001);
	ck_assert_ptr_nonnull(big);
	memset(big, 'x', 100000);
	big[100000] = '\0';
	for (n = 100000; n < 100004; n++) {
		w = json_writer_new(n);
		json_string(w, big);
		ck_assert_int_eq(
		    json_writer_end(w, &text, &len), n >= 100002 ? 0 : -1);
		if (n >= 100002) {
			ck_assert_uint_eq(len, 100002);
			ck_assert_uint_eq(strlen(text), len);
		}
		json_writer_free(&w);
	}
	w = json_writer_new(0);
	ck_assert_int_eq(json_writer_end(w, &text, &len), 0);
	ck_assert_uint_eq(len, 0);
	json_null(w);
	ck_assert_int_eq(json_writer_end(w, &text, &len), -1);
	json_writer_free(&w);
	free(big);
}
END_TEST

START_TEST(no_memory)
{
	struct json_writer *w;
	const char *text;
	size_t len;
	int i;

	w = json_writer_new(10000);
	fail_at = 2;
	json_open_array(w);
	for (i = 0; i < 1000; i++)
		json_int(w, i);
	json_close_array(w);
	ck_assert_int_eq(fail_at, 0);
	ck_assert_int_eq(json_writer_end(w, &text, &len), -1);
	json_writer_free(&w);
	json_writer_free(&w);
	json_writer_free(NULL);
	/* A writer that was never had may be passed on. */
	play(NULL, "{k[stfni]}");
	ck_assert_int_eq(json_writer_end(NULL, &text, &len), -1);
}
END_TEST

int
main(void)
{
	Suite *s;
	TCase *tc;
	SRunner *sr;
	int failed;

	s = suite_create("json_writer");
	tc = tcase_create("json_writer");
	tcase_add_loop_test(tc, strings, 0, NROWS(string_rows));
	tcase_add_loop_test(tc, shapes, 0, NROWS(shape_rows));
	tcase_add_loop_test(tc, ints, 0, NROWS(int_rows));
	tcase_add_test(tc, cap);
	tcase_add_test(tc, no_memory);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
