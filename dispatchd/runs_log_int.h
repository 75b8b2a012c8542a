#ifndef DISPATCHD_RUNS_LOG_INT_H
#define DISPATCHD_RUNS_LOG_INT_H

/* A log's files, for runs_log*.c only: see runs_log.h. */

#include <sys/types.h>

#include <stdint.h>

#include "dispatchd/runs_log.h"

#define FILE_HEADER_LEN 16
#define SEGMENTS 2 /* behind the head */

/*
 * One file. from is the offset of its first output byte, to that behind its
 * last; gaps count. size is what of it is whole.
 */
struct segment {
	int fd; /* -1: not there */
	unsigned number; /* in its name; 0: the head */
	int64_t from, to;
	int64_t dropped; /* bytes of gaps in it */
	off_t size;
};

struct runs_log {
	int dirfd;
	int64_t head_max, segment_max;
	struct segment head;
	struct segment tail[SEGMENTS]; /* [1] the newer one */
};

int64_t runs_log_get64(const uint8_t *p);

#endif
