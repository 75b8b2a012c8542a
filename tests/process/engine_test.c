/*
 * The real role, started the real way and in its real sandbox (this program is
 * its own daemon: see main), against tests/helper/fakedockerd.py, which goes
 * wrong in every way we know, and against a real engine where one can be had.
 */

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/log.h"
#include "libcommon/msg.h"
#include "libcommon/proc.h"

#include "dispatchd/engine.h"

#include "tests/process/role.h"

#define WAIT_MS 40000 /* for any one message */
#define INSTANCE "iiiiiiiiiiii"
#define RUN "aaaaaaaaaaaa"
#define AB8 "abababababababab"
#define IMAGE "sha256:" AB8 AB8 AB8 AB8 /* of the fake engine */
#define OTHER "bbbbbbbbbbbb"
#define AB16 "abababababababab"
#define STEPS 16
#define ARGS 8
#define TEXT 4096

static struct link parent, queue;
static pid_t engine = -1, server = -1;
static int server_in = -1;
static char dir[64];
static char events[TEXT]; /* "die RUN 137;..." in the order they came */
static int64_t last_id, last_pid;
static char known[65]; /* the container's id that is asked with; "": none */
static char made[65]; /* what engine.create told last */

/* --- the server --------------------------------------------------------- */

static void
server_exec(const char *const *argv, int in, int out)
{
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

/* Its first line is READY, or SKIP and why. */
static void
server_run(const char *const *argv, char *line, size_t len)
{
	int in[2], out[2];
	size_t i;

	ck_assert_int_eq(pipe(in), 0);
	ck_assert_int_eq(pipe(out), 0);
	ck_assert_int_ne(server = fork(), -1);
	if (server == 0) {
		close(in[1]);
		close(out[0]);
		server_exec(argv, in[0], out[1]);
	}
	close(in[0]);
	close(out[1]);
	server_in = in[1];
	for (i = 0; i + 1 < len && strchr(line, '\n') == NULL; i++)
		ck_assert_int_eq(read(out[0], line + i, 1), 1);
	line[strcspn(line, "\n")] = '\0';
	close(out[0]);
}

static void
fake_start(const char *const *args)
{
	const char *argv[ARGS + 8] = { "python3",
		SOURCE_DIR "/tests/helper/fakedockerd.py" };
	char sock[96], log[96], line[256] = "";
	size_t n = 2;

	snprintf(sock, sizeof(sock), "--socket=%s/docker.sock", dir);
	snprintf(log, sizeof(log), "--log=%s/log", dir);
	argv[n++] = sock;
	argv[n++] = log;
	while (*args != NULL)
		argv[n++] = *args++;
	server_run(argv, line, sizeof(line));
	ck_assert_str_eq(line, "READY");
}

static void
fake_stop(void)
{
	if (server <= 0)
		return;
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	server = -1;
	close(server_in);
}

/* How many requests of the log start so, whatever the version. */
static int
asked(const char *method, const char *path)
{
	char name[96], line[1024], word[16], *p;
	int n = 0;
	FILE *f;

	snprintf(name, sizeof(name), "%s/log", dir);
	if ((f = fopen(name, "r")) == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL) {
		snprintf(word, sizeof(word), "%s /", method);
		if (strncmp(line, word, strlen(word)) != 0)
			continue;
		p = line + strlen(method) + 1;
		if (strncmp(p, "/v1.", 4) == 0)
			p = strchr(p + 1, '/');
		n += strncmp(p, path, strlen(path)) == 0;
	}
	fclose(f);
	return n;
}

/* --- links --------------------------------------------------------------- */

static void
add(char *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
add(char *text, const char *fmt, ...)
{
	size_t n = strlen(text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + n, TEXT - n, fmt, ap);
	va_end(ap);
}

static void
note_event(const struct msg *m)
{
	const struct msg_engine_event *e = &m->u.engine_event;

	add(events, "%s%s%s%s%s;", e->what, e->run != NULL ? " " : "",
	    e->run != NULL ? e->run : "", e->detail != NULL ? " " : "",
	    e->detail != NULL ? e->detail : "");
}

/* The next answer; events are noted on the way. */
static void
answer(struct msg *m)
{
	for (;;) {
		ck_assert_msg(link_recv(&queue, m, WAIT_MS), "nothing came");
		if (m->type != MSG_TYPE_engine_event)
			return;
		note_event(m);
		msg_free(m);
	}
}

/* Until an event of these words was noted. */
static void
expect_event(const char *words)
{
	int64_t end = now_ms() + WAIT_MS;
	struct msg m;

	while (strstr(events, words) == NULL) {
		ck_assert_msg(now_ms() < end &&
		        link_recv(&queue, &m, (int)(end - now_ms())),
		    "no event \"%s\" in \"%s\"", words, events);
		ck_assert_int_eq(m.type, MSG_TYPE_engine_event);
		note_event(&m);
		msg_free(&m);
	}
}

/* --- words ---------------------------------------------------------------- */

static void
show_state(const struct msg_engine_state *s, char *text)
{
	last_pid = s->pid;
	add(text, "%s%s code %lld%s%s%s", s->status, s->pid > 0 ? " pid" : "",
	    (long long)s->exit_code, s->started ? " started" : "",
	    s->oom ? " oom" : "", s->error[0] != '\0' ? " error" : "");
}

static void
show_map(const struct msg_map *map, const char *name, bool value, char *text)
{
	size_t i;

	for (i = 0; i < map->n; i++)
		add(text, " %s %s%s%s", name, map->k[i], value ? "=" : "",
		    value ? map->v[i] : "");
}

/* Without an image there is a warning, which names it. */
static void
show_no_image(const struct msg_engine_info_answer *a, char *text)
{
	if (a->image_id[0] != '\0')
		return;
	ck_assert_uint_ge(a->warnings.n, 1);
	ck_assert_ptr_nonnull(strstr(a->warnings.v[0], "no run can be made"));
	add(text, ", %s", strstr(a->warnings.v[0], "the engine"));
}

static void
show(const struct msg *m, char *text)
{
	const struct msg_error *e = &m->u.error;
	size_t i;

	text[0] = '\0';
	switch (m->type) {
	case MSG_TYPE_error:
		add(text, "error %s", e->error);
		for (i = 0; i < e->detail.n; i++)
			add(text, " %s", e->detail.v[i]);
		break;
	case MSG_TYPE_engine_created:
		strlcpy(made, m->u.engine_created.container, sizeof(made));
		add(text, m->u.engine_created.adopted ? "adopted" : "created");
		break;
	case MSG_TYPE_engine_state:
		show_state(&m->u.engine_state, text);
		break;
	case MSG_TYPE_engine_done:
		add(text, "done");
		break;
	case MSG_TYPE_engine_stderr_answer:
		add(text, "%s", m->u.engine_stderr_answer.text);
		break;
	case MSG_TYPE_engine_listed:
		add(text, "listed");
		show_map(&m->u.engine_listed.containers, "c", true, text);
		show_map(&m->u.engine_listed.networks, "n", false, text);
		for (i = 0; i < m->u.engine_listed.foreign.n; i++)
			add(text, " f %s", m->u.engine_listed.foreign.v[i]);
		break;
	case MSG_TYPE_engine_info_answer:
		add(text, "info %s", m->u.engine_info_answer.api);
		show_no_image(&m->u.engine_info_answer, text);
		break;
	default:
		ck_abort_msg("message %d", (int)m->type);
	}
}

static void
fill_create(struct msg *m, const char *run)
{
	struct msg_engine_create *c = &m->u.engine_create;

	c->run = run;
	c->subnet = "10.99.0.8/29";
	c->gateway = "10.99.0.9";
	c->address = "10.99.0.10";
	c->memory = 256 * 1024 * 1024;
	c->cpus_milli = 500;
	c->pids = 64;
	c->workspace = 64 * 1024 * 1024;
	c->tmp = 1024 * 1024;
}

/* "create RUN" and its like; "create2" has another address. */
static void
ask(const char *verb, const char *run)
{
	static const struct {
		const char *verb;
		enum msg_type type;
	} verbs[] = {
		{ "info", MSG_TYPE_engine_info },
		{ "look", MSG_TYPE_engine_info },
		{ "create", MSG_TYPE_engine_create },
		{ "create2", MSG_TYPE_engine_create },
		{ "start", MSG_TYPE_engine_start },
		{ "inspect", MSG_TYPE_engine_inspect },
		{ "kill", MSG_TYPE_engine_kill },
		{ "stderr", MSG_TYPE_engine_stderr },
		{ "remove", MSG_TYPE_engine_remove },
		{ "list", MSG_TYPE_engine_list },
	};
	struct msg m = { .id = ++last_id };
	size_t i;

	for (i = 0; strcmp(verbs[i].verb, verb) != 0; i++)
		ck_assert_uint_lt(i + 1, sizeof(verbs) / sizeof(verbs[0]));
	m.type = verbs[i].type;
	/* Run and container stand first in each message that has them. */
	if (m.type == MSG_TYPE_engine_create)
		fill_create(&m, run);
	else if (run != NULL) {
		m.u.engine_start.run = run;
		m.u.engine_start.container = known;
	}
	if (strcmp(verb, "look") == 0)
		m.u.engine_info.look = true;
	if (strcmp(verb, "create2") == 0)
		m.u.engine_create.memory *= 2;
	link_send(&queue, &m);
}

/* "VERB RUN" or "VERB". */
static void
step(const char *words, const char *want, const char *name)
{
	char verb[32], text[TEXT];
	const char *run = strchr(words, ' ');
	struct msg m;

	strlcpy(verb, words, sizeof(verb));
	verb[strcspn(verb, " ")] = '\0';
	ask(verb, run != NULL ? run + 1 : NULL);
	answer(&m);
	ck_assert_int_eq(m.id, last_id);
	show(&m, text);
	ck_assert_msg(strcmp(text, want) == 0, "%s: %s: \"%s\", not \"%s\"",
	    name, words, text, want);
	msg_free(&m);
}

/* --- the role ---------------------------------------------------------------
 */

static void
send_base(const char *driver)
{
	struct msg m = { .type = MSG_TYPE_engine_base };
	char sock[96], runs[96];

	snprintf(sock, sizeof(sock), "%s/docker.sock", dir);
	snprintf(runs, sizeof(runs), "%s/runs", dir);
	m.u.engine_base.driver = driver;
	m.u.engine_base.socket = sock;
	m.u.engine_base.instance = INSTANCE;
	m.u.engine_base.prefix = "bh-";
	m.u.engine_base.runs_dir = runs;
	m.u.engine_base.image = "agent:1";
	link_send(&parent, &m);
}

static void
engine_spawn(void)
{
	struct proc_spec spec = { .role = "engine", .nfds = 1 };

	spec.fds[0] = link_make(&queue);
	queue.max = FRAME_CTL_BIG_MAX;
	events[0] = '\0';
	engine = role_spawn("dispatchd", &spec, &parent);
}

static void
engine_begin(void)
{
	struct msg go = { .type = MSG_TYPE_go };

	engine_spawn();
	send_base("docker");
	link_send(&parent, &go);
}

static int
engine_status(void)
{
	return role_status(&engine, WAIT_MS);
}

static void
engine_stop(void)
{
	close(parent.fd);
	ck_assert_int_eq(engine_status(), 0);
	close(queue.fd);
}

static void
setup(void)
{
	/* None of these may have an effect. */
	setenv("http_proxy", "http://192.0.2.1:9", 1);
	setenv("ALL_PROXY", "http://192.0.2.1:9", 1);
	log_init("engine_test", 1, 0);
	strlcpy(dir, "/tmp/engine_test.XXXXXX", sizeof(dir));
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chmod(dir, 0755), 0);
}

static void
teardown(void)
{
	char path[96];

	role_kill(&engine);
	fake_stop();
	snprintf(path, sizeof(path), "%s/log", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/docker.sock", dir);
	unlink(path);
	rmdir(dir);
}

/* --- faults ------------------------------------------------------------------
 */

static const struct {
	const char *name;
	const char *args[ARGS];
	struct {
		const char *ask, *want;
	} steps[STEPS];
	/* How often something was asked of the engine; NULL: not counted. */
	const char *method, *path;
	int times;
} faults[] = {
	{ "a whole life", { NULL },
	    { { "info", "info 1.44" }, { "create " RUN, "created" },
	        { "inspect " RUN, "created code -1" },
	        { "create " RUN, "adopted" },
	        { "start " RUN, "running pid code -1 started" },
	        { "start " RUN, "running pid code -1 started" },
	        { "create " RUN, "error conflict" },
	        { "list", "listed c " RUN "=running n " RUN },
	        { "stderr " RUN, "agent-cli: \\x1b[0mno AGENT_SANDBOX" },
	        { "kill " RUN, "done" }, { "kill " RUN, "done" },
	        { "inspect " RUN, "exited code 137 started" },
	        { "start " RUN, "exited code 137 started" },
	        { "remove " RUN, "done" }, { "remove " RUN, "done" },
	        { "inspect " RUN, "absent code -1" } },
	    "POST", "/containers/", 5 },
	{ "nothing there", { NULL },
	    { { "inspect " RUN, "absent code -1" },
	        { "start " RUN, "absent code -1" }, { "kill " RUN, "done" },
	        { "stderr " RUN, "" }, { "remove " RUN, "done" },
	        { "list", "listed" } },
	    "POST", "/", 0 },
	{ "other words", { NULL },
	    { { "create " RUN, "created" },
	        { "create2 " RUN, "error conflict" },
	        { "inspect " RUN, "created code -1" } },
	    "DELETE", "/", 0 },
	{ "subnet", { NULL },
	    { { "create " RUN, "created" }, { "create " OTHER, "error subnet" },
	        { "list", "listed c " RUN "=created n " RUN } },
	    "DELETE", "/", 0 },
	{ "A21 foreign", { "--foreign=" RUN },
	    { { "create " RUN, "error conflict" },
	        { "start " RUN, "error conflict" },
	        { "kill " RUN, "error conflict" },
	        { "stderr " RUN, "error conflict" },
	        { "remove " RUN, "error conflict" },
	        { "list",
	            "listed f container bulkhead-" RUN
	            " f network bulkhead-" RUN } },
	    "DELETE", "/", 0 },
	{ "D05 network", { "--fault=netcreate=500-made" },
	    { { "create " RUN, "created" } }, "POST", "/networks/create", 1 },
	{ "D05 container", { "--fault=create=500-made" },
	    { { "create " RUN, "adopted" } }, "POST", "/containers/create", 1 },
	{ "F03 network, answer lost", { "--fault=netcreate=cut-made" },
	    { { "create " RUN, "created" } }, "POST", "/networks/create", 1 },
	{ "F03 container, answer lost", { "--fault=create=cut-made" },
	    { { "create " RUN, "adopted" } }, "POST", "/containers/create", 1 },
	{ "container lost", { "--fault=create=cut" },
	    { { "create " RUN, "error unavailable" },
	        { "create " RUN, "created" } },
	    "POST", "/containers/create", 2 },
	{ "create fails", { "--fault=create=500" },
	    { { "create " RUN, "error unavailable" } }, NULL, NULL, 0 },
	{ "create refused", { "--fault=create=400" },
	    { { "create " RUN, "error refused" }, { "list", "listed" } },
	    "DELETE", "/networks/", 1 },
	{ "network refused", { "--fault=netcreate=400" },
	    { { "create " RUN, "error refused" }, { "list", "listed" } }, NULL,
	    NULL, 0 },
	{ "D06 reset behind the 204", { "--fault=start=reset-made" },
	    { { "create " RUN, "created" },
	        { "start " RUN, "running pid code -1 started" } },
	    "POST", "/containers/", 2 },
	{ "start, answer lost", { "--fault=start=cut-made" },
	    { { "create " RUN, "created" },
	        { "start " RUN, "running pid code -1 started" } },
	    "POST", "/containers/", 2 },
	{ "start lost", { "--fault=start=cut" },
	    { { "create " RUN, "created" },
	        { "start " RUN, "error unavailable" },
	        { "start " RUN, "running pid code -1 started" } },
	    NULL, NULL, 0 },
	{ "start refused", { "--fault=start=400" },
	    { { "create " RUN, "created" }, { "start " RUN, "error refused" } },
	    NULL, NULL, 0 },
	{ "kill, answer lost", { "--fault=kill=cut-made" },
	    { { "create " RUN, "created" },
	        { "start " RUN, "running pid code -1 started" },
	        { "kill " RUN, "done" } },
	    NULL, NULL, 0 },
	{ "kill fails once", { "--fault=kill=500" },
	    { { "create " RUN, "created" },
	        { "start " RUN, "running pid code -1 started" },
	        { "kill " RUN, "done" },
	        { "inspect " RUN, "exited code 137 started" } },
	    NULL, NULL, 0 },
	{ "dead for a while", { "--dead=2" },
	    { { "create " RUN, "created" }, { "remove " RUN, "done" },
	        { "list", "listed" } },
	    "DELETE", "/containers/", 3 },
	{ "dead for ever", { "--dead=99" },
	    { { "create " RUN, "created" },
	        { "remove " RUN, "error unavailable" },
	        { "inspect " RUN, "dead code 0" } },
	    "DELETE", "/containers/", 7 },
	{ "F09 removal, answer lost",
	    { "--fault=delete=cut-made", "--fault=netdelete=cut-made" },
	    { { "create " RUN, "created" }, { "remove " RUN, "done" } },
	    "DELETE", "/", 2 },
	{ "a GET is asked again", { "--fault=inspect=cut*2" },
	    { { "inspect " RUN, "absent code -1" } }, "GET", "/containers/b",
	    3 },
	{ "D07 EOF within the body", { "--fault=inspect=eof*9" },
	    { { "create " RUN, "error unavailable" } }, NULL, NULL, 0 },
	{ "1 GiB", { "--fault=inspect=giant" },
	    { { "inspect " RUN, "error unavailable" } }, NULL, NULL, 0 },
	{ "a long head", { "--fault=inspect=head" },
	    { { "inspect " RUN, "error unavailable" } }, NULL, NULL, 0 },
	{ "a page", { "--fault=netinspect=html" },
	    { { "create " RUN, "error unavailable" } }, NULL, NULL, 0 },
	{ "no HTTP", { "--fault=inspect=garbage" },
	    { { "inspect " RUN, "error unavailable" } }, NULL, NULL, 0 },
	{ "keys twice", { "--fault=netinspect=twice" },
	    { { "create " RUN, "error internal" } }, "DELETE", "/", 0 },
	{ "slow body", { "--fault=info=slow*2" },
	    { { "info", "error unavailable" }, { "info", "info 1.44" } }, NULL,
	    NULL, 0 },
	{ "silence", { "--fault=image=silence*2" },
	    { { "info", "error unavailable" } }, NULL, NULL, 0 },
	{ "D09 image absent", { "--fault=image=404*9" },
	    { { "info", "info 1.44, the engine has no image agent:1" },
	        { "create " RUN, "error image_absent" } },
	    "POST", "/", 0 },
	{ "image not told", { "--fault=image=500*2" },
	    { { "info", "info 1.44, the engine answers 500: it failed" },
	        { "list", "listed" }, { "create " RUN, "error internal" },
	        { "create " RUN, "created" } },
	    NULL, NULL, 0 },
	{ "D04 too old", { "--api=1.40" },
	    { { "info", "error unavailable" },
	        { "create " RUN, "error unavailable" } },
	    NULL, NULL, 0 },
	{ "D04 too new", { "--api=1.99", "--min=1.60" },
	    { { "info", "error unavailable" } }, NULL, NULL, 0 },
	{ "an old one", { "--api=1.41", "--min=1.12" },
	    { { "info", "info 1.41" }, { "create " RUN, "created" } }, NULL,
	    NULL, 0 },
	{ "a raised minimum", { "--api=1.52", "--min=1.48" },
	    { { "info", "info 1.48" }, { "create " RUN, "created" } }, NULL,
	    NULL, 0 },
	{ "no engine at all", { "--api=" }, { { "info", "error unavailable" } },
	    NULL, NULL, 0 },
	{ "D11 a key dropped", { "--drop=HostConfig/ReadonlyRootfs" },
	    { { "create " RUN, "error boundary HostConfig.ReadonlyRootfs" },
	        { "list", "listed" } },
	    "DELETE", "/", 2 },
	{ "D11 not internal", { "--drop=Internal=false" },
	    { { "create " RUN, "error boundary Internal" },
	        { "list", "listed" } },
	    "POST", "/containers/create", 0 },
	{ "D11 and the container is not shown",
	    { "--drop=HostConfig/ReadonlyRootfs", "--fault=inspect=ok",
	        "--fault=inspect=500" },
	    { { "create " RUN, "error boundary HostConfig.ReadonlyRootfs" },
	        { "list", "listed c " RUN "=created n " RUN },
	        { "remove " RUN, "done" } },
	    NULL, NULL, 0 },
	{ "D11 and the network is not shown",
	    { "--drop=HostConfig/ReadonlyRootfs", "--fault=netinspect=ok",
	        "--fault=netinspect=500" },
	    { { "create " RUN, "error boundary HostConfig.ReadonlyRootfs" },
	        { "list", "listed n " RUN }, { "remove " RUN, "done" } },
	    NULL, NULL, 0 },
	{ "D11 our label dropped",
	    { "--drop=Config/Labels={\"bulkhead.run\":\"" RUN "\"}" },
	    { { "create " RUN, "error conflict" } }, "DELETE", "/", 0 },
};

START_TEST(fault)
{
	int i;

	setup();
	fake_start(faults[_i].args);
	engine_begin();
	for (i = 0; i < STEPS && faults[_i].steps[i].ask != NULL; i++)
		step(faults[_i].steps[i].ask, faults[_i].steps[i].want,
		    faults[_i].name);
	if (faults[_i].method != NULL)
		ck_assert_msg(asked(faults[_i].method, faults[_i].path) ==
		        faults[_i].times,
		    "%s: %d times", faults[_i].name,
		    asked(faults[_i].method, faults[_i].path));
	engine_stop();
	teardown();
}
END_TEST

/* --- by itself
 * ---------------------------------------------------------------- */

static const char *const none[] = { NULL };

/* D03: nothing listens; then it does, and is asked who it is. */
START_TEST(engine_away)
{
	setup();
	engine_begin();
	step("inspect " RUN, "error unavailable", "away");
	fake_start(none);
	step("inspect " RUN, "absent code -1", "back");
	expect_event("reconnected;");
	fake_stop();
	expect_event("lost;");
	step("list", "error unavailable", "away again");
	events[0] = '\0';
	fake_start(none);
	expect_event("reconnected;");
	step("list", "listed", "back again");
	engine_stop();
	teardown();
}
END_TEST

/* However long it takes to get there, the events are read once. */
START_TEST(one_stream)
{
	static const char *const slow[] = { "--fault=info=silence", NULL };

	setup();
	fake_start(slow);
	engine_begin();
	expect_event("reconnected;");
	sleep(3);
	ck_assert_int_eq(asked("GET", "/events"), 1);
	step("list", "listed", "one stream");
	ck_assert_int_eq(asked("GET", "/events"), 1);
	engine_stop();
	teardown();
}
END_TEST

START_TEST(interference)
{
	static const char *const meddle[] = { "--meddle", NULL };

	setup();
	fake_start(meddle);
	engine_begin();
	expect_event("reconnected;");
	step("create " RUN, "created", "meddle");
	step("start " RUN, "running pid code -1 started", "meddle");
	expect_event("external " RUN " exec_create;");
	step("kill " RUN, "done", "meddle");
	expect_event("die " RUN " 137;");
	step("remove " RUN, "done", "meddle");
	/* What we asked for ourselves is no interference. */
	ck_assert_ptr_null(strstr(events, "external " RUN " start"));
	ck_assert_ptr_null(strstr(events, "external " RUN " kill"));
	ck_assert_ptr_null(strstr(events, "external " RUN " create"));
	ck_assert_ptr_null(strstr(events, "external " RUN " destroy"));
	engine_stop();
	teardown();
}
END_TEST

/* --- another name ------------------------------------------------------------
 */

/* What somebody else asks of the engine. */
static void
meddle(const char *method, const char *path, const char *body)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char text[TEXT];
	ssize_t n;
	int fd;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/docker.sock", dir);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	snprintf(text, sizeof(text),
	    "%s %s HTTP/1.1\r\nContent-Length: %zu\r\n\r\n%s", method, path,
	    strlen(body), body);
	ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
	n = read(fd, text, sizeof(text) - 1);
	ck_assert_int_gt(n, 10);
	text[n] = '\0';
	ck_assert_msg(strncmp(text, "HTTP/1.1 20", 11) == 0, "%s", text);
	close(fd);
}

