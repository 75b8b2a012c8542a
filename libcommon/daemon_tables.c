#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "libcommon/daemon.h"
#include "libcommon/log.h"

#define STATE_KEYS_MAX 64
#define STATE_KEY_MAX 32
#define STATE_TEXT_MAX 256
#define STATE_WARNINGS_MAX 32
#define STATE_WARNING_MAX 512

/* --- tables ----------------------------------------------------------- */

void
daemon_tables_send(struct daemon *d)
{
	size_t i;

	for (i = 0; i < d->nchildren; i++) {
		if (d->child[i].table != NULL)
			d->def->table(d, &d->child[i]);
	}
}

bool
daemon_tables_applied(const struct daemon *d)
{
	size_t i;

	for (i = 0; i < d->nchildren; i++) {
		if (d->child[i].table != NULL &&
		    d->child[i].applied != d->generation)
			return false;
	}
	return true;
}

void
daemon_table_begin(struct daemon_child *c)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_table_begin;
	m.u.table_begin.table = c->table;
	m.u.table_begin.generation = c->daemon->generation;
	daemon_child_send(c, &m);
}

void
daemon_table_end(struct daemon_child *c, int64_t count)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_table_end;
	m.u.table_end.table = c->table;
	m.u.table_end.generation = c->daemon->generation;
	m.u.table_end.count = count;
	daemon_child_send(c, &m);
}

int64_t
daemon_table_peers(struct daemon_child *c)
{
	const struct daemon_config *conf = &c->daemon->now;
	struct msg m;
	size_t i;

	for (i = 0; i < conf->npeers; i++) {
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_peer_row;
		m.u.peer_row.group = conf->peers[i].group;
		m.u.peer_row.id = conf->peers[i].id;
		m.u.peer_row.may.v = conf->peers[i].may;
		m.u.peer_row.may.n = conf->peers[i].nmay;
		daemon_child_send(c, &m);
	}
	return (int64_t)conf->npeers;
}

/* --- status: what only the parent knows ------------------------------- */

struct daemon_state {
	char key[STATE_KEYS_MAX][STATE_KEY_MAX];
	char value[STATE_KEYS_MAX][STATE_TEXT_MAX];
	const char *k[STATE_KEYS_MAX];
	const char *v[STATE_KEYS_MAX];
	size_t n;
	char warning[STATE_WARNINGS_MAX][STATE_WARNING_MAX];
	const char *w[STATE_WARNINGS_MAX];
	size_t nwarnings;
};

void
daemon_state_add(struct daemon_state *s, const char *key, const char *fmt, ...)
{
	va_list ap;
	char text[STATE_TEXT_MAX];

	if (s->n == STATE_KEYS_MAX)
		return;
	strlcpy(s->key[s->n], key, sizeof(s->key[0]));
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* A path may hold any bytes; what goes out must be UTF-8. */
	log_escape(s->value[s->n], sizeof(s->value[0]), text, strlen(text));
	s->k[s->n] = s->key[s->n];
	s->v[s->n] = s->value[s->n];
	s->n++;
}

void
daemon_state_warn(struct daemon_state *s, const char *text)
{
	char *to;

	if (s->nwarnings == STATE_WARNINGS_MAX)
		return;
	to = s->warning[s->nwarnings];
	log_escape(to, sizeof(s->warning[0]), text, strlen(text));
	s->w[s->nwarnings++] = to;
}

static void
state_sandboxes(const struct daemon *d, struct daemon_state *s)
{
	const struct sandbox_state *st = &d->sandbox;
	const struct daemon_child *c;
	char key[STATE_KEY_MAX] = "sandbox parent";
	size_t i;

	for (i = 0;; i++) {
		daemon_state_add(s, key, "seccomp %s, landlock %d",
		    st->seccomp ? "on" : "ABSENT", st->landlock);
		if (i == d->nchildren)
			return;
		c = &d->child[i];
		if (c->several)
			snprintf(key, sizeof(key), "sandbox %s %u", c->role,
			    c->instance);
		else
			snprintf(key, sizeof(key), "sandbox %s", c->role);
		st = &c->sandbox;
	}
}

static void
state_send(struct daemon *d, const struct daemon_state *s)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_state;
	m.u.state.state.k = s->k;
	m.u.state.state.v = s->v;
	m.u.state.state.n = s->n;
	m.u.state.warnings.v = s->w;
	m.u.state.warnings.n = s->nwarnings;
	daemon_child_send(daemon_child(d, SIDE_FRONTEND), &m);
}

void
daemon_state_send(struct daemon *d)
{
	static struct daemon_state s;
	size_t i;

	memset(&s, 0, sizeof(s));
	daemon_state_add(&s, "configuration", "%.200s", d->file);
	daemon_state_add(&s, "generation", "%lld", (long long)d->generation);
	daemon_state_add(&s, "sha256", "%s", d->now.sha256);
	if (d->unprivileged)
		daemon_state_warn(&s,
		    "not started as root: all processes share one user and can "
		    "be reached by its other programs");
	d->def->state(d, &s);
	daemon_state_add(&s, "records", "%.200s", d->now.audit);
	state_sandboxes(d, &s);
	for (i = 0; i < conf_warnings(d->now.conf); i++)
		daemon_state_warn(&s, conf_warning_text(d->now.conf, i));
	state_send(d, &s);
}
