/*
 * The request head: a strict subset of RFC 9112. It is judged byte by byte,
 * so that the way it was cut into packets cannot change the verdict, and so
 * that no byte is looked at twice. Syntax is refused at the byte that breaks
 * it; what a line means is judged when the line is whole.
 */

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "libcommon/hostname.h"

#include "egressd.h"

#define HTTPS_PORT 443
#define HTTP_PORT 80

enum head_state {
	HEAD_FIRST, /* nothing seen */
	HEAD_PREAMBLE, /* began with CR: the PROXY protocol, or nonsense */
	HEAD_METHOD,
	HEAD_TARGET,
	HEAD_VERSION,
	HEAD_LINE_LF,
	HEAD_FIELD, /* at the start of a field line or the blank one */
	HEAD_NAME,
	HEAD_VALUE,
	HEAD_FIELD_LF,
	HEAD_END_LF,
	HEAD_DONE,
	HEAD_REFUSED
};

void
proxy_head_init(struct proxy_head *h)
{
	memset(h, 0, sizeof(*h));
	h->state = HEAD_FIRST;
}

static void
refuse(struct proxy_head *h, enum egress_code code, const char *reason)
{
	h->code = code;
	h->reason = reason;
	h->state = HEAD_REFUSED;
}

static void
malformed(struct proxy_head *h, const char *reason)
{
	refuse(h, CODE_malformed, reason);
}

static bool
is_lower(unsigned char b)
{
	return b >= 'a' && b <= 'z';
}

