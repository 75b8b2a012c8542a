#ifndef LIBCOMMON_PEER_INT_H
#define LIBCOMMON_PEER_INT_H

/* What the files of peer.c share. Private to them. */

#include <sys/queue.h>
#include <sys/tree.h>
#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "frame.h"
#include "peer.h"

#define PEER_NAME_MAX 64
#define PEER_WHY_MAX 256

/* One frame to be written. */
struct peer_seg {
	TAILQ_ENTRY(peer_seg) entry;
	uint8_t hdr[FRAME_DATA_HEADER_LEN];
	size_t hdr_len;
	char *text; /* malloc'd, or room; zeroed when freed */
	size_t len; /* of text */
	size_t off; /* written so far, header included */
	int fd; /* goes with the first byte, or -1 */
	int64_t queued_ms;
	size_t cap; /* of room; 0: a control frame */
	char room[]; /* a data frame's bytes */
};

TAILQ_HEAD(peer_segs, peer_seg);

enum peer_stream_state {
	STREAM_OFFERED, /* outgoing: has credit, was not begun yet */
	STREAM_OPEN,
	STREAM_ENDED, /* outgoing: its end was sent, closed is due */
	STREAM_ABORTED /* we aborted: the other side's last word is due */
};

/* One direction of bytes on a link; in the table of that direction. */
struct peer_stream {
	RB_ENTRY(peer_stream) entry;
	uint32_t id;
	enum peer_stream_state state;
	EVP_MD_CTX *hash; /* over bytes; NULL where no more is hashed */
	int64_t bytes; /* received, or given by the owner */
	int64_t granted; /* credit in all */

	/* Incoming. */
	int64_t max; /* bytes may not go over it */
	int64_t taken; /* so many have been consumed */

	/* Outgoing. */
	TAILQ_ENTRY(peer_stream) turn;
	bool turning; /* in the list of those with a frame */
	bool finishing; /* its end follows its last byte */
	bool ready_due; /* was begun with credit: ready, later */
	struct peer_segs queue; /* its frames that have had no turn */
	size_t queued; /* bytes in them */
	size_t stale; /* earlier ones of this id: closed is due */
};

RB_HEAD(peer_streams, peer_stream);
TAILQ_HEAD(peer_turns, peer_stream);

/* A request of ours that has no answer yet. */
struct peer_asked {
	int64_t id;
	enum msg_type answer;
};

struct peer {
	struct event_base *base;
	int fd;
	enum peer_kind kind;
	enum msg_side me;
	enum msg_side other;
	char my_name[PEER_NAME_MAX];
	char other_name[PEER_NAME_MAX];
	const struct peer_ops *ops;
	void *arg;

	struct event *rev; /* readable */
	struct event *wev; /* writable; also made active by hand */
	struct event *tev; /* the next deadline; a late end */
	int64_t armed_ms; /* when tev fires, 0: not */

	/* Input: in holds one frame, or its beginning, and never more. */
	uint8_t *in;
	size_t in_len;
	size_t in_cap;
	size_t in_need; /* bytes until the next step */
	size_t in_max; /* of a control frame */
	int in_fd; /* came with its first byte */
	int64_t frame_ms; /* when it began, 0: it did not */
	int64_t since_ms; /* when the link began */
	bool hello_got;
	int64_t open[PEER_INFLIGHT_MAX]; /* unanswered ids */
	size_t nopen;
	struct peer_streams sin;
	size_t nsin;

	/* Output. */
	struct peer_segs out;
	size_t out_bytes; /* of control frames in out */
	size_t out_data; /* of data frames in out */
	bool out_dead; /* nobody reads it any more */
	int64_t last_id;
	struct peer_asked asked[PEER_INFLIGHT_MAX];
	size_t nasked;
	struct peer_streams sout;
	size_t nsout;
	struct peer_turns turns; /* the next one first */
	size_t queued; /* bytes that have had no turn */
	size_t ready_due; /* streams of which that is true */

	/*
	 * busy: a callback of ours is on the stack, so that a peer_free under
	 * it only closes, marks freed and leaves the struct to the callback.
	 */
	bool busy;
	bool freed;
	bool ending; /* gone is due, or was called */
	bool told; /* gone was called */
	enum peer_end end;
	char why[PEER_WHY_MAX];
};

