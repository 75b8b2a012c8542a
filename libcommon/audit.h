#ifndef LIBCOMMON_AUDIT_H
#define LIBCOMMON_AUDIT_H

/*
 * Records: INTERFACE.md "Records". Three parts: the line and its chain (pure),
 * the audit process, and the sender's side of it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "msg.h"
#include "peer.h"
#include "proc.h"

#define AUDIT_HASH_LEN 65 /* hex SHA-256 and NUL */
#define AUDIT_LINE_MAX 32768 /* one record with its newline */
#define AUDIT_BATCH_MAX 256 /* records in one writev */
#define AUDIT_WAITING_MAX 4096 /* unacknowledged of one sender */
#define AUDIT_LASTING_MAX                          \
	32768 /* lasting records that it keeps: at \
	         least one for all it has open */
#define AUDIT_WAIT_MS                              \
	1000 /* an acknowledgement later than this \
	        is "unrecordable" */
#define AUDIT_SYNC_MS 10 /* `written` records reach the disk */
#define AUDIT_RETRY_MS 1000 /* try a full disk again */

/* --- audit_record.c: pure --------------------------------------------- */

struct audit_chain {
	int64_t seq; /* of the last record, 0 at first */
	char hash[AUDIT_HASH_LEN]; /* of it; 64 zeros at first */
};

void audit_chain_init(struct audit_chain *c);

/*
 * The line of a record message (MSG_F_RECORD), newline included, into buf of
 * AUDIT_LINE_MAX bytes; *c advances. Returns its length or -1 (too long, no
 * record): then *c is as it was.
 */
ssize_t audit_line(struct audit_chain *c, const char *daemon, const char *time,
    int64_t boot_ms, const struct msg *m, char *buf);

/*
 * Verify a stream of lines, fed in any pieces. What is accepted: the chain
 * from seq 1, and a torn line only when a `recovered` record that tells its
 * bytes and hash follows. Returns -1 once a line is bad and from then on.
 */
struct audit_verify;

struct audit_verify *audit_verify_new(void);
int audit_verify_feed(struct audit_verify *v, const void *buf, size_t len);
/* At the end of the file. 0 when all is well; torn tail = -1. */
int audit_verify_end(struct audit_verify *v);
/* The first bad line (from 1) and why; counts. */
uint64_t audit_verify_line(const struct audit_verify *v);
const char *audit_verify_why(const struct audit_verify *v);
int64_t audit_verify_records(const struct audit_verify *v);
/* The chain behind the last good line, to go on from. */
const struct audit_chain *audit_verify_chain(const struct audit_verify *v);
/*
 * Bytes behind the last good line, and the hash over them. A newline that ends
 * the file is not among them.
 */
size_t
audit_verify_tail(const struct audit_verify *v, char sha256[AUDIT_HASH_LEN]);
/*
 * When audit_verify_end refused: true if nothing but a torn end is wrong,
 * which a `recovered` record may take up. *ended: the file's last byte is a
 * newline.
 */
bool audit_verify_torn(const struct audit_verify *v, bool *ended);
void audit_verify_free(struct audit_verify **v);

/* --- audit.c: the process --------------------------------------------- */

/*
 * Opens a record file for the audit process: O_APPEND, created 0640, owned by
 * uid:gid when we are root, its name synced to the disk. Returns the
 * descriptor or -1 with errno.
 */
int audit_open(const char *path, uid_t uid, gid_t gid);

/*
 * main of role "audit" of every daemon. Links: the record file at
 * PROC_FD_FIRST, then one link for each sender. The parent sends records too,
 * on PROC_FD_PARENT. sides[i] is who sends on the link behind the file number
 * i, of self->nlinks - 1. Does not return but by exit.
 */
void audit_main(const struct proc_self *self, const enum msg_side *sides)
    __attribute__((noreturn));

/* --- audit_client.c: the sender's side -------------------------------- */

struct audit_client;

/*
 * Called once for each record, in order: ok when it may take effect. Not ok:
 * "unrecordable". It may send further records.
 */
typedef void audit_done_fn(bool ok, void *arg);

/* p is the link to the audit process; its messages are fed by the owner. */
struct audit_client *audit_client_new(struct event_base *base, struct peer *p);
/*
 * Send a record; done (may be NULL) is called from the loop, never from
 * inside this call. Returns -1 when it was not sent: then done is not called.
 */
int audit_client_send(struct audit_client *a, const struct msg *m,
    audit_done_fn *done, void *arg);
/* Forget arg: its done is not called. The record itself stays sent. */
void audit_client_forget(struct audit_client *a, void *arg);
/*
 * The same for a record that must not be lost although its effect is past
 * (tunnel.close): kept, at most AUDIT_LASTING_MAX, and sent again every
 * AUDIT_RETRY_MS while the disk refuses it. done (may be NULL) is called when
 * it is written, however late, or with false when it can never be: too long.
 */
int audit_client_send_lasting(struct audit_client *a, const struct msg *m,
    audit_done_fn *done, void *arg);
/*
 * From inside a done that says no: if its record was only late, and turns out
 * to be written after all, this lasting one follows it (tunnel.close behind a
 * tunnel.open whose tunnel was refused meanwhile). 0, or -1 without memory.
 */
int audit_client_send_if_late(struct audit_client *a, const struct msg *m);
/* recorded and unrecorded come here. */
void audit_client_message(struct audit_client *a, const struct msg *m);
/*
 * Records neither acknowledged nor given up; lasting ones until they are
 * acknowledged, however late.
 */
size_t audit_client_waiting(const struct audit_client *a);
/* False while records are refused or late: refuse new work early. */
bool audit_client_healthy(const struct audit_client *a);
void audit_client_free(struct audit_client **a);

#endif
