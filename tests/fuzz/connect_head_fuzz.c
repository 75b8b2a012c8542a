/*
 * The request head: the verdict must not depend on how the bytes came, and
 * what is accepted must be what it claims.
 */

#undef NDEBUG /* a release build must check as well */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/egressd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_good(const struct proxy_head *h, const char *buf, size_t size)
{
	struct dest d;
	size_t i;

	assert(h->len >= 4 && h->len <= size && h->len <= PROXY_HEAD_MAX);
	assert(memcmp(buf + h->len - 4, "\r\n\r\n", 4) == 0);
	for (i = 0; i < h->len; i++)
		assert((buf[i] >= 0x20 && buf[i] < 0x7f) || buf[i] == '\t' ||
		    buf[i] == '\r' || buf[i] == '\n');
	assert(h->target > buf && h->target + h->target_len < buf + h->len);
	assert(h->dest.port != 0);
	if (!h->connect)
		return;
	assert(memcmp(buf, "CONNECT ", 8) == 0);
	assert(dest_parse(h->target, h->target_len, 0, &d) == 0);
	assert(dest_equal(&d, &h->dest));
}

static void
check_bad(const struct proxy_head *h)
{
	assert(h->code == CODE_malformed || h->code == CODE_too_large ||
	    h->code == CODE_not_http1);
	assert(h->reason != NULL && h->reason[0] != '\0');
	assert(h->target != NULL || h->target_len == 0);
}

static void
check_same(const struct proxy_head *a, const struct proxy_head *b)
{
	assert(a->code == b->code && a->reason == b->reason);
	assert(a->len == b->len && a->scanned == b->scanned);
	assert(a->target == b->target && a->target_len == b->target_len);
	assert(a->connect == b->connect);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *buf = (const char *)data;
	struct proxy_head whole, bytes, half;
	size_t n;
	int r, rb = 0, rh;

	proxy_head_init(&whole);
	r = proxy_head_parse(&whole, buf, size);
	if (r == 1)
		check_good(&whole, buf, size);
	else if (r == -1)
		check_bad(&whole);

	proxy_head_init(&bytes);
	for (n = 0; n <= size && rb == 0; n++)
		rb = proxy_head_parse(&bytes, buf, n);
	assert(r == rb);
	check_same(&whole, &bytes);

	proxy_head_init(&half);
	proxy_head_parse(&half, buf, size / 2);
	rh = proxy_head_parse(&half, buf, size);
	assert(r == rh);
	check_same(&whole, &half);
	return 0;
}
