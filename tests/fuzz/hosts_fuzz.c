/*
 * Any text as a hosts file and as a resolv.conf: every row is canonical, and
 * a smaller table holds the start of a larger one.
 */

#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "egressd/egressd.h"

#define ROWS_MAX 64
#define ROWS_FEW 3

static void
check_hosts(const char *text, size_t size)
{
	static struct egress_host rows[ROWS_MAX], few[ROWS_FEW];
	char canon[HOSTNAME_MAX + 1], addr[NETADDR_TEXT_MAX];
	struct netaddr a;
	size_t n, m, i;

	n = egress_hosts_parse(text, size, rows, ROWS_MAX);
	assert(n <= ROWS_MAX);
	for (i = 0; i < n; i++) {
		assert(hostname_canon(
		           rows[i].name, strlen(rows[i].name), canon) == 0);
		assert(strcmp(rows[i].name, canon) == 0);
		netaddr_text(&rows[i].addr, addr);
		assert(netaddr_parse(addr, strlen(addr), &a) == 0);
		assert(netaddr_equal(&a, &rows[i].addr));
	}
	m = egress_hosts_parse(text, size, few, ROWS_FEW);
	assert(m == (n < ROWS_FEW ? n : ROWS_FEW));
	for (i = 0; i < m; i++) {
		assert(strcmp(rows[i].name, few[i].name) == 0);
		assert(netaddr_equal(&rows[i].addr, &few[i].addr));
	}
}

static void
check_resolv(const char *text, size_t size)
{
	struct egress_server rows[EGRESS_SERVERS_MAX];
	size_t n, i;

	n = egress_resolv_parse(text, size, rows, EGRESS_SERVERS_MAX);
	assert(n <= EGRESS_SERVERS_MAX);
	for (i = 0; i < n; i++)
		assert(rows[i].port == 53 &&
		    (rows[i].addr.family == AF_INET ||
		        rows[i].addr.family == AF_INET6));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_hosts((const char *)data, size);
	check_resolv((const char *)data, size);
	return 0;
}
