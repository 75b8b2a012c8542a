/*
 * One lookup: an A and an AAAA query, each on a c-ares channel of its own.
 *
 * What was found in the source of c-ares 1.18.1 (Debian's 1.18.1-3), and what
 * follows from it:
 * - A channel keeps one connected UDP socket for each server while queries are
 *   pending and closes it with the last one. One query a channel therefore
 *   means a fresh source port, chosen by the kernel, for every query, and a
 *   kernel that drops what comes from another address or port. (Two queries
 *   would also share one pending socket error, which only one of them sees.)
 * - Its transaction ids come from an RC4 whose state is read from /dev/urandom
 *   only in part, once, as the channel is made, and from rand(3) where that
 *   cannot be opened. Ours come from arc4random: we write the queries
 *   (ares_create_query, ares_send), c-ares only carries them.
 * - An answer with another id or question is ignored and the query goes on
 *   waiting. SERVFAIL, NOTIMP and REFUSED go on to the next try. TC and
 *   answers over the EDNS size are asked again over TCP.
 * - FORMERR without an OPT switches EDNS off for the rest of the channel's
 *   life, but repeats only the query that met it first: those of later lookups
 *   are repeated without an OPT here.
 * - The wait doubles with each round of the servers: 1.5 s, then 3 s.
 * - A callback may come from inside ares_send: the end of a lookup waits until
 *   c-ares has returned.
 * - Given every option, it reads neither resolv.conf nor nsswitch.conf; only
 *   RES_OPTIONS would still be looked at.
 */

#include <arpa/nameser.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <ares.h>
#include <event2/event_struct.h>

#include "egressd/resolver.h"
#include "libcommon/log.h"

#define QUERY_SOCKETS_MAX ((size_t)2 * EGRESS_SERVERS_MAX) /* UDP, TCP */
#define QUERY_TRIES 2
#define QUERY_TRY_MS 1500
#define QUERY_EDNS_SIZE 1232 /* passes unfragmented everywhere */
/*
 * Some name servers never answer AAAA. When one family has addresses, the
 * other gets this long to come too; an address that comes later is not used,
 * so nothing unclassified is ever dialled.
 */
#define LOOKUP_SECOND_MS 1000

enum query_state {
	QUERY_IDLE,
	QUERY_PENDING,
	QUERY_DONE, /* result and answer are valid */
	QUERY_TIMEOUT
};

struct query_socket {
	struct query *query;
	int fd; /* -1: free */
	struct event ev;
};

struct query {
	struct lookup *lookup;
	int family;
	int type;
	ares_channel channel;
	struct query_socket sockets[QUERY_SOCKETS_MAX];
	struct event timer; /* c-ares's own */
	enum query_state state;
	bool plain; /* repeated without EDNS */
	enum dns_result result;
	struct dns_answer answer;
};

struct lookup {
	struct event_base *base;
	struct query a, aaaa;
	struct event second; /* LOOKUP_SECOND_MS */
	size_t nservers;
	bool busy;
	char name[HOSTNAME_MAX + 1];
	lookup_done_fn *done;
	void *arg;
};

static void query_on_socket(evutil_socket_t, short, void *);
static void query_on_timer(evutil_socket_t, short, void *);
static void query_on_answer(void *, int, int, unsigned char *, int);
static void lookup_on_second(evutil_socket_t, short, void *);

/* --- a query ---------------------------------------------------------- */

static struct query_socket *
query_socket_find(struct query *q, int fd)
{
	size_t i;

	for (i = 0; i < QUERY_SOCKETS_MAX; i++) {
		if (q->sockets[i].fd == fd)
			return &q->sockets[i];
	}
	return NULL;
}

/* c-ares tells what it waits for on a socket; nothing: it is being closed. */
static void
query_watch(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct query *q = arg;
	struct query_socket *s = query_socket_find(q, fd);
	short what = EV_PERSIST;

	if (s != NULL) {
		event_del(&s->ev);
		s->fd = -1;
	}
	if (!readable && !writable)
		return;
	if (s == NULL && (s = query_socket_find(q, -1)) == NULL) {
		log_warnx("more DNS sockets than servers");
		return;
	}
	if (readable)
		what |= EV_READ;
	if (writable)
		what |= EV_WRITE;
	if (event_assign(
	        &s->ev, q->lookup->base, fd, what, query_on_socket, s) == -1 ||
	    event_add(&s->ev, NULL) == -1) {
		/* The lookup runs into its deadline. */
		log_warnx("cannot watch a DNS socket");
		return;
	}
	s->fd = fd;
}

