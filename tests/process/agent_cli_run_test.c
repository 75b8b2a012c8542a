/*
 * agent-cli as a program that follows runs: against a dispatchd that does
 * what the test wants.
 */

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/json.h"

#include "dispatchd/queue_state.h"

#include "fake_dispatchd.h"
#include "tests/words.h"

#define CLI BINARY_DIR "/agent-cli/agent-cli"
#define TEXT_MAX (1024 * 1024)
#define WAIT_MS 20000 /* for anything, on a busy machine */
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char dir[64];
static char out[TEXT_MAX], err[TEXT_MAX];
static size_t out_len, err_len;
static pid_t daemon_pid;
static uint8_t *big; /* FAKE_PROMPT_MAX + 1 of anything */

static size_t
read_back(const char *name, char buf[TEXT_MAX])
{
	int fd = open(name, O_RDONLY);
	size_t len = 0;
	ssize_t n;

	buf[0] = '\0';
	if (fd == -1)
		return 0;
	while ((n = read(fd, buf + len, TEXT_MAX - 1 - len)) > 0)
		len += (size_t)n;
	buf[len] = '\0';
	(void)close(fd);
	return len;
}

/* Run it by the shell's words; fills out and err, returns the exit status. */
static int
run(const char *words)
{
	char line[2048];
	int status;

	(void)snprintf(
	    line, sizeof(line), "( %s ) >out 2>err </dev/null", words);
	status = words_shell(line);
	out_len = read_back("out", out);
	err_len = read_back("err", err);
	ck_assert_msg(WIFEXITED(status), "%s: %x %s", words, status, err);
	return WEXITSTATUS(status);
}

static void
check_run(const char *words, int want)
{
	int r = run(words);

	ck_assert_msg(r == want, "%s: %d\n%s\n%s", words, r, out, err);
}

static void
has(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL, "no %s in: %s", part, text);
}

static void
lacks(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) == NULL, "%s in: %s", part, text);
}

static const char *
asked(void)
{
	static char text[TEXT_MAX];

	(void)read_back("asked", text);
	return text;
}

static void
save(const char *name, const void *buf, size_t len)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, buf, len), (ssize_t)len);
	(void)close(fd);
}

static void
stop_daemon(void)
{
	int status;

	if (daemon_pid <= 0)
		return;
	(void)kill(daemon_pid, SIGTERM);
	(void)waitpid(daemon_pid, &status, 0);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM,
	    "dispatchd: %x", status);
	daemon_pid = 0;
}

static void
start_daemon(void)
{
	stop_daemon();
	daemon_pid = fake_start();
}

static void
set_up(void)
{
	size_t i;

	(void)strlcpy(dir, "/tmp/agent_cli_run_test.XXXXXX", sizeof(dir));
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	(void)setenv("CLI", CLI " --run-dir .", 1);
	(void)setenv("R", RUN, 1);
	(void)unsetenv("BULKHEAD_RUN_DIR");
	memset(&plan, 0, sizeof(plan));
	plan.class = "ok";
	big = malloc(FAKE_PROMPT_MAX + 1);
	for (i = 0; i < FAKE_PROMPT_MAX + 1; i++)
		big[i] = (uint8_t)(i * 2654435761U >> 13);
}

static void
tear_down(void)
{
	char line[128];

	stop_daemon();
	free(big);
	ck_assert_int_eq(chdir("/"), 0);
	(void)snprintf(line, sizeof(line), "rm -r %s", dir);
	ck_assert_int_eq(words_shell(line), 0);
}

static void
add_piece(enum chunk_kind kind, const void *data, int64_t len)
{
	struct fake_piece *p = &plan.pieces[plan.npieces++];

	p->kind = kind;
	p->data = data;
	p->len = len;
}

/* --- usage ------------------------------------------------------------ */

