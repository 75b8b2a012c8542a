#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <linux/netlink.h>

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "libcommon/creds.h"
#include "libcommon/fd.h"
#include "libcommon/sandbox.h"
#include "libcommon/sandbox_linux_selftest.h"

/* What each purpose must still be able to do, by the calls it really makes. */

#define PURPOSE(p) SELFTEST_PURPOSE(p)
#define EVERY SELFTEST_EVERY
#define SPLICE_LEN 5
#define BIG 8388608UL /* malloc maps it by itself */
#define BIGGER (2 * BIG)

static struct sockaddr_in
loopback(int port)
{
	struct sockaddr_in sin;

	memset(&sin, 0, sizeof(sin));
	sin.sin_family = AF_INET;
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sin.sin_port = htons((uint16_t)port);
	return sin;
}

static int
need_memory(const struct selftest_fds *f)
{
	char *bigger, *big = calloc(1, BIG), *small = malloc(1);
	int r = -1;

	if (big != NULL && small != NULL &&
	    (bigger = realloc(big, BIGGER)) != NULL) {
		big = bigger;
		r = 0;
	}
	free(big);
	free(small);
	return r;
}

static int
need_time(const struct selftest_fds *f)
{
	struct timespec ts = { 0, 1000 };
	time_t now = time(NULL);
	struct tm tm;

	if (clock_gettime(CLOCK_BOOTTIME, &ts) == -1 ||
	    gmtime_r(&now, &tm) == NULL)
		return -1;
	ts.tv_sec = 0;
	ts.tv_nsec = 1000;
	return nanosleep(&ts, NULL);
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	(*(int *)arg)++;
}

/* A timer, a signal and a socket through a whole event loop. */
static int
need_loop(const struct selftest_fds *f)
{
	const struct timeval soon = { 0, 1000 };
	struct event_base *base;
	struct event *ev[3];
	int hits = 0, i;

	if ((base = event_base_new()) == NULL)
		return -1;
	ev[0] = evtimer_new(base, on_event, &hits);
	ev[1] = evsignal_new(base, SIGCHLD, on_event, &hits);
	ev[2] = event_new(base, f->link[0], EV_READ, on_event, &hits);
	event_add(ev[0], &soon);
	event_add(ev[1], NULL);
	event_add(ev[2], NULL);
	if (write(f->link[1], "x", 1) != 1)
		return -1;
	event_active(ev[1], EV_SIGNAL, 1);
	while (hits < 3 && event_base_loop(base, EVLOOP_ONCE) == 0)
		continue;
	for (i = 0; i < 3; i++)
		event_free(ev[i]);
	event_base_free(base);
	return hits == 3 ? 0 : -1;
}

/* Bytes and a descriptor over a link. */
static int
need_link(const struct selftest_fds *f)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(sizeof(int))];
	} c;
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr mh = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = c.buf,
		.msg_controllen = sizeof(c.buf) };

	memset(&c, 0, sizeof(c));
	c.hdr.cmsg_len = CMSG_LEN(sizeof(int));
	c.hdr.cmsg_level = SOL_SOCKET;
	c.hdr.cmsg_type = SCM_RIGHTS;
	memcpy(CMSG_DATA(&c.hdr), &f->file, sizeof(int));
	if (sendmsg(f->link[0], &mh, MSG_NOSIGNAL) != 1 ||
	    recvmsg(f->link[1], &mh, MSG_CMSG_CLOEXEC) != 1)
		return -1;
	if (send(f->link[0], &byte, 1, MSG_NOSIGNAL) != 1 ||
	    recv(f->link[1], &byte, 1, 0) != 1)
		return -1;
	return 0;
}

static int
need_file(const struct selftest_fds *f)
{
	struct iovec iov[2] = { { (void *)(uintptr_t) "a", 1 },
		{ (void *)(uintptr_t) "b\n", 2 } };
	struct stat sb;
	char c;

	if (writev(f->file, iov, 2) != 3 || fdatasync(f->file) == -1 ||
	    fstat(f->file, &sb) == -1 || pread(f->file, &c, 1, 0) != 1)
		return -1;
	return sb.st_size >= 3 ? 0 : -1;
}

static int
need_space(const struct selftest_fds *f)
{
	int64_t bytes = -1;

	return fd_space(f->dir, &bytes) == 0 && bytes >= 0 ? 0 : -1;
}

static int
need_accept_unix(const struct selftest_fds *f)
{
	struct creds c;
	int fd, r;

	fd = accept4(f->unix_listen, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd == -1)
		return -1;
	r = creds_get(fd, &c);
	close(fd);
	return r == 0 && c.uid == geteuid() ? 0 : -1;
}

static int
need_accept_tcp(const struct selftest_fds *f)
{
	struct linger hard = { 1, 0 };
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd, on = 1, r = -1;

	fd = accept4(f->tcp_listen, (struct sockaddr *)&ss, &len,
	    SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd == -1)
		return -1;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)) == 0 &&
	    shutdown(fd, SHUT_WR) == 0)
		r = 0;
	close(fd);
	return r;
}

