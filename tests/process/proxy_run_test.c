/*
 * Runs in the real proxy worker, started the real way (this program is its own
 * daemon: see main). The test is its parent, the frontend, the resolver and
 * audit. No rule opens loopback, so destinations stand in a network of their
 * own, behind a veth pair; that needs root.
 */

#include <sys/socket.h>

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/audit.h"
#include "libcommon/log.h"
#include "libcommon/msg.h"
#include "libcommon/proc.h"

#include "egressd/proxy.h"

#include "tests/process/role.h"
#include "tests/words.h"

#define WAIT_MS 10000 /* for any one message */
#define QUIET_MS 150 /* nothing comes: so long is listened */
#define CUT_MS 100 /* from run.end to the cut */
#define INSIDE "10.99.0.1"
#define ORIGIN "10.99.0.2"
#define NOBODY_THERE "10.99.0.77" /* a dial that hangs */
#define MANY 200 /* tunnels, of two descriptors here */
#define RUN_A "aaaaaaaaaaaa"
#define RUN_B "bbbbbbbbbbbb"

/* A run as its network sees it. */
struct gateway {
	struct sockaddr_in proxy, canary; /* TCP and UDP: one port */
};

static struct link parent, frontend, resolver, audit;
static pid_t worker = -1;
static int origin = -1;
static struct gateway a, b;
static int64_t next_id;

/* --- its parent ------------------------------------------------------- */

static void
send_begin(int64_t generation)
{
	struct msg m = { .type = MSG_TYPE_table_begin };

	m.u.table_begin.table = "policy";
	m.u.table_begin.generation = generation;
	link_send(&parent, &m);
}

static void
send_rule(const char *profile, int64_t index, const char *host, int64_t port,
    bool any)
{
	static const char *const net[] = { "10.99.0.0/24" };
	struct msg m = { .type = MSG_TYPE_rule_row };

	m.u.rule_row.profile = profile;
	m.u.rule_row.index = index;
	m.u.rule_row.host = host;
	m.u.rule_row.cidr.v = (const char **)(uintptr_t)net;
	m.u.rule_row.cidr.n = 1;
	m.u.rule_row.port = port;
	m.u.rule_row.proto_any = any;
	link_send(&parent, &m);
}

static void
send_end(int64_t generation, int64_t count)
{
	struct msg m = { .type = MSG_TYPE_table_end };
	struct msg go = { .type = MSG_TYPE_go };

	m.u.table_end.table = "policy";
	m.u.table_end.generation = generation;
	m.u.table_end.count = count;
	link_send(&parent, &m);
	expect(&parent, &m, MSG_TYPE_table_applied);
	msg_free(&m);
	link_send(&parent, &go);
}

static void
send_policy(int64_t generation, const char *profile)
{
	send_begin(generation);
	send_rule(profile, 0, "origin.test", 7, true);
	send_rule(profile, 1, "tls.test", 7, false);
	send_end(generation, 2);
}

/* On 127.0.0.1, any port, or that of *address. */
static int
bound(int type, struct sockaddr_in *address)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = address->sin_port,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, type, 0);

	ck_assert_int_ne(fd, -1);
	if (bind(fd, (struct sockaddr *)&sin, len) == -1) {
		close(fd);
		return -1;
	}
	if (type == SOCK_STREAM)
		ck_assert_int_eq(listen(fd, 512), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	*address = sin;
	return fd;
}

static int
bound_anywhere(int type, struct sockaddr_in *address)
{
	int fd;

	memset(address, 0, sizeof(*address));
	fd = bound(type, address);
	ck_assert_int_ne(fd, -1);
	return fd;
}

static void
send_socket(const char *run, const char *kind, int fd)
{
	struct msg m = { .type = MSG_TYPE_run_socket };

	m.u.run_socket.run = run;
	m.u.run_socket.address = "127.0.0.1:3128";
	m.u.run_socket.profile = "dev";
	m.u.run_socket.kind = kind;
	link_send_fd(&parent, &m, fd);
}

static void
expect_listening(const char *run)
{
	struct msg m;

	expect(&frontend, &m, MSG_TYPE_run_listening);
	ck_assert_str_eq(m.u.run_listening.run, run);
	msg_free(&m);
}

/* Both canaries have one port, as the parent gives them. */
static void
send_canaries(const char *run, struct gateway *g)
{
	int tcp = -1, udp = -1, i;

	for (i = 0; i < 20; i++) {
		tcp = bound_anywhere(SOCK_STREAM, &g->canary);
		if ((udp = bound(SOCK_DGRAM, &g->canary)) != -1)
			break;
		close(tcp);
	}
	ck_assert_int_lt(i, 20);
	send_socket(run, "canary.tcp", tcp);
	send_socket(run, "canary.udp", udp);
}

static void
open_run(const char *run, struct gateway *g)
{
	send_socket(run, "proxy", bound_anywhere(SOCK_STREAM, &g->proxy));
	send_canaries(run, g);
	expect_listening(run);
}

/* --- the worker ------------------------------------------------------- */

static void
setup_worker(void)
{
	struct proc_spec spec = { .role = "proxy", .nfds = 3 };

	log_init("proxy_run_test", 1, 0);
	spec.fds[0] = link_make(&frontend);
	spec.fds[1] = link_make(&resolver);
	spec.fds[2] = link_make(&audit);
	worker = role_spawn("egressd", &spec, &parent);
	send_policy(1, "dev");
}

static void
teardown(void)
{
	role_kill(&worker);
	link_close(&parent);
	link_close(&frontend);
	link_close(&resolver);
	link_close(&audit);
	if (origin != -1)
		close(origin);
	origin = -1;
}

