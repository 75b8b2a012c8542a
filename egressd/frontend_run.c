/*
 * A run that opens and closes. It is opened in this order, each step behind the
 * other's answer: record, bind (parent), listen (worker), packet rule (fw).
 * It is closed in the reverse one: packet rule, tunnels and listener, record.
 * What fails on the way is closed again. dispatchd repeats what it wants after
 * each connection, so nothing here outlives the process.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/grants.h"
#include "libcommon/log.h"

#include "frontend_run.h"

static void run_step(struct run *);

/* --- waiters ---------------------------------------------------------- */

int
run_wait(struct run *r, enum wait_for what, struct client *u, int64_t id,
    struct sync *s)
{
	struct waiter *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return -1;
	w->what = what;
	w->user = u;
	w->id = id;
	w->sync = s;
	TAILQ_INSERT_TAIL(&r->waiters, w, entry);
	return 0;
}

void
run_wait_free(struct run *r, struct waiter *w)
{
	TAILQ_REMOVE(&r->waiters, w, entry);
	free(w);
}

static void
answer_opened(const struct run *r, struct client *u, int64_t id)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_run_opened;
	m.id = id;
	m.u.run_opened.interface = r->interface;
	m.u.run_opened.listener = r->listener;
	m.u.run_opened.canary = r->canary;
	m.u.run_opened.enforced = r->enforced;
	m.u.run_opened.generation = grants_generation();
	peer_send(u->peer, &m);
}

/* The end of an opening, good or bad, for all who wait for it. */
static void
opened(struct run *r)
{
	struct waiter *w, *next;

	TAILQ_FOREACH_SAFE(w, &r->waiters, entry, next) {
		if (w->what != WAIT_OPEN)
			continue;
		if (r->state == RUN_OPEN)
			answer_opened(r, w->user, w->id);
		else
			peer_send_error(w->user->peer, w->id,
			    r->code[0] != '\0' ? r->code : "closed",
			    r->code[0] != '\0' ? r->why : "the run was closed");
		run_wait_free(r, w);
	}
}

/* --- life of a run ---------------------------------------------------- */

/* It cannot be opened: undo what there is of it. */
static void __attribute__((format(printf, 3, 4)))
run_failed(struct run *r, const char *code, const char *fmt, ...)
{
	va_list ap;

	strlcpy(r->code, code, sizeof(r->code));
	va_start(ap, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	log_warnx("run %s not opened: %s", r->id, r->why);
	snprintf(r->reason, sizeof(r->reason), "failed: %s", code);
	opened(r);
	run_set_state(r, RUN_REVOKE);
}

static void
close_record(
    const struct run *r, const struct msg_run_ended *sums, struct msg *m)
{
	memset(m, 0, sizeof(*m));
	m->type = MSG_TYPE_rec_run_close;
	m->u.rec_run_close.run = r->id;
	m->u.rec_run_close.peer_uid = r->by.uid;
	m->u.rec_run_close.peer_pid = r->by.pid;
	m->u.rec_run_close.reason = r->reason;
	m->u.rec_run_close.allowed = sums->allowed;
	m->u.rec_run_close.denied = sums->denied;
	m->u.rec_run_close.failed = sums->failed;
	m->u.rec_run_close.bytes_up = sums->bytes_up;
	m->u.rec_run_close.bytes_down = sums->bytes_down;
	m->u.rec_run_close.packets_refused = r->packets_refused;
}

void
run_answer_closed(struct client *u, int64_t id, bool known,
    const struct msg_run_ended *sums, int64_t packets_refused)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_run_closed;
	m.id = id;
	m.u.run_closed.known = known;
	m.u.run_closed.allowed = sums->allowed;
	m.u.run_closed.denied = sums->denied;
	m.u.run_closed.failed = sums->failed;
	m.u.run_closed.bytes_up = sums->bytes_up;
	m.u.run_closed.bytes_down = sums->bytes_down;
	m.u.run_closed.packets_refused = packets_refused;
	peer_send(u->peer, &m);
}

