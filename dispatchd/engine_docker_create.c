/*
 * engine.create: the network and the container of a run. Both have the run's
 * name, so that whatever became of a request that was made before, by this
 * process or by the one before it, the name tells.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"

#include "dispatchd/engine_internal.h"

static void look_at_network(struct job *j);

int
inspected(const struct http_answer *a, const char *instance,
    struct json_doc **doc, struct engine_object *o)
{
	struct json_error err;

	*doc = json_parse(a->body, a->len, &engine_json_limits, &err);
	if (*doc == NULL)
		return -1;
	if (engine_parse_object(json_root(*doc), instance, o) == 0)
		return 0;
	json_free(doc);
	return -1;
}

/* What was made is not what was asked for: none of it stays. */
static void
boundary(struct job *j, const char *what)
{
	log_warnx(
	    "%s: the %s is not what was asked for: %s", j->run, what, j->field);
	j->code = "boundary";
	snprintf(j->said, sizeof(j->said),
	    "the engine made a %s whose %s is not what was asked for", what,
	    j->field);
	remove_then_end(j);
}

/* The engine said no to the container: its network has no use. */
static void
give_up(struct job *j, const char *code, const struct http_answer *a)
{
	char message[ENGINE_MESSAGE_MAX];

	engine_parse_message(a->body, a->len, message);
	j->code = code;
	snprintf(j->said, sizeof(j->said), "the engine answers %ld%s%s",
	    a->status, message[0] != '\0' ? ": " : "", message);
	remove_then_end(j);
}

/* Something else has the name, or the same run with other words. */
static bool
is_conflict(
    struct job *j, const struct engine_object *o, bool ours, const char *what)
{
	if (ours && strcmp(o->spec, j->spec) == 0)
		return false;
	j->field[0] = '\0';
	if (!ours)
		job_fail(
		    j, "conflict", "the name of the run's %s is taken", what);
	else
		job_fail(j, "conflict",
		    "the run has a %s that was made from other words", what);
	return true;
}

/* --- the container ---------------------------------------------------------
 */

static void
created(struct job *j)
{
	struct msg m = { .type = MSG_TYPE_engine_created };

	m.u.engine_created.container = j->container;
	m.u.engine_created.spec = j->spec;
	m.u.engine_created.adopted = j->adopted;
	job_answer(j, &m);
}

/* doc is freed on the way out: what is said of it is copied by then. */
static void
judge_container(
    struct job *j, const struct json_node *shown, const struct engine_object *o)
{
	const struct engine_image *image = j->engine->session.image;
	struct engine_state st;

	if (is_conflict(j, o, container_is_ours(j, o), "container"))
		return;
	memcpy(j->container, o->id, sizeof(j->container));
	if (engine_parse_state(shown, &st) == -1)
		job_fail(j, "internal", "the container has no state");
	else if (st.started || strcmp(st.status, "created") != 0)
		job_fail(j, "conflict", "the container was started before");
	else if (image == NULL || strcmp(image->id, j->want.image_id) != 0)
		job_fail(j, "unavailable", "the image was replaced meanwhile");
	else if (engine_compare_container(shown, &j->want, image, j->field) ==
	    -1)
		boundary(j, "container");
	else
		created(j);
}

static void
on_container(struct job *j, const struct http_answer *a)
{
	struct json_doc *doc;
	struct engine_object o;

	/* Asked to be made, and not there: the engine lost the request. */
	if (a->status == 404) {
		job_fail(j, "unavailable", "the engine made no container");
		return;
	}
	if (a->status != 200) {
		job_refused(j, a);
		return;
	}
	if (inspected(a, j->engine->instance, &doc, &o) == -1) {
		job_fail(j, "internal", "the container cannot be understood");
		return;
	}
	judge_container(j, json_root(doc), &o);
	json_free(&doc);
}

static void
on_container_made(struct job *j, const struct http_answer *a)
{
	j->adopted = true;
	if (a->end != HTTP_WHOLE || a->status == 409 || a->status >= 500) {
		/* It may be there all the same. */
		container_look(j, on_container);
		return;
	}
	if (a->status == 404) {
		give_up(j, "image_absent", a);
		return;
	}
	if (a->status != 201) {
		give_up(j, "refused", a);
		return;
	}
	j->adopted = engine_parse_created(a->body, a->len, j->container) == -1;
	container_look(j, on_container);
}

static void
make_container(struct job *j)
{
	char name[ENGINE_NAME_LEN + 1];

	free(j->body);
	j->body = engine_container_body(&j->want, j->spec);
	if (j->body == NULL) {
		job_fail(j, "internal", "out of memory");
		return;
	}
	engine_name(j->run, name);
	job_post(j, on_container_made, j->body, ENGINE_CREATE_MS,
	    "/containers/create?name=%s", name);
}

/* --- the network ------------------------------------------------------------
 */

static void
on_network(struct job *j, const struct http_answer *a)
{
	struct json_doc *doc;
	struct engine_object o;
	int r;

	if (a->status == 404) {
		job_fail(j, "unavailable", "the engine made no network");
		return;
	}
	if (a->status != 200) {
		job_refused(j, a);
		return;
	}
	if (inspected(a, j->engine->instance, &doc, &o) == -1) {
		job_fail(j, "internal", "the network cannot be understood");
		return;
	}
	r = engine_compare_network(json_root(doc), &j->want, j->field);
	json_free(&doc);
	if (is_conflict(j, &o, o.ours, "network"))
		return;
	memcpy(j->network, o.id, sizeof(j->network));
	if (r == -1)
		boundary(j, "network");
	else
		make_container(j);
}

static void
look_at_network(struct job *j)
{
	char name[ENGINE_NAME_LEN + 1];

	engine_name(j->run, name);
	job_get(j, on_network, "/networks/%s", name);
}

/* In the words of engines old and new: "overlaps", "overlapping". */
static bool
is_overlap(const struct http_answer *a)
{
	char message[ENGINE_MESSAGE_MAX];

	engine_parse_message(a->body, a->len, message);
	return a->status >= 400 && strstr(message, "overlap") != NULL;
}

static void
on_network_made(struct job *j, const struct http_answer *a)
{
	if (a->end == HTTP_WHOLE && is_overlap(a))
		job_fail(j, "subnet", "%s is in use", j->want.subnet);
	else if (a->end != HTTP_WHOLE || a->status == 201 || a->status == 409 ||
	    a->status >= 500)
		look_at_network(j);
	else
		job_refused(j, a);
}

void
create_start(struct job *j, const struct http_answer *a)
{
	strlcpy(j->want.image_id, j->engine->session.image->id,
	    sizeof(j->want.image_id));
	j->want.api = j->engine->session.api;
	if ((j->body = engine_network_body(&j->want, j->spec)) == NULL) {
		job_fail(j, "internal", "out of memory");
		return;
	}
	job_post(
	    j, on_network_made, j->body, ENGINE_CREATE_MS, "/networks/create");
}
