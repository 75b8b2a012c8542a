/*
 * A proxy worker: client and upstream sockets, request heads, ClientHellos,
 * the relay. It opens no file and knows only the policy that the parent sent.
 */

#include <sys/resource.h>
#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"
#include "libcommon/sibling.h"

#include "proxy.h"

/* Its links, in the order in which the parent passes them. */
#define FD_FRONTEND (PROC_FD_FIRST + 0)
#define FD_RESOLVER (PROC_FD_FIRST + 1)
#define FD_AUDIT (PROC_FD_FIRST + 2)

static void proxy_dispatch_parent(struct peer *, struct msg *, int, void *);
static void proxy_dispatch_frontend(struct peer *, struct msg *, int, void *);
static void proxy_dispatch_resolver(struct peer *, struct msg *, int, void *);
static void proxy_dispatch_audit(struct peer *, struct msg *, int, void *);

static const struct peer_ops parent_ops = { .message = proxy_dispatch_parent,
	.gone = sibling_gone };
static const struct peer_ops frontend_ops = {
	.message = proxy_dispatch_frontend, .gone = sibling_gone
};
static const struct peer_ops resolver_ops = {
	.message = proxy_dispatch_resolver, .gone = sibling_gone
};
static const struct peer_ops audit_ops = { .message = proxy_dispatch_audit,
	.gone = sibling_gone };

RB_GENERATE(lookup_tree, client, lookup, client_lookup_cmp)

int
client_lookup_cmp(struct client *a, struct client *b)
{
	return a->request < b->request ? -1 : a->request > b->request;
}

void
proxy_timer(struct event *ev, int ms)
{
	struct timeval tv;

	tv.tv_sec = ms / 1000;
	tv.tv_usec = ms % 1000 * 1000;
	evtimer_add(ev, &tv);
}

/* --- policy ----------------------------------------------------------- */

static void
table_begin(struct proxy *p, const struct msg_table_begin *m)
{
	if (strcmp(m->table, "policy") != 0 || p->loading != NULL)
		fatalx("unexpected table %s", m->table);
	p->loading = policy_new(m->generation);
	if (p->loading == NULL)
		fatalx("out of memory for the policy");
	p->loading_rows = 0;
}

/*
 * Judge the open tunnels by the new policy, a batch a turn so that others
 * are served meanwhile; the whole takes well under the second it may.
 */
static void
revoke_some(int fd, short what, void *arg)
{
	struct proxy *p = arg;
	struct client *c;
	int i;

	for (i = 0; i < PROXY_REVOKE_BATCH && p->revoke_next != NULL; i++) {
		c = p->revoke_next;
		p->revoke_next = TAILQ_NEXT(c, entry);
		tunnel_judge(c);
	}
	if (p->revoke_next != NULL)
		proxy_timer(p->revoke, 0);
}

/*
 * Policy and listeners are all there. Not before: a listener may be about to
 * be closed, or to get the profile under its new name.
 */
static void
go(struct proxy *p)
{
	p->revoke_next = TAILQ_FIRST(&p->clients);
	proxy_timer(p->revoke, 0);
}

static void
table_end(struct proxy *p, const struct msg_table_end *m)
{
	if (p->loading == NULL || m->count != p->loading_rows ||
	    m->generation != policy_generation(p->loading))
		fatalx("the policy did not arrive whole");
	policy_free(&p->policy);
	p->policy = p->loading;
	p->loading = NULL;

	sibling_send_applied(p->parent, "policy", m->generation);
}

/* --- leaving ---------------------------------------------------------- */

static void
check_drained(struct proxy *p)
{
	struct msg m;

	if (!p->draining || p->told_drained || p->nclients > 0 ||
	    audit_client_waiting(p->audit) > 0)
		return;
	p->told_drained = true;
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_drained;
	sibling_send(p->parent, &m);
}

void
proxy_client_gone(struct proxy *p)
{
	check_drained(p);
}

