#include <sys/stat.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatchd/runs_log.h"

#define LIMIT RUNS_LOG_LIMIT_MIN
#define PIECE 1000
#define BYTES 50000 /* in chunks of one */

static char dir[64];
static int dirfd = -1;

static void
make(void)
{
	strlcpy(dir, "/tmp/runs_log.XXXXXX", sizeof(dir));
	ck_assert_ptr_nonnull(mkdtemp(dir));
	dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	ck_assert_int_ne(dirfd, -1);
}

static void
clean(void)
{
	unlinkat(dirfd, "log", 0);
	unlinkat(dirfd, "log.1", 0);
	unlinkat(dirfd, "log.2", 0);
	close(dirfd);
	ck_assert_int_eq(rmdir(dir), 0);
}

static struct runs_log *
log_open(void)
{
	struct runs_log *l = runs_log_open(dirfd, LIMIT);

	ck_assert_ptr_nonnull(l);
	return l;
}

static off_t
size_of(const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, 0) == 0 ? st.st_size : 0;
}

/* Pieces whose bytes tell where they stand. */
static void
fill(struct runs_log *l, int64_t from, int64_t to)
{
	uint8_t buf[PIECE];

	ck_assert_int_eq(runs_log_bytes(l), from);
	for (; from < to; from += PIECE) {
		memset(buf, 'a' + (int)(from / PIECE % 26), sizeof(buf));
		ck_assert_int_eq(
		    runs_log_append(l, CHUNK_OUT, buf, sizeof(buf)), 0);
	}
}

/* All from an offset on: bytes and gaps add up to the end. Returns kept. */
static int64_t
read_from(struct runs_log *l, int64_t at)
{
	static uint8_t buf[CHUNK_HEADER_LEN + CHUNK_MAX];
	struct chunk_reader r;
	struct runs_log_place place = { .at = at };
	int64_t seen = at, kept = 0;
	struct chunk c;
	ptrdiff_t n;
	size_t i;

	memset(&r, 0, sizeof(r));
	while ((n = runs_log_read(l, &place, buf, sizeof(buf))) > 0) {
		ck_assert_int_eq(chunk_read(&r, buf, (size_t)n, &c), n);
		ck_assert(chunk_whole(&r));
		for (i = 0; i < c.len; i++)
			ck_assert_int_eq(c.data[i],
			    'a' + (int)((seen + (int64_t)i) / PIECE % 26));
		kept += (int64_t)c.len;
		seen += (int64_t)c.len + c.gap;
		ck_assert_int_eq(seen, place.at);
	}
	ck_assert_int_eq(n, 0);
	ck_assert_int_eq(seen, runs_log_bytes(l));
	return kept;
}

START_TEST(test_small)
{
	struct runs_log *l = log_open();

	ck_assert_int_eq(runs_log_bytes(l), 0);
	ck_assert_int_eq(read_from(l, 0), 0);
	fill(l, 0, 10 * PIECE);
	ck_assert_int_eq(runs_log_sync(l), 0);
	ck_assert_int_eq(read_from(l, 0), 10 * PIECE);
	/* From the midst of a piece, its end, and the end of all. */
	ck_assert_int_eq(read_from(l, 2500), 7500);
	ck_assert_int_eq(read_from(l, 3000), 7000);
	ck_assert_int_eq(read_from(l, 10 * PIECE), 0);
	ck_assert_int_eq(runs_log_kept(l), 10 * PIECE);
	ck_assert_int_eq(runs_log_dropped(l), 0);
	runs_log_close(&l);
	ck_assert_ptr_null(l);
	runs_log_close(&l);
}
END_TEST

/* Never above its limit; the beginning and the end are what stays. */
START_TEST(test_limit)
{
	struct runs_log *l = log_open();
	int64_t kept;

	fill(l, 0, 3000 * PIECE);
	ck_assert_int_le(
	    size_of("log") + size_of("log.1") + size_of("log.2"), LIMIT);
	kept = runs_log_kept(l);
	ck_assert_int_ge(kept, LIMIT / 2);
	ck_assert_int_eq(runs_log_dropped(l), 3000 * PIECE - kept);
	ck_assert_int_eq(read_from(l, 0), kept);
	/* From within what is gone: a gap to where it goes on. */
	ck_assert_int_lt(read_from(l, 1500 * PIECE), LIMIT / 2);
	ck_assert_int_eq(read_from(l, 2999 * PIECE), PIECE);
	runs_log_close(&l);
	/* The same when it is opened again, and it goes on from there. */
	l = log_open();
	ck_assert_int_eq(runs_log_bytes(l), 3000 * PIECE);
	ck_assert_int_eq(runs_log_kept(l), kept);
	ck_assert_int_eq(read_from(l, 0), kept);
	fill(l, 3000 * PIECE, 3500 * PIECE);
	(void)read_from(l, 0);
	runs_log_close(&l);
}
END_TEST

