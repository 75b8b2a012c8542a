#ifndef DISPATCHD_RUNS_LOG_INT_H
#define DISPATCHD_RUNS_LOG_INT_H

/* A log's files, for runs_log*.c only: see runs_log.h. */

#include <sys/types.h>

#include <stdint.h>

#include "dispatchd/runs_log.h"

#define FILE_HEADER_LEN 16
#define SEGMENTS 2 /* behind the head */

/*
 * Where some chunks of a file begin, in order and some stride apart: so many at
 * most, and the stride grows with the file. From the beginning there is a way
 * to all of them without any.
 */
#define MARKS_MAX 512
#define MARK_STRIDE 4096

struct mark {
	int64_t at; /* offset of its first output byte */
	off_t pos;
};

struct marks {
	struct mark v[MARKS_MAX];
	size_t n;
	off_t stride; /* 0: MARK_STRIDE */
};

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
	struct marks marks;
};

struct runs_log {
	int dirfd;
	int64_t head_max, segment_max;
	struct segment head;
	struct segment tail[SEGMENTS]; /* [1] the newer one */
};

int64_t runs_log_get64(const uint8_t *p);

/* runs_log_mark.c */
/* A chunk begins there, or will. */
void marks_add(struct marks *m, int64_t at, off_t pos);
/* The last one that is not behind at; NULL: none. */
const struct mark *marks_find(const struct marks *m, int64_t at);

#endif
