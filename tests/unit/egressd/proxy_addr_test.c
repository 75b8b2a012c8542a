#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/proxy_addr.c"

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

#define PUB ADDR_PUBLIC
#define PRIV ADDR_PRIVATE
#define PROH ADDR_PROHIBITED
#define NONE ADDR_PROHIBITED /* before the first, after the last */

/*
 * B5: both IANA special-purpose registries row by row, sub-blocks too, and
 * the other blocks that no rule opens; the class inside, and that of the
 * addresses just before and just after.
 */
static const struct {
	const char *name, *prefix;
	enum addr_class inside, before, after;
} blocks[] = {
	{ "this network", "0.0.0.0/8", PROH, NONE, PUB },
	{ "this host", "0.0.0.0/32", PROH, NONE, PROH },
	{ "RFC 1918, 10", "10.0.0.0/8", PRIV, PUB, PUB },
	{ "shared", "100.64.0.0/10", PRIV, PUB, PUB },
	{ "loopback", "127.0.0.0/8", PROH, PUB, PUB },
	{ "link-local", "169.254.0.0/16", PROH, PUB, PUB },
	{ "RFC 1918, 172.16", "172.16.0.0/12", PRIV, PUB, PUB },
	{ "IETF assignments", "192.0.0.0/24", PROH, PUB, PUB },
	{ "service continuity", "192.0.0.0/29", PROH, PUB, PROH },
	{ "dummy", "192.0.0.8/32", PROH, PROH, PROH },
	{ "PCP anycast", "192.0.0.9/32", PROH, PROH, PROH },
	{ "TURN anycast", "192.0.0.10/32", PROH, PROH, PROH },
	{ "DNS64 discovery", "192.0.0.170/31", PROH, PROH, PROH },
	{ "TEST-NET-1", "192.0.2.0/24", PROH, PUB, PUB },
	{ "AS112", "192.31.196.0/24", PROH, PUB, PUB },
	{ "AMT", "192.52.193.0/24", PROH, PUB, PUB },
	{ "6to4 relays", "192.88.99.0/24", PROH, PUB, PUB },
	{ "6a44 relay", "192.88.99.2/32", PROH, PROH, PROH },
	{ "RFC 1918, 192.168", "192.168.0.0/16", PRIV, PUB, PUB },
	{ "AS112, direct", "192.175.48.0/24", PROH, PUB, PUB },
	{ "benchmarking", "198.18.0.0/15", PROH, PUB, PUB },
	{ "TEST-NET-2", "198.51.100.0/24", PROH, PUB, PUB },
	{ "TEST-NET-3", "203.0.113.0/24", PROH, PUB, PUB },
	{ "multicast", "224.0.0.0/4", PROH, PUB, PROH },
	{ "reserved", "240.0.0.0/4", PROH, PROH, NONE },
	{ "broadcast", "255.255.255.255/32", PROH, PROH, NONE },
	{ "metadata, link-local", "169.254.169.254/32", PROH, PROH, PROH },
	{ "metadata, ECS", "169.254.170.2/32", PROH, PROH, PROH },
	{ "metadata, Alibaba", "100.100.100.200/32", PROH, PRIV, PRIV },
	{ "metadata, Oracle", "192.0.0.192/32", PROH, PROH, PROH },
	{ "metadata, Azure", "168.63.129.16/32", PROH, PUB, PUB },

	{ "v6 unspecified", "::/128", PROH, NONE, PROH },
	{ "v6 loopback", "::1/128", PROH, PROH, PROH },
	{ "v6 IPv4-compatible", "::/96", PROH, NONE, PROH },
	{ "v6 IPv4-mapped", "::ffff:0:0/96", PROH, PROH, PROH },
	{ "v6 IPv4-translated", "::ffff:0:0:0/96", PROH, PROH, PROH },
	{ "v6 NAT64", "64:ff9b::/96", PROH, PROH, PROH },
	{ "v6 NAT64, local", "64:ff9b:1::/48", PROH, PROH, PROH },
	{ "v6 discard", "100::/64", PROH, PROH, PROH },
	{ "v6 dummy", "100:0:0:1::/64", PROH, PROH, PROH },
	{ "v6 IETF assignments", "2001::/23", PROH, PUB, PUB },
	{ "v6 Teredo", "2001::/32", PROH, PUB, PROH },
	{ "v6 PCP anycast", "2001:1::1/128", PROH, PROH, PROH },
	{ "v6 TURN anycast", "2001:1::2/128", PROH, PROH, PROH },
	{ "v6 DNS-SD anycast", "2001:1::3/128", PROH, PROH, PROH },
	{ "v6 benchmarking", "2001:2::/48", PROH, PROH, PROH },
	{ "v6 AMT", "2001:3::/32", PROH, PROH, PROH },
	{ "v6 AS112", "2001:4:112::/48", PROH, PROH, PROH },
	{ "v6 ORCHID", "2001:10::/28", PROH, PROH, PROH },
	{ "v6 ORCHIDv2", "2001:20::/28", PROH, PROH, PROH },
	{ "v6 DRIP", "2001:30::/28", PROH, PROH, PROH },
	{ "v6 documentation", "2001:db8::/32", PROH, PUB, PUB },
	{ "v6 6to4", "2002::/16", PROH, PUB, PUB },
	{ "v6 AS112, direct", "2620:4f:8000::/48", PROH, PUB, PUB },
	{ "v6 documentation, new", "3fff::/20", PROH, PUB, PUB },
	{ "v6 global unicast ends", "4000::/3", PROH, PUB, PROH },
	{ "v6 SRv6", "5f00::/16", PROH, PROH, PROH },
	{ "v6 unique local", "fc00::/7", PRIV, PROH, PROH },
	{ "v6 link-local", "fe80::/10", PROH, PROH, PROH },
	{ "v6 site-local", "fec0::/10", PROH, PROH, PROH },
	{ "v6 multicast", "ff00::/8", PROH, PROH, NONE },
	{ "v6 metadata, EC2", "fd00:ec2::254/128", PROH, PRIV, PRIV },
	{ "v6 metadata, GCE", "fd20:ce::254/128", PROH, PRIV, PRIV },
};

