/*
 * The frontend: clients of dispatchd.sock. It decodes what they send, judges
 * by the table `peers` who may ask, and hands the rest to its siblings under
 * ids of its own.
 */

#include "libcommon/clock.h"
#include "libcommon/excess.h"
#include "libcommon/grants.h"
#include "libcommon/log.h"
#include "libcommon/status.h"

#include "dispatchd/frontend.h"

/* Its links, in the order in which the parent passes them. */
#define FD_LISTEN (PROC_FD_FIRST + 0)
#define FD_QUEUE (PROC_FD_FIRST + 1)
#define FD_RUNS (PROC_FD_FIRST + 2)
#define FD_AUDIT (PROC_FD_FIRST + 3)
#define LINKS 4

struct front front;
struct front_times front_times = { FRONTEND_PROMPT_MS, FRONTEND_IDLE_MS,
	EXCESS_MS };

static struct event *ev_tick;

static void front_dispatch_parent(struct peer *, struct msg *, int, void *);
static void front_dispatch_queue(struct peer *, struct msg *, int, void *);
static void front_dispatch_runs(struct peer *, struct msg *, int, void *);
static void front_dispatch_audit(struct peer *, struct msg *, int, void *);
static void front_dispatch_client(struct peer *, struct msg *, int, void *);
static void user_came(struct client *);
static void user_leaves(struct client *);

static const struct peer_ops parent_ops = { .message = front_dispatch_parent,
	.gone = sibling_gone };
static const struct peer_ops audit_ops = { .message = front_dispatch_audit,
	.gone = sibling_gone };
static const struct peer_ops queue_ops = { .message = front_dispatch_queue,
	.gone = sibling_gone,
	.stream_ready = front_relay_queue_ready,
	.stream_end = front_relay_queue_end };
static const struct peer_ops runs_ops = { .message = front_dispatch_runs,
	.gone = sibling_gone,
	.data = front_relay_runs_data,
	.stream_end = front_relay_runs_end };
static const struct peer_ops client_ops = { .message = front_dispatch_client,
	.gone = clients_gone,
	.data = front_relay_client_data,
	.stream_ready = front_relay_client_ready,
	.stream_end = front_relay_client_end };
static const struct clients_def clients_def = { .daemon = "dispatchd",
	.size = sizeof(struct user),
	.ops = &client_ops,
	.came = user_came,
	.leaves = user_leaves };

void
front_refuse(struct user *u, int64_t id, const char *code, const char *reason)
{
	log_info("client uid %u pid %d: %s: %s", (unsigned)u->client.creds.uid,
	    (int)u->client.creds.pid, code, reason);
	peer_send_error(u->client.peer, id, code, reason);
}

/* --- clients ---------------------------------------------------------- */

static void
user_came(struct client *c)
{
	struct user *u = (struct user *)c;

	TAILQ_INIT(&u->calls);
	TAILQ_INIT(&u->waits);
}

static void
user_leaves(struct client *c)
{
	struct user *u = (struct user *)c;

	front_refuse_user_gone(u);
	front_wait_user_gone(u);
	front_call_user_gone(u);
}

static void
tick(int fd, short what, void *arg)
{
	int64_t now = clock_boot_ms();

	front_call_tick(now);
	front_refuse_tick(now);
}

/* --- dispatch --------------------------------------------------------- */

/*
 * The verbs any of which lets a request pass; 0: none that we know. Who sees
 * all of a run may also wait for it, and have its bundle.
 */
static unsigned
verbs_of(enum msg_type type)
{
	switch (type) {
	case MSG_TYPE_run:
		return GRANT(VERB_run);
	case MSG_TYPE_wait:
		return GRANT(VERB_run) | GRANT(VERB_show);
	case MSG_TYPE_ps:
		return GRANT(VERB_ps);
	case MSG_TYPE_show:
	case MSG_TYPE_bundle_get:
		return GRANT(VERB_show);
	case MSG_TYPE_stop:
		return GRANT(VERB_stop);
	case MSG_TYPE_rm:
		return GRANT(VERB_rm);
	case MSG_TYPE_logs:
		return GRANT(VERB_logs);
	case MSG_TYPE_status:
		return GRANT(VERB_status);
	default:
		return 0;
	}
}

static void
refuse(struct user *u, const struct msg *m)
{
	const char *request = msg_decl(m->type)->wire;

	switch (m->type) {
	case MSG_TYPE_run:
		front_refuse_recorded(u, m->id, request, NULL);
		break;
	case MSG_TYPE_stop:
		front_refuse_recorded(u, m->id, request, m->u.stop.run);
		break;
	case MSG_TYPE_rm:
		front_refuse_recorded(u, m->id, request, m->u.rm.run);
		break;
	default:
		front_refuse(u, m->id, "refused", GRANTS_REFUSED);
		break;
	}
}

