/* The world around the process runs: see runs_world.h. */

#include <sys/stat.h>
#include <sys/wait.h>

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"
#include "libcommon/frame.h"
#include "libcommon/log.h"

#include "role.h"
#include "runs_world.h"

#define QUIET_MS 100 /* nothing more comes within */
#define NOBODY 65534

struct event_base *base;
struct side parent, queue, frontend, agent;
struct row row;
char directory[64], path[96];
int dirfd = -1;
pid_t pid = -1;

/* --- sides ------------------------------------------------------------ */

/* The queue knows what it was told, and tells it when it is asked. */
static void
play_queue(const struct msg *m)
{
	struct msg a = { .type = MSG_TYPE_bundle_row_answer, .id = m->id };

	if (m->type == MSG_TYPE_job_bundle) {
		row.bytes = m->u.job_bundle.bytes;
		strlcpy(row.sha256, m->u.job_bundle.sha256, sizeof(row.sha256));
	} else if (m->type == MSG_TYPE_bundle_row) {
		a.u.bundle_row_answer.bytes = row.bytes;
		a.u.bundle_row_answer.sha256 = row.sha256;
		say(&queue, &a);
	}
}

static void
on_message(struct peer *p, struct msg *m, int fd, void *arg)
{
	struct side *s = arg;
	char *text, why[128];
	size_t len;

	ck_assert_int_eq(fd, -1);
	if (s->count[m->type]++ > 0)
		msg_free(&s->last[m->type]);
	ck_assert_int_eq(msg_encode(m, &text, &len, why, sizeof(why)), 0);
	ck_assert_int_eq(
	    msg_decode(text, len, &s->last[m->type], why, sizeof(why)), 0);
	free(text);
	if (s == &queue)
		play_queue(m);
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
	struct side *s = arg;

	s->in = realloc(s->in, s->nin + len);
	ck_assert_ptr_nonnull(s->in);
	memcpy(s->in + s->nin, buf, len);
	s->nin += len;
	peer_stream_consumed(p, id, len);
}

static void
on_end(struct peer *p, uint32_t id, bool ok, const char *why, void *arg)
{
	struct side *s = arg;

	s->ended = ok;
	s->aborted = !ok;
	s->aborts += !ok;
}

static void
push(struct side *s)
{
	size_t n = s->nout - s->sent, room;

	if (s->out == NULL || (room = peer_stream_room(s->p, s->id)) == 0)
		return;
	if (n > room)
		n = room;
	ck_assert_int_eq(
	    peer_stream_write(s->p, s->id, s->out + s->sent, n), 0);
	s->sent += n;
}

static void
on_ready(struct peer *p, uint32_t id, void *arg)
{
	push(arg);
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
	s->p = peer_new(
	    base, sv[0], PEER_SIBLING, me, SIDE_RUNS, "test", "runs", &ops, s);
	ck_assert_ptr_nonnull(s->p);
	return sv[1];
}

void
side_free(struct side *s)
{
	size_t i;

	peer_free(&s->p);
	for (i = 0; i < MSG_TYPE_MAX; i++) {
		if (s->count[i] > 0)
			msg_free(&s->last[i]);
	}
	free(s->in);
	free(s->out);
	memset(s, 0, sizeof(*s));
}

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
	int64_t end = clock_boot_ms() + QUIET_MS;

	while (clock_boot_ms() < end)
		turn(10);
}

const struct msg *
heard(struct side *s, enum msg_type type, size_t n)
{
	UNTIL(s->count[type] >= n);
	return &s->last[type];
}

struct msg
plain(enum msg_type type, int64_t id)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	m.id = id;
	return m;
}

void
say(struct side *s, const struct msg *m)
{
	ck_assert_int_eq(peer_send(s->p, m), 0);
}

/* --- the world -------------------------------------------------------- */

