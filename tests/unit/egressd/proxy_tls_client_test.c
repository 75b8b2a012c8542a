/*
 * The client's side of a tunnel. A scenario is a string of steps; each is
 * fed whole, byte by byte, and split at every offset, and what is reported
 * must not depend on that.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "egressd/egressd.h"
#include "hello_builder.h"

static const struct hello_spec good = { .sni = "good.com" };
static const struct hello_spec evil = { .sni = "evil.com" };

static struct bytes message, stream;

static void
put_hello_records(struct bytes *o, const struct hello_spec *h, size_t size)
{
	message.n = 0;
	put_hello(&message, h);
	put_records(o, 22, message.b, message.n, size);
}

static void
put_record(struct bytes *o, unsigned type, size_t n)
{
	static const uint8_t zeros[32];

	put_records(o, type, zeros, n, n);
}

/* Bytes from .. to of the record of h; to 0 is its end. */
static void
put_part(struct bytes *o, const struct hello_spec *h, size_t from, size_t to)
{
	static struct bytes whole;

	whole.n = 0;
	put_hello_records(&whole, h, 16384);
	put(o, whole.b + from, (to > 0 ? to : whole.n) - from);
}

/* Two hellos, as messages in records of size bytes. */
static void
put_two(struct bytes *o, size_t size)
{
	message.n = 0;
	put_hello(&message, &good);
	put_hello(&message, &evil);
	put_records(o, 22, message.b, message.n, size);
}

/* A hello and the first n bytes of a second in one record. */
static void
put_one_and(struct bytes *o, size_t n)
{
	size_t first;

	message.n = 0;
	put_hello(&message, &good);
	first = message.n;
	put_hello(&message, &evil);
	put_records(o, 22, message.b, first + n, 16384);
}

/* What put_one_and left out, in a record of its own. */
static void
put_rest_of_two(struct bytes *o, size_t n)
{
	size_t first;

	message.n = 0;
	put_hello(&message, &good);
	first = message.n;
	put_hello(&message, &evil);
	put_records(o, 22, message.b + first + n, message.n - first - n, 16384);
}

