#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "log_sink.h"
#include "proc.h"

#define IDENT_MAX 64 /* "egressd/resolver" and room */
#define LOST_MAX 48 /* " (N lines lost before)" */

static char self[IDENT_MAX] = "bulkhead";
static int debugging;
static int verbosity;
static unsigned long lost; /* lines since the last that passed */

void
log_init(const char *ident, int debug, int verbose)
{
	debugging = debug;
	verbosity = verbose;
	log_set_ident(ident);
	log_sink_open(debug);
	signal(SIGPIPE, SIG_IGN);
}

void
log_set_ident(const char *ident)
{
	strlcpy(self, ident, sizeof(self));
}

int
log_verbose(void)
{
	return verbosity;
}

int
log_debugging(void)
{
	return debugging;
}

int
log_fd(void)
{
	return log_sink_fd();
}

static char
hex_digit(unsigned n)
{
	return "0123456789abcdef"[n & 15];
}

/*
 * Escape src into dst, whole escapes only, and stop where it is full. A
 * backslash is doubled when the caller wants to be able to reverse it. Returns
 * the length written; *used is how much of src that was.
 */
static size_t
escape(char *dst, size_t dstlen, const unsigned char *src, size_t len,
    bool reversible, size_t *used)
{
	size_t i, n = 0, need;

	for (i = 0; i < len && dstlen > 0; i++) {
		if (src[i] < 0x20 || src[i] > 0x7e)
			need = 4;
		else
			need = reversible && src[i] == '\\' ? 2 : 1;
		if (n + need >= dstlen)
			break;
		if (need == 1) {
			dst[n++] = (char)src[i];
			continue;
		}
		dst[n++] = '\\';
		if (need == 2) {
			dst[n++] = '\\';
			continue;
		}
		dst[n++] = 'x';
		dst[n++] = hex_digit(src[i] >> 4);
		dst[n++] = hex_digit(src[i]);
	}
	if (dstlen > 0)
		dst[n] = '\0';
	*used = i;
	return n;
}

size_t
log_escape(char *dst, size_t dstlen, const void *src, size_t len)
{
	size_t used;

	return escape(dst, dstlen, src, len, true, &used);
}

/*
 * What stands before the text. Syslog and the journal put their own time to a
 * line; with a time zone's they would open its file.
 */
static size_t
put_prefix(char *line, size_t size, int priority)
{
	char now[CLOCK_RFC3339_LEN];
	int n;

	if (log_sink_is_syslog()) {
		n = snprintf(line, size, "<%d>%s[%ld]: ", LOG_DAEMON | priority,
		    self, (long)getpid());
	} else if (debugging) {
		clock_rfc3339(now);
		n = snprintf(
		    line, size, "%s %s[%ld]: ", now, self, (long)getpid());
	} else
		n = snprintf(line, size, "%s: ", self);
	return n < 0 ? 0 : (size_t)n;
}

/*
 * The finished line, at most LOG_LINE_MAX bytes with its newline: a text that
 * does not fit is cut at a whole escape and marked. Returns its length.
 */
static size_t
put_line(char line[LOG_LINE_MAX + 1], int priority, const char *text,
    size_t len, bool cut)
{
	char tail[LOST_MAX] = "";
	size_t n, room, tail_len, used;

	if (lost > 0)
		snprintf(tail, sizeof(tail), " (%lu lines lost before)", lost);
	tail_len = strlen(tail);
	n = put_prefix(line, LOG_LINE_MAX / 2, priority);
	room = LOG_LINE_MAX - n - tail_len - sizeof("...\n") + 1;
	n += escape(
	    line + n, room + 1, (const unsigned char *)text, len, false, &used);
	if (cut || used < len) {
		/* NOLINTNEXTLINE(bugprone-not-null-terminated-result) */
		memcpy(line + n, "...", 3);
		n += 3;
	}
	memcpy(line + n, tail, tail_len);
	n += tail_len;
	line[n++] = '\n';
	return n;
}

/*
 * One line, one write. Neither this nor anything under it allocates, opens a
 * file or looks at the locale. errno is left as it was.
 */
static void __attribute__((format(printf, 4, 0)))
emit(int priority, const char *label, int err, const char *fmt, va_list ap)
{
	char text[LOG_LINE_MAX], line[LOG_LINE_MAX + 1];
	int n, saved = errno;
	size_t len, line_len;
	bool cut;

	n = snprintf(text, sizeof(text), "%s: ", label);
	len = n < 0 ? 0 : (size_t)n;
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): a parameter */
	n = vsnprintf(text + len, sizeof(text) - len, fmt, ap);
	len += n < 0 ? 0 : (size_t)n;
	if (err != 0 && len < sizeof(text)) {
		n = snprintf(
		    text + len, sizeof(text) - len, ": %s", strerror(err));
		len += n < 0 ? 0 : (size_t)n;
	}
	cut = len >= sizeof(text);
	if (cut)
		len = sizeof(text) - 1;
	line_len = put_line(line, priority, text, len, cut);
	if (log_sink_write(line, line_len) == 0)
		lost = 0;
	else
		lost++;
	errno = saved;
}

void
log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_WARNING, "warning", errno, fmt, ap);
	va_end(ap);
}

void
log_warnx(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_WARNING, "warning", 0, fmt, ap);
	va_end(ap);
}

void
log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_INFO, "info", 0, fmt, ap);
	va_end(ap);
}

void
log_debug(const char *fmt, ...)
{
	va_list ap;

	if (verbosity < 1)
		return;
	va_start(ap, fmt);
	emit(LOG_DEBUG, "debug", 0, fmt, ap);
	va_end(ap);
}

void
log_trace(const char *fmt, ...)
{
	va_list ap;

	if (verbosity < 2)
		return;
	va_start(ap, fmt);
	emit(LOG_DEBUG, "trace", 0, fmt, ap);
	va_end(ap);
}

void
fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_ERR, "fatal", errno, fmt, ap);
	va_end(ap);
	_exit(EXIT_SYSTEM);
}

void
fatalx(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_ERR, "fatal", 0, fmt, ap);
	va_end(ap);
	_exit(EXIT_INTERNAL);
}

void
panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_CRIT, "bug", 0, fmt, ap);
	va_end(ap);
	_exit(EXIT_INTERNAL);
}
