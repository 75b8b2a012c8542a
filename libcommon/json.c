/*
 * Strict JSON: see json.h. The only file that includes yajl, and only its
 * event interface.
 *
 * What yajl leaves to us, seen in its source and by trying:
 * - it takes form feed and vertical tab for white space, overlong UTF-8 and
 *   UTF-8 of surrogates for text, a lone surrogate for '?', any escape behind
 *   a high surrogate for its low half: json_scan() looks at all of the text
 *   before yajl sees it;
 * - a string or comment that begins behind the value and never ends is no
 *   error to it: json_scan_tail();
 * - it does not look at what its allocator returns: the allocator below never
 *   returns NULL, it jumps out of the parser.
 */

#include <sys/types.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_parse.h>

#include "libcommon/json.h"
#include "libcommon/json_scan.h"
#include "libcommon/json_slab.h"

#define JSON_DEPTH_MAX 32 /* whatever the caller's limits say */
#define JSON_ALIGN 16
/*
 * What yajl may take for a text of len bytes: its parser, lexer and state
 * stack, two buffers of 2 KiB at first, each doubled until one token fits.
 */
#define JSON_YAJL_BYTES(len) (8192 + 4 * (len))

const struct json_limits json_limits_frame = {
	.bytes = 65536,
	.nodes = 16384,
	.depth = 2,
	.comments = false,
};

const struct json_limits json_limits_conf = {
	.bytes = 1048576,
	.nodes = 262144,
	.depth = 16,
	.comments = true,
};

/* One block of memory: this, the strings, the nodes. */
struct json_doc {
	char *strings;
	size_t nstrings, maxstrings; /* bytes */
	struct json_node *nodes;
	size_t nnodes, maxnodes;
};

struct parser {
	const char *text;
	size_t len;
	const struct json_limits *lim;
	struct json_error *err;
	struct json_doc *doc;
	yajl_handle yajl;
	bool finishing; /* yajl has had all the text */
	size_t end; /* of the outermost value */
	/* the containers that are open, and the last child of each */
	struct json_node *open[JSON_DEPTH_MAX];
	struct json_node *last[JSON_DEPTH_MAX];
	unsigned depth;
	const char *key; /* of the value that follows */
	unsigned key_line;
	size_t line_off; /* lines are counted up to it */
	unsigned line;
	const struct json_node **keys; /* to sort an object's members */
	struct json_slab slab; /* the memory of yajl */
};

/* --- the events ------------------------------------------------------- */

/* Returns 0, which has yajl stop. */
static int __attribute__((format(printf, 3, 4)))
refuse(struct json_error *err, unsigned line, const char *fmt, ...)
{
	va_list ap;

	err->line = line;
	va_start(ap, fmt);
	(void)vsnprintf(err->what, sizeof(err->what), fmt, ap);
	va_end(ap);
	return 0;
}

/* Bytes up to the end of the token that yajl tells of. */
static size_t
offset_now(const struct parser *p)
{
	if (p->finishing)
		return p->len;
	return yajl_get_bytes_consumed(p->yajl);
}

/* The line of that token: none spans lines. */
static unsigned
line_now(struct parser *p)
{
	const char *nl;
	size_t off;

	off = offset_now(p);
	while (p->line_off < off) {
		nl = memchr(p->text + p->line_off, '\n', off - p->line_off);
		if (nl == NULL) {
			p->line_off = off;
		} else {
			p->line_off = (size_t)(nl - p->text) + 1;
			p->line++;
		}
	}
	return p->line;
}

static struct json_node *
node_new(struct parser *p, enum json_type type)
{
	struct json_doc *doc = p->doc;
	struct json_node *n, *parent;

	if (doc->nnodes == doc->maxnodes) {
		(void)refuse(
		    p->err, line_now(p), "more than %zu values", doc->maxnodes);
		return NULL;
	}
	n = &doc->nodes[doc->nnodes++];
	memset(n, 0, sizeof(*n));
	n->type = type;
	n->line = p->key != NULL ? p->key_line : line_now(p);
	n->key = p->key;
	p->key = NULL;
	if (p->depth == 0) {
		p->end = offset_now(p);
		return n;
	}
	parent = p->open[p->depth - 1];
	if (parent->child == NULL)
		parent->child = n;
	else
		p->last[p->depth - 1]->next = n;
	p->last[p->depth - 1] = n;
	parent->len++;
	return n;
}

