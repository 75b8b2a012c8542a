/*
 * The tool's standard output and error. They are read whatever becomes of the
 * bytes: a tool never waits for a daemon.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "libcommon/fd.h"

#include "entrypoint_child.h"

#define DRAIN_READS_MAX 1024 /* a pipe holds far less */

struct output_pipe {
	struct output *o;
	int stream;
	int fd; /* -1: closed */
	struct event *ev;
};

struct output {
	struct event_base *base;
	void (*more)(void *arg);
	void *arg;
	struct ring *ring;
	struct output_pipe pipes[2];
	uint8_t buf[OUTPUT_READ_MAX];
};

static void
pipe_close(struct output_pipe *p)
{
	if (p->ev != NULL)
		event_free(p->ev);
	p->ev = NULL;
	if (p->fd != -1)
		(void)close(p->fd);
	p->fd = -1;
}

/* Returns whether there may be more. */
static bool
pipe_read(struct output_pipe *p)
{
	struct output *o = p->o;
	ssize_t n;

	if ((n = read(p->fd, o->buf, sizeof(o->buf))) > 0) {
		ring_put(o->ring, p->stream, o->buf, (size_t)n);
		return true;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		pipe_close(p);
	return n == -1 && p->fd != -1 && errno == EINTR;
}

static void
readable(int fd, short what, void *arg)
{
	struct output_pipe *p = arg;
	struct output *o = p->o;

	if (pipe_read(p))
		o->more(o->arg);
}

struct output *
output_new(struct event_base *base, void (*more)(void *arg), void *arg)
{
	struct output *o;

	if ((o = calloc(1, sizeof(*o))) == NULL)
		return NULL;
	o->base = base;
	o->more = more;
	o->arg = arg;
	o->pipes[0].o = o->pipes[1].o = o;
	o->pipes[0].fd = o->pipes[1].fd = -1;
	o->pipes[0].stream = RING_STDOUT;
	o->pipes[1].stream = RING_STDERR;
	if ((o->ring = ring_new(OUTPUT_KEEP_MAX)) == NULL)
		output_free(&o);
	return o;
}

void
output_free(struct output **o)
{
	if (*o == NULL)
		return;
	pipe_close(&(*o)->pipes[0]);
	pipe_close(&(*o)->pipes[1]);
	ring_free(&(*o)->ring);
	free(*o);
	*o = NULL;
}

static int
pipe_open(struct output_pipe *p, int *theirs)
{
	int fds[2];

	if (fd_pipe(fds, 0) == -1)
		return -1;
	p->fd = fds[0];
	*theirs = fds[1];
	/* Only our end: the tool gets what every program expects. */
	if (fd_set_nonblock(fds[0]) == -1 ||
	    (p->ev = event_new(p->o->base, fds[0], EV_READ | EV_PERSIST,
	         readable, p)) == NULL ||
	    event_add(p->ev, NULL) == -1) {
		pipe_close(p);
		(void)close(fds[1]);
		*theirs = -1;
		return -1;
	}
	return 0;
}

int
output_open(struct output *o, int *out, int *err)
{
	if (pipe_open(&o->pipes[0], out) == -1)
		return -1;
	if (pipe_open(&o->pipes[1], err) == -1) {
		pipe_close(&o->pipes[0]);
		(void)close(*out);
		return -1;
	}
	return 0;
}

void
output_drain(struct output *o)
{
	int i, n;

	for (i = 0; i < 2; i++) {
		for (n = 0; n < DRAIN_READS_MAX; n++)
			if (o->pipes[i].fd == -1 || !pipe_read(&o->pipes[i]))
				break;
		pipe_close(&o->pipes[i]);
	}
	o->more(o->arg);
}

struct ring *
output_ring(struct output *o)
{
	return o->ring;
}
