/*
 * A rule from its row. The parent has checked the configuration; what it
 * sends must be what it would have made of it, or the table is refused.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/egressd.h"

/* HOST or *.HOST, each only in the spelling that a request is brought to. */
static int
rule_set_host(struct policy_rule *r, const char *host)
{
	if (strncmp(host, "*.", 2) == 0) {
		r->wildcard = true;
		host += 2;
	}
	if (hostname_canon(host, strlen(host), r->host) == -1 ||
	    strcmp(r->host, host) != 0)
		return -1;
	return 0;
}

static int
rule_set_cidr(struct policy_rule *r, const struct msg_list *cidr)
{
	size_t i;

	if (cidr->n > EGRESS_CIDR_MAX)
		return -1;
	if (cidr->n == 0)
		return 0;
	r->cidr = calloc(cidr->n, sizeof(r->cidr[0]));
	if (r->cidr == NULL)
		return -1;
	for (i = 0; i < cidr->n; i++)
		if (netprefix_parse(
		        cidr->v[i], strlen(cidr->v[i]), &r->cidr[i]) == -1)
			return -1;
	r->ncidr = cidr->n;
	return 0;
}

int
policy_rule_set(struct policy_rule *r, const struct msg_rule_row *row)
{
	if (row->index < 0 || row->port < (row->deny ? 0 : 1) ||
	    row->port > UINT16_MAX || row->bytes_up < 0 || row->bytes_down < 0)
		return -1;
	if (row->host == NULL && row->cidr.n == 0)
		return -1;
	/* Is the host denied, the addresses, or the one at the other? */
	if (row->deny && row->host != NULL && row->cidr.n != 0)
		return -1;
	if (row->host != NULL && rule_set_host(r, row->host) == -1)
		return -1;
	if (rule_set_cidr(r, &row->cidr) == -1)
		return -1;
	snprintf(r->id, sizeof(r->id), "profiles.%s.%s[%lld]", row->profile,
	    row->deny ? "deny" : "allow", (long long)row->index);
	r->deny = row->deny;
	r->port = (uint16_t)row->port;
	r->sni_optional = row->sni_optional;
	r->proto_any = row->proto_any;
	r->ech_allow = row->ech_allow;
	r->bytes_up = row->bytes_up;
	r->bytes_down = row->bytes_down;
	return 0;
}
