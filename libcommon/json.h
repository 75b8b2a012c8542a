#ifndef LIBCOMMON_JSON_H
#define LIBCOMMON_JSON_H

/*
 * Strict JSON (RFC 8259) over yajl's SAX interface; json.c is the only file
 * that includes yajl. On top of what yajl refuses, refused here: duplicate
 * keys, NUL in a string (raw or \u0000), lone surrogates, numbers that are no
 * int64 (fractions and exponents too), form feed as white space, anything
 * behind the value, and input over the limits.
 *
 * A document is a flat array of nodes plus one string arena, both capped;
 * nothing here recurses, so nesting costs no stack.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_type {
	JSON_NULL,
	JSON_BOOL,
	JSON_INT,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
};

struct json_limits {
	size_t bytes; /* of input */
	size_t nodes;
	unsigned depth; /* 1 admits a flat object */
	bool comments; /* admit C and C++ comments (configuration) */
};

struct json_error {
	unsigned line; /* from 1 */
	char what[128]; /* printable ASCII */
};

struct json_node {
	enum json_type type;
	unsigned line; /* where it starts, from 1 */
	const char *key; /* its name in an object, else NULL */
	const char *str; /* JSON_STRING: NUL-terminated UTF-8 */
	size_t len; /* JSON_STRING: bytes; else children */
	int64_t num; /* JSON_INT, JSON_BOOL */
	const struct json_node *child; /* the first */
	const struct json_node *next; /* sibling */
};

struct json_doc;

extern const struct json_limits json_limits_frame; /* flat message */
extern const struct json_limits json_limits_conf; /* configuration */

/*
 * Parse len bytes. Returns a document owned by the caller, or NULL with *err
 * filled (out of memory is an error like another).
 */
struct json_doc *json_parse(const char *buf, size_t len,
    const struct json_limits *lim, struct json_error *err);
const struct json_node *json_root(const struct json_doc *doc);
/* NULL accepted, pointer cleared; contents are zeroed before release. */
void json_free(struct json_doc **doc);

/* The member of object with that name, or NULL. */
const struct json_node *
json_member(const struct json_node *object, const char *name);

/*
 * Writer. A failure (out of memory, invalid UTF-8, over cap) is remembered
 * and reported by json_writer_end, so that callers need not check each call.
 * The text is one line without white space; every byte above 0x7e and every
 * control byte is written as \uXXXX: safe on a terminal as it stands. A NULL
 * writer (json_writer_new was out of memory) is accepted and fails at the end;
 * so does a NULL string, and a key or value where none may stand.
 */
struct json_writer;

struct json_writer *json_writer_new(size_t cap);
void json_open_object(struct json_writer *w);
void json_close_object(struct json_writer *w);
void json_open_array(struct json_writer *w);
void json_close_array(struct json_writer *w);
void json_key(struct json_writer *w, const char *key);
void json_string(struct json_writer *w, const char *s);
void json_int(struct json_writer *w, int64_t n);
void json_bool(struct json_writer *w, bool b);
void json_null(struct json_writer *w);
/*
 * Text so far; *text stays valid until json_writer_free. Returns 0, or -1
 * when anything failed.
 */
int json_writer_end(struct json_writer *w, const char **text, size_t *len);
void json_writer_free(struct json_writer **w);

#endif
