/*
 * agent-cli run [option...] PROMPT...
 */

#include <stdlib.h>
#include <string.h>

#include "libcommon/utf8.h"

#include "follow.h"

static const char *
or_default(const char *text)
{
	return text != NULL ? text : "";
}

static bool
is_utf8(const char *s)
{
	size_t len = strlen(s), n;
	uint32_t cp;

	for (; len > 0; s += n, len -= n)
		if ((n = utf8_decode(s, len, &cp)) == 0)
			return false;
	return true;
}

/* What msg.def takes, so that a limit is told as one. Returns 0 or -1. */
static int
check(const struct cli *cli)
{
	static const struct {
		const char *name;
		size_t max;
	} rows[] = { { "--repo", 512 }, { "--base", 255 }, { "--tool", 64 },
		{ "--profile", 64 }, { "--id", 64 } };
	const char *value;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		value = option_value(cli, rows[i].name);
		if (value != NULL && !is_utf8(value)) {
			complain("%s is no UTF-8", rows[i].name);
			return -1;
		}
		if (value != NULL && strlen(value) > rows[i].max) {
			complain(
			    "%s is above %zu bytes", rows[i].name, rows[i].max);
			return -1;
		}
	}
	if (option_value(cli, "--detach") != NULL &&
	    option_value(cli, "--bundle") != NULL) {
		complain("--bundle needs the end, which --detach leaves");
		return -1;
	}
	value = option_value(cli, "--bundle");
	if (value != NULL && !bundle_file_fits(value))
		return -1;
	return 0;
}

static int
options(const struct cli *cli, struct msg_run *m, char *id)
{
	const char *value = option_value(cli, "--deadline");
	char *shown;

	memset(m, 0, sizeof(*m));
	if (check(cli) == -1)
		return -1;
	if (value != NULL && option_duration(value, &m->deadline_ms) == -1) {
		shown = visible(value, strlen(value));
		complain("--deadline %s: not a time: seconds, or a number with "
		         "ms, s, m or h",
		    shown);
		free(shown);
		return -1;
	}
	m->repo = or_default(option_value(cli, "--repo"));
	m->base = or_default(option_value(cli, "--base"));
	m->tool = or_default(option_value(cli, "--tool"));
	m->profile = or_default(option_value(cli, "--profile"));
	if ((m->request = option_value(cli, "--id")) == NULL) {
		submit_random_id(id);
		m->request = id;
	}
	return 0;
}

int
cmd_run(const struct cli *cli, int argc, char **argv)
{
	const char *file = option_value(cli, "--prompt-file");
	char id[REQUEST_ID_LEN + 1];
	struct msg_run m;
	struct follow f;
	uint8_t *prompt;
	size_t len;
	int r;

	if (options(cli, &m, id) == -1 || (file == NULL) == (argc == 0))
		return -1;
	if ((prompt = prompt_read(file, argc, argv, &len)) == NULL)
		return EXIT_USAGE;
	if ((r = follow_open(&f, cli)) == 0) {
		f.submit.run = m;
		f.submit.prompt = prompt;
		f.submit.len = len;
		r = follow_run(&f);
	}
	follow_close(&f);
	free(prompt);
	return r;
}
