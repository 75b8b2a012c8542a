/*
 * Room on the disk. A run's output leaves disk_reserve alone; its bundle, which
 * cannot be had a second time, may take half of that.
 */

#include "libcommon/fd.h"
#include "libcommon/log.h"

#include "dispatchd/runs.h"

bool
disk_room(int64_t reserve, int64_t bytes)
{
	int64_t space = 0;

	if (reserve == 0)
		return true;
	if (fd_space(runs.dirfd, &space) == -1) {
		log_warn("how much room the disk has");
		return false;
	}
	return space >= reserve && space - reserve >= bytes;
}
