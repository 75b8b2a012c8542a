/*
 * The branch that a run hands back, as a git bundle: bytes and their hash. What
 * it holds nobody here looks at.
 */

#include <sys/stat.h>
#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "libcommon/fd.h"
#include "libcommon/log.h"

#include "dispatchd/runs.h"

#define PART "bundle.part"
#define COMPARE_LEN 16384 /* bytes at a time */

static void
tell(struct job *j, int64_t bytes, const char *sha256, const char *lost,
    const char *why)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_job_bundle;
	m.u.job_bundle.run = j->id;
	m.u.job_bundle.bytes = bytes;
	m.u.job_bundle.lost = lost;
	m.u.job_bundle.sha256 = sha256;
	m.u.job_bundle.base = j->bundle.base;
	m.u.job_bundle.head = j->bundle.head;
	m.u.job_bundle.why = why;
	sibling_send(runs.queue, &m);
}

void
bundle_drop(struct job *j)
{
	struct bundle *b = &j->bundle;

	if (b->fd != -1) {
		close(b->fd);
		if (!b->again)
			unlinkat(j->dirfd, PART, 0);
	}
	EVP_MD_CTX_free(b->hash);
	memset(b, 0, sizeof(*b));
	b->fd = -1;
}

/* It will not be had: the rest of the stream is not wanted either. */
static void
give_up(struct job *j, const char *lost, const char *why)
{
	uint32_t stream = j->bundle.stream;

	if (job_may_log(j))
		log_warnx("run %s: no bundle: %s", j->id, why);
	if (stream != 0 && j->agent != NULL)
		(void)peer_stream_refuse(j->agent, stream, "not stored");
	tell(j, 0, "", lost, why);
	bundle_drop(j);
}

/* Two limits that a bundle may be too much for. Returns whether it was. */
static bool
too_much(struct job *j, int64_t bytes)
{
	char why[128];

	if (bytes > j->bundle_limit)
		snprintf(why, sizeof(why),
		    "its bundle has %lld bytes, and bundle_limit is %lld",
		    (long long)bytes, (long long)j->bundle_limit);
	else if (!disk_room(j->disk_reserve / RUNS_RESERVE_SHARE, bytes))
		snprintf(why, sizeof(why),
		    "its bundle has %lld bytes, and would leave less free on "
		    "the disk than half of disk_reserve",
		    (long long)bytes);
	else
		return false;
	give_up(j, "quota", why);
	return true;
}

static int
begin_part(struct job *j, int64_t bytes)
{
	struct bundle *b = &j->bundle;

	b->max = bytes;
	b->fd = openat(j->dirfd, PART,
	    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	return b->fd == -1 ? -1 : 0;
}

/* Take its bytes, to be written or compared. */
static void
expect(struct job *j)
{
	struct bundle *b = &j->bundle;

	b->hash = EVP_MD_CTX_new();
	if (b->hash == NULL ||
	    EVP_DigestInit_ex(b->hash, EVP_sha256(), NULL) != 1 ||
	    peer_stream_expect(j->agent, b->stream, b->max) == -1)
		give_up(j, "storage", "its bundle cannot be stored");
}

/*
 * One is stored already, fd: what came of it may be on record by now, so it
 * must be this one that comes once more. Returns -1 when it cannot be.
 */
static int
begin_again(struct job *j, const struct msg_agent_bundle *m, int fd)
{
	struct bundle *b = &j->bundle;
	struct stat st;

	b->fd = fd;
	b->again = true;
	b->stream = (uint32_t)m->stream;
	if (fstat(fd, &st) == -1) {
		give_up(j, "storage", strerror(errno));
		return 0;
	}
	b->max = st.st_size;
	if (m->stream == 0 || m->bytes != b->max)
		return -1;
	expect(j);
	return 0;
}

int
bundle_begin(struct job *j, const struct msg_agent_bundle *m)
{
	struct bundle *b = &j->bundle;
	int fd;

	bundle_drop(j);
	strlcpy(b->base, m->base, sizeof(b->base));
	strlcpy(b->head, m->head, sizeof(b->head));
	if (m->why != NULL)
		strlcpy(b->why, m->why, sizeof(b->why));
	fd = openat(j->dirfd, RUNS_BUNDLE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd != -1)
		return begin_again(j, m, fd);
	if (m->stream == 0) {
		tell(j, 0, "",
		    m->why == NULL      ? ""
		        : m->bytes != 0 ? "quota"
		                        : "agent",
		    m->why);
		return 0;
	}
	b->stream = (uint32_t)m->stream;
	if (errno != ENOENT)
		give_up(j, "storage", strerror(errno));
	else if (!too_much(j, m->bytes)) {
		if (begin_part(j, m->bytes) == -1)
			give_up(j, "storage", "its bundle cannot be stored");
		else
			expect(j);
	}
	return 0;
}

/* Returns how many of them were compared, or -1: they are not the stored ones.
 */
static ssize_t
compare(struct bundle *b, const uint8_t *buf, size_t len)
{
	uint8_t have[COMPARE_LEN];
	size_t n = len < sizeof(have) ? len : sizeof(have);
	ssize_t got = pread(b->fd, have, n, b->bytes);

	if (got <= 0 || memcmp(have, buf, (size_t)got) != 0)
		return -1;
	return got;
}

int
bundle_data(struct job *j, const uint8_t *buf, size_t len)
{
	struct bundle *b = &j->bundle;
	ssize_t n;

	while (len > 0) {
		n = b->again ? compare(b, buf, len) : write(b->fd, buf, len);
		if (n == -1 && b->again)
			return -1;
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			give_up(
			    j, "storage", strerror(n == 0 ? ENOSPC : errno));
			return 0;
		}
		if (EVP_DigestUpdate(b->hash, buf, (size_t)n) != 1) {
			give_up(j, "storage", "its bundle cannot be hashed");
			return 0;
		}
		b->bytes += n;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

int
bundle_hash_end(void *hash, char hex[RUNS_HASH_LEN + 1])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n = 0, i;

	if (EVP_DigestFinal_ex(hash, md, &n) != 1 || n != 32)
		return -1;
	for (i = 0; i < n; i++)
		snprintf(hex + 2 * (size_t)i, 3, "%02x", md[i]);
	return 0;
}

static int
put_in_place(struct job *j)
{
	if (fd_sync_data(j->bundle.fd) == -1)
		return -1;
	return renameat(j->dirfd, PART, j->dirfd, RUNS_BUNDLE);
}

void
bundle_end(struct job *j, bool ok, const char *why)
{
	struct bundle *b = &j->bundle;
	char hex[RUNS_HASH_LEN + 1];

	b->stream = 0;
	if (!ok || b->bytes != b->max) {
		give_up(j, "storage",
		    why != NULL ? why : "its bundle is not whole");
		return;
	}
	if (bundle_hash_end(b->hash, hex) == -1 ||
	    (!b->again && put_in_place(j) == -1) || fd_sync(j->dirfd) == -1) {
		give_up(
		    j, "storage", "its bundle cannot be brought to the disk");
		return;
	}
	close(b->fd);
	b->fd = -1;
	tell(j, b->bytes, hex, "", b->why[0] != '\0' ? b->why : NULL);
	bundle_drop(j);
}
