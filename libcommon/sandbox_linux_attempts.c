#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/vfs.h>

#include <netinet/in.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/sandbox.h"
#include "libcommon/sandbox_linux_selftest.h"

/*
 * What a taken process would try. Each returns 0 when it got through and -1
 * with errno when it did not; most are ended by the kernel before they return.
 */

#define DIALS \
	(SELFTEST_PURPOSE(SANDBOX_PROXY) | SELFTEST_PURPOSE(SANDBOX_RESOLVER))
#define ENGINE SELFTEST_PURPOSE(SANDBOX_ENGINE)
#define QUEUES SELFTEST_PURPOSE(SANDBOX_QUEUE)
/* Landlock says which; the calls themselves are theirs. */
#define FILES (QUEUES | SELFTEST_PURPOSE(SANDBOX_RUNS))
#define BINDS SELFTEST_PURPOSE(SANDBOX_PARENT)
#define DOORS SELFTEST_PURPOSE(SANDBOX_DISPATCH)
#define APPENDS SELFTEST_PURPOSE(SANDBOX_AUDIT)
#define EVERY SELFTEST_EVERY

#define X32_BIT 0x40000000L
#define PATH_LEN 64

static int
try_open_read(const struct selftest_fds *f)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) == -1 ? -1 : 0;
}

static int
try_open_write(const struct selftest_fds *f)
{
	return open("/dev/null", O_WRONLY | O_CLOEXEC) == -1 ? -1 : 0;
}

static int
try_create(const struct selftest_fds *f)
{
	return open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) == -1 ? -1
	                                                                : 0;
}

/* By name: of every file system that there is. */
static int
try_statfs(const struct selftest_fds *f)
{
	struct statfs st;

	return statfs("/", &st);
}

static int
try_unlink(const struct selftest_fds *f)
{
	return unlink("/nonexistent") == -1 && errno == ENOENT ? 0 : -1;
}

/* Its own, from the one above; it is not empty, so that it stays. */
static int
try_rmdir(const struct selftest_fds *f)
{
	return unlinkat(AT_FDCWD, f->unix_dir, AT_REMOVEDIR) == -1 &&
	        errno == ENOTEMPTY
	    ? 0
	    : -1;
}

/* The name of something beside its own directory. */
static void
beside(const struct selftest_fds *f, char *path, size_t size)
{
	snprintf(path, size, "%s-beside", f->unix_dir);
}

static int
try_mkdir_beside(const struct selftest_fds *f)
{
	char path[PATH_LEN];

	beside(f, path, sizeof(path));
	return mkdirat(AT_FDCWD, path, 0700);
}

static int
try_rename_out(const struct selftest_fds *f)
{
	char path[PATH_LEN];
	int r;

	beside(f, path, sizeof(path));
	r = renameat(f->dir, "sock", AT_FDCWD, path);
	/* What Landlock says of another directory: it may not go there. */
	if (r == -1 && errno == EXDEV)
		errno = EACCES;
	return r;
}

static int
try_link(const struct selftest_fds *f)
{
	return linkat(f->dir, "sock", f->dir, "link", 0);
}

static int
try_symlink(const struct selftest_fds *f)
{
	return symlinkat("/etc/passwd", f->dir, "symlink");
}

static int
try_fifo(const struct selftest_fds *f)
{
	return mknodat(f->dir, "fifo", S_IFIFO | 0600, 0);
}

static int
try_chmod(const struct selftest_fds *f)
{
	return fchmod(f->file, 0777);
}

static int
try_accept(const struct selftest_fds *f)
{
	return accept4(f->unix_listen, NULL, NULL, SOCK_CLOEXEC) == -1 ? -1 : 0;
}

static int
try_execve(const struct selftest_fds *f)
{
	char path[] = "/bin/true", *argv[] = { path, NULL };

	return execve(path, argv, NULL);
}

static int
try_fork(const struct selftest_fds *f)
{
	long r = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (r == 0)
		_exit(0);
	return r == -1 ? -1 : 0;
}

static int
try_clone3(const struct selftest_fds *f)
{
	/* A size that the kernel never takes: it says so if it is asked. */
	return syscall(SYS_clone3, NULL, 1) == -1 && errno == EINVAL ? 0 : -1;
}

