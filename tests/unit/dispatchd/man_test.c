/*
 * dispatchd.8 against the tables of the code: each key and record, in both
 * directions, and the example is a configuration.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/fd.h"
#include "libcommon/msg.h"

#include "dispatchd/dispatchd_config.h"

#include "tests/unit/dispatchd/dispatch_fixture.h"

#define PAGE_MAX (256 * 1024)
#define LIST_MAX 8192

static char *page;

static void
load_page(void)
{
	size_t len;

	ck_assert_int_eq(fd_read_path(SOURCE_DIR "/dispatchd/dispatchd.8",
	                     PAGE_MAX, &page, &len),
	    0);
	ck_assert_uint_eq(strlen(page), len);
}

static void
free_page(void)
{
	free(page);
	page = NULL;
}

/* The text from behind a line to before the next section of its kind. */
static char *
section(const char *text, const char *head)
{
	char line[128], *copy;
	const char *start, *end;
	size_t len;

	snprintf(line, sizeof(line), "\n%s\n", head);
	start = strstr(text, line);
	ck_assert_msg(start != NULL, "no %s", head);
	start += strlen(line);
	end = strstr(start, "\n.Sh ");
	len = end != NULL ? (size_t)(end - start) + 1 : strlen(start);
	if (strncmp(head, ".Ss", 3) == 0) {
		end = strstr(start, "\n.Ss ");
		if (end != NULL && (size_t)(end - start) < len)
			len = (size_t)(end - start) + 1;
	}
	copy = strndup(start, len);
	ck_assert_ptr_nonnull(copy);
	return copy;
}

/* What stands behind each line that starts with mark, a line each. */
static void
items(char *text, const char *mark, char list[LIST_MAX])
{
	char *line, *rest = text;

	list[0] = '\0';
	while ((line = strsep(&rest, "\n")) != NULL) {
		if (strncmp(line, mark, strlen(mark)) != 0)
			continue;
		strlcat(list, line + strlen(mark), LIST_MAX);
		strlcat(list, "\n", LIST_MAX);
	}
}

static const struct {
	const char *head;
	const struct conf_key *keys;
} tables[] = {
	{ ".Ss Top level", dispatch_keys_top },
	{ ".Ss Users", dispatch_keys_users },
	{ ".Ss Engine", dispatch_keys_engine },
	{ ".Ss Capacity", dispatch_keys_capacity },
	{ ".Ss Peers", dispatch_keys_peer },
	{ ".Ss Tools", dispatch_keys_tool },
	{ ".Ss Profiles", dispatch_keys_profile },
};

/* The order may differ: the page explains, the table is read. */
START_TEST(test_keys)
{
	char list[LIST_MAX], *text, *word, *rest = list;
	const struct conf_key *k;
	size_t found = 0, known = 0;

	text = section(page, tables[_i].head);
	items(text, ".It Ic ", list);
	/* Those of later versions are refused, and not described. */
	for (k = tables[_i].keys; k->name != NULL; k++)
		known += k->type != CONF_LATER;
	while ((word = strsep(&rest, "\n")) != NULL && *word != '\0') {
		for (k = tables[_i].keys; k->name != NULL; k++) {
			if (strcmp(k->name, word) == 0)
				break;
		}
		ck_assert_msg(
		    k->name != NULL, "%s: no key %s", tables[_i].head, word);
		found++;
	}
	/* None is there twice, so none is missing. */
	ck_assert_msg(found == known, "%s: %zu keys of %zu", tables[_i].head,
	    found, known);
	free(text);
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
	static const struct {
		const char *wire;
		unsigned from;
	} records[] = {
#define MSG(id, wire, from, to, kind, answer, flags, doc) { wire, from },
#define STRING(id, name, min, max, flags)
#define INT(id, name, min, max, flags)
#define BOOL(id, name, flags)
#define LIST(id, name, count, max, flags)
#define MAP(id, name, count, max, flags)
#define END(id)
#include "libcommon/msg.def"
	};
	char list[LIST_MAX], want[LIST_MAX] = "", *text;
	size_t i;

	for (i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		if (strncmp(records[i].wire, "rec.", 4) != 0 ||
		    !is_ours(records[i].wire, records[i].from))
			continue;
		strlcat(want, records[i].wire + 4, sizeof(want));
		strlcat(want, "\n", sizeof(want));
	}
	text = section(page, ".Sh RECORDS");
	items(text, ".It Cm ", list);
	ck_assert_str_eq(list, want);
	free(text);
}
END_TEST

START_TEST(test_statuses)
{
	char list[LIST_MAX], *text;

	text = section(page, ".Sh EXIT STATUS");
	items(text, ".It ", list);
	ck_assert_str_eq(list, "0\n1\n70\n71\n78\n");
	free(text);
}
END_TEST

START_TEST(test_example)
{
	char *text, *start, *end, said[SAID_MAX];
	struct dispatch_config *cfg;

	text = section(page, ".Sh EXAMPLES");
	start = strstr(text, "\n.Bd -literal -offset indent\n{\n");
	ck_assert_ptr_nonnull(start);
	start = strchr(start + 1, '\n') + 1;
	end = strstr(start, "\n.Ed\n");
	ck_assert_ptr_nonnull(end);
	end[1] = '\0';
	/* The certificates of the machine that the fixture plays. */
	start = strdup(start);
	ck_assert_ptr_nonnull(start);
	end = strstr(start, "/etc/bulkhead/ca.pem");
	ck_assert_ptr_nonnull(end);
	memmove(end, end + strlen("/etc/bulkhead"),
	    strlen(end + strlen("/etc/bulkhead")) + 1);
	cfg = fixture_read(start, said);
	ck_assert_str_eq(said, "");
	ck_assert_ptr_nonnull(cfg);
	ck_assert_uint_eq(cfg->npeers, 1);
	ck_assert_uint_eq(cfg->ntools, 3);
	ck_assert_uint_eq(cfg->nprofiles, 1);
	dispatch_config_free(&cfg);
	free(start);
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

	tcase_add_checked_fixture(tc, load_page, free_page);
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
