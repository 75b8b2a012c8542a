/* What PID 1 asks of Linux. */

#include <sys/prctl.h>
#include <sys/signalfd.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "entrypoint_child.h"

#define CHILDREN_FILE "/proc/self/task/%d/children"
#define CHILDREN_MAX 65536 /* bytes of it; the next round sees the rest */
#define OOM_FILE "/proc/self/oom_score_adj"
#define OOM_SCORE "500"
#define FD_LAST 65535 /* where close_range is refused */

int
system_harden(void)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return -1;
	/* As PID 1 we are it already. */
	return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

void
system_expendable(void)
{
	int fd;

	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	if ((fd = open(OOM_FILE, O_WRONLY | O_CLOEXEC)) == -1)
		return;
	if (write(fd, OOM_SCORE, sizeof(OOM_SCORE) - 1) == -1)
		errno = 0; /* it was an offer */
	(void)close(fd);
}

void
system_close_from(int low)
{
	int fd;

	if (close_range((unsigned)low, ~0U, 0) == 0)
		return;
	for (fd = low; fd <= FD_LAST; fd++)
		(void)close(fd);
}

/* Descendants further down become our children when their parent is dead. */
static void
signal_children(int sig)
{
	static char text[CHILDREN_MAX + 1];
	char path[64], *p, *end;
	ssize_t n;
	long pid;
	int fd;

	(void)snprintf(path, sizeof(path), CHILDREN_FILE, (int)getpid());
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return;
	n = read(fd, text, CHILDREN_MAX);
	(void)close(fd);
	if (n <= 0)
		return;
	text[n] = '\0';
	for (p = text; (pid = strtol(p, &end, 10)) > 1 && *end == ' '; p = end)
		(void)kill((pid_t)pid, sig);
}

void
system_signal_others(int sig)
{
	if (getpid() == 1)
		(void)kill(-1, sig);
	else
		signal_children(sig);
}

int
system_term_fd(void)
{
	sigset_t term;

	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &term, NULL) == -1)
		return -1;
	return signalfd(-1, &term, SFD_CLOEXEC | SFD_NONBLOCK);
}

/*
 * Who has no number in our namespace is above it. Whoever is within may say
 * that of itself in a signal with words of its own (rt_sigqueueinfo), but the
 * kernel does not let it call such a one plain.
 */
bool
system_term_outside(int fd, pid_t *by)
{
	struct signalfd_siginfo info;
	bool outside = false;

	*by = 0;
	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_code == SI_USER && info.ssi_pid == 0)
			outside = true;
		else
			*by = (pid_t)info.ssi_pid;
	}
	return outside;
}
