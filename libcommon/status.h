#ifndef LIBCOMMON_STATUS_H
#define LIBCOMMON_STATUS_H

/*
 * The request `status` in a daemon's frontend: what its parent told of the
 * daemon, and counters. One process has one of it.
 */

#include "peer.h"

#define STATUS_COUNTERS_MAX 64

/* Counters to be shown, in this order. */
struct status_counts {
	const char *name[STATUS_COUNTERS_MAX];
	int64_t value[STATUS_COUNTERS_MAX];
	size_t n;
};

/* Who tells: each of what it alone knows. */
enum status_source {
	STATUS_SIBLING,
	STATUS_PARENT,
	STATUS_SOURCES
};

/* Keep it, in place of what was kept before of that source. */
void status_keep(enum status_source source, const struct msg_state *m);
/*
 * Answer request id of a client: what is kept, the parent's first, then the
 * counters. Of warnings the siblings' are first, as there may be too many, and
 * one that is not NULL is the last.
 */
void status_answer(struct peer *client, int64_t id, const char *daemon,
    int64_t started_ms, const struct status_counts *counters,
    const char *warning);

#endif
