/* run.open: the order of its steps, what fails on the way, the same again. */

#include <stdio.h>
#include <string.h>

#include "tests/process/frontend_world.h"

/* Nothing is asked before what comes before it has its answer. */
START_TEST(order)
{
	bool enforced = _i & 1, listens_first = _i & 2;
	struct link *c;
	unsigned worker;
	int64_t id;

	world_start(enforced);
	c = client_new();
	ask_open(c, 1, RUN_A, ADDR_A, "dev");
	expect_rec_open(RUN_A, ADDR_A);
	quiet();
	recorded();
	id = expect_bind(RUN_A, ADDR_A, &worker);
	quiet();
	if (listens_first)
		listening(worker, RUN_A);
	else
		send_plain(&parent, MSG_TYPE_run_bound, id);
	quiet();
	if (listens_first)
		send_plain(&parent, MSG_TYPE_run_bound, id);
	else
		listening(worker, RUN_A);
	if (enforced) {
		id = expect_permit(RUN_A, ADDR_A);
		quiet();
		send_plain(&fw, MSG_TYPE_fw_permitted, id);
	}
	expect_opened(c, 1, RUN_A);
	quiet();
}
END_TEST

START_TEST(unrecorded_open)
{
	struct link *c;
	struct way w;

	world_start(true);
	c = client_new();
	way_begin(&w, c, 1, RUN_A, ADDR_A, STAGE_RECORD);
	unrecorded();
	expect_error(c, 1, "unrecordable");
	quiet();
	run_up(&w, c, 2, RUN_A, ADDR_A);
}
END_TEST

/* It was written after all: a close follows it. Or it was not: nothing does. */
START_TEST(recorded_late)
{
	struct link *c;
	struct way w;

	world_start(true);
	c = client_new();
	way_begin(&w, c, 1, RUN_A, ADDR_A, STAGE_RECORD);
	expect_error(c, 1, "unrecordable");
	quiet();
	if (_i == 0) {
		recorded();
		expect_rec_close(RUN_A, "failed: unrecordable");
	} else
		unrecorded();
	quiet();
	run_up(&w, c, 2, RUN_A, ADDR_A);
}
END_TEST

/* What fails behind the record is answered, undone and recorded, in order. */
static void
check_failed(struct link *c, const struct way *w, const char *code)
{
	char reason[64];
	struct way again;
	int64_t id;

	expect_error(c, 1, code);
	id = expect_revoke(RUN_A);
	quiet();
	revoked(id, 0);
	id = expect_end(w->worker, RUN_A);
	quiet();
	ended(w->worker, id);
	snprintf(reason, sizeof(reason), "failed: %s", code);
	expect_rec_close(RUN_A, reason);
	quiet();
	run_up(&again, c, 2, RUN_A, ADDR_A);
}

START_TEST(bind_fails)
{
	static const char *const codes[] = { "unavailable", "draining" };
	struct link *c;
	struct way w;

	world_start(true);
	c = client_new();
	way_begin(&w, c, 1, RUN_A, ADDR_A, STAGE_BIND);
	send_error(&parent, w.id, codes[_i], "cannot listen on it");
	check_failed(c, &w, codes[_i]);
}
END_TEST

/* As long as a code and a reason may be, in letters of two bytes. */
START_TEST(long_reason)
{
	static const char code[] = "a_code_of_thirty_two_characters_";
	char reason[513];
	struct link *c;
	struct way w;
	size_t i;

	ck_assert_uint_eq(strlen(code), 32);
	strlcpy(reason, "xx", sizeof(reason));
	for (i = 0; i < 255; i++)
		strlcat(reason, "\xc3\xa9", sizeof(reason));
	world_start(true);
	c = client_new();
	way_begin(&w, c, 1, RUN_A, ADDR_A, STAGE_PERMIT);
	send_error(&fw, w.id, code, reason);
	check_failed(c, &w, code);
}
END_TEST

START_TEST(no_listener)
{
	struct link *c;
	struct way w;

	world_start(true);
	c = client_new();
	way_begin(&w, c, 1, RUN_A, ADDR_A, STAGE_BIND);
	send_plain(&parent, MSG_TYPE_run_bound, w.id);
	check_failed(c, &w, "unavailable");
}
END_TEST

