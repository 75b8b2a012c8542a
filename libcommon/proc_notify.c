#include <sys/socket.h>
#include <sys/un.h>

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"
#include "libcommon/log.h"
#include "libcommon/proc.h"

static int notify_fd = -1;

/* "@name" is the abstract socket "\0name" (sd_notify(3)). */
static socklen_t
address(struct sockaddr_un *sun, const char *path)
{
	size_t len = strlen(path);

	if ((path[0] != '/' && path[0] != '@') || len < 2 ||
	    len >= sizeof(sun->sun_path))
		return 0;
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path, path, len);
	if (path[0] == '@')
		sun->sun_path[0] = '\0';
	else
		len++; /* its NUL */
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

/*
 * Connected here, because behind the door there is neither a socket to make
 * nor an address to send to. Our children have nothing to say there.
 */
void
proc_notify_open(void)
{
	struct sockaddr_un sun;
	const char *path = getenv("NOTIFY_SOCKET");
	socklen_t len;
	int fd;

	if (path == NULL)
		return;
	if ((len = address(&sun, path)) == 0) {
		log_warnx("NOTIFY_SOCKET: %s: not an address", path);
		return;
	}
	if ((fd = socket(AF_UNIX, SOCK_DGRAM, 0)) == -1 ||
	    fd_set_cloexec(fd) == -1 || fd_set_nonblock(fd) == -1 ||
	    connect(fd, (struct sockaddr *)&sun, len) == -1) {
		log_warn("NOTIFY_SOCKET: %s", path);
		if (fd != -1)
			close(fd);
		return;
	}
	unsetenv("NOTIFY_SOCKET");
	notify_fd = fd;
}

void
proc_notify(const char *text)
{
	if (notify_fd == -1)
		return;
	if (send(notify_fd, text, strlen(text), MSG_DONTWAIT) == -1)
		log_warn("NOTIFY_SOCKET");
}
