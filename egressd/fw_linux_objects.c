/* The table, its chains and its sets as libnftnl's objects. */

#include <errno.h>
#include <string.h>

#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>

#include "egressd/fw_linux.h"

#define PRIORITY (-10) /* before "filter", where Docker's chains are */

/* nft(8)'s numbers of its types, by which it knows how to print a key. */
#define TYPE_IPV4_ADDR 7
#define TYPE_INET_SERVICE 13
#define TYPE_IFNAME 41
#define TYPE_BITS 6 /* of one in a concatenation */
#define TYPE_PERMITTED                                              \
	((TYPE_IFNAME << TYPE_BITS | TYPE_IPV4_ADDR) << TYPE_BITS | \
	    TYPE_INET_SERVICE)

#define BYTEORDER_HOST 1 /* nft(8)'s number, too */

/* --- chains and sets -------------------------------------------------- */

/* In the order in which the rules refer to them. */
static const struct {
	const char *name;
	int hook; /* -1: reached by goto alone */
} chains[FW_CHAINS] = {
	{ FW_CHAIN_CLOSED, -1 },
	{ "run_input", -1 },
	{ FW_CHAIN_OUTPUT, -1 },
	{ FW_CHAIN_PREROUTING, NF_INET_PRE_ROUTING },
	{ "input", NF_INET_LOCAL_IN },
	{ FW_CHAIN_FORWARD, NF_INET_FORWARD },
	{ "output", NF_INET_LOCAL_OUT },
};

static struct nftnl_chain *
chain_make(const struct fw_base *b, const char *name, int hook)
{
	struct nftnl_chain *c = nftnl_chain_alloc();

	if (c == NULL)
		return NULL;
	nftnl_chain_set_u32(c, NFTNL_CHAIN_FAMILY, NFPROTO_INET);
	if (nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, b->table) == -1 ||
	    nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, name) == -1)
		goto fail;
	if (hook == -1)
		return c;
	nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, (uint32_t)hook);
	nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, PRIORITY);
	nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	if (nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, "filter") == -1)
		goto fail;
	return c;
fail:
	nftnl_chain_free(c);
	return NULL;
}

static const struct {
	const char *name;
	uint32_t type;
	uint32_t key_len;
	bool counter;
} sets[FW_SETS] = {
	[FW_SET_PERMITTED] = { "permitted", TYPE_PERMITTED,
	    sizeof(struct fw_key), false },
	[FW_SET_RUNS] = { "runs", TYPE_IFNAME, FW_INTERFACE_SIZE, true },
};

const char *
fw_set_name(enum fw_set set)
{
	return sets[set].name;
}

size_t
fw_set_key_len(enum fw_set set)
{
	return sets[set].key_len;
}

/* Its name and table, which is all that a message about elements says. */
static struct nftnl_set *
set_name(enum fw_set which, const struct fw_base *b)
{
	struct nftnl_set *s = nftnl_set_alloc();

	if (s == NULL)
		return NULL;
	nftnl_set_set_u32(s, NFTNL_SET_FAMILY, NFPROTO_INET);
	nftnl_set_set_u32(s, NFTNL_SET_ID, (uint32_t)which + 1);
	if (nftnl_set_set_str(s, NFTNL_SET_TABLE, b->table) == -1 ||
	    nftnl_set_set_str(s, NFTNL_SET_NAME, sets[which].name) == -1) {
		nftnl_set_free(s);
		return NULL;
	}
	return s;
}

/* For nft(8), which else takes a name for a number and prints it as "". */
static int
set_note(struct nftnl_set *s)
{
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
	int r = -1;

	if (u == NULL)
		return -1;
	if (nftnl_udata_put_u32(
	        u, NFTNL_UDATA_SET_KEYBYTEORDER, BYTEORDER_HOST) &&
	    nftnl_set_set_data(s, NFTNL_SET_USERDATA, nftnl_udata_buf_data(u),
	        nftnl_udata_buf_len(u)) == 0)
		r = 0;
	nftnl_udata_buf_free(u);
	return r;
}

static struct nftnl_set *
set_make(enum fw_set which, const struct fw_base *b)
{
	struct nftnl_set *s = set_name(which, b);
	struct nftnl_expr *e;

	if (s == NULL)
		return NULL;
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, 0);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, sets[which].type);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, sets[which].key_len);
	if (!sets[which].counter)
		return s;
	if (set_note(s) == -1 || (e = nftnl_expr_alloc("counter")) == NULL) {
		nftnl_set_free(s);
		return NULL;
	}
	nftnl_set_add_expr(s, e);
	return s;
}

void
fw_key_set(
    struct fw_key *key, const struct fw_base *b, const struct fw_run *run)
{
	uint16_t port = htons(b->port);

	memset(key, 0, sizeof(*key));
	strlcpy(key->interface, run->interface, sizeof(key->interface));
	memcpy(key->address, run->address.b, sizeof(key->address));
	memcpy(key->port, &port, sizeof(port));
}

struct nftnl_set *
fw_element_make(
    enum fw_set which, const struct fw_base *b, const struct fw_run *run)
{
	struct nftnl_set *s = set_name(which, b);
	struct nftnl_set_elem *e;
	struct fw_key key;

	errno = ENOMEM;
	if (s == NULL)
		return NULL;
	fw_key_set(&key, b, run);
	if ((e = nftnl_set_elem_alloc()) == NULL) {
		nftnl_set_free(s);
		return NULL;
	}
	nftnl_set_elem_add(s, e);
	if (nftnl_set_elem_set(
	        e, NFTNL_SET_ELEM_KEY, &key, sets[which].key_len) == -1) {
		nftnl_set_free(s);
		return NULL;
	}
	return s;
}

/* --- all of it -------------------------------------------------------- */

static int
make_frame(struct fw_objects *o, const struct fw_base *b)
{
	size_t i;

	if ((o->table = nftnl_table_alloc()) == NULL ||
	    nftnl_table_set_str(o->table, NFTNL_TABLE_NAME, b->table) == -1)
		return -1;
	nftnl_table_set_u32(o->table, NFTNL_TABLE_FAMILY, NFPROTO_INET);
	for (i = 0; i < FW_SETS; i++) {
		if ((o->set[i] = set_make((enum fw_set)i, b)) == NULL)
			return -1;
	}
	for (i = 0; i < FW_CHAINS; i++) {
		o->chain[i] = chain_make(b, chains[i].name, chains[i].hook);
		if (o->chain[i] == NULL)
			return -1;
	}
	return 0;
}

int
fw_objects_make(struct fw_objects *o, const struct fw_base *b)
{
	struct fw_maker m = { .o = o, .b = b };

	memset(o, 0, sizeof(*o));
	if (make_frame(o, b) == 0) {
		fw_rules_make(&m);
		if (!m.failed)
			return 0;
	}
	errno = ENOMEM;
	return -1;
}

void
fw_objects_free(struct fw_objects *o)
{
	size_t i;

	for (i = 0; i < o->nrules; i++)
		nftnl_rule_free(o->rule[i]);
	for (i = 0; i < FW_CHAINS && o->chain[i] != NULL; i++)
		nftnl_chain_free(o->chain[i]);
	for (i = 0; i < FW_SETS && o->set[i] != NULL; i++)
		nftnl_set_free(o->set[i]);
	if (o->table != NULL)
		nftnl_table_free(o->table);
	memset(o, 0, sizeof(*o));
}
