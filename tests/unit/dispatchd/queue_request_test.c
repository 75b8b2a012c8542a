#include "dispatch_fixture.h"

#include "dispatchd/queue_request.h"

#define A10 "aaaaaaaaaa"
#define A40 A10 A10 A10 A10
#define LOOP(tc, fn, table) \
	tcase_add_loop_test(tc, fn, 0, sizeof(table) / sizeof(table[0]))

static const char config[] =
    "{\"forge\": \"https://Forge.example:8443/git\","
    "\"tools\": {\"sh\": {\"argv\": [\"/bin/sh\", \"-s\"]},"
    " \"other\": {\"argv\": [\"x\"]},"
    " \"arg\": {\"argv\": [\"x\", \"{}\"], \"prompt\": \"argument\"}},"
    "\"profiles\": {\"dev\": {\"tools\": [\"sh\", \"arg\"],"
    " \"deadline\": \"30m\"}}}";

/* --- whole requests
 * ------------------------------------------------------------------ */

static const struct {
	const char *name;
	struct queue_request r;
	const char *code; /* NULL: taken */
	const char *text; /* the reason; taken: the URL */
} rows[] = {
	{ "nothing but an id", { .request = "r" }, NULL, "" },
	{ "owner/name", { .request = "r", .repo = "owner/name" }, NULL,
	    "https://forge.example:8443/git/owner/name" },
	{ "a URL", { .request = "r", .repo = "https://H.example/a/b.git" },
	    NULL, "https://h.example/a/b.git" },
	{ "no id", { .request = "" }, "bad_request_id",
	    "a request's id has 1 to 64 letters, digits, \".\", \"_\", \":\","
	    " \"-\"" },
	{ "an id with a blank", { .request = "a b" }, "bad_request_id", NULL },
	{ "a long id", { .request = A40 "aaaaaaaaaaaaaaaaaaaaaaaaa" },
	    "bad_request_id", NULL },
	{ "no such profile", { .request = "r", .profile = "prod" },
	    "unknown_profile", "there is no profile \"prod\"" },
	{ "no such tool", { .request = "r", .tool = "vi" }, "unknown_tool",
	    "there is no tool \"vi\"" },
	{ "a tool of others", { .request = "r", .tool = "other" },
	    "tool_refused", "profile dev does not permit tool other" },
	{ "R08 above the ceiling", { .request = "r", .deadline_ms = 1800001 },
	    "above_ceiling",
	    "a deadline of 1800001 ms is above that of profile dev, 1800000"
	    " ms" },
	{ "at the ceiling", { .request = "r", .deadline_ms = 1800000 }, NULL,
	    "" },
	{ "no time at all", { .request = "r", .deadline_ms = 999 },
	    "bad_deadline",
	    "a deadline of 999 ms is below the least, 1000 ms" },
	{ "time that was", { .request = "r", .deadline_ms = -1 },
	    "bad_deadline", NULL },
	{ "a base of nothing", { .request = "r", .base = "main" }, "bad_base",
	    "a base is a branch of a repository, and none is named" },
	{ "a base that is an option",
	    { .request = "r", .repo = "o/n", .base = "--upload-pack=x" },
	    "bad_base", "the base is no name of a branch as git takes them" },
	{ "a prompt", { .request = "r", .prompt_bytes = 4194304 }, NULL, "" },
	{ "a large prompt", { .request = "r", .prompt_bytes = 4194305 },
	    "prompt_too_large",
	    "a prompt of 4194305 bytes is above what tool sh takes, 4194304" },
	{ "an argument",
	    { .request = "r", .tool = "arg", .prompt_bytes = 131071 }, NULL,
	    "" },
	{ "a large argument",
	    { .request = "r", .tool = "arg", .prompt_bytes = 131072 },
	    "prompt_too_large", NULL },
};

static struct queue_request
filled(struct queue_request r)
{
	r.repo = r.repo != NULL ? r.repo : "";
	r.base = r.base != NULL ? r.base : "";
	r.tool = r.tool != NULL ? r.tool : "";
	r.profile = r.profile != NULL ? r.profile : "";
	return r;
}

