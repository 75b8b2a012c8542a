/*
 * engine.remove, and what engine.create does when it must not leave anything.
 *
 * Two keys open a deletion: the run's name, or the id that its row has, and
 * this instance's label on the very object, which is then named by its id, so
 * that nothing else can have taken the name in between. Whatever fails one of
 * them is not touched.
 */

#include <stdio.h>
#include <string.h>

#include "libcommon/log.h"

#include "dispatchd/engine_internal.h"

static void look_at_container(struct job *j);
static void look_at_network(struct job *j);

static void
finish(struct job *j)
{
	if (j->code != NULL)
		job_fail(j, j->code, "%s", j->said);
	else
		job_done(j);
}

/* It is not as it should be: the reason to end with is the first one. */
static void
stuck(struct job *j, const char *code, const char *what)
{
	if (j->code != NULL) {
		log_warnx("%s: %s", j->run, what);
		finish(j);
	} else
		job_fail(j, code, "%s", what);
}

/* The engine does not show it: again, the first reason stays. */
static void
unseen(struct job *j, const struct http_answer *a)
{
	if (j->code != NULL)
		stuck(j, j->code, "the engine does not show what it has");
	else
		job_refused(j, a);
}

/* --- the network ------------------------------------------------------------
 */

static void
on_network_removed(struct job *j, const struct http_answer *a)
{
	long ms = j->tries == 0 ? 0 : job_settle_ms(j->tries - 1);

	/* Whatever was answered, what is there now counts. */
	j->tries++;
	job_wait(j, ms, look_at_network);
}

static void
on_network(struct job *j, const struct http_answer *a)
{
	struct json_doc *doc;
	struct engine_object o;

	if (a->status == 404) {
		finish(j);
		return;
	}
	if (a->status != 200) {
		unseen(j, a);
		return;
	}
	if (inspected(a, j->engine->instance, &doc, &o) == -1) {
		stuck(j, "internal", "the network cannot be understood");
		return;
	}
	json_free(&doc);
	if (!o.ours)
		stuck(j, "conflict", "the network is not ours");
	else if (j->tries > ENGINE_SETTLE_TRIES)
		stuck(
		    j, "unavailable", "the engine does not remove the network");
	else
		job_delete(j, on_network_removed, "/networks/%s", o.id);
}

static void
look_at_network(struct job *j)
{
	char name[ENGINE_NAME_LEN + 1];

	engine_name(j->run, name);
	job_get(j, on_network, "/networks/%s", name);
}

/* --- the container -----------------------------------------------------------
 */

static void
on_container_removed(struct job *j, const struct http_answer *a)
{
	long ms = j->tries == 0 ? 0 : job_settle_ms(j->tries - 1);

	j->tries++;
	job_wait(j, ms, look_at_container);
}

/*
 * What create leaves behind was never started; anything that was is a run at
 * work, which only engine.remove may end.
 */
static bool
may_remove(const struct job *j, const struct json_node *shown)
{
	struct engine_state st;

	if (j->code == NULL)
		return true;
	return engine_parse_state(shown, &st) == 0 && !st.started;
}

static void
on_container(struct job *j, const struct http_answer *a)
{
	struct json_doc *doc;
	struct engine_object o;
	bool ours, may;

	if (a->status == 404) {
		j->tries = 0;
		look_at_network(j);
		return;
	}
	if (a->status != 200) {
		unseen(j, a);
		return;
	}
	if (inspected(a, j->engine->instance, &doc, &o) == -1) {
		stuck(j, "internal", "the container cannot be understood");
		return;
	}
	may = may_remove(j, json_root(doc));
	json_free(&doc);
	ours = container_is_ours(j, &o);
	if (!ours || !may)
		stuck(j, "conflict",
		    may ? "the container is not ours"
		        : "the container was started");
	else if (j->tries > ENGINE_SETTLE_TRIES)
		stuck(j, "unavailable",
		    "the engine does not remove the container");
	else
		job_delete(j, on_container_removed,
		    "/containers/%s?force=1&v=1", o.id);
}

static void
look_at_container(struct job *j)
{
	container_look(j, on_container);
}

void
remove_then_end(struct job *j)
{
	events_asked(j->engine, j->run, ASKED_REMOVE);
	j->tries = 0;
	look_at_container(j);
}

void
remove_start(struct job *j, const struct http_answer *a)
{
	j->tries = 0;
	look_at_container(j);
}
