#ifndef DISPATCHD_QUEUE_STATE_H
#define DISPATCHD_QUEUE_STATE_H

/*
 * The life of a run: its states, the classes it can end in, which step may
 * follow which, and what is to be done with a run that a restart finds. Pure.
 */

#include <stdbool.h>

/* In the order of a life; each is a committed row before its effect. */
enum queue_state {
	STATE_QUEUED,
	STATE_ADMITTED, /* resources and a network are its own */
	STATE_OPENED, /* the doors are open */
	STATE_CREATED, /* network and container are there */
	STATE_GATED, /* started; PID 1 has what it is to do */
	STATE_COMMITTED, /* proved: from here on never again */
	STATE_RUNNING, /* PID 1 said that it begins */
	STATE_EXITED,
	STATE_HARVESTED, /* log and bundle are stored */
	STATE_PUBLISHING,
	STATE_PUBLISHED,
	STATE_CLOSED, /* nothing of it is open any more */
	STATE_DONE,
	STATE_MAX
};

enum queue_class {
	CLASS_NONE, /* not over yet */
	CLASS_OK,
	CLASS_NO_CHANGE,
	CLASS_AGENT_FAILED,
	CLASS_OOM,
	CLASS_DEADLINE,
	CLASS_IDLE,
	CLASS_HUNG_START,
	CLASS_BUDGET,
	CLASS_CANCELLED,
	CLASS_QUOTA,
	CLASS_LOST_INFRA,
	CLASS_BOUNDARY_VIOLATION,
	CLASS_SECRET_BLOCKED,
	CLASS_PUBLISH_FAILED,
	CLASS_UNTRUSTED_RESULT,
	CLASS_MAX
};

/* PID 1's word that it forked nothing. */
#define QUEUE_EXIT_NOTHING 78

/* "QUEUED", "agent_failed"; NULL when it is none. */
const char *queue_state_name(enum queue_state s);
const char *queue_class_name(enum queue_class c);
/* STATE_MAX, CLASS_MAX when the text is none. "" is CLASS_NONE. */
enum queue_state queue_state_parse(const char *s);
enum queue_class queue_class_parse(const char *s);
bool queue_state_terminal(enum queue_state s);
/* Does it hold memory, a network, a place among capacity.runs? */
bool queue_state_live(enum queue_state s);
/* agent-cli's exit status for a class; CLASS_NONE has none: -1. */
int queue_class_exit(enum queue_class c);

/* --- steps --------------------------------------------------------------- */

struct queue_step {
	enum queue_state from, to;
	enum queue_class had, has; /* the row's, before and after */
	enum queue_class stop; /* somebody ends it */
	bool exit78; /* PID 1 left with QUEUE_EXIT_NOTHING ... */
	bool released; /* ... and never said that it begins */
};

/* May it be? NULL, or why not. */
const char *queue_step_wrong(const struct queue_step *s);

/* --- how a tool ended ------------------------------------------------------
 */

struct queue_exit {
	enum queue_class stop; /* why we ended it; CLASS_NONE: we did not */
	const char *reason; /* as PID 1 says it: agent exited */
	int exit_code, signal;
	bool oom; /* the engine's word */
	bool repo; /* there was one ... */
	bool bundle; /* ... and there are commits */
	const char *lost; /* NULL, or there is no bundle and should be one, of
	                     a repository: agent's or quota's doing, or not */
};

/* Unknown is never guessed into success. */
enum queue_class queue_class_of(const struct queue_exit *e);

/* --- recovery --------------------------------------------------------------
 */

enum queue_container {
	CONTAINER_UNKNOWN, /* the engine does not answer, or oddly */
	CONTAINER_ABSENT,
	CONTAINER_CREATED, /* never started */
	CONTAINER_RUNNING,
	CONTAINER_EXITED,
	CONTAINER_DEAD, /* half removed: nothing of it can be trusted */
	CONTAINER_MAX
};

enum queue_action {
	ACTION_NOTHING,
	ACTION_REQUEUE, /* nothing is there of it: QUEUED */
	ACTION_ADOPT, /* go on from its state with what is there */
	ACTION_KILL_REQUEUE, /* remove what is there, then QUEUED */
	ACTION_WAIT, /* for the engine, or for PID 1 to come back */
	ACTION_HARVEST, /* take what it left; its exit decides the class */
	ACTION_LOST, /* kill what is there; take what is stored; lost_infra */
	ACTION_CLOSE, /* go on with closing */
	ACTION_REMOVE, /* remove leftovers, change no row */
	ACTION_MAX
};

struct queue_situation {
	enum queue_state state; /* of the row */
	bool released; /* the row has it that PID 1 said so */
	enum queue_container container;
	bool exit78; /* CONTAINER_EXITED, with that status */
	bool connected; /* PID 1 is there */
	bool overdue; /* the time to reconnect is over */
	bool rebooted; /* the row's last step was in another boot */
};

/* From an engine's word ("" and "absent" too). */
enum queue_container queue_container_parse(const char *status);
enum queue_action queue_recover(const struct queue_situation *s);
const char *queue_action_name(enum queue_action a);

#endif