START_TEST(test_rows)
{
	struct queue_job job, untouched;
	struct queue_refusal no = { .code = "" };
	struct queue_request r = filled(rows[_i].r);
	struct dispatch_config *cfg;
	char said[SAID_MAX];
	int ret;

	cfg = fixture_read(config, said);
	ck_assert_str_eq(said, "");
	memset(&job, 7, sizeof(job));
	memcpy(&untouched, &job, sizeof(job));
	ret = queue_request_check(cfg, &r, &job, &no);
	if (rows[_i].code == NULL) {
		ck_assert_msg(ret == 0, "%s: %s", rows[_i].name, no.reason);
		ck_assert_str_eq(job.url, rows[_i].text);
		ck_assert_str_eq(
		    job.tool->name, *r.tool != '\0' ? r.tool : "sh");
	} else {
		ck_assert_int_eq(ret, -1);
		ck_assert_str_eq(no.code, rows[_i].code);
		if (rows[_i].text != NULL)
			ck_assert_str_eq(no.reason, rows[_i].text);
		ck_assert_mem_eq(&job, &untouched, sizeof(job));
	}
	dispatch_config_free(&cfg);
}
END_TEST

START_TEST(test_no_defaults)
{
	struct queue_request r =
	    filled((struct queue_request){ .request = "r" });
	struct queue_refusal no;
	struct dispatch_config *cfg;
	struct queue_job job;
	char said[SAID_MAX];

	cfg = fixture_read("{}", said);
	ck_assert_int_eq(queue_request_check(cfg, &r, &job, &no), -1);
	ck_assert_str_eq(no.code, "unknown_profile");
	dispatch_config_free(&cfg);
}
END_TEST

START_TEST(test_prompts)
{
	struct queue_refusal no;
	struct dispatch_config *cfg;
	char said[SAID_MAX];
	const struct dispatch_tool *sh, *arg;

	cfg = fixture_read(config, said);
	sh = dispatch_tool_find(cfg, "sh");
	arg = dispatch_tool_find(cfg, "arg");
	ck_assert_int_eq(
	    queue_prompt_check(sh, (const uint8_t *)"a\0b", 3, &no), 0);
	ck_assert_int_eq(
	    queue_prompt_check(arg, (const uint8_t *)"a\0b", 3, &no), -1);
	ck_assert_str_eq(no.code, "bad_prompt");
	ck_assert_int_eq(
	    queue_prompt_check(arg, (const uint8_t *)"ab", 2, &no), 0);
	ck_assert_int_eq(queue_prompt_check(arg, NULL, 0, &no), 0);
	dispatch_config_free(&cfg);
}
END_TEST

/* A02: each part counts, and where it ends. */
START_TEST(test_hash)
{
	static const struct queue_request others[] = {
		{ .request = "r", .repo = "a" },
		{ .request = "r", .base = "a" },
		{ .request = "r", .tool = "a" },
		{ .request = "r", .profile = "a" },
		{ .request = "r", .repo = "aa", .base = "a" },
		{ .request = "r", .repo = "a", .base = "aa" },
		{ .request = "r", .deadline_ms = 1000 },
	};
	struct queue_request r =
	    filled((struct queue_request){ .request = "r" });
	char hex[9][QUEUE_HASH_LEN + 1], again[QUEUE_HASH_LEN + 1];
	size_t i, k;

	ck_assert_int_eq(queue_request_hash(&r, NULL, 0, hex[0]), 0);
	ck_assert_int_eq(
	    queue_request_hash(&r, (const uint8_t *)"p", 1, hex[1]), 0);
	r.request = "another id";
	ck_assert_int_eq(queue_request_hash(&r, NULL, 0, again), 0);
	ck_assert_str_eq(again, hex[0]);
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		r = filled(others[i]);
		ck_assert_int_eq(
		    queue_request_hash(&r, NULL, 0, hex[i + 2]), 0);
		for (k = 0; k < i + 2; k++)
			ck_assert_str_ne(hex[k], hex[i + 2]);
	}
}
END_TEST

/* --- A04: repositories
 * --------------------------------------------------------------------- */

