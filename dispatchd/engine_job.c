/*
 * A job is one request of the queue in work: a chain of calls, one at a time.
 * A run has one job at a time, the process ENGINE_CALLS_MAX; the rest waits in
 * the order it came.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"
#include "libcommon/sibling.h"

#include "dispatchd/engine_internal.h"

static void jobs_serve(struct engine *e);

/* --- beginning and end --------------------------------------------------- */

static void
job_free(struct job *j)
{
	struct engine *e = j->engine;

	evtimer_del(&j->timer);
	if (j->working) {
		TAILQ_REMOVE(&e->working, j, entry);
		e->nworking--;
	} else {
		TAILQ_REMOVE(&e->waiting, j, entry);
		e->nwaiting--;
	}
	listing_free(&j->listing);
	free(j->body);
	free(j);
}

static void
on_job_timer(evutil_socket_t fd, short what, void *arg)
{
	struct job *j = arg;

	j->again(j);
}

static struct job *
job_new(struct engine *e, enum msg_type type, int64_t id)
{
	struct job *j;

	if (e->nwaiting >= ENGINE_WAITING_MAX ||
	    (j = calloc(1, sizeof(*j))) == NULL)
		return NULL;
	j->engine = e;
	j->type = type;
	j->id = id;
	evtimer_assign(&j->timer, e->base, on_job_timer, j);
	TAILQ_INSERT_TAIL(&e->waiting, j, entry);
	e->nwaiting++;
	return j;
}

static bool
run_is_busy(const struct engine *e, const char *run)
{
	const struct job *j;

	TAILQ_FOREACH(j, &e->working, entry) {
		if (run[0] != '\0' && strcmp(j->run, run) == 0)
			return true;
	}
	return false;
}

/* The first that waits and whose run has no other job in work. */
static struct job *
job_next(const struct engine *e)
{
	struct job *j;

	TAILQ_FOREACH(j, &e->waiting, entry) {
		if (!run_is_busy(e, j->run))
			return j;
	}
	return NULL;
}

/* From a timer, so that no job begins inside the call that submitted it. */
static void
jobs_serve(struct engine *e)
{
	const struct timeval now = { 0, 0 };
	struct job *j;

	while (e->nworking < ENGINE_CALLS_MAX && (j = job_next(e)) != NULL) {
		TAILQ_REMOVE(&e->waiting, j, entry);
		e->nwaiting--;
		TAILQ_INSERT_TAIL(&e->working, j, entry);
		e->nworking++;
		j->working = true;
		j->again = session_begin;
		evtimer_add(&j->timer, &now);
	}
}

static void
job_end(struct job *j)
{
	struct engine *e = j->engine;

	job_free(j);
	jobs_serve(e);
}

void
job_answer(struct job *j, struct msg *m)
{
	m->id = j->id;
	if (j->type != MSG_TYPE_none)
		sibling_send(j->engine->queue, m);
	else
		events_settled(j->engine);
	job_end(j);
}

void
job_done(struct job *j)
{
	struct msg m = { .type = MSG_TYPE_engine_done };

	job_answer(j, &m);
}

static void
job_error(struct job *j, const char *code, const char *reason)
{
	static const char *const key[] = { "field" };
	const char *const value[] = { j->field };
	struct msg m = { .type = MSG_TYPE_error };

	log_info(
	    "%s%s%s: %s", j->run, j->run[0] != '\0' ? ": " : "", code, reason);
	m.u.error.error = code;
	m.u.error.reason = reason;
	if (j->field[0] != '\0') {
		m.u.error.detail.k = key;
		m.u.error.detail.v = value;
		m.u.error.detail.n = 1;
	}
	job_answer(j, &m);
}

