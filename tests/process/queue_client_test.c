/* What clients ask the queue: lists, stops, and who did what on record. */

#include <stdio.h>

#include "dispatchd/queue.h"

#include "libcommon/excess.h"

#include "queue_world.h"

/* --- ps ----------------------------------------------------------------- */

#define RUNS 210 /* more than a page, and less than two */
#define PAGE 200

/* A page; returns where the next one begins, 0: there is none. */
static int64_t
ps(bool all, int64_t after, size_t want)
{
	const struct side *f = &world.frontend;
	size_t before = f->count[MSG_TYPE_ps_row];
	struct msg m = { .type = MSG_TYPE_ps };

	m.u.ps.all = all;
	m.u.ps.after = after;
	ck_assert_int_eq(asked(&m, MSG_TYPE_ps_answer), MSG_TYPE_ps_answer);
	ck_assert_uint_eq(f->count[MSG_TYPE_ps_row] - before, want);
	ck_assert_int_eq(f->last[MSG_TYPE_ps_answer].u.ps_answer.count, want);
	return f->last[MSG_TYPE_ps_answer].u.ps_answer.next;
}

/* Nobody can have more than a page written at once, and all can be had. */
START_TEST(test_pages)
{
	const struct msg *row = &world.frontend.last[MSG_TYPE_ps_row];
	char first[RUNID_LEN + 1], run[RUNID_LEN + 1], id[16];
	int64_t next;
	int i;

	world.play.mute = MSG_TYPE_engine_create;
	submit_run("first", first);
	for (i = 1; i < RUNS; i++) {
		snprintf(id, sizeof(id), "r%d", i);
		submit_run(id, run);
	}
	next = ps(true, 0, PAGE);
	ck_assert_int_ne(next, 0);
	ck_assert_int_eq(ps(true, next, RUNS - PAGE), 0);
	ck_assert_str_eq(row->u.ps_row.run, first);
	next = ps(false, 0, PAGE);
	ck_assert_int_ne(next, 0);
	ck_assert_int_eq(ps(false, next, RUNS - PAGE), 0);
	ck_assert_str_eq(row->u.ps_row.run, run);
	ck_assert_int_eq(ps(true, 1, 0), 0);
}
END_TEST

/* --- who did what ---------------------------------------------------------
 */

/* What is asked for stays QUEUED. */
static void
without_engine(void)
{
	world_kill();
	world.play.mute = MSG_TYPE_engine_list;
	world_spawn();
}

/* A stop is on record once, with who asked, in each state that it meets. */
START_TEST(test_stop_is_recorded)
{
	const struct side *a = &world.audit;
	const struct msg *m;
	char run[RUNID_LEN + 1];

	if (_i == 0)
		without_engine();
	submit_run("a", run);
	until_state(run, _i == 0 ? "QUEUED" : "RUNNING");
	stop_run(run);
	m = heard(&world.audit, MSG_TYPE_rec_run_stop, 1);
	ck_assert_str_eq(m->u.rec_run_stop.run, run);
	ck_assert_int_eq(m->u.rec_run_stop.peer_uid, 1000);
	ck_assert_int_eq(m->u.rec_run_stop.peer_pid, 79);
	ck_assert_str_eq(
	    m->u.rec_run_stop.state, _i == 0 ? "QUEUED" : "RUNNING");
	stop_run(run);
	if (_i == 1)
		tool_ends(run, 0);
	until_state(run, "DONE");
	stop_run(run);
	quiet();
	ck_assert_uint_eq(a->count[MSG_TYPE_rec_run_stop], 1);
	ck_assert_str_eq(show(run)->class, "cancelled");
}
END_TEST

static enum msg_type
submit_another(void)
{
	static int n;
	char id[16];

	snprintf(id, sizeof(id), "more%d", n++);
	return submit(id, "");
}

/* While records are refused nothing is accepted; what is known is answered. */
START_TEST(test_unrecordable)
{
	char run[RUNID_LEN + 1];

	without_engine();
	submit_run("a", run);
	world.play.records = RECORDS_REFUSED;
	submit_run("b", run);
	UNTIL(submit_another() == MSG_TYPE_error);
	refused("unrecordable", "record");
	submit_run("b", run);
	world.play.records = RECORDS_WRITTEN;
	UNTIL(submit_another() == MSG_TYPE_run_accepted);
}
END_TEST

/* --- wait --------------------------------------------------------------- */

