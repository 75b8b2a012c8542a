/*
 * The real role, started the real way (this program is its own daemon: see
 * main), in a network namespace of each test's own. What the rules do is tried
 * with real packets in fw_packets_test.c.
 */

#include <signal.h>

#include "fw_fixture.h"

#define BUSY_LINES 1500 /* what a pipe holds */

/* --- the rules -------------------------------------------------------- */

/* What nft(8) shows: handles and counters' values are left out. */
static const char *const want_text[] = {
	"set permitted {",
	"type ifname . ipv4_addr . inet_service",
	"set runs {",
	"type ifname",
	"chain closed {",
	"iifname @runs",
	"iifname \"bh-*\" fib saddr . iif oif missing counter drop",
	"meta l4proto tcp counter reject with tcp reset",
	"counter reject with icmpx admin-prohibited",
	"chain run_input {",
	"fib saddr . iif oif missing goto closed",
	"iifname . ip daddr . tcp dport @permitted counter accept",
	"goto closed",
	"chain proxy_output {",
	"oifname \"bh-*\" udp sport 3129 counter accept",
	"meta l4proto != tcp counter reject with icmpx admin-prohibited",
	"tcp flags syn / syn,ack oifname \"bh-*\" counter "
	"reject with tcp reset",
	"tcp flags syn / syn,ack fib daddr type local counter "
	"reject with tcp reset",
	"tcp flags syn / syn,ack ip daddr 0.0.0.0/8 counter "
	"reject with tcp reset",
	"tcp flags syn / syn,ack ip daddr 127.0.0.0/8 counter "
	"reject with tcp reset",
	"tcp flags syn / syn,ack ip daddr 169.254.0.0/16 counter "
	"reject with tcp reset",
	"tcp flags syn / syn,ack ip daddr 224.0.0.0/4 counter "
	"reject with tcp reset",
	"tcp flags syn / syn,ack ip daddr 240.0.0.0/4 counter "
	"reject with tcp reset",
	"tcp flags syn / syn,ack ip6 daddr ::1 counter "
	"reject with tcp reset",
	"tcp flags syn / syn,ack ip6 daddr fe80::/10 counter "
	"reject with tcp reset",
	"tcp flags syn / syn,ack ip6 daddr ff00::/8 counter "
	"reject with tcp reset",
	"chain prerouting {",
	"type filter hook prerouting priority filter - 10; policy accept;",
	"iifname \"bh-*\" fib daddr type != local counter goto closed",
	"chain input {",
	"type filter hook input priority filter - 10; policy accept;",
	"iifname \"bh-*\" goto run_input",
	"iifname != \"bh-*\" ip daddr 10.201.0.0/16 tcp dport 3128-3129 "
	"goto closed",
	"iifname != \"bh-*\" ip daddr 10.201.0.0/16 udp dport 3129 "
	"goto closed",
	"iifname != \"bh-*\" ip daddr 10.9.8.0/29 tcp dport 3128-3129 "
	"goto closed",
	"iifname != \"bh-*\" ip daddr 10.9.8.0/29 udp dport 3129 goto closed",
	"chain forward {",
	"type filter hook forward priority filter - 10; policy accept;",
	"iifname \"bh-*\" counter goto closed",
	"oifname \"bh-*\" counter goto closed",
	"chain output {",
	"type filter hook output priority filter - 10; policy accept;",
	"meta skuid",
	"goto proxy_output",
	"meta skuid",
	"goto proxy_output",
};

START_TEST(shown)
{
	const char *at = list_rules();
	size_t i;

	for (i = 0; i < sizeof(want_text) / sizeof(want_text[0]); i++) {
		at = strstr(at, want_text[i]);
		ck_assert_msg(at != NULL, "no \"%s\" here, or not in order: %s",
		    want_text[i], list_rules());
	}
}
END_TEST

/* --- permits ---------------------------------------------------------- */

#define ELEMENT_A "\"bh-" RUN_A "\" . 10.201.0.1 . 3128"
#define ELEMENT_B "\"bh-" RUN_B "\" . 10.201.0.9 . 3128"
#define COUNTER_A "\"bh-" RUN_A "\" counter"

