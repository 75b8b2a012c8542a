/* The link to PID 1 of a run's container, behind its door. */

#include <sys/types.h>

#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"

#include "dispatchd/runs.h"
#include "dispatchd/runs_claim.h"

#define OTHER_BUNDLE "has another bundle than the one that is stored"

static void agent_message(struct peer *, struct msg *, int, void *);
static void agent_gone(struct peer *, enum peer_end, const char *, void *);
static void
agent_data(struct peer *, uint32_t, const uint8_t *, size_t, void *);
static void
agent_stream_end(struct peer *, uint32_t, bool, const char *, void *);
static void agent_stream_ready(struct peer *, uint32_t, void *);

static const struct peer_ops agent_ops = { .message = agent_message,
	.gone = agent_gone,
	.data = agent_data,
	.stream_end = agent_stream_end,
	.stream_ready = agent_stream_ready };

/* --- what the queue hears --------------------------------------------- */

static void
tell_link(struct job *j, const char *phase)
{
	struct msg m;

	strlcpy(j->phase, phase, sizeof(j->phase));
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_job_link;
	m.u.job_link.run = j->id;
	m.u.job_link.phase = j->phase;
	sibling_send(runs.queue, &m);
}

/* --- the link --------------------------------------------------------- */

void
agent_drop(struct job *j)
{
	if (j->agent == NULL)
		return;
	peer_free(&j->agent);
	/* What came in part comes again. */
	j->output = 0;
	j->start_sent = j->proof_seen = j->released_seen = false;
	j->words = 0;
	j->prompt.sent = j->ca.sent = 0;
	memset(&j->chunks, 0, sizeof(j->chunks));
	bundle_drop(j);
}

static void
agent_gone(struct peer *p, enum peer_end end, const char *why, void *arg)
{
	struct job *j = arg;

	if (job_may_log(j))
		log_info("run %s: PID 1 is gone: %s", j->id, why);
	agent_drop(j);
	tell_link(j, "none");
}

/* A stranger's bytes end its link, and nothing else. */
static void
agent_wrong(struct job *j, const char *what)
{
	if (job_may_log(j))
		log_warnx("run %s: PID 1 %s", j->id, what);
	agent_drop(j);
	tell_link(j, "none");
}

void
agent_again(struct job *j)
{
	if (j->agent == NULL)
		return;
	agent_drop(j);
	tell_link(j, "none");
}

void
agent_send(struct job *j, const struct msg *m)
{
	/* Away: it hears it when it is back, if the queue says it again. */
	if (j->agent != NULL)
		peer_send(j->agent, m);
}

/* Until it says where it is, the queue knows of no link. */
void
agent_take(struct job *j, int fd)
{
	agent_again(j);
	j->agent = peer_new(runs.base, fd, PEER_CLIENT, SIDE_RUNS, SIDE_AGENT,
	    "dispatchd", j->id, &agent_ops, j);
	if (j->agent == NULL)
		log_warnx("run %s: out of memory for its link", j->id);
}

/* --- start ------------------------------------------------------------ */

/* Send of a blob what there is credit for; the end behind its last byte. */
static void
blob_push(struct job *j, struct blob *b, uint32_t stream)
{
	size_t n = peer_stream_room(j->agent, stream);

	if (b->want == 0 || b->sent == b->want)
		return;
	if (n > b->want - b->sent)
		n = b->want - b->sent;
	if (n > 0 &&
	    peer_stream_write(j->agent, stream, b->buf + b->sent, n) == -1)
		return;
	b->sent += n;
	if (b->sent == b->want)
		peer_stream_finish(j->agent, stream);
}

static void
agent_stream_ready(struct peer *p, uint32_t stream, void *arg)
{
	struct job *j = arg;

	if (stream == RUNS_STREAM_PROMPT)
		blob_push(j, &j->prompt, stream);
	else if (stream == RUNS_STREAM_CA)
		blob_push(j, &j->ca, stream);
}

void
agent_begin(struct job *j)
{
	if (j->agent == NULL || !j->complete || j->start_sent ||
	    strcmp(j->phase, "new") != 0)
		return;
	j->start_sent = true;
	if ((j->prompt.want > 0 &&
	        peer_stream_begin(j->agent, RUNS_STREAM_PROMPT) == -1) ||
	    (j->ca.want > 0 &&
	        peer_stream_begin(j->agent, RUNS_STREAM_CA) == -1) ||
	    peer_send(j->agent, &j->start) == -1)
		agent_wrong(j, "cannot be told what to do");
}

