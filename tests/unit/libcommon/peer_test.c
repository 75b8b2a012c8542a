#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>

#include "libcommon/peer.c"
#include "libcommon/proc.h"
#include "libcommon/version.h"

#define MESSAGES_MAX 4096 /* kept of what one end was given */
#define TURNS_MAX 200000 /* of a loop that waits for something */

/* One end of a link under test, and what its owner was told. */
struct end {
	struct peer *p;
	size_t n; /* messages */
	enum msg_type type[MESSAGES_MAX];
	int64_t id[MESSAGES_MAX];
	char text[64]; /* of the last: error code, host, name */
	int fd[64]; /* descriptors, in order */
	size_t nfds;
	unsigned gone; /* times */
	enum peer_end end;
	char why[PEER_WHY_MAX];
	/* What the owner does within its callbacks. */
	void (*on_message)(struct end *e, const struct msg *m);
	struct peer **kill_on_message;
	bool kill_on_gone;
};

static struct event_base *base;
static struct end one, two;

static void
got_message(struct peer *p, struct msg *m, int fd, void *arg)
{
	struct end *e = arg;

	ck_assert_uint_eq(e->gone, 0);
	ck_assert_uint_lt(e->n, MESSAGES_MAX);
	e->type[e->n] = m->type;
	e->id[e->n++] = m->id;
	if (m->type == MSG_TYPE_error)
		strlcpy(e->text, m->u.error.error, sizeof(e->text));
	if (m->type == MSG_TYPE_resolve)
		strlcpy(e->text, m->u.resolve.host, sizeof(e->text));
	if (fd != -1)
		e->fd[e->nfds++] = fd;
	if (e->on_message != NULL)
		e->on_message(e, m);
	if (e->kill_on_message != NULL)
		peer_free(e->kill_on_message);
}

static void
got_gone(struct peer *p, enum peer_end end, const char *why, void *arg)
{
	struct end *e = arg;

	e->gone++;
	e->end = end;
	strlcpy(e->why, why, sizeof(e->why));
	if (e->kill_on_gone)
		peer_free(&e->p);
}

static const struct peer_ops ops = { .message = got_message, .gone = got_gone };

static void
setup(void)
{
	hello_ms = PEER_HELLO_MS;
	frame_ms = PEER_FRAME_MS;
	stall_ms = PEER_STALL_MS;
	memset(&one, 0, sizeof(one));
	memset(&two, 0, sizeof(two));
	ck_assert_ptr_nonnull(base = event_base_new());
}

static void
teardown(void)
{
	size_t i;

	peer_free(&one.p);
	peer_free(&two.p);
	peer_free(&two.p);
	for (i = 0; i < one.nfds; i++)
		close(one.fd[i]);
	for (i = 0; i < two.nfds; i++)
		close(two.fd[i]);
	event_base_free(base);
}

static void
pair(int sv[2])
{
	ck_assert_int_eq(socketpair(AF_UNIX,
	                     SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv),
	    0);
}

static void
new_end(struct end *e, int fd, enum peer_kind kind, enum msg_side me,
    enum msg_side other, const char *my_name, const char *other_name)
{
	e->p =
	    peer_new(base, fd, kind, me, other, my_name, other_name, &ops, e);
	ck_assert_ptr_nonnull(e->p);
}

/* one is the daemon's end of a client link; returns the client's socket. */
static int
frontend(void)
{
	int sv[2];

	pair(sv);
	new_end(&one, sv[0], PEER_CLIENT, SIDE_FRONTEND, SIDE_CLIENT,
	    "egressd/frontend", "client");
	return sv[1];
}

/* one is the proxy's end of its link to the parent. */
static int
proxy(void)
{
	int sv[2];

	pair(sv);
	new_end(&one, sv[0], PEER_SIBLING, SIDE_PROXY, SIDE_PARENT,
	    "egressd/proxy", "egressd/parent");
	return sv[1];
}

/* As many turns of the loop as there is something to do at once. */
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

/* Turn the loop until *n reaches want. */
static void
until(const size_t *n, size_t want)
{
	int i;

	for (i = 0; i < TURNS_MAX && *n < want; i++)
		turn();
	ck_assert_uint_eq(*n, want);
}

static void
until_gone(const struct end *e)
{
	int i;

	for (i = 0; i < TURNS_MAX && e->gone == 0; i++)
		turn();
	turns(3);
	ck_assert_uint_eq(e->gone, 1);
}

/* The frame of a JSON text, behind what is in buf already. */
static size_t
put_frame(uint8_t *buf, size_t at, const char *json)
{
	frame_put_control(buf + at, strlen(json));
	memcpy(buf + at + FRAME_HEADER_LEN, json, strlen(json));
	return at + FRAME_HEADER_LEN + strlen(json);
}

