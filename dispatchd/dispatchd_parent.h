#ifndef DISPATCHD_DISPATCHD_PARENT_H
#define DISPATCHD_DISPATCHD_PARENT_H

/* What the files of the parent process share. */

#include <sys/un.h>

#include <event2/event.h>

#include "libcommon/audit.h"
#include "libcommon/clock.h"
#include "libcommon/peer.h"
#include "libcommon/proc.h"

#include "dispatchd/dispatchd.h"

#define DISPATCH_TEXT_MAX 262144 /* bytes of a configuration */
#define DISPATCH_BIND_RETRY_MS 3000 /* an old instance may be leaving */
#define DISPATCH_READY_MS 30000 /* children answer within */
#define DISPATCH_LOST_MS 500 /* a lost child tells how it ended */
#define DISPATCH_CHILDREN_MAX 8
#define DISPATCH_BACKLOG 1024
#define DISPATCH_DOOR_BACKLOG 8 /* PID 1, and whoever else tries */
#define DISPATCH_INSTANCE_LEN 12

enum dispatch_table {
	TABLE_PEERS, /* frontend */
	TABLE_CONFIG, /* queue */
	TABLE_NONE
};

struct parent;

struct child {
	struct parent *parent;
	const char *role;
	enum msg_side side;
	enum dispatch_table table;
	const char *user;
	gid_t group; /* its supplementary group; 0: none */
	pid_t pid;
	struct peer *peer;
	bool ready;
	int64_t applied; /* generation of its table */
	struct sandbox_state sandbox;
};

/* What children are given that was opened with privilege. */
struct parent_fds {
	int listen; /* dispatchd.sock */
	int audit;
	int queue_dir, runs_dir; /* below the state directory */
};

enum parent_phase {
	PHASE_STARTING, /* waiting for children */
	PHASE_SERVING,
	PHASE_LEAVING /* the stop record is under way */
};

/* A configuration and what it was made from. */
struct loaded {
	struct dispatch_config *config; /* NULL: none */
	char *text;
};

struct parent {
	struct event_base *base;
	const char *file;
	int file_fd; /* as opened at start */
	enum parent_phase phase;
	struct loaded now; /* in force */
	struct loaded next; /* a reload under way */
	bool reload_again;
	int64_t generation;
	char boot_id[CLOCK_BOOT_ID_LEN];
	char instance[DISPATCH_INSTANCE_LEN + 1];
	bool unprivileged;
	bool start_sent; /* the record of the start */
	struct child child[DISPATCH_CHILDREN_MAX];
	size_t nchildren;
	/* Where the sockets of runs are: our working directory. */
	char doors[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	int doors_fd;
	char engine_why[256]; /* why its socket cannot be used, or "" */
	uint32_t last_stream;
	struct audit_client *audit;
	struct proc_watch *watch;
	struct sandbox_state sandbox;
	struct event *ev_hup, *ev_term, *ev_int, *timer;
	struct event *ev_lost;
	bool lost; /* a child: we are leaving */
};

/* dispatchd.c */
void dispatch_child_link(struct parent *p, struct child *c, int fd);
void dispatch_leave(struct parent *p, int status) __attribute__((noreturn));

/* dispatchd_children.c: who they are, how they are started */
void dispatch_children_init(struct parent *p);
void dispatch_children_start(struct parent *p, const struct parent_fds *given);
struct child *dispatch_child(struct parent *p, enum msg_side side);

/* dispatchd_state.c: what is made while there is privilege; fatal or done */
int dispatch_listen_unix(const char *path);
/* A socket that the service manager made (sd_listen_fds(3)). */
void dispatch_listen_fds_take(void);
/* The state directory, those of queue and runs, our instance's id. */
void dispatch_state_open(struct parent *p, struct parent_fds *given);
/* Whom the engine's socket lets: the group for its child. */
void dispatch_engine_socket(struct parent *p);

/* dispatchd_doors.c: the sockets of runs */
void dispatch_doors_open(struct parent *p, uid_t uid, gid_t gid);
void
dispatch_door_make(struct parent *p, int64_t id, const struct msg_door_make *m);
void dispatch_door_remove(struct parent *p, const struct msg_door_remove *m);

/* dispatchd_tables.c: configuration as messages */
void dispatch_send_tables(struct parent *p);
void dispatch_send_engine_base(struct parent *p);
void dispatch_send_state(struct parent *p);
bool dispatch_tables_applied(const struct parent *p);
/* The message dispatch.config, to be sent or only tried. */
struct msg dispatch_config_message(
    const struct loaded *l, char *state, size_t len, int64_t generation);
void dispatch_roots_ready(struct parent *p, uint32_t stream);

/* dispatchd_reload.c */
bool dispatch_load(
    struct parent *p, struct loaded *l, bool quiet, char *why, size_t whylen);
void dispatch_loaded_free(struct loaded *l);
void dispatch_reload(struct parent *p);
/* A table was applied: one that had to wait may go on. */
void dispatch_reload_go_on(struct parent *p);

#endif
