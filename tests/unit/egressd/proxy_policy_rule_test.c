#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/proxy_policy_rule.c"

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

#define ALLOW false
#define DENY true

/* cidr: blank-separated, NULL for none; want: 0 accepted, -1 refused. */
static const struct {
	const char *name;
	struct {
		bool deny;
		const char *host, *cidr;
		int64_t port;
	} rule;
	int want;
} sets[] = {
	{ "exact", { ALLOW, "good.com", NULL, 443 }, 0 },
	{ "wildcard", { ALLOW, "*.good.com", NULL, 443 }, 0 },
	{ "underscore", { ALLOW, "_a.good.com", NULL, 443 }, 0 },
	{ "host and cidr", { ALLOW, "good.com", "10.0.0.0/8", 443 }, 0 },
	{ "deny host and cidr", { DENY, "good.com", "10.0.0.0/8", 0 }, -1 },
	{ "deny cidr alone", { DENY, NULL, "10.0.0.0/8", 0 }, 0 },
	{ "cidr alone", { ALLOW, NULL, "10.0.0.0/8 fd00::/8", 443 }, 0 },
	{ "address alone", { ALLOW, NULL, "10.0.0.1", 443 }, 0 },
	{ "allow port 1", { ALLOW, "good.com", NULL, 1 }, 0 },
	{ "allow port 65535", { ALLOW, "good.com", NULL, 65535 }, 0 },
	{ "allow port 0", { ALLOW, "good.com", NULL, 0 }, -1 },
	{ "allow port 65536", { ALLOW, "good.com", NULL, 65536 }, -1 },
	{ "allow port -1", { ALLOW, "good.com", NULL, -1 }, -1 },
	{ "deny port 0", { DENY, "good.com", NULL, 0 }, 0 },
	{ "deny port 65536", { DENY, "good.com", NULL, 65536 }, -1 },
	{ "deny port -1", { DENY, "good.com", NULL, -1 }, -1 },
	{ "neither host nor cidr", { ALLOW, NULL, NULL, 443 }, -1 },
	{ "deny neither", { DENY, NULL, NULL, 0 }, -1 },
	{ "A13 star alone", { ALLOW, "*", NULL, 443 }, -1 },
	{ "A13 star and dot", { ALLOW, "*.", NULL, 443 }, -1 },
	{ "A13 star in a label", { ALLOW, "*foo.com", NULL, 443 }, -1 },
	{ "A13 star within", { ALLOW, "a.*.com", NULL, 443 }, -1 },
	{ "A13 two stars", { ALLOW, "*.*.com", NULL, 443 }, -1 },
	{ "A13 blank", { ALLOW, " ", NULL, 443 }, -1 },
	{ "A13 empty", { ALLOW, "", NULL, 443 }, -1 },
	{ "A13 scheme", { ALLOW, "http://x", NULL, 443 }, -1 },
	{ "A13 port in the host", { ALLOW, "x:0", NULL, 443 }, -1 },
	{ "A5 trailing dot", { ALLOW, "good.com.", NULL, 443 }, -1 },
	{ "A6 case", { ALLOW, "Good.com", NULL, 443 }, -1 },
	{ "A6 case, wildcard", { ALLOW, "*.Good.com", NULL, 443 }, -1 },
	{ "A9 number", { ALLOW, "1.2.3", NULL, 443 }, -1 },
	{ "A9 address as host", { ALLOW, "1.2.3.4", NULL, 443 }, -1 },
	{ "A9 v6 as host", { ALLOW, "::1", NULL, 443 }, -1 },
	{ "A11 no A-label", { ALLOW, "xn--99999999.com", NULL, 443 }, -1 },
	{ "A11 U-label",
	    { ALLOW,
	        "b\xc3\xbc"
	        "cher.com",
	        NULL, 443 },
	    -1 },
	{ "bad cidr", { ALLOW, "good.com", "10.0.0.0/33", 443 }, -1 },
	{ "host bits", { ALLOW, NULL, "10.0.0.1/8", 443 }, -1 },
	{ "second cidr bad", { ALLOW, NULL, "10.0.0.0/8 x", 443 }, -1 },
	{ "empty cidr", { ALLOW, NULL, "", 443 }, -1 },
};

START_TEST(test_set)
{
	struct msg_rule_row row = { .profile = "p" };
	struct policy_rule r;
	const char *cidr[EGRESS_CIDR_MAX];
	char buf[256], *s = buf;
	int got;

	row.deny = sets[_i].rule.deny;
	row.host = sets[_i].rule.host;
	row.port = sets[_i].rule.port;
	row.cidr.v = cidr;
	if (sets[_i].rule.cidr != NULL) {
		strlcpy(buf, sets[_i].rule.cidr, sizeof(buf));
		while ((cidr[row.cidr.n] = strsep(&s, " ")) != NULL)
			row.cidr.n++;
	}
	memset(&r, 0, sizeof(r));
	got = policy_rule_set(&r, &row);
	ck_assert_msg(got == sets[_i].want, "%s", sets[_i].name);
	free(r.cidr);
}
END_TEST

