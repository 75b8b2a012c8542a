/*
 * A DNS answer, read strictly (RFC 1035, 4; RFC 6891, 6.1.3). Everything here
 * was written by whoever runs the name's zone, so: the whole message has to
 * hold together before any of it is believed, names are compared as labels on
 * the wire (a dot or a NUL inside a label never becomes structure), and only
 * records owned by a name on the chain from the question count.
 */

#include <ctype.h>
#include <string.h>

#include "egressd/resolver.h"

#define RESOLVER_RRS_MAX 1024 /* records of one message */
#define RESOLVER_POINTERS_MAX 127 /* of one name: it has as many labels */

#define DNS_HEADER_LEN 12
#define DNS_RR_FIXED 10 /* type, class, TTL, length */
#define DNS_WIRE_MAX 255 /* RFC 1035, 3.1 */
#define DNS_QR 0x8000
#define DNS_OPCODE 0x7800
#define DNS_TC 0x0200
#define DNS_RCODE 0x000f
#define DNS_RCODE_OK 0
#define DNS_RCODE_NXDOMAIN 3
#define DNS_CLASS_IN 1
#define DNS_TYPE_A 1
#define DNS_TYPE_CNAME 5
#define DNS_TYPE_AAAA 28
#define DNS_TYPE_OPT 41

/* A name as labels, lower case, uncompressed. */
struct wire_name {
	uint8_t b[DNS_WIRE_MAX];
	size_t len; /* with the root label */
};

struct record {
	size_t owner; /* offset of its name */
	unsigned type;
	size_t data; /* offset */
	size_t len;
};

struct message {
	const uint8_t *b;
	size_t len;
	unsigned rcode; /* with the upper bits of an OPT */
	size_t answers, others;
	struct record rr[RESOLVER_RRS_MAX]; /* IN, of the answer section */
	size_t nrr;
};

static unsigned
get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static void
name_label(struct wire_name *n, const uint8_t *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		n->b[n->len++] = (uint8_t)tolower(p[i]);
}

/*
 * Read the name at *pos and move behind it. A pointer must lead to before the
 * run of labels that it ends, so that no name can come back to itself.
 * Returns 0 or -1.
 */
static int
name_read(const struct message *m, size_t *pos, struct wire_name *n)
{
	size_t at = *pos, run = *pos, end = 0, to, label;
	unsigned pointers = 0;

	n->len = 0;
	for (;;) {
		if (at >= m->len)
			return -1;
		label = m->b[at];
		if (label >= 0xc0) {
			if (m->len - at < 2 ||
			    ++pointers > RESOLVER_POINTERS_MAX)
				return -1;
			to = get16(m->b + at) & 0x3fff;
			if (end == 0)
				end = at + 2;
			if (to >= run || to < DNS_HEADER_LEN)
				return -1;
			at = run = to;
			continue;
		}
		if (label > HOSTNAME_LABEL_MAX || m->len - at <= label ||
		    n->len + 1 + label > sizeof(n->b))
			return -1;
		name_label(n, m->b + at, 1 + label);
		at += 1 + label;
		if (label == 0)
			break;
	}
	*pos = end != 0 ? end : at;
	return 0;
}

static bool
name_equal(const struct wire_name *a, const struct wire_name *b)
{
	return a->len == b->len && memcmp(a->b, b->b, a->len) == 0;
}

/* A canonical name (at most HOSTNAME_MAX, so that it fits) as labels. */
static void
name_from_text(struct wire_name *n, const char *s)
{
	size_t len;

	n->len = 0;
	while (*s != '\0') {
		len = strcspn(s, ".");
		n->b[n->len++] = (uint8_t)len;
		memcpy(n->b + n->len, s, len);
		n->len += len;
		s += len;
		if (*s == '.')
			s++;
	}
	n->b[n->len++] = 0;
}

/* Labels as a canonical name. Returns 0, or -1 when they are none. */
static int
name_to_text(const struct wire_name *n, char out[HOSTNAME_MAX + 1])
{
	char text[DNS_WIRE_MAX];
	size_t at = 0, len = 0;

	while (n->b[at] != 0) {
		if (memchr(n->b + at + 1, '.', n->b[at]) != NULL)
			return -1;
		if (len > 0)
			text[len++] = '.';
		memcpy(text + len, n->b + at + 1, n->b[at]);
		len += n->b[at];
		at += 1 + (size_t)n->b[at];
	}
	return hostname_canon(text, len, out);
}

/* The header and the question: an answer to this very query? */
static int
read_question(
    struct message *m, size_t *pos, const struct wire_name *name, unsigned type)
{
	struct wire_name asked;
	unsigned flags;

	if (m->len < DNS_HEADER_LEN)
		return -1;
	flags = get16(m->b + 2);
	if ((flags & DNS_QR) == 0 || (flags & (DNS_OPCODE | DNS_TC)) != 0 ||
	    get16(m->b + 4) != 1)
		return -1;
	m->rcode = flags & DNS_RCODE;
	m->answers = get16(m->b + 6);
	m->others = get16(m->b + 8) + (size_t)get16(m->b + 10);
	if (m->answers + m->others > RESOLVER_RRS_MAX)
		return -1;
	*pos = DNS_HEADER_LEN;
	if (name_read(m, pos, &asked) == -1 || m->len - *pos < 4)
		return -1;
	if (!name_equal(&asked, name) || get16(m->b + *pos) != type ||
	    get16(m->b + *pos + 2) != DNS_CLASS_IN)
		return -1;
	*pos += 4;
	return 0;
}

