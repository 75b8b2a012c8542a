/*
 * The table, as libnftnl's objects. In nft(8)'s words, with prefix "bh-",
 * port 3128 and the network 10.201.0.0/16:
 *
 *	set permitted { type ifname . ipv4_addr . inet_service; }
 *	set runs { type ifname; counter; }
 *	chain closed {
 *		iifname @runs
 *		iifname "bh-*" fib saddr . iif oif missing counter drop
 *		meta l4proto tcp counter reject with tcp reset
 *		counter reject with icmpx admin-prohibited
 *	}
 *	chain run_input {
 *		fib saddr . iif oif missing goto closed
 *		iifname . ip daddr . tcp dport @permitted counter accept
 *		goto closed
 *	}
 *	chain prerouting {
 *		type filter hook prerouting priority filter - 10; policy accept;
 *		iifname "bh-*" fib daddr type != local counter goto closed
 *	}
 *	chain input {
 *		type filter hook input priority filter - 10; policy accept;
 *		iifname "bh-*" goto run_input
 *		iifname != "bh-*" ip daddr 10.201.0.0/16 tcp dport 3128-3129
 *		    goto closed
 *		iifname != "bh-*" ip daddr 10.201.0.0/16 udp dport 3129
 *		    goto closed
 *	}
 *	chain forward {
 *		type filter hook forward priority filter - 10; policy accept;
 *		iifname "bh-*" counter goto closed
 *		oifname "bh-*" counter goto closed
 *	}
 *	chain output {
 *		type filter hook output priority filter - 10; policy accept;
 *		meta skuid PROXY goto proxy_output
 *		meta skuid PARENT goto proxy_output
 *	}
 *	chain proxy_output {
 *		oifname "bh-*" udp sport 3129 counter accept
 *		meta l4proto != tcp counter reject with icmpx admin-prohibited
 *		tcp flags syn / syn,ack oifname "bh-*" counter reject with
 *		    tcp reset
 *		tcp flags syn / syn,ack fib daddr type local counter reject ...
 *		tcp flags syn / syn,ack ip daddr 0.0.0.0/8 counter reject ...
 *		...
 *	}
 *
 * No rule knows of connections: each packet is judged by itself, so that an
 * element that is taken out cuts what was open. An "accept" here ends our
 * chains alone, the machine's own rules still have their say; a rejected
 * packet is gone for all. Before Docker's chains, so that it cannot accept
 * first. A packet whose source is not of the run's own network gets no answer
 * at all: a refusal quotes it, and would carry that to whomever it names. What
 * a run sends to another machine is refused before it is routed: without a
 * route there, or with forwarding off, the kernel would drop it, and a run
 * could not tell silence from a way out. The chain of forward holds alone, too,
 * and closes the way to a run. The chain of the proxy is for the day when the
 * proxy is taken: it then still dials nothing of this machine, of a run or of
 * a link. A socket is of whom made it, and those of runs are made by the
 * parent; connect(2) makes a listening one an outgoing one.
 */

#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include <stddef.h>
#include <string.h>

#include "egressd/fw_linux.h"

/* Where the parts of the key of "permitted" lie; NFT_REG_1 is 16 bytes. */
#define REG_INTERFACE NFT_REG_1
#define REG_ADDRESS NFT_REG_2
#define REG_PORT NFT_REG32_05

/* What the proxy's tunnels never lead to; the proxy refuses it before. */
static const struct {
	int family;
	uint8_t b[16];
	unsigned bits;
} forbidden[] = {
	{ AF_INET, { 0 }, 8 },
	{ AF_INET, { 127 }, 8 },
	{ AF_INET, { 169, 254 }, 16 },
	{ AF_INET, { 224 }, 4 },
	{ AF_INET, { 240 }, 4 },
	{ AF_INET6, { [15] = 1 }, 128 },
	{ AF_INET6, { 0xfe, 0x80 }, 10 },
	{ AF_INET6, { 0xff }, 8 },
};