static int
set(const struct msg_rule_row *row)
{
	struct policy_rule r;
	int got;

	memset(&r, 0, sizeof(r));
	got = policy_rule_set(&r, row);
	free(r.cidr);
	return got;
}

START_TEST(test_set_bounds)
{
	struct msg_rule_row row = {
		.profile = "p", .host = "good.com", .port = 443
	};
	const char *cidr[EGRESS_CIDR_MAX + 1];
	size_t i;

	for (i = 0; i < EGRESS_CIDR_MAX + 1; i++)
		cidr[i] = "10.0.0.0/8";
	row.cidr.v = cidr;
	row.cidr.n = EGRESS_CIDR_MAX;
	ck_assert_int_eq(set(&row), 0);
	row.cidr.n = EGRESS_CIDR_MAX + 1;
	ck_assert_int_eq(set(&row), -1);
	row.cidr.n = 0;
	row.bytes_up = -1;
	ck_assert_int_eq(set(&row), -1);
	row.bytes_up = 0;
	row.bytes_down = -1;
	ck_assert_int_eq(set(&row), -1);
	row.bytes_down = 0;
	row.index = -1;
	ck_assert_int_eq(set(&row), -1);
	row.index = 0;
	ck_assert_int_eq(set(&row), 0);
}
END_TEST

/* Everything that the row says stands in the rule. */
START_TEST(test_fields_allow)
{
	const char *cidr[] = { "10.99.0.0/24", "fd00::/8" };
	struct msg_rule_row row = { .profile = "dev",
		.index = 100000,
		.host = "*.good.com",
		.cidr = { cidr, 2 },
		.port = 8443,
		.sni_optional = true,
		.ech_allow = true,
		.bytes_up = 5,
		.bytes_down = INT64_MAX };
	struct policy_rule r;
	char buf[NETADDR_PREFIX_TEXT_MAX];

	memset(&r, 0, sizeof(r));
	ck_assert_int_eq(policy_rule_set(&r, &row), 0);
	ck_assert_str_eq(r.id, "profiles.dev.allow[100000]");
	ck_assert_str_eq(r.host, "good.com");
	ck_assert(r.wildcard && !r.deny);
	ck_assert_uint_eq(r.ncidr, 2);
	ck_assert_str_eq(netprefix_text(&r.cidr[0], buf), cidr[0]);
	ck_assert_str_eq(netprefix_text(&r.cidr[1], buf), cidr[1]);
	ck_assert_uint_eq(r.port, 8443);
	ck_assert(r.sni_optional && !r.proto_any && r.ech_allow);
	ck_assert_int_eq(r.bytes_up, 5);
	ck_assert_int_eq(r.bytes_down, INT64_MAX);
	free(r.cidr);
}
END_TEST

START_TEST(test_fields_deny)
{
	struct msg_rule_row row = { .profile = "dev",
		.deny = true,
		.host = "good.com",
		.proto_any = true };
	struct policy_rule r;

	memset(&r, 0, sizeof(r));
	ck_assert_int_eq(policy_rule_set(&r, &row), 0);
	ck_assert_str_eq(r.id, "profiles.dev.deny[0]");
	ck_assert_str_eq(r.host, "good.com");
	ck_assert(!r.wildcard && r.deny);
	ck_assert_uint_eq(r.port, 0);
	ck_assert_uint_eq(r.ncidr, 0);
	ck_assert(!r.sni_optional && r.proto_any && !r.ech_allow);
}
END_TEST

/* Whatever its profile is called, an id is cut, not run over. */
START_TEST(test_id_cut)
{
	char name[300];
	struct msg_rule_row row = {
		.profile = name, .host = "good.com", .port = 443
	};
	struct policy_rule r;

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	memset(&r, 0, sizeof(r));
	ck_assert_int_eq(policy_rule_set(&r, &row), 0);
	ck_assert_uint_eq(strlen(r.id), EGRESS_RULE_ID_MAX - 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("proxy_policy_rule");
	TCase *tc = tcase_create("proxy_policy_rule");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, test_set, 0, ROWS(sets));
	tcase_add_test(tc, test_set_bounds);
	tcase_add_test(tc, test_fields_allow);
	tcase_add_test(tc, test_fields_deny);
	tcase_add_test(tc, test_id_cut);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
