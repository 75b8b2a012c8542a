/*
 * agent-cli stop RUN
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "show.h"

static void
print_json(const char *run, const char *state)
{
	struct json_writer *w = json_writer_new(OBJECT_MAX);
	char *text;

	json_open_object(w);
	show_text(w, "run", run);
	show_text(w, "state", state);
	json_close_object(w);
	text = show_object(&w);
	(void)printf("%s\n", text);
	free(text);
}

int
cmd_stop(const struct cli *cli, int argc, char **argv)
{
	const char *run = option_run(argc, argv), *state;
	struct msg m = { .type = MSG_TYPE_stop }, a;
	char *shown;
	int r;

	if (run == NULL)
		return -1;
	m.u.stop.run = run;
	if ((r = daemon_ask(cli, &m, &a)) != 0)
		return r;
	state = a.u.stop_answer.state;
	shown = visible(state, strlen(state));
	if (cli->json)
		print_json(run, state);
	else if (strcmp(state, "DONE") == 0)
		(void)printf("%s was over\n", run);
	else
		(void)printf("%s was %s and is being stopped\n", run, shown);
	free(shown);
	msg_free(&a);
	return EXIT_OK;
}
