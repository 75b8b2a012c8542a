/* Messages from the wire: see msg.h. Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/frame.h"
#include "libcommon/json.h"
#include "libcommon/msg.h"
#include "libcommon/msg_check.h"

/* One decode: the document, and where the message's strings go. */
struct decoder {
	const struct msg_decl *d;
	struct msg *m;
	const char **ptrs; /* free pointers */
	char *text; /* free bytes */
	struct msg_complaint c;
};

/* The union begins at the first byte of each of its members. */
static void *
field_at(struct msg *m, const struct msg_field *f)
{
	return (char *)&m->u + f->off;
}

static enum json_type
wire_type(enum msg_field_type type)
{
	switch (type) {
	case FIELD_STRING:
		return JSON_STRING;
	case FIELD_INT:
		return JSON_INT;
	case FIELD_BOOL:
		return JSON_BOOL;
	case FIELD_LIST:
		return JSON_ARRAY;
	case FIELD_MAP:
		return JSON_OBJECT;
	}
	return JSON_NULL;
}

static const char *
keep(struct decoder *dc, const char *s, size_t len)
{
	char *copy;

	copy = dc->text;
	memcpy(copy, s, len + 1);
	dc->text += len + 1;
	return copy;
}

/* The strings of a list, or the values of a map. */
static int
decode_strings(struct decoder *dc, const struct msg_field *f,
    const struct json_node *n, const char **v)
{
	const struct json_node *e;

	for (e = n->child; e != NULL; e = e->next) {
		if (e->type != JSON_STRING)
			return msg_refuse(&dc->c,
			    "%s: %s: an entry is no string", dc->d->wire,
			    f->name);
		if (msg_check_len(dc->d, f, e->len, &dc->c) == -1)
			return -1;
		*v++ = keep(dc, e->str, e->len);
	}
	return 0;
}

static int
decode_keys(struct decoder *dc, const struct msg_field *f,
    const struct json_node *n, const char **k)
{
	const struct json_node *e;
	size_t len;

	for (e = n->child; e != NULL; e = e->next) {
		len = strlen(e->key);
		if (msg_check_len(dc->d, f, len, &dc->c) == -1)
			return -1;
		*k++ = keep(dc, e->key, len);
	}
	return 0;
}

static int
decode_list(
    struct decoder *dc, const struct msg_field *f, const struct json_node *n)
{
	struct msg_list *list;

	if (msg_check_count(dc->d, f, n->len, &dc->c) == -1)
		return -1;
	list = field_at(dc->m, f);
	list->n = n->len;
	list->v = n->len > 0 ? dc->ptrs : NULL;
	dc->ptrs += n->len;
	return decode_strings(dc, f, n, dc->ptrs - n->len);
}

static int
decode_map(
    struct decoder *dc, const struct msg_field *f, const struct json_node *n)
{
	struct msg_map *map;
	const char **k, **v;

	if (msg_check_count(dc->d, f, n->len, &dc->c) == -1)
		return -1;
	map = field_at(dc->m, f);
	k = dc->ptrs;
	v = k + n->len;
	dc->ptrs = v + n->len;
	map->n = n->len;
	map->k = n->len > 0 ? k : NULL;
	map->v = n->len > 0 ? v : NULL;
	if (decode_keys(dc, f, n, k) == -1)
		return -1;
	return decode_strings(dc, f, n, v);
}

static int
decode_field(
    struct decoder *dc, const struct msg_field *f, const struct json_node *n)
{
	if (n->type != wire_type(f->type))
		return msg_refuse(
		    &dc->c, "%s: %s: wrong type", dc->d->wire, f->name);
	switch (f->type) {
	case FIELD_STRING:
		if (msg_check_len(dc->d, f, n->len, &dc->c) == -1)
			return -1;
		*(const char **)field_at(dc->m, f) = keep(dc, n->str, n->len);
		return 0;
	case FIELD_INT:
		if (msg_check_int(dc->d, f, n->num, &dc->c) == -1)
			return -1;
		*(int64_t *)field_at(dc->m, f) = n->num;
		return 0;
	case FIELD_BOOL:
		*(bool *)field_at(dc->m, f) = n->num != 0;
		return 0;
	case FIELD_LIST:
		return decode_list(dc, f, n);
	case FIELD_MAP:
		return decode_map(dc, f, n);
	}
	return -1;
}

