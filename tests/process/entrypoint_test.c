/*
 * PID 1 as such: in a process, mount and network namespace of its own, with
 * real tools; and the whole of it against a daemon that says what the test
 * wants. Needs root for the namespaces.
 */

#include <sys/types.h>

#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <net/if.h>
#include <netinet/in.h>

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-cli/cmd.h"
#include "agent-cli/entrypoint.h"
#include "libcommon/clock.h"
#include "libcommon/fd.h"
#include "libcommon/frame.h"
#include "libcommon/log.h"
#include "libcommon/peer.h"
#include "libcommon/version.h"
#include "tests/words.h"

#define RUN "abcdefghijkl"
#define RSS_MAX_KB (16 * 1024)
#define GIB (1024LL * 1024 * 1024)
#define PROMPT_LEN (4 * 1024 * 1024)
#define IN_MAX (FRAME_HEADER_LEN + FRAME_CTL_MAX)

static char dir[64];

void
complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}

static void
set_up(void)
{
	(void)strlcpy(dir, "/tmp/entrypoint_test.XXXXXX", sizeof(dir));
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void
tear_down(void)
{
	char line[128];

	(void)snprintf(line, sizeof(line), "rm -rf %s", dir);
	ck_assert_int_eq(words_shell(line), 0);
}

/* --- namespaces ------------------------------------------------------------
 */

static void
lo_up(void)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	if (ioctl(s, SIOCSIFFLAGS, &r) == -1)
		_exit(90);
	(void)close(s);
}

/* Run body as PID 1; what it returns is the exit status. */
static pid_t
start_pid1(int (*body)(void))
{
	pid_t outer = fork(), inner;
	int status;

	ck_assert_int_ne(outer, -1);
	if (outer != 0)
		return outer;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET) == -1)
		_exit(91);
	if ((inner = fork()) != 0) {
		(void)waitpid(inner, &status, 0);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 92);
	}
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1 ||
	    mount("proc", "/proc", "proc", 0, NULL) == -1)
		_exit(93);
	lo_up();
	/* Check's own handler would end the test. */
	(void)signal(SIGTERM, SIG_DFL);
	_exit(body());
}

static void
as_pid1(int (*body)(void))
{
	pid_t pid = start_pid1(body);
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	    "status %x", (unsigned)status);
}

/* In PID 1: Check's own assertions would end another process. */
#define MUST(cond)                                                             \
	do {                                                                   \
		if (!(cond)) {                                                 \
			(void)fprintf(                                         \
			    stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			_exit(1);                                              \
		}                                                              \
	} while (0)

/* --- a tool under a ward
 * ------------------------------------------------------ */

static struct event_base *base;
static struct ward *ward;
static struct output *output;
static struct feed *feed;
static enum ward_end how;
static int how_status;

static void
ended(enum ward_end e, int status, void *arg)
{
	how = e;
	how_status = status;
	output_drain(output);
	(void)event_base_loopbreak(base);
}

static void
more(void *arg)
{
}

static char *const envp[] = { (char *)(uintptr_t) "PATH=/usr/bin:/bin",
	(char *)(uintptr_t) "ONLY=this", NULL };

static void
begin(const char *script, uint8_t *prompt, size_t len, int64_t deadline_ms)
{
	char *const argv[] = { (char *)(uintptr_t) "sh",
		(char *)(uintptr_t) "-c", (char *)(uintptr_t)script, NULL };
	struct child_spec spec = {
		.dir = "/", .argv = argv, .envp = envp, .in = -1
	};
	int in[2] = { -1, -1 };
	pid_t pid;

	MUST((base = event_base_new()) != NULL);
	MUST((ward = ward_new(base, ended, NULL)) != NULL);
	MUST((output = output_new(base, more, NULL)) != NULL);
	MUST(output_open(output, &spec.out, &spec.err) == 0);
	if (prompt != NULL) {
		MUST(pipe2(in, O_CLOEXEC) == 0);
		MUST((feed = feed_new(base, in[1], prompt, len)) != NULL);
		spec.in = in[0];
	}
	MUST((pid = child_spawn(&spec)) != -1);
	if (in[0] != -1)
		(void)close(in[0]);
	(void)close(spec.out);
	(void)close(spec.err);
	ward_watch(ward, pid,
	    deadline_ms == 0 ? INT64_MAX : clock_boot_ms() + deadline_ms);
}

static void
run(const char *script)
{
	begin(script, NULL, 0, 0);
	MUST(event_base_dispatch(base) != -1);
}

/* All kept output of stdout, as text. */
static const char *
said(void)
{
	static char text[65536];
	static uint8_t chunk[CHUNK_HEADER_LEN + CHUNK_DATA_MAX];
	size_t n, len = 0;

	while (
	    (n = ring_chunk(output_ring(output), chunk, sizeof(chunk))) > 0) {
		n -= CHUNK_HEADER_LEN;
		if (chunk[0] != RING_STDOUT || len + n >= sizeof(text))
			continue;
		memcpy(text + len, chunk + CHUNK_HEADER_LEN, n);
		len += n;
	}
	text[len] = '\0';
	return text;
}

static unsigned
processes(void)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	unsigned n = 0;

	MUST(d != NULL);
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] >= '1' && e->d_name[0] <= '9';
	(void)closedir(d);
	return n;
}

