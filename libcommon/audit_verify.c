/*
 * Is a stream of lines one chain? Pure, in bounded memory.
 *
 * A line that is no record may still be in order: a torn one, which the
 * `recovered` record behind it takes up by its length and hash. So a bad line
 * is held, not refused, until the next line shows what it was. Three things
 * make that more than a look at the next line:
 *
 * - The repair can be cut off too, leaving the beginning of a `recovered`
 *   record as another torn line. The next repair takes up all of it as one
 *   span.
 * - The torn bytes may be a whole record that lacks nothing but its newline,
 *   which the repair then supplies: it passes here as a good line. A
 *   `recovered` record chained to the line before takes it back.
 * - Both at once.
 *
 * Therefore two spans are kept, the bytes behind the last good line and those
 * behind the good line before it, and a `recovered` record may take up either.
 */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/audit.h"
#include "libcommon/audit_internal.h"

#define WHY_MAX 160
#define NO_NEWLINE "it is torn: no newline at its end"

struct audit_verify {
	struct audit_chain chain; /* of the last good line */
	struct audit_span torn; /* behind it */
	struct audit_chain prior; /* of the good line before it */
	struct audit_span undone; /* behind that, less what is in last */

	char *line; /* being collected */
	size_t len;
	bool too_long; /* its bytes are in the spans */
	char *last; /* the last good line */
	size_t last_len; /* 0: none, or in undone already */

	struct audit_steps *steps; /* NULL: nobody asks */
	char run[RUNID_LEN + 1]; /* the step of the last good line, which */
	int64_t step; /* may be taken back; 0: none */

	bool holding; /* torn is not empty */
	bool held_whole; /* its first line has a right hash */
	uint64_t held_lines;
	bool failed;
	int64_t records;
	uint64_t lines;
	uint64_t bad_line;
	char why[WHY_MAX];
};

struct audit_verify *
audit_verify_new(void)
{
	struct audit_verify *v;

	if ((v = calloc(1, sizeof(*v))) == NULL)
		return NULL;
	audit_chain_init(&v->chain);
	audit_chain_init(&v->prior);
	v->line = malloc(AUDIT_LINE_MAX);
	v->last = malloc(AUDIT_LINE_MAX);
	if (v->line == NULL || v->last == NULL ||
	    audit_span_init(&v->torn) == -1 ||
	    audit_span_init(&v->undone) == -1)
		audit_verify_free(&v);
	return v;
}

void
audit_verify_free(struct audit_verify **vp)
{
	struct audit_verify *v = *vp;

	if (v == NULL)
		return;
	audit_span_clear(&v->torn);
	audit_span_clear(&v->undone);
	free(v->line);
	free(v->last);
	free(v);
	*vp = NULL;
}

void
audit_verify_steps(struct audit_verify *v, struct audit_steps *s)
{
	v->steps = s;
}

/* The last good line stays what it is. */
static void
settle_step(struct audit_verify *v)
{
	if (v->steps != NULL && v->step != 0)
		audit_steps_add(v->steps, v->run, v->step);
	v->step = 0;
}

/* Note the first bad line and why. What was noted before stays. */
static void __attribute__((format(printf, 2, 3)))
note(struct audit_verify *v, const char *fmt, ...)
{
	va_list ap;

	if (v->bad_line != 0)
		return;
	v->bad_line = v->lines;
	va_start(ap, fmt);
	(void)vsnprintf(v->why, sizeof(v->why), fmt, ap);
	va_end(ap);
}

static int
fail(struct audit_verify *v, const char *why)
{
	note(v, "%s", why);
	v->failed = true;
	return -1;
}

/* --- spans ------------------------------------------------------------ */

/* Let the last good line be a part of undone, to hash what lies behind. */
static int
undo_last(struct audit_verify *v)
{
	if (v->last_len == 0)
		return 0;
	if (audit_span_add(&v->undone, v->last, v->last_len) == -1 ||
	    audit_span_add(&v->undone, "\n", 1) == -1)
		return -1;
	v->last_len = 0;
	return 0;
}

