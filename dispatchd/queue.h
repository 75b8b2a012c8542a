#ifndef DISPATCHD_QUEUE_H
#define DISPATCHD_QUEUE_H

/*
 * What the files of the process queue share. It decides everything about runs
 * and does nothing to them by itself: it writes the next state, then has its
 * siblings and egressd do what that state stands for.
 */

#include <sys/queue.h>

#include <event2/event.h>

#include "libcommon/agent.h"
#include "libcommon/audit.h"
#include "libcommon/netaddr.h"
#include "libcommon/peer.h"
#include "libcommon/sibling.h"

#include "dispatchd/dispatchd.h"
#include "dispatchd/queue_admit.h"
#include "dispatchd/queue_store.h"

#define QUEUE_NOFILE 256
#define QUEUE_CALL_MS 30000 /* a sibling, or egressd, answers within */
#define QUEUE_ENGINE_MS 120000 /* the engine, which may pull at a disk */
#define QUEUE_PROOF_MS 60000 /* from the start to the proof */
#define QUEUE_RECONNECT_MS 60000 /* PID 1 comes back */
#define QUEUE_HARVEST_MS HARVEST_WAIT_MS /* from the tool's end */
#define QUEUE_LEAVE_MS 10000 /* PID 1 leaves when told */
#define QUEUE_GRACE_MS 10000 /* between TERM and KILL */
#define QUEUE_TICK_MS 500 /* deadlines are looked at so often */
#define QUEUE_RETRY_MS 1000 /* what failed is tried again */
#define QUEUE_RETRY_MAX_MS 30000
#define QUEUE_SUBMITS_MAX 32 /* prompts on their way here */
#define QUEUE_WATCHERS_MAX 512
#define QUEUE_TRIES_MAX 20 /* starts of one run, before it is given up */
#define QUEUE_SIBLINGS_MAX 8 /* networks of others that a run tries */
#define QUEUE_GATEWAY_HOST 1 /* of the run's /29 */
#define QUEUE_AGENT_HOST 2

struct qjob;

/* --- queue_call.c: requests that wait for their answer ------------------ */

/* m: the answer, an error, or NULL when there was none in time. */
typedef void call_fn(struct qjob *j, const struct msg *m);

/*
 * Send a request on a link; fn is called once, from the loop, unless the job
 * is forgotten. m->id is given here. NULL link or a link that has ended: fn
 * gets NULL, from the loop.
 */
void call_send(
    struct peer *p, struct msg *m, struct qjob *j, int timeout_ms, call_fn *fn);
/* An answer came on that link. False: nobody waits for it. */
bool call_answered(struct peer *p, const struct msg *m);
/* The link is gone: all its calls get NULL. */
void call_lost(struct peer *p);
void call_forget(struct qjob *j);
bool call_waits(const struct qjob *j);

/* --- a run that is not over --------------------------------------------- */

struct qjob {
	TAILQ_ENTRY(qjob) entry;
	struct queue_row row;
	bool egress_open; /* egressd said so, on the present link */
	bool door; /* made */
	bool fed; /* runs has what it is to do */
	bool created, started;
	bool expected; /* runs knows which process PID 1 is */
	bool summed; /* egressd said last what it did */
	char phase[17]; /* PID 1's; "none": not connected */
	bool connected;
	bool proved, proof_bad;
	bool release_due; /* COMMITTED is recorded */
	bool record_due; /* it may not be: once more */
	bool told; /* PID 1 may have heard that it can begin */
	bool exited, bundled; /* runs said so */
	char exit_reason[17];
	bool oom;
	enum queue_container container; /* as seen last */
	bool container_gone; /* its PID 1 has ended: harvest what there is */
	/* Taking it down; again: it goes back to QUEUED. */
	bool removing, again;
	bool egress_down, container_down, runs_down; /* in this order */
	bool words_asked; /* what PID 1 printed, which goes with it */
	bool shut_tried; /* egressd was asked to close it, and did not */
	bool finished; /* PID 1 was told to leave */
	bool has_bundle;
	bool looked; /* runs told what is stored */
	char lost[17]; /* there is none, and should be: by whom; "": none is */
	int64_t retry_ms, retry_at;
	int64_t state_at; /* boot ms: when this state began, for us */
	int64_t gone_at; /* PID 1 not connected since; 0: it is */
	int64_t output_at; /* the last byte of output or tunnel; 0: none */
	int64_t kill_at; /* KILL then; 0 */
	int64_t asked_status_at; /* egressd, last */
	int64_t told_status_at; /* when what it told last was asked for */
	int64_t release_at; /* it is to begin since then; 0: not yet */
	int64_t tunnel_bytes;
	int64_t proof_denied; /* of its denials: the proof's own, 0 or 1 */
	char why[QUEUE_WHY_MAX + 1]; /* a queued run: what it waits for */
};

