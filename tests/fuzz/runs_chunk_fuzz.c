/*
 * dispatchd/runs_chunk.c: what PID 1 of a container sends as its output. The
 * first byte picks the pieces in which the rest comes.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dispatchd/runs_chunk.h"

#define REQUIRE(x)               \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a reader has seen, however it was cut. */
struct seen {
	uint64_t out, err, gaps; /* sums over bytes and their places */
	size_t taken; /* bytes, up to the first that is none */
	int bad, whole;
};

static void
check(const struct chunk *c, struct seen *s)
{
	size_t i;

	REQUIRE(c->len <= CHUNK_MAX);
	REQUIRE(c->gap >= 0);
	REQUIRE(c->len == 0 || c->gap == 0);
	for (i = 0; i < c->len; i++) {
		if (c->kind == CHUNK_OUT)
			s->out = s->out * 31 + c->data[i] + 1;
		else
			s->err = s->err * 31 + c->data[i] + 1;
	}
	if (c->gap > 0) {
		REQUIRE(c->kind == CHUNK_GAP);
		s->gaps = s->gaps * 31 + (uint64_t)c->gap;
	}
}

static struct seen
read_all(const uint8_t *data, size_t size, size_t piece)
{
	struct chunk_reader r;
	struct seen s;
	struct chunk c;
	ptrdiff_t used;
	size_t n;

	memset(&r, 0, sizeof(r));
	memset(&s, 0, sizeof(s));
	while (s.taken < size) {
		n = size - s.taken < piece ? size - s.taken : piece;
		used = chunk_read(&r, data + s.taken, n, &c);
		if (used == -1) {
			s.bad = 1;
			break;
		}
		/* It goes on, and never beyond what it was given. */
		REQUIRE(used > 0 && (size_t)used <= n);
		REQUIRE(c.len == 0 ||
		    (c.data >= data + s.taken &&
		        c.data + c.len <= data + s.taken + (size_t)used));
		check(&c, &s);
		s.taken += (size_t)used;
	}
	s.whole = chunk_whole(&r);
	return s;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen all, cut;

	if (size == 0)
		return 0;
	all = read_all(data + 1, size - 1, size);
	cut = read_all(data + 1, size - 1, (size_t)data[0] % 37 + 1);
	REQUIRE(all.out == cut.out && all.err == cut.err);
	REQUIRE(all.gaps == cut.gaps && all.bad == cut.bad);
	REQUIRE(all.bad || all.whole == cut.whole);
	return 0;
}
