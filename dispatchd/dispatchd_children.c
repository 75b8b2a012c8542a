#include <sys/types.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

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

static struct child *
child_add(struct parent *p, const char *role, enum msg_side side,
    enum dispatch_table table, const char *user)
{
	struct child *c = &p->child[p->nchildren++];

	c->parent = p;
	c->role = role;
	c->side = side;
	c->table = table;
	c->user = user;
	c->pid = -1;
	return c;
}

/* audit is the first: its link is the parent's for records too. */
void
dispatch_children_init(struct parent *p)
{
	const struct dispatch_config *conf = p->now.config;

	child_add(p, "audit", SIDE_AUDIT, TABLE_NONE, conf->user_audit);
	child_add(p, "engine", SIDE_ENGINE, TABLE_NONE, conf->user_engine);
	child_add(p, "runs", SIDE_RUNS, TABLE_NONE, conf->user_runs);
	child_add(p, "queue", SIDE_QUEUE, TABLE_CONFIG, conf->user_queue);
	child_add(
	    p, "frontend", SIDE_FRONTEND, TABLE_PEERS, conf->user_frontend);
}

struct child *
dispatch_child(struct parent *p, enum msg_side side)
{
	size_t i;

	for (i = 0; i < p->nchildren; i++) {
		if (p->child[i].side == side)
			return &p->child[i];
	}
	panic("no such child");
}

/* [0] is the end of the one that the link is named for first. */
static void
links_give(int l[LINKS][2], const struct child *c,
    const struct parent_fds *given, struct proc_spec *spec)
{
	int *fds = spec->fds;
	size_t n = 0;

	switch (c->side) {
	case SIDE_AUDIT:
		fds[n++] = given->audit;
		fds[n++] = l[LINK_FRONTEND_AUDIT][1];
		fds[n++] = l[LINK_QUEUE_AUDIT][1];
		break;
	case SIDE_ENGINE:
		fds[n++] = l[LINK_QUEUE_ENGINE][1];
		break;
	case SIDE_RUNS:
		fds[n++] = given->runs_dir;
		fds[n++] = l[LINK_QUEUE_RUNS][1];
		fds[n++] = l[LINK_FRONTEND_RUNS][1];
		break;
	case SIDE_QUEUE:
		fds[n++] = given->queue_dir;
		fds[n++] = l[LINK_FRONTEND_QUEUE][1];
		fds[n++] = l[LINK_QUEUE_ENGINE][0];
		fds[n++] = l[LINK_QUEUE_RUNS][0];
		fds[n++] = l[LINK_QUEUE_AUDIT][0];
		break;
	case SIDE_FRONTEND:
		fds[n++] = given->listen;
		fds[n++] = l[LINK_FRONTEND_QUEUE][0];
		fds[n++] = l[LINK_FRONTEND_RUNS][0];
		fds[n++] = l[LINK_FRONTEND_AUDIT][0];
		break;
	default:
		panic("no such child: %s", c->role);
	}
	spec->nfds = n;
}

void
dispatch_children_start(struct parent *p, const struct parent_fds *given)
{
	struct proc_spec spec;
	int links[LINKS][2], sv[2];
	struct child *c;
	size_t i;

	for (i = 0; i < LINKS; i++) {
		if (proc_socketpair(links[i]) == -1)
			fatal("socketpair");
	}
	for (i = 0; i < p->nchildren; i++) {
		c = &p->child[i];
		memset(&spec, 0, sizeof(spec));
		spec.role = c->role;
		spec.uid = geteuid();
		spec.gid = getegid();
		spec.group = c->group;
		if (geteuid() == 0 &&
		    proc_user(c->user, &spec.uid, &spec.gid) == -1)
			fatalx("no such user: %s", c->user);
		if (proc_socketpair(sv) == -1)
			fatal("socketpair");
		spec.parent_fd = sv[1];
		links_give(links, c, given, &spec);
		c->pid = proc_spawn("dispatchd", &spec);
		if (c->pid == -1)
			fatal("starting %s", c->role);
		if (proc_watch_add(p->watch, c->pid, c->role, 0) == -1)
			fatal("watching %s", c->role);
		dispatch_child_link(p, c, sv[0]);
	}
}
