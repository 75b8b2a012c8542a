/*
 * What a kill, a torn log and a damaged file leave: what was acknowledged, or
 * a refusal; never other data.
 */

#include <sys/wait.h>

#include <poll.h>
#include <signal.h>
#include <time.h>

#include "libcommon/fd.h"

#include "store_fixture.h"
#include "tests/words.h"

#define KILLS 200
#define KILL_MS_MAX 25
#define START_MS_MAX 5000
#define OPEN_MAX 12 /* runs at a time */
#define NAMES_MAX 65536
#define FILE_MAX (8 * 1024 * 1024)
#define FLIPS 400

/* --- kill -9
 * ------------------------------------------------------------------ */

/* What the child says when a call has returned. */
struct ack {
	int name; /* of the request */
	int state; /* STATE_MAX: forgotten */
};

struct seen {
	struct queue_row rows[OPEN_MAX + 2];
	size_t n;
};

static bool
see(const struct queue_row *row, void *arg)
{
	struct seen *seen = arg;

	if (seen->n == OPEN_MAX + 2)
		return false;
	seen->rows[seen->n++] = *row;
	return true;
}

static void
acknowledge(int fd, int name, int state)
{
	struct ack a = { name, state };

	if (write(fd, &a, sizeof(a)) != sizeof(a))
		_exit(3);
}

static int
child_submit(struct queue_store *s, int name)
{
	struct queue_time now;
	struct queue_row r;
	char id[16];
	bool again;

	queue_time_now(&now);
	snprintf(id, sizeof(id), "%d", name);
	fixture_row(&r, id);
	return queue_store_submit(
	    s, &r, (const uint8_t *)"prompt", 6, &now, &again);
}

static int
child_step(struct queue_store *s, struct queue_row *r)
{
	enum queue_state to = (enum queue_state)(r->state + 1);
	struct queue_time now;

	queue_time_now(&now);
	if (r->state == STATE_HARVESTED)
		to = STATE_CLOSED;
	if (r->state == STATE_GATED && arc4random_uniform(3) == 0)
		to = STATE_QUEUED;
	if (to >= STATE_EXITED)
		r->class = CLASS_OK;
	if (to == STATE_RUNNING)
		r->released = true;
	return queue_store_step(s, r, to, "evidence", &now);
}

/*
 * It asserts nothing: what Check writes of an assertion goes to a file that is
 * the test's, and a kill in the middle would leave half of it there.
 */
static void
child_works(int fd, int name)
{
	char why[QUEUE_STORE_WHY_MAX + 1];
	enum queue_store_error error;
	struct queue_store *s;
	struct seen seen;
	struct queue_row *r;

	if ((s = queue_store_open(fixture_dir, &error, why)) == NULL)
		_exit(8);
	for (;;) {
		seen.n = 0;
		if (queue_store_each(s, FILTER_ALL, 0, 100, see, &seen) == -1)
			_exit(4);
		if (seen.n < OPEN_MAX && arc4random_uniform(3) == 0) {
			if (child_submit(s, name) == -1)
				_exit(5);
			acknowledge(fd, name++, STATE_QUEUED);
			continue;
		}
		if (seen.n == 0)
			continue;
		r = &seen.rows[arc4random_uniform((uint32_t)seen.n)];
		if (r->state == STATE_DONE) {
			if (queue_store_delete(s, r->run) == -1)
				_exit(6);
			acknowledge(fd, words_number(r->request), STATE_MAX);
		} else {
			if (child_step(s, r) == -1)
				_exit(7);
			acknowledge(
			    fd, words_number(r->request), (int)r->state);
		}
	}
}

/* May the disk have this where that was acknowledged last? One step more. */
static bool
one_further(int acked, int disk)
{
	if (acked == -1)
		return disk == STATE_QUEUED;
	if (acked == STATE_HARVESTED)
		return disk == STATE_CLOSED;
	if (acked == STATE_GATED && disk == STATE_QUEUED)
		return true;
	return disk == acked + 1;
}

static void
compare(struct queue_store *s, int *model, int names)
{
	static int disk[NAMES_MAX];
	struct seen seen = { .n = 0 };
	int i, differ = 0;
	size_t k;

	ck_assert_int_eq(
	    queue_store_each(s, FILTER_ALL, 0, 100, see, &seen), 0);
	ck_assert_uint_lt(seen.n, OPEN_MAX + 2);
	for (i = 0; i <= names; i++)
		disk[i] = model[i] == -1 ? -1 : STATE_MAX;
	for (k = 0; k < seen.n; k++) {
		i = words_number(seen.rows[k].request);
		ck_assert(i >= 0 && i <= names);
		ck_assert_msg(disk[i] == -1 || disk[i] == STATE_MAX,
		    "run %d is there twice", i);
		disk[i] = (int)seen.rows[k].state;
	}
	for (i = 0; i <= names; i++) {
		if (disk[i] == model[i])
			continue;
		differ++;
		ck_assert_msg(one_further(model[i], disk[i]),
		    "run %d: acknowledged %d, on disk %d", i, model[i],
		    disk[i]);
		model[i] = disk[i];
	}
	ck_assert_int_le(differ, 1);
}

