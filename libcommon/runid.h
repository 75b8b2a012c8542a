#ifndef LIBCOMMON_RUNID_H
#define LIBCOMMON_RUNID_H

/*
 * The id of a run: 12 characters of a-z and 2-7, 60 bits of chance. Names of
 * networks, containers, directories and interfaces derive from it.
 */

#include <stdbool.h>

#define RUNID_LEN 12

bool runid_valid(const char *s);

#endif
