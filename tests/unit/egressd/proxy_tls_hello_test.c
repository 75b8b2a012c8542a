/* One ClientHello: what is read in it, and what is refused. */

#include <check.h>
#include <stdlib.h>

#include "egressd/egressd.h"
#include "hello_builder.h"

struct row {
	const char *name;
	struct hello_spec h;
	int r;
	bool has_sni, sni_bad, has_ech;
	const char *sni;
};

#define NAME_255                                                           \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa." \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa." \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa." \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME_253                                                           \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa." \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa." \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa." \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* clang-format off */
static const struct row rows[] = {
	{ "D1 name", { .sni = "good.com" }, 0, true, false, false, "good.com" },
	{ "D1 upper case", { .sni = "GOOD.Com" }, 0, true, false, false,
	    "good.com" },
	{ "A5 trailing dot", { .sni = "good.com." }, 0, true, false, false,
	    "good.com" },
	{ "D1 longest name", { .sni = NAME_253 }, 0, true, false, false,
	    NAME_253 },
	{ "D3 no name", { .padding = 4 }, 0, false, false, false, "" },
	{ "D3 no extensions", { .no_extensions = true }, 0, false, false,
	    false, "" },
	{ "D3 a block of no extensions", { .no_extension_bytes = true }, 0,
	    false, false, false, "" },
	{ "D3 IPv4 as name", { .sni = "192.0.2.1" }, 0, true, true, false,
	    "" },
	{ "D3 IPv6 as name", { .sni = "2001:db8::1" }, 0, true, true, false,
	    "" },
	{ "D3 IPv6 in brackets", { .sni = "[::1]" }, 0, true, true, false,
	    "" },
	{ "A9 number as name", { .sni = "2130706433" }, 0, true, true, false,
	    "" },
	{ "name with a port", { .sni = "good.com:443" }, 0, true, true, false,
	    "" },
	{ "name with a space", { .sni = "good.com " }, 0, true, true, false,
	    "" },
	{ "name of dots", { .sni = ".." }, 0, true, true, false, "" },
	{ "name in UTF-8", { .sni = "b\303\274cher.de" }, 0, true, true,
	    false, "" },
	{ "name of 255 bytes", { .sni = NAME_255 }, 0, true, true, false,
	    "" },
	{ "H1 escape in the name", { .sni = "\033[2J\r\n" }, 0, true, true,
	    false, "" },

	{ "D5 key share of 1216", { .sni = "good.com", .key_share = 1216 }, 0,
	    true, false, false, "good.com" },
	{ "D5 key share of 17000", { .sni = "good.com", .key_share = 17000 },
	    0, true, false, false, "good.com" },
	{ "D5 key share of 60000", { .sni = "good.com", .key_share = 60000 },
	    0, true, false, false, "good.com" },
	{ "D5 padding behind", { .sni = "good.com", .padding = 40000 }, 0,
	    true, false, false, "good.com" },
	{ "longest session_id", { .sni = "good.com", .session = 32 }, 0, true,
	    false, false, "good.com" },
	{ "65534 bytes of suites", { .sni = "good.com", .suites = 65534 }, 0,
	    true, false, false, "good.com" },

	{ "D6 name_type 1", { .sni = "good.com", .name_type = 1 }, -1,
	    false, false, false, NULL },
	{ "D6 name_type 255", { .sni = "good.com", .name_type = 255 }, -1,
	    false, false, false, NULL },
	{ "D6 two names", { .sni = "good.com", .sni2 = "evil.com" }, -1,
	    false, false, false, NULL },
	{ "D6 the same name twice", { .sni = "good.com", .sni2 = "good.com" },
	    -1, false, false, false, NULL },
	{ "D6 the extension twice", { .sni = "good.com", .sni_twice = true },
	    -1, false, false, false, NULL },
	{ "D6 another extension twice",
	    { .sni = "good.com", .ext = { 10, 13, 10 }, .next = 3 }, -1,
	    false, false, false, NULL },
	{ "D6 a GREASE extension twice",
	    { .sni = "good.com", .ext = { 0x2a2a }, .next = 1 }, -1, false,
	    false, false, NULL },
	{ "D6 NUL in the name", { .sni = "good.com\0.x", .sni_len = 11 }, -1,
	    false, false, false, NULL },
	{ "D6 NUL behind the name", { .sni = "good.com", .sni_len = 9 }, -1,
	    false, false, false, NULL },
	{ "D6 NUL before the name", { .sni = "\0good.com", .sni_len = 9 }, -1,
	    false, false, false, NULL },
	{ "D6 empty name", { .sni = "" }, -1, false, false, false, NULL },
	{ "D6 name of 256 bytes", { .sni = NAME_255 "a" }, -1, false, false,
	    false, NULL },
	{ "D6 empty list", { .sni_empty = true }, -1, false, false, false,
	    NULL },
	{ "D6 no list", { .sni_void = true }, -1, false, false, false,
	    NULL },
	{ "D6 a byte behind the list",
	    { .sni = "good.com", .sni_behind = 1 }, -1, false, false, false,
	    NULL },
	{ "D6 name shorter than it says",
	    { .sni = "good.com", .lie_sni_name = 1 }, -1, false, false,
	    false, NULL },
	{ "D6 name longer than it says",
	    { .sni = "good.com", .lie_sni_name = -1 }, -1, false, false,
	    false, NULL },
	{ "D6 list shorter than it says",
	    { .sni = "good.com", .lie_sni_list = 1 }, -1, false, false,
	    false, NULL },
	{ "D6 list longer than it says",
	    { .sni = "good.com", .lie_sni_list = -1 }, -1, false, false,
	    false, NULL },
	{ "D6 extension shorter than it says",
	    { .sni = "good.com", .lie_sni_ext = 1 }, -1, false, false, false,
	    NULL },
	{ "D6 extension longer than it says",
	    { .sni = "good.com", .lie_sni_ext = -1 }, -1, false, false,
	    false, NULL },
	{ "D6 another extension shorter than it says",
	    { .sni = "good.com", .lie_ext = 1 }, -1, false, false, false,
	    NULL },
	{ "D6 another extension longer than it says",
	    { .sni = "good.com", .lie_ext = -1 }, -1, false, false, false,
	    NULL },
	{ "D6 extensions shorter than they say",
	    { .sni = "good.com", .lie_extensions = 1 }, -1, false, false,
	    false, NULL },
	{ "D6 extensions longer than they say",
	    { .sni = "good.com", .lie_extensions = -1 }, -1, false, false,
	    false, NULL },
	{ "D6 a byte behind", { .sni = "good.com", .trailing = 1 }, -1, false,
	    false, false, NULL },
	{ "D6 bytes behind that look like an empty block",
	    { .sni = "good.com", .trailing = 2 }, -1, false, false, false,
	    NULL },
	{ "D6 a byte instead of extensions",
	    { .no_extensions = true, .trailing = 1 }, -1, false, false,
	    false, NULL },
	{ "D6 session_id of 33", { .sni = "good.com", .session = 33 }, -1,
	    false, false, false, NULL },
	{ "D6 session_id lies",
	    { .sni = "good.com", .session = 8, .lie_session = 1 }, -1, false,
	    false, false, NULL },
	{ "D6 no suites", { .sni = "good.com", .no_suites = true }, -1, false,
	    false, false, NULL },
	{ "D6 odd suites", { .sni = "good.com", .suites = 7 }, -1, false,
	    false, false, NULL },
	{ "D6 suites lie", { .sni = "good.com", .lie_suites = 2 }, -1, false,
	    false, false, NULL },
	{ "D6 no compression", { .sni = "good.com", .no_compression = true },
	    -1, false, false, false, NULL },
	{ "D6 compression lies",
	    { .sni = "good.com", .lie_compression = 200 }, -1, false, false,
	    false, NULL },
	{ "D6 version 2", { .sni = "good.com", .major = 2 }, -1, false, false,
	    false, NULL },
	{ "D6 DTLS", { .sni = "good.com", .major = 254 }, -1, false, false,
	    false, NULL },

	{ "D7 ECH", { .sni = "good.com", .ext = { 0xfe0d }, .next = 1 }, 0,
	    true, false, true, "good.com" },
	{ "D7 ECH draft 12", { .sni = "good.com", .ext = { 0xfe0c },
	    .next = 1 }, 0, true, false, true, "good.com" },
	{ "D7 ECH draft 11", { .sni = "good.com", .ext = { 0xfe0b },
	    .next = 1 }, 0, true, false, true, "good.com" },
	{ "D7 ECH draft 10", { .sni = "good.com", .ext = { 0xfe0a },
	    .next = 1 }, 0, true, false, true, "good.com" },
	{ "D7 ECH draft 9", { .sni = "good.com", .ext = { 0xfe09 },
	    .next = 1 }, 0, true, false, true, "good.com" },
	{ "D7 ECH draft 8", { .sni = "good.com", .ext = { 0xfe08 },
	    .next = 1 }, 0, true, false, true, "good.com" },
	{ "D7 ESNI", { .sni = "good.com", .ext = { 0xffce }, .next = 1 }, 0,
	    true, false, true, "good.com" },
	{ "D7 ECH without a name", { .ext = { 0xfe0d }, .next = 1 }, 0, false,
	    false, true, "" },
	{ "D7 the types around ECH",
	    { .sni = "good.com", .ext = { 0xfe07, 0xfe0e, 0xffcd, 0xffcf },
	    .next = 4 }, 0, true, false, false, "good.com" },
};
/* clang-format on */

