/* IP addresses and prefixes, binary, strict: netaddr.h. */

#include <sys/socket.h>

#include <netinet/in.h>

#include <stdio.h>
#include <string.h>

#include "libcommon/netaddr.h"

#define V6_GROUPS 8
#define NO_GAP SIZE_MAX

/* Plain decimal: no sign, no leading zero, no blank. */
static int
parse_decimal(const char *s, size_t len, unsigned max, unsigned *n)
{
	unsigned v = 0;
	size_t i;

	if (len == 0 || len > 5 || (len > 1 && s[0] == '0'))
		return -1;
	for (i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + (unsigned)(s[i] - '0');
	}
	if (v > max)
		return -1;
	*n = v;
	return 0;
}

int
netport_parse(const char *s, size_t len, uint16_t *port)
{
	unsigned n;

	if (parse_decimal(s, len, UINT16_MAX, &n) == -1 || n == 0)
		return -1;
	*port = (uint16_t)n;
	return 0;
}

static int
parse_v4(const char *s, size_t len, uint8_t b[4])
{
	const char *dot, *end = s + len;
	unsigned i, n;

	for (i = 0; i < 4; i++) {
		dot = i < 3 ? memchr(s, '.', (size_t)(end - s)) : end;
		if (dot == NULL ||
		    parse_decimal(s, (size_t)(dot - s), 255, &n) == -1)
			return -1;
		b[i] = (uint8_t)n;
		s = i < 3 ? dot + 1 : end;
	}
	return 0;
}

/* One to four hexadecimal digits. */
static int
parse_group(const char *s, size_t len, uint8_t b[2])
{
	unsigned d, v = 0;
	size_t i;

	if (len == 0 || len > 4)
		return -1;
	for (i = 0; i < len; i++) {
		if (s[i] >= '0' && s[i] <= '9')
			d = (unsigned)(s[i] - '0');
		else if (s[i] >= 'a' && s[i] <= 'f')
			d = (unsigned)(s[i] - 'a') + 10;
		else if (s[i] >= 'A' && s[i] <= 'F')
			d = (unsigned)(s[i] - 'A') + 10;
		else
			return -1;
		v = v << 4 | d;
	}
	b[0] = (uint8_t)(v >> 8);
	b[1] = (uint8_t)(v & 0xff);
	return 0;
}

/*
 * The groups that are written, in b; *ngroups of them, "::" before group *gap
 * (NO_GAP for none). A dotted quad may stand for the last two.
 */
static int
parse_groups(
    const char *s, size_t len, uint8_t b[16], size_t *ngroups, size_t *gap)
{
	size_t i = 0, j, n = 0;

	*gap = NO_GAP;
	if (len >= 2 && s[0] == ':' && s[1] == ':') {
		*gap = 0;
		i = 2;
	}
	while (i < len) {
		for (j = i; j < len && s[j] != ':'; j++)
			;
		if (memchr(s + i, '.', j - i) != NULL) {
			if (j != len || n > V6_GROUPS - 2 ||
			    parse_v4(s + i, j - i, b + 2 * n) == -1)
				return -1;
			n += 2;
		} else {
			if (n == V6_GROUPS ||
			    parse_group(s + i, j - i, b + 2 * n) == -1)
				return -1;
			n++;
		}
		if (j == len)
			break;
		/* A colon, which may not end the text unless doubled. */
		if (++j == len)
			return -1;
		if (s[j] == ':') {
			if (*gap != NO_GAP)
				return -1;
			*gap = n;
			j++;
		}
		i = j;
	}
	*ngroups = n;
	return 0;
}

static int
parse_v6(const char *s, size_t len, uint8_t out[16])
{
	uint8_t b[16] = { 0 };
	size_t gap, head, n, tail;

	if (parse_groups(s, len, b, &n, &gap) == -1)
		return -1;
	if (gap == NO_GAP) {
		if (n != V6_GROUPS)
			return -1;
		memcpy(out, b, 16);
		return 0;
	}
	/* "::" stands for one group of zeros at least. */
	if (n >= V6_GROUPS)
		return -1;
	head = 2 * gap;
	tail = 2 * (n - gap);
	memset(out, 0, 16);
	memcpy(out, b, head);
	memcpy(out + 16 - tail, b + head, tail);
	return 0;
}

