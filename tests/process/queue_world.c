#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "libcommon/fd.h"
#include "libcommon/log.h"

#include "dispatchd/queue.h"
#include "queue_world.h"
#include "role.h"

#define NOBODY 65534
#define CONTAINERS_MAX 64
#define RECORDS_MAX 4096
#define PID_1 4242
#define CONFIG_MAX 8192

struct world world;

const char bundle_hash[] = "0123456789abcdef0123456789abcdef"
                           "0123456789abcdef0123456789abcdef";

static struct event_base *base;
static struct event *ev_listen;
static char directory[64], path[96];
static int listener = -1, dirfd = -1;
static int64_t generation, last_id;
static uint32_t prompt_stream; /* of the request that waits for it */

static struct {
	char run[RUNID_LEN + 1];
	char status[17];
} containers[CONTAINERS_MAX];

static char made[CONTAINERS_MAX][RUNID_LEN + 1];
static size_t nmade;

static struct {
	char run[RUNID_LEN + 1];
	char to[17];
	char evidence[513];
} records[RECORDS_MAX];
static size_t nrecords;
static int64_t owed; /* records that were not answered */

/* --- time ------------------------------------------------------------- */

void
turn(int ms)
{
	struct timeval tv = { 0, ms * 1000 };

	event_base_loopexit(base, &tv);
	event_base_loop(base, EVLOOP_ONCE);
}

void
quiet(void)
{
	int64_t end = clock_boot_ms() + WORLD_QUIET_MS;

	while (clock_boot_ms() < end)
		turn(10);
}

/* --- sides ------------------------------------------------------------ */

void
say(struct side *s, const struct msg *m)
{
	ck_assert_int_eq(peer_send(s->p, m), 0);
}

const struct msg *
heard(struct side *s, enum msg_type type, size_t n)
{
	UNTIL(s->count[type] >= n || s->gone);
	ck_assert_msg(s->count[type] >= n, "%s did not come %zu times",
	    msg_decl(type)->wire, n);
	return &s->last[type];
}

static struct msg
plain(enum msg_type type, int64_t id)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	m.id = id;
	return m;
}

static void
answer(struct side *s, enum msg_type type, int64_t id)
{
	struct msg m = plain(type, id);

	say(s, &m);
}

/* --- the engine ------------------------------------------------------- */

size_t
creates_of(const char *run)
{
	size_t i, n = 0;

	for (i = 0; i < nmade; i++)
		n += strcmp(made[i], run) == 0;
	return n;
}

/* Its status; NULL: there is none of that run. */
static char *
container_of(const char *run)
{
	size_t i;

	for (i = 0; i < CONTAINERS_MAX; i++) {
		if (strcmp(containers[i].run, run) == 0)
			return containers[i].status;
	}
	return NULL;
}

void
container_is(const char *run, const char *status)
{
	size_t i;

	for (i = 0; i < CONTAINERS_MAX; i++) {
		if (strcmp(containers[i].run, run) == 0)
			containers[i].run[0] = '\0';
	}
	if (strcmp(status, "absent") == 0)
		return;
	for (i = 0; containers[i].run[0] != '\0'; i++)
		ck_assert_uint_lt(i, CONTAINERS_MAX);
	strlcpy(containers[i].run, run, sizeof(containers[i].run));
	strlcpy(containers[i].status, status, sizeof(containers[i].status));
}

static void
engine_state(int64_t id, const char *run)
{
	struct msg m = plain(MSG_TYPE_engine_state, id);
	const char *status = container_of(run);

	m.u.engine_state.run = run;
	m.u.engine_state.status = status != NULL ? status : "absent";
	m.u.engine_state.exit_code = -1;
	if (strcmp(m.u.engine_state.status, "running") == 0)
		m.u.engine_state.pid = PID_1;
	if (strcmp(m.u.engine_state.status, "exited") == 0)
		m.u.engine_state.exit_code = world.play.exit_code;
	m.u.engine_state.started = status != NULL;
	m.u.engine_state.error = "";
	say(&world.engine, &m);
}

