#ifndef LIBCOMMON_EXCESS_H
#define LIBCOMMON_EXCESS_H

/*
 * How many records of refusals a user may cause in a time. What is beyond is
 * counted, and told when its time is over, so that it makes one record.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/audit.h"

#define EXCESS_USERS_MAX 64 /* at a time; all others share one more place */
#define EXCESS_RECORDS_MAX 20 /* of a user, within */
#define EXCESS_MS 60000
#define EXCESS_OTHERS UINT32_MAX /* no uid: the place that is shared */

struct excess_user {
	uint32_t uid;
	int64_t since_ms; /* 0: the place is free */
	int64_t kept, beyond;
};

/* Zero but for the time at first. The last place is that of all others. */
struct excess {
	int64_t ms; /* EXCESS_MS */
	struct excess_user users[EXCESS_USERS_MAX + 1];
};

/* May this one have its own record? If not it is counted. now is not 0. */
bool excess_permits(struct excess *e, uint32_t uid, int64_t now);
/*
 * Of a user whose time is over and for whom some were counted: who, and how
 * many; then he begins anew. False: there is none (any more).
 */
bool excess_over(struct excess *e, int64_t now, uint32_t *uid, int64_t *beyond);
/*
 * excess_record.c: a record "refused" with the code "many" for each of those;
 * request says of what they were refused.
 */
void excess_record(
    struct excess *e, struct audit_client *a, const char *request, int64_t now);

#endif
