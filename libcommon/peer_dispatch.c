#include <stdio.h>
#include <string.h>

#include "json.h"
#include "libcommon/version.h"
#include "log.h"
#include "peer_int.h"

#define SERVICE_MAX 32 /* msg.def: service of hello */

/* --- hello ------------------------------------------------------------ */

int
peer_hello(struct peer *p)
{
	char service[SERVICE_MAX + 1];
	struct msg m;

	strlcpy(service, p->my_name, sizeof(service));
	service[strcspn(service, "/")] = '\0';
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_hello;
	m.u.hello.service = service;
	m.u.hello.major = PEER_PROTOCOL_MAJOR;
	m.u.hello.version = BULKHEAD_VERSION;
	return peer_send(p, &m);
}

/* The other side learns the same from our hello, which went out before. */
static void
other_major(struct peer *p, int64_t major)
{
	peer_end(p, PEER_END_PROTOCOL, "%s speaks protocol %lld, we speak %d",
	    p->other_name, (long long)major, PEER_PROTOCOL_MAJOR);
}

/* --- requests that wait for their answer ------------------------------ */

static bool
is_open(const struct peer *p, int64_t id)
{
	size_t i;

	for (i = 0; i < p->nopen; i++)
		if (p->open[i] == id)
			return true;
	return false;
}

void
peer_answered(struct peer *p, int64_t id)
{
	size_t i;

	for (i = 0; i < p->nopen; i++) {
		if (p->open[i] == id) {
			p->open[i] = p->open[--p->nopen];
			return;
		}
	}
}

/*
 * Take note of a client's request. Returns false when it is not to be
 * delivered: it was answered here, or ended the connection. An id that is open
 * gets no error, which would pass for the answer to the first.
 */
static bool
admit(struct peer *p, int64_t id)
{
	if (is_open(p, id)) {
		peer_bad(p, "a request with the id of one that is open");
		return false;
	}
	if (p->nopen == PEER_INFLIGHT_MAX) {
		peer_send_error(p, id, "too_many",
		    "too many requests wait for their answer on this "
		    "connection");
		return false;
	}
	p->open[p->nopen++] = id;
	return true;
}

/* --- requests of ours that wait for theirs --------------------------- */

static struct peer_asked *
asked(struct peer *p, int64_t id)
{
	size_t i;

	for (i = 0; i < p->nasked; i++)
		if (p->asked[i].id == id)
			return &p->asked[i];
	return NULL;
}

bool
peer_can_ask(const struct peer *p)
{
	return p->kind == PEER_SIBLING || p->nasked < PEER_INFLIGHT_MAX;
}

const char *
peer_may_ask(const struct peer *p, const struct msg *m)
{
	size_t i;

	if (p->nasked == PEER_INFLIGHT_MAX)
		return "more requests than may be open";
	for (i = 0; i < p->nasked; i++)
		if (p->asked[i].id == m->id)
			return "a request of this id is open";
	return NULL;
}

void
peer_asked(struct peer *p, const struct msg *m)
{
	p->asked[p->nasked].id = m->id;
	p->asked[p->nasked++].answer = msg_decl(m->type)->answer;
}

/*
 * Whoever is at the other end of a client link answers what we asked, once. A
 * request that its owner gave up stays open here, so that a late answer is
 * that, and no answer to something else.
 */
static bool
settle(struct peer *p, const struct msg *m)
{
	struct peer_asked *a = asked(p, m->id);

	if (a == NULL || (m->type != MSG_TYPE_error && m->type != a->answer)) {
		peer_bad(p,
		    a == NULL ? "an answer to no open request"
		              : "an answer of the wrong kind");
		return false;
	}
	*a = p->asked[--p->nasked];
	return true;
}

/* --- bad bytes -------------------------------------------------------- */

static int64_t
int_member(const struct json_node *root, const char *name)
{
	const struct json_node *n = json_member(root, name);

	return n != NULL && n->type == JSON_INT ? n->num : 0;
}

static bool
is_hello(const struct json_node *root)
{
	const struct json_node *n = json_member(root, "type");

	return n != NULL && n->type == JSON_STRING &&
	    strcmp(n->str, msg_decl(MSG_TYPE_hello)->wire) == 0;
}

/*
 * An error says what was wrong where the bytes are JSON enough to have an id:
 * an answer without one could not be told from another's.
 */
static void
tell_malformed(struct peer *p, int64_t id, const char *why)
{
	if (id <= 0 || is_open(p, id) ||
	    !msg_permitted(MSG_TYPE_error, p->me, p->other))
		return;
	peer_send_error(p, id, "malformed", why);
	peer_write(p);
}

