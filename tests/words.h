#ifndef TESTS_WORDS_H
#define TESTS_WORDS_H

/* What several tests read their own words with. */

#include <check.h>
#include <limits.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>

extern char **environ;

/* Run a line of the shell; returns its wait status. Never fails otherwise. */
static inline int
words_shell(const char *line)
{
	char sh[] = "sh", option[] = "-c";
	char *argv[] = { sh, option, (char *)(uintptr_t)line, NULL };
	pid_t pid;
	int status;

	ck_assert_int_eq(
	    posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

/* A number of 0 to INT_MAX. Never fails: what is none ends the test. */
static inline int
words_number(const char *word)
{
	const char *why;
	long long n = strtonum(word, 0, INT_MAX, &why);

	ck_assert_msg(why == NULL, "\"%s\" is %s", word, why);
	return (int)n;
}

#endif /* TESTS_WORDS_H */