void
job_fail(struct job *j, const char *code, const char *fmt, ...)
{
	char reason[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	job_error(j, code, reason);
}

void
job_refused(struct job *j, const struct http_answer *a)
{
	char message[ENGINE_MESSAGE_MAX];

	if (a->end != HTTP_WHOLE) {
		job_fail(j, "unavailable", "the engine: %s", a->why);
		return;
	}
	engine_parse_message(a->body, a->len, message);
	job_fail(j,
	    a->status >= 400 && a->status < 500 ? "refused" : "internal",
	    "the engine answers %ld%s%s", a->status,
	    message[0] != '\0' ? ": " : "", message);
}

/* --- calls ---------------------------------------------------------------- */

/*
 * Whoever answers JSON says so. Something else that listens there, or a page
 * of an error on the way, is not taken for the engine's word.
 */
static bool
is_answer(const struct job *j, const struct http_answer *a)
{
	return a->end == HTTP_WHOLE &&
	    (a->status != 200 || j->raw ||
	        strcmp(a->type, "application/json") == 0);
}

/* Nothing was sent, or nothing can have come of it. */
static void
unavailable(struct job *j, const struct http_answer *a)
{
	session_lost(j->engine);
	job_fail(j, "unavailable", "the engine: %s",
	    a->end == HTTP_WHOLE ? "an answer that is no JSON" : a->why);
}

static void job_get_now(struct job *j);

static void
on_get(const struct http_answer *a, void *arg)
{
	struct job *j = arg;

	if (is_answer(j, a)) {
		j->raw = false;
		j->step(j, a);
		return;
	}
	/* A time-out has been long already, a bad answer stays one. */
	if ((a->end == HTTP_REFUSED || a->end == HTTP_BROKEN) &&
	    ++j->get_tries < ENGINE_GET_TRIES)
		job_wait(j, ENGINE_GET_AGAIN_MS, job_get_now);
	else
		unavailable(j, a);
}

static void
on_change(const struct http_answer *a, void *arg)
{
	struct job *j = arg;

	if (a->end == HTTP_REFUSED)
		unavailable(j, a);
	else
		j->step(j, a);
}

static void
job_get_now(struct job *j)
{
	if (http_call(j->engine->http, "GET", j->path, NULL, ENGINE_GET_MS,
	        on_get, j) == NULL)
		job_fail(j, "internal", "out of memory");
}

static void set_path(struct job *, const char *, va_list)
    __attribute__((format(printf, 2, 0)));

static void
set_path(struct job *j, const char *fmt, va_list ap)
{
	size_t n = 0;

	/* How the API is found out may not depend on it. */
	if (strcmp(fmt, "/_ping") != 0 && strcmp(fmt, "/version") != 0)
		n = (size_t)snprintf(
		    j->path, sizeof(j->path), "/v1.%u", j->engine->session.api);
	vsnprintf(j->path + n, sizeof(j->path) - n, fmt, ap);
}

void
job_get(struct job *j, job_step_fn *step, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_path(j, fmt, ap);
	va_end(ap);
	j->step = step;
	j->get_tries = 0;
	job_get_now(j);
}

static void
job_change(struct job *j, job_step_fn *step, const char *method,
    const char *body, long ms)
{
	j->step = step;
	if (http_call(j->engine->http, method, j->path, body, ms, on_change,
	        j) == NULL)
		job_fail(j, "internal", "out of memory");
}

void
job_post(struct job *j, job_step_fn *step, const char *body, long ms,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_path(j, fmt, ap);
	va_end(ap);
	job_change(j, step, "POST", body, ms);
}

void
job_delete(struct job *j, job_step_fn *step, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_path(j, fmt, ap);
	va_end(ap);
	job_change(j, step, "DELETE", NULL, ENGINE_REMOVE_MS);
}

void
job_wait(struct job *j, long ms, job_timer_fn *again)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	j->again = again;
	if (evtimer_add(&j->timer, &tv) == -1)
		fatal("no timer");
}

long
job_settle_ms(unsigned tries)
{
	long ms = ENGINE_SETTLE_MS;

	while (tries-- > 0 && ms < ENGINE_SETTLE_MAX_MS)
		ms *= 2;
	return ms < ENGINE_SETTLE_MAX_MS ? ms : ENGINE_SETTLE_MAX_MS;
}

/* --- requests --------------------------------------------------------------
 */

