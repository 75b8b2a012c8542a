/*
 * The audit process as its daemon starts it: this program is the parent and
 * the senders, and runs itself as the child.
 */

#include <sys/types.h>

#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "libcommon/audit.h"
#include "libcommon/clock.h"
#include "libcommon/fd.h"
#include "libcommon/frame.h"
#include "libcommon/log.h"
#include "libcommon/msg.h"
#include "libcommon/proc.h"

#define SENDERS 3
#define QUEUE SENDERS /* a sender more, who records steps of runs */
#define ALL_SENDERS (SENDERS + 1)
#define WAIT_MS 10000
#define NOBODY 65534

static char dir[64], path[96];

/* One end of a link, as the parent or a sender has it. */
struct link {
	int fd;
	uint8_t in[FRAME_CTL_MAX + FRAME_HEADER_LEN];
	size_t len;
};

struct audit {
	pid_t pid;
	struct link parent;
	struct link sender[ALL_SENDERS];
};

static struct audit au;

/* --- links ------------------------------------------------------------ */

/* Returns 0, or -1 when the link is gone. */
static int
put(struct link *l, const struct msg *m)
{
	uint8_t hdr[FRAME_HEADER_LEN];
	char why[160] = "", *text, *frame;
	size_t len, off;
	ssize_t n;

	ck_assert_msg(
	    msg_encode(m, &text, &len, why, sizeof(why)) == 0, "%s", why);
	frame_put_control(hdr, len);
	frame = malloc(sizeof(hdr) + len);
	memcpy(frame, hdr, sizeof(hdr));
	memcpy(frame + sizeof(hdr), text, len);
	free(text);
	for (off = 0, n = 0; off < sizeof(hdr) + len; off += (size_t)n) {
		n = send(
		    l->fd, frame + off, sizeof(hdr) + len - off, MSG_NOSIGNAL);
		if (n == -1)
			break;
	}
	free(frame);
	return n == -1 ? -1 : 0;
}

/* The next message; the caller frees it. Returns -1 at the end or too late. */
static int
get(struct link *l, struct msg *m)
{
	struct pollfd pfd = { .fd = l->fd, .events = POLLIN };
	struct frame f;
	char why[160] = "";
	const char *bad;
	ssize_t n;

	while ((n = frame_parse(l->in, l->len, FRAME_CTL_MAX, &f, &bad)) == 0) {
		if (poll(&pfd, 1, WAIT_MS) != 1)
			return -1;
		n = recv(l->fd, l->in + l->len, sizeof(l->in) - l->len, 0);
		if (n <= 0)
			return -1;
		l->len += (size_t)n;
	}
	ck_assert_int_gt(n, 0);
	ck_assert_msg(
	    msg_decode((const char *)f.data, f.len, m, why, sizeof(why)) == 0,
	    "%s", why);
	memmove(l->in, l->in + n, l->len - (size_t)n);
	l->len -= (size_t)n;
	return 0;
}

static int
deny(struct link *l, const char *host)
{
	struct msg m = { .type = MSG_TYPE_rec_deny };

	m.u.rec_deny.host = host;
	m.u.rec_deny.port = 443;
	m.u.rec_deny.code = "host";
	m.u.rec_deny.status = 403;
	return put(l, &m);
}

/*
 * Take acknowledgements of n records. Returns how many were recorded; reason
 * gets the last that was given.
 */
static int64_t
acks(struct link *l, int64_t n, char reason[130])
{
	struct msg m;
	int64_t ok = 0;

	while (n > 0) {
		ck_assert_int_eq(get(l, &m), 0);
		if (m.type == MSG_TYPE_recorded) {
			ok += m.u.recorded.count;
			n -= m.u.recorded.count;
		} else {
			ck_assert_int_eq(m.type, MSG_TYPE_unrecorded);
			n -= m.u.unrecorded.count;
			if (reason != NULL)
				(void)strlcpy(
				    reason, m.u.unrecorded.reason, 130);
		}
		msg_free(&m);
	}
	ck_assert_int_eq(n, 0);
	return ok;
}

static int64_t
deny1(struct link *l, const char *host, char reason[130])
{
	ck_assert_int_eq(deny(l, host), 0);
	return acks(l, 1, reason);
}

