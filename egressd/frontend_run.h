#ifndef EGRESSD_FRONTEND_RUN_H
#define EGRESSD_FRONTEND_RUN_H

/* What frontend_run.c (one run) and frontend_runs.c (the table) share. */

#include "frontend.h"

#define RUN_CODE_MAX 32 /* msg.def: of an error, which a sibling may send */
#define RUN_WHY_MAX 512 /* likewise its reason */
#define RUN_REASON_MAX (RUN_CODE_MAX + sizeof("failed: ")) /* of a close */

enum run_state {
	RUN_RECORD, /* run.open is being written */
	RUN_BIND, /* the parent binds, the worker listens */
	RUN_PERMIT, /* fw adds the rule and reads it back */
	RUN_OPEN,
	RUN_REVOKE, /* fw takes it out */
	RUN_END /* the worker cuts what is open */
};

enum wait_for {
	WAIT_OPEN,
	WAIT_CLOSE,
	WAIT_SYNC
};

/* runs.sync that waits for runs to close. */
struct sync {
	struct client *user; /* NULL: gone */
	int64_t id;
	size_t missing;
	bool failed; /* there was no memory to wait for a run */
	char closed[EGRESS_RUNS_MAX][RUNID_LEN + 1];
	size_t nclosed;
	char unknown[2 * EGRESS_RUNS_MAX][RUNID_LEN + 1];
	size_t nunknown;
};

/* Who waits for the next end of what a run is doing. */
struct waiter {
	TAILQ_ENTRY(waiter) entry;
	enum wait_for what;
	struct client *user;
	int64_t id;
	struct sync *sync;
};

struct run {
	TAILQ_ENTRY(run) entry;
	enum run_state state;
	char id[RUNID_LEN + 1];
	char profile[EGRESS_NAME_MAX + 1];
	char interface[EGRESS_INTERFACE_MAX + 1];
	struct netaddr address;
	char address_text[NETADDR_TEXT_MAX];
	char listener[64], canary[64];
	bool enforced;
	struct worker *worker;
	struct creds by; /* who opened it, then who closes it */
	bool bound, listening, was_open, close_wanted;
	int64_t request; /* open with a sibling */
	struct event *timer;
	char code[RUN_CODE_MAX + 1]; /* why it could not be opened */
	char why[RUN_WHY_MAX + 1];
	char reason[RUN_REASON_MAX]; /* of its close */
	int64_t packets_refused;
	TAILQ_HEAD(, waiter) waiters;
};

TAILQ_HEAD(run_list, run);

/* frontend_runs.c */
extern struct run_list frontend_runs;
struct run *run_find(const char *id);
struct run *run_new(const struct client *u, const struct msg_run_open *m,
    const struct netaddr *a);
void run_free(struct run *r);
/* A run that it waited for is gone (or NULL): answered when it was the last. */
void sync_progress(struct sync *s, const struct run *r);

/* frontend_run.c */
/* Returns 0, or -1 without memory. */
int run_wait(struct run *r, enum wait_for what, struct client *u, int64_t id,
    struct sync *s);
void run_wait_free(struct run *r, struct waiter *w);
/* Of its timer: a sibling did not do its part. */
void run_timeout(int fd, short what, void *arg);
void run_set_state(struct run *r, enum run_state state);
/* reason is for the record; nothing happens if it is closing already. */
void run_close(struct run *r, const struct creds *by, const char *reason);
void run_answer_closed(struct client *u, int64_t id, bool known,
    const struct msg_run_ended *sums, int64_t packets_refused);

#endif
