#include <check.h>
#include <stdlib.h>

#include "agent-cli/entrypoint_plan.c"

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

static struct probe_plan plan;
static char why[128];

static const char *const siblings[] = { "10.201.0.8/29", "10.201.0.17",
	"10.201.0.25:8080" };

static struct probe_input
input(void)
{
	struct probe_input in = { .run = "abcdefghijkl",
		.proxy = "10.201.0.1:3128",
		.canary = "10.201.0.1:3129",
		.gateway = "10.201.0.1",
		.siblings = { siblings, 3 },
		.interfaces = { 7, 9 },
		.ninterfaces = 2 };

	return in;
}

static unsigned
count(const char *check)
{
	unsigned n = 0;
	size_t i;

	for (i = 0; i < plan.n; i++)
		n += strcmp(plan.v[i].check, check) == 0;
	return n;
}

static bool
has(const char *check, enum probe_kind kind, const char *addr, unsigned port)
{
	char a[NETADDR_TEXT_MAX];
	size_t i;

	for (i = 0; i < plan.n; i++)
		if (strcmp(plan.v[i].check, check) == 0 &&
		    plan.v[i].kind == kind && plan.v[i].port == port &&
		    strcmp(netaddr_text(&plan.v[i].addr, a), addr) == 0)
			return true;
	return false;
}

static const struct {
	const char *check;
	enum probe_kind kind;
	const char *addr;
	unsigned port;
} wanted[] = {
	{ "proxy answers", PROBE_PROXY, "10.201.0.1", 3128 },
	{ "canary tcp", PROBE_TCP, "10.201.0.1", 3129 },
	{ "canary udp", PROBE_UDP, "10.201.0.1", 3129 },
	{ "direct tcp v4", PROBE_TCP, "192.0.2.1", 80 },
	{ "direct tcp v4", PROBE_TCP, "198.51.100.1", 443 },
	{ "direct tcp v4", PROBE_TCP, "203.0.113.1", 53 },
	{ "direct tcp v6", PROBE_TCP6, "2001:db8::1", 443 },
	{ "direct udp", PROBE_UDP, "192.0.2.1", 123 },
	{ "direct udp", PROBE_UDP, "2001:db8::1", 53 },
	{ "gateway ports", PROBE_TCP, "10.201.0.1", 22 },
	{ "gateway ports", PROBE_TCP, "10.201.0.1", 80 },
	{ "gateway ports", PROBE_TCP, "10.201.0.1", 443 },
	{ "gateway ports", PROBE_TCP, "10.201.0.1", 2375 },
	{ "gateway ports", PROBE_TCP, "10.201.0.1", 2376 },
	{ "gateway ports", PROBE_TCP, "10.201.0.1", 8080 },
	{ "gateway ports", PROBE_TCP, "10.201.0.1", 3130 },
	{ "gateway udp", PROBE_UDP, "10.201.0.1", 443 },
	{ "dns gateway", PROBE_UDP, "10.201.0.1", 53 },
	{ "dns gateway", PROBE_TCP, "10.201.0.1", 53 },
	{ "dns 127.0.0.11", PROBE_DNS_UDP, "127.0.0.11", 53 },
	{ "dns 127.0.0.11", PROBE_DNS_TCP, "127.0.0.11", 53 },
	{ "metadata", PROBE_TCP, "169.254.169.254", 80 },
	{ "metadata v6", PROBE_TCP6, "fd00:ec2::254", 80 },
	{ "icmp", PROBE_ICMP, "10.201.0.1", 0 },
	{ "icmp", PROBE_ICMP, "192.0.2.1", 0 },
	{ "link-local v6", PROBE_ICMP, "ff02::1", 0 },
	{ "link-local v6", PROBE_TCP6, "fe80::1", 80 },
	{ "siblings", PROBE_TCP, "10.201.0.9", 3128 },
	{ "siblings", PROBE_TCP, "10.201.0.10", 80 },
	{ "siblings", PROBE_TCP, "10.201.0.17", 3128 },
	{ "siblings", PROBE_TCP, "10.201.0.25", 8080 },
};

