/* status: what the parent told of the daemon, and what is open here. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"
#include "libcommon/mem.h"
#include "libcommon/version.h"

#include "dispatchd/frontend.h"

#define STATE_MAX 64 /* msg.def: state */
#define WARNINGS_MAX 32
#define COUNTERS 4

/* Kept text of the message `state`. */
static struct {
	char *k[STATE_MAX], *v[STATE_MAX];
	size_t n;
	char *warning[WARNINGS_MAX];
	size_t nwarnings;
} state;

static void
state_clear(void)
{
	size_t i;

	for (i = 0; i < state.n; i++) {
		free(state.k[i]);
		free(state.v[i]);
	}
	for (i = 0; i < state.nwarnings; i++)
		free(state.warning[i]);
	memset(&state, 0, sizeof(state));
}

void
front_state_set(const struct msg_state *m)
{
	size_t i;

	state_clear();
	for (i = 0; i < m->state.n && i < STATE_MAX; i++) {
		state.k[i] = xstrdup(m->state.k[i]);
		state.v[i] = xstrdup(m->state.v[i]);
	}
	state.n = i;
	for (i = 0; i < m->warnings.n && i < WARNINGS_MAX; i++)
		state.warning[i] = xstrdup(m->warnings.v[i]);
	state.nwarnings = i;
}

void
front_status(struct user *u, int64_t id)
{
	const struct {
		const char *name;
		size_t n;
	} counter[COUNTERS] = {
		{ "clients", front.nusers },
		{ "requests", front_call_count() },
		{ "runs waited for", front_wait_count() },
		{ "streams", front_relay_count() },
	};
	const char *k[STATE_MAX + COUNTERS], *v[STATE_MAX + COUNTERS];
	const char *warning[WARNINGS_MAX];
	char text[COUNTERS][24];
	struct msg m;
	size_t i, n;

	for (n = 0; n < state.n; n++) {
		k[n] = state.k[n];
		v[n] = state.v[n];
	}
	for (i = 0; i < COUNTERS; i++, n++) {
		snprintf(text[i], sizeof(text[i]), "%zu", counter[i].n);
		k[n] = counter[i].name;
		v[n] = text[i];
	}
	for (i = 0; i < state.nwarnings; i++)
		warning[i] = state.warning[i];
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_status_answer;
	m.id = id;
	m.u.status_answer.daemon = "dispatchd";
	m.u.status_answer.version = BULKHEAD_VERSION;
	m.u.status_answer.pid = getppid();
	m.u.status_answer.uptime_ms = clock_boot_ms() - front.started_ms;
	m.u.status_answer.state.k = k;
	m.u.status_answer.state.v = v;
	m.u.status_answer.state.n = n;
	m.u.status_answer.warnings.v = warning;
	m.u.status_answer.warnings.n = state.nwarnings;
	peer_send(u->peer, &m);
}
