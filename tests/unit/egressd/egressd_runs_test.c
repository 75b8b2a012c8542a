/* The parent's part in opening a run: sockets, bound and handed on, or none. */

#include <sys/socket.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"
#include "libcommon/frame.h"
#include "libcommon/log.h"

#include "egressd/egressd_parent.h"

#define RUN "aaaaaaaaaaaa"
#define ADDRESS "127.77.0.1"
#define PORT 31280
#define TURNS 20 /* of the loop: more than anything here takes */

static struct egress_config config;
static struct egress_profile profile = { .name = "dev" };
static struct parent p;

/* What the other ends were sent. */
static struct seen {
	struct peer *peer;
	unsigned n;
	enum msg_type last;
	char error[33];
	char address[EGRESS_RUN_SOCKETS][PARENT_ADDRESS_MAX];
	char kind[EGRESS_RUN_SOCKETS][16];
	int fd[EGRESS_RUN_SOCKETS];
} worker, frontend;

static void
take(struct peer *peer, struct msg *m, int fd, void *arg)
{
	struct seen *s = arg;

	s->last = m->type;
	if (m->type == MSG_TYPE_error)
		strlcpy(s->error, m->u.error.error, sizeof(s->error));
	if (m->type == MSG_TYPE_run_socket) {
		ck_assert_uint_lt(s->n, EGRESS_RUN_SOCKETS);
		ck_assert_str_eq(m->u.run_socket.run, RUN);
		ck_assert_str_eq(m->u.run_socket.profile, "dev");
		strlcpy(s->address[s->n], m->u.run_socket.address,
		    sizeof(s->address[0]));
		strlcpy(
		    s->kind[s->n], m->u.run_socket.kind, sizeof(s->kind[0]));
		s->fd[s->n] = fd;
	}
	s->n++;
}

static void
gone(struct peer *peer, enum peer_end end, const char *why, void *arg)
{
}

static const struct peer_ops ops = { .message = take, .gone = gone };

static void
child_make(size_t i, enum msg_side side, struct seen *s)
{
	struct daemon_child *c = &p.d.child[i];
	int sv[2];

	ck_assert_int_eq(proc_socketpair(sv), 0);
	memset(s, 0, sizeof(*s));
	c->daemon = &p.d;
	c->side = side;
	c->peer = peer_new(p.d.base, sv[0], PEER_SIBLING, SIDE_PARENT, side,
	    "egressd", "child", &ops, s);
	s->peer = peer_new(p.d.base, sv[1], PEER_SIBLING, side, SIDE_PARENT,
	    "child", "egressd", &ops, s);
	ck_assert_ptr_nonnull(c->peer);
	ck_assert_ptr_nonnull(s->peer);
}

static void
setup(void)
{
	log_init("egressd_runs_test", 1, 0);
	memset(&p, 0, sizeof(p));
	p.d.base = event_base_new();
	p.d.now.own = &config;
	p.d.phase = PHASE_SERVING;
	p.d.nchildren = 2;
	child_make(0, SIDE_PROXY, &worker);
	child_make(1, SIDE_FRONTEND, &frontend);
	config.proxy_port = PORT;
	config.profiles = &profile;
	config.nprofiles = 1;
	config.nnetworks = 1;
	ck_assert_int_eq(
	    netprefix_parse("127.77.0.0/24", 13, &config.networks[0]), 0);
}

static void
teardown(void)
{
	size_t i;

	for (i = 0; i < 2; i++)
		peer_free(&p.d.child[i].peer);
	for (i = 0; i < worker.n; i++)
		close(worker.fd[i]);
	peer_free(&worker.peer);
	peer_free(&frontend.peer);
	event_base_free(p.d.base);
}

static void
ask(const char *run, const char *address, const char *profile_name,
    int64_t instance)
{
	struct msg_run_bind b = { .run = run,
		.address = address,
		.profile = profile_name,
		.worker = instance };
	int i;

	parent_run_bind(&p, &p.d.child[1], 7, &b);
	for (i = 0; i < TURNS; i++)
		event_base_loop(p.d.base, EVLOOP_NONBLOCK);
}

