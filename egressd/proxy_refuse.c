/*
 * Refusing a client: on record first, then the answer, then a close that
 * leaves it time to read why.
 */

#include <sys/socket.h>
#include <sys/types.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"
#include "libcommon/log.h"

#include "proxy.h"

/* --- refusing --------------------------------------------------------- */

/* The refusal is on record (or cannot be): tell the client. */
void
client_refuse_now(struct client *c, enum egress_code code, const char *detail)
{
	struct proxy_answer a;
	char buf[PROXY_ANSWER_MAX];
	size_t len = 0;

	if (c->upstream != -1) {
		close(c->upstream);
		c->upstream = -1;
	}
	if (code != CODE_not_http1) {
		memset(&a, 0, sizeof(a));
		a.code = code;
		a.reason = detail;
		a.run = proxy_run_id(c->listener->run);
		a.host = c->dest.name[0] != '\0' ? c->dest.name
		    : c->target[0] != '\0'       ? c->target
		                                 : NULL;
		a.port = c->dest.port;
		a.rule = c->rule[0] != '\0' ? c->rule : NULL;
		len = proxy_answer_format(&a, buf);
	}
	client_linger(c, buf, len);
}

static void
client_refused(bool ok, void *arg)
{
	struct client *c = arg;

	client_refuse_now(c, ok ? c->code : CODE_unrecordable,
	    ok && c->reason[0] != '\0' ? c->reason : NULL);
}

/*
 * A denial tells who judged and who may change that, never how to get round
 * it: the reader may be the agent.
 */
static void
refusal_reason(struct client *c, const char *detail)
{
	const struct egress_code_info *info = egress_code_info(c->code);

	c->reason[0] = '\0';
	if (detail != NULL)
		strlcpy(c->reason, detail, sizeof(c->reason));
	else if (info->status == 403 && c->dest.name[0] != '\0')
		snprintf(c->reason, sizeof(c->reason),
		    "%s: %s port %u, "
		    "profile %s; an administrator of this host keeps the "
		    "list",
		    info->sentence, c->dest.name, c->dest.port,
		    c->listener->profile);
}

void
client_count_refusal(struct client *c, enum egress_code code)
{
	const struct egress_code_info *info = egress_code_info(code);
	struct proxy_run *run = c->listener->run;

	if (info->status < 500)
		c->proxy->counters.refused++;
	else
		c->proxy->counters.failed++;
	if (run == NULL)
		return;
	if (info->status < 500) {
		run->denied++;
		denials_add(&run->denials,
		    c->dest.name[0] != '\0' ? c->dest.name : c->target,
		    c->dest.port, info->name);
	} else
		run->failed++;
}

void
client_refuse(struct client *c, enum egress_code code, const char *detail)
{
	c->code = code;
	if (c->dest.name[0] == '\0' && c->head.target != NULL)
		log_escape(c->target, sizeof(c->target), c->head.target,
		    c->head.target_len);
	client_count_refusal(c, code);
	refusal_reason(c, detail);
	client_set_state(c, CLIENT_REFUSE);
	if (code == CODE_unrecordable)
		client_refuse_now(c, code, NULL);
	else if (record_refusal(c, client_refused) == -1)
		client_refuse_now(c, CODE_unrecordable, NULL);
}

/* --- lingering: for the client to read the answer --------------------- */

static void
linger_flushed(struct client *c)
{
	event_del(c->ev_write);
	free(c->answer);
	c->answer = NULL;
	shutdown(c->fd, SHUT_WR);
	client_set_state(c, CLIENT_LINGER);
}

void
client_linger(struct client *c, const void *answer, size_t len)
{
	if (len > 0) {
		c->answer = malloc(len);
		if (c->answer == NULL) {
			client_free(c);
			return;
		}
		memcpy(c->answer, answer, len);
	}
	c->answer_len = len;
	c->answer_off = 0;
	client_set_state(c, CLIENT_LINGER);
	if (len == 0)
		linger_flushed(c);
	else
		event_add(c->ev_write, NULL);
}

void
client_linger_write(int fd, short what, void *arg)
{
	struct client *c = arg;
	ssize_t n;

	n = send(fd, c->answer + c->answer_off, c->answer_len - c->answer_off,
	    FD_NOSIGNAL);
	if (n == -1) {
		if (errno != EAGAIN && errno != EINTR)
			client_free(c);
		return;
	}
	c->answer_off += (size_t)n;
	if (c->answer_off == c->answer_len)
		linger_flushed(c);
}

void
client_linger_read(struct client *c)
{
	uint8_t buf[4096];
	ssize_t n;

	n = recv(c->fd, buf, sizeof(buf), 0);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		c->discarded += (size_t)n;
		if (c->discarded <= PROXY_LINGER_BYTES)
			return;
	}
	/* The other side is done; so are we, if our answer is out. */
	if (c->answer == NULL || n == -1 || c->discarded > PROXY_LINGER_BYTES)
		client_free(c);
	else
		event_del(c->ev_read);
}
