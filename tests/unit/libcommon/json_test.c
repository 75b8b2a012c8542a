/* libcommon/json.c, with json_scan.c and json_slab.c behind it */

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The allocation with this number fails; 0: none. */
static int fail_at;
static size_t allocated;

static void *
test_malloc(size_t size)
{
	if (fail_at > 0 && --fail_at == 0)
		return NULL;
	allocated += size;
	return malloc(size);
}

static void *
test_calloc(size_t n, size_t size)
{
	if (fail_at > 0 && --fail_at == 0)
		return NULL;
	allocated += n * size;
	return calloc(n, size);
}

static int
test_heapsort(void *base, size_t n, size_t size,
    int (*compare)(const void *, const void *))
{
	if (fail_at > 0 && --fail_at == 0)
		return -1;
	return heapsort(base, n, size, compare);
}

#define malloc test_malloc
#define calloc test_calloc
#define heapsort test_heapsort
#include "libcommon/json.c"
#include "libcommon/json_slab.c"
#undef malloc
#undef calloc
#undef heapsort

#define NROWS(rows) ((int)(sizeof(rows) / sizeof((rows)[0])))

static void
render_value(const struct json_node *n, struct json_writer *w)
{
	if (n->key != NULL)
		json_key(w, n->key);
	switch (n->type) {
	case JSON_NULL:
		json_null(w);
		break;
	case JSON_BOOL:
		json_bool(w, n->num != 0);
		break;
	case JSON_INT:
		json_int(w, n->num);
		break;
	case JSON_STRING:
		ck_assert_uint_eq(strlen(n->str), n->len);
		json_string(w, n->str);
		break;
	case JSON_ARRAY:
		json_open_array(w);
		break;
	case JSON_OBJECT:
		json_open_object(w);
		break;
	}
}

/* The document in the writer's form, which the caller frees. */
static char *
render(const struct json_doc *doc)
{
	const struct json_node *stack[JSON_DEPTH_MAX + 1], *n;
	struct json_writer *w;
	const char *text;
	size_t len, depth;
	char *copy;

	w = json_writer_new(16 * 1024 * 1024);
	depth = 0;
	n = json_root(doc);
	for (;;) {
		if (n != NULL) {
			render_value(n, w);
			if (n->type == JSON_ARRAY || n->type == JSON_OBJECT) {
				stack[depth++] = n;
				n = n->child;
			} else {
				n = n->next;
			}
			continue;
		}
		if (depth == 0)
			break;
		n = stack[--depth];
		if (n->type == JSON_OBJECT)
			json_close_object(w);
		else
			json_close_array(w);
		n = n->next;
	}
	ck_assert_int_eq(json_writer_end(w, &text, &len), 0);
	copy = strdup(text);
	json_writer_free(&w);
	return copy;
}

/* From memory of just its size, so that a byte too far is seen. */
static struct json_doc *
parse_exact(const char *text, size_t len, const struct json_limits *lim,
    struct json_error *err)
{
	struct json_doc *doc;
	char *copy;

	copy = malloc(len > 0 ? len : 1);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, len);
	doc = json_parse(copy, len, lim, err);
	free(copy);
	return doc;
}

/* --- what is accepted ------------------------------------------------- */

static const struct json_limits test_limits = {
	.bytes = 1048576, .nodes = 1000, .depth = 8, .comments = false
};

