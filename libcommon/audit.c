/*
 * The audit process: appends records to the one file that it was given, and
 * says so to who sent them.
 *
 *	parent, senders -> audit	records
 *	audit -> parent, senders	recorded, unrecorded
 *
 * What arrives in one turn of the loop is one batch: one write, at most one
 * fdatasync, one acknowledgement for each sender.
 */

#include <sys/types.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "libcommon/audit.h"
#include "libcommon/audit_internal.h"
#include "libcommon/clock.h"
#include "libcommon/fd.h"
#include "libcommon/log.h"
#include "libcommon/mem.h"
#include "libcommon/msg.h"
#include "libcommon/peer.h"
#include "libcommon/proc.h"

#define AUDIT_BATCH_BYTES (1024 * 1024) /* lines of one write */
#define AUDIT_NOFILE (PROC_FDS_MAX + 32)
#define AUDIT_LEAVE_MS 1000 /* still writing after the parent */
#define AUDIT_REASON_MAX 128
/*
 * Acknowledgements that a sender leaves unread, beyond what the socket holds:
 * thousands. It is broken and is cut off before it costs memory.
 */
#define AUDIT_UNREAD_MAX 65536

struct audit;

struct sender {
	struct audit *audit;
	struct peer *peer; /* NULL: gone */
	char name[32];
	bool parent;
	/* outcomes of this batch not yet told: count alike in a row */
	int64_t count;
	const char *reason; /* NULL: recorded */
};

/* One record of the batch. */
struct entry {
	struct sender *sender;
	size_t end; /* of its line in buf */
	struct audit_chain chain; /* behind it */
	bool sync;
	char run[RUNID_LEN + 1]; /* of a step; "": it is none */
	int64_t step;
	const char *reason; /* NULL: it has a line, or had one before */
};

/* The one refusal that trying again does not mend. */
static const char does_not_fit[] = "it does not fit into a record";

struct audit {
	struct event_base *base;
	const char *daemon;
	struct audit_file file;
	off_t torn; /* where torn bytes begin, or -1 */
	struct audit_chain chain; /* of the last record written */
	struct audit_chain next; /* of the last record in the batch */
	struct audit_span span; /* to hash torn bytes */
	struct audit_steps *steps; /* in the file */

	struct entry batch[AUDIT_BATCH_MAX];
	size_t n;
	char *buf; /* its lines */
	size_t len;
	const char *refuse; /* NULL: the batch may be written */
	struct event *flush;
	int64_t leave_at; /* 0: the parent is there */

	bool unsynced;
	struct event *sync;

	char reason[AUDIT_REASON_MAX]; /* "": all is well */
	int64_t retry_at; /* else refuse until then */

	struct sender senders[PROC_FDS_MAX];
	size_t nsenders;
};

/*
 * When fdatasync fails the kernel may have dropped the pages and called them
 * clean: a second call would succeed without them, and so would reading them
 * back, up to a power cut. The only safe way on is to leave with nothing of
 * this acknowledged, and to verify what there is at the next start.
 */
static void
file_sync(struct audit *a)
{
	if (fd_sync_data(a->file.fd) == -1)
		fatal("fdatasync of the record file");
	a->unsynced = false;
	(void)event_del(a->sync);
}

static void
file_sync_later(struct audit *a)
{
	const struct timeval tv = { 0, AUDIT_SYNC_MS * 1000 };

	if (a->unsynced)
		return;
	a->unsynced = true;
	if (event_add(a->sync, &tv) == -1)
		fatalx("event_add");
}

/* --- refusing and going on -------------------------------------------- */

/* Records cannot be written: refuse them all for a while, then try again. */
static const char *
refuse(struct audit *a, const char *why)
{
	if (strcmp(a->reason, why) != 0) {
		(void)strlcpy(a->reason, why, sizeof(a->reason));
		log_warnx("records cannot be written: %s", why);
	}
	a->retry_at = clock_boot_ms() + AUDIT_RETRY_MS;
	return a->reason;
}

static void
accept_again(struct audit *a)
{
	if (a->reason[0] == '\0')
		return;
	a->reason[0] = '\0';
	log_info("records are written again");
}

static ssize_t
make_line(struct audit *a, const struct msg *m, char *buf)
{
	char time[CLOCK_RFC3339_LEN];

	clock_rfc3339(time);
	return audit_line(&a->next, a->daemon, time, clock_boot_ms(), m, buf);
}

