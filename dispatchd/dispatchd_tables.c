/* The configuration as messages to the children, and what status shows. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/log.h"

#include "dispatchd/dispatchd_parent.h"

#define ROOTS_PIECE 32768 /* bytes of CA roots at a time */

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
    const struct daemon_config *d, char *state, size_t len, int64_t generation)
{
	const struct dispatch_config *c = d->own;
	struct msg m;

	snprintf(state, len, "%s/queue", c->state);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_dispatch_config;
	m.u.dispatch_config.text = d->text;
	m.u.dispatch_config.state = state;
	m.u.dispatch_config.generation = generation;
	m.u.dispatch_config.roots = count_roots(c);
	return m;
}

static void
send_roots(struct parent *p, struct daemon_child *c)
{
	const struct dispatch_profile *pr;
	struct msg m;
	size_t i;

	memset(roots, 0, sizeof(roots));
	for (i = 0; i < parent_config(p)->nprofiles; i++) {
		pr = &parent_config(p)->profiles[i];
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
		daemon_child_send(c, &m);
	}
}

/* As many of its bytes as the stream has room for. */
static void
roots_ready(struct parent *p, struct peer *queue, uint32_t stream)
{
	const struct dispatch_profile *pr;
	size_t i, n, room;

	for (i = 0; i < DISPATCH_PROFILES_MAX; i++) {
		if (roots[i].stream == stream)
			break;
	}
	if (i == DISPATCH_PROFILES_MAX)
		return;
	pr = &parent_config(p)->profiles[i];
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
queue_ready(struct peer *peer, uint32_t stream, void *arg)
{
	struct daemon_child *c = arg;

	roots_ready(parent_of(c->daemon), peer, stream);
}

static void
queue_end(
    struct peer *peer, uint32_t stream, bool ok, const char *why, void *arg)
{
	fatalx("the queue does not take the CA roots: %s", why);
}

const struct peer_ops dispatch_queue_ops = { .message = daemon_child_message,
	.gone = daemon_child_gone,
	.stream_ready = queue_ready,
	.stream_end = queue_end };

static void
send_config(struct parent *p, struct daemon_child *c)
{
	char state[256];
	struct msg m;

	m = dispatch_config_message(
	    &p->d.now, state, sizeof(state), p->d.generation);
	daemon_child_send(c, &m);
	send_roots(p, c);
}

/* --- tables ----------------------------------------------------------- */

void
dispatch_send_table(struct daemon *d, struct daemon_child *c)
{
	if (c->side == SIDE_QUEUE) {
		send_config(parent_of(d), c);
		return;
	}
	daemon_table_begin(c);
	daemon_table_end(c, daemon_table_peers(c));
}

/* --- the engine's ----------------------------------------------------- */

void
dispatch_send_engine_base(struct parent *p)
{
	const struct dispatch_config *conf = parent_config(p);
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_engine_base;
	m.u.engine_base.driver = "docker";
	m.u.engine_base.socket = conf->engine_socket;
	m.u.engine_base.instance = p->instance;
	m.u.engine_base.prefix = conf->prefix;
	m.u.engine_base.runs_dir = p->doors;
	m.u.engine_base.image = conf->image;
	daemon_child_send(daemon_child(&p->d, SIDE_ENGINE), &m);
}

/* --- status ----------------------------------------------------------- */

void
dispatch_state(struct daemon *d, struct daemon_state *s)
{
	const struct parent *p = parent_of(d);
	const struct dispatch_config *c = parent_config(p);
	char pool[NETADDR_PREFIX_TEXT_MAX];

	daemon_state_add(s, "state", "%.200s", c->state);
	daemon_state_add(s, "instance", "%s", p->instance);
	daemon_state_add(s, "engine", "docker, %.200s", c->engine_socket);
	daemon_state_add(s, "egressd", "%.200s", c->egressd);
	daemon_state_add(
	    s, "network_pool", "%s", netprefix_text(&c->pool, pool));
	daemon_state_add(s, "image", "%.200s", c->image);
	daemon_state_add(s, "capacity",
	    "%lld runs, %lld bytes of memory, %lld.%03lld cpus, %lld pids",
	    (long long)c->capacity.runs, (long long)c->capacity.memory,
	    (long long)c->capacity.cpus_milli / 1000,
	    (long long)c->capacity.cpus_milli % 1000,
	    (long long)c->capacity.pids);
	daemon_state_add(s, "profiles", "%zu", c->nprofiles);
	daemon_state_add(s, "tools", "%zu", c->ntools);
	if (p->engine_why[0] != '\0')
		daemon_state_warn(s, p->engine_why);
}
