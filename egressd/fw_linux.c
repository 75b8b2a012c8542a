/*
 * Messages to nf_tables and back. The kernel works on a message within the
 * call that sends it, so its answers are there when that returns: nothing here
 * waits, and an answer that is not there is an error.
 */

#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>

#include "libcommon/fd.h"

#include "egressd/fw_linux.h"

#define FW_LOCK "-lock" /* behind the name of the table */
#define FW_BATCH_MAX 262144 /* every rule and element, atomically */
#define FW_MESSAGE_MAX 4096 /* one rule; the longest has about 1,000 bytes */
#define FW_INPUT_MAX 65536 /* one read; the kernel sends at most half of it */
#define FW_REQUEST_MAX 512 /* two names and headers */
#define SOCKET_BUFFER (4 * FW_BATCH_MAX)

_Static_assert(
    FW_RULES_MAX * 1024 + EGRESS_RUNS_MAX * 2 * 160 + FW_MESSAGE_MAX <=
        FW_BATCH_MAX,
    "a batch holds every rule and run");

int
fw_socket(void)
{
	struct sockaddr_nl self = { .nl_family = AF_NETLINK };
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int fd, size = SOCKET_BUFFER, saved;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    NETLINK_NETFILTER);
	if (fd == -1)
		return -1;
	/* Connected, it takes nothing from anybody but the kernel. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) ==
	        -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ==
	        -1 ||
	    bind(fd, (struct sockaddr *)&self, sizeof(self)) == -1 ||
	    connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)) == -1) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* --- sending and receiving -------------------------------------------- */

static int
send_all(struct fw_nft *nft, const void *buf, size_t len)
{
	ssize_t n;

	do
		n = send(nft->fd, buf, len, FD_NOSIGNAL);
	while (n == -1 && errno == EINTR);
	if (n == -1 || (size_t)n == len)
		return n == -1 ? -1 : 0;
	errno = EMSGSIZE;
	return -1;
}

/* The bytes of one read; -1 with errno, EAGAIN when there is nothing more. */
static ssize_t
receive(struct fw_nft *nft)
{
	struct sockaddr_nl from;
	struct iovec iov = { nft->input, FW_INPUT_MAX };
	struct msghdr mh;
	ssize_t n;

	for (;;) {
		memset(&mh, 0, sizeof(mh));
		mh.msg_name = &from;
		mh.msg_namelen = sizeof(from);
		mh.msg_iov = &iov;
		mh.msg_iovlen = 1;
		n = recvmsg(nft->fd, &mh, MSG_DONTWAIT);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		/* Belt and braces: the socket is connected to the kernel. */
		if (mh.msg_namelen != sizeof(from) || from.nl_pid != 0)
			continue;
		if (mh.msg_flags & MSG_TRUNC) {
			errno = EMSGSIZE;
			return -1;
		}
		return n;
	}
}

/* What the kernel says in an NLMSG_ERROR: 0 or an errno. */
static int
error_of(const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(e->error))
		return EBADMSG;
	return e->error < 0 ? -e->error : e->error;
}

/* --- batches ---------------------------------------------------------- */

static void
batch_begin(struct fw_nft *nft)
{
	nft->len = 0;
	nft->last = NULL;
	nft->full = false;
	nft->len += nftnl_batch_begin(nft->batch, ++nft->seq)->nlmsg_len;
}

/* The next message; NULL when there is no room for it. */
static struct nlmsghdr *
batch_message(struct fw_nft *nft, uint16_t type, uint16_t flags)
{
	if (nft->full || nft->len + FW_MESSAGE_MAX > FW_BATCH_MAX) {
		nft->full = true;
		return NULL;
	}
	nft->last = nftnl_nlmsg_build_hdr(
	    nft->batch + nft->len, type, NFPROTO_INET, flags, ++nft->seq);
	return nft->last;
}

static void
batch_add(struct fw_nft *nft)
{
	nft->len += MNL_ALIGN(nft->last->nlmsg_len);
}

/*
 * An error of any message, or of the whole, undoes the batch and is answered
 * in any case; that it is in force, by the receipt of its last message.
 */
