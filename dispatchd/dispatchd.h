#ifndef DISPATCHD_DISPATCHD_H
#define DISPATCHD_DISPATCHD_H

/* What the files of dispatchd share, grouped by the file that defines it. */

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/conf_peers.h"
#include "libcommon/hostname.h"
#include "libcommon/netaddr.h"
#include "libcommon/runid.h"

#define DISPATCH_NAME_MAX 64 /* of a tool, a profile */
#define DISPATCH_TOOLS_MAX 64
#define DISPATCH_PROFILES_MAX 256
#define DISPATCH_ARGV_MAX 64 /* as msg.def has it: start */
#define DISPATCH_ARG_MAX 4096
#define DISPATCH_ENV_MAX 48 /* of a tool, of a profile; start takes 128 */
#define DISPATCH_ENV_NAME_MAX 64
#define DISPATCH_ENV_VALUE_MAX 4096
#define DISPATCH_CA_MAX 1048576 /* bytes of a ca_file */
#define DISPATCH_PROMPT_MAX (4 * 1024 * 1024)
/* A word of argv with its NUL may have 128 KiB (MAX_ARG_STRLEN). */
#define DISPATCH_ARGUMENT_MAX (128 * 1024 - 1)
#define DISPATCH_SUBNET_BITS 29 /* of a run's own network */
#define DISPATCH_RUNS_MAX 128 /* not over at the same time; egressd's too */
#define DISPATCH_PREFIX_MAX 3 /* of the interfaces of runs */
#define DISPATCH_IMAGE_MAX 255
#define DISPATCH_FORGE_MAX 256
/* What a run needs beside its workspace: the tool, git, PID 1, /tmp. */
#define DISPATCH_MEMORY_BESIDE (64LL * 1024 * 1024)
#define DISPATCH_DEADLINE_MIN 1000 /* ms */
#define DISPATCH_DEADLINE_MAX (30LL * 24 * 3600 * 1000)

/* --- dispatchd_config_lists.c: what a peer may ask for ------------------ */

enum dispatch_verb {
	VERB_run,
	VERB_ps,
	VERB_logs,
	VERB_stop,
	VERB_rm,
	VERB_show,
	VERB_status,
	VERB_MAX
};

extern const char *const dispatch_verbs[VERB_MAX];

/* --- dispatchd_config.c: the parent's; reads and checks ---------------- */

enum dispatch_prompt {
	PROMPT_STDIN,
	PROMPT_FILE,
	PROMPT_ARGUMENT
};

struct dispatch_env {
	const char *name[DISPATCH_ENV_MAX];
	const char *value[DISPATCH_ENV_MAX];
	size_t n;
};

struct dispatch_tool {
	const char *name;
	const char *argv[DISPATCH_ARGV_MAX];
	size_t argc;
	int prompt; /* enum dispatch_prompt */
	struct dispatch_env env;
};

struct dispatch_profile {
	const char *name;
	const char *tools[DISPATCH_TOOLS_MAX]; /* names of tools */
	size_t ntools;
	const char *egress; /* egressd's profile */
	int64_t memory, workspace; /* bytes; the former holds the latter */
	int64_t cpus_milli, pids;
	int64_t deadline_ms, hung_start_ms, idle_ms; /* the latter two: below
	                                the first, or equal to it: never */
	struct dispatch_env env;
	const char *ca_file; /* NULL: none */
	char *ca; /* what it held when it was loaded */
	size_t ca_len;
};

struct dispatch_capacity {
	int64_t memory, cpus_milli, pids, runs;
};

/* What the configuration names outside its own text. Each 0 or -1, errno. */
struct dispatch_config_env {
	int (*read_file)(const char *path, size_t max, char **buf,
	    size_t *len); /* as fd_read_path */
	int (*user)(const char *name, uint32_t *uid);
	int (*group)(const char *name, uint32_t *gid);
};

struct dispatch_config {
	struct conf *conf; /* owns the strings */
	const struct dispatch_config_env *env; /* while it is read */
	const char *socket;
	const char *state;
	const char *audit;
	int driver; /* 0: docker, the only one in this version */
	const char *engine_socket;
	const char *egressd;
	const char *prefix; /* of the interfaces of runs: as egressd's */
	int64_t proxy_port; /* of a run: as egressd's */
	struct netprefix pool; /* of the runs' networks */
	struct dispatch_capacity capacity;
	const char *image;
	int64_t log_limit, bundle_limit, disk_reserve;
	int64_t keep_runs, keep_days;
	const char *forge; /* "https://github.com", no slash at its end */
	const char *user_parent, *user_frontend, *user_runs, *user_queue,
	    *user_engine, *user_audit;
	struct conf_peer peers[CONF_PEERS_MAX];
	size_t npeers;
	struct dispatch_tool *tools;
	size_t ntools;
	struct dispatch_profile *profiles;
	size_t nprofiles;
	const char *default_profile, *default_tool; /* NULL: none */
	char sha256[65]; /* hex, of the file's bytes */
};

/*
 * Read configuration text (file is its name for messages); the files that it
 * names are read from disk. Returns the configuration, owned by the caller, or
 * NULL; either way errors and warnings stand in *conf, which the caller frees
 * with conf_free when NULL was returned (else dispatch_config_free does).
 */
struct dispatch_config *dispatch_config_read(
    const char *file, const char *text, size_t len, struct conf **conf);
/* The same with other files and users: tests. */
struct dispatch_config *
dispatch_config_read_env(const char *file, const char *text, size_t len,
    const struct dispatch_config_env *env, struct conf **conf);
void dispatch_config_free(struct dispatch_config **c);

/* Each the one of that name, or NULL. */
const struct dispatch_tool *
dispatch_tool_find(const struct dispatch_config *c, const char *name);
const struct dispatch_profile *
dispatch_profile_find(const struct dispatch_config *c, const char *name);
/* Does the profile permit this tool? */
bool dispatch_profile_has(const struct dispatch_profile *p, const char *tool);

#endif
