#include <sys/socket.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/log.h"

#include "egressd_parent.h"

/* Where runs are opened, and under what. Returns the rows. */
static int64_t
send_runs(
    struct parent *p, struct daemon_child *c, const struct egress_config *conf)
{
	char text[EGRESS_NETWORKS_MAX][NETADDR_PREFIX_TEXT_MAX];
	const char *networks[EGRESS_NETWORKS_MAX];
	struct msg m;
	size_t i;

	for (i = 0; i < conf->nnetworks; i++)
		networks[i] = netprefix_text(&conf->networks[i], text[i]);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_runs_row;
	m.u.runs_row.prefix = conf->prefix;
	m.u.runs_row.port = conf->proxy_port;
	m.u.runs_row.enforced = p->nft;
	m.u.runs_row.networks.v = networks;
	m.u.runs_row.networks.n = conf->nnetworks;
	daemon_child_send(c, &m);
	for (i = 0; i < conf->nprofiles; i++) {
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_profile_row;
		m.u.profile_row.name = conf->profiles[i].name;
		daemon_child_send(c, &m);
	}
	return (int64_t)conf->nprofiles + 1;
}

static void
send_rule(
    struct daemon_child *c, const char *profile, const struct egress_rule *r)
{
	char text[EGRESS_CIDR_MAX][NETADDR_PREFIX_TEXT_MAX];
	const char *cidr[EGRESS_CIDR_MAX];
	struct msg m;
	size_t i;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rule_row;
	m.u.rule_row.profile = profile;
	if (r == NULL) {
		m.u.rule_row.empty = true;
		daemon_child_send(c, &m);
		return;
	}
	m.u.rule_row.deny = r->deny;
	m.u.rule_row.index = r->index;
	m.u.rule_row.host = r->host;
	for (i = 0; i < r->ncidr; i++)
		cidr[i] = netprefix_text(&r->cidr[i], text[i]);
	m.u.rule_row.cidr.v = cidr;
	m.u.rule_row.cidr.n = r->ncidr;
	m.u.rule_row.port = r->port;
	m.u.rule_row.sni_optional = r->sni_optional;
	m.u.rule_row.proto_any = r->proto_any;
	m.u.rule_row.ech_allow = r->ech_allow;
	m.u.rule_row.bytes_up = r->bytes_up;
	m.u.rule_row.bytes_down = r->bytes_down;
	daemon_child_send(c, &m);
}

static int64_t
send_policy(struct daemon_child *c, const struct egress_config *conf)
{
	const struct egress_profile *pr;
	int64_t count = 0;
	size_t i, j;

	for (i = 0; i < conf->nprofiles; i++) {
		pr = &conf->profiles[i];
		if (pr->nrules == 0) {
			send_rule(c, pr->name, NULL);
			count++;
		}
		for (j = 0; j < pr->nrules; j++, count++)
			send_rule(c, pr->name, &pr->rules[j]);
	}
	return count;
}

static int64_t
send_resolver(struct daemon_child *c, const struct egress_config *conf)
{
	char text[NETADDR_TEXT_MAX];
	struct msg m;
	size_t i;

	for (i = 0; i < conf->nservers; i++) {
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_server_row;
		m.u.server_row.address =
		    netaddr_text(&conf->servers[i].addr, text);
		m.u.server_row.port = conf->servers[i].port;
		daemon_child_send(c, &m);
	}
	for (i = 0; i < conf->nhosts; i++) {
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_host_row;
		m.u.host_row.name = conf->hosts[i].name;
		m.u.host_row.address = netaddr_text(&conf->hosts[i].addr, text);
		daemon_child_send(c, &m);
	}
	return (int64_t)(conf->nservers + conf->nhosts);
}

void
parent_send_table(struct daemon *d, struct daemon_child *c)
{
	const struct egress_config *conf = d->now.own;
	int64_t count = 0;

	daemon_table_begin(c);
	switch (c->side) {
	case SIDE_FRONTEND:
		count =
		    daemon_table_peers(c) + send_runs(parent_of(d), c, conf);
		break;
	case SIDE_PROXY:
		count = send_policy(c, conf);
		break;
	case SIDE_RESOLVER:
		count = send_resolver(c, conf);
		break;
	default:
		panic("%s has no table", c->role);
	}
	daemon_table_end(c, count);
}

/* "192.0.2.1:3128", "[2001:db8::1]:3128": a listener's name on the links. */
void
parent_address_text(
    const struct netaddr *addr, uint16_t port, char *buf, size_t len)
{
	char text[NETADDR_TEXT_MAX];

	netaddr_text(addr, text);
	snprintf(buf, len, addr->family == AF_INET6 ? "[%s]:%u" : "%s:%u", text,
	    port);
}

/*
 * Hand each worker its socket of each set. A worker that already has one of
 * that address replaces name and profile, which is what a reload may change.
 */
void
parent_send_listeners(struct parent *p)
{
	const struct egress_listener *l;
	struct daemon_child *c;
	struct msg m;
	char addr[PARENT_ADDRESS_MAX];
	size_t i, j;
	int fd;

	for (i = 0; i < p->nsets; i++) {
		l = &parent_config(p)->listeners[i];
		parent_address_text(&l->addr, l->port, addr, sizeof(addr));
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_listener;
		m.u.listener.name = l->name;
		m.u.listener.address = addr;
		m.u.listener.profile = l->profile;
		for (j = 0; j < p->d.nchildren; j++) {
			c = &p->d.child[j];
			if (c->side != SIDE_PROXY)
				continue;
			fd = fcntl(p->sets[i].fd[c->instance], F_DUPFD_CLOEXEC,
			    PROC_FD_FIRST);
			if (fd == -1)
				fatal("dup of a listening socket");
			if (peer_send_fd(c->peer, &m, fd) == -1)
				panic("cannot send a listener");
		}
	}
	/* Policy and listeners are whole: open tunnels can be judged by them.
	 */
	daemon_send(&p->d, SIDE_PROXY, MSG_TYPE_go);
}

/* --- status ----------------------------------------------------------- */

void
parent_state(struct daemon *d, struct daemon_state *s)
{
	const struct parent *p = parent_of(d);
	const struct egress_config *c = parent_config(p);

	daemon_state_add(s, "workers", "%lld", (long long)c->workers);
	daemon_state_add(s, "listeners", "%zu", c->nlisteners);
	daemon_state_add(s, "profiles", "%zu", c->nprofiles);
	if (!p->nft)
		daemon_state_add(s, "nft", "%s", p->nft_why);
	else
		daemon_state_add(s, "nft", "%s, table %s, interfaces %s*",
		    p->rules_lost ? "LOST" : "closed", c->nft_table, c->prefix);
}
