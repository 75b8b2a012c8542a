#include <sys/mount.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>

#include "dispatchd/queue_store_int.h"

#include "store_fixture.h"
#include "tests/words.h"

/* --- submit ------------------------------------------------------------------
 */

START_TEST(test_submit)
{
	struct queue_store *s = fixture_open();
	struct queue_row a, b;
	uint8_t *prompt;
	size_t len;

	ck_assert(runid_valid(queue_store_instance(s)));
	ck_assert(!queue_store_restored(s));
	fixture_submit(s, "r1", &a);
	ck_assert(runid_valid(a.run));
	ck_assert_int_eq(a.seq, 1);
	ck_assert_int_eq(a.state, STATE_QUEUED);
	queue_store_close(&s);
	s = fixture_open();
	ck_assert_int_eq(queue_store_get(s, a.run, &b), 0);
	ck_assert_int_eq(b.seq, a.seq);
	ck_assert_int_eq(b.submitted_wall_ms, a.submitted_wall_ms);
	ck_assert_int_eq(b.exit_code, -1);
	ck_assert_str_eq(b.url, a.url);
	ck_assert_str_eq(b.prompt_sha256, a.prompt_sha256);
	ck_assert_str_eq(b.boot_id, a.boot_id);
	ck_assert_int_eq(queue_store_prompt(s, a.run, &prompt, &len), 0);
	ck_assert_uint_eq(len, 10);
	ck_assert_mem_eq(prompt, "echo hello", 10);
	free(prompt);
	ck_assert_int_eq(queue_store_get(s, "aaaaaaaaaaaa", &b), -1);
	ck_assert_int_eq(queue_store_error(s), STORE_ABSENT);
	queue_store_close(&s);
}
END_TEST

/* F02, A02 */
START_TEST(test_idempotent)
{
	struct queue_store *s = fixture_open();
	struct queue_time now;
	struct queue_row a, b;
	int64_t n;
	bool again = false;

	queue_time_now(&now);
	fixture_submit(s, "same", &a);
	fixture_row(&b, "same");
	ck_assert_int_eq(
	    queue_store_submit(s, &b, (const uint8_t *)"", 0, &now, &again), 0);
	ck_assert(again);
	ck_assert_str_eq(a.run, b.run);
	fixture_row(&b, "same");
	b.request_hash[0] = 'b';
	ck_assert_int_eq(
	    queue_store_submit(s, &b, (const uint8_t *)"", 0, &now, &again),
	    -1);
	ck_assert_int_eq(queue_store_error(s), STORE_CONFLICT);
	ck_assert_str_eq(b.run, "");
	ck_assert_ptr_nonnull(strstr(queue_store_why(s), a.run));
	/* Another peer's ids are its own. */
	b.uid = 1001;
	again = true;
	ck_assert_int_eq(
	    queue_store_submit(s, &b, (const uint8_t *)"", 0, &now, &again), 0);
	ck_assert(!again);
	ck_assert_int_eq(queue_store_count(s, FILTER_QUEUED, &n), 0);
	ck_assert_int_eq(n, 2);
	ck_assert(!queue_store_failed(s));
	queue_store_close(&s);
}
END_TEST

/* Any bytes, up to the most. */
START_TEST(test_prompts)
{
	static const size_t sizes[] = { 0, 1, 4096, DISPATCH_PROMPT_MAX };
	struct queue_store *s = fixture_open();
	uint8_t *buf = malloc(DISPATCH_PROMPT_MAX + 1), *prompt;
	struct queue_time now;
	struct queue_row r;
	char id[16];
	size_t i, len;
	bool again;

	ck_assert_ptr_nonnull(buf);
	queue_time_now(&now);
	for (i = 0; i <= DISPATCH_PROMPT_MAX; i++)
		buf[i] = (uint8_t)(i * 7);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(id, sizeof(id), "p%zu", i);
		fixture_row(&r, id);
		ck_assert_int_eq(
		    queue_store_submit(s, &r, buf, sizes[i], &now, &again), 0);
		ck_assert_int_eq(
		    queue_store_prompt(s, r.run, &prompt, &len), 0);
		ck_assert_uint_eq(len, sizes[i]);
		ck_assert_int_eq(memcmp(prompt, buf, len), 0);
		free(prompt);
	}
	fixture_row(&r, "large");
	ck_assert_int_eq(queue_store_submit(
	                     s, &r, buf, DISPATCH_PROMPT_MAX + 1, &now, &again),
	    -1);
	ck_assert_int_eq(queue_store_error(s), STORE_LIMIT);
	free(buf);
	queue_store_close(&s);
	s = fixture_open();
	queue_store_close(&s);
}
END_TEST

