#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "libcommon/log.h"
#include "libcommon/proc.h"

/*
 * This program is its own child: with -x it plays one of the roles below, as
 * a daemon does.
 */

#define NAME "testd"
#define CHILD_UID 65533 /* nobody's, and not "nobody" */
#define PARENT_UID 65532
#define PATIENCE_MS 10000
#define STEP_MS 5
#define CAP_BIND (1ULL << 10) /* CAP_NET_BIND_SERVICE */
#define GROUP 65531
#define NOFILE 100
#define LINE_LEN 512

static bool
is_root(void)
{
	return geteuid() == 0;
}

/* --- the roles -------------------------------------------------------- */

static void
say(const char *text)
{
	if (write(PROC_FD_PARENT, text, strlen(text)) == -1)
		_exit(90);
}

/* Until the other end is closed. */
static void
wait_eof(void)
{
	struct pollfd pfd = { PROC_FD_PARENT, POLLIN, 0 };
	char buf[16];

	while (poll(&pfd, 1, -1) == -1 ||
	    read(PROC_FD_PARENT, buf, sizeof(buf)) != 0)
		continue;
}

static void
say_state(const struct sandbox_state *st)
{
	char line[LINE_LEN];

	snprintf(line, sizeof(line), "ready seccomp %d nnp %d\n", st->seccomp,
	    st->no_new_privs);
	say(line);
}

static int
role_audit(const struct proc_self *self)
{
	struct sandbox_state st;

	st = proc_enter(self, NOFILE, 0, SANDBOX_AUDIT);
	say_state(&st);
	wait_eof();
	return 7;
}

static int
role_keep(const struct proc_self *self)
{
	struct sandbox_state st;

	st = proc_enter(self, NOFILE, CAP_BIND, SANDBOX_AUDIT);
	say_state(&st);
	wait_eof();
	return 0;
}

/* Deaf to its parent's link: only its lifeline ends it. */
static int
role_hang(const struct proc_self *self)
{
	struct sandbox_state st;

	st = proc_enter(self, NOFILE, 0, SANDBOX_PROXY);
	say_state(&st);
	while (poll(NULL, 0, -1) != 1)
		continue;
	return 0;
}

/* Never reaches its sandbox. */
static int
role_stuck(const struct proc_self *self)
{
	say("stuck\n");
	while (poll(NULL, 0, -1) != 1)
		continue;
	return 0;
}

static int
role_exit(const struct proc_self *self)
{
	return (int)self->instance;
}

static int
role_abort(const struct proc_self *self)
{
	const struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	signal(SIGABRT, SIG_DFL);
	kill(getpid(), SIGABRT);
	return 0;
}

/* Which descriptors came, what each link says, and the words. */
static int
role_fds(const struct proc_self *self)
{
	char line[LINE_LEN] = "", one[32], c;
	int fd;

	for (fd = 0; fd < 1024; fd++) {
		if (fcntl(fd, F_GETFD) == -1)
			continue;
		c = '-';
		if (fd >= PROC_FD_FIRST)
			(void)!read(fd, &c, 1);
		snprintf(one, sizeof(one), "%d%c%s ", fd, c,
		    fcntl(fd, F_GETFD) & FD_CLOEXEC ? "!" : "");
		strlcat(line, one, sizeof(line));
	}
	snprintf(one, sizeof(one), "d%d v%d\n", log_debugging(), log_verbose());
	strlcat(line, one, sizeof(line));
	say(line);
	return 0;
}

/* More descriptors than it was told of must be gone behind proc_enter. */
static int
role_leak(const struct proc_self *self)
{
	char line[LINE_LEN] = "", one[32];
	int fd;

	if (dup2(1, 50) == -1)
		return 91;
	proc_enter(self, NOFILE, 0, SANDBOX_AUDIT);
	for (fd = 0; fd < 64; fd++) {
		if (fcntl(fd, F_GETFD) == -1)
			continue;
		snprintf(one, sizeof(one), "%d ", fd);
		strlcat(line, one, sizeof(line));
	}
	strlcat(line, "\n", sizeof(line));
	say(line);
	return 0;
}

