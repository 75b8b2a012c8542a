/* run.close and runs.sync in every state, clients that leave, many cycles. */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/process/frontend_world.h"

#define CYCLES 2000
#define CYCLES_WARM 500 /* from here on its memory stays as it is */
#define GROWTH_KIB 2048 /* but for what an allocator does */

START_TEST(unknown)
{
	static const char *const bad[] = { "aaaaaaaaaaa1", "AAAAAAAAAAAA",
		"aaaaaaaa/../", "aaaaaaaaaa\xc3\xa9" };
	struct link *c;
	size_t i;

	world_start(true);
	c = client_new();
	ask_close(c, 1, RUN_A);
	expect_closed(c, 1, false, 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ask_close(c, (int64_t)i + 2, bad[i]);
		expect_error(c, (int64_t)i + 2, "invalid");
	}
	quiet();
}
END_TEST

/* In the reverse order, each step behind the other's answer; with its sums. */
START_TEST(order)
{
	const struct msg_run_closed *r;
	struct link *c;
	struct msg m;
	struct way w;
	int64_t id;

	world_start(_i);
	c = client_new();
	run_up(&w, c, 1, RUN_A, ADDR_A);
	ask_close(c, 2, RUN_A);
	if (_i) {
		id = expect_revoke(RUN_A);
		quiet();
		revoked(id, 6);
	}
	id = expect_end(w.worker, RUN_A);
	quiet();
	ended(w.worker, id);
	expect_rec_close(RUN_A, "request");
	expect(c, &m, MSG_TYPE_run_closed);
	r = &m.u.run_closed;
	ck_assert_int_eq(m.id, 2);
	ck_assert(r->known);
	ck_assert_int_eq(r->allowed, 1);
	ck_assert_int_eq(r->denied, 2);
	ck_assert_int_eq(r->failed, 3);
	ck_assert_int_eq(r->bytes_up, 4);
	ck_assert_int_eq(r->bytes_down, 5);
	ck_assert_int_eq(r->packets_refused, _i ? 6 : 0);
	msg_free(&m);
	ask_close(c, 3, RUN_A);
	expect_closed(c, 3, false, 0);
	quiet();
}
END_TEST

/* The step under way of an opening ends; it goes no further. */
static void
step_ends(const struct way *w)
{
	switch (w->stage) {
	case STAGE_RECORD:
		recorded();
		break;
	case STAGE_BIND:
		send_plain(&parent, MSG_TYPE_run_bound, w->id);
		listening(w->worker, w->run);
		break;
	case STAGE_PERMIT:
		send_plain(&fw, MSG_TYPE_fw_permitted, w->id);
		break;
	case STAGE_OPEN:
		break;
	}
}

START_TEST(while_opening)
{
	struct link *a, *b;
	struct way w;

	world_start(true);
	a = client_new();
	b = client_new();
	way_begin(&w, a, 1, RUN_A, ADDR_A, (enum stage)_i);
	ask_close(b, 1, RUN_A);
	quiet();
	ask_open(b, 2, RUN_A, ADDR_A, "dev");
	expect_error(b, 2, "busy");
	w.worker = w.stage == STAGE_RECORD ? 0 : w.worker;
	quiet();
	step_ends(&w);
	run_down(&w, "request");
	expect_error(a, 1, "closed");
	expect_closed(b, 1, true, 6);
	quiet();
	run_up(&w, a, 2, RUN_A, ADDR_A);
}
END_TEST

/* What was to be closed could not even be opened. */
START_TEST(while_failing)
{
	struct link *a, *b;
	struct way w;

	world_start(true);
	a = client_new();
	b = client_new();
	way_begin(&w, a, 1, RUN_A, ADDR_A, (enum stage)_i);
	ask_close(b, 1, RUN_A);
	quiet();
	if (w.stage == STAGE_RECORD) {
		unrecorded();
		expect_error(a, 1, "unrecordable");
		expect_closed(b, 1, true, 0);
	} else {
		send_error(w.stage == STAGE_BIND ? &parent : &fw, w.id,
		    "unavailable", "no");
		expect_error(a, 1, "unavailable");
		run_down(&w, "failed: unavailable");
		expect_closed(b, 1, true, 6);
	}
	quiet();
}
END_TEST

