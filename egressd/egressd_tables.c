#include <sys/socket.h>

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/log.h"

#include "egressd_parent.h"

static const char *const table_names[] = {
	[TABLE_PEERS] = "peers",
	[TABLE_POLICY] = "policy",
	[TABLE_RESOLVER] = "resolver",
};

/* A message that a child must get; one that cannot be sent is our own bug. */
static void
send_or_die(struct child *c, const struct msg *m)
{
	if (peer_send(c->peer, m) == -1)
		panic("cannot send %s to %s", msg_decl(m->type)->wire, c->role);
}

/* Where runs are opened, and under what. Returns the rows. */
static int64_t
send_runs(struct parent *p, struct child *c, const struct egress_config *conf)
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
	send_or_die(c, &m);
	for (i = 0; i < conf->nprofiles; i++) {
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_profile_row;
		m.u.profile_row.name = conf->profiles[i].name;
		send_or_die(c, &m);
	}
	return (int64_t)conf->nprofiles + 1;
}

static int64_t
send_peers(struct child *c, const struct egress_config *conf)
{
	struct msg m;
	size_t i;

	for (i = 0; i < conf->npeers; i++) {
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_peer_row;
		m.u.peer_row.group = conf->peers[i].group;
		m.u.peer_row.id = conf->peers[i].id;
		m.u.peer_row.may.v = conf->peers[i].may;
		m.u.peer_row.may.n = conf->peers[i].nmay;
		send_or_die(c, &m);
	}
	return (int64_t)conf->npeers;
}

static void
send_rule(struct child *c, const char *profile, const struct egress_rule *r)
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
		send_or_die(c, &m);
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
	send_or_die(c, &m);
}

static int64_t
send_policy(struct child *c, const struct egress_config *conf)
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
send_resolver(struct child *c, const struct egress_config *conf)
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
		send_or_die(c, &m);
	}
	for (i = 0; i < conf->nhosts; i++) {
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_host_row;
		m.u.host_row.name = conf->hosts[i].name;
		m.u.host_row.address = netaddr_text(&conf->hosts[i].addr, text);
		send_or_die(c, &m);
	}
	return (int64_t)(conf->nservers + conf->nhosts);
}

void
parent_send_tables(struct parent *p, struct child *c,
    const struct egress_config *conf, int64_t generation)
{
	struct msg m;
	int64_t count = 0;

	if (c->table == TABLE_NONE)
		return;
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_table_begin;
	m.u.table_begin.table = table_names[c->table];
	m.u.table_begin.generation = generation;
	send_or_die(c, &m);

	switch (c->table) {
	case TABLE_PEERS:
		count = send_peers(c, conf) + send_runs(p, c, conf);
		break;
	case TABLE_POLICY:
		count = send_policy(c, conf);
		break;
	case TABLE_RESOLVER:
		count = send_resolver(c, conf);
		break;
	case TABLE_NONE:
		break;
	}

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_table_end;
	m.u.table_end.table = table_names[c->table];
	m.u.table_end.generation = generation;
	m.u.table_end.count = count;
	send_or_die(c, &m);
}

