/*
 * The client's side of a tunnel up to the point behind which no ClientHello
 * can come: records, handshake messages over records, and how much of the
 * stream may go upstream.
 */

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "egressd.h"

#define RECORD_HEADER_LEN 5
#define RECORD_PLAIN_MAX 16384 /* RFC 8446, 5.1 */
#define RECORD_MAX (16384 + 256) /* 5.2 */
#define RECORD_MAJOR 3
#define RECORD_MINOR_MAX 4

#define RECORD_CCS 20
#define RECORD_ALERT 21
#define RECORD_HANDSHAKE 22
#define RECORD_DATA 23

#define MESSAGE_HEADER_LEN 4
#define MESSAGE_CLIENT_HELLO 1
#define MESSAGE_BODY_MAX \
	(PROXY_HELLO_MAX - RECORD_HEADER_LEN - MESSAGE_HEADER_LEN)
#define MESSAGE_BODY_FIRST 2048 /* first allocation, then doubled */

struct tls_client {
	uint64_t consumed; /* of the stream */

	/* The record under way; nhead is 0 between two. */
	uint8_t head[RECORD_HEADER_LEN];
	size_t nhead;
	size_t record_left;
	uint64_t record_start; /* offset in the stream */

	/* The handshake message under way; nmsg is 0 between two. */
	uint8_t msg_head[MESSAGE_HEADER_LEN];
	uint8_t *body;
	size_t body_size;
	size_t nmsg; /* bytes so far, header too */
	size_t msg_len; /* header too, once that is known */
	uint64_t msg_start; /* of the record it began in */

	struct tls_hello hello;
	unsigned hellos;

	bool server_real;
	bool server_retry;
	bool retried; /* a hello came after the retry */
	bool opaque;
	bool failed;
	enum tls_event failure;
	uint64_t failed_safe;
};

struct tls_client *
tls_client_new(void)
{
	return calloc(1, sizeof(struct tls_client));
}

static void
body_release(struct tls_client *t)
{
	free(t->body);
	t->body = NULL;
	t->body_size = 0;
}

void
tls_client_free(struct tls_client **t)
{
	if (*t == NULL)
		return;
	body_release(*t);
	free(*t);
	*t = NULL;
}

const struct tls_hello *
tls_client_hello(const struct tls_client *t)
{
	return &t->hello;
}

unsigned
tls_client_hellos(const struct tls_client *t)
{
	return t->hellos;
}

uint64_t
tls_client_safe(const struct tls_client *t)
{
	if (t->failed)
		return t->failed_safe;
	if (t->nmsg > 0)
		return t->msg_start;
	/* Of a record that is no handshake the header must be whole. */
	if (t->nhead > 0 &&
	    (t->nhead < RECORD_HEADER_LEN || t->head[0] == RECORD_HANDSHAKE) &&
	    !t->opaque)
		return t->record_start;
	return t->consumed;
}

void
tls_client_server_spoke(struct tls_client *t, bool real)
{
	if (real)
		t->server_real = true;
	else
		t->server_retry = true;
}

static enum tls_event
fail(struct tls_client *t, enum tls_event failure)
{
	t->failed_safe = t->nmsg > 0 ? t->msg_start : t->record_start;
	t->failed = true;
	t->failure = failure;
	body_release(t);
	return failure;
}

/*
 * Is a handshake message, or a record that will carry one, half arrived? It
 * was sent before the client could know what the server says.
 */
static bool
is_half_arrived(const struct tls_client *t)
{
	return t->nmsg > 0 || (t->nhead > 0 && t->head[0] == RECORD_HANDSHAKE);
}

static bool
is_opaque(const struct tls_client *t)
{
	if (t->opaque)
		return true;
	/* A server that speaks first says nothing about the client. */
	if (t->hellos == 0)
		return false;
	return (t->server_real || t->retried) && !is_half_arrived(t);
}

/* --- the record header ------------------------------------------------ */

/*
 * The first record decides whether this is TLS at all. A hello of SSLv2 has
 * the top bit of its length set and the message type behind the length.
 */
static enum tls_event
judge_first_bytes(struct tls_client *t)
{
	bool ssl2 = (t->head[0] & 0x80) != 0;

	if (ssl2 && t->nhead < 3)
		return TLS_MORE;
	if (ssl2)
		return fail(t,
		    t->head[2] == MESSAGE_CLIENT_HELLO ? TLS_MALFORMED
		                                       : TLS_NOT_TLS);
	if (t->head[0] != RECORD_HANDSHAKE)
		return fail(t, TLS_NOT_TLS);
	if (t->nhead > 1 && t->head[1] != RECORD_MAJOR)
		return fail(t, TLS_NOT_TLS);
	return TLS_MORE;
}

static bool
is_type_due(const struct tls_client *t)
{
	switch (t->head[0]) {
	case RECORD_HANDSHAKE:
		return true;
	case RECORD_CCS:
	case RECORD_ALERT:
	case RECORD_DATA:
		/* No other record may stand inside a message. */
		return t->nmsg == 0;
	default:
		return false;
	}
}

static bool
is_length_good(const struct tls_client *t, size_t len)
{
	size_t max =
	    t->head[0] == RECORD_HANDSHAKE ? RECORD_PLAIN_MAX : RECORD_MAX;

	return len > 0 && len <= max;
}

