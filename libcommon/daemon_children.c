#include <sys/wait.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/daemon.h"
#include "libcommon/log.h"

#define CHILD_NAME_MAX 32

static const struct peer_ops child_ops = { .message = daemon_child_message,
	.gone = daemon_child_gone };

struct daemon_child *
daemon_child_add(struct daemon *d, const char *role, unsigned instance,
    enum msg_side side, const char *table, const char *user)
{
	struct daemon_child *c;

	if (d->nchildren == DAEMON_CHILDREN_MAX)
		panic("too many children");
	c = &d->child[d->nchildren++];
	memset(c, 0, sizeof(*c));
	c->daemon = d;
	c->role = role;
	c->instance = instance;
	c->side = side;
	c->table = table;
	c->user = user;
	return c;
}

struct daemon_child *
daemon_child(struct daemon *d, enum msg_side side)
{
	size_t i;

	for (i = 0; i < d->nchildren; i++) {
		if (d->child[i].side == side)
			return &d->child[i];
	}
	panic("no such child");
}

/* --- start ------------------------------------------------------------ */

static void
child_start(struct daemon *d, struct daemon_child *c)
{
	struct proc_spec spec = { .role = c->role,
		.instance = c->instance,
		.uid = geteuid(),
		.gid = getegid(),
		.group = c->group };
	pid_t pid;
	int sv[2];

	if (geteuid() == 0 && proc_user(c->user, &spec.uid, &spec.gid) == -1)
		fatalx("no such user: %s", c->user);
	if (proc_socketpair(sv) == -1)
		fatal("socketpair");
	spec.parent_fd = sv[1];
	d->def->give(c, &spec);
	if ((pid = proc_spawn(d->def->name, &spec)) == -1)
		fatal("starting %s", c->role);
	if (proc_watch_add(d->watch, pid, c->role, c->instance) == -1)
		fatal("watching %s", c->role);
	c->peer = peer_new(d->base, sv[0], PEER_SIBLING, SIDE_PARENT, c->side,
	    d->def->name, c->role, c->ops != NULL ? c->ops : &child_ops, c);
	if (c->peer == NULL)
		fatal("link to %s", c->role);
}

void
daemon_children_start(struct daemon *d)
{
	size_t i;

	for (i = 0; i < d->nchildren; i++)
		child_start(d, &d->child[i]);
}

/* --- end -------------------------------------------------------------- */

static const char *
child_name(const struct daemon *d, const char *role, unsigned instance,
    char buf[CHILD_NAME_MAX])
{
	if (d->def->numbered)
		snprintf(buf, CHILD_NAME_MAX, "%s %u", role, instance);
	else
		strlcpy(buf, role, CHILD_NAME_MAX);
	return buf;
}

/*
 * The first sign that a child is lost. The others see it as well, and leave
 * with 0; which of them ended by itself, and how, waitpid says a moment later.
 */
static void
lost(struct daemon *d)
{
	struct timeval tv = { 0, DAEMON_LOST_MS * 1000 };

	if (!d->lost)
		evtimer_add(d->ev_lost, &tv);
	d->lost = true;
}

/* The peer stays, as the records' client may still hold it. */
void
daemon_child_gone(
    struct peer *peer, enum peer_end end, const char *why, void *arg)
{
	struct daemon_child *c = arg;
	char name[CHILD_NAME_MAX];

	log_debug(
	    "%s: %s", child_name(c->daemon, c->role, c->instance, name), why);
	lost(c->daemon);
}

/*
 * A child that ends takes the daemon down: what it held is gone, the others
 * would go on with half a boundary. The service manager starts us again.
 */
void
daemon_child_ended(const char *role, unsigned instance, int status, void *arg)
{
	struct daemon *d = arg;
	char how[64], name[CHILD_NAME_MAX];

	log_warnx("%s %s: leaving", child_name(d, role, instance, name),
	    proc_status_string(status, how, sizeof(how)));
	if (!WIFEXITED(status))
		daemon_leave(d, EXIT_INTERNAL);
	if (WEXITSTATUS(status) != 0)
		daemon_leave(d, WEXITSTATUS(status));
	lost(d);
}

/* --- messages --------------------------------------------------------- */

void
daemon_child_send(struct daemon_child *c, const struct msg *m)
{
	if (peer_send(c->peer, m) == -1)
		panic("cannot send %s to %s", msg_decl(m->type)->wire, c->role);
}

/* Not all need get it: one may just be leaving. */
void
daemon_send(struct daemon *d, unsigned sides, enum msg_type type)
{
	struct msg m;
	size_t i;

	memset(&m, 0, sizeof(m));
	m.type = type;
	for (i = 0; i < d->nchildren; i++) {
		if ((d->child[i].side & sides) != 0)
			peer_send(d->child[i].peer, &m);
	}
}

static void
child_ready(struct daemon_child *c, const struct msg_ready *r)
{
	if (c->ready)
		fatalx("%s says ready twice", c->role);
	c->ready = true;
	c->sandbox.seccomp = r->seccomp;
	c->sandbox.landlock = (int)r->landlock;
}

void
daemon_child_message(struct peer *peer, struct msg *m, int fd, void *arg)
{
	struct daemon_child *c = arg;
	struct daemon *d = c->daemon;

	switch (m->type) {
	case MSG_TYPE_ready:
		child_ready(c, &m->u.ready);
		daemon_progress(d);
		break;
	case MSG_TYPE_table_applied:
		c->applied = m->u.table_applied.generation;
		daemon_progress(d);
		break;
	case MSG_TYPE_recorded:
	case MSG_TYPE_unrecorded:
		audit_client_message(d->audit, m);
		break;
	default:
		if (d->def->message(c, m))
			break;
		fatalx(
		    "unexpected %s from %s", msg_decl(m->type)->wire, c->role);
	}
}
