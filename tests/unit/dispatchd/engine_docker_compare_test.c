/*
 * D11: inspections of a real engine, and the same with one thing in them that
 * is not as it was asked for.
 */

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/fd.h"

#include "engine_fixture.h"

#define VECTORS SOURCE_DIR "/tests/vectors/docker/"
#define TEXT_MAX 16384

static const struct engine_image bare = { .id = IMAGE_ID };

static char *
vector(const char *name)
{
	char path[256], *text;
	size_t len;

	snprintf(path, sizeof(path), VECTORS "%s", name);
	ck_assert_int_eq(fd_read_path(path, TEXT_MAX, &text, &len), 0);
	return text;
}

/* text with the first old in it made new; "" when it is not there. */
static void
changed(char out[TEXT_MAX], const char *text, const char *old, const char *new)
{
	const char *p = strstr(text, old);

	out[0] = '\0';
	if (p != NULL)
		snprintf(out, TEXT_MAX, "%.*s%s%s", (int)(p - text), text, new,
		    p + strlen(old));
}

static int
compare(const char *text, bool network, const struct engine_image *image,
    char field[ENGINE_FIELD_MAX])
{
	struct json_error err = { 0, "" };
	struct json_doc *doc;
	int r;

	field[0] = '\0';
	doc = json_parse(text, strlen(text), &engine_json_limits, &err);
	ck_assert_msg(doc != NULL, "%s: %s", err.what, text);
	if (network)
		r = engine_compare_network(
		    json_root(doc), &fixture_want, field);
	else
		r = engine_compare_container(
		    json_root(doc), &fixture_want, image, field);
	json_free(&doc);
	return r;
}

START_TEST(test_same)
{
	char field[ENGINE_FIELD_MAX], *text;

	text = vector("container-created.json");
	ck_assert_msg(compare(text, false, &bare, field) == 0, "%s", field);
	free(text);
	text = vector("network.json");
	ck_assert_msg(compare(text, true, &bare, field) == 0, "%s", field);
	free(text);
}
END_TEST

#define HOST "HostConfig."
#define BRIDGE "\"com.docker.network.bridge."

