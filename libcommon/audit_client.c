/*
 * The sender's side of the audit process.
 *
 * Acknowledgements come by count and in order, so what was sent stands in a
 * queue until its own arrives, given up or not: a late one must not be taken
 * for that of the record behind it.
 */

#include <sys/queue.h>

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "libcommon/audit.h"
#include "libcommon/clock.h"
#include "libcommon/log.h"
#include "libcommon/msg.h"
#include "libcommon/peer.h"

#define WHY_MAX 160

struct record {
	TAILQ_ENTRY(record) entry;
	audit_done_fn *done; /* NULL: nobody waits */
	void *arg;
	int64_t sent_ms;
	bool given_up;
	/*
	 * a lasting record: what it was, and its place among them; its done
	 * waits for as long as it does
	 */
	char *text;
	size_t len;
	uint64_t serial;
	/* given up: the lasting record to become when it was written */
	char *then;
	size_t then_len;
};
TAILQ_HEAD(records, record);

struct audit_client {
	struct event_base *base;
	struct peer *peer;
	struct records sent; /* not acknowledged */
	size_t nsent;
	size_t ngiven_up; /* of these; lasting ones are never forgone */
	struct records kept; /* lasting ones to send */
	size_t nkept;
	size_t nlasting; /* in either queue */
	uint64_t serial;
	bool refused; /* the last answer was no */
	int64_t refused_ms; /* when */
	struct record *late; /* whose done is told so just now */
	struct event *timer;
};

static void on_timer(int, short, void *);

struct audit_client *
audit_client_new(struct event_base *base, struct peer *p)
{
	struct audit_client *a;

	if ((a = calloc(1, sizeof(*a))) == NULL)
		return NULL;
	a->base = base;
	a->peer = p;
	TAILQ_INIT(&a->sent);
	TAILQ_INIT(&a->kept);
	if ((a->timer = evtimer_new(base, on_timer, a)) == NULL) {
		free(a);
		return NULL;
	}
	return a;
}

static void
record_free(struct record *r)
{
	free(r->text);
	free(r->then);
	free(r);
}

static void
records_free(struct records *q)
{
	struct record *r;

	while ((r = TAILQ_FIRST(q)) != NULL) {
		TAILQ_REMOVE(q, r, entry);
		record_free(r);
	}
}

void
audit_client_free(struct audit_client **ap)
{
	struct audit_client *a = *ap;

	if (a == NULL)
		return;
	event_free(a->timer);
	records_free(&a->sent);
	records_free(&a->kept);
	free(a);
	*ap = NULL;
}

/* --- time ------------------------------------------------------------- */

/* The oldest record that somebody may still be waiting for. */
static struct record *
oldest(const struct audit_client *a)
{
	struct record *r;

	TAILQ_FOREACH(r, &a->sent, entry)
		if (!r->given_up)
			return r;
	return NULL;
}

/* Set the timer for what is due first: giving up, or trying again. */
static void
arm(struct audit_client *a)
{
	const struct record *r = oldest(a);
	int64_t due = INT64_MAX, left;
	struct timeval tv;

	if (r != NULL)
		due = r->sent_ms + AUDIT_WAIT_MS;
	if (a->refused && a->nkept > 0 && a->refused_ms + AUDIT_RETRY_MS < due)
		due = a->refused_ms + AUDIT_RETRY_MS;
	if (due == INT64_MAX) {
		(void)evtimer_del(a->timer);
		return;
	}
	left = due - clock_boot_ms();
	if (left < 0)
		left = 0;
	tv.tv_sec = left / 1000;
	tv.tv_usec = left % 1000 * 1000;
	if (evtimer_add(a->timer, &tv) == -1)
		fatalx("evtimer_add");
}

/* --- sending ---------------------------------------------------------- */

static struct record *
record_new(audit_done_fn *done, void *arg)
{
	struct record *r;

	if ((r = calloc(1, sizeof(*r))) == NULL)
		return NULL;
	r->done = done;
	r->arg = arg;
	return r;
}

