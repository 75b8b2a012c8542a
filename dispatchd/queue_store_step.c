#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dispatchd/queue_store_int.h"

#define NUMBER_MAX 24

/* --- events ------------------------------------------------------------------
 */

static int
event_sum(int64_t seq, int64_t nth, const struct queue_step_row *e,
    char hex[STORE_SUM_LEN + 1])
{
	char numbers[4][NUMBER_MAX];
	const char *texts[] = { numbers[0], numbers[1], e->from, e->to,
		e->class, e->evidence, numbers[2], numbers[3], e->boot_id };

	snprintf(numbers[0], NUMBER_MAX, "%" PRId64, seq);
	snprintf(numbers[1], NUMBER_MAX, "%" PRId64, nth);
	snprintf(numbers[2], NUMBER_MAX, "%" PRId64, e->wall_ms);
	snprintf(numbers[3], NUMBER_MAX, "%" PRId64, e->boot_ms);
	return store_sum(hex, texts, sizeof(texts) / sizeof(texts[0]));
}

int
store_event_add(struct queue_store *s, const struct queue_row *row,
    const char *from, const char *evidence, const struct queue_time *now)
{
	sqlite3_stmt *st = store_prepare(s, ST_EVENT_ADD);
	char sum[STORE_SUM_LEN + 1];
	struct queue_step_row e;

	if (st == NULL)
		return -1;
	memset(&e, 0, sizeof(e));
	(void)strlcpy(e.from, from, sizeof(e.from));
	(void)strlcpy(e.to, queue_state_name(row->state), sizeof(e.to));
	(void)strlcpy(e.class, queue_class_name(row->class), sizeof(e.class));
	(void)strlcpy(e.evidence, evidence, sizeof(e.evidence));
	e.wall_ms = now->wall_ms;
	e.boot_ms = now->boot_ms;
	(void)strlcpy(e.boot_id, now->boot_id, sizeof(e.boot_id));
	if (event_sum(row->seq, row->steps, &e, sum) == -1)
		return store_error(s, STORE_STORAGE, "an event has no hash");
	(void)sqlite3_bind_int64(st, 1, row->seq);
	(void)sqlite3_bind_int64(st, 2, row->steps);
	(void)sqlite3_bind_text(st, 3, e.from, -1, SQLITE_TRANSIENT);
	(void)sqlite3_bind_text(st, 4, e.to, -1, SQLITE_TRANSIENT);
	(void)sqlite3_bind_text(st, 5, e.class, -1, SQLITE_TRANSIENT);
	(void)sqlite3_bind_text(st, 6, e.evidence, -1, SQLITE_TRANSIENT);
	(void)sqlite3_bind_int64(st, 7, e.wall_ms);
	(void)sqlite3_bind_int64(st, 8, e.boot_ms);
	(void)sqlite3_bind_text(st, 9, e.boot_id, -1, SQLITE_TRANSIENT);
	(void)sqlite3_bind_text(st, 10, sum, -1, SQLITE_TRANSIENT);
	if (store_run(s, st, "an event cannot be added") == -1 ||
	    (st = store_prepare(s, ST_OWE)) == NULL)
		return -1;
	(void)sqlite3_bind_int64(st, 1, row->seq);
	(void)sqlite3_bind_int64(st, 2, row->steps);
	return store_run(s, st, "a step cannot be owed");
}

int
store_event_read(struct queue_store *s, sqlite3_stmt *st, int64_t seq,
    struct queue_step_row *e)
{
	char sum[STORE_SUM_LEN + 1], want[STORE_SUM_LEN + 1];
	struct queue_step_row r;

