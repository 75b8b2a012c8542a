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

/* Keep it, in place of what was kept before. */
void status_keep(const struct msg_state *m);
/*
 * Answer request id of a client: what is kept, then the counters. A warning
 * that is not NULL follows the others.
 */
void status_answer(struct peer *client, int64_t id, const char *daemon,
    int64_t started_ms, const struct status_counts *counters,
    const char *warning);

#endif
