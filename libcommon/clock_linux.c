#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

int64_t
clock_boot_ms(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_BOOTTIME, &ts) == -1)
		fatal("clock_gettime CLOCK_BOOTTIME");
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void
clock_boot_id(char buf[CLOCK_BOOT_ID_LEN])
{
	/* Behind a sandbox the file cannot be opened any more. */
	static char kept[CLOCK_BOOT_ID_LEN];
	ssize_t n;
	int fd;

	if (kept[0] == '\0' &&
	    (fd = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC)) != -1) {
		n = read(fd, kept, sizeof(kept) - 1);
		close(fd);
		kept[n > 0 ? n : 0] = '\0';
		kept[strcspn(kept, "\n")] = '\0';
	}
	strlcpy(buf, kept[0] != '\0' ? kept : "unknown", CLOCK_BOOT_ID_LEN);
}
