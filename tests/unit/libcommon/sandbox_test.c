#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <seccomp.h>

#include "libcommon/log.h"
#include "libcommon/sandbox.h"
#include "libcommon/sandbox_linux.h"

#define SYSCALLS 480 /* more than any kernel has */
/* Forks of an instrumented program are slow: there, a part of them. */
#ifdef BULKHEAD_SANITIZE
#define STEP 5
#else
#define STEP 1
#endif
#define OTHER_UID 65533

static const struct {
	const char *name;
	int want;
} names[] = {
	{ "parent", SANDBOX_PARENT },
	{ "audit", SANDBOX_AUDIT },
	{ "frontend", SANDBOX_FRONTEND },
	{ "proxy", SANDBOX_PROXY },
	{ "resolver", SANDBOX_RESOLVER },
	{ "fw", SANDBOX_FW },
	{ "engine", SANDBOX_ENGINE },
	{ "runs", SANDBOX_RUNS },
	{ "queue", SANDBOX_QUEUE },
	{ "dispatch", SANDBOX_DISPATCH },
	{ "", -1 },
	{ "Proxy", -1 },
	{ "proxy ", -1 },
	{ "unknown", -1 },
};

START_TEST(test_names)
{
	ck_assert_int_eq(sandbox_purpose(names[_i].name), names[_i].want);
	if (names[_i].want != -1)
		ck_assert_str_eq(
		    sandbox_name((enum sandbox_purpose)names[_i].want),
		    names[_i].name);
}
END_TEST

