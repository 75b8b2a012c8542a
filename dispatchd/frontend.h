#ifndef DISPATCHD_FRONTEND_H
#define DISPATCHD_FRONTEND_H

/*
 * What the files of the frontend share: the process that has the clients of
 * dispatchd.sock. It decodes what they send and hands it on; it has no file,
 * no network, and decides nothing but who may ask.
 */

#include <sys/queue.h>
#include <sys/tree.h>

#include <event2/event.h>

#include "libcommon/clients.h"
#include "libcommon/proc.h"
#include "libcommon/sibling.h"

#include "dispatchd/dispatchd.h"

#define FRONTEND_NOFILE 1024
#define FRONTEND_CALLS_MAX 1024 /* requests at the siblings */
/*
 * ps and show at the queue. Their answers are large, and all that the queue
 * has not written to us yet has to stay below PEER_SIBLING_OUT_MAX.
 */
#define FRONTEND_LOOKS_MAX 16
#define FRONTEND_WATCHES_MAX 256 /* runs that are waited for */
#define FRONTEND_USER_WATCHES_MAX 64 /* by clients of one uid */
/*
 * Streams that pass through here. Prompts have places of their own, so that
 * those who read logs keep nobody from asking for a run.
 */
#define FRONTEND_PROMPTS_MAX 32
#define FRONTEND_USER_PROMPTS_MAX 8 /* of clients of one uid */
#define FRONTEND_READS_MAX 64 /* logs and bundles */
#define FRONTEND_USER_READS_MAX 16
#define FRONTEND_TICK_MS 1000 /* deadlines are looked at so often */
#define FRONTEND_CALL_MS 60000 /* a sibling answers within */
#define FRONTEND_CREDIT_MS 10000 /* a client says that it will read */
#define FRONTEND_STALL_MS 60000 /* and a prompt or bundle moves on */
#define FRONTEND_PROMPT_MS 300000 /* a prompt has come whole within */
#define FRONTEND_IDLE_MS 30000 /* a log's reader may pause, if others wait */

struct call;
struct waiter;

struct user {
	struct client client; /* clients.h has it as its own */
	TAILQ_HEAD(, call) calls;
	TAILQ_HEAD(, waiter) waits;
	bool looking; /* one of its looks is at the queue */
};

struct front {
	struct event_base *base;
	struct peer *parent, *queue, *runs, *recorder;
	struct audit_client *audit;
	int64_t started_ms; /* boot clock */
	int64_t last_id; /* of requests to the siblings */
};

extern struct front front;

/* Times that a test need not wait for. */
struct front_times {
	int64_t prompt_ms, idle_ms, refusals_ms;
};

extern struct front_times front_times;

void
dispatch_frontend_main(const struct proc_self *self) __attribute__((noreturn));

/* Refuse a client's request; logged. */
void
front_refuse(struct user *u, int64_t id, const char *code, const char *reason);

/* --- frontend_status.c -------------------------------------------------- */

void front_status(struct user *u, int64_t id);

/* --- frontend_refuse.c: what `peers` does not let, recorded ------------- */

/*
 * Record, then answer "refused". run may be NULL. Of a user that asks again and
 * again the rest is counted (libcommon/excess.h), and answered at once.
 */
void front_refuse_recorded(
    struct user *u, int64_t id, const char *request, const char *run);
void front_refuse_user_gone(const struct user *u);
void front_refuse_tick(int64_t now);

/* --- frontend_wait.c: `wait` -------------------------------------------- */

void front_wait(struct user *u, int64_t id, const struct msg_wait *m);
/* What the queue said with the id of a wait. False: none has it. */
bool front_wait_event(struct msg *m);
bool front_wait_answer(struct msg *m);
void front_wait_user_gone(struct user *u);
size_t front_wait_count(void);

/* --- frontend_call.c: requests that a sibling answers ------------------- */

enum relay_way {
	RELAY_NONE,
	RELAY_UP, /* the client's prompt, to the queue */
	RELAY_DOWN /* a log or a bundle, from runs */
};

struct call {
	RB_ENTRY(call) by_id;
	TAILQ_ENTRY(call) of_user;
	TAILQ_ENTRY(call) look; /* while it waits to be asked */
	struct user *user; /* NULL: it left, or has been answered */
	int64_t client_id; /* as the client knows it, */
	int64_t id; /* and the sibling */
	enum msg_type type; /* the client's request */
	struct peer *to;
	bool asked; /* the sibling has it */
	int64_t deadline; /* boot ms; 0: none */
	int64_t whole_by; /* the same, of a prompt as a whole */
	/* Its stream, if it has one: frontend_relay.c */
	TAILQ_ENTRY(call) relay;
	enum relay_way way;
	uint32_t client_stream, stream;
	int64_t max; /* bytes that it may have */
	bool flowing; /* the source was told to send */
	int64_t credit_ms; /* boot clock; when the sink gave credit last */
	bool source_over, sink_over;
	bool whole; /* it came to its end, and the sink wanted all of it */
	size_t pending; /* passed on, not credited to the source yet */
	/* A request, and an answer, that wait for the stream, or their turn. */
	char run[RUNID_LEN + 1];
	int64_t since; /* ps: after */
	bool follow; /* ps: all */
	bool held;
	struct msg answer;
	char sha256[65];
};

/* Hand a request on; its answer comes back by itself. */
void front_call(struct user *u, struct msg *m, struct peer *to);
/* ps or show: a few at a time, of a client one, the others in turn. */
void front_call_look(struct user *u, const struct msg *m);
void front_call_run(struct user *u, int64_t id, const struct msg_run *m);
void front_call_rm(struct user *u, int64_t id, const struct msg_rm *m);
void front_call_stop(struct user *u, int64_t id, const struct msg_stop *m);
/* logs or bundle.get; the latter without since and follow. */
void front_call_read(struct user *u, struct msg *m);
/* From a sibling: an answer, an error, or a ps.row. */
void front_call_answer(struct peer *from, struct msg *m);
void front_call_event(struct peer *from, struct msg *m);
void front_call_user_gone(struct user *u);
void front_call_tick(int64_t now);
/* Its stream is over: what was held may go out. */
void front_call_flush(struct call *c);
/* Ask what was put off: until the client gave credit, or for its turn. */
void front_call_ask(struct call *c);
/* Answer the client with an error; the sibling's answer is awaited. */
void front_call_fail(struct call *c, const char *code, const char *reason);
/* Time begins anew. */
void front_call_touch(struct call *c);
size_t front_call_count(void);

/* --- frontend_relay.c: streams through this process --------------------- */

/*
 * Begin the outgoing half. NULL, or why not; then c has no stream. It is
 * ended by front_relay_end, whatever happened to it.
 */
const char *front_relay_begin(
    struct call *c, enum relay_way way, int64_t client_stream, int64_t max);
void front_relay_end(struct call *c, const char *why);
size_t front_relay_count(void);

/* The streams of struct peer_ops, of each link that has some. */
void front_relay_queue_ready(struct peer *, uint32_t, void *);
void front_relay_queue_end(struct peer *, uint32_t, bool, const char *, void *);
void
front_relay_runs_data(struct peer *, uint32_t, const uint8_t *, size_t, void *);
void front_relay_runs_end(struct peer *, uint32_t, bool, const char *, void *);
void front_relay_client_data(
    struct peer *, uint32_t, const uint8_t *, size_t, void *);
void front_relay_client_ready(struct peer *, uint32_t, void *);
void
front_relay_client_end(struct peer *, uint32_t, bool, const char *, void *);

#endif
