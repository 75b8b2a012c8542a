/* libcommon/frame.c */

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/frame.c"

static const struct parse_row {
	const char *name;
	const char *bytes;
	size_t len;
	size_t ctl_max;
	ssize_t want;
	const char *why; /* want is -1 */
	enum frame_kind kind;
	uint32_t stream;
	size_t data_len;
} parse_rows[] = {
	{ "nothing", "", 0, 4096, 0, NULL, 0, 0, 0 },
	{ "three bytes", "\x00\x00\x00", 3, 4096, 0, NULL, 0, 0, 0 },
	{ "header alone", "\x00\x00\x00\x02", 4, 4096, 0, NULL, 0, 0, 0 },
	{ "one byte short", "\x00\x00\x00\x02{", 5, 4096, 0, NULL, 0, 0, 0 },
	{ "whole", "\x00\x00\x00\x02{}", 6, 4096, 6, NULL, FRAME_CONTROL, 0,
	    2 },
	{ "whole and more", "\x00\x00\x00\x02{}xx", 8, 4096, 6, NULL,
	    FRAME_CONTROL, 0, 2 },
	{ "empty", "\x00\x00\x00\x00", 4, 4096, -1, "empty control frame", 0, 0,
	    0 },
	{ "at the limit", "\x00\x00\x10\x00", 4, 4096, 0, NULL, 0, 0, 0 },
	{ "over the limit", "\x00\x00\x10\x01", 4, 4096, -1,
	    "control frame over its limit", 0, 0, 0 },
	{ "at 64 KiB", "\x00\x01\x00\x00", 4, FRAME_CTL_MAX, 0, NULL, 0, 0, 0 },
	{ "over 64 KiB", "\x00\x01\x00\x01", 4, FRAME_CTL_MAX, -1,
	    "control frame over its limit", 0, 0, 0 },
	{ "over 1 MiB", "\x00\x10\x00\x01", 4, FRAME_CTL_BIG_MAX, -1,
	    "control frame over its limit", 0, 0, 0 },
	{ "2 GiB less 1", "\x7f\xff\xff\xff", 4, FRAME_CTL_BIG_MAX, -1,
	    "control frame over its limit", 0, 0, 0 },
	{ "data",
	    "\x80\x00\x00\x07\x01\x02\x03\x04"
	    "abc",
	    11, 4096, 11, NULL, FRAME_DATA, 0x01020304, 3 },
	{ "data, stream of all ones",
	    "\x80\x00\x00\x05\xff\xff\xff\xff"
	    "a",
	    9, 4096, 9, NULL, FRAME_DATA, 0xffffffff, 1 },
	{ "data, short",
	    "\x80\x00\x00\x07\x01\x02\x03\x04"
	    "ab",
	    10, 4096, 0, NULL, 0, 0, 0 },
	{ "data of length 0", "\x80\x00\x00\x00", 4, 4096, -1,
	    "data frame without a stream id", 0, 0, 0 },
	{ "data, half a stream id", "\x80\x00\x00\x03", 4, 4096, -1,
	    "data frame without a stream id", 0, 0, 0 },
	{ "data without bytes", "\x80\x00\x00\x04", 4, 4096, -1,
	    "empty data frame", 0, 0, 0 },
	{ "data at its limit", "\x80\x00\x80\x04", 4, 4096, 0, NULL, 0, 0, 0 },
	{ "data over its limit", "\x80\x00\x80\x05", 4, FRAME_CTL_BIG_MAX, -1,
	    "data frame over its limit", 0, 0, 0 },
	{ "all ones", "\xff\xff\xff\xff", 4, FRAME_CTL_BIG_MAX, -1,
	    "data frame over its limit", 0, 0, 0 },
};

