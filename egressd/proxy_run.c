/*
 * Runs in their worker. A run has three sockets on its gateway and is known by
 * them: what comes through them is the run's, whatever it says. Its sums are
 * kept while it is open, and told to the frontend, which knows what it is for.
 */

#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"

#include "proxy.h"

static void run_waited(int, short, void *);

RB_GENERATE(run_tree, proxy_run, entry, run_cmp)

int
run_cmp(struct proxy_run *a, struct proxy_run *b)
{
	return strcmp(a->id, b->id);
}

const char *
proxy_run_id(const struct proxy_run *run)
{
	return run != NULL ? run->id : NULL;
}

/* --- life ------------------------------------------------------------- */

static struct proxy_run *
run_find(struct proxy *p, const char *id)
{
	struct proxy_run key;

	strlcpy(key.id, id, sizeof(key.id));
	return RB_FIND(run_tree, &p->runs, &key);
}

/* NULL when out of memory, or with more runs than descriptors were kept for. */
static struct proxy_run *
run_new(struct proxy *p, const char *id)
{
	struct proxy_run *run;
	size_t i;

	if (p->nruns >= EGRESS_RUNS_MAX)
		return NULL;
	run = calloc(1, sizeof(*run));
	if (run == NULL)
		return NULL;
	/* Made now: without memory a run would have no end. */
	run->timer = evtimer_new(p->base, run_waited, run);
	if (run->timer == NULL) {
		free(run);
		return NULL;
	}
	run->proxy = p;
	strlcpy(run->id, id, sizeof(run->id));
	for (i = 0; i < EGRESS_RUN_SOCKETS; i++)
		run->fd[i] = -1;
	run->active_ms = -1;
	denials_init(&run->denials);
	RB_INSERT(run_tree, &p->runs, run);
	p->nruns++;
	return run;
}

/* Nothing comes in any more. */
static void
run_close(struct proxy_run *run)
{
	size_t i;

	run_canary_stop(run);
	if (run->listener != NULL)
		proxy_listener_close(run->listener);
	run->listener = NULL;
	for (i = 0; i < EGRESS_RUN_SOCKETS; i++) {
		if (run->fd[i] != -1)
			close(run->fd[i]);
		run->fd[i] = -1;
	}
}

static void
run_free(struct proxy_run *run)
{
	struct proxy *p = run->proxy;

	run_close(run);
	event_free(run->timer);
	denials_free(&run->denials);
	RB_REMOVE(run_tree, &p->runs, run);
	p->nruns--;
	p->nending -= run->ending;
	free(run);
}

/* --- opening ---------------------------------------------------------- */

static void
say_listening(struct proxy_run *run)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_run_listening;
	m.u.run_listening.run = run->id;
	peer_send(run->proxy->frontend, &m);
}

static int
run_serve(struct proxy_run *run)
{
	int fd = run->fd[RUN_PROXY];

	run->listener =
	    proxy_listener_new(run->proxy, run->address, run->profile);
	if (run->listener == NULL)
		return -1;
	run->listener->run = run;
	run->fd[RUN_PROXY] = -1;
	if (proxy_listener_serve(run->listener, fd) == -1)
		return -1;
	return run_canary_serve(run);
}

static int
socket_kind(const char *name)
{
	static const char *const names[EGRESS_RUN_SOCKETS] = {
		[RUN_PROXY] = "proxy",
		[RUN_CANARY_TCP] = "canary.tcp",
		[RUN_CANARY_UDP] = "canary.udp",
	};
	int i;

	for (i = 0; i < EGRESS_RUN_SOCKETS; i++) {
		if (strcmp(name, names[i]) == 0)
			return i;
	}
	fatalx("unknown socket %s of a run", name);
}

static bool
run_complete(const struct proxy_run *run)
{
	size_t i;

	for (i = 0; i < EGRESS_RUN_SOCKETS; i++) {
		if (!run->got[i])
			return false;
	}
	return true;
}

/*
 * A run that cannot be set up is no reason to leave: others have tunnels here.
 * The frontend waits for run.listening, and ends what did not say so.
 */