static int
try_socket(int family, int type, int proto)
{
	if (socket(family, type | SOCK_CLOEXEC, proto) != -1)
		return 0;
	/* A kernel that lacks the protocol was asked for it. */
	return errno == EPROTONOSUPPORT || errno == EAFNOSUPPORT ? 0 : -1;
}

static int
try_unix(const struct selftest_fds *f)
{
	return try_socket(AF_UNIX, SOCK_STREAM, 0);
}

static int
try_unix_dgram(const struct selftest_fds *f)
{
	return try_socket(AF_UNIX, SOCK_DGRAM, 0);
}

static int
try_unix_seqpacket(const struct selftest_fds *f)
{
	return try_socket(AF_UNIX, SOCK_SEQPACKET, 0);
}

static int
try_unix_pair(const struct selftest_fds *f)
{
	int sv[2];

	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv);
}

static int
try_netlink(const struct selftest_fds *f)
{
	return try_socket(AF_NETLINK, SOCK_RAW, 0);
}

/* To hear of every interface and address of the machine. */
static int
try_membership(const struct selftest_fds *f)
{
	int group = RTNLGRP_LINK;

	return setsockopt(f->netlink, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP,
	    &group, sizeof(group));
}

static int
try_packet(const struct selftest_fds *f)
{
	return try_socket(AF_PACKET, SOCK_RAW, 0);
}

static int
try_vsock(const struct selftest_fds *f)
{
	return try_socket(AF_VSOCK, SOCK_STREAM, 0);
}

static int
try_raw(const struct selftest_fds *f)
{
	return try_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

static int
try_ping(const struct selftest_fds *f)
{
	return try_socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
}

static int
try_tcp(const struct selftest_fds *f)
{
	return try_socket(AF_INET, SOCK_STREAM, 0);
}

static int
try_udp(const struct selftest_fds *f)
{
	return try_socket(AF_INET, SOCK_DGRAM, 0);
}

static int
try_mptcp(const struct selftest_fds *f)
{
	return try_socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
}

static int
try_sctp(const struct selftest_fds *f)
{
	return try_socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP);
}

static int
try_connect(const struct selftest_fds *f)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sin.sin_port = htons(1);
	if (connect(f->tcp, (struct sockaddr *)&sin, sizeof(sin)) == 0)
		return 0;
	return errno == ECONNREFUSED || errno == ENETUNREACH ? 0 : -1;
}

static int
try_bind(const struct selftest_fds *f)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return bind(f->tcp, (struct sockaddr *)&sin, sizeof(sin));
}

/* Outside its own directory. */
static int
try_bind_name(const struct selftest_fds *f)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/other", f->unix_dir);
	return bind(fd, (struct sockaddr *)&sun, sizeof(sun));
}

static int
try_mkdir(const struct selftest_fds *f)
{
	return mkdirat(f->dir, "other", 0755);
}

static int
try_listen(const struct selftest_fds *f)
{
	return listen(f->tcp, 1);
}

static int
try_fastopen(const struct selftest_fds *f)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sin.sin_port = htons(1);
	if (sendto(f->tcp, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL,
	        (struct sockaddr *)&sin, sizeof(sin)) == 1)
		return 0;
	return errno == EACCES || errno == EPERM ? -1 : 0;
}

static int
try_fastopen_msg(const struct selftest_fds *f)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	char c = 'x';
	struct iovec iov = { &c, 1 };
	struct msghdr mh = { .msg_name = &sin,
		.msg_namelen = sizeof(sin),
		.msg_iov = &iov,
		.msg_iovlen = 1 };

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sin.sin_port = htons(1);
	if (sendmsg(f->tcp, &mh, MSG_FASTOPEN | MSG_NOSIGNAL) == 1)
		return 0;
	return errno == EACCES || errno == EPERM ? -1 : 0;
}

static int
try_ptrace(const struct selftest_fds *f)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1 ? -1 : 0;
}

static int
try_vm_readv(const struct selftest_fds *f)
{
	char c, d;
	struct iovec to = { &c, 1 }, from = { &d, 1 };

	return process_vm_readv(getppid(), &to, 1, &from, 1, 0) == -1 ? -1 : 0;
}