START_TEST(permits)
{
	expect_permit(RUN_A, "10.201.0.1", "ok");
	ck_assert_msg(shows(ELEMENT_A), "%s", list_rules());
	ck_assert_msg(shows(COUNTER_A), "%s", list_rules());
	/* the same again, and what it must not be */
	expect_permit(RUN_A, "10.201.0.1", "ok");
	expect_permit(RUN_A, "10.201.0.2", "conflict");
	expect_permit(RUN_B, "10.201.0.1", "conflict");
	ck_assert(!shows(RUN_B));
	expect_permit(RUN_B, "10.201.0.9", "ok");
	ck_assert(shows(ELEMENT_A));
	ck_assert(shows(ELEMENT_B));
	ck_assert_int_eq(revoked_with(RUN_A), 0);
	ck_assert(!shows(RUN_A));
	ck_assert(shows(ELEMENT_B));
	ck_assert_int_eq(revoked_with(RUN_A), 0);
	ck_assert_int_eq(counted(RUN_A), 0);
	/* the address is free again */
	expect_permit(RUN_B, "10.201.0.1", "conflict");
	ck_assert_int_eq(revoked_with(RUN_B), 0);
	expect_permit(RUN_B, "10.201.0.1", "ok");
	expect_no_state(1200);
}
END_TEST

/* "aaaaaaaaaaaa", "baaaaaaaaaaa", ... */
static const char *
numbered_run(int i)
{
	static char id[RUNID_LEN + 1];

	memset(id, 'a', RUNID_LEN);
	id[0] = (char)('a' + i % 26);
	id[1] = (char)('a' + i / 26);
	return id;
}

static const char *
numbered_address(int i)
{
	static char text[NETADDR_TEXT_MAX];

	snprintf(text, sizeof(text), "10.201.1.%d", i + 1);
	return text;
}

START_TEST(as_many_as_may_be)
{
	int64_t start, took;
	int i;

	start = now_ms();
	for (i = 0; i < EGRESS_RUNS_MAX; i++)
		expect_permit(numbered_run(i), numbered_address(i), "ok");
	took = now_ms() - start;
	printf("%d permits in %lld ms\n", i, (long long)took);
	expect_permit(numbered_run(i), numbered_address(i), "limit");
	expect_permit(numbered_run(0), numbered_address(0), "ok");
	ck_assert_str_eq(stat_value("runs permitted"), "128");
	/* all of them come back */
	run("nft", "flush", "ruleset", NULL);
	expect_state("lost", "missing: ");
	expect_state("restored", NULL);
	ck_assert(shows(numbered_run(0)));
	ck_assert(shows(numbered_run(EGRESS_RUNS_MAX - 1)));
	ck_assert_int_eq(revoked_with(numbered_run(5)), 0);
	expect_permit(numbered_run(i), numbered_address(5), "ok");
	expect_no_state(1200);
}
END_TEST

/* --- what others do --------------------------------------------------- */

#define T "inet", "bulkhead"

/* The handle of the rule that reads so, as text. */
static const char *
handle(const char *text)
{
	static char number[32];
	char *at, *nl, *h;

	ck_assert_ptr_nonnull(at = strstr(list_with_handles(), text));
	ck_assert_ptr_nonnull(nl = strchr(at, '\n'));
	*nl = '\0';
	ck_assert_ptr_nonnull(h = strstr(at, "# handle "));
	strlcpy(number, h + strlen("# handle "), sizeof(number));
	return number;
}

static void
flush_all(void)
{
	run("nft", "flush", "ruleset", NULL);
}

static void
flush_chain(void)
{
	run("nft", "flush", "chain", T, "closed", NULL);
}

static void
delete_rule(void)
{
	run("nft", "delete", "rule", T, "forward", "handle",
	    handle("oifname \"bh-*\" counter packets 0 bytes 0 goto"), NULL);
}

static void
add_rule(void)
{
	run("nft", "add", "rule", T, "run_input", "tcp", "dport", "22",
	    "accept", NULL);
}

static void
insert_rule(void)
{
	run("nft", "insert", "rule", T, "input", "accept", NULL);
}

static void
change_rule(void)
{
	run("nft", "replace", "rule", T, "forward", "handle",
	    handle("iifname \"bh-*\" counter"), "iifname", "bh-", "counter",
	    "goto", "closed", NULL);
}

