#include <string.h>

#include "dispatchd/queue_state.h"

#define EXIT_KILLED 137 /* how a shell words a child's SIGKILL */
#define SIGNAL_KILL 9

static const char *const state_names[STATE_MAX] = {
	[STATE_QUEUED] = "QUEUED",
	[STATE_ADMITTED] = "ADMITTED",
	[STATE_OPENED] = "OPENED",
	[STATE_CREATED] = "CREATED",
	[STATE_GATED] = "GATED",
	[STATE_COMMITTED] = "COMMITTED",
	[STATE_RUNNING] = "RUNNING",
	[STATE_EXITED] = "EXITED",
	[STATE_HARVESTED] = "HARVESTED",
	[STATE_PUBLISHING] = "PUBLISHING",
	[STATE_PUBLISHED] = "PUBLISHED",
	[STATE_CLOSED] = "CLOSED",
	[STATE_DONE] = "DONE",
};

/* The statuses are the interface's: scripts go by them. */
static const struct {
	const char *name;
	int status;
} classes[CLASS_MAX] = {
	[CLASS_NONE] = { "", -1 },
	[CLASS_OK] = { "ok", 0 },
	[CLASS_NO_CHANGE] = { "no_change", 0 },
	[CLASS_AGENT_FAILED] = { "agent_failed", 1 },
	[CLASS_OOM] = { "oom", 10 },
	[CLASS_DEADLINE] = { "deadline", 11 },
	[CLASS_IDLE] = { "idle", 12 },
	[CLASS_HUNG_START] = { "hung_start", 13 },
	[CLASS_BUDGET] = { "budget", 14 },
	[CLASS_CANCELLED] = { "cancelled", 15 },
	[CLASS_QUOTA] = { "quota", 16 },
	[CLASS_LOST_INFRA] = { "lost_infra", 17 },
	[CLASS_BOUNDARY_VIOLATION] = { "boundary_violation", 18 },
	[CLASS_SECRET_BLOCKED] = { "secret_blocked", 19 },
	[CLASS_PUBLISH_FAILED] = { "publish_failed", 20 },
	[CLASS_UNTRUSTED_RESULT] = { "untrusted_result", 21 },
};

const char *
queue_state_name(enum queue_state s)
{
	return (unsigned)s < STATE_MAX ? state_names[s] : NULL;
}

const char *
queue_class_name(enum queue_class c)
{
	return (unsigned)c < CLASS_MAX ? classes[c].name : NULL;
}

enum queue_state
queue_state_parse(const char *s)
{
	unsigned i;

	for (i = 0; i < STATE_MAX; i++) {
		if (strcmp(state_names[i], s) == 0)
			break;
	}
	return (enum queue_state)i;
}

enum queue_class
queue_class_parse(const char *s)
{
	unsigned i;

	for (i = 0; i < CLASS_MAX; i++) {
		if (strcmp(classes[i].name, s) == 0)
			break;
	}
	return (enum queue_class)i;
}

bool
queue_state_terminal(enum queue_state s)
{
	return s == STATE_DONE;
}

bool
queue_state_live(enum queue_state s)
{
	return s > STATE_QUEUED && s < STATE_DONE;
}

int
queue_class_exit(enum queue_class c)
{
	return (unsigned)c < CLASS_MAX ? classes[c].status : -1;
}

/* --- steps --------------------------------------------------------------- */

#define TO(s) (1U << STATE_##s)

/* Which states may follow. CLOSED is where every way out of a run leads. */
static const unsigned follows[STATE_MAX] = {
	[STATE_QUEUED] = TO(ADMITTED) | TO(DONE),
	[STATE_ADMITTED] = TO(OPENED) | TO(QUEUED) | TO(CLOSED),
	[STATE_OPENED] = TO(CREATED) | TO(QUEUED) | TO(CLOSED),
	[STATE_CREATED] = TO(GATED) | TO(QUEUED) | TO(CLOSED),
	[STATE_GATED] = TO(COMMITTED) | TO(QUEUED) | TO(CLOSED),
	/* "released" may have been lost with us: EXITED says it as well. */
	[STATE_COMMITTED] = TO(RUNNING) | TO(EXITED) | TO(QUEUED) | TO(CLOSED),
	[STATE_RUNNING] = TO(EXITED) | TO(CLOSED),
	[STATE_EXITED] = TO(HARVESTED) | TO(CLOSED),
	[STATE_HARVESTED] = TO(PUBLISHING) | TO(CLOSED),
	[STATE_PUBLISHING] = TO(PUBLISHED) | TO(CLOSED),
	[STATE_PUBLISHED] = TO(CLOSED),
	[STATE_CLOSED] = TO(DONE),
	[STATE_DONE] = 0,
};

#undef TO

const char *
queue_step_wrong(const struct queue_step *s)
{
	if ((unsigned)s->from >= STATE_MAX || (unsigned)s->to >= STATE_MAX ||
	    (unsigned)s->had >= CLASS_MAX || (unsigned)s->has >= CLASS_MAX)
		return "no such state or class";
	if ((follows[s->from] & 1U << s->to) == 0)
		return "that state cannot follow";
	if (s->had != CLASS_NONE && s->has != s->had)
		return "its class is decided already";
	if (s->to == STATE_QUEUED && s->has != CLASS_NONE)
		return "what has ended is not queued again";
	if (s->to == STATE_QUEUED && s->from >= STATE_COMMITTED &&
	    (!s->exit78 || s->released))
		return "it is committed, and may have begun";
	if (s->to == STATE_QUEUED && s->released)
		return "it has begun";
	if (s->to <= STATE_COMMITTED && s->stop != CLASS_NONE)
		return "it is being stopped";
	if (s->to >= STATE_CLOSED && s->has == CLASS_NONE)
		return "it cannot end without a class";
	return NULL;
}

