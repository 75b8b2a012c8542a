/*
 * The frontend: clients of egressd.sock. It decodes what they send, keeps the
 * table of open runs, and has its siblings do what that takes: it can neither
 * bind, nor change a packet rule, nor write a file by itself.
 */

#include "libcommon/clock.h"
#include "libcommon/grants.h"
#include "libcommon/log.h"
#include "libcommon/status.h"

#include "frontend.h"

/* Its links, in the order in which the parent passes them. */
#define FD_LISTEN (PROC_FD_FIRST + 0)
#define FD_AUDIT (PROC_FD_FIRST + 1)
#define FD_PROXY (PROC_FD_FIRST + 2) /* and up; behind them fw, if any */

struct frontend frontend;

static void frontend_dispatch_parent(struct peer *, struct msg *, int, void *);
static void frontend_dispatch_audit(struct peer *, struct msg *, int, void *);
static void frontend_dispatch_proxy(struct peer *, struct msg *, int, void *);
static void frontend_dispatch_fw(struct peer *, struct msg *, int, void *);
static void frontend_dispatch_client(struct peer *, struct msg *, int, void *);
static void user_leaves(struct client *);

static const struct peer_ops parent_ops = { .message = frontend_dispatch_parent,
	.gone = sibling_gone };
static const struct peer_ops audit_ops = { .message = frontend_dispatch_audit,
	.gone = sibling_gone };
static const struct peer_ops proxy_ops = { .message = frontend_dispatch_proxy,
	.gone = sibling_gone };
static const struct peer_ops fw_ops = { .message = frontend_dispatch_fw,
	.gone = sibling_gone };
static const struct peer_ops client_ops = { .message = frontend_dispatch_client,
	.gone = clients_gone };
static const struct clients_def clients_def = { .daemon = "egressd",
	.size = sizeof(struct client),
	.ops = &client_ops,
	.leaves = user_leaves };

static void
user_leaves(struct client *u)
{
	status_user_gone(u);
	query_user_gone(u);
	runs_user_gone(u);
}

/* --- links ------------------------------------------------------------ */

static struct peer *
link_to(int fd, enum msg_side side, const char *name,
    const struct peer_ops *ops, void *arg)
{
	return sibling_link(
	    frontend.base, fd, SIDE_FRONTEND, side, "frontend", name, ops, arg);
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
	struct client *u = arg;
	enum egress_verb verb = verb_of(m->type);

	if (verb == VERB_MAX) {
		peer_send_error(peer, m->id, "unknown",
		    "this daemon does not know that request");
		return;
	}
	if (!grants_may(&u->creds, GRANT(verb))) {
		log_info("client uid %u pid %d: %s refused",
		    (unsigned)u->creds.uid, (int)u->creds.pid,
		    msg_decl(m->type)->wire);
		peer_send_error(peer, m->id, "refused", GRANTS_REFUSED);
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
	sibling_audit_message(frontend.audit, m);
}

/* A table is in force; the first one says which links there are. */
static void
table_end(const struct msg_table_end *m)
{
	peers_end(m);
	sibling_send_applied(frontend.parent, m->table, m->generation);
	if (frontend.nworkers == 0)
		links_init(peers_runs_config()->enforced);
}

static void
frontend_dispatch_parent(struct peer *peer, struct msg *m, int fd, void *arg)
{
	switch (m->type) {
	case MSG_TYPE_table_begin:
		grants_begin(&m->u.table_begin);
		break;
	case MSG_TYPE_peer_row:
		grants_row(&m->u.peer_row);
		break;
	case MSG_TYPE_profile_row:
		peers_profile(&m->u.profile_row);
		break;
	case MSG_TYPE_runs_row:
		peers_runs(&m->u.runs_row);
		break;
	case MSG_TYPE_table_end:
		table_end(&m->u.table_end);
		break;
	case MSG_TYPE_state:
		status_keep(STATUS_PARENT, &m->u.state);
		break;
	case MSG_TYPE_run_bound:
		runs_bound(m->id);
		break;
	case MSG_TYPE_error:
		runs_unbound(m->id, &m->u.error);
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

void
frontend_main(const struct proc_self *self)
{
	struct sandbox_state st;

	if (self->nlinks < 3)
		fatalx("wrong number of links");
	st = proc_enter(self, FRONTEND_NOFILE, 0, SANDBOX_FRONTEND);
	frontend.base = event_base_new();
	if (frontend.base == NULL)
		fatalx("no event loop");
	frontend.started_ms = clock_boot_ms();
	clients_init(frontend.base, FD_LISTEN, &clients_def);
	grants_init(egress_verbs, VERB_MAX);
	frontend.nlinks = self->nlinks;
	frontend.parent =
	    link_to(PROC_FD_PARENT, SIDE_PARENT, "egressd", &parent_ops, NULL);
	sibling_send_ready(frontend.parent, &st);
	event_base_dispatch(frontend.base);
	panic("the event loop ended");
}