/* A run at work loses its name; another container with our labels has it. */
static void
change_names(bool impostor)
{
	meddle(
	    "POST", "/v1.44/containers/bulkhead-" RUN "/rename?name=other", "");
	if (!impostor)
		return;
	meddle("POST", "/v1.44/containers/create?name=bulkhead-" RUN,
	    "{\"Image\":\"sha256:" AB16 AB16 AB16 AB16 "\",\"Env\":[],"
	    "\"Labels\":{\"bulkhead.instance\":\"" INSTANCE
	    "\",\"bulkhead.run\":\"" RUN "\"},"
	    "\"HostConfig\":{\"Mounts\":[{\"Source\":\"/\",\"Target\":\"/\"}]},"
	    "\"NetworkingConfig\":{\"EndpointsConfig\":{}}}");
}

/* Whatever names there are: its id tells which one it is. */
START_TEST(renamed)
{
	static const char *const words[] = {
		"listed n " RUN " f container other",
		"listed c " RUN "=created n " RUN " f container other",
	};
	bool impostor = _i == 1;

	setup();
	fake_start(none);
	engine_begin();
	step("create " RUN, "created", "renamed");
	strlcpy(known, made, sizeof(known));
	change_names(impostor);
	step("list", words[_i], "renamed");
	step("inspect " RUN, "created code -1", "renamed");
	step("start " RUN, "running pid code -1 started", "renamed");
	step("inspect " RUN, "running pid code -1 started", "renamed");
	/* An id that is another run's opens nothing. */
	step("inspect " OTHER, "error conflict", "renamed");
	step("kill " OTHER, "error conflict", "renamed");
	step("remove " OTHER, "error conflict", "renamed");
	step("kill " RUN, "done", "renamed");
	step("inspect " RUN, "exited code 137 started", "renamed");
	step("remove " RUN, "done", "renamed");
	ck_assert_int_eq(asked("DELETE", "/containers/"), 1);
	/* The engine does not know the id any more. */
	step("inspect " RUN, "absent code -1", "renamed");
	step("start " RUN, "absent code -1", "renamed");
	step("kill " RUN, "done", "renamed");
	step("remove " RUN, "done", "renamed");
	ck_assert_int_eq(asked("DELETE", "/containers/"), 1);
	known[0] = '\0';
	step("inspect " RUN, impostor ? "created code -1" : "absent code -1",
	    "renamed");
	engine_stop();
	teardown();
}
END_TEST

