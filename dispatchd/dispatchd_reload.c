#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/frame.h"

#include "dispatchd/dispatchd_parent.h"

bool
dispatch_config_take(
    struct daemon_config *d, const char *file, struct conf **conf)
{
	struct dispatch_config *c;

	c = dispatch_config_read(file, d->text, d->len, conf);
	d->own = c;
	if (c == NULL)
		return false;
	d->conf = c->conf;
	d->socket = c->socket;
	d->audit = c->audit;
	d->sha256 = c->sha256;
	d->peers = c->peers;
	d->npeers = c->npeers;
	d->user_parent = c->user_parent;
	d->user_audit = c->user_audit;
	d->users[d->nusers++] = c->user_parent;
	d->users[d->nusers++] = c->user_frontend;
	d->users[d->nusers++] = c->user_runs;
	d->users[d->nusers++] = c->user_queue;
	d->users[d->nusers++] = c->user_engine;
	d->users[d->nusers++] = c->user_audit;
	d->needed = d->nusers;
	return true;
}

/* The queue gets the text itself: can it be sent, comments and all? */
bool
dispatch_config_sendable(
    const struct daemon_config *d, char *why, size_t whylen)
{
	char state[256], *text;
	struct msg m;
	size_t n;

	if (strlen(d->text) != d->len) {
		snprintf(why, whylen, "a NUL byte; allowed: text");
		return false;
	}
	m = dispatch_config_message(d, state, sizeof(state), 1);
	if (msg_encode(&m, &text, &n, why, whylen) == -1)
		return false;
	free(text);
	if (n <= FRAME_CTL_BIG_MAX)
		return true;
	snprintf(why, whylen, "too many characters that have to be escaped");
	return false;
}

void
dispatch_config_drop(struct daemon_config *d)
{
	struct dispatch_config *c = d->own;

	dispatch_config_free(&c);
	d->own = NULL;
}

const char *
dispatch_config_fixed(const void *was, const void *is)
{
	const struct dispatch_config *a = was, *b = is;

	if (strcmp(a->state, b->state) != 0)
		return "state";
	if (a->driver != b->driver ||
	    strcmp(a->engine_socket, b->engine_socket) != 0)
		return "engine";
	if (strcmp(a->egressd, b->egressd) != 0)
		return "egressd";
	if (a->pool.bits != b->pool.bits ||
	    !netaddr_equal(&a->pool.addr, &b->pool.addr))
		return "network_pool";
	if (strcmp(a->prefix, b->prefix) != 0)
		return "interface_prefix";
	/* egressd's does not follow either. */
	if (a->proxy_port != b->proxy_port)
		return "proxy_port";
	if (strcmp(a->image, b->image) != 0)
		return "image";
	return NULL;
}