static const struct accept_row {
	const char *name;
	const char *text;
	const char *want; /* NULL: the text itself */
} accept_rows[] = {
	{ "empty object", "{}", NULL },
	{ "empty array", "[]", NULL },
	{ "arrays with space", "[ [] , [ ] ]", "[[],[]]" },
	{ "all kinds",
	    "{\"a\":null,\"b\":true,\"c\":false,\"d\":[1,\"x\"],"
	    "\"e\":{\"a\":{}}}",
	    NULL },
	{ "only null", "null", NULL },
	{ "only true", "true", NULL },
	{ "only a string", "\"asd\"", NULL },
	{ "only an empty string", "\"\"", NULL },
	{ "only 0", "0", NULL },
	{ "only a number", "42", NULL },
	{ "only a negative number, newline behind", "-1\n", "-1" },
	{ "every space", " \t\r\n[\t\r\n 1 \t\r\n] \t\r\n", "[1]" },
	{ "empty key", "{\"\":0}", NULL },
	{ "same key, other objects", "[{\"a\":1},{\"a\":{\"a\":1}}]", NULL },
	{ "keys that begin alike", "{\"a\":1,\"ab\":2,\"\":3,\"b\":4}", NULL },
	{ "int64 max", "[9223372036854775807]", NULL },
	{ "int64 min", "[-9223372036854775808]", NULL },
	{ "ten", "[10,-10,100]", NULL },
	{ "escapes", "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]",
	    "[\"\\\"\\\\/\\u0008\\u000c\\u000a\\u000d\\u0009\"]" },
	{ "escapes of 4 digits", "[\"\\u0060\\u012a\\u12AB\"]",
	    "[\"`\\u012a\\u12ab\"]" },
	{ "escaped control character", "[\"\\u0012\\u001f\"]", NULL },
	{ "backslash before u", "[\"\\\\u0000\\\\ud800\"]", NULL },
	{ "backslashes before an escape", "[\"\\\\\\u0041\"]", "[\"\\\\A\"]" },
	{ "a pair of surrogates", "[\"\\uD801\\udc37\"]",
	    "[\"\\ud801\\udc37\"]" },
	{ "the last pair", "[\"\\udbff\\udfff\"]", NULL },
	{ "the first pair", "[\"\\ud800\\udc00\"]", NULL },
	{ "two pairs", "[\"\\ud83d\\ude39\\ud83d\\udc8d\"]", NULL },
	{ "around the surrogates", "[\"\\ud7ff\\ue000\"]", NULL },
	{ "noncharacters", "[\"\\ufdd0\\ufffe\\uffff\"]", NULL },
	{ "UTF-8 of two bytes", "[\"\xc2\x80\xdf\xbf\"]",
	    "[\"\\u0080\\u07ff\"]" },
	{ "UTF-8 of three bytes", "[\"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\"]",
	    "[\"\\u0800\\ud7ff\\ue000\"]" },
	{ "UTF-8 of four bytes", "[\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"]",
	    "[\"\\ud800\\udc00\\udbff\\udfff\"]" },
	{ "UTF-8 in a key", "{\"\xc3\xa9\":\"\xe2\x82\xac\"}",
	    "{\"\\u00e9\":\"\\u20ac\"}" },
	{ "DEL", "[\"\x7f\"]", "[\"\\u007f\"]" },
	{ "line separator", "[\"\xe2\x80\xa8\"]", "[\"\\u2028\"]" },
	{ "comment in a string", "[\"a/*b*/c//d\"]", NULL },
	{ "brackets in a string", "[\"[[[[[[[[[[,,,,{{{{\"]", NULL },
	{ "depth 8", "[[[[[[[[1]]]]]]]]", NULL },
	{ "depth 8, both kinds", "[{\"a\":[{\"a\":[{\"a\":[{\"a\":1}]}]}]}]",
	    NULL },
};

START_TEST(accept)
{
	const struct accept_row *r = &accept_rows[_i];
	struct json_error err = { 0 };
	struct json_doc *doc;
	char *text;

	doc = parse_exact(r->text, strlen(r->text), &test_limits, &err);
	ck_assert_msg(doc != NULL, "%s: %s", r->name, err.what);
	text = render(doc);
	ck_assert_msg(strcmp(text, r->want != NULL ? r->want : r->text) == 0,
	    "%s: %s", r->name, text);
	free(text);
	json_free(&doc);
	ck_assert_ptr_null(doc);
}
END_TEST

/* --- what is refused -------------------------------------------------- */