static const struct {
	const char *name;
	bool valid;
} names[] = {
	{ "a/b", true },
	{ "Owner-1/na.me_x-y", true },
	{ "o/..b", false },
	{ "a10/" A40 A40 A10 A10, true },
	{ "a10/" A40 A40 A10 A10 "a", false },
	{ "123456789012345678901234567890123456789/n", true },
	{ "1234567890123456789012345678901234567890/n", false },
	{ "", false },
	{ "name", false },
	{ "/name", false },
	{ "owner/", false },
	{ "a/b/c", false },
	{ "../../etc", false },
	{ "a/..", false },
	{ "a/.", false },
	{ "a/.github", false },
	{ "-a/b", false },
	{ "a/-b", false },
	{ "-oProxyCommand=x", false },
	{ "owner/name.git", false },
	{ "owner/name.git;id", false },
	{ "owner/name.GIT", true },
	{ "ext::sh -c x", false },
	{ "owner/n\xc3\xa4me", false },
	{ "\xd0\xbewner/name", false },
	{ "owner/name\r\n", false },
	{ "owner/name\n", false },
	{ "owner /name", false },
	{ "ow.ner/name", false },
	{ "ow_ner/name", false },
	{ "owner/na%6de", false },
	{ "owner/na:me", false },
	{ "owner\\name", false },
	{ "git@github.com:a/b", false },
	{ "ssh://h/a", false },
	{ "file:///etc", false },
	{ "/etc/passwd", false },
	{ "http://h.example/a", false },
};

START_TEST(test_repo_names)
{
	const char *why = NULL;

	ck_assert_msg(
	    queue_repo_name_valid(names[_i].name, &why) == names[_i].valid,
	    "%s: %s", names[_i].name, why);
	ck_assert_ptr_nonnull(why);
}
END_TEST

static const struct {
	const char *url;
	const char *want; /* NULL: refused */
} urls[] = {
	{ "https://h.example/a", "https://h.example/a" },
	{ "https://H.Example./a/B.git", "https://h.example/a/B.git" },
	{ "https://h.example:443/a", "https://h.example/a" },
	{ "https://h.example:8443/a", "https://h.example:8443/a" },
	{ "https://192.0.2.1/a", "https://192.0.2.1/a" },
	{ "https://[2001:DB8::1]:444/a", "https://[2001:db8::1]:444/a" },
	{ "https://h.example/~u/My%20Project/x",
	    "https://h.example/~u/My%20Project/x" },
	{ "https://h.example", NULL },
	{ "https://h.example/", NULL },
	{ "https://h.example/a/", NULL },
	{ "https://h.example//a", NULL },
	{ "https://h.example/a/../b", NULL },
	{ "https://h.example/..", NULL },
	{ "https://h.example/./a", NULL },
	{ "https://h.example/.git", NULL },
	{ "https://h.example/a/-b", NULL },
	{ "https://h.example/a.git.git", NULL },
	{ "https://h.example/%2e%2e/a", NULL },
	{ "https://h.example/a%2fb", NULL },
	{ "https://h.example/a%2Fb", NULL },
	{ "https://h.example/a%5cb", NULL },
	{ "https://h.example/a%00b", NULL },
	{ "https://h.example/a%0ab", NULL },
	{ "https://h.example/a%252e", NULL },
	{ "https://h.example/a%", NULL },
	{ "https://h.example/a%2", NULL },
	{ "https://h.example/a%zz", NULL },
	{ "https://u@h.example/a", NULL },
	{ "https://u:p@h.example/a", NULL },
	{ "https://h.example/a?b", NULL },
	{ "https://h.example/a#b", NULL },
	{ "https://h.example:0/a", NULL },
	{ "https://h.example:65536/a", NULL },
	{ "https://h.example:/a", NULL },
	{ "https://-oProxyCommand=x/a", NULL },
	{ "https:///a", NULL },
	{ "https://h.example/a b", NULL },
	{ "https://h.example/a\r\nHost: x", NULL },
	{ "https://h.example/\xc3\xa4", NULL },
	{ "https://h\xc3\xa4.example/a", NULL },
	{ "https://h.example\\@evil/a", NULL },
	{ "HTTPS://h.example/a", NULL },
	{ "http://h.example/a", NULL },
	{ "ext::https://h.example/a", NULL },
	{ "https://0x7f.1/a", NULL },
	{ "", NULL },
};

