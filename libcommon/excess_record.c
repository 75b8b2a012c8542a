/* Refusals that were counted only, on record. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libcommon/excess.h"
#include "libcommon/log.h"

#define REASON_MAX 64

void
excess_record(
    struct excess *e, struct audit_client *a, const char *request, int64_t now)
{
	char reason[REASON_MAX];
	int64_t beyond;
	uint32_t uid;
	struct msg m;

	while (excess_over(e, now, &uid, &beyond)) {
		(void)snprintf(reason, sizeof(reason),
		    "%" PRId64 " more requests were refused", beyond);
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_rec_refused;
		m.u.rec_refused.peer_uid = uid;
		m.u.rec_refused.request = request;
		m.u.rec_refused.code = "many";
		m.u.rec_refused.reason = reason;
		if (audit_client_send_lasting(a, &m, NULL, NULL) == -1)
			log_warnx("uid %" PRIu32 ": %s, and that is not on "
			          "record",
			    uid, reason);
	}
}
