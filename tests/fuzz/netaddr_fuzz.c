/*
 * netaddr against inet_pton(3) and plain loops over bits.
 *
 * Input: two texts, one line each. Each is read as an address, a prefix and
 * an address with port; a first prefix is asked for a second address.
 */

#include <sys/socket.h>

#include <arpa/inet.h>

/* A failed check ends the program in every build. */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/netaddr.h"

#define TEXT_MAX 100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
bit(const uint8_t *b, unsigned i)
{
	return (b[i / 8] >> (7 - i % 8) & 1) != 0;
}

static unsigned
width(int family)
{
	return family == AF_INET ? 32 : 128;
}

static bool
ref_parse(const char *s, struct netaddr *a)
{
	memset(a, 0, sizeof(*a));
	a->family = AF_INET;
	if (inet_pton(AF_INET, s, a->b) == 1)
		return true;
	a->family = AF_INET6;
	return inet_pton(AF_INET6, s, a->b) == 1;
}

/* Digits alone, no zero in front, at most max; -1 for what is none. */
static long
ref_decimal(const char *s, long max)
{
	char back[16];
	long n = strtol(s, NULL, 10);

	snprintf(back, sizeof(back), "%ld", n % 1000000);
	return strcmp(back, s) == 0 && n >= 0 && n <= max ? n : -1;
}

