/*
 * The process queue: which runs there are, and what is to become of each. It
 * has the database and nobody else does; it talks to egressd, which knows it
 * by its user; it sees no container, no output and no client.
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"
#include "libcommon/mem.h"

#include "dispatchd/queue.h"

/* Its links, in the order in which the parent passes them. */
#define FD_DIR (PROC_FD_FIRST + 0) /* named by the sandbox */
#define FD_FRONTEND (PROC_FD_FIRST + 1)
#define FD_ENGINE (PROC_FD_FIRST + 2)
#define FD_RUNS (PROC_FD_FIRST + 3)
#define FD_AUDIT (PROC_FD_FIRST + 4)
#define LINKS 5

struct queue queue;

/* Bytes that go out on a stream. */
struct push {
	TAILQ_ENTRY(push) entry;
	struct peer *peer;
	uint32_t id;
	uint8_t *buf;
	size_t len, sent;
};

static TAILQ_HEAD(, push) pushes = TAILQ_HEAD_INITIALIZER(pushes);

static void dispatch_parent(struct peer *, struct msg *, int, void *);
static void dispatch_frontend(struct peer *, struct msg *, int, void *);
static void dispatch_engine(struct peer *, struct msg *, int, void *);
static void dispatch_audit(struct peer *, struct msg *, int, void *);
static void
frontend_data(struct peer *, uint32_t, const uint8_t *, size_t, void *);
static void frontend_end(struct peer *, uint32_t, bool, const char *, void *);
static void stream_ready(struct peer *, uint32_t, void *);
static void stream_gone(struct peer *, uint32_t, bool, const char *, void *);
static void no_data(struct peer *, uint32_t, const uint8_t *, size_t, void *);

static const struct peer_ops parent_ops = { .message = dispatch_parent,
	.gone = sibling_gone,
	.data = roots_data,
	.stream_end = roots_end,
	.stream_ready = stream_ready };
static const struct peer_ops frontend_ops = { .message = dispatch_frontend,
	.gone = sibling_gone,
	.data = frontend_data,
	.stream_end = frontend_end,
	.stream_ready = stream_ready };
static const struct peer_ops engine_ops = { .message = dispatch_engine,
	.gone = sibling_gone };
static const struct peer_ops runs_ops = { .message = queue_dispatch_runs,
	.gone = sibling_gone,
	.data = no_data,
	.stream_end = stream_gone,
	.stream_ready = stream_ready };
static const struct peer_ops audit_ops = { .message = dispatch_audit,
	.gone = sibling_gone };

/* --- streams out ------------------------------------------------------ */

static void
push_free(struct push *s)
{
	TAILQ_REMOVE(&pushes, s, entry);
	freezero(s->buf, s->len);
	free(s);
}

uint32_t
queue_stream_push(struct peer *p, const void *buf, size_t len)
{
	struct push *s;

	if (len == 0)
		return 0;
	s = xcalloc(1, sizeof(*s));
	s->buf = xmalloc(len);
	memcpy(s->buf, buf, len);
	s->len = len;
	s->peer = p;
	/* So many are never open at a time that one could come round. */
	s->id = queue.next_stream = queue.next_stream % INT32_MAX + 1;
	TAILQ_INSERT_TAIL(&pushes, s, entry);
	if (peer_stream_begin(p, s->id) == -1)
		fatalx("no stream to %s", peer_name(p));
	return s->id;
}

static struct push *
push_find(struct peer *p, uint32_t id)
{
	struct push *s;

	TAILQ_FOREACH(s, &pushes, entry) {
		if (s->peer == p && s->id == id)
			return s;
	}
	return NULL;
}

static void
stream_ready(struct peer *p, uint32_t id, void *arg)
{
	struct push *s = push_find(p, id);
	size_t n;

	if (s == NULL)
		return;
	n = peer_stream_room(p, id);
	if (n > s->len - s->sent)
		n = s->len - s->sent;
	if (n > 0 && peer_stream_write(p, id, s->buf + s->sent, n) == -1)
		return;
	s->sent += n;
	if (s->sent < s->len)
		return;
	peer_stream_finish(p, id);
	push_free(s);
}

/* The receiver does not want it: its answer says why. */
static void
stream_gone(struct peer *p, uint32_t id, bool ok, const char *why, void *arg)
{
	struct push *s = push_find(p, id);

	if (s != NULL)
		push_free(s);
}

static void
no_data(struct peer *p, uint32_t id, const uint8_t *buf, size_t len, void *arg)
{
	fatalx("%s sends bytes that nobody asked for", peer_name(p));
}

/* --- dispatch --------------------------------------------------------- */

static void
dispatch_parent(struct peer *p, struct msg *m, int fd, void *arg)
{
	if (msg_decl(m->type)->kind == MSG_ANSWER) {
		(void)call_answered(p, m);
		return;
	}
	switch (m->type) {
	case MSG_TYPE_dispatch_config:
		config_given(&m->u.dispatch_config);
		break;
	case MSG_TYPE_dispatch_roots:
		roots_given(&m->u.dispatch_roots);
		break;
	case MSG_TYPE_go:
		queue.go = true;
		queue_record_owed();
		egress_init();
		recover_begin();
		prune_begin();
		break;
	default:
		fatalx(
		    "unexpected %s from the parent", msg_decl(m->type)->wire);
	}
}

