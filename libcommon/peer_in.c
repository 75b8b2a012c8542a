#include <sys/socket.h>
#include <sys/types.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "log.h"
#include "peer_int.h"

#define IN_MIN 4096 /* first size of the input buffer */
#define IN_KEEP 16384 /* a larger one goes behind its frame */
#define IN_KEEP_DATA (FRAME_DATA_HEADER_LEN + FRAME_DATA_MAX)
#define TURN_READS 64 /* of one peer in one turn of the loop */
#define RIGHTS_MAX 4 /* room for descriptors; one is legal */

/* A client link takes a long frame only if some message that comes is long. */
static size_t
longest(const struct peer *p)
{
	enum msg_type type;

	for (type = MSG_TYPE_none + 1; type < MSG_TYPE_MAX; type++)
		if ((msg_decl(type)->flags & MSG_F_BIG) != 0 &&
		    msg_permitted(type, p->other, p->me))
			return FRAME_CTL_BIG_MAX;
	return p->kind == PEER_CLIENT ? FRAME_CTL_MAX : FRAME_CTL_BIG_MAX;
}

int
peer_in_init(struct peer *p)
{
	p->in_max = longest(p);
	p->in_fd = -1;
	p->in_need = FRAME_HEADER_LEN;
	p->in_cap = IN_MIN;
	return (p->in = malloc(IN_MIN)) == NULL ? -1 : 0;
}

void
peer_in_free(struct peer *p)
{
	freezero(p->in, p->in_cap);
	p->in = NULL;
	if (p->in_fd != -1)
		close(p->in_fd);
	p->in_fd = -1;
}

static int
resize(struct peer *p, size_t cap)
{
	uint8_t *q;

	if ((q = recallocarray(p->in, p->in_cap, cap, 1)) == NULL) {
		peer_end(p, PEER_END_SYSTEM, "out of memory");
		return -1;
	}
	p->in = q;
	p->in_cap = cap;
	return 0;
}

/*
 * The buffer follows what has come, not what a header promises, so that a
 * client pays for the memory it takes.
 */
static int
make_room(struct peer *p)
{
	size_t cap = p->in_cap * 2;

	if (p->in_len < p->in_cap)
		return 0;
	return resize(p, cap < p->in_need ? cap : p->in_need);
}

/*
 * Descriptors that came with this read. A read ends with the frame, so the one
 * that belongs to a frame comes with the read that begins it. What is wrong
 * here ends us, and with us whatever was received.
 */
static void
take_rights(struct peer *p, struct msghdr *mh)
{
	struct cmsghdr *c;
	int fd;

	if ((mh->msg_flags & MSG_CTRUNC) != 0) {
		peer_bad(p, "descriptors that nobody asked for");
		return;
	}
	for (c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		if (c->cmsg_len != CMSG_LEN(sizeof(int)) || p->in_fd != -1)
			peer_bad(p, "more than one descriptor");
		if (p->in_len != 0)
			peer_bad(p, "a descriptor inside a frame");
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
		p->in_fd = fd;
	}
}

/*
 * One read, as far as the current frame goes. A client gets no room for
 * descriptors: the kernel drops what it sends and says so by MSG_CTRUNC.
 */
static ssize_t
receive(struct peer *p)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(RIGHTS_MAX * sizeof(int))];
	} control;
	struct iovec iov;
	struct msghdr mh;
	ssize_t n;
	size_t end = p->in_need < p->in_cap ? p->in_need : p->in_cap;

	memset(&mh, 0, sizeof(mh));
	iov.iov_base = p->in + p->in_len;
	iov.iov_len = end - p->in_len;
	mh.msg_iov = &iov;
	mh.msg_iovlen = 1;
	if (p->kind == PEER_SIBLING) {
		memset(&control, 0, sizeof(control));
		mh.msg_control = control.buf;
		mh.msg_controllen = sizeof(control.buf);
	}
	do
		n = fd_recvmsg(p->fd, &mh);
	while (n == -1 && errno == EINTR);
	if (n > 0)
		take_rights(p, &mh);
	return n;
}

static void
no_input(struct peer *p, ssize_t n)
{
	const char *where = p->in_len == 0 ? "" : " in the middle of a frame";

	if (n == 0 || errno == ECONNRESET || errno == EPIPE)
		peer_end(p, PEER_END_EOF, "closed by the other side%s", where);
	else if (errno != EAGAIN)
		peer_end(p, PEER_END_SYSTEM, "read: %s", strerror(errno));
	else if (p->out_dead)
		peer_end(p, PEER_END_EOF, "closed by the other side");
}

/* The frame was acted on: nothing of it stays. */
static void
reset(struct peer *p)
{
	explicit_bzero(p->in, p->in_len);
	p->in_len = 0;
	p->in_need = FRAME_HEADER_LEN;
	p->frame_ms = 0;
	if (p->in_fd != -1)
		close(p->in_fd);
	p->in_fd = -1;
	/* Streams need the same room for each of their frames. */
	if (p->in_cap > (p->nsin > 0 ? IN_KEEP_DATA : IN_KEEP))
		resize(p, IN_MIN);
}

static uint32_t
frame_len(const uint8_t hdr[FRAME_HEADER_LEN])
{
	return (uint32_t)(hdr[0] & 0x7f) << 24 | (uint32_t)hdr[1] << 16 |
	    (uint32_t)hdr[2] << 8 | (uint32_t)hdr[3];
}

/*
 * in_need bytes are there: first the header, of which the length is checked
 * before anything is allocated for it, then the whole frame.
 */
static void
step(struct peer *p)
{
	const char *why = "";
	struct frame f;
	ssize_t n;

	n = frame_parse(p->in, p->in_len, p->in_max, &f, &why);
	if (n == -1) {
		peer_bad(p, why);
		return;
	}
	if (n == 0) {
		p->in_need = FRAME_HEADER_LEN + frame_len(p->in);
		return;
	}
	peer_frame(p, &f);
	if (!p->freed)
		reset(p);
}

void
peer_read(struct peer *p)
{
	ssize_t n;
	int i;

	for (i = 0; i < TURN_READS; i++) {
		if (p->ending || p->freed || make_room(p) == -1)
			return;
		n = receive(p);
		if (p->ending)
			return;
		if (n <= 0) {
			no_input(p, n);
			break;
		}
		p->in_len += (size_t)n;
		if (p->in_len == p->in_need)
			step(p);
	}
	if (!p->freed && p->in_len > 0 && p->frame_ms == 0)
		p->frame_ms = clock_boot_ms();
}
