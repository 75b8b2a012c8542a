/*
 * What the engine says about itself, its image and its objects.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"

#include "dispatchd/engine_docker.h"

#define JSON_NODES_MAX 131072
#define JSON_DEPTH_MAX 16
#define API_MINOR_MAX 9999
#define NEVER "0001-01-01T00:00:00Z" /* how Go writes no time at all */

const struct json_limits engine_json_limits = {
	.bytes = ENGINE_BODY_MAX,
	.nodes = JSON_NODES_MAX,
	.depth = JSON_DEPTH_MAX,
	.comments = false,
};

static struct json_doc *
parse(const char *body, size_t len)
{
	struct json_error err;
	struct json_doc *doc;

	if ((doc = json_parse(body, len, &engine_json_limits, &err)) == NULL)
		log_debug(
		    "the engine's answer, line %u: %s", err.line, err.what);
	return doc;
}

static const struct json_node *
member(const struct json_node *n, const char *name, enum json_type type)
{
	const struct json_node *m;

	if (n == NULL || n->type != JSON_OBJECT ||
	    (m = json_member(n, name)) == NULL || m->type != type)
		return NULL;
	return m;
}

static const char *
string(const struct json_node *n, const char *name)
{
	const struct json_node *m = member(n, name, JSON_STRING);

	return m != NULL ? m->str : NULL;
}

static int64_t
integer(const struct json_node *n, const char *name, int64_t otherwise)
{
	const struct json_node *m = member(n, name, JSON_INT);

	return m != NULL ? m->num : otherwise;
}

static bool
truth(const struct json_node *n, const char *name)
{
	const struct json_node *m = member(n, name, JSON_BOOL);

	return m != NULL && m->num != 0;
}

static void
escape(char *out, size_t outlen, const char *text)
{
	out[log_escape(out, outlen, text, strlen(text))] = '\0';
}

bool
engine_id_valid(const char *s)
{
	return s != NULL && strlen(s) == ENGINE_ID_LEN &&
	    strspn(s, "0123456789abcdef") == ENGINE_ID_LEN;
}

/* --- the engine --------------------------------------------------------- */

int
engine_parse_api(const char *text)
{
	int n = 0;

	if (text == NULL || strncmp(text, "1.", 2) != 0)
		return -1;
	for (text += 2; *text >= '0' && *text <= '9'; text++) {
		n = n * 10 + (*text - '0');
		if (n > API_MINOR_MAX)
			return -1;
	}
	return *text == '\0' && text[-1] != '.' ? n : -1;
}

int
engine_parse_version(const char *body, size_t len, struct engine_version *out)
{
	struct json_doc *doc = parse(body, len);
	const struct json_node *root;
	struct engine_version v;
	const char *version;
	int r = -1;

	if (doc == NULL)
		return -1;
	root = json_root(doc);
	version = string(root, "Version");
	v.api = engine_parse_api(string(root, "ApiVersion"));
	v.min_api = engine_parse_api(string(root, "MinAPIVersion"));
	if (version != NULL && version[0] != '\0' && v.api != -1 &&
	    v.min_api != -1) {
		escape(v.version, sizeof(v.version), version);
		*out = v;
		r = 0;
	}
	json_free(&doc);
	return r;
}

int
engine_choose_api(int min, int max, const char **why)
{
	*why = NULL;
	if (max < ENGINE_API_OLDEST) {
		*why = "the engine is too old: it speaks no API from 1.41 up";
		return -1;
	}
	if (min > ENGINE_API_NEWEST) {
		*why = "the engine is too new: it speaks no API up to 1.52";
		return -1;
	}
	if (min > max) {
		*why = "the engine says that it speaks no API at all";
		return -1;
	}
	if (max < ENGINE_API_WANTED)
		return max;
	return min > ENGINE_API_WANTED ? min : ENGINE_API_WANTED;
}

static void
warn(struct engine_info *i, bool when, const char *text)
{
	if (when && i->nwarnings < ENGINE_WARNINGS_MAX)
		i->warnings[i->nwarnings++] = text;
}

static bool
security_has(const struct json_node *root, const char *name)
{
	const struct json_node *n = member(root, "SecurityOptions", JSON_ARRAY);
	size_t len = strlen(name);

	for (n = n != NULL ? n->child : NULL; n != NULL; n = n->next) {
		if (n->type == JSON_STRING && strncmp(n->str, name, len) == 0 &&
		    (n->str[len] == '\0' || n->str[len] == ','))
			return true;
	}
	return false;
}

