/*
 * A run from ADMITTED to COMMITTED: doors, container, proof. Until COMMITTED
 * nothing of the job has happened, and it may go back to QUEUED.
 */

#include <stdio.h>
#include <string.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"

#include "dispatchd/queue.h"

#define TMP_SHARE 4 /* /tmp has a quarter of the workspace */

/* --- ADMITTED: egressd's door ----------------------------------------- */

static void
drive_admitted(struct qjob *j)
{
	if (!j->egress_open)
		egress_open(j);
	else if (qjob_step(j, STATE_OPENED, "egressd opened it"))
		qjob_drive(j);
}

/* --- OPENED: our own door, what it is to do, the container ------------- */

static void
door_made(struct qjob *j, const struct msg *m)
{
	if (m == NULL || m->type != MSG_TYPE_door_made) {
		log_warnx("run %s: no door: %s", j->row.run,
		    m != NULL ? m->u.error.reason : "no answer");
		qjob_retry(j);
		return;
	}
	j->door = true;
	qjob_drive(j);
}

static void
make_door(struct qjob *j)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_door_make;
	m.u.door_make.run = j->row.run;
	call_send(queue.parent, &m, j, QUEUE_CALL_MS, door_made);
}

static void
container_made(struct qjob *j, const struct msg *m)
{
	char why[64];

	if (m != NULL && m->type == MSG_TYPE_engine_created) {
		strlcpy(j->row.container, m->u.engine_created.container,
		    sizeof(j->row.container));
		j->created = true;
		if (qjob_step(j, STATE_CREATED, "container %.12s%s",
		        j->row.container,
		        m->u.engine_created.adopted ? ", adopted" : ""))
			qjob_drive(j);
		return;
	}
	if (m == NULL || strcmp(m->u.error.error, "unavailable") == 0) {
		qjob_retry(j);
		return;
	}
	/* Somebody builds it anew, or has to load it: the run waits for it. */
	if (strcmp(m->u.error.error, "image_absent") == 0) {
		log_warnx("run %s waits: %s", j->row.run, m->u.error.reason);
		qjob_retry(j);
		return;
	}
	if (strcmp(m->u.error.error, "boundary") == 0)
		qjob_end(j, CLASS_BOUNDARY_VIOLATION, "engine: %s",
		    m->u.error.reason);
	else if (strcmp(m->u.error.error, "subnet") == 0) {
		subnet_refused(j->row.network);
		snprintf(why, sizeof(why), "somebody else has its network, %s",
		    j->row.network);
		qjob_requeue(j, why);
	} else
		qjob_end(j, CLASS_LOST_INFRA, "engine: %s: %s",
		    m->u.error.error, m->u.error.reason);
}

static void
create(struct qjob *j)
{
	char gateway[NETADDR_TEXT_MAX], agent[NETADDR_TEXT_MAX];
	struct msg_engine_create *c;
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_engine_create;
	c = &m.u.engine_create;
	c->run = j->row.run;
	c->subnet = j->row.network;
	c->gateway = qjob_address(j, QUEUE_GATEWAY_HOST, gateway);
	c->address = qjob_address(j, QUEUE_AGENT_HOST, agent);
	c->memory = j->row.memory;
	c->cpus_milli = j->row.cpus_milli;
	c->pids = j->row.pids;
	c->workspace = j->row.workspace;
	c->tmp = j->row.workspace / TMP_SHARE;
	call_send(queue.engine, &m, j, QUEUE_ENGINE_MS, container_made);
}

static void
drive_opened(struct qjob *j)
{
	if (!j->egress_open)
		egress_open(j);
	else if (!j->door)
		make_door(j);
	else if (!j->fed)
		qjob_hand_over(j);
	else
		create(j);
}

/* --- found running ------------------------------------------------------- */

static void
expect(struct qjob *j, int64_t pid)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_job_expect;
	m.u.job_expect.run = j->row.run;
	m.u.job_expect.pid = pid;
	sibling_send(queue.runs, &m);
	j->expected = true;
}

static void
found(struct qjob *j, const struct msg *m)
{
	if (m == NULL || m->type != MSG_TYPE_engine_state) {
		qjob_retry(j);
		return;
	}
	qjob_engine_state(j, &m->u.engine_state);
	if (j->container == CONTAINER_RUNNING && m->u.engine_state.pid > 0)
		expect(j, m->u.engine_state.pid);
	qjob_drive(j);
}

bool
qjob_attach(struct qjob *j)
{
	struct msg m;

	if (j->expected || j->container_gone)
		return true;
	if (!j->door)
		make_door(j);
	else if (!j->fed)
		qjob_hand_over(j);
	else {
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_engine_inspect;
		m.u.engine_inspect.run = j->row.run;
		m.u.engine_inspect.container = j->row.container;
		call_send(queue.engine, &m, j, QUEUE_ENGINE_MS, found);
	}
	return false;
}

/* --- CREATED: start ---------------------------------------------------- */

static void
container_started(struct qjob *j, const struct msg *m)
{
	const struct msg_engine_state *s;

	if (m == NULL || m->type != MSG_TYPE_engine_state) {
		if (m != NULL && strcmp(m->u.error.error, "unavailable") != 0)
			qjob_requeue(j, m->u.error.reason);
		else
			qjob_retry(j);
		return;
	}
	s = &m->u.engine_state;
	j->container = queue_container_parse(s->status);
	if (j->container != CONTAINER_RUNNING || s->pid == 0) {
		qjob_requeue(
		    j, s->error[0] != '\0' ? s->error : "it ended at once");
		return;
	}
	j->started = true;
	if (!qjob_step(j, STATE_GATED, "started, pid %lld", (long long)s->pid))
		return;
	expect(j, s->pid);
	qjob_drive(j);
}

static void
drive_created(struct qjob *j)
{
	struct msg m;

	/* An adopted one has not been fed, or its doors are not open. */
	if (!j->egress_open || !j->door || !j->fed) {
		drive_opened(j);
		return;
	}
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_engine_start;
	m.u.engine_start.run = j->row.run;
	m.u.engine_start.container = j->row.container;
	call_send(queue.engine, &m, j, QUEUE_ENGINE_MS, container_started);
}

/* --- GATED: the proof -------------------------------------------------- */

static void
drive_gated(struct qjob *j)
{
	if (!qjob_attach(j))
		return;
	if (j->proof_bad)
		qjob_end(
		    j, CLASS_BOUNDARY_VIOLATION, "the boundary did not hold");
	else if (j->container_gone)
		qjob_requeue(j, "its container ended before it was released");
	else if (j->proved)
		(void)qjob_step(j, STATE_COMMITTED, "proved");
	else if (clock_boot_ms() - j->state_at > QUEUE_PROOF_MS)
		qjob_requeue(j, "no proof in time");
}

/* --- driving ----------------------------------------------------------- */

void
qjob_drive_start(struct qjob *j)
{
	if (j->row.state == STATE_ADMITTED)
		drive_admitted(j);
	else if (j->row.state == STATE_OPENED)
		drive_opened(j);
	else if (j->row.state == STATE_CREATED)
		drive_created(j);
	else
		drive_gated(j);
}