static void
check_socket(int i, const char *kind, int type, int port)
{
	struct sockaddr_in sin;
	char address[64];
	socklen_t len = sizeof(sin);
	int got;

	snprintf(address, sizeof(address), "%s:%d", ADDRESS, port);
	ck_assert_str_eq(worker.kind[i], kind);
	ck_assert_str_eq(worker.address[i], address);
	ck_assert_int_eq(
	    getsockname(worker.fd[i], (struct sockaddr *)&sin, &len), 0);
	ck_assert_uint_eq(sin.sin_addr.s_addr, inet_addr(ADDRESS));
	ck_assert_uint_eq(ntohs(sin.sin_port), (unsigned)port);
	len = sizeof(got);
	ck_assert_int_eq(
	    getsockopt(worker.fd[i], SOL_SOCKET, SO_TYPE, &got, &len), 0);
	ck_assert_int_eq(got, type);
}

START_TEST(bound)
{
	ask(RUN, ADDRESS, "dev", 0);
	ck_assert_int_eq(frontend.last, MSG_TYPE_run_bound);
	ck_assert_uint_eq(frontend.n, 1);
	ck_assert_uint_eq(worker.n, 3);
	check_socket(0, "proxy", SOCK_STREAM, PORT);
	check_socket(1, "canary.tcp", SOCK_STREAM, PORT + 1);
	check_socket(2, "canary.udp", SOCK_DGRAM, PORT + 1);
}
END_TEST

static void
check_refused(const char *code)
{
	ck_assert_uint_eq(frontend.n, 1);
	ck_assert_int_eq(frontend.last, MSG_TYPE_error);
	ck_assert_str_eq(frontend.error, code);
	ck_assert_uint_eq(worker.n, 0);
}

/* All three or none: the last one's port is taken. */
START_TEST(port_taken)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM, 0), next;

	sin.sin_addr.s_addr = inet_addr(ADDRESS);
	sin.sin_port = htons(PORT + 1);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	ask(RUN, ADDRESS, "dev", 0);
	check_refused("unavailable");
	/* The others are closed again. */
	ck_assert_int_ne(next = dup(fd), -1);
	ck_assert_int_eq(next, fd + 1);
	close(next);
	close(fd);
	frontend.n = 0;
	ask(RUN, ADDRESS, "dev", 0);
	ck_assert_uint_eq(worker.n, 3);
}
END_TEST

START_TEST(profile_gone)
{
	ask(RUN, ADDRESS, "ci", 0);
	check_refused("invalid");
}
END_TEST

START_TEST(leaving)
{
	p.d.phase = PHASE_DRAINING;
	ask(RUN, ADDRESS, "dev", 0);
	check_refused("draining");
}
END_TEST

/* A worker has ended, and the daemon waits to learn how. */
START_TEST(worker_lost)
{
	peer_free(&p.d.child[0].peer);
	p.d.lost = true;
	ask(RUN, ADDRESS, "dev", 0);
	check_refused("draining");
}
END_TEST

/* Rules that are lost before the start is recorded hold it up. */
START_TEST(rules_lost_at_start)
{
	static const struct {
		const char *state;
		bool closed;
	} rows[] = { { "closed", true }, { "lost", false },
		{ "restored", true } };
	struct msg_fw_state m = { .interface = "bh-*" };
	size_t i;

	p.d.phase = PHASE_STARTING;
	p.nft = true;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		m.state = rows[i].state;
		parent_fw_state(&p, &m);
		ck_assert_int_eq(p.closed, rows[i].closed);
		ck_assert_int_eq(p.rules_lost, !rows[i].closed);
	}
}
END_TEST

/* What the frontend would never ask for: it is broken or taken. */
START_TEST(not_a_run)
{
	static const struct {
		const char *run, *address;
		int64_t worker;
	} rows[] = {
		{ "aaaaaaaaaaa1", ADDRESS, 0 },
		{ "../../../etc", ADDRESS, 0 },
		{ RUN, "127.77.1.1", 0 },
		{ RUN, "0.0.0.0", 0 },
		{ RUN, "127.77.0.x", 0 },
		{ RUN, "::1", 0 },
		{ RUN, ADDRESS, 1 },
		{ RUN, ADDRESS, -1 },
	};
	size_t i;
	pid_t pid;
	int status;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ck_assert_int_ne(pid = fork(), -1);
		if (pid == 0) {
			ask(rows[i].run, rows[i].address, "dev",
			    rows[i].worker);
			_exit(0);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_msg(
		    WIFEXITED(status) && WEXITSTATUS(status) == EXIT_INTERNAL,
		    "row %zu: wait status %d", i, status);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("egressd_runs");
	TCase *tc = tcase_create("bind");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, bound);
	tcase_add_test(tc, port_taken);
	tcase_add_test(tc, profile_gone);
	tcase_add_test(tc, leaving);
	tcase_add_test(tc, worker_lost);
	tcase_add_test(tc, rules_lost_at_start);
	tcase_add_test(tc, not_a_run);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