/* --- how a tool ended ------------------------------------------------------
 */

enum queue_class
queue_class_of(const struct queue_exit *e)
{
	if (e->stop != CLASS_NONE)
		return e->stop;
	/* PID 1 has the deadline too, for when we are away. */
	if (strcmp(e->reason, "deadline") == 0)
		return CLASS_DEADLINE;
	if (strcmp(e->reason, "clone") == 0)
		return CLASS_AGENT_FAILED;
	if (strcmp(e->reason, "tool") != 0)
		return CLASS_LOST_INFRA;
	if (e->oom && (e->signal == SIGNAL_KILL || e->exit_code == EXIT_KILLED))
		return CLASS_OOM;
	if (e->signal != 0 || e->exit_code != 0)
		return CLASS_AGENT_FAILED;
	if (e->repo && e->lost != NULL)
		return strcmp(e->lost, "agent") == 0 ? CLASS_AGENT_FAILED
		    : strcmp(e->lost, "quota") == 0  ? CLASS_QUOTA
		                                     : CLASS_LOST_INFRA;
	return e->repo && !e->bundle ? CLASS_NO_CHANGE : CLASS_OK;
}

/* --- recovery --------------------------------------------------------------
 */

enum queue_container
queue_container_parse(const char *status)
{
	static const struct {
		const char *status;
		enum queue_container container;
	} rows[] = {
		{ "", CONTAINER_ABSENT },
		{ "absent", CONTAINER_ABSENT },
		{ "created", CONTAINER_CREATED },
		{ "running", CONTAINER_RUNNING },
		{ "paused", CONTAINER_RUNNING },
		{ "restarting", CONTAINER_RUNNING },
		{ "exited", CONTAINER_EXITED },
		{ "removing", CONTAINER_DEAD },
		{ "dead", CONTAINER_DEAD },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(rows[i].status, status) == 0)
			return rows[i].container;
	}
	return CONTAINER_UNKNOWN;
}

/* PID 1 is taken up when it is there, waited for while there is time. */
static enum queue_action
reconnect(const struct queue_situation *s, enum queue_action otherwise)
{
	if (s->connected)
		return ACTION_ADOPT;
	return s->overdue ? otherwise : ACTION_WAIT;
}

/*
 * Before COMMITTED nothing happened: a retry is free. A container that the
 * row does not account for is not taken up.
 */
static enum queue_action
recover_before(const struct queue_situation *s)
{
	/* The row is older than the run: a copy from somewhere. */
	if (s->released)
		return ACTION_LOST;
	if (s->container == CONTAINER_ABSENT)
		return ACTION_REQUEUE;
	/* The answer to create may have been lost, or its row. */
	if (s->container == CONTAINER_CREATED &&
	    (s->state == STATE_OPENED || s->state == STATE_CREATED))
		return ACTION_ADOPT;
	if (s->container == CONTAINER_RUNNING &&
	    (s->state == STATE_CREATED || s->state == STATE_GATED))
		return reconnect(s, ACTION_KILL_REQUEUE);
	return ACTION_KILL_REQUEUE;
}

/* It may have begun, so it is never started again, unless PID 1 said 78. */
static enum queue_action
recover_committed(const struct queue_situation *s)
{
	bool began = s->released || s->state != STATE_COMMITTED;

	/* What the engine says of it may be the power cut, not its end. */
	if (s->rebooted)
		return ACTION_LOST;
	if (s->container == CONTAINER_RUNNING)
		return reconnect(s, ACTION_LOST);
	if (s->container != CONTAINER_EXITED)
		return ACTION_LOST;
	return s->exit78 && !began ? ACTION_KILL_REQUEUE : ACTION_HARVEST;
}

enum queue_action
queue_recover(const struct queue_situation *s)
{
	bool there = s->container != CONTAINER_ABSENT;

	/* Of what the engine does not tell, nothing is concluded. */
	if (s->container == CONTAINER_UNKNOWN)
		return s->state == STATE_QUEUED || s->state == STATE_DONE
		    ? ACTION_NOTHING
		    : ACTION_WAIT;
	switch (s->state) {
	case STATE_QUEUED:
	case STATE_DONE:
		return there ? ACTION_REMOVE : ACTION_NOTHING;
	case STATE_ADMITTED:
	case STATE_OPENED:
	case STATE_CREATED:
	case STATE_GATED:
		return recover_before(s);
	case STATE_COMMITTED:
	case STATE_RUNNING:
		return recover_committed(s);
	case STATE_EXITED:
		/* How it ended is known; PID 1 may still hold the bundle. */
		if (s->container == CONTAINER_RUNNING)
			return reconnect(s, ACTION_HARVEST);
		return ACTION_HARVEST;
	case STATE_HARVESTED:
	case STATE_PUBLISHING:
	case STATE_PUBLISHED:
		return ACTION_CLOSE;
	case STATE_CLOSED:
		return there ? ACTION_REMOVE : ACTION_CLOSE;
	case STATE_MAX:
		break;
	}
	return ACTION_WAIT;
}

const char *
queue_action_name(enum queue_action a)
{
	static const char *const names[ACTION_MAX] = {
		[ACTION_NOTHING] = "nothing",
		[ACTION_REQUEUE] = "requeue",
		[ACTION_ADOPT] = "adopt",
		[ACTION_KILL_REQUEUE] = "kill and requeue",
		[ACTION_WAIT] = "wait",
		[ACTION_HARVEST] = "harvest",
		[ACTION_LOST] = "lost",
		[ACTION_CLOSE] = "close",
		[ACTION_REMOVE] = "remove",
	};

	return (unsigned)a < ACTION_MAX ? names[a] : NULL;
}
