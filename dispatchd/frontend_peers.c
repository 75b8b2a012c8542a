/* Who may ask for what: the parent's table. */

#include <string.h>

#include "libcommon/log.h"

#include "dispatchd/frontend.h"

struct peer_rule {
	bool group;
	uint32_t id;
	unsigned verbs; /* VERB_BIT of each */
};

struct table {
	struct peer_rule rules[CONF_PEERS_MAX];
	size_t nrules;
	int64_t generation; /* 0: none */
};

static struct table in_force, loading; /* loading: between begin and end */

void
front_peers_begin(const struct msg_table_begin *m)
{
	if (strcmp(m->table, "peers") != 0 || loading.generation != 0)
		fatalx("table.begin out of place from the parent");
	loading.generation = m->generation;
}

void
front_peers_row(const struct msg_peer_row *m)
{
	struct peer_rule *r;
	size_t i;
	int v;

	if (loading.generation == 0 || loading.nrules == CONF_PEERS_MAX)
		fatalx("bad peer.row from the parent");
	r = &loading.rules[loading.nrules++];
	r->group = m->group;
	r->id = (uint32_t)m->id;
	for (i = 0; i < m->may.n; i++) {
		for (v = 0; v < VERB_MAX; v++) {
			if (strcmp(m->may.v[i], dispatch_verbs[v]) == 0)
				r->verbs |= VERB_BIT(v);
		}
	}
}

void
front_peers_end(const struct msg_table_end *m)
{
	struct msg out;

	if (strcmp(m->table, "peers") != 0 || loading.generation == 0 ||
	    m->generation != loading.generation ||
	    m->count != (int64_t)loading.nrules)
		fatalx("the table of peers did not arrive whole");
	in_force = loading;
	memset(&loading, 0, sizeof(loading));
	memset(&out, 0, sizeof(out));
	out.type = MSG_TYPE_table_applied;
	out.u.table_applied.table = m->table;
	out.u.table_applied.generation = m->generation;
	front_send(front.parent, &out);
}

bool
front_peers_may(const struct creds *c, unsigned verbs)
{
	const struct peer_rule *r;

	for (r = in_force.rules; r < in_force.rules + in_force.nrules; r++) {
		if ((r->verbs & verbs) != 0 &&
		    (r->group ? creds_in_group(c, r->id) : c->uid == r->id))
			return true;
	}
	return false;
}
