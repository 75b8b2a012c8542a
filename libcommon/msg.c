/*
 * The tables of messages: see msg.h and PROTOCOL.md. msg_decode.c, msg_encode.c
 * and msg_table.c work by them. Pure.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/msg.h"
#include "libcommon/msg_check.h"

/* --- the tables ------------------------------------------------------- */

/* clang-format off */

/* Each ends with an empty row, since a message may have no field at all. */
#define MSG(id, wire, from, to, kind, answer, flags, doc) \
	static const struct msg_field fields_##id[] = {
#define ROW(id, name, type, min, max, count, flags) \
	{ #name, type, min, max, count, flags, \
	    offsetof(struct msg_##id, name) },
#define STRING(id, name, min, max, flags) \
	ROW(id, name, FIELD_STRING, min, max, 0, flags)
#define INT(id, name, min, max, flags) \
	ROW(id, name, FIELD_INT, min, max, 0, flags)
#define BOOL(id, name, flags) \
	ROW(id, name, FIELD_BOOL, 0, 1, 0, flags)
#define LIST(id, name, count, max, flags) \
	ROW(id, name, FIELD_LIST, 0, max, count, flags)
#define MAP(id, name, count, max, flags) \
	ROW(id, name, FIELD_MAP, 0, max, count, flags)
#define END(id) \
	{ NULL, FIELD_STRING, 0, 0, 0, 0, 0 } };
#include "libcommon/msg.def"
#undef ROW

static const struct msg_decl decls[] = {
#define MSG(id, wire, from, to, kind, answer, flags, doc) \
	[MSG_TYPE_##id] = { MSG_TYPE_##id, wire, from, to, kind, \
	    MSG_TYPE_##answer, flags, doc, fields_##id, \
	    sizeof(fields_##id) / sizeof(fields_##id[0]) - 1 },
#define STRING(id, name, min, max, flags)
#define INT(id, name, min, max, flags)
#define BOOL(id, name, flags)
#define LIST(id, name, count, max, flags)
#define MAP(id, name, count, max, flags)
#define END(id)
#include "libcommon/msg.def"
};

/* clang-format on */

const struct msg_decl *
msg_decl(enum msg_type type)
{
	if (type <= MSG_TYPE_none || type >= MSG_TYPE_MAX)
		return NULL;
	return &decls[type];
}

const struct msg_decl *
msg_decl_by_wire(const char *wire)
{
	size_t i;

	for (i = MSG_TYPE_none + 1; i < MSG_TYPE_MAX; i++) {
		if (strcmp(decls[i].wire, wire) == 0)
			return &decls[i];
	}
	return NULL;
}

bool
msg_permitted(enum msg_type type, unsigned from, unsigned to)
{
	const struct msg_decl *d;

	d = msg_decl(type);
	if (d == NULL || from == 0 || to == 0)
		return false;
	return (from & ~d->from) == 0 && (to & ~d->to) == 0;
}

void
msg_free(struct msg *m)
{
	if (m == NULL)
		return;
	/* Secret or not is not asked: to zero a message costs nothing. */
	if (m->mem != NULL)
		freezero(m->mem, m->memlen);
	memset(m, 0, sizeof(*m));
}

/* --- what decoding and encoding have in common: msg_check.h ----------- */

int
msg_refuse(const struct msg_complaint *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(c->why, c->len, fmt, ap);
	va_end(ap);
	return -1;
}

bool
msg_own_id(const struct msg_decl *d)
{
	size_t i;

	for (i = 0; i < d->nfields; i++) {
		if (strcmp(d->fields[i].name, "id") == 0)
			return true;
	}
	return false;
}

int
msg_check_id(
    const struct msg_decl *d, int64_t id, const struct msg_complaint *c)
{
	if (id < 0)
		return msg_refuse(c, "%s: id below 0", d->wire);
	if (id == 0 && d->kind != MSG_EVENT)
		return msg_refuse(c, "%s: no id", d->wire);
	if (id > 0 && msg_own_id(d))
		return msg_refuse(c, "%s: cannot carry an id", d->wire);
	return 0;
}

int
msg_check_len(const struct msg_decl *d, const struct msg_field *f, size_t len,
    const struct msg_complaint *c)
{
	if (len < (size_t)f->min)
		return msg_refuse(c, "%s: %s: shorter than %lld bytes", d->wire,
		    f->name, (long long)f->min);
	if (len > (size_t)f->max)
		return msg_refuse(c, "%s: %s: longer than %lld bytes", d->wire,
		    f->name, (long long)f->max);
	return 0;
}

int
msg_check_count(const struct msg_decl *d, const struct msg_field *f, size_t n,
    const struct msg_complaint *c)
{
	if (n > f->count)
		return msg_refuse(c, "%s: %s: more than %zu entries", d->wire,
		    f->name, f->count);
	return 0;
}

int
msg_check_int(const struct msg_decl *d, const struct msg_field *f, int64_t n,
    const struct msg_complaint *c)
{
	if (n < f->min || n > f->max)
		return msg_refuse(c, "%s: %s: not in %lld..%lld", d->wire,
		    f->name, (long long)f->min, (long long)f->max);
	return 0;
}
