#include <sys/un.h>

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/daemon.h"
#include "libcommon/fd.h"
#include "libcommon/log.h"
#include "libcommon/mem.h"

#include "dispatchd/dispatchd_config.h"

#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)
/* A run's own socket lies behind the directory of ours. */
#define RUN_SOCKET_TAIL "/runs/234567abcdef/dispatchd.sock"
#define FILE_PATH_MAX (PATH_MAX - 1)
/* A run's bundle lies at STATE/runs/RUN/bundle, which a message holds. */
#define STATE_PATH_MAX 200
#define USER_MAX 256
#define CONFIG_SIZE_MAX (1LL << 50)
#define KEEP_RUNS_MAX 100000
#define KEEP_DAYS_MAX 36500
#define POOL_DEFAULT "10.201.0.0/16"

static void
parse_users(struct conf *, const struct json_node *, const char *, void *);
static void
parse_engine(struct conf *, const struct json_node *, const char *, void *);
static void
parse_capacity(struct conf *, const struct json_node *, const char *, void *);

static const char *const driver_words[] = { "docker", NULL };

#define AT(member) offsetof(struct dispatch_config, member)
#define PATH(key, member, limit)                                             \
	{                                                                    \
		.name = key, .type = CONF_PATH, .off = AT(member), .min = 2, \
		.max = limit                                                 \
	}
#define SIZE(key, member, low)                                                 \
	{                                                                      \
		.name = key, .type = CONF_SIZE, .off = AT(member), .min = low, \
		.max = CONFIG_SIZE_MAX                                         \
	}
#define INT(key, member, low, high)                                           \
	{                                                                     \
		.name = key, .type = CONF_INT, .off = AT(member), .min = low, \
		.max = high                                                   \
	}
#define TEXT(key, member, limit)                                               \
	{                                                                      \
		.name = key, .type = CONF_STRING, .off = AT(member), .min = 1, \
		.max = limit                                                   \
	}
#define CALL(key, fn)                                       \
	{                                                   \
		.name = key, .type = CONF_CALL, .parse = fn \
	}
#define CALL_AT(key, fn, member)                                               \
	{                                                                      \
		.name = key, .type = CONF_CALL, .parse = fn, .off = AT(member) \
	}

const struct conf_key dispatch_keys_top[] = {
	PATH("socket", socket, SOCKET_PATH_MAX),
	CALL("peers", dispatch_parse_peers),
	PATH("state", state, STATE_PATH_MAX),
	PATH("audit", audit, FILE_PATH_MAX),
	CALL("users", parse_users),
	CALL("engine", parse_engine),
	PATH("egressd", egressd, SOCKET_PATH_MAX),
	CALL_AT("network_pool", dispatch_parse_pool, pool),
	CALL_AT("interface_prefix", dispatch_parse_prefix, prefix),
	INT("proxy_port", proxy_port, 1, UINT16_MAX - 1),
	CALL("capacity", parse_capacity),
	TEXT("image", image, DISPATCH_IMAGE_MAX),
	SIZE("log_limit", log_limit, 64 * 1024),
	SIZE("bundle_limit", bundle_limit, 64 * 1024),
	INT("keep_runs", keep_runs, 1, KEEP_RUNS_MAX),
	INT("keep_days", keep_days, 1, KEEP_DAYS_MAX),
	SIZE("disk_reserve", disk_reserve, 0),
	CALL_AT("forge", dispatch_parse_forge, forge),
	CALL("tools", dispatch_parse_tools),
	CALL("profiles", dispatch_parse_profiles),
	TEXT("default_profile", default_profile, DISPATCH_NAME_MAX),
	TEXT("default_tool", default_tool, DISPATCH_NAME_MAX),
	DISPATCH_LATER("brokerd"),
	DISPATCH_LATER("bootstrapd"),
	DISPATCH_LATER("isolation"),
	DISPATCH_LATER("publish"),
	DISPATCH_LATER("github"),
	DISPATCH_LATER("schedule"),
	{ .name = NULL },
};

