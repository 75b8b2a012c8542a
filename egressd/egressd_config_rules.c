#include <stdlib.h>
#include <string.h>

#include "libcommon/mem.h"

#include "egressd/egressd_config.h"

#define DEFAULT_PORT 443
#define WHY_MAX 256

/* A rule while it is read: the words and numbers that have another type. */
struct rule_reader {
	struct egress_rule rule;
	int64_t port;
	int sni, proto, ech; /* -1: not given */
};

enum {
	SNI_MATCH,
	SNI_OPTIONAL
};
enum {
	PROTO_TLS,
	PROTO_ANY
};
enum {
	ECH_REFUSE,
	ECH_ALLOW
};

static const char *const sni_words[] = { "match", "optional", NULL };
static const char *const proto_words[] = { "tls", "any", NULL };
static const char *const ech_words[] = { "refuse", "allow", NULL };

static void
parse_host(struct conf *, const struct json_node *, const char *, void *);
static void
parse_cidr(struct conf *, const struct json_node *, const char *, void *);
static void
parse_http(struct conf *, const struct json_node *, const char *, void *);
static void
check_list(struct conf *, const struct json_node *, const char *, void *);

#define AT(member) offsetof(struct rule_reader, member)
const struct conf_key egress_keys_rule[] = {
	{ .name = "host", .type = CONF_CALL, .parse = parse_host },
	{ .name = "cidr", .type = CONF_CALL, .parse = parse_cidr },
	{ .name = "port",
	    .type = CONF_INT,
	    .off = AT(port),
	    .min = 1,
	    .max = 65535 },
	{ .name = "sni",
	    .type = CONF_ENUM,
	    .off = AT(sni),
	    .words = sni_words },
	{ .name = "proto",
	    .type = CONF_ENUM,
	    .off = AT(proto),
	    .words = proto_words },
	{ .name = "ech",
	    .type = CONF_ENUM,
	    .off = AT(ech),
	    .words = ech_words },
	{ .name = "bytes_up",
	    .type = CONF_SIZE,
	    .off = AT(rule.bytes_up),
	    .min = 1,
	    .max = INT64_MAX },
	{ .name = "bytes_down",
	    .type = CONF_SIZE,
	    .off = AT(rule.bytes_down),
	    .min = 1,
	    .max = INT64_MAX },
	{ .name = "http", .type = CONF_CALL, .parse = parse_http },
	{ .name = NULL },
};
#undef AT

const struct conf_key egress_keys_profile[] = {
	{ .name = "allow", .type = CONF_CALL, .parse = check_list },
	{ .name = "deny", .type = CONF_CALL, .parse = check_list },
	{ .name = NULL },
};

/* --- the keys of a rule ----------------------------------------------- */

static void
parse_host(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	struct rule_reader *r = place;
	char host[EGRESS_WILDCARD_MAX + 1], why[WHY_MAX];

	if (!conf_expect(c, n, path, JSON_STRING, "a host name, or *.DOMAIN"))
		return;
	if (egress_rule_host(n->str, host, why, sizeof(why)) == -1)
		conf_error(c, n, path, "\"%.100s\" %s", n->str, why);
	else
		r->rule.host = conf_keep(c, host);
}

/* Plain HTTP comes later; to say that it is off is no mistake. */
static void
parse_http(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	(void)place;
	if (conf_expect(c, n, path, JSON_BOOL, "false") && n->num != 0)
		conf_error(
		    c, n, path, "true is not in this version; allowed: false");
}

/* Clear the bits of p behind its length. */
static void
clear_host_bits(struct netprefix *p)
{
	unsigned i, left;

	for (i = 0; i < sizeof(p->addr.b); i++) {
		left = p->bits > 8 * i ? p->bits - 8 * i : 0;
		if (left < 8)
			p->addr.b[i] &= (uint8_t)(0xff00U >> left);
	}
}

/* Is s a prefix but for host bits? Then p is the one that was meant. */
static bool
has_host_bits(const char *s, struct netprefix *p)
{
	const char *slash = strchr(s, '/'), *errstr;

	if (slash == NULL ||
	    netaddr_parse(s, (size_t)(slash - s), &p->addr) == -1)
		return false;
	p->bits = (unsigned)strtonum(
	    slash + 1, 0, p->addr.family == AF_INET ? 32 : 128, &errstr);
	if (errstr != NULL)
		return false;
	clear_host_bits(p);
	return true;
}