static void
frontend_data(
    struct peer *p, uint32_t stream, const uint8_t *buf, size_t len, void *arg)
{
	client_stream_data(stream, buf, len);
	peer_stream_consumed(p, stream, len);
}

static void
frontend_end(
    struct peer *p, uint32_t stream, bool ok, const char *why, void *arg)
{
	client_stream_end(stream, ok, why);
}

static void
dispatch_frontend(struct peer *p, struct msg *m, int fd, void *arg)
{
	switch (m->type) {
	case MSG_TYPE_job_submit:
		client_submit(m->id, &m->u.job_submit);
		break;
	case MSG_TYPE_wait:
		client_wait(m->id, &m->u.wait);
		break;
	case MSG_TYPE_wait_forget:
		client_forget(m->id);
		break;
	case MSG_TYPE_ps:
		client_ps(m->id, &m->u.ps);
		break;
	case MSG_TYPE_show:
		client_show(m->id, &m->u.show);
		break;
	case MSG_TYPE_job_halt:
		client_stop(m->id, &m->u.job_halt);
		break;
	case MSG_TYPE_job_rm:
		client_rm(m->id, &m->u.job_rm);
		break;
	case MSG_TYPE_bundle_fetched:
		client_fetched(&m->u.bundle_fetched);
		break;
	default:
		fatalx(
		    "unexpected %s from the frontend", msg_decl(m->type)->wire);
	}
}

static void
dispatch_engine(struct peer *p, struct msg *m, int fd, void *arg)
{
	engine_heard(m);
	if (m->type == MSG_TYPE_engine_event)
		recover_event(&m->u.engine_event);
	else if (msg_decl(m->type)->kind == MSG_ANSWER)
		(void)call_answered(p, m);
	else
		fatalx(
		    "unexpected %s from the engine", msg_decl(m->type)->wire);
}

static void
dispatch_audit(struct peer *p, struct msg *m, int fd, void *arg)
{
	sibling_audit_message(queue.audit, m);
}

/* --- time ------------------------------------------------------------- */

/*
 * What a deadline or a retry is due for; and a disk that refused once is asked
 * whether it would now.
 */
static void
tick(int fd, short what, void *arg)
{
	struct qjob *j, *next;

	if (queue.store != NULL && queue_store_failed(queue.store)) {
		if (queue_store_recheck(queue.store) == 0) {
			/* What is on disk decides, not what we remember. */
			log_warnx("the queue's disk works again: starting "
			          "anew from what it holds");
			_exit(0);
		}
	}
	TAILQ_FOREACH_SAFE(j, &queue.jobs, entry, next)
		qjob_deadlines(j);
	client_submit_tick(clock_boot_ms());
	if (queue.go) {
		queue_record_tick();
		egress_tick();
		disk_tick();
		next_tick();
		prune_tick();
	}
}

/* --- start ------------------------------------------------------------ */

static struct peer *
link_to(
    int fd, enum msg_side side, const char *name, const struct peer_ops *ops)
{
	return sibling_link(
	    queue.base, fd, SIDE_QUEUE, side, "queue", name, ops, NULL);
}

void
queue_main(const struct proc_self *self)
{
	const struct timeval every = { 0, QUEUE_TICK_MS * 1000 };
	struct sandbox_state st;

	if (self->nlinks != LINKS)
		fatalx("wrong number of links");
	if (peer_stream_prepare() == -1)
		fatalx("streams are not to be had");
	st = proc_enter(self, QUEUE_NOFILE, 0, SANDBOX_QUEUE);
	queue.base = event_base_new();
	if (queue.base == NULL)
		fatalx("no event loop");
	TAILQ_INIT(&queue.jobs);
	queue.dirfd = FD_DIR;
	queue.uid = self->uid;
	queue.parent =
	    link_to(PROC_FD_PARENT, SIDE_PARENT, "dispatchd", &parent_ops);
	queue.frontend =
	    link_to(FD_FRONTEND, SIDE_FRONTEND, "frontend", &frontend_ops);
	queue.engine = link_to(FD_ENGINE, SIDE_ENGINE, "engine", &engine_ops);
	queue.runs = link_to(FD_RUNS, SIDE_RUNS, "runs", &runs_ops);
	queue.recorder = link_to(FD_AUDIT, SIDE_AUDIT, "audit", &audit_ops);
	queue.audit = audit_client_new(queue.base, queue.recorder);
	queue.tick = event_new(queue.base, -1, EV_PERSIST, tick, NULL);
	if (queue.audit == NULL || queue.tick == NULL)
		fatalx("out of memory");
	evtimer_add(queue.tick, &every);
	sibling_send_ready(queue.parent, &st);
	event_base_dispatch(queue.base);
	panic("the event loop ended");
}