/* Add one, or take one off; false when it wraps. */
static bool
step(struct netaddr *a, bool up)
{
	int i;

	for (i = a->family == AF_INET ? 3 : 15; i >= 0; i--) {
		a->b[i] = (uint8_t)(a->b[i] + (up ? 1 : -1));
		if (a->b[i] != (up ? 0 : 255))
			return true;
	}
	return false;
}

static struct netaddr
last_of(const struct netprefix *p)
{
	struct netaddr a = p->addr;
	unsigned i;

	for (i = p->bits; i < (a.family == AF_INET ? 32 : 128); i++)
		a.b[i / 8] |= (uint8_t)(0x80 >> i % 8);
	return a;
}

START_TEST(test_block)
{
	const char *name = blocks[_i].name, *text = blocks[_i].prefix;
	struct netprefix p;
	struct netaddr a;

	ck_assert_msg(netprefix_parse(text, strlen(text), &p) == 0, "%s", name);
	ck_assert_msg(
	    proxy_addr_class(&p.addr) == blocks[_i].inside, "%s: first", name);
	a = last_of(&p);
	ck_assert_msg(
	    proxy_addr_class(&a) == blocks[_i].inside, "%s: last", name);
	if (step(&a, true))
		ck_assert_msg(proxy_addr_class(&a) == blocks[_i].after,
		    "%s: after", name);
	a = p.addr;
	if (step(&a, false))
		ck_assert_msg(proxy_addr_class(&a) == blocks[_i].before,
		    "%s: before", name);
}
END_TEST

static const struct {
	const char *name, *addr;
	enum addr_class want;
} addrs[] = {
	{ "public", "140.82.112.3", PUB },
	{ "public, 1.1.1.1", "1.1.1.1", PUB },
	{ "public, last of all", "223.255.255.255", PUB },
	{ "v6 public", "2606:4700::6810:84e5", PUB },
	{ "v6 public, first", "2000::", PUB },
	{ "v6 public, last but documentation", "3fff:1000::", PUB },
	{ "v6 public, last", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PUB },
	{ "B2 mapped metadata", "::ffff:169.254.169.254", PROH },
	{ "B2 mapped public", "::ffff:1.1.1.1", PROH },
	{ "B2 mapped private", "::ffff:10.0.0.1", PROH },
	{ "B2 compatible metadata", "::a9fe:a9fe", PROH },
	{ "B2 NAT64 metadata", "64:ff9b::a9fe:a9fe", PROH },
	{ "B2 6to4 metadata", "2002:a9fe:a9fe::", PROH },
	{ "B2 6to4 public", "2002:101:101::1", PROH },
	{ "B2 Teredo", "2001:0:4136:e378:8000:63bf:3fff:fdd2", PROH },
	{ "B2 Teredo metadata", "2001::5601:5601", PROH },
	{ "B3 metadata", "169.254.169.254", PROH },
	{ "B3 link-local v6", "fe80::1", PROH },
	{ "B3 metadata v6", "fd00:ec2::254", PROH },
	{ "B3 loopback", "127.0.0.1", PROH },
	{ "B3 loopback, other", "127.255.0.7", PROH },
	{ "B3 loopback v6", "::1", PROH },
	{ "B3 this network", "0.1.2.3", PROH },
	{ "B3 unspecified", "0.0.0.0", PROH },
	{ "B3 unspecified v6", "::", PROH },
	{ "B3 multicast", "239.1.2.3", PROH },
	{ "B3 multicast v6", "ff02::1", PROH },
	{ "B3 broadcast", "255.255.255.255", PROH },
	{ "B4 RFC 1918", "192.168.1.1", PRIV },
	{ "B4 unique local", "fd12:3456::1", PRIV },
	{ "B4 beside the metadata", "fd00:ec2::253", PRIV },
	{ "B4 shared", "100.127.255.255", PRIV },
	{ "B11 NAT64, embedded public", "64:ff9b::101:101", PROH },
	{ "B11 NAT64, embedded private", "64:ff9b::a00:1", PROH },
};

