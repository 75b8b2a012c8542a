/* Streams that we send: see peer_stream.c. */

#include <sys/queue.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "clock.h"
#include "log.h"
#include "peer_int.h"

/*
 * Frames are taken from streams into the queue of the link only as far as the
 * socket is near: a control message waits behind no more than this.
 */
#define AHEAD_MAX (2 * FRAME_DATA_MAX)
#define SEG_MIN 4096 /* small writes share a frame of this */

/* --- for the owner ---------------------------------------------------- */

/*
 * An id may be used again before the receiver has said closed to the stream
 * that had it: what is said of that one still comes first, and is counted.
 */
int
peer_stream_begin(struct peer *p, uint32_t stream)
{
	struct peer_stream *s = peer_stream_find(&p->sout, stream);
	EVP_MD_CTX *hash;

	if (!peer_stream_up(p) || (s != NULL && s->state == STREAM_OPEN) ||
	    (s == NULL && !peer_stream_may_add(p, true, stream)) ||
	    (hash = peer_stream_hash()) == NULL)
		return -1;
	if (s == NULL && (s = peer_stream_add(p, true, stream)) == NULL) {
		EVP_MD_CTX_free(hash);
		return -1;
	}
	s->hash = hash;
	if (s->state == STREAM_ENDED || s->state == STREAM_ABORTED) {
		s->stale++;
		s->bytes = s->granted = 0;
		s->finishing = false;
	} else if (s->state == STREAM_OFFERED) {
		s->ready_due = true;
		p->ready_due++;
		event_active(p->wev, EV_WRITE, 1);
	}
	s->state = STREAM_OPEN;
	return 0;
}

static size_t
room(const struct peer *p, const struct peer_stream *s)
{
	if (s == NULL || s->state != STREAM_OPEN || s->finishing ||
	    !peer_stream_up(p))
		return 0;
	return (size_t)(s->granted - s->bytes);
}

size_t
peer_stream_room(struct peer *p, uint32_t stream)
{
	return room(p, peer_stream_find(&p->sout, stream));
}

/* A frame that len bytes and those of later writes go into. */
static struct peer_seg *
seg_new(size_t len)
{
	size_t cap = len < SEG_MIN ? SEG_MIN : len;
	struct peer_seg *seg;

	if (cap > FRAME_DATA_MAX)
		cap = FRAME_DATA_MAX;
	if ((seg = malloc(sizeof(*seg) + cap)) == NULL)
		return NULL;
	memset(seg, 0, sizeof(*seg));
	seg->hdr_len = FRAME_DATA_HEADER_LEN;
	seg->text = seg->room;
	seg->cap = cap;
	seg->fd = -1;
	return seg;
}

static int
append(struct peer_stream *s, const uint8_t *buf, size_t len)
{
	struct peer_seg *seg = TAILQ_LAST(&s->queue, peer_segs);
	size_t n;

	while (len > 0) {
		if (seg == NULL || seg->len == seg->cap) {
			if ((seg = seg_new(len)) == NULL)
				return -1;
			TAILQ_INSERT_TAIL(&s->queue, seg, entry);
		}
		n = seg->cap - seg->len < len ? seg->cap - seg->len : len;
		memcpy(seg->text + seg->len, buf, n);
		seg->len += n;
		buf += n;
		len -= n;
	}
	return 0;
}

int
peer_stream_write(struct peer *p, uint32_t stream, const void *buf, size_t len)
{
	struct peer_stream *s = peer_stream_find(&p->sout, stream);

	if (len > room(p, s))
		return -1;
	if (len == 0)
		return s != NULL && s->state == STREAM_OPEN ? 0 : -1;
	if (EVP_DigestUpdate(s->hash, buf, len) != 1 ||
	    append(s, buf, len) == -1) {
		peer_end(p, PEER_END_SYSTEM, "out of memory");
		return -1;
	}
	s->bytes += (int64_t)len;
	s->queued += len;
	p->queued += len;
	if (!s->turning)
		TAILQ_INSERT_TAIL(&p->turns, s, turn);
	s->turning = true;
	event_active(p->wev, EV_WRITE, 1);
	return 0;
}

static int
say_end(struct peer *p, struct peer_stream *s)
{
	char hex[PEER_STREAM_HEX];
	struct msg m;

	if (peer_stream_digest(s, hex) == -1) {
		peer_end(p, PEER_END_SYSTEM, "cannot hash a stream");
		return -1;
	}
	peer_stream_drop(p, s);
	s->state = STREAM_ENDED;
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_stream_end;
	m.u.stream_end.stream = s->id;
	m.u.stream_end.bytes = s->bytes;
	m.u.stream_end.sha256 = hex;
	return peer_send(p, &m);
}

/*
 * The end follows the last byte into the queue of the link; and, so that it is
 * the end of something expected, the first credit.
 */
static bool
end_due(const struct peer_stream *s)
{
	return s->state == STREAM_OPEN && s->finishing && s->granted > 0 &&
	    TAILQ_EMPTY(&s->queue);
}

int
peer_stream_finish(struct peer *p, uint32_t stream)
{
	struct peer_stream *s = peer_stream_find(&p->sout, stream);

	if (!peer_stream_up(p) || s == NULL || s->state != STREAM_OPEN ||
	    s->finishing)
		return -1;
	s->finishing = true;
	return end_due(s) ? say_end(p, s) : 0;
}

