#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "libcommon/sandbox_linux.h"

/*
 * Which system calls a purpose may make, and with which arguments. The kernel
 * reads an int argument from the low half of its register, so every check of
 * one looks at the low half alone.
 */

/* clang-format off */
#define LOW		0xffffffffU
#define EQ(n, v)	{ (n), SCMP_CMP_MASKED_EQ, LOW, (uint32_t)(v) }
#define CLEAR(n, bits)	{ (n), SCMP_CMP_MASKED_EQ, (uint32_t)(bits), 0 }
#define SET(n, bits)							\
	{ (n), SCMP_CMP_MASKED_EQ, (uint32_t)(bits), (uint32_t)(bits) }
/* All but these bits are exactly v. */
#define BUT(n, bits, v)							\
	{ (n), SCMP_CMP_MASKED_EQ, LOW & ~(uint32_t)(bits), (uint32_t)(v) }
#define IS_NULL(n)	{ (n), SCMP_CMP_EQ, 0, 0 }

#define ROW(name, action, flags, ...)					\
	{ name, action, flags,						\
	    sizeof((struct scmp_arg_cmp[]){ __VA_ARGS__ }) /		\
	    sizeof(struct scmp_arg_cmp), { __VA_ARGS__ } }
#define BARE(name, action, flags)	{ name, action, flags, 0, { { 0 } } }

#define ALLOW(name)		BARE(name, SCMP_ACT_ALLOW, 0)
#define ALLOW_OLD(name)		BARE(name, SCMP_ACT_ALLOW, RULE_OLD_ARCH)
#define ALLOW_NOT_FD0(name)	BARE(name, SCMP_ACT_ALLOW, RULE_NOT_FD0)
#define ALLOW_IF(name, ...)	ROW(name, SCMP_ACT_ALLOW, 0, __VA_ARGS__)
#define ALLOW_NOT_FD0_IF(name, ...)					\
	ROW(name, SCMP_ACT_ALLOW, RULE_NOT_FD0, __VA_ARGS__)
#define FAIL(name, e)		BARE(name, SCMP_ACT_ERRNO(e), 0)
#define FAIL_OLD(name, e)	BARE(name, SCMP_ACT_ERRNO(e), RULE_OLD_ARCH)
#define FAIL_IF(name, e, ...)	ROW(name, SCMP_ACT_ERRNO(e), 0, __VA_ARGS__)

#define TABLE(t)	{ (t), sizeof(t) / sizeof((t)[0]) }
/* clang-format on */

#define OWN_TABLES 4 /* of one purpose, beside what all have */

#define FLAGS (SOCK_NONBLOCK | SOCK_CLOEXEC)
#define SOCKET(family, type, proto) \
	ALLOW_IF("socket", EQ(0, family), BUT(1, FLAGS, type), EQ(2, proto))
#define SOCKOPT(level, name) ALLOW_IF("setsockopt", EQ(1, level), EQ(2, name))

/* Opening that could change anything. */
#define OPEN_WRITES (O_ACCMODE | O_CREAT | O_TRUNC)

/*
 * Every purpose. What libevent, malloc, a clock and the log need; libevent
 * makes its base (epoll_create1, a pipe for signals; it asks for our ids to
 * know whether to trust the environment) on either side of the door.
 */