static void
add_chain(void)
{
	run("nft",
	    "add chain inet bulkhead other { type filter hook input "
	    "priority -20; policy accept; }",
	    NULL);
}

static void
change_policy(void)
{
	run("nft", "add chain inet bulkhead input { policy drop; }", NULL);
}

static void
add_element(void)
{
	run("nft",
	    "add element inet bulkhead permitted { "
	    "\"bh-" RUN_B "\" . 10.201.0.9 . 22 }",
	    NULL);
}

static void
delete_element(void)
{
	run("nft", "delete element inet bulkhead permitted { " ELEMENT_A " }",
	    NULL);
}

static void
delete_counted(void)
{
	run("nft", "delete element inet bulkhead runs { \"bh-" RUN_A "\" }",
	    NULL);
}

static void
add_set(void)
{
	run("nft", "add set inet bulkhead more { type ipv4_addr; }", NULL);
}

static void
sleep_table(void)
{
	run("nft", "add table inet bulkhead { flags dormant; }", NULL);
}

static const struct {
	const char *name;
	void (*act)(void);
	const char *detail;
} changes[] = {
	{ "everything flushed", flush_all, "missing: " },
	{ "a chain flushed", flush_chain, "missing: rule closed 0" },
	{ "a rule deleted", delete_rule, "missing: rule forward 1" },
	{ "a rule added", add_rule, "not ours: rule run_input 3" },
	{ "a rule inserted", insert_rule, "rule input 0" },
	{ "the prefix made a name", change_rule, "rule forward 0" },
	{ "a chain added", add_chain, "not ours: chain other" },
	{ "a policy changed", change_policy, "chain input" },
	{ "an element added", add_element,
	    "not ours: element permitted bh-" RUN_B " . 10.201.0.9 . 22" },
	{ "an element deleted", delete_element,
	    "missing: element permitted bh-" RUN_A },
	{ "a counter deleted", delete_counted,
	    "missing: element runs bh-" RUN_A },
	{ "a set added", add_set, "not ours: set more" },
	{ "the table put to sleep", sleep_table, "table, flags" },
};

START_TEST(changed)
{
	char before[RULES_MAX];
	int64_t start;

	expect_permit(RUN_A, "10.201.0.1", "ok");
	strlcpy(before, list_rules(), sizeof(before));
	start = now_ms();
	changes[_i].act();
	expect_state("lost", changes[_i].detail);
	expect_state("restored", NULL);
	ck_assert_msg(now_ms() - start < 2000, "%s: after %lld ms",
	    changes[_i].name, (long long)(now_ms() - start));
	ck_assert_str_eq(list_rules(), before);
	expect_no_state(1100);
}
END_TEST

/* Found by the answer to a request, not by the next look only. */
START_TEST(changed_before_request)
{
	expect_permit(RUN_A, "10.201.0.1", "ok");
	flush_all();
	expect_permit(RUN_B, "10.201.0.9", "ok");
	expect_state("lost", NULL);
	expect_state("restored", NULL);
	ck_assert(shows(ELEMENT_A));
	ck_assert(shows(ELEMENT_B));
	flush_all();
	ck_assert_int_eq(revoked_with(RUN_A), 0);
	expect_state("lost", NULL);
	expect_state("restored", NULL);
	ck_assert(!shows(ELEMENT_A));
	ck_assert(shows(ELEMENT_B));
	flush_all();
	expect_permit(RUN_B, "10.201.0.9", "ok");
	ck_assert(shows(ELEMENT_B));
}
END_TEST

/* Tables of others are theirs, however often they change them. */
START_TEST(others_tables)
{
	int i;

	run("nft", "add table inet other", NULL);
	run("nft", "add chain inet other closed", NULL);
	run("nft", "add table ip bulkhead", NULL);
	for (i = 0; i < 100; i++) {
		run("nft", "add rule inet other closed accept", NULL);
		expect_permit(RUN_A, "10.201.0.1", "ok");
		ck_assert_int_eq(revoked_with(RUN_A), 0);
	}
	expect_no_state(100);
	ck_assert(strstr(output("nft", "list", "ruleset", NULL),
	              "table inet other") != NULL);
}
END_TEST

