/* Keys about runs: where their gateways lie, and the packet rules. */

#include <string.h>

#include "egressd/egressd_config.h"

#define NETWORKS_DEFAULT "10.201.0.0/16"
/* A run's own network is a /29. */
#define NETWORK_BITS_MAX 29
#define TABLE_ALLOWED                                                    \
	"1 to 32 letters, digits, \"_\", \"-\", a letter first, and no " \
	"name that others use"
#define PREFIX_ALLOWED                                                      \
	"one or two of a-z and 0-9, then \"-\", and not \"br-\", which is " \
	"Docker's"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* Our table is made anew at each start: it must be nobody else's. */
static bool
table_taken(const char *s)
{
	static const char *const others[] = { "filter", "nat", "mangle", "raw",
		"security", "firewalld", "docker", "docker-bridges",
		"libvirt_network", "f2b-table" };
	size_t i;

	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (strcmp(s, others[i]) == 0)
			return true;
	}
	return false;
}

void
egress_parse_nft_table(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	const char **table = place;
	size_t len;

	if (!conf_expect(c, n, path, JSON_STRING, TABLE_ALLOWED))
		return;
	len = strlen(n->str);
	if (len == 0 || len > EGRESS_TABLE_MAX ||
	    strspn(n->str, UPPER LOWER) == 0 ||
	    strspn(n->str, UPPER LOWER DIGITS "_-") != len ||
	    table_taken(n->str))
		conf_error(c, n, path,
		    "\"%.100s\" cannot be ours; allowed: " TABLE_ALLOWED,
		    n->str);
	else
		*table = conf_keep(c, n->str);
}

/*
 * Every interface whose name begins so is closed. The "-" at the end keeps it
 * from meaning eth0 or lo.
 */
void
egress_parse_prefix(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	const char **prefix = place;
	size_t len;

	if (!conf_expect(c, n, path, JSON_STRING, PREFIX_ALLOWED))
		return;
	len = strlen(n->str);
	if (len < 2 || len > EGRESS_PREFIX_MAX ||
	    strspn(n->str, LOWER DIGITS) != len - 1 || n->str[len - 1] != '-' ||
	    strcmp(n->str, "br-") == 0)
		conf_error(c, n, path,
		    "\"%.100s\" is no prefix; allowed: " PREFIX_ALLOWED,
		    n->str);
	else
		*prefix = conf_keep(c, n->str);
}

/* From its first address to its last; a network may be wider than 192.168. */
static bool
network_private(const struct netprefix *p)
{
	struct netaddr last = p->addr;
	unsigned i;

	for (i = p->bits; i < 32; i++)
		last.b[i / 8] |= (uint8_t)(0x80 >> i % 8);
	return proxy_addr_class(&p->addr) == ADDR_PRIVATE &&
	    proxy_addr_class(&last) == ADDR_PRIVATE;
}

static void
add_network(struct conf *c, const struct json_node *n, const char *path,
    struct egress_config *cfg)
{
	static const char allowed[] =
	    "an IPv4 network as ADDRESS/BITS, at most 29 bits, of private "
	    "addresses";
	struct netprefix p;
	size_t i;

	if (!conf_expect(c, n, path, JSON_STRING, allowed))
		return;
	if (netprefix_parse(n->str, n->len, &p) == -1 ||
	    p.addr.family != AF_INET || p.bits > NETWORK_BITS_MAX ||
	    !network_private(&p) || p.bits < 8) {
		conf_error(c, n, path,
		    "\"%.100s\" is no network of runs; allowed: %s", n->str,
		    allowed);
		return;
	}
	for (i = 0; i < cfg->nnetworks; i++) {
		if (netprefix_covers(&cfg->networks[i], &p) ||
		    netprefix_covers(&p, &cfg->networks[i])) {
			conf_error(c, n, path,
			    "\"%.100s\" overlaps run_networks[%zu]; allowed: "
			    "each address once",
			    n->str, i);
			return;
		}
	}
	cfg->networks[cfg->nnetworks++] = p;
}

void
egress_parse_networks(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	struct egress_config *cfg = place;
	const struct json_node *child;
	char buf[CONF_PATH_MAX];
	size_t i = 0;

	if (!conf_expect(c, n, path, JSON_ARRAY, "a list of IPv4 networks"))
		return;
	if (n->len > EGRESS_NETWORKS_MAX) {
		conf_error(c, n, path, "has %zu entries; allowed: %d", n->len,
		    EGRESS_NETWORKS_MAX);
		return;
	}
	for (child = n->child; child != NULL; child = child->next, i++)
		add_network(c, child, conf_path_index(buf, path, i), cfg);
}

void
egress_default_networks(struct egress_config *cfg, const struct json_node *root)
{
	if (json_member(root, "run_networks") != NULL)
		return;
	if (netprefix_parse(NETWORKS_DEFAULT, strlen(NETWORKS_DEFAULT),
	        &cfg->networks[0]) == 0)
		cfg->nnetworks = 1;
}
