#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

/* A queue in a directory of its own, and runs to put into it. */

#include <sys/stat.h>

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatchd/queue_store.h"

static char fixture_dir[64];

static inline int
fixture_unlink(
    const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

/* In memory where there is such a place: kills need no disk, and no wait. */
static inline void
fixture_setup(void)
{
	snprintf(fixture_dir, sizeof(fixture_dir), "%s/bulkhead-store-XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(fixture_dir));
}

static inline void
fixture_teardown(void)
{
	(void)nftw(fixture_dir, fixture_unlink, 8, FTW_DEPTH | FTW_PHYS);
}

static inline const char *
fixture_path(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", fixture_dir, name);
	return path;
}

static inline struct queue_store *
fixture_open(void)
{
	enum queue_store_error error = STORE_OK;
	char why[QUEUE_STORE_WHY_MAX + 1] = "";
	struct queue_store *s;

	s = queue_store_open(fixture_dir, &error, why);
	ck_assert_msg(s != NULL, "%d %s", error, why);
	return s;
}

/* Opening has to be refused; returns the sentence. */
static inline const char *
fixture_refused(enum queue_store_error want)
{
	static char why[QUEUE_STORE_WHY_MAX + 1];
	enum queue_store_error error = STORE_OK;
	struct queue_store *s;

	s = queue_store_open(fixture_dir, &error, why);
	ck_assert_ptr_null(s);
	ck_assert_msg(error == want, "%d %s", error, why);
	return why;
}

static inline void
fixture_row(struct queue_row *r, const char *request)
{
	memset(r, 0, sizeof(*r));
	r->uid = 1000;
	(void)strlcpy(r->request, request, sizeof(r->request));
	memset(r->request_hash, 'a', QUEUE_HASH_LEN);
	(void)strlcpy(r->repo, "owner/name", sizeof(r->repo));
	(void)strlcpy(r->url, "https://github.com/owner/name", sizeof(r->url));
	(void)strlcpy(r->directory, "name", sizeof(r->directory));
	(void)strlcpy(r->base, "main", sizeof(r->base));
	(void)strlcpy(r->tool, "sh", sizeof(r->tool));
	(void)strlcpy(r->profile, "dev", sizeof(r->profile));
	r->memory = 1 << 30;
	r->cpus_milli = 2000;
	r->pids = 512;
	r->workspace = 1 << 29;
	r->deadline_ms = 60000;
}

static inline void
fixture_submit(struct queue_store *s, const char *request, struct queue_row *r)
{
	struct queue_time now;
	bool again = true;
	int ret;

	queue_time_now(&now);
	fixture_row(r, request);
	ret = queue_store_submit(
	    s, r, (const uint8_t *)"echo hello", 10, &now, &again);
	ck_assert_msg(ret == 0, "%s", queue_store_why(s));
	ck_assert(!again);
}

/* Through every state up to one. */
static inline void
fixture_step(struct queue_store *s, struct queue_row *r, enum queue_state to)
{
	struct queue_time now;

	queue_time_now(&now);
	ck_assert_msg(queue_store_step(s, r, to, "a test", &now) == 0, "%s",
	    queue_store_why(s));
	ck_assert_int_eq(r->state, to);
}

static inline void
fixture_to(struct queue_store *s, struct queue_row *r, enum queue_state to)
{
	unsigned next;

	while (r->state != to) {
		next =
		    r->state == STATE_HARVESTED ? STATE_CLOSED : r->state + 1U;
		if (next == STATE_COMMITTED + 1U)
			r->released = true;
		if (next >= STATE_CLOSED && r->class == CLASS_NONE)
			r->class = CLASS_OK;
		fixture_step(s, r, (enum queue_state)next);
	}
}

#endif
