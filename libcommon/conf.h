#ifndef LIBCOMMON_CONF_H
#define LIBCOMMON_CONF_H

/*
 * Configuration: JSON with comments, read by tables. A daemon's table gives
 * for each key its name, type, bounds, default and place; every error is
 * collected with its line, not only the first, in the form
 *	FILE:LINE: KEY: what is wrong; what is allowed
 * Only the parent reads files; children get messages.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"

#define CONF_FILE_MAX 1048576
#define CONF_ERRORS_MAX 100
#define CONF_TEXT_MAX 512 /* of one error, before it is escaped */
#define CONF_PATH_MAX 128 /* "profiles.dev.allow[3].port" */

enum conf_type {
	CONF_STRING, /* const char *; min..max bytes */
	CONF_PATH, /* const char *, absolute */
	CONF_INT, /* int64_t */
	CONF_SIZE, /* int64_t bytes: integer, or "64m" */
	CONF_TIME, /* int64_t ms: integer seconds, or "500ms", "30m" */
	CONF_BOOL, /* bool */
	CONF_ENUM, /* int: index into words */
	CONF_CALL, /* parse() of the row does it: arrays, objects */
	CONF_LATER /* a key of a later version: refused as such */
};

struct conf;

/*
 * A row of a table. min and max bound bytes of a string or path, the value of
 * an integer, bytes of a size, milliseconds of a time; both always hold.
 */
struct conf_key {
	const char *name;
	enum conf_type type;
	size_t off; /* in the target struct */
	int64_t min, max;
	const char *const *words; /* CONF_ENUM, NULL-terminated */
	bool required;
	void (*parse)(struct conf *c, const struct json_node *n,
	    const char *path, void *place);
	/* place is target + off */
	const char *allowed; /* for messages; may be NULL */
};

/*
 * Read text. Returns a handle in either case (out of memory ends the program,
 * as in mem.h); conf_root is NULL and one error is noted when it is no JSON
 * object. Strings of targets point into the handle: it lives as long as they
 * do.
 */
struct conf *conf_new(const char *file, const char *text, size_t len);
const struct json_node *conf_root(const struct conf *c);
void conf_free(struct conf **c);

/*
 * Fill target from an object by a NULL-name-terminated table. path is "" at
 * the top. Unknown keys, wrong types, out of bounds, missing required keys are
 * noted with conf_error; keys that are absent leave target as it was
 * (defaults are set by the caller beforehand).
 */
void conf_read(struct conf *c, const struct json_node *object, const char *path,
    const struct conf_key *keys, void *target);

/*
 * Is n of that type? Else notes an error that says what it is, and returns
 * false.
 */
bool conf_expect(struct conf *c, const struct json_node *n, const char *path,
    enum json_type type, const char *allowed);
/* A copy of s that lives as long as the handle. */
const char *conf_keep(struct conf *c, const char *s);

/*
 * Note an error or a warning about node n. The text is cut at CONF_TEXT_MAX
 * bytes and escaped as in log_escape: outside text may be passed as it is.
 * The first CONF_ERRORS_MAX of each kind are kept; when there are more, the
 * last one says so.
 */
void conf_error(struct conf *c, const struct json_node *n, const char *path,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void conf_warning(struct conf *c, const struct json_node *n, const char *path,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
size_t conf_errors(const struct conf *c);
size_t conf_warnings(const struct conf *c);
/* The i-th, "FILE:LINE: KEY: ...". */
const char *conf_error_text(const struct conf *c, size_t i);
const char *conf_warning_text(const struct conf *c, size_t i);

/* "path.name" and "path[i]" into buf; long ones are cut. */
const char *
conf_path_key(char buf[CONF_PATH_MAX], const char *path, const char *name);
const char *
conf_path_index(char buf[CONF_PATH_MAX], const char *path, size_t i);

/*
 * Sizes ("64k", "2m", "1g": powers of 1024) and times ("500ms", "30s", "5m",
 * "1h") as text: decimal digits and a unit, nothing else. Return 0 or -1.
 */
int conf_parse_size(const char *s, int64_t *bytes);
int conf_parse_time(const char *s, int64_t *ms);

#endif
