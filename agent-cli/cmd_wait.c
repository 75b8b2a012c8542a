/*
 * agent-cli wait RUN
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "follow.h"

struct await {
	const struct cli *cli;
	struct link link;
	struct output *out;
	struct waiting waiting;
	char *stage;
	bool over;
	bool unknown; /* there is no such run, or we may not know */
};

static void
written(size_t n, void *arg)
{
}

static void
broken(int fd, int error, void *arg)
{
	struct await *a = arg;

	complain("standard %s: %s", fd == STDOUT_FILENO ? "output" : "error",
	    strerror(error));
	link_done(&a->link, EXIT_FAILED);
}

static const struct output_ops output_ops = {
	.written = written,
	.broken = broken,
};

static void
stage(const struct msg_run_event *m, void *arg)
{
	struct await *a = arg;
	char *text = stage_text(m, a->cli->json);

	if (a->stage != NULL && strcmp(a->stage, text) == 0) {
		free(text);
		return;
	}
	if (a->cli->json)
		output_line(a->out, STDERR_FILENO, "%s", text);
	else
		output_stage(a->out, text);
	free(a->stage);
	a->stage = text;
}

static void
over(const struct msg_wait_answer *m, void *arg)
{
	struct await *a = arg;
	char *text = ending_text(m, NULL, a->cli->json);

	a->over = true;
	output_end(a->out);
	output_line(a->out, STDOUT_FILENO, "%s", text);
	free(text);
	if (!a->link.done)
		link_done(&a->link, class_status(m->class));
}

/* What else is refused says nothing of the run. */
static bool
refused(const struct msg_error *m, void *arg)
{
	struct await *a = arg;

	a->unknown =
	    strcmp(m->error, "no_run") == 0 || strcmp(m->error, "refused") == 0;
	return false;
}

static int
wait_for(struct await *a, const char *run)
{
	int r;

	if ((r = link_open(&a->link, a->cli)) != 0)
		return r;
	a->out = printed_new(a->link.base, false, &output_ops, a);
	if (a->out == NULL) {
		complain("out of memory");
		return EXIT_FAILED;
	}
	a->link.out = a->out;
	waiting_init(&a->waiting, &a->link);
	(void)strlcpy(a->waiting.run, run, sizeof(a->waiting.run));
	a->waiting.stage = stage;
	a->waiting.over = over;
	a->waiting.refused = refused;
	a->waiting.arg = a;
	request_ask(&a->waiting.r);
	r = link_loop(&a->link);
	link_hang_up(&a->link);
	output_end(a->out);
	output_flush(a->out);
	if (!a->over && !a->unknown)
		complain("run %s may go on: agent-cli wait %s", run, run);
	return r == EXIT_OK ? a->link.status : r;
}

int
cmd_wait(const struct cli *cli, int argc, char **argv)
{
	const char *run = option_run(argc, argv);
	struct await a = { .cli = cli };
	int r;

	if (run == NULL)
		return -1;
	r = wait_for(&a, run);
	printed_free(&a.out);
	link_close(&a.link);
	free(a.stage);
	return r;
}
