#include "dispatch_fixture.h"

#include "dispatchd/dispatchd_config.h"

#define LOOP(tc, fn, table) \
	tcase_add_loop_test(tc, fn, 0, sizeof(table) / sizeof(table[0]))

#define NONE "warning: f:1: profiles: there is none: no run can be asked for\n"
#define VERBS "run, ps, logs, stop, rm, show, status"
#define NAME                                                                \
	"1 to 64 letters, digits, \".\", \"_\", \"-\", a letter or a digit" \
	" first, as git takes them in a branch\n"
#define POOL                                                            \
	"an IPv4 network as ADDRESS/BITS, 8 to 29 bits, of 10.0.0.0/8," \
	" 172.16.0.0/12 or 192.168.0.0/16\n"
#define FORGE "https://HOST[:PORT][/PATH], no slash at its end\n"
#define CPUS "processors: an integer, 1 to 1024, or a string as \"0.5\"\n"
#define ENV                                                               \
	"letters, digits, \"_\", no digit first, at most 64; and none of" \
	" those that a run gets: AGENT_SANDBOX, BULKHEAD_*, *_PROXY, HOME\n"
#define SH "\"tools\": {\"sh\": {\"argv\": [\"/bin/sh\", \"-s\"]}}"
#define DEV(more) "\"profiles\": {\"dev\": {\"tools\": [\"sh\"]" more "}}"

/* --- what is refused, word for word
 * ----------------------------------------------- */

