/*
 * The process queue: which runs there are, and what is to become of each. It
 * has the database and nobody else does; it talks to egressd, which knows it
 * by its user; it sees no container, no output and no client.
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"
#include "libcommon/mem.h"

#include "dispatchd/queue.h"

/* Its links, in the order in which the parent passes them. */
#define FD_DIR (PROC_FD_FIRST + 0) /* named by the sandbox */
#define FD_FRONTEND (PROC_FD_FIRST + 1)
#define FD_ENGINE (PROC_FD_FIRST + 2)
#define FD_RUNS (PROC_FD_FIRST + 3)
#define FD_AUDIT (PROC_FD_FIRST + 4)
#define LINKS 5

struct queue queue;

/* Bytes that go out on a stream. */
struct push {
	TAILQ_ENTRY(push) entry;
	struct peer *peer;
	uint32_t id;
	uint8_t *buf;
	size_t len, sent;
};

/* CA roots of a configuration that is being taken in. */
struct roots {
	TAILQ_ENTRY(roots) entry;
	uint32_t stream;
	char profile[DISPATCH_NAME_MAX + 1];
	char *buf;
	size_t len, want;
};

static TAILQ_HEAD(, push) pushes = TAILQ_HEAD_INITIALIZER(pushes);
static TAILQ_HEAD(, roots) all_roots = TAILQ_HEAD_INITIALIZER(all_roots);

static void dispatch_parent(struct peer *, struct msg *, int, void *);
static void dispatch_frontend(struct peer *, struct msg *, int, void *);
static void dispatch_engine(struct peer *, struct msg *, int, void *);
static void dispatch_audit(struct peer *, struct msg *, int, void *);
static void sibling_gone(struct peer *, enum peer_end, const char *, void *);
static void
parent_data(struct peer *, uint32_t, const uint8_t *, size_t, void *);
static void parent_end(struct peer *, uint32_t, bool, const char *, void *);
static void
frontend_data(struct peer *, uint32_t, const uint8_t *, size_t, void *);
static void frontend_end(struct peer *, uint32_t, bool, const char *, void *);
static void stream_ready(struct peer *, uint32_t, void *);
static void stream_gone(struct peer *, uint32_t, bool, const char *, void *);
static void no_data(struct peer *, uint32_t, const uint8_t *, size_t, void *);

static const struct peer_ops parent_ops = { .message = dispatch_parent,
	.gone = sibling_gone,
	.data = parent_data,
	.stream_end = parent_end,
	.stream_ready = stream_ready };
static const struct peer_ops frontend_ops = { .message = dispatch_frontend,
	.gone = sibling_gone,
	.data = frontend_data,
	.stream_end = frontend_end,
	.stream_ready = stream_ready };
static const struct peer_ops engine_ops = { .message = dispatch_engine,
	.gone = sibling_gone };
static const struct peer_ops runs_ops = { .message = queue_dispatch_runs,
	.gone = sibling_gone,
	.data = no_data,
	.stream_end = stream_gone,
	.stream_ready = stream_ready };
static const struct peer_ops audit_ops = { .message = dispatch_audit,
	.gone = sibling_gone };

static void
sibling_gone(struct peer *peer, enum peer_end end, const char *why, void *arg)
{
	log_debug("%s is gone: leaving", peer_name(peer));
	_exit(0);
}

void
queue_send(struct peer *p, const struct msg *m)
{
	if (peer_send(p, m) == -1)
		panic("cannot send %s to %s", msg_decl(m->type)->wire,
		    peer_name(p));
}

/* --- streams out ------------------------------------------------------ */

static void
push_free(struct push *s)
{
	TAILQ_REMOVE(&pushes, s, entry);
	freezero(s->buf, s->len);
	free(s);
}