/* --- steps
 * ---------------------------------------------------------------------- */

static bool
count_event(const struct queue_step_row *e, void *arg)
{
	int *n = arg;

	ck_assert_str_eq(e->evidence, *n == 0 ? "submitted" : "a test");
	ck_assert_str_eq(
	    e->from, *n == 0 ? "" : queue_state_name((unsigned)*n - 1));
	ck_assert_str_eq(e->to, queue_state_name((unsigned)*n));
	return ++*n < 9;
}

static int
file_holds(const char *name, const char *needle)
{
	char *text;
	FILE *fp = fopen(fixture_path(name), "rb");
	size_t len, n = strlen(needle), i;
	int found = 0;

	if (fp == NULL)
		return 0;
	text = calloc(1, 1 << 20);
	len = fread(text, 1, 1 << 20, fp);
	fclose(fp);
	for (i = 0; i + n <= len && !found; i++)
		found = memcmp(text + i, needle, n) == 0;
	free(text);
	return found;
}

START_TEST(test_life)
{
	static const char secret[] = "a prompt of one's own, not to be kept";
	struct queue_store *s = fixture_open();
	struct queue_time now;
	struct queue_row r, disk;
	uint8_t *prompt;
	bool again;
	size_t len;
	int n = 0;

	queue_time_now(&now);
	fixture_row(&r, "life");
	ck_assert_int_eq(queue_store_submit(s, &r, (const uint8_t *)secret,
	                     strlen(secret), &now, &again),
	    0);
	ck_assert(file_holds("queue.db", secret) ||
	    file_holds("queue.db-wal", secret));
	fixture_to(s, &r, STATE_HARVESTED);
	ck_assert_int_eq(queue_store_events(s, r.run, 100, count_event, &n), 0);
	ck_assert_int_eq(n, 9);
	r.exit_code = 0;
	r.bundle_bytes = 77;
	ck_assert_int_eq(queue_store_save(s, &r), 0);
	fixture_to(s, &r, STATE_DONE);
	ck_assert_int_eq(queue_store_prompt(s, r.run, &prompt, &len), -1);
	ck_assert_int_eq(queue_store_error(s), STORE_ABSENT);
	ck_assert(!file_holds("queue.db", secret));
	ck_assert(!file_holds("queue.db-wal", secret));
	ck_assert_int_eq(queue_store_step(s, &r, STATE_QUEUED, "e", &now), -1);
	ck_assert_int_eq(queue_store_error(s), STORE_REFUSED);
	r.class = CLASS_OOM;
	ck_assert_int_eq(queue_store_save(s, &r), -1);
	queue_store_close(&s);
	s = fixture_open();
	ck_assert_int_eq(queue_store_get(s, r.run, &disk), 0);
	ck_assert_int_eq(disk.state, STATE_DONE);
	ck_assert_int_eq(disk.class, CLASS_OK);
	ck_assert_int_eq(disk.bundle_bytes, 77);
	queue_store_close(&s);
}
END_TEST

/* What is owed behind (seq, nth), as "RUNSEQ.NTH:TO " words. */
static const char *
owed(struct queue_store *s, int64_t seq, int64_t nth)
{
	static char text[512];
	struct queue_owed o = { seq, nth };
	struct queue_step_row e;
	struct queue_row row;
	size_t len;
	int r;

	text[0] = '\0';
	while ((r = queue_store_owed(s, &o, &row, &e)) == 1) {
		ck_assert_int_eq(row.seq, o.seq);
		len = strlen(text);
		snprintf(text + len, sizeof(text) - len, "%d.%d:%s ",
		    (int)o.seq, (int)o.nth, e.to);
	}
	ck_assert_int_eq(r, 0);
	return text;
}

