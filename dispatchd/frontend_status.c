/* status: what the parent told of the daemon, and what is open here. */

#include "libcommon/status.h"

#include "dispatchd/frontend.h"

void
front_status(struct user *u, int64_t id)
{
	const struct status_counts counts = {
		.name = { "clients", "requests", "runs waited for", "streams" },
		.value = { (int64_t)clients_count(),
		    (int64_t)front_call_count(), (int64_t)front_wait_count(),
		    (int64_t)front_relay_count() },
		.n = 4,
	};

	status_answer(
	    u->client.peer, id, "dispatchd", front.started_ms, &counts, NULL);
}
