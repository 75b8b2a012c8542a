/* There is no container of this system that PID 1 would run in. */

#include <errno.h>

#include "entrypoint_child.h"

int
system_harden(void)
{
	errno = ENOTSUP;
	return -1;
}

void
system_expendable(void)
{
}

void
system_close_from(int low)
{
}

void
system_signal_others(int sig)
{
}
