/* One strict form for every destination: hostname.h. */

#include <sys/socket.h>

#include <string.h>

#include "libcommon/hostname.h"
#include "libcommon/punycode.h"

#define ALABEL_PREFIX "xn--"

/* The canonical form of a byte of a name, NUL when a name has no such. */
static char
fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	    c == '_' || c == '.')
		return c;
	return '\0';
}

/*
 * Hyphens in the third and fourth place are reserved for prefixes like
 * "xn--", but names such as r3---sn-x.example exist and resolve.
 */
static bool
label_valid(const char *s, size_t len)
{
	size_t plen = sizeof(ALABEL_PREFIX) - 1;

	if (len == 0 || len > HOSTNAME_LABEL_MAX || s[0] == '-' ||
	    s[len - 1] == '-')
		return false;
	if (len >= plen && memcmp(s, ALABEL_PREFIX, plen) == 0)
		return punycode_alabel_valid(s + plen, len - plen);
	return true;
}

/*
 * What makes a resolver, or a client's URL parser, read the whole name as an
 * IPv4 address: a last label of digits, or "0x" and hexadecimal digits, which
 * may be none (URL Standard, "ends in a number checker").
 */
static bool
label_is_number(const char *s)
{
	if (s[0] == '0' && s[1] == 'x')
		return s[2 + strspn(s + 2, "0123456789abcdef")] == '\0';
	return s[strspn(s, "0123456789")] == '\0';
}

int
hostname_canon(const char *s, size_t len, char out[HOSTNAME_MAX + 1])
{
	char name[HOSTNAME_MAX + 1];
	size_t i, start;

	if (len > 0 && s[len - 1] == '.')
		len--;
	if (len == 0 || len > HOSTNAME_MAX)
		return -1;
	for (i = 0; i < len; i++) {
		name[i] = fold(s[i]);
		if (name[i] == '\0')
			return -1;
	}
	name[len] = '\0';
	for (start = 0;; start = i + 1) {
		i = start + strcspn(name + start, ".");
		if (!label_valid(name + start, i - start))
			return -1;
		if (i == len)
			break;
	}
	if (label_is_number(name + start))
		return -1;
	memcpy(out, name, len + 1);
	return 0;
}

/* HOST without port: four octets, or a name that is not nearly an address. */
static int
parse_host(const char *s, size_t len, struct dest *d)
{
	if (netaddr_parse(s, len, &d->addr) == 0) {
		/* IPv6 has brackets; a caller that cuts at ':' shows none. */
		if (d->addr.family != AF_INET)
			return -1;
		d->kind = DEST_ADDRESS;
		netaddr_text(&d->addr, d->name);
		return 0;
	}
	d->kind = DEST_NAME;
	return hostname_canon(s, len, d->name);
}

/* "[IPv6]"; len counts both brackets. */
static int
parse_bracketed(const char *s, size_t len, struct dest *d)
{
	if (netaddr_parse(s + 1, len - 2, &d->addr) == -1 ||
	    d->addr.family != AF_INET6)
		return -1;
	d->kind = DEST_ADDRESS;
	netaddr_text(&d->addr, d->name);
	return 0;
}

int
dest_parse(const char *s, size_t len, uint16_t dflt_port, struct dest *d)
{
	struct dest t;
	const char *end;
	size_t hlen;

	if (len == 0)
		return -1;
	memset(&t, 0, sizeof(t));
	if (s[0] == '[') {
		end = memchr(s, ']', len);
		if (end == NULL)
			return -1;
		hlen = (size_t)(end - s) + 1;
		if (parse_bracketed(s, hlen, &t) == -1)
			return -1;
	} else {
		end = memchr(s, ':', len);
		hlen = end == NULL ? len : (size_t)(end - s);
		if (parse_host(s, hlen, &t) == -1)
			return -1;
	}
	if (hlen == len) {
		if (dflt_port == 0)
			return -1;
		t.port = dflt_port;
	} else if (s[hlen] != ':' ||
	    netport_parse(s + hlen + 1, len - hlen - 1, &t.port) == -1)
		return -1;
	*d = t;
	return 0;
}

bool
dest_equal(const struct dest *a, const struct dest *b)
{
	if (a->kind != b->kind || a->port != b->port)
		return false;
	if (a->kind == DEST_ADDRESS)
		return netaddr_equal(&a->addr, &b->addr);
	return strcmp(a->name, b->name) == 0;
}

bool
hostname_has_underscore(const char *name)
{
	return strchr(name, '_') != NULL;
}

unsigned
hostname_labels(const char *name)
{
	unsigned n = 1;

	if (name[0] == '\0')
		return 0;
	for (; *name != '\0'; name++)
		n += *name == '.';
	return n;
}

const char *
hostname_tail(const char *name, unsigned labels)
{
	unsigned n = hostname_labels(name);

	if (labels > n)
		return NULL;
	if (labels == 0)
		return name + strlen(name);
	for (; n > labels; n--)
		name = strchr(name, '.') + 1;
	return name;
}

bool
hostname_below(const char *name, const char *suffix)
{
	size_t nlen = strlen(name), slen = strlen(suffix);

	return slen > 0 && nlen > slen + 1 && name[nlen - slen - 1] == '.' &&
	    memcmp(name + nlen - slen, suffix, slen) == 0;
}
