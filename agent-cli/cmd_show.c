/*
 * agent-cli show [--bundle FILE] RUN
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "follow.h"
#include "show.h"

/* A line of outside text; none where there is nothing. */
static void
field(const char *key, const char *value)
{
	char *shown;

	if (value == NULL || value[0] == '\0')
		return;
	shown = visible(value, strlen(value));
	(void)printf("%-12s %s\n", key, shown);
	free(shown);
}

static void
map(const char *key, const struct msg_map *m)
{
	char *k, *v;
	size_t i;

	for (i = 0; i < m->n; i++) {
		k = visible(m->k[i], strlen(m->k[i]));
		v = visible(m->v[i], strlen(m->v[i]));
		(void)printf("%-12s %s: %s\n", i == 0 ? key : "", k, v);
		free(k);
		free(v);
	}
}

static void
print_people(const struct msg_show_answer *m)
{
	field("run", m->run);
	field("state", m->state);
	field("waits for", m->why);
	field("class", m->class);
	field("reason", m->reason);
	if (m->exit_code >= 0)
		(void)printf("%-12s %" PRId64 "\n", "exit code", m->exit_code);
	field("profile", m->profile);
	field("tool", m->tool);
	field("repo", m->repo);
	field("base", m->base);
	field("base commit", m->base_commit);
	field("head", m->head);
	field("branch", m->branch);
	field("bundle", m->bundle_path);
	if (m->bundle_path[0] != '\0')
		(void)printf("%-12s %" PRId64 " bytes\n", "", m->bundle_bytes);
	field("sha256", m->bundle_sha256);
	map("proof", &m->proof);
	(void)printf("%-12s %" PRId64 " allowed, %" PRId64 " denied, %" PRId64
	             " bytes up, %" PRId64 " bytes down\n",
	    "egress", m->allowed, m->denied, m->bytes_up, m->bytes_down);
	map("denied", &m->denials);
	(void)printf("%-12s %" PRId64 " bytes, %" PRId64 " kept, %" PRId64
	             " dropped\n",
	    "log", m->log_bytes, m->log_kept, m->log_dropped);
	map("times", &m->times);
}

/* --- the bundle --------------------------------------------------------- */

static void
fetched(int status, void *arg)
{
	link_done(arg, status);
}

static int
fetch(const struct cli *cli, const char *file, const char *run,
    const char *sha256)
{
	struct bundle b = { .fd = -1 };
	struct link l;
	int r;

	if ((r = link_open(&l, cli)) == 0) {
		bundle_init(&b, &l, file);
		(void)strlcpy(b.run, run, sizeof(b.run));
		(void)strlcpy(b.want, sha256, sizeof(b.want));
		b.over = fetched;
		b.arg = &l;
		request_ask(&b.r);
		r = link_loop(&l);
	}
	bundle_free(&b);
	link_close(&l);
	return r;
}

int
cmd_show(const struct cli *cli, int argc, char **argv)
{
	const char *file = option_value(cli, "--bundle");
	const char *run = option_run(argc, argv);
	struct msg m = { .type = MSG_TYPE_show }, a;
	char *text;
	int r;

	if (run == NULL || (file != NULL && !bundle_file_fits(file)))
		return -1;
	m.u.show.run = run;
	if ((r = daemon_ask(cli, &m, &a)) != 0)
		return r;
	if (cli->json) {
		text = show_run(&a.u.show_answer);
		(void)printf("%s\n", text);
		free(text);
	} else {
		print_people(&a.u.show_answer);
	}
	(void)fflush(stdout);
	if (file != NULL)
		r = fetch(cli, file, run, a.u.show_answer.bundle_sha256);
	msg_free(&a);
	return r;
}
