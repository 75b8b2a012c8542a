#ifndef LIBCOMMON_FRAME_H
#define LIBCOMMON_FRAME_H

/*
 * The framing of PROTOCOL.md: pure, no I/O.
 *
 * Control frame: 4-byte big-endian length, that many bytes of JSON.
 * Data frame: the same with bit 31 set; the length counts a 4-byte big-endian
 * stream id and the raw bytes behind it.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FRAME_HEADER_LEN 4
#define FRAME_DATA_HEADER_LEN 8
#define FRAME_CTL_SMALL_MAX 4096 /* signer and fw links */
#define FRAME_CTL_MAX 65536 /* towards clients */
#define FRAME_CTL_BIG_MAX 1048576 /* where msg.def says so */
#define FRAME_DATA_MAX 32768 /* raw bytes in one frame */

enum frame_kind {
	FRAME_CONTROL,
	FRAME_DATA
};

struct frame {
	enum frame_kind kind;
	uint32_t stream; /* FRAME_DATA only */
	const uint8_t *data; /* points into the caller's buffer */
	size_t len;
};

/*
 * Look at the frame that starts at buf. Returns the bytes it takes in all
 * (header included), 0 when more are needed, -1 when it can never be a frame:
 * length 0, over ctl_max, a data frame without stream id or over
 * FRAME_DATA_MAX; then *why says so. A bad length is found from the header
 * alone: nothing is allocated for it. *f is written only on success.
 */
ssize_t frame_parse(const uint8_t *buf, size_t len, size_t ctl_max,
    struct frame *f, const char **why);

/* Write the header of a control frame of len bytes (1..FRAME_CTL_BIG_MAX). */
void frame_put_control(uint8_t hdr[FRAME_HEADER_LEN], size_t len);

/* Write the header of a data frame of len raw bytes (1..FRAME_DATA_MAX). */
void
frame_put_data(uint8_t hdr[FRAME_DATA_HEADER_LEN], uint32_t stream, size_t len);

#endif
