#include <sys/wait.h>

#include <check.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>

#include "libcommon/log.c"
#include "libcommon/log_sink.c"

#define OUT_MAX (256 * 1024) /* of one child's output */

/* --- log_escape ------------------------------------------------------- */

static const struct {
	const char *name;
	const char *in;
	size_t len;
	const char *want;
} escape_rows[] = {
	{ "empty", "", 0, "" },
	{ "plain", "api.github.com:443", 18, "api.github.com:443" },
	{ "all that is printable stays", " !\"#'~", 6, " !\"#'~" },
	{ "H1 ESC", "\033[31m", 5, "\\x1b[31m" },
	{ "H1 CR LF", "a\r\nb", 4, "a\\x0d\\x0ab" },
	{ "H1 quotes", "\"'`", 3, "\"'`" },
	{ "H1 U+202E",
	    "a\xe2\x80\xae"
	    "b",
	    5, "a\\xe2\\x80\\xaeb" },
	{ "H1 invalid UTF-8", "\xc3(\xff\x80", 4, "\\xc3(\\xff\\x80" },
	{ "NUL", "a\0b", 3, "a\\x00b" },
	{ "DEL", "\x7f", 1, "\\x7f" },
	{ "backslash", "\\", 1, "\\\\" },
	{ "looks escaped already", "\\x1b", 4, "\\\\x1b" },
	{ "C1 control", "\x9b", 1, "\\x9b" },
};

START_TEST(test_escape)
{
	char dst[64];
	size_t n;

	n = log_escape(
	    dst, sizeof(dst), escape_rows[_i].in, escape_rows[_i].len);
	ck_assert_msg(strcmp(dst, escape_rows[_i].want) == 0, "%s: %s",
	    escape_rows[_i].name, dst);
	ck_assert_uint_eq(n, strlen(dst));
}
END_TEST