static enum tls_event
take_header_byte(struct tls_client *t, uint8_t b)
{
	enum tls_event ev;

	if (t->nhead == 0)
		t->record_start = t->consumed;
	t->head[t->nhead++] = b;
	t->consumed++;

	if (t->record_start == 0) {
		ev = judge_first_bytes(t);
		if (ev != TLS_MORE || (t->head[0] & 0x80) != 0)
			return ev;
	}
	if (!is_type_due(t) || (t->nhead > 1 && t->head[1] != RECORD_MAJOR) ||
	    (t->nhead > 2 && t->head[2] > RECORD_MINOR_MAX))
		return fail(t, TLS_MALFORMED);
	if (t->nhead == RECORD_HEADER_LEN) {
		t->record_left = (size_t)t->head[3] << 8 | t->head[4];
		if (!is_length_good(t, t->record_left))
			return fail(t, TLS_MALFORMED);
	}
	return TLS_MORE;
}

/* --- handshake messages ----------------------------------------------- */

static enum tls_event
take_message_head(struct tls_client *t, uint8_t b)
{
	if (t->nmsg == 0) {
		t->msg_start = t->record_start;
		if (b != MESSAGE_CLIENT_HELLO)
			return fail(t, TLS_MALFORMED);
	}
	t->msg_head[t->nmsg++] = b;
	if (t->nmsg < MESSAGE_HEADER_LEN)
		return TLS_MORE;
	t->msg_len = MESSAGE_HEADER_LEN +
	    ((size_t)t->msg_head[1] << 16 | (size_t)t->msg_head[2] << 8 |
	        t->msg_head[3]);
	if (t->msg_len > MESSAGE_HEADER_LEN + MESSAGE_BODY_MAX)
		return fail(t, TLS_MALFORMED);
	return TLS_MORE;
}

/* The buffer grows with what arrives, not with what was announced. */
static int
body_reserve(struct tls_client *t, size_t need)
{
	size_t limit = t->msg_len - MESSAGE_HEADER_LEN;
	size_t size = t->body_size;
	uint8_t *body;

	if (need <= size)
		return 0;
	if (size == 0)
		size = MESSAGE_BODY_FIRST;
	while (size < need)
		size *= 2;
	if (size > limit)
		size = limit;
	body = realloc(t->body, size);
	if (body == NULL)
		return -1;
	t->body = body;
	t->body_size = size;
	return 0;
}

static int
take_message_body(struct tls_client *t, const uint8_t *buf, size_t n)
{
	size_t have = t->nmsg - MESSAGE_HEADER_LEN;

	if (body_reserve(t, have + n) == -1)
		return -1;
	memcpy(t->body + have, buf, n);
	t->nmsg += n;
	return 0;
}

static enum tls_event
judge_message(struct tls_client *t)
{
	struct tls_hello hello;
	int r;

	r = tls_hello_parse(t->body, t->msg_len - MESSAGE_HEADER_LEN, &hello);
	if (r == -1)
		return fail(t, TLS_MALFORMED);
	body_release(t);
	t->hello = hello;
	t->nmsg = 0;
	t->hellos++;
	t->retried = t->server_retry;
	return TLS_HELLO;
}

/* Raw bytes, record headers too, that may still come for this message. */
static size_t
budget(const struct tls_client *t)
{
	uint64_t start = t->nmsg > 0 ? t->msg_start : t->record_start;

	return PROXY_HELLO_MAX - (size_t)(t->consumed - start);
}

static size_t
min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Bytes of a handshake record, n of them at least 1; *used tells how many. */
static enum tls_event
take_handshake(struct tls_client *t, const uint8_t *buf, size_t n, size_t *used)
{
	enum tls_event ev;

	if (t->nmsg < MESSAGE_HEADER_LEN) {
		*used = 1;
		ev = take_message_head(t, buf[0]);
		if (ev != TLS_MORE)
			return ev;
	} else {
		*used = min_size(n, t->msg_len - t->nmsg);
		if (take_message_body(t, buf, *used) == -1)
			return fail(t, TLS_MALFORMED);
	}
	if (t->nmsg >= MESSAGE_HEADER_LEN && t->nmsg == t->msg_len)
		return judge_message(t);
	return TLS_MORE;
}

/* --- the stream ------------------------------------------------------- */

static enum tls_event
take_record(struct tls_client *t, const uint8_t *buf, size_t n, size_t *used)
{
	enum tls_event ev = TLS_MORE;

	n = min_size(n, t->record_left);
	*used = n;
	if (t->head[0] == RECORD_HANDSHAKE)
		ev = take_handshake(t, buf, min_size(n, budget(t)), used);
	t->consumed += *used;
	t->record_left -= *used;
	if (t->record_left == 0)
		t->nhead = 0;
	return ev;
}

size_t
tls_client_feed(
    struct tls_client *t, const uint8_t *buf, size_t n, enum tls_event *ev)
{
	size_t used = 0, k;

	*ev = TLS_MORE;
	if (t->failed) {
		*ev = t->failure;
		return 0;
	}
	if (is_opaque(t)) {
		t->opaque = true;
		t->consumed += n;
		*ev = TLS_OPAQUE;
		return n;
	}
	while (used < n && *ev == TLS_MORE) {
		k = 1;
		if (is_half_arrived(t) && budget(t) == 0)
			*ev = fail(t, TLS_MALFORMED);
		else if (t->nhead < RECORD_HEADER_LEN)
			*ev = take_header_byte(t, buf[used]);
		else
			*ev = take_record(t, buf + used, n - used, &k);
		used += k;
	}
	return used;
}
