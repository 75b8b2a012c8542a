/*
 * The relay: two halves, each from one socket to the other. A half holds at
 * most PROXY_CHUNK bytes of its own, and reads nothing while it holds any, so
 * that a slow reader slows its sender and costs no memory. Large transfers go
 * through a kernel pipe, which a half has only while bytes are in it.
 */

#include <sys/socket.h>
#include <sys/types.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/fd.h"

#include "proxy.h"

enum step {
	STEP_MORE, /* go on */
	STEP_READ, /* wait for the source */
	STEP_WRITE, /* wait for the sink */
	STEP_DONE, /* nothing will come any more */
	STEP_GONE /* the tunnel was ended: touch nothing */
};

struct half {
	struct relay *relay;
	enum relay_side side;
	int src, dst;
	struct event *ev_read, *ev_write;
	uint8_t *rest; /* read, not yet written */
	size_t rest_len, rest_off;
	struct relay_pipe *pipe;
	bool bulk; /* the last read was full */
	bool eof, done;
	int64_t taken, bytes; /* read; written */
	int64_t budget; /* of taken; 0: none */
};

struct relay {
	struct client *client;
	struct proxy_run *run; /* NULL: of no run */
	struct half half[2];
	bool reset; /* one side is gone: flush, end */
	int64_t active_ms;
	int64_t reset_ms;
};

/* Scratch for one read; nothing is kept in it between events. */
static uint8_t chunk[PROXY_CHUNK];

static void half_pump(struct half *);

static void
half_event(int fd, short what, void *arg)
{
	half_pump(arg);
}

static int
half_init(struct half *h, struct relay *r, enum relay_side side, int src,
    int dst, int64_t budget)
{
	struct event_base *base = r->client->proxy->base;

	h->relay = r;
	h->side = side;
	h->src = src;
	h->dst = dst;
	h->budget = budget;
	h->ev_read = event_new(base, src, EV_READ | EV_PERSIST, half_event, h);
	h->ev_write =
	    event_new(base, dst, EV_WRITE | EV_PERSIST, half_event, h);
	return h->ev_read == NULL || h->ev_write == NULL ? -1 : 0;
}

struct relay *
relay_new(struct client *c)
{
	struct relay *r;

	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return NULL;
	r->client = c;
	r->run = c->listener->run;
	r->active_ms = clock_boot_ms();
	if (half_init(&r->half[RELAY_UP], r, RELAY_UP, c->fd, c->upstream,
	        c->budget_up) == -1 ||
	    half_init(&r->half[RELAY_DOWN], r, RELAY_DOWN, c->upstream, c->fd,
	        c->budget_down) == -1) {
		relay_free(&r);
		return NULL;
	}
	/* Early bytes, which came with the request, count too. */
	r->half[RELAY_UP].taken = (int64_t)c->len;
	return r;
}

void
relay_free(struct relay **rp)
{
	struct relay *r = *rp;
	struct half *h;
	size_t i;

	if (r == NULL)
		return;
	for (i = 0; i < 2; i++) {
		h = &r->half[i];
		if (h->ev_read != NULL)
			event_free(h->ev_read);
		if (h->ev_write != NULL)
			event_free(h->ev_write);
		relay_pipe_put(&h->pipe);
		free(h->rest);
	}
	free(r);
	*rp = NULL;
}

int64_t
relay_bytes(const struct relay *r, enum relay_side side)
{
	return r->half[side].bytes;
}

void
relay_start(struct relay *r)
{
	struct half *h = &r->half[RELAY_UP];

	if (h->budget > 0 && h->taken > h->budget)
		tunnel_end(r->client, END_budget);
	else
		half_pump(h);
}

void
relay_open_down(struct relay *r)
{
	event_add(r->half[RELAY_DOWN].ev_read, NULL);
}

int
relay_timeout(struct relay *r)
{
	int64_t idle = clock_boot_ms() - r->active_ms;

	if (r->reset && clock_boot_ms() - r->reset_ms >= PROXY_FLUSH_MS)
		tunnel_end(r->client, END_peer_reset);
	else if (!r->reset && idle >= PROXY_IDLE_MS)
		tunnel_end(r->client, END_idle);
	else
		return r->reset ? PROXY_FLUSH_MS : (int)(PROXY_IDLE_MS - idle);
	return 0;
}

/* --- one half --------------------------------------------------------- */

/*
 * One side was reset or will not take more. What the other half still holds
 * of it is delivered, for PROXY_FLUSH_MS at most.
 */
static void
relay_reset(struct relay *r)
{
	if (r->reset)
		return;
	r->reset = true;
	r->reset_ms = clock_boot_ms();
	proxy_timer(r->client->timer, PROXY_FLUSH_MS);
}

