/*
 * The real role `frontend` of dispatchd, started the real way (this program is
 * its own daemon). Its parent, the records, the queue, runs and clients are
 * played here, on one event loop, with the same peers that they have.
 */

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/excess.h"
#include "libcommon/log.h"

#include "dispatchd/frontend.h"

#define WAIT_MS 20000 /* for any one thing */
#define QUIET_MS 100 /* nothing more comes within */
#define INBOX_MAX 256
#define STREAMS_MAX 40
#define CLIENTS_MAX 40
#define NOBODY 65534
#define RUN_A "aaaaaaaaaaaa"
#define RUN_B "bbbbbbbbbbbb"
#define BIG (4 * 1024 * 1024)
/* The frontend's own times are minutes; here they are these. */
#define TEST_PROMPT_MS 6000
#define TEST_IDLE_MS 5000
#define TEST_REFUSALS_MS 3000

enum end {
	END_NONE,
	END_OK,
	END_ABORTED
};

struct stream {
	uint32_t id; /* 0: free */
	bool out;
	bool slow; /* incoming: takes in and gives no credit */
	uint8_t *buf;
	size_t len, off; /* off: sent, or credited */
	enum end end;
};

struct side {
	struct peer *p;
	bool gone;
	struct msg inbox[INBOX_MAX];
	size_t n;
	struct stream stream[STREAMS_MAX];
};

static struct event_base *base;
static struct side parent, audit, queue, runs, clients[CLIENTS_MAX];
static char directory[64], path[96];
static pid_t frontend_pid = -1;

static const char *const may_all[] = { "run", "ps", "logs", "stop", "rm",
	"show", "status", NULL };

/* --- sides ------------------------------------------------------------ */

static struct stream *
stream_find(struct side *s, uint32_t id)
{
	int i;

	for (i = 0; i < STREAMS_MAX; i++) {
		if (s->stream[i].id == id)
			return &s->stream[i];
	}
	return NULL;
}

/* What is kept has to outlive the call. */
static void
on_message(struct peer *p, struct msg *m, int fd, void *arg)
{
	struct side *s = arg;
	char *text, why[128];
	size_t len;

	ck_assert_int_eq(fd, -1);
	ck_assert_uint_lt(s->n, INBOX_MAX);
	ck_assert_int_eq(msg_encode(m, &text, &len, why, sizeof(why)), 0);
	ck_assert_int_eq(
	    msg_decode(text, len, &s->inbox[s->n], why, sizeof(why)), 0);
	s->n++;
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
	struct stream *st = stream_find(arg, id);

	ck_assert_ptr_nonnull(st);
	st->buf = realloc(st->buf, st->len + len);
	ck_assert_ptr_nonnull(st->buf);
	memcpy(st->buf + st->len, buf, len);
	st->len += len;
	if (st->slow)
		return;
	st->off += len;
	peer_stream_consumed(p, id, len);
}

static void
on_end(struct peer *p, uint32_t id, bool ok, const char *why, void *arg)
{
	struct stream *st = stream_find(arg, id);

	if (st != NULL)
		st->end = ok ? END_OK : END_ABORTED;
}

static void
push(struct side *s, struct stream *st)
{
	size_t n = st->len - st->off, room = peer_stream_room(s->p, st->id);

	if (st->end != END_NONE)
		return;
	if (n > room)
		n = room;
	ck_assert_int_eq(
	    peer_stream_write(s->p, st->id, st->buf + st->off, n), 0);
	st->off += n;
	if (st->off == st->len) {
		ck_assert_int_eq(peer_stream_finish(s->p, st->id), 0);
		st->end = END_OK;
	}
}

static void
on_ready(struct peer *p, uint32_t id, void *arg)
{
	struct stream *st = stream_find(arg, id);

	if (st != NULL)
		push(arg, st);
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
	s->p = peer_new(base, sv[0], PEER_SIBLING, me, SIDE_FRONTEND, "test",
	    "frontend", &ops, s);
	ck_assert_ptr_nonnull(s->p);
	return sv[1];
}

static void
side_free(struct side *s)
{
	size_t i;

	peer_free(&s->p);
	for (i = 0; i < s->n; i++)
		msg_free(&s->inbox[i]);
	for (i = 0; i < STREAMS_MAX; i++)
		free(s->stream[i].buf);
	memset(s, 0, sizeof(*s));
}

/* --- time ------------------------------------------------------------- */

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
			turn(20);                            \
		ck_assert_msg((cond), "in vain: %s", #cond); \
	} while (0)

static void
quiet(void)
{
	int64_t end = clock_boot_ms() + QUIET_MS;

	while (clock_boot_ms() < end)
		turn(10);
}

/* The next message; it is the caller's. */
static struct msg
expect(struct side *s, enum msg_type type)
{
	struct msg m;

	UNTIL(s->n > 0 || s->gone);
	ck_assert_msg(s->n > 0, "gone instead of %s", msg_decl(type)->wire);
	m = s->inbox[0];
	memmove(s->inbox, s->inbox + 1, --s->n * sizeof(m));
	ck_assert_msg(m.type == type, "%s (%s) instead of %s",
	    msg_decl(m.type)->wire,
	    m.type == MSG_TYPE_error ? m.u.error.reason : "",
	    msg_decl(type)->wire);
	return m;
}

static int64_t
expect_id(struct side *s, enum msg_type type)
{
	struct msg m = expect(s, type);
	int64_t id = m.id;

	msg_free(&m);
	return id;
}

static void
expect_error(struct side *s, int64_t id, const char *code)
{
	struct msg m = expect(s, MSG_TYPE_error);

	ck_assert_int_eq(m.id, id);
	ck_assert_str_eq(m.u.error.error, code);
	msg_free(&m);
}

static void
send_(struct side *s, const struct msg *m)
{
	ck_assert_int_eq(peer_send(s->p, m), 0);
}

/* --- the world -------------------------------------------------------- */

static void
table(int64_t generation, const char *const *may)
{
	const char *v[8];
	struct msg m = { .type = MSG_TYPE_table_begin };
	size_t n;

	m.u.table_begin.table = "peers";
	m.u.table_begin.generation = generation;
	send_(&parent, &m);
	for (n = 0; may[n] != NULL; n++)
		v[n] = may[n];
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_peer_row;
	m.u.peer_row.id = getuid();
	m.u.peer_row.may.v = v;
	m.u.peer_row.may.n = n;
	send_(&parent, &m);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_table_end;
	m.u.table_end.table = "peers";
	m.u.table_end.generation = generation;
	m.u.table_end.count = 1;
	send_(&parent, &m);
	expect_id(&parent, MSG_TYPE_table_applied);
}

