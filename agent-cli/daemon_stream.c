/*
 * A link to dispatchd that lasts: it is made again when it is lost, as when
 * the daemon is started anew, and what was asked is asked again.
 */

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/fd.h"
#include "libcommon/peer.h"

#include "follow.h"

#define DAEMON "dispatchd"
#define OPEN_MS 5000 /* connect and hello, at first */
#define PAUSE_MIN_MS 100 /* between attempts: doubled up to the most */
#define PAUSE_MAX_MS 3000

/* Then it is not coming back. A variable so that a test need not wait. */
static int64_t lost_max_ms = 60000;

static const struct peer_ops ops;

/* --- up and down -------------------------------------------------------- */

void
link_done(struct link *l, int status)
{
	/* What failed did, whatever else comes in the same turn. */
	if (!l->done || l->status == EXIT_OK)
		l->status = status;
	l->done = true;
	(void)event_base_loopbreak(l->base);
}

static void
send_request(struct request *r)
{
	struct link *l = r->link;
	struct msg m;

	memset(&m, 0, sizeof(m));
	r->id = m.id = peer_next_id(l->peer);
	r->in = r->ops->incoming ? ++l->last_stream : 0;
	r->out = r->ops->ready != NULL ? ++l->last_stream : 0;
	r->ops->fill(r, &m);
	if ((r->out != 0 && peer_stream_begin(l->peer, r->out) == -1) ||
	    peer_send(l->peer, &m) == -1 ||
	    (r->in != 0 &&
	        peer_stream_expect(l->peer, r->in, INT64_MAX) == -1)) {
		complain("%s cannot be asked for %s", DAEMON,
		    msg_decl(m.type)->wire);
		link_done(l, EXIT_UNREACHABLE);
	}
}

/* Say in words why it is not there; outside text is escaped. */
static void
trouble(struct link *l, const char *why)
{
	char *shown = visible(why, strlen(why));

	(void)strlcpy(l->why, shown, sizeof(l->why));
	free(shown);
	if (l->trouble_ms == 0)
		l->trouble_ms = clock_boot_ms();
}

static int
dial(struct link *l)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd, n;

	n = snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%s.sock",
	    l->cli->run_dir, DAEMON);
	if (n < 0 || (size_t)n >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if ((fd = socket(AF_UNIX, SOCK_STREAM, 0)) == -1)
		return -1;
	/* A full backlog is EAGAIN: another attempt follows. */
	if (fd_set_cloexec(fd) == -1 || fd_set_nonblock(fd) == -1 ||
	    connect(fd, (const void *)&sun, sizeof(sun)) == -1) {
		n = errno;
		(void)close(fd);
		errno = n;
		return -1;
	}
	return fd;
}

static int
raise_link(struct link *l)
{
	struct request *r, *next;
	int fd;

	if ((fd = dial(l)) == -1) {
		trouble(l, strerror(errno));
		return -1;
	}
	l->peer = peer_new(l->base, fd, PEER_CLIENT, SIDE_CLIENT, SIDE_FRONTEND,
	    "agent-cli", DAEMON, &ops, l);
	if (l->peer == NULL) {
		trouble(l, "out of memory");
		return -1;
	}
	TAILQ_FOREACH_SAFE(r, &l->requests, entry, next)
		if (r->wanted)
			send_request(r);
	return 0;
}

static void
retry_later(struct link *l)
{
	struct timeval tv;

	if (clock_boot_ms() - l->trouble_ms >= lost_max_ms) {
		complain("%s cannot be reached: %s", DAEMON, l->why);
		link_done(l, EXIT_UNREACHABLE);
		return;
	}
	tv.tv_sec = l->pause_ms / 1000;
	tv.tv_usec = (suseconds_t)(l->pause_ms % 1000 * 1000);
	(void)evtimer_add(l->retry, &tv);
	l->pause_ms *= 2;
	if (l->pause_ms > PAUSE_MAX_MS)
		l->pause_ms = PAUSE_MAX_MS;
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;

	if (raise_link(l) == -1)
		retry_later(l);
}

/* The link is gone, or worth nothing: all that was asked is open again. */
static void
lower(struct link *l, const char *why)
{
	struct request *r, *next;
	bool first = l->trouble_ms == 0;

	trouble(l, why);
	peer_free(&l->peer);
	TAILQ_FOREACH_SAFE(r, &l->requests, entry, next) {
		r->id = 0;
		r->in = r->out = 0;
		if (r->wanted && r->ops->lost != NULL)
			r->ops->lost(r);
	}
	if (l->done)
		return;
	if (first && l->out != NULL)
		output_line(l->out, STDERR_FILENO,
		    "agent-cli: the link to %s is lost: %s; trying again",
		    DAEMON, l->why);
	retry_later(l);
}

/* --- what comes --------------------------------------------------------- */

/* It works: the next trouble has its whole time. */
static void
well(struct link *l)
{
	l->trouble_ms = 0;
	l->pause_ms = PAUSE_MIN_MS;
}

static struct request *
by_id(struct link *l, int64_t id)
{
	struct request *r;

	TAILQ_FOREACH(r, &l->requests, entry)
		if (id != 0 && r->id == id)
			return r;
	return NULL;
}

static struct request *
by_stream(struct link *l, uint32_t stream)
{
	struct request *r;

	TAILQ_FOREACH(r, &l->requests, entry)
		if (r->in == stream || r->out == stream)
			return r;
	return NULL;
}

