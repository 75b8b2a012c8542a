/*
 * A container that is there: start it, look at it, end it, read what its PID 1
 * said. What an answer means is always decided by an inspection behind it.
 */

#include <stdio.h>
#include <string.h>

#include "dispatchd/engine_internal.h"

/*
 * A name can be given away behind our back, an id cannot: the name is asked
 * for only as long as nobody knows the id.
 */
void
container_look(struct job *j, job_step_fn *step)
{
	char name[ENGINE_NAME_LEN + 1];

	engine_name(j->run, name);
	job_get(j, step, "/containers/%s/json",
	    j->container[0] != '\0' ? j->container : name);
}

bool
container_is_ours(const struct job *j, const struct engine_object *o)
{
	if (j->container[0] == '\0')
		return o->ours;
	return o->labelled && strcmp(o->labelled_run, j->run) == 0 &&
	    strcmp(o->id, j->container) == 0;
}

static void
answer_state(struct job *j, const struct engine_state *st)
{
	struct msg m = { .type = MSG_TYPE_engine_state };

	m.u.engine_state.run = j->run;
	m.u.engine_state.status = st->status;
	m.u.engine_state.pid = st->pid;
	m.u.engine_state.exit_code = st->exit_code;
	m.u.engine_state.started = st->started;
	m.u.engine_state.oom = st->oom;
	m.u.engine_state.error = st->error;
	job_answer(j, &m);
}

/*
 * The inspection of our own container. Returns 0; or -1 behind the end of the
 * job: what is absent is answered as a state, what is another's as a conflict.
 */
static int
own_state(struct job *j, const struct http_answer *a, struct engine_state *st)
{
	struct json_doc *doc;
	struct engine_object o;
	bool ours;
	int r;

	memset(st, 0, sizeof(*st));
	if (a->status == 404) {
		strlcpy(st->status, "absent", sizeof(st->status));
		st->exit_code = -1;
		if (j->type == MSG_TYPE_engine_kill)
			job_done(j);
		else
			answer_state(j, st);
		return -1;
	}
	if (a->status != 200) {
		job_refused(j, a);
		return -1;
	}
	if (inspected(a, j->engine->instance, &doc, &o) == -1) {
		job_fail(j, "internal", "the container cannot be understood");
		return -1;
	}
	r = engine_parse_state(json_root(doc), st);
	json_free(&doc);
	ours = container_is_ours(j, &o);
	if (!ours)
		job_fail(j, "conflict", "the container is not ours");
	else if (r == -1)
		job_fail(j, "internal", "the container has no state");
	else
		memcpy(j->container, o.id, sizeof(j->container));
	return ours && r == 0 ? 0 : -1;
}

/* --- inspect ----------------------------------------------------------------
 */

static void
on_inspect(struct job *j, const struct http_answer *a)
{
	struct engine_state st;

	if (own_state(j, a, &st) == 0)
		answer_state(j, &st);
}

void
inspect_start(struct job *j, const struct http_answer *a)
{
	container_look(j, on_inspect);
}

/* --- start -------------------------------------------------------------------
 */

/* Behind a refusal the state is what it was, and the engine said why. */
static void
on_after_start(struct job *j, const struct http_answer *a)
{
	struct engine_state st;

	if (own_state(j, a, &st) == -1)
		return;
	if (!st.started && j->code != NULL)
		job_fail(j, j->code, "%s", j->said);
	else
		answer_state(j, &st);
}

static void
on_started(struct job *j, const struct http_answer *a)
{
	char message[ENGINE_MESSAGE_MAX];

	if (a->end != HTTP_WHOLE) {
		j->code = "unavailable";
		snprintf(j->said, sizeof(j->said), "the engine: %s", a->why);
	} else if (a->status >= 400) {
		engine_parse_message(a->body, a->len, message);
		j->code = "refused";
		snprintf(j->said, sizeof(j->said), "the engine answers %ld: %s",
		    a->status, message);
	}
	container_look(j, on_after_start);
}

/*
 * A start of one that has ended would run it again: only one that was made
 * and never started gets one.
 */
static void
on_before_start(struct job *j, const struct http_answer *a)
{
	struct engine_state st;

	if (own_state(j, a, &st) == -1)
		return;
	if (st.started || strcmp(st.status, "created") != 0)
		answer_state(j, &st);
	else
		job_post(j, on_started, NULL, ENGINE_START_MS,
		    "/containers/%s/start", j->container);
}

void
start_start(struct job *j, const struct http_answer *a)
{
	container_look(j, on_before_start);
}

/* --- kill
 * --------------------------------------------------------------------- */

static void look_again(struct job *j);

static void
on_killed(struct job *j, const struct http_answer *a)
{
	long ms = j->tries == 0 ? 0 : job_settle_ms(j->tries - 1);

	j->tries++;
	job_wait(j, ms, look_again);
}

static void
on_before_kill(struct job *j, const struct http_answer *a)
{
	struct engine_state st;

	if (own_state(j, a, &st) == -1)
		return;
	if (!st.running)
		job_done(j);
	else if (j->tries > ENGINE_SETTLE_TRIES)
		job_fail(j, "unavailable", "the engine does not end the run");
	else
		job_post(j, on_killed, NULL, ENGINE_KILL_MS,
		    "/containers/%s/kill?signal=KILL", j->container);
}

static void
look_again(struct job *j)
{
	container_look(j, on_before_kill);
}

void
kill_start(struct job *j, const struct http_answer *a)
{
	j->tries = 0;
	look_again(j);
}

/* --- standard error -------------------------------------------------------
 */

static void
on_log(struct job *j, const struct http_answer *a)
{
	struct msg m = { .type = MSG_TYPE_engine_stderr_answer };
	char text[ENGINE_STDERR_TEXT + 1];

	if (a->status != 200) {
		job_refused(j, a);
		return;
	}
	(void)engine_parse_log(
	    (const uint8_t *)a->body, a->len, text, sizeof(text));
	m.u.engine_stderr_answer.text = text;
	job_answer(j, &m);
}

static void
on_before_log(struct job *j, const struct http_answer *a)
{
	struct msg m = { .type = MSG_TYPE_engine_stderr_answer };
	struct engine_state st;

	if (a->status == 404) {
		m.u.engine_stderr_answer.text = "";
		job_answer(j, &m);
		return;
	}
	if (own_state(j, a, &st) == -1)
		return;
	j->raw = true;
	job_get(j, on_log, "/containers/%s/logs?stdout=0&stderr=1&tail=1",
	    j->container);
}

void
stderr_start(struct job *j, const struct http_answer *a)
{
	container_look(j, on_before_log);
}
