#ifndef AGENT_CLI_CMD_H
#define AGENT_CLI_CMD_H

/* What the files of agent-cli share, grouped by the file that defines it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/frame.h"
#include "libcommon/msg.h"

/* INTERFACE: exit status. */
#define EXIT_OK 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define EXIT_UNREACHABLE 3
#define EXIT_REFUSED 4

/* What the options that every command takes have set. */
struct cli {
	const char *run_dir;
	bool json;
};

/*
 * One command, one file, one row. run gets the operands behind the command's
 * name; it returns the exit status, or -1 for usage.
 */
struct cmd {
	const char *name;
	const char *operands; /* for usage */
	const char *help; /* what it does, in sentences */
	int (*run)(const struct cli *cli, int argc, char **argv);
};

/* --- main.c ----------------------------------------------------------- */

/* A line on stderr, "agent-cli: ...". Outside text must be escaped. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Outside text made safe for a terminal; malloc'd. Exits when out of memory. */
char *visible(const void *text, size_t len);

/* --- cmd_*.c ---------------------------------------------------------- */

int cmd_audit(const struct cli *cli, int argc, char **argv);
int cmd_status(const struct cli *cli, int argc, char **argv);

/* --- daemon.c: a client's link to a daemon, blocking, with a deadline --- */

#define DAEMON_WHY_MAX 768

struct daemon_link {
	const char *name;
	int fd; /* -1: not open */
	int64_t deadline_ms; /* on the boot clock, for all of it */
	uint8_t *in;
	size_t len;
	char why[DAEMON_WHY_MAX]; /* escaped, for a person */
};

/*
 * Connect to RUN_DIR/NAME.sock and exchange hello. Returns 0, or an exit
 * status (EXIT_UNREACHABLE, EXIT_REFUSED) with the link's why set. Close it
 * either way.
 */
int daemon_open(struct daemon_link *l, const char *run_dir, const char *name,
    int64_t timeout_ms);
/*
 * Send a request and wait for its answer, owned by the caller (msg_free).
 * Returns as daemon_open does.
 */
int daemon_call(struct daemon_link *l, struct msg *request, struct msg *answer);
void daemon_close(struct daemon_link *l);

#endif
