#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatchd/queue_admit.h"
#include "tests/words.h"

#define GB (1LL << 30)
#define ROWS_MAX 256

/* --- a host and its queue
 * --------------------------------------------------------- */

struct host {
	struct queue_admission a;
	struct queue_waiting rows[ROWS_MAX];
	size_t n;
	char order[1024]; /* who was admitted */
};

static void
host_new(struct host *h, int64_t memory, int64_t runs)
{
	memset(h, 0, sizeof(*h));
	h->a.capacity = (struct queue_need){ memory, 64000, 65536 };
	h->a.runs_max = runs;
}

static void
add(struct host *h, const char *run, const char *repo, int64_t memory)
{
	struct queue_waiting *w = &h->rows[h->n++];

	ck_assert_uint_lt(h->n, ROWS_MAX);
	memset(w, 0, sizeof(*w));
	(void)strlcpy(w->run, run, sizeof(w->run));
	w->repo = queue_repo_key(repo);
	w->need = (struct queue_need){ memory, 100, 10 };
}

static void
forget(struct host *h, size_t i)
{
	memmove(
	    &h->rows[i], &h->rows[i + 1], (--h->n - i) * sizeof(h->rows[0]));
}

/* Admit one; its run into *got. */
static bool
admit(struct host *h, struct queue_waiting *got)
{
	size_t i = ROWS_MAX;
	int r = queue_admit_next(&h->a, h->rows, h->n, &i);

	ck_assert_int_ne(r, -1);
	if (r == 0)
		return false;
	ck_assert_uint_lt(i, h->n);
	*got = h->rows[i];
	(void)strlcat(h->order, got->run, sizeof(h->order));
	(void)strlcat(h->order, " ", sizeof(h->order));
	forget(h, i);
	return true;
}

static void
admit_all(struct host *h)
{
	struct queue_waiting w;

	h->order[0] = '\0';
	while (admit(h, &w))
		;
}

/* --- order
 * ---------------------------------------------------------------------------
 */

START_TEST(test_turns)
{
	struct host h;

	host_new(&h, 100 * GB, 100);
	add(&h, "a1", "a", GB);
	add(&h, "a2", "a", GB);
	add(&h, "a3", "a", GB);
	add(&h, "b1", "b", GB);
	add(&h, "c1", "c", GB);
	add(&h, "b2", "b", GB);
	admit_all(&h);
	ck_assert_str_eq(h.order, "a1 b1 c1 a2 b2 a3 ");
	/* Who was last is not first again. */
	add(&h, "a4", "a", GB);
	add(&h, "c2", "c", GB);
	admit_all(&h);
	ck_assert_str_eq(h.order, "c2 a4 ");
}
END_TEST

/* R09: one at a time, in order, to the end. */
START_TEST(test_hundred)
{
	struct queue_waiting w;
	struct host h;
	char id[8], want[8];
	int i;

	host_new(&h, 8 * GB, 100);
	for (i = 0; i < 100; i++) {
		snprintf(id, sizeof(id), "%d", i);
		add(&h, id, "a", 8 * GB);
	}
	for (i = 0; i < 100; i++) {
		snprintf(want, sizeof(want), "%d", i);
		ck_assert(admit(&h, &w));
		ck_assert_str_eq(w.run, want);
		ck_assert(!admit(&h, &w));
		queue_admit_release(&h.a, &w.need);
		ck_assert_int_eq(h.a.runs, 0);
	}
	ck_assert(!admit(&h, &w));
}
END_TEST

