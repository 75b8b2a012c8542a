#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "log.h"
#include "peer_int.h"

#define BATCH_IOV 32 /* pieces of one sendmsg: two a frame */
#define REASON_MAX 512 /* msg.def: reason of error */
#define TURN_DATA (1024 * 1024) /* of streams in one turn of the loop */

static size_t
seg_left(const struct peer_seg *seg)
{
	return seg->hdr_len + seg->len - seg->off;
}

void
peer_seg_free(struct peer_seg *seg)
{
	if (seg->fd != -1)
		close(seg->fd);
	if (seg->cap > 0)
		explicit_bzero(seg->text, seg->len);
	else
		freezero(seg->text, seg->len);
	free(seg);
}

void
peer_out_drop(struct peer *p)
{
	struct peer_seg *seg;

	while ((seg = TAILQ_FIRST(&p->out)) != NULL) {
		TAILQ_REMOVE(&p->out, seg, entry);
		peer_seg_free(seg);
	}
	p->out_bytes = 0;
	p->out_data = 0;
}

/* --- writing ---------------------------------------------------------- */

/* What of seg is not yet written, as one or two pieces. */
static int
seg_iov(const struct peer_seg *seg, struct iovec iov[2])
{
	size_t off = seg->off;
	int n = 0;

	if (off < seg->hdr_len) {
		/* Nothing is written through an iovec of sendmsg. */
		iov[n].iov_base = (void *)(uintptr_t)(seg->hdr + off);
		iov[n++].iov_len = seg->hdr_len - off;
		off = seg->hdr_len;
	}
	off -= seg->hdr_len;
	iov[n].iov_base = seg->text + off;
	iov[n++].iov_len = seg->len - off;
	return n;
}

/*
 * As many frames as one call takes. The rights of a message are received with
 * the first byte of the sendmsg that carries them, and other bytes of that
 * sendmsg could be read with them: so a frame with a descriptor begins its
 * own call, and none follows it there.
 */
static int
gather(struct peer *p, struct iovec iov[BATCH_IOV])
{
	struct peer_seg *seg;
	int n = 0;

	TAILQ_FOREACH(seg, &p->out, entry) {
		if (n + 2 > BATCH_IOV || (seg->fd != -1 && n > 0))
			break;
		n += seg_iov(seg, iov + n);
		if (seg->fd != -1)
			break;
	}
	return n;
}

static ssize_t
send_some(struct peer *p)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov[BATCH_IOV];
	struct cmsghdr *c;
	struct msghdr mh;
	ssize_t n;
	int fd = TAILQ_FIRST(&p->out)->fd;

	memset(&mh, 0, sizeof(mh));
	mh.msg_iov = iov;
	mh.msg_iovlen = (size_t)gather(p, iov);
	if (fd != -1) {
		memset(&control, 0, sizeof(control));
		mh.msg_control = control.buf;
		mh.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	do
		n = sendmsg(p->fd, &mh, FD_NOSIGNAL);
	while (n == -1 && errno == EINTR);
	return n;
}

static void
written(struct peer *p, size_t n)
{
	struct peer_seg *seg;
	size_t part;

	while (n > 0 && (seg = TAILQ_FIRST(&p->out)) != NULL) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): TAILQ_REMOVE */
		part = seg_left(seg) < n ? seg_left(seg) : n;
		seg->off += part;
		n -= part;
		*(seg->cap > 0 ? &p->out_data : &p->out_bytes) -= part;
		if (seg->fd != -1)
			close(seg->fd);
		seg->fd = -1;
		if (seg_left(seg) > 0)
			break;
		TAILQ_REMOVE(&p->out, seg, entry);
		peer_seg_free(seg);
	}
}

/*
 * Nobody reads any more, but what the other side said before it went, an error
 * that tells why perhaps, is still to be read; the end is found there.
 */
static void
write_failed(struct peer *p)
{
	struct peer_stream *s;

	if (errno != EPIPE && errno != ECONNRESET && errno != ENOTCONN) {
		peer_end(p, PEER_END_SYSTEM, "write: %s", strerror(errno));
		return;
	}
	p->out_dead = true;
	peer_out_drop(p);
	while ((s = TAILQ_FIRST(&p->turns)) != NULL)
		peer_stream_drop(p, s);
	event_del(p->wev);
	event_active(p->rev, EV_READ, 1);
}

void
peer_write(struct peer *p)
{
	size_t budget = TURN_DATA;
	ssize_t n;

	if (p->ending || p->freed)
		return;
	for (;;) {
		peer_stream_feed(p, &budget);
		if (p->ending)
			return;
		if (TAILQ_EMPTY(&p->out))
			break;
		n = send_some(p);
		if (n >= 0) {
			written(p, (size_t)n);
			continue;
		}
		if (errno != EAGAIN)
			write_failed(p);
		else if (event_add(p->wev, NULL) == -1)
			peer_end(p, PEER_END_SYSTEM, "out of memory");
		return;
	}
	if (TAILQ_EMPTY(&p->turns))
		event_del(p->wev);
	else if (event_add(p->wev, NULL) == -1)
		peer_end(p, PEER_END_SYSTEM, "out of memory");
}

void
peer_flush(struct peer *p)
{
	peer_write(p);
}

/* --- queueing --------------------------------------------------------- */

