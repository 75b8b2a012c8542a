#include <string.h>

#include "egressd/egressd_config.h"

#define DNS_PORT 53
#define USER_MAX 256 /* bytes of a user's or group's name */

/* What a peer may be given: every request of the interface. */
static const char *const verbs[] = { "run.open", "run.close", "runs.sync",
	"run.status", "status" };
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))
#define VERBS_ALLOWED "run.open, run.close, runs.sync, run.status, status"
_Static_assert(VERBS <= sizeof(((struct egress_peer *)NULL)->may) /
            sizeof(((struct egress_peer *)NULL)->may[0]),
    "a peer may have every verb");

struct peer_reader {
	struct egress_peer *peer;
	const char *user, *group;
};

struct listener_reader {
	const char *name, *address, *profile;
};

static void
parse_may(struct conf *, const struct json_node *, const char *, void *);

const struct conf_key egress_keys_peer[] = {
	{ .name = "user",
	    .type = CONF_STRING,
	    .off = offsetof(struct peer_reader, user),
	    .min = 1,
	    .max = USER_MAX },
	{ .name = "group",
	    .type = CONF_STRING,
	    .off = offsetof(struct peer_reader, group),
	    .min = 1,
	    .max = USER_MAX },
	{ .name = "may",
	    .type = CONF_CALL,
	    .required = true,
	    .parse = parse_may,
	    .allowed = VERBS_ALLOWED },
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

/* --- peers ------------------------------------------------------------ */

static void
add_verb(struct conf *c, const struct json_node *n, const char *path,
    struct egress_peer *p)
{
	size_t i, k;

	if (!conf_expect(c, n, path, JSON_STRING, VERBS_ALLOWED))
		return;
	for (i = 0; i < VERBS && strcmp(verbs[i], n->str) != 0; i++)
		;
	if (i == VERBS) {
		conf_error(c, n, path,
		    "\"%.100s\" is no request; allowed: " VERBS_ALLOWED,
		    n->str);
		return;
	}
	for (k = 0; k < p->nmay; k++) {
		if (p->may[k] == verbs[i]) {
			conf_error(c, n, path,
			    "\"%.100s\" is there twice; "
			    "allowed: each request once",
			    n->str);
			return;
		}
	}
	p->may[p->nmay++] = verbs[i];
}

static void
parse_may(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	struct peer_reader *r = place;
	const struct json_node *child;
	char buf[CONF_PATH_MAX];
	size_t i = 0;

	if (!conf_expect(c, n, path, JSON_ARRAY, "a list of " VERBS_ALLOWED))
		return;
	if (n->len == 0)
		conf_error(
		    c, n, path, "is empty; allowed: a list of " VERBS_ALLOWED);
	for (child = n->child; child != NULL; child = child->next, i++)
		add_verb(c, child, conf_path_index(buf, path, i), r->peer);
}

/* The user or group that a peer is, as a number. */
static void
look_up(struct conf *c, const struct json_node *n, const char *path,
    const struct peer_reader *r, const struct egress_config_env *env)
{
	const struct json_node *user = json_member(n, "user");
	const struct json_node *group = json_member(n, "group");
	char buf[CONF_PATH_MAX];

	if (user == NULL && group == NULL)
		conf_error(c, n, path, "is nobody; allowed: user or group");
	else if (user != NULL && group != NULL)
		conf_error(c, n, path, "is a user and a group; allowed: one");
	r->peer->group = group != NULL;
	if (r->user != NULL && env->user(r->user, &r->peer->id) == -1)
		conf_error(c, user, conf_path_key(buf, path, "user"),
		    "no such user %s; allowed: a user of this machine",
		    r->user);
	if (r->group != NULL && env->group(r->group, &r->peer->id) == -1)
		conf_error(c, group, conf_path_key(buf, path, "group"),
		    "no such group %s; allowed: a group of this machine",
		    r->group);
}

void
egress_parse_peers(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	struct egress_config *cfg = place;
	const struct json_node *child;
	struct peer_reader r;
	char buf[CONF_PATH_MAX];

	if (!conf_expect(c, n, path, JSON_ARRAY, "a list of peers"))
		return;
	if (n->len > EGRESS_PEERS_MAX) {
		conf_error(c, n, path, "has %zu entries; allowed: %d", n->len,
		    EGRESS_PEERS_MAX);
		return;
	}
	for (child = n->child; child != NULL; child = child->next) {
		memset(&r, 0, sizeof(r));
		conf_path_index(buf, path, cfg->npeers);
		r.peer = &cfg->peers[cfg->npeers++];
		conf_read(c, child, buf, egress_keys_peer, &r);
		if (child->type == JSON_OBJECT)
			look_up(c, child, buf, &r, cfg->env);
	}
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
