/* What a server says first, whole, byte by byte, and in tiny records. */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "egressd/egressd.h"
#include "hello_builder.h"

#define START "\x02\0\0\x26\x03\x03" /* of a ServerHello */
#define RETRY_RANDOM                                                       \
	"\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91" \
	"\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33"
#define OTHER_RANDOM                                                       \
	"\x01\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91" \
	"\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33"

#define IN(literal) literal, sizeof(literal) - 1

static const struct {
	const char *name, *in;
	size_t len;
	enum tls_server_event want;
	size_t at; /* bytes that decide; 0: none do */
} rows[] = {
	{ "nothing", IN(""), TLS_SERVER_MORE, 0 },
	{ "D8 retry", IN("\x16\x03\x03\0\x2a" START RETRY_RANDOM "\x9c\0\x13"),
	    TLS_SERVER_RETRY, 43 },
	{ "D8 hello", IN("\x16\x03\x03\0\x2a" START OTHER_RANDOM "\x9c\0\x13"),
	    TLS_SERVER_HELLO, 43 },
	{ "D8 the last byte is another",
	    IN("\x16\x03\x03\0\x2a" START RETRY_RANDOM "\x9d\0\x13"),
	    TLS_SERVER_HELLO, 43 },
	{ "D8 all but the last byte",
	    IN("\x16\x03\x03\0\x2a" START RETRY_RANDOM), TLS_SERVER_MORE, 0 },
	{ "record version 3.1",
	    IN("\x16\x03\x01\0\x2a" START RETRY_RANDOM "\x9c"),
	    TLS_SERVER_RETRY, 43 },
	{ "alert", IN("\x15\x03\x03\0\x02\x02\x28"), TLS_SERVER_OTHER, 1 },
	{ "data", IN("\x17\x03\x03\0\x02\x02\x28"), TLS_SERVER_OTHER, 1 },
	{ "SSH", IN("SSH-2.0-x\r\n"), TLS_SERVER_OTHER, 1 },
	{ "HTTP", IN("HTTP/1.1 400 Bad Request\r\n"), TLS_SERVER_OTHER, 1 },
	{ "record version 2", IN("\x16\x02\x03\0\x2a"), TLS_SERVER_OTHER, 2 },
	{ "record of no length", IN("\x16\x03\x03\0\0"), TLS_SERVER_OTHER, 5 },
	{ "record too long", IN("\x16\x03\x03\x40\x01"), TLS_SERVER_OTHER, 5 },
	{ "another message", IN("\x16\x03\x03\0\x2a\x0b\0\0\x02"),
	    TLS_SERVER_OTHER, 6 },
	{ "alert inside a hello",
	    IN("\x16\x03\x03\0\x06" START "\x15\x03\x03\0\x02\x02\x28"),
	    TLS_SERVER_OTHER, 12 },
	{ "retry over two records",
	    IN("\x16\x03\x03\0\x06" START "\x16\x03\x03\0\x20" RETRY_RANDOM
	       "\x9c"),
	    TLS_SERVER_RETRY, 48 },
};

static struct bytes in, tiny;

static enum tls_server_event
feed_pieces(const uint8_t *b, size_t n, size_t size, size_t *at)
{
	enum tls_server_event ev = TLS_SERVER_MORE;
	struct tls_server t;
	size_t k;

	tls_server_init(&t);
	for (*at = 0; *at < n && ev == TLS_SERVER_MORE; *at += k) {
		k = n - *at < size ? n - *at : size;
		ev = tls_server_feed(&t, b + *at, k);
	}
	/* The verdict stays. */
	ck_assert_int_eq((int)tls_server_feed(&t, b, 0), (int)ev);
	if (ev != TLS_SERVER_MORE)
		ck_assert_int_eq((int)tls_server_feed(&t, b, n), (int)ev);
	return ev;
}

START_TEST(test_rows)
{
	const uint8_t *b = (const uint8_t *)rows[_i].in;
	size_t size, at;

	for (size = 1; size <= rows[_i].len + 1; size++) {
		ck_assert_msg(
		    feed_pieces(b, rows[_i].len, size, &at) == rows[_i].want,
		    "%s: pieces of %zu", rows[_i].name, size);
		if (size == 1 && rows[_i].at > 0)
			ck_assert_msg(
			    at == rows[_i].at, "%s: at %zu", rows[_i].name, at);
	}
}
END_TEST

static const struct {
	const char *name;
	enum tls_server_event want;
} vectors[] = {
	{ "server-tls13", TLS_SERVER_HELLO },
	{ "server-tls12", TLS_SERVER_HELLO },
	{ "server-retry", TLS_SERVER_RETRY },
	{ "server-alert", TLS_SERVER_OTHER },
};

START_TEST(test_vectors)
{
	char path[512];
	size_t size, at;
	FILE *f;

	snprintf(path, sizeof(path), "%s/tests/vectors/hello/%s.bin",
	    SOURCE_DIR, vectors[_i].name);
	f = fopen(path, "rb");
	ck_assert_msg(f != NULL, "%s", path);
	in.n = fread(in.b, 1, BYTES_MAX, f);
	fclose(f);
	for (size = 1; size <= in.n; size++)
		ck_assert_int_eq((int)feed_pieces(in.b, in.n, size, &at),
		    (int)vectors[_i].want);
	if (vectors[_i].want == TLS_SERVER_OTHER)
		return;
	for (size = 1; size <= 50; size++) {
		tiny.n = 0;
		put_records(&tiny, 22, in.b + 5, in.n - 5, size);
		ck_assert_int_eq((int)feed_pieces(tiny.b, tiny.n, 1, &at),
		    (int)vectors[_i].want);
		ck_assert_int_eq((int)feed_pieces(tiny.b, tiny.n, tiny.n, &at),
		    (int)vectors[_i].want);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("proxy_tls_server");
	TCase *tc = tcase_create("server");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(
	    tc, test_rows, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_loop_test(
	    tc, test_vectors, 0, (int)(sizeof(vectors) / sizeof(vectors[0])));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
