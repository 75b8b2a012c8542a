/* status: what the parent told of the daemon, and counters of its processes. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"
#include "libcommon/version.h"

#include "frontend.h"

#define COUNTERS_MAX 64
#define COUNTER_MAX (INT64_MAX / FRONTEND_SLOTS) /* their sum fits */
#define STATE_MAX 128
#define WARNINGS_MAX 32

/* Kept text of the message `state`. */
struct known_state {
	char *k[STATE_MAX], *v[STATE_MAX];
	size_t n;
	char *warning[WARNINGS_MAX];
	size_t nwarnings;
};

/* A status request that waits for counters. */
struct gathering {
	TAILQ_ENTRY(gathering) entry;
	struct user *user;
	int64_t id;
	size_t missing;
	int64_t request[FRONTEND_SLOTS]; /* 0: none open */
	struct event *timer;
	char key[COUNTERS_MAX][32];
	int64_t sum[COUNTERS_MAX];
	size_t n;
};

static struct known_state state;
static TAILQ_HEAD(, gathering) gatherings = TAILQ_HEAD_INITIALIZER(gatherings);
static size_t ngatherings;

static void
state_clear(void)
{
	size_t i;

	for (i = 0; i < state.n; i++) {
		free(state.k[i]);
		free(state.v[i]);
	}
	for (i = 0; i < state.nwarnings; i++)
		free(state.warning[i]);
	memset(&state, 0, sizeof(state));
}

static char *
copy(const char *s)
{
	char *p = strdup(s);

	/* Configuration of our own parent: its size is bounded. */
	if (p == NULL)
		fatal("state");
	return p;
}

void
status_state_set(const struct msg_state *m)
{
	state_clear();
	for (; state.n < m->state.n; state.n++) {
		state.k[state.n] = copy(m->state.k[state.n]);
		state.v[state.n] = copy(m->state.v[state.n]);
	}
	for (; state.nwarnings < m->warnings.n; state.nwarnings++)
		state.warning[state.nwarnings] =
		    copy(m->warnings.v[state.nwarnings]);
}

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
	const char *k[STATE_MAX], *v[STATE_MAX];
	char text[COUNTERS_MAX][24];
	const char *warning[WARNINGS_MAX];
	char late[128];
	struct msg m;
	size_t i, n = 0, nwarnings;

	for (i = 0; i < state.nwarnings; i++)
		warning[i] = state.warning[i];
	if (g->missing > 0) {
		snprintf(late, sizeof(late),
		    "%zu processes did not answer: the counters are not whole",
		    g->missing);
		if (i == WARNINGS_MAX)
			i--;
		warning[i++] = late;
	}
	nwarnings = i;

	for (i = 0; i < state.n && n < STATE_MAX; i++, n++) {
		k[n] = state.k[i];
		v[n] = state.v[i];
	}
	for (i = 0; i < g->n && n < STATE_MAX; i++, n++) {
		snprintf(
		    text[i], sizeof(text[i]), "%lld", (long long)g->sum[i]);
		k[n] = g->key[i];
		v[n] = text[i];
	}
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_status_answer;
	m.id = g->id;
	m.u.status_answer.daemon = "egressd";
	m.u.status_answer.version = BULKHEAD_VERSION;
	m.u.status_answer.pid = getppid();
	m.u.status_answer.uptime_ms = clock_boot_ms() - frontend.started_ms;
	m.u.status_answer.state.k = k;
	m.u.status_answer.state.v = v;
	m.u.status_answer.state.n = n;
	m.u.status_answer.warnings.v = warning;
	m.u.status_answer.warnings.n = nwarnings;
	peer_send(g->user->peer, &m);
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
		if (j == COUNTERS_MAX)
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
status_user_gone(const struct user *u)
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
	frontend_send(p, &m);
	g->missing++;
}

void
status_begin(struct user *u, int64_t id)
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