static const struct {
	const char *name;
	const char *text;
	const char *want;
} rows[] = {
	{ "nothing", "{}", NONE },
	{ "the least", "{" SH ", " DEV("") "}", "" },
	{ "no JSON", "{", NULL },
	{ "unknown key", "{\"tool\": {}}",
	    "f:1: tool: unknown key; allowed: socket, peers, state, audit,"
	    " users, engine, egressd, network_pool, interface_prefix,"
	    " proxy_port, capacity, image, log_limit, bundle_limit,"
	    " keep_runs, keep_days, disk_reserve, forge, tools, profiles,"
	    " default_profile, default_tool\n" NONE },
	{ "later versions",
	    "{\"brokerd\": \"/x\",\n\"isolation\": \"socket\",\n" SH
	    ",\n" DEV(", \"publish\": {}, \"secrets\": []") "}",
	    "f:1: brokerd: not in this version; leave it out\n"
	    "f:2: isolation: not in this version; leave it out\n"
	    "f:4: profiles.dev.publish: not in this version; leave it out\n"
	    "f:4: profiles.dev.secrets: not in this version; leave it"
	    " out\n" },
	{ "wrong types",
	    "{\"peers\": {},\n\"engine\": \"docker\",\n\"capacity\": 1,\n"
	    "\"tools\": [],\n\"profiles\": [],\n\"users\": [],\n"
	    "\"image\": 1,\n\"forge\": 1,\n\"network_pool\": []}",
	    "f:1: peers: is an object; allowed: a list of peers\n"
	    "f:2: engine: is a string; allowed: an object\n"
	    "f:3: capacity: is an integer; allowed: an object\n"
	    "f:4: tools: is a list; allowed: an object of tools\n"
	    "f:5: profiles: is a list; allowed: an object of profiles\n"
	    "f:6: users: is a list; allowed: an object\n"
	    "f:7: image: is an integer; allowed: a string of 1 to 255 bytes\n"
	    "f:8: forge: is an integer; allowed: " FORGE
	    "f:9: network_pool: is a list; allowed: " POOL
	    "warning: f:5: profiles: there is none: no run can be asked"
	    " for\n" },
	{ "drivers",
	    "{\"engine\": {\"driver\": \"container\", \"sock\": \"/x\"}}",
	    "f:1: engine.driver: \"container\" is not in this version;"
	    " allowed: \"docker\"\n"
	    "f:1: engine.sock: unknown key; allowed: driver, socket\n" NONE },
	{ "another driver", "{\"engine\": {\"driver\": \"podman\"}}",
	    "f:1: engine.driver: \"podman\" is unknown; allowed:"
	    " \"docker\"\n" NONE },
	{ "no image", "{\"image\": \"\"}",
	    "f:1: image: has 0 bytes; allowed: a string of 1 to 255"
	    " bytes\n" NONE },
	{ "paths", "{\"socket\": \"x.sock\",\n\"state\": \"y.state\"}",
	    "f:1: socket: \"x.sock\" is not absolute; allowed: an absolute path"
	    " of 2 to 107 bytes\n"
	    "f:2: state: \"y.state\" is not absolute; allowed: an absolute path of"
	    " 2 to 200 bytes\n" NONE },
	{ "a socket too deep for those of runs",
	    "{\"socket\": \"/12345678901234567890123456789012345678901234567"
	    "8901234567890123456789012345/s\"}",
	    "f:1: socket: its directory has 76 bytes; allowed: 74, as the"
	    " sockets of runs lie behind it\n" NONE },
	{ "users",
	    "{\"users\": {\"queue\": \"\",\n\"signer\": \"x\",\n"
	    "\"github\": \"x\"}}",
	    "f:1: users.queue: has 0 bytes; allowed: a string of 1 to 256"
	    " bytes\n"
	    "f:2: users.signer: unknown key; allowed: dispatch, frontend,"
	    " runs, queue, engine, audit\n"
	    "f:3: users.github: not in this version; leave it out\n" NONE },
	{ "peers",
	    "{\"peers\": [{\"user\": \"nobody.here\", \"may\": [\"run\"]},\n"
	    "{\"group\": \"none\", \"may\": [\"run\"]},\n"
	    "{\"may\": [\"ps\"]},\n"
	    "{\"user\": \"operator\", \"group\": \"bulkhead\","
	    " \"may\": [\"ps\"]},\n"
	    "{\"user\": \"operator\"},\n"
	    "{\"user\": \"operator\", \"may\": []},\n"
	    "{\"user\": \"operator\", \"may\": [\"exec\", \"ps\", \"ps\"]}]}",
	    "f:1: peers[0].user: no such user nobody.here; allowed: a user of"
	    " this machine\n"
	    "f:2: peers[1].group: no such group none; allowed: a group of"
	    " this machine\n"
	    "f:3: peers[2]: is nobody; allowed: user or group\n"
	    "f:4: peers[3]: is a user and a group; allowed: one\n"
	    "f:5: peers[4].may: is missing; allowed: " VERBS "\n"
	    "f:6: peers[5].may: is empty; allowed: a list of " VERBS "\n"
	    "f:7: peers[6].may[0]: \"exec\" is no request; allowed: " VERBS "\n"
	    "f:7: peers[6].may[2]: \"ps\" is there twice; allowed: each"
	    " request once\n" NONE },
	{ "pools that are none", "{\"network_pool\": \"10.0.0.1/8\"}",
	    "f:1: network_pool: \"10.0.0.1/8\" is no network of runs;"
	    " allowed: " POOL NONE },
	{ "a public pool", "{\"network_pool\": \"203.0.113.0/24\"}",
	    "f:1: network_pool: \"203.0.113.0/24\" is no network of runs;"
	    " allowed: " POOL NONE },
	{ "a pool too small for one", "{\"network_pool\": \"10.1.2.0/30\"}",
	    "f:1: network_pool: \"10.1.2.0/30\" is no network of runs;"
	    " allowed: " POOL NONE },
	{ "an IPv6 pool", "{\"network_pool\": \"fd00::/64\"}",
	    "f:1: network_pool: \"fd00::/64\" is no network of runs; allowed:"
	    " " POOL NONE },
	{ "fewer networks than runs", "{\"network_pool\": \"10.1.2.0/27\"}",
	    "f:1: network_pool: holds 4 networks of /29 for 8 runs; allowed:"
	    " at least one for each of capacity.runs\n" NONE },
	{ "a pool for one",
	    "{\"network_pool\": \"10.1.2.8/29\", \"capacity\": {\"runs\": 1}}",
	    NONE },
	{ "forges", "{\"forge\": \"http://h.example\"}",
	    "f:1: forge: \"http://h.example\" does not begin with https://;"
	    " allowed: " FORGE NONE },
	{ "a forge with a slash", "{\"forge\": \"https://h.example/\"}",
	    "f:1: forge: \"https://h.example/\" has an empty part in its"
	    " path; allowed: " FORGE NONE },
	{ "a forge with a user", "{\"forge\": \"https://u:p@h.example\"}",
	    "f:1: forge: \"https://u:p@h.example\" holds a user, a query or a"
	    " fragment; allowed: " FORGE NONE },
	{ "numbers",
	    "{\"capacity\": {\"memory\": \"8x\", \"cpus\": 0, \"pids\": 0,"
	    " \"runs\": 129},\n\"keep_runs\": 0,\n\"keep_days\": \"1\",\n"
	    "\"log_limit\": 1,\n\"proxy_port\": 65535,\n"
	    "\"interface_prefix\": \"eth\"}",
	    "f:1: capacity.memory: \"8x\" is no size; allowed: an integer or"
	    " a string as \"64m\" (k, m, g), 1048576 to 1125899906842624"
	    " bytes\n"
	    "f:1: capacity.cpus: 0 is out of bounds; allowed: " CPUS
	    "f:1: capacity.pids: 0 is out of bounds; allowed: an integer, 1"
	    " to 4194304\n"
	    "f:1: capacity.runs: 129 is out of bounds; allowed: an integer, 1"
	    " to 128\n"
	    "f:2: keep_runs: 0 is out of bounds; allowed: an integer, 1 to"
	    " 100000\n"
	    "f:3: keep_days: is a string; allowed: an integer, 1 to 36500\n"
	    "f:4: log_limit: 1 is out of bounds; allowed: an integer or a"
	    " string as \"64m\" (k, m, g), 65536 to 1125899906842624 bytes\n"
	    "f:5: proxy_port: 65535 is out of bounds; allowed: an integer, 1"
	    " to 65534\n"
	    "f:6: interface_prefix: \"eth\" is no prefix; allowed: one or two"
	    " of a-z and 0-9, then \"-\", and not \"br-\", which is"
	    " Docker's\n" NONE },
	{ "processors", "{" SH ", " DEV(", \"cpus\": \"1,5\"") "}",
	    "f:1: profiles.dev.cpus: \"1,5\" is no number of processors;"
	    " allowed: " CPUS },
	{ "tools",
	    "{\"tools\": {\"a\": {},\n\"b\": {\"argv\": []},\n"
	    "\"c\": {\"argv\": [\"\"]},\n"
	    "\"d\": {\"argv\": [\"x\", 1]},\n"
	    "\"e\": {\"argv\": [\"x\"], \"prompt\": \"argument\"},\n"
	    "\"f\": {\"argv\": [\"x\", \"{}\", \"{}\"],"
	    " \"prompt\": \"argument\"},\n"
	    "\"g\": {\"argv\": [\"{}\"], \"prompt\": \"argument\"},\n"
	    "\"h\": {\"argv\": [\"x\", \"{}\"]},\n"
	    "\"i\": {\"argv\": [\"x\"], \"prompt\": \"tty\"},\n"
	    "\"j k\": {\"argv\": [\"x\"]},\n"
	    "\"l.lock\": {\"argv\": [\"x\"]},\n"
	    "\"m\": {\"argv\": \"x\"}}}",
	    "f:1: tools.a.argv: is missing; allowed: a list of 1 to 64 words,"
	    " the first one a program\n"
	    "f:2: tools.b.argv: has 0 words; allowed: a list of 1 to 64"
	    " words, the first one a program\n"
	    "f:3: tools.c.argv[0]: has 0 bytes; allowed: at most 4096, and a"
	    " program's name\n"
	    "f:4: tools.d.argv[1]: is an integer; allowed: a word\n"
	    "f:5: tools.e.argv: has 0 words \"{}\"; allowed: one, where the"
	    " prompt goes\n"
	    "f:6: tools.f.argv: has 2 words \"{}\"; allowed: one, where the"
	    " prompt goes\n"
	    "f:7: tools.g.argv: would run the prompt; allowed: a program"
	    " first\n"
	    "f:8: tools.h.argv: has a word \"{}\", but the prompt is no"
	    " argument; allowed: none, or prompt \"argument\"\n"
	    "f:9: tools.i.prompt: \"tty\" is unknown; allowed: \"stdin\" or"
	    " \"file\" or \"argument\"\n"
	    "f:10: tools.j k: is no tool's name; allowed: " NAME
	    "f:11: tools.l.lock: is no tool's name; allowed: " NAME
	    "f:12: tools.m.argv: is a string; allowed: a list of 1 to 64"
	    " words, the first one a program\n" NONE },
	{ "environments",
	    "{" SH ", " DEV(
	        ", \"env\": {\"PATH\": \"/bin\","
	        " \"GIT_AUTHOR_NAME\": \"x\", \"AGENT_SANDBOX\": \"0\",\n"
	        "\"BULKHEAD_X\": \"\",\n\"all_proxy\": \"\",\n\"HTTPS_PROXY\":"
	        " \"\",\n\"HOME\": \"/\",\n\"1A\": \"\",\n\"\": \"\",\n\"A=B\":"
	        " \"\",\n\"N\": 1}") "}",
	    "f:1: profiles.dev.env.AGENT_SANDBOX: cannot be set; allowed:"
	    " " ENV
	    "f:2: profiles.dev.env.BULKHEAD_X: cannot be set; allowed: " ENV
	    "f:3: profiles.dev.env.all_proxy: cannot be set; allowed: " ENV
	    "f:4: profiles.dev.env.HTTPS_PROXY: cannot be set; allowed: " ENV
	    "f:5: profiles.dev.env.HOME: cannot be set; allowed: " ENV
	    "f:6: profiles.dev.env.1A: cannot be set; allowed: " ENV
	    "f:7: profiles.dev.env.: cannot be set; allowed: " ENV
	    "f:8: profiles.dev.env.A=B: cannot be set; allowed: " ENV
	    "f:9: profiles.dev.env.N: is an integer; allowed: a string\n" },
	{ "tools of profiles",
	    "{" SH ",\n\"profiles\": {\"a\": {},\n\"b\": {\"tools\": []},\n"
	    "\"c\": {\"tools\": [\"vi\"]},\n"
	    "\"d\": {\"tools\": [\"sh\", \"sh\"]},\n\"e\": 1,\n"
	    "\"-f\": {\"tools\": [\"sh\"]}}}",
	    "f:2: profiles.a.tools: is missing; allowed: a list of 1 to 64"
	    " names of tools\n"
	    "f:3: profiles.b.tools: has 0 entries; allowed: a list of 1 to 64"
	    " names of tools\n"
	    "f:6: profiles.e: is an integer; allowed: an object\n"
	    "f:7: profiles.-f: is no profile's name; allowed: " NAME
	    "f:4: profiles.c.tools: no such tool vi; allowed: names of"
	    " tools\n"
	    "f:5: profiles.d.tools: sh is there twice; allowed: each tool"
	    " once\n" },
	{ "memory holds the workspace",
	    "{" SH ", " DEV(", \"memory\": \"1g\", \"workspace\": \"1g\"") "}",
	    "f:1: profiles.dev.memory: 1073741824 bytes hold the workspace"
	    " too; allowed: at least 67108864 more than its 1073741824\n" },
	{ "just so",
	    "{" SH ", " DEV(", \"memory\": \"1088m\", \"workspace\":"
	                    " \"1g\"") "}",
	    "" },
	{ "a small memory alone", "{" SH ", " DEV(", \"memory\": \"96m\"") "}",
	    "" },
	{ "a memory too small for any",
	    "{" SH ", " DEV(", \"memory\": \"32m\"") "}",
	    "f:1: profiles.dev.memory: 33554432 bytes hold the workspace too;"
	    " allowed: at least 67108864 more than its 16777216\n" },
	{ "times",
	    "{" SH ", " DEV(", \"deadline\": \"5m\",\n\"hung_start\":"
	                    " \"5m\",\n\"idle\": \"10m\"") "}",
	    "f:2: profiles.dev.hung_start: 300000 ms never comes before the"
	    " deadline; allowed: below 300000 ms\n"
	    "f:3: profiles.dev.idle: 600000 ms never comes before the"
	    " deadline; allowed: below 300000 ms\n" },
	{ "a short deadline alone",
	    "{" SH ", " DEV(", \"deadline\": \"10s\"") "}", "" },
	{ "no deadline", "{" SH ", " DEV(", \"deadline\": 0") "}",
	    "f:1: profiles.dev.deadline: 0 is out of bounds; allowed: seconds"
	    " or a string as \"500ms\" (ms, s, m, h), 1000 to 2592000000"
	    " ms\n" },
	{ "what could never run",
	    "{\"capacity\": {\"memory\": \"1g\", \"cpus\": 1, \"pids\": 100}," SH
	    ",\n" DEV("") "}",
	    "f:2: profiles.dev.memory: 2147483648 bytes could never run;"
	    " allowed: at most capacity.memory, 1073741824\n"
	    "f:2: profiles.dev.cpus: 2000 thousandths could never run;"
	    " allowed: at most capacity.cpus, 1000\n"
	    "f:2: profiles.dev.pids: 512 processes could never run; allowed:"
	    " at most capacity.pids, 100\n" },
	{ "roots", "{" SH ", " DEV(", \"ca_file\": \"/ca.pem\"") "}", "" },
	{ "no roots", "{" SH ", " DEV(", \"ca_file\": \"/none\"") "}",
	    "f:1: profiles.dev.ca_file: /none cannot be read (No such file or"
	    " directory); allowed: a readable file of at most 1048576"
	    " bytes\n" },
	{ "defaults that are none",
	    "{" SH ", " DEV("") ",\n\"default_profile\": \"prod\",\n"
	                        "\"default_tool\": \"vi\"}",
	    "f:2: default_profile: no such profile prod; allowed: one of"
	    " profiles\n"
	    "f:3: default_tool: no such tool vi; allowed: one of tools\n" },
	{ "a default that is not permitted",
	    "{\"tools\": {\"sh\": {\"argv\": [\"sh\"]},\n\"x\": {\"argv\":"
	    " [\"x\"]}}, " DEV("") ",\n\"default_tool\": \"x\"}",
	    "warning: f:3: default_tool: profile dev does not permit x: a run"
	    " has to name its tool\n" },
};

