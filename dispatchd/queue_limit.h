#ifndef DISPATCHD_QUEUE_LIMIT_H
#define DISPATCHD_QUEUE_LIMIT_H

/*
 * The limits of a run that is committed: its release, its deadline, and how
 * long neither its output nor a tunnel may have a byte; and how long one whose
 * start failed is left alone. Pure. All times are of the boot clock.
 */

#include <stdbool.h>
#include <stdint.h>

#define QUEUE_RELEASE_MS 60000 /* from the release to PID 1's word for it */
#define QUEUE_ASK_SHARE 4 /* egressd is asked so often in the shorter limit */
#define QUEUE_ASK_AGAIN_MS 2000 /* and again, if it did not tell */
#define QUEUE_PAUSE_MS 1000 /* behind the first start that failed */
#define QUEUE_PAUSE_MAX_MS 60000

/* Behind so many of them: twice as long each time, up to the most. */
int64_t queue_pause_ms(int64_t tries);

struct queue_clock {
	int64_t now;
	int64_t release_at; /* it is to begin since then; 0: not yet */
	bool released; /* PID 1 said that it does */
	int64_t begun_at, deadline_ms; /* begun_at 0: not known */
	int64_t running_at; /* RUNNING since then, for us; 0: it is not */
	int64_t output_at; /* the last byte, output or tunnel; 0: none */
	int64_t hung_start_ms, idle_ms; /* 0: no profile says */
	int64_t asked_at; /* egressd, last; 0: never */
	int64_t told_at; /* when what it told last was asked for; 0: nothing */
};

enum queue_limit {
	LIMIT_NONE,
	LIMIT_ASK, /* egressd is to be asked what the tunnels did */
	LIMIT_RELEASE,
	LIMIT_DEADLINE,
	LIMIT_HUNG_START,
	LIMIT_IDLE
};

/*
 * Which limit is over? That nothing came is decided on an answer of egressd
 * that was asked for when the limit was over already: an older one says nothing
 * of what passed since. While egressd does not answer the run goes on, until
 * its deadline, which asks nobody.
 */
enum queue_limit queue_limit_over(const struct queue_clock *c);

#endif
