/* What a server says first, however it comes. */

#undef NDEBUG /* a release build must check as well */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "egressd/egressd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum tls_server_event
play(const uint8_t *data, size_t size, size_t piece)
{
	enum tls_server_event ev = TLS_SERVER_MORE;
	struct tls_server t;
	size_t at, n;

	tls_server_init(&t);
	for (at = 0; at < size; at += n) {
		n = size - at < piece ? size - at : piece;
		ev = tls_server_feed(&t, data + at, n);
	}
	return ev;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum tls_server_event ev = play(data, size, size);

	assert(ev == play(data, size, 1));
	assert(ev == play(data, size, 3));
	if (size > 0 && data[0] != 22)
		assert(ev == TLS_SERVER_OTHER);
	/* Record header, message header, version and random. */
	if (size < 5 + 4 + 2 + 32)
		assert(ev == TLS_SERVER_MORE || ev == TLS_SERVER_OTHER);
	return 0;
}
