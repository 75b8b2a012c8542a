#ifndef LIBCOMMON_MSG_H
#define LIBCOMMON_MSG_H

/*
 * Messages. Each is declared once, in msg.def; the enum, the structs, the
 * strict codec and the table in PROTOCOL.md follow from that.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"

/* Who may send and who may receive; a set of these is a mask. */
enum msg_side {
	SIDE_CLIENT = 1 << 0, /* agent-cli, or another daemon */
	SIDE_FRONTEND = 1 << 1,
	SIDE_PARENT = 1 << 2,
	SIDE_AUDIT = 1 << 3,
	SIDE_PROXY = 1 << 4,
	SIDE_RESOLVER = 1 << 5,
	SIDE_FW = 1 << 6,
	SIDE_QUEUE = 1 << 7,
	SIDE_RUNS = 1 << 8,
	SIDE_ENGINE = 1 << 9,
	SIDE_AGENT = 1 << 10, /* PID 1 of a run's container */
	SIDE_CHILD = SIDE_FRONTEND | SIDE_AUDIT | SIDE_PROXY | SIDE_RESOLVER |
	    SIDE_FW | SIDE_QUEUE | SIDE_RUNS | SIDE_ENGINE,
	/* Those that send records. */
	SIDE_SENDER = SIDE_PARENT | SIDE_PROXY | SIDE_FRONTEND | SIDE_QUEUE,
	/* Those that move bytes in streams. */
	SIDE_STREAM = SIDE_CLIENT | SIDE_FRONTEND | SIDE_QUEUE | SIDE_RUNS |
	    SIDE_AGENT | SIDE_PARENT
};

enum msg_kind {
	MSG_REQUEST, /* carries an id > 0; answered by its answer or error */
	MSG_ANSWER, /* carries the id back, final */
	MSG_EVENT /* no answer; id 0, or that of the stream it is of */
};

/* Flags of a message. */
#define MSG_F_FD 0x01 /* exactly one descriptor comes with it */
#define MSG_F_BIG 0x02 /* up to FRAME_CTL_BIG_MAX */
#define MSG_F_SYNC 0x04 /* a record: fdatasync before its effect */
#define MSG_F_WRITTEN 0x08 /* a record: write(2) before its effect */
#define MSG_F_RECORD (MSG_F_SYNC | MSG_F_WRITTEN)

/* Flags of a field. */
#define FIELD_OPT 0x01 /* may be absent: NULL, empty */
#define FIELD_SECRET 0x02 /* never printed, zeroed when freed */
#define FIELD_NULL 0x04 /* absent shows as null in a record */
#define FIELD_PEER 0x08 /* in a record it stands in `peer` alone */

enum msg_field_type {
	FIELD_STRING,
	FIELD_INT,
	FIELD_BOOL,
	FIELD_LIST, /* of strings */
	FIELD_MAP /* of string to string */
};

struct msg_list {
	const char *const *v;
	size_t n;
};

struct msg_map {
	const char *const *k;
	const char *const *v;
	size_t n;
};

/* enum msg_type: MSG_TYPE_hello, ... in the order of msg.def; 0 is none. */
enum msg_type {
	MSG_TYPE_none,
#define MSG(id, wire, from, to, kind, answer, flags, doc) MSG_TYPE_##id,
#define STRING(id, name, min, max, flags)
#define INT(id, name, min, max, flags)
#define BOOL(id, name, flags)
#define LIST(id, name, count, max, flags)
#define MAP(id, name, count, max, flags)
#define END(id)
#include "msg.def"
	MSG_TYPE_MAX
};

/* struct msg_hello, ...: one per message. */
#define MSG(id, wire, from, to, kind, answer, flags, doc) struct msg_##id {
#define STRING(id, name, min, max, flags) const char *name;
#define INT(id, name, min, max, flags) int64_t name;
#define BOOL(id, name, flags) bool name;
#define LIST(id, name, count, max, flags) struct msg_list name;
#define MAP(id, name, count, max, flags) struct msg_map name;
#define END(id)        \
	char msg_end_; \
	}              \
	;
#include "msg.def"

/*
 * One message. As decoded, its strings belong to it and go with msg_free; as
 * built by a sender they are borrowed for the time of the call.
 */
struct msg {
	enum msg_type type;
	int64_t id;
	union {
#define MSG(id, wire, from, to, kind, answer, flags, doc) struct msg_##id id;
#define STRING(id, name, min, max, flags)
#define INT(id, name, min, max, flags)
#define BOOL(id, name, flags)
#define LIST(id, name, count, max, flags)
#define MAP(id, name, count, max, flags)
#define END(id)
#include "msg.def"
	} u;
	void *mem; /* private: what msg_free releases */
	size_t memlen;
};

struct msg_field {
	const char *name;
	enum msg_field_type type;
	int64_t min, max; /* string: bytes; int: value;
	                     list, map: max bytes of each
	                     string, min is 0 */
	size_t count; /* list, map: most entries */
	unsigned flags;
	size_t off; /* in the message's struct */
};

struct msg_decl {
	enum msg_type type;
	const char *wire; /* its "type" on the wire */
	unsigned from, to; /* masks of enum msg_side */
	enum msg_kind kind;
	enum msg_type answer; /* MSG_REQUEST only */
	unsigned flags;
	const char *doc; /* one sentence */
	const struct msg_field *fields;
	size_t nfields;
};

/* The declaration of a type; NULL for none and out of range. */
const struct msg_decl *msg_decl(enum msg_type type);
const struct msg_decl *msg_decl_by_wire(const char *wire);

/* May a peer on side from send this type to side to? */
bool msg_permitted(enum msg_type type, unsigned from, unsigned to);

/*
 * Decode one JSON object, strictly: unknown type, missing, extra, duplicate,
 * mistyped or out-of-bounds field, a request or answer without id > 0, are one
 * error. A message with a field called id (only events have one) carries no id
 * of its own: m->id is 0, and must be when it is encoded.
 * Returns 0 with *m owned by the caller (msg_free), or -1 with a sentence in
 * why and *m untouched.
 */
int msg_decode(
    const char *buf, size_t len, struct msg *m, char *why, size_t whylen);

/*
 * Encode; *text is malloc'd and owned by the caller, *len excludes its NUL.
 * The same bounds are checked as when decoding. Returns 0 or -1 with why.
 */
int msg_encode(
    const struct msg *m, char **text, size_t *len, char *why, size_t whylen);

/* Release what msg_decode gave; secrets are zeroed. NULL accepted. */
void msg_free(struct msg *m);

/*
 * Write the fields of a record message (MSG_F_RECORD) as members of the
 * object that w has open: in the order of msg.def, absent FIELD_NULL ones as
 * null, other absent ones not at all, and no FIELD_PEER ones.
 */
void msg_write_fields(const struct msg *m, struct json_writer *w);

/* The markdown table of PROTOCOL.md; malloc'd, NULL when out of memory. */
char *msg_table_markdown(void);

#endif
