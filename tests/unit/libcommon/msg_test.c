/* libcommon/msg.c, msg_decode.c, msg_encode.c, msg_table.c */

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/frame.h"
#include "libcommon/json.h"
#include "libcommon/msg.h"

#define NROWS(rows) ((int)(sizeof(rows) / sizeof((rows)[0])))
#define WHY_MAX 256
#define POOL_MAX (4 * 1024 * 1024)

/* What the messages that fill() builds point to: of one test. */
static char *pool;
static size_t pool_used;

static void
pool_setup(void)
{
	pool = malloc(POOL_MAX);
	ck_assert_ptr_nonnull(pool);
	pool_used = 0;
}

static void
pool_teardown(void)
{
	free(pool);
	pool = NULL;
}

static void *
pool_get(size_t size)
{
	void *p;

	size = (size + 15) / 16 * 16;
	ck_assert(size <= POOL_MAX - pool_used);
	p = pool + pool_used;
	pool_used += size;
	return p;
}

/* A string of len bytes; those of 8 and more differ by n. */
static const char *
pool_string(size_t len, size_t n)
{
	char *s, number[24];

	s = pool_get(len + 1);
	memset(s, 'x', len);
	s[len] = '\0';
	(void)snprintf(number, sizeof(number), "%08zu", n);
	if (len >= 8)
		memcpy(s, number, 8);
	return s;
}

static const char **
pool_strings(size_t n, size_t len)
{
	const char **v;
	size_t i;

	v = pool_get((n + 1) * sizeof(v[0]));
	for (i = 0; i < n; i++)
		v[i] = pool_string(len, i);
	v[n] = NULL;
	return v;
}

static void *
at(struct msg *m, const struct msg_field *f)
{
	return (char *)&m->u + f->off;
}

enum fill {
	FILL_MIN, /* the least, absent where that is possible */
	FILL_ONE, /* the least that is there */
	FILL_MAX
};

static void
fill_field(struct msg *m, const struct msg_field *f, enum fill how)
{
	struct msg_list *list;
	struct msg_map *map;
	size_t n, len;

	n = how == FILL_MAX ? f->count : how == FILL_ONE ? 1 : 0;
	len = (size_t)(how == FILL_MAX ? f->max : f->min);
	switch (f->type) {
	case FIELD_STRING:
		if (how == FILL_MIN && (f->flags & FIELD_OPT) != 0)
			*(const char **)at(m, f) = NULL;
		else
			*(const char **)at(m, f) = pool_string(len, 0);
		break;
	case FIELD_INT:
		*(int64_t *)at(m, f) = how == FILL_MAX ? f->max : f->min;
		break;
	case FIELD_BOOL:
		*(bool *)at(m, f) = how == FILL_MAX;
		break;
	case FIELD_LIST:
		list = at(m, f);
		list->n = n;
		list->v = pool_strings(n, len);
		break;
	case FIELD_MAP:
		map = at(m, f);
		map->n = n;
		map->k = pool_strings(n, how == FILL_MAX ? 8 : len);
		map->v = pool_strings(n, len);
		break;
	}
}

static void
fill(struct msg *m, const struct msg_decl *d, enum fill how)
{
	size_t i;

	memset(m, 0, sizeof(*m));
	m->type = d->type;
	m->id = d->kind == MSG_EVENT ? 0 : how == FILL_MAX ? INT64_MAX : 1;
	for (i = 0; i < d->nfields; i++)
		fill_field(m, &d->fields[i], how);
}

static void
assert_strings(const struct msg_field *f, const char *const *a,
    const char *const *b, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		ck_assert_msg(strcmp(a[i], b[i]) == 0, "%s", f->name);
}

static void
assert_field(struct msg *a, struct msg *b, const struct msg_field *f)
{
	const struct msg_list *la = at(a, f), *lb = at(b, f);
	const struct msg_map *ma = at(a, f), *mb = at(b, f);
	const char *sa, *sb;

	switch (f->type) {
	case FIELD_STRING:
		sa = *(const char **)at(a, f);
		sb = *(const char **)at(b, f);
		ck_assert_msg((sa == NULL) == (sb == NULL), "%s", f->name);
		if (sa != NULL)
			assert_strings(f, &sa, &sb, 1);
		break;
	case FIELD_INT:
		ck_assert_int_eq(*(int64_t *)at(a, f), *(int64_t *)at(b, f));
		break;
	case FIELD_BOOL:
		ck_assert_int_eq(*(bool *)at(a, f), *(bool *)at(b, f));
		break;
	case FIELD_LIST:
		ck_assert_uint_eq(la->n, lb->n);
		assert_strings(f, la->v, lb->v, la->n);
		break;
	case FIELD_MAP:
		ck_assert_uint_eq(ma->n, mb->n);
		assert_strings(f, ma->k, mb->k, ma->n);
		assert_strings(f, ma->v, mb->v, ma->n);
		break;
	}
}

