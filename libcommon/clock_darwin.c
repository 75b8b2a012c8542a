#include <sys/sysctl.h>
#include <sys/types.h>

#include <string.h>
#include <time.h>

#include "clock.h"

/* The raw monotonic clock of macOS goes on while the machine sleeps. */
int64_t
clock_boot_ms(void)
{
	return (int64_t)(clock_gettime_nsec_np(CLOCK_MONOTONIC_RAW) / 1000000);
}

void
clock_boot_id(char buf[CLOCK_BOOT_ID_LEN])
{
	size_t len = CLOCK_BOOT_ID_LEN;

	if (sysctlbyname("kern.bootsessionuuid", buf, &len, NULL, 0) == -1 ||
	    buf[0] == '\0')
		strlcpy(buf, "unknown", CLOCK_BOOT_ID_LEN);
	buf[CLOCK_BOOT_ID_LEN - 1] = '\0';
}
