/*
 * What a server says first: whether a hello of the client is answered for
 * good, or a second one is due.
 */

#include <sys/types.h>

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "egressd.h"

#define RECORD_HEADER_LEN 5
#define RECORD_HANDSHAKE 22
#define RECORD_MAJOR 3
#define RECORD_PLAIN_MAX 16384

#define MESSAGE_SERVER_HELLO 2
#define RANDOM_OFFSET 6 /* type, length, legacy_version */
#define RANDOM_LEN 32
#define HELLO_START_LEN (RANDOM_OFFSET + RANDOM_LEN)

/* SHA-256 of "HelloRetryRequest" (RFC 8446, 4.1.3). */
static const uint8_t retry_random[RANDOM_LEN] = { 0xcf, 0x21, 0xad, 0x74, 0xe5,
	0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
	0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8,
	0xa8, 0x33, 0x9c };

void
tls_server_init(struct tls_server *t)
{
	memset(t, 0, sizeof(*t));
	t->verdict = TLS_SERVER_MORE;
}

/* t->buf: the header of the record under way, then n bytes of the message. */
static enum tls_server_event
take_header_byte(struct tls_server *t, uint8_t b)
{
	t->buf[t->header++] = b;
	if (t->buf[0] != RECORD_HANDSHAKE)
		return TLS_SERVER_OTHER;
	if (t->header > 1 && t->buf[1] != RECORD_MAJOR)
		return TLS_SERVER_OTHER;
	if (t->header < RECORD_HEADER_LEN)
		return TLS_SERVER_MORE;
	t->record_left = (size_t)t->buf[3] << 8 | t->buf[4];
	if (t->record_left == 0 || t->record_left > RECORD_PLAIN_MAX)
		return TLS_SERVER_OTHER;
	return TLS_SERVER_MORE;
}

static enum tls_server_event
take_message_byte(struct tls_server *t, uint8_t b)
{
	const uint8_t *msg = t->buf + RECORD_HEADER_LEN;

	t->buf[RECORD_HEADER_LEN + t->n++] = b;
	if (--t->record_left == 0)
		t->header = 0;
	if (msg[0] != MESSAGE_SERVER_HELLO)
		return TLS_SERVER_OTHER;
	if (t->n < HELLO_START_LEN)
		return TLS_SERVER_MORE;
	if (memcmp(msg + RANDOM_OFFSET, retry_random, RANDOM_LEN) == 0)
		return TLS_SERVER_RETRY;
	return TLS_SERVER_HELLO;
}

enum tls_server_event
tls_server_feed(struct tls_server *t, const uint8_t *buf, size_t n)
{
	size_t i;

	for (i = 0; i < n && t->verdict == TLS_SERVER_MORE; i++) {
		if (t->header < RECORD_HEADER_LEN)
			t->verdict = take_header_byte(t, buf[i]);
		else
			t->verdict = take_message_byte(t, buf[i]);
	}
	return t->verdict;
}
