#ifndef TESTS_FUZZ_CONF_CHECK_H
#define TESTS_FUZZ_CONF_CHECK_H

/* What holds of every text that was read as a configuration named "fuzz". */

#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "libcommon/conf.h"

static inline void
conf_check_text(const char *text)
{
	const char *p;

	assert(strncmp(text, "fuzz:", 5) == 0);
	for (p = text; *p != '\0'; p++)
		assert(*p >= 0x20 && *p <= 0x7e);
}

/* Refused is it with a reason, and only then; each printable, on one line. */
static inline void
conf_check(const struct conf *c, bool taken)
{
	size_t i;

	assert(!taken == (conf_errors(c) > 0));
	for (i = 0; i < conf_errors(c); i++)
		conf_check_text(conf_error_text(c, i));
	for (i = 0; i < conf_warnings(c); i++)
		conf_check_text(conf_warning_text(c, i));
}

#endif
