/*
 * The table "resolver": DNS servers and the names of the hosts file, as rows
 * from the parent, which alone reads files.
 */

#include <string.h>

#include "egressd/resolver.h"

int
resolver_table_add_server(
    struct resolver_table *t, const struct msg_server_row *row)
{
	struct egress_server *s;

	if (t == NULL || t->nservers == EGRESS_SERVERS_MAX)
		return -1;
	s = &t->servers[t->nservers];
	if (netaddr_parse(row->address, strlen(row->address), &s->addr) == -1)
		return -1;
	s->port = (uint16_t)row->port;
	t->nservers++;
	return 0;
}

int
resolver_table_add_host(
    struct resolver_table *t, const struct msg_host_row *row)
{
	struct egress_host *h;

	if (t == NULL || t->nhosts == EGRESS_HOSTS_MAX)
		return -1;
	h = &t->hosts[t->nhosts];
	if (hostname_canon(row->name, strlen(row->name), h->name) == -1 ||
	    netaddr_parse(row->address, strlen(row->address), &h->addr) == -1)
		return -1;
	t->nhosts++;
	return 0;
}

/* A scan: the rows are few, and a lookup that misses costs a packet anyway. */
enum resolver_host
resolver_table_find(
    const struct resolver_table *t, const char *host, struct dns_answer *a)
{
	struct dns_answer one;
	size_t i;

	memset(a, 0, sizeof(*a));
	memset(&one, 0, sizeof(one));
	one.naddr = 1;
	for (i = 0; i < t->nhosts; i++) {
		if (strcmp(t->hosts[i].name, host) != 0)
			continue;
		one.addr[0] = t->hosts[i].addr;
		if (resolver_answer_add(a, &one) == -1)
			return RESOLVER_HOST_TOO_MANY;
	}
	return a->naddr > 0 ? RESOLVER_HOST_FOUND : RESOLVER_HOST_UNKNOWN;
}
