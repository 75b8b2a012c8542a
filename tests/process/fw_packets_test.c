/*
 * What the packet rules do, by packets: a run's network beside the machine, a
 * network behind it, and everything that goes between them. That nothing is
 * refused by something else is seen before the rules are made.
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>

#include "fw_fixture.h"

#define TRY_MS 2000 /* for what has an answer */
#define SILENCE_MS 300 /* for what may have none */
#define SERVERS_MAX 16

#define IF_RUN "bh-" RUN_A
#define MAC_HOST "02:00:00:00:00:01"
#define MAC_RUN "02:00:00:00:00:02"

enum place {
	HOST,
	RUN, /* the container's network */
	OUTER, /* behind the machine */
	PLACES
};

static struct {
	pid_t pid; /* holds it */
	int fd;
} ns[PLACES];

static int servers[SERVERS_MAX];
static size_t nservers;

static void
enter(enum place p)
{
	ck_assert_int_eq(setns(ns[p].fd, CLONE_NEWNET), 0);
}

/* --- the networks ----------------------------------------------------- */

/* A process that does nothing, in a network namespace of its own. */
static void
place_make(enum place p)
{
	char path[64], c;
	int ready[2];

	ck_assert_int_eq(pipe(ready), 0);
	fflush(NULL);
	ck_assert_int_ne(ns[p].pid = fork(), -1);
	if (ns[p].pid == 0) {
		if (unshare(CLONE_NEWNET) == -1 || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)ns[p].pid);
	ck_assert_int_ne(ns[p].fd = open(path, O_RDONLY | O_CLOEXEC), -1);
}

static void
set_up(const char *dev, const char *v4, const char *v6)
{
	run("ip", "addr", "add", v4, "dev", dev, NULL);
	run("ip", "addr", "add", v6, "dev", dev, "nodad", NULL);
	run("ip", "link", "set", dev, "up", NULL);
}

static void
routes(const char *v4, const char *v6)
{
	run("ip", "link", "set", "lo", "up", NULL);
	run("ip", "route", "add", "default", "via", v4, NULL);
	run("ip", "route", "add", "default", "via", v6, NULL);
}

