#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libcommon/fd.h"

#include "dispatchd/queue_store_int.h"

#define LOCK_TEXT_MAX 64 /* "INSTANCE GENERATION\n" */
#define FILE_MODE 0600
/* The largest value is a prompt; with room for the rest of a statement. */
#define VALUE_MAX (DISPATCH_PROMPT_MAX + 64 * 1024)

/*
 * One process, one connection: the lock is kept and the index of the log is
 * in our own memory. Nothing is spilled into the log before its transaction
 * is complete, and deleted content is overwritten.
 */
static const char pragmas[] = "PRAGMA locking_mode=EXCLUSIVE;"
                              "PRAGMA synchronous=FULL;"
                              "PRAGMA fullfsync=ON;"
                              "PRAGMA checkpoint_fullfsync=ON;"
                              "PRAGMA foreign_keys=ON;"
                              "PRAGMA secure_delete=ON;"
                              "PRAGMA cell_size_check=ON;"
                              "PRAGMA trusted_schema=OFF;"
                              "PRAGMA temp_store=MEMORY;"
                              "PRAGMA cache_spill=OFF;"
                              "PRAGMA mmap_size=0;"
                              "PRAGMA journal_size_limit=8388608;";

void
queue_time_now(struct queue_time *t)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	t->wall_ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
	t->boot_ms = clock_boot_ms();
	clock_boot_id(t->boot_id);
}

void
store_random_id(char out[RUNID_LEN + 1])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
	size_t i;

	for (i = 0; i < RUNID_LEN; i++)
		out[i] = letters[arc4random_uniform(32)];
	out[RUNID_LEN] = '\0';
}

/* --- errors --------------------------------------------------------------- */

int
store_error(
    struct queue_store *s, enum queue_store_error error, const char *fmt, ...)
{
	va_list ap;

	s->error = error;
	va_start(ap, fmt);
	vsnprintf(s->why, sizeof(s->why), fmt, ap);
	va_end(ap);
	return -1;
}

int
store_sqlite(struct queue_store *s, const char *what)
{
	int rc = s->db != NULL ? sqlite3_errcode(s->db) & 0xff : SQLITE_NOMEM;
	int err = s->db != NULL ? sqlite3_system_errno(s->db) : ENOMEM;
	enum queue_store_error error = STORE_STORAGE;

	if (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB ||
	    rc == SQLITE_MISMATCH || rc == SQLITE_ERROR)
		error = STORE_CORRUPT;
	else if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
		error = STORE_LOCKED;
	else if (rc == SQLITE_TOOBIG)
		error = STORE_LIMIT;
	else if (rc == SQLITE_CONSTRAINT)
		error = STORE_REFUSED;
	/* Of the others, what is on disk is not known any more. */
	if (error != STORE_LIMIT && error != STORE_REFUSED)
		s->failed = true;
	return store_error(s, error, "%s: %s: %s%s%s", s->path, what,
	    s->db != NULL ? sqlite3_errmsg(s->db) : "no memory",
	    err != 0 ? ", " : "", err != 0 ? strerror(err) : "");
}

enum queue_store_error
queue_store_error(const struct queue_store *s)
{
	return s->error;
}

const char *
queue_store_why(const struct queue_store *s)
{
	return s->why;
}

bool
queue_store_failed(const struct queue_store *s)
{
	return s->failed;
}

const char *
queue_store_instance(const struct queue_store *s)
{
	return s->instance;
}

bool
queue_store_restored(const struct queue_store *s)
{
	return s->restored;
}

/* --- statements and transactions ------------------------------------------ */

sqlite3_stmt *
store_prepare(struct queue_store *s, enum store_stmt which)
{
	char sql[STORE_SQL_MAX];

	if (s->db == NULL) {
		(void)store_error(s, STORE_STORAGE, "%s is not open", s->path);
		return NULL;
	}
	if (s->stmt[which] == NULL) {
		if (store_sql(which, sql) == -1) {
			(void)store_error(
			    s, STORE_CORRUPT, "a statement is too long");
			return NULL;
		}
		if (sqlite3_prepare_v3(s->db, sql, -1,
		        SQLITE_PREPARE_PERSISTENT, &s->stmt[which],
		        NULL) != SQLITE_OK) {
			(void)store_sqlite(s, "cannot be asked");
			return NULL;
		}
	}
	(void)sqlite3_reset(s->stmt[which]);
	(void)sqlite3_clear_bindings(s->stmt[which]);
	return s->stmt[which];
}

int
store_run(struct queue_store *s, sqlite3_stmt *st, const char *what)
{
	if (sqlite3_step(st) != SQLITE_DONE) {
		(void)store_sqlite(s, what);
		(void)sqlite3_reset(st);
		return -1;
	}
	(void)sqlite3_reset(st);
	return 0;
}

