#include <string.h>

#include "dispatchd/runs_chunk.h"

static uint32_t
get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	    (uint32_t)p[2] << 8 | p[3];
}

static int64_t
get63(const uint8_t *p)
{
	if (p[0] > 0x7f)
		return -1;
	return (int64_t)((uint64_t)get32(p) << 32 | get32(p + 4));
}

static void
put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* The header is whole. Returns 0, or -1 when it is none. */
static int
header(struct chunk_reader *r)
{
	uint32_t len = get32(r->head + 4);

	if (r->head[1] != 0 || r->head[2] != 0 || r->head[3] != 0)
		return -1;
	switch (r->head[0]) {
	case CHUNK_OUT:
	case CHUNK_ERR:
		if (len == 0 || len > CHUNK_MAX)
			return -1;
		break;
	case CHUNK_GAP:
		if (len != CHUNK_GAP_LEN)
			return -1;
		break;
	default:
		return -1;
	}
	r->kind = (enum chunk_kind)r->head[0];
	r->left = len;
	return 0;
}

/* Fill head up to want bytes. Returns the bytes taken. */
static size_t
gather(struct chunk_reader *r, const uint8_t *buf, size_t len, size_t want)
{
	size_t n = want - r->nhead;

	if (n > len)
		n = len;
	memcpy(r->head + r->nhead, buf, n);
	r->nhead += n;
	return n;
}

ptrdiff_t
chunk_read(
    struct chunk_reader *r, const uint8_t *buf, size_t len, struct chunk *c)
{
	size_t used = 0, n;

	memset(c, 0, sizeof(*c));
	if (r->nhead < CHUNK_HEADER_LEN) {
		used = gather(r, buf, len, CHUNK_HEADER_LEN);
		if (r->nhead < CHUNK_HEADER_LEN)
			return (ptrdiff_t)used;
		if (header(r) == -1)
			return -1;
	}
	c->kind = r->kind;
	if (r->kind == CHUNK_GAP) {
		used += gather(r, buf + used, len - used, sizeof(r->head));
		if (r->nhead < sizeof(r->head)) {
			c->kind = 0;
			return (ptrdiff_t)used;
		}
		c->gap = get63(r->head + CHUNK_HEADER_LEN);
		r->nhead = r->left = 0;
		return c->gap > 0 ? (ptrdiff_t)used : -1;
	}
	n = len - used < r->left ? len - used : r->left;
	c->data = buf + used;
	c->len = n;
	r->left -= n;
	if (r->left == 0)
		r->nhead = 0;
	return (ptrdiff_t)(used + n);
}

int
chunk_whole(const struct chunk_reader *r)
{
	return r->nhead == 0;
}

void
chunk_put_header(
    uint8_t head[CHUNK_HEADER_LEN], enum chunk_kind kind, size_t len)
{
	memset(head, 0, CHUNK_HEADER_LEN);
	head[0] = (uint8_t)kind;
	put32(head + 4, (uint32_t)len);
}

void
chunk_put_gap(uint8_t buf[CHUNK_HEADER_LEN + CHUNK_GAP_LEN], int64_t missing)
{
	chunk_put_header(buf, CHUNK_GAP, CHUNK_GAP_LEN);
	put32(buf + CHUNK_HEADER_LEN, (uint32_t)((uint64_t)missing >> 32));
	put32(buf + CHUNK_HEADER_LEN + 4, (uint32_t)missing);
}
