#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent-cli/entrypoint_answer.c"

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))
#define RUN "abcdefghijkl"

/* --- DNS ------------------------------------------------------------------ */

#define QUESTION "\1a\0\0\1\0\1"
#define A_RR "\300\14\0\1\0\1\0\0\0\5\0\4\1\2\3\4"
#define SOA_RR "\0\0\6\0\1\0\0\0\5\0\2xx"
#define NS_RR "\0\0\2\0\1\0\0\0\5\0\2xx"
#define OPT_RR "\0\0\51\4\320\0\0\0\0\0\0"

static const struct {
	const char *name;
	const char *bytes;
	size_t len;
	enum probe_met want;
} answers[] = {
#define ROW(name, bytes, want)                       \
	{                                            \
		name, bytes, sizeof(bytes) - 1, want \
	}
	ROW("empty", "", MET_ANSWER),
	ROW("short", "\0\7\201\200\0\0\0\0\0\0\0", MET_ANSWER),
	ROW("no sections", "\0\7\201\200\0\0\0\0\0\0\0\0", MET_EMPTY),
	ROW("nxdomain", "\0\7\201\203\0\1\0\0\0\0\0\0" QUESTION, MET_EMPTY),
	ROW("refused", "\0\7\201\205\0\1\0\0\0\0\0\0" QUESTION, MET_EMPTY),
	ROW("truncated flag", "\0\7\203\200\0\1\0\0\0\0\0\0" QUESTION,
	    MET_RECORD),
	ROW("other id", "\0\10\201\203\0\0\0\0\0\0\0\0", MET_ANSWER),
	ROW("a query", "\0\7\1\0\0\1\0\0\0\0\0\0" QUESTION, MET_ANSWER),
	ROW("a record", "\0\7\201\200\0\1\0\1\0\0\0\0" QUESTION A_RR,
	    MET_RECORD),
	ROW("a record without question", "\0\7\201\200\0\0\0\1\0\0\0\0" A_RR,
	    MET_RECORD),
	ROW("SOA as answer", "\0\7\201\200\0\1\0\1\0\0\0\0" QUESTION SOA_RR,
	    MET_RECORD),
	ROW("SOA in authority", "\0\7\201\203\0\1\0\0\0\1\0\0" QUESTION SOA_RR,
	    MET_EMPTY),
	ROW("NS in authority", "\0\7\201\203\0\1\0\0\0\1\0\0" QUESTION NS_RR,
	    MET_RECORD),
	ROW("OPT", "\0\7\201\203\0\1\0\0\0\0\0\1" QUESTION OPT_RR, MET_EMPTY),
	ROW("SOA, OPT, then A",
	    "\0\7\201\203\0\1\0\0\0\1\0\2" QUESTION SOA_RR OPT_RR A_RR,
	    MET_RECORD),
	ROW("cut in the question", "\0\7\201\203\0\1\0\0\0\0\0\0\1a\0\0\1",
	    MET_ANSWER),
	ROW("cut in a record", "\0\7\201\203\0\1\0\0\0\1\0\0" QUESTION "\0\0\6",
	    MET_ANSWER),
	ROW("data too long",
	    "\0\7\201\203\0\1\0\0\0\1\0\0" QUESTION "\0\0\6\0\1\0\0\0\5\0\3xx",
	    MET_ANSWER),
	ROW("bad label", "\0\7\201\203\0\1\0\0\0\0\0\0\100a\0\0\1\0\1",
	    MET_ANSWER),
	ROW("too many", "\0\7\201\203\377\377\0\0\0\0\0\0", MET_ANSWER),
#undef ROW
};

START_TEST(dns)
{
	ck_assert_msg(dns_answer((const uint8_t *)answers[_i].bytes,
	                  answers[_i].len, 7) == answers[_i].want,
	    "%s", answers[_i].name);
}
END_TEST

START_TEST(query)
{
	static const char want[] = "\0\7\1\0\0\1\0\0\0\0\0\0"
	                           "\7example\7invalid\0\0\1\0\1";
	char text[400];
	uint8_t buf[DNS_QUERY_MAX];
	size_t n = dns_query("example.invalid", 7, false, buf);

	ck_assert_uint_eq(n, sizeof(want) - 1);
	ck_assert_mem_eq(buf, want, n);
	ck_assert_uint_eq(dns_query("example.invalid", 7, true, buf), n + 2);
	ck_assert_uint_eq(buf[1], n);
	ck_assert_mem_eq(buf + 2, want, n);
	/* An answer with this question and nothing else. */
	buf[4] |= 0x80;
	ck_assert_int_eq(dns_answer(buf + 2, n, 7), MET_EMPTY);
	ck_assert_uint_eq(dns_query("", 7, false, buf), 0);
	ck_assert_uint_eq(dns_query("a..b", 7, false, buf), 0);
	memset(text, 'a', sizeof(text));
	text[64] = '\0';
	ck_assert_uint_eq(dns_query(text, 7, false, buf), 0);
	text[64] = 'a';
	text[254] = '\0';
	ck_assert_uint_eq(dns_query(text, 7, false, buf), 0);
}
END_TEST

