/* What is written about a client: one record each, before it takes effect. */

#include <stdio.h>
#include <string.h>

#include "libcommon/clock.h"

#include "proxy.h"

/* All tunnels may end at once, and each has its close record. */
_Static_assert(AUDIT_LASTING_MAX >= PROXY_CLIENTS_MAX + PROXY_OVERLOAD_MAX,
    "close records would be lost");

struct address_list {
	char text[EGRESS_ADDRESSES_MAX][NETADDR_TEXT_MAX];
	const char *v[EGRESS_ADDRESSES_MAX];
};

static struct msg_list
addresses(const struct client *c, struct address_list *l)
{
	struct msg_list list;
	size_t i;

	for (i = 0; i < c->naddr; i++)
		l->v[i] = netaddr_text(&c->addr[i], l->text[i]);
	list.v = l->v;
	list.n = c->naddr;
	return list;
}

static struct msg_list
chain(const struct client *c, const char *v[EGRESS_CHAIN_MAX])
{
	struct msg_list list;
	size_t i;

	for (i = 0; i < c->nchain && i < EGRESS_CHAIN_MAX; i++)
		v[i] = c->chain[i];
	list.v = v;
	list.n = i;
	return list;
}

static const char *
or_null(const char *s)
{
	return s[0] != '\0' ? s : NULL;
}

/* 4xx are denials; 5xx tell of what policy let pass and did not work. */
int
record_refusal(struct client *c, audit_done_fn *done)
{
	const struct egress_code_info *info = egress_code_info(c->code);
	struct address_list list;
	const char *v[EGRESS_CHAIN_MAX], *host;
	struct msg m;

	host = or_null(c->dest.name[0] != '\0' ? c->dest.name : c->target);
	memset(&m, 0, sizeof(m));
	if (info->status < 500) {
		m.type = MSG_TYPE_rec_deny;
		m.u.rec_deny.run = proxy_run_id(c->listener->run);
		m.u.rec_deny.listener = or_null(c->listener->name);
		m.u.rec_deny.host = host;
		m.u.rec_deny.port = c->dest.port;
		m.u.rec_deny.code = info->name;
		m.u.rec_deny.status = info->status;
		m.u.rec_deny.rule = or_null(c->rule);
		m.u.rec_deny.addresses = addresses(c, &list);
		m.u.rec_deny.chain = chain(c, v);
	} else {
		m.type = MSG_TYPE_rec_tunnel_fail;
		m.u.rec_tunnel_fail.run = proxy_run_id(c->listener->run);
		m.u.rec_tunnel_fail.listener = or_null(c->listener->name);
		m.u.rec_tunnel_fail.host = host;
		m.u.rec_tunnel_fail.port = c->dest.port;
		m.u.rec_tunnel_fail.code = info->name;
		m.u.rec_tunnel_fail.status = info->status;
		m.u.rec_tunnel_fail.rule = or_null(c->rule);
		m.u.rec_tunnel_fail.addresses = addresses(c, &list);
	}
	return audit_client_send(c->proxy->audit, &m, done, c);
}

int
record_open(struct client *c, audit_done_fn *done)
{
	struct address_list list;
	const char *v[EGRESS_CHAIN_MAX];
	char text[NETADDR_TEXT_MAX];
	struct msg m;

	snprintf(c->id, sizeof(c->id), "%s-%llu", c->proxy->tag,
	    (unsigned long long)++c->proxy->next_id);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rec_tunnel_open;
	m.u.rec_tunnel_open.run = proxy_run_id(c->listener->run);
	m.u.rec_tunnel_open.listener = or_null(c->listener->name);
	m.u.rec_tunnel_open.id = c->id;
	m.u.rec_tunnel_open.host = c->dest.name;
	m.u.rec_tunnel_open.port = c->dest.port;
	m.u.rec_tunnel_open.rule = c->rule;
	m.u.rec_tunnel_open.generation = c->generation;
	m.u.rec_tunnel_open.addresses = addresses(c, &list);
	m.u.rec_tunnel_open.address = netaddr_text(&c->peer_addr, text);
	m.u.rec_tunnel_open.chain = chain(c, v);
	return audit_client_send(c->proxy->audit, &m, done, c);
}

static void
close_message(const struct client *c, enum egress_end end, int64_t up,
    int64_t down, struct msg *m)
{
	memset(m, 0, sizeof(*m));
	m->type = MSG_TYPE_rec_tunnel_close;
	m->u.rec_tunnel_close.run = proxy_run_id(c->listener->run);
	m->u.rec_tunnel_close.listener = or_null(c->listener->name);
	m->u.rec_tunnel_close.id = c->id;
	m->u.rec_tunnel_close.host = c->dest.name;
	m->u.rec_tunnel_close.port = c->dest.port;
	m->u.rec_tunnel_close.end = egress_end_name(end);
	m->u.rec_tunnel_close.up = up;
	m->u.rec_tunnel_close.down = down;
	m->u.rec_tunnel_close.sni = or_null(c->sni);
	m->u.rec_tunnel_close.ms = clock_boot_ms() - c->opened_ms;
}

void
record_close(struct client *c, enum egress_end end, int64_t up, int64_t down)
{
	struct msg m;

	close_message(c, end, up, down, &m);
	audit_client_send_lasting(c->proxy->audit, &m, NULL, NULL);
}

void
record_unopened(struct client *c)
{
	struct msg m;

	close_message(c, END_shutdown, 0, 0, &m);
	audit_client_send_if_late(c->proxy->audit, &m);
}
