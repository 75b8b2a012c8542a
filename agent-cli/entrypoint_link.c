/*
 * The link to the daemon. It may go away at any time, and be made again by
 * another instance; what that knows and what it does not is the caller's.
 */

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/fd.h"
#include "libcommon/log.h"
#include "libcommon/peer.h"

#include "entrypoint_link.h"

struct link {
	struct event_base *base;
	const char *path;
	const struct link_ops *ops;
	void *arg;
	struct peer *peer;
	struct event *ev; /* connect, or drop the one that is there */
	int64_t down_ms;
	int retry_ms;
	int said; /* errno of the last failure that was logged */
};

static void message(struct peer *, struct msg *, int, void *);
static void gone(struct peer *, enum peer_end, const char *, void *);

static void
data(struct peer *p, uint32_t stream, const uint8_t *buf, size_t len, void *arg)
{
	struct link *l = arg;

	l->ops->data(stream, buf, len, l->arg);
}

static void
stream_end(struct peer *p, uint32_t stream, bool ok, const char *why, void *arg)
{
	struct link *l = arg;

	l->ops->stream_end(stream, ok, why, l->arg);
}

static void
stream_ready(struct peer *p, uint32_t stream, void *arg)
{
	struct link *l = arg;

	l->ops->stream_ready(stream, l->arg);
}

static const struct peer_ops peer_ops = { .message = message,
	.gone = gone,
	.data = data,
	.stream_end = stream_end,
	.stream_ready = stream_ready };

static void
message(struct peer *p, struct msg *m, int fd, void *arg)
{
	struct link *l = arg;

	l->ops->message(m, l->arg);
}

static void
again_in(struct link *l, int ms)
{
	struct timeval tv = { .tv_sec = ms / 1000,
		.tv_usec = (ms % 1000) * 1000 };

	(void)event_add(l->ev, &tv);
}

static void
drop(struct link *l)
{
	peer_free(&l->peer);
	l->down_ms = clock_boot_ms();
	l->retry_ms = LINK_RETRY_MIN_MS;
	l->ops->down(l->arg);
	again_in(l, l->retry_ms);
}

static void
gone(struct peer *p, enum peer_end end, const char *why, void *arg)
{
	log_info("the link is gone: %s", why);
	drop(arg);
}

/* --- connecting --------------------------------------------------------- */

static int
connect_to(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd, err;

	if (strlcpy(sun.sun_path, path, sizeof(sun.sun_path)) >=
	    sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = fd_socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd == -1)
		return -1;
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	err = errno;
	(void)close(fd);
	errno = err;
	return -1;
}

static void
retry(struct link *l)
{
	if (errno != l->said)
		log_warn("the daemon's socket");
	l->said = errno;
	again_in(l, l->retry_ms);
	l->retry_ms *= 2;
	if (l->retry_ms > LINK_RETRY_MAX_MS)
		l->retry_ms = LINK_RETRY_MAX_MS;
}

static void
turn(int fd, short what, void *arg)
{
	struct link *l = arg;
	int s;

	if (l->peer != NULL) {
		drop(l);
		return;
	}
	if ((s = connect_to(l->path)) == -1) {
		retry(l);
		return;
	}
	l->peer = peer_new(l->base, s, PEER_CLIENT, SIDE_AGENT, SIDE_RUNS,
	    "agent-cli", "dispatchd", &peer_ops, l);
	if (l->peer == NULL) {
		errno = ENOMEM;
		retry(l);
		return;
	}
	l->said = 0;
	l->down_ms = 0;
	l->ops->up(l->arg);
}

struct link *
link_new(struct event_base *base, const char *path, const struct link_ops *ops,
    void *arg)
{
	struct link *l;

	if ((l = calloc(1, sizeof(*l))) == NULL)
		return NULL;
	l->base = base;
	l->path = path;
	l->ops = ops;
	l->arg = arg;
	l->retry_ms = LINK_RETRY_MIN_MS;
	l->down_ms = clock_boot_ms();
	if ((l->ev = evtimer_new(base, turn, l)) == NULL) {
		free(l);
		return NULL;
	}
	again_in(l, 0);
	return l;
}

void
link_free(struct link **l)
{
	if (*l == NULL)
		return;
	peer_free(&(*l)->peer);
	event_free((*l)->ev);
	free(*l);
	*l = NULL;
}

bool
link_is_up(const struct link *l)
{
	return l->peer != NULL;
}

int64_t
link_down_ms(const struct link *l)
{
	return l->down_ms;
}

void
link_again(struct link *l, const char *why)
{
	log_info("the link is given up: %s", why);
	again_in(l, 0);
}

/* --- messages ------------------------------------------------------------ */

int
link_send(struct link *l, const struct msg *m)
{
	return l->peer != NULL ? peer_send(l->peer, m) : -1;
}

void
link_flush(struct link *l)
{
	if (l->peer != NULL)
		peer_flush(l->peer);
}

/* --- streams ------------------------------------------------------------- */

int
link_expect(struct link *l, uint32_t stream, int64_t max)
{
	return l->peer != NULL ? peer_stream_expect(l->peer, stream, max) : -1;
}

void
link_consumed(struct link *l, uint32_t stream, size_t n)
{
	if (l->peer != NULL)
		peer_stream_consumed(l->peer, stream, n);
}

int
link_begin(struct link *l, uint32_t stream)
{
	return l->peer != NULL ? peer_stream_begin(l->peer, stream) : -1;
}

size_t
link_room(struct link *l, uint32_t stream)
{
	return l->peer != NULL ? peer_stream_room(l->peer, stream) : 0;
}

int
link_write(struct link *l, uint32_t stream, const void *buf, size_t len)
{
	return l->peer != NULL ? peer_stream_write(l->peer, stream, buf, len)
	                       : -1;
}

int
link_finish(struct link *l, uint32_t stream)
{
	return l->peer != NULL ? peer_stream_finish(l->peer, stream) : -1;
}

void
link_abort(struct link *l, uint32_t stream, const char *reason)
{
	if (l->peer != NULL)
		peer_stream_abort(l->peer, stream, reason);
}