static const struct refuse_row {
	const char *name;
	const char *text;
	size_t len; /* 0: strlen */
	unsigned line;
	const char *what; /* begins so */
} refuse_rows[] = {
	{ "nothing", "", 0, 1, "parse error: premature EOF" },
	{ "only space", " \n ", 0, 2, "parse error: premature EOF" },
	{ "only a comma", ",", 0, 1, "parse error: unallowed token" },
	{ "array, no end", "[\n1", 0, 2, "parse error: premature EOF" },
	{ "array, no end behind a comma", "[1,\n", 0, 2, "parse error" },
	{ "array, comma at the end", "[1,]", 0, 1, "parse error" },
	{ "array, comma at the start", "[,1]", 0, 1, "parse error" },
	{ "array, two commas", "[1,,2]", 0, 1, "parse error" },
	{ "array, no comma", "[1\n\"a\"]", 0, 2, "parse error: after array" },
	{ "array, colon", "[1:2]", 0, 1, "parse error: after array" },
	{ "array, closed as object", "[1}", 0, 1, "parse error" },
	{ "array, closed twice", "[1]]", 0, 1, "parse error: trailing" },
	{ "object, no end", "{\"a\":1", 0, 1, "parse error: premature EOF" },
	{ "object, comma at the end", "{\"a\":1,}", 0, 1,
	    "parse error: invalid object key" },
	{ "object, two commas", "{\"a\":1,,\"b\":2}", 0, 1,
	    "parse error: invalid object key" },
	{ "object, no value", "{\"a\":}", 0, 1, "parse error: unallowed" },
	{ "object, no colon", "{\"a\" 1}", 0, 1, "parse error: object key" },
	{ "object, two colons", "{\"a\"::1}", 0, 1, "parse error: unallowed" },
	{ "object, comma for a colon", "{\"a\",1}", 0, 1,
	    "parse error: object key" },
	{ "object, key only", "{\"a\"}", 0, 1, "parse error: object key" },
	{ "object, key without quotes", "{a:1}", 0, 1, "lexical error" },
	{ "object, key in single quotes", "{'a':1}", 0, 1, "lexical error" },
	{ "object, number for a key", "{1:1}", 0, 1,
	    "parse error: invalid object key" },
	{ "object, null for a key", "{null:1}", 0, 1,
	    "parse error: invalid object key" },
	{ "object, array for a key", "{[]:1}", 0, 1,
	    "parse error: invalid object key" },
	{ "object, closed as array", "{\"a\":1]", 0, 1, "parse error" },
	{ "literal, upper case", "[True]", 0, 1, "lexical error" },
	{ "literal, cut", "[tru]", 0, 1, "lexical error" },
	{ "literal, cut at the end", "nul", 0, 1, "lexical error" },
	{ "literal, more behind", "[nullx]", 0, 1, "lexical error" },
	{ "bare word", "[abc]", 0, 1, "lexical error" },
	{ "NaN", "[NaN]", 0, 1, "lexical error" },
	{ "Infinity", "[-Infinity]", 0, 1, "lexical error" },
	{ "lone minus", "[-]", 0, 1, "lexical error" },
	{ "plus", "[+1]", 0, 1, "lexical error" },
	{ "leading zero", "[01]", 0, 1, "parse error: after array" },
	{ "leading zero, negative", "[-01]", 0, 1, "number that is no" },
	{ "hexadecimal", "[0x1]", 0, 1, "lexical error" },
	{ "digits of full width", "[\xef\xbc\x91]", 0, 1, "lexical error" },
	{ "point first", "[.5]", 0, 1, "lexical error" },
	{ "point last", "[1.]", 0, 1, "lexical error" },
	{ "exponent without digits", "[1e]", 0, 1, "lexical error" },
	{ "minus zero", "[-0]", 0, 1, "number that is no 64-bit integer" },
	{ "minus zero alone", "-0", 0, 1, "number that is no 64-bit integer" },
	{ "fraction", "[\n1.0]", 0, 2, "number that is no 64-bit integer" },
	{ "exponent", "[1e2]", 0, 1, "number that is no 64-bit integer" },
	{ "1e999", "[1E+999]", 0, 1, "number that is no 64-bit integer" },
	{ "int64 max + 1", "[9223372036854775808]", 0, 1, "number that is" },
	{ "int64 min - 1", "[-9223372036854775809]", 0, 1, "number that is" },
	{ "2^64", "[18446744073709551616]", 0, 1, "number that is no" },
	{ "2^64 + 1", "[18446744073709551617]", 0, 1, "number that is no" },
	{ "string, no end", "[\"a", 0, 1, "parse error: premature EOF" },
	{ "string, no end but an escape", "[\"a\\\"]", 0, 1,
	    "parse error: premature EOF" },
	{ "string, bad escape", "[\"\\x41\"]", 0, 1, "lexical error" },
	{ "string, escaped newline", "[\"\\\n\"]", 0, 1, "lexical error" },
	{ "string, escaped quote of its own", "[\"\\'\"]", 0, 1,
	    "lexical error" },
	{ "string, escape of UTF-8", "[\"\\\xc3\xa5\"]", 0, 1,
	    "lexical error" },
	{ "string, short escape", "[\"\\u00A\"]", 0, 1, "lexical error" },
	{ "string, escape cut", "[\"\\u12", 0, 1, "lexical error" },
	{ "string, upper case U", "[\"\\U0041\"]", 0, 1, "lexical error" },
	{ "string, newline", "[\"a\nb\"]", 0, 1, "lexical error" },
	{ "string, tab", "[\"\t\"]", 0, 1, "lexical error" },
	{ "string, 0x1f", "[\"\x1f\"]", 0, 1, "control character" },
	{ "string, single quotes", "['a']", 0, 1, "lexical error" },
	{ "NUL in a string", "[\n\"a\0b\"]", 8, 2, "control character" },
	{ "NUL behind", "[]\0", 3, 1, "control character" },
	{ "NUL between", "[\0]", 3, 1, "control character" },
	{ "NUL escaped", "[1,\n\"a\\u0000b\"]", 0, 2, "NUL in a string" },
	{ "NUL escaped in a key", "{\"a\\u0000\":1}", 0, 1, "NUL in a string" },
	{ "NUL for a low surrogate", "[\"\\ud800\\u0000\"]", 0, 1,
	    "lone surrogate" },
	{ "form feed", "[\f]", 0, 1, "control character" },
	{ "vertical tab", "[\v]", 0, 1, "control character" },
	{ "escape character", "[\x1b]", 0, 1, "control character" },
	{ "no-break space", "[\xc2\xa0]", 0, 1, "lexical error" },
	{ "byte order mark", "\xef\xbb\xbf{}", 0, 1, "lexical error" },
	{ "UTF-16", "\xff\xfe[\0]\0", 6, 1, "invalid UTF-8" },
	{ "high surrogate alone", "[\"\\ud800\"]", 0, 1, "lone surrogate" },
	{ "high surrogate, then text", "[\"\\ud800abcdef\"]", 0, 1,
	    "lone surrogate" },
	{ "high surrogate, then another", "[\"\\ud800\\ud800\\udc00\"]", 0, 1,
	    "lone surrogate" },
	{ "high surrogate, other escape", "[\"\\ud800\\n\"]", 0, 1,
	    "lone surrogate" },
	{ "high surrogate, short escape", "[\"\\ud800\\udc0\"]", 0, 1,
	    "lone surrogate" },
	{ "high surrogate cut", "[\"\\udbff\\ud", 0, 1, "lone surrogate" },
	{ "low surrogate alone", "[\"\\udc00\"]", 0, 1, "lone surrogate" },
	{ "low before high", "[\"\\uDd1e\\uD834\"]", 0, 1, "lone surrogate" },
	{ "lone surrogate in a key", "{\"\\udfff\":1}", 0, 1,
	    "lone surrogate" },
	{ "UTF-8 cut", "[\"\xe2\x82\"]", 0, 1, "invalid UTF-8" },
	{ "UTF-8 cut at the end", "\"\xe2\x82", 0, 1, "invalid UTF-8" },
	{ "UTF-8, lone continuation", "[\"\x81\"]", 0, 1, "invalid UTF-8" },
	{ "UTF-8, overlong NUL", "[\"\xc0\x80\"]", 0, 1, "invalid UTF-8" },
	{ "UTF-8, overlong slash", "[\"\xc0\xaf\"]", 0, 1, "invalid UTF-8" },
	{ "UTF-8, overlong of three", "[\"\xe0\x9f\xbf\"]", 0, 1,
	    "invalid UTF-8" },
	{ "UTF-8, overlong of four", "[\"\xf0\x8f\xbf\xbf\"]", 0, 1,
	    "invalid UTF-8" },
	{ "UTF-8, surrogate", "[\"\xed\xa0\x80\"]", 0, 1, "invalid UTF-8" },
	{ "UTF-8, last surrogate", "[\"\xed\xbf\xbf\"]", 0, 1,
	    "invalid UTF-8" },
	{ "UTF-8, above U+10FFFF", "[\"\xf4\x90\x80\x80\"]", 0, 1,
	    "invalid UTF-8" },
	{ "UTF-8, F5", "[\"\xf5\x80\x80\x80\"]", 0, 1, "invalid UTF-8" },
	{ "UTF-8, five bytes", "[\"\xf8\x88\x80\x80\x80\"]", 0, 1,
	    "invalid UTF-8" },
	{ "Latin-1", "[\n\n\"\xe9\"]", 0, 3, "invalid UTF-8" },
	{ "two values", "{}{}", 0, 1, "parse error: trailing garbage" },
	{ "two numbers", "1 2", 0, 1, "parse error: trailing garbage" },
	{ "number behind", "{} 1", 0, 1, "parse error: trailing garbage" },
	{ "string without an end behind", "{}\n\"abc", 0, 2,
	    "something behind the value" },
	{ "quote behind", "{}\"", 0, 1, "something behind the value" },
	{ "minus behind", "{}-", 0, 1, "parse error: trailing garbage" },
	{ "literal behind", "{}nul", 0, 1, "parse error: trailing garbage" },
	{ "# behind", "{}#", 0, 1, "parse error: trailing garbage" },
	{ "comment", "[1 /* a */]", 0, 1, "lexical error: probable comment" },
	{ "comment behind", "{}//", 0, 1, "parse error: trailing garbage" },
	{ "key twice", "{\"a\":1,\n\"a\":1}", 0, 2, "two members of one" },
	{ "key twice, apart", "{\"a\":1,\n\"b\":1,\n\"a\":1,\n\"c\":1}", 0, 3,
	    "two members of one name" },
	{ "key twice, nested", "[{\"b\":{\n\"x\":0,\n\"x\":0}}]", 0, 3,
	    "two members of one name" },
	{ "key twice around an object", "{\"a\":{\"a\":1},\n\"a\":2}", 0, 2,
	    "two members of one name" },
	{ "key twice, escaped", "{\"a\":1,\n\"\\u0061\":1}", 0, 2,
	    "two members of one name" },
	{ "empty key twice", "{\"\":1,\"\":1}", 0, 1, "two members of one" },
	{ "depth 9", "[[[[[[[[\n[1]]]]]]]]]", 0, 2, "nested deeper than 8" },
	{ "depth 9, object", "[[[[[[[[{}]]]]]]]]", 0, 1,
	    "nested deeper than 8" },
};