START_TEST(while_asked_again)
{
	struct link *a, *b;
	struct way w;

	world_start(true);
	a = client_new();
	b = client_new();
	run_up(&w, a, 1, RUN_A, ADDR_A);
	ask_open(a, 2, RUN_A, ADDR_A, "dev");
	w.id = expect_permit(RUN_A, ADDR_A);
	ask_close(b, 1, RUN_A);
	quiet();
	send_plain(&fw, MSG_TYPE_fw_permitted, w.id);
	run_down(&w, "request");
	expect_error(a, 2, "closed");
	expect_closed(b, 1, true, 6);
	quiet();
}
END_TEST

START_TEST(two_clients)
{
	struct link *a, *b;
	struct way w;
	int64_t id;

	world_start(true);
	a = client_new();
	b = client_new();
	run_up(&w, a, 1, RUN_A, ADDR_A);
	ask_close(a, 2, RUN_A);
	id = expect_revoke(RUN_A);
	ask_close(b, 1, RUN_A);
	quiet();
	revoked(id, 9);
	id = expect_end(w.worker, RUN_A);
	ask_close(b, 2, RUN_A);
	quiet();
	ended(w.worker, id);
	expect_rec_close(RUN_A, "request");
	expect_closed(a, 2, true, 9);
	expect_closed(b, 1, true, 9);
	expect_closed(b, 2, true, 9);
	quiet();
}
END_TEST

/* The close counts as done when its record is refused; it is sent again. */
START_TEST(close_unrecorded)
{
	struct link *c;
	struct msg m;
	struct way w;

	world_start(false);
	c = client_new();
	run_up(&w, c, 1, RUN_A, ADDR_A);
	ask_close(c, 2, RUN_A);
	ended(w.worker, expect_end(w.worker, RUN_A));
	expect(&audit, &m, MSG_TYPE_rec_run_close);
	msg_free(&m);
	expect_closed(c, 2, true, 0);
	unrecorded();
	expect_rec_close(RUN_A, "request");
	quiet();
}
END_TEST

/* --- runs.sync -------------------------------------------------------- */

START_TEST(sync_nothing)
{
	static const char *const unknown_ones[] = { RUN_B, RUN_A, RUN_B, NULL };
	static const char *const bad[] = { RUN_A, "aaaaaaaaaaa1", NULL };
	struct link *c;

	world_start(true);
	c = client_new();
	ask_sync(c, 1, unknown_ones + 3);
	expect_synced(c, 1, "", "");
	ask_sync(c, 2, unknown_ones);
	expect_synced(c, 2, "", RUN_B " " RUN_A " " RUN_B);
	ask_sync(c, 3, bad);
	expect_error(c, 3, "invalid");
	quiet();
}
END_TEST

/* A list with one bad id closes nothing. */
START_TEST(sync_bad)
{
	static const char *const bad[] = { "../../../etc", NULL };
	struct link *c;
	struct way w;

	world_start(true);
	c = client_new();
	run_up(&w, c, 1, RUN_A, ADDR_A);
	ask_sync(c, 2, bad);
	expect_error(c, 2, "invalid");
	quiet();
}
END_TEST

/* 128 runs are open, 256 others are listed: the longest answer there is. */
START_TEST(sync_longest)
{
	static char id[EGRESS_RUNS_MAX + 256][RUNID_LEN + 1];
	static char address[EGRESS_RUNS_MAX][16];
	static struct way w[EGRESS_RUNS_MAX];
	const char *list[257];
	struct link *c;
	struct msg m;
	int i;

	world_start(false);
	c = client_new();
	for (i = 0; i < EGRESS_RUNS_MAX + 256; i++)
		snprintf(id[i], sizeof(id[i]), "aaaaaaaaa%c%c%c", 'a' + i / 400,
		    'a' + i / 20 % 20, 'a' + i % 20);
	for (i = 0; i < EGRESS_RUNS_MAX; i++) {
		snprintf(address[i], sizeof(address[i]), "10.201.%d.1", i);
		run_up(&w[i], c, i + 1, id[i], address[i]);
	}
	for (i = 0; i < 256; i++)
		list[i] = id[EGRESS_RUNS_MAX + i];
	list[i] = NULL;
	ask_sync(c, 1000, list);
	for (i = 0; i < EGRESS_RUNS_MAX; i++)
		run_down(&w[i], "sync");
	expect(c, &m, MSG_TYPE_runs_synced);
	ck_assert_uint_eq(m.u.runs_synced.closed.n, EGRESS_RUNS_MAX);
	ck_assert_uint_eq(m.u.runs_synced.unknown.n, 256);
	msg_free(&m);
	quiet();
}
END_TEST

