#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/resolver.h"

static const struct {
	const char *name, *address;
	int want;
} servers[] = {
	{ "IPv4", "192.0.2.53", 0 },
	{ "IPv6", "2001:db8::53", 0 },
	{ "a name", "localhost", -1 },
	{ "a zone", "fe80::1%eth0", -1 },
	{ "short form", "127.1", -1 },
	{ "with a port", "192.0.2.53:53", -1 },
};

START_TEST(add_server)
{
	struct resolver_table *t = calloc(1, sizeof(*t));
	struct msg_server_row row = { .address = servers[_i].address,
		.port = 5353 };
	char text[NETADDR_TEXT_MAX];

	ck_assert_ptr_nonnull(t);
	ck_assert_msg(resolver_table_add_server(t, &row) == servers[_i].want,
	    "%s", servers[_i].name);
	ck_assert_uint_eq(t->nservers, servers[_i].want == 0 ? 1 : 0);
	if (servers[_i].want == 0) {
		ck_assert_str_eq(netaddr_text(&t->servers[0].addr, text),
		    servers[_i].address);
		ck_assert_uint_eq(t->servers[0].port, 5353);
	}
	ck_assert_int_eq(resolver_table_add_server(NULL, &row), -1);
	free(t);
}
END_TEST

static const struct {
	const char *what, *name, *address;
	int want;
} hosts[] = {
	{ "IPv4", "a.example", "192.0.2.1", 0 },
	{ "IPv6", "a.example", "2001:db8::1", 0 },
	{ "case is folded", "A.Example", "192.0.2.1", 0 },
	{ "bad name", "a b", "192.0.2.1", -1 },
	{ "address as name", "192.0.2.1", "192.0.2.1", -1 },
	{ "bad address", "a.example", "192.0.2", -1 },
};

START_TEST(add_host)
{
	struct resolver_table *t = calloc(1, sizeof(*t));
	struct msg_host_row row = { .name = hosts[_i].name,
		.address = hosts[_i].address };
	struct dns_answer a;

	ck_assert_ptr_nonnull(t);
	ck_assert_msg(resolver_table_add_host(t, &row) == hosts[_i].want, "%s",
	    hosts[_i].what);
	ck_assert_uint_eq(t->nhosts, hosts[_i].want == 0 ? 1 : 0);
	ck_assert_int_eq(resolver_table_find(t, "a.example", &a),
	    hosts[_i].want == 0 ? RESOLVER_HOST_FOUND : RESOLVER_HOST_UNKNOWN);
	ck_assert_int_eq(resolver_table_add_host(NULL, &row), -1);
	free(t);
}
END_TEST

START_TEST(limits)
{
	struct resolver_table *t = calloc(1, sizeof(*t));
	struct msg_server_row server = { .address = "192.0.2.53", .port = 53 };
	struct msg_host_row host = { .name = "a.example", .address = NULL };
	char text[NETADDR_TEXT_MAX];
	struct dns_answer a;
	unsigned i;

	ck_assert_ptr_nonnull(t);
	for (i = 0; i < EGRESS_SERVERS_MAX; i++)
		ck_assert_int_eq(resolver_table_add_server(t, &server), 0);
	ck_assert_int_eq(resolver_table_add_server(t, &server), -1);
	host.address = text;
	for (i = 0; i < EGRESS_HOSTS_MAX; i++) {
		snprintf(text, sizeof(text), "10.0.%u.%u", i / 256, i % 256);
		host.name =
		    i < EGRESS_ADDRESSES_MAX ? "a.example" : "b.example";
		ck_assert_int_eq(resolver_table_add_host(t, &host), 0);
	}
	ck_assert_int_eq(resolver_table_add_host(t, &host), -1);
	ck_assert_int_eq(
	    resolver_table_find(t, "a.example", &a), RESOLVER_HOST_FOUND);
	ck_assert_uint_eq(a.naddr, EGRESS_ADDRESSES_MAX);
	ck_assert_int_eq(
	    resolver_table_find(t, "b.example", &a), RESOLVER_HOST_TOO_MANY);
	ck_assert_int_eq(
	    resolver_table_find(t, "example", &a), RESOLVER_HOST_UNKNOWN);
	free(t);
}
END_TEST

#define ROWS(t) ((int)(sizeof(t) / sizeof((t)[0])))

int
main(void)
{
	Suite *suite = suite_create("resolver_table");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, add_server, 0, ROWS(servers));
	tcase_add_loop_test(tc, add_host, 0, ROWS(hosts));
	tcase_add_test(tc, limits);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
