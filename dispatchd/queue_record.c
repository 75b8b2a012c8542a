/*
 * Steps of runs on record, each of them once. A step is owed from the
 * transaction that took it until audit says that it is written; whoever ends
 * us in between, it is sent again at the next start, and audit knows a step
 * that it has by its number. COMMITTED alone is waited for: behind it the tool
 * begins.
 */

#include <stdlib.h>
#include <string.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"
#include "libcommon/utf8.h"

#include "dispatchd/queue.h"

#define EVIDENCE_MAX 512 /* in a record; the store has more room */
#define WRITTEN_MAX 256 /* told to be written, not yet so in the store */

/* Sent: a step of a run, by its numbers in the store. */
struct sent {
	struct queue_owed owed;
	char run[RUNID_LEN + 1]; /* of a commit, which a job waits for */
	int64_t at; /* its state_at */
};

static struct queue_owed writtens[WRITTEN_MAX];
static size_t nwrittens;
static bool missed; /* one was not sent, or not taken */

static void
settle(void)
{
	if (nwrittens > 0 &&
	    queue_store_recorded(queue.store, writtens, nwrittens) == -1)
		log_warnx("steps stay owed to the records: %s",
		    queue_store_why(queue.store));
	nwrittens = 0;
}

static struct sent *
sent_new(int64_t seq, int64_t nth)
{
	struct sent *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->owed.seq = seq;
	s->owed.nth = nth;
	return s;
}

static void
note_written(const struct queue_owed *o)
{
	if (nwrittens == WRITTEN_MAX)
		settle();
	writtens[nwrittens++] = *o;
}

/* Written, or never to be: then it is not asked for again either. */
static void
written(bool ok, void *arg)
{
	struct sent *s = arg;

	note_written(&s->owed);
	free(s);
}

static void
send_step(const struct msg *m, int64_t seq, int64_t nth)
{
	struct sent *s = sent_new(seq, nth);

	if (s != NULL &&
	    audit_client_send_lasting(queue.audit, m, written, s) == 0)
		return;
	free(s);
	missed = true;
}

/* --- records ------------------------------------------------------------- */

static struct msg
state_record(
    const struct queue_row *row, int64_t nth, const struct queue_step_row *e)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rec_run_state;
	m.u.rec_run_state.run = row->run;
	m.u.rec_run_state.from = e->from;
	m.u.rec_run_state.to = e->to;
	m.u.rec_run_state.class = e->class[0] != '\0' ? e->class : NULL;
	m.u.rec_run_state.evidence = e->evidence;
	m.u.rec_run_state.step = nth;
	return m;
}

static struct msg
accept_record(const struct queue_row *row, int64_t pid)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rec_run_accept;
	m.u.rec_run_accept.run = row->run;
	m.u.rec_run_accept.peer_uid = row->uid;
	m.u.rec_run_accept.peer_pid = pid;
	m.u.rec_run_accept.request = row->request;
	m.u.rec_run_accept.repo = row->repo;
	m.u.rec_run_accept.base = row->base;
	m.u.rec_run_accept.tool = row->tool;
	m.u.rec_run_accept.profile = row->profile;
	m.u.rec_run_accept.prompt_bytes = row->prompt_bytes;
	m.u.rec_run_accept.prompt_sha256 = row->prompt_sha256;
	m.u.rec_run_accept.step = QUEUE_STEP_SUBMITTED;
	return m;
}

/* Whole characters, as many as a record has room for. */
static void
take_evidence(struct queue_step_row *e, const char *text)
{
	size_t len = strlen(text), at = 0, n = 0, k;
	uint32_t cp;

	for (; at < len; at += k == 0 ? 1 : k) {
		k = utf8_decode(text + at, len - at, &cp);
		if (n + (k == 0 ? 1 : k) > EVIDENCE_MAX)
			break;
		if (k == 0)
			e->evidence[n++] = '?';
		else
			memmove(e->evidence + n, text + at, k);
		n += k;
	}
	e->evidence[n] = '\0';
}

