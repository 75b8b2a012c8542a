#ifndef EGRESSD_FRONTEND_H
#define EGRESSD_FRONTEND_H

/*
 * What the files of the frontend share. It is one process with one of each of
 * these, so they are one struct of that name.
 */

#include <sys/queue.h>

#include <event2/event.h>

#include "libcommon/audit.h"
#include "libcommon/clients.h"
#include "libcommon/sibling.h"

#include "egressd.h"

#define FRONTEND_NOFILE 1024
#define FRONTEND_STATS_MS 2000 /* workers answer within */
#define FRONTEND_STATS_OPEN_MAX 64 /* status requests being answered */
#define FRONTEND_STEP_MS 5000 /* a sibling does its part of a run */
#define FRONTEND_SYNCS_MAX 16 /* runs.sync being answered */
#define FRONTEND_QUERIES_MAX 64 /* run.status being answered */

/* Those that are asked for counters: the workers, then fw. */
#define FRONTEND_SLOTS (EGRESS_WORKERS_MAX + 1)
#define FRONTEND_SLOT_FW EGRESS_WORKERS_MAX

struct worker {
	unsigned instance;
	struct peer *peer;
	size_t runs;
};

struct frontend {
	struct event_base *base;
	struct peer *parent;
	struct peer *fw; /* NULL: there are no packet rules */
	struct peer *recorder;
	struct audit_client *audit;
	struct worker workers[EGRESS_WORKERS_MAX];
	size_t nworkers; /* 0 before the first table */
	unsigned nlinks;
	int64_t started_ms; /* boot clock */
};

extern struct frontend frontend;

/* --- frontend_peers.c: the parent's table, whose grants are grants.h's --- */

/* Where a run may be opened. */
struct runs_config {
	char prefix[EGRESS_PREFIX_MAX + 1];
	uint16_t port;
	bool enforced;
	struct netprefix networks[EGRESS_NETWORKS_MAX];
	size_t nnetworks;
};

void peers_profile(const struct msg_profile_row *m);
void peers_runs(const struct msg_runs_row *m);
void peers_end(const struct msg_table_end *m);
const struct runs_config *peers_runs_config(void);
bool peers_has_profile(const char *name);

/* --- frontend_status.c: status ------------------------------------------ */

void status_begin(struct client *u, int64_t id);
void
status_counters(unsigned slot, int64_t id, const struct msg_stats_answer *m);
void status_user_gone(const struct client *u);

/* --- frontend_runs.c: runs that open and close -------------------------- */

void runs_open(struct client *u, int64_t id, const struct msg_run_open *m);
void runs_close(struct client *u, int64_t id, const struct msg_run_close *m);
void runs_sync(struct client *u, int64_t id, const struct msg_runs_sync *m);
void runs_user_gone(const struct client *u);
/* What siblings answer. */
void runs_bound(int64_t id);
void runs_unbound(int64_t id, const struct msg_error *m);
void runs_listening(const struct worker *w, const struct msg_run_listening *m);
void
runs_ended(const struct worker *w, int64_t id, const struct msg_run_ended *m);
void runs_permitted(int64_t id);
void runs_not_permitted(int64_t id, const struct msg_error *m);
void runs_revoked(int64_t id, const struct msg_fw_revoked *m);

struct run;
/* For run.status: NULL when there is none of that name. */
const struct run *runs_find(const char *id);
const struct worker *runs_worker(const struct run *r);
/* Fill in what the table knows of it; the texts live as long as the run. */
void runs_describe(const struct run *r, struct msg_run_status_answer *a);

/* --- frontend_query.c: run.status --------------------------------------- */

void query_begin(struct client *u, int64_t id, const struct msg_run_status *m);
void query_sums(
    const struct worker *w, int64_t id, const struct msg_run_sums_answer *m);
void query_counted(int64_t id, const struct msg_fw_counted *m);
void query_run_gone(const char *run);
void query_user_gone(const struct client *u);

#endif
