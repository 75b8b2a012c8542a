#include <string.h>

#include "egressd/egressd_config.h"

#define DNS_PORT 53

#define VERBS "run.open, run.close, runs.sync, run.status, status"

const char *const egress_verbs[VERB_MAX] = {
	[VERB_status] = "status",
	[VERB_run_open] = "run.open",
	[VERB_run_close] = "run.close",
	[VERB_runs_sync] = "runs.sync",
	[VERB_run_status] = "run.status",
};

struct listener_reader {
	const char *name, *address, *profile;
};

const struct conf_key egress_keys_peer[] = {
	CONF_PEER_KEYS(VERBS),
	{ .name = NULL },
};

const struct conf_key egress_keys_listener[] = {
	{ .name = "name",
	    .type = CONF_STRING,
	    .required = true,
	    .off = offsetof(struct listener_reader, name),
	    .min = 1,
	    .max = EGRESS_NAME_MAX },
	{ .name = "address",
	    .type = CONF_STRING,
	    .required = true,
	    .off = offsetof(struct listener_reader, address),
	    .min = 1,
	    .max = NETADDR_TEXT_MAX + 8,
	    .allowed = "ADDRESS:PORT or [V6]:PORT" },
	{ .name = "profile",
	    .type = CONF_STRING,
	    .required = true,
	    .off = offsetof(struct listener_reader, profile),
	    .min = 1,
	    .max = EGRESS_NAME_MAX,
	    .allowed = "the name of a profile" },
	{ .name = NULL },
};

bool
egress_name_valid(const char *s)
{
	size_t len = strlen(s);

	return len >= 1 && len <= EGRESS_NAME_MAX &&
	    strspn(s,
	        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	        "0123456789._-") == len;
}

void
egress_parse_peers(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	struct egress_config *cfg = place;
	const struct conf_peers_reader r = { .keys = egress_keys_peer,
		.verbs = egress_verbs,
		.nverbs = VERB_MAX,
		.allowed = VERBS,
		.user = cfg->env->user,
		.group = cfg->env->group };

	conf_read_peers(c, n, path, &r, cfg->peers, &cfg->npeers);
}

/* --- listeners -------------------------------------------------------- */

/* Names and addresses are unique; l is the last so far. */
static void
check_unique(struct conf *c, const struct json_node *n, const char *path,
    const struct egress_config *cfg, const struct egress_listener *l)
{
	const struct egress_listener *o;
	char buf[CONF_PATH_MAX];

	for (o = cfg->listeners; o != l; o++) {
		if (o->name != NULL && l->name != NULL &&
		    strcmp(o->name, l->name) == 0)
			conf_error(c, n, conf_path_key(buf, path, "name"),
			    "\"%.100s\" is taken by listeners[%td]; allowed: a "
			    "name of its own",
			    l->name, o - cfg->listeners);
		if (l->port != 0 && o->port == l->port &&
		    netaddr_equal(&o->addr, &l->addr))
			conf_error(c, n, conf_path_key(buf, path, "address"),
			    "is taken by listeners[%td]; allowed: an address "
			    "of its own",
			    o - cfg->listeners);
	}
}

static void
read_listener(struct conf *c, const struct json_node *n, const char *path,
    struct egress_listener *l)
{
	struct listener_reader r = { NULL, NULL, NULL };
	char buf[CONF_PATH_MAX];

	conf_read(c, n, path, egress_keys_listener, &r);
	l->name = r.name;
	l->profile = r.profile;
	if (r.name != NULL && !egress_name_valid(r.name))
		conf_error(c, n, conf_path_key(buf, path, "name"),
		    "\"%.100s\" is no name; allowed: 1 to %d letters, digits, "
		    "\".\", \"_\", \"-\"",
		    r.name, EGRESS_NAME_MAX);
	if (r.address != NULL &&
	    netaddr_parse_port(
	        r.address, strlen(r.address), 0, &l->addr, &l->port) == -1) {
		l->port = 0;
		conf_error(c, n, conf_path_key(buf, path, "address"),
		    "\"%.100s\" is no address with a port; allowed: ADDRESS:PORT "
		    "or [V6]:PORT",
		    r.address);
	}
}

void
egress_parse_listeners(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	struct egress_config *cfg = place;
	const struct json_node *child;
	struct egress_listener *l;
	char buf[CONF_PATH_MAX];

	if (!conf_expect(c, n, path, JSON_ARRAY, "a list of listeners"))
		return;
	if (n->len > EGRESS_LISTENERS_MAX) {
		conf_error(c, n, path, "has %zu entries; allowed: %d", n->len,
		    EGRESS_LISTENERS_MAX);
		return;
	}
	for (child = n->child; child != NULL; child = child->next) {
		conf_path_index(buf, path, cfg->nlisteners);
		l = &cfg->listeners[cfg->nlisteners++];
		read_listener(c, child, buf, l);
		check_unique(c, child, buf, cfg, l);
	}
}

/* --- resolvers -------------------------------------------------------- */

void
egress_parse_resolvers(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	struct egress_config *cfg = place;
	const struct json_node *child;
	struct egress_server s;
	char buf[CONF_PATH_MAX];
	size_t i = 0;

	if (!conf_expect(c, n, path, JSON_ARRAY, "a list of name servers"))
		return;
	if (n->len == 0 || n->len > EGRESS_SERVERS_MAX) {
		conf_error(c, n, path,
		    "has %zu entries; allowed: 1 to %d, or "
		    "no such key for those of /etc/resolv.conf",
		    n->len, EGRESS_SERVERS_MAX);
		return;
	}
	for (child = n->child; child != NULL; child = child->next, i++) {
		conf_path_index(buf, path, i);
		if (!conf_expect(c, child, buf, JSON_STRING,
		        "ADDRESS, ADDRESS:PORT or [V6]:PORT"))
			continue;
		if (netaddr_parse_port(child->str, child->len, DNS_PORT,
		        &s.addr, &s.port) == -1)
			conf_error(c, child, buf,
			    "\"%.100s\" is no name server; "
			    "allowed: ADDRESS, ADDRESS:PORT or [V6]:PORT",
			    child->str);
		else
			cfg->servers[cfg->nservers++] = s;
	}
}