START_TEST(refused)
{
	const struct refuse_row *r = &refuse_rows[_i];
	struct json_error err = { 0 };
	struct json_doc *doc;
	size_t len;

	len = r->len > 0 ? r->len : strlen(r->text);
	doc = parse_exact(r->text, len, &test_limits, &err);
	ck_assert_msg(doc == NULL, "%s: accepted", r->name);
	ck_assert_msg(strncmp(err.what, r->what, strlen(r->what)) == 0,
	    "%s: %s", r->name, err.what);
	ck_assert_msg(err.line == r->line, "%s: line %u", r->name, err.line);
	ck_assert_ptr_null(strchr(err.what, '\n'));
}
END_TEST

/* --- comments --------------------------------------------------------- */

static const struct comment_row {
	const char *name;
	const char *text;
	const char *want; /* NULL: refused */
} comment_rows[] = {
	{ "around", "/* a */[1]// b\n", "[1]" },
	{ "around, no newline at the end", "// a\n[1]// b", "[1]" },
	{ "inside", "[1,// one\n/* two */2/**/,/***/3]", "[1,2,3]" },
	{ "of many lines", "/* a\n b\n * c\n */{}\n/* d\n\n*/", "{}" },
	{ "with quotes and brackets", "/* \"[{ */{}// \"[{", "{}" },
	{ "with a path", "// C:\\users\\x\\\n[\"a\\n\"]", "[\"a\\u000a\"]" },
	{ "ends in a backslash", "/* \\*/[\"\\\\\"]", "[\"\\\\\"]" },
	{ "behind a number", "12// b", "12" },
	{ "between key and value", "{\"a\"/* b */:/* c */1}", "{\"a\":1}" },
	{ "no end", "{}/* a", NULL },
	{ "no end, a star", "{}/* a *", NULL },
	{ "no end, three characters", "{}/*/", NULL },
	{ "no end, inside", "{/* a", NULL },
	{ "slash alone", "{}/", NULL },
	{ "slash and something", "{}/a", NULL },
	{ "value behind", "{}/* a */1", NULL },
	{ "string without an end behind", "{}// a\n\"", NULL },
	{ "#", "# a\n{}", NULL },
	{ "nested", "/* /* */ */{}", NULL },
	{ "control character in it", "{}// \x1b[2J", NULL },
	{ "invalid UTF-8 in it", "{}// \xff", NULL },
};

