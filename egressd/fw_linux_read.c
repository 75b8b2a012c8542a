/* Reading back: what is there is compared with what is wanted, as lines. */

#include <errno.h>
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

#define FW_LOOK_TRIES 16 /* while others change rules of theirs */

/* Where the answers go. */
struct look {
	const struct fw_base *base;
	struct fw_lines *got;
	struct fw_runs *runs;
	struct fw_counts counts;
	enum fw_set set; /* whose elements come now */
	char chain[NFT_NAME_MAXLEN]; /* of the last rule */
	size_t index; /* of the next rule of that chain */
};

/* --- the kernel's answers --------------------------------------------- */

static bool
ours(const struct look *k, const char *table)
{
	return table != NULL && strcmp(table, k->base->table) == 0;
}

static int
on_table(const struct nlmsghdr *nlh, void *arg)
{
	struct nftnl_table *t = nftnl_table_alloc();
	struct look *k = arg;
	int r = -1;

	if (t != NULL && nftnl_table_nlmsg_parse(nlh, t) == 0)
		r = ours(k, nftnl_table_get_str(t, NFTNL_TABLE_NAME))
		    ? fw_lines_add_table(k->got, t)
		    : 0;
	if (t != NULL)
		nftnl_table_free(t);
	return r;
}

static int
on_chain(const struct nlmsghdr *nlh, void *arg)
{
	struct nftnl_chain *c = nftnl_chain_alloc();
	struct look *k = arg;
	int r = -1;

	if (c != NULL && nftnl_chain_nlmsg_parse(nlh, c) == 0)
		r = ours(k, nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE))
		    ? fw_lines_add_chain(k->got, c)
		    : 0;
	if (c != NULL)
		nftnl_chain_free(c);
	return r;
}

static int
on_set(const struct nlmsghdr *nlh, void *arg)
{
	struct nftnl_set *s = nftnl_set_alloc();
	struct look *k = arg;
	int r = -1;

	if (s != NULL && nftnl_set_nlmsg_parse(nlh, s) == 0)
		r = ours(k, nftnl_set_get_str(s, NFTNL_SET_TABLE))
		    ? fw_lines_add_set(k->got, s)
		    : 0;
	if (s != NULL)
		nftnl_set_free(s);
	return r;
}

static void
count_rule(struct look *k, uint64_t packets)
{
	if (strcmp(k->chain, FW_CHAIN_CLOSED) == 0)
		k->counts.closed += packets;
	else if (strcmp(k->chain, FW_CHAIN_PREROUTING) == 0 ||
	    strcmp(k->chain, FW_CHAIN_FORWARD) == 0)
		k->counts.forward += packets;
	else if (strcmp(k->chain, FW_CHAIN_OUTPUT) == 0 &&
	    k->index != FW_RULE_ANSWERS)
		k->counts.output += packets;
}

/* The rules of a chain come together and in their order. */
static int
on_rule(const struct nlmsghdr *nlh, void *arg)
{
	struct nftnl_rule *rule = nftnl_rule_alloc();
	struct look *k = arg;
	uint64_t packets = 0;
	const char *chain;
	int r = -1;

	if (rule == NULL || nftnl_rule_nlmsg_parse(nlh, rule) == -1)
		goto out;
	r = 0;
	chain = nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN);
	if (!ours(k, nftnl_rule_get_str(rule, NFTNL_RULE_TABLE)) ||
	    chain == NULL)
		goto out;
	if (strcmp(chain, k->chain) != 0) {
		strlcpy(k->chain, chain, sizeof(k->chain));
		k->index = 0;
	}
	r = fw_lines_add_rule(k->got, rule, k->index, &packets);
	count_rule(k, packets);
	k->index++;
out:
	if (rule != NULL)
		nftnl_rule_free(rule);
	return r;
}

static int
on_element(struct nftnl_set_elem *e, void *arg)
{
	struct fw_text t = { "", 0 };
	struct fw_key key;
	struct look *k = arg;
	struct fw_run *run;
	const void *bytes;
	uint32_t flags, len = 0;

	memset(&key, 0, sizeof(key));
	bytes = nftnl_set_elem_get(e, NFTNL_SET_ELEM_KEY, &len);
	if (bytes != NULL)
		memcpy(&key, bytes, len < sizeof(key) ? len : sizeof(key));
	flags = nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_FLAGS)
	    ? nftnl_set_elem_get_u32(e, NFTNL_SET_ELEM_FLAGS)
	    : 0;
	if (k->set == FW_SET_RUNS &&
	    key.interface[FW_INTERFACE_SIZE - 1] == '\0' &&
	    (run = fw_runs_find_interface(k->runs, key.interface)) != NULL) {
		(void)nftnl_set_elem_expr_foreach(e, fw_expr_text, &t);
		run->refused = t.packets;
	}
	return fw_lines_add_element(k->got, k->set, &key, len, flags);
}

