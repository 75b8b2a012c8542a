/* Is the write-ahead log whole? By SQLite's file format, section 4. */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatchd/queue_store.h"

#define HEADER_LEN 32
#define FRAME_LEN 24
#define MAGIC 0x377f0682U /* its lowest bit: checksums are big-endian */
#define VERSION 3007000
#define PAGE_MIN 512
#define PAGE_MAX 65536

struct wal {
	int fd;
	bool big;
	uint32_t page;
	uint32_t sum[2];
	uint8_t salt[8];
};

static uint32_t
get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	    (uint32_t)p[2] << 8 | p[3];
}

static uint32_t
get32_little(const uint8_t *p)
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 |
	    (uint32_t)p[1] << 8 | p[0];
}

/* len is a multiple of 8. */
static void
checksum(const struct wal *w, const uint8_t *p, size_t len, uint32_t sum[2])
{
	size_t i;

	for (i = 0; i < len; i += 8) {
		sum[0] +=
		    (w->big ? get32(p + i) : get32_little(p + i)) + sum[1];
		sum[1] +=
		    (w->big ? get32(p + i + 4) : get32_little(p + i + 4)) +
		    sum[0];
	}
}

/* Returns 1 when there is a valid header, 0 when not, -2 with errno. */
static int
read_header(struct wal *w)
{
	uint8_t h[HEADER_LEN];
	ssize_t n = pread(w->fd, h, sizeof(h), 0);

	if (n == -1)
		return -2;
	if (n != HEADER_LEN || (get32(h) & ~1U) != MAGIC ||
	    get32(h + 4) != VERSION)
		return 0;
	w->big = (get32(h) & 1) != 0;
	w->page = get32(h + 8);
	if (w->page < PAGE_MIN || w->page > PAGE_MAX ||
	    (w->page & (w->page - 1)) != 0)
		return 0;
	memcpy(w->salt, h + 16, sizeof(w->salt));
	memset(w->sum, 0, sizeof(w->sum));
	checksum(w, h, 24, w->sum);
	return w->sum[0] == get32(h + 24) && w->sum[1] == get32(h + 28);
}

/* Continues the chain when the frame is right. */
static bool
frame_valid(struct wal *w, const uint8_t *frame)
{
	uint32_t sum[2] = { w->sum[0], w->sum[1] };

	if (memcmp(frame + 8, w->salt, sizeof(w->salt)) != 0)
		return false;
	checksum(w, frame, 8, sum);
	checksum(w, frame + FRAME_LEN, w->page, sum);
	if (sum[0] != get32(frame + 16) || sum[1] != get32(frame + 20))
		return false;
	memcpy(w->sum, sum, sizeof(sum));
	return true;
}

/*
 * The next transaction begins when the one before is synced. So a frame of
 * this log behind a commit frame behind a damaged one is no crash.
 */
static int
scan(struct wal *w, uint8_t *frame, int64_t *offset)
{
	const size_t len = FRAME_LEN + w->page;
	int64_t at = HEADER_LEN, bad = -1;
	bool ours, committed = false;
	ssize_t n;

	for (;; at += (int64_t)len) {
		n = pread(w->fd, frame, len, (off_t)at);
		if (n == -1)
			return -2;
		if ((size_t)n != len)
			return 0;
		if (bad == -1 && frame_valid(w, frame))
			continue;
		if (bad == -1)
			bad = at;
		ours = memcmp(frame + 8, w->salt, sizeof(w->salt)) == 0;
		if (ours && committed) {
			*offset = bad;
			return -1;
		}
		if (ours && get32(frame + 4) != 0)
			committed = true;
	}
}

/* A header that is wrong while frames follow is damage too. */
static int
headless(int fd, int64_t *offset)
{
	off_t end = lseek(fd, 0, SEEK_END);

	if (end == -1)
		return -2;
	*offset = 0;
	return end > HEADER_LEN + FRAME_LEN + PAGE_MIN ? -1 : 0;
}

int
queue_wal_check(const char *path, int64_t *offset)
{
	struct wal w;
	uint8_t *frame;
	int r;

	memset(&w, 0, sizeof(w));
	w.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (w.fd == -1)
		return errno == ENOENT ? 0 : -2;
	r = read_header(&w);
	if (r == 0)
		r = headless(w.fd, offset);
	else if (r == 1) {
		frame = malloc(FRAME_LEN + (size_t)w.page);
		r = frame != NULL ? scan(&w, frame, offset) : -2;
		free(frame);
	}
	close(w.fd);
	return r;
}
