#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "agent-cli/cmd_status.c"

static char complaint[256];
static int opens, result;

void
complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(complaint, sizeof(complaint), fmt, ap);
	va_end(ap);
}

char *
visible(const void *text, size_t len)
{
	return strndup(text, len);
}

int
daemon_open(struct daemon_link *l, const char *run_dir, const char *name,
    int64_t timeout_ms)
{
	ck_assert_str_eq(run_dir, "/here");
	ck_assert_str_eq(name, "egressd");
	ck_assert_int_eq(timeout_ms, STATUS_MS);
	opens++;
	(void)strlcpy(l->why, "because", sizeof(l->why));
	return result;
}

int
daemon_call(struct daemon_link *l, struct msg *request, struct msg *answer)
{
	abort();
}

void
daemon_close(struct daemon_link *l)
{
	opens--;
}

START_TEST(uptimes)
{
	static const struct {
		int64_t ms;
		const char *want;
	} rows[] = {
		{ 0, "0s" },
		{ 999, "0s" },
		{ 59999, "59s" },
		{ 60000, "1m 0s" },
		{ 3599999, "59m 59s" },
		{ 3600000, "1h 0m 0s" },
		{ 86399999, "23h 59m 59s" },
		{ 86400000, "1d 0h 0m 0s" },
		{ 93784000, "1d 2h 3m 4s" },
		{ INT64_MAX, "106751991167d 7h 12m 55s" },
	};
	char buf[UPTIME_MAX];
	size_t i;

	for (i = 0; i < COUNT(rows); i++)
		ck_assert_str_eq(uptime(rows[i].ms, buf), rows[i].want);
}
END_TEST

/* Nobody is asked before every name is known; every link is closed. */
START_TEST(names)
{
	static char known[] = "egressd", soon[] = "brokerd", no[] = "x";
	static const struct {
		const char *name;
		char *argv[3];
		int argc, result, want;
		const char *complaint;
	} rows[] = {
		{ "all, unreachable", { NULL }, 0, EXIT_UNREACHABLE,
		    EXIT_UNREACHABLE, "egressd cannot be reached: because" },
		{ "one, refused", { known }, 1, EXIT_REFUSED, EXIT_REFUSED,
		    "egressd refused: because" },
		{ "later", { known, soon }, 2, EXIT_REFUSED, -1,
		    "brokerd: not in this version" },
		{ "unknown", { no }, 1, EXIT_REFUSED, -1,
		    "there is no daemon x" },
	};
	struct cli cli = { .run_dir = "/here" };
	char *argv[3];
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		memcpy(argv, rows[i].argv, sizeof(argv));
		result = rows[i].result;
		ck_assert_msg(
		    cmd_status(&cli, rows[i].argc, argv) == rows[i].want, "%s",
		    rows[i].name);
		ck_assert_str_eq(complaint, rows[i].complaint);
		ck_assert_int_eq(opens, 0);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cmd_status");
	TCase *t = tcase_create("all");
	SRunner *sr;
	int failed;

	tcase_add_test(t, uptimes);
	tcase_add_test(t, names);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