START_TEST(test_rows)
{
	struct dispatch_config *cfg;
	char said[SAID_MAX];

	cfg = fixture_read(rows[_i].text, said);
	if (rows[_i].want == NULL)
		ck_assert(cfg == NULL && *said != '\0');
	else
		ck_assert_msg(strcmp(said, rows[_i].want) == 0, "%s: said\n%s",
		    rows[_i].name, said);
	dispatch_config_free(&cfg);
}
END_TEST

/* --- values
 * ------------------------------------------------------------------------------
 */

START_TEST(test_defaults)
{
	struct dispatch_config *cfg;
	char said[SAID_MAX], text[NETADDR_PREFIX_TEXT_MAX];

	cfg = fixture_read("{}", said);
	ck_assert_ptr_nonnull(cfg);
	ck_assert_str_eq(cfg->socket, "/run/bulkhead/dispatchd.sock");
	ck_assert_str_eq(cfg->state, "/var/lib/bulkhead/dispatchd");
	ck_assert_str_eq(cfg->audit, "/var/log/bulkhead/dispatchd.jsonl");
	ck_assert_str_eq(cfg->engine_socket, "/run/docker.sock");
	ck_assert_str_eq(cfg->egressd, "/run/bulkhead/egressd.sock");
	ck_assert_str_eq(cfg->prefix, "bh-");
	ck_assert_int_eq(cfg->proxy_port, 3128);
	ck_assert_str_eq(netprefix_text(&cfg->pool, text), "10.201.0.0/16");
	ck_assert_int_eq(cfg->capacity.memory, 8LL << 30);
	ck_assert_int_eq(cfg->capacity.cpus_milli, 4000);
	ck_assert_int_eq(cfg->capacity.pids, 4096);
	ck_assert_int_eq(cfg->capacity.runs, 8);
	ck_assert_str_eq(cfg->image, "bulkhead-agent:1");
	ck_assert_int_eq(cfg->log_limit, 64 << 20);
	ck_assert_int_eq(cfg->bundle_limit, 512 << 20);
	ck_assert_int_eq(cfg->disk_reserve, 2LL << 30);
	ck_assert_int_eq(cfg->keep_runs, 200);
	ck_assert_int_eq(cfg->keep_days, 30);
	ck_assert_str_eq(cfg->forge, "https://github.com");
	ck_assert_str_eq(cfg->user_parent, "bulkhead-dispatch");
	ck_assert_str_eq(cfg->user_frontend, "bulkhead-dispatch");
	ck_assert_str_eq(cfg->user_runs, "bulkhead-runs");
	ck_assert_str_eq(cfg->user_queue, "bulkhead-queue");
	ck_assert_str_eq(cfg->user_engine, "bulkhead-engine");
	ck_assert_str_eq(cfg->user_audit, "bulkhead-audit");
	ck_assert_ptr_null(cfg->default_profile);
	ck_assert_ptr_null(cfg->default_tool);
	dispatch_config_free(&cfg);
	ck_assert_ptr_null(cfg);
	dispatch_config_free(&cfg);
}
END_TEST

