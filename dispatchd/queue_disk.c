/*
 * Room on the disk of the state directory. With less than disk_reserve free
 * nothing is taken in or begun; what runs is looked after as ever, and our own
 * rows go on into the reserve: that is what it is for.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libcommon/fd.h"
#include "libcommon/log.h"

#include "dispatchd/queue.h"

#define SIZE_TEXT_MAX 32
#define MIB (1024 * 1024)

static bool was_short;

bool
disk_short(char why[QUEUE_WHY_MAX + 1])
{
	char has[SIZE_TEXT_MAX], want[SIZE_TEXT_MAX];
	int64_t reserve = queue.config->disk_reserve, bytes = 0;

	if (reserve == 0)
		return false;
	if (fd_space(queue.dirfd, &bytes) == -1) {
		snprintf(why, QUEUE_WHY_MAX + 1,
		    "how much room the disk of %.100s has cannot be told: %s",
		    queue.config->state, strerror(errno));
		return true;
	}
	if (bytes >= reserve)
		return false;
	/* Whole MiB: to the byte it would be another at each look. */
	queue_size_text(
	    bytes >= MIB ? bytes - bytes % MIB : bytes, has, sizeof(has));
	queue_size_text(reserve, want, sizeof(want));
	snprintf(why, QUEUE_WHY_MAX + 1,
	    "the disk of %.100s has %s free, and disk_reserve is %s",
	    queue.config->state, has, want);
	return true;
}

void
disk_tick(void)
{
	char why[QUEUE_WHY_MAX + 1];
	bool now = disk_short(why);

	if (now == was_short)
		return;
	was_short = now;
	if (now) {
		log_warnx("nothing is begun: %s", why);
		return;
	}
	log_info("the disk has room again");
	qjob_admit_all();
}
