/*
 * One call of git: settings that beat the repository's own, an environment
 * without anybody else's, a time limit, and no terminal.
 */

#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/fd.h"
#include "libcommon/log.h"

#include "entrypoint_child.h"
#include "entrypoint_git.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define POLL_MS 50 /* how late an end may be noticed */
#define POLL_SILENT_MS 2 /* and once its pipes are closed */
#define READ_MAX 4096

/* For every call: nothing runs that is not git, nothing waits. */
static const char *const settings[] = {
	"core.hooksPath=/dev/null",
	"core.fsmonitor=false",
	"core.untrackedCache=false",
	"core.attributesFile=/dev/null",
	"core.askPass=/bin/false",
	"core.sshCommand=/bin/false",
	"core.bigFileThreshold=16m",
	"credential.helper=",
	"submodule.recurse=false",
	"fetch.recurseSubmodules=false",
	"gc.auto=0",
	"maintenance.auto=false",
	"commit.gpgSign=false",
	"pack.threads=1",
	"pack.windowMemory=64m",
	"advice.detachedHead=false",
	"advice.addEmbeddedRepo=false",
	"safe.directory=*",
	/* Where the profile's own identity is not whole. */
	"user.name=agent",
	"user.email=agent@bulkhead.invalid",
};

/* Beyond the tool's environment; these names in it are dropped. */
static const char *const quiet_env[] = { "GIT_CONFIG_NOSYSTEM=1",
	"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
	"GIT_ATTR_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
	"GIT_NO_REPLACE_OBJECTS=1", "GIT_OPTIONAL_LOCKS=0",
	"GIT_EDITOR=:", "GIT_PAGER=cat", "XDG_CONFIG_HOME=/nonexistent",
	"GIT_PROTOCOL_FROM_USER=0", "GIT_NO_LAZY_FETCH=1" };

/* Of the tool's environment these alone mean something to git. */
static const char *const kept_env[] = { "PATH=", "HOME=", "HTTP_PROXY=",
	"HTTPS_PROXY=", "http_proxy=", "https_proxy=", "NO_PROXY=", "no_proxy=",
	"GIT_SSL_CAINFO=", "SSL_CERT_FILE=", "GIT_AUTHOR_NAME=",
	"GIT_AUTHOR_EMAIL=", "GIT_COMMITTER_NAME=", "GIT_COMMITTER_EMAIL=" };

struct call {
	pid_t pid;
	int out, err; /* our ends, -1 when closed */
	size_t outlen, errlen;
	char errors[GIT_OUT_MAX];
};

static bool
is_kept(const char *s)
{
	size_t i;

	for (i = 0; i < COUNT(kept_env); i++)
		if (strncmp(s, kept_env[i], strlen(kept_env[i])) == 0)
			return true;
	return false;
}

int
git_open(struct git *g, const struct git_job *job, const char *protocol,
    int64_t limit_ms)
{
	char allow[64];
	size_t i;

	memset(g, 0, sizeof(*g));
	g->job = job;
	g->to = -1;
	g->deadline_ms = clock_boot_ms() + limit_ms;
	for (i = 0; job->envp[i] != NULL; i++)
		if (is_kept(job->envp[i]) &&
		    words_add(&g->env, job->envp[i]) == -1)
			return -1;
	for (i = 0; i < COUNT(quiet_env); i++)
		if (words_add(&g->env, quiet_env[i]) == -1)
			return -1;
	/* Unlike a setting it has no protocol.*.allow beside it. */
	(void)snprintf(allow, sizeof(allow), "GIT_ALLOW_PROTOCOL=%s", protocol);
	return words_add(&g->env, allow);
}

void
git_close(struct git *g)
{
	words_free(&g->env);
}

bool
git_name_valid(const char *s)
{
	size_t n = strlen(s);

	return (n == 40 || n == 64) && strspn(s, "0123456789abcdef") == n;
}

/* --- starting ---------------------------------------------------------- */

static int
add_word(const char *v[GIT_ARGS_MAX + 2 * COUNT(settings) + 8], size_t *n,
    const char *word)
{
	if (*n + 1 >= GIT_ARGS_MAX + 2 * COUNT(settings) + 8)
		return -1;
	v[(*n)++] = word;
	v[*n] = NULL;
	return 0;
}

static pid_t
spawn(struct git *g, const char *dir, int64_t file_max, const char *const *args,
    int out, int err)
{
	const char *v[GIT_ARGS_MAX + 2 * COUNT(settings) + 8];
	struct child_spec spec = { .dir = dir,
		.envp = g->env.v,
		.in = -1,
		.out = out,
		.err = err,
		.file_max = file_max,
		.alone = g->alone };
	size_t i, n = 0;

	(void)add_word(v, &n, "git");
	for (i = 0; i < COUNT(settings); i++) {
		(void)add_word(v, &n, "-c");
		(void)add_word(v, &n, settings[i]);
	}
	for (i = 0; args[i] != NULL; i++)
		if (add_word(v, &n, args[i]) == -1) {
			errno = E2BIG;
			return -1;
		}
	spec.argv = (char *const *)(uintptr_t)v;
	return child_spawn(&spec);
}