/* Returns 0, or -1 when c-ares gives no channel. */
static int
query_init(struct query *q, struct lookup *l, int family, int type)
{
	char lookups[] = "b", nowhere[] = "/dev/null";
	struct ares_options opt;
	size_t i;

	q->lookup = l;
	q->family = family;
	q->type = type;
	for (i = 0; i < QUERY_SOCKETS_MAX; i++) {
		q->sockets[i].query = q;
		q->sockets[i].fd = -1;
	}
	memset(&opt, 0, sizeof(opt));
	opt.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS;
	opt.timeout = QUERY_TRY_MS;
	opt.tries = QUERY_TRIES;
	opt.ndots = 1;
	opt.lookups = lookups;
	opt.ednspsz = QUERY_EDNS_SIZE;
	opt.sock_state_cb = query_watch;
	opt.sock_state_cb_data = q;
	opt.resolvconf_path = nowhere;
	return ares_init_options(&q->channel, &opt,
	           ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
	               ARES_OPT_NDOTS | ARES_OPT_SERVERS | ARES_OPT_DOMAINS |
	               ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB |
	               ARES_OPT_SORTLIST | ARES_OPT_EDNSPSZ |
	               ARES_OPT_NOROTATE | ARES_OPT_RESOLVCONF) == ARES_SUCCESS
	    ? 0
	    : -1;
}

static void
query_end(struct query *q, enum dns_result result)
{
	q->state = QUERY_DONE;
	q->result = result;
}

/* Send it, with a transaction id of our own. */
static void
query_send(struct query *q)
{
	unsigned char *msg = NULL;
	int len, status;

	q->state = QUERY_PENDING;
	status = ares_create_query(q->lookup->name, ns_c_in, q->type,
	    (unsigned short)arc4random_uniform(65536), 1, &msg, &len,
	    q->plain ? 0 : QUERY_EDNS_SIZE);
	switch (status) {
	case ARES_SUCCESS:
		ares_send(q->channel, msg, len, query_on_answer, q);
		ares_free_string(msg);
		break;
	case ARES_ENOTFOUND: /* .onion (RFC 7686) */
		query_end(q, DNS_NXDOMAIN);
		break;
	default:
		query_end(q, DNS_FAILED);
		break;
	}
}

static void
query_start(struct query *q)
{
	q->plain = false;
	q->answer.naddr = 0;
	q->answer.nchain = 0;
	/* c-ares would leak a query that has no server to go to. */
	if (q->lookup->nservers > 0)
		query_send(q);
	else
		query_end(q, DNS_FAILED);
	/* It may be over already: go on from the loop, not from here. */
	event_active(&q->timer, EV_TIMEOUT, 0);
}

static void
query_on_answer(
    void *arg, int status, int timeouts, unsigned char *msg, int len)
{
	struct query *q = arg;

	switch (status) {
	case ARES_SUCCESS:
		if (!q->plain && len >= NS_HFIXEDSZ &&
		    (msg[3] & 0x0f) == ns_r_formerr) {
			q->plain = true;
			query_send(q);
			break;
		}
		query_end(q,
		    resolver_answer_parse(msg, (size_t)len, q->lookup->name,
		        q->family, &q->answer));
		break;
	case ARES_ETIMEOUT:
		q->state = QUERY_TIMEOUT;
		break;
	case ARES_ECANCELLED:
	case ARES_EDESTRUCTION:
		break;
	default:
		query_end(q, DNS_FAILED);
		break;
	}
}

/* What still waits is dropped and its sockets closed. */
static void
query_stop(struct query *q)
{
	event_del(&q->timer);
	ares_cancel(q->channel);
}

/* --- a lookup --------------------------------------------------------- */

/*
 * The verdict over both families. Addresses of one are enough: many servers
 * fail on AAAA alone, and what did not come is not dialled either.
 */
static const char *
lookup_merge(
    const struct query *a, const struct query *b, struct dns_answer *sum)
{
	memset(sum, 0, sizeof(*sum));
	if (resolver_answer_add(sum, &a->answer) == -1 ||
	    resolver_answer_add(sum, &b->answer) == -1) {
		memset(sum, 0, sizeof(*sum));
		return "dns_failed";
	}
	if (sum->naddr > 0)
		return "ok";
	if (a->state != QUERY_DONE && b->state != QUERY_DONE)
		return "dns_timeout";
	if (a->state != QUERY_DONE || b->state != QUERY_DONE ||
	    a->result == DNS_FAILED || b->result == DNS_FAILED)
		return "dns_failed";
	if (a->result == DNS_NXDOMAIN || b->result == DNS_NXDOMAIN)
		return "dns_nxdomain";
	return "dns_empty";
}

