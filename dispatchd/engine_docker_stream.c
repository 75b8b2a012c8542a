/*
 * What comes as a stream: the frames of a log, the events.
 */

#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"

#include "dispatchd/engine_docker.h"

#define FRAME_HEAD 8 /* type, three zeros, length */
#define FRAME_STDIN 0
#define FRAME_STDOUT 1
#define FRAME_STDERR 2

/* --- the log ------------------------------------------------------------ */

static uint32_t
be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	    (uint32_t)p[2] << 8 | p[3];
}

/* How much of its end fits, escaped: a byte is one character or four. */
static size_t
fitting(const uint8_t *text, size_t len, size_t room)
{
	size_t n, took = 0, one;

	for (n = 0; n < len; n++) {
		one = text[len - n - 1] == '\\' ? 2 : 4;
		if (text[len - n - 1] >= 0x20 && text[len - n - 1] <= 0x7e &&
		    text[len - n - 1] != '\\')
			one = 1;
		if (took + one > room)
			break;
		took += one;
	}
	return n;
}

/*
 * Move the payloads of standard error together at the start of text, which
 * is large enough. Returns their length; *whole is false when the frames break
 * off, or one is of a type that is the engine's own error or none.
 */
static size_t
gather(const uint8_t *buf, size_t len, uint8_t *text, bool *whole)
{
	size_t at = 0, n = 0;
	uint32_t size;

	*whole = false;
	while (len - at >= FRAME_HEAD) {
		if (buf[at] > FRAME_STDERR || buf[at + 1] != 0 ||
		    buf[at + 2] != 0 || buf[at + 3] != 0)
			return n;
		size = be32(buf + at + 4);
		if (size > len - at - FRAME_HEAD)
			return n;
		if (buf[at] == FRAME_STDERR) {
			memcpy(text + n, buf + at + FRAME_HEAD, size);
			n += size;
		}
		at += FRAME_HEAD + size;
	}
	*whole = at == len;
	return n;
}

bool
engine_parse_log(const uint8_t *buf, size_t len, char *out, size_t outlen)
{
	uint8_t *text = malloc(len > 0 ? len : 1);
	bool whole;
	size_t n, take;

	out[0] = '\0';
	if (text == NULL)
		return false;
	n = gather(buf, len, text, &whole);
	while (n > 0 && text[n - 1] == '\n')
		n--;
	take = fitting(text, n, outlen - 1);
	out[log_escape(out, outlen, text + n - take, take)] = '\0';
	free(text);
	return whole;
}

/* --- events ------------------------------------------------------------- */

static const struct json_node *
object(const struct json_node *n, const char *name)
{
	const struct json_node *m;

	if (n == NULL || n->type != JSON_OBJECT ||
	    (m = json_member(n, name)) == NULL || m->type != JSON_OBJECT)
		return NULL;
	return m;
}

static const char *
string(const struct json_node *n, const char *name)
{
	const struct json_node *m;

	if (n == NULL || n->type != JSON_OBJECT ||
	    (m = json_member(n, name)) == NULL || m->type != JSON_STRING)
		return NULL;
	return m->str;
}

/* "exec_create: sh -c ..." has another's command line behind its name. */
static void
take_action(struct engine_happened *h, const char *action)
{
	size_t n = strcspn(action, ":");

	h->action[log_escape(h->action, sizeof(h->action), action, n)] = '\0';
}

static int
take_event(const struct json_node *root, const char *instance,
    struct engine_happened *h)
{
	const struct json_node *attributes;
	const char *type = string(root, "Type"), *action, *run, *label, *code;

	attributes = object(object(root, "Actor"), "Attributes");
	action = string(root, "Action");
	label = string(attributes, "bulkhead.instance");
	run = string(attributes, "bulkhead.run");
	if (type == NULL || strcmp(type, "container") != 0 || action == NULL ||
	    action[0] == '\0' || label == NULL ||
	    strcmp(label, instance) != 0 || run == NULL || !runid_valid(run))
		return -1;
	memset(h, 0, sizeof(*h));
	memcpy(h->run, run, sizeof(h->run));
	take_action(h, action);
	code = string(attributes, "exitCode");
	if (code != NULL && strlen(code) < sizeof(h->exit_code) &&
	    strspn(code, "0123456789") == strlen(code))
		memcpy(h->exit_code, code, strlen(code));
	return 0;
}

int
engine_parse_event(const char *line, size_t len, const char *instance,
    struct engine_happened *out)
{
	struct json_error err;
	struct json_doc *doc;
	int r;

	doc = json_parse(line, len, &engine_json_limits, &err);
	if (doc == NULL)
		return -1;
	r = take_event(json_root(doc), instance, out);
	json_free(&doc);
	return r;
}
