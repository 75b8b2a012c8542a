#include "config_fixture.h"

#include "egressd/egressd_config.h"

#define TEXT_MAX_ROW 8192
#define HOST "{\"host\": \"a.example\", "
#define DENY_ONLY \
	" means nothing in a deny rule; allowed: host or cidr, and port\n"
#define ANY                                                              \
	" cannot be checked with proto \"any\"; allowed: without it, or" \
	" proto \"tls\"\n"
#define A "f:1: profiles.p.allow[0]"
#define D "f:1: profiles.p.deny[0]"
#define UNKNOWN                                                                \
	": unknown key; allowed: host, cidr, port, sni, proto, ech, bytes_up," \
	" bytes_down, http\n"
#define SIZES                                                                  \
	" is out of bounds; allowed: an integer or a string as \"64m\" (k, m," \
	" g), 1 or more bytes\n"
#define PORTS " is out of bounds; allowed: an integer, 1 to 65535\n"
#define CLOSED                                                        \
	": no rule can open it; allowed: public addresses, RFC 1918," \
	" 100.64.0.0/10 and fc00::/7\n"
#define PREFIX " is no prefix; allowed: ADDRESS or ADDRESS/BITS\n"
#define OPENS                                                               \
	" opens nothing: it holds no private address, and public ones need" \
	" no cidr beside a host\n"