START_TEST(test_kills)
{
	static int model[NAMES_MAX];
	struct timespec ts = { 0, 0 };
	struct pollfd pfd = { .events = POLLIN };
	struct queue_store *s;
	struct ack a;
	int names = 0, i, fds[2], status, acks = 0;
	pid_t pid;

	for (i = 0; i < NAMES_MAX; i++)
		model[i] = -1;
	for (i = 0; i < KILLS; i++) {
		ck_assert_int_eq(pipe(fds), 0);
		pid = fork();
		if (pid == 0) {
			close(fds[0]);
			child_works(fds[1], names);
			_exit(0);
		}
		close(fds[1]);
		/* Every other time it is past its start, however slow. */
		pfd.fd = fds[0];
		if (i % 2 == 0)
			(void)poll(&pfd, 1, START_MS_MAX);
		ts.tv_nsec = 1000L * arc4random_uniform(KILL_MS_MAX * 1000);
		nanosleep(&ts, NULL);
		kill(pid, SIGKILL);
		while (read(fds[0], &a, sizeof(a)) == sizeof(a)) {
			model[a.name] = a.state;
			acks++;
			if (a.name >= names)
				names = a.name + 1;
			ck_assert_int_lt(names, NAMES_MAX - 1);
		}
		close(fds[0]);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_msg(WIFSIGNALED(status), "the child left by %d",
		    WEXITSTATUS(status));
		s = fixture_open();
		compare(s, model, names);
		if (model[names] != -1)
			names++;
		queue_store_close(&s);
	}
	printf(
	    "%d kills, %d changes acknowledged, %d runs\n", KILLS, acks, names);
	ck_assert_int_gt(acks, KILLS / 4);
}
END_TEST

/* --- damage
 * ------------------------------------------------------------------------ */

struct image {
	char *db, *wal;
	size_t db_len, wal_len;
};

static void
load(const char *name, char **buf, size_t *len)
{
	*buf = NULL;
	*len = 0;
	(void)fd_read_path(fixture_path(name), FILE_MAX, buf, len);
}

static void
store(const char *name, const char *buf, size_t len)
{
	int fd = open(fixture_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, buf, len), (ssize_t)len);
	close(fd);
}

/* As a power cut would find it. */
static void
put(const struct image *im)
{
	store("queue.db", im->db, im->db_len);
	if (im->wal_len > 0)
		store("queue.db-wal", im->wal, im->wal_len);
	else
		(void)unlink(fixture_path("queue.db-wal"));
}

#define RUNS 10

/* Runs of every kind; with a log that holds them, or without. */
static void
make(struct image *im, bool log)
{
	struct queue_store *s = fixture_open();
	struct queue_row r;
	char id[16];
	int i;

	for (i = 0; i < RUNS; i++) {
		snprintf(id, sizeof(id), "%d", i);
		fixture_submit(s, id, &r);
		if (!log && i > 0)
			fixture_to(
			    s, &r, i % 2 == 0 ? STATE_RUNNING : STATE_DONE);
		if (!log)
			ck_assert_int_eq(
			    queue_store_note(s, r.run, "proof", "{}"), 0);
	}
	if (!log)
		queue_store_close(&s);
	load("queue.db", &im->db, &im->db_len);
	load("queue.db-wal", &im->wal, &im->wal_len);
	ck_assert((im->wal_len > 0) == log);
	queue_store_close(&s);
}

struct dump {
	struct queue_store *s;
	char text[65536];
	size_t runs;
};

static bool
dump_event(const struct queue_step_row *e, void *arg)
{
	struct dump *d = arg;

	(void)strlcat(d->text, e->to, sizeof(d->text));
	(void)strlcat(d->text, e->evidence, sizeof(d->text));
	return true;
}

static bool
dump_row(const struct queue_row *r, void *arg)
{
	struct dump *d = arg;
	char line[256];

	snprintf(line, sizeof(line), "%s %s %s %s;", r->run, r->request,
	    queue_state_name(r->state), queue_class_name(r->class));
	(void)strlcat(d->text, line, sizeof(d->text));
	d->runs++;
	return true;
}

