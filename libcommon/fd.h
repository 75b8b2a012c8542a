#ifndef LIBCOMMON_FD_H
#define LIBCOMMON_FD_H

/* Descriptors. Each returns -1 with errno on failure. */

#include <sys/socket.h>
#include <sys/types.h>

#include <stddef.h>
#include <stdint.h>

/* Flag of send and sendmsg: no SIGPIPE (see fd_no_sigpipe). */
#ifdef MSG_NOSIGNAL
#define FD_NOSIGNAL MSG_NOSIGNAL
#else
#define FD_NOSIGNAL 0
#endif

int fd_set_nonblock(int fd);
int fd_set_cloexec(int fd);
/* Close every descriptor >= low, except the one that the log writes to. */
void fd_close_from(int low);
/*
 * No SIGPIPE from writes to this socket, where the system has this as an
 * option of the socket; where it has MSG_NOSIGNAL, that is passed instead.
 */
int fd_no_sigpipe(int fd);
/*
 * socket(2) and accept(2): non-blocking, close-on-exec, and as fd_no_sigpipe
 * leaves it. A client that is gone before this is done is ECONNABORTED.
 */
int fd_socket(int domain, int type, int protocol);
int fd_accept(int fd);
/* pipe(2): close-on-exec; flags is 0 or O_NONBLOCK, for both ends. */
int fd_pipe(int fds[2], int flags);
/* dup2(2) of one descriptor to another: close-on-exec. */
int fd_dup(int from, int to);
/* recvmsg(2); the descriptors that come with it are close-on-exec. */
ssize_t fd_recvmsg(int fd, struct msghdr *mh);
/*
 * fsync(2) and fdatasync(2) down to the medium: where these leave data in the
 * cache of the drive, the call that empties it.
 */
int fd_sync(int fd);
int fd_sync_data(int fd);
/*
 * Read a whole regular file of at most max bytes; *buf is malloc'd with a NUL
 * behind it. EFBIG when larger.
 */
int fd_read_file(int fd, size_t max, char **buf, size_t *len);
/* The same by path; refuses what is no regular file (EINVAL). */
int fd_read_path(const char *path, size_t max, char **buf, size_t *len);
/*
 * Bind and listen on a Unix socket, mode 0666, in an existing directory;
 * non-blocking, close-on-exec. A dead socket file there is replaced; a live
 * one is EADDRINUSE, anything else ENOTSOCK.
 */
int fd_listen_unix(const char *path, int backlog);
/* Let an IPv4 socket be bound to an address that no interface has (yet). */
int fd_freebind(int fd);
/*
 * Bytes that an unprivileged user can still write on the file system of an
 * open file or directory.
 */
int fd_space(int fd, int64_t *bytes);
/*
 * Connect to one, non-blocking, close-on-exec. It is connected at once or not
 * at all: EAGAIN when as many wait there as may.
 */
int fd_connect_unix(const char *path);

#endif