static void
engine_list(int64_t id)
{
	const char *k[CONTAINERS_MAX], *v[CONTAINERS_MAX];
	struct msg m = plain(MSG_TYPE_engine_listed, id);
	size_t i, n = 0;

	for (i = 0; i < CONTAINERS_MAX && !world.play.renamed; i++) {
		if (containers[i].run[0] == '\0')
			continue;
		k[n] = containers[i].run;
		v[n++] = containers[i].status;
	}
	m.u.engine_listed.containers.k = k;
	m.u.engine_listed.containers.v = v;
	m.u.engine_listed.containers.n = n;
	say(&world.engine, &m);
}

static void
engine_info(int64_t id)
{
	struct msg m = plain(MSG_TYPE_engine_info_answer, id);
	const char *warning = "no run can be made";

	if (world.play.info_error != NULL) {
		(void)peer_send_error(world.engine.p, id, world.play.info_error,
		    "so it is played");
		return;
	}
	m.u.engine_info_answer.version = m.u.engine_info_answer.api = "1.40";
	m.u.engine_info_answer.image_id =
	    world.play.image_gone ? "" : "sha256:1";
	if (world.play.image_gone) {
		m.u.engine_info_answer.warnings.v = &warning;
		m.u.engine_info_answer.warnings.n = 1;
	}
	say(&world.engine, &m);
}

static void
play_engine(const struct msg *m)
{
	struct msg a = plain(MSG_TYPE_engine_created, m->id);

	if (m->type == world.play.mute)
		return;
	switch (m->type) {
	case MSG_TYPE_engine_info:
		engine_info(m->id);
		break;
	case MSG_TYPE_engine_list:
		engine_list(m->id);
		break;
	case MSG_TYPE_engine_create:
		if (world.play.create_error != NULL) {
			(void)peer_send_error(world.engine.p, m->id,
			    world.play.create_error, "so it is played");
			break;
		}
		if (world.play.subnet != NULL &&
		    strcmp(world.play.subnet, m->u.engine_create.subnet) == 0) {
			(void)peer_send_error(
			    world.engine.p, m->id, "subnet", "it is in use");
			break;
		}
		container_is(m->u.engine_create.run, "created");
		ck_assert_uint_lt(nmade, CONTAINERS_MAX);
		strlcpy(made[nmade++], m->u.engine_create.run, sizeof(made[0]));
		a.u.engine_created.container = "0123456789ab";
		a.u.engine_created.spec = bundle_hash;
		say(&world.engine, &a);
		break;
	case MSG_TYPE_engine_start:
		if (world.play.start_error != NULL) {
			(void)peer_send_error(world.engine.p, m->id,
			    world.play.start_error, "so it is played");
			break;
		}
		container_is(m->u.engine_start.run, "running");
		engine_state(m->id, m->u.engine_start.run);
		break;
	case MSG_TYPE_engine_inspect:
		engine_state(m->id, m->u.engine_inspect.run);
		break;
	case MSG_TYPE_engine_kill:
		container_is(m->u.engine_kill.run, "exited");
		answer(&world.engine, MSG_TYPE_engine_done, m->id);
		break;
	case MSG_TYPE_engine_stderr:
		if (world.play.words == NULL) {
			(void)peer_send_error(world.engine.p, m->id,
			    "unavailable", "so it is played");
			break;
		}
		a.type = MSG_TYPE_engine_stderr_answer;
		a.u.engine_stderr_answer.text = world.play.words;
		say(&world.engine, &a);
		break;
	case MSG_TYPE_engine_remove:
		container_is(m->u.engine_remove.run, "absent");
		answer(&world.engine, MSG_TYPE_engine_done, m->id);
		break;
	default:
		ck_abort_msg("the engine is asked %s", msg_decl(m->type)->wire);
	}
}

/* --- runs ------------------------------------------------------------- */

static void
link_is(const char *run, const char *phase)
{
	struct msg m = plain(MSG_TYPE_job_link, 0);

	m.u.job_link.run = run;
	m.u.job_link.phase = phase;
	say(&world.runs, &m);
}

