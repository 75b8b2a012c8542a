/*
 * The process runs: one socket for each run, with PID 1 of its container at
 * the other end. Bytes of a container end here; what they claim is claimed.
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/log.h"

#include "dispatchd/runs.h"

/* Its links, in the order in which the parent passes them. */
#define FD_DIR (PROC_FD_FIRST + 0)
#define FD_QUEUE (PROC_FD_FIRST + 1)
#define FD_FRONTEND (PROC_FD_FIRST + 2)
#define LINKS 3

struct runs runs;

static void runs_dispatch_parent(struct peer *, struct msg *, int, void *);
static void runs_dispatch_queue(struct peer *, struct msg *, int, void *);
static void runs_dispatch_frontend(struct peer *, struct msg *, int, void *);

static void
queue_data(
    struct peer *p, uint32_t stream, const uint8_t *buf, size_t len, void *arg)
{
	job_blob_data(stream, buf, len);
	peer_stream_consumed(p, stream, len);
}

static void
queue_stream_end(
    struct peer *p, uint32_t stream, bool ok, const char *why, void *arg)
{
	job_blob_end(stream, ok, why);
}

static void
frontend_stream_ready(struct peer *p, uint32_t stream, void *arg)
{
	serve_ready(stream);
}

/* The client does not want it any more. */
static void
frontend_stream_end(
    struct peer *p, uint32_t stream, bool ok, const char *why, void *arg)
{
	serve_aborted(stream);
}

static const struct peer_ops parent_ops = { .message = runs_dispatch_parent,
	.gone = sibling_gone };
static const struct peer_ops queue_ops = { .message = runs_dispatch_queue,
	.gone = sibling_gone,
	.data = queue_data,
	.stream_end = queue_stream_end };
static const struct peer_ops frontend_ops = { .message = runs_dispatch_frontend,
	.gone = sibling_gone,
	.stream_ready = frontend_stream_ready,
	.stream_end = frontend_stream_end };

static void
runs_dispatch_parent(struct peer *peer, struct msg *m, int fd, void *arg)
{
	switch (m->type) {
	case MSG_TYPE_door:
		job_door(m->u.door.run, fd);
		break;
	case MSG_TYPE_go:
		break;
	default:
		fatalx(
		    "unexpected %s from the parent", msg_decl(m->type)->wire);
	}
}

static void
runs_dispatch_queue(struct peer *peer, struct msg *m, int fd, void *arg)
{
	switch (m->type) {
	case MSG_TYPE_job_start:
		job_start(m->id, &m->u.job_start);
		break;
	case MSG_TYPE_job_expect:
		job_expect(&m->u.job_expect);
		break;
	case MSG_TYPE_job_release:
		job_release(m->u.job_release.run);
		break;
	case MSG_TYPE_job_stop:
		job_stop(&m->u.job_stop);
		break;
	case MSG_TYPE_job_finish:
		job_finish(m->u.job_finish.run);
		break;
	case MSG_TYPE_bundle_row_answer:
		serve_compare(m->id, &m->u.bundle_row_answer);
		break;
	case MSG_TYPE_job_stored:
		job_stored(m->id, &m->u.job_stored);
		break;
	case MSG_TYPE_job_close:
		job_close(m->id, &m->u.job_close);
		break;
	default:
		fatalx("unexpected %s from the queue", msg_decl(m->type)->wire);
	}
}

static void
runs_dispatch_frontend(struct peer *peer, struct msg *m, int fd, void *arg)
{
	switch (m->type) {
	case MSG_TYPE_logs:
		serve_logs(m->id, &m->u.logs);
		break;
	case MSG_TYPE_bundle_get:
		serve_bundle(m->id, &m->u.bundle_get);
		break;
	default:
		fatalx(
		    "unexpected %s from the frontend", msg_decl(m->type)->wire);
	}
}

static struct peer *
link_to(
    int fd, enum msg_side side, const char *name, const struct peer_ops *ops)
{
	return sibling_link(
	    runs.base, fd, SIDE_RUNS, side, "runs", name, ops, NULL);
}

void
runs_main(const struct proc_self *self)
{
	struct sandbox_state st;

	if (self->nlinks != LINKS)
		fatalx("wrong number of links");
	if (peer_stream_prepare() == -1)
		fatalx("streams are not to be had");
	st = proc_enter(self, RUNS_NOFILE, 0, SANDBOX_RUNS);
	runs.base = event_base_new();
	if (runs.base == NULL)
		fatalx("no event loop");
	TAILQ_INIT(&runs.jobs);
	runs.dirfd = FD_DIR;
	runs.parent =
	    link_to(PROC_FD_PARENT, SIDE_PARENT, "dispatchd", &parent_ops);
	runs.queue = link_to(FD_QUEUE, SIDE_QUEUE, "queue", &queue_ops);
	runs.frontend =
	    link_to(FD_FRONTEND, SIDE_FRONTEND, "frontend", &frontend_ops);
	sibling_send_ready(runs.parent, &st);
	event_base_dispatch(runs.base);
	panic("the event loop ended");
}
