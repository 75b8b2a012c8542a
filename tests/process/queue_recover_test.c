/* What a restart makes of each state, and of a commit without a record. */

#include "queue_world.h"

/* --- a record that fails at COMMITTED ------------------------------------- */

static void
committed(enum records records, char run[RUNID_LEN + 1])
{
	world.play.records = records;
	submit_run("a", run);
	until_state(run, "COMMITTED");
	quiet();
	ck_assert_str_eq(show(run)->state, "COMMITTED");
	ck_assert_str_eq(show(run)->class, "");
	ck_assert_uint_eq(world.runs.count[MSG_TYPE_job_release], 0);
}

/* Not recorded, or not known to be: it waits, and goes on when it is. */
START_TEST(test_record_fails)
{
	char run[RUNID_LEN + 1];

	committed(_i == 0 ? RECORDS_REFUSED : RECORDS_HELD, run);
	world.play.records = RECORDS_WRITTEN;
	until_state(run, "RUNNING");
	ck_assert_uint_ge(records_of(run, "COMMITTED"), 2);
	tool_ends(run, 0);
	until_state(run, "DONE");
	ck_assert_str_eq(show(run)->class, "ok");
	ck_assert_uint_eq(world.engine.count[MSG_TYPE_engine_create], 1);
}
END_TEST

/* What waits for its record has not begun: there is nothing to harvest. */
START_TEST(test_record_fails_stopped)
{
	char run[RUNID_LEN + 1];

	committed(RECORDS_REFUSED, run);
	stop_run(run);
	until_state(run, "DONE");
	ck_assert_str_eq(show(run)->class, "cancelled");
	ck_assert_uint_eq(world.runs.count[MSG_TYPE_job_release], 0);
	ck_assert_uint_eq(world.runs.count[MSG_TYPE_job_stop], 0);
}
END_TEST

/* Killed between the row and the record: on record first, then released. */
START_TEST(test_killed_unrecorded)
{
	char run[RUNID_LEN + 1];
	size_t before;

	committed(RECORDS_HELD, run);
	before = records_of(run, "COMMITTED");
	world_kill();
	world.play.records = RECORDS_REFUSED;
	world.play.phase = "started";
	world_spawn();
	heard(&world.runs, MSG_TYPE_job_expect, 1);
	UNTIL(records_of(run, "COMMITTED") > before);
	quiet();
	ck_assert_str_eq(show(run)->state, "COMMITTED");
	ck_assert_uint_eq(world.runs.count[MSG_TYPE_job_release], 0);
	world.play.records = RECORDS_WRITTEN;
	until_state(run, "RUNNING");
	ck_assert_uint_gt(records_of(run, "COMMITTED"), before);
	ck_assert_uint_eq(world.engine.count[MSG_TYPE_engine_create], 0);
}
END_TEST

/* It may have begun all the same: it is ended as one that has. */
START_TEST(test_killed_unrecorded_stopped)
{
	char run[RUNID_LEN + 1];

	committed(RECORDS_HELD, run);
	world_kill();
	world.play.records = RECORDS_REFUSED;
	world.play.phase = "started";
	world_spawn();
	heard(&world.runs, MSG_TYPE_job_expect, 1);
	stop_run(run);
	heard(&world.runs, MSG_TYPE_job_stop, 1);
	world.play.records = RECORDS_WRITTEN;
	quiet();
	ck_assert_uint_eq(world.runs.count[MSG_TYPE_job_release], 0);
	tool_ends(run, 5);
	until_state(run, "DONE");
	ck_assert_str_eq(show(run)->class, "cancelled");
	ck_assert_int_eq(show(run)->bundle_bytes, 5);
}
END_TEST

/* --- containers that lost their names --------------------------------------
 */

#define CONTAINER "0123456789ab" /* as the world's engine made it */

