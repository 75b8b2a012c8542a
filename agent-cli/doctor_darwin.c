/* On macOS the containers run in another kernel, which is not to be seen. */

#include <sys/utsname.h>

#include <errno.h>
#include <string.h>

#include "doctor.h"

void
doctor_system(void)
{
	struct utsname u;

	if (uname(&u) == -1)
		doctor_say(FINDING_WARN, "kernel", NULL, "%s", strerror(errno));
	else
		doctor_say(
		    FINDING_OK, "kernel", NULL, "%s %s", u.sysname, u.release);
}