static void
put(int fd, const void *buf, size_t len)
{
	ck_assert_int_eq(send(fd, buf, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void
put_json(int fd, const char *json)
{
	uint8_t buf[8192];

	put(fd, buf, put_frame(buf, 0, json));
}

/* The next frame that the raw end of a link was sent; "" when there is none. */
static const char *
get_json(int fd)
{
	static char buf[FRAME_CTL_MAX + 1];
	uint8_t hdr[FRAME_HEADER_LEN];
	size_t len;

	if (recv(fd, hdr, sizeof(hdr), MSG_WAITALL) != FRAME_HEADER_LEN)
		return "";
	len = (size_t)hdr[2] << 8 | hdr[3];
	ck_assert_int_eq(recv(fd, buf, len, MSG_WAITALL), (ssize_t)len);
	buf[len] = '\0';
	return buf;
}

#define HELLO \
	"{\"type\":\"hello\",\"service\":\"t\",\"major\":1,\"version\":\"9\"}"
#define STATUS(id) "{\"type\":\"status\",\"id\":" #id "}"
#define OUR_HELLO                                                  \
	"{\"type\":\"hello\",\"service\":\"egressd\",\"major\":1," \
	"\"version\":\"" BULKHEAD_VERSION "\"}"
#define RESOLVE "{\"type\":\"resolve\",\"id\":7,\"host\":\"a.test\"}"

static int
send_simple(struct peer *p, enum msg_type type, int64_t id)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	m.id = id;
	return peer_send(p, &m);
}

static int
send_stats(struct peer *p, int64_t id)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_status_answer;
	m.id = id;
	m.u.status_answer.daemon = "egressd";
	m.u.status_answer.version = "1";
	m.u.status_answer.pid = 1;
	return peer_send(p, &m);
}

static void
answer_status(struct end *e, const struct msg *m)
{
	ck_assert_int_eq(m->type, MSG_TYPE_status);
	ck_assert_int_eq(send_stats(e->p, m->id), 0);
}

/* --- the ordinary way ------------------------------------------------- */

START_TEST(test_client_link)
{
	int sv[2], i;

	pair(sv);
	new_end(&one, sv[0], PEER_CLIENT, SIDE_FRONTEND, SIDE_CLIENT,
	    "egressd/frontend", "client");
	new_end(&two, sv[1], PEER_CLIENT, SIDE_CLIENT, SIDE_FRONTEND,
	    "agent-cli", "egressd");
	one.on_message = answer_status;
	for (i = 1; i <= 100; i++) {
		ck_assert_int_eq(peer_next_id(two.p), i);
		ck_assert_int_eq(send_simple(two.p, MSG_TYPE_status, i), 0);
		until(&two.n, (size_t)i);
		ck_assert_int_eq(two.type[i - 1], MSG_TYPE_status_answer);
		ck_assert_int_eq(two.id[i - 1], i);
	}
	ck_assert_uint_eq(one.n, 100);
	ck_assert_uint_eq(one.gone + two.gone, 0);
	ck_assert_uint_eq(peer_pending(one.p), 0);
	ck_assert_str_eq(peer_name(one.p), "client");
	ck_assert_int_eq(peer_fd(one.p), sv[0]);
}
END_TEST

/* Hello is ours at once, says the service, and is not seen by the owner. */
START_TEST(test_hello)
{
	size_t i;
	int fd = frontend();

	turn();
	ck_assert_str_eq(get_json(fd), OUR_HELLO);
	put_json(fd, HELLO);
	turns(3);
	ck_assert_uint_eq(one.n, 0);
	put_json(fd, STATUS(1));
	until(&one.n, 1);
	ck_assert_uint_eq(one.gone, 0);
	/* Nothing of a frame that was acted on stays in memory. */
	for (i = 0; i < FRAME_HEADER_LEN + strlen(HELLO); i++)
		ck_assert_uint_eq(one.p->in[i], 0);
	close(fd);
}
END_TEST

/* Two frames in every two pieces, with turns of the loop between. */
START_TEST(test_split_in_two)
{
	uint8_t buf[1024];
	size_t at, len, n = 0;
	int fd = frontend();

	put_json(fd, HELLO);
	one.on_message = answer_status;
	len = put_frame(buf, 0, STATUS(1));
	len = put_frame(buf, len, STATUS(22));
	for (at = 0; at <= len; at++) {
		if (at > 0)
			put(fd, buf, at);
		turns(3);
		if (at < len)
			put(fd, buf + at, len - at);
		until(&one.n, n += 2);
		ck_assert_int_eq(one.id[n - 2], 1);
		ck_assert_int_eq(one.id[n - 1], 22);
	}
	ck_assert_uint_eq(one.gone, 0);
	close(fd);
}
END_TEST

START_TEST(test_byte_by_byte)
{
	uint8_t buf[1024];
	size_t i, len;
	int fd = frontend();

	len = put_frame(buf, 0, HELLO);
	len = put_frame(buf, len, STATUS(1));
	len = put_frame(buf, len, STATUS(2));
	for (i = 0; i < len; i++) {
		put(fd, buf + i, 1);
		turn();
	}
	until(&one.n, 2);
	ck_assert_int_eq(one.id[0], 1);
	ck_assert_int_eq(one.id[1], 2);
	ck_assert_uint_eq(one.gone, 0);
	close(fd);
}
END_TEST

/* --- ping-pong between siblings --------------------------------------- */

#define ROUNDS 4000

static void
answer_resolve(struct end *e, const struct msg *m)
{
	static const char *const addresses[] = { "192.0.2.1", "2001:db8::1" };
	struct msg a;

	memset(&a, 0, sizeof(a));
	a.type = MSG_TYPE_resolved;
	a.id = m->id;
	a.u.resolved.result = "ok";
	a.u.resolved.addresses.v = addresses;
	a.u.resolved.addresses.n = 2;
	ck_assert_int_eq(peer_send(e->p, &a), 0);
}

static int
send_resolve(struct peer *p)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_resolve;
	m.id = peer_next_id(p);
	m.u.resolve.host = "a.test";
	return peer_send(p, &m);
}

static void
ask_again(struct end *e, const struct msg *m)
{
	ck_assert_int_eq(m->id, (int64_t)e->n);
	if (e->n < ROUNDS)
		ck_assert_int_eq(send_resolve(e->p), 0);
}

static void
siblings(void)
{
	int sv[2];

	pair(sv);
	new_end(&one, sv[0], PEER_SIBLING, SIDE_PROXY, SIDE_RESOLVER,
	    "egressd/proxy", "egressd/resolver");
	new_end(&two, sv[1], PEER_SIBLING, SIDE_RESOLVER, SIDE_PROXY,
	    "egressd/resolver", "egressd/proxy");
}

START_TEST(test_ping_pong)
{
	siblings();
	one.on_message = ask_again;
	two.on_message = answer_resolve;
	ck_assert_int_eq(send_resolve(one.p), 0);
	until(&one.n, ROUNDS);
	ck_assert_uint_eq(two.n, ROUNDS);
	ck_assert_str_eq(two.text, "a.test");
}
END_TEST

/* All at once: far more than the sockets take, in order, nothing lost. */
START_TEST(test_burst)
{
	size_t i;

	siblings();
	two.on_message = answer_resolve;
	for (i = 0; i < ROUNDS; i++)
		ck_assert_int_eq(send_resolve(one.p), 0);
	ck_assert_uint_gt(peer_pending(one.p), ROUNDS * 30);
	until(&one.n, ROUNDS);
	for (i = 0; i < ROUNDS; i++)
		ck_assert_int_eq(one.id[i], (int64_t)i + 1);
	ck_assert_uint_eq(peer_pending(one.p), 0);
}
END_TEST

/* One that sends without end does not keep another from its turn. */
START_TEST(test_fair)
{
	size_t i, before;

	siblings();
	for (i = 0; i < 1000; i++)
		send_resolve(one.p);
	peer_flush(one.p);
	for (i = 0; i < 10; i++) {
		before = two.n;
		event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		ck_assert_uint_le(two.n - before, 32);
	}
	ck_assert_uint_gt(two.n, 100);
}
END_TEST

/* --- frames at their limit -------------------------------------------- */

/* A status request padded with white space to len bytes. */
static char *
padded(size_t len)
{
	char *s = malloc(len + 1);

	ck_assert_ptr_nonnull(s);
	memset(s, ' ', len);
	memcpy(s, STATUS(5), strlen(STATUS(5)));
	s[len] = '\0';
	return s;
}

static void
send_padded(int fd, size_t len)
{
	uint8_t hdr[FRAME_HEADER_LEN];
	char *s = padded(len);
	size_t off;
	ssize_t n;

	frame_put_control(hdr, len);
	put(fd, hdr, sizeof(hdr));
	for (off = 0; off < len; off += (size_t)n) {
		n = send(fd, s + off, len - off, MSG_NOSIGNAL);
		if (n == -1) {
			ck_assert_int_eq(errno, EAGAIN);
			n = 0;
		}
		turn();
	}
	free(s);
}

START_TEST(test_longest)
{
	int fd = frontend();

	put_json(fd, HELLO);
	one.on_message = answer_status;
	send_padded(fd, FRAME_CTL_MAX);
	until(&one.n, 1);
	/* What it needed is given back. */
	ck_assert_uint_le(one.p->in_cap, 16384);
	send_padded(fd, 30000);
	send_padded(fd, 100);
	until(&one.n, 3);
	ck_assert_uint_eq(one.gone, 0);
	close(fd);
}
END_TEST

/* --- clients' bad bytes ----------------------------------------------- */

struct bytes {
	const char *name;
	bool hello; /* said hello before */
	bool frame; /* make a frame of it */
	const char *bytes;
	size_t len;
	const char *why; /* part of what the owner is told */
	const char *answer; /* part of what the client is told, or NULL */
};

#define RAW(s) (s), sizeof(s) - 1