static void
put_step(struct bytes *o, char step)
{
	o->n = 0;
	switch (step) {
	case 'h': /* a hello in one record */
		put_hello_records(o, &good, 16384);
		break;
	case 'e': /* one of another name */
		put_hello_records(o, &evil, 16384);
		break;
	case 'b': /* one in records of one byte */
		put_hello_records(o, &good, 1);
		break;
	case '7': /* one in records of seven bytes */
		put_hello_records(o, &good, 7);
		break;
	case 'p': /* the first 20 bytes of its record */
		put_part(o, &good, 0, 20);
		break;
	case 'q': /* and the rest */
		put_part(o, &good, 20, 0);
		break;
	case 'u': /* three bytes of the record's header */
		put_part(o, &good, 0, 3);
		break;
	case 'v': /* and the rest */
		put_part(o, &good, 3, 0);
		break;
	case 'm': /* a record with the first half of the message */
		message.n = 0;
		put_hello(&message, &good);
		put_records(o, 22, message.b, 40, 16384);
		break;
	case 'n': /* a record with the second half */
		message.n = 0;
		put_hello(&message, &good);
		put_records(o, 22, message.b + 40, message.n - 40, 16384);
		break;
	case 't': /* two hellos in one record */
		put_two(o, 16384);
		break;
	case '2': /* two hellos in two records */
		put_hello_records(o, &good, 16384);
		put_hello_records(o, &evil, 16384);
		break;
	case 'x': /* a hello and three bytes of another */
		put_one_and(o, 3);
		break;
	case 'y': /* the rest of the other */
		put_rest_of_two(o, 3);
		break;
	case 'c':
		put_record(o, 20, 1);
		break;
	case 'C': /* all but the last byte of such a record */
		put_record(o, 20, 1);
		o->n--;
		break;
	case 'l':
		put_record(o, 21, 2);
		break;
	case 'd':
		put_record(o, 23, 32);
		break;
	case 'D': /* half of such a record */
		put_record(o, 23, 32);
		o->n = 20;
		break;
	case 'E': /* and the other half */
		put_fill(o, 0, 17);
		break;
	case 'k': /* ClientKeyExchange */
		message.n = 0;
		put_number(&message, 16, 1);
		put_number(&message, 3, 3);
		put_fill(&message, 7, 3);
		put_records(o, 22, message.b, message.n, 16384);
		break;
	case 'z': /* a hello and a ClientKeyExchange in one record */
		message.n = 0;
		put_hello(&message, &good);
		put_number(&message, 16, 1);
		put_records(o, 22, message.b, message.n, 16384);
		break;
	case 'f': /* heartbeat, RFC 6520 */
		put_record(o, 24, 3);
		break;
	case 'g': /* plain text */
		put(o, "GET / HTTP/1.1\r\n", 16);
		break;
	case 's':
		put(o, "SSH-2.0-x\r\n", 11);
		break;
	case 'S': /* SSLv2 hello */
		put(o, "\x80\x2e\x01\x03\x01\0\x15\0\0", 9);
		break;
	case 'T': /* top bit set, no hello */
		put(o, "\x80\x2e\x04\x03\x01\0\x15\0\0", 9);
		break;
	case 'Z': /* a handshake record of no length */
		put(o, "\x16\x03\x01\0\0", 5);
		break;
	case 'L': /* one longer than a record may be */
		put(o, "\x16\x03\x01\x40\x01", 5);
		break;
	case 'M': /* longest that is no handshake, its header */
		put(o, "\x17\x03\x03\x41\x00", 5);
		break;
	case 'N': /* longer still */
		put(o, "\x17\x03\x03\x41\x01", 5);
		break;
	case 'O': /* application data of no length */
		put(o, "\x17\x03\x03\0\0", 5);
		break;
	case 'V': /* record version 2.x */
		put(o, "\x16\x02\x01\0\x05", 5);
		break;
	case 'W': /* record version 3.5 */
		put(o, "\x16\x03\x05\0\x05", 5);
		break;
	case 'X': /* record version 2.x, no handshake */
		put(o, "\x17\x02\x01\0\x05", 5);
		break;
	case 'A': /* ServerHello for a ClientHello */
		put(o, "\x16\x03\x01\0\x05\x02\0\0\x01\0", 10);
		break;
	case '0': /* ClientHello of no length */
		put(o, "\x16\x03\x01\0\x04\x01\0\0\0", 9);
		break;
	case '9': /* ClientHello of 16 MiB */
		put(o, "\x16\x03\x01\0\x04\x01\xff\xff\xff", 9);
		break;
	default:
		ck_abort_msg("no such step: %c", step);
	}
}

/*
 * In `want`, per step: H a hello, O opaque, N not TLS, M malformed; then "+"
 * when all of the stream is safe, or "-" when some is held back. R is a real
 * ServerHello, Y a HelloRetryRequest: they say nothing themselves.
 */
