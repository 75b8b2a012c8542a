/* What the engine says: recorded answers, and what is none. */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/fd.h"

#include "engine_fixture.h"

#define VECTORS SOURCE_DIR "/tests/vectors/docker/"
#define TEXT_MAX 16384
#define DEEP 100000
#define ID64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char *
vector(const char *name, size_t *len)
{
	char path[256], *text;

	snprintf(path, sizeof(path), VECTORS "%s", name);
	ck_assert_int_eq(fd_read_path(path, TEXT_MAX, &text, len), 0);
	return text;
}

static const struct {
	const char *text;
	int want;
} apis[] = {
	{ "1.41", 41 },
	{ "1.0", 0 },
	{ "1.9999", 9999 },
	{ "1.10000", -1 },
	{ "1.", -1 },
	{ "1", -1 },
	{ "", -1 },
	{ "2.1", -1 },
	{ "1.4x", -1 },
	{ "1.-4", -1 },
	{ " 1.41", -1 },
	{ NULL, -1 },
};

START_TEST(test_api)
{
	ck_assert_int_eq(engine_parse_api(apis[_i].text), apis[_i].want);
}
END_TEST

static const struct {
	int min, max, want;
} choices[] = {
	{ 12, 41, 41 },
	{ 24, 44, 44 },
	{ 24, 51, 44 },
	{ 44, 52, 44 },
	{ 45, 52, 45 },
	{ 52, 60, 52 },
	{ 53, 60, -1 },
	{ 12, 40, -1 },
	{ 45, 44, -1 },
};

START_TEST(test_choice)
{
	const char *why;

	ck_assert_int_eq(
	    engine_choose_api(choices[_i].min, choices[_i].max, &why),
	    choices[_i].want);
	ck_assert((why != NULL) == (choices[_i].want == -1));
}
END_TEST

START_TEST(test_recorded)
{
	struct engine_version v;
	struct engine_info info;
	struct engine_image *image;
	char *text;
	size_t len;

	text = vector("version.json", &len);
	ck_assert_int_eq(engine_parse_version(text, len, &v), 0);
	ck_assert_str_eq(v.version, "20.10.24+dfsg1");
	ck_assert_int_eq(v.api, 41);
	ck_assert_int_eq(v.min_api, 12);
	free(text);
	text = vector("info.json", &len);
	ck_assert_int_eq(engine_parse_info(text, len, &info), 0);
	ck_assert_int_eq(info.cpus, 2);
	ck_assert_int_eq(info.memory, 25276510208);
	ck_assert(!info.live_restore);
	/* live-restore, AppArmor, userns, cgroup */
	ck_assert_uint_eq(info.nwarnings, 4);
	free(text);
	text = vector("image.json", &len);
	image = engine_parse_image(text, len);
	ck_assert_ptr_nonnull(image);
	ck_assert_str_eq(image->id, IMAGE_ID);
	ck_assert_uint_eq(image->nenv, 0);
	engine_image_free(&image);
	ck_assert_ptr_null(image);
	free(text);
}
END_TEST

/* A warning for each that is missing; none for an engine that has it all. */
static const struct {
	const char *body;
	size_t want;
} infos[] = {
	{ "{\"MemTotal\":1,\"NCPU\":1,\"LiveRestoreEnabled\":true,"
	  "\"CgroupVersion\":\"2\",\"MemoryLimit\":true,\"SwapLimit\":true,"
	  "\"PidsLimit\":true,\"CpuCfsQuota\":true,\"SecurityOptions\":["
	  "\"name=apparmor\",\"name=seccomp,profile=builtin\","
	  "\"name=userns\"]}",
	    0 },
	{ "{\"MemTotal\":1,\"NCPU\":1,\"LiveRestoreEnabled\":true,"
	  "\"CgroupVersion\":\"2\",\"MemoryLimit\":true,\"SwapLimit\":true,"
	  "\"PidsLimit\":true,\"CpuCfsQuota\":true,\"SecurityOptions\":["
	  "\"name=selinux\",\"name=seccomp,profile=unconfined\","
	  "\"name=rootless\"]}",
	    1 },
	{ "{\"MemTotal\":1,\"NCPU\":1}", 9 },
};

START_TEST(test_info)
{
	struct engine_info info;

	ck_assert_int_eq(
	    engine_parse_info(infos[_i].body, strlen(infos[_i].body), &info),
	    0);
	ck_assert_uint_eq(info.nwarnings, infos[_i].want);
}
END_TEST

/* --- what is none -------------------------------------------------------- */

