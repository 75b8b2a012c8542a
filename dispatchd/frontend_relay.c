/*
 * Streams that pass through. Credit follows credit: the source is told to send
 * when the sink has given a whole window, and gets back what the sink gives
 * back. So the source never has more credit than there is room at the sink,
 * and no byte waits here but in the sink's own queue, one window at most.
 */

#include <string.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"

#include "dispatchd/frontend.h"
#include "dispatchd/runs.h"

static TAILQ_HEAD(, call) relays = TAILQ_HEAD_INITIALIZER(relays);
static size_t nrelays;
static uint32_t last_stream;

size_t
front_relay_count(void)
{
	return nrelays;
}

static struct peer *
client_of(const struct call *c)
{
	return c->user != NULL ? c->user->client.peer : NULL;
}

/* Where bytes come from, and under which id; NULL: it is gone. */
static struct peer *
source(const struct call *c, uint32_t *id)
{
	*id = c->way == RELAY_UP ? c->client_stream : c->stream;
	return c->way == RELAY_UP ? client_of(c) : front.runs;
}

static struct peer *
sink(const struct call *c, uint32_t *id)
{
	*id = c->way == RELAY_UP ? c->stream : c->client_stream;
	return c->way == RELAY_UP ? front.queue : client_of(c);
}

/* --- begin and end ---------------------------------------------------- */

/* Of a client that is there: what it does not want any more is as good as gone.
 */
static bool
counts(const struct call *c, enum relay_way way)
{
	return c->user != NULL && c->way == way;
}

static bool
same_user(const struct call *a, const struct call *b)
{
	return a->user->client.creds.uid == b->user->client.creds.uid;
}

/* What stands in the way of one more like c. */
struct crowd {
	size_t all, of_user, of_run;
};

static struct crowd
crowd_of(const struct call *c, enum relay_way way)
{
	struct crowd n = { 0, 0, 0 };
	const struct call *other;

	TAILQ_FOREACH(other, &relays, relay) {
		if (!counts(other, way))
			continue;
		n.all++;
		n.of_user += same_user(other, c);
		n.of_run += strcmp(other->run, c->run) == 0;
	}
	return n;
}

/*
 * Bytes are on their way to a reader that has not asked for more for long: it
 * is stopped, or does not mean to read. A log that has nothing to say is not
 * held against its reader.
 */
static bool
is_idle(const struct call *c)
{
	return c->flowing && c->pending > 0 &&
	    clock_boot_ms() - c->credit_ms >= front_times.idle_ms;
}

/* End idle ones, as far as they are in the way of c, until there is room. */
static void
make_room(const struct call *c)
{
	struct call *other, *next;
	struct crowd n;

	TAILQ_FOREACH_SAFE(other, &relays, relay, next) {
		n = crowd_of(c, RELAY_DOWN);
		if (n.all < FRONTEND_READS_MAX &&
		    n.of_user < FRONTEND_USER_READS_MAX &&
		    n.of_run < RUNS_READERS_OF_RUN_MAX)
			return;
		if (!counts(other, RELAY_DOWN) || !is_idle(other))
			continue;
		if (n.all >= FRONTEND_READS_MAX ||
		    (n.of_user >= FRONTEND_USER_READS_MAX &&
		        same_user(other, c)) ||
		    (n.of_run >= RUNS_READERS_OF_RUN_MAX &&
		        strcmp(other->run, c->run) == 0))
			front_call_fail(other, "timeout",
			    "it was not read on, and others wait");
	}
}

static const char *
limits(const struct call *c, enum relay_way way, int64_t client_stream)
{
	const struct call *other;
	struct crowd n;

	TAILQ_FOREACH(other, &relays, relay) {
		if (other->user != NULL && other->user == c->user &&
		    other->client_stream == client_stream)
			return "this stream is in use";
	}
	if (way == RELAY_DOWN)
		make_room(c);
	n = crowd_of(c, way);
	if (way == RELAY_UP) {
		if (n.of_user >= FRONTEND_USER_PROMPTS_MAX)
			return "this user sends too many prompts";
		if (n.all >= FRONTEND_PROMPTS_MAX)
			return "too many prompts are on their way";
		return NULL;
	}
	if (n.of_user >= FRONTEND_USER_READS_MAX)
		return "this user reads too many logs and bundles";
	if (n.all >= FRONTEND_READS_MAX)
		return "too many logs and bundles are being read";
	return NULL;
}

const char *
front_relay_begin(
    struct call *c, enum relay_way way, int64_t client_stream, int64_t max)
{
	const char *why;
	struct peer *p;
	uint32_t id;

	if ((why = limits(c, way, client_stream)) != NULL)
		return why;
	c->way = way;
	c->client_stream = (uint32_t)client_stream;
	c->stream = last_stream = last_stream % INT32_MAX + 1;
	c->max = max;
	p = sink(c, &id);
	if (p == NULL || peer_stream_begin(p, id) == -1) {
		c->way = RELAY_NONE;
		c->stream = 0;
		return "this stream cannot be opened";
	}
	TAILQ_INSERT_TAIL(&relays, c, relay);
	nrelays++;
	return NULL;
}

static void
source_stop(struct call *c, const char *why)
{
	struct peer *p;
	uint32_t id;

	if (c->source_over)
		return;
	c->source_over = true;
	p = source(c, &id);
	/* A client announced its stream; runs begins one when it is asked. */
	if (c->way == RELAY_UP && p != NULL)
		(void)peer_stream_refuse(p, id, why);
	else if (c->way == RELAY_DOWN && c->flowing)
		peer_stream_abort(p, id, why);
}

