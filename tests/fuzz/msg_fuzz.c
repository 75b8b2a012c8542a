/*
 * libcommon/msg_decode.c, msg_encode.c: what is accepted can be sent on, and
 * then says the same.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/frame.h"
#include "libcommon/msg.h"

#define REQUIRE(x)               \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

/* A byte may take six when it is written: "\u0001". */
#define WRITTEN_MAX ((size_t)6)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_fields(const struct msg *m, const struct msg_decl *d)
{
	const struct msg_field *f;
	const char *const *s;
	size_t i;

	for (i = 0; i < d->nfields; i++) {
		f = &d->fields[i];
		s = (const void *)((const char *)&m->u + f->off);
		if (f->type != FIELD_STRING)
			continue;
		REQUIRE(*s != NULL || (f->flags & FIELD_OPT) != 0);
		if (*s != NULL)
			REQUIRE(strlen(*s) >= (size_t)f->min &&
			    strlen(*s) <= (size_t)f->max);
	}
}

static void
check_record(const struct msg *m)
{
	struct json_writer *w;
	const char *text;
	size_t len;

	w = json_writer_new(WRITTEN_MAX * FRAME_CTL_BIG_MAX);
	json_open_object(w);
	msg_write_fields(m, w);
	json_close_object(w);
	REQUIRE(json_writer_end(w, &text, &len) == 0);
	json_writer_free(&w);
}

static void
check_round_trip(const struct msg *m, size_t size)
{
	char *text, *again, why[256];
	size_t len, len2;
	struct msg copy;

	if (msg_encode(m, &text, &len, why, sizeof(why)) == -1) {
		REQUIRE(size * WRITTEN_MAX > FRAME_CTL_MAX);
		return;
	}
	REQUIRE(msg_decode(text, len, &copy, why, sizeof(why)) == 0);
	REQUIRE(copy.type == m->type && copy.id == m->id);
	REQUIRE(msg_encode(&copy, &again, &len2, why, sizeof(why)) == 0);
	REQUIRE(len == len2 && memcmp(text, again, len) == 0);
	free(text);
	free(again);
	msg_free(&copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct msg_decl *d;
	char why[256] = "";
	struct msg m;

	if (msg_decode((const char *)data, size, &m, why, sizeof(why)) == -1) {
		REQUIRE(why[0] != '\0');
		return 0;
	}
	d = msg_decl(m.type);
	REQUIRE(d != NULL && d->type == m.type);
	REQUIRE(m.id > 0 || d->kind == MSG_EVENT);
	REQUIRE(msg_permitted(m.type, d->from, d->to));
	check_fields(&m, d);
	check_record(&m);
	check_round_trip(&m, size);
	msg_free(&m);
	return 0;
}
