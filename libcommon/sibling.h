#ifndef LIBCOMMON_SIBLING_H
#define LIBCOMMON_SIBLING_H

/*
 * What every child of a daemon does on the links to its siblings and its
 * parent. They are one program: what goes wrong here ends us.
 */

#include <event2/event.h>

#include "audit.h"
#include "peer.h"
#include "sandbox.h"

/*
 * A link on fd. me and my_name are our side and role, other and other_name the
 * sibling's.
 */
struct peer *sibling_link(struct event_base *base, int fd, enum msg_side me,
    enum msg_side other, const char *my_name, const char *other_name,
    const struct peer_ops *ops, void *arg);

/* Of struct peer_ops: without one of us the daemon is not whole. */
void
sibling_gone(struct peer *peer, enum peer_end end, const char *why, void *arg);

/*
 * Send. When the sibling has left we leave too, as sibling_gone does. What
 * cannot be sent is our own error; of an answer the request is told of it, by
 * the error `internal`, and we go on.
 */
void sibling_send(struct peer *p, const struct msg *m);

/* To the parent: we are in our sandbox; a table is in force. */
void sibling_send_ready(struct peer *parent, const struct sandbox_state *st);
void sibling_send_applied(
    struct peer *parent, const char *table, int64_t generation);

/* All that audit may say to one that sends records. */
void sibling_audit_message(struct audit_client *audit, struct msg *m);

#endif
