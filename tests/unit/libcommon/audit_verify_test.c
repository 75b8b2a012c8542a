#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "libcommon/audit.h"
#include "libcommon/audit_internal.h"

#define TIME "2026-08-01T21:00:00.123Z"
#define FILE_SIZE (3 * 1024 * 1024)
#define NLINES 8

/* A record file in memory. */
struct file {
	char *b;
	size_t len;
	size_t line[NLINES + 1]; /* where each line begins */
	struct audit_chain chain[NLINES + 1]; /* before each line */
};

static void
add(struct file *f, struct audit_chain *c, const char *host)
{
	struct msg m = { .type = MSG_TYPE_rec_deny };
	char buf[AUDIT_LINE_MAX];
	ssize_t n;

	m.u.rec_deny.host = host;
	m.u.rec_deny.port = 443;
	m.u.rec_deny.code = "host";
	m.u.rec_deny.status = 403;
	n = audit_line(c, "egressd", TIME, 77, &m, buf);
	ck_assert_int_gt(n, 0);
	memcpy(f->b + f->len, buf, (size_t)n);
	f->len += (size_t)n;
}

static void
make(struct file *f)
{
	struct audit_chain c;
	char host[32];
	size_t i;

	audit_chain_init(&c);
	if (f->b == NULL)
		f->b = malloc(FILE_SIZE);
	f->len = 0;
	for (i = 0; i < NLINES; i++) {
		f->line[i] = f->len;
		f->chain[i] = c;
		(void)snprintf(host, sizeof(host), "host-%zu.example", i);
		add(f, &c, host);
	}
	f->line[NLINES] = f->len;
	f->chain[NLINES] = c;
}

static void
append(struct file *f, const void *p, size_t n)
{
	ck_assert_uint_le(f->len + n, FILE_SIZE);
	memcpy(f->b + f->len, p, n);
	f->len += n;
}

static struct audit_verify *
feed(const struct file *f, size_t piece)
{
	struct audit_verify *v = audit_verify_new();
	size_t off, n;

	for (off = 0; off < f->len; off += n) {
		n = f->len - off < piece ? f->len - off : piece;
		(void)audit_verify_feed(v, f->b + off, n);
	}
	return v;
}

/* Returns the first bad line, 0 when all is well. */
static uint64_t
bad_line(const struct file *f, int64_t *records, bool *torn)
{
	const size_t pieces[] = { FILE_SIZE, 61 };
	struct audit_verify *v;
	uint64_t line = 0;
	bool ended;
	size_t i;

	for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		v = feed(f, pieces[i]);
		ck_assert_int_eq(
		    audit_verify_end(v), audit_verify_line(v) == 0 ? 0 : -1);
		if (i > 0)
			ck_assert_uint_eq(audit_verify_line(v), line);
		line = audit_verify_line(v);
		if (line != 0)
			ck_assert_str_ne(audit_verify_why(v), "");
		if (records != NULL)
			*records = audit_verify_records(v);
		if (torn != NULL)
			*torn = audit_verify_torn(v, &ended);
		audit_verify_free(&v);
		ck_assert_ptr_null(v);
	}
	return line;
}

/* A recovered record behind c for the n bytes at p. */
static void
recovered(struct file *f, struct audit_chain *c, const void *p, size_t n)
{
	struct msg m = { .type = MSG_TYPE_rec_recovered };
	struct audit_hash *h = audit_hash_new();
	char buf[AUDIT_LINE_MAX], hex[AUDIT_HASH_LEN];
	ssize_t len;

	ck_assert_int_eq(audit_hash_add(h, p, n), 0);
	ck_assert_int_eq(audit_hash_hex(h, hex), 0);
	audit_hash_free(&h);
	m.u.rec_recovered.bytes = (int64_t)n;
	m.u.rec_recovered.sha256 = hex;
	len = audit_line(c, "egressd", TIME, 78, &m, buf);
	ck_assert_int_gt(len, 0);
	append(f, buf, (size_t)len);
}

