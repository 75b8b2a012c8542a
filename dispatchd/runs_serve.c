/* Logs and bundles for the frontend, each on a stream of its link. */

#include <sys/stat.h>
#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "libcommon/log.h"

#include "dispatchd/runs.h"

#define SERVE_TURNS 4 /* pieces of one event */
#define OTHER_BUNDLE "its bundle is not the one that was recorded any more"

struct reader {
	TAILQ_ENTRY(reader) entry;
	char run[RUNID_LEN + 1];
	int64_t id; /* of the request */
	struct event *again; /* it has credit, and others had to have a turn */
	uint32_t stream;
	bool follow;
	bool over; /* the run prints no more */
	/* A log: of a live run, or opened for this. */
	struct runs_log *log, *own;
	struct runs_log_place place;
	/* Or a bundle. */
	int64_t row_id; /* of the question what the queue has; 0: answered */
	char want[RUNS_HASH_LEN + 1];
	int fd;
	int64_t bytes;
	EVP_MD_CTX *hash;
};

static void push(struct reader *);

static TAILQ_HEAD(, reader) readers = TAILQ_HEAD_INITIALIZER(readers);
static size_t nreaders;
/* At least one chunk, whatever its size; more of them where they are small. */
static uint8_t piece[2 * (CHUNK_HEADER_LEN + CHUNK_MAX)];

static void
refuse(int64_t id, const char *code, const char *why)
{
	peer_send_error(runs.frontend, id, code, why);
}

static void
reader_free(struct reader *r)
{
	TAILQ_REMOVE(&readers, r, entry);
	nreaders--;
	event_free(r->again);
	runs_log_close(&r->own);
	if (r->fd != -1)
		close(r->fd);
	EVP_MD_CTX_free(r->hash);
	free(r);
}

static void
go_on(int fd, short what, void *arg)
{
	push(arg);
}

/* Credit that is there already is told of no second time. */
static void
push_again(struct reader *r)
{
	struct timeval now = { 0, 0 };

	evtimer_add(r->again, &now);
}

/* Answers why there is none. */
static struct reader *
reader_new(int64_t id, const char *run, int64_t stream)
{
	struct reader *r, *other;
	size_t same = 0;

	TAILQ_FOREACH(other, &readers, entry)
		same += strcmp(other->run, run) == 0;
	if (nreaders >= RUNS_READERS_MAX || same >= RUNS_READERS_OF_RUN_MAX ||
	    (r = calloc(1, sizeof(*r))) == NULL) {
		refuse(id, "limit", "too many are being read");
		return NULL;
	}
	if ((r->again = evtimer_new(runs.base, go_on, r)) == NULL) {
		free(r);
		refuse(id, "unavailable", "out of memory");
		return NULL;
	}
	r->fd = -1;
	r->id = id;
	r->stream = (uint32_t)stream;
	strlcpy(r->run, run, sizeof(r->run));
	TAILQ_INSERT_TAIL(&readers, r, entry);
	nreaders++;
	return r;
}

/* --- logs ------------------------------------------------------------- */

static void
logs_end(struct reader *r)
{
	struct msg m;

	peer_stream_finish(runs.frontend, r->stream);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_logs_answer;
	m.id = r->id;
	m.u.logs_answer.offset = r->place.at;
	m.u.logs_answer.bytes = runs_log_bytes(r->log);
	m.u.logs_answer.kept = runs_log_kept(r->log);
	m.u.logs_answer.dropped = runs_log_dropped(r->log);
	sibling_send(runs.frontend, &m);
	reader_free(r);
}

static void
reader_fail(struct reader *r, const char *code, const char *why)
{
	peer_stream_abort(runs.frontend, r->stream, why);
	refuse(r->id, code, why);
	reader_free(r);
}

static void
reader_broken(struct reader *r, const char *why)
{
	log_warnx("run %s: reading: %s", r->run, why);
	reader_fail(r, "storage", why);
}

