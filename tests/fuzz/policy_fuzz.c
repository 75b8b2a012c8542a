/*
 * policy_decide and policy_address against a straight loop over the rules.
 *
 * Input, a line each:
 *	+HOST PORT CIDR...	an allow rule ("-": no host)
 *	!HOST PORT CIDR...	a deny rule
 *	?DEST ADDRESS		a question; the address may be absent
 */

#include <sys/socket.h>

/* A failed check ends the program in every build. */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/egressd.h"

#define INPUT_MAX 2048
#define RULES_MAX 64
#define CIDR_MAX 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct ref_rule {
	bool deny;
	const char *host; /* NULL: cidr alone */
	long port;
	const char *cidr[CIDR_MAX];
	struct netprefix prefix[CIDR_MAX];
	size_t ncidr;
};

struct ref {
	struct ref_rule rules[RULES_MAX];
	size_t n, nallow, ndeny;
	struct policy *policy;
};

/*
 * How well does a rule fit, its port aside? 0: not at all, else the more the
 * more specific.
 */
static unsigned
fits_name(const struct ref_rule *r, const char *name)
{
	static const char *const local[] = { ".localhost", ".internal",
		".local" };
	const char *suffix;
	size_t cut, i, n = strlen(name);

	if (r->host == NULL)
		return 0;
	if (r->host[0] != '*')
		return strcmp(r->host, name) == 0 ? 10000 : 0;
	suffix = r->host + 1;
	if (n <= strlen(suffix))
		return 0;
	cut = n - strlen(suffix);
	if (strcmp(name + cut, suffix) != 0)
		return 0;
	if (!r->deny) {
		if (memchr(name, '_', cut) != NULL)
			return 0;
		for (i = 0; i < 3; i++)
			if (strcmp(strrchr(name, '.'), local[i]) == 0)
				return 0;
	}
	return (unsigned)strlen(suffix);
}

static unsigned
fits_addr(const struct ref_rule *r, const struct netaddr *a)
{
	unsigned best = 0;
	size_t i;

	for (i = 0; r->host == NULL && i < r->ncidr; i++)
		if (netprefix_contains(&r->prefix[i], a) &&
		    r->prefix[i].bits + 1 > best)
			best = r->prefix[i].bits + 1;
	return best;
}

/* The best rule with this port, the first among equals; *named if any fits. */
static const struct ref_rule *
ref_search(const struct ref *ref, bool deny, const char *name,
    const struct netaddr *a, uint16_t port, bool *named)
{
	const struct ref_rule *best = NULL, *r;
	unsigned fit, most = 0;
	size_t i;

	*named = false;
	for (i = 0; i < ref->n; i++) {
		r = &ref->rules[i];
		if (r->deny != deny)
			continue;
		fit = a != NULL ? fits_addr(r, a) : fits_name(r, name);
		if (fit == 0)
			continue;
		*named = true;
		if ((r->port == port || r->port == 0) && fit > most) {
			best = r;
			most = fit;
		}
	}
	return best;
}

/* "profiles.fuzz.allow[3]" is the fourth allow rule. */
static void
check_rule(const struct ref *ref, const struct policy_rule *got,
    const struct ref_rule *want)
{
	char id[EGRESS_RULE_ID_MAX];
	const struct ref_rule *r;
	unsigned index = 0;

	assert((got == NULL) == (want == NULL));
	if (got == NULL)
		return;
	for (r = ref->rules; r < want; r++)
		if (r->deny == want->deny)
			index++;
	snprintf(id, sizeof(id), "profiles.fuzz.%s[%u]",
	    want->deny ? "deny" : "allow", index);
	assert(strcmp(got->id, id) == 0);
	assert(got->deny == want->deny && got->port == want->port);
}

static void
check_address(const struct ref *ref, const struct policy_profile *pr,
    const struct policy_rule *rule, const struct ref_rule *want,
    const struct dest *d, const struct netaddr *a)
{
	const struct ref_rule *wdeny;
	const struct policy_rule *deny;
	enum egress_code code;
	bool named, open = false;
	size_t i;

	code = policy_address(pr, rule, d, a, &deny);
	wdeny = ref_search(ref, true, NULL, a, d->port, &named);
	for (i = 0; i < want->ncidr; i++)
		if (netprefix_contains(&want->prefix[i], a))
			open = true;
	if (proxy_addr_class(a) == ADDR_PROHIBITED) {
		assert(code == CODE_address_prohibited && deny == NULL);
		return;
	}
	check_rule(ref, deny, wdeny);
	if (wdeny != NULL)
		assert(code == CODE_host);
	else if (proxy_addr_class(a) == ADDR_PUBLIC || open)
		assert(code == CODE_ok);
	else
		assert(code == CODE_address_private);
}

