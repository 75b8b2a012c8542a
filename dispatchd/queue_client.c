/* What clients ask of the queue, decoded by the frontend. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"

#include "dispatchd/queue.h"

#define PS_MAX 1000 /* rows of one answer */
#define NOTE_PAIRS_MAX 64
#define TIMES_MAX 32
#define BUNDLE_PATH_MAX 256 /* msg.def: 255 */

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
};

struct watcher {
	TAILQ_ENTRY(watcher) entry;
	int64_t id;
	char run[RUNID_LEN + 1];
};

static TAILQ_HEAD(, submit) submits = TAILQ_HEAD_INITIALIZER(submits);
static TAILQ_HEAD(, watcher) watchers = TAILQ_HEAD_INITIALIZER(watchers);
static size_t nsubmits, nwatchers;

static void
refuse(int64_t id, const char *code, const char *reason)
{
	peer_send_error(queue.frontend, id, code, reason);
}

/* --- run ---------------------------------------------------------------- */

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

/* Refused: by whom it was asked and why is on record. */
static void
submit_refuse(struct submit *s, const char *code, const char *reason)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rec_refused;
	m.u.rec_refused.peer_uid = s->row.uid;
	m.u.rec_refused.peer_pid = s->pid;
	m.u.rec_refused.request = "run";
	m.u.rec_refused.code = code;
	m.u.rec_refused.reason = reason;
	audit_client_send_lasting(queue.audit, &m);
	refuse(s->id, code, reason);
	if (s->stream != 0)
		peer_stream_refuse(queue.frontend, s->stream, code);
	submit_free(s);
}

static const char *
store_code(void)
{
	switch (queue_store_error(queue.store)) {
	case STORE_CONFLICT:
		return "conflict";
	case STORE_LIMIT:
		return "limit";
	case STORE_ABSENT:
		return "no_run";
	default:
		return "storage";
	}
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
		submit_refuse(s, store_code(), queue_store_why(queue.store));
		return;
	}
	queue_branch(s->row.tool, s->row.run, branch);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_run_accepted;
	m.id = s->id;
	m.u.run_accepted.run = s->row.run;
	m.u.run_accepted.state = queue_state_name(s->row.state);
	m.u.run_accepted.branch = branch;
	m.u.run_accepted.again = again;
	queue_send(queue.frontend, &m);
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

/* One that is taken in already is only answered, and needs no room. */
static bool
room(struct submit *s)
{
	char why[QUEUE_WHY_MAX + 1];

	if (!disk_short(why) ||
	    queue_store_known(queue.store, s->row.uid, s->request.request) == 1)
		return true;
	submit_refuse(s, "storage", why);
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
	return possible(s) && room(s);
}