static void
add_cidr(struct conf *c, const struct json_node *n, const char *path,
    struct egress_rule *r)
{
	char text[NETADDR_PREFIX_TEXT_MAX];
	struct netprefix p;

	if (!conf_expect(c, n, path, JSON_STRING, "ADDRESS or ADDRESS/BITS"))
		return;
	if (netprefix_parse(n->str, n->len, &p) == -1) {
		if (has_host_bits(n->str, &p))
			conf_error(c, n, path,
			    "\"%.100s\" has host bits set; allowed: %s", n->str,
			    netprefix_text(&p, text));
		else
			conf_error(c, n, path,
			    "\"%.100s\" is no prefix; "
			    "allowed: ADDRESS or ADDRESS/BITS",
			    n->str);
		return;
	}
	if (!proxy_addr_prefix_useful(&p)) {
		if (r->deny)
			conf_warning(c, n, path,
			    "%.100s can never match: it is "
			    "prohibited whatever the rules",
			    n->str);
		else
			conf_error(c, n, path,
			    "%.100s: no rule can open it; "
			    "allowed: public addresses, RFC 1918, "
			    "100.64.0.0/10 and fc00::/7",
			    n->str);
	}
	if (r->ncidr < EGRESS_CIDR_MAX)
		r->cidr[r->ncidr++] = p;
}

static void
parse_cidr(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	struct rule_reader *r = place;
	const struct json_node *child;
	char buf[CONF_PATH_MAX];
	size_t i = 0;

	if (n->type == JSON_STRING) {
		add_cidr(c, n, path, &r->rule);
		return;
	}
	if (!conf_expect(c, n, path, JSON_ARRAY,
	        "a prefix, or a list of 1 to 64 prefixes"))
		return;
	if (n->len == 0 || n->len > EGRESS_CIDR_MAX)
		conf_error(c, n, path,
		    "has %zu entries; allowed: 1 to %d prefixes", n->len,
		    EGRESS_CIDR_MAX);
	for (child = n->child; child != NULL; child = child->next, i++)
		add_cidr(c, child, conf_path_index(buf, path, i), &r->rule);
}

/* --- a rule ----------------------------------------------------------- */

/* Keys that are right alone and wrong together. */
static void
check_combination(struct conf *c, const struct json_node *n, const char *path,
    const struct rule_reader *r)
{
	static const char *const allow_only[] = { "sni", "proto", "ech",
		"bytes_up", "bytes_down", NULL };
	bool host = json_member(n, "host") != NULL;
	bool cidr = json_member(n, "cidr") != NULL;
	const struct json_node *key;
	char buf[CONF_PATH_MAX];
	size_t i;

	if (!host && !cidr)
		conf_error(
		    c, n, path, "names no destination; allowed: host or cidr");
	if (r->rule.deny && host && cidr)
		conf_error(c, n, path,
		    "denies host and cidr at once; allowed: a rule for each");
	for (i = 0; r->rule.deny && allow_only[i] != NULL; i++) {
		key = json_member(n, allow_only[i]);
		if (key != NULL)
			conf_error(c, key,
			    conf_path_key(buf, path, allow_only[i]),
			    "means nothing in a deny rule; allowed: host or "
			    "cidr, and port");
	}
	for (i = 0; r->proto == PROTO_ANY && i < 3; i += 2) {
		key = json_member(n, allow_only[i]); /* sni, ech */
		if (key != NULL)
			conf_error(c, key,
			    conf_path_key(buf, path, allow_only[i]),
			    "cannot be checked with proto \"any\"; allowed: "
			    "without it, or proto \"tls\"");
	}
}

/* A name's cidr opens private addresses: one without any opens nothing. */
static void
check_opens(struct conf *c, const struct json_node *n, const char *path,
    const struct egress_rule *r)
{
	static const struct netprefix closed[] = {
		{ { AF_INET, { 10 } }, 8 },
		{ { AF_INET, { 172, 16 } }, 12 },
		{ { AF_INET, { 192, 168 } }, 16 },
		{ { AF_INET, { 100, 64 } }, 10 },
		{ { AF_INET6, { 0xfc } }, 7 },
	};
	const struct netprefix *p;
	char text[NETADDR_PREFIX_TEXT_MAX], buf[CONF_PATH_MAX];
	size_t i, k;

	for (i = 0; r->host != NULL && !r->deny && i < r->ncidr; i++) {
		p = &r->cidr[i];
		for (k = 0; k < sizeof(closed) / sizeof(closed[0]); k++) {
			if (netprefix_covers(p, &closed[k]) ||
			    netprefix_covers(&closed[k], p))
				break;
		}
		if (k == sizeof(closed) / sizeof(closed[0]) &&
		    proxy_addr_prefix_useful(p))
			conf_warning(c, n, conf_path_key(buf, path, "cidr"),
			    "%s opens nothing: it holds no private address, "
			    "and public ones need no cidr beside a host",
			    netprefix_text(p, text));
	}
}