/* Only what is still to be made needs the image. */
START_TEST(image_gone)
{
	setup();
	fake_start(none);
	engine_begin();
	step("create " RUN, "created", "image gone");
	step("start " RUN, "running pid code -1 started", "image gone");
	meddle("DELETE", "/v1.44/images/agent:1", "");
	step("look", "info 1.44", "untagged");
	meddle("DELETE", "/v1.44/images/" IMAGE, "");
	step("look",
	    "info 1.44, the engine has lost the image agent:1 that runs are "
	    "made from",
	    "image gone");
	engine_stop();
	engine_begin();
	expect_event("reconnected;");
	step("info", "info 1.44, the engine has no image agent:1", "gone");
	step("list", "listed c " RUN "=running n " RUN, "image gone");
	step("create " OTHER, "error image_absent", "image gone");
	step("inspect " RUN, "running pid code -1 started", "image gone");
	step("kill " RUN, "done", "image gone");
	step("inspect " RUN, "exited code 137 started", "image gone");
	step("remove " RUN, "done", "image gone");
	step("list", "listed", "image gone");
	ck_assert_int_eq(asked("POST", "/networks/create"), 1);
	engine_stop();
	teardown();
}
END_TEST

START_TEST(bad_container)
{
	setup();
	engine_begin();
	strlcpy(known, "../../../../../images", sizeof(known));
	ask("inspect", RUN);
	ck_assert_int_eq(engine_status(), EXIT_INTERNAL);
	close(parent.fd);
	close(queue.fd);
	teardown();
}
END_TEST

