/* <stdlib.h>, and what libbsd adds to it elsewhere. */

#include_next <stdlib.h>

#ifndef COMPAT_STDLIB_H
#define COMPAT_STDLIB_H

void freezero(void *p, size_t len);
void *reallocarray(void *p, size_t n, size_t size);
void *recallocarray(void *p, size_t had, size_t n, size_t size);

#endif