/* Encode, decode, compare. */
static void
assert_round_trip(struct msg *m, const struct msg_decl *d)
{
	char why[WHY_MAX] = "", *text;
	struct msg got;
	size_t len, i;

	ck_assert_msg(msg_encode(m, &text, &len, why, sizeof(why)) == 0,
	    "%s: %s", d->wire, why);
	ck_assert_uint_eq(strlen(text), len);
	ck_assert_uint_le(len,
	    (d->flags & MSG_F_BIG) != 0 ? FRAME_CTL_BIG_MAX : FRAME_CTL_MAX);
	ck_assert_msg(msg_decode(text, len, &got, why, sizeof(why)) == 0,
	    "%s: %s", d->wire, why);
	ck_assert_int_eq(got.type, m->type);
	ck_assert_int_eq(got.id, m->id);
	for (i = 0; i < d->nfields; i++)
		assert_field(m, &got, &d->fields[i]);
	free(text);
	msg_free(&got);
	ck_assert_int_eq(got.type, MSG_TYPE_none);
	ck_assert_ptr_null(got.mem);
}

START_TEST(round_trip)
{
	const struct msg_decl *d = msg_decl((enum msg_type)_i);
	struct msg m;
	size_t i;

	fill(&m, d, FILL_MIN);
	assert_round_trip(&m, d);
	fill(&m, d, FILL_ONE);
	assert_round_trip(&m, d);
	/* One at its maximum at a time: all of them may be over a frame. */
	for (i = 0; i < d->nfields; i++) {
		fill(&m, d, FILL_MIN);
		fill_field(&m, &d->fields[i], FILL_MAX);
		assert_round_trip(&m, d);
	}
	fill(&m, d, FILL_ONE);
	m.id = d->kind == MSG_EVENT ? 0 : INT64_MAX;
	assert_round_trip(&m, d);
}
END_TEST

static void
assert_unencodable(const struct msg *m, const char *want)
{
	char why[WHY_MAX] = "", *text, *untouched;
	size_t len;

	text = untouched = why;
	ck_assert_msg(
	    msg_encode(m, &text, &len, why, sizeof(why)) == -1, "%s", want);
	ck_assert_msg(strstr(why, want) != NULL, "%s: %s", want, why);
	ck_assert_ptr_eq(text, untouched);
}

/* One step outside each bound of each field, when encoding. */
START_TEST(encode_bounds)
{
	const struct msg_decl *d = msg_decl((enum msg_type)_i);
	const struct msg_field *f;
	struct msg_list *list;
	struct msg_map *map;
	struct msg m;
	size_t i;

	for (i = 0; i < d->nfields; i++) {
		f = &d->fields[i];
		fill(&m, d, FILL_ONE);
		list = at(&m, f);
		map = at(&m, f);
		switch (f->type) {
		case FIELD_STRING:
			*(const char **)at(&m, f) =
			    pool_string((size_t)f->max + 1, 0);
			assert_unencodable(&m, "longer than");
			if (f->min > 0) {
				*(const char **)at(&m, f) =
				    pool_string((size_t)f->min - 1, 0);
				assert_unencodable(&m, "shorter than");
			}
			*(const char **)at(&m, f) = NULL;
			if ((f->flags & FIELD_OPT) == 0)
				assert_unencodable(&m, "missing");
			*(const char **)at(&m, f) = "\xff\xff\xff\xff\xff\xff";
			if (f->min <= 6 && f->max >= 6)
				assert_unencodable(&m, "invalid UTF-8");
			break;
		case FIELD_INT:
			if (f->max < INT64_MAX) {
				*(int64_t *)at(&m, f) = f->max + 1;
				assert_unencodable(&m, "not in");
			}
			*(int64_t *)at(&m, f) = f->min - 1;
			assert_unencodable(&m, "not in");
			break;
		case FIELD_BOOL:
			break;
		case FIELD_LIST:
			list->n = f->count + 1;
			list->v = pool_strings(list->n, 8);
			assert_unencodable(&m, "more than");
			list->n = 1;
			list->v = pool_strings(1, (size_t)f->max + 1);
			assert_unencodable(&m, "longer than");
			list->v = pool_strings(0, 0);
			assert_unencodable(&m, "missing entry");
			break;
		case FIELD_MAP:
			map->n = f->count + 1;
			map->k = map->v = pool_strings(map->n, 8);
			assert_unencodable(&m, "more than");
			map->n = 1;
			map->k = pool_strings(1, (size_t)f->max + 1);
			assert_unencodable(&m, "longer than");
			map->v = map->k;
			map->k = pool_strings(1, 8);
			assert_unencodable(&m, "longer than");
			map->v = map->k = pool_strings(2, 2);
			map->n = 2;
			assert_unencodable(&m, "a key twice");
			break;
		}
	}
	fill(&m, d, FILL_ONE);
	m.id = -1;
	assert_unencodable(&m, "id below 0");
	if (d->kind != MSG_EVENT) {
		m.id = 0;
		assert_unencodable(&m, "no id");
	}
	m.type = MSG_TYPE_none;
	assert_unencodable(&m, "unknown type");
	m.type = MSG_TYPE_MAX;
	assert_unencodable(&m, "unknown type");
}
END_TEST

