/*
 * A work tree before git reads it. Step by step from one directory to the
 * next: no path of the tool's is ever resolved, no link followed, and neither
 * the size nor the depth of what it left decides how long this takes.
 */

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"

#include "entrypoint_git.h"

#define SWEEP_MS (30 * 1000)
#define SWEEP_DEPTH_MAX 128 /* directories that are open at a time */
#define SWEEP_ENTRIES_MAX 4000000
#define SWEEP_LOOK_AT 1024 /* entries between two looks at the clock */

struct level {
	DIR *d;
	size_t len; /* of its path */
	bool within; /* a repository that is not the tree's own */
};

struct walk {
	struct sweep *s;
	struct level v[SWEEP_DEPTH_MAX];
	size_t depth;
	char path[GIT_PATH_MAX]; /* of the last one, below the tree */
	int64_t until_ms;
	uint64_t seen;
};

static bool
is_repository(int fd)
{
	struct stat st;

	return fstatat(fd, ".git", &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
add_nested(struct walk *w)
{
	struct sweep *s = w->s;

	if (s->n == SWEEP_NESTED_MAX)
		s->whole = false;
	else
		(void)strlcpy(s->nested[s->n++], w->path, GIT_PATH_MAX);
}

/* Begin with a directory; one that cannot be read is git's to complain of. */
static void
enter(struct walk *w, int at, const char *name)
{
	size_t len = w->depth > 0 ? w->v[w->depth - 1].len : 0;
	bool within = w->depth > 0 && w->v[w->depth - 1].within;
	struct level *l = &w->v[w->depth];
	int fd;

	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		return;
	l->len = 0;
	l->within = within;
	if (w->depth > 0) {
		l->len = len +
		    (size_t)snprintf(w->path + len, sizeof(w->path) - len,
		        "%s%s", len > 0 ? "/" : "", name);
		if (l->len >= sizeof(w->path)) {
			w->s->whole = false;
			(void)close(fd);
			return;
		}
		if (!within && is_repository(fd)) {
			add_nested(w);
			l->within = true;
		}
	}
	if ((l->d = fdopendir(fd)) == NULL)
		(void)close(fd);
	else
		w->depth++;
}

static unsigned char
type_of(int fd, const struct dirent *e)
{
	struct stat st;

	if (e->d_type != DT_UNKNOWN)
		return e->d_type;
	if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return DT_REG;
	return IFTODT(st.st_mode);
}

/* git follows this one link alone, and reads what is at its end. */
static bool
is_bad_link(const struct walk *w, int fd, const char *name)
{
	struct stat st;

	return w->depth == 1 && strcmp(name, ".gitmodules") == 0 &&
	    fstatat(fd, name, &st, 0) == 0 && !S_ISREG(st.st_mode) &&
	    !S_ISDIR(st.st_mode);
}

/* The directory may not let us. */
static void
clear(struct walk *w, int fd, const char *name)
{
	if (unlinkat(fd, name, 0) == -1 && errno != ENOENT)
		w->s->whole = false;
}

static void
visit(struct walk *w, const struct dirent *e)
{
	int fd = dirfd(w->v[w->depth - 1].d);

	if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
		return;
	switch (type_of(fd, e)) {
	case DT_REG:
		break;
	case DT_DIR:
		if (w->depth < SWEEP_DEPTH_MAX)
			enter(w, fd, e->d_name);
		else
			w->s->whole = false;
		break;
	case DT_LNK:
		if (is_bad_link(w, fd, e->d_name))
			clear(w, fd, e->d_name);
		break;
	default:
		clear(w, fd, e->d_name);
		break;
	}
}

static bool
has_time(struct walk *w)
{
	if (w->seen++ >= SWEEP_ENTRIES_MAX)
		return false;
	return w->seen % SWEEP_LOOK_AT != 0 || clock_boot_ms() < w->until_ms;
}

void
tree_sweep(const char *work, struct sweep *s)
{
	static struct walk w;
	struct dirent *e;

	memset(s, 0, sizeof(*s));
	memset(&w, 0, sizeof(w));
	s->whole = true;
	w.s = s;
	w.until_ms = clock_boot_ms() + SWEEP_MS;
	enter(&w, AT_FDCWD, work);
	while (w.depth > 0 && has_time(&w)) {
		if ((e = readdir(w.v[w.depth - 1].d)) != NULL)
			visit(&w, e);
		else
			(void)closedir(w.v[--w.depth].d);
	}
	if (w.depth > 0)
		s->whole = false;
	while (w.depth > 0)
		(void)closedir(w.v[--w.depth].d);
}
