#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "libcommon/fd.c"

static char dir[64];

static void
make_dir(void)
{
	strlcpy(dir, "/tmp/fd_test.XXXXXX", sizeof(dir));
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void
remove_dir(void)
{
	char path[128];
	size_t i;

	/* Everything the tests make has one of these names. */
	static const char *const names[] = { "file", "sock", "link", "fifo",
		"target" };

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	ck_assert_int_eq(rmdir(dir), 0);
}

static const char *
in_dir(const char *name)
{
	static char path[2][128];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
	return path[turn];
}

static void
put_file(const char *path, size_t len)
{
	FILE *f;

	ck_assert_ptr_nonnull(f = fopen(path, "w"));
	while (len-- > 0)
		fputc('a' + (int)(len % 26), f);
	ck_assert_int_eq(fclose(f), 0);
}

static const struct {
	const char *name;
	size_t size, max;
	int want; /* errno, 0 when it is read */
} read_rows[] = {
	{ "empty", 0, 10, 0 },
	{ "empty, max 0", 0, 0, 0 },
	{ "one byte, max 0", 1, 0, EFBIG },
	{ "just max", 100, 100, 0 },
	{ "one over", 101, 100, EFBIG },
	{ "several chunks", 3 * READ_CHUNK + 1, 10 * READ_CHUNK, 0 },
	{ "just max in chunks", 2 * READ_CHUNK, 2 * READ_CHUNK, 0 },
	{ "one over in chunks", 2 * READ_CHUNK + 1, 2 * READ_CHUNK, EFBIG },
	{ "much over", 10 * READ_CHUNK, 10, EFBIG },
};

START_TEST(test_read)
{
	char *buf = NULL;
	size_t i, len = 77, size = read_rows[_i].size;
	int r;

	put_file(in_dir("file"), size);
	r = fd_read_path(in_dir("file"), read_rows[_i].max, &buf, &len);
	if (read_rows[_i].want != 0) {
		ck_assert_int_eq(r, -1);
		ck_assert_int_eq(errno, read_rows[_i].want);
		ck_assert_ptr_null(buf);
		ck_assert_uint_eq(len, 77);
		return;
	}
	ck_assert_int_eq(r, 0);
	ck_assert_uint_eq(len, size);
	for (i = 0; i < size; i++)
		ck_assert_int_eq(buf[i], 'a' + (int)((size - 1 - i) % 26));
	ck_assert_int_eq(buf[len], '\0');
	free(buf);
}
END_TEST

/* A FIFO without a writer must not hold us up; a device is no file. */
START_TEST(test_read_refuses)
{
	char *buf;
	size_t len;

	ck_assert_int_eq(mkfifo(in_dir("fifo"), 0600), 0);
	ck_assert_int_eq(fd_read_path(in_dir("fifo"), 10, &buf, &len), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(fd_read_path("/dev/zero", 10, &buf, &len), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(fd_read_path(dir, 10, &buf, &len), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(fd_read_path(in_dir("none"), 10, &buf, &len), -1);
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

static int
has(int fd, int get, int flag)
{
	return (fcntl(fd, get) & flag) != 0;
}

START_TEST(test_listen_and_connect)
{
	struct stat st;
	mode_t mask;
	int l, c, a;

	mask = umask(0077);
	l = fd_listen_unix(in_dir("sock"), 5);
	ck_assert_int_ge(l, 0);
	ck_assert_int_eq(umask(mask), 0077);
	ck_assert_int_eq(lstat(in_dir("sock"), &st), 0);
	ck_assert_int_eq(st.st_mode, S_IFSOCK | 0666);
	ck_assert(has(l, F_GETFL, O_NONBLOCK));
	ck_assert(has(l, F_GETFD, FD_CLOEXEC));
	c = fd_connect_unix(in_dir("sock"));
	ck_assert_int_ge(c, 0);
	ck_assert(has(c, F_GETFL, O_NONBLOCK));
	ck_assert(has(c, F_GETFD, FD_CLOEXEC));
	ck_assert_int_ge(a = accept(l, NULL, NULL), 0);
	ck_assert_int_eq(write(a, "x", 1), 1);
	close(a);
	close(c);
	close(l);
	/* Nobody listens any more, but the file is there. */
	ck_assert_int_eq(fd_connect_unix(in_dir("sock")), -1);
	ck_assert_int_eq(errno, ECONNREFUSED);
}
END_TEST

/* Where as many wait as may, it does not wait with them. */
START_TEST(test_connect_full)
{
	int fd[4], l, i, why;

	ck_assert_int_ge(l = fd_listen_unix(in_dir("sock"), 1), 0);
	for (i = 0; i < 4; i++) {
		if ((fd[i] = fd_connect_unix(in_dir("sock"))) == -1)
			break;
	}
	why = errno;
	ck_assert_int_lt(i, 4);
	ck_assert_int_gt(i, 0);
	ck_assert(why == EAGAIN || why == ECONNREFUSED);
	while (i > 0)
		close(fd[--i]);
	close(l);
}
END_TEST

START_TEST(test_listen_replaces_dead)
{
	int i, l;

	ck_assert_int_ge(l = fd_listen_unix(in_dir("sock"), 5), 0);
	close(l);
	ck_assert_int_ge(l = fd_listen_unix(in_dir("sock"), 0), 0);
	/* Live; the second time with its backlog full. */
	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(fd_listen_unix(in_dir("sock"), 5), -1);
		ck_assert_int_eq(errno, EADDRINUSE);
	}
	close(l);
}
END_TEST

/* What is no socket is never removed, nor is anything behind a link. */
START_TEST(test_listen_refuses)
{
	struct stat st;
	char longpath[200];
	int l;

	put_file(in_dir("file"), 3);
	ck_assert_int_eq(fd_listen_unix(in_dir("file"), 5), -1);
	ck_assert_int_eq(errno, ENOTSOCK);
	ck_assert_int_eq(lstat(in_dir("file"), &st), 0);
	ck_assert_int_eq(st.st_size, 3);

	ck_assert_int_eq(symlink(in_dir("target"), in_dir("link")), 0);
	ck_assert_int_eq(fd_listen_unix(in_dir("link"), 5), -1);
	ck_assert_int_eq(errno, ENOTSOCK);
	ck_assert_int_eq(lstat(in_dir("target"), &st), -1);

	/* A link to a dead socket stays, and so does the socket. */
	ck_assert_int_ge(l = fd_listen_unix(in_dir("target"), 5), 0);
	close(l);
	ck_assert_int_eq(fd_listen_unix(in_dir("link"), 5), -1);
	ck_assert_int_eq(errno, ENOTSOCK);
	ck_assert_int_eq(lstat(in_dir("target"), &st), 0);
	ck_assert_int_eq(lstat(in_dir("link"), &st), 0);
	ck_assert(S_ISLNK(st.st_mode));

	ck_assert_int_eq(fd_listen_unix(in_dir("none/sock"), 5), -1);
	ck_assert_int_eq(errno, ENOENT);
	memset(longpath, 'x', sizeof(longpath));
	longpath[sizeof(longpath) - 1] = '\0';
	ck_assert_int_eq(fd_listen_unix(longpath, 5), -1);
	ck_assert_int_eq(errno, ENAMETOOLONG);
	ck_assert_int_eq(fd_connect_unix(""), -1);
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

START_TEST(test_flags)
{
	int p[2];

	ck_assert_int_eq(pipe(p), 0);
	ck_assert(!has(p[0], F_GETFL, O_NONBLOCK));
	ck_assert_int_eq(fd_set_nonblock(p[0]), 0);
	ck_assert(has(p[0], F_GETFL, O_NONBLOCK));
	ck_assert_int_eq(fd_set_cloexec(p[0]), 0);
	ck_assert(has(p[0], F_GETFD, FD_CLOEXEC));
	close(p[0]);
	close(p[1]);
	ck_assert_int_eq(fd_set_nonblock(p[0]), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(fd_set_cloexec(p[0]), -1);
}
END_TEST

static int
is_open(int fd)
{
	return fcntl(fd, F_GETFD) != -1;
}

START_TEST(test_close_from)
{
	pid_t pid;
	int status, low;

	if ((pid = fork()) == 0) {
		ck_assert_int_ge(low = dup(0), 0);
		dup2(0, low + 1);
		dup2(0, low + 7);
		dup2(0, 200);
		fd_close_from(low + 1);
		_exit(is_open(0) && is_open(low) && !is_open(low + 1) &&
		            !is_open(low + 7) && !is_open(200)
		        ? 0
		        : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

START_TEST(test_space)
{
	int64_t bytes = -1, same = -1;
	int fd = open(dir, O_RDONLY | O_DIRECTORY);
	struct statvfs st;

	ck_assert_int_eq(fd_space(fd, &bytes), 0);
	ck_assert_int_eq(fstatvfs(fd, &st), 0);
	ck_assert_int_ge(bytes, 0);
	ck_assert_int_le(bytes, (int64_t)(st.f_blocks * st.f_frsize));
	close(fd);
	ck_assert_int_eq(fd_space(fd + 100, &same), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(same, -1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("fd");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, make_dir, remove_dir);
	tcase_add_loop_test(
	    t, test_read, 0, sizeof(read_rows) / sizeof(read_rows[0]));
	tcase_add_test(t, test_read_refuses);
	tcase_add_test(t, test_listen_and_connect);
	tcase_add_test(t, test_connect_full);
	tcase_add_test(t, test_listen_replaces_dead);
	tcase_add_test(t, test_listen_refuses);
	tcase_add_test(t, test_flags);
	tcase_add_test(t, test_close_from);
	tcase_add_test(t, test_space);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