static int
listen_here(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strlcpy(directory, "/tmp/dispatch_frontend.XXXXXX", sizeof(directory));
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/sock", directory);
	strlcpy(sun.sun_path, path, sizeof(sun.sun_path));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(listen(fd, 128), 0);
	return fd;
}

static void
world_start(void)
{
	struct proc_spec spec = { .role = "frontend" };
	struct msg m = { .type = MSG_TYPE_go };

	log_init("dispatch_frontend_test", 1, 0);
	ck_assert_ptr_nonnull(base = event_base_new());
	spec.uid = getuid() == 0 ? NOBODY : getuid();
	spec.gid = getuid() == 0 ? NOBODY : getgid();
	spec.parent_fd = side_make(&parent, SIDE_PARENT);
	spec.fds[spec.nfds++] = listen_here();
	spec.fds[spec.nfds++] = side_make(&queue, SIDE_QUEUE);
	spec.fds[spec.nfds++] = side_make(&runs, SIDE_RUNS);
	spec.fds[spec.nfds++] = side_make(&audit, SIDE_AUDIT);
	frontend_pid = proc_spawn("dispatchd", &spec);
	ck_assert_int_gt(frontend_pid, 0);
	expect_id(&parent, MSG_TYPE_ready);
	table(1, may_all);
	send_(&parent, &m);
	peer_flush(parent.p);
}

static void
world_stop(void)
{
	int i;

	if (frontend_pid > 0) {
		kill(frontend_pid, SIGKILL);
		waitpid(frontend_pid, NULL, 0);
	}
	frontend_pid = -1;
	side_free(&parent);
	side_free(&queue);
	side_free(&runs);
	side_free(&audit);
	for (i = 0; i < CLIENTS_MAX; i++)
		side_free(&clients[i]);
	event_base_free(base);
	unlink(path);
	rmdir(directory);
}

static int
dial(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strlcpy(sun.sun_path, path, sizeof(sun.sun_path));
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static struct side *
client_new(void)
{
	struct side *c = clients;

	while (c->p != NULL)
		c++;
	ck_assert(c < clients + CLIENTS_MAX);
	c->p = peer_new(base, dial(), PEER_CLIENT, SIDE_CLIENT, SIDE_FRONTEND,
	    "test", "frontend", &ops, c);
	ck_assert_ptr_nonnull(c->p);
	return c;
}

static void
ask_plain(struct side *c, int64_t id, enum msg_type type)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	m.id = id;
	switch (type) {
	case MSG_TYPE_run:
		m.u.run.request = "r";
		m.u.run.repo = m.u.run.base = m.u.run.tool = m.u.run.profile =
		    "";
		break;
	case MSG_TYPE_wait:
		m.u.wait.run = RUN_A;
		break;
	case MSG_TYPE_show:
		m.u.show.run = RUN_A;
		break;
	case MSG_TYPE_stop:
		m.u.stop.run = RUN_A;
		break;
	case MSG_TYPE_rm:
		m.u.rm.run = RUN_A;
		break;
	default:
		break;
	}
	send_(c, &m);
}

/* It lives, and has nothing before this to say. */
static void
alive(void)
{
	struct side *c = client_new();

	ask_plain(c, 77, MSG_TYPE_status);
	ck_assert_int_eq(expect_id(c, MSG_TYPE_status_answer), 77);
	side_free(c);
}

static uint8_t *
noise(size_t len)
{
	uint8_t *buf = malloc(len + 1);
	uint32_t x = 1;
	size_t i;

	ck_assert_ptr_nonnull(buf);
	for (i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		buf[i] = (uint8_t)(x >> 24);
	}
	return buf;
}

static struct stream *
stream_out(struct side *s, uint32_t id, size_t len)
{
	struct stream *st = stream_find(s, 0);

	st->id = id;
	st->out = true;
	st->buf = noise(len);
	st->len = len;
	ck_assert_int_eq(peer_stream_begin(s->p, id), 0);
	return st;
}

static struct stream *
stream_in(struct side *s, uint32_t id, int64_t max)
{
	struct stream *st = stream_find(s, 0);

	st->id = id;
	ck_assert_int_eq(peer_stream_expect(s->p, id, max), 0);
	return st;
}

static struct stream *
ask_run(struct side *c, int64_t id, uint32_t stream, size_t len)
{
	struct stream *st = stream_out(c, stream, len);
	struct msg m = { .type = MSG_TYPE_run, .id = id };

	m.u.run.request = "request";
	m.u.run.repo = "owner/name";
	m.u.run.base = "main";
	m.u.run.tool = "sh";
	m.u.run.profile = "dev";
	m.u.run.deadline_ms = 5;
	m.u.run.stream = stream;
	m.u.run.bytes = (int64_t)len;
	send_(c, &m);
	return st;
}

static void
accept_run(int64_t id)
{
	struct msg m = { .type = MSG_TYPE_run_accepted, .id = id };

	m.u.run_accepted.run = RUN_A;
	m.u.run_accepted.state = "QUEUED";
	m.u.run_accepted.branch = "agent/sh/" RUN_A;
	send_(&queue, &m);
}

static void
send_error(struct side *s, int64_t id, const char *code)
{
	ck_assert_int_eq(peer_send_error(s->p, id, code, "for a reason"), 0);
}

/* --- who may ---------------------------------------------------------- */

static const struct {
	enum msg_type type;
	const char *verb, *other; /* either lets it pass; "": none other */
	bool recorded;
} rights[] = {
	{ MSG_TYPE_run, "run", "", true },
	{ MSG_TYPE_ps, "ps", "", false },
	{ MSG_TYPE_stop, "stop", "", true },
	{ MSG_TYPE_rm, "rm", "", true },
	{ MSG_TYPE_show, "show", "", false },
	{ MSG_TYPE_wait, "show", "run", false },
	{ MSG_TYPE_status, "status", "", false },
};

static void
check_refused(struct side *c, size_t i)
{
	struct msg ack = { .type = MSG_TYPE_recorded }, m;

	ask_plain(c, 3, rights[i].type);
	if (rights[i].recorded) {
		m = expect(&audit, MSG_TYPE_rec_refused);
		ck_assert_int_eq(m.u.rec_refused.peer_uid, getuid());
		ck_assert_int_eq(m.u.rec_refused.peer_pid, getpid());
		ck_assert_str_eq(
		    m.u.rec_refused.request, msg_decl(rights[i].type)->wire);
		ck_assert_int_eq(m.u.rec_refused.run == NULL,
		    rights[i].type == MSG_TYPE_run);
		msg_free(&m);
		quiet();
		ck_assert_uint_eq(c->n, 0);
		ack.u.recorded.count = 1;
		send_(&audit, &ack);
	}
	expect_error(c, 3, "refused");
}