/* The worker listens after all, while it is being undone: that is no news. */
START_TEST(listener_late)
{
	struct msg m;
	struct link *c;
	struct way w;
	int64_t id;

	world_start(true);
	c = client_new();
	way_begin(&w, c, 1, RUN_A, ADDR_A, STAGE_BIND);
	send_plain(&parent, MSG_TYPE_run_bound, w.id);
	expect(c, &m, MSG_TYPE_error);
	msg_free(&m);
	id = expect_revoke(RUN_A);
	listening(w.worker, RUN_A);
	quiet();
	revoked(id, 0);
	id = expect_end(w.worker, RUN_A);
	listening(w.worker, RUN_A);
	quiet();
	ended(w.worker, id);
	expect_rec_close(RUN_A, "failed: unavailable");
}
END_TEST

START_TEST(permit_fails)
{
	struct link *c;
	struct way w;

	world_start(true);
	c = client_new();
	way_begin(&w, c, 1, RUN_A, ADDR_A, STAGE_PERMIT);
	send_error(&fw, w.id, "unavailable", "the kernel refused it");
	check_failed(c, &w, "unavailable");
}
END_TEST

/* --- the same again --------------------------------------------------- */

/* In each stage, from two clients: one opening, the same answer for all. */
START_TEST(again_while_opening)
{
	struct link *a, *b;
	struct way w;

	world_start(true);
	a = client_new();
	b = client_new();
	way_begin(&w, a, 1, RUN_A, ADDR_A, (enum stage)_i);
	ask_open(a, 2, RUN_A, ADDR_A, "dev");
	ask_open(b, 1, RUN_A, ADDR_A, "dev");
	quiet();
	while (w.stage < STAGE_OPEN)
		way_step(&w);
	expect_opened(a, 1, RUN_A);
	expect_opened(a, 2, RUN_A);
	expect_opened(b, 1, RUN_A);
	quiet();
}
END_TEST

START_TEST(again_fails_for_all)
{
	struct link *a, *b;
	struct way w;

	world_start(true);
	a = client_new();
	b = client_new();
	way_begin(&w, a, 1, RUN_A, ADDR_A, STAGE_BIND);
	ask_open(b, 1, RUN_A, ADDR_A, "dev");
	quiet();
	send_error(&parent, w.id, "unavailable", "no");
	expect_error(b, 1, "unavailable");
	check_failed(a, &w, "unavailable");
}
END_TEST

static void
expect_state(struct link *c, const struct way *w, const char *want)
{
	struct msg m = { .type = MSG_TYPE_run_sums_answer };

	ask_run_status(c, 77, w->run);
	if (fw.fd != -1) {
		struct msg n = { .type = MSG_TYPE_fw_counted };

		n.id = expect_id(&fw, MSG_TYPE_fw_count);
		link_send(&fw, &n);
	}
	m.id = expect_id(&proxies[w->worker], MSG_TYPE_run_sums);
	link_send(&proxies[w->worker], &m);
	expect(c, &m, MSG_TYPE_run_status_answer);
	ck_assert_str_eq(m.u.run_status_answer.state, want);
	msg_free(&m);
}

/* The rule is read back anew; the run is open all the while. */
START_TEST(again_when_open)
{
	struct link *a, *b;
	struct way w;

	world_start(_i);
	a = client_new();
	b = client_new();
	run_up(&w, a, 1, RUN_A, ADDR_A);
	ask_open(b, 1, RUN_A, ADDR_A, "dev");
	if (_i) {
		w.id = expect_permit(RUN_A, ADDR_A);
		quiet();
		expect_state(a, &w, "open");
		send_plain(&fw, MSG_TYPE_fw_permitted, w.id);
	}
	expect_opened(b, 1, RUN_A);
	quiet();
	expect_state(a, &w, "open");
}
END_TEST

/* The rule is gone and cannot be had again: the run is closed. */
START_TEST(again_without_rule)
{
	struct link *c;
	struct way w;

	world_start(true);
	c = client_new();
	run_up(&w, c, 7, RUN_A, ADDR_A);
	ask_open(c, 1, RUN_A, ADDR_A, "dev");
	w.id = expect_permit(RUN_A, ADDR_A);
	send_error(&fw, w.id, "unavailable", "the rule is lost");
	check_failed(c, &w, "unavailable");
}
END_TEST