static const struct {
	enum msg_type type;
	job_step_fn *start;
	enum asked asked; /* 0: changes nothing */
} kinds[] = {
	{ MSG_TYPE_engine_info, session_info, 0 },
	{ MSG_TYPE_engine_create, create_start, ASKED_CREATE },
	{ MSG_TYPE_engine_start, start_start, ASKED_START },
	{ MSG_TYPE_engine_inspect, inspect_start, 0 },
	{ MSG_TYPE_engine_kill, kill_start, ASKED_KILL },
	{ MSG_TYPE_engine_stderr, stderr_start, 0 },
	{ MSG_TYPE_engine_remove, remove_start, ASKED_REMOVE },
	{ MSG_TYPE_engine_list, list_start, 0 },
};

/* The container that is meant, by its id; NULL or "": whichever is the run's.
 */
static const char *
request_container(const struct msg *m)
{
	switch (m->type) {
	case MSG_TYPE_engine_start:
		return m->u.engine_start.container;
	case MSG_TYPE_engine_inspect:
		return m->u.engine_inspect.container;
	case MSG_TYPE_engine_kill:
		return m->u.engine_kill.container;
	case MSG_TYPE_engine_stderr:
		return m->u.engine_stderr.container;
	case MSG_TYPE_engine_remove:
		return m->u.engine_remove.container;
	default:
		return NULL;
	}
}

/* The run that a request is about; NULL: none. */
static const char *
request_run(const struct msg *m)
{
	switch (m->type) {
	case MSG_TYPE_engine_create:
		return m->u.engine_create.run;
	case MSG_TYPE_engine_start:
		return m->u.engine_start.run;
	case MSG_TYPE_engine_inspect:
		return m->u.engine_inspect.run;
	case MSG_TYPE_engine_kill:
		return m->u.engine_kill.run;
	case MSG_TYPE_engine_stderr:
		return m->u.engine_stderr.run;
	case MSG_TYPE_engine_remove:
		return m->u.engine_remove.run;
	default:
		return NULL;
	}
}

static void
take_want(struct job *j, const struct msg_engine_create *m)
{
	struct engine_want *w = &j->want;

	memcpy(w->run, j->run, sizeof(w->run));
	w->instance = j->engine->instance;
	w->prefix = j->engine->prefix;
	w->runs_dir = j->engine->runs_dir;
	strlcpy(w->subnet, m->subnet, sizeof(w->subnet));
	strlcpy(w->gateway, m->gateway, sizeof(w->gateway));
	strlcpy(w->address, m->address, sizeof(w->address));
	w->memory = m->memory;
	w->cpus_milli = m->cpus_milli;
	w->pids = m->pids;
	w->workspace = m->workspace;
	w->tmp = m->tmp;
}

void
job_submit(struct engine *e, const struct msg *m)
{
	const char *run = request_run(m), *container = request_container(m);
	struct job *j;
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i].type == m->type)
			break;
	}
	if (i == sizeof(kinds) / sizeof(kinds[0]))
		fatalx("queue: unexpected message %d", (int)m->type);
	if (run != NULL && !runid_valid(run))
		fatalx("queue: a run's id that is none");
	if (container != NULL && container[0] != '\0' &&
	    !engine_id_valid(container))
		fatalx("queue: a container's id that is none");
	if ((j = job_new(e, m->type, m->id)) == NULL) {
		peer_send_error(e->queue, m->id, "unavailable",
		    "too many requests wait for the engine");
		return;
	}
	j->start = kinds[i].start;
	if (run != NULL) {
		memcpy(j->run, run, sizeof(j->run));
		if (kinds[i].asked != 0)
			events_asked(e, run, kinds[i].asked);
	}
	if (container != NULL)
		strlcpy(j->container, container, sizeof(j->container));
	j->look = m->type == MSG_TYPE_engine_info && m->u.engine_info.look;
	if (m->type == MSG_TYPE_engine_create)
		take_want(j, &m->u.engine_create);
	jobs_serve(e);
}

int
job_submit_own(struct engine *e, job_step_fn *start)
{
	struct job *j = job_new(e, MSG_TYPE_none, 0);

	if (j == NULL)
		return -1;
	j->start = start;
	jobs_serve(e);
	return 0;
}
