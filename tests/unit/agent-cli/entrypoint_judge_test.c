#include <check.h>
#include <stdlib.h>

#include "agent-cli/entrypoint_judge.c"

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

/* What passes: all else, for every kind, meeting and errno, does not. */
static const struct {
	enum probe_kind kind;
	enum probe_met met;
	int err; /* -1: whatever it is */
} good[] = {
	{ PROBE_PROXY, MET_OURS, -1 },
	{ PROBE_TCP, MET_ERRNO, ECONNREFUSED },
	{ PROBE_TCP, MET_ERRNO, EHOSTUNREACH },
	{ PROBE_TCP, MET_ERRNO, ENETUNREACH },
	{ PROBE_TCP6, MET_ERRNO, ECONNREFUSED },
	{ PROBE_TCP6, MET_ERRNO, EHOSTUNREACH },
	{ PROBE_TCP6, MET_ERRNO, ENETUNREACH },
	{ PROBE_TCP6, MET_ERRNO, EADDRNOTAVAIL },
	{ PROBE_TCP6, MET_ERRNO, EAFNOSUPPORT },
	{ PROBE_UDP, MET_ERRNO, -1 },
	{ PROBE_UDP, MET_SILENCE, -1 },
	{ PROBE_ICMP, MET_ERRNO, -1 },
	{ PROBE_ICMP, MET_SILENCE, -1 },
	{ PROBE_DNS_UDP, MET_ERRNO, -1 },
	{ PROBE_DNS_UDP, MET_SILENCE, -1 },
	{ PROBE_DNS_UDP, MET_CONNECTED, -1 },
	{ PROBE_DNS_UDP, MET_EMPTY, -1 },
	{ PROBE_DNS_TCP, MET_ERRNO, -1 },
	{ PROBE_DNS_TCP, MET_SILENCE, -1 },
	{ PROBE_DNS_TCP, MET_CONNECTED, -1 },
	{ PROBE_DNS_TCP, MET_EMPTY, -1 },
};

static const int errs[] = { 0, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH,
	EADDRNOTAVAIL, EAFNOSUPPORT, ETIMEDOUT, ECONNRESET, EACCES, EPERM,
	EINVAL, EMFILE, ENOMEM, EPIPE, EHOSTDOWN, ENETDOWN, EPROTO, 133 };

static bool
is_good(enum probe_kind kind, enum probe_met met, int err)
{
	int i;

	for (i = 0; i < ROWS(good); i++)
		if (good[i].kind == kind && good[i].met == met &&
		    (good[i].err == -1 || good[i].err == err))
			return true;
	return false;
}

START_TEST(judge)
{
	struct probe_outcome o;
	int kind, met, i;

	for (kind = 0; kind <= PROBE_KINDS; kind++)
		for (met = 0; met <= MET_KINDS; met++)
			for (i = 0; i < ROWS(errs); i++) {
				o.met = (enum probe_met)met;
				o.err = errs[i];
				ck_assert_msg(
				    probe_judge((enum probe_kind)kind, &o) ==
				        is_good((enum probe_kind)kind, o.met,
				            o.err),
				    "kind %d met %d errno %d", kind, met,
				    errs[i]);
			}
}
END_TEST

static struct probe_plan plan;
static struct probe_report report;

static void
plan_one(const char *check, enum probe_kind kind, enum probe_met met, int err)
{
	struct probe *p = &plan.v[plan.n++];

	memset(p, 0, sizeof(*p));
	(void)strlcpy(p->check, check, sizeof(p->check));
	p->kind = kind;
	p->out.met = met;
	p->out.err = err;
	p->port = 80;
	ck_assert_int_eq(netaddr_parse("192.0.2.1", 9, &p->addr), 0);
}

START_TEST(report_good)
{
	plan.n = 0;
	plan_one("proxy", PROBE_PROXY, MET_OURS, 0);
	plan_one("tcp", PROBE_TCP, MET_ERRNO, ECONNREFUSED);
	plan_one("udp", PROBE_UDP, MET_SILENCE, 0);
	plan_one("tcp", PROBE_TCP, MET_ERRNO, ENETUNREACH);
	plan_one("tcp", PROBE_TCP, MET_ERRNO, ECONNREFUSED);
	probe_report(&plan, &report);
	ck_assert(report.ok);
	ck_assert_uint_eq(report.n, 3);
	ck_assert_str_eq(report.names[1], "tcp");
	ck_assert_str_eq(report.texts[0], "answers");
	ck_assert_str_eq(report.texts[1], "ECONNREFUSED, ENETUNREACH");
	ck_assert_str_eq(report.texts[2], "silence");
}
END_TEST

START_TEST(report_bad)
{
	plan.n = 0;
	plan_one("proxy", PROBE_PROXY, MET_OURS, 0);
	plan_one("tcp", PROBE_TCP, MET_ERRNO, ECONNREFUSED);
	plan_one("tcp", PROBE_TCP, MET_ERRNO, ETIMEDOUT);
	plan_one("udp", PROBE_UDP, MET_UNABLE, EMFILE);
	plan_one("dns", PROBE_DNS_UDP, MET_RECORD, 0);
	plan.v[4].name = "example.com";
	probe_report(&plan, &report);
	ck_assert(!report.ok);
	ck_assert_uint_eq(report.n, 4);
	ck_assert_str_eq(
	    report.texts[1], "violation: 192.0.2.1 port 80: ETIMEDOUT");
	ck_assert_str_eq(
	    report.texts[2], "not tried: 192.0.2.1 port 80: EMFILE");
	ck_assert_str_eq(report.texts[3],
	    "violation: 192.0.2.1 port 80 example.com: a record");
}
END_TEST

START_TEST(report_nothing)
{
	plan.n = 0;
	probe_report(&plan, &report);
	ck_assert(!report.ok);
}
END_TEST

START_TEST(report_too_many)
{
	char name[PROBE_CHECK_NAME_MAX];
	int i;

	plan.n = 0;
	for (i = 0; i <= PROBE_CHECKS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "check %d", i);
		plan_one(name, PROBE_UDP, MET_SILENCE, 0);
	}
	probe_report(&plan, &report);
	ck_assert(!report.ok);
	ck_assert_uint_eq(report.n, PROBE_CHECKS_MAX);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("entrypoint_judge");
	TCase *t = tcase_create("judge");
	SRunner *r;
	int failed;

	tcase_add_test(t, judge);
	tcase_add_test(t, report_good);
	tcase_add_test(t, report_bad);
	tcase_add_test(t, report_nothing);
	tcase_add_test(t, report_too_many);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
