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
	ssize_t n = -1;
	int fd;

	if ((fd = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC)) != -1) {
		n = read(fd, buf, CLOCK_BOOT_ID_LEN - 1);
		close(fd);
	}
	if (n > 0) {
		buf[n] = '\0';
		buf[strcspn(buf, "\n")] = '\0';
	}
	if (n <= 0 || buf[0] == '\0')
		strlcpy(buf, "unknown", CLOCK_BOOT_ID_LEN);
}
