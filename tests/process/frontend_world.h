#ifndef TESTS_PROCESS_FRONTEND_WORLD_H
#define TESTS_PROCESS_FRONTEND_WORLD_H

/*
 * The real role `frontend`, started the real way (the test's program is its own
 * daemon), and all that it has to do with: its parent, the records, two
 * workers, the packet rules and clients, each played by the test.
 */

#include <sys/types.h>

#include <check.h>
#include <stdbool.h>
#include <stdint.h>

#include "egressd/egressd.h"

#include "tests/process/role.h"

#define WORLD_PROXIES 2
#define WORLD_CLIENTS_MAX 40
#define WORLD_WAIT_MS 10000 /* for any one message */

#define RUN_A "aaaaaaaaaaaa"
#define RUN_B "bbbbbbbbbbbb"
#define RUN_C "cccccccccccc"
#define ADDR_A "10.201.0.1"
#define ADDR_B "10.201.0.9"
#define ADDR_C "10.201.0.17"

/* The frontend's other ends. */
extern struct link parent, audit, proxies[WORLD_PROXIES], fw;

/* --- messages --------------------------------------------------------- */

/* An answer or event without fields of its own. */
void send_plain(struct link *l, enum msg_type type, int64_t id);
void send_error(struct link *l, int64_t id, const char *code, const char *why);

/* --- the daemon ------------------------------------------------------- */

/* enforced: with a link to fw. Its first table is in force, it serves. */
void world_start(bool enforced);
/* It has said ready, no more. */
void world_spawn(bool enforced);
void world_stop(void);
/* It ends by itself: with which exit status? */
int world_status(void);
pid_t world_pid(void);

/* Rows of the table peers; lists end with NULL. */
void table_begin(int64_t generation);
void table_peer(bool group, uint32_t id, const char *const *may);
void table_runs(bool enforced);
void table_profile(const char *name);
void table_end(int64_t generation, int64_t count);
void expect_applied(int64_t generation);
/* A whole one: we may do that, these profiles exist. */
void table_load(
    int64_t generation, const char *const *may, const char *const *profiles);
extern const char *const may_all[], *const profiles_all[];

/* --- clients ---------------------------------------------------------- */

/* A new connection, hello said both ways. */
struct link *client_new(void);
/* One that says nothing yet. */
struct link *client_try(void);
void client_close(struct link *c);
void client_ask(struct link *c, enum msg_type type, int64_t id);
void ask_open(struct link *c, int64_t id, const char *run, const char *address,
    const char *profile);
void ask_close(struct link *c, int64_t id, const char *run);
void ask_sync(struct link *c, int64_t id, const char *const *runs);
void ask_run_status(struct link *c, int64_t id, const char *run);
void expect_opened(struct link *c, int64_t id, const char *run);
void
expect_closed(struct link *c, int64_t id, bool known, int64_t packets_refused);
/* closed and unknown as words with a blank between. */
void expect_synced(
    struct link *c, int64_t id, const char *closed, const char *unknown);
void expect_error(struct link *c, int64_t id, const char *code);

/* --- what the siblings see -------------------------------------------- */

void recorded(void);
void unrecorded(void);
/* The record of an opening, by us. */
void expect_rec_open(const char *run, const char *address);
/* Of a close, by us; it is acknowledged. */
void expect_rec_close(const char *run, const char *reason);
/* The request's id; *worker is told which is to listen. */
int64_t expect_bind(const char *run, const char *address, unsigned *worker);
void listening(unsigned worker, const char *run);
int64_t expect_permit(const char *run, const char *address);
int64_t expect_revoke(const char *run);
void revoked(int64_t id, int64_t packets_refused);
int64_t expect_end(unsigned worker, const char *run);
/* Sums of 1, 2, 3, 4, 5. */
void ended(unsigned worker, int64_t id);

/* The states of an opening, in order; each says how far it is to go. */
enum stage {
	STAGE_RECORD,
	STAGE_BIND,
	STAGE_PERMIT,
	STAGE_OPEN
};

/* A run on its way, and what its next answer is for. */
struct way {
	const char *run, *address;
	enum stage stage;
	unsigned worker;
	int64_t id;
};

/* Ask for it and take it to that stage; the client's request is id. */
void way_begin(struct way *w, struct link *c, int64_t id, const char *run,
    const char *address, enum stage stage);
/* One stage further: the sibling does its part. */
void way_step(struct way *w);
/* And open it; the client's answer is taken. */
void run_up(struct way *w, struct link *c, int64_t id, const char *run,
    const char *address);
/* Its siblings undo it, and it is recorded. */
void run_down(const struct way *w, const char *reason);

/*
 * No sibling has been sent anything that the test has not taken: a status is
 * asked for and answered, behind which all of it would have arrived.
 */
void quiet(void);

/* --- the program ------------------------------------------------------ */

struct world_case {
	const char *name;
	const TTest *test;
	double limit;
	int loops; /* 0: once */
};

/* main; a NULL name ends the list. Each case starts the world itself. */
int world_main(
    int argc, char **argv, const char *suite, const struct world_case *cases);

#endif
