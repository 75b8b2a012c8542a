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

int
system_term_fd(void)
{
	errno = ENOTSUP;
	return -1;
}

bool
system_term_outside(int fd, pid_t *by)
{
	*by = 0;
	return false;
}

int
system_limit_tool(void)
{
	errno = ENOTSUP;
	return -1;
}

int
system_alone(void)
{
	errno = ENOTSUP;
	return -1;
}
