#ifndef LIBCOMMON_SANDBOX_H
#define LIBCOMMON_SANDBOX_H

/*
 * Confinement by purpose. sandbox_linux.c: seccomp allowlist with argument
 * checks (kill the process; calls that a library makes in passing, such as
 * opening a file, get an errno where noted), Landlock as far as the kernel
 * has it. sandbox_darwin.c and sandbox_none.c say so in the state.
 */

#include <stdbool.h>
#include <stddef.h>

enum sandbox_purpose {
	SANDBOX_PARENT, /* supervises, re-reads configuration */
	SANDBOX_AUDIT, /* appends to one open file */
	SANDBOX_FRONTEND, /* accepts Unix clients, reads their creds */
	SANDBOX_PROXY, /* accepts and dials TCP, relays */
	SANDBOX_RESOLVER, /* UDP and TCP to DNS servers */
	SANDBOX_FW, /* one netlink socket that it was given */
	SANDBOX_ENGINE, /* dials one Unix socket, the container engine's */
	SANDBOX_RUNS, /* accepts Unix clients, writes below one directory */
	SANDBOX_QUEUE, /* a database below one directory; dials a Unix socket */
	SANDBOX_DISPATCH, /* a parent that makes Unix sockets below a directory
	                   */
	SANDBOX_PURPOSES
};

struct sandbox_state {
	bool seccomp;
	int landlock; /* ABI, 0 when absent */
	bool no_new_privs;
};

/*
 * What a purpose needs to name, read before the door closes: for
 * SANDBOX_PARENT and SANDBOX_DISPATCH the files and directories it may read,
 * NULL-terminated; else NULL. A file stands for the directory that it really
 * lies in, so that one that was replaced by renaming can be read again; one
 * that does not exist is skipped. getpwnam reads /etc/nsswitch.conf,
 * /etc/passwd, /etc/group.
 */
struct sandbox_paths {
	const char *const *read;
	int dir; /* open directory below which it may write, or for
	            SANDBOX_DISPATCH make directories and sockets; 0: none */
};

/*
 * Enter, for good. Returns 0 and fills *st, or -1 with errno when what the
 * kernel has could not be set up. A kernel without Landlock or seccomp is not
 * a failure: it is a state, logged here as a warning and shown by status.
 */
int sandbox_enter(enum sandbox_purpose purpose,
    const struct sandbox_paths *paths, struct sandbox_state *st);

/* The name of a purpose, and back (-1): "proxy". */
const char *sandbox_name(enum sandbox_purpose purpose);
int sandbox_purpose(const char *name);

/*
 * `-x selftest ROLE`: in forked children, each of which enters the sandbox
 * for real, try what the purpose must not do and print one line each, "ok
 * proxy open: EACCES", "ok proxy execve: killed by signal 31"; then what it
 * must still be able to do: "ok proxy needs splice: allowed". Returns the
 * number of lines that are not ok.
 */
int sandbox_selftest(enum sandbox_purpose purpose);

#endif
