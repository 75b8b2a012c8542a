/* Rules from expressions, in the words of nft(8) as far as they go. */

#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>

#include <linux/rtnetlink.h>

#include <stdio.h> /* libnftnl/expr.h needs it */
#include <string.h>

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>

#include "egressd/fw_linux.h"

#define FLAGS_OFFSET 13 /* of the TCP header's flags */

/* --- expressions ------------------------------------------------------ */

/* NULL without memory, which is kept in mind; the setters below take it. */
static struct nftnl_expr *
expr(struct fw_maker *m, const char *name)
{
	struct nftnl_expr *e = nftnl_expr_alloc(name);

	if (e == NULL || m->rule == NULL) {
		m->failed = true;
		if (e != NULL)
			nftnl_expr_free(e);
		return NULL;
	}
	nftnl_rule_add_expr(m->rule, e);
	return e;
}

static void
set_u32(struct nftnl_expr *e, uint16_t attr, uint32_t v)
{
	if (e != NULL)
		nftnl_expr_set_u32(e, attr, v);
}

static void
set_data(struct fw_maker *m, struct nftnl_expr *e, uint16_t attr,
    const void *data, size_t len)
{
	if (e != NULL && nftnl_expr_set(e, attr, data, (uint32_t)len) == -1)
		m->failed = true;
}

static void
set_str(struct fw_maker *m, struct nftnl_expr *e, uint16_t attr, const char *s)
{
	if (e != NULL && nftnl_expr_set_str(e, attr, s) == -1)
		m->failed = true;
}

void
fw_expr_meta(struct fw_maker *m, enum nft_meta_keys key)
{
	struct nftnl_expr *e = expr(m, "meta");

	set_u32(e, NFTNL_EXPR_META_KEY, key);
	set_u32(e, NFTNL_EXPR_META_DREG, NFT_REG_1);
}

void
fw_expr_payload(struct fw_maker *m, enum nft_payload_bases base, size_t offset,
    size_t len, uint32_t reg)
{
	struct nftnl_expr *e = expr(m, "payload");

	set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, reg);
	set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
	set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, (uint32_t)offset);
	set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, (uint32_t)len);
}

