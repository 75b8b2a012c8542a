/*
 * The harvest: a bundle of what the tool committed and of what it did not.
 *
 * All of it happens in a repository of our own, new, whose settings are ours;
 * the tool's .git is an alternate store of objects to it and is asked for two
 * names. So what stands in the tool's configuration, hooks and attributes has
 * nobody who would obey it, locks that it left lock nobody, and a .git that is
 * gone costs what was committed, not what lies there.
 */

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"

#include "entrypoint_git.h"

#define UNCOMMITTED "Uncommitted work of the agent"
#define SCRATCH ".bulkhead.harvest.XXXXXX"
#define LEFT "-left" /* what the branch is called that the tool left behind */

struct harvest {
	const struct git_job *job;
	struct git_result *r;
	struct git g;
	char scratch[GIT_PATH_MAX]; /* holds store/ and bundle */
	char store[GIT_PATH_MAX], dotgit[GIT_PATH_MAX];
	char ref[GIT_PATH_MAX], left_ref[GIT_PATH_MAX];
	char head[GIT_NAME_MAX]; /* what HEAD is, "": nothing */
	char branch[GIT_NAME_MAX]; /* what our branch is */
	char tip[GIT_NAME_MAX]; /* what is bundled */
	bool has_dotgit, has_left;
};

static int __attribute__((format(printf, 2, 3)))
refuse(struct harvest *h, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(h->r->why, sizeof(h->r->why), fmt, ap);
	va_end(ap);
	h->r->end = GIT_FAILED;
	return -1;
}

/* The first word on what is missing stays. */
static void __attribute__((format(printf, 2, 3)))
note(struct harvest *h, const char *fmt, ...)
{
	va_list ap;

	if (h->r->why[0] != '\0')
		return;
	va_start(ap, fmt);
	(void)vsnprintf(h->r->why, sizeof(h->r->why), fmt, ap);
	va_end(ap);
}

/* git in our own store. */
static int
in_store(struct harvest *h, int64_t limit_ms, int64_t file_max,
    const char *const *args)
{
	const char *v[GIT_ARGS_MAX] = { "--git-dir", h->store };
	size_t i;

	for (i = 0; args[i] != NULL && i + 3 < GIT_ARGS_MAX; i++)
		v[i + 2] = args[i];
	return git_run(&h->g, h->scratch, limit_ms, file_max, v);
}

/* --- the store --------------------------------------------------------- */

static int
write_alternates(struct harvest *h)
{
	char path[2 * GIT_PATH_MAX], text[3 * GIT_PATH_MAX];

	(void)snprintf(
	    path, sizeof(path), "%s/objects/info/alternates", h->store);
	(void)snprintf(
	    text, sizeof(text), "%s/objects\n%s\n", h->dotgit, h->job->keep);
	return private_file(path, text, strlen(text));
}

static int
make_store(struct harvest *h)
{
	const char *format = strlen(h->job->base_commit) == 64
	    ? "--object-format=sha256"
	    : "--object-format=sha1";
	const char *const init[] = { "init", "--quiet", "--bare",
		"--template=", format, h->store, NULL };

	(void)snprintf(
	    h->scratch, sizeof(h->scratch), "%s/" SCRATCH, h->job->home);
	if (mkdtemp(h->scratch) == NULL)
		return refuse(h, "%s", strerror(errno));
	if (snprintf(h->store, sizeof(h->store), "%s/store", h->scratch) >=
	        (int)sizeof(h->store) ||
	    snprintf(h->dotgit, sizeof(h->dotgit), "%s/.git", h->job->work) >=
	        (int)sizeof(h->dotgit))
		return refuse(h, "a path is too long");
	if (git_run(&h->g, "/", GIT_QUERY_MS, 0, init) != 0)
		return refuse(h, "%s", h->g.err);
	if (write_alternates(h) == -1)
		return refuse(h, "%s", strerror(errno));
	return 0;
}

/* --- names ------------------------------------------------------------- */

/* A commit that the tool's repository names, if our store has it. */
static void
ask(struct harvest *h, const char *what, char name[GIT_NAME_MAX])
{
	const char *const args[] = { "--git-dir", h->dotgit, "rev-parse",
		"--verify", "-q", what, NULL };
	const char *const exists[] = { "cat-file", "commit", name, NULL };

	if (git_run(&h->g, h->scratch, GIT_NAME_MS, 0, args) != 0 ||
	    !git_name_valid(h->g.out)) {
		name[0] = '\0';
		return;
	}
	(void)strlcpy(name, h->g.out, GIT_NAME_MAX);
	if (in_store(h, GIT_QUERY_MS, 0, exists) != 0)
		name[0] = '\0';
}