static const struct bytes bad_rows[] = {
	{ "A01 length 0", true, false, RAW("\0\0\0\0"), "empty", NULL },
	{ "A01 length 0xFFFFFFFF", true, false, RAW("\xff\xff\xff\xff"),
	    "limit", NULL },
	{ "A01 length over the limit by one", true, false, RAW("\0\1\0\1"),
	    "limit", NULL },
	{ "A01 length 0x7FFFFFFF", true, false, RAW("\x7f\xff\xff\xff"),
	    "limit", NULL },
	{ "A01 length 0 before hello", false, false, RAW("\0\0\0\0"), "empty",
	    NULL },
	{ "A01 short body, then the next frame", true, false,
	    RAW("\0\0\0\x05{\"typ\0\0\0\x05"), "", NULL },
	{ "A01 extra bytes behind the object", true, true, RAW(STATUS(1) "x"),
	    "", NULL },
	{ "A01 deep nesting", true, true,
	    RAW("{\"type\":\"status\",\"id\":3,\"a\":[[[[[[[[[[]]]]]]]]]]}"),
	    "", NULL },
	{ "A01 duplicate key", true, true,
	    RAW("{\"type\":\"status\",\"id\":1,\"id\":2}"), "", NULL },
	{ "A01 lone surrogate", true, true,
	    RAW("{\"type\":\"\\ud800\",\"id\":1}"), "", NULL },
	{ "NUL", true, true, RAW("{\"type\":\"sta\0us\",\"id\":1}"), "", NULL },
	{ "not UTF-8", true, true, RAW("{\"type\":\"\xff\",\"id\":1}"), "",
	    NULL },
	{ "not JSON", true, true, RAW("GET / HTTP/1.1\r\n\r\n"), "", NULL },
	{ "HTTP without a frame", false, false, RAW("GET / HTTP/1.1\r\n\r\n"),
	    "limit", NULL },
	{ "no object", true, true, RAW("[]"), "", NULL },
	{ "no id", true, true, RAW("{\"type\":\"status\"}"), "id", NULL },
	{ "id 0", true, true, RAW("{\"type\":\"status\",\"id\":0}"), "id",
	    NULL },
	{ "id below 0", true, true, RAW("{\"type\":\"status\",\"id\":-1}"),
	    "id", NULL },
	{ "unknown type", true, true, RAW("{\"type\":\"rx\",\"id\":9}"),
	    "unknown type",
	    "{\"type\":\"error\",\"id\":9,\"error\":\"malformed\"," },
	{ "extra field", true, true,
	    RAW("{\"type\":\"status\",\"id\":4,\"x\":1}"), "status",
	    "{\"type\":\"error\",\"id\":4,\"error\":\"malformed\"," },
	{ "a message of others, with id", true, true, RAW(RESOLVE),
	    "may not send",
	    "{\"type\":\"error\",\"id\":7,\"error\":\"malformed\"," },
	{ "an event of others", true, true, RAW("{\"type\":\"go\"}"),
	    "may not send", NULL },
	{ "an answer", true, true,
	    RAW("{\"type\":\"error\",\"id\":1,\"error\":\"x\","
	        "\"reason\":\"y\"}"),
	    "may not send", NULL },
	{ "data frame", true, false, RAW("\x80\0\0\x05\0\0\0\1x"), "stream",
	    NULL },
	{ "data frame too long", true, false, RAW("\x80\0\x80\x05"), "limit",
	    NULL },
	{ "request before hello", false, true, RAW(STATUS(1)), "no hello first",
	    "{\"type\":\"error\",\"id\":1,\"error\":\"malformed\"," },
	{ "hello again", true, true, RAW(HELLO), "hello", NULL },
	{ "hello with another field", false, true,
	    RAW("{\"type\":\"hello\",\"service\":\"t\",\"major\":1,"
	        "\"version\":\"9\",\"x\":1}"),
	    "hello", NULL },
	{ "hello of another major", false, true,
	    RAW("{\"type\":\"hello\",\"service\":\"t\",\"major\":2,"
	        "\"version\":\"9\"}"),
	    "client speaks protocol 2, we speak 1", NULL },
	{ "hello of another major and form", false, true,
	    RAW("{\"type\":\"hello\",\"major\":3,\"features\":[\"x\"]}"),
	    "client speaks protocol 3, we speak 1", NULL },
};

/*
 * The connection ends, once, with a reason for the log; the client is told
 * where it can be; another client goes on.
 */
START_TEST(test_bad_client)
{
	const struct bytes *row = &bad_rows[_i];
	uint8_t hdr[FRAME_HEADER_LEN];
	const char *answer;
	int fd, sv[2];

	fd = frontend();
	pair(sv);
	new_end(&two, sv[0], PEER_CLIENT, SIDE_FRONTEND, SIDE_CLIENT,
	    "egressd/frontend", "other client");
	two.on_message = answer_status;
	if (row->hello)
		put_json(fd, HELLO);
	if (row->frame) {
		frame_put_control(hdr, row->len);
		put(fd, hdr, sizeof(hdr));
	}
	put(fd, row->bytes, row->len);
	until_gone(&one);
	ck_assert_msg(
	    one.end == PEER_END_PROTOCOL, "%s: %d", row->name, (int)one.end);
	ck_assert_msg(
	    strstr(one.why, row->why) != NULL, "%s: %s", row->name, one.why);
	ck_assert_str_ne(one.why, "");
	ck_assert_uint_eq(one.n, 0);
	ck_assert_int_eq(send_stats(one.p, 1), -1);
	ck_assert_uint_eq(peer_pending(one.p), 0);
	peer_free(&one.p);
	ck_assert_str_eq(get_json(fd), OUR_HELLO);
	answer = get_json(fd);
	if (row->answer == NULL)
		ck_assert_msg(*answer == '\0', "%s: %s", row->name, answer);
	else
		ck_assert_msg(
		    strncmp(answer, row->answer, strlen(row->answer)) == 0,
		    "%s: %s", row->name, answer);
	close(fd);

	put_json(sv[1], HELLO);
	put_json(sv[1], STATUS(1));
	until(&two.n, 1);
	ck_assert_uint_eq(two.gone, 0);
	close(sv[1]);
}
END_TEST

/* A01: a million digits do not fit a frame; 60000 do, and are refused. */
START_TEST(test_long_number)
{
	static char json[60000];
	uint8_t hdr[FRAME_HEADER_LEN];
	int fd = frontend();

	put_json(fd, HELLO);
	memset(json, '9', sizeof(json));
	memcpy(json, "{\"type\":\"status\",\"id\":", 22);
	json[sizeof(json) - 1] = '}';
	frame_put_control(hdr, sizeof(json));
	put(fd, hdr, sizeof(hdr));
	put(fd, json, sizeof(json));
	until_gone(&one);
	ck_assert_int_eq(one.end, PEER_END_PROTOCOL);
	close(fd);
}
END_TEST

/* The other end of a link whose daemon speaks another major. */
START_TEST(test_other_major_for_user)
{
	int sv[2];

	pair(sv);
	new_end(&one, sv[0], PEER_CLIENT, SIDE_CLIENT, SIDE_FRONTEND,
	    "agent-cli", "egressd");
	/* The daemon has said hello, and has closed on ours already. */
	put_json(sv[1],
	    "{\"type\":\"hello\",\"service\":\"egressd\","
	    "\"major\":2,\"version\":\"2.0\"}");
	close(sv[1]);
	send_simple(one.p, MSG_TYPE_status, 1);
	until_gone(&one);
	ck_assert_int_eq(one.end, PEER_END_PROTOCOL);
	ck_assert_str_eq(one.why, "egressd speaks protocol 2, we speak 1");
}
END_TEST

/* --- requests in flight ----------------------------------------------- */