START_TEST(whole)
{
	struct probe_input in = input();

	ck_assert_int_eq(probe_plan(&in, &plan, why, sizeof(why)), 0);
	ck_assert_msg(has(wanted[_i].check, wanted[_i].kind, wanted[_i].addr,
	                  wanted[_i].port),
	    "%s %s %u", wanted[_i].check, wanted[_i].addr, wanted[_i].port);
}
END_TEST

START_TEST(link_local)
{
	struct probe_input in = input();
	size_t i;

	ck_assert_int_eq(probe_plan(&in, &plan, why, sizeof(why)), 0);
	ck_assert_uint_eq(count("link-local v6"), 8);
	for (i = 0; i < plan.n; i++)
		ck_assert_int_eq(plan.v[i].scope != 0,
		    strcmp(plan.v[i].check, "link-local v6") == 0);
	in.ninterfaces = 0;
	ck_assert_int_eq(probe_plan(&in, &plan, why, sizeof(why)), 0);
	ck_assert_uint_eq(count("link-local v6"), 0);
}
END_TEST

/* The proxy's own port is not one that must be closed. */
START_TEST(proxy_on_8080)
{
	struct probe_input in = input();

	in.proxy = "10.201.0.1:8080";
	in.siblings.n = 0;
	ck_assert_int_eq(probe_plan(&in, &plan, why, sizeof(why)), 0);
	ck_assert(!has("gateway ports", PROBE_TCP, "10.201.0.1", 8080));
	in.proxy = "10.201.0.1:65534";
	ck_assert_int_eq(probe_plan(&in, &plan, why, sizeof(why)), 0);
	ck_assert(!has("gateway ports", PROBE_TCP, "10.201.0.1", 0));
}
END_TEST

static const struct {
	const char *name, *proxy, *canary, *gateway, *sibling;
} bad[] = {
	{ "proxy without port", "10.0.0.1", "10.0.0.1:2", "10.0.0.1", NULL },
	{ "proxy is a name", "proxy:1", "10.0.0.1:2", "10.0.0.1", NULL },
	{ "no canary", "10.0.0.1:1", "", "10.0.0.1", NULL },
	{ "no gateway", "10.0.0.1:1", "10.0.0.1:2", "gateway", NULL },
	{ "sibling is a name", "10.0.0.1:1", "10.0.0.1:2", "10.0.0.1", "x" },
	{ "sibling prefix too small", "10.0.0.1:1", "10.0.0.1:2", "10.0.0.1",
	    "10.0.0.0/31" },
	{ "sibling prefix v6", "10.0.0.1:1", "10.0.0.1:2", "10.0.0.1",
	    "fd00::/64" },
	{ "sibling with host bits", "10.0.0.1:1", "10.0.0.1:2", "10.0.0.1",
	    "10.0.0.9/29" },
};

START_TEST(refused)
{
	const char *one[] = { bad[_i].sibling };
	struct probe_input in = { .run = "abcdefghijkl",
		.proxy = bad[_i].proxy,
		.canary = bad[_i].canary,
		.gateway = bad[_i].gateway,
		.siblings = { one, one[0] != NULL } };

	why[0] = '\0';
	ck_assert_msg(
	    probe_plan(&in, &plan, why, sizeof(why)) == -1, "%s", bad[_i].name);
	ck_assert_str_ne(why, "");
}
END_TEST

/* As many siblings and interfaces as there may be still fit. */
START_TEST(largest)
{
	const char *many[16];
	struct probe_input in = input();
	int i;

	for (i = 0; i < 16; i++)
		many[i] = "10.201.0.8/29";
	in.siblings.v = many;
	in.siblings.n = 16;
	in.ninterfaces = PROBE_INTERFACES_MAX;
	ck_assert_int_eq(probe_plan(&in, &plan, why, sizeof(why)), 0);
	ck_assert_uint_lt(plan.n, PROBES_MAX);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("entrypoint_plan");
	TCase *t = tcase_create("plan");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, whole, 0, ROWS(wanted));
	tcase_add_test(t, link_local);
	tcase_add_test(t, proxy_on_8080);
	tcase_add_loop_test(t, refused, 0, ROWS(bad));
	tcase_add_test(t, largest);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