static int
hold_bytes(struct audit_verify *v, const char *buf, size_t len)
{
	if (undo_last(v) == -1 || audit_span_add(&v->torn, buf, len) == -1 ||
	    audit_span_add(&v->undone, buf, len) == -1)
		return fail(v, "the hash could not be computed");
	return 0;
}

/*
 * May a line stand behind a torn one? Only as the beginning of a record that
 * would have taken it up.
 */
static bool
may_be_repair(const struct audit_verify *v)
{
	const int64_t seqs[] = { v->chain.seq + 1, v->prior.seq + 1 };
	char head[64];
	size_t i, n;

	for (i = 0; i < 2; i++) {
		n = (size_t)snprintf(
		    head, sizeof(head), "{\"seq\":%" PRId64 ",", seqs[i]);
		if (n > v->len)
			n = v->len;
		if (memcmp(v->line, head, n) == 0)
			return true;
	}
	return false;
}

/*
 * Hold what is collected of the line, with its newline if it has come. whole
 * says that it is a record by itself.
 */
static int
hold(struct audit_verify *v, bool whole, bool newline)
{
	if (v->holding) {
		if (whole || v->len == 0 || !may_be_repair(v))
			return fail(v, "a torn line is not taken up");
	} else {
		v->holding = true;
		v->held_whole = whole;
		v->held_lines = 0;
	}
	v->held_lines++;
	if (hold_bytes(v, v->line, v->len) == -1 ||
	    (newline && hold_bytes(v, "\n", 1) == -1))
		return -1;
	v->len = 0;
	return 0;
}

/* --- lines ------------------------------------------------------------ */

/* r stands behind c, and what it says of the bytes between is so. */
static bool
takes_up(const struct audit_read *r, const struct audit_chain *c,
    const struct audit_span *s)
{
	char hex[AUDIT_HASH_LEN];

	return r->seq == c->seq + 1 && strcmp(r->prev, c->hash) == 0 &&
	    (uint64_t)r->bytes == s->len && audit_hash_hex(s->hash, hex) == 0 &&
	    strcmp(r->sha256, hex) == 0;
}

/* The line that is collected is the last good one from here. */
static int
go_on(struct audit_verify *v, const struct audit_read *r)
{
	char *line = v->line;

	v->line = v->last;
	v->last = line;
	v->last_len = v->len;
	v->len = 0;
	v->chain.seq = r->seq;
	memcpy(v->chain.hash, r->hash, AUDIT_HASH_LEN);
	v->holding = false;
	v->bad_line = 0;
	if (audit_span_reset(&v->torn) == -1)
		return fail(v, "the hash could not be computed");
	return 0;
}

static int
accept_next(struct audit_verify *v, const struct audit_read *r)
{
	settle_step(v);
	memcpy(v->run, r->run, sizeof(v->run));
	v->step = r->step;
	v->prior = v->chain;
	v->records++;
	if (v->undone.len > 0 && audit_span_reset(&v->undone) == -1)
		return fail(v, "the hash could not be computed");
	return go_on(v, r);
}

/*
 * A `recovered` record: returns 1 when it was taken for what it is. When it
 * takes back the last good line, the count stays: one less, one more.
 */
static int
accept_recovered(struct audit_verify *v, const struct audit_read *r)
{
	struct audit_span torn = v->torn;

	if (v->holding && takes_up(r, &v->chain, &v->torn)) {
		settle_step(v);
		v->prior = v->chain;
		v->records++;
		v->torn = v->undone;
		v->undone = torn;
		return go_on(v, r) == -1 ? -1 : 1;
	}
	if (undo_last(v) == -1)
		return fail(v, "the hash could not be computed");
	if (v->records > 0 && takes_up(r, &v->prior, &v->undone)) {
		v->step = 0;
		return go_on(v, r) == -1 ? -1 : 1;
	}
	return 0;
}

static void
note_place(struct audit_verify *v, const struct audit_read *r)
{
	if (r->seq != v->chain.seq + 1)
		note(v, "seq is %" PRId64 ", %" PRId64 " was due", r->seq,
		    v->chain.seq + 1);
	else
		note(v, "prev is not the hash of the line before");
}