/* --- decoding, by the tables ------------------------------------------ */

/* What is written for one field instead of what would be right. */
enum twist {
	RIGHT,
	LEFT_OUT,
	NULL_VALUE,
	WRONG_TYPE,
	WRONG_ENTRY,
	TOO_SHORT,
	TOO_LONG,
	TOO_MANY,
	KEY_TOO_LONG,
	TWISTS
};

static void
write_entries(struct json_writer *w, const struct msg_field *f, size_t n,
    size_t len, size_t keylen)
{
	size_t i;

	if (f->type == FIELD_LIST)
		json_open_array(w);
	else
		json_open_object(w);
	for (i = 0; i < n; i++) {
		if (f->type == FIELD_MAP)
			json_key(w, pool_string(keylen, i));
		json_string(w, pool_string(len, i));
	}
	if (f->type == FIELD_LIST)
		json_close_array(w);
	else
		json_close_object(w);
}

static void
write_wrong_entry(struct json_writer *w, const struct msg_field *f)
{
	if (f->type == FIELD_LIST) {
		json_open_array(w);
		json_int(w, 1);
		json_close_array(w);
	} else {
		json_open_object(w);
		json_key(w, "k");
		json_bool(w, true);
		json_close_object(w);
	}
}

/*
 * Write a field. Returns whether the twist makes a difference to its type; if
 * not, what is written is right.
 */
static bool
write_twisted(
    struct json_writer *w, const struct msg_field *f, enum twist twist)
{
	bool entries = f->type == FIELD_LIST || f->type == FIELD_MAP;
	size_t min = (size_t)f->min, max = (size_t)f->max;

	if (twist == LEFT_OUT)
		return (f->flags & FIELD_OPT) == 0;
	json_key(w, f->name);
	if (twist == NULL_VALUE)
		json_null(w);
	else if (twist == WRONG_TYPE && f->type == FIELD_STRING)
		json_int(w, 1);
	else if (twist == WRONG_TYPE)
		json_string(w, "1");
	else if (twist == WRONG_ENTRY && entries)
		write_wrong_entry(w, f);
	else if (twist == TOO_SHORT && f->type == FIELD_STRING && min > 0)
		json_string(w, pool_string(min - 1, 0));
	else if (twist == TOO_SHORT && f->type == FIELD_INT)
		json_int(w, f->min - 1);
	else if (twist == TOO_LONG && f->type == FIELD_STRING)
		json_string(w, pool_string(max + 1, 0));
	else if (twist == TOO_LONG && f->type == FIELD_INT &&
	    f->max < INT64_MAX)
		json_int(w, f->max + 1);
	else if (twist == TOO_LONG && entries)
		write_entries(w, f, 1, max + 1, 8);
	else if (twist == TOO_MANY && entries)
		write_entries(w, f, f->count + 1, 8, 8);
	else if (twist == KEY_TOO_LONG && f->type == FIELD_MAP)
		write_entries(w, f, 1, 8, max + 1);
	else {
		if (f->type == FIELD_STRING)
			json_string(w, pool_string(min > 0 ? min : 1, 0));
		else if (f->type == FIELD_INT)
			json_int(w, f->min);
		else if (f->type == FIELD_BOOL)
			json_bool(w, false);
		else
			write_entries(w, f, 1, 8, 8);
		return false;
	}
	return true;
}

/* The message with the twist at one field; -1: at none. */
static bool
write_message(struct json_writer *w, const struct msg_decl *d, int field,
    enum twist twist, const char *extra)
{
	bool differs;
	size_t i;

	differs = false;
	json_open_object(w);
	/* Order is free: the envelope comes last here. */
	for (i = 0; i < d->nfields; i++) {
		if (write_twisted(
		        w, &d->fields[i], (int)i == field ? twist : RIGHT))
			differs = true;
	}
	if (extra != NULL) {
		json_key(w, extra);
		json_int(w, 1);
	}
	if (d->kind != MSG_EVENT) {
		json_key(w, "id");
		json_int(w, 5);
	}
	json_key(w, "type");
	json_string(w, d->wire);
	json_close_object(w);
	return differs;
}

/* Decode what w has written; it is refused exactly when wrong is true. */
static void
assert_decodes(struct json_writer **w, bool wrong, const char *name)
{
	struct msg got, untouched;
	char why[WHY_MAX] = "";
	const char *text;
	size_t len;
	int r;

	memset(&got, 0x55, sizeof(got));
	untouched = got;
	ck_assert_int_eq(json_writer_end(*w, &text, &len), 0);
	r = msg_decode(text, len, &got, why, sizeof(why));
	ck_assert_msg((r == -1) == wrong, "%s: %s%s", name, text, why);
	if (r == -1) {
		ck_assert_str_ne(why, "");
		ck_assert_mem_eq(&got, &untouched, sizeof(got));
	} else {
		msg_free(&got);
	}
	json_writer_free(w);
}

