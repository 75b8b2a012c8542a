/* Clients that wait for a run, and who stops one. */

#include <stdlib.h>
#include <string.h>

#include "dispatchd/queue.h"

struct watcher {
	TAILQ_ENTRY(watcher) entry;
	int64_t id;
	char run[RUNID_LEN + 1];
};

static TAILQ_HEAD(, watcher) watchers = TAILQ_HEAD_INITIALIZER(watchers);
static size_t nwatchers;

void
client_refuse(int64_t id, const char *code, const char *reason)
{
	peer_send_error(queue.frontend, id, code, reason);
}

const char *
client_store_code(void)
{
	switch (queue_store_error(queue.store)) {
	case STORE_CONFLICT:
		return "conflict";
	case STORE_LIMIT:
		return "limit";
	case STORE_ABSENT:
		return "no_run";
	default:
		return "storage";
	}
}

/* --- wait ---------------------------------------------------------------- */

static void
watcher_tell(
    const struct watcher *x, const struct queue_row *row, const char *detail)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_run_event;
	m.id = x->id;
	m.u.run_event.run = row->run;
	m.u.run_event.state = queue_state_name(row->state);
	m.u.run_event.detail = detail;
	sibling_send(queue.frontend, &m);
}

void
client_wait(int64_t id, const struct msg_wait *w)
{
	struct queue_row row;
	struct watcher *x;

	if (!runid_valid(w->run) ||
	    queue_store_get(queue.store, w->run, &row) == -1) {
		client_refuse(id, "no_run", "there is no run of that id");
		return;
	}
	if (row.state == STATE_DONE) {
		client_tell_over(id, &row);
		return;
	}
	if (nwatchers >= QUEUE_WATCHERS_MAX ||
	    (x = calloc(1, sizeof(*x))) == NULL) {
		client_refuse(id, "limit", "too many wait");
		return;
	}
	x->id = id;
	strlcpy(x->run, w->run, sizeof(x->run));
	TAILQ_INSERT_TAIL(&watchers, x, entry);
	nwatchers++;
	watcher_tell(x, &row, NULL);
}

static void
watcher_free(struct watcher *x)
{
	TAILQ_REMOVE(&watchers, x, entry);
	nwatchers--;
	free(x);
}

/* Every wait gets one answer: what is not here any more has had its own. */
void
client_forget(int64_t id)
{
	struct watcher *x;

	TAILQ_FOREACH(x, &watchers, entry) {
		if (x->id == id)
			break;
	}
	if (x == NULL)
		return;
	watcher_free(x);
	client_refuse(id, "aborted", "nobody waits for it any more");
}

void
client_event(const struct queue_row *row, const char *detail)
{
	struct watcher *x;

	TAILQ_FOREACH(x, &watchers, entry) {
		if (strcmp(x->run, row->run) == 0)
			watcher_tell(x, row, detail);
	}
}

void
client_over(const struct queue_row *row)
{
	struct watcher *x, *next;

	TAILQ_FOREACH_SAFE(x, &watchers, entry, next) {
		if (strcmp(x->run, row->run) != 0)
			continue;
		client_tell_over(x->id, row);
		watcher_free(x);
	}
}

/* --- stop --------------------------------------------------------------- */

static void
stopped(int64_t id, enum queue_state state)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_stop_answer;
	m.id = id;
	m.u.stop_answer.state = queue_state_name(state);
	sibling_send(queue.frontend, &m);
}

/* It waits still: nothing has to be undone. */
static int
cancel_queued(struct queue_row *row)
{
	struct queue_time now;

	queue_time_now(&now);
	row->class = row->stop = CLASS_CANCELLED;
	strlcpy(row->reason, "cancelled before it began", sizeof(row->reason));
	if (queue_store_step(queue.store, row, STATE_DONE, row->reason, &now) ==
	    -1)
		return -1;
	queue_record_step(row, STATE_QUEUED, row->reason);
	client_event(row, NULL);
	client_over(row);
	return 0;
}

/*
 * It is at work, and we have not met the engine since we began: what is on
 * disk is found then.
 */
static int
stop_later(struct queue_row *row)
{
	if (row->state >= STATE_EXITED || row->class != CLASS_NONE ||
	    row->stop != CLASS_NONE)
		return 0;
	row->stop = CLASS_CANCELLED;
	strlcpy(row->reason, "somebody stopped it", sizeof(row->reason));
	return queue_store_save(queue.store, row);
}

/*
 * By whom. The stop itself waits for no record: a full disk must not keep a
 * run going. Who stops once more stops nothing.
 */
static void
record_stop(const struct queue_row *row, const struct msg_job_halt *s)
{
	struct msg m;

	if (row->stop != CLASS_NONE || row->class != CLASS_NONE)
		return;
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rec_run_stop;
	m.u.rec_run_stop.run = row->run;
	m.u.rec_run_stop.peer_uid = s->peer_uid;
	m.u.rec_run_stop.peer_pid = s->peer_pid;
	m.u.rec_run_stop.state = queue_state_name(row->state);
	audit_client_send_lasting(queue.audit, &m, NULL, NULL);
}

void
client_stop(int64_t id, const struct msg_job_halt *s)
{
	enum queue_state state;
	struct queue_row row;
	struct qjob *j;

	if (!runid_valid(s->run) ||
	    queue_store_get(queue.store, s->run, &row) == -1) {
		client_refuse(id, "no_run", "there is no run of that id");
		return;
	}
	state = row.state;
	record_stop(&row, s);
	if ((j = qjob_find(s->run)) != NULL) {
		stopped(id, state);
		qjob_stop(j, CLASS_CANCELLED, "somebody stopped it");
	} else if ((state == STATE_QUEUED ? cancel_queued(&row)
	                                  : stop_later(&row)) == -1)
		client_refuse(
		    id, client_store_code(), queue_store_why(queue.store));
	else
		stopped(id, state);
}
