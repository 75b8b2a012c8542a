/*
 * The real role, started the real way (this program is its own daemon: see
 * main), against tests/helper/dnsd.py on loopback.
 */

#include <sys/socket.h>
#include <sys/wait.h>

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/log.h"
#include "libcommon/msg.h"
#include "libcommon/proc.h"

#include "egressd/egressd.h"

#include "tests/process/role.h"

#define PROXIES 2
#define WAIT_MS 10000 /* for any one message */

struct server {
	pid_t pid;
	int out;
	int port;
	char log[64];
};

static struct link parent, proxies[PROXIES];
static pid_t resolver = -1;
static struct server dnsd, second;

static const char *const zone[] = {
	/* C3 */
	"both.test=A:93.184.216.34,AAAA:2606:2800:220:1::1",
	"four.test=A:93.184.216.34", "six.test=AAAA:2606:2800:220:1::1",
	"empty.test=EMPTY", "servfail.test=SERVFAIL", "refused.test=REFUSED",
	"silence.test=SILENCE", "*.silence.test=SILENCE",
	/* one family fails */
	"a-nx.test=A/NXDOMAIN,AAAA/EMPTY",
	"aaaa-servfail.test=A:93.184.216.34,AAAA/SERVFAIL",
	"aaaa-nx.test=A:93.184.216.34,AAAA/NXDOMAIN",
	"aaaa-silence.test=A:93.184.216.34,AAAA/SILENCE",
	"a-silence.test=AAAA:2606:2800:220:1::1,A/SILENCE",
	"empty-silence.test=A/EMPTY,AAAA/SILENCE",
	"fail-silence.test=A/SERVFAIL,AAAA/SILENCE",
	/* C4 */
	"wrongid.test=WRONGID:93.184.0.66",
	"wrongid-true.test=WRONGID:93.184.0.66,DELAY:200,A:93.184.216.34",
	"q-true.test=WRONGQUESTION:93.184.0.66,DELAY:200,A:93.184.216.34",
	"port-true.test=OTHERPORT:93.184.0.66,DELAY:200,A:93.184.216.34",
	"nothing-true.test=EMPTYPACKET,DELAY:200,A:93.184.216.34",
	"truncate.test=TRUNCATE,A:93.184.216.34",
	"truncate-tcp.test=TRUNCATE-TCP", "garbage.test=GARBAGE",
	"garbage-tcp.test=TRUNCATE,GARBAGE", "loop.test=LOOP",
	"records500.test=RECORDS:500", "records64.test=A/RECORDS:64",
	"records65.test=A/RECORDS:65", "records40.test=RECORDS:40",
	"compression.test=COMPRESSION", "forward.test=FORWARD",
	"rdlength.test=RDLENGTH", "trailing.test=TRAILING,A:93.184.216.34",
	"foreign.test=FOREIGN:93.184.0.66",
	"old.test=FORMERR-EDNS,A:93.184.216.34,AAAA:2606:2800:220:1::1",
	/* C5, B6, B7 */
	"alias.test=CNAME:alias2.test", "alias2.test=CNAME:four.test",
	"dangling.test=CNAME:nowhere.test", "ttl0.test=TTL:0,A:93.184.216.34",
	"mixed.test=A:93.184.216.34,A:10.0.0.1",
	"same.test=A:93.184.216.34,A:93.184.216.34",
	"rebind.test=TTL:0,ALTERNATE:93.184.216.34/10.0.0.1",
	"*.many.test=A:93.184.216.34", "slow.test=DELAY:500,A:93.184.216.34",
	"_under.test=A:93.184.216.34", NULL
};

/* --- the DNS server --------------------------------------------------- */