START_TEST(comments)
{
	const struct comment_row *r = &comment_rows[_i];
	struct json_limits lim = test_limits;
	struct json_error err = { 0 };
	struct json_doc *doc;
	char *text;

	lim.comments = true;
	doc = parse_exact(r->text, strlen(r->text), &lim, &err);
	if (r->want == NULL) {
		ck_assert_msg(doc == NULL, "%s: accepted", r->name);
		ck_assert_msg(err.what[0] != '\0', "%s", r->name);
		return;
	}
	ck_assert_msg(doc != NULL, "%s: %s", r->name, err.what);
	text = render(doc);
	ck_assert_str_eq(text, r->want);
	free(text);
	json_free(&doc);
}
END_TEST

/* --- lines, members --------------------------------------------------- */

/* The member, which must be there. */
static const struct json_node *
member(const struct json_node *object, const char *name)
{
	const struct json_node *n;

	n = json_member(object, name);
	ck_assert_msg(n != NULL, "%s", name);
	return n;
}

START_TEST(lines)
{
	static const char text[] =
	    "\n// one\n{\n  \"a\":\n    1,\n"
	    "  \"b\": [\n    true,\n    {\n    \"c\": \"x\\n\"}\n  ] }\n";
	struct json_error err = { 0 };
	const struct json_node *a, *b;
	struct json_doc *doc;

	doc = parse_exact(text, strlen(text), &json_limits_conf, &err);
	ck_assert_msg(doc != NULL, "%s", err.what);
	ck_assert_uint_eq(json_root(doc)->line, 3);
	ck_assert_uint_eq(json_root(doc)->len, 2);
	a = member(json_root(doc), "a");
	ck_assert_uint_eq(a->line, 4);
	b = member(json_root(doc), "b");
	ck_assert_ptr_eq(a->next, b);
	ck_assert_ptr_null(b->next);
	ck_assert_uint_eq(b->line, 6);
	ck_assert_uint_eq(b->len, 2);
	ck_assert_uint_eq(b->child->line, 7);
	ck_assert_ptr_null(b->child->key);
	ck_assert_uint_eq(b->child->next->line, 8);
	a = member(b->child->next, "c");
	ck_assert_uint_eq(a->line, 9);
	ck_assert_uint_eq(a->len, 2);
	ck_assert_str_eq(a->key, "c");
	ck_assert_str_eq(a->str, "x\n");
	json_free(&doc);

	doc = parse_exact("\n\n 7", 4, &json_limits_conf, &err);
	ck_assert_ptr_nonnull(doc);
	ck_assert_uint_eq(json_root(doc)->line, 3);
	json_free(&doc);
}
END_TEST

