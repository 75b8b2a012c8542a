/*
 * The real role `runs`, started the real way (this program is its own daemon).
 * The parent, the queue and the frontend are played here, and PID 1 of a
 * container, which for its door is this process.
 */

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "libcommon/clock.h"
#include "libcommon/fd.h"
#include "libcommon/frame.h"
#include "libcommon/log.h"

#include "dispatchd/runs.h"

#define WAIT_MS 20000 /* for any one thing */
#define QUIET_MS 100 /* nothing more comes within */
#define NOBODY 65534
#define RUN "aaaaaaaaaaaa"
#define OUT 7 /* streams of PID 1 */
#define BUNDLE 8
#define SERVED 9 /* of the frontend */
#define BIG (600 * 1024)
#define HUGE (INT64_C(1) << 50)

struct side {
	struct peer *p;
	bool gone;
	size_t count[MSG_TYPE_MAX];
	struct msg last[MSG_TYPE_MAX];
	/* the one stream that comes in, and the one that goes out */
	uint8_t *in, *out;
	size_t nin, nout, sent;
	uint32_t id;
	bool ended, aborted;
};

static struct event_base *base;
static struct side parent, queue, frontend, agent;
static char directory[64], path[96];
static int dirfd = -1;
static pid_t pid = -1;

/* --- sides ------------------------------------------------------------ */

static void
on_message(struct peer *p, struct msg *m, int fd, void *arg)
{
	struct side *s = arg;
	char *text, why[128];
	size_t len;

	ck_assert_int_eq(fd, -1);
	if (s->count[m->type]++ > 0)
		msg_free(&s->last[m->type]);
	ck_assert_int_eq(msg_encode(m, &text, &len, why, sizeof(why)), 0);
	ck_assert_int_eq(
	    msg_decode(text, len, &s->last[m->type], why, sizeof(why)), 0);
	free(text);
}

static void
on_gone(struct peer *p, enum peer_end end, const char *why, void *arg)
{
	struct side *s = arg;

	s->gone = true;
}

static void
on_data(struct peer *p, uint32_t id, const uint8_t *buf, size_t len, void *arg)
{
	struct side *s = arg;

	s->in = realloc(s->in, s->nin + len);
	ck_assert_ptr_nonnull(s->in);
	memcpy(s->in + s->nin, buf, len);
	s->nin += len;
	peer_stream_consumed(p, id, len);
}

static void
on_end(struct peer *p, uint32_t id, bool ok, const char *why, void *arg)
{
	struct side *s = arg;

	s->ended = ok;
	s->aborted = !ok;
}

static void
push(struct side *s)
{
	size_t n = s->nout - s->sent, room;

	if (s->out == NULL || (room = peer_stream_room(s->p, s->id)) == 0)
		return;
	if (n > room)
		n = room;
	ck_assert_int_eq(
	    peer_stream_write(s->p, s->id, s->out + s->sent, n), 0);
	s->sent += n;
}

static void
on_ready(struct peer *p, uint32_t id, void *arg)
{
	push(arg);
}

static const struct peer_ops ops = { .message = on_message,
	.gone = on_gone,
	.data = on_data,
	.stream_end = on_end,
	.stream_ready = on_ready };

static int
side_make(struct side *s, enum msg_side me)
{
	int sv[2];

	ck_assert_int_eq(proc_socketpair(sv), 0);
	s->p = peer_new(
	    base, sv[0], PEER_SIBLING, me, SIDE_RUNS, "test", "runs", &ops, s);
	ck_assert_ptr_nonnull(s->p);
	return sv[1];
}

static void
side_free(struct side *s)
{
	size_t i;

	peer_free(&s->p);
	for (i = 0; i < MSG_TYPE_MAX; i++) {
		if (s->count[i] > 0)
			msg_free(&s->last[i]);
	}
	free(s->in);
	free(s->out);
	memset(s, 0, sizeof(*s));
}

static void
turn(int ms)
{
	struct timeval tv = { 0, ms * 1000 };

	event_base_loopexit(base, &tv);
	event_base_loop(base, EVLOOP_ONCE);
}

#define UNTIL(cond)                                          \
	do {                                                 \
		int64_t end_ = clock_boot_ms() + WAIT_MS;    \
		while (!(cond) && clock_boot_ms() < end_)    \
			turn(10);                            \
		ck_assert_msg((cond), "in vain: %s", #cond); \
	} while (0)

static void
quiet(void)
{
	int64_t end = clock_boot_ms() + QUIET_MS;

	while (clock_boot_ms() < end)
		turn(10);
}

static const struct msg *
heard(struct side *s, enum msg_type type, size_t n)
{
	UNTIL(s->count[type] >= n);
	return &s->last[type];
}

static struct msg
plain(enum msg_type type, int64_t id)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	m.id = id;
	return m;
}

