#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "dispatchd/queue_state.h"

#define LOOP(tc, fn, table) \
	tcase_add_loop_test(tc, fn, 0, sizeof(table) / sizeof(table[0]))

/* --- names
 * -------------------------------------------------------------------- */

START_TEST(test_names)
{
	/* As the interface lists them: scripts go by these numbers. */
	static const struct {
		const char *name;
		int status;
	} want[] = { { "ok", 0 }, { "no_change", 0 }, { "agent_failed", 1 },
		{ "oom", 10 }, { "deadline", 11 }, { "idle", 12 },
		{ "hung_start", 13 }, { "budget", 14 }, { "cancelled", 15 },
		{ "quota", 16 }, { "lost_infra", 17 },
		{ "boundary_violation", 18 }, { "secret_blocked", 19 },
		{ "publish_failed", 20 }, { "untrusted_result", 21 } };
	enum queue_class c;
	unsigned i;

	ck_assert_uint_eq(sizeof(want) / sizeof(want[0]), CLASS_MAX - 1);
	for (i = 0; i < CLASS_MAX - 1; i++) {
		c = queue_class_parse(want[i].name);
		ck_assert_int_ne(c, CLASS_MAX);
		ck_assert_str_eq(queue_class_name(c), want[i].name);
		ck_assert_int_eq(queue_class_exit(c), want[i].status);
	}
	for (i = 0; i < STATE_MAX; i++)
		ck_assert_uint_eq(queue_state_parse(queue_state_name(i)), i);
	ck_assert_int_eq(queue_class_exit(CLASS_NONE), -1);
	ck_assert_int_eq(queue_class_parse("success"), CLASS_MAX);
	ck_assert_int_eq(queue_state_parse("queued"), STATE_MAX);
	ck_assert_ptr_null(queue_state_name(STATE_MAX));
	ck_assert_ptr_null(queue_class_name(CLASS_MAX));
	for (i = 0; i < ACTION_MAX; i++)
		ck_assert_ptr_nonnull(queue_action_name(i));
}
END_TEST

/* --- steps
 * ---------------------------------------------------------------------- */

/* A row a state: what may follow, in the order of the enum. */
static const char *const steps[STATE_MAX] = {
	/* QAOCGCREHPPCD */
	".x..........x",
	"x.x........x.",
	"x..x.......x.",
	"x...x......x.",
	"x....x.....x.",
	"x.....xx...x.",
	".......x...x.",
	"........x..x.",
	".........x.x.",
	"..........xx.",
	"...........x.",
	"............x",
	".............",
};

START_TEST(test_steps)
{
	struct queue_step s;
	unsigned from, to;
	bool may;

	for (from = 0; from < STATE_MAX; from++) {
		for (to = 0; to < STATE_MAX; to++) {
			s = (struct queue_step){ .from = from,
				.to = to,
				.has =
				    to >= STATE_CLOSED ? CLASS_OK : CLASS_NONE,
				.exit78 = true };
			may = queue_step_wrong(&s) == NULL;
			ck_assert_msg(may == (steps[from][to] == 'x'),
			    "%s to %s", queue_state_name(from),
			    queue_state_name(to));
		}
	}
}
END_TEST

#define S(name) STATE_##name
#define C(name) CLASS_##name

static const struct {
	const char *name;
	struct queue_step step;
	bool may;
} step_rows[] = {
	{ "again before it is committed", { .from = S(GATED), .to = S(QUEUED) },
	    true },
	{ "again when committed", { .from = S(COMMITTED), .to = S(QUEUED) },
	    false },
	{ "again when PID 1 says 78",
	    { .from = S(COMMITTED), .to = S(QUEUED), .exit78 = true }, true },
	{ "78 of one that has begun",
	    { .from = S(COMMITTED),
	        .to = S(QUEUED),
	        .exit78 = true,
	        .released = true },
	    false },
	{ "again, with a class",
	    { .from = S(GATED), .to = S(QUEUED), .has = C(DEADLINE) }, false },
	{ "again, being stopped",
	    { .from = S(GATED), .to = S(QUEUED), .stop = C(CANCELLED) },
	    false },
	{ "on, being stopped",
	    { .from = S(GATED), .to = S(COMMITTED), .stop = C(CANCELLED) },
	    false },
	{ "stopped while it runs",
	    { .from = S(RUNNING), .to = S(EXITED), .stop = C(IDLE) }, true },
	{ "an end without a class", { .from = S(CLOSED), .to = S(DONE) },
	    false },
	{ "closed without a class", { .from = S(RUNNING), .to = S(CLOSED) },
	    false },
	{ "another class",
	    { .from = S(CLOSED), .to = S(DONE), .had = C(OOM), .has = C(OK) },
	    false },
	{ "a class taken back",
	    { .from = S(EXITED), .to = S(HARVESTED), .had = C(OOM) }, false },
	{ "no such state", { .from = STATE_MAX, .to = S(DONE) }, false },
};

START_TEST(test_step_rows)
{
	ck_assert_msg((queue_step_wrong(&step_rows[_i].step) == NULL) ==
	        step_rows[_i].may,
	    "%s", step_rows[_i].name);
}
END_TEST

