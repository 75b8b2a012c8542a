/*
 * The frontend: clients of egressd.sock. It decodes what they send and
 * answers from what the parent and the workers tell it; it has no network.
 */

#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/creds.h"
#include "libcommon/log.h"
#include "libcommon/peer.h"
#include "libcommon/version.h"

#include "egressd.h"

#define FD_LISTEN (PROC_FD_FIRST + 0)
#define FD_PROXY (PROC_FD_FIRST + 1)

#define FRONTEND_NOFILE 1024
#define FRONTEND_CLIENTS_MAX 256
#define FRONTEND_USER_MAX 32 /* connections of one uid */
#define FRONTEND_BACKOFF_MS 100
#define FRONTEND_STATS_MS 2000 /* workers answer within */
#define FRONTEND_STATS_OPEN_MAX 64 /* status requests being answered */
#define FRONTEND_COUNTERS_MAX 64
#define FRONTEND_STATE_MAX 128
#define FRONTEND_WARNINGS_MAX 32

struct peer_rule {
	bool group;
	uint32_t id;
	bool status; /* the one verb of this version */
};

struct user {
	TAILQ_ENTRY(user) entry;
	struct peer *peer;
	struct creds creds;
};

/* Kept text of the message `state`. */
struct known_state {
	char *k[FRONTEND_STATE_MAX], *v[FRONTEND_STATE_MAX];
	size_t n;
	char *warning[FRONTEND_WARNINGS_MAX];
	size_t nwarnings;
};

/* A status request that waits for the workers' counters. */
struct gathering {
	TAILQ_ENTRY(gathering) entry;
	struct user *user;
	int64_t id;
	size_t missing;
	int64_t request[EGRESS_WORKERS_MAX]; /* 0: none open */
	struct event *timer;
	char key[FRONTEND_COUNTERS_MAX][32];
	int64_t sum[FRONTEND_COUNTERS_MAX];
	size_t n;
};

struct worker {
	unsigned instance;
	struct peer *peer;
};

static struct event_base *base;
static struct event *ev_listen, *ev_backoff;
static struct peer *parent;
static struct worker workers[EGRESS_WORKERS_MAX];
static size_t nworkers;
static struct peer_rule rules[EGRESS_PEERS_MAX];
static size_t nrules;
static struct peer_rule loading[EGRESS_PEERS_MAX];
static size_t nloading;
static struct known_state state;
static int64_t started_ms;
static bool draining;
static TAILQ_HEAD(, user) users = TAILQ_HEAD_INITIALIZER(users);
static size_t nusers;
static TAILQ_HEAD(, gathering) gatherings = TAILQ_HEAD_INITIALIZER(gatherings);
static size_t ngatherings;

static void frontend_dispatch_parent(struct peer *, struct msg *, int, void *);
static void frontend_dispatch_proxy(struct peer *, struct msg *, int, void *);
static void frontend_dispatch_client(struct peer *, struct msg *, int, void *);
static void sibling_gone(struct peer *, enum peer_end, const char *, void *);
static void user_gone(struct peer *, enum peer_end, const char *, void *);

static const struct peer_ops parent_ops = { .message = frontend_dispatch_parent,
	.gone = sibling_gone };
static const struct peer_ops proxy_ops = { .message = frontend_dispatch_proxy,
	.gone = sibling_gone };
static const struct peer_ops client_ops = { .message = frontend_dispatch_client,
	.gone = user_gone };

static void
sibling_gone(struct peer *peer, enum peer_end end, const char *why, void *arg)
{
	log_debug("%s is gone: leaving", peer_name(peer));
	_exit(0);
}

/* --- who may what ----------------------------------------------------- */

static bool
may_status(const struct creds *c)
{
	size_t i;

	for (i = 0; i < nrules; i++) {
		if (rules[i].status &&
		    (rules[i].group ? creds_in_group(c, rules[i].id)
		                    : c->uid == rules[i].id))
			return true;
	}
	return false;
}

static void
peer_row(const struct msg_peer_row *m)
{
	struct peer_rule *r;
	size_t i;

	if (nloading == EGRESS_PEERS_MAX)
		fatalx("too many peers from the parent");
	r = &loading[nloading++];
	memset(r, 0, sizeof(*r));
	r->group = m->group;
	r->id = (uint32_t)m->id;
	for (i = 0; i < m->may.n; i++) {
		if (strcmp(m->may.v[i], "status") == 0)
			r->status = true;
	}
}

