/* Who may ask for what, and where runs may be opened: the parent's table. */

#include <string.h>

#include "libcommon/log.h"

#include "frontend.h"

struct peer_rule {
	bool group;
	uint32_t id;
	unsigned verbs; /* a bit for each enum egress_verb */
};

struct table {
	struct peer_rule rules[CONF_PEERS_MAX];
	size_t nrules;
	char profiles[EGRESS_PROFILES_MAX][EGRESS_NAME_MAX + 1];
	size_t nprofiles;
	struct runs_config runs;
	bool has_runs;
	int64_t generation; /* 0: none */
};

static struct table in_force, loading; /* loading: between begin and end */

void
peers_begin(const struct msg_table_begin *m)
{
	if (strcmp(m->table, "peers") != 0 || loading.generation != 0)
		fatalx("table.begin out of place from the parent");
	loading.generation = m->generation;
}

void
peers_row(const struct msg_peer_row *m)
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
			if (strcmp(m->may.v[i], egress_verbs[v]) == 0)
				r->verbs |= 1U << v;
		}
	}
}

void
peers_profile(const struct msg_profile_row *m)
{
	if (loading.generation == 0 || loading.nprofiles == EGRESS_PROFILES_MAX)
		fatalx("bad profile.row from the parent");
	strlcpy(loading.profiles[loading.nprofiles++], m->name,
	    sizeof(loading.profiles[0]));
}

void
peers_runs(const struct msg_runs_row *m)
{
	struct runs_config *c = &loading.runs;
	size_t i;

	if (loading.generation == 0 || loading.has_runs ||
	    m->networks.n > EGRESS_NETWORKS_MAX)
		fatalx("bad runs.row from the parent");
	loading.has_runs = true;
	strlcpy(c->prefix, m->prefix, sizeof(c->prefix));
	c->port = (uint16_t)m->port;
	c->enforced = m->enforced;
	for (i = 0; i < m->networks.n; i++) {
		if (netprefix_parse(m->networks.v[i], strlen(m->networks.v[i]),
		        &c->networks[i]) == -1)
			fatalx("bad network from the parent");
	}
	c->nnetworks = i;
}

void
peers_end(const struct msg_table_end *m)
{
	struct msg out;

	/* The link to fw is there from the start, or it is not. */
	if (in_force.generation != 0 &&
	    in_force.runs.enforced != loading.runs.enforced)
		fatalx("a reload cannot bring or take packet rules");
	if (!loading.has_runs || strcmp(m->table, "peers") != 0 ||
	    m->generation != loading.generation ||
	    m->count != (int64_t)(loading.nrules + loading.nprofiles + 1))
		fatalx("the table of peers did not arrive whole");
	in_force = loading;
	memset(&loading, 0, sizeof(loading));
	memset(&out, 0, sizeof(out));
	out.type = MSG_TYPE_table_applied;
	out.u.table_applied.table = m->table;
	out.u.table_applied.generation = m->generation;
	frontend_send(frontend.parent, &out);
}

bool
peers_may(const struct creds *c, enum egress_verb verb)
{
	const struct peer_rule *r;

	for (r = in_force.rules; r < in_force.rules + in_force.nrules; r++) {
		if ((r->verbs & 1U << verb) != 0 &&
		    (r->group ? creds_in_group(c, r->id) : c->uid == r->id))
			return true;
	}
	return false;
}

const struct runs_config *
peers_runs_config(void)
{
	return &in_force.runs;
}

bool
peers_has_profile(const char *name)
{
	size_t i;

	for (i = 0; i < in_force.nprofiles; i++) {
		if (strcmp(in_force.profiles[i], name) == 0)
			return true;
	}
	return false;
}

int64_t
peers_generation(void)
{
	return in_force.generation;
}
