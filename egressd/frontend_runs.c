/*
 * The table of open runs, and what clients ask of it. dispatchd repeats what
 * it wants after each connection, so nothing here outlives the process.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"

#include "frontend_run.h"

struct run_list frontend_runs = TAILQ_HEAD_INITIALIZER(frontend_runs);

static size_t nruns, nsyncs;

/* --- the table -------------------------------------------------------- */

struct run *
run_find(const char *id)
{
	struct run *r;

	TAILQ_FOREACH(r, &frontend_runs, entry) {
		if (strcmp(r->id, id) == 0)
			return r;
	}
	return NULL;
}

static bool
run_closing(const struct run *r)
{
	return r->state >= RUN_REVOKE || r->close_wanted;
}

void
run_free(struct run *r)
{
	audit_client_forget(frontend.audit, r);
	query_run_gone(r->id);
	if (r->worker != NULL)
		r->worker->runs--;
	if (r->timer != NULL)
		event_free(r->timer);
	TAILQ_REMOVE(&frontend_runs, r, entry);
	nruns--;
	free(r);
}

static void
sync_answer(struct sync *s)
{
	const char *closed[EGRESS_RUNS_MAX], *unknown[2 * EGRESS_RUNS_MAX];
	struct msg m;
	size_t i;

	/* One closes unobserved: that it is closed cannot be said. */
	if (s->failed && s->user != NULL)
		peer_send_error(s->user->peer, s->id, "unavailable",
		    "out of memory: a run is still being closed");
	for (i = 0; i < s->nclosed; i++)
		closed[i] = s->closed[i];
	for (i = 0; i < s->nunknown; i++)
		unknown[i] = s->unknown[i];
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_runs_synced;
	m.id = s->id;
	m.u.runs_synced.closed.v = closed;
	m.u.runs_synced.closed.n = s->nclosed;
	m.u.runs_synced.unknown.v = unknown;
	m.u.runs_synced.unknown.n = s->nunknown;
	if (s->user != NULL && !s->failed)
		peer_send(s->user->peer, &m);
	nsyncs--;
	free(s);
}

/* --- what clients ask ------------------------------------------------- */

static void __attribute__((format(printf, 4, 5)))
refuse(struct client *u, int64_t id, const char *code, const char *fmt, ...)
{
	va_list ap;
	char why[256];

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	log_info("client uid %u pid %d: refused: %s", (unsigned)u->creds.uid,
	    (int)u->creds.pid, why);
	peer_send_error(u->peer, id, code, why);
}

static bool
address_in_networks(const struct runs_config *c, const struct netaddr *a)
{
	size_t i;

	for (i = 0; i < c->nnetworks; i++) {
		if (netprefix_contains(&c->networks[i], a))
			return true;
	}
	return false;
}

/* Is the request one that can be carried out at all? Else it is answered. */
static bool
open_valid(struct client *u, int64_t id, const struct msg_run_open *m,
    struct netaddr *a)
{
	const struct runs_config *c = peers_runs_config();

	if (!runid_valid(m->run))
		refuse(u, id, "invalid",
		    "run: not an id; allowed: 12 of a-z and 2-7");
	else if (netaddr_parse(m->address, strlen(m->address), a) == -1 ||
	    a->family != AF_INET || !address_in_networks(c, a))
		refuse(u, id, "invalid",
		    "address: not an IPv4 address of run_networks");
	else if (!peers_has_profile(m->profile))
		refuse(u, id, "invalid", "profile: there is none of that name");
	else
		return true;
	return false;
}

static struct worker *
worker_choose(void)
{
	struct worker *w, *best = &frontend.workers[0];

	for (w = frontend.workers; w < frontend.workers + frontend.nworkers;
	     w++) {
		if (w->runs < best->runs)
			best = w;
	}
	return best;
}

struct run *
run_new(const struct client *u, const struct msg_run_open *m,
    const struct netaddr *a)
{
	const struct runs_config *c = peers_runs_config();
	struct run *r;

	if ((r = calloc(1, sizeof(*r))) == NULL)
		return NULL;
	TAILQ_INIT(&r->waiters);
	TAILQ_INSERT_TAIL(&frontend_runs, r, entry);
	nruns++;
	if ((r->timer = evtimer_new(frontend.base, run_timeout, r)) == NULL) {
		run_free(r);
		return NULL;
	}
	strlcpy(r->id, m->run, sizeof(r->id));
	strlcpy(r->profile, m->profile, sizeof(r->profile));
	snprintf(r->interface, sizeof(r->interface), "%s%s", c->prefix, r->id);
	r->address = *a;
	netaddr_text(a, r->address_text);
	snprintf(r->listener, sizeof(r->listener), "%s:%u", r->address_text,
	    c->port);
	snprintf(r->canary, sizeof(r->canary), "%s:%u", r->address_text,
	    c->port + 1U);
	r->enforced = c->enforced;
	r->by = u->creds;
	r->worker = worker_choose();
	r->worker->runs++;
	return r;
}

/* The run is there already: the same words again, or others? */
static void
open_again(struct run *r, struct client *u, int64_t id,
    const struct msg_run_open *m, const struct netaddr *a)
{
	if (run_closing(r)) {
		refuse(u, id, "busy", "run %s is being closed", r->id);
		return;
	}
	if (!netaddr_equal(&r->address, a) ||
	    strcmp(r->profile, m->profile) != 0) {
		refuse(u, id, "conflict",
		    "run %s is open with address %s and profile %s", r->id,
		    r->address_text, r->profile);
		return;
	}
	if (run_wait(r, WAIT_OPEN, u, id, NULL) == -1) {
		refuse(u, id, "unavailable", "out of memory");
		return;
	}
	/* The rule is read back anew. */
	if (r->state == RUN_OPEN)
		run_set_state(r, RUN_PERMIT);
}