/* The one that is listed stays, the other goes, in each state of both. */
START_TEST(sync_states)
{
	static const char *const alive[] = { RUN_C, RUN_A, NULL };
	struct way a, b, closing;
	struct link *c;
	int64_t id;

	world_start(true);
	c = client_new();
	run_up(&closing, c, 1, RUN_C, ADDR_C); /* has worker 0 */
	ask_close(c, 2, RUN_C);
	id = expect_revoke(RUN_C);
	way_begin(&a, c, 4, RUN_A, ADDR_A, STAGE_BIND);
	way_begin(&b, c, 3, RUN_B, ADDR_B, (enum stage)_i);
	b.worker = closing.worker; /* each has one run by now */
	if (b.stage == STAGE_OPEN)
		expect_opened(c, 3, RUN_B);
	quiet();
	ask_sync(c, 5, alive);
	if (b.stage != STAGE_OPEN)
		quiet();
	step_ends(&b);
	run_down(&b, "sync");
	if (b.stage != STAGE_OPEN)
		expect_error(c, 3, "closed");
	/* C is listed, so it is not waited for, but it is not open either. */
	expect_synced(c, 5, RUN_B, RUN_C);
	quiet();
	revoked(id, 0);
	ended(closing.worker, expect_end(closing.worker, RUN_C));
	expect_rec_close(RUN_C, "request");
	expect_closed(c, 2, true, 0);
	while (a.stage < STAGE_OPEN)
		way_step(&a);
	expect_opened(c, 4, RUN_A);
	quiet();
}
END_TEST

/* Both wait for the same run, which another client closes. */
START_TEST(sync_twice)
{
	static const char *const none[] = { NULL };
	struct link *a, *b;
	struct way w;

	world_start(true);
	a = client_new();
	b = client_new();
	run_up(&w, a, 1, RUN_A, ADDR_A);
	ask_close(a, 2, RUN_A);
	ask_sync(a, 3, none);
	ask_sync(b, 1, none);
	run_down(&w, "request");
	expect_closed(a, 2, true, 6);
	expect_synced(a, 3, RUN_A, "");
	expect_synced(b, 1, RUN_A, "");
	quiet();
}
END_TEST

START_TEST(sync_limit)
{
	static const char *const none[] = { NULL };
	struct link *a, *b, *c;
	struct way w;
	int64_t id;
	int i;

	world_start(true);
	a = client_new();
	b = client_new();
	c = client_new();
	run_up(&w, a, 1, RUN_A, ADDR_A);
	for (i = 0; i < 8; i++) {
		ask_sync(a, i + 2, none);
		ask_sync(b, i + 2, none);
	}
	id = expect_revoke(RUN_A);
	quiet();
	ask_sync(c, 1, none);
	expect_error(c, 1, "unavailable");
	/* Those of a client that left count until they are done. */
	client_close(b);
	quiet();
	ask_sync(c, 2, none);
	expect_error(c, 2, "unavailable");
	revoked(id, 0);
	ended(w.worker, expect_end(w.worker, RUN_A));
	expect_rec_close(RUN_A, "sync");
	for (i = 0; i < 8; i++)
		expect_synced(a, i + 2, RUN_A, "");
	ask_sync(c, 3, none);
	expect_synced(c, 3, "", "");
	quiet();
}
END_TEST

/* More than eight requests of one client are not taken. */
START_TEST(in_flight)
{
	struct link *c;
	struct way w;
	int i;

	world_start(true);
	c = client_new();
	run_up(&w, c, 1, RUN_A, ADDR_A);
	for (i = 0; i < 8; i++)
		ask_close(c, i + 2, RUN_A);
	ask_close(c, 20, RUN_A);
	expect_error(c, 20, "too_many");
	run_down(&w, "request");
	for (i = 0; i < 8; i++)
		expect_closed(c, i + 2, true, 6);
	ask_close(c, 21, RUN_A);
	expect_closed(c, 21, false, 0);
	quiet();
}
END_TEST

/* --- clients that leave ----------------------------------------------- */

/* Who asked leaves: the run opens all the same, and answers nobody. */
START_TEST(leaves_opening)
{
	struct link *a, *b;
	struct way w;

	world_start(true);
	a = client_new();
	b = client_new();
	way_begin(&w, a, 1, RUN_A, ADDR_A, (enum stage)_i);
	if (w.stage < STAGE_OPEN)
		ask_open(a, 2, RUN_A, ADDR_A, "dev");
	ask_run_status(a, 3, RUN_A);
	expect_id(&fw, MSG_TYPE_fw_count);
	client_close(a);
	quiet();
	while (w.stage < STAGE_OPEN)
		way_step(&w);
	quiet();
	ask_open(b, 1, RUN_A, ADDR_A, "dev");
	w.id = expect_permit(RUN_A, ADDR_A);
	send_plain(&fw, MSG_TYPE_fw_permitted, w.id);
	expect_opened(b, 1, RUN_A);
	quiet();
}
END_TEST

