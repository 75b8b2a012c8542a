/*
 * egressd: the only way out of a run's container. This is the parent: it
 * reads the configuration, makes the sockets, starts the other processes and
 * watches them. It parses nothing that a stranger sent.
 */

#include <sys/socket.h>
#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcommon/fd.h"
#include "libcommon/log.h"
#include "libcommon/version.h"

#include "egressd_parent.h"

#define DEFAULT_FILE "/etc/bulkhead/egressd.conf"
/* For the service manager: twice PARENT_READY_MS. */
#define READY_EXTEND_USEC "20000000"
#define CAP_BIND (1ULL << 10) /* CAP_NET_BIND_SERVICE */

static void parent_dispatch_child(struct peer *, struct msg *, int, void *);
static void
parent_child_eof(struct peer *, enum peer_end, const char *, void *);

static const struct peer_ops child_ops = { .message = parent_dispatch_child,
	.gone = parent_child_eof };

static void
usage(FILE *out)
{
	fprintf(out,
	    "usage: egressd [-dtvV] [-f file]\n"
	    "  -f file  configuration (default " DEFAULT_FILE ")\n"
	    "  -t       test the configuration and exit\n"
	    "  -d       log to standard error\n"
	    "  -v       log more; twice: every message\n"
	    "  -V       print the version and exit\n");
}

/* --- children --------------------------------------------------------- */

void
parent_child_link(struct parent *p, struct child *c, int fd)
{
	c->peer = peer_new(p->base, fd, PEER_SIBLING, SIDE_PARENT, c->side,
	    "egressd", c->role, &child_ops, c);
	if (c->peer == NULL)
		fatal("link to %s", c->role);
}

/*
 * The first sign that a child is lost. The others see it as well, and leave
 * with 0; which of them ended by itself, and how, waitpid says a moment later.
 */
static void
parent_lost(struct parent *p)
{
	struct timeval tv = { 0, PARENT_LOST_MS * 1000 };

	if (!p->lost)
		evtimer_add(p->ev_lost, &tv);
	p->lost = true;
}

static void
lost_timeout(int fd, short what, void *arg)
{
	parent_leave(arg, EXIT_INTERNAL);
}

/* The peer stays, as the records' client may still hold it. */
static void
parent_child_eof(
    struct peer *peer, enum peer_end end, const char *why, void *arg)
{
	struct child *c = arg;

	log_debug("%s %u: %s", c->role, c->instance, why);
	parent_lost(c->parent);
}

/*
 * A child that ends takes the daemon down: what it held is gone, the others
 * would go on with half a boundary. The service manager starts us again.
 */
static void
child_gone(const char *role, unsigned instance, int status, void *arg)
{
	struct parent *p = arg;
	char how[64];

	log_warnx("%s %u %s: leaving", role, instance,
	    proc_status_string(status, how, sizeof(how)));
	if (!WIFEXITED(status))
		parent_leave(p, EXIT_INTERNAL);
	if (WEXITSTATUS(status) != 0)
		parent_leave(p, WEXITSTATUS(status));
	parent_lost(p);
}

void
parent_leave(struct parent *p, int status)
{
	proc_notify("STOPPING=1");
	proc_watch_kill(p->watch);
	_exit(status);
}

static bool
all_ready(const struct parent *p)
{
	size_t i;

	for (i = 0; i < p->nchildren; i++) {
		if (!p->child[i].ready)
			return false;
	}
	return true;
}

/* Is it audit alone that is awaited, which verifies its file first? */
static bool
audit_reads(const struct parent *p)
{
	size_t i;

	for (i = 0; i < p->nchildren; i++) {
		if (p->child[i].ready == (p->child[i].side == SIDE_AUDIT))
			return false;
	}
	return true;
}

static bool
all_drained(const struct parent *p)
{
	size_t i;

	for (i = 0; i < p->nchildren; i++) {
		if (p->child[i].side == SIDE_PROXY && !p->child[i].drained)
			return false;
	}
	return true;
}

/* --- phases ----------------------------------------------------------- */