static int
start(struct git *g, struct call *c, const char *dir, int64_t file_max,
    const char *const *args)
{
	int out[2] = { -1, -1 }, err[2] = { -1, -1 };

	c->pid = -1;
	c->out = c->err = -1;
	c->outlen = c->errlen = 0;
	if ((g->to != -1 || fd_pipe(out, 0) == 0) && fd_pipe(err, 0) == 0)
		c->pid = spawn(g, dir, file_max, args,
		    g->to != -1 ? g->to : out[1], err[1]);
	if (c->pid == -1)
		(void)snprintf(
		    g->err, sizeof(g->err), "git: %s", strerror(errno));
	if (out[1] != -1)
		(void)close(out[1]);
	if (err[1] != -1)
		(void)close(err[1]);
	c->out = out[0];
	c->err = err[0];
	return c->pid == -1 ? -1 : 0;
}

/* --- listening ---------------------------------------------------------- */

/* Keep the first bytes of output; of errors the last, they say why. */
static void
keep(char *buf, size_t *len, const char *in, size_t n, bool last)
{
	const size_t max = GIT_OUT_MAX - 1;
	size_t drop;

	if (!last && n > max - *len)
		n = max - *len;
	if (last && *len + n > max) {
		drop = *len + n - max;
		if (drop >= *len) {
			in += drop - *len;
			n -= drop - *len;
			*len = 0;
		} else {
			memmove(buf, buf + drop, *len - drop);
			*len -= drop;
		}
	}
	memcpy(buf + *len, in, n);
	*len += n;
	buf[*len] = '\0';
}

static void
hear(int *fd, char *buf, size_t *len, bool last)
{
	char in[READ_MAX];
	ssize_t n = read(*fd, in, sizeof(in));

	if (n > 0) {
		keep(buf, len, in, (size_t)n, last);
	} else if (n == 0 || errno != EINTR) {
		(void)close(*fd);
		*fd = -1;
	}
}

/* A grandchild may hold the pipes for ever: the end of git is the end. */
static int
wait_for(struct git *g, struct call *c, int64_t until)
{
	struct pollfd fds[2];
	int status = 0, ms;
	pid_t pid = 0;

	while (clock_boot_ms() < until) {
		ms = c->out == -1 && c->err == -1 ? POLL_SILENT_MS : POLL_MS;
		fds[0].fd = c->out;
		fds[1].fd = c->err;
		fds[0].events = fds[1].events = POLLIN;
		fds[0].revents = fds[1].revents = 0;
		if (poll(fds, 2, pid != 0 ? 0 : ms) > 0) {
			if (fds[0].revents != 0)
				hear(&c->out, g->out, &c->outlen, false);
			if (fds[1].revents != 0)
				hear(&c->err, c->errors, &c->errlen, true);
			if (pid == 0)
				pid = waitpid(c->pid, &status, WNOHANG);
			continue;
		}
		if (pid != 0)
			break;
		pid = waitpid(c->pid, &status, WNOHANG);
	}
	(void)kill(-c->pid, SIGKILL);
	if (pid != 0)
		return status;
	(void)waitpid(c->pid, &status, 0);
	return -1;
}

/* The first line that names something which was passed over. */
static void
first_of(struct git *g, const char *errors)
{
	static const char *const begins[] = { "error: ", "warning: could not" };
	const char *p = errors;
	size_t i, n;

	for (; *p != '\0'; p += n + (p[n] == '\n')) {
		n = strcspn(p, "\n");
		for (i = 0; i < COUNT(begins); i++)
			if (strncmp(p, begins[i], strlen(begins[i])) == 0) {
				(void)log_escape(
				    g->first, sizeof(g->first), p, n);
				return;
			}
	}
}

/*
 * The last line that says something, as printable ASCII: it holds names and
 * words of strangers in whatever bytes they like, and goes into messages.
 */
static void
read_errors(struct git *g, struct call *c)
{
	char *p;

	c->errors[c->errlen] = '\0';
	while (c->errlen > 0 && strchr("\r\n ", c->errors[c->errlen - 1]))
		c->errors[--c->errlen] = '\0';
	p = strrchr(c->errors, '\n');
	p = p != NULL ? p + 1 : c->errors;
	(void)log_escape(g->err, sizeof(g->err), p, strlen(p));
	first_of(g, c->errors);
}

static void
trim(char *s, size_t n)
{
	s[n] = '\0';
	while (n > 0 && s[n - 1] == '\n')
		s[--n] = '\0';
}

/* What git is to do, behind the options that have a word of their own. */
static const char *
verb(const char *const *args)
{
	while (args[0] != NULL && args[1] != NULL && args[0][0] == '-')
		args += 2;
	return args[0] != NULL ? args[0] : "";
}

int
git_run(struct git *g, const char *dir, int64_t limit_ms, int64_t file_max,
    const char *const *args)
{
	int64_t until = clock_boot_ms() + limit_ms;
	struct call c = { 0 };
	int status = -1;

	if (until > g->deadline_ms)
		until = g->deadline_ms;
	g->out[0] = g->err[0] = g->first[0] = '\0';
	if (start(g, &c, dir, file_max, args) == 0) {
		status = wait_for(g, &c, until);
		trim(g->out, c.outlen);
		read_errors(g, &c);
	}
	if (c.out != -1)
		(void)close(c.out);
	if (c.err != -1)
		(void)close(c.err);
	if (status == -1) {
		if (c.pid != -1)
			(void)snprintf(g->err, sizeof(g->err),
			    "git %s: out of time", verb(args));
		return -1;
	}
	if (!WIFEXITED(status)) {
		(void)snprintf(g->err, sizeof(g->err), "git %s: signal %d",
		    verb(args), WTERMSIG(status));
		return -1;
	}
	return WEXITSTATUS(status);
}
