/*
 * engine_parse_log. The first byte chooses the room, the rest is the log.
 */

#include <assert.h>
#include <string.h>

#include "dispatchd/engine_docker.h"

#define ROOM 8193

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char out[ROOM];
	size_t room, i;

	if (size == 0)
		return 0;
	room = data[0] == 0 ? sizeof(out) : data[0];
	(void)engine_parse_log(data + 1, size - 1, out, room);
	assert(strlen(out) < room);
	for (i = 0; out[i] != '\0'; i++)
		assert(out[i] >= 0x20 && out[i] <= 0x7e);
	return 0;
}