/*
 * Take the torn bytes at the end of the file up in a `recovered` record. When
 * that is cut off as well, it joins them. Returns why it could not be done.
 */
static const char *
repair(struct audit *a)
{
	static char buf[AUDIT_LINE_MAX + 1];
	char sha256[AUDIT_HASH_LEN];
	struct msg m = { .type = MSG_TYPE_rec_recovered };
	size_t skip, len;
	ssize_t n;

	if (audit_file_hash(&a->file, a->torn, &a->span) == -1 ||
	    audit_hash_hex(a->span.hash, sha256) == -1)
		return refuse(a, strerror(errno));
	m.u.rec_recovered.bytes = (int64_t)a->span.len;
	m.u.rec_recovered.sha256 = sha256;
	buf[0] = '\n';
	skip = a->span.ended ? 1 : 0;
	a->next = a->chain;
	if ((n = make_line(a, &m, buf + 1)) == -1)
		fatalx("a recovered record cannot be made");
	len = (size_t)n + 1 - skip;
	if (audit_file_write(&a->file, buf + skip, len) < len) {
		a->next = a->chain;
		return refuse(a, strerror(errno));
	}
	log_warnx("took up %" PRIu64 " torn bytes at the end of the record "
	          "file",
	    a->span.len);
	a->chain = a->next;
	a->torn = -1;
	file_sync(a);
	return NULL;
}

/* May records be written now? Returns why not. */
static const char *
make_ready(struct audit *a)
{
	const char *why;

	if (a->reason[0] != '\0' && clock_boot_ms() < a->retry_at)
		return a->reason;
	if ((why = audit_file_check(&a->file)) != NULL)
		return refuse(a, why);
	return a->torn == -1 ? NULL : repair(a);
}

/* --- batches ---------------------------------------------------------- */

/*
 * Tell a sender what it has not been told. Acknowledgements are nothing to
 * wait for: a sender that does not read them is cut off.
 */
static void
tell(struct sender *s)
{
	struct msg m = { .type = MSG_TYPE_recorded };

	if (s->count == 0 || s->peer == NULL)
		return;
	if (s->reason == NULL) {
		m.u.recorded.count = s->count;
	} else {
		m.type = MSG_TYPE_unrecorded;
		m.u.unrecorded.count = s->count;
		m.u.unrecorded.reason = s->reason;
		m.u.unrecorded.final = s->reason == does_not_fit;
	}
	s->count = 0;
	/* A link that has ended tells so by itself. */
	(void)peer_send(s->peer, &m);
	if (peer_pending(s->peer) <= AUDIT_UNREAD_MAX)
		return;
	if (s->parent)
		fatalx("the parent does not read acknowledgements");
	log_warnx("%s does not read acknowledgements: cut off", s->name);
	peer_free(&s->peer);
}

/* In the order in which each sender sent. */
static void
acknowledge(struct audit *a)
{
	struct entry *e;
	struct sender *s;
	size_t i;

	for (i = 0; i < a->n; i++) {
		e = &a->batch[i];
		s = e->sender;
		if (s->reason != e->reason) {
			tell(s);
			s->reason = e->reason;
		}
		s->count++;
	}
	for (i = 0; i < a->nsenders; i++) {
		tell(&a->senders[i]);
		a->senders[i].count = 0;
	}
}

/*
 * Settle each record by how much of the batch is in the file. Returns where
 * the last whole line ends; *sync: one of them waits for the disk.
 */
static size_t
settle(struct audit *a, size_t done, const char *reason, bool *sync)
{
	struct entry *e;
	size_t i, end = 0;

	*sync = false;
	for (i = 0; i < a->n; i++) {
		e = &a->batch[i];
		if (e->reason != NULL)
			continue;
		if (e->end > done) {
			e->reason = reason;
			continue;
		}
		end = e->end;
		a->chain = e->chain;
		*sync |= e->sync;
		if (e->run[0] != '\0')
			audit_steps_add(a->steps, e->run, e->step);
	}
	return end;
}

static void
write_batch(struct audit *a)
{
	const char *reason = NULL;
	off_t start = a->file.size;
	size_t done, end;
	bool sync;

	if ((done = audit_file_write(&a->file, a->buf, a->len)) < a->len)
		reason = refuse(a, strerror(errno));
	else
		accept_again(a);
	end = settle(a, done, reason, &sync);
	if (end < done)
		a->torn = start + (off_t)end;
	if (sync)
		file_sync(a);
	else if (end > 0)
		file_sync_later(a);
}

