#ifndef DISPATCHD_QUEUE_STORE_H
#define DISPATCHD_QUEUE_STORE_H

/*
 * The queue on disk: one SQLite file in a directory of the queue's own, beside
 * it a lock. What a function answered with 0 is on disk. After the disk has
 * refused once, every change is refused until queue_store_recheck has shown
 * what is there: of a write whose fsync failed nothing is known, so rows are
 * to be loaded again then. What an outside hand changed in the file is
 * refused, never repaired: each row carries a hash over itself.
 *
 * Functions return 0, or -1 with queue_store_error and queue_store_why set;
 * outputs are untouched then. A callback must not call the store.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/clock.h"
#include "libcommon/netaddr.h"
#include "libcommon/runid.h"

#include "dispatchd/queue_request.h"
#include "dispatchd/queue_state.h"

#define QUEUE_STORE_FILE "queue.db"
#define QUEUE_STORE_LOCK "queue.lock"
#define QUEUE_STORE_VERSION 2 /* of the schema */
#define QUEUE_STORE_WHY_MAX 512
#define QUEUE_QUEUED_MAX 4096 /* runs that wait; more are refused */
#define QUEUE_USER_QUEUED_MAX 1024 /* of one user, */
#define QUEUE_USER_PROMPTS_MAX (512 * 1024 * 1024) /* and their prompts */
#define QUEUE_LIVE_MAX 1024 /* networks that may be taken at a time */
#define QUEUE_PASSED_MAX 64 /* and networks that are passed over */
#define QUEUE_EVIDENCE_MAX 1024
#define QUEUE_STEP_SUBMITTED 1 /* the number of the first step */
#define QUEUE_NOTE_MAX (256 * 1024)
#define QUEUE_NOTE_KIND_MAX 16
#define QUEUE_INSTANCE_LEN RUNID_LEN
#define QUEUE_NETWORK_MAX 18 /* "255.255.255.248/29" */

enum queue_store_error {
	STORE_OK,
	STORE_ABSENT, /* no such run, no prompt any more */
	STORE_CONFLICT, /* this request id, with another request */
	STORE_REFUSED, /* a step that may not be */
	STORE_LIMIT, /* the queue is full, the pool is used up */
	STORE_STORAGE, /* the disk, now or before */
	STORE_CORRUPT,
	STORE_LOCKED /* another dispatchd has this directory */
};

struct queue_time {
	int64_t wall_ms, boot_ms;
	char boot_id[CLOCK_BOOT_ID_LEN];
};

struct queue_row {
	/* Given by submit; no step changes these. */
	int64_t seq; /* the order in which they came */
	char run[RUNID_LEN + 1];
	int64_t uid; /* who asked */
	char request[QUEUE_REQUEST_ID_MAX + 1];
	char request_hash[QUEUE_HASH_LEN + 1];
	char repo[QUEUE_REPO_MAX + 1]; /* as asked for */
	char url[QUEUE_URL_MAX + 1];
	char directory[QUEUE_DIRECTORY_MAX + 1];
	char base[QUEUE_BASE_MAX + 1];
	char tool[DISPATCH_NAME_MAX + 1], profile[DISPATCH_NAME_MAX + 1];
	int64_t memory, cpus_milli, pids, workspace, deadline_ms;
	int64_t submitted_wall_ms, submitted_boot_ms;
	int64_t prompt_bytes;
	char prompt_sha256[QUEUE_HASH_LEN + 1];

	/* Changed by steps alone. */
	enum queue_state state;
	int64_t steps, tries; /* how many; how often it went back */
	int64_t step_wall_ms, step_boot_ms; /* of the last one */
	char boot_id[CLOCK_BOOT_ID_LEN];

	/* The owner sets these, a step or a save writes them. */
	enum queue_class class; /* once */
	enum queue_class stop; /* the class that a stop leads to */
	int64_t exit_code, signal; /* -1, 0: not known */
	int64_t pid1_exit; /* the container's own; -1 */
	bool released;
	char reason[QUEUE_REASON_MAX + 1];
	char network[QUEUE_NETWORK_MAX + 1];
	char container[65];
	int64_t begun_boot_ms; /* where its deadline counts from; 0 */
	int64_t log_bytes, log_kept, log_dropped;
	char head[65], base_commit[65];
	char bundle_sha256[QUEUE_HASH_LEN + 1];
	int64_t bundle_bytes;
	bool fetched; /* somebody has the bundle */
	int64_t allowed, denied, bytes_up, bytes_down;
};

struct queue_step_row {
	char from[17], to[17], class[33];
	char evidence[QUEUE_EVIDENCE_MAX + 1];
	int64_t wall_ms, boot_ms;
	char boot_id[CLOCK_BOOT_ID_LEN];
};

/* A step that is not known to be on record: the run's seq, which step. */
struct queue_owed {
	int64_t seq, nth;
};

enum queue_filter {
	FILTER_QUEUED, /* as they came */
	FILTER_LIVE, /* as they came */
	FILTER_OPEN, /* these two */
	FILTER_ALL, /* newest first */
	FILTER_MAX
};

struct queue_store;