int
netaddr_parse(const char *s, size_t len, struct netaddr *a)
{
	struct netaddr t;

	if (len == 0 || len >= NETADDR_TEXT_MAX)
		return -1;
	memset(&t, 0, sizeof(t));
	if (memchr(s, ':', len) != NULL) {
		t.family = AF_INET6;
		if (parse_v6(s, len, t.b) == -1)
			return -1;
	} else {
		t.family = AF_INET;
		if (parse_v4(s, len, t.b) == -1)
			return -1;
	}
	*a = t;
	return 0;
}

/* The longest run of two or more zero groups, the first among equals. */
static size_t
longest_zeros(const unsigned g[V6_GROUPS], size_t *start)
{
	size_t best = 1, i, j;

	*start = V6_GROUPS;
	for (i = 0; i < V6_GROUPS; i = j + 1) {
		for (j = i; j < V6_GROUPS && g[j] == 0; j++)
			;
		if (j - i > best) {
			best = j - i;
			*start = i;
		}
	}
	return *start == V6_GROUPS ? 0 : best;
}

/*
 * inet_ntop(3) differs between systems in where it writes dotted quads and
 * in whether it shortens a single zero group; records must not. Only the
 * mapped prefix is known to carry an IPv4 address (RFC 5952, 5).
 */
static void
text_v6(const uint8_t b[16], char buf[NETADDR_TEXT_MAX])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	unsigned g[V6_GROUPS];
	size_t i, n = 0, run, start;

	if (memcmp(b, mapped, sizeof(mapped)) == 0) {
		snprintf(buf, NETADDR_TEXT_MAX, "::ffff:%u.%u.%u.%u", b[12],
		    b[13], b[14], b[15]);
		return;
	}
	for (i = 0; i < V6_GROUPS; i++)
		g[i] = (unsigned)b[2 * i] << 8 | b[2 * i + 1];
	run = longest_zeros(g, &start);
	buf[0] = '\0';
	for (i = 0; i < V6_GROUPS;) {
		if (run > 0 && i == start) {
			n += (size_t)snprintf(
			    buf + n, NETADDR_TEXT_MAX - n, "::");
			i += run;
			continue;
		}
		n += (size_t)snprintf(buf + n, NETADDR_TEXT_MAX - n, "%s%x",
		    i == 0 || i == start + run ? "" : ":", g[i]);
		i++;
	}
}

const char *
netaddr_text(const struct netaddr *a, char buf[NETADDR_TEXT_MAX])
{
	switch (a->family) {
	case AF_INET:
		snprintf(buf, NETADDR_TEXT_MAX, "%u.%u.%u.%u", a->b[0], a->b[1],
		    a->b[2], a->b[3]);
		break;
	case AF_INET6:
		text_v6(a->b, buf);
		break;
	default:
		snprintf(buf, NETADDR_TEXT_MAX, "none");
		break;
	}
	return buf;
}

/* The bits of an address of this family; 0 for a family we do not know. */
static unsigned
family_bits(int family)
{
	if (family == AF_INET)
		return 32;
	return family == AF_INET6 ? 128 : 0;
}

/* Are the first n bits of a and b the same? */
static bool
same_bits(const uint8_t *a, const uint8_t *b, unsigned n)
{
	unsigned mask;

	if (memcmp(a, b, n / 8) != 0)
		return false;
	if (n % 8 == 0)
		return true;
	mask = 0xff00u >> n % 8 & 0xff;
	return ((a[n / 8] ^ b[n / 8]) & mask) == 0;
}

void
netprefix_of(const struct netaddr *a, unsigned bits, struct netprefix *p)
{
	unsigned i;

	memset(p, 0, sizeof(*p));
	p->addr.family = a->family;
	p->bits = bits;
	for (i = 0; i < bits / 8; i++)
		p->addr.b[i] = a->b[i];
	if (bits % 8 != 0)
		p->addr.b[i] = (uint8_t)(a->b[i] & 0xff00u >> bits % 8);
}

int
netprefix_parse(const char *s, size_t len, struct netprefix *p)
{
	struct netaddr a;
	struct netprefix t;
	const char *slash;
	size_t alen = len;
	unsigned bits;

	if (len == 0 || len >= NETADDR_PREFIX_TEXT_MAX)
		return -1;
	slash = memchr(s, '/', len);
	if (slash != NULL)
		alen = (size_t)(slash - s);
	if (netaddr_parse(s, alen, &a) == -1)
		return -1;
	bits = family_bits(a.family);
	if (slash != NULL &&
	    parse_decimal(slash + 1, len - alen - 1, bits, &bits) == -1)
		return -1;
	netprefix_of(&a, bits, &t);
	if (!netaddr_equal(&t.addr, &a))
		return -1;
	*p = t;
	return 0;
}

