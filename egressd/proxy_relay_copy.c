/* Where splice(2) is not to be had: no pipes, so that plain copies do. */

#include <sys/types.h>

#include <errno.h>

#include "proxy.h"

void
relay_pipes_init(size_t max)
{
}

struct relay_pipe *
relay_pipe_get(void)
{
	return NULL;
}

void
relay_pipe_put(struct relay_pipe **pp)
{
	*pp = NULL;
}

ssize_t
relay_pipe_fill(struct relay_pipe *p, int fd, size_t max)
{
	errno = ENOSYS;
	return -1;
}

ssize_t
relay_pipe_drain(struct relay_pipe *p, int fd)
{
	errno = ENOSYS;
	return -1;
}
