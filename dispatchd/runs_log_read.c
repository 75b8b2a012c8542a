/* Reading a log from an offset of its output on. */

#include <sys/types.h>

#include <errno.h>
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

/* Find the chunk that holds the offset at; *start is its first byte's. */
static int
seek(struct segment *s, int64_t at, struct stored *c, int64_t *start)
{
	int64_t off = s->seen_at;
	off_t pos = s->seen_pos;

	if (at < off) {
		off = s->from;
		pos = FILE_HEADER_LEN;
	}
	for (;;) {
		if (stored_at(s, pos, c) == -1)
			return -1;
		if (at < off + c->span)
			break;
		off += c->span;
		pos = c->next;
	}
	s->seen_at = *start = off;
	s->seen_pos = pos;
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

ptrdiff_t
runs_log_read(struct runs_log *l, int64_t *at, uint8_t *buf, size_t size)
{
	struct segment *s;
	struct stored c;
	int64_t next, start;
	size_t skip;
	ssize_t n;

	if (size < CHUNK_HEADER_LEN + CHUNK_MAX) {
		errno = EINVAL;
		return -1;
	}
	if ((s = segment_of(l, *at, &next)) == NULL) {
		if (next == -1)
			return 0;
		chunk_put_gap(buf, next - *at);
		*at = next;
		return CHUNK_HEADER_LEN + CHUNK_GAP_LEN;
	}
	if (seek(s, *at, &c, &start) == -1)
		return -1;
	if (c.kind == CHUNK_GAP) {
		chunk_put_gap(buf, c.span - (*at - start));
		*at = start + c.span;
		return CHUNK_HEADER_LEN + CHUNK_GAP_LEN;
	}
	skip = (size_t)(*at - start);
	n = pread(
	    s->fd, buf + CHUNK_HEADER_LEN, c.len - skip, c.data + (off_t)skip);
	if (n != (ssize_t)(c.len - skip)) {
		errno = n == -1 ? errno : EBADMSG;
		return -1;
	}
	chunk_put_header(buf, c.kind, c.len - skip);
	*at = start + c.span;
	return CHUNK_HEADER_LEN + n;
}