/* A step is owed to the records from its transaction on, until it is told. */
START_TEST(test_owed)
{
	const struct queue_owed some[] = { { 1, 1 }, { 2, 1 }, { 7, 7 } };
	const struct queue_owed rest = { 1, 2 };
	struct queue_store *s = fixture_open();
	struct queue_row a, b;

	ck_assert_str_eq(owed(s, 0, 0), "");
	fixture_submit(s, "a", &a);
	fixture_submit(s, "b", &b);
	fixture_to(s, &a, STATE_ADMITTED);
	queue_store_close(&s);
	s = fixture_open();
	ck_assert_str_eq(owed(s, 0, 0), "1.1:QUEUED 1.2:ADMITTED 2.1:QUEUED ");
	ck_assert_str_eq(owed(s, 1, 1), "1.2:ADMITTED 2.1:QUEUED ");
	/* A step that is not owed, or not there, is no error. */
	ck_assert_int_eq(queue_store_recorded(s, some, 3), 0);
	ck_assert_str_eq(owed(s, 0, 0), "1.2:ADMITTED ");
	ck_assert_int_eq(queue_store_recorded(s, some, 3), 0);
	ck_assert_int_eq(queue_store_recorded(s, &rest, 1), 0);
	ck_assert_str_eq(owed(s, 0, 0), "");
	/* What is forgotten owes nothing. */
	b.class = CLASS_CANCELLED;
	fixture_step(s, &b, STATE_DONE);
	ck_assert_str_eq(owed(s, 0, 0), "2.2:DONE ");
	ck_assert_int_eq(queue_store_delete(s, b.run), 0);
	ck_assert_str_eq(owed(s, 0, 0), "");
	queue_store_close(&s);
}
END_TEST

START_TEST(test_steps_refused)
{
	struct queue_store *s = fixture_open();
	struct queue_time now;
	struct queue_row r, old, disk;

	queue_time_now(&now);
	fixture_submit(s, "r", &r);
	ck_assert_int_eq(queue_store_step(s, &r, STATE_ADMITTED, "", &now), -1);
	ck_assert_int_eq(queue_store_step(s, &r, STATE_RUNNING, "e", &now), -1);
	ck_assert_int_eq(queue_store_delete(s, r.run), -1);
	old = r;
	fixture_to(s, &r, STATE_COMMITTED);
	/* From a state that it is not in. */
	ck_assert_int_eq(
	    queue_store_step(s, &old, STATE_ADMITTED, "e", &now), -1);
	ck_assert_int_eq(queue_store_error(s), STORE_REFUSED);
	/* Never again, but for PID 1's word. */
	ck_assert_int_eq(queue_store_step(s, &r, STATE_QUEUED, "e", &now), -1);
	r.pid1_exit = 78;
	r.released = true;
	ck_assert_int_eq(queue_store_step(s, &r, STATE_QUEUED, "e", &now), -1);
	r.released = false;
	fixture_step(s, &r, STATE_QUEUED);
	ck_assert_int_eq(r.tries, 1);
	ck_assert_int_eq(r.pid1_exit, -1);
	fixture_to(s, &r, STATE_RUNNING);
	r.released = false;
	ck_assert_int_eq(queue_store_save(s, &r), -1);
	ck_assert_int_eq(queue_store_get(s, r.run, &disk), 0);
	ck_assert_int_eq(disk.state, STATE_RUNNING);
	ck_assert(disk.released && !queue_store_failed(s));
	queue_store_close(&s);
}
END_TEST

/* What was told once is not taken back, and not begun either. */
START_TEST(test_stop)
{
	struct queue_store *s = fixture_open();
	struct queue_time now;
	struct queue_row r;

	queue_time_now(&now);
	fixture_submit(s, "r", &r);
	fixture_to(s, &r, STATE_OPENED);
	r.stop = CLASS_CANCELLED;
	ck_assert_int_eq(queue_store_save(s, &r), 0);
	ck_assert_int_eq(queue_store_step(s, &r, STATE_CREATED, "e", &now), -1);
	ck_assert_int_eq(queue_store_step(s, &r, STATE_QUEUED, "e", &now), -1);
	r.stop = CLASS_IDLE;
	ck_assert_int_eq(queue_store_save(s, &r), -1);
	r.stop = CLASS_CANCELLED;
	r.class = CLASS_CANCELLED;
	fixture_step(s, &r, STATE_CLOSED);
	fixture_step(s, &r, STATE_DONE);
	ck_assert_int_eq(queue_store_delete(s, r.run), 0);
	ck_assert_int_eq(queue_store_delete(s, r.run), -1);
	ck_assert_int_eq(queue_store_error(s), STORE_ABSENT);
	queue_store_close(&s);
}
END_TEST

