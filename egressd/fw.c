/*
 * fw: the packet rules. It holds CAP_NET_ADMIN and one socket to nf_tables,
 * and nothing else: no file, no address, no other socket. The parent tells it
 * once what the rules are made from; the frontend may have runs let in and
 * shut out, by two verbs that this process fills in by itself.
 *
 * It says that something is closed only of what it has read back. A look every
 * FW_CHECK_MS finds what others changed, and makes it as it must be.
 */

#include <sys/types.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"
#include "libcommon/mem.h"
#include "libcommon/msg.h"
#include "libcommon/peer.h"
#include "libcommon/proc.h"
#include "libcommon/sibling.h"

#include "egressd/fw.h"

#define FW_NOFILE 32
#define FW_LINKS 2 /* the netlink socket, the frontend */
#define FW_CHECK_MS 1000
#define FW_APPLY_TRIES 3 /* while somebody takes the rules away again */
#define FW_CLAIM_MS 4000 /* an instance that leaves gives up the table */
#define FW_CLAIM_STEP_MS 50
#define FW_BLIND_MAX 10 /* looks in a row that may fail */
#define FW_STATS 5

#define FD_NETLINK PROC_FD_FIRST
#define FD_FRONTEND (PROC_FD_FIRST + 1)
#define CAP_ADMIN (1ULL << 12) /* CAP_NET_ADMIN */

struct fw {
	struct event_base *loop;
	struct peer *parent;
	struct peer *frontend;
	struct event *timer;
	struct fw_nft *nft; /* NULL before fw.base */
	int64_t claim_until; /* boot ms; 0: the table is ours */
	struct fw_base base;
	struct fw_runs runs;
	struct fw_counts counts; /* as the rules say */
	struct fw_counts carried; /* of rules that are no more */
	unsigned blind;
};

static void fw_dispatch_parent(struct peer *, struct msg *, int, void *);
static void fw_dispatch_frontend(struct peer *, struct msg *, int, void *);
static void claim(struct fw *);
static void frontend_gone(struct peer *, enum peer_end, const char *, void *);

static const struct peer_ops parent_ops = { .message = fw_dispatch_parent,
	.gone = sibling_gone };

static const struct peer_ops frontend_ops = { .message = fw_dispatch_frontend,
	.gone = frontend_gone };

/* --- the rules in force ----------------------------------------------- */

static void
send_state(struct fw *fw, const char *state, const char *detail)
{
	char interfaces[EGRESS_PREFIX_MAX + 2];
	struct msg m;

	snprintf(interfaces, sizeof(interfaces), "%s*", fw->base.prefix);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_fw_state;
	m.u.fw_state.interface = interfaces;
	m.u.fw_state.state = state;
	m.u.fw_state.detail = detail;
	sibling_send(fw->parent, &m);
}

/*
 * Make the rules and see them; what cannot be made as it must be is no
 * boundary, and we do not stay to say that it is one. The rules that are there
 * outlive us.
 */
static void
apply(struct fw *fw)
{
	char detail[FW_DETAIL_MAX + 1] = "";
	enum fw_look look = FW_LOOK_FAILED;
	int i;

	for (i = 0; i < FW_APPLY_TRIES; i++) {
		if (fw_nft_apply(fw->nft, &fw->runs) == -1)
			fatal("the packet rules are refused");
		look = fw_nft_look(fw->nft, &fw->runs, &fw->counts, detail);
		if (look == FW_LOOK_WANTED)
			return;
		if (look == FW_LOOK_FAILED)
			log_warn("the packet rules cannot be read back");
		else
			log_warnx("the packet rules are not as they were "
			          "made: %s",
			    detail);
	}
	exit(EXIT_SYSTEM);
}

/* New rules begin to count at 0. */
static void
restore(struct fw *fw, const char *detail)
{
	log_warnx("table %s was changed: %s", fw->base.table, detail);
	send_state(fw, "lost", detail);
	/* It is to be known if the next step should be our last. */
	peer_flush(fw->parent);
	fw_runs_carry(&fw->runs);
	fw_counts_add(&fw->carried, &fw->counts);
	memset(&fw->counts, 0, sizeof(fw->counts));
	apply(fw);
	send_state(fw, "restored", NULL);
	log_info("table %s is restored", fw->base.table);
}