/* What a start does with a torn end. Returns -1 when it would refuse. */
static int
repair(struct file *f, struct audit_chain *c)
{
	struct audit_verify *v = feed(f, 4096);
	char hex[AUDIT_HASH_LEN];
	size_t n;
	bool ended;
	int r = -1;

	if (audit_verify_end(v) == 0) {
		*c = *audit_verify_chain(v);
		r = 0;
	} else if (audit_verify_torn(v, &ended)) {
		*c = *audit_verify_chain(v);
		n = audit_verify_tail(v, hex);
		if (!ended)
			append(f, "\n", 1);
		recovered(f, c, f->b + f->len - 1 - n, n);
		r = 0;
	}
	audit_verify_free(&v);
	return r;
}

START_TEST(good)
{
	struct file f = { 0 };
	struct audit_verify *v;
	size_t piece;
	int64_t records;
	bool torn;

	make(&f);
	ck_assert_uint_eq(bad_line(&f, &records, &torn), 0);
	ck_assert_int_eq(records, NLINES);
	ck_assert(!torn);
	for (piece = 1; piece < 1000; piece++) {
		v = feed(&f, piece);
		ck_assert_int_eq(audit_verify_end(v), 0);
		audit_verify_free(&v);
	}
	f.len = 0;
	ck_assert_uint_eq(bad_line(&f, &records, &torn), 0);
	ck_assert_int_eq(records, 0);
	ck_assert(!torn);
	free(f.b);
}
END_TEST

/*
 * Cut at every byte of the last two records; start; cut what the start wrote
 * at every byte; start again; go on.
 */
START_TEST(cut_everywhere)
{
	struct file f = { 0 };
	struct audit_chain c;
	size_t cut, again, whole, line;
	int64_t records;
	bool torn;

	make(&f);
	for (cut = f.line[NLINES - 2]; cut < f.line[NLINES]; cut++) {
		line = cut >= f.line[NLINES - 1] ? NLINES : NLINES - 1;
		f.len = cut;
		if (cut != f.line[line - 1]) {
			ck_assert_uint_eq(bad_line(&f, NULL, &torn), line);
			ck_assert(torn);
		}
		ck_assert_int_eq(repair(&f, &c), 0);
		ck_assert_uint_eq(bad_line(&f, &records, NULL), 0);
		ck_assert_int_eq(
		    records, (int64_t)line - (cut == f.line[line - 1]));
		whole = f.len;
		for (again = cut; again < whole; again += 13) {
			f.len = again;
			ck_assert_int_eq(repair(&f, &c), 0);
			add(&f, &c, "after.example");
			ck_assert_uint_eq(bad_line(&f, NULL, NULL), 0);
		}
		make(&f);
	}
	free(f.b);
}
END_TEST

/* Every byte of one cut, twice over. */
START_TEST(cut_repairs)
{
	struct file f = { 0 };
	struct audit_chain c;
	size_t cut = 0, first, second, end;
	char *whole = malloc(FILE_SIZE);

	make(&f);
	cut = f.line[NLINES] - 20;
	f.len = cut;
	ck_assert_int_eq(repair(&f, &c), 0);
	end = f.len;
	memcpy(whole, f.b, end);
	for (first = cut; first < end; first++) {
		memcpy(f.b, whole, end);
		f.len = first;
		ck_assert_int_eq(repair(&f, &c), 0);
		ck_assert_uint_eq(bad_line(&f, NULL, NULL), 0);
		second = f.len - 9;
		f.len = second;
		ck_assert_int_eq(repair(&f, &c), 0);
		add(&f, &c, "after.example");
		ck_assert_uint_eq(bad_line(&f, NULL, NULL), 0);
	}
	free(whole);
	free(f.b);
}
END_TEST

/*
 * The running process knows that a whole record without its newline is torn,
 * and chains to the record before it, whatever stands between.
 */