static int
reap_body(void)
{
	run("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do "
	    "(setsid sh -c 'sleep 0.05' & ); done; sleep 0.7; "
	    "cat /proc/[0-9]*/status | grep -c '^State:.Z'");
	MUST(strcmp(said(), "0\n") == 0);
	MUST(how == WARD_EXITED && WIFEXITED(how_status));
	return 0;
}

START_TEST(reaps_orphans)
{
	as_pid1(reap_body);
}
END_TEST

static int
kill_body(void)
{
	run("trap '' TERM HUP; for i in 1 2 3 4 5; do "
	    "setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' & "
	    "(setsid sleep 1000 >/dev/null 2>&1 &) ; "
	    "sh -c 'kill -STOP $$' & done; sleep 0.2; exit 5");
	MUST(WIFEXITED(how_status) && WEXITSTATUS(how_status) == 5);
	MUST(processes() == 1);
	MUST(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
	return 0;
}

/* R04 */
START_TEST(kills_all_that_is_left)
{
	as_pid1(kill_body);
}
END_TEST

static void
stop_later(int fd, short what, void *arg)
{
	ward_stop(ward, 300);
}

/* Stop it 200 ms from now; returns how long all took. */
static int64_t
run_and_stop(const char *script)
{
	struct timeval tv = { .tv_usec = 200000 };
	int64_t from = clock_boot_ms();

	begin(script, NULL, 0, 0);
	MUST(event_base_once(base, -1, EV_TIMEOUT, stop_later, NULL, &tv) == 0);
	MUST(event_base_dispatch(base) != -1);
	MUST(how == WARD_STOPPED);
	MUST(processes() == 1);
	return clock_boot_ms() - from;
}

static int
stop_polite_body(void)
{
	MUST(run_and_stop("trap 'echo bye; exit 7' TERM; "
	                  "while :; do sleep 0.01; done") < 1500);
	MUST(WIFEXITED(how_status) && WEXITSTATUS(how_status) == 7);
	MUST(strcmp(said(), "bye\n") == 0);
	return 0;
}

static int
stop_deaf_body(void)
{
	MUST(run_and_stop("trap '' TERM; setsid sleep 100 & "
	                  "while :; do sleep 1; done") < 2500);
	MUST(WIFSIGNALED(how_status) && WTERMSIG(how_status) == SIGKILL);
	return 0;
}

static int
stop_stopped_body(void)
{
	(void)run_and_stop("kill -STOP $$; sleep 100");
	MUST(WIFSIGNALED(how_status));
	return 0;
}

START_TEST(stops)
{
	as_pid1(stop_polite_body);
	as_pid1(stop_deaf_body);
	as_pid1(stop_stopped_body);
}
END_TEST

static int
deadline_body(void)
{
	int64_t from = clock_boot_ms(), took;

	begin("trap '' TERM; while :; do sleep 1; done", NULL, 0, 500);
	MUST(event_base_dispatch(base) != -1);
	took = clock_boot_ms() - from;
	MUST(how == WARD_DEADLINE);
	MUST(took >= 500 && took < 500 + CHILD_DEADLINE_GRACE_MS + 1000);
	MUST(processes() == 1);
	return 0;
}

/* R05 */
START_TEST(deadline)
{
	as_pid1(deadline_body);
}
END_TEST

/* --- output and prompt -------------------------------------------------------
 */

static long
rss_kb(void)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "r");
	long kb = -1;

	MUST(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "VmHWM:", 6) == 0)
			kb = strtol(line + 6, NULL, 10);
	(void)fclose(f);
	return kb;
}

static int
flood_body(void)
{
	struct ring *r;

	run("head -c 1073741824 /dev/zero");
	r = output_ring(output);
	MUST(WIFEXITED(how_status) && WEXITSTATUS(how_status) == 0);
	MUST(ring_end(r) == GIB);
	MUST(ring_dropped(r) == GIB - OUTPUT_KEEP_MAX);
#ifndef BULKHEAD_SANITIZE
	MUST(rss_kb() < RSS_MAX_KB);
#else
	MUST(rss_kb() > 0);
#endif
	return 0;
}

/* L01, and L02: it has no newline. */
START_TEST(a_gibibyte_that_nobody_takes)
{
	as_pid1(flood_body);
}
END_TEST