START_TEST(test_gaps)
{
	struct runs_log *l = log_open();

	fill(l, 0, 2 * PIECE);
	ck_assert_int_eq(runs_log_gap(l, 0), 0);
	ck_assert_int_eq(runs_log_gap(l, 5 * PIECE), 0);
	fill(l, 7 * PIECE, 8 * PIECE);
	ck_assert_int_eq(runs_log_bytes(l), 8 * PIECE);
	ck_assert_int_eq(runs_log_dropped(l), 5 * PIECE);
	ck_assert_int_eq(read_from(l, 0), 3 * PIECE);
	ck_assert_int_eq(read_from(l, 4 * PIECE + 1), PIECE);
	runs_log_close(&l);
	l = log_open();
	ck_assert_int_eq(runs_log_dropped(l), 5 * PIECE);
	ck_assert_int_eq(runs_log_kept(l), 3 * PIECE);
	runs_log_close(&l);
}
END_TEST

/* Cut anywhere, whole pieces are what there is, and it goes on behind them. */
START_TEST(test_torn)
{
	struct runs_log *l = log_open();
	int64_t have;
	int fd, cut;

	fill(l, 0, 3 * PIECE);
	runs_log_close(&l);
	for (cut = 1; cut <= 2 * (CHUNK_HEADER_LEN + PIECE); cut += 97) {
		fd = openat(dirfd, "log", O_RDWR);
		ck_assert_int_ne(fd, -1);
		ck_assert_int_eq(ftruncate(fd, size_of("log") - cut), 0);
		close(fd);
		l = log_open();
		have = runs_log_bytes(l);
		ck_assert_int_eq(have % PIECE, 0);
		ck_assert_int_lt(have, 3 * PIECE);
		ck_assert_int_eq(read_from(l, 0), have);
		fill(l, have, 3 * PIECE);
		ck_assert_int_eq(read_from(l, 0), 3 * PIECE);
		runs_log_close(&l);
	}
}
END_TEST

/* What is no log of ours is left as it is. */
START_TEST(test_foreign)
{
	int fd = openat(dirfd, "log", O_RDWR | O_CREAT, 0600);

	ck_assert_int_eq(write(fd, "another file, of its own", 24), 24);
	close(fd);
	errno = 0;
	ck_assert_ptr_null(runs_log_open(dirfd, LIMIT));
	ck_assert_int_eq(errno, EBADMSG);
	ck_assert_int_eq(size_of("log"), 24);
}
END_TEST

/* A segment that a crash left without its header is none. */
START_TEST(test_headless)
{
	struct runs_log *l = log_open();
	int fd;

	fill(l, 0, PIECE);
	runs_log_close(&l);
	fd = openat(dirfd, "log.1", O_RDWR | O_CREAT, 0600);
	ck_assert_int_eq(write(fd, "bhlog", 5), 5);
	close(fd);
	l = log_open();
	ck_assert_int_eq(runs_log_bytes(l), PIECE);
	fill(l, PIECE, 300 * PIECE);
	(void)read_from(l, 0);
	runs_log_close(&l);
}
END_TEST

/* A sum that cannot be is where a log ends, and one that begins there none. */
START_TEST(test_far)
{
	uint8_t gap[CHUNK_HEADER_LEN + CHUNK_GAP_LEN];
	struct runs_log *l = log_open();
	int fd;

	fill(l, 0, PIECE);
	runs_log_close(&l);
	fd = openat(dirfd, "log", O_WRONLY | O_APPEND);
	chunk_put_gap(gap, INT64_MAX);
	ck_assert_int_eq(write(fd, gap, sizeof(gap)), sizeof(gap));
	close(fd);
	fd = openat(dirfd, "log.1", O_RDWR | O_CREAT, 0600);
	ck_assert_int_eq(write(fd, "bhlog1\n\0\177\0\0\0\0\0\0\1", 16), 16);
	close(fd);
	l = log_open();
	ck_assert_int_eq(runs_log_bytes(l), PIECE);
	fill(l, PIECE, 2 * PIECE);
	ck_assert_int_eq(runs_log_bytes(l), 2 * PIECE);
	ck_assert_int_eq(runs_log_kept(l), 2 * PIECE);
	runs_log_close(&l);
}
END_TEST

/* The next chunk of one reader has one byte, this one. */
static void
next_byte(struct runs_log *l, struct runs_log_place *p)
{
	static uint8_t buf[CHUNK_HEADER_LEN + CHUNK_MAX];
	int64_t at = p->at;

	ck_assert_int_eq(
	    runs_log_read(l, p, buf, sizeof(buf)), CHUNK_HEADER_LEN + 1);
	ck_assert_uint_eq(buf[CHUNK_HEADER_LEN], 'a' + (uint8_t)(at % 26));
	ck_assert_int_eq(p->at, at + 1);
}