START_TEST(usage)
{
	static const struct {
		const char *words, *err;
	} rows[] = {
		{ "$CLI run", "usage: agent-cli" },
		{ "$CLI run --repo", "--repo needs a value" },
		{ "$CLI run --repo= x", "--repo needs a value" },
		{ "$CLI run --detach=1 x", "unknown option" },
		{ "$CLI run --frob x", "unknown option --frob" },
		{ "$CLI run --deadline 0 x", "not a time" },
		{ "$CLI run --deadline 5d x", "not a time" },
		{ "$CLI run --deadline 99999999999999999999 x", "not a time" },
		{ "$CLI run --deadline 9223372036854775807h x", "not a time" },
		{ "$CLI run --detach --bundle f x", "--bundle needs" },
		{ "ln -sf x l; $CLI run --bundle l x", "no ordinary file" },
		{ "mkdir -p d; $CLI show --bundle d aaaaaaaaaaaa",
		    "no ordinary file" },
		{ "$CLI run --prompt-file f x", "usage: agent-cli" },
		{ "$CLI run --prompt-file none", "No such file" },
		{ "$CLI run --id $(printf %065d 1) x", "above 64 bytes" },
		{ "$CLI run --profile $(printf 'a\\377') x",
		    "--profile is no UTF-8" },
		{ "$CLI run --repo $(printf '\\300\\200/a') x",
		    "--repo is no UTF-8" },
		{ "$CLI ps x", "usage: agent-cli" },
		{ "$CLI ps -f", "unknown option -f" },
		{ "$CLI show", "usage: agent-cli" },
		{ "$CLI show abc", "no id of a run" },
		{ "$CLI show \"$(printf 'x\\033[31m')\"", "x\\x1b[31m is no" },
		{ "$CLI stop $R $R", "usage: agent-cli" },
		{ "$CLI wait ../../etc/x", "no id of a run" },
		{ "$CLI rm", "usage: agent-cli" },
		{ "$CLI logs --since -1 $R", "--since -1: too small" },
		{ "$CLI logs --since x $R", "invalid" },
		{ "$CLI doctor x", "usage: agent-cli" },
	};
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		check_run(rows[i].words, 2);
		has(err, rows[i].err);
		ck_assert_str_eq(out, "");
	}
}
END_TEST

START_TEST(help)
{
	static const char *const names[] = { "run", "ps", "logs", "stop",
		"wait", "rm", "show", "doctor" };
	char words[64];
	size_t i;

	for (i = 0; i < COUNT(names); i++) {
		(void)snprintf(
		    words, sizeof(words), "$CLI %s --help", names[i]);
		check_run(words, 0);
		has(out, names[i]);
		ck_assert_str_eq(err, "");
	}
}
END_TEST

START_TEST(unreachable)
{
	static const char *const rows[] = { "$CLI run x", "$CLI ps",
		"$CLI ps --json", "$CLI logs -f $R", "$CLI stop $R",
		"$CLI wait $R", "$CLI rm $R", "$CLI show $R" };
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		check_run(rows[i], 3);
		has(err,
		    "dispatchd cannot be reached: ./dispatchd.sock: No such");
		ck_assert_str_eq(out, "");
	}
}
END_TEST

START_TEST(refused)
{
	plan.refuse = "above_ceiling";
	plan.refuse_show = "no_run";
	start_daemon();
	check_run("$CLI run x", 4);
	has(err, "dispatchd refused: above_ceiling: because \\x1b[31mso\n");
	check_run("$CLI show $R", 4);
	has(err, "dispatchd refused: no_run: there is no such run\n");
	check_run("$CLI logs $R", 4);
	has(err, "dispatchd refused: no_run: there is no output\n");
}
END_TEST

/* --- prompts ------------------------------------------------------------ */

/* One connection too many: no daemon that cannot be reached. */
START_TEST(turned_away)
{
	static const char *const words[] = { "$CLI run x", "$CLI wait $R",
		"$CLI logs -f $R", "$CLI ps", "$CLI stop $R",
		"$CLI status dispatchd" };

	plan.full = true;
	start_daemon();
	check_run(words[_i], 4);
	has(err, "dispatchd refused: too_many: because\n");
}
END_TEST

static void
check_prompt(const char *words, const void *want, size_t len)
{
	struct stat st;
	char *got;
	size_t n;

	(void)unlink("prompt");
	check_run(words, 0);
	ck_assert_int_eq(stat("prompt", &st), 0);
	ck_assert_int_eq(st.st_size, (off_t)len);
	ck_assert_int_eq(fd_read_path("prompt", FAKE_PROMPT_MAX, &got, &n), 0);
	ck_assert_msg(memcmp(got, want, len) == 0, "%s", words);
	free(got);
}

START_TEST(prompts)
{
	start_daemon();
	save("full", big, FAKE_PROMPT_MAX);
	save("over", big, FAKE_PROMPT_MAX + 1);
	save("small", big, 70000);
	check_prompt("$CLI run --detach a 'b  c' -- --raw", "a b  c --raw", 12);
	check_prompt("$CLI run --detach ''", "", 0);
	check_prompt("$CLI run --detach - </dev/null", "", 0);
	check_prompt("$CLI run --detach - <small", big, 70000);
	check_prompt("cat full | $CLI run --detach -", big, FAKE_PROMPT_MAX);
	check_prompt(
	    "$CLI run --detach --prompt-file full", big, FAKE_PROMPT_MAX);
	check_prompt("$CLI run --detach --prompt-file - <small", big, 70000);
	(void)unlink("asked");
	stop_daemon();
	start_daemon();
	check_run("$CLI run --prompt-file over", 2);
	has(err, "the prompt is above 4194304 bytes");
	check_run("$CLI run - <over", 2);
	ck_assert_str_eq(asked(), "");
}
END_TEST