/* The record at *pos; only those of the answer section are kept. */
static int
read_record(struct message *m, size_t *pos, bool answer)
{
	struct wire_name owner;
	struct record r;
	unsigned class;
	const uint8_t *p;

	r.owner = *pos;
	if (name_read(m, pos, &owner) == -1 || m->len - *pos < DNS_RR_FIXED)
		return -1;
	p = m->b + *pos;
	r.type = get16(p);
	class = get16(p + 2);
	r.len = get16(p + 8);
	*pos += DNS_RR_FIXED;
	if (m->len - *pos < r.len)
		return -1;
	r.data = *pos;
	*pos += r.len;

	/* The class of an OPT is a size, its TTL starts with rcode bits. */
	if (r.type == DNS_TYPE_OPT) {
		if (answer)
			return -1;
		m->rcode |= (unsigned)p[4] << 4;
		return 0;
	}
	if (!answer || class != DNS_CLASS_IN)
		return 0;
	if ((r.type == DNS_TYPE_A && r.len != 4) ||
	    (r.type == DNS_TYPE_AAAA && r.len != 16))
		return -1;
	m->rr[m->nrr++] = r;
	return 0;
}

/* All of the message, to its last byte. */
static int
read_message(struct message *m, const struct wire_name *name, unsigned type)
{
	size_t pos, i;

	if (read_question(m, &pos, name, type) == -1)
		return -1;
	for (i = 0; i < m->answers + m->others; i++) {
		if (read_record(m, &pos, i < m->answers) == -1)
			return -1;
	}
	return pos == m->len ? 0 : -1;
}

static int
add_addr(struct dns_answer *a, const struct netaddr *addr)
{
	size_t i;

	for (i = 0; i < a->naddr; i++) {
		if (netaddr_equal(&a->addr[i], addr))
			return 0;
	}
	if (a->naddr == EGRESS_ADDRESSES_MAX)
		return -1;
	a->addr[a->naddr++] = *addr;
	return 0;
}

/*
 * What the message says of one name: its addresses go into *a; *alias is the
 * CNAME record, or NULL. A name that is an alias twice, or an alias and
 * something else, has no one meaning (RFC 2181, 10.1): -1.
 */
static int
read_owner(const struct message *m, const struct wire_name *name, unsigned type,
    struct dns_answer *a, const struct record **alias)
{
	const struct record *r;
	struct wire_name owner;
	struct netaddr addr;
	size_t i, pos;

	*alias = NULL;
	for (i = 0; i < m->nrr; i++) {
		r = &m->rr[i];
		if (r->type != type && r->type != DNS_TYPE_CNAME)
			continue;
		pos = r->owner;
		if (name_read(m, &pos, &owner) == -1)
			return -1;
		if (!name_equal(&owner, name))
			continue;
		if (*alias != NULL ||
		    (r->type == DNS_TYPE_CNAME && a->naddr > 0))
			return -1;
		if (r->type == DNS_TYPE_CNAME) {
			*alias = r;
			continue;
		}
		memset(&addr, 0, sizeof(addr));
		addr.family = type == DNS_TYPE_A ? AF_INET : AF_INET6;
		memcpy(addr.b, m->b + r->data, r->len);
		if (add_addr(a, &addr) == -1)
			return -1;
	}
	return 0;
}

/* Go on to where an alias leads. A loop ends as a chain that is too long. */
static int
follow(const struct message *m, const struct record *alias,
    struct wire_name *name, struct dns_answer *a)
{
	char target[HOSTNAME_MAX + 1];
	size_t pos = alias->data;

	if (name_read(m, &pos, name) == -1 || pos != alias->data + alias->len ||
	    name_to_text(name, target) == -1 || a->nchain == EGRESS_CHAIN_MAX)
		return -1;
	strlcpy(a->chain[a->nchain++], target, sizeof(a->chain[0]));
	return 0;
}

int
resolver_answer_add(struct dns_answer *a, const struct dns_answer *b)
{
	struct dns_answer sum = *a;
	size_t i, j;

	for (i = 0; i < b->naddr; i++) {
		if (add_addr(&sum, &b->addr[i]) == -1)
			return -1;
	}
	for (i = 0; i < b->nchain; i++) {
		for (j = 0; j < sum.nchain; j++) {
			if (strcmp(sum.chain[j], b->chain[i]) == 0)
				break;
		}
		if (j < sum.nchain)
			continue;
		if (sum.nchain == EGRESS_CHAIN_MAX)
			return -1;
		memcpy(
		    sum.chain[sum.nchain++], b->chain[i], sizeof(b->chain[i]));
	}
	*a = sum;
	return 0;
}

enum dns_result
resolver_answer_parse(const uint8_t *msg, size_t len, const char *name,
    int family, struct dns_answer *a)
{
	struct message m;
	struct wire_name at;
	struct dns_answer found;
	const struct record *alias;
	unsigned type = family == AF_INET ? DNS_TYPE_A : DNS_TYPE_AAAA;

	m.b = msg;
	m.len = len;
	m.nrr = 0;
	memset(&found, 0, sizeof(found));
	name_from_text(&at, name);
	if (read_message(&m, &at, type) == -1)
		return DNS_FAILED;
	if (m.rcode != DNS_RCODE_OK && m.rcode != DNS_RCODE_NXDOMAIN)
		return DNS_FAILED;
	do {
		if (read_owner(&m, &at, type, &found, &alias) == -1)
			return DNS_FAILED;
		if (alias != NULL && follow(&m, alias, &at, &found) == -1)
			return DNS_FAILED;
	} while (alias != NULL);

	/* The rcode speaks of the chain's last name (RFC 6604, 3). */
	if (m.rcode == DNS_RCODE_NXDOMAIN) {
		if (found.naddr > 0)
			return DNS_FAILED;
		return DNS_NXDOMAIN;
	}
	if (resolver_answer_add(a, &found) == -1)
		return DNS_FAILED;
	return found.naddr > 0 ? DNS_OK : DNS_EMPTY;
}
