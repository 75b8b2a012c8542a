/*
 * The engine process: the only one that has the container engine's socket. It
 * turns eight requests of the queue into HTTP from a fixed template, and the
 * engine's answers into a few plain fields. It has no files, no network and no
 * other socket; it never sees a prompt, an output or a secret.
 */

#include <sys/queue.h>

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <openssl/evp.h>

#include "libcommon/log.h"
#include "libcommon/mem.h"
#include "libcommon/msg.h"
#include "libcommon/peer.h"
#include "libcommon/proc.h"
#include "libcommon/sibling.h"

#include "dispatchd/engine_internal.h"

#define ENGINE_NOFILE (ENGINE_CALLS_MAX + 1 + 64)
#define LINKS 1 /* the queue */

/* Of an image's name: what stands in a path as it is. */
#define IMAGE_CHARS \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@"

static void engine_dispatch_parent(struct peer *, struct msg *, int, void *);
static void engine_dispatch_queue(struct peer *, struct msg *, int, void *);

static const struct peer_ops parent_ops = { .message = engine_dispatch_parent,
	.gone = sibling_gone };

static const struct peer_ops queue_ops = { .message = engine_dispatch_queue,
	.gone = sibling_gone };

void
engine_event(
    struct engine *e, const char *run, const char *what, const char *detail)
{
	struct msg m = { .type = MSG_TYPE_engine_event };

	log_debug("event: %s %s%s%s", what, run != NULL ? run : "",
	    detail != NULL ? " " : "", detail != NULL ? detail : "");
	m.u.engine_event.run = run;
	m.u.engine_event.what = what;
	m.u.engine_event.detail = detail;
	sibling_send(e->queue, &m);
}

/* --- links ------------------------------------------------------------------
 */

/*
 * What comes here goes into paths and into the template. The parent has read
 * it from the configuration; it is checked again because nothing behind it is.
 */
static bool
base_valid(const struct msg_engine_base *m)
{
	return strcmp(m->driver, "docker") == 0 && m->socket[0] == '/' &&
	    runid_valid(m->instance) && m->runs_dir[0] == '/' &&
	    strspn(m->image, IMAGE_CHARS) == strlen(m->image) &&
	    strstr(m->image, "..") == NULL && m->image[0] != '/';
}

static void
take_base(struct engine *e, const struct msg_engine_base *m)
{
	if (e->based || !base_valid(m))
		fatalx("parent: bad engine.base");
	e->based = true;
	strlcpy(e->instance, m->instance, sizeof(e->instance));
	strlcpy(e->prefix, m->prefix, sizeof(e->prefix));
	strlcpy(e->runs_dir, m->runs_dir, sizeof(e->runs_dir));
	strlcpy(e->image, m->image, sizeof(e->image));
	http_socket(e->http, m->socket);
}

static void
engine_dispatch_parent(struct peer *p, struct msg *m, int fd, void *arg)
{
	struct engine *e = arg;

	switch (m->type) {
	case MSG_TYPE_engine_base:
		take_base(e, &m->u.engine_base);
		break;
	case MSG_TYPE_go:
		if (!e->based)
			fatalx("parent: go before engine.base");
		events_start(e);
		break;
	default:
		fatalx("parent: unexpected message %d", (int)m->type);
	}
}

static void
engine_dispatch_queue(struct peer *p, struct msg *m, int fd, void *arg)
{
	struct engine *e = arg;

	if (!e->based)
		fatalx("queue: a request before engine.base");
	job_submit(e, m);
}

/* --- start ------------------------------------------------------------------
 */

/* OpenSSL reads its configuration at the first hash. */
static void
hash_warm(void)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n;

	if (EVP_Digest("", 0, md, &n, EVP_sha256(), NULL) != 1)
		fatalx("OpenSSL has no SHA-256");
}

static struct peer *
link_to(struct engine *e, int fd, enum msg_side side, const char *name,
    const struct peer_ops *ops)
{
	return sibling_link(
	    e->base, fd, SIDE_ENGINE, side, "engine", name, ops, e);
}

void
engine_main(const struct proc_self *self)
{
	struct engine *e = xcalloc(1, sizeof(*e));
	struct sandbox_state state;

	if (self->nlinks != LINKS)
		fatalx("engine: %u links", self->nlinks);
	TAILQ_INIT(&e->working);
	TAILQ_INIT(&e->waiting);
	http_warm();
	hash_warm();
	state = proc_enter(self, ENGINE_NOFILE, 0, SANDBOX_ENGINE);

	if ((e->base = event_base_new()) == NULL)
		fatalx("no event loop");
	e->http = http_new(e->base);
	e->events = events_new(e);
	e->parent =
	    link_to(e, PROC_FD_PARENT, SIDE_PARENT, "parent", &parent_ops);
	e->queue = link_to(e, PROC_FD_FIRST, SIDE_QUEUE, "queue", &queue_ops);

	sibling_send_ready(e->parent, &state);
	event_base_dispatch(e->base);
	fatalx("the event loop ended");
}
