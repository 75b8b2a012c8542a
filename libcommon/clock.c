#include <stdio.h>
#include <string.h>
#include <time.h>

#include "clock.h"

/* The last second of the year 9999: behind it there is no RFC 3339. */
#define CLOCK_LAST_SECOND INT64_C(253402300799)

/*
 * gmtime_r knows no time zone and opens nothing, so this works in a sandbox.
 * A wall clock outside the years 1970 to 9999 is shown as the nearer end of
 * them: a wrong time in a line is better than a line that breaks its format.
 */
static void
clock_format(int64_t sec, long nsec, char buf[CLOCK_RFC3339_LEN])
{
	struct tm tm;
	time_t t;
	size_t n;

	if (sec < 0 || sec > CLOCK_LAST_SECOND) {
		sec = sec < 0 ? 0 : CLOCK_LAST_SECOND;
		nsec = 0;
	}
	t = (time_t)sec;
	memset(&tm, 0, sizeof(tm));
	gmtime_r(&t, &tm);
	n = strftime(buf, CLOCK_RFC3339_LEN, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, CLOCK_RFC3339_LEN - n, ".%03uZ",
	    (unsigned)(nsec / 1000000) % 1000);
}

void
clock_rfc3339_of(int64_t wall_ms, char buf[CLOCK_RFC3339_LEN])
{
	if (wall_ms < 0)
		wall_ms = 0;
	clock_format(wall_ms / 1000, (long)(wall_ms % 1000 * 1000000), buf);
}

void
clock_rfc3339(char buf[CLOCK_RFC3339_LEN])
{
	struct timespec ts = { 0, 0 };

	/* With a valid clock and address this cannot fail. */
	clock_gettime(CLOCK_REALTIME, &ts);
	clock_format(ts.tv_sec, ts.tv_nsec, buf);
}
