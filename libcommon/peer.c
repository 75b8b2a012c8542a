#include <sys/queue.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "clock.h"
#include "fd.h"
#include "log.h"
#include "peer_int.h"

/* What a client is given; variables so that a test need not wait so long. */
static int64_t hello_ms = PEER_HELLO_MS;
static int64_t frame_ms = PEER_FRAME_MS;
static int64_t stall_ms = PEER_STALL_MS;

/* The next thing that a client must have done by then. */
struct deadline {
	int64_t at; /* boot clock; 0: there is none */
	enum peer_end end;
	const char *why;
};

static void
earlier(struct deadline *d, int64_t at, enum peer_end end, const char *why)
{
	if (d->at != 0 && d->at <= at)
		return;
	d->at = at;
	d->end = end;
	d->why = why;
}

static struct deadline
next_deadline(const struct peer *p)
{
	const struct peer_seg *seg = TAILQ_FIRST(&p->out);
	struct deadline d = { 0, PEER_END_TIMEOUT, NULL };

	if (p->kind != PEER_CLIENT)
		return d;
	if (!p->hello_got)
		earlier(&d, p->since_ms + hello_ms, PEER_END_TIMEOUT,
		    "said no hello in time");
	if (p->frame_ms != 0)
		earlier(&d, p->frame_ms + frame_ms, PEER_END_TIMEOUT,
		    "did not end a frame in time");
	if (seg != NULL)
		earlier(&d, seg->queued_ms + stall_ms, PEER_END_SLOW,
		    "did not read what it was sent");
	return d;
}

/*
 * A deadline that moved away is left to fire and to be found early: most
 * frames end long before theirs, and so cost no work on the timer.
 */
void
peer_arm(struct peer *p)
{
	struct deadline d = next_deadline(p);
	struct timeval tv;
	int64_t wait;

	if (p->ending || d.at == 0 || (p->armed_ms != 0 && p->armed_ms <= d.at))
		return;
	wait = d.at - clock_boot_ms();
	if (wait < 0)
		wait = 0;
	tv.tv_sec = (time_t)(wait / 1000);
	tv.tv_usec = (suseconds_t)(wait % 1000 * 1000);
	if (evtimer_add(p->tev, &tv) == -1) {
		peer_end(p, PEER_END_SYSTEM, "no timer: out of memory");
		return;
	}
	p->armed_ms = d.at;
}

void
peer_end(struct peer *p, enum peer_end end, const char *fmt, ...)
{
	va_list ap;

	if (p->ending || p->freed)
		return;
	p->ending = true;
	p->end = end;
	va_start(ap, fmt);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is not */
	vsnprintf(p->why, sizeof(p->why), fmt, ap);
	va_end(ap);
	event_del(p->rev);
	event_del(p->wev);
	event_del(p->tev);
	if (!p->busy)
		event_active(p->tev, EV_TIMEOUT, 1);
}

void
peer_bad(struct peer *p, const char *why)
{
	if (p->kind == PEER_SIBLING)
		fatalx(
		    "%s sent %s bad bytes: %s", p->other_name, p->my_name, why);
	peer_end(p, PEER_END_PROTOCOL, "%s", why);
}

/*
 * The end of every callback: what a callee did to the peer while it was busy
 * takes effect here, and gone is called from here alone.
 */
static void
leave(struct peer *p)
{
	if (p->ending && !p->told && !p->freed) {
		p->told = true;
		p->ops->gone(p, p->end, p->why, p->arg);
	}
	if (p->freed) {
		free(p);
		return;
	}
	p->busy = false;
	peer_arm(p);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;

	p->busy = true;
	peer_read(p);
	leave(p);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;

	p->busy = true;
	peer_stream_offer(p);
	peer_write(p);
	leave(p);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;
	struct deadline d = next_deadline(p);

	p->busy = true;
	p->armed_ms = 0;
	if (!p->ending && d.at != 0 && clock_boot_ms() >= d.at)
		peer_end(p, d.end, "%s", d.why);
	leave(p);
}

static int
make_events(struct peer *p)
{
	p->rev =
	    event_new(p->base, p->fd, EV_READ | EV_PERSIST, on_readable, p);
	p->wev =
	    event_new(p->base, p->fd, EV_WRITE | EV_PERSIST, on_writable, p);
	p->tev = evtimer_new(p->base, on_timer, p);
	if (p->rev == NULL || p->wev == NULL || p->tev == NULL)
		return -1;
	return event_add(p->rev, NULL);
}

struct peer *
peer_new(struct event_base *base, int fd, enum peer_kind kind, enum msg_side me,
    enum msg_side other, const char *my_name, const char *other_name,
    const struct peer_ops *ops, void *arg)
{
	struct peer *p;

	if ((p = calloc(1, sizeof(*p))) == NULL) {
		close(fd);
		return NULL;
	}
	p->base = base;
	p->fd = fd;
	p->kind = kind;
	p->me = me;
	p->other = other;
	strlcpy(p->my_name, my_name, sizeof(p->my_name));
	strlcpy(p->other_name, other_name, sizeof(p->other_name));
	p->ops = ops;
	p->arg = arg;
	p->since_ms = clock_boot_ms();
	TAILQ_INIT(&p->out);
	peer_streams_init(p);
	if (fd_no_sigpipe(fd) == -1 || peer_in_init(p) == -1 ||
	    make_events(p) == -1 ||
	    (kind == PEER_CLIENT && peer_hello(p) == -1)) {
		peer_free(&p);
		return NULL;
	}
	peer_arm(p);
	if (p->ending)
		peer_free(&p);
	return p;
}

static void
free_event(struct event **ev)
{
	if (*ev != NULL)
		event_free(*ev);
	*ev = NULL;
}

void
peer_free(struct peer **pp)
{
	struct peer *p = *pp;

	*pp = NULL;
	if (p == NULL || p->freed)
		return;
	free_event(&p->rev);
	free_event(&p->wev);
	free_event(&p->tev);
	close(p->fd);
	p->fd = -1;
	peer_in_free(p);
	peer_out_drop(p);
	peer_streams_free(p);
	p->freed = true;
	if (!p->busy)
		free(p);
}

size_t
peer_pending(const struct peer *p)
{
	return p->out_bytes + p->out_data + p->queued;
}

const char *
peer_name(const struct peer *p)
{
	return p->other_name;
}

int
peer_fd(const struct peer *p)
{
	return p->fd;
}

int64_t
peer_next_id(struct peer *p)
{
	return ++p->last_id;
}
