#include <ctype.h>
#include <idn2.h>
#include <libpsl.h>
#include <stdio.h>
#include <string.h>

#include "egressd/egressd_config.h"

#define HOST_TEXT_MAX 1024 /* bytes of a host as written, U-labels and all */

/* The list is data like a table, but lives in a file of the system. */
static const psl_ctx_t *suffixes;

void
egress_suffixes_load(void)
{
	if (suffixes == NULL)
		suffixes = psl_latest(NULL);
	if (suffixes == NULL)
		suffixes = psl_builtin();
}

/* --- what the text as written shows ----------------------------------- */

/*
 * Code points that a reader does not see, or sees as a blank, so that two
 * rules look alike and are not. Sorted.
 */
static const struct {
	uint32_t first, last;
} unseen[] = {
	{ 0x0080, 0x00a0 },
	{ 0x00ad, 0x00ad }, /* soft hyphen */
	{ 0x034f, 0x034f },
	{ 0x061c, 0x061c },
	{ 0x115f, 0x1160 },
	{ 0x1680, 0x1680 },
	{ 0x17b4, 0x17b5 },
	{ 0x180b, 0x180f },
	{ 0x2000, 0x200f }, /* zero width space, joiners, direction marks */
	{ 0x2028, 0x202f }, /* embeddings, overrides */
	{ 0x205f, 0x206f }, /* isolates */
	{ 0x3000, 0x3000 },
	{ 0x3164, 0x3164 },
	{ 0xfe00, 0xfe0f },
	{ 0xfeff, 0xfeff },
	{ 0xffa0, 0xffa0 },
	{ 0xfff0, 0xfffb },
	{ 0x1bca0, 0x1bca3 },
	{ 0x1d173, 0x1d17a },
	{ 0xe0000, 0xe0fff },
};

/* The code point at s, which moves behind it. Bad UTF-8 gives U+FFFD. */
static uint32_t
next_code_point(const char **s)
{
	const unsigned char *p = (const unsigned char *)*s;
	uint32_t cp = p[0];
	unsigned more, i;

	more = cp >= 0xf0 ? 3 : cp >= 0xe0 ? 2 : cp >= 0x80 ? 1 : 0;
	if (more > 0)
		cp &= 0x3fU >> more;
	for (i = 1; i <= more; i++) {
		if (p[0] < 0xc0 || (p[i] & 0xc0) != 0x80) {
			(*s)++;
			return 0xfffd;
		}
		cp = cp << 6 | (p[i] & 0x3f);
	}
	*s += more + 1;
	return cp;
}

/* The first unseen code point of s, 0 when there is none. */
static uint32_t
find_unseen(const char *s)
{
	uint32_t cp;
	size_t i;

	while (*s != '\0') {
		cp = next_code_point(&s);
		for (i = 0; i < sizeof(unseen) / sizeof(unseen[0]); i++) {
			if (cp >= unseen[i].first && cp <= unseen[i].last)
				return cp;
		}
		if (cp <= 0x20 || cp == 0x7f)
			return cp;
	}
	return 0;
}

static bool
is_address(const char *s)
{
	const char *slash = strchr(s, '/');
	struct netaddr a;
	uint16_t port;

	if (slash != NULL)
		return netaddr_parse(s, (size_t)(slash - s), &a) == 0;
	return s[0] == '[' || netaddr_parse(s, strlen(s), &a) == 0 ||
	    netaddr_parse_port(s, strlen(s), 1, &a, &port) == 0;
}

/* What is wrong with the text, or NULL. */
static const char *
text_fault(const char *s)
{
	if (s[0] == '\0')
		return "is empty; allowed: a host name, or *.DOMAIN";
	if (strlen(s) > HOST_TEXT_MAX)
		return "is too long; allowed: a host name of 253 bytes";
	if (is_address(s))
		return "is an address; allowed: a host name here, use cidr "
		       "for addresses";
	if (strstr(s, "://") != NULL)
		return "holds a scheme; allowed: a host name without scheme";
	if (strpbrk(s, "/?#\\") != NULL)
		return "holds a path; allowed: a host name without path";
	if (strchr(s, '@') != NULL)
		return "holds a user; allowed: a host name without user";
	if (strchr(s, ':') != NULL)
		return "holds a port; allowed: a host name without port, "
		       "which has its own key";
	return NULL;
}

static const char *
wildcard_fault(const char *s)
{
	if (strchr(s, '*') == NULL)
		return NULL;
	if (strcmp(s, "*") == 0 || strcmp(s, "*.") == 0)
		return "would open every host; allowed: a host name, or "
		       "*.DOMAIN";
	if (strrchr(s, '*') != s)
		return "has a wildcard behind its start; allowed: *.DOMAIN";
	if (s[1] != '.')
		return "has a wildcard for a part of a label; allowed: a dot "
		       "behind it, *.DOMAIN";
	return NULL;
}

