/*
 * agent-cli doctor
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"
#include "show.h"

#define DETAIL_MAX 1024

static const char *const daemons[] = { "egressd", "dispatchd" };
static bool json, failed;

void
doctor_say(
    enum finding f, const char *what, const char *fix, const char *fmt, ...)
{
	static const char *const words[] = { "ok", "warn", "fail" };
	char detail[DETAIL_MAX], *text;
	struct json_writer *w;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	failed = failed || f == FINDING_FAIL;
	if (json) {
		w = json_writer_new(OBJECT_MAX);
		json_open_object(w);
		show_text(w, "result", words[f]);
		show_text(w, "what", what);
		show_text(w, "detail", detail);
		show_text(w, "fix", f == FINDING_OK ? NULL : fix);
		json_close_object(w);
		text = show_object(&w);
		(void)printf("%s\n", text);
	} else {
		text = visible(detail, strlen(detail));
		(void)printf("%-4s  %s: %s", words[f], what, text);
		if (f != FINDING_OK && fix != NULL)
			(void)printf("; fix: %s", fix);
		(void)putchar('\n');
	}
	free(text);
}

int
cmd_doctor(const struct cli *cli, int argc, char **argv)
{
	size_t i;

	if (argc != 0)
		return -1;
	json = cli->json;
	for (i = 0; i < sizeof(daemons) / sizeof(daemons[0]); i++)
		doctor_daemon(cli, daemons[i]);
	doctor_system();
	doctor_host();
	return failed ? EXIT_FAILED : EXIT_OK;
}
