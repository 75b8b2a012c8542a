/* A run as the queue sees it: what it is to do, when, and that it is over. */

#include <sys/stat.h>
#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/log.h"

#include "dispatchd/runs.h"

static void tell_output(int, short, void *);

/* --- files ------------------------------------------------------------ */

int
job_dir_open(const char *id, bool create)
{
	if (!runid_valid(id)) {
		errno = EINVAL;
		return -1;
	}
	if (create && mkdirat(runs.dirfd, id, 0700) == -1 && errno != EEXIST)
		return -1;
	return openat(
	    runs.dirfd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Everything that a run may have there. */
static void
job_dir_remove(const char *id)
{
	static const char *const names[] = { "log", "log.1", "log.2", "bundle",
		"bundle.part" };
	size_t i;
	int fd;

	if ((fd = job_dir_open(id, false)) == -1)
		return;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlinkat(fd, names[i], 0);
	close(fd);
	if (unlinkat(runs.dirfd, id, AT_REMOVEDIR) == -1)
		log_warn("run %s: its directory", id);
}

/* --- life ------------------------------------------------------------- */

struct job *
job_find(const char *id)
{
	struct job *j;

	TAILQ_FOREACH(j, &runs.jobs, entry) {
		if (strcmp(j->id, id) == 0)
			return j;
	}
	return NULL;
}

void
job_free(struct job *j)
{
	serve_detach(j);
	agent_drop(j);
	door_close(j);
	if (j->unsaid > 0)
		log_warnx("run %s: %llu more lines about it were not logged",
		    j->id, (unsigned long long)j->unsaid);
	if (j->ev_tell != NULL)
		event_free(j->ev_tell);
	bundle_drop(j);
	runs_log_close(&j->log);
	if (j->dirfd != -1)
		close(j->dirfd);
	start_drop(j);
	TAILQ_REMOVE(&runs.jobs, j, entry);
	runs.njobs--;
	free(j);
}

struct job *
job_new(const char *id)
{
	struct job *j;

	if (runs.njobs >= RUNS_JOBS_MAX || !runid_valid(id))
		return NULL;
	if ((j = calloc(1, sizeof(*j))) == NULL)
		return NULL;
	strlcpy(j->id, id, sizeof(j->id));
	strlcpy(j->phase, "none", sizeof(j->phase));
	j->dirfd = j->door = j->held = j->bundle.fd = -1;
	TAILQ_INSERT_TAIL(&runs.jobs, j, entry);
	runs.njobs++;
	if ((j->ev_tell = evtimer_new(runs.base, tell_output, j)) == NULL) {
		job_free(j);
		return NULL;
	}
	return j;
}

bool
job_may_log(struct job *j)
{
	if (j->said < RUNS_LINES_MAX) {
		j->said++;
		return true;
	}
	j->unsaid++;
	return false;
}

/* --- what the queue sends --------------------------------------------- */

void
job_door(const char *id, int fd)
{
	struct job *j = job_find(id);

	/* The door may come before the words. */
	if (j == NULL && (j = job_new(id)) == NULL) {
		log_warnx("run %s: no room for its door", id);
		close(fd);
		return;
	}
	door_open(j, fd);
}

void
job_expect(const struct msg_job_expect *m)
{
	struct job *j = job_find(m->run);

	if (j != NULL)
		door_expect(j, (pid_t)m->pid);
}

void
job_release(const char *id)
{
	struct job *j = job_find(id);
	struct msg m;

	if (j == NULL)
		return;
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_agent_release;
	agent_send(j, &m);
}

void
job_stop(const struct msg_job_stop *s)
{
	struct job *j = job_find(s->run);
	struct msg m;

	if (j == NULL)
		return;
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_agent_stop;
	m.u.agent_stop.grace_ms = s->grace_ms;
	m.u.agent_stop.reason = s->reason;
	agent_send(j, &m);
}

void
job_finish(const char *id)
{
	struct job *j = job_find(id);
	struct msg m;

	if (j == NULL)
		return;
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_agent_finish;
	agent_send(j, &m);
}

/*
 * What its log holds. A run that ended while we were away is closed without
 * having been begun again: the files know.
 */
static void
log_count(const struct job *j, const char *id, struct msg_job_closed *m)
{
	struct runs_log *log = j != NULL ? j->log : NULL, *own = NULL;
	int fd;

	if (log == NULL && (fd = job_dir_open(id, false)) != -1) {
		if ((log = own = runs_log_open(fd, 0)) == NULL)
			log_warn("run %s: its log", id);
		close(fd);
	}
	if (log == NULL)
		return;
	if (runs_log_sync(log) == -1)
		log_warn("run %s: its log", id);
	m->bytes = runs_log_bytes(log);
	m->kept = runs_log_kept(log);
	m->dropped = runs_log_dropped(log);
	runs_log_close(&own);
}

void
job_close(int64_t id, const struct msg_job_close *c)
{
	struct job *j = job_find(c->run);
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_job_closed;
	m.id = id;
	log_count(j, c->run, &m.u.job_closed);
	if (j != NULL)
		job_free(j);
	if (c->remove)
		job_dir_remove(c->run);
	sibling_send(runs.queue, &m);
}

/* --- what the queue hears --------------------------------------------- */

static void
tell_output(int fd, short what, void *arg)
{
	struct job *j = arg;
	struct msg m;

	if (j->log == NULL)
		return;
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_job_output;
	m.u.job_output.run = j->id;
	m.u.job_output.bytes = runs_log_bytes(j->log);
	m.u.job_output.kept = runs_log_kept(j->log);
	m.u.job_output.dropped = runs_log_dropped(j->log);
	sibling_send(runs.queue, &m);
}

void
job_tell_output(struct job *j)
{
	struct timeval tv = { RUNS_TELL_MS / 1000, 0 };

	if (!evtimer_pending(j->ev_tell, NULL))
		evtimer_add(j->ev_tell, &tv);
}