START_TEST(members)
{
	static const char text[] = "{\"a\":1,\"b\":[{\"c\":2}]}";
	struct json_error err = { 0 };
	const struct json_node *b;
	struct json_doc *doc;

	doc = parse_exact(text, strlen(text), &test_limits, &err);
	ck_assert_ptr_nonnull(doc);
	ck_assert_int_eq(member(json_root(doc), "a")->num, 1);
	ck_assert_ptr_null(json_member(json_root(doc), "c"));
	ck_assert_ptr_null(json_member(json_root(doc), ""));
	b = member(json_root(doc), "b");
	ck_assert_ptr_null(json_member(b, "c"));
	ck_assert_int_eq(member(b->child, "c")->num, 2);
	ck_assert_ptr_null(json_member(member(json_root(doc), "a"), "x"));
	json_free(&doc);
	json_free(&doc);
	json_free(NULL);
}
END_TEST

/* --- limits ----------------------------------------------------------- */

/* n times s, between before and behind; the caller frees it. */
static char *
repeat(const char *before, const char *s, size_t n, const char *behind)
{
	size_t i, len;
	char *text, *p;

	len = strlen(s);
	text = malloc(strlen(before) + n * len + strlen(behind) + 1);
	ck_assert_ptr_nonnull(text);
	p = text + strlen(before);
	memcpy(text, before, strlen(before));
	for (i = 0; i < n; i++, p += len)
		memcpy(p, s, len);
	memcpy(p, behind, strlen(behind) + 1);
	return text;
}

static const struct limit_row {
	const char *name;
	const char *before, *s;
	size_t n;
	const char *behind;
	struct json_limits lim;
	const char *what; /* NULL: accepted */
} limit_rows[] = {
	{ "bytes, at", "\"", "a", 98, "\"", { 100, 9, 1, false }, NULL },
	{ "bytes, over", "\"", "a", 99, "\"", { 100, 9, 1, false },
	    "more than 100 bytes" },
	{ "nodes, at", "[0", ",0", 8, "]", { 100, 10, 1, false }, NULL },
	{ "nodes, over", "[0", ",0", 9, "]", { 100, 10, 1, false },
	    "more than 10 values" },
	{ "no node", "1", "", 0, "", { 100, 0, 1, false },
	    "more than 0 values" },
	{ "depth 0", "{}", "", 0, "", { 100, 9, 0, false },
	    "nested deeper than 0" },
	{ "depth 0, a number", "1", "", 0, "", { 100, 9, 0, false }, NULL },
	{ "depth over our own", "", "[", 40, "", { 100, 90, 1000, false },
	    "nested deeper than 32" },
	{ "1,000,000 open", "", "[", 1000000, "",
	    { 2000000, 2000000, 32, false }, "nested deeper than 32" },
	{ "1,000,000 open objects", "", "{\"a\":", 1000000, "",
	    { 6000000, 2000000, 32, false }, "nested deeper than 32" },
	{ "1,000,000 digits", "[", "9", 1000000, "]", { 2000000, 10, 1, false },
	    "number that is no 64-bit integer" },
	{ "1,000,000 digits, alone", "", "9", 1000000, "",
	    { 2000000, 10, 1, false }, "number that is no 64-bit integer" },
	{ "1,000,000 digits, cut", "[-", "1", 1000000, "",
	    { 2000000, 10, 1, false }, "number that is no 64-bit integer" },
	{ "1,000,000 zeros behind a point", "[0.", "0", 1000000, "]",
	    { 2000000, 10, 1, false }, "number that is no 64-bit integer" },
	{ "string of 1,000,000", "[\"", "a", 1000000, "\"]",
	    { 2000000, 10, 1, false }, NULL },
	{ "string of 64 KiB", "[\"", "a", 65536 - 4, "\"]",
	    { 65536, 16384, 2, false }, NULL },
	{ "string of 64 KiB escapes", "[\"", "\\n", 32766, "\"]",
	    { 65536, 16384, 2, false }, NULL },
	{ "string of 64 KiB long escapes", "[\"", "\\u20ac", 10922, "\"]",
	    { 65536, 16384, 2, false }, NULL },
	{ "escapes, then cut", "[\"\\n\",\"", "\\n", 32000, "",
	    { 65536, 16384, 2, false }, "parse error: premature EOF" },
	{ "escapes, then a cut string", "[\"\\n\\n\\n\\n\\n\\n\\n\\n\",\"",
	    "ab", 32000, "", { 65536, 16384, 2, false },
	    "parse error: premature EOF" },
	{ "64 KiB of empty strings", "[\"\"", ",\"\"", 21800, "]",
	    { 65536, 30000, 2, false }, NULL },
	{ "64 KiB of space", "", " ", 65534, "{}", { 65536, 9, 2, false },
	    NULL },
	{ "64 KiB of space behind", "{}", "\n", 65534, "",
	    { 65536, 9, 2, false }, NULL },
	{ "lines", "", "\n", 5000, "]", { 65536, 9, 2, false },
	    "parse error: unallowed token" },
};