static void
start_drain(struct proxy *p)
{
	struct proxy_listener *l;
	struct client *c, *next;

	p->draining = true;
	TAILQ_FOREACH(l, &p->listeners, entry) {
		if (l->ev == NULL)
			continue;
		/* Those in the queue get an answer and no reset. */
		while (proxy_listener_accept(l))
			;
		proxy_listener_stop(l);
	}
	TAILQ_FOREACH_SAFE(c, &p->clients, entry, next) {
		if (c->state == CLIENT_HEAD && c->len == 0)
			client_refuse(c, CODE_draining, NULL);
	}
	check_drained(p);
}

static void
cut_all(struct proxy *p)
{
	struct client *c, *next;

	TAILQ_FOREACH_SAFE(c, &p->clients, entry, next)
		tunnel_cut(c, END_shutdown);
	check_drained(p);
}

/* --- dispatch --------------------------------------------------------- */

static void
proxy_dispatch_parent(struct peer *peer, struct msg *m, int fd, void *arg)
{
	struct proxy *p = arg;

	switch (m->type) {
	case MSG_TYPE_table_begin:
		table_begin(p, &m->u.table_begin);
		break;
	case MSG_TYPE_rule_row:
		if (p->loading == NULL ||
		    policy_add(p->loading, &m->u.rule_row) == -1)
			fatalx("bad rule from the parent");
		p->loading_rows++;
		break;
	case MSG_TYPE_table_end:
		table_end(p, &m->u.table_end);
		break;
	case MSG_TYPE_listener:
		proxy_listener_set(p, &m->u.listener, fd);
		break;
	case MSG_TYPE_listener_close:
		proxy_listener_unset(p, m->u.listener_close.address);
		break;
	case MSG_TYPE_run_socket:
		proxy_run_socket(p, &m->u.run_socket, fd);
		break;
	case MSG_TYPE_go:
		go(p);
		break;
	case MSG_TYPE_drain:
		start_drain(p);
		break;
	case MSG_TYPE_cut:
		cut_all(p);
		break;
	default:
		fatalx(
		    "unexpected %s from the parent", msg_decl(m->type)->wire);
	}
}

static void
proxy_dispatch_resolver(struct peer *peer, struct msg *m, int fd, void *arg)
{
	struct client *c, key;
	struct proxy *p = arg;

	switch (m->type) {
	case MSG_TYPE_resolved:
		key.request = m->id;
		c = RB_FIND(lookup_tree, &p->lookups, &key);
		/* The client may have gone meanwhile. */
		if (c == NULL)
			return;
		RB_REMOVE(lookup_tree, &p->lookups, c);
		c->request = 0;
		client_resolved(c, &m->u.resolved);
		break;
	default:
		fatalx(
		    "unexpected %s from the resolver", msg_decl(m->type)->wire);
	}
}

static void
proxy_dispatch_audit(struct peer *peer, struct msg *m, int fd, void *arg)
{
	struct proxy *p = arg;

	switch (m->type) {
	case MSG_TYPE_recorded:
	case MSG_TYPE_unrecorded:
		audit_client_message(p->audit, m);
		proxy_runs_settle(p);
		check_drained(p);
		break;
	default:
		fatalx("unexpected %s from audit", msg_decl(m->type)->wire);
	}
}

static void
send_stats(struct proxy *p, int64_t id)
{
	const struct proxy_counters *n = &p->counters;
	const struct {
		const char *key;
		uint64_t value;
	} row[] = {
		{ "clients", p->nclients },
		{ "accepted", n->accepted },
		{ "tunnels open", n->opened - n->closed },
		{ "tunnels opened", n->opened },
		{ "refused", n->refused },
		{ "failed", n->failed },
		{ "revoked", n->revoked },
		{ "bytes up", n->up },
		{ "bytes down", n->down },
		{ "accept pauses", n->backoffs },
		{ "canary hits", n->canary_hits },
		{ "records waiting", audit_client_waiting(p->audit) },
		{ "unrecordable", !audit_client_healthy(p->audit) },
	};
	const size_t rows = sizeof(row) / sizeof(row[0]);
	const char *k[sizeof(row) / sizeof(row[0])];
	const char *v[sizeof(row) / sizeof(row[0])];
	char text[sizeof(row) / sizeof(row[0])][24];
	struct msg m;
	size_t i;

	for (i = 0; i < rows; i++) {
		snprintf(text[i], sizeof(text[i]), "%llu",
		    (unsigned long long)row[i].value);
		k[i] = row[i].key;
		v[i] = text[i];
	}
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_stats_answer;
	m.id = id;
	m.u.stats_answer.counters.k = k;
	m.u.stats_answer.counters.v = v;
	m.u.stats_answer.counters.n = rows;
	sibling_send(p->frontend, &m);
}

