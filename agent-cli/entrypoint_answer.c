/*
 * Answers that a probe may get, from whoever is there. Pure; outside bytes.
 */

#include <string.h>

#include "libcommon/json.h"

#include "entrypoint_probe.h"

#define DNS_HEADER_LEN 12
#define DNS_LABEL_MAX 63
#define DNS_NAME_MAX 253
#define DNS_TYPE_A 1
#define DNS_TYPE_SOA 6
#define DNS_TYPE_OPT 41
#define DNS_CLASS_IN 1
#define DNS_RECORDS_MAX 512 /* more is no answer that anybody sends */
#define DNS_RR_FIXED_LEN 10 /* behind its name */

#define BODY_MAX 4096
#define STATUS_LINE "HTTP/1.1 "

/* --- DNS -------------------------------------------------------------- */

static void
put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static unsigned
get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static size_t
put_name(const char *name, uint8_t *p)
{
	size_t n = 0, label;

	while (*name != '\0') {
		label = strcspn(name, ".");
		if (label == 0 || label > DNS_LABEL_MAX)
			return 0;
		p[n++] = (uint8_t)label;
		memcpy(p + n, name, label);
		n += label;
		name += label;
		if (*name == '.')
			name++;
	}
	p[n++] = 0;
	return n;
}

size_t
dns_query(const char *name, uint16_t id, bool tcp, uint8_t buf[DNS_QUERY_MAX])
{
	uint8_t *p = tcp ? buf + 2 : buf;
	size_t n;

	if (name[0] == '\0' || strlen(name) > DNS_NAME_MAX)
		return 0;
	memset(p, 0, DNS_HEADER_LEN);
	put16(p, id);
	p[2] = 1; /* recursion desired: what could leave, shall */
	put16(p + 4, 1);
	if ((n = put_name(name, p + DNS_HEADER_LEN)) == 0)
		return 0;
	n += DNS_HEADER_LEN;
	put16(p + n, DNS_TYPE_A);
	put16(p + n + 2, DNS_CLASS_IN);
	n += 4;
	if (tcp) {
		put16(buf, (unsigned)n);
		n += 2;
	}
	return n;
}

/* Skip a name, a pointer ends it. Returns the place behind it, 0 for none. */
static size_t
skip_name(const uint8_t *buf, size_t len, size_t at)
{
	while (at < len) {
		if (buf[at] == 0)
			return at + 1;
		if ((buf[at] & 0xc0) == 0xc0)
			return at + 2 <= len ? at + 2 : 0;
		if ((buf[at] & 0xc0) != 0)
			return 0;
		at += 1 + (size_t)buf[at];
	}
	return 0;
}

/* Does section `which` (0: answer) let a record of this type pass as none? */
static bool
is_record(unsigned which, unsigned type)
{
	return which == 0 || (type != DNS_TYPE_SOA && type != DNS_TYPE_OPT);
}

enum probe_met
dns_answer(const uint8_t *buf, size_t len, uint16_t id)
{
	unsigned count[4], which, i, type;
	size_t at = DNS_HEADER_LEN;

	if (len < DNS_HEADER_LEN || get16(buf) != id || (buf[2] & 0x80) == 0)
		return MET_ANSWER;
	for (i = 0; i < 4; i++)
		if ((count[i] = get16(buf + 4 + 2 * i)) > DNS_RECORDS_MAX)
			return MET_ANSWER;
	for (i = 0; i < count[0]; i++)
		if ((at = skip_name(buf, len, at)) == 0 || (at += 4) > len)
			return MET_ANSWER;
	for (which = 0; which < 3; which++)
		for (i = 0; i < count[which + 1]; i++) {
			if ((at = skip_name(buf, len, at)) == 0 ||
			    len - at < DNS_RR_FIXED_LEN)
				return MET_ANSWER;
			type = get16(buf + at);
			if (is_record(which, type))
				return MET_RECORD;
			at += DNS_RR_FIXED_LEN + get16(buf + at + 8);
			if (at > len)
				return MET_ANSWER;
		}
	/* A truncated answer says that there is more. */
	return (buf[2] & 0x02) != 0 ? MET_RECORD : MET_EMPTY;
}

/* --- the proxy -------------------------------------------------------- */

static bool
body_is_ours(const char *body, size_t len, const char *run)
{
	static const struct json_limits limits = {
		.bytes = BODY_MAX, .nodes = 32, .depth = 2, .comments = false
	};
	const struct json_node *n;
	struct json_error e;
	struct json_doc *doc;
	bool ours;

	if ((doc = json_parse(body, len, &limits, &e)) == NULL)
		return false;
	n = json_member(json_root(doc), "run");
	ours = n != NULL && n->type == JSON_STRING && strcmp(n->str, run) == 0;
	json_free(&doc);
	return ours;
}

/* The value of Content-Length in a head of len bytes; -1 for none. */
static long
content_length(const char *head, size_t len)
{
	static const char name[] = "\r\nContent-Length: ";
	const char *p = memmem(head, len, name, sizeof(name) - 1);
	long n = 0;

	if (p == NULL)
		return -1;
	for (p += sizeof(name) - 1; *p >= '0' && *p <= '9'; p++)
		if ((n = n * 10 + (*p - '0')) > BODY_MAX)
			return -1;
	return *p == '\r' ? n : -1;
}

/* "HTTP/1.1 NNN egress-CODE" */
static bool
status_is_egress(const char *head, size_t len)
{
	const size_t at = sizeof(STATUS_LINE) - 1;

	return len > at + 11 && memcmp(head, STATUS_LINE, at) == 0 &&
	    memcmp(head + at + 3, " egress-", 8) == 0;
}

bool
proxy_answer_read(
    const char *buf, size_t len, const char *run, enum probe_met *met)
{
	const char *end = memmem(buf, len, "\r\n\r\n", 4);
	size_t head;
	long body;

	*met = MET_ANSWER;
	if (end == NULL)
		return false;
	head = (size_t)(end - buf) + 4;
	if (!status_is_egress(buf, head) ||
	    (body = content_length(buf, head)) == -1)
		return true;
	if (len - head < (size_t)body)
		return false;
	if (len - head == (size_t)body &&
	    body_is_ours(buf + head, (size_t)body, run))
		*met = MET_OURS;
	return true;
}
