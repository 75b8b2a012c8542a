/* The table of messages in PROTOCOL.md: see msg.h. Pure. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "libcommon/msg.h"

struct word {
	unsigned bit;
	const char *name;
};

static const struct word side_words[] = {
	{ SIDE_CLIENT, "client" },
	{ SIDE_FRONTEND, "frontend" },
	{ SIDE_PARENT, "parent" },
	{ SIDE_AUDIT, "audit" },
	{ SIDE_PROXY, "proxy" },
	{ SIDE_RESOLVER, "resolver" },
	{ SIDE_FW, "fw" },
	{ SIDE_QUEUE, "queue" },
	{ SIDE_RUNS, "runs" },
	{ SIDE_ENGINE, "engine" },
	{ SIDE_AGENT, "agent" },
	{ 0, NULL },
};

static const struct word flag_words[] = {
	{ MSG_F_FD, "fd" },
	{ MSG_F_BIG, "big" },
	{ MSG_F_SYNC, "sync" },
	{ MSG_F_WRITTEN, "written" },
	{ 0, NULL },
};

static const struct word field_words[] = {
	{ FIELD_OPT, "optional" },
	{ FIELD_SECRET, "secret" },
	{ FIELD_NULL, "null in a record" },
	{ FIELD_PEER, "in a record's peer" },
	{ 0, NULL },
};

static const char *const kind_words[] = {
	[MSG_REQUEST] = "request",
	[MSG_ANSWER] = "answer",
	[MSG_EVENT] = "event",
};

static const char *const type_words[] = {
	[FIELD_STRING] = "string",
	[FIELD_INT] = "int",
	[FIELD_BOOL] = "bool",
	[FIELD_LIST] = "list",
	[FIELD_MAP] = "map",
};

static void
print_words(FILE *fp, const struct word *words, unsigned mask, const char *sep)
{
	const char *between;

	between = "";
	for (; words->name != NULL; words++) {
		if ((mask & words->bit) == 0)
			continue;
		fprintf(fp, "%s%s", between, words->name);
		between = sep;
	}
}

static void
print_field(FILE *fp, const struct msg_field *f)
{
	fprintf(fp, "`%s` %s", f->name, type_words[f->type]);
	switch (f->type) {
	case FIELD_STRING:
		fprintf(
		    fp, " %lld..%lld", (long long)f->min, (long long)f->max);
		break;
	case FIELD_INT:
		if (f->max == INT64_MAX)
			fprintf(fp, " %lld..2^63-1", (long long)f->min);
		else
			fprintf(fp, " %lld..%lld", (long long)f->min,
			    (long long)f->max);
		break;
	case FIELD_BOOL:
		break;
	case FIELD_LIST:
	case FIELD_MAP:
		fprintf(fp, " %zu x %lld", f->count, (long long)f->max);
		break;
	}
	if (f->flags != 0) {
		fprintf(fp, " (");
		print_words(fp, field_words, f->flags, ", ");
		fprintf(fp, ")");
	}
}

static void
print_row(FILE *fp, const struct msg_decl *d)
{
	size_t i;

	fprintf(fp, "| `%s` | ", d->wire);
	print_words(fp, side_words, d->from, ", ");
	fprintf(fp, " | ");
	print_words(fp, side_words, d->to, ", ");
	fprintf(fp, " | %s | ", kind_words[d->kind]);
	if (d->answer != MSG_TYPE_none)
		fprintf(fp, "`%s`", msg_decl(d->answer)->wire);
	fprintf(fp, " | ");
	print_words(fp, flag_words, d->flags, ", ");
	fprintf(fp, " | ");
	for (i = 0; i < d->nfields; i++) {
		fprintf(fp, "%s", i > 0 ? "; " : "");
		print_field(fp, &d->fields[i]);
	}
	fprintf(fp, " | %s |\n", d->doc);
}

char *
msg_table_markdown(void)
{
	enum msg_type type;
	char *text;
	size_t len;
	FILE *fp;
	int bad;

	text = NULL;
	fp = open_memstream(&text, &len);
	if (fp == NULL)
		return NULL;
	fprintf(fp,
	    "| message | from | to | kind | answer | flags | fields | "
	    "meaning |\n");
	fprintf(fp, "| --- | --- | --- | --- | --- | --- | --- | --- |\n");
	for (type = MSG_TYPE_none + 1; type < MSG_TYPE_MAX; type++)
		print_row(fp, msg_decl(type));
	bad = ferror(fp);
	if (fclose(fp) != 0 || bad != 0) {
		free(text);
		return NULL;
	}
	return text;
}
