/*
 * What we ask the engine to make. Every word of it is here: of a run only its
 * id, its addresses and its sizes come in.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "dispatchd/engine_docker.h"

#define TEMPLATE_MAX 65536 /* bytes of a body */
#define TEMPLATE_NOFILE_SOFT 1024
#define TEMPLATE_NOFILE_HARD 4096
#define TEMPLATE_SHM (16 * 1024 * 1024) /* of /dev/shm; it is memory too */
#define TEMPLATE_OOM_SCORE 500 /* the host's own work outlives a run */
#define NANO_PER_MILLI 1000000

void
engine_name(const char *run, char name[ENGINE_NAME_LEN + 1])
{
	snprintf(name, ENGINE_NAME_LEN + 1, "bulkhead-%s", run);
}

void
engine_run_dir(const struct engine_want *want, char *buf, size_t len)
{
	snprintf(buf, len, "%s/%s", want->runs_dir, want->run);
}

/* --- words ------------------------------------------------------------- */

static void
put_string(struct json_writer *w, const char *key, const char *value)
{
	json_key(w, key);
	json_string(w, value);
}

static void
put_int(struct json_writer *w, const char *key, int64_t value)
{
	json_key(w, key);
	json_int(w, value);
}

static void
put_bool(struct json_writer *w, const char *key, bool value)
{
	json_key(w, key);
	json_bool(w, value);
}

static void
put_list(
    struct json_writer *w, const char *key, const char *one, const char *two)
{
	json_key(w, key);
	json_open_array(w);
	if (one != NULL)
		json_string(w, one);
	if (two != NULL)
		json_string(w, two);
	json_close_array(w);
}

static void
put_object(struct json_writer *w, const char *key)
{
	json_key(w, key);
	json_open_object(w);
}

/* The spec is the hash of the rest: it is absent while that is made. */
static void
put_labels(
    struct json_writer *w, const struct engine_want *want, const char *spec)
{
	put_object(w, "Labels");
	put_string(w, "bulkhead.instance", want->instance);
	put_string(w, "bulkhead.run", want->run);
	if (spec != NULL)
		put_string(w, "bulkhead.spec", spec);
	json_close_object(w);
}

/* --- the network ------------------------------------------------------- */

static void
put_ipam(struct json_writer *w, const struct engine_want *want)
{
	put_object(w, "IPAM");
	put_string(w, "Driver", "default");
	json_key(w, "Config");
	json_open_array(w);
	json_open_object(w);
	put_string(w, "Subnet", want->subnet);
	put_string(w, "Gateway", want->gateway);
	json_close_object(w);
	json_close_array(w);
	json_close_object(w);
}

static void
put_bridge(struct json_writer *w, const struct engine_want *want)
{
	char interface[32];

	snprintf(interface, sizeof(interface), "%s%s", want->prefix, want->run);
	put_object(w, "Options");
	put_string(w, "com.docker.network.bridge.name", interface);
	put_string(w, "com.docker.network.bridge.enable_icc", "false");
	put_string(
	    w, "com.docker.network.bridge.enable_ip_masquerade", "false");
	json_close_object(w);
}

static void
write_network(
    struct json_writer *w, const struct engine_want *want, const char *spec)
{
	char name[ENGINE_NAME_LEN + 1];

	engine_name(want->run, name);
	json_open_object(w);
	put_string(w, "Name", name);
	if (want->api < ENGINE_API_NO_DUPLICATES)
		put_bool(w, "CheckDuplicate", true);
	put_string(w, "Driver", "bridge");
	put_bool(w, "Internal", true);
	put_bool(w, "Attachable", false);
	put_bool(w, "Ingress", false);
	put_bool(w, "EnableIPv6", false);
	put_ipam(w, want);
	put_bridge(w, want);
	put_labels(w, want, spec);
	json_close_object(w);
}

/* --- the container ----------------------------------------------------- */

static void
put_ulimit(struct json_writer *w, const char *name, int64_t soft, int64_t hard)
{
	json_open_object(w);
	put_string(w, "Name", name);
	put_int(w, "Soft", soft);
	put_int(w, "Hard", hard);
	json_close_object(w);
}

static void
put_sizes(struct json_writer *w, const struct engine_want *want)
{
	put_int(w, "Memory", want->memory);
	/* The sum of memory and swap: no swap. */
	put_int(w, "MemorySwap", want->memory);
	put_int(w, "NanoCpus", want->cpus_milli * NANO_PER_MILLI);
	put_int(w, "PidsLimit", want->pids);
	json_key(w, "Ulimits");
	json_open_array(w);
	put_ulimit(w, "core", 0, 0);
	put_ulimit(w, "nofile", TEMPLATE_NOFILE_SOFT, TEMPLATE_NOFILE_HARD);
	json_close_array(w);
	put_int(w, "ShmSize", TEMPLATE_SHM);
	put_int(w, "OomScoreAdj", TEMPLATE_OOM_SCORE);
}

static void
put_tmpfs(struct json_writer *w, const struct engine_want *want)
{
	char options[128];

	put_object(w, "Tmpfs");
	snprintf(options, sizeof(options),
	    "rw,nosuid,nodev,exec,size=%lld,uid=1000,gid=1000,mode=0700",
	    (long long)want->workspace);
	put_string(w, "/home/agent", options);
	snprintf(options, sizeof(options),
	    "rw,nosuid,nodev,size=%lld,mode=1777", (long long)want->tmp);
	put_string(w, "/tmp", options);
	json_close_object(w);
}

