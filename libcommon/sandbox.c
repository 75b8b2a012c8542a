#include <string.h>

#include "libcommon/sandbox.h"

static const char *const names[SANDBOX_PURPOSES] = {
	[SANDBOX_PARENT] = "parent",
	[SANDBOX_AUDIT] = "audit",
	[SANDBOX_FRONTEND] = "frontend",
	[SANDBOX_PROXY] = "proxy",
	[SANDBOX_RESOLVER] = "resolver",
	[SANDBOX_FW] = "fw",
	[SANDBOX_ENGINE] = "engine",
	[SANDBOX_RUNS] = "runs",
	[SANDBOX_QUEUE] = "queue",
	[SANDBOX_DISPATCH] = "dispatch",
};

const char *
sandbox_name(enum sandbox_purpose purpose)
{
	if ((unsigned)purpose >= SANDBOX_PURPOSES)
		return "unknown";
	return names[purpose];
}

int
sandbox_purpose(const char *name)
{
	int i;

	for (i = 0; i < SANDBOX_PURPOSES; i++) {
		if (strcmp(names[i], name) == 0)
			return i;
	}
	return -1;
}
