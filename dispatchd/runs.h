#ifndef DISPATCHD_RUNS_H
#define DISPATCHD_RUNS_H

/*
 * What the files of the process runs share. It speaks with PID 1 of each
 * container, keeps what that prints and hands back, and decides nothing: the
 * queue does.
 */

#include <sys/queue.h>
#include <sys/types.h>

#include <event2/event.h>

#include "libcommon/msg.h"
#include "libcommon/peer.h"
#include "libcommon/proc.h"
#include "libcommon/runid.h"
#include "libcommon/sibling.h"

#include "dispatchd/runs_chunk.h"
#include "dispatchd/runs_log.h"

#define RUNS_NOFILE 1024
#define RUNS_JOBS_MAX 128
#define RUNS_READERS_MAX 64 /* of logs and bundles, at a time */
#define RUNS_READERS_OF_RUN_MAX 16
#define RUNS_STORED_STEP (256 * 1024) /* PID 1 hears what is stored */
/* Messages of PID 1 on one link; it needs some ten. */
#define RUNS_WORDS_MAX 64
/* Lines in our log that what is in a container brings about, for each run. */
#define RUNS_LINES_MAX 64
#define RUNS_DOOR_TURNS 8 /* connections of one event, at one door */
#define RUNS_DOOR_PAUSE_MS 1000 /* while there is no descriptor for one */
#define RUNS_TELL_MS 1000 /* the queue hears of output, at most */
#define RUNS_RESERVE_SHARE 2 /* of disk_reserve is left to bundles */
#define RUNS_PROMPT_MAX (4 * 1024 * 1024)
#define RUNS_CA_MAX (1024 * 1024)
#define RUNS_BUNDLE "bundle" /* its name, when it is whole */
#define RUNS_HASH_LEN 64 /* SHA-256 in hex */
#define RUNS_STREAM_PROMPT 1 /* towards PID 1 */
#define RUNS_STREAM_CA 2

/* Bytes that come on one stream and go on another: a prompt, CA roots. */
struct blob {
	uint8_t *buf;
	size_t len, want;
	uint32_t in; /* stream on the queue's link; 0: none */
	size_t sent; /* to PID 1 */
};

struct bundle {
	int fd; /* of the part file, or of the stored one; -1 */
	bool again; /* it is stored, and comes once more */
	uint32_t stream; /* on PID 1's link */
	int64_t bytes, max;
	void *hash; /* EVP_MD_CTX */
	char base[65], head[65];
	char why[257]; /* what is missing in it; "": nothing */
};

struct job {
	TAILQ_ENTRY(job) entry;
	char id[RUNID_LEN + 1];
	int dirfd; /* of its files */
	struct runs_log *log;
	int64_t missing; /* output that the disk did not take, */
	bool dropping; /* and takes no more of just now */

	/* What it is to do; complete when the queue's streams have ended. */
	struct msg start; /* agent_start, owned */
	bool has_start, complete;
	int64_t start_id; /* of job.start, to be answered */
	int64_t bundle_limit, disk_reserve;
	struct blob prompt, ca;

	/* PID 1. */
	int door; /* listening; -1 */
	struct event *ev_door, *ev_pause;
	bool door_short; /* of descriptors, and it was said */
	pid_t expect; /* 0: not known yet */
	int held; /* a connection from before it was; -1 */
	uint64_t strangers; /* that came there */
	unsigned said; /* lines about it, as many as may be */
	uint64_t unsaid; /* and those that were too many */

	struct peer *agent;
	char phase[17]; /* as it said last */
	bool start_sent;
	bool proof_seen, released_seen; /* on this link */
	unsigned words; /* how many messages came on it */
	uint32_t output; /* its stream of output; 0: none */
	struct chunk_reader chunks;
	int64_t output_at; /* offset of its next byte */
	int64_t told_stored; /* to PID 1 */
	bool exited;
	struct msg_agent_exited exit;
	char exit_reason[17], exit_detail[257];
	struct bundle bundle;
	struct event *ev_tell; /* to the queue, soon */
};

TAILQ_HEAD(job_list, job);