/* No more is wanted of it: a stream that is open is given up. */
static void
settle(struct request *r)
{
	struct link *l = r->link;

	if (r->in != 0)
		peer_stream_abort(l->peer, r->in, "answered");
	if (r->out != 0)
		peer_stream_abort(l->peer, r->out, "answered");
	r->id = 0;
	r->in = r->out = 0;
	r->wanted = false;
}

void
link_complain(const struct msg_error *e)
{
	char *code = visible(e->error, strlen(e->error));
	char *reason = visible(e->reason, strlen(e->reason));

	complain("%s refused: %s: %s", DAEMON, code, reason);
	free(code);
	free(reason);
}

static void
refused(struct request *r, const struct msg *m)
{
	struct link *l = r->link;
	const struct msg_error *e = &m->u.error;

	/* It is leaving, and its successor knows the run. */
	if (strcmp(e->error, "draining") == 0) {
		lower(l, e->reason);
		return;
	}
	settle(r);
	if (r->ops->refused != NULL && r->ops->refused(r, m))
		return;
	link_complain(e);
	link_done(l, EXIT_REFUSED);
}

static void
on_message(struct peer *p, struct msg *m, int fd, void *arg)
{
	struct link *l = arg;
	struct request *r = by_id(l, m->id);

	if (r == NULL)
		return; /* of one that was dropped */
	if (m->type == MSG_TYPE_error) {
		refused(r, m);
		return;
	}
	well(l);
	if (msg_decl(m->type)->kind == MSG_EVENT) {
		if (r->ops->event != NULL)
			r->ops->event(r, m);
		return;
	}
	/* Its stream may have more on the way; it is over with both. */
	r->id = 0;
	if (r->in == 0)
		settle(r);
	r->ops->answer(r, m);
}

static void
on_data(
    struct peer *p, uint32_t stream, const uint8_t *buf, size_t len, void *arg)
{
	struct link *l = arg;
	struct request *r = by_stream(l, stream);

	well(l);
	if (r != NULL && r->ops->data != NULL)
		r->ops->data(r, buf, len);
	else
		peer_stream_consumed(p, stream, len);
}

static void
on_stream_end(
    struct peer *p, uint32_t stream, bool ok, const char *why, void *arg)
{
	struct link *l = arg;
	struct request *r = by_stream(l, stream);

	if (r == NULL)
		return;
	if (stream == r->out)
		r->out = 0;
	else
		r->in = 0;
	if (r->id == 0 && r->in == 0)
		settle(r);
	if (r->ops->end != NULL)
		r->ops->end(r, ok, why);
}

static void
on_ready(struct peer *p, uint32_t stream, void *arg)
{
	struct request *r = by_stream(arg, stream);

	if (r != NULL && r->ops->ready != NULL)
		r->ops->ready(r);
}

static void
on_gone(struct peer *p, enum peer_end end, const char *why, void *arg)
{
	struct link *l = arg;
	char *shown;

	if (end != PEER_END_PROTOCOL) {
		lower(l, why);
		return;
	}
	shown = visible(why, strlen(why));
	complain("%s cannot be reached: it sent bad bytes: %s", DAEMON, shown);
	free(shown);
	peer_free(&l->peer);
	link_done(l, EXIT_UNREACHABLE);
}

static const struct peer_ops ops = {
	.message = on_message,
	.gone = on_gone,
	.data = on_data,
	.stream_end = on_stream_end,
	.stream_ready = on_ready,
};

/* --- for the commands --------------------------------------------------- */

int
link_open(struct link *l, const struct cli *cli)
{
	struct daemon_link first;
	int r;

	memset(l, 0, sizeof(*l));
	l->cli = cli;
	l->pause_ms = PAUSE_MIN_MS;
	TAILQ_INIT(&l->requests);
	/* Who is there, and whether it would have us, is found out by this. */
	r = daemon_open(&first, cli->run_dir, DAEMON, OPEN_MS);
	(void)daemon_complain(&first, r);
	daemon_close(&first);
	if (r != 0)
		return r;
	l->base = event_base_new();
	l->retry = l->base != NULL ? evtimer_new(l->base, on_retry, l) : NULL;
	if (l->retry == NULL) {
		complain("out of memory");
		return EXIT_FAILED;
	}
	if (raise_link(l) == -1)
		retry_later(l);
	return 0;
}

void
link_hang_up(struct link *l)
{
	peer_free(&l->peer);
	if (l->retry != NULL)
		(void)evtimer_del(l->retry);
}

void
link_close(struct link *l)
{
	link_hang_up(l);
	if (l->retry != NULL)
		event_free(l->retry);
	l->retry = NULL;
	if (l->base != NULL)
		event_base_free(l->base);
	l->base = NULL;
}

int
link_loop(struct link *l)
{
	while (!l->done)
		if (event_base_loop(l->base, EVLOOP_ONCE) == -1)
			return EXIT_FAILED;
	return l->status;
}

void
request_init(struct request *r, struct link *l, const struct request_ops *rops)
{
	memset(r, 0, sizeof(*r));
	r->link = l;
	r->ops = rops;
	TAILQ_INSERT_TAIL(&l->requests, r, entry);
}

void
request_ask(struct request *r)
{
	r->wanted = true;
	if (r->link->peer != NULL && r->id == 0)
		send_request(r);
}

void
request_consumed(struct request *r, size_t n)
{
	if (r->link->peer != NULL && r->in != 0)
		peer_stream_consumed(r->link->peer, r->in, n);
}

void
request_drop(struct request *r)
{
	if (r->link->peer != NULL)
		settle(r);
	r->wanted = false;
}
