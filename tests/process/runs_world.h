#ifndef TESTS_PROCESS_RUNS_WORLD_H
#define TESTS_PROCESS_RUNS_WORLD_H

/*
 * The real role `runs`, started the real way (the test is its own daemon). The
 * parent, the queue and the frontend are played here, and PID 1 of a container,
 * which for its door is this process.
 */

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "libcommon/clock.h"

#include "dispatchd/runs.h"

#define WAIT_MS 20000 /* for any one thing */
#define RUN "aaaaaaaaaaaa"
#define OUT 7 /* streams of PID 1 */
#define BUNDLE 8
#define SERVED 9 /* of the frontend */

struct side {
	struct peer *p;
	bool gone;
	size_t count[MSG_TYPE_MAX];
	struct msg last[MSG_TYPE_MAX];
	/* the one stream that comes in, and the one that goes out */
	uint8_t *in, *out;
	size_t nin, nout, sent;
	uint32_t id;
	bool ended, aborted;
	size_t aborts; /* streams that ended so */
};

extern struct event_base *base;
extern struct side parent, queue, frontend, agent;
/* What the queue has of the run's bundle: at first what it was told. */
extern struct row {
	int64_t bytes;
	char sha256[RUNS_HASH_LEN + 1];
} row;
extern char directory[64], path[96]; /* of all; of the door */
extern int dirfd;
extern pid_t pid; /* of runs */

#define UNTIL(cond)                                          \
	do {                                                 \
		int64_t end_ = clock_boot_ms() + WAIT_MS;    \
		while (!(cond) && clock_boot_ms() < end_)    \
			turn(10);                            \
		ck_assert_msg((cond), "in vain: %s", #cond); \
	} while (0)

/* The fixture of each test. */
void world_start(void);
void world_stop(void);
/* Another runs, in the same directory; nothing of the run is with it. */
void world_restart(void);
/* The loop, for so long; until nothing more is to be expected. */
void turn(int ms);
void quiet(void);

/* The n-th message of that type, of which the last one is kept. */
const struct msg *heard(struct side *s, enum msg_type type, size_t n);
struct msg plain(enum msg_type type, int64_t id);
void say(struct side *s, const struct msg *m);
void side_free(struct side *s);

/* The run: its door, who may come there, what it is to do, and its end. */
void door(void);
void expect_pid(pid_t who);
/* What the run is to do; it has no prompt, and these limits. */
void start(int64_t bundle_limit, int64_t disk_reserve);
/* The message of that, with this id. */
struct msg start_message(int64_t id, int64_t bundle_limit, int64_t reserve);
const struct msg_job_closed *closed(bool remove);

/* PID 1 comes to its door and says where it is. */
void connects(const char *phase, int64_t offset);
/* The same without a word. */
void connects_silently(void);
/* All of it, up to PID 1's start. */
void run_begins(int64_t bundle_limit, int64_t disk_reserve);
void link_is(const char *phase);
/* PID 1 sends these bytes, which are freed here, on a stream. */
void out_begins(uint32_t id, uint8_t *buf, size_t len);
/* len bytes of output as chunks, from this offset of it on. */
void prints(int64_t offset, size_t len);
void exits(int64_t offset);
/* A bundle of so many times this byte, and its end. */
void bundle(size_t len, int byte, const char *why);
void bundle_ends(void);

/* The frontend asks for the log or the bundle. */
void serve(enum msg_type type);
/* Is there such a file of the run? */
bool there(const char *name);

/* Runs the suite of the program; main is the world's. 0: all passed. */
int world_tests(void);

#endif
