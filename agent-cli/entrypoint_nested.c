/*
 * Repositories within the work tree. git itself, when it adds one, asks it for
 * its state by a git of its own in there, which obeys that repository's
 * configuration, and one without a commit ends all of the adding. So they are
 * left out of that, and each is asked for the one name that git would store.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"

#include "entrypoint_harvest.h"

#define GITLINK "160000"
#define SHOWN_MAX 128 /* of a path, to a person */

/* What the index has at a path; "": nothing. */
static void
look_up(struct harvest *h, const char *path, char line[GIT_PATH_MAX])
{
	const char *const args[] = { "--literal-pathspecs", "--work-tree",
		h->job->work, "ls-files", "-s", "--", path, NULL };

	if (harvest_git(h, GIT_QUERY_MS, 0, args) != 0)
		h->g.out[0] = '\0';
	(void)strlcpy(line, h->g.out, GIT_PATH_MAX);
}

static bool
is_link(const char *line)
{
	return strncmp(line, GITLINK " ", sizeof(GITLINK)) == 0;
}

static bool
is_ignored(struct harvest *h, const char *exclude, const char *path)
{
	/* It takes every path as it is but for a colon in front. */
	char at[GIT_PATH_MAX + 2];
	const char *const args[] = { "--work-tree", h->job->work, "-c", exclude,
		"check-ignore", "-q", "--", at, NULL };

	(void)snprintf(at, sizeof(at), "./%s", path);
	return harvest_git(h, GIT_QUERY_MS, 0, args) == 0;
}

int
nested_leave_out(struct harvest *h, const char *exclude, const char *file)
{
	static char buf[SWEEP_NESTED_MAX * (GIT_PATH_MAX + 32)];
	char line[GIT_PATH_MAX], *path;
	size_t i, len, n = 0;

	buf[n++] = '.';
	buf[n++] = '\0';
	for (i = 0; i < h->tree.n; i++) {
		path = h->tree.nested[i];
		look_up(h, path, line);
		/*
		 * Files of the branch, in which somebody made a repository, or
		 * nothing that git would add.
		 */
		if (line[0] != '\0' ? !is_link(line)
		                    : is_ignored(h, exclude, path)) {
			path[0] = '\0';
			continue;
		}
		len = (size_t)snprintf(
		    buf + n, sizeof(buf) - n, ":(exclude,literal)%s", path);
		n += len + 1;
	}
	return private_file(file, buf, n);
}

/* Its HEAD; "" for none. */
static void
head_of(struct harvest *h, const char *path, char name[GIT_NAME_MAX])
{
	char dotgit[3 * GIT_PATH_MAX];
	const char *const args[] = { "--git-dir", dotgit, "rev-parse",
		"--verify", "-q", "HEAD", NULL };

	(void)snprintf(
	    dotgit, sizeof(dotgit), "%s/%s/.git", h->job->work, path);
	name[0] = '\0';
	if (git_run(&h->g, h->scratch, GIT_NAME_MS, 0, args) == 0 &&
	    git_name_valid(h->g.out))
		(void)strlcpy(name, h->g.out, GIT_NAME_MAX);
}

static void
take(struct harvest *h, const char *path)
{
	char name[GIT_NAME_MAX], line[GIT_PATH_MAX], shown[SHOWN_MAX];
	char info[GIT_PATH_MAX + GIT_NAME_MAX + 16];
	const char *const args[] = { "update-index", "--add", "--cacheinfo",
		info, NULL };

	(void)log_escape(shown, sizeof(shown), path, strlen(path));
	look_up(h, path, line);
	head_of(h, path, name);
	if (is_link(line) && (name[0] == '\0' || strstr(line, name) != NULL))
		return;
	(void)snprintf(info, sizeof(info), GITLINK ",%s,%s", name, path);
	if (name[0] == '\0' || harvest_git(h, GIT_QUERY_MS, 0, args) != 0)
		harvest_note(h,
		    "some of what was not committed is missing: %s is a "
		    "repository of its own without a commit",
		    shown);
	else
		harvest_note(h,
		    "%s is a repository of its own: of it only the name of its "
		    "commit is in the bundle",
		    shown);
}

void
nested_take(struct harvest *h)
{
	size_t i;

	for (i = 0; i < h->tree.n; i++)
		if (h->tree.nested[i][0] != '\0')
			take(h, h->tree.nested[i]);
}
