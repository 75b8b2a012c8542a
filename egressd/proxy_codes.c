/* The tables of codes.def and ends.def. */

#include <string.h>

#include "egressd/egressd.h"

static const struct egress_code_info codes[CODE_MAX] = {
	[CODE_ok] = { "ok", 200, "", "" },
#define CODE(id, status, error, sentence) \
	[CODE_##id] = { #id, status, error, sentence },
#include "codes.def"
};

static const struct {
	const char *name;
	uint8_t alert;
} ends[END_MAX] = {
	[END_none] = { "none", 0 },
#define END(id, alert) [END_##id] = { #id, alert },
#include "ends.def"
};

const struct egress_code_info *
egress_code_info(enum egress_code code)
{
	return (unsigned)code < CODE_MAX ? &codes[code] : NULL;
}

enum egress_code
egress_code_by_name(const char *name)
{
	unsigned i;

	for (i = 0; i < CODE_MAX; i++)
		if (strcmp(codes[i].name, name) == 0)
			return (enum egress_code)i;
	return CODE_MAX;
}

const char *
egress_end_name(enum egress_end end)
{
	return ends[(unsigned)end < END_MAX ? end : END_none].name;
}

uint8_t
egress_end_alert(enum egress_end end)
{
	return ends[(unsigned)end < END_MAX ? end : END_none].alert;
}
