/*
 * The harvest: a bundle of what the tool committed and of what it did not.
 *
 * All of it happens in a repository of our own, new, whose settings are ours;
 * the tool's .git is an alternate store of objects to it and is asked for two
 * names, by a git that may make no process. So what stands in the tool's
 * configuration, hooks and attributes has nobody who would obey it, locks that
 * it left lock nobody, and a .git that is gone costs what was committed, not
 * what lies there.
 */

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"

#include "entrypoint_harvest.h"

#define SCRATCH ".bulkhead.harvest.XXXXXX"
#define FULL_BYTES (256 * 1024) /* less free room is none */
#define FULL_FILES 16
#define LEFT "-left" /* what the branch is called that the tool left behind */

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

void
harvest_note(struct harvest *h, const char *fmt, ...)
{
	va_list ap;

	if (h->r->why[0] != '\0')
		return;
	va_start(ap, fmt);
	(void)vsnprintf(h->r->why, sizeof(h->r->why), fmt, ap);
	va_end(ap);
}

int
harvest_git(struct harvest *h, int64_t limit_ms, int64_t file_max,
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

static int64_t
room(const char *dir)
{
	struct statvfs v;

	if (statvfs(dir, &v) == -1 ||
	    (v.f_files != 0 && v.f_favail < FULL_FILES))
		return 0;
	return (int64_t)v.f_bavail * (int64_t)v.f_frsize;
}

/* git takes away what it could not finish: then only its words tell. */
bool
harvest_is_full(struct harvest *h)
{
	const char *words = strerror(ENOSPC);

	if (strstr(h->g.err, words) != NULL ||
	    strstr(h->g.first, words) != NULL)
		return true;
	return room(h->scratch[0] != '\0' ? h->scratch : h->job->home) <
	    FULL_BYTES;
}

/* The workspace may have been filled to the last byte; /tmp is another. */
static int
make_scratch(struct harvest *h)
{
	const struct git_job *job = h->job;
	const char *dir =
	    room(job->spare) > room(job->home) ? job->spare : job->home;

	(void)snprintf(h->scratch, sizeof(h->scratch), "%s/" SCRATCH, dir);
	if (mkdtemp(h->scratch) != NULL)
		return 0;
	h->scratch[0] = '\0';
	return refuse(h, "%s: %s", dir, strerror(errno));
}

static int
make_store(struct harvest *h)
{
	const char *format = strlen(h->job->base_commit) == 64
	    ? "--object-format=sha256"
	    : "--object-format=sha1";
	const char *const init[] = { "init", "--quiet", "--bare",
		"--template=", format, h->store, NULL };

	if (make_scratch(h) == -1)
		return -1;
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

/*
 * A commit that the tool's repository names, if our store has it. There it is
 * only a name: to look the object up might be to fetch it.
 */
static void
ask(struct harvest *h, const char *what, char name[GIT_NAME_MAX])
{
	char commit[GIT_NAME_MAX + 16];
	const char *const args[] = { "--git-dir", h->dotgit, "rev-parse",
		"--verify", "-q", what, NULL };
	const char *const exists[] = { "rev-parse", "--verify", "-q", commit,
		NULL };

	name[0] = '\0';
	if (git_run(&h->g, h->scratch, GIT_NAME_MS, 0, args) != 0 ||
	    !git_name_valid(h->g.out))
		return;
	(void)snprintf(commit, sizeof(commit), "%.*s^{commit}",
	    GIT_NAME_MAX - 1, h->g.out);
	if (harvest_git(h, GIT_QUERY_MS, 0, exists) == 0 &&
	    git_name_valid(h->g.out))
		(void)strlcpy(name, h->g.out, GIT_NAME_MAX);
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
		(void)snprintf(what, sizeof(what), "refs/heads/%.*s",
		    GIT_PATH_MAX - 32, h->job->branch);
		ask(h, "HEAD", h->head);
		ask(h, what, h->branch);
	}
	if (h->head[0] == '\0') {
		if (h->job->base_commit[0] != '\0' || !h->has_dotgit)
			harvest_note(h,
			    "its repository cannot be read any more: "
			    "commits that were not on the branch are lost");
		(void)strlcpy(h->head,
		    h->branch[0] != '\0' ? h->branch : h->job->base_commit,
		    sizeof(h->head));
	}
	(void)strlcpy(h->tip, h->head, sizeof(h->tip));
	return 0;
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

	if (harvest_git(h, GIT_QUERY_MS, 0, tip) != 0)
		return refuse(h, "%s", h->g.err);
	if (h->branch[0] != '\0' &&
	    harvest_git(h, GIT_QUERY_MS, 0, within) == 1 &&
	    harvest_git(h, GIT_QUERY_MS, 0, left) == 0)
		h->has_left = true;
	return 0;
}

/* Are there commits beside the base's? A branch can be set back, too. */
static bool
has_news(struct harvest *h, const char *not_base)
{
	const char *const count[] = { "rev-list", "--count", "--max-count=1",
		"--branches", not_base, NULL };

	return harvest_git(h, GIT_REFS_MS, 0, count) != 0 ||
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
	/* It packs by a git of its own, in our store. */
	h->g.alone = false;
	r = harvest_git(h, GIT_BUNDLE_MS, h->job->bundle_max + 1, args);
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
	if (st.st_size > h->job->bundle_max) {
		h->r->bytes = st.st_size;
		return refuse(h, "the bundle is larger than %lld bytes",
		    (long long)h->job->bundle_max);
	}
	if (r != 0) {
		h->full = h->full || harvest_is_full(h);
		return refuse(h, "%s", h->g.err);
	}
	h->r->bytes = st.st_size;
	h->r->end = GIT_DONE;
	return 0;
}

/* Nothing beyond the base: whether there should be more is known by now. */
static int
nothing(struct harvest *h)
{
	h->r->end = h->r->why[0] != '\0' ? GIT_FAILED : GIT_NOTHING;
	return 0;
}

static int
bundle(struct harvest *h)
{
	const char *base = h->job->base_commit;
	char not_base[GIT_NAME_MAX + 1];

	if (h->tip[0] == '\0')
		return nothing(h);
	(void)snprintf(not_base, sizeof(not_base), "^%s", base);
	h->g.deadline_ms = clock_boot_ms() + GIT_REFS_MS;
	if (set_refs(h) == -1)
		return -1;
	if (!has_news(h, base[0] != '\0' ? not_base : "--"))
		return nothing(h);
	h->g.deadline_ms = clock_boot_ms() + GIT_BUNDLE_MS;
	return write_bundle(h, base[0] != '\0' ? not_base : NULL);
}

/* What a failure is told as: words, and whether it was for want of room. */
static void
conclude(struct harvest *h)
{
	struct git_result *r = h->r;
	char why[GIT_WHY_MAX];

	if (r->end == GIT_DONE)
		return;
	r->bundle[0] = '\0';
	if (r->end == GIT_FAILED && r->bytes == 0 &&
	    (h->full || harvest_is_full(h))) {
		r->bytes = 1;
		(void)strlcpy(why, r->why, sizeof(why));
		if (strncmp(why, FULL, sizeof(FULL) - 1) != 0)
			(void)snprintf(
			    r->why, sizeof(r->why), FULL "%.200s", why);
	}
	if (r->end == GIT_FAILED && r->why[0] == '\0')
		(void)strlcpy(r->why, "git failed", sizeof(r->why));
}

void
git_harvest(const struct git_job *job, struct git_result *r)
{
	static struct harvest h;

	memset(&h, 0, sizeof(h));
	h.job = job;
	h.r = r;
	memset(r, 0, sizeof(*r));
	(void)strlcpy(r->base, job->base_commit, sizeof(r->base));
	if (git_open(&h.g, job, "", GIT_REST_MS) == -1) {
		(void)refuse(&h, "out of memory");
		return;
	}
	h.g.alone = true;
	tree_sweep(job->work, &h.tree);
	if (make_store(&h) == 0 && find_names(&h) == 0) {
		harvest_rest(&h);
		(void)strlcpy(r->head, h.tip, sizeof(r->head));
		(void)bundle(&h);
	}
	conclude(&h);
	git_close(&h.g);
}
