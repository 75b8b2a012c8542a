/*
 * A client from accept to the open tunnel, in this order: policy, DNS, classify
 * every answer, dial by address, verify, record, then answer.
 */

#include <sys/socket.h>
#include <sys/types.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"

#include "proxy.h"

#define HEAD_STEP 2048 /* what the head's buffer starts with */

static void client_read(int, short, void *);
static void client_timeout(int, short, void *);

/* --- life ------------------------------------------------------------- */

void
client_set_state(struct client *c, enum client_state state)
{
	static const char *const names[] = { "head", "resolve", "dial",
		"record", "hello", "relay", "refuse", "linger" };
	static const int limit_ms[] = { PROXY_HEAD_MS, PROXY_RESOLVE_MS,
		PROXY_DIAL_MS, 0, PROXY_HELLO_MS, PROXY_IDLE_MS, 0,
		PROXY_LINGER_MS };

	log_debug("client %d: %s -> %s", c->fd, names[c->state], names[state]);
	c->state = state;
	evtimer_del(c->timer);
	if (limit_ms[state] > 0)
		proxy_timer(c->timer, limit_ms[state]);
	switch (state) {
	case CLIENT_HEAD:
	case CLIENT_LINGER:
		event_add(c->ev_read, NULL);
		break;
	case CLIENT_RESOLVE:
	case CLIENT_DIAL:
	case CLIENT_RECORD:
	case CLIENT_REFUSE:
	case CLIENT_HELLO: /* the tunnel has events of its own */
	case CLIENT_RELAY:
		event_del(c->ev_read);
		break;
	}
}

static struct client *
client_alloc(struct proxy_listener *l, int fd)
{
	struct client *c;

	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->proxy = l->proxy;
	c->fd = fd;
	c->upstream = -1;
	c->ev_read =
	    event_new(l->proxy->base, fd, EV_READ | EV_PERSIST, client_read, c);
	c->ev_write = event_new(
	    l->proxy->base, fd, EV_WRITE | EV_PERSIST, client_linger_write, c);
	c->timer = evtimer_new(l->proxy->base, client_timeout, c);
	if (c->ev_read == NULL || c->ev_write == NULL || c->timer == NULL) {
		if (c->ev_read != NULL)
			event_free(c->ev_read);
		if (c->ev_write != NULL)
			event_free(c->ev_write);
		if (c->timer != NULL)
			event_free(c->timer);
		free(c);
		return NULL;
	}
	return c;
}

void
client_new(struct proxy_listener *l, int fd)
{
	struct proxy *p = l->proxy;
	struct client *c;

	c = client_alloc(l, fd);
	if (c == NULL) {
		close(fd);
		return;
	}
	c->listener = l;
	l->refs++;
	l->clients++;
	TAILQ_INSERT_TAIL(&p->clients, c, entry);
	p->nclients++;
	p->counters.accepted++;
	proxy_head_init(&c->head);
	client_set_state(c, CLIENT_HEAD);
	/* Before it has said a word: silent ones take their place too. */
	if (l->clients > p->max_of_listener)
		client_refuse(c, CODE_limit, NULL);
	else if (p->nclients > p->max_clients)
		client_refuse(c, CODE_overloaded, NULL);
	else if (p->draining)
		client_refuse(c, CODE_draining, NULL);
}

void
client_free(struct client *c)
{
	struct proxy *p = c->proxy;

	if (p->revoke_next == c)
		p->revoke_next = TAILQ_NEXT(c, entry);
	if (c->request != 0)
		RB_REMOVE(lookup_tree, &p->lookups, c);
	audit_client_forget(p->audit, c);
	event_free(c->ev_read);
	event_free(c->ev_write);
	event_free(c->timer);
	relay_free(&c->relay);
	dial_free(&c->dial);
	tls_client_free(&c->tls);
	close(c->fd);
	if (c->upstream != -1)
		close(c->upstream);
	c->listener->clients--;
	proxy_listener_unref(c->listener);
	TAILQ_REMOVE(&p->clients, c, entry);
	p->nclients--;
	free(c->buf);
	free(c->chain);
	free(c->answer);
	free(c);
	proxy_client_gone(p);
}

/* --- policy, DNS, addresses ------------------------------------------- */

/*
 * The verdict on c->dest by the policy in force; copies what must outlive
 * that policy. v->rule is good until the next turn of the loop.
 */
static enum egress_code
client_decide(
    struct client *c, const struct policy_profile **pr, struct verdict *v)
{
	const struct policy *policy = c->proxy->policy;