/* Ours is read whole while others change theirs all the time. */
START_TEST(others_busy)
{
	static const char line[] = "add rule inet other closed accept\n";
	const char *at;
	int i, n, p[2];
	pid_t busy;

	run("nft", "add table inet other", NULL);
	run("nft", "add chain inet other closed", NULL);
	busy = run_behind(p, "nft", "-i", NULL);
	for (i = 0; i < BUSY_LINES; i++)
		ck_assert_int_eq(
		    write(p[1], line, sizeof(line) - 1), sizeof(line) - 1);
	for (i = 0; i < 200; i++) {
		expect_permit(RUN_A, "10.201.0.1", "ok");
		ck_assert_int_eq(revoked_with(RUN_A), 0);
	}
	at = output("nft", "list", "table", "inet", "other", NULL);
	kill(busy, SIGKILL);
	waitpid(busy, NULL, 0);
	close(p[0]);
	close(p[1]);
	for (n = 0; (at = strstr(at, "accept")) != NULL; at++)
		n++;
	ck_assert_int_gt(n, 20);
	expect_no_state(1200);
}
END_TEST

/* Another daemon's table that was there is replaced. */
START_TEST(starts_over)
{
	expect_permit(RUN_A, "10.201.0.1", "ok");
	run("nft", "add rule inet bulkhead run_input accept", NULL);
	fw_stop();
	ck_assert_msg(shows(ELEMENT_A), "the rules outlive it");
	fw_start();
	ck_assert(!shows(ELEMENT_A));
	ck_assert_ptr_null(strstr(list_rules(), "\t\taccept"));
}
END_TEST

/* --- bad requests end it ---------------------------------------------- */

static const struct {
	const char *run, *address;
} bad_permits[] = {
	{ "aaaaaaaaaaa1", "10.201.0.1" },
	{ "AAAAAAAAAAAA", "10.201.0.1" },
	{ "aaaa aaaaaaa", "10.201.0.1" },
	{ RUN_A, "10.202.0.1" },
	{ RUN_A, "10.9.8.8" },
	{ RUN_A, "127.0.0.1" },
	{ RUN_A, "10.201.0.01" },
	{ RUN_A, "10.201.0.0/16" },
	{ RUN_A, "2001:db8::1" },
	{ RUN_A, "::ffff:10.201.0" },
};

START_TEST(bad_permit)
{
	send_permit(1, bad_permits[_i].run, bad_permits[_i].address);
	ck_assert_int_eq(fw_status(), EXIT_INTERNAL);
	/* and leaves the boundary as it was */
	ck_assert(shows("iifname \"bh-*\" goto run_input"));
}
END_TEST

START_TEST(bad_revoke)
{
	send_run(MSG_TYPE_fw_revoke, 1, "aaaaaaaaaaa1");
	ck_assert_int_eq(fw_status(), EXIT_INTERNAL);
}
END_TEST

START_TEST(bad_count)
{
	send_run(MSG_TYPE_fw_count, 1, "aaaaaaaaaaa1");
	ck_assert_int_eq(fw_status(), EXIT_INTERNAL);
}
END_TEST

START_TEST(base_twice)
{
	send_base("bulkhead", "bh-", 3128);
	ck_assert_int_eq(fw_status(), EXIT_INTERNAL);
}
END_TEST

START_TEST(parent_leaves)
{
	close(parent.fd);
	ck_assert_int_eq(fw_status(), 0);
	ck_assert(shows("iifname \"bh-*\" goto run_input"));
}
END_TEST

START_TEST(frontend_leaves)
{
	close(frontend.fd);
	flush_all();
	expect_state("lost", NULL);
	expect_state("restored", NULL);
}
END_TEST

/* --- before the base rules -------------------------------------------- */

START_TEST(too_early)
{
	send_permit(1, RUN_A, "10.201.0.1");
	ck_assert_int_eq(fw_status(), EXIT_INTERNAL);
	ck_assert_str_eq(output("nft", "list", "ruleset", NULL), "");
}
END_TEST

static const struct {
	const char *table, *prefix;
} bad_bases[] = {
	{ "bulk head", "bh-" },
	{ "bulkhead", "bh" },
	{ "bulkhead", "-" },
	{ "bulkhead", "b*-" },
};

