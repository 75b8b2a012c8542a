#include <check.h>
#include <stdlib.h>

#include "egressd/proxy_codes.c"

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

/* The codes of INTERFACE.md, "Answers of the proxy". */
static const struct {
	const char *name;
	int status;
	enum egress_code code;
} want_codes[] = {
	{ "ok", 200, CODE_ok },
	{ "malformed", 400, CODE_malformed },
	{ "not_http1", 400, CODE_not_http1 },
	{ "host", 403, CODE_host },
	{ "port", 403, CODE_port },
	{ "ip_literal", 403, CODE_ip_literal },
	{ "address_prohibited", 403, CODE_address_prohibited },
	{ "address_private", 403, CODE_address_private },
	{ "self", 403, CODE_self },
	{ "method", 403, CODE_method },
	{ "sni", 403, CODE_sni },
	{ "auth", 407, CODE_auth },
	{ "timeout", 408, CODE_timeout },
	{ "misdirected", 421, CODE_misdirected },
	{ "limit", 429, CODE_limit },
	{ "budget", 429, CODE_budget },
	{ "dns_budget", 429, CODE_dns_budget },
	{ "too_large", 431, CODE_too_large },
	{ "dns_nxdomain", 502, CODE_dns_nxdomain },
	{ "dns_failed", 502, CODE_dns_failed },
	{ "dns_empty", 502, CODE_dns_empty },
	{ "connect_refused", 502, CODE_connect_refused },
	{ "connect_failed", 502, CODE_connect_failed },
	{ "upstream", 502, CODE_upstream },
	{ "no_policy", 503, CODE_no_policy },
	{ "unrecordable", 503, CODE_unrecordable },
	{ "overloaded", 503, CODE_overloaded },
	{ "draining", 503, CODE_draining },
	{ "dns_timeout", 504, CODE_dns_timeout },
	{ "connect_timeout", 504, CODE_connect_timeout },
};

START_TEST(test_code)
{
	enum egress_code code = want_codes[_i].code;
	const struct egress_code_info *info;

	info = egress_code_info(code);
	ck_assert_ptr_nonnull(info);
	ck_assert_str_eq(info->name, want_codes[_i].name);
	ck_assert_int_eq(info->status, want_codes[_i].status);
	ck_assert_int_eq(egress_code_by_name(want_codes[_i].name), code);
	if (code == CODE_ok)
		return;
	/* Both go into a header and a sentence unescaped. */
	ck_assert_uint_gt(strlen(info->error), 0);
	ck_assert_uint_gt(strlen(info->sentence), 0);
	ck_assert_ptr_null(strpbrk(info->error, "\"\\;, \r\n"));
	ck_assert_ptr_null(strpbrk(info->sentence, "\"\\\r\n"));
}
END_TEST

START_TEST(test_code_unknown)
{
	ck_assert_int_eq(ROWS(want_codes), CODE_MAX);
	ck_assert_ptr_null(egress_code_info(CODE_MAX));
	ck_assert_ptr_null(egress_code_info((enum egress_code) - 1));
	ck_assert_int_eq(egress_code_by_name(""), CODE_MAX);
	ck_assert_int_eq(egress_code_by_name("HOST"), CODE_MAX);
	ck_assert_int_eq(egress_code_by_name("hosts"), CODE_MAX);
}
END_TEST

static const struct {
	const char *name;
	uint8_t alert;
	enum egress_end end;
} want_ends[] = {
	{ "none", 0, END_none },
	{ "done", 0, END_done },
	{ "sni_mismatch", 112, END_sni_mismatch },
	{ "no_sni", 112, END_no_sni },
	{ "ech", 49, END_ech },
	{ "not_tls", 0, END_not_tls },
	{ "malformed_hello", 50, END_malformed_hello },
	{ "no_hello", 0, END_no_hello },
	{ "second_hello", 112, END_second_hello },
	{ "revoked", 0, END_revoked },
	{ "run_closed", 0, END_run_closed },
	{ "idle", 0, END_idle },
	{ "budget", 0, END_budget },
	{ "peer_reset", 0, END_peer_reset },
	{ "shutdown", 0, END_shutdown },
};

START_TEST(test_end)
{
	ck_assert_str_eq(
	    egress_end_name(want_ends[_i].end), want_ends[_i].name);
	ck_assert_uint_eq(
	    egress_end_alert(want_ends[_i].end), want_ends[_i].alert);
}
END_TEST

START_TEST(test_end_unknown)
{
	ck_assert_int_eq(ROWS(want_ends), END_MAX);
	ck_assert_str_eq(egress_end_name(END_MAX), "none");
	ck_assert_uint_eq(egress_end_alert(END_MAX), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("proxy_codes");
	TCase *tc = tcase_create("proxy_codes");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, test_code, 0, ROWS(want_codes));
	tcase_add_test(tc, test_code_unknown);
	tcase_add_loop_test(tc, test_end, 0, ROWS(want_ends));
	tcase_add_test(tc, test_end_unknown);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