/* new NULL: the key is dropped (renamed). field NULL: no difference. */
static const struct {
	bool network;
	const char *old, *new, *field;
} rows[] = {
	/* what was asked for */
	{ false, "\"Image\":\"sha256:e1", "\"Image\":\"sha256:f1", "Image" },
	{ false, "\"User\":\"1000:1000\"", "\"User\":\"\"", "Config.User" },
	{ false, "\"User\":", NULL, "Config.User" },
	{ false, "/usr/bin/agent-cli\",\"entrypoint\"],\"OnBuild",
	    "/usr/bin/agent-cli\"],\"OnBuild", "Config.Entrypoint" },
	{ false, "\"Entrypoint\":", NULL, "Config.Entrypoint" },
	{ false, "\"Cmd\":[]", "\"Cmd\":[\"sh\"]", "Config.Cmd" },
	{ false, "\"Cmd\":[]", "\"Cmd\":null", NULL },
	{ false, "\"AGENT_SANDBOX=1\",", "", "Config.Env" },
	{ false, "AGENT_SANDBOX=1", "AGENT_SANDBOX=0", "Config.Env" },
	{ false, "\"AGENT_SANDBOX=1\"", "\"AGENT_SANDBOX=1\",\"LD_PRELOAD=x\"",
	    "Config.Env" },
	{ false, "\"AGENT_SANDBOX=1\",\"BULKHEAD_RUN=aaaaaaaaaaaa\"",
	    "\"AGENT_SANDBOX=1\",\"AGENT_SANDBOX=1\"", "Config.Env" },
	{ false, "\"Env\":", NULL, "Config.Env" },
	{ false, "\"bulkhead.instance\":\"i", "\"bulkhead.instance\":\"j",
	    "Config.Labels" },
	{ false, "\"bulkhead.spec\":\"8", "\"bulkhead.spec\":\"9",
	    "Config.Labels" },
	{ false, "\"bulkhead.run\"", "\"bulkhead.runs\"", "Config.Labels" },
	{ false, "\"bulkhead.run\"", "\"maintainer\":\"x\",\"bulkhead.run\"",
	    NULL },
	{ false, "\"bulkhead.run\"", "\"bulkhead.x\":\"x\",\"bulkhead.run\"",
	    "Config.Labels" },
	{ false, "\"Tty\":false", "\"Tty\":true", "Config.Tty" },
	{ false, "\"OpenStdin\":false", "\"OpenStdin\":true",
	    "Config.OpenStdin" },
	{ false, "\"AttachStdout\":false", "\"AttachStdout\":true",
	    "Config.AttachStdout" },
	{ false, "\"WorkingDir\":\"/home/agent\"", "\"WorkingDir\":\"/\"",
	    "Config.WorkingDir" },
	{ false, "\"Test\":[\"NONE\"]", "\"Test\":[\"CMD\",\"x\"]",
	    "Config.Healthcheck" },
	{ false, "\"Healthcheck\":", NULL, "Config.Healthcheck" },
	{ false, "\"StopSignal\":\"SIGTERM\"", "\"StopSignal\":\"SIGHUP\"",
	    "Config.StopSignal" },
	{ false, "\"CapDrop\":[\"ALL\"]", "\"CapDrop\":null", HOST "CapDrop" },
	{ false, "\"CapDrop\":[\"ALL\"]", "\"CapDrop\":[\"NET_RAW\"]",
	    HOST "CapDrop" },
	{ false, "\"CapDrop\":", NULL, HOST "CapDrop" },
	{ false, "\"CapAdd\":[]", "\"CapAdd\":[\"SYS_ADMIN\"]", HOST "CapAdd" },
	{ false, "\"CapAdd\":[]", "\"CapAdd\":null", NULL },
	{ false, "[\"no-new-privileges:true\"]", "null", HOST "SecurityOpt" },
	{ false, "[\"no-new-privileges:true\"]",
	    "[\"no-new-privileges:true\",\"seccomp=unconfined\"]",
	    HOST "SecurityOpt" },
	{ false, "\"no-new-privileges:true\"", "\"no-new-privileges:false\"",
	    HOST "SecurityOpt" },
	{ false, "\"SecurityOpt\":", NULL, HOST "SecurityOpt" },
	{ false, "\"Privileged\":false", "\"Privileged\":true",
	    HOST "Privileged" },
	{ false, "\"Privileged\":", NULL, HOST "Privileged" },
	{ false, "\"ReadonlyRootfs\":true", "\"ReadonlyRootfs\":false",
	    HOST "ReadonlyRootfs" },
	{ false, "\"ReadonlyRootfs\":", NULL, HOST "ReadonlyRootfs" },
	{ false, "rw,nosuid,nodev,exec,size=67108864", "rw,exec,size=67108864",
	    HOST "Tmpfs" },
	{ false, "\"/tmp\":\"rw", "\"/var\":\"\",\"/tmp\":\"rw", NULL },
	{ false, "\"/tmp\":\"rw", "\"/var\":\"rw\",\"/tmp\":\"rw",
	    HOST "Tmpfs" },
	{ false, "\"Tmpfs\":", NULL, HOST "Tmpfs" },
	{ false, "\"Memory\":268435456", "\"Memory\":0", HOST "Memory" },
	{ false, "\"Memory\":", NULL, HOST "Memory" },
	{ false, "\"MemorySwap\":268435456", "\"MemorySwap\":-1",
	    HOST "MemorySwap" },
	{ false, "\"MemorySwap\":", NULL, HOST "MemorySwap" },
	{ false, "\"NanoCpus\":500000000", "\"NanoCpus\":0", HOST "NanoCpus" },
	{ false, "\"NanoCpus\":", NULL, HOST "NanoCpus" },
	{ false, "\"PidsLimit\":64", "\"PidsLimit\":null", HOST "PidsLimit" },
	{ false, "\"PidsLimit\":", NULL, HOST "PidsLimit" },
	{ false, "\"Hard\":4096", "\"Hard\":1048576", HOST "Ulimits" },
	{ false, "\"Name\":\"core\",\"Hard\":0",
	    "\"Name\":\"core\",\"Hard\":-1", HOST "Ulimits" },
	{ false, "\"Ulimits\":", NULL, HOST "Ulimits" },
	{ false, "\"ShmSize\":16777216", "\"ShmSize\":67108864",
	    HOST "ShmSize" },
	{ false, "\"OomScoreAdj\":500", "\"OomScoreAdj\":0",
	    HOST "OomScoreAdj" },
	{ false, "\"IpcMode\":\"private\"", "\"IpcMode\":\"host\"",
	    HOST "IpcMode" },
	{ false, "\"IpcMode\":", NULL, HOST "IpcMode" },
	{ false, "\"CgroupnsMode\":\"private\"", "\"CgroupnsMode\":\"host\"",
	    HOST "CgroupnsMode" },
	{ false, "\"CgroupnsMode\":", NULL, HOST "CgroupnsMode" },
	{ false, "\"Init\":false", "\"Init\":true", HOST "Init" },
	{ false, "\"Init\":false", "\"Init\":null", HOST "Init" },
	{ false, "\"Name\":\"no\",\"Max", "\"Name\":\"always\",\"Max",
	    HOST "RestartPolicy" },
	{ false, "\"MaximumRetryCount\":0", "\"MaximumRetryCount\":3",
	    HOST "RestartPolicy" },
	{ false, "\"AutoRemove\":false", "\"AutoRemove\":true",
	    HOST "AutoRemove" },
	{ false, "\"NetworkMode\":\"bulkhead-aaaaaaaaaaaa\"",
	    "\"NetworkMode\":\"host\"", HOST "NetworkMode" },
	{ false, "\"NetworkMode\":", NULL, HOST "NetworkMode" },
	{ false, "\"Dns\":[\"10.99.0.9\"]", "\"Dns\":[\"8.8.8.8\"]",
	    HOST "Dns" },
	{ false, "\"Dns\":", NULL, HOST "Dns" },
	{ false, "\"DnsOptions\":", NULL, HOST "DnsOptions" },
	{ false, "\"DnsSearch\":", NULL, HOST "DnsSearch" },
	{ false, "\"max-size\":\"1m\"", "\"max-size\":\"1g\"",
	    HOST "LogConfig" },
	{ false, "\"LogConfig\":", NULL, HOST "LogConfig" },
	{ false, "\"ReadOnly\":true", "\"ReadOnly\":false", HOST "Mounts" },
	{ false, "\"NonRecursive\":true", "\"NonRecursive\":false",
	    HOST "Mounts" },
	/* as it came out */
	{ false, "\"RW\":false", "\"RW\":true", "Mounts" },
	{ false, "\"RW\":", NULL, "Mounts" },
	{ false, "\"Mode\":\"\",\"RW\":false,\"Propagation\":\"private\"}",
	    "\"Mode\":\"\",\"RW\":false,\"Propagation\":\"private\"},"
	    "{\"Type\":\"volume\"}",
	    "Mounts" },
	{ false, "\"Destination\":\"/run/bulkhead\"",
	    "\"Destination\":\"/run\"", "Mounts" },
	{ false, "\"RW\":false,\"Propagation\":\"private\"",
	    "\"RW\":false,\"Propagation\":\"rshared\"", "Mounts" },
	{ false, "\"Networks\":{", "\"Networks\":{\"bridge\":{},",
	    "NetworkSettings.Networks" },
	{ false, "\"IPv4Address\":\"10.99.0.10\"",
	    "\"IPv4Address\":\"10.99.0.11\"", "NetworkSettings.Networks" },
	{ false, "\"ExecIDs\":null", "\"ExecIDs\":[\"x\"]", "ExecIDs" },
	{ false, "\"/proc/kcore\",", "", HOST "MaskedPaths" },
	{ false, "\"MaskedPaths\":", NULL, HOST "MaskedPaths" },
	{ false, "\"/proc/irq\",", "", HOST "ReadonlyPaths" },
	{ false, "\"ReadonlyPaths\":", NULL, HOST "ReadonlyPaths" },
	/* what was not asked for */
	{ false, "\"Binds\":null", "\"Binds\":[\"/:/host\"]", HOST "Binds" },
	{ false, "\"Binds\":null", "\"Sysctls\":{\"a\":\"b\"}",
	    HOST "Sysctls" },
	{ false, "\"Devices\":null", "\"Devices\":[{}]", HOST "Devices" },
	{ false, "\"DeviceRequests\":null", "\"DeviceRequests\":[{}]",
	    HOST "DeviceRequests" },
	{ false, "\"GroupAdd\":null", "\"GroupAdd\":[\"0\"]", HOST "GroupAdd" },
	{ false, "\"PidMode\":\"\"", "\"PidMode\":\"host\"", HOST "PidMode" },
	{ false, "\"UTSMode\":\"\"", "\"UTSMode\":\"host\"", HOST "UTSMode" },
	{ false, "\"UsernsMode\":\"\"", "\"UsernsMode\":\"host\"",
	    HOST "UsernsMode" },
	{ false, "\"CgroupParent\":\"\"", "\"CgroupParent\":\"x\"",
	    HOST "CgroupParent" },
	{ false, "\"VolumesFrom\":null", "\"VolumesFrom\":[\"x\"]",
	    HOST "VolumesFrom" },
	{ false, "\"ExtraHosts\":null", "\"ExtraHosts\":[\"a:1.2.3.4\"]",
	    HOST "ExtraHosts" },
	{ false, "\"PortBindings\":null", "\"PortBindings\":{\"1/tcp\":[]}",
	    HOST "PortBindings" },
	{ false, "\"OomKillDisable\":false", "\"OomKillDisable\":true",
	    HOST "OomKillDisable" },
	{ false, "\"Volumes\":null", "\"Volumes\":{\"/x\":{}}",
	    "Config.Volumes" },
	{ false, "\"StdinOnce\":false", "\"StdinOnce\":true",
	    "Config.StdinOnce" },
	/* not known: an open format */
	{ false, "\"Binds\":null", "\"Novelty\":{\"a\":1}", NULL },
	{ false, "\"HostConfig\":", NULL, HOST "Privileged" },
	{ false, "\"Config\":{\"Hostname", "\"C\":{\"Hostname",
	    "Config.Labels" },
	/* the network */
	{ true, "\"Internal\":true", "\"Internal\":false", "Internal" },
	{ true, "\"Internal\":", NULL, "Internal" },
	{ true, "\"EnableIPv6\":false", "\"EnableIPv6\":true", "EnableIPv6" },
	{ true, "\"EnableIPv6\":", NULL, "EnableIPv6" },
	{ true, "\"Driver\":\"bridge\"", "\"Driver\":\"macvlan\"", "Driver" },
	{ true, "\"Attachable\":false", "\"Attachable\":true", "Attachable" },
	{ true, "\"Ingress\":false", "\"Ingress\":true", "Ingress" },
	{ true, "10.99.0.8/29", "10.99.0.0/24", "IPAM" },
	{ true, "\"Gateway\":\"10.99.0.9\"", "\"Gateway\":\"10.99.0.14\"",
	    "IPAM" },
	{ true, "\"IPAM\":", NULL, "IPAM" },
	{ true, BRIDGE "enable_icc\":\"false\"", BRIDGE "enable_icc\":\"true\"",
	    "Options" },
	{ true, BRIDGE "enable_icc\":\"false\",", "", "Options" },
	{ true, BRIDGE "name\":\"bh-", BRIDGE "name\":\"br-", "Options" },
	{ true, BRIDGE "name\":\"bh-",
	    BRIDGE "gateway_mode_ipv4\":\"routed\"," BRIDGE "name\":\"bh-",
	    "Options" },
	{ true, "\"Options\":{", "\"O\":{", "Options" },
	{ true, "\"bulkhead.spec\":\"d", "\"bulkhead.spec\":\"e", "Labels" },
	{ true, "\"bulkhead.instance\":\"i", "\"bulkhead.instance\":\"j",
	    "Labels" },
	{ true, "\"ConfigOnly\":false", "\"ConfigOnly\":true", "ConfigOnly" },
	{ true, "\"Network\":\"\"", "\"Network\":\"x\"", "ConfigFrom" },
	{ true, "\"Containers\":{}", "\"Containers\":{\"x\":{}}",
	    "Containers" },
};