/* The source has gone: nothing can be sent to it either. */
static void
half_source_gone(struct half *h)
{
	struct half *back = &h->relay->half[h->side == RELAY_UP];

	h->eof = true;
	back->done = true;
	event_del(back->ev_read);
	event_del(back->ev_write);
	relay_reset(h->relay);
}

/* The sink has gone: what comes from it may still be read to its end. */
static enum step
half_sink_gone(struct half *h)
{
	h->done = true;
	relay_reset(h->relay);
	return STEP_DONE;
}

static void
half_wrote(struct half *h, ssize_t n)
{
	struct proxy_run *run = h->relay->run;

	h->bytes += n;
	h->relay->active_ms = clock_boot_ms();
	if (run != NULL && n > 0) {
		run->bytes[h->side] += n;
		run->active_ms = h->relay->active_ms;
	}
}

static enum step
half_write_rest(struct half *h)
{
	ssize_t n;

	n = send(h->dst, h->rest + h->rest_off, h->rest_len - h->rest_off,
	    FD_NOSIGNAL);
	if (n == -1) {
		if (errno == EAGAIN || errno == EINTR)
			return STEP_WRITE;
		return half_sink_gone(h);
	}
	half_wrote(h, n);
	h->rest_off += (size_t)n;
	if (h->rest_off < h->rest_len)
		return STEP_WRITE;
	free(h->rest);
	h->rest = NULL;
	h->rest_len = h->rest_off = 0;
	return STEP_MORE;
}

static enum step
half_write_pipe(struct half *h)
{
	ssize_t n;

	n = relay_pipe_drain(h->pipe, h->dst);
	if (n == -1) {
		if (errno == EAGAIN || errno == EINTR)
			return STEP_WRITE;
		return half_sink_gone(h);
	}
	half_wrote(h, n);
	return STEP_MORE;
}

/* Write buf; keep what the sink does not take. */
static enum step
half_pass(struct half *h, const uint8_t *buf, size_t len)
{
	ssize_t n;

	n = send(h->dst, buf, len, FD_NOSIGNAL);
	if (n == -1) {
		if (errno != EAGAIN && errno != EINTR)
			return half_sink_gone(h);
		n = 0;
	}
	half_wrote(h, n);
	if ((size_t)n == len)
		return STEP_MORE;
	h->rest_len = len - (size_t)n;
	h->rest_off = 0;
	h->rest = malloc(h->rest_len);
	if (h->rest == NULL) {
		tunnel_end(h->relay->client, END_shutdown);
		return STEP_GONE;
	}
	memcpy(h->rest, buf + n, h->rest_len);
	return STEP_WRITE;
}

/* How much may be read now: PROXY_CHUNK, less when a budget ends. */
static size_t
half_want(const struct half *h)
{
	if (h->budget > 0 && h->budget - h->taken < PROXY_CHUNK)
		return (size_t)(h->budget - h->taken);
	return PROXY_CHUNK;
}

/* The budget is used up: is there more to come, or is this the end? */
static enum step
half_over_budget(struct half *h)
{
	uint8_t byte;
	ssize_t n;

	n = recv(h->src, &byte, 1, MSG_PEEK);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return STEP_READ;
	if (n > 0) {
		tunnel_end(h->relay->client, END_budget);
		return STEP_GONE;
	}
	if (n == 0)
		h->eof = true;
	else
		half_source_gone(h);
	return STEP_MORE;
}

/* A read that gave no bytes. */
static enum step
half_no_bytes(struct half *h, ssize_t n)
{
	if (n == 0) {
		h->eof = true;
		return STEP_MORE;
	}
	if (errno == EAGAIN || errno == EINTR) {
		h->bulk = false;
		return STEP_READ;
	}
	half_source_gone(h);
	return STEP_MORE;
}

static enum step
half_read_bulk(struct half *h)
{
	ssize_t n;

	n = relay_pipe_fill(h->pipe, h->src, half_want(h));
	if (n <= 0)
		return half_no_bytes(h, n);
	h->taken += n;
	return STEP_MORE;
}

static enum step
half_read_plain(struct half *h)
{
	size_t want = half_want(h);
	ssize_t n;

	n = recv(h->src, chunk, want, 0);
	if (n <= 0)
		return half_no_bytes(h, n);
	h->taken += n;
	h->bulk = (size_t)n == PROXY_CHUNK;
	if (h->side == RELAY_DOWN)
		tunnel_watch_down(h->relay->client, chunk, (size_t)n);
	return half_pass(h, chunk, (size_t)n);
}

/* --- the client's bytes, as long as they are judged ------------------- */