static void
server_exec(const struct server *s, const char *address, int out,
    const char *const *names)
{
	const char *argv[128] = { "python3", SOURCE_DIR "/tests/helper/dnsd.py",
		"--log", s->log, "--log-source", "--address", address };
	size_t n = 7;

	while (*names != NULL && n < 127)
		argv[n++] = *names++;
	dup2(out, STDOUT_FILENO);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

static void
server_start(struct server *s, const char *address, const char *const *names)
{
	char line[64] = "";
	int p[2], fd;
	ssize_t n;

	strlcpy(s->log, "/tmp/resolver_test.XXXXXX", sizeof(s->log));
	ck_assert_int_ne(fd = mkstemp(s->log), -1);
	close(fd);
	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_ne(s->pid = fork(), -1);
	if (s->pid == 0)
		server_exec(s, address, p[1], names);
	close(p[1]);
	s->out = p[0];
	n = read(s->out, line, sizeof(line) - 1);
	ck_assert_msg(n > 0 && sscanf(line, "PORT %d", &s->port) == 1,
	    "no DNS server: is there a python3?");
}

static void
server_stop(struct server *s)
{
	if (s->pid <= 0)
		return;
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
	close(s->out);
	unlink(s->log);
}

/* The number behind the last blank of a line of the log. */
static int
port_of(char *line)
{
	const char *errstr;
	char *word = strrchr(line, ' ');

	ck_assert_ptr_nonnull(word);
	word[strcspn(word, "\n")] = '\0';
	return (int)strtonum(word + 1, 1, 65535, &errstr);
}

/* How many lines of the server's log start so; ports of them on demand. */
static size_t
server_log(const struct server *s, const char *start, int *ports, size_t max)
{
	char line[512];
	size_t n = 0, len = strlen(start);
	FILE *f = fopen(s->log, "r");

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, start, len) != 0)
			continue;
		if (ports != NULL && n < max)
			ports[n] = port_of(line);
		n++;
	}
	fclose(f);
	return n;
}

/* --- the table -------------------------------------------------------- */

static void
send_begin(int64_t generation)
{
	struct msg m = { .type = MSG_TYPE_table_begin };

	m.u.table_begin.table = "resolver";
	m.u.table_begin.generation = generation;
	link_send(&parent, &m);
}

static void
send_server(const char *address, int port)
{
	struct msg m = { .type = MSG_TYPE_server_row };

	m.u.server_row.address = address;
	m.u.server_row.port = port;
	link_send(&parent, &m);
}

static void
send_host(const char *name, const char *address)
{
	struct msg m = { .type = MSG_TYPE_host_row };

	m.u.host_row.name = name;
	m.u.host_row.address = address;
	link_send(&parent, &m);
}

static void
send_end(int64_t generation, int64_t count)
{
	struct msg m = { .type = MSG_TYPE_table_end };

	m.u.table_end.table = "resolver";
	m.u.table_end.generation = generation;
	m.u.table_end.count = count;
	link_send(&parent, &m);
}

static void
expect_applied(int64_t generation)
{
	struct msg m;

	expect(&parent, &m, MSG_TYPE_table_applied);
	ck_assert_str_eq(m.u.table_applied.table, "resolver");
	ck_assert_int_eq(m.u.table_applied.generation, generation);
	msg_free(&m);
}

/* --- the resolver ----------------------------------------------------- */

static void
resolver_spawn(void)
{
	struct proc_spec spec = { .role = "resolver" };

	while (spec.nfds < PROXIES) {
		spec.fds[spec.nfds] = link_make(&proxies[spec.nfds]);
		spec.nfds++;
	}
	resolver = role_spawn("egressd", &spec, &parent);
}

static int
resolver_status(void)
{
	return role_status(&resolver, WAIT_MS);
}

static void
setup_process(void)
{
	/* None of it may have an effect. */
	setenv("LOCALDOMAIN", "evil.test", 1);
	setenv("RES_OPTIONS", "ndots:9 rotate retry:9", 1);
	setenv("HOSTALIASES", "/dev/null", 1);
	log_init("resolver_test", 1, 0);
	resolver_spawn();
}

static void
setup(void)
{
	struct msg go = { .type = MSG_TYPE_go };

	server_start(&dnsd, "127.0.0.1", zone);
	setup_process();
	send_begin(1);
	send_server("127.0.0.1", dnsd.port);
	send_host("hosted.test", "203.0.113.7");
	send_host("other.test", "203.0.113.8");
	send_host("hosted.test", "2001:db8::7");
	send_end(1, 4);
	expect_applied(1);
	link_send(&parent, &go);
}

static void
teardown(void)
{
	size_t i;

	role_kill(&resolver);
	link_close(&parent);
	for (i = 0; i < PROXIES; i++)
		link_close(&proxies[i]);
	server_stop(&dnsd);
	server_stop(&second);
}

static void
ask(struct link *l, int64_t id, const char *host)
{
	struct msg m = { .type = MSG_TYPE_resolve, .id = id };

	m.u.resolve.host = host;
	link_send(l, &m);
}

