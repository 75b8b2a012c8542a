#ifndef LIBCOMMON_AUDIT_INTERNAL_H
#define LIBCOMMON_AUDIT_INTERNAL_H

/* What the audit_* files share among themselves. */

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/audit.h"
#include "libcommon/runid.h"

/* --- audit_hash.c: SHA-256 -------------------------------------------- */

struct audit_hash;

/*
 * A hash, started. Fetches the algorithm, for which OpenSSL may open its
 * configuration the first time: make one before the sandbox. NULL when out of
 * memory.
 */
struct audit_hash *audit_hash_new(void);
/* Begin again. Each of these returns 0, or -1 when OpenSSL failed. */
int audit_hash_start(struct audit_hash *h);
int audit_hash_add(struct audit_hash *h, const void *buf, size_t len);
/* The hash so far in hex; more may be added behind it. */
int audit_hash_hex(const struct audit_hash *h, char hex[AUDIT_HASH_LEN]);
void audit_hash_free(struct audit_hash **h);

/*
 * Bytes of the file that belong to no record, fed in pieces. A newline at
 * their end is held back: it is the end of a torn line, not a part of it.
 */
struct audit_span {
	struct audit_hash *hash;
	uint64_t len; /* without the newline at the end */
	bool ended; /* there is one */
};

int audit_span_init(struct audit_span *s);
int audit_span_reset(struct audit_span *s);
int audit_span_add(struct audit_span *s, const void *buf, size_t len);
void audit_span_clear(struct audit_span *s);

/* --- audit_steps.c: steps that are in the file; pure ------------------- */

#define AUDIT_STEPS_MAX 8192 /* the last ones */

struct audit_steps;

/* NULL when out of memory. */
struct audit_steps *audit_steps_new(void);
void audit_steps_add(struct audit_steps *s, const char *run, int64_t step);
bool
audit_steps_has(const struct audit_steps *s, const char *run, int64_t step);
void audit_steps_free(struct audit_steps **s);

/* Note the steps of the lines that are fed from here on. */
void audit_verify_steps(struct audit_verify *v, struct audit_steps *s);

/* --- audit_record.c: a line read back --------------------------------- */

struct audit_read {
	int64_t seq;
	char prev[AUDIT_HASH_LEN];
	char hash[AUDIT_HASH_LEN];
	/* of a run's step, else step is 0 */
	char run[RUNID_LEN + 1];
	int64_t step;
	/* of a `recovered` record, else bytes is 0 */
	int64_t bytes;
	char sha256[AUDIT_HASH_LEN];
};

/*
 * Read a line, without its newline, for itself: is it a whole record with the
 * right hash? Where it stands in the chain is for the caller. Returns 0, or -1
 * with a static text in *why.
 */
int audit_line_read(
    const char *line, size_t len, struct audit_read *r, const char **why);

/*
 * Is this record a step of a run, one that has the fields `run` and `step`?
 * Then *run, which belongs to m, and *step.
 */
bool audit_step_of(const struct msg *m, const char **run, int64_t *step);

/* --- audit_file.c: the file under the audit process; not pure --------- */

struct audit_file {
	int fd;
	off_t size; /* all of it ours: what was there and what we wrote */
};

/* Wait for the lock on it, or exit. */
void audit_file_lock(int fd);
/* Feed all of it to v, up to what is bad, and learn its size. */
void audit_file_verify(struct audit_file *f, struct audit_verify *v);
/* Is it still the one we wrote? Returns why not. */
const char *audit_file_check(const struct audit_file *f);
/* Hash what stands from off to its end. Returns 0, or -1 with errno. */
int
audit_file_hash(const struct audit_file *f, off_t off, struct audit_span *s);
/* Append. Returns how much was written; less than len means errno. */
size_t audit_file_write(struct audit_file *f, const char *buf, size_t len);

#endif
