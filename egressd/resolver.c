/*
 * The resolver: looks up the names that policy has let pass, for the proxies.
 * It holds UDP and TCP to the configured DNS servers and nothing else: no
 * clients, no policy. It judges no address either: the proxy classifies every
 * one that was answered.
 *
 * There is no cache, neither here nor in c-ares: a tunnel is one lookup, whose
 * answer is vetted, pinned and recorded for that tunnel. What one run made the
 * resolver learn must not be what another run is told, and an answer that was
 * vetted once must not outlive the tunnel it was vetted for. The servers cache.
 */

#include <sys/queue.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <ares.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "libcommon/log.h"
#include "libcommon/mem.h"
#include "libcommon/msg.h"
#include "libcommon/peer.h"
#include "libcommon/proc.h"
#include "libcommon/sibling.h"

#include "egressd/resolver.h"

#define RESOLVER_LOOKUPS_MAX 64 /* in flight */
#define RESOLVER_QUEUE_MAX 1024 /* waiting requests of one proxy */
#define RESOLVER_LOOKUP_MS 5000 /* from request to answer */
/* Each lookup's two queries may hold UDP and TCP sockets for every server. */
#define RESOLVER_NOFILE \
	(RESOLVER_LOOKUPS_MAX * 2 * 2 * EGRESS_SERVERS_MAX + PROC_FDS_MAX + 64)

struct proxy;

struct request {
	struct proxy *proxy;
	struct slot *slot; /* NULL: waiting */
	int64_t id;
	char host[HOSTNAME_MAX + 1];
	struct event deadline;
	TAILQ_ENTRY(request) entry;
};
TAILQ_HEAD(request_head, request);

struct proxy {
	struct resolver *resolver;
	struct peer *peer;
	struct request_head waiting;
	size_t nwaiting;
	TAILQ_ENTRY(proxy) entry;
};

struct slot {
	struct resolver *resolver;
	struct lookup *lookup;
	struct request *request; /* NULL: idle */
	int64_t generation; /* of its servers */
};

struct resolver {
	struct event_base *base;
	struct peer *parent;
	struct resolver_table *table; /* NULL before the first */
	struct resolver_table *next; /* between begin and end */
	struct slot slots[RESOLVER_LOOKUPS_MAX];
	TAILQ_HEAD(, proxy) proxies; /* the next to serve first */
};

static void resolver_dispatch_parent(struct peer *, struct msg *, int, void *);
static void resolver_dispatch_proxy(struct peer *, struct msg *, int, void *);
static void proxy_gone(struct peer *, enum peer_end, const char *, void *);
static void resolver_serve(struct resolver *);

static const struct peer_ops parent_ops = { .message = resolver_dispatch_parent,
	.gone = sibling_gone };

static const struct peer_ops proxy_ops = { .message = resolver_dispatch_proxy,
	.gone = proxy_gone };

/* --- answers ---------------------------------------------------------- */

static void
answer(
    struct proxy *p, int64_t id, const char *result, const struct dns_answer *a)
{
	char text[EGRESS_ADDRESSES_MAX][NETADDR_TEXT_MAX];
	const char *addresses[EGRESS_ADDRESSES_MAX];
	const char *chain[EGRESS_CHAIN_MAX];
	struct msg m;
	size_t i;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_resolved;
	m.id = id;
	m.u.resolved.result = result;
	for (i = 0; a != NULL && i < a->naddr; i++)
		addresses[i] = netaddr_text(&a->addr[i], text[i]);
	m.u.resolved.addresses.v = addresses;
	m.u.resolved.addresses.n = i;
	for (i = 0; a != NULL && i < a->nchain; i++)
		chain[i] = a->chain[i];
	m.u.resolved.chain.v = chain;
	m.u.resolved.chain.n = i;
	if (peer_send(p->peer, &m) == -1)
		log_warnx("cannot answer %s", peer_name(p->peer));
}

static void
request_free(struct request *q)
{
	evtimer_del(&q->deadline);
	if (q->slot != NULL)
		q->slot->request = NULL;
	else {
		TAILQ_REMOVE(&q->proxy->waiting, q, entry);
		q->proxy->nwaiting--;
	}
	free(q);
}

static void
request_end(struct request *q, const char *result, const struct dns_answer *a)
{
	answer(q->proxy, q->id, result, a);
	request_free(q);
}

static void
request_late(evutil_socket_t fd, short what, void *arg)
{
	struct request *q = arg;

	if (q->slot != NULL)
		lookup_expire(q->slot->lookup);
	else
		request_end(q, "dns_timeout", NULL);
}

/*
 * The hosts table has the first word. Returns false when it does not know the
 * name; else the request is answered, and no packet leaves.
 */