static void
spawn(void)
{
	struct proc_spec spec = { .role = "runs" };
	struct msg go = plain(MSG_TYPE_go, 0);

	spec.uid = getuid() == 0 ? NOBODY : getuid();
	spec.gid = getuid() == 0 ? NOBODY : getgid();
	spec.parent_fd = side_make(&parent, SIDE_PARENT);
	spec.fds[spec.nfds++] = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	spec.fds[spec.nfds++] = side_make(&queue, SIDE_QUEUE);
	spec.fds[spec.nfds++] = side_make(&frontend, SIDE_FRONTEND);
	pid = proc_spawn("dispatchd", &spec);
	ck_assert_int_gt(pid, 0);
	heard(&parent, MSG_TYPE_ready, 1);
	say(&parent, &go);
}

static void
end(void)
{
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	pid = -1;
	side_free(&parent);
	side_free(&queue);
	side_free(&frontend);
	side_free(&agent);
}

void
world_start(void)
{
	log_init("runs_agent_test", 1, 0);
	memset(&row, 0, sizeof(row));
	ck_assert_int_eq(peer_stream_prepare(), 0);
	ck_assert_ptr_nonnull(base = event_base_new());
	strlcpy(directory, "/tmp/runs_agent.XXXXXX", sizeof(directory));
	ck_assert_ptr_nonnull(mkdtemp(directory));
	if (getuid() == 0)
		ck_assert_int_eq(chown(directory, NOBODY, NOBODY), 0);
	dirfd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ne(dirfd, -1);
	snprintf(path, sizeof(path), "%s/sock", directory);
	spawn();
}

static int
remove_one(const char *name, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(name);
}

