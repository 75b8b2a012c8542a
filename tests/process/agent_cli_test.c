/*
 * agent-cli as a program: what it prints and how it exits, against a daemon
 * that says what the test wants.
 */

#include <sys/types.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "libcommon/audit.h"
#include "libcommon/clock.h"
#include "libcommon/frame.h"
#include "libcommon/msg.h"
#include "libcommon/version.h"
#include "tests/words.h"

#define CLI BINARY_DIR "/agent-cli/agent-cli"
#define OUT_MAX 65536

static char dir[64];
static char out[OUT_MAX], err[OUT_MAX];

static char *
in_dir(const char *name)
{
	static char path[4][128];
	static unsigned n;
	char *p = path[n++ % 4];

	(void)snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static void
read_back(const char *name, char buf[OUT_MAX])
{
	int fd = open(in_dir(name), O_RDONLY);
	ssize_t n;

	ck_assert_int_ne(fd, -1);
	n = read(fd, buf, OUT_MAX - 1);
	ck_assert_int_ge(n, 0);
	buf[n] = '\0';
	(void)close(fd);
}

/*
 * Run it by the shell's words; fills out and err and returns the exit status.
 * $D is the directory, $CLI the program.
 */
static int
run(const char *words)
{
	char line[1024];
	int status;

	(void)snprintf(
	    line, sizeof(line), "cd %s; ( %s ) >out 2>err", dir, words);
	(void)setenv("CLI", CLI, 1);
	(void)setenv("D", dir, 1);
	status = words_shell(line);
	read_back("out", out);
	read_back("err", err);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
set_up(void)
{
	(void)strlcpy(dir, "/tmp/agent_cli_test.XXXXXX", sizeof(dir));
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)unsetenv("BULKHEAD_RUN_DIR");
}

static void
tear_down(void)
{
	const char *const names[] = { "out", "err", "good", "bad", "torn",
		"egressd.sock", "esc\x1b[31m" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)unlink(in_dir(names[i]));
	(void)rmdir(dir);
}

/* --- usage ------------------------------------------------------------ */

START_TEST(usage)
{
	static const struct {
		const char *words;
		int want;
		const char *out, *err; /* within; "" for nothing at all */
	} rows[] = {
		{ "$CLI", 2, "", "usage: agent-cli" },
		{ "$CLI --help", 0, "audit verify FILE...", "" },
		{ "$CLI -h", 0, "status [DAEMON...]", "" },
		{ "$CLI --version", 0, "agent-cli " BULKHEAD_VERSION "\n", "" },
		{ "$CLI -V", 0, "agent-cli ", "" },
		{ "$CLI status --help", 0, "usage: agent-cli", "" },
		{ "$CLI audit --help", 0, "audit verify FILE...", "" },
		{ "$CLI frobnicate", 2, "", "unknown command frobnicate" },
		{ "$CLI \"$(printf 'x\\033[31m')\"", 2, "",
		    "unknown command x\\x1b[31m" },
		{ "$CLI shell x", 2, "", "shell: not in this version" },
		{ "$CLI publish --json", 2, "",
		    "publish: not in this version" },
		{ "$CLI --frob status", 2, "", "unknown option --frob" },
		{ "$CLI status --frob", 2, "", "unknown option --frob" },
		{ "$CLI --run-dir", 2, "", "--run-dir needs" },
		{ "$CLI --run-dir= status", 2, "", "--run-dir needs" },
		{ "$CLI audit", 2, "", "usage: agent-cli" },
		{ "$CLI audit verify", 2, "", "usage: agent-cli" },
		{ "$CLI audit frob x", 2, "", "usage: agent-cli" },
		{ "$CLI status brokerd", 2, "", "brokerd: not in this" },
		{ "$CLI status frobd", 2, "", "no daemon frobd" },
		{ "$CLI --help >/dev/full", 1, "", "No space left" },
		{ "$CLI --version | true; $CLI --version | :", 0, "", NULL },
	};
	size_t i;
	int r;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		r = run(rows[i].words);
		ck_assert_msg(r == rows[i].want, "%s: %d", rows[i].words, r);
		ck_assert_msg(rows[i].out[0] == '\0'
		        ? out[0] == '\0'
		        : strstr(out, rows[i].out) != NULL,
		    "%s: %s", rows[i].words, out);
		if (rows[i].err != NULL)
			ck_assert_msg(rows[i].err[0] == '\0'
			        ? err[0] == '\0'
			        : strstr(err, rows[i].err) != NULL,
			    "%s: %s", rows[i].words, err);
	}
}
END_TEST

