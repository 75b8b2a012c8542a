#ifndef LIBCOMMON_MEM_H
#define LIBCOMMON_MEM_H

/*
 * Allocation for start-up and configuration, where failing is the end anyway:
 * these exit EXIT_SYSTEM when memory is out. Code that a client drives calls
 * malloc and handles NULL.
 */

#include <stddef.h>

void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xreallocarray(void *p, size_t n, size_t size);
char *xstrdup(const char *s);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
