/*
 * Is what the engine made what it was asked for? It ignores a member that it
 * does not know, silently: a hardening key that it has no word for is as if it
 * had never been sent. So what it shows is held against the very body that
 * asked for it.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatchd/engine_docker.h"

#define DEEP_MAX 8 /* nesting of our own body */

static int
differs(char field[ENGINE_FIELD_MAX], const char *where, const char *name)
{
	snprintf(field, ENGINE_FIELD_MAX, "%s%s%s", where,
	    where[0] != '\0' ? "." : "", name);
	return -1;
}

static const struct json_node *
member(const struct json_node *n, const char *name)
{
	return n != NULL && n->type == JSON_OBJECT ? json_member(n, name)
	                                           : NULL;
}

static bool
is_string(const struct json_node *n, const char *s)
{
	return n != NULL && n->type == JSON_STRING && strcmp(n->str, s) == 0;
}

/* What an engine shows for a thing that nobody asked for. */
static bool
is_nothing(const struct json_node *n)
{
	if (n == NULL)
		return true;
	switch (n->type) {
	case JSON_NULL:
		return true;
	case JSON_BOOL:
	case JSON_INT:
		return n->num == 0;
	case JSON_STRING:
	case JSON_ARRAY:
	case JSON_OBJECT:
		return n->len == 0;
	}
	return false;
}

/* --- asked and shown ---------------------------------------------------- */

static bool
same_scalar(const struct json_node *asked, const struct json_node *shown)
{
	if (asked->type != shown->type)
		return false;
	if (asked->type == JSON_STRING)
		return asked->len == shown->len &&
		    memcmp(asked->str, shown->str, asked->len) == 0;
	return asked->type == JSON_NULL || asked->num == shown->num;
}

/* A member more than was asked for has to be nothing. */
static bool
adds_nothing(const struct json_node *asked, const struct json_node *shown)
{
	const struct json_node *n;

	for (n = shown->child; n != NULL; n = n->next) {
		if (json_member(asked, n->key) == NULL && !is_nothing(n))
			return false;
	}
	return true;
}

/* Does the member or element of asked that n is have its like in shown? */
static const struct json_node *
like(const struct json_node *n, const struct json_node *shown,
    const struct json_node *at)
{
	return n->key != NULL ? json_member(shown, n->key) : at;
}

static bool
same_shape(const struct json_node *asked, const struct json_node *shown)
{
	if (asked->type != shown->type)
		return false;
	if (asked->type == JSON_ARRAY)
		return asked->len == shown->len;
	return adds_nothing(asked, shown);
}

/*
 * Equal, all the way down; what is asked for is our own body, whose depth is
 * known, so this keeps its own small stack.
 */
static bool
same(const struct json_node *asked, const struct json_node *shown)
{
	struct {
		const struct json_node *n, *shown, *at;
	} up[DEEP_MAX];
	const struct json_node *n = asked, *s = shown;
	size_t deep = 0;

	for (;;) {
		if (is_nothing(n) && n->type != JSON_BOOL) {
			if (!is_nothing(s))
				return false;
		} else if (s == NULL) {
			return false;
		} else if (n->child == NULL) {
			if (!same_scalar(n, s))
				return false;
		} else {
			if (!same_shape(n, s) || deep == DEEP_MAX)
				return false;
			up[deep].n = n->child;
			up[deep].shown = s;
			up[deep++].at = s->child;
			n = up[deep - 1].n;
			s = like(n, up[deep - 1].shown, up[deep - 1].at);
			continue;
		}
		while (deep > 0 && up[deep - 1].n->next == NULL)
			deep--;
		if (deep == 0)
			return true;
		up[deep - 1].n = up[deep - 1].n->next;
		if (up[deep - 1].at != NULL)
			up[deep - 1].at = up[deep - 1].at->next;
		n = up[deep - 1].n;
		s = like(n, up[deep - 1].shown, up[deep - 1].at);
	}
}

/* Members of asked whose like stands elsewhere in an inspection. */
static bool
elsewhere(const char *key, const char *const *skip)
{
	for (; *skip != NULL; skip++) {
		if (strcmp(*skip, key) == 0)
			return true;
	}
	return false;
}

static int
same_members(const struct json_node *asked, const struct json_node *shown,
    const char *const *skip, const char *where, char field[ENGINE_FIELD_MAX])
{
	const struct json_node *n;

	for (n = asked->child; n != NULL; n = n->next) {
		if (elsewhere(n->key, skip))
			continue;
		if (!same(n, member(shown, n->key)))
			return differs(field, where, n->key);
	}
	return 0;
}

