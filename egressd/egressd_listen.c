#include <sys/socket.h>
#include <sys/types.h>

#include <netinet/in.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/fd.h"
#include "libcommon/log.h"

#include "egressd_parent.h"

/*
 * A socket is of whom makes it, whoever has it later, and by that the packet
 * rules know what a proxy sends that was taken. Root's they would let pass.
 */
static int
socket_of(uid_t uid, int family)
{
	bool root = geteuid() == 0;
	int fd, saved;

	if (root && seteuid(uid) == -1)
		return -1;
	fd = socket(family, SOCK_STREAM, 0);
	saved = errno;
	if (root && seteuid(0) == -1)
		fatal("seteuid");
	errno = saved;
	return fd;
}

/*
 * One listening TCP socket. The first of an address is bound without
 * SO_REUSEPORT (then closed) so that a port that another program, or another
 * instance of us, listens on is refused and not shared with it.
 */
static int
listen_inet(uid_t uid, const struct netaddr *addr, uint16_t port, bool shared)
{
	struct sockaddr_storage ss;
	socklen_t len;
	int fd, on = 1, saved;

	fd = socket_of(uid, addr->family);
	if (fd == -1)
		return -1;
	len = netaddr_to_sockaddr(addr, port, &ss);
	if (fd_set_cloexec(fd) == -1 || fd_set_nonblock(fd) == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    (shared &&
	        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) ==
	            -1) ||
	    (addr->family == AF_INET6 &&
	        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) ==
	            -1) ||
	    bind(fd, (struct sockaddr *)&ss, len) == -1 ||
	    listen(fd, PARENT_BACKLOG) == -1) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static void
set_close(struct listen_set *set)
{
	size_t i;

	for (i = 0; i < set->nfd; i++)
		close(set->fd[i]);
	set->nfd = 0;
}

static int
set_open(struct listen_set *set, uid_t uid, size_t workers, int64_t until)
{
	int fd, saved;

	if ((fd = daemon_given_inet(&set->addr, set->port)) != -1) {
		/* One queue that all workers take from. */
		for (set->fd[set->nfd++] = fd; set->nfd < workers; set->nfd++) {
			fd = fcntl(set->fd[0], F_DUPFD_CLOEXEC, 64);
			if (fd == -1) {
				saved = errno;
				set_close(set);
				errno = saved;
				return -1;
			}
			set->fd[set->nfd] = fd;
		}
		return 0;
	}
	while ((fd = listen_inet(uid, &set->addr, set->port, false)) == -1 &&
	    errno == EADDRINUSE && clock_boot_ms() < until)
		daemon_listen_pause();
	if (fd == -1)
		return -1;
	close(fd);
	while (set->nfd < workers) {
		fd = listen_inet(uid, &set->addr, set->port, true);
		if (fd == -1) {
			saved = errno;
			set_close(set);
			errno = saved;
			return -1;
		}
		set->fd[set->nfd++] = fd;
	}
	return 0;
}

static const struct listen_set *
set_find(const struct listen_set *sets, size_t n, const struct netaddr *addr,
    uint16_t port)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (sets[i].port == port && netaddr_equal(&sets[i].addr, addr))
			return &sets[i];
	}
	return NULL;
}

int
parent_listen_all(const struct egress_config *c, const struct listen_set *old,
    size_t nold, struct listen_set *sets, size_t *nsets, int64_t retry_ms,
    char *why, size_t whylen)
{
	const struct egress_listener *l;
	const struct listen_set *have;
	uid_t uid = 0; /* not asked for behind the drop: it is ours then */
	gid_t gid;
	int64_t until;
	size_t i;

	if (geteuid() == 0 && proc_user(c->user_parent, &uid, &gid) == -1)
		fatalx("no such user: %s", c->user_parent);
	until = clock_boot_ms() + retry_ms;
	for (i = 0; i < c->nlisteners; i++) {
		l = &c->listeners[i];
		have = set_find(old, nold, &l->addr, l->port);
		if (have != NULL) {
			sets[i] = *have;
			continue;
		}
		memset(&sets[i], 0, sizeof(sets[i]));
		sets[i].addr = l->addr;
		sets[i].port = l->port;
		if (set_open(&sets[i], uid, (size_t)c->workers, until) == -1) {
			snprintf(why, whylen,
			    "listener %s: cannot listen on "
			    "its address, port %u: %s",
			    l->name, l->port, strerror(errno));
			parent_listen_close(sets, i, old, nold);
			return -1;
		}
	}
	*nsets = c->nlisteners;
	return 0;
}

void
parent_listen_close(struct listen_set *sets, size_t nsets,
    const struct listen_set *keep, size_t nkeep)
{
	size_t i;

	for (i = 0; i < nsets; i++) {
		if (set_find(keep, nkeep, &sets[i].addr, sets[i].port) == NULL)
			set_close(&sets[i]);
	}
}
