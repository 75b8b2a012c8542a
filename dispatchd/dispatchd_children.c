#include <string.h>

#include "libcommon/log.h"

#include "dispatchd/dispatchd_parent.h"

/*
 * The children, and the links among them:
 *
 *	frontend -- queue	what clients ask
 *	frontend -- runs	logs and bundles
 *	queue    -- engine	containers and networks
 *	queue    -- runs	what a run is to do, and what it did
 *	queue    -- audit	records of runs
 *	frontend -- audit	records of what was refused
 *
 * Each child finds its links from PROC_FD_FIRST up, in this order:
 *
 *	audit		the record file, frontend, queue
 *	engine		queue
 *	runs		the directory STATE/runs, queue, frontend
 *	queue		the directory STATE/queue, frontend, engine, runs, audit
 *	frontend	the listening socket, queue, runs, audit
 */
enum link {
	LINK_FRONTEND_QUEUE,
	LINK_FRONTEND_RUNS,
	LINK_QUEUE_ENGINE,
	LINK_QUEUE_RUNS,
	LINK_QUEUE_AUDIT,
	LINK_FRONTEND_AUDIT,
	LINKS
};

/* [0] is the end of the one that the link is named for first. */
static int links[LINKS][2];

void
dispatch_children_init(struct daemon *d)
{
	const struct dispatch_config *conf = d->now.own;
	int i;

	daemon_child_add(d, "audit", 0, SIDE_AUDIT, NULL, conf->user_audit);
	daemon_child_add(d, "engine", 0, SIDE_ENGINE, NULL, conf->user_engine);
	daemon_child_add(d, "runs", 0, SIDE_RUNS, NULL, conf->user_runs);
	daemon_child_add(d, "queue", 0, SIDE_QUEUE, "config", conf->user_queue)
	    ->ops = &dispatch_queue_ops;
	daemon_child_add(
	    d, "frontend", 0, SIDE_FRONTEND, "peers", conf->user_frontend);
	dispatch_engine_socket(parent_of(d));
	for (i = 0; i < LINKS; i++) {
		if (proc_socketpair(links[i]) == -1)
			fatal("socketpair");
	}
}

void
dispatch_children_give(const struct daemon_child *c, struct proc_spec *spec)
{
	const struct parent *p = (const struct parent *)c->daemon;
	int *fds = spec->fds;
	size_t n = 0;

	switch (c->side) {
	case SIDE_AUDIT:
		fds[n++] = p->d.audit_fd;
		fds[n++] = links[LINK_FRONTEND_AUDIT][1];
		fds[n++] = links[LINK_QUEUE_AUDIT][1];
		break;
	case SIDE_ENGINE:
		fds[n++] = links[LINK_QUEUE_ENGINE][1];
		break;
	case SIDE_RUNS:
		fds[n++] = p->runs_dir;
		fds[n++] = links[LINK_QUEUE_RUNS][1];
		fds[n++] = links[LINK_FRONTEND_RUNS][1];
		break;
	case SIDE_QUEUE:
		fds[n++] = p->queue_dir;
		fds[n++] = links[LINK_FRONTEND_QUEUE][1];
		fds[n++] = links[LINK_QUEUE_ENGINE][0];
		fds[n++] = links[LINK_QUEUE_RUNS][0];
		fds[n++] = links[LINK_QUEUE_AUDIT][0];
		break;
	case SIDE_FRONTEND:
		fds[n++] = p->d.listen_fd;
		fds[n++] = links[LINK_FRONTEND_QUEUE][0];
		fds[n++] = links[LINK_FRONTEND_RUNS][0];
		fds[n++] = links[LINK_FRONTEND_AUDIT][0];
		break;
	default:
		panic("no such child: %s", c->role);
	}
	spec->nfds = n;
}