/* Until records are taken again. */
static void
until_recorded(struct link *l)
{
	int64_t end = clock_boot_ms() + WAIT_MS;

	while (deny1(l, "again.example", NULL) == 0) {
		ck_assert_int_lt(clock_boot_ms(), end);
		(void)usleep(100000);
	}
}

/* --- the process ------------------------------------------------------ */

static void
new_link(struct link *l, int *other)
{
	int sv[2];

	ck_assert_int_eq(proc_socketpair(sv), 0);
	(void)fcntl(sv[0], F_SETFL, fcntl(sv[0], F_GETFL) & ~O_NONBLOCK);
	l->fd = sv[0];
	l->len = 0;
	*other = sv[1];
}

static void
spawn(struct audit *a)
{
	struct proc_spec spec = { .role = "audit" };
	uid_t uid = getuid() == 0 ? NOBODY : getuid();
	gid_t gid = getuid() == 0 ? NOBODY : getgid();
	size_t i;

	spec.uid = uid;
	spec.gid = gid;
	new_link(&a->parent, &spec.parent_fd);
	spec.fds[0] = audit_open(path, uid, gid);
	ck_assert_msg(spec.fds[0] != -1, "%s: %s", path, strerror(errno));
	for (i = 0; i < ALL_SENDERS; i++)
		new_link(&a->sender[i], &spec.fds[1 + i]);
	spec.nfds = 1 + ALL_SENDERS;
	a->pid = proc_spawn("egressd", &spec);
	ck_assert_int_gt(a->pid, 0);
}

/* Returns 0 when it is ready, or its wait status. */
static int
start_this(struct audit *a)
{
	struct msg m;
	int status;

	spawn(a);
	if (get(&a->parent, &m) == -1) {
		ck_assert_int_eq(waitpid(a->pid, &status, 0), a->pid);
		a->pid = 0;
		return status;
	}
	ck_assert_int_eq(m.type, MSG_TYPE_ready);
	msg_free(&m);
	return 0;
}

static void
start(void)
{
	ck_assert_int_eq(start_this(&au), 0);
}

static void
close_links(struct audit *a)
{
	size_t i;

	(void)close(a->parent.fd);
	for (i = 0; i < ALL_SENDERS; i++)
		if (a->sender[i].fd != -1)
			(void)close(a->sender[i].fd);
}

static void
stop_this(struct audit *a)
{
	int status;

	(void)close(a->parent.fd);
	ck_assert_int_eq(waitpid(a->pid, &status, 0), a->pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	    "status %x", (unsigned)status);
	a->parent.fd = -1;
	close_links(a);
}

static void
stop(void)
{
	stop_this(&au);
}

/* --- the file --------------------------------------------------------- */

static char *
contents(size_t *len)
{
	char *text;

	ck_assert_int_eq(fd_read_path(path, 64 * 1024 * 1024, &text, len), 0);
	return text;
}

static void
overwrite(const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
	(void)close(fd);
}

/* The file verifies; returns its records. */
static int64_t
verified(void)
{
	struct audit_verify *v = audit_verify_new();
	size_t len;
	char *text = contents(&len);
	int64_t n;

	(void)audit_verify_feed(v, text, len);
	ck_assert_msg(audit_verify_end(v) == 0, "line %lu: %s",
	    (unsigned long)audit_verify_line(v), audit_verify_why(v));
	n = audit_verify_records(v);
	audit_verify_free(&v);
	free(text);
	return n;
}

static size_t
count(const char *what)
{
	size_t len, n = 0;
	char *text = contents(&len), *p = text;

	while ((p = strstr(p, what)) != NULL) {
		n++;
		p++;
	}
	free(text);
	return n;
}

static off_t
size(void)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_size;
}

static void
set_up(void)
{
	(void)strlcpy(dir, "/tmp/audit_test.XXXXXX", sizeof(dir));
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/d.jsonl", dir);
}

static void
tear_down(void)
{
	(void)unlink(path);
	(void)rmdir(dir);
}

/* --- tests ------------------------------------------------------------ */