/* PID 1 comes to its door, and proves. */
static void
connects(const char *run)
{
	static const char *const k[] = { "proxy answers", "direct tcp v4" };
	const char *v[] = { "answers", "ECONNREFUSED" };
	struct msg m = plain(MSG_TYPE_job_proof, 0);

	if (world.play.phase == NULL)
		return;
	link_is(run, world.play.phase);
	if (!world.play.prove)
		return;
	if (world.play.proof_text != NULL)
		v[0] = world.play.proof_text;
	if (world.play.direct_text != NULL)
		v[1] = world.play.direct_text;
	m.u.job_proof.run = run;
	m.u.job_proof.ok = world.play.proof_ok;
	m.u.job_proof.checks.k = k;
	m.u.job_proof.checks.v = v;
	m.u.job_proof.checks.n = 2;
	say(&world.runs, &m);
}

static void
job_start(const struct msg *m)
{
	const struct msg_job_start *s = &m->u.job_start;

	world.prompt_len = 0;
	if (s->prompt_stream != 0)
		ck_assert_int_eq(
		    peer_stream_expect(world.runs.p, (uint32_t)s->prompt_stream,
		        s->prompt_bytes),
		    0);
	answer(&world.runs, MSG_TYPE_job_ready, m->id);
}

static void
play_runs(const struct msg *m)
{
	struct msg a = plain(MSG_TYPE_job_released, 0);

	switch (m->type) {
	case MSG_TYPE_job_start:
		job_start(m);
		break;
	case MSG_TYPE_job_expect:
		connects(m->u.job_expect.run);
		break;
	case MSG_TYPE_job_release:
		a.u.job_released.run = m->u.job_release.run;
		if (world.play.begin)
			say(&world.runs, &a);
		break;
	case MSG_TYPE_job_finish:
		if (!world.play.leave)
			break;
		container_is(m->u.job_finish.run, "exited");
		link_is(m->u.job_finish.run, "none");
		break;
	case MSG_TYPE_job_stored:
		if (world.play.stored_error != NULL) {
			(void)peer_send_error(world.runs.p, m->id,
			    world.play.stored_error, "so it is played");
			break;
		}
		a = plain(MSG_TYPE_job_stored_answer, m->id);
		a.u.job_stored_answer.bytes = world.play.stored_bytes;
		a.u.job_stored_answer.sha256 =
		    world.play.stored_bytes > 0 ? bundle_hash : "";
		say(&world.runs, &a);
		break;
	case MSG_TYPE_job_close:
		if (m->u.job_close.remove && world.play.files_stay)
			(void)peer_send_error(world.runs.p, m->id, "storage",
			    "they cannot be removed");
		else
			answer(&world.runs, MSG_TYPE_job_closed, m->id);
		break;
	default:
		break;
	}
}

void
tool_exits(const char *run)
{
	struct msg m = plain(MSG_TYPE_job_exited, 0);

	m.u.job_exited.run = run;
	m.u.job_exited.reason = "tool";
	say(&world.runs, &m);
}

void
tool_ends(const char *run, int64_t bundle_bytes)
{
	struct msg m = plain(MSG_TYPE_job_bundle, 0);

	tool_exits(run);
	m.u.job_bundle.run = run;
	m.u.job_bundle.bytes = bundle_bytes;
	m.u.job_bundle.sha256 = bundle_bytes > 0 ? bundle_hash : "";
	m.u.job_bundle.base = m.u.job_bundle.head = m.u.job_bundle.lost = "";
	say(&world.runs, &m);
}

/* --- the records ------------------------------------------------------ */

static void
play_audit(const struct msg *m)
{
	struct msg a = plain(MSG_TYPE_recorded, 0);

	if (m->type == MSG_TYPE_rec_run_state) {
		ck_assert_uint_lt(nrecords, RECORDS_MAX);
		strlcpy(records[nrecords].run, m->u.rec_run_state.run,
		    sizeof(records[0].run));
		strlcpy(records[nrecords].evidence, m->u.rec_run_state.evidence,
		    sizeof(records[0].evidence));
		strlcpy(records[nrecords++].to, m->u.rec_run_state.to,
		    sizeof(records[0].to));
	}
	owed++;
	if (world.play.records == RECORDS_HELD)
		return;
	if (world.play.records == RECORDS_REFUSED) {
		a.type = MSG_TYPE_unrecorded;
		a.u.unrecorded.count = owed;
		a.u.unrecorded.reason = "the disk is full";
	} else
		a.u.recorded.count = owed;
	owed = 0;
	say(&world.audit, &a);
}