	memset(&r, 0, sizeof(r));
	r.wall_ms = sqlite3_column_int64(st, 5);
	r.boot_ms = sqlite3_column_int64(st, 6);
	if (store_column(st, 1, r.from, sizeof(r.from)) == -1 ||
	    store_column(st, 2, r.to, sizeof(r.to)) == -1 ||
	    store_column(st, 3, r.class, sizeof(r.class)) == -1 ||
	    store_column(st, 4, r.evidence, sizeof(r.evidence)) == -1 ||
	    store_column(st, 7, r.boot_id, sizeof(r.boot_id)) == -1 ||
	    store_column(st, 8, sum, sizeof(sum)) == -1 ||
	    event_sum(seq, sqlite3_column_int64(st, 0), &r, want) == -1 ||
	    strcmp(sum, want) != 0)
		return store_error(s, STORE_CORRUPT,
		    "%s: an event of row %" PRId64 " is not as it was written",
		    s->path, seq);
	*e = r;
	return 0;
}

/* --- steps
 * --------------------------------------------------------------------- */

/* What the disk has of the row, if it is in the state that the owner thinks. */
static int
load_same(
    struct queue_store *s, const struct queue_row *row, struct queue_row *disk)
{
	if (queue_store_get(s, row->run, disk) == -1)
		return -1;
	if (disk->state != row->state)
		return store_error(s, STORE_REFUSED, "run %s is %s, not %s",
		    row->run, queue_state_name(disk->state),
		    queue_state_name(row->state) != NULL
		        ? queue_state_name(row->state)
		        : "?");
	/* Neither is taken back: what was decided, was told. */
	if (disk->class != CLASS_NONE && row->class != disk->class)
		return store_error(s, STORE_REFUSED,
		    "run %s: its class is decided already", row->run);
	if (disk->stop != CLASS_NONE && row->stop != disk->stop)
		return store_error(s, STORE_REFUSED,
		    "run %s is being stopped already", row->run);
	if (disk->released && !row->released)
		return store_error(
		    s, STORE_REFUSED, "run %s has begun", row->run);
	return 0;
}

/* It begins anew, but for how often it did. */
static void
forget_attempt(struct queue_row *row)
{
	row->tries++;
	row->exit_code = row->pid1_exit = -1;
	row->signal = row->begun_boot_ms = 0;
	row->network[0] = row->container[0] = row->reason[0] = '\0';
	row->log_bytes = row->log_kept = row->log_dropped = 0;
}

static int
write_row(struct queue_store *s, const struct queue_row *row)
{
	sqlite3_stmt *st = store_prepare(s, ST_UPDATE);

	if (st == NULL || store_row_bind(s, st, row) == -1 ||
	    store_run(s, st, "a run cannot be written") == -1)
		return -1;
	return sqlite3_changes(s->db) == 1
	    ? 0
	    : store_error(s, STORE_ABSENT, "run %s is gone", row->run);
}

static int
drop_prompt(struct queue_store *s, int64_t seq)
{
	sqlite3_stmt *st = store_prepare(s, ST_PROMPT_DELETE);

	if (st == NULL)
		return -1;
	(void)sqlite3_bind_int64(st, 1, seq);
	return store_run(s, st, "a prompt cannot be removed");
}

int
queue_store_step(struct queue_store *s, struct queue_row *row,
    enum queue_state to, const char *evidence, const struct queue_time *now)
{
	struct queue_row r;
	struct queue_step step;
	const char *wrong, *from;
	int ret;

