/*
 * Which bundle of a run is stored, for a queue that was not told or could not
 * write it down: bytes and hash of the file that is there. It may be large, and
 * nobody else is to wait for it: it is read a piece at a time.
 */

#include <sys/stat.h>
#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "libcommon/fd.h"
#include "libcommon/log.h"

#include "dispatchd/runs.h"

#define STORED_MAX RUNS_JOBS_MAX /* at a time */
#define STORED_TURNS 32 /* pieces of one event */

struct stored {
	int64_t id; /* of the request */
	int fd;
	int64_t bytes;
	EVP_MD_CTX *hash;
	struct event *more;
};

static size_t nstored;
static uint8_t piece[CHUNK_MAX];

static void
answer(int64_t id, int64_t bytes, const char *sha256)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_job_stored_answer;
	m.id = id;
	m.u.job_stored_answer.bytes = bytes;
	m.u.job_stored_answer.sha256 = sha256;
	sibling_send(runs.queue, &m);
}

static void
refuse(int64_t id, const char *code, const char *why)
{
	peer_send_error(runs.queue, id, code, why);
}

static void
stored_free(struct stored *s)
{
	if (s->more != NULL)
		event_free(s->more);
	EVP_MD_CTX_free(s->hash);
	close(s->fd);
	free(s);
	nstored--;
}

static void
whole(struct stored *s)
{
	char hex[RUNS_HASH_LEN + 1];

	if (bundle_hash_end(s->hash, hex) == -1)
		refuse(s->id, "storage", "its bundle cannot be hashed");
	else
		answer(s->id, s->bytes, hex);
	stored_free(s);
}

static void
go_on(int fd, short what, void *arg)
{
	struct timeval now = { 0, 0 };
	struct stored *s = arg;
	ssize_t n;
	int i;

	for (i = 0; i < STORED_TURNS; i++) {
		n = read(s->fd, piece, sizeof(piece));
		if (n == 0) {
			whole(s);
			return;
		}
		if (n == -1 ||
		    EVP_DigestUpdate(s->hash, piece, (size_t)n) != 1) {
			refuse(s->id, "storage", "its bundle cannot be read");
			stored_free(s);
			return;
		}
		s->bytes += n;
	}
	evtimer_add(s->more, &now);
}

/*
 * The file, whose name is on the disk from now on. -1 with errno, ENOENT when
 * there is none.
 */
static int
stored_open(const char *run)
{
	int dir = job_dir_open(run, false), fd, saved;
	struct stat st;

	if (dir == -1)
		return -1;
	fd = openat(
	    dir, RUNS_BUNDLE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd != -1 && (fstat(fd, &st) == -1 || fd_sync(dir) == -1)) {
		saved = errno;
		close(fd);
		fd = -1;
		errno = saved;
	} else if (fd != -1 && !S_ISREG(st.st_mode)) {
		close(fd);
		fd = -1;
		errno = EINVAL;
	}
	saved = errno;
	close(dir);
	errno = saved;
	return fd;
}

/* fd is owned from here. */
static void
begin(int64_t id, int fd)
{
	struct stored *s;

	if (nstored >= STORED_MAX || (s = calloc(1, sizeof(*s))) == NULL) {
		close(fd);
		refuse(id, "limit", "too many bundles are being read");
		return;
	}
	nstored++;
	s->id = id;
	s->fd = fd;
	s->hash = EVP_MD_CTX_new();
	s->more = evtimer_new(runs.base, go_on, s);
	if (s->hash == NULL || s->more == NULL ||
	    EVP_DigestInit_ex(s->hash, EVP_sha256(), NULL) != 1) {
		refuse(id, "limit", "out of memory");
		stored_free(s);
		return;
	}
	go_on(-1, 0, s);
}

void
job_stored(int64_t id, const struct msg_job_stored *m)
{
	int fd = stored_open(m->run);

	if (fd != -1)
		begin(id, fd);
	else if (errno == ENOENT)
		answer(id, 0, "");
	else {
		log_warn("run %s: its bundle", m->run);
		refuse(id, "storage", "its bundle cannot be opened");
	}
}
