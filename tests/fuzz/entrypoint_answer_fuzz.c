/*
 * What answers a probe is whoever is there. The first byte chooses the reader;
 * the bytes lie in a buffer of their size, so that reading beyond shows.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent-cli/entrypoint_probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum probe_met met;
	uint8_t *copy;

	if (size < 1 || (copy = malloc(size)) == NULL)
		return 0;
	memcpy(copy, data + 1, size - 1);
	if (data[0] == 'd') {
		met = dns_answer(copy, size - 1, 7);
		if (met != MET_ANSWER && met != MET_EMPTY && met != MET_RECORD)
			abort();
	} else if (!proxy_answer_read(
	               (char *)copy, size - 1, "abcdefghijkl", &met) &&
	    met != MET_ANSWER) {
		abort();
	}
	free(copy);
	return 0;
}
