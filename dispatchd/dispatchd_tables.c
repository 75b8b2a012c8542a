/* The configuration as messages to the children, and what status shows. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/log.h"

#include "dispatchd/dispatchd_parent.h"

#define ROOTS_PIECE 32768 /* bytes of CA roots at a time */

/* A message that a child must get; one that cannot be sent is our own bug. */
static void
send_or_die(struct child *c, const struct msg *m)
{
	if (peer_send(c->peer, m) == -1)
		panic("cannot send %s to %s", msg_decl(m->type)->wire, c->role);
}

/* --- the frontend's --------------------------------------------------- */

static void
send_peers(struct parent *p)
{
	const struct dispatch_config *conf = p->now.config;
	struct child *c = dispatch_child(p, SIDE_FRONTEND);
	struct msg m;
	size_t i;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_table_begin;
	m.u.table_begin.table = "peers";
	m.u.table_begin.generation = p->generation;
	send_or_die(c, &m);
	for (i = 0; i < conf->npeers; i++) {
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_peer_row;
		m.u.peer_row.group = conf->peers[i].group;
		m.u.peer_row.id = conf->peers[i].id;
		m.u.peer_row.may.v = conf->peers[i].may;
		m.u.peer_row.may.n = conf->peers[i].nmay;
		send_or_die(c, &m);
	}
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_table_end;
	m.u.table_end.table = "peers";
	m.u.table_end.generation = p->generation;
	m.u.table_end.count = (int64_t)conf->npeers;
	send_or_die(c, &m);
}

/* --- the queue's ------------------------------------------------------ */

/* What of a profile's CA roots has gone out; its bytes are the profile's. */
static struct roots {
	uint32_t stream; /* 0: none */
	size_t off;
} roots[DISPATCH_PROFILES_MAX];

static int64_t
count_roots(const struct dispatch_config *conf)
{
	int64_t n = 0;
	size_t i;

	for (i = 0; i < conf->nprofiles; i++)
		n += conf->profiles[i].ca_len > 0;
	return n;
}

struct msg
dispatch_config_message(
    const struct loaded *l, char *state, size_t len, int64_t generation)
{
	struct msg m;

	snprintf(state, len, "%s/queue", l->config->state);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_dispatch_config;
	m.u.dispatch_config.text = l->text;
	m.u.dispatch_config.state = state;
	m.u.dispatch_config.generation = generation;
	m.u.dispatch_config.roots = count_roots(l->config);
	return m;
}

static void
send_roots(struct parent *p, struct child *c)
{
	const struct dispatch_profile *pr;
	struct msg m;
	size_t i;

	memset(roots, 0, sizeof(roots));
	for (i = 0; i < p->now.config->nprofiles; i++) {
		pr = &p->now.config->profiles[i];
		if (pr->ca_len == 0)
			continue;
		p->last_stream = p->last_stream % INT32_MAX + 1;
		roots[i].stream = p->last_stream;
		if (peer_stream_begin(c->peer, p->last_stream) == -1)
			panic("cannot open a stream to the queue");
		memset(&m, 0, sizeof(m));
		m.type = MSG_TYPE_dispatch_roots;
		m.u.dispatch_roots.profile = pr->name;
		m.u.dispatch_roots.stream = p->last_stream;
		m.u.dispatch_roots.bytes = (int64_t)pr->ca_len;
		send_or_die(c, &m);
	}
}

void
dispatch_roots_ready(struct parent *p, uint32_t stream)
{
	struct peer *queue = dispatch_child(p, SIDE_QUEUE)->peer;
	const struct dispatch_profile *pr;
	size_t i, n, room;

	for (i = 0; i < DISPATCH_PROFILES_MAX; i++) {
		if (roots[i].stream == stream)
			break;
	}
	if (i == DISPATCH_PROFILES_MAX)
		return;
	pr = &p->now.config->profiles[i];
	while (roots[i].off < pr->ca_len &&
	    (room = peer_stream_room(queue, stream)) > 0) {
		n = pr->ca_len - roots[i].off;
		if (n > room)
			n = room;
		if (n > ROOTS_PIECE)
			n = ROOTS_PIECE;
		if (peer_stream_write(
		        queue, stream, pr->ca + roots[i].off, n) == -1)
			fatalx("cannot send CA roots to the queue");
		roots[i].off += n;
	}
	if (roots[i].off < pr->ca_len)
		return;
	if (peer_stream_finish(queue, stream) == -1)
		fatalx("cannot send CA roots to the queue");
	roots[i].stream = 0;
}

static void
send_config(struct parent *p)
{
	struct child *c = dispatch_child(p, SIDE_QUEUE);
	char state[256];
	struct msg m;

	m = dispatch_config_message(
	    &p->now, state, sizeof(state), p->generation);
	send_or_die(c, &m);
	send_roots(p, c);
}

