/*
 * The probes as sockets: all at once, one poll loop, one deadline. It blocks:
 * PID 1 has nothing else to do then, it has not been released.
 */

#include <sys/types.h>

#include <sys/socket.h>

#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/fd.h"

#include "entrypoint_probe.h"

#define PROBE_IN_MAX 4608 /* the proxy's head and body */
#define DNS_ID_FIRST 0x4248 /* the probe's number is added */
#define ECHO_LEN 16
#define SPIN_MS 20 /* how late a silence may be noticed */

enum phase {
	PHASE_CONNECTING,
	PHASE_LISTENING,
	PHASE_DONE
};

struct attempt {
	struct probe *p;
	int fd;
	enum phase phase;
	int64_t quiet_ms; /* at this time silence is proven */
	uint16_t id;
	size_t len;
	char in[PROBE_IN_MAX];
};

struct trial {
	struct attempt *v;
	size_t n;
	const char *run;
	int64_t deadline_ms;
};

void
probe_interfaces(struct probe_input *in)
{
	struct if_nameindex *list = if_nameindex(), *i;

	in->ninterfaces = 0;
	if (list == NULL)
		return;
	for (i = list; i->if_index != 0; i++)
		if (strcmp(i->if_name, "lo") != 0 &&
		    in->ninterfaces < PROBE_INTERFACES_MAX)
			in->interfaces[in->ninterfaces++] = i->if_index;
	if_freenameindex(list);
}

static void
done(struct attempt *a, enum probe_met met, int err)
{
	a->p->out.met = met;
	a->p->out.err = err;
	a->phase = PHASE_DONE;
	if (a->fd != -1)
		(void)close(a->fd);
	a->fd = -1;
}

static bool
is_stream(enum probe_kind kind)
{
	return kind == PROBE_PROXY || kind == PROBE_TCP || kind == PROBE_TCP6 ||
	    kind == PROBE_DNS_TCP;
}

/* --- sockets ---------------------------------------------------------- */

/* Errors of ours, which prove nothing about the network. */
static bool
is_local(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM ||
	    err == ENOBUFS || err == EAGAIN;
}

static void
failed(struct attempt *a, int err)
{
	done(a, is_local(err) ? MET_UNABLE : MET_ERRNO, err);
}

static int
open_socket(const struct probe *p)
{
	int family = p->addr.family, proto = 0, off = 0, fd;
	int type = is_stream(p->kind) ? SOCK_STREAM : SOCK_DGRAM;

	if (p->kind == PROBE_ICMP)
		proto = family == AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	fd = fd_socket(family, type, proto);
	/* Our own answer to a multicast would be taken for somebody's. */
	if (fd != -1 && p->scope != 0 && type == SOCK_DGRAM)
		(void)setsockopt(
		    fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &off, sizeof(off));
	return fd;
}

static socklen_t
address_of(const struct probe *p, struct sockaddr_storage *ss)
{
	socklen_t len = netaddr_to_sockaddr(&p->addr, p->port, ss);

	if (p->addr.family == AF_INET6)
		((struct sockaddr_in6 *)(void *)ss)->sin6_scope_id = p->scope;
	return len;
}

static size_t
make_echo(const struct probe *p, uint8_t buf[ECHO_LEN])
{
	memset(buf, 0, ECHO_LEN);
	/* The kernel fills in id and checksum of such a socket. */
	buf[0] = p->addr.family == AF_INET6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
	return ECHO_LEN;
}

static size_t
make_datagram(const struct attempt *a, uint8_t buf[DNS_QUERY_MAX])
{
	if (a->p->kind == PROBE_ICMP)
		return make_echo(a->p, buf);
	if (a->p->name != NULL)
		return dns_query(a->p->name, a->id, false, buf);
	memset(buf, 0, 48);
	buf[0] = 0x23; /* what NTP would answer to; to others it is any byte */
	return 48;
}

/* A multicast is answered from elsewhere: such a socket is not connected. */
static void
send_datagram(struct attempt *a)
{
	struct sockaddr_storage ss;
	socklen_t len = address_of(a->p, &ss);
	uint8_t buf[DNS_QUERY_MAX];
	size_t n = make_datagram(a, buf);
	ssize_t sent;

	if (a->p->scope != 0) {
		sent = sendto(
		    a->fd, buf, n, FD_NOSIGNAL, (struct sockaddr *)&ss, len);
	} else {
		if (connect(a->fd, (struct sockaddr *)&ss, len) == -1) {
			failed(a, errno);
			return;
		}
		sent = send(a->fd, buf, n, FD_NOSIGNAL);
	}
	if (sent == -1)
		failed(a, errno);
	else
		a->phase = PHASE_LISTENING;
}

static void
start(struct attempt *a)
{
	struct sockaddr_storage ss;
	socklen_t len = address_of(a->p, &ss);

	if ((a->fd = open_socket(a->p)) == -1) {
		failed(a, errno);
		return;
	}
	if (!is_stream(a->p->kind)) {
		send_datagram(a);
		return;
	}
	a->phase = PHASE_CONNECTING;
	if (connect(a->fd, (struct sockaddr *)&ss, len) == -1 &&
	    errno != EINPROGRESS)
		failed(a, errno);
}

