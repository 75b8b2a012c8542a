/*
 * The parent of a daemon, from its command line to its end, as testd has it.
 * This program is testd when it is called with words.
 */

#include <sys/stat.h>
#include <sys/wait.h>

#include <check.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/fd.h"
#include "libcommon/log.h"
#include "libcommon/peer.h"
#include "libcommon/proc.h"
#include "libcommon/version.h"

#include "testd.h"

#define WAIT_MS 20000 /* for any one thing */
#define TEXT_MAX 65536

static struct event_base *loop;

/* --- the world ----------------------------------------------------------- */

static char dir[64], file[96], out[96], records[96], sock[96];
static char user[64]; /* whom testd runs as */
static char me[64];
static pid_t pid = -1;

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

/* A whole configuration; may: who may ask for status. */
static void
config(const char *word, const char *may, const char *more)
{
	char text[TESTD_CONFIG_MAX];

	snprintf(text, sizeof(text),
	    "{\"socket\": \"%s\", \"audit\": \"%s\", \"user\": \"%s\",\n"
	    "\"word\": \"%s\", \"peers\": [{\"user\": \"%s\", \"may\":"
	    " [\"status\"]}]%s}",
	    sock, records, user, word, may, more);
	write_file(file, text);
}

static const char *
text_of(const char *path)
{
	static char *text;
	size_t len;

	free(text);
	if (fd_read_path(path, TEXT_MAX, &text, &len) == -1)
		text = strdup("");
	ck_assert_ptr_nonnull(text);
	return text;
}

/* What testd said, its configuration named FILE. */
static const char *
said_of_file(void)
{
	static char text[TEXT_MAX];
	const char *from = text_of(out), *name;

	text[0] = '\0';
	for (; (name = strstr(from, file)) != NULL;
	     from = name + strlen(file)) {
		strncat(text, from, (size_t)(name - from));
		strlcat(text, "FILE", sizeof(text));
	}
	strlcat(text, from, sizeof(text));
	return text;
}

static void
set_up(void)
{
	const struct passwd *pw;

	strlcpy(dir, "/tmp/daemon_test.XXXXXX", sizeof(dir));
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/conf", dir);
	snprintf(out, sizeof(out), "%s/out", dir);
	snprintf(records, sizeof(records), "%s/records", dir);
	snprintf(sock, sizeof(sock), "%s/sock", dir);
	ck_assert_int_eq(chmod(dir, 0755), 0);
	pw = geteuid() == 0 ? getpwnam("nobody") : getpwuid(geteuid());
	ck_assert_ptr_nonnull(pw);
	strlcpy(user, pw->pw_name, sizeof(user));
	ck_assert_ptr_nonnull(pw = getpwuid(geteuid()));
	strlcpy(me, pw->pw_name, sizeof(me));
	write_file(out, "");
}

static void
tear_down(void)
{
	const char *all[] = { file, out, records, sock };
	size_t i;

	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		unlink(all[i]);
	ck_assert_int_eq(rmdir(dir), 0);
}

static void
spawn(const char *const *words)
{
	char copy[8][128], *argv[9] = { copy[0] };
	int fd, i;

	ck_assert_int_ne(pid = fork(), -1);
	if (pid != 0)
		return;
	strlcpy(copy[0], "testd", sizeof(copy[0]));
	for (i = 0; words[i] != NULL; i++) {
		strlcpy(copy[i + 1], words[i], sizeof(copy[0]));
		argv[i + 1] = copy[i + 1];
	}
	fd = open(out, O_WRONLY | O_APPEND);
	dup2(fd, 1);
	dup2(fd, 2);
	execv("/proc/self/exe", argv);
	_exit(99);
}

/* How it ended: its exit status, or -1. */
static int
ended(void)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	pid = -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
until(const char *path, const char *text)
{
	const struct timespec pause = { 0, 10000000 };
	int64_t end = clock_boot_ms() + WAIT_MS;

	while (strstr(text_of(path), text) == NULL) {
		ck_assert_msg(clock_boot_ms() < end, "in vain: %s in:\n%s",
		    text, text_of(path));
		nanosleep(&pause, NULL);
	}
}

