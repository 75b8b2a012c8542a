#ifndef EGRESSD_EGRESSD_PARENT_H
#define EGRESSD_EGRESSD_PARENT_H

/* What the files of the parent process share. */

#include "libcommon/daemon.h"

#include "egressd.h"

#define PARENT_READY_MS 10000 /* children answer within */
#define PARENT_DRAIN_MS 10000 /* open tunnels end by themselves */
#define PARENT_CUT_MS 3000 /* cut ones are recorded */
#define PARENT_BACKLOG 1024
#define PARENT_ADDRESS_MAX 64 /* text of address and port */

_Static_assert(EGRESS_WORKERS_MAX + 4 <= DAEMON_CHILDREN_MAX &&
        EGRESS_LISTENERS_MAX + 1 <= DAEMON_GIVEN_MAX,
    "the daemon has room for all");

/* A listening socket: one descriptor for each proxy worker. */
struct listen_set {
	struct netaddr addr;
	uint16_t port;
	int fd[EGRESS_WORKERS_MAX];
	size_t nfd;
};

struct parent {
	struct daemon d; /* daemon.h has it as its own */
	int netlink; /* for fw; -1: there is none */
	bool nft; /* there is a process fw */
	bool closed; /* and its base rules were in force */
	bool rules_lost; /* they are not now */
	const char *nft_why; /* else why not */
	struct listen_set sets[EGRESS_LISTENERS_MAX];
	size_t nsets;
	struct listen_set next_sets[EGRESS_LISTENERS_MAX];
	size_t nnext_sets;
};

static inline struct parent *
parent_of(struct daemon *d)
{
	return (struct parent *)d;
}

/* The one in force. */
static inline const struct egress_config *
parent_config(const struct parent *p)
{
	return p->d.now.own;
}

/* egressd_listen.c: sockets, made while there is privilege */
/*
 * A set for each listener of c; those whose address stands in old are the
 * same sockets again. Returns 0, or -1 with one line in why; then nothing is
 * left open.
 */
int parent_listen_all(const struct egress_config *c,
    const struct listen_set *old, size_t nold, struct listen_set *sets,
    size_t *nsets, int64_t retry_ms, char *why, size_t whylen);
/* Close those of sets that are not also in keep. */
void parent_listen_close(struct listen_set *sets, size_t nsets,
    const struct listen_set *keep, size_t nkeep);

/* egressd_children.c: who they are, how they are linked */
void parent_children_init(struct daemon *d);
void parent_children_give(const struct daemon_child *c, struct proc_spec *spec);

/* egressd_runs.c: the parent's part in runs and packet rules */
/* Is nft wanted and to be had? Sets p->nft, p->nft_why, p->netlink. */
void parent_fw_open(struct parent *p);
void parent_fw_base(struct parent *p);
void parent_fw_record(struct parent *p, const struct msg_fw_state *m);
void parent_fw_state(struct parent *p, const struct msg_fw_state *m);
void parent_run_bind(struct parent *p, struct daemon_child *frontend,
    int64_t id, const struct msg_run_bind *m);

/* egressd_tables.c: configuration as messages */
void parent_send_table(struct daemon *d, struct daemon_child *c);
void parent_send_listeners(struct parent *p);
void parent_state(struct daemon *d, struct daemon_state *s);
void parent_address_text(
    const struct netaddr *addr, uint16_t port, char *buf, size_t len);

/* egressd_reload.c: a configuration, and what becomes of the one before */
bool parent_config_read(
    struct daemon_config *c, const char *file, struct conf **conf);
void parent_config_free(struct daemon_config *c);
const char *parent_config_fixed(const void *was, const void *is);
int parent_reload_prepare(struct daemon *d, char *why, size_t whylen);
void parent_reload_drop(struct daemon *d);
void parent_reload_done(struct daemon *d);

#endif
