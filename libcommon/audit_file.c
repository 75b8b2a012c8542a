/*
 * The record file under the audit process: it is opened by the parent, and
 * from then on only its descriptor is known.
 */

#include <sys/types.h>

#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/audit.h"
#include "libcommon/audit_internal.h"
#include "libcommon/clock.h"
#include "libcommon/fd.h"
#include "libcommon/log.h"
#include "libcommon/mem.h"
#include "libcommon/proc.h"

#define AUDIT_READ_BYTES (256 * 1024) /* at a time, to verify it */
#define AUDIT_LOCK_MS 3000 /* an old instance leaves meanwhile */
#define AUDIT_LOCK_RETRY_MS 50

/*
 * The name of a new file is on the disk only when its directory is: without
 * it a power cut takes the file and every record in it, synced or not. It is
 * done for a file that was there, too: who made it may have died in between.
 */
static int
sync_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir;
	int e = 0, fd;

	if (slash == NULL)
		dir = xstrdup(".");
	else
		dir = xasprintf("%.*s/", (int)(slash - path), path);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(dir);
	if (fd == -1)
		return -1;
	/* A file system that cannot do it says EINVAL. */
	if (fd_sync(fd) == -1 && errno != EINVAL)
		e = errno;
	(void)close(fd);
	errno = e;
	return e == 0 ? 0 : -1;
}

int
audit_open(const char *path, uid_t uid, gid_t gid)
{
	const int flags =
	    O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	struct stat st;
	int fd, e;

	/* The mode is what it says whatever the umask: only for a new file. */
	fd = open(path, flags | O_CREAT | O_EXCL, 0640);
	if (fd != -1 && fchmod(fd, 0640) == -1)
		goto fail;
	if (fd == -1 && errno == EEXIST)
		fd = open(path, flags);
	if (fd == -1 || fstat(fd, &st) == -1)
		goto fail;
	if (!S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		goto fail;
	}
	if (geteuid() == 0 && fchown(fd, uid, gid) == -1)
		goto fail;
	if (sync_directory(path) == -1)
		goto fail;
	return fd;
fail:
	e = errno;
	if (fd != -1)
		(void)close(fd);
	errno = e;
	return -1;
}

/*
 * Two daemons that append to one file would break its chain. The lock is that
 * of the open file: it ends when the last process that holds it does.
 */
void
audit_file_lock(int fd)
{
	int64_t end = clock_boot_ms() + AUDIT_LOCK_MS;

	while (flock(fd, LOCK_EX | LOCK_NB) == -1) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			fatal("flock of the record file");
		if (clock_boot_ms() >= end) {
			log_warnx("the record file is in use by another "
			          "instance: it holds its lock");
			_exit(EXIT_SYSTEM);
		}
		(void)usleep(AUDIT_LOCK_RETRY_MS * 1000);
	}
}

/* Returns what pread(2) does. */
static ssize_t
read_at(int fd, void *buf, size_t len, off_t off)
{
	ssize_t n;

	do
		n = pread(fd, buf, len, off);
	while (n == -1 && errno == EINTR);
	return n;
}

/* A short write is tried again to learn why it was short. */
size_t
audit_file_write(struct audit_file *f, const char *buf, size_t len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = write(f->fd, buf + done, len - done);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	f->size += (off_t)done;
	return done;
}

const char *
audit_file_check(const struct audit_file *f)
{
	struct stat st;

	if (fstat(f->fd, &st) == -1)
		return strerror(errno);
	if (st.st_nlink == 0)
		return "the record file was removed";
	if (st.st_size < f->size)
		return "the record file was truncated";
	if (st.st_size > f->size)
		return "somebody else wrote to the record file";
	return NULL;
}

int
audit_file_hash(const struct audit_file *f, off_t off, struct audit_span *s)
{
	static char buf[AUDIT_LINE_MAX];
	ssize_t n;

	if (audit_span_reset(s) == -1)
		goto broken;
	while (off < f->size) {
		if ((n = read_at(f->fd, buf, sizeof(buf), off)) == -1)
			return -1;
		if (n == 0 || audit_span_add(s, buf, (size_t)n) == -1)
			goto broken;
		off += n;
	}
	return 0;
broken:
	errno = EIO;
	return -1;
}

void
audit_file_verify(struct audit_file *f, struct audit_verify *v)
{
	char *buf = xmalloc(AUDIT_READ_BYTES);
	ssize_t n;

	f->size = 0;
	while ((n = read_at(f->fd, buf, AUDIT_READ_BYTES, f->size)) > 0) {
		f->size += n;
		if (audit_verify_feed(v, buf, (size_t)n) == -1)
			break;
	}
	if (n == -1)
		fatal("reading the record file");
	free(buf);
}