/* The configuration as the interface shows it. */
START_TEST(test_example)
{
	static const char text[] =
	    "{ \"socket\": \"/run/bulkhead/dispatchd.sock\",\n"
	    "  \"peers\": [ {\"group\": \"bulkhead\", \"may\": [\"run\", \"ps\","
	    " \"logs\", \"stop\", \"rm\", \"show\", \"status\"]} ],\n"
	    "  \"engine\": {\"driver\": \"docker\", \"socket\":"
	    " \"/run/docker.sock\"},\n"
	    "  \"capacity\": {\"memory\": \"8g\", \"cpus\": 4, \"pids\": 4096,"
	    " \"runs\": 8},\n"
	    "  \"image\": \"bulkhead-agent:1\", // pinned\n"
	    "  \"tools\": { \"sh\": {\"argv\": [\"/bin/sh\", \"-s\"],"
	    " \"prompt\": \"stdin\"},\n"
	    "    \"claude\": {\"argv\": [\"claude\", \"-p\"],"
	    " \"prompt\": \"stdin\", \"env\": {\"DISABLE_AUTOUPDATER\":"
	    " \"1\"}},\n"
	    "    \"arg\": {\"argv\": [\"x\", \"{}\"], \"prompt\":"
	    " \"argument\"} },\n"
	    "  \"profiles\": { \"dev\": {\"tools\": [\"sh\", \"claude\"],"
	    " \"egress\": \"out\", \"memory\": \"2g\", \"cpus\": \"1.5\","
	    " \"pids\": 512, \"workspace\": \"1g\", \"deadline\": \"30m\","
	    " \"hung_start\": \"5m\", \"idle\": \"10m\","
	    " \"env\": {\"A\": \"b\"}, \"ca_file\": \"/ca.pem\"} },\n"
	    "  \"default_profile\": \"dev\", \"default_tool\": \"sh\" }\n";
	const struct dispatch_profile *p;
	const struct dispatch_tool *t;
	struct dispatch_config *cfg;
	char said[SAID_MAX];

	cfg = fixture_read(text, said);
	ck_assert_str_eq(said, "");
	ck_assert_uint_eq(cfg->npeers, 1);
	ck_assert(cfg->peers[0].group && cfg->peers[0].id == 4712);
	ck_assert_uint_eq(cfg->peers[0].nmay, 7);
	t = dispatch_tool_find(cfg, "claude");
	ck_assert_uint_eq(t->argc, 2);
	ck_assert_str_eq(t->argv[1], "-p");
	ck_assert_int_eq(t->prompt, PROMPT_STDIN);
	ck_assert_str_eq(t->env.name[0], "DISABLE_AUTOUPDATER");
	ck_assert_int_eq(
	    dispatch_tool_find(cfg, "arg")->prompt, PROMPT_ARGUMENT);
	p = dispatch_profile_find(cfg, "dev");
	ck_assert_str_eq(p->egress, "out");
	ck_assert_int_eq(p->memory, 2LL << 30);
	ck_assert_int_eq(p->workspace, 1 << 30);
	ck_assert_int_eq(p->cpus_milli, 1500);
	ck_assert_int_eq(p->deadline_ms, 1800000);
	ck_assert_int_eq(p->hung_start_ms, 300000);
	ck_assert_int_eq(p->idle_ms, 600000);
	ck_assert_str_eq(p->ca, fixture_ca);
	ck_assert_uint_eq(p->ca_len, strlen(fixture_ca));
	ck_assert(dispatch_profile_has(p, "claude"));
	ck_assert(!dispatch_profile_has(p, "arg"));
	ck_assert_str_eq(cfg->default_profile, "dev");
	ck_assert_str_eq(cfg->default_tool, "sh");
	dispatch_config_free(&cfg);
}
END_TEST