/* peer.c */

/* Stop the traffic and have gone called, at the latest in the next turn. */
void peer_end(struct peer *p, enum peer_end end, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The peer broke the protocol: ends a client, or us if it is a sibling. */
void peer_bad(struct peer *p, const char *why);
/* Look whether a deadline came nearer. */
void peer_arm(struct peer *p);

/* peer_in.c */

/* Read what is there, as far as one turn of the loop allows. */
void peer_read(struct peer *p);
int peer_in_init(struct peer *p);
void peer_in_free(struct peer *p);

/* peer_dispatch.c */

/* Act on one whole frame. */
void peer_frame(struct peer *p, const struct frame *f);
/* Our hello; 0 or -1. */
int peer_hello(struct peer *p);
/* A request of the other side has its answer. */
void peer_answered(struct peer *p, int64_t id);
/* May we send this request, and have it open from then on? */
const char *peer_may_ask(const struct peer *p, const struct msg *m);
void peer_asked(struct peer *p, const struct msg *m);

/* peer_out.c */

/* Write as much as the socket takes. */
void peer_write(struct peer *p);
void peer_out_drop(struct peer *p);
void peer_seg_free(struct peer_seg *seg);
/* Copy a sentence; one that is too long is cut between two characters. */
void peer_cut(char *text, size_t size, const char *s);

/* peer_stream.c */

#define PEER_STREAM_HEX 65 /* a hash in digits, with its NUL */

void peer_streams_init(struct peer *p);
void peer_streams_free(struct peer *p);
/* Can anything be said of streams on this link? */
bool peer_stream_up(const struct peer *p);
/* Is there place for another stream, of this id, on this link? */
bool peer_stream_may_add(const struct peer *p, bool out, uint32_t id);
struct peer_stream *peer_stream_find(struct peer_streams *set, uint32_t id);
/* A new one in state OPEN, in the table of its direction; NULL: no memory. */
struct peer_stream *peer_stream_add(struct peer *p, bool out, uint32_t id);
void peer_stream_remove(struct peer *p, bool out, struct peer_stream *s);
/* It moves no more: frames that have had no turn, and its hash, are freed. */
void peer_stream_drop(struct peer *p, struct peer_stream *s);
/* For the hash of a stream; NULL when it cannot be had. */
EVP_MD_CTX *peer_stream_hash(void);
/* The hash over all its bytes; it is used up. 0 or -1. */
int peer_stream_digest(struct peer_stream *s, char hex[PEER_STREAM_HEX]);
/* Messages of streams. */
int
peer_stream_say_window(struct peer *p, struct peer_stream *s, int64_t bytes);
void peer_stream_say_closed(struct peer *p, uint32_t id);
void peer_stream_say_abort(
    struct peer *p, uint32_t id, bool sender, const char *reason);
/* stream_end of ops; behind it the peer may be freed. */
void peer_stream_tell(struct peer *p, uint32_t id, bool ok, const char *why);
/* Tell the owner of credit that was there before its stream. */
void peer_stream_offer(struct peer *p);

/* peer_stream_in.c: we receive */

void peer_stream_data(struct peer *p, const struct frame *f);
void peer_stream_got_end(struct peer *p, const struct msg_stream_end *m);
void peer_stream_got_abort(struct peer *p, const struct msg_stream_abort *m);
/* We want no more of it; false when it is not open. */
bool peer_stream_stop(struct peer *p, uint32_t id, const char *reason);

/* peer_stream_out.c: we send */

void peer_stream_got_window(struct peer *p, const struct msg_stream_window *m);
/* The receiver's stream.abort. */
void peer_stream_got_stop(struct peer *p, const struct msg_stream_abort *m);
void peer_stream_got_closed(struct peer *p, const struct msg_stream_closed *m);
/* We send no more of it; false when it is not open. */
bool peer_stream_give_up(struct peer *p, uint32_t id, const char *reason);
/* Give streams their turns, as far as there is room for data in out. */
void peer_stream_feed(struct peer *p, size_t *budget);

#endif