static int
no_members(const struct json_node *shown, const char *const *names,
    const char *where, char field[ENGINE_FIELD_MAX])
{
	for (; *names != NULL; names++) {
		if (!is_nothing(member(shown, *names)))
			return differs(field, where, *names);
	}
	return 0;
}

/* The body as a document; NULL when out of memory. */
static struct json_doc *
parse_body(char *body)
{
	struct json_doc *doc = NULL;
	struct json_error err;

	if (body != NULL)
		doc = json_parse(body, strlen(body), &engine_json_limits, &err);
	free(body);
	return doc;
}

/* --- the network -------------------------------------------------------- */

static int
compare_network(const struct json_node *asked, const struct json_node *shown,
    char field[ENGINE_FIELD_MAX])
{
	/* Not shown: it is a wish about the creation. */
	static const char *const skip[] = { "CheckDuplicate", NULL };
	static const char *const none[] = { "ConfigOnly", "Containers", "Peers",
		NULL };

	if (same_members(asked, shown, skip, "", field) == -1 ||
	    no_members(shown, none, "", field) == -1)
		return -1;
	if (!is_nothing(member(member(shown, "ConfigFrom"), "Network")))
		return differs(field, "", "ConfigFrom");
	return 0;
}

int
engine_compare_network(const struct json_node *inspect,
    const struct engine_want *want, char field[ENGINE_FIELD_MAX])
{
	char spec[ENGINE_SPEC_LEN + 1];
	struct json_doc *doc = parse_body(engine_network_body(want, spec));
	int r;

	if (doc == NULL)
		return differs(field, "", "memory");
	r = compare_network(json_root(doc), inspect, field);
	json_free(&doc);
	return r;
}

/* --- the container ------------------------------------------------------ */

static const char *const config_skip[] = { "Image", "Env", "Labels",
	"HostConfig", "NetworkingConfig", NULL };

static const char *const config_none[] = { "Volumes", "NetworkDisabled",
	"StdinOnce", "Domainname", "MacAddress", NULL };

static const char *const host_none[] = { "Binds", "PortBindings",
	"PublishAllPorts", "VolumesFrom", "VolumeDriver", "Links", "ExtraHosts",
	"GroupAdd", "Cgroup", "CgroupParent", "PidMode", "UTSMode",
	"UsernsMode", "Sysctls", "StorageOpt", "Devices", "DeviceCgroupRules",
	"DeviceRequests", "OomKillDisable", "CpuPeriod", "CpuQuota",
	"CpuRealtimePeriod", "CpuRealtimeRuntime", "MemoryReservation",
	"Annotations", NULL };

/* What the default profile hides, and every engine since long before ours. */
static const char *const masked[] = { "/proc/acpi", "/proc/kcore", "/proc/keys",
	"/proc/timer_list", "/sys/firmware", NULL };
static const char *const readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq",
	"/proc/sys", "/proc/sysrq-trigger", NULL };

static bool
list_has(const struct json_node *list, const char *s)
{
	const struct json_node *n;

	if (list == NULL || list->type != JSON_ARRAY)
		return false;
	for (n = list->child; n != NULL; n = n->next) {
		if (is_string(n, s))
			return true;
	}
	return false;
}

static bool
list_has_all(const struct json_node *list, const char *const *all)
{
	for (; *all != NULL; all++) {
		if (!list_has(list, *all))
			return false;
	}
	return true;
}

/* Ours, each once, and what the image sets; nothing else. */
static bool
same_env(const struct json_node *asked, const struct json_node *shown,
    const struct engine_image *image)
{
	const struct json_node *n;
	size_t i, ours = 0;

	if (shown == NULL || shown->type != JSON_ARRAY)
		return false;
	for (n = shown->child; n != NULL; n = n->next) {
		if (n->type != JSON_STRING)
			return false;
		if (list_has(asked, n->str)) {
			ours++;
			continue;
		}
		for (i = 0; i < image->nenv; i++) {
			if (strcmp(image->env[i], n->str) == 0)
				break;
		}
		if (i == image->nenv)
			return false;
	}
	return ours == asked->len && list_has(shown, asked->child->str) &&
	    list_has(shown, asked->child->next->str);
}

