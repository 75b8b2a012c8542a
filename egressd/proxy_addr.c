/*
 * Which addresses are what, by the IANA special-purpose address registries
 * (RFC 6890) and the places where clouds serve credentials.
 */

#include <sys/socket.h>

#include "egressd/egressd.h"

#define HI(group) ((group) >> 8)
#define LO(group) ((group)&0xff)
#define V4(a, b, c, d, bits)                      \
	{                                         \
		{ AF_INET, { a, b, c, d } }, bits \
	}
/* The first three groups and the last one. */
#define V6(a, b, c, h, bits)                                 \
	{                                                    \
		{ AF_INET6,                                  \
			{ HI(a), LO(a), HI(b), LO(b), HI(c), \
			    LO(c), [14] = HI(h), LO(h) } },  \
		    bits                                     \
	}

/*
 * The first row that contains an address decides, so a row stands before
 * those that cover it. A block that the registries list is prohibited whole:
 * the few globally reachable addresses inside (192.0.0.9, 2001:1::1, the
 * AS112 and AMT blocks) serve nothing that a run needs.
 */
static const struct addr_row {
	struct netprefix prefix;
	enum addr_class class;
} addr_rows[] = {
	{ V4(0, 0, 0, 0, 8), ADDR_PROHIBITED }, /* this network */
	{ V4(10, 0, 0, 0, 8), ADDR_PRIVATE },
	{ V4(100, 100, 100, 200, 32), ADDR_PROHIBITED }, /* metadata */
	{ V4(100, 64, 0, 0, 10), ADDR_PRIVATE }, /* carrier NAT */
	{ V4(127, 0, 0, 0, 8), ADDR_PROHIBITED }, /* loopback */
	{ V4(168, 63, 129, 16, 32), ADDR_PROHIBITED }, /* metadata */
	{ V4(169, 254, 0, 0, 16), ADDR_PROHIBITED }, /* link-local */
	{ V4(172, 16, 0, 0, 12), ADDR_PRIVATE },
	{ V4(192, 0, 0, 0, 24), ADDR_PROHIBITED }, /* IETF; metadata */
	{ V4(192, 0, 2, 0, 24), ADDR_PROHIBITED }, /* documentation */
	{ V4(192, 31, 196, 0, 24), ADDR_PROHIBITED }, /* AS112 */
	{ V4(192, 52, 193, 0, 24), ADDR_PROHIBITED }, /* AMT */
	{ V4(192, 88, 99, 0, 24), ADDR_PROHIBITED }, /* 6to4 relays */
	{ V4(192, 168, 0, 0, 16), ADDR_PRIVATE },
	{ V4(192, 175, 48, 0, 24), ADDR_PROHIBITED }, /* AS112 */
	{ V4(198, 18, 0, 0, 15), ADDR_PROHIBITED }, /* benchmarking */
	{ V4(198, 51, 100, 0, 24), ADDR_PROHIBITED }, /* documentation */
	{ V4(203, 0, 113, 0, 24), ADDR_PROHIBITED }, /* documentation */
	{ V4(224, 0, 0, 0, 4), ADDR_PROHIBITED }, /* multicast */
	{ V4(240, 0, 0, 0, 4), ADDR_PROHIBITED }, /* and broadcast */
	{ V4(0, 0, 0, 0, 0), ADDR_PUBLIC },

	/* Teredo, benchmarking, AMT, AS112, ORCHID, DRIP and more. */
	{ V6(0x2001, 0, 0, 0, 23), ADDR_PROHIBITED },
	{ V6(0x2001, 0xdb8, 0, 0, 32), ADDR_PROHIBITED }, /* documentation */
	{ V6(0x2002, 0, 0, 0, 16), ADDR_PROHIBITED }, /* 6to4 */
	{ V6(0x2620, 0x4f, 0x8000, 0, 48), ADDR_PROHIBITED }, /* AS112 */
	{ V6(0x3fff, 0, 0, 0, 20), ADDR_PROHIBITED }, /* documentation */
	{ V6(0x2000, 0, 0, 0, 3), ADDR_PUBLIC },
	{ V6(0xfd00, 0xec2, 0, 0x254, 128), ADDR_PROHIBITED }, /* metadata */
	{ V6(0xfd20, 0xce, 0, 0x254, 128), ADDR_PROHIBITED }, /* metadata */
	{ V6(0xfc00, 0, 0, 0, 7), ADDR_PRIVATE },
	/*
	 * All else: unspecified, loopback, IPv4-compatible and -mapped,
	 * NAT64 with whatever it embeds, discard, SRv6, link-local,
	 * site-local, multicast, and what nobody has been given.
	 */
	{ V6(0, 0, 0, 0, 0), ADDR_PROHIBITED },
};

#define ADDR_ROWS (sizeof(addr_rows) / sizeof(addr_rows[0]))

enum addr_class
proxy_addr_class(const struct netaddr *a)
{
	size_t i;

	for (i = 0; i < ADDR_ROWS; i++)
		if (netprefix_contains(&addr_rows[i].prefix, a))
			return addr_rows[i].class;
	return ADDR_PROHIBITED;
}

/* The address behind the last one of p; false when there is none. */
static bool
address_after(const struct netprefix *p, struct netaddr *a)
{
	unsigned i = p->bits, mask;

	*a = p->addr;
	/* Count up at the last bit of the prefix, carrying leftwards. */
	while (i-- > 0) {
		mask = 0x80u >> i % 8;
		a->b[i / 8] = (uint8_t)(a->b[i / 8] ^ mask);
		if ((a->b[i / 8] & mask) != 0)
			return true;
	}
	return false;
}

static bool
address_useful(const struct netprefix *p, const struct netaddr *a)
{
	return netprefix_contains(p, a) &&
	    proxy_addr_class(a) != ADDR_PROHIBITED;
}

bool
proxy_addr_prefix_useful(const struct netprefix *p)
{
	struct netaddr a;
	size_t i;

	/* The class changes only where a row begins or has just ended. */
	if (address_useful(p, &p->addr))
		return true;
	for (i = 0; i < ADDR_ROWS; i++) {
		if (address_useful(p, &addr_rows[i].prefix.addr))
			return true;
		if (address_after(&addr_rows[i].prefix, &a) &&
		    address_useful(p, &a))
			return true;
	}
	return false;
}
