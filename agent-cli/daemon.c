/*
 * A client's link to a daemon: blocking, one request at a time, one deadline
 * for all of it.
 */

#include <sys/types.h>

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/fd.h"
#include "libcommon/frame.h"
#include "libcommon/peer.h"
#include "libcommon/version.h"

#include "cmd.h"

#define IN_MAX (FRAME_HEADER_LEN + FRAME_CTL_MAX)
#define CONNECT_RETRY_MS 20 /* while the daemon's backlog is full */
#define CODEC_WHY_MAX 256
#define ASK_MS 10000 /* connect, hello, answer */

/* Say why the daemon cannot be reached. What it sent is escaped. */
static int __attribute__((format(printf, 2, 3)))
unreachable(struct daemon_link *l, const char *fmt, ...)
{
	char text[DAEMON_WHY_MAX / 4], *shown;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	shown = visible(text, strlen(text));
	(void)strlcpy(l->why, shown, sizeof(l->why));
	free(shown);
	return EXIT_UNREACHABLE;
}

static int
refused(struct daemon_link *l, const struct msg *m)
{
	char *code = visible(m->u.error.error, strlen(m->u.error.error));
	char *reason = visible(m->u.error.reason, strlen(m->u.error.reason));

	(void)snprintf(l->why, sizeof(l->why), "%s: %s", code, reason);
	free(code);
	free(reason);
	return EXIT_REFUSED;
}

/* --- waiting ---------------------------------------------------------- */

/* Returns 0 when the socket is ready, else an exit status. */
static int
wait_for(struct daemon_link *l, short events)
{
	struct pollfd pfd = { .fd = l->fd, .events = events };
	int64_t left;
	int n;

	for (;;) {
		left = l->deadline_ms - clock_boot_ms();
		if (left <= 0)
			return unreachable(l, "no answer in time");
		n = poll(&pfd, 1, (int)left);
		if (n > 0)
			return 0;
		if (n == -1 && errno != EINTR)
			return unreachable(l, "poll: %s", strerror(errno));
	}
}

/* A full backlog is EAGAIN here and cannot be waited for. */
static int
connect_to(struct daemon_link *l, const struct sockaddr_un *sun)
{
	while (connect(l->fd, (const void *)sun, sizeof(*sun)) == -1) {
		if (errno != EAGAIN && errno != EINTR)
			return unreachable(
			    l, "%s: %s", sun->sun_path, strerror(errno));
		if (clock_boot_ms() >= l->deadline_ms)
			return unreachable(
			    l, "%s: it is too busy", sun->sun_path);
		(void)usleep(CONNECT_RETRY_MS * 1000);
	}
	return 0;
}

