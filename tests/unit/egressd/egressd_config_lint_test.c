#include "config_fixture.h"

#define TEXT_MAX_ROW 8192
#define DENIED "can never match: all of it is denied by "
#define SHADOWED "is never used: all of it is in "
#define W "warning: "

/* The lists of one profile; allow stands on line 1, deny on line 2. */
static const struct {
	const char *name;
	const char *allow;
	const char *deny;
	const char *want;
} rows[] = {
	{ "A15 nothing to say",
	    "{\"host\": \"a.example\"}, {\"host\": \"b.example\"}",
	    "{\"host\": \"c.example\"}", "" },
	{ "A15 the same host twice",
	    "{\"host\": \"a.example\"}, {\"host\": \"A.example.\"}", "",
	    W "f:1: profiles.p.allow[1]: " SHADOWED "allow[0] (line 1)\n" },
	{ "A15 the same host with other options",
	    "{\"host\": \"a.example\"},\n{\"host\": \"a.example\","
	    " \"sni\": \"optional\"}",
	    "", W "f:2: profiles.p.allow[1]: " SHADOWED "allow[0] (line 1)\n" },
	{ "A15 the same wildcard twice",
	    "{\"host\": \"*.a.example\"}, {\"host\": \"*.a.example\"}", "",
	    W "f:1: profiles.p.allow[1]: " SHADOWED "allow[0] (line 1)\n" },
	{ "the same host on another port",
	    "{\"host\": \"a.example\"}, {\"host\": \"a.example\","
	    " \"port\": 22}",
	    "", "" },
	{ "a host below a wildcard is fine",
	    "{\"host\": \"*.a.example\"}, {\"host\": \"b.a.example\"}", "",
	    "" },
	{ "a longer suffix is fine",
	    "{\"host\": \"*.a.example\"}, {\"host\": \"*.b.a.example\"}", "",
	    "" },
	{ "A15 the same prefix twice",
	    "{\"cidr\": [\"10.0.0.0/8\", \"192.168.0.0/16\"]},"
	    " {\"cidr\": \"192.168.0.0/16\"}",
	    "", W "f:1: profiles.p.allow[1]: " SHADOWED "allow[0] (line 1)\n" },
	{ "a longer prefix wins, so it is used",
	    "{\"cidr\": \"10.0.0.0/8\"}, {\"cidr\": \"10.1.0.0/16\"}", "", "" },
	{ "another prefix beside an equal one is used",
	    "{\"cidr\": \"10.0.0.0/8\"},"
	    " {\"cidr\": [\"10.0.0.0/8\", \"192.168.0.0/16\"]}",
	    "", "" },
	{ "a host's prefixes are no destinations",
	    "{\"host\": \"a.example\", \"cidr\": \"10.0.0.0/8\"},"
	    " {\"cidr\": \"10.0.0.0/8\"}",
	    "", "" },
	{ "A15 denied by name", "{\"host\": \"a.example\"}",
	    "{\"host\": \"a.example\"}",
	    W "f:1: profiles.p.allow[0]: " DENIED "deny[0] (line 2)\n" },
	{ "A15 denied by a wildcard", "{\"host\": \"b.a.example\"}",
	    "{\"host\": \"x.example\"},\n{\"host\": \"*.a.example\"}",
	    W "f:1: profiles.p.allow[0]: " DENIED "deny[1] (line 3)\n" },
	{ "A15 wildcard denied by a wildcard", "{\"host\": \"*.a.example\"}",
	    "{\"host\": \"*.a.example\"}",
	    W "f:1: profiles.p.allow[0]: " DENIED "deny[0] (line 2)\n" },
	{ "A15 wildcard denied by a wider one", "{\"host\": \"*.b.a.example\"}",
	    "{\"host\": \"*.a.example\"}",
	    W "f:1: profiles.p.allow[0]: " DENIED "deny[0] (line 2)\n" },
	{ "A15 denied on its port", "{\"host\": \"a.example\", \"port\": 22}",
	    "{\"host\": \"a.example\", \"port\": 22}",
	    W "f:1: profiles.p.allow[0]: " DENIED "deny[0] (line 2)\n" },
	{ "denied on another port", "{\"host\": \"a.example\"}",
	    "{\"host\": \"a.example\", \"port\": 22}", "" },
	{ "denied in part", "{\"host\": \"*.githubusercontent.com\"}",
	    "{\"host\": \"gist.githubusercontent.com\"}", "" },
	{ "a narrower wildcard denies in part", "{\"host\": \"*.a.example\"}",
	    "{\"host\": \"*.b.a.example\"}", "" },
	{ "a wildcard does not deny its own name", "{\"host\": \"a.example\"}",
	    "{\"host\": \"*.a.example\"}", "" },
	{ "nor one that only ends alike", "{\"host\": \"ba.example\"}",
	    "{\"host\": \"*.a.example\"}", "" },
	{ "A15 prefixes denied", "{\"cidr\": [\"10.1.0.0/16\", \"10.2.3.4\"]}",
	    "{\"cidr\": \"10.0.0.0/8\"}",
	    W "f:1: profiles.p.allow[0]: " DENIED "deny[0] (line 2)\n" },
	{ "prefixes denied in part",
	    "{\"cidr\": [\"10.1.0.0/16\", \"192.168.0.0/16\"]}",
	    "{\"cidr\": \"10.0.0.0/8\"}", "" },
	{ "a name may lead elsewhere",
	    "{\"host\": \"a.example\", \"cidr\": \"10.1.0.0/16\"}",
	    "{\"cidr\": \"10.0.0.0/8\"}", "" },
	{ "families do not mix", "{\"cidr\": \"10.1.0.0/16\"}",
	    "{\"cidr\": \"::/0\"}", "" },
	{ "A15 denied twice", "{\"host\": \"a.example\"}",
	    "{\"host\": \"b.example\"}, {\"host\": \"b.example\","
	    " \"port\": 22}",
	    W "f:2: profiles.p.deny[1]: " SHADOWED "deny[0] (line 2)\n" },
	{ "a port, then every port, denied", "{\"host\": \"a.example\"}",
	    "{\"host\": \"b.example\", \"port\": 22},"
	    " {\"host\": \"b.example\"}",
	    "" },
	{ "prefix in a prefix", "{\"cidr\": [\"10.1.0.0/16\", \"10.0.0.0/8\"]}",
	    "",
	    W "f:1: profiles.p.allow[0].cidr: 10.1.0.0/16 is already in"
	      " 10.0.0.0/8\n" },
	{ "prefix twice", "{\"cidr\": [\"10.0.0.0/8\", \"10.0.0.0/8\"]}", "",
	    W "f:1: profiles.p.allow[0].cidr: 10.0.0.0/8 is already in"
	      " 10.0.0.0/8\n" },
	{ "no allow rule", "", "{\"host\": \"a.example\"}",
	    W "f:1: profiles.p: has no allow rule: it denies everything\n" },
};

