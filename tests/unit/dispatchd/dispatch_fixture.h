#ifndef TESTS_DISPATCH_FIXTURE_H
#define TESTS_DISPATCH_FIXTURE_H

/* A machine for configurations under test, and what a reader says to them. */

#include "dispatchd/dispatchd.h"

#include "tests/machine.h"
#include "tests/unit/conf_said.h"

static const char *fixture_ca =
    "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";

static inline int
fixture_read_file(const char *path, size_t max, char **buf, size_t *len)
{
	const char *text = NULL;

	if (strcmp(path, "/ca.pem") == 0)
		text = fixture_ca;
	return machine_file(text, max, buf, len);
}

static inline int
fixture_user(const char *name, uint32_t *uid)
{
	return machine_id(name, "operator", 4711, uid);
}

static inline int
fixture_group(const char *name, uint32_t *gid)
{
	return machine_id(name, "bulkhead", 4712, gid);
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

	cfg =
	    dispatch_config_read_env("f", text, strlen(text), &fixture_env, &c);
	conf_said(c, cfg != NULL, said);
	return cfg;
}

#endif