/* RFC 5952, by trying every run of zeros. */
static void
ref_text(const struct netaddr *a, char *out, size_t outlen)
{
	const uint8_t *b = a->b;
	size_t best = 8, bestlen = 1, i, j;

	if (a->family == AF_INET ||
	    (memcmp(b, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0)) {
		if (a->family == AF_INET6)
			b += 12;
		snprintf(out, outlen, "%s%u.%u.%u.%u",
		    a->family == AF_INET6 ? "::ffff:" : "", b[0], b[1], b[2],
		    b[3]);
		return;
	}
	for (i = 0; i < 8; i++)
		for (j = i; j < 8 && b[2 * j] == 0 && b[2 * j + 1] == 0; j++)
			if (j - i + 1 > bestlen) {
				best = i;
				bestlen = j - i + 1;
			}
	out[0] = '\0';
	for (i = 0; i < 8; i++) {
		j = strlen(out);
		if (i == best) {
			snprintf(out + j, outlen - j, "::");
			i += bestlen - 1;
			continue;
		}
		if (j > 0 && out[j - 1] != ':')
			out[j++] = ':';
		snprintf(
		    out + j, outlen - j, "%x", b[2 * i] * 256 + b[2 * i + 1]);
	}
}

static void
check_address(const char *s, size_t len)
{
	struct netaddr a, b, want;
	struct sockaddr_storage ss;
	char text[NETADDR_TEXT_MAX], ref[64];
	uint16_t port;

	if (netaddr_parse(s, len, &a) == -1) {
		assert(memchr(s, '\0', len) != NULL || !ref_parse(s, &want));
		return;
	}
	assert(memchr(s, '\0', len) == NULL && ref_parse(s, &want));
	assert(memcmp(&a, &want, sizeof(a)) == 0);
	ref_text(&a, ref, sizeof(ref));
	assert(strcmp(netaddr_text(&a, text), ref) == 0);
	assert(netaddr_parse(text, strlen(text), &b) == 0);
	assert(netaddr_equal(&a, &b));
	assert(netaddr_to_sockaddr(&a, 4711, &ss) > 0);
	assert(netaddr_from_sockaddr(&ss, &b, &port) == 0);
	assert(netaddr_equal(&a, &b) && port == 4711);
}

static bool
ref_prefix(const char *s, struct netprefix *p)
{
	char copy[TEXT_MAX + 1];
	char *slash;
	unsigned i;
	long n;

	snprintf(copy, sizeof(copy), "%s", s);
	slash = strchr(copy, '/');
	if (slash != NULL)
		*slash++ = '\0';
	memset(p, 0, sizeof(*p));
	if (!ref_parse(copy, &p->addr))
		return false;
	n = width(p->addr.family);
	if (slash != NULL)
		n = ref_decimal(slash, n);
	if (n == -1)
		return false;
	p->bits = (unsigned)n;
	for (i = p->bits; i < width(p->addr.family); i++)
		if (bit(p->addr.b, i))
			return false;
	return true;
}

static void
check_prefix(const char *s, size_t len, const char *t, size_t tlen)
{
	struct netprefix p, q, want;
	struct netaddr a;
	char text[NETADDR_PREFIX_TEXT_MAX];
	bool in;
	unsigned i;

	if (netprefix_parse(s, len, &p) == -1) {
		assert(memchr(s, '\0', len) != NULL || !ref_prefix(s, &want));
		return;
	}
	assert(memchr(s, '\0', len) == NULL && ref_prefix(s, &want));
	assert(memcmp(&p, &want, sizeof(p)) == 0);
	netprefix_text(&p, text);
	assert(netprefix_parse(text, strlen(text), &q) == 0);
	assert(memcmp(&p, &q, sizeof(p)) == 0);
	assert(netprefix_covers(&p, &p));
	assert(netprefix_contains(&p, &p.addr));
	if (netaddr_parse(t, tlen, &a) == -1)
		return;
	in = p.addr.family == a.family;
	for (i = 0; in && i < p.bits; i++)
		in = bit(p.addr.b, i) == bit(a.b, i);
	assert(netprefix_contains(&p, &a) == in);
	if (p.addr.family != a.family)
		return;
	netprefix_of(&a, p.bits, &q);
	assert((memcmp(&p, &q, sizeof(p)) == 0) == in);
	for (i = 0; i < width(a.family); i++)
		assert(bit(q.addr.b, i) == (i < p.bits && bit(a.b, i)));
}

static bool
ref_port(const char *s, uint16_t dflt, struct netaddr *a, long *port)
{
	char copy[TEXT_MAX + 1];
	char *host = copy, *colon;

	snprintf(copy, sizeof(copy), "%s", s);
	*port = dflt;
	if (ref_parse(copy, a))
		return dflt != 0;
	colon = strrchr(copy, ':');
	if (colon == NULL)
		return false;
	*colon = '\0';
	if (host[0] == '[') {
		if (colon[-1] != ']')
			return false;
		colon[-1] = '\0';
		host++;
	}
	*port = ref_decimal(colon + 1, 65535);
	return ref_parse(host, a) && *port > 0 &&
	    (a->family == AF_INET6) == (host != copy);
}

static void
check_port(const char *s, size_t len, uint16_t dflt)
{
	struct netaddr a, want;
	uint16_t port = 0;
	long wport;

	if (netaddr_parse_port(s, len, dflt, &a, &port) == -1) {
		assert(memchr(s, '\0', len) != NULL ||
		    !ref_port(s, dflt, &want, &wport));
		return;
	}
	assert(memchr(s, '\0', len) == NULL);
	assert(ref_port(s, dflt, &want, &wport));
	assert(netaddr_equal(&a, &want) && port == wport);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char s[TEXT_MAX + 1], t[TEXT_MAX + 1];
	const uint8_t *nl = size == 0 ? NULL : memchr(data, '\n', size);
	size_t slen = nl == NULL ? size : (size_t)(nl - data);
	size_t tlen = nl == NULL ? 0 : size - slen - 1;

	if (slen > TEXT_MAX || tlen > TEXT_MAX)
		return 0;
	if (slen > 0)
		memcpy(s, data, slen);
	s[slen] = '\0';
	if (tlen > 0)
		memcpy(t, nl + 1, tlen);
	t[tlen] = '\0';
	check_address(s, slen);
	check_address(t, tlen);
	check_prefix(s, slen, t, tlen);
	check_port(s, slen, 0);
	check_port(s, slen, 53);
	return 0;
}
