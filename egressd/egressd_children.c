#include <string.h>

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

/* The ends of the links, from the one side and from the other. */
static struct links {
	int resolver[EGRESS_WORKERS_MAX][2]; /* [0] the proxy's */
	int audit[EGRESS_WORKERS_MAX][2];
	int frontend[EGRESS_WORKERS_MAX][2];
	int records[2]; /* [0] the frontend's */
	int fw[2]; /* [0] the frontend's; -1: no fw */
	size_t n;
} links;

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

void
parent_children_init(struct daemon *d)
{
	const struct egress_config *conf = d->now.own;
	bool nft = parent_of(d)->nft;
	unsigned i;

	daemon_child_add(d, "audit", 0, SIDE_AUDIT, NULL, conf->user_audit);
	daemon_child_add(
	    d, "resolver", 0, SIDE_RESOLVER, "resolver", conf->user_resolver);
	for (i = 0; i < (unsigned)conf->workers; i++)
		daemon_child_add(
		    d, "proxy", i, SIDE_PROXY, "policy", conf->user_proxy)
		    ->several = true;
	if (nft)
		daemon_child_add(d, "fw", 0, SIDE_FW, NULL, conf->user_fw);
	daemon_child_add(
	    d, "frontend", 0, SIDE_FRONTEND, "peers", conf->user_frontend);
	links_make(&links, (size_t)conf->workers, nft);
}

void
parent_children_give(const struct daemon_child *c, struct proc_spec *spec)
{
	const struct parent *p = (const struct parent *)c->daemon;
	const struct links *l = &links;
	size_t i;

	switch (c->side) {
	case SIDE_AUDIT:
		spec->fds[spec->nfds++] = p->d.audit_fd;
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
		spec->fds[spec->nfds++] = p->d.listen_fd;
		spec->fds[spec->nfds++] = l->records[0];
		for (i = 0; i < l->n; i++)
			spec->fds[spec->nfds++] = l->frontend[i][1];
		if (l->fw[0] != -1)
			spec->fds[spec->nfds++] = l->fw[0];
		break;
	case SIDE_FW:
		spec->fds[spec->nfds++] = p->netlink;
		spec->fds[spec->nfds++] = l->fw[1];
		break;
	default:
		panic("no such child: %s", c->role);
	}
}