static int
last_line_body(void)
{
	run("printf 'last line'");
	MUST(strcmp(said(), "last line") == 0);
	return 0;
}

/* L06 */
START_TEST(last_line)
{
	as_pid1(last_line_body);
}
END_TEST

static uint8_t *
make_prompt(void)
{
	uint8_t *p = malloc(PROMPT_LEN);
	size_t i;

	MUST(p != NULL);
	for (i = 0; i < PROMPT_LEN; i++)
		p[i] = (uint8_t)(i * 31 + (i >> 11));
	memcpy(p, "\0\x1b[31m$(id)`id`\xe2\x80\xae\n", 19);
	return p;
}

/* The kept output is the prompt, byte for byte. */
static void
echoed(void)
{
	static uint8_t chunk[CHUNK_HEADER_LEN + CHUNK_DATA_MAX];
	uint8_t *want = make_prompt();
	size_t n, at = 0;

	while (
	    (n = ring_chunk(output_ring(output), chunk, sizeof(chunk))) > 0) {
		n -= CHUNK_HEADER_LEN;
		MUST(at + n <= PROMPT_LEN);
		MUST(memcmp(want + at, chunk + CHUNK_HEADER_LEN, n) == 0);
		at += n;
	}
	MUST(at == PROMPT_LEN);
	free(want);
}

static int
stdin_body(void)
{
	begin("exec cat", make_prompt(), PROMPT_LEN, 0);
	MUST(event_base_dispatch(base) != -1);
	echoed();
	return 0;
}

static int
file_body(void)
{
	uint8_t *p = make_prompt();
	char path[128], script[256];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/private", dir);
	MUST(private_dir(path) == 0 && private_dir(path) == 0);
	MUST(stat(path, &st) == 0 && (st.st_mode & 0777) == 0700);
	(void)strlcat(path, "/prompt", sizeof(path));
	MUST(private_file(path, p, PROMPT_LEN) == 0);
	MUST(private_file(path, p, PROMPT_LEN) == 0);
	MUST(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
	free(p);
	(void)snprintf(script, sizeof(script), "exec cat %s", path);
	run(script);
	echoed();
	return 0;
}

static int
unread_body(void)
{
	begin("sleep 0.2", make_prompt(), PROMPT_LEN, 0);
	MUST(event_base_dispatch(base) != -1);
	MUST(how == WARD_EXITED && how_status == 0);
	begin("exec <&-; sleep 0.2", make_prompt(), PROMPT_LEN, 0);
	MUST(event_base_dispatch(base) != -1);
	MUST(how == WARD_EXITED && how_status == 0);
	return 0;
}

static int
empty_body(void)
{
	begin("cat; echo end", NULL, 0, 0);
	MUST(event_base_dispatch(base) != -1);
	MUST(strcmp(said(), "end\n") == 0);
	begin("cat; echo end", malloc(1), 0, 0);
	MUST(event_base_dispatch(base) != -1);
	MUST(strcmp(said(), "end\n") == 0);
	return 0;
}

/* A06 */
START_TEST(prompts)
{
	as_pid1(stdin_body);
	as_pid1(file_body);
	as_pid1(unread_body);
	as_pid1(empty_body);
}
END_TEST

static int
leak_body(void)
{
	MUST(setenv("SECRET", "x", 1) == 0);
	MUST(dup2(1, 7) == 7 && dup2(1, 900) == 900);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGUSR1, SIG_IGN);
	run("echo $(ls /proc/$$/fd); env | grep -v '^[_P]' | sort; "
	    "grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status | cut -f2 | sort -u; "
	    "echo $(cut -d' ' -f6 /proc/self/stat) $$");
	/* The shell's own descriptor of the command's output may be there. */
	MUST(strncmp(said(), "0 1 2", 5) == 0);
	MUST(strstr(said(), "SECRET") == NULL);
	return 0;
}

/* A15 */
START_TEST(nothing_leaks)
{
	as_pid1(leak_body);
}
END_TEST

static int
no_program_body(void)
{
	char *const argv[] = { (char *)(uintptr_t) "no-such-tool", NULL };
	struct child_spec spec = { .dir = "/",
		.argv = argv,
		.envp = envp,
		.in = -1,
		.out = -1,
		.err = -1 };

	MUST(child_spawn(&spec) == -1 && errno == ENOENT);
	spec.dir = "/nonexistent";
	MUST(child_spawn(&spec) == -1 && errno == ENOENT);
	return 0;
}

START_TEST(no_program)
{
	as_pid1(no_program_body);
}
END_TEST

/* --- the whole ---------------------------------------------------------------
 */

static char socket_path[128], home[96], work[128], private[128];
static struct entry_where where;

