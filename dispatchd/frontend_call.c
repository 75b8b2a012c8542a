/*
 * Requests that are handed on. Each gets an id of our own, by which a sibling
 * answers; the client sees its own again. One whose client has left stays
 * until its answer comes, which then goes nowhere: so an answer that nobody
 * asked for is always a sibling's error.
 */

#include <stdlib.h>
#include <string.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"
#include "libcommon/runid.h"

#include "dispatchd/frontend.h"

static int
by_id(const struct call *a, const struct call *b)
{
	return (a->id > b->id) - (a->id < b->id);
}

RB_HEAD(front_calls, call);
RB_PROTOTYPE(front_calls, call, by_id, by_id)
RB_GENERATE(front_calls, call, by_id, by_id)

static struct front_calls calls = RB_INITIALIZER(&calls);
static size_t ncalls;

/* ps and show that wait for their turn; those that the queue has. */
static TAILQ_HEAD(, call) looks = TAILQ_HEAD_INITIALIZER(looks);
static size_t nlooks;

static const char no_memory[] = "out of memory";

static void looks_go(void);

size_t
front_call_count(void)
{
	return ncalls;
}

/* Answers why there is none. */
static struct call *
call_new(struct user *u, int64_t client_id, enum msg_type type, struct peer *to)
{
	struct call *c;

	if (ncalls >= FRONTEND_CALLS_MAX) {
		front_refuse(u, client_id, "limit",
		    "too many requests are being answered");
		return NULL;
	}
	if ((c = calloc(1, sizeof(*c))) == NULL) {
		front_refuse(u, client_id, "unavailable", no_memory);
		return NULL;
	}
	c->user = u;
	c->client_id = client_id;
	c->id = ++front.last_id;
	c->type = type;
	c->to = to;
	RB_INSERT(front_calls, &calls, c);
	ncalls++;
	TAILQ_INSERT_TAIL(&u->calls, c, of_user);
	front_call_touch(c);
	return c;
}

static bool
is_look(const struct call *c)
{
	return c->type == MSG_TYPE_ps || c->type == MSG_TYPE_show;
}

static void
call_part(struct call *c)
{
	if (c->user == NULL)
		return;
	if (is_look(c) && c->asked)
		c->user->looking = false;
	TAILQ_REMOVE(&c->user->calls, c, of_user);
	c->user = NULL;
}

/* The queue has answered, or never had it. */
static void
look_end(struct call *c)
{
	if (!c->asked)
		TAILQ_REMOVE(&looks, c, look);
	else
		nlooks--;
	looks_go();
}

static void
call_free(struct call *c)
{
	front_relay_end(c, "it is over");
	call_part(c);
	RB_REMOVE(front_calls, &calls, c);
	ncalls--;
	if (is_look(c))
		look_end(c);
	free(c);
}

/* Which answer a sibling owes. */
static enum msg_type
answer_of(const struct call *c)
{
	return msg_decl(c->type)->answer;
}

static struct call *
call_find(struct peer *from, int64_t id)
{
	struct call key, *c;

	key.id = id;
	c = RB_FIND(front_calls, &calls, &key);
	if (c == NULL || c->to != from || !c->asked)
		fatalx("%s answers what it was not asked", peer_name(from));
	return c;
}

/*
 * A log is followed for as long as its reader likes, once it reads. All else
 * has to move, and a prompt to come to its end: moving a little now and then
 * would keep its place from others.
 */
void
front_call_touch(struct call *c)
{
	int64_t ms = FRONTEND_CALL_MS;

	if (c->way == RELAY_DOWN && !c->flowing)
		ms = FRONTEND_CREDIT_MS;
	else if (c->way != RELAY_NONE && c->flowing)
		ms = FRONTEND_STALL_MS;
	c->deadline = clock_boot_ms() + ms;
	if (c->type == MSG_TYPE_logs && c->flowing)
		c->deadline = 0;
	if (c->way == RELAY_UP && !c->source_over && c->deadline > c->whole_by)
		c->deadline = c->whole_by;
}

void
front_call_fail(struct call *c, const char *code, const char *reason)
{
	if (c->user != NULL)
		front_refuse(c->user, c->client_id, code, reason);
	front_relay_end(c, reason);
	call_part(c);
	c->deadline = 0;
	if (!c->asked || c->held)
		call_free(c);
}

/* --- requests --------------------------------------------------------- */

static void
ask(struct call *c, struct msg *m)
{
	m->id = c->id;
	c->asked = true;
	sibling_send(c->to, m);
}

