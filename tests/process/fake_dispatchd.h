#ifndef TESTS_PROCESS_FAKE_DISPATCHD_H
#define TESTS_PROCESS_FAKE_DISPATCHD_H

/*
 * A dispatchd for one test: a child that answers clients by a plan. What it
 * was asked is in the file `asked`, a line each; a prompt in `prompt`.
 */

#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/sha.h>

#include "libcommon/fd.h"
#include "libcommon/msg.h"
#include "libcommon/peer.h"
#include "libcommon/version.h"

#include "dispatchd/runs_chunk.h"

#define RUN "abcdefghij23"
#define BRANCH "agent/sh/" RUN
#define FAKE_PIECES_MAX 256
#define FAKE_PROMPT_MAX (4 * 1024 * 1024)
#define FAKE_CUT_MS 60 /* for what was sent to arrive */

struct fake_piece {
	enum chunk_kind kind;
	const void *data;
	int64_t len; /* of a gap: the missing bytes */
};

static struct fake_plan {
	const char *refuse; /* the answer to `run` is this error */
	const char *refuse_show; /* the answer to `show` likewise */
	const char *refuse_wait, *refuse_logs;
	int refuse_times; /* so often the logs; 0: always */
	bool full; /* every connection is one too many */
	bool garble; /* the logs are no chunks */
	const char *class;
	const char *version; /* NULL: ours */
	int exit_code;
	struct fake_piece pieces[FAKE_PIECES_MAX];
	size_t npieces;
	size_t cut_at; /* the first link ends behind so much of the log */
	bool cut_run; /* the first link ends instead of run.accepted */
	bool late; /* the first logs are refused: no run yet */
	bool hold; /* it does not end by itself */
	bool answer_first; /* logs.answer comes before the end of its stream */
	const uint8_t *bundle; /* NULL: none */
	size_t bundle_len;
	const char
	    *recorded; /* the hash that wait and show tell; NULL: right */
	const char *claimed; /* the hash of bundle.get.answer; likewise */
	size_t rows, page; /* of ps; page 0: all in one */
	bool denials;
} plan;

struct fake_client {
	LIST_ENTRY(fake_client) entry;
	struct peer *peer;
	int64_t run_id, wait_id, logs_id, bundle_id;
	uint32_t run_stream, logs_stream, bundle_stream;
	uint8_t *log;
	size_t log_len, log_off, bundle_off;
};

static struct event_base *fake_base;
static LIST_HEAD(, fake_client) fake_clients;
static struct event *fake_accept, *fake_cut;
static int fake_listener = -1, fake_asked = -1;
static int fake_refused;
static bool fake_was_cut, fake_was_late, fake_printed, fake_stopped;
static uint8_t fake_prompt[FAKE_PROMPT_MAX];
static size_t fake_prompt_len;

static void __attribute__((format(printf, 1, 2)))
fake_note(const char *fmt, ...)
{
	char line[2048];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	(void)!write(fake_asked, line, (size_t)n);
}

static void
fake_hash(const uint8_t *buf, size_t len, char hex[65])
{
	unsigned char md[32];
	int i;

	(void)SHA256(buf, len, md);
	for (i = 0; i < 32; i++)
		(void)snprintf(hex + 2 * (size_t)i, 3, "%02x", md[i]);
}

/* The hash of the bundle, or what the plan says instead. */
static const char *
fake_sha256(const char *instead)
{
	static char hex[65];

	if (plan.bundle == NULL)
		return "";
	if (instead != NULL)
		return instead;
	fake_hash(plan.bundle, plan.bundle_len, hex);
	return hex;
}

static const char *const fake_k[] = { "evil.example:443 host",
	"x\033[31m:1 port" };
static const char *const fake_v[] = { "3", "1" };

/* --- wait ------------------------------------------------------------- */

static void
fake_event(struct fake_client *c, const char *state, const char *detail)
{
	struct msg m = { .type = MSG_TYPE_run_event, .id = c->wait_id };

	m.u.run_event.run = RUN;
	m.u.run_event.state = state;
	m.u.run_event.detail = detail;
	(void)peer_send(c->peer, &m);
}