START_TEST(test_rights)
{
	const char *without[8], *with[2] = { rights[_i].verb, NULL };
	struct side *c = client_new();
	size_t i, n = 0;

	for (i = 0; may_all[i] != NULL; i++) {
		if (strcmp(may_all[i], rights[_i].verb) != 0 &&
		    strcmp(may_all[i], rights[_i].other) != 0)
			without[n++] = may_all[i];
	}
	without[n] = NULL;
	table(2, without);
	check_refused(c, (size_t)_i);
	ck_assert_uint_eq(queue.n, 0);
	table(3, with);
	ask_plain(c, 4, rights[_i].type);
	if (rights[_i].type == MSG_TYPE_status)
		expect_id(c, MSG_TYPE_status_answer);
	else
		expect_id(&queue,
		    rights[_i].type == MSG_TYPE_run        ? MSG_TYPE_job_submit
		        : rights[_i].type == MSG_TYPE_rm   ? MSG_TYPE_job_rm
		        : rights[_i].type == MSG_TYPE_stop ? MSG_TYPE_job_halt
		                                           : rights[_i].type);
	ck_assert_uint_eq(audit.n, 0);
}
END_TEST

/* So many records a user causes; the rest makes one, when time is over. */
START_TEST(test_refusals)
{
	static const char *const none[] = { "status", NULL };
	struct msg ack = { .type = MSG_TYPE_recorded }, m;
	struct side *c = client_new();
	int i;

	table(2, none);
	ack.u.recorded.count = 1;
	for (i = 0; i < EXCESS_RECORDS_MAX + 5; i++) {
		ask_plain(c, i + 1, MSG_TYPE_stop);
		if (i < EXCESS_RECORDS_MAX) {
			expect_id(&audit, MSG_TYPE_rec_refused);
			send_(&audit, &ack);
		}
		expect_error(c, i + 1, "refused");
	}
	m = expect(&audit, MSG_TYPE_rec_refused);
	ck_assert_int_eq(m.u.rec_refused.peer_uid, getuid());
	ck_assert_str_eq(m.u.rec_refused.code, "many");
	ck_assert_str_eq(
	    m.u.rec_refused.reason, "5 more requests were refused");
	msg_free(&m);
	send_(&audit, &ack);
	/* He begins anew. */
	ask_plain(c, 99, MSG_TYPE_stop);
	expect_id(&audit, MSG_TYPE_rec_refused);
	send_(&audit, &ack);
	expect_error(c, 99, "refused");
}
END_TEST

/* --- prompts ---------------------------------------------------------- */

static const size_t sizes[] = { 0, 1, 32768, PEER_WINDOW, PEER_WINDOW + 1,
	300000, BIG };

START_TEST(test_prompt)
{
	struct side *c = client_new();
	struct stream *out = ask_run(c, 9, 5, sizes[_i]), *in;
	struct msg m = expect(&queue, MSG_TYPE_job_submit);

	ck_assert_int_eq(m.u.job_submit.peer_uid, getuid());
	ck_assert_int_eq(m.u.job_submit.bytes, (int64_t)sizes[_i]);
	ck_assert_str_eq(m.u.job_submit.repo, "owner/name");
	in = stream_in(
	    &queue, (uint32_t)m.u.job_submit.stream, m.u.job_submit.bytes);
	UNTIL(in->end != END_NONE);
	ck_assert_int_eq(in->end, END_OK);
	ck_assert_uint_eq(in->len, out->len);
	ck_assert(in->len == 0 || memcmp(in->buf, out->buf, in->len) == 0);
	accept_run(m.id);
	msg_free(&m);
	ck_assert_int_eq(expect_id(c, MSG_TYPE_run_accepted), 9);
	/* The id is free again. */
	out->id = 0;
	free(out->buf);
	out = ask_run(c, 10, 5, 10);
	expect_id(&queue, MSG_TYPE_job_submit);
}
END_TEST

START_TEST(test_no_prompt)
{
	struct side *c = client_new();
	struct msg m;

	ask_plain(c, 2, MSG_TYPE_run);
	m = expect(&queue, MSG_TYPE_job_submit);
	ck_assert_int_eq(m.u.job_submit.stream, 0);
	send_error(&queue, m.id, "conflict");
	msg_free(&m);
	expect_error(c, 2, "conflict");
}
END_TEST

/* Nothing of the prompt waits here while the queue gives no credit. */
START_TEST(test_prompt_pressure)
{
	struct side *c = client_new();
	struct stream *out = ask_run(c, 9, 5, BIG), *in;
	struct msg m = expect(&queue, MSG_TYPE_job_submit);

	quiet();
	ck_assert_uint_eq(out->off, 0);
	in = stream_in(
	    &queue, (uint32_t)m.u.job_submit.stream, m.u.job_submit.bytes);
	in->slow = true;
	UNTIL(in->len == PEER_WINDOW);
	quiet();
	ck_assert_uint_eq(out->off, PEER_WINDOW);
	alive();
	in->slow = false;
	peer_stream_consumed(queue.p, in->id, in->len);
	UNTIL(in->end == END_OK);
	ck_assert_int_eq(memcmp(in->buf, out->buf, BIG), 0);
	msg_free(&m);
}
END_TEST

START_TEST(test_prompt_client_leaves)
{
	struct side *c = client_new();
	struct stream *in;
	struct msg m;

	ask_run(c, 9, 5, BIG);
	m = expect(&queue, MSG_TYPE_job_submit);
	in = stream_in(
	    &queue, (uint32_t)m.u.job_submit.stream, m.u.job_submit.bytes);
	in->slow = true;
	UNTIL(in->len > 0);
	side_free(c);
	UNTIL(in->end == END_ABORTED);
	alive();
	send_error(&queue, m.id, "aborted");
	msg_free(&m);
	alive();
}
END_TEST

