/* The door of a run, at which whatever is in its container may knock. */

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libcommon/fd.h"

#include "runs_world.h"

#define KNOCKS 200
#define SHOWN_OUT_MS 10000 /* each, at most */
#define BUSY_MS 1000 /* so long its processor time is looked at, */
#define BUSY_MAX_MS 50 /* of which it has not used so much */

static char logged[64];
static int stderr_was = -1;

/* --- what it logs ------------------------------------------------------- */

static void
capture(void)
{
	int fd;

	strlcpy(logged, "/tmp/runs_door.XXXXXX", sizeof(logged));
	ck_assert_int_ne(fd = mkstemp(logged), -1);
	close(fd);
	ck_assert_int_ne(fd = open(logged, O_WRONLY | O_APPEND), -1);
	ck_assert_int_ne(stderr_was = dup(STDERR_FILENO), -1);
	ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	close(fd);
}

static void
uncapture(void)
{
	(void)dup2(stderr_was, STDERR_FILENO);
	close(stderr_was);
	unlink(logged);
}

/* How many lines have this in them. */
static size_t
lines(const char *text)
{
	char line[2048];
	FILE *f = fopen(logged, "r");
	size_t n = 0;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL)
		n += strstr(line, text) != NULL;
	fclose(f);
	return n;
}

/* --- descriptors -------------------------------------------------------- */

/* In a process that is as runs is: another may not, whoever it is. */
static void
limit_as_it(rlim_t n)
{
	struct rlimit rl;
	struct stat st;

	if (fstat(dirfd, &st) == -1 ||
	    setresgid(st.st_gid, st.st_gid, st.st_gid) == -1 ||
	    setresuid(st.st_uid, st.st_uid, st.st_uid) == -1 ||
	    prlimit(pid, RLIMIT_NOFILE, NULL, &rl) == -1)
		_exit(1);
	rl.rlim_cur = n < rl.rlim_max ? n : rl.rlim_max;
	_exit(prlimit(pid, RLIMIT_NOFILE, &rl, NULL) == -1);
}

/* So many descriptors it may have from here on. */
static void
limit(rlim_t n)
{
	pid_t child = fork();
	int status;

	ck_assert_int_ne(child, -1);
	if (child == 0)
		limit_as_it(n);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}

/* --- tests -------------------------------------------------------------- */

/* A tool that knocks without end is one line, and another at the end. */
START_TEST(test_strangers)
{
	struct pollfd pfd = { .events = POLLIN };
	char byte;
	int i, fd;

	door();
	start(1, 0);
	expect_pid(getppid());
	peer_flush(queue.p);
	for (i = 0; i < KNOCKS; i++) {
		ck_assert_int_ne(fd = fd_connect_unix(path), -1);
		/* In turn: behind this one all before it were shown out. */
		pfd.fd = fd;
		ck_assert_int_eq(poll(&pfd, 1, SHOWN_OUT_MS), 1);
		ck_assert_int_eq(read(fd, &byte, 1), 0);
		close(fd);
	}
	ck_assert_uint_eq(lines("which is not PID 1"), 1);
	closed(false);
	UNTIL(lines("200 at its door were not PID 1") == 1);
	ck_assert_uint_eq(lines("at its door"), 2);
}
END_TEST

/* So is PID 1 itself, when it is somebody else's by now. */
START_TEST(test_lines)
{
	size_t i;

	door();
	start(1, 0);
	expect_pid(getpid());
	for (i = 0; i < RUNS_LINES_MAX + 36; i++) {
		connects("elsewhere", 0);
		UNTIL(agent.gone);
	}
	UNTIL(queue.count[MSG_TYPE_job_link] == i);
	ck_assert_uint_eq(lines("in no phase"), RUNS_LINES_MAX);
	closed(false);
	UNTIL(lines("36 more lines about it were not logged") == 1);
}
END_TEST

static int64_t
busy_ms(clockid_t id)
{
	struct timespec ts;

	ck_assert_int_eq(clock_gettime(id, &ts), 0);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/*
 * Without a descriptor for who knocks it waits, and does not turn; what is
 * linked goes on. Later the door is open again.
 */
START_TEST(test_no_descriptor)
{
	int64_t busy, until;
	clockid_t id;
	int fd;

	run_begins(1, 0);
	limit(3);
	ck_assert_int_ne(fd = fd_connect_unix(path), -1);
	UNTIL(lines("its door pauses") == 1);
	ck_assert_int_eq(clock_getcpuclockid(pid, &id), 0);
	busy = busy_ms(id);
	until = clock_boot_ms() + BUSY_MS;
	while (clock_boot_ms() < until)
		turn(10);
	ck_assert_int_lt(busy_ms(id) - busy, BUSY_MAX_MS);
	prints(0, 1000);
	UNTIL(queue.count[MSG_TYPE_job_output] > 0);
	ck_assert(!agent.gone);
	ck_assert_uint_eq(lines("its door pauses"), 1);
	limit(RUNS_NOFILE);
	/* It is PID 1 who waits there: its new link takes the old one's place.
	 */
	UNTIL(agent.gone);
	close(fd);
}
END_TEST

int
world_tests(void)
{
	Suite *s = suite_create("runs_door");
	TCase *tc = tcase_create("door");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, capture, uncapture);
	tcase_add_checked_fixture(tc, world_start, world_stop);
	tcase_add_test(tc, test_strangers);
	tcase_add_test(tc, test_lines);
	tcase_add_test(tc, test_no_descriptor);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