static void
say(struct side *s, const struct msg *m)
{
	ck_assert_int_eq(peer_send(s->p, m), 0);
}

/* --- the world -------------------------------------------------------- */

static void
spawn(void)
{
	struct proc_spec spec = { .role = "runs" };
	struct msg go = plain(MSG_TYPE_go, 0);

	spec.uid = getuid() == 0 ? NOBODY : getuid();
	spec.gid = getuid() == 0 ? NOBODY : getgid();
	spec.parent_fd = side_make(&parent, SIDE_PARENT);
	spec.fds[spec.nfds++] = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	spec.fds[spec.nfds++] = side_make(&queue, SIDE_QUEUE);
	spec.fds[spec.nfds++] = side_make(&frontend, SIDE_FRONTEND);
	pid = proc_spawn("dispatchd", &spec);
	ck_assert_int_gt(pid, 0);
	heard(&parent, MSG_TYPE_ready, 1);
	say(&parent, &go);
}

static void
end(void)
{
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	pid = -1;
	side_free(&parent);
	side_free(&queue);
	side_free(&frontend);
	side_free(&agent);
}

static void
world_start(void)
{
	log_init("runs_agent_test", 1, 0);
	ck_assert_int_eq(peer_stream_prepare(), 0);
	ck_assert_ptr_nonnull(base = event_base_new());
	strlcpy(directory, "/tmp/runs_agent.XXXXXX", sizeof(directory));
	ck_assert_ptr_nonnull(mkdtemp(directory));
	if (getuid() == 0)
		ck_assert_int_eq(chown(directory, NOBODY, NOBODY), 0);
	dirfd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ne(dirfd, -1);
	snprintf(path, sizeof(path), "%s/sock", directory);
	spawn();
}

static int
remove_one(const char *name, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(name);
}