int
store_exec(struct queue_store *s, const char *sql)
{
	if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return store_sqlite(s, "cannot be set up");
	return 0;
}

int
store_begin(struct queue_store *s)
{
	sqlite3_stmt *st;

	if (s->failed)
		return store_error(s, STORE_STORAGE,
		    "%s: nothing is written, as the disk has refused before",
		    s->path);
	st = store_prepare(s, ST_BEGIN);
	return st == NULL ? -1 : store_run(s, st, "cannot be written");
}

int
store_end(struct queue_store *s, int r)
{
	sqlite3_stmt *st;

	if (r == 0) {
		st = store_prepare(s, ST_COMMIT);
		r = st == NULL ? -1 : store_run(s, st, "cannot be committed");
	}
	/* The error that led here is the one to be told. */
	if (r == -1 && s->db != NULL && !sqlite3_get_autocommit(s->db))
		(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

int
store_checkpoint(struct queue_store *s)
{
	if (sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE,
	        NULL, NULL) != SQLITE_OK)
		return store_sqlite(s, "its log cannot be emptied");
	return 0;
}

/* --- the lock ----------------------------------------------------------------
 */

static int
take_lock(struct queue_store *s)
{
	char path[STORE_PATH_MAX + sizeof(QUEUE_STORE_LOCK) + 1];

	snprintf(path, sizeof(path), "%s/%s", s->dir, QUEUE_STORE_LOCK);
	s->lock =
	    open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
	if (s->lock == -1)
		return store_error(
		    s, STORE_STORAGE, "%s: %s", path, strerror(errno));
	if (flock(s->lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return store_error(s, STORE_LOCKED,
		    "%s: another dispatchd works in this directory", path);
	return store_error(s, STORE_STORAGE, "%s: %s", path, strerror(errno));
}

/* What the directory knows of its queue; empty when it never had one. */
static int
read_lock(struct queue_store *s, char instance[QUEUE_INSTANCE_LEN + 1],
    int64_t *generation)
{
	char text[LOCK_TEXT_MAX + 1], *end;
	ssize_t n = pread(s->lock, text, LOCK_TEXT_MAX, 0);

	if (n == -1)
		return store_error(s, STORE_STORAGE, "%s/%s: %s", s->dir,
		    QUEUE_STORE_LOCK, strerror(errno));
	text[n] = '\0';
	instance[0] = '\0';
	*generation = 0;
	/* A cut line is of a start that did not end. */
	if (n <= QUEUE_INSTANCE_LEN + 1 || text[n - 1] != '\n')
		return 0;
	text[QUEUE_INSTANCE_LEN] = '\0';
	errno = 0;
	*generation = strtoll(text + QUEUE_INSTANCE_LEN + 1, &end, 10);
	if (!runid_valid(text) || errno != 0 || *end != '\n' || *generation < 1)
		return store_error(s, STORE_CORRUPT,
		    "%s/%s holds no instance and generation", s->dir,
		    QUEUE_STORE_LOCK);
	memcpy(instance, text, QUEUE_INSTANCE_LEN + 1);
	return 0;
}

static int
write_lock(struct queue_store *s)
{
	char text[LOCK_TEXT_MAX];
	int n = snprintf(
	    text, sizeof(text), "%s %" PRId64 "\n", s->instance, s->generation);

	/* It only grows, so that a cut one cannot look like another. */
	if (pwrite(s->lock, text, (size_t)n, 0) != n || fd_sync(s->lock) == -1)
		return store_error(s, STORE_STORAGE, "%s/%s: %s", s->dir,
		    QUEUE_STORE_LOCK, strerror(errno));
	return 0;
}

/* --- opening
 * ------------------------------------------------------------------ */

/*
 * The file has to be there when the directory knows of one; a new one is made
 * with our mode, which its log takes from it.
 */
static int
find_file(struct queue_store *s, const char *instance)
{
	char wal[STORE_PATH_MAX + sizeof("-wal")];
	struct stat st, log;
	int64_t at;
	int fd, r;

	snprintf(wal, sizeof(wal), "%s-wal", s->path);
	memset(&st, 0, sizeof(st));
	memset(&log, 0, sizeof(log));
	if (lstat(s->path, &st) == -1 && errno != ENOENT)
		return store_error(
		    s, STORE_STORAGE, "%s: %s", s->path, strerror(errno));
	if (lstat(wal, &log) == -1 && errno != ENOENT)
		return store_error(
		    s, STORE_STORAGE, "%s: %s", wal, strerror(errno));
	if (st.st_mode != 0 && !S_ISREG(st.st_mode))
		return store_error(
		    s, STORE_CORRUPT, "%s is no regular file", s->path);
	if (st.st_size == 0 && (*instance != '\0' || log.st_size > 0))
		return store_error(s, STORE_CORRUPT,
		    "%s is empty or gone, but this directory had a queue: "
		    "restore it, or remove the directory's files",
		    s->path);
	r = queue_wal_check(wal, &at);
	if (r == -1)
		return store_error(s, STORE_CORRUPT,
		    "%s is damaged at offset %" PRId64
		    ", and what is behind it would be lost",
		    wal, at);
	if (r == -2)
		return store_error(
		    s, STORE_STORAGE, "%s: %s", wal, strerror(errno));
	fd =
	    open(s->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
	if (fd == -1)
		return store_error(
		    s, STORE_STORAGE, "%s: %s", s->path, strerror(errno));
	close(fd);
	return 0;
}

static int
open_db(struct queue_store *s)
{
	sqlite3_stmt *st = NULL;
	const char *mode = "";
	int r = -1;

	if (sqlite3_open_v2(s->path, &s->db,
	        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		return store_sqlite(s, "cannot be opened");
	(void)sqlite3_extended_result_codes(s->db, 1);
	(void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_limit(s->db, SQLITE_LIMIT_LENGTH, VALUE_MAX);
	if (store_exec(s, pragmas) == -1)
		return -1;
	if (sqlite3_prepare_v2(
	        s->db, "PRAGMA journal_mode=WAL", -1, &st, NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW)
		mode = (const char *)sqlite3_column_text(st, 0);
	if (mode != NULL && strcmp(mode, "wal") == 0)
		r = 0;
	else
		r = store_sqlite(s, "has no log");
	(void)sqlite3_finalize(st);
	return r;
}

static void
close_db(struct queue_store *s)
{
	size_t i;

	for (i = 0; i < ST_MAX; i++) {
		(void)sqlite3_finalize(s->stmt[i]);
		s->stmt[i] = NULL;
	}
	(void)sqlite3_close(s->db);
	s->db = NULL;
}

/* Count this opening, so that an older copy of the file shows. */
static int
note_opening(struct queue_store *s, const char *instance, int64_t generation)
{
	char text[LOCK_TEXT_MAX];
	int r;

	if (store_meta_get(s, "instance", s->instance, sizeof(s->instance)) ==
	        -1 ||
	    store_meta_get(s, "generation", text, sizeof(text)) == -1)
		return -1;
	if (!runid_valid(s->instance))
		return store_error(
		    s, STORE_CORRUPT, "%s has no instance", s->path);
	if (*instance != '\0' && strcmp(instance, s->instance) != 0)
		return store_error(s, STORE_CORRUPT,
		    "%s is the queue of instance %s, this directory is %s's",
		    s->path, s->instance, instance);
	s->generation = strtoll(text, NULL, 10);
	s->restored = s->restored || s->generation < generation;
	if (s->generation < generation)
		s->generation = generation;
	s->generation++;
	snprintf(text, sizeof(text), "%" PRId64, s->generation);
	if (store_begin(s) == -1)
		return -1;
	r = store_end(s, store_meta_set(s, "generation", text));
	return r == -1 || store_checkpoint(s) == -1 ? -1 : write_lock(s);
}

static int
open_all(struct queue_store *s)
{
	char instance[QUEUE_INSTANCE_LEN + 1];
	int64_t generation = 0;

	if (read_lock(s, instance, &generation) == -1 ||
	    find_file(s, instance) == -1 || open_db(s) == -1 ||
	    store_schema(s) == -1 || store_verify(s) == -1)
		return -1;
	return note_opening(s, instance, generation);
}

struct queue_store *
queue_store_open(const char *dir, enum queue_store_error *error,
    char why[QUEUE_STORE_WHY_MAX + 1])
{
	struct queue_store *s = calloc(1, sizeof(*s));
	int n;

	if (s == NULL) {
		*error = STORE_STORAGE;
		snprintf(why, QUEUE_STORE_WHY_MAX + 1, "no memory");
		return NULL;
	}
	s->lock = -1;
	n = snprintf(s->path, sizeof(s->path), "%s/%s", dir, QUEUE_STORE_FILE);
	if (n < 0 || (size_t)n >= sizeof(s->path))
		(void)store_error(s, STORE_STORAGE, "the path is too long");
	else {
		snprintf(s->dir, sizeof(s->dir), "%s", dir);
		if (take_lock(s) == 0 && open_all(s) == 0)
			return s;
	}
	*error = s->error;
	snprintf(why, QUEUE_STORE_WHY_MAX + 1, "%s", s->why);
	queue_store_close(&s);
	return NULL;
}

int
queue_store_recheck(struct queue_store *s)
{
	close_db(s);
	s->failed = false;
	if (open_all(s) == 0)
		return 0;
	s->failed = true;
	return -1;
}

void
queue_store_close(struct queue_store **sp)
{
	struct queue_store *s = *sp;

	if (s == NULL)
		return;
	close_db(s);
	if (s->lock != -1)
		close(s->lock);
	free(s);
	*sp = NULL;
}
