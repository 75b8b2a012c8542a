#ifndef LIBCOMMON_SANDBOX_LINUX_H
#define LIBCOMMON_SANDBOX_LINUX_H

/* What the files of the Linux sandbox share. */

#include <stddef.h>
#include <stdint.h>

#include <seccomp.h>

#include "sandbox.h"

#define SANDBOX_RULE_ARGS 4
#define SANDBOX_TABLES_MAX 8 /* rule tables of one purpose */

/* Flags of a rule. */
#define RULE_OLD_ARCH 0x1 /* x86-64 has it, aarch64 never had */
#define RULE_NOT_FD0 0x2 /* argument 0 is not descriptor 0 */
#define RULE_OWN_PID 0x4 /* argument 0 is our own pid */

/*
 * One row: this call, if all its argument checks hold, gets this action; a
 * call that no row matches kills the process. Rows of one name must not
 * overlap unless their action is the same: an unconditional row would
 * swallow the others.
 */
struct sandbox_rule {
	const char *name;
	uint32_t action;
	unsigned flags;
	unsigned nargs;
	struct scmp_arg_cmp args[SANDBOX_RULE_ARGS];
};

struct sandbox_table {
	const struct sandbox_rule *rules;
	size_t n;
};

/* sandbox_linux_rules.c: the tables of a purpose; returns how many. */
size_t sandbox_rules(enum sandbox_purpose purpose,
    struct sandbox_table tables[SANDBOX_TABLES_MAX]);

/*
 * sandbox_linux_seccomp.c: load the filter of a purpose. Returns 1, 0 when
 * the kernel has no seccomp filters, or -1 with errno.
 */
int sandbox_seccomp(enum sandbox_purpose purpose);

/*
 * sandbox_linux_landlock.c: the newest ABI of this kernel; -1 with errno ENOSYS
 * when it has none, EOPNOTSUPP when it was booted without.
 */
int sandbox_landlock_abi(void);
/*
 * sandbox_linux_landlock.c: restrict ourselves. Returns the ABI in force, 0
 * when the kernel has no Landlock, or -1 with errno.
 */
int sandbox_landlock(
    enum sandbox_purpose purpose, const struct sandbox_paths *paths);

#endif
