#include <errno.h>
#include <unistd.h>

#include "libcommon/fd.h"
#include "libcommon/proc.h"
#include "libcommon/proc_private.h"

/* pid is 0 until the child is forked; the slot is free while fd is 0. */
static struct lifeline {
	pid_t pid;
	int fd;
} lifelines[PROC_MAX];

static struct lifeline *
find(pid_t pid)
{
	size_t i;

	for (i = 0; i < PROC_MAX; i++) {
		if (lifelines[i].fd != 0 && lifelines[i].pid == pid)
			return &lifelines[i];
	}
	return NULL;
}

static struct lifeline *
find_free(void)
{
	size_t i;

	for (i = 0; i < PROC_MAX; i++) {
		if (lifelines[i].fd == 0)
			return &lifelines[i];
	}
	return NULL;
}

int
proc_lifeline_new(void)
{
	struct lifeline *l;
	int p[2];

	if ((l = find_free()) == NULL) {
		errno = EAGAIN;
		return -1;
	}
	if (pipe(p) == -1)
		return -1;
	if (fd_set_cloexec(p[0]) == -1 || fd_set_cloexec(p[1]) == -1) {
		close(p[0]);
		close(p[1]);
		return -1;
	}
	l->pid = 0;
	l->fd = p[1];
	return p[0];
}

void
proc_lifeline_bind(pid_t pid)
{
	struct lifeline *l = find(0);

	if (l != NULL)
		l->pid = pid;
}

void
proc_lifeline_cut(pid_t pid)
{
	struct lifeline *l = find(pid);

	if (l == NULL)
		return;
	close(l->fd);
	l->fd = 0;
}