START_TEST(records)
{
	struct msg m = { .type = MSG_TYPE_rec_stop };
	struct stat st;
	char *text, *line[3];
	size_t len, i;

	start();
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
	ck_assert_int_eq(deny1(&au.sender[0], "one.example", NULL), 1);
	ck_assert_int_eq(deny1(&au.sender[1], "two.example", NULL), 1);
	m.u.rec_stop.reason = "test";
	ck_assert_int_eq(put(&au.parent, &m), 0);
	ck_assert_int_eq(acks(&au.parent, 1, NULL), 1);
	stop();
	ck_assert_int_eq(verified(), 3);
	text = contents(&len);
	line[0] = strtok_r(text, "\n", &line[2]);
	line[1] = strtok_r(NULL, "\n", &line[2]);
	line[2] = strtok_r(NULL, "\n", &line[2]);
	for (i = 0; i < 3; i++)
		ck_assert_ptr_nonnull(line[i]);
	ck_assert_ptr_nonnull(strstr(line[0], "{\"seq\":1,\"time\":\"20"));
	ck_assert_ptr_nonnull(strstr(line[0],
	    "\"daemon\":\"egressd\","
	    "\"type\":\"deny\",\"run\":null,\"host\":\"one.example\","));
	ck_assert_ptr_nonnull(strstr(line[1], "\"host\":\"two.example\","));
	ck_assert_ptr_nonnull(strstr(line[2], "\"type\":\"stop\","));
	free(text);

	/* the next instance goes on with the chain */
	start();
	ck_assert_int_eq(deny1(&au.sender[2], "three.example", NULL), 1);
	stop();
	ck_assert_int_eq(verified(), 4);
}
END_TEST

/* All at once, each in its own order; more than one batch holds. */
START_TEST(several_senders)
{
	enum {
		N = 700
	};
	char want[64];
	size_t i, j, len;
	char *text, *p;

	start();
	for (i = 0; i < N; i++)
		for (j = 0; j < SENDERS; j++) {
			(void)snprintf(
			    want, sizeof(want), "s%zu-%zu.example", j, i);
			ck_assert_int_eq(deny(&au.sender[j], want), 0);
		}
	for (j = 0; j < SENDERS; j++)
		ck_assert_int_eq(acks(&au.sender[j], N, NULL), N);
	stop();
	ck_assert_int_eq(verified(), N * SENDERS);
	text = contents(&len);
	for (j = 0; j < SENDERS; j++)
		for (i = 0, p = text; i < N; i++) {
			(void)snprintf(
			    want, sizeof(want), "\"s%zu-%zu.example\"", j, i);
			ck_assert_ptr_nonnull(p = strstr(p, want));
		}
	free(text);
}
END_TEST

/* One sender ends: the others are served. What was sent last is written. */
START_TEST(sender_gone)
{
	start();
	ck_assert_int_eq(deny(&au.sender[0], "last.example"), 0);
	(void)close(au.sender[0].fd);
	au.sender[0].fd = -1;
	ck_assert_int_eq(deny1(&au.sender[1], "other.example", NULL), 1);
	ck_assert_int_eq(deny(&au.sender[1], "end.example"), 0);
	stop();
	ck_assert_int_eq(verified(), 3);
	ck_assert_uint_eq(count("last.example"), 1);
	ck_assert_uint_eq(count("end.example"), 1);
}
END_TEST

/*
 * A sender that reads no acknowledgement neither holds up the others nor costs
 * memory: it is cut off.
 */
START_TEST(deaf_sender)
{
	int64_t n = 0;
	bool cut = false;

	start();
	while (n < 20000 && !cut) {
		cut = deny(&au.sender[0], "deaf.example") == -1;
		ck_assert_int_eq(deny1(&au.sender[1], "good.example", NULL), 1);
		n++;
	}
	ck_assert(cut);
	ck_assert_int_gt(n, 100);
	ck_assert_int_eq(deny1(&au.sender[2], "other.example", NULL), 1);
	stop();
	(void)verified();
	ck_assert_uint_eq(count("good.example"), (size_t)n);
}
END_TEST

START_TEST(killed)
{
	int64_t sent = 0, acked = 0;
	int status, round, fl;
	struct msg m;

	for (round = 0; round < 3; round++) {
		start();
		for (; sent < 400 * (round + 1); sent++)
			ck_assert_int_eq(deny(&au.sender[0], "x.example"), 0);
		(void)kill(au.pid, SIGKILL);
		ck_assert_int_eq(waitpid(au.pid, &status, 0), au.pid);
		fl = fcntl(au.sender[0].fd, F_GETFL);
		(void)fcntl(au.sender[0].fd, F_SETFL, fl | O_NONBLOCK);
		while (get(&au.sender[0], &m) == 0) {
			acked += m.u.recorded.count;
			msg_free(&m);
		}
		close_links(&au);
		ck_assert_uint_ge(count("x.example"), (size_t)acked);
	}
	start();
	ck_assert_int_eq(deny1(&au.sender[0], "end.example", NULL), 1);
	stop();
	(void)verified();
}
END_TEST