static int
send_all(struct daemon_link *l, const void *buf, size_t len)
{
	const char *p = buf;
	ssize_t n;
	int r;

	while (len > 0) {
		n = write(l->fd, p, len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN) {
			if ((r = wait_for(l, POLLOUT)) != 0)
				return r;
			continue;
		}
		/* What it said before it closed is still there to be read. */
		if (n == -1 && (errno == EPIPE || errno == ECONNRESET))
			return 0;
		if (n == -1)
			return unreachable(l, "write: %s", strerror(errno));
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* --- messages --------------------------------------------------------- */

static int
send_msg(struct daemon_link *l, const struct msg *m)
{
	uint8_t hdr[FRAME_HEADER_LEN];
	char *text, why[CODEC_WHY_MAX] = "";
	size_t len;
	int r;

	if (msg_encode(m, &text, &len, why, sizeof(why)) == -1)
		return unreachable(l, "the request: %s", why);
	frame_put_control(hdr, len);
	if ((r = send_all(l, hdr, sizeof(hdr))) == 0)
		r = send_all(l, text, len);
	free(text);
	return r;
}

static int
read_more(struct daemon_link *l)
{
	ssize_t n;
	int r;

	if ((r = wait_for(l, POLLIN)) != 0)
		return r;
	n = read(l->fd, l->in + l->len, IN_MAX - l->len);
	if (n == -1 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n == -1)
		return unreachable(l, "read: %s", strerror(errno));
	if (n == 0)
		return unreachable(l, "it closed the connection");
	l->len += (size_t)n;
	return 0;
}

/* The next message, which a daemon may send to a client. */
static int
receive_msg(struct daemon_link *l, struct msg *m)
{
	struct frame f;
	char why[CODEC_WHY_MAX] = "";
	const char *bad = "";
	ssize_t n;
	int r;

	while ((n = frame_parse(l->in, l->len, FRAME_CTL_MAX, &f, &bad)) == 0)
		if ((r = read_more(l)) != 0)
			return r;
	if (n == -1)
		return unreachable(l, "it sent bad bytes: %s", bad);
	if (f.kind != FRAME_CONTROL)
		return unreachable(l, "it sent data that was not asked for");
	if (msg_decode((const char *)f.data, f.len, m, why, sizeof(why)) == -1)
		return unreachable(l, "it sent bad bytes: %s", why);
	l->len -= (size_t)n;
	memmove(l->in, l->in + n, l->len);
	if (msg_permitted(m->type, SIDE_FRONTEND, SIDE_CLIENT))
		return 0;
	r = unreachable(
	    l, "it sent %s, which no client gets", msg_decl(m->type)->wire);
	msg_free(m);
	return r;
}

static int
exchange_hello(struct daemon_link *l)
{
	struct msg m = { .type = MSG_TYPE_hello };
	int r;

	m.u.hello.service = "agent-cli";
	m.u.hello.major = PEER_PROTOCOL_MAJOR;
	m.u.hello.version = BULKHEAD_VERSION;
	if ((r = send_msg(l, &m)) != 0 || (r = receive_msg(l, &m)) != 0)
		return r;
	if (m.type == MSG_TYPE_error)
		r = refused(l, &m);
	else if (m.type != MSG_TYPE_hello)
		r = unreachable(l, "it did not say hello first");
	else if (m.u.hello.major != PEER_PROTOCOL_MAJOR)
		r = unreachable(l,
		    "it speaks version %lld of the protocol, "
		    "not %d",
		    (long long)m.u.hello.major, PEER_PROTOCOL_MAJOR);
	else if (strcmp(m.u.hello.service, l->name) != 0)
		r = unreachable(
		    l, "it is not %s but %s", l->name, m.u.hello.service);
	msg_free(&m);
	return r;
}

/* --- the link --------------------------------------------------------- */

int
daemon_open(struct daemon_link *l, const char *run_dir, const char *name,
    int64_t timeout_ms)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int n, r;

	memset(l, 0, sizeof(*l));
	l->name = name;
	l->deadline_ms = clock_boot_ms() + timeout_ms;
	l->fd = -1;
	n = snprintf(
	    sun.sun_path, sizeof(sun.sun_path), "%s/%s.sock", run_dir, name);
	if (n < 0 || (size_t)n >= sizeof(sun.sun_path))
		return unreachable(
		    l, "%s/%s.sock: %s", run_dir, name, strerror(ENAMETOOLONG));
	if ((l->in = malloc(IN_MAX)) == NULL)
		return unreachable(l, "out of memory");
	if ((l->fd = socket(AF_UNIX, SOCK_STREAM, 0)) == -1 ||
	    fd_set_cloexec(l->fd) == -1 || fd_set_nonblock(l->fd) == -1)
		return unreachable(l, "socket: %s", strerror(errno));
	if ((r = connect_to(l, &sun)) != 0)
		return r;
	return exchange_hello(l);
}

int
daemon_call_rows(struct daemon_link *l, struct msg *request,
    void (*row)(const struct msg *m, void *arg), void *arg, struct msg *answer)
{
	int r;

	request->id = 1;
	if ((r = send_msg(l, request)) != 0)
		return r;
	for (;;) {
		if ((r = receive_msg(l, answer)) != 0)
			return r;
		if (row == NULL || answer->id != request->id ||
		    msg_decl(answer->type)->kind != MSG_EVENT)
			break;
		row(answer, arg);
		msg_free(answer);
	}
	if (answer->type == MSG_TYPE_error)
		r = refused(l, answer);
	else if (answer->type != msg_decl(request->type)->answer ||
	    answer->id != request->id)
		r = unreachable(
		    l, "it answered with %s", msg_decl(answer->type)->wire);
	if (r != 0)
		msg_free(answer);
	return r;
}

int
daemon_call(struct daemon_link *l, struct msg *request, struct msg *answer)
{
	return daemon_call_rows(l, request, NULL, NULL, answer);
}

int
daemon_complain(const struct daemon_link *l, int r)
{
	if (r == EXIT_REFUSED)
		complain("%s refused: %s", l->name, l->why);
	else if (r != 0)
		complain("%s cannot be reached: %s", l->name, l->why);
	return r;
}

int
daemon_ask(const struct cli *cli, struct msg *request, struct msg *answer)
{
	struct daemon_link l;
	int r;

	if ((r = daemon_open(&l, cli->run_dir, "dispatchd", ASK_MS)) == 0)
		r = daemon_call(&l, request, answer);
	(void)daemon_complain(&l, r);
	daemon_close(&l);
	return r;
}

void
daemon_close(struct daemon_link *l)
{
	if (l->fd != -1)
		(void)close(l->fd);
	free(l->in);
	l->fd = -1;
	l->in = NULL;
}