/* An image may bring labels of its own, but not in our name. */
static bool
same_labels(const struct json_node *asked, const struct json_node *shown)
{
	const struct json_node *n;

	if (shown == NULL || shown->type != JSON_OBJECT)
		return false;
	for (n = asked->child; n != NULL; n = n->next) {
		if (!is_string(json_member(shown, n->key), n->str))
			return false;
	}
	for (n = shown->child; n != NULL; n = n->next) {
		if (strncmp(n->key, "bulkhead.", 9) == 0 &&
		    json_member(asked, n->key) == NULL)
			return false;
	}
	return true;
}

/* The mounts as they came out: the one, and nothing that an image added. */
static bool
same_mounts(const struct json_node *mounts, const struct engine_want *want)
{
	const struct json_node *m, *rw;
	char dir[ENGINE_PATH_MAX];

	if (mounts == NULL || mounts->type != JSON_ARRAY || mounts->len != 1)
		return false;
	engine_run_dir(want, dir, sizeof(dir));
	m = mounts->child;
	rw = member(m, "RW");
	return is_string(member(m, "Type"), "bind") &&
	    is_string(member(m, "Source"), dir) &&
	    is_string(member(m, "Destination"), "/run/bulkhead") &&
	    is_string(member(m, "Propagation"), "private") && rw != NULL &&
	    rw->type == JSON_BOOL && rw->num == 0;
}

/* On its own network alone, at its own address. */
static bool
same_networks(const struct json_node *networks, const struct engine_want *want)
{
	const struct json_node *one;
	char name[ENGINE_NAME_LEN + 1];

	engine_name(want->run, name);
	if (networks == NULL || networks->type != JSON_OBJECT ||
	    networks->len != 1)
		return false;
	one = member(networks, name);
	return one != NULL &&
	    is_string(member(member(one, "IPAMConfig"), "IPv4Address"),
	        want->address) &&
	    is_nothing(member(one, "Links")) &&
	    is_nothing(member(one, "DriverOpts"));
}

static int
compare_host(const struct json_node *asked, const struct json_node *shown,
    char field[ENGINE_FIELD_MAX])
{
	static const char *const skip[] = { NULL };

	if (same_members(asked, shown, skip, "HostConfig", field) == -1 ||
	    no_members(shown, host_none, "HostConfig", field) == -1)
		return -1;
	if (!list_has_all(member(shown, "MaskedPaths"), masked))
		return differs(field, "HostConfig", "MaskedPaths");
	if (!list_has_all(member(shown, "ReadonlyPaths"), readonly))
		return differs(field, "HostConfig", "ReadonlyPaths");
	return 0;
}

static int
compare_config(const struct json_node *asked, const struct json_node *shown,
    const struct engine_image *image, char field[ENGINE_FIELD_MAX])
{
	if (!same_labels(member(asked, "Labels"), member(shown, "Labels")))
		return differs(field, "Config", "Labels");
	if (same_members(asked, shown, config_skip, "Config", field) == -1 ||
	    no_members(shown, config_none, "Config", field) == -1)
		return -1;
	if (!same_env(member(asked, "Env"), member(shown, "Env"), image))
		return differs(field, "Config", "Env");
	return 0;
}

static int
compare_container(const struct json_node *asked, const struct json_node *shown,
    const struct engine_want *want, const struct engine_image *image,
    char field[ENGINE_FIELD_MAX])
{
	if (!is_string(member(shown, "Image"), want->image_id))
		return differs(field, "", "Image");
	if (compare_config(asked, member(shown, "Config"), image, field) ==
	        -1 ||
	    compare_host(member(asked, "HostConfig"),
	        member(shown, "HostConfig"), field) == -1)
		return -1;
	if (!is_nothing(member(shown, "ExecIDs")))
		return differs(field, "", "ExecIDs");
	if (!same_mounts(member(shown, "Mounts"), want))
		return differs(field, "", "Mounts");
	if (!same_networks(
	        member(member(shown, "NetworkSettings"), "Networks"), want))
		return differs(field, "NetworkSettings", "Networks");
	return 0;
}

int
engine_compare_container(const struct json_node *inspect,
    const struct engine_want *want, const struct engine_image *image,
    char field[ENGINE_FIELD_MAX])
{
	char spec[ENGINE_SPEC_LEN + 1];
	struct json_doc *doc = parse_body(engine_container_body(want, spec));
	int r;

	if (doc == NULL)
		return differs(field, "", "memory");
	r = compare_container(json_root(doc), inspect, want, image, field);
	json_free(&doc);
	return r;
}