/* --- many -------------------------------------------------------------------
 */

/* Many at once: each is answered; two of one run one behind the other. */
START_TEST(many)
{
	char run[13], text[TEXT];
	struct msg m;
	int i, done = 0;

	setup();
	fake_start(none);
	engine_begin();
	ask("create", RUN);
	ask("start", RUN);
	ask("kill", RUN);
	for (i = 0; i < 100; i++) {
		snprintf(run, sizeof(run), "cccccccccc%c%c", 'a' + i / 10,
		    'a' + i % 10);
		ask(i % 2 == 0 ? "inspect" : "remove", run);
	}
	for (i = 0; i < 103; i++) {
		answer(&m);
		show(&m, text);
		if (m.id == last_id - 102)
			ck_assert_str_eq(text, "created");
		else if (m.id == last_id - 101)
			ck_assert_str_eq(text, "running pid code -1 started");
		else if (strcmp(text, "done") == 0)
			done++;
		else
			ck_assert_str_eq(text, "absent code -1");
		msg_free(&m);
	}
	ck_assert_int_eq(done, 51);
	step("inspect " RUN, "exited code 137 started", "many");
	engine_stop();
	teardown();
}
END_TEST

/* --- the parent --------------------------------------------------------------
 */

START_TEST(bad_base)
{
	setup();
	engine_spawn();
	send_base("podman");
	ck_assert_int_eq(engine_status(), EXIT_INTERNAL);
	close(parent.fd);
	close(queue.fd);
	teardown();
}
END_TEST