const char *
netprefix_text(const struct netprefix *p, char buf[NETADDR_PREFIX_TEXT_MAX])
{
	char a[NETADDR_TEXT_MAX];

	snprintf(buf, NETADDR_PREFIX_TEXT_MAX, "%s/%u",
	    netaddr_text(&p->addr, a), p->bits % 1000);
	return buf;
}

bool
netprefix_contains(const struct netprefix *p, const struct netaddr *a)
{
	unsigned max = family_bits(a->family);

	return max != 0 && p->addr.family == a->family && p->bits <= max &&
	    same_bits(p->addr.b, a->b, p->bits);
}

bool
netprefix_covers(const struct netprefix *p, const struct netprefix *q)
{
	return p->bits <= q->bits && netprefix_contains(p, &q->addr);
}

bool
netaddr_equal(const struct netaddr *a, const struct netaddr *b)
{
	return a->family == b->family &&
	    memcmp(a->b, b->b, family_bits(a->family) / 8) == 0;
}

int
netaddr_parse_port(
    const char *s, size_t len, uint16_t dflt, struct netaddr *a, uint16_t *port)
{
	struct netaddr t;
	const char *end;
	size_t alen;
	uint16_t n;

	/* An IPv6 address has two colons at least: bare, it has no port. */
	if (netaddr_parse(s, len, &t) == 0) {
		if (dflt == 0)
			return -1;
		*a = t;
		*port = dflt;
		return 0;
	}
	if (len > 0 && s[0] == '[') {
		end = memchr(s, ']', len);
		if (end == NULL)
			return -1;
		alen = (size_t)(end - s) + 1;
		if (netaddr_parse(s + 1, alen - 2, &t) == -1 ||
		    t.family != AF_INET6)
			return -1;
	} else {
		end = memchr(s, ':', len);
		if (end == NULL)
			return -1;
		alen = (size_t)(end - s);
		if (netaddr_parse(s, alen, &t) == -1)
			return -1;
	}
	if (alen == len || s[alen] != ':' ||
	    netport_parse(s + alen + 1, len - alen - 1, &n) == -1)
		return -1;
	*a = t;
	*port = n;
	return 0;
}

socklen_t
netaddr_to_sockaddr(
    const struct netaddr *a, uint16_t port, struct sockaddr_storage *ss)
{
	struct sockaddr_in sin;
	struct sockaddr_in6 sin6;

	/* Copied, not cast: sockaddr_storage has a type of its own. */
	memset(ss, 0, sizeof(*ss));
	switch (a->family) {
	case AF_INET:
		memset(&sin, 0, sizeof(sin));
		sin.sin_family = AF_INET;
		sin.sin_port = htons(port);
		memcpy(&sin.sin_addr, a->b, 4);
		memcpy(ss, &sin, sizeof(sin));
		return sizeof(sin);
	case AF_INET6:
		memset(&sin6, 0, sizeof(sin6));
		sin6.sin6_family = AF_INET6;
		sin6.sin6_port = htons(port);
		memcpy(&sin6.sin6_addr, a->b, 16);
		memcpy(ss, &sin6, sizeof(sin6));
		return sizeof(sin6);
	default:
		return 0;
	}
}

int
netaddr_from_sockaddr(
    const struct sockaddr_storage *ss, struct netaddr *a, uint16_t *port)
{
	struct sockaddr_in sin;
	struct sockaddr_in6 sin6;

	switch (ss->ss_family) {
	case AF_INET:
		memcpy(&sin, ss, sizeof(sin));
		memset(a, 0, sizeof(*a));
		a->family = AF_INET;
		memcpy(a->b, &sin.sin_addr, 4);
		*port = ntohs(sin.sin_port);
		return 0;
	case AF_INET6:
		memcpy(&sin6, ss, sizeof(sin6));
		memset(a, 0, sizeof(*a));
		a->family = AF_INET6;
		memcpy(a->b, &sin6.sin6_addr, 16);
		*port = ntohs(sin6.sin6_port);
		return 0;
	default:
		return -1;
	}
}
