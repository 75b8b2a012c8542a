/*
 * agent-cli: the terminal's side of Bulkhead. Finds the command, reads the
 * options that all commands take, and makes sure that what was printed arrived.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/log.h"
#include "libcommon/version.h"

#include "cmd.h"

#define RUN_DIR "/run/bulkhead"

static const struct cmd commands[] = {
	{ "audit", "verify FILE...",
	    "Check that each record FILE is one unbroken chain; - is the "
	    "standard input.",
	    cmd_audit },
	{ "entrypoint", "",
	    "What runs as PID 1 in the container of a run; nowhere else.",
	    cmd_entrypoint },
	{ "doctor", "",
	    "Check what Bulkhead needs on this machine, change nothing, and "
	    "say how each\nlack is mended. Exits 0 when nothing fails.",
	    cmd_doctor },
	{ "logs", "[-f] [--since OFFSET] [--raw] RUN",
	    "Print the output of a run, byte for byte, from OFFSET on; -f: "
	    "also what\nis still to come. Gaps are told on standard error.",
	    cmd_logs },
	{ "ps", "[--all]",
	    "List the runs, newest first; --all: ended ones too.", cmd_ps },
	{ "rm", "RUN", "Forget an ended run, its log and its bundle.", cmd_rm },
	{ "run",
	    "[--repo URL|owner/name] [--base BRANCH] [--tool T] [--profile P]\n"
	    "           [--id REQUEST] [--detach] [--deadline D] [--bundle "
	    "FILE] [--raw]\n"
	    "           [--prompt-file FILE] [--] PROMPT...",
	    "Start a run and follow it: the tool's output byte for byte, "
	    "stages on standard\nerror. PROMPT - is the standard input. The "
	    "first Ctrl-C prints the run's id and\ndetaches: the run goes on, "
	    "and two seconds later the program exits 0. A second\none within "
	    "them stops the run. The exit status is that of the run's class.",
	    cmd_run },
	{ "show", "[--bundle FILE] RUN",
	    "Print all that is known of a run; --bundle: write its bundle to "
	    "FILE.",
	    cmd_show },
	{ "status", "[DAEMON...]",
	    "Show what each DAEMON (default: all) is, does and cannot do.",
	    cmd_status },
	{ "stop", "RUN", "Stop a run, in whatever state it is.", cmd_stop },
	{ "wait", "RUN",
	    "Wait until a run is over, print how it ended, and exit with the "
	    "status of\nits class.",
	    cmd_wait },
};

/* Names that mean something, but not yet. */
static const char *const later[] = { "shell", "sweep", "publish", "dispatch",
	"token", "credential", "gh", "verb", "grant", "secret",
	"aws-credentials", "egress", "metrics" };

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

void
complain(const char *fmt, ...)
{
	va_list ap;

	(void)fputs("agent-cli: ", stderr);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}

char *
visible(const void *text, size_t len)
{
	char *s;

	if (len > (SIZE_MAX - 1) / 4 || (s = malloc(4 * len + 1)) == NULL) {
		complain("out of memory");
		exit(EXIT_FAILED);
	}
	(void)log_escape(s, 4 * len + 1, text, len);
	return s;
}

/* --- help ------------------------------------------------------------- */

static void
usage_of(FILE *out, const struct cmd *c)
{
	(void)fprintf(out, "usage: agent-cli [--run-dir DIR] [--json] %s %s\n",
	    c->name, c->operands);
}

static void
usage(FILE *out)
{
	size_t i;

	(void)fputs("usage: agent-cli [--run-dir DIR] [--json] COMMAND ...\n"
	            "       agent-cli --version | --help\n"
	            "       agent-cli COMMAND --help\n"
	            "\n"
	            "commands:\n",
	    out);
	for (i = 0; i < COUNT(commands); i++)
		(void)fprintf(
		    out, "  %s %s\n", commands[i].name, commands[i].operands);
}

static void
help_of(const struct cmd *c)
{
	usage_of(stdout, c);
	(void)printf("\n%s\n", c->help);
}

static void
help(void)
{
	usage(stdout);
	(void)printf("\noptions:\n"
	             "  --run-dir DIR  where the daemons' sockets are "
	             "(BULKHEAD_RUN_DIR; %s)\n"
	             "  --json         print objects, one a line\n"
	             "  --help         print this, or a command's own\n"
	             "  --version      print the version\n",
	    RUN_DIR);
}

/* --- options ---------------------------------------------------------- */