/* tchar of RFC 9110, 5.6.2. */
static bool
is_token(unsigned char b)
{
	if (is_lower(b) || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9'))
		return true;
	return b != '\0' && strchr("!#$%&'*+-.^_`|~", b) != NULL;
}

static bool
is_vchar(unsigned char b)
{
	return b > 0x20 && b < 0x7f;
}

static bool
text_is(const char *s, size_t len, const char *want)
{
	return len == strlen(want) && memcmp(s, want, len) == 0;
}

/* For field names and schemes, which have no case. */
static bool
text_is_folded(const char *s, size_t len, const char *want)
{
	return len == strlen(want) && strncasecmp(s, want, len) == 0;
}

static bool
has_prefix_folded(const char *s, size_t len, const char *want)
{
	return len >= strlen(want) && strncasecmp(s, want, strlen(want)) == 0;
}

/* --- the request line ------------------------------------------------- */

static void
judge_absolute(struct proxy_head *h, const char *s, size_t len)
{
	size_t skip = strlen("http://");
	const char *slash;

	s += skip;
	len -= skip;
	slash = memchr(s, '/', len);
	if (slash == NULL)
		malformed(h, "the target has no path");
	else if (memchr(s, '#', len) != NULL)
		malformed(h, "the target has a fragment");
	else if (dest_parse(s, (size_t)(slash - s), HTTP_PORT, &h->dest) == -1)
		malformed(h, "the target does not name a valid host");
}

static void
judge_target(struct proxy_head *h, const char *s, size_t len)
{
	if (h->connect) {
		if (dest_parse(s, len, 0, &h->dest) == -1)
			malformed(h,
			    "the target of CONNECT must be HOST:PORT "
			    "with a valid host and port");
	} else if (has_prefix_folded(s, len, "http://"))
		judge_absolute(h, s, len);
	else if (has_prefix_folded(s, len, "https://"))
		malformed(h, "use CONNECT for https");
	else if (s[0] == '/')
		malformed(h, "this is a proxy and serves no pages of its own");
	else if (text_is(s, len, "*"))
		malformed(h, "this proxy has no options to tell");
	else
		malformed(h,
		    "the target must be HOST:PORT of CONNECT or "
		    "begin with http://");
}

static void
judge_line(struct proxy_head *h, const char *buf)
{
	size_t method_len = h->target_start - 1;

	h->connect = text_is(buf, method_len, "CONNECT");
	if (text_is(buf, method_len, "TRACE"))
		malformed(h, "TRACE is not served here");
	else
		judge_target(h, buf + h->target_start, h->target_len);
}

/*
 * An empty line may not come first. Version 2 of the PROXY protocol begins
 * with two of them and a NUL.
 */
static void
step_preamble(struct proxy_head *h, unsigned char b)
{
	static const char signature[] = "\r\n\r\n";

	/* The NUL that ends the literal is the signature's own. */
	if (b != (unsigned char)signature[h->scanned])
		malformed(h, "the request begins with an empty line");
	else if (b == '\0')
		refuse(h, CODE_not_http1,
		    "this is the PROXY protocol; this port speaks HTTP/1.1");
}

static void
step_method(struct proxy_head *h, const char *buf, unsigned char b)
{
	if (b == ' ') {
		h->state = HEAD_TARGET;
		h->target_start = h->scanned + 1;
		if (text_is(buf, h->scanned, "PROXY"))
			refuse(h, CODE_not_http1,
			    "this is the PROXY protocol; "
			    "this port speaks HTTP/1.1");
		else if (text_is(buf, h->scanned, "PRI"))
			refuse(h, CODE_not_http1,
			    "this is HTTP/2; this port speaks HTTP/1.1");
	} else if (is_lower(b))
		malformed(h, "the method must be in upper case");
	else if (!is_token(b))
		malformed(h, "the request line is not METHOD TARGET VERSION");
}

static void
step_first(struct proxy_head *h, const char *buf, unsigned char b)
{
	if (b == '\r')
		h->state = HEAD_PREAMBLE;
	else if (b == '\n')
		malformed(h, "the request begins with an empty line");
	else if (b == 0x16 || b == 0x80)
		refuse(h, CODE_not_http1,
		    "this is TLS; this port speaks HTTP/1.1 CONNECT first");
	else if (b == 0x04 || b == 0x05)
		refuse(h, CODE_not_http1,
		    "this is SOCKS; this port speaks HTTP/1.1 CONNECT");
	else if (!is_token(b))
		refuse(h, CODE_not_http1,
		    "this port speaks HTTP/1.1 CONNECT, "
		    "and no method begins like this");
	else {
		h->state = HEAD_METHOD;
		step_method(h, buf, b);
	}
}

static void
step_target(struct proxy_head *h, unsigned char b)
{
	if (b == ' ') {
		h->state = HEAD_VERSION;
		if (h->target_len == 0)
			malformed(h, "the request line has two spaces");
	} else if (b == '\r' || b == '\n')
		malformed(h, "the request line has no version");
	else {
		/* The byte that is refused belongs to what is logged. */
		h->target_len++;
		if (!is_vchar(b))
			malformed(h,
			    "the target holds a byte that is no "
			    "printable ASCII");
	}
}

static void
step_version(struct proxy_head *h, unsigned char b)
{
	static const char version[] = "HTTP/1.";
	size_t at = h->scanned - h->target_start - h->target_len - 1;

	if (at < strlen(version)) {
		if (b == (unsigned char)version[at])
			return;
	} else if (at == strlen(version)) {
		h->http11 = b == '1';
		if (b == '0' || b == '1')
			return;
	} else if (b == '\r') {
		h->state = HEAD_LINE_LF;
		return;
	}
	malformed(h, "the request line does not end in HTTP/1.1 or HTTP/1.0");
}

/* --- fields ----------------------------------------------------------- */

static void
judge_host(struct proxy_head *h, const char *value, size_t len)
{
	uint16_t port = h->connect ? HTTPS_PORT : HTTP_PORT;
	struct dest d;

	if (h->has_host)
		malformed(h, "there are two Host fields");
	else if (dest_parse(value, len, port, &d) == -1)
		malformed(h, "the Host field does not name a valid host");
	else if (!dest_equal(&d, &h->dest))
		malformed(h,
		    "the Host field names another destination than "
		    "the request line");
	h->has_host = true;
}

static void
judge_field(struct proxy_head *h, const char *buf)
{
	const char *name = buf + h->line_start;
	size_t name_len = h->colon - h->line_start;
	const char *value = buf + h->colon + 1;
	size_t len = h->scanned - 1 - (h->colon + 1);

	while (len > 0 && (*value == ' ' || *value == '\t')) {
		value++;
		len--;
	}
	while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		len--;

	if (text_is_folded(name, name_len, "Host"))
		judge_host(h, value, len);
	else if (!h->connect)
		return;
	else if (text_is_folded(name, name_len, "Content-Length") ||
	    text_is_folded(name, name_len, "Transfer-Encoding"))
		malformed(h, "CONNECT has no body");
}

static void
step_field(struct proxy_head *h, unsigned char b)
{
	h->state = HEAD_NAME;
	if (b == '\r')
		h->state = HEAD_END_LF;
	else if (h->lines > PROXY_HEAD_FIELDS_MAX)
		refuse(h, CODE_too_large, "there are more than 100 fields");
	else if (b == ' ' || b == '\t')
		malformed(h, "a field is folded over two lines");
	else if (b == ':')
		malformed(h, "a field has no name");
	else if (!is_token(b))
		malformed(h, "a field's name holds a byte that is no token");
}

static void
step_name(struct proxy_head *h, unsigned char b)
{
	if (b == ':') {
		h->state = HEAD_VALUE;
		h->colon = h->scanned;
	} else if (b == ' ' || b == '\t')
		malformed(h, "there is white space before a field's colon");
	else if (!is_token(b))
		malformed(h, "a field's name holds a byte that is no token");
}

static void
step_value(struct proxy_head *h, unsigned char b)
{
	if (b == '\r')
		h->state = HEAD_FIELD_LF;
	else if (!is_vchar(b) && b != ' ' && b != '\t')
		malformed(h,
		    "a field's value holds a byte that is no "
		    "printable ASCII");
}

static void
judge_end(struct proxy_head *h)
{
	if (h->http11 && !h->has_host) {
		malformed(h, "HTTP/1.1 without a Host field");
		return;
	}
	h->len = h->scanned + 1;
	h->state = HEAD_DONE;
}

/* --- the whole -------------------------------------------------------- */

/* The LF of a CR LF; the line that it ends is judged. */
static void
step_lf(struct proxy_head *h, const char *buf, unsigned char b)
{
	int ended = h->state;

	if (b != '\n') {
		malformed(h, "a CR is not followed by LF");
		return;
	}
	h->state = HEAD_FIELD;
	if (ended == HEAD_LINE_LF)
		judge_line(h, buf);
	else if (ended == HEAD_FIELD_LF)
		judge_field(h, buf);
	else
		judge_end(h);
	h->lines++;
	h->line_start = h->scanned + 1;
}

static void
step(struct proxy_head *h, const char *buf)
{
	unsigned char b = (unsigned char)buf[h->scanned];

	if (h->lines == 0 && h->scanned >= PROXY_HEAD_LINE_MAX && b != '\r' &&
	    h->state != HEAD_LINE_LF) {
		refuse(h, CODE_too_large,
		    "the request line is longer than 8192 bytes");
		return;
	}

	switch ((enum head_state)h->state) {
	case HEAD_FIRST:
		step_first(h, buf, b);
		break;
	case HEAD_PREAMBLE:
		step_preamble(h, b);
		break;
	case HEAD_METHOD:
		step_method(h, buf, b);
		break;
	case HEAD_TARGET:
		step_target(h, b);
		break;
	case HEAD_VERSION:
		step_version(h, b);
		break;
	case HEAD_FIELD:
		step_field(h, b);
		break;
	case HEAD_NAME:
		step_name(h, b);
		break;
	case HEAD_VALUE:
		step_value(h, b);
		break;
	case HEAD_LINE_LF:
	case HEAD_FIELD_LF:
	case HEAD_END_LF:
		step_lf(h, buf, b);
		break;
	case HEAD_DONE:
	case HEAD_REFUSED:
		break;
	}
}

int
proxy_head_parse(struct proxy_head *h, const char *buf, size_t len)
{
	while (h->scanned < len && h->state != HEAD_DONE &&
	    h->state != HEAD_REFUSED) {
		step(h, buf);
		h->scanned++;
		if (h->scanned == PROXY_HEAD_MAX && h->state < HEAD_DONE)
			refuse(h, CODE_too_large,
			    "the request head is longer than 32768 bytes");
	}

	/* The buffer may have moved since the last call. */
	h->target = h->target_len > 0 ? buf + h->target_start : NULL;
	if (h->state == HEAD_DONE)
		return 1;
	return h->state == HEAD_REFUSED ? -1 : 0;
}
