#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/msg_encode.c"

/* Who asked is not told twice: audit_record.c writes it as `peer`. */
START_TEST(test_peer_fields)
{
	static const struct msg_field fields[] = {
		{ "run", FIELD_STRING, 12, 12, 0, FIELD_OPT | FIELD_NULL, 0 },
		{ "peer_uid", FIELD_INT, 0, 9999, 0, FIELD_PEER, 8 },
		{ "peer_pid", FIELD_INT, 0, 9999, 0, FIELD_PEER, 16 },
		{ "port", FIELD_INT, 0, 9999, 0, 0, 24 },
	};
	const struct msg_decl d = { .wire = "rec.x",
		.fields = fields,
		.nfields = sizeof(fields) / sizeof(fields[0]) };
	int64_t raw[4] = { 0, 1000, 77, 443 };
	struct msg m = { .type = MSG_TYPE_go };
	struct json_writer *w = json_writer_new(1000);
	const char *text;
	size_t len;

	memcpy(&m.u, raw, sizeof(raw));
	json_open_object(w);
	write_fields(&d, &m, w);
	json_close_object(w);
	ck_assert_int_eq(json_writer_end(w, &text, &len), 0);
	ck_assert_str_eq(text, "{\"run\":null,\"port\":443}");
	json_writer_free(&w);
	/* On the wire they are fields like others. */
	w = json_writer_new(1000);
	write_msg(&d, &m, w);
	ck_assert_int_eq(json_writer_end(w, &text, &len), 0);
	ck_assert_str_eq(text,
	    "{\"type\":\"rec.x\",\"peer_uid\":1000,\"peer_pid\":77,"
	    "\"port\":443}");
	json_writer_free(&w);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("msg_encode");
	TCase *t = tcase_create("all");
	SRunner *sr;
	int failed;

	tcase_add_test(t, test_peer_fields);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