static int
worker_status(void)
{
	return role_status(&worker, WAIT_MS);
}

/* --- the network outside ---------------------------------------------- */

static void
command(const char *line)
{
	ck_assert_msg(words_shell(line) == 0, "%s", line);
}

static int
own_netns(void)
{
	/* Inherited by ip(8), which is told its number. */
	int fd = open("/proc/self/ns/net", O_RDONLY);

	ck_assert_int_ne(fd, -1);
	return fd;
}

/*
 * We go into a network that we make; the origin listens in another. Both end
 * with the process that this test is.
 */
static void
setup_network(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(7) };
	int outside, inside, on = 1;
	char line[128];

	ck_assert_int_eq(inet_pton(AF_INET, ORIGIN, &sin.sin_addr), 1);
	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	outside = own_netns();
	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	inside = own_netns();
	command("ip link set lo up");
	snprintf(line, sizeof(line),
	    "ip link add v0 type veth peer name v1 netns /proc/self/fd/%d",
	    outside);
	command(line);
	command("ip addr add " INSIDE "/24 dev v0 && ip link set v0 up");
	ck_assert_int_eq(setns(outside, CLONE_NEWNET), 0);
	command("ip addr add " ORIGIN "/24 dev v1 && ip link set v1 up");
	origin = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ne(origin, -1);
	ck_assert_int_eq(
	    setsockopt(origin, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	ck_assert_int_eq(bind(origin, (struct sockaddr *)&sin, sizeof(sin)), 0);
	ck_assert_int_eq(listen(origin, 64), 0);
	ck_assert_int_eq(setns(inside, CLONE_NEWNET), 0);
	close(inside);
	close(outside);
}

static void
setup(void)
{
	setup_worker();
	open_run(RUN_A, &a);
}

static void
setup_tunnels(void)
{
	setup_network();
	setup();
}

/* --- clients ---------------------------------------------------------- */

static int
connect_to(const struct sockaddr_in *sin, int type)
{
	int fd = socket(AF_INET, type, 0);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(
	    connect(fd, (const struct sockaddr *)sin, sizeof(*sin)), 0);
	return fd;
}

static void
say(int fd, const char *text)
{
	ck_assert_int_eq(
	    send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static int
ask(const struct gateway *g, const char *target)
{
	int fd = connect_to(&g->proxy, SOCK_STREAM);
	char text[600];

	snprintf(text, sizeof(text), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n",
	    target, target);
	say(fd, text);
	return fd;
}

/* What comes until the end, or until there is so much. -1: a reset. */
static ssize_t
hear(int fd, char *buf, size_t len, size_t want)
{
	struct pollfd pfd = { fd, POLLIN, 0 };
	size_t got = 0;
	ssize_t n;

	while (got < want && got < len - 1) {
		ck_assert_msg(poll(&pfd, 1, WAIT_MS) == 1, "silence");
		n = recv(fd, buf + got, len - 1 - got, 0);
		if (n == -1 && errno == ECONNRESET)
			return -1;
		ck_assert_int_ge(n, 0);
		if (n == 0)
			break;
		got += (size_t)n;
	}
	buf[got] = '\0';
	return (ssize_t)got;
}

static void
expect_heard(int fd, const char *want)
{
	char buf[64];

	ck_assert_int_eq(
	    hear(fd, buf, sizeof(buf), strlen(want)), (ssize_t)strlen(want));
	ck_assert_str_eq(buf, want);
}

/* The other side is gone within ms, whatever was on its way. */
static void
expect_cut(int fd, int ms)
{
	int64_t end = now_ms() + ms;
	struct pollfd pfd = { fd, POLLIN, 0 };
	char buf[65536];

	for (;;) {
		ck_assert_msg(
		    end > now_ms() && poll(&pfd, 1, (int)(end - now_ms())) == 1,
		    "not cut");
		if (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) <= 0)
			break;
	}
	close(fd);
}

/* --- audit, the resolver ---------------------------------------------- */

static void
acknowledge(int64_t count)
{
	struct msg m = { .type = MSG_TYPE_recorded };

	m.u.recorded.count = count;
	link_send(&audit, &m);
}

static void
resolve(const char *address)
{
	struct msg m, answer = { .type = MSG_TYPE_resolved };

	expect(&resolver, &m, MSG_TYPE_resolve);
	answer.id = m.id;
	msg_free(&m);
	answer.u.resolved.result = "ok";
	answer.u.resolved.addresses.v = &address;
	answer.u.resolved.addresses.n = 1;
	link_send(&resolver, &answer);
}

/* Refused, and all about it: the code, and whose it is. */
static void
expect_denied(int fd, const char *run, const char *listener, const char *code,
    int64_t status)
{
	char buf[4096], want[128];
	struct msg m;

	expect(&audit, &m,
	    status < 500 ? MSG_TYPE_rec_deny : MSG_TYPE_rec_tunnel_fail);
	if (status < 500) {
		ck_assert_pstr_eq(m.u.rec_deny.run, run);
		ck_assert_pstr_eq(m.u.rec_deny.listener, listener);
		ck_assert_str_eq(m.u.rec_deny.code, code);
	} else {
		ck_assert_pstr_eq(m.u.rec_tunnel_fail.run, run);
		ck_assert_pstr_eq(m.u.rec_tunnel_fail.listener, listener);
		ck_assert_str_eq(m.u.rec_tunnel_fail.code, code);
	}
	msg_free(&m);
	acknowledge(1);
	ck_assert_int_gt(hear(fd, buf, sizeof(buf), sizeof(buf)), 0);
	snprintf(
	    want, sizeof(want), "HTTP/1.1 %d egress-%s\r\n", (int)status, code);
	ck_assert_msg(strncmp(buf, want, strlen(want)) == 0, "%s", buf);
	snprintf(want, sizeof(want), run != NULL ? "\"run\":\"%s\"" : "%s",
	    run != NULL ? run : "\"run\":null");
	ck_assert_msg(strstr(buf, want) != NULL, "%s", buf);
	close(fd);
}

/* A tunnel from the client to what the origin accepts. */
struct tunnel {
	int client, server;
};

static struct tunnel
open_tunnel(const struct gateway *g, const char *run)
{
	struct tunnel t;
	struct msg m;

	t.client = ask(g, "origin.test:7");
	resolve(ORIGIN);
	expect(&audit, &m, MSG_TYPE_rec_tunnel_open);
	ck_assert_pstr_eq(m.u.rec_tunnel_open.run, run);
	ck_assert_ptr_null(m.u.rec_tunnel_open.listener);
	msg_free(&m);
	acknowledge(1);
	expect_heard(t.client, "HTTP/1.1 200 Connection established\r\n\r\n");
	t.server = accept(origin, NULL, NULL);
	ck_assert_int_ne(t.server, -1);
	return t;
}

static void
expect_close(const char *run, const char *end, int64_t *up, int64_t *down)
{
	struct msg m;

	expect(&audit, &m, MSG_TYPE_rec_tunnel_close);
	ck_assert_pstr_eq(m.u.rec_tunnel_close.run, run);
	ck_assert_ptr_null(m.u.rec_tunnel_close.listener);
	ck_assert_str_eq(m.u.rec_tunnel_close.end, end);
	if (up != NULL)
		*up = m.u.rec_tunnel_close.up;
	if (down != NULL)
		*down = m.u.rec_tunnel_close.down;
	msg_free(&m);
}

/* --- the frontend ----------------------------------------------------- */

static int64_t
send_run_end(const char *run)
{
	struct msg m = { .type = MSG_TYPE_run_end, .id = ++next_id };

	m.u.run_end.run = run;
	link_send(&frontend, &m);
	return m.id;
}

/* The answer to request id; its sums, in the order of the message. */
static void
expect_ended(int64_t id, int64_t sums[5])
{
	struct msg m;

	expect(&frontend, &m, MSG_TYPE_run_ended);
	ck_assert_int_eq(m.id, id);
	sums[0] = m.u.run_ended.allowed;
	sums[1] = m.u.run_ended.denied;
	sums[2] = m.u.run_ended.failed;
	sums[3] = m.u.run_ended.bytes_up;
	sums[4] = m.u.run_ended.bytes_down;
	msg_free(&m);
}

static void
expect_ended_so(int64_t id, int64_t allowed, int64_t denied, int64_t failed,
    int64_t up, int64_t down)
{
	int64_t sums[5];

	expect_ended(id, sums);
	ck_assert_int_eq(sums[0], allowed);
	ck_assert_int_eq(sums[1], denied);
	ck_assert_int_eq(sums[2], failed);
	ck_assert_int_eq(sums[3], up);
	ck_assert_int_eq(sums[4], down);
}

/* The caller frees *m. */
static const struct msg_run_sums_answer *
run_sums(const char *run, struct msg *m)
{
	struct msg q = { .type = MSG_TYPE_run_sums, .id = ++next_id };

	q.u.run_sums.run = run;
	link_send(&frontend, &q);
	expect(&frontend, m, MSG_TYPE_run_sums_answer);
	ck_assert_int_eq(m->id, q.id);
	return &m->u.run_sums_answer;
}

/* "key" to its text; NULL when it is not there. */
static const char *
map_get(const struct msg_map *map, const char *key)
{
	size_t i;

	for (i = 0; i < map->n; i++) {
		if (strcmp(map->k[i], key) == 0)
			return map->v[i];
	}
	return NULL;
}

static void
expect_stat(const char *key, const char *want)
{
	struct msg m = { .type = MSG_TYPE_stats, .id = ++next_id };

	link_send(&frontend, &m);
	expect(&frontend, &m, MSG_TYPE_stats_answer);
	ck_assert_pstr_eq(map_get(&m.u.stats_answer.counters, key), want);
	msg_free(&m);
}

/* --- opening ---------------------------------------------------------- */

START_TEST(listening)
{
	int fd;

	send_canaries(RUN_B, &b);
	expect_nothing(&frontend, QUIET_MS);
	send_socket(RUN_B, "proxy", bound_anywhere(SOCK_STREAM, &b.proxy));
	expect_listening(RUN_B);
	fd = ask(&b, "evil.test:443");
	expect_denied(fd, RUN_B, NULL, "host", 403);
	fd = ask(&a, "evil.test:443");
	expect_denied(fd, RUN_A, NULL, "host", 403);
}
END_TEST

/* What is no run's stays so. */
START_TEST(static_listener)
{
	struct msg m = { .type = MSG_TYPE_listener };
	struct gateway g;

	m.u.listener.name = "main";
	m.u.listener.address = "127.0.0.1:3128"; /* a run's says so too */
	m.u.listener.profile = "dev";
	link_send_fd(&parent, &m, bound_anywhere(SOCK_STREAM, &g.proxy));
	expect_denied(ask(&g, "evil.test:443"), NULL, "main", "host", 403);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_listener_close;
	m.u.listener_close.address = "127.0.0.1:3128";
	link_send(&parent, &m);
	expect_denied(ask(&a, "evil.test:443"), RUN_A, NULL, "host", 403);
	expect_denied(ask(&a, "not a target"), RUN_A, NULL, "malformed", 400);
}
END_TEST

START_TEST(fourth_socket)
{
	struct sockaddr_in sin;

	send_socket(RUN_A, "proxy", bound_anywhere(SOCK_STREAM, &sin));
	ck_assert_int_eq(worker_status(), EXIT_INTERNAL);
}
END_TEST

START_TEST(second_of_a_kind)
{
	struct sockaddr_in sin;

	send_socket(RUN_B, "canary.udp", bound_anywhere(SOCK_DGRAM, &sin));
	send_socket(RUN_B, "canary.udp", bound_anywhere(SOCK_DGRAM, &sin));
	ck_assert_int_eq(worker_status(), EXIT_INTERNAL);
}
END_TEST

START_TEST(unknown_kind)
{
	struct sockaddr_in sin;

	send_socket(RUN_B, "canary.sctp", bound_anywhere(SOCK_STREAM, &sin));
	ck_assert_int_eq(worker_status(), EXIT_INTERNAL);
}
END_TEST

START_TEST(bad_run)
{
	struct sockaddr_in sin;

	send_socket("AAAAAAAAAAAA", "proxy", bound_anywhere(SOCK_STREAM, &sin));
	ck_assert_int_eq(worker_status(), EXIT_INTERNAL);
}
END_TEST

/* More than there may be: dropped, and those that are there go on. */
START_TEST(too_many)
{
	struct sockaddr_in sin;
	char run[RUNID_LEN + 1];
	int i;

	for (i = 1; i < EGRESS_RUNS_MAX + 3; i++) {
		snprintf(run, sizeof(run), "cccccccccc%c%c", 'a' + i / 16,
		    'a' + i % 16);
		send_socket(run, "proxy", bound_anywhere(SOCK_STREAM, &sin));
	}
	expect_denied(ask(&a, "evil.test:443"), RUN_A, NULL, "host", 403);
	expect_ended_so(send_run_end("ccccccccccab"), 0, 0, 0, 0, 0);
	open_run(RUN_B, &b);
	expect_denied(ask(&b, "evil.test:443"), RUN_B, NULL, "host", 403);
}
END_TEST

/* --- the canary ------------------------------------------------------- */

START_TEST(canary_line_tcp)
{
	char buf[64];
	int fd = connect_to(&a.canary, SOCK_STREAM);

	ck_assert_int_eq(hear(fd, buf, sizeof(buf), sizeof(buf)), 16);
	ck_assert_str_eq(buf, "bulkhead-canary\n");
	close(fd);
	expect_stat("canary hits", "1");
}
END_TEST

/* Answers go to who asked, the same bytes, and to all askers in turn. */
START_TEST(canary_echo_udp)
{
	char buf[PROXY_CANARY_DATAGRAM + 512], text[8];
	struct pollfd pfd = { -1, POLLIN, 0 };
	int fd[40], i;

	for (i = 0; i < 40; i++) {
		fd[i] = connect_to(&a.canary, SOCK_DGRAM);
		snprintf(text, sizeof(text), "ping %d", i);
		say(fd[i], text);
	}
	for (i = 0; i < 40; i++) {
		snprintf(text, sizeof(text), "ping %d", i);
		expect_heard(fd[i], text);
	}
	/* No bytes: none. More than it takes: no more than it takes. */
	ck_assert_int_eq(send(fd[0], buf, 0, 0), 0);
	memset(buf, 'x', sizeof(buf));
	ck_assert_int_eq(
	    send(fd[0], buf, sizeof(buf), 0), (ssize_t)sizeof(buf));
	pfd.fd = fd[0];
	ck_assert_int_eq(poll(&pfd, 1, WAIT_MS), 1);
	ck_assert_int_eq(
	    recv(fd[0], buf, sizeof(buf), 0), PROXY_CANARY_DATAGRAM);
	ck_assert_int_eq(poll(&pfd, 1, QUIET_MS), 0);
	expect_stat("canary hits", "42");
	for (i = 0; i < 40; i++)
		close(fd[i]);
}
END_TEST

/* An asker who is gone refuses the answer; the next one gets his. */
START_TEST(canary_gone_udp)
{
	int fd, i;

	for (i = 0; i < 20; i++) {
		fd = connect_to(&a.canary, SOCK_DGRAM);
		say(fd, "gone");
		close(fd);
	}
	fd = connect_to(&a.canary, SOCK_DGRAM);
	say(fd, "here");
	expect_heard(fd, "here");
	close(fd);
	expect_stat("canary hits", "21");
}
END_TEST

/* Two canaries would talk for ever. */
START_TEST(canary_loop_udp)
{
	struct sockaddr_in sin = a.canary;
	struct pollfd pfd = { -1, POLLIN, 0 };

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	pfd.fd = socket(AF_INET, SOCK_DGRAM, 0);
	ck_assert_int_eq(bind(pfd.fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	ck_assert_int_eq(
	    connect(pfd.fd, (struct sockaddr *)&a.canary, sizeof(a.canary)), 0);
	say(pfd.fd, "ping");
	ck_assert_int_eq(poll(&pfd, 1, QUIET_MS), 0);
	close(pfd.fd);
	expect_stat("canary hits", "1");
}
END_TEST

START_TEST(canary_many_tcp)
{
	int fd[200], i;

	for (i = 0; i < 200; i++)
		fd[i] = connect_to(&a.canary, SOCK_STREAM);
	for (i = 0; i < 200; i++) {
		expect_heard(fd[i], "bulkhead-canary\n");
		close(fd[i]);
	}
	expect_stat("canary hits", "200");
}
END_TEST

/* --- sums ------------------------------------------------------------- */

START_TEST(told_sums)
{
	const struct msg_run_sums_answer *s;
	struct tunnel t;
	struct msg m;
	int64_t id;

	s = run_sums(RUN_A, &m);
	ck_assert_int_eq(s->tunnels + s->allowed + s->denied, 0);
	ck_assert_int_eq(s->quiet_ms, -1);
	ck_assert_uint_eq(s->denials.n, 0);
	msg_free(&m);

	t = open_tunnel(&a, RUN_A);
	s = run_sums(RUN_A, &m);
	ck_assert_int_eq(s->tunnels, 1);
	ck_assert_int_eq(s->allowed, 1);
	ck_assert_int_eq(s->quiet_ms, -1);
	msg_free(&m);
	say(t.client, "twelve bytes");
	expect_heard(t.server, "twelve bytes");
	say(t.server, "and seventeen too");
	expect_heard(t.client, "and seventeen too");
	usleep(60000);
	s = run_sums(RUN_A, &m);
	ck_assert_int_eq(s->tunnels, 1);
	ck_assert_int_eq(s->bytes_up, 12);
	ck_assert_int_eq(s->bytes_down, 17);
	ck_assert_int_ge(s->quiet_ms, 59);
	ck_assert_int_lt(s->quiet_ms, 5000);
	msg_free(&m);

	close(t.client);
	close(t.server);
	expect_close(RUN_A, "done", NULL, NULL);
	acknowledge(1);
	s = run_sums(RUN_A, &m);
	ck_assert_int_eq(s->tunnels, 0);
	ck_assert_int_eq(s->allowed, 1);
	ck_assert_int_eq(s->bytes_up, 12);
	msg_free(&m);
	id = send_run_end(RUN_A);
	expect_ended_so(id, 1, 0, 0, 12, 17);
}
END_TEST

/* A run knows nothing of another one's. */
START_TEST(two_runs)
{
	const struct msg_run_sums_answer *s;
	struct tunnel ta, tb;
	struct msg m;
	int64_t id;

	open_run(RUN_B, &b);
	ta = open_tunnel(&a, RUN_A);
	tb = open_tunnel(&b, RUN_B);
	say(ta.client, "from a");
	expect_heard(ta.server, "from a");
	expect_denied(ask(&b, "evil.test:443"), RUN_B, NULL, "host", 403);
	s = run_sums(RUN_A, &m);
	ck_assert_int_eq(s->tunnels, 1);
	ck_assert_int_eq(s->denied, 0);
	ck_assert_int_eq(s->bytes_up, 6);
	ck_assert_uint_eq(s->denials.n, 0);
	msg_free(&m);
	s = run_sums(RUN_B, &m);
	ck_assert_int_eq(s->tunnels, 1);
	ck_assert_int_eq(s->denied, 1);
	ck_assert_int_eq(s->bytes_up, 0);
	ck_assert_int_eq(s->quiet_ms, -1);
	ck_assert_uint_eq(s->denials.n, 1);
	msg_free(&m);

	id = send_run_end(RUN_A);
	expect_close(RUN_A, "run_closed", NULL, NULL);
	expect_cut(ta.client, CUT_MS);
	acknowledge(1);
	expect_ended_so(id, 1, 0, 0, 6, 0);
	say(tb.client, "still");
	expect_heard(tb.server, "still");
	id = send_run_end(RUN_B);
	expect_close(RUN_B, "run_closed", NULL, NULL);
	acknowledge(1);
	expect_ended_so(id, 1, 1, 0, 5, 0);
	close(ta.server);
	close(tb.client);
	close(tb.server);
}
END_TEST

static void
deny_target(const char *target, int times)
{
	struct msg m;
	char buf[4096];
	int fd;

	while (times-- > 0) {
		fd = ask(&a, target);
		expect(&audit, &m, MSG_TYPE_rec_deny);
		msg_free(&m);
		acknowledge(1);
		ck_assert_int_gt(hear(fd, buf, sizeof(buf), sizeof(buf)), 0);
		close(fd);
	}
}

START_TEST(denials)
{
	const struct msg_run_sums_answer *s;
	char target[64];
	const char *errstr;
	int64_t told;
	struct msg m;
	int i;

	deny_target("evil.test:443", 5);
	deny_target("origin.test:8", 3);
	deny_target("[2001:db8::1]:443", 2);
	deny_target("no target", 4);
	s = run_sums(RUN_A, &m);
	ck_assert_int_eq(s->denied, 14);
	ck_assert_uint_eq(s->denials.n, 4);
	ck_assert_str_eq(s->denials.k[0], "evil.test:443 host");
	ck_assert_str_eq(s->denials.v[0], "5");
	ck_assert_pstr_eq(map_get(&s->denials, "origin.test:8 port"), "3");
	ck_assert_pstr_eq(
	    map_get(&s->denials, "2001:db8::1:443 ip_literal"), "2");
	msg_free(&m);
	for (i = 0; i < PROXY_RUN_DENIALS_MAX; i++) {
		snprintf(target, sizeof(target), "n%d.evil.test:443", i);
		deny_target(target, 1);
	}
	s = run_sums(RUN_A, &m);
	ck_assert_int_eq(s->denied, 14 + PROXY_RUN_DENIALS_MAX);
	ck_assert_uint_eq(s->denials.n, PROXY_RUN_DENIALS_TOLD);
	ck_assert_pstr_eq(map_get(&s->denials, "evil.test:443 host"), "5");
	ck_assert_pstr_ne(map_get(&s->denials, "others"), NULL);
	for (i = 0, told = 0; i < (int)s->denials.n; i++)
		told += strtonum(s->denials.v[i], 1, INT64_MAX, &errstr);
	ck_assert_int_eq(told, s->denied);
	msg_free(&m);
}
END_TEST

/* --- ending ----------------------------------------------------------- */

START_TEST(unknown)
{
	const struct msg_run_sums_answer *s;
	struct msg m;

	expect_ended_so(send_run_end(RUN_B), 0, 0, 0, 0, 0);
	s = run_sums(RUN_B, &m);
	ck_assert_int_eq(s->quiet_ms, -1);
	ck_assert_int_eq(s->allowed, 0);
	msg_free(&m);
}
END_TEST

/* Its address is free for the next run at once; the id too. */
START_TEST(end_closes)
{
	struct sockaddr_in proxy = a.proxy, canary = a.canary;
	int fd;

	expect_ended_so(send_run_end(RUN_A), 0, 0, 0, 0, 0);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(
	    connect(fd, (struct sockaddr *)&proxy, sizeof(proxy)), -1);
	ck_assert_int_eq(errno, ECONNREFUSED);
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(
	    connect(fd, (struct sockaddr *)&canary, sizeof(canary)), -1);
	ck_assert_int_eq(errno, ECONNREFUSED);
	close(fd);
	ck_assert_int_ne(fd = bound(SOCK_DGRAM, &canary), -1);
	close(fd);
	open_run(RUN_A, &a);
	expect_denied(ask(&a, "evil.test:443"), RUN_A, NULL, "host", 403);
}
END_TEST

/* One that never got its third socket. */
START_TEST(end_incomplete)
{
	send_canaries(RUN_B, &b);
	expect_nothing(&frontend, QUIET_MS);
	expect_ended_so(send_run_end(RUN_B), 0, 0, 0, 0, 0);
	open_run(RUN_B, &b);
}
END_TEST

/* Fill the tunnel in both directions until nothing more goes in. */
static void
flood(const struct tunnel *t, int ms)
{
	static char zeros[65536];
	int64_t end = now_ms() + ms;
	ssize_t n;

	while (now_ms() < end) {
		n = send(t->server, zeros, sizeof(zeros),
		    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n == -1)
			(void)recv(
			    t->client, zeros, sizeof(zeros), MSG_DONTWAIT);
		(void)send(t->client, zeros, sizeof(zeros),
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}

START_TEST(end_mid_transfer)
{
	int64_t sums[5], up, down, id, start;
	struct tunnel t;

	t = open_tunnel(&a, RUN_A);
	flood(&t, 300);
	start = now_ms();
	id = send_run_end(RUN_A);
	expect_close(RUN_A, "run_closed", &up, &down);
	ck_assert_int_lt(now_ms() - start, CUT_MS);
	ck_assert_int_gt(up, 0);
	ck_assert_int_gt(down, 0);
	/* Both sides, whatever the kernel held for them. */
	expect_cut(t.client, CUT_MS);
	expect_cut(t.server, CUT_MS);
	/* Not before its record is written. */
	expect_nothing(&frontend, QUIET_MS);
	acknowledge(1);
	expect_ended(id, sums);
	ck_assert_int_eq(sums[0], 1);
	ck_assert_int_eq(sums[3], up);
	ck_assert_int_eq(sums[4], down);
}
END_TEST

/* What arrived is what is in the sums, where nothing was on its way. */
START_TEST(end_exact)
{
	int64_t up, down, id;
	struct tunnel t;

	t = open_tunnel(&a, RUN_A);
	say(t.client, "12345");
	expect_heard(t.server, "12345");
	say(t.server, "123");
	expect_heard(t.client, "123");
	id = send_run_end(RUN_A);
	expect_close(RUN_A, "run_closed", &up, &down);
	ck_assert_int_eq(up, 5);
	ck_assert_int_eq(down, 3);
	acknowledge(1);
	expect_ended_so(id, 1, 0, 0, 5, 3);
	close(t.client);
	close(t.server);
}
END_TEST

/* All at once, and one that is not written yet is waited for. */
START_TEST(end_many)
{
	static struct tunnel t[MANY];
	int64_t id, start;
	int i;

	for (i = 0; i < MANY; i++)
		t[i] = open_tunnel(&a, RUN_A);
	for (i = 0; i < MANY; i++)
		say(t[i].client, "x");
	for (i = 0; i < MANY; i++)
		expect_heard(t[i].server, "x");
	start = now_ms();
	id = send_run_end(RUN_A);
	for (i = 0; i < MANY; i++)
		expect_close(RUN_A, "run_closed", NULL, NULL);
	for (i = 0; i < MANY; i++) {
		expect_cut(t[i].client, CUT_MS);
		expect_cut(t[i].server, CUT_MS);
	}
	ck_assert_int_lt(now_ms() - start, 3 * CUT_MS);
	acknowledge(MANY - 1);
	expect_nothing(&frontend, QUIET_MS);
	acknowledge(1);
	expect_ended_so(id, MANY, 0, 0, MANY, 0);
}
END_TEST

START_TEST(end_twice)
{
	struct tunnel t = open_tunnel(&a, RUN_A);
	int64_t first, second;

	first = send_run_end(RUN_A);
	expect_close(RUN_A, "run_closed", NULL, NULL);
	second = send_run_end(RUN_A);
	expect_nothing(&frontend, QUIET_MS);
	acknowledge(1);
	expect_ended_so(first, 1, 0, 0, 0, 0);
	expect_ended_so(second, 1, 0, 0, 0, 0);
	expect_ended_so(send_run_end(RUN_A), 0, 0, 0, 0, 0);
	close(t.client);
	close(t.server);
}
END_TEST

/* Who asks more often than is kept is not left without an answer. */
START_TEST(end_often)
{
	struct tunnel t = open_tunnel(&a, RUN_A);
	int64_t first = 0;
	int i;

	for (i = 0; i < PROXY_RUN_ENDS_MAX + 2; i++) {
		if (i == 0)
			first = send_run_end(RUN_A);
		else
			(void)send_run_end(RUN_A);
	}
	expect_close(RUN_A, "run_closed", NULL, NULL);
	expect_ended_so(first + PROXY_RUN_ENDS_MAX, 1, 0, 0, 0, 0);
	expect_ended_so(first + PROXY_RUN_ENDS_MAX + 1, 1, 0, 0, 0, 0);
	acknowledge(1);
	for (i = 0; i < PROXY_RUN_ENDS_MAX; i++)
		expect_ended_so(first + i, 1, 0, 0, 0, 0);
	close(t.client);
	close(t.server);
}
END_TEST

/* Audit says nothing: the run ends all the same, and the worker stays. */
START_TEST(end_unrecorded)
{
	struct tunnel t = open_tunnel(&a, RUN_A);
	int64_t id, start = now_ms();

	id = send_run_end(RUN_A);
	expect_close(RUN_A, "run_closed", NULL, NULL);
	expect_cut(t.client, CUT_MS);
	expect_ended_so(id, 1, 0, 0, 0, 0);
	ck_assert_int_ge(now_ms() - start, AUDIT_WAIT_MS - 50);
	ck_assert_int_lt(now_ms() - start, 2 * AUDIT_WAIT_MS);
	acknowledge(1);
	open_run(RUN_A, &a);
	expect_denied(ask(&a, "evil.test:443"), RUN_A, NULL, "host", 403);
	close(t.server);
}
END_TEST

/* --- ending clients in every state ------------------------------------ */

static int
client_silent(void)
{
	return connect_to(&a.proxy, SOCK_STREAM);
}

static int
client_head(void)
{
	int fd = connect_to(&a.proxy, SOCK_STREAM);

	say(fd, "CONNECT origin.te");
	return fd;
}

static int
client_resolving(void)
{
	struct msg m;
	int fd = ask(&a, "origin.test:7");

	expect(&resolver, &m, MSG_TYPE_resolve);
	msg_free(&m);
	return fd;
}

static int
client_dialling(void)
{
	int fd = ask(&a, "origin.test:7");

	resolve(NOBODY_THERE);
	return fd;
}

static int
client_opening(void)
{
	struct msg m;
	int fd = ask(&a, "origin.test:7");

	resolve(ORIGIN);
	expect(&audit, &m, MSG_TYPE_rec_tunnel_open);
	msg_free(&m);
	return fd;
}

/* The 200 is out, and the ClientHello is not. */
static int
client_hello(void)
{
	struct msg m;
	int fd = ask(&a, "tls.test:7");

	resolve(ORIGIN);
	expect(&audit, &m, MSG_TYPE_rec_tunnel_open);
	msg_free(&m);
	acknowledge(1);
	expect_heard(fd, "HTTP/1.1 200 Connection established\r\n\r\n");
	return fd;
}

static int
client_relaying(void)
{
	return open_tunnel(&a, RUN_A).client;
}

static int
client_refused(void)
{
	struct msg m;
	int fd = ask(&a, "evil.test:443");

	expect(&audit, &m, MSG_TYPE_rec_deny);
	msg_free(&m);
	return fd;
}

/* The answer is out, and the client does not go. */
static int
client_lingering(void)
{
	char buf[4096];
	int fd = client_refused();

	acknowledge(1);
	ck_assert_int_gt(hear(fd, buf, sizeof(buf), sizeof(buf)), 0);
	return fd;
}

static const struct {
	const char *name;
	int (*client)(void);
	int64_t unwritten; /* records when run.end comes */
	int64_t allowed, denied;
} states[] = {
	{ "silent", client_silent, 0, 0, 0 },
	{ "head", client_head, 0, 0, 0 },
	{ "resolve", client_resolving, 0, 0, 0 },
	{ "dial", client_dialling, 0, 0, 0 },
	{ "record", client_opening, 1, 1, 0 },
	{ "hello", client_hello, 0, 1, 0 },
	{ "relay", client_relaying, 0, 1, 0 },
	{ "refuse", client_refused, 1, 0, 1 },
	{ "linger", client_lingering, 0, 0, 1 },
};

#define STATES (sizeof(states) / sizeof(states[0]))

START_TEST(end_state)
{
	int64_t id, unwritten = states[_i].unwritten;
	int fd = states[_i].client();

	usleep(20000);
	id = send_run_end(RUN_A);
	expect_cut(fd, CUT_MS);
	if (states[_i].allowed > 0) {
		expect_close(RUN_A, "run_closed", NULL, NULL);
		unwritten++;
	}
	if (unwritten > 0) {
		expect_nothing(&frontend, QUIET_MS);
		acknowledge(unwritten);
	}
	expect_ended_so(id, states[_i].allowed, states[_i].denied, 0, 0, 0);
	expect_stat("clients", "0");
	expect_nothing(&audit, 0);
}
END_TEST

/* --- reloads, leaving ------------------------------------------------- */

START_TEST(profile_vanishes)
{
	const struct msg_run_sums_answer *s;
	struct tunnel t = open_tunnel(&a, RUN_A);
	struct msg m;

	/* As it was: nothing happens to it. */
	send_policy(2, "dev");
	say(t.client, "on");
	expect_heard(t.server, "on");
	expect_nothing(&audit, QUIET_MS);
	send_policy(3, "other");
	expect_close(RUN_A, "revoked", NULL, NULL);
	acknowledge(1);
	expect_cut(t.client, 1000);
	expect_denied(ask(&a, "origin.test:7"), RUN_A, NULL, "no_policy", 503);
	s = run_sums(RUN_A, &m);
	ck_assert_int_eq(s->tunnels, 0);
	ck_assert_int_eq(s->failed, 1);
	ck_assert_int_eq(s->denied, 0);
	msg_free(&m);
	/* And back again. */
	send_policy(4, "dev");
	close(t.server);
	t = open_tunnel(&a, RUN_A);
	close(t.client);
	close(t.server);
}
END_TEST

START_TEST(draining)
{
	struct msg m = { .type = MSG_TYPE_drain };
	struct tunnel t = open_tunnel(&a, RUN_A), u;
	int64_t id;
	int fd;

	open_run(RUN_B, &b);
	u = open_tunnel(&b, RUN_B);
	link_send(&parent, &m);
	expect_stat("clients", "2");
	fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(
	    connect(fd, (struct sockaddr *)&a.proxy, sizeof(a.proxy)), -1);
	close(fd);
	/* Open tunnels go on until their run ends, or all do. */
	say(t.client, "on");
	expect_heard(t.server, "on");
	id = send_run_end(RUN_A);
	expect_close(RUN_A, "run_closed", NULL, NULL);
	acknowledge(1);
	expect_ended_so(id, 1, 0, 0, 2, 0);
	expect_cut(t.client, CUT_MS);
	m.type = MSG_TYPE_cut;
	link_send(&parent, &m);
	expect_close(RUN_B, "shutdown", NULL, NULL);
	expect_nothing(&parent, QUIET_MS);
	acknowledge(1);
	expect(&parent, &m, MSG_TYPE_drained);
	msg_free(&m);
	expect_cut(u.client, CUT_MS);
	expect_ended_so(send_run_end(RUN_B), 1, 0, 0, 0, 0);
	close(t.server);
	close(u.server);
}
END_TEST

/* A socket that crosses the stop is dropped. */
START_TEST(opened_too_late)
{
	struct msg m = { .type = MSG_TYPE_drain };

	link_send(&parent, &m);
	expect(&parent, &m, MSG_TYPE_drained);
	msg_free(&m);
	send_socket(RUN_B, "proxy", bound_anywhere(SOCK_STREAM, &b.proxy));
	send_canaries(RUN_B, &b);
	expect_nothing(&frontend, QUIET_MS);
	expect_ended_so(send_run_end(RUN_B), 0, 0, 0, 0, 0);
}
END_TEST

/* --- main ------------------------------------------------------------- */

static void
add_case(Suite *suite, const char *name, const TTest *test, bool tunnels,
    size_t rows)
{
	TCase *tc;

	if (tunnels && getuid() != 0) {
		printf("%s: skipped: a network of its own needs root\n", name);
		return;
	}
	tc = tcase_create(name);
	tcase_add_checked_fixture(
	    tc, tunnels ? setup_tunnels : setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, test, 0, (int)rows);
	suite_add_tcase(suite, tc);
}

int
main(int argc, char **argv)
{
	Suite *suite;
	SRunner *runner;
	int failed;

	if (argc > 1)
		return role_main("egressd", argc, argv, proxy_main);
	suite = suite_create("proxy_run");
	add_case(suite, "listening", listening, false, 1);
	add_case(suite, "static_listener", static_listener, false, 1);
	add_case(suite, "fourth_socket", fourth_socket, false, 1);
	add_case(suite, "second_of_a_kind", second_of_a_kind, false, 1);
	add_case(suite, "unknown_kind", unknown_kind, false, 1);
	add_case(suite, "bad_run", bad_run, false, 1);
	add_case(suite, "too_many", too_many, false, 1);
	add_case(suite, "canary_line_tcp", canary_line_tcp, false, 1);
	add_case(suite, "canary_echo_udp", canary_echo_udp, false, 1);
	add_case(suite, "canary_gone_udp", canary_gone_udp, false, 1);
	add_case(suite, "canary_loop_udp", canary_loop_udp, false, 1);
	add_case(suite, "canary_many_tcp", canary_many_tcp, false, 1);
	add_case(suite, "sums", told_sums, true, 1);
	add_case(suite, "two_runs", two_runs, true, 1);
	add_case(suite, "denials", denials, false, 1);
	add_case(suite, "unknown", unknown, false, 1);
	add_case(suite, "end_closes", end_closes, false, 1);
	add_case(suite, "end_incomplete", end_incomplete, false, 1);
	add_case(suite, "end_mid_transfer", end_mid_transfer, true, 1);
	add_case(suite, "end_exact", end_exact, true, 1);
	add_case(suite, "end_many", end_many, true, 1);
	add_case(suite, "end_twice", end_twice, true, 1);
	add_case(suite, "end_often", end_often, true, 1);
	add_case(suite, "end_unrecorded", end_unrecorded, true, 1);
	add_case(suite, "end_state", end_state, true, STATES);
	add_case(suite, "profile_vanishes", profile_vanishes, true, 1);
	add_case(suite, "draining", draining, true, 1);
	add_case(suite, "opened_too_late", opened_too_late, false, 1);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