/* The loop looks at every link again, then comes to on_flush. */
static void
one_more_turn(struct audit *a)
{
	const struct timeval tv = { 0, 0 };

	if (event_add(a->flush, &tv) == -1)
		fatalx("event_add");
}

static void
flush_batch(struct audit *a)
{
	if (a->n == 0)
		return;
	if (a->len > 0)
		write_batch(a);
	acknowledge(a);
	a->n = 0;
	a->len = 0;
}

/* Ends this turn: runs behind what else is ready in it. */
static void
on_flush(int fd, short what, void *arg)
{
	struct audit *a = arg;
	bool any = a->n > 0;

	flush_batch(a);
	if (a->leave_at == 0)
		return;
	if (any && clock_boot_ms() < a->leave_at) {
		one_more_turn(a);
		return;
	}
	if (a->unsynced)
		file_sync(a);
	_exit(0);
}

/* A step that was sent again: is it in the file, or in this batch? */
static bool
is_there(const struct audit *a, const char *run, int64_t step)
{
	size_t i;

	for (i = 0; i < a->n; i++)
		if (a->batch[i].reason == NULL && a->batch[i].step == step &&
		    strcmp(a->batch[i].run, run) == 0)
			return true;
	return audit_steps_has(a->steps, run, step);
}

/* The record's line, behind those of the batch; or it is there already. */
static void
fill_entry(struct audit *a, struct entry *e, const struct msg *m)
{
	const char *run;
	int64_t step;
	ssize_t n = 0;

	e->run[0] = '\0';
	e->step = 0;
	if (audit_step_of(m, &run, &step)) {
		if (!is_there(a, run, step)) {
			n = make_line(a, m, a->buf + a->len);
			(void)strlcpy(e->run, run, sizeof(e->run));
			e->step = step;
		}
	} else
		n = make_line(a, m, a->buf + a->len);
	if (n == -1) {
		e->reason = does_not_fit;
		return;
	}
	a->len += (size_t)n;
	e->end = a->len;
	e->chain = a->next;
}

static void
add_record(struct sender *s, const struct msg *m, const struct msg_decl *d)
{
	struct audit *a = s->audit;
	struct entry *e;

	if (a->n == 0) {
		a->refuse = make_ready(a);
		a->next = a->chain;
		event_active(a->flush, EV_TIMEOUT, 0);
	}
	e = &a->batch[a->n];
	e->sender = s;
	e->sync = (d->flags & MSG_F_SYNC) != 0;
	e->reason = a->refuse;
	if (a->refuse == NULL)
		fill_entry(a, e, m);
	a->n++;
	if (a->n == AUDIT_BATCH_MAX ||
	    AUDIT_BATCH_BYTES - a->len < AUDIT_LINE_MAX)
		flush_batch(a);
}

/* --- peers ------------------------------------------------------------ */

static void
audit_dispatch_parent(struct peer *p, struct msg *m, int fd, void *arg)
{
	struct sender *s = arg;
	const struct msg_decl *d = msg_decl(m->type);

	if (d->flags & MSG_F_RECORD) {
		add_record(s, m, d);
		return;
	}
	switch (m->type) {
	case MSG_TYPE_go:
		break;
	default:
		fatalx("unexpected %s from the parent", d->wire);
	}
}

static void
audit_dispatch_sender(struct peer *p, struct msg *m, int fd, void *arg)
{
	struct sender *s = arg;
	const struct msg_decl *d = msg_decl(m->type);

	if (!(d->flags & MSG_F_RECORD))
		fatalx("unexpected %s from %s", d->wire, s->name);
	add_record(s, m, d);
}

/*
 * The parent is gone, and so is whoever would read an acknowledgement; what
 * the senders had already sent is still written. Another turn finds it. When
 * the parent died the lifeline mostly ends us first: what was not yet
 * acknowledged is lost then. Nothing was permitted by it; the ends of tunnels
 * may be among it.
 */
static void
parent_gone(struct peer *p, enum peer_end end, const char *why, void *arg)
{
	struct sender *s = arg;
	struct audit *a = s->audit;

	peer_free(&s->peer);
	a->leave_at = clock_boot_ms() + AUDIT_LEAVE_MS;
	one_more_turn(a);
}

