#ifndef DISPATCHD_RUNS_CHUNK_H
#define DISPATCHD_RUNS_CHUNK_H

/*
 * Output as PID 1 sends it and as it is stored: a sequence of chunks. Pure.
 *
 *	1 byte   1 standard output, 2 standard error, 3 gap
 *	3 bytes  0
 *	4 bytes  length, big-endian: 1 to CHUNK_MAX; of a gap 8
 *	         that many bytes; of a gap how many bytes are missing here,
 *	         big-endian
 */

#include <stddef.h>
#include <stdint.h>

#define CHUNK_HEADER_LEN 8
#define CHUNK_MAX 32768
#define CHUNK_GAP_LEN 8

enum chunk_kind {
	CHUNK_OUT = 1,
	CHUNK_ERR = 2,
	CHUNK_GAP = 3
};

struct chunk {
	enum chunk_kind kind;
	const uint8_t *data; /* points into the caller's buffer */
	size_t len; /* bytes of data here */
	int64_t gap; /* CHUNK_GAP */
};

/* A reader of a stream that comes in any pieces; zero it at first. */
struct chunk_reader {
	uint8_t head[CHUNK_HEADER_LEN + CHUNK_GAP_LEN];
	size_t nhead;
	enum chunk_kind kind;
	size_t left; /* of the chunk's data */
};

/*
 * Take from buf. Returns the bytes consumed and fills in *c when a piece of a
 * chunk (or a whole gap) is there: c->len > 0, or kind CHUNK_GAP. A chunk's
 * data may come in more than one piece. Returns 0 with c->len 0 when len is 0,
 * -1 when these bytes are no chunks.
 */
ptrdiff_t chunk_read(
    struct chunk_reader *r, const uint8_t *buf, size_t len, struct chunk *c);
/* Between two chunks? (Else the stream must not end here.) */
int chunk_whole(const struct chunk_reader *r);

void chunk_put_header(
    uint8_t head[CHUNK_HEADER_LEN], enum chunk_kind kind, size_t len);
/* A whole gap chunk; missing > 0. */
void
chunk_put_gap(uint8_t buf[CHUNK_HEADER_LEN + CHUNK_GAP_LEN], int64_t missing);

#endif