static void
send_simple(struct parent *p, unsigned sides, enum msg_type type)
{
	struct msg m;
	size_t i;

	memset(&m, 0, sizeof(m));
	m.type = type;
	for (i = 0; i < p->nchildren; i++) {
		if ((p->child[i].side & sides) && p->child[i].peer != NULL)
			peer_send(p->child[i].peer, &m);
	}
}

static void
start_recorded(bool ok, void *arg)
{
	struct parent *p = arg;

	if (!ok) {
		log_warnx("the start could not be recorded in %s: leaving",
		    p->config->audit);
		parent_leave(p, EXIT_SYSTEM);
	}
	if (p->phase != PHASE_STARTING)
		return;
	parent_send_state(p);
	parent_send_listeners(p);
	send_simple(p, SIDE_CHILD, MSG_TYPE_go);
	parent_set_phase(p, PHASE_SERVING);
}

/* Every child is in its sandbox and has its table: record, then serve. */
static void
record_start(struct parent *p)
{
	char interfaces[EGRESS_PREFIX_MAX + 2];
	const struct msg_fw_state closed = { .interface = interfaces,
		.state = "closed" };
	struct msg m;

	snprintf(interfaces, sizeof(interfaces), "%s*", p->config->prefix);

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rec_start;
	m.u.rec_start.version = BULKHEAD_VERSION;
	m.u.rec_start.boot_id = p->boot_id;
	m.u.rec_start.pid = getpid();
	m.u.rec_start.generation = p->generation;
	m.u.rec_start.config_sha256 = p->config->sha256;
	if (audit_client_send(p->audit, &m, start_recorded, p) == -1)
		fatalx("cannot send the start record");
	p->start_sent = true;
	if (p->nft)
		parent_fw_record(p, &closed);
}

static void
stop_recorded(bool ok, void *arg)
{
	struct parent *p = arg;

	if (!ok)
		log_warnx("the stop could not be recorded");
	log_info("stopped");
	parent_leave(p, 0);
}

static void
record_stop(struct parent *p)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rec_stop;
	m.u.rec_stop.reason = "signal";
	if (audit_client_send(p->audit, &m, stop_recorded, p) == -1)
		stop_recorded(false, p);
}

void
parent_set_phase(struct parent *p, enum parent_phase phase)
{
	static const char *const names[] = { "starting", "serving", "draining",
		"cutting", "leaving" };
	static const int limit_ms[] = { PARENT_READY_MS, 0, PARENT_DRAIN_MS,
		PARENT_CUT_MS, AUDIT_WAIT_MS * 2 };
	struct timeval tv;

	log_debug("%s -> %s", names[p->phase], names[phase]);
	p->phase = phase;
	evtimer_del(p->timer);
	if (limit_ms[phase] > 0) {
		tv.tv_sec = limit_ms[phase] / 1000;
		tv.tv_usec = limit_ms[phase] % 1000 * 1000;
		evtimer_add(p->timer, &tv);
	}
	switch (phase) {
	case PHASE_STARTING:
		break;
	case PHASE_SERVING:
		log_info("serving, %zu listeners, %zu profiles, generation "
		         "%lld",
		    p->config->nlisteners, p->config->nprofiles,
		    (long long)p->generation);
		proc_notify("READY=1");
		break;
	case PHASE_DRAINING:
		proc_notify("STOPPING=1");
		/* They stay in the table: a reload under way shares them. */
		parent_listen_close(p->sets, p->nsets, NULL, 0);
		send_simple(p, SIDE_PROXY | SIDE_FRONTEND, MSG_TYPE_drain);
		break;
	case PHASE_CUTTING:
		send_simple(p, SIDE_PROXY, MSG_TYPE_cut);
		break;
	case PHASE_LEAVING:
		/* Nobody listens for the runs any more; nor shall others. */
		send_simple(p, SIDE_FW, MSG_TYPE_drain);
		record_stop(p);
		break;
	}
}