static void
mask(struct fw_maker *m, const uint8_t *bits, size_t len)
{
	static const uint8_t zero[16];
	struct nftnl_expr *e = expr(m, "bitwise");

	set_u32(e, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
	set_u32(e, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
	set_u32(e, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
	set_u32(e, NFTNL_EXPR_BITWISE_LEN, (uint32_t)len);
	set_data(m, e, NFTNL_EXPR_BITWISE_MASK, bits, len);
	set_data(m, e, NFTNL_EXPR_BITWISE_XOR, zero, len);
}

static void
cmp(struct fw_maker *m, enum nft_cmp_ops op, const void *data, size_t len)
{
	struct nftnl_expr *e = expr(m, "cmp");

	set_u32(e, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	set_u32(e, NFTNL_EXPR_CMP_OP, op);
	set_data(m, e, NFTNL_EXPR_CMP_DATA, data, len);
}

void
fw_expr_cmp_u8(struct fw_maker *m, enum nft_cmp_ops op, uint8_t v)
{
	cmp(m, op, &v, sizeof(v));
}

/* In the machine's own order, as the kernel has what is not of a packet. */
void
fw_expr_cmp_u32(struct fw_maker *m, enum nft_cmp_ops op, uint32_t v)
{
	cmp(m, op, &v, sizeof(v));
}

void
fw_expr_cmp_port(struct fw_maker *m, enum nft_cmp_ops op, unsigned port)
{
	uint16_t v = htons((uint16_t)port);

	cmp(m, op, &v, sizeof(v));
}

void
fw_expr_lookup(struct fw_maker *m, enum fw_set set)
{
	struct nftnl_expr *e = expr(m, "lookup");

	set_u32(e, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
	set_str(m, e, NFTNL_EXPR_LOOKUP_SET, fw_set_name(set));
	set_u32(e, NFTNL_EXPR_LOOKUP_FLAGS, 0);
}

void
fw_expr_counter(struct fw_maker *m)
{
	(void)expr(m, "counter");
}

void
fw_expr_verdict(struct fw_maker *m, int what, const char *chain)
{
	struct nftnl_expr *e = expr(m, "immediate");

	set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)what);
	if (chain != NULL)
		set_str(m, e, NFTNL_EXPR_IMM_CHAIN, chain);
}

void
fw_expr_reject_reset(struct fw_maker *m)
{
	struct nftnl_expr *e = expr(m, "reject");

	set_u32(e, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_TCP_RST);
}

void
fw_expr_reject_prohibited(struct fw_maker *m)
{
	struct nftnl_expr *e = expr(m, "reject");

	set_u32(e, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
	if (e != NULL)
		nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE,
		    NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
}

/* --- matches ---------------------------------------------------------- */

/* An interface of a run, or (NFT_CMP_NEQ) none. */
void
fw_match_prefix(struct fw_maker *m, enum nft_meta_keys key, enum nft_cmp_ops op)
{
	fw_expr_meta(m, key);
	cmp(m, op, m->b->prefix, strlen(m->b->prefix));
}

void
fw_match_proto(struct fw_maker *m, enum nft_cmp_ops op, uint8_t proto)
{
	fw_expr_meta(m, NFT_META_L4PROTO);
	fw_expr_cmp_u8(m, op, proto);
}

void
fw_match_daddr(
    struct fw_maker *m, int family, const uint8_t *addr, unsigned bits)
{
	size_t len = family == AF_INET ? 4 : 16;
	uint8_t netmask[16] = { 0 };
	unsigned i;

	fw_expr_meta(m, NFT_META_NFPROTO);
	fw_expr_cmp_u8(
	    m, NFT_CMP_EQ, family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6);
	fw_expr_payload(m, NFT_PAYLOAD_NETWORK_HEADER,
	    family == AF_INET ? offsetof(struct iphdr, daddr)
	                      : offsetof(struct ip6_hdr, ip6_dst),
	    len, NFT_REG_1);
	for (i = 0; i < bits; i++)
		netmask[i / 8] |= (uint8_t)(0x80 >> i % 8);
	if (bits < 8 * len)
		mask(m, netmask, len);
	cmp(m, NFT_CMP_EQ, addr, len);
}

/* It wants to open a connection. */
void
fw_match_opening(struct fw_maker *m)
{
	static const uint8_t both = TH_SYN | TH_ACK;

	fw_match_proto(m, NFT_CMP_EQ, IPPROTO_TCP);
	fw_expr_payload(
	    m, NFT_PAYLOAD_TRANSPORT_HEADER, FLAGS_OFFSET, 1, NFT_REG_1);
	mask(m, &both, sizeof(both));
	fw_expr_cmp_u8(m, NFT_CMP_EQ, TH_SYN);
}

void
fw_match_local(struct fw_maker *m, enum nft_cmp_ops op)
{
	struct nftnl_expr *e = expr(m, "fib");

	set_u32(e, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
	set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	set_u32(e, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR);
	fw_expr_cmp_u32(m, op, RTN_LOCAL);
}

void
fw_match_forged(struct fw_maker *m)
{
	struct nftnl_expr *e = expr(m, "fib");

	set_u32(e, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
	set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_OIF);
	set_u32(e, NFTNL_EXPR_FIB_FLAGS,
	    NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF | NFTA_FIB_F_PRESENT);
	fw_expr_cmp_u32(m, NFT_CMP_EQ, 0);
}

/* --- rules ------------------------------------------------------------ */

void
fw_rule_begin(struct fw_maker *m, const char *chain)
{
	struct nftnl_rule *r = NULL;

	m->rule = NULL;
	if (m->o->nrules == FW_RULES_MAX || (r = nftnl_rule_alloc()) == NULL) {
		m->failed = true;
		return;
	}
	nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, NFPROTO_INET);
	if (nftnl_rule_set_str(r, NFTNL_RULE_TABLE, m->b->table) == -1 ||
	    nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, chain) == -1)
		m->failed = true;
	m->rule = m->o->rule[m->o->nrules++] = r;
}
