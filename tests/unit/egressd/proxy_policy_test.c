#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/proxy_policy.c"

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

/* A rule of a profile; cidr: blank-separated, NULL for none. */
struct rule_in {
	const char *profile;
	bool deny;
	const char *host;
	const char *cidr;
	int port;
};

#define ALLOW false
#define DENY true

/* In the order in which rows come: allow, then deny, of each profile. */
static const struct rule_in rules[] = {
	{ "name", ALLOW, "good.com", NULL, 443 },
	{ "name", ALLOW, "good.com", NULL, 8443 },
	{ "name", ALLOW, "other.com", NULL, 443 },
	{ "name", ALLOW, "localhost", NULL, 443 },
	{ "name", ALLOW, "db.corp.internal", NULL, 5432 },
	{ "name", ALLOW, "_acme.exact.com", NULL, 443 },
	{ "name", ALLOW, "xn--bcher-kva.example", NULL, 443 },

	{ "star", ALLOW, "*.good.com", NULL, 443 },
	{ "star", ALLOW, "*.internal", NULL, 443 },
	{ "star", ALLOW, "*.corp.internal", NULL, 443 },
	{ "star", ALLOW, "*.local", NULL, 443 },
	{ "star", ALLOW, "*.localhost", NULL, 443 },
	{ "star", ALLOW, "*.com", NULL, 9443 },
	{ "star", ALLOW, "*._tcp.srv.com", NULL, 443 },

	{ "order", ALLOW, "*.good.com", NULL, 443 },
	{ "order", ALLOW, "*.a.good.com", NULL, 443 },
	{ "order", ALLOW, "x.a.good.com", NULL, 443 },
	{ "order", ALLOW, "x.a.good.com", NULL, 443 },
	{ "order", ALLOW, "y.a.good.com", NULL, 8443 },
	{ "order", ALLOW, "*.a.good.com", NULL, 8443 },
	{ "order", ALLOW, "*.a.good.com", NULL, 8443 },

	{ "deny", ALLOW, "*.good.com", NULL, 443 },
	{ "deny", ALLOW, "*.good.com", NULL, 8443 },
	{ "deny", ALLOW, "good.com", NULL, 443 },
	{ "deny", ALLOW, "a.bad.com", NULL, 443 },
	{ "deny", ALLOW, "_x.bad.com", NULL, 443 },
	{ "deny", ALLOW, "bad.com", NULL, 443 },
	{ "deny", ALLOW, "db.corp.internal", NULL, 443 },
	{ "deny", ALLOW, "web.corp.internal", NULL, 8443 },
	{ "deny", DENY, "gist.good.com", NULL, 0 },
	{ "deny", DENY, "one.good.com", NULL, 443 },
	{ "deny", DENY, "*.bad.com", NULL, 0 },
	{ "deny", DENY, "*.internal", NULL, 443 },
	{ "deny", DENY, "*.sub.good.com", NULL, 0 },
	{ "deny", DENY, "x.sub.good.com", NULL, 8443 },
	{ "deny", DENY, "unlisted.com", NULL, 0 },

	{ "addr", ALLOW, NULL, "1.1.1.1/32", 443 },
	{ "addr", ALLOW, NULL, "1.1.0.0/16 9.9.9.0/24", 443 },
	{ "addr", ALLOW, NULL, "1.1.1.0/24", 853 },
	{ "addr", ALLOW, NULL, "10.0.0.0/8 fd00::/8", 8443 },
	{ "addr", ALLOW, NULL, "2606:4700::/32", 443 },
	{ "addr", ALLOW, NULL, "169.254.0.0/16 ::/0", 80 },
	{ "addr", ALLOW, "host.com", "8.8.8.8/32", 443 },
	{ "addr", ALLOW, "private.com", "10.1.0.0/16 fd12::/16", 443 },
	{ "addr", ALLOW, "wide.com", "0.0.0.0/0 ::/0", 443 },
	{ "addr", ALLOW, NULL, "8.0.0.0/8", 444 },
	{ "addr", ALLOW, NULL, "8.0.0.0/8", 444 },
	{ "addr", DENY, NULL, "1.1.2.0/24", 0 },
	{ "addr", DENY, NULL, "1.1.3.0/24", 443 },
	{ "addr", DENY, NULL, "10.1.9.0/24 2606:4700:1::/48", 0 },

	{ "a-profile-with-a-long-name-of-64-bytes-which-is-what-fits-in-123",
	    ALLOW, "good.com", NULL, 443 },
};

