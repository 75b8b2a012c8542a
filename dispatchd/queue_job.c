/*
 * A run from QUEUED to COMMITTED: resources, doors, container, proof. Each
 * state is on disk before what it stands for is done, so that whatever ends us
 * leaves a row that tells what there may be. Until COMMITTED nothing of the job
 * has happened, and it may go back to QUEUED.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"
#include "libcommon/mem.h"

#include "dispatchd/queue.h"

#define TMP_SHARE 4 /* /tmp has a quarter of the workspace */

static void drive_admitted(struct qjob *);
static void drive_opened(struct qjob *);
static void drive_created(struct qjob *);
static void drive_gated(struct qjob *);

/* --- the table -------------------------------------------------------- */

struct qjob *
qjob_find(const char *run)
{
	struct qjob *j;

	TAILQ_FOREACH(j, &queue.jobs, entry) {
		if (strcmp(j->row.run, run) == 0)
			return j;
	}
	return NULL;
}

static struct queue_need
need_of(const struct queue_row *row)
{
	struct queue_need n = { row->memory, row->cpus_milli, row->pids };

	return n;
}

/* A run that is live; its resources are counted by the caller. */
struct qjob *
qjob_new(const struct queue_row *row)
{
	struct qjob *j = xcalloc(1, sizeof(*j));

	j->row = *row;
	j->state_at = clock_boot_ms();
	j->container = CONTAINER_UNKNOWN;
	strlcpy(j->phase, "none", sizeof(j->phase));
	TAILQ_INSERT_TAIL(&queue.jobs, j, entry);
	queue.njobs++;
	return j;
}

void
qjob_free(struct qjob *j)
{
	struct queue_need n = need_of(&j->row);

	call_forget(j);
	queue_admit_release(&queue.admission, &n);
	TAILQ_REMOVE(&queue.jobs, j, entry);
	queue.njobs--;
	free(j);
}

/* --- states ----------------------------------------------------------- */

/* A commit whose record is on its way; the job may be gone before it is. */
struct commit {
	char run[RUNID_LEN + 1];
	int64_t at; /* its state_at */
};

/*
 * COMMITTED is on disk; that the tool may begin has to be on record as well.
 * Not recorded, it waits: nothing has begun.
 */
static void
commit_recorded(bool ok, void *arg)
{
	struct commit *c = arg;
	struct qjob *j = qjob_find(c->run);
	bool same = j != NULL && j->row.state == STATE_COMMITTED &&
	    j->state_at == c->at;

	free(c);
	if (!same)
		return;
	if (!ok) {
		log_warnx("run %s: its commit is not recorded yet", j->row.run);
		j->record_due = true;
		qjob_retry(j);
		return;
	}
	j->release_due = true;
	qjob_drive(j);
}

