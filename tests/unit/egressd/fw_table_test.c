#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "egressd/fw_table.c"

#define A "abcdefghijkl"
#define B "mnopqrstuvwx"

static const char *const one_network[] = { "10.201.0.0/16" };

/* --- the base --------------------------------------------------------- */

static const struct {
	const char *name;
	const char *table, *prefix, *network;
	int64_t port, uid;
	int want;
} bases[] = {
	{ "as configured", "bulkhead", "bh-", "10.201.0.0/16", 3128, 995, 0 },
	{ "shortest", "b", "b-", "10.0.0.0/8", 1, 1, 0 },
	{ "longest", "b2345678901234567890123456789-_Z", "99-", "10.0.0.0/29",
	    65534, 4294967294, 0 },
	{ "no table", "", "bh-", "10.201.0.0/16", 3128, 995, -1 },
	{ "table too long", "b23456789012345678901234567890123", "bh-",
	    "10.201.0.0/16", 3128, 995, -1 },
	{ "table of a digit", "1", "bh-", "10.201.0.0/16", 3128, 995, -1 },
	{ "table with a blank", "b b", "bh-", "10.201.0.0/16", 3128, 995, -1 },
	{ "table of others' bytes", "b\xc3\xa9", "bh-", "10.201.0.0/16", 3128,
	    995, -1 },
	{ "no prefix", "b", "", "10.201.0.0/16", 3128, 995, -1 },
	{ "prefix of a dash", "b", "-", "10.201.0.0/16", 3128, 995, -1 },
	{ "prefix without dash", "b", "eth", "10.201.0.0/16", 3128, 995, -1 },
	{ "prefix with two", "b", "b--", "10.201.0.0/16", 3128, 995, -1 },
	{ "prefix too long", "b", "bhh-", "10.201.0.0/16", 3128, 995, -1 },
	{ "prefix of capitals", "b", "BH-", "10.201.0.0/16", 3128, 995, -1 },
	{ "network of all", "b", "bh-", "0.0.0.0/0", 3128, 995, -1 },
	{ "network too wide", "b", "bh-", "10.0.0.0/7", 3128, 995, -1 },
	{ "network of IPv6", "b", "bh-", "fd00::/64", 3128, 995, -1 },
	{ "network with host bits", "b", "bh-", "10.201.0.1/16", 3128, 995,
	    -1 },
	{ "no network", "b", "bh-", NULL, 3128, 995, -1 },
	{ "port 0", "b", "bh-", "10.201.0.0/16", 0, 995, -1 },
	{ "no port for the canary", "b", "bh-", "10.201.0.0/16", 65535, 995,
	    -1 },
	{ "root's rules", "b", "bh-", "10.201.0.0/16", 3128, 0, -1 },
	{ "uid that is none", "b", "bh-", "10.201.0.0/16", 3128, 4294967295,
	    -1 },
};

START_TEST(test_base)
{
	struct msg_fw_base m = { .table = bases[_i].table,
		.prefix = bases[_i].prefix,
		.port = bases[_i].port,
		.proxy_uid = bases[_i].uid,
		.parent_uid = bases[_i].uid };
	struct fw_base b, before;

	m.networks.v = &bases[_i].network;
	m.networks.n = bases[_i].network != NULL;
	memset(&b, 0x5a, sizeof(b));
	before = b;
	ck_assert_msg(
	    fw_base_set(&b, &m) == bases[_i].want, "%s", bases[_i].name);
	if (bases[_i].want == -1) {
		ck_assert_mem_eq(&b, &before, sizeof(b));
		return;
	}
	ck_assert_str_eq(b.table, bases[_i].table);
	ck_assert_str_eq(b.prefix, bases[_i].prefix);
	ck_assert_uint_eq(b.port, bases[_i].port);
	ck_assert_uint_eq(b.proxy_uid, bases[_i].uid);
	ck_assert_uint_eq(b.parent_uid, bases[_i].uid);
	ck_assert_uint_eq(b.nnetworks, 1);
}
END_TEST

/* --- addresses -------------------------------------------------------- */

static struct fw_base
base(void)
{
	struct msg_fw_base m = { .table = "bulkhead",
		.prefix = "bh-",
		.port = 3128,
		.proxy_uid = 995,
		.parent_uid = 994 };
	struct fw_base b;

	m.networks.v = one_network;
	m.networks.n = 1;
	ck_assert_int_eq(fw_base_set(&b, &m), 0);
	return b;
}

static struct netaddr
addr(const char *text)
{
	struct netaddr a;

	ck_assert_int_eq(netaddr_parse(text, strlen(text), &a), 0);
	return a;
}

