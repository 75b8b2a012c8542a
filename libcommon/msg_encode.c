/* Messages to the wire and into records: see msg.h. Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/frame.h"
#include "libcommon/json.h"
#include "libcommon/msg.h"
#include "libcommon/msg_check.h"

/* The union begins at the first byte of each of its members. */
static const void *
field_of(const struct msg *m, const struct msg_field *f)
{
	return (const char *)&m->u + f->off;
}

static bool
field_absent(const struct msg *m, const struct msg_field *f)
{
	const void *at = field_of(m, f);

	if ((f->flags & FIELD_OPT) == 0)
		return false;
	switch (f->type) {
	case FIELD_STRING:
		return *(const char *const *)at == NULL;
	case FIELD_LIST:
		return ((const struct msg_list *)at)->n == 0;
	case FIELD_MAP:
		return ((const struct msg_map *)at)->n == 0;
	case FIELD_INT:
	case FIELD_BOOL:
		break;
	}
	return false;
}

static int
check_strings(const struct msg_decl *d, const struct msg_field *f,
    const char *const *v, size_t n, const struct msg_complaint *c)
{
	size_t i;

	if (msg_check_count(d, f, n, c) == -1)
		return -1;
	for (i = 0; i < n; i++) {
		if (v[i] == NULL)
			return msg_refuse(
			    c, "%s: %s: missing entry", d->wire, f->name);
		if (msg_check_len(d, f, strlen(v[i]), c) == -1)
			return -1;
	}
	return 0;
}

static int
check_map(const struct msg_decl *d, const struct msg_field *f,
    const struct msg_map *map, const struct msg_complaint *c)
{
	size_t i, j;

	if (check_strings(d, f, map->k, map->n, c) == -1 ||
	    check_strings(d, f, map->v, map->n, c) == -1)
		return -1;
	for (i = 1; i < map->n; i++) {
		for (j = 0; j < i; j++) {
			if (strcmp(map->k[i], map->k[j]) == 0)
				return msg_refuse(
				    c, "%s: %s: a key twice", d->wire, f->name);
		}
	}
	return 0;
}

/* May a field that is not absent go out as it is? */
static int
check_field(const struct msg_decl *d, const struct msg *m,
    const struct msg_field *f, const struct msg_complaint *c)
{
	const void *at = field_of(m, f);
	const struct msg_list *list;

	switch (f->type) {
	case FIELD_STRING:
		if (*(const char *const *)at == NULL)
			return msg_refuse(
			    c, "%s: %s: missing", d->wire, f->name);
		return msg_check_len(d, f, strlen(*(const char *const *)at), c);
	case FIELD_INT:
		return msg_check_int(d, f, *(const int64_t *)at, c);
	case FIELD_BOOL:
		return 0;
	case FIELD_LIST:
		list = at;
		return check_strings(d, f, list->v, list->n, c);
	case FIELD_MAP:
		return check_map(d, f, at, c);
	}
	return -1;
}

static void
write_list(const struct msg_list *list, struct json_writer *w)
{
	size_t i;

	json_open_array(w);
	for (i = 0; i < list->n; i++)
		json_string(w, list->v[i]);
	json_close_array(w);
}

static void
write_map(const struct msg_map *map, struct json_writer *w)
{
	size_t i;

	json_open_object(w);
	for (i = 0; i < map->n; i++) {
		json_key(w, map->k[i]);
		json_string(w, map->v[i]);
	}
	json_close_object(w);
}

static void
write_field(
    const struct msg *m, const struct msg_field *f, struct json_writer *w)
{
	const void *at = field_of(m, f);

	json_key(w, f->name);
	switch (f->type) {
	case FIELD_STRING:
		json_string(w, *(const char *const *)at);
		break;
	case FIELD_INT:
		json_int(w, *(const int64_t *)at);
		break;
	case FIELD_BOOL:
		json_bool(w, *(const bool *)at);
		break;
	case FIELD_LIST:
		write_list(at, w);
		break;
	case FIELD_MAP:
		write_map(at, w);
		break;
	}
}

static void
write_fields(
    const struct msg_decl *d, const struct msg *m, struct json_writer *w)
{
	const struct msg_field *f;
	size_t i;

	for (i = 0; i < d->nfields; i++) {
		f = &d->fields[i];
		if ((f->flags & FIELD_PEER) != 0)
			continue;
		if (!field_absent(m, f)) {
			write_field(m, f, w);
		} else if ((f->flags & FIELD_NULL) != 0) {
			json_key(w, f->name);
			json_null(w);
		}
	}
}

void
msg_write_fields(const struct msg *m, struct json_writer *w)
{
	const struct msg_decl *d = msg_decl(m->type);

	if (d != NULL)
		write_fields(d, m, w);
}

static int
check_msg(const struct msg_decl *d, const struct msg *m,
    const struct msg_complaint *c)
{
	size_t i;

	if (msg_check_id(d, m->id, c) == -1)
		return -1;
	for (i = 0; i < d->nfields; i++) {
		if (!field_absent(m, &d->fields[i]) &&
		    check_field(d, m, &d->fields[i], c) == -1)
			return -1;
	}
	return 0;
}

static void
write_msg(const struct msg_decl *d, const struct msg *m, struct json_writer *w)
{
	size_t i;

	json_open_object(w);
	json_key(w, "type");
	json_string(w, d->wire);
	if (m->id > 0) {
		json_key(w, "id");
		json_int(w, m->id);
	}
	for (i = 0; i < d->nfields; i++) {
		if (!field_absent(m, &d->fields[i]))
			write_field(m, &d->fields[i], w);
	}
	json_close_object(w);
}

int
msg_encode(
    const struct msg *m, char **text, size_t *len, char *why, size_t whylen)
{
	const struct msg_complaint c = { why, whylen };
	const struct msg_decl *d;
	struct json_writer *w;
	const char *written;
	char *copy;
	size_t n;

	d = msg_decl(m->type);
	if (d == NULL)
		return msg_refuse(&c, "unknown type");
	if (check_msg(d, m, &c) == -1)
		return -1;
	w = json_writer_new(
	    (d->flags & MSG_F_BIG) != 0 ? FRAME_CTL_BIG_MAX : FRAME_CTL_MAX);
	write_msg(d, m, w);
	copy = NULL;
	if (json_writer_end(w, &written, &n) == 0)
		copy = malloc(n + 1);
	if (copy != NULL) {
		memcpy(copy, written, n + 1);
		*text = copy;
		*len = n;
	}
	json_writer_free(&w);
	if (copy == NULL)
		return msg_refuse(
		    &c, "%s: invalid UTF-8, too large, or no memory", d->wire);
	return 0;
}
