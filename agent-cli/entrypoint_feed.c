/*
 * The prompt, on a pipe as `echo PROMPT | tool` would have it. A tool that
 * never reads it holds nobody up: it lies here until the tool ends.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"

#include "entrypoint_child.h"

struct feed {
	struct event *ev;
	int fd;
	uint8_t *buf;
	size_t len, at;
};

static void
feed_close(struct feed *f)
{
	if (f->ev != NULL)
		event_free(f->ev);
	f->ev = NULL;
	if (f->fd != -1)
		(void)close(f->fd);
	f->fd = -1;
	if (f->buf != NULL)
		freezero(f->buf, f->len);
	f->buf = NULL;
}

static void
writable(int fd, short what, void *arg)
{
	struct feed *f = arg;
	ssize_t n;

	n = f->len > f->at ? write(fd, f->buf + f->at, f->len - f->at) : 0;
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		f->at += (size_t)n;
	/* A tool that closed its input wanted no more. */
	if (n == -1 || f->at == f->len)
		feed_close(f);
}

struct feed *
feed_new(struct event_base *base, int fd, uint8_t *buf, size_t len)
{
	struct feed *f;

	if ((f = calloc(1, sizeof(*f))) == NULL) {
		(void)close(fd);
		if (buf != NULL)
			freezero(buf, len);
		return NULL;
	}
	f->fd = fd;
	f->buf = buf;
	f->len = len;
	if (fd_set_nonblock(fd) == -1 ||
	    (f->ev = event_new(base, fd, EV_WRITE | EV_PERSIST, writable, f)) ==
	        NULL ||
	    event_add(f->ev, NULL) == -1)
		feed_free(&f);
	return f;
}

void
feed_free(struct feed **f)
{
	if (*f == NULL)
		return;
	feed_close(*f);
	free(*f);
	*f = NULL;
}
