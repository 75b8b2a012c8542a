/*
 * dispatchd: the queue of runs, and the container engine. This is the parent:
 * it reads the configuration, makes sockets and directories, starts the other
 * processes and watches them. It parses nothing that a stranger sent.
 */

#include <sys/stat.h>
#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcommon/log.h"
#include "libcommon/version.h"

#include "dispatchd/dispatchd_parent.h"
#include "dispatchd/engine.h"
#include "dispatchd/frontend.h"
#include "dispatchd/queue.h"
#include "dispatchd/runs.h"

#define DEFAULT_FILE "/etc/bulkhead/dispatchd.conf"
/* For the service manager: twice DISPATCH_READY_MS. */
#define READY_EXTEND_USEC "60000000"
#define PARENT_UMASK 022

static void parent_dispatch_child(struct peer *, struct msg *, int, void *);
static void
parent_child_eof(struct peer *, enum peer_end, const char *, void *);
static void queue_stream_ready(struct peer *, uint32_t, void *);
static void
queue_stream_end(struct peer *, uint32_t, bool, const char *, void *);

static const struct peer_ops child_ops = { .message = parent_dispatch_child,
	.gone = parent_child_eof };
static const struct peer_ops queue_ops = { .message = parent_dispatch_child,
	.gone = parent_child_eof,
	.stream_ready = queue_stream_ready,
	.stream_end = queue_stream_end };

static void
usage(FILE *out)
{
	fprintf(out,
	    "usage: dispatchd [-dtvV] [-f file]\n"
	    "  -f file  configuration (default " DEFAULT_FILE ")\n"
	    "  -t       test the configuration and exit\n"
	    "  -d       log to standard error\n"
	    "  -v       log more; twice: every message\n"
	    "  -V       print the version and exit\n");
}

/* --- children --------------------------------------------------------- */

void
dispatch_child_link(struct parent *p, struct child *c, int fd)
{
	c->peer = peer_new(p->base, fd, PEER_SIBLING, SIDE_PARENT, c->side,
	    "dispatchd", c->role,
	    c->side == SIDE_QUEUE ? &queue_ops : &child_ops, c);
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
	struct timeval tv = { 0, DISPATCH_LOST_MS * 1000 };

	if (!p->lost)
		evtimer_add(p->ev_lost, &tv);
	p->lost = true;
}

static void
lost_timeout(int fd, short what, void *arg)
{
	dispatch_leave(arg, EXIT_INTERNAL);
}

/* The peer stays, as the records' client may still hold it. */
static void
parent_child_eof(
    struct peer *peer, enum peer_end end, const char *why, void *arg)
{
	struct child *c = arg;

	log_debug("%s: %s", c->role, why);
	parent_lost(c->parent);
}

/*
 * A child that ends takes the daemon down; runs go on without us. The service
 * manager starts us again, and we take them up.
 */
static void
child_gone(const char *role, unsigned instance, int status, void *arg)
{
	struct parent *p = arg;
	char how[64];

	log_warnx("%s %s: leaving", role,
	    proc_status_string(status, how, sizeof(how)));
	if (!WIFEXITED(status))
		dispatch_leave(p, EXIT_INTERNAL);
	if (WEXITSTATUS(status) != 0)
		dispatch_leave(p, WEXITSTATUS(status));
	parent_lost(p);
}

void
dispatch_leave(struct parent *p, int status)
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

/* --- phases ----------------------------------------------------------- */

static void
send_simple(struct parent *p, unsigned sides, enum msg_type type)
{
	struct msg m;
	size_t i;

	memset(&m, 0, sizeof(m));
	m.type = type;
	for (i = 0; i < p->nchildren; i++) {
		if ((p->child[i].side & sides) != 0)
			peer_send(p->child[i].peer, &m);
	}
}

static void
timer_set(struct parent *p, int ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	evtimer_del(p->timer);
	if (ms > 0)
		evtimer_add(p->timer, &tv);
}

static void
start_recorded(bool ok, void *arg)
{
	struct parent *p = arg;

	if (!ok) {
		log_warnx("the start could not be recorded in %s: leaving",
		    p->now.config->audit);
		dispatch_leave(p, EXIT_SYSTEM);
	}
	if (p->phase != PHASE_STARTING)
		return;
	dispatch_send_state(p);
	send_simple(p, SIDE_CHILD, MSG_TYPE_go);
	p->phase = PHASE_SERVING;
	timer_set(p, 0);
	log_info("serving, %zu profiles, %zu tools, generation %lld",
	    p->now.config->nprofiles, p->now.config->ntools,
	    (long long)p->generation);
	proc_notify("READY=1");
}