static const char *const bad[] = { "", "x", "null", "[]", "{}", "{\"Id\":1}",
	"{\"Id\":\"" ID64 "\",\"Id\":\"" ID64 "\"}", "{\"Id\":\"short\"}",
	"{\"Id\":\"sha256:../../" ID64 "\"}", "{\"Version\":\"\"}",
	"{\"Version\":\"1\",\"ApiVersion\":\"x\",\"MinAPIVersion\":\"1.1\"}",
	"{\"MemTotal\":-1,\"NCPU\":1}", "{\"MemTotal\":1,\"NCPU\":1e9}",
	"{\"Id\":\"\\u0000\"}", "{\"Id\":\"\xff\"}" };

static void
check_none(const char *body, size_t len)
{
	char id[ENGINE_ID_LEN + 1];
	struct engine_version v;
	struct engine_info info;

	ck_assert_int_eq(engine_parse_version(body, len, &v), -1);
	ck_assert_int_eq(engine_parse_info(body, len, &info), -1);
	ck_assert_int_eq(engine_parse_created(body, len, id), -1);
	ck_assert_ptr_null(engine_parse_image(body, len));
}

START_TEST(test_bad)
{
	check_none(bad[_i], strlen(bad[_i]));
}
END_TEST

START_TEST(test_deep)
{
	char *text = malloc(2 * DEEP);

	memset(text, '[', DEEP);
	memset(text + DEEP, ']', DEEP);
	check_none(text, 2 * DEEP);
	free(text);
}
END_TEST

START_TEST(test_huge)
{
	char *text = malloc(ENGINE_BODY_MAX + 1);

	memset(text, ' ', ENGINE_BODY_MAX + 1);
	check_none(text, ENGINE_BODY_MAX + 1);
	free(text);
}
END_TEST

/* An image that sets more variables than there is room for is none. */
START_TEST(test_image_env)
{
	char text[TEXT_MAX];
	struct engine_image *image;
	int i, n;

	for (n = ENGINE_IMAGE_ENV_MAX; n <= ENGINE_IMAGE_ENV_MAX + 1; n++) {
		strlcpy(text, "{\"Id\":\"" IMAGE_ID "\",\"Config\":{\"Env\":[",
		    sizeof(text));
		for (i = 0; i < n; i++)
			strlcat(text, i == 0 ? "\"A=1\"" : ",\"A=1\"",
			    sizeof(text));
		strlcat(text, "]}}", sizeof(text));
		image = engine_parse_image(text, strlen(text));
		ck_assert((image != NULL) == (n == ENGINE_IMAGE_ENV_MAX));
		engine_image_free(&image);
	}
}
END_TEST

/* --- whose -------------------------------------------------------------- */

#define OBJECT(name, labels) \
	"{\"Id\":\"" ID64 "\",\"Name\":\"" name "\",\"Labels\":{" labels "}}"
#define OURS "\"bulkhead.instance\":\"" INSTANCE "\""
#define RUNS "\"bulkhead.run\":\"aaaaaaaaaaaa\""
#define NAME "bulkhead-aaaaaaaaaaaa"

static const struct {
	const char *body;
	bool named, labelled, ours;
} objects[] = {
	{ OBJECT(NAME, OURS "," RUNS), true, true, true },
	{ OBJECT("/" NAME, OURS "," RUNS), true, true, true },
	{ OBJECT(NAME, RUNS), true, false, false },
	{ OBJECT(NAME, OURS), true, true, false },
	{ OBJECT(NAME, ""), true, false, false },
	{ OBJECT("bulkhead-bbbbbbbbbbbb", OURS "," RUNS), true, true, false },
	{ OBJECT(NAME "x", OURS "," RUNS), false, true, false },
	{ OBJECT("bulkhead-AAAAAAAAAAAA", OURS "," RUNS), false, true, false },
	{ OBJECT("x" NAME, OURS "," RUNS), false, true, false },
	{ OBJECT(NAME, "\"bulkhead.instance\":\"jjjjjjjjjjjj\"," RUNS), true,
	    false, false },
};

START_TEST(test_object)
{
	struct engine_object o;
	struct json_error err;
	struct json_doc *doc;

	doc = json_parse(objects[_i].body, strlen(objects[_i].body),
	    &engine_json_limits, &err);
	ck_assert_int_eq(engine_parse_object(json_root(doc), INSTANCE, &o), 0);
	ck_assert_int_eq(o.named, objects[_i].named);
	ck_assert_int_eq(o.labelled, objects[_i].labelled);
	ck_assert_int_eq(o.ours, objects[_i].ours);
	ck_assert_str_eq(o.id, ID64);
	json_free(&doc);
}
END_TEST

static void
on_object(const struct engine_object *o, const char *status, void *arg)
{
	char *out = arg;

	snprintf(out + strlen(out), 256 - strlen(out), "%s %s %d;", o->name,
	    status, o->ours);
}

