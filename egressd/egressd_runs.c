/*
 * The parent's part in runs: it binds their sockets, since it alone may bind,
 * and starts the process fw, since it alone may open the socket for it. What
 * it is asked comes from the frontend, decoded; it looks at it again.
 */

#include <sys/socket.h>
#include <sys/types.h>

#include <netinet/in.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"
#include "libcommon/log.h"

#include "egressd_config.h"
#include "egressd_parent.h"

/* --- packet rules ----------------------------------------------------- */

void
parent_fw_open(struct parent *p)
{
	p->netlink = -1;
	if (!parent_config(p)->nft) {
		p->nft_why = "off by configuration";
		return;
	}
	if (p->d.unprivileged) {
		p->nft_why = "unavailable: not started as root";
		return;
	}
	if ((p->netlink = fw_socket()) == -1)
		fatal("packet rules (\"nft\": true) are not to be had here");
	p->nft = true;
}

void
parent_fw_base(struct parent *p)
{
	char text[EGRESS_NETWORKS_MAX][NETADDR_PREFIX_TEXT_MAX];
	const char *networks[EGRESS_NETWORKS_MAX];
	const struct egress_config *c = parent_config(p);
	struct msg m;
	uid_t uid, parent_uid;
	gid_t gid;
	size_t i;

	if (!p->nft)
		return;
	if (proc_user(c->user_proxy, &uid, &gid) == -1)
		fatalx("no such user: %s", c->user_proxy);
	if (uid == 0)
		fatalx("users.proxy is root, whom no packet rule limits");
	if (proc_user(c->user_parent, &parent_uid, &gid) == -1)
		fatalx("no such user: %s", c->user_parent);
	for (i = 0; i < c->nnetworks; i++)
		networks[i] = netprefix_text(&c->networks[i], text[i]);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_fw_base;
	m.u.fw_base.table = c->nft_table;
	m.u.fw_base.prefix = c->prefix;
	m.u.fw_base.networks.v = networks;
	m.u.fw_base.networks.n = c->nnetworks;
	m.u.fw_base.port = c->proxy_port;
	m.u.fw_base.proxy_uid = uid;
	m.u.fw_base.parent_uid = parent_uid;
	for (i = 0; i < p->d.nchildren; i++) {
		if (p->d.child[i].side == SIDE_FW &&
		    peer_send(p->d.child[i].peer, &m) == -1)
			panic("cannot send the base rules");
	}
}

void
parent_fw_record(struct parent *p, const struct msg_fw_state *m)
{
	struct msg r;

	memset(&r, 0, sizeof(r));
	r.type = MSG_TYPE_rec_lockdown;
	r.u.rec_lockdown.interface = m->interface;
	r.u.rec_lockdown.state = m->state;
	r.u.rec_lockdown.detail = m->detail;
	/* It is past: a full disk must not hide that the rules were gone. */
	if (audit_client_send_lasting(p->d.audit, &r, NULL, NULL) == -1)
		log_warnx("packet rules %s: not recorded", m->state);
}

/*
 * fw read its rules back: they are as they must be, or somebody changed them.
 * The first "closed" is recorded with the start.
 */
void
parent_fw_state(struct parent *p, const struct msg_fw_state *m)
{
	bool closed = strcmp(m->state, "lost") != 0;

	if (!p->closed && !closed)
		fatalx("fw lost rules that it never had");
	if (strcmp(m->state, "closed") != 0)
		log_warnx("packet rules of %s %s%s%s", m->interface, m->state,
		    m->detail != NULL ? ": " : "",
		    m->detail != NULL ? m->detail : "");
	p->rules_lost = !closed;
	/* The start says that they are closed: it waits until they are again.
	 */
	if (!p->d.start_sent) {
		p->closed = closed;
		return;
	}
	parent_fw_record(p, m);
	daemon_state_send(&p->d);
}

/* --- sockets of a run ------------------------------------------------- */

/*
 * A socket on an address that no interface may have yet: the listener is there
 * before the network of the run is.
 */
