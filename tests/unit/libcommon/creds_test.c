#include <sys/socket.h>
#include <sys/wait.h>

#include <check.h>
#include <errno.h>
#include <grp.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/creds.h"

#define OTHER 65533

/* --- creds_in_group --------------------------------------------------- */

static const struct {
	const char *name;
	gid_t gid;
	gid_t groups[4];
	size_t ngroups;
	gid_t ask;
	bool want;
} members[] = {
	{ "primary", 5, { 0 }, 0, 5, true },
	{ "none", 5, { 0 }, 0, 0, false },
	{ "first", 5, { 7, 8, 9 }, 3, 7, true },
	{ "last", 5, { 7, 8, 9 }, 3, 9, true },
	{ "behind the last", 5, { 7, 8, 9 }, 2, 9, false },
	{ "another", 5, { 7, 8, 9 }, 3, 6, false },
};

START_TEST(test_in_group)
{
	struct creds c;

	memset(&c, 0, sizeof(c));
	c.gid = members[_i].gid;
	memcpy(c.groups, members[_i].groups, sizeof(members[_i].groups));
	c.ngroups = members[_i].ngroups;
	ck_assert_msg(creds_in_group(&c, members[_i].ask) == members[_i].want,
	    "%s", members[_i].name);
}
END_TEST

/* --- creds_get -------------------------------------------------------- */

/*
 * The kernel's word about a process that connected, here by making the pair
 * itself. Its sockets come to us over a link.
 */
static int
pair_of(const gid_t *groups, size_t n, uid_t uid, gid_t gid, pid_t *pid)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(sizeof(int))];
	} c;
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr mh = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = c.buf,
		.msg_controllen = sizeof(c.buf) };
	int fd, link[2], pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, link), 0);
	memset(&c, 0, sizeof(c));
	if ((*pid = fork()) == 0) {
		if (setgroups(n, groups) == -1 || setgid(gid) == -1 ||
		    setuid(uid) == -1 ||
		    socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == -1)
			_exit(1);
		c.hdr.cmsg_len = CMSG_LEN(sizeof(int));
		c.hdr.cmsg_level = SOL_SOCKET;
		c.hdr.cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(&c.hdr), &pair[0], sizeof(int));
		_exit(sendmsg(link[1], &mh, 0) == 1 ? 0 : 1);
	}
	close(link[1]);
	ck_assert_int_eq(recvmsg(link[0], &mh, 0), 1);
	memcpy(&fd, CMSG_DATA(&c.hdr), sizeof(int));
	close(link[0]);
	ck_assert_int_eq(waitpid(*pid, NULL, 0), *pid);
	return fd;
}

START_TEST(test_self)
{
	struct creds c;
	int sv[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	ck_assert_int_eq(creds_get(sv[0], &c), 0);
	ck_assert_uint_eq(c.uid, geteuid());
	ck_assert_uint_eq(c.gid, getegid());
	ck_assert_int_eq(c.pid, getpid());
	ck_assert_int_eq((int)c.ngroups, getgroups(0, NULL));
}
END_TEST

/* Rows: how many supplementary groups the peer has. */
static const struct {
	size_t ngroups;
	int want;
} peers[] = {
	{ 0, 0 },
	{ 1, 0 },
	{ 3, 0 },
	{ CREDS_GROUPS_MAX, 0 },
	{ CREDS_GROUPS_MAX + 1, -1 },
};

START_TEST(test_other)
{
	gid_t groups[CREDS_GROUPS_MAX + 1];
	struct creds c;
	size_t i, n = peers[_i].ngroups;
	int fd;
	pid_t pid;

	if (geteuid() != 0)
		return;
	for (i = 0; i <= CREDS_GROUPS_MAX; i++)
		groups[i] = (gid_t)(1000 + i);
	fd = pair_of(groups, n, OTHER, OTHER - 1, &pid);
	memset(&c, 0x5a, sizeof(c));
	ck_assert_int_eq(creds_get(fd, &c), peers[_i].want);
	if (peers[_i].want == -1) {
		ck_assert_int_eq(errno, ERANGE);
		ck_assert_uint_eq(c.uid, 0x5a5a5a5a);
		return;
	}
	ck_assert_uint_eq(c.uid, OTHER);
	ck_assert_uint_eq(c.gid, OTHER - 1);
	ck_assert_int_eq(c.pid, pid);
	ck_assert_uint_eq(c.ngroups, n);
	for (i = 0; i < n; i++)
		ck_assert(creds_in_group(&c, groups[i]));
	ck_assert(creds_in_group(&c, OTHER - 1));
	ck_assert(!creds_in_group(&c, (gid_t)(1000 + n)));
	ck_assert(!creds_in_group(&c, 0));
}
END_TEST

START_TEST(test_no_socket)
{
	struct creds c = { .uid = 77 };
	int p[2];

	ck_assert_int_eq(creds_get(-1, &c), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_eq(creds_get(p[0], &c), -1);
	ck_assert_int_eq(errno, ENOTSOCK);
	ck_assert_uint_eq(c.uid, 77);
}
END_TEST

/* A socket that has no such peer is nobody, not root. */
START_TEST(test_inet)
{
	struct creds c = { .uid = 77 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(creds_get(fd, &c), -1);
	ck_assert_uint_eq(c.uid, 77);
}
END_TEST

#define ROWS(t) (int)(sizeof(t) / sizeof((t)[0]))

int
main(void)
{
	Suite *s = suite_create("creds");
	TCase *t = tcase_create("creds");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(t, test_in_group, 0, ROWS(members));
	tcase_add_test(t, test_self);
	tcase_add_loop_test(t, test_other, 0, ROWS(peers));
	tcase_add_test(t, test_no_socket);
	tcase_add_test(t, test_inet);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