static unsigned
unhex(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static size_t
unescape(unsigned char *dst, const char *src)
{
	size_t n = 0;

	while (*src != '\0') {
		if (*src != '\\') {
			dst[n++] = (unsigned char)*src++;
		} else if (src[1] == '\\') {
			dst[n++] = '\\';
			src += 2;
		} else {
			ck_assert_int_eq(src[1], 'x');
			dst[n++] =
			    (unsigned char)(unhex(src[2]) << 4 | unhex(src[3]));
			src += 4;
		}
	}
	return n;
}

/* Every pair of bytes comes back, and 4 * len + 1 bytes suffice. */
START_TEST(test_escape_reverses)
{
	unsigned char in[2], out[16];
	char dst[9];
	unsigned i;
	size_t n;

	for (i = 0; i < 65536; i++) {
		in[0] = (unsigned char)(i >> 8);
		in[1] = (unsigned char)i;
		log_escape(dst, sizeof(dst), in, 2);
		n = unescape(out, dst);
		ck_assert_uint_eq(n, 2);
		ck_assert_mem_eq(in, out, 2);
	}
}
END_TEST

static const struct {
	const char *name;
	const char *in;
	size_t dstlen;
	const char *want;
} short_rows[] = {
	{ "room for none", "abc", 1, "" },
	{ "room for two", "abc", 3, "ab" },
	{ "just enough", "abc", 4, "abc" },
	{ "escape fits", "a\n", 6, "a\\x0a" },
	{ "escape does not", "a\n", 5, "a" },
	{ "nothing behind what does not fit", "a\nb", 5, "a" },
	{ "double does not", "ab\\", 4, "ab" },
};

START_TEST(test_escape_short)
{
	char dst[16];
	size_t n;

	memset(dst, '#', sizeof(dst));
	n = log_escape(dst, short_rows[_i].dstlen, short_rows[_i].in,
	    strlen(short_rows[_i].in));
	ck_assert_msg(strcmp(dst, short_rows[_i].want) == 0, "%s: %s",
	    short_rows[_i].name, dst);
	ck_assert_uint_eq(n, strlen(dst));
	ck_assert_int_eq(dst[short_rows[_i].dstlen], '#');
	ck_assert_uint_eq(log_escape(NULL, 0, "abc", 3), 0);
}
END_TEST

/* --- lines ------------------------------------------------------------ */

static char out[OUT_MAX + 1];

/*
 * Run body in a child whose stderr is one end of fds, read the other end
 * until it closes, and return the wait status.
 */
static int
run_child(void (*body)(void), int fds[2])
{
	size_t n = 0;
	ssize_t r;
	int status;
	pid_t pid;

	ck_assert_int_ne(pid = fork(), -1);
	if (pid == 0) {
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		body();
		_exit(0);
	}
	close(fds[1]);
	while ((r = read(fds[0], out + n, OUT_MAX - n)) > 0)
		n += (size_t)r;
	out[n] = '\0';
	close(fds[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static int
run_piped(void (*body)(void))
{
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	return run_child(body, fds);
}

/*
 * "2026-08-01T21:00:00.123Z IDENT[PID]: " in front of each line is checked and
 * taken away.
 */
static void
strip_prefixes(const char *ident_want)
{
	char rest[sizeof(out)], id[64];
	const char *p = out;
	int y, d, used;
	long pid;
	size_t n = 0;

	while (*p != '\0') {
		used = 0;
		ck_assert_msg(
		    sscanf(p, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ %63[^[][%ld]: %n",
		        &y, &d, &d, &d, &d, &d, &d, id, &pid, &used) == 9,
		    "no prefix: %s", p);
		ck_assert_str_eq(id, ident_want);
		ck_assert_int_gt(used, 30);
		for (p += used; *p != '\n'; p++) {
			ck_assert_msg(*p != '\0', "torn line");
			rest[n++] = *p;
		}
		rest[n++] = *p++;
	}
	rest[n] = '\0';
	memcpy(out, rest, n + 1);
}

static void
all_levels(void)
{
	errno = ENOENT;
	log_warn("open %s", "x");
	ck_assert_int_eq(errno, ENOENT);
	log_warnx("%d", 7);
	log_info("i");
	log_debug("d");
	log_trace("t");
}

static void
quiet(void)
{
	log_init("egressd/proxy", 1, 0);
	all_levels();
}

static void
verbose(void)
{
	log_init("egressd/proxy", 1, 1);
	all_levels();
}

static void
very_verbose(void)
{
	log_init("x", 1, 2);
	log_set_ident("egressd/proxy");
	all_levels();
}

static void
outside_text(void)
{
	log_init("egressd/proxy", 1, 0);
	log_info("host %s", "\033]0;x\a\r\nfake: line\xe2\x80\xae \\n");
}

static void
die_system(void)
{
	log_init("egressd/proxy", 1, 0);
	errno = EMFILE;
	fatal("socket");
}

static void
die_config(void)
{
	log_init("egressd/proxy", 1, 0);
	fatalx("wrong %d", 1);
}

static void
die_bug(void)
{
	log_init("egressd/proxy", 1, 0);
	panic("state %d", 9);
}

#define QUIET \
	"warning: open x: No such file or directory\nwarning: 7\ninfo: i\n"

static const struct {
	const char *name;
	void (*body)(void);
	int status;
	const char *want;
} line_rows[] = {
	{ "no -v", quiet, 0, QUIET },
	{ "-v", verbose, 0, QUIET "debug: d\n" },
	{ "-vv", very_verbose, 0, QUIET "debug: d\ntrace: t\n" },
	{ "H1 outside text", outside_text, 0,
	    "info: host \\x1b]0;x\\x07\\x0d\\x0afake: line\\xe2\\x80\\xae "
	    "\\n\n" },
	{ "fatal", die_system, EXIT_SYSTEM,
	    "fatal: socket: Too many open files\n" },
	{ "fatalx", die_config, EXIT_INTERNAL, "fatal: wrong 1\n" },
	{ "panic", die_bug, EXIT_INTERNAL, "bug: state 9\n" },
};

START_TEST(test_line)
{
	int status;

	status = run_piped(line_rows[_i].body);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), line_rows[_i].status);
	strip_prefixes("egressd/proxy");
	ck_assert_msg(strcmp(out, line_rows[_i].want) == 0, "%s: %s",
	    line_rows[_i].name, out);
}
END_TEST

/* By what stderr is: each kind takes the lines, in order. */
START_TEST(test_socket_stderr)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	run_child(quiet, fds);
	strip_prefixes("egressd/proxy");
	ck_assert_str_eq(out, QUIET);
}
END_TEST

START_TEST(test_file_stderr)
{
	char path[] = "/tmp/log_test.XXXXXX";
	ssize_t n;
	pid_t pid;
	int fd;

	ck_assert_int_ge(fd = mkstemp(path), 0);
	unlink(path);
	if ((pid = fork()) == 0) {
		dup2(fd, STDERR_FILENO);
		quiet();
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	ck_assert_int_gt(n = pread(fd, out, OUT_MAX, 0), 0);
	out[n] = '\0';
	close(fd);
	strip_prefixes("egressd/proxy");
	ck_assert_str_eq(out, QUIET);
}
END_TEST

/* --- the longest line ------------------------------------------------- */

static size_t long_len;
static char long_byte;

static void
long_line(void)
{
	char text[3 * LOG_LINE_MAX];

	memset(text, long_byte, long_len);
	text[long_len] = '\0';
	log_init("e", 1, 0);
	log_info("%s", text);
	log_info("next");
}

static const struct {
	const char *name;
	size_t len;
	char byte;
} long_rows[] = {
	{ "twice too long", 2 * LOG_LINE_MAX, 'x' },
	{ "too long by escapes", LOG_LINE_MAX / 2, '\n' },
	{ "too long by little", LOG_LINE_MAX - 8, 'x' },
};

START_TEST(test_long)
{
	const char *nl;
	int status;

	long_len = long_rows[_i].len;
	long_byte = long_rows[_i].byte;
	status = run_piped(long_line);
	ck_assert_int_eq(status, 0);
	ck_assert_ptr_nonnull(nl = strchr(out, '\n'));
	ck_assert_uint_le((size_t)(nl - out) + 1, LOG_LINE_MAX);
	ck_assert_uint_ge((size_t)(nl - out) + 1, LOG_LINE_MAX - 4);
	ck_assert_mem_eq(nl - 3, "...", 3);
	strip_prefixes("e");
	ck_assert_str_eq(strstr(out, "info: next"), "info: next\n");
	if (long_byte == '\n')
		ck_assert_ptr_nonnull(strstr(out, "\\x0a...\n"));
}
END_TEST

/* --- never waits ------------------------------------------------------ */

/* Write until lines are lost; returns how many went out. */
static unsigned
fill(void)
{
	unsigned i;

	for (i = 0; i < 100000 && lost == 0; i++)
		log_info("%u", i);
	ck_assert_uint_eq(lost, 1);
	log_info("lost too");
	ck_assert_uint_eq(lost, 2);
	return i - 1;
}

static void
check_full(int fds[2])
{
	char line[LOG_LINE_MAX + 1], *p;
	unsigned n;
	ssize_t r;

	fflush(NULL);
	dup2(fds[1], STDERR_FILENO);
	log_init("e", 1, 0);
	n = fill();
	ck_assert_uint_gt(n, 10);
	/* Make room: all that went out is whole and in order. */
	fd_set_nonblock(fds[0]);
	memset(out, 0, sizeof(out));
	for (p = out; (r = read(fds[0], p, 512)) > 0;)
		p += r;
	log_info("passes");
	ck_assert_uint_eq(lost, 0);
	log_info("and one more");
	while ((r = read(fds[0], p, 512)) > 0)
		p += r;
	strip_prefixes("e");
	snprintf(line, sizeof(line),
	    "info: %u\ninfo: passes (2 lines lost before)\n"
	    "info: and one more\n",
	    n - 1);
	ck_assert_str_eq(strstr(out, strchr(line, ':') - 4),
	    out + strlen(out) - strlen(line));
}

START_TEST(test_full_pipe)
{
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	check_full(fds);
}
END_TEST

START_TEST(test_full_socket)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	check_full(fds);
}
END_TEST

/* A terminal that is stopped, as by Ctrl-S, holds nobody up. */
START_TEST(test_stopped_terminal)
{
	int m, s;
	unsigned i;

	ck_assert_int_ge(m = posix_openpt(O_RDWR | O_NOCTTY), 0);
	ck_assert_int_eq(grantpt(m), 0);
	ck_assert_int_eq(unlockpt(m), 0);
	ck_assert_int_ge(s = open(ptsname(m), O_RDWR | O_NOCTTY), 0);
	fflush(NULL);
	dup2(s, STDERR_FILENO);
	log_init("e", 1, 0);
	for (i = 0; i < 5000; i++)
		log_info("%0500u", i);
	ck_assert_uint_gt(lost, 100);
	/* The mode of the terminal itself is as it was. */
	ck_assert_int_eq(fcntl(s, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ge(log_fd(), FD_MIN);
	ck_assert(fcntl(log_fd(), F_GETFD) & FD_CLOEXEC);
}
END_TEST

START_TEST(test_closed_stderr)
{
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	close(fds[0]);
	log_init("e", 1, 0);
	log_info("x"); /* SIGPIPE would end the test */
	ck_assert_uint_eq(lost, 1);
}
END_TEST

/* --- syslog ----------------------------------------------------------- */

static int
syslog_server(char *dir, char *path, size_t len)
{
	struct sockaddr_un sun;
	int fd;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, len, "%s/log", dir);
	memset(&sun, 0, sizeof(sun));
	sun.sun_family = AF_UNIX;
	strlcpy(sun.sun_path, path, sizeof(sun.sun_path));
	ck_assert_int_ge(
	    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0), 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

static void
expect_datagram(int fd, const char *priority, const char *text)
{
	char want[LOG_LINE_MAX];
	ssize_t n;

	snprintf(want, sizeof(want), "<%s>egressd/audit[%ld]: %s", priority,
	    (long)getpid(), text);
	ck_assert_int_gt(n = recv(fd, out, OUT_MAX, 0), 0);
	out[n] = '\0';
	ck_assert_str_eq(out, want);
}

START_TEST(test_syslog)
{
	char dir[] = "/tmp/log_test.XXXXXX", path[64], c;
	unsigned n;
	int fd, fds[2];

	fd = syslog_server(dir, path, sizeof(path));
	syslog_path = path;
	log_init("egressd/audit", 0, 2);
	ck_assert_int_ge(log_fd(), FD_MIN);
	fd_close_from(FD_MIN);
	ck_assert_int_ne(fcntl(log_fd(), F_GETFD), -1);
	log_warnx("a\nb");
	log_info("i");
	log_trace("t");
	expect_datagram(fd, "28", "warning: a\\x0ab");
	expect_datagram(fd, "30", "info: i");
	expect_datagram(fd, "31", "trace: t");
	for (n = fill(); n > 0; n--)
		ck_assert_int_gt(recv(fd, &c, 1, 0), 0);
	log_info("passes");
	expect_datagram(fd, "30", "info: passes (2 lines lost before)");
	/* With nobody there any more, stderr is what remains. */
	close(fd);
	unlink(path);
	rmdir(dir);
	ck_assert_int_eq(pipe(fds), 0);
	fflush(NULL);
	dup2(fds[1], STDERR_FILENO);
	log_info("still here");
	ck_assert_uint_eq(lost, 0);
	n = (unsigned)read(fds[0], out, OUT_MAX);
	out[n] = '\0';
	ck_assert_ptr_nonnull(strstr(out, "info: still here\n"));
}
END_TEST

/* Without syslog or -d: stderr, with no time in front. */
static void
no_syslog(void)
{
	syslog_path = "/nonexistent/log";
	log_init("egressd", 0, 0);
	ck_assert_int_eq(log_fd(), -1);
	log_info("x");
}

START_TEST(test_no_syslog)
{
	ck_assert_int_eq(run_piped(no_syslog), 0);
	ck_assert_str_eq(out, "egressd: info: x\n");
}
END_TEST

#define LOOP(t, test, rows) \
	tcase_add_loop_test(t, test, 0, sizeof(rows) / sizeof((rows)[0]))

/* Each test begins with nothing lost, also where they share a process. */
static void
nothing_lost(void)
{
	lost = 0;
}

int
main(void)
{
	Suite *s = suite_create("log");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 20);
	tcase_add_checked_fixture(t, nothing_lost, NULL);
	LOOP(t, test_escape, escape_rows);
	tcase_add_test(t, test_escape_reverses);
	LOOP(t, test_escape_short, short_rows);
	LOOP(t, test_line, line_rows);
	LOOP(t, test_long, long_rows);
	tcase_add_test(t, test_socket_stderr);
	tcase_add_test(t, test_file_stderr);
	tcase_add_test(t, test_full_pipe);
	tcase_add_test(t, test_full_socket);
	tcase_add_test(t, test_stopped_terminal);
	tcase_add_test(t, test_closed_stderr);
	tcase_add_test(t, test_syslog);
	tcase_add_test(t, test_no_syslog);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