START_TEST(test_lists)
{
	char out[256] = "", *text;
	size_t len;

	text = vector("containers.json", &len);
	ck_assert_int_eq(
	    engine_parse_list(text, len, INSTANCE, on_object, out), 1);
	ck_assert_str_eq(out, NAME " running 1;");
	free(text);
	out[0] = '\0';
	text = vector("networks.json", &len);
	ck_assert_int_ge(
	    engine_parse_list(text, len, INSTANCE, on_object, out), 3);
	ck_assert_ptr_nonnull(strstr(out, NAME "  1;"));
	ck_assert_ptr_nonnull(strstr(out, "host  0;"));
	free(text);
	/* One bad element, and nothing is handed out. */
	out[0] = '\0';
	text = strdup("[" OBJECT(NAME, OURS) ",{}]");
	ck_assert_int_eq(
	    engine_parse_list(text, strlen(text), INSTANCE, on_object, out),
	    -1);
	ck_assert_str_eq(out, "");
	free(text);
}
END_TEST

/* --- states -------------------------------------------------------------- */

#define STATE(status, running, pid, code, started)                        \
	"{\"State\":{\"Status\":\"" status "\",\"Running\":" running      \
	",\"Pid\":" pid ",\"ExitCode\":" code ",\"StartedAt\":\"" started \
	"\",\"OOMKilled\":true,\"Error\":\"x\\u001b[0m\"}}"
#define NEVER "0001-01-01T00:00:00Z"
#define ONCE "2026-01-01T00:00:00Z"

static const struct {
	const char *body;
	int r, exit_code;
	bool started;
} states[] = {
	{ STATE("created", "false", "0", "0", NEVER), 0, -1, false },
	{ STATE("running", "true", "77", "0", ONCE), 0, -1, true },
	{ STATE("exited", "false", "0", "137", ONCE), 0, 137, true },
	{ STATE("exited", "false", "0", "255", ONCE), 0, 255, true },
	{ STATE("exited", "false", "0", "256", ONCE), -1, 0, false },
	{ STATE("exited", "false", "-1", "0", ONCE), -1, 0, false },
	{ STATE("exited", "false", "9999999", "0", ONCE), -1, 0, false },
	{ STATE("", "false", "0", "0", ONCE), -1, 0, false },
	{ STATE("Exited!", "false", "0", "0", ONCE), -1, 0, false },
	{ STATE("abcdefghijklmnopqrst", "false", "0", "0", ONCE), -1, 0,
	    false },
	{ "{\"State\":null}", -1, 0, false },
	{ "{}", -1, 0, false },
};

START_TEST(test_state)
{
	struct engine_state st;
	struct json_error err;
	struct json_doc *doc;

	doc = json_parse(states[_i].body, strlen(states[_i].body),
	    &engine_json_limits, &err);
	ck_assert_ptr_nonnull(doc);
	ck_assert_int_eq(engine_parse_state(json_root(doc), &st), states[_i].r);
	if (states[_i].r == 0) {
		ck_assert_int_eq(st.exit_code, states[_i].exit_code);
		ck_assert_int_eq(st.started, states[_i].started);
		ck_assert(st.oom);
		ck_assert_str_eq(st.error, "x\\x1b[0m");
	}
	json_free(&doc);
}
END_TEST

static const struct {
	const char *body, *want;
} messages[] = {
	{ "{\"message\":\"no such image\"}", "no such image" },
	{ "{\"message\":\"a\\u001b]52;x\\n\"}", "a\\x1b]52;x\\x0a" },
	{ "{\"message\":5}", "" },
	{ "<html>", "" },
	{ "", "" },
};

START_TEST(test_message)
{
	char out[ENGINE_MESSAGE_MAX];

	engine_parse_message(messages[_i].body, strlen(messages[_i].body), out);
	ck_assert_str_eq(out, messages[_i].want);
}
END_TEST

#define ROWS(t) (int)(sizeof(t) / sizeof((t)[0]))

int
main(void)
{
	Suite *s = suite_create("engine_docker_answer");
	TCase *t = tcase_create("answer");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(t, test_api, 0, ROWS(apis));
	tcase_add_loop_test(t, test_choice, 0, ROWS(choices));
	tcase_add_test(t, test_recorded);
	tcase_add_loop_test(t, test_info, 0, ROWS(infos));
	tcase_add_loop_test(t, test_bad, 0, ROWS(bad));
	tcase_add_test(t, test_deep);
	tcase_add_test(t, test_huge);
	tcase_add_test(t, test_image_env);
	tcase_add_loop_test(t, test_object, 0, ROWS(objects));
	tcase_add_test(t, test_lists);
	tcase_add_loop_test(t, test_state, 0, ROWS(states));
	tcase_add_loop_test(t, test_message, 0, ROWS(messages));
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
