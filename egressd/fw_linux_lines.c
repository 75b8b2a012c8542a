/*
 * A table written down as lines, one a table, set, chain, rule and element,
 * which say all that matters of it. Handles, counters' values and comments are
 * left out: they change nothing.
 */

#include <arpa/inet.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>

#include "libcommon/log.h"

#include "egressd/fw_linux.h"

#define FW_EXPR_MAX 512

/* --- lines ------------------------------------------------------------ */

int
fw_lines_add(struct fw_lines *l, const char *fmt, ...)
{
	char line[FW_LINE_MAX];
	va_list ap;

	if (l->n == FW_LINES_MAX)
		return 0;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if ((l->v[l->n] = strdup(line)) == NULL)
		return -1;
	l->n++;
	return 0;
}

static int
compare(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

void
fw_lines_sort(struct fw_lines *l)
{
	qsort(l->v, l->n, sizeof(l->v[0]), compare);
}

void
fw_lines_free(struct fw_lines **lp)
{
	struct fw_lines *l = *lp;

	*lp = NULL;
	while (l != NULL && l->n > 0)
		free(l->v[--l->n]);
	free(l);
}

/* The first line of the one that the other lacks; NULL: they are the same. */
const char *
fw_lines_difference(
    const struct fw_lines *want, const struct fw_lines *got, const char **what)
{
	size_t i;
	int r;

	for (i = 0; i < want->n || i < got->n; i++) {
		if (i == want->n)
			r = 1;
		else if (i == got->n)
			r = -1;
		else
			r = strcmp(want->v[i], got->v[i]);
		if (r == 0)
			continue;
		*what = r < 0 ? "missing" : "not ours";
		return r < 0 ? want->v[i] : got->v[i];
	}
	return NULL;
}

/* --- expressions ------------------------------------------------------ */

/*
 * The library's words for an expression; they leave out how long the data is
 * that something is compared with, and "bh-" and "bh-\0" look the same.
 */
int
fw_expr_text(struct nftnl_expr *e, void *arg)
{
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_NAME);
	struct fw_text *t = arg;
	char buf[FW_EXPR_MAX], more[32] = "";
	uint32_t len = 0;
	int n;

	if (strcmp(name, "counter") == 0) {
		t->packets += nftnl_expr_get_u64(e, NFTNL_EXPR_CTR_PACKETS);
		strlcat(t->buf, " [ counter ]", sizeof(t->buf));
		return 0;
	}
	n = nftnl_expr_snprintf(buf, sizeof(buf), e, NFTNL_OUTPUT_DEFAULT, 0);
	if (n < 0 || (size_t)n >= sizeof(buf))
		strlcpy(buf, "(too long)", sizeof(buf));
	if (strcmp(name, "cmp") == 0) {
		(void)nftnl_expr_get(e, NFTNL_EXPR_CMP_DATA, &len);
		snprintf(more, sizeof(more), "len %u ", len);
	} else if (strcmp(name, "bitwise") == 0) {
		len = nftnl_expr_get_u32(e, NFTNL_EXPR_BITWISE_LEN);
		snprintf(more, sizeof(more), "len %u ", len);
	}
	strlcat(t->buf, " [ ", sizeof(t->buf));
	strlcat(t->buf, name, sizeof(t->buf));
	strlcat(t->buf, " ", sizeof(t->buf));
	strlcat(t->buf, buf, sizeof(t->buf));
	strlcat(t->buf, more, sizeof(t->buf));
	strlcat(t->buf, "]", sizeof(t->buf));
	return 0;
}

/* --- objects as lines ------------------------------------------------- */

int
fw_lines_add_table(struct fw_lines *l, const struct nftnl_table *t)
{
	/* "dormant" would be one: a table that does nothing */
	return fw_lines_add(
	    l, "table, flags %u", nftnl_table_get_u32(t, NFTNL_TABLE_FLAGS));
}

