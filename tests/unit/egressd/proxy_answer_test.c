/* What the proxy answers when it refuses. */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/json.h"

/* The file under test gets its writer from here, which may have no memory. */
static struct json_writer *writer_new(size_t cap);
#define json_writer_new writer_new
#include "egressd/proxy_answer.c"
#undef json_writer_new

static bool out_of_memory;

static struct json_writer *
writer_new(size_t cap)
{
	return out_of_memory ? NULL : json_writer_new(cap);
}

START_TEST(test_exact)
{
	static const struct {
		struct proxy_answer a;
		const char *want;
	} table[] = {
		{ { CODE_host, NULL, "abcdefghijkl", "evil.com", 443, NULL },
		    "HTTP/1.1 403 egress-host\r\n"
		    "Proxy-Status: bulkhead; error=http_request_denied; "
		    "details=\"host\"\r\n"
		    "Content-Type: application/json\r\n"
		    "Content-Length: 133\r\n"
		    "Connection: close\r\n\r\n"
		    "{\"error\":\"host\",\"reason\":\"no rule of this profile "
		    "lets this host pass\",\"run\":\"abcdefghijkl\","
		    "\"host\":\"evil.com\",\"port\":443,\"rule\":null}" },
		{ { CODE_malformed, "two Hosts", NULL, NULL, 0, NULL },
		    "HTTP/1.1 400 egress-malformed\r\n"
		    "Proxy-Status: bulkhead; error=http_request_error; "
		    "details=\"malformed\"\r\n"
		    "Content-Type: application/json\r\n"
		    "Content-Length: 89\r\n"
		    "Connection: close\r\n\r\n"
		    "{\"error\":\"malformed\",\"reason\":\"two Hosts\","
		    "\"run\":null,\"host\":null,\"port\":null,"
		    "\"rule\":null}" },
		{ { CODE_no_policy, "r", "x", "h", 65535, "p[0]" },
		    "HTTP/1.1 503 egress-no_policy\r\n"
		    "Proxy-Status: bulkhead; error=proxy_configuration_error;"
		    " details=\"no_policy\"\r\n"
		    "Content-Type: application/json\r\n"
		    "Content-Length: 82\r\n"
		    "Connection: close\r\n"
		    "Retry-After: 1\r\n\r\n"
		    "{\"error\":\"no_policy\",\"reason\":\"r\",\"run\":\"x\","
		    "\"host\":\"h\",\"port\":65535,\"rule\":\"p[0]\"}" },
		{ { CODE_auth, "r", NULL, NULL, 0, NULL },
		    "HTTP/1.1 407 egress-auth\r\n"
		    "Proxy-Status: bulkhead; error=http_request_denied; "
		    "details=\"auth\"\r\n"
		    "Content-Type: application/json\r\n"
		    "Content-Length: 76\r\n"
		    "Connection: close\r\n"
		    "Proxy-Authenticate: Basic realm=\"bulkhead\"\r\n\r\n"
		    "{\"error\":\"auth\",\"reason\":\"r\",\"run\":null,"
		    "\"host\":null,\"port\":null,\"rule\":null}" },
	};
	char buf[PROXY_ANSWER_MAX];
	size_t i, n;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		n = proxy_answer_format(&table[i].a, buf);
		ck_assert_uint_lt(n, sizeof(buf));
		ck_assert_uint_eq(n, strlen(buf));
		ck_assert_str_eq(buf, table[i].want);
	}
}
END_TEST

/* The body of an answer whose head must be whole and honest. */
static struct json_doc *
parse_answer(const char *buf, size_t n)
{
	struct json_error err;
	struct json_doc *doc;
	const char *blank, *length;

	ck_assert_uint_eq(n, strlen(buf));
	blank = strstr(buf, "\r\n\r\n");
	ck_assert_ptr_nonnull(blank);
	length = strstr(buf, "\r\nContent-Length: ");
	ck_assert_ptr_nonnull(length);
	ck_assert_uint_eq(strtoul(length + 18, NULL, 10), strlen(blank + 4));
	doc =
	    json_parse(blank + 4, strlen(blank + 4), &json_limits_frame, &err);
	ck_assert_msg(doc != NULL, "body: %s", blank + 4);
	return doc;
}

/* H2: each code has an answer of its own, with the status of its table. */
START_TEST(test_codes)
{
	const enum egress_code code = (enum egress_code)_i;
	const struct egress_code_info *info = egress_code_info(code);
	struct proxy_answer a = { code, NULL, NULL, "h.example", 1, NULL };
	char buf[PROXY_ANSWER_MAX], want[256];
	const struct json_node *member;
	struct json_doc *doc;
	size_t n;

	n = proxy_answer_format(&a, buf);
	doc = parse_answer(buf, n);
	snprintf(want, sizeof(want),
	    "HTTP/1.1 %d egress-%s\r\nProxy-Status: bulkhead; error=%s; "
	    "details=\"%s\"\r\n",
	    info->status, info->name, info->error, info->name);
	ck_assert_int_eq(strncmp(buf, want, strlen(want)), 0);
	member = json_member(json_root(doc), "error");
	ck_assert_str_eq(member->str, info->name);
	member = json_member(json_root(doc), "reason");
	ck_assert_str_eq(member->str, info->sentence);
	ck_assert_uint_eq(json_root(doc)->len, 6);
	json_free(&doc);
}
END_TEST