START_TEST(parse)
{
	const struct parse_row *r = &parse_rows[_i];
	const struct frame untouched = { .kind = FRAME_DATA, .stream = 77 };
	struct frame f = untouched;
	const char *why = "untouched";
	uint8_t *buf;
	ssize_t got;

	/* On the heap, so that one byte too far is seen. */
	buf = malloc(r->len > 0 ? r->len : 1);
	ck_assert_ptr_nonnull(buf);
	memcpy(buf, r->bytes, r->len);
	got = frame_parse(buf, r->len, r->ctl_max, &f, &why);
	ck_assert_msg(got == r->want, "%s: %zd", r->name, got);
	if (got == -1)
		ck_assert_str_eq(why, r->why);
	else
		ck_assert_str_eq(why, "untouched");
	if (got > 0) {
		ck_assert_int_eq(f.kind, r->kind);
		ck_assert_uint_eq(f.stream, r->stream);
		ck_assert_uint_eq(f.len, r->data_len);
		ck_assert_ptr_eq(f.data, buf + got - f.len);
	} else {
		ck_assert_mem_eq(&f, &untouched, sizeof(f));
	}
	free(buf);
}
END_TEST

static const struct put_row {
	const char *name;
	size_t len;
	const char *want;
} control_rows[] = {
	{ "1", 1, "\x00\x00\x00\x01" },
	{ "258", 258, "\x00\x00\x01\x02" },
	{ "64 KiB", FRAME_CTL_MAX, "\x00\x01\x00\x00" },
	{ "1 MiB", FRAME_CTL_BIG_MAX, "\x00\x10\x00\x00" },
	{ "over: no frame", FRAME_CTL_BIG_MAX + 1, "\x00\x00\x00\x00" },
	{ "far over: no frame", SIZE_MAX, "\x00\x00\x00\x00" },
}, data_rows[] = {
	{ "1", 1, "\x80\x00\x00\x05" },
	{ "32 KiB", FRAME_DATA_MAX, "\x80\x00\x80\x04" },
	{ "over: no frame", FRAME_DATA_MAX + 1, "\x80\x00\x00\x00" },
	{ "far over: no frame", SIZE_MAX, "\x80\x00\x00\x00" },
};

START_TEST(put_control)
{
	const struct put_row *r = &control_rows[_i];
	uint8_t hdr[FRAME_HEADER_LEN];

	frame_put_control(hdr, r->len);
	ck_assert_mem_eq(hdr, r->want, sizeof(hdr));
}
END_TEST

START_TEST(put_data)
{
	const struct put_row *r = &data_rows[_i];
	uint8_t hdr[FRAME_DATA_HEADER_LEN];

	frame_put_data(hdr, 0xa1b2c3d4, r->len);
	ck_assert_mem_eq(hdr, r->want, FRAME_HEADER_LEN);
	ck_assert_mem_eq(hdr + FRAME_HEADER_LEN, "\xa1\xb2\xc3\xd4", 4);
}
END_TEST

/* A stream of frames comes back whole, however it is cut. */
START_TEST(split)
{
	uint8_t buf[64];
	struct frame f;
	const char *why;
	size_t n, total;

	frame_put_control(buf, 2);
	memcpy(buf + 4, "{}", 2);
	frame_put_data(buf + 6, 9, 3);
	memcpy(buf + 14, "xyz", 3);
	total = 17;
	for (n = 0; n < 6; n++)
		ck_assert_int_eq(frame_parse(buf, n, 4096, &f, &why), 0);
	ck_assert_int_eq(frame_parse(buf, total, 4096, &f, &why), 6);
	for (n = 0; n < 11; n++)
		ck_assert_int_eq(frame_parse(buf + 6, n, 4096, &f, &why), 0);
	ck_assert_int_eq(frame_parse(buf + 6, 11, 4096, &f, &why), 11);
	ck_assert_uint_eq(f.stream, 9);
	ck_assert_mem_eq(f.data, "xyz", 3);
}
END_TEST

#define NROWS(rows) ((int)(sizeof(rows) / sizeof((rows)[0])))

int
main(void)
{
	Suite *s;
	TCase *tc;
	SRunner *sr;
	int failed;

	s = suite_create("frame");
	tc = tcase_create("frame");
	tcase_add_loop_test(tc, parse, 0, NROWS(parse_rows));
	tcase_add_loop_test(tc, put_control, 0, NROWS(control_rows));
	tcase_add_loop_test(tc, put_data, 0, NROWS(data_rows));
	tcase_add_test(tc, split);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
