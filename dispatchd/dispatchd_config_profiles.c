/* Profiles: what a run may use, for how long, and what it may cost. */

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "libcommon/mem.h"

#include "dispatchd/dispatchd_config.h"

#define MEMORY_MIN (16LL * 1024 * 1024)
#define PIDS_MIN 16 /* PID 1, git and a tool do not start with fewer */
#define TOOLS_ALLOWED "a list of 1 to 64 names of tools"

#define MEMORY_DEFAULT (2LL << 30)
#define WORKSPACE_DEFAULT (1LL << 30)
#define DEADLINE_DEFAULT (30LL * 60 * 1000)
#define HUNG_START_DEFAULT (5LL * 60 * 1000)
#define IDLE_DEFAULT (10LL * 60 * 1000)

static void
parse_tools(struct conf *, const struct json_node *, const char *, void *);

#define AT(member) offsetof(struct dispatch_profile, member)
#define TIME(key, member)                                                  \
	{                                                                  \
		.name = key, .type = CONF_TIME, .off = AT(member),         \
		.min = DISPATCH_DEADLINE_MIN, .max = DISPATCH_DEADLINE_MAX \
	}
const struct conf_key dispatch_keys_profile[] = {
	{ .name = "tools",
	    .type = CONF_CALL,
	    .required = true,
	    .parse = parse_tools,
	    .allowed = TOOLS_ALLOWED },
	{ .name = "egress",
	    .type = CONF_STRING,
	    .off = AT(egress),
	    .min = 1,
	    .max = DISPATCH_NAME_MAX },
	{ .name = "memory",
	    .type = CONF_SIZE,
	    .off = AT(memory),
	    .min = MEMORY_MIN,
	    .max = 1LL << 50 },
	{ .name = "cpus",
	    .type = CONF_CALL,
	    .off = AT(cpus_milli),
	    .parse = dispatch_parse_cpus },
	{ .name = "pids",
	    .type = CONF_INT,
	    .off = AT(pids),
	    .min = PIDS_MIN,
	    .max = 4194304 },
	{ .name = "workspace",
	    .type = CONF_SIZE,
	    .off = AT(workspace),
	    .min = 1024 * 1024,
	    .max = 1LL << 50 },
	TIME("deadline", deadline_ms),
	TIME("hung_start", hung_start_ms),
	TIME("idle", idle_ms),
	{ .name = "env",
	    .type = CONF_CALL,
	    .off = AT(env),
	    .parse = dispatch_parse_env },
	{ .name = "ca_file",
	    .type = CONF_PATH,
	    .off = AT(ca_file),
	    .min = 2,
	    .max = PATH_MAX - 1 },
	DISPATCH_LATER("assurance"),
	DISPATCH_LATER("budget"),
	DISPATCH_LATER("isolation"),
	DISPATCH_LATER("permissions"),
	DISPATCH_LATER("publish"),
	DISPATCH_LATER("secrets"),
	{ .name = NULL },
};

static void
parse_tools(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	struct dispatch_profile *p = place;
	const struct json_node *child;
	char buf[CONF_PATH_MAX];
	size_t i = 0;

	if (!conf_expect(c, n, path, JSON_ARRAY, TOOLS_ALLOWED))
		return;
	if (n->len == 0 || n->len > DISPATCH_TOOLS_MAX) {
		conf_error(c, n, path,
		    "has %zu entries; allowed: " TOOLS_ALLOWED, n->len);
		return;
	}
	for (child = n->child; child != NULL; child = child->next, i++) {
		conf_path_index(buf, path, i);
		if (conf_expect(c, child, buf, JSON_STRING, "a tool's name"))
			p->tools[p->ntools++] = child->str;
	}
}

/* --- the numbers of a profile ------------------------------------------ */

/*
 * What was not given gives way to what was: a profile with no more than a
 * short deadline or a small memory is no mistake.
 */
