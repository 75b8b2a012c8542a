/* Who may ask what; run.status and status. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/process/frontend_world.h"

#define USER_MAX 32 /* connections of one user */

/* --- permissions ------------------------------------------------------ */

static const enum msg_type verbs[] = { MSG_TYPE_status, MSG_TYPE_run_open,
	MSG_TYPE_run_close, MSG_TYPE_runs_sync, MSG_TYPE_run_status };

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

/* Ask for that; nothing of it has an effect but a status. */
static void
ask_verb(struct link *c, enum msg_type verb, int64_t id)
{
	static const char *const none[] = { NULL };

	switch (verb) {
	case MSG_TYPE_status:
		client_ask(c, verb, id);
		break;
	case MSG_TYPE_run_open:
		ask_open(c, id, RUN_A, "192.0.2.1", "dev");
		break;
	case MSG_TYPE_run_close:
		ask_close(c, id, RUN_A);
		break;
	case MSG_TYPE_runs_sync:
		ask_sync(c, id, none);
		break;
	default:
		ask_run_status(c, id, RUN_A);
	}
}

/* What a permitted one is answered, refused else. */
static void
expect_verb(struct link *c, enum msg_type verb, int64_t id)
{
	struct msg m = { .type = MSG_TYPE_stats_answer };
	size_t i;

	switch (verb) {
	case MSG_TYPE_status:
		for (i = 0; i < WORLD_PROXIES; i++) {
			m.id = expect_id(&proxies[i], MSG_TYPE_stats);
			link_send(&proxies[i], &m);
		}
		ck_assert_int_eq(expect_id(c, MSG_TYPE_status_answer), id);
		break;
	case MSG_TYPE_run_open:
		expect_error(c, id, "invalid");
		break;
	case MSG_TYPE_run_close:
		expect_closed(c, id, false, 0);
		break;
	case MSG_TYPE_runs_sync:
		expect_synced(c, id, "", "");
		break;
	default:
		expect_error(c, id, "no_run");
	}
}

/* On one connection, through reloads: each verb alone, then none. */
START_TEST(permissions)
{
	const char *may[] = { NULL, NULL };
	struct link *c;
	size_t v, i;

	world_start(false);
	c = client_new();
	for (v = 0; v <= VERBS; v++) {
		may[0] = v < VERBS ? may_all[v] : NULL;
		table_load((int64_t)v + 2, may, profiles_all);
		for (i = 0; i < VERBS; i++) {
			ask_verb(c, verbs[i], (int64_t)i + 1);
			if (i == v)
				expect_verb(c, verbs[i], (int64_t)i + 1);
			else
				expect_error(c, (int64_t)i + 1, "refused");
		}
	}
}
END_TEST

/* By user or by group; the number alone decides nothing. */
START_TEST(user_or_group)
{
	static const struct {
		bool group, other, permitted;
	} rows[] = {
		{ false, false, true },
		{ false, true, false },
		{ true, false, true },
		{ true, true, false },
	};
	uint32_t id;
	struct link *c;

	world_start(false);
	c = client_new();
	table_begin(2);
	id = rows[_i].group ? getgid() : getuid();
	table_peer(rows[_i].group, rows[_i].other ? id + 4242 : id, may_all);
	table_runs(false);
	table_end(2, 2);
	expect_applied(2);
	ask_close(c, 1, RUN_A);
	if (rows[_i].permitted)
		expect_closed(c, 1, false, 0);
	else
		expect_error(c, 1, "refused");
}
END_TEST

/* A verb that this version does not know gives nothing. */
START_TEST(unknown_verb)
{
	static const char *const may[] = { "everything", "run", "*", NULL };
	struct link *c;

	world_start(false);
	c = client_new();
	table_load(2, may, profiles_all);
	ask_close(c, 1, RUN_A);
	expect_error(c, 1, "refused");
}
END_TEST

