#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent-cli/entrypoint_env.c"

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

static bool
has_word(const struct words *w, const char *s)
{
	size_t i;

	for (i = 0; i < w->n; i++)
		if (strcmp(w->v[i], s) == 0)
			return true;
	return false;
}

static unsigned
named(const struct words *w, const char *name)
{
	size_t i, n = strlen(name);
	unsigned count = 0;

	for (i = 0; i < w->n; i++)
		count += strncmp(w->v[i], name, n) == 0 && w->v[i][n] == '=';
	return count;
}

static const char *const keys[] = { "GIT_AUTHOR_NAME", "FOO", "PATH",
	"HTTP_PROXY", "ALL_PROXY", "all_proxy", "AGENT_SANDBOX", "HOME",
	"BULKHEAD_RUN", "no_proxy", "SSL_CERT_FILE", "BAD=NAME", "" };
static const char *const values[] = { "me", "a=b c", "/opt/bin", "http://evil",
	"socks5://evil", "socks5://evil", "0", "/root", "x", "*", "/theirs",
	"x", "x" };

static const char *const always[] = { "AGENT_SANDBOX=1",
	"BULKHEAD_RUN=abcdefghijkl", "HOME=/home/agent",
	"HTTP_PROXY=http://10.0.0.1:3128", "HTTPS_PROXY=http://10.0.0.1:3128",
	"http_proxy=http://10.0.0.1:3128", "https_proxy=http://10.0.0.1:3128",
	"NO_PROXY=localhost,127.0.0.1,::1", "no_proxy=localhost,127.0.0.1,::1",
	"GIT_AUTHOR_EMAIL=agent@bulkhead.invalid", "GIT_COMMITTER_NAME=agent",
	"GIT_COMMITTER_EMAIL=agent@bulkhead.invalid", "TERM=dumb" };

static struct env_input
input(void)
{
	struct env_input in = { .run = "abcdefghijkl",
		.proxy = "10.0.0.1:3128",
		.home = "/home/agent" };

	return in;
}

START_TEST(plain)
{
	struct env_input in = input();
	struct words w = { 0 };
	int i;

	ck_assert_int_eq(env_build(&in, &w), 0);
	for (i = 0; i < ROWS(always); i++)
		ck_assert_msg(has_word(&w, always[i]), "%s", always[i]);
	ck_assert(has_word(&w, "GIT_AUTHOR_NAME=agent"));
	ck_assert(has_word(&w, "PATH=" TOOL_PATH));
	for (i = 0; i < (int)COUNT(ca_names); i++)
		ck_assert_uint_eq(named(&w, ca_names[i]), 0);
	ck_assert_uint_eq(named(&w, "BULKHEAD_PROMPT_FILE"), 0);
	ck_assert_uint_eq(named(&w, "ALL_PROXY"), 0);
	ck_assert_ptr_null(w.v[w.n]);
	words_free(&w);
}
END_TEST

START_TEST(profile)
{
	struct env_input in = input();
	struct words w = { 0 };
	int i;

	in.env.k = keys;
	in.env.v = values;
	in.env.n = COUNT(keys);
	in.ca_file = "/ca";
	in.prompt_file = "/p";
	ck_assert_int_eq(env_build(&in, &w), 0);
	for (i = 0; i < ROWS(always); i++)
		ck_assert_msg(has_word(&w, always[i]), "%s", always[i]);
	ck_assert(has_word(&w, "GIT_AUTHOR_NAME=me"));
	ck_assert(has_word(&w, "FOO=a=b c"));
	ck_assert(has_word(&w, "PATH=/opt/bin"));
	ck_assert(has_word(&w, "SSL_CERT_FILE=/ca"));
	ck_assert(has_word(&w, "NODE_EXTRA_CA_CERTS=/ca"));
	ck_assert(has_word(&w, "GIT_SSL_CAINFO=/ca"));
	ck_assert(has_word(&w, "CURL_CA_BUNDLE=/ca"));
	ck_assert(has_word(&w, "REQUESTS_CA_BUNDLE=/ca"));
	ck_assert(has_word(&w, "BULKHEAD_PROMPT_FILE=/p"));
	ck_assert_uint_eq(named(&w, "ALL_PROXY"), 0);
	ck_assert_uint_eq(named(&w, "all_proxy"), 0);
	ck_assert_uint_eq(named(&w, "BAD"), 0);
	for (i = 0; i < ROWS(keys); i++)
		ck_assert_uint_le(named(&w, keys[i]), 1);
	words_free(&w);
}
END_TEST

static const struct {
	const char *name;
	const char *argv[4];
	const char *prompt; /* NULL: not an argument */
	const char *want[4]; /* none: refused */
} rows[] = {
	{ "plain", { "sh", "-s" }, NULL, { "sh", "-s" } },
	{ "braces stay", { "sh", "{}" }, NULL, { "sh", "{}" } },
	{ "argument", { "t", "-p", "{}" }, "do it", { "t", "-p", "do it" } },
	{ "within", { "t", "--p={}!" }, "x", { "t", "--p=x!" } },
	{ "twice", { "t", "{}{}", "{}" }, "ab", { "t", "abab", "ab" } },
	{ "prompt with braces", { "t", "{}" }, "{}", { "t", "{}" } },
	{ "empty prompt", { "t", "{}" }, "", { "t", "" } },
	{ "not the program", { "{}", "{}" }, "x", { "{}", "x" } },
	{ "no place", { "t", "-p" }, "x", { NULL } },
	{ "only the program", { "{}" }, "x", { NULL } },
	{ "nothing", { NULL }, NULL, { NULL } },
};

START_TEST(argument)
{
	struct msg_list l = { rows[_i].argv, 0 };
	const char *p = rows[_i].prompt;
	struct words w = { 0 };
	char why[128] = "";
	size_t i;
	int r;

	while (l.n < 4 && l.v[l.n] != NULL)
		l.n++;
	r = argv_build(&l, (const uint8_t *)p, p != NULL ? strlen(p) : 0, &w,
	    why, sizeof(why));
	ck_assert_int_eq(r, rows[_i].want[0] != NULL ? 0 : -1);
	if (r == -1)
		ck_assert_str_ne(why, "");
	for (i = 0; r == 0 && i < l.n; i++)
		ck_assert_str_eq(w.v[i], rows[_i].want[i]);
	words_free(&w);
}
END_TEST

START_TEST(argument_limits)
{
	const char *const argv[] = { "t", "-{}" };
	const struct msg_list l = { argv, 2 };
	const size_t most = TOOL_ARGUMENT_MAX - 2; /* "-" and its NUL */
	uint8_t *prompt = malloc(most + 1);
	struct words w = { 0 };
	char why[128];

	memset(prompt, 'x', most + 1);
	ck_assert_int_eq(argv_build(&l, prompt, most, &w, why, 128), 0);
	ck_assert_uint_eq(strlen(w.v[1]) + 1, TOOL_ARGUMENT_MAX);
	words_free(&w);
	ck_assert_int_eq(argv_build(&l, prompt, most + 1, &w, why, 128), -1);
	words_free(&w);
	prompt[5] = '\0';
	ck_assert_int_eq(argv_build(&l, prompt, 10, &w, why, 128), -1);
	ck_assert_str_eq(why, "an argument cannot hold a NUL");
	words_free(&w);
	free(prompt);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("entrypoint_env");
	TCase *t = tcase_create("env");
	SRunner *r;
	int failed;

	tcase_add_test(t, plain);
	tcase_add_test(t, profile);
	tcase_add_loop_test(t, argument, 0, ROWS(rows));
	tcase_add_test(t, argument_limits);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
