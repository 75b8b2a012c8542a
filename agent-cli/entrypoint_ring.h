#ifndef AGENT_CLI_ENTRYPOINT_RING_H
#define AGENT_CLI_ENTRYPOINT_RING_H

/*
 * What the tool has written and the daemon has not yet stored. Pure. Offsets
 * count the tool's bytes, of both streams, the dropped ones too. What does not
 * fit is dropped and counted, in its place: never the bytes before it, which
 * the daemon may be about to ask for.
 */

#include <stddef.h>
#include <stdint.h>

#define RING_STDOUT 1
#define RING_STDERR 2
#define RING_GAP 3
#define RING_PIECES_MAX 32768 /* switches of stream that are kept apart */

/* The log format: a header, then bytes (a gap: 8, how many were dropped). */
#define CHUNK_HEADER_LEN 8
#define CHUNK_DATA_MAX 32768
#define CHUNK_GAP_LEN 8

struct ring;

/* Keeps at most max bytes. NULL when out of memory. */
struct ring *ring_new(size_t max);
void ring_free(struct ring **r);
/* len bytes of a stream (RING_STDOUT, RING_STDERR). */
void ring_put(struct ring *r, int stream, const uint8_t *buf, size_t len);
int64_t ring_start(const struct ring *r); /* the first that is still kept */
int64_t ring_end(const struct ring *r); /* the next one's offset */
int64_t ring_cursor(const struct ring *r); /* the next that ring_chunk gives */
int64_t ring_dropped(const struct ring *r);
/* Forget what lies before offset; one outside start..end is -1. */
int ring_stored(struct ring *r, int64_t offset);
/* Go on from offset, which may be -1 as well. */
int ring_seek(struct ring *r, int64_t offset);
/*
 * The next chunk, header and all, at most max bytes; the cursor goes behind
 * it. Returns its length, 0 when there is nothing or max is too small for
 * any byte.
 */
size_t ring_chunk(struct ring *r, uint8_t *buf, size_t max);

#endif
