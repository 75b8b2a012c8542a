/*
 * The clone: of the whole history, with tags (versions are made of them), and
 * without anything that a repository could have run. Large files of LFS stay
 * the pointers that they are.
 */

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "entrypoint_git.h"

#define PACKS_MAX 4096 /* files; a clone has three */

static void __attribute__((format(printf, 2, 3)))
refuse(struct git_result *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	r->end = GIT_FAILED;
}

/*
 * The packs get second names, so that the base is still there when the tool
 * has removed the clone's .git. Best effort: same bytes, no second copy.
 */
static void
keep_packs(const struct git_job *job)
{
	char dir[GIT_PATH_MAX], from[2 * GIT_PATH_MAX], to[2 * GIT_PATH_MAX];
	struct dirent *e;
	int n = 0;
	DIR *d;

	(void)mkdir(job->keep, 0700);
	(void)snprintf(dir, sizeof(dir), "%s/pack", job->keep);
	(void)mkdir(dir, 0700);
	(void)snprintf(dir, sizeof(dir), "%s/.git/objects/pack", job->work);
	if ((d = opendir(dir)) == NULL)
		return;
	while ((e = readdir(d)) != NULL && n++ < PACKS_MAX) {
		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(from, sizeof(from), "%s/%s", dir, e->d_name);
		(void)snprintf(
		    to, sizeof(to), "%s/pack/%s", job->keep, e->d_name);
		if (link(from, to) == -1 && errno == ENOSPC)
			break;
	}
	(void)closedir(d);
}

static int
clone_it(struct git *g)
{
	const struct git_job *job = g->job;
	const char *args[] = { "clone", "--quiet", "--no-recurse-submodules",
		"--template=", "--", job->url, job->work, NULL };
	const char *branch[] = { "clone", "--quiet", "--no-recurse-submodules",
		"--template=", "--branch", job->base, "--", job->url, job->work,
		NULL };

	return git_run(
	    g, "/", GIT_CLONE_MS, 0, job->base[0] != '\0' ? branch : args);
}

void
git_clone(const struct git_job *job, struct git_result *r)
{
	const char *const head[] = { "rev-parse", "--verify", "-q",
		"HEAD^{commit}", NULL };
	const char *const make[] = { "checkout", "-q", "-b", job->branch,
		NULL };
	struct git g;

	memset(r, 0, sizeof(*r));
	if (git_open(&g, job, job->protocol, GIT_CLONE_MS) == -1) {
		refuse(r, "out of memory");
		return;
	}
	if (clone_it(&g) != 0) {
		refuse(r, "%s", g.err[0] != '\0' ? g.err : "git clone failed");
		goto out;
	}
	/* A repository without a commit is cloned well and has no base. */
	if (git_run(&g, job->work, GIT_QUERY_MS, 0, head) == 0 &&
	    git_name_valid(g.out))
		(void)strlcpy(r->base, g.out, sizeof(r->base));
	if (git_run(&g, job->work, GIT_QUERY_MS, 0, make) != 0) {
		refuse(
		    r, "%s", g.err[0] != '\0' ? g.err : "no branch was made");
		goto out;
	}
	keep_packs(job);
	(void)strlcpy(r->head, r->base, sizeof(r->head));
	r->end = GIT_DONE;
out:
	git_close(&g);
}
