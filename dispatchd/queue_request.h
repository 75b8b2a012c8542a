#ifndef DISPATCHD_QUEUE_REQUEST_H
#define DISPATCHD_QUEUE_REQUEST_H

/*
 * What a client asks for with `run`, and whether it may be. Reject, never
 * repair: only the case of a host is folded. Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatchd/dispatchd.h"

#define QUEUE_REQUEST_ID_MAX 64
#define QUEUE_REPO_MAX 512
#define QUEUE_URL_MAX 512 /* as msg.def: start */
#define QUEUE_DIRECTORY_MAX 100
#define QUEUE_BASE_MAX 255
#define QUEUE_BRANCH_MAX 128
#define QUEUE_CODE_MAX 32
#define QUEUE_REASON_MAX 256
#define QUEUE_HASH_LEN 64 /* hex */

/* As it came; an empty text is the default. */
struct queue_request {
	const char *request; /* the client's id of it */
	const char *repo, *base, *tool, *profile;
	int64_t deadline_ms; /* 0: the profile's */
	int64_t prompt_bytes;
};

/* What it means. */
struct queue_job {
	const struct dispatch_profile *profile;
	const struct dispatch_tool *tool;
	char url[QUEUE_URL_MAX + 1]; /* "": an empty workspace */
	char directory[QUEUE_DIRECTORY_MAX + 1]; /* of the clone */
	char base[QUEUE_BASE_MAX + 1]; /* "": the repository's own */
	int64_t deadline_ms;
};

/* Why not: a stable code, and a sentence for a person. */
struct queue_refusal {
	char code[QUEUE_CODE_MAX + 1];
	char reason[QUEUE_REASON_MAX + 1];
};

/* Returns 0, or -1 with *no filled; *job is untouched then. */
int queue_request_check(const struct dispatch_config *cfg,
    const struct queue_request *r, struct queue_job *job,
    struct queue_refusal *no);
/*
 * Can the tool be given this prompt? An argument has a limit of its own, and
 * cannot hold a NUL.
 */
int queue_prompt_check(const struct dispatch_tool *tool, const uint8_t *prompt,
    size_t len, struct queue_refusal *no);
/*
 * SHA-256 over the request as it came and its prompt: a request id that comes
 * again is the same request when this is the same. Returns 0, or -1.
 */
int queue_request_hash(const struct queue_request *r, const uint8_t *prompt,
    size_t len, char hex[QUEUE_HASH_LEN + 1]);

/*
 * The canonical form of https://HOST[:PORT]/PATH. bare: the path may be
 * missing (a forge). Returns 0, or -1 with what is wrong in *why.
 */
int queue_url_canon(
    const char *s, bool bare, char url[QUEUE_URL_MAX + 1], const char **why);
/* Is s `owner/name`? Else *why. */
bool queue_repo_name_valid(const char *s, const char **why);
/* Would git take it as a branch, and no program as an option? */
bool queue_branch_valid(const char *s);
/* [A-Za-z0-9._:-]{1,64} */
bool queue_request_id_valid(const char *s);
/* The last element of a repository's URL, fit to name a directory. */
void queue_directory(const char *url, char out[QUEUE_DIRECTORY_MAX + 1]);
/* "agent/TOOL/RUN" */
void
queue_branch(const char *tool, const char *run, char out[QUEUE_BRANCH_MAX + 1]);

#endif