/* --- the name itself -------------------------------------------------- */

/* A browser reads such a name as an IPv4 address in disguise. */
static bool
ends_in_number(const char *name)
{
	const char *end = name + strlen(name), *last;

	if (end > name && end[-1] == '.')
		end--;
	for (last = end; last > name && last[-1] != '.'; last--)
		;
	if (last == end)
		return false;
	if (end - last >= 2 && last[0] == '0' && last[1] == 'x')
		return strspn(last + 2, "0123456789abcdef") ==
		    (size_t)(end - last - 2);
	return strspn(last, "0123456789") == (size_t)(end - last);
}

static bool
has_edge_hyphen(const char *name)
{
	size_t len = strlen(name);

	return name[0] == '-' || strstr(name, ".-") != NULL ||
	    strstr(name, "-.") != NULL || (len > 0 && name[len - 1] == '-');
}

/*
 * U-labels become A-labels, A-labels are proved by the way back. No mapping
 * (UTS 46) comes first: a name that needs one has not been written as it is.
 */
static int
canonical(const char *s, char out[HOSTNAME_MAX + 1], char *why, size_t whylen)
{
	char folded[HOST_TEXT_MAX + 1];
	uint8_t *ascii = NULL;
	size_t i;
	int r;

	for (i = 0; s[i] != '\0' && i < HOST_TEXT_MAX; i++)
		folded[i] =
		    s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 32) : s[i];
	folded[i] = '\0';
	if (ends_in_number(folded)) {
		snprintf(why, whylen,
		    "ends in a number as an address does; "
		    "allowed: a host name here, use cidr for addresses");
		return -1;
	}
	r = idn2_lookup_u8(
	    (const uint8_t *)folded, &ascii, IDN2_NO_TR46 | IDN2_NFC_INPUT);
	if (r != IDN2_OK) {
		snprintf(why, whylen,
		    "is no name in IDNA2008 (%s); allowed: "
		    "lower-case U-labels or valid A-labels (xn--)",
		    idn2_strerror(r));
		return -1;
	}
	r = has_edge_hyphen(folded) ? -1
	                            : hostname_canon((const char *)ascii,
	                                  strlen((const char *)ascii), out);
	idn2_free(ascii);
	if (r == -1)
		snprintf(why, whylen,
		    "is no host name; allowed: labels of 1 "
		    "to 63 letters, digits, underscores and inner hyphens, "
		    "253 bytes in all");
	return r;
}

/* May a wildcard stand in front of this name? */
static int
check_wildcard(const char *base, char *why, size_t whylen)
{
	static const char *const never[] = { "localhost", "internal", "local" };
	size_t i;

	for (i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		if (strcmp(base, never[i]) == 0 ||
		    hostname_below(base, never[i])) {
			snprintf(why, whylen,
			    "can never match: no wildcard "
			    "does below \"%s\"; allowed: each host by name",
			    never[i]);
			return -1;
		}
	}
	if (suffixes == NULL) {
		snprintf(why, whylen,
		    "cannot be judged: there is no public "
		    "suffix list on this machine; allowed: each host by name");
		return -1;
	}
	if (hostname_labels(base) < 2 ||
	    psl_is_public_suffix2(
	        suffixes, base, PSL_TYPE_ICANN | PSL_TYPE_NO_STAR_RULE)) {
		snprintf(why, whylen,
		    "would open every domain of a public "
		    "suffix; allowed: *.DOMAIN below one registered domain");
		return -1;
	}
	/* One byte and a dot must still fit in front. */
	if (strlen(base) > HOSTNAME_MAX - 2) {
		snprintf(why, whylen,
		    "can never match: no name below it is "
		    "short enough; allowed: *.DOMAIN of 253 bytes");
		return -1;
	}
	return 0;
}

int
egress_rule_host(
    const char *s, char out[EGRESS_WILDCARD_MAX + 1], char *why, size_t whylen)
{
	char name[HOSTNAME_MAX + 1];
	const char *fault;
	uint32_t cp;
	bool wildcard;

	cp = find_unseen(s);
	if (cp != 0) {
		snprintf(why, whylen,
		    "holds U+%04X, a blank or invisible "
		    "character; allowed: a host name, or *.DOMAIN",
		    cp);
		return -1;
	}
	fault = text_fault(s);
	if (fault == NULL)
		fault = wildcard_fault(s);
	if (fault != NULL) {
		snprintf(why, whylen, "%s", fault);
		return -1;
	}
	wildcard = s[0] == '*';
	if (canonical(wildcard ? s + 2 : s, name, why, whylen) == -1)
		return -1;
	if (wildcard && check_wildcard(name, why, whylen) == -1)
		return -1;
	snprintf(
	    out, EGRESS_WILDCARD_MAX + 1, "%s%s", wildcard ? "*." : "", name);
	return 0;
}