static int
batch_result(struct fw_nft *nft, uint32_t first, uint32_t last)
{
	const struct nlmsghdr *nlh;
	int failed = EPROTO;
	bool error = false;
	ssize_t n;
	int len;

	while ((n = receive(nft)) > 0) {
		len = (int)n;
		for (nlh = (const struct nlmsghdr *)nft->input;
		     mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
			if (nlh->nlmsg_type != NLMSG_ERROR ||
			    nlh->nlmsg_seq - first > last - first)
				continue;
			if (error_of(nlh) != 0 && !error) {
				error = true;
				failed = error_of(nlh);
			} else if (nlh->nlmsg_seq == last && !error)
				failed = 0;
		}
	}
	if (n == -1 && errno != EAGAIN)
		return -1;
	errno = failed;
	return failed == 0 ? 0 : -1;
}

static int
batch_run(struct fw_nft *nft)
{
	const struct nlmsghdr *begin = (const struct nlmsghdr *)nft->batch;
	uint32_t last = nft->seq;

	if (nft->full || nft->last == NULL) {
		errno = EMSGSIZE;
		return -1;
	}
	nft->last->nlmsg_flags |= NLM_F_ACK;
	nft->len +=
	    nftnl_batch_end(nft->batch + nft->len, ++nft->seq)->nlmsg_len;
	if (send_all(nft, nft->batch, nft->len) == -1)
		return -1;
	return batch_result(nft, begin->nlmsg_seq, last);
}

/* --- what goes into them ---------------------------------------------- */

static void
put_table(struct fw_nft *nft, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = batch_message(nft, type, flags);

	if (nlh == NULL)
		return;
	nftnl_table_nlmsg_build_payload(nlh, nft->objects.table);
	batch_add(nft);
}

