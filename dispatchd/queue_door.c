/*
 * A run's way out, as egressd has it: opened before there is a container, shut
 * before that is removed, and asked meanwhile what went through it.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/agent.h"
#include "libcommon/clock.h"
#include "libcommon/log.h"

#include "dispatchd/queue.h"

#define WHERE_MAX (NETADDR_TEXT_MAX + 24) /* address:port */

/* --- opening ---------------------------------------------------------------
 */

/* Who can mend what egressd refuses, and where. "" when nobody can say. */
static void
remedy(const struct qjob *j, const struct msg_error *e, char *buf, size_t len)
{
	const struct dispatch_profile *pr =
	    dispatch_profile_find(queue.config, j->row.profile);

	buf[0] = '\0';
	if (strcmp(e->error, "refused") == 0)
		snprintf(buf, len,
		    ": peers of egressd.conf has to let uid %lld run.open, "
		    "run.close, run.status and runs.sync",
		    (long long)queue.uid);
	else if (strncmp(e->reason, "profile:", 8) == 0)
		snprintf(buf, len,
		    ": egressd.conf lacks the profile %.32s (profile %.32s in "
		    "dispatchd.conf)",
		    pr != NULL ? pr->egress : "", j->row.profile);
	else if (strncmp(e->reason, "address:", 8) == 0 &&
	    strcmp(e->error, "invalid") == 0)
		snprintf(buf, len,
		    ": network_pool of dispatchd.conf has to lie within "
		    "run_networks of egressd.conf");
}

/*
 * It has no way out, and will get none. One whose tool is at work, or was,
 * hands back what it has; before that nothing is lost.
 */
static void
door_lost(struct qjob *j, enum queue_class class, const char *why)
{
	if (j->row.state < STATE_COMMITTED)
		qjob_end(j, class, "%s", why);
	else if (j->row.state <= STATE_RUNNING)
		qjob_stop(j, class, why);
}

static void
refused(struct qjob *j, const struct msg_error *e)
{
	char why[QUEUE_REASON_MAX + 1];
	char what[QUEUE_REASON_MAX / 2];

	if (strcmp(e->error, "invalid") == 0 ||
	    strcmp(e->error, "conflict") == 0 ||
	    strcmp(e->error, "refused") == 0) {
		remedy(j, e, what, sizeof(what));
		snprintf(why, sizeof(why), "egressd: %.20s: %.80s%s", e->error,
		    e->reason, what);
		door_lost(j, CLASS_LOST_INFRA, why);
		return;
	}
	log_warnx("run %s: egressd: %s", j->row.run, e->reason);
	qjob_retry(j);
}

/*
 * A run is told where its proxy and its canary are by our own proxy_port. With
 * another one of egressd's it would meet nobody there, and its proof would look
 * like a boundary that does not hold.
 */
static bool
where_we_say(const struct qjob *j, const struct msg_run_opened *o)
{
	char gateway[NETADDR_TEXT_MAX], want[WHERE_MAX];

	qjob_address(j, QUEUE_GATEWAY_HOST, gateway);
	snprintf(want, sizeof(want), "%s:%lld", gateway,
	    (long long)queue.config->proxy_port);
	if (strcmp(o->listener, want) != 0)
		return false;
	snprintf(want, sizeof(want), "%s:%lld", gateway,
	    (long long)queue.config->proxy_port + 1);
	return strcmp(o->canary, want) == 0;
}

static void
elsewhere(struct qjob *j, const struct msg_run_opened *o)
{
	char why[QUEUE_REASON_MAX + 1];

	snprintf(why, sizeof(why),
	    "egressd has its proxy at %.32s, the canary at %.32s, but "
	    "proxy_port of dispatchd.conf is %lld: it has to be that of "
	    "egressd.conf",
	    o->listener, o->canary, (long long)queue.config->proxy_port);
	door_lost(j, CLASS_LOST_INFRA, why);
}

/*
 * Without packet rules everything but the proxy's port would be open to the
 * run as well. That is a configuration of egressd, which no retry changes.
 */
static void
egress_opened(struct qjob *j, const struct msg *m)
{
	if (m == NULL)
		qjob_retry(j);
	else if (m->type != MSG_TYPE_run_opened)
		refused(j, &m->u.error);
	else if (!m->u.run_opened.enforced)
		qjob_end(j, CLASS_BOUNDARY_VIOLATION,
		    "egressd has no packet rules, so nothing closes the run's "
		    "network: set nft in egressd.conf and start egressd as "
		    "root");
	else if (!where_we_say(j, &m->u.run_opened))
		elsewhere(j, &m->u.run_opened);
	else {
		j->egress_open = true;
		qjob_drive(j);
	}
}

void
egress_open(struct qjob *j)
{
	const struct dispatch_profile *pr =
	    dispatch_profile_find(queue.config, j->row.profile);
	char gateway[NETADDR_TEXT_MAX];
	struct msg m;

	if (pr == NULL) {
		door_lost(j, CLASS_LOST_INFRA,
		    "its profile is not configured any more");
		return;
	}
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_run_open;
	m.u.run_open.run = j->row.run;
	m.u.run_open.address = qjob_address(j, QUEUE_GATEWAY_HOST, gateway);
	m.u.run_open.profile = pr->egress;
	call_send(queue.egressd, &m, j, QUEUE_CALL_MS, egress_opened);
}

bool
egress_wanted(const struct qjob *j)
{
	return j->row.state >= STATE_ADMITTED &&
	    j->row.state <= STATE_RUNNING && !j->removing &&
	    j->row.stop == CLASS_NONE && j->row.class == CLASS_NONE;
}

