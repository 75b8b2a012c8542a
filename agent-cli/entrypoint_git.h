#ifndef AGENT_CLI_ENTRYPOINT_GIT_H
#define AGENT_CLI_ENTRYPOINT_GIT_H

/*
 * The repository: cloned before the tool, harvested behind it. These block:
 * they run in a worker, whose end is a result on a pipe. What the tool left
 * behind is hostile: its .git is only ever a store of objects and a name for
 * a commit; its configuration, hooks and filters are never in force.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "entrypoint_tool.h"

#define GIT_NAME_MAX 65 /* a commit's name, SHA-256 too, with NUL */
#define GIT_WHY_MAX 256
#define GIT_PATH_MAX 512
#define GIT_CLONE_MS (15 * 60 * 1000)
#define GIT_QUERY_MS (30 * 1000)
#define GIT_NAME_MS (5 * 1000) /* a name, in the tool's repository */
#define GIT_COMMIT_MS (3 * 60 * 1000) /* add: it reads every changed file */
#define GIT_BUNDLE_MS (5 * 60 * 1000)
#define GIT_HARVEST_MS (10 * 60 * 1000) /* all of a harvest */
#define GIT_INDEX_MAX (64 * 1024 * 1024) /* a larger one is made anew */

/* What a job needs; strings are borrowed. */
struct git_job {
	const char *url; /* "": no repository */
	const char *protocol; /* the one that git may speak: "https" */
	const char *base; /* branch; "": the default one */
	const char *branch; /* to make */
	const char *work; /* the clone */
	const char *keep; /* directory: second names of the clone's packs */
	const char *home; /* where a harvest makes its own directory */
	int64_t bundle_max;
	char *const *envp; /* the tool's: proxy, roots, identity */
	char base_commit[GIT_NAME_MAX]; /* from the clone; "": none yet */
};

enum git_end {
	GIT_DONE = 1, /* 0 is a worker that was killed */
	GIT_NOTHING, /* harvest: head is base */
	GIT_FAILED
};

struct git_result {
	enum git_end end;
	char base[GIT_NAME_MAX], head[GIT_NAME_MAX];
	char why[GIT_WHY_MAX]; /* GIT_FAILED; else: what is missing */
	char bundle[GIT_PATH_MAX]; /* the file, where there is one */
	int64_t bytes; /* of it */
};

/* --- entrypoint_git.c ------------------------------------------------------
 */

void git_clone(const struct git_job *job, struct git_result *r);

/* --- entrypoint_harvest.c --------------------------------------------------
 */

void git_harvest(const struct git_job *job, struct git_result *r);

/* --- entrypoint_git_run.c: one git, bounded --------------------------------
 */

#define GIT_OUT_MAX 4096 /* of what it says, the end */
#define GIT_ARGS_MAX 48

struct git {
	const struct git_job *job;
	struct words env; /* git's, made by git_env */
	int64_t deadline_ms; /* of the whole job, on the boot clock */
	int to; /* where standard output goes instead, -1: to out */
	char out[GIT_OUT_MAX]; /* the last one's standard output, trimmed */
	char err[GIT_WHY_MAX]; /* and the last line of its errors */
};

/* env: job->envp and what keeps git from reading anybody's settings. */
int git_open(struct git *g, const struct git_job *job, int64_t limit_ms);
void git_close(struct git *g);
/*
 * Run git in dir with these words (NULL ends them) behind the settings that
 * every call has. Returns its exit status, or -1: not started, killed, out of
 * time; then err says so.
 */
int git_run(struct git *g, const char *dir, int64_t limit_ms, int64_t file_max,
    const char *const *args);
/* A name as git prints it: hex, 40 or 64. */
bool git_name_valid(const char *s);

#endif
