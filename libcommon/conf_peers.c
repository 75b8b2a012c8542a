/* Who may ask for what: the key `peers`. */

#include <stdio.h>
#include <string.h>

#include "libcommon/conf_peers.h"

static void
add_verb(struct conf *c, const struct json_node *n, const char *path,
    const struct conf_peers_reader *r, struct conf_peer *p)
{
	size_t i, k;

	if (!conf_expect(c, n, path, JSON_STRING, r->allowed))
		return;
	for (i = 0; i < r->nverbs && strcmp(r->verbs[i], n->str) != 0; i++)
		;
	if (i == r->nverbs) {
		conf_error(c, n, path, "\"%.100s\" is no request; allowed: %s",
		    n->str, r->allowed);
		return;
	}
	for (k = 0; k < p->nmay; k++) {
		if (p->may[k] == r->verbs[i]) {
			conf_error(c, n, path,
			    "\"%.100s\" is there twice; "
			    "allowed: each request once",
			    n->str);
			return;
		}
	}
	/* Each once, so there is room. */
	p->may[p->nmay++] = r->verbs[i];
}

void
conf_parse_may(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	struct conf_peer_target *t = place;
	const struct json_node *child;
	char buf[CONF_PATH_MAX], list[CONF_TEXT_MAX];
	size_t i = 0;

	snprintf(list, sizeof(list), "a list of %s", t->reader->allowed);
	if (!conf_expect(c, n, path, JSON_ARRAY, list))
		return;
	if (n->len == 0)
		conf_error(c, n, path, "is empty; allowed: %s", list);
	for (child = n->child; child != NULL; child = child->next, i++)
		add_verb(c, child, conf_path_index(buf, path, i), t->reader,
		    t->peer);
}

/* The user or group that a peer is, as a number. */
static void
look_up(struct conf *c, const struct json_node *n, const char *path,
    const struct conf_peer_target *t)
{
	const struct json_node *user = json_member(n, "user");
	const struct json_node *group = json_member(n, "group");
	char buf[CONF_PATH_MAX];

	if (user == NULL && group == NULL)
		conf_error(c, n, path, "is nobody; allowed: user or group");
	else if (user != NULL && group != NULL)
		conf_error(c, n, path, "is a user and a group; allowed: one");
	t->peer->group = group != NULL;
	if (t->user != NULL && t->reader->user(t->user, &t->peer->id) == -1)
		conf_error(c, user, conf_path_key(buf, path, "user"),
		    "no such user %s; allowed: a user of this machine",
		    t->user);
	if (t->group != NULL && t->reader->group(t->group, &t->peer->id) == -1)
		conf_error(c, group, conf_path_key(buf, path, "group"),
		    "no such group %s; allowed: a group of this machine",
		    t->group);
}

void
conf_read_peers(struct conf *c, const struct json_node *n, const char *path,
    const struct conf_peers_reader *r, struct conf_peer *peers, size_t *npeers)
{
	const struct json_node *child;
	struct conf_peer_target t;
	char buf[CONF_PATH_MAX];

	if (!conf_expect(c, n, path, JSON_ARRAY, "a list of peers"))
		return;
	if (n->len > CONF_PEERS_MAX) {
		conf_error(c, n, path, "has %zu entries; allowed: %d", n->len,
		    CONF_PEERS_MAX);
		return;
	}
	for (child = n->child; child != NULL; child = child->next) {
		memset(&t, 0, sizeof(t));
		conf_path_index(buf, path, *npeers);
		t.reader = r;
		t.peer = &peers[(*npeers)++];
		conf_read(c, child, buf, r->keys, &t);
		if (child->type == JSON_OBJECT)
			look_up(c, child, buf, &t);
	}
}
