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

static void
blob_free(struct blob *b)
{
	if (b->buf != NULL)
		freezero(b->buf, b->want);
	memset(b, 0, sizeof(*b));
}

static void
job_free(struct job *j)
{
	serve_detach(j);
	agent_drop(j);
	if (j->ev_door != NULL)
		event_free(j->ev_door);
	if (j->door != -1)
		close(j->door);
	if (j->held != -1)
		close(j->held);
	if (j->ev_tell != NULL)
		event_free(j->ev_tell);
	bundle_drop(j);
	runs_log_close(&j->log);
	if (j->dirfd != -1)
		close(j->dirfd);
	if (j->has_start)
		msg_free(&j->start);
	blob_free(&j->prompt);
	blob_free(&j->ca);
	TAILQ_REMOVE(&runs.jobs, j, entry);
	runs.njobs--;
	free(j);
}

static struct job *
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

/* --- what the queue sends --------------------------------------------- */

/* A copy of its own of what PID 1 is to be told. Returns 0 or -1. */
static int
start_copy(struct job *j, const struct msg_job_start *m)
{
	struct msg out;
	char *text, why[128];
	size_t len;
	int r;

	memset(&out, 0, sizeof(out));
	out.type = MSG_TYPE_agent_start;
	out.u.agent_start.run = m->run;
	out.u.agent_start.proxy = m->proxy;
	out.u.agent_start.canary = m->canary;
	out.u.agent_start.gateway = m->gateway;
	out.u.agent_start.siblings = m->siblings;
	out.u.agent_start.repo = m->repo;
	out.u.agent_start.directory = m->directory;
	out.u.agent_start.base = m->base;
	out.u.agent_start.branch = m->branch;
	out.u.agent_start.argv = m->argv;
	out.u.agent_start.prompt_by = m->prompt_by;
	out.u.agent_start.env = m->env;
	out.u.agent_start.deadline_ms = m->deadline_ms;
	out.u.agent_start.bundle_limit = m->bundle_limit;
	out.u.agent_start.prompt_bytes = m->prompt_bytes;
	out.u.agent_start.prompt_stream =
	    m->prompt_bytes > 0 ? RUNS_STREAM_PROMPT : 0;
	out.u.agent_start.ca_bytes = m->ca_bytes;
	out.u.agent_start.ca_stream = m->ca_bytes > 0 ? RUNS_STREAM_CA : 0;
	if (msg_encode(&out, &text, &len, why, sizeof(why)) == -1) {
		log_warnx("run %s: %s", j->id, why);
		return -1;
	}
	r = msg_decode(text, len, &j->start, why, sizeof(why));
	freezero(text, len);
	j->has_start = r == 0;
	return r;
}

static int
blob_expect(struct blob *b, int64_t stream, int64_t bytes)
{
	if (bytes == 0)
		return 0;
	if ((b->buf = malloc((size_t)bytes)) == NULL)
		return -1;
	b->want = (size_t)bytes;
	b->in = (uint32_t)stream;
	return peer_stream_expect(runs.queue, b->in, bytes);
}

static void
refuse(int64_t id, const char *code, const char *why)
{
	peer_send_error(runs.queue, id, code, why);
}

/* All of it is there: tell the queue, and PID 1 if that waits. */
static void
job_progress(struct job *j)
{
	struct msg m;

	if (j->complete || j->prompt.in != 0 || j->ca.in != 0)
		return;
	j->complete = true;
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_job_ready;
	m.id = j->start_id;
	m.u.job_ready.log_bytes = runs_log_bytes(j->log);
	runs_send(runs.queue, &m);
	agent_begin(j);
}

/*
 * The queue says it once for each time that it has a run adopted or made; a
 * run that is there already is taken anew, but its door and PID 1 stay.
 */
void
job_start(int64_t id, const struct msg_job_start *m)
{
	struct job *j = job_find(m->run);

	if (j != NULL && j->has_start) {
		refuse(id, "conflict", "the run is there already");
		return;
	}
	if (j == NULL && (j = job_new(m->run)) == NULL) {
		refuse(id, "unavailable", "no room for the run");
		return;
	}
	j->start_id = id;
	j->bundle_limit = m->bundle_limit;
	j->disk_reserve = m->disk_reserve;
	if ((j->dirfd = job_dir_open(m->run, true)) == -1 ||
	    (j->log = runs_log_open(j->dirfd, m->log_limit)) == NULL) {
		log_warn("run %s: its log", m->run);
		refuse(id, "storage", "its log cannot be opened");
		job_free(j);
		return;
	}
	if (start_copy(j, m) == -1 ||
	    blob_expect(&j->prompt, m->prompt_stream, m->prompt_bytes) == -1 ||
	    blob_expect(&j->ca, m->ca_stream, m->ca_bytes) == -1) {
		refuse(id, "unavailable", "out of memory");
		job_free(j);
		return;
	}
	job_progress(j);
}

static struct blob *
blob_find(uint32_t stream, struct job **jp)
{
	struct job *j;

	TAILQ_FOREACH(j, &runs.jobs, entry) {
		*jp = j;
		if (j->prompt.in == stream)
			return &j->prompt;
		if (j->ca.in == stream)
			return &j->ca;
	}
	return NULL;
}

void
job_blob_data(uint32_t stream, const uint8_t *buf, size_t len)
{
	struct job *j;
	struct blob *b = blob_find(stream, &j);

	/* Its run was closed meanwhile. */
	if (b == NULL)
		return;
	if (len > b->want - b->len)
		fatalx("the queue sends more than it said");
	memcpy(b->buf + b->len, buf, len);
	b->len += len;
}

void
job_blob_end(uint32_t stream, bool ok, const char *why)
{
	struct job *j;
	struct blob *b = blob_find(stream, &j);

	if (b == NULL)
		return;
	if (!ok || b->len != b->want)
		fatalx("the queue's prompt ended early: %s",
		    why != NULL ? why : "short");
	b->in = 0;
	job_progress(j);
}

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
	if (j->ev_door != NULL)
		event_free(j->ev_door);
	if (j->door != -1)
		close(j->door);
	j->ev_door = NULL;
	j->door = fd;
	agent_listen(j);
}

void
job_expect(const struct msg_job_expect *m)
{
	struct job *j = job_find(m->run);

	if (j == NULL)
		return;
	j->expect = (pid_t)m->pid;
	agent_take_held(j);
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
	runs_send(runs.queue, &m);
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
	runs_send(runs.queue, &m);
}

void
job_tell_output(struct job *j)
{
	struct timeval tv = { RUNS_TELL_MS / 1000, 0 };

	if (!evtimer_pending(j->ev_tell, NULL))
		evtimer_add(j->ev_tell, &tv);
}
