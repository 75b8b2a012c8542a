#include <mach-o/dyld.h>
#include <sys/ptrace.h>
#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/proc.h"
#include "libcommon/proc_private.h"

int
proc_self_path(char *buf, size_t len)
{
	char raw[PATH_MAX], real[PATH_MAX];
	uint32_t size = sizeof(raw);

	if (_NSGetExecutablePath(raw, &size) == -1) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (realpath(raw, real) == NULL)
		return -1;
	if (strlcpy(buf, real, len) < len)
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

/* There are no capabilities: keep_caps says nothing here. */
int
proc_drop(uid_t uid, gid_t gid, gid_t group, uint64_t keep_caps)
{
	const gid_t groups[2] = { gid, group };

	if (geteuid() != 0)
		return 0;
	/* Our own first: the system does not take an empty list. */
	if (setgroups(group != 0 ? 2 : 1, groups) == -1 || setgid(gid) == -1 ||
	    setuid(uid) == -1)
		return -1;
	if (getuid() != uid || geteuid() != uid || getgid() != gid ||
	    getegid() != gid || (uid != 0 && setuid(0) == 0)) {
		errno = EPERM;
		return -1;
	}
	return 0;
}

int
proc_harden(const char *title)
{
	return ptrace(PT_DENY_ATTACH, 0, NULL, 0);
}

static void
on_lifeline(int sig)
{
	_exit(EXIT_INTERNAL);
}

/* A signal of our own choice is not to be had: SIGIO ends us by a handler. */
int
proc_die_with_parent(void)
{
	struct pollfd pfd = { STDIN_FILENO, 0, 0 };
	int flags;

	if (signal(SIGIO, on_lifeline) == SIG_ERR)
		return -1;
	if ((flags = fcntl(STDIN_FILENO, F_GETFL)) == -1 ||
	    fcntl(STDIN_FILENO, F_SETOWN, getpid()) == -1 ||
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