/* A parent: has a child hang, becomes another user, says the child's pid. */
static int
role_mid(const struct proc_self *self)
{
	struct proc_spec spec = { .role = "hang" };
	char line[LINE_LEN] = "";
	int sv[2];
	pid_t pid;

	spec.uid = self->uid + 1;
	spec.gid = self->gid + 1;
	if (proc_socketpair(sv) == -1)
		return 92;
	spec.parent_fd = sv[1];
	if ((pid = proc_spawn(NAME, &spec)) == -1)
		return 93;
	while (read(sv[0], line, sizeof(line) - 1) == -1 && errno == EAGAIN)
		poll(NULL, 0, 1);
	proc_enter_parent(self->uid, self->gid, CAP_BIND, SANDBOX_PARENT, NULL);
	snprintf(line, sizeof(line), "%ld\n", (long)pid);
	say(line);
	/* Instance 1 ends its child itself, as another user. */
	if (self->instance == 1) {
		struct event_base *base = event_base_new();
		struct proc_watch *w = proc_watch_new(base, NULL, NULL);

		if (w == NULL || proc_watch_add(w, pid, "hang", 0) == -1)
			return 94;
		proc_watch_kill(w);
		return waitpid(pid, NULL, WNOHANG) == -1 && errno == ECHILD
		    ? 0
		    : 95;
	}
	while (poll(NULL, 0, -1) != 1)
		continue;
	return 0;
}

static const struct {
	const char *role;
	int (*run)(const struct proc_self *);
} roles[] = {
	{ "audit", role_audit },
	{ "keep", role_keep },
	{ "hang", role_hang },
	{ "stuck", role_stuck },
	{ "exit", role_exit },
	{ "abort", role_abort },
	{ "fds", role_fds },
	{ "leak", role_leak },
	{ "mid", role_mid },
};

static int
play(int argc, char **argv)
{
	struct proc_self self;
	int ch, debug = 0, verbose = 0;
	size_t i;

	while ((ch = getopt(argc, argv, "dvx:")) != -1) {
		if (ch == 'd')
			debug = 1;
		else if (ch == 'v')
			verbose++;
		else if (ch == 'x')
			break;
		else
			return 80;
	}
	if (proc_parse_self(NAME, argc, argv, &self) == -1)
		return 81;
	log_init(NAME, debug, verbose);
	for (i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (strcmp(roles[i].role, self.role) == 0)
			_exit(roles[i].run(&self));
	}
	return 82;
}

/* --- helpers of the tests --------------------------------------------- */

static pid_t
spawn(const char *role, unsigned instance, uid_t uid, int *link)
{
	struct proc_spec spec = { .role = role, .instance = instance };
	int sv[2];
	pid_t pid;

	spec.uid = uid;
	spec.gid = uid;
	ck_assert_int_eq(proc_socketpair(sv), 0);
	spec.parent_fd = sv[1];
	pid = proc_spawn(NAME, &spec);
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(fcntl(sv[1], F_GETFD), -1);
	*link = sv[0];
	return pid;
}

/* One line of a child; "" at the end of the file. */
static const char *
hear(int link)
{
	static char line[LINE_LEN];
	struct pollfd pfd = { link, POLLIN, 0 };
	ssize_t n;

	ck_assert_int_eq(poll(&pfd, 1, PATIENCE_MS), 1);
	n = read(link, line, sizeof(line) - 1);
	ck_assert_int_ge(n, 0);
	line[n] = '\0';
	return line;
}

/* The wait status, or -1 when it does not end in time. */
static int
ended(pid_t pid)
{
	int status, waited;

	for (waited = 0; waited < PATIENCE_MS; waited += STEP_MS) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		poll(NULL, 0, STEP_MS);
	}
	return -1;
}

/* The line of /proc/PID/FILE that starts so, the rest of it, blanks as one. */
static const char *
field(pid_t pid, const char *file, const char *name)
{
	static char out[LINE_LEN];
	char path[64], line[LINE_LEN], *p, *q = out;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, file);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, name, strlen(name)) != 0)
			continue;
		for (p = line + strlen(name); *p != '\0'; p++) {
			if (strchr(" \t\n", *p) == NULL)
				*q++ = *p;
			else if (q > out && q[-1] != ' ')
				*q++ = ' ';
		}
		break;
	}
	fclose(f);
	while (q > out && q[-1] == ' ')
		q--;
	*q = '\0';
	return out;
}

static const char *
shows(pid_t pid, const char *name)
{
	return field(pid, "status", name);
}

/* --- words ------------------------------------------------------------ */

