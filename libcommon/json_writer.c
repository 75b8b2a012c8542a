/* Writing JSON: see json.h. Pure. */

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/json.h"
#include "libcommon/utf8.h"

#define JSON_WRITER_DEPTH_MAX 32
#define JSON_WRITER_FIRST 512 /* bytes, doubled up to the cap */

struct json_writer {
	char *buf;
	size_t len; /* without the NUL behind it */
	size_t size; /* of buf */
	size_t cap; /* of len */
	bool object[JSON_WRITER_DEPTH_MAX]; /* else an array */
	unsigned depth;
	bool comma; /* a sibling stands before */
	bool key; /* a key stands before */
	bool failed;
};

struct json_writer *
json_writer_new(size_t cap)
{
	struct json_writer *w;

	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return NULL;
	w->cap = cap;
	w->size = JSON_WRITER_FIRST;
	w->buf = malloc(w->size);
	if (w->buf == NULL) {
		free(w);
		return NULL;
	}
	w->buf[0] = '\0';
	return w;
}

static void
put(struct json_writer *w, const char *s, size_t n)
{
	size_t size;
	char *new;

	if (w->failed)
		return;
	if (n > w->cap - w->len) {
		w->failed = true;
		return;
	}
	if (n >= w->size - w->len) {
		for (size = w->size; n >= size - w->len; size *= 2)
			continue;
		/* What is left behind may be secret. */
		new = recallocarray(w->buf, w->size, size, 1);
		if (new == NULL) {
			w->failed = true;
			return;
		}
		w->buf = new;
		w->size = size;
	}
	memcpy(w->buf + w->len, s, n);
	w->len += n;
	w->buf[w->len] = '\0';
}

/* What stands before a value: its key, or a comma. Out of place: failed. */
static void
begin_value(struct json_writer *w)
{
	bool member;

	member = w->depth > 0 && w->object[w->depth - 1];
	if (member != w->key || (w->depth == 0 && w->comma))
		w->failed = true;
	if (w->comma && !w->key)
		put(w, ",", 1);
	w->comma = true;
	w->key = false;
}

static void
open_container(struct json_writer *w, bool object)
{
	if (w == NULL)
		return;
	begin_value(w);
	if (w->depth == JSON_WRITER_DEPTH_MAX) {
		w->failed = true;
		return;
	}
	w->object[w->depth++] = object;
	w->comma = false;
	put(w, object ? "{" : "[", 1);
}

static void
close_container(struct json_writer *w, bool object)
{
	if (w == NULL)
		return;
	if (w->depth == 0 || w->object[w->depth - 1] != object || w->key) {
		w->failed = true;
		return;
	}
	w->depth--;
	w->comma = true;
	put(w, object ? "}" : "]", 1);
}

void
json_open_object(struct json_writer *w)
{
	open_container(w, true);
}

void
json_close_object(struct json_writer *w)
{
	close_container(w, true);
}

void
json_open_array(struct json_writer *w)
{
	open_container(w, false);
}

void
json_close_array(struct json_writer *w)
{
	close_container(w, false);
}

static void
put_unit(struct json_writer *w, uint32_t unit)
{
	static const char hex[] = "0123456789abcdef";
	char s[6] = { '\\', 'u' };

	s[2] = hex[unit >> 12 & 15];
	s[3] = hex[unit >> 8 & 15];
	s[4] = hex[unit >> 4 & 15];
	s[5] = hex[unit & 15];
	put(w, s, sizeof(s));
}

/* One character that does not stand for itself; returns its bytes. */
static size_t
put_escaped(struct json_writer *w, const char *s, size_t len)
{
	uint32_t cp;
	size_t n;

	n = utf8_decode(s, len, &cp);
	if (n == 0) {
		w->failed = true;
		return len;
	}
	if (cp == '"' || cp == '\\') {
		put(w, "\\", 1);
		put(w, s, 1);
	} else if (cp >= 0x10000) {
		put_unit(w, 0xd800 + ((cp - 0x10000) >> 10));
		put_unit(w, 0xdc00 + ((cp - 0x10000) & 0x3ff));
	} else {
		put_unit(w, cp);
	}
	return n;
}

static bool
is_plain(char c)
{
	return c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';
}

static void
put_string(struct json_writer *w, const char *s)
{
	size_t i, run, len;

	if (s == NULL) {
		w->failed = true;
		return;
	}
	put(w, "\"", 1);
	len = strlen(s);
	for (i = 0; i < len && !w->failed;) {
		for (run = 0; i + run < len && is_plain(s[i + run]); run++)
			continue;
		put(w, s + i, run);
		i += run;
		if (i < len)
			i += put_escaped(w, s + i, len - i);
	}
	put(w, "\"", 1);
}

void
json_key(struct json_writer *w, const char *key)
{
	if (w == NULL)
		return;
	if (w->depth == 0 || !w->object[w->depth - 1] || w->key) {
		w->failed = true;
		return;
	}
	if (w->comma)
		put(w, ",", 1);
	put_string(w, key);
	put(w, ":", 1);
	w->key = true;
}

void
json_string(struct json_writer *w, const char *s)
{
	if (w == NULL)
		return;
	begin_value(w);
	put_string(w, s);
}

void
json_int(struct json_writer *w, int64_t n)
{
	char s[24];
	int len;

	if (w == NULL)
		return;
	begin_value(w);
	len = snprintf(s, sizeof(s), "%lld", (long long)n);
	put(w, s, (size_t)len);
}

void
json_bool(struct json_writer *w, bool b)
{
	if (w == NULL)
		return;
	begin_value(w);
	if (b)
		put(w, "true", 4);
	else
		put(w, "false", 5);
}

void
json_null(struct json_writer *w)
{
	if (w == NULL)
		return;
	begin_value(w);
	put(w, "null", 4);
}

int
json_writer_end(struct json_writer *w, const char **text, size_t *len)
{
	if (w == NULL || w->failed)
		return -1;
	*text = w->buf;
	*len = w->len;
	return 0;
}

void
json_writer_free(struct json_writer **w)
{
	if (w == NULL || *w == NULL)
		return;
	freezero((*w)->buf, (*w)->size);
	free(*w);
	*w = NULL;
}
