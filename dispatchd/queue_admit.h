#ifndef DISPATCHD_QUEUE_ADMIT_H
#define DISPATCHD_QUEUE_ADMIT_H

/*
 * Which run is next. Repositories take turns, the runs of one are in the order
 * in which they came; what does not fit is passed by what is smaller, but only
 * QUEUE_PASSES_MAX times: then the host drains until it fits. Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/runid.h"

#define QUEUE_PASSES_MAX 16
/* Repositories whose last turn is remembered; others count as new. */
#define QUEUE_TURNS_MAX 256
#define QUEUE_WHY_MAX 256

struct queue_need {
	int64_t memory, cpus_milli, pids;
};

/* A queued run; its repository as a number (queue_repo_key). */
struct queue_waiting {
	char run[RUNID_LEN + 1];
	uint64_t repo;
	struct queue_need need;
};

struct queue_turn {
	uint64_t repo;
	uint64_t turn; /* of its last admission; 0: this row is free */
};

struct queue_admission {
	struct queue_need capacity;
	int64_t runs_max;
	struct queue_need used; /* by what runs now */
	int64_t runs;
	uint64_t turn;
	struct queue_turn turns[QUEUE_TURNS_MAX];
	/* The one that is first and does not fit, and how often others went
	 * before it. It stays first until it is admitted or gone. */
	char held[RUNID_LEN + 1];
	unsigned passes;
};

/* Runs that go on, or have ended. */
void queue_admit_use(struct queue_admission *a, const struct queue_need *n);
void queue_admit_release(struct queue_admission *a, const struct queue_need *n);
/*
 * The next to be admitted of n waiting runs, in the order in which they came.
 * Returns 1 with *index and its resources used, 0 when none can be now, -1
 * when there is no memory to think. Asking changes what is held: ask until 0.
 */
int queue_admit_next(struct queue_admission *a,
    const struct queue_waiting *rows, size_t n, size_t *index);
/* Why row index waits, for a person. */
void queue_admit_why(const struct queue_admission *a,
    const struct queue_waiting *rows, size_t n, size_t index,
    char why[QUEUE_WHY_MAX + 1]);
/*
 * Could it ever run? Else the numbers, for a person: it is refused, never
 * made smaller.
 */
bool queue_admit_possible(const struct queue_admission *a,
    const struct queue_need *n, char why[QUEUE_WHY_MAX + 1]);
/* The repository's URL as a number; "" too. */
uint64_t queue_repo_key(const char *url);
/* "1536m", "2g", "1000" */
const char *queue_size_text(int64_t bytes, char *buf, size_t size);

#endif