START_TEST(decode_twisted)
{
	const struct msg_decl *d = msg_decl((enum msg_type)_i);
	struct json_writer *w;
	enum twist twist;
	bool wrong;
	size_t i;

	w = json_writer_new(FRAME_CTL_BIG_MAX);
	ck_assert(!write_message(w, d, -1, RIGHT, NULL));
	assert_decodes(&w, false, d->wire);
	w = json_writer_new(FRAME_CTL_BIG_MAX);
	(void)write_message(w, d, -1, RIGHT, "surplus");
	assert_decodes(&w, true, d->wire);
	for (i = 0; i < d->nfields; i++) {
		for (twist = RIGHT; twist < TWISTS; twist++) {
			w = json_writer_new(FRAME_CTL_BIG_MAX);
			wrong = write_message(w, d, (int)i, twist, NULL);
			assert_decodes(&w, wrong, d->fields[i].name);
		}
		/* Twice the same field, once more in the place of another. */
		w = json_writer_new(FRAME_CTL_BIG_MAX);
		(void)write_message(w, d, -1, RIGHT, d->fields[i].name);
		assert_decodes(&w, true, d->fields[i].name);
		w = json_writer_new(FRAME_CTL_BIG_MAX);
		(void)write_message(w, d, (int)i, LEFT_OUT, "surplus");
		assert_decodes(&w, true, d->fields[i].name);
	}
}
END_TEST

/* --- decoding, by hand ------------------------------------------------ */

static const struct decode_row {
	const char *name;
	const char *text;
	const char *why; /* NULL: accepted */
	enum msg_type type;
	int64_t id;
} decode_rows[] = {
	{ "request", "{\"type\":\"status\",\"id\":7}", NULL, MSG_TYPE_status,
	    7 },
	{ "any order, any space", " { \"id\" : 7 ,\n\"type\":\"status\"}\n",
	    NULL, MSG_TYPE_status, 7 },
	{ "the highest id", "{\"type\":\"status\",\"id\":9223372036854775807}",
	    NULL, MSG_TYPE_status, INT64_MAX },
	{ "event without an id", "{\"type\":\"go\"}", NULL, MSG_TYPE_go, 0 },
	{ "event of a stream", "{\"type\":\"go\",\"id\":3}", NULL, MSG_TYPE_go,
	    3 },
	{ "answer",
	    "{\"type\":\"error\",\"id\":3,\"error\":\"refused\","
	    "\"reason\":\"no\"}",
	    NULL, MSG_TYPE_error, 3 },
	{ "answer with details",
	    "{\"type\":\"error\",\"id\":3,\"error\":\"x\","
	    "\"reason\":\"no\",\"detail\":{\"k\":\"v\"}}",
	    NULL, MSG_TYPE_error, 3 },
	{ "a field called id",
	    "{\"type\":\"peer.row\",\"group\":true,"
	    "\"id\":0,\"may\":[]}",
	    NULL, MSG_TYPE_peer_row, 0 },
	{ "type, escaped", "{\"type\":\"g\\u006f\"}", NULL, MSG_TYPE_go, 0 },

	{ "nothing", "", "premature EOF", 0, 0 },
	{ "not an object", "[]", "not an object", 0, 0 },
	{ "a string", "\"status\"", "not an object", 0, 0 },
	{ "null", "null", "not an object", 0, 0 },
	{ "empty object", "{}", "no type", 0, 0 },
	{ "type is null", "{\"type\":null}", "no type", 0, 0 },
	{ "type is a number", "{\"type\":1}", "no type", 0, 0 },
	{ "type is a list", "{\"type\":[\"go\"]}", "no type", 0, 0 },
	{ "type twice", "{\"type\":\"go\",\"type\":\"go\"}", "two members", 0,
	    0 },
	{ "unknown type", "{\"type\":\"gone\"}", "unknown type", 0, 0 },
	{ "type none", "{\"type\":\"none\"}", "unknown type", 0, 0 },
	{ "empty type", "{\"type\":\"\"}", "unknown type", 0, 0 },
	{ "type in capitals", "{\"type\":\"GO\"}", "unknown type", 0, 0 },
	{ "name of C for a type", "{\"type\":\"table_end\"}", "unknown type", 0,
	    0 },
	{ "request without an id", "{\"type\":\"status\"}", "no id", 0, 0 },
	{ "answer without an id",
	    "{\"type\":\"error\",\"error\":\"refused\","
	    "\"reason\":\"no\"}",
	    "no id", 0, 0 },
	{ "id 0", "{\"type\":\"status\",\"id\":0}", "no positive integer", 0,
	    0 },
	{ "event with id 0", "{\"type\":\"go\",\"id\":0}",
	    "no positive integer", 0, 0 },
	{ "id below 0", "{\"type\":\"status\",\"id\":-1}",
	    "no positive integer", 0, 0 },
	{ "id a string", "{\"type\":\"status\",\"id\":\"1\"}",
	    "no positive integer", 0, 0 },
	{ "id null", "{\"type\":\"go\",\"id\":null}", "no positive integer", 0,
	    0 },
	{ "id true", "{\"type\":\"status\",\"id\":true}", "no positive integer",
	    0, 0 },
	{ "id a fraction", "{\"type\":\"status\",\"id\":1.0}",
	    "no 64-bit integer", 0, 0 },
	{ "id too large", "{\"type\":\"status\",\"id\":9223372036854775808}",
	    "no 64-bit integer", 0, 0 },
	{ "id twice", "{\"type\":\"status\",\"id\":1,\"id\":1}", "two members",
	    0, 0 },
	{ "surplus field", "{\"type\":\"go\",\"x\":1}", "too many fields", 0,
	    0 },
	{ "field of another", "{\"type\":\"resolve\",\"id\":1,\"name\":\"a\"}",
	    "host: missing", 0, 0 },
	{ "surplus in place of an optional one",
	    "{\"type\":\"error\",\"id\":3,"
	    "\"error\":\"x\",\"reason\":\"no\",\"details\":{}}",
	    "a field that it does not have", 0, 0 },
	{ "optional field null",
	    "{\"type\":\"error\",\"id\":3,"
	    "\"error\":\"x\",\"reason\":\"no\",\"detail\":null}",
	    "detail: wrong type", 0, 0 },
	{ "NUL in a field",
	    "{\"type\":\"resolve\",\"id\":1,"
	    "\"host\":\"a\\u0000b\"}",
	    "NUL in a string", 0, 0 },
	{ "number in quotes", "{\"type\":\"recorded\",\"count\":\"1\"}",
	    "count: wrong type", 0, 0 },
	{ "bool for a number", "{\"type\":\"recorded\",\"count\":true}",
	    "count: wrong type", 0, 0 },
	{ "number for a bool",
	    "{\"type\":\"ready\",\"seccomp\":1,"
	    "\"landlock\":0}",
	    "seccomp: wrong type", 0, 0 },
	{ "object for a list",
	    "{\"type\":\"peer.row\",\"group\":true,"
	    "\"id\":0,\"may\":{}}",
	    "may: wrong type", 0, 0 },
	{ "list in a list",
	    "{\"type\":\"peer.row\",\"group\":true,"
	    "\"id\":0,\"may\":[[\"a\"]]}",
	    "nested deeper", 0, 0 },
	{ "comment", "{\"type\":\"go\"/**/}", "comment", 0, 0 },
	{ "two messages", "{\"type\":\"go\"}{\"type\":\"go\"}", "trailing", 0,
	    0 },
};

