#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"
#include "libcommon/log.h"
#include "libcommon/proc.h"
#include "libcommon/proc_private.h"

#define WORDS_MAX 16 /* of a child's command line */
#define WORD_LEN 64
#define VERBOSE_MAX 4 /* -v that are handed on */

/* Everything that the child needs is made before the fork. */
struct image {
	char path[PATH_MAX];
	char words[WORDS_MAX][WORD_LEN];
	char *argv[WORDS_MAX + 1];
	int argc;
};

static void
word(struct image *, const char *, ...) __attribute__((format(printf, 2, 3)));

static void
word(struct image *im, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(im->words[im->argc], WORD_LEN, fmt, ap);
	va_end(ap);
	im->argv[im->argc] = im->words[im->argc];
	im->argv[++im->argc] = NULL;
}

/* ps shows "egressd: proxy 0 -x proxy 0 ...". */
static int
image_make(struct image *im, const char *daemon, const struct proc_spec *spec)
{
	int i;

	im->argc = 0;
	if (proc_self_path(im->path, sizeof(im->path)) == -1)
		return -1;
	word(im, "%s: %s %u", daemon, spec->role, spec->instance);
	if (log_debugging())
		word(im, "-d");
	for (i = 0; i < log_verbose() && i < VERBOSE_MAX; i++)
		word(im, "-v");
	word(im, "-x");
	word(im, "%s", spec->role);
	word(im, "%u", spec->instance);
	word(im, "%zu", spec->nfds);
	word(im, "%lu", (unsigned long)spec->uid);
	word(im, "%lu", (unsigned long)spec->gid);
	if (spec->group != 0)
		word(im, "%lu", (unsigned long)spec->group);
	return 0;
}

/*
 * Put the descriptors in their places. A source may sit at the number of
 * another's place, so all move above the last place first; dup2 from there
 * also clears close-on-exec, as the numbers never coincide.
 */
static int
place(const struct proc_spec *spec, int lifeline)
{
	int above = PROC_FD_FIRST + (int)spec->nfds;
	int moved[PROC_FDS_MAX + 2], to;
	size_t i, n = 0;

	if ((moved[n++] = fcntl(lifeline, F_DUPFD, above)) == -1 ||
	    (moved[n++] = fcntl(spec->parent_fd, F_DUPFD, above)) == -1)
		return -1;
	for (i = 0; i < spec->nfds; i++) {
		if ((moved[n++] = fcntl(spec->fds[i], F_DUPFD, above)) == -1)
			return -1;
	}
	for (i = 0; i < n; i++) {
		to = i == 0 ? STDIN_FILENO : PROC_FD_PARENT + (int)i - 1;
		if (dup2(moved[i], to) == -1)
			return -1;
	}
	fd_close_from(above);
	return 0;
}

/* In the child. There is no log here: its descriptor is closed by now. */
static void
become(struct image *, const struct proc_spec *, int) __attribute__((noreturn));

static void
become(struct image *im, const struct proc_spec *spec, int lifeline)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (place(spec, lifeline) == 0)
		execv(im->path, im->argv);
	_exit(EXIT_SYSTEM);
}

static void
close_all(const struct proc_spec *spec)
{
	size_t i;

	if (spec->parent_fd != -1)
		close(spec->parent_fd);
	for (i = 0; i < spec->nfds && i < PROC_FDS_MAX; i++)
		close(spec->fds[i]);
}

pid_t
proc_spawn(const char *daemon, const struct proc_spec *spec)
{
	struct image im;
	int lifeline = -1, saved;
	pid_t pid = -1;

	if (spec->nfds > PROC_FDS_MAX)
		errno = EINVAL;
	else if (image_make(&im, daemon, spec) == 0 &&
	    (lifeline = proc_lifeline_new()) != -1) {
		if ((pid = fork()) == 0)
			become(&im, spec, lifeline);
	}
	saved = errno;
	if (lifeline != -1) {
		close(lifeline);
		if (pid == -1)
			proc_lifeline_cut(0);
		else
			proc_lifeline_bind(pid);
	}
	close_all(spec);
	errno = saved;
	return pid;
}