/* Nothing of it is open (any more): tell all who wait, forget it. */
static void
run_gone(struct run *r, const struct msg_run_ended *sums)
{
	struct waiter *w, *next;

	opened(r);
	TAILQ_FOREACH_SAFE(w, &r->waiters, entry, next) {
		if (w->what == WAIT_CLOSE)
			run_answer_closed(
			    w->user, w->id, true, sums, r->packets_refused);
		else
			sync_progress(w->sync, r);
		run_wait_free(r, w);
	}
	run_free(r);
}

static void
run_closed(struct run *r, const struct msg_run_ended *sums)
{
	struct msg m;

	log_info("run %s closed: %s", r->id, r->reason);
	close_record(r, sums, &m);
	if (audit_client_send_lasting(frontend.audit, &m, NULL, NULL) == -1)
		log_warnx("run %s: its close could not be recorded", r->id);
	run_gone(r, sums);
}

void
run_close(struct run *r, const struct creds *by, const char *reason)
{
	if (r->state >= RUN_REVOKE || r->close_wanted)
		return;
	r->by = *by;
	strlcpy(r->reason, reason, sizeof(r->reason));
	/* A step under way is waited for: it would come behind its undoing. */
	r->close_wanted = true;
	if (r->state == RUN_OPEN)
		run_set_state(r, RUN_REVOKE);
}

/* --- steps ------------------------------------------------------------ */

/* A sibling did not do its part in time. */
void
run_timeout(int fd, short what, void *arg)
{
	struct run *r = arg;

	switch (r->state) {
	case RUN_BIND:
		/* The worker lacked the memory; the parent always answers. */
		if (r->bound) {
			run_failed(r, "unavailable",
			    "the proxy did not take its listener");
			return;
		}
		break;
	case RUN_RECORD: /* audit_client has a limit of its own */
	case RUN_OPEN:
		return;
	case RUN_PERMIT:
	case RUN_REVOKE:
	case RUN_END:
		break;
	}
	/* Whether it is open or closed cannot be said: start anew, closed. */
	fatalx("run %s: no answer in %d ms", r->id, FRONTEND_STEP_MS);
}

/* Nothing has been done for it yet. */
static void
run_unrecorded(struct run *r)
{
	static const struct msg_run_ended nothing;

	strlcpy(r->code, "unrecordable", sizeof(r->code));
	strlcpy(r->why, "the opening could not be recorded: is the disk full?",
	    sizeof(r->why));
	log_warnx("run %s not opened: %s", r->id, r->why);
	run_gone(r, &nothing);
}

static void
open_recorded(bool ok, void *arg)
{
	static const struct msg_run_ended nothing;
	struct run *r = arg;
	struct msg m;

	if (ok) {
		run_set_state(r, RUN_BIND);
		return;
	}
	strlcpy(r->reason, "failed: unrecordable", sizeof(r->reason));
	close_record(r, &nothing, &m);
	audit_client_send_if_late(frontend.audit, &m);
	run_unrecorded(r);
}

static void
record_open(struct run *r)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rec_run_open;
	m.u.rec_run_open.run = r->id;
	m.u.rec_run_open.peer_uid = r->by.uid;
	m.u.rec_run_open.peer_pid = r->by.pid;
	m.u.rec_run_open.profile = r->profile;
	m.u.rec_run_open.interface = r->interface;
	m.u.rec_run_open.listener = r->listener;
	m.u.rec_run_open.enforced = r->enforced;
	m.u.rec_run_open.generation = grants_generation();
	if (audit_client_send(frontend.audit, &m, open_recorded, r) == -1)
		run_unrecorded(r);
}

static void
ask_bind(struct run *r)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_run_bind;
	m.id = r->request = peer_next_id(frontend.parent);
	m.u.run_bind.run = r->id;
	m.u.run_bind.address = r->address_text;
	m.u.run_bind.profile = r->profile;
	m.u.run_bind.worker = r->worker->instance;
	sibling_send(frontend.parent, &m);
}

static void
ask_fw(struct run *r, enum msg_type type)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	m.id = r->request = peer_next_id(frontend.fw);
	if (type == MSG_TYPE_fw_permit) {
		m.u.fw_permit.run = r->id;
		m.u.fw_permit.address = r->address_text;
	} else
		m.u.fw_revoke.run = r->id;
	sibling_send(frontend.fw, &m);
}

static void
ask_end(struct run *r)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_run_end;
	m.id = r->request = peer_next_id(r->worker->peer);
	m.u.run_end.run = r->id;
	sibling_send(r->worker->peer, &m);
}

