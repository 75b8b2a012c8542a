#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libcommon/log.h"

#include "tests/process/role.h"

#define NOBODY 65534

int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* --- links ------------------------------------------------------------ */

void
link_init(struct link *l, int fd)
{
	l->fd = fd;
	l->max = FRAME_CTL_MAX;
	l->n = 0;
}

int
link_make(struct link *l)
{
	int sv[2];

	ck_assert_int_eq(proc_socketpair(sv), 0);
	link_init(l, sv[0]);
	return sv[1];
}

void
link_close(struct link *l)
{
	if (l->fd != -1)
		close(l->fd);
	link_init(l, -1);
}

static void
link_wait(struct link *l)
{
	struct pollfd pfd = { l->fd, POLLOUT, 0 };

	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(poll(&pfd, 1, ROLE_WAIT_MS), 1);
}

static void
link_write(struct link *l, const void *buf, size_t len)
{
	const char *p = buf;
	ssize_t n;

	while (len > 0) {
		if ((n = send(l->fd, p, len, MSG_NOSIGNAL)) == -1) {
			link_wait(l);
			continue;
		}
		p += n;
		len -= (size_t)n;
	}
}

/* A descriptor travels with the first byte. */
static void
link_write_fd(struct link *l, const void *byte, int fd)
{
	union {
		struct cmsghdr hdr;
		char room[CMSG_SPACE(sizeof(int))];
	} c = { 0 };
	struct iovec iov = { (void *)(uintptr_t)byte, 1 };
	struct msghdr mh = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &c,
		.msg_controllen = sizeof(c.room) };

	c.hdr.cmsg_level = SOL_SOCKET;
	c.hdr.cmsg_type = SCM_RIGHTS;
	c.hdr.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&c.hdr), &fd, sizeof(int));
	while (sendmsg(l->fd, &mh, MSG_NOSIGNAL) == -1)
		link_wait(l);
}

void
link_send_fd(struct link *l, const struct msg *m, int fd)
{
	uint8_t hdr[FRAME_HEADER_LEN];
	char *text, why[128];
	size_t len, skip = 0;

	ck_assert_msg(
	    msg_encode(m, &text, &len, why, sizeof(why)) == 0, "%s", why);
	frame_put_control(hdr, len);
	if (fd != -1) {
		link_write_fd(l, hdr, fd);
		close(fd);
		skip = 1;
	}
	link_write(l, hdr + skip, sizeof(hdr) - skip);
	link_write(l, text, len);
	free(text);
}

void
link_send(struct link *l, const struct msg *m)
{
	link_send_fd(l, m, -1);
}

bool
link_recv(struct link *l, struct msg *m, int ms)
{
	struct pollfd pfd = { l->fd, POLLIN, 0 };
	struct frame f;
	const char *why;
	char reason[256];
	ssize_t took, n;

	for (;;) {
		took = frame_parse(l->buf, l->n, l->max, &f, &why);
		ck_assert_int_ge(took, 0);
		if (took > 0)
			break;
		if (poll(&pfd, 1, ms) != 1)
			return false;
		n = read(l->fd, l->buf + l->n, sizeof(l->buf) - l->n);
		if (n <= 0)
			return false;
		l->n += (size_t)n;
	}
	ck_assert_msg(msg_decode((const char *)f.data, f.len, m, reason,
	                  sizeof(reason)) == 0,
	    "%s", reason);
	l->n -= (size_t)took;
	memmove(l->buf, l->buf + took, l->n);
	return true;
}

void
expect(struct link *l, struct msg *m, enum msg_type type)
{
	ck_assert_msg(
	    link_recv(l, m, ROLE_WAIT_MS), "no %s came", msg_decl(type)->wire);
	ck_assert_msg(m->type == type, "%s (%s) came instead of %s",
	    msg_decl(m->type)->wire,
	    m->type == MSG_TYPE_error ? m->u.error.reason : "",
	    msg_decl(type)->wire);
}

int64_t
expect_id(struct link *l, enum msg_type type)
{
	struct msg m;
	int64_t id;

	expect(l, &m, type);
	id = m.id;
	msg_free(&m);
	return id;
}

void
expect_nothing(struct link *l, int ms)
{
	struct msg m;

	if (link_recv(l, &m, ms))
		ck_abort_msg("%s came", msg_decl(m.type)->wire);
}

/* --- the process ------------------------------------------------------ */

pid_t
role_spawn(const char *daemon, struct proc_spec *spec, struct link *parent)
{
	pid_t pid;

	spec->uid = getuid() == 0 ? NOBODY : getuid();
	spec->gid = getuid() == 0 ? NOBODY : getgid();
	spec->parent_fd = link_make(parent);
	ck_assert_int_gt(pid = proc_spawn(daemon, spec), 0);
	expect_id(parent, MSG_TYPE_ready);
	return pid;
}

int
role_status(pid_t *pid, int ms)
{
	int64_t end = now_ms() + ms;
	int status;
	pid_t r;

	while ((r = waitpid(*pid, &status, WNOHANG)) == 0 && now_ms() < end)
		usleep(5000);
	ck_assert_int_eq(r, *pid);
	*pid = -1;
	ck_assert_msg(WIFEXITED(status), "wait status %d", status);
	return WEXITSTATUS(status);
}

void
role_kill(pid_t *pid)
{
	if (*pid > 0) {
		kill(*pid, SIGKILL);
		waitpid(*pid, NULL, 0);
	}
	*pid = -1;
}

int
role_main(const char *daemon, int argc, char **argv,
    void (*main_)(const struct proc_self *self))
{
	struct proc_self self;
	int ch, debug = 0, verbose = 0;

	while ((ch = getopt(argc, argv, "dvx:")) != -1) {
		switch (ch) {
		case 'd':
			debug = 1;
			break;
		case 'v':
			verbose++;
			break;
		case 'x':
			log_init(daemon, debug, verbose);
			if (proc_parse_self(daemon, argc, argv, &self) == 0)
				main_(&self);
			return 2;
		default:
			return 2;
		}
	}
	return 2;
}