static const struct {
	const char *name, *steps, *want;
} rows[] = {
	{ "D5 a hello", "h", "H+" },
	{ "D5 records of one byte", "b", "H+" },
	{ "D5 records of seven bytes", "7", "H+" },
	{ "D5 two segments", "pq", "-H+" },
	{ "D5 two segments, the header split", "uv", "-H+" },
	{ "D5 two records", "mn", "-H+" },
	{ "D4 plain HTTP", "g", "N-" },
	{ "D4 SSH", "s", "N-" },
	{ "D4 a ChangeCipherSpec first", "c", "N-" },
	{ "D4 an alert first", "l", "N-" },
	{ "D4 data first", "d", "N-" },
	{ "D4 record version 2", "V", "N-" },
	{ "D4 top bit set, no hello", "T", "N-" },
	{ "D4 it stays refused", "gh", "N-N-" },
	{ "D6 SSLv2 hello", "S", "M-" },
	{ "D6 record of no length", "Z", "M-" },
	{ "D6 record of no length inside", "mZ", "-M-" },
	{ "D6 record too long", "L", "M-" },
	{ "D6 record version 3.5", "W", "M-" },
	{ "D6 another message first", "A", "M-" },
	{ "D6 hello of no length", "0", "M-" },
	{ "D6 hello of 16 MiB", "9", "M-" },
	{ "D6 ChangeCipherSpec inside a hello", "mc", "-M-" },
	{ "D6 alert inside a hello", "ml", "-M-" },
	{ "D6 data inside a hello", "md", "-M-" },
	{ "D6 it stays malformed", "0h", "M-M-" },

	{ "0-RTT and ChangeCipherSpec pass", "hcdld", "H+++++" },
	{ "0-RTT is safe as it arrives", "hDE", "H+++" },
	{ "longest record that is no handshake", "hM", "H++" },
	{ "longer than that", "hN", "H+M-" },
	{ "data of no length", "hO", "H+M-" },
	{ "unknown record", "hf", "H+M-" },
	{ "plain text behind a hello", "hg", "H+M-" },
	{ "record version 2 behind a hello", "hX", "H+M-" },
	{ "handshake before the server spoke", "hk", "H+M-" },
	{ "the same, in the hello's record", "z", "HM-" },
	{ "record of no length behind a hello", "hZ", "H+M-" },

	{ "server spoke", "hRd", "H+O+" },
	{ "TLS 1.2: ClientKeyExchange", "hRkcd", "H+O+O+O+" },
	{ "server spoke, anything passes", "hRg", "H+O+" },
	{ "server spoke amid data", "hDREk", "H++O+O+" },
	{ "server spoke amid a record's header", "hCRc", "H++O+" },
	{ "server spoke first", "Rhk", "H+O+" },
	{ "server spoke before a hello was whole", "pRqk", "-H+O+" },
	{ "server spoke first, no TLS", "Rg", "N-" },
	{ "a second hello half arrived is judged", "hpRqk", "H+-H+O+" },
	{ "its header half arrived", "huRvk", "H+-H+O+" },
	{ "between its records", "hmRnk", "H+-H+O+" },
	{ "another record goes on with its message", "hmRk", "H+--" },
	{ "data instead is refused too", "hmRd", "H+-M-" },
	{ "half arrived in the hello's record", "xRyk", "H-H+O+" },

	{ "D8 retry, second hello", "hYhd", "H+H+O+" },
	{ "D8 retry, other name", "hYed", "H+H+O+" },
	{ "D8 ChangeCipherSpec between the hellos", "hYchk", "H++H+O+" },
	{ "D8 0-RTT between the hellos", "hdYdchk", "H++++H+O+" },
	{ "D8 an alert instead", "hYl", "H++" },
	{ "D8 second hello in records of one byte", "hYbk", "H+H+O+" },
	{ "D8 second hello in two segments", "hYpqk", "H+-H+O+" },
	{ "D8 ClientKeyExchange instead", "hYk", "H+M-" },
	{ "D8 plain text instead", "hYg", "H+M-" },
	{ "D8 retry, two hellos at once", "hY2", "H+HO+" },
	{ "D8 retry, two hellos in one record", "hYtk", "H+HH+O+" },
	{ "D8 retry, a hello and something", "hYz", "H+HM-" },
	{ "D8 hello sent behind the first one", "he", "H+H+" },
	{ "D8 the same at once", "2", "HH+" },
	{ "D8 the same in one record", "t", "HH+" },
	{ "D8 the same over two records", "xy", "H-H+" },
	{ "D8 judged before the retry, retry, another", "heYhk", "H+H+H+O+" },
	{ "D8 judged before the retry, retry, server", "heYdRk", "H+H++O+" },
	{ "D8 half before the retry", "hpYqk", "H+-H+O+" },
	{ "retry, then a real answer", "hYRk", "H+O+" },
};

#define NROWS ((int)(sizeof(rows) / sizeof(rows[0])))

struct trace {
	char text[64];
	size_t n;
	uint64_t fed;
	bool dead;
};

static void
note(struct trace *tr, char c)
{
	/* OPAQUE is the answer to each call; once a step will do. */
	if (c == 'O' && tr->n > 0 && tr->text[tr->n - 1] == 'O')
		return;
	ck_assert_uint_lt(tr->n, sizeof(tr->text) - 1);
	tr->text[tr->n++] = c;
	tr->text[tr->n] = '\0';
}

