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
static struct state {
	char *k[STATE_MAX], *v[STATE_MAX];
	size_t n;
	char *warning[WARNINGS_MAX];
	size_t nwarnings;
} states[STATUS_SOURCES];

static void
state_clear(struct state *s)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		free(s->k[i]);
		free(s->v[i]);
	}
	for (i = 0; i < s->nwarnings; i++)
		free(s->warning[i]);
	memset(s, 0, sizeof(*s));
}

/* Words of our own daemon: their size is bounded. */
void
status_keep(enum status_source source, const struct msg_state *m)
{
	struct state *s = &states[source];
	size_t i;

	state_clear(s);
	for (i = 0; i < m->state.n && i < STATE_MAX; i++) {
		s->k[i] = xstrdup(m->state.k[i]);
		s->v[i] = xstrdup(m->state.v[i]);
	}
	s->n = i;
	for (i = 0; i < m->warnings.n && i < WARNINGS_MAX; i++)
		s->warning[i] = xstrdup(m->warnings.v[i]);
	s->nwarnings = i;
}

/* Of all sources: as many as fit. Each returns how many. */
static size_t
add_rows(const char **k, const char **v)
{
	const struct state *s;
	size_t n = 0, i;

	for (s = states + STATUS_SOURCES; s-- > states;) {
		for (i = 0; i < s->n && n < STATE_MAX; i++, n++) {
			k[n] = s->k[i];
			v[n] = s->v[i];
		}
	}
	return n;
}

static size_t
add_warnings(const char **v)
{
	const struct state *s;
	size_t n = 0, i;

	for (s = states; s < states + STATUS_SOURCES; s++) {
		for (i = 0; i < s->nwarnings && n < WARNINGS_MAX; i++)
			v[n++] = s->warning[i];
	}
	return n;
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

	n = add_rows(k, v);
	for (i = 0; i < counters->n; i++, n++) {
		snprintf(text[i], sizeof(text[i]), "%lld",
		    (long long)counters->value[i]);
		k[n] = counters->name[i];
		v[n] = text[i];
	}
	nwarnings = add_warnings(warnings);
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
