#include "dispatchd/queue_limit.h"

int64_t
queue_pause_ms(int64_t tries)
{
	int64_t ms = QUEUE_PAUSE_MS;

	while (--tries > 0 && ms < QUEUE_PAUSE_MAX_MS)
		ms *= 2;
	return ms < QUEUE_PAUSE_MAX_MS ? ms : QUEUE_PAUSE_MAX_MS;
}

static int64_t
shorter(const struct queue_clock *c)
{
	return c->hung_start_ms < c->idle_ms ? c->hung_start_ms : c->idle_ms;
}

/* Neither output nor a tunnel had a byte for too long, as far as we know. */
static enum queue_limit
quiet(const struct queue_clock *c)
{
	int64_t over_at = c->output_at == 0 ? c->running_at + c->hung_start_ms
	                                    : c->output_at + c->idle_ms;

	if (c->now <= over_at)
		return c->now - c->asked_at >= shorter(c) / QUEUE_ASK_SHARE
		    ? LIMIT_ASK
		    : LIMIT_NONE;
	if (c->told_at > over_at)
		return c->output_at == 0 ? LIMIT_HUNG_START : LIMIT_IDLE;
	/* One that was asked before that is not waited for. */
	if (c->asked_at <= over_at ||
	    c->now - c->asked_at >= QUEUE_ASK_AGAIN_MS)
		return LIMIT_ASK;
	return LIMIT_NONE;
}

enum queue_limit
queue_limit_over(const struct queue_clock *c)
{
	if (c->begun_at != 0 && c->now - c->begun_at > c->deadline_ms)
		return LIMIT_DEADLINE;
	if (!c->released && c->release_at != 0 &&
	    c->now - c->release_at > QUEUE_RELEASE_MS)
		return LIMIT_RELEASE;
	if (c->running_at == 0 || c->hung_start_ms == 0)
		return LIMIT_NONE;
	return quiet(c);
}
