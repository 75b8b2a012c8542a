#include <arpa/inet.h>

#include <stdlib.h>
#include <string.h>

#include "dispatchd/queue_store_int.h"

#define DAY_MS (24LL * 3600 * 1000)
#define SUBNET_SIZE (1U << (32 - DISPATCH_SUBNET_BITS))

/* A statement's one row; 1, 0 when there is none, -1. */
static int
one_row(struct queue_store *s, sqlite3_stmt *st, struct queue_row *row)
{
	int rc = sqlite3_step(st), r;

	if (rc == SQLITE_ROW)
		r = store_row_read(s, st, row) == 0 ? 1 : -1;
	else
		r = rc == SQLITE_DONE ? 0 : store_sqlite(s, "cannot be read");
	(void)sqlite3_reset(st);
	return r;
}

int
queue_store_get(struct queue_store *s, const char *run, struct queue_row *row)
{
	sqlite3_stmt *st = store_prepare(s, ST_GET);
	int r;

	if (st == NULL)
		return -1;
	(void)sqlite3_bind_text(st, 1, run, -1, SQLITE_TRANSIENT);
	r = one_row(s, st, row);
	if (r == 0)
		return store_error(
		    s, STORE_ABSENT, "there is no run %.64s", run);
	return r == 1 ? 0 : -1;
}

int
queue_store_each(struct queue_store *s, enum queue_filter f, int64_t seq,
    size_t limit, bool (*cb)(const struct queue_row *row, void *arg), void *arg)
{
	sqlite3_stmt *st = store_prepare(s, (enum store_stmt)(ST_EACH + f));
	struct queue_row row;
	int rc = SQLITE_DONE, r = 0;

	if (st == NULL)
		return -1;
	if (f == FILTER_ALL && seq == 0)
		seq = INT64_MAX;
	(void)sqlite3_bind_int64(st, 1, seq);
	(void)sqlite3_bind_int64(st, 2, (int64_t)limit);
	while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		r = store_row_read(s, st, &row);
		if (r == 0 && !cb(&row, arg))
			break;
	}
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		r = store_sqlite(s, "cannot be read");
	(void)sqlite3_reset(st);
	return r;
}

int
queue_store_events(struct queue_store *s, const char *run, size_t limit,
    bool (*cb)(const struct queue_step_row *e, void *arg), void *arg)
{
	struct queue_step_row e;
	struct queue_row row;
	sqlite3_stmt *st;
	int rc = SQLITE_DONE, r = 0;

	if (queue_store_get(s, run, &row) == -1)
		return -1;
	st = store_prepare(s, ST_EVENTS);
	if (st == NULL)
		return -1;
	(void)sqlite3_bind_int64(st, 1, row.seq);
	(void)sqlite3_bind_int64(st, 2, (int64_t)limit);
	while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		r = store_event_read(s, st, row.seq, &e);
		if (r == 0 && !cb(&e, arg))
			break;
	}
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		r = store_sqlite(s, "cannot be read");
	(void)sqlite3_reset(st);
	return r;
}

/* The row of that number, which is there. */
static int
row_of(struct queue_store *s, int64_t seq, struct queue_row *row)
{
	sqlite3_stmt *st =
	    store_prepare(s, (enum store_stmt)(ST_EACH + FILTER_ALL));
	int r;

	if (st == NULL)
		return -1;
	(void)sqlite3_bind_int64(st, 1, seq + 1);
	(void)sqlite3_bind_int64(st, 2, 1);
	r = one_row(s, st, row);
	if (r == 1 && row->seq == seq)
		return 0;
	return r == -1 ? -1
	               : store_error(s, STORE_CORRUPT,
	                     "%s: a step is owed of no run", s->path);
}

static int
event_of(
    struct queue_store *s, const struct queue_owed *o, struct queue_step_row *e)
{
	sqlite3_stmt *st = store_prepare(s, ST_EVENT);
	int rc, r;

	if (st == NULL)
		return -1;
	(void)sqlite3_bind_int64(st, 1, o->seq);
	(void)sqlite3_bind_int64(st, 2, o->nth);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		r = store_event_read(s, st, o->seq, e);
	else if (rc == SQLITE_DONE)
		r = store_error(s, STORE_CORRUPT,
		    "%s: a step is owed that was not taken", s->path);
	else
		r = store_sqlite(s, "cannot be read");
	(void)sqlite3_reset(st);
	return r;
}

int
queue_store_owed(struct queue_store *s, struct queue_owed *o,
    struct queue_row *row, struct queue_step_row *e)
{
	sqlite3_stmt *st = store_prepare(s, ST_OWED);
	struct queue_owed next;
	int rc;

	if (st == NULL)
		return -1;
	(void)sqlite3_bind_int64(st, 1, o->seq);
	(void)sqlite3_bind_int64(st, 2, o->nth);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		next.seq = sqlite3_column_int64(st, 0);
		next.nth = sqlite3_column_int64(st, 1);
	} else if (rc != SQLITE_DONE)
		(void)store_sqlite(s, "cannot be read");
	(void)sqlite3_reset(st);
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? 0 : -1;
	if (row_of(s, next.seq, row) == -1 || event_of(s, &next, e) == -1)
		return -1;
	*o = next;
	return 1;
}

int
queue_store_count(struct queue_store *s, enum queue_filter f, int64_t *n)
{
	sqlite3_stmt *st = store_prepare(s, (enum store_stmt)(ST_COUNT + f));
	int rc;

	if (st == NULL)
		return -1;
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*n = sqlite3_column_int64(st, 0);
	else
		(void)store_sqlite(s, "cannot be read");
	(void)sqlite3_reset(st);
	return rc == SQLITE_ROW ? 0 : -1;
}