/* --- how a tool ended
 * -------------------------------------------------------------- */

static const struct {
	struct queue_exit e;
	enum queue_class want;
} exits[] = {
	{ { .reason = "tool" }, C(OK) },
	{ { .reason = "tool", .repo = true }, C(NO_CHANGE) },
	{ { .reason = "tool", .repo = true, .bundle = true }, C(OK) },
	/* A branch that got lost is not one without a change. */
	{ { .reason = "tool", .repo = true, .lost = "agent" },
	    C(AGENT_FAILED) },
	{ { .reason = "tool", .repo = true, .lost = "quota" }, C(QUOTA) },
	{ { .reason = "tool", .repo = true, .lost = "storage" },
	    C(LOST_INFRA) },
	{ { .reason = "tool", .repo = true, .lost = "" }, C(LOST_INFRA) },
	/* Without a repository there is no branch to be lost. */
	{ { .reason = "tool", .lost = "agent" }, C(OK) },
	{ { .reason = "tool", .exit_code = 3, .lost = "quota" },
	    C(AGENT_FAILED) },
	{ { .reason = "tool", .exit_code = 3 }, C(AGENT_FAILED) },
	{ { .reason = "tool", .signal = 11 }, C(AGENT_FAILED) },
	{ { .reason = "tool", .exit_code = -1 }, C(AGENT_FAILED) },
	{ { .reason = "tool", .signal = 9, .oom = true }, C(OOM) },
	{ { .reason = "tool", .exit_code = 137, .oom = true }, C(OOM) },
	/* R01: a child's, and the agent came through. */
	{ { .reason = "tool", .oom = true }, C(OK) },
	{ { .reason = "tool", .exit_code = 1, .oom = true }, C(AGENT_FAILED) },
	{ { .reason = "tool", .exit_code = 137 }, C(AGENT_FAILED) },
	{ { .reason = "clone", .exit_code = 128 }, C(AGENT_FAILED) },
	{ { .reason = "deadline", .signal = 9 }, C(DEADLINE) },
	{ { .reason = "internal" }, C(LOST_INFRA) },
	{ { .reason = "stop" }, C(LOST_INFRA) },
	{ { .reason = "" }, C(LOST_INFRA) },
	{ { .reason = "ok" }, C(LOST_INFRA) },
	{ { .reason = "stop", .stop = C(CANCELLED) }, C(CANCELLED) },
	{ { .reason = "tool", .stop = C(HUNG_START) }, C(HUNG_START) },
};

START_TEST(test_exits)
{
	ck_assert_int_eq(queue_class_of(&exits[_i].e), exits[_i].want);
}
END_TEST

/* --- recovery
 * ------------------------------------------------------------------------ */

static const struct {
	const char *name;
	struct queue_situation s;
	enum queue_action want;
} recoveries[] = {
	{ "F03 the answer to create was lost",
	    { .state = S(OPENED), .container = CONTAINER_CREATED },
	    ACTION_ADOPT },
	{ "F04 created, not started",
	    { .state = S(CREATED), .container = CONTAINER_CREATED },
	    ACTION_ADOPT },
	{ "F05 started, PID 1 left",
	    { .state = S(GATED),
	        .container = CONTAINER_EXITED,
	        .exit78 = true },
	    ACTION_KILL_REQUEUE },
	{ "F05 started, PID 1 is there",
	    { .state = S(GATED),
	        .container = CONTAINER_RUNNING,
	        .connected = true },
	    ACTION_ADOPT },
	{ "F05 PID 1 may come",
	    { .state = S(CREATED), .container = CONTAINER_RUNNING },
	    ACTION_WAIT },
	{ "F05 PID 1 does not come",
	    { .state = S(GATED),
	        .container = CONTAINER_RUNNING,
	        .overdue = true },
	    ACTION_KILL_REQUEUE },
	{ "committed, 78, never released",
	    { .state = S(COMMITTED),
	        .container = CONTAINER_EXITED,
	        .exit78 = true },
	    ACTION_KILL_REQUEUE },
	{ "F06 released, RUNNING not written",
	    { .state = S(COMMITTED),
	        .container = CONTAINER_RUNNING,
	        .connected = true },
	    ACTION_ADOPT },
	{ "F07 it runs",
	    { .state = S(RUNNING),
	        .released = true,
	        .container = CONTAINER_RUNNING,
	        .connected = true },
	    ACTION_ADOPT },
	{ "F08 it ended meanwhile",
	    { .state = S(RUNNING),
	        .released = true,
	        .container = CONTAINER_EXITED },
	    ACTION_HARVEST },
	{ "F09 removed before DONE",
	    { .state = S(CLOSED), .container = CONTAINER_ABSENT },
	    ACTION_CLOSE },
	{ "F14 a row from before the run",
	    { .state = S(ADMITTED),
	        .released = true,
	        .container = CONTAINER_RUNNING },
	    ACTION_LOST },
	{ "F15 power was cut",
	    { .state = S(RUNNING),
	        .container = CONTAINER_EXITED,
	        .rebooted = true },
	    ACTION_LOST },
	{ "F15 power was cut before",
	    { .state = S(GATED),
	        .container = CONTAINER_EXITED,
	        .rebooted = true },
	    ACTION_KILL_REQUEUE },
	{ "somebody removed it",
	    { .state = S(RUNNING), .container = CONTAINER_ABSENT },
	    ACTION_LOST },
	{ "its bundle is on its way",
	    { .state = S(EXITED), .container = CONTAINER_RUNNING },
	    ACTION_WAIT },
	{ "leftovers", { .state = S(DONE), .container = CONTAINER_DEAD },
	    ACTION_REMOVE },
	{ "D03 the engine is away",
	    { .state = S(RUNNING),
	        .container = CONTAINER_UNKNOWN,
	        .overdue = true },
	    ACTION_WAIT },
};