static void
read_rule(struct conf *c, const struct json_node *n, const char *path,
    bool deny, unsigned index, struct egress_rule *rule)
{
	struct rule_reader r = {
		.rule = { .deny = deny, .index = index, .line = n->line },
		.port = deny ? 0 : DEFAULT_PORT,
		.sni = -1,
		.proto = -1,
		.ech = -1
	};

	conf_read(c, n, path, egress_keys_rule, &r);
	if (n->type == JSON_OBJECT) {
		check_combination(c, n, path, &r);
		check_opens(c, n, path, &r.rule);
	}
	r.rule.port = (uint16_t)r.port;
	r.rule.sni_optional = r.sni == SNI_OPTIONAL;
	r.rule.proto_any = r.proto == PROTO_ANY;
	r.rule.ech_allow = r.ech == ECH_ALLOW;
	*rule = r.rule;
}

/* --- profiles --------------------------------------------------------- */

/* The rules are read behind the table, allow first whatever the order. */
static void
check_list(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	(void)place;
	(void)conf_expect(c, n, path, JSON_ARRAY, "a list of rules");
}

static void
read_rules(struct conf *c, const struct json_node *list, const char *path,
    bool deny, struct egress_profile *p)
{
	const struct json_node *n;
	char buf[CONF_PATH_MAX];
	unsigned i = 0;

	for (n = list->child; n != NULL; n = n->next, i++) {
		if (p->nrules == EGRESS_RULES_MAX) {
			conf_error(c, n, path,
			    "is one rule too many; allowed: %d in a profile",
			    EGRESS_RULES_MAX);
			return;
		}
		read_rule(c, n, conf_path_index(buf, path, i), deny, i,
		    &p->rules[p->nrules++]);
	}
}

static void
read_profile(struct conf *c, const struct json_node *n, const char *path,
    struct egress_profile *p)
{
	const struct json_node *allow, *deny;
	char buf[CONF_PATH_MAX];
	size_t count = 0;

	p->name = n->key;
	if (!egress_name_valid(n->key))
		conf_error(c, n, path,
		    "is no profile's name; allowed: 1 to "
		    "%d letters, digits, \".\", \"_\", \"-\"",
		    EGRESS_NAME_MAX);
	conf_read(c, n, path, egress_keys_profile, p);
	if (n->type != JSON_OBJECT)
		return;
	allow = json_member(n, "allow");
	if (allow != NULL && allow->type != JSON_ARRAY)
		allow = NULL;
	deny = json_member(n, "deny");
	if (deny != NULL && deny->type != JSON_ARRAY)
		deny = NULL;
	count =
	    (allow != NULL ? allow->len : 0) + (deny != NULL ? deny->len : 0);
	if (count > EGRESS_RULES_MAX)
		count = EGRESS_RULES_MAX;
	p->rules = xcalloc(count + 1, sizeof(*p->rules));
	if (allow != NULL)
		read_rules(
		    c, allow, conf_path_key(buf, path, "allow"), false, p);
	if (deny != NULL)
		read_rules(c, deny, conf_path_key(buf, path, "deny"), true, p);
}

void
egress_parse_profiles(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	struct egress_config *cfg = place;
	const struct json_node *child;
	char buf[CONF_PATH_MAX];

	if (!conf_expect(c, n, path, JSON_OBJECT, "an object of profiles"))
		return;
	if (n->len > EGRESS_PROFILES_MAX) {
		conf_error(c, n, path, "has %zu entries; allowed: %d", n->len,
		    EGRESS_PROFILES_MAX);
		return;
	}
	cfg->profiles = xcalloc(n->len + 1, sizeof(*cfg->profiles));
	for (child = n->child; child != NULL; child = child->next)
		read_profile(c, child, conf_path_key(buf, path, child->key),
		    &cfg->profiles[cfg->nprofiles++]);
}

const struct egress_profile *
egress_profile_find(const struct egress_config *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->nprofiles; i++) {
		if (strcmp(c->profiles[i].name, name) == 0)
			return &c->profiles[i];
	}
	return NULL;
}