uint32_t
queue_stream_push(struct peer *p, const void *buf, size_t len)
{
	struct push *s;

	if (len == 0)
		return 0;
	s = xcalloc(1, sizeof(*s));
	s->buf = xmalloc(len);
	memcpy(s->buf, buf, len);
	s->len = len;
	s->peer = p;
	/* So many are never open at a time that one could come round. */
	s->id = queue.next_stream = queue.next_stream % INT32_MAX + 1;
	TAILQ_INSERT_TAIL(&pushes, s, entry);
	if (peer_stream_begin(p, s->id) == -1)
		fatalx("no stream to %s", peer_name(p));
	return s->id;
}

static struct push *
push_find(struct peer *p, uint32_t id)
{
	struct push *s;

	TAILQ_FOREACH(s, &pushes, entry) {
		if (s->peer == p && s->id == id)
			return s;
	}
	return NULL;
}

static void
stream_ready(struct peer *p, uint32_t id, void *arg)
{
	struct push *s = push_find(p, id);
	size_t n;

	if (s == NULL)
		return;
	n = peer_stream_room(p, id);
	if (n > s->len - s->sent)
		n = s->len - s->sent;
	if (n > 0 && peer_stream_write(p, id, s->buf + s->sent, n) == -1)
		return;
	s->sent += n;
	if (s->sent < s->len)
		return;
	peer_stream_finish(p, id);
	push_free(s);
}

/* The receiver does not want it: its answer says why. */
static void
stream_gone(struct peer *p, uint32_t id, bool ok, const char *why, void *arg)
{
	struct push *s = push_find(p, id);

	if (s != NULL)
		push_free(s);
}

static void
no_data(struct peer *p, uint32_t id, const uint8_t *buf, size_t len, void *arg)
{
	fatalx("%s sends bytes that nobody asked for", peer_name(p));
}

/* --- the configuration ------------------------------------------------ */

/* Its files and users are the parent's, which has checked them. */
static int
given_file(const char *path, size_t max, char **buf, size_t *len)
{
	/* The roots themselves come behind it; the parent saw that some do. */
	*buf = xstrdup("-----BEGIN CERTIFICATE-----\n");
	*len = strlen(*buf);
	return 0;
}

static int
given_id(const char *name, uint32_t *id)
{
	*id = 0;
	return 0;
}

static const struct dispatch_config_env given = {
	.read_file = given_file, .user = given_id, .group = given_id
};

static void
set_capacity(void)
{
	const struct dispatch_capacity *c = &queue.config->capacity;

	queue.admission.capacity.memory = c->memory;
	queue.admission.capacity.cpus_milli = c->cpus_milli;
	queue.admission.capacity.pids = c->pids;
	queue.admission.runs_max = c->runs;
}

static void
config_applied(void)
{
	struct msg m;

	dispatch_config_free(&queue.config);
	queue.config = queue.loading;
	queue.loading = NULL;
	queue.generation = queue.loading_generation;
	set_capacity();
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_table_applied;
	m.u.table_applied.table = "config";
	m.u.table_applied.generation = queue.generation;
	queue_send(queue.parent, &m);
	if (queue.go)
		qjob_admit_all();
}

static void
open_store(const char *dir)
{
	char why[QUEUE_STORE_WHY_MAX + 1];
	enum queue_store_error error;

	queue.store = queue_store_open(dir, &error, why);
	if (queue.store == NULL) {
		log_warnx("%s", why);
		exit(EXIT_SYSTEM);
	}
	if (queue_store_restored(queue.store))
		log_warnx("the queue is older than its directory knows it: "
		          "from a backup? Containers that it does not know "
		          "are left alone");
}

static void
config_given(const struct msg_dispatch_config *m)
{
	struct conf *conf = NULL;

	if (queue.loading != NULL)
		fatalx("parent: a configuration inside another");
	queue.loading = dispatch_config_read_env(
	    "configuration", m->text, strlen(m->text), &given, &conf);
	if (queue.loading == NULL)
		fatalx("parent: a configuration with an error: %s",
		    conf_error_text(conf, 0));
	queue.loading_generation = m->generation;
	queue.roots_missing = m->roots;
	if (queue.store == NULL)
		open_store(m->state);
	if (queue.roots_missing == 0)
		config_applied();
}