/* The list does not have it; by its id it is found, followed and removed. */
START_TEST(test_renamed)
{
	char run[RUNID_LEN + 1];
	const struct msg *m;

	world.play.phase = "started";
	submit_run("a", run);
	until_state(run, "RUNNING");
	world_kill();
	world.play.renamed = true;
	world_spawn();
	m = heard(&world.engine, MSG_TYPE_engine_inspect, 1);
	ck_assert_str_eq(m->u.engine_inspect.container, CONTAINER);
	heard(&world.runs, MSG_TYPE_job_expect, 1);
	quiet();
	ck_assert_str_eq(show(run)->state, "RUNNING");
	tool_ends(run, 5);
	until_state(run, "DONE");
	ck_assert_str_eq(show(run)->class, "ok");
	ck_assert_int_eq(show(run)->bundle_bytes, 5);
	m = heard(&world.engine, MSG_TYPE_engine_remove, 1);
	ck_assert_str_eq(m->u.engine_remove.container, CONTAINER);
	ck_assert_uint_eq(world.engine.count[MSG_TYPE_engine_create], 0);
}
END_TEST

/* --- what was not on record when it was killed -----------------------------
 */

/* Each step is told once it is written, and else told again at the start. */
START_TEST(test_owed_at_the_start)
{
	static const char *const later[] = { "EXITED", "HARVESTED", "CLOSED",
		"DONE" };
	const struct msg *m;
	char run[RUNID_LEN + 1];
	size_t i;

	submit_run("a", run);
	until_state(run, "RUNNING");
	m = heard(&world.audit, MSG_TYPE_rec_run_accept, 1);
	ck_assert_str_eq(m->u.rec_run_accept.run, run);
	ck_assert_str_eq(m->u.rec_run_accept.request, "a");
	ck_assert_int_eq(m->u.rec_run_accept.peer_uid, 1000);
	ck_assert_int_eq(m->u.rec_run_accept.step, 1);
	quiet(); /* what is written is noted by then */
	world.play.records = RECORDS_HELD;
	tool_ends(run, 0);
	until_state(run, "DONE");
	world_kill();
	world.play.records = RECORDS_WRITTEN;
	world_spawn();
	for (i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		UNTIL(records_of(run, later[i]) == 2);
	m = heard(&world.audit, MSG_TYPE_rec_run_state, 1);
	ck_assert_str_eq(m->u.rec_run_state.class, "ok");
	ck_assert_int_eq(m->u.rec_run_state.step, 11); /* of eleven states */
	quiet();
	/* What was known to be written is not sent again. */
	ck_assert_uint_eq(records_of(run, "RUNNING"), 1);
	ck_assert_uint_eq(world.audit.count[MSG_TYPE_rec_run_accept], 0);
	world_kill();
	world_spawn();
	until_state(run, "DONE");
	quiet();
	ck_assert_uint_eq(world.audit.count[MSG_TYPE_rec_run_state], 0);
}
END_TEST

/* --- a restart in each state ------------------------------------------------
 */

static const struct {
	const char *state; /* in which the queue is killed */
	const char *status; /* of its container then */
	int64_t exit_code;
	const char *phase; /* of PID 1 when it comes back; NULL: it is gone */
	const char *then; /* what becomes of it */
	const char *class; /* if it is DONE then */
	size_t creates; /* containers made behind the restart */
} rows[] = {
	{ "QUEUED", "absent", 0, "new", "RUNNING", "", 1 },
	{ "ADMITTED", "absent", 0, "new", "RUNNING", "", 1 },
	{ "CREATED", "created", 0, "new", "RUNNING", "", 0 },
	{ "CREATED", "absent", 0, "new", "RUNNING", "", 1 },
	{ "GATED", "running", 0, "new", "RUNNING", "", 0 },
	{ "GATED", "absent", 0, "new", "RUNNING", "", 1 },
	{ "GATED", "exited", 1, "new", "RUNNING", "", 1 },
	/* The same PID 1 is told once more; another is never made. */
	{ "COMMITTED", "running", 0, "started", "RUNNING", "", 0 },
	{ "COMMITTED", "running", 0, "released", "RUNNING", "", 0 },
	{ "COMMITTED", "absent", 0, NULL, "DONE", "lost_infra", 0 },
	{ "COMMITTED", "exited", 1, NULL, "DONE", "lost_infra", 0 },
	/* PID 1's word that it forked nothing. */
	{ "COMMITTED", "exited", 78, "new", "RUNNING", "", 1 },
	{ "RUNNING", "running", 0, "tool", "RUNNING", "", 0 },
	{ "RUNNING", "exited", 78, NULL, "DONE", "lost_infra", 0 },
	{ "RUNNING", "absent", 0, NULL, "DONE", "lost_infra", 0 },
	{ "EXITED", "running", 0, "exited", "EXITED", "", 0 },
	/* It ended well, but its branch never came. */
	{ "EXITED", "exited", 0, NULL, "DONE", "lost_infra", 0 },
	{ "HARVESTED", "running", 0, "exited", "DONE", "ok", 0 },
	{ "HARVESTED", "absent", 0, NULL, "DONE", "ok", 0 },
};

/* A run in that state, which it does not leave by itself. */
static void
hold_in(const char *state, char run[RUNID_LEN + 1])
{
	world.play.leave = false;
	if (strcmp(state, "QUEUED") == 0) {
		world.play.config = ", \"capacity\": {\"memory\": \"2g\","
		                    " \"cpus\": 4, \"pids\": 4096,"
		                    " \"runs\": 1}";
		world_reload();
		submit_run("first", run);
	} else if (strcmp(state, "ADMITTED") == 0) {
		world.play.egress_error = "busy";
		world.play.egress_reason = "not now";
	} else if (strcmp(state, "CREATED") == 0)
		world.play.mute = MSG_TYPE_engine_start;
	else if (strcmp(state, "GATED") == 0)
		world.play.phase = NULL;
	else if (strcmp(state, "COMMITTED") == 0)
		world.play.begin = false;
	submit_run("a", run);
	if (strcmp(state, "EXITED") == 0 || strcmp(state, "HARVESTED") == 0) {
		until_state(run, "RUNNING");
		tool_exits(run);
	}
	if (strcmp(state, "HARVESTED") == 0)
		tool_ends(run, 5);
	until_state(run, state);
}

START_TEST(test_states)
{
	char run[RUNID_LEN + 1];
	const struct msg_show_answer *s;

	hold_in(rows[_i].state, run);
	world_kill();
	play_well();
	world.play.phase = rows[_i].phase;
	world.play.exit_code = rows[_i].exit_code;
	container_is(run, rows[_i].status);
	world_spawn();
	until_state(run, rows[_i].then);
	quiet();
	s = show(run);
	ck_assert_str_eq(s->state, rows[_i].then);
	ck_assert_str_eq(s->class, rows[_i].class);
	ck_assert_uint_eq(creates_of(run), rows[_i].creates);
	if (strcmp(rows[_i].then, "DONE") == 0)
		return;
	/* And from there as if nothing had been. */
	tool_ends(run, 5);
	until_state(run, "DONE");
	ck_assert_str_eq(show(run)->class, "ok");
}
END_TEST

/* --- a reload --------------------------------------------------------------
 */

/* A prompt that is on its way stays what it was through a reload. */
START_TEST(test_reload_in_prompt)
{
	static const char prompt[] = "echo one; echo two";
	const struct side *f = &world.frontend;

	(void)submit("a", prompt);
	say_prompt(prompt, 8);
	quiet();
	ck_assert_uint_eq(f->count[MSG_TYPE_run_accepted], 0);
	world_reload();
	say_prompt(prompt + 8, strlen(prompt) - 8);
	prompt_ends();
	UNTIL(f->count[MSG_TYPE_run_accepted] == 1);
	heard(&world.runs, MSG_TYPE_job_start, 1);
	UNTIL(world.prompt_len == strlen(prompt));
	ck_assert_int_eq(memcmp(world.prompt, prompt, strlen(prompt)), 0);
}
END_TEST

/* The configuration behind it is what counts: its tool may be gone. */
START_TEST(test_reload_takes_tool)
{
	(void)submit("a", "echo one");
	say_prompt("echo", 4);
	quiet();
	world.play.tool = "bash";
	world_reload();
	say_prompt(" one", 4);
	prompt_ends();
	UNTIL(world.frontend.count[MSG_TYPE_error] == 1);
	refused("unknown_tool", "sh");
	ck_assert_uint_eq(world.frontend.count[MSG_TYPE_run_accepted], 0);
}
END_TEST

/* --- the engine ------------------------------------------------------------
 */

/* Until status would show this of the engine. */
static const struct msg_state *
engine_is(const char *state, const char *image)
{
	const struct side *f = &world.frontend;
	const struct msg_state *s = &f->last[MSG_TYPE_state].u.state;

	UNTIL(
	    f->count[MSG_TYPE_state] > 0 && strcmp(s->state.v[0], state) == 0);
	ck_assert_str_eq(s->state.k[0], "engine_state");
	ck_assert_uint_eq(s->state.n, image != NULL ? 2 : 1);
	if (image != NULL) {
		ck_assert_str_eq(s->state.k[1], "image_id");
		ck_assert_str_eq(s->state.v[1], image);
	}
	return s;
}

static void
tell_event(const char *what)
{
	struct msg m = { .type = MSG_TYPE_engine_event };

	m.u.engine_event.what = what;
	say(&world.engine, &m);
}

/* Behind whatever comes of it the engine is looked at; the image stays. */
START_TEST(test_engine_told)
{
	char run[RUNID_LEN + 1];
	size_t looks;

	engine_is("reachable: 1.40, API 1.40", "sha256:1");
	ck_assert(!world.engine.last[MSG_TYPE_engine_info].u.engine_info.look);
	world.play.info_error = "unavailable";
	tell_event("lost");
	engine_is("unreachable: so it is played", NULL);
	ck_assert(world.engine.last[MSG_TYPE_engine_info].u.engine_info.look);
	looks = world.engine.count[MSG_TYPE_engine_info];
	quiet();
	/* Its own answer is nothing new. */
	ck_assert_uint_eq(world.engine.count[MSG_TYPE_engine_info], looks);
	world.play.info_error = NULL;
	world.play.image_gone = true;
	world.play.create_error = "image_absent";
	submit_run("a", run);
	ck_assert_str_eq(
	    engine_is("reachable: 1.40, API 1.40", "absent")->warnings.v[0],
	    "no run can be made");
	world.play.image_gone = false;
	tell_event("reconnected");
	ck_assert_uint_eq(heard(&world.frontend, MSG_TYPE_state,
	                      world.frontend.count[MSG_TYPE_state] + 1)
	                      ->u.state.warnings.n,
	    0);
	engine_is("reachable: 1.40, API 1.40", "sha256:1");
}
END_TEST

/* At the start it does not answer: that is no "ok" either. */
START_TEST(test_engine_silent)
{
	world_kill();
	world.play.info_error = "unavailable";
	world_spawn_only();
	engine_is("unreachable: so it is played", NULL);
	world.play.info_error = NULL;
	engine_is("reachable: 1.40, API 1.40", "sha256:1");
}
END_TEST

static int
tests(void)
{
	Suite *s = suite_create("queue_recover");
	TCase *tc = tcase_create("recover");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, world_start, world_stop);
	tcase_add_loop_test(tc, test_record_fails, 0, 2);
	tcase_add_test(tc, test_record_fails_stopped);
	tcase_add_test(tc, test_owed_at_the_start);
	tcase_add_test(tc, test_renamed);
	tcase_add_test(tc, test_killed_unrecorded);
	tcase_add_test(tc, test_killed_unrecorded_stopped);
	tcase_add_loop_test(
	    tc, test_states, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_test(tc, test_reload_in_prompt);
	tcase_add_test(tc, test_reload_takes_tool);
	tcase_add_test(tc, test_engine_told);
	tcase_add_test(tc, test_engine_silent);
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