/*
 * See that the rules and the elements of all runs are in force, and restore
 * them if not. Returns 0 when they are, then; -1 with errno when the kernel
 * would not say.
 */
static int
check(struct fw *fw)
{
	char detail[FW_DETAIL_MAX + 1] = "";

	switch (fw_nft_look(fw->nft, &fw->runs, &fw->counts, detail)) {
	case FW_LOOK_WANTED:
		break;
	case FW_LOOK_DIFFERS:
		restore(fw, detail);
		break;
	case FW_LOOK_FAILED:
		if (++fw->blind == FW_BLIND_MAX)
			fatal("the packet rules cannot be read");
		return -1;
	}
	fw->blind = 0;
	return 0;
}

static void
check_due(evutil_socket_t fd, short what, void *arg)
{
	struct fw *fw = arg;

	if (fw->claim_until != 0)
		claim(fw);
	else if (check(fw) == -1)
		log_warn("the packet rules could not be read");
}

/* --- what the parent says --------------------------------------------- */

static void
close_all(struct fw *fw)
{
	const struct timeval every = { FW_CHECK_MS / 1000,
		FW_CHECK_MS % 1000 * 1000L };

	apply(fw);
	send_state(fw, "closed", NULL);
	if (evtimer_add(fw->timer, &every) == -1)
		fatalx("no timer");
}

/*
 * Two that keep one table would each put the other's runs out and let in what
 * the other must keep closed.
 */
static void
claim(struct fw *fw)
{
	const struct timeval step = { 0, FW_CLAIM_STEP_MS * 1000L };

	if (fw_nft_claim(fw->nft) == 0) {
		fw->claim_until = 0;
		close_all(fw);
		return;
	}
	if (errno == EOPNOTSUPP || errno == EINVAL) {
		log_warn("table %s cannot be claimed: see that no other "
		         "egressd has it",
		    fw->base.table);
		fw->claim_until = 0;
		close_all(fw);
		return;
	}
	if (errno != EPERM || clock_boot_ms() > fw->claim_until) {
		log_warn("table %s belongs to another egressd: give this one "
		         "an nft_table and an interface_prefix of its own",
		    fw->base.table);
		exit(EXIT_SYSTEM);
	}
	if (evtimer_add(fw->timer, &step) == -1)
		fatalx("no timer");
}

static void
base_rules(struct fw *fw, const struct msg_fw_base *m)
{
	if (fw->nft != NULL)
		fatalx("parent: base rules a second time");
	if (fw_base_set(&fw->base, m) == -1)
		fatalx("parent: bad base rules");
	if ((fw->nft = fw_nft_new(FD_NETLINK, &fw->base)) == NULL)
		fatal("no packet rules");
	fw->claim_until = clock_boot_ms() + FW_CLAIM_MS;
	claim(fw);
}

/*
 * The daemon leaves, and nobody will listen on the gateways: whoever bound such
 * a port then would be the runs' proxy.
 */
static void
permit_none(struct fw *fw)
{
	if (fw->nft == NULL || fw->runs.n == 0)
		return;
	fw_runs_carry(&fw->runs);
	fw_counts_add(&fw->carried, &fw->counts);
	fw->runs.n = 0;
	apply(fw);
}

/* --- what the frontend asks ------------------------------------------- */

static void
answer(struct fw *fw, const struct msg *m)
{
	if (peer_send(fw->frontend, m) == -1)
		panic("cannot answer the frontend");
}

static void
answer_error(struct fw *fw, int64_t id, const char *code, const char *reason)
{
	if (peer_send_error(fw->frontend, id, code, reason) == -1)
		panic("cannot answer the frontend");
}

