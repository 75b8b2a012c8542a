/* The container engine's socket, and the users of the daemons. */

#include <sys/stat.h>

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"

#define ENGINE_SOCKET "/run/docker.sock" /* dispatchd.conf has its own */
#define USERS_MAX 512
#define NAME_MAX_LEN 64
#define FIX_MAX 1024

/* Who can open it is root on this machine. */
static void
engine_socket(void)
{
	const char *what = "engine socket";
	const struct group *gr;
	char group[NAME_MAX_LEN];
	struct stat st;

	if (stat(ENGINE_SOCKET, &st) == -1) {
		doctor_say(FINDING_WARN, what,
		    "start Docker, unless dispatchd.conf names another "
		    "socket",
		    ENGINE_SOCKET ": %s", strerror(errno));
		return;
	}
	gr = getgrgid(st.st_gid);
	if (gr != NULL)
		(void)snprintf(group, sizeof(group), "%s", gr->gr_name);
	else
		(void)snprintf(group, sizeof(group), "%u", (unsigned)st.st_gid);
	if (!S_ISSOCK(st.st_mode))
		doctor_say(FINDING_FAIL, what, "start Docker",
		    ENGINE_SOCKET ": not a socket");
	else if ((st.st_mode & S_IWOTH) != 0)
		doctor_say(FINDING_FAIL, what, "chmod 660 " ENGINE_SOCKET,
		    ENGINE_SOCKET ": every user can be root by it");
	else
		doctor_say(FINDING_OK, what, NULL,
		    ENGINE_SOCKET ": group %s, mode %o", group,
		    (unsigned)st.st_mode & 0777);
}

/* The users of the daemons of this version. */
static void
users(void)
{
	static const char *const names[] = { "egress", "proxy", "resolver",
		"fw", "audit", "dispatch", "runs", "queue", "engine" };
	char name[NAME_MAX_LEN], missing[USERS_MAX] = "", fix[FIX_MAX];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(name, sizeof(name), "bulkhead-%s", names[i]);
		if (getpwnam(name) != NULL)
			continue;
		if (missing[0] != '\0')
			(void)strlcat(missing, " ", sizeof(missing));
		(void)strlcat(missing, name, sizeof(missing));
	}
	if (missing[0] == '\0') {
		doctor_say(FINDING_OK, "users", NULL, "all are there");
		return;
	}
	/* Daemons that were not started as root do without. */
	(void)snprintf(fix, sizeof(fix),
	    "as root: for u in %s; do useradd --system --user-group "
	    "--no-create-home --home-dir /nonexistent --shell "
	    "/usr/sbin/nologin $u; done",
	    missing);
	doctor_say(FINDING_WARN, "users", fix,
	    "missing, though daemons started as root need them: %s", missing);
}

static void
group(void)
{
	if (getgrnam("bulkhead") != NULL)
		doctor_say(FINDING_OK, "group", NULL,
		    "bulkhead is there; its members may use dispatchd as its "
		    "peers table says");
	else
		doctor_say(FINDING_WARN, "group",
		    "as root: groupadd --system bulkhead",
		    "bulkhead, which the example configurations name, is "
		    "missing");
}

void
doctor_host(void)
{
	engine_socket();
	users();
	group();
}
