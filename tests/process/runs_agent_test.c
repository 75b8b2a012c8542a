/* PID 1 of a run at its door, what it prints and what it hands back. */

#include <sys/types.h>

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"
#include "libcommon/frame.h"

#include "runs_world.h"

#define BIG (600 * 1024)
#define HUGE (INT64_C(1) << 50)

/* --- output ------------------------------------------------------------ */

/* Each byte of it once, in order: from chunks, with no gap. */
static void
check_log(size_t want)
{
	struct chunk_reader r;
	size_t off = 0, at = 0, i;
	struct chunk c;
	ptrdiff_t n;

	memset(&r, 0, sizeof(r));
	while (off < frontend.nin) {
		n = chunk_read(&r, frontend.in + off, frontend.nin - off, &c);
		ck_assert_int_gt(n, 0);
		off += (size_t)n;
		ck_assert_int_ne(c.kind, CHUNK_GAP);
		for (i = 0; i < c.len; i++, at++)
			ck_assert_int_eq(
			    c.data[i], 'a' + (int)(at / 1024 % 26));
	}
	ck_assert_uint_eq(at, want);
}

START_TEST(test_output)
{
	const struct msg_job_closed *c;

	run_begins(1, 0);
	prints(0, 300000);
	exits(300000);
	serve(MSG_TYPE_logs);
	heard(&frontend, MSG_TYPE_logs_answer, 1);
	UNTIL(frontend.ended);
	check_log(300000);
	c = closed(false);
	ck_assert_int_eq(c->bytes, 300000);
	ck_assert_int_eq(c->kept, 300000);
	ck_assert_int_eq(c->dropped, 0);
	ck_assert(there("log"));
}
END_TEST

/* Behind a new link PID 1 begins where it was told, or before. */
START_TEST(test_output_resumed)
{
	run_begins(1, 0);
	prints(0, 200000);
	UNTIL(agent.sent == agent.nout);
	link_is("new");
	peer_flush(agent.p);
	quiet();
	side_free(&agent);
	link_is("none");
	connects("tool", 100000);
	link_is("tool");
	ck_assert_int_eq(
	    heard(&agent, MSG_TYPE_agent_stored, 1)->u.agent_stored.offset,
	    200000);
	prints(102400, 200000);
	exits(302400);
	serve(MSG_TYPE_logs);
	heard(&frontend, MSG_TYPE_logs_answer, 1);
	UNTIL(frontend.ended);
	check_log(302400);
}
END_TEST

/*
 * The link broke before PID 1 heard that its output is taken: it comes once
 * more behind the exit, and again there is nothing to wait for. With no room
 * on the disk it is taken as well.
 */
START_TEST(test_output_behind_exit)
{
	const struct msg_job_closed *c;
	int i;

	run_begins(1, _i == 0 ? 0 : HUGE);
	for (i = 1; i <= 2; i++) {
		prints(0, BIG);
		exits(BIG);
		heard(&queue, MSG_TYPE_job_exited, (size_t)i);
		UNTIL(agent.last[MSG_TYPE_agent_stored].u.agent_stored.offset ==
		    BIG);
		side_free(&agent);
		link_is("none");
		connects("exited", 0);
		link_is("exited");
	}
	c = closed(false);
	ck_assert_int_eq(c->bytes, BIG);
	ck_assert_int_eq(c->kept, _i == 0 ? BIG : 0);
}
END_TEST

/* Two streams of it at a time are none that we could put in order. */
START_TEST(test_output_twice)
{
	struct msg m = plain(MSG_TYPE_agent_output, 0);

	run_begins(1, 0);
	prints(0, 1000);
	m.u.agent_output.stream = BUNDLE;
	say(&agent, &m);
	UNTIL(agent.gone);
	link_is("none");
}
END_TEST