START_TEST(request)
{
	start_daemon();
	check_run("$CLI run --detach --id my:1 --repo a/b --base main --tool "
	          "sh --profile=dev --deadline 5m x",
	    0);
	ck_assert_str_eq(out, RUN "\n");
	ck_assert_str_eq(err, "");
	ck_assert_str_eq(asked(),
	    "run id=my:1 repo=a/b base=main tool=sh profile=dev "
	    "deadline=300000 bytes=1\n");
	check_run("$CLI run --json --detach x", 0);
	ck_assert_str_eq(out,
	    "{\"run\":\"" RUN "\",\"state\":\"QUEUED\",\"branch\":\"" BRANCH
	    "\",\"again\":false}\n");
}
END_TEST

/* A link that is lost before the answer: the same request again. */
START_TEST(lost_before_the_answer)
{
	const char *second;

	plan.cut_run = true;
	start_daemon();
	check_run("$CLI run --detach --id once hello", 0);
	ck_assert_str_eq(out, RUN "\n");
	second = strstr(asked(), "cut\n");
	ck_assert_ptr_nonnull(second);
	has(second, "run id=once");
}
END_TEST

/* --- output ------------------------------------------------------------- */

START_TEST(output)
{
	static char want_out[TEXT_MAX], want_err[TEXT_MAX];
	size_t i, nout = 0, nerr = 0;

	for (i = 0; i < 20; i++) {
		add_piece(i % 3 == 2 ? CHUNK_ERR : CHUNK_OUT, big + 40000 * i,
		    (int64_t)(i % 2 == 0 ? CHUNK_MAX : 17));
		if (i % 3 == 2) {
			memcpy(want_err + nerr, plan.pieces[i].data,
			    (size_t)plan.pieces[i].len);
			nerr += (size_t)plan.pieces[i].len;
		} else {
			memcpy(want_out + nout, plan.pieces[i].data,
			    (size_t)plan.pieces[i].len);
			nout += (size_t)plan.pieces[i].len;
		}
	}
	start_daemon();
	check_run("$CLI logs $R", 0);
	ck_assert_uint_eq(out_len, nout);
	ck_assert_int_eq(memcmp(out, want_out, nout), 0);
	ck_assert_uint_eq(err_len, nerr);
	ck_assert_int_eq(memcmp(err, want_err, nerr), 0);
	check_run("$CLI logs $R 2>/dev/null | (sleep 0.3; cat)", 0);
	ck_assert_uint_eq(out_len, nout);
	ck_assert_int_eq(memcmp(out, want_out, nout), 0);
	check_run("$CLI logs --since 32768 $R 2>/dev/null", 0);
	ck_assert_uint_eq(out_len, nout - CHUNK_MAX);
	check_run("$CLI logs $R >/dev/full 2>/dev/null", 1);
	/* All of it, but stages are on standard error too. */
	check_run("$CLI run x", 0);
	ck_assert_uint_eq(out_len, nout);
	ck_assert_int_eq(memcmp(out, want_out, nout), 0);
	has(err, "run " RUN "\n");
	ck_assert_ptr_nonnull(memmem(err, err_len, want_err, CHUNK_MAX / 2));
}
END_TEST

START_TEST(answer_before_the_end)
{
	size_t i;

	plan.answer_first = true;
	for (i = 0; i < 16; i++)
		add_piece(CHUNK_OUT, big, CHUNK_MAX);
	start_daemon();
	check_run("$CLI logs $R", 0);
	ck_assert_uint_eq(out_len, 16 * CHUNK_MAX);
}
END_TEST

START_TEST(gaps)
{
	add_piece(CHUNK_OUT, "one\n", 4);
	add_piece(CHUNK_GAP, NULL, 1000);
	add_piece(CHUNK_OUT, "two\n", 4);
	start_daemon();
	check_run("$CLI logs $R", 0);
	ck_assert_str_eq(out, "one\ntwo\n");
	ck_assert_str_eq(err,
	    "agent-cli: 1000 bytes of output are missing here, up to offset "
	    "1004\n");
	check_run("$CLI logs --since 4 $R", 0);
	ck_assert_str_eq(out, "two\n");
}
END_TEST