static struct runs_log *
bytes_in_a_log(void)
{
	struct runs_log *l = runs_log_open(dirfd, 4 * LIMIT);
	uint8_t byte;
	int64_t i;

	ck_assert_ptr_nonnull(l);
	for (i = 0; i < BYTES; i++) {
		byte = 'a' + (uint8_t)(i % 26);
		ck_assert_int_eq(runs_log_append(l, CHUNK_OUT, &byte, 1), 0);
	}
	ck_assert_int_eq(size_of("log.1"), 0);
	return l;
}

/*
 * Each reader is a new one, that begins anywhere. By a search from the
 * beginning all of them would read the file a hundred million times.
 */
START_TEST(test_new_readers)
{
	struct runs_log *l = bytes_in_a_log();
	struct runs_log_place p;
	int64_t i;

	if (_i == 1) {
		runs_log_close(&l);
		l = runs_log_open(dirfd, 4 * LIMIT);
		ck_assert_ptr_nonnull(l);
	}
	for (i = 0; i < BYTES; i += 10) {
		memset(&p, 0, sizeof(p));
		p.at = BYTES - 1 - i;
		next_byte(l, &p);
	}
	runs_log_close(&l);
}
END_TEST

/* So long that marks had to go: every offset is found all the same. */
START_TEST(test_long)
{
	struct runs_log *l = runs_log_open(dirfd, 32 * LIMIT);
	struct runs_log_place p;
	static uint8_t buf[CHUNK_HEADER_LEN + CHUNK_MAX];
	int64_t at;

	fill(l, 0, 4000 * PIECE);
	ck_assert_int_eq(size_of("log.1"), 0);
	for (at = 1; at < 4000 * PIECE; at += 1501) {
		memset(&p, 0, sizeof(p));
		p.at = at;
		ck_assert_int_gt(runs_log_read(l, &p, buf, sizeof(buf)), 0);
		ck_assert_int_eq(p.at, (at / PIECE + 1) * PIECE);
		ck_assert_uint_eq(
		    buf[CHUNK_HEADER_LEN], 'a' + (uint8_t)(at / PIECE % 26));
	}
	runs_log_close(&l);
}
END_TEST

/*
 * Two that read by turns, far from each other, each go on from where they are.
 * Were it a search from the beginning, this would be 900 million reads of the
 * file, for which a test has no time.
 */
START_TEST(test_two_readers)
{
	struct runs_log *l = bytes_in_a_log();
	struct runs_log_place a = { .at = 0 }, b = { .at = BYTES / 2 };
	int64_t i;

	for (i = 0; i < BYTES / 2; i++) {
		next_byte(l, &a);
		next_byte(l, &b);
	}
	ck_assert_int_eq(b.at, BYTES);
	/* Who steps back is found too: what is remembered is no promise. */
	a.at = 7;
	next_byte(l, &a);
	runs_log_close(&l);
}
END_TEST

/*
 * What a reader remembers of a file that was given up meanwhile is not looked
 * for in the one that took its name.
 */
START_TEST(test_overtaken)
{
	static uint8_t buf[CHUNK_HEADER_LEN + CHUNK_MAX];
	struct runs_log_place p = { .at = 150 * PIECE };
	struct runs_log *l = log_open();
	ptrdiff_t n;

	fill(l, 0, 180 * PIECE);
	ck_assert_int_gt(size_of("log.1"), 0);
	n = runs_log_read(l, &p, buf, sizeof(buf));
	ck_assert_int_eq(n, CHUNK_HEADER_LEN + PIECE);
	fill(l, 180 * PIECE, 3000 * PIECE);
	n = runs_log_read(l, &p, buf, sizeof(buf));
	ck_assert_int_eq(n, CHUNK_HEADER_LEN + CHUNK_GAP_LEN);
	ck_assert_int_gt(p.at, 2000 * PIECE);
	n = runs_log_read(l, &p, buf, sizeof(buf));
	ck_assert_int_eq(n, CHUNK_HEADER_LEN + PIECE);
	ck_assert_uint_eq(buf[CHUNK_HEADER_LEN],
	    'a' + (uint8_t)((p.at - PIECE) / PIECE % 26));
	runs_log_close(&l);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("runs_log");
	TCase *tc = tcase_create("log");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, make, clean);
	tcase_add_test(tc, test_small);
	tcase_add_test(tc, test_limit);
	tcase_add_test(tc, test_gaps);
	tcase_add_test(tc, test_torn);
	tcase_add_test(tc, test_foreign);
	tcase_add_test(tc, test_headless);
	tcase_add_test(tc, test_far);
	tcase_add_loop_test(tc, test_new_readers, 0, 2);
	tcase_add_test(tc, test_long);
	tcase_add_test(tc, test_two_readers);
	tcase_add_test(tc, test_overtaken);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