static void
record_state(const struct qjob *j, enum queue_state from, const char *evidence)
{
	const struct queue_row *row = &j->row;
	struct commit *c;
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rec_run_state;
	m.u.rec_run_state.run = row->run;
	m.u.rec_run_state.from = queue_state_name(from);
	m.u.rec_run_state.to = queue_state_name(row->state);
	m.u.rec_run_state.class =
	    row->class != CLASS_NONE ? queue_class_name(row->class) : NULL;
	m.u.rec_run_state.evidence = evidence;
	if (row->state != STATE_COMMITTED) {
		audit_client_send_lasting(queue.audit, &m);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	(void)strlcpy(c->run, row->run, sizeof(c->run));
	c->at = j->state_at;
	if (audit_client_send(queue.audit, &m, commit_recorded, c) == -1)
		commit_recorded(false, c);
}

void
qjob_record_commit(struct qjob *j)
{
	j->record_due = false;
	record_state(j, STATE_GATED, "recorded when it could be");
}

bool
qjob_step(struct qjob *j, enum queue_state to, const char *fmt, ...)
{
	enum queue_state from = j->row.state;
	char evidence[QUEUE_EVIDENCE_MAX / 2];
	struct queue_time now;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(evidence, sizeof(evidence), fmt, ap);
	va_end(ap);
	queue_time_now(&now);
	if (queue_store_step(queue.store, &j->row, to, evidence, &now) == -1) {
		log_warnx("run %s: %s to %s: %s", j->row.run,
		    queue_state_name(from), queue_state_name(to),
		    queue_store_why(queue.store));
		qjob_retry(j);
		return false;
	}
	log_info("run %s: %s -> %s: %s", j->row.run, queue_state_name(from),
	    queue_state_name(to), evidence);
	j->state_at = clock_boot_ms();
	j->retry_ms = 0;
	j->retry_at = 0;
	record_state(j, from, evidence);
	client_event(&j->row, NULL);
	return true;
}

void
qjob_retry(struct qjob *j)
{
	j->retry_ms = j->retry_ms == 0 ? QUEUE_RETRY_MS : j->retry_ms * 2;
	if (j->retry_ms > QUEUE_RETRY_MAX_MS)
		j->retry_ms = QUEUE_RETRY_MAX_MS;
	j->retry_at = clock_boot_ms() + j->retry_ms;
}

/* --- admission -------------------------------------------------------- */

struct waiting_list {
	struct queue_waiting *rows;
	struct queue_row *full;
	size_t n, max;
};

static bool
collect(const struct queue_row *row, void *arg)
{
	struct waiting_list *l = arg;
	struct queue_waiting *w;

	if (l->n == l->max)
		return false;
	w = &l->rows[l->n];
	strlcpy(w->run, row->run, sizeof(w->run));
	w->repo = queue_repo_key(row->url);
	w->need = need_of(row);
	l->full[l->n++] = *row;
	return true;
}

/* Resources are its own: a network as well, then it is ADMITTED. */
static bool
admit(const struct queue_row *row)
{
	char network[QUEUE_NETWORK_MAX + 1];
	struct qjob *j;

	if (queue_store_subnet(queue.store, &queue.config->pool, network) ==
	    -1) {
		log_warnx("run %s waits for a network: %s", row->run,
		    queue_store_why(queue.store));
		return false;
	}
	j = qjob_new(row);
	strlcpy(j->row.network, network, sizeof(j->row.network));
	if (!qjob_step(j, STATE_ADMITTED, "network %s", network)) {
		TAILQ_REMOVE(&queue.jobs, j, entry);
		queue.njobs--;
		free(j);
		return false;
	}
	qjob_drive(j);
	return true;
}

void
qjob_admit_all(void)
{
	struct waiting_list l = { NULL, NULL, 0, QUEUE_QUEUED_MAX };
	char why[QUEUE_WHY_MAX + 1];
	struct queue_need n;
	size_t i;
	int r;

	if (!queue.engine_ready || queue.config == NULL ||
	    queue_store_failed(queue.store) || disk_short(why))
		return;
	l.rows = calloc(l.max, sizeof(*l.rows));
	l.full = calloc(l.max, sizeof(*l.full));
	if (l.rows == NULL || l.full == NULL ||
	    queue_store_each(
	        queue.store, FILTER_QUEUED, 0, l.max, collect, &l) == -1)
		l.n = 0;
	while (l.n > 0 &&
	    (r = queue_admit_next(&queue.admission, l.rows, l.n, &i)) == 1) {
		n = need_of(&l.full[i]);
		if (!admit(&l.full[i])) {
			queue_admit_release(&queue.admission, &n);
			break;
		}
		memmove(&l.rows[i], &l.rows[i + 1],
		    (l.n - i - 1) * sizeof(*l.rows));
		memmove(&l.full[i], &l.full[i + 1],
		    (l.n - i - 1) * sizeof(*l.full));
		l.n--;
	}
	free(l.rows);
	free(l.full);
}

/* --- addresses -------------------------------------------------------- */

const char *
qjob_address(const struct qjob *j, unsigned n, char buf[NETADDR_TEXT_MAX])
{
	struct netprefix p;
	struct netaddr a;

	if (netprefix_parse(j->row.network, strlen(j->row.network), &p) == -1)
		panic("run %s has no network", j->row.run);
	a = p.addr;
	a.b[3] = (uint8_t)(a.b[3] + n);
	return netaddr_text(&a, buf);
}

/* --- ADMITTED: egressd's door ----------------------------------------- */

static void
drive_admitted(struct qjob *j)
{
	if (!j->egress_open)
		egress_open(j);
	else if (qjob_step(j, STATE_OPENED, "egressd opened it"))
		qjob_drive(j);
}

/* --- OPENED: our own door, what it is to do, the container ------------- */

static void
door_made(struct qjob *j, const struct msg *m)
{
	if (m == NULL || m->type != MSG_TYPE_door_made) {
		log_warnx("run %s: no door: %s", j->row.run,
		    m != NULL ? m->u.error.reason : "no answer");
		qjob_retry(j);
		return;
	}
	j->door = true;
	qjob_drive(j);
}

static void
make_door(struct qjob *j)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_door_make;
	m.u.door_make.run = j->row.run;
	call_send(queue.parent, &m, j, QUEUE_CALL_MS, door_made);
}

