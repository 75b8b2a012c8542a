/* Where runs may be opened: the part of the parent's table that is ours. */

#include <string.h>

#include "libcommon/grants.h"
#include "libcommon/log.h"

#include "frontend.h"

struct table {
	char profiles[EGRESS_PROFILES_MAX][EGRESS_NAME_MAX + 1];
	size_t nprofiles;
	struct runs_config runs;
	bool has_runs;
};

static struct table in_force, loading; /* loading: between begin and end */

void
peers_profile(const struct msg_profile_row *m)
{
	if (!grants_loading() || loading.nprofiles == EGRESS_PROFILES_MAX)
		fatalx("bad profile.row from the parent");
	strlcpy(loading.profiles[loading.nprofiles++], m->name,
	    sizeof(loading.profiles[0]));
}

void
peers_runs(const struct msg_runs_row *m)
{
	struct runs_config *c = &loading.runs;
	size_t i;

	if (!grants_loading() || loading.has_runs ||
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
	/* The link to fw is there from the start, or it is not. */
	if (in_force.has_runs &&
	    in_force.runs.enforced != loading.runs.enforced)
		fatalx("a reload cannot bring or take packet rules");
	if (!loading.has_runs)
		fatalx("the table of peers did not arrive whole");
	grants_end(m, loading.nprofiles + 1);
	in_force = loading;
	memset(&loading, 0, sizeof(loading));
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
