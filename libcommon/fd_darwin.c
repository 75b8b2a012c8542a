#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"

#define CLOSE_MAX 65536 /* where the limit on descriptors is none */

/* The rest of fd.h that Linux does by flags is in compat/fd_steps.c. */

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

/*
 * fsync(2) of this system gives the data to the drive and returns; only this
 * has the drive write it. A file system that cannot ask its drive says that it
 * has no such call: what it has is fsync(2).
 */
int
fd_sync(int fd)
{
	if (fcntl(fd, F_FULLFSYNC) != -1)
		return 0;
	if (errno != ENOTSUP && errno != ENOTTY && errno != EINVAL)
		return -1;
	return fsync(fd);
}

/* fdatasync(2) is declared nowhere here, and would do as little. */
int
fd_sync_data(int fd)
{
	return fd_sync(fd);
}

/* There a run's listener is bound when its network is there. */
int
fd_freebind(int fd)
{
	return 0;
}