START_TEST(test_class)
{
	const char *text = addrs[_i].addr;
	struct netaddr a;

	ck_assert_int_eq(netaddr_parse(text, strlen(text), &a), 0);
	ck_assert_msg(
	    proxy_addr_class(&a) == addrs[_i].want, "%s", addrs[_i].name);
}
END_TEST

START_TEST(test_class_unknown_family)
{
	struct netaddr a = { .family = 0, .b = { 1, 1, 1, 1 } };

	ck_assert_int_eq(proxy_addr_class(&a), ADDR_PROHIBITED);
}
END_TEST

/* First match is the most specific one only in this order. */
START_TEST(test_table_order)
{
	size_t i, j;

	for (i = 0; i < ADDR_ROWS; i++)
		for (j = i + 1; j < ADDR_ROWS; j++)
			ck_assert_msg(!netprefix_covers(&addr_rows[i].prefix,
			                  &addr_rows[j].prefix),
			    "row %zu is behind row %zu", j, i);
}
END_TEST

/* A row whose host bits are not zero would match nothing as meant. */
START_TEST(test_table_prefixes)
{
	struct netprefix p;
	size_t i;

	for (i = 0; i < ADDR_ROWS; i++) {
		netprefix_of(
		    &addr_rows[i].prefix.addr, addr_rows[i].prefix.bits, &p);
		ck_assert_msg(netaddr_equal(&p.addr, &addr_rows[i].prefix.addr),
		    "row %zu", i);
	}
}
END_TEST

static const struct {
	const char *prefix;
	bool want;
} useful[] = {
	{ "10.99.0.0/24", true },
	{ "10.0.0.0/8", true },
	{ "10.1.2.3/32", true },
	{ "1.1.1.1/32", true },
	{ "0.0.0.0/0", true },
	{ "0.0.0.0/8", false },
	{ "0.0.0.0/7", true },
	{ "127.0.0.0/8", false },
	{ "127.0.0.1/32", false },
	{ "126.0.0.0/7", true },
	{ "169.254.0.0/16", false },
	{ "169.254.169.254/32", false },
	{ "168.63.129.16/32", false },
	{ "168.63.129.16/31", true },
	{ "100.100.100.200/32", false },
	{ "100.100.100.200/31", true },
	{ "100.64.0.0/10", true },
	{ "192.0.0.0/24", false },
	{ "192.0.0.0/23", true },
	{ "192.0.0.9/32", false },
	{ "198.18.0.0/16", false },
	{ "198.18.0.0/15", false },
	{ "198.16.0.0/14", true },
	{ "224.0.0.0/3", false },
	{ "240.0.0.0/4", false },
	{ "255.255.255.255/32", false },
	{ "192.0.0.0/2", true },
	{ "::/0", true },
	{ "::/1", true },
	{ "::/3", false },
	{ "2000::/3", true },
	{ "2001::/23", false },
	{ "2001::/22", true },
	{ "2001:db8::/32", false },
	{ "2001:db8:1::/48", false },
	{ "2002::/16", false },
	{ "2002::/15", true },
	{ "3fff::/20", false },
	{ "3fff::/19", true },
	{ "4000::/2", false },
	{ "8000::/1", true },
	{ "64:ff9b::/96", false },
	{ "::ffff:0:0/96", false },
	{ "::ffff:10.0.0.0/104", false },
	{ "fc00::/7", true },
	{ "fd00:ec2::/32", true },
	{ "fd00:ec2::254/128", false },
	{ "fd00:ec2::254/127", true },
	{ "fe80::/10", false },
	{ "fec0::/10", false },
	{ "fe00::/7", false },
	{ "ff00::/8", false },
};

START_TEST(test_prefix_useful)
{
	const char *text = useful[_i].prefix;
	struct netprefix p;

	ck_assert_int_eq(netprefix_parse(text, strlen(text), &p), 0);
	ck_assert_msg(
	    proxy_addr_prefix_useful(&p) == useful[_i].want, "%s", text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("proxy_addr");
	TCase *tc = tcase_create("proxy_addr");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, test_block, 0, ROWS(blocks));
	tcase_add_loop_test(tc, test_class, 0, ROWS(addrs));
	tcase_add_test(tc, test_class_unknown_family);
	tcase_add_test(tc, test_table_order);
	tcase_add_test(tc, test_table_prefixes);
	tcase_add_loop_test(tc, test_prefix_useful, 0, ROWS(useful));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