TAILQ_HEAD(qjob_list, qjob);

struct queue {
	struct event_base *base;
	int dirfd; /* where the database is */
	uid_t uid; /* as egressd sees us */
	struct peer *parent, *frontend, *engine, *runs, *recorder;
	struct peer *egressd; /* NULL: not connected */
	struct audit_client *audit;
	struct dispatch_config *config, *loading;
	int64_t generation, loading_generation;
	int64_t roots_missing;
	struct queue_store *store;
	struct queue_admission admission;
	struct qjob_list jobs; /* those that are live */
	size_t njobs;
	char image[130];
	bool engine_ready; /* its objects are known, jobs are adopted */
	bool go;
	struct event *tick;
	uint32_t next_stream;
};

extern struct queue queue;

/* queue.c */
/*
 * Begin a stream, before it is announced; its bytes (copied, zeroed when sent)
 * go as there is credit. Returns its id, 0 for no bytes.
 */
uint32_t queue_stream_push(struct peer *p, const void *buf, size_t len);

/* queue_config.c */
void config_given(const struct msg_dispatch_config *m);
void roots_given(const struct msg_dispatch_roots *m);
/* Of struct peer_ops, on the parent's link. */
void roots_data(
    struct peer *p, uint32_t stream, const uint8_t *buf, size_t len, void *arg);
void
roots_end(struct peer *p, uint32_t stream, bool ok, const char *why, void *arg);

/* queue_job.c: the table, and from state to state */
struct qjob *qjob_find(const char *run);
struct qjob *qjob_new(const struct queue_row *row);
void qjob_free(struct qjob *j);
struct queue_need qjob_need(const struct queue_row *row);
/*
 * Write the next state: row, then record. False when it cannot be now; it is
 * tried again.
 */