void
dispatch_send_tables(struct parent *p)
{
	send_peers(p);
	send_config(p);
}

bool
dispatch_tables_applied(const struct parent *p)
{
	size_t i;

	for (i = 0; i < p->nchildren; i++) {
		if (p->child[i].table != TABLE_NONE &&
		    p->child[i].applied != p->generation)
			return false;
	}
	return true;
}

/* --- the engine's ----------------------------------------------------- */

void
dispatch_send_engine_base(struct parent *p)
{
	const struct dispatch_config *conf = p->now.config;
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_engine_base;
	m.u.engine_base.driver = "docker";
	m.u.engine_base.socket = conf->engine_socket;
	m.u.engine_base.instance = p->instance;
	m.u.engine_base.prefix = conf->prefix;
	m.u.engine_base.runs_dir = p->doors;
	m.u.engine_base.image = conf->image;
	send_or_die(dispatch_child(p, SIDE_ENGINE), &m);
}

/* --- status: what only the parent knows ------------------------------- */

#define STATE_KEYS_MAX 64
#define STATE_TEXT_MAX 256
#define STATE_WARNINGS_MAX 32
#define STATE_WARNING_MAX 512

struct state_map {
	char key[STATE_KEYS_MAX][32];
	char value[STATE_KEYS_MAX][STATE_TEXT_MAX];
	const char *k[STATE_KEYS_MAX];
	const char *v[STATE_KEYS_MAX];
	size_t n;
};

struct state_warnings {
	char text[STATE_WARNINGS_MAX][STATE_WARNING_MAX];
	const char *v[STATE_WARNINGS_MAX];
	size_t n;
};

static void state_add(struct state_map *, const char *, const char *, ...)
    __attribute__((format(printf, 3, 4)));

static void
state_add(struct state_map *s, const char *key, const char *fmt, ...)
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

static void
state_warn(struct state_warnings *w, const char *text)
{
	if (w->n == STATE_WARNINGS_MAX)
		return;
	log_escape(w->text[w->n], sizeof(w->text[0]), text, strlen(text));
	w->v[w->n] = w->text[w->n];
	w->n++;
}

static void
state_sandbox(
    struct state_map *s, const char *role, const struct sandbox_state *st)
{
	char key[32];

	snprintf(key, sizeof(key), "sandbox %s", role);
	state_add(s, key, "seccomp %s, landlock %d",
	    st->seccomp ? "on" : "ABSENT", st->landlock);
}

static void
state_config(const struct parent *p, struct state_map *s)
{
	const struct dispatch_config *c = p->now.config;
	char pool[NETADDR_PREFIX_TEXT_MAX];

	state_add(s, "configuration", "%.200s", p->file);
	state_add(s, "generation", "%lld", (long long)p->generation);
	state_add(s, "sha256", "%s", c->sha256);
	state_add(s, "state", "%.200s", c->state);
	state_add(s, "instance", "%s", p->instance);
	state_add(s, "engine", "docker, %.200s", c->engine_socket);
	state_add(s, "egressd", "%.200s", c->egressd);
	state_add(s, "network_pool", "%s", netprefix_text(&c->pool, pool));
	state_add(s, "image", "%.200s", c->image);
	state_add(s, "capacity",
	    "%lld runs, %lld bytes of memory, %lld.%03lld cpus, %lld pids",
	    (long long)c->capacity.runs, (long long)c->capacity.memory,
	    (long long)c->capacity.cpus_milli / 1000,
	    (long long)c->capacity.cpus_milli % 1000,
	    (long long)c->capacity.pids);
	state_add(s, "profiles", "%zu", c->nprofiles);
	state_add(s, "tools", "%zu", c->ntools);
	state_add(s, "records", "%.200s", c->audit);
}

void
dispatch_send_state(struct parent *p)
{
	static struct state_warnings w;
	static struct state_map s;
	struct msg m;
	size_t i;

	memset(&s, 0, sizeof(s));
	memset(&w, 0, sizeof(w));
	state_config(p, &s);
	state_sandbox(&s, "parent", &p->sandbox);
	for (i = 0; i < p->nchildren; i++)
		state_sandbox(&s, p->child[i].role, &p->child[i].sandbox);
	if (p->unprivileged)
		state_warn(&w,
		    "not started as root: all processes share one user and can "
		    "be reached by its other programs");
	if (p->engine_why[0] != '\0')
		state_warn(&w, p->engine_why);
	for (i = 0; i < conf_warnings(p->now.config->conf); i++)
		state_warn(&w, conf_warning_text(p->now.config->conf, i));
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_state;
	m.u.state.state.k = s.k;
	m.u.state.state.v = s.v;
	m.u.state.state.n = s.n;
	m.u.state.warnings.v = w.v;
	m.u.state.warnings.n = w.n;
	send_or_die(dispatch_child(p, SIDE_FRONTEND), &m);
}
