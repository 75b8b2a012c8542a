#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>

#include <check.h>
#include <stdlib.h>

#include "libcommon/peer.c"
#include "libcommon/proc.h"

#define IDS 1024 /* ids of streams under test are below */
#define READ_IDS 64 /* those that a lazy reader looks at */
#define TURNS_MAX 400000 /* of a loop that waits for something */

/* What one end knows of a stream in one direction. */
struct flow {
	uint64_t seed; /* what its bytes are made of */
	size_t len; /* outgoing: bytes that it shall have */
	size_t off; /* written, or received */
	size_t unread; /* incoming: not consumed yet */
	unsigned ends; /* stream_end came so often */
	bool ok;
	char why[160];
	unsigned ready;
	bool open;
};

struct end {
	struct peer *p;
	struct flow in[IDS], out[IDS];
	bool lazy; /* consumes a little now and then */
	bool mute; /* does not expect what is announced */
	unsigned messages;
	unsigned gone;
	enum peer_end end;
	char why[PEER_WHY_MAX];
	void (*on_data)(struct end *e, uint32_t id);
	bool kill_on_end;
};

static struct event_base *base;
static struct end one, two;
static uint64_t rng;

static uint32_t
rnd(uint32_t below)
{
	rng = rng * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(rng >> 33) % below;
}

static uint8_t
byte_at(uint64_t seed, size_t off)
{
	return (uint8_t)((off * 2654435761U + seed * 40503U) >> 13 ^ off);
}

static struct flow *
in_flow(struct end *e, uint32_t id)
{
	ck_assert_uint_lt(id, IDS);
	return &e->in[id];
}

/* --- owners ----------------------------------------------------------- */

static void
got_message(struct peer *p, struct msg *m, int fd, void *arg)
{
	struct end *e = arg;
	struct flow *f;

	e->messages++;
	if (m->type != MSG_TYPE_agent_output || e->mute)
		return;
	f = in_flow(e, (uint32_t)m->u.agent_output.stream);
	memset(f, 0, sizeof(*f));
	f->seed = (uint64_t)m->u.agent_output.offset;
	ck_assert_int_eq(peer_stream_expect(
	                     p, (uint32_t)m->u.agent_output.stream, INT64_MAX),
	    0);
	f->open = true;
}

static void
got_gone(struct peer *p, enum peer_end end, const char *why, void *arg)
{
	struct end *e = arg;

	e->gone++;
	e->end = end;
	strlcpy(e->why, why, sizeof(e->why));
}

static void
got_data(struct peer *p, uint32_t id, const uint8_t *buf, size_t len, void *arg)
{
	struct end *e = arg;
	struct flow *f = in_flow(e, id);
	size_t i;

	ck_assert(f->open);
	ck_assert(len >= 1 && len <= FRAME_DATA_MAX);
	for (i = 0; i < len; i++)
		if (buf[i] != byte_at(f->seed, f->off + i))
			ck_abort_msg("stream %u, byte %zu", id, f->off + i);
	f->off += len;
	f->unread += len;
	ck_assert_uint_le(f->unread, PEER_WINDOW);
	if (e->on_data != NULL)
		e->on_data(e, id);
	else if (!e->lazy) {
		peer_stream_consumed(p, id, f->unread);
		f->unread = 0;
	}
}

static void
got_end(struct peer *p, uint32_t id, bool ok, const char *why, void *arg)
{
	struct end *e = arg;
	struct flow *f = !ok && e->out[id].open ? &e->out[id] : in_flow(e, id);

	ck_assert(ok == (why[0] == '\0'));
	f->open = false;
	f->ends++;
	f->ok = ok;
	strlcpy(f->why, why, sizeof(f->why));
	if (e->kill_on_end)
		peer_free(&e->p);
}

/* Write what there is room for, in pieces of any size. */
static void
pump(struct end *e, uint32_t id)
{
	static uint8_t buf[70000];
	struct flow *f = &e->out[id];
	size_t i, n, room;

	while (f->open && f->off < f->len &&
	    (room = peer_stream_room(e->p, id)) > 0) {
		n = rnd(4) == 0 ? rnd(10) + 1 : rnd(sizeof(buf)) + 1;
		n = n < room ? n : room;
		n = n < f->len - f->off ? n : f->len - f->off;
		for (i = 0; i < n; i++)
			buf[i] = byte_at(f->seed, f->off + i);
		ck_assert_int_eq(peer_stream_write(e->p, id, buf, n), 0);
		f->off += n;
	}
	if (f->open && f->off == f->len) {
		ck_assert_int_eq(peer_stream_finish(e->p, id), 0);
		ck_assert_int_eq(peer_stream_finish(e->p, id), -1);
		ck_assert_uint_eq(peer_stream_room(e->p, id), 0);
		f->open = false;
	}
}

static void
got_ready(struct peer *p, uint32_t id, void *arg)
{
	struct end *e = arg;

	ck_assert(e->out[id].open);
	ck_assert_uint_gt(peer_stream_room(p, id), 0);
	e->out[id].ready++;
	if (e->out[id].len > 0)
		pump(e, id);
}

static const struct peer_ops ops = { .message = got_message,
	.gone = got_gone,
	.data = got_data,
	.stream_end = got_end,
	.stream_ready = got_ready };

static void
setup(void)
{
	hello_ms = PEER_HELLO_MS;
	frame_ms = PEER_FRAME_MS;
	stall_ms = PEER_STALL_MS;
	memset(&one, 0, sizeof(one));
	memset(&two, 0, sizeof(two));
	rng = 1;
	ck_assert_ptr_nonnull(base = event_base_new());
}

