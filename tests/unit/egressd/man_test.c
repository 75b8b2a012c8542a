/*
 * egressd.8 against the tables of the code: each key, answer, tunnel end and
 * record, in both directions, and the example is a configuration.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/fd.h"
#include "libcommon/msg.h"

#include "egressd/egressd_config.h"

#define PAGE_MAX (256 * 1024)
#define LIST_MAX 8192

static char *page;

static void
load_page(void)
{
	size_t len;

	ck_assert_int_eq(fd_read_path(SOURCE_DIR "/egressd/egressd.8", PAGE_MAX,
	                     &page, &len),
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
	{ ".Ss Top level", egress_keys_top },
	{ ".Ss Users", egress_keys_users },
	{ ".Ss Peers", egress_keys_peer },
	{ ".Ss Listeners", egress_keys_listener },
	{ ".Ss Profiles", egress_keys_profile },
	{ ".Ss Rules", egress_keys_rule },
};

/* The order may differ: the page explains, the table is read. */
START_TEST(test_keys)
{
	char list[LIST_MAX], *text, *word, *rest = list;
	const struct conf_key *k;
	size_t found = 0, known = 0;

	text = section(page, tables[_i].head);
	items(text, ".It Ic ", list);
	for (k = tables[_i].keys; k->name != NULL; k++)
		known++;
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

START_TEST(test_codes)
{
	static const struct {
		const char *name;
		int status;
	} codes[] = {
#define CODE(id, status, error, sentence) { #id, status },
#include "egressd/codes.def"
	};
	char list[LIST_MAX], want[LIST_MAX] = "", row[128], *text;
	size_t i;

	for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		snprintf(row, sizeof(row), "%s Pq %d\n", codes[i].name,
		    codes[i].status);
		strlcat(want, row, sizeof(want));
	}
	text = section(page, ".Sh ANSWERS");
	items(text, ".It Cm ", list);
	ck_assert_str_eq(list, want);
	free(text);
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
	char list[LIST_MAX], want[LIST_MAX] = "", row[128], *text;
	size_t i;

	for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		snprintf(row, sizeof(row),
		    ends[i].alert != 0 ? "%s Pq alert %d\n" : "%s\n",
		    ends[i].name, ends[i].alert);
		strlcat(want, row, sizeof(want));
	}
	text = section(page, ".Sh TUNNEL ENDS");
	items(text, ".It Cm ", list);
	ck_assert_str_eq(list, want);
	free(text);
}
END_TEST

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
		/* What a queue records is dispatchd's. */
		if (strncmp(records[i].wire, "rec.", 4) != 0 ||
		    (records[i].from & SIDE_QUEUE) != 0)
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

/* It reads without a word on any machine that has a hosts file. */
START_TEST(test_example)
{
	struct egress_config *cfg;
	char *text, *start, *end;
	struct conf *c;
	size_t i;

	text = section(page, ".Sh EXAMPLES");
	start = strstr(text, "\n.Bd -literal -offset indent\n{\n");
	ck_assert_ptr_nonnull(start);
	start = strchr(start + 1, '\n') + 1;
	end = strstr(start, "\n.Ed\n");
	ck_assert_ptr_nonnull(end);
	end[1] = '\0';
	cfg = egress_config_read("example", start, strlen(start), &c);
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

	tcase_add_checked_fixture(tc, load_page, free_page);
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
