/*
 * The frontend: clients of egressd.sock. It decodes what they send, keeps the
 * table of open runs, and has its siblings do what that takes: it can neither
 * bind, nor change a packet rule, nor write a file by itself.
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

#include "frontend.h"

/* Its links, in the order in which the parent passes them. */
#define FD_LISTEN (PROC_FD_FIRST + 0)
#define FD_AUDIT (PROC_FD_FIRST + 1)
#define FD_PROXY (PROC_FD_FIRST + 2) /* and up; behind them fw, if any */

struct frontend frontend;

static struct event *ev_listen, *ev_backoff;
static TAILQ_HEAD(, user) users = TAILQ_HEAD_INITIALIZER(users);
static size_t nusers;

static void frontend_dispatch_parent(struct peer *, struct msg *, int, void *);
static void frontend_dispatch_audit(struct peer *, struct msg *, int, void *);
static void frontend_dispatch_proxy(struct peer *, struct msg *, int, void *);
static void frontend_dispatch_fw(struct peer *, struct msg *, int, void *);
static void frontend_dispatch_client(struct peer *, struct msg *, int, void *);
static void sibling_gone(struct peer *, enum peer_end, const char *, void *);
static void user_gone(struct peer *, enum peer_end, const char *, void *);

static const struct peer_ops parent_ops = { .message = frontend_dispatch_parent,
	.gone = sibling_gone };
static const struct peer_ops audit_ops = { .message = frontend_dispatch_audit,
	.gone = sibling_gone };
static const struct peer_ops proxy_ops = { .message = frontend_dispatch_proxy,
	.gone = sibling_gone };
static const struct peer_ops fw_ops = { .message = frontend_dispatch_fw,
	.gone = sibling_gone };
static const struct peer_ops client_ops = { .message = frontend_dispatch_client,
	.gone = user_gone };

static void
sibling_gone(struct peer *peer, enum peer_end end, const char *why, void *arg)
{
	log_debug("%s is gone: leaving", peer_name(peer));
	_exit(0);
}

void
frontend_send(struct peer *p, const struct msg *m)
{
	if (peer_send(p, m) == -1)
		panic("cannot send %s to %s", msg_decl(m->type)->wire,
		    peer_name(p));
}

/* --- clients ---------------------------------------------------------- */

