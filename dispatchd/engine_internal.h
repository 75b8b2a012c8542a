#ifndef DISPATCHD_ENGINE_INTERNAL_H
#define DISPATCHD_ENGINE_INTERNAL_H

/* What the files of the process engine share with each other alone. */

#include <sys/queue.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "libcommon/msg.h"
#include "libcommon/peer.h"

#include "dispatchd/engine.h"
#include "dispatchd/engine_docker.h"

#define ENGINE_CALLS_MAX 8 /* requests in work; each has one call open */
#define ENGINE_WAITING_MAX 1024 /* requests that wait for one of these */
#define ENGINE_HEAD_MAX 16384 /* bytes of an answer's head */
#define ENGINE_CONNECT_MS 3000
#define ENGINE_GET_MS 10000 /* whole answer */
#define ENGINE_CREATE_MS 60000
#define ENGINE_START_MS 60000
#define ENGINE_KILL_MS 15000 /* the engine itself waits 10 s for the death */
#define ENGINE_REMOVE_MS 60000
#define ENGINE_GET_TRIES 3
#define ENGINE_GET_AGAIN_MS 100
#define ENGINE_SETTLE_TRIES 6 /* looks after a kill or a removal */
#define ENGINE_SETTLE_MS 250 /* before the second; doubles */
#define ENGINE_SETTLE_MAX_MS 4000
#define ENGINE_RELIST_MS 30000 /* events may be lost without a sign */
#define ENGINE_RECONNECT_MS 250 /* to the events; doubles */
#define ENGINE_RECONNECT_MAX_MS 10000
#define ENGINE_EVENT_MAX 65536 /* bytes of one */
#define ENGINE_STDERR_TEXT 160 /* of PID 1's last line, escaped */
#define ENGINE_ASKED_MAX 1024 /* runs of which we know what we asked */

struct engine;

/* --- engine_http.c ----------------------------------------------------- */

enum http_end {
	HTTP_WHOLE, /* status and body are the engine's */
	HTTP_REFUSED, /* nothing was sent */
	HTTP_BROKEN, /* it may have been carried out */
	HTTP_LATE, /* likewise */
	HTTP_BAD /* an answer that is none, or too large; likewise */
};

struct http_answer {
	enum http_end end;
	long status;
	char type[64]; /* Content-Type without parameters */
	char api[16]; /* Api-Version */
	const char *body; /* NUL behind it */
	size_t len;
	const char *why; /* when not HTTP_WHOLE: for people */
};

/* Called once, from the loop, never from inside http_call. */
typedef void http_done_fn(const struct http_answer *a, void *arg);

struct http;
struct http_call;

/*
 * Two steps: libcurl gets its tables before the sandbox, and its descriptors
 * behind the start recipe.
 */
void http_warm(void);
struct http *http_new(struct event_base *base);
/* Which socket; before the first call. */
void http_socket(struct http *h, const char *path);
/*
 * One request; body NULL for none. NULL when out of memory: done is not
 * called. A connection is used once: libcurl would silently send again what
 * it sent on one that turned out to be closed.
 */
struct http_call *http_call(struct http *h, const char *method,
    const char *path, const char *body, long ms, http_done_fn *done, void *arg);
/*
 * A stream without end or time limit: begun at a whole head of status 200,
 * line for each line, done at its end. Neither may call http_cancel.
 */
struct http_stream_ops {
	void (*begun)(void *arg);
	void (*line)(const char *line, size_t len, void *arg);
};
struct http_call *http_stream(struct http *h, const char *path,
    const struct http_stream_ops *ops, http_done_fn *done, void *arg);

/* --- engine_job.c: a request in work ------------------------------------ */

struct job;
typedef void job_step_fn(struct job *j, const struct http_answer *a);
typedef void job_timer_fn(struct job *j);