START_TEST(test_rows)
{
	struct egress_config *cfg;
	char said[SAID_MAX], text[TEXT_MAX_ROW];

	snprintf(text, sizeof(text),
	    "{\"profiles\": {\"p\": {\"allow\": [%s],\n\"deny\": [%s]}}}",
	    rows[_i].allow, rows[_i].deny);
	cfg = fixture_read(text, said);
	ck_assert_ptr_nonnull(cfg);
	ck_assert_msg(strcmp(said, rows[_i].want) == 0, "%s: said\n%s",
	    rows[_i].name, said);
	egress_config_free(&cfg);
}
END_TEST

/* Profiles do not look into each other. */
START_TEST(test_profiles)
{
	struct egress_config *cfg;
	char said[SAID_MAX];

	cfg = fixture_read("{\"profiles\": {"
	                   "\"p\": {\"allow\": [{\"host\": \"a.example\"}]},"
	                   "\"q\": {\"allow\": [{\"host\": \"a.example\"}]},"
	                   "\"r\": {\"allow\": [{\"host\": \"b.example\"}],"
	                   " \"deny\": [{\"host\": \"a.example\"}]}}}",
	    said);
	ck_assert_str_eq(said, "");
	egress_config_free(&cfg);
}
END_TEST

START_TEST(test_listeners)
{
	struct egress_config *cfg;
	char said[SAID_MAX];

	cfg = fixture_read(
	    "{\"listeners\": [\n"
	    "{\"name\": \"a\", \"address\": \"127.0.0.1:1\","
	    " \"profile\": \"p\"},\n"
	    "{\"name\": \"b\", \"address\": \"127.0.0.1:2\","
	    " \"profile\": \"q\"}],\n"
	    "\"profiles\": {\"p\": {\"allow\": [{\"host\": \"a.example\"}]},\n"
	    "\"q\": {}}}",
	    said);
	ck_assert_str_eq(said,
	    W "f:5: profiles.q: has no allow rule: it denies everything\n" W
	      "f:3: listeners[1]: answers every request with a denial: profile"
	      " \"q\" has no allow rule\n");
	egress_config_free(&cfg);
}
END_TEST

#define LOOP(tc, fn, table) \
	tcase_add_loop_test(tc, fn, 0, sizeof(table) / sizeof(table[0]))

int
main(void)
{
	Suite *s = suite_create("egressd_config_lint");
	TCase *tc = tcase_create("lint");
	SRunner *sr;
	int failed;

	LOOP(tc, test_rows, rows);
	tcase_add_test(tc, test_profiles);
	tcase_add_test(tc, test_listeners);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