/* One rule, in allow or in deny (beside an allow rule of another host). */
static const struct {
	const char *name;
	bool deny;
	const char *rule;
	const char *want;
} rows[] = {
	{ "host", false, "{\"host\": \"a.example\"}", "" },
	{ "cidr alone", false, "{\"cidr\": \"192.0.0.0/8\"}", "" },
	{ "host and cidr", false, HOST "\"cidr\": [\"10.0.0.0/8\"]}", "" },
	{ "neither", false, "{}",
	    A ": names no destination; allowed: host or cidr\n" },
	{ "a bad host is no missing one", false, "{\"host\": 1}",
	    A ".host: is an integer; allowed: a host name, or *.DOMAIN\n" },
	{ "A13 told with the line", false, "\n{\"host\": \"http://x\"}",
	    "f:2: profiles.p.allow[0].host: \"http://x\" holds a scheme;"
	    " allowed: a host name without scheme\n" },
	{ "A13 port 0", false, HOST "\"port\": 0}", A ".port: 0" PORTS },
	{ "port above", false, HOST "\"port\": 65536}",
	    A ".port: 65536" PORTS },
	{ "port below", false, HOST "\"port\": -1}", A ".port: -1" PORTS },
	{ "port as text", false, HOST "\"port\": \"443\"}",
	    A ".port: is a string; allowed: an integer, 1 to 65535\n" },
	{ "largest port", false, HOST "\"port\": 65535}", "" },
	{ "unknown key", false, HOST "\"hots\": 1}", A ".hots" UNKNOWN },
	{ "words", false,
	    HOST "\"sni\": \"optional\", \"proto\": \"tls\","
	         " \"ech\": \"allow\"}",
	    "" },
	{ "words", false,
	    HOST "\"sni\": \"match\", \"proto\": \"tls\","
	         " \"ech\": \"refuse\"}",
	    "" },
	{ "other words", false,
	    HOST "\"sni\": \"off\", \"proto\": \"tcp\", \"ech\": true}",
	    A ".sni: \"off\" is unknown; allowed: \"match\" or"
	      " \"optional\"\n" A
	      ".proto: \"tcp\" is unknown; allowed: \"tls\" or \"any\"\n" A
	      ".ech: is a boolean; allowed: \"refuse\" or \"allow\"\n" },
	{ "proto any alone", false, HOST "\"proto\": \"any\"}", "" },
	{ "proto any with the rest", false,
	    HOST "\"proto\": \"any\", \"sni\": \"match\","
	         " \"ech\": \"refuse\"}",
	    A ".sni:" ANY A ".ech:" ANY },
	{ "http false", false, HOST "\"http\": false}", "" },
	{ "http true", false, HOST "\"http\": true}",
	    A ".http: true is not in this version; allowed: false\n" },
	{ "http", false, HOST "\"http\": 0}",
	    A ".http: is an integer; allowed: false\n" },
	{ "budgets", false, HOST "\"bytes_up\": \"1k\", \"bytes_down\": 1}",
	    "" },
	{ "a budget of nothing would read as none", false,
	    HOST "\"bytes_up\": 0, \"bytes_down\": \"0k\"}",
	    A ".bytes_up: 0" SIZES A ".bytes_down: \"0k\"" SIZES },
	{ "one address", false, "{\"cidr\": \"192.0.66.1\"}", "" },
	{ "IPv6", false, "{\"cidr\": [\"2606:4700::/32\", \"fd00::/64\"]}",
	    "" },
	{ "no prefixes", false, "{\"cidr\": []}",
	    A ".cidr: has 0 entries; allowed: 1 to 64 prefixes\n" },
	{ "cidr of another type", false, "{\"cidr\": 10}",
	    A ".cidr: is an integer; allowed: a prefix, or a list of 1 to 64"
	      " prefixes\n" },
	{ "prefix of another type", false, "{\"cidr\": [10]}",
	    A ".cidr[0]: is an integer; allowed: ADDRESS or"
	      " ADDRESS/BITS\n" },
	{ "no prefix", false,
	    "{\"cidr\": [\"10.0.0\", \"10.0.0.0/33\", \"10.0.0.0/\","
	    " \"a.example\", \"10.0.0.0/8 \", \"fe80::1%lo0\"]}",
	    A ".cidr[0]: \"10.0.0\"" PREFIX A
	      ".cidr[1]: \"10.0.0.0/33\"" PREFIX A
	      ".cidr[2]: \"10.0.0.0/\"" PREFIX A
	      ".cidr[3]: \"a.example\"" PREFIX A
	      ".cidr[4]: \"10.0.0.0/8 \"" PREFIX A
	      ".cidr[5]: \"fe80::1%lo0\"" PREFIX },
	{ "host bits", false,
	    "{\"cidr\": [\"10.1.2.3/8\", \"10.1.2.3/23\","
	    " \"10.1.2.3/0\", \"10.1.2.3/31\", \"fd00::1/64\","
	    " \"fd00:ffff::/17\"]}",
	    A ".cidr[0]: \"10.1.2.3/8\" has host bits set; allowed:"
	      " 10.0.0.0/8\n" A
	      ".cidr[1]: \"10.1.2.3/23\" has host bits set; allowed:"
	      " 10.1.2.0/23\n" A
	      ".cidr[2]: \"10.1.2.3/0\" has host bits set; allowed:"
	      " 0.0.0.0/0\n" A
	      ".cidr[3]: \"10.1.2.3/31\" has host bits set; allowed:"
	      " 10.1.2.2/31\n" A
	      ".cidr[4]: \"fd00::1/64\" has host bits set; allowed:"
	      " fd00::/64\n" A
	      ".cidr[5]: \"fd00:ffff::/17\" has host bits set; allowed:"
	      " fd00:8000::/17\n" },
	{ "B3 prohibited as a whole", false,
	    "{\"cidr\": [\"127.0.0.0/8\", \"169.254.169.254\","
	    " \"::1\", \"fe80::/10\", \"224.0.0.0/4\"]}",
	    A ".cidr[0]: 127.0.0.0/8" CLOSED A
	      ".cidr[1]: 169.254.169.254" CLOSED A ".cidr[2]: ::1" CLOSED A
	      ".cidr[3]: fe80::/10" CLOSED A ".cidr[4]: 224.0.0.0/4" CLOSED },
	{ "B3 prohibited beside a host", false, HOST "\"cidr\": \"127.0.0.1\"}",
	    A ".cidr: 127.0.0.1" CLOSED },
	{ "prohibited in part", false, "{\"cidr\": \"0.0.0.0/0\"}", "" },
	{ "B4 private space beside a host", false,
	    HOST "\"cidr\": [\"10.0.0.0/24\", \"172.16.0.0/12\","
	         " \"192.168.1.1\", \"100.64.0.0/16\", \"fd00::/8\","
	         " \"::/0\"]}",
	    "warning: " A ".cidr: fd00::/8 is already in ::/0\n" },
	{ "public space beside a host", false,
	    HOST "\"cidr\": [\"8.8.8.0/24\", \"2606:4700::/32\","
	         " \"10.0.0.0/8\"]}",
	    "warning: " A ".cidr: 8.8.8.0/24" OPENS "warning: " A
	    ".cidr: 2606:4700::/32" OPENS },
	{ "public space alone", false, "{\"cidr\": \"8.8.8.0/24\"}", "" },
	{ "deny a host", true, "{\"host\": \"*.a.example\"}", "" },
	{ "deny a port", true, HOST "\"port\": 22}", "" },
	{ "deny addresses", true, "{\"cidr\": \"10.0.0.0/8\"}", "" },
	{ "deny both", true, HOST "\"cidr\": \"10.0.0.0/8\"}",
	    D ": denies host and cidr at once; allowed: a rule for each\n" },
	{ "deny has no exceptions", true,
	    HOST "\"sni\": \"match\", \"ech\": \"refuse\","
	         " \"bytes_up\": 1, \"bytes_down\": 1, \"proto\": \"tls\"}",
	    D ".sni:" DENY_ONLY D ".proto:" DENY_ONLY D ".ech:" DENY_ONLY D
	      ".bytes_up:" DENY_ONLY D ".bytes_down:" DENY_ONLY },
	{ "deny what is prohibited anyway", true, "{\"cidr\": \"127.0.0.0/8\"}",
	    "warning: " D ".cidr: 127.0.0.0/8 can never match: it is"
	    " prohibited whatever the rules\n" },
	{ "deny a suffix", true, "{\"host\": \"*.com\"}",
	    D ".host: \"*.com\" would open every domain of a public suffix;"
	      " allowed: *.DOMAIN below one registered domain\n" },
};

