#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "libcommon/hostname.c"

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

#define L10 "aaaaaaaaaa"
#define L61 L10 L10 L10 L10 L10 L10 "a"
#define L63 L61 "aa"
#define N253 L63 "." L63 "." L63 "." L61

/* want: the canonical name, NULL for a refusal. */
static const struct {
	const char *name, *input, *want;
} names[] = {
	{ "plain", "good.com", "good.com" },
	{ "single label", "localhost", "localhost" },
	{ "digits", "3com.example", "3com.example" },
	{ "a number not last", "1.2.3.example", "1.2.3.example" },
	{ "digits and letters last", "good.c0m", "good.c0m" },
	{ "hyphens three and four", "r3---sn-xyz.googlevideo.com",
	    "r3---sn-xyz.googlevideo.com" },
	{ "hyphens, no A-label", "ab--cd.example", "ab--cd.example" },
	{ "empty", "", NULL },
	{ "A2 blank", "good .com", NULL },
	{ "A2 blank first", " good.com", NULL },
	{ "A2 tab", "good.com\t", NULL },
	{ "A2 line feed", "good.com\n", NULL },
	{ "A2 delete", "good\x7f.com", NULL },
	{ "A2 raw UTF-8",
	    "b\xc3\xbc"
	    "cher.com",
	    NULL },
	{ "A2 ideographic full stop",
	    "good\xe3\x80\x82"
	    "com",
	    NULL },
	{ "A2 full width full stop",
	    "good\xef\xbc\x8e"
	    "com",
	    NULL },
	{ "A2 soft hyphen",
	    "go\xc2\xad"
	    "od.com",
	    NULL },
	{ "A2 Latin-1",
	    "b\xfc"
	    "cher.com",
	    NULL },
	{ "A3 escaped dot", "evil%2ecom", NULL },
	{ "A3 zone", "fe80%eth0", NULL },
	{ "A5 one trailing dot", "good.com.", "good.com" },
	{ "A5 single label, trailing dot", "localhost.", "localhost" },
	{ "A5 two trailing dots", "good.com..", NULL },
	{ "A5 leading dot", ".good.com", NULL },
	{ "A5 two dots", "a..b", NULL },
	{ "A5 a dot", ".", NULL },
	{ "A5 two dots alone", "..", NULL },
	{ "A6 case", "GOOD.CoM", "good.com" },
	{ "A6 case of every letter", "ABCDEFGHIJKLMNOPQRSTUVWXYZ.x",
	    "abcdefghijklmnopqrstuvwxyz.x" },
	{ "A8 at", "user@good.com", NULL },
	{ "A8 slash", "good.com/x", NULL },
	{ "A8 backslash", "good.com\\x", NULL },
	{ "A8 question mark", "good.com?", NULL },
	{ "A8 hash", "good.com#", NULL },
	{ "colon", "good.com:443", NULL },
	{ "star", "*.good.com", NULL },
	{ "brackets", "[good.com]", NULL },
	{ "A9 two numbers", "127.1", NULL },
	{ "A9 one number", "2130706433", NULL },
	{ "A9 hexadecimal first", "0x7f.1", NULL },
	{ "A9 octal", "0177.0.0.1", NULL },
	{ "A9 three numbers", "1.2.3", NULL },
	{ "A9 four numbers", "1.2.3.4", NULL },
	{ "A9 four numbers, trailing dot", "1.2.3.4.", NULL },
	{ "A9 name, number", "good.com.1", NULL },
	{ "A9 name, number, trailing dot", "good.com.1.", NULL },
	{ "A9 no octal digits", "good.09", NULL },
	{ "A9 hexadecimal last", "good.0x1f", NULL },
	{ "A9 hexadecimal, upper case", "good.0X1F", NULL },
	{ "A9 hexadecimal without digits", "good.0x", NULL },
	{ "A9 0x alone", "0x", NULL },
	{ "A9 a long number", "good.99999999999999999999", NULL },
	{ "A9 no hexadecimal", "good.0xg", "good.0xg" },
	{ "A9 0x not last", "0x7f.com", "0x7f.com" },
	{ "A9 digits and a letter", "good.1a", "good.1a" },
	{ "A9 zero and letters", "good.0ab", "good.0ab" },
	{ "A9 x second", "good.ax1", "good.ax1" },
	{ "A9 letter and digits", "good.x0", "good.x0" },
	{ "A10 label of 63", L63 ".com", L63 ".com" },
	{ "A10 label of 64", L63 "a.com", NULL },
	{ "A10 last label of 64", "com." L63 "a", NULL },
	{ "A10 name of 253", N253, N253 },
	{ "A10 name of 253, trailing dot", N253 ".", N253 },
	{ "A10 name of 254", N253 "a", NULL },
	{ "A10 name of 254 and dot", N253 "a.", NULL },
	{ "A10 253 and two dots", N253 "..", NULL },
	{ "A10 leading hyphen", "-good.com", NULL },
	{ "A10 trailing hyphen", "good-.com", NULL },
	{ "A10 leading hyphen, last label", "good.-com", NULL },
	{ "A10 trailing hyphen, last label", "good.com-", NULL },
	{ "A10 a hyphen", "-.com", NULL },
	{ "A10 hyphen within", "go-od.com", "go-od.com" },
	{ "A10 underscore", "_dmarc.good.com", "_dmarc.good.com" },
	{ "A10 underscore last", "a_.good_.com", "a_.good_.com" },
	{ "A11 A-label", "xn--bcher-kva.example", "xn--bcher-kva.example" },
	{ "A11 A-label, upper case", "XN--BCHER-KVA.example",
	    "xn--bcher-kva.example" },
	{ "A11 A-label last", "xn--e1afmkfd.xn--p1ai",
	    "xn--e1afmkfd.xn--p1ai" },
	{ "A11 empty", "xn--.example", NULL },
	{ "A11 ascii alone", "xn--abc.example", NULL },
	{ "A11 no digits", "xn--bcher-.example", NULL },
	{ "A11 overflow", "xn--99999999.example", NULL },
	{ "A11 overflow, last label", "good.xn--99999999", NULL },
	{ "A11 hides a dot", "xn--ab-r13a.example", NULL },
	{ "A11 hides a capital", "xn--bcher-2pa.example", NULL },
	{ "A11 not at the start", "axn--99999999.example",
	    "axn--99999999.example" },
	{ "A11 one hyphen", "xn-99999999.example", "xn-99999999.example" },
};

