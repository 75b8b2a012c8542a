#ifndef TESTS_UNIT_MAN_H
#define TESTS_UNIT_MAN_H

/*
 * A daemon's manual against the tables of its code: each key and record, in
 * both directions. A test's program includes this once.
 */

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/conf.h"
#include "libcommon/fd.h"
#include "libcommon/msg.h"

#define MAN_PAGE_MAX (256 * 1024)
#define MAN_LIST_MAX 8192
#define MAN_HEAD_MAX 128

/* A section of keys, and the table that it is of. */
struct man_keys {
	const char *head; /* ".Ss Peers" */
	const struct conf_key *keys;
};

static char *man_page;

static inline void
man_load(const char *path)
{
	size_t len;

	ck_assert_int_eq(fd_read_path(path, MAN_PAGE_MAX, &man_page, &len), 0);
	ck_assert_uint_eq(strlen(man_page), len);
}

static inline void
man_free(void)
{
	free(man_page);
	man_page = NULL;
}

/* The text from behind a line to before the next section of its kind. */
static inline char *
man_section(const char *head)
{
	char line[MAN_HEAD_MAX], *copy;
	const char *start, *end;
	size_t len;

	snprintf(line, sizeof(line), "\n%s\n", head);
	start = strstr(man_page, line);
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

/* What stands in a section behind each line that starts with mark. */
static inline void
man_items(const char *head, const char *mark, char list[MAN_LIST_MAX])
{
	char *text = man_section(head), *line, *rest = text;

	list[0] = '\0';
	while ((line = strsep(&rest, "\n")) != NULL) {
		if (strncmp(line, mark, strlen(mark)) != 0)
			continue;
		strlcat(list, line + strlen(mark), MAN_LIST_MAX);
		strlcat(list, "\n", MAN_LIST_MAX);
	}
	free(text);
}

/* The order may differ: the page explains, the table is read. */
static inline void
man_check_keys(const struct man_keys *t)
{
	char list[MAN_LIST_MAX], *word, *rest = list;
	const struct conf_key *k;
	size_t found = 0, known = 0;

	man_items(t->head, ".It Ic ", list);
	/* Those of later versions are refused, and not described. */
	for (k = t->keys; k->name != NULL; k++)
		known += k->type != CONF_LATER;
	while ((word = strsep(&rest, "\n")) != NULL && *word != '\0') {
		for (k = t->keys; k->name != NULL; k++) {
			if (strcmp(k->name, word) == 0)
				break;
		}
		ck_assert_msg(k->name != NULL, "%s: no key %s", t->head, word);
		found++;
	}
	/* None is there twice, so none is missing. */
	ck_assert_msg(
	    found == known, "%s: %zu keys of %zu", t->head, found, known);
}

/* ours: does this daemon make that record, by who may send it? */
static inline void
man_check_records(bool (*ours)(const char *wire, unsigned from))
{
	char list[MAN_LIST_MAX], want[MAN_LIST_MAX] = "";
	const struct msg_decl *d;
	int type;

	for (type = MSG_TYPE_none + 1; type < MSG_TYPE_MAX; type++) {
		d = msg_decl((enum msg_type)type);
		if (strncmp(d->wire, "rec.", 4) != 0 || !ours(d->wire, d->from))
			continue;
		strlcat(want, d->wire + 4, sizeof(want));
		strlcat(want, "\n", sizeof(want));
	}
	man_items(".Sh RECORDS", ".It Cm ", list);
	ck_assert_str_eq(list, want);
}

/* Those of every daemon. */
static inline void
man_check_statuses(void)
{
	char list[MAN_LIST_MAX];

	man_items(".Sh EXIT STATUS", ".It ", list);
	ck_assert_str_eq(list, "0\n1\n70\n71\n78\n");
}

/* The configuration that the examples begin with; the caller's to free. */
static inline char *
man_example(void)
{
	static const char mark[] = "\n.Bd -literal -offset indent\n{\n";
	char *text = man_section(".Sh EXAMPLES"), *start, *end, *copy;

	start = strstr(text, mark);
	ck_assert_ptr_nonnull(start);
	start = strchr(start + 1, '\n') + 1;
	end = strstr(start, "\n.Ed\n");
	ck_assert_ptr_nonnull(end);
	copy = strndup(start, (size_t)(end + 1 - start));
	ck_assert_ptr_nonnull(copy);
	free(text);
	return copy;
}

#endif