bool
peer_stream_give_up(struct peer *p, uint32_t id, const char *reason)
{
	struct peer_stream *s = peer_stream_find(&p->sout, id);

	if (s == NULL ||
	    (s->state != STREAM_OPEN && s->state != STREAM_OFFERED))
		return false;
	peer_stream_drop(p, s);
	s->state = STREAM_ABORTED;
	peer_stream_say_abort(p, id, true, reason);
	return true;
}

/* --- turns ------------------------------------------------------------ */

/* The first frame of a stream goes into the queue of the link. */
static void
take_turn(struct peer *p, struct peer_stream *s, size_t *budget)
{
	struct peer_seg *seg = TAILQ_FIRST(&s->queue);

	TAILQ_REMOVE(&s->queue, seg, entry);
	s->queued -= seg->len;
	p->queued -= seg->len;
	*budget -= seg->len < *budget ? seg->len : *budget;
	frame_put_data(seg->hdr, s->id, seg->len);
	if (p->kind == PEER_CLIENT)
		seg->queued_ms = clock_boot_ms();
	TAILQ_INSERT_TAIL(&p->out, seg, entry);
	p->out_data += seg->hdr_len + seg->len;
	log_trace("%s -> %s: data %u, %zu bytes", p->my_name, p->other_name,
	    s->id, seg->len);
}

void
peer_stream_feed(struct peer *p, size_t *budget)
{
	struct peer_stream *s;

	while (*budget > 0 && p->out_data < AHEAD_MAX &&
	    (s = TAILQ_FIRST(&p->turns)) != NULL) {
		take_turn(p, s, budget);
		TAILQ_REMOVE(&p->turns, s, turn);
		s->turning = !TAILQ_EMPTY(&s->queue);
		if (s->turning)
			TAILQ_INSERT_TAIL(&p->turns, s, turn);
		else if (end_due(s))
			(void)say_end(p, s);
	}
}

/* --- from the other side ---------------------------------------------- */

/*
 * Credit for a stream that its receiver named, and that the owner will begin
 * when it comes to it. It takes a place in the table.
 */
static void
offered(struct peer *p, uint32_t id, int64_t bytes)
{
	struct peer_stream *s;

	if (!peer_stream_may_add(p, true, id)) {
		peer_bad(p, "credit for too many streams");
		return;
	}
	if (bytes > PEER_WINDOW) {
		peer_bad(p, "more credit than a window");
		return;
	}
	if ((s = peer_stream_add(p, true, id)) == NULL) {
		peer_end(p, PEER_END_SYSTEM, "out of memory");
		return;
	}
	s->state = STREAM_OFFERED;
	s->granted = bytes;
}

/*
 * Only what has left may be credited again, so that no more than a window of
 * one stream waits here whatever the receiver says.
 */
void
peer_stream_got_window(struct peer *p, const struct msg_stream_window *m)
{
	uint32_t id = (uint32_t)m->stream;
	struct peer_stream *s = peer_stream_find(&p->sout, id);

	if (!peer_stream_up(p))
		return;
	if (s == NULL) {
		offered(p, id, m->bytes);
		return;
	}
	if (s->stale > 0)
		return;
	if (m->bytes >
	    PEER_WINDOW + s->bytes - (int64_t)s->queued - s->granted) {
		peer_bad(p, "more credit than a window");
		return;
	}
	s->granted += m->bytes;
	if (end_due(s)) {
		(void)say_end(p, s);
		return;
	}
	if (room(p, s) == 0)
		return;
	if (s->ready_due)
		p->ready_due--;
	s->ready_due = false;
	if (p->ops->stream_ready != NULL)
		p->ops->stream_ready(p, id, p->arg);
}

/*
 * The receiver wants no more. It is answered with our last word, unless that
 * was said before. The owner is told of a stream that it has not begun too, but
 * of no id that it might take for one that comes in.
 */
void
peer_stream_got_stop(struct peer *p, const struct msg_stream_abort *m)
{
	uint32_t id = (uint32_t)m->stream;
	struct peer_stream *s = peer_stream_find(&p->sout, id);
	bool ours = s != NULL && s->state == STREAM_ABORTED;
	bool ended = s != NULL && s->state == STREAM_ENDED;
	bool begun = s != NULL && s->state != STREAM_OFFERED;
	bool tell = begun || peer_stream_find(&p->sin, id) == NULL;

	if (s != NULL && s->stale > 0) {
		s->stale--;
		return;
	}
	if (s != NULL)
		peer_stream_remove(p, true, s);
	if (ours)
		return;
	if (!ended)
		peer_stream_say_abort(p, id, true, "as its receiver wants");
	if (tell)
		peer_stream_tell(p, id, false, m->reason);
}

void
peer_stream_got_closed(struct peer *p, const struct msg_stream_closed *m)
{
	struct peer_stream *s = peer_stream_find(&p->sout, (uint32_t)m->stream);

	if (s != NULL && s->stale > 0)
		s->stale--;
	else if (s != NULL &&
	    (s->state == STREAM_ENDED || s->state == STREAM_ABORTED))
		peer_stream_remove(p, true, s);
	else
		peer_bad(p, "closed for a stream that has not ended");
}