static enum msg_type
wait_for(const char *run, int64_t *id)
{
	struct side *f = &world.frontend;
	struct msg m = { .type = MSG_TYPE_wait };
	enum msg_type got;

	m.u.wait.run = run;
	got = asked(&m, MSG_TYPE_run_event);
	*id = m.id;
	if (got == MSG_TYPE_error)
		ck_assert_str_eq(
		    f->last[MSG_TYPE_error].u.error.error, "limit");
	return got;
}

static void
forget(int64_t id)
{
	struct msg m = { .type = MSG_TYPE_wait_forget, .id = id };

	say(&world.frontend, &m);
}

/* A wait that is forgotten has its answer, and its place is free. */
START_TEST(test_wait_forgotten)
{
	const struct side *f = &world.frontend;
	const struct msg *e = &f->last[MSG_TYPE_error];
	char run[RUNID_LEN + 1];
	int64_t id = 0, more;
	size_t errors;
	int i;

	without_engine();
	submit_run("a", run);
	for (i = 0; i < QUEUE_WATCHERS_MAX; i++)
		ck_assert_int_eq(wait_for(run, &id), MSG_TYPE_run_event);
	ck_assert_int_eq(wait_for(run, &more), MSG_TYPE_error);
	errors = f->count[MSG_TYPE_error];
	forget(id);
	UNTIL(f->count[MSG_TYPE_error] == errors + 1);
	ck_assert_int_eq(e->id, id);
	ck_assert_str_eq(e->u.error.error, "aborted");
	/* Once: this one is known no more. */
	forget(id);
	ck_assert_int_eq(wait_for(run, &more), MSG_TYPE_run_event);
	ck_assert_uint_eq(f->count[MSG_TYPE_error], errors + 1);
}
END_TEST

/* --- refusals ------------------------------------------------------------ */

/* No answer before its record; and not as many records as there are wishes. */
START_TEST(test_refusals)
{
	const struct side *f = &world.frontend, *a = &world.audit;
	struct msg m = { .type = MSG_TYPE_job_submit, .id = 6000 };
	size_t answers;
	int i;

	for (i = 0; i < EXCESS_RECORDS_MAX - 1; i++) {
		ck_assert_int_eq(submit("no id", ""), MSG_TYPE_error);
		refused("bad_request_id", "");
	}
	ck_assert_uint_eq(
	    a->count[MSG_TYPE_rec_refused], EXCESS_RECORDS_MAX - 1);
	world.play.records = RECORDS_HELD;
	answers = f->count[MSG_TYPE_error];
	m.u.job_submit.peer_uid = 1000;
	m.u.job_submit.request = "no id";
	m.u.job_submit.repo = m.u.job_submit.base = m.u.job_submit.tool =
	    m.u.job_submit.profile = "";
	say(&world.frontend, &m);
	(void)heard(&world.audit, MSG_TYPE_rec_refused, EXCESS_RECORDS_MAX);
	ck_assert_uint_eq(f->count[MSG_TYPE_error], answers);
	/* The next one is beyond, and overtakes it. */
	ck_assert_int_eq(submit("no id", ""), MSG_TYPE_error);
	ck_assert_int_ne(f->last[MSG_TYPE_error].id, 6000);
	quiet();
	ck_assert_uint_eq(a->count[MSG_TYPE_rec_refused], EXCESS_RECORDS_MAX);
}
END_TEST

/* --- how it ended -------------------------------------------------------- */

/* A tool that was killed has no exit code: what ended it is said. */
START_TEST(test_signal)
{
	struct msg m = { .type = MSG_TYPE_job_exited };
	char run[RUNID_LEN + 1];

	submit_run("r", run);
	until_state(run, "RUNNING");
	m.u.job_exited.run = run;
	m.u.job_exited.exit_code = -1;
	m.u.job_exited.signal = 9;
	m.u.job_exited.reason = "tool";
	say(&world.runs, &m);
	tool_ends(run, 0);
	until_state(run, "DONE");
	ck_assert_str_eq(show(run)->class, "agent_failed");
	ck_assert_str_eq(show(run)->reason, "the tool was ended by signal 9");
}
END_TEST

static int
tests(void)
{
	Suite *s = suite_create("queue_client");
	TCase *tc = tcase_create("client");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, world_start, world_stop);
	tcase_add_test(tc, test_pages);
	tcase_add_loop_test(tc, test_stop_is_recorded, 0, 2);
	tcase_add_test(tc, test_unrecordable);
	tcase_add_test(tc, test_wait_forgotten);
	tcase_add_test(tc, test_signal);
	tcase_add_test(tc, test_refusals);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}

int
main(int argc, char **argv)
{
	return world_main(argc, argv, tests);
}