START_TEST(test_canon)
{
	const char *in = names[_i].input;
	char out[HOSTNAME_MAX + 1] = "untouched";
	int r;

	r = hostname_canon(in, strlen(in), out);
	if (names[_i].want == NULL) {
		ck_assert_msg(r == -1, "%s: accepted", names[_i].name);
		ck_assert_str_eq(out, "untouched");
		return;
	}
	ck_assert_msg(r == 0, "%s: refused", names[_i].name);
	ck_assert_str_eq(out, names[_i].want);
	/* What came out is its own canonical form. */
	ck_assert_int_eq(hostname_canon(out, strlen(out), out), 0);
	ck_assert_str_eq(out, names[_i].want);
}
END_TEST

/* A1, A2: no byte but letters, digits, hyphen, underscore and dot. */
START_TEST(test_canon_bytes)
{
	char in[] = "a?b.com", out[HOSTNAME_MAX + 1];
	int c, want;

	for (c = 0; c < 256; c++) {
		in[1] = (char)c;
		want = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
		        (c >= 'a' && c <= 'z') || c == '-' || c == '_' ||
		        c == '.'
		    ? 0
		    : -1;
		ck_assert_msg(hostname_canon(in, sizeof(in) - 1, out) == want,
		    "byte %#x", (unsigned)c);
	}
}
END_TEST