void
world_stop(void)
{
	end();
	close(dirfd);
	event_base_free(base);
	(void)nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void
world_restart(void)
{
	end();
	spawn();
}

/* --- a run ------------------------------------------------------------ */

void
door(void)
{
	struct msg m = plain(MSG_TYPE_door, 0);
	int fd;

	unlink(path);
	ck_assert_int_ne(fd = fd_listen_unix(path, 8), -1);
	m.u.door.run = RUN;
	ck_assert_int_eq(peer_send_fd(parent.p, &m, fd), 0);
}

void
expect_pid(pid_t who)
{
	struct msg m = plain(MSG_TYPE_job_expect, 0);

	m.u.job_expect.run = RUN;
	m.u.job_expect.pid = who;
	say(&queue, &m);
}

struct msg
start_message(int64_t id, int64_t bundle_limit, int64_t reserve)
{
	static const char *const argv[] = { "/bin/sh" };
	struct msg m = plain(MSG_TYPE_job_start, id);
	struct msg_job_start *s = &m.u.job_start;

	s->run = RUN;
	s->proxy = s->canary = "10.0.0.1:1";
	s->gateway = "10.0.0.1";
	s->repo = s->directory = s->base = "";
	s->branch = "agent/sh/" RUN;
	s->argv.v = argv;
	s->argv.n = 1;
	s->prompt_by = "stdin";
	s->deadline_ms = 1000;
	s->log_limit = 1 << 20;
	s->bundle_limit = bundle_limit;
	s->disk_reserve = reserve;
	return m;
}

void
start(int64_t bundle_limit, int64_t disk_reserve)
{
	struct msg m = start_message(1, bundle_limit, disk_reserve);

	say(&queue, &m);
	heard(&queue, MSG_TYPE_job_ready, 1);
}

void
connects_silently(void)
{
	int fd;

	side_free(&agent);
	ck_assert_int_ne(fd = fd_connect_unix(path), -1);
	ck_assert_int_eq(fd_set_nonblock(fd), 0);
	agent.p = peer_new(base, fd, PEER_CLIENT, SIDE_AGENT, SIDE_RUNS,
	    "agent", "runs", &ops, &agent);
	ck_assert_ptr_nonnull(agent.p);
}

void
connects(const char *phase, int64_t offset)
{
	struct msg m = plain(MSG_TYPE_agent_ready, 0);

	connects_silently();
	m.u.agent_ready.phase = phase;
	m.u.agent_ready.offset = offset;
	say(&agent, &m);
}

void
run_begins(int64_t bundle_limit, int64_t disk_reserve)
{
	door();
	start(bundle_limit, disk_reserve);
	expect_pid(getpid());
	connects("new", 0);
	heard(&agent, MSG_TYPE_agent_start, 1);
}

void
link_is(const char *phase)
{
	UNTIL(queue.count[MSG_TYPE_job_link] > 0 &&
	    strcmp(queue.last[MSG_TYPE_job_link].u.job_link.phase, phase) == 0);
}

void
out_begins(uint32_t id, uint8_t *buf, size_t len)
{
	free(agent.out);
	agent.out = buf;
	agent.nout = len;
	agent.sent = 0;
	agent.id = id;
	agent.aborted = false;
	ck_assert_int_eq(peer_stream_begin(agent.p, id), 0);
}

/* len bytes of output as chunks, from this offset of it on. */
void
prints(int64_t offset, size_t len)
{
	struct msg m = plain(MSG_TYPE_agent_output, 0);
	uint8_t *buf = malloc(len + (len / 1024 + 1) * CHUNK_HEADER_LEN);
	size_t n = 0, piece, i;

	ck_assert_ptr_nonnull(buf);
	for (i = 0; i < len; i += piece) {
		piece = len - i < 1024 ? len - i : 1024;
		chunk_put_header(buf + n, CHUNK_OUT, piece);
		n += CHUNK_HEADER_LEN;
		memset(buf + n, 'a' + (int)((offset + (int64_t)i) / 1024 % 26),
		    piece);
		n += piece;
	}
	out_begins(OUT, buf, n);
	m.u.agent_output.stream = OUT;
	m.u.agent_output.offset = offset;
	say(&agent, &m);
}

void
exits(int64_t offset)
{
	struct msg m = plain(MSG_TYPE_agent_exited, 0);

	UNTIL(agent.sent == agent.nout);
	ck_assert_int_eq(peer_stream_finish(agent.p, OUT), 0);
	m.u.agent_exited.reason = "tool";
	m.u.agent_exited.offset = offset;
	say(&agent, &m);
	heard(&queue, MSG_TYPE_job_exited, 1);
}

const struct msg_job_closed *
closed(bool remove)
{
	struct msg m = plain(MSG_TYPE_job_close, 5);

	m.u.job_close.run = RUN;
	m.u.job_close.remove = remove;
	say(&queue, &m);
	return &heard(&queue, MSG_TYPE_job_closed, 1)->u.job_closed;
}

void
bundle(size_t len, int byte, const char *why)
{
	struct msg m = plain(MSG_TYPE_agent_bundle, 0);
	uint8_t *buf = malloc(len);

	ck_assert_ptr_nonnull(buf);
	memset(buf, byte, len);
	out_begins(BUNDLE, buf, len);
	m.u.agent_bundle.stream = BUNDLE;
	m.u.agent_bundle.bytes = (int64_t)len;
	m.u.agent_bundle.why = why;
	m.u.agent_bundle.base = m.u.agent_bundle.head = "";
	say(&agent, &m);
}

void
bundle_ends(void)
{
	UNTIL(agent.sent == agent.nout);
	ck_assert_int_eq(peer_stream_finish(agent.p, BUNDLE), 0);
}

void
serve(enum msg_type type)
{
	struct msg m = plain(type, 6);

	ck_assert_int_eq(peer_stream_expect(frontend.p, SERVED, INT64_MAX), 0);
	if (type == MSG_TYPE_logs) {
		m.u.logs.run = RUN;
		m.u.logs.stream = SERVED;
	} else {
		m.u.bundle_get.run = RUN;
		m.u.bundle_get.stream = SERVED;
	}
	say(&frontend, &m);
}

bool
there(const char *name)
{
	char file[128];
	struct stat st;

	snprintf(file, sizeof(file), "%s/" RUN "/%s", directory, name);
	return stat(file, &st) == 0;
}

/* --- both programs ---------------------------------------------------- */

int
main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc > 1)
		return role_main("dispatchd", argc, argv, runs_main);
	return world_tests();
}