START_TEST(test_row)
{
	char *text = vector(
	    rows[_i].network ? "network.json" : "container-created.json");
	char dropped[64], now[TEXT_MAX], field[ENGINE_FIELD_MAX];
	const char *new = rows[_i].new;

	if (new == NULL) {
		snprintf(dropped, sizeof(dropped), "\"X%s", rows[_i].old + 1);
		new = dropped;
	}
	changed(now, text, rows[_i].old, new);
	ck_assert_msg(now[0] != '\0', "no %s", rows[_i].old);
	ck_assert_int_eq(compare(now, rows[_i].network, &bare, field),
	    rows[_i].field != NULL ? -1 : 0);
	if (rows[_i].field != NULL)
		ck_assert_msg(strcmp(field, rows[_i].field) == 0, "%s: \"%s\"",
		    rows[_i].old, field);
	free(text);
}
END_TEST

/* Every key that is asked for, without a list: dropped, it is missed. */
START_TEST(test_every_key)
{
	static const char *const safe[] = { "CapAdd", NULL };
	char spec[ENGINE_SPEC_LEN + 1], old[64], new[64], now[TEXT_MAX];
	char field[ENGINE_FIELD_MAX], *text, *body;
	const struct json_node *n;
	struct json_error err;
	struct json_doc *doc;
	int tried = 0;

	text = vector("container-created.json");
	body = engine_container_body(&fixture_want, spec);
	doc = json_parse(body, strlen(body), &engine_json_limits, &err);
	n = json_member(json_root(doc), "HostConfig")->child;
	for (; n != NULL; n = n->next) {
		if (strcmp(n->key, safe[0]) == 0)
			continue;
		snprintf(old, sizeof(old), "\"%s\":", n->key);
		snprintf(new, sizeof(new), "\"X%s\":", n->key);
		changed(now, text, old, new);
		ck_assert_msg(now[0] != '\0', "no %s", old);
		ck_assert_msg(
		    compare(now, false, &bare, field) == -1, "%s", old);
		tried++;
	}
	ck_assert_int_gt(tried, 20);
	json_free(&doc);
	free(body);
	free(text);
}
END_TEST