static const struct {
	const char *name;
	const char *argv[9];
	int optind;
	int want;
	struct proc_self self;
} words[] = {
	{ "whole", { "e", "-x", "proxy", "3", "2", "17", "18" }, 3, 0,
	    { NAME, "proxy", 3, 2, 17, 18, 0 } },
	{ "flags before", { "e", "-d", "-xproxy", "0", "0", "0", "0" }, 3, -1,
	    { 0 } },
	{ "largest",
	    { "e", "-x", "a", "9999", "64", "4294967294", "4294967294" }, 3, 0,
	    { NAME, "a", 9999, 64, 4294967294U, 4294967294U, 0 } },
	{ "no words", { "e", "-x", "proxy" }, 3, -1, { 0 } },
	{ "one missing", { "e", "-x", "proxy", "3", "2", "17" }, 3, -1, { 0 } },
	{ "a group", { "e", "-x", "proxy", "3", "2", "17", "18", "19" }, 3, 0,
	    { NAME, "proxy", 3, 2, 17, 18, 19 } },
	{ "group 0", { "e", "-x", "proxy", "3", "2", "17", "18", "0" }, 3, -1,
	    { 0 } },
	{ "group junk", { "e", "-x", "proxy", "3", "2", "17", "18", "x" }, 3,
	    -1, { 0 } },
	{ "group none",
	    { "e", "-x", "proxy", "3", "2", "17", "18", "4294967295" }, 3, -1,
	    { 0 } },
	{ "one more", { "e", "-x", "proxy", "3", "2", "17", "18", "19", "20" },
	    3, -1, { 0 } },
	{ "role empty", { "e", "-x", "", "3", "2", "17", "18" }, 3, -1, { 0 } },
	{ "role long", { "e", "-x", "abcdefghijklmnopq", "3", "2", "1", "1" },
	    3, -1, { 0 } },
	{ "role path", { "e", "-x", "../x", "3", "2", "17", "18" }, 3, -1,
	    { 0 } },
	{ "instance sign", { "e", "-x", "proxy", "+3", "2", "17", "18" }, 3, -1,
	    { 0 } },
	{ "instance large", { "e", "-x", "proxy", "10000", "2", "1", "1" }, 3,
	    -1, { 0 } },
	{ "links many", { "e", "-x", "proxy", "3", "65", "17", "18" }, 3, -1,
	    { 0 } },
	{ "uid none", { "e", "-x", "proxy", "3", "2", "4294967295", "1" }, 3,
	    -1, { 0 } },
	{ "gid junk", { "e", "-x", "proxy", "3", "2", "17", "18x" }, 3, -1,
	    { 0 } },
	{ "gid negative", { "e", "-x", "proxy", "3", "2", "17", "-1" }, 3, -1,
	    { 0 } },
	{ "gid blank", { "e", "-x", "proxy", "3", "2", "17", " 1" }, 3, -1,
	    { 0 } },
};

START_TEST(test_words)
{
	struct proc_self self = { 0 };
	char *argv[10] = { NULL }, copy[9][32];
	int argc;

	for (argc = 0; argc < 9 && words[_i].argv[argc] != NULL; argc++) {
		strlcpy(copy[argc], words[_i].argv[argc], sizeof(copy[0]));
		argv[argc] = copy[argc];
	}
	optind = words[_i].optind;
	ck_assert_msg(
	    proc_parse_self(NAME, argc, argv, &self) == words[_i].want, "%s",
	    words[_i].name);
	if (words[_i].want == -1) {
		ck_assert_ptr_null(self.role);
		return;
	}
	ck_assert_str_eq(self.daemon, words[_i].self.daemon);
	ck_assert_str_eq(self.role, words[_i].self.role);
	ck_assert_uint_eq(self.instance, words[_i].self.instance);
	ck_assert_uint_eq(self.nlinks, words[_i].self.nlinks);
	ck_assert_uint_eq(self.uid, words[_i].self.uid);
	ck_assert_uint_eq(self.gid, words[_i].self.gid);
	ck_assert_uint_eq(self.group, words[_i].self.group);
}
END_TEST

static const struct {
	int status;
	const char *want;
} statuses[] = {
	{ 0, "exited 0" },
	{ 1 << 8, "exited 1" },
	{ 78 << 8, "exited 78" },
	{ SIGKILL, "killed by signal 9 (Killed)" },
	{ SIGSYS, "killed by signal 31 (Bad system call)" },
};

