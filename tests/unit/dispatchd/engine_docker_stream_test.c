/* Frames of a log, events. */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_fixture.h"

#define BYTES(s) s, sizeof(s) - 1
#define ERR(n) "\x02\0\0\0\0\0\0" n
#define OUT(n) "\x01\0\0\0\0\0\0" n

static const struct {
	const char *name;
	const char *buf;
	size_t len;
	const char *want;
	bool whole;
} logs[] = {
	{ "none", BYTES(""), "", true },
	{ "one", BYTES(ERR("\x02") "hi"), "hi", true },
	{ "two", BYTES(ERR("\x01") "a" ERR("\x01") "b"), "ab", true },
	{ "output between", BYTES(ERR("\x01") "a" OUT("\x01") "x"), "a", true },
	{ "empty frame", BYTES(ERR("\0") ERR("\x01") "a"), "a", true },
	{ "newlines at its end", BYTES(ERR("\x04") "a\n\n\n"), "a", true },
	{ "escaped", BYTES(ERR("\x04") "\x1b\\\nx"), "\\x1b\\\\\\x0ax", true },
	{ "L05 type 7", BYTES(ERR("\x01") "a\x07\0\0\0\0\0\0\x01"), "a",
	    false },
	{ "L05 the engine's error",
	    BYTES("\x03\0\0\0\0\0\0\x01"
	          "a"),
	    "", false },
	{ "not zero",
	    BYTES("\x02\0\x01\0\0\0\0\x01"
	          "a"),
	    "", false },
	{ "L05 a length of 4 GiB",
	    BYTES("\x02\0\0\0\xff\xff\xff\xff"
	          "a"),
	    "", false },
	{ "cut in the head", BYTES(ERR("\x01") "a\x02\0\0"), "a", false },
	{ "cut in the text", BYTES(ERR("\x01") "a" ERR("\x05") "bc"), "a",
	    false },
};

START_TEST(test_log)
{
	char out[256];

	ck_assert_msg(engine_parse_log((const uint8_t *)logs[_i].buf,
	                  logs[_i].len, out, sizeof(out)) == logs[_i].whole,
	    "%s", logs[_i].name);
	ck_assert_str_eq(out, logs[_i].want);
}
END_TEST

/* As much of the end as fits when it is escaped, in whole escapes. */
START_TEST(test_log_fits)
{
	static const uint8_t buf[] = "\x02\0\0\0\0\0\0\x03\x1b\x1b\x1b";
	char out[10];

	engine_parse_log(buf, sizeof(buf) - 1, out, sizeof(out));
	ck_assert_str_eq(out, "\\x1b\\x1b");
}
END_TEST

#define EVENT(type, action, labels)                   \
	"{\"Type\":\"" type "\",\"Action\":\"" action \
	"\",\"Actor\":{\"ID\":\"x\",\"Attributes\":{" labels "}}}"
#define LABELS                              \
	"\"bulkhead.instance\":\"" INSTANCE \
	"\",\"bulkhead.run\":\"aaaaaaaaaaaa\""

static const struct {
	const char *line, *want; /* NULL: none of ours */
} events[] = {
	{ EVENT("container", "die", LABELS ",\"exitCode\":\"137\""),
	    "aaaaaaaaaaaa die 137" },
	{ EVENT("container", "start", LABELS), "aaaaaaaaaaaa start " },
	{ EVENT("container", "exec_create: sh -c secret", LABELS),
	    "aaaaaaaaaaaa exec_create " },
	{ EVENT("container", "die", LABELS ",\"exitCode\":\"1;x\""),
	    "aaaaaaaaaaaa die " },
	{ EVENT("container", "a\\u001b", LABELS), "aaaaaaaaaaaa a\\x1b " },
	{ EVENT("container", "", LABELS), NULL },
	{ EVENT("network", "die", LABELS), NULL },
	{ EVENT("container", "die", ""), NULL },
	{ EVENT("container", "die",
	      "\"bulkhead.instance\":\"jjjjjjjjjjjj\","
	      "\"bulkhead.run\":\"aaaaaaaaaaaa\""),
	    NULL },
	{ EVENT("container", "die",
	      "\"bulkhead.instance\":\"" INSTANCE
	      "\",\"bulkhead.run\":\"../../../..x\""),
	    NULL },
	/* the old words alone, which newer engines have given up */
	{ "{\"status\":\"die\",\"id\":\"x\",\"from\":\"y\"}", NULL },
	{ "{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":[]}", NULL },
	{ "[]", NULL },
	{ "", NULL },
};

START_TEST(test_event)
{
	struct engine_happened h;
	char got[128];
	int r;

	r = engine_parse_event(
	    events[_i].line, strlen(events[_i].line), INSTANCE, &h);
	ck_assert_int_eq(r, events[_i].want != NULL ? 0 : -1);
	if (r == -1)
		return;
	snprintf(got, sizeof(got), "%s %s %s", h.run, h.action, h.exit_code);
	ck_assert_str_eq(got, events[_i].want);
}
END_TEST

#define ROWS(t) (int)(sizeof(t) / sizeof((t)[0]))

int
main(void)
{
	Suite *s = suite_create("engine_docker_stream");
	TCase *t = tcase_create("stream");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(t, test_log, 0, ROWS(logs));
	tcase_add_test(t, test_log_fits);
	tcase_add_loop_test(t, test_event, 0, ROWS(events));
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