void
client_submit(int64_t id, const struct msg_job_submit *m)
{
	const char *words[] = { m->request, m->repo, m->base, m->tool,
		m->profile };
	struct submit *s;
	size_t i;

	if (queue.config == NULL || queue.store == NULL) {
		refuse(id, "unavailable", "dispatchd is starting");
		return;
	}
	if (nsubmits >= QUEUE_SUBMITS_MAX ||
	    (s = calloc(1, sizeof(*s))) == NULL) {
		refuse(id, "limit", "too many prompts are on their way");
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

/* --- wait ---------------------------------------------------------------- */

struct pairs {
	char *text;
	const char *k[NOTE_PAIRS_MAX], *v[NOTE_PAIRS_MAX];
	size_t n;
};

/* A note of lines "key TAB value". */
static void
pairs_read(const char *run, const char *kind, size_t max, struct pairs *p)
{
	char *line, *tab, *rest;

	memset(p, 0, sizeof(*p));
	if ((p->text = malloc(QUEUE_NOTE_MAX + 1)) == NULL)
		return;
	if (queue_store_note_get(
	        queue.store, run, kind, p->text, QUEUE_NOTE_MAX + 1) == -1)
		return;
	rest = p->text;
	while (p->n < max && (line = strsep(&rest, "\n")) != NULL) {
		if ((tab = strchr(line, '\t')) == NULL)
			continue;
		*tab = '\0';
		p->k[p->n] = line;
		p->v[p->n++] = tab + 1;
	}
}

/* Where root finds it; others ask for it. "" when there is none. */
static const char *
bundle_path(const struct queue_row *row, char path[BUNDLE_PATH_MAX])
{
	path[0] = '\0';
	if (row->bundle_bytes > 0)
		snprintf(path, BUNDLE_PATH_MAX, "%.200s/runs/%s/bundle",
		    queue.config->state, row->run);
	return path;
}

static void
answer_over(int64_t id, const struct queue_row *row)
{
	char path[BUNDLE_PATH_MAX];
	char branch[QUEUE_BRANCH_MAX + 1];
	struct msg_wait_answer *a;
	struct pairs denials;
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_wait_answer;
	m.id = id;
	a = &m.u.wait_answer;
	queue_branch(row->tool, row->run, branch);
	pairs_read(row->run, "denials", 32, &denials);
	a->run = row->run;
	a->class = queue_class_name(row->class);
	a->exit_code = row->exit_code;
	a->reason = row->reason[0] != '\0' ? row->reason : NULL;
	a->branch = branch;
	a->bundle = bundle_path(row, path);
	a->sha256 = row->bundle_sha256;
	a->bytes = row->bundle_bytes;
	a->denials.k = denials.k;
	a->denials.v = denials.v;
	a->denials.n = denials.n;
	queue_send(queue.frontend, &m);
	free(denials.text);
}

void
client_wait(int64_t id, const struct msg_wait *w)
{
	struct queue_row row;
	struct watcher *x;

	if (!runid_valid(w->run) ||
	    queue_store_get(queue.store, w->run, &row) == -1) {
		refuse(id, "no_run", "there is no run of that id");
		return;
	}
	if (row.state == STATE_DONE) {
		answer_over(id, &row);
		return;
	}
	if (nwatchers >= QUEUE_WATCHERS_MAX ||
	    (x = calloc(1, sizeof(*x))) == NULL) {
		refuse(id, "limit", "too many wait");
		return;
	}
	x->id = id;
	strlcpy(x->run, w->run, sizeof(x->run));
	TAILQ_INSERT_TAIL(&watchers, x, entry);
	nwatchers++;
	client_event(&row, NULL);
}

void
client_event(const struct queue_row *row, const char *detail)
{
	struct watcher *x;
	struct msg m;

	TAILQ_FOREACH(x, &watchers, entry) {
		if (strcmp(x->run, row->run) != 0)
			continue;
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_run_event;
		m.id = x->id;
		m.u.run_event.run = row->run;
		m.u.run_event.state = queue_state_name(row->state);
		m.u.run_event.detail = detail;
		queue_send(queue.frontend, &m);
	}
}

void
client_over(const struct queue_row *row)
{
	struct watcher *x, *next;

	TAILQ_FOREACH_SAFE(x, &watchers, entry, next) {
		if (strcmp(x->run, row->run) != 0)
			continue;
		answer_over(x->id, row);
		TAILQ_REMOVE(&watchers, x, entry);
		nwatchers--;
		free(x);
	}
}

/* --- ps, show ------------------------------------------------------------ */

struct listing {
	int64_t id;
	bool all;
	int64_t count;
};

static void
why_waits(const struct queue_row *row, char why[QUEUE_WHY_MAX + 1])
{
	struct queue_waiting w;

	why[0] = '\0';
	if (row->state != STATE_QUEUED)
		return;
	if (!queue.engine_ready) {
		strlcpy(why, "the container engine is not there",
		    QUEUE_WHY_MAX + 1);
		return;
	}
	if (disk_short(why))
		return;
	memset(&w, 0, sizeof(w));
	strlcpy(w.run, row->run, sizeof(w.run));
	w.repo = queue_repo_key(row->url);
	w.need.memory = row->memory;
	w.need.cpus_milli = row->cpus_milli;
	w.need.pids = row->pids;
	queue_admit_why(&queue.admission, &w, 1, 0, why);
}

static bool
ps_row(const struct queue_row *row, void *arg)
{
	struct listing *l = arg;
	char why[QUEUE_WHY_MAX + 1];
	struct queue_time now;
	struct msg m;

	if (!l->all && row->state == STATE_DONE)
		return true;
	queue_time_now(&now);
	why_waits(row, why);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_ps_row;
	m.id = l->id;
	m.u.ps_row.run = row->run;
	m.u.ps_row.state = queue_state_name(row->state);
	m.u.ps_row.class =
	    row->class == CLASS_NONE ? "" : queue_class_name(row->class);
	m.u.ps_row.profile = row->profile;
	m.u.ps_row.tool = row->tool;
	m.u.ps_row.repo = row->repo;
	m.u.ps_row.why = why;
	m.u.ps_row.age_ms = now.wall_ms > row->submitted_wall_ms
	    ? now.wall_ms - row->submitted_wall_ms
	    : 0;
	queue_send(queue.frontend, &m);
	return ++l->count < PS_MAX;
}

void
client_ps(int64_t id, const struct msg_ps *p)
{
	struct listing l = { id, p->all, 0 };
	struct msg m;

	if (queue_store_each(queue.store, p->all ? FILTER_ALL : FILTER_OPEN, 0,
	        PS_MAX, ps_row, &l) == -1) {
		refuse(id, store_code(), queue_store_why(queue.store));
		return;
	}
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_ps_answer;
	m.id = id;
	m.u.ps_answer.count = l.count;
	queue_send(queue.frontend, &m);
}

struct times {
	char k[TIMES_MAX][17], v[TIMES_MAX][CLOCK_RFC3339_LEN];
	const char *kp[TIMES_MAX], *vp[TIMES_MAX];
	size_t n;
};

/* A state that was entered twice keeps its last time. */
static bool
time_of(const struct queue_step_row *e, void *arg)
{
	struct times *t = arg;
	size_t i;

	for (i = 0; i < t->n && strcmp(t->k[i], e->to) != 0; i++)
		;
	if (i == TIMES_MAX)
		return false;
	if (i == t->n)
		t->n++;
	strlcpy(t->k[i], e->to, sizeof(t->k[i]));
	clock_rfc3339_of(e->wall_ms, t->v[i]);
	t->kp[i] = t->k[i];
	t->vp[i] = t->v[i];
	return true;
}

void
client_show(int64_t id, const struct msg_show *s)
{
	char branch[QUEUE_BRANCH_MAX + 1], why[QUEUE_WHY_MAX + 1];
	char path[BUNDLE_PATH_MAX];
	struct pairs proof, denials;
	struct msg_show_answer *a;
	struct times times = { .n = 0 };
	struct queue_row row;
	struct qjob *j;
	struct msg m;

	if (!runid_valid(s->run) ||
	    queue_store_get(queue.store, s->run, &row) == -1) {
		refuse(id, "no_run", "there is no run of that id");
		return;
	}
	/* What is known of a live one may not be on disk yet. */
	if ((j = qjob_find(s->run)) != NULL)
		row = j->row;
	queue_branch(row.tool, row.run, branch);
	why_waits(&row, why);
	pairs_read(row.run, "proof", 64, &proof);
	pairs_read(row.run, "denials", 32, &denials);
	(void)queue_store_events(
	    queue.store, row.run, QUEUE_LIVE_MAX, time_of, &times);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_show_answer;
	m.id = id;
	a = &m.u.show_answer;
	a->run = row.run;
	a->state = queue_state_name(row.state);
	a->class = row.class == CLASS_NONE ? "" : queue_class_name(row.class);
	a->reason = row.reason;
	a->exit_code = row.exit_code;
	a->profile = row.profile;
	a->tool = row.tool;
	a->repo = row.repo;
	a->base = row.base;
	a->base_commit = row.base_commit;
	a->head = row.head;
	a->branch = branch;
	a->bundle_path = bundle_path(&row, path);
	a->bundle_sha256 = row.bundle_sha256;
	a->bundle_bytes = row.bundle_bytes;
	a->proof.k = proof.k;
	a->proof.v = proof.v;
	a->proof.n = proof.n;
	a->allowed = row.allowed;
	a->denied = row.denied;
	a->bytes_up = row.bytes_up;
	a->bytes_down = row.bytes_down;
	a->denials.k = denials.k;
	a->denials.v = denials.v;
	a->denials.n = denials.n;
	a->times.k = times.kp;
	a->times.v = times.vp;
	a->times.n = times.n;
	a->log_bytes = row.log_bytes;
	a->log_kept = row.log_kept;
	a->log_dropped = row.log_dropped;
	a->why = why;
	queue_send(queue.frontend, &m);
	free(proof.text);
	free(denials.text);
}

/* --- stop --------------------------------------------------------------- */

static void
stopped(int64_t id, enum queue_state state)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_stop_answer;
	m.id = id;
	m.u.stop_answer.state = queue_state_name(state);
	queue_send(queue.frontend, &m);
}

/* It waits still: nothing has to be undone. */
static int
cancel_queued(struct queue_row *row)
{
	struct queue_time now;

	queue_time_now(&now);
	row->class = row->stop = CLASS_CANCELLED;
	strlcpy(row->reason, "cancelled before it began", sizeof(row->reason));
	if (queue_store_step(queue.store, row, STATE_DONE, row->reason, &now) ==
	    -1)
		return -1;
	client_event(row, NULL);
	client_over(row);
	return 0;
}

void
client_stop(int64_t id, const struct msg_stop *s)
{
	enum queue_state state;
	struct queue_row row;
	struct qjob *j;

	if (!runid_valid(s->run) ||
	    queue_store_get(queue.store, s->run, &row) == -1) {
		refuse(id, "no_run", "there is no run of that id");
		return;
	}
	state = row.state;
	if ((j = qjob_find(s->run)) != NULL) {
		stopped(id, state);
		qjob_stop(j, CLASS_CANCELLED, "somebody stopped it");
	} else if (state == STATE_QUEUED && cancel_queued(&row) == -1)
		refuse(id, store_code(), queue_store_why(queue.store));
	else
		stopped(id, state);
}
