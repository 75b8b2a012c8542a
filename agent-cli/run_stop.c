/* Stop a run from within a program that follows it. */

#include <string.h>

#include "follow.h"

static void
fill(struct request *r, struct msg *m)
{
	struct stopping *s = (struct stopping *)r;

	m->type = MSG_TYPE_stop;
	m->u.stop.run = s->run;
}

static void
answer(struct request *r, const struct msg *m)
{
	struct stopping *s = (struct stopping *)r;

	s->over(&m->u.stop_answer, s->arg);
}

static const struct request_ops ops = {
	.fill = fill,
	.answer = answer,
};

void
stopping_init(struct stopping *s, struct link *l)
{
	memset(s, 0, sizeof(*s));
	request_init(&s->r, l, &ops);
}
