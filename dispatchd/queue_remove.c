/*
 * Ended runs that are forgotten: one after another, whoever wants it. First
 * it is on record, then the files go, then the row; what ends us in between
 * leaves a row, and so one to begin with again.
 *
 * What keep_runs and keep_days let go is looked for at the end of each run and
 * from time to time, and taken one at a time. A bundle that nobody fetched
 * stays, and its run with it.
 */

#include <stdlib.h>
#include <string.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"

#include "dispatchd/queue.h"

#define REMOVALS_MAX 64 /* that clients may wait for */
#define PRUNE_MS 60000 /* what may go is looked for so often */
/*
 * How old a run of another boot is, only the wall clock tells, and that may be
 * wrong: it costs one run an hour of its being so, and none at the start.
 */
#define PRUNE_OTHER_BOOT_MS (60 * 60 * 1000)

struct removal {
	TAILQ_ENTRY(removal) entry;
	int64_t id; /* of the client's request */
	int64_t uid, pid; /* whose it is */
	const char *key; /* NULL: a client wants it */
	struct queue_row row;
};

static TAILQ_HEAD(, removal) removals = TAILQ_HEAD_INITIALIZER(removals);
static size_t nremovals;
static bool busy; /* the first one is under way */
static int64_t look_at, other_boot_at; /* boot ms */

static const char no_record[] = "it cannot be put on record";

static void next(void);

static struct removal *
removal_new(const struct queue_row *row)
{
	struct removal *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->row = *row;
	TAILQ_INSERT_TAIL(&removals, r, entry);
	nremovals++;
	return r;
}

/* code NULL: it is gone. */
static void
removal_end(struct removal *r, const char *code, const char *why)
{
	struct msg m;

	if (code != NULL)
		log_warnx("run %s stays: %s", r->row.run, why);
	if (r->key == NULL && code != NULL)
		client_refuse(r->id, code, why);
	else if (r->key == NULL) {
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_rm_answer;
		m.id = r->id;
		sibling_send(queue.frontend, &m);
	} else if (code == NULL)
		look_at = 0;
	TAILQ_REMOVE(&removals, r, entry);
	nremovals--;
	free(r);
	busy = false;
}

static void
files_gone(struct qjob *unused, const struct msg *m)
{
	struct removal *r = TAILQ_FIRST(&removals);

	if (m == NULL || m->type != MSG_TYPE_job_closed)
		removal_end(r, "unavailable",
		    m != NULL ? m->u.error.reason : "its files are there yet");
	else if (queue_store_delete(queue.store, r->row.run) == -1 &&
	    queue_store_error(queue.store) != STORE_ABSENT)
		removal_end(r, "storage", queue_store_why(queue.store));
	else {
		log_info("run %s is forgotten: %s", r->row.run,
		    r->key != NULL ? r->key : "somebody asked for it");
		removal_end(r, NULL, NULL);
	}
	next();
}

static void
recorded(bool ok, void *arg)
{
	struct removal *r = arg;
	struct msg m;

	if (!ok) {
		removal_end(r, "unrecordable", no_record);
		next();
		return;
	}
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_job_close;
	m.u.job_close.run = r->row.run;
	m.u.job_close.remove = true;
	call_send(queue.runs, &m, NULL, QUEUE_CALL_MS, files_gone);
}

static struct msg
record_of(const struct removal *r)
{
	const struct queue_row *row = &r->row;
	struct msg m;

	memset(&m, 0, sizeof(m));
	if (r->key != NULL) {
		m.type = MSG_TYPE_rec_prune;
		m.u.rec_prune.run = row->run;
		m.u.rec_prune.key = r->key;
		m.u.rec_prune.class = queue_class_name(row->class);
		m.u.rec_prune.bundle_bytes = row->bundle_bytes;
		return m;
	}
	m.type = MSG_TYPE_rec_remove;
	m.u.rec_remove.run = row->run;
	m.u.rec_remove.peer_uid = r->uid;
	m.u.rec_remove.peer_pid = r->pid;
	m.u.rec_remove.class = queue_class_name(row->class);
	m.u.rec_remove.bundle_bytes = row->bundle_bytes;
	m.u.rec_remove.fetched = row->fetched;
	return m;
}

static void
next(void)
{
	struct removal *r;
	struct msg m;

	while (!busy && (r = TAILQ_FIRST(&removals)) != NULL) {
		m = record_of(r);
		busy = audit_client_send(queue.audit, &m, recorded, r) == 0;
		if (!busy)
			removal_end(r, "unrecordable", no_record);
	}
}

/* --- what clients want --------------------------------------------------- */

void
client_rm(int64_t id, const struct msg_job_rm *m)
{
	struct queue_row row;
	struct removal *r;

	if (!runid_valid(m->run) ||
	    queue_store_get(queue.store, m->run, &row) == -1) {
		peer_send_error(
		    queue.frontend, id, "no_run", "there is no run of that id");
		return;
	}
	if (row.state != STATE_DONE) {
		client_refuse(id, "busy", "the run is not over: stop it first");
		return;
	}
	if (nremovals >= REMOVALS_MAX || (r = removal_new(&row)) == NULL) {
		client_refuse(id, "limit", "too many runs are being removed");
		return;
	}
	r->id = id;
	r->uid = m->peer_uid;
	r->pid = m->peer_pid;
	next();
}

void
client_fetched(const struct msg_bundle_fetched *m)
{
	struct queue_row disk, *row = &disk;
	struct qjob *j = qjob_find(m->run);

	if (j != NULL)
		row = &j->row;
	else if (queue_store_get(queue.store, m->run, &disk) == -1)
		return;
	/* What was handed out is this, and not what was there before. */
	if (row->fetched || strcmp(row->bundle_sha256, m->sha256) != 0)
		return;
	row->fetched = true;
	if (queue_store_save(queue.store, row) == -1) {
		log_warnx("run %s: that its bundle was fetched: %s", m->run,
		    queue_store_why(queue.store));
		if (j == NULL || queue_store_failed(queue.store))
			return;
	}
	log_info("run %s: its bundle was fetched", m->run);
	prune_soon();
}

/* --- what may go by itself ------------------------------------------------ */

static bool
beyond(struct queue_row *row)
{
	return queue_store_beyond(queue.store, queue.config->keep_runs, row) ==
	    1;
}

static bool
aged(struct queue_row *row, bool *other_boot)
{
	bool others = clock_boot_ms() >= other_boot_at;
	struct queue_time now;

	queue_time_now(&now);
	if (queue_store_aged(
	        queue.store, queue.config->keep_days, &now, others, row) != 1)
		return false;
	*other_boot = strcmp(row->boot_id, now.boot_id) != 0;
	return true;
}

void
prune_soon(void)
{
	look_at = 0;
}

void
prune_begin(void)
{
	other_boot_at = clock_boot_ms() + PRUNE_OTHER_BOOT_MS;
}

/* At most one a turn, and none while another removal is under way. */
void
prune_tick(void)
{
	int64_t now = clock_boot_ms();
	bool other_boot = false;
	struct queue_row row;
	struct removal *r;
	const char *key;

	if (now < look_at || nremovals > 0 || queue_store_failed(queue.store))
		return;
	look_at = now + PRUNE_MS;
	if (beyond(&row))
		key = "keep_runs";
	else if (aged(&row, &other_boot))
		key = "keep_days";
	else
		return;
	if ((r = removal_new(&row)) == NULL)
		return;
	if (other_boot)
		other_boot_at = now + PRUNE_OTHER_BOOT_MS;
	r->key = key;
	next();
}
