/* What the parent makes or opens while it has privilege. */

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"
#include "libcommon/log.h"
#include "libcommon/runid.h"

#include "dispatchd/dispatchd_parent.h"

#define STATE_MODE 0711
#define PRIVATE_MODE 0700
#define INSTANCE_FILE "instance"
#define INSTANCE_MODE 0644
#define INSTANCE_LETTERS "abcdefghijklmnopqrstuvwxyz234567"

/* --- the state directory ---------------------------------------------- */

/*
 * Only its last part is made: a path with a slip in it must not become a new
 * place for runs whose old ones then look lost. One that was there keeps its
 * mode, but for the right to pass through it, which our users need; into one
 * that others may write, anybody could put what we would then read.
 */
static int
state_dir(const char *path)
{
	struct stat st;
	bool made;
	int fd;

	made = mkdir(path, STATE_MODE) == 0;
	if (!made && errno != EEXIST)
		fatal("cannot make the state directory %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1 || fstat(fd, &st) == -1)
		fatal("cannot open the state directory %s", path);
	if (!made && (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		fatalx("state: %s may be written by others than its owner "
		       "(mode %04o); allowed: a directory of its own, 0711",
		    path, (unsigned)st.st_mode & 07777);
	if (fchmod(fd, made ? STATE_MODE : (st.st_mode & 07777) | 0111) == -1)
		fatal("cannot take the state directory %s", path);
	return fd;
}

static int
private_dir(int state, const char *name, const char *user)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int fd;

	if (geteuid() == 0 && proc_user(user, &uid, &gid) == -1)
		fatalx("no such user: %s", user);
	if (mkdirat(state, name, PRIVATE_MODE) == -1 && errno != EEXIST)
		fatal("cannot make %s in the state directory", name);
	fd = openat(
	    state, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		fatal("cannot open %s in the state directory", name);
	if ((geteuid() == 0 && fchown(fd, uid, gid) == -1) ||
	    fchmod(fd, PRIVATE_MODE) == -1)
		fatal("cannot take %s in the state directory", name);
	return fd;
}

/* --- the id of this instance ------------------------------------------ */

static void
instance_new(char id[DISPATCH_INSTANCE_LEN + 1])
{
	int i;

	for (i = 0; i < DISPATCH_INSTANCE_LEN; i++)
		id[i] = INSTANCE_LETTERS[arc4random_uniform(
		    sizeof(INSTANCE_LETTERS) - 1)];
	id[i] = '\0';
}

/* It is whole under its name or not there at all. */
static void
instance_write(int state, const char *id)
{
	const char *tmp = INSTANCE_FILE ".new";
	char line[DISPATCH_INSTANCE_LEN + 2];
	size_t len;
	int fd;

	len = (size_t)snprintf(line, sizeof(line), "%s\n", id);
	fd = openat(state, tmp,
	    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
	    INSTANCE_MODE);
	if (fd == -1 || write(fd, line, len) != (ssize_t)len ||
	    fd_sync(fd) == -1 || close(fd) == -1 ||
	    renameat(state, tmp, state, INSTANCE_FILE) == -1 ||
	    fd_sync(state) == -1)
		fatal("cannot write " INSTANCE_FILE " in the state directory");
}

/*
 * What the engine's objects of ours are labelled with. Another one would make
 * strangers of them, so a file that is damaged is not replaced.
 */
static void
instance_get(int state, char id[DISPATCH_INSTANCE_LEN + 1])
{
	char *text;
	size_t len;
	int fd;

	fd = openat(state, INSTANCE_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1 && errno == ENOENT) {
		instance_new(id);
		instance_write(state, id);
		return;
	}
	if (fd == -1 ||
	    fd_read_file(fd, DISPATCH_INSTANCE_LEN + 1, &text, &len) == -1)
		fatal("cannot read " INSTANCE_FILE " in the state directory");
	close(fd);
	text[strcspn(text, "\n")] = '\0';
	if (!runid_valid(text))
		fatalx(INSTANCE_FILE " in the state directory holds no id; "
		                     "allowed: 12 of a-z and 2-7");
	strlcpy(id, text, DISPATCH_INSTANCE_LEN + 1);
	free(text);
}

void
dispatch_state_open(struct parent *p)
{
	const struct dispatch_config *c = parent_config(p);
	int state = state_dir(c->state);

	p->queue_dir = private_dir(state, "queue", c->user_queue);
	p->runs_dir = private_dir(state, "runs", c->user_runs);
	instance_get(state, p->instance);
	close(state);
}

/* --- the engine's socket ---------------------------------------------- */

static bool
engine_may(const struct stat *st, uid_t uid, gid_t gid, gid_t group)
{
	const mode_t rw = S_IROTH | S_IWOTH;

	if (uid == 0)
		return true;
	if (st->st_uid == uid)
		return (st->st_mode >> 6 & rw) == rw;
	if (st->st_gid == gid || (group != 0 && st->st_gid == group))
		return (st->st_mode >> 3 & rw) == rw;
	return (st->st_mode & rw) == rw;
}

/*
 * Its group is the one group that the engine's child has beside its own. That
 * of root is not given to anybody: who wants it so has to say it by the mode.
 */
void
dispatch_engine_socket(struct parent *p)
{
	const char *path = parent_config(p)->engine_socket;
	struct daemon_child *c = daemon_child(&p->d, SIDE_ENGINE);
	uid_t uid = geteuid();
	gid_t gid = getegid();
	struct stat st;
	bool may;

	if (stat(path, &st) == -1)
		snprintf(p->engine_why, sizeof(p->engine_why),
		    "the engine's socket %s: %s", path, strerror(errno));
	else {
		if (geteuid() == 0) {
			if (proc_user(c->user, &uid, &gid) == -1)
				fatalx("no such user: %s", c->user);
			c->group = st.st_gid;
			may = engine_may(&st, uid, gid, c->group);
		} else
			may = access(path, R_OK | W_OK) == 0;
		if (!may)
			snprintf(p->engine_why, sizeof(p->engine_why),
			    "the engine's socket %s: its owner and mode do not "
			    "let the user of the engine process use it",
			    path);
	}
	if (p->engine_why[0] != '\0')
		log_warnx("%s", p->engine_why);
}
