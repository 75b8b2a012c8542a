#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatchd/queue_admit.h"

#define SIZE_TEXT_MAX 32
#define FNV_START UINT64_C(14695981039346656037)
#define FNV_PRIME UINT64_C(1099511628211)

/* A waiting run's place: its number in its repository, that one's turn. */
struct place {
	size_t index;
	uint64_t repo;
	size_t nth;
	uint64_t turn;
};

/* --- sums --------------------------------------------------------------- */

void
queue_admit_use(struct queue_admission *a, const struct queue_need *n)
{
	a->used.memory += n->memory;
	a->used.cpus_milli += n->cpus_milli;
	a->used.pids += n->pids;
	a->runs++;
}

void
queue_admit_release(struct queue_admission *a, const struct queue_need *n)
{
	a->used.memory -= n->memory;
	a->used.cpus_milli -= n->cpus_milli;
	a->used.pids -= n->pids;
	a->runs--;
}

/* Used may be above a capacity that a reload made smaller. */
static bool
fits_in(int64_t need, int64_t used, int64_t capacity)
{
	return used <= capacity && need <= capacity - used;
}

static bool
fits(const struct queue_admission *a, const struct queue_need *n)
{
	return a->runs < a->runs_max &&
	    fits_in(n->memory, a->used.memory, a->capacity.memory) &&
	    fits_in(
	        n->cpus_milli, a->used.cpus_milli, a->capacity.cpus_milli) &&
	    fits_in(n->pids, a->used.pids, a->capacity.pids);
}

/* --- the fair order ------------------------------------------------------- */

uint64_t
queue_repo_key(const char *url)
{
	uint64_t h = FNV_START;

	for (; *url != '\0'; url++)
		h = (h ^ (unsigned char)*url) * FNV_PRIME;
	return h;
}

static uint64_t
turn_of(const struct queue_admission *a, uint64_t repo)
{
	size_t i;

	for (i = 0; i < QUEUE_TURNS_MAX; i++) {
		if (a->turns[i].turn != 0 && a->turns[i].repo == repo)
			return a->turns[i].turn;
	}
	return 0;
}

/* In place of its own row, a free one, or the one longest ago. */
static void
took_turn(struct queue_admission *a, uint64_t repo)
{
	struct queue_turn *t, *best = &a->turns[0];

	for (t = a->turns; t < a->turns + QUEUE_TURNS_MAX; t++) {
		if (t->turn != 0 && t->repo == repo) {
			best = t;
			break;
		}
		if (t->turn < best->turn)
			best = t;
	}
	best->repo = repo;
	best->turn = ++a->turn;
}