void
proxy_run_socket(struct proxy *p, const struct msg_run_socket *m, int fd)
{
	int kind = socket_kind(m->kind);
	struct proxy_run *run;

	if (!runid_valid(m->run))
		fatalx("a socket for %s, which is no run", m->run);
	run = run_find(p, m->run);
	if (run != NULL && (run->got[kind] || run->ending))
		fatalx("one more socket %s for run %s", m->kind, m->run);
	if (run == NULL && !p->draining)
		run = run_new(p, m->run);
	if (run == NULL || p->draining) {
		log_warnx("run %s: %s dropped: %s", m->run, m->kind,
		    p->draining ? "leaving" : "no room for it");
		close(fd);
		return;
	}
	run->got[kind] = true;
	run->fd[kind] = fd;
	strlcpy(run->profile, m->profile, sizeof(run->profile));
	if (kind == RUN_PROXY)
		strlcpy(run->address, m->address, sizeof(run->address));
	if (!run_complete(run))
		return;
	if (run_serve(run) == -1) {
		log_warnx("run %s: out of memory: not served", run->id);
		run_close(run);
		return;
	}
	log_debug("run %s: served on %s", run->id, run->address);
	say_listening(run);
}

/* --- ending ----------------------------------------------------------- */

/* run is NULL for one that is not known: it did nothing. */
static void
say_ended(struct proxy *p, int64_t id, const struct proxy_run *run)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_run_ended;
	m.id = id;
	if (run != NULL) {
		m.u.run_ended.allowed = run->allowed;
		m.u.run_ended.denied = run->denied;
		m.u.run_ended.failed = run->failed;
		m.u.run_ended.bytes_up = run->bytes[RELAY_UP];
		m.u.run_ended.bytes_down = run->bytes[RELAY_DOWN];
	}
	peer_send(p->frontend, &m);
}

static void
run_gone(struct proxy_run *run)
{
	size_t i;

	for (i = 0; i < run->nends; i++)
		say_ended(run->proxy, run->ends[i], run);
	log_debug("run %s: ended", run->id);
	run_free(run);
}

/* Its records are late; they stay kept, and are not waited for. */
static void
run_waited(int fd, short what, void *arg)
{
	struct proxy_run *run = arg;

	log_warnx("run %s: ends before its records are written", run->id);
	run_gone(run);
}

static void
run_cut(struct proxy_run *run)
{
	struct client *c, *next;

	TAILQ_FOREACH_SAFE(c, &run->proxy->clients, entry, next) {
		if (c->listener->run == run)
			tunnel_cut(c, END_run_closed);
	}
}

void
proxy_run_end(struct proxy *p, int64_t id, const char *name)
{
	struct proxy_run *run = run_find(p, name);

	/* Who asks too often is not made to wait: its sums are final. */
	if (run == NULL || run->nends == PROXY_RUN_ENDS_MAX) {
		say_ended(p, id, run);
		return;
	}
	run->ends[run->nends++] = id;
	if (!run->ending) {
		run->ending = true;
		p->nending++;
		run_cut(run);
		run_close(run);
		proxy_timer(run->timer, AUDIT_WAIT_MS);
	}
	proxy_runs_settle(p);
}

void
proxy_runs_settle(struct proxy *p)
{
	struct proxy_run *run, *next;

	if (p->nending == 0 || audit_client_waiting(p->audit) > 0)
		return;
	RB_FOREACH_SAFE(run, run_tree, &p->runs, next)
	{
		if (run->ending)
			run_gone(run);
	}
}

/* --- sums ------------------------------------------------------------- */

void
proxy_run_sums(struct proxy *p, int64_t id, const char *name)
{
	struct denial_count top[PROXY_RUN_DENIALS_TOLD];
	const char *k[PROXY_RUN_DENIALS_TOLD], *v[PROXY_RUN_DENIALS_TOLD];
	char text[PROXY_RUN_DENIALS_TOLD][24];
	struct proxy_run *run = run_find(p, name);
	size_t i, n = 0;
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_run_sums_answer;
	m.id = id;
	m.u.run_sums_answer.quiet_ms = -1;
	if (run != NULL) {
		m.u.run_sums_answer.tunnels = run->tunnels;
		m.u.run_sums_answer.allowed = run->allowed;
		m.u.run_sums_answer.denied = run->denied;
		m.u.run_sums_answer.failed = run->failed;
		m.u.run_sums_answer.bytes_up = run->bytes[RELAY_UP];
		m.u.run_sums_answer.bytes_down = run->bytes[RELAY_DOWN];
		if (run->active_ms != -1)
			m.u.run_sums_answer.quiet_ms =
			    clock_boot_ms() - run->active_ms;
		n = denials_top(&run->denials, top);
	}
	for (i = 0; i < n; i++) {
		snprintf(text[i], sizeof(text[i]), "%llu",
		    (unsigned long long)top[i].count);
		k[i] = top[i].key;
		v[i] = text[i];
	}
	m.u.run_sums_answer.denials.k = k;
	m.u.run_sums_answer.denials.v = v;
	m.u.run_sums_answer.denials.n = n;
	peer_send(p->frontend, &m);
}