/* Answers as the proxy of this run. */
static void
fake_proxy(void)
{
	static const char body[] = "{\"error\":\"host\",\"run\":\"" RUN "\"}";
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(3128),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), c, on = 1;
	char buf[512];

	(void)setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(s, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    listen(s, 8) == -1)
		_exit(94);
	if (fork() != 0) {
		(void)close(s);
		return;
	}
	while ((c = accept(s, NULL, NULL)) != -1) {
		(void)!read(c, buf, sizeof(buf));
		(void)dprintf(c,
		    "HTTP/1.1 403 egress-host\r\nContent-Length: %zu\r\n\r\n%s",
		    sizeof(body) - 1, body);
		(void)close(c);
	}
	_exit(0);
}

static int
entry_body(void)
{
	(void)setenv("AGENT_SANDBOX", "1", 1);
	fake_proxy();
	return cmd_entrypoint_at(&where);
}

static int
entry_no_proxy_body(void)
{
	(void)setenv("AGENT_SANDBOX", "1", 1);
	return cmd_entrypoint_at(&where);
}

/* As in a container: nobody in particular. */
static int
entry_user_body(void)
{
	(void)setenv("AGENT_SANDBOX", "1", 1);
	fake_proxy();
	where.any_user = false;
	if (setresgid(65534, 65534, 65534) == -1 ||
	    setresuid(65534, 65534, 65534) == -1)
		return 95;
	return cmd_entrypoint_at(&where);
}

/* HOME is as large as a workspace may be, and no larger. */
static int
entry_small_body(void)
{
	if (mount("tmpfs", home, "tmpfs", 0, "size=4m") == -1)
		return 96;
	return entry_body();
}

/* A process of the run that wants PID 1 to stop, by each way that there is. */
static int
entry_terms_body(void)
{
	siginfo_t forged;

	if (fork() == 0) {
		memset(&forged, 0, sizeof(forged));
		forged.si_signo = SIGTERM;
		forged.si_code = SI_QUEUE; /* from 0, as one from outside is */
		for (;;) {
			(void)kill(1, SIGTERM);
			(void)syscall(SYS_tgkill, 1, 1, SIGTERM);
			(void)syscall(SYS_rt_sigqueueinfo, 1, SIGTERM, &forged);
			(void)usleep(1000);
		}
	}
	return entry_body();
}

static int listener;

static void
make_where(void)
{
	(void)snprintf(socket_path, sizeof(socket_path), "%s/d.sock", dir);
	(void)snprintf(home, sizeof(home), "%s/home", dir);
	(void)snprintf(work, sizeof(work), "%s/work", home);
	(void)snprintf(private, sizeof(private), "%s/private", home);
	ck_assert_int_eq(mkdir(home, 0755), 0);
	where = (struct entry_where){ .socket = socket_path,
		.home = home,
		.work = work,
		.private = private,
		.spare = home,
		.protocol = "file",
		.any_user = true };
	listener = fd_listen_unix(socket_path, 5);
	ck_assert_int_ne(listener, -1);
}

static void
say(int fd, struct msg *m)
{
	uint8_t hdr[FRAME_HEADER_LEN];
	char *text, why[256];
	size_t len;

	ck_assert_msg(
	    msg_encode(m, &text, &len, why, sizeof(why)) == 0, "%s", why);
	frame_put_control(hdr, len);
	ck_assert_int_eq(write(fd, hdr, sizeof(hdr)), sizeof(hdr));
	ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
	free(text);
}

static void
say_type(int fd, enum msg_type type)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	say(fd, &m);
}

static void
read_exactly(int fd, void *buf, size_t len)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char *at = buf;
	ssize_t n;

	while (len > 0) {
		ck_assert_int_eq(poll(&p, 1, 20000), 1);
		n = read(fd, at, len);
		ck_assert_int_gt(n, 0);
		at += n;
		len -= (size_t)n;
	}
}

/* The next message, which must be of this type. */
static void
hear(int fd, enum msg_type type, struct msg *m)
{
	static char buf[IN_MAX];
	uint8_t hdr[FRAME_HEADER_LEN];
	char why[256];
	size_t len;

	read_exactly(fd, hdr, sizeof(hdr));
	len = (size_t)hdr[0] << 24 | (size_t)hdr[1] << 16 |
	    (size_t)hdr[2] << 8 | hdr[3];
	ck_assert_uint_lt(len, sizeof(buf));
	read_exactly(fd, buf, len);
	ck_assert_msg(
	    msg_decode(buf, len, m, why, sizeof(why)) == 0, "%s", why);
	ck_assert_msg(m->type == type, "%s", msg_decl(m->type)->wire);
}

static void
hear_phase(int fd, const char *phase)
{
	struct msg m;

	hear(fd, MSG_TYPE_agent_phase, &m);
	ck_assert_str_eq(m.u.agent_phase.phase, phase);
	msg_free(&m);
}