void queue_time_now(struct queue_time *t);

/* --- queue_store.c ------------------------------------------------------ */

/*
 * Open the directory's queue, made when nothing of one is there. The directory
 * must exist. NULL with *error and why when it cannot be; why is a sentence
 * that names the file.
 */
struct queue_store *queue_store_open(const char *dir,
    enum queue_store_error *error, char why[QUEUE_STORE_WHY_MAX + 1]);
void queue_store_close(struct queue_store **s);
enum queue_store_error queue_store_error(const struct queue_store *s);
const char *queue_store_why(const struct queue_store *s);
/* Is every change refused, as the disk has refused one? */
bool queue_store_failed(const struct queue_store *s);
/* Open anew, check all of it, make what is read durable. */
int queue_store_recheck(struct queue_store *s);
/* A random id of this queue, for labels. */
const char *queue_store_instance(const struct queue_store *s);
/* The file is older than the directory last knew it: from a backup. */
bool queue_store_restored(const struct queue_store *s);

/* --- queue_store_submit.c ------------------------------------------------ */

/*
 * Queue a run. row: what submit gives, but seq, run and times; on return all
 * of it. *again: the peer asked for the same before, and row is that run.
 */
int queue_store_submit(struct queue_store *s, struct queue_row *row,
    const uint8_t *prompt, size_t len, const struct queue_time *now,
    bool *again);
/* Has this peer asked for a run under this request id? 1, 0, -1. */
int queue_store_known(struct queue_store *s, int64_t uid, const char *request);
/* The prompt, malloc'd; STORE_ABSENT when the run has ended. */
int queue_store_prompt(
    struct queue_store *s, const char *run, uint8_t **prompt, size_t *len);

/* --- queue_store_step.c --------------------------------------------------- */

/*
 * From row->state, which must be the state on disk, to another, with the
 * owner's fields of row: one transaction, with an event that says on what
 * evidence. A run that is queued again forgets its attempt; one that is done
 * its prompt. On return row is what is on disk.
 */
int queue_store_step(struct queue_store *s, struct queue_row *row,
    enum queue_state to, const char *evidence, const struct queue_time *now);
/* These steps are on record, and owed no more. */
int queue_store_recorded(
    struct queue_store *s, const struct queue_owed *o, size_t n);
/* Write the owner's fields alone. */
int queue_store_save(struct queue_store *s, struct queue_row *row);
/* Forget a run that is done. */
int queue_store_delete(struct queue_store *s, const char *run);
/* A text beside a row: "proof", "denials". A second one takes its place. */
int queue_store_note(
    struct queue_store *s, const char *run, const char *kind, const char *text);

/* --- queue_store_read.c ----------------------------------------------------
 */

int
queue_store_get(struct queue_store *s, const char *run, struct queue_row *row);
/*
 * At most limit rows: FILTER_ALL those before a seq (0: from the newest on),
 * the others those behind it. The callback returns whether it wants more.
 */
int queue_store_each(struct queue_store *s, enum queue_filter f, int64_t seq,
    size_t limit, bool (*cb)(const struct queue_row *row, void *arg),
    void *arg);
int queue_store_events(struct queue_store *s, const char *run, size_t limit,
    bool (*cb)(const struct queue_step_row *e, void *arg), void *arg);
/*
 * The first step behind *o that is owed to the records, and its run: 1, and *o
 * is it; 0 when there is none; -1.
 */
int queue_store_owed(struct queue_store *s, struct queue_owed *o,
    struct queue_row *row, struct queue_step_row *e);
int queue_store_count(struct queue_store *s, enum queue_filter f, int64_t *n);
/* Into text, ABSENT when there is none; cut never: LIMIT. */
int queue_store_note_get(struct queue_store *s, const char *run,
    const char *kind, char *text, size_t size);
/*
 * The lowest /29 of the pool that no live run has and that is none of those
 * that are to be passed over, QUEUE_PASSED_MAX at most.
 */
int queue_store_subnet(struct queue_store *s, const struct netprefix *pool,
    const struct netprefix *passed, size_t npassed,
    char out[QUEUE_NETWORK_MAX + 1]);
/*
 * The oldest run that may be forgotten, which is one that is done and has no
 * bundle that nobody fetched: beyond the newest keep_runs, or older than
 * keep_days. A run of this boot is that old when the boot clock says so too;
 * those of other boots, of which only the wall clock tells, count on demand.
 * Returns 1, 0 when there is none, -1.
 */
int queue_store_beyond(
    struct queue_store *s, int64_t keep_runs, struct queue_row *row);
int queue_store_aged(struct queue_store *s, int64_t keep_days,
    const struct queue_time *now, bool other_boots, struct queue_row *row);

/* --- queue_store_wal.c ------------------------------------------------------
 */

/*
 * SQLite takes a damaged frame of the log for its end, and what was committed
 * behind it for never written. A crash leaves such a frame only in the last
 * transaction: returns -1 with the damaged frame's offset when another began
 * behind it, 0 when all is well or there is no such file, -2 with errno.
 */
int queue_wal_check(const char *path, int64_t *offset);

#endif