static void
job_fed(struct qjob *j, const struct msg *m)
{
	if (m == NULL || m->type != MSG_TYPE_job_ready) {
		log_warnx("run %s: not handed over: %s", j->row.run,
		    m != NULL ? m->u.error.reason : "no answer");
		qjob_retry(j);
		return;
	}
	j->fed = true;
	qjob_drive(j);
}

struct env_list {
	const char *k[2 * DISPATCH_ENV_MAX], *v[2 * DISPATCH_ENV_MAX];
	size_t n;
};

/* The profile's words come over the tool's. */
static void
env_add(struct env_list *l, const struct dispatch_env *e)
{
	size_t i, k;

	for (i = 0; i < e->n; i++) {
		for (k = 0; k < l->n && strcmp(l->k[k], e->name[i]) != 0; k++)
			;
		l->k[k] = e->name[i];
		l->v[k] = e->value[i];
		if (k == l->n)
			l->n++;
	}
}

static const char *
prompt_word(int prompt)
{
	switch (prompt) {
	case PROMPT_FILE:
		return "file";
	case PROMPT_ARGUMENT:
		return "argument";
	default:
		return "stdin";
	}
}

struct siblings {
	char network[QUEUE_SIBLINGS_MAX][QUEUE_NETWORK_MAX + 1];
	const char *v[QUEUE_SIBLINGS_MAX];
	size_t n;
};

/*
 * Networks that PID 1 has to find closed: those of other runs, or when there
 * are none the next that one would get. What would answer there is not our
 * word, but that it does not from here shows that the filter is in between.
 */
static void
find_siblings(const struct qjob *j, struct siblings *s)
{
	const struct qjob *other;
	size_t i;

	s->n = 0;
	TAILQ_FOREACH(other, &queue.jobs, entry) {
		if (other == j || other->row.network[0] == '\0' ||
		    other->container_down || s->n == QUEUE_SIBLINGS_MAX)
			continue;
		strlcpy(s->network[s->n++], other->row.network,
		    sizeof(s->network[0]));
	}
	if (s->n == 0 &&
	    queue_store_subnet(
	        queue.store, &queue.config->pool, s->network[0]) == 0)
		s->n = 1;
	for (i = 0; i < s->n; i++)
		s->v[i] = s->network[i];
}

