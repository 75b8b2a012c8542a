/* What the process runs tells of PID 1. What that claims decides no grant. */

#include <string.h>

#include "libcommon/agent.h"
#include "libcommon/clock.h"
#include "libcommon/json.h"
#include "libcommon/log.h"

#include "dispatchd/queue.h"

static void
record_proof(const struct qjob *j, const struct msg_job_proof *p)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rec_proof;
	m.u.rec_proof.run = j->row.run;
	m.u.rec_proof.ok = p->ok;
	m.u.rec_proof.checks = p->checks;
	audit_client_send_lasting(queue.audit, &m, NULL, NULL);
}

/* The map as text beside the row, for show: "check\toutcome\n" each. */
static void
note_proof(struct qjob *j, const struct msg_job_proof *p)
{
	char text[64 * (256 + 256 + 2) + 1];
	size_t i;

	text[0] = '\0';
	for (i = 0; i < p->checks.n; i++) {
		strlcat(text, p->checks.k[i], sizeof(text));
		strlcat(text, "\t", sizeof(text));
		strlcat(text, p->checks.v[i], sizeof(text));
		strlcat(text, "\n", sizeof(text));
	}
	if (queue_store_note(queue.store, j->row.run, "proof", text) == -1)
		log_warnx("run %s: its proof: %s", j->row.run,
		    queue_store_why(queue.store));
}

static bool
begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/*
 * All is closed, but the proxy did not answer: egressd was away just then. No
 * boundary is violated by that, and nothing has begun.
 */
static bool
proxy_away(const struct msg_job_proof *p)
{
	bool away = false;
	size_t i;

	for (i = 0; i < p->checks.n; i++) {
		if (!begins(p->checks.v[i], PROOF_VIOLATION) &&
		    !begins(p->checks.v[i], PROOF_NOT_TRIED))
			continue;
		if (strcmp(p->checks.k[i], PROOF_PROXY_CHECK) != 0)
			return false;
		away = true;
	}
	return away;
}

static void
proof(struct qjob *j, const struct msg_job_proof *p)
{
	/* It proves again behind a new link; what was decided stays. */
	if (j->row.state != STATE_GATED || j->proved || j->proof_bad)
		return;
	record_proof(j, p);
	note_proof(j, p);
	if (p->ok)
		j->proved = true;
	else if (proxy_away(p))
		qjob_requeue(j, "its proxy did not answer the proof");
	else
		j->proof_bad = true;
}

static void
link_changed(struct qjob *j, const char *phase)
{
	bool was = j->connected;

	strlcpy(j->phase, phase, sizeof(j->phase));
	j->connected = strcmp(phase, "none") != 0;
	j->gone_at = j->connected ? 0 : clock_boot_ms();
	/* In a phase behind the release it has been released. */
	if (j->connected && strcmp(phase, "new") != 0 &&
	    strcmp(phase, "started") != 0 && j->row.state >= STATE_COMMITTED) {
		j->row.released = true;
		/* When, nobody told us: not before it was committed. */
		if (j->row.begun_boot_ms == 0)
			j->row.begun_boot_ms = j->row.step_boot_ms;
	}
	if (j->connected && !was)
		qjob_tell_stop(j);
}

/* Only what was told to begin has begun. */
static void
released(struct qjob *j)
{
	if (j->row.state < STATE_COMMITTED || !j->told)
		return;
	j->row.released = true;
	if (j->row.begun_boot_ms == 0)
		j->row.begun_boot_ms = clock_boot_ms();
}

static void
output(struct qjob *j, const struct msg_job_output *o)
{
	if (o->bytes != j->row.log_bytes)
		j->output_at = clock_boot_ms();
	j->row.log_bytes = o->bytes;
	j->row.log_kept = o->kept;
	j->row.log_dropped = o->dropped;
}

/* It is about to be served: what there is must be what was recorded. */
static void
bundle_row(int64_t id, const char *run)
{
	struct queue_row disk, *row = &disk;
	struct qjob *j = qjob_find(run);
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_bundle_row_answer;
	m.id = id;
	m.u.bundle_row_answer.sha256 = "";
	if (j != NULL)
		row = &j->row;
	else if (queue_store_get(queue.store, run, &disk) == -1)
		row = NULL;
	if (row != NULL) {
		m.u.bundle_row_answer.bytes = row->bundle_bytes;
		m.u.bundle_row_answer.sha256 = row->bundle_sha256;
	}
	sibling_send(queue.runs, &m);
}

void
queue_dispatch_runs(struct peer *p, struct msg *m, int fd, void *arg)
{
	struct qjob *j;

	if (msg_decl(m->type)->kind == MSG_ANSWER) {
		if (!call_answered(p, m))
			log_debug("an answer of runs that came late");
		return;
	}
	switch (m->type) {
	case MSG_TYPE_job_link:
		if ((j = qjob_find(m->u.job_link.run)) != NULL)
			link_changed(j, m->u.job_link.phase);
		break;
	case MSG_TYPE_job_proof:
		if ((j = qjob_find(m->u.job_proof.run)) != NULL)
			proof(j, &m->u.job_proof);
		break;
	case MSG_TYPE_job_released:
		if ((j = qjob_find(m->u.job_released.run)) != NULL)
			released(j);
		break;
	case MSG_TYPE_job_phase:
		if ((j = qjob_find(m->u.job_phase.run)) != NULL)
			client_event(&j->row, m->u.job_phase.phase);
		break;
	case MSG_TYPE_job_output:
		if ((j = qjob_find(m->u.job_output.run)) != NULL)
			output(j, &m->u.job_output);
		break;
	case MSG_TYPE_job_exited:
		if ((j = qjob_find(m->u.job_exited.run)) != NULL)
			qjob_exited(j, &m->u.job_exited);
		return;
	case MSG_TYPE_job_bundle:
		if ((j = qjob_find(m->u.job_bundle.run)) != NULL)
			qjob_bundle(j, &m->u.job_bundle);
		return;
	case MSG_TYPE_bundle_row:
		bundle_row(m->id, m->u.bundle_row.run);
		return;
	default:
		fatalx("unexpected %s from runs", msg_decl(m->type)->wire);
	}
	if (j != NULL)
		qjob_drive(j);
}
