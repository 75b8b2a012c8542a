#ifndef TESTS_CONFIG_FIXTURE_H
#define TESTS_CONFIG_FIXTURE_H

/* A machine for configurations under test, and what a reader says to them. */

#include "egressd/egressd.h"

#include "tests/machine.h"
#include "tests/unit/conf_said.h"

static const char *fixture_resolv = "nameserver 192.0.2.1\n";
static const char *fixture_hosts = "";

static inline int
fixture_read_file(const char *path, size_t max, char **buf, size_t *len)
{
	const char *text = NULL;

	if (strcmp(path, "/etc/resolv.conf") == 0)
		text = fixture_resolv;
	else if (strcmp(path, "/hosts") == 0)
		text = fixture_hosts;
	return machine_file(text, max, buf, len);
}

static inline int
fixture_user(const char *name, uint32_t *uid)
{
	return machine_id(name, "queue", 4711, uid);
}

static inline int
fixture_group(const char *name, uint32_t *gid)
{
	return machine_id(name, "operators", 4712, gid);
}

static const struct egress_config_env fixture_env = {
	.read_file = fixture_read_file,
	.user = fixture_user,
	.group = fixture_group,
};

/*
 * Read text. said gets the errors, then the warnings ("warning: " in front),
 * a line each. NULL when there was an error; the handle is freed then.
 */
static inline struct egress_config *
fixture_read(const char *text, char said[SAID_MAX])
{
	struct egress_config *cfg;
	struct conf *c;

	cfg = egress_config_read_env("f", text, strlen(text), &fixture_env, &c);
	conf_said(c, cfg != NULL, said);
	return cfg;
}

#endif
