/*
 * agent-cli logs [-f] [--since OFFSET] [--raw] RUN
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "follow.h"

struct reading {
	struct link link;
	struct output *out;
	struct logs logs;
	struct waiting waiting; /* for one that has not begun */
	bool over; /* the run is */
};

static void
written(size_t n, void *arg)
{
	struct reading *g = arg;

	logs_written(&g->logs, n);
}

static void
broken(int fd, int error, void *arg)
{
	struct reading *g = arg;

	complain("standard %s: %s", fd == STDOUT_FILENO ? "output" : "error",
	    strerror(error));
	link_done(&g->link, EXIT_FAILED);
}

static const struct output_ops output_ops = {
	.written = written,
	.broken = broken,
};

static void
again(struct reading *g)
{
	if (!g->logs.r.wanted)
		request_ask(&g->logs.r);
}

static void
stage(const struct msg_run_event *m, void *arg)
{
	again(arg);
}

/* If there was output, it is there now. */
static void
wait_over(const struct msg_wait_answer *m, void *arg)
{
	struct reading *g = arg;

	g->over = true;
	again(g);
}

static void
logs_over(void *arg)
{
	struct reading *g = arg;

	if (!g->logs.missing || g->over) {
		link_done(&g->link, EXIT_OK);
		return;
	}
	logs_again_later(&g->logs, LOGS_AGAIN_MS);
	if (!g->waiting.r.wanted)
		request_ask(&g->waiting.r);
}

static int
follow(struct reading *g)
{
	int status;

	request_ask(&g->logs.r);
	status = link_loop(&g->link);
	link_hang_up(&g->link);
	output_end(g->out);
	output_flush(g->out);
	return status == EXIT_OK ? g->link.status : status;
}

static int
reading_open(struct reading *g, const struct cli *cli, const char *run)
{
	struct link *l = &g->link;
	int r;

	memset(g, 0, sizeof(*g));
	if ((r = link_open(l, cli)) != 0)
		return r;
	g->out = printed_new(
	    l->base, option_value(cli, "--raw") != NULL, &output_ops, g);
	if (g->out == NULL) {
		complain("out of memory");
		return EXIT_FAILED;
	}
	l->out = g->out;
	logs_init(&g->logs, l, g->out);
	(void)strlcpy(g->logs.run, run, sizeof(g->logs.run));
	g->logs.over = logs_over;
	waiting_init(&g->waiting, l);
	(void)strlcpy(g->waiting.run, run, sizeof(g->waiting.run));
	g->waiting.stage = stage;
	g->waiting.over = wait_over;
	g->logs.arg = g->waiting.arg = g;
	return 0;
}

int
cmd_logs(const struct cli *cli, int argc, char **argv)
{
	const char *since = option_value(cli, "--since"), *bad = NULL;
	const char *run = option_run(argc, argv);
	struct reading g;
	int64_t at = 0;
	char *shown;
	int r;

	if (run == NULL)
		return -1;
	if (since != NULL)
		at = strtonum(since, 0, INT64_MAX, &bad);
	if (bad != NULL) {
		shown = visible(since, strlen(since));
		complain("--since %s: %s", shown, bad);
		free(shown);
		return -1;
	}
	if ((r = reading_open(&g, cli, run)) == 0) {
		g.logs.at = at;
		g.logs.follow = g.logs.may_miss =
		    option_value(cli, "-f") != NULL;
		r = follow(&g);
	}
	logs_free(&g.logs);
	printed_free(&g.out);
	link_close(&g.link);
	return r;
}