/* --- what comes back --------------------------------------------------- */

static void
connected(struct attempt *a)
{
	char ask[] = "CONNECT " PROOF_PROXY_NAME ":443 HTTP/1.1\r\n"
	             "Host: " PROOF_PROXY_NAME ":443\r\n\r\n";
	uint8_t query[DNS_QUERY_MAX];
	const void *out = ask;
	size_t n = sizeof(ask) - 1;

	if (a->p->kind == PROBE_TCP || a->p->kind == PROBE_TCP6) {
		done(a, MET_CONNECTED, 0);
		return;
	}
	if (a->p->kind == PROBE_DNS_TCP) {
		n = dns_query(a->p->name, a->id, true, query);
		out = query;
	}
	a->phase = PHASE_LISTENING;
	if (send(a->fd, out, n, FD_NOSIGNAL) != (ssize_t)n)
		failed(a, errno);
}

static void
check_connect(struct attempt *a)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1)
		err = errno;
	if (err != 0)
		failed(a, err);
	else
		connected(a);
}

static void
listen_stream(struct attempt *a, const char *run)
{
	const uint8_t *u = (const uint8_t *)a->in;
	enum probe_met met;
	size_t want;

	if (a->p->kind == PROBE_PROXY) {
		if (proxy_answer_read(a->in, a->len, run, &met) ||
		    a->len == sizeof(a->in))
			done(a, met, 0);
		return;
	}
	if (a->len < 2)
		return;
	want = ((size_t)u[0] << 8 | u[1]) + 2;
	if (want > sizeof(a->in))
		done(a, MET_ANSWER, 0);
	else if (a->len >= want)
		done(a, dns_answer(u + 2, want - 2, a->id), 0);
}

static void
heard(struct attempt *a, const char *run)
{
	ssize_t n =
	    recv(a->fd, a->in + a->len, sizeof(a->in) - a->len, MSG_DONTWAIT);

	if (n == -1) {
		if (errno != EAGAIN && errno != EINTR)
			failed(a, errno);
		return;
	}
	a->len += (size_t)n;
	if (a->p->kind == PROBE_DNS_UDP)
		done(a, dns_answer((uint8_t *)a->in, (size_t)n, a->id), 0);
	else if (!is_stream(a->p->kind))
		done(a, MET_ANSWER, 0);
	else if (n == 0)
		done(a, a->p->kind == PROBE_PROXY ? MET_ANSWER : MET_CONNECTED,
		    0);
	else
		listen_stream(a, run);
}

/* --- the loop ---------------------------------------------------------- */

static void
arm(struct trial *t, struct probe_plan *plan)
{
	int64_t now = clock_boot_ms();
	struct attempt *a;
	size_t i;

	t->deadline_ms = now + PROBE_MS;
	for (i = 0; i < t->n; i++) {
		a = &t->v[i];
		a->p = &plan->v[i];
		a->fd = -1;
		a->id = (uint16_t)(DNS_ID_FIRST + i);
		a->quiet_ms = t->deadline_ms;
		if (a->p->kind == PROBE_UDP || a->p->kind == PROBE_ICMP)
			a->quiet_ms = now + PROBE_QUIET_MS;
		else if (a->p->kind == PROBE_DNS_UDP ||
		    a->p->kind == PROBE_DNS_TCP)
			a->quiet_ms = now + PROBE_DNS_QUIET_MS;
		start(a);
	}
}

static size_t
collect(struct trial *t, struct pollfd *fds, int64_t now)
{
	struct attempt *a;
	size_t i, open = 0;

	for (i = 0; i < t->n; i++) {
		a = &t->v[i];
		if (a->phase != PHASE_DONE && now >= a->quiet_ms)
			done(a, MET_SILENCE, 0);
		fds[i].fd = a->fd;
		fds[i].events = a->phase == PHASE_CONNECTING ? POLLOUT : POLLIN;
		fds[i].revents = 0;
		if (a->phase != PHASE_DONE)
			open++;
	}
	return open;
}

static void
loop(struct trial *t, struct pollfd *fds)
{
	struct attempt *a;
	size_t i;

	while (collect(t, fds, clock_boot_ms()) > 0) {
		if (poll(fds, (nfds_t)t->n, SPIN_MS) <= 0)
			continue;
		for (i = 0; i < t->n; i++) {
			a = &t->v[i];
			if (fds[i].revents == 0 || a->phase == PHASE_DONE)
				continue;
			if (a->phase == PHASE_CONNECTING)
				check_connect(a);
			else
				heard(a, t->run);
		}
	}
}

int
probe_run(struct probe_plan *plan)
{
	struct trial t = { .n = plan->n, .run = plan->run };
	struct pollfd *fds;
	int r = -1;

	t.v = calloc(plan->n, sizeof(*t.v));
	fds = calloc(plan->n, sizeof(*fds));
	if (t.v != NULL && fds != NULL) {
		arm(&t, plan);
		loop(&t, fds);
		r = 0;
	}
	free(fds);
	free(t.v);
	return r;
}