static int
on_elements(const struct nlmsghdr *nlh, void *arg)
{
	struct nftnl_set *s = nftnl_set_alloc();
	int r = -1;

	if (s != NULL && nftnl_set_elems_nlmsg_parse(nlh, s) == 0)
		r = nftnl_set_elem_foreach(s, on_element, arg);
	if (s != NULL)
		nftnl_set_free(s);
	return r;
}

/* --- looking ---------------------------------------------------------- */

/* What is not there is seen as lines that are missing. */
static int
ask(struct fw_nft *nft, uint16_t type, const char *set,
    int (*cb)(const struct nlmsghdr *, void *), struct look *k)
{
	if (fw_nft_dump(nft, type, set, cb, k) == 0 || errno == ENOENT)
		return 0;
	return -1;
}

static int
read_all(struct fw_nft *nft, struct look *k)
{
	int i;

	if (ask(nft, NFT_MSG_GETTABLE, NULL, on_table, k) == -1 ||
	    ask(nft, NFT_MSG_GETSET, NULL, on_set, k) == -1 ||
	    ask(nft, NFT_MSG_GETCHAIN, NULL, on_chain, k) == -1 ||
	    ask(nft, NFT_MSG_GETRULE, NULL, on_rule, k) == -1)
		return -1;
	for (i = 0; i < FW_SETS; i++) {
		k->set = (enum fw_set)i;
		if (ask(nft, NFT_MSG_GETSETELEM, fw_set_name(k->set),
		        on_elements, k) == -1)
			return -1;
	}
	return 0;
}

/* The lines of the rules, and those of the elements of the runs. */
static struct fw_lines *
want_with(const struct fw_nft *nft, const struct fw_runs *runs)
{
	struct fw_lines *l = calloc(1, sizeof(*l));
	struct fw_key key;
	size_t i;
	int s;

	for (i = 0; l != NULL && i < nft->want->n; i++) {
		if (fw_lines_add(l, "%s", nft->want->v[i]) == -1)
			fw_lines_free(&l);
	}
	for (i = 0; l != NULL && i < runs->n * FW_SETS; i++) {
		s = (int)(i % FW_SETS);
		fw_key_set(&key, nft->base, &runs->run[i / FW_SETS]);
		if (fw_lines_add_element(l, (enum fw_set)s, &key,
		        fw_set_key_len((enum fw_set)s), 0) == -1)
			fw_lines_free(&l);
	}
	return l;
}

static enum fw_look
look_once(struct fw_nft *nft, struct look *k, char detail[FW_DETAIL_MAX + 1])
{
	struct fw_lines *want = NULL;
	enum fw_look r = FW_LOOK_FAILED;
	const char *line, *what;
	int saved;
	size_t n;

	if ((k->got = calloc(1, sizeof(*k->got))) == NULL ||
	    read_all(nft, k) == -1)
		goto out;
	if ((want = want_with(nft, k->runs)) == NULL) {
		errno = ENOMEM;
		goto out;
	}
	fw_lines_sort(want);
	fw_lines_sort(k->got);
	r = FW_LOOK_WANTED;
	if ((line = fw_lines_difference(want, k->got, &what)) != NULL) {
		n = (size_t)snprintf(detail, FW_DETAIL_MAX + 1, "%s: ", what);
		log_escape(
		    detail + n, FW_DETAIL_MAX + 1 - n, line, strlen(line));
		r = FW_LOOK_DIFFERS;
	}
out:
	saved = errno;
	fw_lines_free(&k->got);
	fw_lines_free(&want);
	errno = saved;
	return r;
}

enum fw_look
fw_nft_look(struct fw_nft *nft, struct fw_runs *runs, struct fw_counts *counts,
    char detail[FW_DETAIL_MAX + 1])
{
	enum fw_look r = FW_LOOK_FAILED;
	struct look k;
	int i;

	for (i = 0; i < FW_LOOK_TRIES; i++) {
		memset(&k, 0, sizeof(k));
		k.base = nft->base;
		k.runs = runs;
		r = look_once(nft, &k, detail);
		if (r != FW_LOOK_FAILED) {
			*counts = k.counts;
			break;
		}
		if (errno != EINTR)
			break;
	}
	return r;
}