START_TEST(test_too_many)
{
	char json[64];
	int fd = frontend(), i;

	put_json(fd, HELLO);
	for (i = 1; i <= PEER_INFLIGHT_MAX + 2; i++) {
		snprintf(
		    json, sizeof(json), "{\"type\":\"status\",\"id\":%d}", i);
		put_json(fd, json);
	}
	turns(5);
	ck_assert_uint_eq(one.n, PEER_INFLIGHT_MAX);
	ck_assert_str_eq(get_json(fd), OUR_HELLO);
	for (i = 9; i <= 10; i++) {
		snprintf(json, sizeof(json),
		    "{\"type\":\"error\",\"id\":%d,\"error\":\"too_many\",", i);
		ck_assert_int_eq(strncmp(get_json(fd), json, strlen(json)), 0);
	}
	/* An answer and an error each make room for one. */
	ck_assert_int_eq(send_stats(one.p, 3), 0);
	ck_assert_int_eq(peer_send_error(one.p, 8, "x", "y"), 0);
	put_json(fd, STATUS(9));
	put_json(fd, STATUS(3));
	put_json(fd, STATUS(11));
	turns(5);
	ck_assert_uint_eq(one.n, PEER_INFLIGHT_MAX + 2);
	ck_assert_int_eq(one.id[8], 9);
	ck_assert_int_eq(one.id[9], 3);
	ck_assert_uint_eq(one.gone, 0);
	close(fd);
}
END_TEST

START_TEST(test_open_id_again)
{
	int fd = frontend();

	put_json(fd, HELLO);
	put_json(fd, STATUS(5));
	put_json(fd, STATUS(6));
	put_json(
	    fd, _i == 0 ? STATUS(5) : "{\"type\":\"status\",\"id\":5,\"x\":1}");
	until_gone(&one);
	ck_assert_int_eq(one.end, PEER_END_PROTOCOL);
	ck_assert_uint_eq(one.n, 2);
	ck_assert_str_eq(get_json(fd), OUR_HELLO);
	/* Nothing that would pass for an answer to the first. */
	ck_assert_str_eq(get_json(fd), "");
	close(fd);
}
END_TEST

START_TEST(test_id_again_after_answer)
{
	int fd = frontend();

	put_json(fd, HELLO);
	one.on_message = answer_status;
	put_json(fd, STATUS(5));
	put_json(fd, STATUS(5));
	put_json(fd, STATUS(5));
	until(&one.n, 3);
	turns(3);
	ck_assert_uint_eq(one.gone, 0);
	close(fd);
}
END_TEST

/* --- requests of ours ------------------------------------------------- */

#define ERROR(id) \
	"{\"type\":\"error\",\"id\":" #id ",\"error\":\"x\",\"reason\":\"y\"}"
#define SYNCED(id)                                                \
	"{\"type\":\"runs.synced\",\"id\":" #id ",\"closed\":[]," \
	"\"unknown\":[]}"
#define STATUS_ANSWER(id)                                              \
	"{\"type\":\"status.answer\",\"id\":" #id ",\"daemon\":\"d\"," \
	"\"version\":\"1\",\"pid\":1,\"uptime_ms\":0,\"state\":{},"    \
	"\"warnings\":[]}"

/* The client's end of a link to a daemon, which is a raw socket. */
static int
client(void)
{
	int sv[2];

	pair(sv);
	new_end(&one, sv[0], PEER_CLIENT, SIDE_CLIENT, SIDE_FRONTEND,
	    "dispatchd/queue", "egressd");
	put_json(sv[1], HELLO);
	turns(3);
	return sv[1];
}

/* Requests 1 and 2 are open; what the daemon says then, and why it is bad. */
static const struct {
	const char *name;
	const char *said[3];
	const char *why; /* NULL: nothing is */
} answer_rows[] = {
	{ "answers", { STATUS_ANSWER(2), STATUS_ANSWER(1) }, NULL },
	{ "errors", { ERROR(1), ERROR(2) }, NULL },
	{ "no such request", { STATUS_ANSWER(3) }, "no open request" },
	{ "error of no such request", { ERROR(3) }, "no open request" },
	{ "twice", { STATUS_ANSWER(1), STATUS_ANSWER(1) }, "no open request" },
	{ "twice, an error", { STATUS_ANSWER(1), ERROR(1) },
	    "no open request" },
	{ "another kind", { SYNCED(1) }, "wrong kind" },
	{ "a request", { STATUS(1) }, "may not send" },
};

START_TEST(test_answers)
{
	int fd = client(), i;

	ck_assert_int_eq(send_simple(one.p, MSG_TYPE_status, 1), 0);
	ck_assert_int_eq(send_simple(one.p, MSG_TYPE_status, 2), 0);
	turns(3);
	for (i = 0; answer_rows[_i].said[i] != NULL; i++)
		put_json(fd, answer_rows[_i].said[i]);
	turns(5);
	if (answer_rows[_i].why == NULL) {
		ck_assert_uint_eq(one.n, 2);
		ck_assert_uint_eq(one.gone, 0);
	} else {
		ck_assert_uint_eq(one.gone, 1);
		ck_assert_int_eq(one.end, PEER_END_PROTOCOL);
		ck_assert_msg(strstr(one.why, answer_rows[_i].why) != NULL,
		    "%s: %s", answer_rows[_i].name, one.why);
		ck_assert_uint_eq(one.n, (unsigned)i - 1);
	}
	close(fd);
}
END_TEST

/* As many as the daemon takes, each id once; an answer makes room for one. */
START_TEST(test_asks)
{
	int fd = client(), i;

	for (i = 1; i <= PEER_INFLIGHT_MAX; i++) {
		ck_assert(peer_can_ask(one.p));
		ck_assert_int_eq(send_simple(one.p, MSG_TYPE_status, i), 0);
		ck_assert_int_eq(send_simple(one.p, MSG_TYPE_status, i), -1);
	}
	ck_assert(!peer_can_ask(one.p));
	ck_assert_int_eq(send_simple(one.p, MSG_TYPE_status, i), -1);
	turns(3);
	put_json(fd, STATUS_ANSWER(3));
	until(&one.n, 1);
	ck_assert(peer_can_ask(one.p));
	ck_assert_int_eq(send_simple(one.p, MSG_TYPE_status, 3), 0);
	ck_assert(!peer_can_ask(one.p));
	ck_assert_uint_eq(one.gone, 0);
	close(fd);
}
END_TEST

/* PID 1 of a run and its daemon greet each other, and take long messages. */
START_TEST(test_agent_link)
{
	static char text[64][4097];
	const char *argv[64];
	struct msg m;
	int sv[2], i;

	pair(sv);
	new_end(&one, sv[0], PEER_CLIENT, SIDE_RUNS, SIDE_AGENT,
	    "dispatchd/runs", "agent");
	new_end(&two, sv[1], PEER_CLIENT, SIDE_AGENT, SIDE_RUNS, "agent-cli",
	    "dispatchd");
	for (i = 0; i < 64; i++) {
		memset(text[i], 'a', 4096);
		argv[i] = text[i];
	}
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_agent_start;
	m.u.agent_start.run = "abcdefghijkl";
	m.u.agent_start.proxy = m.u.agent_start.canary = "p";
	m.u.agent_start.gateway = "192.0.2.1";
	m.u.agent_start.repo = m.u.agent_start.directory = "";
	m.u.agent_start.base = "";
	m.u.agent_start.branch = m.u.agent_start.prompt_by = "b";
	m.u.agent_start.argv.v = argv;
	m.u.agent_start.argv.n = 64;
	m.u.agent_start.deadline_ms = m.u.agent_start.bundle_limit = 1;
	ck_assert_int_eq(peer_send(one.p, &m), 0);
	until(&two.n, 1);
	ck_assert_int_eq(send_simple(two.p, MSG_TYPE_agent_released, 0), 0);
	until(&one.n, 1);
	ck_assert_uint_eq(one.gone + two.gone, 0);
	/* The agent itself may not be so long. */
	ck_assert_uint_eq(one.p->in_max, FRAME_CTL_MAX);
}
END_TEST

/* --- time ------------------------------------------------------------- */

static void
nap(int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&ts, NULL);
}

/* Turn the loop for so many ms, or until the end. */
static int64_t
run_ms(const struct end *e, int64_t ms)
{
	int64_t start = clock_boot_ms();

	while (e->gone == 0 && clock_boot_ms() - start < ms) {
		turn();
		nap(1);
	}
	return clock_boot_ms() - start;
}

