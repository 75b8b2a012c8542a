/* <string.h>, and what the C library adds to it elsewhere. */

#include_next <string.h>

#ifndef COMPAT_STRING_H
#define COMPAT_STRING_H

void explicit_bzero(void *p, size_t len);

#endif