static const struct {
	uint8_t bytes[16];
	size_t n;
} garbage[] = {
	{ { 0 }, 8 }, /* no kind */
	{ { 4, 0, 0, 0, 0, 0, 0, 1 }, 8 },
	{ { 1, 1, 0, 0, 0, 0, 0, 1 }, 8 }, /* what is to be 0 */
	{ { 1, 0, 0, 0, 0, 0, 0, 0 }, 8 }, /* no length */
	{ { 1, 0, 0, 0, 0, 1, 0, 0 }, 8 }, /* more than may be */
	{ { 3, 0, 0, 0, 0, 0, 0, 9 }, 8 }, /* a gap of another size */
	{ { 3, 0, 0, 0, 0, 0, 0, 8, 0x80 }, 16 }, /* a negative one */
	{ { 3, 0, 0, 0, 0, 0, 0, 8 }, 16 }, /* of nothing */
	/* beyond any sum: 2^63 - 1, 2^53 + 1 */
	{ { 3, 0, 0, 0, 0, 0, 0, 8, 0x7f, 255, 255, 255, 255, 255, 255, 255 },
	    16 },
	{ { 3, 0, 0, 0, 0, 0, 0, 8, 0, 0x20, 0, 0, 0, 0, 0, 1 }, 16 },
};

/* What is no output ends its link, and nothing else. */
START_TEST(test_garbage)
{
	struct msg m = plain(MSG_TYPE_agent_output, 0);
	uint8_t *buf = malloc(sizeof(garbage[_i].bytes));

	run_begins(1, 0);
	memcpy(buf, garbage[_i].bytes, sizeof(garbage[_i].bytes));
	out_begins(OUT, buf, garbage[_i].n);
	m.u.agent_output.stream = OUT;
	say(&agent, &m);
	UNTIL(agent.gone);
	link_is("none");
	connects("tool", 0);
	link_is("tool");
	prints(0, 1000);
	exits(1000);
	ck_assert_int_eq(closed(false)->bytes, 1000);
}
END_TEST

/* Output that begins where no tool ever comes: bytes behind it have no sum. */
START_TEST(test_far)
{
	struct msg m = plain(MSG_TYPE_agent_output, 0);

	run_begins(1, 0);
	m.u.agent_output.stream = OUT;
	m.u.agent_output.offset = INT64_MAX;
	say(&agent, &m);
	UNTIL(agent.gone);
	link_is("none");
	connects("tool", 0);
	link_is("tool");
	prints(0, 1000);
	exits(1000);
	ck_assert_int_eq(closed(false)->bytes, 1000);
}
END_TEST

/*
 * No room: output is dropped and counted, PID 1 need not keep it either, and a
 * bundle that the reserve's half cannot hold is refused with the reason.
 */
START_TEST(test_no_room)
{
	const struct msg_job_closed *c;
	const struct msg *m;

	run_begins(BIG, HUGE);
	prints(0, BIG);
	exits(BIG);
	UNTIL(agent.last[MSG_TYPE_agent_stored].u.agent_stored.offset == BIG);
	bundle(1000, 0, NULL);
	m = heard(&queue, MSG_TYPE_job_bundle, 1);
	ck_assert_int_eq(m->u.job_bundle.bytes, 0);
	ck_assert_str_eq(m->u.job_bundle.lost, "quota");
	ck_assert_ptr_nonnull(strstr(m->u.job_bundle.why, "disk_reserve"));
	UNTIL(agent.aborted);
	c = closed(false);
	ck_assert_int_eq(c->bytes, BIG);
	ck_assert_int_eq(c->kept, 0);
	ck_assert_int_eq(c->dropped, BIG);
	ck_assert(!there("bundle"));
}
END_TEST

/* As much as there is: the output does not fit beside it, the bundle does. */
START_TEST(test_bundle_first)
{
	int64_t space = 0;

	ck_assert_int_eq(fd_space(dirfd, &space), 0);
	run_begins(BIG, space / 4 * 5);
	prints(0, 1000);
	exits(1000);
	bundle(1000, 0, NULL);
	bundle_ends();
	ck_assert_int_eq(
	    heard(&queue, MSG_TYPE_job_bundle, 1)->u.job_bundle.bytes, 1000);
	ck_assert_int_eq(closed(false)->kept, 0);
	ck_assert(there("bundle"));
}
END_TEST

/* --- bundles ------------------------------------------------------------ */

