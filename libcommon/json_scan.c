/* What yajl would let pass: see json_scan.h. Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "libcommon/json_scan.h"
#include "libcommon/utf8.h"

/* The four hexadecimal digits behind "\u", or -1. */
static int32_t
hex4(const unsigned char *s, size_t len)
{
	int32_t n, d;
	int i;

	if (len < 4)
		return -1;
	n = 0;
	for (i = 0; i < 4; i++) {
		if (s[i] >= '0' && s[i] <= '9')
			d = s[i] - '0';
		else if (s[i] >= 'a' && s[i] <= 'f')
			d = s[i] - 'a' + 10;
		else if (s[i] >= 'A' && s[i] <= 'F')
			d = s[i] - 'A' + 10;
		else
			return -1;
		n = n << 4 | d;
	}
	return n;
}

/*
 * An escape at s[0] == '\\': *n is its bytes. Only what yajl gets wrong is
 * judged; whatever else is no escape is left to it.
 */
static const char *
scan_escape(const unsigned char *s, size_t len, size_t *n)
{
	int32_t high, low;

	*n = 1;
	if (len >= 2 && s[1] == '\\')
		*n = 2;
	if (len < 2 || s[1] != 'u')
		return NULL;
	high = hex4(s + 2, len - 2);
	if (high == -1)
		return NULL;
	*n = 6;
	if (high == 0)
		return "NUL in a string";
	if (high < 0xd800 || high > 0xdfff)
		return NULL;
	if (high <= 0xdbff && len >= 8 && s[6] == '\\' && s[7] == 'u') {
		low = hex4(s + 8, len - 8);
		*n = 12;
		if (low >= 0xdc00 && low <= 0xdfff)
			return NULL;
	}
	return "lone surrogate in a string";
}

/*
 * It does not matter here what is a string: outside one a backslash is an
 * error, or in a comment. Each value is the outermost, or stands behind an
 * opening bracket or a comma, which bounds their number.
 */
const char *
json_scan(const char *text, size_t len, size_t *values, size_t *off)
{
	const unsigned char *s = (const unsigned char *)text;
	const char *error;
	uint32_t cp;
	size_t i, n;

	*values = 1;
	error = NULL;
	for (i = 0; i < len && error == NULL; i += n) {
		*off = i;
		n = 1;
		if (s[i] >= 0x80) {
			n = utf8_decode(text + i, len - i, &cp);
			if (n == 0)
				error = "invalid UTF-8";
		} else if (s[i] == '\\') {
			error = scan_escape(s + i, len - i, &n);
		} else if (s[i] == ',' || s[i] == '[' || s[i] == '{') {
			(*values)++;
		} else if (s[i] < 0x20 && s[i] != '\t' && s[i] != '\n' &&
		    s[i] != '\r') {
			error = "control character";
		}
	}
	return error;
}

const char *
json_scan_tail(const char *s, size_t len, bool comments)
{
	const char *end;
	size_t i;

	i = 0;
	while (i < len) {
		if (s[i] == ' ' || s[i] == '\t' || s[i] == '\n' ||
		    s[i] == '\r') {
			i++;
			continue;
		}
		if (!comments || len - i < 2 || s[i] != '/')
			return "something behind the value";
		if (s[i + 1] == '/') {
			end = memchr(s + i, '\n', len - i);
			i = end == NULL ? len : (size_t)(end - s);
		} else if (s[i + 1] == '*') {
			end = memmem(s + i + 2, len - i - 2, "*/", 2);
			if (end == NULL)
				return "comment without an end";
			i = (size_t)(end - s) + 2;
		} else {
			return "something behind the value";
		}
	}
	return NULL;
}