/*
 * The envelope. Returns how many members it has, or -1: plainly, so that who
 * checks this file alone sees that no message goes on without a declaration.
 */
static int
decode_envelope(const struct json_node *root, struct decoder *dc)
{
	const struct json_node *n;

	if (root->type != JSON_OBJECT) {
		(void)msg_refuse(&dc->c, "not an object");
		return -1;
	}
	n = json_member(root, "type");
	if (n == NULL || n->type != JSON_STRING) {
		(void)msg_refuse(&dc->c, "no type");
		return -1;
	}
	dc->d = msg_decl_by_wire(n->str);
	if (dc->d == NULL) {
		(void)msg_refuse(&dc->c, "unknown type");
		return -1;
	}
	dc->m->type = dc->d->type;
	n = msg_own_id(dc->d) ? NULL : json_member(root, "id");
	if (n != NULL && (n->type != JSON_INT || n->num <= 0)) {
		(void)msg_refuse(
		    &dc->c, "%s: id is no positive integer", dc->d->wire);
		return -1;
	}
	dc->m->id = n != NULL ? n->num : 0;
	if (msg_check_id(dc->d, dc->m->id, &dc->c) == -1)
		return -1;
	return n != NULL ? 2 : 1;
}

/*
 * Room for what the message points at: the pointers of lists and maps, which
 * the members tell, and all strings, which are shorter than the text.
 */
static int
decode_room(const struct json_node *root, size_t len, struct decoder *dc)
{
	const struct json_node *n;
	size_t nptrs;

	nptrs = 0;
	for (n = root->child; n != NULL; n = n->next) {
		if (n->type == JSON_ARRAY)
			nptrs += n->len;
		else if (n->type == JSON_OBJECT)
			nptrs += 2 * n->len;
	}
	dc->m->memlen = nptrs * sizeof(dc->ptrs[0]) + len;
	dc->m->mem = malloc(dc->m->memlen);
	if (dc->m->mem == NULL) {
		(void)msg_refuse(&dc->c, "out of memory");
		return -1;
	}
	dc->ptrs = dc->m->mem;
	dc->text = (char *)(dc->ptrs + nptrs);
	return 0;
}

static int
decode_fields(const struct json_node *root, size_t members, struct decoder *dc)
{
	const struct msg_decl *d = dc->d;
	const struct json_node *n;
	size_t i;

	if (root->len > members + d->nfields)
		return msg_refuse(&dc->c, "%s: too many fields", d->wire);
	for (i = 0; i < d->nfields; i++) {
		n = json_member(root, d->fields[i].name);
		if (n == NULL && (d->fields[i].flags & FIELD_OPT) != 0)
			continue;
		if (n == NULL)
			return msg_refuse(&dc->c, "%s: %s: missing", d->wire,
			    d->fields[i].name);
		if (decode_field(dc, &d->fields[i], n) == -1)
			return -1;
		members++;
	}
	if (root->len != members)
		return msg_refuse(
		    &dc->c, "%s: a field that it does not have", d->wire);
	return 0;
}

static int
decode_document(const struct json_node *root, size_t len, struct decoder *dc)
{
	int members;

	members = decode_envelope(root, dc);
	if (members == -1)
		return -1;
	if (len > FRAME_CTL_MAX && (dc->d->flags & MSG_F_BIG) == 0)
		return msg_refuse(&dc->c, "%s: more than %d bytes", dc->d->wire,
		    FRAME_CTL_MAX);
	if (decode_room(root, len, dc) == -1)
		return -1;
	return decode_fields(root, (size_t)members, dc);
}

int
msg_decode(const char *buf, size_t len, struct msg *m, char *why, size_t whylen)
{
	struct json_limits lim = json_limits_frame;
	struct json_error error;
	struct json_doc *doc;
	struct decoder dc;
	struct msg new;
	int r;

	memset(&new, 0, sizeof(new));
	memset(&dc, 0, sizeof(dc));
	dc.m = &new;
	dc.c.why = why;
	dc.c.len = whylen;
	lim.bytes = FRAME_CTL_BIG_MAX;
	doc = json_parse(buf, len, &lim, &error);
	if (doc == NULL)
		return msg_refuse(&dc.c, "%s", error.what);
	r = decode_document(json_root(doc), len, &dc);
	json_free(&doc);
	if (r == -1)
		msg_free(&new);
	else
		*m = new;
	return r;
}
