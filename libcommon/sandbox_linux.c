#include <sys/prctl.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "libcommon/log.h"
#include "libcommon/sandbox.h"
#include "libcommon/sandbox_linux.h"

#ifdef BULKHEAD_SANITIZE
/*
 * The leak check at exit clones a thread that traces us, which no purpose may
 * do. The leak sanitizer asks this hook first; a confined process answers
 * that it has none, every other one is checked as usual.
 */
int __lsan_is_turned_off(void);

static int confined;

int
__lsan_is_turned_off(void)
{
	return confined;
}
#endif

/*
 * The filter is in force only if a call that it answers with an errno gets
 * that: a filter that let these pass would let anything pass. (What it kills
 * for cannot be tried here.)
 */
static int
check(enum sandbox_purpose purpose)
{
	int fd;

	if (purpose == SANDBOX_DISPATCH)
		fd = access("/", F_OK);
	else if (purpose == SANDBOX_PARENT)
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	else
		fd = open("/", O_RDONLY | O_CLOEXEC);
	if (fd == -1 && errno == EACCES)
		return 0;
	if (fd > 0)
		close(fd);
	errno = EPROTO;
	return -1;
}

int
sandbox_enter(enum sandbox_purpose purpose, const struct sandbox_paths *paths,
    struct sandbox_state *st)
{
	struct sandbox_state got = { false, 0, false };
	int r;

	if ((unsigned)purpose >= SANDBOX_PURPOSES) {
		errno = EINVAL;
		return -1;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return -1;
	got.no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;

	if ((got.landlock = sandbox_landlock(purpose, paths)) == -1)
		return -1;
	if (got.landlock == 0)
		log_warnx("sandbox %s: this kernel has no Landlock",
		    sandbox_name(purpose));

	if ((r = sandbox_seccomp(purpose)) == -1)
		return -1;
	got.seccomp = r == 1;
	if (!got.seccomp)
		log_warnx("sandbox %s: this kernel has no seccomp filters",
		    sandbox_name(purpose));
	else if (check(purpose) == -1)
		return -1;
#ifdef BULKHEAD_SANITIZE
	confined = got.seccomp;
#endif
	*st = got;
	return 0;
}
