#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"
#include "libcommon/proc.h"
#include "libcommon/proc_private.h"

#define ROLE_MAX 16
#define REAP_MS 2000 /* for children that were ended to be gone */
#define REAP_STEP_MS 2

struct child {
	pid_t pid;
	char role[ROLE_MAX + 1];
	unsigned instance;
};

struct proc_watch {
	struct event *sigchld;
	struct child children[PROC_MAX];
	size_t n;
	void (*gone)(const char *, unsigned, int, void *);
	void *arg;
};

/* Reap one of ours: its wait status, and *c is it. False when none ended. */
static bool
reap(struct proc_watch *w, struct child *c, int *status)
{
	size_t i;
	pid_t pid;

	for (i = 0; i < w->n; i++) {
		do
			pid = waitpid(w->children[i].pid, status, WNOHANG);
		while (pid == -1 && errno == EINTR);
		if (pid == 0)
			continue;
		if (pid == -1)
			*status = 0; /* somebody else reaped it */
		*c = w->children[i];
		proc_lifeline_cut(c->pid);
		w->children[i] = w->children[--w->n];
		return true;
	}
	return false;
}

/*
 * Only by the pids that we know: another's child (of a library, of a test) is
 * not ours to reap. The callback may call proc_watch_kill.
 */
static void
on_sigchld(evutil_socket_t sig, short what, void *arg)
{
	struct proc_watch *w = arg;
	struct child c;
	int status;

	while (reap(w, &c, &status))
		w->gone(c.role, c.instance, status, w->arg);
}

struct proc_watch *
proc_watch_new(struct event_base *base,
    void (*gone)(const char *, unsigned, int, void *), void *arg)
{
	struct proc_watch *w;

	if ((w = calloc(1, sizeof(*w))) == NULL)
		return NULL;
	w->gone = gone;
	w->arg = arg;
	w->sigchld = evsignal_new(base, SIGCHLD, on_sigchld, w);
	if (w->sigchld == NULL || event_add(w->sigchld, NULL) == -1) {
		proc_watch_free(&w);
		return NULL;
	}
	return w;
}

int
proc_watch_add(
    struct proc_watch *w, pid_t pid, const char *role, unsigned instance)
{
	struct child *c;

	if (w->n == PROC_MAX || pid <= 0 || strlen(role) > ROLE_MAX) {
		errno = EINVAL;
		return -1;
	}
	c = &w->children[w->n++];
	c->pid = pid;
	strlcpy(c->role, role, sizeof(c->role));
	c->instance = instance;
	/* It may have ended before we knew it: look once from the loop. */
	event_active(w->sigchld, EV_SIGNAL, 1);
	return 0;
}

void
proc_watch_kill(struct proc_watch *w)
{
	const struct timespec step = { 0, REAP_STEP_MS * 1000000L };
	int64_t end = clock_boot_ms() + REAP_MS;
	struct child c;
	size_t i;
	int status;

	/*
	 * The lifeline ends a child in its sandbox, the signal one that has
	 * not armed it yet: whichever the kernel lets us have.
	 */
	for (i = 0; i < w->n; i++) {
		proc_lifeline_cut(w->children[i].pid);
		(void)kill(w->children[i].pid, SIGKILL);
	}
	while (w->n > 0 && clock_boot_ms() < end) {
		if (!reap(w, &c, &status))
			nanosleep(&step, NULL);
	}
	for (i = 0; i < w->n; i++)
		log_warnx("%s %u (pid %ld) does not end", w->children[i].role,
		    w->children[i].instance, (long)w->children[i].pid);
	w->n = 0;
}

void
proc_watch_free(struct proc_watch **w)
{
	if (*w == NULL)
		return;
	if ((*w)->sigchld != NULL)
		event_free((*w)->sigchld);
	free(*w);
	*w = NULL;
}

const char *
proc_status_string(int status, char *buf, size_t len)
{
	if (WIFEXITED(status))
		snprintf(buf, len, "exited %d", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		snprintf(buf, len, "killed by signal %d (%s)", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else
		snprintf(buf, len, "wait status %d", status);
	return buf;
}