struct runs {
	struct event_base *base;
	int dirfd; /* where the runs' directories are */
	struct peer *parent, *queue, *frontend;
	struct job_list jobs;
	size_t njobs;
};

extern struct runs runs;

/* runs.c */

/* runs_job.c: what the queue asks for */
struct job *job_find(const char *id);
/* NULL: there is no room for it. */
struct job *job_new(const char *id);
void job_free(struct job *j);
/* May a line be logged that its container brought about? Counts it. */
bool job_may_log(struct job *j);
void job_expect(const struct msg_job_expect *m);
void job_release(const char *id);
void job_stop(const struct msg_job_stop *m);
void job_finish(const char *id);
void job_close(int64_t id, const struct msg_job_close *m);
/* The parent made a socket; fd is owned from here. */
void job_door(const char *id, int fd);
/* Tell the queue of the output, at most once in RUNS_TELL_MS. */
void job_tell_output(struct job *j);
/* A run's directory; create: make it. Returns it or -1 with errno. */
int job_dir_open(const char *id, bool create);

/* runs_start.c: what a run is to do */
void job_start(int64_t id, const struct msg_job_start *m);
/* Streams of the queue's link. */
void job_blob_data(uint32_t stream, const uint8_t *buf, size_t len);
void job_blob_end(uint32_t stream, bool ok, const char *why);
/* Forget it; what of it is on its way is not wanted any more. */
void start_drop(struct job *j);

/* runs_disk.c */
/* Is there room for so many bytes and the reserve? */
bool disk_room(int64_t reserve, int64_t bytes);

/* runs_door.c: who may come in */
void door_open(struct job *j, int fd); /* owned from here; a new one */
void door_expect(struct job *j, pid_t pid);
/* For good: how many came that were not PID 1 is logged. */
void door_close(struct job *j);

/* runs_agent.c: the link to PID 1 */
/* fd is a connection of the expected process, owned from here. */
void agent_take(struct job *j, int fd);
/* Send start and its blobs, when both sides are there. */
void agent_begin(struct job *j);
void agent_send(struct job *j, const struct msg *m);
void agent_drop(struct job *j);
/* End its link, if there is one: it comes anew and begins with its phase. */
void agent_again(struct job *j);

/* runs_output.c */
/* Returns -1 when no output can begin there. */
int output_begin(struct job *j, const struct msg_agent_output *m);
/*
 * The output that PID 1 need not keep: what is stored, and what is given up
 * because our disk will not have it.
 */
int64_t output_taken(const struct job *j);
/* Returns -1 when the bytes are none that PID 1 may send. */
int output_data(struct job *j, const uint8_t *buf, size_t len);
void output_end(struct job *j);
void output_exited(struct job *j, const struct msg_agent_exited *m);

/* runs_bundle.c */
/*
 * Both return -1 when one is stored already and this is not the same: nothing
 * takes the place of what was told.
 */
int bundle_begin(struct job *j, const struct msg_agent_bundle *m);
int bundle_data(struct job *j, const uint8_t *buf, size_t len);
void bundle_end(struct job *j, bool ok, const char *why);
void bundle_drop(struct job *j);
/* The end of a hash over a bundle (EVP_MD_CTX), in hex. Returns 0 or -1. */
int bundle_hash_end(void *hash, char hex[RUNS_HASH_LEN + 1]);

/* runs_stored.c */
void job_stored(int64_t id, const struct msg_job_stored *m);

/* runs_serve.c: logs and bundles, to the frontend */
void serve_logs(int64_t id, const struct msg_logs *m);
void serve_bundle(int64_t id, const struct msg_bundle_get *m);
/* What the queue has of the bundle that is to be served. */
void serve_compare(int64_t id, const struct msg_bundle_row_answer *m);
void serve_ready(uint32_t stream);
void serve_aborted(uint32_t stream);
/* More output is there; over: and no more will be. */
void serve_more(const struct job *j, bool over);
void serve_detach(const struct job *j);

void runs_main(const struct proc_self *self) __attribute__((noreturn));

#endif
