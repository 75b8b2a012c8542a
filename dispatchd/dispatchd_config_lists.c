/* Who may ask for what. */

#include "dispatchd/dispatchd_config.h"

#define VERBS "run, ps, logs, stop, rm, show, status"

const char *const dispatch_verbs[VERB_MAX] = {
	[VERB_run] = "run",
	[VERB_ps] = "ps",
	[VERB_logs] = "logs",
	[VERB_stop] = "stop",
	[VERB_rm] = "rm",
	[VERB_show] = "show",
	[VERB_status] = "status",
};

const struct conf_key dispatch_keys_peer[] = {
	CONF_PEER_KEYS(VERBS),
	DISPATCH_LATER("repos"),
	DISPATCH_LATER("profiles"),
	{ .name = NULL },
};

void
dispatch_parse_peers(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	struct dispatch_config *cfg = place;
	const struct conf_peers_reader r = { .keys = dispatch_keys_peer,
		.verbs = dispatch_verbs,
		.nverbs = VERB_MAX,
		.allowed = VERBS,
		.user = cfg->env->user,
		.group = cfg->env->group };

	conf_read_peers(c, n, path, &r, cfg->peers, &cfg->npeers);
}