/* A new link: hello both ways, and in which phase PID 1 is. */
static int
meet(const char *phase)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };
	struct msg m;
	int fd;

	ck_assert_int_eq(poll(&p, 1, 20000), 1);
	ck_assert_int_ne(fd = accept(listener, NULL, NULL), -1);
	hear(fd, MSG_TYPE_hello, &m);
	ck_assert_str_eq(m.u.hello.service, "agent-cli");
	msg_free(&m);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_hello;
	m.u.hello.service = "dispatchd";
	m.u.hello.major = 1;
	m.u.hello.version = BULKHEAD_VERSION;
	say(fd, &m);
	hear(fd, MSG_TYPE_agent_ready, &m);
	ck_assert_str_eq(m.u.agent_ready.phase, phase);
	msg_free(&m);
	return fd;
}

static const char *const words[] = { "sh", "-c", NULL };

static void
say_start(int fd, const char *script, const char *repo, int64_t deadline_ms)
{
	const char *argv[] = { words[0], words[1], script };
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_agent_start;
	m.u.agent_start.run = RUN;
	m.u.agent_start.proxy = "127.0.0.1:3128";
	m.u.agent_start.canary = "127.0.0.1:3129";
	m.u.agent_start.gateway = "127.0.0.1";
	m.u.agent_start.repo = repo;
	m.u.agent_start.directory = repo[0] != '\0' ? "seed" : "";
	m.u.agent_start.base = "";
	m.u.agent_start.branch = "agent/sh/" RUN;
	m.u.agent_start.argv.v = argv;
	m.u.agent_start.argv.n = 3;
	m.u.agent_start.prompt_by = "stdin";
	m.u.agent_start.deadline_ms = deadline_ms;
	m.u.agent_start.bundle_limit = 1024 * 1024;
	say(fd, &m);
}

static void
hear_proof(int fd, bool ok)
{
	struct msg m;
	size_t i;

	hear(fd, MSG_TYPE_agent_proof, &m);
	for (i = 0; ok && i < m.u.agent_proof.checks.n; i++)
		if (strncmp(m.u.agent_proof.checks.v[i], "violation", 9) == 0)
			ck_abort_msg("%s: %s", m.u.agent_proof.checks.k[i],
			    m.u.agent_proof.checks.v[i]);
	ck_assert_int_eq(m.u.agent_proof.ok, ok);
	msg_free(&m);
}

static void
hear_exited(int fd, const char *reason, int code, int sig)
{
	struct msg m;

	hear(fd, MSG_TYPE_agent_exited, &m);
	ck_assert_str_eq(m.u.agent_exited.reason, reason);
	ck_assert_int_eq(m.u.agent_exited.exit_code, code);
	ck_assert_int_eq(m.u.agent_exited.signal, sig);
	msg_free(&m);
}

static void
hear_no_bundle(int fd)
{
	struct msg m;

	hear(fd, MSG_TYPE_agent_bundle, &m);
	ck_assert_int_eq(m.u.agent_bundle.stream, 0);
	msg_free(&m);
}

/* None, and that is all there is to say. */
static void
hear_nothing(int fd)
{
	struct msg m;

	hear(fd, MSG_TYPE_agent_bundle, &m);
	ck_assert_int_eq(m.u.agent_bundle.stream, 0);
	ck_assert_int_eq(m.u.agent_bundle.bytes, 0);
	ck_assert_ptr_null(m.u.agent_bundle.why);
	msg_free(&m);
}

/* None, though there should be one: full or not, with these words in why. */
static void
hear_lost(int fd, bool full, const char *why)
{
	struct msg m;

	hear(fd, MSG_TYPE_agent_bundle, &m);
	ck_assert_int_eq(m.u.agent_bundle.stream, 0);
	ck_assert_ptr_nonnull(m.u.agent_bundle.why);
	ck_assert_msg(strstr(m.u.agent_bundle.why, why) != NULL, "%s",
	    m.u.agent_bundle.why);
	ck_assert_int_eq(m.u.agent_bundle.bytes > 0, full);
	msg_free(&m);
}

static int
status_of(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
say_stored(int fd)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_agent_stored;
	say(fd, &m);
}

static int
up_to_release(int fd, const char *script, const char *repo, int64_t limit_ms)
{
	struct msg m;

	say_start(fd, script, repo, limit_ms);
	hear_proof(fd, true);
	say_type(fd, MSG_TYPE_agent_release);
	hear(fd, MSG_TYPE_agent_released, &m);
	msg_free(&m);
	return fd;
}

START_TEST(whole)
{
	pid_t pid;
	int fd;

	make_where();
	pid = start_pid1(entry_body);
	fd = meet("new");
	(void)up_to_release(fd, "exit 3", "", 60000);
	hear_phase(fd, "tool");
	hear_exited(fd, "tool", 3, 0);
	hear_no_bundle(fd);
	say_type(fd, MSG_TYPE_agent_finish);
	ck_assert_int_eq(status_of(pid), 0);
}
END_TEST

