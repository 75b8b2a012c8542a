/*
 * Which network a run gets: the lowest of the pool that no live run has. One
 * that the engine refused is somebody else's, and is passed over for a while:
 * else it would be the lowest again, and keep every run out.
 */

#include <string.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"

#include "dispatchd/queue.h"

#define PASS_OVER_MS (10 * 60 * 1000) /* then it may be free */

static struct {
	struct netprefix network;
	int64_t until; /* boot ms; 0: none */
} refused[QUEUE_PASSED_MAX];

/* In place of the one that was refused longest ago. */
void
subnet_refused(const char *network)
{
	struct netprefix p;
	size_t i, at = 0;

	if (netprefix_parse(network, strlen(network), &p) == -1)
		panic("a run's network is none");
	for (i = 0; i < QUEUE_PASSED_MAX; i++) {
		if (refused[i].until < refused[at].until)
			at = i;
	}
	refused[at].network = p;
	refused[at].until = clock_boot_ms() + PASS_OVER_MS;
}

int
subnet_free(char network[QUEUE_NETWORK_MAX + 1])
{
	struct netprefix passed[QUEUE_PASSED_MAX];
	int64_t now = clock_boot_ms();
	size_t i, n = 0;

	for (i = 0; i < QUEUE_PASSED_MAX; i++) {
		if (refused[i].until > now)
			passed[n++] = refused[i].network;
	}
	return queue_store_subnet(
	    queue.store, &queue.config->pool, passed, n, network);
}