START_TEST(decode)
{
	const struct decode_row *r = &decode_rows[_i];
	char why[WHY_MAX] = "";
	struct msg m;
	int got;

	got = msg_decode(r->text, strlen(r->text), &m, why, sizeof(why));
	if (r->why != NULL) {
		ck_assert_msg(got == -1, "%s: accepted", r->name);
		ck_assert_msg(
		    strstr(why, r->why) != NULL, "%s: %s", r->name, why);
		return;
	}
	ck_assert_msg(got == 0, "%s: %s", r->name, why);
	ck_assert_int_eq(m.type, r->type);
	ck_assert_int_eq(m.id, r->id);
	msg_free(&m);
}
END_TEST

START_TEST(decode_values)
{
	static const char text[] =
	    "{\"type\":\"rule.row\",\"profile\":\"dev\","
	    "\"empty\":false,\"deny\":true,\"index\":3,"
	    "\"cidr\":[\"10.0.0.0/8\",\"\"],\"port\":443,"
	    "\"sni_optional\":false,\"proto_any\":true,\"ech_allow\":false,"
	    "\"bytes_up\":0,\"bytes_down\":9223372036854775807}";
	char why[8] = "";
	struct msg m;

	ck_assert_int_eq(
	    msg_decode(text, strlen(text), &m, why, sizeof(why)), 0);
	ck_assert_str_eq(m.u.rule_row.profile, "dev");
	ck_assert(!m.u.rule_row.empty);
	ck_assert(m.u.rule_row.deny);
	ck_assert_int_eq(m.u.rule_row.index, 3);
	ck_assert_ptr_null(m.u.rule_row.host);
	ck_assert_uint_eq(m.u.rule_row.cidr.n, 2);
	ck_assert_str_eq(m.u.rule_row.cidr.v[0], "10.0.0.0/8");
	ck_assert_str_eq(m.u.rule_row.cidr.v[1], "");
	ck_assert_int_eq(m.u.rule_row.port, 443);
	ck_assert(m.u.rule_row.proto_any);
	ck_assert_int_eq(m.u.rule_row.bytes_down, INT64_MAX);
	msg_free(&m);
	msg_free(&m);
	msg_free(NULL);
	/* The sentence is cut to the room that there is. */
	ck_assert_int_eq(msg_decode("[]", 2, &m, why, sizeof(why)), -1);
	ck_assert_str_eq(why, "not an ");
}
END_TEST

