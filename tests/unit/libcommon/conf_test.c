#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/conf.h"

#define WANT_MAX 4096

struct target {
	const char *name;
	const char *path;
	int64_t count;
	int64_t size;
	int64_t wait_ms;
	bool on;
	int colour;
	int64_t sum; /* of the list that parse_sum reads */
};

static const char *const colours[] = { "red", "green", NULL };

static void
parse_sum(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	const struct json_node *child;
	char buf[CONF_PATH_MAX];
	int64_t *sum = place;
	size_t i = 0;

	if (!conf_expect(c, n, path, JSON_ARRAY, "a list of integers"))
		return;
	for (child = n->child; child != NULL; child = child->next, i++) {
		if (conf_expect(c, child, conf_path_index(buf, path, i),
		        JSON_INT, "an integer"))
			*sum += child->num;
	}
}

#define AT(member) offsetof(struct target, member)
static const struct conf_key keys[] = {
	{ .name = "name",
	    .type = CONF_STRING,
	    .off = AT(name),
	    .min = 1,
	    .max = 4,
	    .required = true },
	{ .name = "path",
	    .type = CONF_PATH,
	    .off = AT(path),
	    .min = 2,
	    .max = 16 },
	{ .name = "count",
	    .type = CONF_INT,
	    .off = AT(count),
	    .min = -1,
	    .max = 16 },
	{ .name = "size",
	    .type = CONF_SIZE,
	    .off = AT(size),
	    .min = 1,
	    .max = INT64_MAX },
	{ .name = "wait",
	    .type = CONF_TIME,
	    .off = AT(wait_ms),
	    .min = 500,
	    .max = 3600000 },
	{ .name = "on", .type = CONF_BOOL, .off = AT(on) },
	{ .name = "colour",
	    .type = CONF_ENUM,
	    .off = AT(colour),
	    .words = colours },
	{ .name = "sum",
	    .type = CONF_CALL,
	    .off = AT(sum),
	    .parse = parse_sum },
	{ .name = "later", .type = CONF_LATER },
	{ .name = NULL },
};

/* Read text into *t, with the defaults below; errors one a line into got. */
static struct conf *
read_text(const char *text, struct target *t, char got[WANT_MAX])
{
	struct conf *c;
	size_t i;

	*t = (struct target){ .name = "dflt",
		.path = "/dflt",
		.count = 7,
		.size = 8,
		.wait_ms = 900,
		.colour = 1 };
	c = conf_new("f.conf", text, strlen(text));
	ck_assert_ptr_nonnull(c);
	if (conf_root(c) != NULL)
		conf_read(c, conf_root(c), "", keys, t);
	got[0] = '\0';
	for (i = 0; i < conf_errors(c); i++) {
		strlcat(got, conf_error_text(c, i), WANT_MAX);
		strlcat(got, "\n", WANT_MAX);
	}
	return c;
}

static const struct {
	const char *name;
	const char *text;
	const char *want; /* "" and these values otherwise */
	struct target t;
} good[] = {
	{ "defaults stay", "{\"name\": \"a\"}", "",
	    { "a", "/dflt", 7, 8, 900, false, 1, 0 } },
	{ "all keys",
	    "{\"name\": \"abcd\", \"path\": \"/x\", \"count\": 16,\n"
	    "\"size\": \"64k\", \"wait\": \"30m\", \"on\": true,\n"
	    "\"colour\": \"red\", \"sum\": [1, 2, 3]}",
	    "", { "abcd", "/x", 16, 65536, 1800000, true, 0, 6 } },
	{ "lower bounds",
	    "{\"name\": \"a\", \"count\": -1, \"size\": 1,"
	    " \"wait\": \"500ms\", \"on\": false}",
	    "", { "a", "/dflt", -1, 1, 500, false, 1, 0 } },
	{ "plain integers are bytes and seconds",
	    "{\"name\": \"a\", \"size\": 9223372036854775807,"
	    " \"wait\": 3600}",
	    "", { "a", "/dflt", 7, INT64_MAX, 3600000, false, 1, 0 } },
	{ "comments",
	    "/* a */ { // b\n \"name\": /* \"x\" */ \"a\" // c\n } // d\n", "",
	    { "a", "/dflt", 7, 8, 900, false, 1, 0 } },
};

