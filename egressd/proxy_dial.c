/*
 * Dialling: the vetted addresses of one lookup, families in turn, the next one
 * PROXY_RACE_MS later or as soon as one fails (RFC 8305, 5). The first that
 * connects is verified and wins.
 */

#include <sys/socket.h>
#include <sys/types.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"
#include "libcommon/log.h"

#include "proxy.h"

#define DIAL_AT_ONCE 4 /* open attempts of one tunnel */
#define DIAL_SELF_PORT 9 /* any: a UDP connect sends nothing */

struct attempt {
	struct dial *dial;
	struct event *ev;
	int fd;
	struct netaddr addr;
};

struct dial {
	struct client *client;
	struct netaddr order[EGRESS_ADDRESSES_MAX];
	size_t n, next;
	struct attempt attempt[DIAL_AT_ONCE];
	size_t open;
	struct event *race;
	enum egress_code worst; /* what to say when all failed */
};

int
dial_is_self(const struct netaddr *a)
{
	struct sockaddr_storage ss;
	struct netaddr source;
	socklen_t len;
	uint16_t port;
	int fd, self = -1;

	fd = fd_socket(a->family, SOCK_DGRAM, 0);
	if (fd == -1) {
		/* A family that this machine has not is not itself. */
		return errno == EAFNOSUPPORT ? 0 : -1;
	}
	len = netaddr_to_sockaddr(a, DIAL_SELF_PORT, &ss);
	if (connect(fd, (struct sockaddr *)&ss, len) == -1) {
		/* No route: dialling will say so. */
		self = 0;
	} else {
		len = sizeof(ss);
		if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0 &&
		    netaddr_from_sockaddr(&ss, &source, &port) == 0)
			self = netaddr_equal(a, &source);
	}
	close(fd);
	return self;
}

/* IPv6 first, then in turn. */
static void
dial_order(struct dial *d, const struct netaddr *addr, size_t n)
{
	size_t six = 0, four = 0;
	bool turn6 = true;

	for (d->n = 0; d->n < n; turn6 = !turn6) {
		size_t *i = turn6 ? &six : &four;
		int family = turn6 ? AF_INET6 : AF_INET;

		while (*i < n && addr[*i].family != family)
			(*i)++;
		if (*i < n)
			d->order[d->n++] = addr[(*i)++];
	}
}

static void
attempt_close(struct attempt *a)
{
	if (a->ev != NULL)
		event_free(a->ev);
	a->ev = NULL;
	if (a->fd != -1) {
		close(a->fd);
		a->dial->open--;
	}
	a->fd = -1;
}

void
dial_free(struct dial **dp)
{
	struct dial *d = *dp;
	size_t i;

	if (d == NULL)
		return;
	for (i = 0; i < DIAL_AT_ONCE; i++)
		attempt_close(&d->attempt[i]);
	if (d->race != NULL)
		event_free(d->race);
	free(d);
	*dp = NULL;
}

/* A refusal tells more than "no route" of the other family. */
static void
dial_failed(struct dial *d, int error)
{
	if (error == EMFILE || error == ENFILE || error == ENOBUFS ||
	    error == ENOMEM)
		d->worst = CODE_overloaded;
	else if (error == ETIMEDOUT)
		d->worst = CODE_connect_timeout;
	else if (error == ECONNREFUSED && d->worst == CODE_connect_failed)
		d->worst = CODE_connect_refused;
}

/* Nagle off, dead peers found. */
void
dial_socket_options(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

/* Is the socket connected to just the address that was vetted? */
static bool
peer_is(int fd, const struct netaddr *addr)
{
	struct sockaddr_storage ss;
	struct netaddr a;
	socklen_t len = sizeof(ss);
	uint16_t port;

	return getpeername(fd, (struct sockaddr *)&ss, &len) == 0 &&
	    netaddr_from_sockaddr(&ss, &a, &port) == 0 &&
	    netaddr_equal(&a, addr);
}

static void dial_more(struct dial *);

static void
attempt_done(int fd, short what, void *arg)
{
	struct attempt *a = arg;
	struct dial *d = a->dial;
	struct netaddr addr = a->addr;
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		error = errno;
	if (error == 0 && !peer_is(fd, &addr))
		error = ECONNABORTED;
	if (error != 0) {
		attempt_close(a);
		dial_failed(d, error);
		dial_more(d);
		return;
	}
	event_free(a->ev);
	a->ev = NULL;
	a->fd = -1;
	d->open--;
	dial_socket_options(fd);
	client_dialled(d->client, CODE_ok, fd, &addr);
}

static int
attempt_start(struct dial *d, struct attempt *a, const struct netaddr *addr)
{
	struct sockaddr_storage ss;
	socklen_t len;
	int saved;

	a->addr = *addr;
	a->fd = fd_socket(addr->family, SOCK_STREAM, 0);
	if (a->fd == -1)
		return -1;
	d->open++;
	len = netaddr_to_sockaddr(addr, d->client->dest.port, &ss);
	if (connect(a->fd, (struct sockaddr *)&ss, len) == -1 &&
	    errno != EINPROGRESS) {
		saved = errno;
		attempt_close(a);
		errno = saved;
		return -1;
	}
	a->ev =
	    event_new(d->client->proxy->base, a->fd, EV_WRITE, attempt_done, a);
	if (a->ev == NULL || event_add(a->ev, NULL) == -1) {
		attempt_close(a);
		errno = ENOMEM;
		return -1;
	}
	return 0;
}

/* Start the next attempt; when there is nothing left to wait for, give up. */
static void
dial_more(struct dial *d)
{
	size_t i;

	while (d->next < d->n && d->open < DIAL_AT_ONCE) {
		for (i = 0; d->attempt[i].fd != -1; i++)
			;
		if (attempt_start(d, &d->attempt[i], &d->order[d->next++]) ==
		    0) {
			if (d->next < d->n)
				proxy_timer(d->race, PROXY_RACE_MS);
			return;
		}
		dial_failed(d, errno);
	}
	if (d->open == 0)
		client_dialled(d->client, d->worst, -1, NULL);
}

static void
dial_race(int fd, short what, void *arg)
{
	dial_more(arg);
}

struct dial *
dial_new(struct client *c)
{
	struct dial *d;
	size_t i;

	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return NULL;
	d->client = c;
	d->worst = CODE_connect_failed;
	for (i = 0; i < DIAL_AT_ONCE; i++) {
		d->attempt[i].dial = d;
		d->attempt[i].fd = -1;
	}
	d->race = evtimer_new(c->proxy->base, dial_race, d);
	if (d->race == NULL) {
		free(d);
		return NULL;
	}
	dial_order(d, c->addr, c->naddr);
	/* From the loop, never from here: the owner has no dial yet. */
	proxy_timer(d->race, 0);
	return d;
}