START_TEST(encode_text)
{
	static const char *const v[] = { "a\n", "\xe2\x82\xac" };
	char why[WHY_MAX] = "", *text;
	struct msg m;
	size_t len;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_error;
	m.id = 12;
	m.u.error.error = "refused";
	m.u.error.reason = "\"no\"";
	ck_assert_int_eq(msg_encode(&m, &text, &len, why, sizeof(why)), 0);
	ck_assert_str_eq(text,
	    "{\"type\":\"error\",\"id\":12,"
	    "\"error\":\"refused\",\"reason\":\"\\\"no\\\"\"}");
	free(text);
	m.u.error.detail.n = 2;
	m.u.error.detail.k = m.u.error.detail.v = v;
	ck_assert_int_eq(msg_encode(&m, &text, &len, why, sizeof(why)), 0);
	ck_assert_ptr_nonnull(strstr(text,
	    ",\"detail\":{\"a\\u000a\":\"a\\u000a\",\"\\u20ac\":\"\\u20ac\"}}"));
	free(text);

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_peer_row;
	m.u.peer_row.id = 1000;
	ck_assert_int_eq(msg_encode(&m, &text, &len, why, sizeof(why)), 0);
	ck_assert_str_eq(text,
	    "{\"type\":\"peer.row\",\"group\":false,\"id\":1000,\"may\":[]}");
	free(text);
	m.id = 1;
	assert_unencodable(&m, "cannot carry an id");
}
END_TEST

/* Over 64 KiB is no message unless msg.def says so, either way. */
START_TEST(too_large)
{
	char why[WHY_MAX] = "", control[257] = "", *text;
	const char *v[128];
	struct msg m;
	size_t i;

	fill(&m, msg_decl(MSG_TYPE_status_answer), FILL_MAX);
	/* Each byte takes six on the wire. */
	memset(control, 1, sizeof(control) - 1);
	for (i = 0; i < m.u.status_answer.state.n; i++)
		v[i] = control;
	m.u.status_answer.state.v = v;
	assert_unencodable(&m, "too large");
	text = malloc(FRAME_CTL_BIG_MAX + 1);
	ck_assert_ptr_nonnull(text);
	memset(text, ' ', FRAME_CTL_BIG_MAX + 1);
	memcpy(text, "{\"type\":\"go\"}", 13);
	ck_assert_int_eq(
	    msg_decode(text, FRAME_CTL_MAX, &m, why, sizeof(why)), 0);
	msg_free(&m);
	ck_assert_int_eq(
	    msg_decode(text, FRAME_CTL_MAX + 1, &m, why, sizeof(why)), -1);
	ck_assert_str_eq(why, "go: more than 65536 bytes");
	ck_assert_int_eq(
	    msg_decode(text, FRAME_CTL_BIG_MAX + 1, &m, why, sizeof(why)), -1);
	ck_assert_str_eq(why, "more than 1048576 bytes");
	free(text);
}
END_TEST

START_TEST(decode_truncated)
{
	char why[WHY_MAX], *text, *cut;
	struct msg m;
	size_t len, n;

	fill(&m, msg_decl(MSG_TYPE_rec_tunnel_open), FILL_ONE);
	ck_assert_int_eq(msg_encode(&m, &text, &len, why, sizeof(why)), 0);
	for (n = 0; n < len; n++) {
		cut = malloc(n > 0 ? n : 1);
		ck_assert_ptr_nonnull(cut);
		memcpy(cut, text, n);
		ck_assert_int_eq(msg_decode(cut, n, &m, why, sizeof(why)), -1);
		free(cut);
	}
	free(text);
}
END_TEST

/* --- records ---------------------------------------------------------- */

START_TEST(write_fields)
{
	static const char *const v[] = { "192.0.2.1" };
	struct json_writer *w;
	const char *text;
	struct msg m;
	size_t len;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rec_deny;
	m.u.rec_deny.port = 443;
	m.u.rec_deny.code = "host";
	m.u.rec_deny.status = 403;
	w = json_writer_new(1000);
	json_open_object(w);
	msg_write_fields(&m, w);
	json_close_object(w);
	ck_assert_int_eq(json_writer_end(w, &text, &len), 0);
	ck_assert_str_eq(text,
	    "{\"run\":null,\"host\":null,\"port\":443,"
	    "\"code\":\"host\",\"status\":403}");
	json_writer_free(&w);

	m.u.rec_deny.run = "aaaaaaaaaaaa";
	m.u.rec_deny.host = "a\x1b";
	m.u.rec_deny.addresses.n = 1;
	m.u.rec_deny.addresses.v = v;
	w = json_writer_new(1000);
	json_open_object(w);
	msg_write_fields(&m, w);
	json_close_object(w);
	ck_assert_int_eq(json_writer_end(w, &text, &len), 0);
	ck_assert_str_eq(text,
	    "{\"run\":\"aaaaaaaaaaaa\","
	    "\"host\":\"a\\u001b\",\"port\":443,\"code\":\"host\","
	    "\"status\":403,\"addresses\":[\"192.0.2.1\"]}");
	json_writer_free(&w);
}
END_TEST

