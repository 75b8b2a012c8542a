#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "dispatchd/queue_request.h"
#include "dispatchd/queue_url.h"

static int refuse(struct queue_refusal *, const char *, const char *, ...)
    __attribute__((format(printf, 3, 4)));

static int
refuse(struct queue_refusal *no, const char *code, const char *fmt, ...)
{
	va_list ap;

	memset(no, 0, sizeof(*no));
	snprintf(no->code, sizeof(no->code), "%s", code);
	va_start(ap, fmt);
	vsnprintf(no->reason, sizeof(no->reason), fmt, ap);
	va_end(ap);
	return -1;
}

/* --- names ------------------------------------------------------------ */

bool
queue_request_id_valid(const char *s)
{
	size_t len = strlen(s);

	return len >= 1 && len <= QUEUE_REQUEST_ID_MAX &&
	    strspn(s, QUEUE_LETTERS QUEUE_DIGITS "._:-") == len;
}

void
queue_branch(const char *tool, const char *run, char out[QUEUE_BRANCH_MAX + 1])
{
	snprintf(out, QUEUE_BRANCH_MAX + 1, "agent/%s/%s", tool, run);
}

/* --- the parts of a request -------------------------------------------- */

static int
check_tool(const struct dispatch_config *cfg, const struct queue_request *r,
    struct queue_job *job, struct queue_refusal *no)
{
	const char *profile =
	    *r->profile != '\0' ? r->profile : cfg->default_profile;
	const char *tool = *r->tool != '\0' ? r->tool : cfg->default_tool;

	if (profile == NULL)
		return refuse(no, "unknown_profile",
		    "there is no default profile: name one");
	job->profile = dispatch_profile_find(cfg, profile);
	if (job->profile == NULL)
		return refuse(no, "unknown_profile",
		    "there is no profile \"%.64s\"", profile);
	if (tool == NULL)
		return refuse(
		    no, "unknown_tool", "there is no default tool: name one");
	job->tool = dispatch_tool_find(cfg, tool);
	if (job->tool == NULL)
		return refuse(
		    no, "unknown_tool", "there is no tool \"%.64s\"", tool);
	if (!dispatch_profile_has(job->profile, tool))
		return refuse(no, "tool_refused",
		    "profile %.64s does not permit tool %.64s",
		    job->profile->name, tool);
	return 0;
}

static int
check_repo(const struct dispatch_config *cfg, const struct queue_request *r,
    struct queue_job *job, struct queue_refusal *no)
{
	const char *why = NULL;
	int n;

	if (*r->repo == '\0') {
		if (*r->base != '\0')
			return refuse(no, "bad_base",
			    "a base is a branch of a repository, and none is "
			    "named");
		return 0;
	}
	if (strlen(r->repo) > QUEUE_REPO_MAX)
		return refuse(no, "bad_repo",
		    "the repository has more than "
		    "%d bytes",
		    QUEUE_REPO_MAX);
	if (strncmp(r->repo, "https://", 8) == 0) {
		if (queue_url_canon(r->repo, false, job->url, &why) == -1)
			return refuse(
			    no, "bad_repo", "the repository's URL %s", why);
	} else {
		if (!queue_repo_name_valid(r->repo, &why))
			return refuse(no, "bad_repo", "the repository %s", why);
		n = snprintf(
		    job->url, sizeof(job->url), "%s/%s", cfg->forge, r->repo);
		if (n < 0 || (size_t)n >= sizeof(job->url))
			return refuse(
			    no, "bad_repo", "the repository's URL is too long");
	}
	queue_directory(job->url, job->directory);
	if (*r->base != '\0' && !queue_branch_valid(r->base))
		return refuse(no, "bad_base",
		    "the base is no name of a branch as git takes them");
	snprintf(job->base, sizeof(job->base), "%s", r->base);
	return 0;
}