#define LONG_NAME \
	"a-profile-with-a-long-name-of-64-bytes-which-is-what-fits-in-123"

/* Send one rule as the parent does; index counts within its list. */
static int
add(struct policy *p, const struct rule_in *in, int64_t index)
{
	struct msg_rule_row row = { .profile = in->profile,
		.deny = in->deny,
		.index = index,
		.host = in->host,
		.port = in->port };
	const char *cidr[EGRESS_CIDR_MAX];
	char buf[256], *s = buf;

	if (in->cidr != NULL) {
		ck_assert_uint_lt(
		    strlcpy(buf, in->cidr, sizeof(buf)), sizeof(buf));
		while ((cidr[row.cidr.n] = strsep(&s, " ")) != NULL)
			row.cidr.n++;
		row.cidr.v = cidr;
	}
	return policy_add(p, &row);
}

static struct policy *
fresh(int64_t generation)
{
	struct policy *p = policy_new(generation);

	ck_assert_ptr_nonnull(p);
	return p;
}

static struct policy *
make(void)
{
	struct msg_rule_row empty = { .profile = "empty", .empty = true };
	struct policy *p = fresh(7);
	int64_t index = 0;
	int i;

	for (i = 0; i < ROWS(rules); i++) {
		if (i > 0 &&
		    (rules[i].deny != rules[i - 1].deny ||
		        strcmp(rules[i].profile, rules[i - 1].profile) != 0))
			index = 0;
		ck_assert_int_eq(add(p, &rules[i], index++), 0);
	}
	ck_assert_int_eq(policy_add(p, &empty), 0);
	return p;
}

static void
parse(const char *s, struct dest *d)
{
	ck_assert_msg(dest_parse(s, strlen(s), 0, d) == 0, "%s", s);
}

static const char *
rule_id(const struct policy_rule *r)
{
	return r == NULL ? "none" : r->id;
}

#define NONE "none"
#define RULE(profile, list) "profiles." profile "." list