/* Why m may not go out on this link, or NULL: our own mistakes. */
static const char *
misuse(const struct peer *p, const struct msg *m, int fd)
{
	const struct msg_decl *decl = msg_decl(m->type);

	if (decl == NULL)
		return "no such message";
	if (!msg_permitted(m->type, p->me, p->other))
		return "not for this link";
	if (((decl->flags & MSG_F_FD) != 0) != (fd != -1))
		return fd == -1 ? "needs a descriptor" : "takes no descriptor";
	if (fd != -1 && p->kind != PEER_SIBLING)
		return "no descriptors towards a client";
	if (p->kind == PEER_CLIENT && decl->kind == MSG_REQUEST)
		return peer_may_ask(p, m);
	return NULL;
}

static size_t
text_max(const struct msg *m)
{
	return (msg_decl(m->type)->flags & MSG_F_BIG) != 0 ? FRAME_CTL_BIG_MAX
	                                                   : FRAME_CTL_MAX;
}

/* NULL when the message cannot be sent: a mistake of ours is logged. */
static struct peer_seg *
seg_new(struct peer *p, const struct msg *m, int fd)
{
	char why[PEER_WHY_MAX] = "";
	const char *wrong = misuse(p, m, fd);
	struct peer_seg *seg;

	if ((seg = calloc(1, sizeof(*seg))) == NULL) {
		peer_end(p, PEER_END_SYSTEM, "out of memory");
		return NULL;
	}
	seg->fd = -1;
	if (wrong == NULL &&
	    msg_encode(m, &seg->text, &seg->len, why, sizeof(why)) == -1)
		wrong = why;
	else if (wrong == NULL && seg->len > text_max(m))
		wrong = "longer than a frame";
	if (wrong != NULL) {
		log_warnx("bug: %s cannot send %s to %s: %s", p->my_name,
		    msg_decl(m->type) == NULL ? "message"
		                              : msg_decl(m->type)->wire,
		    p->other_name, wrong);
		peer_seg_free(seg);
		return NULL;
	}
	frame_put_control(seg->hdr, seg->len);
	seg->hdr_len = FRAME_HEADER_LEN;
	if (p->kind == PEER_CLIENT)
		seg->queued_ms = clock_boot_ms();
	return seg;
}

static bool
over_limit(struct peer *p, const struct peer_seg *seg)
{
	size_t total = p->out_bytes + seg_left(seg);

	if (p->kind == PEER_SIBLING) {
		if (total > (size_t)PEER_SIBLING_OUT_MAX)
			fatalx("%s does not read what %s sends: %zu bytes wait",
			    p->other_name, p->my_name, p->out_bytes);
		return false;
	}
	if (total <= (size_t)PEER_CLIENT_OUT_MAX)
		return false;
	peer_end(
	    p, PEER_END_SLOW, "did not read: %zu bytes wait", p->out_bytes);
	return true;
}

/*
 * Frames are written together behind the callbacks that are due now: the write
 * event is made active by hand, which costs no system call.
 */
static int
queue(struct peer *p, const struct msg *m, int fd)
{
	struct peer_seg *seg;

	if (peer_ending(p) || (seg = seg_new(p, m, fd)) == NULL)
		return -1;
	if (over_limit(p, seg)) {
		peer_seg_free(seg);
		return -1;
	}
	seg->fd = fd;
	TAILQ_INSERT_TAIL(&p->out, seg, entry);
	p->out_bytes += seg_left(seg);
	log_trace("%s -> %s: %s %lld", p->my_name, p->other_name,
	    msg_decl(m->type)->wire, (long long)m->id);
	if (msg_decl(m->type)->kind == MSG_ANSWER)
		peer_answered(p, m->id);
	else if (p->kind == PEER_CLIENT &&
	    msg_decl(m->type)->kind == MSG_REQUEST)
		peer_asked(p, m);
	event_active(p->wev, EV_WRITE, 1);
	peer_arm(p);
	return 0;
}

/*
 * An answer that cannot be sent (too long, say) still ends its request: the
 * client would wait for it, and lose one of the few that it may have open.
 */
int
peer_send(struct peer *p, const struct msg *m)
{
	const struct msg_decl *decl = msg_decl(m->type);
	int r = queue(p, m, -1);

	if (r == -1 && p->kind == PEER_CLIENT && decl != NULL &&
	    decl->kind == MSG_ANSWER && m->type != MSG_TYPE_error && m->id > 0)
		(void)peer_send_internal(p, m->id);
	return r;
}

bool
peer_ending(const struct peer *p)
{
	return p->ending || p->freed || p->out_dead;
}

int
peer_send_fd(struct peer *p, const struct msg *m, int fd)
{
	int r = queue(p, m, fd);

	if (r == -1 && fd != -1)
		close(fd);
	return r;
}

void
peer_cut(char *text, size_t size, const char *s)
{
	size_t n = strlcpy(text, s, size);

	if (n < size)
		return;
	for (n = size - 1; n > 0 && (text[n - 1] & 0xc0) == 0x80;)
		n--;
	text[n > 0 ? n - 1 : 0] = '\0';
}

int
peer_send_error(
    struct peer *p, int64_t id, const char *code, const char *reason)
{
	char text[REASON_MAX + 1];
	struct msg m;

	peer_cut(text, sizeof(text), reason);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_error;
	m.id = id;
	m.u.error.error = code;
	m.u.error.reason = text;
	return queue(p, &m, -1);
}

int
peer_send_internal(struct peer *p, int64_t id)
{
	return peer_send_error(p, id, "internal",
	    "the answer could not be sent; the daemon's log says why");
}