/* Dial; a connection under way is one. */
static int
need_dial(const struct selftest_fds *f)
{
	struct sockaddr_in sin = loopback(f->tcp_port);
	socklen_t len = sizeof(sin);
	int e, fd;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1 &&
	    errno != EINPROGRESS)
		return -1;
	if (getsockname(fd, (struct sockaddr *)&sin, &len) == -1)
		return -1;
	len = sizeof(e);
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len);
}

/* By a file's name: Landlock may close the names that are no files. */
static int
need_dial_unix(const struct selftest_fds *f)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(int);
	int e, fd;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/sock", f->unix_dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1 ||
	    connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1 ||
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) == -1)
		return -1;
	return send(fd, "x", 1, MSG_NOSIGNAL) == 1 ? close(fd) : -1;
}

/* Which address would we send from? No packet leaves. */
static int
need_own_address(const struct selftest_fds *f)
{
	struct sockaddr_in sin = loopback(f->tcp_port);
	socklen_t len = sizeof(sin);
	int fd, r = -1;

	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0 &&
	    getsockname(fd, (struct sockaddr *)&sin, &len) == 0)
		r = 0;
	close(fd);
	return r;
}

static int
need_splice(const struct selftest_fds *f)
{
	int p[2];

	if (pipe2(p, O_NONBLOCK | O_CLOEXEC) == -1)
		return -1;
	if (fcntl(p[1], F_SETPIPE_SZ, 4096) == -1 ||
	    write(f->link[0], "hello", SPLICE_LEN) != SPLICE_LEN)
		return -1;
	if (splice(f->link[1], NULL, p[1], NULL, SPLICE_LEN,
	        SPLICE_F_MOVE | SPLICE_F_NONBLOCK) != SPLICE_LEN)
		return -1;
	return splice(p[0], NULL, f->tcp_client, NULL, SPLICE_LEN,
	           SPLICE_F_MOVE | SPLICE_F_NONBLOCK) == SPLICE_LEN
	    ? 0
	    : -1;
}

static int
need_datagram(const struct selftest_fds *f)
{
	struct sockaddr_in sin = loopback(f->tcp_port);
	int fd, flags;

	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd == -1 || (flags = fcntl(fd, F_GETFL)) == -1 ||
	    fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) == -1)
		return -1;
	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1)
		return -1;
	return send(fd, "x", 1, 0) == 1 ? 0 : -1;
}

static int
need_listen(const struct selftest_fds *f)
{
	struct sockaddr_in sin = loopback(0);
	int fd, on = 1;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == -1 ||
	    bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1)
		return -1;
	return listen(fd, 1);
}

/* The door of a run: in a directory, with a mode, gone without a trace. */
static int
need_door(const struct selftest_fds *f)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	snprintf(
	    sun.sun_path, sizeof(sun.sun_path), "%s/run/sock", f->unix_dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1 || mkdirat(f->dir, "run", 0755) == -1 ||
	    bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1 ||
	    fchmodat(f->dir, "run/sock", 0666, 0) == -1 || listen(fd, 1) == -1)
		return -1;
	if (unlinkat(f->dir, "run/sock", 0) == -1 ||
	    unlinkat(f->dir, "run", AT_REMOVEDIR) == -1)
		return -1;
	return close(fd);
}

static int
need_read_files(const struct selftest_fds *f)
{
	char c;
	int fd;

	fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	if (fd == -1 || read(fd, &c, 1) != 1)
		return -1;
	close(fd);
	return getpwnam("root") != NULL && getpwnam("no-such-user") == NULL
	    ? 0
	    : -1;
}

static int
need_reap(const struct selftest_fds *f)
{
	int status;

	return waitpid(getpid(), &status, WNOHANG) == -1 && errno == ECHILD
	    ? 0
	    : -1;
}

/* Asked for nothing with a receipt: the kernel's answer is there at once. */
static int
need_netlink(const struct selftest_fds *f)
{
	struct nlmsghdr ask = { .nlmsg_len = sizeof(ask),
		.nlmsg_type = NLMSG_NOOP,
		.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK };
	union {
		struct nlmsghdr hdr;
		char buf[256];
	} got;
	struct sockaddr_nl from;
	struct iovec iov = { &got, sizeof(got) };
	struct msghdr mh = { .msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1 };

	if (send(f->netlink, &ask, sizeof(ask), MSG_NOSIGNAL) != sizeof(ask) ||
	    recvmsg(f->netlink, &mh, MSG_DONTWAIT) == -1)
		return -1;
	return from.nl_pid == 0 && got.hdr.nlmsg_type == NLMSG_ERROR ? 0 : -1;
}

