/*
 * Streams of bytes on a link: what both directions share. See peer.h and
 * PROTOCOL.md.
 *
 * A stream has one last word in each direction: its sender's is stream.end or
 * stream.abort, its receiver's stream.closed, or stream.abort when it wants no
 * more. Either side keeps the stream in its table until both are said. Since a
 * link keeps the order, nothing that belongs to a stream can then come late
 * and pass for part of the next one with its id.
 */

#include <sys/queue.h>
#include <sys/tree.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "peer_int.h"

#define REASON_MAX 128 /* msg.def: reason of stream.abort */
#define HASH_BYTES 32

/* Fetched once: a process in its sandbox may not be able to. */
static EVP_MD *sha256;

int
peer_stream_prepare(void)
{
	if (sha256 == NULL)
		sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	return sha256 != NULL ? 0 : -1;
}

/* --- the tables ------------------------------------------------------- */

static int
by_id(const struct peer_stream *a, const struct peer_stream *b)
{
	return (a->id > b->id) - (a->id < b->id);
}

RB_PROTOTYPE(peer_streams, peer_stream, entry, by_id)
RB_GENERATE(peer_streams, peer_stream, entry, by_id)

void
peer_streams_init(struct peer *p)
{
	RB_INIT(&p->sin);
	RB_INIT(&p->sout);
	TAILQ_INIT(&p->turns);
}

static size_t
streams_max(const struct peer *p)
{
	return p->kind == PEER_CLIENT ? PEER_CLIENT_STREAMS_MAX
	                              : PEER_SIBLING_STREAMS_MAX;
}

bool
peer_stream_up(const struct peer *p)
{
	return !p->ending && !p->freed && !p->out_dead &&
	    p->ops->stream_end != NULL;
}

bool
peer_stream_may_add(const struct peer *p, bool out, uint32_t id)
{
	return peer_stream_up(p) && id >= 1 && id <= INT32_MAX &&
	    (out ? p->nsout : p->nsin) < streams_max(p);
}

struct peer_stream *
peer_stream_find(struct peer_streams *set, uint32_t id)
{
	struct peer_stream key;

	key.id = id;
	return RB_FIND(peer_streams, set, &key);
}

struct peer_stream *
peer_stream_add(struct peer *p, bool out, uint32_t id)
{
	struct peer_stream *s;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return NULL;
	s->id = id;
	s->state = STREAM_OPEN;
	TAILQ_INIT(&s->queue);
	RB_INSERT(peer_streams, out ? &p->sout : &p->sin, s);
	*(out ? &p->nsout : &p->nsin) += 1;
	return s;
}

void
peer_stream_drop(struct peer *p, struct peer_stream *s)
{
	struct peer_seg *seg;

	while ((seg = TAILQ_FIRST(&s->queue)) != NULL) {
		TAILQ_REMOVE(&s->queue, seg, entry);
		peer_seg_free(seg);
	}
	p->queued -= s->queued;
	s->queued = 0;
	if (s->turning)
		TAILQ_REMOVE(&p->turns, s, turn);
	s->turning = false;
	if (s->ready_due)
		p->ready_due--;
	s->ready_due = false;
	EVP_MD_CTX_free(s->hash);
	s->hash = NULL;
}

void
peer_stream_remove(struct peer *p, bool out, struct peer_stream *s)
{
	peer_stream_drop(p, s);
	RB_REMOVE(peer_streams, out ? &p->sout : &p->sin, s);
	*(out ? &p->nsout : &p->nsin) -= 1;
	free(s);
}

void
peer_streams_free(struct peer *p)
{
	struct peer_stream *s;

	while ((s = RB_MIN(peer_streams, &p->sin)) != NULL)
		peer_stream_remove(p, false, s);
	while ((s = RB_MIN(peer_streams, &p->sout)) != NULL)
		peer_stream_remove(p, true, s);
}

/* --- the hash --------------------------------------------------------- */

EVP_MD_CTX *
peer_stream_hash(void)
{
	EVP_MD_CTX *ctx;

	if (peer_stream_prepare() == -1 || (ctx = EVP_MD_CTX_new()) == NULL)
		return NULL;
	if (EVP_DigestInit_ex(ctx, sha256, NULL) == 1)
		return ctx;
	EVP_MD_CTX_free(ctx);
	return NULL;
}

int
peer_stream_digest(struct peer_stream *s, char hex[PEER_STREAM_HEX])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char raw[HASH_BYTES];
	size_t i;

	if (EVP_DigestFinal_ex(s->hash, raw, NULL) != 1)
		return -1;
	for (i = 0; i < HASH_BYTES; i++) {
		hex[2 * i] = digits[raw[i] >> 4];
		hex[2 * i + 1] = digits[raw[i] & 0x0f];
	}
	hex[2 * HASH_BYTES] = '\0';
	return 0;
}

/* --- what is said ----------------------------------------------------- */

int
peer_stream_say_window(struct peer *p, struct peer_stream *s, int64_t bytes)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_stream_window;
	m.u.stream_window.stream = s->id;
	m.u.stream_window.bytes = bytes;
	if (peer_send(p, &m) == -1)
		return -1;
	s->granted += bytes;
	return 0;
}

void
peer_stream_say_closed(struct peer *p, uint32_t id)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_stream_closed;
	m.u.stream_closed.stream = id;
	(void)peer_send(p, &m);
}

/*
 * The other side waits for this: a reason that does not make a message (it is
 * not UTF-8, say) is left out.
 */
void
peer_stream_say_abort(
    struct peer *p, uint32_t id, bool sender, const char *reason)
{
	char text[REASON_MAX + 1];
	struct msg m;

	peer_cut(text, sizeof(text), reason);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_stream_abort;
	m.u.stream_abort.stream = id;
	m.u.stream_abort.sender = sender;
	m.u.stream_abort.reason = text[0] != '\0' ? text : "aborted";
	if (peer_send(p, &m) == 0 || p->ending)
		return;
	m.u.stream_abort.reason = "aborted";
	(void)peer_send(p, &m);
}

/* --- towards the owner ------------------------------------------------ */

void
peer_stream_tell(struct peer *p, uint32_t id, bool ok, const char *why)
{
	p->ops->stream_end(p, id, ok, why, p->arg);
}

static struct peer_stream *
next_ready(struct peer *p)
{
	struct peer_stream *s;

	RB_FOREACH(s, peer_streams, &p->sout)
		if (s->ready_due)
			return s;
	return NULL;
}

void
peer_stream_offer(struct peer *p)
{
	struct peer_stream *s;

	while (!p->freed && !p->ending && p->ready_due > 0 &&
	    (s = next_ready(p)) != NULL) {
		s->ready_due = false;
		p->ready_due--;
		if (peer_stream_room(p, s->id) > 0)
			p->ops->stream_ready(p, s->id, p->arg);
	}
}

void
peer_stream_abort(struct peer *p, uint32_t stream, const char *reason)
{
	if (!peer_stream_up(p))
		return;
	if (!peer_stream_give_up(p, stream, reason))
		(void)peer_stream_stop(p, stream, reason);
}