/*
 * A client's frame was refused by msg_decode. The hello of another major may
 * well have other fields than ours, and is told apart here.
 */
static void
refused(struct peer *p, const struct frame *f, const char *why)
{
	const struct json_node *root;
	struct json_error err;
	struct json_doc *doc = NULL;
	int64_t id = 0, major = 0;

	if (p->kind == PEER_CLIENT)
		doc = json_parse(
		    (const char *)f->data, f->len, &json_limits_frame, &err);
	if (doc != NULL && (root = json_root(doc))->type == JSON_OBJECT) {
		id = int_member(root, "id");
		if (!p->hello_got && is_hello(root))
			major = int_member(root, "major");
	}
	json_free(&doc);
	if (major != 0 && major != PEER_PROTOCOL_MAJOR) {
		other_major(p, major);
		return;
	}
	tell_malformed(p, id, why);
	peer_bad(p, why);
}

/* --- good ones -------------------------------------------------------- */

/* What streams say among themselves, which no owner sees. */
static bool
is_of_streams(const struct msg *m)
{
	return m->type == MSG_TYPE_stream_window ||
	    m->type == MSG_TYPE_stream_end ||
	    m->type == MSG_TYPE_stream_abort ||
	    m->type == MSG_TYPE_stream_closed;
}

/* What is wrong with a message that msg.def knows, or NULL. */
static const char *
wrong_here(const struct peer *p, const struct msg *m, size_t len)
{
	const struct msg_decl *decl = msg_decl(m->type);
	bool first = p->kind == PEER_CLIENT && !p->hello_got;

	if (first != (m->type == MSG_TYPE_hello))
		return first ? "no hello first" : "a hello where none is due";
	if (!msg_permitted(m->type, p->other, p->me))
		return "a message that it may not send here";
	if (is_of_streams(m) && p->ops->stream_end == NULL)
		return "a stream where there are none";
	if (len > FRAME_CTL_MAX && (decl->flags & MSG_F_BIG) == 0)
		return "a message longer than its kind may be";
	if ((decl->flags & MSG_F_FD) != 0 && p->in_fd == -1)
		return "a message without its descriptor";
	if ((decl->flags & MSG_F_FD) == 0 && p->in_fd != -1)
		return "a descriptor with a message that takes none";
	return NULL;
}

static void
deliver_to_stream(struct peer *p, const struct msg *m)
{
	switch (m->type) {
	case MSG_TYPE_stream_window:
		peer_stream_got_window(p, &m->u.stream_window);
		break;
	case MSG_TYPE_stream_end:
		peer_stream_got_end(p, &m->u.stream_end);
		break;
	case MSG_TYPE_stream_abort:
		if (m->u.stream_abort.sender)
			peer_stream_got_abort(p, &m->u.stream_abort);
		else
			peer_stream_got_stop(p, &m->u.stream_abort);
		break;
	case MSG_TYPE_stream_closed:
		peer_stream_got_closed(p, &m->u.stream_closed);
		break;
	default:
		break;
	}
}

static void
deliver(struct peer *p, struct msg *m)
{
	enum msg_kind kind = msg_decl(m->type)->kind;
	int fd = p->in_fd;

	if (p->kind == PEER_CLIENT && kind == MSG_REQUEST && !admit(p, m->id))
		return;
	if (p->kind == PEER_CLIENT && kind == MSG_ANSWER && !settle(p, m))
		return;
	p->in_fd = -1;
	p->ops->message(p, m, fd, p->arg);
}

void
peer_frame(struct peer *p, const struct frame *f)
{
	char text[PEER_WHY_MAX] = "";
	const char *why;
	struct msg m;

	if (f->kind != FRAME_CONTROL) {
		peer_stream_data(p, f);
		return;
	}
	if (msg_decode((const char *)f->data, f->len, &m, text, sizeof(text)) ==
	    -1) {
		refused(p, f, text);
		return;
	}
	log_trace("%s -> %s: %s %lld", p->other_name, p->my_name,
	    msg_decl(m.type)->wire, (long long)m.id);
	if ((why = wrong_here(p, &m, f->len)) != NULL) {
		if (msg_decl(m.type)->kind == MSG_REQUEST)
			tell_malformed(p, m.id, why);
		peer_bad(p, why);
	} else if (is_of_streams(&m))
		deliver_to_stream(p, &m);
	else if (m.type != MSG_TYPE_hello)
		deliver(p, &m);
	else if (m.u.hello.major != PEER_PROTOCOL_MAJOR)
		other_major(p, m.u.hello.major);
	else
		p->hello_got = true;
	msg_free(&m);
}
