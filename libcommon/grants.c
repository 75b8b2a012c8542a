#include <string.h>

#include "libcommon/conf_peers.h"
#include "libcommon/grants.h"
#include "libcommon/log.h"

struct grant {
	bool group;
	uint32_t id;
	unsigned verbs; /* GRANT of each */
};

struct grants {
	struct grant rows[CONF_PEERS_MAX];
	size_t n;
	int64_t generation; /* 0: none */
};

static struct grants in_force, loading; /* loading: between begin and end */
static const char *const *verb_names;
static size_t nverb_names;

void
grants_init(const char *const *verbs, size_t nverbs)
{
	if (nverbs > CONF_VERBS_MAX)
		panic("too many verbs");
	verb_names = verbs;
	nverb_names = nverbs;
}

void
grants_begin(const struct msg_table_begin *m)
{
	if (strcmp(m->table, "peers") != 0 || loading.generation != 0)
		fatalx("table.begin out of place from the parent");
	loading.generation = m->generation;
}

bool
grants_loading(void)
{
	return loading.generation != 0;
}

void
grants_row(const struct msg_peer_row *m)
{
	struct grant *g;
	size_t i, v;

	if (loading.generation == 0 || loading.n == CONF_PEERS_MAX)
		fatalx("bad peer.row from the parent");
	g = &loading.rows[loading.n++];
	g->group = m->group;
	g->id = (uint32_t)m->id;
	for (i = 0; i < m->may.n; i++) {
		for (v = 0; v < nverb_names; v++) {
			if (strcmp(m->may.v[i], verb_names[v]) == 0)
				g->verbs |= GRANT(v);
		}
	}
}

void
grants_end(const struct msg_table_end *m, size_t others)
{
	if (strcmp(m->table, "peers") != 0 || loading.generation == 0 ||
	    m->generation != loading.generation ||
	    m->count != (int64_t)(loading.n + others))
		fatalx("the table of peers did not arrive whole");
	in_force = loading;
	memset(&loading, 0, sizeof(loading));
}

bool
grants_may(const struct creds *c, unsigned verbs)
{
	const struct grant *g;

	for (g = in_force.rows; g < in_force.rows + in_force.n; g++) {
		if ((g->verbs & verbs) != 0 &&
		    (g->group ? creds_in_group(c, g->id) : c->uid == g->id))
			return true;
	}
	return false;
}

int64_t
grants_generation(void)
{
	return in_force.generation;
}
