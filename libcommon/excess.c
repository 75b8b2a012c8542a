#include "libcommon/excess.h"

static bool
is_over(const struct excess *e, const struct excess_user *u, int64_t now)
{
	return now - u->since_ms >= e->ms;
}

/* His place, a free one, or that of all others. */
static struct excess_user *
place_of(struct excess *e, uint32_t uid, int64_t now)
{
	struct excess_user *u, *empty = NULL;
	size_t i;

	for (i = 0; i < EXCESS_USERS_MAX; i++) {
		u = &e->users[i];
		if (u->since_ms != 0 && u->uid == uid)
			return u;
		/* One whose time is over, and who has nothing to be told. */
		if (empty == NULL &&
		    (u->since_ms == 0 ||
		        (is_over(e, u, now) && u->beyond == 0)))
			empty = u;
	}
	if (empty == NULL) {
		e->users[EXCESS_USERS_MAX].uid = EXCESS_OTHERS;
		return &e->users[EXCESS_USERS_MAX];
	}
	*empty = (struct excess_user){ .uid = uid };
	return empty;
}

bool
excess_permits(struct excess *e, uint32_t uid, int64_t now)
{
	struct excess_user *u = place_of(e, uid, now);

	if (u->since_ms == 0 || (is_over(e, u, now) && u->beyond == 0)) {
		u->since_ms = now;
		u->kept = 0;
	}
	if (u->kept < EXCESS_RECORDS_MAX) {
		u->kept++;
		return true;
	}
	u->beyond++;
	return false;
}

bool
excess_over(struct excess *e, int64_t now, uint32_t *uid, int64_t *beyond)
{
	struct excess_user *u;

	for (u = e->users; u <= e->users + EXCESS_USERS_MAX; u++) {
		if (u->since_ms == 0 || u->beyond == 0 || !is_over(e, u, now))
			continue;
		*uid = u->uid;
		*beyond = u->beyond;
		*u = (struct excess_user){ .uid = u->uid };
		return true;
	}
	return false;
}
