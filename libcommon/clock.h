#ifndef LIBCOMMON_CLOCK_H
#define LIBCOMMON_CLOCK_H

/*
 * Deadlines are on the boot clock (CLOCK_BOOTTIME; macOS: continuous time).
 * The wall clock is for display only.
 */

#include <stddef.h>
#include <stdint.h>

#define CLOCK_RFC3339_LEN 25 /* "2026-08-01T21:00:00.123Z" + NUL */
#define CLOCK_BOOT_ID_LEN 64

int64_t clock_boot_ms(void);
/* RFC 3339 UTC with milliseconds. */
void clock_rfc3339(char buf[CLOCK_RFC3339_LEN]);
/* The same of a time in milliseconds since 1970. */
void clock_rfc3339_of(int64_t wall_ms, char buf[CLOCK_RFC3339_LEN]);
/*
 * Identifies this boot of the machine; "unknown" when the system has none. A
 * process in a sandbox has what it read before it went in.
 */
void clock_boot_id(char buf[CLOCK_BOOT_ID_LEN]);

#endif