static void
proxy_dispatch_frontend(struct peer *peer, struct msg *m, int fd, void *arg)
{
	struct proxy *p = arg;

	switch (m->type) {
	case MSG_TYPE_stats:
		send_stats(p, m->id);
		break;
	case MSG_TYPE_run_end:
		proxy_run_end(p, m->id, m->u.run_end.run);
		break;
	case MSG_TYPE_run_sums:
		proxy_run_sums(p, m->id, m->u.run_sums.run);
		break;
	default:
		fatalx(
		    "unexpected %s from the frontend", msg_decl(m->type)->wire);
	}
}

/* --- start ------------------------------------------------------------ */

static struct peer *
link_to(struct proxy *p, int fd, enum msg_side side, const char *name,
    const struct peer_ops *ops)
{
	return sibling_link(
	    p->base, fd, SIDE_PROXY, side, "proxy", name, ops, p);
}

/*
 * Each tunnel takes two descriptors and, while bytes fly, a pipe's two. Those
 * of runs are set aside: one that cannot be received ends the daemon.
 */
static size_t
clients_limit(void)
{
	struct rlimit rl;
	size_t n, fds, runs;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		fatal("getrlimit");
	fds = rl.rlim_cur < 1024 ? 1024 : (size_t)rl.rlim_cur;
	/* A socket of a run that cannot be received would end us. */
	runs = EGRESS_RUNS_MAX * EGRESS_RUN_SOCKETS;
	if (runs > fds / PROXY_FD_RUNS_SHARE)
		runs = fds / PROXY_FD_RUNS_SHARE;
	fds -= PROXY_FD_RESERVE + PROXY_OVERLOAD_MAX + runs;
	n = fds / 4;
	return n < PROXY_CLIENTS_MAX ? n : PROXY_CLIENTS_MAX;
}

void
proxy_main(const struct proc_self *self)
{
	static struct proxy p;
	struct sandbox_state st;

	if (self->nlinks != 3)
		fatalx("wrong number of links");
	p.self = self;
	TAILQ_INIT(&p.listeners);
	TAILQ_INIT(&p.clients);
	RB_INIT(&p.lookups);
	RB_INIT(&p.runs);
	snprintf(p.tag, sizeof(p.tag), "%08x-%u", arc4random(), self->instance);
	st = proc_enter(self, PROXY_NOFILE, 0, SANDBOX_PROXY);
	p.base = event_base_new();
	if (p.base == NULL)
		fatalx("no event loop");
	p.max_clients = clients_limit();
	p.max_of_listener = p.max_clients / 2;
	relay_pipes_init(PROXY_PIPES_MAX / EGRESS_WORKERS_MAX);
	p.backoff = evtimer_new(p.base, proxy_back_on, &p);
	p.revoke = evtimer_new(p.base, revoke_some, &p);
	if (p.backoff == NULL || p.revoke == NULL)
		fatalx("out of memory");
	p.parent =
	    link_to(&p, PROC_FD_PARENT, SIDE_PARENT, "egressd", &parent_ops);
	p.frontend =
	    link_to(&p, FD_FRONTEND, SIDE_FRONTEND, "frontend", &frontend_ops);
	p.resolver =
	    link_to(&p, FD_RESOLVER, SIDE_RESOLVER, "resolver", &resolver_ops);
	p.recorder = link_to(&p, FD_AUDIT, SIDE_AUDIT, "audit", &audit_ops);
	p.audit = audit_client_new(p.base, p.recorder);
	if (p.audit == NULL)
		fatalx("out of memory");
	sibling_send_ready(p.parent, &st);
	event_base_dispatch(p.base);
	panic("the event loop ended");
}
