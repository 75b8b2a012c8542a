/* Who may ask for what: by user, by group, and only when the table is whole. */

#include <sys/wait.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/conf_peers.h"
#include "libcommon/grants.h"
#include "libcommon/log.h"
#include "libcommon/proc.h"

enum {
	VERB_go,
	VERB_stop,
	VERB_status,
	VERB_MAX
};

static const char *const verbs[VERB_MAX] = { "go", "stop", "status" };

static void
setup(void)
{
	log_init("grants_test", 1, 0);
	grants_init(verbs, VERB_MAX);
}

static void
begin(const char *table, int64_t generation)
{
	const struct msg_table_begin m = { .table = table,
		.generation = generation };

	grants_begin(&m);
}

static void
row(bool group, uint32_t id, const char *may, const char *also)
{
	const char *v[] = { may, also };
	const struct msg_peer_row m = { .group = group,
		.id = id,
		.may = { .v = v, .n = also != NULL ? 2 : 1 } };

	grants_row(&m);
}

static void
end(const char *table, int64_t generation, int64_t count, size_t others)
{
	const struct msg_table_end m = {
		.table = table, .generation = generation, .count = count
	};

	grants_end(&m, others);
}

static void
load(void)
{
	begin("peers", 3);
	row(false, 10, "go", "stop");
	row(true, 77, "stop", NULL);
	row(false, 11, "status", "unheard");
	end("peers", 3, 3, 0);
}

static const struct {
	const char *name;
	uid_t uid;
	gid_t gid, group;
	unsigned asks;
	bool may;
} rows[] = {
	{ "its own", 10, 1, 0, GRANT(VERB_go), true },
	{ "its other", 10, 1, 0, GRANT(VERB_stop), true },
	{ "one that it has not", 10, 1, 0, GRANT(VERB_status), false },
	{ "any of two", 10, 1, 0, GRANT(VERB_status) | GRANT(VERB_go), true },
	{ "nobody", 12, 1, 0, GRANT(VERB_go), false },
	{ "by its group", 12, 77, 0, GRANT(VERB_stop), true },
	{ "by a further group", 12, 1, 77, GRANT(VERB_stop), true },
	{ "the group's alone", 12, 1, 77, GRANT(VERB_go), false },
	{ "a uid of the group's number", 77, 1, 0, GRANT(VERB_stop), false },
	{ "a group of the user's number", 12, 10, 10, GRANT(VERB_go), false },
	{ "a verb unheard of grants none", 11, 1, 0, GRANT(VERB_go), false },
	{ "but those beside it", 11, 1, 0, GRANT(VERB_status), true },
	{ "nothing", 10, 77, 77, 0, false },
};

START_TEST(test_rows)
{
	struct creds c = { .uid = rows[_i].uid,
		.gid = rows[_i].gid,
		.groups = { rows[_i].group },
		.ngroups = rows[_i].group != 0 };

	load();
	ck_assert_msg(
	    grants_may(&c, rows[_i].asks) == rows[_i].may, "%s", rows[_i].name);
}
END_TEST

/* Until the end is there the old one holds; then nothing of it is left. */
START_TEST(test_swap)
{
	const struct creds c = { .uid = 10, .gid = 1 };

	ck_assert(!grants_may(&c, ~0U));
	ck_assert_int_eq(grants_generation(), 0);
	load();
	ck_assert_int_eq(grants_generation(), 3);
	ck_assert(!grants_loading());
	begin("peers", 4);
	row(false, 10, "status", NULL);
	ck_assert(grants_loading());
	ck_assert(grants_may(&c, GRANT(VERB_go)));
	ck_assert(!grants_may(&c, GRANT(VERB_status)));
	/* Two rows of another kind. */
	end("peers", 4, 3, 2);
	ck_assert(!grants_may(&c, GRANT(VERB_go)));
	ck_assert(grants_may(&c, GRANT(VERB_status)));
	ck_assert_int_eq(grants_generation(), 4);
}
END_TEST

/* What our own parent would never send: it is broken or taken. */
START_TEST(test_bad)
{
	pid_t pid;
	int status, i;

	ck_assert_int_ne(pid = fork(), -1);
	if (pid == 0) {
		if (_i != 1)
			begin(_i == 0 ? "policy" : "peers", 1);
		if (_i == 2)
			begin("peers", 2);
		for (i = 0; _i == 3 && i < CONF_PEERS_MAX; i++)
			row(false, 1, "go", NULL);
		row(false, 1, "go", NULL);
		end(_i == 4 ? "policy" : "peers", _i == 5 ? 2 : 1,
		    _i == 6 ? 2 : 1, _i == 7 ? 1 : 0);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	/* The last one is a whole table, so that the others prove something. */
	ck_assert_msg(WIFEXITED(status) &&
	        WEXITSTATUS(status) == (_i == 8 ? 0 : EXIT_INTERNAL),
	    "row %d: wait status %d", _i, status);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("grants");
	TCase *tc = tcase_create("grants");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_loop_test(tc, test_rows, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(tc, test_swap);
	tcase_add_loop_test(tc, test_bad, 0, 9);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