/* --- the tables ------------------------------------------------------- */

static const struct permitted_row {
	enum msg_type type;
	unsigned from, to;
	bool want;
} permitted_rows[] = {
	{ MSG_TYPE_hello, SIDE_CLIENT, SIDE_FRONTEND, true },
	{ MSG_TYPE_hello, SIDE_FRONTEND, SIDE_CLIENT, true },
	{ MSG_TYPE_hello, SIDE_PROXY, SIDE_CLIENT, false },
	{ MSG_TYPE_status, SIDE_CLIENT, SIDE_FRONTEND, true },
	{ MSG_TYPE_status, SIDE_CLIENT, SIDE_PARENT, false },
	{ MSG_TYPE_status, SIDE_FRONTEND, SIDE_CLIENT, false },
	{ MSG_TYPE_status, SIDE_PROXY, SIDE_FRONTEND, false },
	{ MSG_TYPE_error, SIDE_FRONTEND, SIDE_CLIENT, true },
	{ MSG_TYPE_error, SIDE_CLIENT, SIDE_FRONTEND, false },
	{ MSG_TYPE_error, SIDE_PARENT, SIDE_FRONTEND, true },
	{ MSG_TYPE_error, SIDE_PARENT, SIDE_PROXY, false },
	{ MSG_TYPE_fw_permit, SIDE_FRONTEND, SIDE_FW, true },
	{ MSG_TYPE_fw_permit, SIDE_CLIENT, SIDE_FW, false },
	{ MSG_TYPE_fw_permit, SIDE_PROXY, SIDE_FW, false },
	{ MSG_TYPE_run_open, SIDE_CLIENT, SIDE_FRONTEND, true },
	{ MSG_TYPE_run_bind, SIDE_CLIENT, SIDE_FRONTEND, false },
	{ MSG_TYPE_rec_run_open, SIDE_FRONTEND, SIDE_AUDIT, true },
	{ MSG_TYPE_rec_run_open, SIDE_PROXY, SIDE_AUDIT, false },
	{ MSG_TYPE_rec_lockdown, SIDE_FRONTEND, SIDE_AUDIT, false },
	{ MSG_TYPE_go, SIDE_PARENT, SIDE_PROXY, true },
	{ MSG_TYPE_go, SIDE_PARENT, SIDE_RESOLVER, true },
	{ MSG_TYPE_go, SIDE_PARENT, SIDE_CHILD, true },
	{ MSG_TYPE_go, SIDE_PROXY, SIDE_PARENT, false },
	{ MSG_TYPE_go, SIDE_CLIENT, SIDE_FRONTEND, false },
	{ MSG_TYPE_cut, SIDE_PARENT, SIDE_PROXY, true },
	{ MSG_TYPE_cut, SIDE_PARENT, SIDE_FRONTEND, false },
	{ MSG_TYPE_ready, SIDE_AUDIT, SIDE_PARENT, true },
	{ MSG_TYPE_ready, SIDE_CLIENT, SIDE_PARENT, false },
	{ MSG_TYPE_resolve, SIDE_PROXY, SIDE_RESOLVER, true },
	{ MSG_TYPE_resolve, SIDE_RESOLVER, SIDE_PROXY, false },
	{ MSG_TYPE_resolved, SIDE_RESOLVER, SIDE_PROXY, true },
	{ MSG_TYPE_rec_deny, SIDE_PROXY, SIDE_AUDIT, true },
	{ MSG_TYPE_rec_deny, SIDE_FRONTEND, SIDE_AUDIT, false },
	{ MSG_TYPE_rec_start, SIDE_PROXY, SIDE_AUDIT, false },
	{ MSG_TYPE_rec_start, SIDE_PARENT, SIDE_AUDIT, true },
	{ MSG_TYPE_rec_recovered, SIDE_PROXY, SIDE_AUDIT, false },
	/* No side, or one side more, is no right. */
	{ MSG_TYPE_go, 0, SIDE_PROXY, false },
	{ MSG_TYPE_go, SIDE_PARENT, 0, false },
	{ MSG_TYPE_go, SIDE_PARENT | SIDE_CLIENT, SIDE_PROXY, false },
	{ MSG_TYPE_go, SIDE_PARENT, SIDE_PROXY | SIDE_CLIENT, false },
	{ MSG_TYPE_go, ~0U, ~0U, false },
	{ MSG_TYPE_none, SIDE_PARENT, SIDE_PROXY, false },
	{ MSG_TYPE_MAX, SIDE_PARENT, SIDE_PROXY, false },
};

