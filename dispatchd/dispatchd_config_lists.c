/* Who may ask for what. */

#include <string.h>

#include "dispatchd/dispatchd_config.h"

#define USER_MAX 256 /* bytes of a user's or group's name */

/* What a peer may be given: every request of the interface. */
static const char *const verbs[] = { "run", "ps", "logs", "stop", "rm", "show",
	"status" };
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))
#define VERBS_ALLOWED "run, ps, logs, stop, rm, show, status"
_Static_assert(VERBS <= sizeof(((struct dispatch_peer *)NULL)->may) /
            sizeof(((struct dispatch_peer *)NULL)->may[0]),
    "a peer may have every verb");

struct peer_reader {
	struct dispatch_peer *peer;
	const char *user, *group;
};

static void
parse_may(struct conf *, const struct json_node *, const char *, void *);

const struct conf_key dispatch_keys_peer[] = {
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
	DISPATCH_LATER("repos"),
	DISPATCH_LATER("profiles"),
	{ .name = NULL },
};

static void
add_verb(struct conf *c, const struct json_node *n, const char *path,
    struct dispatch_peer *p)
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
    const struct peer_reader *r, const struct dispatch_config_env *env)
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
dispatch_parse_peers(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	struct dispatch_config *cfg = place;
	const struct json_node *child;
	struct peer_reader r;
	char buf[CONF_PATH_MAX];

	if (!conf_expect(c, n, path, JSON_ARRAY, "a list of peers"))
		return;
	if (n->len > DISPATCH_PEERS_MAX) {
		conf_error(c, n, path, "has %zu entries; allowed: %d", n->len,
		    DISPATCH_PEERS_MAX);
		return;
	}
	for (child = n->child; child != NULL; child = child->next) {
		memset(&r, 0, sizeof(r));
		conf_path_index(buf, path, cfg->npeers);
		r.peer = &cfg->peers[cfg->npeers++];
		conf_read(c, child, buf, dispatch_keys_peer, &r);
		if (child->type == JSON_OBJECT)
			look_up(c, child, buf, &r, cfg->env);
	}
}