/* --- audit verify ----------------------------------------------------- */

static void
save(const char *name, const char *text, size_t len)
{
	int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
	(void)close(fd);
}

START_TEST(audit_verify)
{
	static const struct {
		const char *words;
		int want;
		const char *out, *err;
	} rows[] = {
		{ "$CLI audit verify good", 0, "good: 3 records, ok\n", "" },
		{ "$CLI --json audit verify good", 0,
		    "{\"file\":\"good\",\"ok\":true,\"records\":3}\n", "" },
		{ "$CLI audit verify --json good", 0,
		    "{\"file\":\"good\",\"ok\":true,\"records\":3}\n", "" },
		{ "$CLI audit verify - <good", 0, "-: 3 records, ok\n", "" },
		{ "cat good | $CLI audit verify -", 0, "-: 3 records, ok\n",
		    "" },
		{ "$CLI audit verify /dev/null", 0,
		    "/dev/null: 0 records, ok\n", "" },
		{ "$CLI audit verify bad", 1, "",
		    "bad:2: its hash is not that of its bytes\n" },
		{ "$CLI audit verify --json bad", 1,
		    "{\"file\":\"bad\",\"ok\":false,\"line\":2,\"why\":"
		    "\"its hash is not that of its bytes\"}\n",
		    "bad:2: its hash is not that of its bytes\n" },
		{ "$CLI audit verify torn", 1, "",
		    "torn:3: it is torn: no newline at its end\n" },
		{ "$CLI audit verify bad good torn", 1, "good: 3 records, ok\n",
		    "bad:2: its hash is not that of its bytes\n"
		    "torn:3: it is torn: no newline at its end\n" },
		{ "$CLI audit verify none good", 1, "good: 3 records, ok\n",
		    "agent-cli: none: No such file or directory\n" },
		{ "$CLI audit verify .", 1, "",
		    "agent-cli: .: Is a directory\n" },
		{ "cp good \"$(printf 'esc\\033[31m')\"; "
		  "$CLI audit verify esc*",
		    0, "esc\\x1b[31m: 3 records, ok\n", "" },
		{ "$CLI audit verify -- good", 0, "good: 3 records, ok\n", "" },
		{ "head -c 2000000 /dev/zero | $CLI audit verify -", 1, "",
		    "-:1: it is longer than a record can be\n" },
		{ "$CLI audit verify good >/dev/full", 1, "",
		    "agent-cli: standard output: No space left on device\n" },
	};
	struct audit_chain c;
	struct msg m = { .type = MSG_TYPE_rec_stop };
	char buf[AUDIT_LINE_MAX], file[8192];
	size_t i, len = 0, second = 0;
	ssize_t n;
	int r;

	audit_chain_init(&c);
	m.u.rec_stop.reason = "test";
	for (i = 0; i < 3; i++) {
		n = audit_line(&c, "egressd", "t", 1, &m, buf);
		memcpy(file + len, buf, (size_t)n);
		if (i == 1)
			second = len;
		len += (size_t)n;
	}
	save("good", file, len);
	save("torn", file, len - 4);
	file[second + 20] ^= 1;
	save("bad", file, len);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		r = run(rows[i].words);
		ck_assert_msg(
		    r == rows[i].want, "%s: %d %s", rows[i].words, r, err);
		ck_assert_msg(strcmp(out, rows[i].out) == 0, "%s: %s",
		    rows[i].words, out);
		ck_assert_msg(strcmp(err, rows[i].err) == 0, "%s: %s",
		    rows[i].words, err);
	}
}
END_TEST

/* --- status ----------------------------------------------------------- */

