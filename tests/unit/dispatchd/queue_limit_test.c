#include <check.h>

#include "dispatchd/queue_limit.h"

#define HUNG 8000
#define IDLE 4000
#define EVERY (IDLE / QUEUE_ASK_SHARE)
#define AT 100000 /* RUNNING since, and nothing came */

static struct queue_clock
running(int64_t now)
{
	return (struct queue_clock){ .now = now,
		.release_at = AT - 10,
		.released = true,
		.begun_at = AT,
		.deadline_ms = 1000000,
		.running_at = AT,
		.hung_start_ms = HUNG,
		.idle_ms = IDLE,
		.asked_at = now };
}

static void
is(struct queue_clock c, enum queue_limit want)
{
	ck_assert_int_eq(queue_limit_over(&c), want);
}

/* Twice as long behind each start that failed, and never longer than that. */
START_TEST(test_pause)
{
	static const struct {
		int64_t tries, want;
	} rows[] = { { 1, 1000 }, { 2, 2000 }, { 3, 4000 }, { 6, 32000 },
		{ 7, 60000 }, { 8, 60000 }, { INT64_MAX, 60000 } };

	ck_assert_int_eq(queue_pause_ms(rows[_i].tries), rows[_i].want);
}
END_TEST

/* It is told to begin, and PID 1 says nothing. */
START_TEST(test_release)
{
	struct queue_clock c = { .deadline_ms = 1000, .now = AT };

	is(c, LIMIT_NONE);
	c.release_at = AT;
	c.now = AT + QUEUE_RELEASE_MS;
	is(c, LIMIT_NONE);
	c.now++;
	is(c, LIMIT_RELEASE);
	c.released = true;
	is(c, LIMIT_NONE);
}
END_TEST

/* The deadline asks nobody, neither a profile nor egressd. */
START_TEST(test_deadline)
{
	struct queue_clock c = running(AT + 1000000);

	c.hung_start_ms = c.idle_ms = 0;
	is(c, LIMIT_NONE);
	c.now++;
	is(c, LIMIT_DEADLINE);
	c.running_at = 0;
	is(c, LIMIT_DEADLINE);
	c.begun_at = 0;
	is(c, LIMIT_NONE);
}
END_TEST

/* Often enough for the shorter of the two limits. */
START_TEST(test_asks)
{
	struct queue_clock c = running(AT + EVERY);

	c.asked_at = AT + 1;
	is(c, LIMIT_NONE);
	c.asked_at = AT;
	is(c, LIMIT_ASK);
	c.hung_start_ms = 4 * EVERY / 2;
	c.asked_at = AT + EVERY / 2;
	is(c, LIMIT_ASK);
}
END_TEST

/* Only an answer that was asked for behind the limit decides. */
START_TEST(test_verdict)
{
	static const int64_t limits[] = { HUNG, IDLE };
	struct queue_clock c = running(AT + limits[_i] + 1);

	c.output_at = _i == 1 ? AT : 0;
	c.asked_at = c.told_at = AT + limits[_i];
	is(c, LIMIT_ASK);
	c.asked_at = c.now;
	is(c, LIMIT_NONE);
	c.now += QUEUE_ASK_AGAIN_MS - 1;
	is(c, LIMIT_NONE);
	c.now++;
	is(c, LIMIT_ASK);
	c.told_at = c.asked_at;
	is(c, _i == 1 ? LIMIT_IDLE : LIMIT_HUNG_START);
	/* What it told may be that something came. */
	c.output_at = c.now - 1;
	is(c, LIMIT_ASK);
	c.asked_at = c.now;
	is(c, LIMIT_NONE);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("queue_limit");
	TCase *tc = tcase_create("limit");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_loop_test(tc, test_pause, 0, 7);
	tcase_add_test(tc, test_release);
	tcase_add_test(tc, test_deadline);
	tcase_add_test(tc, test_asks);
	tcase_add_loop_test(tc, test_verdict, 0, 2);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
