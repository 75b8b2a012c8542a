/*
 * agent-cli audit verify FILE...
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/audit.h"
#include "libcommon/json.h"

#include "cmd.h"

#define READ_BYTES (256 * 1024)
#define OBJECT_MAX 65536

/* Feed all of fd. Returns 0, or -1 with errno: it could not be read. */
static int
read_all(int fd, struct audit_verify *v)
{
	static char buf[READ_BYTES];
	ssize_t n;

	for (;;) {
		n = read(fd, buf, sizeof(buf));
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return (int)n;
		if (audit_verify_feed(v, buf, (size_t)n) == -1)
			return 0;
	}
}

/* One file's object. The line of a bad one, and why, are more members. */
static void
print_json(const char *file, const struct audit_verify *v, const char *why)
{
	struct json_writer *w = json_writer_new(OBJECT_MAX);
	const char *text;
	size_t len;

	json_open_object(w);
	json_key(w, "file");
	json_string(w, file);
	json_key(w, "ok");
	json_bool(w, why == NULL);
	if (why == NULL) {
		json_key(w, "records");
		json_int(w, audit_verify_records(v));
	} else {
		if (v != NULL) {
			json_key(w, "line");
			json_int(w, (int64_t)audit_verify_line(v));
		}
		json_key(w, "why");
		json_string(w, why);
	}
	json_close_object(w);
	if (json_writer_end(w, &text, &len) == 0)
		(void)printf("%s\n", text);
	else
		complain("%s: its object cannot be written", file);
	json_writer_free(&w);
}

static int
unreadable(const struct cli *cli, const char *file, const char *why)
{
	complain("%s: %s", file, why);
	if (cli->json)
		print_json(file, NULL, why);
	return -1;
}

static int
report(const struct cli *cli, const char *file, struct audit_verify *v)
{
	bool ok = audit_verify_end(v) == 0;

	if (!ok)
		(void)fprintf(stderr, "%s:%" PRIu64 ": %s\n", file,
		    audit_verify_line(v), audit_verify_why(v));
	if (cli->json)
		print_json(file, v, ok ? NULL : audit_verify_why(v));
	else if (ok)
		(void)printf("%s: %" PRId64 " records, ok\n", file,
		    audit_verify_records(v));
	return ok ? 0 : -1;
}

/* Returns 0 when the file is one chain. name is as given, file for people. */
static int
verify(const struct cli *cli, const char *name, const char *file)
{
	struct audit_verify *v = NULL;
	bool std = strcmp(name, "-") == 0;
	int fd, r = -1;

	fd = std ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return unreadable(cli, file, strerror(errno));
	if ((v = audit_verify_new()) == NULL)
		(void)unreadable(cli, file, "out of memory");
	else if (read_all(fd, v) == -1)
		(void)unreadable(cli, file, strerror(errno));
	else
		r = report(cli, file, v);
	audit_verify_free(&v);
	if (!std)
		(void)close(fd);
	return r;
}

int
cmd_audit(const struct cli *cli, int argc, char **argv)
{
	char *file;
	int i, r = EXIT_OK;

	if (argc < 2 || strcmp(argv[0], "verify") != 0)
		return -1;
	for (i = 1; i < argc; i++) {
		file = visible(argv[i], strlen(argv[i]));
		if (verify(cli, argv[i], file) == -1)
			r = EXIT_FAILED;
		free(file);
	}
	return r;
}
