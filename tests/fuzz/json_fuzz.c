/*
 * libcommon/json.c: what is accepted keeps the promises of json.h, and comes
 * back the same when it is written and read again.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/json.h"
#include "libcommon/utf8.h"

#define DEPTH_MAX 32
#define TEXT_MAX ((size_t)64 * 1024 * 1024)

#define REQUIRE(x)               \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_text(const char *s, size_t len)
{
	uint32_t cp;
	size_t n;

	REQUIRE(strlen(s) == len);
	for (; len > 0; s += n, len -= n) {
		n = utf8_decode(s, len, &cp);
		REQUIRE(n > 0);
	}
}

static void
write_node(struct json_writer *w, const struct json_node *n)
{
	REQUIRE(n->line >= 1);
	if (n->key != NULL) {
		check_text(n->key, strlen(n->key));
		json_key(w, n->key);
	}
	switch (n->type) {
	case JSON_NULL:
		json_null(w);
		break;
	case JSON_BOOL:
		REQUIRE(n->num == 0 || n->num == 1);
		json_bool(w, n->num != 0);
		break;
	case JSON_INT:
		json_int(w, n->num);
		break;
	case JSON_STRING:
		check_text(n->str, n->len);
		json_string(w, n->str);
		break;
	case JSON_ARRAY:
		json_open_array(w);
		break;
	case JSON_OBJECT:
		json_open_object(w);
		break;
	}
}

/* Write the document; checks on the way what the limits promise. */
static struct json_writer *
write_document(const struct json_doc *doc, const struct json_limits *lim)
{
	const struct json_node *open[DEPTH_MAX], *n, *member;
	struct json_writer *w;
	size_t nodes, depth;

	w = json_writer_new(TEXT_MAX);
	nodes = depth = 0;
	n = json_root(doc);
	while (n != NULL || depth > 0) {
		if (n == NULL) {
			n = open[--depth];
			if (n->type == JSON_OBJECT)
				json_close_object(w);
			else
				json_close_array(w);
			n = n->next;
			continue;
		}
		REQUIRE(++nodes <= lim->nodes);
		write_node(w, n);
		if (n->type == JSON_ARRAY || n->type == JSON_OBJECT) {
			REQUIRE(depth < lim->depth);
			open[depth++] = n;
			member = n->child;
			if (member != NULL && n->type == JSON_OBJECT)
				REQUIRE(json_member(n, member->key) == member);
			n = member;
		} else {
			n = n->next;
		}
	}
	return w;
}

static void
check_round_trip(const struct json_doc *doc, const struct json_limits *lim)
{
	struct json_limits large = *lim;
	const char *text, *again;
	struct json_writer *w, *v;
	struct json_error error;
	struct json_doc *copy;
	size_t i, len, len2;

	w = write_document(doc, lim);
	REQUIRE(json_writer_end(w, &text, &len) == 0);
	for (i = 0; i < len; i++)
		REQUIRE(text[i] >= 0x20 && text[i] <= 0x7e);
	large.bytes = TEXT_MAX;
	large.comments = false;
	copy = json_parse(text, len, &large, &error);
	REQUIRE(copy != NULL);
	v = write_document(copy, lim);
	REQUIRE(json_writer_end(v, &again, &len2) == 0);
	REQUIRE(len == len2 && memcmp(text, again, len) == 0);
	json_free(&copy);
	json_writer_free(&v);
	json_writer_free(&w);
}

static int
run(const uint8_t *data, size_t size, const struct json_limits *lim)
{
	struct json_error error = { 0, "" };
	struct json_doc *doc;
	size_t i;

	doc = json_parse((const char *)data, size, lim, &error);
	if (doc == NULL) {
		REQUIRE(error.line >= 1 && error.what[0] != '\0');
		for (i = 0; error.what[i] != '\0'; i++)
			REQUIRE(error.what[i] >= 0x20 && error.what[i] <= 0x7e);
		return 0;
	}
	check_round_trip(doc, lim);
	json_free(&doc);
	return 1;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int frame, conf;

	frame = run(data, size, &json_limits_frame);
	conf = run(data, size, &json_limits_conf);
	/* A message is a configuration's text as well, not the reverse. */
	REQUIRE(frame <= conf);
	return 0;
}
