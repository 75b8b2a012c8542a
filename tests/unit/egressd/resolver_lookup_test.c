/* The verdict over both families; the rest is process/resolver_test.c. */

#include <check.h>

#include "egressd/resolver_lookup.c"

#define MOST EGRESS_ADDRESSES_MAX

/* naddr addresses (DNS_OK), or a result, or none within the time. */
struct half {
	unsigned naddr;
	enum dns_result result;
	enum query_state state;
};

#define OK(n)                         \
	{                             \
		n, DNS_OK, QUERY_DONE \
	}
#define END(r)                   \
	{                        \
		0, r, QUERY_DONE \
	}
#define LATE                             \
	{                                \
		0, DNS_OK, QUERY_TIMEOUT \
	}
#define WAITS                            \
	{                                \
		0, DNS_OK, QUERY_PENDING \
	}

static const struct {
	const char *name;
	struct half a, b;
	const char *want;
	unsigned naddr;
} rows[] = {
	{ "both", OK(1), OK(2), "ok", 3 },
	{ "one, other empty", OK(1), END(DNS_EMPTY), "ok", 1 },
	{ "one, other nxdomain", OK(1), END(DNS_NXDOMAIN), "ok", 1 },
	{ "one, other failed", OK(1), END(DNS_FAILED), "ok", 1 },
	{ "one, other late", OK(1), LATE, "ok", 1 },
	{ "one, other waits", OK(1), WAITS, "ok", 1 },
	{ "as many as fit", OK(MOST / 2), OK(MOST / 2), "ok", MOST },
	{ "one too many", OK(MOST / 2), OK(MOST / 2 + 1), "dns_failed", 0 },
	{ "empty twice", END(DNS_EMPTY), END(DNS_EMPTY), "dns_empty", 0 },
	{ "nxdomain twice", END(DNS_NXDOMAIN), END(DNS_NXDOMAIN),
	    "dns_nxdomain", 0 },
	{ "nxdomain, empty", END(DNS_NXDOMAIN), END(DNS_EMPTY), "dns_nxdomain",
	    0 },
	{ "failed twice", END(DNS_FAILED), END(DNS_FAILED), "dns_failed", 0 },
	{ "failed, empty", END(DNS_FAILED), END(DNS_EMPTY), "dns_failed", 0 },
	{ "failed, nxdomain", END(DNS_FAILED), END(DNS_NXDOMAIN), "dns_failed",
	    0 },
	{ "late twice", LATE, LATE, "dns_timeout", 0 },
	{ "late, waits", LATE, WAITS, "dns_timeout", 0 },
	{ "waits twice", WAITS, WAITS, "dns_timeout", 0 },
	{ "late, empty", LATE, END(DNS_EMPTY), "dns_failed", 0 },
	{ "late, nxdomain", LATE, END(DNS_NXDOMAIN), "dns_failed", 0 },
	{ "late, failed", LATE, END(DNS_FAILED), "dns_failed", 0 },
};

static void
fill(struct query *q, const struct half *h, int family)
{
	unsigned i;

	memset(q, 0, sizeof(*q));
	q->state = h->state;
	q->result = h->result;
	q->answer.naddr = h->naddr;
	for (i = 0; i < h->naddr; i++) {
		q->answer.addr[i].family = family;
		q->answer.addr[i].b[0] = (uint8_t)i;
	}
}

START_TEST(merge)
{
	struct dns_answer sum;
	struct query a, b;
	int swap;

	/* Neither family has a say over the other. */
	for (swap = 0; swap < 2; swap++) {
		fill(&a, swap ? &rows[_i].b : &rows[_i].a, AF_INET);
		fill(&b, swap ? &rows[_i].a : &rows[_i].b, AF_INET6);
		ck_assert_msg(
		    strcmp(lookup_merge(&a, &b, &sum), rows[_i].want) == 0,
		    "%s", rows[_i].name);
		ck_assert_msg(sum.naddr == rows[_i].naddr, "%s: %zu",
		    rows[_i].name, sum.naddr);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("resolver_lookup");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, merge, 0, (int)(sizeof(rows) / sizeof(*rows)));
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