/* The phase took longer than it may. */
static void
phase_timeout(int fd, short what, void *arg)
{
	struct parent *p = arg;

	switch (p->phase) {
	case PHASE_STARTING:
		/*
		 * How long that takes grows with the file, and so by what a
		 * run has asked for: to give up would be for good.
		 */
		if (audit_reads(p)) {
			log_info("the record file %s is still being verified",
			    p->config->audit);
			proc_notify("EXTEND_TIMEOUT_USEC=" READY_EXTEND_USEC);
			parent_set_phase(p, PHASE_STARTING);
			break;
		}
		log_warnx("the processes are not ready after %d ms: leaving",
		    PARENT_READY_MS);
		parent_leave(p, EXIT_INTERNAL);
	case PHASE_SERVING:
		break;
	case PHASE_DRAINING:
		parent_set_phase(p, PHASE_CUTTING);
		break;
	case PHASE_CUTTING:
		log_warnx("tunnels are still open: leaving without them");
		parent_set_phase(p, PHASE_LEAVING);
		break;
	case PHASE_LEAVING:
		stop_recorded(false, p);
		break;
	}
}

/* --- dispatch --------------------------------------------------------- */

static void
child_progress(struct parent *p)
{
	switch (p->phase) {
	case PHASE_STARTING:
		if (!p->start_sent && all_ready(p) &&
		    parent_tables_applied(p) && (!p->nft || p->closed))
			record_start(p);
		break;
	case PHASE_DRAINING:
	case PHASE_CUTTING:
		if (all_drained(p))
			parent_set_phase(p, PHASE_LEAVING);
		break;
	case PHASE_SERVING:
	case PHASE_LEAVING:
		break;
	}
}

static void
child_ready(struct child *c, const struct msg_ready *r)
{
	if (c->ready)
		fatalx("%s says ready twice", c->role);
	c->ready = true;
	c->sandbox.seccomp = r->seccomp;
	c->sandbox.landlock = (int)r->landlock;
}

static void
parent_dispatch_child(struct peer *peer, struct msg *m, int fd, void *arg)
{
	struct child *c = arg;
	struct parent *p = c->parent;

	switch (m->type) {
	case MSG_TYPE_ready:
		child_ready(c, &m->u.ready);
		child_progress(p);
		break;
	case MSG_TYPE_table_applied:
		c->applied = m->u.table_applied.generation;
		child_progress(p);
		break;
	case MSG_TYPE_drained:
		c->drained = true;
		child_progress(p);
		break;
	case MSG_TYPE_fw_state:
		parent_fw_state(p, &m->u.fw_state);
		child_progress(p);
		break;
	case MSG_TYPE_run_bind:
		parent_run_bind(p, c, m->id, &m->u.run_bind);
		break;
	case MSG_TYPE_recorded:
	case MSG_TYPE_unrecorded:
		audit_client_message(p->audit, m);
		break;
	default:
		fatalx(
		    "unexpected %s from %s", msg_decl(m->type)->wire, c->role);
	}
}

/* --- signals ---------------------------------------------------------- */

static void
on_hup(int sig, short what, void *arg)
{
	struct parent *p = arg;

	if (p->phase == PHASE_SERVING && !p->lost)
		parent_reload(p);
}

static void
on_term(int sig, short what, void *arg)
{
	struct parent *p = arg;

	if (p->lost)
		return;
	switch (p->phase) {
	case PHASE_STARTING:
		parent_leave(p, 0);
	case PHASE_SERVING:
		log_info(
		    "draining: open tunnels have %d s", PARENT_DRAIN_MS / 1000);
		parent_set_phase(p, PHASE_DRAINING);
		break;
	case PHASE_DRAINING:
		log_info("leaving now");
		parent_set_phase(p, PHASE_CUTTING);
		break;
	case PHASE_CUTTING:
	case PHASE_LEAVING:
		break;
	}
}

