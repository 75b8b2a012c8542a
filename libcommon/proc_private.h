#ifndef LIBCOMMON_PROC_PRIVATE_H
#define LIBCOMMON_PROC_PRIVATE_H

/* Between the files of proc; nobody else includes this. */

#include <sys/types.h>

#include <stddef.h>
#include <stdint.h>

/* --- proc_linux.c, proc_darwin.c: each returns 0, or -1 with errno ---- */

/* A path that execs the running program, whatever stands at its place now. */
int proc_self_path(char *buf, size_t len);
/*
 * Groups (but group, if not 0), gid, uid (when we are root), then capabilities
 * and the bounding set but keep_caps; what was given up is checked to be gone.
 */
int proc_drop(uid_t uid, gid_t gid, gid_t group, uint64_t keep_caps);
/* Not dumpable, no new privileges, no memory that turns executable. */
int proc_harden(const char *title);
/*
 * End with the parent. Descriptor 0 is the lifeline of proc_spawn.c; ESRCH
 * when the parent is gone already.
 */
int proc_die_with_parent(void);

/* --- proc_lifeline.c -------------------------------------------------- */

/*
 * A child dies when its lifeline, a pipe that carries no byte, is closed: by
 * us, or by the kernel when we die. A signal would not do: once the parent
 * and its children are different users, or in different Landlock domains, it
 * may send them none, neither by kill nor, as the kernel checks it the same
 * way, by PR_SET_PDEATHSIG.
 *
 * The end for the child, close-on-exec; or -1 with errno. Ours is kept and
 * belongs to nobody until proc_lifeline_bind or proc_lifeline_cut(0).
 */
int proc_lifeline_new(void);
void proc_lifeline_bind(pid_t pid);
void proc_lifeline_cut(pid_t pid);

#endif
