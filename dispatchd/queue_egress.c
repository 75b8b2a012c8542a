/*
 * The link to egressd, as a client of it. It keeps no run over its restart, so
 * behind each new connection every open run is opened again, and then all
 * others are closed.
 */

#include <string.h>

#include "libcommon/clock.h"
#include "libcommon/fd.h"
#include "libcommon/log.h"

#include "dispatchd/queue.h"

#define EGRESS_AGAIN_MS 1000

static struct event *again;
/* The list of runs that are alive is to be sent again, then. */
static bool sync_due;
static int64_t sync_at, sync_pause_ms;

static void egress_connect(int, short, void *);
static void egress_message(struct peer *, struct msg *, int, void *);
static void egress_gone(struct peer *, enum peer_end, const char *, void *);

static const struct peer_ops egress_ops = { .message = egress_message,
	.gone = egress_gone };

static void
connect_later(void)
{
	struct timeval tv = { EGRESS_AGAIN_MS / 1000,
		EGRESS_AGAIN_MS % 1000 * 1000 };

	evtimer_add(again, &tv);
}

static void
egress_gone(struct peer *p, enum peer_end end, const char *why, void *arg)
{
	struct qjob *j;

	log_warnx("egressd is away: %s", why);
	call_lost(p);
	peer_free(&queue.egressd);
	/* Closed until it is opened anew; the runs themselves go on. */
	TAILQ_FOREACH(j, &queue.jobs, entry)
		j->egress_open = false;
	connect_later();
}

static void
egress_message(struct peer *p, struct msg *m, int fd, void *arg)
{
	if (!call_answered(p, m))
		log_debug("an answer of egressd that came late");
}

static void
synced(struct qjob *j, const struct msg *m)
{
	if (m == NULL || m->type != MSG_TYPE_runs_synced) {
		sync_pause_ms =
		    sync_pause_ms == 0 ? QUEUE_RETRY_MS : 2 * sync_pause_ms;
		if (sync_pause_ms > QUEUE_RETRY_MAX_MS)
			sync_pause_ms = QUEUE_RETRY_MAX_MS;
		sync_at = clock_boot_ms() + sync_pause_ms;
		sync_due = true;
		return;
	}
	sync_pause_ms = 0;
	if (m->u.runs_synced.closed.n > 0)
		log_info("egressd closed %zu runs that are over",
		    m->u.runs_synced.closed.n);
}

static void
sync_runs(void)
{
	const char *ids[DISPATCH_RUNS_MAX];
	struct qjob *j;
	struct msg m;
	size_t n = 0;

	TAILQ_FOREACH(j, &queue.jobs, entry) {
		if (n < DISPATCH_RUNS_MAX && egress_wanted(j))
			ids[n++] = j->row.run;
	}
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_runs_sync;
	m.u.runs_sync.runs.v = ids;
	m.u.runs_sync.runs.n = n;
	sync_due = false;
	call_send(queue.egressd, &m, NULL, QUEUE_CALL_MS, synced);
}

/*
 * Not before the runs that are alive are known: a list without them would close
 * them all.
 */
void
egress_all(void)
{
	struct qjob *j, *next;

	if (queue.egressd == NULL || !queue.engine_ready)
		return;
	sync_runs();
	TAILQ_FOREACH_SAFE(j, &queue.jobs, entry, next) {
		j->retry_at = 0;
		j->shut_tried = false;
		if (egress_wanted(j) && !call_waits(j) &&
		    peer_can_ask(queue.egressd))
			egress_open(j);
	}
}

/*
 * What is open there beyond ours stays open, and keeps its address from the
 * next run, until egressd has taken the list.
 */
void
egress_tick(void)
{
	if (!sync_due || queue.egressd == NULL || !queue.engine_ready ||
	    clock_boot_ms() < sync_at || !peer_can_ask(queue.egressd))
		return;
	sync_runs();
}

static void
egress_connect(int unused, short what, void *arg)
{
	int fd;

	fd = fd_connect_unix(queue.config->egressd);
	if (fd == -1) {
		log_warn("egressd at %s", queue.config->egressd);
		connect_later();
		return;
	}
	queue.egressd = peer_new(queue.base, fd, PEER_CLIENT, SIDE_CLIENT,
	    SIDE_FRONTEND, "dispatchd", "egressd", &egress_ops, NULL);
	if (queue.egressd == NULL) {
		connect_later();
		return;
	}
	egress_all();
}

void
egress_init(void)
{
	struct timeval now = { 0, 0 };

	if (again != NULL)
		return;
	again = evtimer_new(queue.base, egress_connect, NULL);
	if (again == NULL)
		fatalx("out of memory");
	evtimer_add(again, &now);
}
