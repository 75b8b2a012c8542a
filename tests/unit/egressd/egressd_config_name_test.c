#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/egressd_config.h"

#define L63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz01234567890"
#define N251                                                      \
	L63 "." L63 "." L63 ".abcdefghijklmnopqrstuvwxyzabcdefgh" \
	    "ijklmnopqrstuvwxyz012345x"
#define N253 N251 "yz"

static const struct {
	const char *name;
	const char *host;
	const char *want;
} good[] = {
	{ "exact", "good.com", "good.com" },
	{ "A6 upper case", "GOOD.CoM", "good.com" },
	{ "A5 one trailing dot", "good.com.", "good.com" },
	{ "A10 label of 63 bytes", L63 ".com", L63 ".com" },
	{ "A10 name of 253 bytes", N253, N253 },
	{ "A10 underscore", "_dmarc.good.com", "_dmarc.good.com" },
	{ "three and four hyphens", "r3---sn-x.good.com",
	    "r3---sn-x.good.com" },
	{ "A11 U-label",
	    "b\xc3\xbc"
	    "cher.example",
	    "xn--bcher-kva.example" },
	{ "A11 U-label, decomposed",
	    "bu\xcc\x88"
	    "cher.example",
	    "xn--bcher-kva.example" },
	{ "A11 sharp s stays itself",
	    "stra\xc3\x9f"
	    "e.example",
	    "xn--strae-oqa.example" },
	{ "A11 A-label", "xn--bcher-kva.example", "xn--bcher-kva.example" },
	{ "A11 A-label in capitals", "XN--BCHER-KVA.example",
	    "xn--bcher-kva.example" },
	{ "A11 wildcard below a U-label",
	    "*.b\xc3\xbc"
	    "cher.example",
	    "*.xn--bcher-kva.example" },
	{ "A12 wildcard", "*.good.com", "*.good.com" },
	{ "A12 wildcard, upper case, trailing dot", "*.A.Good.com.",
	    "*.a.good.com" },
	{ "wildcard that just fits", "*." N251, "*." N251 },
	{ "A14 single label, exact", "registry", "registry" },
	{ "A14 localhost, exact", "localhost", "localhost" },
	{ "A14 internal, exact", "git.demo.internal", "git.demo.internal" },
	{ "A14 local, exact", "printer.local", "printer.local" },
	{ "A14 ends in the letters only", "*.notlocal.example",
	    "*.notlocal.example" },
	{ "a public suffix itself, exact", "co.uk", "co.uk" },
	{ "private section of the list", "*.githubusercontent.com",
	    "*.githubusercontent.com" },
	{ "private section of the list", "*.github.io", "*.github.io" },
	{ "exception of the list", "*.www.ck", "*.www.ck" },
	{ "unknown top level", "*.corp.example", "*.corp.example" },
	{ "digits in front of the last label", "1.2.3.com", "1.2.3.com" },
};

START_TEST(test_good)
{
	char out[EGRESS_WILDCARD_MAX + 1] = "", why[256] = "";

	ck_assert_msg(
	    egress_rule_host(good[_i].host, out, why, sizeof(why)) == 0,
	    "%s: %s", good[_i].name, why);
	ck_assert_str_eq(out, good[_i].want);
}
END_TEST

#define EVERY "would open every "
#define SUFFIX EVERY "domain of a public suffix"
#define IDNA "is no name in IDNA2008"
#define NONE "is no host name"