/* R09: small ones go before what does not fit, but not for ever. */
START_TEST(test_hold)
{
	struct queue_waiting w, running = { .need = { GB, 100, 10 } };
	struct host h;
	char id[8], why[QUEUE_WHY_MAX + 1];
	int i, passed = 0;

	host_new(&h, 8 * GB, 100);
	queue_admit_use(&h.a, &running.need);
	add(&h, "big", "a", 8 * GB);
	for (i = 0; i < 100; i++) {
		snprintf(id, sizeof(id), "s%d", i);
		add(&h, id, "b", GB);
	}
	while (admit(&h, &w)) {
		ck_assert_str_ne(w.run, "big");
		queue_admit_release(&h.a, &w.need);
		passed++;
	}
	ck_assert_int_eq(passed, QUEUE_PASSES_MAX);
	queue_admit_why(&h.a, h.rows, h.n, 0, why);
	ck_assert_str_eq(why, "needs 8g of memory; 7g of 8g free; 0 before it");
	queue_admit_why(&h.a, h.rows, h.n, 1, why);
	ck_assert_str_eq(why,
	    "run big has waited long enough for its resources and is next; 1 "
	    "before it");
	/* Somebody new is not before it either. */
	add(&h, "new", "c", GB);
	ck_assert(!admit(&h, &w));
	queue_admit_release(&h.a, &running.need);
	ck_assert(admit(&h, &w));
	ck_assert_str_eq(w.run, "big");
	queue_admit_release(&h.a, &w.need);
	ck_assert(admit(&h, &w));
	ck_assert_str_eq(w.run, "new");
}
END_TEST

/* One that is held and then cancelled holds nobody. */
START_TEST(test_held_gone)
{
	struct queue_waiting w, running = { .need = { GB, 100, 10 } };
	struct host h;
	int i;

	host_new(&h, 8 * GB, 100);
	queue_admit_use(&h.a, &running.need);
	add(&h, "big", "a", 8 * GB);
	for (i = 0; i <= QUEUE_PASSES_MAX; i++)
		add(&h, "s", "b", 1);
	while (admit(&h, &w))
		queue_admit_release(&h.a, &w.need);
	ck_assert_uint_eq(h.n, 2);
	forget(&h, 0);
	ck_assert(admit(&h, &w));
	ck_assert_str_eq(h.a.held, "");
}
END_TEST

/* --- what it says
 * ------------------------------------------------------------------------ */

START_TEST(test_why)
{
	struct queue_admission a = { .capacity = { 8 * GB, 4000, 512 },
		.runs_max = 2 };
	static const struct {
		struct queue_need need;
		const char *want; /* NULL: possible */
	} rows[] = {
		{ { 8 * GB, 4000, 512 }, NULL },
		{ { 9 * GB, 4000, 512 },
		    "it could never run here: it needs 9g of memory; 8g of 8g"
		    " free" },
		{ { GB + 1, 4500, 512 },
		    "it could never run here: it needs 4.500 processors; 4 of"
		    " 4 free" },
		{ { GB, 4000, 513 },
		    "it could never run here: it needs 513 pids; 512 of 512"
		    " free" },
		{ { INT64_MAX, 1, 1 }, "" },
		{ { 1, INT64_MAX, 1 }, "" },
	};
	struct queue_waiting w = { .run = "r", .need = { GB, 1000, 10 } };
	char why[QUEUE_WHY_MAX + 1];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		*why = '\0';
		ck_assert_int_eq(queue_admit_possible(&a, &rows[i].need, why),
		    rows[i].want == NULL);
		if (rows[i].want != NULL && *rows[i].want != '\0')
			ck_assert_str_eq(why, rows[i].want);
	}
	queue_admit_why(&a, &w, 1, 0, why);
	ck_assert_str_eq(why, "its turn; 0 before it");
	a.runs = 2;
	queue_admit_why(&a, &w, 1, 0, why);
	ck_assert_str_eq(why, "2 of 2 runs go on; 0 before it");
	a.runs = 1;
	a.used.memory = 9 * GB; /* a reload made the capacity smaller */
	queue_admit_why(&a, &w, 1, 0, why);
	ck_assert_str_eq(why, "needs 1g of memory; 0 of 8g free; 0 before it");
}
END_TEST

START_TEST(test_sizes)
{
	char buf[32];

	ck_assert_str_eq(queue_size_text(0, buf, sizeof(buf)), "0");
	ck_assert_str_eq(queue_size_text(1000, buf, sizeof(buf)), "1000");
	ck_assert_str_eq(queue_size_text(1024, buf, sizeof(buf)), "1k");
	ck_assert_str_eq(
	    queue_size_text(3 * GB / 2, buf, sizeof(buf)), "1536m");
	ck_assert_str_eq(queue_size_text(2 * GB, buf, sizeof(buf)), "2g");
}
END_TEST