static int
bind_freely(const struct netaddr *addr, uint16_t port, int type)
{
	struct sockaddr_storage ss;
	socklen_t len = netaddr_to_sockaddr(addr, port, &ss);
	int fd, on = 1, saved;

	if ((fd = socket(AF_INET, type, 0)) == -1)
		return -1;
	if (fd_set_cloexec(fd) == -1 || fd_set_nonblock(fd) == -1 ||
	    fd_freebind(fd) == -1 ||
	    (type == SOCK_STREAM &&
	        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ==
	            -1) ||
	    bind(fd, (struct sockaddr *)&ss, len) == -1 ||
	    (type == SOCK_STREAM && listen(fd, PARENT_BACKLOG) == -1)) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static const struct {
	const char *kind;
	int type, port; /* behind the proxy's */
} run_sockets[EGRESS_RUN_SOCKETS] = {
	{ "proxy", SOCK_STREAM, 0 },
	{ "canary.tcp", SOCK_STREAM, 1 },
	{ "canary.udp", SOCK_DGRAM, 1 },
};

/* The worker with that number. */
static struct daemon_child *
worker_find(struct parent *p, int64_t instance)
{
	size_t i;

	for (i = 0; i < p->d.nchildren; i++) {
		if (p->d.child[i].side == SIDE_PROXY &&
		    p->d.child[i].instance == instance)
			return &p->d.child[i];
	}
	return NULL;
}

/*
 * The frontend may only have gateways of the configured networks bound, on
 * the one port: whoever takes it gains no listener that a run would not get.
 */
static bool
bind_allowed(
    const struct parent *p, const struct msg_run_bind *m, struct netaddr *addr)
{
	size_t i;

	if (!runid_valid(m->run) ||
	    netaddr_parse(m->address, strlen(m->address), addr) == -1 ||
	    addr->family != AF_INET)
		return false;
	for (i = 0; i < parent_config(p)->nnetworks; i++) {
		if (netprefix_contains(&parent_config(p)->networks[i], addr))
			return true;
	}
	return false;
}

static void
run_socket_send(struct daemon_child *worker, const struct msg_run_bind *b,
    const char *address, const char *kind, int fd)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_run_socket;
	m.u.run_socket.run = b->run;
	m.u.run_socket.address = address;
	m.u.run_socket.profile = b->profile;
	m.u.run_socket.kind = kind;
	if (peer_send_fd(worker->peer, &m, fd) == -1)
		panic("cannot send a socket of a run");
}

/* All three or none: 0, or -1 with errno and the port that was refused. */
static int
run_sockets_bind(const struct parent *p, const struct netaddr *addr,
    int fd[EGRESS_RUN_SOCKETS], int *port)
{
	int i, saved;

	for (i = 0; i < EGRESS_RUN_SOCKETS; i++) {
		*port = (int)parent_config(p)->proxy_port + run_sockets[i].port;
		fd[i] = bind_freely(addr, (uint16_t)*port, run_sockets[i].type);
		if (fd[i] != -1)
			continue;
		saved = errno;
		while (--i >= 0)
			close(fd[i]);
		errno = saved;
		return -1;
	}
	return 0;
}

void
parent_run_bind(struct parent *p, struct daemon_child *frontend, int64_t id,
    const struct msg_run_bind *b)
{
	struct daemon_child *worker = worker_find(p, b->worker);
	int fd[EGRESS_RUN_SOCKETS], i, port;
	char address[PARENT_ADDRESS_MAX], why[128];
	struct netaddr addr;
	struct msg m;

	if (worker == NULL || !bind_allowed(p, b, &addr))
		fatalx("the frontend asks for a listener that no run has");
	/* With a child lost, its link may be of no use any more. */
	if (p->d.phase != PHASE_SERVING || p->d.lost) {
		peer_send_error(
		    frontend->peer, id, "draining", "egressd is leaving");
		return;
	}
	/* A reload may have overtaken the request. */
	if (egress_profile_find(parent_config(p), b->profile) == NULL) {
		peer_send_error(frontend->peer, id, "invalid",
		    "profile: there is none of that name");
		return;
	}
	if (run_sockets_bind(p, &addr, fd, &port) == -1) {
		snprintf(why, sizeof(why), "cannot listen on %s port %d: %s",
		    b->address, port, strerror(errno));
		log_warnx("run %s: %s", b->run, why);
		peer_send_error(frontend->peer, id, "unavailable", why);
		return;
	}
	for (i = 0; i < EGRESS_RUN_SOCKETS; i++) {
		parent_address_text(&addr,
		    (uint16_t)(parent_config(p)->proxy_port +
		        run_sockets[i].port),
		    address, sizeof(address));
		run_socket_send(worker, b, address, run_sockets[i].kind, fd[i]);
	}
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_run_bound;
	m.id = id;
	if (peer_send(frontend->peer, &m) == -1)
		panic("cannot answer the frontend");
}