int
queue_store_note_get(struct queue_store *s, const char *run, const char *kind,
    char *text, size_t size)
{
	char sum[STORE_SUM_LEN + 1], has[STORE_SUM_LEN + 1];
	const char *texts[2] = { kind, NULL };
	struct queue_row row;
	sqlite3_stmt *st;
	int rc, r = 0;

	if (queue_store_get(s, run, &row) == -1)
		return -1;
	st = store_prepare(s, ST_NOTE);
	if (st == NULL)
		return -1;
	(void)sqlite3_bind_int64(st, 1, row.seq);
	(void)sqlite3_bind_text(st, 2, kind, -1, SQLITE_TRANSIENT);
	rc = sqlite3_step(st);
	if (rc == SQLITE_DONE)
		r = store_error(
		    s, STORE_ABSENT, "run %s has no %.16s", run, kind);
	else if (rc != SQLITE_ROW)
		r = store_sqlite(s, "cannot be read");
	else {
		texts[1] = (const char *)sqlite3_column_text(st, 0);
		if (texts[1] == NULL || store_sum(sum, texts, 2) == -1 ||
		    store_column(st, 1, has, sizeof(has)) == -1 ||
		    strcmp(sum, has) != 0)
			r = store_error(s, STORE_CORRUPT,
			    "%s: a note of run %s is not as it was written",
			    s->path, run);
		else if (store_column(st, 0, text, size) == -1)
			r = store_error(s, STORE_LIMIT, "a note is too large");
	}
	(void)sqlite3_reset(st);
	return r;
}

/* --- networks
 * -------------------------------------------------------------------- */

/* The networks that live runs have, as numbers. Returns how many, or -1. */
static int
taken(struct queue_store *s, uint32_t *nets, size_t max)
{
	char text[QUEUE_NETWORK_MAX + 1];
	sqlite3_stmt *st = store_prepare(s, ST_NETWORKS);
	struct netprefix p;
	uint32_t addr;
	size_t n = 0;
	int rc = SQLITE_DONE, r = 0;

	if (st == NULL)
		return -1;
	(void)sqlite3_bind_int64(st, 1, (int64_t)max + 1);
	while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		if (n == max)
			r = store_error(s, STORE_LIMIT,
			    "more than %zu networks are taken", max);
		else if (store_column(st, 0, text, sizeof(text)) == -1 ||
		    netprefix_parse(text, strlen(text), &p) == -1)
			r = store_error(s, STORE_CORRUPT,
			    "%s: a run's network is none", s->path);
		else {
			memcpy(&addr, p.addr.b, sizeof(addr));
			nets[n++] = ntohl(addr);
		}
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = store_sqlite(s, "cannot be read");
	(void)sqlite3_reset(st);
	return r == -1 ? -1 : (int)n;
}

static int
by_number(const void *x, const void *y)
{
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

	return a < b ? -1 : a > b;
}

int
queue_store_subnet(struct queue_store *s, const struct netprefix *pool,
    const struct netprefix *passed, size_t npassed,
    char out[QUEUE_NETWORK_MAX + 1])
{
	char text[NETADDR_PREFIX_TEXT_MAX];
	uint32_t nets[QUEUE_LIVE_MAX + QUEUE_PASSED_MAX], at, first;
	struct netprefix p = *pool;
	int n = taken(s, nets, QUEUE_LIVE_MAX), i;

	if (n == -1)
		return -1;
	for (; npassed > 0; npassed--) {
		memcpy(&at, passed[npassed - 1].addr.b, sizeof(at));
		nets[n++] = ntohl(at);
	}
	qsort(nets, (size_t)n, sizeof(nets[0]), by_number);
	memcpy(&first, pool->addr.b, sizeof(first));
	first = at = ntohl(first);
	for (i = 0; i < n; i++) {
		if (nets[i] == at)
			at += SUBNET_SIZE;
	}
	if (at - first >= UINT64_C(1) << (32 - pool->bits))
		return store_error(
		    s, STORE_LIMIT, "every network of the pool is taken");
	first = htonl(at);
	memcpy(p.addr.b, &first, sizeof(first));
	p.bits = DISPATCH_SUBNET_BITS;
	(void)strlcpy(out, netprefix_text(&p, text), QUEUE_NETWORK_MAX + 1);
	return 0;
}

/* --- what may be forgotten
 * --------------------------------------------------------- */

int
queue_store_beyond(
    struct queue_store *s, int64_t keep_runs, struct queue_row *row)
{
	sqlite3_stmt *st = store_prepare(s, ST_BEYOND);

	if (st == NULL)
		return -1;
	(void)sqlite3_bind_int64(st, 1, keep_runs);
	return one_row(s, st, row);
}

int
queue_store_aged(struct queue_store *s, int64_t keep_days,
    const struct queue_time *now, bool other_boots, struct queue_row *row)
{
	sqlite3_stmt *st = store_prepare(s, ST_AGED);

	if (st == NULL)
		return -1;
	(void)sqlite3_bind_int64(st, 1, now->wall_ms - keep_days * DAY_MS);
	(void)sqlite3_bind_text(st, 2, now->boot_id, -1, SQLITE_TRANSIENT);
	(void)sqlite3_bind_int64(st, 3, now->boot_ms - keep_days * DAY_MS);
	(void)sqlite3_bind_int(st, 4, other_boots);
	return one_row(s, st, row);
}