START_TEST(test_retry_after)
{
	static const struct {
		enum egress_code code;
		const char *want;
	} table[] = {
		{ CODE_no_policy, "\r\nRetry-After: 1\r\n" },
		{ CODE_overloaded, "\r\nRetry-After: 1\r\n" },
		{ CODE_draining, "\r\nRetry-After: 5\r\n" },
		{ CODE_unrecordable, "\r\nRetry-After: 5\r\n" },
		{ CODE_limit, "\r\nRetry-After: 1\r\n" },
		{ CODE_budget, "\r\nRetry-After: 60\r\n" },
		{ CODE_dns_budget, "\r\nRetry-After: 60\r\n" },
		{ CODE_host, NULL },
		{ CODE_dns_failed, NULL },
		{ CODE_connect_timeout, NULL },
	};
	char buf[PROXY_ANSWER_MAX];
	struct proxy_answer a;
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		memset(&a, 0, sizeof(a));
		a.code = table[i].code;
		proxy_answer_format(&a, buf);
		if (table[i].want != NULL)
			ck_assert_ptr_nonnull(strstr(buf, table[i].want));
		else
			ck_assert_ptr_null(strstr(buf, "Retry-After"));
	}
}
END_TEST

/* H1: nothing in a host can end the head, break the JSON or the terminal. */
START_TEST(test_hostile_host)
{
	static const struct {
		const char *host, *want;
	} table[] = {
		{ "a\r\nX: y\r\n\r\nb", "a??X: y????b" },
		{ "\"},{\"error\":\"ok\"", "\"},{\"error\":\"ok\"" },
		{ "a\\x1b\\\\b", "a\\x1b\\\\b" },
		{ "\033[2J", "?[2J" },
		{ "\342\200\256moc", "???moc" },
		{ "\377\300\200", "???" },
		{ "\177", "?" },
		{ "", "" },
		{ "<script>&/'", "<script>&/'" },
	};
	char buf[PROXY_ANSWER_MAX];
	struct proxy_answer a;
	const struct json_node *host;
	struct json_doc *doc;
	size_t i, k, n;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		memset(&a, 0, sizeof(a));
		a.code = CODE_host;
		a.host = table[i].host;
		n = proxy_answer_format(&a, buf);
		for (k = 0; k < n; k++)
			ck_assert((buf[k] >= 0x20 && buf[k] <= 0x7e) ||
			    buf[k] == '\r' || buf[k] == '\n');
		doc = parse_answer(buf, n);
		host = json_member(json_root(doc), "host");
		ck_assert_str_eq(host->str, table[i].want);
		json_free(&doc);
	}
}
END_TEST

/* The worst texts of any length fit, and are cut rather than dropped. */
START_TEST(test_always_fits)
{
	char text[9000], buf[PROXY_ANSWER_MAX + 1];
	struct proxy_answer a;
	const struct json_node *host;
	struct json_doc *doc;
	size_t n;

	memset(text, '"', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	a.code = (enum egress_code)_i;
	a.reason = a.run = a.host = a.rule = text;
	a.port = 65535;
	buf[PROXY_ANSWER_MAX] = 'x';
	n = proxy_answer_format(&a, buf);
	ck_assert_uint_lt(n, PROXY_ANSWER_MAX);
	ck_assert_int_eq(buf[PROXY_ANSWER_MAX], 'x');
	doc = parse_answer(buf, n);
	host = json_member(json_root(doc), "host");
	ck_assert_int_eq((int)host->type, (int)JSON_STRING);
	ck_assert_uint_eq(host->len, 512);
	json_free(&doc);
}
END_TEST

/* Without memory an answer has its code and nothing else. */
START_TEST(test_no_memory)
{
	static const char want[] =
	    "\r\n\r\n{\"error\":\"host\",\"reason\":\"no rule of this profile "
	    "lets this host pass\",\"run\":null,\"host\":null,\"port\":null,"
	    "\"rule\":null}";
	struct proxy_answer a = { CODE_host, NULL, "run", "host", 1, "rule" };
	char buf[PROXY_ANSWER_MAX];
	struct json_doc *doc;
	size_t n;

	out_of_memory = true;
	n = proxy_answer_format(&a, buf);
	out_of_memory = false;
	doc = parse_answer(buf, n);
	ck_assert_ptr_nonnull(strstr(buf, want));
	json_free(&doc);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("proxy_answer");
	TCase *tc = tcase_create("answer");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_exact);
	tcase_add_loop_test(tc, test_codes, CODE_malformed, CODE_MAX);
	tcase_add_test(tc, test_retry_after);
	tcase_add_test(tc, test_hostile_host);
	tcase_add_loop_test(tc, test_always_fits, CODE_malformed, CODE_MAX);
	tcase_add_test(tc, test_no_memory);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