/* The client takes it back, before and behind the first credit. */
START_TEST(test_prompt_client_aborts)
{
	struct side *c = client_new();
	struct stream *in = NULL, *out = ask_run(c, 9, 5, BIG);
	struct msg m = expect(&queue, MSG_TYPE_job_submit);

	if (_i == 1) {
		in = stream_in(&queue, (uint32_t)m.u.job_submit.stream,
		    m.u.job_submit.bytes);
		in->slow = true;
		UNTIL(in->len > 0);
	}
	out->end = END_ABORTED;
	peer_stream_abort(c->p, 5, "changed my mind");
	if (in != NULL)
		UNTIL(in->end == END_ABORTED);
	quiet();
	send_error(&queue, m.id, "aborted");
	msg_free(&m);
	expect_error(c, 9, "aborted");
	alive();
}
END_TEST

START_TEST(test_prompt_queue_aborts)
{
	struct side *c = client_new();
	struct stream *in, *out = ask_run(c, 9, 5, BIG);
	struct msg m = expect(&queue, MSG_TYPE_job_submit);
	uint32_t id = (uint32_t)m.u.job_submit.stream;

	if (_i == 0)
		ck_assert_int_eq(
		    peer_stream_refuse(queue.p, id, "known already"), 0);
	else {
		in = stream_in(&queue, id, m.u.job_submit.bytes);
		in->slow = true;
		UNTIL(in->len > 0);
		peer_stream_abort(queue.p, id, "too much");
	}
	UNTIL(out->end == END_ABORTED);
	ck_assert_uint_eq(c->n, 0);
	accept_run(m.id);
	msg_free(&m);
	expect_id(c, MSG_TYPE_run_accepted);
	alive();
}
END_TEST

/* One that comes a little at a time keeps its place only so long. */
START_TEST(test_prompt_trickles)
{
	struct side *c = client_new();
	struct stream *in, *out = ask_run(c, 9, 5, BIG);
	struct msg m = expect(&queue, MSG_TYPE_job_submit), e;
	int64_t end = clock_boot_ms() + WAIT_MS;

	in = stream_in(
	    &queue, (uint32_t)m.u.job_submit.stream, m.u.job_submit.bytes);
	in->slow = true;
	UNTIL(in->len == PEER_WINDOW);
	while (in->end == END_NONE && clock_boot_ms() < end) {
		peer_stream_consumed(queue.p, in->id, 1000);
		in->off += 1000;
		turn(100);
	}
	e = expect(c, MSG_TYPE_error);
	ck_assert_int_eq(e.id, 9);
	ck_assert_str_eq(e.u.error.error, "timeout");
	ck_assert_str_eq(
	    e.u.error.reason, "the prompt did not come whole in time");
	UNTIL(in->end == END_ABORTED && out->end == END_ABORTED);
	send_error(&queue, m.id, "aborted");
	msg_free(&m);
	msg_free(&e);
	alive();
}
END_TEST

/* --- logs and bundles ------------------------------------------------- */

static struct stream *
ask_logs(struct side *c, int64_t id, uint32_t stream)
{
	struct msg m = { .type = MSG_TYPE_logs, .id = id };

	m.u.logs.run = RUN_A;
	m.u.logs.since = 12;
	m.u.logs.follow = true;
	m.u.logs.stream = stream;
	send_(c, &m);
	return stream_in(c, stream, INT64_MAX);
}

static void
answer_logs(int64_t id, int64_t offset)
{
	struct msg m = { .type = MSG_TYPE_logs_answer, .id = id };

	m.u.logs_answer.offset = offset;
	send_(&runs, &m);
}

START_TEST(test_logs)
{
	struct side *c = client_new();
	struct stream *in = ask_logs(c, 4, 6), *out;
	struct msg m = expect(&runs, MSG_TYPE_logs), a;

	ck_assert_str_eq(m.u.logs.run, RUN_A);
	ck_assert_int_eq(m.u.logs.since, 12);
	ck_assert(m.u.logs.follow);
	out = stream_out(&runs, (uint32_t)m.u.logs.stream, sizes[_i]);
	if (sizes[_i] == 0)
		push(&runs, out);
	/* Before its end: it is held back. */
	answer_logs(m.id, 4711);
	a = expect(c, MSG_TYPE_logs_answer);
	ck_assert_int_eq(a.id, 4);
	ck_assert_int_eq(a.u.logs_answer.offset, 4711);
	UNTIL(in->end == END_OK);
	ck_assert_uint_eq(in->len, out->len);
	ck_assert(in->len == 0 || memcmp(in->buf, out->buf, in->len) == 0);
	msg_free(&m);
	msg_free(&a);
	alive();
}
END_TEST

/* A reader that does not read holds up the source, and nobody else. */
START_TEST(test_logs_slow)
{
	struct side *c = client_new(), *quick = client_new();
	struct stream *in = ask_logs(c, 4, 6), *other, *out, *out2;
	struct msg m = expect(&runs, MSG_TYPE_logs), m2;

	in->slow = true;
	out = stream_out(&runs, (uint32_t)m.u.logs.stream, 2 * BIG);
	UNTIL(in->len == PEER_WINDOW);
	quiet();
	/* All that was sent has arrived: the frontend holds nothing. */
	ck_assert_uint_eq(out->off, PEER_WINDOW);

	other = ask_logs(quick, 4, 6);
	m2 = expect(&runs, MSG_TYPE_logs);
	out2 = stream_out(&runs, (uint32_t)m2.u.logs.stream, BIG);
	UNTIL(other->end == END_OK);
	ck_assert_int_eq(memcmp(other->buf, out2->buf, BIG), 0);

	in->slow = false;
	peer_stream_consumed(c->p, 6, in->len);
	UNTIL(in->end == END_OK);
	ck_assert_int_eq(memcmp(in->buf, out->buf, 2 * BIG), 0);
	answer_logs(m.id, 1);
	expect_id(c, MSG_TYPE_logs_answer);
	msg_free(&m);
	msg_free(&m2);
}
END_TEST

/* One that does not take its bytes from the socket at all. */
START_TEST(test_logs_deaf)
{
	struct side *c = client_new();
	struct stream *out;
	struct msg m;

	ask_logs(c, 4, 6);
	m = expect(&runs, MSG_TYPE_logs);
	out = stream_out(&runs, (uint32_t)m.u.logs.stream, 2 * BIG);
	turn(1);
	/* Its peer is not run any more: its socket fills. */
	side_free(c);
	UNTIL(out->end == END_ABORTED);
	ck_assert_uint_le(out->off, 3 * PEER_WINDOW);
	send_error(&runs, m.id, "aborted");
	msg_free(&m);
	alive();
}
END_TEST

