/*
 * Requests that the table `peers` does not let. Those that would have done
 * something are recorded before they are answered.
 */

#include <stdlib.h>
#include <string.h>

#include "libcommon/clock.h"
#include "libcommon/excess.h"
#include "libcommon/grants.h"
#include "libcommon/log.h"
#include "libcommon/runid.h"

#include "dispatchd/frontend.h"

/* One that waits for its record; a client has PEER_INFLIGHT_MAX of them. */
struct refusal {
	TAILQ_ENTRY(refusal) entry;
	struct user *user;
	int64_t id;
};

static TAILQ_HEAD(, refusal) refusals = TAILQ_HEAD_INITIALIZER(refusals);
static struct excess excess;

static void
refusal_free(struct refusal *r)
{
	TAILQ_REMOVE(&refusals, r, entry);
	free(r);
}

/* It is refused whether or not that could be written down. */
static void
refusal_recorded(bool ok, void *arg)
{
	struct refusal *r = arg;

	if (!ok)
		log_warnx("a refusal could not be recorded");
	front_refuse(r->user, r->id, "refused", GRANTS_REFUSED);
	refusal_free(r);
}

void
front_refuse_recorded(
    struct user *u, int64_t id, const char *request, const char *run)
{
	struct refusal *r;
	struct msg m;

	excess.ms = front_times.refusals_ms;
	if (!excess_permits(&excess, u->client.creds.uid, clock_boot_ms()) ||
	    (r = calloc(1, sizeof(*r))) == NULL) {
		front_refuse(u, id, "refused", GRANTS_REFUSED);
		return;
	}
	r->user = u;
	r->id = id;
	TAILQ_INSERT_TAIL(&refusals, r, entry);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_rec_refused;
	/* Any 12 bytes came here; a record's run is one. */
	if (run != NULL && runid_valid(run))
		m.u.rec_refused.run = run;
	m.u.rec_refused.peer_uid = u->client.creds.uid;
	m.u.rec_refused.peer_pid = u->client.creds.pid;
	m.u.rec_refused.request = request;
	m.u.rec_refused.code = "refused";
	m.u.rec_refused.reason = GRANTS_REFUSED;
	if (audit_client_send(front.audit, &m, refusal_recorded, r) == -1)
		refusal_recorded(false, r);
}

void
front_refuse_user_gone(const struct user *u)
{
	struct refusal *r, *next;

	TAILQ_FOREACH_SAFE(r, &refusals, entry, next) {
		if (r->user == u) {
			audit_client_forget(front.audit, r);
			refusal_free(r);
		}
	}
}

void
front_refuse_tick(int64_t now)
{
	excess_record(&excess, front.audit, "any", now);
}
