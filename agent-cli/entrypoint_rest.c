/*
 * What the tool did not commit. Whatever there is in the work tree that git
 * refuses costs itself, not the rest; what is missing then is told.
 */

#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"

#include "entrypoint_harvest.h"

#define UNCOMMITTED "Uncommitted work of the agent"
#define OBJECTS_MAX 1000000 /* in one directory of the store */

enum added {
	ADDED_ALL,
	ADDED_SOME,
	ADDED_NONE, /* git gave up */
	ADDED_STOPPED /* and would again: no time, or killed */
};

/* --- the index ------------------------------------------------------------ */

/*
 * The tool's index says which files it has not touched: without it a file
 * whose line ends the repository never normalised would count as changed. Of a
 * file that is as old as the index git reads the bytes, as it may have been
 * changed within the same second; so the copy has to be as old as the tool's.
 */
static bool
copy_index(struct harvest *h)
{
	char from[2 * GIT_PATH_MAX], to[2 * GIT_PATH_MAX], *buf = NULL;
	struct timespec times[2] = { { 0, 0 }, { 0, 0 } };
	struct stat st;
	size_t len;
	int r;

	(void)snprintf(from, sizeof(from), "%s/index", h->dotgit);
	(void)snprintf(to, sizeof(to), "%s/index", h->store);
	if (!h->has_dotgit || lstat(from, &st) == -1 || !S_ISREG(st.st_mode) ||
	    fd_read_path(from, GIT_INDEX_MAX, &buf, &len) == -1)
		return false;
	r = private_file(to, buf, len);
	free(buf);
	times[0].tv_sec = times[1].tv_sec = st.st_mtime;
	return r == 0 && utimensat(AT_FDCWD, to, times, 0) == 0;
}

static void
remove_index(struct harvest *h)
{
	char path[2 * GIT_PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/index.lock", h->store);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/index", h->store);
	(void)unlink(path);
}

static bool
new_index(struct harvest *h)
{
	const char *const read_tree[] = { "read-tree", h->head, NULL };

	remove_index(h);
	return h->head[0] == '\0' ||
	    harvest_git(h, GIT_QUERY_MS, 0, read_tree) == 0;
}

/* --- adding -----------------------------------------------------------------
 */

/* The settings that say what the tool's repository ignores beyond its tree. */
static void
exclude_setting(const struct harvest *h, char *exclude, size_t len)
{
	struct stat st;

	(void)snprintf(exclude, len, "%s/info/exclude", h->dotgit);
	if (lstat(exclude, &st) == 0 && S_ISREG(st.st_mode))
		(void)snprintf(exclude, len,
		    "core.excludesFile=%s/info/exclude", h->dotgit);
	else
		(void)strlcpy(exclude, "core.excludesFile=/dev/null", len);
}

static enum added
add_all(struct harvest *h)
{
	char exclude[GIT_PATH_MAX + 64], paths[2 * GIT_PATH_MAX];
	char from[2 * GIT_PATH_MAX + 32];
	const char *const args[] = { "--work-tree", h->job->work, "-c", exclude,
		"add", "--all", "--ignore-errors", from, "--pathspec-file-nul",
		NULL };
	int r;

	exclude_setting(h, exclude, sizeof(exclude));
	(void)snprintf(paths, sizeof(paths), "%s/paths", h->scratch);
	(void)snprintf(from, sizeof(from), "--pathspec-from-file=%s", paths);
	if (nested_leave_out(h, exclude, paths) == -1)
		return ADDED_NONE;
	r = harvest_git(h, GIT_ADD_MS, 0, args);
	if (r != 0 && r != 1)
		return r == -1 ? ADDED_STOPPED : ADDED_NONE;
	if (h->g.first[0] != '\0' || r == 1) {
		(void)strlcpy(h->g.err,
		    h->g.first[0] != '\0' ? h->g.first : "git add",
		    sizeof(h->g.err));
		return ADDED_SOME;
	}
	return ADDED_ALL;
}

/*
 * A file that cannot be recoded as the tree's attributes say ends all of the
 * adding. Ours are stronger than those, and leave every file as it is.
 */