START_TEST(whole_as_user)
{
	pid_t pid;
	int fd;

	make_where();
	ck_assert_int_eq(chown(dir, 65534, 65534), 0);
	ck_assert_int_eq(chown(home, 65534, 65534), 0);
	pid = start_pid1(entry_user_body);
	fd = meet("new");
	(void)up_to_release(fd,
	    "test $(id -u) = 65534 || exit 4; "
	    "test $(cat /proc/self/oom_score_adj) = 500 || exit 5; "
	    "! cat /proc/1/environ 2>/dev/null || exit 6; "
	    "! ls /proc/1/fd 2>/dev/null || exit 7; "
	    "test $(grep -c NoNewPrivs:.1 /proc/self/status) = 1 || exit 8; "
	    "! prlimit --pid 1 --nofile=0:0 2>/dev/null || exit 9; "
	    "! prlimit --pid 1 >/dev/null 2>&1 || exit 10; "
	    "prlimit --pid $$ --nofile=99:99 || exit 11; "
	    "ulimit -n 64 || exit 12; "
	    "test $(ulimit -n) = 64 || exit 13",
	    "", 60000);
	hear_phase(fd, "tool");
	hear_exited(fd, "tool", 0, 0);
	hear_no_bundle(fd);
	say_type(fd, MSG_TYPE_agent_finish);
	ck_assert_int_eq(status_of(pid), 0);
}
END_TEST

START_TEST(whole_output)
{
	struct msg m;
	pid_t pid;
	int fd;

	make_where();
	pid = start_pid1(entry_body);
	fd = meet("new");
	(void)up_to_release(fd, "echo hello", "", 60000);
	hear_phase(fd, "tool");
	hear(fd, MSG_TYPE_agent_output, &m);
	ck_assert_int_eq(m.u.agent_output.stream, 1);
	ck_assert_int_eq(m.u.agent_output.offset, 0);
	msg_free(&m);
	/* It waits for credit, and for nothing else. */
	(void)usleep(200000);
	say_type(fd, MSG_TYPE_agent_finish);
	ck_assert_int_eq(status_of(pid), 0);
}
END_TEST

START_TEST(whole_deadline)
{
	pid_t pid;
	int fd;

	make_where();
	pid = start_pid1(entry_body);
	fd = meet("new");
	(void)up_to_release(fd, "exec sleep 100", "", 500);
	hear_phase(fd, "tool");
	hear_exited(fd, "deadline", -1, SIGTERM);
	hear_no_bundle(fd);
	say_type(fd, MSG_TYPE_agent_finish);
	ck_assert_int_eq(status_of(pid), 0);
}
END_TEST

START_TEST(whole_stop)
{
	struct msg m;
	pid_t pid;
	int fd;

	make_where();
	pid = start_pid1(entry_body);
	fd = meet("new");
	(void)up_to_release(
	    fd, "trap '' TERM; sleep 100; sleep 100", "", 60000);
	hear_phase(fd, "tool");
	/* The shell has set its trap by then. */
	(void)usleep(300000);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_agent_stop;
	m.u.agent_stop.grace_ms = 100;
	m.u.agent_stop.reason = "cancelled";
	say(fd, &m);
	hear_exited(fd, "stop", -1, SIGKILL);
	hear_no_bundle(fd);
	say_type(fd, MSG_TYPE_agent_finish);
	ck_assert_int_eq(status_of(pid), 0);
}
END_TEST

/* PID 1 of the namespace, by its number in ours. */
static pid_t
inner_of(pid_t outer)
{
	char path[64], text[32] = "";
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children",
	    (int)outer, (int)outer);
	ck_assert_int_ne(fd = open(path, O_RDONLY | O_CLOEXEC), -1);
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	ck_assert_int_gt(n, 1);
	text[strcspn(text, " ")] = '\0';
	return words_number(text);
}

/* The engine's own stop. */
START_TEST(whole_term)
{
	pid_t pid;
	int fd;

	make_where();
	pid = start_pid1(entry_body);
	fd = meet("new");
	(void)up_to_release(fd, "exec sleep 100", "", 60000);
	hear_phase(fd, "tool");
	ck_assert_int_eq(kill(inner_of(pid), SIGTERM), 0);
	hear_exited(fd, "stop", -1, SIGTERM);
	hear_no_bundle(fd);
	say_type(fd, MSG_TYPE_agent_finish);
	ck_assert_int_eq(status_of(pid), 0);
}
END_TEST