/* What the last step of a row was. */
static void
last_step(const struct queue_row *row, enum queue_state from,
    const char *evidence, struct queue_step_row *e)
{
	memset(e, 0, sizeof(*e));
	strlcpy(e->from, queue_state_name(from), sizeof(e->from));
	strlcpy(e->to, queue_state_name(row->state), sizeof(e->to));
	if (row->class != CLASS_NONE)
		strlcpy(
		    e->class, queue_class_name(row->class), sizeof(e->class));
	take_evidence(e, evidence);
}

void
queue_record_accept(const struct queue_row *row, int64_t pid)
{
	struct msg m = accept_record(row, pid);

	send_step(&m, row->seq, QUEUE_STEP_SUBMITTED);
}

void
queue_record_step(
    const struct queue_row *row, enum queue_state from, const char *evidence)
{
	struct queue_step_row e;
	struct msg m;

	last_step(row, from, evidence, &e);
	m = state_record(row, row->steps, &e);
	send_step(&m, row->seq, row->steps);
}

/* --- commits ------------------------------------------------------------- */

/*
 * COMMITTED is on disk; that the tool may begin has to be on record as well.
 * Not recorded, it waits: nothing has begun. The job may be gone by now.
 */
static void
commit_recorded(bool ok, void *arg)
{
	struct sent *s = arg;
	struct qjob *j = qjob_find(s->run);
	bool same = j != NULL && j->row.state == STATE_COMMITTED &&
	    j->state_at == s->at;

	if (ok)
		note_written(&s->owed);
	else
		missed = true;
	free(s);
	if (!same)
		return;
	if (!ok) {
		log_warnx("run %s: its commit is not recorded yet", j->row.run);
		j->record_due = true;
		qjob_retry(j);
		return;
	}
	j->release_due = true;
	qjob_drive(j);
}

static void
commit_unsent(struct qjob *j)
{
	missed = true;
	j->record_due = true;
	qjob_retry(j);
}

void
queue_record_commit(struct qjob *j, const char *evidence)
{
	struct sent *s = sent_new(j->row.seq, j->row.steps);
	struct queue_step_row e;
	struct msg m;

	j->record_due = false;
	if (s == NULL) {
		commit_unsent(j);
		return;
	}
	strlcpy(s->run, j->row.run, sizeof(s->run));
	s->at = j->state_at;
	last_step(&j->row, STATE_GATED, evidence, &e);
	m = state_record(&j->row, j->row.steps, &e);
	if (audit_client_send(queue.audit, &m, commit_recorded, s) == 0)
		return;
	free(s);
	commit_unsent(j);
}

/* --- what is owed --------------------------------------------------------- */

/* A job that waits for its commit to be recorded sees to that itself. */
static bool
waited_for(const struct queue_row *row, int64_t nth)
{
	return row->state == STATE_COMMITTED && row->steps == nth &&
	    qjob_find(row->run) != NULL;
}

void
queue_record_owed(void)
{
	struct queue_owed o = { 0, 0 };
	struct queue_step_row e;
	struct queue_row row;
	struct msg m;
	int r;

	settle();
	missed = false;
	while ((r = queue_store_owed(queue.store, &o, &row, &e)) == 1) {
		if (waited_for(&row, o.nth))
			continue;
		take_evidence(&e, e.evidence);
		m = o.nth == QUEUE_STEP_SUBMITTED
		    ? accept_record(&row, 0)
		    : state_record(&row, o.nth, &e);
		send_step(&m, o.seq, o.nth);
		if (missed)
			return;
	}
	if (r == -1)
		log_warnx("what is owed to the records cannot be read: %s",
		    queue_store_why(queue.store));
}

void
queue_record_tick(void)
{
	settle();
	if (missed && audit_client_healthy(queue.audit) &&
	    audit_client_waiting(queue.audit) == 0)
		queue_record_owed();
}