static void
no_encodings(const struct harvest *h)
{
	static const char text[] = "* !working-tree-encoding\n";
	char path[2 * GIT_PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/info", h->store);
	(void)mkdir(path, 0700);
	(void)strlcat(path, "/attributes", sizeof(path));
	(void)private_file(path, text, sizeof(text) - 1);
}

static enum added
add_with_either(struct harvest *h)
{
	enum added r = ADDED_NONE;

	if (copy_index(h))
		r = add_all(h);
	if (r == ADDED_NONE && !harvest_is_full(h) && new_index(h))
		r = add_all(h);
	return r;
}

static void
note_added(struct harvest *h, enum added r, const char *recoded)
{
	const char *full = "";

	if (r != ADDED_ALL && harvest_is_full(h)) {
		h->full = true;
		full = FULL;
	}
	if (r == ADDED_SOME)
		harvest_note(h,
		    "%ssome of what was not committed is missing: %s", full,
		    h->g.err);
	else if (r != ADDED_ALL)
		harvest_note(h, "%swhat was not committed is missing: %s", full,
		    h->g.err);
	else if (recoded[0] != '\0')
		harvest_note(h,
		    "files that git cannot recode were stored as they are: %s",
		    recoded);
}

static bool
fill_index(struct harvest *h)
{
	char recoded[GIT_WHY_MAX] = "";
	enum added r = add_with_either(h);

	if (r == ADDED_NONE && !harvest_is_full(h)) {
		(void)strlcpy(recoded, h->g.err, sizeof(recoded));
		no_encodings(h);
		r = add_with_either(h);
	}
	note_added(h, r, recoded);
	if (r == ADDED_NONE || r == ADDED_STOPPED)
		return false;
	nested_take(h);
	return true;
}

/* --- the commit --------------------------------------------------------------
 */

static void
note_lost(struct harvest *h)
{
	char err[GIT_WHY_MAX];

	(void)strlcpy(err, h->g.err, sizeof(err));
	if (harvest_is_full(h))
		h->full = true;
	harvest_note(h, "%swhat was not committed is missing: %s",
	    h->full ? FULL : "", err);
}

/* The tree of the index, when it is another than that of head. */
static bool
changed_tree(struct harvest *h, char tree[GIT_NAME_MAX])
{
	char of_head[GIT_NAME_MAX + 8];
	const char *const write_tree[] = { "write-tree", NULL };
	const char *const head_tree[] = { "rev-parse", "--verify", "-q",
		of_head, NULL };
	const char *const any[] = { "ls-tree", tree, NULL };

	if (harvest_git(h, GIT_ADD_MS, 0, write_tree) != 0 ||
	    !git_name_valid(h->g.out)) {
		note_lost(h);
		return false;
	}
	(void)strlcpy(tree, h->g.out, GIT_NAME_MAX);
	if (h->head[0] == '\0')
		return harvest_git(h, GIT_QUERY_MS, 0, any) == 0 &&
		    h->g.out[0] != '\0';
	(void)snprintf(of_head, sizeof(of_head), "%s^{tree}", h->head);
	return harvest_git(h, GIT_QUERY_MS, 0, head_tree) == 0 &&
	    strcmp(h->g.out, tree) != 0;
}

static void
commit(struct harvest *h)
{
	char tree[GIT_NAME_MAX];
	const char *const first[] = { "commit-tree", tree, "-m", UNCOMMITTED,
		NULL };
	const char *const next[] = { "commit-tree", tree, "-p", h->head, "-m",
		UNCOMMITTED, NULL };

	if (!changed_tree(h, tree))
		return;
	if (harvest_git(
	        h, GIT_QUERY_MS, 0, h->head[0] != '\0' ? next : first) == 0 &&
	    git_name_valid(h->g.out))
		(void)strlcpy(h->tip, h->g.out, sizeof(h->tip));
	else
		note_lost(h);
}

/* --- room
 * --------------------------------------------------------------------- */

static void
empty_directory(const char *path)
{
	struct dirent *e;
	int n = 0;
	DIR *d;

	if ((d = opendir(path)) == NULL)
		return;
	while ((e = readdir(d)) != NULL && n++ < OBJECTS_MAX)
		if (e->d_name[0] != '.')
			(void)unlinkat(dirfd(d), e->d_name, 0);
	(void)closedir(d);
}

/* What was added and came into no commit: its room is the bundle's. */
static void
make_room(struct harvest *h)
{
	char path[2 * GIT_PATH_MAX];
	unsigned i;

	for (i = 0; i < 256; i++) {
		(void)snprintf(
		    path, sizeof(path), "%s/objects/%02x", h->store, i);
		empty_directory(path);
	}
	(void)snprintf(path, sizeof(path), "%s/objects/pack", h->store);
	empty_directory(path);
	remove_index(h);
}

void
harvest_rest(struct harvest *h)
{
	if (fill_index(h))
		commit(h);
	if (strcmp(h->tip, h->head) == 0)
		make_room(h);
	if (!h->tree.whole)
		harvest_note(h,
		    "the work tree is too large or too deep to be looked "
		    "through: some of what was not committed may be missing");
}
