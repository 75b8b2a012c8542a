/*
 * What there is when we start: rows that are live, and what the engine has.
 * Each row meets its container, and queue_recover decides. Objects that no row
 * accounts for are removed when they carry our label, and else left alone.
 */

#include <stdlib.h>
#include <string.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"

#include "dispatchd/queue.h"

static void list(void);
static void info_again(int, short, void *);

static struct event *again;

/* --- one row ------------------------------------------------------------ */

/*
 * The container lives, and so may PID 1: it comes back by itself. Its door and
 * its words are made anew, as ours went with us.
 */
static void
adopt(struct qjob *j, int64_t pid)
{
	j->started = j->row.state >= STATE_GATED;
	j->created = j->row.state >= STATE_CREATED;
	j->gone_at = clock_boot_ms();
	/*
	 * COMMITTED is on disk; whether it came to be on record, nobody told
	 * us. Without that the tool may not begin, though it may have.
	 */
	j->record_due = j->row.state == STATE_COMMITTED;
	j->told = j->row.state >= STATE_COMMITTED;
	qjob_tell_stop(j);
}

static const char *
status_of(const struct msg_engine_listed *l, const char *run)
{
	size_t i;

	for (i = 0; i < l->containers.n; i++) {
		if (strcmp(l->containers.k[i], run) == 0)
			return l->containers.v[i];
	}
	return "absent";
}

static bool
rebooted(const struct queue_row *row)
{
	struct queue_time now;

	queue_time_now(&now);
	return strcmp(row->boot_id, now.boot_id) != 0;
}

static void
situation(struct qjob *j, const char *status, struct queue_situation *s)
{
	memset(s, 0, sizeof(*s));
	s->state = j->row.state;
	s->released = j->row.released;
	s->container = j->container = queue_container_parse(status);
	s->exit78 = j->row.pid1_exit == QUEUE_EXIT_NOTHING;
	s->connected = j->connected;
	s->overdue = clock_boot_ms() - j->state_at > QUEUE_RECONNECT_MS;
	s->rebooted = rebooted(&j->row);
}

static void
act(struct qjob *j, enum queue_action a)
{
	log_info("run %s, %s, container %d: %s", j->row.run,
	    queue_state_name(j->row.state), (int)j->container,
	    queue_action_name(a));
	switch (a) {
	case ACTION_NOTHING:
		break;
	case ACTION_REQUEUE:
	case ACTION_KILL_REQUEUE:
		if (j->row.stop != CLASS_NONE)
			qjob_end(j, j->row.stop, "%s", j->row.reason);
		else
			qjob_requeue(j, "found so at the start");
		break;
	case ACTION_ADOPT:
	case ACTION_WAIT:
		adopt(j, 0);
		qjob_drive(j);
		break;
	case ACTION_HARVEST:
		adopt(j, 0);
		j->container_gone = true;
		qjob_drive(j);
		break;
	case ACTION_LOST:
		qjob_end(
		    j, CLASS_LOST_INFRA, "what became of it cannot be told");
		break;
	case ACTION_CLOSE:
		j->container_gone = true;
		qjob_drive(j);
		break;
	case ACTION_REMOVE:
		j->removing = true;
		qjob_drive(j);
		break;
	case ACTION_MAX:
		panic("no such action");
	}
}

/* --- all of them ---------------------------------------------------------- */

struct live {
	struct queue_row *rows;
	size_t n;
};

static bool
collect(const struct queue_row *row, void *arg)
{
	struct live *l = arg;

	if (l->n == QUEUE_LIVE_MAX)
		return false;
	l->rows[l->n++] = *row;
	return true;
}

/* What the list does not tell: with which status it ended, or where it is. */
static void
looked(struct qjob *j, const struct msg *m)
{
	struct queue_situation s;

	if (m == NULL || m->type != MSG_TYPE_engine_state) {
		qjob_retry(j);
		adopt(j, 0);
		return;
	}
	j->oom = m->u.engine_state.oom;
	j->row.pid1_exit = m->u.engine_state.exit_code;
	situation(j, m->u.engine_state.status, &s);
	act(j, queue_recover(&s));
}

static void
meet(const struct queue_row *row, const struct msg_engine_listed *l)
{
	struct queue_need n = { row->memory, row->cpus_milli, row->pids };
	struct queue_situation s;
	struct qjob *j = qjob_new(row);
	struct msg m;

	queue_admit_use(&queue.admission, &n);
	situation(j, status_of(l, row->run), &s);
	/* The list goes by names; one that was renamed still has its id. */
	if (s.container == CONTAINER_EXITED ||
	    (s.container == CONTAINER_ABSENT && row->container[0] != '\0')) {
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_engine_inspect;
		m.u.engine_inspect.run = j->row.run;
		m.u.engine_inspect.container = j->row.container;
		call_send(queue.engine, &m, j, QUEUE_ENGINE_MS, looked);
		return;
	}
	act(j, queue_recover(&s));
}

