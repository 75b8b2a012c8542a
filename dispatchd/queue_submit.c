/* A request for a run: checked, its prompt taken in, then on disk. */

#include <stdlib.h>
#include <string.h>

#include "libcommon/clock.h"
#include "libcommon/excess.h"
#include "libcommon/log.h"

#include "dispatchd/queue.h"

#define REFUSAL_CODE_MAX 32 /* msg.def */
#define REFUSAL_WHY_MAX 512

/* A run whose prompt is on its way here. */
struct submit {
	TAILQ_ENTRY(submit) entry;
	int64_t id;
	int64_t pid; /* of who asks; who that is, is the row's */
	uint32_t stream;
	struct queue_request request;
	struct queue_job job;
	struct queue_row row;
	char *words[5]; /* owned: request, repo, base, tool, profile */
	uint8_t *prompt;
	size_t len;
	/* Why it is refused, while that is recorded. */
	char code[REFUSAL_CODE_MAX + 1], why[REFUSAL_WHY_MAX + 1];
};

static struct excess excess = { .ms = EXCESS_MS };
static TAILQ_HEAD(, submit) submits = TAILQ_HEAD_INITIALIZER(submits);
static size_t nsubmits;

static void
submit_free(struct submit *s)
{
	size_t i;

	TAILQ_REMOVE(&submits, s, entry);
	nsubmits--;
	for (i = 0; i < sizeof(s->words) / sizeof(s->words[0]); i++)
		free(s->words[i]);
	if (s->prompt != NULL)
		freezero(s->prompt, (size_t)s->request.prompt_bytes);
	free(s);
}

/* It is refused whether or not that could be written down. */
static void
submit_refused(bool ok, void *arg)
{
	struct submit *s = arg;

	if (!ok)
		log_warnx("a refusal could not be recorded");
	client_refuse(s->id, s->code, s->why);
	submit_free(s);
}

/*
 * Refused: by whom it was asked and why is on record before he hears of it. Of
 * a user that is refused again and again the rest is counted.
 */
static void
submit_refuse(struct submit *s, const char *code, const char *reason)
{
	struct msg m;

	strlcpy(s->code, code, sizeof(s->code));
	strlcpy(s->why, reason, sizeof(s->why));
	if (s->stream != 0)
		peer_stream_refuse(queue.frontend, s->stream, code);
	s->stream = 0;
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rec_refused;
	m.u.rec_refused.peer_uid = s->row.uid;
	m.u.rec_refused.peer_pid = s->pid;
	m.u.rec_refused.request = "run";
	m.u.rec_refused.code = s->code;
	m.u.rec_refused.reason = s->why;
	if (!excess_permits(&excess, (uint32_t)s->row.uid, clock_boot_ms()))
		submit_refused(true, s);
	else if (audit_client_send(queue.audit, &m, submit_refused, s) == -1)
		submit_refused(false, s);
}

void
client_submit_tick(int64_t now)
{
	excess_record(&excess, queue.audit, "run", now);
}

static void
fill_row(struct submit *s)
{
	struct queue_row *r = &s->row;
	const struct dispatch_profile *pr = s->job.profile;

	strlcpy(r->request, s->request.request, sizeof(r->request));
	strlcpy(r->repo, s->request.repo, sizeof(r->repo));
	strlcpy(r->url, s->job.url, sizeof(r->url));
	strlcpy(r->directory, s->job.directory, sizeof(r->directory));
	strlcpy(r->base, s->job.base, sizeof(r->base));
	strlcpy(r->tool, s->job.tool->name, sizeof(r->tool));
	strlcpy(r->profile, pr->name, sizeof(r->profile));
	r->memory = pr->memory;
	r->cpus_milli = pr->cpus_milli;
	r->pids = pr->pids;
	r->workspace = pr->workspace;
	r->deadline_ms = s->job.deadline_ms;
	r->exit_code = r->pid1_exit = -1;
}

