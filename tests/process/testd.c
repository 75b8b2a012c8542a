/*
 * testd, the smallest daemon there is: audit and a frontend, one request, one
 * key of its own. daemon_test.c runs it; a new daemon may begin as its copy.
 */

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/clients.h"
#include "libcommon/daemon.h"
#include "libcommon/grants.h"
#include "libcommon/log.h"
#include "libcommon/mem.h"
#include "libcommon/sibling.h"
#include "libcommon/status.h"

#include "testd.h"

#define FD_LISTEN (PROC_FD_FIRST + 0)

/* --- its configuration -------------------------------------------------- */

enum {
	VERB_status,
	VERB_MAX
};
static const char *const verbs[VERB_MAX] = { "status" };

struct config {
	struct conf *conf;
	const char *socket, *audit, *user, *word;
	bool hup; /* one comes while it starts */
	struct conf_peer peers[CONF_PEERS_MAX];
	size_t npeers;
	char sha256[65];
};

static const struct conf_key keys_peer[] = {
	CONF_PEER_KEYS("status"),
	{ .name = NULL },
};

static void
parse_peers(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	struct config *cfg = place;
	const struct conf_peers_reader r = { .keys = keys_peer,
		.verbs = verbs,
		.nverbs = VERB_MAX,
		.allowed = "status",
		.user = daemon_user_id,
		.group = daemon_group_id };

	conf_read_peers(c, n, path, &r, cfg->peers, &cfg->npeers);
}

#define TEXT(key, member)                                               \
	{                                                               \
		.name = key, .type = CONF_STRING, .min = 1, .max = 200, \
		.off = offsetof(struct config, member)                  \
	}
static const struct conf_key keys_top[] = {
	TEXT("socket", socket),
	TEXT("audit", audit),
	TEXT("user", user),
	TEXT("word", word),
	{ .name = "hup",
	    .type = CONF_BOOL,
	    .off = offsetof(struct config, hup) },
	{ .name = "peers", .type = CONF_CALL, .parse = parse_peers },
	{ .name = NULL },
};

static bool
testd_read(struct daemon_config *d, const char *file, struct conf **conf)
{
	struct config *c = xcalloc(1, sizeof(*c));

	d->own = c;
	c->conf = *conf = conf_new(file, d->text, d->len);
	if (conf_root(*conf) != NULL)
		conf_read(*conf, conf_root(*conf), "", keys_top, c);
	if (conf_errors(*conf) > 0) {
		free(c);
		d->own = NULL;
		return false;
	}
	daemon_text_hash(d->text, d->len, c->sha256);
	d->conf = c->conf;
	d->socket = c->socket;
	d->audit = c->audit;
	d->sha256 = c->sha256;
	d->peers = c->peers;
	d->npeers = c->npeers;
	d->user_parent = d->user_audit = c->user;
	d->users[d->nusers++] = c->user;
	d->needed = d->nusers;
	return true;
}

static bool
testd_check(const struct daemon_config *d, char *why, size_t whylen)
{
	const struct config *c = d->own;

	if (strcmp(c->word, "taboo") != 0)
		return true;
	strlcpy(why, "a word that is not said", whylen);
	return false;
}

static void
testd_free(struct daemon_config *d)
{
	struct config *c = d->own;

	if (c != NULL)
		conf_free(&c->conf);
	free(c);
}

static const char *
testd_fixed(const void *was, const void *is)
{
	const struct config *a = was, *b = is;

	return strcmp(a->word, b->word) != 0 ? "word" : NULL;
}

/* --- the frontend ------------------------------------------------------ */

static struct event_base *loop;
static struct peer *parent;
static int64_t started_ms;

static void
front_client(struct peer *peer, struct msg *m, int fd, void *arg)
{
	const struct status_counts counts = { .name = { "clients" },
		.value = { (int64_t)clients_count() },
		.n = 1 };
	struct client *c = arg;

	if (!grants_may(&c->creds, GRANT(VERB_status)))
		peer_send_error(peer, m->id, "refused", GRANTS_REFUSED);
	else
		status_answer(peer, m->id, "testd", started_ms, &counts, NULL);
}

static void
front_leaves(struct client *c)
{
}

