#ifndef LIBCOMMON_HOSTNAME_H
#define LIBCOMMON_HOSTNAME_H

/*
 * One strict form for every destination. The same object is matched,
 * resolved, dialled, compared with the SNI and logged. Reject, never repair:
 * only case is folded and one trailing dot dropped. Pure.
 */

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netaddr.h"

#define HOSTNAME_MAX 253
#define HOSTNAME_LABEL_MAX 63

enum dest_kind {
	DEST_NAME,
	DEST_ADDRESS
};

struct dest {
	enum dest_kind kind;
	char name[HOSTNAME_MAX + 1]; /* canonical; for an address
	                                its text, no brackets */
	struct netaddr addr; /* DEST_ADDRESS */
	uint16_t port;
};

/*
 * Canonical lower-case A-label name: letters, digits, hyphen, underscore;
 * labels of 1..63, no leading or trailing hyphen, 253 in all; an "xn--" label
 * must be a valid A-label; the last label must not be a number (WHATWG "ends
 * in a number"). Returns 0 or -1.
 */
int hostname_canon(const char *s, size_t len, char out[HOSTNAME_MAX + 1]);

/*
 * HOST:PORT as CONNECT has it (RFC 9112, 3.2.3): a name, four decimal octets,
 * or [IPv6]; the port mandatory, 1..65535, plain decimal without leading
 * zeros. With dflt_port > 0 ":PORT" may be absent (Host fields). Returns 0 or
 * -1.
 */
int dest_parse(const char *s, size_t len, uint16_t dflt_port, struct dest *d);
/* Same host and port? */
bool dest_equal(const struct dest *a, const struct dest *b);

bool hostname_has_underscore(const char *name);
/* The last n labels of name, or NULL when it has fewer. */
const char *hostname_tail(const char *name, unsigned labels);
unsigned hostname_labels(const char *name);
/*
 * Does name lie below suffix ("a.good.com" below "good.com"; not itself)?
 * Both canonical.
 */
bool hostname_below(const char *name, const char *suffix);

#endif
