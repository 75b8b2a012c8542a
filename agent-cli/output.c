/*
 * Standard output and standard error in one queue: what came first is written
 * first, and a reader that is slow holds all of it up, but not us.
 */

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "follow.h"

/*
 * The descriptors are shared with whoever started us, so they cannot be made
 * non-blocking. One that poll(2) calls writable takes so much without waiting:
 * a pipe PIPE_BUF, a terminal what it has kept free.
 */
#define PIPE_PIECE 4096
#define TERMINAL_PIECE 256
#define DESCRIPTORS 3 /* by descriptor */

#define ERASE "\r\033[K" /* the line of a stage */

struct piece {
	TAILQ_ENTRY(piece) entry;
	int fd;
	size_t len, off;
	size_t credit; /* to be reported behind it */
	char text[];
};

TAILQ_HEAD(piece_list, piece);

struct output {
	struct event_base *base;
	const struct output_ops *ops;
	void *arg;
	struct piece_list pieces;
	struct event *writable[DESCRIPTORS];
	bool tty[DESCRIPTORS]; /* it is a terminal ... */
	bool shown[DESCRIPTORS]; /* ... and control characters are shown */
	struct terminal terminal[DESCRIPTORS];
	bool lines; /* stages have a line that is rewritten */
	bool drawn; /* it is there */
	bool column; /* a terminal is in the midst of a line */
	char *stage;
	bool broken;
};

static void drain(struct output *o);

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	drain(arg);
}

struct output *
printed_new(
    struct event_base *base, bool raw, const struct output_ops *ops, void *arg)
{
	const char *term = getenv("TERM");
	struct output *o;
	int fd;

	if ((o = calloc(1, sizeof(*o))) == NULL)
		return NULL;
	o->base = base;
	o->ops = ops;
	o->arg = arg;
	TAILQ_INIT(&o->pieces);
	for (fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
		o->tty[fd] = isatty(fd) == 1;
		o->shown[fd] = o->tty[fd] && !raw;
		o->writable[fd] = event_new(base, fd, EV_WRITE, on_writable, o);
		if (o->writable[fd] == NULL) {
			printed_free(&o);
			return NULL;
		}
	}
	o->lines = o->tty[STDERR_FILENO] &&
	    (term == NULL || strcmp(term, "dumb") != 0);
	return o;
}

static void
drop(struct output *o)
{
	struct piece *p;

	while ((p = TAILQ_FIRST(&o->pieces)) != NULL) {
		TAILQ_REMOVE(&o->pieces, p, entry);
		free(p);
	}
}

