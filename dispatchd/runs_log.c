#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"

#include "dispatchd/runs_log_int.h"

#define FILE_MAGIC "bhlog1\n" /* with its NUL: 8 bytes */
#define NAME_MAX_LEN 32
#define SCAN_LEN 65536

/* --- files ------------------------------------------------------------ */

static void
name_of(unsigned number, char name[NAME_MAX_LEN])
{
	if (number == 0)
		snprintf(name, NAME_MAX_LEN, "log");
	else
		snprintf(name, NAME_MAX_LEN, "log.%u", number);
}

static void
put64(uint8_t *p, int64_t v)
{
	int i;

	for (i = 7; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

int64_t
runs_log_get64(const uint8_t *p)
{
	uint64_t v = 0;
	int i;

	for (i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return (int64_t)v;
}

static void
segment_clear(struct segment *s)
{
	memset(s, 0, sizeof(*s));
	s->fd = -1;
}

static int
segment_create(
    struct runs_log *l, struct segment *s, unsigned number, int64_t from)
{
	uint8_t head[FILE_HEADER_LEN];
	char name[NAME_MAX_LEN];
	int fd, saved;

	name_of(number, name);
	fd = openat(
	    l->dirfd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd == -1)
		return -1;
	memcpy(head, FILE_MAGIC, 8);
	put64(head + 8, from);
	if (pwrite(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head)) {
		saved = errno != 0 ? errno : EIO;
		close(fd);
		unlinkat(l->dirfd, name, 0);
		errno = saved;
		return -1;
	}
	segment_clear(s);
	s->fd = fd;
	s->number = number;
	s->from = s->to = from;
	s->size = FILE_HEADER_LEN;
	return 0;
}

/* Walk the chunks: where the last whole one ends, and what they hold. */
static int
segment_scan(struct segment *s)
{
	struct chunk_reader r;
	struct chunk c;
	uint8_t *buf = malloc(SCAN_LEN);
	off_t pos = s->size;
	int64_t to = s->to, dropped = 0, span;
	ssize_t n = 0;
	ptrdiff_t used;
	size_t off;

	if (buf == NULL)
		return -1;
	memset(&r, 0, sizeof(r));
	while ((n = pread(s->fd, buf, SCAN_LEN, pos)) > 0) {
		for (off = 0; off < (size_t)n; off += (size_t)used) {
			used = chunk_read(&r, buf + off, (size_t)n - off, &c);
			if (used == -1)
				goto out;
			span = c.kind == CHUNK_GAP ? c.gap : (int64_t)c.len;
			if (span > RUNS_LOG_OFFSET_MAX - to)
				goto out;
			to += span;
			dropped += c.kind == CHUNK_GAP ? c.gap : 0;
			if (!chunk_whole(&r))
				continue;
			s->size = pos + (off_t)off + used;
			s->to = to;
			marks_add(&s->marks, s->to, s->size);
			s->dropped = dropped;
		}
		pos += n;
	}
out:
	free(buf);
	return n == -1 ? -1 : 0;
}

/* Returns 1, 0 when there is no such file, -1 with errno. */
static int
segment_open(struct runs_log *l, struct segment *s, unsigned number)
{
	uint8_t head[FILE_HEADER_LEN];
	char name[NAME_MAX_LEN];
	ssize_t n;

	name_of(number, name);
	segment_clear(s);
	s->number = number;
	s->fd = openat(l->dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (s->fd == -1)
		return errno == ENOENT ? 0 : -1;
	n = pread(s->fd, head, sizeof(head), 0);
	if (n == -1)
		return -1;
	if (n == (ssize_t)sizeof(head) &&
	    (memcmp(head, FILE_MAGIC, 8) != 0 ||
	        runs_log_get64(head + 8) < 0)) {
		errno = EBADMSG;
		return -1;
	}
	if (n < (ssize_t)sizeof(head) ||
	    runs_log_get64(head + 8) > RUNS_LOG_OFFSET_MAX) {
		close(s->fd);
		s->fd = -1;
		return 0;
	}
	s->from = s->to = runs_log_get64(head + 8);
	s->size = FILE_HEADER_LEN;
	if (segment_scan(s) == -1 || ftruncate(s->fd, s->size) == -1)
		return -1;
	return 1;
}

static void
segment_close(struct segment *s)
{
	if (s->fd != -1)
		close(s->fd);
	segment_clear(s);
}

/* --- opening ---------------------------------------------------------- */

/*
 * The two segments take turns under two names; the newer one begins later. A
 * segment that a crash cut off before its header is none.
 */
static int
open_tail(struct runs_log *l)
{
	struct segment s;
	unsigned i;
	int r;

	for (i = 1; i <= SEGMENTS; i++) {
		if ((r = segment_open(l, &l->tail[i - 1], i)) == -1)
			return -1;
		if (r == 0)
			segment_clear(&l->tail[i - 1]);
	}
	if (l->tail[0].fd != -1 &&
	    (l->tail[1].fd == -1 || l->tail[0].from > l->tail[1].from)) {
		s = l->tail[0];
		l->tail[0] = l->tail[1];
		l->tail[1] = s;
	}
	return 0;
}

struct runs_log *
runs_log_open(int dirfd, int64_t limit)
{
	struct runs_log *l;
	int r, saved;

	if (limit < RUNS_LOG_LIMIT_MIN)
		limit = RUNS_LOG_LIMIT_MIN;
	if ((l = calloc(1, sizeof(*l))) == NULL)
		return NULL;
	segment_clear(&l->head);
	segment_clear(&l->tail[0]);
	segment_clear(&l->tail[1]);
	l->head_max = limit / 2;
	l->segment_max = limit / 4;
	l->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	if (l->dirfd == -1)
		goto fail;
	if ((r = segment_open(l, &l->head, 0)) == -1 ||
	    (r == 0 && segment_create(l, &l->head, 0, 0) == -1) ||
	    open_tail(l) == -1)
		goto fail;
	return l;
fail:
	saved = errno;
	runs_log_close(&l);
	errno = saved;
	return NULL;
}

void
runs_log_close(struct runs_log **lp)
{
	struct runs_log *l = *lp;

	if (l == NULL)
		return;
	segment_close(&l->head);
	segment_close(&l->tail[0]);
	segment_close(&l->tail[1]);
	if (l->dirfd != -1)
		close(l->dirfd);
	free(l);
	*lp = NULL;
}

/* --- appending -------------------------------------------------------- */

/* The one that is written to: the last that is there. */
static struct segment *
current(struct runs_log *l)
{
	return l->tail[1].fd != -1 ? &l->tail[1] : &l->head;
}

/* Make room for a chunk of len bytes: begin a segment where one is full. */
static struct segment *
room_for(struct runs_log *l, size_t len)
{
	struct segment *s = current(l), fresh;
	int64_t max = s == &l->head ? l->head_max : l->segment_max;
	unsigned number = s->number == 1 ? 2 : 1;

	if (s->size + (off_t)len <= max)
		return s;
	/* The older one goes: its name is taken anew. */
	segment_close(&l->tail[0]);
	if (segment_create(l, &fresh, number, s->to) == -1)
		return NULL;
	l->tail[0] = l->tail[1];
	l->tail[1] = fresh;
	return &l->tail[1];
}

/* All of it or nothing: what a full disk took in part is cut off again. */
static int
segment_write(struct segment *s, const struct iovec *iov, int n, size_t len)
{
	ssize_t put = pwritev(s->fd, iov, n, s->size);
	int saved = errno;

	if (put == (ssize_t)len) {
		marks_add(&s->marks, s->to, s->size);
		s->size += put;
		return 0;
	}
	if (put > 0) {
		saved = ENOSPC;
		if (ftruncate(s->fd, s->size) == -1)
			saved = errno;
	}
	errno = saved;
	return -1;
}

int
runs_log_append(
    struct runs_log *l, enum chunk_kind kind, const void *buf, size_t len)
{
	uint8_t head[CHUNK_HEADER_LEN], *copy;
	struct iovec iov[2] = { { head, sizeof(head) }, { NULL, len } };
	struct segment *s;

	if (len == 0)
		return 0;
	if ((s = room_for(l, sizeof(head) + len)) == NULL)
		return -1;
	chunk_put_header(head, kind, len);
	memcpy(&copy, &buf, sizeof(copy)); /* iovec has no const */
	iov[1].iov_base = copy;
	if (segment_write(s, iov, 2, sizeof(head) + len) == -1)
		return -1;
	s->to += (int64_t)len;
	return 0;
}

int
runs_log_gap(struct runs_log *l, int64_t missing)
{
	uint8_t buf[CHUNK_HEADER_LEN + CHUNK_GAP_LEN];
	struct iovec iov = { buf, sizeof(buf) };
	struct segment *s;

	if (missing <= 0)
		return 0;
	if ((s = room_for(l, sizeof(buf))) == NULL)
		return -1;
	chunk_put_gap(buf, missing);
	if (segment_write(s, &iov, 1, sizeof(buf)) == -1)
		return -1;
	s->to += missing;
	s->dropped += missing;
	return 0;
}

int
runs_log_sync(struct runs_log *l)
{
	struct segment *s;
	int r = 0;

	for (s = l->tail; s < l->tail + SEGMENTS; s++) {
		if (s->fd != -1 && fd_sync_data(s->fd) == -1)
			r = -1;
	}
	if (fd_sync_data(l->head.fd) == -1 || fd_sync(l->dirfd) == -1)
		r = -1;
	return r;
}

/* --- sums ------------------------------------------------------------- */

int64_t
runs_log_bytes(const struct runs_log *l)
{
	return l->tail[1].fd != -1 ? l->tail[1].to : l->head.to;
}

static int64_t
held(const struct segment *s)
{
	return s->fd == -1 ? 0 : s->to - s->from - s->dropped;
}

int64_t
runs_log_kept(const struct runs_log *l)
{
	return held(&l->head) + held(&l->tail[0]) + held(&l->tail[1]);
}

int64_t
runs_log_dropped(const struct runs_log *l)
{
	return runs_log_bytes(l) - runs_log_kept(l);
}