static void
serve(void)
{
	const char *const words[] = { "-d", "-v", "-f", file, NULL };

	spawn(words);
	until(out, "serving, nobody in particular, generation 1\n");
}

static size_t
count(const char *path, const char *text)
{
	const char *p = text_of(path);
	size_t n = 0;

	for (; (p = strstr(p, text)) != NULL; p++)
		n++;
	return n;
}

/* --- a client ------------------------------------------------------------ */

static char answer[4096];

static void
on_answer(struct peer *p, struct msg *m, int fd, void *arg)
{
	char why[128], *text;
	size_t len;

	ck_assert_int_eq(msg_encode(m, &text, &len, why, sizeof(why)), 0);
	strlcpy(answer, text, sizeof(answer));
	free(text);
	event_base_loopbreak(loop);
}

static void
on_end(struct peer *p, enum peer_end end, const char *why, void *arg)
{
	snprintf(answer, sizeof(answer), "gone: %s", why);
	event_base_loopbreak(loop);
}

/* What testd answers to a request for its status. */
static const char *
ask(void)
{
	static const struct peer_ops ops = { .message = on_answer,
		.gone = on_end };
	struct msg m = { .type = MSG_TYPE_status };
	struct peer *p;
	int fd = fd_connect_unix(sock);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(fd_set_nonblock(fd), 0);
	ck_assert_ptr_nonnull(loop = event_base_new());
	p = peer_new(loop, fd, PEER_CLIENT, SIDE_CLIENT, SIDE_FRONTEND, "test",
	    "testd", &ops, NULL);
	ck_assert_ptr_nonnull(p);
	m.id = peer_next_id(p);
	ck_assert_int_eq(peer_send(p, &m), 0);
	event_base_dispatch(loop);
	peer_free(&p);
	event_base_free(loop);
	return answer;
}

/* A table is in force only once its child has it. */
static void
until_answer(const char *text)
{
	int64_t end = clock_boot_ms() + WAIT_MS;

	while (strstr(ask(), text) == NULL)
		ck_assert_msg(
		    clock_boot_ms() < end, "in vain: %s in %s", text, answer);
}

/* --- tests --------------------------------------------------------------- */

static const struct {
	const char *name, *words[6], *conf;
	int status;
	const char *says; /* FILE: the configuration's name */
} lines[] = {
	{ "version", { "-V" }, NULL, 0, "testd " BULKHEAD_VERSION "\n" },
	{ "help", { "--help" }, NULL, 0, "usage: testd [-dtvV] [-f file]\n" },
	{ "h", { "-h" }, NULL, 0, "(default /nonexistent/testd.conf)\n" },
	{ "unknown option", { "-z" }, NULL, 1, "usage: testd" },
	{ "a word", { "-t", "word" }, NULL, 1, "usage: testd" },
	{ "unknown role", { "-x", "proxy", "0", "0", "1", "1" }, NULL, 1,
	    "usage: testd" },
	{ "no role's words", { "-x", "audit" }, NULL, 1, "usage: testd" },
	{ "unknown sandbox", { "-x", "selftest", "bed" }, NULL, 1,
	    "usage: testd" },
	{ "no file", { "-t" }, NULL, 1,
	    "testd: /nonexistent/testd.conf: No such file or directory\n" },
	{ "no file of that name", { "-tf", "none" }, NULL, 1,
	    "testd: none: No such file or directory\n" },
	{ "no regular file", { "-tf", "/dev" }, NULL, 1,
	    "testd: /dev: not a regular file\n" },
	{ "good", { "-tf", file }, "{\"word\": \"yes\"}", 0, "FILE: ok\n" },
	{ "bad", { "-tf", file }, "{\n\"wort\": \"yes\"}", 1,
	    "FILE:2: wort: unknown key; allowed: socket, audit, user, word, hup,"
	    " peers\n" },
	{ "bad and not tested", { "-df", file }, "{\"word\": 1}", 1,
	    "FILE:1: word: is an integer; allowed: a string of 1 to 200"
	    " bytes\n" },
	{ "checked", { "-tf", file }, "{\"word\": \"taboo\"}", 1,
	    "testd: FILE: a word that is not said\n" },
};