static bool
answer_from_hosts(struct proxy *p, int64_t id, const char *host)
{
	struct dns_answer a;

	switch (resolver_table_find(p->resolver->table, host, &a)) {
	case RESOLVER_HOST_UNKNOWN:
		return false;
	case RESOLVER_HOST_FOUND:
		answer(p, id, "ok", &a);
		break;
	case RESOLVER_HOST_TOO_MANY:
		answer(p, id, "dns_failed", NULL);
		break;
	}
	return true;
}

/* --- lookups ---------------------------------------------------------- */

static void
slot_done(const char *result, const struct dns_answer *a, void *arg)
{
	struct slot *s = arg;
	struct resolver *r = s->resolver;

	log_debug("%s: %s, %zu addresses", s->request->host, result, a->naddr);
	request_end(s->request, result, a);
	resolver_serve(r);
}

/*
 * Servers change only on a channel without queries: a lookup in flight ends
 * with the ones it began with, the slot's next one starts with the new.
 */
static void
slot_start(struct slot *s, struct request *q)
{
	const struct resolver_table *t = s->resolver->table;

	if (s->generation != t->generation) {
		if (lookup_set_servers(s->lookup, t->servers, t->nservers) ==
		    -1) {
			request_end(q, "dns_failed", NULL);
			return;
		}
		s->generation = t->generation;
	}
	TAILQ_REMOVE(&q->proxy->waiting, q, entry);
	q->proxy->nwaiting--;
	q->slot = s;
	s->request = q;
	lookup_start(s->lookup, q->host, slot_done, s);
}

/* The proxies take turns, so that one that asks much delays itself alone. */
static struct request *
next_request(struct resolver *r)
{
	struct proxy *p;

	TAILQ_FOREACH(p, &r->proxies, entry) {
		if (p->nwaiting == 0)
			continue;
		TAILQ_REMOVE(&r->proxies, p, entry);
		TAILQ_INSERT_TAIL(&r->proxies, p, entry);
		return TAILQ_FIRST(&p->waiting);
	}
	return NULL;
}

static void
resolver_serve(struct resolver *r)
{
	struct request *q;
	size_t i;

	for (i = 0; i < RESOLVER_LOOKUPS_MAX; i++) {
		while (r->slots[i].request == NULL) {
			if ((q = next_request(r)) == NULL)
				return;
			slot_start(&r->slots[i], q);
		}
	}
}

static void
proxy_resolve(struct proxy *p, const struct msg *m)
{
	const char *host = m->u.resolve.host;
	struct timeval tv = { RESOLVER_LOOKUP_MS / 1000,
		RESOLVER_LOOKUP_MS % 1000 * 1000L };
	struct resolver *r = p->resolver;
	char canon[HOSTNAME_MAX + 1];
	struct request *q;

	/* A proxy that sends another form has not been through policy. */
	if (hostname_canon(host, strlen(host), canon) == -1 ||
	    strcmp(canon, host) != 0)
		fatalx("%s: a name that is not canonical", peer_name(p->peer));
	if (r->table == NULL)
		fatalx(
		    "%s: a request before the first table", peer_name(p->peer));
	if (answer_from_hosts(p, m->id, host))
		return;
	if (p->nwaiting == RESOLVER_QUEUE_MAX ||
	    (q = calloc(1, sizeof(*q))) == NULL) {
		log_debug("%s: too many lookups wait", peer_name(p->peer));
		answer(p, m->id, "overloaded", NULL);
		return;
	}
	q->proxy = p;
	q->id = m->id;
	memcpy(q->host, canon, sizeof(q->host));
	TAILQ_INSERT_TAIL(&p->waiting, q, entry);
	p->nwaiting++;
	evtimer_assign(&q->deadline, r->base, request_late, q);
	if (evtimer_add(&q->deadline, &tv) == -1) {
		request_end(q, "dns_failed", NULL);
		return;
	}
	resolver_serve(r);
}

/* --- the table -------------------------------------------------------- */

static void
table_begin(struct resolver *r, const struct msg_table_begin *m)
{
	if (strcmp(m->table, "resolver") != 0 || r->next != NULL)
		fatalx("parent: table.begin out of place");
	r->next = xcalloc(1, sizeof(*r->next));
	r->next->generation = m->generation;
}

static void
table_end(struct resolver *r, const struct msg_table_end *m)
{
	struct resolver_table *t = r->next;

	if (t == NULL || strcmp(m->table, "resolver") != 0 ||
	    m->generation != t->generation ||
	    m->count != (int64_t)(t->nservers + t->nhosts))
		fatalx("parent: table.end does not fit its table");
	free(r->table);
	r->table = t;
	r->next = NULL;
	sibling_send_applied(r->parent, "resolver", t->generation);
	log_debug("generation %lld: %zu servers, %zu hosts",
	    (long long)t->generation, t->nservers, t->nhosts);
}