static void
send_stored(struct job *j)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_agent_stored;
	m.u.agent_stored.offset = j->told_stored = output_taken(j);
	agent_send(j, &m);
}

static bool
phase_known(const char *phase)
{
	static const char *const names[] = { "new", "started", "released",
		"tool", "exited" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(phase, names[i]) == 0)
			return true;
	}
	return false;
}

static void
ready(struct job *j, const struct msg_agent_ready *m)
{
	if (!phase_known(m->phase)) {
		agent_wrong(j, "is in no phase that we know");
		return;
	}
	tell_link(j, m->phase);
	if (j->log != NULL)
		send_stored(j);
	agent_begin(j);
}

/* --- what it says ----------------------------------------------------- */

static void
proof(struct job *j, const struct msg_agent_proof *p)
{
	struct msg m;

	/* One a link, and none behind the release: nobody reads it there. */
	if (j->proof_seen || j->released_seen || !claim_proof_fits(p)) {
		agent_wrong(j, "sent a proof that is none");
		return;
	}
	j->proof_seen = true;
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_job_proof;
	m.u.job_proof.run = j->id;
	m.u.job_proof.ok = p->ok;
	m.u.job_proof.checks = p->checks;
	sibling_send(runs.queue, &m);
}

static void
released(struct job *j)
{
	struct msg m;

	j->released_seen = true;
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_job_released;
	m.u.job_released.run = j->id;
	sibling_send(runs.queue, &m);
}

static void
phase(struct job *j, const struct msg_agent_phase *p)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_job_phase;
	m.u.job_phase.run = j->id;
	m.u.job_phase.phase = p->phase;
	m.u.job_phase.detail = p->detail;
	sibling_send(runs.queue, &m);
}

/* Until the queue has said what the run is, PID 1 has nothing to tell. */
static bool
in_order(struct job *j, enum msg_type type)
{
	return type == MSG_TYPE_agent_ready || j->complete;
}

static void
agent_message(struct peer *p, struct msg *m, int fd, void *arg)
{
	struct job *j = arg;

	if (!in_order(j, m->type)) {
		agent_wrong(j, "speaks out of turn");
		return;
	}
	/* Each goes on to the queue, or to the disk; neither is PID 1's. */
	if (++j->words > RUNS_WORDS_MAX) {
		agent_wrong(j, "talks without end");
		return;
	}
	switch (m->type) {
	case MSG_TYPE_agent_ready:
		ready(j, &m->u.agent_ready);
		break;
	case MSG_TYPE_agent_proof:
		proof(j, &m->u.agent_proof);
		break;
	case MSG_TYPE_agent_released:
		released(j);
		break;
	case MSG_TYPE_agent_phase:
		phase(j, &m->u.agent_phase);
		break;
	case MSG_TYPE_agent_output:
		if (output_begin(j, &m->u.agent_output) == -1)
			agent_wrong(j, "begins its output where none can be");
		break;
	case MSG_TYPE_agent_exited:
		output_exited(j, &m->u.agent_exited);
		break;
	case MSG_TYPE_agent_bundle:
		if (bundle_begin(j, &m->u.agent_bundle) == -1)
			agent_wrong(j, OTHER_BUNDLE);
		break;
	default:
		agent_wrong(j, "sent what it may not send");
		break;
	}
}

static void
agent_data(
    struct peer *p, uint32_t stream, const uint8_t *buf, size_t len, void *arg)
{
	struct job *j = arg;

	if (stream == j->output) {
		if (output_data(j, buf, len) == -1) {
			agent_wrong(j, "sends output that is none");
			return;
		}
		if (output_taken(j) - j->told_stored >= RUNS_STORED_STEP)
			send_stored(j);
	} else if (stream == j->bundle.stream &&
	    bundle_data(j, buf, len) == -1) {
		agent_wrong(j, OTHER_BUNDLE);
		return;
	}
	peer_stream_consumed(p, stream, len);
}

static void
agent_stream_end(
    struct peer *p, uint32_t stream, bool ok, const char *why, void *arg)
{
	struct job *j = arg;

	if (stream == j->output && stream != 0) {
		j->output = 0;
		send_stored(j);
		output_end(j);
	} else if (stream == j->bundle.stream && stream != 0)
		bundle_end(j, ok, why);
}
