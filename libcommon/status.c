#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/mem.h"
#include "libcommon/status.h"
#include "libcommon/version.h"

#define STATE_MAX 64 /* msg.def: state */
#define WARNINGS_MAX 32
#define NUMBER_LEN 24

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

/* Configuration of our own parent: its size is bounded. */
void
status_keep(const struct msg_state *m)
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
status_answer(struct peer *client, int64_t id, const char *daemon,
    int64_t started_ms, const struct status_counts *counters,
    const char *warning)
{
	const char *k[STATE_MAX + STATUS_COUNTERS_MAX],
	    *v[STATE_MAX + STATUS_COUNTERS_MAX], *warnings[WARNINGS_MAX];
	char text[STATUS_COUNTERS_MAX][NUMBER_LEN];
	struct msg m;
	size_t i, n, nwarnings;

	for (n = 0; n < state.n; n++) {
		k[n] = state.k[n];
		v[n] = state.v[n];
	}
	for (i = 0; i < counters->n; i++, n++) {
		snprintf(text[i], sizeof(text[i]), "%lld",
		    (long long)counters->value[i]);
		k[n] = counters->name[i];
		v[n] = text[i];
	}
	for (nwarnings = 0; nwarnings < state.nwarnings; nwarnings++)
		warnings[nwarnings] = state.warning[nwarnings];
	/* What is wrong now goes before one more word on the configuration. */
	if (warning != NULL) {
		if (nwarnings == WARNINGS_MAX)
			nwarnings--;
		warnings[nwarnings++] = warning;
	}
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_status_answer;
	m.id = id;
	m.u.status_answer.daemon = daemon;
	m.u.status_answer.version = BULKHEAD_VERSION;
	m.u.status_answer.pid = getppid();
	m.u.status_answer.uptime_ms = clock_boot_ms() - started_ms;
	m.u.status_answer.state.k = k;
	m.u.status_answer.state.v = v;
	m.u.status_answer.state.n = n;
	m.u.status_answer.warnings.v = warnings;
	m.u.status_answer.warnings.n = nwarnings;
	peer_send(client, &m);
}