START_TEST(test_lines)
{
	const char *said;

	if (lines[_i].conf != NULL)
		write_file(file, lines[_i].conf);
	spawn(lines[_i].words);
	ck_assert_msg(ended() == lines[_i].status, "%s", lines[_i].name);
	said = said_of_file();
	ck_assert_msg(strstr(said, lines[_i].says) != NULL, "%s: said\n%s",
	    lines[_i].name, said);
}
END_TEST

START_TEST(test_large)
{
	const char *const words[] = { "-tf", file, NULL };
	char text[TESTD_CONFIG_MAX + 2], says[160];

	memset(text, ' ', sizeof(text) - 1);
	memcpy(text, "{\"word\":\"yes\"}", 14);
	text[TESTD_CONFIG_MAX] = '\0';
	write_file(file, text);
	spawn(words);
	ck_assert_int_eq(ended(), 0);
	text[TESTD_CONFIG_MAX] = '\n';
	text[TESTD_CONFIG_MAX + 1] = '\0';
	write_file(file, text);
	spawn(words);
	ck_assert_int_eq(ended(), EXIT_CONFIG);
	snprintf(
	    says, sizeof(says), "testd: %s: larger than 4096 bytes\n", file);
	ck_assert_ptr_nonnull(strstr(text_of(out), says));
}
END_TEST

/* The records, and what status shows, from start to stop. */
START_TEST(test_life)
{
	config("yes", me, "");
	serve();
	ck_assert_ptr_nonnull(strstr(ask(), "\"word\":\"yes\""));
	ck_assert_ptr_nonnull(strstr(ask(), "\"generation\":\"1\""));
	ck_assert_ptr_nonnull(strstr(ask(), "\"sandbox frontend\":\"seccomp"));
	kill(pid, SIGTERM);
	ck_assert_int_eq(ended(), 0);
	ck_assert_uint_eq(count(records, "\n"), 2);
	ck_assert_uint_eq(count(records, "\"type\":\"start\""), 1);
	ck_assert_uint_eq(count(records, "\"type\":\"stop\""), 1);
	ck_assert_uint_eq(
	    count(out, "testd["), count(out, "\n") - count(out, "testd/"));
}
END_TEST

START_TEST(test_reload)
{
	config("yes", me, "");
	serve();
	/* Nothing but the peers. */
	config("yes", geteuid() == 0 ? "nobody" : "root", "");
	kill(pid, SIGHUP);
	until(out, "reloaded, generation 2\n");
	until_answer("\"refused\"");
	until(records, "\"generation\":2,\"applied\":true");
	config("yes", me, "");
	kill(pid, SIGHUP);
	until(out, "reloaded, generation 3\n");
	until_answer("\"generation\":\"3\"");
}
END_TEST

/* What is wrong, and what only a new start can change. */
START_TEST(test_reload_refused)
{
	char was[96];

	config("yes", me, "");
	serve();
	config("no", me, "");
	kill(pid, SIGHUP);
	until(out,
	    "reload refused, generation 1 stays: word: cannot change while "
	    "running; start testd anew\n");
	strlcpy(was, sock, sizeof(was));
	strlcat(sock, ".new", sizeof(sock));
	config("yes", me, "");
	strlcpy(sock, was, sizeof(sock));
	kill(pid, SIGHUP);
	until(records, "socket: cannot change while running");
	strlcpy(was, user, sizeof(was));
	strlcpy(user, "daemon", sizeof(user));
	config("yes", me, "");
	strlcpy(user, was, sizeof(user));
	kill(pid, SIGHUP);
	until(records, "users: cannot change while running");
	config("taboo", me, "");
	kill(pid, SIGHUP);
	until(records, "a word that is not said");
	write_file(file, "{\"word\": 1}");
	kill(pid, SIGHUP);
	until(records, "word: is an integer");
	ck_assert_uint_eq(count(records, "\"applied\":false"), 5);
	ck_assert_ptr_nonnull(strstr(ask(), "\"generation\":\"1\""));
}
END_TEST