START_TEST(base_twice)
{
	setup();
	engine_spawn();
	send_base("docker");
	send_base("docker");
	ck_assert_int_eq(engine_status(), EXIT_INTERNAL);
	close(parent.fd);
	close(queue.fd);
	teardown();
}
END_TEST

START_TEST(bad_run)
{
	setup();
	engine_begin();
	ask("inspect", "../../../../");
	ck_assert_int_eq(engine_status(), EXIT_INTERNAL);
	close(parent.fd);
	close(queue.fd);
	teardown();
}
END_TEST

/* --- the real engine ---------------------------------------------------------
 */

/* A line of /proc/PID/status, without its name. */
static void
status_is(const char *name, const char *want)
{
	char path[64], line[256];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%lld/status", (long long)last_pid);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, name, strlen(name)) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		ck_assert_str_eq(line + strlen(name), want);
		found = true;
	}
	fclose(f);
	ck_assert(found);
}

static void
real_life(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/runs", dir);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/runs/" RUN, dir);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	engine_begin();
	expect_event("reconnected;");
	step("info", "info 1.41", "real");
	step("create " RUN, "created", "real");
	step("create " RUN, "adopted", "real");
	step("create2 " RUN, "error conflict", "real");
	step("create " OTHER, "error subnet", "real");
	step("inspect " RUN, "created code -1", "real");
	step("start " RUN, "running pid code -1 started", "real");
	status_is("Uid:\t", "1000\t1000\t1000\t1000");
	status_is("CapBnd:\t", "0000000000000000");
	status_is("NoNewPrivs:\t", "1");
	status_is("Seccomp:\t", "2");
	step("list", "listed c " RUN "=running n " RUN, "real");
	step("stderr " RUN, "PID 1 \\x1b says", "real");
	step("kill " RUN, "done", "real");
	expect_event("die " RUN " 137;");
	step("inspect " RUN, "exited code 137 started", "real");
	step("start " RUN, "exited code 137 started", "real");
	step("remove " RUN, "done", "real");
	step("remove " RUN, "done", "real");
	step("list", "listed", "real");
	ck_assert_ptr_null(strstr(events, "external"));
	engine_stop();
}

