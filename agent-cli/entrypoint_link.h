#ifndef AGENT_CLI_ENTRYPOINT_LINK_H
#define AGENT_CLI_ENTRYPOINT_LINK_H

/*
 * The link to the daemon: made, made again when it breaks, and its streams.
 * The only file of the entrypoint that knows peer.h.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "libcommon/msg.h"

#define LINK_RETRY_MIN_MS 50
#define LINK_RETRY_MAX_MS 2000

struct link;

/* All from the loop. In message and data the callee may call link_again. */
struct link_ops {
	void (*up)(void *arg); /* say agent.ready now */
	void (*down)(void *arg); /* what was sent may not have arrived */
	void (*message)(const struct msg *m, void *arg);
	void (*data)(
	    uint32_t stream, const uint8_t *buf, size_t len, void *arg);
	/* Incoming: ended; outgoing: the other side gave it up. */
	void (*stream_end)(
	    uint32_t stream, bool ok, const char *why, void *arg);
	void (*stream_ready)(uint32_t stream, void *arg);
};

/* Begins to connect at once. path is borrowed. NULL when out of memory. */
struct link *link_new(struct event_base *base, const char *path,
    const struct link_ops *ops, void *arg);
void link_free(struct link **l);
bool link_is_up(const struct link *l);
/* Since when there has been none, on the boot clock; 0 when it is up. */
int64_t link_down_ms(const struct link *l);
/* Give this one up and connect anew, from the loop; down is called. */
void link_again(struct link *l, const char *why);
/* Each returns -1 when there is no link. */
int link_send(struct link *l, const struct msg *m);
void link_flush(struct link *l);

/* As peer_stream_* in peer.h. */
int link_expect(struct link *l, uint32_t stream, int64_t max);
void link_consumed(struct link *l, uint32_t stream, size_t n);
int link_begin(struct link *l, uint32_t stream);
size_t link_room(struct link *l, uint32_t stream);
int link_write(struct link *l, uint32_t stream, const void *buf, size_t len);
int link_finish(struct link *l, uint32_t stream);
void link_abort(struct link *l, uint32_t stream, const char *reason);

#endif