/* --- rules ------------------------------------------------------------ */

static void
rules_closed(struct fw_maker *m)
{
	/* for the counters of its elements; no verdict */
	fw_rule_begin(m, FW_CHAIN_CLOSED);
	fw_expr_meta(m, NFT_META_IIFNAME);
	fw_expr_lookup(m, FW_SET_RUNS);

	/*
	 * A refusal goes to where the packet says that it is from, and an
	 * ICMP one quotes it: with a forged source a run could send bytes to
	 * whom it likes. Only a source that is behind this interface hears.
	 */
	fw_rule_begin(m, FW_CHAIN_CLOSED);
	fw_match_prefix(m, NFT_META_IIFNAME, NFT_CMP_EQ);
	fw_match_forged(m);
	fw_expr_counter(m);
	fw_expr_verdict(m, NF_DROP, NULL);

	fw_rule_begin(m, FW_CHAIN_CLOSED);
	fw_match_proto(m, NFT_CMP_EQ, IPPROTO_TCP);
	fw_expr_counter(m);
	fw_expr_reject_reset(m);

	fw_rule_begin(m, FW_CHAIN_CLOSED);
	fw_expr_counter(m);
	fw_expr_reject_prohibited(m);
}

static void
rules_run_input(struct fw_maker *m)
{
	/* nor is a connection begun with whom it names */
	fw_rule_begin(m, "run_input");
	fw_match_forged(m);
	fw_expr_verdict(m, NFT_GOTO, FW_CHAIN_CLOSED);

	fw_rule_begin(m, "run_input");
	fw_expr_meta(m, NFT_META_NFPROTO);
	fw_expr_cmp_u8(m, NFT_CMP_EQ, NFPROTO_IPV4);
	fw_match_proto(m, NFT_CMP_EQ, IPPROTO_TCP);
	fw_expr_meta(m, NFT_META_IIFNAME);
	fw_expr_payload(m, NFT_PAYLOAD_NETWORK_HEADER,
	    offsetof(struct iphdr, daddr), sizeof(in_addr_t), REG_ADDRESS);
	fw_expr_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER,
	    offsetof(struct tcphdr, dest), sizeof(in_port_t), REG_PORT);
	fw_expr_lookup(m, FW_SET_PERMITTED);
	fw_expr_counter(m);
	fw_expr_verdict(m, NF_ACCEPT, NULL);

	fw_rule_begin(m, "run_input");
	fw_expr_verdict(m, NFT_GOTO, FW_CHAIN_CLOSED);
}

/*
 * Who asks a run's listener is that run: so nobody else may, neither a user of
 * the machine nor a container on another bridge.
 */
static void
rules_input(struct fw_maker *m)
{
	const struct netprefix *p;
	size_t i;

	fw_rule_begin(m, "input");
	fw_match_prefix(m, NFT_META_IIFNAME, NFT_CMP_EQ);
	fw_expr_verdict(m, NFT_GOTO, "run_input");
	for (i = 0; i < m->b->nnetworks; i++) {
		p = &m->b->networks[i];
		fw_rule_begin(m, "input");
		fw_match_prefix(m, NFT_META_IIFNAME, NFT_CMP_NEQ);
		fw_match_daddr(m, AF_INET, p->addr.b, p->bits);
		fw_match_proto(m, NFT_CMP_EQ, IPPROTO_TCP);
		fw_expr_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER,
		    offsetof(struct tcphdr, dest), sizeof(in_port_t),
		    NFT_REG_1);
		fw_expr_cmp_port(m, NFT_CMP_GTE, m->b->port);
		fw_expr_cmp_port(m, NFT_CMP_LTE, m->b->port + 1U);
		fw_expr_verdict(m, NFT_GOTO, FW_CHAIN_CLOSED);

		fw_rule_begin(m, "input");
		fw_match_prefix(m, NFT_META_IIFNAME, NFT_CMP_NEQ);
		fw_match_daddr(m, AF_INET, p->addr.b, p->bits);
		fw_match_proto(m, NFT_CMP_EQ, IPPROTO_UDP);
		fw_expr_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER,
		    offsetof(struct udphdr, dest), sizeof(in_port_t),
		    NFT_REG_1);
		fw_expr_cmp_port(m, NFT_CMP_EQ, m->b->port + 1U);
		fw_expr_verdict(m, NFT_GOTO, FW_CHAIN_CLOSED);
	}
}