static const struct sandbox_rule every[] = {
	/* memory, never executable; a shared mapping writes to its file */
	ALLOW("brk"),
	ALLOW_IF("mmap", CLEAR(2, PROT_EXEC), CLEAR(3, MAP_SHARED)),
	ALLOW_IF("mprotect", CLEAR(2, PROT_EXEC)),
	ALLOW("munmap"),
	ALLOW("mremap"),
	ALLOW("madvise"),
	ALLOW("futex"),
	/* time, where the vDSO hands on to the kernel */
	ALLOW("clock_gettime"),
	ALLOW("clock_nanosleep"),
	ALLOW("nanosleep"),
	ALLOW("gettimeofday"),
	ALLOW_OLD("time"),
	ALLOW("getrandom"),
	/* signals to ourselves; abort(3) */
	ALLOW("rt_sigaction"),
	ALLOW("rt_sigprocmask"),
	ALLOW("rt_sigreturn"),
	ALLOW("restart_syscall"),
	ROW("tgkill", SCMP_ACT_ALLOW, RULE_OWN_PID, EQ(2, SIGABRT)),
	ALLOW("exit"),
	ALLOW("exit_group"),
	/* who we are */
	ALLOW("getpid"),
	ALLOW("getppid"),
	ALLOW("gettid"),
	ALLOW("getuid"),
	ALLOW("geteuid"),
	ALLOW("getgid"),
	ALLOW("getegid"),
	ALLOW_IF("prlimit64", EQ(0, 0), IS_NULL(2)),
	/* the loop */
	ALLOW("epoll_create1"),
	ALLOW("epoll_ctl"),
	ALLOW_OLD("epoll_wait"),
	ALLOW("epoll_pwait"),
	ALLOW("epoll_pwait2"),
	ALLOW_OLD("poll"),
	ALLOW("ppoll"),
	ALLOW_IF("pipe2", EQ(1, O_NONBLOCK | O_CLOEXEC)),
	/*
	 * Bytes and descriptors over what is open. Never to an address named
	 * in the call: connected sockets only, so no TCP fast open by
	 * sendto; sendmsg hides its address, but not the flag.
	 */
	ALLOW("read"),
	ALLOW("readv"),
	ALLOW("write"),
	ALLOW("writev"),
	/* the log; another flag would write before the end of a file */
	ALLOW_IF("pwritev2", EQ(5, RWF_NOWAIT)),
	ALLOW("recvfrom"),
	ALLOW("recvmsg"),
	ALLOW_IF("sendto", CLEAR(3, MSG_FASTOPEN), IS_NULL(4)),
	ALLOW_IF("sendmsg", CLEAR(2, MSG_FASTOPEN)),
	ALLOW("shutdown"),
	/*
	 * Descriptor 0 is how we die with our parent (proc_linux.c): it can
	 * be neither closed nor disarmed, nor copied to where it could be.
	 */
	ALLOW_NOT_FD0("close"),
	ALLOW_NOT_FD0_IF("fcntl", EQ(1, F_DUPFD_CLOEXEC)),
	ALLOW_IF("fcntl", EQ(1, F_GETFL)),
	ALLOW_IF("fcntl", EQ(1, F_GETFD)),
	ALLOW_IF("fcntl", EQ(1, F_SETFD)),
	ALLOW_IF("ioctl", EQ(1, FIONREAD)),
	/* asked in passing, by stdio, qsort and the like */
	FAIL_IF("ioctl", ENOTTY, EQ(1, TCGETS)),
	FAIL("sysinfo", ENOSYS),
	FAIL("uname", ENOSYS),
	FAIL("sched_getaffinity", ENOSYS),
	/* files by name: a stray call of a library fails, and goes on */
	FAIL_OLD("open", EACCES),
	FAIL("openat2", ENOSYS),
	FAIL_OLD("stat", EACCES),
	FAIL_OLD("lstat", EACCES),
	FAIL("statx", ENOSYS),
	FAIL_OLD("access", EACCES),
	FAIL("faccessat", EACCES),
	FAIL("faccessat2", EACCES),
	FAIL_OLD("readlink", EACCES),
	FAIL("readlinkat", EACCES),
};

/* Every purpose but the parent. */
static const struct sandbox_rule no_files[] = {
	FAIL("openat", EACCES),
};

/* Every purpose but audit, whose file must stay one that is appended to. */
static const struct sandbox_rule set_modes[] = {
	ALLOW_NOT_FD0_IF("fcntl", EQ(1, F_SETFL)),
	ALLOW_NOT_FD0_IF("ioctl", EQ(1, FIONBIO)),
};

/* The newer C library's fstat(2) is newfstatat(fd, "", ...). */
static const struct sandbox_rule fstat_by_path[] = {
	ALLOW("fstat"),
	ALLOW_IF("newfstatat", SET(3, AT_EMPTY_PATH)),
	FAIL_IF("newfstatat", EACCES, CLEAR(3, AT_EMPTY_PATH)),
};

static const struct sandbox_rule no_fstat[] = {
	FAIL("fstat", EACCES),
	FAIL("newfstatat", EACCES),
};

/*
 * Every parent: reads files at a reload (Landlock says which), waits for its
 * children. It cannot signal them: they are other users, so it ends them by
 * their descriptor 0 (proc_lifeline.c).
 */