static int
find_names(struct harvest *h)
{
	char what[GIT_PATH_MAX];
	struct stat st;

	(void)snprintf(h->ref, sizeof(h->ref), "refs/heads/%s", h->job->branch);
	(void)snprintf(h->left_ref, sizeof(h->left_ref), "refs/heads/%s" LEFT,
	    h->job->branch);
	h->has_dotgit = lstat(h->dotgit, &st) == 0 && S_ISDIR(st.st_mode);
	if (h->has_dotgit) {
		(void)snprintf(what, sizeof(what), "refs/heads/%.*s^{commit}",
		    GIT_PATH_MAX - 32, h->job->branch);
		ask(h, "HEAD^{commit}", h->head);
		ask(h, what, h->branch);
	}
	if (h->head[0] == '\0') {
		if (h->job->base_commit[0] != '\0' || !h->has_dotgit)
			note(h,
			    "its repository cannot be read any more: "
			    "commits that were not on the branch are lost");
		(void)strlcpy(h->head,
		    h->branch[0] != '\0' ? h->branch : h->job->base_commit,
		    sizeof(h->head));
	}
	(void)strlcpy(h->tip, h->head, sizeof(h->tip));
	return 0;
}

/* --- what is not committed --------------------------------------------- */

/*
 * The tool's index says which files it has not touched: without it a file
 * whose line ends the repository never normalised would count as changed.
 */
static bool
copy_index(struct harvest *h)
{
	char from[2 * GIT_PATH_MAX], to[2 * GIT_PATH_MAX], *buf = NULL;
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
	return r == 0;
}

static bool
new_index(struct harvest *h)
{
	char path[2 * GIT_PATH_MAX];
	const char *const read_tree[] = { "read-tree", h->head, NULL };

	(void)snprintf(path, sizeof(path), "%s/index.lock", h->store);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/index", h->store);
	(void)unlink(path);
	return h->head[0] == '\0' ||
	    in_store(h, GIT_QUERY_MS, 0, read_tree) == 0;
}

/* 0: all of it; 1: what could be read; -1: nothing. */
static int
add_all(struct harvest *h)
{
	char exclude[GIT_PATH_MAX + 64];
	const char *const args[] = { "--work-tree", h->job->work, "-c", exclude,
		"add", "--all", "--ignore-errors", "--", ".", NULL };
	const char *v[GIT_ARGS_MAX] = { "--git-dir", h->store };
	struct stat st;
	size_t i;

	(void)snprintf(exclude, sizeof(exclude), "%s/info/exclude", h->dotgit);
	if (lstat(exclude, &st) == 0 && S_ISREG(st.st_mode))
		(void)snprintf(exclude, sizeof(exclude),
		    "core.excludesFile=%s/info/exclude", h->dotgit);
	else
		(void)strlcpy(
		    exclude, "core.excludesFile=/dev/null", sizeof(exclude));
	for (i = 0; args[i] != NULL; i++)
		v[i + 2] = args[i];
	switch (git_run(&h->g, h->job->work, GIT_COMMIT_MS, 0, v)) {
	case 0:
		return 0;
	case 1:
		return 1;
	default:
		return -1;
	}
}

static int
fill_index(struct harvest *h)
{
	int r = -1;

	if (copy_index(h))
		r = add_all(h);
	if (r == -1 && new_index(h))
		r = add_all(h);
	if (r == -1)
		note(h, "what was not committed is missing: %s", h->g.err);
	else if (r == 1)
		note(h, "some of what was not committed is missing: %s",
		    h->g.err);
	return r == -1 ? -1 : 0;
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

	if (in_store(h, GIT_COMMIT_MS, 0, write_tree) != 0 ||
	    !git_name_valid(h->g.out)) {
		note(h, "what was not committed is missing: %s", h->g.err);
		return false;
	}
	(void)strlcpy(tree, h->g.out, GIT_NAME_MAX);
	if (h->head[0] == '\0')
		return in_store(h, GIT_QUERY_MS, 0, any) == 0 &&
		    h->g.out[0] != '\0';
	(void)snprintf(of_head, sizeof(of_head), "%s^{tree}", h->head);
	return in_store(h, GIT_QUERY_MS, 0, head_tree) == 0 &&
	    strcmp(h->g.out, tree) != 0;
}