	v->code = CODE_no_policy;
	v->rule = NULL;
	/* A listener that a reload took away stands under no policy. */
	if (policy == NULL || c->listener->closed)
		return v->code;
	c->generation = policy_generation(policy);
	c->rule[0] = '\0';
	*pr = policy_profile(policy, c->listener->profile);
	/* A run can outlive its profile; configured listeners cannot. */
	if (*pr == NULL)
		return v->code;
	policy_decide(*pr, &c->dest, v);
	if (v->rule != NULL) {
		strlcpy(c->rule, v->rule->id, sizeof(c->rule));
		c->sni_optional = v->rule->sni_optional;
		c->proto_any = v->rule->proto_any;
		c->ech_allow = v->rule->ech_allow;
		c->budget_up = v->rule->bytes_up;
		c->budget_down = v->rule->bytes_down;
	}
	return v->code;
}

static enum egress_code
address_verdict(struct client *c, const struct policy_profile *pr,
    const struct policy_rule *rule, const struct netaddr *a)
{
	const struct policy_rule *deny = NULL;
	enum egress_code code;
	int self;

	code = policy_address(pr, rule, &c->dest, a, &deny);
	/* Whatever the rules say of it, our own address is "self". */
	if (code != CODE_address_prohibited && (self = dial_is_self(a)) != 0)
		return self == 1 ? CODE_self : CODE_overloaded;
	if (code == CODE_host && deny != NULL)
		strlcpy(c->rule, deny->id, sizeof(c->rule));
	return code;
}

/*
 * Judge c->dest and every address of it by the policy in force. All must
 * pass, or none is used: a name that leads to a public and to a private
 * address is not half good.
 */
static enum egress_code
client_classify(struct client *c)
{
	const struct policy_profile *pr;
	struct verdict v;
	enum egress_code code, worst;
	size_t i;

	worst = client_decide(c, &pr, &v);
	for (i = 0; i < c->naddr && v.code == CODE_ok; i++) {
		code = address_verdict(c, pr, v.rule, &c->addr[i]);
		if (code == CODE_address_prohibited)
			return code;
		if (code != CODE_ok)
			worst = code;
	}
	return worst;
}

static void
client_dial(struct client *c)
{
	enum egress_code code;

	code = client_classify(c);
	if (code != CODE_ok) {
		client_refuse(c, code, NULL);
		return;
	}
	client_set_state(c, CLIENT_DIAL);
	c->dial = dial_new(c);
	if (c->dial == NULL)
		client_refuse(c, CODE_overloaded, NULL);
}

static void
client_resolve(struct client *c)
{
	struct proxy *p = c->proxy;
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_resolve;
	m.id = peer_next_id(p->resolver);
	m.u.resolve.host = c->dest.name;
	if (peer_send(p->resolver, &m) == -1) {
		client_refuse(c, CODE_overloaded, NULL);
		return;
	}
	c->request = m.id;
	RB_INSERT(lookup_tree, &p->lookups, c);
	client_set_state(c, CLIENT_RESOLVE);
}

static int
copy_chain(struct client *c, const struct msg_list *chain)
{
	size_t i;

	if (chain->n == 0)
		return 0;
	c->chain = calloc(chain->n, sizeof(*c->chain));
	if (c->chain == NULL)
		return -1;
	for (i = 0; i < chain->n; i++)
		strlcpy(c->chain[i], chain->v[i], sizeof(c->chain[i]));
	c->nchain = chain->n;
	return 0;
}

void
client_resolved(struct client *c, const struct msg_resolved *r)
{
	enum egress_code code;
	size_t i;

	if (copy_chain(c, &r->chain) == -1) {
		client_refuse(c, CODE_overloaded, NULL);
		return;
	}
	if (strcmp(r->result, "ok") != 0) {
		code = egress_code_by_name(r->result);
		if (code == CODE_MAX)
			fatalx(
			    "unknown result %s from the resolver", r->result);
		client_refuse(c, code, NULL);
		return;
	}
	for (i = 0; i < r->addresses.n && i < EGRESS_ADDRESSES_MAX; i++) {
		if (netaddr_parse(r->addresses.v[i], strlen(r->addresses.v[i]),
		        &c->addr[i]) == -1)
			fatalx("bad address from the resolver");
		c->naddr++;
	}
	if (c->naddr == 0)
		client_refuse(c, CODE_dns_empty, NULL);
	else
		client_dial(c);
}