START_TEST(taken_back)
{
	struct file f = { 0 };
	struct audit_chain c;
	const char *torn;
	size_t from, parts, i;
	int64_t records;

	for (parts = 0; parts < 4; parts++) {
		make(&f);
		from = f.line[NLINES - 1];
		for (i = 0; i < parts; i++) {
			append(&f, "{\"seq\":8,\"time\":\"2026", 5 + 6 * i);
			append(&f, "\n", 1);
		}
		torn = f.b + from;
		c = f.chain[NLINES - 1];
		recovered(&f, &c, torn, f.len - 1 - from);
		ck_assert_uint_eq(bad_line(&f, &records, NULL), 0);
		ck_assert_int_eq(records, NLINES);
		add(&f, &c, "after.example");
		ck_assert_uint_eq(bad_line(&f, &records, NULL), 0);
		ck_assert_int_eq(records, NLINES + 1);
	}
	/* A repair that lacks only its newline is taken back as well. */
	make(&f);
	append(&f, "torn\n", 5);
	c = f.chain[NLINES];
	recovered(&f, &c, "torn", 4);
	from = f.line[NLINES];
	c = f.chain[NLINES];
	recovered(&f, &c, f.b + from, f.len - 1 - from);
	ck_assert_uint_eq(bad_line(&f, &records, NULL), 0);
	ck_assert_int_eq(records, NLINES + 1);
	add(&f, &c, "after.example");
	ck_assert_uint_eq(bad_line(&f, &records, NULL), 0);
	free(f.b);
}
END_TEST

/*
 * A repair that took a record back, itself without its newline: the next
 * start takes up both.
 */
START_TEST(taken_back_at_start)
{
	struct file f = { 0 };
	struct audit_chain c;
	size_t from;
	int64_t records;
	bool torn;

	make(&f);
	from = f.line[NLINES - 1];
	c = f.chain[NLINES - 1];
	recovered(&f, &c, f.b + from, f.len - 1 - from);
	f.len--;
	ck_assert_uint_eq(bad_line(&f, &records, &torn), NLINES + 1);
	ck_assert(torn);
	ck_assert_int_eq(records, NLINES - 1);
	ck_assert_int_eq(repair(&f, &c), 0);
	ck_assert_int_eq(c.seq, NLINES);
	add(&f, &c, "after.example");
	ck_assert_uint_eq(bad_line(&f, &records, NULL), 0);
	ck_assert_int_eq(records, NLINES + 1);
	free(f.b);
}
END_TEST

START_TEST(flip_everywhere)
{
	struct file f = { 0 };
	size_t i;
	unsigned bit;
	bool torn;

	make(&f);
	for (i = f.line[3]; i < f.line[4]; i++)
		for (bit = 0; bit < 8; bit++) {
			f.b[i] ^= (char)(1 << bit);
			ck_assert_msg(bad_line(&f, NULL, &torn) == 4,
			    "byte %zu bit %u", i, bit);
			ck_assert_msg(!torn, "byte %zu bit %u", i, bit);
			f.b[i] ^= (char)(1 << bit);
		}
	free(f.b);
}
END_TEST

enum edit {
	DELETE,
	SWAP,
	REPEAT,
	APPEND
};