static const struct sandbox_rule supervise[] = {
	ALLOW_IF("openat", CLEAR(2, OPEN_WRITES)),
	ALLOW("fstat"),
	ALLOW("newfstatat"),
	ALLOW("pread64"),
	ALLOW("lseek"),
	ALLOW("wait4"),
	FAIL("kill", EPERM),
	ALLOW("bind"),
	ALLOW("listen"),
	/* getpwnam asks a cache daemon first, and takes no for an answer */
	FAIL("connect", EACCES),
	/* and may look for a module of another name service */
	FAIL_IF("mmap", EACCES, SET(2, PROT_EXEC)),
};

/* Binds the new listeners, and the sockets of runs, and passes them on. */
static const struct sandbox_rule parent[] = {
	ALLOW_IF("socketpair", EQ(0, AF_UNIX), BUT(1, FLAGS, SOCK_STREAM)),
	SOCKET(AF_INET, SOCK_STREAM, 0),
	SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP),
	/* the canary of a run; it is bound, and has nowhere to send to */
	SOCKET(AF_INET, SOCK_DGRAM, 0),
	SOCKET(AF_INET6, SOCK_STREAM, 0),
	SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP),
	SOCKOPT(SOL_SOCKET, SO_REUSEADDR),
	SOCKOPT(SOL_SOCKET, SO_REUSEPORT),
	SOCKOPT(IPPROTO_IPV6, IPV6_V6ONLY),
	SOCKOPT(IPPROTO_IP, IP_FREEBIND),
	SOCKOPT(IPPROTO_IPV6, IPV6_FREEBIND),
	ALLOW("getsockname"),
	ALLOW("getsockopt"),
	FAIL_IF("socket", EACCES, EQ(0, AF_UNIX)),
};

/*
 * Makes the socket of a run, in a directory of its own, and takes both away
 * again. Landlock says below which, and that they are nothing else.
 */
static const struct sandbox_rule dispatch[] = {
	SOCKET(AF_UNIX, SOCK_STREAM, 0),
	ALLOW("mkdirat"),
	ALLOW("fchmodat"),
	ALLOW("unlinkat"),
};

/*
 * Appends to the one file that it was given, and can do no more to it: it may
 * not clear O_APPEND (set_modes), map it shared or truncate it.
 */
static const struct sandbox_rule audit[] = {
	ALLOW("fdatasync"),
	ALLOW("pread64"),
};

/* Accepts Unix clients and asks the kernel who they are. */
static const struct sandbox_rule frontend[] = {
	ALLOW("accept4"),
	ALLOW("getsockopt"),
};

/* Accepts, dials and relays TCP; a datagram socket tells its own address. */
static const struct sandbox_rule proxy[] = {
	ALLOW("accept4"),
	SOCKET(AF_INET, SOCK_STREAM, 0),
	SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP),
	SOCKET(AF_INET, SOCK_DGRAM, 0),
	SOCKET(AF_INET6, SOCK_STREAM, 0),
	SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP),
	SOCKET(AF_INET6, SOCK_DGRAM, 0),
	ALLOW("connect"),
	ALLOW("getpeername"),
	ALLOW("getsockname"),
	ALLOW("getsockopt"),
	SOCKOPT(IPPROTO_TCP, TCP_NODELAY),
	SOCKOPT(SOL_SOCKET, SO_KEEPALIVE),
	SOCKOPT(IPPROTO_TCP, TCP_KEEPIDLE),
	SOCKOPT(IPPROTO_TCP, TCP_KEEPINTVL),
	SOCKOPT(IPPROTO_TCP, TCP_KEEPCNT),
	SOCKOPT(SOL_SOCKET, SO_LINGER),
	ALLOW("splice"),
	ALLOW_IF("fcntl", EQ(1, F_SETPIPE_SZ)),
	ALLOW_IF("fcntl", EQ(1, F_GETPIPE_SZ)),
};

/* Asks DNS servers, by UDP and TCP. */
static const struct sandbox_rule resolver[] = {
	SOCKET(AF_INET, SOCK_STREAM, 0),
	SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP),
	SOCKET(AF_INET, SOCK_DGRAM, 0),
	SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_UDP),
	SOCKET(AF_INET6, SOCK_STREAM, 0),
	SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP),
	SOCKET(AF_INET6, SOCK_DGRAM, 0),
	SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_UDP),
	ALLOW("connect"),
	ALLOW("getsockname"),
	ALLOW("getpeername"),
	ALLOW("getsockopt"),
	SOCKOPT(IPPROTO_TCP, TCP_NODELAY),
};

/*
 * Dials the container engine. The call cannot say which Unix socket: the
 * file's owner and mode do, for a user whose only group beside its own is that
 * socket's. libcurl asks for a pair to wake itself with and does without one.
 */