size_t
records_of(const char *run, const char *to)
{
	size_t i, n = 0;

	for (i = 0; i < nrecords; i++)
		n += strcmp(records[i].run, run) == 0 &&
		    strcmp(records[i].to, to) == 0;
	return n;
}

const char *
evidence_of(const char *run, const char *to)
{
	size_t i;

	UNTIL(records_of(run, to) > 0);
	for (i = nrecords; i > 0; i--) {
		if (strcmp(records[i - 1].run, run) == 0 &&
		    strcmp(records[i - 1].to, to) == 0)
			break;
	}
	return records[i - 1].evidence;
}

/* --- egressd and the parent ------------------------------------------- */

static void
egress_sums(int64_t id)
{
	struct msg m = plain(MSG_TYPE_run_status_answer, id);
	const char *key = "bulkhead.invalid:443 host";

	if (world.play.status_error != NULL) {
		(void)peer_send_error(world.egressd.p, id,
		    world.play.status_error, "so it is played");
		return;
	}
	m.u.run_status_answer.state = "open";
	m.u.run_status_answer.profile = "dev";
	m.u.run_status_answer.interface = "bh-x";
	m.u.run_status_answer.listener = "10.0.0.1:1";
	m.u.run_status_answer.denied = world.play.denied;
	if (world.play.proof_denials != NULL) {
		m.u.run_status_answer.denials.k = &key;
		m.u.run_status_answer.denials.v = &world.play.proof_denials;
		m.u.run_status_answer.denials.n = 1;
	}
	m.u.run_status_answer.bytes_up = world.play.tunnel_bytes;
	m.u.run_status_answer.quiet_ms = world.play.tunnel_quiet_ms;
	say(&world.egressd, &m);
}

static void
egress_opens(const struct msg *m)
{
	struct msg a = plain(MSG_TYPE_run_opened, m->id);
	char proxy[64], canary[64];

	snprintf(proxy, sizeof(proxy), "%s:%d", m->u.run_open.address,
	    world.play.proxy_port);
	snprintf(canary, sizeof(canary), "%s:%d", m->u.run_open.address,
	    world.play.canary_port);
	a.u.run_opened.interface = "bh-x";
	a.u.run_opened.listener = proxy;
	a.u.run_opened.canary = canary;
	a.u.run_opened.enforced = world.play.enforced;
	a.u.run_opened.generation = 1;
	say(&world.egressd, &a);
}

static void
play_egressd(const struct msg *m)
{
	struct msg a = plain(MSG_TYPE_run_closed, m->id);

	switch (m->type) {
	case MSG_TYPE_run_open:
		if (world.play.egress_error != NULL) {
			(void)peer_send_error(world.egressd.p, m->id,
			    world.play.egress_error, world.play.egress_reason);
			break;
		}
		egress_opens(m);
		break;
	case MSG_TYPE_run_close:
		if (world.play.egress_error != NULL &&
		    strcmp(world.play.egress_error, "refused") == 0)
			(void)peer_send_error(world.egressd.p, m->id, "refused",
			    world.play.egress_reason);
		else {
			a.u.run_closed.known = true;
			a.u.run_closed.denied = world.play.denied;
			say(&world.egressd, &a);
		}
		break;
	case MSG_TYPE_runs_sync:
		if (world.play.sync_error != NULL)
			(void)peer_send_error(world.egressd.p, m->id,
			    world.play.sync_error, "not now");
		else
			answer(&world.egressd, MSG_TYPE_runs_synced, m->id);
		break;
	case MSG_TYPE_run_status:
		egress_sums(m->id);
		break;
	default:
		ck_abort_msg("egressd is asked %s", msg_decl(m->type)->wire);
	}
}

/* --- links ------------------------------------------------------------ */

static void
on_message(struct peer *p, struct msg *m, int fd, void *arg)
{
	struct side *s = arg;
	char *text, why[128];
	size_t len;

	ck_assert_int_eq(fd, -1);
	/* What is kept has to outlive the call. */
	if (s->count[m->type]++ > 0)
		msg_free(&s->last[m->type]);
	ck_assert_int_eq(msg_encode(m, &text, &len, why, sizeof(why)), 0);
	ck_assert_int_eq(
	    msg_decode(text, len, &s->last[m->type], why, sizeof(why)), 0);
	free(text);
	if (s == &world.engine)
		play_engine(m);
	else if (s == &world.runs)
		play_runs(m);
	else if (s == &world.audit)
		play_audit(m);
	else if (s == &world.egressd)
		play_egressd(m);
	else if (m->type == MSG_TYPE_door_make)
		answer(&world.parent, MSG_TYPE_door_made, m->id);
}