/* A file cut anywhere in its last two records is taken up. */
START_TEST(torn)
{
	size_t len, cut, from;
	char *text, *p;
	int lines;

	start();
	ck_assert_int_eq(deny1(&au.sender[0], "one.example", NULL), 1);
	ck_assert_int_eq(deny1(&au.sender[0], "two.example", NULL), 1);
	ck_assert_int_eq(deny1(&au.sender[0], "three.example", NULL), 1);
	stop();
	text = contents(&len);
	from = (size_t)(strchr(text, '\n') + 1 - text);
	for (cut = len - 1; cut > from;
	     cut = cut > len - 3 ? cut - 1 : cut - 17) {
		overwrite(text, cut);
		for (lines = 0, p = text; p < text + cut; p++)
			lines += *p == '\n';
		start();
		ck_assert_int_eq(
		    deny1(&au.sender[0], "after.example", NULL), 1);
		stop();
		ck_assert_int_eq(
		    verified(), lines + 1 + (text[cut - 1] != '\n'));
		ck_assert_uint_eq(
		    count("\"type\":\"recovered\",\"run\":null,\"bytes\":"),
		    text[cut - 1] != '\n');
	}
	free(text);
}
END_TEST

/* Nothing is appended behind a broken chain. */
START_TEST(broken)
{
	static const struct {
		const char *name;
		size_t at;
	} rows[] = {
		{ "first line", 20 },
		{ "second line", 400 },
	};
	char *text;
	size_t i, len;
	int status;

	start();
	for (i = 0; i < 5; i++)
		ck_assert_int_eq(deny1(&au.sender[0], "one.example", NULL), 1);
	stop();
	text = contents(&len);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		text[rows[i].at] ^= 1;
		overwrite(text, len);
		status = start_this(&au);
		ck_assert_msg(
		    WIFEXITED(status) && WEXITSTATUS(status) == EXIT_INTERNAL,
		    "%s: %x", rows[i].name, (unsigned)status);
		close_links(&au);
		ck_assert_int_eq(size(), (off_t)len);
		text[rows[i].at] ^= 1;
	}
	free(text);
}
END_TEST

/* One file, one writer; a new instance waits for the old one to leave. */
START_TEST(locked)
{
	static struct audit second;
	struct msg m;
	int status;

	start();
	status = start_this(&second);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SYSTEM);
	close_links(&second);
	spawn(&second);
	(void)usleep(300000);
	ck_assert_int_eq(deny1(&au.sender[0], "old.example", NULL), 1);
	stop();
	ck_assert_int_eq(get(&second.parent, &m), 0);
	msg_free(&m);
	ck_assert_int_eq(deny1(&second.sender[0], "new.example", NULL), 1);
	stop_this(&second);
	ck_assert_int_eq(verified(), 2);
}
END_TEST

/*
 * To set the limits of another process takes its uid, or a capability that a
 * container seldom has.
 */
static void
become_nobody(void)
{
	if (geteuid() != 0)
		return;
	ck_assert_int_eq(chown(dir, NOBODY, NOBODY), 0);
	ck_assert_int_eq(setresgid(NOBODY, NOBODY, NOBODY), 0);
	ck_assert_int_eq(setresuid(NOBODY, NOBODY, NOBODY), 0);
	/* else /proc/self/exe is not ours to run */
	ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
}

static void
limit(rlim_t n)
{
	struct rlimit rl = { n, RLIM_INFINITY };

	ck_assert_int_eq(prlimit(au.pid, RLIMIT_FSIZE, &rl, NULL), 0);
}

/*
 * The file may not grow beyond some byte of the next record, then to some byte
 * of the repair of that, then it may.
 */
