/*
 * What a tool prints, from PID 1 to the log. The tool is never made to wait for
 * our disk: what that will not take is counted, and stands there as a gap.
 */

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "libcommon/log.h"

#include "dispatchd/runs.h"

int64_t
output_taken(const struct job *j)
{
	return runs_log_bytes(j->log) + j->missing;
}

/*
 * Behind its exit too: a new link begins with all that PID 1 does not know to
 * be taken, and it does not go on before that is.
 */
int
output_begin(struct job *j, const struct msg_agent_output *m)
{
	int64_t have = output_taken(j);

	if (m->offset > RUNS_LOG_OFFSET_MAX)
		return -1;
	if (j->output != 0)
		return -1;
	/* It has dropped what we never got. */
	if (m->offset > have)
		j->missing += m->offset - have;
	j->output = (uint32_t)m->stream;
	j->output_at = m->offset;
	memset(&j->chunks, 0, sizeof(j->chunks));
	if (peer_stream_expect(j->agent, j->output, INT64_MAX) == -1) {
		if (job_may_log(j))
			log_warnx("run %s: its output cannot be taken", j->id);
		j->output = 0;
	}
	return 0;
}

/* What could not be written before comes first, as a gap. Returns 0 or -1. */
static int
append(struct job *j, enum chunk_kind kind, const uint8_t *buf, size_t len)
{
	if (!disk_room(j->disk_reserve, (int64_t)len)) {
		errno = ENOSPC;
		return -1;
	}
	if (j->missing > 0 && runs_log_gap(j->log, j->missing) == -1)
		return -1;
	j->missing = 0;
	return runs_log_append(j->log, kind, buf, len);
}

static void
store(struct job *j, enum chunk_kind kind, const uint8_t *buf, size_t len)
{
	if (append(j, kind, buf, len) == 0) {
		j->dropping = false;
		return;
	}
	if (!j->dropping && job_may_log(j))
		log_warn("run %s: its output is not stored", j->id);
	j->dropping = true;
	j->missing += (int64_t)len;
}

/* One piece; what is there already, from before a new link, is passed over. */
static void
take(struct job *j, const struct chunk *c)
{
	int64_t have = output_taken(j);
	int64_t span = c->kind == CHUNK_GAP ? c->gap : (int64_t)c->len;
	int64_t skip = have - j->output_at;

	if (skip < 0)
		skip = 0;
	j->output_at += span;
	if (skip >= span)
		return;
	if (c->kind == CHUNK_GAP)
		j->missing += span - skip;
	else
		store(j, c->kind, c->data + skip, c->len - (size_t)skip);
}

int
output_data(struct job *j, const uint8_t *buf, size_t len)
{
	struct chunk c;
	ptrdiff_t used;
	int64_t span;

	while (len > 0) {
		used = chunk_read(&j->chunks, buf, len, &c);
		if (used <= 0)
			return -1;
		span = c.kind == CHUNK_GAP ? c.gap : (int64_t)c.len;
		if (span > RUNS_LOG_OFFSET_MAX - j->output_at)
			return -1;
		if (span > 0)
			take(j, &c);
		buf += used;
		len -= (size_t)used;
	}
	serve_more(j, false);
	job_tell_output(j);
	return 0;
}

/* The tool has ended, and all of its output is there: now the queue hears. */
static void
tell_exited(struct job *j)
{
	struct msg m;

	if (j->missing > 0 && runs_log_gap(j->log, j->missing) == 0)
		j->missing = 0;
	if (runs_log_sync(j->log) == -1)
		log_warn("run %s: its log", j->id);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_job_exited;
	m.u.job_exited.run = j->id;
	m.u.job_exited.reason = j->exit_reason;
	m.u.job_exited.exit_code = j->exit.exit_code;
	m.u.job_exited.signal = j->exit.signal;
	m.u.job_exited.detail =
	    j->exit_detail[0] != '\0' ? j->exit_detail : NULL;
	sibling_send(runs.queue, &m);
	serve_more(j, true);
}

void
output_end(struct job *j)
{
	if (j->exited)
		tell_exited(j);
}

/* It comes behind the end of the stream; again with each new link. */
void
output_exited(struct job *j, const struct msg_agent_exited *m)
{
	j->exited = true;
	j->exit.exit_code = m->exit_code;
	j->exit.signal = m->signal;
	strlcpy(j->exit_reason, m->reason, sizeof(j->exit_reason));
	strlcpy(j->exit_detail, m->detail != NULL ? m->detail : "",
	    sizeof(j->exit_detail));
	if (j->output == 0)
		tell_exited(j);
}