/* Chunks as they lie there, as many as fit. Returns the bytes; 0: no more. */
static ptrdiff_t
logs_fill(struct reader *r)
{
	size_t n = 0;
	ptrdiff_t got;

	while (sizeof(piece) - n >= CHUNK_HEADER_LEN + CHUNK_MAX) {
		got = runs_log_read(
		    r->log, &r->place, piece + n, sizeof(piece) - n);
		if (got == -1)
			return -1;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return (ptrdiff_t)n;
}

/* Send what there is credit for, a few pieces at a time. */
static void
logs_push(struct reader *r)
{
	ptrdiff_t n;
	int i;

	for (i = 0; i < SERVE_TURNS; i++) {
		if (peer_stream_room(runs.frontend, r->stream) < sizeof(piece))
			return;
		n = logs_fill(r);
		if (n == -1) {
			reader_broken(r, strerror(errno));
			return;
		}
		if (n == 0) {
			if (!r->follow || r->over)
				logs_end(r);
			return;
		}
		if (peer_stream_write(
		        runs.frontend, r->stream, piece, (size_t)n) == -1) {
			reader_broken(r, "out of memory");
			return;
		}
	}
	push_again(r);
}

void
serve_logs(int64_t id, const struct msg_logs *m)
{
	struct job *j = job_find(m->run);
	struct reader *r;
	int fd;

	if (!runid_valid(m->run)) {
		refuse(id, "invalid", "run: not an id");
		return;
	}
	if ((r = reader_new(id, m->run, m->stream)) == NULL)
		return;
	r->place.at = m->since;
	r->follow = m->follow;
	if (j != NULL && j->log != NULL) {
		r->log = j->log;
		r->over = j->exited && j->output == 0;
	} else {
		r->over = true;
		fd = job_dir_open(m->run, false);
		if (fd != -1) {
			r->log = r->own = runs_log_open(fd, RUNS_LOG_LIMIT_MIN);
			close(fd);
		}
	}
	if (r->log == NULL) {
		refuse(id, "no_run", "there is no output of that run");
		reader_free(r);
		return;
	}
	if (r->place.at > runs_log_bytes(r->log))
		r->place.at = runs_log_bytes(r->log);
	if (peer_stream_begin(runs.frontend, r->stream) == -1) {
		refuse(id, "limit", "too many streams");
		reader_free(r);
	}
}

/* --- bundles ---------------------------------------------------------- */

static void
bundle_served(struct reader *r)
{
	char hex[RUNS_HASH_LEN + 1];
	struct msg m;

	if (bundle_hash_end(r->hash, hex) == -1) {
		reader_broken(r, "it cannot be hashed");
		return;
	}
	if (strcmp(hex, r->want) != 0) {
		reader_broken(r, OTHER_BUNDLE);
		return;
	}
	peer_stream_finish(runs.frontend, r->stream);
	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_bundle_get_answer;
	m.id = r->id;
	m.u.bundle_get_answer.bytes = r->bytes;
	m.u.bundle_get_answer.sha256 = hex;
	sibling_send(runs.frontend, &m);
	reader_free(r);
}

static void
bundle_push(struct reader *r)
{
	ssize_t n;
	int i;

	for (i = 0; i < SERVE_TURNS; i++) {
		if (peer_stream_room(runs.frontend, r->stream) < CHUNK_MAX)
			return;
		n = read(r->fd, piece, CHUNK_MAX);
		if (n == 0) {
			bundle_served(r);
			return;
		}
		if (n == -1 ||
		    EVP_DigestUpdate(r->hash, piece, (size_t)n) != 1 ||
		    peer_stream_write(
		        runs.frontend, r->stream, piece, (size_t)n) == -1) {
			reader_broken(r, "it cannot be read");
			return;
		}
		r->bytes += n;
	}
	push_again(r);
}

static void
ask_row(struct reader *r)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	m.type = MSG_TYPE_bundle_row;
	m.id = r->row_id = peer_next_id(runs.queue);
	m.u.bundle_row.run = r->run;
	sibling_send(runs.queue, &m);
}

void
serve_bundle(int64_t id, const struct msg_bundle_get *m)
{
	struct reader *r;
	int fd;

	if (!runid_valid(m->run)) {
		refuse(id, "invalid", "run: not an id");
		return;
	}
	if ((r = reader_new(id, m->run, m->stream)) == NULL)
		return;
	if ((fd = job_dir_open(m->run, false)) != -1) {
		r->fd = openat(fd, RUNS_BUNDLE,
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		close(fd);
	}
	r->hash = EVP_MD_CTX_new();
	if (r->fd == -1) {
		refuse(id, "no_bundle", "the run has no bundle");
		reader_free(r);
	} else if (r->hash == NULL ||
	    EVP_DigestInit_ex(r->hash, EVP_sha256(), NULL) != 1 ||
	    peer_stream_begin(runs.frontend, r->stream) == -1) {
		refuse(id, "limit", "too many streams");
		reader_free(r);
	} else
		ask_row(r);
}

/*
 * The size is compared before a byte of it goes out, the hash behind the last:
 * whoever gets it does not take it for whole before that.
 */
void
serve_compare(int64_t id, const struct msg_bundle_row_answer *m)
{
	struct reader *r;
	struct stat st;

	TAILQ_FOREACH(r, &readers, entry) {
		if (r->row_id == id)
			break;
	}
	/* Its reader has gone meanwhile. */
	if (r == NULL)
		return;
	r->row_id = 0;
	strlcpy(r->want, m->sha256, sizeof(r->want));
	if (m->bytes == 0)
		reader_fail(r, "no_bundle", "the run has no bundle");
	else if (fstat(r->fd, &st) == -1)
		reader_broken(r, "it cannot be read");
	else if (!S_ISREG(st.st_mode) || st.st_size != m->bytes)
		reader_broken(r, OTHER_BUNDLE);
	else
		push(r);
}

/* --- events ----------------------------------------------------------- */

static void
push(struct reader *r)
{
	if (r->log != NULL)
		logs_push(r);
	else if (r->row_id == 0)
		bundle_push(r);
}

void
serve_ready(uint32_t stream)
{
	struct reader *r;

	TAILQ_FOREACH(r, &readers, entry) {
		if (r->stream == stream) {
			push(r);
			return;
		}
	}
}

void
serve_aborted(uint32_t stream)
{
	struct reader *r;

	TAILQ_FOREACH(r, &readers, entry) {
		if (r->stream == stream) {
			refuse(r->id, "aborted", "it was not wanted any more");
			reader_free(r);
			return;
		}
	}
}

/* The job goes and takes its log with it: who reads goes on by itself. */
void
serve_detach(const struct job *j)
{
	struct reader *r, *next;

	if (j->log == NULL)
		return;
	TAILQ_FOREACH_SAFE(r, &readers, entry, next) {
		if (r->log != j->log)
			continue;
		r->over = true;
		r->log = r->own = runs_log_open(j->dirfd, RUNS_LOG_LIMIT_MIN);
		if (r->log == NULL)
			reader_broken(r, "its log is gone");
		else
			push(r);
	}
}

void
serve_more(const struct job *j, bool over)
{
	struct reader *r, *next;

	if (j->log == NULL)
		return;
	TAILQ_FOREACH_SAFE(r, &readers, entry, next) {
		if (r->log != j->log)
			continue;
		r->over = r->over || over;
		push(r);
	}
}