START_TEST(limits)
{
	const struct limit_row *r = &limit_rows[_i];
	struct json_error err = { 0 };
	struct json_doc *doc;
	char *text;

	text = repeat(r->before, r->s, r->n, r->behind);
	doc = parse_exact(text, strlen(text), &r->lim, &err);
	if (r->what == NULL) {
		ck_assert_msg(doc != NULL, "%s: %s", r->name, err.what);
	} else {
		ck_assert_msg(doc == NULL, "%s: accepted", r->name);
		ck_assert_msg(strncmp(err.what, r->what, strlen(r->what)) == 0,
		    "%s: %s", r->name, err.what);
	}
	json_free(&doc);
	free(text);
}
END_TEST

/* No text, good or bad, takes more than a fixed multiple and the nodes. */
START_TEST(memory)
{
	static const struct {
		const char *before, *s;
		size_t n;
	} rows[] = {
		{ "[\"", "a", 60000 },
		{ "[\"", "\\n", 30000 },
		{ "[0", ",0", 30000 },
		{ "[[]", ",[]", 20000 },
		{ "[\"\"", ",\"\"", 20000 },
		{ "", "[", 60000 },
		{ "", "{\"a\":", 12000 },
		{ "", "9", 60000 },
	};
	struct json_error err = { 0 };
	struct json_doc *doc;
	size_t i, len, max;
	char *text;

	for (i = 0; i < (size_t)NROWS(rows); i++) {
		text = repeat(rows[i].before, rows[i].s, rows[i].n, "");
		len = strlen(text);
		max = 16384 + 5 * len +
		    json_limits_frame.nodes *
		        (sizeof(struct json_node) + sizeof(void *));
		allocated = 0;
		doc = json_parse(text, len, &json_limits_frame, &err);
		ck_assert_ptr_null(doc);
		ck_assert_msg(allocated <= max, "%zu: %zu bytes", i, allocated);
		free(text);
	}
	/* The usual small message takes little. */
	text = repeat(
	    "{\"type\":\"resolve\",\"id\":7,\"host\":\"", "x", 40, "\"}");
	allocated = 0;
	doc = json_parse(text, strlen(text), &json_limits_frame, &err);
	ck_assert_ptr_nonnull(doc);
	ck_assert_uint_lt(allocated, 12 * 1024);
	json_free(&doc);
	free(text);
}
END_TEST

/* Thousands of keys that differ at their end, and one of them twice. */
START_TEST(many_keys)
{
	struct json_error err = { 0 };
	struct json_limits lim = json_limits_frame;
	struct json_doc *doc;
	size_t i, len, n, size;
	clock_t start;
	char *text;

	n = 10000;
	size = n * 32 + 64;
	lim.bytes = 1048576;
	text = malloc(size);
	ck_assert_ptr_nonnull(text);
	len = 0;
	for (i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, size - len,
		    "%c\"key-%08zx\":1\n", i == 0 ? '{' : ',', i * 7919 % n);
	text[len] = '}';
	start = clock();
	doc = parse_exact(text, len + 1, &lim, &err);
	ck_assert_msg(doc != NULL, "%s", err.what);
	ck_assert_uint_eq(json_root(doc)->len, n);
	json_free(&doc);
	len +=
	    (size_t)snprintf(text + len, size - len, ",\"key-%08x\":1}", 4711);
	doc = parse_exact(text, len, &lim, &err);
	ck_assert_ptr_null(doc);
	ck_assert_str_eq(err.what, "two members of one name");
	ck_assert_uint_eq(err.line, n + 1);
	/* Compared one with each other they would take seconds. */
	ck_assert_int_lt((clock() - start) / (CLOCKS_PER_SEC / 1000), 1000);
	free(text);
}
END_TEST