static void
lookup_stop(struct lookup *l)
{
	event_del(&l->second);
	query_stop(&l->a);
	query_stop(&l->aaaa);
	l->busy = false;
}

void
lookup_expire(struct lookup *l)
{
	struct dns_answer sum;
	const char *result;

	lookup_stop(l);
	result = lookup_merge(&l->a, &l->aaaa, &sum);
	l->done(result, &sum, l->arg);
}

/* c-ares has returned: is this the end, or when is it to be called again? */
static void
lookup_step(struct lookup *l, struct query *q)
{
	struct timeval tv,
	    second = { LOOKUP_SECOND_MS / 1000,
		    LOOKUP_SECOND_MS % 1000 * 1000L };

	if (l->a.state != QUERY_PENDING && l->aaaa.state != QUERY_PENDING) {
		lookup_expire(l);
		return;
	}
	if (q->answer.naddr > 0 && !evtimer_pending(&l->second, NULL))
		evtimer_add(&l->second, &second);
	if (ares_timeout(q->channel, NULL, &tv) != NULL)
		evtimer_add(&q->timer, &tv);
	else
		evtimer_del(&q->timer);
}

static void
query_on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct query_socket *s = arg;
	struct query *q = s->query;

	ares_process_fd(q->channel, what & EV_READ ? fd : ARES_SOCKET_BAD,
	    what & EV_WRITE ? fd : ARES_SOCKET_BAD);
	lookup_step(q->lookup, q);
}

static void
query_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct query *q = arg;

	ares_process_fd(q->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	lookup_step(q->lookup, q);
}

static void
lookup_on_second(evutil_socket_t fd, short what, void *arg)
{
	lookup_expire(arg);
}

struct lookup *
lookup_new(void)
{
	struct lookup *l;

	if ((l = calloc(1, sizeof(*l))) == NULL)
		return NULL;
	if (query_init(&l->a, l, AF_INET, ns_t_a) == -1 ||
	    query_init(&l->aaaa, l, AF_INET6, ns_t_aaaa) == -1) {
		lookup_free(&l);
		return NULL;
	}
	return l;
}

void
lookup_attach(struct lookup *l, struct event_base *base)
{
	l->base = base;
	evtimer_assign(&l->a.timer, base, query_on_timer, &l->a);
	evtimer_assign(&l->aaaa.timer, base, query_on_timer, &l->aaaa);
	evtimer_assign(&l->second, base, lookup_on_second, l);
}

int
lookup_set_servers(
    struct lookup *l, const struct egress_server *servers, size_t n)
{
	struct ares_addr_port_node nodes[EGRESS_SERVERS_MAX], *first;
	size_t i;

	l->nservers = 0;
	memset(nodes, 0, sizeof(nodes));
	for (i = 0; i < n && i < EGRESS_SERVERS_MAX; i++) {
		nodes[i].family = servers[i].addr.family;
		nodes[i].udp_port = nodes[i].tcp_port = servers[i].port;
		if (nodes[i].family == AF_INET)
			memcpy(&nodes[i].addr.addr4, servers[i].addr.b, 4);
		else
			memcpy(&nodes[i].addr.addr6, servers[i].addr.b, 16);
		if (i > 0)
			nodes[i - 1].next = &nodes[i];
	}
	first = i > 0 ? nodes : NULL;
	if (ares_set_servers_ports(l->a.channel, first) != ARES_SUCCESS ||
	    ares_set_servers_ports(l->aaaa.channel, first) != ARES_SUCCESS)
		return -1;
	l->nservers = i;
	return 0;
}

void
lookup_start(
    struct lookup *l, const char *name, lookup_done_fn *done, void *arg)
{
	if (l->busy)
		panic("lookup: started twice");
	l->busy = true;
	l->done = done;
	l->arg = arg;
	strlcpy(l->name, name, sizeof(l->name));
	query_start(&l->a);
	query_start(&l->aaaa);
}

void
lookup_cancel(struct lookup *l)
{
	if (l->busy)
		lookup_stop(l);
}

void
lookup_free(struct lookup **l)
{
	if (*l == NULL)
		return;
	lookup_cancel(*l);
	if ((*l)->a.channel != NULL)
		ares_destroy((*l)->a.channel);
	if ((*l)->aaaa.channel != NULL)
		ares_destroy((*l)->aaaa.channel);
	free(*l);
	*l = NULL;
}