START_TEST(test_bundle)
{
	uint8_t *zeros = calloc(1, BIG);
	const struct msg *m;

	run_begins(BIG, 1);
	bundle(BIG, 0, "a file could not be read");
	bundle_ends();
	m = heard(&queue, MSG_TYPE_job_bundle, 1);
	ck_assert_int_eq(m->u.job_bundle.bytes, BIG);
	ck_assert_str_eq(m->u.job_bundle.lost, "");
	ck_assert_str_eq(m->u.job_bundle.why, "a file could not be read");
	ck_assert(there("bundle"));
	serve(MSG_TYPE_bundle_get);
	ck_assert_str_eq(heard(&frontend, MSG_TYPE_bundle_get_answer, 1)
	                     ->u.bundle_get_answer.sha256,
	    queue.last[MSG_TYPE_job_bundle].u.job_bundle.sha256);
	/* The answer may come before the last bytes. */
	UNTIL(frontend.ended);
	ck_assert_uint_eq(frontend.nin, BIG);
	ck_assert_int_eq(memcmp(frontend.in, zeros, BIG), 0);
	free(zeros);
	closed(true);
	ck_assert(!there(""));
	/* Once more: what is not there is gone. */
	closed(true);
}
END_TEST

static const struct {
	size_t len;
	int byte;
	bool same;
} second[] = {
	{ BIG, 0, true }, { BIG, 1, false }, { BIG - 1, 0, false },
	{ 0, 0, false }, /* it says that there is none */
};

#define SECONDS ((int)(sizeof(second) / sizeof(second[0])))

static void
sends_second(int i)
{
	struct msg m = plain(MSG_TYPE_agent_bundle, 0);

	if (second[i].len > 0) {
		bundle(second[i].len, second[i].byte, NULL);
		if (second[i].same)
			bundle_ends();
		return;
	}
	m.u.agent_bundle.base = m.u.agent_bundle.head = "";
	say(&agent, &m);
}

/*
 * Behind one that was told whole: that one again, or nothing, so that what is
 * on record is what is served; on the same link or when runs has begun anew.
 */
START_TEST(test_bundle_again)
{
	size_t told = _i < SECONDS ? 1 : 0;
	char first[65];

	run_begins(BIG, 1);
	bundle(BIG, 0, NULL);
	bundle_ends();
	strlcpy(first,
	    heard(&queue, MSG_TYPE_job_bundle, 1)->u.job_bundle.sha256,
	    sizeof(first));
	if (told == 0) {
		world_restart();
		run_begins(BIG, 1);
	}
	sends_second(_i % SECONDS);
	if (second[_i % SECONDS].same)
		ck_assert_str_eq(heard(&queue, MSG_TYPE_job_bundle, told + 1)
		                     ->u.job_bundle.sha256,
		    first);
	else {
		UNTIL(agent.gone);
		link_is("none");
		ck_assert_uint_eq(queue.count[MSG_TYPE_job_bundle], told);
	}
	serve(MSG_TYPE_bundle_get);
	ck_assert_str_eq(heard(&frontend, MSG_TYPE_bundle_get_answer, 1)
	                     ->u.bundle_get_answer.sha256,
	    first);
	ck_assert(!there("bundle.part"));
}
END_TEST

START_TEST(test_bundle_too_large)
{
	const struct msg *m;

	run_begins(BIG - 1, 1);
	bundle(BIG, 0, NULL);
	m = heard(&queue, MSG_TYPE_job_bundle, 1);
	ck_assert_int_eq(m->u.job_bundle.bytes, 0);
	ck_assert_str_eq(m->u.job_bundle.lost, "quota");
	ck_assert_ptr_nonnull(strstr(m->u.job_bundle.why, "614400 bytes"));
	UNTIL(agent.aborted);
}
END_TEST

/* PID 1's word that there is none: with a reason something got lost. */
START_TEST(test_no_bundle)
{
	struct msg m = plain(MSG_TYPE_agent_bundle, 0);
	const struct msg *got;

	m.u.agent_bundle.base = m.u.agent_bundle.head = "";
	m.u.agent_bundle.why = _i == 0 ? NULL : "git: broken";
	m.u.agent_bundle.bytes = _i == 2 ? 1 : 0;
	run_begins(BIG, 1);
	say(&agent, &m);
	got = heard(&queue, MSG_TYPE_job_bundle, 1);
	ck_assert_str_eq(got->u.job_bundle.lost,
	    _i == 0       ? ""
	        : _i == 1 ? "agent"
	                  : "quota");
	ck_assert_int_eq(got->u.job_bundle.why == NULL, _i == 0);
}
END_TEST

/* --- the door ------------------------------------------------------------ */

