#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libcommon/daemon.h"
#include "libcommon/fd.h"
#include "libcommon/log.h"

#define LISTEN_FDS_START 3 /* sd_listen_fds(3) */
#define LISTEN_FDS_MOVED 64 /* out of the way of those of children */
#define LISTEN_RETRY_STEP_MS 50

/* Sockets handed over by the service manager; -1 once they are used. */
static int given[DAEMON_GIVEN_MAX];
static size_t ngiven;

void
daemon_given_take(void)
{
	const char *pid = getenv("LISTEN_PID");
	const char *fds = getenv("LISTEN_FDS");
	const char *errstr;
	long long n;
	int fd;

	if (pid != NULL && fds != NULL &&
	    strtonum(pid, 1, INT32_MAX, &errstr) == getpid()) {
		n = strtonum(fds, 0, DAEMON_GIVEN_MAX, &errstr);
		if (errstr != NULL)
			fatalx("LISTEN_FDS is %s", errstr);
		for (fd = LISTEN_FDS_START; fd < LISTEN_FDS_START + n; fd++) {
			given[ngiven] =
			    fcntl(fd, F_DUPFD_CLOEXEC, LISTEN_FDS_MOVED);
			if (given[ngiven] == -1)
				fatal("descriptor %d of LISTEN_FDS", fd);
			close(fd);
			if (fd_set_nonblock(given[ngiven++]) == -1)
				fatal("descriptor %d of LISTEN_FDS", fd);
		}
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

/* Is given[i] still there, and of which address? */
static bool
given_name(size_t i, struct sockaddr_storage *ss)
{
	socklen_t len = sizeof(*ss);

	memset(ss, 0, sizeof(*ss));
	return given[i] != -1 &&
	    getsockname(given[i], (struct sockaddr *)ss, &len) == 0;
}

static int
given_use(size_t i)
{
	int fd = given[i];

	given[i] = -1;
	return fd;
}

static int
given_unix(const char *path)
{
	const struct sockaddr_un *sun;
	struct sockaddr_storage ss;
	size_t i;

	for (i = 0; i < ngiven; i++) {
		sun = (const struct sockaddr_un *)&ss;
		if (given_name(i, &ss) && ss.ss_family == AF_UNIX &&
		    strncmp(sun->sun_path, path, sizeof(sun->sun_path)) == 0)
			return given_use(i);
	}
	return -1;
}

int
daemon_given_inet(const struct netaddr *addr, uint16_t port)
{
	struct sockaddr_storage ss;
	struct netaddr a;
	uint16_t p;
	size_t i;

	for (i = 0; i < ngiven; i++) {
		if (given_name(i, &ss) &&
		    netaddr_from_sockaddr(&ss, &a, &p) == 0 && p == port &&
		    netaddr_equal(&a, addr))
			return given_use(i);
	}
	return -1;
}

void
daemon_listen_pause(void)
{
	const struct timespec ts = { 0, LISTEN_RETRY_STEP_MS * 1000000L };

	nanosleep(&ts, NULL);
}

int
daemon_listen_unix(const char *path)
{
	int64_t until = clock_boot_ms() + DAEMON_BIND_RETRY_MS;
	int fd;

	if ((fd = given_unix(path)) != -1)
		return fd;
	while ((fd = fd_listen_unix(path, DAEMON_BACKLOG)) == -1 &&
	    errno == EADDRINUSE && clock_boot_ms() < until)
		daemon_listen_pause();
	return fd;
}