START_TEST(test_good)
{
	struct target t;
	struct conf *c;
	char got[WANT_MAX];

	c = read_text(good[_i].text, &t, got);
	ck_assert_msg(
	    strcmp(got, good[_i].want) == 0, "%s: %s", good[_i].name, got);
	ck_assert_str_eq(t.name, good[_i].t.name);
	ck_assert_str_eq(t.path, good[_i].t.path);
	ck_assert_int_eq(t.count, good[_i].t.count);
	ck_assert_int_eq(t.size, good[_i].t.size);
	ck_assert_int_eq(t.wait_ms, good[_i].t.wait_ms);
	ck_assert_int_eq(t.on, good[_i].t.on);
	ck_assert_int_eq(t.colour, good[_i].t.colour);
	ck_assert_int_eq(t.sum, good[_i].t.sum);
	conf_free(&c);
	ck_assert_ptr_null(c);
}
END_TEST

static const struct {
	const char *name;
	const char *text;
	const char *want;
} bad[] = {
	{ "missing", "\n{}",
	    "f.conf:2: name: is missing; allowed: a string of 1 to 4 bytes\n" },
	{ "no object", "[1]", "f.conf:1: is a list; allowed: one object\n" },
	{ "every error with its line, the missing ones last",
	    "{\n\"path\": \"xy\",\n\"count\": \"1\",\n\"size\": \"1x\",\n"
	    "\"wait\": 0,\n\"on\": 1,\n\"colour\": \"blue\",\n"
	    "\"sum\": [1, \"2\", null],\n\"later\": 1,\n\"other\": 1}",
	    "f.conf:2: path: \"xy\" is not absolute; allowed: an absolute path"
	    " of 2 to 16 bytes\n"
	    "f.conf:3: count: is a string; allowed: an integer, -1 to 16\n"
	    "f.conf:4: size: \"1x\" is no size; allowed: an integer or a"
	    " string as \"64m\" (k, m, g), 1 or more bytes\n"
	    "f.conf:5: wait: 0 is out of bounds; allowed: seconds or a string"
	    " as \"500ms\" (ms, s, m, h), 500 to 3600000 ms\n"
	    "f.conf:6: on: is an integer; allowed: true or false\n"
	    "f.conf:7: colour: \"blue\" is unknown; allowed: \"red\" or"
	    " \"green\"\n"
	    "f.conf:8: sum[1]: is a string; allowed: an integer\n"
	    "f.conf:8: sum[2]: is null; allowed: an integer\n"
	    "f.conf:9: later: not in this version; leave it out\n"
	    "f.conf:10: other: unknown key; allowed: name, path, count, size,"
	    " wait, on, colour, sum\n"
	    "f.conf:1: name: is missing; allowed: a string of 1 to 4 bytes\n" },
	{ "too short", "{\"name\": \"\"}",
	    "f.conf:1: name: has 0 bytes; allowed: a string of 1 to 4"
	    " bytes\n" },
	{ "too long", "{\"name\": \"abcde\"}",
	    "f.conf:1: name: has 5 bytes; allowed: a string of 1 to 4"
	    " bytes\n" },
	{ "null is no default", "{\"name\": null}",
	    "f.conf:1: name: is null; allowed: a string of 1 to 4 bytes\n" },
	{ "above", "{\"name\": \"a\", \"count\": 17}",
	    "f.conf:1: count: 17 is out of bounds; allowed: an integer, -1 to"
	    " 16\n" },
	{ "below", "{\"name\": \"a\", \"count\": -2}",
	    "f.conf:1: count: -2 is out of bounds; allowed: an integer, -1 to"
	    " 16\n" },
	{ "seconds that do not fit in milliseconds",
	    "{\"name\": \"a\", \"wait\": 9223372036854775807}",
	    "f.conf:1: wait: 9223372036854775807 is out of bounds; allowed:"
	    " seconds or a string as \"500ms\" (ms, s, m, h), 500 to 3600000"
	    " ms\n" },
	{ "time out of bounds as text", "{\"name\": \"a\", \"wait\": \"2h\"}",
	    "f.conf:1: wait: \"2h\" is out of bounds; allowed:"
	    " seconds or a string as \"500ms\" (ms, s, m, h), 500 to 3600000"
	    " ms\n" },
	{ "a size is no boolean", "{\"name\": \"a\", \"size\": true}",
	    "f.conf:1: size: is a boolean; allowed: an integer or a string as"
	    " \"64m\" (k, m, g), 1 or more bytes\n" },
	{ "outside text cannot write lines of its own",
	    "{\"name\": \"a\", \"x\\n\\u001b[2Jy\\u202e\": 1}",
	    "f.conf:1: x\\x0a\\x1b[2Jy\\xe2\\x80\\xae: unknown key; allowed:"
	    " name, path, count, size, wait, on, colour, sum\n" },
};

