#include <sys/resource.h>
#include <sys/socket.h>

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/fd.h"
#include "libcommon/log.h"
#include "libcommon/proc.h"
#include "libcommon/proc_private.h"

#define ROLE_MAX 16 /* letters of a role's name */
#define INSTANCE_MAX 9999
#define IDENT_LEN 64 /* "egressd/resolver" and room */
#define SELF_WORDS 4 /* INSTANCE NLINKS UID GID, and perhaps GROUP */
#define ID_MAX 4294967294LL /* the id above means "none" */

static int
role_valid(const char *role)
{
	size_t n;

	n = strspn(role, "abcdefghijklmnopqrstuvwxyz");
	return n > 0 && n <= ROLE_MAX && role[n] == '\0';
}

static int
number(const char *word, long long max, long long *out)
{
	const char *err;

	/* strtonum takes white space and a sign; our own words have none. */
	if (word[0] < '0' || word[0] > '9')
		return -1;
	*out = strtonum(word, 0, max, &err);
	return err == NULL ? 0 : -1;
}

int
proc_parse_self(
    const char *daemon, int argc, char **argv, struct proc_self *self)
{
	long long instance, nlinks, uid, gid, group = 0;
	int words = argc - optind;

	if (optind < 1 || optind > argc || words < SELF_WORDS ||
	    words > SELF_WORDS + 1 || !role_valid(argv[optind - 1]))
		return -1;
	if (number(argv[optind], INSTANCE_MAX, &instance) == -1 ||
	    number(argv[optind + 1], PROC_FDS_MAX, &nlinks) == -1 ||
	    number(argv[optind + 2], ID_MAX, &uid) == -1 ||
	    number(argv[optind + 3], ID_MAX, &gid) == -1)
		return -1;
	/* Group 0 is no group to be handed out: it is how "none" is said. */
	if (words > SELF_WORDS &&
	    (number(argv[optind + 4], ID_MAX, &group) == -1 || group == 0))
		return -1;
	self->daemon = daemon;
	self->role = argv[optind - 1];
	self->instance = (unsigned)instance;
	self->nlinks = (unsigned)nlinks;
	self->uid = (uid_t)uid;
	self->gid = (gid_t)gid;
	self->group = (gid_t)group;
	return 0;
}

/* No core ever holds our memory; descriptors up to what the system grants. */
static int
limit(unsigned long nofile)
{
	const struct rlimit none = { 0, 0 };
	struct rlimit rl;

	if (setrlimit(RLIMIT_CORE, &none) == -1)
		return -1;
	if (nofile == 0)
		return 0;
	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		return -1;
	rl.rlim_cur = nofile;
	if (rl.rlim_max != RLIM_INFINITY && rl.rlim_cur > rl.rlim_max)
		rl.rlim_cur = rl.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &rl);
}

/*
 * The parent alone answers signals, and tells us by message: a terminal's
 * interrupt and a service manager's TERM reach the whole group, and a child
 * that took them would end under the work that the parent wants drained.
 */
static void
leave_signals_to_parent(void)
{
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
}

static struct sandbox_state
enter_sandbox(enum sandbox_purpose purpose, const struct sandbox_paths *paths)
{
	struct sandbox_state st;

	if (sandbox_enter(purpose, paths, &st) == -1) {
		log_warn("the sandbox %s could not be entered",
		    sandbox_name(purpose));
		_exit(EXIT_SANDBOX);
	}
	return st;
}

static void
must(const char *what, int r)
{
	if (r == 0)
		return;
	log_warn("%s", what);
	_exit(EXIT_SYSTEM);
}

struct sandbox_state
proc_enter(const struct proc_self *self, unsigned long nofile,
    uint64_t keep_caps, enum sandbox_purpose purpose)
{
	/* What may write files has its directory as its first link. */
	const struct sandbox_paths paths = { .dir = purpose == SANDBOX_RUNS ||
		        purpose == SANDBOX_QUEUE
		    ? PROC_FD_FIRST
		    : 0 };
	char ident[IDENT_LEN], boot_id[CLOCK_BOOT_ID_LEN];

	snprintf(ident, sizeof(ident), "%s/%s", self->daemon, self->role);
	log_set_ident(ident);
	/* But the log's own. */
	fd_close_from(PROC_FD_FIRST + (int)self->nlinks);
	leave_signals_to_parent();
	must("limits", limit(nofile));
	/* Read once, for good: behind the sandbox neither can be. */
	tzset();
	clock_boot_id(boot_id);
	must("dropping privileges",
	    proc_drop(self->uid, self->gid, self->group, keep_caps));
	must("chdir /", chdir("/"));
	must("hardening", proc_harden(ident));
	must("the parent", proc_die_with_parent());
	return enter_sandbox(purpose, &paths);
}

/* Its descriptors, its directory and its signals stay as the parent set them.
 */
struct sandbox_state
proc_enter_parent(uid_t uid, gid_t gid, uint64_t keep_caps,
    enum sandbox_purpose purpose, const struct sandbox_paths *paths)
{
	must("limits", limit(0));
	tzset();
	must("dropping privileges", proc_drop(uid, gid, 0, keep_caps));
	must("hardening", proc_harden(NULL));
	return enter_sandbox(purpose, paths);
}

int
proc_user(const char *name, uid_t *uid, gid_t *gid)
{
	const struct passwd *pw;

	if ((pw = getpwnam(name)) == NULL)
		return -1;
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return 0;
}

int
proc_socketpair(int sv[2])
{
	int got[2], i, saved;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, got) == -1)
		return -1;
	for (i = 0; i < 2; i++) {
		if (fd_set_cloexec(got[i]) == -1 ||
		    fd_set_nonblock(got[i]) == -1) {
			saved = errno;
			close(got[0]);
			close(got[1]);
			errno = saved;
			return -1;
		}
	}
	sv[0] = got[0];
	sv[1] = got[1];
	return 0;
}