/* On success r stands in the queue, else it is the caller's as before. */
static int
send_record(struct audit_client *a, struct record *r, const struct msg *m)
{
	if (a->nsent >= AUDIT_WAITING_MAX || peer_send(a->peer, m) == -1)
		return -1;
	r->sent_ms = clock_boot_ms();
	r->given_up = false;
	TAILQ_INSERT_TAIL(&a->sent, r, entry);
	a->nsent++;
	return 0;
}

int
audit_client_send(
    struct audit_client *a, const struct msg *m, audit_done_fn *done, void *arg)
{
	struct record *r;

	if ((r = record_new(done, arg)) == NULL)
		return -1;
	if (send_record(a, r, m) == -1) {
		record_free(r);
		return -1;
	}
	arm(a);
	return 0;
}

/* Send a kept record again. */
static int
send_kept(struct audit_client *a, struct record *r)
{
	struct msg m;
	char why[WHY_MAX];
	int ret;

	if (a->nsent >= AUDIT_WAITING_MAX ||
	    msg_decode(r->text, r->len, &m, why, sizeof(why)) == -1)
		return -1;
	TAILQ_REMOVE(&a->kept, r, entry);
	if ((ret = send_record(a, r, &m)) == -1)
		TAILQ_INSERT_HEAD(&a->kept, r, entry);
	else
		a->nkept--;
	msg_free(&m);
	return ret;
}

static void
send_all_kept(struct audit_client *a)
{
	struct record *r;

	while ((r = TAILQ_FIRST(&a->kept)) != NULL)
		if (send_kept(a, r) == -1)
			break;
}

int
audit_client_send_lasting(
    struct audit_client *a, const struct msg *m, audit_done_fn *done, void *arg)
{
	struct record *r;
	char why[WHY_MAX];

	if (a->nlasting >= AUDIT_LASTING_MAX ||
	    (r = record_new(done, arg)) == NULL) {
		log_warnx("a record is lost: %zu are kept already, or memory "
		          "is out",
		    a->nlasting);
		return -1;
	}
	if (msg_encode(m, &r->text, &r->len, why, sizeof(why)) == -1) {
		log_warnx("a record cannot be kept: %s", why);
		record_free(r);
		return -1;
	}
	r->serial = ++a->serial;
	a->nlasting++;
	TAILQ_INSERT_TAIL(&a->kept, r, entry);
	a->nkept++;
	/* While the disk refuses, only on_timer tries. */
	if (!a->refused)
		send_all_kept(a);
	arm(a);
	return 0;
}

int
audit_client_send_if_late(struct audit_client *a, const struct msg *m)
{
	struct record *r = a->late;
	char why[WHY_MAX];

	/* It was refused: it is not in the file and needs no other. */
	if (r == NULL)
		return 0;
	free(r->then);
	r->then = NULL;
	if (msg_encode(m, &r->then, &r->then_len, why, sizeof(why)) == -1) {
		log_warnx("a record cannot be kept: %s", why);
		return -1;
	}
	return 0;
}

void
audit_client_forget(struct audit_client *a, void *arg)
{
	struct record *r;

	TAILQ_FOREACH(r, &a->sent, entry)
		if (r->done != NULL && r->arg == arg)
			r->done = NULL;
	TAILQ_FOREACH(r, &a->kept, entry)
		if (r->done != NULL && r->arg == arg)
			r->done = NULL;
}

/* --- answers ---------------------------------------------------------- */

/* Back among the kept ones, in the order in which they were first sent. */
static void
keep(struct audit_client *a, struct record *r)
{
	struct record *before;

	a->nkept++;
	before = TAILQ_LAST(&a->kept, records);
	while (before != NULL && before->serial > r->serial)
		before = TAILQ_PREV(before, records, entry);
	if (before != NULL)
		TAILQ_INSERT_AFTER(&a->kept, before, r, entry);
	else
		TAILQ_INSERT_HEAD(&a->kept, r, entry);
}