static void
rules_prerouting(struct fw_maker *m)
{
	fw_rule_begin(m, FW_CHAIN_PREROUTING);
	fw_match_prefix(m, NFT_META_IIFNAME, NFT_CMP_EQ);
	fw_match_local(m, NFT_CMP_NEQ);
	fw_expr_counter(m);
	fw_expr_verdict(m, NFT_GOTO, FW_CHAIN_CLOSED);
}

static void
rules_forward(struct fw_maker *m)
{
	fw_rule_begin(m, FW_CHAIN_FORWARD);
	fw_match_prefix(m, NFT_META_IIFNAME, NFT_CMP_EQ);
	fw_expr_counter(m);
	fw_expr_verdict(m, NFT_GOTO, FW_CHAIN_CLOSED);

	fw_rule_begin(m, FW_CHAIN_FORWARD);
	fw_match_prefix(m, NFT_META_OIFNAME, NFT_CMP_EQ);
	fw_expr_counter(m);
	fw_expr_verdict(m, NFT_GOTO, FW_CHAIN_CLOSED);
}

static void
rules_output(struct fw_maker *m)
{
	const uint32_t uids[] = { m->b->proxy_uid, m->b->parent_uid };
	size_t i;

	for (i = 0; i < sizeof(uids) / sizeof(uids[0]); i++) {
		fw_rule_begin(m, "output");
		fw_expr_meta(m, NFT_META_SKUID);
		fw_expr_cmp_u32(m, NFT_CMP_EQ, uids[i]);
		fw_expr_verdict(m, NFT_GOTO, FW_CHAIN_OUTPUT);
	}

	fw_rule_begin(m, FW_CHAIN_OUTPUT); /* FW_RULE_ANSWERS */
	fw_match_prefix(m, NFT_META_OIFNAME, NFT_CMP_EQ);
	fw_match_proto(m, NFT_CMP_EQ, IPPROTO_UDP);
	fw_expr_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER,
	    offsetof(struct udphdr, source), sizeof(in_port_t), NFT_REG_1);
	fw_expr_cmp_port(m, NFT_CMP_EQ, m->b->port + 1U);
	fw_expr_counter(m);
	fw_expr_verdict(m, NF_ACCEPT, NULL);

	fw_rule_begin(m, FW_CHAIN_OUTPUT);
	fw_match_proto(m, NFT_CMP_NEQ, IPPROTO_TCP);
	fw_expr_counter(m);
	fw_expr_reject_prohibited(m);

	fw_rule_begin(m, FW_CHAIN_OUTPUT);
	fw_match_opening(m);
	fw_match_prefix(m, NFT_META_OIFNAME, NFT_CMP_EQ);
	fw_expr_counter(m);
	fw_expr_reject_reset(m);

	fw_rule_begin(m, FW_CHAIN_OUTPUT);
	fw_match_opening(m);
	fw_match_local(m, NFT_CMP_EQ);
	fw_expr_counter(m);
	fw_expr_reject_reset(m);

	for (i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		fw_rule_begin(m, FW_CHAIN_OUTPUT);
		fw_match_opening(m);
		fw_match_daddr(
		    m, forbidden[i].family, forbidden[i].b, forbidden[i].bits);
		fw_expr_counter(m);
		fw_expr_reject_reset(m);
	}
}

void
fw_rules_make(struct fw_maker *m)
{
	rules_closed(m);
	rules_run_input(m);
	rules_prerouting(m);
	rules_input(m);
	rules_forward(m);
	rules_output(m);
}
