/*
 * What a run hands back, and what that makes of it. Its bundle is stored before
 * we hear of it, and what we hear may be lost with us: of one that did not tell
 * runs is asked before it is taken for one without.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"

#include "dispatchd/queue.h"

/* --- found stored ----------------------------------------------------------
 */

static void
take_stored(struct qjob *j, const struct msg_job_stored_answer *a)
{
	if (a->bytes == 0 || j->bundled)
		return;
	log_info("run %s: its bundle of %lld bytes is stored, which nobody "
	         "told in time",
	    j->row.run, (long long)a->bytes);
	j->bundled = j->has_bundle = true;
	j->row.bundle_bytes = a->bytes;
	strlcpy(j->row.bundle_sha256, a->sha256, sizeof(j->row.bundle_sha256));
	if (j->row.reason[0] == '\0' && j->exit_reason[0] == '\0')
		strlcpy(j->row.reason,
		    "how it ended cannot be told; its bundle is stored",
		    sizeof(j->row.reason));
}

static void
stored(struct qjob *j, const struct msg *m)
{
	if (m == NULL ||
	    (m->type != MSG_TYPE_job_stored_answer &&
	        strcmp(m->u.error.error, "limit") == 0)) {
		qjob_retry(j);
		return;
	}
	j->looked = true;
	if (m->type == MSG_TYPE_job_stored_answer)
		take_stored(j, &m->u.job_stored_answer);
	else
		log_warnx("run %s: what is stored of it: %s", j->row.run,
		    m->u.error.reason);
	qjob_drive(j);
}

bool
qjob_ask_stored(struct qjob *j)
{
	struct msg m;

	if (j->looked || j->bundled || j->again ||
	    j->row.state < STATE_COMMITTED || j->row.state >= STATE_HARVESTED)
		return false;
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_job_stored;
	m.u.job_stored.run = j->row.run;
	call_send(queue.runs, &m, j, QUEUE_HARVEST_MS, stored);
	return true;
}

/* --- EXITED -------------------------------------------------------------- */

static void
decide(struct qjob *j)
{
	struct queue_exit e;

	if (j->row.class != CLASS_NONE)
		return;
	memset(&e, 0, sizeof(e));
	e.stop = j->row.stop;
	e.reason = j->exit_reason;
	e.exit_code = (int)j->row.exit_code;
	e.signal = (int)j->row.signal;
	e.oom = j->oom;
	e.repo = j->row.url[0] != '\0';
	e.bundle = j->has_bundle;
	e.lost = j->bundled ? (j->lost[0] != '\0' ? j->lost : NULL) : "";
	j->row.class = queue_class_of(&e);
	if (j->row.class == CLASS_AGENT_FAILED && j->row.signal > 0 &&
	    j->row.reason[0] == '\0')
		snprintf(j->row.reason, sizeof(j->row.reason),
		    "the tool was ended by signal %lld",
		    (long long)j->row.signal);
}

void
qjob_drive_exited(struct qjob *j)
{
	bool late = clock_boot_ms() - j->state_at > QUEUE_HARVEST_MS;

	/* The bundle comes by our own door; nothing of it needs the way out. */
	if (!j->egress_down && !j->shut_tried) {
		egress_shut(j);
		return;
	}
	if (!j->bundled && !j->container_gone && !late)
		return;
	if (qjob_ask_stored(j))
		return;
	decide(j);
	if (!j->bundled && j->row.url[0] != '\0' && j->row.reason[0] == '\0')
		strlcpy(j->row.reason, "its branch could not be had",
		    sizeof(j->row.reason));
	if (qjob_step(j, STATE_HARVESTED,
	        j->has_bundle ? "bundle %.12s, %lld bytes"
	                      : "no bundle%.0s%.0lld",
	        j->row.bundle_sha256, (long long)j->row.bundle_bytes))
		qjob_drive(j);
}

void
qjob_bundle(struct qjob *j, const struct msg_job_bundle *m)
{
	if (j->bundled)
		return;
	j->bundled = true;
	j->has_bundle = m->bytes > 0;
	strlcpy(j->lost, m->lost, sizeof(j->lost));
	/* Without a repository there is none to miss; a tool says more. */
	if (m->why != NULL && j->row.url[0] != '\0' && j->row.reason[0] == '\0')
		strlcpy(j->row.reason, m->why, sizeof(j->row.reason));
	j->row.bundle_bytes = m->bytes;
	strlcpy(j->row.bundle_sha256, m->sha256, sizeof(j->row.bundle_sha256));
	strlcpy(j->row.base_commit, m->base, sizeof(j->row.base_commit));
	strlcpy(j->row.head, m->head, sizeof(j->row.head));
	qjob_drive(j);
}
