/*
 * A tunnel from the 200 to its end: every ClientHello is judged before a byte
 * of it goes upstream, and nothing of the destination's is read before.
 */

#include <sys/socket.h>
#include <sys/types.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"
#include "libcommon/log.h"

#include "proxy.h"

#define TLS_ALERT_LEN 7

static const char established[] = "HTTP/1.1 200 Connection established\r\n\r\n";

/* Its open record is written, or may yet be. */
static void
count_open(struct client *c)
{
	struct proxy_run *run = c->listener->run;

	c->proxy->counters.opened++;
	if (run != NULL) {
		run->allowed++;
		run->tunnels++;
	}
}

void
tunnel_start(struct client *c)
{
	ssize_t n;

	count_open(c);
	client_set_state(c, CLIENT_HELLO);
	/* A reload while the record was written: it may not be allowed now. */
	if (!tunnel_judge(c))
		return;
	/* Nothing was sent before, so that the buffer has room for it. */
	n = send(c->fd, established, sizeof(established) - 1, FD_NOSIGNAL);
	if (n != (ssize_t)sizeof(established) - 1) {
		tunnel_end(c, END_peer_reset);
		return;
	}
	dial_socket_options(c->fd);
	tls_server_init(&c->tls_server);
	if (!c->proto_any)
		c->tls = tls_client_new();
	c->relay = relay_new(c);
	if (c->relay == NULL || (!c->proto_any && c->tls == NULL)) {
		tunnel_end(c, END_shutdown);
		return;
	}
	if (c->proto_any) {
		client_set_state(c, CLIENT_RELAY);
		relay_open_down(c->relay);
	}
	relay_start(c->relay);
}

void
tunnel_end(struct client *c, enum egress_end end)
{
	struct proxy *p = c->proxy;
	uint8_t alert[TLS_ALERT_LEN] = { 21, 3, 3, 0, 2, 2, 0 };
	int64_t up = 0, down = 0;

	if (c->relay != NULL) {
		up = relay_bytes(c->relay, RELAY_UP);
		down = relay_bytes(c->relay, RELAY_DOWN);
	}
	log_debug("client %d: tunnel to %s ends: %s", c->fd, c->dest.name,
	    egress_end_name(end));
	record_close(c, end, up, down);
	p->counters.closed++;
	if (c->listener->run != NULL)
		c->listener->run->tunnels--;
	p->counters.up += (uint64_t)up;
	p->counters.down += (uint64_t)down;
	if (end == END_revoked)
		p->counters.revoked++;

	alert[TLS_ALERT_LEN - 1] = egress_end_alert(end);
	if (alert[TLS_ALERT_LEN - 1] == 0) {
		client_free(c);
		return;
	}
	/* The client shall read the alert: close behind it, not with RST. */
	relay_free(&c->relay);
	close(c->upstream);
	c->upstream = -1;
	client_linger(c, alert, sizeof(alert));
}

/* Whatever the kernel still holds for the other side is thrown away. */
static void
reset_on_close(int fd)
{
	const struct linger none = { .l_onoff = 1, .l_linger = 0 };

	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none)) == -1)
		log_warn("SO_LINGER");
}

void
tunnel_cut(struct client *c, enum egress_end end)
{
	if (c->state != CLIENT_RECORD && c->state != CLIENT_HELLO &&
	    c->state != CLIENT_RELAY) {
		client_free(c);
		return;
	}
	/* What has an open record, or may get one, gets a close record. */
	if (c->state == CLIENT_RECORD)
		count_open(c);
	/* Else a full send buffer would go on moving without us. */
	if (end == END_run_closed) {
		reset_on_close(c->fd);
		reset_on_close(c->upstream);
	}
	tunnel_end(c, end);
}

/*
 * An open tunnel under the rule that lets it pass now: what was let in by an
 * exception that the rule has no more is not allowed any longer. Budgets are
 * those of the opening.
 */