START_TEST(test_bad)
{
	struct target t;
	struct conf *c;
	char got[WANT_MAX];

	c = read_text(bad[_i].text, &t, got);
	ck_assert_msg(
	    strcmp(got, bad[_i].want) == 0, "%s: got\n%s", bad[_i].name, got);
	conf_free(&c);
}
END_TEST

/* What json.c refuses is one error; its words are tested there. */
static const struct {
	const char *name;
	const char *text;
	const char *start;
} no_json[] = {
	{ "F4 empty file", "", "f.conf:1: " },
	{ "F4 truncated file", "{\"name\":\n\"a\"", "f.conf:2: " },
	{ "F4 duplicate key", "{\"name\": \"a\",\n\"name\": \"b\"}",
	    "f.conf:2: " },
	{ "something behind", "{\"name\": \"a\"}\n{}", "f.conf:2: " },
	{ "a fraction", "{\"name\": \"a\", \"count\": 1.5}", "f.conf:1: " },
};

START_TEST(test_no_json)
{
	struct target t;
	struct conf *c;
	char got[WANT_MAX];

	c = read_text(no_json[_i].text, &t, got);
	ck_assert_ptr_null(conf_root(c));
	ck_assert_uint_eq(conf_errors(c), 1);
	ck_assert_msg(
	    strncmp(got, no_json[_i].start, strlen(no_json[_i].start)) == 0,
	    "%s: got %s", no_json[_i].name, got);
	conf_free(&c);
}
END_TEST

static const struct {
	const char *name;
	const char *s;
	int r;
	int64_t want;
} sizes[] = {
	{ "k", "1k", 0, 1024 },
	{ "m", "64m", 0, 67108864 },
	{ "g", "2g", 0, 2147483648 },
	{ "zero", "0k", 0, 0 },
	{ "largest", "8589934591g", 0, 9223372035781033984 },
	{ "too large", "8589934592g", -1, 0 },
	{ "far too large", "99999999999999999999k", -1, 0 },
	{ "no unit", "64", -1, 0 },
	{ "no digits", "k", -1, 0 },
	{ "empty", "", -1, 0 },
	{ "upper case", "1K", -1, 0 },
	{ "long unit", "1kb", -1, 0 },
	{ "time's unit", "1s", -1, 0 },
	{ "sign", "+1k", -1, 0 },
	{ "negative", "-1k", -1, 0 },
	{ "space before", " 1k", -1, 0 },
	{ "space inside", "1 k", -1, 0 },
	{ "space behind", "1k ", -1, 0 },
	{ "leading zero", "01k", -1, 0 },
	{ "fraction", "1.5k", -1, 0 },
	{ "hexadecimal", "0x1k", -1, 0 },
};

START_TEST(test_size)
{
	int64_t got = -7;

	ck_assert_msg(conf_parse_size(sizes[_i].s, &got) == sizes[_i].r, "%s",
	    sizes[_i].name);
	/* The place is untouched on failure. */
	ck_assert_int_eq(got, sizes[_i].r == 0 ? sizes[_i].want : -7);
}
END_TEST