/* --- the proxy -------------------------------------------------------------
 */

#define BODY "{\"error\":\"host\",\"run\":\"" RUN "\"}"
#define BODY_LEN "Content-Length: 37\r\n"

static const struct {
	const char *name, *bytes;
	bool whole;
	enum probe_met want;
} proxies[] = {
	{ "ours", "HTTP/1.1 403 egress-host\r\n" BODY_LEN "\r\n" BODY, true,
	    MET_OURS },
	{ "ours, no policy",
	    "HTTP/1.1 503 egress-no_policy\r\n" BODY_LEN "\r\n" BODY, true,
	    MET_OURS },
	{ "empty", "", false, MET_ANSWER },
	{ "half a head", "HTTP/1.1 403 egress-host\r\n", false, MET_ANSWER },
	{ "half a body", "HTTP/1.1 403 egress-host\r\n" BODY_LEN "\r\n{", false,
	    MET_ANSWER },
	{ "no length", "HTTP/1.1 403 egress-host\r\n\r\n" BODY, true,
	    MET_ANSWER },
	{ "huge length",
	    "HTTP/1.1 403 egress-host\r\nContent-Length: "
	    "99999999999999999999\r\n\r\n",
	    true, MET_ANSWER },
	{ "negative", "HTTP/1.1 403 egress-host\r\nContent-Length: -1\r\n\r\n",
	    true, MET_ANSWER },
	{ "a tunnel", "HTTP/1.1 200 OK\r\n\r\n", true, MET_ANSWER },
	{ "another proxy", "HTTP/1.1 403 Forbidden\r\n" BODY_LEN "\r\n" BODY,
	    true, MET_ANSWER },
	{ "another version",
	    "HTTP/1.0 403 egress-host\r\n" BODY_LEN "\r\n" BODY, true,
	    MET_ANSWER },
	{ "another run",
	    "HTTP/1.1 403 egress-host\r\nContent-Length: 22\r\n\r\n"
	    "{\"run\":\"abcdefghijkm\"}",
	    true, MET_ANSWER },
	{ "no run",
	    "HTTP/1.1 403 egress-host\r\nContent-Length: 12\r\n\r\n"
	    "{\"run\":null}",
	    true, MET_ANSWER },
	{ "run below",
	    "HTTP/1.1 403 egress-host\r\nContent-Length: 28\r\n\r\n"
	    "{\"a\":{\"run\":\"" RUN "\"}}",
	    true, MET_ANSWER },
	{ "no object",
	    "HTTP/1.1 403 egress-host\r\nContent-Length: 2\r\n\r\n[]", true,
	    MET_ANSWER },
	{ "no JSON", "HTTP/1.1 403 egress-host\r\nContent-Length: 2\r\n\r\nxx",
	    true, MET_ANSWER },
	{ "more behind it",
	    "HTTP/1.1 403 egress-host\r\n" BODY_LEN "\r\n" BODY "x", true,
	    MET_ANSWER },
};

START_TEST(proxy)
{
	enum probe_met met;
	char *copy = strdup(proxies[_i].bytes);
	size_t len = strlen(copy), n;
	char *exact;

	ck_assert_msg(
	    proxy_answer_read(copy, len, RUN, &met) == proxies[_i].whole, "%s",
	    proxies[_i].name);
	ck_assert_msg(met == proxies[_i].want, "%s", proxies[_i].name);
	/* Byte by byte it is not whole before, nor ours: nor read beyond. */
	for (n = 0; n < len; n++) {
		exact = malloc(n + 1);
		memcpy(exact, copy, n);
		exact[n] = '\xff';
		(void)proxy_answer_read(exact, n, RUN, &met);
		if (strcmp(proxies[_i].name, "more behind it") != 0)
			ck_assert_int_eq(met, MET_ANSWER);
		free(exact);
	}
	free(copy);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("entrypoint_answer");
	TCase *t = tcase_create("answer");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, dns, 0, ROWS(answers));
	tcase_add_test(t, query);
	tcase_add_loop_test(t, proxy, 0, ROWS(proxies));
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
