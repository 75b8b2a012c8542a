/*
 * Where clients come from: the configured listeners, which a reload may change,
 * and those of runs. Which of them a client came through says who it is.
 */

#include <sys/socket.h>
#include <sys/types.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"
#include "libcommon/log.h"

#include "proxy.h"

/* --- life ------------------------------------------------------------- */

struct proxy_listener *
proxy_listener_new(struct proxy *p, const char *address, const char *profile)
{
	struct proxy_listener *l;

	l = calloc(1, sizeof(*l));
	if (l == NULL)
		return NULL;
	l->proxy = p;
	l->refs = 1;
	l->fd = -1;
	strlcpy(l->address, address, sizeof(l->address));
	strlcpy(l->profile, profile, sizeof(l->profile));
	TAILQ_INSERT_TAIL(&p->listeners, l, entry);
	return l;
}

void
proxy_listener_unref(struct proxy_listener *l)
{
	if (--l->refs == 0)
		free(l);
}

void
proxy_listener_stop(struct proxy_listener *l)
{
	if (l->ev != NULL)
		event_free(l->ev);
	l->ev = NULL;
	if (l->fd != -1)
		close(l->fd);
	l->fd = -1;
}

void
proxy_listener_close(struct proxy_listener *l)
{
	TAILQ_REMOVE(&l->proxy->listeners, l, entry);
	proxy_listener_stop(l);
	l->closed = true;
	proxy_listener_unref(l);
}

/* --- accepting -------------------------------------------------------- */

/* It has all it may have and more: others go on, it after a while. */
static void
listener_pause(struct proxy_listener *l)
{
	event_del(l->ev);
	if (!evtimer_pending(l->proxy->backoff, NULL))
		proxy_timer(l->proxy->backoff, PROXY_BACKOFF_MS);
}

bool
proxy_accept_exhausted(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS ||
	    error == ENOMEM;
}

bool
proxy_listener_accept(struct proxy_listener *l)
{
	struct proxy *p = l->proxy;
	int i, s;

	for (i = 0; i < PROXY_ACCEPTS; i++) {
		/* An eighth more is answered that it is too much. */
		if (l->clients >= p->max_of_listener + p->max_of_listener / 8) {
			listener_pause(l);
			return false;
		}
		if (p->nclients >= p->max_clients + PROXY_OVERLOAD_MAX) {
			proxy_back_off(p);
			return false;
		}
		s = fd_accept(l->fd);
		if (s == -1) {
			if (proxy_accept_exhausted(errno))
				proxy_back_off(p);
			else if (errno != EAGAIN && errno != ECONNABORTED &&
			    errno != EINTR)
				log_warn("accept on %s", l->address);
			return false;
		}
		client_new(l, s);
	}
	return true;
}

static void
listener_ready(int fd, short what, void *arg)
{
	proxy_listener_accept(arg);
}

int
proxy_listener_serve(struct proxy_listener *l, int fd)
{
	l->fd = fd;
	l->ev = event_new(
	    l->proxy->base, fd, EV_READ | EV_PERSIST, listener_ready, l);
	if (l->ev == NULL || fd_set_nonblock(fd) == -1) {
		proxy_listener_stop(l);
		return -1;
	}
	if (!l->proxy->backing_off)
		event_add(l->ev, NULL);
	return 0;
}

void
proxy_back_on(int fd, short what, void *arg)
{
	struct proxy_listener *l;
	struct proxy_run *run;
	struct proxy *p = arg;

	p->backing_off = false;
	TAILQ_FOREACH(l, &p->listeners, entry) {
		if (l->ev != NULL)
			event_add(l->ev, NULL);
	}
	RB_FOREACH(run, run_tree, &p->runs)
		run_canary_pause(run, false);
}

void
proxy_back_off(struct proxy *p)
{
	struct proxy_listener *l;
	struct proxy_run *run;

	if (p->backing_off)
		return;
	if (p->counters.backoffs++ % 64 == 0)
		log_warnx("out of descriptors or at the limit of clients "
		          "(%zu): accepting again in %d ms",
		    p->nclients, PROXY_BACKOFF_MS);
	p->backing_off = true;
	TAILQ_FOREACH(l, &p->listeners, entry) {
		if (l->ev != NULL)
			event_del(l->ev);
	}
	RB_FOREACH(run, run_tree, &p->runs)
		run_canary_pause(run, true);
	proxy_timer(p->backoff, PROXY_BACKOFF_MS);
}

/* --- configured ones -------------------------------------------------- */

/* No run's: the parent has other words for these. */
static struct proxy_listener *
listener_find(struct proxy *p, const char *address)
{
	struct proxy_listener *l;

	TAILQ_FOREACH(l, &p->listeners, entry) {
		if (l->run == NULL && strcmp(l->address, address) == 0)
			return l;
	}
	return NULL;
}

void
proxy_listener_set(struct proxy *p, const struct msg_listener *m, int fd)
{
	struct proxy_listener *l;

	l = listener_find(p, m->address);
	if (l == NULL)
		l = proxy_listener_new(p, m->address, m->profile);
	if (l == NULL)
		fatalx("out of memory for a listener");
	strlcpy(l->name, m->name, sizeof(l->name));
	strlcpy(l->profile, m->profile, sizeof(l->profile));
	if (p->draining) {
		close(fd);
		return;
	}
	/* The same socket again, when a reload changed but name or profile. */
	proxy_listener_stop(l);
	if (proxy_listener_serve(l, fd) == -1)
		fatalx("cannot serve listener %s", l->name);
}

void
proxy_listener_unset(struct proxy *p, const char *address)
{
	struct proxy_listener *l = listener_find(p, address);

	if (l != NULL)
		proxy_listener_close(l);
}
