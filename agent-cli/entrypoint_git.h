#ifndef AGENT_CLI_ENTRYPOINT_GIT_H
#define AGENT_CLI_ENTRYPOINT_GIT_H

/*
 * The repository: cloned before the tool, harvested behind it. These block:
 * they run in a worker, whose end is a result on a pipe. What the tool left
 * behind is hostile: its .git is only ever a store of objects and a name for
 * a commit; its hooks and filters are never in force, and of all that a
 * configuration can name nothing runs: git makes no process there.
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
/*
 * A harvest: first what is not committed, then what the names of the bundle
 * are, then the bundle. Each has its own time, so that a work tree that git
 * cannot get through does not cost the commits. All of it is to be over within
 * HARVEST_AGENT_MS.
 */
#define GIT_REST_MS (4 * 60 * 1000)
#define GIT_ADD_MS (3 * 60 * 1000) /* it reads every changed file */
#define GIT_REFS_MS (60 * 1000)
#define GIT_BUNDLE_MS (5 * 60 * 1000)
#define GIT_HARVEST_MS (GIT_REST_MS + GIT_REFS_MS + GIT_BUNDLE_MS)
#define GIT_INDEX_MAX (64 * 1024 * 1024) /* a larger one is made anew */

/* What a job needs; strings are borrowed. */
struct git_job {
	const char *url; /* "": no repository */
	const char *protocol; /* the one that git may speak: "https" */
	const char *base; /* branch; "": the default one */
	const char *branch; /* to make */
	const char *work; /* the clone */
	const char *keep; /* directory: second names of the clone's packs */
	/* Where a harvest makes its own directory: the one with more room. */
	const char *home, *spare;
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
	int64_t bytes; /* of it; GIT_FAILED: 0, or what there was no room for */
};

/* --- entrypoint_git.c ------------------------------------------------------
 */

void git_clone(const struct git_job *job, struct git_result *r);

/* --- entrypoint_sweep.c ----------------------------------------------------
 */

#define SWEEP_NESTED_MAX 32

struct sweep {
	/* Repositories within, as paths below the work tree. */
	char nested[SWEEP_NESTED_MAX][GIT_PATH_MAX];
	size_t n;
	bool whole; /* all of the tree was seen */
};

/*
 * Go through a work tree before git does. What is no file, no directory and no
 * link is removed: git would store none of it, and opens some to wait for ever.
 */
void tree_sweep(const char *work, struct sweep *s);

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
	bool alone; /* git makes no process */
	char out[GIT_OUT_MAX]; /* the last one's standard output, trimmed */
	char err[GIT_WHY_MAX]; /* and the last line of its errors */
	char first[GIT_WHY_MAX]; /* what it passed over first; "": nothing */
};

/*
 * env: job->envp and what keeps git from reading anybody's settings. protocol
 * is the one that it may speak; "": none.
 */
int git_open(struct git *g, const struct git_job *job, const char *protocol,
    int64_t limit_ms);
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
