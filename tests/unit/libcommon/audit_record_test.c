#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "libcommon/audit_record.c"

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define H1 "886ee6391d242085e99bef3f8156c01cc2a1b34fc588302c24962adc347e23fd"
#define H2 "b0496f4f588a2794039e11abc9dcadbef99045c92c498d46d7113a2bf850d53d"
#define TIME "2026-08-01T21:00:00.123Z"

static char buf[AUDIT_LINE_MAX];

static struct msg
stop(const char *run, const char *reason)
{
	struct msg m = { .type = MSG_TYPE_rec_stop };

	m.u.rec_stop.run = run;
	m.u.rec_stop.reason = reason;
	return m;
}

/* The hashes were computed with sha256sum(1). */
START_TEST(lines)
{
	static const struct {
		const char *name, *run, *reason, *want;
	} rows[] = {
		{ "first, run is null", NULL, "drained",
		    "{\"seq\":1,\"time\":\"" TIME "\",\"boot_ms\":5,"
		    "\"daemon\":\"egressd\",\"type\":\"stop\",\"run\":null,"
		    "\"reason\":\"drained\",\"prev\":\"" ZEROS
		    "\",\"hash\":\"" H1 "\"}\n" },
		{ "second, with a run, escaped", "abcdefgh2345",
		    "a\"\x1b\xc3\xa4",
		    "{\"seq\":2,\"time\":\"" TIME "\",\"boot_ms\":5,"
		    "\"daemon\":\"egressd\",\"type\":\"stop\","
		    "\"run\":\"abcdefgh2345\","
		    "\"reason\":\"a\\\"\\u001b\\u00e4\",\"prev\":\"" H1 "\","
		    "\"hash\":\"" H2 "\"}\n" },
	};
	struct audit_chain c;
	struct msg m;
	ssize_t n;
	size_t i;

	audit_chain_init(&c);
	ck_assert_int_eq(c.seq, 0);
	ck_assert_str_eq(c.hash, ZEROS);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		m = stop(rows[i].run, rows[i].reason);
		n = audit_line(&c, "egressd", TIME, 5, &m, buf);
		ck_assert_msg(n == (ssize_t)strlen(rows[i].want) &&
		        memcmp(buf, rows[i].want, (size_t)n) == 0,
		    "%s: %.*s", rows[i].name, (int)n, buf);
		ck_assert_int_eq(c.seq, (int)i + 1);
		ck_assert(memcmp(c.hash, buf + n - 3 - 64, 64) == 0);
		ck_assert_uint_eq(strlen(c.hash), 64);
	}
}
END_TEST

/* No record, or none that fits: the chain stays. */
START_TEST(refused)
{
	struct audit_chain c, was;
	struct msg m;
	char *text;
	size_t n, room;
	ssize_t len;

	audit_chain_init(&c);
	was = c;
	m = (struct msg){ .type = MSG_TYPE_go };
	ck_assert_int_eq(audit_line(&c, "egressd", TIME, 5, &m, buf), -1);
	m = (struct msg){ .type = MSG_TYPE_none };
	ck_assert_int_eq(audit_line(&c, "egressd", TIME, 5, &m, buf), -1);
	m = stop(NULL, "\xff");
	ck_assert_int_eq(audit_line(&c, "egressd", TIME, 5, &m, buf), -1);
	ck_assert(memcmp(&c, &was, sizeof(c)) == 0);

	m = stop(NULL, "");
	len = audit_line(&c, "egressd", TIME, 5, &m, buf);
	c = was;
	room = AUDIT_LINE_MAX - (size_t)len;
	text = calloc(1, AUDIT_LINE_MAX);
	memset(text, 'a', room);
	m = stop(NULL, text);
	ck_assert_int_eq(
	    audit_line(&c, "egressd", TIME, 5, &m, buf), AUDIT_LINE_MAX);
	ck_assert(buf[AUDIT_LINE_MAX - 1] == '\n');
	c = was;
	for (n = 1; n < 70; n++) {
		text[room + n - 1] = 'a';
		ck_assert_int_eq(
		    audit_line(&c, "egressd", TIME, 5, &m, buf), -1);
	}
	ck_assert(memcmp(&c, &was, sizeof(c)) == 0);
	free(text);
}
END_TEST