static const struct sandbox_rule engine[] = {
	SOCKET(AF_UNIX, SOCK_STREAM, 0),
	ALLOW("connect"),
	ALLOW("getsockname"),
	ALLOW("getpeername"),
	ALLOW("getsockopt"),
	FAIL("socketpair", EACCES),
	FAIL("eventfd2", EACCES),
};

/* Files below the one directory that Landlock leaves it. */
static const struct sandbox_rule files_below[] = {
	ALLOW("openat"),
	ALLOW("fstat"),
	ALLOW("newfstatat"),
	ALLOW("unlinkat"),
	ALLOW_OLD("unlink"),
	ALLOW("lseek"),
	ALLOW("pread64"),
	ALLOW("pwrite64"),
	ALLOW("preadv"),
	ALLOW("pwritev"),
	ALLOW("ftruncate"),
	ALLOW("fsync"),
	ALLOW("fdatasync"),
	/* how much room there is, of a descriptor that it has */
	ALLOW("fstatfs"),
};

/* Accepts PID 1 of each run, stores its output and its bundle. */
static const struct sandbox_rule runs[] = {
	ALLOW("accept4"),
	ALLOW("getsockopt"),
	ALLOW("mkdirat"),
	ALLOW("renameat"),
	ALLOW("renameat2"),
	ALLOW_OLD("rename"),
};

/* SQLite, whose locks are the file's; and egressd, whose peer it is. */
static const struct sandbox_rule queue[] = {
	ALLOW("flock"),
	ALLOW_IF("fcntl", EQ(1, F_SETLK)),
	ALLOW_IF("fcntl", EQ(1, F_SETLKW)),
	ALLOW_IF("fcntl", EQ(1, F_GETLK)),
	SOCKET(AF_UNIX, SOCK_STREAM, 0),
	ALLOW("connect"),
	ALLOW("getsockopt"),
};

#ifdef BULKHEAD_SANITIZE
/*
 * What the sanitizers' run time adds in a build for tests: it takes down its
 * signal stack behind a report. A report's other calls (finding names for its
 * addresses) fail like any opening of a file.
 */
static const struct sandbox_rule sanitize[] = {
	ALLOW("sigaltstack"),
};
#endif

size_t
sandbox_rules(enum sandbox_purpose purpose,
    struct sandbox_table tables[SANDBOX_TABLES_MAX])
{
	static const struct sandbox_table own[SANDBOX_PURPOSES][OWN_TABLES] = {
		[SANDBOX_PARENT] = { TABLE(supervise), TABLE(parent),
		    TABLE(set_modes) },
		[SANDBOX_DISPATCH] = { TABLE(supervise), TABLE(dispatch),
		    TABLE(set_modes) },
		[SANDBOX_AUDIT] = { TABLE(audit), TABLE(no_files),
		    TABLE(fstat_by_path) },
		[SANDBOX_FRONTEND] = { TABLE(frontend), TABLE(no_files),
		    TABLE(no_fstat), TABLE(set_modes) },
		[SANDBOX_PROXY] = { TABLE(proxy), TABLE(no_files),
		    TABLE(no_fstat), TABLE(set_modes) },
		[SANDBOX_RESOLVER] = { TABLE(resolver), TABLE(no_files),
		    TABLE(no_fstat), TABLE(set_modes) },
		/* its netlink socket was connected before: it sends, receives
		 */
		[SANDBOX_FW] = { TABLE(no_files), TABLE(no_fstat),
		    TABLE(set_modes) },
		[SANDBOX_RUNS] = { TABLE(runs), TABLE(files_below),
		    TABLE(set_modes) },
		[SANDBOX_QUEUE] = { TABLE(queue), TABLE(files_below),
		    TABLE(set_modes) },
		[SANDBOX_ENGINE] = { TABLE(engine), TABLE(no_files),
		    TABLE(no_fstat), TABLE(set_modes) },
	};
	static const struct sandbox_table common[] = {
		TABLE(every),
#ifdef BULKHEAD_SANITIZE
		TABLE(sanitize),
#endif
	};
	size_t i, n = 0;

	for (i = 0; i < sizeof(common) / sizeof(common[0]); i++)
		tables[n++] = common[i];
	for (i = 0; i < OWN_TABLES && own[purpose][i].n > 0; i++)
		tables[n++] = own[purpose][i];
	return n;
}
