#include <string.h>

#include "egressd/fw.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
/* A prefix or network that is wider would close what is not a run's. */
#define PREFIX_MIN 2
#define NETWORK_BITS_MIN 8

/* --- the base --------------------------------------------------------- */

static bool
table_valid(const char *s)
{
	size_t len = strlen(s);

	return len > 0 && len <= EGRESS_TABLE_MAX && strspn(s, LETTERS) > 0 &&
	    strspn(s, LETTERS DIGITS "_-") == len;
}

/* As the configuration wants it: no "-" but at the end, so not eth0 or lo. */
static bool
prefix_valid(const char *s)
{
	size_t len = strlen(s);

	return len >= PREFIX_MIN && len <= EGRESS_PREFIX_MAX &&
	    strspn(s, LOWER DIGITS) == len - 1 && s[len - 1] == '-';
}

int
fw_base_set(struct fw_base *b, const struct msg_fw_base *m)
{
	struct netprefix *p;
	struct fw_base t;
	const char *s;
	size_t i;

	memset(&t, 0, sizeof(t));
	if (!table_valid(m->table) || !prefix_valid(m->prefix) ||
	    m->networks.n == 0 || m->networks.n > EGRESS_NETWORKS_MAX ||
	    m->port < 1 || m->port >= UINT16_MAX || m->proxy_uid < 1 ||
	    m->proxy_uid >= UINT32_MAX || m->parent_uid < 1 ||
	    m->parent_uid >= UINT32_MAX)
		return -1;
	strlcpy(t.table, m->table, sizeof(t.table));
	strlcpy(t.prefix, m->prefix, sizeof(t.prefix));
	for (i = 0; i < m->networks.n; i++) {
		s = m->networks.v[i];
		p = &t.networks[i];
		if (netprefix_parse(s, strlen(s), p) == -1 ||
		    p->addr.family != AF_INET || p->bits < NETWORK_BITS_MIN)
			return -1;
	}
	t.nnetworks = m->networks.n;
	t.port = (uint16_t)m->port;
	t.proxy_uid = (uint32_t)m->proxy_uid;
	t.parent_uid = (uint32_t)m->parent_uid;
	*b = t;
	return 0;
}

bool
fw_base_holds(const struct fw_base *b, const struct netaddr *a)
{
	size_t i;

	for (i = 0; i < b->nnetworks; i++) {
		if (netprefix_contains(&b->networks[i], a))
			return true;
	}
	return false;
}

/* --- the runs --------------------------------------------------------- */

enum fw_verdict
fw_runs_judge(const struct fw_runs *r, const char *id, const struct netaddr *a)
{
	bool same_id, same_address;
	size_t i;

	for (i = 0; i < r->n; i++) {
		same_id = strcmp(r->run[i].id, id) == 0;
		same_address = netaddr_equal(&r->run[i].address, a);
		if (same_id && same_address)
			return FW_SAME;
		if (same_id || same_address)
			return FW_CONFLICT;
	}
	return r->n == EGRESS_RUNS_MAX ? FW_LIMIT : FW_NEW;
}

struct fw_run *
fw_runs_find(struct fw_runs *r, const char *id)
{
	size_t i;

	for (i = 0; i < r->n; i++) {
		if (strcmp(r->run[i].id, id) == 0)
			return &r->run[i];
	}
	return NULL;
}

struct fw_run *
fw_runs_find_interface(struct fw_runs *r, const char *name)
{
	size_t i;

	for (i = 0; i < r->n; i++) {
		if (strcmp(r->run[i].interface, name) == 0)
			return &r->run[i];
	}
	return NULL;
}

void
fw_run_set(struct fw_run *run, const struct fw_base *b, const char *id,
    const struct netaddr *a)
{
	memset(run, 0, sizeof(*run));
	strlcpy(run->id, id, sizeof(run->id));
	strlcpy(run->interface, b->prefix, sizeof(run->interface));
	strlcat(run->interface, id, sizeof(run->interface));
	run->address = *a;
}

void
fw_runs_add(struct fw_runs *r, const struct fw_run *run)
{
	r->run[r->n++] = *run;
}

void
fw_runs_remove(struct fw_runs *r, const char *id)
{
	struct fw_run *run = fw_runs_find(r, id);

	if (run != NULL)
		*run = r->run[--r->n];
}

void
fw_runs_carry(struct fw_runs *r)
{
	size_t i;

	for (i = 0; i < r->n; i++) {
		r->run[i].carried += r->run[i].refused;
		r->run[i].refused = 0;
	}
}

void
fw_counts_add(struct fw_counts *to, const struct fw_counts *c)
{
	to->closed += c->closed;
	to->forward += c->forward;
	to->output += c->output;
}