START_TEST(test_status)
{
	char buf[64];

	ck_assert_str_eq(
	    proc_status_string(statuses[_i].status, buf, sizeof(buf)),
	    statuses[_i].want);
}
END_TEST

START_TEST(test_user)
{
	uid_t uid = 5;
	gid_t gid = 5;

	ck_assert_int_eq(proc_user("no-such-user", &uid, &gid), -1);
	ck_assert_int_eq(uid, 5);
	ck_assert_int_eq(proc_user("root", &uid, &gid), 0);
	ck_assert_int_eq(uid, 0);
	ck_assert_int_eq(gid, 0);
}
END_TEST

START_TEST(test_socketpair)
{
	int i, sv[2];

	ck_assert_int_eq(proc_socketpair(sv), 0);
	for (i = 0; i < 2; i++) {
		ck_assert_int_ne(fcntl(sv[i], F_GETFL) & O_NONBLOCK, 0);
		ck_assert_int_ne(fcntl(sv[i], F_GETFD) & FD_CLOEXEC, 0);
	}
}
END_TEST

/* --- children --------------------------------------------------------- */

/* What a child is, as the kernel tells it to others. */
START_TEST(test_child)
{
	char want[LINE_LEN], path[64];
	uid_t uid = is_root() ? CHILD_UID : geteuid();
	struct stat sb;
	int link;
	pid_t pid;

	pid = spawn(_i == 0 ? "audit" : "keep", 0, CHILD_UID, &link);
	ck_assert_str_eq(hear(link), "ready seccomp 1 nnp 1\n");

	snprintf(want, sizeof(want), "%u %u %u %u", uid, uid, uid, uid);
	ck_assert_str_eq(shows(pid, "Uid:"), want);
	if (is_root()) {
		ck_assert_str_eq(shows(pid, "Gid:"), want);
		ck_assert_str_eq(shows(pid, "Groups:"), "");
		snprintf(
		    want, sizeof(want), "%016llx", _i == 0 ? 0ULL : CAP_BIND);
		ck_assert_str_eq(shows(pid, "CapBnd:"), want);
		ck_assert_str_eq(shows(pid, "CapPrm:"), want);
		ck_assert_str_eq(shows(pid, "CapEff:"), want);
	} else {
		ck_assert_str_eq(shows(pid, "CapPrm:"), "0000000000000000");
		ck_assert_str_eq(shows(pid, "CapEff:"), "0000000000000000");
	}
	ck_assert_str_eq(shows(pid, "CapInh:"), "0000000000000000");
	ck_assert_str_eq(shows(pid, "CapAmb:"), "0000000000000000");
	ck_assert_str_eq(shows(pid, "NoNewPrivs:"), "1");
	ck_assert_str_eq(shows(pid, "Seccomp:"), "2");
	ck_assert_str_eq(
	    shows(pid, "Name:"), _i == 0 ? "testd/audit" : "testd/keep");

	snprintf(want, sizeof(want), "%d", NOFILE);
	ck_assert_str_eq(
	    field(pid, "limits", "Max core file size"), "0 0 bytes");
	ck_assert_mem_eq(
	    field(pid, "limits", "Max open files"), want, strlen(want));
	snprintf(path, sizeof(path), "/proc/%ld/environ", (long)pid);
	if (is_root()) {
		/* Not dumpable: what stands for it in /proc is root's. */
		ck_assert_int_eq(stat(path, &sb), 0);
		ck_assert_uint_eq(sb.st_uid, 0);
	} else {
		/* And closed to its own user. */
		ck_assert_int_eq(open(path, O_RDONLY), -1);
		ck_assert_int_eq(errno, EACCES);
	}
	close(link);
	ck_assert_int_eq(ended(pid), _i == 0 ? 7 << 8 : 0);
}
END_TEST

/* One supplementary group, and no other. */
START_TEST(test_group)
{
	struct proc_spec spec = { .role = "audit", .uid = CHILD_UID };
	char want[LINE_LEN];
	int sv[2];
	pid_t pid;

	if (!is_root())
		return;
	spec.gid = CHILD_UID;
	spec.group = GROUP;
	ck_assert_int_eq(proc_socketpair(sv), 0);
	spec.parent_fd = sv[1];
	pid = proc_spawn(NAME, &spec);
	ck_assert_int_gt(pid, 0);
	ck_assert_str_eq(hear(sv[0]), "ready seccomp 1 nnp 1\n");
	snprintf(want, sizeof(want), "%d", GROUP);
	ck_assert_str_eq(shows(pid, "Groups:"), want);
	close(sv[0]);
	ck_assert_int_eq(ended(pid), 7 << 8);
}
END_TEST