static const struct selftest_act needs[] = {
	{ "memory", EVERY, need_memory },
	{ "time", EVERY, need_time },
	{ "an event loop", EVERY, need_loop },
	{ "its links", EVERY, need_link },
	{ "its file", PURPOSE(SANDBOX_AUDIT), need_file },
	{ "unix clients", PURPOSE(SANDBOX_FRONTEND), need_accept_unix },
	{ "to dial", PURPOSE(SANDBOX_PROXY) | PURPOSE(SANDBOX_RESOLVER),
	    need_dial },
	{ "to dial a unix socket", PURPOSE(SANDBOX_ENGINE), need_dial_unix },
	{ "its own address", PURPOSE(SANDBOX_PROXY), need_own_address },
	{ "splice", PURPOSE(SANDBOX_PROXY), need_splice },
	/* behind it: this one resets the connection */
	{ "tcp clients", PURPOSE(SANDBOX_PROXY), need_accept_tcp },
	{ "datagrams", PURPOSE(SANDBOX_RESOLVER), need_datagram },
	{ "its netlink socket", PURPOSE(SANDBOX_FW), need_netlink },
	{ "to listen", PURPOSE(SANDBOX_PARENT), need_listen },
	{ "a door", PURPOSE(SANDBOX_DISPATCH), need_door },
	{ "listed files", PURPOSE(SANDBOX_PARENT) | PURPOSE(SANDBOX_DISPATCH),
	    need_read_files },
	{ "room on its disk", PURPOSE(SANDBOX_RUNS) | PURPOSE(SANDBOX_QUEUE),
	    need_space },
	{ "to reap", PURPOSE(SANDBOX_PARENT) | PURPOSE(SANDBOX_DISPATCH),
	    need_reap },
};

size_t
sandbox_selftest_needs(const struct selftest_act **list)
{
	*list = needs;
	return sizeof(needs) / sizeof(needs[0]);
}

/* A listener and a client of it, by an address that names no file. */
static int
open_unix(struct selftest_fds *f)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(sun);

	f->unix_listen = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	f->unix_client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (f->unix_listen == -1 || f->unix_client == -1)
		return -1;
	/* Binding to nothing gets a name that nobody else has. */
	if (bind(f->unix_listen, (struct sockaddr *)&sun,
	        sizeof(sa_family_t)) == -1 ||
	    listen(f->unix_listen, 8) == -1 ||
	    getsockname(f->unix_listen, (struct sockaddr *)&sun, &len) == -1)
		return -1;
	return connect(f->unix_client, (struct sockaddr *)&sun, len);
}

/* A listener with a file for its name. */
static int
open_unix_file(struct selftest_fds *f)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	strlcpy(f->unix_dir, "/tmp/selftest-XXXXXX", sizeof(f->unix_dir));
	if (mkdtemp(f->unix_dir) == NULL) {
		f->unix_dir[0] = '\0';
		return -1;
	}
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/sock", f->unix_dir);
	f->unix_file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	f->dir = open(f->unix_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->unix_file == -1 || f->dir == -1 ||
	    bind(f->unix_file, (struct sockaddr *)&sun, sizeof(sun)) == -1)
		return -1;
	return listen(f->unix_file, 8);
}

static void
remove_unix_file(const struct selftest_fds *f)
{
	char path[sizeof(f->unix_dir) + sizeof("/sock")];

	if (f->unix_dir[0] == '\0')
		return;
	snprintf(path, sizeof(path), "%s/sock", f->unix_dir);
	unlink(path);
	rmdir(f->unix_dir);
}

static int
open_tcp(struct selftest_fds *f)
{
	struct sockaddr_in sin = loopback(0);
	socklen_t len = sizeof(sin);

	f->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	f->tcp_listen = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	f->tcp_client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (f->tcp == -1 || f->tcp_listen == -1 || f->tcp_client == -1)
		return -1;
	if (bind(f->tcp_listen, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    listen(f->tcp_listen, 8) == -1 ||
	    getsockname(f->tcp_listen, (struct sockaddr *)&sin, &len) == -1)
		return -1;
	f->tcp_port = ntohs(sin.sin_port);
	return connect(f->tcp_client, (struct sockaddr *)&sin, len);
}

static int
open_netlink(struct selftest_fds *f)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	f->netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (f->netlink == -1)
		return -1;
	return connect(f->netlink, (struct sockaddr *)&kernel, sizeof(kernel));
}

int
sandbox_selftest_open(struct selftest_fds *f)
{
	int saved;

	memset(f, -1, sizeof(*f));
	f->unix_dir[0] = '\0';
	if (open_tcp(f) == 0 && open_unix(f) == 0 && open_netlink(f) == 0 &&
	    open_unix_file(f) == 0 &&
	    (f->file = memfd_create("selftest", MFD_CLOEXEC)) != -1 &&
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f->link) == 0)
		return 0;
	saved = errno;
	sandbox_selftest_close(f);
	errno = saved;
	return -1;
}

void
sandbox_selftest_close(struct selftest_fds *f)
{
	const int fds[] = { f->tcp, f->tcp_listen, f->tcp_client,
		f->unix_listen, f->unix_client, f->unix_file, f->file,
		f->link[0], f->link[1], f->netlink, f->dir };
	size_t i;

	for (i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (fds[i] != -1)
			close(fds[i]);
	}
	remove_unix_file(f);
}
