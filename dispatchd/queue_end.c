/*
 * A run from COMMITTED to DONE, and every other way out. Once committed it is
 * never started again: what can still be had of it is harvested, and what it
 * was is said as far as there is evidence.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"

#include "dispatchd/queue.h"

/* --- taking it down ---------------------------------------------------- */

static void
container_removed(struct qjob *j, const struct msg *m)
{
	if (m == NULL || m->type != MSG_TYPE_engine_done) {
		log_warnx("run %s: its container stays: %s", j->row.run,
		    m != NULL ? m->u.error.reason : "no answer");
		j->shut_tried = false;
		qjob_retry(j);
		return;
	}
	j->container_down = true;
	qjob_drive(j);
}

static void
runs_closed(struct qjob *j, const struct msg *m)
{
	struct msg e;

	if (m == NULL || m->type != MSG_TYPE_job_closed) {
		qjob_retry(j);
		return;
	}
	if (m->u.job_closed.bytes > 0) {
		j->row.log_bytes = m->u.job_closed.bytes;
		j->row.log_kept = m->u.job_closed.kept;
		j->row.log_dropped = m->u.job_closed.dropped;
	}
	j->runs_down = true;
	memset(&e, 0, sizeof(e));
	e.type = MSG_TYPE_door_remove;
	e.u.door_remove.run = j->row.run;
	sibling_send(queue.parent, &e);
	qjob_drive(j);
}

void
qjob_ask(
    struct qjob *j, struct peer *p, enum msg_type type, int ms, call_fn *fn)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	switch (type) {
	case MSG_TYPE_engine_remove:
		m.u.engine_remove.run = j->row.run;
		m.u.engine_remove.container = j->row.container;
		break;
	case MSG_TYPE_engine_kill:
		m.u.engine_kill.run = j->row.run;
		m.u.engine_kill.container = j->row.container;
		break;
	case MSG_TYPE_engine_inspect:
		m.u.engine_inspect.run = j->row.run;
		m.u.engine_inspect.container = j->row.container;
		break;
	case MSG_TYPE_engine_stderr:
		m.u.engine_stderr.run = j->row.run;
		m.u.engine_stderr.container = j->row.container;
		break;
	case MSG_TYPE_job_close:
		m.u.job_close.run = j->row.run;
		/* An attempt that goes back has no output to keep. */
		m.u.job_close.remove = j->again;
		break;
	default:
		panic("no such request");
	}
	call_send(p, &m, j, ms, fn);
}

/* PID 1's last word is why; the container goes whether we have it or not. */
static void
words_heard(struct qjob *j, const struct msg *m)
{
	const char *text = "";

	if (m != NULL && m->type == MSG_TYPE_engine_stderr_answer)
		text = m->u.engine_stderr_answer.text;
	if (text[0] != '\0') {
		strlcat(j->row.reason, ": ", sizeof(j->row.reason));
		strlcat(j->row.reason, text, sizeof(j->row.reason));
	}
	qjob_drive(j);
}

/*
 * A container that ended before its tool began: what it printed is PID 1's own,
 * and goes with it.
 */
static bool
has_words(const struct qjob *j)
{
	return j->again && j->container == CONTAINER_EXITED &&
	    j->row.container[0] != '\0' && !j->row.released && !j->words_asked;
}

/* What failed so often will do so again; the last time tells why. */
static void
give_up(struct qjob *j)
{
	char last[QUEUE_REASON_MAX + 1];

	strlcpy(last, j->row.reason, sizeof(last));
	snprintf(j->row.reason, sizeof(j->row.reason),
	    "given up behind %d starts that failed: %.200s", QUEUE_TRIES_MAX,
	    last);
	j->row.class = CLASS_LOST_INFRA;
}

/*
 * It was to be tried again. Meanwhile somebody may have stopped it, and one
 * that was released is never started a second time.
 */
static bool
goes_back(struct qjob *j)
{
	if (!j->again)
		return false;
	if (j->row.class == CLASS_NONE && j->row.stop != CLASS_NONE)
		j->row.class = j->row.stop;
	if (j->row.class == CLASS_NONE && j->row.released)
		j->row.class = CLASS_LOST_INFRA;
	if (j->row.class == CLASS_NONE && j->row.tries + 1 >= QUEUE_TRIES_MAX)
		give_up(j);
	return j->row.class == CLASS_NONE;
}

/* All of it is down: the last rows. */
static void
over(struct qjob *j)
{
	struct queue_row row;

	if (goes_back(j)) {
		j->row.network[0] = j->row.container[0] = '\0';
		if (!qjob_step(j, STATE_QUEUED, "%s", j->row.reason))
			return;
		qjob_free(j);
		qjob_admit_all();
		return;
	}
	if (j->row.state != STATE_CLOSED &&
	    !qjob_step(j, STATE_CLOSED, "all of it is closed"))
		return;
	if (!qjob_step(j, STATE_DONE, "%s",
	        j->row.reason[0] != '\0' ? j->row.reason
	                                 : queue_class_name(j->row.class)))
		return;
	row = j->row;
	qjob_free(j);
	client_over(&row);
	prune_soon();
	qjob_admit_all();
}

/*
 * The way out is closed before the container is removed: the engine may be
 * stuck, and who is taken down reaches nothing from then on. If egressd does
 * not close it the container goes first, and it is asked again behind that; a
 * run is over only when both are done, as the next one may get its network.
 */
