/*
 * A tool's output on a terminal, and outside text in a log. The first byte
 * says where the rest is cut in two: what is shown may not depend on that.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"
#include "libcommon/utf8.h"

#include "agent-cli/follow.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Shown in two pieces; malloc'd. */
static char *
show(const uint8_t *data, size_t size, size_t cut, size_t *len)
{
	struct terminal t;
	char *out = malloc(TERMINAL_OUT(size) + TERMINAL_OUT(0));

	assert(out != NULL);
	memset(&t, 0, sizeof(t));
	*len = terminal_text(&t, data, cut, out);
	*len += terminal_text(&t, data + cut, size - cut, out + *len);
	*len += terminal_end(&t, out + *len);
	assert(t.nheld == 0 && *len <= TERMINAL_OUT(size));
	return out;
}

/* Whole characters alone, and none that a terminal obeys. */
static void
harmless(const char *out, size_t len)
{
	uint32_t cp;
	size_t n;

	for (; len > 0; out += n, len -= n) {
		n = utf8_decode(out, len, &cp);
		assert(n > 0);
		assert(cp == '\n' || cp == '\t' || cp >= 0x20);
		assert(cp < 0x7f || cp >= 0xa0);
		assert(cp < 0x202a || cp > 0x202e);
	}
}

static void
escaped(const uint8_t *data, size_t size)
{
	char line[256];
	size_t i;

	log_escape(line, sizeof(line), (const char *)data, size);
	assert(strlen(line) < sizeof(line));
	for (i = 0; line[i] != '\0'; i++)
		assert(line[i] >= 0x20 && line[i] <= 0x7e);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *whole, *cut;
	size_t n, m;

	if (size == 0)
		return 0;
	n = data[0];
	data++;
	size--;
	escaped(data, size);
	cut = show(data, size, n < size ? n : size, &n);
	whole = show(data, size, size, &m);
	assert(n == m && memcmp(cut, whole, n) == 0);
	harmless(whole, m);
	free(cut);
	free(whole);
	return 0;
}