START_TEST(lost_and_resumed)
{
	static const size_t cuts[] = { 1, 9, 40000, 300000 };
	static char want[TEXT_MAX];
	size_t i, n;

	for (n = 0; n < COUNT(cuts); n++) {
		memset(&plan, 0, sizeof(plan));
		plan.class = "ok";
		plan.cut_at = cuts[n];
		for (i = 0; i < 14; i++) {
			add_piece(CHUNK_OUT, big + 33000 * i, CHUNK_MAX);
			memcpy(
			    want + i * CHUNK_MAX, big + 33000 * i, CHUNK_MAX);
		}
		start_daemon();
		check_run(n % 2 == 0 ? "$CLI run x" : "$CLI logs -f $R", 0);
		has(asked(), "cut\n");
		ck_assert_uint_eq(out_len, 14 * CHUNK_MAX);
		ck_assert_int_eq(memcmp(out, want, out_len), 0);
		has(err, "the link to dispatchd is lost");
	}
	/* With a reader so slow that bytes of both links wait together. */
	start_daemon();
	check_run("$CLI logs $R | (sleep 1; cat)", 0);
	ck_assert_uint_eq(out_len, 14 * CHUNK_MAX);
	ck_assert_int_eq(memcmp(out, want, out_len), 0);
	lacks(err, "bug");
}
END_TEST

/* Logs that are not there yet are asked for again. */
START_TEST(not_begun)
{
	plan.late = true;
	add_piece(CHUNK_OUT, "hello\n", 6);
	start_daemon();
	check_run("$CLI run x", 0);
	ck_assert_str_eq(out, "hello\n");
	start_daemon();
	check_run("$CLI logs -f $R", 0);
	ck_assert_str_eq(out, "hello\n");
}
END_TEST

/* Output that cannot be had is no end of the run. */
START_TEST(logs_refused)
{
	static const char *const codes[] = { "limit", "storage" };

	plan.refuse_logs = codes[_i];
	start_daemon();
	check_run("$CLI run x", 0);
	has(err, "the output cannot be had: ");
	has(err, codes[_i]);
	has(err, ": because \\x1bso\n");
	has(err, RUN " ok\n");
	has(err, "not all of its output was printed: agent-cli logs " RUN "\n");
	plan.class = "idle";
	start_daemon();
	check_run("$CLI run x", queue_class_exit(queue_class_parse("idle")));
}
END_TEST

/* Output that was refused is asked for again, and then all is there. */
START_TEST(logs_refused_for_now)
{
	plan.refuse_logs = "limit";
	plan.refuse_times = 1;
	add_piece(CHUNK_OUT, "hello\n", 6);
	start_daemon();
	check_run("$CLI run x", 0);
	ck_assert_str_eq(out, "hello\n");
	has(err, "the output cannot be had: limit");
	lacks(err, "not all of its output");
	/* Who wants nothing else is told, and leaves. */
	start_daemon();
	check_run("$CLI logs $R", 4);
}
END_TEST

/* A wait that is refused says what becomes of the run. */
START_TEST(wait_refused)
{
	static const char *const words[] = { "$CLI run x", "$CLI wait $R" };

	plan.refuse_wait = "limit";
	start_daemon();
	check_run(words[_i], 4);
	has(err, "dispatchd refused: limit: because\n");
	has(err, "run " RUN " may go on: agent-cli wait " RUN "\n");
	plan.refuse_wait = "no_run";
	start_daemon();
	check_run("$CLI wait $R", 4);
	lacks(err, "go on");
}
END_TEST

/* When it ends for another reason, what is known of the run is told. */
START_TEST(over_and_then_lost)
{
	plan.class = "idle";
	plan.garble = true;
	start_daemon();
	check_run("$CLI run x", queue_class_exit(queue_class_parse("idle")));
	has(err, "it sent output in another form");
	has(err, RUN " idle\n");
	has(err, "not all of its output was printed");
	plan.hold = true;
	start_daemon();
	check_run("$CLI run x", 3);
	has(err, "run " RUN " may go on: agent-cli wait " RUN "\n");
}
END_TEST

