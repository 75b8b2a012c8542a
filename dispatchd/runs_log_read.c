/* Reading a log from an offset of its output on. */

#include <sys/types.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "dispatchd/runs_log_int.h"

/* A chunk of a file: what its header says, and where its data lies. */
struct stored {
	enum chunk_kind kind;
	size_t len; /* of data; 0 for a gap */
	int64_t span; /* output bytes that it stands for */
	off_t data, next;
};

/* Returns 0, or -1: the file is not what we wrote. */
static int
stored_at(const struct segment *s, off_t pos, struct stored *c)
{
	uint8_t buf[CHUNK_HEADER_LEN + CHUNK_GAP_LEN];
	struct chunk_reader r;
	struct chunk got;
	ssize_t n = pread(s->fd, buf, sizeof(buf), pos);

	memset(&r, 0, sizeof(r));
	if (n < CHUNK_HEADER_LEN ||
	    chunk_read(&r, buf, CHUNK_HEADER_LEN, &got) == -1) {
		errno = n == -1 ? errno : EBADMSG;
		return -1;
	}
	c->kind = r.kind;
	c->data = pos + CHUNK_HEADER_LEN;
	c->len = r.left;
	c->next = c->data + (off_t)r.left;
	c->span = (int64_t)r.left;
	if (r.kind == CHUNK_GAP) {
		c->len = 0;
		c->span = runs_log_get64(buf + CHUNK_HEADER_LEN);
	}
	if (c->next <= s->size && c->span > 0)
		return 0;
	errno = EBADMSG;
	return -1;
}

/*
 * Find the chunk that holds what is wanted; *start is its first byte's offset.
 * The way there begins where the reader was, if that was in this file, or at a
 * mark that is nearer.
 */
static int
seek(const struct segment *s, const struct runs_log_place *p, struct stored *c,
    int64_t *start)
{
	bool here = p->pos != 0 && p->from == s->from && p->chunk <= p->at;
	int64_t off = here ? p->chunk : s->from;
	off_t pos = here ? p->pos : FILE_HEADER_LEN;
	const struct mark *m = marks_find(&s->marks, p->at);

	if (m != NULL && m->at > off) {
		off = m->at;
		pos = m->pos;
	}
	for (;;) {
		if (stored_at(s, pos, c) == -1)
			return -1;
		if (p->at < off + c->span)
			break;
		off += c->span;
		pos = c->next;
	}
	*start = off;
	return 0;
}

/* The segment that holds at; NULL: none does, *next begins behind it. */
static struct segment *
segment_of(struct runs_log *l, int64_t at, int64_t *next)
{
	struct segment *all[] = { &l->head, &l->tail[0], &l->tail[1] };
	size_t i;

	*next = -1;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i]->fd == -1 || all[i]->to <= at)
			continue;
		if (all[i]->from <= at)
			return all[i];
		*next = all[i]->from;
		return NULL;
	}
	return NULL;
}

/* What of a chunk of output is wanted, behind a header of its own. */
static ptrdiff_t
put_piece(
    const struct segment *s, const struct stored *c, size_t skip, uint8_t *buf)
{
	size_t len = c->len - skip;
	ssize_t n =
	    pread(s->fd, buf + CHUNK_HEADER_LEN, len, c->data + (off_t)skip);

	if (n != (ssize_t)len) {
		errno = n == -1 ? errno : EBADMSG;
		return -1;
	}
	chunk_put_header(buf, c->kind, len);
	return CHUNK_HEADER_LEN + n;
}

ptrdiff_t
runs_log_read(
    struct runs_log *l, struct runs_log_place *p, uint8_t *buf, size_t size)
{
	ptrdiff_t n = CHUNK_HEADER_LEN + CHUNK_GAP_LEN;
	struct segment *s;
	struct stored c;
	int64_t next, start;

	if (size < CHUNK_HEADER_LEN + CHUNK_MAX) {
		errno = EINVAL;
		return -1;
	}
	if ((s = segment_of(l, p->at, &next)) == NULL) {
		if (next == -1)
			return 0;
		chunk_put_gap(buf, next - p->at);
		p->at = next;
		return n;
	}
	if (seek(s, p, &c, &start) == -1)
		return -1;
	if (c.kind == CHUNK_GAP)
		chunk_put_gap(buf, c.span - (p->at - start));
	else if ((n = put_piece(s, &c, (size_t)(p->at - start), buf)) == -1)
		return -1;
	p->from = s->from;
	p->at = p->chunk = start + c.span;
	p->pos = c.next;
	return n;
}