/* One piece, of memory of its own; again with the rest after each event. */
static void
feed_piece(struct tls_client *t, struct trace *tr, const uint8_t *b, size_t n)
{
	static const char names[] = { '.', 'H', 'O', 'N', 'M' };
	uint8_t *copy = malloc(n > 0 ? n : 1);
	enum tls_event ev;
	size_t used = 0, k;
	uint64_t before = tls_client_safe(t);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, b, n);
	while (used < n && !tr->dead) {
		k = tls_client_feed(t, copy + used, n - used, &ev);
		ck_assert_uint_le(k, n - used);
		used += k;
		if (ev == TLS_MORE || ev == TLS_OPAQUE)
			ck_assert_uint_eq(used, n);
		if (ev != TLS_MORE)
			note(tr, names[ev]);
		tr->dead = ev == TLS_NOT_TLS || ev == TLS_MALFORMED;
		ck_assert_uint_le(tls_client_safe(t), tr->fed + used);
		ck_assert_uint_ge(tls_client_safe(t), before);
		before = tls_client_safe(t);
	}
	tr->fed += n;
	free(copy);
}

/* size > 0: pieces of that size; else two, split at `at`. */
static void
feed_step(struct tls_client *t, struct trace *tr, size_t size, size_t at)
{
	size_t i, k;

	tr->dead = false;
	if (size == 0) {
		at = at < stream.n ? at : stream.n;
		feed_piece(t, tr, stream.b, at);
		feed_piece(t, tr, stream.b + at, stream.n - at);
	}
	for (i = 0; size > 0 && i < stream.n; i += k) {
		k = stream.n - i < size ? stream.n - i : size;
		feed_piece(t, tr, stream.b + i, k);
	}
	note(tr, tls_client_safe(t) == tr->fed ? '+' : '-');
}

static void
play(const char *steps, struct trace *tr, size_t size, size_t at)
{
	struct tls_client *t = tls_client_new();
	unsigned hellos = 0;
	size_t i;

	ck_assert_ptr_nonnull(t);
	memset(tr, 0, sizeof(*tr));
	for (; *steps != '\0'; steps++) {
		if (*steps == 'R' || *steps == 'Y') {
			tls_client_server_spoke(t, *steps == 'R');
			continue;
		}
		put_step(&stream, *steps);
		feed_step(t, tr, size, at);
	}
	for (i = 0; i < tr->n; i++)
		hellos += tr->text[i] == 'H';
	ck_assert_uint_eq(tls_client_hellos(t), hellos);
	tls_client_free(&t);
	ck_assert_ptr_null(t);
}

static size_t
longest_step(const char *steps)
{
	size_t longest = 0;

	for (; *steps != '\0'; steps++) {
		if (*steps == 'R' || *steps == 'Y')
			continue;
		put_step(&stream, *steps);
		if (stream.n > longest)
			longest = stream.n;
	}
	return longest;
}

START_TEST(test_scenarios)
{
	size_t longest = longest_step(rows[_i].steps);
	struct trace tr;
	size_t at, size;

	for (size = 1; size <= 8; size++) {
		play(rows[_i].steps, &tr, size, 0);
		ck_assert_msg(strcmp(tr.text, rows[_i].want) == 0,
		    "%s: pieces of %zu: %s", rows[_i].name, size, tr.text);
	}
	for (at = 0; at <= longest; at++) {
		play(rows[_i].steps, &tr, 0, at);
		ck_assert_msg(strcmp(tr.text, rows[_i].want) == 0,
		    "%s: split at %zu: %s", rows[_i].name, at, tr.text);
	}
}
END_TEST

/* D8: the hello that is told is the last, and not one that was refused. */
START_TEST(test_last_hello)
{
	struct tls_client *t = tls_client_new();
	enum tls_event ev;
	size_t k;

	stream.n = 0;
	put_hello_records(&stream, &good, 16384);
	put_hello_records(&stream, &evil, 16384);
	put_hello_records(&stream,
	    &(struct hello_spec){ .sni = "third.com", .trailing = 1 }, 16384);
	k = tls_client_feed(t, stream.b, stream.n, &ev);
	ck_assert_int_eq((int)ev, (int)TLS_HELLO);
	ck_assert_str_eq(tls_client_hello(t)->sni, "good.com");
	k += tls_client_feed(t, stream.b + k, stream.n - k, &ev);
	ck_assert_int_eq((int)ev, (int)TLS_HELLO);
	ck_assert_str_eq(tls_client_hello(t)->sni, "evil.com");
	ck_assert_uint_eq(tls_client_safe(t), k);
	tls_client_feed(t, stream.b + k, stream.n - k, &ev);
	ck_assert_int_eq((int)ev, (int)TLS_MALFORMED);
	ck_assert_str_eq(tls_client_hello(t)->sni, "evil.com");
	ck_assert_uint_eq(tls_client_safe(t), k);
	tls_client_free(&t);
}
END_TEST

