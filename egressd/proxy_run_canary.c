/*
 * The canary of a run: it answers on the port behind the proxy's, which no
 * packet rule ever permits. A probe from inside the run that is refused there
 * knows that the filter works, not just that nothing is there; whoever gets an
 * answer has found the filter open.
 */

#include <sys/socket.h>
#include <sys/types.h>

#include <netinet/in.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"
#include "libcommon/log.h"

#include "proxy.h"

static const char canary_line[] = "bulkhead-canary\n";

static void
canary_hit(struct proxy_run *run, const char *by)
{
	run->proxy->counters.canary_hits++;
	if (run->canary_hits++ % PROXY_CANARY_WARN == 0)
		log_warnx("run %s: its canary was reached by %s (%llu times): "
		          "the packet filter is open",
		    run->id, by, (unsigned long long)run->canary_hits);
}

static void
canary_tcp(int fd, short what, void *arg)
{
	struct proxy_run *run = arg;
	int i, s;

	for (i = 0; i < PROXY_CANARY_TURNS; i++) {
		s = fd_accept(fd);
		if (s == -1) {
			/* Else the loop would do nothing but ask again. */
			if (proxy_accept_exhausted(errno))
				proxy_back_off(run->proxy);
			return;
		}
		/* An empty send buffer takes the line. */
		(void)send(
		    s, canary_line, sizeof(canary_line) - 1, FD_NOSIGNAL);
		close(s);
		canary_hit(run, "TCP");
	}
}

/*
 * Two canaries that a forged source names to each other would never stop.
 * They all have the same port, which nobody else sends from.
 */
static bool
canary_is_source(int fd, const struct sockaddr_in *from)
{
	struct sockaddr_in own = { .sin_family = AF_INET };
	socklen_t len = sizeof(own);

	return getsockname(fd, (struct sockaddr *)&own, &len) == -1 ||
	    own.sin_port == from->sin_port;
}

/*
 * sendto(2) to an address is closed to us, and connecting the socket for one
 * answer would refuse what others send meanwhile: they would take the filter
 * for closed. sendmsg(2) is open, and takes us nowhere that connect(2) would
 * not.
 */
static void
canary_answer(int fd, struct sockaddr_in *from, uint8_t *buf, size_t len)
{
	struct iovec iov = { buf, len };
	struct msghdr mh = { .msg_name = from,
		.msg_namelen = sizeof(*from),
		.msg_iov = &iov,
		.msg_iovlen = 1 };

	/* What cannot be sent at once is lost, as datagrams are. */
	if (!canary_is_source(fd, from))
		(void)sendmsg(fd, &mh, FD_NOSIGNAL);
}

static void
canary_udp(int fd, short what, void *arg)
{
	struct proxy_run *run = arg;
	struct sockaddr_in from;
	uint8_t buf[PROXY_CANARY_DATAGRAM];
	socklen_t len;
	ssize_t n;
	int i;

	for (i = 0; i < PROXY_CANARY_TURNS; i++) {
		memset(&from, 0, sizeof(from));
		len = sizeof(from);
		n = recvfrom(
		    fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len);
		if (n == -1)
			return;
		/* The same bytes: it makes no more of what a forger sends. */
		if (n > 0 && from.sin_family == AF_INET)
			canary_answer(fd, &from, buf, (size_t)n);
		canary_hit(run, "UDP");
	}
}

int
run_canary_serve(struct proxy_run *run)
{
	static const struct {
		enum run_socket kind;
		event_callback_fn ready;
	} row[] = { { RUN_CANARY_TCP, canary_tcp },
		{ RUN_CANARY_UDP, canary_udp } };
	size_t i;
	int fd;

	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		fd = run->fd[row[i].kind];
		run->canary[row[i].kind] = event_new(run->proxy->base, fd,
		    EV_READ | EV_PERSIST, row[i].ready, run);
		if (run->canary[row[i].kind] == NULL ||
		    fd_set_nonblock(fd) == -1)
			return -1;
	}
	run_canary_pause(run, run->proxy->backing_off);
	return 0;
}

void
run_canary_pause(struct proxy_run *run, bool pause)
{
	size_t i;

	for (i = 0; i < EGRESS_RUN_SOCKETS; i++) {
		if (run->canary[i] == NULL)
			continue;
		if (pause)
			event_del(run->canary[i]);
		else
			event_add(run->canary[i], NULL);
	}
}

void
run_canary_stop(struct proxy_run *run)
{
	size_t i;

	for (i = 0; i < EGRESS_RUN_SOCKETS; i++) {
		if (run->canary[i] != NULL)
			event_free(run->canary[i]);
		run->canary[i] = NULL;
	}
}