/* What the run sends itself is no stop, however it is made. */
START_TEST(whole_term_from_within)
{
	pid_t pid;
	int fd;

	make_where();
	pid = start_pid1(entry_terms_body);
	fd = meet("new");
	(void)up_to_release(
	    fd, "kill -TERM 1; sleep 0.5; kill -TERM 1; exit 3", "", 60000);
	hear_phase(fd, "tool");
	hear_exited(fd, "tool", 3, 0);
	hear_no_bundle(fd);
	say_type(fd, MSG_TYPE_agent_finish);
	ck_assert_int_eq(status_of(pid), 0);
}
END_TEST

/* The link breaks in every state; each time it says where it is. */
START_TEST(whole_reconnects)
{
	struct msg m;
	pid_t pid;
	int fd;

	make_where();
	pid = start_pid1(entry_body);
	fd = meet("new");
	(void)close(fd);
	fd = meet("new");
	say_start(fd, "sleep 1; exit 3", "", 60000);
	hear_proof(fd, true);
	(void)close(fd);
	fd = meet("started");
	say_stored(fd);
	hear_proof(fd, true);
	say_type(fd, MSG_TYPE_agent_release);
	hear(fd, MSG_TYPE_agent_released, &m);
	msg_free(&m);
	(void)close(fd);
	fd = meet("tool");
	/* Nobody knows that it was heard: said again, it starts nothing. */
	say_type(fd, MSG_TYPE_agent_release);
	hear(fd, MSG_TYPE_agent_released, &m);
	msg_free(&m);
	hear_exited(fd, "tool", 3, 0);
	(void)close(fd);
	fd = meet("exited");
	say_stored(fd);
	hear_exited(fd, "tool", 3, 0);
	hear_no_bundle(fd);
	say_type(fd, MSG_TYPE_agent_finish);
	ck_assert_int_eq(status_of(pid), 0);
}
END_TEST

START_TEST(whole_not_proven)
{
	pid_t pid;
	int fd;

	make_where();
	pid = start_pid1(entry_no_proxy_body);
	fd = meet("new");
	say_start(fd, "touch /tmp/never", "", 60000);
	hear_proof(fd, false);
	/* Even when it is told to. */
	say_type(fd, MSG_TYPE_agent_release);
	ck_assert_int_eq(status_of(pid), 78);
}
END_TEST

START_TEST(whole_clone_fails)
{
	pid_t pid;
	int fd;

	make_where();
	pid = start_pid1(entry_body);
	fd = meet("new");
	(void)up_to_release(fd, "exit 3", "file:///nonexistent", 60000);
	hear_phase(fd, "cloning");
	hear_exited(fd, "clone", -1, 0);
	hear_no_bundle(fd);
	say_type(fd, MSG_TYPE_agent_finish);
	ck_assert_int_eq(status_of(pid), 0);
}
END_TEST

static pid_t
begin_in_repo(int (*body)(void), const char *script, int *fd)
{
	char url[128], line[512];
	pid_t pid;

	make_where();
	(void)snprintf(url, sizeof(url), "file://%s/seed", dir);
	(void)snprintf(line, sizeof(line),
	    "cd %s && git init -q seed && cd seed && git -c user.name=t "
	    "-c user.email=t@t commit -q --allow-empty -m first",
	    dir);
	ck_assert_int_eq(words_shell(line), 0);
	pid = start_pid1(body);
	*fd = meet("new");
	(void)up_to_release(*fd, script, url, 60000);
	hear_phase(*fd, "cloning");
	hear_phase(*fd, "cloned");
	hear_phase(*fd, "tool");
	hear_exited(*fd, "tool", 0, 0);
	hear_phase(*fd, "bundling");
	return pid;
}

START_TEST(whole_no_change)
{
	pid_t pid;
	int fd;

	pid = begin_in_repo(entry_body, "test -d .git", &fd);
	hear_nothing(fd);
	say_type(fd, MSG_TYPE_agent_finish);
	ck_assert_int_eq(status_of(pid), 0);
}
END_TEST

/* What was there and is lost is never told as nothing. */
static const struct {
	const char *script, *why;
	bool small, full;
} losses[] = {
	{ "head -c 3000000 /dev/urandom >big", "larger than", false, true },
	{ "rm -rf .git", "cannot be read", false, false },
	/* Neither the commit nor the file beside it has room. */
	{ "echo d >d; cat /dev/zero >../fill 2>/dev/null; true",
	    "the workspace is full", true, true },
	{ "i=0; while echo $i >f$i; do i=$((i + 1)); done 2>/dev/null; true",
	    "the workspace is full: ", true, true },
};

START_TEST(whole_lost)
{
	pid_t pid;
	int fd;

	pid = begin_in_repo(losses[_i].small ? entry_small_body : entry_body,
	    losses[_i].script, &fd);
	hear_lost(fd, losses[_i].full, losses[_i].why);
	say_type(fd, MSG_TYPE_agent_finish);
	ck_assert_int_eq(status_of(pid), 0);
}
END_TEST