/* peer_uid and peer_pid, where a message has both, are the object "peer". */
START_TEST(peers)
{
	static const struct msg_field both[] = {
		{ "run", FIELD_STRING, 12, 12, 0, 0, 0 },
		{ "peer_uid", FIELD_INT, 0, 9999, 0, FIELD_PEER, 8 },
		{ "peer_pid", FIELD_INT, 0, 9999, 0, FIELD_PEER, 16 },
	};
	static const struct {
		const char *name;
		size_t nfields;
		const char *want;
	} rows[] = {
		{ "both", 3, "{\"peer\":{\"uid\":1000,\"pid\":77}}" },
		{ "one only", 2, "{}" },
		{ "none", 1, "{}" },
	};
	struct msg_decl d = { .fields = both };
	struct msg m = { .type = MSG_TYPE_go };
	int64_t raw[3] = { 0, 1000, 77 };
	struct json_writer *w;
	const char *text;
	size_t i, len;

	memcpy(&m.u, raw, sizeof(raw));
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		d.nfields = rows[i].nfields;
		w = json_writer_new(1000);
		json_open_object(w);
		write_peer(w, &m, &d);
		json_close_object(w);
		ck_assert_int_eq(json_writer_end(w, &text, &len), 0);
		ck_assert_msg(strcmp(text, rows[i].want) == 0, "%s: %s",
		    rows[i].name, text);
		json_writer_free(&w);
	}
}
END_TEST

/* A body without its last member and "}", closed by the right hash. */
static size_t
close_line(char *out, size_t size, const char *body)
{
	char hex[AUDIT_HASH_LEN];

	ck_assert_int_eq(line_hash(body, strlen(body), hex), 0);
	return (size_t)snprintf(out, size, "%s,\"hash\":\"%s\"}", body, hex);
}

#define HEAD "{\"seq\":7,\"time\":\"t\",\"boot_ms\":5,\"daemon\":\"d\","
#define PREV "\"prev\":\"" ZEROS "\""

