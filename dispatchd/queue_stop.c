/*
 * A run that does not come to its end by itself: somebody stops it, a deadline
 * is over, or its container is gone.
 */

#include <string.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"

#include "dispatchd/queue.h"
#include "dispatchd/queue_limit.h"

/* --- stopping ----------------------------------------------------------- */

static void
killed(struct qjob *j, const struct msg *m)
{
	if (m == NULL || m->type != MSG_TYPE_engine_done)
		qjob_retry(j);
	else
		j->container_gone = true;
	qjob_drive(j);
}

/*
 * PID 1 kills at grace; if it does not come to an end, we do. It may have been
 * away when it was first told, or have been told by those before us.
 */
void
qjob_tell_stop(struct qjob *j)
{
	struct msg m;

	if (j->row.stop == CLASS_NONE || j->exited ||
	    j->row.state < STATE_COMMITTED || j->row.state > STATE_RUNNING)
		return;
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_job_stop;
	m.u.job_stop.run = j->row.run;
	m.u.job_stop.reason =
	    j->row.stop == CLASS_DEADLINE ? "deadline" : "stop";
	m.u.job_stop.grace_ms = QUEUE_GRACE_MS;
	sibling_send(queue.runs, &m);
	if (j->kill_at == 0)
		j->kill_at = clock_boot_ms() + 2 * QUEUE_GRACE_MS;
}

void
qjob_stop(struct qjob *j, enum queue_class class, const char *reason)
{
	if (j->row.class != CLASS_NONE || j->row.stop != CLASS_NONE)
		return;
	log_info("run %s is stopped: %s", j->row.run, reason);
	j->row.stop = class;
	strlcpy(j->row.reason, reason, sizeof(j->row.reason));
	if (queue_store_save(queue.store, &j->row) == -1)
		log_warnx(
		    "run %s: %s", j->row.run, queue_store_why(queue.store));
	/* Before it was released there is nothing to harvest. */
	if (j->row.state < STATE_COMMITTED ||
	    (j->row.state == STATE_COMMITTED && !j->told)) {
		qjob_end(j, class, "%s", reason);
		return;
	}
	qjob_tell_stop(j);
	qjob_drive(j);
}

/* --- time ----------------------------------------------------------------- */

static void
inspected(struct qjob *j, const struct msg *m)
{
	if (m != NULL && m->type == MSG_TYPE_engine_state)
		qjob_engine_state(j, &m->u.engine_state);
	qjob_drive(j);
}

void
qjob_engine_state(struct qjob *j, const struct msg_engine_state *s)
{
	j->container = queue_container_parse(s->status);
	j->oom = j->oom || s->oom;
	if (j->container != CONTAINER_EXITED &&
	    j->container != CONTAINER_ABSENT && j->container != CONTAINER_DEAD)
		return;
	if (j->row.state < STATE_GATED)
		return;
	j->row.pid1_exit = s->exit_code;
	j->container_gone = true;
}

/* PID 1 is not there: has its container ended, or will it be back? */
static void
look_at_container(struct qjob *j)
{
	if (!call_waits(j))
		qjob_ask(j, queue.engine, MSG_TYPE_engine_inspect,
		    QUEUE_ENGINE_MS, inspected);
}

static struct queue_clock
clock_of(const struct qjob *j, int64_t now)
{
	const struct dispatch_profile *pr =
	    dispatch_profile_find(queue.config, j->row.profile);
	struct queue_clock c;

	memset(&c, 0, sizeof(c));
	c.now = now;
	c.release_at = j->release_at;
	c.released = j->row.released;
	c.begun_at = j->row.begun_boot_ms;
	c.deadline_ms = j->row.deadline_ms;
	c.running_at = j->row.state == STATE_RUNNING ? j->state_at : 0;
	c.output_at = j->output_at;
	c.hung_start_ms = pr != NULL ? pr->hung_start_ms : 0;
	c.idle_ms = pr != NULL ? pr->idle_ms : 0;
	c.asked_at = j->asked_status_at;
	c.told_at = j->told_status_at;
	return c;
}

static void
check_limits(struct qjob *j, int64_t now)
{
	struct queue_clock c;

	/* What waits for its record has not begun, and may wait. */
	if (j->release_at == 0 && (j->release_due || j->told))
		j->release_at = now;
	c = clock_of(j, now);
	switch (queue_limit_over(&c)) {
	case LIMIT_NONE:
		break;
	case LIMIT_ASK:
		if (!call_waits(j))
			egress_status(j);
		break;
	case LIMIT_RELEASE:
		qjob_stop(j, CLASS_LOST_INFRA,
		    "its PID 1 did not say that it begins");
		break;
	case LIMIT_DEADLINE:
		qjob_stop(j, CLASS_DEADLINE, "its deadline is over");
		break;
	case LIMIT_HUNG_START:
		qjob_stop(j, CLASS_HUNG_START,
		    "neither output nor a byte of a tunnel");
		break;
	case LIMIT_IDLE:
		qjob_stop(j, CLASS_IDLE, "nothing came of it for too long");
		break;
	}
}

/*
 * PID 1 has had its time to end the tool, and has not: its way out is closed,
 * whatever the engine does, and then it is killed. True: something is asked.
 */
static bool
enforce_stop(struct qjob *j, int64_t now)
{
	if (j->kill_at == 0 || call_waits(j) || j->container_gone || j->exited)
		return false;
	if (now > j->kill_at - QUEUE_GRACE_MS && !j->egress_down &&
	    !j->shut_tried) {
		egress_shut(j);
		return true;
	}
	if (now <= j->kill_at)
		return false;
	j->kill_at = now + QUEUE_GRACE_MS;
	j->shut_tried = false;
	qjob_ask(
	    j, queue.engine, MSG_TYPE_engine_kill, QUEUE_ENGINE_MS, killed);
	return true;
}

void
qjob_deadlines(struct qjob *j)
{
	int64_t now = clock_boot_ms();

	if (j->row.state >= STATE_COMMITTED && j->row.state <= STATE_RUNNING &&
	    j->row.stop == CLASS_NONE && !j->exited)
		check_limits(j, now);
	if (enforce_stop(j, now))
		return;
	if (egress_reopen(j))
		return;
	if (!j->connected && j->started && !j->container_gone && !j->removing &&
	    now - j->gone_at > QUEUE_RETRY_MS) {
		j->gone_at = now;
		look_at_container(j);
	}
	qjob_drive(j);
}