static bool
rule_admits(struct client *c, const struct policy_rule *rule)
{
	if (c->proto_any && !rule->proto_any)
		return false;
	if (c->state == CLIENT_RELAY && !c->proto_any &&
	    ((c->had_ech && !rule->ech_allow) ||
	        (c->dest.kind == DEST_NAME && c->sni[0] == '\0' &&
	            !rule->sni_optional)))
		return false;
	/* Hellos that are still to come are judged by it. */
	c->sni_optional = rule->sni_optional;
	c->ech_allow = rule->ech_allow;
	return true;
}

bool
tunnel_judge(struct client *c)
{
	const struct policy_profile *pr;
	const struct policy_rule *deny;
	struct verdict v;

	if (c->state != CLIENT_HELLO && c->state != CLIENT_RELAY)
		return true;
	if (!c->listener->closed) {
		pr = policy_profile(c->proxy->policy, c->listener->profile);
		policy_decide(pr, &c->dest, &v);
		if (v.code == CODE_ok &&
		    policy_address(pr, v.rule, &c->dest, &c->peer_addr,
		        &deny) == CODE_ok &&
		    rule_admits(c, v.rule)) {
			c->generation = policy_generation(c->proxy->policy);
			return true;
		}
	}
	tunnel_end(c, END_revoked);
	return false;
}

void
tunnel_timeout(struct client *c)
{
	int ms = relay_timeout(c->relay);

	if (ms > 0)
		proxy_timer(c->timer, ms);
}

/* --- hellos ----------------------------------------------------------- */

/* END_none when it may pass. */
static enum egress_end
hello_verdict(const struct client *c, const struct tls_hello *h)
{
	struct netaddr a;

	if (c->dest.kind == DEST_NAME) {
		if (!h->has_sni && !c->sni_optional)
			return END_no_sni;
		if (h->has_sni && h->sni_bad)
			return netaddr_parse(
			           h->sni_raw, strlen(h->sni_raw), &a) == 0
			    ? END_no_sni
			    : END_sni_mismatch;
		if (h->has_sni && strcmp(h->sni, c->dest.name) != 0)
			return END_sni_mismatch;
	}
	if (h->has_ech && !c->ech_allow)
		return END_ech;
	return END_none;
}

/* A hello is complete. False when it ended the tunnel. */
static bool
hello_judge(struct client *c)
{
	const struct tls_hello *h = tls_client_hello(c->tls);
	enum egress_end end;

	if (h->has_sni)
		strlcpy(c->sni, h->sni_raw, sizeof(c->sni));
	c->had_ech = c->had_ech || h->has_ech;
	end = hello_verdict(c, h);
	if (end != END_none) {
		tunnel_end(
		    c, tls_client_hellos(c->tls) > 1 ? END_second_hello : end);
		return false;
	}
	if (c->state == CLIENT_HELLO) {
		client_set_state(c, CLIENT_RELAY);
		relay_open_down(c->relay);
	}
	return true;
}

ssize_t
tunnel_filter_up(struct client *c)
{
	enum tls_event ev;

	while (c->fed < c->len) {
		c->fed += tls_client_feed(
		    c->tls, c->buf + c->fed, c->len - c->fed, &ev);
		switch (ev) {
		case TLS_MORE:
			break;
		case TLS_HELLO:
			if (!hello_judge(c))
				return -1;
			break;
		case TLS_OPAQUE:
			tls_client_free(&c->tls);
			return (ssize_t)c->len;
		case TLS_NOT_TLS:
			tunnel_end(c, END_not_tls);
			return -1;
		case TLS_MALFORMED:
			tunnel_end(c,
			    tls_client_hellos(c->tls) > 0
			        ? END_second_hello
			        : END_malformed_hello);
			return -1;
		}
	}
	return (ssize_t)(tls_client_safe(c->tls) - c->forwarded);
}

void
tunnel_watch_down(struct client *c, const uint8_t *buf, size_t n)
{
	if (c->tls == NULL || c->server_spoke)
		return;
	switch (tls_server_feed(&c->tls_server, buf, n)) {
	case TLS_SERVER_MORE:
		return;
	case TLS_SERVER_RETRY:
		tls_client_server_spoke(c->tls, false);
		break;
	case TLS_SERVER_HELLO:
	case TLS_SERVER_OTHER:
		tls_client_server_spoke(c->tls, true);
		break;
	}
	c->server_spoke = true;
}
