#include <sys/un.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/daemon.h"
#include "libcommon/fd.h"
#include "libcommon/mem.h"

#include "egressd/egressd_config.h"

#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)
#define FILE_PATH_MAX (PATH_MAX - 1)
#define USER_MAX 256
#define RESOLV_CONF "/etc/resolv.conf"

static void
parse_users(struct conf *, const struct json_node *, const char *, void *);

#define AT(member) offsetof(struct egress_config, member)
#define USER(key, member)                                                      \
	{                                                                      \
		.name = key, .type = CONF_STRING, .off = AT(member), .min = 1, \
		.max = USER_MAX                                                \
	}
#define LATER(key)                              \
	{                                       \
		.name = key, .type = CONF_LATER \
	}

const struct conf_key egress_keys_top[] = {
	{ .name = "socket",
	    .type = CONF_PATH,
	    .off = AT(socket),
	    .min = 2,
	    .max = SOCKET_PATH_MAX },
	{ .name = "peers", .type = CONF_CALL, .parse = egress_parse_peers },
	{ .name = "resolvers",
	    .type = CONF_CALL,
	    .parse = egress_parse_resolvers },
	{ .name = "hosts_file",
	    .type = CONF_PATH,
	    .off = AT(hosts_file),
	    .min = 2,
	    .max = FILE_PATH_MAX },
	{ .name = "workers",
	    .type = CONF_INT,
	    .off = AT(workers),
	    .min = 1,
	    .max = EGRESS_WORKERS_MAX },
	{ .name = "audit",
	    .type = CONF_PATH,
	    .off = AT(audit),
	    .min = 2,
	    .max = FILE_PATH_MAX },
	{ .name = "users", .type = CONF_CALL, .parse = parse_users },
	{ .name = "nft", .type = CONF_BOOL, .off = AT(nft) },
	{ .name = "nft_table",
	    .type = CONF_CALL,
	    .off = AT(nft_table),
	    .parse = egress_parse_nft_table },
	{ .name = "interface_prefix",
	    .type = CONF_CALL,
	    .off = AT(prefix),
	    .parse = egress_parse_prefix },
	{ .name = "run_networks",
	    .type = CONF_CALL,
	    .parse = egress_parse_networks },
	{ .name = "proxy_port",
	    .type = CONF_INT,
	    .off = AT(proxy_port),
	    .min = 1,
	    .max = UINT16_MAX - 1 },
	{ .name = "listeners",
	    .type = CONF_CALL,
	    .parse = egress_parse_listeners },
	{ .name = "profiles",
	    .type = CONF_CALL,
	    .parse = egress_parse_profiles },
	{ .name = NULL },
};

const struct conf_key egress_keys_users[] = {
	USER("egress", user_parent),
	USER("frontend", user_frontend),
	USER("proxy", user_proxy),
	USER("resolver", user_resolver),
	USER("fw", user_fw),
	USER("audit", user_audit),
	{ .name = NULL },
};

/* --- this machine ----------------------------------------------------- */

static const struct egress_config_env system_env = {
	.read_file = fd_read_path,
	.user = daemon_user_id,
	.group = daemon_group_id,
};

/* --- keys of their own kind ------------------------------------------- */

/* The row has no offset: place is the whole configuration. */
static void
parse_users(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	conf_read(c, n, path, egress_keys_users, place);
}

static void
set_defaults(struct egress_config *cfg)
{
	cfg->socket = "/run/bulkhead/egressd.sock";
	cfg->audit = "/var/log/bulkhead/egressd.jsonl";
	cfg->workers = 2;
	cfg->nft = true;
	cfg->nft_table = "bulkhead";
	cfg->prefix = "bh-";
	cfg->proxy_port = 3128;
	cfg->user_parent = "bulkhead-egress";
	cfg->user_proxy = "bulkhead-proxy";
	cfg->user_resolver = "bulkhead-resolver";
	cfg->user_fw = "bulkhead-fw";
	cfg->user_audit = "bulkhead-audit";
}

/* --- what needs the whole, or a file ---------------------------------- */

