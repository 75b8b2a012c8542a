/*
 * dispatchd: the queue of runs, and the container engine. This is the parent:
 * it reads the configuration, makes sockets and directories, starts the other
 * processes and watches them. It parses nothing that a stranger sent.
 */

#include <sys/stat.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/log.h"

#include "dispatchd/dispatchd_parent.h"
#include "dispatchd/engine.h"
#include "dispatchd/frontend.h"
#include "dispatchd/queue.h"
#include "dispatchd/runs.h"

#define PARENT_UMASK 022

/* Who sends records, in the order of their links. */
static void
run_audit(const struct proc_self *self)
{
	static const enum msg_side senders[] = { SIDE_FRONTEND, SIDE_QUEUE };

	audit_main(self, senders);
}

/* How they are linked stands in dispatchd_children.c. */
static const struct daemon_role roles[] = {
	{ "audit", run_audit },
	{ "engine", engine_main },
	{ "runs", runs_main },
	{ "queue", queue_main },
	{ "frontend", dispatch_frontend_main },
	{ NULL, NULL },
};

/* --- start ------------------------------------------------------------ */

static void
dispatch_init(void)
{
	umask(PARENT_UMASK);
	if (peer_stream_prepare() == -1)
		fatalx("SHA-256 is not to be had");
}

static void
dispatch_open(struct daemon *d, uid_t uid, gid_t gid)
{
	dispatch_state_open(parent_of(d));
	dispatch_doors_open(parent_of(d), uid, gid);
}

/* Behind the last child: the doors are our working directory from here. */
static void
dispatch_paths(
    struct daemon *d, struct sandbox_paths *paths, const char **read, size_t *n)
{
	struct parent *p = parent_of(d);
	const struct dispatch_config *c = parent_config(p);
	size_t i;

	for (i = 0; i < c->nprofiles; i++) {
		if (c->profiles[i].ca_file != NULL)
			read[(*n)++] = c->profiles[i].ca_file;
	}
	paths->dir = p->doors_fd;
	if (fchdir(p->doors_fd) == -1)
		fatal("chdir %s", p->doors);
}

static void
dispatch_begin(struct daemon *d)
{
	dispatch_send_engine_base(parent_of(d));
}

static void
dispatch_serve(struct daemon *d, char *text, size_t len)
{
	const struct dispatch_config *c = parent_config(parent_of(d));

	snprintf(text, len, "%zu profiles, %zu tools", c->nprofiles, c->ntools);
}

/* --- end -------------------------------------------------------------- */

/* Runs survive it: no job is begun, and nothing is waited for. */
static void
dispatch_term(struct daemon *d)
{
	if (d->phase == PHASE_LEAVING) {
		log_info("leaving now");
		daemon_leave(d, 0);
	}
	log_info("leaving; runs go on");
	proc_notify("STOPPING=1");
	daemon_send(d, SIDE_FRONTEND, MSG_TYPE_drain);
	daemon_stop(d);
}

/* --- dispatch --------------------------------------------------------- */

static bool
dispatch_message(struct daemon_child *c, struct msg *m)
{
	struct parent *p = parent_of(c->daemon);

	switch (m->type) {
	case MSG_TYPE_door_make:
		dispatch_door_make(p, m->id, &m->u.door_make);
		return true;
	case MSG_TYPE_door_remove:
		dispatch_door_remove(p, &m->u.door_remove);
		return true;
	default:
		return false;
	}
}

/* --- main ------------------------------------------------------------- */

static const struct daemon_def def = {
	.name = "dispatchd",
	.file = "/etc/bulkhead/dispatchd.conf",
	.text_max = DISPATCH_TEXT_MAX,
	.too_large = DISPATCH_TOO_LARGE,
	.ready_ms = DISPATCH_READY_MS,
	.purpose = SANDBOX_DISPATCH,
	.roles = roles,
	.init = dispatch_init,
	.read = dispatch_config_take,
	.check = dispatch_config_sendable,
	.free = dispatch_config_drop,
	.fixed = dispatch_config_fixed,
	.open = dispatch_open,
	.children = dispatch_children_init,
	.give = dispatch_children_give,
	.paths = dispatch_paths,
	.table = dispatch_send_table,
	.begin = dispatch_begin,
	.serve = dispatch_serve,
	.state = dispatch_state,
	.message = dispatch_message,
	.term = dispatch_term,
};

int
main(int argc, char **argv)
{
	static struct parent p;

	return daemon_main(&p.d, &def, argc, argv);
}