/* What is safe while a second message began in the first one's record. */
START_TEST(test_safe_shared_record)
{
	struct tls_client *t = tls_client_new();
	size_t first, fed;
	enum tls_event ev;

	/* A record of 50 bytes of the hello, then the rest and 3 bytes. */
	stream.n = message.n = 0;
	put_hello(&message, &good);
	first = message.n;
	put_hello(&message, &evil);
	put_records(&stream, 22, message.b, 50, 16384);
	put_records(&stream, 22, message.b + 50, first - 50 + 3, 16384);

	fed = tls_client_feed(t, stream.b, stream.n, &ev);
	ck_assert_int_eq((int)ev, (int)TLS_HELLO);
	ck_assert_uint_eq(fed, stream.n - 3);
	/* The first record is whole and so is its hello. */
	ck_assert_uint_eq(tls_client_safe(t), 55);
	tls_client_feed(t, stream.b + fed, 3, &ev);
	ck_assert_int_eq((int)ev, (int)TLS_MORE);
	ck_assert_uint_eq(tls_client_safe(t), 55);
	stream.n = 0;
	put_records(
	    &stream, 22, message.b + first + 3, message.n - first - 3, 16384);
	tls_client_feed(t, stream.b, stream.n, &ev);
	ck_assert_int_eq((int)ev, (int)TLS_HELLO);
	ck_assert_uint_eq(tls_client_safe(t), first + 10 + 3 + stream.n);
	tls_client_free(&t);
}
END_TEST

/* --- PROXY_HELLO_MAX -------------------------------------------------- */

/*
 * A hello of `raw` bytes in all, in whole records of 16384: four of them, so
 * what is missing is known.
 */
static void
put_hello_of(struct bytes *o, size_t raw)
{
	struct hello_spec h = {
		.sni = "good.com", .key_share = 50000, .padding = 1
	};

	o->n = 0;
	put_hello_records(o, &h, 16384);
	h.padding += raw - o->n;
	o->n = 0;
	put_hello_records(o, &h, 16384);
	ck_assert_uint_eq(o->n, raw);
}

/* The event of the stream, fed in pieces of `size`; *at bytes were taken. */
static enum tls_event
feed_all(const struct bytes *in, size_t size, size_t *at)
{
	struct tls_client *t = tls_client_new();
	enum tls_event ev = TLS_MORE;
	size_t k;

	for (*at = 0; *at < in->n && ev == TLS_MORE;) {
		k = in->n - *at < size ? in->n - *at : size;
		*at += tls_client_feed(t, in->b + *at, k, &ev);
	}
	if (ev == TLS_HELLO) {
		ck_assert_str_eq(tls_client_hello(t)->sni, "good.com");
		ck_assert_uint_eq(tls_client_safe(t), in->n);
	} else
		ck_assert_uint_eq(tls_client_safe(t), 0);
	tls_client_free(&t);
	return ev;
}

START_TEST(test_hello_limit)
{
	static const size_t sizes[] = { 1, 7, 1448, 65536, 200000 };
	size_t i, at;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		put_hello_of(&stream, PROXY_HELLO_MAX);
		ck_assert_int_eq(
		    (int)feed_all(&stream, sizes[i], &at), (int)TLS_HELLO);
		ck_assert_uint_eq(at, PROXY_HELLO_MAX);
		put_hello_of(&stream, PROXY_HELLO_MAX + 1);
		ck_assert_int_eq(
		    (int)feed_all(&stream, sizes[i], &at), (int)TLS_MALFORMED);
		ck_assert_uint_eq(at, PROXY_HELLO_MAX + 1);
	}
}
END_TEST