START_TEST(test_logs_client_aborts)
{
	struct side *c = client_new();
	struct stream *in = ask_logs(c, 4, 6), *out;
	struct msg m = expect(&runs, MSG_TYPE_logs);

	out = stream_out(&runs, (uint32_t)m.u.logs.stream, 2 * BIG);
	in->slow = true;
	UNTIL(in->len > 0);
	peer_stream_abort(c->p, 6, "seen enough");
	UNTIL(out->end == END_ABORTED);
	send_error(&runs, m.id, "aborted");
	msg_free(&m);
	expect_error(c, 4, "aborted");
	alive();
}
END_TEST

/* The answer is there, and held back behind bytes that are not wanted. */
START_TEST(test_logs_answered_aborts)
{
	struct side *c = client_new();
	struct stream *in = ask_logs(c, 4, 6);
	struct msg m = expect(&runs, MSG_TYPE_logs), s;

	stream_out(&runs, (uint32_t)m.u.logs.stream, BIG);
	in->slow = true;
	UNTIL(in->len == PEER_WINDOW);
	answer_logs(m.id, 5);
	msg_free(&m);
	quiet();
	ck_assert_uint_eq(c->n, 0);
	peer_stream_abort(c->p, 6, "seen enough");
	expect_error(c, 4, "aborted");
	ask_plain(c, 5, MSG_TYPE_status);
	s = expect(c, MSG_TYPE_status_answer);
	ck_assert_str_eq(s.u.status_answer.daemon, "dispatchd");
	for (size_t i = 0; i < s.u.status_answer.state.n; i++) {
		if (strcmp(s.u.status_answer.state.k[i], "requests") == 0 ||
		    strcmp(s.u.status_answer.state.k[i], "streams") == 0)
			ck_assert_str_eq(s.u.status_answer.state.v[i], "0");
	}
	msg_free(&s);
}
END_TEST

START_TEST(test_logs_no_run)
{
	struct side *c = client_new();
	struct stream *in = ask_logs(c, 4, 6);
	int64_t id = expect_id(&runs, MSG_TYPE_logs);

	send_error(&runs, id, "no_run");
	expect_error(c, 4, "no_run");
	UNTIL(in->end == END_ABORTED);
	alive();
}
END_TEST

static const char sha[] = "0123456789abcdef0123456789abcdef"
                          "0123456789abcdef0123456789abcdef";

/* A client asks for a bundle, and runs begins to send len bytes. */
static struct stream *
ask_bundle(struct side *c, size_t len, int64_t *id, struct stream **out)
{
	struct msg m = { .type = MSG_TYPE_bundle_get, .id = 8 }, got;
	struct stream *in = stream_in(c, 3, INT64_MAX);

	m.u.bundle_get.run = RUN_A;
	m.u.bundle_get.stream = 3;
	send_(c, &m);
	got = expect(&runs, MSG_TYPE_bundle_get);
	*id = got.id;
	*out = stream_out(&runs, (uint32_t)got.u.bundle_get.stream, len);
	msg_free(&got);
	return in;
}

static void
answer_bundle(int64_t id)
{
	struct msg a = { .type = MSG_TYPE_bundle_get_answer, .id = id };

	a.u.bundle_get_answer.bytes = BIG;
	a.u.bundle_get_answer.sha256 = sha;
	send_(&runs, &a);
}

/* Handed out whole, the queue hears of it. */
START_TEST(test_bundle)
{
	struct side *c = client_new();
	struct stream *in, *out;
	struct msg got;
	int64_t id;

	in = ask_bundle(c, BIG, &id, &out);
	answer_bundle(id);
	got = expect(c, MSG_TYPE_bundle_get_answer);
	ck_assert_str_eq(got.u.bundle_get_answer.sha256, sha);
	UNTIL(in->end == END_OK);
	ck_assert_int_eq(memcmp(in->buf, out->buf, BIG), 0);
	msg_free(&got);
	got = expect(&queue, MSG_TYPE_bundle_fetched);
	ck_assert_str_eq(got.u.bundle_fetched.run, RUN_A);
	ck_assert_str_eq(got.u.bundle_fetched.sha256, sha);
	msg_free(&got);
}
END_TEST

/* One that came in part, or was not wanted to its end, nobody has. */
START_TEST(test_bundle_not_whole)
{
	struct side *c = client_new();
	struct stream *in, *out;
	int64_t id;

	in = ask_bundle(c, BIG, &id, &out);
	in->slow = true;
	UNTIL(in->len == PEER_WINDOW);
	switch (_i) {
	case 0: /* the client has enough */
		peer_stream_abort(c->p, 3, "seen enough");
		UNTIL(out->end == END_ABORTED);
		send_error(&runs, id, "aborted");
		expect_error(c, 8, "aborted");
		break;
	case 1: /* and when the answer is there already */
		answer_bundle(id);
		quiet();
		peer_stream_abort(c->p, 3, "seen enough");
		expect_error(c, 8, "aborted");
		break;
	case 2: /* it leaves */
		side_free(c);
		UNTIL(out->end == END_ABORTED);
		answer_bundle(id);
		break;
	default: /* runs cannot read on */
		peer_stream_abort(runs.p, out->id, "bad disk");
		out->end = END_ABORTED;
		send_error(&runs, id, "storage");
		expect_error(c, 8, "storage");
		break;
	}
	alive();
	quiet();
	ck_assert_uint_eq(queue.n, 0);
}
END_TEST

/* --- waits ------------------------------------------------------------ */

static void
tell_event(int64_t id, const char *state, const char *detail)
{
	struct msg m = { .type = MSG_TYPE_run_event, .id = id };

	m.u.run_event.run = RUN_A;
	m.u.run_event.state = state;
	m.u.run_event.detail = detail;
	send_(&queue, &m);
}

static void
expect_event(struct side *c, int64_t id, const char *state)
{
	struct msg m = expect(c, MSG_TYPE_run_event);

	ck_assert_int_eq(m.id, id);
	ck_assert_str_eq(m.u.run_event.run, RUN_A);
	ck_assert_str_eq(m.u.run_event.state, state);
	msg_free(&m);
}

