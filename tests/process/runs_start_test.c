/* What a run is to do, as the queue hands it over: once, again, in vain. */

#include <sys/stat.h>

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runs_world.h"

#define FOREIGN "another file, of its own"
#define IN_VAIN (PEER_SIBLING_STREAMS_MAX / 2 + 1)

static void
file_of(const char *name, char file[128])
{
	snprintf(file, 128, "%s/" RUN "%s", directory, name);
}

/* A log that is none of ours stands in the way of its own. */
static void
spoil(void)
{
	char file[128];
	struct stat st;
	int fd;

	ck_assert_int_eq(fstat(dirfd, &st), 0);
	file_of("", file);
	ck_assert_int_eq(mkdir(file, 0700), 0);
	ck_assert_int_eq(chown(file, st.st_uid, st.st_gid), 0);
	file_of("/log", file);
	ck_assert_int_ne(fd = open(file, O_WRONLY | O_CREAT, 0666), -1);
	ck_assert_int_eq(fchown(fd, st.st_uid, st.st_gid), 0);
	ck_assert_int_eq(write(fd, FOREIGN, strlen(FOREIGN)), strlen(FOREIGN));
	close(fd);
}

static void
mend(void)
{
	char file[128];

	file_of("/log", file);
	ck_assert_int_eq(unlink(file), 0);
}

/* job.start with a prompt and roots of that many bytes on those streams. */
static void
announce(int64_t id, uint32_t prompt, uint32_t ca, size_t len)
{
	struct msg m = start_message(id, 1, 0);

	m.u.job_start.prompt_stream = prompt;
	m.u.job_start.ca_stream = ca;
	m.u.job_start.prompt_bytes = prompt != 0 ? (int64_t)len : 0;
	m.u.job_start.ca_bytes = ca != 0 ? (int64_t)len : 0;
	if (prompt != 0)
		ck_assert_int_eq(peer_stream_begin(queue.p, prompt), 0);
	if (ca != 0)
		ck_assert_int_eq(peer_stream_begin(queue.p, ca), 0);
	say(&queue, &m);
}

/* The queue sends the bytes of a stream that it announced. */
static void
send_bytes(uint32_t stream, const char *text)
{
	UNTIL(peer_stream_room(queue.p, stream) >= strlen(text));
	ck_assert_int_eq(
	    peer_stream_write(queue.p, stream, text, strlen(text)), 0);
	ck_assert_int_eq(peer_stream_finish(queue.p, stream), 0);
}

/*
 * Each refusal ends both streams, so that the queue may let go of what it has
 * for them: more are refused one after the other than can be open at a time.
 */
START_TEST(test_refused_streams)
{
	const struct msg *m;
	size_t i;

	spoil();
	for (i = 0; i < IN_VAIN; i++) {
		announce((int64_t)i + 1, (uint32_t)(2 * i + 1),
		    (uint32_t)(2 * i + 2), 1000);
		m = heard(&queue, MSG_TYPE_error, i + 1);
		ck_assert_int_eq(m->id, (int64_t)i + 1);
		ck_assert_str_eq(m->u.error.error, "storage");
		UNTIL(queue.aborts == 2 * (i + 1));
	}
	mend();
	announce(5000, 2001, 2002, 6);
	send_bytes(2001, "prompt");
	send_bytes(2002, "roots!");
	ck_assert_int_eq(heard(&queue, MSG_TYPE_job_ready, 1)->id, 5000);
}
END_TEST

/* A door that was made before stays when the start is refused. */
START_TEST(test_refused_door)
{
	spoil();
	door();
	announce(1, 0, 0, 0);
	ck_assert_str_eq(
	    heard(&queue, MSG_TYPE_error, 1)->u.error.error, "storage");
	mend();
	announce(2, 0, 0, 0);
	ck_assert_int_eq(heard(&queue, MSG_TYPE_job_ready, 1)->id, 2);
	expect_pid(getpid());
	connects("new", 0);
	heard(&agent, MSG_TYPE_agent_start, 1);
}
END_TEST

/* PID 1 hears of one start, the last, with the prompt of that. */
START_TEST(test_replaced)
{
	door();
	announce(1, 1, 0, 1000);
	UNTIL(peer_stream_room(queue.p, 1) > 0);
	announce(2, 2, 0, 6);
	ck_assert_int_eq(heard(&queue, MSG_TYPE_error, 1)->id, 1);
	UNTIL(queue.aborts == 1);
	ck_assert_uint_eq(peer_stream_room(queue.p, 1), 0);
	send_bytes(2, "second");
	ck_assert_int_eq(heard(&queue, MSG_TYPE_job_ready, 1)->id, 2);
	expect_pid(getpid());
	connects("new", 0);
	ck_assert_int_eq(
	    heard(&agent, MSG_TYPE_agent_start, 1)->u.agent_start.prompt_bytes,
	    6);
	ck_assert_int_eq(peer_stream_expect(agent.p, RUNS_STREAM_PROMPT, 6), 0);
	UNTIL(agent.ended);
	ck_assert_uint_eq(agent.nin, 6);
	ck_assert_mem_eq(agent.in, "second", 6);
}
END_TEST

/* It had begun with the first: it comes anew, and its output stays. */
START_TEST(test_replaced_begun)
{
	run_begins(1, 0);
	prints(0, 1000);
	UNTIL(queue.count[MSG_TYPE_job_output] > 0);
	announce(2, 0, 0, 0);
	UNTIL(agent.gone);
	link_is("none");
	ck_assert_int_eq(heard(&queue, MSG_TYPE_job_ready, 2)->id, 2);
	ck_assert_int_eq(
	    queue.last[MSG_TYPE_job_ready].u.job_ready.log_bytes, 1000);
	ck_assert_uint_eq(queue.count[MSG_TYPE_error], 0);
	connects("new", 1000);
	heard(&agent, MSG_TYPE_agent_start, 1);
	ck_assert_int_eq(
	    heard(&agent, MSG_TYPE_agent_stored, 1)->u.agent_stored.offset,
	    1000);
}
END_TEST

/* A run that is closed in the midst of its start leaves no stream either. */
START_TEST(test_closed_early)
{
	announce(1, 1, 2, 1000);
	UNTIL(peer_stream_room(queue.p, 2) > 0);
	closed(true);
	UNTIL(queue.aborts == 2);
	announce(2, 0, 0, 0);
	ck_assert_int_eq(heard(&queue, MSG_TYPE_job_ready, 1)->id, 2);
}
END_TEST

int
world_tests(void)
{
	Suite *s = suite_create("runs_start");
	TCase *tc = tcase_create("start");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, world_start, world_stop);
	tcase_add_test(tc, test_refused_streams);
	tcase_add_test(tc, test_refused_door);
	tcase_add_test(tc, test_replaced);
	tcase_add_test(tc, test_replaced_begun);
	tcase_add_test(tc, test_closed_early);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
