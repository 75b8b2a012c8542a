#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/egressd.h"

#define ROWS_MAX 8
#define WANT_MAX 1024

static const struct {
	const char *name;
	const char *text;
	size_t max;
	const char *want; /* "NAME ADDRESS;" a row */
} hosts[] = {
	{ "empty", "", ROWS_MAX, "" },
	{ "one", "192.0.2.1 a.example\n", ROWS_MAX, "a.example 192.0.2.1;" },
	{ "no newline at the end", "192.0.2.1 a.example", ROWS_MAX,
	    "a.example 192.0.2.1;" },
	{ "several names", "192.0.2.1\ta.example  b c\n", ROWS_MAX,
	    "a.example 192.0.2.1;b 192.0.2.1;c 192.0.2.1;" },
	{ "IPv6", "2001:db8::1 a\n::1 localhost\n", ROWS_MAX,
	    "a 2001:db8::1;localhost ::1;" },
	{ "comments and empty lines",
	    "# 192.0.2.9 x\n\n  \n192.0.2.1 a # b\n192.0.2.2 c#d\n#", ROWS_MAX,
	    "a 192.0.2.1;c 192.0.2.2;" },
	{ "blanks in front, carriage return", " \t192.0.2.1 a\r\n", ROWS_MAX,
	    "a 192.0.2.1;" },
	{ "names are made canonical", "192.0.2.1 A.Example. B\n", ROWS_MAX,
	    "a.example 192.0.2.1;b 192.0.2.1;" },
	{ "other names are skipped, their line is not",
	    "192.0.2.1 -bad a..b good 1.2.3 b\xc3\xbc.example last\n", ROWS_MAX,
	    "good 192.0.2.1;last 192.0.2.1;" },
	{ "lines without an address are skipped",
	    "a b\n192.0.2 c\n192.0.2.01 d\n[::1] e\n192.0.2.1 f\n", ROWS_MAX,
	    "f 192.0.2.1;" },
	{ "link-local with a zone is skipped",
	    "fe80::1%lo0 localhost\nfe80::1 other\n", ROWS_MAX,
	    "other fe80::1;" },
	{ "an address alone names nothing", "192.0.2.1\n192.0.2.2 a\n",
	    ROWS_MAX, "a 192.0.2.2;" },
	{ "a name may have many addresses", "192.0.2.1 a\n192.0.2.2 a\n",
	    ROWS_MAX, "a 192.0.2.1;a 192.0.2.2;" },
	{ "never more than there is room for",
	    "192.0.2.1 a b\n192.0.2.2 c d e\n192.0.2.3 f\n", 3,
	    "a 192.0.2.1;b 192.0.2.1;c 192.0.2.2;" },
};

START_TEST(test_hosts)
{
	char got[WANT_MAX] = "", addr[NETADDR_TEXT_MAX];
	struct egress_host rows[ROWS_MAX];
	size_t n, i;

	n = egress_hosts_parse(
	    hosts[_i].text, strlen(hosts[_i].text), rows, hosts[_i].max);
	ck_assert_uint_le(n, hosts[_i].max);
	for (i = 0; i < n; i++) {
		strlcat(got, rows[i].name, sizeof(got));
		strlcat(got, " ", sizeof(got));
		strlcat(got, netaddr_text(&rows[i].addr, addr), sizeof(got));
		strlcat(got, ";", sizeof(got));
	}
	ck_assert_msg(strcmp(got, hosts[_i].want) == 0, "%s: got %s",
	    hosts[_i].name, got);
}
END_TEST

START_TEST(test_hosts_nul)
{
	static const char text[] = "192.0.2.1 a\0b c\n\0\n192.0.2.\0 1 d\n";
	struct egress_host rows[ROWS_MAX];

	ck_assert_uint_eq(
	    egress_hosts_parse(text, sizeof(text) - 1, rows, ROWS_MAX), 1);
	ck_assert_str_eq(rows[0].name, "c");
}
END_TEST

static const struct {
	const char *name;
	const char *text;
	size_t max;
	const char *want;
} resolv[] = {
	{ "empty", "", ROWS_MAX, "" },
	{ "one", "nameserver 192.0.2.1\n", ROWS_MAX, "192.0.2.1;" },
	{ "no newline at the end", "nameserver 192.0.2.1", ROWS_MAX,
	    "192.0.2.1;" },
	{ "two families", "nameserver\t192.0.2.1\nnameserver 2001:db8::1\n",
	    ROWS_MAX, "192.0.2.1;2001:db8::1;" },
	{ "other keywords",
	    "domain a\nsearch b\noptions ndots:1\nnameservers 192.0.2.2\n"
	    "name 192.0.2.3\nnameserver 192.0.2.1\nsortlist 192.0.2.4\n",
	    ROWS_MAX, "192.0.2.1;" },
	{ "comments",
	    "# nameserver 192.0.2.2\n;nameserver 192.0.2.3\n"
	    "nameserver 192.0.2.1 # x\nnameserver 192.0.2.4;x\n",
	    ROWS_MAX, "192.0.2.1;192.0.2.4;" },
	{ "not at the start of its line", " nameserver 192.0.2.1\n", ROWS_MAX,
	    "" },
	{ "no address",
	    "nameserver\nnameserver x\nnameserver fe80::1%eth0\n"
	    "nameserver 192.0.2.1:53\n",
	    ROWS_MAX, "" },
	{ "carriage return", "nameserver 192.0.2.1\r\n", ROWS_MAX,
	    "192.0.2.1;" },
	{ "never more than there is room for",
	    "nameserver 192.0.2.1\nnameserver 192.0.2.2\n", 1, "192.0.2.1;" },
};

START_TEST(test_resolv)
{
	char got[WANT_MAX] = "", addr[NETADDR_TEXT_MAX];
	struct egress_server rows[ROWS_MAX];
	size_t n, i;

	n = egress_resolv_parse(
	    resolv[_i].text, strlen(resolv[_i].text), rows, resolv[_i].max);
	ck_assert_uint_le(n, resolv[_i].max);
	for (i = 0; i < n; i++) {
		ck_assert_uint_eq(rows[i].port, 53);
		strlcat(got, netaddr_text(&rows[i].addr, addr), sizeof(got));
		strlcat(got, ";", sizeof(got));
	}
	ck_assert_msg(strcmp(got, resolv[_i].want) == 0, "%s: got %s",
	    resolv[_i].name, got);
}
END_TEST

#define LOOP(tc, fn, table) \
	tcase_add_loop_test(tc, fn, 0, sizeof(table) / sizeof(table[0]))

int
main(void)
{
	Suite *s = suite_create("egressd_config_hosts");
	TCase *tc = tcase_create("hosts");
	SRunner *sr;
	int failed;

	LOOP(tc, test_hosts, hosts);
	tcase_add_test(tc, test_hosts_nul);
	LOOP(tc, test_resolv, resolv);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