static const struct {
	const char *name;
	const char *host;
	const char *why; /* how it begins */
	const char *right; /* in it */
} bad[] = {
	{ "A13 everything", "*", EVERY "host", "*.DOMAIN" },
	{ "A13 everything", "*.", EVERY "host", "*.DOMAIN" },
	{ "A13 top level", "*.com", SUFFIX, "registered domain" },
	{ "A13 top level, trailing dot", "*.com.", SUFFIX,
	    "registered domain" },
	{ "A13 top level that no list has", "*.example", SUFFIX,
	    "registered domain" },
	{ "A13 suffix", "*.co.uk", SUFFIX, "registered domain" },
	{ "A13 suffix", "*.org.uk", SUFFIX, "registered domain" },
	{ "A13 suffix", "*.com.au", SUFFIX, "registered domain" },
	{ "A13 suffix in capitals", "*.CO.UK", SUFFIX, "registered domain" },
	{ "wildcard of the list", "*.foo.ck", SUFFIX, "registered domain" },
	{ "suffix in A-labels", "*.xn--55qx5d.cn", SUFFIX,
	    "registered domain" },
	{ "suffix in U-labels", "*.\xe5\x85\xac\xe5\x8f\xb8.cn", SUFFIX,
	    "registered domain" },
	{ "A13 half a label", "*foo.com", "has a wildcard for a part",
	    "*.DOMAIN" },
	{ "A13 two stars", "**.foo.com", "has a wildcard behind its start",
	    "*.DOMAIN" },
	{ "A13 in the middle", "a.*.com", "has a wildcard behind its start",
	    "*.DOMAIN" },
	{ "A13 at the end", "foo.*", "has a wildcard behind its start",
	    "*.DOMAIN" },
	{ "A13 twice", "*.*.foo.com", "has a wildcard behind its start",
	    "*.DOMAIN" },
	{ "A13 blank", " ", "holds U+0020", "a host name" },
	{ "blank behind", "good.com ", "holds U+0020", "a host name" },
	{ "tabulator", "good\t.com", "holds U+0009", "a host name" },
	{ "newline", "good.com\n", "holds U+000A", "a host name" },
	{ "delete", "good.com\x7f", "holds U+007F", "a host name" },
	{ "A13 empty", "", "is empty", "a host name" },
	{ "A13 scheme", "http://x", "holds a scheme",
	    "a host name without scheme" },
	{ "A13 scheme and wildcard", "https://*.good.com", "holds a scheme",
	    "a host name without scheme" },
	{ "A13 port 0", "x:0", "holds a port", "a host name without port" },
	{ "port", "x:443", "holds a port", "a host name without port" },
	{ "port on a wildcard", "*.good.com:443", "holds a port",
	    "a host name without port" },
	{ "path", "good.com/x", "holds a path", "a host name without path" },
	{ "query", "good.com?x", "holds a path", "a host name without path" },
	{ "backslash", "good.com\\x", "holds a path",
	    "a host name without path" },
	{ "user", "me@good.com", "holds a user", "a host name without user" },
	{ "IPv4", "192.0.2.1", "is an address", "use cidr" },
	{ "IPv4 with a port", "192.0.2.1:443", "is an address", "use cidr" },
	{ "IPv4 prefix", "192.0.2.0/24", "is an address", "use cidr" },
	{ "IPv6", "2001:db8::1", "is an address", "use cidr" },
	{ "IPv6 prefix", "2001:db8::/32", "is an address", "use cidr" },
	{ "IPv6 in brackets", "[::1]", "is an address", "use cidr" },
	{ "IPv6 with a port", "[::1]:443", "is an address", "use cidr" },
	{ "mapped", "::ffff:192.0.2.1", "is an address", "use cidr" },
	{ "A9 short address", "127.1", "ends in a number", "use cidr" },
	{ "A9 short address", "1.2.3", "ends in a number", "use cidr" },
	{ "A9 one number", "2130706433", "ends in a number", "use cidr" },
	{ "A9 hexadecimal", "0x7f.1", "ends in a number", "use cidr" },
	{ "A9 hexadecimal last", "127.0.0.0X1", "ends in a number",
	    "use cidr" },
	{ "A9 hexadecimal, no digits", "a.0x", "ends in a number", "use cidr" },
	{ "A9 octal", "0177.0.0.1", "ends in a number", "use cidr" },
	{ "A9 name", "good.com.1", "ends in a number", "use cidr" },
	{ "A9 trailing dot", "good.com.1.", "ends in a number", "use cidr" },
	{ "A9 wildcard", "*.1", "ends in a number", "use cidr" },
	{ "A14 localhost", "*.localhost", "can never match", "by name" },
	{ "A14 internal", "*.internal", "can never match", "by name" },
	{ "A14 local", "*.local", "can never match", "by name" },
	{ "A14 below internal", "*.demo.internal", "can never match",
	    "by name" },
	{ "A14 below local", "*.a.b.LOCAL", "can never match", "by name" },
	{ "wildcard that nothing fits below", "*." N253, "can never match",
	    "253" },
	{ "A5 two trailing dots", "good.com..", NONE, "labels" },
	{ "A5 leading dot", ".good.com", NONE, "labels" },
	{ "A5 empty label", "a..b", NONE, "labels" },
	{ "A5 dots alone", ".", NONE, "labels" },
	{ "wildcard, two trailing dots", "*.good.com..", NONE, "labels" },
	{ "wildcard, empty label", "*..good.com", NONE, "labels" },
	{ "A10 leading hyphen", "-a.com", NONE, "labels" },
	{ "A10 trailing hyphen", "a-.com", NONE, "labels" },
	{ "A10 leading hyphen of a U-label", "-b\xc3\xbc.com", NONE, "labels" },
	{ "A10 trailing hyphen of a U-label", "a.b\xc3\xbc-.com", NONE,
	    "labels" },
	{ "A3 percent", "a%2eb.com", NONE, "labels" },
	{ "comma", "a.com,b.com", NONE, "labels" },
	{ "A11 no punycode", "xn--zzzzzz.com", IDNA, "A-labels" },
	{ "A11 empty A-label", "xn--.com", IDNA, "A-labels" },
	{ "A11 A-label of ASCII", "xn--abc-.com", IDNA, "A-labels" },
	{ "A11 A-label of something disallowed", "xn--ls8h.la", IDNA,
	    "A-labels" },
	{ "A11 A-label of a joiner", "xn--0ug.com", IDNA, "A-labels" },
	{ "A11 capital U-label",
	    "B\xc3\x9c"
	    "CHER.example",
	    IDNA, "lower-case" },
	{ "A11 emoji", "\xf0\x9f\x92\xa9.la", IDNA, "lower-case" },
	{ "A2 ideographic full stop",
	    "good\xe3\x80\x82"
	    "com",
	    IDNA, "U-labels" },
	{ "A2 full-width full stop",
	    "good\xef\xbc\x8e"
	    "com",
	    IDNA, "U-labels" },
	{ "full-width letters", "\xef\xbd\x87ood.com", IDNA, "U-labels" },
	{ "A2 soft hyphen", "go\xc2\xadod.com", "holds U+00AD", "a host name" },
	{ "no-break space", "good\xc2\xa0.com", "holds U+00A0", "a host name" },
	{ "zero width space", "go\xe2\x80\x8bod.com", "holds U+200B",
	    "a host name" },
	{ "zero width non-joiner", "go\xe2\x80\x8cod.com", "holds U+200C",
	    "a host name" },
	{ "zero width joiner", "go\xe2\x80\x8dod.com", "holds U+200D",
	    "a host name" },
	{ "right-to-left mark", "good.com\xe2\x80\x8f", "holds U+200F",
	    "a host name" },
	{ "right-to-left override", "\xe2\x80\xaegood.com", "holds U+202E",
	    "a host name" },
	{ "isolate", "\xe2\x81\xa6good.com", "holds U+2066", "a host name" },
	{ "word joiner", "go\xe2\x81\xa0od.com", "holds U+2060",
	    "a host name" },
	{ "byte order mark", "\xef\xbb\xbfgood.com", "holds U+FEFF",
	    "a host name" },
	{ "variation selector", "good\xef\xb8\x8f.com", "holds U+FE0F",
	    "a host name" },
	{ "tag", "good\xf3\xa0\x81\xa1.com", "holds U+E0061", "a host name" },
	{ "in a wildcard", "*.go\xe2\x80\x8bod.com", "holds U+200B",
	    "a host name" },
	{ "bad UTF-8", "good\xff.com", IDNA, "U-labels" },
	{ "cut UTF-8", "good.com\xe2\x80", IDNA, "U-labels" },
};