/* The request is whole: on disk, then acknowledged. */
static void
submit_whole(struct submit *s)
{
	char branch[QUEUE_BRANCH_MAX + 1];
	struct queue_refusal no;
	struct queue_time now;
	struct msg m;
	bool again;

	if (queue_prompt_check(s->job.tool, s->prompt, s->len, &no) == -1) {
		submit_refuse(s, no.code, no.reason);
		return;
	}
	fill_row(s);
	if (queue_request_hash(
	        &s->request, s->prompt, s->len, s->row.request_hash) == -1) {
		submit_refuse(s, "unavailable", "SHA-256 is not to be had");
		return;
	}
	queue_time_now(&now);
	if (queue_store_submit(
	        queue.store, &s->row, s->prompt, s->len, &now, &again) == -1) {
		submit_refuse(
		    s, client_store_code(), queue_store_why(queue.store));
		return;
	}
	if (!again)
		queue_record_accept(&s->row, s->pid);
	queue_branch(s->row.tool, s->row.run, branch);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_run_accepted;
	m.id = s->id;
	m.u.run_accepted.run = s->row.run;
	m.u.run_accepted.state = queue_state_name(s->row.state);
	m.u.run_accepted.branch = branch;
	m.u.run_accepted.again = again;
	sibling_send(queue.frontend, &m);
	log_info("run %s accepted: uid %lld, profile %s, tool %s%s", s->row.run,
	    (long long)s->row.uid, s->row.profile, s->row.tool,
	    again ? ", again" : "");
	submit_free(s);
	qjob_admit_all();
}

/* The profile may ask for more than this host has: the numbers say so. */
static bool
possible(struct submit *s)
{
	const struct dispatch_profile *pr = s->job.profile;
	struct queue_need n = { pr->memory, pr->cpus_milli, pr->pids };
	char why[QUEUE_WHY_MAX + 1];

	if (queue_admit_possible(&queue.admission, &n, why))
		return true;
	submit_refuse(s, "quota", why);
	return false;
}

/* One that is taken in already is only answered: it needs neither. */
static bool
room_and_record(struct submit *s)
{
	bool healthy = audit_client_healthy(queue.audit);
	char why[QUEUE_WHY_MAX + 1];

	if ((healthy && !disk_short(why)) ||
	    queue_store_known(queue.store, s->row.uid, s->request.request) == 1)
		return true;
	if (healthy)
		submit_refuse(s, "storage", why);
	else
		submit_refuse(s, "unrecordable",
		    "records cannot be written: nothing is accepted");
	return false;
}

/* By the configuration in force, into which s->job points from here on. */
static bool
permitted(struct submit *s)
{
	struct queue_refusal no;

	if (queue_request_check(queue.config, &s->request, &s->job, &no) ==
	    -1) {
		submit_refuse(s, no.code, no.reason);
		return false;
	}
	return possible(s) && room_and_record(s);
}

void
client_submit(int64_t id, const struct msg_job_submit *m)
{
	const char *words[] = { m->request, m->repo, m->base, m->tool,
		m->profile };
	struct submit *s;
	size_t i;

	if (queue.config == NULL || queue.store == NULL) {
		client_refuse(id, "unavailable", "dispatchd is starting");
		return;
	}
	if (nsubmits >= QUEUE_SUBMITS_MAX ||
	    (s = calloc(1, sizeof(*s))) == NULL) {
		client_refuse(id, "limit", "too many prompts are on their way");
		return;
	}
	TAILQ_INSERT_TAIL(&submits, s, entry);
	nsubmits++;
	s->id = id;
	s->row.uid = m->peer_uid;
	s->pid = m->peer_pid;
	s->stream = (uint32_t)m->stream;
	for (i = 0; i < 5; i++) {
		if ((s->words[i] = strdup(words[i])) == NULL) {
			submit_refuse(s, "unavailable", "out of memory");
			return;
		}
	}
	s->request.request = s->words[0];
	s->request.repo = s->words[1];
	s->request.base = s->words[2];
	s->request.tool = s->words[3];
	s->request.profile = s->words[4];
	s->request.deadline_ms = m->deadline_ms;
	s->request.prompt_bytes = m->bytes;
	if (!permitted(s))
		return;
	if (m->bytes == 0) {
		submit_whole(s);
		return;
	}
	if (s->stream == 0 || (s->prompt = malloc((size_t)m->bytes)) == NULL ||
	    peer_stream_expect(queue.frontend, s->stream, m->bytes) == -1)
		submit_refuse(s, "unavailable", "no room for the prompt");
}

static struct submit *
submit_find(uint32_t stream)
{
	struct submit *s;

	TAILQ_FOREACH(s, &submits, entry) {
		if (s->stream == stream)
			return s;
	}
	return NULL;
}

void
client_stream_data(uint32_t stream, const uint8_t *buf, size_t len)
{
	struct submit *s = submit_find(stream);

	if (s == NULL)
		return;
	memcpy(s->prompt + s->len, buf, len);
	s->len += len;
}

void
client_stream_end(uint32_t stream, bool ok, const char *why)
{
	struct submit *s = submit_find(stream);

	if (s == NULL)
		return;
	s->stream = 0;
	if (!ok || s->len != (size_t)s->request.prompt_bytes)
		submit_refuse(s, "aborted", "the prompt did not come whole");
	else if (permitted(s)) /* again: a reload may have been between */
		submit_whole(s);
}
