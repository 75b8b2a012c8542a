#ifndef AGENT_CLI_ENTRYPOINT_CHILD_H
#define AGENT_CLI_ENTRYPOINT_CHILD_H

/*
 * The children of PID 1: the tool, and the workers that run git. One at a time
 * is minded; whatever else lives in the container is an orphan that is reaped,
 * or killed when the minded one has ended.
 */

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "entrypoint_ring.h"

#define CHILD_KILL_MS 5000 /* until everything that was killed is gone */
#define CHILD_TICK_MS 200 /* how late a deadline may be noticed */
#define CHILD_DEADLINE_GRACE_MS 1000 /* TERM to KILL behind a deadline */
#define OUTPUT_READ_MAX 65536 /* of one pipe in one turn of the loop */
#define OUTPUT_KEEP_MAX (4 * 1024 * 1024) /* unstored output */

/* --- entrypoint_linux.c: what only this system has ----------------------- */

/* Non-dumpable, no new privileges, orphans are ours. Returns 0 or -1. */
int system_harden(void);
/*
 * Be the one whom the kernel kills first when memory is short. Makes the caller
 * dumpable, or it could not say so: just before exec, which does that as well.
 */
void system_expendable(void);
/*
 * Close every descriptor >= low. Unlike fd_close_from it lives under an
 * engine's filter that refuses what it does not know.
 */
void system_close_from(int low);
/* Send sig to every process but us: as PID 1 all, else our descendants. */
void system_signal_others(int sig);
/*
 * A descriptor that is readable when somebody sends TERM, which ends nothing
 * by itself from then on; -1 with errno.
 */
int system_term_fd(void);
/*
 * Take what came. Returns whether it came from outside of our namespace; by
 * whom it was sent otherwise is stored, 0 for nobody that has a number.
 */
bool system_term_outside(int fd, pid_t *by);

/* --- entrypoint_filter_linux.c: what its children may not ask of it ------ */

/* For the caller and all that comes of it. Each returns 0, or -1 with errno. */
int system_limit_tool(void); /* no limits of PID 1, no vsock, no io_uring */
int system_alone(void); /* it makes no process */

/* --- entrypoint_child.c -------------------------------------------------- */

struct child_spec {
	const char *dir;
	char *const *argv;
	char *const *envp; /* all of it; PATH finds argv[0] */
	int in, out, err; /* any descriptor above 2; -1: /dev/null */
	int64_t file_max; /* RLIMIT_FSIZE; 0: as it is */
	bool alone; /* it may have threads, and no process of its own */
};

/*
 * Start a program in a session of its own, with default signals and no
 * descriptor but these three. Returns its pid, or -1 with errno when it could
 * not be started, that of exec included.
 */
pid_t child_spawn(const struct child_spec *spec);
/* Run work in a child of ours, likewise; keep is the descriptor it keeps. */
pid_t child_fork(int (*work)(int keep, void *arg), int keep, void *arg);
/* The process and its group; a stopped one hears it too. */
void child_signal(pid_t pid, int sig);
/*
 * Kill everything but us and reap it. The status of `of` is stored, if it was
 * among them. Returns 0, or -1 when something outlived CHILD_KILL_MS.
 */
int child_kill_others(pid_t of, int *status);

/* --- entrypoint_ward.c: one child, minded --------------------------------- */

enum ward_end {
	WARD_EXITED, /* by itself */
	WARD_STOPPED,
	WARD_DEADLINE
};

struct ward;

/*
 * ended is called once for each ward_watch, from the loop, when the child is
 * reaped and everything else is killed. status is as waitpid has it.
 */
struct ward *ward_new(struct event_base *base,
    void (*ended)(enum ward_end end, int status, void *arg), void *arg);
void ward_free(struct ward **w);
/* Mind a child until deadline_ms on the boot clock (INT64_MAX: none). */
void ward_watch(struct ward *w, pid_t pid, int64_t deadline_ms);
/* TERM now, KILL at grace. Said twice, the earlier KILL holds. */
void ward_stop(struct ward *w, int64_t grace_ms);

/* --- entrypoint_output.c: the tool's pipes ---------------------------------
 */

struct output;

/* more is called from the loop when the ring has new bytes. */
struct output *
output_new(struct event_base *base, void (*more)(void *arg), void *arg);
void output_free(struct output **o);
/*
 * Make the pipes; the tool's ends, the caller's to close. Returns 0 or -1
 * with errno.
 */
int output_open(struct output *o, int *out, int *err);
/* Nobody writes any more: take what is left in the pipes and close them. */
void output_drain(struct output *o);
struct ring *output_ring(struct output *o);

/* --- entrypoint_feed.c: the prompt on the tool's standard input ------------
 */

struct feed;

/*
 * Write buf (owned from here, zeroed and freed when it is written or refused)
 * to fd (likewise), then close it. NULL when out of memory.
 */
struct feed *
feed_new(struct event_base *base, int fd, uint8_t *buf, size_t len);
void feed_free(struct feed **f);

#endif
