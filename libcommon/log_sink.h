#ifndef LIBCOMMON_LOG_SINK_H
#define LIBCOMMON_LOG_SINK_H

/* Where log.c's lines go. Private to it. */

#include <sys/types.h>

#include <stddef.h>

/*
 * Open the sink: a socket to syslog or the journal, or with debug (or without
 * such a socket) stderr. Everything that a later write needs to know is found
 * out here, before the sandbox.
 */
void log_sink_open(int debug);
/* Are lines for syslog, which wants a priority in front? */
int log_sink_is_syslog(void);
/* The descriptor that log_sink_open made; -1 when it made none. */
int log_sink_fd(void);
/*
 * Write one line, newline included. Never waits. Returns 0 when it went out,
 * else -1.
 */
int log_sink_write(const char *line, size_t len);

/* --- log_sink_{linux,darwin}.c ---------------------------------------- */

/* Where the system's log listens, for datagrams. */
extern const char log_sink_syslog[];

/*
 * The terminal that fd is, opened once more with a non-blocking mode that is
 * ours alone; -1 when this cannot be had.
 */
int log_sink_reopen(int fd);
/* Write to a pipe that others share, without waiting. As write(2). */
ssize_t log_sink_write_nowait(int fd, const char *line, size_t len);

#endif
