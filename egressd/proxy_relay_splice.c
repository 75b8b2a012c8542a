/*
 * Bulk by splice(2): the bytes stay in the kernel. Pipes are few (over 1,024
 * of an unprivileged user's the kernel makes them small), so a tunnel has one
 * only while bytes are in flight, and the empty ones are kept for the next.
 */

#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy.h"

#define PIPES_IDLE_MAX 16

static struct relay_pipe *idle[PIPES_IDLE_MAX];
static size_t nidle, nopen, max_open;

void
relay_pipes_init(size_t max)
{
	max_open = max;
}

struct relay_pipe *
relay_pipe_get(void)
{
	struct relay_pipe *p;

	if (nidle > 0)
		return idle[--nidle];
	if (nopen >= max_open)
		return NULL;
	p = malloc(sizeof(*p));
	if (p == NULL)
		return NULL;
	p->len = 0;
	if (pipe2(p->fd, O_NONBLOCK | O_CLOEXEC) == -1) {
		free(p);
		return NULL;
	}
	nopen++;
	return p;
}

void
relay_pipe_put(struct relay_pipe **pp)
{
	struct relay_pipe *p = *pp;

	if (p == NULL)
		return;
	*pp = NULL;
	if (p->len == 0 && nidle < PIPES_IDLE_MAX) {
		idle[nidle++] = p;
		return;
	}
	close(p->fd[0]);
	close(p->fd[1]);
	free(p);
	nopen--;
}

ssize_t
relay_pipe_fill(struct relay_pipe *p, int fd, size_t max)
{
	ssize_t n;

	n = splice(
	    fd, NULL, p->fd[1], NULL, max, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	if (n > 0)
		p->len += (size_t)n;
	return n;
}

ssize_t
relay_pipe_drain(struct relay_pipe *p, int fd)
{
	ssize_t n;

	n = splice(p->fd[0], NULL, fd, NULL, p->len,
	    SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	if (n > 0)
		p->len -= (size_t)n;
	return n;
}