START_TEST(conflict)
{
	struct link *c;
	struct way w;

	world_start(true);
	c = client_new();
	way_begin(&w, c, 1, RUN_A, ADDR_A, (enum stage)_i);
	if (w.stage == STAGE_OPEN)
		expect_opened(c, 1, RUN_A);
	ask_open(c, 2, RUN_A, ADDR_B, "dev");
	expect_error(c, 2, "conflict");
	ask_open(c, 3, RUN_A, ADDR_A, "ci");
	expect_error(c, 3, "conflict");
	ask_open(c, 4, RUN_B, ADDR_A, "dev");
	expect_error(c, 4, "conflict");
	quiet();
}
END_TEST

/* A run that is being closed, and its address, are free again in a moment. */
START_TEST(busy)
{
	struct link *c;
	struct way w;
	int64_t id;

	world_start(true);
	c = client_new();
	run_up(&w, c, 1, RUN_A, ADDR_A);
	ask_close(c, 2, RUN_A);
	id = expect_revoke(RUN_A);
	ask_open(c, 3, RUN_A, ADDR_A, "dev");
	expect_error(c, 3, "busy");
	ask_open(c, 4, RUN_B, ADDR_A, "dev");
	expect_error(c, 4, "busy");
	revoked(id, 0);
	id = expect_end(w.worker, RUN_A);
	ask_open(c, 5, RUN_A, ADDR_A, "dev");
	expect_error(c, 5, "busy");
	ask_open(c, 6, RUN_B, ADDR_A, "dev");
	expect_error(c, 6, "busy");
	quiet();
	ended(w.worker, id);
	expect_rec_close(RUN_A, "request");
	expect_closed(c, 2, true, 0);
	run_up(&w, c, 7, RUN_B, ADDR_A);
}
END_TEST

/* --- what is not carried out ------------------------------------------ */

static const struct {
	const char *run, *address, *profile;
} invalid[] = {
	{ "aaaaaaaaaaa1", ADDR_A, "dev" },
	{ "aaaaaaaaaaa8", ADDR_A, "dev" },
	{ "AAAAAAAAAAAA", ADDR_A, "dev" },
	{ "aaaaaaaa/../", ADDR_A, "dev" },
	{ "aaaaaaaaaa\xc3\xa9", ADDR_A, "dev" },
	{ "aaaaaaaaaaa ", ADDR_A, "dev" },
	{ RUN_A, "10.202.0.1", "dev" },
	{ RUN_A, "127.0.0.1", "dev" },
	{ RUN_A, "0.0.0.0", "dev" },
	{ RUN_A, "172.30.1.0", "dev" },
	{ RUN_A, "10.201.0.01", "dev" },
	{ RUN_A, "10.201.0.1 ", "dev" },
	{ RUN_A, "10.201.1", "dev" }, /* inet_aton's */
	{ RUN_A, "10.201.0", "dev" },
	{ RUN_A, "10.201.0.1/32", "dev" },
	{ RUN_A, "fe80::1", "dev" },
	{ RUN_A, "::ffff:10.201.0", "dev" },
	{ RUN_A, "example", "dev" },
	{ RUN_A, ADDR_A, "none" },
	{ RUN_A, ADDR_A, "DEV" },
	{ RUN_A, ADDR_A, "dev " },
};

START_TEST(invalid_words)
{
	struct link *c;
	struct msg m;
	size_t i;

	world_start(true);
	c = client_new();
	for (i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
		ask_open(c, (int64_t)i + 1, invalid[i].run, invalid[i].address,
		    invalid[i].profile);
		expect(c, &m, MSG_TYPE_error);
		ck_assert_int_eq(m.id, (int64_t)i + 1);
		ck_assert_msg(strcmp(m.u.error.error, "invalid") == 0,
		    "row %zu: %s", i, m.u.error.error);
		msg_free(&m);
	}
	quiet();
}
END_TEST

/* Run number n: its id and address. */
static void
number(int n, char run[RUNID_LEN + 1], char address[16])
{
	snprintf(
	    run, RUNID_LEN + 1, "aaaaaaaaaa%c%c", 'a' + n / 20, 'a' + n % 20);
	snprintf(address, 16, "10.201.%u.%u", (unsigned)n / 31 % 256,
	    (unsigned)n % 31 * 8 + 1);
}