START_TEST(refused_at_a_byte)
{
	/*
	 * Bytes of the record, less than 0: so many lack; and of the repair,
	 * 0: all. When a newline alone lacks, the record is taken back.
	 */
	static const struct {
		off_t first, second;
	} rows[] = {
		{ 0, 0 },
		{ 1, 1 },
		{ 10, 30 },
		{ -1, 0 },
		{ -1, 1 },
		{ -1, 20 },
		{ -2, 20 },
	};
	char reason[130];
	size_t i;
	off_t len, one, first;

	become_nobody();
	start();
	ck_assert_int_eq(deny1(&au.sender[0], "a.example", NULL), 1);
	one = size();
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		len = size();
		first = rows[i].first;
		if (first < 0) /* seq may have two digits */
			first += one + (verified() + 1 > 9);
		limit((rlim_t)(len + first));
		ck_assert_int_eq(deny1(&au.sender[0], "b.example", reason), 0);
		ck_assert_str_eq(reason, strerror(EFBIG));
		ck_assert_int_eq(size(), len + first);
		/* while it waits nothing is tried */
		limit(RLIM_INFINITY);
		ck_assert_int_eq(deny1(&au.sender[0], "c.example", reason), 0);
		ck_assert_int_eq(size(), len + first);
		if (rows[i].second > 0) {
			len = size();
			limit((rlim_t)(len + rows[i].second));
			(void)usleep((AUDIT_RETRY_MS + 20) * 1000);
			ck_assert_int_eq(
			    deny1(&au.sender[0], "d.example", reason), 0);
			ck_assert_int_eq(size(), len + rows[i].second);
			limit(RLIM_INFINITY);
		}
		(void)usleep((AUDIT_RETRY_MS + 20) * 1000);
		ck_assert_int_eq(deny1(&au.sender[1], "e.example", reason), 1);
		(void)verified();
		ck_assert_uint_eq(count("\"type\":\"recovered\""), i);
	}
	ck_assert_uint_eq(count("e.example"), i);
	stop();
	start();
	stop();
	(void)verified();
}
END_TEST

/* In one batch: what got in is acknowledged, what did not is not. */
START_TEST(refused_within_a_batch)
{
	char reason[130];
	int i;

	become_nobody();
	start();
	ck_assert_int_eq(deny1(&au.sender[0], "a.example", NULL), 1);
	limit((rlim_t)(size() * 20 + 100));
	(void)kill(au.pid, SIGSTOP);
	for (i = 0; i < 40; i++)
		ck_assert_int_eq(deny(&au.sender[i % 2], "b.example"), 0);
	(void)kill(au.pid, SIGCONT);
	i = (int)acks(&au.sender[0], 20, reason);
	i += (int)acks(&au.sender[1], 20, reason);
	ck_assert_uint_eq(count("b.example"), (size_t)i);
	ck_assert_int_eq(i, 19);
	ck_assert_str_eq(reason, strerror(EFBIG));
	limit(RLIM_INFINITY);
	until_recorded(&au.sender[2]);
	stop();
	ck_assert_int_eq(verified(), 1 + 19 + 2);
}
END_TEST

/* The file was changed under us: nothing is appended to it. */
/* --- steps of runs ------------------------------------------------------ */

static void
put_step(int64_t step)
{
	struct msg m = { .type = MSG_TYPE_rec_run_state };

	m.u.rec_run_state.run = "aaaaaaaaaaaa";
	m.u.rec_run_state.from = "QUEUED";
	m.u.rec_run_state.to = "ADMITTED";
	m.u.rec_run_state.evidence = "there is room";
	m.u.rec_run_state.step = step;
	ck_assert_int_eq(put(&au.sender[QUEUE], &m), 0);
}

static int64_t
step1(int64_t step)
{
	put_step(step);
	return acks(&au.sender[QUEUE], 1, NULL);
}

/* Sent again, before and behind a restart, a step stands there once. */
START_TEST(steps_once)
{
	int i;

	start();
	ck_assert_int_eq(step1(1), 1);
	ck_assert_int_eq(step1(2), 1);
	ck_assert_int_eq(step1(2), 1);
	for (i = 0; i < 10; i++)
		put_step(3);
	ck_assert_int_eq(acks(&au.sender[QUEUE], 10, NULL), 10);
	stop();
	ck_assert_int_eq(verified(), 3);
	start();
	ck_assert_int_eq(step1(3), 1);
	ck_assert_int_eq(step1(1), 1);
	ck_assert_int_eq(step1(4), 1);
	stop();
	ck_assert_int_eq(verified(), 4);
	ck_assert_uint_eq(count("\"step\":3"), 1);
	ck_assert_uint_eq(count("\"step\":4"), 1);
}
END_TEST

