#include <stdlib.h>
#include <string.h>

#include "dispatchd/queue_store_int.h"

#define ID_TRIES 8 /* 60 bits of chance: the second would be news */

/* The run of this peer with this request id: 1, 0 when none, -1. */
static int
by_request(struct queue_store *s, int64_t uid, const char *request,
    struct queue_row *row)
{
	sqlite3_stmt *st = store_prepare(s, ST_BY_REQUEST);
	int rc, r;

	if (st == NULL)
		return -1;
	(void)sqlite3_bind_int64(st, 1, uid);
	(void)sqlite3_bind_text(st, 2, request, -1, SQLITE_STATIC);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		r = store_row_read(s, st, row) == 0 ? 1 : -1;
	else
		r = rc == SQLITE_DONE ? 0 : store_sqlite(s, "cannot be read");
	(void)sqlite3_reset(st);
	return r;
}

int
queue_store_known(struct queue_store *s, int64_t uid, const char *request)
{
	struct queue_row row;

	return by_request(s, uid, request, &row);
}

static int
fresh_id(struct queue_store *s, char run[RUNID_LEN + 1])
{
	struct queue_row other;
	int i;

	for (i = 0; i < ID_TRIES; i++) {
		store_random_id(run);
		if (queue_store_get(s, run, &other) == -1)
			return s->error == STORE_ABSENT ? 0 : -1;
	}
	return store_error(s, STORE_STORAGE, "no id is free");
}

/* What of a user waits already: runs, and bytes of their prompts. */
static int
count_user(struct queue_store *s, int64_t uid, int64_t *runs, int64_t *bytes)
{
	sqlite3_stmt *st = NULL;
	int r = -1;

	if (sqlite3_prepare_v2(s->db,
	        "SELECT count(*),coalesce(sum(prompt_bytes),0) FROM runs"
	        " WHERE state='QUEUED' AND uid=?",
	        -1, &st, NULL) == SQLITE_OK &&
	    sqlite3_bind_int64(st, 1, uid) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW) {
		*runs = sqlite3_column_int64(st, 0);
		*bytes = sqlite3_column_int64(st, 1);
		r = 0;
	} else
		(void)store_sqlite(s, "cannot be read");
	(void)sqlite3_finalize(st);
	return r;
}

/* Nobody fills the queue, or its disk, for all others. */
static int
check_share(struct queue_store *s, int64_t uid, size_t len)
{
	int64_t runs, bytes;

	if (count_user(s, uid, &runs, &bytes) == -1)
		return -1;
	if (runs >= QUEUE_USER_QUEUED_MAX)
		return store_error(s, STORE_LIMIT,
		    "%d runs of this user wait already", QUEUE_USER_QUEUED_MAX);
	if (bytes + (int64_t)len > QUEUE_USER_PROMPTS_MAX)
		return store_error(s, STORE_LIMIT,
		    "the prompts of this user's waiting runs would be above "
		    "%d bytes",
		    QUEUE_USER_PROMPTS_MAX);
	return 0;
}

static int
check_new(struct queue_store *s, const struct queue_row *row, size_t len)
{
	int64_t queued;

	if (!queue_request_id_valid(row->request) ||
	    strlen(row->request_hash) != QUEUE_HASH_LEN || row->tool[0] == '\0')
		return store_error(
		    s, STORE_REFUSED, "a request without an id or a hash");
	if (len > DISPATCH_PROMPT_MAX)
		return store_error(s, STORE_LIMIT,
		    "a prompt of %zu bytes; allowed: %d", len,
		    DISPATCH_PROMPT_MAX);
	if (queue_store_count(s, FILTER_QUEUED, &queued) == -1)
		return -1;
	if (queued >= QUEUE_QUEUED_MAX)
		return store_error(s, STORE_LIMIT,
		    "the queue is full: %d runs wait", QUEUE_QUEUED_MAX);
	return check_share(s, row->uid, len);
}

static void
begin_row(struct queue_row *row, size_t len, const struct queue_time *now)
{
	static const struct queue_row none;

	store_row_own(row, &none);
	row->state = STATE_QUEUED;
	row->steps = 1;
	row->tries = 0;
	row->exit_code = row->pid1_exit = -1;
	row->prompt_bytes = (int64_t)len;
	row->submitted_wall_ms = row->step_wall_ms = now->wall_ms;
	row->submitted_boot_ms = row->step_boot_ms = now->boot_ms;
	memcpy(row->boot_id, now->boot_id, sizeof(row->boot_id));
}