static void
on_gone(struct peer *p, enum peer_end end, const char *why, void *arg)
{
	struct side *s = arg;

	s->gone = true;
}

static void
on_data(struct peer *p, uint32_t id, const uint8_t *buf, size_t len, void *arg)
{
	ck_assert_uint_le(len, sizeof(world.prompt) - world.prompt_len);
	memcpy(world.prompt + world.prompt_len, buf, len);
	world.prompt_len += len;
	peer_stream_consumed(p, id, len);
}

static void
on_end(struct peer *p, uint32_t id, bool ok, const char *why, void *arg)
{
}

static void
on_ready(struct peer *p, uint32_t id, void *arg)
{
}

static const struct peer_ops ops = { .message = on_message,
	.gone = on_gone,
	.data = on_data,
	.stream_end = on_end,
	.stream_ready = on_ready };

static int
side_make(struct side *s, enum msg_side me)
{
	int sv[2];

	ck_assert_int_eq(proc_socketpair(sv), 0);
	s->p = peer_new(base, sv[0], PEER_SIBLING, me, SIDE_QUEUE, "test",
	    "queue", &ops, s);
	ck_assert_ptr_nonnull(s->p);
	return sv[1];
}

static void
side_free(struct side *s)
{
	size_t i;

	peer_free(&s->p);
	for (i = 0; i < MSG_TYPE_MAX; i++) {
		if (s->count[i] > 0)
			msg_free(&s->last[i]);
	}
	memset(s, 0, sizeof(*s));
}

static void
egressd_dialled(int fd, short what, void *arg)
{
	int s = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	ck_assert_int_ne(s, -1);
	peer_free(&world.egressd.p);
	world.egressd.gone = false;
	world.egressd.p = peer_new(base, s, PEER_CLIENT, SIDE_FRONTEND,
	    SIDE_CLIENT, "egressd", "queue", &ops, &world.egressd);
	ck_assert_ptr_nonnull(world.egressd.p);
}

void
egressd_leaves(void)
{
	event_free(ev_listen);
	ev_listen = NULL;
	close(listener);
	(void)unlink(path);
	peer_free(&world.egressd.p);
}

void
egressd_returns(void)
{
	ck_assert_int_ne(listener = fd_listen_unix(path, 8), -1);
	ev_listen = event_new(
	    base, listener, EV_READ | EV_PERSIST, egressd_dialled, NULL);
	ck_assert_ptr_nonnull(ev_listen);
	event_add(ev_listen, NULL);
}

/* --- the daemon ------------------------------------------------------- */

static void
configure(void)
{
	static const char fixed[] =
	    "\"peers\": [{\"user\": \"root\", \"may\": [\"run\"]}],"
	    "\"engine\": {\"driver\": \"docker\", \"socket\": \"/e.sock\"},"
	    "\"image\": \"i:1\","
	    "\"default_profile\": \"dev\"";
	static const char limits[] =
	    "\"egress\": \"dev\", \"memory\": \"2g\", \"cpus\": 1,"
	    " \"pids\": 64, \"workspace\": \"1g\"";
	const char *tool = world.play.tool;
	char text[CONFIG_MAX], state[128];
	struct msg m = plain(MSG_TYPE_dispatch_config, 0);

	snprintf(text, sizeof(text),
	    "{\"socket\": \"%s/d.sock\", \"state\": \"%s\", \"audit\": "
	    "\"%s/a\", \"egressd\": \"%s\", \"tools\": {\"%s\": {\"argv\": "
	    "[\"/bin/sh\", \"-s\"], \"prompt\": \"stdin\"}}, \"profiles\": "
	    "{\"dev\": {\"tools\": [\"%s\"], %s, %s}}, \"default_tool\": \"%s\", "
	    "\"network_pool\": \"%s\", %s%s}",
	    directory, directory, directory, path, tool, tool, limits,
	    world.play.times, tool, world.play.pool, fixed, world.play.config);
	snprintf(state, sizeof(state), "%s/queue", directory);
	m.u.dispatch_config.text = text;
	m.u.dispatch_config.state = state;
	m.u.dispatch_config.generation = ++generation;
	say(&world.parent, &m);
}