/* What was not given gives way. */
START_TEST(test_settled)
{
	const struct dispatch_profile *p;
	struct dispatch_config *cfg;
	char said[SAID_MAX];

	cfg = fixture_read(
	    "{" SH ", " DEV(", \"deadline\": 10, \"memory\": \"96m\"") "}",
	    said);
	ck_assert_str_eq(said, "");
	p = dispatch_profile_find(cfg, "dev");
	ck_assert_str_eq(p->egress, "dev");
	ck_assert_int_eq(p->hung_start_ms, 10000);
	ck_assert_int_eq(p->idle_ms, 10000);
	ck_assert_int_eq(p->workspace, 32 << 20);
	ck_assert_str_eq(cfg->default_profile, "dev");
	ck_assert_str_eq(cfg->default_tool, "sh");
	dispatch_config_free(&cfg);
}
END_TEST

START_TEST(test_no_certificate)
{
	struct dispatch_config *cfg;
	char said[SAID_MAX];

	fixture_ca = "-----BEGIN PRIVATE KEY-----\n";
	cfg = fixture_read(
	    "{" SH ", " DEV(", \"ca_file\": \"/ca.pem\"") "}", said);
	ck_assert_ptr_null(cfg);
	ck_assert_str_eq(said,
	    "f:1: profiles.dev.ca_file: /ca.pem holds no certificate;"
	    " allowed: certificates in PEM\n");
}
END_TEST