static void
fake_over(struct fake_client *c)
{
	struct msg m = { .type = MSG_TYPE_wait_answer, .id = c->wait_id };
	struct msg_wait_answer *a = &m.u.wait_answer;

	if (c->wait_id == 0 || (plan.hold && !fake_stopped) ||
	    (plan.npieces > 0 && !fake_printed && !fake_stopped))
		return;
	a->run = RUN;
	a->class = fake_stopped ? "cancelled" : plan.class;
	a->exit_code = plan.exit_code;
	a->branch = plan.bundle != NULL ? BRANCH : "";
	a->bundle = plan.bundle != NULL ? "/state/runs/" RUN "/bundle" : "";
	a->sha256 = fake_sha256(plan.recorded);
	a->bytes = (int64_t)plan.bundle_len;
	if (plan.denials) {
		a->denials.k = fake_k;
		a->denials.v = fake_v;
		a->denials.n = 2;
	}
	(void)peer_send(c->peer, &m);
	c->wait_id = 0;
}

static void
fake_wait(struct fake_client *c)
{
	if (plan.refuse_wait != NULL) {
		(void)peer_send_error(
		    c->peer, c->wait_id, plan.refuse_wait, "because");
		c->wait_id = 0;
		return;
	}
	fake_event(c, "QUEUED", "memory");
	fake_event(c, "GATED", NULL);
	if (plan.late)
		fake_event(c, "RUNNING", "cloning");
	fake_event(c, "RUNNING", "tool\033[1m");
	fake_over(c);
}

/* --- logs and bundle --------------------------------------------------- */

static void
fake_add(struct fake_client *c, const void *buf, size_t len)
{
	c->log = realloc(c->log, c->log_len + len);
	memcpy(c->log + c->log_len, buf, len);
	c->log_len += len;
}

/* The log from an offset on, which may lie within a piece. */
static void
fake_log_from(struct fake_client *c, int64_t since)
{
	uint8_t head[CHUNK_HEADER_LEN + CHUNK_GAP_LEN];
	const struct fake_piece *p;
	int64_t skip;
	size_t i;

	c->log_len = c->log_off = 0;
	for (i = 0; i < plan.npieces; i++) {
		p = &plan.pieces[i];
		skip = since < p->len ? since : p->len;
		since -= skip;
		if (skip == p->len)
			continue;
		if (p->kind == CHUNK_GAP) {
			chunk_put_gap(head, p->len - skip);
			fake_add(c, head, sizeof(head));
			continue;
		}
		chunk_put_header(head, p->kind, (size_t)(p->len - skip));
		fake_add(c, head, CHUNK_HEADER_LEN);
		fake_add(c, (const uint8_t *)p->data + skip,
		    (size_t)(p->len - skip));
	}
}

static void
fake_logs_answer(struct fake_client *c)
{
	struct msg m = { .type = MSG_TYPE_logs_answer, .id = c->logs_id };

	(void)peer_send(c->peer, &m);
}

static void
fake_push_log(struct fake_client *c)
{
	struct fake_client *other;
	size_t n = peer_stream_room(c->peer, c->logs_stream), end = c->log_len;
	struct timeval tv = { 0, FAKE_CUT_MS * 1000 };

	if (evtimer_pending(fake_cut, NULL))
		return;
	if (plan.cut_at > 0 && !fake_was_cut && plan.cut_at < end)
		end = plan.cut_at;
	if (n > end - c->log_off)
		n = end - c->log_off;
	if (n > 0)
		ck_assert_int_eq(peer_stream_write(c->peer, c->logs_stream,
		                     c->log + c->log_off, n),
		    0);
	c->log_off += n;
	if (c->log_off < end)
		return;
	if (end < c->log_len) {
		fake_was_cut = true;
		(void)evtimer_add(fake_cut, &tv);
		return;
	}
	if (plan.hold && !fake_stopped)
		return;
	if (plan.answer_first)
		fake_logs_answer(c);
	(void)peer_stream_finish(c->peer, c->logs_stream);
	if (!plan.answer_first)
		fake_logs_answer(c);
	c->logs_stream = 0;
	fake_printed = true;
	LIST_FOREACH(other, &fake_clients, entry)
		fake_over(other);
}

