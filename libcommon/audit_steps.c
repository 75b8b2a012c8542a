/*
 * Which steps of runs are in the file already. A sender that died before it
 * heard that a step was written sends it again when it is back, and it is to
 * stand there once. What may come again is not older than what waits to be
 * acknowledged: the last AUDIT_STEPS_MAX steps are enough. Pure.
 */

#include <stdlib.h>
#include <string.h>

#include "libcommon/audit_internal.h"

struct step {
	char run[RUNID_LEN + 1];
	int64_t step;
};

struct audit_steps {
	size_t n, next;
	struct step ring[AUDIT_STEPS_MAX];
};

struct audit_steps *
audit_steps_new(void)
{
	return calloc(1, sizeof(struct audit_steps));
}

void
audit_steps_add(struct audit_steps *s, const char *run, int64_t step)
{
	struct step *e = &s->ring[s->next];

	(void)strlcpy(e->run, run, sizeof(e->run));
	e->step = step;
	s->next = (s->next + 1) % AUDIT_STEPS_MAX;
	if (s->n < AUDIT_STEPS_MAX)
		s->n++;
}

bool
audit_steps_has(const struct audit_steps *s, const char *run, int64_t step)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->ring[i].step == step && strcmp(s->ring[i].run, run) == 0)
			return true;
	return false;
}

void
audit_steps_free(struct audit_steps **sp)
{
	free(*sp);
	*sp = NULL;
}
