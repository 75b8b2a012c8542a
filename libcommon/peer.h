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
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "msg.h"

#define PEER_CLIENT_OUT_MAX (1024 * 1024) /* then it is dropped */
#define PEER_SIBLING_OUT_MAX (16 * 1024 * 1024) /* then we are broken */
#define PEER_HELLO_MS 5000 /* a client says hello within */
#define PEER_FRAME_MS 10000 /* and ends a frame that it began */
#define PEER_STALL_MS 30000 /* and reads what it was sent */
#define PEER_INFLIGHT_MAX 8 /* requests a client may have open */
#define PEER_WINDOW (256 * 1024) /* bytes of a stream on their way */
#define PEER_CLIENT_STREAMS_MAX 32 /* open on a link, each direction */
#define PEER_SIBLING_STREAMS_MAX 512
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

	/*
	 * Streams; all NULL on a link that has none, where a message of
	 * streams is bad bytes. Called from the loop, never from inside a call
	 * to a function below; the callee may peer_free(p).
	 */

	/* The next bytes of a stream that comes in. */
	void (*data)(struct peer *p, uint32_t stream, const uint8_t *buf,
	    size_t len, void *arg);
	/*
	 * An incoming stream is whole (ok: count and hash were right), or was
	 * aborted by its sender; an outgoing one was aborted by its receiver.
	 * The id is free again; why is the other side's text. What is aborted
	 * may be a stream that was announced, but not expected or begun here
	 * yet, or one that the owner does not know at all: then this is to be
	 * ignored.
	 */
	void (*stream_end)(struct peer *p, uint32_t stream, bool ok,
	    const char *why, void *arg);
	/* Credit has come: see peer_stream_room. */
	void (*stream_ready)(struct peer *p, uint32_t stream, void *arg);
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
/* In place of an answer that could not be sent: error `internal`. 0 or -1. */
int peer_send_internal(struct peer *p, int64_t id);
/* Answer a request with error CODE and a sentence. */
int peer_send_error(
    struct peer *p, int64_t id, const char *code, const char *reason);

/* The link is over: nothing is sent any more, gone is about to be called. */
bool peer_ending(const struct peer *p);
void peer_flush(struct peer *p); /* try to write at once */
size_t peer_pending(const struct peer *p); /* bytes unwritten, of all */
const char *peer_name(const struct peer *p);
int peer_fd(const struct peer *p);
/* The next request id for this link: 1, 2, ... */
int64_t peer_next_id(struct peer *p);
/*
 * On a PEER_CLIENT link PEER_INFLIGHT_MAX requests of ours may be open: false
 * when the next would be refused by peer_send. One that its owner has given up
 * counts until its answer comes.
 */
bool peer_can_ask(const struct peer *p);

/* --- streams ------------------------------------------------------------
 *
 * A message announces a stream (PROTOCOL.md). Ids are 1..2^31-1; a direction
 * of a link has an id once at a time. An owner that uses one id in both
 * directions cannot tell in stream_end which of the two was aborted.
 *
 * Nothing here calls back. When the link ends its streams vanish in silence.
 */

/*
 * Load what streams need from the system's library; to be called before a
 * sandbox closes, and enough once in a process. 0 or -1.
 */
int peer_stream_prepare(void);

/*
 * Receive a stream that was announced, of at most max bytes; more is bad
 * bytes. Returns -1 when the id is in use, too many are open, memory is short
 * or the link is ending.
 */
int peer_stream_expect(struct peer *p, uint32_t stream, int64_t max);
/* So many of the bytes that data brought are dealt with: gives credit. */
void peer_stream_consumed(struct peer *p, uint32_t stream, size_t n);
/*
 * A stream that was announced is not wanted, or no more of it is: its sender
 * is told, what is on its way is dropped, and nothing is called for it. -1 as
 * for expect; then its sender goes on waiting.
 */
int peer_stream_refuse(struct peer *p, uint32_t stream, const char *reason);

/* Make an outgoing stream; before it is announced. -1 as for expect. */
int peer_stream_begin(struct peer *p, uint32_t stream);
/* How many bytes peer_stream_write takes now. */
size_t peer_stream_room(struct peer *p, uint32_t stream);
/*
 * Queue bytes, which are copied. -1 when it is more than there is room for,
 * or the stream is not open (any more); nothing was queued then.
 */
int
peer_stream_write(struct peer *p, uint32_t stream, const void *buf, size_t len);
/*
 * No byte follows those that were written. stream_end may yet come, when the
 * receiver aborts. Until the end has left, peer_stream_begin refuses the id: an
 * owner does best to count ids up. 0 or -1.
 */
int peer_stream_finish(struct peer *p, uint32_t stream);

/*
 * End a stream unfinished, an outgoing one of that id or else an incoming one;
 * nothing is called for it. One that is not open is left alone. A reason is
 * cut to 128 bytes.
 */
void peer_stream_abort(struct peer *p, uint32_t stream, const char *reason);

#endif