static bool
seccomp_unconfined(const struct json_node *root)
{
	return security_has(root, "name=seccomp,profile=unconfined");
}

static void
info_warnings(struct engine_info *i, const struct json_node *root)
{
	const char *cgroup = string(root, "CgroupVersion");

	warn(i, !i->live_restore,
	    "the engine ends every run when it restarts: set live-restore");
	warn(i, !security_has(root, "name=seccomp") || seccomp_unconfined(root),
	    "the engine has no seccomp profile");
	warn(i,
	    !security_has(root, "name=apparmor") &&
	        !security_has(root, "name=selinux"),
	    "the engine has neither AppArmor nor SELinux");
	warn(i,
	    !security_has(root, "name=userns") &&
	        !security_has(root, "name=rootless"),
	    "the engine maps no users: uid 1000 of a run is the host's");
	warn(i, cgroup == NULL || strcmp(cgroup, "2") != 0,
	    "the engine uses control groups of version 1");
	warn(i, !truth(root, "MemoryLimit"), "the engine limits no memory");
	warn(i, !truth(root, "SwapLimit"), "the engine limits no swap");
	warn(i, !truth(root, "PidsLimit"), "the engine limits no processes");
	warn(i, !truth(root, "CpuCfsQuota"), "the engine limits no processors");
}

int
engine_parse_info(const char *body, size_t len, struct engine_info *out)
{
	struct json_doc *doc = parse(body, len);
	const struct json_node *root;
	struct engine_info i;
	int r = -1;

	if (doc == NULL)
		return -1;
	root = json_root(doc);
	memset(&i, 0, sizeof(i));
	i.memory = integer(root, "MemTotal", -1);
	i.cpus = integer(root, "NCPU", -1);
	i.live_restore = truth(root, "LiveRestoreEnabled");
	if (i.memory >= 0 && i.cpus >= 0 && i.cpus <= 100000) {
		info_warnings(&i, root);
		*out = i;
		r = 0;
	}
	json_free(&doc);
	return r;
}

static int
image_env(struct engine_image *image, const struct json_node *env)
{
	const struct json_node *n;

	if (env == NULL)
		return 0;
	for (n = env->child; n != NULL; n = n->next) {
		if (n->type != JSON_STRING ||
		    image->nenv == ENGINE_IMAGE_ENV_MAX)
			return -1;
		if ((image->env[image->nenv] = strdup(n->str)) == NULL)
			return -1;
		image->nenv++;
	}
	return 0;
}

struct engine_image *
engine_parse_image(const char *body, size_t len)
{
	struct json_doc *doc = parse(body, len);
	struct engine_image *image;
	const struct json_node *root;
	const char *id;

	if (doc == NULL)
		return NULL;
	root = json_root(doc);
	id = string(root, "Id");
	image = calloc(1, sizeof(*image));
	if (image == NULL || id == NULL || strncmp(id, "sha256:", 7) != 0 ||
	    !engine_id_valid(id + 7) ||
	    image_env(image,
	        member(member(root, "Config", JSON_OBJECT), "Env",
	            JSON_ARRAY)) == -1)
		engine_image_free(&image);
	else
		strlcpy(image->id, id, sizeof(image->id));
	json_free(&doc);
	return image;
}

void
engine_image_free(struct engine_image **ip)
{
	struct engine_image *image = *ip;
	size_t i;

	if (image == NULL)
		return;
	for (i = 0; i < image->nenv; i++)
		free(image->env[i]);
	free(image);
	*ip = NULL;
}

/* --- objects ------------------------------------------------------------ */

int
engine_parse_created(const char *body, size_t len, char id[ENGINE_ID_LEN + 1])
{
	struct json_doc *doc = parse(body, len);
	const char *s;
	int r = -1;

	if (doc == NULL)
		return -1;
	s = string(json_root(doc), "Id");
	if (engine_id_valid(s)) {
		memcpy(id, s, ENGINE_ID_LEN + 1);
		r = 0;
	}
	json_free(&doc);
	return r;
}

static void
object_run(struct engine_object *o, const char *name)
{
	if (strncmp(name, "bulkhead-", 9) != 0 || !runid_valid(name + 9))
		return;
	memcpy(o->run, name + 9, sizeof(o->run));
	o->named = true;
}

/*
 * Ours is what carries both: the name of a run, and this instance's labels
 * for that run. Everything else belongs to somebody else.
 */
static int
object(const struct json_node *n, const char *name,
    const struct json_node *labels, const char *instance,
    struct engine_object *out)
{
	const char *id = string(n, "Id"), *label, *run;

