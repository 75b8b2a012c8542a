#ifndef TESTS_PROCESS_QUEUE_WORLD_H
#define TESTS_PROCESS_QUEUE_WORLD_H

/*
 * The real role `queue`, started the real way (the test's program is its own
 * daemon), with a directory that outlives it. Its parent, the frontend, the
 * engine, runs, the records and egressd are played here: they answer by
 * themselves, as struct play says, and a test looks at what they were asked.
 */

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/clock.h"
#include "libcommon/msg.h"
#include "libcommon/peer.h"
#include "libcommon/proc.h"
#include "libcommon/runid.h"

#include "dispatchd/queue_store.h"

#define WORLD_WAIT_MS 20000 /* for any one thing */
#define WORLD_QUIET_MS 1200 /* nothing comes of it within: two ticks */

enum records {
	RECORDS_WRITTEN,
	RECORDS_HELD, /* neither answer comes */
	RECORDS_REFUSED
};

/* How the others behave; world_start sets the defaults. */
struct play {
	const char *config; /* members more, before the end */
	const char *pool; /* network_pool */
	const char *tool; /* its one tool, and the default */
	enum msg_type mute; /* the engine does not answer this; 0: all */
	enum records records;
	int proxy_port, canary_port; /* as egressd has them */
	bool enforced; /* egressd has packet rules */
	const char *egress_error, *egress_reason; /* in place of run.opened */
	const char *phase; /* of a PID 1 that connects; NULL: it does not */
	bool prove, proof_ok;
	const char *proof_text, *direct_text; /* what it met; NULL: all well */
	bool begin; /* PID 1 begins when it is told */
	bool leave; /* and leaves when all is stored */
	int64_t exit_code; /* of a container that is exited */
	const char *words; /* of its PID 1; NULL: they are not to be had */
	bool files_stay; /* runs cannot remove */
	int64_t stored_bytes; /* of a bundle that is there; 0: there is none */
	const char *stored_error; /* of job.stored; NULL: it is told */
	const char *times; /* of the profile */
	const char *sync_error; /* of runs.sync; NULL: it is taken */
	const char *status_error; /* of run.status; NULL: it is answered */
	int64_t tunnel_bytes, tunnel_quiet_ms; /* what it tells */
	const char *create_error; /* of engine.create; NULL: it is made */
	const char *start_error; /* of engine.start; NULL: it is started */
	const char *subnet; /* somebody else's; NULL: there is none */
	const char
	    *proof_denials; /* how often its own is denied; NULL: never */
	int64_t denied; /* of all, as egressd says */
	const char *info_error; /* of engine.info; NULL: it is answered */
	bool image_gone; /* then it says that there is none */
	bool renamed; /* no container has its run's name */
};

struct side {
	struct peer *p;
	bool gone;
	size_t count[MSG_TYPE_MAX]; /* messages that came, of each type */
	struct msg last[MSG_TYPE_MAX]; /* the last one, if there was one */
};

extern struct world {
	struct play play;
	struct side parent, frontend, engine, runs, audit, egressd;
	pid_t pid; /* the queue's; -1: it is not there */
	uint8_t prompt[256]; /* what runs was given last */
	size_t prompt_len;
} world;

/* Nobody does anything but what he is asked: what world_start begins with. */
void play_well(void);
void world_start(void); /* a fixture: a new directory, then the queue */
void world_stop(void);
/* It goes, and comes back to the same directory; kill: without a word. */
void world_kill(void);
void world_spawn(void);
void world_spawn_only(void); /* the engine may not answer */
/* The configuration once more, with world.play.config. */
void world_reload(void);
/* A directory below which the queue's is; world_stop removes it. */
const char *world_dir(void);

void turn(int ms);
void quiet(void);

#define UNTIL(cond)                                             \
	do {                                                    \
		int64_t end_ = clock_boot_ms() + WORLD_WAIT_MS; \
		while (!(cond) && clock_boot_ms() < end_)       \
			turn(10);                               \
		ck_assert_msg((cond), "in vain: %s", #cond);    \
	} while (0)

/* Send as a side does. */
void say(struct side *s, const struct msg *m);
/* Until n messages of the type have come; the last one, which stays ours. */
const struct msg *heard(struct side *s, enum msg_type type, size_t n);

/* --- the frontend's part ---------------------------------------------------
 */

/* Send it, until it is answered: well, or by an error. */
enum msg_type asked(struct msg *m, enum msg_type well);
/*
 * Submit; the answer, run.accepted or error, is in world.frontend.last. With a
 * prompt there is none yet: MSG_TYPE_none.
 */
enum msg_type submit(const char *request, const char *prompt);
/* Of a request with a prompt, which is not answered yet: its bytes. */
void say_prompt(const char *bytes, size_t len);
void prompt_ends(void);
/* The same, accepted; its run. */
void submit_run(const char *request, char run[RUNID_LEN + 1]);
/* An error that was the answer to the last request has this code. */
void refused(const char *code, const char *part_of_reason);
/* What show says. NULL: there is no such run. */
const struct msg_show_answer *show(const char *run);
void until_state(const char *run, const char *state);
void stop_run(const char *run);
enum msg_type remove_run(const char *run);

/* --- runs' and the engine's part -------------------------------------------
 */

void tool_exits(const char *run);
/* The tool ends well; bytes 0: it has no bundle. */
void tool_ends(const char *run, int64_t bundle_bytes);
/* All of it, from the prompt to DONE. */
void
whole_run(const char *request, int64_t bundle_bytes, char run[RUNID_LEN + 1]);
/* The container as the engine has it: "running"; "absent". */
void container_is(const char *run, const char *status);
extern const char bundle_hash[65];

/* egressd ends, and nobody is there; then another one is. */
void egressd_leaves(void);
void egressd_returns(void);

/* Containers that were made for it since the queue was started. */
size_t creates_of(const char *run);
/* How often it was recorded that the run came to this state. */
size_t records_of(const char *run, const char *to);
/* On what evidence, the last time; waits for the first. */
const char *evidence_of(const char *run, const char *to);

/* For main(): -x ROLE is the queue, else tests run. */
int world_main(int argc, char **argv, int (*tests)(void));

#endif
