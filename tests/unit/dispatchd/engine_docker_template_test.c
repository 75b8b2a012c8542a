/* The create bodies, word for word: a change of one is a decision. */

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "engine_fixture.h"

static const char container_text[] =
    "{\"Image\":\"sha256:e16caf74e48a503e061052bb2c863287dd37657b"
    "0631fefd5cb8189d038ef1e1\",\"User\":\"1000:1000\",\"Entrypoi"
    "nt\":[\"/usr/bin/agent-cli\",\"entrypoint\"],\"Cmd\":[],\"En"
    "v\":[\"AGENT_SANDBOX=1\",\"BULKHEAD_RUN=aaaaaaaaaaaa\"],\"La"
    "bels\":{\"bulkhead.instance\":\"iiiiiiiiiiii\",\"bulkhead.ru"
    "n\":\"aaaaaaaaaaaa\",\"bulkhead.spec\":\"81cfed6e618f9be843e"
    "222e30ff9af5b97ff6db68dbf122dacf641814d51abb5\"},\"Tty\":fal"
    "se,\"OpenStdin\":false,\"AttachStdin\":false,\"AttachStdout\""
    ":false,\"AttachStderr\":false,\"WorkingDir\":\"/home/agent\""
    ",\"Healthcheck\":{\"Test\":[\"NONE\"]},\"StopSignal\":\"SIGT"
    "ERM\",\"HostConfig\":{\"Privileged\":false,\"CapDrop\":[\"AL"
    "L\"],\"CapAdd\":[],\"SecurityOpt\":[\"no-new-privileges:true"
    "\"],\"ReadonlyRootfs\":true,\"Tmpfs\":{\"/home/agent\":\"rw,"
    "nosuid,nodev,exec,size=67108864,uid=1000,gid=1000,mode=0700\""
    ",\"/tmp\":\"rw,nosuid,nodev,size=1048576,mode=1777\"},\"Moun"
    "ts\":[{\"Type\":\"bind\",\"Source\":\"/run/bulkhead/runs/aaa"
    "aaaaaaaaa\",\"Target\":\"/run/bulkhead\",\"ReadOnly\":true,\""
    "BindOptions\":{\"Propagation\":\"private\",\"NonRecursive\":"
    "true}}],\"Memory\":268435456,\"MemorySwap\":268435456,\"Nano"
    "Cpus\":500000000,\"PidsLimit\":64,\"Ulimits\":[{\"Name\":\"c"
    "ore\",\"Soft\":0,\"Hard\":0},{\"Name\":\"nofile\",\"Soft\":1"
    "024,\"Hard\":4096}],\"ShmSize\":16777216,\"OomScoreAdj\":500"
    ",\"IpcMode\":\"private\",\"CgroupnsMode\":\"private\",\"Init"
    "\":false,\"RestartPolicy\":{\"Name\":\"no\"},\"AutoRemove\":"
    "false,\"NetworkMode\":\"bulkhead-aaaaaaaaaaaa\",\"Dns\":[\"1"
    "0.99.0.9\"],\"DnsOptions\":[\"timeout:1\",\"attempts:1\"],\""
    "DnsSearch\":[\".\"],\"LogConfig\":{\"Type\":\"json-file\",\""
    "Config\":{\"max-size\":\"1m\",\"max-file\":\"1\"}}},\"Networ"
    "kingConfig\":{\"EndpointsConfig\":{\"bulkhead-aaaaaaaaaaaa\""
    ":{\"IPAMConfig\":{\"IPv4Address\":\"10.99.0.10\"}}}}}";

