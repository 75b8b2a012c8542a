/* Streams that we receive: see peer_stream.c. */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <openssl/evp.h>

#include "log.h"
#include "peer_int.h"

/*
 * Credit is given back in parts of this size at least: a message for each
 * frame would be wasteful, and the sender has the rest of its window yet.
 */
#define GRANT_MIN (PEER_WINDOW / 4)

/* --- for the owner ---------------------------------------------------- */

int
peer_stream_expect(struct peer *p, uint32_t stream, int64_t max)
{
	struct peer_stream *s;

	if (max < 0 || p->ops->data == NULL ||
	    !peer_stream_may_add(p, false, stream) ||
	    peer_stream_find(&p->sin, stream) != NULL ||
	    (s = peer_stream_add(p, false, stream)) == NULL)
		return -1;
	s->max = max;
	s->hash = peer_stream_hash();
	if (s->hash == NULL ||
	    peer_stream_say_window(p, s, PEER_WINDOW) == -1) {
		peer_stream_remove(p, false, s);
		return -1;
	}
	return 0;
}

void
peer_stream_consumed(struct peer *p, uint32_t stream, size_t n)
{
	struct peer_stream *s = peer_stream_find(&p->sin, stream);
	int64_t grant;

	if (s == NULL || s->state != STREAM_OPEN || !peer_stream_up(p))
		return;
	if (n > (uint64_t)(s->bytes - s->taken)) {
		log_warnx("bug: %s consumed more of stream %u of %s than came",
		    p->my_name, stream, p->other_name);
		n = (size_t)(s->bytes - s->taken);
	}
	s->taken += (int64_t)n;
	grant = s->taken + PEER_WINDOW - s->granted;
	/* What has credit up to its end needs no more. */
	if (grant >= GRANT_MIN && s->granted < s->max)
		(void)peer_stream_say_window(p, s, grant);
}

bool
peer_stream_stop(struct peer *p, uint32_t id, const char *reason)
{
	struct peer_stream *s = peer_stream_find(&p->sin, id);

	if (s == NULL || s->state != STREAM_OPEN)
		return false;
	peer_stream_drop(p, s);
	s->state = STREAM_ABORTED;
	peer_stream_say_abort(p, id, false, reason);
	return true;
}

int
peer_stream_refuse(struct peer *p, uint32_t stream, const char *reason)
{
	struct peer_stream *s;

	if (!peer_stream_up(p))
		return -1;
	if (peer_stream_find(&p->sin, stream) == NULL) {
		if (!peer_stream_may_add(p, false, stream) ||
		    (s = peer_stream_add(p, false, stream)) == NULL)
			return -1;
	}
	/* It was aborted already where this returns false. */
	(void)peer_stream_stop(p, stream, reason);
	return 0;
}

/* --- from the other side ---------------------------------------------- */

/* What is wrong with this frame, or NULL. */
static const char *
wrong_data(const struct peer *p, const struct peer_stream *s, size_t len)
{
	if (p->kind == PEER_CLIENT && !p->hello_got)
		return "no hello first";
	if (p->in_fd != -1)
		return "a descriptor with a data frame";
	if (s == NULL)
		return "a data frame of no open stream";
	if ((int64_t)len > s->granted - s->bytes)
		return "more of a stream than there was credit for";
	if (s->state == STREAM_OPEN && (int64_t)len > s->max - s->bytes)
		return "more of a stream than it may have";
	return NULL;
}

void
peer_stream_data(struct peer *p, const struct frame *f)
{
	struct peer_stream *s = peer_stream_find(&p->sin, f->stream);
	const char *why = wrong_data(p, s, f->len);

	if (why != NULL) {
		peer_bad(p, why);
		return;
	}
	log_trace("%s -> %s: data %u, %zu bytes", p->other_name, p->my_name,
	    f->stream, f->len);
	s->bytes += (int64_t)f->len;
	if (s->state == STREAM_ABORTED)
		return;
	if (EVP_DigestUpdate(s->hash, f->data, f->len) != 1) {
		(void)peer_stream_stop(p, f->stream, "internal");
		peer_stream_tell(p, f->stream, false, "cannot hash it");
		return;
	}
	p->ops->data(p, f->stream, f->data, f->len, p->arg);
}

/* Is this the end of what has come? */
static const char *
wrong_end(struct peer_stream *s, const struct msg_stream_end *m)
{
	char hex[PEER_STREAM_HEX];

	if (m->bytes != s->bytes)
		return "the end of a stream of another length";
	if (peer_stream_digest(s, hex) == -1 || strcmp(hex, m->sha256) != 0)
		return "the end of a stream of another hash";
	return NULL;
}

void
peer_stream_got_end(struct peer *p, const struct msg_stream_end *m)
{
	uint32_t id = (uint32_t)m->stream;
	struct peer_stream *s = peer_stream_find(&p->sin, id);
	const char *why;

	if (s == NULL) {
		peer_bad(p, "the end of no open stream");
		return;
	}
	if (s->state == STREAM_ABORTED) {
		peer_stream_remove(p, false, s);
		return;
	}
	if ((why = wrong_end(s, m)) != NULL) {
		peer_bad(p, why);
		return;
	}
	peer_stream_remove(p, false, s);
	peer_stream_say_closed(p, id);
	peer_stream_tell(p, id, true, "");
}

/*
 * The sender aborts. It may do so before we have said that we expect the
 * stream: the owner, who saw it announced, is told then too. An id that it
 * might take for one of its own is kept from it.
 */
void
peer_stream_got_abort(struct peer *p, const struct msg_stream_abort *m)
{
	uint32_t id = (uint32_t)m->stream;
	struct peer_stream *s = peer_stream_find(&p->sin, id);
	bool tell = s != NULL || peer_stream_find(&p->sout, id) == NULL;

	if (s != NULL && s->state == STREAM_ABORTED) {
		peer_stream_remove(p, false, s);
		return;
	}
	if (s != NULL)
		peer_stream_remove(p, false, s);
	peer_stream_say_closed(p, id);
	if (tell)
		peer_stream_tell(p, id, false, m->reason);
}