/* Cut at every byte it is refused, and never read behind its end. */
START_TEST(truncated)
{
	static const char text[] =
	    "{\"type\":\"x\\u00e9\\ud83d\\ude00\xe2\x82"
	    "\xac\",\"id\":-12,\"l\":[\"a\",\"\\\"\"],\"m\":{\"k\":null},"
	    "\"b\":[true,false]}";
	struct json_error err;
	struct json_doc *doc;
	size_t n;

	for (n = 0; n < strlen(text); n++) {
		memset(&err, 0, sizeof(err));
		doc = parse_exact(text, n, &test_limits, &err);
		ck_assert_msg(doc == NULL, "accepted at %zu", n);
		ck_assert_msg(err.what[0] != '\0', "nothing said at %zu", n);
		ck_assert_uint_eq(err.line, 1);
	}
	doc = parse_exact(text, n, &test_limits, &err);
	ck_assert_ptr_nonnull(doc);
	json_free(&doc);
}
END_TEST

/* --- out of memory ---------------------------------------------------- */

START_TEST(no_memory)
{
	static const char text[] = "{\"a\":1,\"b\":[\"c\\n\"]}";
	struct json_error err;
	struct json_doc *doc;
	int i;

	for (i = 1;; i++) {
		memset(&err, 0, sizeof(err));
		fail_at = i;
		doc = json_parse(text, strlen(text), &test_limits, &err);
		if (fail_at > 0)
			break;
		ck_assert_ptr_null(doc);
		ck_assert_str_eq(err.what, "out of memory");
	}
	fail_at = 0;
	ck_assert_int_eq(i, 5);
	ck_assert_ptr_nonnull(doc);
	json_free(&doc);
}
END_TEST

/* However little yajl is given, the parse ends in an error or a document. */
START_TEST(little_memory)
{
	static const char good[] = "{\"a\":1,\"b\":[\"c\\n\"]}";
	static const char bad[] = "{\"a\\n\":1,\"b\":[\"c\\n\"";
	struct json_error err;
	struct json_doc *doc;
	size_t max, refusals;

	refusals = 0;
	for (max = 1; max < 8192; max += 8) {
		memset(&err, 0, sizeof(err));
		doc = parse_within(
		    good, strlen(good), &test_limits, 10, max, &err);
		if (doc == NULL) {
			ck_assert_str_eq(err.what, "out of parser memory");
			refusals++;
		}
		json_free(&doc);
		memset(&err, 0, sizeof(err));
		doc =
		    parse_within(bad, strlen(bad), &test_limits, 10, max, &err);
		ck_assert_ptr_null(doc);
		ck_assert_str_ne(err.what, "");
	}
	ck_assert_uint_gt(refusals, 10);
	ck_assert_uint_lt(refusals, 8192 / 8 * 2 / 3);
}
END_TEST

/* --- numbers, by themselves ------------------------------------------- */

static const struct number_row {
	const char *text;
	bool ok;
	int64_t want;
} number_rows[] = {
	{ "0", true, 0 },
	{ "7", true, 7 },
	{ "-1", true, -1 },
	{ "9223372036854775807", true, INT64_MAX },
	{ "-9223372036854775808", true, INT64_MIN },
	{ "-9223372036854775807", true, -INT64_MAX },
	{ "9223372036854775808", false, 0 },
	{ "-9223372036854775809", false, 0 },
	{ "92233720368547758070", false, 0 },
	{ "18446744073709551615", false, 0 },
	{ "-0", false, 0 },
	{ "-", false, 0 },
	{ "", false, 0 },
	{ "1.5", false, 0 },
	{ "1e3", false, 0 },
};

START_TEST(numbers)
{
	const struct number_row *r = &number_rows[_i];
	int64_t n;

	n = 77;
	ck_assert_int_eq(parse_int64(r->text, strlen(r->text), &n), r->ok);
	ck_assert_int_eq(n, r->ok ? r->want : 77);
}
END_TEST

int
main(void)
{
	Suite *s;
	TCase *tc;
	SRunner *sr;
	int failed;

	s = suite_create("json");
	tc = tcase_create("json");
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, accept, 0, NROWS(accept_rows));
	tcase_add_loop_test(tc, refused, 0, NROWS(refuse_rows));
	tcase_add_loop_test(tc, comments, 0, NROWS(comment_rows));
	tcase_add_test(tc, lines);
	tcase_add_test(tc, members);
	tcase_add_loop_test(tc, limits, 0, NROWS(limit_rows));
	tcase_add_test(tc, memory);
	tcase_add_test(tc, many_keys);
	tcase_add_test(tc, truncated);
	tcase_add_test(tc, no_memory);
	tcase_add_test(tc, little_memory);
	tcase_add_loop_test(tc, numbers, 0, NROWS(number_rows));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
