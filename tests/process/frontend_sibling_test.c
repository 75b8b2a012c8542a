/* Siblings that are broken or gone end the frontend, and so the daemon. */

#include <string.h>

#include "tests/process/frontend_world.h"

static struct way opening, open_run;

/* Each with one run open and one that waits for its worker. */
static void
start(void)
{
	struct link *c;

	world_start(true);
	c = client_new();
	run_up(&open_run, c, 1, RUN_A, ADDR_A);
	way_begin(&opening, c, 2, RUN_B, ADDR_B, STAGE_BIND);
}

/* --- the parent ------------------------------------------------------- */

static void
row_without_begin(void)
{
	table_profile("dev");
}

static void
peer_without_begin(void)
{
	table_peer(false, 0, may_all);
}

static void
runs_without_begin(void)
{
	table_runs(true);
}

static void
two_begins(void)
{
	table_begin(2);
	table_begin(2);
}

static void
end_without_begin(void)
{
	table_end(1, 0);
}

static void
wrong_count(void)
{
	table_begin(2);
	table_runs(true);
	table_end(2, 2);
}

static void
wrong_generation(void)
{
	table_begin(2);
	table_runs(true);
	table_end(3, 1);
}

static void
no_runs_row(void)
{
	table_begin(2);
	table_profile("dev");
	table_end(2, 1);
}

static void
two_runs_rows(void)
{
	table_begin(2);
	table_runs(true);
	table_runs(true);
}

static void
rules_vanish(void)
{
	table_begin(2);
	table_runs(false);
	table_end(2, 1);
}

static void
bound_unasked(void)
{
	send_plain(&parent, MSG_TYPE_run_bound, opening.id + 1);
}

static void
bound_twice(void)
{
	listening(opening.worker, RUN_B);
	send_plain(&parent, MSG_TYPE_run_bound, opening.id);
	send_plain(&parent, MSG_TYPE_run_bound, opening.id);
}

static void
refused_unasked(void)
{
	send_error(&parent, opening.id + 1, "unavailable", "no");
}

static void
not_the_parents(void)
{
	send_plain(&parent, MSG_TYPE_fw_permitted, 1);
}

/* --- the workers ------------------------------------------------------ */

static void
listening_unknown(void)
{
	listening(0, RUN_C);
}

static void
listening_unasked(void)
{
	listening(open_run.worker, RUN_A);
}

static void
listening_twice(void)
{
	listening(opening.worker, RUN_B);
	listening(opening.worker, RUN_B);
}

static void
listening_for_another(void)
{
	listening(1 - opening.worker, RUN_B);
}

static void
ended_unasked(void)
{
	ended(open_run.worker, 1);
}

static void
error_of_a_worker(void)
{
	send_error(&proxies[0], 1, "unavailable", "no");
}

static void
bytes_of_a_worker(void)
{
	static const char bytes[] = "\0\0\0\5hello";

	ck_assert_int_eq(send(proxies[0].fd, bytes, sizeof(bytes) - 1, 0),
	    (ssize_t)sizeof(bytes) - 1);
}

/* --- fw and audit ----------------------------------------------------- */

static void
permitted_unasked(void)
{
	send_plain(&fw, MSG_TYPE_fw_permitted, 99);
}

/* Its id is right, but it answers another question. */
static void
revoked_for_permitted(void)
{
	send_plain(&parent, MSG_TYPE_run_bound, opening.id);
	listening(opening.worker, RUN_B);
	revoked(expect_permit(RUN_B, ADDR_B), 0);
}

static void
error_unasked(void)
{
	send_error(&fw, 99, "unavailable", "no");
}

static void
recorded_unasked(void)
{
	recorded();
}

static void
unrecorded_unasked(void)
{
	unrecorded();
}

static void (*const bad_ones[])(void) = { row_without_begin, peer_without_begin,
	runs_without_begin, two_begins, end_without_begin, wrong_count,
	wrong_generation, no_runs_row, two_runs_rows, rules_vanish,
	bound_unasked, bound_twice, refused_unasked, not_the_parents,
	listening_unknown, listening_unasked, listening_twice,
	listening_for_another, ended_unasked, error_of_a_worker,
	bytes_of_a_worker, permitted_unasked, revoked_for_permitted,
	error_unasked, recorded_unasked, unrecorded_unasked };

#define BAD_ONES (sizeof(bad_ones) / sizeof(bad_ones[0]))

START_TEST(bad)
{
	start();
	bad_ones[_i]();
	ck_assert_int_eq(world_status(), EXIT_INTERNAL);
}
END_TEST

/* --- before the first table ------------------------------------------- */

START_TEST(bad_first_table)
{
	world_spawn(true);
	table_begin(1);
	table_runs(true);
	table_profile("dev");
	table_end(1, _i ? 3 : 1);
	ck_assert_int_eq(world_status(), EXIT_INTERNAL);
}
END_TEST

/* There is no other answer to these than to start anew, closed. */
static void
until_permit(struct link *c)
{
	struct way w;

	way_begin(&w, c, 1, RUN_A, ADDR_A, STAGE_PERMIT);
}

static void
until_revoke(struct link *c)
{
	struct way w;

	run_up(&w, c, 1, RUN_A, ADDR_A);
	ask_close(c, 2, RUN_A);
	expect_revoke(RUN_A);
}

static void
until_end(struct link *c)
{
	struct way w;

	run_up(&w, c, 1, RUN_A, ADDR_A);
	ask_close(c, 2, RUN_A);
	revoked(expect_revoke(RUN_A), 0);
	expect_end(w.worker, RUN_A);
}

static void
until_bind(struct link *c)
{
	struct way w;

	way_begin(&w, c, 1, RUN_A, ADDR_A, STAGE_BIND);
	listening(w.worker, RUN_A);
}

START_TEST(silent)
{
	static void (*const until[])(struct link *) = { until_bind,
		until_permit, until_revoke, until_end };
	struct msg m;
	struct link *c;

	world_start(true);
	c = client_new();
	until[_i](c);
	/* No answer that it is open, or closed: the end of the connection. */
	ck_assert(!link_recv(c, &m, WORLD_WAIT_MS));
	ck_assert_int_eq(world_status(), EXIT_INTERNAL);
}
END_TEST

/* The end of a link: the daemon is leaving, and the frontend with it. */
START_TEST(gone)
{
	struct link *links[] = { &parent, &audit, &proxies[0], &proxies[1],
		&fw };

	start();
	client_close(links[_i]);
	ck_assert_int_eq(world_status(), 0);
}
END_TEST

int
main(int argc, char **argv)
{
	const struct world_case cases[] = {
		{ "bad", bad, 20, BAD_ONES },
		{ "bad_first_table", bad_first_table, 20, 2 },
		{ "silent", silent, 30, 4 },
		{ "gone", gone, 20, 5 },
		{ NULL, NULL, 0, 0 },
	};

	return world_main(argc, argv, "frontend_sibling", cases);
}
