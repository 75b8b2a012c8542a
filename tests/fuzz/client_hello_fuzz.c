/*
 * The client's side of a tunnel. The first byte says after which hello the
 * server speaks, and what; the rest is the stream. Events and their places
 * must not depend on how the bytes came, and a byte once safe stays so.
 */

#undef NDEBUG /* a release build must check as well */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/egressd.h"

#define EVENTS_MAX 64
#define MESSAGE_HEADER 4
#define RECORD_HEADER 5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct event {
	enum tls_event ev;
	size_t at;
	uint64_t safe;
};

struct trace {
	struct event events[EVENTS_MAX];
	size_t n;
	uint64_t safe;
};

static void
check_hello(const struct tls_hello *h)
{
	char again[HOSTNAME_MAX + 1];

	assert(memchr(h->sni, '\0', sizeof(h->sni)) != NULL);
	assert(memchr(h->sni_raw, '\0', sizeof(h->sni_raw)) != NULL);
	if (!h->has_sni)
		assert(!h->sni_bad && h->sni[0] == '\0');
	else if (h->sni_bad)
		assert(h->sni[0] == '\0');
	else {
		assert(hostname_canon(h->sni, strlen(h->sni), again) == 0);
		assert(strcmp(h->sni, again) == 0);
	}
}

static void
note(struct trace *tr, const struct tls_client *t, enum tls_event ev, size_t at)
{
	struct event *e;

	if (ev == TLS_HELLO)
		check_hello(tls_client_hello(t));
	if (tr->n == EVENTS_MAX)
		return;
	e = &tr->events[tr->n++];
	e->ev = ev;
	e->at = at;
	e->safe = tls_client_safe(t);
}

/* How the server speaks: bits 0-1 after which hello, bit 2 for good or not. */
static void
speak(struct tls_client *t, uint8_t how)
{
	if ((how & 3) != 0 && tls_client_hellos(t) == (how & 3U))
		tls_client_server_spoke(t, (how & 4) != 0);
}

static void
play(struct trace *tr, uint8_t how, const uint8_t *b, size_t size, size_t piece)
{
	struct tls_client *t = tls_client_new();
	enum tls_event ev = TLS_MORE;
	size_t at = 0, n, k;
	uint64_t safe = 0;

	assert(t != NULL);
	memset(tr, 0, sizeof(*tr));
	while (at < size && (ev == TLS_MORE || ev == TLS_HELLO)) {
		n = size - at < piece ? size - at : piece;
		k = tls_client_feed(t, b + at, n, &ev);
		assert(k <= n && (k > 0 || ev != TLS_MORE));
		/* How much OPAQUE takes depends on what it was given. */
		if (ev == TLS_OPAQUE) {
			assert(k == n && tls_client_safe(t) == at + n);
			k = 0;
		}
		at += k;
		assert(tls_client_safe(t) >= safe);
		safe = tls_client_safe(t);
		assert(safe <= at + n);
		if (ev == TLS_HELLO)
			speak(t, how);
		if (ev != TLS_MORE)
			note(tr, t, ev, at);
	}
	if (tr->n > 0 && ev == TLS_OPAQUE)
		tr->events[tr->n - 1].safe = 0;
	tr->safe = ev == TLS_OPAQUE ? 0 : safe;
	tls_client_free(&t);
	assert(t == NULL);
}

static void
check_same(const struct trace *a, const struct trace *b)
{
	size_t i;

	assert(a->n == b->n && a->safe == b->safe);
	for (i = 0; i < a->n; i++) {
		assert(a->events[i].ev == b->events[i].ev);
		assert(a->events[i].at == b->events[i].at);
		assert(a->events[i].safe == b->events[i].safe);
	}
}

/* One message: in records of one byte its verdict is that of its parser. */
static void
check_tiny_records(const uint8_t *body, size_t size)
{
	size_t n = MESSAGE_HEADER + size, i;
	struct tls_hello hello;
	struct tls_client *t;
	enum tls_event ev = TLS_MORE;
	uint8_t record[RECORD_HEADER + 1] = { 22, 3, 1, 0, 1, 0 };
	uint8_t head[MESSAGE_HEADER] = { 1, 0, (uint8_t)(size >> 8),
		(uint8_t)size };
	int r;

	if (n * (RECORD_HEADER + 1) > PROXY_HELLO_MAX)
		return;
	r = tls_hello_parse(body, size, &hello);
	t = tls_client_new();
	assert(t != NULL);
	for (i = 0; i < n; i++) {
		record[RECORD_HEADER] =
		    i < sizeof(head) ? head[i] : body[i - sizeof(head)];
		tls_client_feed(t, record, sizeof(record), &ev);
		if (i + 1 < n)
			assert(ev == TLS_MORE && tls_client_safe(t) == 0);
	}
	assert(ev == (r == 0 ? TLS_HELLO : TLS_MALFORMED));
	if (r == 0)
		assert(memcmp(&hello, tls_client_hello(t), sizeof(hello)) == 0);
	tls_client_free(&t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trace whole, other;

	if (size < 1)
		return 0;
	play(&whole, data[0], data + 1, size - 1, size);
	play(&other, data[0], data + 1, size - 1, 1);
	check_same(&whole, &other);
	play(&other, data[0], data + 1, size - 1, 7);
	check_same(&whole, &other);
	if (size > 1 + RECORD_HEADER + MESSAGE_HEADER)
		check_tiny_records(data + 1 + RECORD_HEADER + MESSAGE_HEADER,
		    size - 1 - RECORD_HEADER - MESSAGE_HEADER);
	return 0;
}
