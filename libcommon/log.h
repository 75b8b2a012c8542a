#ifndef LIBCOMMON_LOG_H
#define LIBCOMMON_LOG_H

/*
 * The log. It never blocks: a line that the sink would not take at once is
 * dropped and counted, and the next line that passes says how many. One line
 * a call; control bytes and bytes above 0x7e in the finished line are escaped
 * as \xNN, so outside text may be passed as it is. Secrets never.
 */

#include <stddef.h>

#define LOG_LINE_MAX 1024 /* longer is cut, marked "..." */

/*
 * ident is "egressd" or "egressd/proxy"; debug means stderr instead of syslog
 * or the journal; verbose is the count of -v. Opens its sink: call it before
 * the sandbox. SIGPIPE is ignored from here: a closed stderr must not end us.
 */
void log_init(const char *ident, int debug, int verbose);
void log_set_ident(const char *ident);
int log_verbose(void);
int log_debugging(void); /* -d was given */
/* The sink's own descriptor, -1 when it has none. fd_close_from spares it. */
int log_fd(void);

void log_warn(const char *fmt, ...) /* appends strerror(errno) */
    __attribute__((format(printf, 1, 2)));
void log_warnx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) /* -v */
    __attribute__((format(printf, 1, 2)));
void log_trace(const char *fmt, ...) /* -vv: messages */
    __attribute__((format(printf, 1, 2)));

/* The system refused: logs with errno, exits EXIT_SYSTEM. */
void
fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Configuration or a sibling is wrong: exits EXIT_INTERNAL. */
void
fatalx(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
/* We are wrong: exits EXIT_INTERNAL, says "bug". */
void
panic(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/*
 * Outside bytes as printable ASCII: \ as \\, others outside 0x20..0x7e as
 * \xNN. Reversible. dst of 4 * len + 1 bytes always suffices; a shorter one
 * gets whole escapes only. Returns the length written.
 */
size_t log_escape(char *dst, size_t dstlen, const void *src, size_t len);

#endif
