/*
 * Any text as a configuration, on a machine without files of its own. What
 * was taken must be what the processes behind the parent expect of it; what
 * was refused must have a reason, printable and on one line.
 */

#include <stdint.h>

#include "egressd/egressd.h"

#include "tests/fuzz/conf_check.h"
#include "tests/machine.h"

static int
fuzz_read_file(const char *path, size_t max, char **buf, size_t *len)
{
	const char *text = NULL;

	if (strcmp(path, "/etc/resolv.conf") == 0)
		text = "nameserver 192.0.2.1\n";
	else if (strcmp(path, "/etc/hosts") == 0)
		text = "192.0.2.1 a.example b\n";
	return machine_file(text, max, buf, len);
}

static int
fuzz_id(const char *name, uint32_t *id)
{
	return machine_id(name, "root", 0, id);
}

static const struct egress_config_env env = {
	.read_file = fuzz_read_file,
	.user = fuzz_id,
	.group = fuzz_id,
};

static void
check_rule(const struct egress_rule *r)
{
	char canon[HOSTNAME_MAX + 1], text[NETADDR_PREFIX_TEXT_MAX];
	struct netprefix p;
	const char *name;
	size_t i;

	assert(r->host != NULL || r->ncidr > 0);
	assert(r->deny || r->port > 0);
	assert(r->line > 0);
	assert(r->bytes_up >= 0 && r->bytes_down >= 0);
	if (r->host != NULL) {
		name = strncmp(r->host, "*.", 2) == 0 ? r->host + 2 : r->host;
		assert(hostname_canon(name, strlen(name), canon) == 0);
		assert(strcmp(name, canon) == 0);
		assert(name == r->host || hostname_labels(name) >= 2);
	}
	assert(r->ncidr <= EGRESS_CIDR_MAX);
	for (i = 0; i < r->ncidr; i++) {
		assert(r->deny || proxy_addr_prefix_useful(&r->cidr[i]));
		netprefix_text(&r->cidr[i], text);
		assert(netprefix_parse(text, strlen(text), &p) == 0);
		assert(p.bits == r->cidr[i].bits);
		assert(netaddr_equal(&p.addr, &r->cidr[i].addr));
	}
}

static bool
has_profile(const struct egress_config *cfg, const char *name)
{
	size_t i;

	for (i = 0; i < cfg->nprofiles; i++) {
		if (strcmp(cfg->profiles[i].name, name) == 0)
			return true;
	}
	return false;
}

static void
check_config(const struct egress_config *cfg)
{
	const struct egress_profile *p;
	size_t i, k;

	assert(cfg->socket[0] == '/' && cfg->audit[0] == '/');
	assert(cfg->workers >= 1 && cfg->workers <= EGRESS_WORKERS_MAX);
	assert(strlen(cfg->nft_table) <= EGRESS_TABLE_MAX);
	assert(strlen(cfg->prefix) >= 2 &&
	    strlen(cfg->prefix) <= EGRESS_PREFIX_MAX);
	assert(cfg->proxy_port >= 1 && cfg->proxy_port < UINT16_MAX);
	assert(cfg->nnetworks <= EGRESS_NETWORKS_MAX);
	for (i = 0; i < cfg->nnetworks; i++)
		assert(cfg->networks[i].addr.family == AF_INET &&
		    cfg->networks[i].bits <= 29);
	assert(cfg->nservers >= 1 && cfg->nservers <= EGRESS_SERVERS_MAX);
	for (i = 0; i < cfg->npeers; i++)
		assert(cfg->peers[i].id == 0 && cfg->peers[i].nmay > 0);
	for (i = 0; i < cfg->nlisteners; i++) {
		assert(cfg->listeners[i].port > 0);
		assert(strlen(cfg->listeners[i].name) <= EGRESS_NAME_MAX);
		assert(has_profile(cfg, cfg->listeners[i].profile));
	}
	for (i = 0; i < cfg->nprofiles; i++) {
		p = &cfg->profiles[i];
		assert(strlen(p->name) <= EGRESS_NAME_MAX);
		for (k = 0; k < p->nrules; k++) {
			check_rule(&p->rules[k]);
			assert(
			    k == 0 || p->rules[k].deny >= p->rules[k - 1].deny);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct egress_config *cfg;
	struct conf *c;

	cfg =
	    egress_config_read_env("fuzz", (const char *)data, size, &env, &c);
	conf_check(c, cfg != NULL);
	if (cfg != NULL)
		check_config(cfg);
	else
		conf_free(&c);
	egress_config_free(&cfg);
	return 0;
}
