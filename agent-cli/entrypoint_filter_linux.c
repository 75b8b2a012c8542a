/*
 * System calls that PID 1 takes from its children. The tool has the same user
 * as PID 1, and to be of the same user is all that some calls ask for.
 *
 * By hand, not with libseccomp: two short programs, the same on every machine,
 * and nothing that would have to be linked into the program of images for it.
 * Each call is named by machine and number, since a process may make it by
 * another table than its own: int 0x80 and the x32 numbers reach the same
 * functions. A machine that is not listed gets no call at all.
 */

#include <sys/prctl.h>
#include <sys/socket.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <errno.h>
#include <sched.h>
#include <stddef.h>

#include "entrypoint_child.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define SOCKETCALL_SOCKET 1 /* linux/net.h: SYS_SOCKET */
#define X32 0x40000000U /* in the numbers of that table */
/* The lower half of the first argument: these machines begin with it. */
#define FIRST offsetof(struct seccomp_data, args[0])

#define LOAD(what) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (what))
/* Go on when it is so, else pass over so many. */
#define EQUAL(k, over) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), 0, (over))
#define HAS(k, over) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (k), (over), 0)
#define END(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define FAIL(e) END(SECCOMP_RET_ERRNO | (e))

#define CALL(machine, number, over)                                            \
	LOAD(offsetof(struct seccomp_data, arch)), EQUAL(machine, (over) + 2), \
	    LOAD(offsetof(struct seccomp_data, nr)), EQUAL(number, over)
/* A call with that first argument. */
#define NOT_WITH(first, machine, number, e) \
	CALL(machine, number, 3), LOAD(FIRST), EQUAL(first, 1), FAIL(e)
/* Whoever is asked for by its number, when it is PID 1. */
#define NOT_TO_PID1(machine, number) NOT_WITH(1, machine, number, EPERM)
#define NO_VSOCK(machine, number) \
	NOT_WITH(AF_VSOCK, machine, number, EAFNOSUPPORT)
#define NEVER(machine, number, e) CALL(machine, number, 1), FAIL(e)
/* A thread is no process. */
#define NO_PROCESS(machine, number) \
	CALL(machine, number, 3), LOAD(FIRST), HAS(CLONE_THREAD, 1), FAIL(EPERM)
#define KNOWN(machine) EQUAL(machine, 1), END(SECCOMP_RET_ALLOW)
#define KNOWN_ONLY                                                           \
	LOAD(offsetof(struct seccomp_data, arch)), KNOWN(AUDIT_ARCH_X86_64), \
	    KNOWN(AUDIT_ARCH_AARCH64), KNOWN(AUDIT_ARCH_I386),               \
	    KNOWN(AUDIT_ARCH_ARM), END(SECCOMP_RET_KILL_PROCESS)

/*
 * socket: AF_VSOCK leads to the machine that this one is a guest of, and no
 * network namespace and no packet rule is between. The engine's own profile
 * takes it away only since Docker 23. The i386 socketcall has its family in
 * memory, where no filter can see it; libraries use socket.
 *
 * io_uring: what is asked through a ring passes by every filter of calls, this
 * one too. Libraries do without.
 *
 * prlimit64: with it a process sets the limits of any other of its user, and
 * PID 1 without descriptors or memory loses what the run has made. The kernel
 * reads the number as the caller's namespace has it, and takes its lower half
 * alone; PID 1 has one thread. So 1 is PID 1 and nothing else is.
 */
static struct sock_filter of_the_tool[] = {
	NO_VSOCK(AUDIT_ARCH_X86_64, 41),
	NO_VSOCK(AUDIT_ARCH_X86_64, X32 | 41),
	NO_VSOCK(AUDIT_ARCH_I386, 359),
	NOT_WITH(SOCKETCALL_SOCKET, AUDIT_ARCH_I386, 102, ENOSYS),
	NO_VSOCK(AUDIT_ARCH_AARCH64, 198),
	NO_VSOCK(AUDIT_ARCH_ARM, 281),
	NEVER(AUDIT_ARCH_X86_64, 425, ENOSYS),
	NEVER(AUDIT_ARCH_X86_64, X32 | 425, ENOSYS),
	NEVER(AUDIT_ARCH_I386, 425, ENOSYS),
	NEVER(AUDIT_ARCH_AARCH64, 425, ENOSYS),
	NEVER(AUDIT_ARCH_ARM, 425, ENOSYS),
	NOT_TO_PID1(AUDIT_ARCH_X86_64, 302),
	NOT_TO_PID1(AUDIT_ARCH_X86_64, X32 | 302),
	NOT_TO_PID1(AUDIT_ARCH_I386, 340),
	NOT_TO_PID1(AUDIT_ARCH_AARCH64, 261),
	NOT_TO_PID1(AUDIT_ARCH_ARM, 369),
	KNOWN_ONLY,
};

/*
 * clone, fork, vfork. The flags of clone3 are in memory, where no filter can
 * see them: libraries take clone where there is none.
 */
static struct sock_filter without_processes[] = {
	NO_PROCESS(AUDIT_ARCH_X86_64, 56),
	NEVER(AUDIT_ARCH_X86_64, 57, EPERM),
	NEVER(AUDIT_ARCH_X86_64, 58, EPERM),
	NEVER(AUDIT_ARCH_X86_64, 435, ENOSYS),
	NO_PROCESS(AUDIT_ARCH_X86_64, X32 | 56),
	NEVER(AUDIT_ARCH_X86_64, X32 | 57, EPERM),
	NEVER(AUDIT_ARCH_X86_64, X32 | 58, EPERM),
	NEVER(AUDIT_ARCH_X86_64, X32 | 435, ENOSYS),
	NO_PROCESS(AUDIT_ARCH_I386, 120),
	NEVER(AUDIT_ARCH_I386, 2, EPERM),
	NEVER(AUDIT_ARCH_I386, 190, EPERM),
	NEVER(AUDIT_ARCH_I386, 435, ENOSYS),
	NO_PROCESS(AUDIT_ARCH_AARCH64, 220),
	NEVER(AUDIT_ARCH_AARCH64, 435, ENOSYS),
	NO_PROCESS(AUDIT_ARCH_ARM, 120),
	NEVER(AUDIT_ARCH_ARM, 2, EPERM),
	NEVER(AUDIT_ARCH_ARM, 190, EPERM),
	NEVER(AUDIT_ARCH_ARM, 435, ENOSYS),
	KNOWN_ONLY,
};

static int
enforce(struct sock_filter *filter, size_t n)
{
	struct sock_fprog prog = { .len = (unsigned short)n, .filter = filter };

	/* Who has no privileges to gain may have a filter. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

int
system_limit_tool(void)
{
	return enforce(of_the_tool, COUNT(of_the_tool));
}

int
system_alone(void)
{
	return enforce(without_processes, COUNT(without_processes));
}