static void
dump(struct queue_store *s, struct dump *d)
{
	char rest[sizeof(d->text)], run[RUNID_LEN + 1], *at;

	memset(d, 0, sizeof(*d));
	ck_assert_int_eq(
	    queue_store_each(s, FILTER_ALL, 0, 100, dump_row, d), 0);
	(void)strlcpy(rest, d->text, sizeof(rest));
	for (at = rest; *at != '\0'; at = strchr(at, ';') + 1) {
		(void)strlcpy(run, at, sizeof(run));
		ck_assert_int_eq(
		    queue_store_events(s, run, 100, dump_event, d), 0);
	}
}

/* Opens as it is: NULL is a refusal, which has a sentence. */
static struct queue_store *
try(void)
{
	enum queue_store_error error = STORE_OK;
	char why[QUEUE_STORE_WHY_MAX + 1] = "";
	struct queue_store *s;

	s = queue_store_open(fixture_dir, &error, why);
	if (s == NULL)
		ck_assert_msg(error == STORE_CORRUPT && *why != '\0', "%d %s",
		    error, why);
	return s;
}

/* F11: a flipped bit is refused, or was in nothing that is kept. */
START_TEST(test_flips)
{
	static struct dump want, has;
	struct queue_store *s;
	struct image im;
	int i, refused = 0;
	size_t at;
	char bit;

	make(&im, false);
	s = fixture_open();
	dump(s, &want);
	queue_store_close(&s);
	for (i = 0; i < FLIPS; i++) {
		at = arc4random_uniform((uint32_t)im.db_len);
		bit = (char)(1 << arc4random_uniform(8));
		im.db[at] ^= bit;
		put(&im);
		s = try();
		if (s == NULL)
			refused++;
		else {
			dump(s, &has);
			ck_assert_msg(strcmp(want.text, has.text) == 0,
			    "offset %zu: other data", at);
		}
		queue_store_close(&s);
		im.db[at] ^= bit;
	}
	printf("%d of %d flips refused\n", refused, FLIPS);
	ck_assert_int_gt(refused, 0);
	free(im.db);
}
END_TEST

START_TEST(test_truncated)
{
	struct queue_store *s;
	struct image im, cut;
	size_t at;

	make(&im, false);
	cut = im;
	for (at = 0; at < im.db_len; at += 1021) {
		cut.db_len = at;
		put(&cut);
		s = try();
		ck_assert_msg(s == NULL, "cut at %zu is no queue", at);
	}
	put(&im);
	s = fixture_open();
	queue_store_close(&s);
	free(im.db);
}
END_TEST

/* A torn log: the last transaction may be missing, and no other. */
START_TEST(test_torn_log)
{
	static struct dump has;
	struct queue_store *s;
	struct image im, cut;
	size_t at, last = 0;

	make(&im, true);
	cut = im;
	for (at = 0; at <= im.wal_len; at += 509) {
		cut.wal_len = at;
		put(&cut);
		s = try();
		/* The schema itself lies in the file since the start. */
		ck_assert_msg(s != NULL, "cut at %zu", at);
		dump(s, &has);
		ck_assert_uint_ge(has.runs, last);
		last = has.runs;
		queue_store_close(&s);
	}
	ck_assert_uint_ge(last, RUNS - 1);
	put(&im);
	s = try();
	dump(s, &has);
	ck_assert_uint_eq(has.runs, RUNS);
	queue_store_close(&s);
	free(im.db);
	free(im.wal);
}
END_TEST

/* A flipped bit in the middle of the log hides nothing that was told. */
START_TEST(test_log_flips)
{
	static struct dump has;
	struct queue_store *s;
	struct image im;
	int i, refused = 0;
	size_t at;
	char bit;

	make(&im, true);
	for (i = 0; i < FLIPS; i++) {
		at = arc4random_uniform((uint32_t)im.wal_len);
		bit = (char)(1 << arc4random_uniform(8));
		im.wal[at] ^= bit;
		put(&im);
		s = try();
		if (s == NULL)
			refused++;
		else {
			dump(s, &has);
			/* The last one, or its forerunner by the salt. */
			ck_assert_msg(has.runs >= RUNS - 2,
			    "offset %zu of %zu: %zu runs", at, im.wal_len,
			    has.runs);
		}
		queue_store_close(&s);
		im.wal[at] ^= bit;
	}
	printf("%d of %d flips of the log refused\n", refused, FLIPS);
	ck_assert_int_gt(refused, FLIPS / 2);
	free(im.db);
	free(im.wal);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queue_store_crash");
	TCase *tc = tcase_create("crash");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
	tcase_add_test(tc, test_kills);
	tcase_add_test(tc, test_flips);
	tcase_add_test(tc, test_truncated);
	tcase_add_test(tc, test_torn_log);
	tcase_add_test(tc, test_log_flips);
	tcase_set_timeout(tc, 100);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