/* What is committed is had, whatever was wanting for the rest. */
START_TEST(whole_full_beside)
{
	struct msg m;
	pid_t pid;
	int fd;

	pid = begin_in_repo(entry_small_body,
	    "echo c >c && git add c && git commit -qm c && "
	    "head -c 2500000 /dev/urandom >x",
	    &fd);
	hear(fd, MSG_TYPE_agent_bundle, &m);
	ck_assert_int_ne(m.u.agent_bundle.stream, 0);
	ck_assert_int_gt(m.u.agent_bundle.bytes, 0);
	ck_assert_ptr_nonnull(m.u.agent_bundle.why);
	ck_assert_msg(
	    strncmp(m.u.agent_bundle.why, "the workspace is full: ", 23) == 0,
	    "%s", m.u.agent_bundle.why);
	msg_free(&m);
	(void)close(fd);
	(void)kill(inner_of(pid), SIGKILL);
	(void)waitpid(pid, NULL, 0);
}
END_TEST

/* With HOME full to the last byte there may be room elsewhere. */
static int
entry_small_spare_body(void)
{
	where.spare = dir;
	return entry_small_body();
}

START_TEST(whole_full_and_saved)
{
	struct msg m;
	pid_t pid;
	int fd;

	pid = begin_in_repo(entry_small_spare_body,
	    "echo d >d; cat /dev/zero >../fill 2>/dev/null; true", &fd);
	hear(fd, MSG_TYPE_agent_bundle, &m);
	ck_assert_int_ne(m.u.agent_bundle.stream, 0);
	ck_assert_int_gt(m.u.agent_bundle.bytes, 0);
	ck_assert_msg(m.u.agent_bundle.why == NULL, "%s", m.u.agent_bundle.why);
	msg_free(&m);
	(void)close(fd);
	(void)kill(inner_of(pid), SIGKILL);
	(void)waitpid(pid, NULL, 0);
}
END_TEST

/* What is said before the release ends it with nothing done. */
START_TEST(whole_early_ends)
{
	static const enum msg_type ends[] = { MSG_TYPE_agent_finish,
		MSG_TYPE_agent_release, MSG_TYPE_agent_stop };
	struct msg m;
	pid_t pid;
	int fd;

	make_where();
	pid = start_pid1(entry_body);
	fd = meet("new");
	memset(&m, 0, sizeof(m));
	m.type = ends[_i];
	if (m.type == MSG_TYPE_agent_stop)
		m.u.agent_stop.reason = "cancelled";
	say(fd, &m);
	ck_assert_int_eq(status_of(pid), 78);
}
END_TEST

START_TEST(refuses)
{
	const struct entry_where strict = { .socket = "/nonexistent",
		.any_user = true };
	const struct entry_where root = { .socket = "/nonexistent",
		.any_pid = true };

	(void)setenv("AGENT_SANDBOX", "1", 1);
	ck_assert_int_eq(cmd_entrypoint_at(&strict), 78); /* not PID 1 */
	ck_assert_int_eq(cmd_entrypoint_at(&root), 78); /* uid 0 */
	(void)setenv("AGENT_SANDBOX", "yes", 1);
	ck_assert_int_eq(cmd_entrypoint_at(&where), 78);
	(void)unsetenv("AGENT_SANDBOX");
	ck_assert_int_eq(cmd_entrypoint_at(&where), 78);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("entrypoint");
	TCase *t = tcase_create("pid1");
	SRunner *r;
	int failed;

	if (geteuid() != 0) {
		(void)printf("skipped: namespaces need root\n");
		return 77;
	}
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, reaps_orphans);
	tcase_add_test(t, kills_all_that_is_left);
	tcase_add_test(t, stops);
	tcase_add_test(t, deadline);
	tcase_add_test(t, a_gibibyte_that_nobody_takes);
	tcase_add_test(t, last_line);
	tcase_add_test(t, prompts);
	tcase_add_test(t, nothing_leaks);
	tcase_add_test(t, no_program);
	tcase_add_test(t, refuses);
	tcase_add_test(t, whole);
	tcase_add_test(t, whole_as_user);
	tcase_add_test(t, whole_output);
	tcase_add_test(t, whole_deadline);
	tcase_add_test(t, whole_stop);
	tcase_add_test(t, whole_term);
	tcase_add_test(t, whole_term_from_within);
	tcase_add_test(t, whole_reconnects);
	tcase_add_test(t, whole_not_proven);
	tcase_add_test(t, whole_clone_fails);
	tcase_add_test(t, whole_no_change);
	tcase_add_loop_test(
	    t, whole_lost, 0, (int)(sizeof(losses) / sizeof(losses[0])));
	tcase_add_test(t, whole_full_beside);
	tcase_add_test(t, whole_full_and_saved);
	tcase_add_loop_test(t, whole_early_ends, 0, 3);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
