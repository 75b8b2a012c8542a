/* What a run is, and what became of it: for ps, show and wait. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/clock.h"

#include "dispatchd/queue.h"

#define PS_PAGE 200 /* rows of one answer: a quarter of a MiB at most */
#define NOTE_PAIRS_MAX 64
#define TIMES_MAX 32
#define BUNDLE_PATH_MAX 256 /* msg.def: 255 */

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

void
client_tell_over(int64_t id, const struct queue_row *row)
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
	sibling_send(queue.frontend, &m);
	free(denials.text);
}

/* --- ps, show ------------------------------------------------------------ */

struct listing {
	int64_t id;
	bool all;
	int64_t count;
	int64_t last, next; /* the number of the last row; 0, or more follow */
};

static bool
ps_row(const struct queue_row *row, void *arg)
{
	struct listing *l = arg;
	char why[QUEUE_WHY_MAX + 1];
	struct queue_time now;
	struct msg m;

	if (!l->all && row->state == STATE_DONE)
		return true;
	if (l->count == PS_PAGE) {
		l->next = l->last;
		return false;
	}
	l->last = row->seq;
	l->count++;
	queue_time_now(&now);
	queue_why_waits(row, why);
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
	sibling_send(queue.frontend, &m);
	return true;
}

void
client_ps(int64_t id, const struct msg_ps *p)
{
	struct listing l = { .id = id, .all = p->all };
	struct msg m;

	/* One more than a page holds, to know whether there is another. */
	if (queue_store_each(queue.store, p->all ? FILTER_ALL : FILTER_OPEN,
	        p->after, PS_PAGE + 1, ps_row, &l) == -1) {
		client_refuse(
		    id, client_store_code(), queue_store_why(queue.store));
		return;
	}
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_ps_answer;
	m.id = id;
	m.u.ps_answer.count = l.count;
	m.u.ps_answer.next = l.next;
	sibling_send(queue.frontend, &m);
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
		client_refuse(id, "no_run", "there is no run of that id");
		return;
	}
	/* What is known of a live one may not be on disk yet. */
	if ((j = qjob_find(s->run)) != NULL)
		row = j->row;
	queue_branch(row.tool, row.run, branch);
	queue_why_waits(&row, why);
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
	sibling_send(queue.frontend, &m);
	free(proof.text);
	free(denials.text);
}