/* want: "KIND NAME PORT", NULL for a refusal. */
static const struct {
	const char *name, *input;
	size_t len; /* 0: to the NUL */
	uint16_t dflt;
	const char *want;
} dests[] = {
	{ "name", "good.com:443", 0, 0, "name good.com 443" },
	{ "v4", "192.0.2.1:443", 0, 0, "address 192.0.2.1 443" },
	{ "v6", "[2001:DB8:0::1]:443", 0, 0, "address 2001:db8::1 443" },
	{ "empty", "", 0, 443, NULL },
	{ "A1 NUL", "evil.com\0.good.com:443", 22, 0, NULL },
	{ "A1 NUL, reverse", "good.com\0.evil.com:443", 22, 0, NULL },
	{ "A1 NUL behind", "good.com:443\0", 13, 0, NULL },
	{ "A1 NUL in an address", "1.2.3.4\0.good.com:443", 21, 0, NULL },
	{ "A2 blank first", " good.com:443", 0, 0, NULL },
	{ "A2 blank behind", "good.com:443 ", 0, 0, NULL },
	{ "A2 raw UTF-8",
	    "b\xc3\xbc"
	    "cher.com:443",
	    0, 0, NULL },
	{ "A2 full stop",
	    "good\xe3\x80\x82"
	    "com:443",
	    0, 0, NULL },
	{ "A3 escaped dot", "evil%2ecom:443", 0, 0, NULL },
	{ "A3 escaped NUL", "evil%00.good.com:443", 0, 0, NULL },
	{ "A3 zone", "[fe80::1%eth0]:443", 0, 0, NULL },
	{ "A3 zone, no brackets", "fe80::1%eth0:443", 0, 0, NULL },
	{ "A3 zone, escaped", "[fe80::1%25eth0]:443", 0, 0, NULL },
	{ "A3 zone with a name", "[::ffff:1.2.3.4%x.good.com]:443", 0, 0,
	    NULL },
	{ "A3 zone, name, bare", "::ffff:1.2.3.4%x.good.com:443", 0, 0, NULL },
	{ "A4 name in brackets", "[good.com]:443", 0, 0, NULL },
	{ "A4 brackets astray", "a]b[c:443", 0, 0, NULL },
	{ "A4 unclosed", "[::1:443", 0, 0, NULL },
	{ "A4 no colon", "[::1]443", 0, 0, NULL },
	{ "A4 empty brackets", "[]:443", 0, 0, NULL },
	{ "A4 v4 in brackets", "[1.2.3.4]:443", 0, 0, NULL },
	{ "A4 two brackets", "[[::1]]:443", 0, 0, NULL },
	{ "A4 name behind", "[::1].good.com:443", 0, 0, NULL },
	{ "A4 name before", "good.com[::1]:443", 0, 0, NULL },
	{ "A4 bracket alone", "[", 0, 0, NULL },
	{ "A4 dot behind", "[::1].:443", 0, 0, NULL },
	{ "v6 without brackets", "::1:443", 0, 0, NULL },
	{ "v6 without brackets, default", "2001:db8::1", 0, 443, NULL },
	{ "A5 trailing dot", "good.com.:443", 0, 0, "name good.com 443" },
	{ "A5 two trailing dots", "good.com..:443", 0, 0, NULL },
	{ "A5 leading dot", ".good.com:443", 0, 0, NULL },
	{ "A5 two dots", "a..b:443", 0, 0, NULL },
	{ "A6 case", "GOOD.CoM:443", 0, 0, "name good.com 443" },
	{ "A7 no port", "good.com", 0, 0, NULL },
	{ "A7 empty port", "good.com:", 0, 0, NULL },
	{ "A7 no host", ":443", 0, 0, NULL },
	{ "A7 two ports", "good.com:443:80", 0, 0, NULL },
	{ "A7 port 0", "good.com:0", 0, 0, NULL },
	{ "A7 port 1", "good.com:1", 0, 0, "name good.com 1" },
	{ "A7 port 65535", "good.com:65535", 0, 0, "name good.com 65535" },
	{ "A7 port 65536", "good.com:65536", 0, 0, NULL },
	{ "A7 port that wraps", "good.com:4295032259", 0, 0, NULL },
	{ "A7 sign", "good.com:+443", 0, 0, NULL },
	{ "A7 minus", "good.com:-443", 0, 0, NULL },
	{ "A7 leading zero", "good.com:0443", 0, 0, NULL },
	{ "A7 blank", "good.com: 443", 0, 0, NULL },
	{ "A7 letter behind", "good.com:443x", 0, 0, NULL },
	{ "A7 underscore", "good.com:4_43", 0, 0, NULL },
	{ "A7 hexadecimal", "good.com:0x1bb", 0, 0, NULL },
	{ "A7 full width digits", "good.com:\xef\xbc\x94", 0, 0, NULL },
	{ "A7 v6, no port", "[::1]", 0, 0, NULL },
	{ "A7 v6, empty port", "[::1]:", 0, 0, NULL },
	{ "A8 user", "user@good.com:443", 0, 0, NULL },
	{ "A8 user and password", "u:p@good.com:443", 0, 0, NULL },
	{ "A8 host as user", "good.com:443@evil.com", 0, 0, NULL },
	{ "A8 host as user, port", "good.com:443@evil.com:443", 0, 0, NULL },
	{ "A8 scheme", "http://good.com:443", 0, 0, NULL },
	{ "A8 slash", "good.com/x:443", 0, 0, NULL },
	{ "A8 slash behind", "good.com:443/", 0, 0, NULL },
	{ "A8 backslash", "good.com\\x:443", 0, 0, NULL },
	{ "A8 question mark", "good.com?:443", 0, 0, NULL },
	{ "A8 question mark behind", "good.com:443?", 0, 0, NULL },
	{ "A8 hash", "good.com#:443", 0, 0, NULL },
	{ "A8 hash behind", "good.com:443#", 0, 0, NULL },
	{ "A9 two numbers", "127.1:443", 0, 0, NULL },
	{ "A9 one number", "2130706433:443", 0, 0, NULL },
	{ "A9 hexadecimal", "0x7f.1:443", 0, 0, NULL },
	{ "A9 octal", "0177.0.0.1:443", 0, 0, NULL },
	{ "A9 three numbers", "1.2.3:443", 0, 0, NULL },
	{ "A9 name, number", "good.com.1:443", 0, 0, NULL },
	{ "A9 trailing dot", "1.2.3.4.:443", 0, 0, NULL },
	{ "A9 five numbers", "1.2.3.4.5:443", 0, 0, NULL },
	{ "A9 octet of 256", "1.2.3.256:443", 0, 0, NULL },
	{ "A10 name of 253", N253 ":443", 0, 0, "name " N253 " 443" },
	{ "A10 name of 254", N253 "a:443", 0, 0, NULL },
	{ "A17 Host without a port", "good.com", 0, 443, "name good.com 443" },
	{ "A17 Host with one", "good.com:80", 0, 443, "name good.com 80" },
	{ "A17 Host, empty port", "good.com:", 0, 443, NULL },
	{ "A17 Host, v4", "192.0.2.1", 0, 443, "address 192.0.2.1 443" },
	{ "A17 Host, v6", "[::1]", 0, 443, "address ::1 443" },
	{ "A17 Host, v6, empty port", "[::1]:", 0, 443, NULL },
	{ "B2 mapped", "[::ffff:169.254.169.254]:80", 0, 0,
	    "address ::ffff:169.254.169.254 80" },
	{ "B2 mapped in hex", "[::ffff:a9fe:a9fe]:80", 0, 0,
	    "address ::ffff:169.254.169.254 80" },
};