static void
ask(const struct ref *ref, char *line)
{
	const struct policy_profile *pr = policy_profile(ref->policy, "fuzz");
	const struct ref_rule *want;
	const struct netaddr *literal;
	struct netaddr a;
	struct verdict v;
	struct dest d;
	char *dest = strsep(&line, " ");
	bool named, ignored;

	if (pr == NULL || dest_parse(dest, strlen(dest), 443, &d) == -1)
		return;
	literal = d.kind == DEST_ADDRESS ? &d.addr : NULL;
	policy_decide(pr, &d, &v);
	want = ref_search(ref, true, d.name, literal, d.port, &ignored);
	if (want != NULL) {
		assert(v.code == CODE_host);
		check_rule(ref, v.rule, want);
		return;
	}
	want = ref_search(ref, false, d.name, literal, d.port, &named);
	check_rule(ref, v.rule, want);
	if (want == NULL) {
		if (named)
			assert(v.code == CODE_port);
		else
			assert(v.code ==
			    (literal == NULL ? CODE_host : CODE_ip_literal));
		return;
	}
	assert(v.code == CODE_ok);
	if (literal != NULL)
		check_address(ref, pr, v.rule, want, &d, literal);
	if (line != NULL && netaddr_parse(line, strlen(line), &a) == 0)
		check_address(ref, pr, v.rule, want, &d, &a);
}

/* What policy_add must refuse, said once more. */
static bool
row_good(const struct msg_rule_row *row)
{
	char name[HOSTNAME_MAX + 1];
	const char *host = row->host;
	struct netprefix p;
	size_t i;

	if (host == NULL && row->cidr.n == 0)
		return false;
	if (row->deny && host != NULL && row->cidr.n > 0)
		return false;
	if (host != NULL && host[0] == '*')
		host = host[1] == '.' ? host + 2 : "";
	if (host != NULL &&
	    (hostname_canon(host, strlen(host), name) == -1 ||
	        strcmp(host, name) != 0))
		return false;
	for (i = 0; i < row->cidr.n; i++)
		if (netprefix_parse(
		        row->cidr.v[i], strlen(row->cidr.v[i]), &p) == -1)
			return false;
	return row->port <= 65535 && row->port >= (row->deny ? 0 : 1);
}

/* False when the row was refused: the table is not whole. */
static bool
add(struct ref *ref, bool deny, char *line)
{
	struct ref_rule *r = &ref->rules[ref->n];
	struct msg_rule_row row = { .profile = "fuzz", .deny = deny };
	char *port, *word;
	size_t i;

	if (ref->n == RULES_MAX)
		return true;
	memset(r, 0, sizeof(*r));
	r->deny = deny;
	r->host = strsep(&line, " ");
	if (strcmp(r->host, "-") == 0)
		r->host = NULL;
	port = strsep(&line, " ");
	r->port = port == NULL ? 443 : strtol(port, NULL, 10);
	while (r->ncidr < CIDR_MAX && (word = strsep(&line, " ")) != NULL)
		r->cidr[r->ncidr++] = word;
	row.index = (int64_t)(deny ? ref->ndeny : ref->nallow);
	row.host = r->host;
	row.port = r->port;
	row.cidr.v = r->cidr;
	row.cidr.n = r->ncidr;
	if (policy_add(ref->policy, &row) == -1) {
		assert(!row_good(&row));
		return false;
	}
	assert(row_good(&row));
	for (i = 0; i < r->ncidr; i++)
		assert(netprefix_parse(
		           r->cidr[i], strlen(r->cidr[i]), &r->prefix[i]) == 0);
	ref->n++;
	if (deny)
		ref->ndeny++;
	else
		ref->nallow++;
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ref ref;
	char text[INPUT_MAX + 1], *line, *rest = text;
	bool whole = true;

	if (size > INPUT_MAX || (size > 0 && memchr(data, '\0', size) != NULL))
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	memset(&ref, 0, sizeof(ref));
	ref.policy = policy_new(1);
	if (ref.policy == NULL)
		return 0;
	while (whole && (line = strsep(&rest, "\n")) != NULL) {
		if (line[0] == '+' || line[0] == '!')
			whole = add(&ref, line[0] == '!', line + 1);
		else if (line[0] == '?')
			ask(&ref, line + 1);
	}
	policy_free(&ref.policy);
	return 0;
}
