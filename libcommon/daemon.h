#ifndef LIBCOMMON_DAEMON_H
#define LIBCOMMON_DAEMON_H

/*
 * The parent of a daemon: its command line, its configuration and the reload
 * of it, its children from their start to their end, and its own end. What is
 * the daemon's own it gives as a struct daemon_def; main is one call of
 * daemon_main.
 *
 * It parses nothing that a stranger sent: see proc.h for its children.
 */

#include <event2/event.h>

#include "audit.h"
#include "clock.h"
#include "conf_peers.h"
#include "netaddr.h"
#include "peer.h"
#include "proc.h"
#include "sandbox.h"

#define DAEMON_CHILDREN_MAX 32
#define DAEMON_USERS_MAX 16
#define DAEMON_PATHS_MAX 320 /* that a reload may read */
#define DAEMON_GIVEN_MAX 65 /* sockets from the service manager */
#define DAEMON_BACKLOG 1024
#define DAEMON_BIND_RETRY_MS 3000 /* an old instance may be leaving */
#define DAEMON_LOST_MS 500 /* a lost child tells how it ended */

enum daemon_phase {
	PHASE_STARTING, /* waiting for children */
	PHASE_SERVING,
	PHASE_DRAINING, /* this and the next are the daemon's to enter */
	PHASE_CUTTING,
	PHASE_LEAVING /* the stop record is under way */
};

/*
 * A configuration, as the parent needs it. The strings belong to own, which
 * is the daemon's.
 */
struct daemon_config {
	void *own; /* NULL: there is none */
	const struct conf *conf; /* its warnings */
	char *text; /* as read, with a NUL behind it */
	size_t len;
	const char *socket, *audit;
	const char *sha256;
	const char *user_parent, *user_audit;
	/* All of its users; the first so many have to exist. */
	const char *users[DAEMON_USERS_MAX];
	size_t nusers, needed;
	const struct conf_peer *peers;
	size_t npeers;
};

struct daemon;

struct daemon_child {
	struct daemon *daemon;
	const char *role;
	unsigned instance;
	bool several; /* there may be others of its role */
	enum msg_side side;
	const char *table; /* which one it gets; NULL: none */
	const char *user;
	gid_t group; /* its supplementary group; 0: none */
	const struct peer_ops *ops; /* NULL: those of daemon_children.c */
	struct peer *peer;
	bool ready, drained;
	int64_t applied; /* generation of its table */
	struct sandbox_state sandbox;
};

struct daemon_role {
	const char *name;
	void (*main)(const struct proc_self *self);
};

struct daemon_state; /* what status shows, while it is gathered */

/* Each may be NULL where it says so; else the daemon must have it. */
struct daemon_def {
	const char *name; /* "egressd" */
	const char *file; /* its configuration by default */
	size_t text_max; /* bytes of that */
	const char *too_large; /* what is said of more */
	int ready_ms; /* children are ready within */
	bool numbered; /* the log tells children by number too */
	uint64_t keep_caps; /* of the parent, behind the drop */
	enum sandbox_purpose purpose;
	const struct daemon_role *roles; /* NULL-name-terminated */

	/* Before anything is read, with -t too. May be NULL. */
	void (*init)(void);
	/*
	 * Read c->text: fill in the rest of c. False: c->own is NULL. Errors
	 * and warnings stand in *conf either way.
	 */
	bool (*read)(
	    struct daemon_config *c, const char *file, struct conf **conf);
	/* Is there more to be said against it? why is one line. May be NULL. */
	bool (*check)(const struct daemon_config *c, char *why, size_t whylen);
	/* Free c->own, which may be NULL already. */
	void (*free)(struct daemon_config *c);
	/* A key that only a new start can change, or NULL. */
	const char *(*fixed)(const void *was, const void *is);

	/*
	 * With privilege: open what the children are to be given, beside the
	 * control socket and the record file, as uid and gid. Fatal or done.
	 */
	void (*open)(struct daemon *d, uid_t uid, gid_t gid);
	/* daemon_child_add for each; audit is the first. */
	void (*children)(struct daemon *d);
	/* Append what c is given from PROC_FD_FIRST up. */
	void (*give)(const struct daemon_child *c, struct proc_spec *spec);
	/*
	 * Behind the last child: further files that a reload reads into read,
	 * from *n up, of DAEMON_PATHS_MAX; and paths->dir. May be NULL.
	 */
	void (*paths)(struct daemon *d, struct sandbox_paths *paths,
	    const char **read, size_t *n);

	/* Send its table (see daemon_table_begin) to a child that has one. */
	void (*table)(struct daemon *d, struct daemon_child *c);
	/* Once, before the first tables. May be NULL. */
	void (*begin)(struct daemon *d);
	/* Is all else there for the start to be recorded? May be NULL. */
	bool (*whole)(const struct daemon *d);
	/* Further records of the start. May be NULL. */
	void (*started)(struct daemon *d);
	/* All is recorded; text: what we serve, for the log. */
	void (*serve)(struct daemon *d, char *text, size_t len);
	/* What status shows of it. */
	void (*state)(struct daemon *d, struct daemon_state *s);
	/* A message that daemon_children.c does not know. False: nor we. */
	bool (*message)(struct daemon_child *c, struct msg *m);