START_TEST(test_title)
{
	char path[64], buf[128];
	size_t n;
	int link;
	pid_t pid;
	FILE *f;

	log_init(NAME, 1, 2);
	pid = spawn("stuck", 12, CHILD_UID, &link);
	ck_assert_str_eq(hear(link), "stuck\n");
	snprintf(path, sizeof(path), "/proc/%ld/cmdline", (long)pid);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	n = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	ck_assert_uint_eq(n,
	    sizeof("testd: stuck 12\0-d\0-v\0-v\0-x\0stuck\0"
	           "12\0"
	           "0\0"
	           "65533\0"
	           "65533"));
	ck_assert_mem_eq(buf,
	    "testd: stuck 12\0-d\0-v\0-v\0-x\0stuck\0"
	    "12\0"
	    "0\0"
	    "65533\0"
	    "65533",
	    n);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(ended(pid), SIGKILL);
}
END_TEST

/*
 * Sources at every awkward number: reversed, at each other's places, at the
 * places of 0 and 3, and many.
 */
static const struct {
	const char *name;
	int at[4]; /* parent_fd, fds[0..2] */
	const char *want;
} places[] = {
	{ "in order", { 20, 21, 22, 23 }, "0- 1- 2- 3- 4a 5b 6c d0 v0\n" },
	{ "in place", { 3, 4, 5, 6 }, "0- 1- 2- 3- 4a 5b 6c d0 v0\n" },
	{ "reversed", { 6, 5, 4, 3 }, "0- 1- 2- 3- 4a 5b 6c d0 v0\n" },
	{ "rotated", { 4, 5, 6, 3 }, "0- 1- 2- 3- 4a 5b 6c d0 v0\n" },
	{ "at zero", { 5, 0, 3, 4 }, "0- 1- 2- 3- 4a 5b 6c d0 v0\n" },
	{ "just above", { 7, 8, 9, 10 }, "0- 1- 2- 3- 4a 5b 6c d0 v0\n" },
};

static void
close_both(const int p[2])
{
	close(p[0]);
	close(p[1]);
}

/*
 * In a process of its own: the rows overwrite descriptors that the test
 * program holds. Returns 0, or the number of the step that failed.
 */
static int
place_row(const int at[4], const char *want)
{
	struct proc_spec spec = {
		.role = "fds", .uid = CHILD_UID, .gid = CHILD_UID, .nfds = 3
	};
	char line[LINE_LEN] = "";
	int high[4], i, mine, p[2], status;
	size_t n = 0;
	ssize_t r;
	pid_t pid;

	log_init(NAME, 0, 0);
	/* Each pipe out of the way first: the parent's, then a, b, c. */
	if (pipe(p) == -1 || (mine = fcntl(p[0], F_DUPFD_CLOEXEC, 200)) == -1)
		return 1;
	high[0] = fcntl(p[1], F_DUPFD_CLOEXEC, 200);
	close_both(p);
	for (i = 1; i < 4; i++) {
		if (pipe(p) == -1 || write(p[1], &"-abc"[i], 1) != 1)
			return 2;
		high[i] = fcntl(p[0], F_DUPFD_CLOEXEC, 200);
		close_both(p);
	}
	/* Then to where the row wants them, over whatever is there. */
	for (i = 0; i < 4; i++) {
		if (dup3(high[i], at[i], O_CLOEXEC) != at[i])
			return 3;
		close(high[i]);
	}
	spec.parent_fd = at[0];
	memcpy(spec.fds, at + 1, 3 * sizeof(at[0]));
	/* One that must not be handed on although it says so. */
	if (dup2(STDERR_FILENO, 60) != 60)
		return 4;

	if ((pid = proc_spawn(NAME, &spec)) == -1)
		return 5;
	for (i = 0; i < 4; i++) {
		if (fcntl(at[i], F_GETFD) != -1)
			return 6;
	}
	while ((r = read(mine, line + n, sizeof(line) - 1 - n)) > 0)
		n += (size_t)r;
	if (strcmp(line, want) != 0)
		return 7;
	return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 8;
}

START_TEST(test_places)
{
	int status;
	pid_t pid;

	if ((pid = fork()) == 0)
		_exit(place_row(places[_i].at, places[_i].want));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(
	    status == 0, "%s: step %d", places[_i].name, WEXITSTATUS(status));
}
END_TEST

