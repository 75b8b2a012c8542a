#ifndef LIBCOMMON_PEER_H
#define LIBCOMMON_PEER_H

/*
 * One end of a link that speaks PROTOCOL.md, on an event loop.
 *
 * A sibling is a process of our own daemon: its bad bytes mean that it is
 * broken or taken, and end us (fatalx). A client is a stranger: its bad bytes
 * end that connection only.
 */

#include <stdbool.h>
#include <stdint.h>

#include <event2/event.h>

#include "msg.h"

#define PEER_CLIENT_OUT_MAX (1024 * 1024) /* then it is dropped */
#define PEER_SIBLING_OUT_MAX (16 * 1024 * 1024) /* then we are broken */
#define PEER_HELLO_MS 5000 /* a client says hello within */
#define PEER_FRAME_MS 10000 /* and ends a frame that it began */
#define PEER_STALL_MS 30000 /* and reads what it was sent */
#define PEER_INFLIGHT_MAX 8 /* requests a client may have open */
#define PEER_PROTOCOL_MAJOR 1

enum peer_kind {
	PEER_SIBLING,
	PEER_CLIENT
};

enum peer_end {
	PEER_END_EOF, /* closed by the other side */
	PEER_END_PROTOCOL, /* bad bytes (client only) */
	PEER_END_TIMEOUT,
	PEER_END_SLOW, /* would not read: over its output limit */
	PEER_END_SYSTEM /* errno of the socket */
};

struct peer;

struct peer_ops {
	/*
	 * One decoded message that this side may receive. fd is -1, or the
	 * descriptor that MSG_F_FD brings, owned by the callee from here. The
	 * message is freed behind the call. The callee may peer_free(p).
	 */
	void (*message)(struct peer *p, struct msg *m, int fd, void *arg);
	/*
	 * A client is gone; the callee calls peer_free. why is for the log.
	 * A sibling's EOF comes here too (PEER_END_EOF); its bad bytes do not:
	 * they are fatal. Called once, from the loop, never from inside a call
	 * to a function below.
	 */
	void (*gone)(
	    struct peer *p, enum peer_end end, const char *why, void *arg);
};

/*
 * Take a connected, non-blocking stream socket (owned from here). me and other
 * are single bits of enum msg_side; a message that msg.def does not let other
 * send to me is bad bytes. names are for the trace. A PEER_CLIENT link starts
 * with hello both ways, sent and checked here, never seen by ops; the service
 * in ours is my_name up to a "/". Returns NULL when out of memory (the fd is
 * closed).
 */
struct peer *peer_new(struct event_base *base, int fd, enum peer_kind kind,
    enum msg_side me, enum msg_side other, const char *my_name,
    const char *other_name, const struct peer_ops *ops, void *arg);

/* Close and free; NULL accepted, pointer cleared. */
void peer_free(struct peer **p);

/*
 * Queue a message; it is written in this turn of the loop, together with
 * others. Its strings are copied. For a client over its output limit
 * the connection is ended later through gone (never from inside this call);
 * returns -1 then, and after the end. A message that cannot be encoded is our
 * own error: logged, -1; in place of an answer the client gets `internal`.
 */
int peer_send(struct peer *p, const struct msg *m);
/* The same with a descriptor, which is closed here in every case. */
int peer_send_fd(struct peer *p, const struct msg *m, int fd);
/* Answer a request with error CODE and a sentence. */
int peer_send_error(
    struct peer *p, int64_t id, const char *code, const char *reason);

void peer_flush(struct peer *p); /* try to write at once */
size_t peer_pending(const struct peer *p); /* bytes unwritten */
const char *peer_name(const struct peer *p);
int peer_fd(const struct peer *p);
/* The next request id for this link: 1, 2, ... */
int64_t peer_next_id(struct peer *p);

#endif