/* Headers count: a small hello in many records may be too much. */
START_TEST(test_hello_limit_records)
{
	size_t at;

	stream.n = 0;
	put_hello_records(&stream,
	    &(struct hello_spec){ .sni = "good.com", .key_share = 10000 }, 1);
	ck_assert_int_eq((int)feed_all(&stream, stream.n, &at), (int)TLS_HELLO);
	stream.n = 0;
	put_hello_records(&stream,
	    &(struct hello_spec){ .sni = "good.com", .key_share = 11000 }, 1);
	ck_assert_int_eq(
	    (int)feed_all(&stream, stream.n, &at), (int)TLS_MALFORMED);
	ck_assert_uint_eq(at, PROXY_HELLO_MAX + 1);
}
END_TEST

/* The same limit holds for a second hello, from where it began. */
START_TEST(test_second_hello_limit)
{
	struct tls_client *t = tls_client_new();
	enum tls_event ev;
	size_t first, at;

	stream.n = 0;
	put_hello_records(&stream, &good, 16384);
	put_record(&stream, 20, 1);
	first = stream.n;
	put_hello_records(&stream,
	    &(struct hello_spec){ .sni = "good.com", .key_share = 12000 }, 1);
	at = tls_client_feed(t, stream.b, stream.n, &ev);
	ck_assert_int_eq((int)ev, (int)TLS_HELLO);
	at += tls_client_feed(t, stream.b + at, stream.n - at, &ev);
	ck_assert_int_eq((int)ev, (int)TLS_MALFORMED);
	ck_assert_uint_eq(at, first + PROXY_HELLO_MAX + 1);
	ck_assert_uint_eq(tls_client_safe(t), first);
	tls_client_free(&t);
}
END_TEST

/* D5: 17 to 60 KiB, in whole records and in pieces of any size. */
START_TEST(test_large_hellos)
{
	static const size_t shares[] = { 1216, 17000, 30000, 60000 };
	static const size_t sizes[] = { 1, 3, 1000, 16384 };
	size_t i, k, at;

	for (i = 0; i < 4; i++) {
		for (k = 0; k < 4; k++) {
			/* Records of 3 bytes would be over the limit. */
			if (shares[i] > 10000 && sizes[k] < 1000)
				continue;
			stream.n = 0;
			put_hello_records(&stream,
			    &(struct hello_spec){
			        .sni = "good.com", .key_share = shares[i] },
			    sizes[k]);
			ck_assert_int_eq(
			    (int)feed_all(&stream, 1, &at), (int)TLS_HELLO);
			ck_assert_int_eq(
			    (int)feed_all(&stream, 1448, &at), (int)TLS_HELLO);
			ck_assert_int_eq((int)feed_all(&stream, stream.n, &at),
			    (int)TLS_HELLO);
		}
	}
}
END_TEST

/* --- hellos of real programs ------------------------------------------ */

static void
read_vector(struct bytes *o, const char *name)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/tests/vectors/hello/%s.bin",
	    SOURCE_DIR, name);
	f = fopen(path, "rb");
	ck_assert_msg(f != NULL, "%s", path);
	o->n += fread(o->b + o->n, 1, BYTES_MAX - o->n, f);
	fclose(f);
}

/* The handshake messages of a stream of records, without these. */
static void
strip_records(struct bytes *o, const struct bytes *in)
{
	size_t i, len;

	o->n = 0;
	for (i = 0; i + 5 <= in->n; i += 5 + len) {
		len = (size_t)in->b[i + 3] << 8 | in->b[i + 4];
		if (in->b[i] == 22)
			put(o, in->b + i + 5, len);
	}
}

static void
check_hello(const struct tls_client *t, const char *name, const char *sni)
{
	const struct tls_hello *h = tls_client_hello(t);

	ck_assert_msg(strcmp(h->sni, sni) == 0, "%s: \"%s\"", name, h->sni);
	ck_assert_msg(
	    h->has_sni == (*sni != '\0') && !h->sni_bad && !h->has_ech,
	    "%s: flags", name);
}

static const struct {
	const char *name, *sni;
} vectors[] = {
	{ "openssl-alpn", "api.example.com" },
	{ "openssl-no-sni", "" },
	{ "openssl-tls12", "api.example.com" },
	{ "curl-alpn", "api.example.com" },
	{ "python", "api.example.com" },
	{ "node-alpn", "api.example.com" },
	{ "git-alpn", "api.example.com" },
	{ "go-alpn", "api.example.com" },
	{ "openssl-hrr-first", "api.example.com" },
	{ "curl-hrr-first", "api.example.com" },
	{ "node-hrr-first", "api.example.com" },
	{ "git-hrr-first", "api.example.com" },
	{ "go-hrr-first", "api.example.com" },
};

