#ifndef EGRESSD_FW_LINUX_H
#define EGRESSD_FW_LINUX_H

/* What the files of fw_linux.c share, by the file that defines it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <libmnl/libmnl.h>

#include "egressd/fw.h"

struct fw_lines;
struct nftnl_chain;
struct nftnl_expr;
struct nftnl_rule;
struct nftnl_set;
struct nftnl_table;

/* Two rules a network; the others are a fixed number. */
#define FW_RULES_MAX (32 + 2 * EGRESS_NETWORKS_MAX)
#define FW_CHAINS 7

#define FW_CHAIN_CLOSED "closed"
#define FW_CHAIN_PREROUTING "prerouting"
#define FW_CHAIN_FORWARD "forward"
#define FW_CHAIN_OUTPUT "proxy_output"
#define FW_RULE_ANSWERS 0 /* of the canary: the one rule there that accepts */

/* --- fw_linux_objects.c: the table as libnftnl's objects -------------- */

enum fw_set {
	FW_SET_PERMITTED, /* interface . address . port */
	FW_SET_RUNS, /* interface, with a counter */
	FW_SETS
};

/* The key of an element; each part fills whole registers of 4 bytes. */
struct fw_key {
	char interface[FW_INTERFACE_SIZE]; /* zeros behind it */
	uint8_t address[4]; /* from here FW_SET_PERMITTED alone */
	uint8_t port[4]; /* network order, zeros behind it */
};

struct fw_objects {
	struct nftnl_table *table;
	struct nftnl_set *set[FW_SETS];
	struct nftnl_chain *chain[FW_CHAINS];
	struct nftnl_rule *rule[FW_RULES_MAX]; /* in order */
	size_t nrules;
};

/* 0, or -1 with errno; either way fw_objects_free. */
int fw_objects_make(struct fw_objects *o, const struct fw_base *b);
void fw_objects_free(struct fw_objects *o);
const char *fw_set_name(enum fw_set set);
size_t fw_set_key_len(enum fw_set set);
void fw_key_set(
    struct fw_key *key, const struct fw_base *b, const struct fw_run *run);
/* The set with the run's element in it, for a message; NULL with errno. */
struct nftnl_set *fw_element_make(
    enum fw_set which, const struct fw_base *b, const struct fw_run *run);

/* --- fw_linux_rules.c: every rule ------------------------------------- */

/* Where the rules go. That memory ended somewhere stands in failed. */
struct fw_maker {
	struct fw_objects *o;
	const struct fw_base *b;
	struct nftnl_rule *rule; /* the one under way */
	bool failed;
};

void fw_rules_make(struct fw_maker *m);

/* --- fw_linux_expr.c: rules from expressions -------------------------- */

/* A rule of this chain, which what follows is added to. */
void fw_rule_begin(struct fw_maker *m, const char *chain);
/* Loads, to NFT_REG_1 where no other is named; comparisons with that. */
void fw_expr_meta(struct fw_maker *m, enum nft_meta_keys key);
void fw_expr_payload(struct fw_maker *m, enum nft_payload_bases base,
    size_t offset, size_t len, uint32_t reg);
void fw_expr_cmp_u8(struct fw_maker *m, enum nft_cmp_ops op, uint8_t v);
void fw_expr_cmp_u32(struct fw_maker *m, enum nft_cmp_ops op, uint32_t v);
void fw_expr_cmp_port(struct fw_maker *m, enum nft_cmp_ops op, unsigned port);
void fw_expr_lookup(struct fw_maker *m, enum fw_set set);
/* What is done. */
void fw_expr_counter(struct fw_maker *m);
void fw_expr_verdict(struct fw_maker *m, int what, const char *chain);
void fw_expr_reject_reset(struct fw_maker *m);
void fw_expr_reject_prohibited(struct fw_maker *m);
/* Interfaces of runs, or (NFT_CMP_NEQ) all but them. */
void fw_match_prefix(
    struct fw_maker *m, enum nft_meta_keys key, enum nft_cmp_ops op);
void fw_match_proto(struct fw_maker *m, enum nft_cmp_ops op, uint8_t proto);
void fw_match_daddr(
    struct fw_maker *m, int family, const uint8_t *addr, unsigned bits);
/* A TCP packet that opens a connection. */
void fw_match_opening(struct fw_maker *m);
/* To an address of the machine itself, or (NFT_CMP_NEQ) to any other. */
void fw_match_local(struct fw_maker *m, enum nft_cmp_ops op);
/* No way back to the source leads by the interface that it came in by. */
void fw_match_forged(struct fw_maker *m);

/* --- fw_linux.c: messages to the kernel and back ---------------------- */

struct fw_nft {
	int fd;
	uint32_t seq;
	const struct fw_base *base;
	struct fw_objects objects;
	struct fw_lines *want; /* the objects as lines */
	char *batch; /* FW_BATCH_MAX bytes */
	size_t len; /* of what is in it */
	struct nlmsghdr *last; /* its last message */
	bool full; /* a message had no room */
	char *input; /* FW_INPUT_MAX bytes */
};

/*
 * Ask for everything of a type in our table, of one set if that is not NULL;
 * each answer goes to cb. Returns 0; -1 with errno, EINTR when somebody
 * changed rules meanwhile so that the answers may not fit together.
 */
int fw_nft_dump(struct fw_nft *nft, uint16_t type, const char *set,
    int (*cb)(const struct nlmsghdr *, void *), void *arg);

/* --- fw_linux_lines.c: a table as lines ------------------------------- */

#define FW_LINE_MAX 2048 /* our longest rule has about 700 bytes */
/* Ours, and as many of others: behind these one more changes nothing. */
#define FW_LINES_MAX (2U * (FW_RULES_MAX + 2 * EGRESS_RUNS_MAX + 16))

struct fw_lines {
	char *v[FW_LINES_MAX];
	size_t n;
};

struct fw_text {
	char buf[FW_LINE_MAX];
	uint64_t packets; /* of its counters */
};

/* The wanted objects as lines, without elements; NULL with errno. */
struct fw_lines *fw_lines_wanted(const struct fw_objects *o);
void fw_lines_free(struct fw_lines **l);
void fw_lines_sort(struct fw_lines *l);
/*
 * The first line that only one of two sorted lists has, and in *what, whether
 * it is "missing" or "not ours"; NULL when they are the same.
 */
const char *fw_lines_difference(
    const struct fw_lines *want, const struct fw_lines *got, const char **what);
/* A callback of libnftnl's; arg is a struct fw_text, which it adds to. */
int fw_expr_text(struct nftnl_expr *e, void *arg);

/* Each 0, or -1 without memory. Beyond FW_LINES_MAX nothing is added. */
int fw_lines_add(struct fw_lines *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int fw_lines_add_table(struct fw_lines *l, const struct nftnl_table *t);
int fw_lines_add_chain(struct fw_lines *l, const struct nftnl_chain *c);
int fw_lines_add_set(struct fw_lines *l, const struct nftnl_set *s);
int fw_lines_add_rule(
    struct fw_lines *l, struct nftnl_rule *r, size_t index, uint64_t *packets);
int fw_lines_add_element(struct fw_lines *l, enum fw_set set,
    const struct fw_key *key, size_t len, uint32_t flags);

#endif