START_TEST(test_wait)
{
	struct side *a = client_new(), *b = client_new(), *late;
	struct msg m = { .type = MSG_TYPE_wait_answer };
	int64_t id;

	ask_plain(a, 5, MSG_TYPE_wait);
	id = expect_id(&queue, MSG_TYPE_wait);
	tell_event(id, "QUEUED", "why");
	expect_event(a, 5, "QUEUED");
	ask_plain(b, 6, MSG_TYPE_wait);
	expect_event(b, 6, "QUEUED");
	tell_event(id, "RUNNING", NULL);
	expect_event(a, 5, "RUNNING");
	expect_event(b, 6, "RUNNING");
	side_free(a);
	side_free(b);
	alive();
	tell_event(id, "EXITED", NULL);
	late = client_new();
	ask_plain(late, 7, MSG_TYPE_wait);
	expect_event(late, 7, "EXITED");
	m.id = id;
	m.u.wait_answer.run = RUN_A;
	m.u.wait_answer.class = "ok";
	m.u.wait_answer.branch = m.u.wait_answer.bundle =
	    m.u.wait_answer.sha256 = "";
	send_(&queue, &m);
	ck_assert_int_eq(expect_id(late, MSG_TYPE_wait_answer), 7);
	/* It asked once; now it asks again. */
	ck_assert_uint_eq(queue.n, 0);
	ask_plain(late, 8, MSG_TYPE_wait);
	send_error(&queue, expect_id(&queue, MSG_TYPE_wait), "no_run");
	expect_error(late, 8, "no_run");
}
END_TEST

/* The n-th run that there could be; of 12 letters. */
static const char *
run_of(int n)
{
	static char run[RUNID_LEN + 1];

	memset(run, 'a', RUNID_LEN);
	run[0] = (char)('a' + n % 26);
	run[1] = (char)('a' + n / 26 % 26);
	return run;
}

static void
ask_wait(struct side *c, int64_t id, int n)
{
	struct msg m = { .type = MSG_TYPE_wait, .id = id };

	m.u.wait.run = run_of(n);
	send_(c, &m);
}

/* Clients of this uid wait for the runs from first on, n of them, and leave. */
static void
wait_and_leave(int first, int n, int64_t *ids)
{
	struct side *c;
	int i, k;

	for (i = 0; i < n; i += k) {
		c = client_new();
		for (k = 0; k < PEER_INFLIGHT_MAX && i + k < n; k++) {
			ask_wait(c, k + 1, first + i + k);
			ids[i + k] = expect_id(&queue, MSG_TYPE_wait);
		}
		side_free(c);
		alive();
	}
}

/* What nobody waits for any more gives way, the oldest first. */
START_TEST(test_waits_abandoned)
{
	int64_t ids[FRONTEND_WATCHES_MAX];
	struct side *c;

	wait_and_leave(0, FRONTEND_WATCHES_MAX, ids);
	c = client_new();
	ask_wait(c, 1, FRONTEND_WATCHES_MAX);
	ck_assert_int_eq(expect_id(&queue, MSG_TYPE_wait_forget), ids[0]);
	expect_id(&queue, MSG_TYPE_wait);
	/* Its run is asked for anew, even before the queue has let go of it. */
	ask_wait(c, 2, 0);
	ck_assert_int_eq(expect_id(&queue, MSG_TYPE_wait_forget), ids[1]);
	ck_assert_int_gt(expect_id(&queue, MSG_TYPE_wait), ids[1]);
	/* An event that crosses is nobody's; then the one answer. */
	tell_event(ids[0], "QUEUED", NULL);
	send_error(&queue, ids[0], "aborted");
	send_error(&queue, ids[1], "no_run");
	/* One that is left stays, and who comes back takes it up. */
	ask_wait(c, 3, 2);
	alive();
	ck_assert_uint_eq(queue.n, 0);
	ck_assert_uint_eq(c->n, 0);
}
END_TEST

/* One uid has a share, in which a run counts once. */
START_TEST(test_waits_of_one_uid)
{
	struct side *c = NULL;
	int i, k = PEER_INFLIGHT_MAX;

	for (i = 0; i < FRONTEND_USER_WATCHES_MAX; i++, k++) {
		if (k == PEER_INFLIGHT_MAX) {
			c = client_new();
			k = 0;
		}
		ask_wait(c, k + 1, i);
		expect_id(&queue, MSG_TYPE_wait);
	}
	c = client_new();
	ask_wait(c, 1, FRONTEND_USER_WATCHES_MAX);
	expect_error(c, 1, "limit");
	ask_wait(c, 2, 0);
	side_free(&clients[1]);
	alive();
	ask_wait(c, 3, FRONTEND_USER_WATCHES_MAX);
	expect_id(&queue, MSG_TYPE_wait);
	ck_assert_uint_eq(c->n, 0);
}
END_TEST

/* --- ids -------------------------------------------------------------- */

static void
tell_row(int64_t id, const char *run)
{
	struct msg m = { .type = MSG_TYPE_ps_row, .id = id };

	m.u.ps_row.run = run;
	m.u.ps_row.state = "QUEUED";
	m.u.ps_row.class = m.u.ps_row.profile = m.u.ps_row.tool =
	    m.u.ps_row.repo = m.u.ps_row.why = "";
	send_(&queue, &m);
}

#define MANY FRONTEND_LOOKS_MAX

/* Each has the same id; they are answered in the other order. */
START_TEST(test_ids)
{
	struct side *c[MANY];
	struct msg m = { .type = MSG_TYPE_ps_answer };
	int64_t id[MANY];
	int i;

	for (i = 0; i < MANY; i++) {
		c[i] = client_new();
		ask_plain(c[i], 1, MSG_TYPE_ps);
		id[i] = expect_id(&queue, MSG_TYPE_ps);
	}
	side_free(c[3]);
	alive();
	for (i = MANY - 1; i >= 0; i--) {
		tell_row(id[i], i % 2 == 0 ? RUN_A : RUN_B);
		m.id = id[i];
		m.u.ps_answer.count = i;
		send_(&queue, &m);
	}
	for (i = 0; i < MANY; i++) {
		struct msg row, end;

		if (i == 3)
			continue;
		row = expect(c[i], MSG_TYPE_ps_row);
		end = expect(c[i], MSG_TYPE_ps_answer);
		ck_assert_int_eq(row.id, 1);
		ck_assert_str_eq(row.u.ps_row.run, i % 2 == 0 ? RUN_A : RUN_B);
		ck_assert_int_eq(end.u.ps_answer.count, i);
		msg_free(&row);
		msg_free(&end);
	}
}
END_TEST

static void
end_ps(int64_t id)
{
	struct msg m = { .type = MSG_TYPE_ps_answer, .id = id };

	send_(&queue, &m);
}

/*
 * What the queue has to answer at a time is bounded, of one client and of all;
 * the others wait their turn, and those that leave take none.
 */