START_TEST(test_cpus)
{
	static const struct {
		const char *text;
		int64_t want; /* 0: refused */
	} cpus[] = { { "1", 1000 }, { "\"1\"", 1000 }, { "\"0.5\"", 500 },
		{ "\"3.999\"", 3999 }, { "\"0.01\"", 10 }, { "\"0.009\"", 0 },
		{ "\"0\"", 0 }, { "\".5\"", 0 }, { "\"1.\"", 0 },
		{ "\"01\"", 0 }, { "\"1.0000\"", 0 }, { "\"-1\"", 0 },
		{ "-1", 0 }, { "\"1e1\"", 0 }, { "\"99999\"", 0 },
		{ "\" 1\"", 0 } };
	char text[512], said[SAID_MAX];
	struct dispatch_config *cfg;

	snprintf(text, sizeof(text),
	    "{" SH ", \"profiles\": {\"dev\": {\"tools\": [\"sh\"], \"cpus\":"
	    " %s}}}",
	    cpus[_i].text);
	cfg = fixture_read(text, said);
	ck_assert_int_eq(cfg == NULL, cpus[_i].want == 0);
	if (cfg != NULL)
		ck_assert_int_eq(cfg->profiles[0].cpus_milli, cpus[_i].want);
	dispatch_config_free(&cfg);
}
END_TEST