static int
insert(struct queue_store *s, struct queue_row *row, const uint8_t *prompt,
    size_t len, const struct queue_time *now)
{
	sqlite3_stmt *st = store_prepare(s, ST_INSERT);

	/* The number is ours, so that the hash can hold it. */
	if (st == NULL || store_row_bind(s, st, row) == -1 ||
	    store_run(s, st, "a run cannot be added") == -1)
		return -1;
	st = store_prepare(s, ST_PROMPT_ADD);
	if (st == NULL)
		return -1;
	(void)sqlite3_bind_int64(st, 1, row->seq);
	if ((len == 0 ? sqlite3_bind_zeroblob(st, 2, 0)
	              : sqlite3_bind_blob64(
	                    st, 2, prompt, len, SQLITE_STATIC)) != SQLITE_OK)
		return store_sqlite(s, "a prompt cannot be bound");
	if (store_run(s, st, "a prompt cannot be added") == -1)
		return -1;
	(void)sqlite3_clear_bindings(st);
	return store_event_add(s, row, "", "submitted", now);
}

/* Behind every number that was ever given, also of runs since forgotten. */
static int
next_seq(struct queue_store *s, int64_t *seq)
{
	sqlite3_stmt *st = NULL;
	int rc, r = 0;

	rc = sqlite3_prepare_v2(s->db,
	    "SELECT seq FROM sqlite_sequence WHERE name='runs'", -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	*seq = 1;
	if (rc == SQLITE_ROW)
		*seq = sqlite3_column_int64(st, 0) + 1;
	else if (rc != SQLITE_DONE)
		r = store_sqlite(s, "cannot be read");
	(void)sqlite3_finalize(st);
	return r;
}

int
queue_store_submit(struct queue_store *s, struct queue_row *row,
    const uint8_t *prompt, size_t len, const struct queue_time *now,
    bool *again)
{
	struct queue_row r = *row, old;
	int known;

	known = by_request(s, row->uid, row->request, &old);
	if (known == -1)
		return -1;
	if (known == 1) {
		if (strcmp(old.request_hash, row->request_hash) != 0)
			return store_error(s, STORE_CONFLICT,
			    "request %s is run %s, and asked for something "
			    "else",
			    row->request, old.run);
		*row = old;
		*again = true;
		return 0;
	}
	if (check_new(s, row, len) == -1)
		return -1;
	begin_row(&r, len, now);
	if (store_sum_bytes(r.prompt_sha256, prompt, len) == -1)
		return store_error(s, STORE_STORAGE, "a prompt has no hash");
	if (store_begin(s) == -1)
		return -1;
	if (store_end(s,
	        next_seq(s, &r.seq) == -1 || fresh_id(s, r.run) == -1
	            ? -1
	            : insert(s, &r, prompt, len, now)) == -1)
		return -1;
	*row = r;
	*again = false;
	return 0;
}

int
queue_store_prompt(
    struct queue_store *s, const char *run, uint8_t **prompt, size_t *len)
{
	char sum[STORE_SUM_LEN + 1];
	struct queue_row row;
	sqlite3_stmt *st;
	uint8_t *copy = NULL;
	size_t n = 0;
	int rc;

	if (queue_store_get(s, run, &row) == -1)
		return -1;
	st = store_prepare(s, ST_PROMPT);
	if (st == NULL)
		return -1;
	(void)sqlite3_bind_int64(st, 1, row.seq);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		n = (size_t)sqlite3_column_bytes(st, 0);
		copy = malloc(n + 1);
		if (copy != NULL && n > 0)
			memcpy(copy, sqlite3_column_blob(st, 0), n);
	}
	(void)sqlite3_reset(st);
	if (rc == SQLITE_DONE)
		return store_error(
		    s, STORE_ABSENT, "run %s has no prompt any more", run);
	if (rc != SQLITE_ROW)
		return store_sqlite(s, "cannot be read");
	if (copy == NULL)
		return store_error(s, STORE_LIMIT, "no memory for a prompt");
	if ((int64_t)n != row.prompt_bytes ||
	    store_sum_bytes(sum, copy, n) == -1 ||
	    strcmp(sum, row.prompt_sha256) != 0) {
		free(copy);
		return store_error(s, STORE_CORRUPT,
		    "%s: the prompt of run %s is not as it was written",
		    s->path, run);
	}
	*prompt = copy;
	*len = n;
	return 0;
}
