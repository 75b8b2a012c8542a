#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/log.h"

#include "tests/process/frontend_world.h"

#define WATCH_ID 9000 /* requests of quiet() */

struct link parent, audit, proxies[WORLD_PROXIES], fw;

const char *const may_all[] = { "status", "run.open", "run.close", "runs.sync",
	"run.status", NULL };
const char *const profiles_all[] = { "dev", "ci", NULL };

static struct link clients[WORLD_CLIENTS_MAX];
static struct link *watcher; /* the client of quiet() */
static char directory[64], path[96];
static pid_t frontend_pid = -1;
static bool with_fw;

/* --- messages --------------------------------------------------------- */

void
send_plain(struct link *l, enum msg_type type, int64_t id)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	m.id = id;
	link_send(l, &m);
}

void
send_error(struct link *l, int64_t id, const char *code, const char *why)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_error;
	m.id = id;
	m.u.error.error = code;
	m.u.error.reason = why;
	link_send(l, &m);
}

/* --- the table -------------------------------------------------------- */

void
table_begin(int64_t generation)
{
	struct msg m = { .type = MSG_TYPE_table_begin };

	m.u.table_begin.table = "peers";
	m.u.table_begin.generation = generation;
	link_send(&parent, &m);
}

static size_t
count_of(const char *const *list)
{
	size_t n;

	for (n = 0; list[n] != NULL; n++)
		;
	return n;
}

void
table_peer(bool group, uint32_t id, const char *const *may)
{
	const char *v[8];
	struct msg m = { .type = MSG_TYPE_peer_row };
	size_t i, n = count_of(may);

	for (i = 0; i < n; i++)
		v[i] = may[i];
	m.u.peer_row.group = group;
	m.u.peer_row.id = id;
	m.u.peer_row.may.v = v;
	m.u.peer_row.may.n = n;
	link_send(&parent, &m);
}

void
table_runs(bool enforced)
{
	const char *networks[] = { "10.201.0.0/16", "172.30.0.0/24" };
	struct msg m = { .type = MSG_TYPE_runs_row };

	m.u.runs_row.prefix = "bh-";
	m.u.runs_row.port = 3128;
	m.u.runs_row.enforced = enforced;
	m.u.runs_row.networks.v = networks;
	m.u.runs_row.networks.n = 2;
	link_send(&parent, &m);
}

void
table_profile(const char *name)
{
	struct msg m = { .type = MSG_TYPE_profile_row };

	m.u.profile_row.name = name;
	link_send(&parent, &m);
}

void
table_end(int64_t generation, int64_t count)
{
	struct msg m = { .type = MSG_TYPE_table_end };

	m.u.table_end.table = "peers";
	m.u.table_end.generation = generation;
	m.u.table_end.count = count;
	link_send(&parent, &m);
}

void
expect_applied(int64_t generation)
{
	struct msg m;

	expect(&parent, &m, MSG_TYPE_table_applied);
	ck_assert_str_eq(m.u.table_applied.table, "peers");
	ck_assert_int_eq(m.u.table_applied.generation, generation);
	msg_free(&m);
}

void
table_load(
    int64_t generation, const char *const *may, const char *const *profiles)
{
	int64_t count = 2;

	table_begin(generation);
	table_peer(false, getuid(), may);
	table_runs(with_fw);
	for (; *profiles != NULL; profiles++, count++)
		table_profile(*profiles);
	table_end(generation, count);
	expect_applied(generation);
}

/* --- the daemon ------------------------------------------------------- */

static int
listen_here(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strlcpy(directory, "/tmp/frontend_test.XXXXXX", sizeof(directory));
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/sock", directory);
	strlcpy(sun.sun_path, path, sizeof(sun.sun_path));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(listen(fd, 128), 0);
	return fd;
}

void
world_spawn(bool enforced)
{
	struct proc_spec spec = { .role = "frontend" };
	int i;

	log_init("frontend_test", 1, 0);
	for (i = 0; i < WORLD_CLIENTS_MAX; i++)
		clients[i].fd = -1;
	watcher = NULL;
	fw.fd = -1;
	with_fw = enforced;
	spec.fds[spec.nfds++] = listen_here();
	spec.fds[spec.nfds++] = link_make(&audit);
	for (i = 0; i < WORLD_PROXIES; i++)
		spec.fds[spec.nfds++] = link_make(&proxies[i]);
	if (enforced)
		spec.fds[spec.nfds++] = link_make(&fw);
	frontend_pid = role_spawn("egressd", &spec, &parent);
}

