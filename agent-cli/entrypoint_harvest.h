#ifndef AGENT_CLI_ENTRYPOINT_HARVEST_H
#define AGENT_CLI_ENTRYPOINT_HARVEST_H

/* What the files of a harvest share. */

#include "entrypoint_git.h"

#define FULL "the workspace is full: " /* in front of what is missing */

struct harvest {
	const struct git_job *job;
	struct git_result *r;
	struct git g;
	struct sweep tree;
	char scratch[GIT_PATH_MAX]; /* holds store/ and bundle */
	char store[GIT_PATH_MAX], dotgit[GIT_PATH_MAX];
	char ref[GIT_PATH_MAX], left_ref[GIT_PATH_MAX];
	char head[GIT_NAME_MAX]; /* what HEAD is, "": nothing */
	char branch[GIT_NAME_MAX]; /* what our branch is */
	char tip[GIT_NAME_MAX]; /* what is bundled */
	bool has_dotgit, has_left;
	bool full; /* something is missing for want of room */
};

/* --- entrypoint_harvest.c ------------------------------------------------ */

/* git in our own store; as git_run. */
int harvest_git(struct harvest *h, int64_t limit_ms, int64_t file_max,
    const char *const *args);
/* What is missing, for a person. The first word on it stays. */
void harvest_note(struct harvest *h, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Behind something that failed: was it for want of room? */
bool harvest_is_full(struct harvest *h);

/* --- entrypoint_rest.c -----------------------------------------------------
 */

/* A commit of what is not committed becomes the tip. */
void harvest_rest(struct harvest *h);

/* --- entrypoint_nested.c: repositories within the work tree -----------------
 */

/*
 * The paths that git is to add, in a file for its --pathspec-from-file: all of
 * it but these. exclude is the setting that says what is ignored. 0 or -1.
 */
int nested_leave_out(struct harvest *h, const char *exclude, const char *file);
/* Behind that: each gets its place in the index, or is noted. */
void nested_take(struct harvest *h);

#endif