START_TEST(test_looks)
{
	struct side *greedy = client_new(), *c[FRONTEND_LOOKS_MAX];
	int64_t id[FRONTEND_LOOKS_MAX];
	int i;

	for (i = 0; i < PEER_INFLIGHT_MAX; i++)
		ask_plain(
		    greedy, i + 1, i % 2 == 0 ? MSG_TYPE_ps : MSG_TYPE_show);
	id[0] = expect_id(&queue, MSG_TYPE_ps);
	for (i = 1; i < FRONTEND_LOOKS_MAX; i++) {
		c[i] = client_new();
		ask_plain(c[i], 1, MSG_TYPE_ps);
		id[i] = expect_id(&queue, MSG_TYPE_ps);
	}
	c[0] = client_new();
	ask_plain(c[0], 1, MSG_TYPE_ps);
	quiet();
	ck_assert_uint_eq(queue.n, 0);
	end_ps(id[1]);
	ck_assert_int_eq(expect_id(c[1], MSG_TYPE_ps_answer), 1);
	/* Not the greedy one's second: it has one there. */
	id[1] = expect_id(&queue, MSG_TYPE_ps);
	quiet();
	ck_assert_uint_eq(queue.n, 0);
	end_ps(id[0]);
	ck_assert_int_eq(expect_id(greedy, MSG_TYPE_ps_answer), 1);
	send_error(&queue, expect_id(&queue, MSG_TYPE_show), "no_run");
	expect_error(greedy, 2, "no_run");
	id[0] = expect_id(&queue, MSG_TYPE_ps);
	side_free(greedy);
	alive();
	end_ps(id[0]);
	for (i = 2; i < FRONTEND_LOOKS_MAX; i++)
		end_ps(id[i]);
	end_ps(id[1]);
	ck_assert_int_eq(expect_id(c[0], MSG_TYPE_ps_answer), 1);
	ck_assert_uint_eq(queue.n, 0);
}
END_TEST

/* A client that asks and does not read is dropped; the rest goes on. */
START_TEST(test_control_slow)
{
	struct side *c = client_new();
	int fd = dial(), i;
	static const char bytes[] =
	    "\0\0\0\x36{\"type\":\"hello\",\"service\":\"t\",\"major\":1,"
	    "\"version\":\"1\"}"
	    "\0\0\0\x2a{\"type\":\"ps\",\"id\":1,\"all\":false,"
	    "\"after\":0}";
	int64_t id;

	ck_assert_int_eq(
	    write(fd, bytes, sizeof(bytes) - 1), sizeof(bytes) - 1);
	id = expect_id(&queue, MSG_TYPE_ps);
	for (i = 0; i < 20000; i++) {
		tell_row(id, RUN_A);
		if (i % 100 == 0)
			turn(1);
	}
	ask_plain(c, 2, MSG_TYPE_status);
	ck_assert_int_eq(expect_id(c, MSG_TYPE_status_answer), 2);
	close(fd);
}
END_TEST

/* --- bad bytes and limits --------------------------------------------- */

static const struct {
	const char *bytes;
	size_t len;
} garbage[] = {
#define G(s)                     \
	{                        \
		s, sizeof(s) - 1 \
	}
	G("GET / HTTP/1.1\r\n\r\n"),
	G("\0\0\0\2{}"),
	G("\0\0\0\0"),
	G("\x80\0\0\1\0\0\0\1x"),
	G("\xff\xff\xff\xff"),
	G("\0\0\0\x0fnot JSON at all"),
};

START_TEST(test_garbage)
{
	struct pollfd pfd = { dial(), POLLIN, 0 };
	char buf[4096];
	ssize_t n;

	ck_assert_int_eq(write(pfd.fd, garbage[_i].bytes, garbage[_i].len),
	    (ssize_t)garbage[_i].len);
	do {
		ck_assert_int_eq(poll(&pfd, 1, WAIT_MS), 1);
		n = read(pfd.fd, buf, sizeof(buf));
	} while (n > 0);
	close(pfd.fd);
	alive();
}
END_TEST

START_TEST(test_prompt_limits)
{
	struct side *a = client_new(), *b = client_new(), *c = client_new();
	int i;

	for (i = 0; i < FRONTEND_USER_PROMPTS_MAX; i++) {
		ask_run(i % 2 == 0 ? a : b, i + 1, (uint32_t)(i + 1), 10);
		expect_id(&queue, MSG_TYPE_job_submit);
	}
	ask_run(c, 40, 40, 10);
	expect_error(c, 40, "limit");
	/* A log has a place of its own. */
	ask_logs(c, 39, 39);
	expect_id(&runs, MSG_TYPE_logs);
	side_free(a);
	side_free(b);
	alive();
	ask_run(c, 41, 41, 10);
	expect_id(&queue, MSG_TYPE_job_submit);
	/* The stream's id is taken, the other way too. */
	ask_plain(c, 42, MSG_TYPE_ps);
	expect_id(&queue, MSG_TYPE_ps);
}
END_TEST

/* n logs of RUN_A are followed, and each has more than its reader takes. */
static void
follow_many(int n)
{
	struct stream *in;
	struct side *c = NULL;
	struct msg m;
	int i;

	for (i = 0; i < n; i++) {
		if (i % 4 == 0)
			c = client_new();
		in = ask_logs(c, i + 1, (uint32_t)(i + 1));
		in->slow = true;
		m = expect(&runs, MSG_TYPE_logs);
		stream_out(&runs, (uint32_t)m.u.logs.stream, 2 * PEER_WINDOW);
		msg_free(&m);
		UNTIL(in->len == PEER_WINDOW);
	}
}

/* Who reads all the logs that he may can still ask for a run. */
START_TEST(test_logs_share)
{
	struct side *c;

	follow_many(FRONTEND_USER_READS_MAX);
	c = client_new();
	ask_logs(c, 1, 1);
	expect_error(c, 1, "limit");
	ask_run(c, 2, 2, 10);
	expect_id(&queue, MSG_TYPE_job_submit);
}
END_TEST

/* A reader that does not read on keeps its place until another wants it. */
START_TEST(test_logs_idle)
{
	struct side *c;
	struct msg m;
	int64_t end;

	follow_many(FRONTEND_USER_READS_MAX);
	end = clock_boot_ms() + TEST_IDLE_MS;
	while (clock_boot_ms() < end)
		turn(10);
	ck_assert_uint_eq(clients[0].n, 0);
	c = client_new();
	ask_logs(c, 1, 1);
	m = expect(&runs, MSG_TYPE_logs);
	msg_free(&m);
	expect_error(&clients[0], 1, "timeout");
	quiet();
	/* One was enough. */
	ck_assert_uint_eq(clients[0].n, 0);
	UNTIL(runs.stream[0].end == END_ABORTED);
	ck_assert_int_eq(runs.stream[1].end, END_NONE);
}
END_TEST

