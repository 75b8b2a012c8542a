#ifndef LIBCOMMON_JSON_SCAN_H
#define LIBCOMMON_JSON_SCAN_H

/* Private to json.c: what yajl would let pass. */

#include <stdbool.h>
#include <stddef.h>

/*
 * Look at every byte of a text before yajl does: control characters, UTF-8,
 * and the escapes of NUL and of lone surrogates. *values is an upper bound of
 * the values in it. Returns NULL, or in words what is wrong at *off.
 */
const char *
json_scan(const char *text, size_t len, size_t *values, size_t *off);

/*
 * What is wrong with the text behind the value; NULL when it is only space
 * and, where they are admitted, whole comments.
 */
const char *json_scan_tail(const char *s, size_t len, bool comments);

#endif