/* What an image sets by itself is no difference; the same from nowhere is. */
START_TEST(test_image_env)
{
	static char path[] = "PATH=/bin";
	struct engine_image image = { .id = IMAGE_ID, .nenv = 1 };
	char *text = vector("container-created.json");
	char now[TEXT_MAX], field[ENGINE_FIELD_MAX];

	image.env[0] = path;
	changed(now, text, "\"AGENT_SANDBOX=1\"",
	    "\"AGENT_SANDBOX=1\",\"PATH=/bin\"");
	ck_assert_int_eq(compare(now, false, &image, field), 0);
	ck_assert_int_eq(compare(now, false, &bare, field), -1);
	ck_assert_str_eq(field, "Config.Env");
	free(text);
}
END_TEST

static const char *const odd[] = { "null", "[]", "{}", "1", "\"\"",
	"{\"Config\":[],\"HostConfig\":1,\"Mounts\":{},\"Image\":{}}" };

START_TEST(test_odd)
{
	char field[ENGINE_FIELD_MAX];

	ck_assert_int_eq(compare(odd[_i], false, &bare, field), -1);
	ck_assert_int_eq(compare(odd[_i], true, &bare, field), -1);
}
END_TEST

#define ROWS(t) (int)(sizeof(t) / sizeof((t)[0]))

int
main(void)
{
	Suite *s = suite_create("engine_docker_compare");
	TCase *t = tcase_create("compare");
	SRunner *sr;
	int failed;

	tcase_add_test(t, test_same);
	tcase_add_loop_test(t, test_row, 0, ROWS(rows));
	tcase_add_test(t, test_every_key);
	tcase_add_test(t, test_image_env);
	tcase_add_loop_test(t, test_odd, 0, ROWS(odd));
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