static int
listen_as(const char *name)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)strlcpy(sun.sun_path, in_dir(name), sizeof(sun.sun_path));
	(void)unlink(sun.sun_path);
	ck_assert_int_eq(bind(fd, (const void *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(listen(fd, 5), 0);
	return fd;
}

static int
listen_there(void)
{
	return listen_as("egressd.sock");
}

static void
say(int fd, const char *text, int piece)
{
	uint8_t buf[4096];
	size_t len = strlen(text), off, n;

	frame_put_control(buf, len);
	memcpy(buf + FRAME_HEADER_LEN, text, len);
	len += FRAME_HEADER_LEN;
	for (off = 0; off < len; off += n) {
		n = piece > 0 && len - off > (size_t)piece ? (size_t)piece
		                                           : len - off;
		if (send(fd, buf + off, n, MSG_NOSIGNAL) == -1)
			break;
	}
}

/*
 * A daemon for one connection: says hello and answer, NULL for nothing, in
 * pieces, then waits for the client to go unless it closes at once.
 */
static pid_t
serve(int lfd, const char *hello, const char *answer, int piece, int stay)
{
	char buf[4096];
	pid_t pid = fork();
	int fd;

	if (pid != 0)
		return pid;
	if ((fd = accept(lfd, NULL, NULL)) == -1)
		_exit(1);
	if (hello != NULL)
		say(fd, hello, piece);
	if (answer != NULL)
		say(fd, answer, piece);
	while (stay && read(fd, buf, sizeof(buf)) > 0)
		continue;
	_exit(0);
}

#define HELLO                                                      \
	"{\"type\":\"hello\",\"service\":\"egressd\",\"major\":1," \
	"\"version\":\"0.1.0\"}"
#define ANSWER                                                              \
	"{\"type\":\"status.answer\",\"id\":1,\"daemon\":\"egressd\","      \
	"\"version\":\"0.1.0\",\"pid\":77,\"uptime_ms\":93784000,"          \
	"\"state\":{\"nft\":\"unavailable\",\"long-key\":\"a\\u001b[1m\"}," \
	"\"warnings\":[\"no \\u001b[31mnft\"]}"

START_TEST(status)
{
	static const struct {
		const char *name, *hello, *answer;
		int piece, stay;
		const char *words;
		int want;
		const char *out, *err;
	} rows[] = {
		{ "for people", HELLO, ANSWER, 0, 1, "$CLI --run-dir $D status",
		    0,
		    "egressd 0.1.0, pid 77, up 1d 2h 3m 4s\n"
		    "  nft       unavailable\n"
		    "  long-key  a\\x1b[1m\n"
		    "  warning:  no \\x1b[31mnft\n",
		    "" },
		{ "json, by environment, in pieces", HELLO, ANSWER, 3, 1,
		    "BULKHEAD_RUN_DIR=$D $CLI status egressd --json", 0,
		    "{\"daemon\":\"egressd\",\"version\":\"0.1.0\",\"pid\":77,"
		    "\"uptime_ms\":93784000,\"state\":{\"nft\":\"unavailable\","
		    "\"long-key\":\"a\\u001b[1m\"},"
		    "\"warnings\":[\"no \\u001b[31mnft\"]}\n",
		    "" },
		{ "output full", HELLO, ANSWER, 0, 1,
		    "$CLI --run-dir $D status >/dev/full", 1, "",
		    "agent-cli: standard output: No space left on device\n" },
		{ "refused", HELLO,
		    "{\"type\":\"error\",\"id\":1,\"error\":\"denied\","
		    "\"reason\":\"not you\\u001b\"}",
		    0, 1, "$CLI --run-dir $D status", 4, "",
		    "agent-cli: egressd refused: denied: not you\\x1b\n" },
		{ "another major",
		    "{\"type\":\"hello\",\"service\":"
		    "\"egressd\",\"major\":2,\"version\":\"9\"}",
		    NULL, 0, 1, "$CLI --run-dir $D status", 3, "",
		    "agent-cli: egressd cannot be reached: it speaks version "
		    "2 of the protocol, not 1\n" },
		{ "another service",
		    "{\"type\":\"hello\",\"service\":\"x\","
		    "\"major\":1,\"version\":\"9\"}",
		    NULL, 0, 1, "$CLI --run-dir $D status", 3, "",
		    "agent-cli: egressd cannot be reached: it is not egressd "
		    "but x\n" },
		{ "no hello", ANSWER, NULL, 0, 1, "$CLI --run-dir $D status", 3,
		    "",
		    "agent-cli: egressd cannot be reached: it did not say "
		    "hello first\n" },
		{ "closes", NULL, NULL, 0, 0, "$CLI --run-dir $D status", 3, "",
		    NULL },
		{ "bad bytes", "{", NULL, 0, 1, "$CLI --run-dir $D status", 3,
		    "", NULL },
		{ "silent", HELLO, NULL, 0, 1, "$CLI --run-dir $D status", 3,
		    "",
		    "agent-cli: egressd cannot be reached: no answer in "
		    "time\n" },
		{ "another answer", HELLO, HELLO, 0, 1,
		    "$CLI --run-dir $D status", 3, "",
		    "agent-cli: egressd cannot be reached: it answered with "
		    "hello\n" },
	};
	int64_t began;
	size_t i;
	pid_t pid;
	int lfd, r;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		lfd = listen_there();
		pid = serve(lfd, rows[i].hello, rows[i].answer, rows[i].piece,
		    rows[i].stay);
		ck_assert_int_gt(pid, 0);
		began = clock_boot_ms();
		r = run(rows[i].words);
		ck_assert_int_lt(clock_boot_ms() - began, 7000);
		(void)close(lfd);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		ck_assert_msg(
		    r == rows[i].want, "%s: %d %s", rows[i].name, r, err);
		ck_assert_msg(
		    strcmp(out, rows[i].out) == 0, "%s: %s", rows[i].name, out);
		ck_assert_msg(rows[i].err == NULL
		        ? strstr(err, "cannot be reached") != NULL
		        : strcmp(err, rows[i].err) == 0,
		    "%s: %s", rows[i].name, err);
	}
}
END_TEST

/* --- doctor ----------------------------------------------------------- */

#define STATE(engine, image, warnings)                                   \
	"{\"type\":\"status.answer\",\"id\":1,\"daemon\":\"dispatchd\"," \
	"\"version\":\"0.1.0\",\"pid\":77,\"uptime_ms\":1,\"state\":"    \
	"{\"engine\":\"docker, /e.sock\",\"engine_state\":\"" engine     \
	"\"" image "},\"warnings\":[" warnings "]}"

/* The engine is judged by what the daemon saw of it, not by its path. */
START_TEST(doctor)
{
	static const struct {
		const char *answer, *want, *also;
	} rows[] = {
		{ STATE("reachable: 27, API 1.44", ",\"image_id\":\"sha256:1\"",
		      ""),
		    "ok    dispatchd engine_state: reachable: 27, API 1.44\n",
		    "ok    dispatchd image_id: sha256:1\n" },
		{ STATE("unreachable: the engine: no \\u001b", "", ""),
		    "fail  dispatchd engine_state: unreachable: the engine: no "
		    "\\x1b; fix: start the engine, or mend \"engine\" in "
		    "dispatchd.conf\n",
		    "" },
		{ STATE("asked, and has not answered yet", "", ""),
		    "warn  dispatchd engine_state: asked, and", "" },
		{ STATE("reachable: 27, API 1.44", ",\"image_id\":\"absent\"",
		      "\"live_restore\""),
		    "fail  dispatchd image_id: absent; fix: build it by "
		    "deploy/image/build.sh, or mend \"image\" in "
		    "dispatchd.conf\n",
		    "warn  dispatchd warning: live_restore\n" },
	};
	size_t i;
	pid_t pid;
	int lfd;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		lfd = listen_as("dispatchd.sock");
		pid = serve(lfd,
		    "{\"type\":\"hello\",\"service\":\"dispatchd\","
		    "\"major\":1,\"version\":\"0.1.0\"}",
		    rows[i].answer, 0, 1);
		ck_assert_int_eq(run("$CLI --run-dir $D doctor"), 1);
		(void)close(lfd);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		ck_assert_msg(strstr(out, rows[i].want) != NULL, "%s", out);
		ck_assert_msg(strstr(out, rows[i].also) != NULL, "%s", out);
		ck_assert_ptr_null(strstr(out, "dispatchd engine:"));
	}
}
END_TEST

START_TEST(no_daemon)
{
	char want[256], words[512];
	int lfd;

	(void)snprintf(want, sizeof(want),
	    "agent-cli: egressd cannot be reached: %s/egressd.sock: No such "
	    "file or directory\n",
	    dir);
	ck_assert_int_eq(run("$CLI --run-dir $D status"), 3);
	ck_assert_str_eq(err, want);
	lfd = listen_there();
	(void)close(lfd);
	ck_assert_int_eq(run("$CLI --run-dir $D status"), 3);
	ck_assert_ptr_nonnull(strstr(err, "Connection refused"));
	(void)snprintf(words, sizeof(words), "$CLI --run-dir %0110d status", 7);
	ck_assert_int_eq(run(words), 3);
	ck_assert_ptr_nonnull(strstr(err, "File name too long"));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("agent_cli");
	TCase *t = tcase_create("all");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, usage);
	tcase_add_test(t, audit_verify);
	tcase_add_test(t, status);
	tcase_add_test(t, doctor);
	tcase_add_test(t, no_daemon);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
