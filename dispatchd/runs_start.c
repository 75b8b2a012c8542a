/*
 * What a run is to do, as the queue hands it over: words in one message, the
 * prompt and the roots on streams behind it. PID 1 gets it when all is there.
 */

#include <sys/types.h>

#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"

#include "dispatchd/runs.h"

static void
refuse(int64_t id, const char *code, const char *why)
{
	peer_send_error(runs.queue, id, code, why);
}

/* Its sender has the bytes as long as nobody tells it that they may go. */
static void
stream_refuse(int64_t stream)
{
	if (stream != 0)
		(void)peer_stream_refuse(
		    runs.queue, (uint32_t)stream, "not wanted");
}

static void
blob_free(struct blob *b)
{
	stream_refuse(b->in);
	if (b->buf != NULL)
		freezero(b->buf, b->want);
	memset(b, 0, sizeof(*b));
}

void
start_drop(struct job *j)
{
	if (j->has_start)
		msg_free(&j->start);
	j->has_start = j->complete = false;
	blob_free(&j->prompt);
	blob_free(&j->ca);
}

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
	sibling_send(runs.queue, &m);
	agent_begin(j);
}

/* Its directory and its log, which stay when it is begun anew. 0 or -1. */
static int
start_files(struct job *j, int64_t log_limit)
{
	if (j->dirfd == -1 && (j->dirfd = job_dir_open(j->id, true)) == -1)
		return -1;
	if (j->log == NULL)
		j->log = runs_log_open(j->dirfd, log_limit);
	return j->log != NULL ? 0 : -1;
}

/*
 * The queue did not hear in time what became of the first, and says it again.
 * PID 1 comes anew to hear the new one, if it had come.
 */
static void
start_replace(struct job *j)
{
	if (!j->complete)
		refuse(j->start_id, "conflict", "the run was begun anew");
	start_drop(j);
	agent_again(j);
}

/* Returns the code of what is in the way, and why, or NULL. */
static const char *
start_take(struct job *j, const struct msg_job_start *m, const char **why)
{
	j->bundle_limit = m->bundle_limit;
	j->disk_reserve = m->disk_reserve;
	if (start_files(j, m->log_limit) == -1) {
		log_warn("run %s: its log", j->id);
		*why = "its log cannot be opened";
		return "storage";
	}
	if (start_copy(j, m) == -1 ||
	    blob_expect(&j->prompt, m->prompt_stream, m->prompt_bytes) == -1 ||
	    blob_expect(&j->ca, m->ca_stream, m->ca_bytes) == -1) {
		*why = "out of memory";
		return "unavailable";
	}
	return NULL;
}

/*
 * The queue says it for each time that it has a run adopted or made; a run that
 * is there already is taken anew, but its door and its log stay. A start that
 * is refused leaves nothing: no stream of it and, if there was none before, no
 * run.
 */
void
job_start(int64_t id, const struct msg_job_start *m)
{
	const char *code = "unavailable", *why = "no room for the run";
	struct job *j = job_find(m->run);
	bool fresh = j == NULL;

	if (fresh)
		j = job_new(m->run);
	else if (j->has_start)
		start_replace(j);
	if (j != NULL && (code = start_take(j, m, &why)) == NULL) {
		j->start_id = id;
		job_progress(j);
		return;
	}
	stream_refuse(m->prompt_stream);
	stream_refuse(m->ca_stream);
	refuse(id, code, why);
	if (j == NULL)
		return;
	start_drop(j);
	if (fresh)
		job_free(j);
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
