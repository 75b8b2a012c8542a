#ifndef EGRESSD_FW_H
#define EGRESSD_FW_H

/*
 * What the files of the process fw share, by the file that defines it. Only
 * fw_linux*.c know nf_tables; fw_none.c stands in for them elsewhere.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "egressd/egressd.h"

#define FW_INTERFACE_SIZE (EGRESS_INTERFACE_MAX + 1) /* IFNAMSIZ of Linux */
#define FW_DETAIL_MAX 256 /* msg.def: detail of fw.state */

/* --- fw_table.c: what is wanted; pure --------------------------------- */

/* What the rules are made from; never changes once it is set. */
struct fw_base {
	char table[EGRESS_TABLE_MAX + 1];
	char prefix[EGRESS_PREFIX_MAX + 1];
	struct netprefix networks[EGRESS_NETWORKS_MAX];
	size_t nnetworks;
	uint16_t port; /* of every run's proxy; the canary's is one more */
	uint32_t proxy_uid;
	uint32_t parent_uid; /* a socket is of whom made it: those of runs */
};

struct fw_run {
	char id[RUNID_LEN + 1];
	char interface[FW_INTERFACE_SIZE];
	struct netaddr address;
	uint64_t refused; /* packets, as its element says */
	uint64_t carried; /* of elements that are no more */
};

struct fw_runs {
	struct fw_run run[EGRESS_RUNS_MAX];
	size_t n;
};

enum fw_verdict {
	FW_NEW,
	FW_SAME, /* it is permitted already, with this address */
	FW_CONFLICT, /* run or address is permitted with another */
	FW_LIMIT
};

/* Packets refused, as the counters of the rules say. */
struct fw_counts {
	uint64_t closed; /* in chain closed: from and to runs */
	uint64_t forward; /* of these, on their way through the machine */
	uint64_t output; /* of the proxy's own */
};

/* Check the message and take it; 0, or -1 with *b untouched. */
int fw_base_set(struct fw_base *b, const struct msg_fw_base *m);
/* Is it IPv4, and inside one of the networks of runs? */
bool fw_base_holds(const struct fw_base *b, const struct netaddr *a);
/* What a permit for this valid run and address would be. */
enum fw_verdict
fw_runs_judge(const struct fw_runs *r, const char *id, const struct netaddr *a);
/* The run, or NULL. */
struct fw_run *fw_runs_find(struct fw_runs *r, const char *id);
struct fw_run *fw_runs_find_interface(struct fw_runs *r, const char *name);
/* A run as it would be in the table; id is valid. */
void fw_run_set(struct fw_run *run, const struct fw_base *b, const char *id,
    const struct netaddr *a);
/* Only behind FW_NEW. */
void fw_runs_add(struct fw_runs *r, const struct fw_run *run);
void fw_runs_remove(struct fw_runs *r, const char *id);
/* All that was counted goes to what is carried: the elements are made anew. */
void fw_runs_carry(struct fw_runs *r);
void fw_counts_add(struct fw_counts *to, const struct fw_counts *c);

/* --- fw_linux.c, fw_none.c: the rules in the kernel ------------------- */

struct fw_nft;

enum fw_look {
	FW_LOOK_FAILED = -1, /* errno */
	FW_LOOK_WANTED, /* exactly the rules and elements that are wanted */
	FW_LOOK_DIFFERS
};

/*
 * fd is what fw_socket gave and stays the caller's; base has to outlive it.
 * Returns NULL with errno.
 */
struct fw_nft *fw_nft_new(int fd, const struct fw_base *base);
/*
 * Make the table ours alone among those who do this: an empty table beside it,
 * NAME-lock, which the kernel binds to our socket and takes away with it.
 * Returns 0, or -1 with errno: EPERM when another socket has it, EOPNOTSUPP on
 * a kernel without owners (before 5.12).
 */
int fw_nft_claim(struct fw_nft *nft);
/*
 * Replace the table, whatever it holds, by base rules and an element a run, in
 * one step: there is no moment without. Returns 0 or -1 with errno.
 */
int fw_nft_apply(struct fw_nft *nft, const struct fw_runs *runs);
/* Put in, take out the elements of one run; both or none. 0, -1 with errno. */
int fw_nft_permit(struct fw_nft *nft, const struct fw_run *run);
int fw_nft_revoke(struct fw_nft *nft, const struct fw_run *run);
/*
 * Read the whole table back and compare. Counters of runs and rules are
 * written to runs and counts as far as they were there to be read; detail,
 * printable ASCII, says what the first difference is.
 */
enum fw_look fw_nft_look(struct fw_nft *nft, struct fw_runs *runs,
    struct fw_counts *counts, char detail[FW_DETAIL_MAX + 1]);

#endif
