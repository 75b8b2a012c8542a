/*
 * A client's bytes through a real socket into a peer: the first byte of the
 * input says how they are cut and what the owner does, the rest is sent.
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

#define INPUT_MAX (128 * 1024)

/* Not assert(3), which a release build leaves out. */
#define REQUIRE(x)               \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

struct owner {
	struct peer *p;
	int answer; /* each request at once */
	int kill; /* free the peer within the third message */
	unsigned messages;
	unsigned gone;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
answer(struct peer *p, int64_t id)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_status_answer;
	m.id = id;
	m.u.status_answer.daemon = "d";
	m.u.status_answer.version = "1";
	m.u.status_answer.pid = 1;
	REQUIRE(peer_send(p, &m) == 0);
}

static void
got_message(struct peer *p, struct msg *m, int fd, void *arg)
{
	struct owner *o = arg;

	REQUIRE(o->gone == 0 && p == o->p && fd == -1);
	REQUIRE(p->hello_got && m->type != MSG_TYPE_hello);
	REQUIRE(msg_permitted(m->type, SIDE_CLIENT, SIDE_FRONTEND));
	REQUIRE(m->id > 0 && p->nopen >= 1 && p->nopen <= PEER_INFLIGHT_MAX);
	o->messages++;
	if (o->answer)
		answer(p, m->id);
	if (o->kill && o->messages == 3)
		peer_free(&o->p);
}

static void
got_gone(struct peer *p, enum peer_end end, const char *why, void *arg)
{
	struct owner *o = arg;

	REQUIRE(o->gone == 0 && p == o->p);
	REQUIRE(end == PEER_END_PROTOCOL || end == PEER_END_EOF);
	REQUIRE(why[0] != '\0');
	o->gone++;
	peer_free(&o->p);
}

static const struct peer_ops ops = { .message = got_message, .gone = got_gone };

/* Everything that we say to a client is a frame that it can decode. */
static void
check_output(int fd)
{
	static uint8_t buf[512 * 1024];
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
		REQUIRE(n > 0 && f.kind == FRAME_CONTROL);
		REQUIRE(msg_decode((const char *)f.data, f.len, &m, text,
		            sizeof(text)) == 0);
		REQUIRE(msg_permitted(m.type, SIDE_FRONTEND, SIDE_CLIENT));
		REQUIRE((at == 0) == (m.type == MSG_TYPE_hello));
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
		REQUIRE(o->p->in_len < o->p->in_need);
		REQUIRE(o->p->in_need <= FRAME_HEADER_LEN + FRAME_CTL_MAX);
		REQUIRE(o->p->in_cap <= FRAME_HEADER_LEN + FRAME_CTL_MAX);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t pieces[4] = { 1, 7, 1000, 16384 };
	static struct event_base *base;
	struct owner o;
	int sv[2];

	if (size < 1 || size > INPUT_MAX || (data[0] % 4 < 2 && size > 2000))
		return 0;
	if (base == NULL)
		REQUIRE((base = event_base_new()) != NULL);
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv) == 0);
	memset(&o, 0, sizeof(o));
	o.answer = (data[0] & 4) != 0;
	o.kill = (data[0] & 8) != 0;
	o.p = peer_new(base, sv[0], PEER_CLIENT, SIDE_FRONTEND, SIDE_CLIENT,
	    "egressd/frontend", "client", &ops, &o);
	REQUIRE(o.p != NULL);
	feed(base, &o, sv[1], data + 1, size - 1, pieces[data[0] % 4]);
	shutdown(sv[1], SHUT_WR);
	event_base_loop(base, EVLOOP_NONBLOCK);
	REQUIRE(o.p == NULL);
	check_output(sv[1]);
	close(sv[1]);
	return 0;
}
