/* status: what the parent told of the daemon, and counters of its processes. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"
#include "libcommon/status.h"

#include "frontend.h"

#define COUNTER_MAX (INT64_MAX / FRONTEND_SLOTS) /* their sum fits */

/* A status request that waits for counters. */
struct gathering {
	TAILQ_ENTRY(gathering) entry;
	struct client *user;
	int64_t id;
	size_t missing;
	int64_t request[FRONTEND_SLOTS]; /* 0: none open */
	struct event *timer;
	char key[STATUS_COUNTERS_MAX][32];
	int64_t sum[STATUS_COUNTERS_MAX];
	size_t n;
};

static TAILQ_HEAD(, gathering) gatherings = TAILQ_HEAD_INITIALIZER(gatherings);
static size_t ngatherings;

static void
gathering_free(struct gathering *g)
{
	TAILQ_REMOVE(&gatherings, g, entry);
	ngatherings--;
	event_free(g->timer);
	free(g);
}

static void
gathering_answer(struct gathering *g)
{
	struct status_counts counts;
	char late[128];

	for (counts.n = 0; counts.n < g->n; counts.n++) {
		counts.name[counts.n] = g->key[counts.n];
		counts.value[counts.n] = g->sum[counts.n];
	}
	snprintf(late, sizeof(late),
	    "%zu processes did not answer: the counters are not whole",
	    g->missing);
	status_answer(g->user->peer, g->id, "egressd", frontend.started_ms,
	    &counts, g->missing > 0 ? late : NULL);
}

static void
gathering_late(int fd, short what, void *arg)
{
	struct gathering *g = arg;

	log_warnx("%zu processes did not tell their counters in %d ms",
	    g->missing, FRONTEND_STATS_MS);
	gathering_answer(g);
	gathering_free(g);
}

static void
gathering_add(struct gathering *g, const struct msg_map *counters)
{
	const char *errstr;
	size_t i, j;

	for (i = 0; i < counters->n; i++) {
		for (j = 0; j < g->n; j++) {
			if (strcmp(g->key[j], counters->k[i]) == 0)
				break;
		}
		if (j == STATUS_COUNTERS_MAX)
			return;
		if (j == g->n)
			strlcpy(
			    g->key[g->n++], counters->k[i], sizeof(g->key[0]));
		g->sum[j] += strtonum(counters->v[i], 0, COUNTER_MAX, &errstr);
	}
}

void
status_counters(unsigned slot, int64_t id, const struct msg_stats_answer *m)
{
	struct gathering *g, *next;

	TAILQ_FOREACH_SAFE(g, &gatherings, entry, next) {
		if (g->request[slot] != id)
			continue;
		g->request[slot] = 0;
		gathering_add(g, &m->counters);
		if (--g->missing == 0) {
			gathering_answer(g);
			gathering_free(g);
		}
		return;
	}
}

void
status_user_gone(const struct client *u)
{
	struct gathering *g, *next;

	TAILQ_FOREACH_SAFE(g, &gatherings, entry, next) {
		if (g->user == u)
			gathering_free(g);
	}
}

static void
gathering_ask(struct gathering *g, unsigned slot, struct peer *p)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_stats;
	m.id = g->request[slot] = peer_next_id(p);
	sibling_send(p, &m);
	g->missing++;
}

void
status_begin(struct client *u, int64_t id)
{
	struct gathering *g;
	struct timeval tv = { FRONTEND_STATS_MS / 1000, 0 };
	unsigned i;

	if (ngatherings >= FRONTEND_STATS_OPEN_MAX ||
	    (g = calloc(1, sizeof(*g))) == NULL) {
		peer_send_error(u->peer, id, "unavailable",
		    "too many status requests are being answered");
		return;
	}
	g->timer = evtimer_new(frontend.base, gathering_late, g);
	if (g->timer == NULL) {
		free(g);
		peer_send_error(u->peer, id, "unavailable", "out of memory");
		return;
	}
	evtimer_add(g->timer, &tv);
	g->user = u;
	g->id = id;
	TAILQ_INSERT_TAIL(&gatherings, g, entry);
	ngatherings++;
	for (i = 0; i < frontend.nworkers; i++)
		gathering_ask(g, i, frontend.workers[i].peer);
	if (frontend.fw != NULL)
		gathering_ask(g, FRONTEND_SLOT_FW, frontend.fw);
}
