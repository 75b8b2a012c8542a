/* Starting children, and ending all of them. */

#include <sys/resource.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/fd.h"

#include "entrypoint_child.h"

#define FD_REPORT 3 /* in the child: says why exec failed */
#define EXIT_NO_EXEC 127
#define KILL_AGAIN_US 5000

extern char **environ;

/* --- in the child ----------------------------------------------------- */

static void
default_signals(void)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	sigset_t none;
	int sig;

	for (sig = 1; sig < NSIG; sig++)
		(void)sigaction(sig, &sa, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int
place_fd(int fd, int at)
{
	int null;

	if (fd != -1)
		return dup2(fd, at);
	if ((null = open("/dev/null", O_RDWR | O_CLOEXEC)) == -1)
		return -1;
	return dup2(null, at);
}

static int
limit_files(int64_t max)
{
	struct rlimit rl = { .rlim_cur = (rlim_t)max, .rlim_max = (rlim_t)max };

	return max > 0 ? setrlimit(RLIMIT_FSIZE, &rl) : 0;
}

static void __attribute__((noreturn))
child_exec(const struct child_spec *s, int report)
{
	int err;

	(void)setsid();
	system_expendable();
	if (place_fd(s->in, 0) == -1 || place_fd(s->out, 1) == -1 ||
	    place_fd(s->err, 2) == -1)
		goto fail;
	if (report != FD_REPORT) {
		if (fd_dup(report, FD_REPORT) == -1)
			goto fail;
		report = FD_REPORT;
	}
	system_close_from(FD_REPORT + 1);
	if (chdir(s->dir) == -1 || limit_files(s->file_max) == -1 ||
	    (s->alone && system_alone() == -1))
		goto fail;
	default_signals();
	environ = (char **)(uintptr_t)s->envp;
	(void)execvp(s->argv[0], s->argv);
fail:
	err = errno;
	/* Nobody is left to tell when this fails too. */
	if (write(report, &err, sizeof(err)) == -1)
		_exit(EXIT_NO_EXEC);
	_exit(EXIT_NO_EXEC);
}

/* --- in PID 1 ---------------------------------------------------------- */

/* No handler of ours may run in the child before it has default ones. */
static pid_t
fork_blocked(void)
{
	sigset_t all, old;
	pid_t pid;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &old);
	if ((pid = fork()) != 0)
		(void)sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}

/* Wait for exec: nothing comes when it worked. */
static int
read_report(int fd)
{
	int err = 0;
	ssize_t n;

	do
		n = read(fd, &err, sizeof(err));
	while (n == -1 && errno == EINTR);
	return n == (ssize_t)sizeof(err) ? err : 0;
}

pid_t
child_spawn(const struct child_spec *spec)
{
	int report[2], err;
	pid_t pid;

	if (fd_pipe(report, 0) == -1)
		return -1;
	if ((pid = fork_blocked()) == 0)
		child_exec(spec, report[1]);
	err = errno;
	(void)close(report[1]);
	if (pid != -1 && (err = read_report(report[0])) != 0) {
		(void)waitpid(pid, NULL, 0);
		pid = -1;
	}
	(void)close(report[0]);
	errno = err;
	return pid;
}

pid_t
child_fork(int (*work)(int keep, void *arg), int keep, void *arg)
{
	pid_t pid;

	if ((pid = fork_blocked()) != 0)
		return pid;
	(void)setsid();
	if (place_fd(-1, 0) == -1 || dup2(keep, FD_REPORT) == -1)
		_exit(EXIT_NO_EXEC);
	system_close_from(FD_REPORT + 1);
	(void)fd_set_cloexec(FD_REPORT);
	default_signals();
	(void)signal(SIGPIPE, SIG_IGN);
	_exit(work(FD_REPORT, arg));
}

void
child_signal(pid_t pid, int sig)
{
	if (pid <= 1)
		return;
	/* A worker may not have its session yet. */
	if (kill(-pid, sig) == -1)
		(void)kill(pid, sig);
	if (sig != SIGKILL)
		(void)kill(-pid, SIGCONT);
}

int
child_kill_others(pid_t of, int *status)
{
	int64_t until = clock_boot_ms() + CHILD_KILL_MS;
	pid_t pid;
	int st;

	do {
		system_signal_others(SIGKILL);
		while ((pid = waitpid(-1, &st, WNOHANG)) > 0)
			if (pid == of)
				*status = st;
		if (pid == -1 && errno == ECHILD)
			return 0;
		(void)usleep(KILL_AGAIN_US);
	} while (clock_boot_ms() < until);
	return -1;
}
