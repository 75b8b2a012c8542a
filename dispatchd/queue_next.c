/* Runs that wait: which is next, and what each waits for. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"

#include "dispatchd/queue.h"
#include "dispatchd/queue_limit.h"

struct waiting_list {
	struct queue_waiting *rows;
	struct queue_row *full;
	size_t n, max;
	struct queue_time now;
	int64_t next_ms; /* until the first of those in a pause; 0: none is */
};

static int64_t look_at; /* boot ms; 0: when something changes */

/*
 * How long a run whose start failed is left alone yet. What the clock of
 * another boot says is no measure: at the start it may be begun.
 */
static int64_t
pause_left(const struct queue_row *row, const struct queue_time *now)
{
	int64_t left;

	if (row->tries == 0 || strcmp(row->boot_id, now->boot_id) != 0)
		return 0;
	left = row->step_boot_ms + queue_pause_ms(row->tries) - now->boot_ms;
	return left > 0 ? left : 0;
}

static bool
collect(const struct queue_row *row, void *arg)
{
	struct waiting_list *l = arg;
	struct queue_waiting *w;
	int64_t left;

	if (l->n == l->max)
		return false;
	if ((left = pause_left(row, &l->now)) > 0) {
		if (l->next_ms == 0 || left < l->next_ms)
			l->next_ms = left;
		return true;
	}
	w = &l->rows[l->n];
	strlcpy(w->run, row->run, sizeof(w->run));
	w->repo = queue_repo_key(row->url);
	w->need = qjob_need(row);
	l->full[l->n++] = *row;
	return true;
}

/* Resources are its own: a network as well, then it is ADMITTED. */
static bool
admit(const struct queue_row *row)
{
	char network[QUEUE_NETWORK_MAX + 1];
	struct qjob *j;

	if (subnet_free(network) == -1) {
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

/* As they came, without those in a pause. Returns 0 or -1. */
static int
load(struct waiting_list *l)
{
	queue_time_now(&l->now);
	l->max = QUEUE_QUEUED_MAX;
	l->rows = calloc(l->max, sizeof(*l->rows));
	l->full = calloc(l->max, sizeof(*l->full));
	if (l->rows == NULL || l->full == NULL)
		return -1;
	return queue_store_each(
	    queue.store, FILTER_QUEUED, 0, l->max, collect, l);
}

static void
forget(struct waiting_list *l, size_t i)
{
	l->n--;
	memmove(&l->rows[i], &l->rows[i + 1], (l->n - i) * sizeof(*l->rows));
	memmove(&l->full[i], &l->full[i + 1], (l->n - i) * sizeof(*l->full));
}

/* Begin those that can be. False: one could have been, but for us. */
static bool
admit_of(struct waiting_list *l)
{
	struct queue_need n;
	size_t i;

	while (l->n > 0 &&
	    queue_admit_next(&queue.admission, l->rows, l->n, &i) == 1) {
		n = qjob_need(&l->full[i]);
		if (!admit(&l->full[i])) {
			queue_admit_release(&queue.admission, &n);
			return false;
		}
		forget(l, i);
	}
	return true;
}

void
qjob_admit_all(void)
{
	struct waiting_list l = { .n = 0 };
	char why[QUEUE_WHY_MAX + 1];

	if (!queue.engine_ready || queue.config == NULL ||
	    queue_store_failed(queue.store) || disk_short(why))
		return;
	if (load(&l) == -1 || !admit_of(&l))
		l.next_ms = QUEUE_RETRY_MAX_MS;
	look_at = l.next_ms > 0 ? l.now.boot_ms + l.next_ms : 0;
	free(l.rows);
	free(l.full);
}

void
next_tick(void)
{
	if (look_at != 0 && clock_boot_ms() >= look_at)
		qjob_admit_all();
}

void
queue_why_waits(const struct queue_row *row, char why[QUEUE_WHY_MAX + 1])
{
	struct queue_waiting w;
	struct queue_time now;
	int64_t left;

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
	queue_time_now(&now);
	if ((left = pause_left(row, &now)) > 0) {
		snprintf(why, QUEUE_WHY_MAX + 1,
		    "start %" PRId64 " of at most %d failed; the next one is "
		    "in %" PRId64 " s",
		    row->tries, QUEUE_TRIES_MAX, (left + 999) / 1000);
		return;
	}
	memset(&w, 0, sizeof(w));
	strlcpy(w.run, row->run, sizeof(w.run));
	w.repo = queue_repo_key(row->url);
	w.need.memory = row->memory;
	w.need.cpus_milli = row->cpus_milli;
	w.need.pids = row->pids;
	queue_admit_why(&queue.admission, &w, 1, 0, why);
}
