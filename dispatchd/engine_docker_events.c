/*
 * The engine's events, as hints: the queue looks at a run again. They may be
 * lost without a sign, so it is also told to look at all of them whenever the
 * stream begins, and every ENGINE_RELIST_MS.
 */

#include <sys/queue.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"
#include "libcommon/mem.h"

#include "dispatchd/engine_internal.h"

/* What we asked for, for one run; the oldest goes when there are too many. */
struct own {
	char run[RUNID_LEN + 1];
	unsigned asked; /* of enum asked */
	TAILQ_ENTRY(own) entry;
};

struct events {
	struct engine *engine;
	struct event again; /* to connect */
	struct event relist;
	unsigned failures;
	bool open; /* the stream */
	TAILQ_HEAD(, own) runs; /* the oldest first */
	size_t nruns;
};

/* --- what we asked for ---------------------------------------------------- */

static struct own *
own_find(struct events *ev, const char *run)
{
	struct own *o;

	TAILQ_FOREACH(o, &ev->runs, entry) {
		if (strcmp(o->run, run) == 0)
			return o;
	}
	return NULL;
}

static void
own_forget(struct events *ev, struct own *o)
{
	TAILQ_REMOVE(&ev->runs, o, entry);
	ev->nruns--;
	free(o);
}

void
events_asked(struct engine *e, const char *run, enum asked what)
{
	struct events *ev = e->events;
	struct own *o = own_find(ev, run);

	if (o == NULL) {
		/* Without it our own acts are reported as another's. */
		if ((o = calloc(1, sizeof(*o))) == NULL)
			return;
		if (ev->nruns == ENGINE_ASKED_MAX)
			own_forget(ev, TAILQ_FIRST(&ev->runs));
		strlcpy(o->run, run, sizeof(o->run));
		TAILQ_INSERT_TAIL(&ev->runs, o, entry);
		ev->nruns++;
	}
	o->asked |= (unsigned)what;
}

/* --- what happened ---------------------------------------------------------
 */

/* Which of our own requests an action may come from; 0: none. */
static const struct {
	const char *action;
	unsigned asked;
} from[] = {
	{ "create", ASKED_CREATE },
	{ "start", ASKED_START },
	{ "kill", ASKED_KILL | ASKED_REMOVE },
	{ "destroy", ASKED_REMOVE },
};

static bool
is_own(struct events *ev, const struct engine_happened *h)
{
	const struct own *o = own_find(ev, h->run);
	size_t i;

	for (i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		if (strcmp(from[i].action, h->action) == 0)
			return o != NULL && (o->asked & from[i].asked) != 0;
	}
	return false;
}

/*
 * How a run dies is its own affair, and is looked up; everything else that
 * happens to it and that we did not ask for is somebody's interference.
 */
static void
on_line(const char *line, size_t len, void *arg)
{
	struct events *ev = arg;
	struct engine_happened h;
	struct own *o;

	if (engine_parse_event(line, len, ev->engine->instance, &h) == -1) {
		log_debug("an event that is none of ours");
		return;
	}
	if (strcmp(h.action, "die") == 0)
		engine_event(ev->engine, h.run, "die",
		    h.exit_code[0] != '\0' ? h.exit_code : NULL);
	else if (strcmp(h.action, "oom") == 0)
		engine_event(ev->engine, h.run, "oom", NULL);
	else if (!is_own(ev, &h))
		engine_event(ev->engine, h.run, "external", h.action);
	if (strcmp(h.action, "destroy") == 0 &&
	    (o = own_find(ev, h.run)) != NULL)
		own_forget(ev, o);
}

/* --- the stream -------------------------------------------------------------
 */

static void events_open(struct job *j, const struct http_answer *a);

static void
arm(struct event *timer, long ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	if (evtimer_add(timer, &tv) == -1)
		fatal("no timer");
}

static void
on_begun(void *arg)
{
	struct events *ev = arg;

	ev->failures = 0;
	engine_event(ev->engine, NULL, "reconnected", NULL);
	arm(&ev->relist, ENGINE_RELIST_MS);
}

static const struct http_stream_ops stream_ops = { .begun = on_begun,
	.line = on_line };

static void
retry(struct events *ev)
{
	long ms = ENGINE_RECONNECT_MS;
	unsigned i;

	for (i = 0; i < ev->failures && ms < ENGINE_RECONNECT_MAX_MS; i++)
		ms *= 2;
	ev->failures++;
	arm(&ev->again,
	    ms < ENGINE_RECONNECT_MAX_MS ? ms : ENGINE_RECONNECT_MAX_MS);
}

static void
on_ended(const struct http_answer *a, void *arg)
{
	struct events *ev = arg;

	log_debug("the events ended: %s", a->why);
	ev->open = false;
	session_lost(ev->engine);
	engine_event(ev->engine, NULL, "lost", NULL);
	retry(ev);
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	struct events *ev = arg;

	/* A job of its own, so that the session is there; events_settled. */
	if (job_submit_own(ev->engine, events_open) == -1)
		retry(ev);
}

void
events_settled(struct engine *e)
{
	if (!e->events->open)
		retry(e->events);
}

static void
events_open(struct job *j, const struct http_answer *a)
{
	struct events *ev = j->engine->events;
	char path[ENGINE_PATH_MAX];

	snprintf(path, sizeof(path),
	    "/v1.%u/events?filters=%%7B%%22type%%22%%3A%%5B%%22container%%22"
	    "%%5D%%2C%%22label%%22%%3A%%5B%%22bulkhead.instance%%3D%s%%22"
	    "%%5D%%7D",
	    j->engine->session.api, j->engine->instance);
	ev->open = http_stream(j->engine->http, path, &stream_ops, on_ended,
	               ev) != NULL;
	job_done(j);
}

static void
on_relist(evutil_socket_t fd, short what, void *arg)
{
	struct events *ev = arg;

	engine_event(ev->engine, NULL, "reconnected", NULL);
	arm(&ev->relist, ENGINE_RELIST_MS);
}

void
events_start(struct engine *e)
{
	struct events *ev = e->events;

	arm(&ev->again, 0);
	arm(&ev->relist, ENGINE_RELIST_MS);
}

struct events *
events_new(struct engine *e)
{
	struct events *ev = xcalloc(1, sizeof(*ev));

	ev->engine = e;
	TAILQ_INIT(&ev->runs);
	evtimer_assign(&ev->again, e->base, on_again, ev);
	evtimer_assign(&ev->relist, e->base, on_relist, ev);
	return ev;
}
