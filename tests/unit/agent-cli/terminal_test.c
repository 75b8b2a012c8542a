#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "agent-cli/terminal.c"

static const struct {
	const char *in, *want;
} rows[] = {
	{ "", "" },
	{ "plain\ttext\n", "plain\ttext\n" },
	{ "\\x1b", "\\x1b" },
	{ "\033[31m\r\a\x7f", "\\x1b[31m\\x0d\\x07\\x7f" },
	{ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
	    "\xc3\xa9\xe2\x82\xac"
	    "\xf0\x9f\x98\x80" },
	/* C1, line separator, a change of direction, a tag. */
	{ "\xc2\x9b", "\\xc2\\x9b" },
	{ "\xe2\x80\xa8", "\\xe2\\x80\\xa8" },
	{ "\xe2\x80\xae", "\\xe2\\x80\\xae" },
	{ "\xf3\xa0\x81\x81", "\\xf3\\xa0\\x81\\x81" },
	/* No UTF-8: too long a form, a surrogate, cut off, too high. */
	{ "\xc0\xaf", "\\xc0\\xaf" },
	{ "\xed\xa0\x80x", "\\xed\\xa0\\x80x" },
	{ "\xe2\x82x", "\\xe2\\x82x" },
	{ "\xe2\xe2\x82\xac", "\\xe2\xe2\x82\xac" },
	{ "\xf0\x9f\xc3\xa9", "\\xf0\\x9f\xc3\xa9" },
	{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },
	{ "\x80\xff", "\\x80\\xff" },
	{ "x\xf0\x9f\x98", "x\\xf0\\x9f\\x98" },
};

/* In pieces of every size it is the same as whole. */
START_TEST(pieces)
{
	size_t i, size, off, n, len, used;
	char out[TERMINAL_OUT(64)];
	struct terminal t;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		len = strlen(rows[i].in);
		for (size = 1; size <= len; size++) {
			memset(&t, 0, sizeof(t));
			used = 0;
			for (off = 0; off < len; off += n) {
				n = len - off < size ? len - off : size;
				used += terminal_text(
				    &t, rows[i].in + off, n, out + used);
			}
			used += terminal_end(&t, out + used);
			out[used] = '\0';
			ck_assert_msg(strcmp(out, rows[i].want) == 0,
			    "row %zu by %zu: %s", i, size, out);
		}
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("terminal");
	TCase *t = tcase_create("all");
	SRunner *sr;
	int failed;

	tcase_add_test(t, pieces);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
