/*
 * The frontend: clients of dispatchd.sock. It decodes what they send, judges
 * by the table `peers` who may ask, and hands the rest to its siblings under
 * ids of its own.
 */

#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"

#include "dispatchd/frontend.h"

/* Its links, in the order in which the parent passes them. */
#define FD_LISTEN (PROC_FD_FIRST + 0)
#define FD_QUEUE (PROC_FD_FIRST + 1)
#define FD_RUNS (PROC_FD_FIRST + 2)
#define FD_AUDIT (PROC_FD_FIRST + 3)
#define LINKS 4

struct front front;

static struct event *ev_listen, *ev_backoff, *ev_tick;
static TAILQ_HEAD(, user) users = TAILQ_HEAD_INITIALIZER(users);

static void front_dispatch_parent(struct peer *, struct msg *, int, void *);
static void front_dispatch_queue(struct peer *, struct msg *, int, void *);
static void front_dispatch_runs(struct peer *, struct msg *, int, void *);
static void front_dispatch_audit(struct peer *, struct msg *, int, void *);
static void front_dispatch_client(struct peer *, struct msg *, int, void *);
static void sibling_gone(struct peer *, enum peer_end, const char *, void *);
static void user_gone(struct peer *, enum peer_end, const char *, void *);

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
	.gone = user_gone,
	.data = front_relay_client_data,
	.stream_ready = front_relay_client_ready,
	.stream_end = front_relay_client_end };

static void
sibling_gone(struct peer *peer, enum peer_end end, const char *why, void *arg)
{
	log_debug("%s is gone: leaving", peer_name(peer));
	_exit(0);
}

void
front_send(struct peer *p, const struct msg *m)
{
	if (peer_send(p, m) == -1)
		panic("cannot send %s to %s", msg_decl(m->type)->wire,
		    peer_name(p));
}

void
front_refuse(struct user *u, int64_t id, const char *code, const char *reason)
{
	log_info("client uid %u pid %d: %s: %s", (unsigned)u->creds.uid,
	    (int)u->creds.pid, code, reason);
	peer_send_error(u->peer, id, code, reason);
}

/* --- clients ---------------------------------------------------------- */

static void
user_free(struct user *u)
{
	front_refuse_user_gone(u);
	front_wait_user_gone(u);
	front_call_user_gone(u);
	peer_free(&u->peer);
	TAILQ_REMOVE(&users, u, entry);
	front.nusers--;
	free(u);
}

static void
user_gone(struct peer *peer, enum peer_end end, const char *why, void *arg)
{
	struct user *u = arg;

	if (end != PEER_END_EOF)
		log_info("client uid %u pid %d: %s", (unsigned)u->creds.uid,
		    (int)u->creds.pid, why);
	user_free(u);
}

static bool
user_too_many(const struct user *u)
{
	const struct user *other;
	size_t same = 0;

	TAILQ_FOREACH(other, &users, entry)
		same += other->creds.uid == u->creds.uid;
	return front.nusers >= FRONTEND_CLIENTS_MAX ||
	    same >= FRONTEND_USER_MAX;
}

static void
user_new(int fd)
{
	struct user *u;

	u = calloc(1, sizeof(*u));
	if (u == NULL || creds_get(fd, &u->creds) == -1) {
		free(u);
		close(fd);
		return;
	}
	if (user_too_many(u)) {
		log_info("client uid %u pid %d: too many connections",
		    (unsigned)u->creds.uid, (int)u->creds.pid);
		free(u);
		close(fd);
		return;
	}
	TAILQ_INIT(&u->calls);
	TAILQ_INIT(&u->waits);
	u->peer = peer_new(front.base, fd, PEER_CLIENT, SIDE_FRONTEND,
	    SIDE_CLIENT, "dispatchd", "client", &client_ops, u);
	if (u->peer == NULL) {
		free(u);
		return;
	}
	TAILQ_INSERT_TAIL(&users, u, entry);
	front.nusers++;
}

static void
backoff_over(int fd, short what, void *arg)
{
	if (!front.draining)
		event_add(ev_listen, NULL);
}