static void
signals_init(struct parent *p)
{
	p->ev_hup = evsignal_new(p->base, SIGHUP, on_hup, p);
	p->ev_term = evsignal_new(p->base, SIGTERM, on_term, p);
	p->ev_int = evsignal_new(p->base, SIGINT, on_term, p);
	p->timer = evtimer_new(p->base, phase_timeout, p);
	p->ev_lost = evtimer_new(p->base, lost_timeout, p);
	if (p->ev_hup == NULL || p->ev_term == NULL || p->ev_int == NULL ||
	    p->timer == NULL || p->ev_lost == NULL)
		fatalx("out of memory");
	evsignal_add(p->ev_hup, NULL);
	evsignal_add(p->ev_term, NULL);
	evsignal_add(p->ev_int, NULL);
}

/* --- start ------------------------------------------------------------ */

/*
 * Started as root we need each process's user. Returns 0, or -1 and the
 * command that makes those that are missing on stderr.
 */
static int
check_users(const struct egress_config *c)
{
	const char *users[] = { c->user_parent, c->user_frontend, c->user_proxy,
		c->user_resolver, c->user_audit, c->user_fw };
	const size_t n = sizeof(users) / sizeof(users[0]) - !c->nft;
	size_t i, j, missing = 0;
	uid_t uid;
	gid_t gid;

	for (i = 0; i < n; i++) {
		for (j = 0; j < i && strcmp(users[i], users[j]) != 0; j++)
			;
		if (j < i || proc_user(users[i], &uid, &gid) == 0)
			continue;
		if (missing++ == 0)
			fprintf(stderr,
			    "egressd: users are missing; make "
			    "them with:\n");
		fprintf(stderr,
		    "useradd --system --user-group --no-create-home "
		    "--home-dir /nonexistent --shell /usr/sbin/nologin %s\n",
		    users[i]);
	}
	return missing > 0 ? -1 : 0;
}

static int
test_config(struct parent *p)
{
	struct egress_config *c;
	char why[256];

	c = parent_config_load(p, true, why, sizeof(why));
	if (c == NULL)
		return EXIT_CONFIG;
	egress_config_free(&c);
	printf("%s: ok\n", p->file);
	return 0;
}

/* Everything that needs root, or the names of files, in this order. */
static void
start(struct parent *p)
{
	const struct egress_config *c = p->config;
	static const char *read_paths[6];
	struct sandbox_paths paths = { .read = read_paths };
	char why[256];
	uid_t uid = geteuid();
	gid_t gid = getegid(), audit_gid = gid;
	uid_t audit_uid = uid;
	struct parent_fds given;
	int fd;

	if (geteuid() == 0) {
		if (proc_user(c->user_parent, &uid, &gid) == -1 ||
		    proc_user(c->user_audit, &audit_uid, &audit_gid) == -1)
			fatalx("users vanished");
	}
	p->unprivileged = geteuid() != 0;
	given.listen = parent_listen_unix(c->socket);
	if (given.listen == -1)
		fatal("cannot listen on %s", c->socket);
	if (parent_listen_all(c, NULL, 0, p->sets, &p->nsets,
	        PARENT_BIND_RETRY_MS, why, sizeof(why)) == -1) {
		log_warnx("%s", why);
		exit(EXIT_SYSTEM);
	}
	given.audit = audit_open(c->audit, audit_uid, audit_gid);
	if (given.audit == -1)
		fatal("cannot open the record file %s", c->audit);
	parent_fw_open(p, &given.netlink);

	parent_children_init(p);
	parent_children_start(p, &given);

	read_paths[0] = p->file;
	read_paths[1] = "/etc";
	read_paths[2] = "/usr/share/publicsuffix";
	read_paths[3] = c->hosts_file != NULL ? c->hosts_file : "/etc/hosts";
	read_paths[4] = "/run/systemd/resolve"; /* resolv.conf is a link */
	p->sandbox =
	    proc_enter_parent(uid, gid, CAP_BIND, SANDBOX_PARENT, &paths);
	if ((fd = open(p->file, O_RDONLY | O_CLOEXEC)) == -1)
		log_warn("a reload will not be able to read %s as user %s",
		    p->file, c->user_parent);
	else
		close(fd);
}

