/* The key `peers`, as a daemon with two requests and a key of its own has it.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/conf_peers.h"

#define SAID_MAX 4096
#define VERBS "go, stop"

static const char *const verbs[] = { "go", "stop" };

static const struct conf_key keys_peer[] = {
	CONF_PEER_KEYS(VERBS),
	{ .name = "repos", .type = CONF_LATER },
	{ .name = NULL },
};

static int
user(const char *name, uint32_t *uid)
{
	if (strcmp(name, "queue") != 0)
		return -1;
	*uid = 4711;
	return 0;
}

static int
group(const char *name, uint32_t *gid)
{
	if (strcmp(name, "operators") != 0)
		return -1;
	*gid = 4712;
	return 0;
}

static struct conf_peer peers[CONF_PEERS_MAX];
static size_t npeers;

static void
parse_peers(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	const struct conf_peers_reader r = { .keys = keys_peer,
		.verbs = verbs,
		.nverbs = sizeof(verbs) / sizeof(verbs[0]),
		.allowed = VERBS,
		.user = user,
		.group = group };

	conf_read_peers(c, n, path, &r, peers, &npeers);
}

static const struct conf_key keys_top[] = {
	{ .name = "peers", .type = CONF_CALL, .parse = parse_peers },
	{ .name = NULL },
};

/* What is said about text, a line each; the caller frees the handle. */
static struct conf *
read_text(const char *text, char said[SAID_MAX])
{
	struct conf *c = conf_new("f", text, strlen(text));
	int target = 0;
	size_t i;

	memset(peers, 0, sizeof(peers));
	npeers = 0;
	ck_assert_ptr_nonnull(conf_root(c));
	conf_read(c, conf_root(c), "", keys_top, &target);
	said[0] = '\0';
	for (i = 0; i < conf_errors(c); i++) {
		strlcat(said, conf_error_text(c, i), SAID_MAX);
		strlcat(said, "\n", SAID_MAX);
	}
	return c;
}

static const struct {
	const char *name, *peers, *want;
} rows[] = {
	{ "none", "[]", "" },
	{ "all", "[{\"user\": \"queue\", \"may\": [\"stop\", \"go\"]}]", "" },
	{ "no list", "{}",
	    "f:1: peers: is an object; allowed: a list of peers\n" },
	{ "no object", "[\"queue\"]",
	    "f:1: peers[0]: is a string; allowed: an object\n" },
	{ "nobody", "[{\"may\": [\"go\"]}]",
	    "f:1: peers[0]: is nobody; allowed: user or group\n" },
	{ "both",
	    "[{\"user\": \"queue\", \"group\": \"operators\","
	    " \"may\": [\"go\"]}]",
	    "f:1: peers[0]: is a user and a group; allowed: one\n" },
	{ "unknown user", "[{\"user\": \"x\", \"may\": [\"go\"]}]",
	    "f:1: peers[0].user: no such user x; allowed: a user of this"
	    " machine\n" },
	{ "a group is no user",
	    "[{\"user\": \"operators\", \"may\": [\"go\"]}]",
	    "f:1: peers[0].user: no such user operators; allowed: a user of"
	    " this machine\n" },
	{ "unknown group", "[{\"group\": \"queue\", \"may\": [\"go\"]}]",
	    "f:1: peers[0].group: no such group queue; allowed: a group of"
	    " this machine\n" },
	{ "empty name", "[{\"user\": \"\", \"may\": [\"go\"]}]",
	    "f:1: peers[0].user: has 0 bytes; allowed: a string of 1 to 256"
	    " bytes\n" },
	{ "may missing", "[{\"user\": \"queue\"}]",
	    "f:1: peers[0].may: is missing; allowed: " VERBS "\n" },
	{ "may empty", "[{\"user\": \"queue\", \"may\": []}]",
	    "f:1: peers[0].may: is empty; allowed: a list of " VERBS "\n" },
	{ "may no list", "[{\"user\": \"queue\", \"may\": \"go\"}]",
	    "f:1: peers[0].may: is a string; allowed: a list of " VERBS "\n" },
	{ "no such verb", "[{\"user\": \"queue\", \"may\": [\"status\"]}]",
	    "f:1: peers[0].may[0]: \"status\" is no request; allowed: " VERBS
	    "\n" },
	{ "twice", "[{\"user\": \"queue\", \"may\": [\"go\", 1, \"go\"]}]",
	    "f:1: peers[0].may[1]: is an integer; allowed: " VERBS "\n"
	    "f:1: peers[0].may[2]: \"go\" is there twice; allowed: each"
	    " request once\n" },
	{ "the daemon's own key",
	    "[{\"user\": \"queue\", \"may\": [\"go\"], \"repos\": []}]",
	    "f:1: peers[0].repos: not in this version; leave it out\n" },
	{ "unknown key",
	    "[{\"user\": \"queue\", \"may\": [\"go\"], \"id\": 1}]",
	    "f:1: peers[0].id: unknown key; allowed: user, group, may\n" },
};

START_TEST(test_rows)
{
	char text[512], said[SAID_MAX];
	struct conf *c;

	snprintf(text, sizeof(text), "{\"peers\": %s}", rows[_i].peers);
	c = read_text(text, said);
	ck_assert_msg(strcmp(said, rows[_i].want) == 0, "%s: said\n%s",
	    rows[_i].name, said);
	conf_free(&c);
}
END_TEST

START_TEST(test_values)
{
	char said[SAID_MAX];
	struct conf *c;

	c = read_text("{\"peers\": [{\"user\": \"queue\", \"may\": [\"stop\","
	              " \"go\"]}, {\"group\": \"operators\", \"may\":"
	              " [\"go\"]}]}",
	    said);
	ck_assert_str_eq(said, "");
	ck_assert_uint_eq(npeers, 2);
	ck_assert(!peers[0].group && peers[1].group);
	ck_assert_uint_eq(peers[0].id, 4711);
	ck_assert_uint_eq(peers[1].id, 4712);
	ck_assert_uint_eq(peers[0].nmay, 2);
	ck_assert_ptr_eq(peers[0].may[0], verbs[1]);
	ck_assert_ptr_eq(peers[0].may[1], verbs[0]);
	ck_assert_uint_eq(peers[1].nmay, 1);
	conf_free(&c);
}
END_TEST

START_TEST(test_bound)
{
	static const char row[] = "{\"user\":\"queue\",\"may\":[\"go\"]},\n";
	char said[SAID_MAX], *text;
	struct conf *c;
	size_t size = sizeof(row) * (CONF_PEERS_MAX + 2), i, n = _i;

	text = malloc(size);
	ck_assert_ptr_nonnull(text);
	strlcpy(text, "{\"peers\": [", size);
	for (i = 1; i < n; i++)
		strlcat(text, row, size);
	strlcat(text, "{\"user\":\"queue\",\"may\":[\"go\"]}]}", size);
	c = read_text(text, said);
	ck_assert_str_eq(said,
	    n <= CONF_PEERS_MAX
	        ? ""
	        : "f:1: peers: has 257 entries; allowed: 256\n");
	ck_assert_uint_eq(npeers, n <= CONF_PEERS_MAX ? n : 0);
	conf_free(&c);
	free(text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("conf_peers");
	TCase *tc = tcase_create("peers");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, test_rows, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(tc, test_values);
	tcase_add_loop_test(tc, test_bound, CONF_PEERS_MAX, CONF_PEERS_MAX + 2);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