static const struct {
	const char *text;
	bool want;
} addresses[] = {
	{ "10.201.0.1", true },
	{ "10.201.255.254", true },
	{ "10.200.255.255", false },
	{ "10.202.0.0", false },
	{ "127.0.0.1", false },
	{ "::ffff:10.201.0.1", false },
	{ "ac9::1", false },
};

START_TEST(test_holds)
{
	struct fw_base b = base();
	struct netaddr a = addr(addresses[_i].text);

	ck_assert_msg(fw_base_holds(&b, &a) == addresses[_i].want, "%s",
	    addresses[_i].text);
}
END_TEST

/* --- runs ------------------------------------------------------------- */

static void
put(struct fw_runs *r, const char *id, const char *address)
{
	struct fw_base b = base();
	struct netaddr a = addr(address);
	struct fw_run run;

	ck_assert_int_eq(fw_runs_judge(r, id, &a), FW_NEW);
	fw_run_set(&run, &b, id, &a);
	fw_runs_add(r, &run);
}

static const struct {
	const char *id, *address;
	enum fw_verdict want;
} verdicts[] = {
	{ A, "10.201.0.1", FW_SAME },
	{ B, "10.201.0.9", FW_SAME },
	{ A, "10.201.0.9", FW_CONFLICT },
	{ B, "10.201.0.1", FW_CONFLICT },
	{ A, "10.201.0.17", FW_CONFLICT },
	{ "aaaaaaaaaaaa", "10.201.0.9", FW_CONFLICT },
	{ "aaaaaaaaaaaa", "10.201.0.17", FW_NEW },
};

START_TEST(test_judge)
{
	struct netaddr a = addr(verdicts[_i].address);
	struct fw_runs r = { .n = 0 };

	put(&r, A, "10.201.0.1");
	put(&r, B, "10.201.0.9");
	ck_assert_int_eq(
	    fw_runs_judge(&r, verdicts[_i].id, &a), verdicts[_i].want);
}
END_TEST

START_TEST(test_limit)
{
	char id[RUNID_LEN + 1] = "aaaaaaaaaaaa", text[NETADDR_TEXT_MAX];
	struct fw_runs r = { .n = 0 };
	struct netaddr a;
	int i;

	for (i = 0; i < EGRESS_RUNS_MAX; i++) {
		id[0] = (char)('a' + i % 26);
		id[1] = (char)('a' + i / 26);
		snprintf(text, sizeof(text), "10.201.1.%d", i);
		put(&r, id, text);
	}
	a = addr(text);
	ck_assert_int_eq(fw_runs_judge(&r, id, &a), FW_SAME);
	ck_assert_int_eq(fw_runs_judge(&r, B, &a), FW_CONFLICT);
	a = addr("10.201.0.1");
	ck_assert_int_eq(fw_runs_judge(&r, B, &a), FW_LIMIT);
	fw_runs_remove(&r, id);
	ck_assert_int_eq(fw_runs_judge(&r, B, &a), FW_NEW);
}
END_TEST

START_TEST(test_runs)
{
	struct fw_runs r = { .n = 0 };
	struct fw_run *run;

	put(&r, A, "10.201.0.1");
	put(&r, B, "10.201.0.9");
	ck_assert_ptr_nonnull(run = fw_runs_find(&r, B));
	ck_assert_str_eq(run->interface, "bh-" B);
	ck_assert_ptr_eq(fw_runs_find_interface(&r, "bh-" B), run);
	ck_assert_ptr_null(fw_runs_find_interface(&r, B));
	run->refused = 3;
	fw_runs_carry(&r);
	ck_assert_uint_eq(run->refused, 0);
	ck_assert_uint_eq(run->carried, 3);
	run->refused = 4;
	fw_runs_carry(&r);
	ck_assert_uint_eq(run->carried, 7);
	fw_runs_remove(&r, A);
	fw_runs_remove(&r, A);
	ck_assert_uint_eq(r.n, 1);
	ck_assert_ptr_null(fw_runs_find(&r, A));
	ck_assert_uint_eq(fw_runs_find(&r, B)->carried, 7);
	fw_runs_remove(&r, B);
	ck_assert_uint_eq(r.n, 0);
}
END_TEST

#define LOOP(t, test, rows) \
	tcase_add_loop_test(t, test, 0, sizeof(rows) / sizeof((rows)[0]))

int
main(void)
{
	Suite *s = suite_create("fw_table");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	LOOP(t, test_base, bases);
	LOOP(t, test_holds, addresses);
	LOOP(t, test_judge, verdicts);
	tcase_add_test(t, test_limit);
	tcase_add_test(t, test_runs);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