int
fw_lines_add_chain(struct fw_lines *l, const struct nftnl_chain *c)
{
	const char *name = nftnl_chain_get_str(c, NFTNL_CHAIN_NAME);
	uint32_t flags = nftnl_chain_get_u32(c, NFTNL_CHAIN_FLAGS);

	/* It says by itself that it has a hook; some kernels also say this. */
	flags &= ~(uint32_t)NFT_CHAIN_BASE;
	if (!nftnl_chain_is_set(c, NFTNL_CHAIN_HOOKNUM))
		return fw_lines_add(l, "chain %s, flags %u", name, flags);
	return fw_lines_add(l,
	    "chain %s, flags %u, type %s, hook %u, priority %d, "
	    "policy %u",
	    name, flags, nftnl_chain_get_str(c, NFTNL_CHAIN_TYPE),
	    nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM),
	    nftnl_chain_get_s32(c, NFTNL_CHAIN_PRIO),
	    nftnl_chain_get_u32(c, NFTNL_CHAIN_POLICY));
}

int
fw_lines_add_rule(
    struct fw_lines *l, struct nftnl_rule *r, size_t index, uint64_t *packets)
{
	struct fw_text t = { "", 0 };

	if (nftnl_expr_foreach(r, fw_expr_text, &t) == -1)
		return -1;
	if (packets != NULL)
		*packets = t.packets;
	return fw_lines_add(l, "rule %s %zu:%s",
	    nftnl_rule_get_str(r, NFTNL_RULE_CHAIN), index, t.buf);
}

int
fw_lines_add_set(struct fw_lines *l, const struct nftnl_set *s)
{
	struct fw_text t = { "", 0 };
	uint32_t flags = nftnl_set_get_u32(s, NFTNL_SET_FLAGS);

	/* It says by itself that it has one; some kernels also say this. */
	flags &= ~(uint32_t)NFT_SET_EXPR;
	if (nftnl_set_expr_foreach(s, fw_expr_text, &t) == -1)
		return -1;
	return fw_lines_add(l, "set %s, flags %u, key type %u, length %u:%s",
	    nftnl_set_get_str(s, NFTNL_SET_NAME), flags,
	    nftnl_set_get_u32(s, NFTNL_SET_KEY_TYPE),
	    nftnl_set_get_u32(s, NFTNL_SET_KEY_LEN), t.buf);
}

/* All bytes of the key, those that no key of ours has among them. */
int
fw_lines_add_element(struct fw_lines *l, enum fw_set set,
    const struct fw_key *key, size_t len, uint32_t flags)
{
	char name[4 * FW_INTERFACE_SIZE + 1], addr[INET_ADDRSTRLEN];
	size_t n = FW_INTERFACE_SIZE;

	while (n > 0 && key->interface[n - 1] == '\0')
		n--;
	log_escape(name, sizeof(name), key->interface, n);
	if (set == FW_SET_RUNS)
		return fw_lines_add(l, "element %s %s, length %zu, flags %u",
		    fw_set_name(set), name, len, flags);
	if (inet_ntop(AF_INET, key->address, addr, sizeof(addr)) == NULL)
		return -1;
	return fw_lines_add(l,
	    "element %s %s . %s . %u, %02x%02x, length %zu, flags %u",
	    fw_set_name(set), name, addr,
	    (unsigned)key->port[0] << 8 | key->port[1], key->port[2],
	    key->port[3], len, flags);
}

struct fw_lines *
fw_lines_wanted(const struct fw_objects *o)
{
	struct fw_lines *l = calloc(1, sizeof(*l));
	const char *chain, *last = "";
	size_t i, index = 0;

	if (l == NULL || fw_lines_add_table(l, o->table) == -1)
		goto fail;
	for (i = 0; i < FW_SETS; i++) {
		if (fw_lines_add_set(l, o->set[i]) == -1)
			goto fail;
	}
	for (i = 0; i < FW_CHAINS; i++) {
		if (fw_lines_add_chain(l, o->chain[i]) == -1)
			goto fail;
	}
	for (i = 0; i < o->nrules; i++) {
		chain = nftnl_rule_get_str(o->rule[i], NFTNL_RULE_CHAIN);
		index = strcmp(chain, last) == 0 ? index + 1 : 0;
		last = chain;
		if (fw_lines_add_rule(l, o->rule[i], index, NULL) == -1)
			goto fail;
	}
	return l;
fail:
	fw_lines_free(&l);
	errno = ENOMEM;
	return NULL;
}