static const struct {
	const char *name;
	const char *s;
	int r;
	int64_t want;
} times[] = {
	{ "ms", "500ms", 0, 500 },
	{ "s", "30s", 0, 30000 },
	{ "m", "5m", 0, 300000 },
	{ "h", "2h", 0, 7200000 },
	{ "zero", "0s", 0, 0 },
	{ "largest", "9223372036854775807ms", 0, INT64_MAX },
	{ "too large", "9223372036854775808ms", -1, 0 },
	{ "too large in hours", "2562047788016h", -1, 0 },
	{ "no unit", "30", -1, 0 },
	{ "size's unit", "1k", -1, 0 },
	{ "days", "1d", -1, 0 },
	{ "two units", "1h30m", -1, 0 },
};

START_TEST(test_time)
{
	int64_t got = -7;

	ck_assert_msg(conf_parse_time(times[_i].s, &got) == times[_i].r, "%s",
	    times[_i].name);
	ck_assert_int_eq(got, times[_i].r == 0 ? times[_i].want : -7);
}
END_TEST

START_TEST(test_paths)
{
	char a[CONF_PATH_MAX], b[CONF_PATH_MAX], name[2 * CONF_PATH_MAX];

	ck_assert_str_eq(conf_path_key(a, "", "profiles"), "profiles");
	ck_assert_str_eq(conf_path_key(b, a, "dev"), "profiles.dev");
	ck_assert_str_eq(conf_path_index(a, b, 3), "profiles.dev[3]");
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	ck_assert_uint_eq(
	    strlen(conf_path_key(a, "", name)), CONF_PATH_MAX - 1);
}
END_TEST

/* Errors and warnings are told apart, and cut at their limit with a word. */
START_TEST(test_limits)
{
	struct json_node at = { .line = 5 };
	const char *last;
	struct conf *c;
	char big[4 * CONF_TEXT_MAX];
	int i;

	c = conf_new("f.conf", "{}", 2);
	for (i = 0; i < CONF_ERRORS_MAX; i++)
		conf_error(c, &at, "k", "e%d", i);
	ck_assert_uint_eq(conf_errors(c), CONF_ERRORS_MAX);
	ck_assert_uint_eq(conf_warnings(c), 0);
	last = conf_error_text(c, CONF_ERRORS_MAX - 1);
	ck_assert_str_eq(last, "f.conf:5: k: e99");
	for (i = 0; i < 3; i++)
		conf_error(c, &at, "k", "more");
	ck_assert_uint_eq(conf_errors(c), CONF_ERRORS_MAX);
	ck_assert_str_eq(
	    conf_error_text(c, CONF_ERRORS_MAX - 2), "f.conf:5: k: e98");
	ck_assert_str_eq(conf_error_text(c, CONF_ERRORS_MAX - 1),
	    "f.conf:5: more was found than is shown; mend this first");

	memset(big, '\x01', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	conf_warning(c, &at, "", "%s", big);
	ck_assert_uint_eq(conf_warnings(c), 1);
	last = conf_warning_text(c, 0);
	ck_assert_int_eq(strncmp(last, "f.conf:5: \\x01\\x01", 18), 0);
	ck_assert_uint_le(strlen(last), 4 * CONF_TEXT_MAX);
	conf_free(&c);
	conf_free(&c);
}
END_TEST

START_TEST(test_keep)
{
	const char *a, *b;
	struct conf *c;
	char s[] = "one";

	c = conf_new("f.conf", "{}", 2);
	a = conf_keep(c, s);
	s[0] = 'x';
	b = conf_keep(c, "");
	ck_assert_str_eq(a, "one");
	ck_assert_str_eq(b, "");
	conf_free(&c);
}
END_TEST

#define LOOP(tc, fn, table) \
	tcase_add_loop_test(tc, fn, 0, sizeof(table) / sizeof(table[0]))

int
main(void)
{
	Suite *s = suite_create("conf");
	TCase *tc = tcase_create("conf");
	SRunner *sr;
	int failed;

	LOOP(tc, test_good, good);
	LOOP(tc, test_bad, bad);
	LOOP(tc, test_no_json, no_json);
	LOOP(tc, test_size, sizes);
	LOOP(tc, test_time, times);
	tcase_add_test(tc, test_paths);
	tcase_add_test(tc, test_limits);
	tcase_add_test(tc, test_keep);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
