#ifndef EGRESSD_EGRESSD_PARENT_H
#define EGRESSD_EGRESSD_PARENT_H

/* What the files of the parent process share. */

#include <event2/event.h>

#include "libcommon/audit.h"
#include "libcommon/clock.h"
#include "libcommon/peer.h"

#include "egressd.h"

#define PARENT_BIND_RETRY_MS 3000 /* an old instance may be leaving */
#define PARENT_READY_MS 10000 /* children answer within */
#define PARENT_DRAIN_MS 10000 /* open tunnels end by themselves */
#define PARENT_CUT_MS 3000 /* cut ones are recorded */
#define PARENT_LOST_MS 500 /* a lost child tells how it ended */
#define PARENT_CHILDREN_MAX (EGRESS_WORKERS_MAX + 4)
#define PARENT_BACKLOG 1024
#define PARENT_ADDRESS_MAX 64 /* text of address and port */

enum parent_table {
	TABLE_PEERS, /* frontend */
	TABLE_POLICY, /* proxies */
	TABLE_RESOLVER, /* resolver */
	TABLE_NONE /* audit has none */
};

struct parent;

struct child {
	struct parent *parent;
	const char *role;
	unsigned instance;
	enum msg_side side;
	enum parent_table table;
	const char *user;
	pid_t pid;
	struct peer *peer;
	bool ready, drained;
	int64_t applied; /* generation of its table */
	struct sandbox_state sandbox;
};

/* A listening socket: one descriptor for each proxy worker. */
struct listen_set {
	struct netaddr addr;
	uint16_t port;
	int fd[EGRESS_WORKERS_MAX];
	size_t nfd;
};

/* What children are given that was opened with privilege. */
struct parent_fds {
	int listen; /* egressd.sock */
	int audit;
	int netlink; /* -1: no fw */
};

enum parent_phase {
	PHASE_STARTING, /* waiting for children */
	PHASE_SERVING,
	PHASE_DRAINING,
	PHASE_CUTTING,
	PHASE_LEAVING /* the stop record is under way */
};

struct parent {
	struct event_base *base;
	const char *file;
	int file_fd; /* as opened at start */
	enum parent_phase phase;
	struct egress_config *config; /* in force */
	struct egress_config *next; /* a reload under way */
	bool reload_again;
	int64_t generation;
	char boot_id[CLOCK_BOOT_ID_LEN];
	bool unprivileged;
	bool nft; /* there is a process fw */
	bool closed; /* and its base rules were in force */
	bool start_sent; /* the record of the start */
	bool rules_lost; /* they are not now */
	const char *nft_why; /* else why not */
	struct child child[PARENT_CHILDREN_MAX];
	size_t nchildren;
	struct listen_set sets[EGRESS_LISTENERS_MAX];
	size_t nsets;
	struct listen_set next_sets[EGRESS_LISTENERS_MAX];
	size_t nnext_sets;
	struct audit_client *audit;
	struct proc_watch *watch;
	struct sandbox_state sandbox;
	struct event *ev_hup, *ev_term, *ev_int, *timer;
	struct event *ev_lost;
	bool lost; /* a child: we are leaving */
};

/* egressd.c */
void parent_child_link(struct parent *p, struct child *c, int fd);
void parent_set_phase(struct parent *p, enum parent_phase phase);
void parent_leave(struct parent *p, int status) __attribute__((noreturn));

/* egressd_listen.c: sockets, made while there is privilege */
int parent_listen_unix(const char *path);
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
/* Sockets that the service manager made (sd_listen_fds(3)). */
void parent_listen_fds_take(void);

/* egressd_children.c: who they are, how they are started */
void parent_children_init(struct parent *p);
void parent_children_start(struct parent *p, const struct parent_fds *given);

/* egressd_runs.c: the parent's part in runs and packet rules */
/* Is nft wanted and to be had? Sets p->nft, p->nft_why, *netlink. */
void parent_fw_open(struct parent *p, int *netlink);
void parent_fw_base(struct parent *p);
void parent_fw_record(struct parent *p, const struct msg_fw_state *m);
void parent_fw_state(struct parent *p, const struct msg_fw_state *m);
void parent_run_bind(struct parent *p, struct child *frontend, int64_t id,
    const struct msg_run_bind *m);

/* egressd_tables.c: configuration as messages */
void parent_send_tables(struct parent *p, struct child *c,
    const struct egress_config *conf, int64_t generation);
void parent_send_listeners(struct parent *p);
void parent_send_state(struct parent *p);
void parent_address_text(
    const struct netaddr *addr, uint16_t port, char *buf, size_t len);
bool parent_tables_applied(const struct parent *p);

/* egressd_reload.c */
struct egress_config *
parent_config_load(struct parent *p, bool quiet, char *why, size_t whylen);
void parent_reload(struct parent *p);

#endif