static void
table_end(const struct msg_table_end *m)
{
	struct msg out;

	if (m->count != (int64_t)nloading)
		fatalx("the table of peers did not arrive whole");
	memcpy(rules, loading, sizeof(rules));
	nrules = nloading;
	memset(&out, 0, sizeof(out));
	out.type = MSG_TYPE_table_applied;
	out.u.table_applied.table = m->table;
	out.u.table_applied.generation = m->generation;
	peer_send(parent, &out);
}

/* --- status ----------------------------------------------------------- */

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

static void
state_set(const struct msg_state *m)
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
	const char *k[FRONTEND_STATE_MAX], *v[FRONTEND_STATE_MAX];
	char text[FRONTEND_COUNTERS_MAX][24];
	const char *warning[FRONTEND_WARNINGS_MAX];
	char late[128];
	struct msg m;
	size_t i, n = 0, nwarnings;

	for (i = 0; i < state.nwarnings; i++)
		warning[i] = state.warning[i];
	if (g->missing > 0) {
		snprintf(late, sizeof(late),
		    "%zu of %zu workers did not "
		    "answer: the counters are not whole",
		    g->missing, nworkers);
		if (i == FRONTEND_WARNINGS_MAX)
			i--;
		warning[i++] = late;
	}
	nwarnings = i;

	for (i = 0; i < state.n && n < FRONTEND_STATE_MAX; i++, n++) {
		k[n] = state.k[i];
		v[n] = state.v[i];
	}
	for (i = 0; i < g->n && n < FRONTEND_STATE_MAX; i++, n++) {
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
	m.u.status_answer.uptime_ms = clock_boot_ms() - started_ms;
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

	log_warnx("%zu workers did not tell their counters in %d ms",
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
		if (j == FRONTEND_COUNTERS_MAX)
			return;
		if (j == g->n)
			strlcpy(
			    g->key[g->n++], counters->k[i], sizeof(g->key[0]));
		g->sum[j] +=
		    strtonum(counters->v[i], 0, INT64_MAX / 16, &errstr);
	}
}

static void
worker_answered(struct worker *w, int64_t id, const struct msg_stats_answer *m)
{
	struct gathering *g, *next;

	TAILQ_FOREACH_SAFE(g, &gatherings, entry, next) {
		if (g->request[w->instance] != id)
			continue;
		g->request[w->instance] = 0;
		gathering_add(g, &m->counters);
		if (--g->missing == 0) {
			gathering_answer(g);
			gathering_free(g);
		}
		return;
	}
}

static void
status_begin(struct user *u, int64_t id)
{
	struct gathering *g;
	struct timeval tv = { FRONTEND_STATS_MS / 1000, 0 };
	struct msg m;
	size_t i;

	if (ngatherings >= FRONTEND_STATS_OPEN_MAX ||
	    (g = calloc(1, sizeof(*g))) == NULL) {
		peer_send_error(u->peer, id, "unavailable",
		    "too many status requests are being answered");
		return;
	}
	g->timer = evtimer_new(base, gathering_late, g);
	if (g->timer == NULL) {
		free(g);
		peer_send_error(u->peer, id, "unavailable", "out of memory");
		return;
	}
	evtimer_add(g->timer, &tv);
	g->user = u;
	g->id = id;
	g->missing = nworkers;
	TAILQ_INSERT_TAIL(&gatherings, g, entry);
	ngatherings++;
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_stats;
	for (i = 0; i < nworkers; i++) {
		m.id = g->request[i] = peer_next_id(workers[i].peer);
		peer_send(workers[i].peer, &m);
	}
}

/* --- clients ---------------------------------------------------------- */

static void
user_free(struct user *u)
{
	struct gathering *g, *next;

	TAILQ_FOREACH_SAFE(g, &gatherings, entry, next) {
		if (g->user == u)
			gathering_free(g);
	}
	peer_free(&u->peer);
	TAILQ_REMOVE(&users, u, entry);
	nusers--;
	free(u);
}

static void
user_gone(struct peer *peer, enum peer_end end, const char *why, void *arg)
{
	struct user *u = arg;

	if (end != PEER_END_EOF)
		log_info("client uid %u pid %d: %s", (unsigned)u->creds.uid,
		    (int)u->creds.pid, why);
	user_free(u);
}