static void
front_dispatch_client(struct peer *peer, struct msg *m, int fd, void *arg)
{
	struct user *u = arg;
	unsigned verbs = verbs_of(m->type);

	if (verbs == 0) {
		peer_send_error(peer, m->id, "unknown",
		    "this daemon does not know that request");
		return;
	}
	if (!grants_may(&u->client.creds, verbs)) {
		refuse(u, m);
		return;
	}
	switch (m->type) {
	case MSG_TYPE_status:
		front_status(u, m->id);
		break;
	case MSG_TYPE_run:
		if (clients_draining())
			front_refuse(u, m->id, "draining",
			    "the daemon is about to leave");
		else
			front_call_run(u, m->id, &m->u.run);
		break;
	case MSG_TYPE_wait:
		front_wait(u, m->id, &m->u.wait);
		break;
	case MSG_TYPE_logs:
	case MSG_TYPE_bundle_get:
		front_call_read(u, m);
		break;
	case MSG_TYPE_rm:
		front_call_rm(u, m->id, &m->u.rm);
		break;
	case MSG_TYPE_stop:
		front_call_stop(u, m->id, &m->u.stop);
		break;
	case MSG_TYPE_ps:
	case MSG_TYPE_show:
		front_call_look(u, m);
		break;
	default:
		front_call(u, m, front.queue);
		break;
	}
}

static void
front_dispatch_queue(struct peer *peer, struct msg *m, int fd, void *arg)
{
	switch (m->type) {
	case MSG_TYPE_state:
		status_keep(STATUS_SIBLING, &m->u.state);
		break;
	case MSG_TYPE_run_event:
		if (!front_wait_event(m))
			fatalx("an event that nobody waits for from the queue");
		break;
	case MSG_TYPE_ps_row:
		front_call_event(peer, m);
		break;
	case MSG_TYPE_wait_answer:
	case MSG_TYPE_error:
	case MSG_TYPE_run_accepted:
	case MSG_TYPE_ps_answer:
	case MSG_TYPE_show_answer:
	case MSG_TYPE_stop_answer:
	case MSG_TYPE_rm_answer:
		if (!front_wait_answer(m))
			front_call_answer(peer, m);
		break;
	default:
		fatalx("unexpected %s from the queue", msg_decl(m->type)->wire);
	}
}

static void
front_dispatch_runs(struct peer *peer, struct msg *m, int fd, void *arg)
{
	switch (m->type) {
	case MSG_TYPE_logs_answer:
	case MSG_TYPE_bundle_get_answer:
	case MSG_TYPE_error:
		front_call_answer(peer, m);
		break;
	default:
		fatalx("unexpected %s from runs", msg_decl(m->type)->wire);
	}
}

static void
front_dispatch_audit(struct peer *peer, struct msg *m, int fd, void *arg)
{
	sibling_audit_message(front.audit, m);
}

static void
front_dispatch_parent(struct peer *peer, struct msg *m, int fd, void *arg)
{
	switch (m->type) {
	case MSG_TYPE_table_begin:
		grants_begin(&m->u.table_begin);
		break;
	case MSG_TYPE_peer_row:
		grants_row(&m->u.peer_row);
		break;
	case MSG_TYPE_table_end:
		grants_end(&m->u.table_end, 0);
		sibling_send_applied(front.parent, m->u.table_end.table,
		    m->u.table_end.generation);
		break;
	case MSG_TYPE_state:
		status_keep(STATUS_PARENT, &m->u.state);
		break;
	case MSG_TYPE_go:
		clients_accept();
		break;
	case MSG_TYPE_drain:
		clients_drain();
		break;
	default:
		fatalx(
		    "unexpected %s from the parent", msg_decl(m->type)->wire);
	}
}

/* --- start ------------------------------------------------------------ */

static struct peer *
link_to(
    int fd, enum msg_side side, const char *name, const struct peer_ops *ops)
{
	return sibling_link(
	    front.base, fd, SIDE_FRONTEND, side, "frontend", name, ops, NULL);
}

static void
links_init(void)
{
	front.parent =
	    link_to(PROC_FD_PARENT, SIDE_PARENT, "dispatchd", &parent_ops);
	front.queue = link_to(FD_QUEUE, SIDE_QUEUE, "queue", &queue_ops);
	front.runs = link_to(FD_RUNS, SIDE_RUNS, "runs", &runs_ops);
	front.recorder = link_to(FD_AUDIT, SIDE_AUDIT, "audit", &audit_ops);
	front.audit = audit_client_new(front.base, front.recorder);
	if (front.audit == NULL)
		fatalx("out of memory");
}

static void
events_init(void)
{
	const struct timeval tv = { FRONTEND_TICK_MS / 1000, 0 };

	front.base = event_base_new();
	if (front.base == NULL)
		fatalx("no event loop");
	ev_tick = event_new(front.base, -1, EV_PERSIST, tick, NULL);
	if (ev_tick == NULL)
		fatalx("out of memory");
	evtimer_add(ev_tick, &tv);
}

void
dispatch_frontend_main(const struct proc_self *self)
{
	struct sandbox_state st;

	if (self->nlinks != LINKS)
		fatalx("wrong number of links");
	if (peer_stream_prepare() == -1)
		fatalx("SHA-256 is not to be had");
	st = proc_enter(self, FRONTEND_NOFILE, 0, SANDBOX_FRONTEND);
	front.started_ms = clock_boot_ms();
	events_init();
	clients_init(front.base, FD_LISTEN, &clients_def);
	grants_init(dispatch_verbs, VERB_MAX);
	links_init();
	sibling_send_ready(front.parent, &st);
	event_base_dispatch(front.base);
	panic("the event loop ended");
}