const struct conf_key dispatch_keys_users[] = {
	TEXT("dispatch", user_parent, USER_MAX),
	TEXT("frontend", user_frontend, USER_MAX),
	TEXT("runs", user_runs, USER_MAX),
	TEXT("queue", user_queue, USER_MAX),
	TEXT("engine", user_engine, USER_MAX),
	TEXT("audit", user_audit, USER_MAX),
	DISPATCH_LATER("github"),
	{ .name = NULL },
};

static void
parse_driver(struct conf *, const struct json_node *, const char *, void *);

const struct conf_key dispatch_keys_engine[] = {
	CALL_AT("driver", parse_driver, driver),
	PATH("socket", engine_socket, SOCKET_PATH_MAX),
	{ .name = NULL },
};

const struct conf_key dispatch_keys_capacity[] = {
	SIZE("memory", capacity.memory, 1024 * 1024),
	CALL_AT("cpus", dispatch_parse_cpus, capacity.cpus_milli),
	INT("pids", capacity.pids, 1, 4194304),
	INT("runs", capacity.runs, 1, DISPATCH_RUNS_MAX),
	{ .name = NULL },
};

/* --- this machine ----------------------------------------------------- */

static const struct dispatch_config_env system_env = {
	.read_file = fd_read_path,
	.user = daemon_user_id,
	.group = daemon_group_id,
};

/* --- keys of their own kind ------------------------------------------- */

/* Rows without an offset: place is the whole configuration. */
static void
parse_users(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	conf_read(c, n, path, dispatch_keys_users, place);
}

static void
parse_engine(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	conf_read(c, n, path, dispatch_keys_engine, place);
}

static void
parse_capacity(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	conf_read(c, n, path, dispatch_keys_capacity, place);
}

static void
parse_driver(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	int *driver = place;

	if (!conf_expect(c, n, path, JSON_STRING, "\"docker\""))
		return;
	if (strcmp(n->str, driver_words[0]) == 0)
		*driver = 0;
	else if (strcmp(n->str, "container") == 0)
		conf_error(c, n, path,
		    "\"container\" is not in this version; allowed: "
		    "\"docker\"");
	else
		conf_error(c, n, path,
		    "\"%.100s\" is unknown; allowed: \"docker\"", n->str);
}

static void
set_defaults(struct dispatch_config *cfg)
{
	cfg->socket = "/run/bulkhead/dispatchd.sock";
	cfg->state = "/var/lib/bulkhead/dispatchd";
	cfg->audit = "/var/log/bulkhead/dispatchd.jsonl";
	cfg->engine_socket = "/run/docker.sock";
	cfg->egressd = "/run/bulkhead/egressd.sock";
	cfg->prefix = "bh-";
	cfg->proxy_port = 3128;
	if (netprefix_parse(POOL_DEFAULT, strlen(POOL_DEFAULT), &cfg->pool) ==
	    -1)
		panic("the default pool is no network");
	cfg->capacity.memory = 8LL << 30;
	cfg->capacity.cpus_milli = 4000;
	cfg->capacity.pids = 4096;
	cfg->capacity.runs = 8;
	cfg->image = "bulkhead-agent:1";
	cfg->log_limit = 64LL << 20;
	cfg->bundle_limit = 512LL << 20;
	cfg->disk_reserve = 2LL << 30;
	cfg->keep_runs = 200;
	cfg->keep_days = 30;
	cfg->forge = "https://github.com";
	cfg->user_parent = "bulkhead-dispatch";
	cfg->user_runs = "bulkhead-runs";
	cfg->user_queue = "bulkhead-queue";
	cfg->user_engine = "bulkhead-engine";
	cfg->user_audit = "bulkhead-audit";
}

/* --- what needs the whole --------------------------------------------- */

static void
check_socket(struct dispatch_config *cfg, const struct json_node *root)
{
	const struct json_node *n = json_member(root, "socket");
	size_t dir = (size_t)(strrchr(cfg->socket, '/') - cfg->socket);
	size_t max = SOCKET_PATH_MAX - strlen(RUN_SOCKET_TAIL);

	if (dir > max)
		conf_error(cfg->conf, n, "socket",
		    "its directory has %zu bytes; allowed: %zu, as the "
		    "sockets of runs lie behind it",
		    dir, max);
}