#define NROWS ((int)(sizeof(rows) / sizeof(rows[0])))

static struct bytes body;

/* Of memory of its own, so that a read behind the end is seen. */
static int
parse_copy(const uint8_t *b, size_t n, struct tls_hello *hello)
{
	uint8_t *copy = malloc(n > 0 ? n : 1);
	int r;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, b, n);
	r = tls_hello_parse(copy, n, hello);
	free(copy);
	return r;
}

START_TEST(test_rows)
{
	const struct row *row = &rows[_i];
	struct tls_hello hello;
	int r;

	body.n = 0;
	put_hello_body(&body, &row->h);
	r = parse_copy(body.b, body.n, &hello);
	ck_assert_msg(r == row->r, "%s: got %d", row->name, r);
	if (r == -1)
		return;
	ck_assert_msg(hello.has_sni == row->has_sni, "%s: has_sni", row->name);
	ck_assert_msg(hello.sni_bad == row->sni_bad, "%s: sni_bad", row->name);
	ck_assert_msg(hello.has_ech == row->has_ech, "%s: has_ech", row->name);
	ck_assert_str_eq(hello.sni, row->sni);
}
END_TEST

/* D5, D6: no prefix of a hello is one, but that without its extensions. */
START_TEST(test_prefixes)
{
	static const struct hello_spec h = { .sni = "good.com",
		.session = 32,
		.key_share = 100,
		.ext = { 0xfe0d },
		.next = 1 };
	const size_t no_extensions = 2 + 32 + 33 + 8 + 2;
	struct tls_hello hello;
	size_t n;

	body.n = 0;
	put_hello_body(&body, &h);
	for (n = 0; n <= body.n; n++)
		ck_assert_msg(parse_copy(body.b, n, &hello) ==
		        (n == body.n || n == no_extensions ? 0 : -1),
		    "%zu of %zu bytes", n, body.n);
}
END_TEST