static int
try_kill(const struct selftest_fds *f)
{
	return kill(getppid(), 0);
}

static int
try_tgkill(const struct selftest_fds *f)
{
	pid_t pid = getppid();

	return (int)syscall(SYS_tgkill, pid, pid, 0);
}

static int
try_setuid(const struct selftest_fds *f)
{
	return (int)syscall(SYS_setresuid, -1, -1, -1);
}

static int
try_mount(const struct selftest_fds *f)
{
	/* Not asked: EPERM of the filter or none; asked: by who we are. */
	return mount("none", "/nonexistent", "tmpfs", 0, NULL) == -1 &&
	        errno == ENOENT
	    ? 0
	    : -1;
}

static int
try_unshare(const struct selftest_fds *f)
{
	return unshare(CLONE_NEWUSER);
}

static int
try_mmap_exec(const struct selftest_fds *f)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC,
	           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
	    ? -1
	    : 0;
}

static int
try_mprotect_exec(const struct selftest_fds *f)
{
	void *p;

	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static int
try_io_uring(const struct selftest_fds *f)
{
	char params[256] = { 0 };

	return syscall(SYS_io_uring_setup, 1, params) == -1 ? -1 : 0;
}

static int
try_bpf(const struct selftest_fds *f)
{
	return syscall(SYS_bpf, 0, NULL, 0) == -1 && errno == EINVAL ? 0 : -1;
}

static int
try_keyctl(const struct selftest_fds *f)
{
	return syscall(SYS_keyctl, 0, -3, 0) == -1 ? -1 : 0;
}

static int
try_memfd(const struct selftest_fds *f)
{
	return memfd_create("x", MFD_CLOEXEC) == -1 ? -1 : 0;
}

static int
try_pidfd(const struct selftest_fds *f)
{
	return syscall(SYS_pidfd_open, getppid(), 0) == -1 ? -1 : 0;
}

static int
try_close_stdin(const struct selftest_fds *f)
{
	return close(STDIN_FILENO);
}

static int
try_close_high(const struct selftest_fds *f)
{
	/* The same descriptor for the kernel, another number for a filter. */
	return (int)syscall(SYS_close, 1L << 32);
}

static int
try_disarm(const struct selftest_fds *f)
{
	return fcntl(STDIN_FILENO, F_SETFL, 0);
}

static int
try_copy_stdin(const struct selftest_fds *f)
{
	return fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) == -1 ? -1 : 0;
}

static int
try_map_shared(const struct selftest_fds *f)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, f->file,
	           0) == MAP_FAILED
	    ? -1
	    : 0;
}

/* With an offset of its own, and a flag that is not the log's. */
static int
try_write_before(const struct selftest_fds *f)
{
	char c = 'x';
	struct iovec iov = { &c, 1 };

	return pwritev2(f->file, &iov, 1, 0, RWF_DSYNC) == 1 ? 0 : -1;
}

static int
try_unappend(const struct selftest_fds *f)
{
	return fcntl(f->file, F_SETFL, 0);
}

static int
try_seek(const struct selftest_fds *f)
{
	return lseek(f->file, 0, SEEK_SET) == 0 ? 0 : -1;
}

static int
try_truncate(const struct selftest_fds *f)
{
	return ftruncate(f->file, 0);
}

static int
try_own_signal(const struct selftest_fds *f)
{
	return fcntl(f->link[0], F_SETOWN, getppid());
}

static int
try_tiocsti(const struct selftest_fds *f)
{
	char c = '\n';
	int r = ioctl(STDERR_FILENO, TIOCSTI, &c);

	return r == 0 || errno == ENOTTY ? 0 : -1;
}

#ifdef __x86_64__
static int
try_x32(const struct selftest_fds *f)
{
	return syscall(X32_BIT | SYS_getpid) == -1 ? -1 : 0;
}

static int
try_i386(const struct selftest_fds *f)
{
	long r;

	/* getpid of the 32-bit table; SIGSEGV where the kernel lacks it. */
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory");
	return r > 0 ? 0 : -1;
}
#endif

