/* What a reload cannot change. */

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "dispatch_fixture.h"
#include "dispatchd/dispatchd_parent.h"

static struct dispatch_config *
with(const char *member)
{
	struct dispatch_config *c;
	char text[512], said[SAID_MAX];

	(void)snprintf(text, sizeof(text),
	    "{%s%s\"tools\": {\"sh\": {\"argv\": [\"/bin/sh\"],"
	    " \"prompt\": \"stdin\"}}, \"profiles\": {}}",
	    member, member[0] != '\0' ? ", " : "");
	c = fixture_read(text, said);
	ck_assert_msg(c != NULL, "%s", said);
	return c;
}

static const struct {
	const char *member, *key; /* NULL: it may change */
} rows[] = {
	{ "", NULL },
	{ "\"proxy_port\": 3128", NULL }, /* as it is anyway */
	{ "\"proxy_port\": 4000", "proxy_port" },
	{ "\"network_pool\": \"10.9.0.0/16\"", "network_pool" },
	{ "\"egressd\": \"/elsewhere/egressd.sock\"", "egressd" },
	{ "\"state\": \"/elsewhere/state\"", "state" },
	{ "\"interface_prefix\": \"zz-\"", "interface_prefix" },
	{ "\"keep_runs\": 3", NULL },
};

START_TEST(test_fixed)
{
	struct dispatch_config *was = with(""), *is = with(rows[_i].member);

	ck_assert_pstr_eq(dispatch_config_fixed(was, is), rows[_i].key);
	dispatch_config_free(&was);
	dispatch_config_free(&is);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("dispatchd_reload");
	TCase *tc = tcase_create("reload");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, test_fixed, 0, sizeof(rows) / sizeof(rows[0]));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