START_TEST(test_no_hello)
{
	int64_t took;
	int fd;

	hello_ms = 100;
	fd = frontend();
	took = run_ms(&one, 3000);
	ck_assert_uint_eq(one.gone, 1);
	ck_assert_int_eq(one.end, PEER_END_TIMEOUT);
	ck_assert_ptr_nonnull(strstr(one.why, "hello"));
	ck_assert_int_ge(took, 95);
	ck_assert_int_lt(took, 2000);
	close(fd);
}
END_TEST

START_TEST(test_idle_stays)
{
	int fd;

	hello_ms = frame_ms = stall_ms = 50;
	fd = frontend();
	put_json(fd, HELLO);
	run_ms(&one, 200);
	put_json(fd, STATUS(1));
	until(&one.n, 1);
	run_ms(&one, 200);
	ck_assert_uint_eq(one.gone, 0);
	close(fd);
}
END_TEST

/* A01 slowloris: the limit is of the frame, not of each byte. */
START_TEST(test_slow_frame)
{
	uint8_t buf[256];
	size_t i, len;
	int64_t start;
	int fd;

	frame_ms = 200;
	fd = frontend();
	put_json(fd, HELLO);
	turns(3);
	len = put_frame(buf, 0, STATUS(1));
	start = clock_boot_ms();
	for (i = 0; i < len - 1 && one.gone == 0; i++) {
		put(fd, buf + i, 1);
		run_ms(&one, 20);
	}
	ck_assert_uint_eq(one.gone, 1);
	ck_assert_int_eq(one.end, PEER_END_TIMEOUT);
	ck_assert_ptr_nonnull(strstr(one.why, "frame"));
	ck_assert_int_ge(clock_boot_ms() - start, 195);
	ck_assert_uint_lt(i, len - 1);
	ck_assert_uint_eq(one.n, 0);
	close(fd);
}
END_TEST

/* Slow, but each frame in its time: stays. */
START_TEST(test_slow_but_fine)
{
	uint8_t buf[256];
	size_t i, len;
	int fd, k;

	frame_ms = 400;
	fd = frontend();
	put_json(fd, HELLO);
	one.on_message = answer_status;
	len = put_frame(buf, 0, STATUS(1));
	for (k = 0; k < 4; k++) {
		for (i = 0; i < len; i++) {
			put(fd, buf + i, 1);
			run_ms(&one, 5);
		}
	}
	ck_assert_uint_eq(one.gone, 0);
	ck_assert_uint_eq(one.n, 4);
	close(fd);
}
END_TEST

static int
send_long(struct peer *p)
{
	static char reason[513];
	struct msg m;

	memset(reason, 'r', sizeof(reason) - 1);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_error;
	m.id = 1;
	m.u.error.error = "x";
	m.u.error.reason = reason;
	return peer_send(p, &m);
}

START_TEST(test_never_reads)
{
	int64_t took;
	int fd;

	stall_ms = 150;
	fd = frontend();
	put_json(fd, HELLO);
	turns(3);
	/* More than the socket takes, less than the limit. */
	while (peer_pending(one.p) < 500000)
		ck_assert_int_eq(send_long(one.p), 0);
	turns(3);
	ck_assert_uint_gt(peer_pending(one.p), 100000);
	took = run_ms(&one, 3000);
	ck_assert_uint_eq(one.gone, 1);
	ck_assert_int_eq(one.end, PEER_END_SLOW);
	ck_assert_int_ge(took, 50);
	close(fd);
}
END_TEST

/* Over the limit: the end comes later, never from inside peer_send. */
START_TEST(test_over_limit)
{
	size_t sent = 0;
	int fd = frontend();

	put_json(fd, HELLO);
	turns(3);
	while (send_long(one.p) == 0) {
		ck_assert_uint_le(peer_pending(one.p), PEER_CLIENT_OUT_MAX);
		sent++;
	}
	ck_assert_uint_gt(sent, 1800);
	ck_assert_uint_eq(one.gone, 0);
	ck_assert_int_eq(send_long(one.p), -1);
	ck_assert_uint_eq(one.gone, 0);
	until_gone(&one);
	ck_assert_int_eq(one.end, PEER_END_SLOW);
	close(fd);
}
END_TEST

/* A reader that is slow but reads gets every byte. */
START_TEST(test_slow_reader)
{
	size_t i, n = 0;
	int fd = frontend();

	put_json(fd, HELLO);
	for (i = 0; i < 1500; i++)
		ck_assert_int_eq(send_long(one.p), 0);
	turn();
	ck_assert_str_eq(get_json(fd), OUR_HELLO);
	for (i = 0; i < 10000 && n < 1500; i++) {
		turn();
		if (get_json(fd)[0] == '{')
			n++;
	}
	ck_assert_uint_eq(n, 1500);
	ck_assert_uint_eq(peer_pending(one.p), 0);
	ck_assert_uint_eq(one.gone, 0);
	close(fd);
}
END_TEST

/* --- the end ---------------------------------------------------------- */

START_TEST(test_eof)
{
	int fd = frontend();

	put_json(fd, HELLO);
	put_json(fd, STATUS(1));
	close(fd);
	until_gone(&one);
	ck_assert_uint_eq(one.n, 1);
	ck_assert_int_eq(one.end, PEER_END_EOF);
	ck_assert_str_eq(one.why, "closed by the other side");
}
END_TEST

START_TEST(test_eof_inside_frame)
{
	int fd = frontend();

	put_json(fd, HELLO);
	put(fd, "\0\0\0\x10{", 5);
	shutdown(fd, SHUT_WR);
	until_gone(&one);
	ck_assert_int_eq(one.end, PEER_END_EOF);
	ck_assert_ptr_nonnull(strstr(one.why, "in the middle"));
	close(fd);
}
END_TEST

START_TEST(test_sibling_eof)
{
	int fd = proxy();

	put_json(fd, "{\"type\":\"go\"}");
	close(fd);
	until_gone(&one);
	ck_assert_uint_eq(one.n, 1);
	ck_assert_int_eq(one.end, PEER_END_EOF);
	ck_assert_int_eq(send_simple(one.p, MSG_TYPE_drained, 0), -1);
}
END_TEST

/* The last words of one that closed are heard, though we cannot write. */
START_TEST(test_last_words)
{
	int fd = proxy();

	put_json(fd, "{\"type\":\"drain\"}");
	put_json(fd, "{\"type\":\"cut\"}");
	close(fd);
	ck_assert_int_eq(send_simple(one.p, MSG_TYPE_drained, 0), 0);
	peer_flush(one.p);
	ck_assert_int_eq(send_simple(one.p, MSG_TYPE_drained, 0), -1);
	ck_assert_uint_eq(one.gone, 0);
	until_gone(&one);
	ck_assert_uint_eq(one.n, 2);
	ck_assert_int_eq(one.type[1], MSG_TYPE_cut);
	ck_assert_int_eq(one.end, PEER_END_EOF);
}
END_TEST

/* One that only stops reading is as good as gone. */
START_TEST(test_stops_reading)
{
	int fd = frontend();

	put_json(fd, HELLO);
	turns(3);
	shutdown(fd, SHUT_RD);
	put_json(fd, STATUS(1));
	one.on_message = answer_status;
	until_gone(&one);
	ck_assert_int_eq(one.end, PEER_END_EOF);
	close(fd);
}
END_TEST

/* --- freed within its own callbacks ----------------------------------- */