/* Returns whether it was answered, and not turned away. */
static bool
is_served(struct side *c)
{
	enum msg_type got;

	ask_plain(c, 1, MSG_TYPE_status);
	UNTIL(c->n > 0);
	got = c->inbox[0].type;
	if (got == MSG_TYPE_error) {
		expect_error(c, 1, "too_many");
		UNTIL(c->gone);
	} else
		expect_id(c, MSG_TYPE_status_answer);
	return got != MSG_TYPE_error;
}

/* One too many hears why, and holds nothing. */
START_TEST(test_connections)
{
	struct side *c;
	bool served;
	int i;

	for (i = 0; i < CLIENTS_USER_MAX; i++)
		ck_assert(is_served(client_new()));
	for (i = 0; i < 3; i++) {
		c = client_new();
		ck_assert(!is_served(c));
		side_free(c);
	}
	side_free(&clients[0]);
	/* Its end and the next one's begin may be seen in either order. */
	for (served = false; !served; side_free(c)) {
		c = client_new();
		served = is_served(c);
	}
}
END_TEST

START_TEST(test_invalid)
{
	struct side *c = client_new();
	struct msg m = { .type = MSG_TYPE_wait, .id = 1 };

	m.u.wait.run = "../../../etc";
	send_(c, &m);
	expect_error(c, 1, "invalid");
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_logs;
	m.id = 2;
	m.u.logs.run = "AAAAAAAAAAAA";
	m.u.logs.stream = 1;
	send_(c, &m);
	expect_error(c, 2, "invalid");
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_run_close;
	m.id = 3;
	m.u.run_close.run = RUN_A;
	send_(c, &m);
	expect_error(c, 3, "unknown");
}
END_TEST

/* What the queue tells of the engine stands beside what the parent told. */
START_TEST(test_status)
{
	const char *k[] = { "engine_state" }, *v[] = { "unreachable: no" };
	const struct msg_status_answer *a;
	struct side *c = client_new();
	struct msg m = { .type = MSG_TYPE_state }, got;

	m.u.state.state.k = k;
	m.u.state.state.v = v;
	m.u.state.state.n = 1;
	send_(&queue, &m);
	k[0] = "engine";
	v[0] = "docker, /e.sock";
	send_(&parent, &m);
	quiet();
	ask_plain(c, 1, MSG_TYPE_status);
	got = expect(c, MSG_TYPE_status_answer);
	a = &got.u.status_answer;
	ck_assert_uint_ge(a->state.n, 2);
	ck_assert_str_eq(a->state.k[0], "engine");
	ck_assert_str_eq(a->state.v[0], "docker, /e.sock");
	ck_assert_str_eq(a->state.k[1], "engine_state");
	ck_assert_str_eq(a->state.v[1], "unreachable: no");
	msg_free(&got);
}
END_TEST

START_TEST(test_drain)
{
	struct side *c = client_new();
	struct msg m = { .type = MSG_TYPE_drain };

	ask_plain(c, 1, MSG_TYPE_status);
	expect_id(c, MSG_TYPE_status_answer);
	send_(&parent, &m);
	quiet();
	ask_plain(c, 2, MSG_TYPE_run);
	expect_error(c, 2, "draining");
	ask_plain(c, 3, MSG_TYPE_ps);
	expect_id(&queue, MSG_TYPE_ps);
}
END_TEST

/* What it did not ask ends it: who answers that is broken or taken. */
START_TEST(test_sibling)
{
	struct msg m = { .type = MSG_TYPE_ps_answer, .id = 99 };
	int status;

	if (_i == 0)
		send_(&queue, &m);
	else if (_i == 1)
		answer_logs(5, 1);
	else if (_i == 2)
		tell_event(5, "QUEUED", NULL);
	else
		tell_row(5, RUN_A);
	UNTIL(parent.gone);
	ck_assert_int_eq(waitpid(frontend_pid, &status, 0), frontend_pid);
	frontend_pid = -1;
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), EXIT_INTERNAL);
}
END_TEST

/* --- the program ------------------------------------------------------ */

#define N(a) ((int)(sizeof(a) / sizeof((a)[0])))

static int
tests(void)
{
	Suite *s = suite_create("dispatch_frontend");
	TCase *tc = tcase_create("frontend");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, world_start, world_stop);
	tcase_add_loop_test(tc, test_rights, 0, N(rights));
	tcase_add_test(tc, test_refusals);
	tcase_add_loop_test(tc, test_prompt, 0, N(sizes));
	tcase_add_test(tc, test_no_prompt);
	tcase_add_test(tc, test_prompt_pressure);
	tcase_add_test(tc, test_prompt_client_leaves);
	tcase_add_loop_test(tc, test_prompt_client_aborts, 0, 2);
	tcase_add_loop_test(tc, test_prompt_queue_aborts, 0, 2);
	tcase_add_test(tc, test_prompt_trickles);
	tcase_add_loop_test(tc, test_logs, 0, N(sizes));
	tcase_add_test(tc, test_logs_slow);
	tcase_add_test(tc, test_logs_deaf);
	tcase_add_test(tc, test_logs_client_aborts);
	tcase_add_test(tc, test_logs_answered_aborts);
	tcase_add_test(tc, test_logs_no_run);
	tcase_add_test(tc, test_bundle);
	tcase_add_loop_test(tc, test_bundle_not_whole, 0, 4);
	tcase_add_test(tc, test_wait);
	tcase_add_test(tc, test_waits_abandoned);
	tcase_add_test(tc, test_waits_of_one_uid);
	tcase_add_test(tc, test_ids);
	tcase_add_test(tc, test_looks);
	tcase_add_test(tc, test_control_slow);
	tcase_add_loop_test(tc, test_garbage, 0, N(garbage));
	tcase_add_test(tc, test_prompt_limits);
	tcase_add_test(tc, test_logs_share);
	tcase_add_test(tc, test_logs_idle);
	tcase_add_test(tc, test_connections);
	tcase_add_test(tc, test_invalid);
	tcase_add_test(tc, test_status);
	tcase_add_test(tc, test_drain);
	tcase_add_loop_test(tc, test_sibling, 0, 4);
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
			front_times.prompt_ms = TEST_PROMPT_MS;
			front_times.idle_ms = TEST_IDLE_MS;
			front_times.refusals_ms = TEST_REFUSALS_MS;
			if (proc_parse_self("dispatchd", argc, argv, &self) ==
			    0)
				dispatch_frontend_main(&self);
			return EXIT_CONFIG;
		}
	}
	return tests();
}