static void
teardown(void)
{
	peer_free(&one.p);
	peer_free(&two.p);
	event_base_free(base);
}

/* --- links ------------------------------------------------------------ */

static const struct link {
	enum peer_kind kind;
	enum msg_side me, other;
} links[] = {
	{ PEER_CLIENT, SIDE_FRONTEND, SIDE_CLIENT },
	{ PEER_CLIENT, SIDE_CLIENT, SIDE_FRONTEND },
	{ PEER_CLIENT, SIDE_RUNS, SIDE_AGENT },
	{ PEER_CLIENT, SIDE_AGENT, SIDE_RUNS },
	{ PEER_SIBLING, SIDE_RUNS, SIDE_FRONTEND },
};
#define NLINKS (int)(sizeof(links) / sizeof(links[0]))
#define FRONTEND_CLIENT 0
#define RUNS_AGENT 2
#define AGENT_RUNS 3
#define SIBLINGS 4

static void
new_end(struct end *e, int fd, enum peer_kind kind, enum msg_side me,
    enum msg_side other)
{
	e->p = peer_new(base, fd, kind, me, other, "test/me", "other", &ops, e);
	ck_assert_ptr_nonnull(e->p);
}

static void
pair(int sv[2])
{
	ck_assert_int_eq(socketpair(AF_UNIX,
	                     SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv),
	    0);
}

static void
connect_ends(int i)
{
	int sv[2];

	pair(sv);
	new_end(&one, sv[0], links[i].kind, links[i].me, links[i].other);
	new_end(&two, sv[1], links[i].kind, links[i].other, links[i].me);
}

static void
turn(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
}

static void
turns(int n)
{
	while (n-- > 0)
		turn();
}

static void
nap(int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&ts, NULL);
}

static void
begin(struct end *e, uint32_t id, uint64_t seed, size_t len)
{
	memset(&e->out[id], 0, sizeof(e->out[id]));
	e->out[id].seed = seed;
	e->out[id].len = len;
	e->out[id].open = true;
	ck_assert_int_eq(peer_stream_begin(e->p, id), 0);
	ck_assert_int_eq(peer_stream_begin(e->p, id), -1);
}

static void
expect(struct end *e, uint32_t id, uint64_t seed)
{
	memset(&e->in[id], 0, sizeof(e->in[id]));
	e->in[id].seed = seed;
	e->in[id].open = true;
	ck_assert_int_eq(peer_stream_expect(e->p, id, INT64_MAX), 0);
	ck_assert_int_eq(peer_stream_expect(e->p, id, INT64_MAX), -1);
}

/* A lazy reader takes some of what came, of one stream, now and then. */
static void
read_some(struct end *e)
{
	struct flow *f;
	uint32_t id = rnd(READ_IDS);
	size_t n;

	f = &e->in[id];
	if (!e->lazy || e->p == NULL || f->unread == 0)
		return;
	n = rnd(3) == 0 ? f->unread : rnd((uint32_t)f->unread + 1);
	f->unread -= n;
	peer_stream_consumed(e->p, id, n);
}

/* Turn until that stream has ended. */
static void
until_end(struct end *e, uint32_t id)
{
	int i;

	for (i = 0; i < TURNS_MAX && e->in[id].ends == 0; i++) {
		turn();
		read_some(&one);
		read_some(&two);
	}
	ck_assert_uint_eq(e->in[id].ends, 1);
}

/* Nothing is left of any stream at either end, and both live. */
static void
assert_clean(void)
{
	turns(5);
	ck_assert_msg(one.gone + two.gone == 0, "%s%s", one.why, two.why);
	ck_assert_uint_eq(one.p->nsin + one.p->nsout, 0);
	ck_assert_uint_eq(two.p->nsin + two.p->nsout, 0);
	ck_assert_uint_eq(peer_pending(one.p) + peer_pending(two.p), 0);
}

/* --- the ordinary way ------------------------------------------------- */

static const size_t sizes[] = { 0, 1, 2, 32767, 32768, 32769, PEER_WINDOW - 1,
	PEER_WINDOW, PEER_WINDOW + 1, 5 * 1024 * 1024 };
#define NSIZES (int)(sizeof(sizes) / sizeof(sizes[0]))

/* Every size over every kind of link, read at once and slowly. */
START_TEST(test_bytes)
{
	size_t len = sizes[_i % NSIZES];
	int n = _i / NSIZES;

	connect_ends(n / 2);
	two.lazy = n % 2 == 1;
	begin(&one, 7, 3, len);
	ck_assert_uint_eq(peer_stream_room(one.p, 7), 0);
	ck_assert_int_eq(peer_stream_write(one.p, 7, "x", 1), -1);
	if (len == 0)
		pump(&one, 7);
	turns(3);
	expect(&two, 7, 3);
	until_end(&two, 7);
	ck_assert(two.in[7].ok);
	ck_assert_uint_eq(two.in[7].off, len);
	ck_assert_uint_eq(one.out[7].ends, 0);
	assert_clean();
}
END_TEST

/* A small socket on both sides: frames arrive in many reads. */
START_TEST(test_small_socket)
{
	int size = 4608;

	connect_ends(_i);
	ck_assert_int_eq(setsockopt(peer_fd(one.p), SOL_SOCKET, SO_SNDBUF,
	                     &size, sizeof(size)),
	    0);
	begin(&one, 1, 9, 700000);
	expect(&two, 1, 9);
	two.lazy = true;
	until_end(&two, 1);
	ck_assert(two.in[1].ok);
	assert_clean();
	/* The room for data goes with the last stream. */
	ck_assert_uint_le(two.p->in_cap, 16384);
}
END_TEST