static const char network_text[] =
    "{\"Name\":\"bulkhead-aaaaaaaaaaaa\",\"CheckDuplicate\":true,"
    "\"Driver\":\"bridge\",\"Internal\":true,\"Attachable\":false"
    ",\"Ingress\":false,\"EnableIPv6\":false,\"IPAM\":{\"Driver\""
    ":\"default\",\"Config\":[{\"Subnet\":\"10.99.0.8/29\",\"Gate"
    "way\":\"10.99.0.9\"}]},\"Options\":{\"com.docker.network.bri"
    "dge.name\":\"bh-aaaaaaaaaaaa\",\"com.docker.network.bridge.e"
    "nable_icc\":\"false\",\"com.docker.network.bridge.enable_ip_"
    "masquerade\":\"false\"},\"Labels\":{\"bulkhead.instance\":\""
    "iiiiiiiiiiii\",\"bulkhead.run\":\"aaaaaaaaaaaa\",\"bulkhead."
    "spec\":\"dc73ed4b5043a3ba5c72aca39a2b011d62b09adff205ca1274e"
    "0ee92b08bb650\"}}";

START_TEST(test_container)
{
	char spec[ENGINE_SPEC_LEN + 1];
	char *body = engine_container_body(&fixture_want, spec);

	ck_assert_str_eq(body, container_text);
	ck_assert_ptr_nonnull(strstr(body, spec));
	free(body);
}
END_TEST

START_TEST(test_network)
{
	char spec[ENGINE_SPEC_LEN + 1];
	char *body = engine_network_body(&fixture_want, spec);

	ck_assert_str_eq(body, network_text);
	ck_assert_ptr_nonnull(strstr(body, spec));
	free(body);
}
END_TEST

/* From API 1.44 on names are unique by themselves. */
START_TEST(test_duplicates)
{
	struct engine_want want = fixture_want;
	char spec[ENGINE_SPEC_LEN + 1];
	char *body;

	want.api = 44;
	body = engine_network_body(&want, spec);
	ck_assert_ptr_null(strstr(body, "CheckDuplicate"));
	free(body);
}
END_TEST

/* The spec is the hash of the body without it, as anybody can check. */
START_TEST(test_spec)
{
	char spec[ENGINE_SPEC_LEN + 1], hex[ENGINE_SPEC_LEN + 1];
	char *body = engine_container_body(&fixture_want, spec), *p, *end;
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned i, n;

	p = strstr(body, ",\"bulkhead.spec\":\"");
	ck_assert_ptr_nonnull(p);
	end = p + strlen(",\"bulkhead.spec\":\"") + ENGINE_SPEC_LEN + 1;
	memmove(p, end, strlen(end) + 1);
	EVP_Digest(body, strlen(body), md, &n, EVP_sha256(), NULL);
	for (i = 0; i < n; i++)
		snprintf(hex + 2 * i, 3, "%02x", md[i]);
	ck_assert_str_eq(hex, spec);
	free(body);
}
END_TEST

/* Whatever is another about a run is another spec. */
START_TEST(test_spec_differs)
{
	char spec[ENGINE_SPEC_LEN + 1], other[ENGINE_SPEC_LEN + 1];
	struct engine_want want[9];
	size_t i;

	for (i = 0; i < 9; i++)
		want[i] = fixture_want;
	want[0].run[0] = 'b';
	want[1].instance = "jjjjjjjjjjjj";
	want[2].runs_dir = "/srv/runs";
	want[3].image_id[10] ^= 1;
	want[4].memory++;
	want[5].cpus_milli++;
	want[6].pids++;
	want[7].workspace++;
	want[8].tmp++;
	free(engine_container_body(&fixture_want, spec));
	for (i = 0; i < 9; i++) {
		free(engine_container_body(&want[i], other));
		ck_assert_str_ne(spec, other);
	}
}
END_TEST

/* A16: what comes from outside has no place in it but these. */
START_TEST(test_no_secret)
{
	ck_assert_ptr_null(strstr(container_text, "prompt"));
	ck_assert_ptr_null(strstr(container_text, "TOKEN"));
	ck_assert_ptr_null(strstr(container_text, "SECRET"));
	ck_assert_ptr_null(strstr(container_text, "PROXY"));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("engine_docker_template");
	TCase *t = tcase_create("template");
	SRunner *sr;
	int failed;

	tcase_add_test(t, test_container);
	tcase_add_test(t, test_network);
	tcase_add_test(t, test_duplicates);
	tcase_add_test(t, test_spec);
	tcase_add_test(t, test_spec_differs);
	tcase_add_test(t, test_no_secret);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