/* It was written after all: what goes with it follows. */
static void
become_lasting(struct audit_client *a, struct record *r)
{
	r->text = r->then;
	r->len = r->then_len;
	r->then = NULL;
	r->serial = ++a->serial;
	a->nlasting++;
	TAILQ_INSERT_TAIL(&a->kept, r, entry);
	a->nkept++;
}

/* The oldest record that was sent has its answer. */
static void
settle(struct audit_client *a, bool ok, bool final)
{
	struct record *r = TAILQ_FIRST(&a->sent);
	audit_done_fn *done = r->done;
	void *arg = r->arg;

	TAILQ_REMOVE(&a->sent, r, entry);
	a->nsent--;
	if (r->given_up && r->text == NULL)
		a->ngiven_up--;
	if (r->text != NULL && !ok && !final) {
		keep(a, r);
		return;
	}
	if (r->text != NULL && !ok)
		log_warnx("a record is lost: audit cannot write it ever");
	if (r->then != NULL && ok) {
		become_lasting(a, r);
		return;
	}
	if (r->text != NULL)
		a->nlasting--;
	record_free(r);
	if (done != NULL)
		done(ok, arg);
}

static void
answered(struct audit_client *a, bool ok, bool final, int64_t count)
{
	if (count > (int64_t)a->nsent)
		fatalx("audit acknowledges %lld records of %zu",
		    (long long)count, a->nsent);
	/* What is wrong with a record alone says nothing of the disk. */
	if (!final) {
		a->refused = !ok;
		if (!ok)
			a->refused_ms = clock_boot_ms();
	}
	for (; count > 0; count--)
		settle(a, ok, final);
	if (!a->refused)
		send_all_kept(a);
	arm(a);
}

void
audit_client_message(struct audit_client *a, const struct msg *m)
{
	switch (m->type) {
	case MSG_TYPE_recorded:
		answered(a, true, false, m->u.recorded.count);
		break;
	case MSG_TYPE_unrecorded:
		if (!a->refused)
			log_warnx(
			    "records are refused: %s", m->u.unrecorded.reason);
		answered(
		    a, false, m->u.unrecorded.final, m->u.unrecorded.count);
		break;
	default:
		fatalx("unexpected %s from audit", msg_decl(m->type)->wire);
	}
}

/*
 * An answer that is late counts as no. When it comes after all nothing happens
 * any more; a lasting record is not sent again before it has come.
 */
static void
give_up(struct audit_client *a, struct record *r)
{
	audit_done_fn *done = r->done;

	r->given_up = true;
	if (r->text != NULL)
		return;
	r->done = NULL;
	a->ngiven_up++;
	a->late = r;
	if (done != NULL)
		done(false, r->arg);
	a->late = NULL;
}

static void
on_timer(int fd, short what, void *arg)
{
	struct audit_client *a = arg;
	struct record *r;
	int64_t now = clock_boot_ms();

	while ((r = oldest(a)) != NULL && r->sent_ms + AUDIT_WAIT_MS <= now)
		give_up(a, r);
	/* One is enough to ask whether the disk takes records again. */
	if (a->refused && a->refused_ms + AUDIT_RETRY_MS <= now &&
	    (r = TAILQ_FIRST(&a->kept)) != NULL) {
		a->refused_ms = now;
		(void)send_kept(a, r);
	}
	arm(a);
}

/* --- state ------------------------------------------------------------ */

size_t
audit_client_waiting(const struct audit_client *a)
{
	return a->nsent - a->ngiven_up + a->nkept;
}

bool
audit_client_healthy(const struct audit_client *a)
{
	const struct record *first = TAILQ_FIRST(&a->sent);
	int64_t now = clock_boot_ms();

	if (first != NULL && first->sent_ms + AUDIT_WAIT_MS <= now)
		return false;
	if (!a->refused)
		return true;
	return a->nkept == 0 && a->refused_ms + AUDIT_RETRY_MS <= now;
}