/* A copy of len bytes with a NUL behind it, or NULL. */
static const char *
string_new(struct parser *p, const unsigned char *s, size_t len)
{
	struct json_doc *doc = p->doc;
	char *copy;

	/* Quotes and escapes are never shorter than what they stand for. */
	if (len >= doc->maxstrings - doc->nstrings) {
		(void)refuse(p->err, line_now(p), "out of string space");
		return NULL;
	}
	copy = doc->strings + doc->nstrings;
	memcpy(copy, s, len);
	copy[len] = '\0';
	doc->nstrings += len + 1;
	return copy;
}

static int
on_null(void *ctx)
{
	return node_new(ctx, JSON_NULL) != NULL;
}

static int
on_boolean(void *ctx, int value)
{
	struct json_node *n;

	n = node_new(ctx, JSON_BOOL);
	if (n == NULL)
		return 0;
	n->num = value != 0;
	return 1;
}

/*
 * The text of a JSON number to an int64. "-0", fractions and exponents have no
 * single integer spelling: refused, as is what does not fit.
 */
static bool
parse_int64(const char *s, size_t len, int64_t *num)
{
	uint64_t n, limit;
	unsigned d;
	bool minus;
	size_t i;

	minus = len > 0 && s[0] == '-';
	i = minus ? 1 : 0;
	if (i == len || (minus && s[i] == '0'))
		return false;
	limit = (uint64_t)INT64_MAX + (minus ? 1 : 0);
	n = 0;
	for (; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		d = (unsigned)(s[i] - '0');
		if (n > (limit - d) / 10)
			return false;
		n = n * 10 + d;
	}
	if (!minus)
		*num = (int64_t)n;
	else
		*num = -(int64_t)(n - 1) - 1;
	return true;
}

static int
on_number(void *ctx, const char *s, size_t len)
{
	struct parser *p = ctx;
	struct json_node *n;
	int64_t num;

	if (!parse_int64(s, len, &num))
		return refuse(
		    p->err, line_now(p), "number that is no 64-bit integer");
	n = node_new(p, JSON_INT);
	if (n == NULL)
		return 0;
	n->num = num;
	return 1;
}

static int
on_string(void *ctx, const unsigned char *s, size_t len)
{
	struct parser *p = ctx;
	struct json_node *n;

	n = node_new(p, JSON_STRING);
	if (n == NULL)
		return 0;
	n->str = string_new(p, s, len);
	n->len = len;
	return n->str != NULL;
}

static int
on_key(void *ctx, const unsigned char *s, size_t len)
{
	struct parser *p = ctx;

	p->key = string_new(p, s, len);
	p->key_line = line_now(p);
	return p->key != NULL;
}

static int
on_open(struct parser *p, enum json_type type)
{
	struct json_node *n;

	if (p->depth == p->lim->depth || p->depth == JSON_DEPTH_MAX)
		return refuse(
		    p->err, line_now(p), "nested deeper than %u", p->depth);
	n = node_new(p, type);
	if (n == NULL)
		return 0;
	p->open[p->depth++] = n;
	return 1;
}

static int
on_open_object(void *ctx)
{
	return on_open(ctx, JSON_OBJECT);
}

static int
on_open_array(void *ctx)
{
	return on_open(ctx, JSON_ARRAY);
}

static int
on_close(void *ctx)
{
	struct parser *p = ctx;

	if (--p->depth == 0)
		p->end = offset_now(p);
	return 1;
}

static int
compare_keys(const void *a, const void *b)
{
	const struct json_node *const *x = a, *const *y = b;
	int r;

	r = strcmp((*x)->key, (*y)->key);
	if (r == 0)
		r = *x < *y ? -1 : *x > *y;
	return r;
}

/*
 * Two members of one name? Sorted, so that an object of thousands costs no
 * thousands squared; a sort without a bad case, since the names are chosen by
 * who sends them.
 */
static int
on_close_object(void *ctx)
{
	struct parser *p = ctx;
	const struct json_node *object, *n;
	size_t i;

	object = p->open[p->depth - 1];
	i = 0;
	for (n = object->child; n != NULL; n = n->next)
		p->keys[i++] = n;
	if (i > 1 &&
	    heapsort(p->keys, i, sizeof(const struct json_node *),
	        compare_keys) != 0)
		return refuse(p->err, line_now(p), "out of memory");
	for (i = 1; i < object->len; i++) {
		if (strcmp(p->keys[i - 1]->key, p->keys[i]->key) == 0)
			return refuse(p->err, p->keys[i]->line,
			    "two members of one name");
	}
	return on_close(p);
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_boolean,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_open_object,
	.yajl_map_key = on_key,
	.yajl_end_map = on_close_object,
	.yajl_start_array = on_open_array,
	.yajl_end_array = on_close,
};

/* --- parsing ---------------------------------------------------------- */