static void
listen_ready(int fd, short what, void *arg)
{
	struct timeval tv = { 0, FRONTEND_BACKOFF_MS * 1000 };
	int s;

	s = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (s != -1) {
		user_new(s);
		return;
	}
	if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR)
		return;
	log_warn("accept");
	event_del(ev_listen);
	evtimer_add(ev_backoff, &tv);
}

static void
tick(int fd, short what, void *arg)
{
	front_call_tick(clock_boot_ms());
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
		return VERB_BIT(VERB_run);
	case MSG_TYPE_wait:
		return VERB_BIT(VERB_run) | VERB_BIT(VERB_show);
	case MSG_TYPE_ps:
		return VERB_BIT(VERB_ps);
	case MSG_TYPE_show:
	case MSG_TYPE_bundle_get:
		return VERB_BIT(VERB_show);
	case MSG_TYPE_stop:
		return VERB_BIT(VERB_stop);
	case MSG_TYPE_rm:
		return VERB_BIT(VERB_rm);
	case MSG_TYPE_logs:
		return VERB_BIT(VERB_logs);
	case MSG_TYPE_status:
		return VERB_BIT(VERB_status);
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
		front_refuse(u, m->id, "refused",
		    "the table \"peers\" does not let this user ask for that");
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
	if (!front_peers_may(&u->creds, verbs)) {
		refuse(u, m);
		return;
	}
	switch (m->type) {
	case MSG_TYPE_status:
		front_status(u, m->id);
		break;
	case MSG_TYPE_run:
		if (front.draining)
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
	default:
		front_call(u, m, front.queue);
		break;
	}
}

static void
front_dispatch_queue(struct peer *peer, struct msg *m, int fd, void *arg)
{
	switch (m->type) {
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
	switch (m->type) {
	case MSG_TYPE_recorded:
	case MSG_TYPE_unrecorded:
		audit_client_message(front.audit, m);
		break;
	default:
		fatalx("unexpected %s from audit", msg_decl(m->type)->wire);
	}
}

static void
front_dispatch_parent(struct peer *peer, struct msg *m, int fd, void *arg)
{
	switch (m->type) {
	case MSG_TYPE_table_begin:
		front_peers_begin(&m->u.table_begin);
		break;
	case MSG_TYPE_peer_row:
		front_peers_row(&m->u.peer_row);
		break;
	case MSG_TYPE_table_end:
		front_peers_end(&m->u.table_end);
		break;
	case MSG_TYPE_state:
		front_state_set(&m->u.state);
		break;
	case MSG_TYPE_go:
		event_add(ev_listen, NULL);
		break;
	case MSG_TYPE_drain:
		front.draining = true;
		event_del(ev_listen);
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
	struct peer *p;

	p = peer_new(front.base, fd, PEER_SIBLING, SIDE_FRONTEND, side,
	    "frontend", name, ops, NULL);
	if (p == NULL)
		fatalx("out of memory");
	return p;
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
	ev_listen = event_new(
	    front.base, FD_LISTEN, EV_READ | EV_PERSIST, listen_ready, NULL);
	ev_backoff = evtimer_new(front.base, backoff_over, NULL);
	ev_tick = event_new(front.base, -1, EV_PERSIST, tick, NULL);
	if (ev_listen == NULL || ev_backoff == NULL || ev_tick == NULL)
		fatalx("out of memory");
	evtimer_add(ev_tick, &tv);
}

void
dispatch_frontend_main(const struct proc_self *self)
{
	struct sandbox_state st;
	struct msg m;

	if (self->nlinks != LINKS)
		fatalx("wrong number of links");
	if (peer_stream_prepare() == -1)
		fatalx("SHA-256 is not to be had");
	st = proc_enter(self, FRONTEND_NOFILE, 0, SANDBOX_FRONTEND);
	front.started_ms = clock_boot_ms();
	events_init();
	links_init();
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_ready;
	m.u.ready.seccomp = st.seccomp;
	m.u.ready.landlock = st.landlock;
	front_send(front.parent, &m);
	event_base_dispatch(front.base);
	panic("the event loop ended");
}