static int
by_repo(const void *x, const void *y)
{
	const struct place *a = x, *b = y;

	if (a->repo != b->repo)
		return a->repo < b->repo ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

static int
by_turn(const void *x, const void *y)
{
	const struct place *a = x, *b = y;

	if (a->nth != b->nth)
		return a->nth < b->nth ? -1 : 1;
	if (a->turn != b->turn)
		return a->turn < b->turn ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

/* What is held is first, whoever came meanwhile. */
static void
held_first(const struct queue_admission *a, const struct queue_waiting *rows,
    struct place *p, size_t n)
{
	struct place held;
	size_t i;

	if (a->held[0] == '\0')
		return;
	for (i = 0; i < n && strcmp(rows[p[i].index].run, a->held) != 0; i++)
		;
	if (i == n)
		return;
	held = p[i];
	memmove(p + 1, p, i * sizeof(*p));
	p[0] = held;
}

static struct place *
fair_order(
    const struct queue_admission *a, const struct queue_waiting *rows, size_t n)
{
	struct place *p = calloc(n + 1, sizeof(*p));
	size_t i;

	if (p == NULL)
		return NULL;
	for (i = 0; i < n; i++) {
		p[i].index = i;
		p[i].repo = rows[i].repo;
	}
	qsort(p, n, sizeof(*p), by_repo);
	for (i = 0; i < n; i++) {
		if (i > 0 && p[i].repo == p[i - 1].repo) {
			p[i].nth = p[i - 1].nth + 1;
			p[i].turn = p[i - 1].turn;
		} else
			p[i].turn = turn_of(a, p[i].repo);
	}
	qsort(p, n, sizeof(*p), by_turn);
	held_first(a, rows, p, n);
	return p;
}

/* --- who is next -----------------------------------------------------------
 */

/*
 * The first of the order does not fit. Another one may go before it while it
 * has been passed less often than the bound; what is as large as it in what
 * it lacks does not fit either.
 */
static size_t
pass_by(struct queue_admission *a, const struct queue_waiting *rows,
    const struct place *p, size_t n)
{
	const char *head = rows[p[0].index].run;
	size_t i;

	if (strcmp(a->held, head) != 0) {
		memcpy(a->held, head, sizeof(a->held));
		a->passes = 0;
	}
	if (a->passes >= QUEUE_PASSES_MAX)
		return n;
	for (i = 1; i < n; i++) {
		if (fits(a, &rows[p[i].index].need)) {
			a->passes++;
			return i;
		}
	}
	return n;
}

int
queue_admit_next(struct queue_admission *a, const struct queue_waiting *rows,
    size_t n, size_t *index)
{
	struct place *p;
	size_t i = 0;

	if (n == 0) {
		a->held[0] = '\0';
		return 0;
	}
	p = fair_order(a, rows, n);
	if (p == NULL)
		return -1;
	if (fits(a, &rows[p[0].index].need))
		a->held[0] = '\0';
	else
		i = pass_by(a, rows, p, n);
	if (i < n) {
		*index = p[i].index;
		queue_admit_use(a, &rows[*index].need);
		took_turn(a, rows[*index].repo);
	}
	free(p);
	return i < n;
}

/* --- for people ------------------------------------------------------------
 */

const char *
queue_size_text(int64_t bytes, char *buf, size_t size)
{
	static const char units[] = { 'g', 'm', 'k' };
	int64_t unit = 1 << 30;
	size_t i;

	for (i = 0; i < sizeof(units); i++, unit /= 1024) {
		if (bytes != 0 && bytes % unit == 0) {
			snprintf(
			    buf, size, "%" PRId64 "%c", bytes / unit, units[i]);
			return buf;
		}
	}
	snprintf(buf, size, "%" PRId64, bytes);
	return buf;
}

static void
cpus_text(int64_t milli, char *buf, size_t size)
{
	if (milli % 1000 == 0)
		snprintf(buf, size, "%" PRId64, milli / 1000);
	else
		snprintf(buf, size, "%" PRId64 ".%03" PRId64, milli / 1000,
		    milli % 1000);
}

/* "needs 8g of memory, 2g of 8g are free" for the first that lacks. */
static bool
lack_text(const struct queue_admission *a, const struct queue_need *n,
    char *buf, size_t size)
{
	char need[SIZE_TEXT_MAX], has[SIZE_TEXT_MAX], left[SIZE_TEXT_MAX];
	int64_t rest = a->capacity.memory - a->used.memory;

	if (a->runs >= a->runs_max) {
		snprintf(buf, size, "%" PRId64 " of %" PRId64 " runs go on",
		    a->runs, a->runs_max);
	} else if (n->memory > rest) {
		queue_size_text(n->memory, need, sizeof(need));
		queue_size_text(a->capacity.memory, has, sizeof(has));
		queue_size_text(rest > 0 ? rest : 0, left, sizeof(left));
		snprintf(buf, size, "needs %s of memory; %s of %s free", need,
		    left, has);
	} else if (!fits_in(n->cpus_milli, a->used.cpus_milli,
	               a->capacity.cpus_milli)) {
		rest = a->capacity.cpus_milli - a->used.cpus_milli;
		cpus_text(n->cpus_milli, need, sizeof(need));
		cpus_text(a->capacity.cpus_milli, has, sizeof(has));
		cpus_text(rest > 0 ? rest : 0, left, sizeof(left));
		snprintf(buf, size, "needs %s processors; %s of %s free", need,
		    left, has);
	} else if (!fits_in(n->pids, a->used.pids, a->capacity.pids)) {
		rest = a->capacity.pids - a->used.pids;
		snprintf(buf, size,
		    "needs %" PRId64 " pids; %" PRId64 " of %" PRId64 " free",
		    n->pids, rest > 0 ? rest : 0, a->capacity.pids);
	} else
		return false;
	return true;
}

void
queue_admit_why(const struct queue_admission *a,
    const struct queue_waiting *rows, size_t n, size_t index,
    char why[QUEUE_WHY_MAX + 1])
{
	char lack[QUEUE_WHY_MAX / 2];
	struct place *p = fair_order(a, rows, n);
	size_t before = 0;

	if (p != NULL) {
		while (before < n && p[before].index != index)
			before++;
		free(p);
	}
	if (lack_text(a, &rows[index].need, lack, sizeof(lack)))
		snprintf(
		    why, QUEUE_WHY_MAX + 1, "%s; %zu before it", lack, before);
	else if (before > 0 && a->held[0] != '\0' &&
	    a->passes >= QUEUE_PASSES_MAX)
		snprintf(why, QUEUE_WHY_MAX + 1,
		    "run %s has waited long enough for its resources and is "
		    "next; %zu before it",
		    a->held, before);
	else
		snprintf(
		    why, QUEUE_WHY_MAX + 1, "its turn; %zu before it", before);
}

bool
queue_admit_possible(const struct queue_admission *a,
    const struct queue_need *n, char why[QUEUE_WHY_MAX + 1])
{
	struct queue_admission idle = { .capacity = a->capacity,
		.runs_max = a->runs_max };
	char lack[QUEUE_WHY_MAX / 2];

	if (!lack_text(&idle, n, lack, sizeof(lack)))
		return true;
	snprintf(
	    why, QUEUE_WHY_MAX + 1, "it could never run here: it %s", lack);
	return false;
}
