#ifndef DISPATCHD_QUEUE_STORE_INT_H
#define DISPATCHD_QUEUE_STORE_INT_H

/* What the files of queue_store*.c share. */

#include <sqlite3.h>

#include "dispatchd/queue_store.h"

#define STORE_PATH_MAX 4096
#define STORE_SUM_LEN 64 /* hex SHA-256 */
#define STORE_SQL_MAX 4096

enum store_stmt {
	ST_BEGIN,
	ST_COMMIT,
	ST_ROLLBACK,
	ST_INSERT,
	ST_UPDATE,
	ST_DELETE,
	ST_GET,
	ST_BY_REQUEST,
	ST_EACH, /* one for each filter */
	ST_COUNT = ST_EACH + FILTER_MAX, /* one for each filter */
	ST_BEYOND = ST_COUNT + FILTER_MAX,
	ST_AGED,
	ST_EVENT_ADD,
	ST_EVENTS,
	ST_EVENT,
	ST_OWE,
	ST_OWED,
	ST_RECORDED,
	ST_PROMPT_ADD,
	ST_PROMPT,
	ST_PROMPT_DELETE,
	ST_NOTE_SET,
	ST_NOTE,
	ST_NETWORKS,
	ST_MAX
};

struct queue_store {
	char dir[STORE_PATH_MAX];
	char path[STORE_PATH_MAX];
	int lock; /* -1 */
	sqlite3 *db;
	sqlite3_stmt *stmt[ST_MAX];
	bool failed, restored;
	enum queue_store_error error;
	char why[QUEUE_STORE_WHY_MAX + 1];
	char instance[QUEUE_INSTANCE_LEN + 1];
	int64_t generation;
};

/* queue_store.c */

/* Note why, return -1. */
int store_error(struct queue_store *s, enum queue_store_error error,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same from what SQLite says; when the disk is at fault, no more changes.
 */
int store_sqlite(struct queue_store *s, const char *what);
/* A statement, reset and without bindings; NULL with an error noted. */
sqlite3_stmt *store_prepare(struct queue_store *s, enum store_stmt which);
/* Step a statement that gives no row, and reset it. */
int store_run(struct queue_store *s, sqlite3_stmt *st, const char *what);
int store_exec(struct queue_store *s, const char *sql);
int store_begin(struct queue_store *s);
/* Ends the transaction either way. r: -1 rolls back, and is returned. */
int store_end(struct queue_store *s, int r);
/* Empty the log into the file, durably. */
int store_checkpoint(struct queue_store *s);
/* 12 random letters of run ids. */
void store_random_id(char out[RUNID_LEN + 1]);

/* queue_store_schema.c */

/* Make, upgrade or check the schema. */
int store_schema(struct queue_store *s);
/* Is every page, row, event and prompt what was written? */
int store_verify(struct queue_store *s);
int store_meta_get(
    struct queue_store *s, const char *key, char *value, size_t size);
int store_meta_set(struct queue_store *s, const char *key, const char *value);

/* queue_store_rows.c */

/* The text of a statement. */
int store_sql(enum store_stmt which, char sql[STORE_SQL_MAX]);
/* A row of a statement that selects all columns of runs. */
int
store_row_read(struct queue_store *s, sqlite3_stmt *st, struct queue_row *row);
/* Bind all of a row, its hash last, from parameter 1 on. */
int store_row_bind(
    struct queue_store *s, sqlite3_stmt *st, const struct queue_row *row);
/* Take over the fields that the owner may set. */
void store_row_own(struct queue_row *to, const struct queue_row *from);
/* SHA-256 in hex over n texts, each with its length. */
int store_sum(char hex[STORE_SUM_LEN + 1], const char *const *texts, size_t n);
int store_sum_bytes(char hex[STORE_SUM_LEN + 1], const void *buf, size_t len);
/* Copy a text column; -1 when it does not fit or is none. */
int store_column(sqlite3_stmt *st, int i, char *out, size_t size);

/* queue_store_step.c */
int store_event_add(struct queue_store *s, const struct queue_row *row,
    const char *from, const char *evidence, const struct queue_time *now);
/* queue_store_read.c */
int store_event_read(struct queue_store *s, sqlite3_stmt *st, int64_t seq,
    struct queue_step_row *e);

#endif