/* Whole, split at every offset, and in records of one byte. */
START_TEST(test_vectors)
{
	const char *name = vectors[_i].name;
	struct tls_client *t;
	enum tls_event ev;
	size_t at, k;

	stream.n = 0;
	read_vector(&stream, name);
	for (at = 0; at < stream.n; at++) {
		t = tls_client_new();
		k = tls_client_feed(t, stream.b, at, &ev);
		ck_assert_int_eq((int)ev, (int)TLS_MORE);
		ck_assert_uint_eq(tls_client_safe(t), 0);
		k += tls_client_feed(t, stream.b + at, stream.n - at, &ev);
		ck_assert_msg(ev == TLS_HELLO && k == stream.n,
		    "%s: split at %zu", name, at);
		check_hello(t, name, vectors[_i].sni);
		tls_client_free(&t);
	}
	strip_records(&message, &stream);
	stream.n = 0;
	put_records(&stream, 22, message.b, message.n, 1);
	t = tls_client_new();
	k = tls_client_feed(t, stream.b, stream.n, &ev);
	ck_assert_msg(ev == TLS_HELLO && k == stream.n, "%s: tiny", name);
	check_hello(t, name, vectors[_i].sni);
	tls_client_free(&t);
}
END_TEST

/* D8, as five programs do it. */
START_TEST(test_vectors_retry)
{
	static const char *const names[] = { "openssl", "curl", "node", "git",
		"go" };
	char name[64];
	struct tls_client *t;
	enum tls_event ev = TLS_MORE;
	size_t i, k;

	snprintf(name, sizeof(name), "%s-hrr-first", names[_i]);
	t = tls_client_new();
	stream.n = 0;
	read_vector(&stream, name);
	tls_client_feed(t, stream.b, stream.n, &ev);
	ck_assert_int_eq((int)ev, (int)TLS_HELLO);
	tls_client_server_spoke(t, false);

	snprintf(name, sizeof(name), "%s-hrr-second", names[_i]);
	stream.n = 0;
	read_vector(&stream, name);
	for (i = 0; i < stream.n && ev != TLS_OPAQUE; i += k) {
		k = tls_client_feed(t, stream.b + i, 1, &ev);
		ck_assert_int_eq(
		    (int)ev, i + 1 < stream.n ? (int)TLS_MORE : (int)TLS_HELLO);
	}
	check_hello(t, name, "api.example.com");
	tls_client_feed(t, (const uint8_t *)"anything", 8, &ev);
	ck_assert_int_eq((int)ev, (int)TLS_OPAQUE);
	tls_client_free(&t);
}
END_TEST

/* TLS 1.2: the next handshake message comes when the server has spoken. */
START_TEST(test_vectors_tls12)
{
	struct tls_client *t = tls_client_new();
	enum tls_event ev;

	stream.n = 0;
	read_vector(&stream, "openssl-tls12");
	tls_client_feed(t, stream.b, stream.n, &ev);
	ck_assert_int_eq((int)ev, (int)TLS_HELLO);
	tls_client_server_spoke(t, true);
	stream.n = 0;
	read_vector(&stream, "openssl-tls12-key-exchange");
	tls_client_feed(t, stream.b, stream.n, &ev);
	ck_assert_int_eq((int)ev, (int)TLS_OPAQUE);
	tls_client_free(&t);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("proxy_tls_client");
	TCase *tc = tcase_create("client");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, test_scenarios, 0, NROWS);
	tcase_add_test(tc, test_last_hello);
	tcase_add_test(tc, test_safe_shared_record);
	tcase_add_test(tc, test_hello_limit);
	tcase_add_test(tc, test_hello_limit_records);
	tcase_add_test(tc, test_second_hello_limit);
	tcase_add_test(tc, test_large_hellos);
	tcase_add_loop_test(
	    tc, test_vectors, 0, (int)(sizeof(vectors) / sizeof(vectors[0])));
	tcase_add_loop_test(tc, test_vectors_retry, 0, 5);
	tcase_add_test(tc, test_vectors_tls12);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