START_TEST(permitted)
{
	const struct permitted_row *r = &permitted_rows[_i];

	ck_assert_int_eq(msg_permitted(r->type, r->from, r->to), r->want);
}
END_TEST

/* What every declaration must keep for the rest to hold. */
START_TEST(declarations)
{
	const struct msg_decl *d = msg_decl((enum msg_type)_i), *answer;
	const struct msg_field *f;
	size_t i, j;

	ck_assert_int_eq(d->type, _i);
	ck_assert_ptr_eq(msg_decl_by_wire(d->wire), d);
	ck_assert(d->from != 0 && d->to != 0);
	ck_assert_int_eq(
	    (d->flags & MSG_F_RECORD) != 0, strncmp(d->wire, "rec.", 4) == 0);
	ck_assert_int_ne(d->flags & MSG_F_RECORD, MSG_F_RECORD);
	ck_assert_int_eq(d->answer != MSG_TYPE_none, d->kind == MSG_REQUEST);
	if (d->answer != MSG_TYPE_none) {
		answer = msg_decl(d->answer);
		ck_assert_int_eq(answer->kind, MSG_ANSWER);
		/* One answer may do for the same request on two links. */
		ck_assert_uint_eq(answer->from & d->to, d->to);
		ck_assert_uint_eq(answer->to & d->from, d->from);
	}
	for (i = 0; i < d->nfields; i++) {
		f = &d->fields[i];
		ck_assert(f->min <= f->max);
		ck_assert_str_ne(f->name, "type");
		if (strcmp(f->name, "id") == 0)
			ck_assert_int_eq(d->kind, MSG_EVENT);
		/* The codec cannot tell an absent one of these from 0. */
		if (f->type == FIELD_INT || f->type == FIELD_BOOL)
			ck_assert_int_eq(f->flags & FIELD_OPT, 0);
		if ((f->flags & FIELD_NULL) != 0)
			ck_assert_int_ne(f->flags & FIELD_OPT, 0);
		for (j = 0; j < i; j++)
			ck_assert_str_ne(f->name, d->fields[j].name);
	}
	ck_assert_ptr_null(d->fields[d->nfields].name);
	ck_assert_ptr_null(strchr(d->doc, '|'));
}
END_TEST

START_TEST(no_declaration)
{
	ck_assert_ptr_null(msg_decl(MSG_TYPE_none));
	ck_assert_ptr_null(msg_decl(MSG_TYPE_MAX));
	ck_assert_ptr_null(msg_decl((enum msg_type)(MSG_TYPE_MAX + 1000)));
	ck_assert_ptr_null(msg_decl_by_wire(""));
	ck_assert_ptr_null(msg_decl_by_wire("nothing"));
}
END_TEST

/* PROTOCOL.md has the table of msg.def between its two marker lines. */
START_TEST(document)
{
	static const char begin[] = "<!-- messages: begin -->\n";
	static const char end[] = "<!-- messages: end -->\n";
	char *want, *text, *from, *to;
	size_t len;
	FILE *fp;

	fp = fopen(SOURCE_DIR "/libcommon/PROTOCOL.md", "r");
	ck_assert_ptr_nonnull(fp);
	text = calloc(1, 1024 * 1024);
	ck_assert_ptr_nonnull(text);
	len = fread(text, 1, 1024 * 1024 - 1, fp);
	ck_assert_uint_gt(len, 0);
	(void)fclose(fp);
	from = strstr(text, begin);
	ck_assert_ptr_nonnull(from);
	from += strlen(begin);
	to = strstr(from, end);
	ck_assert_ptr_nonnull(to);
	*to = '\0';
	want = msg_table_markdown();
	ck_assert_ptr_nonnull(want);
	if (strcmp(from, want) != 0)
		(void)fputs(want, stderr);
	ck_assert_msg(strcmp(from, want) == 0,
	    "PROTOCOL.md is older than msg.def: the table to put there is "
	    "printed above");
	free(want);
	free(text);
}
END_TEST

int
main(void)
{
	Suite *s;
	TCase *tc;
	SRunner *sr;
	int failed;

	s = suite_create("msg");
	tc = tcase_create("msg");
	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, pool_setup, pool_teardown);
	tcase_add_loop_test(tc, round_trip, 1, MSG_TYPE_MAX);
	tcase_add_loop_test(tc, encode_bounds, 1, MSG_TYPE_MAX);
	tcase_add_loop_test(tc, decode_twisted, 1, MSG_TYPE_MAX);
	tcase_add_loop_test(tc, decode, 0, NROWS(decode_rows));
	tcase_add_test(tc, decode_values);
	tcase_add_test(tc, encode_text);
	tcase_add_test(tc, too_large);
	tcase_add_test(tc, decode_truncated);
	tcase_add_test(tc, write_fields);
	tcase_add_loop_test(tc, permitted, 0, NROWS(permitted_rows));
	tcase_add_loop_test(tc, declarations, 1, MSG_TYPE_MAX);
	tcase_add_test(tc, no_declaration);
	tcase_add_test(tc, document);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
