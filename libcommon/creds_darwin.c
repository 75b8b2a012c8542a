#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/creds.h"

/*
 * The socket tells one gid; the groups are the user's as the directory has
 * them, not the process's own.
 */
int
creds_get(int fd, struct creds *c)
{
	int groups[CREDS_GROUPS_MAX], i, n = CREDS_GROUPS_MAX;
	const struct passwd *pw;
	struct creds got;
	socklen_t len = sizeof(got.pid);

	memset(&got, 0, sizeof(got));
	if (getpeereid(fd, &got.uid, &got.gid) == -1 ||
	    getsockopt(fd, SOL_LOCAL, LOCAL_PEERPID, &got.pid, &len) == -1)
		return -1;
	if ((pw = getpwuid(got.uid)) != NULL) {
		if (getgrouplist(pw->pw_name, (int)got.gid, groups, &n) == -1) {
			errno = ERANGE;
			return -1;
		}
		for (i = 0; i < n; i++)
			got.groups[i] = (gid_t)groups[i];
		got.ngroups = (size_t)n;
	}
	*c = got;
	return 0;
}
