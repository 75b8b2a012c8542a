#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "agent-cli/entrypoint_ring.c"
#include "tests/words.h"

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))
#define KEEP 64
#define CHUNK_MAX (CHUNK_HEADER_LEN + CHUNK_DATA_MAX)
#define MODEL_MAX (1024 * 1024)
#define RANDOM_ROUNDS 20000

static uint8_t chunk[CHUNK_MAX];

/* --- tables ------------------------------------------------------------- */

/*
 * A script: "oTEXT" and "eTEXT" are output, "sN" stored, "kN" seek, "cN" a
 * chunk of at most N bytes. What the chunks said: "oTEXT", "eTEXT", "gN".
 */
static const struct {
	const char *name;
	const char *script[12], *want;
	int64_t start, end, dropped;
} scripts[] = {
	{ "nothing", { "c100" }, "", 0, 0, 0 },
	{ "one", { "oabc", "c100" }, "oabc ", 0, 3, 0 },
	{ "merged", { "oabc", "odef", "c100" }, "oabcdef ", 0, 6, 0 },
	{ "two streams", { "oab", "ecd", "oef", "c99", "c99", "c99" },
	    "oab ecd oef ", 0, 6, 0 },
	{ "small chunks", { "oabcde", "c10", "c10", "c10", "c10" },
	    "oab ocd oe ", 0, 5, 0 },
	{ "no room for a byte", { "oabc", "c8", "c9" }, "oa ", 0, 3, 0 },
	{ "stored", { "oabcdef", "s3", "c100" }, "odef ", 3, 6, 0 },
	{ "stored all", { "oabc", "s3", "c100", "ode", "c100" }, "ode ", 3, 5,
	    0 },
	{ "stored beyond", { "oabc", "s4", "c100" }, "oabc ", 0, 3, 0 },
	{ "again from the start", { "oabc", "c100", "k0", "c100" },
	    "oabc oabc ", 0, 3, 0 },
	{ "again from within", { "oabc", "ede", "c9", "k2", "c99", "c99" },
	    "oa oc ede ", 0, 5, 0 },
	{ "seek before the start", { "oabc", "s2", "k1", "c100" }, "oc ", 2, 3,
	    0 },
	{ "full", { "o*60", "ex1234", "c100", "c100", "c100" },
	    "o*60 ex123 g1 ", 0, 65, 1 },
	{ "full, then room",
	    { "o*64", "eabc", "s10", "ed", "c99", "c99", "c99" }, "o*54 g3 ed ",
	    10, 68, 3 },
	{ "gap grows", { "o*64", "eabc", "ode", "c99", "c99" }, "o*64 g5 ", 0,
	    69, 5 },
	{ "stored within a gap", { "o*64", "eabcd", "s66", "c99" }, "g2 ", 66,
	    68, 4 },
	{ "gap needs room", { "o*64", "ea", "s64", "c15", "c16" }, "g1 ", 64,
	    65, 1 },
	{ "wraps", { "o*60", "s60", "oabcdefgh", "c99" }, "oabcdefgh ", 60, 68,
	    0 },
};

static void
put(struct ring *r, const char *word)
{
	int stream = word[0] == 'o' ? RING_STDOUT : RING_STDERR;
	uint8_t buf[128];
	size_t n = strlen(word + 1);

	memcpy(buf, word + 1, n);
	if (word[1] == '*') {
		n = (size_t)words_number(word + 2);
		memset(buf, '*', n);
	}
	ring_put(r, stream, buf, n);
}

static void
show(const uint8_t *c, size_t n, char *out, size_t len)
{
	char word[256];
	uint64_t gap = 0;
	int i;

	ck_assert_int_eq(c[1] | c[2] | c[3], 0);
	ck_assert_uint_eq((size_t)c[6] << 8 | c[7], n - CHUNK_HEADER_LEN);
	for (i = 0; i < CHUNK_GAP_LEN && c[0] == RING_GAP; i++)
		gap = gap << 8 | c[CHUNK_HEADER_LEN + i];
	if (c[0] == RING_GAP)
		(void)snprintf(word, sizeof(word), "g%d ", (int)gap);
	else if (c[CHUNK_HEADER_LEN] == '*')
		(void)snprintf(word, sizeof(word), "%c*%zu ",
		    c[0] == RING_STDOUT ? 'o' : 'e', n - CHUNK_HEADER_LEN);
	else
		(void)snprintf(word, sizeof(word), "%c%.*s ",
		    c[0] == RING_STDOUT ? 'o' : 'e',
		    (int)(n - CHUNK_HEADER_LEN), c + CHUNK_HEADER_LEN);
	(void)strlcat(out, word, len);
}

START_TEST(script)
{
	const char *const *w = scripts[_i].script;
	struct ring *r = ring_new(KEEP);
	char out[512] = "";
	size_t n;

	ck_assert_ptr_nonnull(r);
	for (; *w != NULL; w++) {
		switch (**w) {
		case 'o':
		case 'e':
			put(r, *w);
			break;
		case 's':
			(void)ring_stored(r, words_number(*w + 1));
			break;
		case 'k':
			(void)ring_seek(r, words_number(*w + 1));
			break;
		default:
			n = ring_chunk(r, chunk, (size_t)words_number(*w + 1));
			if (n > 0)
				show(chunk, n, out, sizeof(out));
			break;
		}
	}
	ck_assert_msg(strcmp(out, scripts[_i].want) == 0, "%s: %s",
	    scripts[_i].name, out);
	ck_assert_int_eq(ring_start(r), scripts[_i].start);
	ck_assert_int_eq(ring_end(r), scripts[_i].end);
	ck_assert_int_eq(ring_dropped(r), scripts[_i].dropped);
	ring_free(&r);
	ck_assert_ptr_null(r);
}
END_TEST

