/*
 * Behind the release: the clone, the tool, the harvest; each a child that is
 * minded. However it goes, it ends with `over` and `harvested`: the rest is
 * handing over.
 */

#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/fd.h"
#include "libcommon/log.h"

#include "entrypoint.h"

#define WORKER_SLACK_MS 10000 /* its own limit comes first */
#define EXIT_NO_PROGRAM 127
#define EXIT_NO_EXEC 126

_Static_assert(GIT_HARVEST_MS + WORKER_SLACK_MS <= HARVEST_AGENT_MS,
    "a harvest takes longer than dispatchd knows");

static void start_tool(struct entry *e);

static const struct msg_agent_start *
start_of(const struct entry *e)
{
	return &e->start.u.agent_start;
}

/* --- ends -------------------------------------------------------------------
 */

static void
harvested(struct entry *e)
{
	e->harvested = true;
	e->hold_ms = clock_boot_ms();
	entry_set(e, ENTRY_FINISH);
	hand_push(e);
}

static void
over(struct entry *e, const char *reason, const char *detail)
{
	e->over = true;
	e->reason = reason;
	if (detail != NULL)
		(void)strlcpy(e->detail, detail, sizeof(e->detail));
	feed_free(&e->feed);
}

/* The tool was never there, so there is no work. */
static void
over_early(struct entry *e, const char *reason, int code, const char *detail)
{
	e->exit_code = code;
	over(e, reason, detail);
	e->git.end = GIT_FAILED;
	(void)strlcpy(e->git.why, "the tool did not run", sizeof(e->git.why));
	harvested(e);
}

static void
over_errno(struct entry *e, const char *what)
{
	char why[ENTRY_WHY_MAX];

	(void)snprintf(why, sizeof(why), "%s: %s", what, strerror(errno));
	over_early(e, "internal", -1, why);
}

/* --- workers
 * ------------------------------------------------------------------ */

static int
work_clone(int fd, void *arg)
{
	struct git_result r;

	git_clone(arg, &r);
	return write(fd, &r, sizeof(r)) == (ssize_t)sizeof(r) ? 0 : 1;
}

static int
work_harvest(int fd, void *arg)
{
	struct git_result r;

	git_harvest(arg, &r);
	return write(fd, &r, sizeof(r)) == (ssize_t)sizeof(r) ? 0 : 1;
}

/* A result is smaller than a pipe: nobody needs to read before it ends. */
static int
start_worker(
    struct entry *e, int (*work)(int fd, void *arg), int64_t deadline_ms)
{
	int fds[2];
	pid_t pid;

	if (fd_pipe(fds, O_NONBLOCK) == -1)
		return -1;
	pid = child_fork(work, fds[1], &e->job);
	(void)close(fds[1]);
	if (pid == -1) {
		(void)close(fds[0]);
		return -1;
	}
	e->result = fds[0];
	ward_watch(e->ward, pid, deadline_ms);
	return 0;
}

/* A worker that was killed has none; who writes here is us, not the tool. */
static void
take_result(struct entry *e)
{
	struct git_result r;

	if (read(e->result, &r, sizeof(r)) != (ssize_t)sizeof(r)) {
		memset(&r, 0, sizeof(r));
		r.end = GIT_FAILED;
		(void)strlcpy(r.why, "git was killed, or had no time left",
		    sizeof(r.why));
	}
	(void)close(e->result);
	e->result = -1;
	e->git = r;
}

