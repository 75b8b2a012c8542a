#include <sys/socket.h>

#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"

#define CLOSE_MAX 65536 /* where the limit on descriptors is none */

void
fd_close_from(int low)
{
	int fd, keep, n;

	keep = log_fd();
	n = getdtablesize();
	if (n > CLOSE_MAX)
		n = CLOSE_MAX;
	for (fd = low; fd < n; fd++)
		if (fd != keep)
			close(fd);
}

int
fd_no_sigpipe(int fd)
{
	int on = 1;

	return setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on));
}

/* Nothing is executed between the two steps: there are no threads. */
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
			fd_set_cloexec(got);
		}
	}
	return n;
}

/* There a run's listener is bound when its network is there. */
int
fd_freebind(int fd)
{
	return 0;
}
