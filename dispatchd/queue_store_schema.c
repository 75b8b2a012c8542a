/* The schema, its versions, and whether the file still is what was written. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatchd/queue_store_int.h"

#define APPLICATION_ID 0x626b6451 /* "bkdQ", for file(1) */

/*
 * An upgrade is the statements from a version to the next, in one transaction
 * with its number; a new file takes them all from 0. Columns of runs are in
 * the order of queue_store_rows.c.
 */
static const char *const version_1[] = {
	"CREATE TABLE meta(key TEXT PRIMARY KEY NOT NULL,value TEXT NOT NULL)",
	"CREATE TABLE runs("
	"seq INTEGER PRIMARY KEY AUTOINCREMENT,"
	"run TEXT NOT NULL UNIQUE,uid INTEGER NOT NULL,"
	"request TEXT NOT NULL,request_hash TEXT NOT NULL,"
	"repo TEXT NOT NULL,url TEXT NOT NULL,"
	"directory TEXT NOT NULL,base TEXT NOT NULL,"
	"tool TEXT NOT NULL,profile TEXT NOT NULL,"
	"memory INTEGER NOT NULL,cpus_milli INTEGER NOT NULL,"
	"pids INTEGER NOT NULL,workspace INTEGER NOT NULL,"
	"deadline_ms INTEGER NOT NULL,"
	"submitted_wall_ms INTEGER NOT NULL,"
	"submitted_boot_ms INTEGER NOT NULL,"
	"prompt_bytes INTEGER NOT NULL,prompt_sha256 TEXT NOT NULL,"
	"state TEXT NOT NULL,steps INTEGER NOT NULL,"
	"tries INTEGER NOT NULL,step_wall_ms INTEGER NOT NULL,"
	"step_boot_ms INTEGER NOT NULL,boot_id TEXT NOT NULL,"
	"class TEXT NOT NULL,stop TEXT NOT NULL,"
	"exit_code INTEGER NOT NULL,signal INTEGER NOT NULL,"
	"pid1_exit INTEGER NOT NULL,released INTEGER NOT NULL,"
	"reason TEXT NOT NULL,network TEXT NOT NULL,"
	"container TEXT NOT NULL,begun_boot_ms INTEGER NOT NULL,"
	"log_bytes INTEGER NOT NULL,log_kept INTEGER NOT NULL,"
	"log_dropped INTEGER NOT NULL,head TEXT NOT NULL,"
	"base_commit TEXT NOT NULL,bundle_sha256 TEXT NOT NULL,"
	"bundle_bytes INTEGER NOT NULL,fetched INTEGER NOT NULL,"
	"allowed INTEGER NOT NULL,denied INTEGER NOT NULL,"
	"bytes_up INTEGER NOT NULL,bytes_down INTEGER NOT NULL,"
	"sum TEXT NOT NULL,UNIQUE(uid,request))",
	"CREATE INDEX runs_state ON runs(state)",
	/* Two live runs never share a network, whoever counts wrong. */
	"CREATE UNIQUE INDEX runs_network ON runs(network) WHERE network<>''"
	" AND state NOT IN ('QUEUED','DONE')",
	"CREATE TABLE prompts(seq INTEGER PRIMARY KEY NOT NULL"
	" REFERENCES runs(seq) ON DELETE CASCADE,bytes BLOB NOT NULL)",
	"CREATE TABLE events(seq INTEGER NOT NULL"
	" REFERENCES runs(seq) ON DELETE CASCADE,nth INTEGER NOT NULL,"
	"from_state TEXT NOT NULL,to_state TEXT NOT NULL,"
	"class TEXT NOT NULL,evidence TEXT NOT NULL,"
	"wall_ms INTEGER NOT NULL,boot_ms INTEGER NOT NULL,"
	"boot_id TEXT NOT NULL,sum TEXT NOT NULL,PRIMARY KEY(seq,nth))",
	"CREATE TABLE notes(seq INTEGER NOT NULL"
	" REFERENCES runs(seq) ON DELETE CASCADE,kind TEXT NOT NULL,"
	"text TEXT NOT NULL,sum TEXT NOT NULL,PRIMARY KEY(seq,kind))",
	NULL,
};

/* Steps that are not known to be on record. */
static const char *const version_2[] = {
	"CREATE TABLE owed(seq INTEGER NOT NULL"
	" REFERENCES runs(seq) ON DELETE CASCADE,nth INTEGER NOT NULL,"
	"PRIMARY KEY(seq,nth))",
	NULL,
};

static const char *const *const versions[QUEUE_STORE_VERSION] = { version_1,
	version_2 };

/* --- small things ------------------------------------------------------------
 */

static int
ask_int(struct queue_store *s, const char *sql, int64_t *n)
{
	sqlite3_stmt *st = NULL;
	int r = -1;

	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW) {
		*n = sqlite3_column_int64(st, 0);
		r = 0;
	} else
		(void)store_sqlite(s, "cannot be read");
	(void)sqlite3_finalize(st);
	return r;
}

