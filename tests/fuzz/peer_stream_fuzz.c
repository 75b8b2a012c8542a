/*
 * A client's bytes through a real socket into a peer that has streams open in
 * both directions: the first byte of the input says how the bytes are cut and
 * what the owner does, the rest is sent behind a hello.
 */
#include <sys/socket.h>

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "libcommon/peer_int.h"

#define INPUT_MAX (512 * 1024)
#define EXPECTED 5 /* streams that come in, */
#define UNWANTED 6 /* the second aborted at once */
#define OUTGOING 8
#define MAX_BYTES 300000 /* of each that comes in */

/* Not assert(3), which a release build leaves out. */
#define REQUIRE(x)               \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static const char hello[] =
    "\0\0\0\x36{\"type\":\"hello\",\"service\":\"t\",\"major\":1,"
    "\"version\":\"9\"}";

struct owner {
	struct peer *p;
	int lazy; /* consumes nothing */
	int kill; /* frees the peer within the third call */
	int stop; /* aborts within the second data */
	unsigned calls;
	size_t got;
	unsigned gone;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
called(struct owner *o, struct peer *p)
{
	REQUIRE(o->gone == 0 && p == o->p);
	o->calls++;
	if (o->kill && o->calls == 3)
		peer_free(&o->p);
}

static void
got_message(struct peer *p, struct msg *m, int fd, void *arg)
{
	REQUIRE(fd == -1 && m->type == MSG_TYPE_status);
	called(arg, p);
}

static void
got_data(struct peer *p, uint32_t id, const uint8_t *buf, size_t len, void *arg)
{
	struct owner *o = arg;

	REQUIRE(id == EXPECTED && len >= 1 && len <= FRAME_DATA_MAX);
	o->got += len;
	REQUIRE(o->got <= MAX_BYTES);
	REQUIRE(!o->lazy || o->got <= PEER_WINDOW);
	called(o, p);
	if (o->p == NULL)
		return;
	if (!o->lazy)
		peer_stream_consumed(p, id, len);
	if (o->stop && o->calls >= 2)
		peer_stream_abort(p, id, "enough");
}

static void
got_end(struct peer *p, uint32_t id, bool ok, const char *why, void *arg)
{
	REQUIRE(ok == (why[0] == '\0'));
	REQUIRE(!ok || id == EXPECTED);
	REQUIRE(peer_stream_find(&p->sin, id) == NULL);
	called(arg, p);
}

static void
got_ready(struct peer *p, uint32_t id, void *arg)
{
	static uint8_t buf[PEER_WINDOW];
	size_t room = peer_stream_room(p, id);

	REQUIRE(id == OUTGOING && room > 0 && room <= sizeof(buf));
	REQUIRE(peer_stream_write(p, id, buf, room) == 0);
	if (room < 1000)
		REQUIRE(peer_stream_finish(p, id) == 0 || p->ending);
	called(arg, p);
}

static void
got_gone(struct peer *p, enum peer_end end, const char *why, void *arg)
{
	struct owner *o = arg;

	REQUIRE(o->gone == 0 && p == o->p);
	REQUIRE(end == PEER_END_PROTOCOL || end == PEER_END_EOF ||
	    end == PEER_END_SLOW);
	REQUIRE(why[0] != '\0');
	o->gone++;
	peer_free(&o->p);
}

static const struct peer_ops ops = { .message = got_message,
	.gone = got_gone,
	.data = got_data,
	.stream_end = got_end,
	.stream_ready = got_ready };

/* Everything that we say to a client is a frame that it can decode. */
static void
check_output(int fd)
{
	static uint8_t buf[4 * 1024 * 1024];
	const char *why;
	char text[256];
	struct frame f;
	struct msg m;
	size_t len = 0, at;
	ssize_t n;

	while ((n = recv(fd, buf + len, sizeof(buf) - len, 0)) > 0)
		len += (size_t)n;
	for (at = 0; at < len; at += (size_t)n) {
		n = frame_parse(buf + at, len - at, FRAME_CTL_MAX, &f, &why);
		REQUIRE(n >= 0);
		if (n == 0)
			break; /* what the link ended in */
		if (f.kind == FRAME_DATA) {
			REQUIRE(f.stream == OUTGOING);
			continue;
		}
		REQUIRE(msg_decode((const char *)f.data, f.len, &m, text,
		            sizeof(text)) == 0);
		REQUIRE(msg_permitted(m.type, SIDE_FRONTEND, SIDE_CLIENT));
		msg_free(&m);
	}
}

static void
feed(struct event_base *base, const struct owner *o, int fd,
    const uint8_t *data, size_t size, size_t piece)
{
	size_t n;

	while (size > 0 && o->p != NULL) {
		n = piece < size ? piece : size;
		if (send(fd, data, n, MSG_NOSIGNAL) != (ssize_t)n)
			break;
		data += n;
		size -= n;
		event_base_loop(base, EVLOOP_NONBLOCK);
		if (o->p == NULL)
			break;
		REQUIRE(o->p->in_cap <= FRAME_HEADER_LEN + FRAME_CTL_MAX);
		REQUIRE(o->p->nsin <= PEER_CLIENT_STREAMS_MAX);
		REQUIRE(o->p->nsout <= PEER_CLIENT_STREAMS_MAX);
		REQUIRE(o->p->queued <= PEER_WINDOW);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t pieces[4] = { 1, 7, 1000, 32776 };
	static struct event_base *base;
	struct owner o;
	int sv[2];

	if (size < 1 || size > INPUT_MAX || (data[0] % 4 < 2 && size > 2000))
		return 0;
	if (base == NULL)
		REQUIRE((base = event_base_new()) != NULL);
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv) == 0);
	memset(&o, 0, sizeof(o));
	o.lazy = (data[0] & 4) != 0;
	o.kill = (data[0] & 8) != 0;
	o.stop = (data[0] & 16) != 0;
	o.p = peer_new(base, sv[0], PEER_CLIENT, SIDE_FRONTEND, SIDE_CLIENT,
	    "egressd/frontend", "client", &ops, &o);
	REQUIRE(o.p != NULL);
	REQUIRE(peer_stream_expect(o.p, EXPECTED, MAX_BYTES) == 0);
	REQUIRE(peer_stream_refuse(o.p, UNWANTED, "unwanted") == 0);
	REQUIRE(peer_stream_begin(o.p, OUTGOING) == 0);
	feed(base, &o, sv[1], (const uint8_t *)hello, sizeof(hello) - 1,
	    sizeof(hello));
	feed(base, &o, sv[1], data + 1, size - 1, pieces[data[0] % 4]);
	shutdown(sv[1], SHUT_WR);
	event_base_loop(base, EVLOOP_NONBLOCK);
	event_base_loop(base, EVLOOP_NONBLOCK);
	REQUIRE(o.p == NULL);
	check_output(sv[1]);
	close(sv[1]);
	return 0;
}