START_TEST(limit)
{
	char run[RUNID_LEN + 1], address[16];
	size_t per[WORLD_PROXIES] = { 0 };
	struct link *c;
	struct way w;
	int i;

	world_start(true);
	c = client_new();
	for (i = 0; i < EGRESS_RUNS_MAX; i++) {
		number(i, run, address);
		run_up(&w, c, i + 1, run, address);
		per[w.worker]++;
	}
	/* They are shared out evenly. */
	ck_assert_uint_eq(per[0], EGRESS_RUNS_MAX / 2);
	ck_assert_uint_eq(per[1], EGRESS_RUNS_MAX / 2);
	number(i, run, address);
	ask_open(c, 500, run, address, "dev");
	expect_error(c, 500, "limit");
	quiet();
	number(5, run, address);
	ask_close(c, 501, run);
	w.run = run;
	w.worker = 5 % WORLD_PROXIES;
	run_down(&w, "request");
	expect_closed(c, 501, true, 6);
	number(i, run, address);
	run_up(&w, c, 502, run, address);
}
END_TEST

START_TEST(draining)
{
	struct link *c;
	struct way a, b;

	world_start(true);
	c = client_new();
	run_up(&a, c, 1, RUN_A, ADDR_A);
	way_begin(&b, c, 2, RUN_B, ADDR_B, STAGE_BIND);
	quiet();
	send_plain(&parent, MSG_TYPE_drain, 0);
	send_error(&parent, b.id, "draining", "egressd is leaving");
	expect_error(c, 2, "draining");
	run_down(&b, "failed: draining");
	ask_open(c, 3, RUN_C, ADDR_C, "dev");
	expect_error(c, 3, "draining");
	ask_open(c, 4, RUN_A, ADDR_A, "dev");
	a.id = expect_permit(RUN_A, ADDR_A);
	send_plain(&fw, MSG_TYPE_fw_permitted, a.id);
	expect_opened(c, 4, RUN_A);
	ask_close(c, 5, RUN_A);
	run_down(&a, "request");
	expect_closed(c, 5, true, 6);
	quiet();
}
END_TEST

/* A run under a profile that a reload took away can still be closed. */
START_TEST(profile_removed)
{
	static const char *const ci[] = { "ci", NULL };
	struct link *c;
	struct way a, b;

	world_start(true);
	c = client_new();
	run_up(&a, c, 1, RUN_A, ADDR_A);
	way_begin(&b, c, 2, RUN_B, ADDR_B, STAGE_RECORD);
	table_load(2, may_all, ci);
	quiet();
	ask_open(c, 3, RUN_A, ADDR_A, "dev");
	expect_error(c, 3, "invalid");
	/* That of the opening one is known to the parent's look at it. */
	way_step(&b);
	send_error(&parent, b.id, "invalid", "profile: there is none");
	expect_error(c, 2, "invalid");
	run_down(&b, "failed: invalid");
	expect_state(c, &a, "open");
	ask_close(c, 4, RUN_A);
	run_down(&a, "request");
	expect_closed(c, 4, true, 6);
	ask_open(c, 5, RUN_A, ADDR_A, "dev");
	expect_error(c, 5, "invalid");
}
END_TEST

int
main(int argc, char **argv)
{
	const struct world_case cases[] = {
		{ "order", order, 20, 4 },
		{ "unrecorded", unrecorded_open, 20, 0 },
		{ "recorded_late", recorded_late, 20, 2 },
		{ "bind_fails", bind_fails, 20, 2 },
		{ "long_reason", long_reason, 20, 0 },
		{ "no_listener", no_listener, 30, 0 },
		{ "listener_late", listener_late, 30, 0 },
		{ "permit_fails", permit_fails, 20, 0 },
		{ "again_while_opening", again_while_opening, 20, STAGE_OPEN },
		{ "again_fails_for_all", again_fails_for_all, 20, 0 },
		{ "again_when_open", again_when_open, 20, 2 },
		{ "again_without_rule", again_without_rule, 20, 0 },
		{ "conflict", conflict, 20, STAGE_OPEN + 1 },
		{ "busy", busy, 20, 0 },
		{ "invalid_words", invalid_words, 20, 0 },
		{ "limit", limit, 60, 0 },
		{ "draining", draining, 20, 0 },
		{ "profile_removed", profile_removed, 20, 0 },
		{ NULL, NULL, 0, 0 },
	};

	return world_main(argc, argv, "frontend_open", cases);
}
