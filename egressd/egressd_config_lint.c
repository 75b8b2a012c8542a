#include <stdio.h>
#include <string.h>

#include "egressd/egressd_config.h"

/* --- what covers what ------------------------------------------------- */

/* Does every name that b stands for fall under a? */
static bool
host_covers(const char *a, const char *b)
{
	bool below = b[0] == '*';

	if (strcmp(a, b) == 0)
		return true;
	if (a[0] != '*')
		return false;
	return hostname_below(below ? b + 2 : b, a + 2);
}

/* Is every prefix of b within one of a? */
static bool
cidr_covers(const struct egress_rule *a, const struct egress_rule *b)
{
	size_t i, k;

	for (i = 0; i < b->ncidr; i++) {
		for (k = 0; k < a->ncidr; k++) {
			if (netprefix_covers(&a->cidr[k], &b->cidr[i]))
				break;
		}
		if (k == a->ncidr)
			return false;
	}
	return true;
}

static bool
port_covers(const struct egress_rule *a, const struct egress_rule *b)
{
	return a->port == 0 || a->port == b->port;
}

/* Does a deny rule leave nothing of an allow rule? */
static bool
denies_whole(const struct egress_rule *deny, const struct egress_rule *allow)
{
	if (!port_covers(deny, allow))
		return false;
	if (deny->host != NULL)
		return allow->host != NULL &&
		    host_covers(deny->host, allow->host);
	return allow->host == NULL && cidr_covers(deny, allow);
}

/* Is every prefix of b one of a? */
static bool
cidr_repeats(const struct egress_rule *a, const struct egress_rule *b)
{
	size_t i, k;

	for (i = 0; i < b->ncidr; i++) {
		for (k = 0; k < a->ncidr; k++) {
			if (a->cidr[k].bits == b->cidr[i].bits &&
			    netprefix_covers(&a->cidr[k], &b->cidr[i]))
				break;
		}
		if (k == a->ncidr)
			return false;
	}
	return true;
}

/*
 * Does an earlier rule of the same list leave a later one nothing to do? One
 * that is only wider does not: an exact host wins over a wildcard, and a
 * longer suffix or prefix over a shorter.
 */
static bool
shadows(const struct egress_rule *earlier, const struct egress_rule *later)
{
	if (earlier->deny != later->deny || !port_covers(earlier, later))
		return false;
	if (earlier->host != NULL)
		return later->host != NULL &&
		    strcmp(earlier->host, later->host) == 0;
	return later->host == NULL && cidr_repeats(earlier, later);
}

/* --- what is said about it -------------------------------------------- */

static void
warn_rule(struct conf *c, const struct egress_profile *p,
    const struct egress_rule *r, const char *what,
    const struct egress_rule *because)
{
	struct json_node at = { .line = r->line };
	char path[EGRESS_RULE_ID_MAX];

	snprintf(path, sizeof(path), "profiles.%s.%s[%u]", p->name,
	    r->deny ? "deny" : "allow", r->index);
	conf_warning(c, &at, path, "%s %s[%u] (line %u)", what,
	    because->deny ? "deny" : "allow", because->index, because->line);
}

static void
lint_rule(
    struct conf *c, const struct egress_profile *p, const struct egress_rule *r)
{
	const struct egress_rule *end = p->rules + p->nrules, *o;

	for (o = p->rules; o != end && !r->deny; o++) {
		if (o->deny && denies_whole(o, r)) {
			warn_rule(c, p, r,
			    "can never match: all of it is denied by", o);
			break;
		}
	}
	for (o = p->rules; o != r; o++) {
		if (shadows(o, r)) {
			warn_rule(c, p, r, "is never used: all of it is in", o);
			break;
		}
	}
}

static void
lint_prefixes(
    struct conf *c, const struct egress_profile *p, const struct egress_rule *r)
{
	struct json_node at = { .line = r->line };
	char path[EGRESS_RULE_ID_MAX];
	char inner[NETADDR_PREFIX_TEXT_MAX], outer[NETADDR_PREFIX_TEXT_MAX];
	size_t i, k;

	snprintf(path, sizeof(path), "profiles.%s.%s[%u].cidr", p->name,
	    r->deny ? "deny" : "allow", r->index);
	for (i = 0; i < r->ncidr; i++) {
		for (k = 0; k < r->ncidr; k++) {
			/* Of two equal ones the second is too many. */
			if (k == i ||
			    !netprefix_covers(&r->cidr[k], &r->cidr[i]) ||
			    (k > i && r->cidr[k].bits == r->cidr[i].bits))
				continue;
			conf_warning(c, &at, path, "%s is already in %s",
			    netprefix_text(&r->cidr[i], inner),
			    netprefix_text(&r->cidr[k], outer));
			break;
		}
	}
}

static bool
allows_nothing(const struct egress_profile *p)
{
	return p->nrules == 0 || p->rules[0].deny;
}

static void
lint_profiles(struct egress_config *c, const struct json_node *root)
{
	const struct json_node *list = json_member(root, "profiles");
	const struct egress_profile *p;
	char path[CONF_PATH_MAX];
	size_t i, k;

	if (c->nprofiles == 0)
		conf_warning(c->conf, list != NULL ? list : root, "profiles",
		    "there is none: everything is denied");
	for (k = 0; k < c->nprofiles; k++) {
		p = &c->profiles[k];
		if (allows_nothing(p))
			conf_warning(c->conf, json_member(list, p->name),
			    conf_path_key(path, "profiles", p->name),
			    "has no allow rule: it denies everything");
		for (i = 0; i < p->nrules; i++) {
			lint_rule(c->conf, p, &p->rules[i]);
			lint_prefixes(c->conf, p, &p->rules[i]);
		}
	}
}

static void
lint_listeners(struct egress_config *c, const struct json_node *root)
{
	const struct json_node *list = json_member(root, "listeners");
	const struct json_node *n = list != NULL ? list->child : NULL;
	const struct egress_profile *p;
	char path[CONF_PATH_MAX];
	size_t i;

	for (i = 0; n != NULL && i < c->nlisteners; n = n->next, i++) {
		p = egress_profile_find(c, c->listeners[i].profile);
		if (p != NULL && allows_nothing(p))
			conf_warning(c->conf, n,
			    conf_path_index(path, "listeners", i),
			    "answers every request with a denial: profile "
			    "\"%s\" has no allow rule",
			    p->name);
	}
}

void
egress_config_lint(struct egress_config *c)
{
	const struct json_node *root = conf_root(c->conf);

	lint_profiles(c, root);
	lint_listeners(c, root);
}
