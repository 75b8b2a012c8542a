/*
 * One child and its limits. The deadline is on the boot clock: libevent's
 * timers stand still while the machine sleeps, so it is looked at in ticks.
 */

#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "libcommon/clock.h"

#include "entrypoint_child.h"

struct ward {
	struct event *ev_chld, *ev_tick;
	void (*ended)(enum ward_end end, int status, void *arg);
	void *arg;
	pid_t pid; /* 0: none */
	enum ward_end end;
	int64_t deadline_ms, kill_ms;
};

static void
end(struct ward *w, int status)
{
	/* What it leaves behind may not outlive it: nor may it be left alone.
	 */
	(void)child_kill_others(0, NULL);
	w->pid = 0;
	(void)event_del(w->ev_tick);
	w->ended(w->end, status, w->arg);
}

/* Every child is reaped here, whoever's it was. */
static void
chld(int sig, short what, void *arg)
{
	struct ward *w = arg;
	bool ours = false;
	int st, status = 0;
	pid_t pid;

	while ((pid = waitpid(-1, &st, WNOHANG)) > 0)
		if (w->pid != 0 && pid == w->pid) {
			ours = true;
			status = st;
		}
	if (ours)
		end(w, status);
}

static void
tick(int fd, short what, void *arg)
{
	int64_t now = clock_boot_ms();
	struct ward *w = arg;
	int status = SIGKILL; /* should it outlive even that */

	if (now >= w->deadline_ms) {
		w->deadline_ms = INT64_MAX;
		if (w->end == WARD_EXITED)
			w->end = WARD_DEADLINE;
		child_signal(w->pid, SIGTERM);
		if (w->kill_ms > now + CHILD_DEADLINE_GRACE_MS)
			w->kill_ms = now + CHILD_DEADLINE_GRACE_MS;
	}
	if (now < w->kill_ms)
		return;
	(void)child_kill_others(w->pid, &status);
	end(w, status);
}

struct ward *
ward_new(struct event_base *base,
    void (*ended)(enum ward_end end, int status, void *arg), void *arg)
{
	struct ward *w;

	if ((w = calloc(1, sizeof(*w))) == NULL)
		return NULL;
	w->ended = ended;
	w->arg = arg;
	w->ev_chld = evsignal_new(base, SIGCHLD, chld, w);
	w->ev_tick = event_new(base, -1, EV_PERSIST, tick, w);
	if (w->ev_chld == NULL || w->ev_tick == NULL ||
	    event_add(w->ev_chld, NULL) == -1)
		ward_free(&w);
	return w;
}

void
ward_free(struct ward **w)
{
	if (*w == NULL)
		return;
	if ((*w)->ev_chld != NULL)
		event_free((*w)->ev_chld);
	if ((*w)->ev_tick != NULL)
		event_free((*w)->ev_tick);
	free(*w);
	*w = NULL;
}

void
ward_watch(struct ward *w, pid_t pid, int64_t deadline_ms)
{
	struct timeval tv = { .tv_usec = CHILD_TICK_MS * 1000 };

	w->pid = pid;
	w->end = WARD_EXITED;
	w->deadline_ms = deadline_ms;
	w->kill_ms = INT64_MAX;
	(void)event_add(w->ev_tick, &tv);
	/* It may have ended before there was anybody to tell. */
	event_active(w->ev_chld, EV_SIGNAL, 1);
}

void
ward_stop(struct ward *w, int64_t grace_ms)
{
	int64_t at = clock_boot_ms() + grace_ms;

	if (w->pid == 0)
		return;
	if (w->end == WARD_EXITED)
		w->end = WARD_STOPPED;
	child_signal(w->pid, SIGTERM);
	if (at < w->kill_ms)
		w->kill_ms = at;
}