/* Lists beyond their limits are refused whole, not cut. */
START_TEST(test_many)
{
	static char text[1 << 20];
	static const struct {
		const char *head, *row, *tail, *want;
		int n;
	} lists[] = {
		{ "{\"tools\": {", "\"t%d\": {\"argv\": [\"x\"]}", "}}",
		    "f:1: tools: has 65 entries; allowed: 64\n" NONE, 65 },
		{ "{\"profiles\": {", "\"p%d\": {\"tools\": [\"x\"]}", "}}",
		    "f:1: profiles: has 257 entries; allowed: 256\n" NONE,
		    257 },
		{ "{\"peers\": [",
		    "{\"user\": \"operator\", \"may\": [\"ps\"]}", "]}",
		    "f:1: peers: has 257 entries; allowed: 256\n" NONE, 257 },
		{ "{\"tools\": {\"x\": {\"argv\": [", "\"w%d\"", "]}}}",
		    "f:1: tools.x.argv: has 65 words; allowed: a list of 1 to"
		    " 64 words, the first one a program\n" NONE,
		    65 },
		{ "{\"tools\": {\"x\": {\"argv\": [\"x\"], \"env\": {",
		    "\"E%d\": \"\"", "}}}}",
		    "f:1: tools.x.env: has 49 entries; allowed: 48\n" NONE,
		    49 },
	};
	struct dispatch_config *cfg;
	char said[SAID_MAX], row[128];
	const char *at;
	int i;

	(void)strlcpy(text, lists[_i].head, sizeof(text));
	for (i = 0; i < lists[_i].n; i++) {
		at = strstr(lists[_i].row, "%d");
		if (at == NULL)
			(void)strlcpy(row, lists[_i].row, sizeof(row));
		else
			snprintf(row, sizeof(row), "%.*s%d%s",
			    (int)(at - lists[_i].row), lists[_i].row, i,
			    at + 2);
		(void)strlcat(text, i == 0 ? "" : ",", sizeof(text));
		(void)strlcat(text, row, sizeof(text));
	}
	(void)strlcat(text, lists[_i].tail, sizeof(text));
	cfg = fixture_read(text, said);
	ck_assert_ptr_null(cfg);
	ck_assert_str_eq(said, lists[_i].want);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("dispatchd_config");
	TCase *tc = tcase_create("config");
	SRunner *sr;
	int failed;

	LOOP(tc, test_rows, rows);
	tcase_add_test(tc, test_defaults);
	tcase_add_test(tc, test_example);
	tcase_add_test(tc, test_settled);
	tcase_add_test(tc, test_no_certificate);
	tcase_add_loop_test(tc, test_cpus, 0, 16);
	tcase_add_loop_test(tc, test_many, 0, 5);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
