#ifndef TESTS_UNIT_CONF_SAID_H
#define TESTS_UNIT_CONF_SAID_H

/* What a reader said to a configuration. */

#include <check.h>
#include <stdbool.h>
#include <string.h>

#include "libcommon/conf.h"

#define SAID_MAX (64 * 1024)

/*
 * said gets the errors, then the warnings ("warning: " in front), a line each.
 * Frees the handle when nothing was taken, which has to be for an error.
 */
static inline void
conf_said(struct conf *c, bool taken, char said[SAID_MAX])
{
	size_t i;

	ck_assert_ptr_nonnull(c);
	said[0] = '\0';
	for (i = 0; i < conf_errors(c); i++) {
		strlcat(said, conf_error_text(c, i), SAID_MAX);
		strlcat(said, "\n", SAID_MAX);
	}
	for (i = 0; i < conf_warnings(c); i++) {
		strlcat(said, "warning: ", SAID_MAX);
		strlcat(said, conf_warning_text(c, i), SAID_MAX);
		strlcat(said, "\n", SAID_MAX);
	}
	ck_assert_int_eq(!taken, conf_errors(c) > 0);
	if (!taken)
		conf_free(&c);
}

#endif
