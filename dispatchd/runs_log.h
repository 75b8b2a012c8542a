#ifndef DISPATCHD_RUNS_LOG_H
#define DISPATCHD_RUNS_LOG_H

/*
 * The output of a run on disk, bounded: its first half of the limit for ever
 * (file log), and of what comes behind that the last two segments (log.N),
 * each a quarter. Offsets count output bytes from 0, those that were dropped
 * too. Files are chunks behind a header that tells the first one's offset.
 */

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatchd/runs_chunk.h"

#define RUNS_LOG_LIMIT_MIN (256 * 1024)
/* No tool prints so much: whatever says so is wrong, and sums stay sums. */
#define RUNS_LOG_OFFSET_MAX ((int64_t)1 << 53)

struct runs_log;

/*
 * Open or create in the directory dirfd (not kept). What is there is read
 * through once; a torn end is cut off. limit in bytes of files. Returns NULL
 * with errno (EBADMSG: the files are no log).
 */
struct runs_log *runs_log_open(int dirfd, int64_t limit);
void runs_log_close(struct runs_log **l);
/*
 * Append a piece of output (kind CHUNK_OUT or CHUNK_ERR, at most CHUNK_MAX
 * bytes) or a gap of so many bytes. Returns 0 or -1 with errno: then nothing
 * of it is there.
 */
int runs_log_append(
    struct runs_log *l, enum chunk_kind kind, const void *buf, size_t len);
int runs_log_gap(struct runs_log *l, int64_t missing);
/* To the disk. */
int runs_log_sync(struct runs_log *l);
/* The offset of the next byte; bytes that can still be read; the others. */
int64_t runs_log_bytes(const struct runs_log *l);
int64_t runs_log_kept(const struct runs_log *l);
int64_t runs_log_dropped(const struct runs_log *l);
/*
 * Where a reader of a log is. Set at to the offset of the first output byte
 * that it wants, the rest to 0; the rest is for runs_log_read, so that going on
 * is no search from the beginning, however many read at a time.
 */
struct runs_log_place {
	int64_t at;
	/* the file that begins there, and a chunk in it: offset, position */
	int64_t from, chunk;
	off_t pos; /* 0: none yet */
};

/*
 * Read a whole chunk from the place on into buf of at least CHUNK_HEADER_LEN +
 * CHUNK_MAX bytes; the place advances. What is not kept any more comes as a
 * gap. Returns bytes put, 0 at the end of what there is, -1 with errno.
 */
ptrdiff_t runs_log_read(
    struct runs_log *l, struct runs_log_place *p, uint8_t *buf, size_t size);

#endif
