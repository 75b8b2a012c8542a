#ifndef AGENT_CLI_ENTRYPOINT_H
#define AGENT_CLI_ENTRYPOINT_H

/* What the files of PID 1's coordination share, grouped by file. */

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "libcommon/msg.h"

#include "entrypoint_child.h"
#include "entrypoint_git.h"
#include "entrypoint_link.h"
#include "entrypoint_probe.h"
#include "entrypoint_tool.h"

#define ENTRY_SOCKET "/run/bulkhead/dispatchd.sock"
#define ENTRY_CONNECT_MS 60000 /* without a link before the release: leave */
#define ENTRY_HEARD_MS 10000 /* a new link says what is stored within */
#define ENTRY_HOLD_MS (24 * 3600 * 1000) /* with work that nobody takes */
#define ENTRY_TERM_GRACE_MS 5000 /* the engine's own TERM */
#define ENTRY_TICK_MS 1000
#define ENTRY_WHY_MAX 256

#define ENTRY_STREAM_OUTPUT 1 /* towards the daemon */
#define ENTRY_STREAM_BUNDLE 2

/* INTERFACE: exit statuses of PID 1. */
#define ENTRY_EXIT_DONE 0
#define ENTRY_EXIT_BROKEN 70
#define ENTRY_EXIT_NOTHING 78 /* it forked nothing */

enum entry_state {
	ENTRY_CONNECT, /* a link, for the first time */
	ENTRY_START, /* the start frame and its streams */
	ENTRY_PROVE,
	ENTRY_WAIT_RELEASE,
	ENTRY_CLONE, /* from here on a process may have been made */
	ENTRY_TOOL,
	ENTRY_DRAIN, /* the tool has ended; nothing else lives */
	ENTRY_BUNDLE,
	ENTRY_FINISH /* everything is handed over */
};

/* Where things are. Constants for the program; tests have their own. */
struct entry_where {
	const char *socket;
	const char *home, *work, *private, *spare; /* as TOOL_HOME ... */
	const char *protocol; /* of repositories */
	bool any_pid; /* need not be PID 1 */
	bool any_user;
};

/* A blob that comes by a stream. */
struct entry_blob {
	uint8_t *buf;
	size_t len, want;
	uint32_t stream; /* 0: none, or whole */
};

struct entry {
	const struct entry_where *where;
	struct event_base *base;
	struct link *link;
	struct event *ev_tick, *ev_term;
	int term; /* system_term_fd; -1 */
	bool term_said;
	enum entry_state state;
	int exit_status; /* when the loop has ended */
	bool heard; /* this link's daemon knows of the run */
	int64_t up_ms; /* when the link was made */
	int64_t hold_ms; /* when there was nothing left to do but hand over */

	struct msg start; /* ours: msg_free */
	struct entry_blob prompt, ca;
	struct probe_plan plan;
	struct probe_report report;

	int64_t deadline_ms; /* on the boot clock */
	bool stopped; /* before there was a child that could be */
	struct words env;
	struct ward *ward;
	struct output *output;
	struct feed *feed;
	struct git_job job;
	struct git_result git;
	char work[GIT_PATH_MAX], keep[GIT_PATH_MAX];
	char prompt_file[GIT_PATH_MAX], ca_file[GIT_PATH_MAX];
	int result; /* the worker's end of its pipe, ours to read; -1 */

	/* How the tool ended. */
	bool over;
	const char *reason;
	int exit_code, signal;
	char detail[ENTRY_WHY_MAX];

	/* What this link has been told. */
	bool output_begun, output_done, exited_said, bundle_begun, bundle_done;
	int bundle_fd; /* -1 */
	bool harvested;
};

/* --- entrypoint.c --------------------------------------------------------- */

int cmd_entrypoint_at(const struct entry_where *where);
/* The one setter. */
void entry_set(struct entry *e, enum entry_state state);
/* End the loop; the program exits so. */
void entry_leave(struct entry *e, int status);

/* --- entrypoint_start.c: what the daemon says before the release -----------
 */

/* Take the frame. Returns 0 or -1 (the link is given up). */
int start_take(struct entry *e, const struct msg *m);
void
start_data(struct entry *e, uint32_t stream, const uint8_t *buf, size_t len);
void
start_stream_end(struct entry *e, uint32_t stream, bool ok, const char *why);
/* Forget what came in part. */
void start_drop(struct entry *e);
void start_send_proof(struct entry *e);

/* --- entrypoint_run.c: clone, tool, harvest ---------------------------------
 */

void run_begin(struct entry *e); /* behind the release */
void run_stop(struct entry *e, int64_t grace_ms);
/* As ward_new wants it. */
void run_child_ended(enum ward_end end, int status, void *arg);

/* --- entrypoint_hand.c: handing over -----------------------------------------
 */

void hand_phase(struct entry *e, const char *phase, const char *detail);
/* Send what can be sent: output, how it ended, the bundle. */
void hand_push(struct entry *e);
/* The daemon wants no more of a stream of ours. */
void hand_given_up(struct entry *e, uint32_t stream, const char *why);
/* A link is gone: begin again with the next one. */
void hand_reset(struct entry *e);
void hand_stored(struct entry *e, int64_t offset);

#endif