static void
fake_logs(struct fake_client *c, const struct msg *m)
{
	const struct msg_logs *g = &m->u.logs;

	fake_note("logs since %" PRId64 " follow %d\n", g->since, g->follow);
	if (plan.refuse_logs != NULL &&
	    (plan.refuse_times == 0 || fake_refused < plan.refuse_times)) {
		fake_refused++;
		(void)peer_send_error(
		    c->peer, m->id, plan.refuse_logs, "because \033so");
		return;
	}
	if ((plan.late && !fake_was_late) ||
	    (plan.npieces == 0 && !plan.garble)) {
		fake_was_late = true;
		(void)peer_send_error(
		    c->peer, m->id, "no_run", "there is no output");
		return;
	}
	c->logs_id = m->id;
	c->logs_stream = (uint32_t)g->stream;
	fake_log_from(c, g->since);
	if (plan.garble)
		fake_add(c, "\377\377\377\377\377\377\377\377", 8);
	ck_assert_int_eq(peer_stream_begin(c->peer, c->logs_stream), 0);
}

static void
fake_push_bundle(struct fake_client *c)
{
	struct msg m = { .type = MSG_TYPE_bundle_get_answer,
		.id = c->bundle_id };
	size_t n = peer_stream_room(c->peer, c->bundle_stream);

	if (n > plan.bundle_len - c->bundle_off)
		n = plan.bundle_len - c->bundle_off;
	ck_assert_int_eq(peer_stream_write(c->peer, c->bundle_stream,
	                     plan.bundle + c->bundle_off, n),
	    0);
	c->bundle_off += n;
	if (c->bundle_off < plan.bundle_len)
		return;
	(void)peer_stream_finish(c->peer, c->bundle_stream);
	m.u.bundle_get_answer.bytes = (int64_t)plan.bundle_len;
	m.u.bundle_get_answer.sha256 = fake_sha256(plan.claimed);
	(void)peer_send(c->peer, &m);
}

static void
fake_bundle(struct fake_client *c, const struct msg *m)
{
	if (plan.bundle == NULL) {
		(void)peer_send_error(
		    c->peer, m->id, "no_bundle", "the run has no bundle");
		return;
	}
	c->bundle_id = m->id;
	c->bundle_stream = (uint32_t)m->u.bundle_get.stream;
	c->bundle_off = 0;
	ck_assert_int_eq(peer_stream_begin(c->peer, c->bundle_stream), 0);
}

/* --- run ---------------------------------------------------------------- */

static void
fake_accepted(struct fake_client *c)
{
	struct msg m = { .type = MSG_TYPE_run_accepted, .id = c->run_id };
	struct timeval now = { 0, 0 };
	int fd = open("prompt", O_WRONLY | O_CREAT | O_TRUNC, 0600);

	(void)!write(fd, fake_prompt, fake_prompt_len);
	(void)close(fd);
	if (plan.cut_run && !fake_was_cut) {
		fake_was_cut = true;
		(void)evtimer_add(fake_cut, &now);
		return;
	}
	m.u.run_accepted.run = RUN;
	m.u.run_accepted.state = "QUEUED";
	m.u.run_accepted.branch = BRANCH;
	(void)peer_send(c->peer, &m);
}

static void
fake_run(struct fake_client *c, const struct msg *m)
{
	const struct msg_run *r = &m->u.run;

	fake_note(
	    "run id=%s repo=%s base=%s tool=%s profile=%s deadline=%" PRId64
	    " bytes=%" PRId64 "\n",
	    r->request, r->repo, r->base, r->tool, r->profile, r->deadline_ms,
	    r->bytes);
	if (plan.refuse != NULL) {
		(void)peer_send_error(
		    c->peer, m->id, plan.refuse, "because \033[31mso");
		return;
	}
	c->run_id = m->id;
	c->run_stream = (uint32_t)r->stream;
	fake_prompt_len = 0;
	if (r->stream == 0)
		fake_accepted(c);
	else
		ck_assert_int_eq(
		    peer_stream_expect(c->peer, c->run_stream, r->bytes), 0);
}

