#ifndef TESTS_FW_FIXTURE_H
#define TESTS_FW_FIXTURE_H

/*
 * The process fw in a network namespace of the test's own, the two links that
 * it has, and nft(8) to see what it did. The namespace goes with the test's
 * process.
 */

#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libcommon/log.h"
#include "libcommon/msg.h"
#include "libcommon/proc.h"

#include "egressd/egressd.h"

#include "tests/process/role.h"

#define PROXY_UID 12345
#define PARENT_UID 12346
#define WAIT_MS 10000 /* for any one message */
#define RULES_MAX 65536
#define WORDS_MAX 32
#define TEST_SKIPPED 77

#define RUN_A "abcdefghijkl"
#define RUN_B "mnopqrstuvwx"

static struct link parent, frontend;
static pid_t fw = -1;

/* --- programs --------------------------------------------------------- */

static inline void
words(const char **argv, const char *name, va_list ap)
{
	size_t n = 0;

	argv[n++] = name;
	while (n < WORDS_MAX && (argv[n] = va_arg(ap, const char *)) != NULL)
		n++;
	ck_assert_uint_lt(n, WORDS_MAX);
}

/* p[0] has what it prints, p[1] is its input. */
static inline pid_t
start(const char **argv, int p[2])
{
	int in[2], out[2];
	pid_t pid;

	ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	fflush(NULL);
	ck_assert_int_ne(pid = fork(), -1);
	if (pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	p[0] = out[0];
	p[1] = in[1];
	return pid;
}

static inline pid_t
run_behind(int p[2], const char *name, ...)
{
	const char *argv[WORDS_MAX];
	va_list ap;

	va_start(ap, name);
	words(argv, name, ap);
	va_end(ap);
	return start(argv, p);
}

/* What it prints, and its end. */
static inline int
finish(pid_t pid, const int p[2], char *text, size_t size)
{
	size_t len = 0;
	ssize_t n;
	int status;

	close(p[1]);
	while ((n = read(p[0], text + len, size - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(p[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* What the program prints; it has to end well. */
static inline char *
output(const char *name, ...)
{
	static char text[RULES_MAX];
	const char *argv[WORDS_MAX];
	va_list ap;
	pid_t pid;
	int p[2], status;

	va_start(ap, name);
	words(argv, name, ap);
	va_end(ap);
	pid = start(argv, p);
	status = finish(pid, p, text, sizeof(text));
	ck_assert_msg(status == 0, "%s %s ...: %d", name, argv[1], status);
	return text;
}

#define run(...) ((void)output(__VA_ARGS__))

static inline char *
list_with_handles(void)
{
	return output(
	    "nft", "-a", "-n", "list", "table", "inet", "bulkhead", NULL);
}

/* The table, without the values of counters. */
static inline char *
list_rules(void)
{
	return output("nft", "-s", "list", "table", "inet", "bulkhead", NULL);
}

static inline bool
shows(const char *text)
{
	return strstr(list_rules(), text) != NULL;
}

/* --- the parent's side ------------------------------------------------ */

static inline void
send_base_of(const char *table, const char *prefix, int port,
    const char *const *networks, size_t nnetworks)
{
	struct msg m = { .type = MSG_TYPE_fw_base };

	m.u.fw_base.table = table;
	m.u.fw_base.prefix = prefix;
	m.u.fw_base.networks.v = networks;
	m.u.fw_base.networks.n = nnetworks;
	m.u.fw_base.port = port;
	m.u.fw_base.proxy_uid = PROXY_UID;
	m.u.fw_base.parent_uid = PARENT_UID;
	link_send(&parent, &m);
}

static inline void
send_base(const char *table, const char *prefix, int port)
{
	static const char *const networks[] = { "10.201.0.0/16",
		"10.9.8.0/29" };

	send_base_of(table, prefix, port, networks, 2);
}

/* detail: a part of it, or NULL for any. */
static inline void
expect_state(const char *state, const char *detail)
{
	struct msg m;

	expect(&parent, &m, MSG_TYPE_fw_state);
	ck_assert_str_eq(m.u.fw_state.interface, "bh-*");
	ck_assert_str_eq(m.u.fw_state.state, state);
	if (detail != NULL)
		ck_assert_msg(m.u.fw_state.detail != NULL &&
		        strstr(m.u.fw_state.detail, detail) != NULL,
		    "%s, not %s", m.u.fw_state.detail, detail);
	msg_free(&m);
}

static inline void
expect_no_state(int ms)
{
	struct msg m;

	if (link_recv(&parent, &m, ms))
		ck_abort_msg("%s %s", m.u.fw_state.state,
		    m.u.fw_state.detail != NULL ? m.u.fw_state.detail : "");
}

/* --- the frontend's side ---------------------------------------------- */

static inline void
send_permit(int64_t id, const char *run_name, const char *address)
{
	struct msg m = { .type = MSG_TYPE_fw_permit, .id = id };

	m.u.fw_permit.run = run_name;
	m.u.fw_permit.address = address;
	link_send(&frontend, &m);
}

/* want: "ok", or the code of the error. */
static inline void
expect_permit(const char *run_name, const char *address, const char *want)
{
	static int64_t id;
	struct msg m;

	send_permit(++id, run_name, address);
	ck_assert(link_recv(&frontend, &m, WAIT_MS));
	ck_assert_int_eq(m.id, id);
	if (m.type == MSG_TYPE_error)
		ck_assert_msg(strcmp(m.u.error.error, want) == 0,
		    "%s, not %s: %s", m.u.error.error, want, m.u.error.reason);
	else {
		ck_assert_int_eq(m.type, MSG_TYPE_fw_permitted);
		ck_assert_str_eq(want, "ok");
	}
	msg_free(&m);
}

/* fw_revoke and fw_count have the same fields. */
static inline void
send_run(enum msg_type type, int64_t id, const char *run_name)
{
	struct msg m = { .type = type, .id = id };

	if (type == MSG_TYPE_fw_revoke)
		m.u.fw_revoke.run = run_name;
	else
		m.u.fw_count.run = run_name;
	link_send(&frontend, &m);
}

/* Packets refused. */
static inline int64_t
revoked_with(const char *run_name)
{
	struct msg m;
	int64_t n;

	send_run(MSG_TYPE_fw_revoke, 7, run_name);
	expect(&frontend, &m, MSG_TYPE_fw_revoked);
	ck_assert_int_eq(m.id, 7);
	n = m.u.fw_revoked.packets_refused;
	msg_free(&m);
	return n;
}

static inline int64_t
counted(const char *run_name)
{
	struct msg m;
	int64_t n;

	send_run(MSG_TYPE_fw_count, 8, run_name);
	expect(&frontend, &m, MSG_TYPE_fw_counted);
	ck_assert_int_eq(m.id, 8);
	n = m.u.fw_counted.packets_refused;
	msg_free(&m);
	return n;
}

/* A counter of stats; "" when there is none of that name. */
static inline const char *
stat_value(const char *key)
{
	static char value[64];
	struct msg ask = { .type = MSG_TYPE_stats, .id = 9 }, m;
	size_t i;

	link_send(&frontend, &ask);
	expect(&frontend, &m, MSG_TYPE_stats_answer);
	value[0] = '\0';
	for (i = 0; i < m.u.stats_answer.counters.n; i++)
		if (strcmp(m.u.stats_answer.counters.k[i], key) == 0)
			strlcpy(value, m.u.stats_answer.counters.v[i],
			    sizeof(value));
	msg_free(&m);
	return value;
}

/* --- the process ------------------------------------------------------ */

/* With a netlink socket, or something that is none in its place. */
static inline void
fw_spawn(bool netlink)
{
	struct proc_spec spec = { .role = "fw", .nfds = 2 };
	int sv[2];

	spec.fds[1] = link_make(&frontend);
	if (netlink)
		spec.fds[0] = fw_socket();
	else {
		ck_assert_int_eq(proc_socketpair(sv), 0);
		spec.fds[0] = sv[0];
	}
	ck_assert_int_ne(spec.fds[0], -1);
	fw = role_spawn("egressd", &spec, &parent);
	/* Small ones are all that such a link is for. */
	parent.max = frontend.max = FRAME_CTL_SMALL_MAX;
}

static inline void
fw_start(void)
{
	struct msg go = { .type = MSG_TYPE_go };

	fw_spawn(true);
	send_base("bulkhead", "bh-", 3128);
	expect_state("closed", NULL);
	link_send(&parent, &go);
}

static inline void
fw_stop(void)
{
	role_kill(&fw);
	link_close(&parent);
	link_close(&frontend);
}

static inline int
fw_status(void)
{
	return role_status(&fw, WAIT_MS);
}

static inline void
setup_before(void)
{
	log_init("fw_test", 1, 0);
	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	run("ip", "link", "set", "lo", "up", NULL);
	fw_spawn(true);
}

static inline void
setup(void)
{
	log_init("fw_test", 1, 0);
	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	run("ip", "link", "set", "lo", "up", NULL);
	fw_start();
}

static inline void
teardown(void)
{
	fw_stop();
}

/* --- main ------------------------------------------------------------- */

static inline bool
can_test(void)
{
	if (geteuid() != 0) {
		printf("skipped: packet rules need root\n");
		return false;
	}
	if (access("/usr/sbin/nft", X_OK) == -1 &&
	    access("/sbin/nft", X_OK) == -1) {
		printf("skipped: there is no nft(8) to see them with\n");
		return false;
	}
	return true;
}

static inline int
run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}

#endif