/* "ok 192.0.2.1 2001:db8::1" or "dns_empty"; the chain behind " via ". */
static void
show(const struct msg *m, char *buf, size_t len)
{
	const struct msg_resolved *r = &m->u.resolved;
	size_t i;

	strlcpy(buf, r->result, len);
	for (i = 0; i < r->addresses.n; i++) {
		strlcat(buf, " ", len);
		strlcat(buf, r->addresses.v[i], len);
	}
	for (i = 0; i < r->chain.n; i++) {
		strlcat(buf, " via ", len);
		strlcat(buf, r->chain.v[i], len);
	}
}

static void
expect_resolved(struct link *l, int64_t id, const char *want)
{
	char got[8192];
	struct msg m;

	expect(l, &m, MSG_TYPE_resolved);
	ck_assert_int_eq(m.id, id);
	show(&m, got, sizeof(got));
	ck_assert_str_eq(got, want);
	msg_free(&m);
}

/* --- tests ------------------------------------------------------------ */

#define V4 "93.184.216.34"
#define V6 "2606:2800:220:1::1"

/* Nothing may come before min or after max ms. */
static const struct {
	const char *name, *host, *want;
	int min, max;
} rows[] = {
	{ "both families", "both.test", "ok " V4 " " V6, 0, 3000 },
	{ "IPv4 only", "four.test", "ok " V4, 0, 3000 },
	{ "IPv6 only", "six.test", "ok " V6, 0, 3000 },
	{ "underscore", "_under.test", "ok " V4, 0, 3000 },
	{ "C3 nxdomain", "nxdomain.test", "dns_nxdomain", 0, 3000 },
	{ "C3 empty", "empty.test", "dns_empty", 0, 3000 },
	{ "C3 servfail", "servfail.test", "dns_failed", 0, 3000 },
	{ "C3 refused", "refused.test", "dns_failed", 0, 3000 },
	{ "C3 timeout", "silence.test", "dns_timeout", 4000, 6500 },
	{ "nxdomain and empty", "a-nx.test", "dns_nxdomain", 0, 3000 },
	{ "AAAA fails", "aaaa-servfail.test", "ok " V4, 0, 3000 },
	{ "AAAA nxdomain", "aaaa-nx.test", "ok " V4, 0, 3000 },
	{ "AAAA is silent", "aaaa-silence.test", "ok " V4, 900, 3500 },
	{ "A is silent", "a-silence.test", "ok " V6, 900, 3500 },
	{ "empty and silent", "empty-silence.test", "dns_failed", 4000, 6500 },
	{ "fails and silent", "fail-silence.test", "dns_failed", 4000, 6500 },
	{ "C4 wrong id", "wrongid.test", "dns_timeout", 4000, 6500 },
	{ "C4 wrong id, then true", "wrongid-true.test", "ok " V4, 190, 3500 },
	{ "C4 wrong question, then true", "q-true.test", "ok " V4, 190, 3500 },
	{ "C4 other port, then true", "port-true.test", "ok " V4, 190, 3500 },
	{ "C4 no bytes, then true", "nothing-true.test", "ok " V4, 190, 3500 },
	{ "C4 truncated", "truncate.test", "ok " V4, 0, 3000 },
	{ "C4 truncated by TCP too", "truncate-tcp.test", "dns_failed", 0,
	    3000 },
	{ "C4 64 KiB by UDP", "garbage.test", "dns_timeout", 4000, 6500 },
	{ "C4 64 KiB by TCP", "garbage-tcp.test", "dns_timeout", 1000, 6500 },
	{ "C4 CNAME loop", "loop.test", "dns_failed", 0, 3000 },
	{ "C4 500 records", "records500.test", "dns_failed", 0, 3000 },
	{ "65 addresses", "records65.test", "dns_failed", 0, 3000 },
	{ "80 addresses in all", "records40.test", "dns_failed", 0, 3000 },
	{ "C4 compression loop", "compression.test", "dns_failed", 0, 3000 },
	{ "C4 pointer ahead", "forward.test", "dns_failed", 0, 3000 },
	{ "C4 wrong length", "rdlength.test", "dns_failed", 0, 3000 },
	{ "C4 bytes behind", "trailing.test", "dns_failed", 0, 3000 },
	{ "other owner", "foreign.test", "dns_empty", 0, 3000 },
	{ "FORMERR for EDNS", "old.test", "ok " V4 " " V6, 0, 3000 },
	{ "C5 alias", "alias.test", "ok " V4 " via alias2.test via four.test",
	    0, 3000 },
	{ "C5 dangling alias", "dangling.test", "dns_nxdomain", 0, 3000 },
	{ "C5 TTL 0", "ttl0.test", "ok " V4, 0, 3000 },
	{ "B6 mixed", "mixed.test", "ok " V4 " 10.0.0.1", 0, 3000 },
	{ "duplicates", "same.test", "ok " V4, 0, 3000 },
	{ "onion", "x.onion", "dns_nxdomain", 0, 3000 },
	{ "hosts file", "hosted.test", "ok 203.0.113.7 2001:db8::7", 0, 500 },
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

START_TEST(answers)
{
	int64_t start = now_ms(), took;
	char got[8192], line[300];
	struct msg m;
	size_t i;

	for (i = 0; i < ROWS; i++)
		ask(&proxies[i % PROXIES], (int64_t)i + 1, rows[i].host);
	for (i = 0; i < ROWS; i++) {
		struct pollfd pfd[PROXIES];
		size_t p;

		for (p = 0; p < PROXIES; p++) {
			pfd[p].fd = proxies[p].n > 0 ? -1 : proxies[p].fd;
			pfd[p].events = POLLIN;
			pfd[p].revents = 0;
		}
		for (p = 0; p < PROXIES && proxies[p].n == 0; p++)
			;
		if (p == PROXIES) {
			ck_assert_int_gt(poll(pfd, PROXIES, WAIT_MS), 0);
			for (p = 0; pfd[p].revents == 0; p++)
				;
		}
		expect(&proxies[p], &m, MSG_TYPE_resolved);
		took = now_ms() - start;
		show(&m, got, sizeof(got));
		ck_assert_int_ge(m.id, 1);
		ck_assert_int_le(m.id, (int64_t)ROWS);
		ck_assert_uint_eq((size_t)(m.id - 1) % PROXIES, p);
		ck_assert_msg(strcmp(got, rows[m.id - 1].want) == 0, "%s: %s",
		    rows[m.id - 1].name, got);
		ck_assert_msg(
		    took >= rows[m.id - 1].min && took <= rows[m.id - 1].max,
		    "%s: %lld ms", rows[m.id - 1].name, (long long)took);
		msg_free(&m);
	}
	/* The hosts table, and what is no name of the DNS, send nothing. */
	for (i = 0; i < ROWS; i++) {
		snprintf(line, sizeof(line), "QUERY udp A %s ", rows[i].host);
		if (strcmp(rows[i].host, "hosted.test") == 0 ||
		    strcmp(rows[i].host, "x.onion") == 0)
			ck_assert_uint_eq(server_log(&dnsd, line, NULL, 0), 0);
		else
			ck_assert_uint_ge(server_log(&dnsd, line, NULL, 0), 1);
	}
	/* One query a family, of the name as it stands: no search domain. */
	ck_assert_uint_eq(
	    server_log(&dnsd, "QUERY udp A nxdomain.test", NULL, 0), 1);
	ck_assert_uint_eq(
	    server_log(&dnsd, "QUERY udp AAAA nxdomain.test", NULL, 0), 1);
	ck_assert_uint_eq(
	    server_log(&dnsd, "QUERY tcp A truncate.test", NULL, 0), 1);
}
END_TEST

START_TEST(sixty_four)
{
	struct msg m;

	ask(&proxies[0], 1, "records64.test");
	expect(&proxies[0], &m, MSG_TYPE_resolved);
	ck_assert_str_eq(m.u.resolved.result, "ok");
	ck_assert_uint_eq(m.u.resolved.addresses.n, 64);
	msg_free(&m);
}
END_TEST

/* B7: what the second answer says is never asked for by the first. */
START_TEST(rebinding)
{
	ask(&proxies[0], 1, "rebind.test");
	expect_resolved(&proxies[0], 1, "ok " V4);
	ck_assert_uint_eq(
	    server_log(&dnsd, "QUERY udp A rebind.test", NULL, 0), 1);
	ck_assert_uint_eq(
	    server_log(&dnsd, "QUERY udp AAAA rebind.test", NULL, 0), 1);
	/* No cache: the next tunnel asks anew. */
	ask(&proxies[0], 2, "rebind.test");
	expect_resolved(&proxies[0], 2, "ok 10.0.0.1");
	ck_assert_uint_eq(
	    server_log(&dnsd, "QUERY udp A rebind.test", NULL, 0), 2);
}
END_TEST

/* C4: a port for each lookup, those at the same time and those in a row. */
START_TEST(source_ports)
{
	int ports[64];
	size_t i, j, n, distinct = 0;
	char host[64];

	ask(&proxies[0], 1, "slow.test");
	ask(&proxies[0], 2, "slow.test");
	expect_resolved(&proxies[0], 1, "ok " V4);
	expect_resolved(&proxies[0], 2, "ok " V4);
	n = server_log(&dnsd, "QUERY udp A slow.test", ports, 64);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_ne(ports[0], ports[1]);

	for (i = 0; i < 32; i++) {
		snprintf(host, sizeof(host), "p%zu.many.test", i);
		ask(&proxies[0], 10 + (int64_t)i, host);
		expect_resolved(&proxies[0], 10 + (int64_t)i, "ok " V4);
	}
	n = server_log(&dnsd, "QUERY udp A p", ports, 64);
	ck_assert_uint_ge(n, 32);
	for (i = 0; i < n; i++) {
		for (j = 0; j < i && ports[j] != ports[i]; j++)
			;
		distinct += j == i;
	}
	ck_assert_uint_ge(distinct, 28);
}
END_TEST

/* Answers of n requests, in any order, as counts of "ok" and the rest. */
static void
collect(struct link *l, size_t n, size_t *ok, size_t *failed, size_t *timeout)
{
	struct msg m;
	size_t i;

	*ok = *failed = *timeout = 0;
	for (i = 0; i < n; i++) {
		expect(l, &m, MSG_TYPE_resolved);
		*ok += strcmp(m.u.resolved.result, "ok") == 0;
		*failed += strcmp(m.u.resolved.result, "overloaded") == 0;
		*timeout += strcmp(m.u.resolved.result, "dns_timeout") == 0;
		msg_free(&m);
	}
}

START_TEST(five_hundred)
{
	size_t i, ok, failed, timeout;
	char host[64];

	for (i = 0; i < 500; i++) {
		snprintf(host, sizeof(host), "n%zu.many.test", i);
		ask(&proxies[0], (int64_t)i + 1, host);
	}
	collect(&proxies[0], 500, &ok, &failed, &timeout);
	ck_assert_uint_eq(ok, 500);
}
END_TEST

/* 64 in flight and 1024 waiting; what is over is told at once. */
START_TEST(queue_limit)
{
	int64_t start = now_ms();
	size_t i, ok, failed, timeout;
	char host[64];

	for (i = 0; i < 1100; i++) {
		snprintf(host, sizeof(host), "n%zu.silence.test", i);
		ask(&proxies[0], (int64_t)i + 1, host);
	}
	collect(&proxies[0], 12, &ok, &failed, &timeout);
	ck_assert_uint_eq(failed, 12);
	ck_assert_int_lt(now_ms() - start, 3500);
	/* Another proxy has a queue of its own, and the next free turn. */
	ask(&proxies[1], 1, "four.test");
	expect_resolved(&proxies[1], 1, "ok " V4);
	collect(&proxies[0], 1088, &ok, &failed, &timeout);
	ck_assert_uint_eq(timeout, 1088);
	ck_assert_int_lt(now_ms() - start, 8000);
}
END_TEST

/* A lookup in flight ends with its servers; the next one has the new. */
START_TEST(reload)
{
	static const char *const names[] = { "slow.test=A:93.184.216.99",
		"four.test=A:93.184.216.99", NULL };
	struct msg m;

	server_start(&second, "127.0.0.1", names);
	ask(&proxies[0], 1, "slow.test");
	send_begin(2);
	send_server("127.0.0.1", second.port);
	/* The old table holds until the end of the new. */
	ask(&proxies[1], 1, "hosted.test");
	expect_resolved(&proxies[1], 1, "ok 203.0.113.7 2001:db8::7");
	ck_assert(!link_recv(&parent, &m, 100));
	send_end(2, 1);
	expect_applied(2);
	expect_resolved(&proxies[0], 1, "ok " V4);
	ask(&proxies[0], 2, "slow.test");
	expect_resolved(&proxies[0], 2, "ok 93.184.216.99");
	ask(&proxies[0], 3, "hosted.test");
	expect_resolved(&proxies[0], 3, "dns_nxdomain");
	ck_assert_uint_eq(
	    server_log(&second, "QUERY udp A slow.test", NULL, 0), 1);
}
END_TEST

START_TEST(second_server)
{
	int64_t start;

	send_begin(2);
	send_server("127.0.0.1", 1);
	send_server("127.0.0.1", dnsd.port);
	send_end(2, 2);
	expect_applied(2);
	start = now_ms();
	ask(&proxies[0], 1, "four.test");
	expect_resolved(&proxies[0], 1, "ok " V4);
	ck_assert_int_lt(now_ms() - start, 1000);
}
END_TEST

START_TEST(ipv6_server)
{
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6,
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_DGRAM, 0), have;

	have =
	    fd != -1 && bind(fd, (struct sockaddr *)&sin6, sizeof(sin6)) == 0;
	if (fd != -1)
		close(fd);
	if (!have)
		return;
	server_start(&second, "::1", zone);
	send_begin(2);
	send_server("::1", second.port);
	send_end(2, 1);
	expect_applied(2);
	ask(&proxies[0], 1, "both.test");
	expect_resolved(&proxies[0], 1, "ok " V4 " " V6);
	ask(&proxies[0], 2, "truncate.test");
	expect_resolved(&proxies[0], 2, "ok " V4);
}
END_TEST