/* Whoever is not the process that the engine named is shown out. */
START_TEST(test_stranger)
{
	struct msg m = plain(MSG_TYPE_job_close, 5);

	door();
	start(1, 0);
	expect_pid(getppid());
	connects("new", 0);
	UNTIL(agent.gone);
	ck_assert_uint_eq(queue.count[MSG_TYPE_job_link], 0);
	expect_pid(getpid());
	/* Behind this answer it knows. */
	m.u.job_close.run = "bbbbbbbbbbbb";
	say(&queue, &m);
	heard(&queue, MSG_TYPE_job_closed, 1);
	connects("new", 0);
	link_is("new");
}
END_TEST

/*
 * It comes anew though its link seems to be up. Until it says where it is, the
 * queue does not take it for connected.
 */
START_TEST(test_comes_anew)
{
	struct side old;
	size_t links;

	run_begins(1, 0);
	links = queue.count[MSG_TYPE_job_link];
	old = agent;
	memset(&agent, 0, sizeof(agent));
	connects_silently();
	heard(&queue, MSG_TYPE_job_link, links + 1);
	link_is("none");
	side_free(&old);
	connects("new", 0);
	link_is("new");
}
END_TEST

/* As much of it as a frame holds, all escaped: job.proof does not fit. */
static void
swell(struct msg *m, char text[257])
{
	char *json, why[128];
	size_t len = 0;

	while (strlen(text) < 256 && len < FRAME_CTL_MAX - 6) {
		text[strlen(text)] = 1;
		ck_assert_int_eq(
		    msg_encode(m, &json, &len, why, sizeof(why)), 0);
		free(json);
	}
	ck_assert_uint_le(len, FRAME_CTL_MAX);
	ck_assert_uint_gt(len, FRAME_CTL_MAX - 25);
}

/*
 * A proof that the queue could not be told of, or that comes twice, ends the
 * link that it came on: one of it is passed on, or none.
 */
START_TEST(test_proof)
{
	struct msg m = plain(MSG_TYPE_agent_proof, 0);
	char texts[64][257], names[64][8];
	const char *k[64], *v[64];
	size_t i;

	memset(texts, 0, sizeof(texts));
	for (i = 0; i < 64; i++) {
		snprintf(names[i], sizeof(names[i]), "n%zu", i);
		memset(texts[i], _i == 0 ? 1 : 'a', i == 0 ? 100 : 168);
		k[i] = names[i];
		v[i] = texts[i];
	}
	m.u.agent_proof.checks.k = k;
	m.u.agent_proof.checks.v = v;
	m.u.agent_proof.checks.n = 64;
	if (_i == 0)
		swell(&m, texts[0]);
	run_begins(1, 0);
	say(&agent, &m);
	if (_i == 1)
		say(&agent, &m);
	UNTIL(agent.gone);
	link_is("none");
	ck_assert_uint_eq(queue.count[MSG_TYPE_job_proof], (size_t)_i);
	connects("new", 0);
	link_is("new");
}
END_TEST

/* What it says goes on to the queue, which is not its to fill. */
START_TEST(test_talk)
{
	struct msg m = plain(MSG_TYPE_agent_phase, 0);
	int i;

	run_begins(1, 0);
	m.u.agent_phase.phase = "cloning";
	for (i = 0; i < 200; i++)
		say(&agent, &m);
	UNTIL(agent.gone);
	link_is("none");
	ck_assert_uint_le(queue.count[MSG_TYPE_job_phase], 64);
	connects("new", 0);
	link_is("new");
}
END_TEST

int
world_tests(void)
{
	Suite *s = suite_create("runs_agent");
	TCase *tc = tcase_create("agent");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, world_start, world_stop);
	tcase_add_test(tc, test_output);
	tcase_add_test(tc, test_output_resumed);
	tcase_add_loop_test(tc, test_output_behind_exit, 0, 2);
	tcase_add_test(tc, test_output_twice);
	tcase_add_loop_test(
	    tc, test_garbage, 0, (int)(sizeof(garbage) / sizeof(garbage[0])));
	tcase_add_test(tc, test_far);
	tcase_add_test(tc, test_talk);
	tcase_add_test(tc, test_no_room);
	tcase_add_test(tc, test_bundle_first);
	tcase_add_test(tc, test_bundle);
	tcase_add_loop_test(tc, test_bundle_again, 0, 2 * SECONDS);
	tcase_add_test(tc, test_bundle_too_large);
	tcase_add_loop_test(tc, test_no_bundle, 0, 3);
	tcase_add_test(tc, test_stranger);
	tcase_add_test(tc, test_comes_anew);
	tcase_add_loop_test(tc, test_proof, 0, 2);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
