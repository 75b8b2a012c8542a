#ifndef TESTS_DISPATCH_FIXTURE_H
#define TESTS_DISPATCH_FIXTURE_H

/* A machine for configurations under test, and what a reader says to them. */

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dispatchd/dispatchd.h"

#define SAID_MAX (64 * 1024)

static const char *fixture_ca =
    "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";

static inline int
fixture_read_file(const char *path, size_t max, char **buf, size_t *len)
{
	const char *text = NULL;

	if (strcmp(path, "/ca.pem") == 0)
		text = fixture_ca;
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

static inline int
fixture_user(const char *name, uint32_t *uid)
{
	if (strcmp(name, "operator") != 0)
		return -1;
	*uid = 4711;
	return 0;
}

static inline int
fixture_group(const char *name, uint32_t *gid)
{
	if (strcmp(name, "bulkhead") != 0)
		return -1;
	*gid = 4712;
	return 0;
}

static const struct dispatch_config_env fixture_env = {
	.read_file = fixture_read_file,
	.user = fixture_user,
	.group = fixture_group,
};

/*
 * Read text. said gets the errors, then the warnings ("warning: " in front),
 * a line each. NULL when there was an error; the handle is freed then.
 */
static inline struct dispatch_config *
fixture_read(const char *text, char said[SAID_MAX])
{
	struct dispatch_config *cfg;
	struct conf *c;
	size_t i;

	cfg =
	    dispatch_config_read_env("f", text, strlen(text), &fixture_env, &c);
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
	ck_assert_int_eq(cfg == NULL, conf_errors(c) > 0);
	if (cfg == NULL)
		conf_free(&c);
	return cfg;
}

#endif