/* Lines are counted from 1; "torn" is what a start would take up. */
START_TEST(edits)
{
	static const struct {
		const char *name;
		enum edit edit;
		size_t line;
		const char *text;
		uint64_t want;
		bool torn;
	} rows[] = {
		{ "first line deleted", DELETE, 1, NULL, 1, false },
		{ "middle line deleted", DELETE, 4, NULL, 4, false },
		{ "last but one deleted", DELETE, 7, NULL, 7, false },
		{ "last deleted: nothing shows it", DELETE, 8, NULL, 0, false },
		{ "first two swapped", SWAP, 1, NULL, 1, false },
		{ "middle two swapped", SWAP, 4, NULL, 4, false },
		{ "last two swapped", SWAP, 7, NULL, 7, false },
		{ "first repeated", REPEAT, 1, NULL, 2, false },
		{ "middle repeated", REPEAT, 4, NULL, 5, false },
		{ "last repeated", REPEAT, 8, NULL, 9, false },
		{ "garbage behind", APPEND, 0, "garbage", 9, true },
		{ "garbage line behind", APPEND, 0, "garbage\n", 9, true },
		{ "two garbage lines", APPEND, 0, "one\ntwo\n", 9, false },
		{ "garbage, then an unfinished line", APPEND, 0, "one\ntwo", 9,
		    false },
		{ "garbage, then a repair of it cut off", APPEND, 0,
		    "one\n{\"seq\":9,\"ti", 9, true },
		{ "garbage, then two repairs cut off", APPEND, 0,
		    "one\n{\"seq\":9,\"ti\n{", 9, true },
		{ "garbage, then a repair of something else", APPEND, 0,
		    "one\n{\"seq\":10,", 9, false },
		{ "garbage, then a whole record without newline", APPEND, 1,
		    "one\n", 9, false },
		{ "an empty line", APPEND, 0, "\n", 9, false },
		{ "garbage, then an empty line", APPEND, 0, "a\n\n", 9, false },
		{ "CR before the newline", APPEND, 0, "\r\n", 9, true },
	};
	struct file f = { 0 }, g = { 0 };
	size_t i, n, from, to;
	uint64_t line;
	bool torn;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		make(&f);
		make(&g);
		from = rows[i].line == 0 ? 0 : f.line[rows[i].line - 1];
		to = rows[i].line == 0 ? 0 : f.line[rows[i].line];
		switch (rows[i].edit) {
		case DELETE:
			g.len = from;
			append(&g, f.b + to, f.len - to);
			break;
		case SWAP:
			g.len = from;
			n = f.line[rows[i].line + 1];
			append(&g, f.b + to, n - to);
			append(&g, f.b + from, to - from);
			append(&g, f.b + n, f.len - n);
			break;
		case REPEAT:
			g.len = to;
			append(&g, f.b + from, f.len - from);
			break;
		case APPEND:
			append(&g, rows[i].text, strlen(rows[i].text));
			if (rows[i].line > 0)
				append(&g, f.b, f.line[1] - 1);
			break;
		}
		line = bad_line(&g, NULL, &torn);
		ck_assert_msg(line == rows[i].want && torn == rows[i].torn,
		    "%s: line %lu, torn %d", rows[i].name, (unsigned long)line,
		    torn);
	}
	free(f.b);
	free(g.b);
}
END_TEST

/* A torn part may be anything that is one line. */
START_TEST(torn_parts)
{
	static char zeros[70000];
	struct file f = { 0 }, model = { 0 };
	struct audit_chain c;
	const struct {
		const char *name;
		const void *bytes;
		size_t len;
	} rows[] = {
		{ "one byte", "x", 1 },
		{ "NULs", "\0\0\0", 3 },
		{ "more NULs than a record has bytes", zeros, sizeof(zeros) },
		{ "just under a line", zeros, AUDIT_LINE_MAX - 1 },
		{ "just a line", zeros, AUDIT_LINE_MAX },
		{ "other JSON", "{\"a\":1}", 7 },
		{ "only a brace", "{", 1 },
		{ "not UTF-8", "\xff\xfe", 2 },
		{ "an older record", NULL, 3 },
		{ "the last record again", NULL, 7 },
	};
	size_t i, n, k;
	const char *p;

	make(&model);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		make(&f);
		p = rows[i].bytes;
		n = rows[i].len;
		if (p == NULL) {
			k = rows[i].len;
			p = model.b + model.line[k];
			n = model.line[k + 1] - model.line[k] - 1;
		}
		append(&f, p, n);
		ck_assert_msg(
		    bad_line(&f, NULL, NULL) == NLINES + 1, "%s", rows[i].name);
		ck_assert_msg(repair(&f, &c) == 0, "%s", rows[i].name);
		ck_assert_msg(bad_line(&f, NULL, NULL) == 0, "%s: %lu",
		    rows[i].name, (unsigned long)bad_line(&f, NULL, NULL));
		add(&f, &c, "after.example");
		ck_assert_msg(
		    bad_line(&f, NULL, NULL) == 0, "%s", rows[i].name);
	}
	free(f.b);
	free(model.b);
}
END_TEST