static void
user_new(int fd)
{
	struct user *u, *other;
	size_t same = 0;

	u = calloc(1, sizeof(*u));
	if (u == NULL || creds_get(fd, &u->creds) == -1) {
		free(u);
		close(fd);
		return;
	}
	TAILQ_FOREACH(other, &users, entry)
		same += other->creds.uid == u->creds.uid;
	if (nusers >= FRONTEND_CLIENTS_MAX || same >= FRONTEND_USER_MAX) {
		log_info("client uid %u pid %d: too many connections",
		    (unsigned)u->creds.uid, (int)u->creds.pid);
		free(u);
		close(fd);
		return;
	}
	u->peer = peer_new(base, fd, PEER_CLIENT, SIDE_FRONTEND, SIDE_CLIENT,
	    "egressd", "client", &client_ops, u);
	if (u->peer == NULL) {
		free(u);
		return;
	}
	TAILQ_INSERT_TAIL(&users, u, entry);
	nusers++;
}

static void
backoff_over(int fd, short what, void *arg)
{
	if (!draining)
		event_add(ev_listen, NULL);
}

static void
listen_ready(int fd, short what, void *arg)
{
	struct timeval tv = { 0, FRONTEND_BACKOFF_MS * 1000 };
	int s;

	s = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (s != -1) {
		user_new(s);
		return;
	}
	if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR)
		return;
	log_warn("accept");
	event_del(ev_listen);
	evtimer_add(ev_backoff, &tv);
}

/* --- dispatch --------------------------------------------------------- */

static void
frontend_dispatch_client(struct peer *peer, struct msg *m, int fd, void *arg)
{
	struct user *u = arg;

	switch (m->type) {
	case MSG_TYPE_status:
		if (!may_status(&u->creds)) {
			log_info("client uid %u pid %d: status refused",
			    (unsigned)u->creds.uid, (int)u->creds.pid);
			peer_send_error(peer, m->id, "refused",
			    "the table "
			    "\"peers\" does not let this user ask for status");
			break;
		}
		status_begin(u, m->id);
		break;
	default:
		peer_send_error(peer, m->id, "unknown",
		    "this daemon does not know that request");
		break;
	}
}

static void
frontend_dispatch_proxy(struct peer *peer, struct msg *m, int fd, void *arg)
{
	switch (m->type) {
	case MSG_TYPE_stats_answer:
		worker_answered(arg, m->id, &m->u.stats_answer);
		break;
	default:
		fatalx("unexpected %s from a proxy", msg_decl(m->type)->wire);
	}
}

static void
frontend_dispatch_parent(struct peer *peer, struct msg *m, int fd, void *arg)
{
	switch (m->type) {
	case MSG_TYPE_table_begin:
		nloading = 0;
		break;
	case MSG_TYPE_peer_row:
		peer_row(&m->u.peer_row);
		break;
	case MSG_TYPE_table_end:
		table_end(&m->u.table_end);
		break;
	case MSG_TYPE_state:
		state_set(&m->u.state);
		break;
	case MSG_TYPE_go:
		event_add(ev_listen, NULL);
		break;
	case MSG_TYPE_drain:
		draining = true;
		event_del(ev_listen);
		break;
	default:
		fatalx(
		    "unexpected %s from the parent", msg_decl(m->type)->wire);
	}
}

/* --- start ------------------------------------------------------------ */

void
frontend_main(const struct proc_self *self)
{
	struct sandbox_state st;
	struct msg m;
	size_t i;

	if (self->nlinks < 2 || self->nlinks > 1 + EGRESS_WORKERS_MAX)
		fatalx("wrong number of links");
	st = proc_enter(self, FRONTEND_NOFILE, 0, SANDBOX_FRONTEND);
	base = event_base_new();
	if (base == NULL)
		fatalx("no event loop");
	started_ms = clock_boot_ms();
	ev_listen = event_new(
	    base, FD_LISTEN, EV_READ | EV_PERSIST, listen_ready, NULL);
	ev_backoff = evtimer_new(base, backoff_over, NULL);
	parent = peer_new(base, PROC_FD_PARENT, PEER_SIBLING, SIDE_FRONTEND,
	    SIDE_PARENT, "frontend", "egressd", &parent_ops, NULL);
	if (ev_listen == NULL || ev_backoff == NULL || parent == NULL)
		fatalx("out of memory");
	nworkers = self->nlinks - 1;
	for (i = 0; i < nworkers; i++) {
		workers[i].instance = (unsigned)i;
		workers[i].peer = peer_new(base, FD_PROXY + (int)i,
		    PEER_SIBLING, SIDE_FRONTEND, SIDE_PROXY, "frontend",
		    "proxy", &proxy_ops, &workers[i]);
		if (workers[i].peer == NULL)
			fatalx("out of memory");
	}
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_ready;
	m.u.ready.seccomp = st.seccomp;
	m.u.ready.landlock = st.landlock;
	peer_send(parent, &m);
	event_base_dispatch(base);
	panic("the event loop ended");
}
