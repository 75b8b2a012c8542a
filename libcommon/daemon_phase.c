#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/daemon.h"
#include "libcommon/log.h"
#include "libcommon/version.h"

#define EXTEND_LEN 48

void
daemon_leave(struct daemon *d, int status)
{
	proc_notify("STOPPING=1");
	proc_watch_kill(d->watch);
	_exit(status);
}

void
daemon_phase_set(struct daemon *d, enum daemon_phase phase, int limit_ms)
{
	static const char *const names[] = { "starting", "serving", "draining",
		"cutting", "leaving" };
	const struct timeval tv = { limit_ms / 1000, limit_ms % 1000 * 1000 };

	log_debug("%s -> %s", names[d->phase], names[phase]);
	d->phase = phase;
	evtimer_del(d->timer);
	if (limit_ms > 0)
		evtimer_add(d->timer, &tv);
}

/* --- start ------------------------------------------------------------ */

static void
start_recorded(bool ok, void *arg)
{
	struct daemon *d = arg;
	char what[128];

	if (!ok) {
		log_warnx("the start could not be recorded in %s: leaving",
		    d->now.audit);
		daemon_leave(d, EXIT_SYSTEM);
	}
	if (d->phase != PHASE_STARTING)
		return;
	daemon_state_send(d);
	d->def->serve(d, what, sizeof(what));
	daemon_send(d, SIDE_CHILD, MSG_TYPE_go);
	daemon_phase_set(d, PHASE_SERVING, 0);
	log_info(
	    "serving, %s, generation %lld", what, (long long)d->generation);
	proc_notify("READY=1");
	daemon_reload_go_on(d);
}

/* Every child is in its sandbox and has its table: record, then serve. */
static void
record_start(struct daemon *d)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rec_start;
	m.u.rec_start.version = BULKHEAD_VERSION;
	m.u.rec_start.boot_id = d->boot_id;
	m.u.rec_start.pid = getpid();
	m.u.rec_start.generation = d->generation;
	m.u.rec_start.config_sha256 = d->now.sha256;
	if (audit_client_send(d->audit, &m, start_recorded, d) == -1)
		fatalx("cannot send the start record");
	d->start_sent = true;
	if (d->def->started != NULL)
		d->def->started(d);
}

static bool
all_ready(const struct daemon *d)
{
	size_t i;

	for (i = 0; i < d->nchildren; i++) {
		if (!d->child[i].ready)
			return false;
	}
	return true;
}

void
daemon_progress(struct daemon *d)
{
	if (d->phase == PHASE_STARTING && !d->start_sent && all_ready(d) &&
	    daemon_tables_applied(d) &&
	    (d->def->whole == NULL || d->def->whole(d)))
		record_start(d);
	daemon_reload_go_on(d);
}

/* --- end -------------------------------------------------------------- */

static void
stop_recorded(bool ok, void *arg)
{
	if (!ok)
		log_warnx("the stop could not be recorded");
	log_info("stopped");
	daemon_leave(arg, 0);
}

void
daemon_stop(struct daemon *d)
{
	struct msg m;

	daemon_phase_set(d, PHASE_LEAVING, AUDIT_WAIT_MS * 2);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rec_stop;
	m.u.rec_stop.reason = "signal";
	if (audit_client_send(d->audit, &m, stop_recorded, d) == -1)
		stop_recorded(false, d);
}

/* --- what takes too long ---------------------------------------------- */

/* Is it audit alone that is awaited, which verifies its file first? */
static bool
audit_reads(const struct daemon *d)
{
	size_t i;

	for (i = 0; i < d->nchildren; i++) {
		if (d->child[i].ready == (d->child[i].side == SIDE_AUDIT))
			return false;
	}
	return true;
}

/*
 * How long that takes grows with the file, and so by what a run has asked for:
 * to give up would be for good. The service manager is asked for twice as long
 * as until we come here again.
 */
static void
start_late(struct daemon *d)
{
	char extend[EXTEND_LEN];

	if (!audit_reads(d)) {
		log_warnx("the processes are not ready after %d ms: leaving",
		    d->def->ready_ms);
		daemon_leave(d, EXIT_INTERNAL);
	}
	log_info("the record file %s is still being verified", d->now.audit);
	snprintf(extend, sizeof(extend), "EXTEND_TIMEOUT_USEC=%lld",
	    2000LL * d->def->ready_ms);
	proc_notify(extend);
	daemon_phase_set(d, PHASE_STARTING, d->def->ready_ms);
}

static void
phase_timeout(int fd, short what, void *arg)
{
	struct daemon *d = arg;

	switch (d->phase) {
	case PHASE_STARTING:
		start_late(d);
		break;
	case PHASE_SERVING:
		break;
	case PHASE_DRAINING:
	case PHASE_CUTTING:
		d->def->late(d);
		break;
	case PHASE_LEAVING:
		stop_recorded(false, d);
		break;
	}
}

static void
lost_timeout(int fd, short what, void *arg)
{
	daemon_leave(arg, EXIT_INTERNAL);
}

/* --- signals ---------------------------------------------------------- */

static void
on_hup(int sig, short what, void *arg)
{
	struct daemon *d = arg;

	/* The start may have read the file before it was changed. */
	if (d->phase == PHASE_STARTING)
		d->reload_again = true;
	else if (d->phase == PHASE_SERVING && !d->lost)
		daemon_reload(d);
}

static void
on_term(int sig, short what, void *arg)
{
	struct daemon *d = arg;

	if (d->lost)
		return;
	if (d->phase == PHASE_STARTING)
		daemon_leave(d, 0);
	d->def->term(d);
}

void
daemon_signals_init(struct daemon *d)
{
	d->ev_hup = evsignal_new(d->base, SIGHUP, on_hup, d);
	d->ev_term = evsignal_new(d->base, SIGTERM, on_term, d);
	d->ev_int = evsignal_new(d->base, SIGINT, on_term, d);
	d->timer = evtimer_new(d->base, phase_timeout, d);
	d->ev_lost = evtimer_new(d->base, lost_timeout, d);
	if (d->ev_hup == NULL || d->ev_term == NULL || d->ev_int == NULL ||
	    d->timer == NULL || d->ev_lost == NULL)
		fatalx("out of memory");
	evsignal_add(d->ev_hup, NULL);
	evsignal_add(d->ev_term, NULL);
	evsignal_add(d->ev_int, NULL);
}
