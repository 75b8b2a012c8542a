#ifndef LIBCOMMON_SANDBOX_LINUX_SELFTEST_H
#define LIBCOMMON_SANDBOX_LINUX_SELFTEST_H

#include <stddef.h>

/* What a process would hold when it enters, made anew for each selftest. */
struct selftest_fds {
	int tcp; /* a TCP socket, neither bound nor connected */
	int tcp_listen; /* on loopback */
	int tcp_port;
	int tcp_client; /* connected to tcp_listen */
	int unix_listen;
	int unix_client; /* connected to unix_listen */
	int unix_file; /* a listener whose name is a file, */
	char unix_dir[32]; /* "sock" in this directory, */
	int dir; /* which this is, open */
	int file; /* open for appending and reading */
	int link[2]; /* a socketpair */
	int netlink; /* to the kernel, connected */
};

#define SELFTEST_PURPOSE(p) (1U << (p))
#define SELFTEST_EVERY (SELFTEST_PURPOSE(SANDBOX_PURPOSES) - 1)

/*
 * One thing to do inside, in a process of its own: 0 when it could be done,
 * or -1 with errno.
 */
struct selftest_act {
	const char *name;
	unsigned purposes;
	int (*act)(const struct selftest_fds *);
};

/* sandbox_linux_attempts.c: what these purposes must not be able to do. */
size_t sandbox_selftest_attempts(const struct selftest_act **list);
/* sandbox_linux_needs.c: what they are for, and must be able to do. */
size_t sandbox_selftest_needs(const struct selftest_act **list);
int sandbox_selftest_open(struct selftest_fds *f); /* 0, -1 and errno */
void sandbox_selftest_close(struct selftest_fds *f);

#endif