/* Has another run that address? Then the request is answered. */
static bool
address_taken(struct client *u, int64_t id, const struct netaddr *a)
{
	struct run *r;

	TAILQ_FOREACH(r, &frontend_runs, entry) {
		if (!netaddr_equal(&r->address, a))
			continue;
		/* One of these may be asked again, the other may not. */
		if (run_closing(r))
			refuse(u, id, "busy",
			    "address: run %s has it and is being closed",
			    r->id);
		else
			refuse(
			    u, id, "conflict", "address: run %s has it", r->id);
		return true;
	}
	return false;
}

void
runs_open(struct client *u, int64_t id, const struct msg_run_open *m)
{
	struct netaddr a;
	struct run *r;

	if (!open_valid(u, id, m, &a))
		return;
	if ((r = run_find(m->run)) != NULL) {
		open_again(r, u, id, m, &a);
		return;
	}
	if (address_taken(u, id, &a))
		return;
	if (clients_draining())
		refuse(u, id, "draining", "egressd is leaving");
	else if (nruns >= EGRESS_RUNS_MAX)
		refuse(u, id, "limit", "%d runs are open, as many as may be",
		    EGRESS_RUNS_MAX);
	else if ((r = run_new(u, m, &a)) == NULL)
		refuse(u, id, "unavailable", "out of memory");
	else if (run_wait(r, WAIT_OPEN, u, id, NULL) == -1) {
		run_free(r);
		refuse(u, id, "unavailable", "out of memory");
	} else
		run_set_state(r, RUN_RECORD);
}

void
runs_close(struct client *u, int64_t id, const struct msg_run_close *m)
{
	static const struct msg_run_ended nothing;
	struct run *r;

	if (!runid_valid(m->run)) {
		refuse(u, id, "invalid",
		    "run: not an id; allowed: 12 of a-z and 2-7");
		return;
	}
	if ((r = run_find(m->run)) == NULL)
		run_answer_closed(u, id, false, &nothing, 0);
	else if (run_wait(r, WAIT_CLOSE, u, id, NULL) == -1)
		refuse(u, id, "unavailable", "out of memory");
	else
		run_close(r, &u->creds, "request");
}

static bool
listed(const struct msg_list *l, const char *id)
{
	size_t i;

	for (i = 0; i < l->n; i++) {
		if (strcmp(l->v[i], id) == 0)
			return true;
	}
	return false;
}

void
sync_progress(struct sync *s, const struct run *r)
{
	if (r != NULL)
		strlcpy(s->closed[s->nclosed++], r->id, sizeof(s->closed[0]));
	if (--s->missing == 0)
		sync_answer(s);
}

/* Every run that is not listed closes; which of the list are not there? */
static void
sync_start(struct sync *s, const struct msg_list *list)
{
	struct run *r, *next;
	size_t i;

	for (i = 0; i < list->n; i++) {
		r = run_find(list->v[i]);
		if (r == NULL || run_closing(r))
			strlcpy(s->unknown[s->nunknown++], list->v[i],
			    sizeof(s->unknown[0]));
	}
	/* This one holds it open until all are asked. */
	s->missing = 1;
	TAILQ_FOREACH_SAFE(r, &frontend_runs, entry, next) {
		if (listed(list, r->id))
			continue;
		if (run_wait(r, WAIT_SYNC, NULL, 0, s) == 0)
			s->missing++;
		else
			s->failed = true;
		run_close(r, &s->user->creds, "sync");
	}
	sync_progress(s, NULL);
}

void
runs_sync(struct client *u, int64_t id, const struct msg_runs_sync *m)
{
	struct sync *s;
	size_t i;

	for (i = 0; i < m->runs.n; i++) {
		if (!runid_valid(m->runs.v[i])) {
			refuse(u, id, "invalid",
			    "runs[%zu]: not an id; allowed: 12 of a-z and 2-7",
			    i);
			return;
		}
	}
	if (nsyncs >= FRONTEND_SYNCS_MAX ||
	    (s = calloc(1, sizeof(*s))) == NULL) {
		refuse(u, id, "unavailable", "too many syncs are under way");
		return;
	}
	nsyncs++;
	s->user = u;
	s->id = id;
	sync_start(s, &m->runs);
}

void
runs_user_gone(const struct client *u)
{
	struct waiter *w, *next;
	struct run *r;

	TAILQ_FOREACH(r, &frontend_runs, entry) {
		TAILQ_FOREACH_SAFE(w, &r->waiters, entry, next) {
			if (w->what == WAIT_SYNC && w->sync->user == u)
				w->sync->user = NULL;
			else if (w->user == u)
				run_wait_free(r, w);
		}
	}
}

/* --- for run.status --------------------------------------------------- */

const struct run *
runs_find(const char *id)
{
	return run_find(id);
}

const struct worker *
runs_worker(const struct run *r)
{
	return r->worker;
}

void
runs_describe(const struct run *r, struct msg_run_status_answer *a)
{
	/* One that is asked for again has its rule read back, and is open. */
	a->state = r->state > RUN_OPEN ? "closing"
	    : r->was_open              ? "open"
	                               : "opening";
	a->profile = r->profile;
	a->interface = r->interface;
	a->listener = r->listener;
	a->enforced = r->enforced;
}
