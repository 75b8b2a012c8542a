/*
 * engine.list: whatever carries our label or looks like a run's, in four
 * questions. What does both is ours; what does one of them is reported, and
 * left alone.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"

#include "dispatchd/engine_internal.h"

#define FOREIGN_TEXT 128 /* "container NAME", as the message allows */

struct row {
	char run[RUNID_LEN + 1];
	char value[ENGINE_ID_LEN + 1]; /* status or id */
};

struct kind {
	struct row rows[ENGINE_LIST_MAX];
	const char *keys[ENGINE_LIST_MAX];
	const char *values[ENGINE_LIST_MAX];
	size_t n;
};

struct listing {
	struct kind containers, networks;
	char foreign[ENGINE_LIST_MAX][FOREIGN_TEXT + 1];
	const char *names[ENGINE_LIST_MAX];
	size_t nforeign;
	unsigned question;
	bool full; /* one more than there is room for */
};

/* In this order; the names are patterns to the engine, without an anchor. */
static const struct {
	const char *path;
	bool by_label;
	bool network;
} questions[] = {
	{ "/containers/json?all=1&filters=", true, false },
	{ "/containers/json?all=1&filters=", false, false },
	{ "/networks?filters=", true, true },
	{ "/networks?filters=", false, true },
};

#define QUESTIONS (sizeof(questions) / sizeof(questions[0]))

void
listing_free(struct listing **l)
{
	free(*l);
	*l = NULL;
}

static void
add_own(struct listing *l, struct kind *k, const char *run, const char *value)
{
	size_t i;

	for (i = 0; i < k->n; i++) {
		if (strcmp(k->rows[i].run, run) == 0)
			return;
	}
	if (k->n == ENGINE_LIST_MAX) {
		l->full = true;
		return;
	}
	strlcpy(k->rows[k->n].run, run, sizeof(k->rows[0].run));
	strlcpy(k->rows[k->n].value, value, sizeof(k->rows[0].value));
	k->keys[k->n] = k->rows[k->n].run;
	k->values[k->n] = k->rows[k->n].value;
	k->n++;
}

static void
add_foreign(struct listing *l, const char *kind, const char *name)
{
	char text[FOREIGN_TEXT + 1];
	size_t i;

	strlcpy(text, kind, sizeof(text));
	strlcat(text, " ", sizeof(text));
	strlcat(text, name, sizeof(text));
	for (i = 0; i < l->nforeign; i++) {
		if (strcmp(l->foreign[i], text) == 0)
			return;
	}
	if (l->nforeign == ENGINE_LIST_MAX) {
		l->full = true;
		return;
	}
	memcpy(l->foreign[l->nforeign], text, sizeof(text));
	l->names[l->nforeign] = l->foreign[l->nforeign];
	l->nforeign++;
}

/* The engine's filter may let through what only contains our words. */
static void
on_object(const struct engine_object *o, const char *status, void *arg)
{
	struct listing *l = arg;
	bool network = questions[l->question].network;

	if (o->ours && network)
		add_own(l, &l->networks, o->run, o->id);
	else if (o->ours)
		add_own(l, &l->containers, o->run, status);
	else if (o->labelled || o->named)
		add_foreign(l, network ? "network" : "container", o->name);
}

static void
answer(struct job *j)
{
	struct msg m = { .type = MSG_TYPE_engine_listed };
	struct listing *l = j->listing;

	if (l->full) {
		/* Half a list would be taken for the whole. */
		job_fail(
		    j, "internal", "more than %d objects", ENGINE_LIST_MAX);
		return;
	}
	m.u.engine_listed.containers.k = l->containers.keys;
	m.u.engine_listed.containers.v = l->containers.values;
	m.u.engine_listed.containers.n = l->containers.n;
	m.u.engine_listed.networks.k = l->networks.keys;
	m.u.engine_listed.networks.v = l->networks.values;
	m.u.engine_listed.networks.n = l->networks.n;
	m.u.engine_listed.foreign.v = l->names;
	m.u.engine_listed.foreign.n = l->nforeign;
	job_answer(j, &m);
}

static void ask(struct job *j);

static void
on_list(struct job *j, const struct http_answer *a)
{
	struct listing *l = j->listing;

	if (a->status != 200) {
		job_refused(j, a);
		return;
	}
	if (engine_parse_list(
	        a->body, a->len, j->engine->instance, on_object, l) == -1) {
		job_fail(j, "internal", "the engine's list is none");
		return;
	}
	if (++l->question == QUESTIONS)
		answer(j);
	else
		ask(j);
}

/* {"label":["bulkhead.instance=..."]} and {"name":["bulkhead-"]}. */
static void
ask(struct job *j)
{
	unsigned q = j->listing->question;

	if (questions[q].by_label)
		job_get(j, on_list,
		    "%s%%7B%%22label%%22%%3A%%5B%%22bulkhead.instance%%3D%s"
		    "%%22%%5D%%7D",
		    questions[q].path, j->engine->instance);
	else
		job_get(j, on_list,
		    "%s%%7B%%22name%%22%%3A%%5B%%22bulkhead-%%22%%5D%%7D",
		    questions[q].path);
}

void
list_start(struct job *j, const struct http_answer *a)
{
	if ((j->listing = calloc(1, sizeof(*j->listing))) == NULL) {
		job_fail(j, "internal", "out of memory");
		return;
	}
	ask(j);
}