static void
sender_gone(struct peer *p, enum peer_end end, const char *why, void *arg)
{
	struct sender *s = arg;

	log_debug("%s is gone: %s", s->name, why);
	peer_free(&s->peer);
}

static const struct peer_ops parent_ops = { .message = audit_dispatch_parent,
	.gone = parent_gone };
static const struct peer_ops sender_ops = { .message = audit_dispatch_sender,
	.gone = sender_gone };

static void
add_sender(struct audit *a, int fd, enum msg_side side)
{
	struct sender *s = &a->senders[a->nsenders++];

	s->audit = a;
	s->parent = side == SIDE_PARENT;
	if (s->parent)
		(void)strlcpy(s->name, "parent", sizeof(s->name));
	else
		(void)snprintf(
		    s->name, sizeof(s->name), "sender %zu", a->nsenders - 2);
	s->peer = peer_new(a->base, fd, PEER_SIBLING, SIDE_AUDIT, side, "audit",
	    s->name, s->parent ? &parent_ops : &sender_ops, s);
	if (s->peer == NULL)
		fatalx("out of memory");
}

/* --- start ------------------------------------------------------------ */

static void
on_sync(int fd, short what, void *arg)
{
	file_sync(arg);
}

/* Find the end of the chain. Nothing is appended behind a broken one. */
static void
load(struct audit *a)
{
	struct audit_verify *v;
	char sha256[AUDIT_HASH_LEN];
	bool ended;

	if ((v = audit_verify_new()) == NULL ||
	    (a->steps = audit_steps_new()) == NULL)
		fatalx("out of memory");
	audit_verify_steps(v, a->steps);
	audit_file_verify(&a->file, v);
	a->torn = -1;
	if (audit_verify_end(v) == -1) {
		if (!audit_verify_torn(v, &ended))
			fatalx("the record file is bad in line %" PRIu64
			       ": %s; see `agent-cli audit verify`, then move "
			       "the file away",
			    audit_verify_line(v), audit_verify_why(v));
		a->torn = a->file.size - (ended ? 1 : 0) -
		    (off_t)audit_verify_tail(v, sha256);
	}
	a->chain = *audit_verify_chain(v);
	a->next = a->chain;
	audit_verify_free(&v);
	/* What those before us wrote is acknowledged when it is sent again. */
	file_sync(a);
	if (a->torn != -1)
		(void)make_ready(a);
}

static void
set_up(struct audit *a, const struct proc_self *self)
{
	a->daemon = self->daemon;
	a->file.fd = PROC_FD_FIRST;
	a->buf = xmalloc(AUDIT_BATCH_BYTES);
	/* Fetches the algorithm: later it cannot be loaded. */
	if (audit_span_init(&a->span) == -1)
		fatalx("SHA-256 is not available");
	/* The limit of a file's size is an error like a full disk. */
	(void)signal(SIGXFSZ, SIG_IGN);
}

void
audit_main(const struct proc_self *self, const enum msg_side *sides)
{
	struct audit *a = xcalloc(1, sizeof(*a));
	struct sandbox_state st;
	struct msg m = { .type = MSG_TYPE_ready };
	unsigned i;

	if (self->nlinks < 1 || self->nlinks > PROC_FDS_MAX)
		fatalx("the record file is missing");
	set_up(a, self);
	audit_file_lock(a->file.fd);
	st = proc_enter(self, AUDIT_NOFILE, 0, SANDBOX_AUDIT);
	if ((a->base = event_base_new()) == NULL)
		fatalx("event_base_new");
	a->flush = evtimer_new(a->base, on_flush, a);
	a->sync = evtimer_new(a->base, on_sync, a);
	if (a->flush == NULL || a->sync == NULL)
		fatalx("out of memory");
	load(a);
	add_sender(a, PROC_FD_PARENT, SIDE_PARENT);
	for (i = 1; i < self->nlinks; i++)
		add_sender(a, PROC_FD_FIRST + (int)i, sides[i - 1]);
	m.u.ready.seccomp = st.seccomp;
	m.u.ready.landlock = st.landlock;
	(void)peer_send(a->senders[0].peer, &m);
	(void)event_base_dispatch(a->base);
	fatalx("the event loop ended");
}
