#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sandbox.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/log.h"
#include "libcommon/sandbox.h"

/*
 * Seatbelt profiles. The system calls the interface deprecated and offers no
 * other to programs without a bundle. Rules stand by operation, so they
 * cannot be as narrow as the Linux filters: see the state, which claims
 * neither seccomp nor Landlock.
 */
#define CLOSED                                   \
	"(version 1)(deny default)"              \
	"(allow sysctl-read)(allow mach-lookup " \
	"(global-name \"com.apple.system.logger\"))"

#define PROFILE_MAX 16384

static const char *const profiles[SANDBOX_PURPOSES] = {
	[SANDBOX_PARENT] = CLOSED "(allow network-bind)(allow network-inbound)"
	                          "(allow file-read-metadata)"
	                          "(allow signal (target children))",
	[SANDBOX_AUDIT] = CLOSED,
	[SANDBOX_FRONTEND] = CLOSED "(allow network-inbound (local unix))",
	[SANDBOX_PROXY] = CLOSED "(allow network-inbound (local tcp))"
	                         "(allow network-outbound (remote ip))",
	[SANDBOX_RESOLVER] = CLOSED "(allow network-outbound (remote ip))",
	[SANDBOX_FW] = CLOSED,
	[SANDBOX_RUNS] = CLOSED "(allow network-inbound (local unix))",
	[SANDBOX_QUEUE] = CLOSED "(allow network-outbound (remote unix))",
	[SANDBOX_ENGINE] = CLOSED "(allow network-outbound (remote unix))",
	[SANDBOX_DISPATCH] = CLOSED "(allow network-bind (local unix))"
	                            "(allow file-read-metadata)"
	                            "(allow signal (target children))",
};

/* A file stands for its directory: files are replaced by renaming. */
static int
add_path(char *profile, size_t len, const char *path)
{
	char real[PATH_MAX], *slash;

	if (realpath(path, real) == NULL)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	slash = strrchr(real, '/');
	if (slash != NULL && slash != real)
		*slash = '\0';
	/* What would have to be escaped in a profile is not a path of ours. */
	if (strpbrk(real, "\"\\") != NULL) {
		errno = EINVAL;
		return -1;
	}
	if (strlcat(profile, "(allow file-read* (subpath \"", len) >= len ||
	    strlcat(profile, real, len) >= len ||
	    strlcat(profile, "\"))", len) >= len) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return 0;
}

/* The deprecation above is known: here alone it is no warning. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdeprecated-declarations"

static int
enter(const char *profile, const char *name)
{
	char *why = NULL;

	if (sandbox_init(profile, 0, &why) == 0)
		return 0;
	log_warnx("sandbox %s: %s", name, why);
	sandbox_free_error(why);
	errno = EPERM;
	return -1;
}

#pragma clang diagnostic pop

int
sandbox_enter(enum sandbox_purpose purpose, const struct sandbox_paths *paths,
    struct sandbox_state *st)
{
	static char profile[PROFILE_MAX];
	int i;

	if ((unsigned)purpose >= SANDBOX_PURPOSES) {
		errno = EINVAL;
		return -1;
	}
	strlcpy(profile, profiles[purpose], sizeof(profile));
	for (i = 0;
	     paths != NULL && paths->read != NULL && paths->read[i] != NULL;
	     i++) {
		if (add_path(profile, sizeof(profile), paths->read[i]) == -1)
			return -1;
	}
	if (enter(profile, sandbox_name(purpose)) == -1)
		return -1;
	st->seccomp = false;
	st->landlock = 0;
	st->no_new_privs = false;
	return 0;
}

static int
try_open(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) == -1 ? -1 : 0;
}

static int
try_create(void)
{
	return open("/tmp/bulkhead-selftest", O_WRONLY | O_CREAT | O_CLOEXEC,
	           0600) == -1
	    ? -1
	    : 0;
}

static int
try_exec(void)
{
	char path[] = "/usr/bin/true", *argv[] = { path, NULL };

	return execve(path, argv, NULL);
}

static int
try_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid == -1 ? -1 : 0;
}

int
sandbox_selftest(enum sandbox_purpose purpose)
{
	static const struct {
		const char *name;
		int (*try)(void);
	} attempts[] = {
		{ "open", try_open },
		{ "create a file", try_create },
		{ "execve", try_exec },
		{ "fork", try_fork },
	};
	struct sandbox_state st;
	int failed = 0, ok, status;
	size_t i;
	pid_t pid;

	for (i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		fflush(stdout);
		if ((pid = fork()) == 0) {
			if (sandbox_enter(purpose, NULL, &st) == -1)
				_exit(0);
			_exit(attempts[i].try() == 0 ? 0 : errno & 0xff);
		}
		if (pid == -1 || waitpid(pid, &status, 0) == -1)
			status = 0;
		ok = status != 0;
		failed += !ok;
		printf("%s %s %s: status %d\n", ok ? "ok" : "not ok",
		    sandbox_name(purpose), attempts[i].name, status);
	}
	fflush(stdout);
	return failed;
}