/* Closed or full: a write that failed, and no wait for ever. */
START_TEST(no_output)
{
	static const struct {
		const char *words;
		int want;
	} rows[] = { { "$CLI logs $R >/dev/full", 1 },
		{ "$CLI logs $R >&-", 1 }, { "$CLI logs $R <&- >&- 2>&-", 1 },
		{ "$CLI logs $R <&- 2>&-", 0 }, { "$CLI wait $R >&-", 1 },
		{ "$CLI wait $R <&- >&- 2>&-", 1 }, { "$CLI run x >&-", 1 },
		{ "$CLI run x <&- >&- 2>&-", 1 }, { "$CLI ps >&-", 1 } };
	char words[256];

	plan.rows = 1;
	if (strstr(rows[_i].words, "wait") == NULL)
		add_piece(CHUNK_OUT, "hello\n", 6);
	start_daemon();
	(void)snprintf(words, sizeof(words), "timeout 20 %s", rows[_i].words);
	check_run(words, rows[_i].want);
	lacks(err, "Epoll");
}
END_TEST

/* --- terminals ---------------------------------------------------------- */

/* Run on a terminal; its text in out, its exit status returned. */
static int
on_terminal(const char *words, const char *term)
{
	int master, status;
	ssize_t n;
	pid_t pid;

	pid = forkpty(&master, NULL, NULL, NULL);
	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		(void)setenv("TERM", term, 1);
		(void)execl("/bin/sh", "sh", "-c", words, NULL);
		_exit(127);
	}
	out_len = 0;
	while (out_len < TEXT_MAX - 1 &&
	    (n = read(master, out + out_len, TEXT_MAX - 1 - out_len)) > 0)
		out_len += (size_t)n;
	out[out_len] = '\0';
	(void)close(master);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(terminal)
{
	add_piece(CHUNK_OUT, "a\033[31m\tb\r\n\xc3", 11);
	add_piece(CHUNK_OUT, "\xa4\xff\n", 3);
	start_daemon();
	ck_assert_int_eq(on_terminal("$CLI run x", "xterm"), 0);
	has(out, "a\\x1b[31m\tb\\x0d\r\n\xc3\xa4\\xff\r\n");
	has(out, "\r\033[K" RUN " running: tool\\x1b[1m");
	ck_assert_int_eq(on_terminal("$CLI run x", "dumb"), 0);
	lacks(out, "\033");
	has(out, RUN " running: tool\\x1b[1m\r\n");
	ck_assert_int_eq(on_terminal("$CLI run --raw x", "dumb"), 0);
	has(out, "a\033[31m\tb\r\r\n\xc3\xa4\xff\r\n");
	ck_assert_int_eq(on_terminal("$CLI logs $R >f", "xterm"), 0);
	ck_assert_str_eq(out, "");
}
END_TEST

/* --- how it ends --------------------------------------------------------- */

START_TEST(classes)
{
	static const struct {
		const char *class;
		int status;
	} rows[] = { { "ok", 0 }, { "no_change", 0 }, { "agent_failed", 1 },
		{ "oom", 10 }, { "deadline", 11 }, { "idle", 12 },
		{ "hung_start", 13 }, { "budget", 14 }, { "cancelled", 15 },
		{ "quota", 16 }, { "lost_infra", 17 },
		{ "boundary_violation", 18 }, { "secret_blocked", 19 },
		{ "publish_failed", 20 }, { "untrusted_result", 21 },
		{ "never\033heard", 1 } };
	char want[64];
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		plan.class = rows[i].class;
		plan.exit_code = i == 2 ? 3 : -1;
		start_daemon();
		check_run("$CLI run x", rows[i].status);
		ck_assert_str_eq(out, "");
		(void)snprintf(want, sizeof(want), "\n" RUN " %s%s\n",
		    i == 15 ? "never\\x1bheard" : rows[i].class,
		    i == 2 ? ", exit status 3" : "");
		has(err, want);
		check_run("$CLI wait $R", rows[i].status);
		ck_assert_str_eq(out, want + 1);
		has(err, RUN " queued: memory\n");
	}
}
END_TEST

START_TEST(ending)
{
	plan.bundle = big;
	plan.bundle_len = 10;
	plan.denials = true;
	start_daemon();
	check_run("$CLI run x", 0);
	has(err,
	    "\ndenied evil.example:443 host: 3 times\n"
	    "denied x\\x1b[31m:1 port: 1 time\n"
	    "git fetch /state/runs/" RUN "/bundle " BRANCH "\n");
}
END_TEST

/* --- bundles -------------------------------------------------------------- */

static size_t
files(void)
{
	check_run("ls -A | grep -c bundle || :", 0);
	return (size_t)strtoul(out, NULL, 10);
}