static bool
judged_room(struct client *c)
{
	uint8_t *buf;
	size_t cap;

	if (c->cap - c->len >= PROXY_CHUNK)
		return true;
	cap = c->len + PROXY_CHUNK;
	if (cap > PROXY_HELLO_MAX + 2 * PROXY_CHUNK)
		return false;
	buf = realloc(c->buf, cap);
	if (buf == NULL)
		return false;
	c->buf = buf;
	c->cap = cap;
	return true;
}

/* Hand on what was found good at the front of c->buf. */
static enum step
judged_pass(struct half *h, size_t good)
{
	struct client *c = h->relay->client;
	enum step step;

	step = half_pass(h, c->buf, good);
	if (step == STEP_GONE || step == STEP_DONE)
		return step;
	c->len -= good;
	c->fed -= good < c->fed ? good : c->fed;
	c->forwarded += good;
	memmove(c->buf, c->buf + good, c->len);
	if (c->len == 0) {
		free(c->buf);
		c->buf = NULL;
		c->cap = 0;
	}
	return step;
}

static enum step
judged_read(struct half *h)
{
	struct client *c = h->relay->client;
	size_t want = half_want(h);
	ssize_t n;

	if (!judged_room(c)) {
		tunnel_end(c, END_malformed_hello);
		return STEP_GONE;
	}
	n = recv(h->src, c->buf + c->len, want, 0);
	if (n <= 0)
		return half_no_bytes(h, n);
	h->taken += n;
	c->len += (size_t)n;
	return STEP_MORE;
}

/* Do bytes stand in c->buf that nobody has looked at, or that may just go? */
static bool
judged_pending(const struct half *h)
{
	const struct client *c = h->relay->client;

	return h->side == RELAY_UP &&
	    (c->tls != NULL ? c->fed < c->len : c->len > 0);
}

static enum step
judged_step(struct half *h)
{
	struct client *c = h->relay->client;
	ssize_t good = (ssize_t)c->len;

	if (c->tls != NULL)
		good = tunnel_filter_up(c);
	if (good == -1)
		return STEP_GONE;
	return good > 0 ? judged_pass(h, (size_t)good) : STEP_MORE;
}

/* --- pumping ---------------------------------------------------------- */

/* The source's end, and nothing of it left here. */
static enum step
half_ended(struct half *h)
{
	struct client *c = h->relay->client;

	if (c->state == CLIENT_HELLO) {
		tunnel_end(c, h->relay->reset ? END_peer_reset : END_no_hello);
		return STEP_GONE;
	}
	shutdown(h->dst, SHUT_WR);
	h->done = true;
	return STEP_DONE;
}

/* Does the half hold something that can go on without another read? */
static bool
half_pending(const struct half *h)
{
	return h->rest != NULL || (h->pipe != NULL && h->pipe->len > 0) ||
	    judged_pending(h) || h->eof;
}

static enum step
half_step(struct half *h)
{
	if (h->done)
		return STEP_DONE;
	if (h->rest != NULL)
		return half_write_rest(h);
	if (h->pipe != NULL && h->pipe->len > 0)
		return half_write_pipe(h);
	if (judged_pending(h))
		return judged_step(h);
	if (h->eof)
		return half_ended(h);
	if (half_want(h) == 0)
		return half_over_budget(h);
	if (h->side == RELAY_UP && h->relay->client->tls != NULL)
		return judged_read(h);
	if (h->bulk &&
	    (h->pipe != NULL || (h->pipe = relay_pipe_get()) != NULL))
		return half_read_bulk(h);
	return half_read_plain(h);
}

/* A half is done. The tunnel is when both are, or when one side is gone. */
static void
half_done(struct half *h)
{
	struct relay *r = h->relay;

	event_del(h->ev_read);
	event_del(h->ev_write);
	relay_pipe_put(&h->pipe);
	if (r->half[RELAY_UP].done && r->half[RELAY_DOWN].done)
		tunnel_end(r->client, r->reset ? END_peer_reset : END_done);
}

static void
half_pump(struct half *h)
{
	enum step step = STEP_MORE;
	int i;

	for (i = 0; i < PROXY_TURNS && step == STEP_MORE; i++)
		step = half_step(h);
	/* Others' turn; the socket that is ready calls us again. */
	if (step == STEP_MORE)
		step = half_pending(h) ? STEP_WRITE : STEP_READ;
	switch (step) {
	case STEP_READ:
		/* It is empty, and others may need it while we wait. */
		relay_pipe_put(&h->pipe);
		event_del(h->ev_write);
		event_add(h->ev_read, NULL);
		break;
	case STEP_WRITE:
		event_del(h->ev_read);
		event_add(h->ev_write, NULL);
		break;
	case STEP_DONE:
		half_done(h);
		break;
	case STEP_MORE:
	case STEP_GONE:
		break;
	}
}