static void
settle_defaults(const struct json_node *n, struct dispatch_profile *p)
{
	int64_t half = p->memory / 2;

	if (json_member(n, "workspace") == NULL && p->workspace > half)
		p->workspace = half;
	if (json_member(n, "workspace") == NULL &&
	    p->workspace > p->memory - DISPATCH_MEMORY_BESIDE &&
	    p->memory > DISPATCH_MEMORY_BESIDE)
		p->workspace = p->memory - DISPATCH_MEMORY_BESIDE;
	if (json_member(n, "hung_start") == NULL &&
	    p->hung_start_ms > p->deadline_ms)
		p->hung_start_ms = p->deadline_ms;
	if (json_member(n, "idle") == NULL && p->idle_ms > p->deadline_ms)
		p->idle_ms = p->deadline_ms;
}

static void
check_times(struct conf *c, const struct json_node *n, const char *path,
    const struct dispatch_profile *p)
{
	const struct json_node *hung = json_member(n, "hung_start");
	const struct json_node *idle = json_member(n, "idle");
	char buf[CONF_PATH_MAX];

	if (hung != NULL && p->hung_start_ms >= p->deadline_ms)
		conf_error(c, hung, conf_path_key(buf, path, "hung_start"),
		    "%" PRId64 " ms never comes before the deadline; allowed: "
		    "below %" PRId64 " ms",
		    p->hung_start_ms, p->deadline_ms);
	if (idle != NULL && p->idle_ms >= p->deadline_ms)
		conf_error(c, idle, conf_path_key(buf, path, "idle"),
		    "%" PRId64 " ms never comes before the deadline; allowed: "
		    "below %" PRId64 " ms",
		    p->idle_ms, p->deadline_ms);
}

static void
check_memory(struct conf *c, const struct json_node *n, const char *path,
    const struct dispatch_profile *p)
{
	const struct json_node *m = json_member(n, "memory");
	char buf[CONF_PATH_MAX];

	if (p->memory - DISPATCH_MEMORY_BESIDE < p->workspace)
		conf_error(c, m != NULL ? m : n,
		    conf_path_key(buf, path, "memory"),
		    "%" PRId64 " bytes hold the workspace too; allowed: at "
		    "least %lld more than its %" PRId64,
		    p->memory, DISPATCH_MEMORY_BESIDE, p->workspace);
}

static void
read_profile(struct conf *c, const struct json_node *n, const char *path,
    struct dispatch_profile *p)
{
	p->name = p->egress = n->key;
	p->memory = MEMORY_DEFAULT;
	p->workspace = WORKSPACE_DEFAULT;
	p->cpus_milli = 2000;
	p->pids = 512;
	p->deadline_ms = DEADLINE_DEFAULT;
	p->hung_start_ms = HUNG_START_DEFAULT;
	p->idle_ms = IDLE_DEFAULT;
	if (!dispatch_name_valid(n->key))
		conf_error(
		    c, n, path, "is no profile's name; allowed: " NAME_ALLOWED);
	conf_read(c, n, path, dispatch_keys_profile, p);
	if (n->type != JSON_OBJECT)
		return;
	settle_defaults(n, p);
	check_times(c, n, path, p);
	check_memory(c, n, path, p);
}

void
dispatch_parse_profiles(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	struct dispatch_config *cfg = place;
	const struct json_node *child;
	char buf[CONF_PATH_MAX];

	if (!conf_expect(c, n, path, JSON_OBJECT, "an object of profiles"))
		return;
	if (n->len > DISPATCH_PROFILES_MAX) {
		conf_error(c, n, path, "has %zu entries; allowed: %d", n->len,
		    DISPATCH_PROFILES_MAX);
		return;
	}
	cfg->profiles = xcalloc(n->len + 1, sizeof(*cfg->profiles));
	for (child = n->child; child != NULL; child = child->next)
		read_profile(c, child, conf_path_key(buf, path, child->key),
		    &cfg->profiles[cfg->nprofiles++]);
}

/* --- what needs the whole ---------------------------------------------- */

