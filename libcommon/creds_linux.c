#include <sys/socket.h>

#include <string.h>

#include "libcommon/creds.h"

/*
 * SO_PEERCRED tells the process that connected, as it was then; so do its
 * groups. A peer in more groups than we hold (ERANGE) is refused, not judged
 * by a part of them.
 */
int
creds_get(int fd, struct creds *c)
{
	struct creds got;
	struct ucred u;
	socklen_t len = sizeof(u);

	memset(&got, 0, sizeof(got));
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &len) == -1)
		return -1;
	got.uid = u.uid;
	got.gid = u.gid;
	got.pid = u.pid;
	len = sizeof(got.groups);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, got.groups, &len) == -1)
		return -1;
	got.ngroups = len / sizeof(got.groups[0]);
	*c = got;
	return 0;
}
