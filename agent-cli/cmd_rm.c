/*
 * agent-cli rm RUN
 */

#include <stdio.h>
#include <stdlib.h>

#include "cmd.h"
#include "show.h"

int
cmd_rm(const struct cli *cli, int argc, char **argv)
{
	const char *run = option_run(argc, argv);
	struct msg m = { .type = MSG_TYPE_rm }, a;
	struct json_writer *w;
	char *text;
	int r;

	if (run == NULL)
		return -1;
	m.u.rm.run = run;
	if ((r = daemon_ask(cli, &m, &a)) != 0)
		return r;
	msg_free(&a);
	if (!cli->json) {
		(void)printf("%s is removed\n", run);
		return EXIT_OK;
	}
	w = json_writer_new(OBJECT_MAX);
	json_open_object(w);
	show_text(w, "run", run);
	json_key(w, "removed");
	json_bool(w, true);
	json_close_object(w);
	text = show_object(&w);
	(void)printf("%s\n", text);
	free(text);
	return EXIT_OK;
}
