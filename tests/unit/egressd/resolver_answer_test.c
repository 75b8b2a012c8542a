#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/resolver.h"

/*
 * Messages are written as scripts, a token a word:
 *	f HEX		flags (8180 without it)
 *	q NAME TYPE	the question, IN
 *	a OWNER ADDRESS, aaaa OWNER ADDRESS, c OWNER TARGET
 *	r OWNER TYPE CLASS HEX	any record; HEX is its data, "-" none
 *	s		the next section: authority, then additional
 *	b HEX		bytes as they are
 *	p OFFSET HEX	lies, last: overwrite what stands there
 * A NAME is labels, "@N" a pointer to that offset, "a.b@N" both; "." the root,
 * and inside a label "\" stands for a dot and "~" for a NUL.
 */
struct script {
	uint8_t b[70000];
	size_t n;
	unsigned section, counts[3];
};

static void
put16(struct script *s, unsigned v)
{
	s->b[s->n++] = (uint8_t)(v >> 8);
	s->b[s->n++] = (uint8_t)v;
}

static size_t
put_hex(struct script *s, const char *hex)
{
	char byte[3] = "";
	size_t i;

	if (strcmp(hex, "-") == 0)
		return 0;
	for (i = 0; hex[i] != '\0'; i += 2) {
		memcpy(byte, hex + i, 2);
		s->b[s->n++] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return i / 2;
}

static void
put_label(struct script *s, const char *label, size_t len)
{
	size_t i;

	s->b[s->n++] = (uint8_t)len;
	for (i = 0; i < len; i++) {
		s->b[s->n++] = (uint8_t)(label[i] == '\\' ? '.'
		        : label[i] == '~'                 ? '\0'
		                                          : label[i]);
	}
}

static void
put_name(struct script *s, const char *name)
{
	size_t len;

	while (*name != '\0' && *name != '@') {
		len = strcspn(name, ".@");
		if (len > 0)
			put_label(s, name, len);
		name += len;
		if (*name == '.')
			name++;
	}
	if (*name == '@')
		put16(s, 0xc000 | (unsigned)strtoul(name + 1, NULL, 10));
	else
		s->b[s->n++] = 0;
}

static void
put_fixed(struct script *s, const char *owner, unsigned type, unsigned class)
{
	put_name(s, owner);
	put16(s, type);
	put16(s, class);
	put16(s, 0);
	put16(s, 60);
	put16(s, 0);
	s->counts[s->section]++;
}

/* The data behind the fixed part ends here: write its length. */
static void
put_length(struct script *s, size_t start)
{
	size_t len = s->n - start;

	s->b[start - 2] = (uint8_t)(len >> 8);
	s->b[start - 1] = (uint8_t)len;
}

static void
put_addr(struct script *s, const char *owner, const char *text)
{
	struct netaddr a;
	size_t start, len;

	ck_assert_int_eq(netaddr_parse(text, strlen(text), &a), 0);
	len = a.family == AF_INET ? 4 : 16;
	put_fixed(s, owner, a.family == AF_INET ? 1 : 28, 1);
	start = s->n;
	memcpy(s->b + s->n, a.b, len);
	s->n += len;
	put_length(s, start);
}

static void
put_cname(struct script *s, const char *owner, const char *target)
{
	size_t start;

	put_fixed(s, owner, 5, 1);
	start = s->n;
	put_name(s, target);
	put_length(s, start);
}

static void
begin(struct script *s)
{
	static const uint8_t header[12] = { 0x12, 0x34, 0x81, 0x80, 0, 1 };

	memset(s, 0, sizeof(*s));
	memcpy(s->b, header, sizeof(header));
	s->n = sizeof(header);
}

static void
put_counts(struct script *s)
{
	unsigned i;

	for (i = 0; i < 3; i++) {
		s->b[6 + 2 * i] = (uint8_t)(s->counts[i] >> 8);
		s->b[7 + 2 * i] = (uint8_t)s->counts[i];
	}
}

static unsigned
number(const char *s)
{
	return (unsigned)strtoul(s, NULL, 10);
}

/* One verb with its words taken from *rest. */
static void
build_verb(struct script *s, const char *verb, char **rest)
{
	char *x = strsep(rest, " "), *y, *class;
	size_t start, n;

	switch (verb[0]) {
	case 'f':
		n = s->n;
		s->n = 2;
		put_hex(s, x);
		s->n = n;
		return;
	case 'b':
		put_hex(s, x);
		return;
	}
	y = strsep(rest, " ");
	switch (verb[0]) {
	case 'q':
		put_name(s, x);
		put16(s, number(y));
		put16(s, 1);
		break;
	case 'a':
		put_addr(s, x, y);
		break;
	case 'c':
		put_cname(s, x, y);
		break;
	case 'r':
		class = strsep(rest, " ");
		put_fixed(s, x, number(y), number(class));
		start = s->n;
		put_hex(s, strsep(rest, " "));
		put_length(s, start);
		break;
	case 'p':
		put_counts(s);
		n = s->n;
		s->n = number(x);
		put_hex(s, y);
		s->n = n;
		break;
	default:
		ck_abort_msg("script: %s", verb);
	}
}

static void
build(struct script *s, const char *text)
{
	char *copy = strdup(text), *rest = copy, *verb;
	bool lies = false;

	ck_assert_ptr_nonnull(copy);
	begin(s);
	while ((verb = strsep(&rest, " ")) != NULL) {
		if (strcmp(verb, "s") == 0) {
			s->section++;
			continue;
		}
		lies = lies || verb[0] == 'p';
		build_verb(s, verb, &rest);
	}
	if (!lies)
		put_counts(s);
	free(copy);
}

/* "192.0.2.1 2001:db8::1" */
static void
text_addrs(const struct dns_answer *a, char *out, size_t len)
{
	char text[NETADDR_TEXT_MAX];
	size_t i;

	out[0] = '\0';
	for (i = 0; i < a->naddr; i++) {
		if (i > 0)
			strlcat(out, " ", len);
		strlcat(out, netaddr_text(&a->addr[i], text), len);
	}
}

static void
text_chain(const struct dns_answer *a, char *out, size_t len)
{
	size_t i;

	out[0] = '\0';
	for (i = 0; i < a->nchain; i++) {
		if (i > 0)
			strlcat(out, " ", len);
		strlcat(out, a->chain[i], len);
	}
}

#define N "www.example.com" /* 17 bytes on the wire: data from 33 */
#define Q "q " N " 1 "

#define A16 "61616161616161616161616161616161"

static const struct row {
	const char *name;
	int family;
	const char *script;
	enum dns_result want;
	const char *addrs, *chain;
} rows[] = {
	/* What is well. */
	{ "one A", AF_INET, Q "a @12 192.0.2.1", DNS_OK, "192.0.2.1", "" },
	{ "one AAAA", AF_INET6, "q " N " 28 aaaa @12 2001:db8::1", DNS_OK,
	    "2001:db8::1", "" },
	{ "two, in their order", AF_INET, Q "a @12 192.0.2.2 a @12 192.0.2.1",
	    DNS_OK, "192.0.2.2 192.0.2.1", "" },
	{ "duplicates are dropped", AF_INET,
	    Q "a @12 192.0.2.2 a " N " 192.0.2.2", DNS_OK, "192.0.2.2", "" },
	{ "case is folded", AF_INET,
	    "q wWw.EXAMPLE.com 1 a WWW.example.COM 192.0.2.1", DNS_OK,
	    "192.0.2.1", "" },
	{ "an OPT and an authority", AF_INET,
	    Q "a @12 192.0.2.1 s r @16 2 1 026e73c010 s r . 41 1232 -", DNS_OK,
	    "192.0.2.1", "" },
	{ "empty", AF_INET, Q "s r @16 6 1 00", DNS_EMPTY, "", "" },
	{ "other type only", AF_INET, Q "aaaa @12 2001:db8::1", DNS_EMPTY, "",
	    "" },
	{ "C3 nxdomain", AF_INET, "f 8183 " Q "s r @16 6 1 00", DNS_NXDOMAIN,
	    "", "" },
	{ "C3 servfail", AF_INET, "f 8182 q " N " 1", DNS_FAILED, "", "" },
	{ "C3 refused", AF_INET, "f 8185 q " N " 1", DNS_FAILED, "", "" },
	{ "formerr", AF_INET, "f 8181 q " N " 1", DNS_FAILED, "", "" },
	{ "badvers, in the OPT", AF_INET, Q "s s r . 41 1232 - p 38 01",
	    DNS_FAILED, "", "" },
	{ "nxdomain with an address", AF_INET, "f 8183 " Q "a @12 192.0.2.1",
	    DNS_FAILED, "", "" },

	/* C5: the chain. */
	{ "C5 one alias", AF_INET, Q "c @12 a.example a a.example 192.0.2.1",
	    DNS_OK, "192.0.2.1", "a.example" },
	{ "C5 in any order", AF_INET,
	    Q "a b.example 192.0.2.1 c a.example b.example c @12 A.example",
	    DNS_OK, "192.0.2.1", "a.example b.example" },
	{ "C5 a compressed target", AF_INET,
	    Q "c @12 cdn@16 a cdn.example.com 192.0.2.1", DNS_OK, "192.0.2.1",
	    "cdn.example.com" },
	{ "C5 a chain without address", AF_INET, Q "c @12 a.example", DNS_EMPTY,
	    "", "a.example" },
	{ "C5 a dangling chain", AF_INET, "f 8183 " Q "c @12 a.example",
	    DNS_NXDOMAIN, "", "" },
	{ "C5 underscore", AF_INET, Q "c @12 _a.example a _a.example 192.0.2.1",
	    DNS_OK, "192.0.2.1", "_a.example" },
	{ "C4 alias of itself", AF_INET, Q "c @12 @12", DNS_FAILED, "", "" },
	{ "C4 loop of two", AF_INET,
	    Q "c @12 a.example c a.example www.example.com", DNS_FAILED, "",
	    "" },
	{ "C4 loop behind the first", AF_INET,
	    Q "c @12 a.example c a.example b.example c b.example a.example",
	    DNS_FAILED, "", "" },
	{ "two aliases", AF_INET, Q "c @12 a.example c @12 b.example",
	    DNS_FAILED, "", "" },
	{ "alias and address", AF_INET, Q "c @12 a.example a @12 192.0.2.1",
	    DNS_FAILED, "", "" },
	{ "address and alias", AF_INET, Q "a @12 192.0.2.1 c @12 a.example",
	    DNS_FAILED, "", "" },
	{ "target with a space", AF_INET, Q "r @12 5 1 0361206200", DNS_FAILED,
	    "", "" },
	{ "target with a NUL", AF_INET, Q "c @12 a~b.example", DNS_FAILED, "",
	    "" },
	{ "target with a dot in a label", AF_INET, Q "c @12 a\\b.example",
	    DNS_FAILED, "", "" },
	{ "target with a high byte", AF_INET, Q "r @12 5 1 02c3a900",
	    DNS_FAILED, "", "" },
	{ "target that is a number", AF_INET, Q "c @12 127.1", DNS_FAILED, "",
	    "" },
	{ "target is the root", AF_INET, Q "c @12 .", DNS_FAILED, "", "" },
	{ "bytes behind the target", AF_INET, Q "r @12 5 1 01610000",
	    DNS_FAILED, "", "" },
	{ "target over its length", AF_INET, Q "r @12 5 1 0161 r . 16 1 -",
	    DNS_FAILED, "", "" },

	/* Records that nobody asked for. */
	{ "other owner", AF_INET, Q "a evil.example 192.0.2.66", DNS_EMPTY, "",
	    "" },
	{ "other owner beside", AF_INET,
	    Q "a evil.example 192.0.2.66 a @12 192.0.2.1", DNS_OK, "192.0.2.1",
	    "" },
	{ "owner below", AF_INET, Q "a a@12 192.0.2.66", DNS_EMPTY, "", "" },
	{ "owner above", AF_INET, Q "a @16 192.0.2.66", DNS_EMPTY, "", "" },
	{ "alias off the chain", AF_INET,
	    Q "c x.example y.example a y.example 192.0.2.66", DNS_EMPTY, "",
	    "" },
	{ "class CH", AF_INET, Q "r @12 1 3 c0000242", DNS_EMPTY, "", "" },
	{ "in the authority", AF_INET, Q "s a @12 192.0.2.66", DNS_EMPTY, "",
	    "" },
	{ "in the additional", AF_INET, Q "s s a @12 192.0.2.66", DNS_EMPTY, "",
	    "" },
	{ "OPT in the answer", AF_INET, Q "r . 41 1232 -", DNS_FAILED, "", "" },

	/* C4: another question. */
	{ "C4 other name", AF_INET, "q www.example.org 1 a @12 192.0.2.1",
	    DNS_FAILED, "", "" },
	{ "C4 name below", AF_INET, "q a.www.example.com 1 a @12 192.0.2.1",
	    DNS_FAILED, "", "" },
	{ "C4 dot in a label", AF_INET, "q www\\example.com 1 a @12 192.0.2.1",
	    DNS_FAILED, "", "" },
	{ "C4 NUL in a label", AF_INET, "q www.example.com~ 1 a @12 192.0.2.1",
	    DNS_FAILED, "", "" },
	{ "C4 other type", AF_INET, "q " N " 28 aaaa @12 2001:db8::1",
	    DNS_FAILED, "", "" },
	{ "C4 other class", AF_INET, Q "a @12 192.0.2.1 p 31 0003", DNS_FAILED,
	    "", "" },
	{ "no question", AF_INET, "a " N " 192.0.2.1 p 4 0000", DNS_FAILED, "",
	    "" },
	{ "a question not counted", AF_INET, Q "a @12 192.0.2.1 p 4 0000",
	    DNS_FAILED, "", "" },
	{ "two questions", AF_INET, Q Q "a @12 192.0.2.1 p 4 0002", DNS_FAILED,
	    "", "" },
	{ "a query", AF_INET, "f 0100 " Q "a @12 192.0.2.1", DNS_FAILED, "",
	    "" },
	{ "another opcode", AF_INET, "f 8980 " Q "a @12 192.0.2.1", DNS_FAILED,
	    "", "" },
	{ "C4 truncated", AF_INET, "f 8380 " Q "a @12 192.0.2.1", DNS_FAILED,
	    "", "" },

	/* C4: names that lie. */
	{ "C4 pointer to itself", AF_INET, Q "a @33 192.0.2.1", DNS_FAILED, "",
	    "" },
	{ "C4 pointer forward", AF_INET, Q "a @35 192.0.2.1", DNS_FAILED, "",
	    "" },
	{ "C4 pointer behind the end", AF_INET, Q "a @9999 192.0.2.1",
	    DNS_FAILED, "", "" },
	{ "C4 pointer into the header", AF_INET, Q "a @4 192.0.2.1", DNS_FAILED,
	    "", "" },
	{ "C4 pointers in a circle", AF_INET, Q "a a@37 192.0.2.1 p 35 c033",
	    DNS_FAILED, "", "" },
	{ "C4 pointer into its own labels", AF_INET, Q "a a@33 192.0.2.1",
	    DNS_FAILED, "", "" },
	{ "a question that points", AF_INET, "b c00c00010001 a @12 192.0.2.1",
	    DNS_FAILED, "", "" },
	{ "label type 01", AF_INET, Q "a @12 192.0.2.1 p 12 43", DNS_FAILED, "",
	    "" },
	{ "a label of 67", AF_INET,
	    Q "b 43" A16 A16 A16 A16 "616161"
	      "0000100001000000000000 "
	      "a @12 192.0.2.1 p 6 0002",
	    DNS_FAILED, "", "" },
	{ "label type 10", AF_INET, Q "a @12 192.0.2.1 p 12 83", DNS_FAILED, "",
	    "" },
	{ "owner is a bad name, unrelated", AF_INET,
	    Q "a a~b\\c 192.0.2.66 a @12 192.0.2.1", DNS_OK, "192.0.2.1", "" },

	/* C4: lengths and counts that lie. */
	{ "A of 5", AF_INET, Q "r @12 1 1 c000020100", DNS_FAILED, "", "" },
	{ "A of 3", AF_INET, Q "r @12 1 1 c00002", DNS_FAILED, "", "" },
	{ "A of 0", AF_INET, Q "r @12 1 1 -", DNS_FAILED, "", "" },
	{ "A of 16", AF_INET, Q "r @12 1 1 20010db8000000000000000000000001",
	    DNS_FAILED, "", "" },
	{ "AAAA of 4", AF_INET6, "q " N " 28 r @12 28 1 c0000201", DNS_FAILED,
	    "", "" },
	{ "A of 5 elsewhere", AF_INET,
	    Q "a @12 192.0.2.1 r x.example 1 1 c000020100", DNS_FAILED, "",
	    "" },
	{ "length over the end", AF_INET, Q "a @12 192.0.2.1 p 43 ffff",
	    DNS_FAILED, "", "" },
	{ "a record too few", AF_INET, Q "a @12 192.0.2.1 p 6 0002", DNS_FAILED,
	    "", "" },
	{ "a record too many", AF_INET,
	    Q "a @12 192.0.2.1 a @12 192.0.2.2 p 6 0001", DNS_FAILED, "", "" },
	{ "a byte behind", AF_INET, Q "a @12 192.0.2.1 b 00", DNS_FAILED, "",
	    "" },
	{ "counts of 65535", AF_INET, Q "a @12 192.0.2.1 p 6 ffffffffffff",
	    DNS_FAILED, "", "" },
};

/* A failure leaves the caller's answer as it was. */
static void
check_parse(const struct script *s, int family, enum dns_result want,
    struct dns_answer *got, const char *what)
{
	struct dns_answer before;
	enum dns_result r;

	memset(got, 0, sizeof(*got));
	got->naddr = 1;
	got->addr[0].family = AF_INET;
	memcpy(got->addr[0].b, "\x09\x09\x09\x09", 4);
	before = *got;
	r = resolver_answer_parse(s->b, s->n, N, family, got);
	ck_assert_msg(r == want, "%s: %d, not %d", what, (int)r, (int)want);
	if (r == DNS_FAILED || r == DNS_NXDOMAIN) {
		ck_assert_msg(memcmp(&before, got, sizeof(before)) == 0,
		    "%s: wrote", what);
	}
	ck_assert_msg(
	    memcmp(&before.addr[0], &got->addr[0], sizeof(got->addr[0])) == 0,
	    "%s: forgot", what);
	memmove(&got->addr[0], &got->addr[1],
	    (EGRESS_ADDRESSES_MAX - 1) * sizeof(got->addr[0]));
	got->naddr--;
}

START_TEST(table)
{
	const struct row *row = &rows[_i];
	char addrs[4096], chain[EGRESS_CHAIN_MAX * 256];
	struct dns_answer a;
	struct script s;

	build(&s, row->script);
	check_parse(&s, row->family, row->want, &a, row->name);
	text_addrs(&a, addrs, sizeof(addrs));
	text_chain(&a, chain, sizeof(chain));
	ck_assert_msg(strcmp(addrs, row->addrs) == 0, "%s: addresses %s",
	    row->name, addrs);
	ck_assert_msg(
	    strcmp(chain, row->chain) == 0, "%s: chain %s", row->name, chain);
}
END_TEST

/* C4: whatever is cut off, what is left is no answer. */
START_TEST(every_prefix)
{
	struct dns_answer a;
	struct script s;
	uint8_t *copy;
	size_t whole, n;

	build(&s,
	    Q "c @12 cdn@16 a cdn.example.com 192.0.2.1 s r @16 2 1 00 "
	      "s r . 41 1232 -");
	check_parse(&s, AF_INET, DNS_OK, &a, "whole");
	whole = s.n;
	for (n = 0; n < whole; n++) {
		/* Its own allocation: a read behind the end is seen. */
		copy = malloc(n > 0 ? n : 1);
		ck_assert_ptr_nonnull(copy);
		memcpy(copy, s.b, n);
		ck_assert_int_eq(
		    resolver_answer_parse(copy, n, N, AF_INET, &a), DNS_FAILED);
		free(copy);
	}
}
END_TEST

/* Any single wrong byte: no crash, and never an address out of thin air. */
START_TEST(every_byte)
{
	struct dns_answer a;
	struct script s;
	uint8_t was;
	unsigned v;
	size_t i;

	build(&s, Q "c @12 cdn@16 a cdn.example.com 192.0.2.1");
	for (i = 0; i < s.n; i++) {
		was = s.b[i];
		for (v = 0; v < 256; v++) {
			s.b[i] = (uint8_t)v;
			memset(&a, 0, sizeof(a));
			resolver_answer_parse(s.b, s.n, N, AF_INET, &a);
			ck_assert_uint_le(a.naddr, 1);
		}
		s.b[i] = was;
	}
}
END_TEST

static const struct {
	const char *name;
	unsigned own, others; /* addresses, records of other owners */
	enum dns_result want;
} counts[] = { { "64 addresses", EGRESS_ADDRESSES_MAX - 1, 0, DNS_OK },
	{ "65 addresses", EGRESS_ADDRESSES_MAX, 0, DNS_FAILED },
	{ "C4 500 addresses", 500, 0, DNS_FAILED },
	{ "1024 records", 1, 1023, DNS_OK },
	{ "1025 records", 1, 1024, DNS_FAILED },
	{ "C4 no address in 1024", 0, 1024, DNS_EMPTY } };

START_TEST(record_counts)
{
	struct dns_answer a;
	struct script s;
	char text[NETADDR_TEXT_MAX];
	unsigned i;

	build(&s, Q "s");
	s.section = 0;
	for (i = 0; i < counts[_i].others; i++)
		put_addr(&s, "a.example", "192.0.2.66");
	for (i = 0; i < counts[_i].own; i++) {
		snprintf(text, sizeof(text), "198.51.%u.%u", i / 250, i % 250);
		put_addr(&s, "@12", text);
	}
	put_counts(&s);
	check_parse(&s, AF_INET, counts[_i].want, &a, counts[_i].name);
	if (counts[_i].want == DNS_OK)
		ck_assert_uint_eq(a.naddr, counts[_i].own);
}
END_TEST

static const struct {
	const char *name;
	unsigned aliases;
	enum dns_result want;
} chains[] = { { "a chain of 16", EGRESS_CHAIN_MAX, DNS_OK },
	{ "a chain of 17", EGRESS_CHAIN_MAX + 1, DNS_FAILED } };

START_TEST(chain_lengths)
{
	char from[32] = "@12", to[32];
	struct dns_answer a;
	struct script s;
	unsigned i;

	build(&s, Q "s");
	s.section = 0;
	for (i = 0; i < chains[_i].aliases; i++) {
		snprintf(to, sizeof(to), "c%u.example", i);
		put_cname(&s, from, to);
		strlcpy(from, to, sizeof(from));
	}
	put_addr(&s, from, "192.0.2.1");
	put_counts(&s);
	check_parse(&s, AF_INET, chains[_i].want, &a, chains[_i].name);
	if (chains[_i].want == DNS_OK) {
		ck_assert_uint_eq(a.nchain, EGRESS_CHAIN_MAX);
		ck_assert_str_eq(a.chain[0], "c0.example");
		ck_assert_str_eq(a.chain[15], "c15.example");
	}
}
END_TEST

/* C4: as many pointers as fit must cost little, and as much name as fits. */
START_TEST(long_names)
{
	char name[5 * 64 + 1] = "";
	struct dns_answer a;
	struct script s;
	unsigned i;
	size_t first;

	/* 16,000 pointers in a row, each to the one before. */
	build(&s, Q "s");
	s.section = 0;
	put_fixed(&s, "@12", 16, 1);
	first = s.n;
	put16(&s, 0xc00c);
	for (i = 1; s.n < 16000; i++)
		put16(&s, 0xc000 | (unsigned)(s.n - 2));
	put_length(&s, first);
	snprintf(name, sizeof(name), "@%zu", s.n - 2);
	put_addr(&s, name, "192.0.2.1");
	put_counts(&s);
	check_parse(&s, AF_INET, DNS_FAILED, &a, "pointers");

	/* Five labels of 63 are more than 255. */
	name[0] = '\0';
	for (i = 0; i < 5; i++) {
		memset(name + i * 64, 'a', 63);
		name[i * 64 + 63] = i < 4 ? '.' : '\0';
	}
	build(&s, Q "s");
	s.section = 0;
	put_addr(&s, name, "192.0.2.1");
	put_counts(&s);
	check_parse(&s, AF_INET, DNS_FAILED, &a, "long owner");

	/* 255 in all is the most there is. */
	name[3 * 64 + 61] = '\0';
	build(&s, Q "s");
	s.section = 0;
	put_cname(&s, "@12", name);
	put_addr(&s, name, "192.0.2.1");
	put_counts(&s);
	check_parse(&s, AF_INET, DNS_OK, &a, "longest name");
	ck_assert_uint_eq(strlen(a.chain[0]), HOSTNAME_MAX);
	name[3 * 64 + 61] = 'a';
	name[3 * 64 + 62] = '\0';
	build(&s, Q "s");
	s.section = 0;
	put_cname(&s, "@12", name);
	put_counts(&s);
	check_parse(&s, AF_INET, DNS_FAILED, &a, "name of 254");
}
END_TEST

START_TEST(add)
{
	struct dns_answer a, b, before;
	unsigned i;

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	a.naddr = 40;
	b.naddr = 25;
	for (i = 0; i < 40; i++)
		a.addr[i] =
		    (struct netaddr){ AF_INET, { 10, 0, 0, (uint8_t)i } };
	for (i = 0; i < 25; i++)
		b.addr[i] = (struct netaddr){ AF_INET6, { 32, (uint8_t)i } };
	strlcpy(a.chain[a.nchain++], "a.example", sizeof(a.chain[0]));
	strlcpy(b.chain[b.nchain++], "a.example", sizeof(a.chain[0]));
	strlcpy(b.chain[b.nchain++], "b.example", sizeof(a.chain[0]));
	before = a;
	ck_assert_int_eq(resolver_answer_add(&a, &b), -1);
	ck_assert_mem_eq(&a, &before, sizeof(a));
	b.addr[0] = a.addr[7];
	ck_assert_int_eq(resolver_answer_add(&a, &b), 0);
	ck_assert_uint_eq(a.naddr, EGRESS_ADDRESSES_MAX);
	ck_assert_uint_eq(a.nchain, 2);
	ck_assert_str_eq(a.chain[1], "b.example");
	for (i = 0; i < EGRESS_CHAIN_MAX; i++)
		snprintf(b.chain[i], sizeof(b.chain[i]), "c%u.example", i);
	b.nchain = EGRESS_CHAIN_MAX;
	before = a;
	ck_assert_int_eq(resolver_answer_add(&a, &b), -1);
	ck_assert_mem_eq(&a, &before, sizeof(a));
}
END_TEST

#define ROWS(t) ((int)(sizeof(t) / sizeof((t)[0])))

int
main(void)
{
	Suite *suite = suite_create("resolver_answer");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, table, 0, ROWS(rows));
	tcase_add_test(tc, every_prefix);
	tcase_add_test(tc, every_byte);
	tcase_add_loop_test(tc, record_counts, 0, ROWS(counts));
	tcase_add_loop_test(tc, chain_lengths, 0, ROWS(chains));
	tcase_add_test(tc, long_names);
	tcase_add_test(tc, add);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
