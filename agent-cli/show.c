/* The objects of ps, show, wait and run. */

#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "show.h"

void
show_text(struct json_writer *w, const char *key, const char *text)
{
	json_key(w, key);
	if (text != NULL && text[0] != '\0')
		json_string(w, text);
	else
		json_null(w);
}

void
show_code(struct json_writer *w, const char *key, int64_t code)
{
	json_key(w, key);
	if (code >= 0)
		json_int(w, code);
	else
		json_null(w);
}

void
show_bundle(
    struct json_writer *w, const char *path, const char *sha256, int64_t bytes)
{
	json_key(w, "bundle");
	if (path == NULL || path[0] == '\0') {
		json_null(w);
		return;
	}
	json_open_object(w);
	show_text(w, "path", path);
	show_text(w, "sha256", sha256);
	json_key(w, "bytes");
	json_int(w, bytes);
	json_close_object(w);
}

void
show_map(struct json_writer *w, const struct msg_map *map)
{
	size_t i;

	json_open_object(w);
	for (i = 0; i < map->n; i++) {
		json_key(w, map->k[i]);
		json_string(w, map->v[i]);
	}
	json_close_object(w);
}

void
show_counts(struct json_writer *w, const struct msg_map *map)
{
	const char *bad;
	int64_t n;
	size_t i;

	json_open_object(w);
	for (i = 0; i < map->n; i++) {
		json_key(w, map->k[i]);
		n = strtonum(map->v[i], 0, INT64_MAX, &bad);
		if (bad == NULL)
			json_int(w, n);
		else
			json_string(w, map->v[i]);
	}
	json_close_object(w);
}

char *
show_object(struct json_writer **w)
{
	const char *text;
	char *copy;
	size_t len;

	if (json_writer_end(*w, &text, &len) == -1 ||
	    (copy = strdup(text)) == NULL) {
		complain("the object cannot be written");
		exit(EXIT_FAILED);
	}
	json_writer_free(w);
	return copy;
}

static void
show_egress(struct json_writer *w, const struct msg_show_answer *m)
{
	json_key(w, "egress");
	json_open_object(w);
	json_key(w, "allowed");
	json_int(w, m->allowed);
	json_key(w, "denied");
	json_int(w, m->denied);
	json_key(w, "bytes_up");
	json_int(w, m->bytes_up);
	json_key(w, "bytes_down");
	json_int(w, m->bytes_down);
	json_key(w, "denials");
	show_counts(w, &m->denials);
	json_close_object(w);
}

static void
show_log(struct json_writer *w, const struct msg_show_answer *m)
{
	json_key(w, "log");
	json_open_object(w);
	json_key(w, "bytes");
	json_int(w, m->log_bytes);
	json_key(w, "kept");
	json_int(w, m->log_kept);
	json_key(w, "dropped");
	json_int(w, m->log_dropped);
	json_close_object(w);
}

char *
show_run(const struct msg_show_answer *m)
{
	struct json_writer *w = json_writer_new(OBJECT_MAX);

	json_open_object(w);
	show_text(w, "run", m->run);
	show_text(w, "state", m->state);
	show_text(w, "class", m->class);
	show_code(w, "exit_code", m->exit_code);
	show_text(w, "reason", m->reason);
	show_text(w, "profile", m->profile);
	show_text(w, "tool", m->tool);
	show_text(w, "repo", m->repo);
	show_text(w, "base", m->base);
	show_text(w, "base_commit", m->base_commit);
	show_text(w, "head", m->head);
	show_text(w, "branch", m->branch);
	show_bundle(w, m->bundle_path, m->bundle_sha256, m->bundle_bytes);
	json_key(w, "proof");
	show_map(w, &m->proof);
	show_egress(w, m);
	json_key(w, "times");
	show_map(w, &m->times);
	show_log(w, m);
	show_text(w, "why", m->why);
	json_close_object(w);
	return show_object(&w);
}

char *
show_row(const struct msg_ps_row *m)
{
	static const char *const unknown[] = { "base", "base_commit", "head",
		"branch", "bundle", "proof", "egress", "times", "log" };
	struct json_writer *w = json_writer_new(OBJECT_MAX);
	size_t i;

	json_open_object(w);
	show_text(w, "run", m->run);
	show_text(w, "state", m->state);
	show_text(w, "class", m->class);
	show_code(w, "exit_code", -1);
	show_text(w, "reason", NULL);
	show_text(w, "profile", m->profile);
	show_text(w, "tool", m->tool);
	show_text(w, "repo", m->repo);
	for (i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		show_text(w, unknown[i], NULL);
	show_text(w, "why", m->why);
	json_close_object(w);
	return show_object(&w);
}
