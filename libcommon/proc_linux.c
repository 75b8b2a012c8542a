#include <sys/prctl.h>
#include <sys/syscall.h>

#include <linux/capability.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/proc_private.h"

#define CAP_MAX 63 /* bits of the kernel's sets */

/* Linux 6.3; the building machine's header may be older. */
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

int
proc_self_path(char *buf, size_t len)
{
	if (strlcpy(buf, "/proc/self/exe", len) < len)
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

static int
caps_get(uint64_t *permitted)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d) == -1)
		return -1;
	*permitted = (uint64_t)d[1].permitted << 32 | d[0].permitted;
	return 0;
}

/* Exactly these, effective and permitted; nothing to inherit. */
static int
caps_set(uint64_t keep)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = {
		{ (uint32_t)keep, (uint32_t)keep, 0 },
		{ (uint32_t)(keep >> 32), (uint32_t)(keep >> 32), 0 },
	};

	return (int)syscall(SYS_capset, &h, d);
}

/* Needs CAP_SETPCAP, so before the uid goes. */
static int
caps_bound(uint64_t keep)
{
	int cap;

	for (cap = 0; cap <= CAP_MAX; cap++) {
		if (keep & 1ULL << cap ||
		    prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 1)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == -1)
			return -1;
	}
	return 0;
}

static int
ids_set(uid_t uid, gid_t gid, gid_t group, uint64_t keep)
{
	if (setgroups(group != 0, &group) == -1 ||
	    setresgid(gid, gid, gid) == -1)
		return -1;
	if (caps_bound(keep) == -1)
		return -1;
	if (keep != 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == -1)
		return -1;
	if (setresuid(uid, uid, uid) == -1)
		return -1;
	return prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
}

/* What the kernel says of us now, not what it answered. */
static int
dropped(uid_t uid, gid_t gid, gid_t group)
{
	uid_t r, e, s;
	gid_t rg, eg, sg, got = 0;
	int groups = group != 0;

	if (getresuid(&r, &e, &s) == -1 || getresgid(&rg, &eg, &sg) == -1)
		return -1;
	if (r != uid || e != uid || s != uid || rg != gid || eg != gid ||
	    sg != gid || getgroups(0, NULL) != groups ||
	    getgroups(1, &got) != groups || got != group ||
	    (uid != 0 && setuid(0) == 0)) {
		errno = EPERM;
		return -1;
	}
	return 0;
}

/* Started as another user, only the capabilities that came along go. */
int
proc_drop(uid_t uid, gid_t gid, gid_t group, uint64_t keep_caps)
{
	int root = geteuid() == 0;
	uint64_t permitted;

	if (root && ids_set(uid, gid, group, keep_caps) == -1)
		return -1;
	if (caps_get(&permitted) == -1 || caps_set(keep_caps & permitted) == -1)
		return -1;
	/* A kernel without ambient capabilities has none to clear. */
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == -1 &&
	    errno != EINVAL)
		return -1;
	return root ? dropped(uid, gid, group) : 0;
}

int
proc_harden(const char *title)
{
	/* The program was executed by its number: it has no name yet. */
	if (title != NULL && prctl(PR_SET_NAME, title, 0, 0, 0) == -1)
		return -1;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return -1;
	/* Linux before 6.3 does not know it. */
	if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == -1 &&
	    errno != EINVAL)
		return -1;
	return 0;
}

/*
 * The closing of the lifeline raises SIGKILL for us, as we are our own to
 * signal. PR_SET_PDEATHSIG holds as long as the parent has not dropped its
 * privileges. Both are armed before we look whether it is still there.
 */
int
proc_die_with_parent(void)
{
	struct pollfd pfd = { STDIN_FILENO, 0, 0 };
	int flags;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1)
		return -1;
	if ((flags = fcntl(STDIN_FILENO, F_GETFL)) == -1 ||
	    fcntl(STDIN_FILENO, F_SETOWN, getpid()) == -1 ||
	    fcntl(STDIN_FILENO, F_SETSIG, SIGKILL) == -1 ||
	    fcntl(STDIN_FILENO, F_SETFL, flags | O_NONBLOCK | O_ASYNC) == -1)
		return -1;
	if (poll(&pfd, 1, 0) == -1)
		return -1;
	if (pfd.revents & (POLLHUP | POLLERR)) {
		errno = ESRCH;
		return -1;
	}
	return 0;
}
