#ifndef LIBCOMMON_CREDS_H
#define LIBCOMMON_CREDS_H

/* Who is at the other end of a Unix socket: the kernel's word. */

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

#define CREDS_GROUPS_MAX 256

struct creds {
	uid_t uid;
	gid_t gid;
	pid_t pid;
	gid_t groups[CREDS_GROUPS_MAX]; /* supplementary */
	size_t ngroups;
};

/* Returns 0, or -1 with errno. */
int creds_get(int fd, struct creds *c);
bool creds_in_group(const struct creds *c, gid_t gid);

#endif