static void
check_tools(struct dispatch_config *cfg, const struct json_node *n,
    const char *path, const struct dispatch_profile *p)
{
	const struct json_node *list = json_member(n, "tools");
	size_t i, k;

	for (i = 0; i < p->ntools; i++) {
		if (dispatch_tool_find(cfg, p->tools[i]) == NULL)
			conf_error(cfg->conf, list, path,
			    "no such tool %s; allowed: names of tools",
			    p->tools[i]);
		for (k = 0; k < i; k++) {
			if (strcmp(p->tools[i], p->tools[k]) == 0)
				conf_error(cfg->conf, list, path,
				    "%s is there twice; allowed: each tool "
				    "once",
				    p->tools[i]);
		}
	}
}

/* A run of it would wait for ever. */
static void
check_capacity(struct dispatch_config *cfg, const struct json_node *n,
    const char *path, const struct dispatch_profile *p)
{
	const struct {
		const char *key;
		int64_t asks, has;
		const char *unit;
	} rows[] = {
		{ "memory", p->memory, cfg->capacity.memory, "bytes" },
		{ "cpus", p->cpus_milli, cfg->capacity.cpus_milli,
		    "thousandths" },
		{ "pids", p->pids, cfg->capacity.pids, "processes" },
	};
	const struct json_node *at;
	char buf[CONF_PATH_MAX];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].asks <= rows[i].has)
			continue;
		at = json_member(n, rows[i].key);
		conf_error(cfg->conf, at != NULL ? at : n,
		    conf_path_key(buf, path, rows[i].key),
		    "%" PRId64 " %s could never run; allowed: at most "
		    "capacity.%s, %" PRId64,
		    rows[i].asks, rows[i].unit, rows[i].key, rows[i].has);
	}
}

static void
read_ca(struct dispatch_config *cfg, const struct json_node *n,
    const char *path, struct dispatch_profile *p)
{
	const struct json_node *at = json_member(n, "ca_file");

	if (p->ca_file == NULL)
		return;
	if (cfg->env->read_file(
	        p->ca_file, DISPATCH_CA_MAX, &p->ca, &p->ca_len) == -1) {
		p->ca = NULL;
		conf_error(cfg->conf, at, path,
		    "%s cannot be read (%s); allowed: a readable file of at "
		    "most %d bytes",
		    p->ca_file, strerror(errno), DISPATCH_CA_MAX);
	} else if (strlen(p->ca) != p->ca_len ||
	    strstr(p->ca, "-----BEGIN CERTIFICATE-----") == NULL)
		conf_error(cfg->conf, at, path,
		    "%s holds no certificate; allowed: certificates in PEM",
		    p->ca_file);
}

void
dispatch_check_profiles(
    struct dispatch_config *cfg, const struct json_node *root)
{
	const struct json_node *list = json_member(root, "profiles"), *n;
	struct dispatch_profile *p = cfg->profiles;
	char path[CONF_PATH_MAX], buf[CONF_PATH_MAX];

	if (cfg->nprofiles == 0) {
		conf_warning(cfg->conf, list != NULL ? list : root, "profiles",
		    "there is none: no run can be asked for");
		return;
	}
	for (n = list->child; n != NULL; n = n->next, p++) {
		if (n->type != JSON_OBJECT)
			continue;
		conf_path_key(path, "profiles", n->key);
		check_tools(cfg, n, conf_path_key(buf, path, "tools"), p);
		check_capacity(cfg, n, path, p);
		read_ca(cfg, n, conf_path_key(buf, path, "ca_file"), p);
	}
}

const struct dispatch_profile *
dispatch_profile_find(const struct dispatch_config *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->nprofiles; i++) {
		if (strcmp(c->profiles[i].name, name) == 0)
			return &c->profiles[i];
	}
	return NULL;
}

bool
dispatch_profile_has(const struct dispatch_profile *p, const char *tool)
{
	size_t i;

	for (i = 0; i < p->ntools; i++) {
		if (strcmp(p->tools[i], tool) == 0)
			return true;
	}
	return false;
}