START_TEST(test_dest)
{
	const char *in = dests[_i].input;
	size_t len = dests[_i].len == 0 ? strlen(in) : dests[_i].len;
	struct dest d = { .port = 7 };
	char got[HOSTNAME_MAX + 32];
	int r;

	r = dest_parse(in, len, dests[_i].dflt, &d);
	if (dests[_i].want == NULL) {
		ck_assert_msg(r == -1, "%s: accepted", dests[_i].name);
		ck_assert_msg(d.port == 7, "%s: touched", dests[_i].name);
		return;
	}
	ck_assert_msg(r == 0, "%s: refused", dests[_i].name);
	snprintf(got, sizeof(got), "%s %s %u",
	    d.kind == DEST_NAME ? "name" : "address", d.name, d.port);
	ck_assert_str_eq(got, dests[_i].want);
}
END_TEST

static const struct {
	const char *name, *a, *b;
	bool want;
} equals[] = {
	{ "A5, A6 dot and case", "good.com:443", "GOOD.com.:443", true },
	{ "port", "good.com:443", "good.com:444", false },
	{ "host", "good.com:443", "evil.com:443", false },
	{ "v6 spellings", "[::1]:443", "[0:0::0:1]:443", true },
	{ "v6 others", "[::1]:443", "[::2]:443", false },
	{ "mapped is not v4", "[::ffff:1.2.3.4]:443", "1.2.3.4:443", false },
	{ "address and name", "1.2.3.4:443", "good.com:443", false },
};

