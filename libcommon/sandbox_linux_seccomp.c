#include <sys/prctl.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/sandbox_linux.h"

#define INT_BITS 32 /* of a descriptor, as the kernel reads it */

static int
add(scmp_filter_ctx ctx, const struct sandbox_rule *rule, int nr,
    const struct scmp_arg_cmp *args, unsigned nargs)
{
	return seccomp_rule_add_array(ctx, rule->action, nr, nargs, args);
}

/*
 * "Not descriptor 0": the kernel looks at the low half of the argument only,
 * and the library compares for inequality all of it, so a value with a high
 * bit would slip through. One row a bit of the low half says it exactly.
 */
static int
add_not_fd0(scmp_filter_ctx ctx, const struct sandbox_rule *rule, int nr)
{
	struct scmp_arg_cmp args[SANDBOX_RULE_ARGS];
	unsigned bit;
	int r;

	memcpy(args, rule->args, sizeof(args));
	for (bit = 0; bit < INT_BITS; bit++) {
		args[rule->nargs].arg = 0;
		args[rule->nargs].op = SCMP_CMP_MASKED_EQ;
		args[rule->nargs].datum_a = 1ULL << bit;
		args[rule->nargs].datum_b = 1ULL << bit;
		if ((r = add(ctx, rule, nr, args, rule->nargs + 1)) != 0)
			return r;
	}
	return 0;
}

static int
add_own_pid(scmp_filter_ctx ctx, const struct sandbox_rule *rule, int nr)
{
	struct scmp_arg_cmp args[SANDBOX_RULE_ARGS];

	memcpy(args, rule->args, sizeof(args));
	args[rule->nargs].arg = 0;
	args[rule->nargs].op = SCMP_CMP_MASKED_EQ;
	args[rule->nargs].datum_a = 0xffffffffU;
	args[rule->nargs].datum_b = (scmp_datum_t)getpid();
	return add(ctx, rule, nr, args, rule->nargs + 1);
}

/*
 * A name that the library does not know, or that this machine lacks although
 * the table does not say so, is our error: the filter would not be the one
 * that was written.
 */
static int
add_rule(scmp_filter_ctx ctx, const struct sandbox_rule *rule)
{
	int nr;

	nr = seccomp_syscall_resolve_name(rule->name);
	if (nr < 0 && nr != __NR_SCMP_ERROR && rule->flags & RULE_OLD_ARCH)
		return 0;
	if (nr < 0)
		return -EINVAL;
	if (rule->flags & RULE_NOT_FD0)
		return add_not_fd0(ctx, rule, nr);
	if (rule->flags & RULE_OWN_PID)
		return add_own_pid(ctx, rule, nr);
	return add(ctx, rule, nr, rule->args, rule->nargs);
}

static int
add_tables(scmp_filter_ctx ctx, enum sandbox_purpose purpose)
{
	struct sandbox_table tables[SANDBOX_TABLES_MAX];
	size_t i, j, n;
	int r;

	n = sandbox_rules(purpose, tables);
	for (i = 0; i < n; i++) {
		for (j = 0; j < tables[i].n; j++) {
			if ((r = add_rule(ctx, &tables[i].rules[j])) != 0)
				return r;
		}
	}
	return 0;
}

/*
 * The library's filter refuses other architectures, and on x86-64 the x32
 * numbers, by its bad-architecture action.
 */
static int
set_attributes(scmp_filter_ctx ctx)
{
	int r;

	if ((r = seccomp_attr_set(
	         ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS)) != 0)
		return r;
	if ((r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 1)) != 0)
		return r;
	return seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
}

int
sandbox_seccomp(enum sandbox_purpose purpose)
{
	scmp_filter_ctx ctx;
	int r;

	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == -1 && errno == EINVAL)
		return 0;
	if ((ctx = seccomp_init(SCMP_ACT_KILL_PROCESS)) == NULL) {
		errno = ENOMEM;
		return -1;
	}
	if ((r = set_attributes(ctx)) == 0 &&
	    (r = add_tables(ctx, purpose)) == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	if (r == 0)
		return 1;
	errno = -r;
	return -1;
}