static void
say_something(struct end *e, int i)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = links[i].me == SIDE_RUNS ? MSG_TYPE_agent_release
	                                  : MSG_TYPE_agent_released;
	ck_assert_int_eq(peer_send(e->p, &m), 0);
}

/* Many at once in both directions, with the same ids, among messages. */
START_TEST(test_both_ways)
{
	unsigned i, said = 0;
	uint32_t id;

	connect_ends(_i);
	one.lazy = true;
	for (id = 1; id <= 9; id++) {
		begin(&one, id, id, id * 70000);
		expect(&two, id, id);
		begin(&two, id, id + 20, id * 50001);
		expect(&one, id, id + 20);
	}
	for (i = 0; i < TURNS_MAX; i++) {
		if (rnd(4) == 0 && links[_i].kind == PEER_CLIENT) {
			say_something(&one, _i);
			said++;
		}
		turn();
		read_some(&one);
		if (one.p->nsin + one.p->nsout + two.p->nsin + two.p->nsout ==
		    0)
			break;
	}
	for (id = 1; id <= 9; id++) {
		ck_assert(one.in[id].ok && two.in[id].ok);
		ck_assert_uint_eq(two.in[id].off, id * 70000);
		ck_assert_uint_eq(one.in[id].off, id * 50001);
	}
	assert_clean();
	ck_assert_uint_eq(two.messages, said);
}
END_TEST

/* The receiver chose the id, and grants before the sender begins. */
START_TEST(test_offered)
{
	connect_ends(_i);
	expect(&two, 3, 1);
	turns(3);
	ck_assert_uint_eq(peer_stream_room(one.p, 3), 0);
	begin(&one, 3, 1, 300000);
	ck_assert_uint_eq(one.out[3].ready, 0);
	ck_assert_uint_eq(peer_stream_room(one.p, 3), PEER_WINDOW);
	until_end(&two, 3);
	ck_assert(two.in[3].ok);
	ck_assert_uint_gt(one.out[3].ready, 0);
	assert_clean();
}
END_TEST

/* --- raw ends --------------------------------------------------------- */

#define HELLO \
	"{\"type\":\"hello\",\"service\":\"t\",\"major\":1,\"version\":\"9\"}"
#define EMPTY_HASH \
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define X_HASH /* of "x" */ \
	"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"