static void
front_parent(struct peer *peer, struct msg *m, int fd, void *arg)
{
	switch (m->type) {
	case MSG_TYPE_table_begin:
		grants_begin(&m->u.table_begin);
		break;
	case MSG_TYPE_peer_row:
		grants_row(&m->u.peer_row);
		break;
	case MSG_TYPE_table_end:
		grants_end(&m->u.table_end, 0);
		sibling_send_applied(parent, "peers", grants_generation());
		break;
	case MSG_TYPE_state:
		status_keep(STATUS_PARENT, &m->u.state);
		break;
	case MSG_TYPE_go:
		clients_accept();
		break;
	default:
		clients_drain();
	}
}

static void
front_main(const struct proc_self *self)
{
	static const struct peer_ops parent_ops = { .message = front_parent,
		.gone = sibling_gone };
	static const struct peer_ops client_ops = { .message = front_client,
		.gone = clients_gone };
	static const struct clients_def clients = { .daemon = "testd",
		.size = sizeof(struct client),
		.ops = &client_ops,
		.leaves = front_leaves };
	struct sandbox_state st;

	st = proc_enter(self, 64, 0, SANDBOX_FRONTEND);
	if ((loop = event_base_new()) == NULL)
		fatalx("no event loop");
	started_ms = clock_boot_ms();
	clients_init(loop, FD_LISTEN, &clients);
	grants_init(verbs, VERB_MAX);
	parent = sibling_link(loop, PROC_FD_PARENT, SIDE_FRONTEND, SIDE_PARENT,
	    "frontend", "testd", &parent_ops, NULL);
	sibling_send_ready(parent, &st);
	event_base_dispatch(loop);
	panic("the event loop ended");
}

/* --- the parent -------------------------------------------------------- */

static void
run_audit(const struct proc_self *self)
{
	audit_main(self, NULL);
}

static const struct daemon_role roles[] = {
	{ "audit", run_audit },
	{ "frontend", front_main },
	{ NULL, NULL },
};

/* Behind this the sandbox is shut: nobody can send a signal any more. */
static void
testd_open(struct daemon *d, uid_t uid, gid_t gid)
{
	const struct config *c = d->now.own;

	if (c->hup)
		raise(SIGHUP);
}

static void
testd_children(struct daemon *d)
{
	const struct config *c = d->now.own;

	daemon_child_add(d, "audit", 0, SIDE_AUDIT, NULL, c->user);
	daemon_child_add(d, "frontend", 0, SIDE_FRONTEND, "peers", c->user);
}

static void
testd_give(const struct daemon_child *c, struct proc_spec *spec)
{
	spec->fds[spec->nfds++] =
	    c->side == SIDE_AUDIT ? c->daemon->audit_fd : c->daemon->listen_fd;
}

static void
testd_table(struct daemon *d, struct daemon_child *c)
{
	daemon_table_begin(c);
	daemon_table_end(c, daemon_table_peers(c));
}

static void
testd_serve(struct daemon *d, char *text, size_t len)
{
	strlcpy(text, "nobody in particular", len);
}

static void
testd_state(struct daemon *d, struct daemon_state *s)
{
	const struct config *c = d->now.own;

	daemon_state_add(s, "word", "%s", c->word);
}

static bool
testd_message(struct daemon_child *c, struct msg *m)
{
	return false;
}

static void
testd_term(struct daemon *d)
{
	if (d->phase != PHASE_LEAVING)
		daemon_stop(d);
}

static const struct daemon_def def = {
	.name = "testd",
	.file = "/nonexistent/testd.conf",
	.text_max = TESTD_CONFIG_MAX,
	.too_large = "larger than 4096 bytes",
	.ready_ms = 10000,
	.purpose = SANDBOX_PARENT,
	.roles = roles,
	.read = testd_read,
	.check = testd_check,
	.free = testd_free,
	.fixed = testd_fixed,
	.open = testd_open,
	.children = testd_children,
	.give = testd_give,
	.table = testd_table,
	.serve = testd_serve,
	.state = testd_state,
	.message = testd_message,
	.term = testd_term,
};

int
testd_main(int argc, char **argv)
{
	static struct daemon d;

	return daemon_main(&d, &def, argc, argv);
}
