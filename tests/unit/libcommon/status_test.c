/* The answer to status: what the parent told last, counters, what is wrong. */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/clock.h"
#include "libcommon/log.h"
#include "libcommon/proc.h"
#include "libcommon/status.h"

#define WARNINGS_MAX 32 /* msg.def: state, status.answer */

static struct event_base *base;
static struct peer *here, *there;
static char *answer; /* as it came */

static void
on_message(struct peer *p, struct msg *m, int fd, void *arg)
{
	char why[128];
	size_t len;

	if (m->type == MSG_TYPE_status_answer)
		ck_assert_int_eq(
		    msg_encode(m, &answer, &len, why, sizeof(why)), 0);
}

static void
on_gone(struct peer *p, enum peer_end end, const char *why, void *arg)
{
}

static const struct peer_ops ops = { .message = on_message, .gone = on_gone };

static void
setup(void)
{
	int sv[2];

	log_init("status_test", 1, 0);
	ck_assert_ptr_nonnull(base = event_base_new());
	ck_assert_int_eq(proc_socketpair(sv), 0);
	/* Siblings by kind: no hello is needed here. */
	here = peer_new(base, sv[0], PEER_SIBLING, SIDE_FRONTEND, SIDE_CLIENT,
	    "frontend", "client", &ops, NULL);
	there = peer_new(base, sv[1], PEER_SIBLING, SIDE_CLIENT, SIDE_FRONTEND,
	    "client", "frontend", &ops, NULL);
	ck_assert_ptr_nonnull(here);
	ck_assert_ptr_nonnull(there);
}

static void
teardown(void)
{
	peer_free(&here);
	peer_free(&there);
	free(answer);
	event_base_free(base);
}

/* Keep n warnings and one row, then ask. */
static struct msg
ask(const char *value, size_t n, const struct status_counts *counts,
    const char *warning)
{
	const char *k[] = { "generation" }, *v[] = { value };
	const char *w[WARNINGS_MAX];
	char text[WARNINGS_MAX][32], why[128];
	struct msg_state state = { .state = { .k = k, .v = v, .n = 1 },
		.warnings = { .v = w, .n = n } };
	struct msg m;
	size_t i;
	int turn;

	for (i = 0; i < n; i++) {
		snprintf(text[i], sizeof(text[i]), "w%zu", i);
		w[i] = text[i];
	}
	status_keep(STATUS_PARENT, &state);
	free(answer);
	answer = NULL;
	status_answer(
	    here, 7, "testd", clock_boot_ms() - 1000, counts, warning);
	for (turn = 0; turn < 100 && answer == NULL; turn++)
		event_base_loop(base, EVLOOP_ONCE);
	ck_assert_ptr_nonnull(answer);
	ck_assert_int_eq(
	    msg_decode(answer, strlen(answer), &m, why, sizeof(why)), 0);
	return m;
}

START_TEST(test_whole)
{
	const struct status_counts counts = {
		.name = { "open", "shut" }, .value = { 3, INT64_MAX }, .n = 2
	};
	const struct msg_status_answer *a;
	struct msg m;

	m = ask("1", 1, &counts, NULL);
	msg_free(&m);
	m = ask("2", 2, &counts, "late");
	a = &m.u.status_answer;
	ck_assert_int_eq(m.id, 7);
	ck_assert_str_eq(a->daemon, "testd");
	ck_assert_int_eq(a->pid, getppid());
	ck_assert_int_ge(a->uptime_ms, 1000);
	ck_assert_uint_eq(a->state.n, 3);
	ck_assert_str_eq(a->state.k[0], "generation");
	ck_assert_str_eq(a->state.v[0], "2");
	ck_assert_str_eq(a->state.k[1], "open");
	ck_assert_str_eq(a->state.v[1], "3");
	ck_assert_str_eq(a->state.k[2], "shut");
	ck_assert_str_eq(a->state.v[2], "9223372036854775807");
	ck_assert_uint_eq(a->warnings.n, 3);
	ck_assert_str_eq(a->warnings.v[1], "w1");
	ck_assert_str_eq(a->warnings.v[2], "late");
	msg_free(&m);
}
END_TEST

/* What is wrong now finds room. */
START_TEST(test_full)
{
	const struct status_counts none = { .n = 0 };
	const struct msg_status_answer *a;
	struct msg m;

	m = ask("1", WARNINGS_MAX, &none, "late");
	a = &m.u.status_answer;
	ck_assert_uint_eq(a->warnings.n, WARNINGS_MAX);
	ck_assert_str_eq(a->warnings.v[WARNINGS_MAX - 2], "w30");
	ck_assert_str_eq(a->warnings.v[WARNINGS_MAX - 1], "late");
	msg_free(&m);
}
END_TEST

/* Each source replaces its own, and what a sibling warns of finds room. */
START_TEST(test_sources)
{
	const char *k[] = { "engine_state" }, *v[] = { "unreachable" };
	const char *w[] = { "no engine" };
	const struct msg_state sibling = { .state = { .k = k, .v = v, .n = 1 },
		.warnings = { .v = w, .n = 1 } };
	const struct status_counts counts = {
		.name = { "open" }, .value = { 3 }, .n = 1
	};
	const struct msg_state nothing = { .state = { .n = 0 } };
	const struct msg_status_answer *a;
	struct msg m;

	status_keep(STATUS_SIBLING, &sibling);
	m = ask("1", WARNINGS_MAX, &counts, NULL);
	a = &m.u.status_answer;
	ck_assert_uint_eq(a->state.n, 3);
	ck_assert_str_eq(a->state.k[0], "generation");
	ck_assert_str_eq(a->state.k[1], "engine_state");
	ck_assert_str_eq(a->state.v[1], "unreachable");
	ck_assert_str_eq(a->state.k[2], "open");
	ck_assert_uint_eq(a->warnings.n, WARNINGS_MAX);
	ck_assert_str_eq(a->warnings.v[0], "no engine");
	ck_assert_str_eq(a->warnings.v[1], "w0");
	msg_free(&m);
	status_keep(STATUS_SIBLING, &nothing);
	m = ask("2", 1, &counts, NULL);
	a = &m.u.status_answer;
	ck_assert_uint_eq(a->state.n, 2);
	ck_assert_str_eq(a->state.v[0], "2");
	ck_assert_uint_eq(a->warnings.n, 1);
	msg_free(&m);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("status");
	TCase *tc = tcase_create("status");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_whole);
	tcase_add_test(tc, test_full);
	tcase_add_test(tc, test_sources);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