START_TEST(bundles)
{
	char *got;
	size_t n;

	plan.bundle = big;
	plan.bundle_len = 1000000;
	start_daemon();
	check_run("$CLI run --bundle my.bundle x", 0);
	has(err, "git fetch my.bundle " BRANCH "\n");
	ck_assert_int_eq(fd_read_path("my.bundle", 2000000, &got, &n), 0);
	ck_assert_uint_eq(n, 1000000);
	ck_assert_int_eq(memcmp(got, big, n), 0);
	free(got);
	check_run("$CLI run --bundle \"it's mine\" x; rm it*", 0);
	has(err, "git fetch 'it'\\''s mine' " BRANCH "\n");
	check_run("rm my.bundle; $CLI show --bundle ./my.bundle $R", 0);
	check_run("test $(wc -c <my.bundle) = 1000000", 0);
	check_run("rm my.bundle; $CLI show --bundle no/such $R", 1);
	has(err, "no/such: cannot be made: No such file");
	ck_assert_uint_eq(files(), 0);
}
END_TEST

START_TEST(bundle_of_another_hash)
{
	static const char wrong[] = "0123456789abcdef0123456789abcdef"
	                            "0123456789abcdef0123456789abcdef";
	int i;

	plan.bundle = big;
	plan.bundle_len = 300000;
	for (i = 0; i < 2; i++) {
		plan.recorded = i == 0 ? wrong : NULL;
		plan.claimed = i == 1 ? wrong : NULL;
		start_daemon();
		save("my.bundle", "before", 6);
		check_run("$CLI show --bundle my.bundle $R", 1);
		has(err, "another hash");
		check_run("$CLI run --bundle my.bundle x", 1);
		has(err, "another hash");
		check_run("cat my.bundle", 0);
		ck_assert_str_eq(out, "before");
		ck_assert_uint_eq(files(), 1);
	}
}
END_TEST

START_TEST(no_bundle)
{
	start_daemon();
	check_run("$CLI show --bundle my.bundle $R", 4);
	has(err, "no_bundle: the run has no bundle");
	check_run("$CLI run --bundle my.bundle x", 0);
	has(err, "the run has no bundle");
	ck_assert_uint_eq(files(), 0);
}
END_TEST

/* --- Ctrl-C ----------------------------------------------------------------
 */