/* --- reading
 * ---------------------------------------------------------------------- */

static bool
collect(const struct queue_row *r, void *arg)
{
	char *list = arg;

	(void)strlcat(list, r->request, 256);
	(void)strlcat(list, " ", 256);
	return true;
}

START_TEST(test_each)
{
	struct queue_store *s = fixture_open();
	struct queue_row a, b, c;
	char list[256];

	fixture_submit(s, "a", &a);
	fixture_submit(s, "b", &b);
	fixture_submit(s, "c", &c);
	fixture_to(s, &a, STATE_DONE);
	fixture_to(s, &b, STATE_GATED);
	*list = '\0';
	ck_assert_int_eq(
	    queue_store_each(s, FILTER_ALL, 0, 10, collect, list), 0);
	ck_assert_str_eq(list, "c b a ");
	*list = '\0';
	(void)queue_store_each(s, FILTER_ALL, c.seq, 1, collect, list);
	ck_assert_str_eq(list, "b ");
	*list = '\0';
	(void)queue_store_each(s, FILTER_QUEUED, 0, 10, collect, list);
	(void)queue_store_each(s, FILTER_LIVE, 0, 10, collect, list);
	ck_assert_str_eq(list, "c b ");
	*list = '\0';
	(void)queue_store_each(s, FILTER_OPEN, 0, 10, collect, list);
	ck_assert_str_eq(list, "b c ");
	queue_store_close(&s);
}
END_TEST

START_TEST(test_subnets)
{
	struct queue_store *s = fixture_open();
	struct queue_time now;
	struct queue_row r[5];
	struct netprefix pool, passed[2];
	char net[QUEUE_NETWORK_MAX + 1], id[8];
	int i;

	queue_time_now(&now);
	ck_assert_int_eq(netprefix_parse("10.9.8.0/27", 11, &pool), 0);
	for (i = 0; i < 5; i++) {
		snprintf(id, sizeof(id), "n%d", i);
		fixture_submit(s, id, &r[i]);
	}
	for (i = 0; i < 4; i++) {
		ck_assert_int_eq(queue_store_subnet(s, &pool, NULL, 0, net), 0);
		(void)strlcpy(r[i].network, net, sizeof(net));
		fixture_step(s, &r[i], STATE_ADMITTED);
	}
	ck_assert_str_eq(r[0].network, "10.9.8.0/29");
	ck_assert_str_eq(r[3].network, "10.9.8.24/29");
	ck_assert_int_eq(queue_store_subnet(s, &pool, NULL, 0, net), -1);
	ck_assert_int_eq(queue_store_error(s), STORE_LIMIT);
	fixture_step(s, &r[1], STATE_QUEUED);
	ck_assert_str_eq(r[1].network, "");
	fixture_to(s, &r[2], STATE_DONE);
	ck_assert_str_eq(r[2].network, "10.9.8.16/29");
	ck_assert_int_eq(queue_store_subnet(s, &pool, NULL, 0, net), 0);
	ck_assert_str_eq(net, "10.9.8.8/29");
	/* Two are free; those of others are passed over, in any order. */
	ck_assert_int_eq(netprefix_parse("10.9.8.0/29", 11, &passed[1]), 0);
	ck_assert_int_eq(netprefix_parse("10.9.8.8/29", 11, &passed[0]), 0);
	ck_assert_int_eq(queue_store_subnet(s, &pool, passed, 2, net), 0);
	ck_assert_str_eq(net, "10.9.8.16/29");
	ck_assert_int_eq(netprefix_parse("10.9.8.16/29", 12, &passed[1]), 0);
	ck_assert_int_eq(queue_store_subnet(s, &pool, passed, 2, net), -1);
	ck_assert_int_eq(queue_store_error(s), STORE_LIMIT);
	/* Whoever counts wrong: the file refuses. */
	(void)strlcpy(r[4].network, "10.9.8.0/29", sizeof(r[4].network));
	ck_assert_int_eq(
	    queue_store_step(s, &r[4], STATE_ADMITTED, "e", &now), -1);
	ck_assert_int_eq(queue_store_error(s), STORE_REFUSED);
	ck_assert(!queue_store_failed(s));
	queue_store_close(&s);
}
END_TEST