/* What runs is to tell PID 1. prompt and roots follow on streams. */
static void
feed(struct qjob *j, const struct dispatch_profile *pr,
    const struct dispatch_tool *tool, size_t prompt_len, uint32_t prompt,
    uint32_t ca)
{
	char gateway[NETADDR_TEXT_MAX], proxy[96], canary[96];
	char branch[QUEUE_BRANCH_MAX + 1];
	struct env_list env = { .n = 0 };
	struct siblings siblings;
	struct msg_job_start *s;
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_job_start;
	s = &m.u.job_start;
	qjob_address(j, QUEUE_GATEWAY_HOST, gateway);
	snprintf(proxy, sizeof(proxy), "%s:%lld", gateway,
	    (long long)queue.config->proxy_port);
	snprintf(canary, sizeof(canary), "%s:%lld", gateway,
	    (long long)queue.config->proxy_port + 1);
	queue_branch(j->row.tool, j->row.run, branch);
	find_siblings(j, &siblings);
	env_add(&env, &tool->env);
	env_add(&env, &pr->env);
	s->run = j->row.run;
	s->released = j->row.released;
	s->proxy = proxy;
	s->canary = canary;
	s->gateway = gateway;
	s->siblings.v = siblings.v;
	s->siblings.n = siblings.n;
	s->repo = j->row.url;
	s->directory = j->row.directory;
	s->base = j->row.base;
	s->branch = branch;
	s->argv.v = tool->argv;
	s->argv.n = tool->argc;
	s->prompt_by = prompt_word(tool->prompt);
	s->env.k = env.k;
	s->env.v = env.v;
	s->env.n = env.n;
	s->deadline_ms = j->row.deadline_ms;
	s->log_limit = queue.config->log_limit;
	s->bundle_limit = queue.config->bundle_limit;
	s->disk_reserve = queue.config->disk_reserve;
	s->prompt_stream = prompt;
	s->prompt_bytes = (int64_t)prompt_len;
	s->ca_stream = ca;
	s->ca_bytes = (int64_t)pr->ca_len;
	call_send(queue.runs, &m, j, QUEUE_CALL_MS, job_fed);
}

static void
hand_over(struct qjob *j)
{
	const struct dispatch_profile *pr =
	    dispatch_profile_find(queue.config, j->row.profile);
	const struct dispatch_tool *tool =
	    dispatch_tool_find(queue.config, j->row.tool);
	uint32_t prompt_id, ca_id;
	uint8_t *prompt = NULL;
	size_t len = 0;

	if (pr == NULL || tool == NULL) {
		qjob_end(j, CLASS_LOST_INFRA,
		    "its profile or tool is not configured any more");
		return;
	}
	if (queue_store_prompt(queue.store, j->row.run, &prompt, &len) == -1) {
		log_warnx("run %s: its prompt: %s", j->row.run,
		    queue_store_why(queue.store));
		qjob_retry(j);
		return;
	}
	prompt_id = queue_stream_push(queue.runs, prompt, len);
	ca_id = queue_stream_push(queue.runs, pr->ca, pr->ca_len);
	feed(j, pr, tool, len, prompt_id, ca_id);
	freezero(prompt, len);
}

static void
container_made(struct qjob *j, const struct msg *m)
{
	if (m != NULL && m->type == MSG_TYPE_engine_created) {
		strlcpy(j->row.container, m->u.engine_created.container,
		    sizeof(j->row.container));
		j->created = true;
		if (qjob_step(j, STATE_CREATED, "container %.12s%s",
		        j->row.container,
		        m->u.engine_created.adopted ? ", adopted" : ""))
			qjob_drive(j);
		return;
	}
	if (m == NULL || strcmp(m->u.error.error, "unavailable") == 0) {
		qjob_retry(j);
		return;
	}
	if (strcmp(m->u.error.error, "boundary") == 0)
		qjob_end(j, CLASS_BOUNDARY_VIOLATION, "engine: %s",
		    m->u.error.reason);
	else if (strcmp(m->u.error.error, "subnet") == 0)
		qjob_requeue(j, "its network is taken by somebody else");
	else
		qjob_end(j, CLASS_LOST_INFRA, "engine: %s: %s",
		    m->u.error.error, m->u.error.reason);
}

static void
create(struct qjob *j)
{
	char gateway[NETADDR_TEXT_MAX], agent[NETADDR_TEXT_MAX];
	struct msg_engine_create *c;
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_engine_create;
	c = &m.u.engine_create;
	c->run = j->row.run;
	c->subnet = j->row.network;
	c->gateway = qjob_address(j, QUEUE_GATEWAY_HOST, gateway);
	c->address = qjob_address(j, QUEUE_AGENT_HOST, agent);
	c->memory = j->row.memory;
	c->cpus_milli = j->row.cpus_milli;
	c->pids = j->row.pids;
	c->workspace = j->row.workspace;
	c->tmp = j->row.workspace / TMP_SHARE;
	call_send(queue.engine, &m, j, QUEUE_ENGINE_MS, container_made);
}

static void
drive_opened(struct qjob *j)
{
	if (!j->egress_open)
		egress_open(j);
	else if (!j->door)
		make_door(j);
	else if (!j->fed)
		hand_over(j);
	else
		create(j);
}