/* The one directory of the host: sockets, which "read-only" does not close. */
static void
put_mounts(struct json_writer *w, const struct engine_want *want)
{
	char dir[ENGINE_PATH_MAX];

	engine_run_dir(want, dir, sizeof(dir));
	json_key(w, "Mounts");
	json_open_array(w);
	json_open_object(w);
	put_string(w, "Type", "bind");
	put_string(w, "Source", dir);
	put_string(w, "Target", "/run/bulkhead");
	put_bool(w, "ReadOnly", true);
	put_object(w, "BindOptions");
	put_string(w, "Propagation", "private");
	put_bool(w, "NonRecursive", true);
	json_close_object(w);
	json_close_object(w);
	json_close_array(w);
}

static void
put_log(struct json_writer *w)
{
	put_object(w, "LogConfig");
	put_string(w, "Type", "json-file");
	put_object(w, "Config");
	put_string(w, "max-size", "1m");
	put_string(w, "max-file", "1");
	json_close_object(w);
	json_close_object(w);
}

/*
 * There is no resolver: the engine's own, inside, is told to ask the gateway,
 * where none listens, once and for a second. A search domain of "." keeps the
 * host's out. The lists that are empty here are safe as they are absent; they
 * are said because the engine merges some of them with its own settings.
 */
static void
put_host(struct json_writer *w, const struct engine_want *want)
{
	char name[ENGINE_NAME_LEN + 1];

	engine_name(want->run, name);
	put_object(w, "HostConfig");
	put_bool(w, "Privileged", false);
	put_list(w, "CapDrop", "ALL", NULL);
	put_list(w, "CapAdd", NULL, NULL);
	/* The engine's own seccomp and AppArmor profiles stay. */
	put_list(w, "SecurityOpt", "no-new-privileges:true", NULL);
	put_bool(w, "ReadonlyRootfs", true);
	put_tmpfs(w, want);
	put_mounts(w, want);
	put_sizes(w, want);
	put_string(w, "IpcMode", "private");
	put_string(w, "CgroupnsMode", "private");
	put_bool(w, "Init", false);
	put_object(w, "RestartPolicy");
	put_string(w, "Name", "no");
	json_close_object(w);
	put_bool(w, "AutoRemove", false);
	put_string(w, "NetworkMode", name);
	put_list(w, "Dns", want->gateway, NULL);
	put_list(w, "DnsOptions", "timeout:1", "attempts:1");
	put_list(w, "DnsSearch", ".", NULL);
	put_log(w);
	json_close_object(w);
}

static void
put_endpoint(struct json_writer *w, const struct engine_want *want)
{
	char name[ENGINE_NAME_LEN + 1];

	engine_name(want->run, name);
	put_object(w, "NetworkingConfig");
	put_object(w, "EndpointsConfig");
	put_object(w, name);
	put_object(w, "IPAMConfig");
	put_string(w, "IPv4Address", want->address);
	json_close_object(w);
	json_close_object(w);
	json_close_object(w);
	json_close_object(w);
}

static void
write_container(
    struct json_writer *w, const struct engine_want *want, const char *spec)
{
	char run[sizeof("BULKHEAD_RUN=") + RUNID_LEN];

	snprintf(run, sizeof(run), "BULKHEAD_RUN=%s", want->run);
	json_open_object(w);
	put_string(w, "Image", want->image_id);
	put_string(w, "User", "1000:1000");
	put_list(w, "Entrypoint", "/usr/bin/agent-cli", "entrypoint");
	put_list(w, "Cmd", NULL, NULL);
	put_list(w, "Env", "AGENT_SANDBOX=1", run);
	put_labels(w, want, spec);
	put_bool(w, "Tty", false);
	put_bool(w, "OpenStdin", false);
	put_bool(w, "AttachStdin", false);
	put_bool(w, "AttachStdout", false);
	put_bool(w, "AttachStderr", false);
	put_string(w, "WorkingDir", "/home/agent");
	/* An image's health check would run inside, before the release. */
	json_key(w, "Healthcheck");
	json_open_object(w);
	put_list(w, "Test", "NONE", NULL);
	json_close_object(w);
	put_string(w, "StopSignal", "SIGTERM");
	put_host(w, want);
	put_endpoint(w, want);
	json_close_object(w);
}

/* --- both -------------------------------------------------------------- */

typedef void
write_fn(struct json_writer *, const struct engine_want *, const char *);

static char *
text_of(const struct engine_want *want, write_fn *write, const char *spec)
{
	struct json_writer *w = json_writer_new(TEMPLATE_MAX);
	const char *text;
	char *copy = NULL;
	size_t len;

	write(w, want, spec);
	if (json_writer_end(w, &text, &len) == 0)
		copy = strndup(text, len);
	json_writer_free(&w);
	return copy;
}

static int
hash_of(const char *text, char spec[ENGINE_SPEC_LEN + 1])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned i, n;

	if (EVP_Digest(text, strlen(text), md, &n, EVP_sha256(), NULL) != 1)
		return -1;
	for (i = 0; i < n && 2 * i < ENGINE_SPEC_LEN; i++)
		snprintf(spec + 2 * i, 3, "%02x", md[i]);
	return 0;
}

static char *
body_of(const struct engine_want *want, write_fn *write,
    char spec[ENGINE_SPEC_LEN + 1])
{
	char *bare, *body = NULL;

	if ((bare = text_of(want, write, NULL)) == NULL)
		return NULL;
	if (hash_of(bare, spec) == 0)
		body = text_of(want, write, spec);
	free(bare);
	return body;
}

char *
engine_network_body(
    const struct engine_want *want, char spec[ENGINE_SPEC_LEN + 1])
{
	return body_of(want, write_network, spec);
}

char *
engine_container_body(
    const struct engine_want *want, char spec[ENGINE_SPEC_LEN + 1])
{
	return body_of(want, write_container, spec);
}