/* Every child is in its sandbox and has its table: record, then serve. */
static void
record_start(struct parent *p)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rec_start;
	m.u.rec_start.version = BULKHEAD_VERSION;
	m.u.rec_start.boot_id = p->boot_id;
	m.u.rec_start.pid = getpid();
	m.u.rec_start.generation = p->generation;
	m.u.rec_start.config_sha256 = p->now.config->sha256;
	if (audit_client_send(p->audit, &m, start_recorded, p) == -1)
		fatalx("cannot send the start record");
	p->start_sent = true;
}

static void
stop_recorded(bool ok, void *arg)
{
	struct parent *p = arg;

	if (!ok)
		log_warnx("the stop could not be recorded");
	log_info("stopped");
	dispatch_leave(p, 0);
}

/* Runs survive it: no job is begun, and nothing is waited for. */
static void
drain(struct parent *p)
{
	struct msg m;

	log_info("leaving; runs go on");
	proc_notify("STOPPING=1");
	p->phase = PHASE_LEAVING;
	timer_set(p, AUDIT_WAIT_MS * 2);
	send_simple(p, SIDE_FRONTEND, MSG_TYPE_drain);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rec_stop;
	m.u.rec_stop.reason = "signal";
	if (audit_client_send(p->audit, &m, stop_recorded, p) == -1)
		stop_recorded(false, p);
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

/* The phase took longer than it may. */
static void
phase_timeout(int fd, short what, void *arg)
{
	struct parent *p = arg;

	if (p->phase == PHASE_LEAVING)
		stop_recorded(false, p);
	if (p->phase != PHASE_STARTING)
		return;
	/* How long that takes grows with the file: never give it up. */
	if (audit_reads(p)) {
		log_info("the record file %s is still being verified",
		    p->now.config->audit);
		proc_notify("EXTEND_TIMEOUT_USEC=" READY_EXTEND_USEC);
		timer_set(p, DISPATCH_READY_MS);
		return;
	}
	log_warnx("the processes are not ready after %d ms: leaving",
	    DISPATCH_READY_MS);
	dispatch_leave(p, EXIT_INTERNAL);
}

/* --- dispatch --------------------------------------------------------- */

static void
queue_stream_ready(struct peer *peer, uint32_t stream, void *arg)
{
	struct child *c = arg;

	dispatch_roots_ready(c->parent, stream);
}

static void
queue_stream_end(
    struct peer *peer, uint32_t stream, bool ok, const char *why, void *arg)
{
	fatalx("the queue does not take the CA roots: %s", why);
}

static void
child_progress(struct parent *p)
{
	if (p->phase == PHASE_STARTING && !p->start_sent && all_ready(p) &&
	    dispatch_tables_applied(p))
		record_start(p);
	dispatch_reload_go_on(p);
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
	case MSG_TYPE_door_make:
		dispatch_door_make(p, m->id, &m->u.door_make);
		break;
	case MSG_TYPE_door_remove:
		dispatch_door_remove(p, &m->u.door_remove);
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
		dispatch_reload(p);
}

static void
on_term(int sig, short what, void *arg)
{
	struct parent *p = arg;

	if (p->lost)
		return;
	switch (p->phase) {
	case PHASE_STARTING:
		dispatch_leave(p, 0);
	case PHASE_SERVING:
		drain(p);
		break;
	case PHASE_LEAVING:
		log_info("leaving now");
		dispatch_leave(p, 0);
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
check_users(const struct dispatch_config *c)
{
	const char *users[] = { c->user_parent, c->user_frontend, c->user_runs,
		c->user_queue, c->user_engine, c->user_audit };
	const size_t n = sizeof(users) / sizeof(users[0]);
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
			    "dispatchd: users are missing; make them with:\n");
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
	struct loaded l;
	char why[256];

	if (!dispatch_load(p, &l, true, why, sizeof(why)))
		return EXIT_CONFIG;
	dispatch_loaded_free(&l);
	printf("%s: ok\n", p->file);
	return 0;
}

/* Where a reload may find what it reads. */
static void
enter(struct parent *p, uid_t uid, gid_t gid)
{
	const struct dispatch_config *c = p->now.config;
	static const char *read_paths[DISPATCH_PROFILES_MAX + 3];
	struct sandbox_paths paths = { .read = read_paths };
	size_t i, n = 0;
	int fd;

	read_paths[n++] = p->file;
	read_paths[n++] = "/etc";
	for (i = 0; i < c->nprofiles; i++) {
		if (c->profiles[i].ca_file != NULL)
			read_paths[n++] = c->profiles[i].ca_file;
	}
	paths.dir = p->doors_fd;
	if (fchdir(p->doors_fd) == -1)
		fatal("chdir %s", p->doors);
	p->sandbox = proc_enter_parent(uid, gid, 0, SANDBOX_DISPATCH, &paths);
	if ((fd = open(p->file, O_RDONLY | O_CLOEXEC)) == -1)
		log_warn("a reload will not be able to read %s as user %s",
		    p->file, c->user_parent);
	else
		close(fd);
}

/* Everything that needs root, or the names of files, in this order. */
static void
start(struct parent *p)
{
	const struct dispatch_config *c = p->now.config;
	uid_t uid = geteuid(), audit_uid = uid;
	gid_t gid = getegid(), audit_gid = gid;
	struct parent_fds given;

	p->unprivileged = geteuid() != 0;
	if (!p->unprivileged &&
	    (proc_user(c->user_parent, &uid, &gid) == -1 ||
	        proc_user(c->user_audit, &audit_uid, &audit_gid) == -1))
		fatalx("users vanished");
	given.listen = dispatch_listen_unix(c->socket);
	if (given.listen == -1)
		fatal("cannot listen on %s", c->socket);
	dispatch_state_open(p, &given);
	dispatch_doors_open(p, uid, gid);
	given.audit = audit_open(c->audit, audit_uid, audit_gid);
	if (given.audit == -1)
		fatal("cannot open the record file %s", c->audit);
	dispatch_children_init(p);
	dispatch_engine_socket(p);
	dispatch_children_start(p, &given);
	enter(p, uid, gid);
}

static void
run(struct parent *p)
{
	if (peer_stream_prepare() == -1)
		fatalx("SHA-256 is not to be had");
	p->base = event_base_new();
	if (p->base == NULL)
		fatalx("no event loop");
	p->watch = proc_watch_new(p->base, child_gone, p);
	if (p->watch == NULL)
		fatalx("out of memory");
	signals_init(p);
	start(p);
	p->audit =
	    audit_client_new(p->base, dispatch_child(p, SIDE_AUDIT)->peer);
	if (p->audit == NULL)
		fatalx("out of memory");
	p->generation = 1;
	timer_set(p, DISPATCH_READY_MS);
	dispatch_send_engine_base(p);
	dispatch_send_tables(p);
	event_base_dispatch(p->base);
	panic("the event loop ended");
}

/* --- main ------------------------------------------------------------- */

static void
run_child(const struct proc_self *self)
{
	static const enum msg_side senders[] = { SIDE_FRONTEND, SIDE_QUEUE };

	if (strcmp(self->role, "audit") == 0)
		audit_main(self, senders);
	if (strcmp(self->role, "engine") == 0)
		engine_main(self);
	if (strcmp(self->role, "runs") == 0)
		runs_main(self);
	if (strcmp(self->role, "queue") == 0)
		queue_main(self);
	if (strcmp(self->role, "frontend") == 0)
		dispatch_frontend_main(self);
}

/* -x: this is a child, or the test of a child's sandbox. */
static int
run_role(int argc, char **argv)
{
	struct proc_self self;
	int purpose;

	if (optind >= 1 && strcmp(argv[optind - 1], "selftest") == 0) {
		if (optind + 1 == argc &&
		    (purpose = sandbox_purpose(argv[optind])) != -1)
			return sandbox_selftest(
			           (enum sandbox_purpose)purpose) == 0
			    ? 0
			    : EXIT_SANDBOX;
	} else if (proc_parse_self("dispatchd", argc, argv, &self) == 0)
		run_child(&self);
	usage(stderr);
	return EXIT_CONFIG;
}

/* Children and the parent itself leave this directory. */
static int
absolute(struct parent *p)
{
	const char *name = p->file;

	if (name[0] == '/' || (p->file = realpath(name, NULL)) != NULL)
		return 0;
	fprintf(stderr, "dispatchd: %s: %s\n", name, strerror(errno));
	return -1;
}

static int
serve(struct parent *p, int debug, int verbose)
{
	char why[256];

	log_init("dispatchd", debug, verbose);
	if (!dispatch_load(p, &p->now, true, why, sizeof(why)))
		return EXIT_CONFIG;
	if (geteuid() == 0 && check_users(p->now.config) == -1)
		return EXIT_CONFIG;
	if (chdir("/") == -1)
		fatal("chdir /");
	umask(PARENT_UMASK);
	dispatch_listen_fds_take();
	proc_notify_open();
	clock_boot_id(p->boot_id);
	run(p);
	return 0;
}

int
main(int argc, char **argv)
{
	static struct parent p;
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
			printf("dispatchd %s\n", BULKHEAD_VERSION);
			return 0;
		case 'x':
			log_init("dispatchd", debug, verbose);
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
	if (absolute(&p) == -1)
		return EXIT_CONFIG;
	return test ? test_config(&p) : serve(&p, debug, verbose);
}