bool qjob_step(struct qjob *j, enum queue_state to, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Do what the present state asks for, if nothing is under way. */
void qjob_drive(struct qjob *j);
/* The n-th address of the run's own network. */
const char *
qjob_address(const struct qjob *j, unsigned n, char buf[NETADDR_TEXT_MAX]);
/* Later, longer each time. */
void qjob_retry(struct qjob *j);

/* queue_record.c: steps on record */
/* A request became a run; pid is whose it was. */
void queue_record_accept(const struct queue_row *row, int64_t pid);
/* The row's last step, which led it from another state; COMMITTED never. */
void queue_record_step(
    const struct queue_row *row, enum queue_state from, const char *evidence);
/* COMMITTED; when it is on record the job is driven, with release_due set. */
void queue_record_commit(struct qjob *j, const char *evidence);
/* All that is not known to be on record is sent. */
void queue_record_owed(void);
void queue_record_tick(void);

/* queue_next.c: runs that wait */
/* Begin those that can be. */
void qjob_admit_all(void);
/* "" when it does not wait. */
void queue_why_waits(const struct queue_row *row, char why[QUEUE_WHY_MAX + 1]);
/* From time to time: a pause may be over. */
void next_tick(void);

/* queue_subnet.c: networks for them */
/* One of the pool that is free, as far as we know. 0, or -1 as the store. */
int subnet_free(char network[QUEUE_NETWORK_MAX + 1]);
/* The engine says that somebody else has it. */
void subnet_refused(const char *network);

/* queue_start.c: from ADMITTED to COMMITTED */
void qjob_drive_start(struct qjob *j);
/*
 * One that was found running: its door, its words and its PID 1's number are
 * made known to runs again. True when there is nothing more to do for that.
 */
bool qjob_attach(struct qjob *j);

/* queue_feed.c: what a run is to do, for runs */
void qjob_hand_over(struct qjob *j);

/* queue_end.c: from COMMITTED to DONE */
/* Back to QUEUED: nothing of it has happened. */
void qjob_requeue(struct qjob *j, const char *why);
/* It is over: take down what there is of it. */
void qjob_end(struct qjob *j, enum queue_class class, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void qjob_exited(struct qjob *j, const struct msg_job_exited *m);
void qjob_drive_end(struct qjob *j);
/* Ask a sibling or egressd for something about a run, and nothing more. */
void qjob_ask(
    struct qjob *j, struct peer *p, enum msg_type type, int ms, call_fn *fn);

/* queue_harvest.c: what it hands back */
void qjob_bundle(struct qjob *j, const struct msg_job_bundle *m);
/*
 * Is a bundle of it stored that we do not know of? Where that may be, runs is
 * asked once: true, and it is driven on with the answer.
 */
bool qjob_ask_stored(struct qjob *j);
void qjob_drive_exited(struct qjob *j);

/* queue_stop.c: ended from outside */
/* The tool is ended; what it has done so far is harvested. */
void qjob_stop(struct qjob *j, enum queue_class class, const char *reason);
void qjob_tell_stop(struct qjob *j); /* what was told may not have come */
void qjob_deadlines(struct qjob *j);
void qjob_engine_state(struct qjob *j, const struct msg_engine_state *s);

/* queue_runs.c: what the process runs tells */
void queue_dispatch_runs(struct peer *p, struct msg *m, int fd, void *arg);

/* queue_egress.c: the link to egressd */
void egress_init(void);
/* Open every run of ours there anew, and have all others closed. */
void egress_all(void);
void egress_tick(void); /* from time to time: what it did not take */

/* queue_door.c: a run's way out, as egressd has it */
/* Is it to have one: its tool works, or may do so yet? */
bool egress_wanted(const struct qjob *j);
bool egress_reopen(struct qjob *j); /* true: it is asked for */
void egress_open(struct qjob *j);
/*
 * Sum up what went through it, then close it. What comes of that is in
 * egress_down or shut_tried before it is driven on.
 */
void egress_shut(struct qjob *j);
void egress_status(struct qjob *j);

/* queue_recover.c: at the start, and when the engine is back */
void recover_begin(void);
void recover_event(const struct msg_engine_event *m);

/* queue_engine.c: what status shows of the container engine */
void engine_asked(void); /* it was, for the first time */
/* What came of an engine.info; NULL: nothing. */
void engine_informed(const struct msg *m);
/* Something came from it, which may mean that more has changed. */
void engine_heard(const struct msg *m);

/* queue_submit.c: a request for a run */
void client_submit(int64_t id, const struct msg_job_submit *m);
void client_stream_data(uint32_t stream, const uint8_t *buf, size_t len);
void client_stream_end(uint32_t stream, bool ok, const char *why);

/* queue_show.c: what clients are told of runs */
void client_ps(int64_t id, const struct msg_ps *m);
void client_show(int64_t id, const struct msg_show *m);
/* The answer to a wait. */
void client_tell_over(int64_t id, const struct queue_row *row);

/* queue_client.c: who waits for a run, and who stops one */
void client_wait(int64_t id, const struct msg_wait *m);
/* Nobody needs the wait of that id any more; it may have been answered. */
void client_forget(int64_t id);
/* Of refusals that were counted only. */
void client_submit_tick(int64_t now);
void client_stop(int64_t id, const struct msg_job_halt *m);
/* A run came to another state, or is over: those who wait for it hear. */
void client_event(const struct queue_row *row, const char *detail);
void client_over(const struct queue_row *row);
void client_refuse(int64_t id, const char *code, const char *reason);
/* The code for what the store has just refused. */
const char *client_store_code(void);

/* queue_disk.c: disk_reserve */
/* Is there less free? Then why, with the numbers. */
bool disk_short(char why[QUEUE_WHY_MAX + 1]);
/* From time to time: what waited for room goes on when there is. */
void disk_tick(void);

/* queue_remove.c: ended runs that are forgotten */
void client_rm(int64_t id, const struct msg_job_rm *m);
/* Somebody has a run's bundle: from now on it may be pruned. */
void client_fetched(const struct msg_bundle_fetched *m);
void prune_begin(void);
/* From time to time; soon: at the next time, as a run has ended. */
void prune_tick(void);
void prune_soon(void);

void queue_main(const struct proc_self *self) __attribute__((noreturn));

#endif
