/* What the Linux kernel has, by what it shows in /proc and /sys. */

#include <sys/stat.h>
#include <sys/utsname.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/sandbox_linux.h"

#include "doctor.h"

#define LINE_MAX_LEN 512
#define KERNEL_MAJOR 5 /* nftables' verdict on cgroups and sets, landlock */
#define KERNEL_MINOR 13

/*
 * The first line of a file that the kernel makes up. Returns NULL with errno,
 * in which an ordinary user may well find that it must not look.
 */
static const char *
first_line(const char *path, char buf[LINE_MAX_LEN])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), error;
	ssize_t n;

	if (fd == -1)
		return NULL;
	n = read(fd, buf, LINE_MAX_LEN - 1);
	error = errno;
	(void)close(fd);
	if (n == -1) {
		errno = error;
		return NULL;
	}
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return buf;
}

static void
kernel(void)
{
	struct utsname u;
	int major = 0, minor = 0;

	if (uname(&u) == -1) {
		doctor_say(FINDING_WARN, "kernel", NULL, "%s", strerror(errno));
		return;
	}
	/* NOLINTNEXTLINE(cert-err34-c): 0 is what is no number */
	(void)sscanf(u.release, "%d.%d", &major, &minor);
	if (major > KERNEL_MAJOR ||
	    (major == KERNEL_MAJOR && minor >= KERNEL_MINOR))
		doctor_say(FINDING_OK, "kernel", NULL, "%s", u.release);
	else
		doctor_say(FINDING_WARN, "kernel",
		    "a kernel from 5.13 on has all that the sandboxes use",
		    "%s", u.release);
}

static void
seccomp(void)
{
	char buf[LINE_MAX_LEN];

	if (first_line("/proc/sys/kernel/seccomp/actions_avail", buf) == NULL)
		doctor_say(FINDING_FAIL, "seccomp",
		    "a kernel with CONFIG_SECCOMP_FILTER", "%s",
		    strerror(errno));
	else
		doctor_say(FINDING_OK, "seccomp", NULL, "%s", buf);
}

static void
landlock(void)
{
	int abi = sandbox_landlock_abi();

	if (abi > 0)
		doctor_say(FINDING_OK, "landlock", NULL, "ABI %d", abi);
	else
		doctor_say(FINDING_WARN, "landlock",
		    errno == EOPNOTSUPP ? "boot with lsm=landlock,..."
		                        : "a kernel from 5.13 on",
		    "%s; the other walls remain", strerror(errno));
}

static void
cgroup(void)
{
	char buf[LINE_MAX_LEN];

	if (first_line("/sys/fs/cgroup/cgroup.controllers", buf) == NULL) {
		doctor_say(FINDING_WARN, "cgroup",
		    "boot with systemd.unified_cgroup_hierarchy=1",
		    "version 1, or none is mounted");
		return;
	}
	if (strstr(buf, "memory") == NULL || strstr(buf, "pids") == NULL)
		doctor_say(FINDING_WARN, "cgroup",
		    "enable the controllers memory, cpu and pids",
		    "version 2, with %s only", buf);
	else
		doctor_say(FINDING_OK, "cgroup", NULL, "version 2, %s", buf);
}

/*
 * A run's packets are refused by rules of input and forward whatever these
 * are. They are told because they decide what other containers can do.
 */
static void
forwarding(void)
{
	char buf[LINE_MAX_LEN];

	if (first_line("/proc/sys/net/ipv4/ip_forward", buf) == NULL)
		doctor_say(FINDING_WARN, "ip_forward", NULL,
		    "cannot be told: %s", strerror(errno));
	else
		doctor_say(FINDING_OK, "ip_forward", NULL,
		    strcmp(buf, "0") == 0
		        ? "off"
		        : "on; runs are closed by rules of their own");
	if (first_line("/proc/sys/net/bridge/bridge-nf-call-iptables", buf) ==
	    NULL)
		doctor_say(FINDING_OK, "br_netfilter", NULL,
		    "not loaded; runs do not need it");
	else
		doctor_say(FINDING_OK, "br_netfilter", NULL,
		    "loaded, bridge-nf-call-iptables %s", buf);
}

void
doctor_system(void)
{
	kernel();
	seccomp();
	landlock();
	cgroup();
	forwarding();
}