static void
put(int fd, const void *buf, size_t len)
{
	ck_assert_int_eq(send(fd, buf, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void
put_json(int fd, const char *json)
{
	uint8_t hdr[FRAME_HEADER_LEN];

	frame_put_control(hdr, strlen(json));
	put(fd, hdr, sizeof(hdr));
	put(fd, json, strlen(json));
}

static void
put_data(int fd, uint32_t id, size_t len)
{
	static uint8_t buf[FRAME_DATA_HEADER_LEN + FRAME_DATA_MAX];

	memset(buf, 'x', sizeof(buf));
	frame_put_data(buf, id, len);
	put(fd, buf, FRAME_DATA_HEADER_LEN + len);
}

/*
 * A script of what a raw end says: a text begins with "{", "d5:100" is data of
 * stream 5, "t" turns the loop.
 */
static void
play(int fd, const char *const *script)
{
	unsigned id, len;

	for (; *script != NULL && one.gone == 0; script++) {
		if (**script == '{')
			put_json(fd, *script);
		else if (sscanf(*script, "d%u:%u", &id, &len) == 2)
			put_data(fd, id, len);
		turns(2);
	}
}

/* The next frame that the raw end gets; its text, or "data". */
static const char *
get(int fd, struct frame *f)
{
	static char buf[FRAME_CTL_MAX + 16];
	const char *why;
	size_t len = 0;
	ssize_t n;

	do {
		while ((n = recv(fd, buf + len,
		            len < FRAME_HEADER_LEN ? FRAME_HEADER_LEN - len
		                                   : 4 +
		                    ((size_t)(uint8_t)buf[1] << 16 |
		                        (size_t)(uint8_t)buf[2] << 8 |
		                        (uint8_t)buf[3]) -
		                    len,
		            0)) == -1 &&
		    len > 0)
			turn();
		if (n <= 0)
			return "";
		len += (size_t)n;
		n = frame_parse((uint8_t *)buf, len, FRAME_CTL_MAX, f, &why);
	} while (n == 0);
	ck_assert_int_gt(n, 0);
	if (f->kind == FRAME_DATA)
		return "data";
	buf[n] = '\0';
	return buf + FRAME_HEADER_LEN;
}

#define WINDOW(id, n) \
	"{\"type\":\"stream.window\",\"stream\":" #id ",\"bytes\":" #n "}"
#define END_OF(id, n, hash)                                             \
	"{\"type\":\"stream.end\",\"stream\":" #id ",\"bytes\":" #n "," \
	"\"sha256\":\"" hash "\"}"
#define ABORT(id, sender)                                \
	"{\"type\":\"stream.abort\",\"stream\":" #id "," \
	"\"sender\":" #sender ",\"reason\":\"r\"}"
#define CLOSED(id) "{\"type\":\"stream.closed\",\"stream\":" #id "}"
#define FULL "d5:32768"

/* Stream 5 (at most 300000 bytes) is expected, 6 was aborted, 8 was begun. */
static const struct {
	const char *name;
	const char *script[16];
	const char *why; /* part of it; NULL: all is well */
} raw_rows[] = {
	{ "nothing", { NULL }, NULL },
	{ "whole", { "d5:1", END_OF(5, 1, X_HASH) }, NULL },
	{ "empty", { END_OF(5, 0, EMPTY_HASH) }, NULL },
	{ "data of nothing", { "d4:1" }, "no open stream" },
	{ "data of one we send", { "d8:1" }, "no open stream" },
	{ "data behind the end", { END_OF(5, 0, EMPTY_HASH), "d5:1" },
	    "no open stream" },
	{ "data behind the abort", { ABORT(5, true), "d5:1" },
	    "no open stream" },
	{ "wrong count", { "d5:2", END_OF(5, 1, X_HASH) }, "another length" },
	{ "wrong hash", { "d5:1", END_OF(5, 1, EMPTY_HASH) }, "another hash" },
	{ "end of nothing", { END_OF(4, 0, EMPTY_HASH) }, "no open stream" },
	{ "end twice", { END_OF(5, 0, EMPTY_HASH), END_OF(5, 0, EMPTY_HASH) },
	    "no open stream" },
	{ "all credit", { FULL, FULL, FULL, FULL, FULL, FULL, FULL, FULL },
	    NULL },
	{ "over its credit",
	    { FULL, FULL, FULL, FULL, FULL, FULL, FULL, FULL, "d5:1" },
	    "credit" },
	{ "dropped", { "d6:32768", "d6:1", ABORT(6, true) }, NULL },
	{ "dropped, ended", { "d6:1", END_OF(6, 1, X_HASH) }, NULL },
	{ "aborted, over its credit",
	    { "d6:32768", "d6:32768", "d6:32768", "d6:32768", "d6:32768",
	        "d6:32768", "d6:32768", "d6:32768", "d6:1" },
	    "credit" },
	{ "data behind both aborts", { ABORT(6, true), "d6:1" },
	    "no open stream" },
	{ "abort of nothing", { ABORT(4, true), ABORT(4, true) }, NULL },
	{ "stop of nothing", { ABORT(4, false), ABORT(4, false) }, NULL },
	{ "stop of ours", { WINDOW(8, 1), ABORT(8, false) }, NULL },
	{ "credit", { WINDOW(8, 262144) }, NULL },
	{ "credit of nothing is an offer", { WINDOW(9, 1), ABORT(9, false) },
	    NULL },
	{ "too much credit", { WINDOW(8, 262145) }, "more credit" },
	{ "too much credit, in two", { WINDOW(8, 262144), WINDOW(8, 1) },
	    "more credit" },
	{ "too much credit of nothing", { WINDOW(9, 262145) }, "more credit" },
	{ "closed, open", { CLOSED(8) }, "has not ended" },
	{ "closed, nothing", { CLOSED(4) }, "has not ended" },
	{ "closed, received", { CLOSED(5) }, "has not ended" },
	{ "id 0", { "{\"type\":\"stream.closed\",\"stream\":0}" }, "stream" },
	{ "id 0 of data", { "d0:1" }, "no open stream" },
	{ "id of 32 bits", { "d4294967295:1" }, "no open stream" },
};
#define NRAW (int)(sizeof(raw_rows) / sizeof(raw_rows[0]))

static int
raw_link(int i)
{
	int sv[2];

	pair(sv);
	new_end(&one, sv[0], links[i].kind, links[i].me, links[i].other);
	if (links[i].kind == PEER_CLIENT)
		put_json(sv[1], HELLO);
	turns(3);
	return sv[1];
}

static void
raw_streams(void)
{
	one.lazy = true;
	one.in[5].open = one.in[6].open = true;
	ck_assert_int_eq(peer_stream_expect(one.p, 5, 300000), 0);
	ck_assert_int_eq(peer_stream_expect(one.p, 6, 300000), 0);
	peer_stream_abort(one.p, 6, "unwanted");
	begin(&one, 8, 0, 0);
}

static void
no_check(struct end *e, uint32_t id)
{
}

/* The bytes are 'x' here: what they are is not looked at. */
static void
raw_data(struct peer *p, uint32_t id, const uint8_t *buf, size_t len, void *arg)
{
	ck_assert_uint_eq(id, 5);
}

static const struct peer_ops raw_ops = { .message = got_message,
	.gone = got_gone,
	.data = raw_data,
	.stream_end = got_end,
	.stream_ready = got_ready };

START_TEST(test_raw_client)
{
	int fd = raw_link(FRONTEND_CLIENT);

	one.p->ops = &raw_ops;
	one.on_data = no_check;
	raw_streams();
	play(fd, raw_rows[_i].script);
	turns(3);
	if (raw_rows[_i].why == NULL) {
		ck_assert_msg(
		    one.gone == 0, "%s: %s", raw_rows[_i].name, one.why);
	} else {
		ck_assert_msg(one.gone == 1, "%s", raw_rows[_i].name);
		ck_assert_int_eq(one.end, PEER_END_PROTOCOL);
		ck_assert_msg(strstr(one.why, raw_rows[_i].why) != NULL,
		    "%s: %s", raw_rows[_i].name, one.why);
		/* Nothing of streams works, or harms, from here on. */
		ck_assert_int_eq(peer_stream_begin(one.p, 20), -1);
		ck_assert_int_eq(peer_stream_expect(one.p, 20, 1), -1);
		ck_assert_int_eq(peer_stream_refuse(one.p, 20, "r"), -1);
		ck_assert_int_eq(peer_stream_finish(one.p, 8), -1);
		ck_assert_uint_eq(peer_stream_room(one.p, 8), 0);
		peer_stream_abort(one.p, 8, "r");
		peer_stream_consumed(one.p, 5, 1);
	}
	close(fd);
}
END_TEST

/* The same from a sibling ends the process. */
START_TEST(test_raw_sibling)
{
	char text[1024] = "";
	int fd = raw_link(SIBLINGS), err[2], status;
	pid_t pid;

	ck_assert_int_eq(pipe(err), 0);
	fflush(NULL);
	if ((pid = fork()) == 0) {
		dup2(err[1], STDERR_FILENO);
		event_reinit(base);
		one.p->ops = &raw_ops;
		raw_streams();
		play(fd, raw_rows[_i].script);
		_exit(one.gone == 0 ? 0 : 99);
	}
	close(err[1]);
	ck_assert_int_ge(read(err[0], text, sizeof(text) - 1), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_msg(WEXITSTATUS(status) ==
	        (raw_rows[_i].why == NULL ? 0 : EXIT_INTERNAL),
	    "%s: %d %s", raw_rows[_i].name, WEXITSTATUS(status), text);
	if (raw_rows[_i].why != NULL)
		ck_assert_ptr_nonnull(strstr(text, "bad bytes"));
	close(err[0]);
	close(fd);
}
END_TEST

/* More than its announcement allows, though within its credit. */
START_TEST(test_over_max)
{
	int fd = raw_link(FRONTEND_CLIENT);

	one.p->ops = &raw_ops;
	ck_assert_int_eq(peer_stream_expect(one.p, 5, 1000), 0);
	put_data(fd, 5, 1000);
	turns(3);
	ck_assert_uint_eq(one.gone, 0);
	put_data(fd, 5, 1);
	turns(3);
	ck_assert_uint_eq(one.gone, 1);
	ck_assert_ptr_nonnull(strstr(one.why, "may have"));
	close(fd);
}
END_TEST

/* On a link whose owner has no streams their messages are bad bytes. */
START_TEST(test_no_streams)
{
	static const struct peer_ops none = { .message = got_message,
		.gone = got_gone };
	static const char *const said[] = { WINDOW(1, 1), ABORT(1, true),
		ABORT(1, false), CLOSED(1), END_OF(1, 0, EMPTY_HASH) };
	int fd = raw_link(FRONTEND_CLIENT);

	one.p->ops = &none;
	ck_assert_int_eq(peer_stream_begin(one.p, 1), -1);
	ck_assert_int_eq(peer_stream_expect(one.p, 1, 1), -1);
	ck_assert_int_eq(peer_stream_refuse(one.p, 1, "r"), -1);
	peer_stream_abort(one.p, 1, "r");
	put_json(fd, said[_i]);
	turns(3);
	ck_assert_uint_eq(one.gone, 1);
	ck_assert_uint_eq(one.messages, 0);
	close(fd);
}
END_TEST

/* --- limits ----------------------------------------------------------- */

START_TEST(test_too_many)
{
	uint32_t id,
	    max = links[_i].kind == PEER_CLIENT ? PEER_CLIENT_STREAMS_MAX
	                                        : PEER_SIBLING_STREAMS_MAX;

	connect_ends(_i);
	for (id = 1; id <= max; id++) {
		ck_assert_int_eq(peer_stream_begin(one.p, id), 0);
		one.out[id].open = true;
		ck_assert_int_eq(peer_stream_expect(one.p, id, 100), 0);
	}
	ck_assert_int_eq(peer_stream_begin(one.p, 1000), -1);
	ck_assert_int_eq(peer_stream_expect(one.p, 1000, 100), -1);
	ck_assert_int_eq(peer_stream_refuse(one.p, 1000, "r"), -1);
	ck_assert_int_eq(peer_stream_begin(one.p, 0), -1);
	ck_assert_int_eq(peer_stream_begin(one.p, 0x80000000U), -1);
	ck_assert_int_eq(peer_stream_expect(one.p, 0x80000000U, 1), -1);
	/* What was offered to the other end fills its table likewise. */
	turns(5);
	ck_assert_uint_eq(two.p->nsout, max);
	ck_assert_int_eq(peer_stream_begin(two.p, 1000), -1);
	ck_assert_int_eq(peer_stream_begin(two.p, 1), 0);
	two.out[1].open = true;
	peer_stream_abort(one.p, 1, "r");
	peer_stream_abort(one.p, 1, "r");
	turns(5);
	ck_assert_int_eq(peer_stream_begin(one.p, 1000), 0);
	ck_assert_int_eq(peer_stream_expect(one.p, 1000, 100), 0);
	ck_assert_uint_eq(one.gone + two.gone, 0);
}
END_TEST

/* Offers of a client beyond the limit end it. */
START_TEST(test_too_many_offers)
{
	int fd = raw_link(FRONTEND_CLIENT), i;
	char json[128];

	for (i = 1; i <= PEER_CLIENT_STREAMS_MAX + 1; i++) {
		ck_assert_uint_eq(one.gone, 0);
		snprintf(json, sizeof(json),
		    "{\"type\":\"stream.window\",\"stream\":%d,\"bytes\":1}",
		    i);
		put_json(fd, json);
		turns(2);
	}
	ck_assert_uint_eq(one.gone, 1);
	ck_assert_ptr_nonnull(strstr(one.why, "too many streams"));
	close(fd);
}
END_TEST

/* A receiver that grants what is still queued here is found out. */
START_TEST(test_queue_is_bounded)
{
	static uint8_t buf[PEER_WINDOW];
	int fd = raw_link(FRONTEND_CLIENT);

	begin(&one, 8, 0, 0);
	put_json(fd, WINDOW(8, 262144));
	turns(3);
	ck_assert_uint_eq(peer_stream_room(one.p, 8), PEER_WINDOW);
	ck_assert_int_eq(peer_stream_write(one.p, 8, buf, sizeof(buf) + 1), -1);
	ck_assert_int_eq(peer_stream_write(one.p, 8, buf, sizeof(buf)), 0);
	ck_assert_int_eq(peer_stream_write(one.p, 8, buf, 0), 0);
	ck_assert_int_eq(peer_stream_write(one.p, 8, buf, 1), -1);
	ck_assert_uint_eq(peer_pending(one.p), PEER_WINDOW);
	put_json(fd, WINDOW(8, 262144));
	peer_read(one.p);
	ck_assert(one.p->ending);
	turns(3);
	ck_assert_ptr_nonnull(strstr(one.why, "more credit"));
	close(fd);
}
END_TEST

/*
 * A message overtakes what streams have queued, and streams take turns. What
 * is in the socket and what stands before it is small.
 */
START_TEST(test_turns)
{
	static uint8_t buf[PEER_WINDOW];
	int fd = raw_link(RUNS_AGENT), size = 4608, count[4] = { 0 }, i, lo, hi;
	size_t before = 0, all = 0;
	bool seen = false;
	struct frame f;
	struct msg m;
	const char *s;

	setsockopt(peer_fd(one.p), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	put_json(fd, WINDOW(1, 262144));
	put_json(fd, WINDOW(2, 262144));
	put_json(fd, WINDOW(3, 262144));
	turns(3);
	for (i = 1; i <= 3; i++) {
		ck_assert_int_eq(peer_stream_begin(one.p, (uint32_t)i), 0);
		one.out[i].open = true;
		ck_assert_int_eq(
		    peer_stream_write(one.p, (uint32_t)i, buf, sizeof(buf)), 0);
	}
	turns(3);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_agent_release;
	ck_assert_int_eq(peer_send(one.p, &m), 0);
	while (all < 3 * sizeof(buf)) {
		s = get(fd, &f);
		turn();
		if (strcmp(s, "data") == 0) {
			count[f.stream]++;
			all += f.len;
			before += seen ? 0 : f.len;
			lo = hi = count[1];
			for (i = 2; i <= 3; i++) {
				lo = count[i] < lo ? count[i] : lo;
				hi = count[i] > hi ? count[i] : hi;
			}
			ck_assert_int_le(hi - lo, 1);
		} else if (strstr(s, "\"release\"") != NULL)
			seen = true;
	}
	ck_assert(seen);
	ck_assert_uint_le(before, 5 * FRAME_DATA_MAX);
	close(fd);
}
END_TEST

/* --- ends before the end ---------------------------------------------- */

enum phase {
	BEGUN, /* announced, not expected */
	EXPECTED, /* its credit is on its way */
	CREDIT, /* and has come */
	MIDDLE, /* bytes have come, others are queued */
	FINISHED, /* the end is queued */
	PHASES
};

static void
bring_to(enum phase phase)
{
	static uint8_t buf[100000];
	size_t i;

	for (i = 0; i < sizeof(buf); i++)
		buf[i] = byte_at(4, i);
	begin(&one, 2, 4, 0);
	one.out[2].off = 1; /* not for pump to finish */
	if (phase >= EXPECTED)
		expect(&two, 2, 4);
	if (phase >= CREDIT)
		turns(4);
	if (phase >= MIDDLE) {
		ck_assert_int_eq(
		    peer_stream_write(one.p, 2, buf, sizeof(buf)), 0);
		peer_write(one.p);
		peer_read(two.p);
	}
	if (phase == FINISHED)
		ck_assert_int_eq(peer_stream_finish(one.p, 2), 0);
}

/* The id serves the next stream, at once or later. */
static void
use_again(bool at_once)
{
	if (!at_once)
		assert_clean();
	begin(&one, 2, 8, 400000);
	turns(5);
	if (two.in[2].open)
		return; /* the owner has not heard of the end yet */
	expect(&two, 2, 8);
	until_end(&two, 2);
	ck_assert_msg(two.in[2].ok, "%s", two.in[2].why);
	ck_assert_uint_eq(two.in[2].off, 400000);
	assert_clean();
}

START_TEST(test_sender_aborts)
{
	enum phase phase = (enum phase)(_i / 2 % PHASES);

	connect_ends(_i / 2 / PHASES);
	bring_to(phase);
	peer_stream_abort(one.p, 2, "changed my mind");
	one.out[2].open = false;
	ck_assert_int_eq(peer_stream_write(one.p, 2, "x", 1), -1);
	ck_assert_int_eq(peer_stream_finish(one.p, 2), -1);
	if (_i % 2 == 0)
		turns(5);
	else
		begin(&one, 2, 8, 400000);
	turns(5);
	ck_assert_uint_eq(two.in[2].ends, 1);
	ck_assert_uint_eq(one.out[2].ends, 0);
	ck_assert(two.in[2].ok == (phase == FINISHED));
	if (phase != FINISHED)
		ck_assert_str_eq(two.in[2].why, "changed my mind");
	if (_i % 2 == 0) {
		use_again(false);
		return;
	}
	expect(&two, 2, 8);
	until_end(&two, 2);
	ck_assert(two.in[2].ok);
	assert_clean();
}
END_TEST

START_TEST(test_receiver_aborts)
{
	enum phase phase = (enum phase)(_i % PHASES);

	connect_ends(_i / PHASES);
	bring_to(phase);
	if (phase == BEGUN) {
		peer_stream_abort(two.p, 2, "not open: no effect");
		ck_assert_int_eq(peer_stream_refuse(two.p, 2, "no more"), 0);
		ck_assert_int_eq(peer_stream_refuse(two.p, 2, "no more"), 0);
	} else
		peer_stream_abort(two.p, 2, "no more");
	two.in[2].open = false;
	ck_assert_int_eq(peer_stream_expect(two.p, 2, 1), -1);
	turns(5);
	ck_assert_uint_eq(two.in[2].ends, 0);
	ck_assert_uint_eq(one.out[2].ends, 1);
	ck_assert_str_eq(one.out[2].why, "no more");
	ck_assert(!one.out[2].open);
	use_again(false);
}
END_TEST

START_TEST(test_both_abort)
{
	connect_ends(_i / PHASES);
	bring_to((enum phase)(_i % PHASES));
	ck_assert_int_eq(peer_stream_refuse(two.p, 2, "r"), 0);
	peer_stream_abort(one.p, 2, "s");
	one.out[2].open = two.in[2].open = false;
	turns(5);
	ck_assert_uint_eq(two.in[2].ends, 0);
	use_again(false);
}
END_TEST

/* Whatever the reason is, the other side learns of the abort. */
START_TEST(test_reasons)
{
	static const char *const reasons[] = { "", "\xff\xfe", "x" };
	char longer[400];

	connect_ends(FRONTEND_CLIENT);
	memset(longer, 'r', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	begin(&one, 2, 0, 1);
	turns(3);
	peer_stream_abort(one.p, 2, _i < 3 ? reasons[_i] : longer);
	turns(5);
	ck_assert_uint_eq(two.in[2].ends + one.out[2].ends, 1);
	one.out[2].open = false;
	assert_clean();
}
END_TEST

/* The link ends with streams open in both directions. */
START_TEST(test_link_ends)
{
	connect_ends(_i % NLINKS);
	bring_to(MIDDLE);
	begin(&two, 3, 1, 100000);
	expect(&one, 3, 1);
	if (_i / NLINKS == 0)
		turns(3);
	peer_free(_i / NLINKS % 2 == 0 ? &one.p : &two.p);
	turns(10);
	ck_assert_uint_eq(one.gone + two.gone, 1);
	ck_assert_uint_eq(one.out[2].ends + two.in[2].ends, 0);
}
END_TEST

/* The other side stops reading: what waits is dropped, later calls fail. */
START_TEST(test_nobody_reads)
{
	static uint8_t buf[PEER_WINDOW];
	int fd = raw_link(FRONTEND_CLIENT);

	begin(&one, 8, 0, 0);
	put_json(fd, WINDOW(8, 262144));
	turns(3);
	ck_assert_int_eq(peer_stream_write(one.p, 8, buf, sizeof(buf)), 0);
	ck_assert_int_eq(peer_stream_finish(one.p, 8), 0);
	put_json(fd, WINDOW(8, 1));
	shutdown(fd, SHUT_RD);
	peer_flush(one.p);
	ck_assert_uint_eq(peer_pending(one.p), 0);
	turns(5);
	ck_assert_uint_eq(one.gone, 1);
	ck_assert_int_eq(one.end, PEER_END_EOF);
	close(fd);
}
END_TEST

/* --- ids used again and again ----------------------------------------- */

static void
announce(struct end *e, uint32_t id, uint64_t seed)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_agent_output;
	m.u.agent_output.stream = id;
	m.u.agent_output.offset = (int64_t)seed;
	ck_assert_int_eq(peer_send(e->p, &m), 0);
}

/* Was finished, but its end has not left: the id is not free yet. */
static bool
unsent(uint32_t id)
{
	const struct peer_stream *s = peer_stream_find(&one.p->sout, id);

	return !one.out[id].open && s != NULL && s->state == STREAM_OPEN;
}

/* Streams of a few ids, aborted by either side at any time, or whole. */
START_TEST(test_storm)
{
	unsigned i, whole = 0;
	uint32_t id;

	rng = (uint64_t)_i + 1;
	connect_ends(AGENT_RUNS);
	two.lazy = true;
	for (i = 0; i < 2000; i++) {
		id = rnd(5) + 1;
		if (unsent(id)) {
			turn();
		} else if (!one.out[id].open) {
			begin(&one, id, rnd(1000), rnd(3) * rnd(90000));
			announce(&one, id, one.out[id].seed);
			if (one.out[id].len == 0)
				pump(&one, id);
		} else if (rnd(12) == 0) {
			peer_stream_abort(one.p, id, "s");
			one.out[id].open = false;
		} else if (rnd(12) == 0 && two.in[id].open) {
			peer_stream_abort(two.p, id, "r");
			two.in[id].open = false;
			two.in[id].unread = 0;
		}
		if (rnd(3) > 0)
			turn();
		read_some(&two);
		if (two.in[id].ends > 0 && two.in[id].ok) {
			two.in[id].ends = 0;
			whole++;
		}
	}
	for (id = 1; id <= 5; id++)
		peer_stream_abort(one.p, id, "s");
	assert_clean();
	ck_assert_uint_gt(whole, 30);
}
END_TEST

/* --- what owners do within callbacks ---------------------------------- */

static void
kill_me(struct end *e, uint32_t id)
{
	peer_free(&e->p);
}

static void
abort_it(struct end *e, uint32_t id)
{
	peer_stream_abort(e->p, id, "enough");
	peer_stream_consumed(e->p, id, 1);
	e->in[id].open = false;
}

START_TEST(test_within_callbacks)
{
	connect_ends(_i % NLINKS);
	if (_i / NLINKS == 0)
		two.on_data = kill_me;
	else if (_i / NLINKS == 1)
		two.kill_on_end = true;
	else
		two.on_data = abort_it;
	begin(&one, 2, 4, 100000);
	expect(&two, 2, 4);
	turns(20);
	if (_i / NLINKS < 2) {
		ck_assert_ptr_null(two.p);
		ck_assert_uint_eq(one.gone, 1);
		return;
	}
	ck_assert_uint_eq(two.in[2].off, 32768);
	assert_clean();
}
END_TEST

/* Consuming more than came is our bug, and gives no credit. */
START_TEST(test_consumed_too_much)
{
	connect_ends(FRONTEND_CLIENT);
	begin(&one, 2, 4, 0);
	one.out[2].off = 1;
	expect(&two, 2, 4);
	turns(4);
	peer_stream_consumed(two.p, 2, SIZE_MAX);
	peer_stream_consumed(two.p, 3, 1);
	turns(4);
	ck_assert_uint_eq(peer_stream_room(one.p, 2), PEER_WINDOW);
	ck_assert_uint_eq(one.gone, 0);
}
END_TEST

/* --- time ------------------------------------------------------------- */

static void
run_ms(int64_t ms)
{
	int64_t start = clock_boot_ms();

	while (one.gone == 0 && clock_boot_ms() - start < ms) {
		turn();
		nap(1);
	}
}

START_TEST(test_slow_frame)
{
	uint8_t hdr[FRAME_DATA_HEADER_LEN];
	int fd = raw_link(FRONTEND_CLIENT);

	frame_ms = 60;
	one.p->ops = &raw_ops;
	ck_assert_int_eq(peer_stream_expect(one.p, 5, 1000), 0);
	frame_put_data(hdr, 5, 100);
	put(fd, hdr, sizeof(hdr));
	run_ms(3000);
	ck_assert_uint_eq(one.gone, 1);
	ck_assert_int_eq(one.end, PEER_END_TIMEOUT);
	close(fd);
}
END_TEST

/* Bytes that are not read are a stall; a stream without credit is none. */
START_TEST(test_stall)
{
	static uint8_t buf[PEER_WINDOW];
	int fd, i;

	stall_ms = 60;
	fd = raw_link(FRONTEND_CLIENT);
	begin(&one, 7, 0, 0);
	for (i = 8; i < 12; i++)
		begin(&one, (uint32_t)i, 0, 0);
	run_ms(200);
	ck_assert_uint_eq(one.gone, 0);
	put_json(fd, WINDOW(8, 262144));
	put_json(fd, WINDOW(9, 262144));
	turns(3);
	for (i = 8; i < 10; i++)
		ck_assert_int_eq(
		    peer_stream_write(one.p, (uint32_t)i, buf, sizeof(buf)), 0);
	run_ms(3000);
	ck_assert_uint_eq(one.gone, 1);
	ck_assert_int_eq(one.end, PEER_END_SLOW);
	close(fd);
}
END_TEST

static void
add_ordinary(TCase *t)
{
	tcase_add_loop_test(t, test_bytes, 0, NSIZES * NLINKS * 2);
	tcase_add_loop_test(t, test_small_socket, 0, NLINKS);
	tcase_add_loop_test(t, test_both_ways, RUNS_AGENT, NLINKS);
	tcase_add_loop_test(t, test_offered, 0, NLINKS);
	tcase_add_loop_test(t, test_too_many, 0, NLINKS);
	tcase_add_test(t, test_too_many_offers);
	tcase_add_test(t, test_queue_is_bounded);
	tcase_add_test(t, test_turns);
	tcase_add_loop_test(t, test_storm, 0, 5);
	tcase_add_loop_test(t, test_within_callbacks, 0, NLINKS * 3);
	tcase_add_test(t, test_consumed_too_much);
	tcase_add_test(t, test_slow_frame);
	tcase_add_test(t, test_stall);
}

static void
add_ends(TCase *t)
{
	tcase_add_loop_test(t, test_raw_client, 0, NRAW);
	tcase_add_loop_test(t, test_raw_sibling, 0, NRAW);
	tcase_add_test(t, test_over_max);
	tcase_add_loop_test(t, test_no_streams, 0, 5);
	tcase_add_loop_test(t, test_sender_aborts, 0, PHASES * NLINKS * 2);
	tcase_add_loop_test(t, test_receiver_aborts, 0, PHASES * NLINKS);
	tcase_add_loop_test(t, test_both_abort, 0, PHASES * NLINKS);
	tcase_add_loop_test(t, test_reasons, 0, 4);
	tcase_add_loop_test(t, test_link_ends, 0, NLINKS * 4);
	tcase_add_test(t, test_nobody_reads);
}

int
main(void)
{
	Suite *s = suite_create("peer_stream");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	add_ordinary(t);
	add_ends(t);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
