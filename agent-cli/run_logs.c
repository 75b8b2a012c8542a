/* What a run prints, from an offset on, and every byte of it once. */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "follow.h"

static void
fill(struct request *r, struct msg *m)
{
	struct logs *g = (struct logs *)r;

	g->answered = g->ended = g->missing = false;
	memset(&g->chunks, 0, sizeof(g->chunks));
	m->type = MSG_TYPE_logs;
	m->u.logs.run = g->run;
	m->u.logs.since = g->at;
	m->u.logs.follow = g->follow;
	m->u.logs.stream = r->in;
}

/* What is still to be written came by that link: no credit of the next one. */
static void
lost(struct request *r)
{
	struct logs *g = (struct logs *)r;

	g->stale = g->unwritten;
}

static void
gap(struct logs *g, int64_t missing)
{
	g->at += missing;
	output_line(g->out, STDERR_FILENO,
	    "agent-cli: %" PRId64 " bytes of output are missing here, "
	    "up to offset %" PRId64,
	    missing, g->at);
}

static void
data(struct request *r, const uint8_t *buf, size_t len)
{
	struct logs *g = (struct logs *)r;
	size_t off = 0;
	struct chunk c;
	ptrdiff_t n;

	while (off < len) {
		n = chunk_read(&g->chunks, buf + off, len - off, &c);
		if (n == -1) {
			complain("dispatchd cannot be reached: "
			         "it sent output in another form");
			request_drop(r);
			link_done(r->link, EXIT_UNREACHABLE);
			return;
		}
		off += (size_t)n;
		if (c.kind == CHUNK_GAP)
			gap(g, c.gap);
		if (c.len == 0)
			continue;
		g->at += (int64_t)c.len;
		output_tool(g->out,
		    c.kind == CHUNK_OUT ? STDOUT_FILENO : STDERR_FILENO, c.data,
		    c.len);
	}
	g->unwritten += len;
	output_credit(g->out, len);
}

void
logs_written(struct logs *g, size_t n)
{
	size_t old = n < g->stale ? n : g->stale;

	g->unwritten -= n;
	g->stale -= old;
	request_consumed(&g->r, n - old);
}

static void
whole(struct logs *g)
{
	if (g->answered && g->ended)
		g->over(g->arg);
}

static void
end(struct request *r, bool ok, const char *why)
{
	struct logs *g = (struct logs *)r;
	char *shown;

	/* The error that says more is still to come. */
	if (!ok && !g->answered)
		return;
	if (!ok) {
		shown = visible(why, strlen(why));
		complain("the output ends early: %s", shown);
		free(shown);
		link_done(r->link, EXIT_FAILED);
		return;
	}
	g->ended = true;
	whole(g);
}

static void
answer(struct request *r, const struct msg *m)
{
	struct logs *g = (struct logs *)r;

	g->answered = true;
	whole(g);
}

/*
 * A run that has not begun has printed nothing. What came before a refusal is
 * no credit of the stream that comes next.
 */
static bool
refused(struct request *r, const struct msg *m)
{
	struct logs *g = (struct logs *)r;

	g->stale = g->unwritten;
	g->missing = true;
	if (strcmp(m->u.error.error, "no_run") != 0 || !g->may_miss)
		return g->refused != NULL && g->refused(&m->u.error, g->arg);
	g->over(g->arg);
	return true;
}

static const struct request_ops ops = {
	.fill = fill,
	.answer = answer,
	.refused = refused,
	.data = data,
	.end = end,
	.lost = lost,
	.incoming = true,
};

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	struct logs *g = arg;

	if (!g->r.wanted && g->missing)
		request_ask(&g->r);
}

void
logs_again_later(struct logs *g, int ms)
{
	const struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	if (g->again == NULL)
		g->again = evtimer_new(g->r.link->base, on_again, g);
	if (g->again != NULL)
		(void)evtimer_add(g->again, &tv);
}

void
logs_free(struct logs *g)
{
	if (g->again != NULL)
		event_free(g->again);
	g->again = NULL;
}

void
logs_init(struct logs *g, struct link *l, struct output *out)
{
	memset(g, 0, sizeof(*g));
	request_init(&g->r, l, &ops);
	g->out = out;
}
