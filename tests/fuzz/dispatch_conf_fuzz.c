/*
 * Any text as dispatchd's configuration, on a machine without files of its
 * own. What was taken must be what the processes behind the parent expect of
 * it; what was refused must have a reason, printable and on one line.
 */

#include <stdint.h>

#include "dispatchd/dispatchd.h"
#include "dispatchd/queue_request.h"

#include "tests/fuzz/conf_check.h"
#include "tests/machine.h"

static int
fuzz_read_file(const char *path, size_t max, char **buf, size_t *len)
{
	return machine_file(strcmp(path, "/ca.pem") == 0
	        ? "-----BEGIN CERTIFICATE-----\n"
	        : NULL,
	    max, buf, len);
}

static int
fuzz_id(const char *name, uint32_t *id)
{
	return machine_id(name, "root", 0, id);
}

static const struct dispatch_config_env env = {
	.read_file = fuzz_read_file,
	.user = fuzz_id,
	.group = fuzz_id,
};

static void
check_env(const struct dispatch_env *e)
{
	size_t i;

	assert(e->n <= DISPATCH_ENV_MAX);
	for (i = 0; i < e->n; i++) {
		assert(*e->name[i] != '\0' &&
		    strlen(e->name[i]) <= DISPATCH_ENV_NAME_MAX);
		assert(strchr(e->name[i], '=') == NULL);
		assert(strncmp(e->name[i], "BULKHEAD_", 9) != 0);
		assert(strcmp(e->name[i], "HOME") != 0);
		assert(strlen(e->value[i]) <= DISPATCH_ENV_VALUE_MAX);
	}
}

static void
check_tool(const struct dispatch_tool *t)
{
	char branch[QUEUE_BRANCH_MAX + 1];
	size_t i, places = 0;

	assert(t->argc >= 1 && t->argc <= DISPATCH_ARGV_MAX);
	assert(*t->argv[0] != '\0' && strcmp(t->argv[0], "{}") != 0);
	for (i = 0; i < t->argc; i++) {
		assert(strlen(t->argv[i]) <= DISPATCH_ARG_MAX);
		places += strcmp(t->argv[i], "{}") == 0;
	}
	assert(places == (t->prompt == PROMPT_ARGUMENT ? 1 : 0));
	queue_branch(t->name, "abcdefghijkl", branch);
	assert(queue_branch_valid(branch));
	check_env(&t->env);
}

static void
check_profile(
    const struct dispatch_config *cfg, const struct dispatch_profile *p)
{
	size_t i;

	assert(p->ntools >= 1 && p->ntools <= DISPATCH_TOOLS_MAX);
	for (i = 0; i < p->ntools; i++)
		assert(dispatch_tool_find(cfg, p->tools[i]) != NULL);
	assert(p->workspace > 0);
	assert(p->memory >= p->workspace + DISPATCH_MEMORY_BESIDE);
	assert(p->memory <= cfg->capacity.memory);
	assert(
	    p->cpus_milli >= 10 && p->cpus_milli <= cfg->capacity.cpus_milli);
	assert(p->pids > 0 && p->pids <= cfg->capacity.pids);
	assert(p->deadline_ms >= DISPATCH_DEADLINE_MIN);
	assert(p->hung_start_ms > 0 && p->hung_start_ms <= p->deadline_ms);
	assert(p->idle_ms > 0 && p->idle_ms <= p->deadline_ms);
	assert((p->ca_file == NULL) == (p->ca == NULL));
	check_env(&p->env);
}

static void
check_config(const struct dispatch_config *cfg)
{
	char url[QUEUE_URL_MAX + 1];
	const char *why;
	size_t i;

	assert(cfg->socket[0] == '/' && cfg->state[0] == '/');
	assert(cfg->driver == 0 && *cfg->image != '\0');
	assert(cfg->pool.addr.family == AF_INET);
	assert(cfg->pool.bits <= DISPATCH_SUBNET_BITS);
	assert(cfg->capacity.runs <= DISPATCH_RUNS_MAX);
	assert((INT64_C(1) << (DISPATCH_SUBNET_BITS - cfg->pool.bits)) >=
	    cfg->capacity.runs);
	assert(queue_url_canon(cfg->forge, true, url, &why) == 0);
	assert(strcmp(url, cfg->forge) == 0);
	for (i = 0; i < cfg->npeers; i++)
		assert(cfg->peers[i].id == 0 && cfg->peers[i].nmay > 0);
	for (i = 0; i < cfg->ntools; i++)
		check_tool(&cfg->tools[i]);
	for (i = 0; i < cfg->nprofiles; i++)
		check_profile(cfg, &cfg->profiles[i]);
	assert(cfg->default_profile == NULL ||
	    dispatch_profile_find(cfg, cfg->default_profile) != NULL);
	assert(cfg->default_tool == NULL ||
	    dispatch_tool_find(cfg, cfg->default_tool) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dispatch_config *cfg;
	struct conf *c;

	cfg = dispatch_config_read_env(
	    "fuzz", (const char *)data, size, &env, &c);
	conf_check(c, cfg != NULL);
	if (cfg != NULL)
		check_config(cfg);
	else
		conf_free(&c);
	dispatch_config_free(&cfg);
	return 0;
}
