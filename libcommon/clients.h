#ifndef LIBCOMMON_CLIENTS_H
#define LIBCOMMON_CLIENTS_H

/*
 * The clients of a daemon's control socket, in its frontend: from accept to
 * their end, within limits. Hello and bad bytes are the peer's (peer.h); what
 * they ask is the daemon's. One process has one such socket.
 */

#include <sys/queue.h>

#include <event2/event.h>

#include "creds.h"
#include "peer.h"

#define CLIENTS_OPEN_MAX 256
#define CLIENTS_USER_MAX 32 /* connections of one uid */
#define CLIENTS_FIRST_ID 1 /* PROTOCOL.md: of the first request of a link */
#define CLIENTS_BACKOFF_MS 100 /* when the system has no descriptor for one */

struct client {
	TAILQ_ENTRY(client) entry;
	struct peer *peer;
	struct creds creds; /* the kernel's word at the accept */
};

struct clients_def {
	const char *daemon; /* "egressd" */
	size_t size; /* of the daemon's struct, which begins with a client */
	/* Their messages come with the client as arg; gone is clients_gone. */
	const struct peer_ops *ops;
	void (*came)(
	    struct client *c); /* the rest of it is zero; may be NULL */
	void (*leaves)(struct client *c); /* let go of what points to it */
};

/* Accept nobody yet. fd is the listening socket; def stays the caller's. */
void
clients_init(struct event_base *base, int fd, const struct clients_def *def);
void clients_accept(void);
/* Accept nobody more; those who are there stay. */
void clients_drain(void);
bool clients_draining(void);
size_t clients_count(void);

/* Of struct peer_ops: logs why if it is not a plain end, and frees it. */
void
clients_gone(struct peer *peer, enum peer_end end, const char *why, void *arg);

#endif