void
front_call(struct user *u, struct msg *m, struct peer *to)
{
	struct call *c = call_new(u, m->id, m->type, to);

	if (c != NULL)
		ask(c, m);
}

static void
looks_go(void)
{
	struct call *c, *next;

	TAILQ_FOREACH_SAFE(c, &looks, look, next) {
		if (nlooks >= FRONTEND_LOOKS_MAX)
			return;
		/* What of one client waits here is not its whole limit. */
		if (c->user == NULL || c->user->looking)
			continue;
		TAILQ_REMOVE(&looks, c, look);
		nlooks++;
		c->user->looking = true;
		front_call_ask(c);
	}
}

void
front_call_look(struct user *u, const struct msg *m)
{
	struct call *c = call_new(u, m->id, m->type, front.queue);

	if (c == NULL)
		return;
	if (m->type == MSG_TYPE_ps) {
		c->follow = m->u.ps.all;
		c->since = m->u.ps.after;
	} else
		(void)strlcpy(c->run, m->u.show.run, sizeof(c->run));
	TAILQ_INSERT_TAIL(&looks, c, look);
	looks_go();
}

void
front_call_run(struct user *u, int64_t id, const struct msg_run *m)
{
	const char *why = NULL;
	struct call *c;
	struct msg out;

	if (m->stream == 0 && m->bytes != 0) {
		front_refuse(u, id, "invalid",
		    "bytes: a prompt without a stream; allowed: 0");
		return;
	}
	if ((c = call_new(u, id, MSG_TYPE_run, front.queue)) == NULL)
		return;
	c->whole_by = clock_boot_ms() + front_times.prompt_ms;
	if (m->stream != 0)
		why = front_relay_begin(c, RELAY_UP, m->stream, m->bytes);
	if (why != NULL) {
		front_call_fail(c, "limit", why);
		return;
	}
	memset(&out, 0, sizeof(out));
	out.type = MSG_TYPE_job_submit;
	out.u.job_submit.peer_uid = u->client.creds.uid;
	out.u.job_submit.peer_pid = u->client.creds.pid;
	out.u.job_submit.request = m->request;
	out.u.job_submit.repo = m->repo;
	out.u.job_submit.base = m->base;
	out.u.job_submit.tool = m->tool;
	out.u.job_submit.profile = m->profile;
	out.u.job_submit.deadline_ms = m->deadline_ms;
	out.u.job_submit.stream = c->stream;
	out.u.job_submit.bytes = m->bytes;
	ask(c, &out);
}

void
front_call_rm(struct user *u, int64_t id, const struct msg_rm *m)
{
	struct call *c = call_new(u, id, MSG_TYPE_rm, front.queue);
	struct msg out;

	if (c == NULL)
		return;
	memset(&out, 0, sizeof(out));
	out.type = MSG_TYPE_job_rm;
	out.u.job_rm.peer_uid = u->client.creds.uid;
	out.u.job_rm.peer_pid = u->client.creds.pid;
	out.u.job_rm.run = m->run;
	ask(c, &out);
}

void
front_call_stop(struct user *u, int64_t id, const struct msg_stop *m)
{
	struct call *c = call_new(u, id, MSG_TYPE_stop, front.queue);
	struct msg out;

	if (c == NULL)
		return;
	memset(&out, 0, sizeof(out));
	out.type = MSG_TYPE_job_halt;
	out.u.job_halt.peer_uid = u->client.creds.uid;
	out.u.job_halt.peer_pid = u->client.creds.pid;
	out.u.job_halt.run = m->run;
	ask(c, &out);
}

/*
 * runs is asked when the client has given credit: then it can be read to the
 * client's pace, and nothing of it has to be kept here.
 */
void
front_call_read(struct user *u, struct msg *m)
{
	bool logs = m->type == MSG_TYPE_logs;
	const char *run = logs ? m->u.logs.run : m->u.bundle_get.run;
	const char *why;
	struct call *c;

	if (!runid_valid(run)) {
		front_refuse(u, m->id, "invalid",
		    "run: not an id; allowed: 12 of a-z and 2-7");
		return;
	}
	if ((c = call_new(u, m->id, m->type, front.runs)) == NULL)
		return;
	strlcpy(c->run, run, sizeof(c->run));
	if (logs) {
		c->since = m->u.logs.since;
		c->follow = m->u.logs.follow;
	}
	why = front_relay_begin(c, RELAY_DOWN,
	    logs ? m->u.logs.stream : m->u.bundle_get.stream, INT64_MAX);
	if (why != NULL)
		front_call_fail(c, "limit", why);
	else
		front_call_touch(c);
}