START_TEST(real)
{
	const char *argv[] = { "python3",
		SOURCE_DIR "/tests/helper/realdockerd.py", dir, NULL };
	char line[256] = "";

	setup();
	server_run(argv, line, sizeof(line));
	if (strcmp(line, "READY") == 0)
		real_life();
	else
		fprintf(stderr, "skip the real engine: %s\n", line);
	/* It tidies up on its own, the directory with it. */
	close(server_in);
	waitpid(server, NULL, 0);
	server = -1;
	teardown();
}
END_TEST

/* --- the program
 * --------------------------------------------------------------- */

static void
add_case(Suite *suite, const char *name, const TTest *test, int rows)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 90);
	if (rows > 0)
		tcase_add_loop_test(tc, test, 0, rows);
	else
		tcase_add_test(tc, test);
	suite_add_tcase(suite, tc);
}

int
main(int argc, char **argv)
{
	Suite *suite;
	SRunner *runner;
	int failed;

	if (argc > 1)
		return role_main("dispatchd", argc, argv, engine_main);
	suite = suite_create("engine");
	add_case(suite, "fault", fault, sizeof(faults) / sizeof(faults[0]));
	add_case(suite, "engine_away", engine_away, 0);
	add_case(suite, "one_stream", one_stream, 0);
	add_case(suite, "interference", interference, 0);
	add_case(suite, "renamed", renamed, 2);
	add_case(suite, "image_gone", image_gone, 0);
	add_case(suite, "many", many, 0);
	add_case(suite, "bad_base", bad_base, 0);
	add_case(suite, "base_twice", base_twice, 0);
	add_case(suite, "bad_run", bad_run, 0);
	add_case(suite, "bad_container", bad_container, 0);
	add_case(suite, "real", real, 0);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
