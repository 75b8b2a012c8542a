/*
 * egressd: the only way out of a run's container. This is the parent: it
 * reads the configuration, makes the sockets, starts the other processes and
 * watches them. It parses nothing that a stranger sent.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/log.h"

#include "egressd_parent.h"

#define CAP_BIND (1ULL << 10) /* CAP_NET_BIND_SERVICE */

/* Who sends records: the workers, and the frontend as the last. */
static void
run_audit(const struct proc_self *self)
{
	enum msg_side sides[PROC_FDS_MAX];
	unsigned i;

	for (i = 0; i + 1 < self->nlinks; i++)
		sides[i] = i + 2 < self->nlinks ? SIDE_PROXY : SIDE_FRONTEND;
	audit_main(self, sides);
}

/* How they are linked stands in egressd_children.c. */
static const struct daemon_role roles[] = {
	{ "audit", run_audit },
	{ "resolver", resolver_main },
	{ "proxy", proxy_main },
	{ "fw", fw_main },
	{ "frontend", frontend_main },
	{ NULL, NULL },
};

/* --- start ------------------------------------------------------------ */

static void
egress_open(struct daemon *d, uid_t uid, gid_t gid)
{
	struct parent *p = parent_of(d);
	char why[256];

	if (parent_listen_all(parent_config(p), NULL, 0, p->sets, &p->nsets,
	        DAEMON_BIND_RETRY_MS, why, sizeof(why)) == -1) {
		log_warnx("%s", why);
		exit(EXIT_SYSTEM);
	}
	parent_fw_open(p);
}

static void
egress_paths(
    struct daemon *d, struct sandbox_paths *paths, const char **read, size_t *n)
{
	const struct egress_config *c = parent_config(parent_of(d));

	read[(*n)++] = "/usr/share/publicsuffix";
	read[(*n)++] = c->hosts_file != NULL ? c->hosts_file : "/etc/hosts";
	read[(*n)++] = "/run/systemd/resolve"; /* resolv.conf is a link */
}

static void
egress_begin(struct daemon *d)
{
	parent_fw_base(parent_of(d));
}

static bool
egress_whole(const struct daemon *d)
{
	const struct parent *p = (const struct parent *)d;

	return !p->nft || p->closed;
}

static void
egress_started(struct daemon *d)
{
	struct parent *p = parent_of(d);
	char interfaces[EGRESS_PREFIX_MAX + 2];
	const struct msg_fw_state closed = { .interface = interfaces,
		.state = "closed" };

	if (!p->nft)
		return;
	snprintf(
	    interfaces, sizeof(interfaces), "%s*", parent_config(p)->prefix);
	parent_fw_record(p, &closed);
}

static void
egress_serve(struct daemon *d, char *text, size_t len)
{
	const struct egress_config *c = parent_config(parent_of(d));

	parent_send_listeners(parent_of(d));
	snprintf(text, len, "%zu listeners, %zu profiles", c->nlisteners,
	    c->nprofiles);
}

/* --- end -------------------------------------------------------------- */

static void
drain(struct parent *p)
{
	log_info("draining: open tunnels have %d s", PARENT_DRAIN_MS / 1000);
	daemon_phase_set(&p->d, PHASE_DRAINING, PARENT_DRAIN_MS);
	proc_notify("STOPPING=1");
	/* They stay in the table: a reload under way shares them. */
	parent_listen_close(p->sets, p->nsets, NULL, 0);
	daemon_send(&p->d, SIDE_PROXY | SIDE_FRONTEND, MSG_TYPE_drain);
}

static void
cut(struct parent *p)
{
	daemon_phase_set(&p->d, PHASE_CUTTING, PARENT_CUT_MS);
	daemon_send(&p->d, SIDE_PROXY, MSG_TYPE_cut);
}

static void
leave(struct parent *p)
{
	/* Nobody listens for the runs any more; nor shall others. */
	daemon_send(&p->d, SIDE_FW, MSG_TYPE_drain);
	daemon_stop(&p->d);
}

static void
egress_term(struct daemon *d)
{
	if (d->phase == PHASE_SERVING)
		drain(parent_of(d));
	else if (d->phase == PHASE_DRAINING) {
		log_info("leaving now");
		cut(parent_of(d));
	}
}

static void
egress_late(struct daemon *d)
{
	if (d->phase == PHASE_DRAINING)
		cut(parent_of(d));
	else {
		log_warnx("tunnels are still open: leaving without them");
		leave(parent_of(d));
	}
}

static void
drained(struct daemon_child *worker)
{
	struct daemon *d = worker->daemon;
	size_t i;

	worker->drained = true;
	for (i = 0; i < d->nchildren; i++) {
		if (d->child[i].side == SIDE_PROXY && !d->child[i].drained)
			return;
	}
	if (d->phase == PHASE_DRAINING || d->phase == PHASE_CUTTING)
		leave(parent_of(d));
}

/* --- dispatch --------------------------------------------------------- */

static bool
egress_message(struct daemon_child *c, struct msg *m)
{
	struct parent *p = parent_of(c->daemon);

	switch (m->type) {
	case MSG_TYPE_drained:
		drained(c);
		return true;
	case MSG_TYPE_fw_state:
		parent_fw_state(p, &m->u.fw_state);
		daemon_progress(&p->d);
		return true;
	case MSG_TYPE_run_bind:
		parent_run_bind(p, c, m->id, &m->u.run_bind);
		return true;
	default:
		return false;
	}
}

/* --- main ------------------------------------------------------------- */

static const struct daemon_def def = {
	.name = "egressd",
	.file = "/etc/bulkhead/egressd.conf",
	.text_max = CONF_FILE_MAX,
	.too_large = "larger than a configuration may be",
	.ready_ms = PARENT_READY_MS,
	.numbered = true,
	.keep_caps = CAP_BIND,
	.purpose = SANDBOX_PARENT,
	.roles = roles,
	.init = egress_config_init,
	.read = parent_config_read,
	.free = parent_config_free,
	.fixed = parent_config_fixed,
	.open = egress_open,
	.children = parent_children_init,
	.give = parent_children_give,
	.paths = egress_paths,
	.table = parent_send_table,
	.begin = egress_begin,
	.whole = egress_whole,
	.started = egress_started,
	.serve = egress_serve,
	.state = parent_state,
	.message = egress_message,
	.prepare = parent_reload_prepare,
	.drop = parent_reload_drop,
	.reloaded = parent_reload_done,
	.term = egress_term,
	.late = egress_late,
};

int
main(int argc, char **argv)
{
	static struct parent p;

	return daemon_main(&p.d, &def, argc, argv);
}