void
run_set_state(struct run *r, enum run_state state)
{
	static const char *const names[] = { "record", "bind", "permit", "open",
		"revoke", "end" };
	struct timeval tv = { FRONTEND_STEP_MS / 1000, 0 };

	/* What was to be closed meanwhile goes no further. */
	if (r->close_wanted && state < RUN_REVOKE)
		state = RUN_REVOKE;
	/* Without packet rules their steps are passed over. */
	if (!r->enforced && state == RUN_PERMIT)
		state = RUN_OPEN;
	if (!r->enforced && state == RUN_REVOKE)
		state = RUN_END;
	log_debug("run %s: %s -> %s", r->id, names[r->state], names[state]);
	r->state = state;
	r->request = 0;
	if (state == RUN_OPEN)
		evtimer_del(r->timer);
	else
		evtimer_add(r->timer, &tv);
	run_step(r);
}

static void
run_step(struct run *r)
{
	switch (r->state) {
	case RUN_RECORD:
		record_open(r);
		break;
	case RUN_BIND:
		ask_bind(r);
		break;
	case RUN_PERMIT:
		ask_fw(r, MSG_TYPE_fw_permit);
		break;
	case RUN_OPEN:
		if (!r->was_open)
			log_info("run %s open: %s, profile %s, worker %u",
			    r->id, r->listener, r->profile,
			    r->worker->instance);
		r->was_open = true;
		opened(r);
		break;
	case RUN_REVOKE:
		ask_fw(r, MSG_TYPE_fw_revoke);
		break;
	case RUN_END:
		ask_end(r);
		break;
	}
}

/* --- what siblings answer --------------------------------------------- */

/* The run that waits for the answer id in that state. */
static struct run *
run_waiting(enum run_state state, int64_t id)
{
	struct run *r;

	TAILQ_FOREACH(r, &frontend_runs, entry) {
		if (r->state == state && r->request == id)
			return r;
	}
	fatalx("an answer that nobody waits for");
}

static void
bind_progress(struct run *r)
{
	if (r->state == RUN_BIND && r->bound && r->listening)
		run_set_state(r, RUN_PERMIT);
}

void
runs_bound(int64_t id)
{
	struct run *r = run_waiting(RUN_BIND, id);

	r->bound = true;
	bind_progress(r);
}

void
runs_unbound(int64_t id, const struct msg_error *m)
{
	run_failed(run_waiting(RUN_BIND, id), m->error, "%s", m->reason);
}

/*
 * A worker may be so late that its run is being undone: then run.end reaches
 * it behind this. What it serves beyond that was handed to it for a run that
 * is closed by now, and would stay open.
 */
void
runs_listening(const struct worker *w, const struct msg_run_listening *m)
{
	struct run *r = run_find(m->run);

	if (r == NULL || r->worker != w)
		fatalx("worker %u serves run %s, which is not there",
		    w->instance, m->run);
	switch (r->state) {
	case RUN_REVOKE:
	case RUN_END:
		return;
	case RUN_BIND:
		if (r->listening)
			break;
		r->listening = true;
		bind_progress(r);
		return;
	case RUN_RECORD:
	case RUN_PERMIT:
	case RUN_OPEN:
		break;
	}
	fatalx("worker %u listens for run %s unasked", w->instance, r->id);
}

void
runs_permitted(int64_t id)
{
	run_set_state(run_waiting(RUN_PERMIT, id), RUN_OPEN);
}

void
runs_not_permitted(int64_t id, const struct msg_error *m)
{
	run_failed(run_waiting(RUN_PERMIT, id), m->error, "%s", m->reason);
}

void
runs_revoked(int64_t id, const struct msg_fw_revoked *m)
{
	struct run *r = run_waiting(RUN_REVOKE, id);

	r->packets_refused = m->packets_refused;
	run_set_state(r, RUN_END);
}

void
runs_ended(const struct worker *w, int64_t id, const struct msg_run_ended *m)
{
	struct run *r;

	TAILQ_FOREACH(r, &frontend_runs, entry) {
		if (r->worker == w && r->state == RUN_END && r->request == id)
			break;
	}
	if (r == NULL)
		fatalx("an end that nobody waits for");
	run_closed(r, m);
}
