/*
 * What status shows of the container engine. Whatever goes wrong there, or gets
 * well, has the queue look at it anew; what that shows is told to the frontend.
 */

#include <stdio.h>
#include <string.h>

#include "dispatchd/queue.h"

#define ROW_MAX 256 /* msg.def: state */

static bool looking;

/* --- told ------------------------------------------------------------------
 */

/* image NULL: not known. */
static void
tell(const char *state, const char *image, const struct msg_list *warnings)
{
	const char *k[] = { "engine_state", "image_id" };
	const char *v[] = { state, image };
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_state;
	m.u.state.state.k = k;
	m.u.state.state.v = v;
	m.u.state.state.n = image != NULL ? 2 : 1;
	if (warnings != NULL)
		m.u.state.warnings = *warnings;
	sibling_send(queue.frontend, &m);
}

void
engine_asked(void)
{
	tell("asked, and has not answered yet", NULL, NULL);
}

void
engine_informed(const struct msg *m)
{
	const struct msg_engine_info_answer *a;
	char state[ROW_MAX];

	if (m == NULL || m->type != MSG_TYPE_engine_info_answer) {
		snprintf(state, sizeof(state), "unreachable: %s",
		    m != NULL ? m->u.error.reason : "no answer");
		tell(state, NULL, NULL);
		return;
	}
	a = &m->u.engine_info_answer;
	snprintf(
	    state, sizeof(state), "reachable: %s, API %s", a->version, a->api);
	tell(state, a->image_id[0] != '\0' ? a->image_id : "absent",
	    &a->warnings);
}

/* --- looked at -------------------------------------------------------------
 */

static void
looked(struct qjob *unused, const struct msg *m)
{
	looking = false;
	engine_informed(m);
}

/* At the start it is asked until it answers, and the image is pinned. */
static void
look(void)
{
	struct msg m;

	if (looking || !queue.engine_ready)
		return;
	looking = true;
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_engine_info;
	m.u.engine_info.look = true;
	call_send(queue.engine, &m, NULL, QUEUE_ENGINE_MS, looked);
}

/*
 * It is told of no run whenever the connection is lost or there again, and from
 * time to time.
 */
void
engine_heard(const struct msg *m)
{
	if (m->type == MSG_TYPE_engine_event) {
		if (m->u.engine_event.run == NULL)
			look();
	} else if (m->type == MSG_TYPE_error &&
	    (strcmp(m->u.error.error, "unavailable") == 0 ||
	        strcmp(m->u.error.error, "image_absent") == 0))
		look();
}
