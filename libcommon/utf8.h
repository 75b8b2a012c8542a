#ifndef LIBCOMMON_UTF8_H
#define LIBCOMMON_UTF8_H

/* UTF-8 by RFC 3629, strictly. */

#include <stddef.h>
#include <stdint.h>

/*
 * The first code point of text: in its shortest form, no surrogate, not above
 * U+10FFFF. Returns how many bytes it takes, or 0 when there is none.
 */
size_t utf8_decode(const char *text, size_t len, uint32_t *cp);

#endif
