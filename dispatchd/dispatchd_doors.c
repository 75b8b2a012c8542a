/*
 * The doors: a directory for each run, with the socket that PID 1 of its
 * container comes by. We keep the directory of all of them as our working
 * directory and name what lies in it by nothing but a run's id.
 */

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/fd.h"
#include "libcommon/log.h"
#include "libcommon/runid.h"

#include "dispatchd/dispatchd_parent.h"

#define DOORS_MODE 0700
#define DOOR_DIR_MODE 0755
#define DOOR_MODE 0666 /* who may take it is runs' to say */
#define DOOR_NAME "dispatchd.sock"
#define DOOR_PATH_MAX (RUNID_LEN + sizeof("/" DOOR_NAME))

/* Those that an earlier life left stay: their runs may be alive. */
void
dispatch_doors_open(struct parent *p, uid_t uid, gid_t gid)
{
	const char *socket = p->d.now.socket;
	int dir = (int)(strrchr(socket, '/') - socket);

	snprintf(p->doors, sizeof(p->doors), "%.*s/runs", dir, socket);
	if (mkdir(p->doors, DOORS_MODE) == -1 && errno != EEXIST)
		fatal("cannot make %s", p->doors);
	p->doors_fd =
	    open(p->doors, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (p->doors_fd == -1)
		fatal("cannot open %s", p->doors);
	if ((geteuid() == 0 && fchown(p->doors_fd, uid, gid) == -1) ||
	    fchmod(p->doors_fd, DOORS_MODE) == -1)
		fatal("cannot take %s", p->doors);
}

/* What comes from the queue becomes a name: never anything but an id. */
static void
door_path(const char *run, char path[DOOR_PATH_MAX])
{
	if (!runid_valid(run))
		fatalx("no id of a run from the queue");
	snprintf(path, DOOR_PATH_MAX, "%s/" DOOR_NAME, run);
}

static int
door_listen(const struct parent *p, const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd, saved;

	strlcpy(sun.sun_path, path, sizeof(sun.sun_path));
	fd = fd_socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd == -1)
		return -1;
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 &&
	    fchmodat(p->doors_fd, path, DOOR_MODE, 0) == 0 &&
	    listen(fd, DISPATCH_DOOR_BACKLOG) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* Returns the listening socket, or -1 with errno. */
static int
door_make(const struct parent *p, const char *run, const char *path)
{
	if ((mkdirat(p->doors_fd, run, DOOR_DIR_MODE) == -1 &&
	        errno != EEXIST) ||
	    fchmodat(p->doors_fd, run, DOOR_DIR_MODE, 0) == -1 ||
	    (unlinkat(p->doors_fd, path, 0) == -1 && errno != ENOENT))
		return -1;
	return door_listen(p, path);
}

void
dispatch_door_make(struct parent *p, int64_t id, const struct msg_door_make *m)
{
	struct peer *queue = daemon_child(&p->d, SIDE_QUEUE)->peer;
	char path[DOOR_PATH_MAX];
	struct msg out;
	int fd;

	door_path(m->run, path);
	if ((fd = door_make(p, m->run, path)) == -1) {
		log_warn("run %s: cannot make its socket", m->run);
		peer_send_error(queue, id, "unavailable",
		    "the socket of the run cannot be made");
		return;
	}
	memset(&out, 0, sizeof(out));
	out.type = MSG_TYPE_door;
	out.u.door.run = m->run;
	if (peer_send_fd(daemon_child(&p->d, SIDE_RUNS)->peer, &out, fd) == -1)
		panic("cannot send a door");
	memset(&out, 0, sizeof(out));
	out.type = MSG_TYPE_door_made;
	out.id = id;
	if (peer_send(queue, &out) == -1)
		panic("cannot send door.made");
}

void
dispatch_door_remove(struct parent *p, const struct msg_door_remove *m)
{
	char path[DOOR_PATH_MAX];

	door_path(m->run, path);
	if (unlinkat(p->doors_fd, path, 0) == -1 && errno != ENOENT)
		log_warn("run %s: cannot remove its socket", m->run);
	if (unlinkat(p->doors_fd, m->run, AT_REMOVEDIR) == -1 &&
	    errno != ENOENT)
		log_warn("run %s: cannot remove its directory", m->run);
}
