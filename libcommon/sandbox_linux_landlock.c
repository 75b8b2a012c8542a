#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <linux/landlock.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/sandbox_linux.h"

/*
 * The kernel's numbers, written out: the header of the building machine may
 * be older than the kernel that runs us. In comments, the ABI that has it.
 */
#define FS_WRITE_FILE (1ULL << 1)
#define FS_READ_FILE (1ULL << 2)
#define FS_READ_DIR (1ULL << 3)
#define FS_REMOVE_DIR (1ULL << 4)
#define FS_REMOVE_FILE (1ULL << 5)
#define FS_MAKE_DIR (1ULL << 7)
#define FS_MAKE_REG (1ULL << 8)
#define FS_MAKE_SOCK (1ULL << 9)
#define FS_ALL_1 ((1ULL << 13) - 1)
#define FS_REFER (1ULL << 13) /* 2 */
#define FS_TRUNCATE (1ULL << 14) /* 3 */
#define FS_IOCTL_DEV (1ULL << 15) /* 5 */
#define NET_BIND_TCP (1ULL << 0) /* 4 */
#define NET_CONNECT_TCP (1ULL << 1) /* 4 */
#define SCOPE_ABSTRACT (1ULL << 0) /* 6 */
#define SCOPE_SIGNAL (1ULL << 1) /* 6 */

/* struct landlock_ruleset_attr as of ABI 6. */
struct ruleset {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

/*
 * Any port may stand in a rule of the proxy or be a DNS server's, so connect
 * stays open there; only the parent binds.
 */
static uint64_t
net_handled(enum sandbox_purpose purpose)
{
	switch (purpose) {
	case SANDBOX_PARENT:
		return NET_CONNECT_TCP;
	case SANDBOX_PROXY:
	case SANDBOX_RESOLVER:
		return NET_BIND_TCP;
	case SANDBOX_AUDIT:
	case SANDBOX_FRONTEND:
	case SANDBOX_FW:
	case SANDBOX_ENGINE:
	case SANDBOX_RUNS:
	case SANDBOX_QUEUE:
	case SANDBOX_DISPATCH:
	case SANDBOX_PURPOSES:
		break;
	}
	return NET_BIND_TCP | NET_CONNECT_TCP;
}

/* An older kernel knows a shorter struct; what it lacks must not be named. */
static int
create(int abi, enum sandbox_purpose purpose)
{
	struct ruleset r = { FS_ALL_1, 0, 0 };
	size_t len = sizeof(r.fs);

	if (abi >= 2)
		r.fs |= FS_REFER;
	if (abi >= 3)
		r.fs |= FS_TRUNCATE;
	if (abi >= 4) {
		r.net = net_handled(purpose);
		len = sizeof(r.fs) + sizeof(r.net);
	}
	if (abi >= 5)
		r.fs |= FS_IOCTL_DEV;
	if (abi >= 6) {
		r.scoped = SCOPE_ABSTRACT | SCOPE_SIGNAL;
		len = sizeof(r);
	}
	return (int)syscall(SYS_landlock_create_ruleset, &r, len, 0);
}

static int
add_beneath_fd(int ruleset, int fd, uint64_t access)
{
	struct landlock_path_beneath_attr rule = { access, fd };

	return (int)syscall(SYS_landlock_add_rule, ruleset,
	    LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

static int
add_beneath(int ruleset, const char *path, uint64_t access)
{
	int fd, r, saved;

	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd == -1)
		return errno == ENOENT || errno == EACCES ? 0 : -1;
	r = add_beneath_fd(ruleset, fd, access);
	saved = errno;
	close(fd);
	errno = saved;
	return r;
}

/*
 * A rule holds an inode, but an editor, useradd and a resolver daemon replace
 * their file by renaming another over it, and the next reload would be
 * refused. So a file stands for the directory that it really lies in; only
 * the root directory is never opened that way.
 */
static int
add_path(int ruleset, const char *path)
{
	char real[PATH_MAX], *slash;
	struct stat sb;

	if (realpath(path, real) == NULL || stat(real, &sb) == -1)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES
		    ? 0
		    : -1;
	if (S_ISDIR(sb.st_mode))
		return add_beneath(ruleset, real, FS_READ_FILE | FS_READ_DIR);
	slash = strrchr(real, '/');
	if (slash == NULL || slash == real)
		return add_beneath(ruleset, real, FS_READ_FILE);
	*slash = '\0';
	return add_beneath(ruleset, real, FS_READ_FILE);
}

/*
 * Files and directories of its own, and nothing else that a name can be; the
 * parent of dispatchd: directories and sockets, and no file.
 */
static uint64_t
below(int abi, enum sandbox_purpose purpose)
{
	uint64_t access = FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE |
	    FS_MAKE_REG | FS_MAKE_DIR | FS_REMOVE_FILE | FS_REMOVE_DIR;

	if (purpose == SANDBOX_DISPATCH)
		return FS_MAKE_DIR | FS_MAKE_SOCK | FS_REMOVE_FILE |
		    FS_REMOVE_DIR;
	if (abi >= 3)
		access |= FS_TRUNCATE;
	return access;
}

int
sandbox_landlock_abi(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);
}

int
sandbox_landlock(
    enum sandbox_purpose purpose, const struct sandbox_paths *paths)
{
	int abi, fd, i, r = -1, saved;

	if ((abi = sandbox_landlock_abi()) == -1)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -1;
	if ((fd = create(abi, purpose)) == -1)
		return -1;
	for (i = 0;
	     paths != NULL && paths->read != NULL && paths->read[i] != NULL;
	     i++) {
		if (add_path(fd, paths->read[i]) == -1)
			goto out;
	}
	if (paths != NULL && paths->dir != 0 &&
	    add_beneath_fd(fd, paths->dir, below(abi, purpose)) == -1)
		goto out;
	if (syscall(SYS_landlock_restrict_self, fd, 0) == 0)
		r = abi;
out:
	saved = errno;
	close(fd);
	errno = saved;
	return r;
}
