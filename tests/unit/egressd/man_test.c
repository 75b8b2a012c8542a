/*
 * egressd.8 against the tables of the code: each key, answer, tunnel end and
 * record, in both directions, and the example is a configuration.
 */

#include "egressd/egressd_config.h"

#include "tests/unit/man.h"

static void
load_page(void)
{
	man_load(SOURCE_DIR "/egressd/egressd.8");
}

static const struct man_keys tables[] = {
	{ ".Ss Top level", egress_keys_top },
	{ ".Ss Users", egress_keys_users },
	{ ".Ss Peers", egress_keys_peer },
	{ ".Ss Listeners", egress_keys_listener },
	{ ".Ss Profiles", egress_keys_profile },
	{ ".Ss Rules", egress_keys_rule },
};

START_TEST(test_keys)
{
	man_check_keys(&tables[_i]);
}
END_TEST

START_TEST(test_codes)
{
	static const struct {
		const char *name;
		int status;
	} codes[] = {
#define CODE(id, status, error, sentence) { #id, status },
#include "egressd/codes.def"
	};
	char list[MAN_LIST_MAX], want[MAN_LIST_MAX] = "", row[128];
	size_t i;

	for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		snprintf(row, sizeof(row), "%s Pq %d\n", codes[i].name,
		    codes[i].status);
		strlcat(want, row, sizeof(want));
	}
	man_items(".Sh ANSWERS", ".It Cm ", list);
	ck_assert_str_eq(list, want);
}
END_TEST

START_TEST(test_ends)
{
	static const struct {
		const char *name;
		int alert;
	} ends[] = {
#define END(id, alert) { #id, alert },
#include "egressd/ends.def"
	};
	char list[MAN_LIST_MAX], want[MAN_LIST_MAX] = "", row[128];
	size_t i;

	for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		snprintf(row, sizeof(row),
		    ends[i].alert != 0 ? "%s Pq alert %d\n" : "%s\n",
		    ends[i].name, ends[i].alert);
		strlcat(want, row, sizeof(want));
	}
	man_items(".Sh TUNNEL ENDS", ".It Cm ", list);
	ck_assert_str_eq(list, want);
}
END_TEST

/* What a queue records is dispatchd's. */
static bool
is_ours(const char *wire, unsigned from)
{
	return (from & SIDE_QUEUE) == 0;
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

/* It reads without a word on any machine that has a hosts file. */
START_TEST(test_example)
{
	struct egress_config *cfg;
	char *text = man_example();
	struct conf *c;
	size_t i;

	cfg = egress_config_read("example", text, strlen(text), &c);
	for (i = 0; i < conf_errors(c); i++)
		ck_assert_msg(0, "%s", conf_error_text(c, i));
	for (i = 0; i < conf_warnings(c); i++)
		ck_assert_msg(0, "%s", conf_warning_text(c, i));
	ck_assert_ptr_nonnull(cfg);
	ck_assert_uint_eq(cfg->nlisteners, 1);
	ck_assert_uint_eq(cfg->npeers, 1);
	ck_assert_uint_eq(cfg->nservers, 2);
	ck_assert_uint_eq(cfg->profiles[0].nrules, 4);
	ck_assert_str_eq(cfg->profiles[0].rules[2].host, "git.demo.internal");
	ck_assert_int_eq(
	    cfg->profiles[0].rules[2].bytes_up, INT64_C(512) * 1024 * 1024);
	ck_assert(cfg->profiles[0].rules[3].deny);
	egress_config_free(&cfg);
	free(text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("egressd.8");
	TCase *tc = tcase_create("man");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, load_page, man_free);
	tcase_add_loop_test(
	    tc, test_keys, 0, sizeof(tables) / sizeof(tables[0]));
	tcase_add_test(tc, test_codes);
	tcase_add_test(tc, test_ends);
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