static void
run(struct parent *p)
{
	size_t i;

	p->base = event_base_new();
	if (p->base == NULL)
		fatalx("no event loop");
	p->watch = proc_watch_new(p->base, child_gone, p);
	if (p->watch == NULL)
		fatalx("out of memory");
	signals_init(p);
	start(p);
	p->audit = audit_client_new(p->base, p->child[0].peer);
	if (p->audit == NULL)
		fatalx("out of memory");
	p->generation = 1;
	parent_set_phase(p, PHASE_STARTING);
	for (i = 0; i < p->nchildren; i++)
		parent_send_tables(p, &p->child[i], p->config, p->generation);
	parent_fw_base(p);
	event_base_dispatch(p->base);
	panic("the event loop ended");
}

/* Who sends records: the workers, and the frontend as the last. */
static void
run_audit(const struct proc_self *self)
{
	enum msg_side sides[PROC_FDS_MAX];
	unsigned i;

	for (i = 0; i + 1 < self->nlinks; i++)
		sides[i] = i + 2 < self->nlinks ? SIDE_PROXY : SIDE_FRONTEND;
	audit_main(self, sides);
}

/* -x: this is a child, or the test of a child's sandbox. */
static int
run_role(int argc, char **argv)
{
	struct proc_self self;
	int purpose;

	if (optind >= 1 && strcmp(argv[optind - 1], "selftest") == 0) {
		if (optind + 1 != argc ||
		    (purpose = sandbox_purpose(argv[optind])) == -1) {
			usage(stderr);
			return EXIT_CONFIG;
		}
		return sandbox_selftest((enum sandbox_purpose)purpose) == 0
		    ? 0
		    : EXIT_SANDBOX;
	}
	if (proc_parse_self("egressd", argc, argv, &self) == -1) {
		usage(stderr);
		return EXIT_CONFIG;
	}
	if (strcmp(self.role, "audit") == 0)
		run_audit(&self);
	if (strcmp(self.role, "resolver") == 0)
		resolver_main(&self);
	if (strcmp(self.role, "proxy") == 0)
		proxy_main(&self);
	if (strcmp(self.role, "frontend") == 0)
		frontend_main(&self);
	if (strcmp(self.role, "fw") == 0)
		fw_main(&self);
	usage(stderr);
	return EXIT_CONFIG;
}

int
main(int argc, char **argv)
{
	static struct parent p;
	const char *name;
	char why[256];
	int ch, debug = 0, test = 0, verbose = 0;

	signal(SIGPIPE, SIG_IGN);
	p.file = DEFAULT_FILE;
	p.file_fd = -1;
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		usage(stdout);
		return 0;
	}
	while ((ch = getopt(argc, argv, "df:htvVx:")) != -1) {
		switch (ch) {
		case 'd':
			debug = 1;
			break;
		case 'f':
			p.file = optarg;
			break;
		case 't':
			test = 1;
			break;
		case 'v':
			verbose++;
			break;
		case 'V':
			printf("egressd %s\n", BULKHEAD_VERSION);
			return 0;
		case 'x':
			log_init("egressd", debug, verbose);
			return run_role(argc, argv);
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return EXIT_CONFIG;
		}
	}
	if (optind != argc) {
		usage(stderr);
		return EXIT_CONFIG;
	}
	/* Children and the parent itself leave this directory. */
	name = p.file;
	if (name[0] != '/' && (p.file = realpath(name, NULL)) == NULL) {
		fprintf(stderr, "egressd: %s: %s\n", name, strerror(errno));
		return EXIT_CONFIG;
	}
	egress_config_init();
	if (test)
		return test_config(&p);
	log_init("egressd", debug, verbose);
	p.config = parent_config_load(&p, true, why, sizeof(why));
	if (p.config == NULL)
		return EXIT_CONFIG;
	if (geteuid() == 0 && check_users(p.config) == -1)
		return EXIT_CONFIG;
	if (chdir("/") == -1)
		fatal("chdir /");
	parent_listen_fds_take();
	proc_notify_open();
	clock_boot_id(p.boot_id);
	run(&p);
	return 0;
}
