#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/daemon.h"
#include "libcommon/log.h"
#include "libcommon/version.h"

#define GO_ON (-1) /* not an exit status: there is more to do */

struct options {
	int debug, test, verbose;
};

static void
usage(const struct daemon_def *def, FILE *out)
{
	fprintf(out,
	    "usage: %s [-dtvV] [-f file]\n"
	    "  -f file  configuration (default %s)\n"
	    "  -t       test the configuration and exit\n"
	    "  -d       log to standard error\n"
	    "  -v       log more; twice: every message\n"
	    "  -V       print the version and exit\n",
	    def->name, def->file);
}

/* --- start ------------------------------------------------------------ */

/* Where a reload may find what it reads; then the door closes. */
static void
enter(struct daemon *d, uid_t uid, gid_t gid)
{
	static const char *read[DAEMON_PATHS_MAX + 1];
	struct sandbox_paths paths = { .read = read };
	size_t n = 0;
	int fd;

	read[n++] = d->file;
	read[n++] = "/etc";
	if (d->def->paths != NULL)
		d->def->paths(d, &paths, read, &n);
	d->sandbox = proc_enter_parent(
	    uid, gid, d->def->keep_caps, d->def->purpose, &paths);
	if ((fd = open(d->file, O_RDONLY | O_CLOEXEC)) == -1)
		log_warn("a reload will not be able to read %s as user %s",
		    d->file, d->now.user_parent);
	else
		close(fd);
}

/* Everything that needs root, or the names of files, in this order. */
static void
start(struct daemon *d)
{
	uid_t uid = geteuid(), audit_uid = uid;
	gid_t gid = getegid(), audit_gid = gid;

	d->unprivileged = geteuid() != 0;
	if (!d->unprivileged &&
	    (proc_user(d->now.user_parent, &uid, &gid) == -1 ||
	        proc_user(d->now.user_audit, &audit_uid, &audit_gid) == -1))
		fatalx("users vanished");
	d->listen_fd = daemon_listen_unix(d->now.socket);
	if (d->listen_fd == -1)
		fatal("cannot listen on %s", d->now.socket);
	d->def->open(d, uid, gid);
	d->audit_fd = audit_open(d->now.audit, audit_uid, audit_gid);
	if (d->audit_fd == -1)
		fatal("cannot open the record file %s", d->now.audit);
	d->def->children(d);
	daemon_children_start(d);
	enter(d, uid, gid);
}

static void
run(struct daemon *d)
{
	d->base = event_base_new();
	if (d->base == NULL)
		fatalx("no event loop");
	d->watch = proc_watch_new(d->base, daemon_child_ended, d);
	if (d->watch == NULL)
		fatalx("out of memory");
	daemon_signals_init(d);
	start(d);
	d->audit = audit_client_new(d->base, daemon_child(d, SIDE_AUDIT)->peer);
	if (d->audit == NULL)
		fatalx("out of memory");
	d->generation = 1;
	daemon_phase_set(d, PHASE_STARTING, d->def->ready_ms);
	if (d->def->begin != NULL)
		d->def->begin(d);
	daemon_tables_send(d);
	event_base_dispatch(d->base);
	panic("the event loop ended");
}

/* --- the command line ------------------------------------------------- */

/* -x: this is a child, or the test of a child's sandbox. */
static int
run_role(const struct daemon_def *def, int argc, char **argv)
{
	const struct daemon_role *r;
	struct proc_self self;
	int purpose;

	if (optind >= 1 && strcmp(argv[optind - 1], "selftest") == 0) {
		if (optind + 1 == argc &&
		    (purpose = sandbox_purpose(argv[optind])) != -1)
			return sandbox_selftest(
			           (enum sandbox_purpose)purpose) == 0
			    ? 0
			    : EXIT_SANDBOX;
	} else if (proc_parse_self(def->name, argc, argv, &self) == 0) {
		for (r = def->roles; r->name != NULL; r++) {
			if (strcmp(r->name, self.role) == 0)
				r->main(&self);
		}
	}
	usage(def, stderr);
	return EXIT_CONFIG;
}

/* Children and the parent itself leave this directory. */
static int
absolute(struct daemon *d)
{
	const char *name = d->file;

	if (name[0] == '/' || (d->file = realpath(name, NULL)) != NULL)
		return 0;
	fprintf(stderr, "%s: %s: %s\n", d->def->name, name, strerror(errno));
	return -1;
}

static int
test_config(struct daemon *d)
{
	struct daemon_config c;
	char why[256];

	if (!daemon_config_load(d, &c, true, why, sizeof(why)))
		return EXIT_CONFIG;
	daemon_config_free(d, &c);
	printf("%s: ok\n", d->file);
	return 0;
}

static int
serve(struct daemon *d, const struct options *o)
{
	char why[256];

	log_init(d->def->name, o->debug, o->verbose);
	if (!daemon_config_load(d, &d->now, true, why, sizeof(why)))
		return EXIT_CONFIG;
	if (geteuid() == 0 && daemon_config_users(d) == -1)
		return EXIT_CONFIG;
	if (chdir("/") == -1)
		fatal("chdir /");
	daemon_given_take();
	proc_notify_open();
	clock_boot_id(d->boot_id);
	run(d);
	return 0;
}

/* Returns an exit status, or GO_ON. */
static int
parse(struct daemon *d, struct options *o, int argc, char **argv)
{
	int ch;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		usage(d->def, stdout);
		return 0;
	}
	while ((ch = getopt(argc, argv, "df:htvVx:")) != -1) {
		switch (ch) {
		case 'd':
			o->debug = 1;
			break;
		case 'f':
			d->file = optarg;
			break;
		case 't':
			o->test = 1;
			break;
		case 'v':
			o->verbose++;
			break;
		case 'V':
			printf("%s %s\n", d->def->name, BULKHEAD_VERSION);
			return 0;
		case 'x':
			log_init(d->def->name, o->debug, o->verbose);
			return run_role(d->def, argc, argv);
		case 'h':
			usage(d->def, stdout);
			return 0;
		default:
			usage(d->def, stderr);
			return EXIT_CONFIG;
		}
	}
	if (optind == argc)
		return GO_ON;
	usage(d->def, stderr);
	return EXIT_CONFIG;
}

int
daemon_main(
    struct daemon *d, const struct daemon_def *def, int argc, char **argv)
{
	struct options o = { 0 };
	int status;

	signal(SIGPIPE, SIG_IGN);
	d->def = def;
	d->file = def->file;
	d->file_fd = -1;
	if ((status = parse(d, &o, argc, argv)) != GO_ON)
		return status;
	if (absolute(d) == -1)
		return EXIT_CONFIG;
	if (def->init != NULL)
		def->init();
	return o.test ? test_config(d) : serve(d, &o);
}