/* Ours by its label, and no live row's: it is in the way of nothing. */
static void
remove_stray(const char *run)
{
	struct queue_row row;
	struct msg m;

	if (qjob_find(run) != NULL)
		return;
	/* Two keys: the label, which the engine has looked at, and a row. */
	if (queue_store_get(queue.store, run, &row) == -1) {
		log_warnx("container of run %s, which this queue does not "
		          "know: left alone",
		    run);
		return;
	}
	log_info("run %s is over: removing what is left of it", run);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_engine_remove;
	m.u.engine_remove.run = run;
	m.u.engine_remove.container = row.container;
	call_send(queue.engine, &m, NULL, QUEUE_ENGINE_MS, NULL);
}

static void
listed(struct qjob *unused, const struct msg *m)
{
	const struct msg_engine_listed *l;
	struct live live = { NULL, 0 };
	size_t i;

	if (m == NULL || m->type != MSG_TYPE_engine_listed) {
		log_warnx("the engine does not tell what it has: %s",
		    m != NULL ? m->u.error.reason : "no answer");
		info_again(-1, 0, NULL);
		return;
	}
	l = &m->u.engine_listed;
	for (i = 0; i < l->foreign.n; i++)
		log_warnx("engine: %s: left alone", l->foreign.v[i]);
	live.rows = calloc(QUEUE_LIVE_MAX, sizeof(*live.rows));
	if (live.rows == NULL ||
	    queue_store_each(queue.store, FILTER_LIVE, 0, QUEUE_LIVE_MAX,
	        collect, &live) == -1)
		fatalx("the live runs cannot be read: %s",
		    queue_store_why(queue.store));
	queue.engine_ready = true;
	for (i = 0; i < live.n; i++) {
		if (qjob_find(live.rows[i].run) == NULL)
			meet(&live.rows[i], l);
	}
	free(live.rows);
	for (i = 0; i < l->containers.n; i++)
		remove_stray(l->containers.k[i]);
	for (i = 0; i < l->networks.n; i++)
		remove_stray(l->networks.k[i]);
	egress_all();
	qjob_admit_all();
}

static void
list(void)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_engine_list;
	call_send(queue.engine, &m, NULL, QUEUE_ENGINE_MS, listed);
}

static void
informed(struct qjob *unused, const struct msg *m)
{
	struct timeval tv = { QUEUE_RETRY_MS / 1000, 0 };
	size_t i;

	engine_informed(m);
	if (m == NULL || m->type != MSG_TYPE_engine_info_answer) {
		log_warnx("the engine is not to be used: %s",
		    m != NULL ? m->u.error.reason : "no answer");
		evtimer_add(again, &tv);
		return;
	}
	strlcpy(
	    queue.image, m->u.engine_info_answer.image_id, sizeof(queue.image));
	for (i = 0; i < m->u.engine_info_answer.warnings.n; i++)
		log_warnx("engine: %s", m->u.engine_info_answer.warnings.v[i]);
	log_info("engine %s, API %s, image %.19s",
	    m->u.engine_info_answer.version, m->u.engine_info_answer.api,
	    queue.image[0] != '\0' ? queue.image : "none");
	list();
}

static void
info_again(int fd, short what, void *arg)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_engine_info;
	call_send(queue.engine, &m, NULL, QUEUE_ENGINE_MS, informed);
}

void
recover_begin(void)
{
	again = evtimer_new(queue.base, info_again, NULL);
	if (again == NULL)
		fatalx("out of memory");
	engine_asked();
	info_again(-1, 0, NULL);
}

/* --- hints ---------------------------------------------------------------- */

static void
hinted(struct qjob *j, const struct msg *m)
{
	if (m != NULL && m->type == MSG_TYPE_engine_state)
		qjob_engine_state(j, &m->u.engine_state);
	qjob_drive(j);
}

static void
look_at(struct qjob *j)
{
	struct msg m;

	if (call_waits(j))
		return;
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_engine_inspect;
	m.u.engine_inspect.run = j->row.run;
	m.u.engine_inspect.container = j->row.container;
	call_send(queue.engine, &m, j, QUEUE_ENGINE_MS, hinted);
}

static void
external(const struct qjob *j, const char *detail)
{
	struct msg m;

	log_warnx("run %s: somebody else: %s", j->row.run, detail);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rec_external;
	m.u.rec_external.run = j->row.run;
	m.u.rec_external.what = detail;
	audit_client_send_lasting(queue.audit, &m, NULL, NULL);
}

void
recover_event(const struct msg_engine_event *e)
{
	struct qjob *j, *next;

	if (e->run == NULL) {
		if (strcmp(e->what, "reconnected") != 0)
			return;
		/* What happened meanwhile nobody told. */
		TAILQ_FOREACH_SAFE(j, &queue.jobs, entry, next) {
			if (j->started && !j->removing)
				look_at(j);
		}
		return;
	}
	if ((j = qjob_find(e->run)) == NULL)
		return;
	if (strcmp(e->what, "oom") == 0)
		j->oom = true;
	if (strcmp(e->what, "external") == 0)
		external(j, e->detail != NULL ? e->detail : "unknown");
	if (j->started && !j->removing)
		look_at(j);
}
