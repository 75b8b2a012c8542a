/*
 * Decisions: may this destination be reached, and at this address?
 *
 * Every rule hangs under each of its keys: its host (exact, or what lies
 * below it), or its prefixes when it has no host. A decision looks up the few
 * keys that can match a destination, from the most specific to the least, so
 * that its cost does not grow with the number of rules. A key keeps its rules
 * in the order of the configuration.
 */

#include <sys/queue.h>
#include <sys/socket.h>

#include <stdlib.h>
#include <string.h>

#include "egressd/egressd.h"

#define KEY_BUCKETS 1024 /* of one profile's hash table */
#define LABELS_MAX ((HOSTNAME_MAX + 1) / 2)

struct rule_ref {
	STAILQ_ENTRY(rule_ref) next;
	struct policy_rule *rule;
};
STAILQ_HEAD(rule_refs, rule_ref);

/* A host ("" for a prefix), or a prefix (zero for a host). */
struct policy_key {
	const char *host;
	bool wildcard;
	struct netprefix prefix;
};

struct policy_node {
	LIST_ENTRY(policy_node) next;
	struct policy_key key;
	struct rule_refs allow, deny;
};

struct rule_item {
	STAILQ_ENTRY(rule_item) next;
	struct policy_rule rule;
};

struct policy_profile {
	TAILQ_ENTRY(policy_profile) next;
	char name[EGRESS_NAME_MAX + 1];
	size_t nrules;
	STAILQ_HEAD(, rule_item) rules; /* owns them; nodes refer to them */
	LIST_HEAD(, policy_node) nodes[KEY_BUCKETS];
	/* Labels of wildcard suffixes and lengths of prefixes in use. */
	bool labels[LABELS_MAX + 1], bits4[32 + 1], bits6[128 + 1];
};

struct policy {
	int64_t generation;
	size_t nprofiles;
	TAILQ_HEAD(profiles, policy_profile) profiles;
};