START_TEST(test_recoveries)
{
	enum queue_action a = queue_recover(&recoveries[_i].s);

	ck_assert_msg(a == recoveries[_i].want, "%s: %s", recoveries[_i].name,
	    queue_action_name(a));
}
END_TEST

static bool
restarts(enum queue_action a)
{
	return a == ACTION_REQUEUE || a == ACTION_KILL_REQUEUE;
}

static void
check_invariants(const struct queue_situation *s, enum queue_action a)
{
	const char *state = queue_state_name(s->state);
	bool there = s->container != CONTAINER_ABSENT;

	ck_assert_uint_lt(a, ACTION_MAX);
	/* Never started again, without PID 1's word that nothing was. */
	if (s->state >= STATE_COMMITTED || s->released)
		ck_assert_msg(!restarts(a) ||
		        (s->state == STATE_COMMITTED && s->exit78 &&
		            !s->released && !s->rebooted &&
		            s->container == CONTAINER_EXITED),
		    "%s is started again", state);
	/* A terminal row leads to removal and nothing else. */
	if (s->state == STATE_DONE)
		ck_assert(a == ACTION_NOTHING || a == ACTION_REMOVE);
	/* Nothing is removed or ended on no word of the engine. */
	if (s->container == CONTAINER_UNKNOWN)
		ck_assert(a == ACTION_NOTHING || a == ACTION_WAIT);
	else if (!there)
		ck_assert(a != ACTION_REMOVE && a != ACTION_WAIT &&
		    a != ACTION_ADOPT && a != ACTION_KILL_REQUEUE);
	/* A requeue leaves no container behind. */
	if (a == ACTION_REQUEUE)
		ck_assert(!there);
	/* What may still run is never called ended without a removal. */
	if (a == ACTION_NOTHING)
		ck_assert(!there || s->container == CONTAINER_UNKNOWN);
	/* Waiting ends. */
	if (a == ACTION_WAIT)
		ck_assert(!s->overdue || s->container == CONTAINER_UNKNOWN);
	/* PID 1 that is there is not waited for. */
	if (a == ACTION_WAIT && s->container != CONTAINER_UNKNOWN)
		ck_assert(!s->connected);
	/* A live row always leads somewhere. */
	if (queue_state_live(s->state))
		ck_assert_int_ne(a, ACTION_NOTHING);
	/* The exit of before is known: it is not lost. */
	if (s->state >= STATE_EXITED)
		ck_assert_int_ne(a, ACTION_LOST);
}

START_TEST(test_every_situation)
{
	struct queue_situation s;
	enum queue_action a, once_more;
	unsigned state, container, bits;

	for (state = 0; state < STATE_MAX; state++) {
		for (container = 0; container < CONTAINER_MAX; container++) {
			for (bits = 0; bits < 32; bits++) {
				s = (struct queue_situation){ .state = state,
					.container = container,
					.released = bits & 1,
					.exit78 = bits >> 1 & 1,
					.connected = bits >> 2 & 1,
					.overdue = bits >> 3 & 1,
					.rebooted = bits >> 4 & 1 };
				a = queue_recover(&s);
				check_invariants(&s, a);
				once_more = queue_recover(&s);
				ck_assert_int_eq(a, once_more);
			}
		}
	}
}
END_TEST

START_TEST(test_containers)
{
	ck_assert_int_eq(queue_container_parse(""), CONTAINER_ABSENT);
	ck_assert_int_eq(queue_container_parse("absent"), CONTAINER_ABSENT);
	ck_assert_int_eq(queue_container_parse("created"), CONTAINER_CREATED);
	ck_assert_int_eq(queue_container_parse("paused"), CONTAINER_RUNNING);
	ck_assert_int_eq(queue_container_parse("exited"), CONTAINER_EXITED);
	ck_assert_int_eq(queue_container_parse("removing"), CONTAINER_DEAD);
	ck_assert_int_eq(queue_container_parse("Running"), CONTAINER_UNKNOWN);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("queue_state");
	TCase *tc = tcase_create("state");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_names);
	tcase_add_test(tc, test_steps);
	LOOP(tc, test_step_rows, step_rows);
	LOOP(tc, test_exits, exits);
	LOOP(tc, test_recoveries, recoveries);
	tcase_add_test(tc, test_every_situation);
	tcase_add_test(tc, test_containers);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