enum option {
	OPT_NONE, /* an operand */
	OPT_DONE, /* taken */
	OPT_HELP,
	OPT_VERSION,
	OPT_BAD
};

static enum option
run_dir(struct cli *cli, const char *dir)
{
	if (dir == NULL || dir[0] == '\0') {
		complain("--run-dir needs a directory");
		return OPT_BAD;
	}
	cli->run_dir = dir;
	return OPT_DONE;
}

/* Look at argv[*i]; an option's own word behind it is taken too. */
static enum option
option(struct cli *cli, char **argv, int *i)
{
	const char *s = argv[*i];
	char *shown;

	if (s[0] != '-' || s[1] == '\0')
		return OPT_NONE;
	if (strcmp(s, "--json") == 0) {
		cli->json = true;
		return OPT_DONE;
	}
	if (strcmp(s, "--run-dir") == 0) {
		if (argv[*i + 1] != NULL)
			s = argv[++*i];
		else
			s = NULL;
		return run_dir(cli, s);
	}
	if (strncmp(s, "--run-dir=", 10) == 0)
		return run_dir(cli, s + 10);
	if (strcmp(s, "--help") == 0 || strcmp(s, "-h") == 0)
		return OPT_HELP;
	if (strcmp(s, "--version") == 0 || strcmp(s, "-V") == 0)
		return OPT_VERSION;
	shown = visible(s, strlen(s));
	complain("unknown option %s", shown);
	free(shown);
	return OPT_BAD;
}

/* --- commands --------------------------------------------------------- */

static const struct cmd *
find(const char *name)
{
	char *shown;
	size_t i;

	for (i = 0; i < COUNT(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	shown = visible(name, strlen(name));
	for (i = 0; i < COUNT(later); i++)
		if (strcmp(later[i], name) == 0)
			break;
	if (i < COUNT(later))
		complain("%s: not in this version", shown);
	else
		complain("unknown command %s", shown);
	free(shown);
	return NULL;
}

/* Options may stand among the operands, up to "--". */
static int
run_command(struct cli *cli, const struct cmd *c, int argc, char **argv)
{
	int i, n = 0, r;

	for (i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0) {
			while (++i < argc)
				argv[n++] = argv[i];
			break;
		}
		if ((r = option_own(cli, c->name, argv, &i)) == 1)
			continue;
		switch (r == 0 ? option(cli, argv, &i) : OPT_BAD) {
		case OPT_NONE:
			argv[n++] = argv[i];
			break;
		case OPT_DONE:
			break;
		case OPT_HELP:
			help_of(c);
			return EXIT_OK;
		case OPT_VERSION:
		case OPT_BAD:
			usage_of(stderr, c);
			return EXIT_USAGE;
		}
	}
	argv[n] = NULL;
	if ((r = c->run(cli, n, argv)) != -1)
		return r;
	usage_of(stderr, c);
	return EXIT_USAGE;
}

static int
run_program(struct cli *cli, int argc, char **argv)
{
	const struct cmd *c;
	enum option o = OPT_NONE;
	int i;

	for (i = 1; i < argc; i++)
		if ((o = option(cli, argv, &i)) != OPT_DONE)
			break;
	if (o == OPT_HELP) {
		help();
		return EXIT_OK;
	}
	if (o == OPT_VERSION) {
		(void)printf("agent-cli %s\n", BULKHEAD_VERSION);
		return EXIT_OK;
	}
	if (i < argc && o == OPT_NONE && (c = find(argv[i])) != NULL)
		return run_command(cli, c, argc - i - 1, argv + i + 1);
	usage(stderr);
	return EXIT_USAGE;
}

/*
 * 0, 1 and 2 must not become something else's by chance, a link's or the event
 * loop's. What was closed stays useless: reading or writing it still fails.
 */
static int
hold_standard_fds(void)
{
	int fd, how;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		how = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
		if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", how) != fd)
			return -1;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	struct cli cli = { .run_dir = getenv("BULKHEAD_RUN_DIR") };
	int r;

	if (hold_standard_fds() == -1)
		return EXIT_FAILED;
	/* A reader that goes away is a write error like another. */
	(void)signal(SIGPIPE, SIG_IGN);
	if (cli.run_dir == NULL || cli.run_dir[0] == '\0')
		cli.run_dir = RUN_DIR;
	r = run_program(&cli, argc, argv);
	if (fflush(stdout) == EOF || ferror(stdout)) {
		complain("standard output: %s", strerror(errno));
		return r == EXIT_OK ? EXIT_FAILED : r;
	}
	return r;
}