/* --- the rest ----------------------------------------------------------- */

static void
fake_ps(struct fake_client *c, const struct msg *asked)
{
	struct msg m = { .type = MSG_TYPE_ps_row, .id = asked->id };
	struct msg_ps_row *r = &m.u.ps_row;
	size_t i, begin = (size_t)asked->u.ps.after, end = plan.rows;

	fake_note("ps all %d\n", asked->u.ps.all);
	if (plan.page != 0 && end - begin > plan.page)
		end = begin + plan.page;
	r->run = RUN;
	r->state = "QUEUED";
	r->class = "";
	r->profile = "dev";
	r->tool = "sh";
	r->repo = "https://x/\033[31m";
	r->why = "memory";
	r->age_ms = 61000;
	for (i = begin; i < end; i++)
		(void)peer_send(c->peer, &m);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_ps_answer;
	m.id = asked->id;
	m.u.ps_answer.count = (int64_t)(end - begin);
	m.u.ps_answer.next = end < plan.rows ? (int64_t)end : 0;
	(void)peer_send(c->peer, &m);
}

static void
fake_show(struct fake_client *c, int64_t id)
{
	static const char *const k[] = { "QUEUED" };
	static const char *const v[] = { "2026-01-01T00:00:00.000Z" };
	struct msg m = { .type = MSG_TYPE_show_answer, .id = id };
	struct msg_show_answer *a = &m.u.show_answer;

	if (plan.refuse_show != NULL) {
		(void)peer_send_error(
		    c->peer, id, plan.refuse_show, "there is no such run");
		return;
	}
	a->run = RUN;
	a->state = "DONE";
	a->class = plan.class;
	a->reason = a->base_commit = a->head = a->why = "";
	a->exit_code = plan.exit_code;
	a->profile = "dev";
	a->tool = "sh";
	a->repo = "https://x/\033[31m";
	a->base = "main";
	a->branch = BRANCH;
	a->bundle_path = plan.bundle != NULL ? "/state/bundle" : "";
	a->bundle_sha256 = fake_sha256(plan.recorded);
	a->bundle_bytes = (int64_t)plan.bundle_len;
	a->allowed = 5;
	a->denials.k = fake_k;
	a->denials.v = fake_v;
	a->denials.n = 2;
	a->times.k = k;
	a->times.v = v;
	a->times.n = 1;
	a->log_bytes = 70;
	(void)peer_send(c->peer, &m);
}

static void
fake_stop(struct fake_client *c, int64_t id)
{
	struct msg m = { .type = MSG_TYPE_stop_answer, .id = id };
	struct fake_client *other;

	fake_note("stop\n");
	m.u.stop_answer.state = "RUNNING";
	(void)peer_send(c->peer, &m);
	fake_stopped = true;
	LIST_FOREACH(other, &fake_clients, entry) {
		if (other->logs_stream != 0)
			fake_push_log(other);
		fake_over(other);
	}
}

static void
fake_status(struct fake_client *c, int64_t id)
{
	static const char *const k[] = { "engine_state", "queue", "runs" };
	static const char *const v[] = { "unreachable: no \033socket",
		"seccomp on, landlock 0", "seccomp on, landlock 4" };
	struct msg m = { .type = MSG_TYPE_status_answer, .id = id };
	struct msg_status_answer *a = &m.u.status_answer;

	a->daemon = "dispatchd";
	a->version = plan.version != NULL ? plan.version : BULKHEAD_VERSION;
	a->pid = 7;
	a->state.k = k;
	a->state.v = v;
	a->state.n = 3;
	(void)peer_send(c->peer, &m);
}