static const struct {
	const char *name, *profile, *dest;
	enum egress_code code;
	const char *rule;
} decides[] = {
	{ "exact", "name", "good.com:443", CODE_ok, RULE("name", "allow[0]") },
	{ "exact, second port", "name", "good.com:8443", CODE_ok,
	    RULE("name", "allow[1]") },
	{ "exact, no such port", "name", "good.com:80", CODE_port, NONE },
	{ "not listed", "name", "evil.com:443", CODE_host, NONE },
	{ "A5 trailing dot", "name", "good.com.:443", CODE_ok,
	    RULE("name", "allow[0]") },
	{ "A6 case", "name", "GOOD.CoM:443", CODE_ok,
	    RULE("name", "allow[0]") },
	{ "below an exact rule", "name", "a.good.com:443", CODE_host, NONE },
	{ "above an exact rule", "name", "com:443", CODE_host, NONE },
	{ "suffix of text", "name", "evilgood.com:443", CODE_host, NONE },
	{ "prefix of text", "name", "good.com.evil.com:443", CODE_host, NONE },
	{ "A10 rule spells an underscore", "name", "_acme.exact.com:443",
	    CODE_ok, RULE("name", "allow[5]") },
	{ "A11 same A-label", "name", "XN--bcher-kva.example:443", CODE_ok,
	    RULE("name", "allow[6]") },
	{ "A11 other A-label", "name", "xn--mnchen-3ya.example:443", CODE_host,
	    NONE },
	{ "A14 exact localhost", "name", "localhost:443", CODE_ok,
	    RULE("name", "allow[3]") },
	{ "A14 exact internal", "name", "db.corp.internal:5432", CODE_ok,
	    RULE("name", "allow[4]") },
	{ "A14 exact internal, port", "name", "db.corp.internal:443", CODE_port,
	    NONE },

	{ "A12 below", "star", "a.good.com:443", CODE_ok,
	    RULE("star", "allow[0]") },
	{ "A12 itself", "star", "good.com:443", CODE_port, NONE },
	{ "A12 no dot", "star", "evilgood.com:443", CODE_port, NONE },
	{ "A12 not the end", "star", "good.com.evil.net:443", CODE_host, NONE },
	{ "A12 deeper", "star", "a.b.good.com:443", CODE_ok,
	    RULE("star", "allow[0]") },
	{ "A12 port of a shorter star", "star", "a.good.com:9443", CODE_ok,
	    RULE("star", "allow[5]") },
	{ "A12 no star's port", "star", "a.good.com:80", CODE_port, NONE },
	{ "A10 star takes no underscore", "star", "_a.good.com:443", CODE_host,
	    NONE },
	{ "A10 underscore deeper", "star", "a._b.good.com:443", CODE_host,
	    NONE },
	{ "A10 underscore in front", "star", "_a.b.good.com:443", CODE_host,
	    NONE },
	{ "A10 within a label", "star", "a_b.good.com:443", CODE_host, NONE },
	{ "A10 the rule's suffix has one", "star", "x._tcp.srv.com:443",
	    CODE_ok, RULE("star", "allow[6]") },
	{ "A10 suffix has one, star too", "star", "_x._tcp.srv.com:443",
	    CODE_host, NONE },
	{ "A10 not a port's matter", "star", "_a.good.com:80", CODE_host,
	    NONE },
	{ "A14 single label", "star", "com:9443", CODE_host, NONE },
	{ "A14 localhost", "star", "localhost:443", CODE_host, NONE },
	{ "A14 below localhost", "star", "a.localhost:443", CODE_host, NONE },
	{ "A14 internal", "star", "a.internal:443", CODE_host, NONE },
	{ "A14 deeper internal", "star", "a.corp.internal:443", CODE_host,
	    NONE },
	{ "A14 local", "star", "printer.local:443", CODE_host, NONE },
	{ "A14 address", "star", "1.2.3.4:443", CODE_ip_literal, NONE },
	{ "A14 v6 address", "star", "[2606:4700::1]:443", CODE_ip_literal,
	    NONE },

	{ "exact before star", "order", "x.a.good.com:443", CODE_ok,
	    RULE("order", "allow[2]") },
	{ "longer suffix first", "order", "z.a.good.com:443", CODE_ok,
	    RULE("order", "allow[1]") },
	{ "shorter suffix", "order", "a.good.com:443", CODE_ok,
	    RULE("order", "allow[0]") },
	{ "exact lacks the port", "order", "y.a.good.com:443", CODE_ok,
	    RULE("order", "allow[1]") },
	{ "first among equals", "order", "z.a.good.com:8443", CODE_ok,
	    RULE("order", "allow[5]") },

	{ "A15 deny beats star", "deny", "gist.good.com:443", CODE_host,
	    RULE("deny", "deny[0]") },
	{ "A15 deny on any port", "deny", "gist.good.com:8443", CODE_host,
	    RULE("deny", "deny[0]") },
	{ "A15, A6 deny folds case", "deny", "GIST.good.COM.:443", CODE_host,
	    RULE("deny", "deny[0]") },
	{ "A15 exact deny is exact", "deny", "x.gist.good.com:443", CODE_ok,
	    RULE("deny", "allow[0]") },
	{ "A15 deny on one port", "deny", "one.good.com:443", CODE_host,
	    RULE("deny", "deny[1]") },
	{ "A15 other port passes", "deny", "one.good.com:8443", CODE_ok,
	    RULE("deny", "allow[1]") },
	{ "A15 star denies exact", "deny", "a.bad.com:443", CODE_host,
	    RULE("deny", "deny[2]") },
	{ "A15 star denies underscores", "deny", "_x.bad.com:443", CODE_host,
	    RULE("deny", "deny[2]") },
	{ "A15 star spares itself", "deny", "bad.com:443", CODE_ok,
	    RULE("deny", "allow[5]") },
	{ "A15 star denies internal", "deny", "db.corp.internal:443", CODE_host,
	    RULE("deny", "deny[3]") },
	{ "A15 star, other port", "deny", "web.corp.internal:8443", CODE_ok,
	    RULE("deny", "allow[7]") },
	{ "A15 exact deny named first", "deny", "x.sub.good.com:8443",
	    CODE_host, RULE("deny", "deny[5]") },
	{ "A15 exact deny lacks the port", "deny", "x.sub.good.com:443",
	    CODE_host, RULE("deny", "deny[4]") },
	{ "A15 denied, never allowed", "deny", "unlisted.com:443", CODE_host,
	    RULE("deny", "deny[6]") },

	{ "B1 no rule", "name", "140.82.112.3:443", CODE_ip_literal, NONE },
	{ "B1 no rule, v6", "name", "[2606:4700::1]:443", CODE_ip_literal,
	    NONE },
	{ "B1 address rule", "addr", "1.1.1.1:443", CODE_ok,
	    RULE("addr", "allow[0]") },
	{ "B1 longer prefix lacks the port", "addr", "1.1.1.1:853", CODE_ok,
	    RULE("addr", "allow[2]") },
	{ "B1 prefix", "addr", "1.1.1.2:443", CODE_ok,
	    RULE("addr", "allow[1]") },
	{ "B1 second prefix of a rule", "addr", "9.9.9.9:443", CODE_ok,
	    RULE("addr", "allow[1]") },
	{ "B1 no such port", "addr", "1.1.1.1:80", CODE_port, NONE },
	{ "B1 outside", "addr", "1.2.0.0:443", CODE_ip_literal, NONE },
	{ "B1 first among equals", "addr", "8.8.8.8:444", CODE_ok,
	    RULE("addr", "allow[9]") },
	{ "B1 a host's cidr is no address rule", "addr", "8.8.8.8:443",
	    CODE_port, NONE },
	{ "B1 v6 prefix", "addr", "[2606:4700::1]:443", CODE_ok,
	    RULE("addr", "allow[4]") },
	{ "B1 v6, zero bits, other port", "addr", "[2607::1]:443", CODE_port,
	    NONE },
	{ "B1 mapped matches no v4 prefix", "addr", "[::ffff:1.1.1.1]:443",
	    CODE_port, NONE },
	{ "B1 deny any port", "addr", "1.1.2.1:443", CODE_host,
	    RULE("addr", "deny[0]") },
	{ "B1 deny one port", "addr", "1.1.3.1:443", CODE_host,
	    RULE("addr", "deny[1]") },
	{ "B1 deny v6", "addr", "[2606:4700:1::1]:443", CODE_host,
	    RULE("addr", "deny[2]") },
	{ "a name under address rules", "addr", "evil.com:443", CODE_host,
	    NONE },

	{ "F4 empty profile", "empty", "good.com:443", CODE_host, NONE },
	{ "F4 empty profile, address", "empty", "1.1.1.1:443", CODE_ip_literal,
	    NONE },
	{ "F3 no profile", "missing", "good.com:443", CODE_host, NONE },
	{ "F3 no profile, address", "missing", "1.1.1.1:443", CODE_ip_literal,
	    NONE },
	{ "profiles are apart", "empty", "db.corp.internal:5432", CODE_host,
	    NONE },
	{ "long name", LONG_NAME, "good.com:443", CODE_ok,
	    RULE(LONG_NAME, "allow[0]") },
};