static void
world_stop(void)
{
	end();
	close(dirfd);
	event_base_free(base);
	(void)nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* --- a run ------------------------------------------------------------ */

static void
door(void)
{
	struct msg m = plain(MSG_TYPE_door, 0);
	int fd;

	unlink(path);
	ck_assert_int_ne(fd = fd_listen_unix(path, 8), -1);
	m.u.door.run = RUN;
	ck_assert_int_eq(peer_send_fd(parent.p, &m, fd), 0);
}

static void
expect_pid(pid_t who)
{
	struct msg m = plain(MSG_TYPE_job_expect, 0);

	m.u.job_expect.run = RUN;
	m.u.job_expect.pid = who;
	say(&queue, &m);
}

/* What the run is to do; it has no prompt, and these limits. */
static void
start(int64_t bundle_limit, int64_t disk_reserve)
{
	static const char *const argv[] = { "/bin/sh" };
	struct msg m = plain(MSG_TYPE_job_start, 1);
	struct msg_job_start *s = &m.u.job_start;

	s->run = RUN;
	s->proxy = s->canary = "10.0.0.1:1";
	s->gateway = "10.0.0.1";
	s->repo = s->directory = s->base = "";
	s->branch = "agent/sh/" RUN;
	s->argv.v = argv;
	s->argv.n = 1;
	s->prompt_by = "stdin";
	s->deadline_ms = 1000;
	s->log_limit = 1 << 20;
	s->bundle_limit = bundle_limit;
	s->disk_reserve = disk_reserve;
	say(&queue, &m);
	heard(&queue, MSG_TYPE_job_ready, 1);
}

/* PID 1 comes to its door and says where it is. */
static void
connects(const char *phase, int64_t offset)
{
	struct msg m = plain(MSG_TYPE_agent_ready, 0);
	int fd;

	side_free(&agent);
	ck_assert_int_ne(fd = fd_connect_unix(path), -1);
	ck_assert_int_eq(fd_set_nonblock(fd), 0);
	agent.p = peer_new(base, fd, PEER_CLIENT, SIDE_AGENT, SIDE_RUNS,
	    "agent", "runs", &ops, &agent);
	ck_assert_ptr_nonnull(agent.p);
	m.u.agent_ready.phase = phase;
	m.u.agent_ready.offset = offset;
	say(&agent, &m);
}

static void
run_begins(int64_t bundle_limit, int64_t disk_reserve)
{
	door();
	start(bundle_limit, disk_reserve);
	expect_pid(getpid());
	connects("new", 0);
	heard(&agent, MSG_TYPE_agent_start, 1);
}

static void
link_is(const char *phase)
{
	UNTIL(queue.count[MSG_TYPE_job_link] > 0 &&
	    strcmp(queue.last[MSG_TYPE_job_link].u.job_link.phase, phase) == 0);
}

static void
out_begins(uint32_t id, uint8_t *buf, size_t len)
{
	free(agent.out);
	agent.out = buf;
	agent.nout = len;
	agent.sent = 0;
	agent.id = id;
	agent.aborted = false;
	ck_assert_int_eq(peer_stream_begin(agent.p, id), 0);
}

/* len bytes of output as chunks, from this offset of it on. */
static void
prints(int64_t offset, size_t len)
{
	struct msg m = plain(MSG_TYPE_agent_output, 0);
	uint8_t *buf = malloc(len + (len / 1024 + 1) * CHUNK_HEADER_LEN);
	size_t n = 0, piece, i;

	ck_assert_ptr_nonnull(buf);
	for (i = 0; i < len; i += piece) {
		piece = len - i < 1024 ? len - i : 1024;
		chunk_put_header(buf + n, CHUNK_OUT, piece);
		n += CHUNK_HEADER_LEN;
		memset(buf + n, 'a' + (int)((offset + (int64_t)i) / 1024 % 26),
		    piece);
		n += piece;
	}
	out_begins(OUT, buf, n);
	m.u.agent_output.stream = OUT;
	m.u.agent_output.offset = offset;
	say(&agent, &m);
}

static void
exits(int64_t offset)
{
	struct msg m = plain(MSG_TYPE_agent_exited, 0);

	UNTIL(agent.sent == agent.nout);
	ck_assert_int_eq(peer_stream_finish(agent.p, OUT), 0);
	m.u.agent_exited.reason = "tool";
	m.u.agent_exited.offset = offset;
	say(&agent, &m);
	heard(&queue, MSG_TYPE_job_exited, 1);
}

static const struct msg_job_closed *
closed(bool remove)
{
	struct msg m = plain(MSG_TYPE_job_close, 5);

	m.u.job_close.run = RUN;
	m.u.job_close.remove = remove;
	say(&queue, &m);
	return &heard(&queue, MSG_TYPE_job_closed, 1)->u.job_closed;
}

static void
bundle(size_t len, const char *why)
{
	struct msg m = plain(MSG_TYPE_agent_bundle, 0);
	uint8_t *buf = calloc(1, len);

	ck_assert_ptr_nonnull(buf);
	out_begins(BUNDLE, buf, len);
	m.u.agent_bundle.stream = BUNDLE;
	m.u.agent_bundle.bytes = (int64_t)len;
	m.u.agent_bundle.why = why;
	m.u.agent_bundle.base = m.u.agent_bundle.head = "";
	say(&agent, &m);
}

static void
bundle_ends(void)
{
	UNTIL(agent.sent == agent.nout);
	ck_assert_int_eq(peer_stream_finish(agent.p, BUNDLE), 0);
}

static void
serve(enum msg_type type)
{
	struct msg m = plain(type, 6);

	ck_assert_int_eq(peer_stream_expect(frontend.p, SERVED, INT64_MAX), 0);
	if (type == MSG_TYPE_logs) {
		m.u.logs.run = RUN;
		m.u.logs.stream = SERVED;
	} else {
		m.u.bundle_get.run = RUN;
		m.u.bundle_get.stream = SERVED;
	}
	say(&frontend, &m);
}

static bool
there(const char *name)
{
	char file[128];
	struct stat st;

	snprintf(file, sizeof(file), "%s/" RUN "/%s", directory, name);
	return stat(file, &st) == 0;
}

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
	bundle(1000, NULL);
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
	bundle(1000, NULL);
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
	bundle(BIG, "a file could not be read");
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

START_TEST(test_bundle_too_large)
{
	const struct msg *m;

	run_begins(BIG - 1, 1);
	bundle(BIG, NULL);
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

static int
tests(void)
{
	Suite *s = suite_create("runs_agent");
	TCase *tc = tcase_create("agent");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, world_start, world_stop);
	tcase_add_test(tc, test_output);
	tcase_add_test(tc, test_output_resumed);
	tcase_add_loop_test(
	    tc, test_garbage, 0, (int)(sizeof(garbage) / sizeof(garbage[0])));
	tcase_add_test(tc, test_far);
	tcase_add_test(tc, test_talk);
	tcase_add_test(tc, test_no_room);
	tcase_add_test(tc, test_bundle_first);
	tcase_add_test(tc, test_bundle);
	tcase_add_test(tc, test_bundle_too_large);
	tcase_add_loop_test(tc, test_no_bundle, 0, 3);
	tcase_add_test(tc, test_stranger);
	tcase_add_loop_test(tc, test_proof, 0, 2);
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
	struct proc_self self;
	int ch, debug = 0, verbose = 0;

	signal(SIGPIPE, SIG_IGN);
	while ((ch = getopt(argc, argv, "dvx:")) != -1) {
		if (ch == 'd')
			debug = 1;
		else if (ch == 'v')
			verbose++;
		else if (ch == 'x') {
			log_init("dispatchd", debug, verbose);
			if (proc_parse_self("dispatchd", argc, argv, &self) ==
			    0)
				runs_main(&self);
			return EXIT_CONFIG;
		}
	}
	return tests();
}