static void
fake_message(struct peer *p, struct msg *m, int fd, void *arg)
{
	struct msg done = { .type = MSG_TYPE_rm_answer, .id = m->id };
	struct fake_client *c = arg;

	switch (m->type) {
	case MSG_TYPE_run:
		fake_run(c, m);
		break;
	case MSG_TYPE_wait:
		c->wait_id = m->id;
		fake_wait(c);
		break;
	case MSG_TYPE_logs:
		fake_logs(c, m);
		break;
	case MSG_TYPE_bundle_get:
		fake_bundle(c, m);
		break;
	case MSG_TYPE_ps:
		fake_ps(c, m);
		break;
	case MSG_TYPE_show:
		fake_show(c, m->id);
		break;
	case MSG_TYPE_stop:
		fake_stop(c, m->id);
		break;
	case MSG_TYPE_rm:
		fake_note("rm\n");
		(void)peer_send(p, &done);
		break;
	case MSG_TYPE_status:
		fake_status(c, m->id);
		break;
	default:
		fake_note("unexpected %s\n", msg_decl(m->type)->wire);
		break;
	}
}

/* --- the links ----------------------------------------------------------- */

static void
fake_drop(struct fake_client *c)
{
	LIST_REMOVE(c, entry);
	peer_free(&c->peer);
	free(c->log);
	free(c);
}

static void
fake_gone(struct peer *p, enum peer_end end, const char *why, void *arg)
{
	if (end != PEER_END_EOF)
		fake_note("gone: %s\n", why);
	fake_drop(arg);
}

static void
fake_data(
    struct peer *p, uint32_t stream, const uint8_t *buf, size_t len, void *arg)
{
	memcpy(fake_prompt + fake_prompt_len, buf, len);
	fake_prompt_len += len;
	peer_stream_consumed(p, stream, len);
}

static void
fake_stream_end(
    struct peer *p, uint32_t stream, bool ok, const char *why, void *arg)
{
	struct fake_client *c = arg;

	if (ok && stream == c->run_stream)
		fake_accepted(c);
	if (!ok && stream == c->logs_stream) {
		fake_note("logs aborted\n");
		c->logs_stream = 0;
		(void)peer_send_error(p, c->logs_id, "aborted", "not wanted");
	}
}

static void
fake_ready(struct peer *p, uint32_t stream, void *arg)
{
	struct fake_client *c = arg;

	if (stream == c->logs_stream)
		fake_push_log(c);
	else if (stream == c->bundle_stream)
		fake_push_bundle(c);
}

static const struct peer_ops fake_ops = {
	.message = fake_message,
	.gone = fake_gone,
	.data = fake_data,
	.stream_end = fake_stream_end,
	.stream_ready = fake_ready,
};

static void
fake_on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct fake_client *c = calloc(1, sizeof(*c));
	int s = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	ck_assert_int_ne(s, -1);
	LIST_INSERT_HEAD(&fake_clients, c, entry);
	c->peer = peer_new(fake_base, s, PEER_CLIENT, SIDE_FRONTEND,
	    SIDE_CLIENT, "dispatchd", "client", &fake_ops, c);
	if (plan.full) {
		(void)peer_send_error(c->peer, 1, "too_many", "because");
		peer_flush(c->peer);
		fake_drop(c);
	}
}

static void
fake_on_cut(evutil_socket_t fd, short what, void *arg)
{
	struct fake_client *c, *next;

	LIST_FOREACH_SAFE(c, &fake_clients, entry, next)
		fake_drop(c);
	fake_note("cut\n");
}

/* Start it in the current directory; returns its process. */
static pid_t
fake_start(void)
{
	pid_t pid;

	(void)unlink("asked");
	fake_listener = fd_listen_unix("dispatchd.sock", 16);
	ck_assert_int_ne(fake_listener, -1);
	if ((pid = fork()) != 0) {
		ck_assert_int_gt(pid, 0);
		(void)close(fake_listener);
		return pid;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	/* The test's own handlers are for its own process. */
	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGINT, SIG_DFL);
	fake_asked =
	    open("asked", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	fake_base = event_base_new();
	fake_cut = evtimer_new(fake_base, fake_on_cut, NULL);
	fake_accept = event_new(fake_base, fake_listener, EV_READ | EV_PERSIST,
	    fake_on_accept, NULL);
	(void)event_add(fake_accept, NULL);
	(void)event_base_dispatch(fake_base);
	_exit(1);
}

#endif