void
world_reload(void)
{
	size_t n = world.parent.count[MSG_TYPE_table_applied];

	configure();
	heard(&world.parent, MSG_TYPE_table_applied, n + 1);
}

void
world_spawn_only(void)
{
	struct proc_spec spec = { .role = "queue" };
	struct msg go = plain(MSG_TYPE_go, 0);

	spec.uid = getuid() == 0 ? NOBODY : getuid();
	spec.gid = getuid() == 0 ? NOBODY : getgid();
	spec.parent_fd = side_make(&world.parent, SIDE_PARENT);
	spec.fds[spec.nfds++] = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	spec.fds[spec.nfds++] = side_make(&world.frontend, SIDE_FRONTEND);
	spec.fds[spec.nfds++] = side_make(&world.engine, SIDE_ENGINE);
	spec.fds[spec.nfds++] = side_make(&world.runs, SIDE_RUNS);
	spec.fds[spec.nfds++] = side_make(&world.audit, SIDE_AUDIT);
	world.pid = proc_spawn("dispatchd", &spec);
	ck_assert_int_gt(world.pid, 0);
	heard(&world.parent, MSG_TYPE_ready, 1);
	world_reload();
	say(&world.parent, &go);
}

void
world_spawn(void)
{
	world_spawn_only();
	heard(&world.engine, MSG_TYPE_engine_list, 1);
}

void
world_kill(void)
{
	if (world.pid > 0) {
		kill(world.pid, SIGKILL);
		waitpid(world.pid, NULL, 0);
	}
	world.pid = -1;
	side_free(&world.parent);
	side_free(&world.frontend);
	side_free(&world.engine);
	side_free(&world.runs);
	side_free(&world.audit);
	side_free(&world.egressd);
	owed = 0;
	nmade = 0;
}

const char *
world_dir(void)
{
	return directory;
}