static void
write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* Addresses are to be had at once: nobody else has them. */
static void
no_waiting(enum place p)
{
	enter(p);
	write_file("/proc/sys/net/ipv6/conf/all/accept_dad", "0");
	write_file("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
	enter(HOST);
}

/* Neighbours are told: the rules refuse a run's questions for them. */
static void
networks_make(void)
{
	char pid[2][16];

	snprintf(pid[0], sizeof(pid[0]), "%d", (int)ns[RUN].pid);
	snprintf(pid[1], sizeof(pid[1]), "%d", (int)ns[OUTER].pid);
	no_waiting(HOST);
	no_waiting(RUN);
	no_waiting(OUTER);
	run("ip", "link", "add", IF_RUN, "address", MAC_HOST, "type", "veth",
	    "peer", "name", "eth0", "address", MAC_RUN, "netns", pid[0], NULL);
	run("ip", "link", "add", "out0", "type", "veth", "peer", "name", "eth0",
	    "netns", pid[1], NULL);
	set_up(IF_RUN, "10.201.0.1/29", "fd00:1::1/64");
	set_up("out0", "198.51.100.1/24", "fd00:2::1/64");
	run("ip", "route", "add", "default", "via", "198.51.100.2", NULL);
	run("ip", "neigh", "add", "fd00:1::2", "lladdr", MAC_RUN, "dev", IF_RUN,
	    NULL);
	write_file("/proc/sys/net/ipv4/ip_forward", "1");
	write_file("/proc/sys/net/ipv6/conf/all/forwarding", "1");
	enter(RUN);
	set_up("eth0", "10.201.0.2/29", "fd00:1::2/64");
	routes("10.201.0.1", "fd00:1::1");
	run("ip", "neigh", "add", "fd00:1::1", "lladdr", MAC_HOST, "dev",
	    "eth0", NULL);
	enter(OUTER);
	set_up("eth0", "198.51.100.2/24", "fd00:2::2/64");
	routes("198.51.100.1", "fd00:2::1");
	enter(HOST);
}

/* --- sockets ---------------------------------------------------------- */

static socklen_t
address(const char *text, int port, struct sockaddr_storage *ss)
{
	struct netaddr a;

	ck_assert_int_eq(netaddr_parse(text, strlen(text), &a), 0);
	return netaddr_to_sockaddr(&a, (uint16_t)port, ss);
}

static int
socket_in(enum place p, const char *addr, int type)
{
	int fd, family = strchr(addr, ':') != NULL ? AF_INET6 : AF_INET;

	enter(p);
	fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	enter(HOST);
	ck_assert_int_ne(fd, -1);
	return fd;
}

static int
bound(enum place p, const char *addr, int port, int type)
{
	struct sockaddr_storage ss;
	socklen_t len = address(addr, port, &ss);
	int fd = socket_in(p, addr, type), on = 1;

	ck_assert_int_eq(
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	ck_assert_msg(bind(fd, (struct sockaddr *)&ss, len) == 0, "%s %d: %s",
	    addr, port, strerror(errno));
	if (type == SOCK_STREAM)
		ck_assert_int_eq(listen(fd, 64), 0);
	ck_assert_uint_lt(nservers, SERVERS_MAX);
	servers[nservers++] = fd;
	return fd;
}

static bool
readable(int fd, int ms)
{
	struct pollfd pfd = { fd, POLLIN, 0 };

	return poll(&pfd, 1, ms) == 1;
}

/* 0 or errno; ETIMEDOUT for silence. *out: the connected socket. */
static int
connected(int fd, const char *addr, int port)
{
	struct sockaddr_storage ss;
	socklen_t len = address(addr, port, &ss);
	struct pollfd pfd = { fd, POLLOUT, 0 };
	int e = 0;

	if (connect(fd, (struct sockaddr *)&ss, len) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return errno;
	if (poll(&pfd, 1, TRY_MS) != 1)
		return ETIMEDOUT;
	len = sizeof(e);
	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len), 0);
	return e;
}

/* --- who may what ----------------------------------------------------- */

#define R ECONNREFUSED

static const struct {
	enum place from;
	const char *addr;
	int port;
	int closed, permitted; /* errno that is wanted */
} tcp_rows[] = {
	{ RUN, "10.201.0.1", 3128, R, 0 },
	/* the canary, other ports, other addresses of the machine */
	{ RUN, "10.201.0.1", 3129, R, R },
	{ RUN, "10.201.0.1", 22, R, R },
	{ RUN, "198.51.100.1", 22, R, R },
	{ RUN, "198.51.100.1", 3128, R, R },
	{ RUN, "fd00:1::1", 3128, R, R },
	{ RUN, "fd00:1::1", 22, R, R },
	/* through the machine */
	{ RUN, "198.51.100.2", 80, R, R },
	{ RUN, "fd00:2::2", 80, R, R },
	{ OUTER, "10.201.0.2", 80, R, R },
	{ OUTER, "fd00:1::2", 80, R, R },
	/* a run's listener is no other's */
	{ OUTER, "10.201.0.1", 3128, R, R },
	{ OUTER, "10.201.0.1", 3129, R, R },
	{ HOST, "10.201.0.1", 3128, R, R },
	{ HOST, "10.201.0.1", 3129, R, R },
	/* and what is none of ours goes on */
	{ OUTER, "198.51.100.1", 22, 0, 0 },
	{ OUTER, "198.51.100.1", 3128, 0, 0 },
	{ OUTER, "10.201.0.1", 22, 0, 0 },
	{ HOST, "10.201.0.1", 22, 0, 0 },
	{ HOST, "198.51.100.2", 80, 0, 0 },
	{ HOST, "fd00:2::2", 80, 0, 0 },
	{ HOST, "10.201.0.2", 80, ETIMEDOUT, ETIMEDOUT },
};

#define TCP_ROWS (sizeof(tcp_rows) / sizeof(tcp_rows[0]))

static void
listen_all(void)
{
	bound(HOST, "10.201.0.1", 3128, SOCK_STREAM);
	bound(HOST, "10.201.0.1", 3129, SOCK_STREAM);
	bound(HOST, "10.201.0.1", 22, SOCK_STREAM);
	bound(HOST, "198.51.100.1", 22, SOCK_STREAM);
	bound(HOST, "198.51.100.1", 3128, SOCK_STREAM);
	bound(HOST, "127.0.0.1", 22, SOCK_STREAM);
	bound(HOST, "fd00:1::1", 3128, SOCK_STREAM);
	bound(HOST, "fd00:1::1", 22, SOCK_STREAM);
	bound(RUN, "10.201.0.2", 80, SOCK_STREAM);
	bound(RUN, "fd00:1::2", 80, SOCK_STREAM);
	bound(OUTER, "198.51.100.2", 80, SOCK_STREAM);
	bound(OUTER, "fd00:2::2", 80, SOCK_STREAM);
}

/* The answers of each row: whole is "open", "closed" or "permitted". */
static void
try_all(const char *whole)
{
	int fd, got, want;
	size_t i;

	for (i = 0; i < TCP_ROWS; i++) {
		fd = socket_in(tcp_rows[i].from, tcp_rows[i].addr, SOCK_STREAM);
		got = connected(fd, tcp_rows[i].addr, tcp_rows[i].port);
		close(fd);
		want = strcmp(whole, "open") == 0  ? 0
		    : strcmp(whole, "closed") == 0 ? tcp_rows[i].closed
		                                   : tcp_rows[i].permitted;
		ck_assert_msg(got == want, "%s: from %d to %s port %d: %s",
		    whole, (int)tcp_rows[i].from, tcp_rows[i].addr,
		    tcp_rows[i].port, strerror(got));
	}
}

static void
setup_packets(void)
{
	log_init("fw_packets_test", 1, 0);
	nservers = 0;
	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	ns[HOST].fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	ck_assert_int_ne(ns[HOST].fd, -1);
	place_make(RUN);
	place_make(OUTER);
	run("ip", "link", "set", "lo", "up", NULL);
	networks_make();
	listen_all();
	try_all("open");
	fw_start();
}

static void
teardown_packets(void)
{
	int p;

	fw_stop();
	while (nservers > 0)
		close(servers[--nservers]);
	for (p = RUN; p < PLACES; p++) {
		kill(ns[p].pid, SIGKILL);
		waitpid(ns[p].pid, NULL, 0);
		close(ns[p].fd);
	}
	close(ns[HOST].fd);
}

START_TEST(tcp)
{
	int64_t refused;

	try_all("closed");
	expect_permit(RUN_A, "10.201.0.1", "ok");
	try_all("permitted");
	/* eight refusals of what came from the run, once each */
	refused = counted(RUN_A);
	ck_assert_int_ge(refused, 8);
	ck_assert_str_ne(stat_value("packets refused forward"), "0");
	ck_assert_int_ge(revoked_with(RUN_A), refused);
	try_all("closed");
	expect_no_state(10);
}
END_TEST

/*
 * Without a route, and with forwarding off, the kernel drops what a run sends
 * away, and a run could not tell that from a way out: it is refused before.
 */
START_TEST(unrouted)
{
	static const char *const to[] = { "203.0.113.7", "10.201.0.9",
		"198.51.100.2", "2001:db8::7", "fd00:2::2" };
	size_t i;
	int fd;

	run("ip", "route", "del", "default", NULL);
	write_file("/proc/sys/net/ipv4/ip_forward", "0");
	write_file("/proc/sys/net/ipv6/conf/all/forwarding", "0");
	for (i = 0; i < sizeof(to) / sizeof(to[0]); i++) {
		fd = socket_in(RUN, to[i], SOCK_STREAM);
		ck_assert_msg(
		    connected(fd, to[i], 80) == ECONNREFUSED, "%s", to[i]);
		close(fd);
	}
}
END_TEST

/* What is to be forwarded would be refused at that hook as well. */
START_TEST(forward_alone)
{
	expect_permit(RUN_A, "10.201.0.1", "ok");
	ck_assert_int_eq(kill(fw, SIGSTOP), 0);
	run("nft", "flush", "chain", "inet", "bulkhead", "prerouting", NULL);
	try_all("permitted");
	ck_assert_int_eq(kill(fw, SIGCONT), 0);
	expect_state("lost", "missing: rule prerouting 0");
	expect_state("restored", NULL);
}
END_TEST

/* Another run's element opens nothing here. */
START_TEST(other_run)
{
	expect_permit(RUN_B, "10.201.0.1", "ok");
	try_all("closed");
}
END_TEST

/* --- datagrams -------------------------------------------------------- */

/* Does a datagram arrive? The sender may hear that it did not, or nothing. */
static bool
arrives(enum place from, int server, const char *addr, int port)
{
	int fd = socket_in(from, addr, SOCK_DGRAM);
	bool there;
	char c;

	ck_assert_int_eq(connected(fd, addr, port), 0);
	(void)send(fd, "x", 1, 0);
	there = readable(server, SILENCE_MS);
	if (there)
		ck_assert_int_eq(recv(server, &c, 1, 0), 1);
	else if (readable(fd, 0)) {
		ck_assert_int_eq(recv(fd, &c, 1, 0), -1);
		ck_assert_msg(errno == EHOSTUNREACH || errno == EACCES, "%s",
		    strerror(errno));
	}
	close(fd);
	return there;
}

START_TEST(udp)
{
	int canary = bound(HOST, "10.201.0.1", 3129, SOCK_DGRAM);
	int dns = bound(HOST, "10.201.0.1", 53, SOCK_DGRAM);
	int outer = bound(OUTER, "198.51.100.2", 53, SOCK_DGRAM);
	int outer6 = bound(OUTER, "fd00:2::2", 53, SOCK_DGRAM);

	expect_permit(RUN_A, "10.201.0.1", "ok");
	ck_assert(!arrives(RUN, canary, "10.201.0.1", 3129));
	ck_assert(!arrives(RUN, dns, "10.201.0.1", 53));
	ck_assert(!arrives(RUN, outer, "198.51.100.2", 53));
	ck_assert(!arrives(RUN, outer6, "fd00:2::2", 53));
	ck_assert(!arrives(HOST, canary, "10.201.0.1", 3129));
	ck_assert(!arrives(OUTER, canary, "10.201.0.1", 3129));
	ck_assert(arrives(HOST, dns, "10.201.0.1", 53));
	ck_assert(arrives(OUTER, dns, "10.201.0.1", 53));
	ck_assert(arrives(HOST, outer, "198.51.100.2", 53));
	ck_assert(arrives(HOST, outer6, "fd00:2::2", 53));
}
END_TEST

/* --- from addresses that are not the run's ---------------------------- */

static uint16_t
checksum(const void *data, size_t len, uint32_t sum)
{
	const uint8_t *b = data;
	size_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(b[i] << 8 | b[i + 1]);
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* A first packet from the run to its listener, or a datagram to the host. */
static void
forge(const char *from, uint8_t proto, uint16_t port)
{
	struct {
		struct iphdr ip;
		struct tcphdr tcp; /* a datagram's header is its beginning */
	} p;
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd;

	memset(&p, 0, sizeof(p));
	p.ip.version = 4;
	p.ip.ihl = 5;
	p.ip.ttl = 64;
	p.ip.protocol = proto;
	ck_assert_int_eq(inet_pton(AF_INET, from, &p.ip.saddr), 1);
	ck_assert_int_eq(inet_pton(AF_INET, "10.201.0.1", &p.ip.daddr), 1);
	p.tcp.source = htons(4000);
	p.tcp.dest = htons(port);
	if (proto == IPPROTO_UDP) {
		p.tcp.seq = htonl(sizeof(p.tcp) << 16); /* its length */
	} else {
		p.tcp.doff = 5;
		p.tcp.syn = 1;
		p.tcp.check = checksum(&p.ip.saddr,
		    sizeof(p) - offsetof(struct iphdr, saddr),
		    proto + sizeof(p.tcp));
	}
	to.sin_addr.s_addr = p.ip.daddr;
	enter(RUN);
	fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	enter(HOST);
	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(
	    sendto(fd, &p, sizeof(p), 0, (struct sockaddr *)&to, sizeof(to)),
	    sizeof(p));
	close(fd);
}

static int
raw_in(enum place p, int proto)
{
	int fd;

	enter(p);
	fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, proto);
	enter(HOST);
	ck_assert_int_ne(fd, -1);
	return fd;
}

/*
 * A refusal goes to the source, and quotes what it refuses: it would carry
 * bytes of the run to whomever that names. So would a listener's answer.
 */
START_TEST(spoofed)
{
	static const char *const off[] = { "all", "default", IF_RUN };
	int icmp = raw_in(OUTER, IPPROTO_ICMP);
	int syns = raw_in(OUTER, IPPROTO_TCP);
	int own_icmp = raw_in(RUN, IPPROTO_ICMP);
	int own_tcp = raw_in(RUN, IPPROTO_TCP);
	char path[64];
	size_t i;

	for (i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		snprintf(path, sizeof(path),
		    "/proc/sys/net/ipv4/conf/%s/rp_filter", off[i]);
		write_file(path, "0");
	}
	expect_permit(RUN_A, "10.201.0.1", "ok");
	forge("10.201.0.2", IPPROTO_UDP, 53);
	ck_assert(readable(own_icmp, TRY_MS));
	forge("10.201.0.2", IPPROTO_TCP, 3128);
	ck_assert(readable(own_tcp, TRY_MS));
	forge("198.51.100.2", IPPROTO_UDP, 53);
	ck_assert(!readable(icmp, SILENCE_MS));
	forge("198.51.100.2", IPPROTO_TCP, 3128);
	forge("198.51.100.2", IPPROTO_TCP, 22);
	ck_assert(!readable(syns, SILENCE_MS));
	ck_assert_int_ge(counted(RUN_A), 4);
	close(icmp);
	close(syns);
	close(own_icmp);
	close(own_tcp);
}
END_TEST

/* --- what is open is cut ---------------------------------------------- */

static void
pass(int from, int to)
{
	char c;

	ck_assert_int_eq(send(from, "x", 1, MSG_NOSIGNAL), 1);
	ck_assert(readable(to, TRY_MS));
	ck_assert_int_eq(recv(to, &c, 1, 0), 1);
}

START_TEST(cut)
{
	int fd = socket_in(RUN, "10.201.0.1", SOCK_STREAM), server;
	char c;

	/* those of try_all */
	while ((server = accept(servers[0], NULL, NULL)) != -1)
		close(server);
	expect_permit(RUN_A, "10.201.0.1", "ok");
	ck_assert_int_eq(connected(fd, "10.201.0.1", 3128), 0);
	ck_assert(readable(servers[0], TRY_MS));
	ck_assert_int_ne(server = accept(servers[0], NULL, NULL), -1);
	pass(fd, server);
	pass(server, fd);
	(void)revoked_with(RUN_A);
	ck_assert_int_eq(send(fd, "y", 1, MSG_NOSIGNAL), 1);
	ck_assert_msg(!readable(server, 500), "a byte came through");
	/* and the sender knows */
	ck_assert(readable(fd, TRY_MS));
	ck_assert_int_eq(recv(fd, &c, 1, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close(fd);
	close(server);
}
END_TEST

/* Between a flush of all rules and their return nothing is promised. */
START_TEST(flushed)
{
	run("nft", "flush", "ruleset", NULL);
	expect_state("lost", NULL);
	expect_state("restored", NULL);
	try_all("closed");
}
END_TEST

/* --- the proxy's own packets ------------------------------------------ */

static const struct {
	const char *addr;
	int port;
	int want;
} proxy_rows[] = {
	{ "198.51.100.2", 80, 0 },
	{ "fd00:2::2", 80, 0 },
	/* the machine itself, the container, what is prohibited */
	{ "198.51.100.1", 22, ECONNREFUSED },
	{ "127.0.0.1", 22, ECONNREFUSED },
	{ "10.201.0.1", 22, ECONNREFUSED },
	{ "10.201.0.2", 80, ECONNREFUSED },
	{ "fd00:1::2", 80, ECONNREFUSED },
	{ "169.254.169.254", 80, ECONNREFUSED },
	{ "240.0.0.1", 80, ECONNREFUSED },
	{ "0.0.0.1", 80, ECONNREFUSED },
};

/* A socket belongs to whoever made it. */
static int
socket_of(uid_t uid, const char *addr, int type)
{
	int fd;

	ck_assert_int_eq(seteuid(uid), 0);
	fd = socket(strchr(addr, ':') != NULL ? AF_INET6 : AF_INET,
	    type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_ne(fd, -1);
	return fd;
}

static int
proxy_socket(const char *addr, int type)
{
	return socket_of(PROXY_UID, addr, type);
}

/* What the parent made for it, and was made to dial. */
START_TEST(parent_made)
{
	const struct sockaddr none = { .sa_family = AF_UNSPEC };
	struct sockaddr_storage ss;
	socklen_t len = address("10.201.0.1", 0, &ss);
	int outer = bound(OUTER, "198.51.100.2", 53, SOCK_DGRAM), fd;

	fd = socket_of(PARENT_UID, "10.201.0.1", SOCK_STREAM);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&ss, len), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(connect(fd, &none, sizeof(none)), 0);
	ck_assert_int_eq(connected(fd, "198.51.100.1", 22), ECONNREFUSED);
	close(fd);
	fd = socket_of(PARENT_UID, "10.201.0.1", SOCK_DGRAM);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&ss, len), 0);
	len = address("198.51.100.2", 53, &ss);
	(void)sendto(fd, "x", 1, 0, (struct sockaddr *)&ss, len);
	ck_assert(!readable(outer, SILENCE_MS));
	close(fd);
}
END_TEST

START_TEST(proxy_tcp)
{
	int fd = proxy_socket(proxy_rows[_i].addr, SOCK_STREAM), got;

	got = connected(fd, proxy_rows[_i].addr, proxy_rows[_i].port);
	ck_assert_msg(got == proxy_rows[_i].want, "to %s: %s",
	    proxy_rows[_i].addr, strerror(got));
	close(fd);
}
END_TEST

/* No datagram leaves it, but from the canary to a run. */
START_TEST(proxy_udp)
{
	int outer = bound(OUTER, "198.51.100.2", 53, SOCK_DGRAM);
	int in_run = bound(RUN, "10.201.0.2", 53, SOCK_DGRAM);
	struct sockaddr_storage ss;
	socklen_t len = address("198.51.100.2", 53, &ss);
	int fd = proxy_socket("10.201.0.1", SOCK_DGRAM);

	(void)sendto(fd, "x", 1, 0, (struct sockaddr *)&ss, len);
	ck_assert(!readable(outer, SILENCE_MS));
	len = address("10.201.0.2", 53, &ss);
	(void)sendto(fd, "x", 1, 0, (struct sockaddr *)&ss, len);
	ck_assert(!readable(in_run, SILENCE_MS));
	close(fd);
	fd = proxy_socket("10.201.0.1", SOCK_DGRAM);
	len = address("10.201.0.1", 3129, &ss);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&ss, len), 0);
	len = address("10.201.0.2", 53, &ss);
	ck_assert_int_eq(sendto(fd, "x", 1, 0, (struct sockaddr *)&ss, len), 1);
	ck_assert(readable(in_run, SILENCE_MS));
	close(fd);
	ck_assert_str_ne(stat_value("packets refused of the proxy"), "0");
}
END_TEST

#define LOOP(t, test, rows) \
	tcase_add_loop_test(t, test, 0, sizeof(rows) / sizeof((rows)[0]))

int
main(int argc, char **argv)
{
	Suite *suite;
	TCase *t;

	if (argc > 1)
		return role_main("egressd", argc, argv, fw_main);
	if (!can_test())
		return TEST_SKIPPED;
	suite = suite_create("fw packets");
	t = tcase_create("packets");
	tcase_add_checked_fixture(t, setup_packets, teardown_packets);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, tcp);
	tcase_add_test(t, unrouted);
	tcase_add_test(t, forward_alone);
	tcase_add_test(t, other_run);
	tcase_add_test(t, udp);
	tcase_add_test(t, spoofed);
	tcase_add_test(t, cut);
	tcase_add_test(t, flushed);
	LOOP(t, proxy_tcp, proxy_rows);
	tcase_add_test(t, proxy_udp);
	tcase_add_test(t, parent_made);
	suite_add_tcase(suite, t);
	return run_suite(suite);
}