START_TEST(test_raw_name)
{
	static const struct {
		const char *sni, *want;
	} table[] = {
		{ "good.com", "good.com" },
		{ "GOOD.com.", "GOOD.com." },
		{ "\033[2J\r\n\"\\", "\\x1b[2J\\x0d\\x0a\"\\\\" },
		{ "\342\200\256", "\\xe2\\x80\\xae" },
		{ NAME_255, NAME_255 },
	};
	struct hello_spec h = { 0 };
	struct tls_hello hello;
	char name[256];
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		h.sni = table[i].sni;
		body.n = 0;
		put_hello_body(&body, &h);
		ck_assert_int_eq(parse_copy(body.b, body.n, &hello), 0);
		ck_assert_str_eq(hello.sni_raw, table[i].want);
	}

	/* 255 bytes of four characters each are cut at a whole one. */
	memset(name, 0x01, 255);
	name[255] = '\0';
	h.sni = name;
	body.n = 0;
	put_hello_body(&body, &h);
	ck_assert_int_eq(parse_copy(body.b, body.n, &hello), 0);
	ck_assert_uint_eq(strlen(hello.sni_raw), 252);
}
END_TEST

/* As many extensions as fit, all different: no work that grows squared. */
START_TEST(test_many_extensions)
{
	struct tls_hello hello;
	unsigned type;
	size_t start;
	int i;

	body.n = 0;
	put_hello_body(&body, &(struct hello_spec){ .no_extensions = true });
	start = hold_length(&body, 2);
	for (type = 0x0100; type < 0x0100 + 16000; type++)
		put_extension(&body, type, 0, 0);
	put_length(&body, start, 2, 0);
	for (i = 0; i < 200; i++)
		ck_assert_int_eq(tls_hello_parse(body.b, body.n, &hello), 0);
	put_extension(&body, 0x0100, 0, 0);
	put_length(&body, start, 2, 0);
	ck_assert_int_eq(tls_hello_parse(body.b, body.n, &hello), -1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("proxy_tls_hello");
	TCase *tc = tcase_create("hello");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, test_rows, 0, NROWS);
	tcase_add_test(tc, test_prefixes);
	tcase_add_test(tc, test_raw_name);
	tcase_add_test(tc, test_many_extensions);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
