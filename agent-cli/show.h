#ifndef AGENT_CLI_SHOW_H
#define AGENT_CLI_SHOW_H

/* Members of the objects that commands print; show.c. */

#include <stdbool.h>
#include <stdint.h>

#include "libcommon/json.h"
#include "libcommon/msg.h"

#define OBJECT_MAX (1024 * 1024) /* of one object */

/* A text; NULL and "" are null. */
void show_text(struct json_writer *w, const char *key, const char *text);
/* A tool's exit status; below 0 is null. */
void show_code(struct json_writer *w, const char *key, int64_t code);
/* "bundle": path, sha256, bytes; null where there is no path. */
void show_bundle(
    struct json_writer *w, const char *path, const char *sha256, int64_t bytes);
/* An object of texts; of counts. */
void show_map(struct json_writer *w, const struct msg_map *map);
void show_counts(struct json_writer *w, const struct msg_map *map);
/*
 * What was written, without a newline; malloc'd; frees the writer. Exits when
 * it cannot be had.
 */
char *show_object(struct json_writer **w);
/* The object of a run. */
char *show_run(const struct msg_show_answer *m);
/* The same of one of which only its row is known: the rest is null. */
char *show_row(const struct msg_ps_row *m);

#endif