START_TEST(connections)
{
	struct link *c[USER_MAX], *late;
	struct msg m;
	size_t i;

	world_start(false);
	for (i = 0; i < USER_MAX; i++)
		c[i] = client_new();
	/* One more hears why, whatever it would ask, and is closed. */
	late = client_try();
	expect(late, &m, MSG_TYPE_hello);
	msg_free(&m);
	expect_error(late, 1, "too_many");
	ck_assert(!link_recv(late, &m, WORLD_WAIT_MS));
	client_close(late);
	client_close(c[0]);
	ask_close(c[1], 1, RUN_A);
	expect_closed(c[1], 1, false, 0);
	c[0] = client_new();
}
END_TEST

/* --- run.status ------------------------------------------------------- */

static void
counted(int64_t id, int64_t packets_refused)
{
	struct msg m = { .type = MSG_TYPE_fw_counted, .id = id };

	m.u.fw_counted.packets_refused = packets_refused;
	link_send(&fw, &m);
}

static void
summed(unsigned worker, int64_t id)
{
	const char *host[] = { "example.com:443 host" }, *count[] = { "3" };
	struct msg m = { .type = MSG_TYPE_run_sums_answer, .id = id };

	m.u.run_sums_answer.tunnels = 1;
	m.u.run_sums_answer.allowed = 2;
	m.u.run_sums_answer.denied = 3;
	m.u.run_sums_answer.failed = 4;
	m.u.run_sums_answer.bytes_up = 5;
	m.u.run_sums_answer.bytes_down = 6;
	m.u.run_sums_answer.quiet_ms = 7;
	m.u.run_sums_answer.denials.k = host;
	m.u.run_sums_answer.denials.v = count;
	m.u.run_sums_answer.denials.n = 1;
	link_send(&proxies[worker], &m);
}

static void
expect_run_status(
    struct link *c, int64_t id, const char *state, int64_t packets)
{
	const struct msg_run_status_answer *r;
	struct msg m;

	expect(c, &m, MSG_TYPE_run_status_answer);
	r = &m.u.run_status_answer;
	ck_assert_int_eq(m.id, id);
	ck_assert_str_eq(r->state, state);
	ck_assert_str_eq(r->profile, "dev");
	ck_assert_str_eq(r->interface, "bh-" RUN_A);
	ck_assert_str_eq(r->listener, ADDR_A ":3128");
	ck_assert_int_eq(r->enforced, fw.fd != -1);
	ck_assert_int_eq(r->tunnels, 1);
	ck_assert_int_eq(r->allowed, 2);
	ck_assert_int_eq(r->denied, 3);
	ck_assert_int_eq(r->failed, 4);
	ck_assert_int_eq(r->bytes_up, 5);
	ck_assert_int_eq(r->bytes_down, 6);
	ck_assert_int_eq(r->quiet_ms, 7);
	ck_assert_int_eq(r->packets_refused, packets);
	ck_assert_uint_eq(r->denials.n, 1);
	ck_assert_str_eq(r->denials.k[0], "example.com:443 host");
	msg_free(&m);
}

