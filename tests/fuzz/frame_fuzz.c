/* libcommon/frame.c: the first byte picks the limit, the rest is the stream. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/frame.h"

#define REQUIRE(x)               \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The header that a sender of this frame would have written is the one. */
static void
check_header(const uint8_t *buf, const struct frame *f)
{
	uint8_t hdr[FRAME_DATA_HEADER_LEN];

	if (f->kind == FRAME_DATA) {
		frame_put_data(hdr, f->stream, f->len);
		REQUIRE(memcmp(buf, hdr, FRAME_DATA_HEADER_LEN) == 0);
		REQUIRE(f->data == buf + FRAME_DATA_HEADER_LEN);
		REQUIRE(f->len >= 1 && f->len <= FRAME_DATA_MAX);
	} else {
		frame_put_control(hdr, f->len);
		REQUIRE(memcmp(buf, hdr, FRAME_HEADER_LEN) == 0);
		REQUIRE(f->data == buf + FRAME_HEADER_LEN);
		REQUIRE(f->len >= 1);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t limits[] = { FRAME_CTL_SMALL_MAX, FRAME_CTL_MAX,
		FRAME_CTL_BIG_MAX };
	const char *why, *early;
	struct frame f, part;
	size_t limit;
	ssize_t n, m;

	if (size == 0)
		return 0;
	limit = limits[data[0] % 3];
	data++;
	size--;
	while (size > 0) {
		why = early = NULL;
		n = frame_parse(data, size, limit, &f, &why);
		/* The header alone is enough to refuse, never to accept. */
		if (size >= FRAME_HEADER_LEN) {
			m = frame_parse(
			    data, FRAME_HEADER_LEN, limit, &part, &early);
			REQUIRE(m == (n == -1 ? -1 : 0));
			REQUIRE(early == why);
		}
		REQUIRE((n == -1) == (why != NULL));
		if (n <= 0)
			break;
		REQUIRE((size_t)n <= size);
		REQUIRE(f.data + f.len == data + n);
		REQUIRE(f.kind == FRAME_DATA || f.len <= limit);
		check_header(data, &f);
		REQUIRE(
		    frame_parse(data, (size_t)n - 1, limit, &part, &why) == 0);
		data += n;
		size -= (size_t)n;
	}
	return 0;
}