START_TEST(test_decide)
{
	struct policy *p = make();
	struct verdict v = { CODE_MAX, NULL };
	struct dest d;

	parse(decides[_i].dest, &d);
	policy_decide(policy_profile(p, decides[_i].profile), &d, &v);
	ck_assert_msg(v.code == decides[_i].code, "%s: code %d, %s",
	    decides[_i].name, (int)v.code, rule_id(v.rule));
	ck_assert_str_eq(rule_id(v.rule), decides[_i].rule);
	policy_free(&p);
	ck_assert_ptr_null(p);
}
END_TEST

/* The rule that lets dest pass is asked for the address. */
static const struct {
	const char *name, *dest, *addr;
	enum egress_code code;
	const char *deny;
} addresses[] = {
	{ "public", "host.com:443", "140.82.112.3", CODE_ok, NONE },
	{ "public, beside its cidr", "private.com:443", "140.82.112.3", CODE_ok,
	    NONE },
	{ "public v6", "host.com:443", "2607::1", CODE_ok, NONE },
	{ "B2 mapped", "wide.com:443", "::ffff:169.254.169.254",
	    CODE_address_prohibited, NONE },
	{ "B2 NAT64", "wide.com:443", "64:ff9b::a9fe:a9fe",
	    CODE_address_prohibited, NONE },
	{ "B2 6to4", "wide.com:443",
	    "2002:a9fe:a9fe::", CODE_address_prohibited, NONE },
	{ "B2 literal that a rule names", "[::ffff:169.254.169.254]:80",
	    "::ffff:169.254.169.254", CODE_address_prohibited, NONE },
	{ "B3 metadata", "wide.com:443", "169.254.169.254",
	    CODE_address_prohibited, NONE },
	{ "B3 metadata, literal", "169.254.169.254:80", "169.254.169.254",
	    CODE_address_prohibited, NONE },
	{ "B3 loopback", "wide.com:443", "127.0.0.1", CODE_address_prohibited,
	    NONE },
	{ "B3 loopback v6", "wide.com:443", "::1", CODE_address_prohibited,
	    NONE },
	{ "B3 metadata v6", "wide.com:443", "fd00:ec2::254",
	    CODE_address_prohibited, NONE },
	{ "B4 private, no cidr", "host.com:443", "10.1.2.3",
	    CODE_address_private, NONE },
	{ "B4 private, in its cidr", "private.com:443", "10.1.2.3", CODE_ok,
	    NONE },
	{ "B4 private, beside it", "private.com:443", "10.2.0.1",
	    CODE_address_private, NONE },
	{ "B4 unique local, second cidr", "private.com:443", "fd12::1", CODE_ok,
	    NONE },
	{ "B4 shared", "private.com:443", "100.64.0.1", CODE_address_private,
	    NONE },
	{ "B4 shared, all v4", "wide.com:443", "100.64.0.1", CODE_ok, NONE },
	{ "B4 private literal", "10.2.0.1:8443", "10.2.0.1", CODE_ok, NONE },
	{ "B11 NAT64, embedded public", "wide.com:443", "64:ff9b::101:101",
	    CODE_address_prohibited, NONE },
	{ "B11 NAT64, embedded private", "wide.com:443", "64:ff9b::a00:1",
	    CODE_address_prohibited, NONE },
	{ "denied address of a name", "host.com:443", "1.1.2.9", CODE_host,
	    RULE("addr", "deny[0]") },
	{ "denied on its port", "host.com:443", "1.1.3.9", CODE_host,
	    RULE("addr", "deny[1]") },
	{ "denied on another port", "8.8.8.8:444", "1.1.3.9", CODE_ok, NONE },
	{ "denied in its cidr", "private.com:443", "10.1.9.1", CODE_host,
	    RULE("addr", "deny[2]") },
	{ "denied v6", "host.com:443", "2606:4700:1::1", CODE_host,
	    RULE("addr", "deny[2]") },
};

