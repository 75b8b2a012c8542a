/*
 * The bytes lie in one circular buffer; pieces, in a circular table, say which
 * stream each run of bytes belongs to. A gap is a piece without bytes.
 */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "entrypoint_ring.h"

struct piece {
	int64_t offset; /* of its first byte */
	int64_t len;
	uint64_t at; /* kept bytes that came before it, ever */
	int type;
};

struct ring {
	uint8_t *data;
	size_t max, head, used; /* head: the first kept byte */
	struct piece *pieces;
	size_t first, npieces;
	uint64_t taken; /* kept bytes that are stored and gone, ever */
	int64_t start, end, cursor, dropped;
};

struct ring *
ring_new(size_t max)
{
	struct ring *r;

	if (max == 0 || (r = calloc(1, sizeof(*r))) == NULL)
		return NULL;
	r->max = max;
	r->data = malloc(max);
	r->pieces = calloc(RING_PIECES_MAX, sizeof(*r->pieces));
	if (r->data == NULL || r->pieces == NULL)
		ring_free(&r);
	return r;
}

void
ring_free(struct ring **r)
{
	if (*r == NULL)
		return;
	free((*r)->data);
	free((*r)->pieces);
	free(*r);
	*r = NULL;
}

int64_t
ring_start(const struct ring *r)
{
	return r->start;
}

int64_t
ring_end(const struct ring *r)
{
	return r->end;
}

int64_t
ring_cursor(const struct ring *r)
{
	return r->cursor;
}

int64_t
ring_dropped(const struct ring *r)
{
	return r->dropped;
}

static struct piece *
piece_at(const struct ring *r, size_t i)
{
	return &r->pieces[(r->first + i) % RING_PIECES_MAX];
}

/* --- in --------------------------------------------------------------- */

/* Lengthen the last piece or begin one. False when the table is full. */
static bool
extend(struct ring *r, int type, size_t len)
{
	struct piece *p;

	if (r->npieces > 0) {
		p = piece_at(r, r->npieces - 1);
		if (p->type == type) {
			p->len += (int64_t)len;
			r->end += (int64_t)len;
			return true;
		}
		/* The last one of the table is kept for a gap. */
		if (r->npieces >= RING_PIECES_MAX - (type != RING_GAP))
			return false;
	}
	p = piece_at(r, r->npieces++);
	p->offset = r->end;
	p->at = r->taken + r->used;
	p->len = (int64_t)len;
	p->type = type;
	r->end += (int64_t)len;
	return true;
}

static void
copy_in(struct ring *r, const uint8_t *buf, size_t len)
{
	size_t at = (r->head + r->used) % r->max, n = r->max - at;

	if (n > len)
		n = len;
	memcpy(r->data + at, buf, n);
	memcpy(r->data, buf + n, len - n);
	r->used += len;
}

void
ring_put(struct ring *r, int stream, const uint8_t *buf, size_t len)
{
	size_t fits = r->max - r->used;

	if (fits > len)
		fits = len;
	if (fits > 0 && extend(r, stream, fits))
		copy_in(r, buf, fits);
	else
		fits = 0;
	if (fits == len)
		return;
	r->dropped += (int64_t)(len - fits);
	(void)extend(r, RING_GAP, len - fits);
}

/* --- out -------------------------------------------------------------- */

int
ring_stored(struct ring *r, int64_t offset)
{
	struct piece *p;
	int64_t n;

	if (offset < r->start || offset > r->end)
		return -1;
	while (r->start < offset) {
		p = piece_at(r, 0);
		n = offset - r->start < p->len ? offset - r->start : p->len;
		if (p->type != RING_GAP) {
			r->head = (r->head + (size_t)n) % r->max;
			r->used -= (size_t)n;
			r->taken += (uint64_t)n;
			p->at += (uint64_t)n;
		}
		p->offset += n;
		p->len -= n;
		r->start += n;
		if (p->len == 0) {
			r->first = (r->first + 1) % RING_PIECES_MAX;
			r->npieces--;
		}
	}
	if (r->cursor < r->start)
		r->cursor = r->start;
	return 0;
}

int
ring_seek(struct ring *r, int64_t offset)
{
	if (offset < r->start || offset > r->end)
		return -1;
	r->cursor = offset;
	return 0;
}

/* The piece that holds the cursor, which is not at the end. */
static struct piece *
piece_of_cursor(const struct ring *r)
{
	size_t lo = 0, hi = r->npieces, mid;

	while (hi - lo > 1) {
		mid = lo + (hi - lo) / 2;
		if (piece_at(r, mid)->offset <= r->cursor)
			lo = mid;
		else
			hi = mid;
	}
	return piece_at(r, lo);
}

static void
put_header(uint8_t *buf, int type, size_t len)
{
	memset(buf, 0, 4);
	buf[0] = (uint8_t)type;
	buf[4] = (uint8_t)(len >> 24);
	buf[5] = (uint8_t)(len >> 16);
	buf[6] = (uint8_t)(len >> 8);
	buf[7] = (uint8_t)len;
}

static size_t
gap_chunk(struct ring *r, uint8_t *buf, size_t max, int64_t left)
{
	int i;

	if (max < CHUNK_HEADER_LEN + CHUNK_GAP_LEN)
		return 0;
	put_header(buf, RING_GAP, CHUNK_GAP_LEN);
	for (i = 0; i < CHUNK_GAP_LEN; i++)
		buf[CHUNK_HEADER_LEN + i] =
		    (uint8_t)((uint64_t)left >> (8 * (CHUNK_GAP_LEN - 1 - i)));
	r->cursor += left;
	return CHUNK_HEADER_LEN + CHUNK_GAP_LEN;
}

size_t
ring_chunk(struct ring *r, uint8_t *buf, size_t max)
{
	size_t n, at, part;
	struct piece *p;
	int64_t left;

	if (r->cursor == r->end)
		return 0;
	p = piece_of_cursor(r);
	left = p->offset + p->len - r->cursor;
	if (p->type == RING_GAP)
		return gap_chunk(r, buf, max, left);
	if (max <= CHUNK_HEADER_LEN)
		return 0;
	n = max - CHUNK_HEADER_LEN;
	if (n > CHUNK_DATA_MAX)
		n = CHUNK_DATA_MAX;
	if ((int64_t)n > left)
		n = (size_t)left;
	at = r->head + (size_t)(p->at - r->taken);
	at = (at + (size_t)(r->cursor - p->offset)) % r->max;
	put_header(buf, p->type, n);
	part = r->max - at < n ? r->max - at : n;
	memcpy(buf + CHUNK_HEADER_LEN, r->data + at, part);
	memcpy(buf + CHUNK_HEADER_LEN + part, r->data, n - part);
	r->cursor += (int64_t)n;
	return CHUNK_HEADER_LEN + n;
}