	if (!engine_id_valid(id) || name == NULL)
		return -1;
	memset(out, 0, sizeof(*out));
	memcpy(out->id, id, sizeof(out->id));
	name += name[0] == '/';
	escape(out->name, sizeof(out->name), name);
	object_run(out, name);
	label = string(labels, "bulkhead.instance");
	run = string(labels, "bulkhead.run");
	out->labelled = label != NULL && strcmp(label, instance) == 0;
	if (run != NULL && runid_valid(run))
		memcpy(out->labelled_run, run, sizeof(out->labelled_run));
	out->ours = out->labelled && out->named &&
	    strcmp(out->labelled_run, out->run) == 0;
	if (engine_id_valid(label = string(labels, "bulkhead.spec")))
		memcpy(out->spec, label, sizeof(out->spec));
	return 0;
}

/* A container has its labels in its configuration, a network its own. */
int
engine_parse_object(const struct json_node *inspect, const char *instance,
    struct engine_object *out)
{
	const struct json_node *config = member(inspect, "Config", JSON_OBJECT);

	return object(inspect, string(inspect, "Name"),
	    member(config != NULL ? config : inspect, "Labels", JSON_OBJECT),
	    instance, out);
}

/* PID 1 never ran: an exit code of 0 then says nothing. */
int
engine_parse_state(const struct json_node *inspect, struct engine_state *out)
{
	const struct json_node *s = member(inspect, "State", JSON_OBJECT);
	const char *status = string(s, "Status"), *error = string(s, "Error");
	const char *started = string(s, "StartedAt");
	int64_t code = integer(s, "ExitCode", -1), pid = integer(s, "Pid", -1);
	size_t n;

	if (status == NULL || started == NULL || pid < 0 || pid > 4194304 ||
	    code < -1 || code > 255)
		return -1;
	n = strspn(status, "abcdefghijklmnopqrstuvwxyz");
	if (n == 0 || status[n] != '\0' || n >= sizeof(out->status))
		return -1;
	memset(out, 0, sizeof(*out));
	memcpy(out->status, status, n);
	out->pid = pid;
	out->started = strcmp(started, NEVER) != 0 && started[0] != '\0';
	out->running = truth(s, "Running");
	out->oom = truth(s, "OOMKilled");
	out->exit_code =
	    out->running || strcmp(status, "created") == 0 ? -1 : (int)code;
	escape(out->error, sizeof(out->error), error != NULL ? error : "");
	return 0;
}

/* A listed container has Names, a network has its Name. */
static const char *
listed_name(const struct json_node *n)
{
	const struct json_node *names = member(n, "Names", JSON_ARRAY);

	if (names == NULL)
		return string(n, "Name");
	return names->child != NULL && names->child->type == JSON_STRING
	    ? names->child->str
	    : NULL;
}

/* One of being removed may have lost its name already: it is passed over. */
static int
listed(const struct json_node *n, const char *instance, struct engine_object *o,
    const char **status)
{
	const char *name = listed_name(n);

	*status =
	    member(n, "Names", JSON_ARRAY) != NULL ? string(n, "State") : "";
	if (*status == NULL)
		return -1;
	return object(n, name != NULL ? name : "",
	    member(n, "Labels", JSON_OBJECT), instance, o);
}

int
engine_parse_list(const char *body, size_t len, const char *instance,
    engine_list_fn *one, void *arg)
{
	struct json_doc *doc = parse(body, len);
	const struct json_node *root, *n;
	struct engine_object o;
	const char *status;
	int count = -1;

	if (doc == NULL)
		return -1;
	root = json_root(doc);
	if (root->type != JSON_ARRAY || root->len > ENGINE_LIST_MAX)
		goto out;
	for (n = root->child; n != NULL; n = n->next) {
		if (listed(n, instance, &o, &status) == -1)
			goto out;
	}
	count = (int)root->len;
	for (n = root->child; n != NULL; n = n->next) {
		if (listed(n, instance, &o, &status) == 0)
			one(&o, status, arg);
	}
out:
	json_free(&doc);
	return count;
}

void
engine_parse_message(const char *body, size_t len, char out[ENGINE_MESSAGE_MAX])
{
	struct json_doc *doc = len > 0 ? parse(body, len) : NULL;
	const char *s;

	out[0] = '\0';
	if (doc == NULL)
		return;
	if ((s = string(json_root(doc), "message")) != NULL)
		escape(out, ENGINE_MESSAGE_MAX, s);
	json_free(&doc);
}