/* --- found running ------------------------------------------------------- */

static void
expect(struct qjob *j, int64_t pid)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_job_expect;
	m.u.job_expect.run = j->row.run;
	m.u.job_expect.pid = pid;
	queue_send(queue.runs, &m);
	j->expected = true;
}

static void
found(struct qjob *j, const struct msg *m)
{
	if (m == NULL || m->type != MSG_TYPE_engine_state) {
		qjob_retry(j);
		return;
	}
	qjob_engine_state(j, &m->u.engine_state);
	if (j->container == CONTAINER_RUNNING && m->u.engine_state.pid > 0)
		expect(j, m->u.engine_state.pid);
	qjob_drive(j);
}

bool
qjob_attach(struct qjob *j)
{
	struct msg m;

	if (j->expected || j->container_gone)
		return true;
	if (!j->door)
		make_door(j);
	else if (!j->fed)
		hand_over(j);
	else {
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_engine_inspect;
		m.u.engine_inspect.run = j->row.run;
		call_send(queue.engine, &m, j, QUEUE_ENGINE_MS, found);
	}
	return false;
}

/* --- CREATED: start ---------------------------------------------------- */

static void
container_started(struct qjob *j, const struct msg *m)
{
	const struct msg_engine_state *s;

	if (m == NULL || m->type != MSG_TYPE_engine_state) {
		if (m != NULL && strcmp(m->u.error.error, "unavailable") != 0)
			qjob_requeue(j, m->u.error.reason);
		else
			qjob_retry(j);
		return;
	}
	s = &m->u.engine_state;
	j->container = queue_container_parse(s->status);
	if (j->container != CONTAINER_RUNNING || s->pid == 0) {
		qjob_requeue(
		    j, s->error[0] != '\0' ? s->error : "it ended at once");
		return;
	}
	j->started = true;
	if (!qjob_step(j, STATE_GATED, "started, pid %lld", (long long)s->pid))
		return;
	expect(j, s->pid);
	qjob_drive(j);
}

static void
drive_created(struct qjob *j)
{
	struct msg m;

	/* An adopted one has not been fed, or its doors are not open. */
	if (!j->egress_open || !j->door || !j->fed) {
		drive_opened(j);
		return;
	}
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_engine_start;
	m.u.engine_start.run = j->row.run;
	call_send(queue.engine, &m, j, QUEUE_ENGINE_MS, container_started);
}

/* --- GATED: the proof -------------------------------------------------- */

static void
drive_gated(struct qjob *j)
{
	if (!qjob_attach(j))
		return;
	if (j->proof_bad)
		qjob_end(
		    j, CLASS_BOUNDARY_VIOLATION, "the boundary did not hold");
	else if (j->container_gone)
		qjob_requeue(j, "its container ended before it was released");
	else if (j->proved)
		(void)qjob_step(j, STATE_COMMITTED, "proved");
	else if (clock_boot_ms() - j->state_at > QUEUE_PROOF_MS)
		qjob_requeue(j, "no proof in time");
}

/* --- driving ----------------------------------------------------------- */

void
qjob_drive(struct qjob *j)
{
	if (call_waits(j) || clock_boot_ms() < j->retry_at)
		return;
	/* Somebody ends it, or it has ended: the other file's business. */
	if (j->row.class != CLASS_NONE || j->row.stop != CLASS_NONE ||
	    j->removing) {
		qjob_drive_end(j);
		return;
	}
	switch (j->row.state) {
	case STATE_ADMITTED:
		drive_admitted(j);
		break;
	case STATE_OPENED:
		drive_opened(j);
		break;
	case STATE_CREATED:
		drive_created(j);
		break;
	case STATE_GATED:
		drive_gated(j);
		break;
	case STATE_QUEUED:
	case STATE_MAX:
		break;
	case STATE_COMMITTED:
	case STATE_RUNNING:
	case STATE_EXITED:
	case STATE_HARVESTED:
	case STATE_PUBLISHING:
	case STATE_PUBLISHED:
	case STATE_CLOSED:
	case STATE_DONE:
		qjob_drive_end(j);
		break;
	}
}