START_TEST(test_no_purpose)
{
	struct sandbox_state st = { false, -7, false };

	ck_assert_int_eq(sandbox_enter(SANDBOX_PURPOSES, NULL, &st), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(st.landlock, -7);
	ck_assert_str_eq(sandbox_name(SANDBOX_PURPOSES), "unknown");
	ck_assert_int_eq(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 0);
}
END_TEST

/* Every row's call exists here, and on the other machine as its flag says. */
START_TEST(test_rows)
{
	struct sandbox_table tables[SANDBOX_TABLES_MAX];
	const struct sandbox_rule *r;
	size_t i, j, n;
	int nr;

	n = sandbox_rules((enum sandbox_purpose)_i, tables);
	ck_assert_uint_le(n, SANDBOX_TABLES_MAX);
	for (i = 0; i < n; i++) {
		for (j = 0; j < tables[i].n; j++) {
			r = &tables[i].rules[j];
			ck_assert_uint_lt(r->nargs, SANDBOX_RULE_ARGS);
			nr = seccomp_syscall_resolve_name_arch(
			    SCMP_ARCH_X86_64, r->name);
			ck_assert_msg(nr >= 0, "%s", r->name);
			nr = seccomp_syscall_resolve_name_arch(
			    SCMP_ARCH_AARCH64, r->name);
			ck_assert_msg(
			    (nr < 0) == ((r->flags & RULE_OLD_ARCH) != 0), "%s",
			    r->name);
		}
	}
}
END_TEST

static bool
has_row(enum sandbox_purpose purpose, int nr)
{
	struct sandbox_table tables[SANDBOX_TABLES_MAX];
	size_t i, j, n;

	n = sandbox_rules(purpose, tables);
	for (i = 0; i < n; i++) {
		for (j = 0; j < tables[i].n; j++) {
			if (seccomp_syscall_resolve_name(
			        tables[i].rules[j].name) == nr)
				return true;
		}
	}
	return false;
}

/* The wait status of what a confined child does with one call. */
static int
confined(enum sandbox_purpose purpose, int (*act)(const void *),
    const void *arg, const struct sandbox_paths *paths)
{
	const struct rlimit none = { 0, 0 };
	struct sandbox_state st;
	int status;
	pid_t pid;

	if ((pid = fork()) == 0) {
		setrlimit(RLIMIT_CORE, &none);
		if (sandbox_enter(purpose, paths, &st) == -1)
			_exit(200);
		_exit(act(arg));
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static int
act_call(const void *arg)
{
	syscall(*(const int *)arg, -1, 0, 0, 0, 0, 0);
	return 0;
}

/*
 * Two of x86-64, uretprobe and uprobe, reach no filter: the kernel answers
 * them for its own trampolines only.
 */
static bool
unfiltered(int nr)
{
	return seccomp_arch_native() == SCMP_ARCH_X86_64 &&
	    (nr == 335 || nr == 336);
}

/* Whatever has no row kills: each number, in a child of its own. */
START_TEST(test_every_call)
{
	enum sandbox_purpose purpose = (enum sandbox_purpose)_i;
	int killed = 0, nr, status;

	for (nr = 0; nr < SYSCALLS; nr += STEP) {
		if (has_row(purpose, nr) || unfiltered(nr))
			continue;
		status = confined(purpose, act_call, &nr, NULL);
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS,
		    "%s: call %d: status %x", sandbox_name(purpose), nr,
		    (unsigned)status);
		killed++;
	}
	ck_assert_int_gt(killed, SYSCALLS / STEP - 130 / STEP);
}
END_TEST

START_TEST(test_selftest)
{
	ck_assert_int_eq(sandbox_selftest((enum sandbox_purpose)_i), 0);
}
END_TEST

/* The same by somebody who is nobody here. */
START_TEST(test_selftest_user)
{
	int status;
	pid_t pid;

	if (geteuid() != 0)
		return;
	if ((pid = fork()) == 0) {
		if (setgid(OTHER_UID) == -1 || setuid(OTHER_UID) == -1)
			_exit(200);
		_exit(sandbox_selftest((enum sandbox_purpose)_i));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* --- the parent's files ----------------------------------------------- */

struct reading {
	const char *replace; /* renamed over path by then */
	const char *path;
};

static int
act_read(const void *arg)
{
	const struct reading *r = arg;
	char c;
	int fd;

	fd = open(r->path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return errno;
	return read(fd, &c, 1) == 1 && c == 'x' ? 0 : 201;
}

static char dir[] = "/tmp/bulkhead-sandbox-XXXXXX";

static void
make_file(const char *sub, const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, sub);
	(void)mkdir(path, 0755);
	strlcat(path, name, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	close(fd);
}

static void
make_files(void)
{
	char path[128];

	ck_assert_ptr_nonnull(mkdtemp(dir));
	make_file("a", "/conf");
	make_file("b", "/other");
	make_file("real", "/resolv");
	snprintf(path, sizeof(path), "%s/a/link", dir);
	ck_assert_int_eq(symlink("../real/resolv", path), 0);
}

static void
remove_files(void)
{
	static const char *const all[] = { "a/conf", "a/link", "b/other",
		"real/resolv", "a", "b", "real", "" };
	char path[128];
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, all[i]);
		ck_assert_int_eq(remove(path), 0);
	}
}

/* Paths below the test's directory: what was listed, what is read. */
static const struct {
	const char *name;
	const char *listed[3];
	const char *read;
	int want;
} files[] = {
	{ "nothing listed", { NULL }, "a/conf", EACCES },
	{ "listed", { "a/conf" }, "a/conf", 0 },
	{ "another", { "a/conf" }, "b/other", EACCES },
	{ "absent is skipped", { "none", "a/conf" }, "a/conf", 0 },
	{ "absent below a file", { "a/conf/x", "a/conf" }, "a/conf", 0 },
	{ "a directory", { "a" }, "a/conf", 0 },
	{ "beside the directory", { "a" }, "b/other", EACCES },
	{ "through a link", { "a/link" }, "a/link", 0 },
	{ "a link's own place is not", { "a/link" }, "a/conf", EACCES },
	{ "a link out of what is listed", { "a/conf" }, "a/link", EACCES },
	{ "two", { "a/conf", "b/other" }, "b/other", 0 },
};

START_TEST(test_files)
{
	char listed[3][128], path[128];
	const char *list[4] = { NULL };
	const struct sandbox_paths paths = { .read = list };
	struct reading r = { NULL, path };
	int i, status;

	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 1)
		return;
	make_files();
	for (i = 0; i < 3 && files[_i].listed[i] != NULL; i++) {
		snprintf(listed[i], sizeof(listed[i]), "%s/%s", dir,
		    files[_i].listed[i]);
		list[i] = listed[i];
	}
	snprintf(path, sizeof(path), "%s/%s", dir, files[_i].read);
	status = confined(SANDBOX_PARENT, act_read, &r, &paths);
	ck_assert_msg(status == files[_i].want << 8, "%s: %s", files[_i].name,
	    strerror(WEXITSTATUS(status)));
	remove_files();
}
END_TEST

/* A file that was replaced behind the door, as editors do, is still read. */
START_TEST(test_replaced)
{
	char conf[128], other[128];
	const char *list[] = { conf, NULL };
	const struct sandbox_paths paths = { .read = list };
	struct reading r = { NULL, conf };
	struct sandbox_state st;
	int go[2], status;
	char c;
	pid_t pid;

	make_files();
	snprintf(conf, sizeof(conf), "%s/a/conf", dir);
	snprintf(other, sizeof(other), "%s/b/other", dir);
	ck_assert_int_eq(pipe(go), 0);
	if ((pid = fork()) == 0) {
		if (sandbox_enter(SANDBOX_PARENT, &paths, &st) == -1 ||
		    read(go[0], &c, 1) != 1)
			_exit(200);
		_exit(act_read(&r));
	}
	usleep(100 * 1000);
	ck_assert_int_eq(rename(other, conf), 0);
	ck_assert_int_eq(write(go[1], "x", 1), 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	make_file("b", "/other");
	remove_files();
}
END_TEST

static int
act_abort(const void *arg)
{
	abort();
}

static int
act_exit(const void *arg)
{
	/* A leak, and the handlers of exit: neither ends it otherwise. */
	char *lost = malloc(100);

	if (lost != NULL)
		lost[0] = 'x';
	lost = NULL;
	exit(lost == NULL ? 3 : 4);
}

static int
act_kernel_exec(const void *arg)
{
	void *p;

	p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
	    -1, 0);
	return p == MAP_FAILED ? errno : 0;
}

static const struct {
	const char *name;
	enum sandbox_purpose purpose;
	int (*act)(const void *);
	int want;
} acts[] = {
	{ "abort", SANDBOX_PROXY, act_abort, SIGABRT },
	{ "abort, parent", SANDBOX_PARENT, act_abort, SIGABRT },
	{ "exit", SANDBOX_PROXY, act_exit, 3 << 8 },
	{ "exit, parent", SANDBOX_PARENT, act_exit, 3 << 8 },
	{ "a library's code", SANDBOX_PARENT, act_kernel_exec, EACCES << 8 },
	{ "code", SANDBOX_AUDIT, act_kernel_exec, SIGSYS },
};

START_TEST(test_acts)
{
	int status = confined(acts[_i].purpose, acts[_i].act, NULL, NULL);

	ck_assert_msg((status & ~0x80) == acts[_i].want, "%s: status %x",
	    acts[_i].name, (unsigned)status);
}
END_TEST

#define ROWS(t) (int)(sizeof(t) / sizeof((t)[0]))

int
main(void)
{
	Suite *s = suite_create("sandbox");
	TCase *t = tcase_create("sandbox");
	SRunner *sr;
	int failed;

	log_init("sandbox_test", 1, 0);
	tcase_set_timeout(t, 100);
	tcase_add_loop_test(t, test_names, 0, ROWS(names));
	tcase_add_test(t, test_no_purpose);
	tcase_add_loop_test(t, test_rows, 0, SANDBOX_PURPOSES);
	tcase_add_loop_test(t, test_selftest, 0, SANDBOX_PURPOSES);
	tcase_add_loop_test(t, test_selftest_user, 0, SANDBOX_PURPOSES);
	tcase_add_loop_test(t, test_files, 0, ROWS(files));
	tcase_add_test(t, test_replaced);
	tcase_add_loop_test(t, test_acts, 0, ROWS(acts));
	tcase_add_loop_test(t, test_every_call, 0, SANDBOX_PURPOSES);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
