#include <string.h>

#include "egressd_parent.h"

bool
parent_config_read(
    struct daemon_config *d, const char *file, struct conf **conf)
{
	struct egress_config *c;

	c = egress_config_read(file, d->text, d->len, conf);
	d->own = c;
	if (c == NULL)
		return false;
	d->conf = c->conf;
	d->socket = c->socket;
	d->audit = c->audit;
	d->sha256 = c->sha256;
	d->peers = c->peers;
	d->npeers = c->npeers;
	d->user_parent = c->user_parent;
	d->user_audit = c->user_audit;
	d->users[d->nusers++] = c->user_parent;
	d->users[d->nusers++] = c->user_frontend;
	d->users[d->nusers++] = c->user_proxy;
	d->users[d->nusers++] = c->user_resolver;
	d->users[d->nusers++] = c->user_audit;
	d->users[d->nusers++] = c->user_fw;
	/* Without packet rules the last is not. */
	d->needed = d->nusers - !c->nft;
	return true;
}

void
parent_config_free(struct daemon_config *d)
{
	struct egress_config *c = d->own;

	egress_config_free(&c);
	d->own = NULL;
}

const char *
parent_config_fixed(const void *was, const void *is)
{
	const struct egress_config *a = was, *b = is;

	if (a->workers != b->workers)
		return "workers";
	if (a->nft != b->nft)
		return "nft";
	if (strcmp(a->nft_table, b->nft_table) != 0)
		return "nft_table";
	if (strcmp(a->prefix, b->prefix) != 0)
		return "interface_prefix";
	if (a->proxy_port != b->proxy_port)
		return "proxy_port";
	if (a->nnetworks != b->nnetworks ||
	    memcmp(a->networks, b->networks, sizeof(a->networks)) != 0)
		return "run_networks";
	return NULL;
}

/* Listeners that stay are shared with those in force. */
int
parent_reload_prepare(struct daemon *d, char *why, size_t whylen)
{
	struct parent *p = parent_of(d);

	return parent_listen_all(d->next.own, p->sets, p->nsets, p->next_sets,
	    &p->nnext_sets, 0, why, whylen);
}

void
parent_reload_drop(struct daemon *d)
{
	struct parent *p = parent_of(d);

	parent_listen_close(p->next_sets, p->nnext_sets, p->sets, p->nsets);
}

static bool
in_next(const struct parent *p, const struct listen_set *set)
{
	size_t i;

	for (i = 0; i < p->nnext_sets; i++) {
		if (set->port == p->next_sets[i].port &&
		    netaddr_equal(&set->addr, &p->next_sets[i].addr))
			return true;
	}
	return false;
}

static void
close_listeners(struct parent *p)
{
	struct msg m;
	char addr[PARENT_ADDRESS_MAX];
	size_t i, j;

	for (i = 0; i < p->nsets; i++) {
		if (in_next(p, &p->sets[i]))
			continue;
		parent_address_text(
		    &p->sets[i].addr, p->sets[i].port, addr, sizeof(addr));
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_listener_close;
		m.u.listener_close.address = addr;
		for (j = 0; j < p->d.nchildren; j++) {
			if (p->d.child[j].side == SIDE_PROXY)
				peer_send(p->d.child[j].peer, &m);
		}
	}
	parent_listen_close(p->sets, p->nsets, p->next_sets, p->nnext_sets);
}

void
parent_reload_done(struct daemon *d)
{
	struct parent *p = parent_of(d);

	close_listeners(p);
	memcpy(p->sets, p->next_sets, sizeof(p->sets));
	p->nsets = p->nnext_sets;
	parent_send_listeners(p);
}