START_TEST(test_free_in_message)
{
	int fd = frontend();

	one.kill_on_message = &one.p;
	put_json(fd, HELLO);
	put_json(fd, STATUS(1));
	put_json(fd, STATUS(2));
	turns(3);
	ck_assert_ptr_null(one.p);
	ck_assert_uint_eq(one.n, 1);
	ck_assert_uint_eq(one.gone, 0);
	ck_assert_str_eq(get_json(fd), OUR_HELLO);
	ck_assert_str_eq(get_json(fd), "");
	close(fd);
}
END_TEST

static void
answer_and_flush(struct end *e, const struct msg *m)
{
	answer_status(e, m);
	peer_flush(e->p);
}

START_TEST(test_answer_and_free_in_message)
{
	int fd = frontend();

	one.on_message = answer_and_flush;
	one.kill_on_message = &one.p;
	put_json(fd, HELLO);
	put_json(fd, STATUS(1));
	turns(3);
	ck_assert_str_eq(get_json(fd), OUR_HELLO);
	ck_assert_ptr_nonnull(strstr(get_json(fd), "\"status.answer\""));
	close(fd);
}
END_TEST

START_TEST(test_free_in_gone)
{
	int fd = frontend();

	one.kill_on_gone = true;
	put(fd, "\0\0\0\0", 4);
	until_gone(&one);
	ck_assert_ptr_null(one.p);
	close(fd);
}
END_TEST

/* Both have something to read; the first to be called frees the other. */
START_TEST(test_free_the_other)
{
	int a = frontend(), sv[2];

	pair(sv);
	new_end(&two, sv[0], PEER_CLIENT, SIDE_FRONTEND, SIDE_CLIENT,
	    "egressd/frontend", "second client");
	one.kill_on_message = &two.p;
	two.kill_on_message = &one.p;
	put_json(a, HELLO);
	put_json(sv[1], HELLO);
	turns(3);
	put_json(a, STATUS(1));
	put_json(sv[1], STATUS(1));
	turns(3);
	ck_assert_uint_eq(one.n + two.n, 1);
	ck_assert((one.p == NULL) != (two.p == NULL));
	close(a);
	close(sv[1]);
}
END_TEST

static void
overrun(struct end *e, const struct msg *m)
{
	while (send_long(e->p) == 0)
		continue;
	ck_assert_uint_eq(e->gone, 0);
}

/* Over the limit within message, then freed within gone. */
START_TEST(test_end_in_message)
{
	int fd = frontend();

	one.on_message = overrun;
	one.kill_on_gone = true;
	put_json(fd, HELLO);
	put_json(fd, STATUS(1));
	put_json(fd, STATUS(2));
	until_gone(&one);
	ck_assert_uint_eq(one.n, 1);
	ck_assert_int_eq(one.end, PEER_END_SLOW);
	close(fd);
}
END_TEST

START_TEST(test_free_null)
{
	struct peer *p = NULL;

	peer_free(&p);
	ck_assert_ptr_null(p);
}
END_TEST

/* --- descriptors ------------------------------------------------------ */

static size_t
open_fds(void)
{
	struct dirent *e;
	size_t n = 0;
	DIR *d = opendir("/proc/self/fd");

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			n++;
	closedir(d);
	return n;
}

/* A descriptor that says number when it is asked (its file's size). */
static int
numbered(int number)
{
	char path[] = "/tmp/peer_test.XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	unlink(path);
	ck_assert_int_eq(ftruncate(fd, number), 0);
	return fd;
}

static off_t
number_of(int fd)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	return st.st_size;
}

static int
send_listener(struct peer *p, int fd)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_listener;
	m.u.listener.name = "n";
	m.u.listener.address = "127.0.0.1:1";
	m.u.listener.profile = "p";
	return peer_send_fd(p, &m, fd);
}

static void
send_row(struct peer *p)
{
	struct msg m;
	static char host[200];

	memset(host, 'h', sizeof(host) - 1);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rule_row;
	m.u.rule_row.profile = "p";
	m.u.rule_row.host = host;
	ck_assert_int_eq(peer_send(p, &m), 0);
}

static void
parent_and_proxy(int sndbuf)
{
	int sv[2];

	pair(sv);
	if (sndbuf != 0)
		ck_assert_int_eq(setsockopt(sv[1], SOL_SOCKET, SO_SNDBUF,
		                     &sndbuf, sizeof(sndbuf)),
		    0);
	new_end(&one, sv[0], PEER_SIBLING, SIDE_PROXY, SIDE_PARENT,
	    "egressd/proxy", "egressd/parent");
	new_end(&two, sv[1], PEER_SIBLING, SIDE_PARENT, SIDE_PROXY,
	    "egressd/parent", "egressd/proxy");
}

/*
 * Frames with and without a descriptor in many orders, written in one go and
 * through a socket that takes little at a time: each descriptor comes with
 * its own frame. A bit of the row's number says what each frame is.
 */
START_TEST(test_fd_neighbours)
{
	size_t fds = open_fds(), i, k = 0;
	int n, round;

	parent_and_proxy(_i % 2 == 0 ? 0 : 4608);
	fds += 2;
	for (round = 0; round < 4; round++) {
		for (n = 0; n < 6; n++) {
			if (((_i / 2) >> n & 1) != 0)
				ck_assert_int_eq(
				    send_listener(two.p, numbered((int)++k)),
				    0);
			else
				send_row(two.p);
		}
	}
	until(&one.n, 24);
	ck_assert_uint_eq(one.nfds, k);
	for (i = 0; i < one.nfds; i++)
		ck_assert_int_eq(number_of(one.fd[i]), (off_t)i + 1);
	for (i = 0, n = 0; n < 24; n++)
		ck_assert_int_eq(one.type[n],
		    ((_i / 2) >> (n % 6) & 1) != 0 ? MSG_TYPE_listener
		                                   : MSG_TYPE_rule_row);
	ck_assert_uint_eq(open_fds(), fds + one.nfds);
}
END_TEST

/* Send len bytes with n descriptors. */
static void
put_fds(int sock, const void *buf, size_t len, int fd, size_t n)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * 8)];
	} control;
	struct iovec iov;
	struct msghdr mh;
	struct cmsghdr *c;
	size_t i;

	memset(&mh, 0, sizeof(mh));
	memset(&control, 0, sizeof(control));
	iov.iov_base = (void *)(uintptr_t)buf;
	iov.iov_len = len;
	mh.msg_iov = &iov;
	mh.msg_iovlen = 1;
	mh.msg_control = control.buf;
	mh.msg_controllen = CMSG_SPACE(sizeof(int) * n);
	ck_assert_ptr_nonnull(c = CMSG_FIRSTHDR(&mh));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * n);
	for (i = 0; i < n; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(fd));
	ck_assert_int_eq(sendmsg(sock, &mh, 0), (ssize_t)len);
}

#define GO "{\"type\":\"go\"}"
#define LISTENER                                                   \
	"{\"type\":\"listener\",\"name\":\"n\",\"address\":\"a\"," \
	"\"profile\":\"p\"}"

/*
 * The frame with the descriptor cut in two at every byte, and what is before
 * and behind it sent without a turn of the loop between.
 */
START_TEST(test_fd_split)
{
	uint8_t before[256], buf[256], behind[256];
	size_t at, len, n = 0, nb, na;
	int sock = proxy(), fd;

	nb = put_frame(before, 0, GO);
	nb = put_frame(before, nb, GO);
	na = put_frame(behind, 0, GO);
	len = put_frame(buf, 0, LISTENER);
	for (at = 1; at < len; at++) {
		put(sock, before, nb);
		fd = numbered((int)at);
		put_fds(sock, buf, at, fd, 1);
		close(fd);
		put(sock, buf + at, len - at);
		put(sock, behind, na);
		until(&one.n, n += 4);
		ck_assert_int_eq(one.type[n - 2], MSG_TYPE_listener);
		ck_assert_uint_eq(one.nfds, 1);
		ck_assert_int_eq(number_of(one.fd[0]), (off_t)at);
		close(one.fd[0]);
		one.nfds = 0;
	}
	close(sock);
}
END_TEST

