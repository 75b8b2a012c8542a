#ifndef LIBCOMMON_PUNYCODE_H
#define LIBCOMMON_PUNYCODE_H

/* What stands behind "xn--" in a label (RFC 3492, RFC 5891). Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PUNYCODE_MAX 59 /* bytes behind "xn--", so code points too */

/*
 * Decode len bytes of lower-case punycode. Returns how many code points, or
 * -1: too long, no digit where one is due, an overflow, a code point beyond
 * U+10FFFF, a byte that is not ASCII. What decodes has no other encoding.
 */
int punycode_decode(const char *s, size_t len, uint32_t out[PUNYCODE_MAX]);

/*
 * Can "xn--" and these len bytes be an A-label, as far as this can be told
 * without the tables of IDNA? It decodes, not to ASCII alone, the hyphens
 * stand where RFC 5891 (4.2.3.1) lets them, and no character is among those
 * that no label may have and that deceive most: dots, blanks, invisible ones,
 * capitals of the common scripts.
 */
bool punycode_alabel_valid(const char *s, size_t len);

#endif
