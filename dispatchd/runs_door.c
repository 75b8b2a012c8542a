/*
 * The door of a run. Who is there is what the kernel says: only the process
 * that the engine named may come in, each time anew. Whatever is in the
 * container can knock as often as it likes; it is turned away, and counted.
 */

#include <sys/types.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/creds.h"
#include "libcommon/fd.h"
#include "libcommon/log.h"

#include "dispatchd/runs.h"

/* Returns 1 if it is PID 1, 0 if that cannot be known yet, -1 if it is not. */
static int
agent_is(struct job *j, int fd)
{
	struct creds c;

	if (creds_get(fd, &c) == -1)
		return -1;
	if (j->expect == 0)
		return 0;
	if (c.pid == j->expect)
		return 1;
	if (j->strangers++ == 0)
		log_warnx("run %s: pid %d at its door, which is not PID 1 "
		          "(%d); more of them are counted",
		    j->id, (int)c.pid, (int)j->expect);
	return -1;
}

static void
let_in(struct job *j, int fd)
{
	switch (agent_is(j, fd)) {
	case 1:
		agent_take(j, fd);
		break;
	case 0:
		/* One is kept until the pid is known, the latest. */
		if (j->held != -1)
			close(j->held);
		j->held = fd;
		break;
	default:
		close(fd);
		break;
	}
}

static bool
exhausted(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS ||
	    error == ENOMEM;
}

/* Who waits there stays ready, and would be all that we look at. */
static void
door_pause(struct job *j)
{
	struct timeval tv = { RUNS_DOOR_PAUSE_MS / 1000,
		RUNS_DOOR_PAUSE_MS % 1000 * 1000 };

	if (!j->door_short && job_may_log(j))
		log_warn("run %s: its door pauses", j->id);
	j->door_short = true;
	event_del(j->ev_door);
	evtimer_add(j->ev_pause, &tv);
}

static void
door_ready(int fd, short what, void *arg)
{
	struct job *j = arg;
	int i, s;

	for (i = 0; i < RUNS_DOOR_TURNS; i++) {
		if ((s = fd_accept(fd)) == -1) {
			if (exhausted(errno))
				door_pause(j);
			return;
		}
		j->door_short = false;
		let_in(j, s);
	}
}

static void
door_again(int fd, short what, void *arg)
{
	struct job *j = arg;

	event_add(j->ev_door, NULL);
}

static void
door_shut(struct job *j)
{
	if (j->ev_door != NULL)
		event_free(j->ev_door);
	if (j->ev_pause != NULL)
		event_free(j->ev_pause);
	j->ev_door = j->ev_pause = NULL;
	if (j->door != -1)
		close(j->door);
	j->door = -1;
}

void
door_open(struct job *j, int fd)
{
	door_shut(j);
	j->door = fd;
	j->ev_door =
	    event_new(runs.base, fd, EV_READ | EV_PERSIST, door_ready, j);
	j->ev_pause = evtimer_new(runs.base, door_again, j);
	if (j->ev_door == NULL || j->ev_pause == NULL) {
		log_warnx("run %s: out of memory for its door", j->id);
		door_shut(j);
		return;
	}
	event_add(j->ev_door, NULL);
}

void
door_expect(struct job *j, pid_t pid)
{
	int fd = j->held;

	j->expect = pid;
	j->held = -1;
	if (fd != -1)
		let_in(j, fd);
}

void
door_close(struct job *j)
{
	door_shut(j);
	if (j->held != -1)
		close(j->held);
	j->held = -1;
	if (j->strangers > 1)
		log_warnx("run %s: %llu at its door were not PID 1", j->id,
		    (unsigned long long)j->strangers);
}
