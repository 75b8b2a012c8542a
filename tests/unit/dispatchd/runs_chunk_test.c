#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "dispatchd/runs_chunk.h"

#define OUT(n) 1, 0, 0, 0, 0, 0, 0, n
#define ERR(n) 2, 0, 0, 0, 0, 0, 0, n
#define GAP 3, 0, 0, 0, 0, 0, 0, 8

static const struct {
	const char *name;
	uint8_t bytes[32];
	size_t len;
	int bad, whole;
	const char *out, *err; /* what comes of each */
	int64_t gap;
} rows[] = {
	{ "nothing", { 0 }, 0, 0, 1, "", "", 0 },
	{ "one", { OUT(3), 'a', 'b', 'c' }, 11, 0, 1, "abc", "", 0 },
	{ "both", { OUT(1), 'a', ERR(2), 'b', 'c' }, 19, 0, 1, "a", "bc", 0 },
	{ "a gap between", { OUT(1), 'a', GAP, 0, 0, 0, 0, 0, 0, 1, 2 }, 25, 0,
	    1, "a", "", 258 },
	{ "the largest gap", { GAP, 0x7f, 255, 255, 255, 255, 255, 255, 255 },
	    16, 0, 1, "", "", INT64_MAX },
	{ "cut in its header", { OUT(1) }, 5, 0, 0, "", "", 0 },
	{ "cut in its data", { OUT(3), 'a' }, 9, 0, 0, "a", "", 0 },
	{ "cut in its gap", { GAP, 0, 0 }, 10, 0, 0, "", "", 0 },
	{ "no kind", { 0, 0, 0, 0, 0, 0, 0, 1 }, 8, 1, 0, "", "", 0 },
	{ "another kind", { 4, 0, 0, 0, 0, 0, 0, 1 }, 8, 1, 0, "", "", 0 },
	{ "not zero", { 1, 0, 1, 0, 0, 0, 0, 1 }, 8, 1, 0, "", "", 0 },
	{ "no length", { OUT(0) }, 8, 1, 0, "", "", 0 },
	{ "too long", { 1, 0, 0, 0, 0, 0, 0x80, 1 }, 8, 1, 0, "", "", 0 },
	{ "a gap of 7", { 3, 0, 0, 0, 0, 0, 0, 7 }, 8, 1, 0, "", "", 0 },
	{ "a gap of none", { GAP }, 16, 1, 0, "", "", 0 },
	{ "a negative gap", { GAP, 0x80 }, 16, 1, 0, "", "", 0 },
	{ "behind a good one", { OUT(1), 'a', 9, 0, 0, 0, 0, 0, 0, 1 }, 17, 1,
	    0, "a", "", 0 },
};

/* The same in pieces of every size. */
START_TEST(test_read)
{
	char out[32], err[32];
	struct chunk_reader r;
	size_t piece, off, n;
	ptrdiff_t used = 0;
	struct chunk c;
	int64_t gap;

	for (piece = 1; piece <= sizeof(rows[_i].bytes); piece++) {
		memset(&r, 0, sizeof(r));
		memset(out, 0, sizeof(out));
		memset(err, 0, sizeof(err));
		gap = used = 0;
		for (off = 0; off < rows[_i].len; off += (size_t)used) {
			n = rows[_i].len - off;
			used = chunk_read(&r, rows[_i].bytes + off,
			    n < piece ? n : piece, &c);
			if (used == -1)
				break;
			ck_assert_int_gt(used, 0);
			gap += c.gap;
			if (c.len > 0)
				strncat(c.kind == CHUNK_OUT ? out : err,
				    (const char *)c.data, c.len);
		}
		ck_assert_int_eq(used == -1, rows[_i].bad);
		ck_assert_str_eq(out, rows[_i].out);
		ck_assert_str_eq(err, rows[_i].err);
		ck_assert_int_eq(gap, rows[_i].gap);
		if (!rows[_i].bad)
			ck_assert_int_eq(chunk_whole(&r) != 0, rows[_i].whole);
	}
}
END_TEST

START_TEST(test_put)
{
	static const uint8_t header[] = { 2, 0, 0, 0, 0, 0, 0x12, 0x34 };
	static const uint8_t gap[] = { 3, 0, 0, 0, 0, 0, 0, 8, 1, 2, 3, 4, 5, 6,
		7, 8 };
	uint8_t buf[CHUNK_HEADER_LEN + CHUNK_GAP_LEN];

	chunk_put_header(buf, CHUNK_ERR, 0x1234);
	ck_assert_mem_eq(buf, header, sizeof(header));
	chunk_put_gap(buf, 0x0102030405060708);
	ck_assert_mem_eq(buf, gap, sizeof(gap));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("runs_chunk");
	TCase *tc = tcase_create("chunk");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(
	    tc, test_read, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_test(tc, test_put);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
