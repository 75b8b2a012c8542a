#ifndef LIBCOMMON_NETADDR_H
#define LIBCOMMON_NETADDR_H

/* IP addresses and prefixes, binary, strict. Pure. */

#include <sys/socket.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NETADDR_TEXT_MAX 46 /* with NUL */
#define NETADDR_PREFIX_TEXT_MAX 50

struct netaddr {
	int family; /* AF_INET, AF_INET6 */
	uint8_t b[16]; /* network order; AF_INET uses 4 */
};

struct netprefix {
	struct netaddr addr; /* host bits zero */
	unsigned bits;
};

/*
 * Strict text: four decimal octets without leading zeros, or RFC 4291 text
 * without zone. len bytes, no NUL inside. Returns 0 or -1.
 */
int netaddr_parse(const char *s, size_t len, struct netaddr *a);
/* RFC 5952 text. */
const char *netaddr_text(const struct netaddr *a, char buf[NETADDR_TEXT_MAX]);
/* ADDRESS/BITS, or an address alone as /32, /128; host bits must be zero. */
int netprefix_parse(const char *s, size_t len, struct netprefix *p);
const char *
netprefix_text(const struct netprefix *p, char buf[NETADDR_PREFIX_TEXT_MAX]);
/* Families never mix: ::ffff:192.0.2.1 lies in no IPv4 prefix. */
bool netprefix_contains(const struct netprefix *p, const struct netaddr *a);
/* Does p contain all of q? */
bool netprefix_covers(const struct netprefix *p, const struct netprefix *q);
/* The prefix of that length which holds a; bits at most 32, 128. */
void netprefix_of(const struct netaddr *a, unsigned bits, struct netprefix *p);
bool netaddr_equal(const struct netaddr *a, const struct netaddr *b);
/* Plain decimal 1..65535, no sign, no leading zero. Returns 0 or -1. */
int netport_parse(const char *s, size_t len, uint16_t *port);
/* "ADDRESS", "ADDRESS:PORT", "[V6]:PORT"; port dflt when absent, 0 = must. */
int netaddr_parse_port(const char *s, size_t len, uint16_t dflt,
    struct netaddr *a, uint16_t *port);

/* To and from a sockaddr. */
socklen_t netaddr_to_sockaddr(
    const struct netaddr *a, uint16_t port, struct sockaddr_storage *ss);
int netaddr_from_sockaddr(
    const struct sockaddr_storage *ss, struct netaddr *a, uint16_t *port);

#endif