void
world_start(bool enforced)
{
	world_spawn(enforced);
	table_load(1, may_all, profiles_all);
	send_plain(&parent, MSG_TYPE_go, 0);
}

void
world_stop(void)
{
	size_t i;

	role_kill(&frontend_pid);
	link_close(&parent);
	link_close(&audit);
	link_close(&fw);
	for (i = 0; i < WORLD_PROXIES; i++)
		link_close(&proxies[i]);
	for (i = 0; i < WORLD_CLIENTS_MAX; i++)
		link_close(&clients[i]);
	unlink(path);
	rmdir(directory);
}

int
world_status(void)
{
	return role_status(&frontend_pid, WORLD_WAIT_MS);
}

pid_t
world_pid(void)
{
	return frontend_pid;
}

/* --- clients ---------------------------------------------------------- */

struct link *
client_try(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct link *c = clients;

	while (c < clients + WORLD_CLIENTS_MAX && c->fd != -1)
		c++;
	ck_assert(c < clients + WORLD_CLIENTS_MAX);
	strlcpy(sun.sun_path, path, sizeof(sun.sun_path));
	link_init(c, socket(AF_UNIX, SOCK_STREAM, 0));
	ck_assert_int_ne(c->fd, -1);
	ck_assert_int_eq(
	    connect(c->fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return c;
}

struct link *
client_new(void)
{
	struct msg m = { .type = MSG_TYPE_hello };
	struct link *c = client_try();

	m.u.hello.service = "test";
	m.u.hello.major = 1;
	m.u.hello.version = "1";
	link_send(c, &m);
	expect_id(c, MSG_TYPE_hello);
	return c;
}

void
client_close(struct link *c)
{
	link_close(c);
}

void
client_ask(struct link *c, enum msg_type type, int64_t id)
{
	send_plain(c, type, id);
}

void
ask_open(struct link *c, int64_t id, const char *run, const char *address,
    const char *profile)
{
	struct msg m = { .type = MSG_TYPE_run_open, .id = id };

	m.u.run_open.run = run;
	m.u.run_open.address = address;
	m.u.run_open.profile = profile;
	link_send(c, &m);
}

void
ask_close(struct link *c, int64_t id, const char *run)
{
	struct msg m = { .type = MSG_TYPE_run_close, .id = id };

	m.u.run_close.run = run;
	link_send(c, &m);
}

void
ask_sync(struct link *c, int64_t id, const char *const *runs)
{
	const char *v[256];
	struct msg m = { .type = MSG_TYPE_runs_sync, .id = id };
	size_t i, n = count_of(runs);

	for (i = 0; i < n; i++)
		v[i] = runs[i];
	m.u.runs_sync.runs.v = v;
	m.u.runs_sync.runs.n = n;
	link_send(c, &m);
}

void
ask_run_status(struct link *c, int64_t id, const char *run)
{
	struct msg m = { .type = MSG_TYPE_run_status, .id = id };

	m.u.run_status.run = run;
	link_send(c, &m);
}

void
expect_opened(struct link *c, int64_t id, const char *run)
{
	char interface[32];
	struct msg m;

	snprintf(interface, sizeof(interface), "bh-%s", run);
	expect(c, &m, MSG_TYPE_run_opened);
	ck_assert_int_eq(m.id, id);
	ck_assert_str_eq(m.u.run_opened.interface, interface);
	ck_assert_ptr_nonnull(strstr(m.u.run_opened.listener, ":3128"));
	ck_assert_ptr_nonnull(strstr(m.u.run_opened.canary, ":3129"));
	ck_assert_int_eq(m.u.run_opened.enforced, with_fw);
	msg_free(&m);
}

void
expect_closed(struct link *c, int64_t id, bool known, int64_t packets_refused)
{
	const struct msg_run_closed *r;
	struct msg m;

	expect(c, &m, MSG_TYPE_run_closed);
	r = &m.u.run_closed;
	ck_assert_int_eq(m.id, id);
	ck_assert_int_eq(r->known, known);
	ck_assert_int_eq(r->packets_refused, packets_refused);
	msg_free(&m);
}

static void
check_words(const struct msg_list *l, const char *want)
{
	char got[4096] = "";
	size_t i;

	for (i = 0; i < l->n; i++) {
		if (i > 0)
			strlcat(got, " ", sizeof(got));
		strlcat(got, l->v[i], sizeof(got));
	}
	ck_assert_str_eq(got, want);
}

void
expect_synced(
    struct link *c, int64_t id, const char *closed, const char *unknown)
{
	struct msg m;

	expect(c, &m, MSG_TYPE_runs_synced);
	ck_assert_int_eq(m.id, id);
	check_words(&m.u.runs_synced.closed, closed);
	check_words(&m.u.runs_synced.unknown, unknown);
	msg_free(&m);
}

void
expect_error(struct link *c, int64_t id, const char *code)
{
	struct msg m;

	expect(c, &m, MSG_TYPE_error);
	ck_assert_int_eq(m.id, id);
	ck_assert_msg(strcmp(m.u.error.error, code) == 0,
	    "error %s (%s) instead of %s", m.u.error.error, m.u.error.reason,
	    code);
	msg_free(&m);
}

/* --- what the siblings see -------------------------------------------- */

void
recorded(void)
{
	struct msg m = { .type = MSG_TYPE_recorded };

	m.u.recorded.count = 1;
	link_send(&audit, &m);
}

void
unrecorded(void)
{
	struct msg m = { .type = MSG_TYPE_unrecorded };

	m.u.unrecorded.count = 1;
	m.u.unrecorded.reason = "No space left on device";
	link_send(&audit, &m);
}

void
expect_rec_open(const char *run, const char *address)
{
	char interface[32], listener[64];
	const struct msg_rec_run_open *r;
	struct msg m;

	snprintf(interface, sizeof(interface), "bh-%s", run);
	snprintf(listener, sizeof(listener), "%s:3128", address);
	expect(&audit, &m, MSG_TYPE_rec_run_open);
	r = &m.u.rec_run_open;
	ck_assert_str_eq(r->run, run);
	ck_assert_int_eq(r->peer_uid, (int64_t)getuid());
	ck_assert_int_eq(r->peer_pid, getpid());
	ck_assert_str_eq(r->profile, "dev");
	ck_assert_str_eq(r->interface, interface);
	ck_assert_str_eq(r->listener, listener);
	ck_assert_int_eq(r->enforced, with_fw);
	msg_free(&m);
}

void
expect_rec_close(const char *run, const char *reason)
{
	const struct msg_rec_run_close *r;
	struct msg m;

	expect(&audit, &m, MSG_TYPE_rec_run_close);
	r = &m.u.rec_run_close;
	ck_assert_str_eq(r->run, run);
	ck_assert_str_eq(r->reason, reason);
	ck_assert_int_eq(r->peer_uid, (int64_t)getuid());
	ck_assert_int_eq(r->peer_pid, getpid());
	msg_free(&m);
	recorded();
}

int64_t
expect_bind(const char *run, const char *address, unsigned *worker)
{
	struct msg m;
	int64_t id;

	expect(&parent, &m, MSG_TYPE_run_bind);
	ck_assert_str_eq(m.u.run_bind.run, run);
	ck_assert_str_eq(m.u.run_bind.address, address);
	ck_assert_int_lt(m.u.run_bind.worker, WORLD_PROXIES);
	*worker = (unsigned)m.u.run_bind.worker;
	id = m.id;
	msg_free(&m);
	return id;
}

void
listening(unsigned worker, const char *run)
{
	struct msg m = { .type = MSG_TYPE_run_listening };

	m.u.run_listening.run = run;
	link_send(&proxies[worker], &m);
}

int64_t
expect_permit(const char *run, const char *address)
{
	struct msg m;
	int64_t id;

	expect(&fw, &m, MSG_TYPE_fw_permit);
	ck_assert_str_eq(m.u.fw_permit.run, run);
	ck_assert_str_eq(m.u.fw_permit.address, address);
	id = m.id;
	msg_free(&m);
	return id;
}

int64_t
expect_revoke(const char *run)
{
	struct msg m;
	int64_t id;

	expect(&fw, &m, MSG_TYPE_fw_revoke);
	ck_assert_str_eq(m.u.fw_revoke.run, run);
	id = m.id;
	msg_free(&m);
	return id;
}

void
revoked(int64_t id, int64_t packets_refused)
{
	struct msg m = { .type = MSG_TYPE_fw_revoked, .id = id };

	m.u.fw_revoked.packets_refused = packets_refused;
	link_send(&fw, &m);
}

int64_t
expect_end(unsigned worker, const char *run)
{
	struct msg m;
	int64_t id;

	expect(&proxies[worker], &m, MSG_TYPE_run_end);
	ck_assert_str_eq(m.u.run_end.run, run);
	id = m.id;
	msg_free(&m);
	return id;
}

void
ended(unsigned worker, int64_t id)
{
	struct msg m = { .type = MSG_TYPE_run_ended, .id = id };

	m.u.run_ended.allowed = 1;
	m.u.run_ended.denied = 2;
	m.u.run_ended.failed = 3;
	m.u.run_ended.bytes_up = 4;
	m.u.run_ended.bytes_down = 5;
	link_send(&proxies[worker], &m);
}

/* --- whole runs ------------------------------------------------------- */

void
way_step(struct way *w)
{
	switch (w->stage) {
	case STAGE_RECORD:
		recorded();
		w->id = expect_bind(w->run, w->address, &w->worker);
		w->stage = STAGE_BIND;
		break;
	case STAGE_BIND:
		send_plain(&parent, MSG_TYPE_run_bound, w->id);
		listening(w->worker, w->run);
		w->stage = STAGE_OPEN;
		if (with_fw) {
			w->id = expect_permit(w->run, w->address);
			w->stage = STAGE_PERMIT;
		}
		break;
	case STAGE_PERMIT:
		send_plain(&fw, MSG_TYPE_fw_permitted, w->id);
		w->stage = STAGE_OPEN;
		break;
	case STAGE_OPEN:
		ck_abort_msg("it is open");
	}
}

void
way_begin(struct way *w, struct link *c, int64_t id, const char *run,
    const char *address, enum stage stage)
{
	w->run = run;
	w->address = address;
	w->stage = STAGE_RECORD;
	ask_open(c, id, run, address, "dev");
	expect_rec_open(run, address);
	while (w->stage < stage)
		way_step(w);
}

void
run_up(struct way *w, struct link *c, int64_t id, const char *run,
    const char *address)
{
	way_begin(w, c, id, run, address, STAGE_OPEN);
	expect_opened(c, id, run);
}

void
run_down(const struct way *w, const char *reason)
{
	if (with_fw)
		revoked(expect_revoke(w->run), 6);
	ended(w->worker, expect_end(w->worker, w->run));
	expect_rec_close(w->run, reason);
}

static void
answer_stats(struct link *l)
{
	struct msg m = { .type = MSG_TYPE_stats_answer };

	m.id = expect_id(l, MSG_TYPE_stats);
	link_send(l, &m);
}

static void
check_empty(struct link *l, const char *name)
{
	struct msg m;

	if (l->fd == -1 || !link_recv(l, &m, 0))
		return;
	ck_abort_msg("%s was sent %s", name, msg_decl(m.type)->wire);
}

void
quiet(void)
{
	size_t i;

	if (watcher == NULL)
		watcher = client_new();
	client_ask(watcher, MSG_TYPE_status, WATCH_ID);
	for (i = 0; i < WORLD_PROXIES; i++)
		answer_stats(&proxies[i]);
	if (with_fw)
		answer_stats(&fw);
	expect_id(watcher, MSG_TYPE_status_answer);
	check_empty(&parent, "the parent");
	check_empty(&audit, "audit");
	check_empty(&fw, "fw");
	for (i = 0; i < WORLD_PROXIES; i++)
		check_empty(&proxies[i], "a proxy");
	for (i = 0; i < WORLD_CLIENTS_MAX; i++)
		check_empty(&clients[i], "a client");
}

/* --- the program ------------------------------------------------------ */

int
world_main(
    int argc, char **argv, const char *name, const struct world_case *cases)
{
	const struct world_case *c;
	Suite *suite;
	SRunner *runner;
	TCase *tc;
	int failed;

	if (argc > 1)
		return role_main("egressd", argc, argv, frontend_main);
	suite = suite_create(name);
	for (c = cases; c->name != NULL; c++) {
		tc = tcase_create(c->name);
		tcase_add_checked_fixture(tc, NULL, world_stop);
		tcase_set_timeout(tc, c->limit);
		if (c->loops > 0)
			tcase_add_loop_test(tc, c->test, 0, c->loops);
		else
			tcase_add_test(tc, c->test);
		suite_add_tcase(suite, tc);
	}
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
