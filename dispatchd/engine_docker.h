#ifndef DISPATCHD_ENGINE_DOCKER_H
#define DISPATCHD_ENGINE_DOCKER_H

/*
 * Docker's words: what is sent (template), what an inspection must show
 * (compare) and what the other answers say. Pure: no I/O, no globals.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/json.h"
#include "libcommon/runid.h"

#define ENGINE_BODY_MAX (1024 * 1024) /* of any answer */
#define ENGINE_ID_LEN 64 /* of a container or network: SHA-256 in hex */
#define ENGINE_IMAGE_ID_MAX 128
#define ENGINE_IMAGE_ENV_MAX 64 /* variables that an image may set */
#define ENGINE_SPEC_LEN 64
#define ENGINE_NAME_LEN (9 + RUNID_LEN) /* "bulkhead-" RUN */
#define ENGINE_MESSAGE_MAX 256 /* of an engine's error, escaped */
#define ENGINE_PATH_MAX 512
#define ENGINE_FIELD_MAX 96 /* a name, for people */
#define ENGINE_WARNINGS_MAX 16
#define ENGINE_WARNING_MAX 256 /* of one, for people */
#define ENGINE_LIST_MAX 1024 /* objects of one kind */

/* Minor numbers of API 1.NN that we know the meaning of. */
#define ENGINE_API_OLDEST 41
#define ENGINE_API_WANTED 44
#define ENGINE_API_NEWEST 52
#define ENGINE_API_NO_DUPLICATES 44 /* from here names are always unique */

extern const struct json_limits engine_json_limits;

/* --- engine_docker_template.c ------------------------------------------ */

/* What a run's network and container are made from, besides the constants. */
struct engine_want {
	char run[RUNID_LEN + 1];
	const char *instance;
	const char *prefix; /* of interfaces */
	const char *runs_dir;
	char image_id[ENGINE_IMAGE_ID_MAX + 1];
	unsigned api; /* minor */
	char subnet[20];
	char gateway[16];
	char address[16];
	int64_t memory;
	int64_t cpus_milli;
	int64_t pids;
	int64_t workspace;
	int64_t tmp;
};

void engine_name(const char *run, char name[ENGINE_NAME_LEN + 1]);

/*
 * The create bodies, malloc'd, NUL-terminated; spec is the SHA-256, in hex, of
 * the same body without its spec label. NULL when out of memory.
 */
char *engine_network_body(
    const struct engine_want *want, char spec[ENGINE_SPEC_LEN + 1]);
char *engine_container_body(
    const struct engine_want *want, char spec[ENGINE_SPEC_LEN + 1]);
/* Where the run's directory is on the host. */
void engine_run_dir(const struct engine_want *want, char *buf, size_t len);

/* --- engine_docker_compare.c ------------------------------------------- */

/* The variables that an image sets by itself, each "NAME=VALUE". */
struct engine_image {
	char id[ENGINE_IMAGE_ID_MAX + 1];
	char *env[ENGINE_IMAGE_ENV_MAX];
	size_t nenv;
};

/*
 * Does the inspection show what was asked for? The create body itself is what
 * it is held against, so whatever is asked for is compared. Returns 0; or -1
 * with the name of the first field that differs ("HostConfig.Memory"). An
 * endpoint, a device, a mount or another weakening that was not asked for is a
 * difference; a field that we do not know is none: answers are an open format.
 */
int engine_compare_network(const struct json_node *inspect,
    const struct engine_want *want, char field[ENGINE_FIELD_MAX]);
int engine_compare_container(const struct json_node *inspect,
    const struct engine_want *want, const struct engine_image *image,
    char field[ENGINE_FIELD_MAX]);

/* --- engine_docker_answer.c -------------------------------------------- */

/* 64 hex digits, as every container and network has them. */
bool engine_id_valid(const char *id);

/* "1.44" to 44; -1 for anything but 1.N. */
int engine_parse_api(const char *text);

struct engine_version {
	char version[65]; /* of the engine, printable */
	int api; /* the newest, minor */
	int min_api;
};
/* Each returns 0, or -1: the answer is not one (*out is as it was). */
int
engine_parse_version(const char *body, size_t len, struct engine_version *out);
/*
 * The API to speak with an engine that has min..max: the wanted one, or what
 * is nearest to it. Returns its minor number; or -1, with *why a sentence.
 */
int engine_choose_api(int min, int max, const char **why);

struct engine_info {
	int64_t memory;
	int64_t cpus;
	bool live_restore;
	const char *warnings[ENGINE_WARNINGS_MAX]; /* constants */
	size_t nwarnings;
};
int engine_parse_info(const char *body, size_t len, struct engine_info *out);

/* NULL, or an image that engine_image_free releases. */
struct engine_image *engine_parse_image(const char *body, size_t len);
void engine_image_free(struct engine_image **image);

/* The "Id" of what was created: 64 hex digits. */
int
engine_parse_created(const char *body, size_t len, char id[ENGINE_ID_LEN + 1]);

/* Whose is an object, and which? */
struct engine_object {
	char id[ENGINE_ID_LEN + 1];
	char name[ENGINE_MESSAGE_MAX]; /* escaped, no leading slash */
	char run[RUNID_LEN + 1]; /* by its name; "" */
	char labelled_run[RUNID_LEN + 1]; /* by its label; "" */
	bool named; /* "bulkhead-" and a run's id */
	bool ours; /* named, and its labels are this instance's and run's */
	bool labelled; /* carries this instance's label */
	char spec[ENGINE_SPEC_LEN + 1]; /* its label; "" */
};

struct engine_state {
	char status[17];
	int64_t pid;
	int exit_code; /* -1: none yet */
	bool started; /* ever */
	bool running;
	bool oom;
	char error[ENGINE_MESSAGE_MAX]; /* escaped */
};

/* An inspected container: whose, and its state. Returns 0 or -1. */
int engine_parse_object(const struct json_node *inspect, const char *instance,
    struct engine_object *out);
int
engine_parse_state(const struct json_node *inspect, struct engine_state *out);

/*
 * GET /containers/json or /networks: each element to one(). status is "" for
 * networks. Returns the count, or -1; nothing was handed out then.
 */
typedef void
engine_list_fn(const struct engine_object *o, const char *status, void *arg);
int engine_parse_list(const char *body, size_t len, const char *instance,
    engine_list_fn *one, void *arg);

/* The "message" of an error, escaped and cut; what is none: "". */
void engine_parse_message(
    const char *body, size_t len, char out[ENGINE_MESSAGE_MAX]);

/* --- engine_docker_stream.c ------------------------------------------ */

/*
 * The standard error (type 2) of a multiplexed log without its last newlines,
 * as escaped text in out: as much of its end as fits. What follows a truncated
 * or unknown frame is left. Returns false when there was one.
 */
bool engine_parse_log(const uint8_t *buf, size_t len, char *out, size_t outlen);

/* One event of a container that carries this instance's label. */
struct engine_happened {
	char run[RUNID_LEN + 1];
	char action[65]; /* printable; "exec_create", without its command */
	char exit_code[8]; /* of a die; "" */
};
int engine_parse_event(const char *line, size_t len, const char *instance,
    struct engine_happened *out);

#endif