struct job {
	struct engine *engine;
	enum msg_type type; /* none: our own, nobody is answered */
	int64_t id;
	char run[RUNID_LEN + 1]; /* "": of no run */
	struct engine_want want; /* engine.create */
	char *body; /* what is created */
	char spec[ENGINE_SPEC_LEN + 1];
	char network[ENGINE_ID_LEN + 1]; /* "": not seen */
	char container[ENGINE_ID_LEN + 1]; /* asked for, or seen; "" */
	char said[ENGINE_MESSAGE_MAX + 64]; /* an error to end with */
	const char *code; /* of it; NULL: none */
	char field[ENGINE_FIELD_MAX];
	bool adopted;
	bool look; /* engine.info: the image that is pinned stays */
	bool raw; /* the next GET is answered by something else than JSON */
	unsigned tries; /* of what is under way */
	struct listing *listing; /* engine.list */
	job_step_fn *start; /* behind the session */
	/* engine_job.c alone: */
	job_step_fn *step;
	job_timer_fn *again;
	struct event timer;
	char path[ENGINE_PATH_MAX];
	unsigned get_tries;
	bool working;
	TAILQ_ENTRY(job) entry;
};

/*
 * The next call of a job; its answer goes to step, once. A GET whose answer
 * is not whole is asked again first, and one that stays away ends the job as
 * `unavailable`; so does a POST or DELETE of which nothing was sent. For the
 * rest of those step has to look what came of it.
 */
void job_get(struct job *j, job_step_fn *step, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void job_post(struct job *j, job_step_fn *step, const char *body, long ms,
    const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void job_delete(struct job *j, job_step_fn *step, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void job_wait(struct job *j, long ms, job_timer_fn *again);
/* How long before the look with this number, from 0. */
long job_settle_ms(unsigned tries);

/* Each of these ends the job: it is gone behind the call. */
void job_answer(struct job *j, struct msg *m);
void job_done(struct job *j);
void job_fail(struct job *j, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* By an answer that is no success: refused, with the engine's own words. */
void job_refused(struct job *j, const struct http_answer *a);

/* Take a request in; it is answered later, or at once when there is no room. */
void job_submit(struct engine *e, const struct msg *m);
/* One of our own, answered to nobody: events_settled at its end. 0 or -1. */
int job_submit_own(struct engine *e, job_step_fn *start);

/* --- engine.c ------------------------------------------------------------ */

enum asked {
	ASKED_CREATE = 1,
	ASKED_START = 2,
	ASKED_KILL = 4,
	ASKED_REMOVE = 8
};

struct session {
	bool negotiated;
	unsigned api; /* minor */
	struct engine_version version;
	struct engine_info info;
	struct engine_image *image; /* pinned; NULL: none */
};

TAILQ_HEAD(job_head, job);

struct engine {
	struct event_base *base;
	struct peer *parent;
	struct peer *queue;
	struct http *http;
	char instance[RUNID_LEN + 1];
	char prefix[4];
	char runs_dir[201];
	char image[256];
	bool based; /* engine.base was here */
	struct session session;
	struct job_head working, waiting;
	size_t nworking, nwaiting;
	struct events *events;
};

void engine_event(
    struct engine *e, const char *run, const char *what, const char *detail);

/* --- engine_docker_session.c: what stands before every job --------------- */

/* Negotiate if need be, pin an image for create, then job->start. */
void session_begin(struct job *j);
/* The connection was lost: what is there now may be another engine. */
void session_lost(struct engine *e);
job_step_fn session_info; /* engine.info: all of it anew */

/* --- the jobs ------------------------------------------------------------ */

job_step_fn create_start; /* engine_docker_create.c */
job_step_fn start_start; /* engine_docker_run.c */
/* Inspect the run's container: by its id, or without one by its name. */
void container_look(struct job *j, job_step_fn *step);
/* Is what came of that this instance's, this run's and the one meant? */
bool container_is_ours(const struct job *j, const struct engine_object *o);
job_step_fn inspect_start;
job_step_fn kill_start;
job_step_fn stderr_start;
job_step_fn remove_start; /* engine_docker_remove.c */
job_step_fn list_start; /* engine_docker_list.c */
void listing_free(struct listing **l);
/*
 * Remove what is ours of the run, container and network, then end with
 * j->code and j->said, or as done when there is no code.
 */
void remove_then_end(struct job *j);

/* Parse an inspection; *doc is the caller's. Returns 0 or -1. */
int inspected(const struct http_answer *a, const char *instance,
    struct json_doc **doc, struct engine_object *o);

/* --- engine_docker_events.c ---------------------------------------------- */

struct events *events_new(struct engine *e);
void events_start(struct engine *e);
void events_settled(struct engine *e); /* the job that opens them ended */
/* What we ask for ourselves is no interference. */
void events_asked(struct engine *e, const char *run, enum asked what);

#endif