void
front_call_ask(struct call *c)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = c->type;
	if (c->type == MSG_TYPE_logs) {
		m.u.logs.run = c->run;
		m.u.logs.since = c->since;
		m.u.logs.follow = c->follow;
		m.u.logs.stream = c->stream;
	} else if (c->type == MSG_TYPE_ps) {
		m.u.ps.all = c->follow;
		m.u.ps.after = c->since;
	} else if (c->type == MSG_TYPE_show) {
		m.u.show.run = c->run;
	} else {
		m.u.bundle_get.run = c->run;
		m.u.bundle_get.stream = c->stream;
	}
	ask(c, &m);
}

/* --- answers ---------------------------------------------------------- */

/* The end of a stream may come behind the answer to what it is of. */
static void
hold(struct call *c, const struct msg *m)
{
	c->held = true;
	memset(&c->answer, 0, sizeof(c->answer));
	c->answer.type = m->type;
	c->answer.u = m->u;
	if (m->type == MSG_TYPE_bundle_get_answer) {
		strlcpy(c->sha256, m->u.bundle_get_answer.sha256,
		    sizeof(c->sha256));
		c->answer.u.bundle_get_answer.sha256 = c->sha256;
	}
}

/*
 * A client has all of a bundle, as far as can be seen from here: every byte
 * went out to one that is there still and did not say that it had enough.
 */
static void
fetched(const struct call *c, const char *sha256)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_bundle_fetched;
	m.u.bundle_fetched.run = c->run;
	m.u.bundle_fetched.sha256 = sha256;
	sibling_send(front.queue, &m);
}

static void
answer(struct call *c, struct msg *m)
{
	/* What is left of its stream is of no use to anybody. */
	front_relay_end(c, "the request has been answered");
	if (c->user != NULL) {
		m->id = c->client_id;
		if (peer_send(c->user->client.peer, m) == 0 && c->whole &&
		    m->type == MSG_TYPE_bundle_get_answer)
			fetched(c, m->u.bundle_get_answer.sha256);
	}
	call_free(c);
}

void
front_call_answer(struct peer *from, struct msg *m)
{
	struct call *c = call_find(from, m->id);

	if (m->type != MSG_TYPE_error && m->type != answer_of(c))
		fatalx("unexpected %s from %s", msg_decl(m->type)->wire,
		    peer_name(from));
	if (c->user != NULL && m->type != MSG_TYPE_error &&
	    c->way == RELAY_DOWN && !c->source_over) {
		if (c->held)
			fatalx("%s answers twice", peer_name(from));
		hold(c, m);
	} else
		answer(c, m);
}

void
front_call_flush(struct call *c)
{
	if (c->held)
		answer(c, &c->answer);
}

/* Rows, on their way to the client. */
void
front_call_event(struct peer *from, struct msg *m)
{
	struct call *c = call_find(from, m->id);

	if (m->type != MSG_TYPE_ps_row || c->type != MSG_TYPE_ps)
		fatalx("unexpected %s from %s", msg_decl(m->type)->wire,
		    peer_name(from));
	if (c->user == NULL)
		return;
	m->id = c->client_id;
	peer_send(c->user->client.peer, m);
	front_call_touch(c);
}

/* --- events ----------------------------------------------------------- */

void
front_call_user_gone(struct user *u)
{
	struct call *c;

	while ((c = TAILQ_FIRST(&u->calls)) != NULL) {
		call_part(c);
		front_relay_end(c, "the client has left");
		c->deadline = 0;
		if (!c->asked || c->held)
			call_free(c);
	}
}

static void
late(struct call *c)
{
	if (c->way == RELAY_DOWN && !c->flowing)
		front_call_fail(c, "timeout",
		    "the stream was not given any credit in time");
	else if (c->way == RELAY_UP && c->flowing && c->deadline == c->whole_by)
		front_call_fail(
		    c, "timeout", "the prompt did not come whole in time");
	else if (c->way != RELAY_NONE && c->flowing)
		front_call_fail(c, "timeout", "the stream did not move on");
	else {
		log_warnx("%s did not answer %s in %d ms", peer_name(c->to),
		    msg_decl(c->type)->wire, FRONTEND_CALL_MS);
		front_call_fail(
		    c, "unavailable", "the answer did not come in time");
	}
}

void
front_call_tick(int64_t now)
{
	struct call *c, *next;

	RB_FOREACH_SAFE(c, front_calls, &calls, next)
	{
		if (c->deadline != 0 && c->deadline <= now)
			late(c);
	}
}
