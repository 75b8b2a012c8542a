#include <sys/resource.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/log.h"
#include "libcommon/sandbox.h"
#include "libcommon/sandbox_linux_selftest.h"

#define EXIT_ALLOWED 0
#define EXIT_CLOSED 255 /* the sandbox could not be entered */

/*
 * Enter as the purpose does and act in a child; returns its wait status.
 */
static int
in_child(enum sandbox_purpose purpose, const struct sandbox_paths *paths,
    int (*act)(const struct selftest_fds *), const struct selftest_fds *f)
{
	const struct rlimit none = { 0, 0 };
	struct sandbox_state st;
	int status;
	pid_t pid;

	fflush(stdout);
	if ((pid = fork()) == -1)
		return -1;
	if (pid == 0) {
		(void)setrlimit(RLIMIT_CORE, &none);
		if (sandbox_enter(purpose, paths, &st) == -1)
			_exit(EXIT_CLOSED);
		_exit(act(f) == 0 ? EXIT_ALLOWED : errno & 0xff);
	}
	while (waitpid(pid, &status, 0) == -1) {
		if (errno != EINTR)
			return -1;
	}
	return status;
}

static const char *
outcome(int status)
{
	static char buf[64];
	const char *name;

	if (status == -1)
		return "could not be tried";
	if (WIFSIGNALED(status)) {
		snprintf(
		    buf, sizeof(buf), "killed by signal %d", WTERMSIG(status));
		return buf;
	}
	if (WEXITSTATUS(status) == EXIT_ALLOWED)
		return "allowed";
	if (WEXITSTATUS(status) == EXIT_CLOSED)
		return "sandbox could not be entered";
	name = strerrorname_np(WEXITSTATUS(status));
	return name != NULL ? name : "failed";
}

/*
 * Stopped is what the sandbox says, not what the system happens to lack: a
 * refused connection went out.
 */
static bool
stopped(int status)
{
	if (status == -1)
		return false;
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ||
		    WTERMSIG(status) == SIGSEGV;
	switch (WEXITSTATUS(status)) {
	case EACCES:
	case EPERM:
	case ENOSYS:
	case ENOTTY:
		return true;
	default:
		return false;
	}
}

static bool
worked(int status)
{
	return status != -1 && WIFEXITED(status) &&
	    WEXITSTATUS(status) == EXIT_ALLOWED;
}

/*
 * Every act of the list that concerns the purpose, one line each. Returns how
 * many did not come out as wanted.
 */
static int
act_all(enum sandbox_purpose purpose, const struct sandbox_paths *paths,
    const struct selftest_act *acts, size_t n, bool forbidden,
    const struct selftest_fds *f)
{
	size_t i;
	int failed = 0, status;
	bool ok;

	for (i = 0; i < n; i++) {
		if (!(acts[i].purposes & SELFTEST_PURPOSE(purpose)))
			continue;
		status = in_child(purpose, paths, acts[i].act, f);
		ok = forbidden ? stopped(status) : worked(status);
		failed += !ok;
		printf("%s %s %s%s: %s\n", ok ? "ok" : "not ok",
		    sandbox_name(purpose), forbidden ? "" : "needs ",
		    acts[i].name, outcome(status));
	}
	return failed;
}

/*
 * What the purpose names when it enters. A parent's own files are left out
 * while it tries what it must not do: /etc/passwd stands for any other.
 */
static const struct sandbox_paths *
paths_of(enum sandbox_purpose purpose, bool forbidden,
    const struct selftest_fds *f, struct sandbox_paths *paths)
{
	static const char *const listed[] = { "/etc/passwd", NULL };

	memset(paths, 0, sizeof(*paths));
	switch (purpose) {
	case SANDBOX_RUNS:
	case SANDBOX_QUEUE:
		paths->dir = f->dir;
		return paths;
	case SANDBOX_PARENT:
	case SANDBOX_DISPATCH:
		paths->read = listed;
		paths->dir = purpose == SANDBOX_DISPATCH ? f->dir : 0;
		return forbidden ? NULL : paths;
	default:
		return NULL;
	}
}

int
sandbox_selftest(enum sandbox_purpose purpose)
{
	const struct selftest_act *acts;
	struct sandbox_paths paths;
	struct selftest_fds f;
	size_t n;
	int failed;

	if (sandbox_selftest_open(&f) == -1) {
		log_warn("selftest %s", sandbox_name(purpose));
		return 1;
	}
	n = sandbox_selftest_attempts(&acts);
	failed = act_all(
	    purpose, paths_of(purpose, true, &f, &paths), acts, n, true, &f);
	n = sandbox_selftest_needs(&acts);
	failed += act_all(
	    purpose, paths_of(purpose, false, &f, &paths), acts, n, false, &f);
	sandbox_selftest_close(&f);
	fflush(stdout);
	return failed;
}
