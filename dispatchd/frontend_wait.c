/*
 * wait. All clients that wait for one run share one request at the queue, so
 * that those who come and go leave nothing behind there but one a run. One
 * that nobody waits for any more stays until its place is needed: then the
 * queue is told to forget it, and it is gone when the queue has said so.
 */

#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"
#include "libcommon/runid.h"

#include "dispatchd/frontend.h"

#define STATE_TEXT_MAX 16 /* msg.def: run.event */
#define DETAIL_MAX 256

struct waiter {
	TAILQ_ENTRY(waiter) of_watch;
	TAILQ_ENTRY(waiter) of_user;
	struct user *user;
	struct watch *watch;
	int64_t id;
};

struct watch {
	TAILQ_ENTRY(watch) entry;
	char run[RUNID_LEN + 1];
	int64_t id; /* of the request at the queue */
	/* The last event, for those who come later. */
	char state[STATE_TEXT_MAX + 1];
	char detail[DETAIL_MAX + 1];
	bool forgotten; /* as the queue was told; its last word is to come */
	TAILQ_HEAD(, waiter) waiters;
};

static TAILQ_HEAD(, watch) watches = TAILQ_HEAD_INITIALIZER(watches);
static size_t nwatches; /* without those that are forgotten, */
static size_t nforgotten; /* which are counted here */

size_t
front_wait_count(void)
{
	return nwatches;
}

static struct watch *
watch_find(const char *run)
{
	struct watch *w;

	TAILQ_FOREACH(w, &watches, entry) {
		if (!w->forgotten && strcmp(w->run, run) == 0)
			return w;
	}
	return NULL;
}

static struct watch *
watch_of(int64_t id)
{
	struct watch *w;

	TAILQ_FOREACH(w, &watches, entry) {
		if (w->id == id)
			return w;
	}
	return NULL;
}

static bool
waited_for_by(const struct watch *w, uid_t uid)
{
	const struct waiter *wt;

	TAILQ_FOREACH(wt, &w->waiters, of_watch) {
		if (wt->user->client.creds.uid == uid)
			return true;
	}
	return false;
}

/* A run counts for each uid that waits for it, whoever asked first. */
static bool
share_is_full(const struct watch *wanted, uid_t uid)
{
	const struct watch *w;
	size_t n = 0;

	if (wanted != NULL && waited_for_by(wanted, uid))
		return false;
	TAILQ_FOREACH(w, &watches, entry)
		n += waited_for_by(w, uid);
	return n >= FRONTEND_USER_WATCHES_MAX;
}

static void
tell_queue(const struct watch *w, enum msg_type type)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	m.id = w->id;
	if (type == MSG_TYPE_wait)
		m.u.wait.run = w->run;
	sibling_send(front.queue, &m);
}

/*
 * Give up the oldest that nobody waits for. The queue reads in order: it has
 * forgotten this one before it hears of the next.
 */
static bool
make_room(void)
{
	struct watch *w;

	if (nforgotten >= FRONTEND_WATCHES_MAX)
		return false;
	TAILQ_FOREACH(w, &watches, entry) {
		if (!w->forgotten && TAILQ_EMPTY(&w->waiters))
			break;
	}
	if (w == NULL)
		return false;
	w->forgotten = true;
	nforgotten++;
	nwatches--;
	tell_queue(w, MSG_TYPE_wait_forget);
	return true;
}

static struct watch *
watch_new(const char *run)
{
	struct watch *w;

	if ((nwatches >= FRONTEND_WATCHES_MAX && !make_room()) ||
	    (w = calloc(1, sizeof(*w))) == NULL)
		return NULL;
	TAILQ_INIT(&w->waiters);
	strlcpy(w->run, run, sizeof(w->run));
	w->id = ++front.last_id;
	TAILQ_INSERT_TAIL(&watches, w, entry);
	nwatches++;
	tell_queue(w, MSG_TYPE_wait);
	return w;
}

static void
watch_free(struct watch *w)
{
	TAILQ_REMOVE(&watches, w, entry);
	*(w->forgotten ? &nforgotten : &nwatches) -= 1;
	free(w);
}

static void
waiter_free(struct waiter *wt)
{
	TAILQ_REMOVE(&wt->watch->waiters, wt, of_watch);
	TAILQ_REMOVE(&wt->user->waits, wt, of_user);
	free(wt);
}

/* What a waiter that comes late has missed. */
static void
replay(const struct waiter *wt)
{
	const struct watch *w = wt->watch;
	struct msg m;

	if (w->state[0] == '\0')
		return;
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_run_event;
	m.id = wt->id;
	m.u.run_event.run = w->run;
	m.u.run_event.state = w->state;
	if (w->detail[0] != '\0')
		m.u.run_event.detail = w->detail;
	peer_send(wt->user->client.peer, &m);
}

void
front_wait(struct user *u, int64_t id, const struct msg_wait *m)
{
	struct waiter *wt;
	struct watch *w;

	if (!runid_valid(m->run)) {
		front_refuse(u, id, "invalid",
		    "run: not an id; allowed: 12 of a-z and 2-7");
		return;
	}
	w = watch_find(m->run);
	if (share_is_full(w, u->client.creds.uid)) {
		front_refuse(u, id, "limit",
		    "this user waits for too many runs at once");
		return;
	}
	if ((wt = calloc(1, sizeof(*wt))) == NULL) {
		front_refuse(u, id, "unavailable", "out of memory");
		return;
	}
	if (w == NULL && (w = watch_new(m->run)) == NULL) {
		free(wt);
		front_refuse(u, id, "limit", "too many runs are waited for");
		return;
	}
	wt->user = u;
	wt->id = id;
	wt->watch = w;
	TAILQ_INSERT_TAIL(&w->waiters, wt, of_watch);
	TAILQ_INSERT_TAIL(&u->waits, wt, of_user);
	replay(wt);
}

bool
front_wait_event(struct msg *m)
{
	const struct msg_run_event *e = &m->u.run_event;
	struct watch *w = watch_of(m->id);
	struct waiter *wt;

	if (w == NULL)
		return false;
	if (strcmp(e->run, w->run) != 0)
		fatalx("an event of another run from the queue");
	strlcpy(w->state, e->state, sizeof(w->state));
	strlcpy(
	    w->detail, e->detail != NULL ? e->detail : "", sizeof(w->detail));
	TAILQ_FOREACH(wt, &w->waiters, of_watch) {
		m->id = wt->id;
		peer_send(wt->user->client.peer, m);
	}
	return true;
}

/* The answer, or the error in its place. */
bool
front_wait_answer(struct msg *m)
{
	struct watch *w = watch_of(m->id);
	struct waiter *wt;

	if (w == NULL)
		return false;
	if (m->type != MSG_TYPE_wait_answer && m->type != MSG_TYPE_error)
		fatalx("unexpected %s to a wait from the queue",
		    msg_decl(m->type)->wire);
	while ((wt = TAILQ_FIRST(&w->waiters)) != NULL) {
		m->id = wt->id;
		peer_send(wt->user->client.peer, m);
		waiter_free(wt);
	}
	watch_free(w);
	return true;
}

/* The request at the queue stays: who comes next takes it up (make_room). */
void
front_wait_user_gone(struct user *u)
{
	struct waiter *wt;

	while ((wt = TAILQ_FIRST(&u->waits)) != NULL)
		waiter_free(wt);
}
