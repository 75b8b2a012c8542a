/* Requests of the queue, and who waits for their answers. */

#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"

#include "dispatchd/queue.h"

struct call {
	TAILQ_ENTRY(call) entry;
	struct peer *peer;
	int64_t id;
	struct qjob *job; /* NULL: nobody's, or forgotten */
	struct event *timer;
	call_fn *fn;
};

static TAILQ_HEAD(, call) calls = TAILQ_HEAD_INITIALIZER(calls);

/* The call is over before its function runs: that may send the next one. */
static void
end(struct call *c, const struct msg *m)
{
	struct qjob *j = c->job;
	call_fn *fn = c->fn;

	TAILQ_REMOVE(&calls, c, entry);
	event_free(c->timer);
	free(c);
	if (fn != NULL)
		fn(j, m);
}

static void
late(int fd, short what, void *arg)
{
	struct call *c = arg;

	if (c->peer != NULL && c->fn != NULL)
		log_warnx("%s did not answer request %lld in time",
		    peer_name(c->peer), (long long)c->id);
	end(c, NULL);
}

void
call_send(
    struct peer *p, struct msg *m, struct qjob *j, int timeout_ms, call_fn *fn)
{
	struct timeval tv = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };
	struct call *c = calloc(1, sizeof(*c));

	if (c == NULL || (c->timer = evtimer_new(queue.base, late, c)) == NULL)
		fatalx("out of memory for a request");
	c->peer = p;
	c->job = j;
	c->fn = fn;
	TAILQ_INSERT_TAIL(&calls, c, entry);
	if (p != NULL) {
		c->id = m->id = peer_next_id(p);
		if (peer_send(p, m) == 0) {
			evtimer_add(c->timer, &tv);
			return;
		}
	}
	/* From the loop, as promised. */
	c->peer = NULL;
	memset(&tv, 0, sizeof(tv));
	evtimer_add(c->timer, &tv);
}

bool
call_answered(struct peer *p, const struct msg *m)
{
	struct call *c;

	TAILQ_FOREACH(c, &calls, entry) {
		if (c->peer == p && c->id == m->id) {
			end(c, m);
			return true;
		}
	}
	return false;
}

void
call_lost(struct peer *p)
{
	struct timeval now = { 0, 0 };
	struct call *c;

	TAILQ_FOREACH(c, &calls, entry) {
		if (c->peer != p)
			continue;
		c->peer = NULL;
		evtimer_add(c->timer, &now);
	}
}

void
call_forget(struct qjob *j)
{
	struct call *c;

	TAILQ_FOREACH(c, &calls, entry) {
		if (c->job != j)
			continue;
		c->job = NULL;
		c->fn = NULL;
	}
}

bool
call_waits(const struct qjob *j)
{
	const struct call *c;

	TAILQ_FOREACH(c, &calls, entry) {
		if (c->job == j)
			return true;
	}
	return false;
}
