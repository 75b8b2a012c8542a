/*
 * Everything that parses the engine's JSON: an inspection, a list, an event,
 * the short answers. The same bytes go to each.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dispatchd/engine_docker.h"

#define INSTANCE "iiiiiiiiiiii"
#define IMAGE_ID  \
	"sha256:" \
	"e16caf74e48a503e061052bb2c863287dd37657b0631fefd5cb8189d038ef1e1"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct engine_want want = {
	.run = "aaaaaaaaaaaa",
	.instance = INSTANCE,
	.prefix = "bh-",
	.runs_dir = "/run/bulkhead/runs",
	.image_id = IMAGE_ID,
	.api = 41,
	.subnet = "10.99.0.8/29",
	.gateway = "10.99.0.9",
	.address = "10.99.0.10",
	.memory = 268435456,
	.cpus_milli = 500,
	.pids = 64,
	.workspace = 67108864,
	.tmp = 1048576,
};

static void
on_object(const struct engine_object *o, const char *status, void *arg)
{
	assert(strlen(o->id) == ENGINE_ID_LEN);
	assert(!o->ours || (o->named && o->labelled && runid_valid(o->run)));
	(*(int *)arg)++;
}

static void
inspection(const struct json_node *root)
{
	static const struct engine_image image = { .id = IMAGE_ID };
	char field[ENGINE_FIELD_MAX];
	struct engine_object o;
	struct engine_state st;

	if (engine_compare_container(root, &want, &image, field) == -1)
		assert(field[0] != '\0');
	else {
		/* What passes is ours and hardened, whatever else it says. */
		assert(engine_parse_object(root, INSTANCE, &o) == -1 ||
		    o.labelled);
	}
	if (engine_compare_network(root, &want, field) == -1)
		assert(field[0] != '\0');
	if (engine_parse_object(root, INSTANCE, &o) == 0)
		assert(strlen(o.id) == ENGINE_ID_LEN);
	if (engine_parse_state(root, &st) == 0)
		assert(st.pid >= 0 && st.exit_code >= -1 && st.status[0] != 0);
}

static void
answers(const char *text, size_t size)
{
	char id[ENGINE_ID_LEN + 1], message[ENGINE_MESSAGE_MAX];
	struct engine_happened h;
	struct engine_version v;
	struct engine_image *image;
	struct engine_info info;

	if (engine_parse_version(text, size, &v) == 0)
		assert(v.api >= 0 && v.min_api >= 0);
	if (engine_parse_info(text, size, &info) == 0)
		assert(info.nwarnings <= ENGINE_WARNINGS_MAX);
	if (engine_parse_created(text, size, id) == 0)
		assert(strlen(id) == ENGINE_ID_LEN);
	image = engine_parse_image(text, size);
	engine_image_free(&image);
	engine_parse_message(text, size, message);
	assert(strlen(message) < sizeof(message));
	if (engine_parse_event(text, size, INSTANCE, &h) == 0)
		assert(runid_valid(h.run) && h.action[0] != '\0');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct json_error err;
	struct json_doc *doc;
	int seen = 0, n;

	answers(text, size);
	n = engine_parse_list(text, size, INSTANCE, on_object, &seen);
	assert(n == -1 ? seen == 0 : seen == n);
	doc = json_parse(text, size, &engine_json_limits, &err);
	if (doc != NULL)
		inspection(json_root(doc));
	json_free(&doc);
	return 0;
}