static void
roots_given(const struct msg_dispatch_roots *m)
{
	struct roots *r = xcalloc(1, sizeof(*r));

	if (queue.loading == NULL || queue.roots_missing == 0)
		fatalx("parent: roots of no configuration");
	r->stream = (uint32_t)m->stream;
	strlcpy(r->profile, m->profile, sizeof(r->profile));
	r->want = (size_t)m->bytes;
	r->buf = xmalloc(r->want + 1);
	TAILQ_INSERT_TAIL(&all_roots, r, entry);
	if (peer_stream_expect(queue.parent, r->stream, m->bytes) == -1)
		fatalx("no stream from the parent");
}

static struct roots *
roots_find(uint32_t stream)
{
	struct roots *r;

	TAILQ_FOREACH(r, &all_roots, entry) {
		if (r->stream == stream)
			return r;
	}
	fatalx("parent: a stream of no roots");
}

static void
parent_data(
    struct peer *p, uint32_t stream, const uint8_t *buf, size_t len, void *arg)
{
	struct roots *r = roots_find(stream);

	memcpy(r->buf + r->len, buf, len);
	r->len += len;
	peer_stream_consumed(p, stream, len);
}

static void
parent_end(struct peer *p, uint32_t stream, bool ok, const char *why, void *arg)
{
	struct roots *r = roots_find(stream);
	struct dispatch_profile *pr = NULL;
	size_t i;

	if (!ok || r->len != r->want)
		fatalx("parent: roots that are not whole");
	for (i = 0; i < queue.loading->nprofiles; i++) {
		if (strcmp(queue.loading->profiles[i].name, r->profile) == 0)
			pr = &queue.loading->profiles[i];
	}
	if (pr == NULL)
		fatalx("parent: roots of no profile");
	free(pr->ca);
	r->buf[r->len] = '\0';
	pr->ca = r->buf;
	pr->ca_len = r->len;
	TAILQ_REMOVE(&all_roots, r, entry);
	free(r);
	if (--queue.roots_missing == 0)
		config_applied();
}

/* --- dispatch --------------------------------------------------------- */

static void
dispatch_parent(struct peer *p, struct msg *m, int fd, void *arg)
{
	if (msg_decl(m->type)->kind == MSG_ANSWER) {
		(void)call_answered(p, m);
		return;
	}
	switch (m->type) {
	case MSG_TYPE_dispatch_config:
		config_given(&m->u.dispatch_config);
		break;
	case MSG_TYPE_dispatch_roots:
		roots_given(&m->u.dispatch_roots);
		break;
	case MSG_TYPE_go:
		queue.go = true;
		egress_init();
		recover_begin();
		prune_begin();
		break;
	default:
		fatalx(
		    "unexpected %s from the parent", msg_decl(m->type)->wire);
	}
}

static void
frontend_data(
    struct peer *p, uint32_t stream, const uint8_t *buf, size_t len, void *arg)
{
	client_stream_data(stream, buf, len);
	peer_stream_consumed(p, stream, len);
}

static void
frontend_end(
    struct peer *p, uint32_t stream, bool ok, const char *why, void *arg)
{
	client_stream_end(stream, ok, why);
}

static void
dispatch_frontend(struct peer *p, struct msg *m, int fd, void *arg)
{
	switch (m->type) {
	case MSG_TYPE_job_submit:
		client_submit(m->id, &m->u.job_submit);
		break;
	case MSG_TYPE_wait:
		client_wait(m->id, &m->u.wait);
		break;
	case MSG_TYPE_ps:
		client_ps(m->id, &m->u.ps);
		break;
	case MSG_TYPE_show:
		client_show(m->id, &m->u.show);
		break;
	case MSG_TYPE_stop:
		client_stop(m->id, &m->u.stop);
		break;
	case MSG_TYPE_job_rm:
		client_rm(m->id, &m->u.job_rm);
		break;
	case MSG_TYPE_bundle_fetched:
		client_fetched(&m->u.bundle_fetched);
		break;
	default:
		fatalx(
		    "unexpected %s from the frontend", msg_decl(m->type)->wire);
	}
}