START_TEST(reading)
{
	static const struct {
		const char *name, *body, *why;
	} rows[] = {
		{ "good", HEAD "\"type\":\"stop\",\"run\":null," PREV, NULL },
		{ "good with a run",
		    HEAD "\"type\":\"stop\",\"run\":\"r\"," PREV, NULL },
		{ "good with lists",
		    HEAD "\"type\":\"x\",\"run\":null,\"l\":[\"a\",1],"
		         "\"m\":{\"a\":1}," PREV,
		    NULL },
		{ "good recovered",
		    HEAD "\"type\":\"recovered\",\"run\":null,\"bytes\":3,"
		         "\"sha256\":\"" ZEROS "\"," PREV,
		    NULL },
		{ "recovered without bytes",
		    HEAD "\"type\":\"recovered\",\"run\":null,"
		         "\"sha256\":\"" ZEROS "\"," PREV,
		    "lacks" },
		{ "recovered of nothing",
		    HEAD "\"type\":\"recovered\",\"run\":null,\"bytes\":0,"
		         "\"sha256\":\"" ZEROS "\"," PREV,
		    "lacks" },
		{ "recovered with upper-case hex",
		    HEAD "\"type\":\"recovered\",\"run\":null,\"bytes\":3,"
		         "\"sha256\":\"A00000000000000000000000000000000000000"
		         "0000000000000000000000000\"," PREV,
		    "lacks" },
		{ "nested deeper than a record",
		    HEAD "\"type\":\"x\",\"run\":null,\"l\":[[1]]," PREV,
		    "no JSON" },
		{ "no run", HEAD "\"type\":\"stop\"," PREV, "lacks" },
		{ "run behind another",
		    HEAD "\"type\":\"stop\",\"a\":1,\"run\":null," PREV,
		    "lacks" },
		{ "run a number", HEAD "\"type\":\"stop\",\"run\":1," PREV,
		    "lacks" },
		{ "no prev", HEAD "\"type\":\"stop\",\"run\":null", "lacks" },
		{ "prev not last but one",
		    HEAD "\"type\":\"stop\",\"run\":null," PREV ",\"a\":1",
		    "lacks" },
		{ "prev too short",
		    HEAD "\"type\":\"stop\",\"run\":null,\"prev\":\"00\"",
		    "lacks" },
		{ "prev too long",
		    HEAD "\"type\":\"stop\",\"run\":null,\"prev\":\"0" ZEROS
		         "\"",
		    "lacks" },
		{ "seq zero",
		    "{\"seq\":0,\"time\":\"t\",\"boot_ms\":5,\"daemon\":"
		    "\"d\",\"type\":\"stop\",\"run\":null," PREV,
		    "lacks" },
		{ "seq a string",
		    "{\"seq\":\"7\",\"time\":\"t\",\"boot_ms\":5,\"daemon\":"
		    "\"d\",\"type\":\"stop\",\"run\":null," PREV,
		    "lacks" },
		{ "seq not first",
		    "{\"time\":\"t\",\"seq\":7,\"boot_ms\":5,\"daemon\":"
		    "\"d\",\"type\":\"stop\",\"run\":null," PREV,
		    "lacks" },
		{ "duplicate key",
		    HEAD "\"type\":\"stop\",\"run\":null,\"seq\":7," PREV,
		    "no JSON" },
		{ "hash twice",
		    HEAD "\"type\":\"stop\",\"run\":null," PREV
		         ",\"hash\":\"x\"",
		    "no JSON" },
		{ "not strict JSON", HEAD "\"type\":'stop'," PREV, "no JSON" },
		{ "no JSON at all", "hello", "no JSON" },
		{ "an array", "[1", "no JSON" },
		{ "empty object", "{\"a\":1", "lacks" },
	};
	struct audit_read r;
	const char *why;
	char line[2048];
	size_t i, len;
	int ret;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		why = "";
		len = close_line(line, sizeof(line), rows[i].body);
		ret = audit_line_read(line, len, &r, &why);
		ck_assert_msg(ret == (rows[i].why == NULL ? 0 : -1),
		    "%s: %d %s", rows[i].name, ret, why);
		if (rows[i].why != NULL)
			ck_assert_msg(strstr(why, rows[i].why) != NULL,
			    "%s: %s", rows[i].name, why);
		else
			ck_assert_msg(r.seq == 7 &&
			        strcmp(r.prev, ZEROS) == 0 &&
			        (strstr(rows[i].name, "recovered") != NULL) ==
			            (r.bytes == 3),
			    "%s", rows[i].name);
	}
}
END_TEST

/* The hash must stand where and as it is written, and be right. */
START_TEST(sealing)
{
	struct audit_read r;
	const char *why;
	char line[1024], bad[1024];
	size_t len, i;

	len = close_line(
	    line, sizeof(line), HEAD "\"type\":\"stop\",\"run\":null," PREV);
	ck_assert_int_eq(audit_line_read(line, len, &r, &why), 0);
	ck_assert(memcmp(r.hash, line + len - 66, 64) == 0);
	for (i = 0; i <= len; i++)
		ck_assert_msg(
		    (audit_line_read(line, i, &r, &why) == 0) == (i == len),
		    "cut at %zu", i);
	for (i = 0; i < len * 8; i++) {
		memcpy(bad, line, len);
		bad[i / 8] ^= (char)(1 << i % 8);
		ck_assert_msg(
		    audit_line_read(bad, len, &r, &why) == -1, "bit %zu", i);
	}
	memcpy(bad, line, len);
	bad[len] = ' ';
	ck_assert_int_eq(audit_line_read(bad, len + 1, &r, &why), -1);
	/* upper-case hex is another text for the same hash */
	memcpy(bad, line, len);
	for (i = len - 66; i < len - 2; i++)
		if (bad[i] >= 'a')
			bad[i] = (char)(bad[i] - 'a' + 'A');
	ck_assert_int_eq(audit_line_read(bad, len, &r, &why), -1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("audit_record");
	TCase *t = tcase_create("all");
	SRunner *sr;
	int failed;

	tcase_add_test(t, lines);
	tcase_add_test(t, refused);
	tcase_add_test(t, peers);
	tcase_add_test(t, reading);
	tcase_add_test(t, sealing);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