/* fw's part, then the worker's, whatever the run is doing. */
START_TEST(run_status)
{
	struct link *c;
	struct way w;
	int64_t id;

	world_start(_i);
	c = client_new();
	way_begin(&w, c, 1, RUN_A, ADDR_A, STAGE_BIND);
	ask_run_status(c, 2, RUN_A);
	if (_i)
		counted(expect_id(&fw, MSG_TYPE_fw_count), 8);
	summed(w.worker, expect_id(&proxies[w.worker], MSG_TYPE_run_sums));
	expect_run_status(c, 2, "opening", _i ? 8 : 0);
	while (w.stage < STAGE_OPEN)
		way_step(&w);
	expect_opened(c, 1, RUN_A);
	ask_run_status(c, 3, RUN_A);
	if (_i)
		counted(expect_id(&fw, MSG_TYPE_fw_count), 9);
	summed(w.worker, expect_id(&proxies[w.worker], MSG_TYPE_run_sums));
	expect_run_status(c, 3, "open", _i ? 9 : 0);
	ask_close(c, 4, RUN_A);
	if (_i)
		revoked(expect_revoke(RUN_A), 10);
	id = expect_end(w.worker, RUN_A);
	ask_run_status(c, 5, RUN_A);
	if (_i)
		counted(expect_id(&fw, MSG_TYPE_fw_count), 10);
	summed(w.worker, expect_id(&proxies[w.worker], MSG_TYPE_run_sums));
	expect_run_status(c, 5, "closing", _i ? 10 : 0);
	ended(w.worker, id);
	expect_rec_close(RUN_A, "request");
	expect_closed(c, 4, true, _i ? 10 : 0);
	ask_run_status(c, 6, RUN_A);
	expect_error(c, 6, "no_run");
	ask_run_status(c, 7, "no-such-run!");
	expect_error(c, 7, "no_run");
	quiet();
}
END_TEST

/* It closes while fw (0) or the worker (1) is asked; what comes is late. */
START_TEST(closes_meanwhile)
{
	struct link *c;
	struct way w;
	int64_t id;

	world_start(true);
	c = client_new();
	run_up(&w, c, 1, RUN_A, ADDR_A);
	ask_run_status(c, 2, RUN_A);
	id = expect_id(&fw, MSG_TYPE_fw_count);
	if (_i) {
		counted(id, 1);
		id = expect_id(&proxies[w.worker], MSG_TYPE_run_sums);
	}
	ask_close(c, 3, RUN_A);
	run_down(&w, "request");
	expect_closed(c, 3, true, 6);
	expect_error(c, 2, "no_run");
	if (_i)
		summed(w.worker, id);
	else
		counted(id, 1);
	quiet();
}
END_TEST

/* Closed and opened again meanwhile, on the other worker. */
START_TEST(opened_anew)
{
	struct way a, b, anew;
	struct link *c;
	int64_t id;

	world_start(true);
	c = client_new();
	run_up(&a, c, 1, RUN_A, ADDR_A);
	ask_run_status(c, 2, RUN_A);
	counted(expect_id(&fw, MSG_TYPE_fw_count), 1);
	id = expect_id(&proxies[a.worker], MSG_TYPE_run_sums);
	ask_close(c, 3, RUN_A);
	run_down(&a, "request");
	expect_closed(c, 3, true, 6);
	expect_error(c, 2, "no_run");
	run_up(&b, c, 4, RUN_B, ADDR_B);
	run_up(&anew, c, 5, RUN_A, ADDR_A);
	ck_assert_uint_ne(anew.worker, a.worker);
	summed(a.worker, id);
	quiet();
}
END_TEST

/* The worker says nothing for 2 s; behind that its answer is not missed. */
START_TEST(silent_worker)
{
	struct link *c;
	struct way w;
	int64_t id;

	world_start(_i);
	c = client_new();
	run_up(&w, c, 1, RUN_A, ADDR_A);
	ask_run_status(c, 2, RUN_A);
	if (_i)
		counted(expect_id(&fw, MSG_TYPE_fw_count), 1);
	id = expect_id(&proxies[w.worker], MSG_TYPE_run_sums);
	expect_error(c, 2, "unavailable");
	summed(w.worker, id);
	quiet();
}
END_TEST

/* --- status ----------------------------------------------------------- */

static void
counters(struct link *l, int64_t id, const char *key, const char *value)
{
	const char *k[] = { "tunnels", key }, *v[] = { "2", value };
	struct msg m = { .type = MSG_TYPE_stats_answer, .id = id };

	m.u.stats_answer.counters.k = k;
	m.u.stats_answer.counters.v = v;
	m.u.stats_answer.counters.n = 2;
	link_send(l, &m);
}