static void
check_listener_profiles(struct egress_config *cfg, const struct json_node *root)
{
	const struct json_node *list = json_member(root, "listeners");
	const struct json_node *n;
	const struct egress_listener *l = cfg->listeners;
	char buf[CONF_PATH_MAX], path[CONF_PATH_MAX];

	if (cfg->nlisteners == 0)
		return;
	for (n = list->child; n != NULL; n = n->next, l++) {
		if (l->profile == NULL ||
		    egress_profile_find(cfg, l->profile) != NULL)
			continue;
		conf_path_index(
		    path, "listeners", (size_t)(l - cfg->listeners));
		conf_error(cfg->conf, n, conf_path_key(buf, path, "profile"),
		    "no such profile %s; allowed: one of profiles", l->profile);
	}
}

static void
default_resolvers(struct egress_config *cfg, const struct json_node *root)
{
	char *text;
	size_t len;

	if (json_member(root, "resolvers") != NULL)
		return;
	if (cfg->env->read_file(RESOLV_CONF, CONF_FILE_MAX, &text, &len) ==
	    -1) {
		conf_error(cfg->conf, root, "resolvers",
		    "is missing and " RESOLV_CONF " cannot be read (%s); "
		    "allowed: a list of name servers",
		    strerror(errno));
		return;
	}
	cfg->nservers =
	    egress_resolv_parse(text, len, cfg->servers, EGRESS_SERVERS_MAX);
	free(text);
	if (cfg->nservers == 0)
		conf_error(cfg->conf, root, "resolvers",
		    "is missing and " RESOLV_CONF " names no server; allowed: "
		    "a list of name servers");
}

static void
read_hosts(struct egress_config *cfg, const struct json_node *root)
{
	const struct json_node *n = json_member(root, "hosts_file");
	char *text;
	size_t len;

	if (cfg->hosts_file == NULL || n == NULL)
		return;
	if (cfg->env->read_file(cfg->hosts_file, CONF_FILE_MAX, &text, &len) ==
	    -1) {
		conf_error(cfg->conf, n, "hosts_file",
		    "%s cannot be read (%s); allowed: a readable file of at "
		    "most %d bytes",
		    cfg->hosts_file, strerror(errno), CONF_FILE_MAX);
		return;
	}
	/* One row more than allowed shows that there are too many. */
	cfg->hosts = xcalloc(EGRESS_HOSTS_MAX + 1, sizeof(*cfg->hosts));
	cfg->nhosts =
	    egress_hosts_parse(text, len, cfg->hosts, EGRESS_HOSTS_MAX + 1);
	free(text);
	if (cfg->nhosts > EGRESS_HOSTS_MAX)
		conf_error(cfg->conf, n, "hosts_file",
		    "%s holds too many names; allowed: %d", cfg->hosts_file,
		    EGRESS_HOSTS_MAX);
}

/* --- the whole -------------------------------------------------------- */

void
egress_config_init(void)
{
	egress_suffixes_load();
}

struct egress_config *
egress_config_read_env(const char *file, const char *text, size_t len,
    const struct egress_config_env *env, struct conf **conf)
{
	const struct json_node *root;
	struct egress_config *cfg;

	egress_config_init();
	cfg = xcalloc(1, sizeof(*cfg));
	cfg->env = env;
	cfg->conf = *conf = conf_new(file, text, len);
	set_defaults(cfg);
	daemon_text_hash(text, len, cfg->sha256);
	root = conf_root(cfg->conf);
	if (root != NULL) {
		conf_read(cfg->conf, root, "", egress_keys_top, cfg);
		if (cfg->user_frontend == NULL)
			cfg->user_frontend = cfg->user_parent;
		check_listener_profiles(cfg, root);
		default_resolvers(cfg, root);
		egress_default_networks(cfg, root);
		read_hosts(cfg, root);
	}
	if (conf_errors(cfg->conf) > 0) {
		cfg->conf = NULL; /* the caller's */
		egress_config_free(&cfg);
		return NULL;
	}
	egress_config_lint(cfg);
	cfg->env = NULL;
	return cfg;
}

struct egress_config *
egress_config_read(
    const char *file, const char *text, size_t len, struct conf **conf)
{
	return egress_config_read_env(file, text, len, &system_env, conf);
}

void
egress_config_free(struct egress_config **cp)
{
	struct egress_config *cfg = *cp;
	size_t i;

	if (cfg == NULL)
		return;
	for (i = 0; i < cfg->nprofiles; i++)
		free(cfg->profiles[i].rules);
	free(cfg->profiles);
	free(cfg->hosts);
	conf_free(&cfg->conf);
	free(cfg);
	*cp = NULL;
}