static pid_t
spawn(void)
{
	pid_t pid = fork();
	int o, e;

	ck_assert_int_ne(pid, -1);
	if (pid != 0)
		return pid;
	o = open("out", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	e = open("err", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	(void)dup2(o, STDOUT_FILENO);
	(void)dup2(e, STDERR_FILENO);
	(void)execl(CLI, "agent-cli", "--run-dir", ".", "run", "x", NULL);
	_exit(127);
}

static void
wait_for(const char *file, const char *text)
{
	static char buf[TEXT_MAX];
	int64_t end = clock_boot_ms() + WAIT_MS;

	do {
		(void)read_back(file, buf);
		if (strstr(buf, text) != NULL)
			return;
		(void)usleep(10000);
	} while (clock_boot_ms() < end);
	ck_abort_msg("no %s in %s: %s", text, file, buf);
}

static int
ended(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	out_len = read_back("out", out);
	err_len = read_back("err", err);
	ck_assert_msg(WIFEXITED(status), "%x", status);
	return WEXITSTATUS(status);
}

START_TEST(interrupted_once)
{
	pid_t pid;

	plan.hold = true;
	add_piece(CHUNK_OUT, "begun\n", 6);
	(void)unlink("out");
	start_daemon();
	pid = spawn();
	wait_for("out", "begun");
	ck_assert_int_eq(kill(pid, SIGINT), 0);
	ck_assert_int_eq(ended(pid), 0);
	has(err, "agent-cli: run " RUN " goes on");
	lacks(asked(), "stop");
	has(asked(), "logs aborted");
}
END_TEST

START_TEST(interrupted_twice)
{
	pid_t pid;

	plan.hold = true;
	add_piece(CHUNK_OUT, "begun\n", 6);
	(void)unlink("out");
	start_daemon();
	pid = spawn();
	wait_for("out", "begun");
	ck_assert_int_eq(kill(pid, SIGINT), 0);
	wait_for("err", "goes on; another Ctrl-C now stops it");
	ck_assert_int_eq(kill(pid, SIGINT), 0);
	ck_assert_int_eq(ended(pid), 15);
	has(asked(), "stop\n");
	has(err, "is being stopped");
	has(err, RUN " cancelled");
}
END_TEST

START_TEST(terminated)
{
	pid_t pid;

	plan.hold = true;
	add_piece(CHUNK_OUT, "begun\n", 6);
	(void)unlink("out");
	start_daemon();
	pid = spawn();
	wait_for("out", "begun");
	ck_assert_int_eq(kill(pid, SIGTERM), 0);
	ck_assert_int_eq(ended(pid), 128 + SIGTERM);
	has(err, "run " RUN " goes on");
	lacks(asked(), "stop");
}
END_TEST

/* A reader that stops reading does not keep Ctrl-C away. */
START_TEST(interrupted_while_output_waits)
{
	char buf[1];
	int p[2], status;
	size_t i;
	pid_t pid;

	plan.hold = true;
	for (i = 0; i < 16; i++)
		add_piece(CHUNK_OUT, big, CHUNK_MAX);
	start_daemon();
	ck_assert_int_eq(pipe(p), 0);
	if ((pid = fork()) == 0) {
		(void)dup2(p[1], STDOUT_FILENO);
		(void)dup2(open("err", O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
		(void)close(p[0]);
		(void)close(p[1]);
		(void)execl(
		    CLI, "agent-cli", "--run-dir", ".", "run", "x", NULL);
		_exit(127);
	}
	(void)close(p[1]);
	ck_assert_int_eq(read(p[0], buf, 1), 1);
	ck_assert_int_eq(kill(pid, SIGINT), 0);
	wait_for("err", "goes on");
	ck_assert_int_eq(kill(pid, SIGINT), 0);
	wait_for("asked", "stop\n");
	(void)close(p[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
}
END_TEST

/* --- lists and objects ---------------------------------------------------- */

static const struct json_node *
parse(struct json_doc **doc)
{
	static const struct json_limits limits = { TEXT_MAX, 1000, 8, false };
	struct json_error e;
	size_t len = strcspn(out, "\n");

	ck_assert_uint_eq(len + 1, strlen(out));
	*doc = json_parse(out, len, &limits, &e);
	ck_assert_msg(*doc != NULL, "%s in %s", e.what, out);
	return json_root(*doc);
}

static void
check_shape(enum json_type nested)
{
	static const char *const members[] = { "run", "state", "class",
		"exit_code", "profile", "tool", "repo", "base", "head",
		"bundle", "proof", "egress", "times", "log", "why" };
	const struct json_node *o, *n;
	struct json_doc *doc;
	size_t i;

	o = parse(&doc);
	for (i = 0; i < COUNT(members); i++)
		ck_assert_msg(
		    json_member(o, members[i]) != NULL, "no %s", members[i]);
	ck_assert_str_eq(json_member(o, "repo")->str, "https://x/\033[31m");
	ck_assert_int_eq(json_member(o, "egress")->type, nested);
	if (nested == JSON_OBJECT) {
		ck_assert_int_eq(json_member(o, "exit_code")->num, 0);
		n = json_member(o, "egress");
		ck_assert_int_eq(json_member(n, "allowed")->num, 5);
		ck_assert_int_eq(json_member(n, "denied")->num, 0);
		n = json_member(n, "denials");
		ck_assert_int_eq(
		    json_member(n, "evil.example:443 host")->num, 3);
		n = json_member(o, "bundle");
		ck_assert_str_eq(json_member(n, "path")->str, "/state/bundle");
		ck_assert_int_eq(json_member(n, "bytes")->num, 10);
		n = json_member(o, "log");
		ck_assert_int_eq(json_member(n, "bytes")->num, 70);
	}
	json_free(&doc);
}

START_TEST(objects)
{
	plan.bundle = big;
	plan.bundle_len = 10;
	plan.rows = 1;
	start_daemon();
	check_run("$CLI show --json $R", 0);
	check_shape(JSON_OBJECT);
	check_run("$CLI --json ps", 0);
	check_shape(JSON_OBJECT);
	has(asked(), "ps all 0\n");
	check_run("$CLI ps --all --json", 0);
	has(asked(), "ps all 1\n");
	/* One that is gone when it is asked for is told as it was listed. */
	plan.refuse_show = "no_run";
	start_daemon();
	check_run("$CLI --json ps", 0);
	check_shape(JSON_NULL);
}
END_TEST

START_TEST(small_objects)
{
	const struct json_node *o;
	struct json_doc *doc;

	plan.denials = true;
	start_daemon();
	check_run("$CLI wait --json $R", 0);
	o = parse(&doc);
	ck_assert_str_eq(json_member(o, "class")->str, "ok");
	ck_assert_int_eq(json_member(o, "bundle")->type, JSON_NULL);
	o = json_member(o, "denials");
	ck_assert_int_eq(json_member(o, "evil.example:443 host")->num, 3);
	json_free(&doc);
	has(err, "{\"run\":\"" RUN "\",\"state\":\"QUEUED\",");
	check_run("$CLI stop --json $R", 0);
	ck_assert_str_eq(out, "{\"run\":\"" RUN "\",\"state\":\"RUNNING\"}\n");
	check_run("$CLI rm --json $R", 0);
	ck_assert_str_eq(out, "{\"run\":\"" RUN "\",\"removed\":true}\n");
}
END_TEST

START_TEST(for_people)
{
	plan.rows = 3;
	start_daemon();
	check_run("$CLI ps", 0);
	has(out, "RUN          STATE");
	has(out, RUN " QUEUED ");
	has(out, " 1m  https://x/\\x1b[31m  memory\n");
	check_run("$CLI show $R", 0);
	has(out, "denied       evil.example:443 host: 3\n");
	lacks(out, "\033");
	check_run("$CLI stop $R", 0);
	ck_assert_str_eq(out, RUN " was RUNNING and is being stopped\n");
	check_run("$CLI rm $R", 0);
	ck_assert_str_eq(out, RUN " is removed\n");
	plan.rows = 0;
	start_daemon();
	check_run("$CLI ps", 0);
	ck_assert_str_eq(out, "");
	check_run("$CLI ps >/dev/full; $CLI show $R >/dev/full", 1);
}
END_TEST

/* What does not fit on one page of the daemon's is asked for. */
START_TEST(pages)
{
	size_t n = 0;
	char *p;

	plan.rows = 7;
	plan.page = 3;
	start_daemon();
	check_run("$CLI ps --all", 0);
	for (p = out; (p = strstr(p, RUN)) != NULL; p++)
		n++;
	ck_assert_uint_eq(n, 7);
	ck_assert_str_eq(asked(), "ps all 1\nps all 1\nps all 1\n");
}
END_TEST

/* --- doctor ------------------------------------------------------------------
 */

START_TEST(doctor)
{
	static const struct json_limits limits = { TEXT_MAX, 1000, 2, false };
	struct json_error e;
	struct json_doc *doc;
	char *line, *rest = out;

	plan.version = "9.9";
	start_daemon();
	check_run("$CLI doctor", 1);
	has(out, "fail  egressd: cannot be reached: ./egressd.sock: No such");
	has(out, "ok    dispatchd: answers at ./dispatchd.sock\n");
	has(out, "fail  dispatchd version: 9.9, but agent-cli is ");
	has(out,
	    "fail  dispatchd engine_state: unreachable: no \\x1bsocket; fix: ");
	has(out, "warn  dispatchd queue: seccomp on, landlock 0; fix: ");
	has(out, "ok    dispatchd runs: seccomp on, landlock 4\n");
	has(out, "kernel: ");
	lacks(out, "\033");
	check_run("$CLI doctor --json", 1);
	while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
		doc = json_parse(line, strlen(line), &limits, &e);
		ck_assert_msg(doc != NULL, "%s: %s", line, e.what);
		ck_assert_ptr_nonnull(json_member(json_root(doc), "result"));
		ck_assert_ptr_nonnull(json_member(json_root(doc), "fix"));
		json_free(&doc);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("agent_cli_run");
	TCase *t = tcase_create("all");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, usage);
	tcase_add_test(t, help);
	tcase_add_test(t, unreachable);
	tcase_add_test(t, refused);
	tcase_add_loop_test(t, turned_away, 0, 6);
	tcase_add_test(t, prompts);
	tcase_add_test(t, request);
	tcase_add_test(t, lost_before_the_answer);
	tcase_add_test(t, output);
	tcase_add_test(t, answer_before_the_end);
	tcase_add_test(t, gaps);
	tcase_add_test(t, lost_and_resumed);
	tcase_add_test(t, not_begun);
	tcase_add_loop_test(t, logs_refused, 0, 2);
	tcase_add_test(t, logs_refused_for_now);
	tcase_add_loop_test(t, wait_refused, 0, 2);
	tcase_add_test(t, over_and_then_lost);
	tcase_add_loop_test(t, no_output, 0, 9);
	tcase_add_test(t, terminal);
	tcase_add_test(t, classes);
	tcase_add_test(t, ending);
	tcase_add_test(t, bundles);
	tcase_add_test(t, bundle_of_another_hash);
	tcase_add_test(t, no_bundle);
	tcase_add_test(t, interrupted_once);
	tcase_add_test(t, interrupted_twice);
	tcase_add_test(t, terminated);
	tcase_add_test(t, interrupted_while_output_waits);
	tcase_add_test(t, objects);
	tcase_add_test(t, small_objects);
	tcase_add_test(t, for_people);
	tcase_add_test(t, pages);
	tcase_add_test(t, doctor);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