START_TEST(test_spawn_fails)
{
	struct proc_spec spec = { .role = "exit", .nfds = 1 };
	int sv[2];

	ck_assert_int_eq(proc_socketpair(sv), 0);
	spec.parent_fd = sv[0];
	spec.fds[0] = sv[1];
	spec.nfds = PROC_FDS_MAX + 1;
	/* What is said to be there is closed, the rest is not touched. */
	spec.fds[1] = -1;
	for (size_t i = 1; i < PROC_FDS_MAX; i++)
		spec.fds[i] = -1;
	ck_assert_int_eq(proc_spawn(NAME, &spec), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(fcntl(sv[0], F_GETFD), -1);
	ck_assert_int_eq(fcntl(sv[1], F_GETFD), -1);
}
END_TEST

START_TEST(test_leak)
{
	int link;
	pid_t pid;

	log_init(NAME, 1, 0);
	pid = spawn("leak", 0, CHILD_UID, &link);
	ck_assert_str_eq(hear(link), "0 1 2 3 \n");
	ck_assert_int_eq(ended(pid), 0);
}
END_TEST

/* The parent's signals are not the child's: it ends by its link. */
START_TEST(test_signals)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGTERM, SIGPIPE };
	size_t i;
	int link;
	pid_t pid;

	pid = spawn("audit", 0, CHILD_UID, &link);
	ck_assert_str_eq(hear(link), "ready seccomp 1 nnp 1\n");
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		ck_assert_int_eq(kill(pid, signals[i]), 0);
	close(link);
	ck_assert_int_eq(ended(pid), 7 << 8);
}
END_TEST

/* --- the end of a parent ---------------------------------------------- */

/* kill -9 the parent: the child, of another user when we are root, dies. */
START_TEST(test_orphan)
{
	uid_t uid = is_root() ? PARENT_UID : geteuid();
	char want[64];
	int link;
	pid_t child, parent;

	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	parent = spawn("mid", 0, uid, &link);
	child = (pid_t)atol(hear(link));
	ck_assert_int_gt(child, 0);
	if (is_root()) {
		snprintf(want, sizeof(want), "%d %d %d %d", PARENT_UID,
		    PARENT_UID, PARENT_UID, PARENT_UID);
		ck_assert_str_eq(shows(parent, "Uid:"), want);
		snprintf(want, sizeof(want), "%016llx", CAP_BIND);
		ck_assert_str_eq(shows(parent, "CapEff:"), want);
		ck_assert_str_eq(shows(parent, "CapBnd:"), want);
		ck_assert_str_eq(shows(parent, "Groups:"), "");
	}
	ck_assert_str_eq(shows(parent, "Seccomp:"), "2");
	ck_assert_str_eq(shows(child, "Seccomp:"), "2");
	ck_assert_int_eq(kill(child, 0), 0);
	ck_assert_int_eq(kill(parent, SIGKILL), 0);
	ck_assert_int_eq(ended(parent), SIGKILL);
	ck_assert_int_eq(ended(child), SIGKILL);
}
END_TEST

/* A confined parent ends a child of another user, deaf as it is. */
START_TEST(test_kill_confined)
{
	uid_t uid = is_root() ? PARENT_UID : geteuid();
	int link;
	pid_t parent;

	parent = spawn("mid", 1, uid, &link);
	ck_assert_int_gt(atol(hear(link)), 0);
	ck_assert_int_eq(ended(parent), 0);
}
END_TEST

/* --- supervision ------------------------------------------------------ */

struct seen {
	struct event_base *base;
	char text[LINE_LEN];
	int left;
};

static void
on_gone(const char *role, unsigned instance, int status, void *arg)
{
	struct seen *s = arg;
	char one[128], buf[64];

	snprintf(one, sizeof(one), "%s %u %s;", role, instance,
	    proc_status_string(status, buf, sizeof(buf)));
	strlcat(s->text, one, sizeof(s->text));
	if (--s->left == 0)
		event_base_loopbreak(s->base);
}

static void
dispatch(struct seen *s, int left)
{
	const struct timeval limit = { PATIENCE_MS / 1000, 0 };

	s->left = left;
	s->text[0] = '\0';
	event_base_loopexit(s->base, &limit);
	event_base_dispatch(s->base);
}