static void
commit_rest(struct harvest *h)
{
	char tree[GIT_NAME_MAX];
	const char *const first[] = { "commit-tree", tree, "-m", UNCOMMITTED,
		NULL };
	const char *const next[] = { "commit-tree", tree, "-p", h->head, "-m",
		UNCOMMITTED, NULL };

	if (fill_index(h) == -1 || !changed_tree(h, tree))
		return;
	if (in_store(h, GIT_QUERY_MS, 0, h->head[0] != '\0' ? next : first) ==
	        0 &&
	    git_name_valid(h->g.out))
		(void)strlcpy(h->tip, h->g.out, sizeof(h->tip));
	else
		note(h, "what was not committed is missing: %s", h->g.err);
}

/* --- the bundle --------------------------------------------------------- */

/*
 * HEAD is the work, wherever it went. If the branch that we made has commits
 * of its own beside that, they go along under a name of theirs.
 */
static int
set_refs(struct harvest *h)
{
	const char *const tip[] = { "update-ref", h->ref, h->tip, NULL };
	const char *const within[] = { "merge-base", "--is-ancestor", h->branch,
		h->tip, NULL };
	const char *const left[] = { "update-ref", h->left_ref, h->branch,
		NULL };

	if (in_store(h, GIT_QUERY_MS, 0, tip) != 0)
		return refuse(h, "%s", h->g.err);
	if (h->branch[0] != '\0' && in_store(h, GIT_QUERY_MS, 0, within) == 1 &&
	    in_store(h, GIT_QUERY_MS, 0, left) == 0)
		h->has_left = true;
	return 0;
}

/* Are there commits beside the base's? A branch can be set back, too. */
static bool
has_news(struct harvest *h, const char *not_base)
{
	const char *const count[] = { "rev-list", "--count", "--max-count=1",
		"--branches", not_base, NULL };

	return in_store(h, GIT_COMMIT_MS, 0, count) != 0 ||
	    strcmp(h->g.out, "0") != 0;
}

/*
 * To a file of ours: what git made of one that is too large it would remove.
 * One byte more than allowed, so that too much shows.
 */
static int
run_bundle(struct harvest *h, const char *not_base)
{
	const char *args[] = { "bundle", "create", "--quiet", "-", h->ref, NULL,
		NULL, NULL };
	size_t n = 5;
	int r;

	if (h->has_left)
		args[n++] = h->left_ref;
	args[n] = not_base;
	h->g.to = open(h->r->bundle,
	    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (h->g.to == -1)
		return refuse(h, "%s", strerror(errno));
	r = in_store(h, GIT_BUNDLE_MS, h->job->bundle_max + 1, args);
	(void)close(h->g.to);
	h->g.to = -1;
	return r;
}

static int
write_bundle(struct harvest *h, const char *not_base)
{
	struct stat st;
	int r;

	(void)snprintf(h->r->bundle, sizeof(h->r->bundle), "%.*s/bundle",
	    GIT_PATH_MAX - 16, h->scratch);
	r = run_bundle(h, not_base);
	if (h->r->end == GIT_FAILED)
		return -1;
	if (stat(h->r->bundle, &st) == -1)
		return refuse(h, "%s", strerror(errno));
	if (st.st_size > h->job->bundle_max)
		return refuse(h, "the bundle is larger than %lld bytes",
		    (long long)h->job->bundle_max);
	if (r != 0)
		return refuse(h, "%s", h->g.err);
	h->r->bytes = st.st_size;
	h->r->end = GIT_DONE;
	return 0;
}

static int
bundle(struct harvest *h)
{
	const char *base = h->job->base_commit;
	char not_base[GIT_NAME_MAX + 1];

	if (h->tip[0] == '\0') {
		h->r->end = GIT_NOTHING;
		return 0;
	}
	(void)snprintf(not_base, sizeof(not_base), "^%s", base);
	if (set_refs(h) == -1)
		return -1;
	if (!has_news(h, base[0] != '\0' ? not_base : "--")) {
		h->r->end = GIT_NOTHING;
		return 0;
	}
	return write_bundle(h, base[0] != '\0' ? not_base : NULL);
}

void
git_harvest(const struct git_job *job, struct git_result *r)
{
	struct harvest h = { .job = job, .r = r };

	memset(r, 0, sizeof(*r));
	(void)strlcpy(r->base, job->base_commit, sizeof(r->base));
	if (git_open(&h.g, job, GIT_HARVEST_MS) == -1) {
		(void)refuse(&h, "out of memory");
		return;
	}
	if (make_store(&h) == 0 && find_names(&h) == 0) {
		commit_rest(&h);
		(void)strlcpy(r->head, h.tip, sizeof(r->head));
		(void)bundle(&h);
	}
	if (r->end != GIT_DONE)
		r->bundle[0] = '\0';
	git_close(&h.g);
}
