#ifndef AGENT_CLI_FOLLOW_H
#define AGENT_CLI_FOLLOW_H

/*
 * What follows a run: a link to dispatchd that comes back by itself, the
 * requests that it asks again each time, and the output that they make.
 */

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>
#include <openssl/types.h>

#include "libcommon/runid.h"

#include "dispatchd/runs_chunk.h"

#include "cmd.h"

struct peer;

/* --- terminal.c: outside text on a terminal. Pure ----------------------- */

#define TERMINAL_HELD_MAX 4

/* A character may come in pieces; zero it at first. */
struct terminal {
	char held[TERMINAL_HELD_MAX];
	size_t nheld;
};

/* The longest that len bytes can become. */
#define TERMINAL_OUT(len) (4 * ((len) + TERMINAL_HELD_MAX))

/*
 * Make control characters visible as \xNN, among them those that turn the
 * direction of text; newline and tab stay, and so do printable characters of
 * UTF-8. Returns the bytes written to out.
 */
size_t
terminal_text(struct terminal *t, const void *buf, size_t len, char *out);
/* What is held back of a character that was not ended. */
size_t terminal_end(struct terminal *t, char *out);

/* --- output.c: both standard streams, in order, without blocking -------- */

struct output;

struct output_ops {
	/* So many bytes of credit (output_credit) are written. */
	void (*written)(size_t n, void *arg);
	/* Nothing can be written any more. */
	void (*broken)(int fd, int error, void *arg);
};

/* NULL when out of memory. raw: a terminal gets what came as it came. */
struct output *printed_new(
    struct event_base *base, bool raw, const struct output_ops *ops, void *arg);