static void
check_pool(struct dispatch_config *cfg, const struct json_node *root)
{
	const struct json_node *n = json_member(root, "network_pool");
	int64_t networks = INT64_C(1)
	    << (DISPATCH_SUBNET_BITS - cfg->pool.bits);

	if (networks < cfg->capacity.runs)
		conf_error(cfg->conf, n != NULL ? n : root, "network_pool",
		    "holds %" PRId64 " networks of /%d for %" PRId64
		    " runs; allowed: at least one for each of capacity.runs",
		    networks, DISPATCH_SUBNET_BITS, cfg->capacity.runs);
}

/* A name that stands there must be one; without it the usual one is tried. */
static void
check_defaults(struct dispatch_config *cfg, const struct json_node *root)
{
	const struct json_node *profile = json_member(root, "default_profile");
	const struct json_node *tool = json_member(root, "default_tool");
	const struct dispatch_profile *p;

	if (profile == NULL && dispatch_profile_find(cfg, "dev") != NULL)
		cfg->default_profile = "dev";
	if (tool == NULL && dispatch_tool_find(cfg, "sh") != NULL)
		cfg->default_tool = "sh";
	if (profile != NULL && cfg->default_profile != NULL &&
	    dispatch_profile_find(cfg, cfg->default_profile) == NULL)
		conf_error(cfg->conf, profile, "default_profile",
		    "no such profile %s; allowed: one of profiles",
		    cfg->default_profile);
	if (tool != NULL && cfg->default_tool != NULL &&
	    dispatch_tool_find(cfg, cfg->default_tool) == NULL)
		conf_error(cfg->conf, tool, "default_tool",
		    "no such tool %s; allowed: one of tools",
		    cfg->default_tool);
	if (cfg->default_profile == NULL || cfg->default_tool == NULL)
		return;
	p = dispatch_profile_find(cfg, cfg->default_profile);
	if (p != NULL && !dispatch_profile_has(p, cfg->default_tool))
		conf_warning(cfg->conf, tool != NULL ? tool : root,
		    "default_tool",
		    "profile %s does not permit %s: a run has to name "
		    "its tool",
		    p->name, cfg->default_tool);
}

/* --- the whole -------------------------------------------------------- */

struct dispatch_config *
dispatch_config_read_env(const char *file, const char *text, size_t len,
    const struct dispatch_config_env *env, struct conf **conf)
{
	const struct json_node *root;
	struct dispatch_config *cfg;

	cfg = xcalloc(1, sizeof(*cfg));
	cfg->env = env;
	cfg->conf = *conf = conf_new(file, text, len);
	set_defaults(cfg);
	daemon_text_hash(text, len, cfg->sha256);
	root = conf_root(cfg->conf);
	if (root != NULL) {
		conf_read(cfg->conf, root, "", dispatch_keys_top, cfg);
		if (cfg->user_frontend == NULL)
			cfg->user_frontend = cfg->user_parent;
		check_socket(cfg, root);
		check_pool(cfg, root);
		dispatch_check_profiles(cfg, root);
		check_defaults(cfg, root);
	}
	if (conf_errors(cfg->conf) > 0) {
		cfg->conf = NULL; /* the caller's */
		dispatch_config_free(&cfg);
		return NULL;
	}
	cfg->env = NULL;
	return cfg;
}

struct dispatch_config *
dispatch_config_read(
    const char *file, const char *text, size_t len, struct conf **conf)
{
	return dispatch_config_read_env(file, text, len, &system_env, conf);
}

void
dispatch_config_free(struct dispatch_config **cp)
{
	struct dispatch_config *cfg = *cp;
	size_t i;

	if (cfg == NULL)
		return;
	for (i = 0; i < cfg->nprofiles; i++)
		free(cfg->profiles[i].ca);
	free(cfg->profiles);
	free(cfg->tools);
	conf_free(&cfg->conf);
	free(cfg);
	*cp = NULL;
}
