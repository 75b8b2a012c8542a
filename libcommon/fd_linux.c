#include <sys/socket.h>

#include <netinet/in.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"

static void
close_range_or_die(unsigned first, unsigned last)
{
	if (close_range(first, last, 0) == 0)
		return;
	if (errno != ENOSYS)
		fatal("close_range");
	/* A kernel before 5.9. */
	for (; first <= last && first < (unsigned)sysconf(_SC_OPEN_MAX);
	     first++)
		close((int)first);
}

void
fd_close_from(int low)
{
	int keep = log_fd();

	if (keep > low)
		close_range_or_die((unsigned)low, (unsigned)keep - 1);
	if (keep >= low)
		low = keep + 1;
	close_range_or_die((unsigned)low, UINT_MAX);
}

int
fd_no_sigpipe(int fd)
{
	return 0;
}

int
fd_socket(int domain, int type, int protocol)
{
	return socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
}

int
fd_accept(int fd)
{
	return accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int
fd_pipe(int fds[2], int flags)
{
	return pipe2(fds, O_CLOEXEC | flags);
}

int
fd_dup(int from, int to)
{
	return dup3(from, to, O_CLOEXEC);
}

ssize_t
fd_recvmsg(int fd, struct msghdr *mh)
{
	return recvmsg(fd, mh, MSG_CMSG_CLOEXEC);
}

int
fd_freebind(int fd)
{
	int on = 1;

	return setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
}

int
fd_sync(int fd)
{
	return fsync(fd);
}

int
fd_sync_data(int fd)
{
	return fdatasync(fd);
}