bool
parent_tables_applied(const struct parent *p)
{
	size_t i;

	for (i = 0; i < p->nchildren; i++) {
		if (p->child[i].table != TABLE_NONE &&
		    p->child[i].applied != p->generation)
			return false;
	}
	return true;
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

/* Policy and listeners are whole: open tunnels can be judged by them. */
static void
send_go(struct parent *p)
{
	struct msg m;
	size_t i;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_go;
	for (i = 0; i < p->nchildren; i++) {
		if (p->child[i].side == SIDE_PROXY)
			send_or_die(&p->child[i], &m);
	}
}

/*
 * Hand each worker its socket of each set. A worker that already has one of
 * that address replaces name and profile, which is what a reload may change.
 */
void
parent_send_listeners(struct parent *p)
{
	const struct egress_listener *l;
	struct child *c;
	struct msg m;
	char addr[PARENT_ADDRESS_MAX];
	size_t i, j;
	int fd;

	for (i = 0; i < p->nsets; i++) {
		l = &p->config->listeners[i];
		parent_address_text(&l->addr, l->port, addr, sizeof(addr));
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_listener;
		m.u.listener.name = l->name;
		m.u.listener.address = addr;
		m.u.listener.profile = l->profile;
		for (j = 0; j < p->nchildren; j++) {
			c = &p->child[j];
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
	send_go(p);
}

/* --- status: what only the parent knows ------------------------------- */

#define STATE_KEYS_MAX 64
#define STATE_TEXT_MAX 256
#define STATE_WARNINGS_MAX 32
#define STATE_WARNING_MAX 512

struct state_map {
	char key[STATE_KEYS_MAX][32];
	char value[STATE_KEYS_MAX][STATE_TEXT_MAX];
	const char *k[STATE_KEYS_MAX];
	const char *v[STATE_KEYS_MAX];
	size_t n;
};

static void state_add(struct state_map *, const char *, const char *, ...)
    __attribute__((format(printf, 3, 4)));

static void
state_add(struct state_map *s, const char *key, const char *fmt, ...)
{
	va_list ap;
	char text[STATE_TEXT_MAX];

	if (s->n == STATE_KEYS_MAX)
		return;
	strlcpy(s->key[s->n], key, sizeof(s->key[0]));
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* A path may hold any bytes; what goes out must be UTF-8. */
	log_escape(s->value[s->n], sizeof(s->value[0]), text, strlen(text));
	s->k[s->n] = s->key[s->n];
	s->v[s->n] = s->value[s->n];
	s->n++;
}

static void
state_sandbox(struct state_map *s, const char *role, unsigned instance,
    const struct sandbox_state *st)
{
	char key[32];

	if (strcmp(role, "proxy") == 0)
		snprintf(key, sizeof(key), "sandbox %s %u", role, instance);
	else
		snprintf(key, sizeof(key), "sandbox %s", role);
	state_add(s, key, "seccomp %s, landlock %d",
	    st->seccomp ? "on" : "ABSENT", st->landlock);
}

static void
state_nft(const struct parent *p, struct state_map *s)
{
	if (!p->nft)
		state_add(s, "nft", "%s", p->nft_why);
	else
		state_add(s, "nft", "%s, table %s, interfaces %s*",
		    p->rules_lost ? "LOST" : "closed", p->config->nft_table,
		    p->config->prefix);
}

void
parent_send_state(struct parent *p)
{
	static const char unprivileged[] =
	    "not started as root: all "
	    "processes share one user and can be reached by its other programs";
	const char *warning[STATE_WARNINGS_MAX], *text;
	char buf[STATE_WARNINGS_MAX][STATE_WARNING_MAX];
	struct state_map s;
	struct child *frontend = NULL, *c;
	struct msg m;
	size_t i, n = 0;

	memset(&s, 0, sizeof(s));
	state_add(&s, "configuration", "%.200s", p->file);
	state_add(&s, "generation", "%lld", (long long)p->generation);
	state_add(&s, "sha256", "%s", p->config->sha256);
	state_add(&s, "workers", "%lld", (long long)p->config->workers);
	state_add(&s, "listeners", "%zu", p->config->nlisteners);
	state_add(&s, "profiles", "%zu", p->config->nprofiles);
	state_nft(p, &s);
	state_add(&s, "records", "%.200s", p->config->audit);
	state_sandbox(&s, "parent", 0, &p->sandbox);
	for (i = 0; i < p->nchildren; i++) {
		c = &p->child[i];
		state_sandbox(&s, c->role, c->instance, &c->sandbox);
		if (c->side == SIDE_FRONTEND)
			frontend = c;
	}
	if (p->unprivileged)
		warning[n++] = unprivileged;
	for (i = 0;
	     i < conf_warnings(p->config->conf) && n < STATE_WARNINGS_MAX;
	     i++, n++) {
		text = conf_warning_text(p->config->conf, i);
		log_escape(buf[n], sizeof(buf[n]), text, strlen(text));
		warning[n] = buf[n];
	}

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_state;
	m.u.state.state.k = s.k;
	m.u.state.state.v = s.v;
	m.u.state.state.n = s.n;
	m.u.state.warnings.v = warning;
	m.u.state.warnings.n = n;
	send_or_die(frontend, &m);
}