static void
take_down(struct qjob *j)
{
	if (!j->egress_down && !j->shut_tried)
		egress_shut(j);
	else if (!j->container_down && has_words(j)) {
		j->words_asked = true;
		qjob_ask(j, queue.engine, MSG_TYPE_engine_stderr, QUEUE_CALL_MS,
		    words_heard);
	} else if (!j->container_down)
		qjob_ask(j, queue.engine, MSG_TYPE_engine_remove,
		    QUEUE_ENGINE_MS, container_removed);
	else if (!j->egress_down)
		egress_shut(j);
	else if (qjob_ask_stored(j))
		return;
	else if (!j->runs_down)
		qjob_ask(j, queue.runs, MSG_TYPE_job_close, QUEUE_CALL_MS,
		    runs_closed);
	else
		over(j);
}

/* From here on it only goes down. */
static void
begin_removing(struct qjob *j)
{
	if (!j->removing)
		j->shut_tried = false;
	j->removing = true;
}

void
qjob_end(struct qjob *j, enum queue_class class, const char *fmt, ...)
{
	va_list ap;

	if (j->row.class == CLASS_NONE) {
		j->row.class = class;
		va_start(ap, fmt);
		vsnprintf(j->row.reason, sizeof(j->row.reason), fmt, ap);
		va_end(ap);
		log_info("run %s ends: %s: %s", j->row.run,
		    queue_class_name(class), j->row.reason);
	}
	begin_removing(j);
	j->retry_at = 0;
	qjob_drive(j);
}

void
qjob_requeue(struct qjob *j, const char *why)
{
	if (j->removing)
		return;
	log_info("run %s goes back to the queue: %s", j->row.run, why);
	strlcpy(j->row.reason, why, sizeof(j->row.reason));
	begin_removing(j);
	j->again = true;
	j->retry_at = 0;
	qjob_drive(j);
}

/* --- COMMITTED, RUNNING ------------------------------------------------- */

static void
release(struct qjob *j)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_job_release;
	m.u.job_release.run = j->row.run;
	j->told = true;
	sibling_send(queue.runs, &m);
}

/* The container has ended, and nobody has told how the tool did. */
static void
lost_tool(struct qjob *j)
{
	if (j->row.state == STATE_COMMITTED && !j->row.released &&
	    j->row.pid1_exit == QUEUE_EXIT_NOTHING) {
		qjob_requeue(j, "PID 1 says that it began nothing");
		return;
	}
	j->row.class = j->row.stop != CLASS_NONE ? j->row.stop
	    : j->oom                             ? CLASS_OOM
	                                         : CLASS_LOST_INFRA;
	if (j->row.reason[0] == '\0')
		snprintf(j->row.reason, sizeof(j->row.reason),
		    "the container ended with status %lld%s before the tool "
		    "was seen to",
		    (long long)j->row.pid1_exit,
		    j->oom ? ", out of memory" : "");
	if (qjob_step(j, STATE_EXITED, "%s", j->row.reason))
		qjob_drive(j);
}

static void
drive_committed(struct qjob *j)
{
	if (j->exited) {
		/* "released" was lost on the way; this says it as well. */
		(void)qjob_step(j, STATE_EXITED, "tool: %s", j->exit_reason);
		qjob_drive(j);
	} else if (j->container_gone)
		lost_tool(j);
	else if (j->row.released) {
		if (qjob_step(j, STATE_RUNNING, "released"))
			qjob_drive(j);
	} else if (j->row.stop != CLASS_NONE)
		return;
	else if (j->record_due)
		queue_record_commit(j, "recorded when it could be");
	else if (j->release_due && j->connected)
		release(j);
}

static void
drive_running(struct qjob *j)
{
	if (j->exited) {
		if (qjob_step(j, STATE_EXITED, "tool: %s, status %lld",
		        j->exit_reason, (long long)j->row.exit_code))
			qjob_drive(j);
	} else if (j->container_gone)
		lost_tool(j);
}

void
qjob_exited(struct qjob *j, const struct msg_job_exited *m)
{
	if (j->exited || j->row.state < STATE_COMMITTED)
		return;
	j->exited = true;
	j->row.exit_code = m->exit_code;
	j->row.signal = m->signal;
	strlcpy(j->exit_reason, m->reason, sizeof(j->exit_reason));
	if (m->detail != NULL && j->row.reason[0] == '\0')
		strlcpy(j->row.reason, m->detail, sizeof(j->row.reason));
	qjob_drive(j);
}

/* --- HARVESTED ----------------------------------------------------------- */

/* PID 1 may leave; when it has, or does not, the rest is taken down. */
static void
drive_harvested(struct qjob *j)
{
	struct msg m;

	if (!j->finished) {
		j->finished = true;
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_job_finish;
		m.u.job_finish.run = j->row.run;
		sibling_send(queue.runs, &m);
	}
	if (j->connected && !j->container_gone &&
	    clock_boot_ms() - j->state_at < QUEUE_LEAVE_MS)
		return;
	begin_removing(j);
	take_down(j);
}

void
qjob_drive_end(struct qjob *j)
{
	if (j->removing) {
		take_down(j);
		return;
	}
	switch (j->row.state) {
	case STATE_QUEUED:
	case STATE_ADMITTED:
	case STATE_OPENED:
	case STATE_CREATED:
	case STATE_GATED:
		/* It was stopped before it began. */
		qjob_end(j, j->row.stop, "%s", j->row.reason);
		break;
	case STATE_COMMITTED:
		if (qjob_attach(j))
			drive_committed(j);
		break;
	case STATE_RUNNING:
		if (qjob_attach(j))
			drive_running(j);
		break;
	case STATE_EXITED:
		if (qjob_attach(j))
			qjob_drive_exited(j);
		break;
	case STATE_HARVESTED:
	case STATE_PUBLISHING:
	case STATE_PUBLISHED:
		drive_harvested(j);
		break;
	case STATE_CLOSED:
		begin_removing(j);
		take_down(j);
		break;
	case STATE_DONE:
	case STATE_MAX:
		break;
	}
}