static const struct {
	const char *role;
	unsigned instance;
	const char *want;
} ends[] = {
	{ "exit", 0, "exit 0 exited 0;" },
	{ "exit", 1, "exit 1 exited 1;" },
	{ "exit", EXIT_SANDBOX, "exit 78 exited 78;" },
	{ "abort", 2, "abort 2 killed by signal 6 (Aborted);" },
	{ "nonesuch", 0, "nonesuch 0 exited 82;" },
};

START_TEST(test_watch)
{
	struct seen s = { event_base_new(), "", 0 };
	struct proc_watch *w = proc_watch_new(s.base, on_gone, &s);
	int link;
	pid_t pid;

	ck_assert_ptr_nonnull(w);
	pid = spawn(ends[_i].role, ends[_i].instance, CHILD_UID, &link);
	ck_assert_int_eq(
	    proc_watch_add(w, pid, ends[_i].role, ends[_i].instance), 0);
	dispatch(&s, 1);
	ck_assert_str_eq(s.text, ends[_i].want);
	proc_watch_free(&w);
	ck_assert_ptr_null(w);
	event_base_free(s.base);
}
END_TEST

/* Gone before it was added, as a child that fails at once may be. */
START_TEST(test_watch_late)
{
	struct seen s = { event_base_new(), "", 0 };
	struct proc_watch *w = proc_watch_new(s.base, on_gone, &s);
	siginfo_t si;
	int link;
	pid_t pid;

	pid = spawn("exit", 3, CHILD_UID, &link);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
	event_base_loop(s.base, EVLOOP_NONBLOCK);
	ck_assert_int_eq(proc_watch_add(w, pid, "exit", 3), 0);
	dispatch(&s, 1);
	ck_assert_str_eq(s.text, "exit 3 exited 3;");
	proc_watch_free(&w);
	event_base_free(s.base);
}
END_TEST

/* Another's child is left to him. */
START_TEST(test_watch_others)
{
	struct seen s = { event_base_new(), "", 0 };
	struct proc_watch *w = proc_watch_new(s.base, on_gone, &s);
	int link, status;
	pid_t other, pid;

	if ((other = fork()) == 0)
		_exit(5);
	ck_assert_int_gt(other, 0);
	pid = spawn("exit", 3, CHILD_UID, &link);
	ck_assert_int_eq(proc_watch_add(w, pid, "exit", 3), 0);
	dispatch(&s, 1);
	ck_assert_str_eq(s.text, "exit 3 exited 3;");
	ck_assert_int_eq(waitpid(other, &status, 0), other);
	ck_assert_int_eq(WEXITSTATUS(status), 5);
	proc_watch_free(&w);
	event_base_free(s.base);
}
END_TEST

START_TEST(test_watch_kill)
{
	struct seen s = { event_base_new(), "", 0 };
	struct proc_watch *w = proc_watch_new(s.base, on_gone, &s);
	int link[3], i;
	pid_t pid[3];

	pid[0] = spawn("hang", 0, CHILD_UID, &link[0]);
	ck_assert_str_eq(hear(link[0]), "ready seccomp 1 nnp 1\n");
	pid[1] = spawn("stuck", 1, CHILD_UID, &link[1]);
	ck_assert_str_eq(hear(link[1]), "stuck\n");
	pid[2] = spawn("hang", 2, CHILD_UID, &link[2]);
	for (i = 0; i < 3; i++)
		ck_assert_int_eq(proc_watch_add(w, pid[i], "x", 0), 0);
	proc_watch_kill(w);
	for (i = 0; i < 3; i++) {
		ck_assert_int_eq(waitpid(pid[i], NULL, WNOHANG), -1);
		ck_assert_int_eq(errno, ECHILD);
	}
	event_base_loop(s.base, EVLOOP_NONBLOCK);
	ck_assert_str_eq(s.text, "");
	proc_watch_free(&w);
	event_base_free(s.base);
}
END_TEST

/* More children in a row than there are places at a time. */
START_TEST(test_watch_many)
{
	struct seen s = { event_base_new(), "", 0 };
	struct proc_watch *w = proc_watch_new(s.base, on_gone, &s);
	int i, link;
	pid_t pid;

	for (i = 0; i < PROC_MAX + 3; i++) {
		pid = spawn("exit", 0, CHILD_UID, &link);
		ck_assert_int_eq(proc_watch_add(w, pid, "exit", 0), 0);
		dispatch(&s, 1);
		ck_assert_str_eq(s.text, "exit 0 exited 0;");
		close(link);
	}
	proc_watch_free(&w);
	event_base_free(s.base);
}
END_TEST

