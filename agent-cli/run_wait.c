/* How a run goes, and how it ended. */

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/json.h"

#include "dispatchd/queue_state.h"

#include "follow.h"
#include "show.h"

/* --- the request -------------------------------------------------------- */

static void
fill(struct request *r, struct msg *m)
{
	struct waiting *w = (struct waiting *)r;

	m->type = MSG_TYPE_wait;
	m->u.wait.run = w->run;
}

static void
event(struct request *r, const struct msg *m)
{
	struct waiting *w = (struct waiting *)r;

	if (m->type == MSG_TYPE_run_event && w->stage != NULL)
		w->stage(&m->u.run_event, w->arg);
}

static void
answer(struct request *r, const struct msg *m)
{
	struct waiting *w = (struct waiting *)r;

	w->over(&m->u.wait_answer, w->arg);
}

static bool
refused(struct request *r, const struct msg *m)
{
	struct waiting *w = (struct waiting *)r;

	return w->refused != NULL && w->refused(&m->u.error, w->arg);
}

static const struct request_ops ops = {
	.fill = fill,
	.event = event,
	.answer = answer,
	.refused = refused,
};

void
waiting_init(struct waiting *w, struct link *l)
{
	memset(w, 0, sizeof(*w));
	request_init(&w->r, l, &ops);
}

/* --- words -------------------------------------------------------------- */

int
class_status(const char *name)
{
	enum queue_class c = queue_class_parse(name);
	int status = queue_class_exit(c);

	return status != -1 ? status : EXIT_FAILED;
}

static FILE *
open_text(char **text, size_t *len)
{
	FILE *f = open_memstream(text, len);

	if (f == NULL) {
		complain("out of memory");
		exit(EXIT_FAILED);
	}
	return f;
}

char *
stage_text(const struct msg_run_event *m, bool json)
{
	struct json_writer *w;
	char *text, *run, *state, *detail, *s;
	size_t len;
	FILE *f;

	if (json) {
		w = json_writer_new(OBJECT_MAX);
		json_open_object(w);
		show_text(w, "run", m->run);
		show_text(w, "state", m->state);
		show_text(w, "detail", m->detail);
		json_close_object(w);
		return show_object(&w);
	}
	f = open_text(&text, &len);
	state = visible(m->state, strlen(m->state));
	for (s = state; *s != '\0'; s++)
		*s = (char)tolower((unsigned char)*s);
	run = visible(m->run, strlen(m->run));
	(void)fprintf(f, "%s %s", run, state);
	free(run);
	if (m->detail != NULL && m->detail[0] != '\0') {
		detail = visible(m->detail, strlen(m->detail));
		(void)fprintf(f, ": %s", detail);
		free(detail);
	}
	free(state);
	(void)fclose(f);
	return text;
}

static void
print_denials(FILE *f, const struct msg_map *denials)
{
	char *k, *v;
	size_t i;

	for (i = 0; i < denials->n; i++) {
		k = visible(denials->k[i], strlen(denials->k[i]));
		v = visible(denials->v[i], strlen(denials->v[i]));
		(void)fprintf(f, "\ndenied %s: %s time%s", k, v,
		    strcmp(v, "1") == 0 ? "" : "s");
		free(k);
		free(v);
	}
}

static char *
ending_json(const struct msg_wait_answer *m, const char *got)
{
	struct json_writer *w = json_writer_new(OBJECT_MAX);

	json_open_object(w);
	show_text(w, "run", m->run);
	show_text(w, "class", m->class);
	show_code(w, "exit_code", m->exit_code);
	show_text(w, "reason", m->reason);
	show_text(w, "branch", m->branch);
	show_bundle(w, got != NULL ? got : m->bundle, m->sha256, m->bytes);
	json_key(w, "denials");
	show_counts(w, &m->denials);
	json_close_object(w);
	return show_object(&w);
}

/* As a word of a shell; outside text is escaped. */
static void
print_word(FILE *f, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
	                            "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                            "0123456789_./:@%+=,-";
	char *shown = visible(text, strlen(text)), *s;

	if (shown[strspn(shown, plain)] == '\0') {
		(void)fputs(shown, f);
	} else {
		(void)fputc('\'', f);
		for (s = shown; *s != '\0'; s++) {
			if (*s == '\'')
				(void)fputs("'\\''", f);
			else
				(void)fputc(*s, f);
		}
		(void)fputc('\'', f);
	}
	free(shown);
}

/* The bundle that git can fetch from: what we wrote, or where it is stored. */
static void
print_fetch(FILE *f, const struct msg_wait_answer *m, const char *got)
{
	const char *path = got != NULL ? got : m->bundle;

	if (path[0] == '\0' || m->branch[0] == '\0')
		return;
	(void)fputs("\ngit fetch ", f);
	print_word(f, path);
	(void)fputc(' ', f);
	print_word(f, m->branch);
}

char *
ending_text(const struct msg_wait_answer *m, const char *got, bool json)
{
	char *text, *run, *class, *reason;
	size_t len;
	FILE *f;

	if (json)
		return ending_json(m, got);
	f = open_text(&text, &len);
	class = visible(m->class, strlen(m->class));
	run = visible(m->run, strlen(m->run));
	(void)fprintf(f, "%s %s", run, class);
	free(run);
	if (m->exit_code > 0)
		(void)fprintf(f, ", exit status %" PRId64, m->exit_code);
	if (m->reason != NULL && m->reason[0] != '\0') {
		reason = visible(m->reason, strlen(m->reason));
		(void)fprintf(f, ": %s", reason);
		free(reason);
	}
	free(class);
	print_denials(f, &m->denials);
	print_fetch(f, m, got);
	(void)fclose(f);
	return text;
}