static void
sink_stop(struct call *c, const char *why)
{
	struct peer *p;
	uint32_t id;

	if (c->sink_over)
		return;
	c->sink_over = true;
	if ((p = sink(c, &id)) != NULL)
		peer_stream_abort(p, id, why);
}

void
front_relay_end(struct call *c, const char *why)
{
	if (c->way == RELAY_NONE)
		return;
	source_stop(c, why);
	sink_stop(c, why);
	TAILQ_REMOVE(&relays, c, relay);
	nrelays--;
	c->way = RELAY_NONE;
}

/* --- what happens to them --------------------------------------------- */

static void
flow(struct call *c, size_t room)
{
	struct peer *p;
	uint32_t id;

	if (room < PEER_WINDOW) {
		front_call_fail(c, "invalid",
		    "stream: its first credit is less than a window");
		return;
	}
	p = source(c, &id);
	if (p == NULL || peer_stream_expect(p, id, c->max) == -1) {
		front_call_fail(c, "limit", "this stream cannot be opened");
		return;
	}
	c->flowing = true;
	c->credit_ms = clock_boot_ms();
	if (!c->asked)
		front_call_ask(c);
	front_call_touch(c);
}

/* The sink has credit: all that it has beyond the source's goes there. */
static void
sink_ready(struct call *c)
{
	struct peer *p;
	size_t room, n;
	uint32_t id;

	if (c->sink_over || (p = sink(c, &id)) == NULL)
		return;
	room = peer_stream_room(p, id);
	if (!c->flowing) {
		if (!c->source_over)
			flow(c, room);
		return;
	}
	if (room + c->pending <= PEER_WINDOW)
		return;
	n = room + c->pending - PEER_WINDOW;
	if (n > c->pending)
		n = c->pending;
	c->pending -= n;
	c->credit_ms = clock_boot_ms();
	front_call_touch(c);
	if (!c->source_over && (p = source(c, &id)) != NULL)
		peer_stream_consumed(p, id, n);
}

static void
source_data(struct call *c, const uint8_t *buf, size_t len)
{
	struct peer *p;
	uint32_t id;

	p = sink(c, &id);
	if (c->sink_over || p == NULL ||
	    peer_stream_write(p, id, buf, len) == -1) {
		front_call_fail(c, "unavailable", "the bytes cannot be passed");
		return;
	}
	/* Time that a reader takes begins when there is something to read. */
	if (c->pending == 0)
		c->credit_ms = clock_boot_ms();
	c->pending += len;
	front_call_touch(c);
}

/*
 * The sibling that answers is told by its half; what it answers then goes to
 * the client.
 */
static void
source_end(struct call *c, bool ok, const char *why)
{
	struct peer *p;
	uint32_t id;

	c->source_over = true;
	front_call_touch(c);
	if (!ok) {
		sink_stop(c, why);
		/* An answer that praises what is not whole is none. */
		if (c->held)
			front_call_fail(c, "aborted", why);
		return;
	}
	p = sink(c, &id);
	if (!c->sink_over && p != NULL)
		c->whole = peer_stream_finish(p, id) == 0;
	c->sink_over = true;
	front_call_flush(c);
}

static void
sink_end(struct call *c, const char *why)
{
	c->sink_over = true;
	c->whole = false;
	source_stop(c, why);
	/* runs was not asked yet, or has answered: nothing follows. */
	if (!c->asked || c->held)
		front_call_fail(c, "aborted", "it is not wanted any more");
}

/* --- the links -------------------------------------------------------- */

static struct call *
relay_of(enum relay_way way, uint32_t stream)
{
	struct call *c;

	TAILQ_FOREACH(c, &relays, relay) {
		if (c->way == way && c->stream == stream)
			return c;
	}
	return NULL;
}

static struct call *
relay_of_client(const struct user *u, uint32_t stream)
{
	struct call *c;

	TAILQ_FOREACH(c, &relays, relay) {
		if (c->user == u && c->client_stream == stream)
			return c;
	}
	return NULL;
}

void
front_relay_queue_ready(struct peer *p, uint32_t stream, void *arg)
{
	struct call *c = relay_of(RELAY_UP, stream);

	if (c != NULL)
		sink_ready(c);
}

void
front_relay_queue_end(
    struct peer *p, uint32_t stream, bool ok, const char *why, void *arg)
{
	struct call *c = relay_of(RELAY_UP, stream);

	if (c != NULL)
		sink_end(c, why);
}

void
front_relay_runs_data(
    struct peer *p, uint32_t stream, const uint8_t *buf, size_t len, void *arg)
{
	struct call *c = relay_of(RELAY_DOWN, stream);

	if (c != NULL)
		source_data(c, buf, len);
}

void
front_relay_runs_end(
    struct peer *p, uint32_t stream, bool ok, const char *why, void *arg)
{
	struct call *c = relay_of(RELAY_DOWN, stream);

	if (c != NULL)
		source_end(c, ok, why);
}

void
front_relay_client_data(
    struct peer *p, uint32_t stream, const uint8_t *buf, size_t len, void *arg)
{
	struct call *c = relay_of_client(arg, stream);

	if (c != NULL && c->way == RELAY_UP)
		source_data(c, buf, len);
}

void
front_relay_client_ready(struct peer *p, uint32_t stream, void *arg)
{
	struct call *c = relay_of_client(arg, stream);

	if (c != NULL && c->way == RELAY_DOWN)
		sink_ready(c);
}

/* Of its own stream, or of one that it does not want any more. */
void
front_relay_client_end(
    struct peer *p, uint32_t stream, bool ok, const char *why, void *arg)
{
	struct call *c = relay_of_client(arg, stream);

	if (c == NULL)
		return;
	if (c->way == RELAY_UP)
		source_end(c, ok, why);
	else
		sink_end(c, why);
}
