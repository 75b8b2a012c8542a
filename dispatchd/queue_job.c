/*
 * The table of runs that are live, and how each comes to its next state: the
 * row first, then its record, then what it stands for, so that whatever ends us
 * leaves a row that tells what there may be.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"
#include "libcommon/mem.h"

#include "dispatchd/queue.h"

/* --- the table -------------------------------------------------------- */

struct qjob *
qjob_find(const char *run)
{
	struct qjob *j;

	TAILQ_FOREACH(j, &queue.jobs, entry) {
		if (strcmp(j->row.run, run) == 0)
			return j;
	}
	return NULL;
}

struct queue_need
qjob_need(const struct queue_row *row)
{
	struct queue_need n = { row->memory, row->cpus_milli, row->pids };

	return n;
}

/* A run that is live; its resources are counted by the caller. */
struct qjob *
qjob_new(const struct queue_row *row)
{
	struct qjob *j = xcalloc(1, sizeof(*j));

	j->row = *row;
	j->state_at = clock_boot_ms();
	j->container = CONTAINER_UNKNOWN;
	strlcpy(j->phase, "none", sizeof(j->phase));
	TAILQ_INSERT_TAIL(&queue.jobs, j, entry);
	queue.njobs++;
	return j;
}

void
qjob_free(struct qjob *j)
{
	struct queue_need n = qjob_need(&j->row);

	call_forget(j);
	queue_admit_release(&queue.admission, &n);
	TAILQ_REMOVE(&queue.jobs, j, entry);
	queue.njobs--;
	free(j);
}

/* --- states ----------------------------------------------------------- */

bool
qjob_step(struct qjob *j, enum queue_state to, const char *fmt, ...)
{
	enum queue_state from = j->row.state;
	char evidence[QUEUE_EVIDENCE_MAX / 2];
	struct queue_time now;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(evidence, sizeof(evidence), fmt, ap);
	va_end(ap);
	queue_time_now(&now);
	if (queue_store_step(queue.store, &j->row, to, evidence, &now) == -1) {
		log_warnx("run %s: %s to %s: %s", j->row.run,
		    queue_state_name(from), queue_state_name(to),
		    queue_store_why(queue.store));
		qjob_retry(j);
		return false;
	}
	log_info("run %s: %s -> %s: %s", j->row.run, queue_state_name(from),
	    queue_state_name(to), evidence);
	j->state_at = clock_boot_ms();
	j->retry_ms = 0;
	j->retry_at = 0;
	if (to == STATE_COMMITTED)
		queue_record_commit(j, evidence);
	else
		queue_record_step(&j->row, from, evidence);
	client_event(&j->row, NULL);
	return true;
}

void
qjob_retry(struct qjob *j)
{
	j->retry_ms = j->retry_ms == 0 ? QUEUE_RETRY_MS : j->retry_ms * 2;
	if (j->retry_ms > QUEUE_RETRY_MAX_MS)
		j->retry_ms = QUEUE_RETRY_MAX_MS;
	j->retry_at = clock_boot_ms() + j->retry_ms;
}

/* --- addresses -------------------------------------------------------- */

const char *
qjob_address(const struct qjob *j, unsigned n, char buf[NETADDR_TEXT_MAX])
{
	struct netprefix p;
	struct netaddr a;

	if (netprefix_parse(j->row.network, strlen(j->row.network), &p) == -1)
		panic("run %s has no network", j->row.run);
	a = p.addr;
	a.b[3] = (uint8_t)(a.b[3] + n);
	return netaddr_text(&a, buf);
}

/* --- driving ----------------------------------------------------------- */

void
qjob_drive(struct qjob *j)
{
	if (call_waits(j) || clock_boot_ms() < j->retry_at)
		return;
	/* Somebody ends it, or it has ended: another file's business. */
	if (j->row.class != CLASS_NONE || j->row.stop != CLASS_NONE ||
	    j->removing) {
		qjob_drive_end(j);
		return;
	}
	switch (j->row.state) {
	case STATE_ADMITTED:
	case STATE_OPENED:
	case STATE_CREATED:
	case STATE_GATED:
		qjob_drive_start(j);
		break;
	case STATE_QUEUED:
	case STATE_MAX:
		break;
	case STATE_COMMITTED:
	case STATE_RUNNING:
	case STATE_EXITED:
	case STATE_HARVESTED:
	case STATE_PUBLISHING:
	case STATE_PUBLISHED:
	case STATE_CLOSED:
	case STATE_DONE:
		qjob_drive_end(j);
		break;
	}
}