/* The head is whole: c->dest is where it wants to go. */
static void
client_judge(struct client *c)
{
	const struct policy_profile *pr;
	struct verdict v;
	enum egress_code code;

	c->dest = c->head.dest;
	if (!audit_client_healthy(c->proxy->audit)) {
		client_refuse(c, CODE_unrecordable, NULL);
		return;
	}
	code = client_decide(c, &pr, &v);
	if (code == CODE_ok && !c->head.connect)
		code = CODE_method;
	if (code != CODE_ok) {
		client_refuse(c, code, NULL);
		return;
	}
	/* What stands behind the head belongs to the tunnel. */
	c->len -= c->head.len;
	memmove(c->buf, c->buf + c->head.len, c->len);
	if (c->dest.kind == DEST_ADDRESS) {
		c->addr[0] = c->dest.addr;
		c->naddr = 1;
		client_dial(c);
	} else
		client_resolve(c);
}

/* The tunnel may not be, since its open record is not. */
static void
client_unopened(struct client *c)
{
	client_count_refusal(c, CODE_unrecordable);
	client_refuse_now(c, CODE_unrecordable, NULL);
}

static void
client_opened(bool ok, void *arg)
{
	struct client *c = arg;

	if (ok) {
		tunnel_start(c);
		return;
	}
	record_unopened(c);
	client_unopened(c);
}

void
client_dialled(
    struct client *c, enum egress_code code, int fd, const struct netaddr *a)
{
	dial_free(&c->dial);
	if (code != CODE_ok) {
		client_refuse(c, code, NULL);
		return;
	}
	c->upstream = fd;
	c->peer_addr = *a;
	/* A reload while we dialled: the policy in force decides. */
	if (policy_generation(c->proxy->policy) != c->generation) {
		code = client_classify(c);
		if (code != CODE_ok) {
			client_refuse(c, code, NULL);
			return;
		}
	}
	c->opened_ms = clock_boot_ms();
	client_set_state(c, CLIENT_RECORD);
	if (record_open(c, client_opened) == -1)
		client_unopened(c);
}

/* --- events ----------------------------------------------------------- */

static void
client_timeout(int fd, short what, void *arg)
{
	struct client *c = arg;

	switch (c->state) {
	case CLIENT_HEAD:
		/* A connection that never spoke is no request to record. */
		if (c->len == 0)
			client_free(c);
		else
			client_refuse(c, CODE_timeout, NULL);
		break;
	case CLIENT_RESOLVE:
		RB_REMOVE(lookup_tree, &c->proxy->lookups, c);
		c->request = 0;
		client_refuse(c, CODE_dns_timeout, NULL);
		break;
	case CLIENT_DIAL:
		dial_free(&c->dial);
		client_refuse(c, CODE_connect_timeout, NULL);
		break;
	case CLIENT_HELLO:
		tunnel_end(c, END_no_hello);
		break;
	case CLIENT_LINGER:
		client_free(c);
		break;
	case CLIENT_RELAY:
		tunnel_timeout(c);
		break;
	case CLIENT_RECORD: /* audit_client has a limit of its own */
	case CLIENT_REFUSE:
		break;
	}
}

/* Room for one more read, up to the largest head. */
static bool
head_room(struct client *c)
{
	uint8_t *buf;
	size_t cap;

	if (c->len < c->cap)
		return true;
	cap = c->cap == 0 ? HEAD_STEP : c->cap * 2;
	buf = realloc(c->buf, cap);
	if (buf == NULL)
		return false;
	c->buf = buf;
	c->cap = cap;
	return true;
}

static void
head_read(struct client *c)
{
	ssize_t n;

	if (!head_room(c)) {
		client_refuse(c, CODE_overloaded, NULL);
		return;
	}
	n = recv(c->fd, c->buf + c->len, c->cap - c->len, 0);
	if (n == -1) {
		if (errno != EAGAIN && errno != EINTR)
			client_free(c);
		return;
	}
	if (n == 0) {
		if (c->len == 0)
			client_free(c);
		else
			client_refuse(c, CODE_malformed,
			    "the request head ends in the middle");
		return;
	}
	c->len += (size_t)n;
	switch (proxy_head_parse(&c->head, (char *)c->buf, c->len)) {
	case 1:
		client_judge(c);
		break;
	case -1:
		client_refuse(c, c->head.code, c->head.reason);
		break;
	default:
		break;
	}
}

static void
client_read(int fd, short what, void *arg)
{
	struct client *c = arg;

	if (c->state == CLIENT_HEAD)
		head_read(c);
	else if (c->state == CLIENT_LINGER)
		client_linger_read(c);
}
