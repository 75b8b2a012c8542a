/*
 * agent-cli ps [--all]
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/clock.h"
#include "libcommon/runid.h"

#include "cmd.h"
#include "show.h"

#define PS_MS 10000 /* for a page of the list, and for each run of it */
#define ROWS_MAX 1000000
#define AGE_MAX 32

struct row {
	char run[RUNID_LEN + 1];
	char *text; /* for people a line, else the object of what is known */
};

struct list {
	const struct cli *cli;
	struct row *rows;
	size_t n;
};

/* --- a row -------------------------------------------------------------- */

static const char *
age(int64_t ms, char buf[AGE_MAX])
{
	int64_t s = ms / 1000;

	if (s >= 86400)
		(void)snprintf(buf, AGE_MAX, "%" PRId64 "d", s / 86400);
	else if (s >= 3600)
		(void)snprintf(buf, AGE_MAX, "%" PRId64 "h", s / 3600);
	else if (s >= 60)
		(void)snprintf(buf, AGE_MAX, "%" PRId64 "m", s / 60);
	else
		(void)snprintf(buf, AGE_MAX, "%" PRId64 "s", s);
	return buf;
}

#define FORMAT "%-12s %-10s %-18s %-10s %-10s %5s  %s%s%s"

static char *
line(const struct msg_ps_row *m)
{
	const char *fields[] = { m->state, m->class, m->profile, m->tool,
		m->repo, m->why };
	char *shown[6], *text, buf[AGE_MAX];
	size_t i;
	int n;

	for (i = 0; i < 6; i++)
		shown[i] = visible(fields[i], strlen(fields[i]));
	n = asprintf(&text, FORMAT, m->run, shown[0],
	    shown[1][0] != '\0' ? shown[1] : "-", shown[2], shown[3],
	    age(m->age_ms, buf), shown[4][0] != '\0' ? shown[4] : "-",
	    shown[5][0] != '\0' ? "  " : "", shown[5]);
	for (i = 0; i < 6; i++)
		free(shown[i]);
	return n == -1 ? NULL : text;
}

static void
add(const struct msg *m, void *arg)
{
	const struct msg_ps_row *row = &m->u.ps_row;
	struct list *l = arg;
	struct row *rows;

	if (m->type != MSG_TYPE_ps_row || l->n >= ROWS_MAX ||
	    !runid_valid(row->run))
		return;
	rows = reallocarray(l->rows, l->n + 1, sizeof(*rows));
	if (rows == NULL) {
		complain("out of memory");
		exit(EXIT_FAILED);
	}
	l->rows = rows;
	(void)strlcpy(rows[l->n].run, row->run, sizeof(rows[l->n].run));
	rows[l->n].text = l->cli->json ? show_row(row) : line(row);
	l->n++;
}

/* --- the list ----------------------------------------------------------- */

static void
print_people(const struct list *l)
{
	size_t i;

	if (l->n > 0)
		(void)printf(FORMAT "\n", "RUN", "STATE", "CLASS", "PROFILE",
		    "TOOL", "AGE", "REPO", "", "");
	for (i = 0; i < l->n; i++)
		if (l->rows[i].text != NULL)
			(void)printf("%s\n", l->rows[i].text);
}

/*
 * The rows tell too little for the object of a run, so each is asked for. One
 * that was removed meanwhile, or that we may not see, is told as it was listed.
 */
static int
print_json(struct daemon_link *d, const struct list *l)
{
	struct msg m = { .type = MSG_TYPE_show }, a;
	char *text;
	size_t i;
	int r;

	for (i = 0; i < l->n; i++) {
		m.u.show.run = l->rows[i].run;
		d->deadline_ms = clock_boot_ms() + PS_MS;
		r = daemon_call(d, &m, &a);
		if (r == EXIT_REFUSED) {
			(void)printf("%s\n", l->rows[i].text);
			continue;
		}
		if (r != 0)
			return r;
		text = show_run(&a.u.show_answer);
		(void)printf("%s\n", text);
		free(text);
		msg_free(&a);
	}
	return 0;
}

/* All pages. What ends meanwhile is on one of them, or on none. */
static int
read_all(struct daemon_link *d, bool all, struct list *l)
{
	struct msg m = { .type = MSG_TYPE_ps }, a;
	size_t n;
	int r;

	m.u.ps.all = all;
	do {
		n = l->n;
		d->deadline_ms = clock_boot_ms() + PS_MS;
		if ((r = daemon_call_rows(d, &m, add, l, &a)) != 0)
			return r;
		m.u.ps.after = a.u.ps_answer.next;
		msg_free(&a);
		/* A page without a row has none behind it. */
	} while (m.u.ps.after != 0 && l->n > n);
	return 0;
}

int
cmd_ps(const struct cli *cli, int argc, char **argv)
{
	bool all = option_value(cli, "--all") != NULL;
	struct list l = { .cli = cli };
	struct daemon_link d;
	size_t i;
	int r;

	if (argc != 0)
		return -1;
	if ((r = daemon_open(&d, cli->run_dir, "dispatchd", PS_MS)) == 0 &&
	    (r = read_all(&d, all, &l)) == 0) {
		if (cli->json)
			r = print_json(&d, &l);
		else
			print_people(&l);
	}
	(void)daemon_complain(&d, r);
	daemon_close(&d);
	for (i = 0; i < l.n; i++)
		free(l.rows[i].text);
	free(l.rows);
	return r;
}