/* Who closed it leaves, and so does one that waits beside another. */
START_TEST(leaves_closing)
{
	static const char *const none[] = { NULL };
	struct link *a, *b;
	struct way w;
	int64_t id;

	world_start(true);
	a = client_new();
	b = client_new();
	run_up(&w, a, 1, RUN_A, ADDR_A);
	if (_i & 1)
		ask_sync(a, 2, none);
	else
		ask_close(a, 2, RUN_A);
	ask_sync(a, 3, none);
	ask_close(a, 4, RUN_A);
	ask_run_status(a, 5, RUN_A);
	id = expect_revoke(RUN_A);
	expect_id(&fw, MSG_TYPE_fw_count);
	ask_sync(b, 1, none);
	ask_close(b, 2, RUN_A);
	if (_i & 2)
		client_close(a);
	quiet();
	revoked(id, 0);
	id = expect_end(w.worker, RUN_A);
	if ((_i & 2) == 0)
		client_close(a);
	quiet();
	ended(w.worker, id);
	expect_rec_close(RUN_A, _i & 1 ? "sync" : "request");
	expect_synced(b, 1, RUN_A, "");
	expect_closed(b, 2, true, 0);
	quiet();
}
END_TEST

/* --- many ------------------------------------------------------------- */

static long
resident_kib(void)
{
	char name[64];
	long size, pages;
	FILE *f;

	snprintf(name, sizeof(name), "/proc/%d/statm", (int)world_pid());
	if ((f = fopen(name, "r")) == NULL)
		return 0;
	/* NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers */
	if (fscanf(f, "%ld %ld", &size, &pages) != 2)
		pages = 0;
	fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Descriptors that it has open; -1 where we may not look. */
static int
descriptors(void)
{
	char name[64];
	int n = 0;
	DIR *d;

	snprintf(name, sizeof(name), "/proc/%d/fd", (int)world_pid());
	if ((d = opendir(name)) == NULL)
		return -1;
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

START_TEST(cycles)
{
	struct link *c;
	struct way w;
	long before = 0;
	int i, fds = -1;

	/* What the sanitizer holds back is no growth of ours. */
	setenv("ASAN_OPTIONS", "quarantine_size_mb=1", 1);
	world_start(true);
	for (i = 0; i < CYCLES; i++) {
		c = client_new();
		run_up(&w, c, 1, RUN_A, ADDR_A);
		ask_close(c, 2, RUN_A);
		run_down(&w, "request");
		expect_closed(c, 2, true, 6);
		client_close(c);
		if (i != CYCLES_WARM)
			continue;
		quiet();
		before = resident_kib();
		fds = descriptors();
	}
	quiet();
	ck_assert_int_lt(resident_kib() - before, GROWTH_KIB);
	ck_assert_int_eq(descriptors(), fds);
}
END_TEST

int
main(int argc, char **argv)
{
	const struct world_case cases[] = {
		{ "unknown", unknown, 20, 0 },
		{ "order", order, 20, 2 },
		{ "while_opening", while_opening, 20, STAGE_OPEN },
		{ "while_failing", while_failing, 20, STAGE_OPEN },
		{ "while_asked_again", while_asked_again, 20, 0 },
		{ "two_clients", two_clients, 20, 0 },
		{ "close_unrecorded", close_unrecorded, 20, 0 },
		{ "sync_nothing", sync_nothing, 20, 0 },
		{ "sync_bad", sync_bad, 20, 0 },
		{ "sync_longest", sync_longest, 60, 0 },
		{ "sync_states", sync_states, 20, STAGE_OPEN + 1 },
		{ "sync_twice", sync_twice, 20, 0 },
		{ "sync_limit", sync_limit, 20, 0 },
		{ "in_flight", in_flight, 20, 0 },
		{ "leaves_opening", leaves_opening, 20, STAGE_OPEN + 1 },
		{ "leaves_closing", leaves_closing, 20, 4 },
		{ "cycles", cycles, 120, 0 },
		{ NULL, NULL, 0, 0 },
	};

	return world_main(argc, argv, "frontend_close", cases);
}
