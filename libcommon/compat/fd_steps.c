/*
 * Those functions of fd.h for which Linux has flags, in steps: for a system
 * that has neither accept4, pipe2, dup3 nor MSG_CMSG_CLOEXEC. Between the steps
 * a descriptor is inheritable; but there are no threads, and nothing is
 * executed in between.
 */

#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"

static void
close_keep_errno(int fd)
{
	int saved = errno;

	(void)close(fd);
	errno = saved;
}

int
fd_socket(int domain, int type, int protocol)
{
	int s;

	if ((s = socket(domain, type, protocol)) == -1)
		return -1;
	if (fd_set_cloexec(s) == -1 || fd_set_nonblock(s) == -1 ||
	    fd_no_sigpipe(s) == -1) {
		close_keep_errno(s);
		return -1;
	}
	return s;
}

/*
 * An option of a connection that was reset meanwhile cannot be set (EINVAL).
 * The caller must not take this for a fault of its listener.
 */
int
fd_accept(int fd)
{
	int s;

	if ((s = accept(fd, NULL, NULL)) == -1)
		return -1;
	if (fd_set_cloexec(s) == -1 || fd_set_nonblock(s) == -1) {
		close_keep_errno(s);
		return -1;
	}
	if (fd_no_sigpipe(s) == -1) {
		(void)close(s);
		errno = ECONNABORTED;
		return -1;
	}
	return s;
}

int
fd_pipe(int fds[2], int flags)
{
	int got[2], i;

	if ((flags & ~O_NONBLOCK) != 0) {
		errno = EINVAL;
		return -1;
	}
	if (pipe(got) == -1)
		return -1;
	for (i = 0; i < 2; i++) {
		if (fd_set_cloexec(got[i]) == -1 ||
		    (flags != 0 && fd_set_nonblock(got[i]) == -1)) {
			close_keep_errno(got[0]);
			close_keep_errno(got[1]);
			return -1;
		}
	}
	memcpy(fds, got, sizeof(got));
	return 0;
}

/* As dup3: the same descriptor twice is the caller's mistake. */
int
fd_dup(int from, int to)
{
	if (from == to) {
		errno = EINVAL;
		return -1;
	}
	if (dup2(from, to) == -1)
		return -1;
	if (fd_set_cloexec(to) == -1) {
		close_keep_errno(to);
		return -1;
	}
	return to;
}

ssize_t
fd_recvmsg(int fd, struct msghdr *mh)
{
	struct cmsghdr *c;
	ssize_t n;
	size_t i;
	int got;

	n = recvmsg(fd, mh, 0);
	if (n == -1)
		return -1;
	for (c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= c->cmsg_len;
		     i++) {
			memcpy(
			    &got, CMSG_DATA(c) + i * sizeof(int), sizeof(got));
			(void)fd_set_cloexec(got);
		}
	}
	return n;
}