/* peer_send_fd closes in every case. */
START_TEST(test_fd_always_closed)
{
	size_t fds;
	struct msg m;
	int sock;

	sock = frontend();
	fds = open_fds();
	ck_assert_int_eq(send_listener(one.p, dup(0)), -1);
	ck_assert_uint_eq(open_fds(), fds);
	peer_free(&one.p);
	close(sock);

	parent_and_proxy(0);
	fds = open_fds();
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_go;
	ck_assert_int_eq(peer_send_fd(two.p, &m, dup(0)), -1);
	m.type = MSG_TYPE_listener;
	ck_assert_int_eq(peer_send(two.p, &m), -1);
	m.u.listener.name = "n";
	ck_assert_int_eq(peer_send_fd(two.p, &m, dup(0)), -1);
	ck_assert_int_eq(send_listener(two.p, -1), -1);
	ck_assert_uint_eq(open_fds(), fds);
	/* Queued, never written. */
	ck_assert_int_eq(send_listener(two.p, dup(0)), 0);
	ck_assert_uint_eq(open_fds(), fds + 1);
	peer_free(&two.p);
	ck_assert_uint_eq(open_fds(), fds - 1);
}
END_TEST

/* A03: a client's descriptor ends its connection and never reaches us. */
START_TEST(test_fd_from_client)
{
	uint8_t buf[256];
	size_t fds, len;
	int sock = frontend();

	put_json(sock, HELLO);
	turns(3);
	fds = open_fds();
	len = put_frame(buf, 0, STATUS(1));
	put_fds(sock, buf, len, 0, (size_t)_i + 1);
	until_gone(&one);
	ck_assert_int_eq(one.end, PEER_END_PROTOCOL);
	ck_assert_ptr_nonnull(strstr(one.why, "descriptor"));
	ck_assert_uint_eq(one.n, 0);
	ck_assert_uint_eq(open_fds(), fds);
	close(sock);
}
END_TEST

/* --- siblings' bad bytes end us --------------------------------------- */

static int stderr_fds[2];