/* --- links ------------------------------------------------------------ */

static void
resolver_dispatch_parent(struct peer *p, struct msg *m, int fd, void *arg)
{
	struct resolver *r = arg;

	switch (m->type) {
	case MSG_TYPE_table_begin:
		table_begin(r, &m->u.table_begin);
		break;
	case MSG_TYPE_server_row:
		if (resolver_table_add_server(r->next, &m->u.server_row) == -1)
			fatalx("parent: bad server.row");
		break;
	case MSG_TYPE_host_row:
		if (resolver_table_add_host(r->next, &m->u.host_row) == -1)
			fatalx("parent: bad host.row");
		break;
	case MSG_TYPE_table_end:
		table_end(r, &m->u.table_end);
		break;
	case MSG_TYPE_go:
		break;
	default:
		fatalx("parent: unexpected message %d", (int)m->type);
	}
}

static void
resolver_dispatch_proxy(struct peer *p, struct msg *m, int fd, void *arg)
{
	switch (m->type) {
	case MSG_TYPE_resolve:
		proxy_resolve(arg, m);
		break;
	default:
		fatalx("%s: unexpected message %d", peer_name(p), (int)m->type);
	}
}

/* The parent takes the daemon down; until then the others are served. */
static void
proxy_gone(struct peer *peer, enum peer_end end, const char *why, void *arg)
{
	struct proxy *p = arg;
	struct resolver *r = p->resolver;
	struct request *q;
	size_t i;

	log_debug("%s is gone: %s", peer_name(peer), why);
	while ((q = TAILQ_FIRST(&p->waiting)) != NULL)
		request_free(q); /* takes it off the queue */
	for (i = 0; i < RESOLVER_LOOKUPS_MAX; i++) {
		q = r->slots[i].request;
		if (q == NULL || q->proxy != p)
			continue;
		lookup_cancel(r->slots[i].lookup);
		request_free(q);
	}
	TAILQ_REMOVE(&r->proxies, p, entry);
	peer_free(&p->peer);
	free(p);
	resolver_serve(r);
}

/* --- start ------------------------------------------------------------ */

/* Before the sandbox: c-ares opens /dev/urandom for each channel. */
static void
resolver_open(struct resolver *r)
{
	size_t i;

	/* Names are absolute and options ours, whatever the environment. */
	unsetenv("RES_OPTIONS");
	unsetenv("LOCALDOMAIN");
	unsetenv("HOSTALIASES");
	unsetenv("CARES_HOSTS");
	/* c-ares writes to TCP servers that may have hung up. */
	signal(SIGPIPE, SIG_IGN);
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		fatalx("c-ares does not start");
	for (i = 0; i < RESOLVER_LOOKUPS_MAX; i++) {
		r->slots[i].resolver = r;
		if ((r->slots[i].lookup = lookup_new()) == NULL)
			fatalx("c-ares gives no channel");
	}
}

static void
resolver_add_proxy(struct resolver *r, unsigned i)
{
	struct proxy *p = xcalloc(1, sizeof(*p));

	p->resolver = r;
	TAILQ_INIT(&p->waiting);
	p->peer = sibling_link(r->base, PROC_FD_FIRST + (int)i, SIDE_RESOLVER,
	    SIDE_PROXY, "resolver", "proxy", &proxy_ops, p);
	TAILQ_INSERT_TAIL(&r->proxies, p, entry);
}

void
resolver_main(const struct proc_self *self)
{
	struct resolver *r = xcalloc(1, sizeof(*r));
	struct sandbox_state state;
	unsigned i;

	TAILQ_INIT(&r->proxies);
	resolver_open(r);
	state = proc_enter(self, RESOLVER_NOFILE, 0, SANDBOX_RESOLVER);

	if ((r->base = event_base_new()) == NULL)
		fatalx("no event loop");
	for (i = 0; i < RESOLVER_LOOKUPS_MAX; i++)
		lookup_attach(r->slots[i].lookup, r->base);
	r->parent = sibling_link(r->base, PROC_FD_PARENT, SIDE_RESOLVER,
	    SIDE_PARENT, "resolver", "parent", &parent_ops, r);
	for (i = 0; i < self->nlinks; i++)
		resolver_add_proxy(r, i);

	sibling_send_ready(r->parent, &state);
	event_base_dispatch(r->base);
	fatalx("the event loop ended");
}
