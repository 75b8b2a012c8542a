#ifndef TESTS_MACHINE_H
#define TESTS_MACHINE_H

/* What a configuration names, on a machine that a test plays. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* As fd_read_path of a file with this text; NULL: there is none. */
static inline int
machine_file(const char *text, size_t max, char **buf, size_t *len)
{
	if (text == NULL) {
		errno = ENOENT;
		return -1;
	}
	*len = strlen(text);
	if (*len > max) {
		errno = EFBIG;
		return -1;
	}
	*buf = strdup(text);
	return *buf != NULL ? 0 : -1;
}

/* The one user, or group, of that machine is called known. */
static inline int
machine_id(const char *name, const char *known, uint32_t number, uint32_t *id)
{
	if (strcmp(name, known) != 0)
		return -1;
	*id = number;
	return 0;
}

#endif