START_TEST(no_server)
{
	int64_t start = now_ms();

	send_begin(2);
	send_server("127.0.0.1", 1);
	send_end(2, 1);
	expect_applied(2);
	ask(&proxies[0], 1, "four.test");
	expect_resolved(&proxies[0], 1, "dns_failed");
	send_begin(3);
	send_end(3, 0);
	expect_applied(3);
	ask(&proxies[0], 2, "four.test");
	expect_resolved(&proxies[0], 2, "dns_failed");
	ck_assert_int_lt(now_ms() - start, 2000);
}
END_TEST

/* Only the resolver's parent may end it well. */
START_TEST(parent_leaves)
{
	ask(&proxies[0], 1, "silence.test");
	link_close(&parent);
	ck_assert_int_eq(resolver_status(), 0);
}
END_TEST

START_TEST(proxy_leaves)
{
	ask(&proxies[0], 1, "silence.test");
	ask(&proxies[0], 2, "slow.test");
	link_close(&proxies[0]);
	ask(&proxies[1], 1, "slow.test");
	expect_resolved(&proxies[1], 1, "ok " V4);
	ask(&proxies[1], 2, "four.test");
	expect_resolved(&proxies[1], 2, "ok " V4);
}
END_TEST

START_TEST(bad_count)
{
	send_begin(2);
	send_end(2, 1);
	ck_assert_int_eq(resolver_status(), EXIT_INTERNAL);
}
END_TEST