static void
dispatch_engine(struct peer *p, struct msg *m, int fd, void *arg)
{
	if (m->type == MSG_TYPE_engine_event)
		recover_event(&m->u.engine_event);
	else if (msg_decl(m->type)->kind == MSG_ANSWER)
		(void)call_answered(p, m);
	else
		fatalx(
		    "unexpected %s from the engine", msg_decl(m->type)->wire);
}

static void
dispatch_audit(struct peer *p, struct msg *m, int fd, void *arg)
{
	switch (m->type) {
	case MSG_TYPE_recorded:
	case MSG_TYPE_unrecorded:
		audit_client_message(queue.audit, m);
		break;
	default:
		fatalx("unexpected %s from audit", msg_decl(m->type)->wire);
	}
}

/* --- time ------------------------------------------------------------- */

/*
 * What a deadline or a retry is due for; and a disk that refused once is asked
 * whether it would now.
 */
static void
tick(int fd, short what, void *arg)
{
	struct qjob *j, *next;

	if (queue.store != NULL && queue_store_failed(queue.store)) {
		if (queue_store_recheck(queue.store) == 0) {
			/* What is on disk decides, not what we remember. */
			log_warnx("the queue's disk works again: starting "
			          "anew from what it holds");
			_exit(0);
		}
	}
	TAILQ_FOREACH_SAFE(j, &queue.jobs, entry, next)
		qjob_deadlines(j);
	if (queue.go) {
		egress_tick();
		disk_tick();
		prune_tick();
	}
}

/* --- start ------------------------------------------------------------ */

static struct peer *
link_to(
    int fd, enum msg_side side, const char *name, const struct peer_ops *ops)
{
	struct peer *p;

	p = peer_new(queue.base, fd, PEER_SIBLING, SIDE_QUEUE, side, "queue",
	    name, ops, NULL);
	if (p == NULL)
		fatalx("out of memory");
	return p;
}

void
queue_main(const struct proc_self *self)
{
	const struct timeval every = { 0, QUEUE_TICK_MS * 1000 };
	struct sandbox_state st;
	struct msg m;

	if (self->nlinks != LINKS)
		fatalx("wrong number of links");
	if (peer_stream_prepare() == -1)
		fatalx("streams are not to be had");
	st = proc_enter(self, QUEUE_NOFILE, 0, SANDBOX_QUEUE);
	queue.base = event_base_new();
	if (queue.base == NULL)
		fatalx("no event loop");
	TAILQ_INIT(&queue.jobs);
	queue.dirfd = FD_DIR;
	queue.uid = self->uid;
	queue.parent =
	    link_to(PROC_FD_PARENT, SIDE_PARENT, "dispatchd", &parent_ops);
	queue.frontend =
	    link_to(FD_FRONTEND, SIDE_FRONTEND, "frontend", &frontend_ops);
	queue.engine = link_to(FD_ENGINE, SIDE_ENGINE, "engine", &engine_ops);
	queue.runs = link_to(FD_RUNS, SIDE_RUNS, "runs", &runs_ops);
	queue.recorder = link_to(FD_AUDIT, SIDE_AUDIT, "audit", &audit_ops);
	queue.audit = audit_client_new(queue.base, queue.recorder);
	queue.tick = event_new(queue.base, -1, EV_PERSIST, tick, NULL);
	if (queue.audit == NULL || queue.tick == NULL)
		fatalx("out of memory");
	evtimer_add(queue.tick, &every);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_ready;
	m.u.ready.seccomp = st.seccomp;
	m.u.ready.landlock = st.landlock;
	queue_send(queue.parent, &m);
	event_base_dispatch(queue.base);
	panic("the event loop ended");
}
