/* Runs that wait: which is next, and what each waits for. */

#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"

#include "dispatchd/queue.h"

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
		n = qjob_need(&l.full[i]);
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

void
queue_why_waits(const struct queue_row *row, char why[QUEUE_WHY_MAX + 1])
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