static struct json_doc *
doc_new(size_t maxstrings, size_t maxnodes)
{
	struct json_doc *doc;
	size_t head;

	head = sizeof(*doc) + maxstrings;
	head = (head + JSON_ALIGN - 1) / JSON_ALIGN * JSON_ALIGN;
	if (maxnodes > (SIZE_MAX / 2 - head) / sizeof(doc->nodes[0]))
		return NULL;
	doc = malloc(head + maxnodes * sizeof(doc->nodes[0]));
	if (doc == NULL)
		return NULL;
	doc->strings = (char *)(doc + 1);
	doc->nstrings = 0;
	doc->maxstrings = maxstrings;
	doc->nodes = (void *)((char *)doc + head);
	doc->nnodes = 0;
	doc->maxnodes = maxnodes;
	return doc;
}

/* yajl's own words, without its newline. */
static void
refuse_yajl(struct parser *p)
{
	const unsigned char *text;

	text = yajl_get_error(p->yajl, 0, NULL, 0);
	(void)refuse(p->err, line_now(p), "%.*s",
	    (int)strcspn((const char *)text, "\n"), (const char *)text);
}

/* yajl is not freed: all that it has is in the slab. */
static bool
run_yajl(struct parser *p)
{
	yajl_alloc_funcs funcs = { json_slab_malloc, json_slab_realloc,
		json_slab_free, &p->slab };
	yajl_status status;

	if (setjmp(p->slab.exhausted) != 0) {
		(void)refuse(p->err, p->line, "out of parser memory");
		return false;
	}
	p->yajl = yajl_alloc(&callbacks, &funcs, p);
	if (p->lim->comments)
		(void)yajl_config(p->yajl, yajl_allow_comments, 1);
	status = yajl_parse(p->yajl, (const unsigned char *)p->text, p->len);
	if (status == yajl_status_ok) {
		p->finishing = true;
		status = yajl_complete_parse(p->yajl);
	}
	if (status == yajl_status_error)
		refuse_yajl(p);
	return status == yajl_status_ok;
}

/* As json_parse, for a text that was scanned. */
static struct json_doc *
parse_within(const char *buf, size_t len, const struct json_limits *lim,
    size_t maxnodes, size_t yajl_bytes, struct json_error *err)
{
	struct parser p;
	const char *why;
	bool ok;

	memset(&p, 0, sizeof(p));
	p.text = buf;
	p.len = len;
	p.lim = lim;
	p.err = err;
	p.line = 1;
	p.doc = doc_new(len + 1, maxnodes);
	json_slab_init(&p.slab, yajl_bytes);
	p.keys = calloc(maxnodes, sizeof(const struct json_node *));
	ok = p.doc != NULL && p.slab.mem != NULL && p.keys != NULL;
	if (!ok)
		(void)refuse(err, 1, "out of memory");
	else
		ok = run_yajl(&p);
	if (ok) {
		why = json_scan_tail(buf + p.end, len - p.end, lim->comments);
		ok = why == NULL || refuse(err, line_now(&p), "%s", why);
	}
	json_slab_done(&p.slab);
	free(p.keys);
	if (!ok)
		json_free(&p.doc);
	return p.doc;
}

static unsigned
line_at(const char *buf, size_t off)
{
	unsigned line;
	size_t i;

	line = 1;
	for (i = 0; i < off; i++) {
		if (buf[i] == '\n')
			line++;
	}
	return line;
}

struct json_doc *
json_parse(const char *buf, size_t len, const struct json_limits *lim,
    struct json_error *err)
{
	const char *why;
	size_t values, off;

	if (len > lim->bytes) {
		(void)refuse(err, 1, "more than %zu bytes", lim->bytes);
		return NULL;
	}
	why = json_scan(buf, len, &values, &off);
	if (why != NULL) {
		(void)refuse(err, line_at(buf, off), "%s", why);
		return NULL;
	}
	if (values > lim->nodes)
		values = lim->nodes;
	return parse_within(buf, len, lim, values, JSON_YAJL_BYTES(len), err);
}

const struct json_node *
json_root(const struct json_doc *doc)
{
	return &doc->nodes[0];
}

void
json_free(struct json_doc **docp)
{
	struct json_doc *doc;

	if (docp == NULL || *docp == NULL)
		return;
	doc = *docp;
	*docp = NULL;
	/* Everything up to the last node that was used. */
	freezero(
	    doc, (size_t)((char *)(doc->nodes + doc->nnodes) - (char *)doc));
}

const struct json_node *
json_member(const struct json_node *object, const char *name)
{
	const struct json_node *n;

	if (object->type != JSON_OBJECT)
		return NULL;
	for (n = object->child; n != NULL; n = n->next) {
		if (strcmp(n->key, name) == 0)
			return n;
	}
	return NULL;
}
