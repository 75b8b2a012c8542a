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

#define OPTIONS_MAX 16 /* on one command line, of the command's own */

/* What the options have set: those of every command, and the command's own. */
struct cli {
	const char *run_dir;
	bool json;
	struct {
		const char *name, *value;
	} own[OPTIONS_MAX];
	size_t nown;
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

/* --- options.c: options that a command has of its own ------------------ */

/*
 * Look at argv[*i]; an option's own word behind it is taken too. Returns 1
 * when it was one of that command's, 0 when it was not, -1 after a complaint.
 */
int option_own(struct cli *cli, const char *command, char **argv, int *i);
/* The value of an option ("" where it takes none); NULL: it was not given. */
const char *option_value(const struct cli *cli, const char *name);
/*
 * A time as people write it: seconds, or a number with ms, s, m or h. Returns
 * 0, or -1 when it is none, or not above 0.
 */
int option_duration(const char *text, int64_t *ms);
/*
 * The run that the one operand names. Returns NULL when there is not one
 * operand, or after a complaint that it is no run's id.
 */
const char *option_run(int argc, char **argv);

/* --- cmd_*.c ---------------------------------------------------------- */

int cmd_audit(const struct cli *cli, int argc, char **argv);
int cmd_entrypoint(const struct cli *cli, int argc, char **argv);
int cmd_doctor(const struct cli *cli, int argc, char **argv);
int cmd_logs(const struct cli *cli, int argc, char **argv);
int cmd_ps(const struct cli *cli, int argc, char **argv);
int cmd_rm(const struct cli *cli, int argc, char **argv);
int cmd_run(const struct cli *cli, int argc, char **argv);
int cmd_show(const struct cli *cli, int argc, char **argv);
int cmd_status(const struct cli *cli, int argc, char **argv);
int cmd_stop(const struct cli *cli, int argc, char **argv);
int cmd_wait(const struct cli *cli, int argc, char **argv);

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
/* The same, where events of the request come before its answer. */
int daemon_call_rows(struct daemon_link *l, struct msg *request,
    void (*row)(const struct msg *m, void *arg), void *arg, struct msg *answer);
/*
 * Open a link to dispatchd, ask one thing, close it. Complains, and returns
 * an exit status; 0: the answer is the caller's to free.
 */
int daemon_ask(const struct cli *cli, struct msg *request, struct msg *answer);
/* Say why a link's last step was not carried out; returns r. */
int daemon_complain(const struct daemon_link *l, int r);
void daemon_close(struct daemon_link *l);

#endif
