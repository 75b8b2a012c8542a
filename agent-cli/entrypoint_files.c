/* The few files that PID 1 makes, beside the workspace. */

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"

#include "entrypoint_tool.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Where the families of distributions keep their roots. */
static const char *const system_roots[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem"
};

int
private_dir(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) == 0)
		return 0;
	if (errno != EEXIST)
		return -1;
	if (lstat(path, &st) == -1)
		return -1;
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid()) {
		errno = ENOTDIR;
		return -1;
	}
	return chmod(path, 0700);
}

static int
write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;
	ssize_t n;

	while (len > 0) {
		if ((n = write(fd, p, len)) == -1) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
open_new(const char *path)
{
	if (unlink(path) == -1 && errno != ENOENT)
		return -1;
	return open(
	    path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static int
close_or_remove(const char *path, int fd, int r)
{
	int err = errno;

	if (close(fd) == -1 && r == 0) {
		r = -1;
		err = errno;
	}
	if (r == -1)
		(void)unlink(path);
	errno = err;
	return r;
}

int
private_file(const char *path, const void *buf, size_t len)
{
	int fd;

	if ((fd = open_new(path)) == -1)
		return -1;
	return close_or_remove(path, fd, write_all(fd, buf, len));
}

int
roots_file(const char *path, const uint8_t *ca, size_t len)
{
	char *roots = NULL;
	size_t i, n = 0;
	int fd, r;

	for (i = 0; i < COUNT(system_roots); i++)
		if (fd_read_path(system_roots[i], TOOL_ROOTS_MAX, &roots, &n) ==
		    0)
			break;
	if ((fd = open_new(path)) == -1) {
		free(roots);
		return -1;
	}
	r = roots != NULL ? write_all(fd, roots, n) : 0;
	/* A file that does not end its last line would eat our first. */
	if (r == 0)
		r = write_all(fd, "\n", 1);
	if (r == 0)
		r = write_all(fd, ca, len);
	free(roots);
	return close_or_remove(path, fd, r);
}
