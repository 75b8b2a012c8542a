#include "config_fixture.h"

#include "egressd/egressd_config.h"

/* --- what is refused, word for word ----------------------------------- */

#define VERBS "run.open, run.close, runs.sync, run.status, status"
#define NOTHING "warning: f:1: profiles: there is none: everything is denied\n"
#define P "\"profiles\": {\"p\": {\"allow\": [{\"host\": \"a.example\"}]}}"

#define TABLE_ALLOWED                                                        \
	"1 to 32 letters, digits, \"_\", \"-\", a letter first, and no name" \
	" that others use\n"
#define PREFIX_ALLOWED                                                     \
	"one or two of a-z and 0-9, then \"-\", and not \"br-\", which is" \
	" Docker's\n"
#define NETWORK_ALLOWED                                                \
	"an IPv4 network as ADDRESS/BITS, at most 29 bits, of private" \
	" addresses\n"

static const struct {
	const char *name;
	const char *text;
	const char *want;
} rows[] = {
	{ "F4 nothing", "{}", NOTHING },
	{ "F4 no profile", "{\"profiles\": {}}", NOTHING },
	{ "F4 empty allow", "{\"profiles\": {\"p\": {\"allow\": []}}}",
	    "warning: f:1: profiles.p: has no allow rule: it denies"
	    " everything\n" },
	{ "F4 no lists", "{\"profiles\": {\"p\": {}}}",
	    "warning: f:1: profiles.p: has no allow rule: it denies"
	    " everything\n" },
	{ "F4 unknown key", "{\"profile\": {}}",
	    "f:1: profile: unknown key; allowed: socket, peers, resolvers,"
	    " hosts_file, workers, audit, users, nft, nft_table, interface_prefix, run_networks, proxy_port, listeners, profiles\n" },
	{ "F4 unknown key of a profile",
	    "{\"profiles\": {\"p\": {\"alow\": []}}}",
	    "f:1: profiles.p.alow: unknown key; allowed: allow, deny\n" },
	{ "F4 wrong types",
	    "{\"profiles\": [],\n\"listeners\": {},\n\"peers\": {},\n"
	    "\"resolvers\": \"192.0.2.1\",\n\"users\": [],\n\"nft\": 0}",
	    "f:1: profiles: is a list; allowed: an object of profiles\n"
	    "f:2: listeners: is an object; allowed: a list of listeners\n"
	    "f:3: peers: is an object; allowed: a list of peers\n"
	    "f:4: resolvers: is a string; allowed: a list of name servers\n"
	    "f:5: users: is a list; allowed: an object\n"
	    "f:6: nft: is an integer; allowed: true or false\n" },
	{ "F4 wrong types within",
	    "{\"profiles\": {\"p\": [],\n\"q\": {\"allow\": {},\n"
	    "\"deny\": 1},\n\"r\": {\"allow\": [\"a.example\"]}}}",
	    "f:1: profiles.p: is a list; allowed: an object\n"
	    "f:2: profiles.q.allow: is an object; allowed: a list of rules\n"
	    "f:3: profiles.q.deny: is an integer; allowed: a list of rules\n"
	    "f:4: profiles.r.allow[0]: is a string; allowed: an object\n" },
	{ "of runs: wrong types",
	    "{\"nft_table\": 1,\n\"interface_prefix\": [],\n"
	    "\"run_networks\": \"10.0.0.0/8\",\n\"proxy_port\": \"3128\"}",
	    "f:1: nft_table: is an integer; allowed: " TABLE_ALLOWED
	    "f:2: interface_prefix: is a list; allowed: " PREFIX_ALLOWED
	    "f:3: run_networks: is a string; allowed: a list of IPv4"
	    " networks\n"
	    "f:4: proxy_port: is a string; allowed: an integer, 1 to"
	    " 65534\n" },
	{ "tables of others", "{\"nft_table\": \"filter\"}",
	    "f:1: nft_table: \"filter\" cannot be ours; allowed: " TABLE_ALLOWED },
	{ "tables that are none", "{\"nft_table\": \"9a\"}",
	    "f:1: nft_table: \"9a\" cannot be ours; allowed: " TABLE_ALLOWED },
	{ "a table with a blank", "{\"nft_table\": \"a b\"}",
	    "f:1: nft_table: \"a b\" cannot be ours; allowed: " TABLE_ALLOWED },
	{ "a table's name at its limit",
	    "{\"nft_table\": \"a23456789_123456789-123456789012\", " P "}",
	    "" },
	{ "a table's name above it",
	    "{\"nft_table\": \"a23456789_123456789-1234567890123\"}",
	    "f:1: nft_table: \"a23456789_123456789-1234567890123\" cannot be"
	    " ours; allowed: " TABLE_ALLOWED },
	{ "a prefix of nothing", "{\"interface_prefix\": \"\"}",
	    "f:1: interface_prefix: \"\" is no prefix; allowed: " PREFIX_ALLOWED },
	{ "a prefix of eth0", "{\"interface_prefix\": \"eth\"}",
	    "f:1: interface_prefix: \"eth\" is no prefix; allowed: " PREFIX_ALLOWED },
	{ "a prefix of everything", "{\"interface_prefix\": \"-\"}",
	    "f:1: interface_prefix: \"-\" is no prefix; allowed: " PREFIX_ALLOWED },
	{ "a prefix too long for 15 bytes", "{\"interface_prefix\": \"bhx-\"}",
	    "f:1: interface_prefix: \"bhx-\" is no prefix; allowed: " PREFIX_ALLOWED },
	{ "the prefix of Docker's bridges", "{\"interface_prefix\": \"br-\"}",
	    "f:1: interface_prefix: \"br-\" is no prefix; allowed: " PREFIX_ALLOWED },
	{ "prefixes", "{\"interface_prefix\": \"t7-\", " P "}", "" },
	{ "networks",
	    "{\"run_networks\": [\"10.201.0.0/16\", \"192.168.7.8/29\"], " P
	    "}",
	    "" },
	{ "no networks", "{\"run_networks\": [], " P "}", "" },
	{ "networks that are none",
	    "{\"run_networks\": [\"10.0.0.1/8\",\n\"fd00::/64\",\n"
	    "\"10.1.2.0/30\",\n\"203.0.113.0/24\",\n\"127.0.0.0/8\",\n1,\n"
	    "\"192.168.0.0/13\"]}",
	    "f:1: run_networks[0]: \"10.0.0.1/8\" is no network of runs;"
	    " allowed: " NETWORK_ALLOWED
	    "f:2: run_networks[1]: \"fd00::/64\" is no network of runs;"
	    " allowed: " NETWORK_ALLOWED
	    "f:3: run_networks[2]: \"10.1.2.0/30\" is no network of runs;"
	    " allowed: " NETWORK_ALLOWED
	    "f:4: run_networks[3]: \"203.0.113.0/24\" is no network of runs;"
	    " allowed: " NETWORK_ALLOWED
	    "f:5: run_networks[4]: \"127.0.0.0/8\" is no network of runs;"
	    " allowed: " NETWORK_ALLOWED
	    "f:6: run_networks[5]: is an integer; allowed: " NETWORK_ALLOWED
	    "f:7: run_networks[6]: \"192.168.0.0/13\" is no network of runs;"
	    " allowed: " NETWORK_ALLOWED },
	{ "networks that overlap",
	    "{\"run_networks\": [\"10.1.0.0/16\", \"10.0.0.0/8\"]}",
	    "f:1: run_networks[1]: \"10.0.0.0/8\" overlaps run_networks[0];"
	    " allowed: each address once\n" },
	{ "the last port has no canary", "{\"proxy_port\": 65535}",
	    "f:1: proxy_port: 65535 is out of bounds; allowed: an integer, 1"
	    " to 65534\n" },
	{ "nft", "{\"nft\": false, " P "}", "" },
	{ "workers below", "{\"workers\": 0}",
	    "f:1: workers: 0 is out of bounds; allowed: an integer, 1 to"
	    " 16\n" },
	{ "workers above", "{\"workers\": 17}",
	    "f:1: workers: 17 is out of bounds; allowed: an integer, 1 to"
	    " 16\n" },
	{ "paths", "{\"socket\": \"x.sock\",\n\"audit\": \"x.jsonl\"}",
	    "f:1: socket: \"x.sock\" is not absolute; allowed: an absolute"
	    " path of 2 to 107 bytes\n"
	    "f:2: audit: \"x.jsonl\" is not absolute; allowed: an absolute"
	    " path of 2 to 4095 bytes\n" },
	{ "a socket's path must fit",
	    "{\"socket\": \"/1234567890123456789012345678901234567890123456"
	    "78901234567890123456789012345678901234567890123456789012345\"}",
	    "" NOTHING },
	{ "a socket's path must fit",
	    "{\"socket\": \"/1234567890123456789012345678901234567890123456"
	    "789012345678901234567890123456789012345678901234567890123456789"
	    "\"}",
	    "f:1: socket: has 110 bytes; allowed: an absolute path of 2 to"
	    " 107 bytes\n" },
	{ "users",
	    "{\"users\": {\"proxy\": \"\",\n\"signer\": \"x\",\n\"fw\": 1}}",
	    "f:1: users.proxy: has 0 bytes; allowed: a string of 1 to 256"
	    " bytes\n"
	    "f:2: users.signer: unknown key; allowed: egress, frontend,"
	    " proxy, resolver, fw, audit\n"
	    "f:3: users.fw: is an integer; allowed: a string of 1 to 256"
	    " bytes\n" },
	{ "peers",
	    "{\"peers\": [{\"user\": \"nobody.here\", \"may\": [\"status\"]},"
	    "\n{\"group\": \"none\", \"may\": [\"status\"]},\n"
	    "{\"may\": [\"status\"]},\n"
	    "{\"user\": \"queue\", \"group\": \"operators\","
	    " \"may\": [\"status\"]},\n"
	    "{\"user\": \"queue\"},\n"
	    "{\"user\": \"queue\", \"may\": []},\n"
	    "{\"user\": \"queue\", \"may\": \"status\"},\n"
	    "{\"user\": \"queue\", \"may\": [\"run\", \"status\","
	    " \"status\", 1]},\n"
	    "{\"user\": 4711, \"may\": [\"status\"]},\n"
	    "{\"user\": \"queue\", \"may\": [\"status\"], \"id\": 1},\n"
	    "\"queue\"]}",
	    "f:1: peers[0].user: no such user nobody.here; allowed: a user of"
	    " this machine\n"
	    "f:2: peers[1].group: no such group none; allowed: a group of"
	    " this machine\n"
	    "f:3: peers[2]: is nobody; allowed: user or group\n"
	    "f:4: peers[3]: is a user and a group; allowed: one\n"
	    "f:5: peers[4].may: is missing; allowed: " VERBS "\n"
	    "f:6: peers[5].may: is empty; allowed: a list of " VERBS "\n"
	    "f:7: peers[6].may: is a string; allowed: a list of " VERBS "\n"
	    "f:8: peers[7].may[0]: \"run\" is no request; allowed: " VERBS "\n"
	    "f:8: peers[7].may[2]: \"status\" is there twice; allowed: each"
	    " request once\n"
	    "f:8: peers[7].may[3]: is an integer; allowed: " VERBS "\n"
	    "f:9: peers[8].user: is an integer; allowed: a string of 1 to 256"
	    " bytes\n"
	    "f:10: peers[9].id: unknown key; allowed: user, group, may\n"
	    "f:11: peers[10]: is a string; allowed: an object\n" },
	{ "resolvers",
	    "{\"resolvers\": [\"dns.example\",\n\"192.0.2.1:0\",\n"
	    "\"::1:53:\",\n53]}",
	    "f:1: resolvers[0]: \"dns.example\" is no name server; allowed:"
	    " ADDRESS, ADDRESS:PORT or [V6]:PORT\n"
	    "f:2: resolvers[1]: \"192.0.2.1:0\" is no name server; allowed:"
	    " ADDRESS, ADDRESS:PORT or [V6]:PORT\n"
	    "f:3: resolvers[2]: \"::1:53:\" is no name server; allowed:"
	    " ADDRESS, ADDRESS:PORT or [V6]:PORT\n"
	    "f:4: resolvers[3]: is an integer; allowed: ADDRESS, ADDRESS:PORT"
	    " or [V6]:PORT\n" },
	{ "no resolvers", "{\"resolvers\": []}",
	    "f:1: resolvers: has 0 entries; allowed: 1 to 8, or no such key"
	    " for those of /etc/resolv.conf\n" },
	{ "too many resolvers",
	    "{\"resolvers\": [\"192.0.2.1\", \"192.0.2.2\", \"192.0.2.3\","
	    " \"192.0.2.4\", \"192.0.2.5\", \"192.0.2.6\", \"192.0.2.7\","
	    " \"192.0.2.8\", \"192.0.2.9\"]}",
	    "f:1: resolvers: has 9 entries; allowed: 1 to 8, or no such key"
	    " for those of /etc/resolv.conf\n" },
	{ "hosts file", "{\"hosts_file\": \"/none\"}",
	    "f:1: hosts_file: /none cannot be read (No such file or"
	    " directory); allowed: a readable file of at most 1048576"
	    " bytes\n" },
	{ "hosts file", "{\"hosts_file\": \"hosts\"}",
	    "f:1: hosts_file: \"hosts\" is not absolute; allowed: an absolute"
	    " path of 2 to 4095 bytes\n" },
	{ "listeners",
	    "{\"listeners\": [{},\n"
	    "{\"name\": \"a b\", \"address\": \"127.0.0.1\","
	    " \"profile\": \"p\"},\n"
	    "{\"name\": \"l\", \"address\": \"127.0.0.1:3128\","
	    " \"profile\": \"q\"},\n"
	    "{\"name\": \"l\", \"address\": \"127.0.0.1:3128\","
	    " \"profile\": \"p\"},\n"
	    "{\"name\": \"m\", \"address\": \"localhost:3128\","
	    " \"profile\": \"p\"},\n"
	    "{\"name\": \"n\", \"address\": \"[::1]:0\","
	    " \"profile\": \"p\", \"port\": 1}, 5], " P "}",
	    "f:1: listeners[0].name: is missing; allowed: a string of 1 to 64"
	    " bytes\n"
	    "f:1: listeners[0].address: is missing; allowed: ADDRESS:PORT or"
	    " [V6]:PORT\n"
	    "f:1: listeners[0].profile: is missing; allowed: the name of a"
	    " profile\n"
	    "f:2: listeners[1].name: \"a b\" is no name; allowed: 1 to 64"
	    " letters, digits, \".\", \"_\", \"-\"\n"
	    "f:2: listeners[1].address: \"127.0.0.1\" is no address with a"
	    " port; allowed: ADDRESS:PORT or [V6]:PORT\n"
	    "f:4: listeners[3].name: \"l\" is taken by listeners[2]; allowed:"
	    " a name of its own\n"
	    "f:4: listeners[3].address: is taken by listeners[2]; allowed: an"
	    " address of its own\n"
	    "f:5: listeners[4].address: \"localhost:3128\" is no address with"
	    " a port; allowed: ADDRESS:PORT or [V6]:PORT\n"
	    "f:6: listeners[5].port: unknown key; allowed: name, address,"
	    " profile\n"
	    "f:6: listeners[5].address: \"[::1]:0\" is no address with a"
	    " port; allowed: ADDRESS:PORT or [V6]:PORT\n"
	    "f:6: listeners[6]: is an integer; allowed: an object\n"
	    "f:3: listeners[2].profile: no such profile q; allowed: one of"
	    " profiles\n" },
	{ "profile's name", "{\"profiles\": {\"a/b\": {}, \"\": {}}}",
	    "f:1: profiles.a/b: is no profile's name; allowed: 1 to 64"
	    " letters, digits, \".\", \"_\", \"-\"\n"
	    "f:1: profiles.: is no profile's name; allowed: 1 to 64"
	    " letters, digits, \".\", \"_\", \"-\"\n" },
};