/* The id of a run, or the end of us. */
static const char *
run_id(const char *id)
{
	if (!runid_valid(id))
		fatalx("frontend: a run of no valid id");
	return id;
}

/*
 * 0 when the element is in force and was read back. Where the kernel refused,
 * the rules may just have been taken away: they are looked after, and it is
 * asked once more.
 */
static int
permit(struct fw *fw, const struct fw_run *run)
{
	int saved;

	if (fw_nft_permit(fw->nft, run) == -1 &&
	    (check(fw) == -1 || fw_nft_permit(fw->nft, run) == -1))
		return -1;
	fw_runs_add(&fw->runs, run);
	if (check(fw) == 0)
		return 0;
	/* Not seen is not permitted; if it is there, the next look ends it. */
	saved = errno;
	fw_runs_remove(&fw->runs, run->id);
	(void)fw_nft_revoke(fw->nft, run);
	errno = saved;
	return -1;
}

/*
 * Why the frontend may have this, although clients talk to it: what it can
 * choose is a run and an address. The interface follows from the run and
 * begins with the prefix of runs, the port is fixed, the address has to be a
 * gateway of runs and to be no other run's. So a frontend that was taken opens
 * the way from a run's container to a proxy's listener, where every name is
 * still judged, and nothing else: no other port or interface, nothing that is
 * forwarded, and no rule goes.
 */
static void
frontend_permit(struct fw *fw, const struct msg *m)
{
	const char *id = run_id(m->u.fw_permit.run);
	const char *text = m->u.fw_permit.address;
	struct msg yes = { .type = MSG_TYPE_fw_permitted, .id = m->id };
	char why[FW_DETAIL_MAX];
	struct netaddr addr;
	struct fw_run run;
	int r = -1;

	if (netaddr_parse(text, strlen(text), &addr) == -1 ||
	    !fw_base_holds(&fw->base, &addr))
		fatalx("frontend: an address that no run has");
	switch (fw_runs_judge(&fw->runs, id, &addr)) {
	case FW_CONFLICT:
		answer_error(fw, m->id, "conflict",
		    "the run has another address, or the address another run");
		return;
	case FW_LIMIT:
		answer_error(fw, m->id, "limit", "too many runs are open");
		return;
	case FW_SAME:
		r = check(fw);
		break;
	case FW_NEW:
		fw_run_set(&run, &fw->base, id, &addr);
		r = permit(fw, &run);
		break;
	}
	if (r == 0) {
		answer(fw, &yes);
		return;
	}
	snprintf(why, sizeof(why), "the kernel refuses the packet rule: %s",
	    strerror(errno));
	log_warnx("run %s: %s", id, why);
	answer_error(fw, m->id, "unavailable", why);
}

/*
 * Why the frontend may have this: it closes. An element that the kernel will
 * not take out goes with a new table that has none of it, and if that cannot
 * be, we end.
 */
static void
frontend_revoke(struct fw *fw, const struct msg *m)
{
	const char *id = run_id(m->u.fw_revoke.run);
	struct msg yes = { .type = MSG_TYPE_fw_revoked, .id = m->id };
	struct fw_run *found = fw_runs_find(&fw->runs, id), run;

	if (found == NULL) {
		answer(fw, &yes);
		return;
	}
	(void)check(fw); /* the last count */
	run = *found;
	yes.u.fw_revoked.packets_refused = (int64_t)(run.refused + run.carried);
	fw_runs_remove(&fw->runs, id);
	if (fw_nft_revoke(fw->nft, &run) == -1 || check(fw) == -1) {
		log_warn("run %s: its packet rule would not go", id);
		fw_runs_carry(&fw->runs);
		fw_counts_add(&fw->carried, &fw->counts);
		apply(fw);
	}
	answer(fw, &yes);
}

static void
frontend_count(struct fw *fw, const struct msg *m)
{
	const char *id = run_id(m->u.fw_count.run);
	struct msg yes = { .type = MSG_TYPE_fw_counted, .id = m->id };
	const struct fw_run *run;

	(void)check(fw); /* else what was counted a second ago */
	if ((run = fw_runs_find(&fw->runs, id)) != NULL)
		yes.u.fw_counted.packets_refused =
		    (int64_t)(run->refused + run->carried);
	answer(fw, &yes);
}