START_TEST(test_address)
{
	const char *text = addresses[_i].addr;
	struct policy *p = make();
	const struct policy_profile *pr = policy_profile(p, "addr");
	const struct policy_rule *deny;
	struct verdict v;
	struct netaddr a;
	struct dest d;
	enum egress_code code;

	parse(addresses[_i].dest, &d);
	policy_decide(pr, &d, &v);
	ck_assert_int_eq(v.code, CODE_ok);
	ck_assert_int_eq(netaddr_parse(text, strlen(text), &a), 0);
	deny = v.rule;
	code = policy_address(pr, v.rule, &d, &a, &deny);
	ck_assert_msg(code == addresses[_i].code, "%s: code %d",
	    addresses[_i].name, (int)code);
	ck_assert_str_eq(rule_id(deny), addresses[_i].deny);
	policy_free(&p);
}
END_TEST

START_TEST(test_address_without)
{
	struct policy *p = make();
	const struct policy_profile *pr = policy_profile(p, "addr");
	const struct policy_rule *deny;
	struct netaddr a = { .family = AF_INET, .b = { 1, 1, 1, 1 } };
	struct verdict v;
	struct dest d;

	parse("host.com:443", &d);
	policy_decide(pr, &d, &v);
	ck_assert_int_eq(
	    policy_address(NULL, v.rule, &d, &a, &deny), CODE_host);
	ck_assert_ptr_null(deny);
	ck_assert_int_eq(policy_address(pr, NULL, &d, &a, &deny), CODE_host);
	ck_assert_ptr_null(deny);
	a.family = 0;
	ck_assert_int_eq(
	    policy_address(pr, v.rule, &d, &a, &deny), CODE_address_prohibited);
	policy_free(&p);
}
END_TEST