static void
user_free(struct user *u)
{
	status_user_gone(u);
	query_user_gone(u);
	runs_user_gone(u);
	peer_free(&u->peer);
	TAILQ_REMOVE(&users, u, entry);
	nusers--;
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

static void
user_new(int fd)
{
	struct user *u, *other;
	size_t same = 0;

	u = calloc(1, sizeof(*u));
	if (u == NULL || creds_get(fd, &u->creds) == -1) {
		free(u);
		close(fd);
		return;
	}
	TAILQ_FOREACH(other, &users, entry)
		same += other->creds.uid == u->creds.uid;
	if (nusers >= FRONTEND_CLIENTS_MAX || same >= FRONTEND_USER_MAX) {
		log_info("client uid %u pid %d: too many connections",
		    (unsigned)u->creds.uid, (int)u->creds.pid);
		free(u);
		close(fd);
		return;
	}
	u->peer = peer_new(frontend.base, fd, PEER_CLIENT, SIDE_FRONTEND,
	    SIDE_CLIENT, "egressd", "client", &client_ops, u);
	if (u->peer == NULL) {
		free(u);
		return;
	}
	TAILQ_INSERT_TAIL(&users, u, entry);
	nusers++;
}

static void
backoff_over(int fd, short what, void *arg)
{
	if (!frontend.draining)
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

/* --- links ------------------------------------------------------------ */

static struct peer *
link_to(int fd, enum msg_side side, const char *name,
    const struct peer_ops *ops, void *arg)
{
	struct peer *p;

	p = peer_new(frontend.base, fd, PEER_SIBLING, SIDE_FRONTEND, side,
	    "frontend", name, ops, arg);
	if (p == NULL)
		fatalx("out of memory");
	return p;
}

/*
 * The first table says whether the last link is fw's; nothing is said on these
 * links before the first client.
 */
static void
links_init(bool fw)
{
	struct worker *w;
	unsigned i;

	frontend.recorder =
	    link_to(FD_AUDIT, SIDE_AUDIT, "audit", &audit_ops, NULL);
	frontend.audit = audit_client_new(frontend.base, frontend.recorder);
	if (frontend.audit == NULL)
		fatalx("out of memory");
	frontend.nworkers = frontend.nlinks - 2 - fw;
	if (frontend.nworkers < 1 || frontend.nworkers > EGRESS_WORKERS_MAX)
		fatalx("wrong number of links");
	for (i = 0; i < frontend.nworkers; i++) {
		w = &frontend.workers[i];
		w->instance = i;
		w->peer = link_to(
		    FD_PROXY + (int)i, SIDE_PROXY, "proxy", &proxy_ops, w);
	}
	if (fw)
		frontend.fw =
		    link_to(FD_PROXY + (int)i, SIDE_FW, "fw", &fw_ops, NULL);
}

/* --- dispatch --------------------------------------------------------- */

/* Which verb a request needs; VERB_MAX: none that we know. */
static enum egress_verb
verb_of(enum msg_type type)
{
	switch (type) {
	case MSG_TYPE_status:
		return VERB_status;
	case MSG_TYPE_run_open:
		return VERB_run_open;
	case MSG_TYPE_run_close:
		return VERB_run_close;
	case MSG_TYPE_runs_sync:
		return VERB_runs_sync;
	case MSG_TYPE_run_status:
		return VERB_run_status;
	default:
		return VERB_MAX;
	}
}

static void
frontend_dispatch_client(struct peer *peer, struct msg *m, int fd, void *arg)
{
	struct user *u = arg;
	enum egress_verb verb = verb_of(m->type);

	if (verb == VERB_MAX) {
		peer_send_error(peer, m->id, "unknown",
		    "this daemon does not know that request");
		return;
	}
	if (!peers_may(&u->creds, verb)) {
		log_info("client uid %u pid %d: %s refused",
		    (unsigned)u->creds.uid, (int)u->creds.pid,
		    msg_decl(m->type)->wire);
		peer_send_error(peer, m->id, "refused",
		    "the table \"peers\" does not let this user ask for that");
		return;
	}
	switch (m->type) {
	case MSG_TYPE_status:
		status_begin(u, m->id);
		break;
	case MSG_TYPE_run_open:
		runs_open(u, m->id, &m->u.run_open);
		break;
	case MSG_TYPE_run_close:
		runs_close(u, m->id, &m->u.run_close);
		break;
	case MSG_TYPE_runs_sync:
		runs_sync(u, m->id, &m->u.runs_sync);
		break;
	case MSG_TYPE_run_status:
		query_begin(u, m->id, &m->u.run_status);
		break;
	default:
		panic("a verb without its request");
	}
}

static void
frontend_dispatch_proxy(struct peer *peer, struct msg *m, int fd, void *arg)
{
	struct worker *w = arg;

	switch (m->type) {
	case MSG_TYPE_stats_answer:
		status_counters(w->instance, m->id, &m->u.stats_answer);
		break;
	case MSG_TYPE_run_listening:
		runs_listening(w, &m->u.run_listening);
		break;
	case MSG_TYPE_run_ended:
		runs_ended(w, m->id, &m->u.run_ended);
		break;
	case MSG_TYPE_run_sums_answer:
		query_sums(w, m->id, &m->u.run_sums_answer);
		break;
	default:
		fatalx("unexpected %s from a proxy", msg_decl(m->type)->wire);
	}
}

static void
frontend_dispatch_fw(struct peer *peer, struct msg *m, int fd, void *arg)
{
	switch (m->type) {
	case MSG_TYPE_stats_answer:
		status_counters(FRONTEND_SLOT_FW, m->id, &m->u.stats_answer);
		break;
	case MSG_TYPE_fw_permitted:
		runs_permitted(m->id);
		break;
	case MSG_TYPE_error:
		runs_not_permitted(m->id, &m->u.error);
		break;
	case MSG_TYPE_fw_revoked:
		runs_revoked(m->id, &m->u.fw_revoked);
		break;
	case MSG_TYPE_fw_counted:
		query_counted(m->id, &m->u.fw_counted);
		break;
	default:
		fatalx("unexpected %s from fw", msg_decl(m->type)->wire);
	}
}

static void
frontend_dispatch_audit(struct peer *peer, struct msg *m, int fd, void *arg)
{
	switch (m->type) {
	case MSG_TYPE_recorded:
	case MSG_TYPE_unrecorded:
		audit_client_message(frontend.audit, m);
		break;
	default:
		fatalx("unexpected %s from audit", msg_decl(m->type)->wire);
	}
}

static void
frontend_dispatch_parent(struct peer *peer, struct msg *m, int fd, void *arg)
{
	switch (m->type) {
	case MSG_TYPE_table_begin:
		peers_begin(&m->u.table_begin);
		break;
	case MSG_TYPE_peer_row:
		peers_row(&m->u.peer_row);
		break;
	case MSG_TYPE_profile_row:
		peers_profile(&m->u.profile_row);
		break;
	case MSG_TYPE_runs_row:
		peers_runs(&m->u.runs_row);
		break;
	case MSG_TYPE_table_end:
		peers_end(&m->u.table_end);
		if (frontend.nworkers == 0)
			links_init(peers_runs_config()->enforced);
		break;
	case MSG_TYPE_state:
		status_state_set(&m->u.state);
		break;
	case MSG_TYPE_run_bound:
		runs_bound(m->id);
		break;
	case MSG_TYPE_error:
		runs_unbound(m->id, &m->u.error);
		break;
	case MSG_TYPE_go:
		event_add(ev_listen, NULL);
		break;
	case MSG_TYPE_drain:
		frontend.draining = true;
		event_del(ev_listen);
		break;
	default:
		fatalx(
		    "unexpected %s from the parent", msg_decl(m->type)->wire);
	}
}

/* --- start ------------------------------------------------------------ */

void
frontend_main(const struct proc_self *self)
{
	struct sandbox_state st;
	struct msg m;

	if (self->nlinks < 3)
		fatalx("wrong number of links");
	st = proc_enter(self, FRONTEND_NOFILE, 0, SANDBOX_FRONTEND);
	frontend.base = event_base_new();
	if (frontend.base == NULL)
		fatalx("no event loop");
	frontend.started_ms = clock_boot_ms();
	ev_listen = event_new(
	    frontend.base, FD_LISTEN, EV_READ | EV_PERSIST, listen_ready, NULL);
	ev_backoff = evtimer_new(frontend.base, backoff_over, NULL);
	if (ev_listen == NULL || ev_backoff == NULL)
		fatalx("out of memory");
	frontend.nlinks = self->nlinks;
	frontend.parent =
	    link_to(PROC_FD_PARENT, SIDE_PARENT, "egressd", &parent_ops, NULL);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_ready;
	m.u.ready.seccomp = st.seccomp;
	m.u.ready.landlock = st.landlock;
	frontend_send(frontend.parent, &m);
	event_base_dispatch(frontend.base);
	panic("the event loop ended");
}
