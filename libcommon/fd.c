#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"

#define READ_CHUNK 4096 /* a file that grew is read by so much more */

int
fd_set_nonblock(int fd)
{
	int flags;

	if ((flags = fcntl(fd, F_GETFL)) == -1)
		return -1;
	return fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1 ? -1 : 0;
}

int
fd_set_cloexec(int fd)
{
	int flags;

	if ((flags = fcntl(fd, F_GETFD)) == -1)
		return -1;
	return fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == -1 ? -1 : 0;
}

/*
 * Make room behind *len bytes: at least one byte and a NUL, and never for more
 * than max + 1 bytes of contents, which is enough to see that max is exceeded.
 */
static int
grow(char **buf, size_t *cap, size_t len, size_t max)
{
	size_t want = len + READ_CHUNK;
	char *p;

	if (len + 1 < *cap)
		return 0;
	if (want > max + 1)
		want = max + 1;
	if ((p = realloc(*buf, want + 1)) == NULL)
		return -1;
	*buf = p;
	*cap = want + 1;
	return 0;
}

int
fd_read_file(int fd, size_t max, char **buf, size_t *len)
{
	struct stat st;
	char *b = NULL;
	size_t cap = 0, n = 0;
	ssize_t r = 0;
	int saved;

	if (fstat(fd, &st) == -1)
		return -1;
	if (!S_ISREG(st.st_mode) || max > SIZE_MAX / 2) {
		errno = EINVAL;
		return -1;
	}
	do {
		n += (size_t)r;
		if (n > max) {
			errno = EFBIG;
			goto fail;
		}
		if (grow(&b, &cap, n, max) == -1)
			goto fail;
		do
			r = read(fd, b + n, cap - 1 - n);
		while (r == -1 && errno == EINTR);
		if (r == -1)
			goto fail;
	} while (r > 0);
	b[n] = '\0';
	*buf = b;
	*len = n;
	return 0;
fail:
	saved = errno;
	free(b);
	errno = saved;
	return -1;
}

/*
 * O_NONBLOCK keeps a FIFO or a device from holding us up in open; for the
 * regular file that remains behind fstat it means nothing.
 */
int
fd_read_path(const char *path, size_t max, char **buf, size_t *len)
{
	int fd, r, saved;

	if ((fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)) ==
	    -1)
		return -1;
	r = fd_read_file(fd, max, buf, len);
	saved = errno;
	close(fd);
	errno = saved;
	return r;
}

static int
unix_address(const char *path, struct sockaddr_un *sun)
{
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	if (path[0] == '\0') {
		/* Would be the abstract or the autobind address. */
		errno = ENOENT;
		return -1;
	}
	if (strlcpy(sun->sun_path, path, sizeof(sun->sun_path)) >=
	    sizeof(sun->sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return 0;
}

static int
unix_socket(void)
{
	int fd, saved;

	if ((fd = socket(AF_UNIX, SOCK_STREAM, 0)) == -1)
		return -1;
	if (fd_set_cloexec(fd) == -1) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/*
 * Remove what is at path if it is a socket on which nobody listens, so that a
 * daemon that was killed can start again. Everything else there stays: lstat
 * and unlink do not follow a link, and a full backlog (EAGAIN) or a socket
 * that we may not connect to is a live one.
 */
static int
remove_dead_socket(const char *path, const struct sockaddr_un *sun)
{
	struct stat st;
	int fd, r;

	if (lstat(path, &st) == -1)
		return -1;
	if (!S_ISSOCK(st.st_mode)) {
		errno = ENOTSOCK;
		return -1;
	}
	if ((fd = unix_socket()) == -1)
		return -1;
	if (fd_set_nonblock(fd) == -1) {
		close(fd);
		return -1;
	}
	r = connect(fd, (const struct sockaddr *)sun, sizeof(*sun));
	if (r == 0 || errno != ECONNREFUSED) {
		close(fd);
		errno = EADDRINUSE;
		return -1;
	}
	close(fd);
	return unlink(path);
}

/*
 * The mode is made by the umask and not by chmod, so that the socket never
 * exists with another one and no link that replaced it is followed.
 */
static int
bind_mode_0666(int fd, const struct sockaddr_un *sun)
{
	mode_t mask;
	int r, saved;

	mask = umask(0111);
	r = bind(fd, (const struct sockaddr *)sun, sizeof(*sun));
	saved = errno;
	umask(mask);
	errno = saved;
	return r;
}

int
fd_listen_unix(const char *path, int backlog)
{
	struct sockaddr_un sun;
	int fd, r, saved;

	if (unix_address(path, &sun) == -1 || (fd = unix_socket()) == -1)
		return -1;
	r = fd_set_nonblock(fd);
	if (r == 0)
		r = bind_mode_0666(fd, &sun);
	if (r == -1 && errno == EADDRINUSE) {
		r = remove_dead_socket(path, &sun);
		if (r == 0)
			r = bind_mode_0666(fd, &sun);
	}
	if (r == 0)
		r = listen(fd, backlog);
	if (r == -1) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

int
fd_connect_unix(const char *path)
{
	struct sockaddr_un sun;
	int fd, r, saved;

	if (unix_address(path, &sun) == -1 || (fd = unix_socket()) == -1)
		return -1;
	r = fd_set_nonblock(fd);
	/* A Unix connect that a signal broke off has not happened. */
	while (r == 0) {
		r = connect(fd, (const struct sockaddr *)&sun, sizeof(sun));
		if (r == 0 || errno != EINTR)
			break;
		r = 0;
	}
	if (r == -1) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

int
fd_space(int fd, int64_t *bytes)
{
	struct statvfs st;
	int r;

	do
		r = fstatvfs(fd, &st);
	while (r == -1 && errno == EINTR);
	if (r == -1)
		return -1;
	if (st.f_frsize != 0 && st.f_bavail > INT64_MAX / st.f_frsize)
		*bytes = INT64_MAX;
	else
		*bytes = (int64_t)(st.f_bavail * st.f_frsize);
	return 0;
}