static void
put_objects(struct fw_nft *nft)
{
	struct fw_objects *o = &nft->objects;
	struct nlmsghdr *nlh;
	size_t i;

	for (i = 0; i < FW_SETS; i++) {
		nlh = batch_message(nft, NFT_MSG_NEWSET, NLM_F_CREATE);
		if (nlh == NULL)
			return;
		nftnl_set_nlmsg_build_payload(nlh, o->set[i]);
		batch_add(nft);
	}
	for (i = 0; i < FW_CHAINS; i++) {
		nlh = batch_message(nft, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
		if (nlh == NULL)
			return;
		nftnl_chain_nlmsg_build_payload(nlh, o->chain[i]);
		batch_add(nft);
	}
	for (i = 0; i < o->nrules; i++) {
		nlh = batch_message(
		    nft, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
		if (nlh == NULL)
			return;
		nftnl_rule_nlmsg_build_payload(nlh, o->rule[i]);
		batch_add(nft);
	}
}

/* The run's element of each set; -1 with errno without memory. */
static int
put_elements(
    struct fw_nft *nft, uint16_t type, uint16_t flags, const struct fw_run *run)
{
	struct nftnl_set *s;
	struct nlmsghdr *nlh;
	int i;

	for (i = 0; i < FW_SETS; i++) {
		if ((nlh = batch_message(nft, type, flags)) == NULL)
			return 0; /* batch_run says so */
		s = fw_element_make((enum fw_set)i, nft->base, run);
		if (s == NULL)
			return -1;
		nftnl_set_elems_nlmsg_build_payload(nlh, s);
		nftnl_set_free(s);
		batch_add(nft);
	}
	return 0;
}

/*
 * A table can only be deleted where there is one, so it is made before; the
 * machine sees the old one until it sees the new one.
 */
int
fw_nft_apply(struct fw_nft *nft, const struct fw_runs *runs)
{
	size_t i;

	batch_begin(nft);
	put_table(nft, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	put_table(nft, NFT_MSG_DELTABLE, 0);
	put_table(nft, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	put_objects(nft);
	for (i = 0; i < runs->n; i++) {
		if (put_elements(nft, NFT_MSG_NEWSETELEM, NLM_F_CREATE,
		        &runs->run[i]) == -1)
			return -1;
	}
	return batch_run(nft);
}

int
fw_nft_claim(struct fw_nft *nft)
{
	char name[EGRESS_TABLE_MAX + sizeof(FW_LOCK)];
	struct nftnl_table *t = nftnl_table_alloc();
	struct nlmsghdr *nlh;
	int r = -1;

	snprintf(name, sizeof(name), "%s" FW_LOCK, nft->base->table);
	if (t == NULL || nftnl_table_set_str(t, NFTNL_TABLE_NAME, name) == -1) {
		nftnl_table_free(t);
		errno = ENOMEM;
		return -1;
	}
	nftnl_table_set_u32(t, NFTNL_TABLE_FAMILY, NFPROTO_INET);
	nftnl_table_set_u32(t, NFTNL_TABLE_FLAGS, NFT_TABLE_F_OWNER);
	batch_begin(nft);
	nlh = batch_message(nft, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	if (nlh != NULL) {
		nftnl_table_nlmsg_build_payload(nlh, t);
		batch_add(nft);
		r = batch_run(nft);
	}
	nftnl_table_free(t);
	return r;
}

int
fw_nft_permit(struct fw_nft *nft, const struct fw_run *run)
{
	batch_begin(nft);
	if (put_elements(nft, NFT_MSG_NEWSETELEM, NLM_F_CREATE, run) == -1)
		return -1;
	return batch_run(nft);
}

int
fw_nft_revoke(struct fw_nft *nft, const struct fw_run *run)
{
	batch_begin(nft);
	if (put_elements(nft, NFT_MSG_DELSETELEM, 0, run) == -1)
		return -1;
	return batch_run(nft);
}

/* --- questions -------------------------------------------------------- */

/* The answers to a question, up to its end: 0 or -1 with errno. */
static int
dump_result(
    struct fw_nft *nft, int (*cb)(const struct nlmsghdr *, void *), void *arg)
{
	const struct nlmsghdr *nlh;
	int failed = 0, len;
	ssize_t n;

	while ((n = receive(nft)) > 0) {
		len = (int)n;
		for (nlh = (const struct nlmsghdr *)nft->input;
		     mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
			if (nlh->nlmsg_seq != nft->seq)
				continue;
			if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
				failed = EINTR;
			if (nlh->nlmsg_type == NLMSG_ERROR ||
			    nlh->nlmsg_type == NLMSG_DONE) {
				if (error_of(nlh) != 0)
					failed = error_of(nlh);
				errno = failed;
				return failed == 0 ? 0 : -1;
			}
			/* Asked to the end: another could not begin before. */
			if (failed == 0 && cb(nlh, arg) == -1)
				failed = errno != 0 ? errno : EBADMSG;
		}
	}
	if (n == 0 || errno == EAGAIN)
		errno = EPROTO;
	return -1;
}

int
fw_nft_dump(struct fw_nft *nft, uint16_t type, const char *set,
    int (*cb)(const struct nlmsghdr *, void *), void *arg)
{
	union {
		struct nlmsghdr align;
		char buf[FW_REQUEST_MAX];
	} q;
	struct nlmsghdr *nlh;

	nlh = nftnl_nlmsg_build_hdr(
	    q.buf, type, NFPROTO_INET, NLM_F_DUMP, ++nft->seq);
	/* Every kind of question has the table's name as its attribute 1. */
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, nft->base->table);
	if (set != NULL)
		mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, set);
	if (send_all(nft, nlh, nlh->nlmsg_len) == -1)
		return -1;
	return dump_result(nft, cb, arg);
}

/* --- start ------------------------------------------------------------ */

static void
nft_free(struct fw_nft *nft)
{
	fw_objects_free(&nft->objects);
	fw_lines_free(&nft->want);
	free(nft->batch);
	free(nft->input);
	free(nft);
}

struct fw_nft *
fw_nft_new(int fd, const struct fw_base *base)
{
	struct fw_nft *nft;
	int saved;

	if ((nft = calloc(1, sizeof(*nft))) == NULL)
		return NULL;
	nft->fd = fd;
	nft->base = base;
	if ((nft->batch = malloc(FW_BATCH_MAX)) != NULL &&
	    (nft->input = malloc(FW_INPUT_MAX)) != NULL &&
	    fw_objects_make(&nft->objects, base) == 0 &&
	    (nft->want = fw_lines_wanted(&nft->objects)) != NULL)
		return nft;
	saved = errno;
	nft_free(nft);
	errno = saved;
	return NULL;
}
