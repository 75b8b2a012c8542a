#ifndef AGENT_CLI_ENTRYPOINT_TOOL_H
#define AGENT_CLI_ENTRYPOINT_TOOL_H

/* What a tool is started with: its words, its environment, its files. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/msg.h"

#define TOOL_HOME "/home/agent"
#define TOOL_WORK "/home/agent/work" /* the workspace */
#define TOOL_PRIVATE "/home/agent/.bulkhead" /* 0700: what PID 1 puts there */
#define TOOL_SPARE "/tmp" /* when that of HOME has less room */
#define TOOL_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define TOOL_ARGUMENT_MAX (128 * 1024) /* with its NUL, as Linux has it */
#define TOOL_ROOTS_MAX (4 * 1024 * 1024) /* the system's roots */

/* A list of strings with a NULL behind it, for exec. */
struct words {
	char **v;
	size_t n;
};

/* --- entrypoint_env.c: pure ---------------------------------------------- */

struct env_input {
	const char *run, *proxy, *home;
	const char *ca_file; /* NULL: no further roots */
	const char *prompt_file; /* NULL: it comes otherwise */
	struct msg_map env; /* the profile's and the tool's */
};

/* Each returns 0, or -1 when out of memory (words_prompt: with why). */
int words_add(struct words *w, const char *s);
int env_build(const struct env_input *in, struct words *w);
/*
 * The tool's words. With an argument prompt (prompt not NULL) each {} in the
 * words behind the first becomes the prompt.
 */
int argv_build(const struct msg_list *argv, const uint8_t *prompt, size_t len,
    struct words *w, char *why, size_t whylen);
/* Strings are zeroed. */
void words_free(struct words *w);

/* --- entrypoint_files.c --------------------------------------------------- */

/* Make a directory of mode 0700, or find it so. Returns 0 or -1 with errno. */
int private_dir(const char *path);
/* A new file of mode 0600 in an existing directory; replaces another. */
int private_file(const char *path, const void *buf, size_t len);
/* One file of the system's roots and those of ca. Returns 0 or -1. */
int roots_file(const char *path, const uint8_t *ca, size_t len);

#endif
