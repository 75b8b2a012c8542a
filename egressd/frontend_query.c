/* run.status: the run's sums from its worker, its packets from fw. */

#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"

#include "frontend.h"

struct query {
	TAILQ_ENTRY(query) entry;
	struct client *user;
	int64_t id;
	char run[RUNID_LEN + 1];
	const struct worker *worker;
	int64_t counting; /* request at fw */
	int64_t summing; /* request at the worker, behind it */
	int64_t packets_refused;
	struct event *timer;
};

static TAILQ_HEAD(, query) queries = TAILQ_HEAD_INITIALIZER(queries);
static size_t nqueries;

static void
query_free(struct query *q)
{
	TAILQ_REMOVE(&queries, q, entry);
	nqueries--;
	if (q->timer != NULL)
		event_free(q->timer);
	free(q);
}

static void
query_refuse(struct query *q, const char *code, const char *reason)
{
	peer_send_error(q->user->peer, q->id, code, reason);
	query_free(q);
}

static void
query_late(int fd, short what, void *arg)
{
	struct query *q = arg;

	log_warnx("run %s: no sums in %d ms", q->run, FRONTEND_STATS_MS);
	query_refuse(q, "unavailable", "the sums did not come in time");
}

/* fw has said its part (or there is no fw): the worker's comes last. */
static void
ask_sums(struct query *q)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_run_sums;
	m.id = q->summing = peer_next_id(q->worker->peer);
	m.u.run_sums.run = q->run;
	sibling_send(q->worker->peer, &m);
}

static void
ask_count(struct query *q)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_fw_count;
	m.id = q->counting = peer_next_id(frontend.fw);
	m.u.fw_count.run = q->run;
	sibling_send(frontend.fw, &m);
}

static const char no_run[] = "no run of that id is open";

void
query_begin(struct client *u, int64_t id, const struct msg_run_status *m)
{
	struct timeval tv = { FRONTEND_STATS_MS / 1000, 0 };
	const struct run *r = runs_find(m->run);
	struct query *q;

	if (r == NULL) {
		peer_send_error(u->peer, id, "no_run", no_run);
		return;
	}
	if (nqueries >= FRONTEND_QUERIES_MAX ||
	    (q = calloc(1, sizeof(*q))) == NULL) {
		peer_send_error(
		    u->peer, id, "unavailable", "too many are being answered");
		return;
	}
	TAILQ_INSERT_TAIL(&queries, q, entry);
	nqueries++;
	q->user = u;
	q->id = id;
	strlcpy(q->run, m->run, sizeof(q->run));
	q->worker = runs_worker(r);
	q->timer = evtimer_new(frontend.base, query_late, q);
	if (q->timer == NULL) {
		query_refuse(q, "unavailable", "out of memory");
		return;
	}
	evtimer_add(q->timer, &tv);
	if (frontend.fw != NULL)
		ask_count(q);
	else
		ask_sums(q);
}

void
query_counted(int64_t id, const struct msg_fw_counted *m)
{
	struct query *q;

	TAILQ_FOREACH(q, &queries, entry) {
		if (q->counting == id) {
			q->counting = 0;
			q->packets_refused = m->packets_refused;
			ask_sums(q);
			return;
		}
	}
}

static void
query_answer(struct query *q, const struct msg_run_sums_answer *s)
{
	struct msg_run_status_answer *a;
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_run_status_answer;
	m.id = q->id;
	a = &m.u.run_status_answer;
	/* It is there still: see query_run_gone. */
	runs_describe(runs_find(q->run), a);
	a->tunnels = s->tunnels;
	a->allowed = s->allowed;
	a->denied = s->denied;
	a->failed = s->failed;
	a->bytes_up = s->bytes_up;
	a->bytes_down = s->bytes_down;
	a->packets_refused = q->packets_refused;
	a->quiet_ms = s->quiet_ms;
	a->denials = s->denials;
	peer_send(q->user->peer, &m);
	query_free(q);
}

void
query_sums(
    const struct worker *w, int64_t id, const struct msg_run_sums_answer *m)
{
	struct query *q;

	TAILQ_FOREACH(q, &queries, entry) {
		if (q->worker == w && q->summing == id) {
			query_answer(q, m);
			return;
		}
	}
}

/*
 * What is asked for is gone. One of the same name may be opened next, perhaps
 * with another worker: an answer must not be made from parts of both.
 */
void
query_run_gone(const char *run)
{
	struct query *q, *next;

	TAILQ_FOREACH_SAFE(q, &queries, entry, next) {
		if (strcmp(q->run, run) == 0)
			query_refuse(q, "no_run", no_run);
	}
}

void
query_user_gone(const struct client *u)
{
	struct query *q, *next;

	TAILQ_FOREACH_SAFE(q, &queries, entry, next) {
		if (q->user == u)
			query_free(q);
	}
}