/* One that comes before the start is recorded is not lost. */
START_TEST(test_reload_early)
{
	config("yes", me, ", \"hup\": true");
	serve();
	until(out, "reloaded, generation 2\n");
	ck_assert_uint_eq(count(records, "\"type\":\"reload\""), 1);
}
END_TEST

/* What each child means to the whole. */
START_TEST(test_child_killed)
{
	char path[64];
	long child;

	config("yes", me, "");
	serve();
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid,
	    (int)pid);
	/* Audit is the first. */
	child = strtol(text_of(path), NULL, 10);
	ck_assert_int_gt(child, 1);
	kill((pid_t)child, SIGKILL);
	ck_assert_int_eq(ended(), EXIT_INTERNAL);
	ck_assert_ptr_nonnull(strstr(
	    text_of(out), "audit killed by signal 9 (Killed): leaving\n"));
	ck_assert_uint_eq(count(records, "\"type\":\"stop\""), 0);
}
END_TEST

START_TEST(test_no_user)
{
	const char *const words[] = { "-d", "-f", file, NULL };

	if (geteuid() != 0)
		return;
	strlcpy(user, "no-such.user", sizeof(user));
	config("yes", me, "");
	spawn(words);
	ck_assert_int_eq(ended(), EXIT_CONFIG);
	ck_assert_str_eq(text_of(out),
	    "testd: users are missing; make them with:\n"
	    "useradd --system --user-group --no-create-home --home-dir "
	    "/nonexistent --shell /usr/sbin/nologin no-such.user\n");
}
END_TEST

/* A socket of the service manager's is taken, and no other made. */
START_TEST(test_given)
{
	char env[16];
	struct stat was, is;
	int fd;

	config("yes", me, "");
	fd = fd_listen_unix(sock, 8);
	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(stat(sock, &was), 0);
	ck_assert_int_ne(pid = fork(), -1);
	if (pid == 0) {
		snprintf(env, sizeof(env), "%d", (int)getpid());
		setenv("LISTEN_PID", env, 1);
		setenv("LISTEN_FDS", "1", 1);
		dup2(open(out, O_WRONLY | O_APPEND), 2);
		/* The first of them is 3, and stays open over exec. */
		dup2(fd, 3);
		fcntl(3, F_SETFD, 0);
		execl("/proc/self/exe", "testd", "-d", "-v", "-f", file,
		    (char *)NULL);
		_exit(99);
	}
	close(fd);
	until(out, "generation 1\n");
	ck_assert_int_eq(stat(sock, &is), 0);
	ck_assert_uint_eq(was.st_ino, is.st_ino);
	ck_assert_ptr_nonnull(strstr(ask(), "\"word\":\"yes\""));
}
END_TEST

int
main(int argc, char **argv)
{
	Suite *s;
	TCase *tc;
	SRunner *sr;
	int failed;

	if (argc > 1)
		return testd_main(argc, argv);
	s = suite_create("daemon");
	tc = tcase_create("parent");
	log_init("daemon_test", 1, 0);
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(
	    tc, test_lines, 0, sizeof(lines) / sizeof(lines[0]));
	tcase_add_test(tc, test_large);
	tcase_add_test(tc, test_life);
	tcase_add_test(tc, test_reload);
	tcase_add_test(tc, test_reload_refused);
	tcase_add_test(tc, test_reload_early);
	tcase_add_test(tc, test_child_killed);
	tcase_add_test(tc, test_no_user);
	tcase_add_test(tc, test_given);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