void printed_free(struct output **o);
/* A tool's bytes. fd is STDOUT_FILENO or STDERR_FILENO. */
void output_tool(struct output *o, int fd, const void *buf, size_t len);
/* Our own text, in lines of its own; outside text in it is escaped. */
void output_line(struct output *o, int fd, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/*
 * Where the run is. A terminal shows it in a line that the next one replaces;
 * elsewhere it is a line.
 */
void output_stage(struct output *o, const char *text);
/* Report n when all that was put before is written. */
void output_credit(struct output *o, size_t n);
bool output_empty(const struct output *o);
/* No more comes: take the line of stages away, end what was held back. */
void output_end(struct output *o);
/* What waits for a slow reader is not wanted any more. */
void output_discard(struct output *o);
/* Wait until all is written, or cannot be. */
void output_flush(struct output *o);

/* --- daemon_stream.c: the link ------------------------------------------ */

struct link;

/*
 * A request that is asked again on every new link until it has its answer;
 * its owner embeds it. Hooks may be NULL. Messages are freed behind the call.
 */
struct request {
	TAILQ_ENTRY(request) entry;
	struct link *link;
	const struct request_ops *ops;
	int64_t id; /* on this link; 0: not asked */
	uint32_t in, out; /* its streams; 0: none */
	bool wanted; /* to be asked when there is a link */
};

struct request_ops {
	/* Fill in the request; id and streams are there. */
	void (*fill)(struct request *r, struct msg *m);
	void (*event)(struct request *r, const struct msg *m);
	/* Bytes of the stream, and its end, may come behind this. */
	void (*answer)(struct request *r, const struct msg *m);
	/* An error that is no end of the program: true. */
	bool (*refused)(struct request *r, const struct msg *m);
	void (*data)(struct request *r, const uint8_t *buf, size_t len);
	void (*end)(struct request *r, bool ok, const char *why);
	void (*ready)(struct request *r); /* its stream out has credit */
	void (*lost)(struct request *r); /* the link is; it is asked again */
	bool incoming; /* a stream comes with the answer */
};

struct link {
	const struct cli *cli;
	struct event_base *base;
	struct output *out; /* where it says that it is lost; may be NULL */
	struct peer *peer; /* NULL: there is none now */
	struct event *retry;
	TAILQ_HEAD(, request) requests;
	int64_t trouble_ms; /* since when nothing was heard, 0: it is well */
	int64_t pause_ms;
	uint32_t last_stream;
	bool done;
	int status; /* what done means */
	char why[DAEMON_WHY_MAX]; /* escaped: the last trouble */
};

/*
 * Reach dispatchd, which has to be there at first. Complains, and returns an
 * exit status; 0: the link is up. link_close in either case.
 */
int link_open(struct link *l, const struct cli *cli);
void link_close(struct link *l);
/* Work until link_done. Returns its status. */
int link_loop(struct link *l);
void link_done(struct link *l, int status);
/* No more comes; what is in the output can still be written. */
void link_hang_up(struct link *l);
/* Tell people of a refusal. */
void link_complain(const struct msg_error *e);
void
request_init(struct request *r, struct link *l, const struct request_ops *ops);
/* Ask it, now or when there is a link. */
void request_ask(struct request *r);
/* Bytes of its incoming stream are dealt with. */
void request_consumed(struct request *r, size_t n);
/* Want no more of it: its streams end, an answer is ignored. */
void request_drop(struct request *r);

/* --- run_submit.c: a job and its prompt --------------------------------- */

#define PROMPT_MAX (4 * 1024 * 1024)
#define REQUEST_ID_LEN 24 /* of one that we make */

struct submit {
	struct request r;
	struct msg_run run; /* borrowed texts */
	const uint8_t *prompt;
	size_t len, sent;
	void (*accepted)(const struct msg_run_accepted *m, void *arg);
	void *arg;
};

void submit_init(struct submit *s, struct link *l);
/* A random one; of 32 letters and digits. */
void submit_random_id(char id[REQUEST_ID_LEN + 1]);
/*
 * Read a prompt of at most PROMPT_MAX bytes; file NULL: from words, joined by
 * spaces, or from standard input where there is the one word "-". Complains,
 * and returns NULL.
 */
uint8_t *prompt_read(const char *file, int argc, char **argv, size_t *len);

/* --- run_wait.c: how a run goes, and how it ended ------------------------ */

struct waiting {
	struct request r;
	char run[RUNID_LEN + 1];
	void (*stage)(const struct msg_run_event *m, void *arg);
	void (*over)(const struct msg_wait_answer *m, void *arg);
	bool (*refused)(const struct msg_error *m, void *arg);
	void *arg;
};

void waiting_init(struct waiting *w, struct link *l);
/* A stage in words; malloc'd. json: an object. */
char *stage_text(const struct msg_run_event *m, bool json);
/* How it ended, in lines, or in one object; malloc'd. got: what --bundle
 * wrote, NULL: nothing. */
char *ending_text(const struct msg_wait_answer *m, const char *got, bool json);
/* The exit status of a class; an unknown one is EXIT_FAILED. */
int class_status(const char *name);

/* --- run_logs.c: what it prints ------------------------------------------ */

struct logs {
	struct request r;
	struct output *out;
	char run[RUNID_LEN + 1];
	bool follow;
	bool may_miss; /* that there is none is no refusal */
	bool answered, ended; /* the stream is whole */
	bool missing; /* there is no output (yet) */
	int64_t at; /* the offset of the next byte */
	size_t unwritten; /* bytes of streams that are not credited yet ... */
	size_t stale; /* ... and that came by a link that is lost */
	struct chunk_reader chunks;
	struct event *again;
	/* Its answer, or that there is nothing to print (missing). */
	void (*over)(void *arg);
	/* An error that is no end of the program: true; NULL: all are. */
	bool (*refused)(const struct msg_error *m, void *arg);
	void *arg;
};

#define LOGS_AGAIN_MS 500 /* until output that was not there is asked for */

void logs_init(struct logs *g, struct link *l, struct output *out);
/* For output_ops: bytes of the stream were written. */
void logs_written(struct logs *g, size_t n);
/* From over: there is no output yet. From refused: it may be had later. */
void logs_again_later(struct logs *g, int ms);
void logs_free(struct logs *g);

/* --- run_stop.c: its end -------------------------------------------------- */

struct stopping {
	struct request r;
	char run[RUNID_LEN + 1];
	void (*over)(const struct msg_stop_answer *m, void *arg);
	void *arg;
};

void stopping_init(struct stopping *s, struct link *l);

/* --- run_bundle.c: its commits -------------------------------------------- */

struct bundle {
	struct request r;
	char run[RUNID_LEN + 1];
	const char *file;
	char *temporary; /* in the same directory; NULL: none */
	int fd;
	EVP_MD_CTX *hash;
	int64_t bytes;
	bool answered, ended;
	char claim[65]; /* by the answer */
	char want[65]; /* hex SHA-256; "": not known */
	/* 0, or an exit status behind a complaint. */
	void (*over)(int status, void *arg);
	void *arg;
};

/*
 * May a bundle be written there? It is renamed to that name, so what is no
 * ordinary file, a device or a link, would be gone. Complains if not.
 */
bool bundle_file_fits(const char *file);
void bundle_init(struct bundle *b, struct link *l, const char *file);
/* Remove what is unfinished. */
void bundle_free(struct bundle *b);

/* --- run_follow.c: all of it together --------------------------------------
 */

struct follow {
	const struct cli *cli;
	struct link link;
	struct output *out;
	struct submit submit;
	struct waiting waiting;
	struct logs logs;
	struct stopping stopping;
	struct bundle bundle;
	struct event *interrupt, *terminate, *grace;
	int interrupts;
	char run[RUNID_LEN + 1]; /* "": not accepted yet */
	bool detach; /* leave when it is accepted */
	const char *file; /* for the bundle; NULL */
	char *stage; /* the last that was told */
	bool over, logs_over, fetched;
	bool lacking; /* its output could not be had, or not all of it */
	bool told; /* how it ended */
	int status;
	char *ending, *ending_got; /* without the file, and with it */
};

/* 0, or an exit status behind a complaint. follow_close in either case. */
int follow_open(struct follow *f, const struct cli *cli);
/* Submit f->submit and see it through. Returns the exit status. */
int follow_run(struct follow *f);
void follow_close(struct follow *f);

#endif