	/* Make what d->next needs: 0, or -1 with why. May be NULL. */
	int (*prepare)(struct daemon *d, char *why, size_t whylen);
	/* Undo that: d->next will not be. May be NULL. */
	void (*drop)(struct daemon *d);
	/* d->now is the new one and its tables are sent. May be NULL. */
	void (*reloaded)(struct daemon *d);

	/* TERM while serving or later: end it, by daemon_stop at the last. */
	void (*term)(struct daemon *d);
	/* A phase of the daemon's own took too long. May be NULL. */
	void (*late)(struct daemon *d);
};

/* A daemon's own struct begins with one of these. */
struct daemon {
	const struct daemon_def *def;
	struct event_base *base;
	const char *file;
	int file_fd; /* as opened at start */
	enum daemon_phase phase;
	struct daemon_config now; /* in force */
	struct daemon_config next; /* a reload under way */
	bool reload_again;
	int64_t generation;
	char boot_id[CLOCK_BOOT_ID_LEN];
	bool unprivileged; /* not started as root */
	bool start_sent; /* the record of the start */
	struct daemon_child child[DAEMON_CHILDREN_MAX];
	size_t nchildren;
	int listen_fd, audit_fd; /* to be given to children */
	struct audit_client *audit;
	struct proc_watch *watch;
	struct sandbox_state sandbox;
	struct event *ev_hup, *ev_term, *ev_int, *timer;
	struct event *ev_lost;
	bool lost; /* a child: we are leaving */
};

/* --- daemon.c: from the command line to the loop ------------------------ */

/* d is zero but for the daemon's own. Returns the exit status. */
int daemon_main(
    struct daemon *d, const struct daemon_def *def, int argc, char **argv);

/* --- daemon_config.c ------------------------------------------------------ */

/*
 * Load and check. quiet: at the start and with -t errors go to standard error
 * as they are; else to the log. why gets the first error in one line.
 */
bool daemon_config_load(struct daemon *d, struct daemon_config *c, bool quiet,
    char *why, size_t whylen);
void daemon_config_free(struct daemon *d, struct daemon_config *c);
/* What only a new start can change, between d->now and d->next, or NULL. */
const char *daemon_config_fixed(const struct daemon *d);
/*
 * Started as root we need each process's user. Returns 0, or -1 and the
 * command that makes those that are missing on stderr.
 */
int daemon_config_users(const struct daemon *d);

/* For readers of configurations: names of this machine. 0, or -1. */
int daemon_user_id(const char *name, uint32_t *uid);
int daemon_group_id(const char *name, uint32_t *gid);
/* The SHA-256 of a configuration's text. */
void daemon_text_hash(const char *text, size_t len, char hex[65]);

/* --- daemon_listen.c: sockets, made while there is privilege -------------- */

/* Take those that the service manager made (sd_listen_fds(3)). */
void daemon_given_take(void);
/* One that was given for this address, once; or -1. */
int daemon_given_inet(const struct netaddr *addr, uint16_t port);
/* A given one, or one made anew; -1 with errno. */
int daemon_listen_unix(const char *path);
void daemon_listen_pause(void); /* between two attempts to bind */

/* --- daemon_children.c ---------------------------------------------------- */

struct daemon_child *daemon_child_add(struct daemon *d, const char *role,
    unsigned instance, enum msg_side side, const char *table, const char *user);
/* The first on that side; there is one. */
struct daemon_child *daemon_child(struct daemon *d, enum msg_side side);
void daemon_children_start(struct daemon *d);

/* Of struct peer_ops, for a child with ops of its own. */
void daemon_child_message(struct peer *peer, struct msg *m, int fd, void *arg);
void daemon_child_gone(
    struct peer *peer, enum peer_end end, const char *why, void *arg);
/* waitpid(2) said it: of proc_watch_new. */
void
daemon_child_ended(const char *role, unsigned instance, int status, void *arg);

/* A message that a child must get; one that cannot be sent is our own bug. */
void daemon_child_send(struct daemon_child *c, const struct msg *m);
/* One without fields to all children on these sides. */
void daemon_send(struct daemon *d, unsigned sides, enum msg_type type);

/* --- daemon_phase.c: from the start's record to the stop's ---------------- */

void daemon_signals_init(struct daemon *d);
void daemon_phase_set(struct daemon *d, enum daemon_phase phase, int limit_ms);
/* A child is ready, or what `whole` asks for came true. */
void daemon_progress(struct daemon *d);
/* Record the stop, then leave. */
void daemon_stop(struct daemon *d);
void daemon_leave(struct daemon *d, int status) __attribute__((noreturn));

/* --- daemon_reload.c ------------------------------------------------------ */

void daemon_reload(struct daemon *d);
/* One that had to wait may go on. */
void daemon_reload_go_on(struct daemon *d);

/* --- daemon_tables.c: configuration as messages --------------------------- */

void daemon_tables_send(struct daemon *d);
bool daemon_tables_applied(const struct daemon *d);
void daemon_table_begin(struct daemon_child *c);
/* The rows of the table `peers`. Returns how many. */
int64_t daemon_table_peers(struct daemon_child *c);
void daemon_table_end(struct daemon_child *c, int64_t count);

/* Tell the frontend what status shows. */
void daemon_state_send(struct daemon *d);
/* What goes beyond the room there is does not show. */
void daemon_state_add(struct daemon_state *s, const char *key, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));
void daemon_state_warn(struct daemon_state *s, const char *text);

#endif