static void
frontend_stats(struct fw *fw, const struct msg *m)
{
	static const char *const keys[FW_STATS] = { "runs permitted",
		"packets refused", "packets refused in",
		"packets refused forward", "packets refused of the proxy" };
	struct msg yes = { .type = MSG_TYPE_stats_answer, .id = m->id };
	struct fw_counts c = fw->carried;
	char text[FW_STATS][24];
	const char *values[FW_STATS];
	uint64_t n[FW_STATS];
	int i;

	(void)check(fw);
	fw_counts_add(&c, &fw->counts);
	n[0] = fw->runs.n;
	n[1] = c.closed + c.output;
	n[2] = c.closed > c.forward ? c.closed - c.forward : 0;
	n[3] = c.forward;
	n[4] = c.output;
	for (i = 0; i < FW_STATS; i++) {
		snprintf(
		    text[i], sizeof(text[i]), "%llu", (unsigned long long)n[i]);
		values[i] = text[i];
	}
	yes.u.stats_answer.counters.k = keys;
	yes.u.stats_answer.counters.v = values;
	yes.u.stats_answer.counters.n = FW_STATS;
	answer(fw, &yes);
}

/* --- dispatch --------------------------------------------------------- */

static void
fw_dispatch_parent(struct peer *p, struct msg *m, int fd, void *arg)
{
	switch (m->type) {
	case MSG_TYPE_fw_base:
		base_rules(arg, &m->u.fw_base);
		break;
	case MSG_TYPE_go:
		break;
	case MSG_TYPE_drain:
		permit_none(arg);
		break;
	default:
		fatalx("parent: unexpected message %d", (int)m->type);
	}
}

static void
fw_dispatch_frontend(struct peer *p, struct msg *m, int fd, void *arg)
{
	struct fw *fw = arg;

	if (fw->nft == NULL)
		fatalx("frontend: a request before the base rules");
	switch (m->type) {
	case MSG_TYPE_fw_permit:
		frontend_permit(fw, m);
		break;
	case MSG_TYPE_fw_revoke:
		frontend_revoke(fw, m);
		break;
	case MSG_TYPE_fw_count:
		frontend_count(fw, m);
		break;
	case MSG_TYPE_stats:
		frontend_stats(fw, m);
		break;
	default:
		fatalx("frontend: unexpected message %d", (int)m->type);
	}
}

/* The parent takes the daemon down; until then the rules are looked after. */
static void
frontend_gone(struct peer *p, enum peer_end end, const char *why, void *arg)
{
	struct fw *fw = arg;

	log_debug("frontend is gone: %s", why);
	peer_free(&fw->frontend);
}

/* --- start ------------------------------------------------------------ */

void
fw_main(const struct proc_self *self)
{
	struct fw *fw = xcalloc(1, sizeof(*fw));
	struct sandbox_state state;

	if (self->nlinks != FW_LINKS)
		fatalx("fw is given %u descriptors", self->nlinks);
	state = proc_enter(self, FW_NOFILE, CAP_ADMIN, SANDBOX_FW);

	if ((fw->loop = event_base_new()) == NULL)
		fatalx("no event loop");
	fw->timer = event_new(fw->loop, -1, EV_PERSIST, check_due, fw);
	if (fw->timer == NULL)
		fatalx("out of memory");
	fw->parent = sibling_link(fw->loop, PROC_FD_PARENT, SIDE_FW,
	    SIDE_PARENT, "fw", "parent", &parent_ops, fw);
	fw->frontend = sibling_link(fw->loop, FD_FRONTEND, SIDE_FW,
	    SIDE_FRONTEND, "fw", "frontend", &frontend_ops, fw);
	sibling_send_ready(fw->parent, &state);
	event_base_dispatch(fw->loop);
	fatalx("the event loop ended");
}