int
store_meta_get(struct queue_store *s, const char *key, char *value, size_t size)
{
	sqlite3_stmt *st = NULL;
	int r = -1;

	if (sqlite3_prepare_v2(s->db, "SELECT value FROM meta WHERE key=?1", -1,
	        &st, NULL) == SQLITE_OK &&
	    sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW)
		r = store_column(st, 0, value, size);
	(void)sqlite3_finalize(st);
	return r == 0
	    ? 0
	    : store_error(s, STORE_CORRUPT, "%s: meta lacks %s", s->path, key);
}

int
store_meta_set(struct queue_store *s, const char *key, const char *value)
{
	sqlite3_stmt *st = NULL;
	int r = -1;

	if (sqlite3_prepare_v2(s->db,
	        "INSERT OR REPLACE INTO meta(key,value) VALUES (?1,?2)", -1,
	        &st, NULL) == SQLITE_OK &&
	    sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC) == SQLITE_OK &&
	    sqlite3_bind_text(st, 2, value, -1, SQLITE_STATIC) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_DONE)
		r = 0;
	else
		(void)store_sqlite(s, "cannot be written");
	(void)sqlite3_finalize(st);
	return r;
}

/* --- versions
 * ------------------------------------------------------------------ */

static int
set_number(struct queue_store *s, const char *pragma, int64_t n)
{
	char sql[64];

	snprintf(sql, sizeof(sql), "PRAGMA %s=%" PRId64, pragma, n);
	return store_exec(s, sql);
}

static int
first_rows(struct queue_store *s)
{
	char id[RUNID_LEN + 1];

	store_random_id(id);
	if (set_number(s, "application_id", APPLICATION_ID) == -1 ||
	    store_meta_set(s, "instance", id) == -1)
		return -1;
	return store_meta_set(s, "generation", "0");
}

static int
upgrade(struct queue_store *s, int64_t from)
{
	const char *const *sql;
	int r = 0;

	if (store_begin(s) == -1)
		return -1;
	for (sql = versions[from]; r == 0 && *sql != NULL; sql++)
		r = store_exec(s, *sql);
	if (r == 0 && from == 0)
		r = first_rows(s);
	if (r == 0)
		r = set_number(s, "user_version", from + 1);
	return store_end(s, r);
}

/* The next statement of all versions, or NULL; *at goes on. */
static const char *
next_statement(size_t *version, size_t *at)
{
	while (*version < QUEUE_STORE_VERSION) {
		if (versions[*version][*at] != NULL)
			return versions[*version][(*at)++];
		(*version)++;
		*at = 0;
	}
	return NULL;
}

/* The statements that made it stand in the file, as they were. */
static int
check_schema(struct queue_store *s)
{
	sqlite3_stmt *st = NULL;
	size_t version = 0, at = 0;
	const char *text, *sql;
	int rc, r = 0;

	rc = sqlite3_prepare_v2(s->db,
	    "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND"
	    " name<>'sqlite_sequence' ORDER BY rowid",
	    -1, &st, NULL);
	while (rc == SQLITE_OK && r == 0 && sqlite3_step(st) == SQLITE_ROW) {
		text = (const char *)sqlite3_column_text(st, 0);
		sql = next_statement(&version, &at);
		if (sql == NULL || text == NULL || strcmp(text, sql) != 0)
			r = -1;
	}
	if (rc != SQLITE_OK || next_statement(&version, &at) != NULL)
		r = -1;
	(void)sqlite3_finalize(st);
	return r == 0 ? 0
	              : store_error(s, STORE_CORRUPT,
	                    "%s: its schema is not as it was made", s->path);
}

int
store_schema(struct queue_store *s)
{
	int64_t version, id, objects;

	if (ask_int(s, "PRAGMA user_version", &version) == -1 ||
	    ask_int(s, "PRAGMA application_id", &id) == -1 ||
	    ask_int(s, "SELECT count(*) FROM sqlite_schema", &objects) == -1)
		return -1;
	if (version > QUEUE_STORE_VERSION)
		return store_error(s, STORE_CORRUPT,
		    "%s is of version %" PRId64 ", this is %d: a later "
		    "dispatchd made it",
		    s->path, version, QUEUE_STORE_VERSION);
	if (version < 0 || (version == 0) != (objects == 0) ||
	    (version > 0 && id != APPLICATION_ID))
		return store_error(s, STORE_CORRUPT, "%s is no queue", s->path);
	for (; version < QUEUE_STORE_VERSION; version++) {
		if (upgrade(s, version) == -1)
			return -1;
	}
	return check_schema(s);
}

/* --- is it as it was written
 * ---------------------------------------------------- */