START_TEST(test_dest_equal)
{
	struct dest a, b;

	ck_assert_int_eq(
	    dest_parse(equals[_i].a, strlen(equals[_i].a), 0, &a), 0);
	ck_assert_int_eq(
	    dest_parse(equals[_i].b, strlen(equals[_i].b), 0, &b), 0);
	ck_assert_msg(
	    dest_equal(&a, &b) == equals[_i].want, "%s", equals[_i].name);
	ck_assert(dest_equal(&b, &a) == equals[_i].want);
}
END_TEST

static const struct {
	const char *name, *suffix;
	bool want;
} belows[] = {
	{ "a.good.com", "good.com", true }, /* A12 */
	{ "a.b.good.com", "good.com", true },
	{ "good.com", "good.com", false },
	{ "evilgood.com", "good.com", false },
	{ "good.com.evil.com", "good.com", false },
	{ "com", "good.com", false },
	{ "a.good.com", "com", true },
	{ "a.good.com", "", false },
	{ "", "good.com", false },
};

START_TEST(test_below)
{
	ck_assert_msg(hostname_below(belows[_i].name, belows[_i].suffix) ==
	        belows[_i].want,
	    "%s %s", belows[_i].name, belows[_i].suffix);
}
END_TEST

START_TEST(test_labels)
{
	ck_assert_uint_eq(hostname_labels(""), 0);
	ck_assert_uint_eq(hostname_labels("localhost"), 1);
	ck_assert_uint_eq(hostname_labels("a.b.c"), 3);
	ck_assert_str_eq(hostname_tail("a.b.c", 0), "");
	ck_assert_str_eq(hostname_tail("a.b.c", 1), "c");
	ck_assert_str_eq(hostname_tail("a.b.c", 2), "b.c");
	ck_assert_str_eq(hostname_tail("a.b.c", 3), "a.b.c");
	ck_assert_ptr_null(hostname_tail("a.b.c", 4));
	ck_assert_ptr_null(hostname_tail("", 1));
	ck_assert(hostname_has_underscore("_a.b"));
	ck_assert(hostname_has_underscore("a.b_"));
	ck_assert(!hostname_has_underscore("a-.b"));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("hostname");
	TCase *tc = tcase_create("hostname");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, test_canon, 0, ROWS(names));
	tcase_add_test(tc, test_canon_bytes);
	tcase_add_loop_test(tc, test_dest, 0, ROWS(dests));
	tcase_add_loop_test(tc, test_dest_equal, 0, ROWS(equals));
	tcase_add_loop_test(tc, test_below, 0, ROWS(belows));
	tcase_add_test(tc, test_labels);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
