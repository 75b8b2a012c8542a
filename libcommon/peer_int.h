#ifndef LIBCOMMON_PEER_INT_H
#define LIBCOMMON_PEER_INT_H

/* What the files of peer.c share. Private to them. */

#include <sys/queue.h>
#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "peer.h"

#define PEER_NAME_MAX 64
#define PEER_WHY_MAX 256

/* One frame to be written. */
struct peer_seg {
	TAILQ_ENTRY(peer_seg) entry;
	uint8_t hdr[FRAME_HEADER_LEN];
	char *text; /* malloc'd; zeroed when freed */
	size_t len; /* of text */
	size_t off; /* written so far, header included */
	int fd; /* goes with the first byte, or -1 */
	int64_t queued_ms;
};

TAILQ_HEAD(peer_segs, peer_seg);

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
	int in_fd; /* came with its first byte */
	int64_t frame_ms; /* when it began, 0: it did not */
	int64_t since_ms; /* when the link began */
	bool hello_got;
	int64_t open[PEER_INFLIGHT_MAX]; /* unanswered ids */
	size_t nopen;

	/* Output. */
	struct peer_segs out;
	size_t out_bytes;
	bool out_dead; /* nobody reads it any more */
	int64_t last_id;

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

/*
 * The longest control frame that may come or go. What fw holds is a privilege
 * over the whole machine, and its messages are short: the less it reads at
 * once, the better.
 */
size_t peer_frame_max(const struct peer *p);
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

/* peer_out.c */

/* Write as much as the socket takes. */
void peer_write(struct peer *p);
void peer_out_drop(struct peer *p);

#endif
