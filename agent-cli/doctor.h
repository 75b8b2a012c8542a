#ifndef AGENT_CLI_DOCTOR_H
#define AGENT_CLI_DOCTOR_H

/* What doctor finds; nothing is changed by any of it. */

#include "cmd.h"

enum finding {
	FINDING_OK,
	FINDING_WARN,
	FINDING_FAIL
};

/* --- cmd_doctor.c ------------------------------------------------------- */

/*
 * Print one: what was looked at, and a detail, which may hold outside text.
 * fix is what mends it, NULL where nothing is to be mended.
 */
void doctor_say(enum finding f, const char *what, const char *fix,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* --- doctor_daemon.c ---------------------------------------------------- */

/* Is it there, does it answer, is it of our version, does it lack something? */
void doctor_daemon(const struct cli *cli, const char *name);

/* --- doctor_{linux,darwin}.c -------------------------------------------- */

/* What the kernel has and how it is set. */
void doctor_system(void);

/* --- doctor_host.c ------------------------------------------------------ */

/* The container engine's socket, and the users of the daemons. */
void doctor_host(void);

#endif
