/*
 * The branch that a run hands back, as a git bundle: bytes and their hash. What
 * it holds nobody here looks at.
 */

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
#define WHOLE "bundle"

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
	runs_send(runs.queue, &m);
}

void
bundle_drop(struct job *j)
{
	struct bundle *b = &j->bundle;

	if (b->fd != -1) {
		close(b->fd);
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

void
bundle_begin(struct job *j, const struct msg_agent_bundle *m)
{
	struct bundle *b = &j->bundle;

	bundle_drop(j);
	strlcpy(b->base, m->base, sizeof(b->base));
	strlcpy(b->head, m->head, sizeof(b->head));
	if (m->stream == 0) {
		tell(j, 0, "", m->why != NULL ? "agent" : "", m->why);
		return;
	}
	b->stream = (uint32_t)m->stream;
	if (too_much(j, m->bytes))
		return;
	b->max = m->bytes;
	b->fd = openat(j->dirfd, PART,
	    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	b->hash = EVP_MD_CTX_new();
	if (b->fd == -1 || b->hash == NULL ||
	    EVP_DigestInit_ex(b->hash, EVP_sha256(), NULL) != 1 ||
	    peer_stream_expect(j->agent, (uint32_t)m->stream, m->bytes) == -1) {
		give_up(j, "storage", "its bundle cannot be stored");
		return;
	}
}

void
bundle_data(struct job *j, const uint8_t *buf, size_t len)
{
	struct bundle *b = &j->bundle;
	ssize_t n;

	while (len > 0) {
		n = write(b->fd, buf, len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			give_up(
			    j, "storage", strerror(n == 0 ? ENOSPC : errno));
			return;
		}
		if (EVP_DigestUpdate(b->hash, buf, (size_t)n) != 1) {
			give_up(j, "storage", "its bundle cannot be hashed");
			return;
		}
		b->bytes += n;
		buf += n;
		len -= (size_t)n;
	}
}

static int
finish_hash(struct bundle *b, char hex[65])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n = 0, i;

	if (EVP_DigestFinal_ex(b->hash, md, &n) != 1 || n != 32)
		return -1;
	for (i = 0; i < n; i++)
		snprintf(hex + 2 * (size_t)i, 3, "%02x", md[i]);
	return 0;
}

void
bundle_end(struct job *j, bool ok, const char *why)
{
	struct bundle *b = &j->bundle;
	char hex[65];

	b->stream = 0;
	if (!ok || b->bytes != b->max) {
		give_up(j, "storage",
		    why != NULL ? why : "its bundle is not whole");
		return;
	}
	if (finish_hash(b, hex) == -1 || fd_sync_data(b->fd) == -1 ||
	    renameat(j->dirfd, PART, j->dirfd, WHOLE) == -1 ||
	    fd_sync(j->dirfd) == -1) {
		give_up(
		    j, "storage", "its bundle cannot be brought to the disk");
		return;
	}
	close(b->fd);
	b->fd = -1;
	tell(j, b->bytes, hex, "", NULL);
	bundle_drop(j);
}
