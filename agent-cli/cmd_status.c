/*
 * agent-cli status [DAEMON...]
 */

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/json.h"

#include "cmd.h"

#define STATUS_MS 5000 /* connect, hello, answer */
#define OBJECT_MAX (1024 * 1024)
#define UPTIME_MAX 64

static const char *const daemons[] = { "egressd", "dispatchd" };
static const char *const later[] = { "brokerd", "bootstrapd" };

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* "1d 2h 3m 4s", from the largest unit that is not 0. */
static const char *
uptime(int64_t ms, char buf[UPTIME_MAX])
{
	int64_t s = ms / 1000;

	if (s >= 86400)
		(void)snprintf(buf, UPTIME_MAX,
		    "%" PRId64 "d %" PRId64 "h %" PRId64 "m %" PRId64 "s",
		    s / 86400, s / 3600 % 24, s / 60 % 60, s % 60);
	else if (s >= 3600)
		(void)snprintf(buf, UPTIME_MAX,
		    "%" PRId64 "h %" PRId64 "m %" PRId64 "s", s / 3600,
		    s / 60 % 60, s % 60);
	else if (s >= 60)
		(void)snprintf(buf, UPTIME_MAX, "%" PRId64 "m %" PRId64 "s",
		    s / 60, s % 60);
	else
		(void)snprintf(buf, UPTIME_MAX, "%" PRId64 "s", s);
	return buf;
}

/* A line of outside text behind our own; width pads the first part. */
static void
print_pair(const char *key, int width, const char *value)
{
	char *k = visible(key, strlen(key));
	char *v = visible(value, strlen(value));

	(void)printf("  %-*s%s%s\n", width, k, v[0] != '\0' ? "  " : "", v);
	free(k);
	free(v);
}

static void
print_people(const struct msg_status_answer *a)
{
	char up[UPTIME_MAX];
	char *name = visible(a->daemon, strlen(a->daemon));
	char *version = visible(a->version, strlen(a->version));
	size_t i, width = 0;

	(void)printf("%s %s, pid %" PRId64 ", up %s\n", name, version, a->pid,
	    uptime(a->uptime_ms, up));
	free(name);
	free(version);
	for (i = 0; i < a->state.n; i++)
		if (strlen(a->state.k[i]) > width)
			width = strlen(a->state.k[i]);
	for (i = 0; i < a->state.n; i++)
		print_pair(a->state.k[i], (int)width, a->state.v[i]);
	for (i = 0; i < a->warnings.n; i++)
		print_pair("warning:", 0, a->warnings.v[i]);
}

static int
print_json(const struct msg_status_answer *a)
{
	struct json_writer *w = json_writer_new(OBJECT_MAX);
	const char *text;
	size_t i, len;
	int r;

	json_open_object(w);
	json_key(w, "daemon");
	json_string(w, a->daemon);
	json_key(w, "version");
	json_string(w, a->version);
	json_key(w, "pid");
	json_int(w, a->pid);
	json_key(w, "uptime_ms");
	json_int(w, a->uptime_ms);
	json_key(w, "state");
	json_open_object(w);
	for (i = 0; i < a->state.n; i++) {
		json_key(w, a->state.k[i]);
		json_string(w, a->state.v[i]);
	}
	json_close_object(w);
	json_key(w, "warnings");
	json_open_array(w);
	for (i = 0; i < a->warnings.n; i++)
		json_string(w, a->warnings.v[i]);
	json_close_array(w);
	json_close_object(w);
	if ((r = json_writer_end(w, &text, &len)) == 0)
		(void)printf("%s\n", text);
	json_writer_free(&w);
	return r;
}

static int
status(const struct cli *cli, const char *name)
{
	struct daemon_link l;
	struct msg m = { .type = MSG_TYPE_status }, answer;
	int r;

	if ((r = daemon_open(&l, cli->run_dir, name, STATUS_MS)) == 0 &&
	    (r = daemon_call(&l, &m, &answer)) == 0) {
		if (!cli->json) {
			print_people(&answer.u.status_answer);
		} else if (print_json(&answer.u.status_answer) == -1) {
			complain("%s: the object cannot be written", name);
			r = EXIT_FAILED;
		}
		msg_free(&answer);
	} else if (r == EXIT_REFUSED) {
		complain("%s refused: %s", name, l.why);
	} else {
		complain("%s cannot be reached: %s", name, l.why);
	}
	daemon_close(&l);
	return r;
}

/* The table's own name of a daemon, or NULL after a complaint. */
static const char *
find(const char *name)
{
	char *shown;
	size_t i;

	for (i = 0; i < COUNT(daemons); i++)
		if (strcmp(daemons[i], name) == 0)
			return daemons[i];
	shown = visible(name, strlen(name));
	for (i = 0; i < COUNT(later); i++)
		if (strcmp(later[i], name) == 0)
			break;
	if (i < COUNT(later))
		complain("%s: not in this version", shown);
	else
		complain("there is no daemon %s", shown);
	free(shown);
	return NULL;
}

/* A machine need not have every daemon: is there a socket of this one? */
static bool
present(const struct cli *cli, const char *daemon)
{
	char path[PATH_MAX];
	int n;

	n = snprintf(path, sizeof(path), "%s/%s.sock", cli->run_dir, daemon);
	return n > 0 && (size_t)n < sizeof(path) && access(path, F_OK) == 0;
}

/* The first thing that went wrong is the exit status. */
int
cmd_status(const struct cli *cli, int argc, char **argv)
{
	size_t i;
	int j, r, first = EXIT_OK;

	for (j = 0; j < argc; j++)
		if (find(argv[j]) == NULL)
			return -1;
	for (j = 0; j < argc; j++)
		if ((r = status(cli, find(argv[j]))) != 0 && first == 0)
			first = r;
	for (i = 0; argc == 0 && i < COUNT(daemons); i++)
		if (i > 0 && !present(cli, daemons[i]))
			continue;
		else if ((r = status(cli, daemons[i])) != 0 && first == 0)
			first = r;
	return first;
}