START_TEST(test_add)
{
	struct policy *p = fresh(INT64_MAX);
	struct msg_rule_row row = {
		.profile = "p", .host = "good.com", .port = 443
	};

	ck_assert_int_eq(policy_generation(p), INT64_MAX);
	ck_assert_ptr_null(policy_profile(p, "p"));
	ck_assert_int_eq(policy_add(p, &row), 0);
	ck_assert_ptr_nonnull(policy_profile(p, "p"));
	row.port = 0;
	ck_assert_int_eq(policy_add(p, &row), -1);
	row.port = 443;
	row.empty = true;
	ck_assert_int_eq(policy_add(p, &row), -1);
	row.host = NULL;
	ck_assert_int_eq(policy_add(p, &row), 0);
	row.cidr.n = 1;
	ck_assert_int_eq(policy_add(p, &row), -1);
	row.cidr.n = 0;
	row.profile = NULL;
	ck_assert_int_eq(policy_add(p, &row), -1);
	row.profile = "";
	ck_assert_int_eq(policy_add(p, &row), -1);
	row.profile = LONG_NAME;
	ck_assert_int_eq(policy_add(p, &row), 0);
	row.profile = LONG_NAME "4";
	ck_assert_int_eq(policy_add(p, &row), -1);
	policy_free(&p);
	ck_assert_ptr_null(p);
	policy_free(&p);
}
END_TEST

START_TEST(test_rules_max)
{
	struct policy *p = fresh(1);
	struct msg_rule_row row = { .profile = "p", .port = 443 };
	struct verdict v;
	struct dest d;
	char host[64], want[64];
	int i;

	row.host = host;
	for (i = 0; i < EGRESS_RULES_MAX; i++) {
		snprintf(host, sizeof(host), "%sh%d.example",
		    i % 2 == 0 ? "" : "*.", i);
		row.index = i;
		ck_assert_int_eq(policy_add(p, &row), 0);
	}
	ck_assert_int_eq(policy_add(p, &row), -1);
	for (i = 0; i < EGRESS_RULES_MAX; i++) {
		snprintf(host, sizeof(host), "%sh%d.example:443",
		    i % 2 == 0 ? "" : "a.b.", i);
		snprintf(want, sizeof(want), "profiles.p.allow[%d]", i);
		parse(host, &d);
		policy_decide(policy_profile(p, "p"), &d, &v);
		ck_assert_int_eq(v.code, CODE_ok);
		ck_assert_str_eq(v.rule->id, want);
	}
	policy_free(&p);
}
END_TEST

START_TEST(test_profiles_max)
{
	struct policy *p = fresh(1);
	struct msg_rule_row row = { .empty = true };
	char name[32];
	int i;

	row.profile = name;
	for (i = 0; i <= EGRESS_PROFILES_MAX; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		ck_assert_int_eq(
		    policy_add(p, &row), i < EGRESS_PROFILES_MAX ? 0 : -1);
	}
	ck_assert_ptr_nonnull(policy_profile(p, "p0"));
	ck_assert_ptr_null(policy_profile(p, name));
	policy_free(&p);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("proxy_policy");
	TCase *tc = tcase_create("proxy_policy");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, test_decide, 0, ROWS(decides));
	tcase_add_loop_test(tc, test_address, 0, ROWS(addresses));
	tcase_add_test(tc, test_address_without);
	tcase_add_test(tc, test_add);
	tcase_add_test(tc, test_rules_max);
	tcase_add_test(tc, test_profiles_max);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