static int64_t
at_most(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* --- what everything needs
 * ------------------------------------------------------ */

static int
make_dirs(struct entry *e)
{
	if (mkdir(e->where->work, 0755) == -1 && errno != EEXIST)
		return -1;
	return private_dir(e->where->private);
}

static int
make_env(struct entry *e)
{
	const struct msg_agent_start *s = start_of(e);
	struct env_input in = { .run = s->run,
		.proxy = s->proxy,
		.home = e->where->home,
		.env = s->env };

	if (e->ca.len > 0) {
		(void)snprintf(e->ca_file, sizeof(e->ca_file), "%s/roots.pem",
		    e->where->private);
		if (roots_file(e->ca_file, e->ca.buf, e->ca.len) == -1)
			return -1;
		in.ca_file = e->ca_file;
	}
	if (strcmp(s->prompt_by, "file") == 0) {
		(void)snprintf(e->prompt_file, sizeof(e->prompt_file),
		    "%s/prompt", e->where->private);
		if (private_file(
		        e->prompt_file, e->prompt.buf, e->prompt.len) == -1)
			return -1;
		in.prompt_file = e->prompt_file;
	}
	return env_build(&in, &e->env);
}

static void
make_job(struct entry *e)
{
	const struct msg_agent_start *s = start_of(e);
	struct git_job *j = &e->job;

	(void)snprintf(e->work, sizeof(e->work), "%s%s%s", e->where->work,
	    s->repo[0] != '\0' ? "/" : "",
	    s->repo[0] != '\0' ? s->directory : "");
	(void)snprintf(e->keep, sizeof(e->keep), "%s/base", e->where->private);
	j->url = s->repo;
	j->protocol = e->where->protocol;
	j->base = s->base;
	j->branch = s->branch;
	j->work = e->work;
	j->keep = e->keep;
	j->home = e->where->home;
	j->spare = e->where->spare;
	j->bundle_max = s->bundle_limit;
	j->envp = e->env.v;
}

void
run_begin(struct entry *e)
{
	int64_t now = clock_boot_ms();
	int64_t limit = start_of(e)->deadline_ms;

	e->deadline_ms = limit < INT64_MAX - now ? now + limit : INT64_MAX;
	if (make_dirs(e) == -1 || make_env(e) == -1) {
		over_errno(e, "the tool's files");
		return;
	}
	make_job(e);
	if (e->ca.buf != NULL)
		freezero(e->ca.buf, e->ca.want);
	memset(&e->ca, 0, sizeof(e->ca));
	if (start_of(e)->repo[0] == '\0') {
		start_tool(e);
		return;
	}
	hand_phase(e, "cloning", NULL);
	if (start_worker(e, work_clone,
	        at_most(e->deadline_ms,
	            now + GIT_CLONE_MS + WORKER_SLACK_MS)) == -1)
		over_errno(e, "fork");
}

static void
clone_ended(struct entry *e, enum ward_end end)
{
	take_result(e);
	if (end == WARD_STOPPED) {
		over_early(e, "stop", -1, NULL);
	} else if (end == WARD_DEADLINE && clock_boot_ms() >= e->deadline_ms) {
		over_early(e, "deadline", -1, "while cloning");
	} else if (e->git.end != GIT_DONE) {
		over_early(e, "clone", -1, e->git.why);
	} else {
		(void)strlcpy(e->job.base_commit, e->git.base,
		    sizeof(e->job.base_commit));
		hand_phase(e, "cloned", e->git.base);
		start_tool(e);
	}
}

/* --- the tool
 * --------------------------------------------------------------------- */

/* Its standard input: the prompt, which the feed owns from here. */
static int
open_stdin(struct entry *e, int *theirs)
{
	int fds[2];

	*theirs = -1;
	if (strcmp(start_of(e)->prompt_by, "stdin") != 0)
		return 0;
	if (fd_pipe(fds, 0) == -1)
		return -1;
	e->feed = feed_new(e->base, fds[1], e->prompt.buf, e->prompt.len);
	memset(&e->prompt, 0, sizeof(e->prompt));
	if (e->feed == NULL) {
		(void)close(fds[0]);
		errno = ENOMEM;
		return -1;
	}
	*theirs = fds[0];
	return 0;
}

static void
close_fd(int fd)
{
	if (fd != -1)
		(void)close(fd);
}

static pid_t
spawn_tool(struct entry *e, char *const *argv)
{
	struct child_spec spec = { .dir = e->work,
		.argv = argv,
		.envp = e->env.v,
		.in = -1,
		.out = -1,
		.err = -1 };
	pid_t pid = -1;
	int err;

	if (output_open(e->output, &spec.out, &spec.err) == 0 &&
	    open_stdin(e, &spec.in) == 0)
		pid = child_spawn(&spec);
	err = errno;
	close_fd(spec.in);
	close_fd(spec.out);
	close_fd(spec.err);
	errno = err;
	return pid;
}

/* As a shell would say it. */
static void
not_started(struct entry *e, const char *program)
{
	char why[ENTRY_WHY_MAX];
	int code = errno == ENOENT ? EXIT_NO_PROGRAM : EXIT_NO_EXEC;

	(void)snprintf(
	    why, sizeof(why), "%.128s: %s", program, strerror(errno));
	over_early(e, "tool", code, why);
}

static void
start_tool(struct entry *e)
{
	const struct msg_agent_start *s = start_of(e);
	bool argument = strcmp(s->prompt_by, "argument") == 0;
	static const uint8_t empty[1];
	const uint8_t *prompt = NULL;
	struct words argv = { 0 };
	char why[ENTRY_WHY_MAX];
	pid_t pid;

	if (argument)
		prompt = e->prompt.buf != NULL ? e->prompt.buf : empty;
	if (argv_build(&s->argv, prompt, e->prompt.len, &argv, why,
	        sizeof(why)) == -1) {
		words_free(&argv);
		over_early(e, "internal", -1, why);
		return;
	}
	entry_set(e, ENTRY_TOOL);
	if ((pid = spawn_tool(e, argv.v)) == -1) {
		not_started(e, s->argv.v[0]);
	} else {
		ward_watch(e->ward, pid, e->deadline_ms);
		hand_phase(e, "tool", NULL);
	}
	words_free(&argv);
	freezero(e->prompt.buf, e->prompt.want);
	memset(&e->prompt, 0, sizeof(e->prompt));
}

static void
harvest(struct entry *e)
{
	if (start_of(e)->repo[0] == '\0') {
		memset(&e->git, 0, sizeof(e->git));
		e->git.end = GIT_NOTHING;
		harvested(e);
		return;
	}
	entry_set(e, ENTRY_BUNDLE);
	hand_phase(e, "bundling", NULL);
	if (start_worker(e, work_harvest,
	        clock_boot_ms() + GIT_HARVEST_MS + WORKER_SLACK_MS) == -1) {
		e->git.end = GIT_FAILED;
		(void)snprintf(e->git.why, sizeof(e->git.why), "fork: %s",
		    strerror(errno));
		harvested(e);
	}
}

static void
tool_ended(struct entry *e, enum ward_end end, int status)
{
	static const char *const reasons[] = { [WARD_EXITED] = "tool",
		[WARD_STOPPED] = "stop",
		[WARD_DEADLINE] = "deadline" };

	entry_set(e, ENTRY_DRAIN);
	e->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	e->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	over(e, reasons[end], NULL);
	output_drain(e->output);
	harvest(e);
	hand_push(e);
}

static void
harvest_ended(struct entry *e)
{
	take_result(e);
	if (e->git.end == GIT_FAILED)
		log_warnx("no bundle: %s", e->git.why);
	else if (e->git.why[0] != '\0')
		log_warnx("not all of it: %s", e->git.why);
	harvested(e);
}

/* --- from outside
 * ------------------------------------------------------------------ */

void
run_child_ended(enum ward_end end, int status, void *arg)
{
	struct entry *e = arg;

	switch (e->state) {
	case ENTRY_CLONE:
		clone_ended(e, end);
		break;
	case ENTRY_TOOL:
		tool_ended(e, end, status);
		break;
	case ENTRY_BUNDLE:
		harvest_ended(e);
		break;
	case ENTRY_CONNECT:
	case ENTRY_START:
	case ENTRY_PROVE:
	case ENTRY_WAIT_RELEASE:
	case ENTRY_DRAIN:
	case ENTRY_FINISH:
		break;
	}
}

void
run_stop(struct entry *e, int64_t grace_ms)
{
	/* The harvest is what a stopped run still has. */
	if (e->state == ENTRY_CLONE || e->state == ENTRY_TOOL)
		ward_stop(e->ward, grace_ms);
}