void
printed_free(struct output **op)
{
	struct output *o = *op;
	int fd;

	*op = NULL;
	if (o == NULL)
		return;
	for (fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
		if (o->writable[fd] != NULL)
			event_free(o->writable[fd]);
	drop(o);
	free(o->stage);
	free(o);
}

/* --- writing ------------------------------------------------------------ */

static void
fail(struct output *o, int fd, int error)
{
	o->broken = true;
	drop(o);
	o->ops->broken(fd, error, o->arg);
}

/* Write a part of it. Returns false when it cannot go on now. */
static bool
write_some(struct output *o, struct piece *p)
{
	struct pollfd pfd = { .fd = p->fd, .events = POLLOUT };
	size_t max = o->tty[p->fd] ? TERMINAL_PIECE : PIPE_PIECE;
	size_t n = p->len - p->off < max ? p->len - p->off : max;
	ssize_t r;

	if (n == 0)
		return true;
	if (poll(&pfd, 1, 0) == 0) {
		/* What cannot be waited for is always writable. */
		if (event_add(o->writable[p->fd], NULL) == -1)
			fail(o, p->fd, errno);
		return false;
	}
	r = write(p->fd, p->text + p->off, n);
	if (r == -1 && errno != EINTR && errno != EAGAIN) {
		fail(o, p->fd, errno);
		return false;
	}
	if (r == -1 && errno == EAGAIN) {
		if (event_add(o->writable[p->fd], NULL) == -1)
			fail(o, p->fd, errno);
		return false;
	}
	p->off += r > 0 ? (size_t)r : 0;
	return true;
}

static void
drain(struct output *o)
{
	struct piece *p;
	size_t credit;

	while ((p = TAILQ_FIRST(&o->pieces)) != NULL) {
		if (!write_some(o, p))
			return;
		if (p->off < p->len)
			continue;
		credit = p->credit;
		TAILQ_REMOVE(&o->pieces, p, entry);
		free(p);
		if (credit > 0)
			o->ops->written(credit, o->arg);
	}
}

/* --- the queue ---------------------------------------------------------- */

static struct piece *
append(struct output *o, int fd, size_t room)
{
	struct piece *p;

	if ((p = malloc(sizeof(*p) + room)) == NULL) {
		complain("out of memory");
		exit(EXIT_FAILED);
	}
	memset(p, 0, sizeof(*p));
	p->fd = fd;
	TAILQ_INSERT_TAIL(&o->pieces, p, entry);
	return p;
}

static void
put(struct output *o, int fd, const char *text, size_t len)
{
	struct piece *p;

	if (o->broken || len == 0)
		return;
	p = append(o, fd, len);
	memcpy(p->text, text, len);
	p->len = len;
}

static void
put_text(struct output *o, int fd, const char *text)
{
	put(o, fd, text, strlen(text));
}

/* The line of a stage goes before something else is written, and comes back. */
static void
erase(struct output *o)
{
	if (o->drawn)
		put_text(o, STDERR_FILENO, ERASE);
	o->drawn = false;
}

static void
draw(struct output *o)
{
	if (!o->lines || o->stage == NULL || o->column || o->drawn)
		return;
	put_text(o, STDERR_FILENO, ERASE);
	put_text(o, STDERR_FILENO, o->stage);
	o->drawn = true;
}

void
output_tool(struct output *o, int fd, const void *buf, size_t len)
{
	struct piece *p;

	if (o->broken || len == 0)
		return;
	if (o->tty[fd])
		erase(o);
	p = append(o, fd, o->shown[fd] ? TERMINAL_OUT(len) : len);
	if (o->shown[fd]) {
		p->len = terminal_text(&o->terminal[fd], buf, len, p->text);
	} else {
		memcpy(p->text, buf, len);
		p->len = len;
	}
	if (o->tty[fd] && p->len > 0)
		o->column =
		    p->text[p->len - 1] != '\n' || o->terminal[fd].nheld > 0;
	draw(o);
	drain(o);
}

void
output_line(struct output *o, int fd, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	if (o->broken)
		return;
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n == -1) {
		complain("out of memory");
		exit(EXIT_FAILED);
	}
	if (o->tty[fd]) {
		erase(o);
		if (o->column)
			put_text(o, fd, "\n");
		o->column = false;
	}
	put_text(o, fd, text);
	put_text(o, fd, "\n");
	free(text);
	draw(o);
	drain(o);
}

void
output_stage(struct output *o, const char *text)
{
	if (!o->lines) {
		output_line(o, STDERR_FILENO, "%s", text);
		return;
	}
	erase(o);
	free(o->stage);
	o->stage = strdup(text);
	draw(o);
	drain(o);
}

void
output_credit(struct output *o, size_t n)
{
	struct piece *p = TAILQ_LAST(&o->pieces, piece_list);

	if (o->broken || n == 0)
		return;
	if (p == NULL)
		o->ops->written(n, o->arg);
	else
		p->credit += n;
}

bool
output_empty(const struct output *o)
{
	return TAILQ_EMPTY(&o->pieces);
}

void
output_discard(struct output *o)
{
	drop(o);
	o->drawn = false;
}

void
output_flush(struct output *o)
{
	while (!o->broken && !output_empty(o))
		if (event_base_loop(o->base, EVLOOP_ONCE) == -1)
			return;
}

void
output_end(struct output *o)
{
	char held[TERMINAL_OUT(0)];
	int fd;

	erase(o);
	free(o->stage);
	o->stage = NULL;
	for (fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
		put(o, fd, held, terminal_end(&o->terminal[fd], held));
	drain(o);
}