/* --- readiness -------------------------------------------------------- */

static const char *const notify_names[] = { "@bulkhead-test",
	"/tmp/bulkhead-test" };

START_TEST(test_notify)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct sandbox_state st;
	char name[64], buf[64];
	int fd, status;
	ssize_t n;
	pid_t pid;

	snprintf(
	    name, sizeof(name), "%s-%ld", notify_names[_i], (long)getpid());
	strlcpy(sun.sun_path, name, sizeof(sun.sun_path));
	if (name[0] == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(
	    bind(fd, (struct sockaddr *)&sun,
	        (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	            strlen(name))),
	    0);
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", name, 1), 0);
	if ((pid = fork()) == 0) {
		proc_notify_open();
		if (getenv("NOTIFY_SOCKET") != NULL ||
		    sandbox_enter(SANDBOX_PARENT, NULL, &st) == -1)
			_exit(1);
		proc_notify("READY=1");
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	ck_assert_int_eq(n, 7);
	ck_assert_mem_eq(buf, "READY=1", 7);
	if (name[0] == '/')
		unlink(name);
}
END_TEST

#define A20 "aaaaaaaaaaaaaaaaaaaa"

static const char *const notify_bad[] = { "", "@", "relative", "/nonexistent/x",
	("/" A20 A20 A20 A20 A20 A20) };

/* A nonsense address, or a listener that never reads, stops nothing. */
START_TEST(test_notify_bad)
{
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", notify_bad[_i], 1), 0);
	proc_notify_open();
	proc_notify("READY=1");
}
END_TEST

START_TEST(test_notify_full)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char name[64];
	int fd, i;

	snprintf(name, sizeof(name), "@bulkhead-test-%ld", (long)getpid());
	strlcpy(sun.sun_path + 1, name + 1, sizeof(sun.sun_path) - 1);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(
	    bind(fd, (struct sockaddr *)&sun,
	        (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	            strlen(name))),
	    0);
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", name, 1), 0);
	proc_notify_open();
	/* Each says so in the log. */
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
	for (i = 0; i < 1000; i++)
		proc_notify("WATCHDOG=1");
}
END_TEST

/* --- the suite -------------------------------------------------------- */

#define ROWS(t) (int)(sizeof(t) / sizeof((t)[0]))

static Suite *
suite(void)
{
	Suite *s = suite_create("proc");
	TCase *t = tcase_create("proc");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_words, 0, ROWS(words));
	tcase_add_loop_test(t, test_status, 0, ROWS(statuses));
	tcase_add_test(t, test_user);
	tcase_add_test(t, test_socketpair);
	tcase_add_loop_test(t, test_child, 0, 2);
	tcase_add_test(t, test_group);
	tcase_add_test(t, test_title);
	tcase_add_loop_test(t, test_places, 0, ROWS(places));
	tcase_add_test(t, test_spawn_fails);
	tcase_add_test(t, test_leak);
	tcase_add_test(t, test_signals);
	tcase_add_test(t, test_orphan);
	tcase_add_test(t, test_kill_confined);
	tcase_add_loop_test(t, test_watch, 0, ROWS(ends));
	tcase_add_test(t, test_watch_late);
	tcase_add_test(t, test_watch_others);
	tcase_add_test(t, test_watch_kill);
	tcase_add_test(t, test_watch_many);
	tcase_add_loop_test(t, test_notify, 0, ROWS(notify_names));
	tcase_add_loop_test(t, test_notify_bad, 0, ROWS(notify_bad));
	tcase_add_test(t, test_notify_full);
	suite_add_tcase(s, t);
	return s;
}

static int
run(void)
{
	SRunner *sr = srunner_create(suite());
	int failed;

	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}

/* As root everything is run twice: the second time as somebody else. */
int
main(int argc, char **argv)
{
	int failed, status;
	pid_t pid;

	if (argc > 1)
		return play(argc, argv);
	log_init(NAME, 1, 0);
	failed = run();
	if (!is_root())
		return failed;
	if ((pid = fork()) == 0) {
		if (setgid(CHILD_UID) == -1 || setuid(CHILD_UID) == -1)
			_exit(1);
		exit(run());
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		failed = 1;
	return failed;
}