/* --- by chance
 * ------------------------------------------------------------------------------
 */

#define LIVE_MAX 8
#define ROUNDS 20000
#define NAMES 9

struct live {
	struct queue_waiting w;
	int left;
};

/* Of one repository, only what is larger is still waiting before it. */
static void
check_order(const struct host *h, const struct queue_waiting *w, unsigned nth)
{
	char number[sizeof(h->rows[0].run)];
	size_t i;

	for (i = 0; i < h->n; i++) {
		(void)strlcpy(number, h->rows[i].run, sizeof(number));
		number[strcspn(number, ".")] = '\0';
		if (h->rows[i].repo == w->repo &&
		    (unsigned)words_number(number) < nth)
			ck_assert_int_gt(
			    h->rows[i].need.memory, w->need.memory);
	}
}

/*
 * Any load: the capacity is never exceeded, nobody waits longer than all that
 * is before it can hold it up, a repository's runs stay in their order, and
 * nothing waits while the host is empty.
 */
START_TEST(test_simulation)
{
	static struct host h;
	static int since[100000], waited, longest;
	struct live live[LIVE_MAX] = { 0 };
	unsigned repo;
	struct queue_waiting w;
	char id[RUNID_LEN + 1], name[2] = "a";
	unsigned number = 1, nth;
	int round, i, n = 0;

	srandom(7);
	host_new(&h, 8 * GB, LIVE_MAX);
	for (round = 0; round < ROUNDS; round++) {
		if (h.n < 40 && random() % 2 == 0) {
			repo = (unsigned)(random() % 3 == 0 ? random() % NAMES
			                                    : 0);
			name[0] = (char)('a' + repo);
			snprintf(id, sizeof(id), "%u.%u", number, repo);
			add(&h, id, name, (1 + random() % 8) * GB);
			since[number++] = round;
		}
		for (i = 0; i < LIVE_MAX; i++) {
			if (live[i].left > 0 && --live[i].left == 0) {
				queue_admit_release(&h.a, &live[i].w.need);
				n--;
			}
		}
		h.order[0] = '\0';
		while (admit(&h, &w)) {
			ck_assert_int_eq(
			    sscanf(w.run, "%u.%u", &nth, &repo), 2);
			waited = round - since[nth];
			longest = waited > longest ? waited : longest;
			check_order(&h, &w, nth);
			for (i = 0; i < LIVE_MAX && live[i].left > 0; i++)
				;
			ck_assert_int_lt(i, LIVE_MAX);
			live[i].w = w;
			live[i].left = 1 + (int)(random() % 5);
			n++;
			h.order[0] = '\0';
		}
		ck_assert_int_eq(h.a.runs, n);
		ck_assert_int_le(h.a.used.memory, h.a.capacity.memory);
		ck_assert_int_ge(h.a.used.memory, 0);
		ck_assert(n > 0 || h.n == 0);
	}
	printf("%u runs, the longest waited %d rounds\n", number - 1, longest);
	/* 40 wait at most, each for 5 rounds and those that it lets pass. */
	ck_assert_int_lt(longest, 40 * (5 + QUEUE_PASSES_MAX));
}
END_TEST

/* More repositories than are remembered. */
START_TEST(test_many_repositories)
{
	struct queue_waiting w;
	struct host h;
	char id[RUNID_LEN + 1];
	int i;

	host_new(&h, 100 * GB, 10000);
	for (i = 0; i < 3 * QUEUE_TURNS_MAX; i++) {
		snprintf(id, sizeof(id), "%d", i);
		add(&h, id, id, 1);
		ck_assert(admit(&h, &w));
		queue_admit_release(&h.a, &w.need);
	}
	ck_assert_uint_eq(h.a.turn, 3 * QUEUE_TURNS_MAX);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("queue_admit");
	TCase *tc = tcase_create("admit");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_turns);
	tcase_add_test(tc, test_hundred);
	tcase_add_test(tc, test_hold);
	tcase_add_test(tc, test_held_gone);
	tcase_add_test(tc, test_why);
	tcase_add_test(tc, test_sizes);
	tcase_add_test(tc, test_simulation);
	tcase_add_test(tc, test_many_repositories);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