static int
check_pages(struct queue_store *s)
{
	sqlite3_stmt *st = NULL;
	const char *text = NULL;
	int r = -1;

	if (sqlite3_prepare_v2(s->db, "PRAGMA integrity_check(1)", -1, &st,
	        NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW)
		text = (const char *)sqlite3_column_text(st, 0);
	if (text == NULL)
		(void)store_sqlite(s, "cannot be checked");
	else if (strcmp(text, "ok") == 0)
		r = 0;
	else
		(void)store_error(
		    s, STORE_CORRUPT, "%s is damaged: %.200s", s->path, text);
	(void)sqlite3_finalize(st);
	return r;
}

/* Only a run that has ended has no prompt. */
static int
check_prompt(struct queue_store *s, const struct queue_row *row)
{
	char sum[STORE_SUM_LEN + 1];
	sqlite3_stmt *st = store_prepare(s, ST_PROMPT);
	bool there, right = false;
	int rc;

	if (st == NULL)
		return -1;
	(void)sqlite3_bind_int64(st, 1, row->seq);
	rc = sqlite3_step(st);
	there = rc == SQLITE_ROW;
	if (!there && rc != SQLITE_DONE) {
		(void)store_sqlite(s, "cannot be read");
		(void)sqlite3_reset(st);
		return -1;
	}
	if (there)
		right = sqlite3_column_bytes(st, 0) == row->prompt_bytes &&
		    store_sum_bytes(sum, sqlite3_column_blob(st, 0),
		        (size_t)row->prompt_bytes) == 0 &&
		    strcmp(sum, row->prompt_sha256) == 0;
	(void)sqlite3_reset(st);
	if (row->state == STATE_DONE ? !there : right)
		return 0;
	return store_error(s, STORE_CORRUPT,
	    "%s: the prompt of run %s is not as it was written", s->path,
	    row->run);
}

static int
check_events(struct queue_store *s, const struct queue_row *row)
{
	sqlite3_stmt *st = store_prepare(s, ST_EVENTS);
	struct queue_step_row e;
	const char *last = "";
	int64_t n = 0;
	int r = 0, rc = SQLITE_DONE;

	if (st == NULL)
		return -1;
	(void)sqlite3_bind_int64(st, 1, row->seq);
	(void)sqlite3_bind_int64(st, 2, -1); /* all of them */
	memset(&e, 0, sizeof(e));
	while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		n++;
		r = store_event_read(s, st, row->seq, &e);
		last = e.to;
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = store_sqlite(s, "cannot be read");
	(void)sqlite3_reset(st);
	if (r == -1)
		return -1;
	if (n == row->steps && strcmp(last, queue_state_name(row->state)) == 0)
		return 0;
	return store_error(s, STORE_CORRUPT,
	    "%s: the events of run %s do not lead to its state", s->path,
	    row->run);
}

static int
check_notes(struct queue_store *s)
{
	sqlite3_stmt *st = NULL;
	char sum[STORE_SUM_LEN + 1];
	const char *texts[2], *has;
	int r = 0, rc = SQLITE_DONE;

	if (sqlite3_prepare_v2(s->db, "SELECT kind,text,sum FROM notes", -1,
	        &st, NULL) != SQLITE_OK)
		return store_sqlite(s, "cannot be read");
	while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		texts[0] = (const char *)sqlite3_column_text(st, 0);
		texts[1] = (const char *)sqlite3_column_text(st, 1);
		has = (const char *)sqlite3_column_text(st, 2);
		if (texts[0] == NULL || texts[1] == NULL || has == NULL ||
		    store_sum(sum, texts, 2) == -1 || strcmp(sum, has) != 0)
			r = store_error(s, STORE_CORRUPT,
			    "%s: a note is not as it was written", s->path);
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = store_sqlite(s, "cannot be read");
	(void)sqlite3_finalize(st);
	return r;
}

/* One row at a time: the statement is not open while others ask. */
static int
check_row_before(struct queue_store *s, int64_t *before)
{
	sqlite3_stmt *st =
	    store_prepare(s, (enum store_stmt)(ST_EACH + FILTER_ALL));
	struct queue_row row;
	int rc, r = 0;

	if (st == NULL)
		return -1;
	(void)sqlite3_bind_int64(st, 1, *before);
	(void)sqlite3_bind_int64(st, 2, 1);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		r = store_row_read(s, st, &row);
	else if (rc != SQLITE_DONE)
		r = store_sqlite(s, "cannot be read");
	(void)sqlite3_reset(st);
	if (r == -1 || rc == SQLITE_DONE)
		return r;
	*before = row.seq;
	if (check_prompt(s, &row) == -1 || check_events(s, &row) == -1)
		return -1;
	return 1;
}

int
store_verify(struct queue_store *s)
{
	int64_t broken = 0, before = INT64_MAX;
	int r;

	if (check_pages(s) == -1 ||
	    ask_int(s, "SELECT count(*) FROM pragma_foreign_key_check",
	        &broken) == -1)
		return -1;
	if (broken != 0)
		return store_error(s, STORE_CORRUPT,
		    "%s: rows of runs that are not there", s->path);
	while ((r = check_row_before(s, &before)) == 1)
		;
	return r == -1 ? -1 : check_notes(s);
}
