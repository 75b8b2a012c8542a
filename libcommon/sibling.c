#include <string.h>
#include <unistd.h>

#include "libcommon/log.h"
#include "libcommon/sibling.h"

struct peer *
sibling_link(struct event_base *base, int fd, enum msg_side me,
    enum msg_side other, const char *my_name, const char *other_name,
    const struct peer_ops *ops, void *arg)
{
	struct peer *p;

	p = peer_new(
	    base, fd, PEER_SIBLING, me, other, my_name, other_name, ops, arg);
	if (p == NULL)
		fatalx("out of memory");
	return p;
}

void
sibling_gone(struct peer *peer, enum peer_end end, const char *why, void *arg)
{
	log_debug("%s is gone: leaving", peer_name(peer));
	_exit(0);
}

void
sibling_send(struct peer *p, const struct msg *m)
{
	if (peer_send(p, m) == 0)
		return;
	if (peer_ending(p))
		sibling_gone(p, PEER_END_EOF, "it left", NULL);
	if (msg_decl(m->type)->kind == MSG_ANSWER &&
	    peer_send_internal(p, m->id) == 0)
		return;
	panic("cannot send %s to %s", msg_decl(m->type)->wire, peer_name(p));
}

void
sibling_send_ready(struct peer *parent, const struct sandbox_state *st)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_ready;
	m.u.ready.seccomp = st->seccomp;
	m.u.ready.landlock = st->landlock;
	sibling_send(parent, &m);
}

void
sibling_send_applied(struct peer *parent, const char *table, int64_t generation)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_table_applied;
	m.u.table_applied.table = table;
	m.u.table_applied.generation = generation;
	sibling_send(parent, &m);
}

void
sibling_audit_message(struct audit_client *audit, struct msg *m)
{
	switch (m->type) {
	case MSG_TYPE_recorded:
	case MSG_TYPE_unrecorded:
		audit_client_message(audit, m);
		break;
	default:
		fatalx("unexpected %s from audit", msg_decl(m->type)->wire);
	}
}