START_TEST(test_prune)
{
	struct queue_store *s = fixture_open();
	struct queue_row r[4], out;
	char id[8];
	int i;

	for (i = 0; i < 4; i++) {
		snprintf(id, sizeof(id), "p%d", i);
		fixture_submit(s, id, &r[i]);
		if (i == 1)
			r[i].bundle_bytes = 5;
		if (i < 3)
			fixture_to(s, &r[i], STATE_DONE);
	}
	ck_assert_int_eq(queue_store_beyond(s, 3, &out), 0);
	ck_assert_int_eq(queue_store_beyond(s, 1, &out), 1);
	ck_assert_str_eq(out.request, "p0");
	ck_assert_int_eq(queue_store_delete(s, out.run), 0);
	/* Nobody has this bundle. */
	ck_assert_int_eq(queue_store_beyond(s, 1, &out), 0);
	r[1].fetched = true;
	ck_assert_int_eq(queue_store_save(s, &r[1]), 0);
	ck_assert_int_eq(queue_store_beyond(s, 1, &out), 1);
	ck_assert_str_eq(out.request, "p1");
	/* The one that is not over is none of the newest that are. */
	ck_assert_int_eq(queue_store_beyond(s, 2, &out), 0);
	queue_store_close(&s);
}
END_TEST

#define DAY_MS (24LL * 3600 * 1000)

static const struct {
	int64_t wall_days, boot_days; /* that went by since it was done */
	bool other_boot; /* in another boot than now */
	bool others; /* which are asked for */
	int want;
} ages[] = {
	{ 0, 0, false, true, 0 },
	{ 29, 29, false, true, 0 },
	{ 31, 31, false, false, 1 },
	/* The wall clock was put forward, or back. */
	{ 31, 0, false, true, 0 },
	{ 4000, 29, false, true, 0 },
	{ -4000, 31, false, true, 0 },
	/* Of another boot the boot clock tells nothing. */
	{ 31, 0, true, true, 1 },
	{ 31, 31, true, false, 0 },
	{ 29, 31, true, true, 0 },
};

START_TEST(test_aged)
{
	struct queue_store *s = fixture_open();
	struct queue_row r, live, out;
	struct queue_time now;

	fixture_submit(s, "live", &live);
	fixture_to(s, &live, STATE_RUNNING);
	fixture_submit(s, "done", &r);
	fixture_to(s, &r, STATE_DONE);
	now = (struct queue_time){ .wall_ms = r.step_wall_ms +
		    ages[_i].wall_days * DAY_MS,
		.boot_ms = r.step_boot_ms + ages[_i].boot_days * DAY_MS };
	(void)strlcpy(now.boot_id, ages[_i].other_boot ? "another" : r.boot_id,
	    sizeof(now.boot_id));
	ck_assert_int_eq(queue_store_aged(s, 30, &now, ages[_i].others, &out),
	    ages[_i].want);
	if (ages[_i].want == 1)
		ck_assert_str_eq(out.request, "done");
	r.bundle_bytes = 5;
	ck_assert_int_eq(queue_store_save(s, &r), 0);
	ck_assert_int_eq(
	    queue_store_aged(s, 30, &now, ages[_i].others, &out), 0);
	queue_store_close(&s);
}
END_TEST

START_TEST(test_notes)
{
	struct queue_store *s = fixture_open();
	struct queue_row r;
	char text[64];

	fixture_submit(s, "a", &r);
	ck_assert_int_eq(
	    queue_store_note_get(s, r.run, "proof", text, sizeof(text)), -1);
	ck_assert_int_eq(queue_store_error(s), STORE_ABSENT);
	ck_assert_int_eq(queue_store_note(s, r.run, "proof", "old"), 0);
	ck_assert_int_eq(queue_store_note(s, r.run, "proof", "{\"a\":1}"), 0);
	ck_assert_int_eq(
	    queue_store_note_get(s, r.run, "proof", text, sizeof(text)), 0);
	ck_assert_str_eq(text, "{\"a\":1}");
	ck_assert_int_eq(queue_store_note_get(s, r.run, "proof", text, 3), -1);
	ck_assert_int_eq(queue_store_error(s), STORE_LIMIT);
	queue_store_close(&s);
}
END_TEST