START_TEST(test_urls)
{
	char url[QUEUE_URL_MAX + 1] = "before", again[QUEUE_URL_MAX + 1];
	const char *why = NULL;
	int r = queue_url_canon(urls[_i].url, false, url, &why);

	if (urls[_i].want == NULL) {
		ck_assert_msg(r == -1, "%s", urls[_i].url);
		ck_assert_ptr_nonnull(why);
		ck_assert_str_eq(url, "before");
		return;
	}
	ck_assert_msg(r == 0, "%s %s", urls[_i].url, why);
	ck_assert_str_eq(url, urls[_i].want);
	ck_assert_int_eq(queue_url_canon(url, false, again, &why), 0);
	ck_assert_str_eq(url, again);
}
END_TEST

static const struct {
	const char *url, *want;
} directories[] = {
	{ "https://h.example/a/name", "name" },
	{ "https://h.example/a/name.git", "name" },
	{ "https://h.example/a/My%20Project", "My_20Project" },
	{ "https://h.example/~user", "_user" },
	{ "https://h.example/a=b", "a_b" },
	{ "https://h.example/.git", "repository" },
	{ "https://h.example/.x", "_x" },
	{ "https://h.example/-x", "_x" },
	{ "https://h.example/" A40 A40 A40, A40 A40 A10 A10 },
};

START_TEST(test_directories)
{
	char out[QUEUE_DIRECTORY_MAX + 1];

	queue_directory(directories[_i].url, out);
	ck_assert_str_eq(out, directories[_i].want);
}
END_TEST

/* --- A05: branches
 * ------------------------------------------------------------------------------
 */

static const struct {
	const char *name;
	bool valid;
} branches[] = {
	{ "main", true },
	{ "feature/x-1", true },
	{ "release-2.0", true },
	{ "a@b", true },
	{ "a{b", true },
	{ "\xc3\xa4nderung", true },
	{ "x.locker", true },
	{ "", false },
	{ "-x", false },
	{ "--upload-pack=x", false },
	{ "a..b", false },
	{ "@{u}", false },
	{ "a@{1}", false },
	{ "@", false },
	{ "HEAD", false },
	{ "x.lock", false },
	{ "x.lock/y", false },
	{ "a/.b", false },
	{ ".a", false },
	{ "a.", false },
	{ "/a", false },
	{ "a/", false },
	{ "a//b", false },
	{ "a\n", false },
	{ "a b", false },
	{ "a\tb", false },
	{ "a\x7f", false },
	{ "a~1", false },
	{ "a^", false },
	{ "a:b", false },
	{ "a?", false },
	{ "a*", false },
	{ "a[b", false },
	{ "a\\b", false },
	{ "refs/heads/..", false },
	{ "refs/heads/main", false },
	{ "a\xff", false },
	{ "a\xc2\x9b", false },
};

START_TEST(test_branches)
{
	ck_assert_msg(
	    queue_branch_valid(branches[_i].name) == branches[_i].valid, "%s",
	    branches[_i].name);
}
END_TEST

START_TEST(test_branch)
{
	char out[QUEUE_BRANCH_MAX + 1], tool[DISPATCH_NAME_MAX + 1];

	queue_branch("sh", "abcdefghijkl", out);
	ck_assert_str_eq(out, "agent/sh/abcdefghijkl");
	memset(tool, 'x', DISPATCH_NAME_MAX);
	tool[DISPATCH_NAME_MAX] = '\0';
	queue_branch(tool, "abcdefghijkl", out);
	ck_assert_str_eq(out + strlen(out) - 13, "/abcdefghijkl");
	ck_assert(queue_branch_valid(out));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("queue_request");
	TCase *tc = tcase_create("request");
	SRunner *sr;
	int failed;

	LOOP(tc, test_rows, rows);
	tcase_add_test(tc, test_no_defaults);
	tcase_add_test(tc, test_prompts);
	tcase_add_test(tc, test_hash);
	LOOP(tc, test_repo_names, names);
	LOOP(tc, test_urls, urls);
	LOOP(tc, test_directories, directories);
	LOOP(tc, test_branches, branches);
	tcase_add_test(tc, test_branch);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
