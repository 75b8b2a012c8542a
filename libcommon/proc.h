#ifndef LIBCOMMON_PROC_H
#define LIBCOMMON_PROC_H

/*
 * Processes of a daemon. The parent starts each child by fork and exec of
 * its own program as `NAME [-d] [-v ...] -x ROLE INSTANCE NLINKS UID GID
 * [GROUP]` with fixed descriptors: 1 and 2 as they are, 0 the child's lifeline
 * (a pipe without bytes whose end ends the child; its sandbox lets nobody close
 * it), PROC_FD_PARENT the link to the parent, then NLINKS of the role's own in
 * the order of its table. `NAME -x selftest ROLE` is sandbox_selftest.
 */

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include <event2/event.h>

#include "sandbox.h"

#define PROC_FD_PARENT 3
#define PROC_FD_FIRST 4 /* the first of the role's links */
#define PROC_FDS_MAX 64 /* links of one child */
#define PROC_MAX 64 /* children of one daemon */

#define EXIT_CONFIG 1 /* INTERFACE.md, Daemons */
#define EXIT_INTERNAL 70
#define EXIT_SYSTEM 71
#define EXIT_SANDBOX 78

struct proc_spec {
	const char *role;
	unsigned instance; /* from 0 */
	uid_t uid; /* dropped to in the child, if root */
	gid_t gid;
	gid_t group; /* the one supplementary group; 0: none */
	int parent_fd; /* the child's end; closed by spawn */
	int fds[PROC_FDS_MAX]; /* likewise */
	size_t nfds;
};

/* What a child was told on its command line. */
struct proc_self {
	const char *daemon; /* "egressd" */
	const char *role;
	unsigned instance;
	unsigned nlinks; /* at PROC_FD_FIRST and up */
	uid_t uid;
	gid_t gid;
	gid_t group; /* 0: none */
};

/*
 * Start one child. Returns its pid, or -1 with errno. All descriptors of spec
 * are closed in the parent in either case. The debug flags of our own log are
 * handed on.
 */
pid_t proc_spawn(const char *daemon, const struct proc_spec *spec);

/*
 * Parse the words behind -x (argv[optind - 1] is ROLE). Returns 0 or -1: the
 * caller says usage.
 */
int proc_parse_self(
    const char *daemon, int argc, char **argv, struct proc_self *self);

/*
 * The start recipe of every child, in one order, before its loop and its
 * first untrusted byte: name the log "egressd/proxy", close all descriptors
 * from PROC_FD_FIRST + self->nlinks up but the log's (so the event base is made
 * behind this call), ignore HUP, INT, TERM and PIPE (the parent speaks by
 * message), rlimits (no core; descriptors to nofile), tzset,
 * drop groups (but self->group), gid, uid, capabilities and the bounding set
 * but keep_caps (a mask, Linux), chdir /, non-dumpable, die with the parent
 * (rechecked), no new privileges, sandbox. It does not return on failure: exits
 * EXIT_SYSTEM or EXIT_SANDBOX with one line of log. Returns what the kernel
 * gave.
 */
struct sandbox_state proc_enter(const struct proc_self *self,
    unsigned long nofile, uint64_t keep_caps, enum sandbox_purpose purpose);

/*
 * The same for the parent behind its last child: to uid and gid, keeping
 * keep_caps as effective. Its descriptors (an event base too), directory and
 * signals stay. From here it cannot signal its children: proc_watch_kill.
 */
struct sandbox_state proc_enter_parent(uid_t uid, gid_t gid, uint64_t keep_caps,
    enum sandbox_purpose purpose, const struct sandbox_paths *paths);

/*
 * Supervision (parent). proc_watch takes note of a child; when one ends,
 * gone(role, instance, wait status) is called once from the loop.
 */
struct proc_watch;
struct proc_watch *proc_watch_new(struct event_base *base,
    void (*gone)(const char *role, unsigned instance, int status, void *arg),
    void *arg);
int proc_watch_add(
    struct proc_watch *w, pid_t pid, const char *role, unsigned instance);
/*
 * End those still alive, whoever they run as, and reap them all; gone is not
 * called. May be called from gone.
 */
void proc_watch_kill(struct proc_watch *w);
void proc_watch_free(struct proc_watch **w);
/* "exited 1", "killed by signal 9 (Killed)"; buf of 64 bytes is enough. */
const char *proc_status_string(int status, char *buf, size_t len);

/* Look a user up. Returns 0 or -1 (no such user). */
int proc_user(const char *name, uid_t *uid, gid_t *gid);

/* A non-blocking, close-on-exec stream pair. Returns 0 or -1 with errno. */
int proc_socketpair(int sv[2]);

/*
 * sd_notify(3) without the library: send text ("READY=1") to NOTIFY_SOCKET if
 * it is set. proc_notify_open is called before the sandbox.
 */
void proc_notify_open(void);
void proc_notify(const char *text);

#endif