/* --- the directory
 * ------------------------------------------------------------------ */

/* F13 */
START_TEST(test_locked)
{
	struct queue_store *s = fixture_open();

	ck_assert_ptr_nonnull(
	    strstr(fixture_refused(STORE_LOCKED), "another dispatchd"));
	queue_store_close(&s);
	s = fixture_open();
	queue_store_close(&s);
}
END_TEST

static void
copy_file(const char *from, const char *to)
{
	char cmd[300], path[128];

	(void)strlcpy(path, fixture_path(from), sizeof(path));
	snprintf(cmd, sizeof(cmd), "cp %s %s", path, fixture_path(to));
	ck_assert_int_eq(words_shell(cmd), 0);
}

/* F14: the file alone from a backup; another's; none at all. */
START_TEST(test_restored)
{
	struct queue_store *s = fixture_open();
	char instance[QUEUE_INSTANCE_LEN + 1];
	struct stat st;

	(void)strlcpy(instance, queue_store_instance(s), sizeof(instance));
	queue_store_close(&s);
	ck_assert_int_eq(stat(fixture_path("queue.db"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	copy_file("queue.db", "old");
	s = fixture_open();
	ck_assert(!queue_store_restored(s));
	ck_assert_str_eq(instance, queue_store_instance(s));
	queue_store_close(&s);
	copy_file("old", "queue.db");
	s = fixture_open();
	ck_assert(queue_store_restored(s));
	queue_store_close(&s);
	s = fixture_open();
	ck_assert(!queue_store_restored(s));
	queue_store_close(&s);
	ck_assert_int_eq(unlink(fixture_path("queue.db")), 0);
	ck_assert_ptr_nonnull(
	    strstr(fixture_refused(STORE_CORRUPT), "had a queue"));
	ck_assert_int_eq(truncate(fixture_path("queue.lock"), 0), 0);
	s = fixture_open();
	ck_assert_str_ne(instance, queue_store_instance(s));
	queue_store_close(&s);
	copy_file("old", "queue.db");
	ck_assert_ptr_nonnull(
	    strstr(fixture_refused(STORE_CORRUPT), "is the queue of"));
}
END_TEST

/* A file of version 1 is taken over; what it holds was recorded then. */
START_TEST(test_upgrade)
{
	struct queue_store *s = fixture_open();
	struct queue_row a, b;
	char cmd[300];

	fixture_submit(s, "a", &a);
	queue_store_close(&s);
	snprintf(cmd, sizeof(cmd),
	    "sqlite3 %s 'DROP TABLE owed; PRAGMA user_version=1'",
	    fixture_path("queue.db"));
	if (words_shell(cmd) != 0)
		return; /* no such program here */
	s = fixture_open();
	ck_assert_int_eq(queue_store_get(s, a.run, &b), 0);
	ck_assert_int_eq(b.state, STATE_QUEUED);
	ck_assert_str_eq(owed(s, 0, 0), "");
	fixture_to(s, &b, STATE_ADMITTED);
	ck_assert_str_eq(owed(s, 0, 0), "1.2:ADMITTED ");
	queue_store_close(&s);
	s = fixture_open();
	ck_assert_str_eq(owed(s, 0, 0), "1.2:ADMITTED ");
	queue_store_close(&s);
}
END_TEST

START_TEST(test_versions)
{
	struct queue_store *s = fixture_open();
	char cmd[300];

	queue_store_close(&s);
	copy_file("queue.db", "good");
	snprintf(cmd, sizeof(cmd), "sqlite3 %s 'PRAGMA user_version=%d'",
	    fixture_path("queue.db"), QUEUE_STORE_VERSION + 1);
	if (words_shell(cmd) != 0)
		return; /* no such program here */
	ck_assert_ptr_nonnull(
	    strstr(fixture_refused(STORE_CORRUPT), "later dispatchd"));
	copy_file("good", "queue.db");
	snprintf(cmd, sizeof(cmd), "sqlite3 %s 'CREATE TABLE more(x)'",
	    fixture_path("queue.db"));
	ck_assert_int_eq(words_shell(cmd), 0);
	ck_assert_ptr_nonnull(strstr(fixture_refused(STORE_CORRUPT), "schema"));
}
END_TEST

/* A directory in which nothing can be written: a sentence, no crash. */
START_TEST(test_read_only)
{
	enum queue_store_error error = STORE_OK;
	char why[QUEUE_STORE_WHY_MAX + 1] = "";
	struct queue_store *s;
	int status;
	pid_t pid;

	ck_assert_int_eq(chmod(fixture_dir, 0555), 0);
	pid = fork();
	if (pid == 0) {
		if (geteuid() == 0 && setuid(65534) == -1)
			_exit(2);
		s = queue_store_open(fixture_dir, &error, why);
		_exit(s == NULL && error == STORE_STORAGE && *why != '\0' ? 0
		                                                          : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(chmod(fixture_dir, 0755), 0);
	(void)strlcat(fixture_dir, "/none", sizeof(fixture_dir));
	ck_assert_ptr_nonnull(
	    strstr(fixture_refused(STORE_STORAGE), "No such file"));
	fixture_dir[strlen(fixture_dir) - 5] = '\0';
}
END_TEST

/* F12: refused from the first error on; what was acknowledged is there. */
START_TEST(test_full_disk)
{
	struct queue_store *s;
	struct queue_time now;
	struct queue_row r, last, disk;
	uint8_t *prompt = calloc(1, 65536);
	char id[16], why[QUEUE_STORE_WHY_MAX + 1];
	int64_t n, acked = 0;
	bool again;
	int i, fd, ret = 0;

	if (mount("none", fixture_dir, "tmpfs", 0, "size=2m,mode=0700") == -1) {
		printf("skipped: full disk: %s\n", strerror(errno));
		free(prompt);
		return;
	}
	queue_time_now(&now);
	s = fixture_open();
	for (i = 0; i < 200 && ret == 0; i++) {
		snprintf(id, sizeof(id), "f%d", i);
		fixture_row(&r, id);
		ret = queue_store_submit(s, &r, prompt, 65536, &now, &again);
		if (ret == 0) {
			last = r;
			acked++;
		}
	}
	ck_assert_int_eq(ret, -1);
	ck_assert_msg(
	    queue_store_error(s) == STORE_STORAGE, "%s", queue_store_why(s));
	ck_assert(acked > 5 && queue_store_failed(s));
	/* Smaller things might fit; they are refused all the same. */
	ck_assert_int_eq(
	    queue_store_step(s, &last, STATE_ADMITTED, "e", &now), -1);
	ck_assert_int_eq(queue_store_error(s), STORE_STORAGE);
	ck_assert_ptr_nonnull(strstr(queue_store_why(s), "refused before"));
	/* Reading goes on. */
	ck_assert_int_eq(queue_store_get(s, last.run, &disk), 0);
	ck_assert_int_eq(queue_store_count(s, FILTER_QUEUED, &n), 0);
	ck_assert_int_eq(n, acked);
	/* Fill up what is left, so that nothing can be made durable. */
	fd = open(fixture_path("fill"), O_WRONLY | O_CREAT, 0600);
	while (write(fd, prompt, 4096) > 0)
		;
	close(fd);
	ret = queue_store_recheck(s);
	if (ret == -1) {
		ck_assert(queue_store_failed(s));
		(void)strlcpy(why, queue_store_why(s), sizeof(why));
	}
	ck_assert_int_eq(unlink(fixture_path("fill")), 0);
	ck_assert_int_eq(umount2(fixture_dir, MNT_DETACH), 0);
	queue_store_close(&s);
	free(prompt);
}
END_TEST

/* The same, but with room again: it goes on, with all that it said yes to. */
START_TEST(test_room_again)
{
	struct queue_store *s;
	struct queue_time now;
	struct queue_row r;
	uint8_t *prompt = calloc(1, 65536);
	char id[16];
	int64_t n, acked = 0;
	bool again;
	int i, ret = 0;

	if (mount("none", fixture_dir, "tmpfs", 0, "size=2m,mode=0700") == -1) {
		printf("skipped: full disk: %s\n", strerror(errno));
		free(prompt);
		return;
	}
	queue_time_now(&now);
	s = fixture_open();
	for (i = 0; i < 200 && ret == 0; i++) {
		snprintf(id, sizeof(id), "f%d", i);
		fixture_row(&r, id);
		ret = queue_store_submit(s, &r, prompt, 65536, &now, &again);
		acked += ret == 0;
	}
	ck_assert_int_eq(ret, -1);
	ck_assert_int_eq(
	    mount("none", fixture_dir, "tmpfs", MS_REMOUNT, "size=64m"), 0);
	ck_assert_msg(queue_store_recheck(s) == 0, "%s", queue_store_why(s));
	ck_assert(!queue_store_failed(s));
	ck_assert_int_eq(queue_store_count(s, FILTER_QUEUED, &n), 0);
	ck_assert_int_eq(n, acked);
	fixture_row(&r, id);
	ck_assert_int_eq(
	    queue_store_submit(s, &r, prompt, 65536, &now, &again), 0);
	ck_assert(!again);
	queue_store_close(&s);
	s = fixture_open();
	queue_store_close(&s);
	ck_assert_int_eq(umount2(fixture_dir, MNT_DETACH), 0);
	free(prompt);
}
END_TEST

/* One user's waiting runs, or prompts, leave room for those of others. */
START_TEST(test_share)
{
	static const char sql[] =
	    "UPDATE runs SET prompt_bytes=536870912 WHERE request='s0'";
	struct queue_store *s = fixture_open();
	struct queue_time now;
	struct queue_row r;
	char id[16];
	bool again;
	int i;

	queue_time_now(&now);
	for (i = 0; i < QUEUE_USER_QUEUED_MAX; i++) {
		snprintf(id, sizeof(id), "s%d", i);
		fixture_submit(s, id, &r);
	}
	fixture_row(&r, "more");
	ck_assert_int_eq(queue_store_submit(s, &r, NULL, 0, &now, &again), -1);
	ck_assert_int_eq(queue_store_error(s), STORE_LIMIT);
	ck_assert_ptr_nonnull(strstr(queue_store_why(s), "of this user"));
	/* What is known is no more of them. */
	fixture_row(&r, "s7");
	ck_assert_int_eq(queue_store_submit(s, &r, NULL, 0, &now, &again), 0);
	ck_assert(again);
	fixture_row(&r, "s0");
	r.uid = 1001;
	ck_assert_int_eq(queue_store_submit(s, &r, NULL, 0, &now, &again), 0);
	ck_assert_int_eq(sqlite3_exec(s->db, sql, NULL, NULL, NULL), SQLITE_OK);
	fixture_row(&r, "bytes");
	r.uid = 1001;
	ck_assert_int_eq(
	    queue_store_submit(s, &r, (const uint8_t *)"x", 1, &now, &again),
	    -1);
	ck_assert_int_eq(queue_store_error(s), STORE_LIMIT);
	ck_assert_ptr_nonnull(strstr(queue_store_why(s), "prompts"));
	r.uid = 1002;
	ck_assert_int_eq(
	    queue_store_submit(s, &r, (const uint8_t *)"x", 1, &now, &again),
	    0);
	queue_store_close(&s);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queue_store");
	TCase *tc = tcase_create("store");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
	tcase_add_test(tc, test_share);
	tcase_add_test(tc, test_submit);
	tcase_add_test(tc, test_idempotent);
	tcase_add_test(tc, test_prompts);
	tcase_add_test(tc, test_life);
	tcase_add_test(tc, test_owed);
	tcase_add_test(tc, test_steps_refused);
	tcase_add_test(tc, test_stop);
	tcase_add_test(tc, test_each);
	tcase_add_test(tc, test_subnets);
	tcase_add_test(tc, test_prune);
	tcase_add_loop_test(
	    tc, test_aged, 0, (int)(sizeof(ages) / sizeof(ages[0])));
	tcase_add_test(tc, test_notes);
	tcase_add_test(tc, test_locked);
	tcase_add_test(tc, test_restored);
	tcase_add_test(tc, test_upgrade);
	tcase_add_test(tc, test_versions);
	tcase_add_test(tc, test_read_only);
	tcase_add_test(tc, test_full_disk);
	tcase_add_test(tc, test_room_again);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