START_TEST(test_rows)
{
	struct egress_config *cfg;
	char said[SAID_MAX];

	cfg = fixture_read(rows[_i].text, said);
	ck_assert_msg(strcmp(said, rows[_i].want) == 0, "%s: said\n%s",
	    rows[_i].name, said);
	egress_config_free(&cfg);
}
END_TEST

/* --- values ----------------------------------------------------------- */

START_TEST(test_defaults)
{
	struct egress_config *cfg;
	char said[SAID_MAX], addr[NETADDR_TEXT_MAX];

	fixture_resolv = "nameserver 192.0.2.7\nnameserver 2001:db8::7\n";
	cfg = fixture_read("{}", said);
	ck_assert_ptr_nonnull(cfg);
	ck_assert_str_eq(cfg->socket, "/run/bulkhead/egressd.sock");
	ck_assert_str_eq(cfg->audit, "/var/log/bulkhead/egressd.jsonl");
	ck_assert_ptr_null(cfg->hosts_file);
	ck_assert_int_eq(cfg->workers, 2);
	ck_assert(cfg->nft);
	ck_assert_str_eq(cfg->nft_table, "bulkhead");
	ck_assert_str_eq(cfg->prefix, "bh-");
	ck_assert_int_eq(cfg->proxy_port, 3128);
	ck_assert_uint_eq(cfg->nnetworks, 1);
	ck_assert_str_eq(cfg->user_parent, "bulkhead-egress");
	ck_assert_str_eq(cfg->user_frontend, "bulkhead-egress");
	ck_assert_str_eq(cfg->user_proxy, "bulkhead-proxy");
	ck_assert_str_eq(cfg->user_resolver, "bulkhead-resolver");
	ck_assert_str_eq(cfg->user_fw, "bulkhead-fw");
	ck_assert_str_eq(cfg->user_audit, "bulkhead-audit");
	ck_assert_uint_eq(cfg->npeers, 0);
	ck_assert_uint_eq(cfg->nlisteners, 0);
	ck_assert_uint_eq(cfg->nprofiles, 0);
	ck_assert_uint_eq(cfg->nhosts, 0);
	ck_assert_uint_eq(cfg->nservers, 2);
	ck_assert_str_eq(
	    netaddr_text(&cfg->servers[1].addr, addr), "2001:db8::7");
	ck_assert_uint_eq(cfg->servers[1].port, 53);
	/* Of the two bytes. */
	ck_assert_str_eq(cfg->sha256,
	    "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
	egress_config_free(&cfg);
	ck_assert_ptr_null(cfg);
	egress_config_free(&cfg);
}
END_TEST

START_TEST(test_values)
{
	static const char text[] =
	    "{\"socket\": \"/s\", \"audit\": \"/a\", \"workers\": 16,\n"
	    "\"hosts_file\": \"/hosts\",\n"
	    "\"users\": {\"egress\": \"e\", \"proxy\": \"p\", \"fw\": \"f\",\n"
	    "  \"resolver\": \"r\", \"audit\": \"a\"},\n"
	    "\"peers\": [{\"user\": \"queue\", \"may\": [\"run.open\","
	    " \"run.close\", \"runs.sync\", \"run.status\", \"status\"]},\n"
	    "  {\"group\": \"operators\", \"may\": [\"status\"]}],\n"
	    "\"resolvers\": [\"192.0.2.53\", \"[2001:db8::53]:5353\"],\n"
	    "\"listeners\": [{\"name\": \"l\", \"profile\": \"p.1_-\","
	    " \"address\": \"[::1]:3128\"}],\n"
	    "\"profiles\": {\"p.1_-\": {\"deny\": [{\"host\": \"X.example\"}],"
	    " \"allow\": [{\"cidr\": \"192.0.0.0/8\", \"port\": 22}]}}}";
	const struct egress_profile *p;
	struct egress_config *cfg;
	char said[SAID_MAX], addr[NETADDR_TEXT_MAX];

	fixture_hosts = "192.0.2.80 web\n192.0.2.81 db\n";
	cfg = fixture_read(text, said);
	ck_assert_str_eq(said, "");
	ck_assert_str_eq(cfg->socket, "/s");
	ck_assert_str_eq(cfg->audit, "/a");
	ck_assert_int_eq(cfg->workers, 16);
	ck_assert_str_eq(cfg->user_parent, "e");
	ck_assert_str_eq(cfg->user_frontend, "e");
	ck_assert_str_eq(cfg->user_proxy, "p");
	ck_assert_uint_eq(cfg->npeers, 2);
	ck_assert(!cfg->peers[0].group && cfg->peers[1].group);
	ck_assert_uint_eq(cfg->peers[0].id, 4711);
	ck_assert_uint_eq(cfg->peers[0].nmay, 5);
	ck_assert_str_eq(cfg->peers[0].may[2], "runs.sync");
	ck_assert_uint_eq(cfg->peers[1].id, 4712);
	ck_assert_uint_eq(cfg->peers[1].nmay, 1);
	ck_assert_uint_eq(cfg->nservers, 2);
	ck_assert_uint_eq(cfg->servers[0].port, 53);
	ck_assert_uint_eq(cfg->servers[1].port, 5353);
	ck_assert_uint_eq(cfg->nhosts, 2);
	ck_assert_str_eq(cfg->hosts[1].name, "db");
	ck_assert_uint_eq(cfg->nlisteners, 1);
	ck_assert_str_eq(netaddr_text(&cfg->listeners[0].addr, addr), "::1");
	ck_assert_uint_eq(cfg->listeners[0].port, 3128);
	p = egress_profile_find(cfg, cfg->listeners[0].profile);
	ck_assert_ptr_eq(p, &cfg->profiles[0]);
	ck_assert_ptr_null(egress_profile_find(cfg, "p"));
	/* Allow first, whatever the order of the text. */
	ck_assert_uint_eq(p->nrules, 2);
	ck_assert(!p->rules[0].deny && p->rules[1].deny);
	ck_assert_uint_eq(p->rules[0].port, 22);
	ck_assert_ptr_null(p->rules[0].host);
	ck_assert_str_eq(p->rules[1].host, "x.example");
	egress_config_free(&cfg);
}
END_TEST

START_TEST(test_no_resolvers)
{
	struct egress_config *cfg;
	char said[SAID_MAX];

	fixture_resolv = "search example\n";
	cfg = fixture_read("\n{}", said);
	ck_assert_ptr_null(cfg);
	ck_assert_str_eq(said,
	    "f:2: resolvers: is missing and /etc/resolv.conf names no server;"
	    " allowed: a list of name servers\n");
	fixture_resolv = NULL;
	cfg = fixture_read("\n{}", said);
	ck_assert_ptr_null(cfg);
	ck_assert_str_eq(said,
	    "f:2: resolvers: is missing and /etc/resolv.conf cannot be read"
	    " (No such file or directory); allowed: a list of name"
	    " servers\n");
	/* Nobody looks at the file when servers are given. */
	cfg = fixture_read("{\"resolvers\": [\"192.0.2.1\"], " P "}", said);
	ck_assert_str_eq(said, "");
	egress_config_free(&cfg);
}
END_TEST

static char *
many(const char *head, const char *row, size_t n, const char *tail)
{
	size_t size = strlen(head) + n * (strlen(row) + 24) + strlen(tail) + 1;
	char *text = malloc(size), number[24];
	size_t i;

	ck_assert_ptr_nonnull(text);
	strlcpy(text, head, size);
	for (i = 0; i < n; i++) {
		snprintf(number, sizeof(number), "%zu", i);
		strlcat(text, row, size);
		strlcat(text, number, size);
		strlcat(text, "\n", size);
	}
	strlcat(text, tail, size);
	return text;
}

START_TEST(test_many_hosts)
{
	struct egress_config *cfg;
	char said[SAID_MAX], *text;

	text = many("", "192.0.2.1 h", EGRESS_HOSTS_MAX, "");
	fixture_hosts = text;
	cfg = fixture_read("{\"hosts_file\": \"/hosts\"}", said);
	ck_assert_str_eq(said, NOTHING);
	ck_assert_uint_eq(cfg->nhosts, EGRESS_HOSTS_MAX);
	egress_config_free(&cfg);
	free(text);
	text = many("", "192.0.2.1 h", EGRESS_HOSTS_MAX + 1, "");
	fixture_hosts = text;
	cfg = fixture_read("{\"hosts_file\": \"/hosts\"}", said);
	ck_assert_str_eq(said,
	    "f:1: hosts_file: /hosts holds too many names; allowed: 4096\n");
	free(text);
}
END_TEST

/* One below and one above each limit of the tables. */
START_TEST(test_many_rules)
{
	struct egress_config *cfg;
	char said[SAID_MAX], *text;

	text =
	    many("{\"profiles\": {\"p\": {\"allow\": [", "{\"host\":\"a\"},//",
	        EGRESS_RULES_MAX - 1, "{\"host\":\"z\"}], \"deny\": []}}}");
	cfg = fixture_read(text, said);
	ck_assert_ptr_nonnull(cfg);
	ck_assert_uint_eq(cfg->profiles[0].nrules, EGRESS_RULES_MAX);
	egress_config_free(&cfg);
	free(text);
	text = many("{\"profiles\": {\"p\": {\"allow\": [",
	    "{\"host\":\"a\"},//", EGRESS_RULES_MAX - 1,
	    "{\"host\":\"z\"}],\n\"deny\": [{\"host\":\"y\"}]}}}");
	cfg = fixture_read(text, said);
	ck_assert_ptr_null(cfg);
	ck_assert_str_eq(said,
	    "f:4097: profiles.p.deny: is one rule too many; allowed: 4096 in"
	    " a profile\n");
	free(text);
}
END_TEST

START_TEST(test_many_entries)
{
	static const struct {
		const char *head, *row, *last, *tail, *want;
		size_t max;
	} t[] = {
		{ "{\"profiles\": {", "\"p%zu\": {},", "\"q\": {}", "}}",
		    "f:1: profiles: has 257 entries; allowed: 256\n",
		    EGRESS_PROFILES_MAX },
		{ "{\"peers\": [", "{\"user\":\"queue\",\"may\":[\"status\"]},",
		    "{\"user\":\"queue\",\"may\":[\"status\"]}", "]}",
		    "f:1: peers: has 257 entries; allowed: 256\n",
		    CONF_PEERS_MAX },
		{ "{\"listeners\": [", "1,", "1", "]}",
		    "f:1: listeners: has 65 entries; allowed: 64\n",
		    EGRESS_LISTENERS_MAX },
	};
	struct egress_config *cfg;
	char said[SAID_MAX], text[32768], row[64];
	size_t i;

	strlcpy(text, t[_i].head, sizeof(text));
	for (i = 0; i < t[_i].max; i++) {
		if (_i == 0)
			snprintf(row, sizeof(row), "\"p%zu\": {},", i);
		else
			strlcpy(row, t[_i].row, sizeof(row));
		strlcat(text, row, sizeof(text));
	}
	strlcat(text, t[_i].last, sizeof(text));
	strlcat(text, t[_i].tail, sizeof(text));
	cfg = fixture_read(text, said);
	ck_assert_ptr_null(cfg);
	ck_assert_str_eq(said, t[_i].want);
}
END_TEST

/* F7: the handle that was read before is not touched by one that fails. */
START_TEST(test_reload)
{
	struct egress_config *old, *cfg;
	char said[SAID_MAX];

	old = fixture_read("{" P "}", said);
	cfg = fixture_read("{" P, said);
	ck_assert_ptr_null(cfg);
	ck_assert_str_eq(old->profiles[0].rules[0].host, "a.example");
	egress_config_free(&old);
}
END_TEST

/* The reader for this machine: root is everywhere. */
START_TEST(test_system)
{
	static const char text[] =
	    "{\"resolvers\": [\"192.0.2.1\"],\n"
	    "\"peers\": [{\"user\": \"root\", \"may\": [\"status\"]},\n"
	    "{\"user\": \"no-such.user\", \"may\": [\"status\"]},\n"
	    "{\"group\": \"no-such.group\", \"may\": [\"status\"]}]}";
	struct egress_config *cfg;
	struct conf *c;

	cfg = egress_config_read("f", text, strlen(text), &c);
	ck_assert_ptr_null(cfg);
	ck_assert_uint_eq(conf_errors(c), 2);
	ck_assert_str_eq(conf_error_text(c, 0),
	    "f:3: peers[1].user: no such user no-such.user; allowed: a user of"
	    " this machine");
	ck_assert_str_eq(conf_error_text(c, 1),
	    "f:4: peers[2].group: no such group no-such.group; allowed: a"
	    " group of this machine");
	conf_free(&c);
}
END_TEST

#define LOOP(tc, fn, table) \
	tcase_add_loop_test(tc, fn, 0, sizeof(table) / sizeof(table[0]))

int
main(void)
{
	Suite *s = suite_create("egressd_config");
	TCase *tc = tcase_create("config");
	SRunner *sr;
	int failed;

	LOOP(tc, test_rows, rows);
	tcase_add_test(tc, test_defaults);
	tcase_add_test(tc, test_values);
	tcase_add_test(tc, test_many_hosts);
	tcase_add_test(tc, test_many_rules);
	tcase_add_loop_test(tc, test_many_entries, 0, 3);
	tcase_add_test(tc, test_reload);
	tcase_add_test(tc, test_system);
	tcase_add_test(tc, test_no_resolvers);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
