#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "log_sink.h"

#define FD_MIN 128 /* above what proc.c gives fixed numbers */

enum sink_kind {
	SINK_UNKNOWN, /* nobody called log_sink_open yet */
	SINK_FILE, /* takes a line at once, as a regular file does */
	SINK_SOCKET, /* stderr of a service is often one */
	SINK_PIPE, /* or a terminal that could not be opened again */
	SINK_SYSLOG
};

static const char *syslog_path = log_sink_syslog;
static enum sink_kind kind = SINK_UNKNOWN; /* what sink is */
static int sink = STDERR_FILENO;

static int
connect_syslog(void)
{
	struct sockaddr_un sun;
	int fd;

	if ((fd = socket(AF_UNIX, SOCK_DGRAM, 0)) == -1)
		return -1;
	memset(&sun, 0, sizeof(sun));
	sun.sun_family = AF_UNIX;
	strlcpy(sun.sun_path, syslog_path, sizeof(sun.sun_path));
	if (fd_set_nonblock(fd) == -1 ||
	    connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

/*
 * Out of the way of the fixed descriptors of a child, so that starting one
 * does not close the log under us.
 */
static int
move_high(int fd)
{
	int high;

	if ((high = fcntl(fd, F_DUPFD_CLOEXEC, FD_MIN)) == -1) {
		fd_set_cloexec(fd);
		return fd;
	}
	close(fd);
	return high;
}

static enum sink_kind
kind_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return SINK_FILE;
	if (S_ISSOCK(st.st_mode))
		return SINK_SOCKET;
	if (S_ISFIFO(st.st_mode) || isatty(fd))
		return SINK_PIPE;
	return SINK_FILE;
}

void
log_sink_open(int debug)
{
	int fd;

	if (sink != STDERR_FILENO)
		close(sink);
	sink = STDERR_FILENO;
	if (!debug && (fd = connect_syslog()) != -1) {
		sink = move_high(fd);
		kind = SINK_SYSLOG;
		return;
	}
	kind = kind_of(STDERR_FILENO);
	if (isatty(STDERR_FILENO) &&
	    (fd = log_sink_reopen(STDERR_FILENO)) != -1) {
		sink = move_high(fd);
		kind = SINK_FILE;
	}
}

int
log_sink_is_syslog(void)
{
	return kind == SINK_SYSLOG;
}

int
log_sink_fd(void)
{
	return sink == STDERR_FILENO ? -1 : sink;
}

static ssize_t
write_once(enum sink_kind k, int fd, const char *line, size_t len)
{
	switch (k) {
	case SINK_SYSLOG:
		/* A datagram ends by itself. */
		return send(fd, line, len - 1, MSG_DONTWAIT | FD_NOSIGNAL);
	case SINK_SOCKET:
		return send(fd, line, len, MSG_DONTWAIT | FD_NOSIGNAL);
	case SINK_PIPE:
		return log_sink_write_nowait(fd, line, len);
	case SINK_UNKNOWN:
	case SINK_FILE:
		break;
	}
	return write(fd, line, len);
}

/*
 * A line that was cut short counts as gone out: its reader has it on the
 * screen. A full queue of syslog loses the line; a syslog that is gone for
 * good, which cannot be reached again from a sandbox, leaves stderr.
 */
int
log_sink_write(const char *line, size_t len)
{
	ssize_t n;

	if (kind == SINK_UNKNOWN)
		kind = kind_of(sink);
	do
		n = write_once(kind, sink, line, len);
	while (n == -1 && errno == EINTR);
	if (n == -1 && kind == SINK_SYSLOG && errno != EAGAIN &&
	    errno != ENOBUFS)
		n = log_sink_write_nowait(STDERR_FILENO, line, len);
	return n == -1 ? -1 : 0;
}
