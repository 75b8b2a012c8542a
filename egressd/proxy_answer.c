/*
 * What the proxy answers when it refuses. Outside text goes into the body
 * only, so that nothing in it can end the head early.
 */

#include <sys/types.h>

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "libcommon/json.h"

#include "egressd.h"

/*
 * Bytes of each text in the body; longer is cut. JSON writes at most two bytes
 * for one of them (quote and backslash), so that head and body together stay
 * below PROXY_ANSWER_MAX.
 */
#define ANSWER_REASON_MAX 256
#define ANSWER_RUN_MAX 64
#define ANSWER_HOST_MAX 512
#define ANSWER_RULE_MAX EGRESS_RULE_ID_MAX
#define ANSWER_BODY_MAX 3072

/* Seconds after which asking again may help; 0: the field is left out. */
static unsigned
retry_after(enum egress_code code)
{
	switch (code) {
	case CODE_no_policy:
	case CODE_overloaded:
	case CODE_limit:
		return 1;
	case CODE_draining:
	case CODE_unrecordable:
		return 5;
	case CODE_budget:
	case CODE_dns_budget:
		return 60;
	default:
		return 0;
	}
}

/* A member that is null when s is NULL; other than printable ASCII as "?". */
static void
write_text(struct json_writer *w, const char *key, const char *s, size_t max)
{
	char buf[ANSWER_HOST_MAX + 1];
	size_t i;

	json_key(w, key);
	if (s == NULL) {
		json_null(w);
		return;
	}
	for (i = 0; s[i] != '\0' && i < max; i++)
		buf[i] = s[i] >= 0x20 && s[i] <= 0x7e ? s[i] : '?';
	buf[i] = '\0';
	json_string(w, buf);
}

static void
write_body(struct json_writer *w, const struct proxy_answer *a,
    const struct egress_code_info *info)
{
	const char *reason = a->reason != NULL ? a->reason : info->sentence;

	json_open_object(w);
	write_text(w, "error", info->name, ANSWER_REASON_MAX);
	write_text(w, "reason", reason, ANSWER_REASON_MAX);
	write_text(w, "run", a->run, ANSWER_RUN_MAX);
	write_text(w, "host", a->host, ANSWER_HOST_MAX);
	json_key(w, "port");
	if (a->port != 0)
		json_int(w, a->port);
	else
		json_null(w);
	write_text(w, "rule", a->rule, ANSWER_RULE_MAX);
	json_close_object(w);
}

/* Without memory the answer is poorer, never absent. */
static void
format_body(const struct proxy_answer *a, const struct egress_code_info *info,
    char body[ANSWER_BODY_MAX])
{
	struct json_writer *w;
	const char *text = NULL;
	size_t len = 0;
	int r = -1;

	w = json_writer_new(ANSWER_BODY_MAX - 1);
	if (w != NULL) {
		write_body(w, a, info);
		r = json_writer_end(w, &text, &len);
	}
	if (r == 0)
		snprintf(body, ANSWER_BODY_MAX, "%.*s", (int)len, text);
	else
		snprintf(body, ANSWER_BODY_MAX,
		    "{\"error\":\"%s\",\"reason\":\"%s\",\"run\":null,"
		    "\"host\":null,\"port\":null,\"rule\":null}",
		    info->name, info->sentence);
	json_writer_free(&w);
}

size_t
proxy_answer_format(const struct proxy_answer *a, char buf[PROXY_ANSWER_MAX])
{
	const struct egress_code_info *info = egress_code_info(a->code);
	char body[ANSWER_BODY_MAX], retry[32] = "";
	unsigned seconds = retry_after(a->code);
	int n;

	format_body(a, info, body);
	if (seconds > 0)
		snprintf(retry, sizeof(retry), "Retry-After: %u\r\n", seconds);
	n = snprintf(buf, PROXY_ANSWER_MAX,
	    "HTTP/1.1 %d egress-%s\r\n"
	    "Proxy-Status: bulkhead; error=%s; details=\"%s\"\r\n"
	    "Content-Type: application/json\r\n"
	    "Content-Length: %zu\r\n"
	    "Connection: close\r\n"
	    "%s%s\r\n%s",
	    info->status, info->name, info->error, info->name, strlen(body),
	    info->status == 407
	        ? "Proxy-Authenticate: Basic realm=\"bulkhead\"\r\n"
	        : "",
	    retry, body);
	return (size_t)n;
}
