#include <sys/queue.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/conf.h"
#include "libcommon/log.h"
#include "libcommon/mem.h"

struct kept {
	SLIST_ENTRY(kept) entry;
	char text[];
};

struct notes {
	char *text[CONF_ERRORS_MAX];
	size_t n;
};

struct conf {
	char *file;
	struct json_doc *doc;
	const struct json_node *root;
	struct notes errors;
	struct notes warnings;
	SLIST_HEAD(, kept) kept;
};

static const char *const type_names[] = {
	[JSON_NULL] = "null",
	[JSON_BOOL] = "a boolean",
	[JSON_INT] = "an integer",
	[JSON_STRING] = "a string",
	[JSON_ARRAY] = "a list",
	[JSON_OBJECT] = "an object",
};

/* --- errors and warnings ---------------------------------------------- */

static void note(struct conf *, struct notes *, unsigned, const char *,
    const char *, va_list) __attribute__((format(printf, 5, 0)));

static void
note(struct conf *c, struct notes *notes, unsigned line, const char *path,
    const char *fmt, va_list ap)
{
	char raw[CONF_TEXT_MAX], text[4 * CONF_TEXT_MAX + 1];
	bool full = notes->n == CONF_ERRORS_MAX;
	int n;

	if (full) {
		free(notes->text[--notes->n]);
		snprintf(raw, sizeof(raw),
		    "%s:%u: more was found than is shown; mend this first",
		    c->file, line);
	} else {
		n = snprintf(raw, sizeof(raw), "%s:%u: %s%s", c->file, line,
		    path, *path == '\0' ? "" : ": ");
		if (n >= 0 && (size_t)n < sizeof(raw))
			vsnprintf(raw + n, sizeof(raw) - (size_t)n, fmt, ap);
	}
	log_escape(text, sizeof(text), raw, strlen(raw));
	notes->text[notes->n++] = xstrdup(text);
}

void
conf_error(struct conf *c, const struct json_node *n, const char *path,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note(c, &c->errors, n->line, path, fmt, ap);
	va_end(ap);
}

void
conf_warning(struct conf *c, const struct json_node *n, const char *path,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note(c, &c->warnings, n->line, path, fmt, ap);
	va_end(ap);
}

size_t
conf_errors(const struct conf *c)
{
	return c->errors.n;
}

size_t
conf_warnings(const struct conf *c)
{
	return c->warnings.n;
}

const char *
conf_error_text(const struct conf *c, size_t i)
{
	return c->errors.text[i];
}

const char *
conf_warning_text(const struct conf *c, size_t i)
{
	return c->warnings.text[i];
}

/* --- the handle ------------------------------------------------------- */

struct conf *
conf_new(const char *file, const char *text, size_t len)
{
	struct json_error err = { .line = 1 };
	struct json_node at = { .line = 1 };
	struct conf *c;

	c = xcalloc(1, sizeof(*c));
	c->file = xstrdup(file);
	SLIST_INIT(&c->kept);
	c->doc = json_parse(text, len, &json_limits_conf, &err);
	if (c->doc == NULL) {
		at.line = err.line;
		conf_error(c, &at, "", "%s", err.what);
		return c;
	}
	c->root = json_root(c->doc);
	if (!conf_expect(c, c->root, "", JSON_OBJECT, "one object"))
		c->root = NULL;
	return c;
}

const struct json_node *
conf_root(const struct conf *c)
{
	return c->root;
}

static void
notes_free(struct notes *notes)
{
	size_t i;

	for (i = 0; i < notes->n; i++)
		free(notes->text[i]);
}

void
conf_free(struct conf **cp)
{
	struct conf *c = *cp;
	struct kept *k;

	if (c == NULL)
		return;
	while ((k = SLIST_FIRST(&c->kept)) != NULL) {
		SLIST_REMOVE_HEAD(&c->kept, entry);
		free(k);
	}
	notes_free(&c->errors);
	notes_free(&c->warnings);
	json_free(&c->doc);
	free(c->file);
	free(c);
	*cp = NULL;
}

const char *
conf_keep(struct conf *c, const char *s)
{
	size_t size = strlen(s) + 1;
	struct kept *k;

	k = xmalloc(sizeof(*k) + size);
	memcpy(k->text, s, size);
	SLIST_INSERT_HEAD(&c->kept, k, entry);
	return k->text;
}

bool
conf_expect(struct conf *c, const struct json_node *n, const char *path,
    enum json_type type, const char *allowed)
{
	if (n->type == type)
		return true;
	conf_error(
	    c, n, path, "is %s; allowed: %s", type_names[n->type], allowed);
	return false;
}

/* --- paths ------------------------------------------------------------ */

const char *
conf_path_key(char buf[CONF_PATH_MAX], const char *path, const char *name)
{
	snprintf(
	    buf, CONF_PATH_MAX, "%s%s%s", path, *path == '\0' ? "" : ".", name);
	return buf;
}

const char *
conf_path_index(char buf[CONF_PATH_MAX], const char *path, size_t i)
{
	snprintf(buf, CONF_PATH_MAX, "%s[%zu]", path, i);
	return buf;
}
