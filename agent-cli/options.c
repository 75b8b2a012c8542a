/* The options that a command has of its own, and forms that they share. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/runid.h"

#include "cmd.h"

static const struct {
	const char *command, *name;
	bool value;
} rows[] = {
	{ "logs", "-f", false },
	{ "logs", "--raw", false },
	{ "logs", "--since", true },
	{ "ps", "--all", false },
	{ "run", "--base", true },
	{ "run", "--bundle", true },
	{ "run", "--deadline", true },
	{ "run", "--detach", false },
	{ "run", "--id", true },
	{ "run", "--profile", true },
	{ "run", "--prompt-file", true },
	{ "run", "--raw", false },
	{ "run", "--repo", true },
	{ "run", "--tool", true },
	{ "show", "--bundle", true },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* What is given again replaces what was given before. */
static int
set(struct cli *cli, const char *name, const char *value)
{
	size_t i;

	for (i = 0; i < cli->nown; i++)
		if (strcmp(cli->own[i].name, name) == 0)
			break;
	if (i == OPTIONS_MAX) {
		complain("too many options");
		return -1;
	}
	if (i == cli->nown)
		cli->nown++;
	cli->own[i].name = name;
	cli->own[i].value = value;
	return 1;
}

int
option_own(struct cli *cli, const char *command, char **argv, int *i)
{
	const char *word = argv[*i], *value;
	size_t k, len = strcspn(word, "=");

	for (k = 0; k < COUNT(rows); k++)
		if (strcmp(rows[k].command, command) == 0 &&
		    strlen(rows[k].name) == len &&
		    strncmp(rows[k].name, word, len) == 0)
			break;
	if (k == COUNT(rows) || (!rows[k].value && word[len] == '='))
		return 0;
	if (!rows[k].value)
		return set(cli, rows[k].name, "");
	if (word[len] == '=')
		value = word + len + 1;
	else if ((value = argv[*i + 1]) != NULL)
		++*i;
	if (value == NULL || value[0] == '\0') {
		complain("%s needs a value", rows[k].name);
		return -1;
	}
	return set(cli, rows[k].name, value);
}

const char *
option_value(const struct cli *cli, const char *name)
{
	size_t i;

	for (i = 0; i < cli->nown; i++)
		if (strcmp(cli->own[i].name, name) == 0)
			return cli->own[i].value;
	return NULL;
}

int
option_duration(const char *text, int64_t *ms)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = { { "", 1000 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 },
		{ "h", 3600000 } };
	size_t i, digits = strspn(text, "0123456789");
	intmax_t n;

	errno = 0;
	n = strtoimax(text, NULL, 10);
	if (digits == 0 || errno != 0 || n <= 0)
		return -1;
	for (i = 0; i < COUNT(units); i++)
		if (strcmp(text + digits, units[i].unit) == 0)
			break;
	if (i == COUNT(units) || n > INT64_MAX / units[i].ms)
		return -1;
	*ms = n * units[i].ms;
	return 0;
}

const char *
option_run(int argc, char **argv)
{
	char *shown;

	if (argc != 1)
		return NULL;
	if (runid_valid(argv[0]))
		return argv[0];
	shown = visible(argv[0], strlen(argv[0]));
	complain("%s is no id of a run: %d characters of a-z and 2-7", shown,
	    RUNID_LEN);
	free(shown);
	return NULL;
}
