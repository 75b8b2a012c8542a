/* What a daemon says of itself. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/version.h"

#include "doctor.h"

#define DOCTOR_MS 5000 /* connect, hello, answer */
#define WHAT_MAX 320 /* a daemon's name and a key of its state */
#define FIX_MAX 128

static bool
begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static void
version(const char *name, const char *theirs)
{
	char what[WHAT_MAX];

	(void)snprintf(what, sizeof(what), "%s version", name);
	if (strcmp(theirs, BULKHEAD_VERSION) == 0)
		doctor_say(FINDING_OK, what, NULL, "%s", theirs);
	else
		doctor_say(FINDING_FAIL, what,
		    "install one version of all and restart the daemons",
		    "%s, but agent-cli is %s", theirs, BULKHEAD_VERSION);
}

/* The packet rules: without them only the proxy stands in the way. */
static void
nft(const char *what, const char *value)
{
	if (begins(value, "closed"))
		doctor_say(FINDING_OK, what, NULL, "%s", value);
	else
		doctor_say(FINDING_FAIL, what,
		    "start egressd as root, with \"nft\": true", "%s", value);
}

/* As the queue of dispatchd saw it last. */
static void
engine(const char *what, const char *value)
{
	const char *fix = "start the engine, or mend \"engine\" in "
	                  "dispatchd.conf";

	if (begins(value, "reachable"))
		doctor_say(FINDING_OK, what, NULL, "%s", value);
	else
		doctor_say(begins(value, "asked") ? FINDING_WARN : FINDING_FAIL,
		    what, fix, "%s", value);
}

static void
image(const char *what, const char *value)
{
	if (strcmp(value, "absent") != 0)
		doctor_say(FINDING_OK, what, NULL, "%s", value);
	else
		doctor_say(FINDING_FAIL, what,
		    "build it by deploy/image/build.sh, or mend \"image\" in "
		    "dispatchd.conf",
		    "%s", value);
}

/* "seccomp on, landlock 4", for each process. */
static void
sandbox(const char *what, const char *value)
{
	if (begins(value, "seccomp ABSENT"))
		doctor_say(FINDING_FAIL, what,
		    "a kernel with CONFIG_SECCOMP_FILTER", "%s", value);
	else if (strstr(value, "landlock 0") != NULL)
		doctor_say(FINDING_WARN, what,
		    "a kernel from 5.13 on with lsm=landlock,...", "%s", value);
	else
		doctor_say(FINDING_OK, what, NULL, "%s", value);
}

static void
state(const char *name, const char *key, const char *value)
{
	char what[WHAT_MAX], *shown = visible(key, strlen(key));

	(void)snprintf(what, sizeof(what), "%s %.256s", name, shown);
	free(shown);
	if (strcmp(key, "nft") == 0)
		nft(what, value);
	else if (strcmp(key, "engine_state") == 0)
		engine(what, value);
	else if (strcmp(key, "image_id") == 0)
		image(what, value);
	else if (begins(value, "seccomp "))
		sandbox(what, value);
}

static void
judge(const char *name, const struct msg_status_answer *a)
{
	char what[WHAT_MAX];
	size_t i;

	version(name, a->version);
	for (i = 0; i < a->state.n; i++)
		state(name, a->state.k[i], a->state.v[i]);
	(void)snprintf(what, sizeof(what), "%s warning", name);
	for (i = 0; i < a->warnings.n; i++)
		doctor_say(FINDING_WARN, what, NULL, "%s", a->warnings.v[i]);
}

void
doctor_daemon(const struct cli *cli, const char *name)
{
	struct msg m = { .type = MSG_TYPE_status }, a;
	char fix[FIX_MAX];
	struct daemon_link l;
	int r;

	if ((r = daemon_open(&l, cli->run_dir, name, DOCTOR_MS)) == 0)
		r = daemon_call(&l, &m, &a);
	if (r == 0) {
		doctor_say(FINDING_OK, name, NULL, "answers at %s/%s.sock",
		    cli->run_dir, name);
		judge(name, &a.u.status_answer);
		msg_free(&a);
	} else if (r == EXIT_REFUSED) {
		(void)snprintf(fix, sizeof(fix),
		    "add yourself with \"status\" to \"peers\" of %s.conf",
		    name);
		doctor_say(FINDING_FAIL, name, fix, "refused: %s", l.why);
	} else {
		(void)snprintf(fix, sizeof(fix),
		    "start %s, or name its directory by --run-dir", name);
		doctor_say(
		    FINDING_FAIL, name, fix, "cannot be reached: %s", l.why);
	}
	daemon_close(&l);
}
