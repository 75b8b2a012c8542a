#ifndef DISPATCHD_DISPATCHD_PARENT_H
#define DISPATCHD_DISPATCHD_PARENT_H

/* What the files of the parent process share. */

#include <sys/un.h>

#include "libcommon/daemon.h"

#include "dispatchd/dispatchd.h"

#define DISPATCH_TEXT_MAX 262144 /* bytes of a configuration */
#define DISPATCH_TOO_LARGE "larger than 262144 bytes"
#define DISPATCH_READY_MS 30000 /* children answer within */
#define DISPATCH_DOOR_BACKLOG 8 /* PID 1, and whoever else tries */
#define DISPATCH_INSTANCE_LEN 12

_Static_assert(DISPATCH_PROFILES_MAX + 2 <= DAEMON_PATHS_MAX,
    "a reload may read every ca_file");

struct parent {
	struct daemon d; /* daemon.h has it as its own */
	char instance[DISPATCH_INSTANCE_LEN + 1];
	int queue_dir, runs_dir; /* below the state directory, for children */
	/* Where the sockets of runs are: our working directory. */
	char doors[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	int doors_fd;
	char engine_why[256]; /* why its socket cannot be used, or "" */
	uint32_t last_stream;
};

static inline struct parent *
parent_of(struct daemon *d)
{
	return (struct parent *)d;
}

/* The one in force. */
static inline const struct dispatch_config *
parent_config(const struct parent *p)
{
	return p->d.now.own;
}

/* dispatchd_children.c: who they are, how they are linked */
void dispatch_children_init(struct daemon *d);
void
dispatch_children_give(const struct daemon_child *c, struct proc_spec *spec);

/* dispatchd_state.c: what is made while there is privilege; fatal or done */
/* The state directory, those of queue and runs, our instance's id. */
void dispatch_state_open(struct parent *p);
/* Whom the engine's socket lets: the group for its child. */
void dispatch_engine_socket(struct parent *p);

/* dispatchd_doors.c: the sockets of runs */
void dispatch_doors_open(struct parent *p, uid_t uid, gid_t gid);
void
dispatch_door_make(struct parent *p, int64_t id, const struct msg_door_make *m);
void dispatch_door_remove(struct parent *p, const struct msg_door_remove *m);

/* dispatchd_tables.c: configuration as messages */
void dispatch_send_table(struct daemon *d, struct daemon_child *c);
void dispatch_send_engine_base(struct parent *p);
void dispatch_state(struct daemon *d, struct daemon_state *s);
/* The message dispatch.config, to be sent or only tried. */
struct msg dispatch_config_message(
    const struct daemon_config *d, char *state, size_t len, int64_t generation);
/* Of struct peer_ops: the queue's, which gets CA roots in streams. */
extern const struct peer_ops dispatch_queue_ops;

/* dispatchd_reload.c: a configuration, as the parent needs it */
bool dispatch_config_take(
    struct daemon_config *d, const char *file, struct conf **conf);
bool dispatch_config_sendable(
    const struct daemon_config *d, char *why, size_t whylen);
void dispatch_config_drop(struct daemon_config *d);
const char *dispatch_config_fixed(const void *was, const void *is);

#endif
