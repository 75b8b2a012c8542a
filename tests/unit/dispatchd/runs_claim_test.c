#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/msg.h"

#include "dispatchd/runs_claim.h"

#define TEN "aaaaaaaaaa"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static const struct {
	const char *name, *text;
	bool fits;
} rows[] = {
	{ "dns 127.0.0.11", "ECONNREFUSED, silence", true },
	{ "direct tcp v4",
	    "violation: [2001:db8::1] port 443 example.com: \"~\"", true },
	{ "siblings", "", true },
	{ TEN TEN TEN "aa", HUNDRED HUNDRED, true },
	{ TEN TEN TEN "aaa", "", false },
	{ "icmp", HUNDRED HUNDRED "a", false },
	{ "", "", false },
	{ "a\tb", "", false },
	{ "a\nb", "", false },
	{ "A", "", false },
	{ "icmp", "\x01", false },
	{ "icmp", "a\tb", false },
	{ "icmp", "\x7f", false },
	{ "icmp", "\xc3\xa9", false },
};

START_TEST(test_proof)
{
	const char *k[] = { "canary tcp", rows[_i].name };
	const char *v[] = { "ECONNREFUSED", rows[_i].text };
	struct msg_agent_proof p;

	memset(&p, 0, sizeof(p));
	ck_assert(claim_proof_fits(&p));
	p.checks.k = k;
	p.checks.v = v;
	p.checks.n = 2;
	ck_assert_int_eq(claim_proof_fits(&p), rows[_i].fits);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("runs_claim");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_loop_test(
	    t, test_proof, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