/*
 * A run that is alive has its door opened again whenever it has none: egressd
 * may be a new one, or had too much to do when it was asked.
 */
bool
egress_reopen(struct qjob *j)
{
	if (j->egress_open || !egress_wanted(j) || j->row.state < STATE_GATED ||
	    queue.egressd == NULL || !queue.engine_ready || call_waits(j) ||
	    !peer_can_ask(queue.egressd))
		return false;
	egress_open(j);
	return true;
}

/* --- what it did ---------------------------------------------------------- */

/*
 * The proof asks the proxy for a host that nobody may have, to see that it
 * answers. That denial, once, is no deed of the tool's. What is left of one of
 * its denials, of which the count is said: "" when that was all.
 */
static const char *
of_the_tool(struct qjob *j, const char *denial, const char *said, char buf[24])
{
	const char *wrong;
	int64_t n;

	if (strcmp(denial, PROOF_DENIAL) != 0)
		return said;
	n = strtonum(said, 1, INT64_MAX, &wrong);
	if (wrong != NULL)
		return said;
	j->proof_denied = 1;
	if (n == 1)
		return "";
	snprintf(buf, 24, "%" PRId64, n - 1);
	return buf;
}

/* As text beside the row, for show: "what\tcount\n" each. */
static void
note_denials(struct qjob *j, const struct msg_run_status_answer *s)
{
	char text[64 * 1024], buf[24];
	const char *n;
	size_t i;

	text[0] = '\0';
	for (i = 0; i < s->denials.n; i++) {
		n = of_the_tool(j, s->denials.k[i], s->denials.v[i], buf);
		if (*n == '\0')
			continue;
		strlcat(text, s->denials.k[i], sizeof(text));
		strlcat(text, "\t", sizeof(text));
		strlcat(text, n, sizeof(text));
		strlcat(text, "\n", sizeof(text));
	}
	if (text[0] != '\0' &&
	    queue_store_note(queue.store, j->row.run, "denials", text) == -1)
		log_warnx(
		    "run %s: %s", j->row.run, queue_store_why(queue.store));
}

/* How much was denied to the tool, of so many denials. */
static int64_t
denied_of(const struct qjob *j, int64_t denied)
{
	return denied > j->proof_denied ? denied - j->proof_denied : 0;
}

/* Output may have come behind the last of these bytes. */
static void
tunnel_bytes(struct qjob *j, int64_t bytes, int64_t quiet_ms)
{
	int64_t at = clock_boot_ms() - (quiet_ms > 0 ? quiet_ms : 0);

	if (bytes != j->tunnel_bytes && at > j->output_at)
		j->output_at = at;
	j->tunnel_bytes = bytes;
}

static void
status_told(struct qjob *j, const struct msg *m)
{
	const struct msg_run_status_answer *s;

	/* One that it does not know has no tunnel, which is an answer too. */
	if (m != NULL &&
	    (m->type == MSG_TYPE_run_status_answer ||
	        strcmp(m->u.error.error, "no_run") == 0))
		j->told_status_at = j->asked_status_at;
	if (m == NULL || m->type != MSG_TYPE_run_status_answer) {
		qjob_drive(j);
		return;
	}
	s = &m->u.run_status_answer;
	tunnel_bytes(j, s->bytes_up + s->bytes_down, s->quiet_ms);
	note_denials(j, s);
	j->row.allowed = s->allowed;
	j->row.denied = denied_of(j, s->denied);
	j->row.bytes_up = s->bytes_up;
	j->row.bytes_down = s->bytes_down;
	qjob_drive(j);
}

void
egress_status(struct qjob *j)
{
	struct msg m;

	if (queue.egressd == NULL || !peer_can_ask(queue.egressd))
		return;
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_run_status;
	m.u.run_status.run = j->row.run;
	j->asked_status_at = clock_boot_ms();
	call_send(queue.egressd, &m, j, QUEUE_CALL_MS, status_told);
}

/* --- shutting --------------------------------------------------------------
 */

static void
shut(struct qjob *j)
{
	j->egress_down = true;
	j->egress_open = false;
	qjob_drive(j);
}

static void
egress_closed(struct qjob *j, const struct msg *m)
{
	if (m != NULL && m->type == MSG_TYPE_run_closed) {
		if (m->u.run_closed.known) {
			j->row.allowed = m->u.run_closed.allowed;
			j->row.denied = denied_of(j, m->u.run_closed.denied);
			j->row.bytes_up = m->u.run_closed.bytes_up;
			j->row.bytes_down = m->u.run_closed.bytes_down;
		}
		shut(j);
		return;
	}
	/*
	 * We are not let, and asking again changes nothing. What may still be
	 * open there is closed with the next list of runs that egressd takes
	 * from us.
	 */
	if (m != NULL && strcmp(m->u.error.error, "refused") == 0) {
		log_warnx("run %s: egressd does not let us close it: %s",
		    j->row.run, m->u.error.reason);
		shut(j);
		return;
	}
	j->shut_tried = true;
	/* Nothing else is left to be done meanwhile. */
	if (j->container_down)
		qjob_retry(j);
	qjob_drive(j);
}

void
egress_shut(struct qjob *j)
{
	struct msg m;

	if (!j->summed && queue.egressd != NULL) {
		j->summed = true;
		egress_status(j);
		if (call_waits(j))
			return;
	}
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_run_close;
	m.u.run_close.run = j->row.run;
	call_send(queue.egressd, &m, j, QUEUE_CALL_MS, egress_closed);
}