/* One that was refused is not there, and is taken when it comes again. */
START_TEST(step_refused)
{
	int64_t end = clock_boot_ms() + WAIT_MS;

	become_nobody();
	start();
	ck_assert_int_eq(step1(1), 1);
	limit((rlim_t)size());
	ck_assert_int_eq(step1(2), 0);
	ck_assert_int_eq(step1(1), 0);
	limit(RLIM_INFINITY);
	while (step1(2) == 0) {
		ck_assert_int_lt(clock_boot_ms(), end);
		(void)usleep(100000);
	}
	stop();
	ck_assert_int_eq(verified(), 2);
	ck_assert_uint_eq(count("\"step\":2"), 1);
}
END_TEST

/* A step whose line is torn, if only of its newline, was not taken. */
START_TEST(step_torn)
{
	start();
	ck_assert_int_eq(step1(1), 1);
	ck_assert_int_eq(step1(2), 1);
	stop();
	ck_assert_int_eq(truncate(path, size() - 1), 0);
	start();
	ck_assert_int_eq(step1(1), 1);
	ck_assert_int_eq(step1(2), 1);
	stop();
	/* The first step, what was torn, and the second one anew. */
	ck_assert_int_eq(verified(), 3);
	ck_assert_uint_eq(count("\"step\":1"), 1);
	ck_assert_uint_eq(count("\"step\":2"), 2);
}
END_TEST

/* Too long for a line: final, and nothing of the disk. */
START_TEST(too_long)
{
	struct msg m = { .type = MSG_TYPE_rec_proof }, a;
	char value[257], keys[64][4];
	const char *k[64], *v[64];
	size_t i;

	memset(value, 'x', sizeof(value) - 1);
	memset(value, 1, 255);
	value[256] = '\0';
	for (i = 0; i < 64; i++) {
		(void)snprintf(keys[i], sizeof(keys[i]), "%zu", i);
		k[i] = keys[i];
		v[i] = value;
	}
	m.u.rec_proof.run = "aaaaaaaaaaaa";
	m.u.rec_proof.checks.n = 24;
	m.u.rec_proof.checks.k = k;
	m.u.rec_proof.checks.v = v;
	start();
	ck_assert_int_eq(put(&au.sender[QUEUE], &m), 0);
	ck_assert_int_eq(get(&au.sender[QUEUE], &a), 0);
	ck_assert_int_eq(a.type, MSG_TYPE_unrecorded);
	ck_assert(a.u.unrecorded.final);
	msg_free(&a);
	ck_assert_int_eq(step1(1), 1);
	stop();
	ck_assert_int_eq(verified(), 1);
}
END_TEST

START_TEST(changed)
{
	char reason[130];
	int fd;

	start();
	ck_assert_int_eq(deny1(&au.sender[0], "a.example", NULL), 1);
	ck_assert_int_eq(truncate(path, size() - 1), 0);
	ck_assert_int_eq(deny1(&au.sender[0], "b.example", reason), 0);
	ck_assert_ptr_nonnull(strstr(reason, "truncated"));
	ck_assert_uint_eq(count("b.example"), 0);
	stop();

	(void)unlink(path);
	start();
	ck_assert_int_eq(deny1(&au.sender[0], "a.example", NULL), 1);
	ck_assert_int_ne(fd = open(path, O_WRONLY | O_APPEND), -1);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	(void)close(fd);
	ck_assert_int_eq(deny1(&au.sender[0], "b.example", reason), 0);
	ck_assert_ptr_nonnull(strstr(reason, "somebody else"));
	stop();

	(void)unlink(path);
	start();
	ck_assert_int_eq(deny1(&au.sender[0], "a.example", NULL), 1);
	(void)unlink(path);
	ck_assert_int_eq(deny1(&au.sender[0], "b.example", reason), 0);
	ck_assert_ptr_nonnull(strstr(reason, "removed"));
	stop();
}
END_TEST

