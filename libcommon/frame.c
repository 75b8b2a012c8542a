/* Framing: see frame.h and PROTOCOL.md. Pure. */

#include <sys/types.h>

#include <stddef.h>
#include <stdint.h>

#include "libcommon/frame.h"

#define FRAME_DATA_BIT 0x80000000U
#define FRAME_STREAM_LEN (FRAME_DATA_HEADER_LEN - FRAME_HEADER_LEN)

static uint32_t
get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	    (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static void
put_be32(uint8_t *p, uint32_t n)
{
	p[0] = (uint8_t)(n >> 24);
	p[1] = (uint8_t)(n >> 16);
	p[2] = (uint8_t)(n >> 8);
	p[3] = (uint8_t)n;
}

/* What is wrong with a length, known before a byte behind it has come. */
static const char *
length_error(enum frame_kind kind, size_t len, size_t ctl_max)
{
	if (kind == FRAME_CONTROL) {
		if (len == 0)
			return "empty control frame";
		if (len > ctl_max)
			return "control frame over its limit";
		return NULL;
	}
	if (len < FRAME_STREAM_LEN)
		return "data frame without a stream id";
	if (len == FRAME_STREAM_LEN)
		return "empty data frame";
	if (len > FRAME_STREAM_LEN + FRAME_DATA_MAX)
		return "data frame over its limit";
	return NULL;
}

ssize_t
frame_parse(const uint8_t *buf, size_t len, size_t ctl_max, struct frame *f,
    const char **why)
{
	enum frame_kind kind;
	const char *error;
	uint32_t word;
	size_t n;

	if (len < FRAME_HEADER_LEN)
		return 0;
	word = get_be32(buf);
	kind = (word & FRAME_DATA_BIT) != 0 ? FRAME_DATA : FRAME_CONTROL;
	n = word & ~FRAME_DATA_BIT;
	error = length_error(kind, n, ctl_max);
	if (error != NULL) {
		*why = error;
		return -1;
	}
	if (len - FRAME_HEADER_LEN < n)
		return 0;

	f->kind = kind;
	if (kind == FRAME_DATA) {
		f->stream = get_be32(buf + FRAME_HEADER_LEN);
		f->data = buf + FRAME_DATA_HEADER_LEN;
		f->len = n - FRAME_STREAM_LEN;
	} else {
		f->stream = 0;
		f->data = buf + FRAME_HEADER_LEN;
		f->len = n;
	}
	return (ssize_t)(FRAME_HEADER_LEN + n);
}

/*
 * A length outside its bounds is a mistake of ours. It is written as 0, which
 * every receiver refuses: cut short it could pass for another frame.
 */
void
frame_put_control(uint8_t hdr[FRAME_HEADER_LEN], size_t len)
{
	if (len > FRAME_CTL_BIG_MAX)
		len = 0;
	put_be32(hdr, (uint32_t)len);
}

void
frame_put_data(uint8_t hdr[FRAME_DATA_HEADER_LEN], uint32_t stream, size_t len)
{
	uint32_t word;

	word = FRAME_DATA_BIT;
	if (len <= FRAME_DATA_MAX)
		word |= (uint32_t)(FRAME_STREAM_LEN + len);
	put_be32(hdr, word);
	put_be32(hdr + FRAME_HEADER_LEN, stream);
}