/* In a child: read what was sent. Returns the exit status; its log in text. */
static int
end_of_child(char *text, size_t size)
{
	int status;
	ssize_t n, len = 0;
	pid_t pid;

	ck_assert_int_eq(pipe(stderr_fds), 0);
	fflush(NULL);
	if ((pid = fork()) == 0) {
		dup2(stderr_fds[1], STDERR_FILENO);
		event_reinit(base);
		turns(50);
		_exit(0);
	}
	close(stderr_fds[1]);
	while (
	    (n = read(stderr_fds[0], text + len, size - 1 - (size_t)len)) > 0)
		len += n;
	text[len] = '\0';
	close(stderr_fds[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static const struct {
	const char *name;
	bool frame;
	const char *bytes;
	size_t len;
	size_t nfds; /* sent with the first byte */
	size_t late; /* or so many bytes behind it */
	const char *why;
} sibling_rows[] = {
	{ "length 0", false, RAW("\0\0\0\0"), 0, 0, "empty" },
	{ "length 0xFFFFFFFF", false, RAW("\xff\xff\xff\xff"), 0, 0, "limit" },
	{ "length 1 MiB + 1", false, RAW("\0\x10\0\1"), 0, 0, "limit" },
	{ "not JSON", true, RAW("garbage"), 0, 0, "" },
	{ "extra field", true, RAW("{\"type\":\"go\",\"x\":1}"), 0, 0, "" },
	{ "not the parent's to say", true, RAW(RESOLVE), 0, 0, "may not send" },
	{ "hello", true, RAW(HELLO), 0, 0, "hello" },
	{ "data frame", false, RAW("\x80\0\0\x05\0\0\0\1x"), 0, 0, "stream" },
	{ "descriptor missing", true, RAW(LISTENER), 0, 0,
	    "without its descriptor" },
	{ "descriptor too many", true, RAW(LISTENER), 2, 0,
	    "more than one descriptor" },
	{ "descriptors many too many", true, RAW(LISTENER), 8, 0,
	    "descriptors" },
	{ "descriptor undeclared", true, RAW(GO), 1, 0, "takes none" },
	{ "descriptor behind the header", true, RAW(LISTENER), 1, 4,
	    "inside a frame" },
	{ "descriptor in the body", true, RAW(LISTENER), 1, 20,
	    "inside a frame" },
};

START_TEST(test_bad_sibling)
{
	uint8_t buf[1024];
	char text[2048];
	size_t len, late = sibling_rows[_i].late;
	int sock = proxy(), status;

	len = sibling_rows[_i].len;
	if (sibling_rows[_i].frame)
		len = put_frame(buf, 0, sibling_rows[_i].bytes);
	else
		memcpy(buf, sibling_rows[_i].bytes, len);
	if (late > 0)
		put(sock, buf, late);
	if (sibling_rows[_i].nfds > 0)
		put_fds(sock, buf + late, len - late, 0, sibling_rows[_i].nfds);
	else
		put(sock, buf, len);
	status = end_of_child(text, sizeof(text));
	ck_assert_msg(status == EXIT_INTERNAL, "%s: %d: %s",
	    sibling_rows[_i].name, status, text);
	ck_assert_ptr_nonnull(
	    strstr(text, "egressd/parent sent egressd/proxy bad bytes: "));
	ck_assert_msg(strstr(text, sibling_rows[_i].why) != NULL, "%s: %s",
	    sibling_rows[_i].name, text);
	close(sock);
}
END_TEST

/* Over FRAME_CTL_MAX, by a message that is not declared to be big. */
START_TEST(test_sibling_not_big)
{
	uint8_t hdr[FRAME_HEADER_LEN];
	static char json[FRAME_CTL_MAX + 1];
	char text[2048];
	int sock = proxy(), status;

	memset(json, ' ', sizeof(json));
	memcpy(json, GO, strlen(GO));
	frame_put_control(hdr, sizeof(json));
	put(sock, hdr, sizeof(hdr));
	put(sock, json, sizeof(json));
	status = end_of_child(text, sizeof(text));
	ck_assert_int_eq(status, EXIT_INTERNAL);
	ck_assert_ptr_nonnull(strstr(text, "bad bytes"));
	close(sock);
}
END_TEST

/* The same bytes, none of them bad. */
START_TEST(test_good_sibling)
{
	char text[2048];
	int sock = proxy();

	put_json(sock, GO);
	ck_assert_int_eq(end_of_child(text, sizeof(text)), 0);
	ck_assert_str_eq(text, "");
	close(sock);
}
END_TEST

START_TEST(test_sibling_over_limit)
{
	int sock = proxy(), status, i;
	struct msg m;
	char text[1024];
	ssize_t n;
	pid_t pid;

	ck_assert_int_eq(pipe(stderr_fds), 0);
	fflush(NULL);
	if ((pid = fork()) == 0) {
		dup2(stderr_fds[1], STDERR_FILENO);
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_drained;
		for (i = 0; i < 16 * 1024 * 1024 / 10; i++)
			if (peer_send(one.p, &m) == -1)
				_exit(1);
		_exit(0);
	}
	close(stderr_fds[1]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), EXIT_INTERNAL);
	ck_assert_int_gt(n = read(stderr_fds[0], text, sizeof(text) - 1), 0);
	text[n] = '\0';
	ck_assert_ptr_nonnull(strstr(
	    text, "egressd/parent does not read what egressd/proxy sends"));
	close(stderr_fds[0]);
	close(sock);
}
END_TEST

/* --- the sender's own mistakes ---------------------------------------- */

START_TEST(test_misuse)
{
	int fd = frontend();
	struct msg m;

	turn();
	ck_assert_str_eq(get_json(fd), OUR_HELLO);
	ck_assert_int_eq(send_simple(one.p, MSG_TYPE_go, 0), -1);
	ck_assert_int_eq(send_simple(one.p, MSG_TYPE_none, 0), -1);
	ck_assert_int_eq(send_simple(one.p, MSG_TYPE_MAX, 0), -1);
	ck_assert_int_eq(send_stats(one.p, 0), -1);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_error;
	m.id = 1;
	m.u.error.error = "x";
	ck_assert_int_eq(peer_send(one.p, &m), -1);
	ck_assert_uint_eq(peer_pending(one.p), 0);
	turns(3);
	ck_assert_uint_eq(one.gone, 0);
	ck_assert_str_eq(get_json(fd), "");
	close(fd);
}
END_TEST

/* Within the bounds of its fields, and yet longer than a frame. */
START_TEST(test_answer_too_long)
{
	static char text[32][513];
	const char *warnings[32];
	const char *error =
	    "{\"type\":\"error\",\"id\":5,\"error\":\"internal\",";
	int fd = frontend(), i;
	struct msg m;

	for (i = 0; i < 32; i++) {
		memset(text[i], '\\', 512);
		memset(text[i], '\x01', 400);
		warnings[i] = text[i];
	}
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_status_answer;
	m.id = 5;
	m.u.status_answer.daemon = "egressd";
	m.u.status_answer.version = "1";
	m.u.status_answer.pid = 1;
	m.u.status_answer.warnings.v = warnings;
	m.u.status_answer.warnings.n = 32;
	put_json(fd, HELLO);
	put_json(fd, STATUS(5));
	until(&one.n, 1);
	ck_assert_int_eq(peer_send(one.p, &m), -1);
	turns(3);
	ck_assert_str_eq(get_json(fd), OUR_HELLO);
	ck_assert_int_eq(strncmp(get_json(fd), error, strlen(error)), 0);
	/* Its request is closed: the id may be used again. */
	put_json(fd, STATUS(5));
	until(&one.n, 2);
	ck_assert_uint_eq(one.gone, 0);
	close(fd);
}
END_TEST

static const struct {
	const char *name;
	size_t len; /* of x before the tail */
	const char *tail;
	size_t want; /* length of what arrives, as text */
} reason_rows[] = {
	{ "fits", 512, "", 512 },
	{ "one over", 513, "", 511 },
	{ "a character across the end", 511, "\xc3\xa9", 511 },
	{ "long character across the end", 510, "\xf0\x9f\x98\x80", 510 },
};

/* Too long a reason is cut between characters and still sent. */
START_TEST(test_reason)
{
	char reason[1024];
	const char *json, *x;
	int fd = frontend();
	size_t n;

	turn();
	get_json(fd);
	memset(reason, 'x', reason_rows[_i].len);
	strlcpy(reason + reason_rows[_i].len, reason_rows[_i].tail, 8);
	ck_assert_int_eq(peer_send_error(one.p, 1, "c", reason), 0);
	turn();
	json = get_json(fd);
	ck_assert_ptr_nonnull(x = strstr(json, "\"reason\":\""));
	n = strspn(x + 10, "x");
	ck_assert_msg(
	    n == reason_rows[_i].want || n == reason_rows[_i].want + 1,
	    "%s: %zu", reason_rows[_i].name, n);
	close(fd);
}
END_TEST

/* --- the trace -------------------------------------------------------- */

START_TEST(test_trace)
{
	char text[4096];
	int fd, fds[2], saved = dup(STDERR_FILENO);
	ssize_t n;

	ck_assert_int_eq(pipe(fds), 0);
	fflush(NULL);
	dup2(fds[1], STDERR_FILENO);
	log_init("egressd/frontend", 1, 2);
	fd = frontend();
	put_json(fd, HELLO);
	put_json(fd, STATUS(4));
	one.on_message = answer_status;
	until(&one.n, 1);
	ck_assert_int_gt(n = read(fds[0], text, sizeof(text) - 1), 0);
	text[n] = '\0';
	ck_assert_ptr_nonnull(
	    strstr(text, "trace: egressd/frontend -> client: hello 0\n"));
	ck_assert_ptr_nonnull(
	    strstr(text, "trace: client -> egressd/frontend: hello 0\n"));
	ck_assert_ptr_nonnull(
	    strstr(text, "trace: client -> egressd/frontend: status 4\n"));
	ck_assert_ptr_nonnull(strstr(
	    text, "trace: egressd/frontend -> client: status.answer 4\n"));
	dup2(saved, STDERR_FILENO);
	log_init("peer_test", 1, 0);
	close(saved);
	close(fds[0]);
	close(fds[1]);
	close(fd);
}
END_TEST

#define LOOP(t, test, rows) \
	tcase_add_loop_test(t, test, 0, sizeof(rows) / sizeof((rows)[0]))

static void
add_client_tests(TCase *t)
{
	LOOP(t, test_bad_client, bad_rows);
	tcase_add_test(t, test_long_number);
	tcase_add_test(t, test_other_major_for_user);
	tcase_add_test(t, test_too_many);
	tcase_add_loop_test(t, test_open_id_again, 0, 2);
	tcase_add_test(t, test_id_again_after_answer);
	LOOP(t, test_answers, answer_rows);
	tcase_add_test(t, test_asks);
	tcase_add_test(t, test_agent_link);
	tcase_add_test(t, test_no_hello);
	tcase_add_test(t, test_idle_stays);
	tcase_add_test(t, test_slow_frame);
	tcase_add_test(t, test_slow_but_fine);
	tcase_add_test(t, test_never_reads);
	tcase_add_test(t, test_over_limit);
	tcase_add_test(t, test_slow_reader);
	tcase_add_test(t, test_misuse);
	tcase_add_test(t, test_answer_too_long);
	LOOP(t, test_reason, reason_rows);
	tcase_add_test(t, test_trace);
}

static void
add_end_tests(TCase *t)
{
	tcase_add_test(t, test_eof);
	tcase_add_test(t, test_eof_inside_frame);
	tcase_add_test(t, test_sibling_eof);
	tcase_add_test(t, test_last_words);
	tcase_add_test(t, test_stops_reading);
	tcase_add_test(t, test_free_in_message);
	tcase_add_test(t, test_answer_and_free_in_message);
	tcase_add_test(t, test_free_in_gone);
	tcase_add_test(t, test_free_the_other);
	tcase_add_test(t, test_end_in_message);
	tcase_add_test(t, test_free_null);
}

static void
add_sibling_tests(TCase *t)
{
	tcase_add_loop_test(t, test_fd_neighbours, 0, 128);
	tcase_add_test(t, test_fd_split);
	tcase_add_test(t, test_fd_always_closed);
	tcase_add_loop_test(t, test_fd_from_client, 0, 3);
	LOOP(t, test_bad_sibling, sibling_rows);
	tcase_add_test(t, test_sibling_not_big);
	tcase_add_test(t, test_good_sibling);
	tcase_add_test(t, test_sibling_over_limit);
}

int
main(void)
{
	Suite *s = suite_create("peer");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_client_link);
	tcase_add_test(t, test_hello);
	tcase_add_test(t, test_split_in_two);
	tcase_add_test(t, test_byte_by_byte);
	tcase_add_test(t, test_ping_pong);
	tcase_add_test(t, test_burst);
	tcase_add_test(t, test_fair);
	tcase_add_test(t, test_longest);
	add_client_tests(t);
	add_end_tests(t);
	add_sibling_tests(t);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