START_TEST(bad_base)
{
	send_base(bad_bases[_i].table, bad_bases[_i].prefix, 3128);
	ck_assert_int_eq(fw_status(), EXIT_INTERNAL);
	ck_assert_str_eq(output("nft", "list", "ruleset", NULL), "");
}
END_TEST

/* Everything as large as it can be, in one batch. */
START_TEST(largest)
{
	char text[EGRESS_NETWORKS_MAX][NETADDR_PREFIX_TEXT_MAX];
	const char *networks[EGRESS_NETWORKS_MAX];
	int64_t start;
	int i;

	for (i = 0; i < EGRESS_NETWORKS_MAX; i++) {
		snprintf(text[i], sizeof(text[i]), "10.201.%d.248/29", i + 100);
		networks[i] = text[i];
	}
	networks[0] = "10.201.0.0/18";
	send_base_of("b234567890123456789012345678901Z", "bh-", 65534, networks,
	    EGRESS_NETWORKS_MAX);
	expect_state("closed", NULL);
	for (i = 0; i < EGRESS_RUNS_MAX; i++)
		expect_permit(numbered_run(i), numbered_address(i), "ok");
	flush_all();
	expect_state("lost", NULL);
	expect_state("restored", NULL);
	start = now_ms();
	for (i = 0; i < 100; i++)
		ck_assert_int_eq(counted(numbered_run(0)), 0);
	printf("a look with all runs and networks: %lld us\n",
	    (long long)(now_ms() - start) * 10);
	ck_assert_ptr_nonnull(strstr(output("nft", "list", "ruleset", NULL),
	    "tcp dport 65534-65535 goto closed"));
}
END_TEST

/* Somebody owns a table of this name: it can be neither made nor changed. */
START_TEST(refused)
{
	pid_t owner;
	int p[2];

	owner = run_behind(p, "nft", "-i", NULL);
	ck_assert_int_eq(
	    write(p[1], "add table inet bulkhead { flags owner; }\n", 41), 41);
	while (strstr(output("nft", "list", "ruleset", NULL), "owner") == NULL)
		usleep(20000);
	send_base("bulkhead", "bh-", 3128);
	ck_assert_int_eq(fw_status(), EXIT_SYSTEM);
	kill(owner, SIGKILL);
}
END_TEST

/* Given some other socket. */
START_TEST(no_netlink)
{
	fw_stop();
	fw_spawn(false);
	send_base("bulkhead", "bh-", 3128);
	ck_assert_int_eq(fw_status(), EXIT_SYSTEM);
}
END_TEST

/* --- the cost --------------------------------------------------------- */

START_TEST(cheap)
{
	int64_t start;
	int i;

	for (i = 0; i < 8; i++)
		expect_permit(numbered_run(i), numbered_address(i), "ok");
	start = now_ms();
	for (i = 0; i < 100; i++)
		ck_assert_int_eq(counted(numbered_run(0)), 0);
	printf("a look with 8 runs: %lld us\n",
	    (long long)(now_ms() - start) * 10);
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
	suite = suite_create("fw");
	t = tcase_create("rules");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, shown);
	tcase_add_test(t, permits);
	tcase_add_test(t, as_many_as_may_be);
	LOOP(t, changed, changes);
	tcase_add_test(t, changed_before_request);
	tcase_add_test(t, others_tables);
	tcase_add_test(t, others_busy);
	tcase_add_test(t, starts_over);
	LOOP(t, bad_permit, bad_permits);
	tcase_add_test(t, bad_revoke);
	tcase_add_test(t, bad_count);
	tcase_add_test(t, base_twice);
	tcase_add_test(t, parent_leaves);
	tcase_add_test(t, frontend_leaves);
	tcase_add_test(t, cheap);
	suite_add_tcase(suite, t);

	t = tcase_create("before");
	tcase_add_checked_fixture(t, setup_before, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, too_early);
	LOOP(t, bad_base, bad_bases);
	tcase_add_test(t, largest);
	tcase_add_test(t, refused);
	tcase_add_test(t, no_netlink);
	suite_add_tcase(suite, t);
	return run_suite(suite);
}