START_TEST(test_rows)
{
	struct egress_config *cfg;
	char said[SAID_MAX], text[TEXT_MAX_ROW];

	snprintf(text, sizeof(text), "{\"profiles\": {\"p\": {%s%s]}}}",
	    rows[_i].deny ? "\"allow\": [{\"host\": \"z.example\"}],"
	                    " \"deny\": ["
	                  : "\"allow\": [",
	    rows[_i].rule);
	cfg = fixture_read(text, said);
	ck_assert_msg(strcmp(said, rows[_i].want) == 0, "%s: said\n%s",
	    rows[_i].name, said);
	egress_config_free(&cfg);
}
END_TEST

START_TEST(test_values)
{
	static const char text[] =
	    "{\"profiles\": {\"p\": {\"deny\": [\n"
	    "{\"host\": \"*.b.example\", \"port\": 22},\n"
	    "{\"cidr\": \"10.9.0.0/16\"}],\n"
	    "\"allow\": [{\"host\": \"B\xc3\xbc.Example.\"},\n"
	    "{\"host\": \"A.example\", \"port\": 8443, \"sni\": \"optional\","
	    " \"ech\": \"allow\", \"bytes_up\": \"2k\", \"bytes_down\": 7,"
	    " \"cidr\": [\"10.0.0.0/8\", \"fd00::1\"]},\n"
	    "{\"cidr\": \"10.0.0.0/8\", \"proto\": \"any\"}]}}}";
	const struct egress_rule *r;
	struct egress_config *cfg;
	char said[SAID_MAX], buf[NETADDR_PREFIX_TEXT_MAX];

	cfg = fixture_read(text, said);
	ck_assert_str_eq(said, "");
	ck_assert_uint_eq(cfg->profiles[0].nrules, 5);
	r = cfg->profiles[0].rules;
	ck_assert_str_eq(r[0].host, "xn--b-eha.example");
	ck_assert(!r[0].deny && !r[0].sni_optional && !r[0].proto_any &&
	    !r[0].ech_allow);
	ck_assert_uint_eq(r[0].port, 443);
	ck_assert_uint_eq(r[0].index, 0);
	ck_assert_uint_eq(r[0].line, 4);
	ck_assert_int_eq(r[0].bytes_up, 0);
	ck_assert_int_eq(r[0].bytes_down, 0);
	ck_assert_uint_eq(r[0].ncidr, 0);
	ck_assert_str_eq(r[1].host, "a.example");
	ck_assert(r[1].sni_optional && !r[1].proto_any && r[1].ech_allow);
	ck_assert_uint_eq(r[1].port, 8443);
	ck_assert_uint_eq(r[1].index, 1);
	ck_assert_uint_eq(r[1].line, 5);
	ck_assert_int_eq(r[1].bytes_up, 2048);
	ck_assert_int_eq(r[1].bytes_down, 7);
	ck_assert_uint_eq(r[1].ncidr, 2);
	ck_assert_str_eq(netprefix_text(&r[1].cidr[1], buf), "fd00::1/128");
	ck_assert_ptr_null(r[2].host);
	ck_assert(r[2].proto_any);
	ck_assert_uint_eq(r[2].ncidr, 1);
	/* A deny rule without a port denies them all. */
	ck_assert(r[3].deny && r[4].deny);
	ck_assert_str_eq(r[3].host, "*.b.example");
	ck_assert_uint_eq(r[3].port, 22);
	ck_assert_uint_eq(r[4].port, 0);
	ck_assert_uint_eq(r[4].index, 1);
	ck_assert_uint_eq(r[4].line, 3);
	egress_config_free(&cfg);
}
END_TEST

START_TEST(test_many_prefixes)
{
	struct egress_config *cfg;
	char said[SAID_MAX], text[TEXT_MAX_ROW];
	char row[32];
	size_t n, i;

	for (n = EGRESS_CIDR_MAX; n <= EGRESS_CIDR_MAX + 1; n++) {
		strlcpy(text,
		    "{\"profiles\": {\"p\": {\"allow\": [{\"cidr\": [",
		    sizeof(text));
		for (i = 0; i < n; i++) {
			snprintf(row, sizeof(row), "%s\"10.0.%zu.0/24\"",
			    i > 0 ? "," : "", i);
			strlcat(text, row, sizeof(text));
		}
		strlcat(text, "]}]}}}", sizeof(text));
		cfg = fixture_read(text, said);
		if (n == EGRESS_CIDR_MAX) {
			ck_assert_str_eq(said, "");
			ck_assert_uint_eq(cfg->profiles[0].rules[0].ncidr, n);
		} else {
			ck_assert_str_eq(said,
			    A ".cidr: has 65 entries;"
			      " allowed: 1 to 64"
			      " prefixes\n");
		}
		egress_config_free(&cfg);
	}
}
END_TEST

#define LOOP(tc, fn, table) \
	tcase_add_loop_test(tc, fn, 0, sizeof(table) / sizeof(table[0]))

int
main(void)
{
	Suite *s = suite_create("egressd_config_rules");
	TCase *tc = tcase_create("rules");
	SRunner *sr;
	int failed;

	LOOP(tc, test_rows, rows);
	tcase_add_test(tc, test_values);
	tcase_add_test(tc, test_many_prefixes);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
