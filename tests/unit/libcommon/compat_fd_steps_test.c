/* The steps of compat/ beside the calls of Linux that they stand for. */

#include <sys/socket.h>
#include <sys/un.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"

static int sigpipe_asked, sigpipe_fails;

static int
no_sigpipe(int fd)
{
	sigpipe_asked++;
	if (!sigpipe_fails)
		return 0;
	errno = EINVAL;
	return -1;
}

#define fd_socket steps_socket
#define fd_accept steps_accept
#define fd_pipe steps_pipe
#define fd_dup steps_dup
#define fd_recvmsg steps_recvmsg
#define fd_no_sigpipe no_sigpipe
int steps_socket(int, int, int);
int steps_accept(int);
int steps_pipe(int[2], int);
int steps_dup(int, int);
ssize_t steps_recvmsg(int, struct msghdr *);
#include "libcommon/compat/fd_steps.c"
#undef fd_socket
#undef fd_accept
#undef fd_pipe
#undef fd_dup
#undef fd_recvmsg
#undef fd_no_sigpipe

static void
forget(void)
{
	sigpipe_asked = sigpipe_fails = 0;
}

/* Two descriptors are alike in what the flags of Linux say. */
static void
alike(int fd, int want)
{
	ck_assert_int_ne(fd, -1);
	ck_assert_int_ne(want, -1);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(want, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(fd, F_GETFL), fcntl(want, F_GETFL));
}

/* The lowest free descriptor: how a test sees that none was left behind. */
static int
lowest(void)
{
	int fd;

	ck_assert_int_ne(fd = dup(STDIN_FILENO), -1);
	close(fd);
	return fd;
}

START_TEST(test_socket)
{
	int a, b, free_fd;

	a = steps_socket(AF_UNIX, SOCK_STREAM, 0);
	b = fd_socket(AF_UNIX, SOCK_STREAM, 0);
	alike(a, b);
	ck_assert_int_eq(sigpipe_asked, 1);
	close(a);
	close(b);

	free_fd = lowest();
	sigpipe_fails = 1;
	ck_assert_int_eq(steps_socket(AF_UNIX, SOCK_STREAM, 0), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(lowest(), free_fd);
	ck_assert_int_eq(steps_socket(AF_UNIX, SOCK_STREAM, 4711), -1);
	ck_assert_int_eq(lowest(), free_fd);
}
END_TEST

/* An address that the system chooses, of the abstract ones. */
static int
listener(struct sockaddr_un *sun, socklen_t *len)
{
	int fd = fd_socket(AF_UNIX, SOCK_STREAM, 0);

	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	*len = offsetof(struct sockaddr_un, sun_path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)sun, *len), 0);
	*len = sizeof(*sun);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)sun, len), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	return fd;
}

START_TEST(test_accept)
{
	struct sockaddr_un sun;
	socklen_t len;
	int a, b, c[3], free_fd, l;
	size_t i;

	l = listener(&sun, &len);
	ck_assert_int_eq(steps_accept(l), -1);
	ck_assert_int_eq(errno, EAGAIN);
	for (i = 0; i < 3; i++) {
		c[i] = fd_socket(AF_UNIX, SOCK_STREAM, 0);
		ck_assert_int_eq(
		    connect(c[i], (struct sockaddr *)&sun, len), 0);
	}
	a = steps_accept(l);
	b = fd_accept(l);
	alike(a, b);
	ck_assert_int_eq(sigpipe_asked, 1);

	/* Gone before it was ours: nothing that the listener's owner fears. */
	free_fd = lowest();
	sigpipe_fails = 1;
	ck_assert_int_eq(steps_accept(l), -1);
	ck_assert_int_eq(errno, ECONNABORTED);
	ck_assert_int_eq(lowest(), free_fd);
	for (i = 0; i < 3; i++)
		close(c[i]);
	close(a);
	close(b);
	close(l);
}
END_TEST

START_TEST(test_pipe)
{
	static const int flags[] = { 0, O_NONBLOCK };
	int a[2], b[2];
	size_t i;

	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(steps_pipe(a, flags[i]), 0);
		ck_assert_int_eq(fd_pipe(b, flags[i]), 0);
		alike(a[0], b[0]);
		alike(a[1], b[1]);
		ck_assert_int_eq(write(a[1], "x", 1), 1);
		close(a[0]);
		close(a[1]);
		close(b[0]);
		close(b[1]);
	}
	a[0] = a[1] = -7;
	ck_assert_int_eq(steps_pipe(a, O_APPEND), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(a[0], -7);
	ck_assert_int_eq(a[1], -7);
}
END_TEST

START_TEST(test_dup)
{
	int a, b, p[2];

	ck_assert_int_eq(fd_pipe(p, 0), 0);
	a = steps_dup(p[1], 40);
	b = fd_dup(p[1], 41);
	ck_assert_int_eq(a, 40);
	ck_assert_int_eq(b, 41);
	alike(a, b);
	ck_assert_int_eq(steps_dup(a, a), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(fd_dup(b, b), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(steps_dup(1000, 42), -1);
	ck_assert_int_eq(errno, EBADF);
	close(a);
	close(b);
	close(p[0]);
	close(p[1]);
}
END_TEST

#define PASSED 3

/* Over a socket pair of the same process; each of them comes back as another.
 */
static void
pass(const int fds[PASSED], int got[PASSED])
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(PASSED * sizeof(int))];
	} control;
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr mh = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c;
	int sv[2];

	memset(&control, 0, sizeof(control));
	c = CMSG_FIRSTHDR(&mh);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(PASSED * sizeof(int));
	memcpy(CMSG_DATA(c), fds, PASSED * sizeof(int));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	ck_assert_int_eq(sendmsg(sv[0], &mh, 0), 1);
	memset(&control, 0, sizeof(control));
	ck_assert_int_eq(steps_recvmsg(sv[1], &mh), 1);
	ck_assert_ptr_nonnull(c = CMSG_FIRSTHDR(&mh));
	ck_assert_uint_eq(c->cmsg_len, CMSG_LEN(PASSED * sizeof(int)));
	memcpy(got, CMSG_DATA(c), PASSED * sizeof(int));
	close(sv[0]);
	close(sv[1]);
}

START_TEST(test_recvmsg)
{
	int fds[PASSED], got[PASSED];
	size_t i;

	for (i = 0; i < PASSED; i++)
		ck_assert_int_ne(fds[i] = dup(STDIN_FILENO), -1);
	pass(fds, got);
	for (i = 0; i < PASSED; i++) {
		ck_assert_int_eq(fcntl(fds[i], F_GETFD), 0);
		ck_assert_int_eq(fcntl(got[i], F_GETFD), FD_CLOEXEC);
		close(fds[i]);
		close(got[i]);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("compat_fd_steps");
	TCase *t = tcase_create("compat_fd_steps");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, forget, NULL);
	tcase_add_test(t, test_socket);
	tcase_add_test(t, test_accept);
	tcase_add_test(t, test_pipe);
	tcase_add_test(t, test_dup);
	tcase_add_test(t, test_recvmsg);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
