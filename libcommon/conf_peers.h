#ifndef LIBCOMMON_CONF_PEERS_H
#define LIBCOMMON_CONF_PEERS_H

/*
 * The key `peers` of every daemon: who may ask for what. Which requests there
 * are, and which further keys a peer may have, is the daemon's to say.
 */

#include "conf.h"

#define CONF_PEERS_MAX 256
#define CONF_PEER_NAME_MAX 256 /* bytes of a user's or group's name */
#define CONF_VERBS_MAX 32 /* bits of a mask of them */

struct conf_peer {
	bool group;
	uint32_t id; /* uid or gid */
	const char *may[CONF_VERBS_MAX]; /* of the daemon's own verbs */
	size_t nmay;
};

/* How a daemon's peers are read. */
struct conf_peers_reader {
	const struct conf_key *keys; /* CONF_PEER_KEYS and its own */
	const char *const *verbs;
	size_t nverbs; /* at most CONF_VERBS_MAX */
	const char *allowed; /* the verbs as a message names them */
	/* The number of a name of this machine; 0 or -1. */
	int (*user)(const char *name, uint32_t *uid);
	int (*group)(const char *name, uint32_t *gid);
};

/* What keys have as their target. */
struct conf_peer_target {
	const struct conf_peers_reader *reader;
	struct conf_peer *peer;
	const char *user, *group;
};

/* The first rows of such a table of keys; verbs is the reader's allowed. */
#define CONF_PEER_KEYS(verbs)                                        \
	{ .name = "user",                                            \
		.type = CONF_STRING,                                 \
		.off = offsetof(struct conf_peer_target, user),      \
		.min = 1,                                            \
		.max = CONF_PEER_NAME_MAX },                         \
	    { .name = "group",                                       \
		    .type = CONF_STRING,                             \
		    .off = offsetof(struct conf_peer_target, group), \
		    .min = 1,                                        \
		    .max = CONF_PEER_NAME_MAX },                     \
	{                                                            \
		.name = "may", .type = CONF_CALL, .required = true,  \
		.parse = conf_parse_may, .allowed = verbs            \
	}

/* The parser of `may`, for the table; place is the target. */
void conf_parse_may(
    struct conf *c, const struct json_node *n, const char *path, void *place);

/*
 * Read the list n into peers, which has CONF_PEERS_MAX places; *npeers is how
 * many are there. What is wrong is noted in c.
 */
void
conf_read_peers(struct conf *c, const struct json_node *n, const char *path,
    const struct conf_peers_reader *r, struct conf_peer *peers, size_t *npeers);

#endif
