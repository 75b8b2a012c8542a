/* The table of what a run was denied. */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/proxy_run_denials.c"

static struct denials denials;
static struct denial_count top[PROXY_RUN_DENIALS_TOLD];

static void
setup(void)
{
	denials_init(&denials);
}

static void
teardown(void)
{
	denials_free(&denials);
}

static void
add(const char *host, uint16_t port, const char *code, int times)
{
	while (times-- > 0)
		denials_add(&denials, host, port, code);
}

/* --- keys ------------------------------------------------------------- */

static const struct {
	const char *host;
	uint16_t port;
	const char *code, *want;
} keys[] = {
	{ "evil.test", 443, "host", "evil.test:443 host" },
	{ "2001:db8::1", 65535, "ip_literal", "2001:db8::1:65535 ip_literal" },
	{ "", 0, "limit", "-:0 limit" },
	{ "\\x00\\xff", 0, "malformed", "\\x00\\xff:0 malformed" },
};

START_TEST(key)
{
	add(keys[_i].host, keys[_i].port, keys[_i].code, 2);
	ck_assert_uint_eq(denials_top(&denials, top), 1);
	ck_assert_str_eq(top[0].key, keys[_i].want);
	ck_assert_uint_eq(top[0].count, 2);
}
END_TEST

/* Port and code stand in the key, however long the host is. */
START_TEST(long_host)
{
	char host[1024];

	memset(host, 'a', sizeof(host) - 1);
	host[sizeof(host) - 1] = '\0';
	add(host, 65535, "address_prohibited", 1);
	ck_assert_uint_eq(denials_top(&denials, top), 1);
	ck_assert_uint_le(strlen(top[0].key), PROXY_DENIAL_KEY_MAX);
	ck_assert_ptr_nonnull(strstr(top[0].key, "a:65535 address_prohibited"));
}
END_TEST

/* The longest code fits behind the longest host. */
START_TEST(codes)
{
	const struct egress_code_info *info;
	enum egress_code code;

	for (code = CODE_ok + 1; code < CODE_MAX; code++) {
		info = egress_code_info(code);
		ck_assert_uint_lt(
		    strlen(info->name) + strlen(":65535 "), KEY_TAIL_MAX);
	}
}
END_TEST

/* --- counts ----------------------------------------------------------- */

START_TEST(order)
{
	add("b.test", 443, "host", 2);
	add("a.test", 443, "host", 1);
	add("c.test", 443, "host", 3);
	add("c.test", 443, "port", 2);
	ck_assert_uint_eq(denials_top(&denials, top), 4);
	ck_assert_str_eq(top[0].key, "c.test:443 host");
	ck_assert_str_eq(top[1].key, "b.test:443 host");
	ck_assert_str_eq(top[2].key, "c.test:443 port");
	ck_assert_str_eq(top[3].key, "a.test:443 host");
	ck_assert_uint_eq(top[0].count, 3);
	ck_assert_uint_eq(top[3].count, 1);
}
END_TEST

START_TEST(empty)
{
	ck_assert_uint_eq(denials_top(&denials, top), 0);
}
END_TEST

/* The most frequent ones come, wherever they stand in the tree. */
START_TEST(most_frequent)
{
	const size_t last = PROXY_RUN_DENIALS_TOLD - 1;
	uint64_t told = 0;
	char host[32];
	size_t i;

	for (i = 0; i < PROXY_RUN_DENIALS_MAX; i++) {
		snprintf(host, sizeof(host), "n%03zu.test", i);
		add(host, 1, "host", 1 + (int)(i * 37 % PROXY_RUN_DENIALS_MAX));
	}
	ck_assert_uint_eq(denials_top(&denials, top), PROXY_RUN_DENIALS_TOLD);
	for (i = 0; i < last; i++) {
		ck_assert_uint_eq(top[i].count, PROXY_RUN_DENIALS_MAX - i);
		told += top[i].count;
	}
	/* And what is told adds up. */
	ck_assert_str_eq(top[last].key, "others");
	ck_assert_uint_eq(top[last].count + told, denials.total);
}
END_TEST

/* "others" is told, whatever it displaces; those that are in go on. */
START_TEST(overflow)
{
	const size_t last = PROXY_RUN_DENIALS_TOLD - 1;
	char host[32];
	size_t i;

	for (i = 0; i < PROXY_RUN_DENIALS_MAX + 40; i++) {
		snprintf(host, sizeof(host), "n%03zu.test", i);
		add(host, 1, "host", 1);
	}
	add("n000.test", 1, "host", 1);
	ck_assert_uint_eq(denials.n, PROXY_RUN_DENIALS_MAX);
	ck_assert_uint_eq(denials_top(&denials, top), PROXY_RUN_DENIALS_TOLD);
	ck_assert_str_eq(top[0].key, "n000.test:1 host");
	ck_assert_uint_eq(top[0].count, 2);
	ck_assert_str_eq(top[last].key, "others");
	ck_assert_uint_eq(top[last].count, denials.total - 2 - (last - 1));
}
END_TEST

/* A storm of different names stays cheap: no name costs more than the last. */
START_TEST(storm)
{
	char host[32];
	int i;

	for (i = 0; i < 500000; i++) {
		snprintf(host, sizeof(host), "n%d.test", i);
		denials_add(&denials, host, 443, "host");
	}
	ck_assert_uint_eq(denials.n, PROXY_RUN_DENIALS_MAX);
	ck_assert_uint_eq(denials.others, 500000 - PROXY_RUN_DENIALS_MAX);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("proxy_run_denials");
	TCase *tc = tcase_create("denials");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 20);
	tcase_add_loop_test(tc, key, 0, sizeof(keys) / sizeof(keys[0]));
	tcase_add_test(tc, long_host);
	tcase_add_test(tc, codes);
	tcase_add_test(tc, order);
	tcase_add_test(tc, empty);
	tcase_add_test(tc, most_frequent);
	tcase_add_test(tc, overflow);
	tcase_add_test(tc, storm);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