/* A disk that is full for a while. */
START_TEST(full_disk)
{
	char fill[96], reason[130] = "";
	static const char zeros[4096];
	int64_t end;
	int fd;

	if (geteuid() != 0 || unshare(CLONE_NEWNS) == -1 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1 ||
	    mount("tmpfs", dir, "tmpfs", 0, "size=128k,mode=0755") == -1) {
		printf("full_disk: skipped, cannot mount: %s\n",
		    geteuid() != 0 ? "not root" : strerror(errno));
		return;
	}
	(void)snprintf(fill, sizeof(fill), "%s/fill", dir);
	start();
	ck_assert_int_eq(deny1(&au.sender[0], "a.example", NULL), 1);
	ck_assert_int_ne(fd = open(fill, O_WRONLY | O_CREAT, 0600), -1);
	while (write(fd, zeros, sizeof(zeros)) > 0)
		continue;
	(void)close(fd);
	end = clock_boot_ms() + WAIT_MS;
	while (deny1(&au.sender[0], "b.example", reason) == 1)
		ck_assert_int_lt(clock_boot_ms(), end);
	ck_assert_str_eq(reason, strerror(ENOSPC));
	ck_assert_int_eq(deny1(&au.sender[1], "c.example", reason), 0);
	/* it goes on refusing, and grows no further, while full */
	(void)usleep((AUDIT_RETRY_MS + 20) * 1000);
	ck_assert_int_eq(deny1(&au.sender[1], "d.example", reason), 0);
	ck_assert_int_eq(unlink(fill), 0);
	until_recorded(&au.sender[0]);
	(void)verified();
	ck_assert_uint_eq(count("\"type\":\"recovered\""), 1);
	stop();
	start();
	stop();
	(void)verified();
	(void)umount2(dir, MNT_DETACH);
}
END_TEST

/* audit_open takes a regular file and nothing else. */
START_TEST(opening)
{
	char other[96];
	struct stat st;
	int fd;

	(void)snprintf(other, sizeof(other), "%s/other", dir);
	(void)umask(077);
	ck_assert_int_ne(fd = audit_open(path, getuid(), getgid()), -1);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
	ck_assert_int_eq(
	    fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND), O_RDWR | O_APPEND);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	(void)close(fd);

	ck_assert_int_eq(symlink(path, other), 0);
	ck_assert_int_eq(audit_open(other, getuid(), getgid()), -1);
	ck_assert_int_eq(errno, ELOOP);
	(void)unlink(other);
	ck_assert_int_eq(mkfifo(other, 0600), 0);
	ck_assert_int_eq(audit_open(other, getuid(), getgid()), -1);
	ck_assert_int_eq(errno, EINVAL);
	(void)unlink(other);
	ck_assert_int_eq(audit_open(dir, getuid(), getgid()), -1);
	ck_assert_int_eq(errno, EISDIR);
	(void)unlink(path);
	ck_assert_int_eq(symlink("nowhere", path), 0);
	ck_assert_int_eq(audit_open(path, getuid(), getgid()), -1);
	ck_assert_int_eq(errno, ELOOP);
}
END_TEST

static int
child(int argc, char **argv)
{
	enum msg_side sides[PROC_FDS_MAX];
	struct proc_self self;
	int ch, i, debug = 0, verbose = 0;

	while ((ch = getopt(argc, argv, "dvx:")) != -1) {
		if (ch == 'd')
			debug = 1;
		else if (ch == 'v')
			verbose++;
		else if (ch == 'x')
			break;
	}
	if (ch != 'x' || proc_parse_self("egressd", argc, argv, &self) == -1)
		return 2;
	log_init("egressd/audit", debug, verbose);
	for (i = 0; i < PROC_FDS_MAX; i++)
		sides[i] = i == QUEUE ? SIDE_QUEUE : SIDE_PROXY;
	audit_main(&self, sides);
}

int
main(int argc, char **argv)
{
	Suite *s = suite_create("audit");
	TCase *t = tcase_create("all");
	SRunner *sr;
	int failed;

	if (argc > 1)
		return child(argc, argv);
	log_init("audit_test", 1, 0);
	tcase_set_timeout(t, 90);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, records);
	tcase_add_test(t, several_senders);
	tcase_add_test(t, sender_gone);
	tcase_add_test(t, deaf_sender);
	tcase_add_test(t, killed);
	tcase_add_test(t, torn);
	tcase_add_test(t, broken);
	tcase_add_test(t, locked);
	tcase_add_test(t, refused_at_a_byte);
	tcase_add_test(t, refused_within_a_batch);
	tcase_add_test(t, steps_once);
	tcase_add_test(t, step_refused);
	tcase_add_test(t, step_torn);
	tcase_add_test(t, too_long);
	tcase_add_test(t, changed);
	tcase_add_test(t, full_disk);
	tcase_add_test(t, opening);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
