/*
 * resolver_answer_parse. The first byte chooses the family, the rest is the
 * message, an answer for www.example.com if it is one at all.
 */

#include <assert.h>
#include <string.h>

#include "egressd/resolver.h"

#define NAME "www.example.com"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_unique(const struct dns_answer *a)
{
	size_t i, j;

	for (i = 0; i < a->naddr; i++) {
		for (j = 0; j < i; j++)
			assert(!netaddr_equal(&a->addr[i], &a->addr[j]));
	}
	for (i = 0; i < a->nchain; i++) {
		for (j = 0; j < i; j++)
			assert(strcmp(a->chain[i], a->chain[j]) != 0);
	}
}

static void
check_found(const struct dns_answer *a, int family)
{
	char canon[HOSTNAME_MAX + 1];
	size_t i;

	assert(a->naddr <= EGRESS_ADDRESSES_MAX);
	assert(a->nchain <= EGRESS_CHAIN_MAX);
	for (i = 0; i < a->naddr; i++)
		assert(a->addr[i].family == family);
	for (i = 0; i < a->nchain; i++) {
		assert(hostname_canon(
		           a->chain[i], strlen(a->chain[i]), canon) == 0);
		assert(strcmp(canon, a->chain[i]) == 0);
	}
	check_unique(a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_answer a, again, before;
	int family;

	if (size == 0)
		return 0;
	family = data[0] & 1 ? AF_INET6 : AF_INET;
	memset(&a, 0, sizeof(a));
	before = a;
	switch (resolver_answer_parse(data + 1, size - 1, NAME, family, &a)) {
	case DNS_OK:
		assert(a.naddr > 0);
		break;
	case DNS_EMPTY:
		assert(a.naddr == 0);
		break;
	case DNS_NXDOMAIN:
	case DNS_FAILED:
		assert(memcmp(&a, &before, sizeof(a)) == 0);
		return 0;
	}
	check_found(&a, family);

	/* The same answer twice adds nothing. */
	again = a;
	resolver_answer_parse(data + 1, size - 1, NAME, family, &again);
	assert(memcmp(&a, &again, sizeof(a)) == 0);
	return 0;
}