	if (load_same(s, row, &r) == -1)
		return -1;
	step = (struct queue_step){ .from = r.state,
		.to = to,
		.had = r.class,
		.has = row->class,
		.stop = row->stop,
		.exit78 = row->pid1_exit == QUEUE_EXIT_NOTHING,
		.released = row->released };
	wrong = *evidence == '\0' ? "a step needs evidence"
	                          : queue_step_wrong(&step);
	if (wrong != NULL)
		return store_error(s, STORE_REFUSED, "run %s, %s to %s: %s",
		    row->run, queue_state_name(r.state),
		    queue_state_name(to) != NULL ? queue_state_name(to) : "?",
		    wrong);
	from = queue_state_name(r.state);
	store_row_own(&r, row);
	r.state = to;
	r.steps++;
	r.step_wall_ms = now->wall_ms;
	r.step_boot_ms = now->boot_ms;
	memcpy(r.boot_id, now->boot_id, sizeof(r.boot_id));
	if (to == STATE_QUEUED)
		forget_attempt(&r);
	if (store_begin(s) == -1)
		return -1;
	ret = write_row(s, &r);
	if (ret == 0)
		ret = store_event_add(s, &r, from, evidence, now);
	if (ret == 0 && queue_state_terminal(to))
		ret = drop_prompt(s, r.seq);
	if (store_end(s, ret) == -1)
		return -1;
	*row = r;
	/* The log held the prompt too. The step itself is on disk already. */
	if (queue_state_terminal(to))
		(void)store_checkpoint(s);
	return 0;
}

int
queue_store_recorded(
    struct queue_store *s, const struct queue_owed *o, size_t n)
{
	sqlite3_stmt *st;
	int ret = 0;
	size_t i;

	if (store_begin(s) == -1)
		return -1;
	for (i = 0; i < n && ret == 0; i++) {
		if ((st = store_prepare(s, ST_RECORDED)) == NULL) {
			ret = -1;
			break;
		}
		(void)sqlite3_bind_int64(st, 1, o[i].seq);
		(void)sqlite3_bind_int64(st, 2, o[i].nth);
		ret = store_run(s, st, "what is owed cannot be written");
	}
	return store_end(s, ret);
}

int
queue_store_save(struct queue_store *s, struct queue_row *row)
{
	struct queue_row r;

	if (load_same(s, row, &r) == -1)
		return -1;
	if (r.class != row->class && queue_state_terminal(r.state))
		return store_error(
		    s, STORE_REFUSED, "run %s has ended", row->run);
	store_row_own(&r, row);
	if (store_begin(s) == -1 || store_end(s, write_row(s, &r)) == -1)
		return -1;
	*row = r;
	return 0;
}

int
queue_store_delete(struct queue_store *s, const char *run)
{
	struct queue_row row;
	sqlite3_stmt *st;

	if (queue_store_get(s, run, &row) == -1)
		return -1;
	if (!queue_state_terminal(row.state))
		return store_error(s, STORE_REFUSED,
		    "run %s is %s, not over: stop it first", run,
		    queue_state_name(row.state));
	if (store_begin(s) == -1)
		return -1;
	st = store_prepare(s, ST_DELETE);
	if (st != NULL)
		(void)sqlite3_bind_int64(st, 1, row.seq);
	return store_end(
	    s, st == NULL ? -1 : store_run(s, st, "a run cannot be removed"));
}

int
queue_store_note(
    struct queue_store *s, const char *run, const char *kind, const char *text)
{
	const char *texts[] = { kind, text };
	char sum[STORE_SUM_LEN + 1];
	struct queue_row row;
	sqlite3_stmt *st;

	if (queue_store_get(s, run, &row) == -1)
		return -1;
	if (strlen(kind) > QUEUE_NOTE_KIND_MAX || strlen(text) > QUEUE_NOTE_MAX)
		return store_error(s, STORE_LIMIT, "a note is too large");
	if (store_sum(sum, texts, 2) == -1)
		return store_error(s, STORE_STORAGE, "a note has no hash");
	if (store_begin(s) == -1)
		return -1;
	st = store_prepare(s, ST_NOTE_SET);
	if (st != NULL) {
		(void)sqlite3_bind_int64(st, 1, row.seq);
		(void)sqlite3_bind_text(st, 2, kind, -1, SQLITE_TRANSIENT);
		(void)sqlite3_bind_text(st, 3, text, -1, SQLITE_TRANSIENT);
		(void)sqlite3_bind_text(st, 4, sum, -1, SQLITE_TRANSIENT);
	}
	return store_end(
	    s, st == NULL ? -1 : store_run(s, st, "a note cannot be written"));
}