START_TEST(test_bad)
{
	char out[EGRESS_WILDCARD_MAX + 1] = "untouched", why[256] = "";

	ck_assert_msg(
	    egress_rule_host(bad[_i].host, out, why, sizeof(why)) == -1,
	    "%s: taken as %s", bad[_i].name, out);
	ck_assert_str_eq(out, "untouched");
	ck_assert_msg(strncmp(why, bad[_i].why, strlen(bad[_i].why)) == 0,
	    "%s: %s", bad[_i].name, why);
	ck_assert_msg(strstr(why, "; allowed: ") != NULL &&
	        strstr(strstr(why, "; allowed: "), bad[_i].right) != NULL,
	    "%s: %s", bad[_i].name, why);
	ck_assert_uint_lt(strlen(why), sizeof(why) - 1);
}
END_TEST

START_TEST(test_long)
{
	char host[4096], out[EGRESS_WILDCARD_MAX + 1], why[256];
	size_t len;

	for (len = 254; len < sizeof(host); len += 127) {
		memset(host, 'a', len);
		host[len] = '\0';
		ck_assert_int_eq(
		    egress_rule_host(host, out, why, sizeof(why)), -1);
	}
	ck_assert_int_eq(strncmp(why, "is too long", 11), 0);
}
END_TEST

#define LOOP(tc, fn, table) \
	tcase_add_loop_test(tc, fn, 0, sizeof(table) / sizeof(table[0]))

int
main(void)
{
	Suite *s = suite_create("egressd_config_name");
	TCase *tc = tcase_create("name");
	SRunner *sr;
	int failed;

	egress_suffixes_load();
	LOOP(tc, test_good, good);
	LOOP(tc, test_bad, bad);
	tcase_add_test(tc, test_long);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
