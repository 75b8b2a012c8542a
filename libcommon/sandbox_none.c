#include <stdio.h>

#include "libcommon/log.h"
#include "libcommon/sandbox.h"

/* A system without a sandbox of ours: the state says so, and status shows it.
 */
int
sandbox_enter(enum sandbox_purpose purpose, const struct sandbox_paths *paths,
    struct sandbox_state *st)
{
	log_warnx("sandbox %s: this system has none", sandbox_name(purpose));
	st->seccomp = false;
	st->landlock = 0;
	st->no_new_privs = false;
	return 0;
}

int
sandbox_selftest(enum sandbox_purpose purpose)
{
	printf(
	    "not ok %s: this system has no sandbox\n", sandbox_name(purpose));
	return 1;
}