/* FNV-1a over the key. Keys come from the configuration, not from clients. */
static size_t
key_bucket(const struct policy_key *key)
{
	uint32_t h = 2166136261u;
	const char *s;
	size_t i;

	for (s = key->host; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	h = (h ^ (key->wildcard ? 1 : 0)) * 16777619u;
	h = (h ^ key->prefix.bits) * 16777619u;
	for (i = 0; i < sizeof(key->prefix.addr.b); i++)
		h = (h ^ key->prefix.addr.b[i]) * 16777619u;
	return h % KEY_BUCKETS;
}

static bool
key_equal(const struct policy_key *a, const struct policy_key *b)
{
	return a->wildcard == b->wildcard && a->prefix.bits == b->prefix.bits &&
	    netaddr_equal(&a->prefix.addr, &b->prefix.addr) &&
	    strcmp(a->host, b->host) == 0;
}

static struct policy_node *
node_find(const struct policy_profile *pr, const struct policy_key *key)
{
	struct policy_node *node;

	LIST_FOREACH(node, &pr->nodes[key_bucket(key)], next)
		if (key_equal(&node->key, key))
			return node;
	return NULL;
}

/* --- building --------------------------------------------------------- */

struct policy *
policy_new(int64_t generation)
{
	struct policy *p;

	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	p->generation = generation;
	TAILQ_INIT(&p->profiles);
	return p;
}

static void
refs_free(struct rule_refs *refs)
{
	struct rule_ref *ref;

	while ((ref = STAILQ_FIRST(refs)) != NULL) {
		STAILQ_REMOVE_HEAD(refs, next);
		free(ref);
	}
}

static void
profile_free(struct policy_profile *pr)
{
	struct policy_node *node;
	struct rule_item *item;
	size_t i;

	for (i = 0; i < KEY_BUCKETS; i++)
		while ((node = LIST_FIRST(&pr->nodes[i])) != NULL) {
			LIST_REMOVE(node, next);
			refs_free(&node->allow);
			refs_free(&node->deny);
			free(node);
		}
	while ((item = STAILQ_FIRST(&pr->rules)) != NULL) {
		STAILQ_REMOVE_HEAD(&pr->rules, next);
		free(item->rule.cidr);
		free(item);
	}
	free(pr);
}

void
policy_free(struct policy **p)
{
	struct policy_profile *pr;

	if (*p == NULL)
		return;
	while ((pr = TAILQ_FIRST(&(*p)->profiles)) != NULL) {
		TAILQ_REMOVE(&(*p)->profiles, pr, next);
		profile_free(pr);
	}
	free(*p);
	*p = NULL;
}

/* Rows come profile by profile, so the newest is looked at first. */
static struct policy_profile *
profile_find(const struct policy *p, const char *name)
{
	struct policy_profile *pr;

	TAILQ_FOREACH_REVERSE(pr, &p->profiles, profiles, next)
		if (strcmp(pr->name, name) == 0)
			return pr;
	return NULL;
}

static struct policy_profile *
profile_make(struct policy *p, const char *name)
{
	struct policy_profile *pr;
	size_t i;

	pr = profile_find(p, name);
	if (pr != NULL)
		return pr;
	if (p->nprofiles == EGRESS_PROFILES_MAX)
		return NULL;
	pr = calloc(1, sizeof(*pr));
	if (pr == NULL)
		return NULL;
	strlcpy(pr->name, name, sizeof(pr->name));
	STAILQ_INIT(&pr->rules);
	for (i = 0; i < KEY_BUCKETS; i++)
		LIST_INIT(&pr->nodes[i]);
	TAILQ_INSERT_TAIL(&p->profiles, pr, next);
	p->nprofiles++;
	return pr;
}

static int
profile_index(struct policy_profile *pr, const struct policy_key *key,
    struct policy_rule *rule)
{
	struct policy_node *node;
	struct rule_ref *ref;

	node = node_find(pr, key);
	if (node == NULL) {
		node = calloc(1, sizeof(*node));
		if (node == NULL)
			return -1;
		node->key = *key;
		STAILQ_INIT(&node->allow);
		STAILQ_INIT(&node->deny);
		LIST_INSERT_HEAD(&pr->nodes[key_bucket(key)], node, next);
	}
	ref = calloc(1, sizeof(*ref));
	if (ref == NULL)
		return -1;
	ref->rule = rule;
	if (rule->deny)
		STAILQ_INSERT_TAIL(&node->deny, ref, next);
	else
		STAILQ_INSERT_TAIL(&node->allow, ref, next);
	return 0;
}

/* Hang the rule under its keys. */
static int
profile_index_rule(struct policy_profile *pr, struct policy_rule *rule)
{
	struct policy_key key;
	size_t i;

	memset(&key, 0, sizeof(key));
	if (rule->host[0] != '\0') {
		key.host = rule->host;
		key.wildcard = rule->wildcard;
		if (key.wildcard)
			pr->labels[hostname_labels(key.host)] = true;
		return profile_index(pr, &key, rule);
	}
	key.host = "";
	for (i = 0; i < rule->ncidr; i++) {
		key.prefix = rule->cidr[i];
		if (profile_index(pr, &key, rule) == -1)
			return -1;
		if (key.prefix.addr.family == AF_INET)
			pr->bits4[key.prefix.bits] = true;
		else
			pr->bits6[key.prefix.bits] = true;
	}
	return 0;
}

int
policy_add(struct policy *p, const struct msg_rule_row *row)
{
	struct policy_profile *pr;
	struct rule_item *item;

	if (row->profile == NULL || row->profile[0] == '\0' ||
	    strlen(row->profile) > EGRESS_NAME_MAX)
		return -1;
	if (row->empty && (row->host != NULL || row->cidr.n != 0))
		return -1;
	pr = profile_make(p, row->profile);
	if (pr == NULL)
		return -1;
	if (row->empty)
		return 0;
	if (pr->nrules == EGRESS_RULES_MAX)
		return -1;
	item = calloc(1, sizeof(*item));
	if (item == NULL)
		return -1;
	if (policy_rule_set(&item->rule, row) == -1) {
		free(item->rule.cidr);
		free(item);
		return -1;
	}
	STAILQ_INSERT_TAIL(&pr->rules, item, next);
	pr->nrules++;
	return profile_index_rule(pr, &item->rule);
}

int64_t
policy_generation(const struct policy *p)
{
	return p->generation;
}

const struct policy_profile *
policy_profile(const struct policy *p, const char *name)
{
	return profile_find(p, name);
}

/* --- deciding --------------------------------------------------------- */

/* One question to the rules of a profile, and what came of it. */
struct search {
	const struct policy_profile *pr;
	bool deny;
	uint16_t port;
	bool named; /* a rule fits but for its port */
};

/* The first rule under key that covers the port. */
static const struct policy_rule *
search_key(struct search *s, const struct policy_key *key)
{
	const struct policy_node *node;
	const struct rule_refs *refs;
	const struct rule_ref *ref;

	node = node_find(s->pr, key);
	if (node == NULL)
		return NULL;
	refs = s->deny ? &node->deny : &node->allow;
	STAILQ_FOREACH(ref, refs, next) {
		if (ref->rule->port == s->port || ref->rule->port == 0)
			return ref->rule;
		s->named = true;
	}
	return NULL;
}

/*
 * Names that mean something else on each network or machine are no part of
 * anybody's domain: only an exact rule opens them. (A single-label name lies
 * below nothing.)
 */
static bool
name_is_local(const char *name)
{
	const char *top = hostname_tail(name, 1);

	return strcmp(top, "localhost") == 0 || strcmp(top, "internal") == 0 ||
	    strcmp(top, "local") == 0;
}

/*
 * An exact rule before wildcards, a longer suffix before a shorter. To allow,
 * the star stands for no label with an underscore: these are service names,
 * not hosts. To deny, it stands for everything.
 */
static const struct policy_rule *
search_name(struct search *s, const char *name)
{
	const struct policy_rule *rule;
	struct policy_key key;
	const char *dot, *label;
	unsigned labels = hostname_labels(name);

	memset(&key, 0, sizeof(key));
	key.host = name;
	rule = search_key(s, &key);
	if (rule != NULL || (!s->deny && name_is_local(name)))
		return rule;
	key.wildcard = true;
	for (label = name; (dot = strchr(label, '.')) != NULL;
	     label = dot + 1) {
		if (!s->deny &&
		    memchr(label, '_', (size_t)(dot - label)) != NULL)
			return NULL;
		if (!s->pr->labels[--labels])
			continue;
		key.host = dot + 1;
		rule = search_key(s, &key);
		if (rule != NULL)
			return rule;
	}
	return NULL;
}

/* A longer prefix before a shorter. */
static const struct policy_rule *
search_addr(struct search *s, const struct netaddr *a)
{
	const struct policy_rule *rule;
	struct policy_key key;
	bool v4 = a->family == AF_INET;
	const bool *used = v4 ? s->pr->bits4 : s->pr->bits6;
	unsigned bits;

	memset(&key, 0, sizeof(key));
	key.host = "";
	for (bits = (v4 ? 32 : 128) + 1; bits-- > 0;) {
		if (!used[bits])
			continue;
		netprefix_of(a, bits, &key.prefix);
		rule = search_key(s, &key);
		if (rule != NULL)
			return rule;
	}
	return NULL;
}

static const struct policy_rule *
search_dest(struct search *s, const struct dest *d)
{
	if (d->kind == DEST_ADDRESS)
		return search_addr(s, &d->addr);
	return search_name(s, d->name);
}

void
policy_decide(
    const struct policy_profile *pr, const struct dest *d, struct verdict *v)
{
	struct search allow = { .pr = pr, .port = d->port };
	struct search deny = { .pr = pr, .port = d->port, .deny = true };

	v->code = d->kind == DEST_ADDRESS ? CODE_ip_literal : CODE_host;
	v->rule = NULL;
	if (pr == NULL)
		return;
	v->rule = search_dest(&deny, d);
	if (v->rule != NULL) {
		v->code = CODE_host;
		return;
	}
	v->rule = search_dest(&allow, d);
	if (v->rule != NULL)
		v->code = CODE_ok;
	else if (allow.named)
		v->code = CODE_port;
}

enum egress_code
policy_address(const struct policy_profile *pr, const struct policy_rule *rule,
    const struct dest *d, const struct netaddr *a,
    const struct policy_rule **deny)
{
	struct search s = { .pr = pr, .port = d->port, .deny = true };
	enum addr_class class = proxy_addr_class(a);
	size_t i;

	*deny = NULL;
	if (class == ADDR_PROHIBITED)
		return CODE_address_prohibited;
	if (pr == NULL || rule == NULL)
		return CODE_host;
	*deny = search_addr(&s, a);
	if (*deny != NULL)
		return CODE_host;
	if (class == ADDR_PUBLIC)
		return CODE_ok;
	for (i = 0; i < rule->ncidr; i++)
		if (netprefix_contains(&rule->cidr[i], a))
			return CODE_ok;
	return CODE_address_private;
}
