#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "libcommon/clients.h"
#include "libcommon/fd.h"
#include "libcommon/log.h"

static TAILQ_HEAD(, client) clients = TAILQ_HEAD_INITIALIZER(clients);
static size_t nclients;
static const struct clients_def *def;
static struct event_base *loop;
static struct event *ev_listen, *ev_backoff;
static bool draining;

void
clients_gone(struct peer *peer, enum peer_end end, const char *why, void *arg)
{
	struct client *c = arg;

	if (end != PEER_END_EOF)
		log_info("client uid %u pid %d: %s", (unsigned)c->creds.uid,
		    (int)c->creds.pid, why);
	def->leaves(c);
	peer_free(&c->peer);
	TAILQ_REMOVE(&clients, c, entry);
	nclients--;
	free(c);
}

static bool
too_many(const struct client *c)
{
	const struct client *other;
	size_t same = 0;

	TAILQ_FOREACH(other, &clients, entry)
		same += other->creds.uid == c->creds.uid;
	return nclients >= CLIENTS_OPEN_MAX || same >= CLIENTS_USER_MAX;
}

/*
 * It is told, and gone: an empty socket has room for that, so that nothing is
 * waited for and nothing held. It has asked nothing yet: the error is that of
 * what every client asks first.
 */
static void
turn_away(int fd, const struct client *c)
{
	struct peer *p;

	log_info("client uid %u pid %d: too many connections",
	    (unsigned)c->creds.uid, (int)c->creds.pid);
	p = peer_new(loop, fd, PEER_CLIENT, SIDE_FRONTEND, SIDE_CLIENT,
	    def->daemon, "client", def->ops, NULL);
	if (p == NULL)
		return;
	peer_send_error(p, CLIENTS_FIRST_ID, "too_many",
	    "too many connections are open; try again later");
	peer_flush(p);
	peer_free(&p);
}

static void
client_new(int fd)
{
	struct client *c;

	c = calloc(1, def->size);
	if (c == NULL || creds_get(fd, &c->creds) == -1) {
		free(c);
		close(fd);
		return;
	}
	if (too_many(c)) {
		turn_away(fd, c);
		free(c);
		return;
	}
	c->peer = peer_new(loop, fd, PEER_CLIENT, SIDE_FRONTEND, SIDE_CLIENT,
	    def->daemon, "client", def->ops, c);
	if (c->peer == NULL) {
		free(c);
		return;
	}
	if (def->came != NULL)
		def->came(c);
	TAILQ_INSERT_TAIL(&clients, c, entry);
	nclients++;
}

static void
backoff_over(int fd, short what, void *arg)
{
	if (!draining)
		event_add(ev_listen, NULL);
}

static void
listen_ready(int fd, short what, void *arg)
{
	struct timeval tv = { 0, CLIENTS_BACKOFF_MS * 1000 };
	int s;

	s = fd_accept(fd);
	if (s != -1) {
		client_new(s);
		return;
	}
	if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR)
		return;
	log_warn("accept");
	event_del(ev_listen);
	evtimer_add(ev_backoff, &tv);
}

void
clients_init(struct event_base *base, int fd, const struct clients_def *d)
{
	def = d;
	loop = base;
	ev_listen =
	    event_new(base, fd, EV_READ | EV_PERSIST, listen_ready, NULL);
	ev_backoff = evtimer_new(base, backoff_over, NULL);
	if (ev_listen == NULL || ev_backoff == NULL)
		fatalx("out of memory");
}

void
clients_accept(void)
{
	event_add(ev_listen, NULL);
}

void
clients_drain(void)
{
	draining = true;
	event_del(ev_listen);
}

bool
clients_draining(void)
{
	return draining;
}

size_t
clients_count(void)
{
	return nclients;
}