/* --- against a model -------------------------------------------------------
 */

static uint8_t bytes[MODEL_MAX], kinds[MODEL_MAX]; /* kind 3: dropped */
static int64_t got; /* the receiver has all before this */
static int64_t lost; /* that it was told of */

static void
model_put(struct ring *r, size_t len)
{
	int64_t at = ring_end(r), before = ring_dropped(r), dropped;
	int stream = arc4random_uniform(2) == 0 ? RING_STDOUT : RING_STDERR;
	size_t i;

	for (i = 0; i < len; i++) {
		bytes[at + (int64_t)i] = (uint8_t)arc4random();
		kinds[at + (int64_t)i] = (uint8_t)stream;
	}
	ring_put(r, stream, bytes + at, len);
	ck_assert_int_eq(ring_end(r), at + (int64_t)len);
	dropped = ring_dropped(r) - before;
	memset(kinds + at + (int64_t)len - dropped, RING_GAP, (size_t)dropped);
}

/* Take a chunk; every byte is the model's, at its place, of its stream. */
static bool
model_take(struct ring *r, size_t max)
{
	int64_t at = ring_cursor(r), i, span = 0;
	size_t n = ring_chunk(r, chunk, max);

	if (n == 0)
		return false;
	ck_assert_uint_le(n, max);
	if (chunk[0] == RING_GAP) {
		for (i = 0; i < CHUNK_GAP_LEN; i++)
			span = span << 8 | chunk[CHUNK_HEADER_LEN + i];
	} else {
		span = (int64_t)n - CHUNK_HEADER_LEN;
		ck_assert_mem_eq(
		    chunk + CHUNK_HEADER_LEN, bytes + at, (size_t)span);
	}
	ck_assert_int_gt(span, 0);
	for (i = at; i < at + span && kinds[i] == chunk[0]; i++)
		;
	ck_assert_int_eq(i, at + span);
	ck_assert_int_eq(ring_cursor(r), at + span);
	/* The receiver passes over what it has. */
	for (i = at; i < at + span; i++)
		if (i >= got && chunk[0] == RING_GAP)
			lost++;
	ck_assert_int_le(at, got);
	if (at + span > got)
		got = at + span;
	return true;
}

static void
model_step(struct ring *r, uint32_t flood)
{
	int64_t from = ring_start(r);

	switch (arc4random_uniform(8)) {
	case 0:
	case 1:
	case 2:
		if (ring_end(r) + flood < MODEL_MAX)
			model_put(r, arc4random_uniform(flood));
		break;
	case 3:
	case 4:
	case 5:
		(void)model_take(r, arc4random_uniform(200));
		break;
	case 6:
		ck_assert_int_eq(
		    ring_stored(r,
		        from + arc4random_uniform((uint32_t)(got - from + 1))),
		    0);
		break;
	default:
		/* A new link begins at what was last confirmed. */
		if (arc4random_uniform(10) == 0)
			ck_assert_int_eq(ring_seek(r, ring_start(r)), 0);
		break;
	}
}

START_TEST(model)
{
	static const uint32_t floods[] = { 4, 60, 300 };
	struct ring *r = ring_new(_i == 0 ? 64 : 1000);
	int64_t i, dropped = 0;
	int n;

	got = lost = 0;
	for (n = 0; n < RANDOM_ROUNDS; n++)
		model_step(r, floods[_i % 3]);
	while (model_take(r, 100))
		;
	ck_assert_int_eq(got, ring_end(r));
	for (i = 0; i < got; i++)
		dropped += kinds[i] == RING_GAP;
	ck_assert_int_eq(dropped, ring_dropped(r));
	ck_assert_int_eq(lost, dropped);
	ring_free(&r);
}
END_TEST

/* Byte by byte in turn: the table fills before the bytes do. */
START_TEST(pieces)
{
	struct ring *r = ring_new(4 * RING_PIECES_MAX);
	int64_t dropped = 0;
	int i;

	got = lost = 0;
	for (i = 0; i < 3 * RING_PIECES_MAX; i++) {
		uint8_t b = (uint8_t)i;

		bytes[i] = b;
		kinds[i] = i % 2 == 0 ? RING_STDOUT : RING_STDERR;
		ring_put(r, kinds[i], &b, 1);
		if (ring_dropped(r) != dropped)
			kinds[i] = RING_GAP;
		dropped = ring_dropped(r);
	}
	ck_assert_int_eq(dropped, 2 * RING_PIECES_MAX + 1);
	while (model_take(r, 4000))
		ck_assert_int_eq(ring_stored(r, got - 1), 0);
	ck_assert_int_eq(got, 3 * RING_PIECES_MAX);
	ck_assert_int_eq(lost, dropped);
	ck_assert_int_eq(ring_stored(r, got), 0);
	ck_assert_uint_eq(r->npieces, 0);
	ck_assert_uint_eq(r->used, 0);
	ring_free(&r);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("entrypoint_ring");
	TCase *t = tcase_create("ring");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, script, 0, ROWS(scripts));
	tcase_add_loop_test(t, model, 0, 6);
	tcase_add_test(t, pieces);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