/* Never clamped: who asks for more than there is has to know it. */
static int
check_deadline(const struct queue_request *r, struct queue_job *job,
    struct queue_refusal *no)
{
	job->deadline_ms =
	    r->deadline_ms != 0 ? r->deadline_ms : job->profile->deadline_ms;
	if (job->deadline_ms < DISPATCH_DEADLINE_MIN)
		return refuse(no, "bad_deadline",
		    "a deadline of %" PRId64 " ms is below the least, %d ms",
		    job->deadline_ms, DISPATCH_DEADLINE_MIN);
	if (job->deadline_ms > job->profile->deadline_ms)
		return refuse(no, "above_ceiling",
		    "a deadline of %" PRId64 " ms is above that of profile "
		    "%.64s, %" PRId64 " ms",
		    job->deadline_ms, job->profile->name,
		    job->profile->deadline_ms);
	return 0;
}

static int
check_size(
    const struct dispatch_tool *tool, int64_t bytes, struct queue_refusal *no)
{
	int64_t max = tool->prompt == PROMPT_ARGUMENT ? DISPATCH_ARGUMENT_MAX
	                                              : DISPATCH_PROMPT_MAX;

	if (bytes < 0 || bytes > max)
		return refuse(no, "prompt_too_large",
		    "a prompt of %" PRId64 " bytes is above what tool %.64s "
		    "takes, %" PRId64,
		    bytes, tool->name, max);
	return 0;
}

/* --- the whole --------------------------------------------------------- */

int
queue_request_check(const struct dispatch_config *cfg,
    const struct queue_request *r, struct queue_job *job,
    struct queue_refusal *no)
{
	struct queue_job j = { .profile = NULL };

	if (!queue_request_id_valid(r->request))
		return refuse(no, "bad_request_id",
		    "a request's id has 1 to %d letters, digits, \".\", \"_\", "
		    "\":\", \"-\"",
		    QUEUE_REQUEST_ID_MAX);
	if (check_tool(cfg, r, &j, no) == -1 ||
	    check_repo(cfg, r, &j, no) == -1 ||
	    check_deadline(r, &j, no) == -1 ||
	    check_size(j.tool, r->prompt_bytes, no) == -1)
		return -1;
	*job = j;
	return 0;
}

int
queue_prompt_check(const struct dispatch_tool *tool, const uint8_t *prompt,
    size_t len, struct queue_refusal *no)
{
	if (check_size(tool, (int64_t)len, no) == -1)
		return -1;
	if (tool->prompt == PROMPT_ARGUMENT && len > 0 &&
	    memchr(prompt, '\0', len) != NULL)
		return refuse(no, "bad_prompt",
		    "the prompt holds a NUL byte, and tool %.64s takes it as "
		    "an argument",
		    tool->name);
	return 0;
}

/* Each part with its length in front: no two requests are the same bytes. */
static int
hash_part(EVP_MD_CTX *ctx, const void *buf, size_t len)
{
	char head[24];
	int n = snprintf(head, sizeof(head), "%zu:", len);

	if (EVP_DigestUpdate(ctx, head, (size_t)n) != 1)
		return -1;
	return len == 0 || EVP_DigestUpdate(ctx, buf, len) == 1 ? 0 : -1;
}

int
queue_request_hash(const struct queue_request *r, const uint8_t *prompt,
    size_t len, char hex[QUEUE_HASH_LEN + 1])
{
	const char *parts[] = { r->repo, r->base, r->tool, r->profile };
	unsigned char md[EVP_MAX_MD_SIZE];
	char deadline[24];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned n = 0, i;
	int ret = -1;

	if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
		goto out;
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (hash_part(ctx, parts[i], strlen(parts[i])) == -1)
			goto out;
	}
	snprintf(deadline, sizeof(deadline), "%" PRId64, r->deadline_ms);
	if (hash_part(ctx, deadline, strlen(deadline)) == -1 ||
	    hash_part(ctx, prompt, len) == -1 ||
	    EVP_DigestFinal_ex(ctx, md, &n) != 1 || n != QUEUE_HASH_LEN / 2)
		goto out;
	for (i = 0; i < n; i++)
		snprintf(hex + 2 * (size_t)i, 3, "%02x", md[i]);
	ret = 0;
out:
	EVP_MD_CTX_free(ctx);
	return ret;
}