static const struct selftest_act attempts[] = {
	{ "open", EVERY, try_open_read },
	{ "open for writing", EVERY, try_open_write },
	{ "create a file", EVERY, try_create },
	{ "unlink", EVERY & ~FILES, try_unlink },
	{ "remove its directory", FILES, try_rmdir },
	{ "make a directory outside", FILES, try_mkdir_beside },
	{ "rename out of its directory", FILES, try_rename_out },
	{ "link", EVERY, try_link },
	{ "symbolic link", EVERY, try_symlink },
	{ "fifo", EVERY, try_fifo },
	{ "chmod", EVERY, try_chmod },
	{ "accept", QUEUES | ENGINE, try_accept },
	{ "execve", EVERY, try_execve },
	{ "fork", EVERY, try_fork },
	{ "clone3", EVERY, try_clone3 },
	{ "unix socket", EVERY & ~(ENGINE | DOORS | QUEUES), try_unix },
	{ "unix datagram socket", EVERY, try_unix_dgram },
	{ "unix packet socket", EVERY, try_unix_seqpacket },
	{ "unix pair", EVERY & ~BINDS, try_unix_pair },
	{ "netlink socket", EVERY, try_netlink },
	{ "netlink group", EVERY, try_membership },
	{ "packet socket", EVERY, try_packet },
	{ "vsock socket", EVERY, try_vsock },
	{ "raw socket", EVERY, try_raw },
	{ "icmp socket", EVERY, try_ping },
	{ "tcp socket", EVERY & ~(DIALS | BINDS), try_tcp },
	/* the parent binds the canary of a run */
	{ "udp socket", EVERY & ~(DIALS | BINDS), try_udp },
	{ "mptcp socket", EVERY, try_mptcp },
	{ "sctp socket", EVERY, try_sctp },
	{ "connect", EVERY & ~(DIALS | ENGINE), try_connect },
	{ "bind", EVERY & ~BINDS, try_bind },
	{ "bind by name", DOORS, try_bind_name },
	{ "make a directory", DOORS, try_mkdir },
	/* of what it holds: it can make no TCP socket */
	{ "listen", EVERY & ~(BINDS | DOORS), try_listen },
	{ "fast open by sendto", EVERY, try_fastopen },
	{ "fast open by sendmsg", EVERY, try_fastopen_msg },
	{ "ptrace", EVERY, try_ptrace },
	{ "process_vm_readv", EVERY, try_vm_readv },
	{ "kill", EVERY, try_kill },
	{ "tgkill", EVERY, try_tgkill },
	{ "setuid", EVERY, try_setuid },
	{ "mount", EVERY, try_mount },
	{ "unshare", EVERY, try_unshare },
	{ "mmap to execute", EVERY, try_mmap_exec },
	{ "mprotect to execute", EVERY, try_mprotect_exec },
	{ "io_uring_setup", EVERY, try_io_uring },
	{ "bpf", EVERY, try_bpf },
	{ "keyctl", EVERY, try_keyctl },
	{ "memfd_create", EVERY, try_memfd },
	{ "pidfd_open", EVERY, try_pidfd },
	{ "close descriptor 0", EVERY, try_close_stdin },
	{ "close descriptor 2^32", EVERY, try_close_high },
	{ "disarm descriptor 0", EVERY, try_disarm },
	{ "copy descriptor 0", EVERY, try_copy_stdin },
	{ "map a file shared", EVERY, try_map_shared },
	{ "write before the end", EVERY, try_write_before },
	{ "truncate", EVERY & ~FILES, try_truncate },
	{ "statfs", EVERY, try_statfs },
	{ "clear O_APPEND", APPENDS, try_unappend },
	{ "seek", APPENDS, try_seek },
	{ "signal by F_SETOWN", EVERY, try_own_signal },
	{ "terminal input", EVERY, try_tiocsti },
#ifdef __x86_64__
	{ "x32 call", EVERY, try_x32 },
	{ "i386 call", EVERY, try_i386 },
#endif
};

size_t
sandbox_selftest_attempts(const struct selftest_act **list)
{
	*list = attempts;
	return sizeof(attempts) / sizeof(attempts[0]);
}
