/*
 * dispatchd.8 against the tables of the code: each key and record, in both
 * directions, and the example is a configuration.
 */

#include "dispatchd/dispatchd_config.h"

#include "tests/unit/dispatchd/dispatch_fixture.h"
#include "tests/unit/man.h"

static void
load_page(void)
{
	man_load(SOURCE_DIR "/dispatchd/dispatchd.8");
}

static const struct man_keys tables[] = {
	{ ".Ss Top level", dispatch_keys_top },
	{ ".Ss Users", dispatch_keys_users },
	{ ".Ss Engine", dispatch_keys_engine },
	{ ".Ss Capacity", dispatch_keys_capacity },
	{ ".Ss Peers", dispatch_keys_peer },
	{ ".Ss Tools", dispatch_keys_tool },
	{ ".Ss Profiles", dispatch_keys_profile },
};

START_TEST(test_keys)
{
	man_check_keys(&tables[_i]);
}
END_TEST

/* The parent's and audit's, but for what egressd's alone records. */
static bool
is_ours(const char *wire, unsigned from)
{
	return (from & SIDE_QUEUE) != 0 || from == SIDE_AUDIT ||
	    (from == SIDE_PARENT && strcmp(wire, "rec.lockdown") != 0);
}

START_TEST(test_records)
{
	man_check_records(is_ours);
}
END_TEST

START_TEST(test_statuses)
{
	man_check_statuses();
}
END_TEST

START_TEST(test_example)
{
	char *text = man_example(), *end, said[SAID_MAX];
	struct dispatch_config *cfg;

	/* The certificates of the machine that the fixture plays. */
	end = strstr(text, "/etc/bulkhead/ca.pem");
	ck_assert_ptr_nonnull(end);
	memmove(end, end + strlen("/etc/bulkhead"),
	    strlen(end + strlen("/etc/bulkhead")) + 1);
	cfg = fixture_read(text, said);
	ck_assert_str_eq(said, "");
	ck_assert_ptr_nonnull(cfg);
	ck_assert_uint_eq(cfg->npeers, 1);
	ck_assert_uint_eq(cfg->ntools, 3);
	ck_assert_uint_eq(cfg->nprofiles, 1);
	dispatch_config_free(&cfg);
	free(text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("dispatchd.8");
	TCase *tc = tcase_create("man");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, load_page, man_free);
	tcase_add_loop_test(
	    tc, test_keys, 0, sizeof(tables) / sizeof(tables[0]));
	tcase_add_test(tc, test_records);
	tcase_add_test(tc, test_statuses);
	tcase_add_test(tc, test_example);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
