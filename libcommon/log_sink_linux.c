#include <sys/types.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "log_sink.h"

const char log_sink_syslog[] = "/dev/log";

int
log_sink_reopen(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/*
 * O_NONBLOCK would be set for everybody who has this pipe, so the call itself
 * must say it. Kernels before 6.4 do not know that for a pipe, and no kernel
 * for a terminal: there a pipe that polls as writable has room for PIPE_BUF
 * bytes, unless another process takes it in between.
 */
ssize_t
log_sink_write_nowait(int fd, const char *line, size_t len)
{
	struct iovec iov;
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	ssize_t n;

	/* The kernel does not write to what writev names. */
	iov.iov_base = (void *)(uintptr_t)line;
	iov.iov_len = len;
	n = pwritev2(fd, &iov, 1, -1, RWF_NOWAIT);
	if (n != -1 || (errno != EOPNOTSUPP && errno != ENOSYS))
		return n;
	if (poll(&pfd, 1, 0) != 1 || (pfd.revents & POLLOUT) == 0) {
		errno = EAGAIN;
		return -1;
	}
	return write(fd, line, len < PIPE_BUF ? len : PIPE_BUF);
}
