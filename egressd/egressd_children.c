#include <sys/socket.h>
#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"
#include "libcommon/log.h"

#include "egressd_parent.h"

/*
 * The children, and the links among them:
 *
 *	frontend -- proxy N	runs that open and close, counters
 *	frontend -- fw		the packet rule of a run
 *	frontend -- audit	records of runs
 *	proxy N  -- resolver	names that policy let pass
 *	proxy N  -- audit	records
 *
 * Each child finds its links from PROC_FD_FIRST up, in this order:
 *
 *	audit		the record file, proxy 0, 1, ..., frontend
 *	resolver	proxy 0, 1, ...
 *	proxy		frontend, resolver, audit
 *	frontend	the listening socket, audit, proxy 0, 1, ..., fw if any
 *	fw		the netlink socket, frontend
 */
static struct child *
child_add(struct parent *p, const char *role, unsigned instance,
    enum msg_side side, enum parent_table table, const char *user)
{
	struct child *c = &p->child[p->nchildren++];

	memset(c, 0, sizeof(*c));
	c->parent = p;
	c->role = role;
	c->instance = instance;
	c->side = side;
	c->table = table;
	c->user = user;
	c->pid = -1;
	return c;
}

void
parent_children_init(struct parent *p)
{
	const struct egress_config *conf = p->config;
	unsigned i;

	child_add(p, "audit", 0, SIDE_AUDIT, TABLE_NONE, conf->user_audit);
	child_add(p, "resolver", 0, SIDE_RESOLVER, TABLE_RESOLVER,
	    conf->user_resolver);
	for (i = 0; i < (unsigned)conf->workers; i++)
		child_add(
		    p, "proxy", i, SIDE_PROXY, TABLE_POLICY, conf->user_proxy);
	if (p->nft)
		child_add(p, "fw", 0, SIDE_FW, TABLE_NONE, conf->user_fw);
	child_add(
	    p, "frontend", 0, SIDE_FRONTEND, TABLE_PEERS, conf->user_frontend);
}

/* The ends of the links, from the one side and from the other. */
struct links {
	int resolver[EGRESS_WORKERS_MAX][2]; /* [0] the proxy's */
	int audit[EGRESS_WORKERS_MAX][2];
	int frontend[EGRESS_WORKERS_MAX][2];
	int records[2]; /* [0] the frontend's */
	int fw[2]; /* [0] the frontend's; -1: no fw */
	size_t n;
};

static void
links_make(struct links *l, size_t workers, bool fw)
{
	if (proc_socketpair(l->records) == -1)
		fatal("socketpair");
	l->fw[0] = l->fw[1] = -1;
	if (fw && proc_socketpair(l->fw) == -1)
		fatal("socketpair");
	for (l->n = 0; l->n < workers; l->n++) {
		if (proc_socketpair(l->resolver[l->n]) == -1 ||
		    proc_socketpair(l->audit[l->n]) == -1 ||
		    proc_socketpair(l->frontend[l->n]) == -1)
			fatal("socketpair");
	}
}

static void
links_give(const struct links *l, const struct child *c,
    const struct parent_fds *given, struct proc_spec *spec)
{
	size_t i;

	switch (c->side) {
	case SIDE_AUDIT:
		spec->fds[spec->nfds++] = given->audit;
		for (i = 0; i < l->n; i++)
			spec->fds[spec->nfds++] = l->audit[i][1];
		spec->fds[spec->nfds++] = l->records[1];
		break;
	case SIDE_RESOLVER:
		for (i = 0; i < l->n; i++)
			spec->fds[spec->nfds++] = l->resolver[i][1];
		break;
	case SIDE_PROXY:
		spec->fds[spec->nfds++] = l->frontend[c->instance][0];
		spec->fds[spec->nfds++] = l->resolver[c->instance][0];
		spec->fds[spec->nfds++] = l->audit[c->instance][0];
		break;
	case SIDE_FRONTEND:
		spec->fds[spec->nfds++] = given->listen;
		spec->fds[spec->nfds++] = l->records[0];
		for (i = 0; i < l->n; i++)
			spec->fds[spec->nfds++] = l->frontend[i][1];
		if (l->fw[0] != -1)
			spec->fds[spec->nfds++] = l->fw[0];
		break;
	case SIDE_FW:
		spec->fds[spec->nfds++] = given->netlink;
		spec->fds[spec->nfds++] = l->fw[1];
		break;
	default:
		panic("no such child: %s", c->role);
	}
}

void
parent_children_start(struct parent *p, const struct parent_fds *given)
{
	struct proc_spec spec;
	struct links links;
	struct child *c;
	size_t i;
	int sv[2];

	links_make(&links, (size_t)p->config->workers, p->nft);
	for (i = 0; i < p->nchildren; i++) {
		c = &p->child[i];
		memset(&spec, 0, sizeof(spec));
		spec.role = c->role;
		spec.instance = c->instance;
		spec.uid = geteuid();
		spec.gid = getegid();
		if (geteuid() == 0 &&
		    proc_user(c->user, &spec.uid, &spec.gid) == -1)
			fatalx("no such user: %s", c->user);
		if (proc_socketpair(sv) == -1)
			fatal("socketpair");
		spec.parent_fd = sv[1];
		links_give(&links, c, given, &spec);
		c->pid = proc_spawn("egressd", &spec);
		if (c->pid == -1)
			fatal("starting %s", c->role);
		if (proc_watch_add(p->watch, c->pid, c->role, c->instance) ==
		    -1)
			fatal("watching %s", c->role);
		parent_child_link(p, c, sv[0]);
	}
}
