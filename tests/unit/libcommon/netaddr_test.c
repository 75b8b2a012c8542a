#include <netinet/in.h>

#include <check.h>
#include <stdlib.h>

#include "libcommon/netaddr.c"

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

/* want: the canonical text, NULL for a refusal. */
static const struct {
	const char *name, *input, *want;
} parses[] = {
	{ "v4", "192.0.2.1", "192.0.2.1" },
	{ "v4 lowest", "0.0.0.0", "0.0.0.0" },
	{ "v4 highest", "255.255.255.255", "255.255.255.255" },
	{ "empty", "", NULL },
	{ "v4 three parts", "1.2.3", NULL },
	{ "v4 five parts", "1.2.3.4.5", NULL },
	{ "v4 trailing dot", "1.2.3.4.", NULL },
	{ "v4 leading dot", ".1.2.3.4", NULL },
	{ "v4 empty part", "1..3.4", NULL },
	{ "v4 leading zero", "1.2.3.04", NULL },
	{ "v4 two zeros", "00.2.3.4", NULL },
	{ "v4 hexadecimal", "0x7f.0.0.1", NULL },
	{ "v4 octet of 256", "1.2.3.256", NULL },
	{ "v4 octet that wraps", "1.2.3.4294967297", NULL },
	{ "v4 sign", "1.2.3.+4", NULL },
	{ "v4 blank before", " 1.2.3.4", NULL },
	{ "v4 blank behind", "1.2.3.4 ", NULL },
	{ "v4 single number", "2130706433", NULL },
	{ "v4 port", "1.2.3.4:5", NULL },
	{ "v6 unspecified", "::", "::" },
	{ "v6 loopback", "::1", "::1" },
	{ "v6 full", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6" },
	{ "v6 upper case", "2001:DB8::ABCD", "2001:db8::abcd" },
	{ "v6 leading zeros", "2001:0db8:0000::0001", "2001:db8::1" },
	{ "v6 gap at the end", "2001:db8::", "2001:db8::" },
	{ "v6 gap of one group", "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0" },
	{ "v6 one zero group", "1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8" },
	{ "v6 first of equal runs", "1:0:0:4:5:0:0:8", "1::4:5:0:0:8" },
	{ "v6 longest run", "1:0:0:4:0:0:0:8", "1:0:0:4::8" },
	{ "v6 all zero but first", "1:0:0:0:0:0:0:0", "1::" },
	{ "v6 mapped", "::ffff:1.2.3.4", "::ffff:1.2.3.4" },
	{ "v6 mapped in hex", "::ffff:a9fe:a9fe", "::ffff:169.254.169.254" },
	{ "v6 mapped zero", "::ffff:0:0", "::ffff:0.0.0.0" },
	{ "v6 compatible stays hex", "::1.2.3.4", "::102:304" },
	{ "v6 nat64 quad", "64:ff9b::192.0.2.33", "64:ff9b::c000:221" },
	{ "v6 translated", "::ffff:0:1.2.3.4", "::ffff:0:102:304" },
	{ "v6 six groups, quad", "1:2:3:4:5:6:7.8.9.10",
	    "1:2:3:4:5:6:708:90a" },
	{ "v6 seven groups, quad", "1:2:3:4:5:6:7:1.2.3.4", NULL },
	{ "v6 five groups, quad", "1:2:3:4:5:1.2.3.4", NULL },
	{ "v6 quad not last", "::1.2.3.4:5", NULL },
	{ "v6 quad of three", "::ffff:1.2.3", NULL },
	{ "v6 quad, leading zero", "::ffff:1.2.3.04", NULL },
	{ "v6 seven groups", "1:2:3:4:5:6:7", NULL },
	{ "v6 nine groups", "1:2:3:4:5:6:7:8:9", NULL },
	{ "v6 gap of none", "1:2:3:4::5:6:7:8", NULL },
	{ "v6 gap of none, front", "::1:2:3:4:5:6:7:8", NULL },
	{ "v6 gap of none, end", "1:2:3:4:5:6:7:8::", NULL },
	{ "v6 two gaps", "1::2::3", NULL },
	{ "v6 three colons", ":::", NULL },
	{ "v6 gap and colon", "1:::2", NULL },
	{ "v6 colon first", ":1:2:3:4:5:6:7", NULL },
	{ "v6 colon last", "1:2:3:4:5:6:7:", NULL },
	{ "v6 gap, colon last", "::1:", NULL },
	{ "v6 one colon", ":", NULL },
	{ "v6 five digits", "::12345", NULL },
	{ "v6 no hex", "::g", NULL },
	{ "A3 v6 zone", "fe80::1%eth0", NULL },
	{ "A3 v6 zone with a name", "::ffff:1.2.3.4%x.good.com", NULL },
	{ "v6 brackets", "[::1]", NULL },
	{ "v6 prefix", "::1/128", NULL },
	{ "v6 longest text", "1111:2222:3333:4444:5555:6666:123.123.123.123",
	    "1111:2222:3333:4444:5555:6666:7b7b:7b7b" },
	{ "v6 too long", "11111:2222:3333:4444:5555:6666:123.123.123.123",
	    NULL },
};

START_TEST(test_parse)
{
	const char *in = parses[_i].input;
	struct netaddr a = { .family = -1 };
	char buf[NETADDR_TEXT_MAX];
	int r;

	r = netaddr_parse(in, strlen(in), &a);
	if (parses[_i].want == NULL) {
		ck_assert_msg(r == -1, "%s: accepted", parses[_i].name);
		ck_assert_msg(a.family == -1, "%s: touched", parses[_i].name);
		return;
	}
	ck_assert_msg(r == 0, "%s: refused", parses[_i].name);
	ck_assert_str_eq(netaddr_text(&a, buf), parses[_i].want);
}
END_TEST

START_TEST(test_parse_nul)
{
	struct netaddr a;

	ck_assert_int_eq(netaddr_parse("1.2.3.4\0", 8, &a), -1);
	ck_assert_int_eq(netaddr_parse("::1\0", 4, &a), -1);
	ck_assert_int_eq(netaddr_parse("::1\0::", 6, &a), -1);
	/* The length counts, not what stands behind it. */
	ck_assert_int_eq(netaddr_parse("1.2.3.45", 7, &a), 0);
	ck_assert_int_eq(a.b[3], 4);
}
END_TEST

START_TEST(test_text_unknown_family)
{
	struct netaddr a = { .family = 0 };
	char buf[NETADDR_TEXT_MAX];

	ck_assert_str_eq(netaddr_text(&a, buf), "none");
}
END_TEST

static const struct {
	const char *name, *input, *want;
} prefixes[] = {
	{ "v4", "10.99.0.0/24", "10.99.0.0/24" },
	{ "v4 alone", "10.99.0.1", "10.99.0.1/32" },
	{ "v4 all", "0.0.0.0/0", "0.0.0.0/0" },
	{ "v4 bits in an octet", "172.16.0.0/12", "172.16.0.0/12" },
	{ "v4 host bits", "10.99.0.1/24", NULL },
	{ "v4 host bits in an octet", "172.24.0.0/12", NULL },
	{ "v4 33 bits", "10.0.0.0/33", NULL },
	{ "v4 no bits", "10.0.0.0/", NULL },
	{ "v4 leading zero", "10.0.0.0/08", NULL },
	{ "v4 sign", "10.0.0.0/+8", NULL },
	{ "v4 mask", "10.0.0.0/255.0.0.0", NULL },
	{ "v4 two slashes", "10.0.0.0/8/8", NULL },
	{ "v4 short", "10/8", NULL },
	{ "v4 blank", "10.0.0.0 /8", NULL },
	{ "v6", "FC00::/7", "fc00::/7" },
	{ "v6 alone", "fd00::1", "fd00::1/128" },
	{ "v6 all", "::/0", "::/0" },
	{ "v6 host bits", "fd00::1/64", NULL },
	{ "v6 host bits in an octet", "fe00::/6", NULL },
	{ "v6 129 bits", "::/129", NULL },
	{ "slash alone", "/", NULL },
	{ "empty", "", NULL },
	{ "v6 longest", "1111:2222:3333:4444:5555:6666:123.123.123.123/128",
	    "1111:2222:3333:4444:5555:6666:7b7b:7b7b/128" },
};

START_TEST(test_prefix_parse)
{
	const char *in = prefixes[_i].input;
	struct netprefix p = { .bits = 1000 };
	char buf[NETADDR_PREFIX_TEXT_MAX];
	int r;

	r = netprefix_parse(in, strlen(in), &p);
	if (prefixes[_i].want == NULL) {
		ck_assert_msg(r == -1, "%s: accepted", prefixes[_i].name);
		ck_assert_msg(p.bits == 1000, "%s: touched", prefixes[_i].name);
		return;
	}
	ck_assert_msg(r == 0, "%s: refused", prefixes[_i].name);
	ck_assert_str_eq(netprefix_text(&p, buf), prefixes[_i].want);
}
END_TEST

static const struct {
	const char *prefix, *addr;
	bool want;
} contains[] = {
	{ "10.99.0.0/24", "10.99.0.0", true },
	{ "10.99.0.0/24", "10.99.0.255", true },
	{ "10.99.0.0/24", "10.99.1.0", false },
	{ "10.99.0.0/24", "10.98.255.255", false },
	{ "172.16.0.0/12", "172.31.255.255", true },
	{ "172.16.0.0/12", "172.32.0.0", false },
	{ "172.16.0.0/12", "172.15.255.255", false },
	{ "0.0.0.0/0", "255.255.255.255", true },
	{ "0.0.0.0/0", "::", false },
	{ "::/0", "1.2.3.4", false },
	{ "1.2.3.4", "1.2.3.4", true },
	{ "1.2.3.4", "1.2.3.5", false },
	{ "192.0.2.0/24", "::ffff:192.0.2.1", false },
	{ "::ffff:192.0.2.0/120", "192.0.2.1", false },
	{ "::ffff:192.0.2.0/120", "::ffff:192.0.2.1", true },
	{ "fc00::/7", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true },
	{ "fc00::/7", "fe00::", false },
	{ "fc00::/7", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false },
	{ "fd00::1", "fd00::1", true },
	{ "fd00::1", "fd00::", false },
};

START_TEST(test_prefix_contains)
{
	struct netprefix p;
	struct netaddr a;

	ck_assert_int_eq(netprefix_parse(contains[_i].prefix,
	                     strlen(contains[_i].prefix), &p),
	    0);
	ck_assert_int_eq(
	    netaddr_parse(contains[_i].addr, strlen(contains[_i].addr), &a), 0);
	ck_assert_msg(netprefix_contains(&p, &a) == contains[_i].want, "%s %s",
	    contains[_i].prefix, contains[_i].addr);
}
END_TEST

START_TEST(test_prefix_contains_nonsense)
{
	struct netprefix p = { .addr.family = AF_INET, .bits = 33 };
	struct netaddr a = { .family = AF_INET };

	ck_assert(!netprefix_contains(&p, &a));
	memset(&p, 0, sizeof(p));
	memset(&a, 0, sizeof(a));
	ck_assert(!netprefix_contains(&p, &a));
}
END_TEST

static const struct {
	const char *p, *q;
	bool want;
} covers[] = {
	{ "10.0.0.0/8", "10.99.0.0/24", true },
	{ "10.0.0.0/8", "10.0.0.0/8", true },
	{ "10.99.0.0/24", "10.0.0.0/8", false },
	{ "10.99.0.0/24", "10.98.0.0/24", false },
	{ "::/0", "10.0.0.0/8", false },
	{ "::/0", "fc00::/7", true },
};

START_TEST(test_prefix_covers)
{
	struct netprefix p, q;

	ck_assert_int_eq(
	    netprefix_parse(covers[_i].p, strlen(covers[_i].p), &p), 0);
	ck_assert_int_eq(
	    netprefix_parse(covers[_i].q, strlen(covers[_i].q), &q), 0);
	ck_assert_msg(netprefix_covers(&p, &q) == covers[_i].want, "%s %s",
	    covers[_i].p, covers[_i].q);
}
END_TEST

START_TEST(test_prefix_of)
{
	struct netaddr a;
	struct netprefix p;
	char buf[NETADDR_PREFIX_TEXT_MAX];

	ck_assert_int_eq(netaddr_parse("172.31.255.255", 14, &a), 0);
	netprefix_of(&a, 12, &p);
	ck_assert_str_eq(netprefix_text(&p, buf), "172.16.0.0/12");
	netprefix_of(&a, 32, &p);
	ck_assert_str_eq(netprefix_text(&p, buf), "172.31.255.255/32");
	netprefix_of(&a, 0, &p);
	ck_assert_str_eq(netprefix_text(&p, buf), "0.0.0.0/0");
	ck_assert_int_eq(netaddr_parse("fdff::1", 7, &a), 0);
	netprefix_of(&a, 7, &p);
	ck_assert_str_eq(netprefix_text(&p, buf), "fc00::/7");
	netprefix_of(&a, 128, &p);
	ck_assert_str_eq(netprefix_text(&p, buf), "fdff::1/128");
}
END_TEST

START_TEST(test_equal)
{
	struct netaddr a = { .family = AF_INET, .b = { 1, 2, 3, 4, 5 } };
	struct netaddr b = { .family = AF_INET, .b = { 1, 2, 3, 4, 6 } };

	ck_assert(netaddr_equal(&a, &b));
	b.b[3] = 5;
	ck_assert(!netaddr_equal(&a, &b));
	a.family = b.family = AF_INET6;
	b.b[3] = 4;
	ck_assert(!netaddr_equal(&a, &b));
	b.b[4] = 5;
	ck_assert(netaddr_equal(&a, &b));
	b.family = AF_INET;
	ck_assert(!netaddr_equal(&a, &b));
}
END_TEST

/* want: "ADDRESS PORT", NULL for a refusal. */
static const struct {
	const char *name, *input;
	uint16_t dflt;
	const char *want;
} ports[] = {
	{ "v4 and port", "192.0.2.53:5353", 53, "192.0.2.53 5353" },
	{ "v4 default", "192.0.2.53", 53, "192.0.2.53 53" },
	{ "v4 port must", "192.0.2.53", 0, NULL },
	{ "v4 and port, must", "192.0.2.53:1", 0, "192.0.2.53 1" },
	{ "v6 and port", "[2001:db8::1]:53", 0, "2001:db8::1 53" },
	{ "v6 bare, default", "2001:db8::1", 53, "2001:db8::1 53" },
	{ "v6 bare, port must", "2001:db8::1", 0, NULL },
	{ "v6 bare takes all", "::1:80", 53, "::1:80 53" },
	{ "v6 brackets, no port", "[::1]", 53, NULL },
	{ "v4 in brackets", "[192.0.2.1]:53", 53, NULL },
	{ "empty port", "192.0.2.1:", 53, NULL },
	{ "v6 empty port", "[::1]:", 53, NULL },
	{ "port 0", "192.0.2.1:0", 53, NULL },
	{ "port 65535", "192.0.2.1:65535", 53, "192.0.2.1 65535" },
	{ "port 65536", "192.0.2.1:65536", 53, NULL },
	{ "port leading zero", "192.0.2.1:053", 53, NULL },
	{ "port sign", "192.0.2.1:+53", 53, NULL },
	{ "port blank", "192.0.2.1: 53", 53, NULL },
	{ "port six digits", "192.0.2.1:655350", 53, NULL },
	{ "two ports", "192.0.2.1:53:53", 53, NULL },
	{ "unclosed", "[::1:53", 53, NULL },
	{ "closed at once", "[]:53", 53, NULL },
	{ "no colon", "[::1]53", 53, NULL },
	{ "name", "localhost:53", 53, NULL },
	{ "colon alone", ":", 53, NULL },
	{ "port alone", ":53", 53, NULL },
	{ "bracket alone", "[", 53, NULL },
	{ "empty", "", 53, NULL },
};

START_TEST(test_parse_port)
{
	const char *in = ports[_i].input;
	struct netaddr a = { .family = -1 };
	uint16_t port = 7;
	char buf[NETADDR_TEXT_MAX], got[64];
	int r;

	r = netaddr_parse_port(in, strlen(in), ports[_i].dflt, &a, &port);
	if (ports[_i].want == NULL) {
		ck_assert_msg(r == -1, "%s: accepted", ports[_i].name);
		ck_assert(a.family == -1 && port == 7);
		return;
	}
	ck_assert_msg(r == 0, "%s: refused", ports[_i].name);
	snprintf(got, sizeof(got), "%s %u", netaddr_text(&a, buf), port);
	ck_assert_str_eq(got, ports[_i].want);
}
END_TEST

START_TEST(test_sockaddr_v4)
{
	struct netaddr a, back;
	struct sockaddr_storage ss;
	struct sockaddr_in sin;
	uint16_t port = 0;

	ck_assert_int_eq(netaddr_parse("192.0.2.1", 9, &a), 0);
	ck_assert_uint_eq(netaddr_to_sockaddr(&a, 443, &ss), sizeof(sin));
	memcpy(&sin, &ss, sizeof(sin));
	ck_assert_int_eq(sin.sin_family, AF_INET);
	ck_assert_uint_eq(ntohs(sin.sin_port), 443);
	ck_assert_uint_eq(ntohl(sin.sin_addr.s_addr), 0xc0000201);
	ck_assert_int_eq(netaddr_from_sockaddr(&ss, &back, &port), 0);
	ck_assert(netaddr_equal(&a, &back));
	ck_assert_uint_eq(port, 443);
}
END_TEST

START_TEST(test_sockaddr_v6)
{
	struct netaddr a, back;
	struct sockaddr_storage ss;
	struct sockaddr_in6 sin6;
	uint16_t port = 0;

	ck_assert_int_eq(netaddr_parse("2001:db8::1", 11, &a), 0);
	ck_assert_uint_eq(netaddr_to_sockaddr(&a, 65535, &ss), sizeof(sin6));
	memcpy(&sin6, &ss, sizeof(sin6));
	ck_assert_int_eq(sin6.sin6_family, AF_INET6);
	ck_assert_uint_eq(ntohs(sin6.sin6_port), 65535);
	ck_assert_uint_eq(sin6.sin6_scope_id, 0);
	ck_assert_mem_eq(&sin6.sin6_addr, a.b, 16);
	ck_assert_int_eq(netaddr_from_sockaddr(&ss, &back, &port), 0);
	ck_assert(netaddr_equal(&a, &back));
	ck_assert_uint_eq(port, 65535);
}
END_TEST

START_TEST(test_sockaddr_other)
{
	struct netaddr a = { .family = 0 };
	struct sockaddr_storage ss;
	uint16_t port = 7;

	ck_assert_uint_eq(netaddr_to_sockaddr(&a, 1, &ss), 0);
	memset(&ss, 0, sizeof(ss));
	ss.ss_family = AF_UNIX;
	a.family = -1;
	ck_assert_int_eq(netaddr_from_sockaddr(&ss, &a, &port), -1);
	ck_assert(a.family == -1 && port == 7);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("netaddr");
	TCase *tc = tcase_create("netaddr");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, test_parse, 0, ROWS(parses));
	tcase_add_test(tc, test_parse_nul);
	tcase_add_test(tc, test_text_unknown_family);
	tcase_add_loop_test(tc, test_prefix_parse, 0, ROWS(prefixes));
	tcase_add_loop_test(tc, test_prefix_contains, 0, ROWS(contains));
	tcase_add_test(tc, test_prefix_contains_nonsense);
	tcase_add_loop_test(tc, test_prefix_covers, 0, ROWS(covers));
	tcase_add_test(tc, test_prefix_of);
	tcase_add_test(tc, test_equal);
	tcase_add_loop_test(tc, test_parse_port, 0, ROWS(ports));
	tcase_add_test(tc, test_sockaddr_v4);
	tcase_add_test(tc, test_sockaddr_v6);
	tcase_add_test(tc, test_sockaddr_other);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