/* A recovered record must tell the truth about exactly what is before it. */
START_TEST(false_repairs)
{
	static const struct {
		const char *name, *before, *told;
		size_t chain; /* it stands behind this line */
		uint64_t want; /* bad line */
	} rows[] = {
		{ "true", "torn\n", "torn", 8, 0 },
		{ "no torn line", "", "torn", 8, 9 },
		{ "other bytes, same count", "torn\n", "tarn", 8, 9 },
		{ "one byte less", "torn\n", "tor", 8, 9 },
		{ "newline counted", "torn\n", "torn\n", 8, 9 },
		{ "two lines for one", "a\nb\n", "b", 8, 9 },
		{ "two lines that are no repair", "a\nb\n", "a\nb", 8, 9 },
		{ "chained two lines back", "torn\n", "torn", 6, 9 },
		{ "chained one line back without it", "torn\n", "torn", 7, 9 },
		{ "chained to the start", "torn\n", "torn", 0, 9 },
	};
	struct file f = { 0 };
	struct audit_chain c;
	uint64_t line;
	bool torn;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		make(&f);
		append(&f, rows[i].before, strlen(rows[i].before));
		c = f.chain[rows[i].chain];
		recovered(&f, &c, rows[i].told, strlen(rows[i].told));
		line = bad_line(&f, NULL, &torn);
		ck_assert_msg(line == rows[i].want && !torn, "%s: %lu %d",
		    rows[i].name, (unsigned long)line, torn);
	}
	free(f.b);
}
END_TEST

/* A line of a megabyte, in the middle and at the end. */
START_TEST(long_lines)
{
	struct file f = { 0 }, g = { 0 };
	char *big = malloc(1024 * 1024 + 1);
	bool torn;

	memset(big, '{', 1024 * 1024);
	big[1024 * 1024] = '\n';
	make(&f);
	make(&g);
	g.len = g.line[4];
	append(&g, big, 1024 * 1024 + 1);
	append(&g, f.b + f.line[4], f.len - f.line[4]);
	ck_assert_uint_eq(bad_line(&g, NULL, &torn), 5);
	ck_assert(!torn);
	append(&f, big, 1024 * 1024 + 1);
	ck_assert_uint_eq(bad_line(&f, NULL, &torn), 9);
	ck_assert(torn);
	append(&f, big, 1024 * 1024 + 1);
	ck_assert_uint_eq(bad_line(&f, NULL, &torn), 9);
	ck_assert(!torn);
	free(big);
	free(f.b);
	free(g.b);
}
END_TEST

/* Once bad, always bad; and what the tail is. */
START_TEST(results)
{
	struct file f = { 0 };
	struct audit_verify *v;
	char hex[AUDIT_HASH_LEN];
	bool ended = true;

	make(&f);
	v = feed(&f, 4096);
	ck_assert_int_eq(audit_verify_feed(v, "abc", 3), 0);
	ck_assert_int_eq(audit_verify_end(v), -1);
	ck_assert(audit_verify_torn(v, &ended));
	ck_assert(!ended);
	ck_assert_uint_eq(audit_verify_tail(v, hex), 3);
	/* sha256sum of "abc" */
	ck_assert_str_eq(hex,
	    "ba7816bf8f01cfea414140de5dae2223"
	    "b00361a396177a9cb410ff61f20015ad");
	ck_assert_int_eq(audit_verify_chain(v)->seq, NLINES);
	ck_assert_str_eq(audit_verify_chain(v)->hash, f.chain[NLINES].hash);
	audit_verify_free(&v);

	v = feed(&f, 4096);
	ck_assert_int_eq(audit_verify_feed(v, "abc\n", 4), 0);
	ck_assert_int_eq(audit_verify_feed(v, "d\n", 2), -1);
	ck_assert_int_eq(audit_verify_feed(v, "e", 1), -1);
	ck_assert_int_eq(audit_verify_end(v), -1);
	ck_assert_uint_eq(audit_verify_line(v), NLINES + 1);
	audit_verify_free(&v);
	audit_verify_free(&v);
	free(f.b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("audit_verify");
	TCase *t = tcase_create("all");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, good);
	tcase_add_test(t, cut_everywhere);
	tcase_add_test(t, cut_repairs);
	tcase_add_test(t, taken_back);
	tcase_add_test(t, taken_back_at_start);
	tcase_add_test(t, flip_everywhere);
	tcase_add_test(t, edits);
	tcase_add_test(t, torn_parts);
	tcase_add_test(t, false_repairs);
	tcase_add_test(t, long_lines);
	tcase_add_test(t, results);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