START_TEST(bad_generation)
{
	send_begin(2);
	send_end(3, 0);
	ck_assert_int_eq(resolver_status(), EXIT_INTERNAL);
}
END_TEST

START_TEST(bad_row)
{
	send_begin(2);
	send_server("localhost", 53);
	ck_assert_int_eq(resolver_status(), EXIT_INTERNAL);
}
END_TEST

START_TEST(row_without_table)
{
	send_server("127.0.0.1", 53);
	ck_assert_int_eq(resolver_status(), EXIT_INTERNAL);
}
END_TEST

START_TEST(bad_name)
{
	ask(&proxies[0], 1, "Four.test");
	ck_assert_int_eq(resolver_status(), EXIT_INTERNAL);
}
END_TEST

START_TEST(address_as_name)
{
	ask(&proxies[0], 1, "192.0.2.1");
	ck_assert_int_eq(resolver_status(), EXIT_INTERNAL);
}
END_TEST

static void
add_case(Suite *suite, const char *name, const TTest *test, double limit)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, limit);
	tcase_add_test(tc, test);
	suite_add_tcase(suite, tc);
}

int
main(int argc, char **argv)
{
	Suite *suite;
	SRunner *runner;
	int failed;

	if (argc > 1)
		return role_main("egressd", argc, argv, resolver_main);
	suite = suite_create("resolver");
	add_case(suite, "answers", answers, 30);
	add_case(suite, "sixty_four", sixty_four, 20);
	add_case(suite, "rebinding", rebinding, 20);
	add_case(suite, "source_ports", source_ports, 20);
	add_case(suite, "five_hundred", five_hundred, 30);
	add_case(suite, "queue_limit", queue_limit, 30);
	add_case(suite, "reload", reload, 20);
	add_case(suite, "second_server", second_server, 20);
	add_case(suite, "ipv6_server", ipv6_server, 20);
	add_case(suite, "no_server", no_server, 20);
	add_case(suite, "parent_leaves", parent_leaves, 20);
	add_case(suite, "proxy_leaves", proxy_leaves, 20);
	add_case(suite, "bad_count", bad_count, 20);
	add_case(suite, "bad_generation", bad_generation, 20);
	add_case(suite, "bad_row", bad_row, 20);
	add_case(suite, "row_without_table", row_without_table, 20);
	add_case(suite, "bad_name", bad_name, 20);
	add_case(suite, "address_as_name", address_as_name, 20);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