/* In memory where there is such a place: the store syncs often. */
static void
make_directory(void)
{
	char name[128];

	snprintf(directory, sizeof(directory), "%s/queue_world.XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(chmod(directory, 0711), 0);
	snprintf(name, sizeof(name), "%s/queue", directory);
	ck_assert_int_eq(mkdir(name, 0700), 0);
	if (getuid() == 0)
		ck_assert_int_eq(chown(name, NOBODY, NOBODY), 0);
	dirfd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ne(dirfd, -1);
	snprintf(path, sizeof(path), "%s/egressd.sock", directory);
}

void
play_well(void)
{
	world.play = (struct play){ .config = "",
		.tool = "sh",
		.pool = "10.201.0.0/16",
		.enforced = true,
		.proxy_port = 3128,
		.canary_port = 3129,
		.phase = "new",
		.prove = true,
		.proof_ok = true,
		.begin = true,
		.leave = true,
		.exit_code = 0,
		.times = "\"deadline\": \"30m\", \"hung_start\": \"5m\","
		         " \"idle\": \"10m\"",
		.status_error = "no_run" };
}

void
world_start(void)
{
	log_init("queue_test", 1, 0);
	ck_assert_int_eq(peer_stream_prepare(), 0);
	ck_assert_ptr_nonnull(base = event_base_new());
	play_well();
	make_directory();
	egressd_returns();
	world_spawn();
}

static int
remove_one(const char *name, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(name);
}

void
world_stop(void)
{
	world_kill();
	if (ev_listen != NULL)
		egressd_leaves();
	close(dirfd);
	event_base_free(base);
	(void)nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* --- the frontend ----------------------------------------------------- */

enum msg_type
asked(struct msg *m, enum msg_type well)
{
	struct side *f = &world.frontend;
	size_t ok = f->count[well], bad = f->count[MSG_TYPE_error];

	m->id = ++last_id;
	say(f, m);
	UNTIL(f->count[well] > ok || f->count[MSG_TYPE_error] > bad || f->gone);
	ck_assert(!f->gone);
	return f->count[well] > ok ? well : MSG_TYPE_error;
}

enum msg_type
submit(const char *request, const char *prompt)
{
	struct msg m = plain(MSG_TYPE_job_submit, 0);
	struct msg_job_submit *s = &m.u.job_submit;
	size_t len = strlen(prompt);

	s->peer_uid = 1000;
	s->peer_pid = 77;
	s->request = request;
	s->repo = s->base = s->profile = "";
	s->tool = "sh";
	s->bytes = (int64_t)len;
	if (len > 0) {
		s->stream = prompt_stream = (uint32_t)++last_id;
		ck_assert_int_eq(
		    peer_stream_begin(world.frontend.p, prompt_stream), 0);
		m.id = ++last_id;
		say(&world.frontend, &m);
		return MSG_TYPE_none;
	}
	return asked(&m, MSG_TYPE_run_accepted);
}

void
say_prompt(const char *bytes, size_t len)
{
	struct peer *p = world.frontend.p;

	UNTIL(peer_stream_room(p, prompt_stream) >= len);
	ck_assert_int_eq(peer_stream_write(p, prompt_stream, bytes, len), 0);
}

void
prompt_ends(void)
{
	ck_assert_int_eq(
	    peer_stream_finish(world.frontend.p, prompt_stream), 0);
}

void
submit_run(const char *request, char run[RUNID_LEN + 1])
{
	const struct side *f = &world.frontend;

	ck_assert_msg(submit(request, "") == MSG_TYPE_run_accepted, "%s",
	    f->last[MSG_TYPE_error].u.error.reason);
	strlcpy(run, f->last[MSG_TYPE_run_accepted].u.run_accepted.run,
	    RUNID_LEN + 1);
}

void
refused(const char *code, const char *part_of_reason)
{
	const struct msg_error *e =
	    &world.frontend.last[MSG_TYPE_error].u.error;

	ck_assert_uint_gt(world.frontend.count[MSG_TYPE_error], 0);
	ck_assert_str_eq(e->error, code);
	ck_assert_msg(
	    strstr(e->reason, part_of_reason) != NULL, "%s", e->reason);
}

const struct msg_show_answer *
show(const char *run)
{
	struct msg m = plain(MSG_TYPE_show, 0);

	m.u.show.run = run;
	if (asked(&m, MSG_TYPE_show_answer) == MSG_TYPE_error)
		return NULL;
	return &world.frontend.last[MSG_TYPE_show_answer].u.show_answer;
}

void
until_state(const char *run, const char *state)
{
	int64_t end = clock_boot_ms() + WORLD_WAIT_MS;
	const struct msg_show_answer *s;

	for (;;) {
		s = show(run);
		ck_assert_msg(s != NULL, "there is no run %s", run);
		if (strcmp(s->state, state) == 0)
			return;
		ck_assert_msg(clock_boot_ms() < end, "%s is %s (%s), not %s",
		    run, s->state, s->reason, state);
		turn(10);
	}
}

void
stop_run(const char *run)
{
	struct msg m = plain(MSG_TYPE_job_halt, 0);

	m.u.job_halt.peer_uid = 1000;
	m.u.job_halt.peer_pid = 79;
	m.u.job_halt.run = run;
	ck_assert_int_eq(asked(&m, MSG_TYPE_stop_answer), MSG_TYPE_stop_answer);
}

enum msg_type
remove_run(const char *run)
{
	struct msg m = plain(MSG_TYPE_job_rm, 0);

	m.u.job_rm.peer_uid = 1000;
	m.u.job_rm.peer_pid = 78;
	m.u.job_rm.run = run;
	return asked(&m, MSG_TYPE_rm_answer);
}

void
whole_run(const char *request, int64_t bundle_bytes, char run[RUNID_LEN + 1])
{
	submit_run(request, run);
	until_state(run, "RUNNING");
	tool_ends(run, bundle_bytes);
	until_state(run, "DONE");
}

/* --- the program ------------------------------------------------------ */

int
world_main(int argc, char **argv, int (*tests)(void))
{
	signal(SIGPIPE, SIG_IGN);
	if (argc > 1)
		return role_main("dispatchd", argc, argv, queue_main);
	return tests();
}