/* A whole line is in v->line; newline: with its end. */
static int
judge(struct audit_verify *v, bool newline)
{
	struct audit_read r;
	const char *why;
	bool whole;
	int ret;

	v->lines++;
	if (v->len == 0)
		return fail(v, "an empty line");
	if (!newline)
		note(v, "%s", NO_NEWLINE);
	whole = audit_line_read(v->line, v->len, &r, &why) == 0;
	if (whole && r.bytes > 0 && (ret = accept_recovered(v, &r)) != 0)
		return ret == 1 ? 0 : -1;
	if (whole && !v->holding && r.bytes == 0 && r.seq == v->chain.seq + 1 &&
	    strcmp(r.prev, v->chain.hash) == 0)
		return accept_next(v, &r);
	if (!whole)
		note(v, "%s", why);
	else if (r.bytes > 0)
		note(v, "it recovers other bytes than those before it");
	else
		note_place(v, &r);
	return hold(v, whole, newline);
}

static int
end_line(struct audit_verify *v)
{
	if (!v->too_long)
		return judge(v, true);
	v->too_long = false;
	return hold_bytes(v, "\n", 1);
}

/*
 * The last good line lacks its newline. It was not written whole, so it is
 * torn, with what it took up; the newline that a repair begins with will make
 * it pass.
 */
static int
take_back_last(struct audit_verify *v)
{
	struct audit_span torn = v->torn;

	if (audit_span_add(&v->undone, v->last, v->last_len) == -1)
		return fail(v, "the hash could not be computed");
	v->last_len = 0;
	v->step = 0;
	v->torn = v->undone;
	v->undone = torn;
	v->chain = v->prior;
	v->records--;
	v->holding = true;
	note(v, "%s", NO_NEWLINE);
	return 0;
}

/* A part of a line, without its newline. */
static int
collect(struct audit_verify *v, const char *buf, size_t len)
{
	if (v->too_long)
		return hold_bytes(v, buf, len);
	if (len < AUDIT_LINE_MAX - v->len) {
		memcpy(v->line + v->len, buf, len);
		v->len += len;
		return 0;
	}
	v->lines++;
	if (v->holding)
		return fail(v, "a torn line is not taken up");
	note(v, "it is longer than a record can be");
	if (hold(v, false, false) == -1)
		return -1;
	v->too_long = true;
	return hold_bytes(v, buf, len);
}

int
audit_verify_feed(struct audit_verify *v, const void *buf, size_t len)
{
	const char *p = buf, *end = p + len, *newline;

	if (v->failed)
		return -1;
	while (p < end) {
		newline = memchr(p, '\n', (size_t)(end - p));
		if (collect(v, p,
		        (size_t)((newline != NULL ? newline : end) - p)) == -1)
			return -1;
		if (newline == NULL)
			break;
		if (end_line(v) == -1)
			return -1;
		p = newline + 1;
	}
	return 0;
}

int
audit_verify_end(struct audit_verify *v)
{
	if (v->failed)
		return -1;
	if (v->len == 0) {
		settle_step(v);
		return v->holding ? -1 : 0;
	}
	if (judge(v, false) == 0 && !v->holding)
		(void)take_back_last(v);
	settle_step(v);
	return -1;
}

/* --- what was found --------------------------------------------------- */

uint64_t
audit_verify_line(const struct audit_verify *v)
{
	return v->bad_line;
}

const char *
audit_verify_why(const struct audit_verify *v)
{
	return v->why;
}

int64_t
audit_verify_records(const struct audit_verify *v)
{
	return v->records;
}

const struct audit_chain *
audit_verify_chain(const struct audit_verify *v)
{
	return &v->chain;
}

size_t
audit_verify_tail(const struct audit_verify *v, char sha256[AUDIT_HASH_LEN])
{
	if (audit_hash_hex(v->torn.hash, sha256) == -1)
		sha256[0] = '\0';
	return (size_t)v->torn.len;
}

/*
 * A whole line with a right hash and its newline was never torn: standing
 * alone out of its place it shows that lines before it are gone or others
 * were added.
 */
bool
audit_verify_torn(const struct audit_verify *v, bool *ended)
{
	if (v->failed || !v->holding ||
	    (v->held_whole && v->held_lines == 1 && v->torn.ended))
		return false;
	*ended = v->torn.ended;
	return true;
}
