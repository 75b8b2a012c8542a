/*
 * What the children of PID 1 may not ask of the kernel. Each attempt is made
 * by a process of its own, since no filter is ever taken off again. Root is
 * let by the kernel in all of it, so that what is refused, the filter refused.
 */

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent-cli/entrypoint_child.h"

extern char **environ;

/* Status of attempt behind a filter, which tells by which line it failed. */
static int
behind(int (*filter)(void), int (*attempt)(void))
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
		    (filter != NULL && filter() == -1))
			_exit(99);
		_exit(attempt());
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

/* --- limits of PID 1 ----------------------------------------------------- */

static long
limits_of(long number, unsigned long pid)
{
	static struct rlimit rl;

	errno = 0;
	return syscall(number, pid, RLIMIT_NOFILE, NULL, &rl);
}

static int
of_pid1(void)
{
	return limits_of(SYS_prlimit64, 1) == -1 && errno == EPERM ? 0 : 1;
}

/* The kernel does not look at the upper half. */
static int
of_pid1_padded(void)
{
	unsigned long pid = 1;

	pid |= 0xffffffffUL << 16 << 16;
	return limits_of(SYS_prlimit64, pid) == -1 && errno == EPERM ? 0 : 1;
}

static int
of_others(void)
{
	pid_t parent = getppid();

	if (limits_of(SYS_prlimit64, 0) != 0 ||
	    limits_of(SYS_prlimit64, (unsigned long)getpid()) != 0)
		return 1;
	return limits_of(SYS_prlimit64, (unsigned long)parent) != 0 ? 2 : 0;
}

static int
of_itself_in_libc(void)
{
	struct rlimit rl = { .rlim_cur = 64, .rlim_max = 64 };

	return setrlimit(RLIMIT_NOFILE, &rl) == 0 &&
	        getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur == 64
	    ? 0
	    : 1;
}

#ifdef __x86_64__
static int
of_pid1_x32(void)
{
	return limits_of(0x40000000 | SYS_prlimit64, 1) == -1 && errno == EPERM
	    ? 0
	    : 1;
}

static int
int80(int number, int first)
{
	int r;

	__asm__ volatile(
	    "int $0x80"
	    : "=a"(r)
	    : "a"(number), "b"(first), "c"(RLIMIT_NOFILE), "d"(0), "S"(0)
	    : "memory", "r8", "r9", "r10", "r11");
	return r;
}

/* 98 is a kernel without that table. */
static int
of_pid1_i386(void)
{
	return int80(340, 1) == -EPERM ? 0 : 1;
}

static int
of_itself_i386(void)
{
	return int80(340, 0) == 0 ? 0 : 1;
}

static int
fork_i386(void)
{
	int r = int80(2, 0);

	if (r == 0)
		_exit(0);
	return r == -EPERM ? 0 : 1;
}
#endif

START_TEST(limits)
{
	/* Without the filter each of them would be let. */
	ck_assert_int_eq(behind(NULL, of_pid1), 1);
	ck_assert_int_eq(behind(NULL, of_pid1_padded), 1);
	ck_assert_int_eq(behind(system_limit_tool, of_pid1), 0);
	ck_assert_int_eq(behind(system_limit_tool, of_pid1_padded), 0);
	ck_assert_int_eq(behind(system_limit_tool, of_others), 0);
	ck_assert_int_eq(behind(system_limit_tool, of_itself_in_libc), 0);
}
END_TEST

/* --- ways that no packet rule sees ---------------------------------------- */

static int
vsock(void)
{
	return socket(AF_VSOCK, SOCK_STREAM, 0) == -1 && errno == EAFNOSUPPORT
	    ? 0
	    : 1;
}

static int
ring(void)
{
	static char params[256];

	return syscall(SYS_io_uring_setup, 8, params) == -1 && errno == ENOSYS
	    ? 0
	    : 1;
}

static int
other_sockets(void)
{
	static const int families[] = { AF_UNIX, AF_INET, AF_INET6,
		AF_NETLINK };
	size_t i;

	for (i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		if (socket(families[i], SOCK_DGRAM, 0) == -1)
			return (int)i + 1;
	}
	return 0;
}

#ifdef __x86_64__
static int
vsock_i386(void)
{
	return int80(359, AF_VSOCK) == -EAFNOSUPPORT ? 0 : 1;
}

static int
socketcall_i386(void)
{
	return int80(102, 1) == -ENOSYS ? 0 : 1;
}

static int
ring_i386(void)
{
	return int80(425, 8) == -ENOSYS ? 0 : 1;
}
#endif

START_TEST(ways)
{
	ck_assert_int_eq(behind(system_limit_tool, ring), 0);
	ck_assert_int_eq(behind(system_limit_tool, vsock), 0);
	ck_assert_int_eq(behind(system_limit_tool, other_sockets), 0);
}
END_TEST

/* --- processes ------------------------------------------------------------ */

static int
forks(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid == -1 && errno == EPERM ? 0 : 1;
}

static int
spawns(void)
{
	char sh[] = "sh";
	char *argv[] = { sh, NULL };
	pid_t pid;

	return posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) == EPERM
	    ? 0
	    : 1;
}

static void *
thread(void *arg)
{
	return arg;
}

static int
threads(void)
{
	pthread_t t;
	void *got = NULL;
	int here;

	return pthread_create(&t, NULL, thread, &here) == 0 &&
	        pthread_join(t, &got) == 0 && got == &here
	    ? 0
	    : 1;
}

static int
becomes_another(void)
{
	(void)execl("/bin/sh", "sh", "-c", "exit 7", NULL);
	return 1;
}

/* What it becomes has the filter as well. */
static int
becomes_one_that_forks(void)
{
	(void)execl("/bin/sh", "sh", "-c", "(true); exit 7", NULL);
	return 1;
}

START_TEST(processes)
{
	ck_assert_int_eq(behind(NULL, forks), 1);
	ck_assert_int_eq(behind(system_alone, forks), 0);
	ck_assert_int_eq(behind(system_alone, spawns), 0);
	ck_assert_int_eq(behind(system_alone, threads), 0);
	ck_assert_int_eq(behind(system_alone, becomes_another), 7);
	ck_assert_int_eq(behind(NULL, becomes_one_that_forks), 7);
	ck_assert_int_ne(behind(system_alone, becomes_one_that_forks), 7);
}
END_TEST

/* --- the other tables of the machine -------------------------------------- */

START_TEST(other_tables)
{
#ifdef __x86_64__
	ck_assert_int_eq(behind(system_limit_tool, of_pid1_x32), 0);
	if (behind(NULL, of_itself_i386) == 98)
		return;
	ck_assert_int_eq(behind(NULL, of_pid1_i386), 1);
	ck_assert_int_eq(behind(system_limit_tool, of_pid1_i386), 0);
	ck_assert_int_eq(behind(system_limit_tool, of_itself_i386), 0);
	ck_assert_int_eq(behind(system_alone, fork_i386), 0);
	ck_assert_int_eq(behind(system_limit_tool, vsock_i386), 0);
	ck_assert_int_eq(behind(system_limit_tool, socketcall_i386), 0);
	ck_assert_int_eq(behind(system_limit_tool, ring_i386), 0);
#endif
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("entrypoint_filter");
	TCase *t = tcase_create("filter");
	SRunner *r;
	int failed;

	if (geteuid() != 0) {
		(void)printf("skipped: only root is let otherwise\n");
		return 77;
	}
	tcase_add_test(t, limits);
	tcase_add_test(t, ways);
	tcase_add_test(t, processes);
	tcase_add_test(t, other_tables);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