static void
check_counter(const struct msg *m, const char *key, const char *want)
{
	const struct msg_map *state = &m->u.status_answer.state;
	size_t i;

	for (i = 0; i < state->n; i++) {
		if (strcmp(state->k[i], key) == 0) {
			ck_assert_str_eq(state->v[i], want);
			return;
		}
	}
	ck_abort_msg("no counter %s", key);
}

/* The workers' and fw's, summed by name. */
START_TEST(gathered)
{
	struct link *c;
	struct msg m;

	world_start(true);
	c = client_new();
	client_ask(c, MSG_TYPE_status, 1);
	counters(&fw, expect_id(&fw, MSG_TYPE_stats), "packets refused", "9");
	counters(
	    &proxies[1], expect_id(&proxies[1], MSG_TYPE_stats), "denied", "3");
	counters(
	    &proxies[0], expect_id(&proxies[0], MSG_TYPE_stats), "denied", "4");
	expect(c, &m, MSG_TYPE_status_answer);
	ck_assert_int_eq(m.id, 1);
	ck_assert_uint_eq(m.u.status_answer.warnings.n, 0);
	check_counter(&m, "tunnels", "6");
	check_counter(&m, "denied", "7");
	check_counter(&m, "packets refused", "9");
	msg_free(&m);
	quiet();
}
END_TEST

/* One says nothing: the others' counters after 2 s, and a warning. */
START_TEST(silent_fw)
{
	struct link *c;
	struct msg m;
	int64_t id;

	world_start(true);
	c = client_new();
	client_ask(c, MSG_TYPE_status, 1);
	id = expect_id(&fw, MSG_TYPE_stats);
	counters(
	    &proxies[0], expect_id(&proxies[0], MSG_TYPE_stats), "denied", "3");
	counters(&proxies[1], expect_id(&proxies[1], MSG_TYPE_stats), "denied",
	    "no number");
	expect(c, &m, MSG_TYPE_status_answer);
	ck_assert_uint_eq(m.u.status_answer.warnings.n, 1);
	check_counter(&m, "tunnels", "4");
	check_counter(&m, "denied", "3");
	msg_free(&m);
	counters(&fw, id, "packets refused", "9");
	quiet();
}
END_TEST

/* Over what a sum can hold: it counts as nothing, and no sum wraps. */
START_TEST(counters_fit)
{
	static const char *const values[] = { "542551296285575047",
		"542551296285575048" };
	static const char *const sums[] = { "1627653888856725141", "0" };
	struct link *c;
	struct msg m;

	world_start(true);
	c = client_new();
	client_ask(c, MSG_TYPE_status, 1);
	counters(&fw, expect_id(&fw, MSG_TYPE_stats), "big", values[_i]);
	counters(&proxies[0], expect_id(&proxies[0], MSG_TYPE_stats), "big",
	    values[_i]);
	counters(&proxies[1], expect_id(&proxies[1], MSG_TYPE_stats), "big",
	    values[_i]);
	expect(c, &m, MSG_TYPE_status_answer);
	check_counter(&m, "big", sums[_i]);
	msg_free(&m);
}
END_TEST

int
main(int argc, char **argv)
{
	const struct world_case cases[] = {
		{ "permissions", permissions, 20, 0 },
		{ "user_or_group", user_or_group, 20, 4 },
		{ "unknown_verb", unknown_verb, 20, 0 },
		{ "connections", connections, 20, 0 },
		{ "run_status", run_status, 20, 2 },
		{ "closes_meanwhile", closes_meanwhile, 20, 2 },
		{ "opened_anew", opened_anew, 20, 0 },
		{ "silent_worker", silent_worker, 20, 2 },
		{ "gathered", gathered, 20, 0 },
		{ "silent_fw", silent_fw, 20, 0 },
		{ "counters_fit", counters_fit, 20, 2 },
		{ NULL, NULL, 0, 0 },
	};

	return world_main(argc, argv, "frontend_ask", cases);
}
