#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "libcommon/clock.h"
#include "libcommon/peer.h"

/* The clock and the link are the test's own. */
static int64_t fake_clock(void);
static int fake_send(struct peer *, const struct msg *);
#define clock_boot_ms fake_clock
#define peer_send fake_send
#include "libcommon/audit_client.c"
#undef clock_boot_ms
#undef peer_send

#define SENT_MAX (2 * AUDIT_WAITING_MAX + AUDIT_LASTING_MAX)

static int64_t now = 1000000;
static char sent[SENT_MAX][16]; /* host, or end, of each */
static size_t nsent;
static int send_fails;

static struct event_base *base;
static struct audit_client *a;

/* What was called back: "+x" may take effect, "-x" may not. */
static char calls[512];

static int64_t
fake_clock(void)
{
	return now;
}

static int
fake_send(struct peer *p, const struct msg *m)
{
	if (send_fails)
		return -1;
	ck_assert_uint_lt(nsent, SENT_MAX);
	(void)strlcpy(sent[nsent],
	    m->type == MSG_TYPE_rec_deny ? m->u.rec_deny.host
	                                 : m->u.rec_tunnel_close.end,
	    sizeof(sent[0]));
	nsent++;
	return 0;
}

static void
called(bool ok, void *arg)
{
	(void)strlcat(calls, ok ? "+" : "-", sizeof(calls));
	(void)strlcat(calls, arg, sizeof(calls));
}

static int
deny(const char *name)
{
	struct msg m = { .type = MSG_TYPE_rec_deny };
	static char args[64][16];
	static size_t n;
	char *arg = args[n++ % 64];

	(void)strlcpy(arg, name, sizeof(args[0]));
	m.u.rec_deny.host = name;
	m.u.rec_deny.code = "host";
	m.u.rec_deny.status = 403;
	return audit_client_send(a, &m, called, arg);
}

static int
closed(const char *name)
{
	struct msg m = { .type = MSG_TYPE_rec_tunnel_close };

	m.u.rec_tunnel_close.id = "0-1";
	m.u.rec_tunnel_close.host = "h";
	m.u.rec_tunnel_close.port = 443;
	m.u.rec_tunnel_close.end = name;
	return audit_client_send_lasting(a, &m, NULL, NULL);
}

static void
recorded(int64_t count)
{
	struct msg m = { .type = MSG_TYPE_recorded };

	m.u.recorded.count = count;
	audit_client_message(a, &m);
}

static void
unrecorded(int64_t count)
{
	struct msg m = { .type = MSG_TYPE_unrecorded };

	m.u.unrecorded.count = count;
	m.u.unrecorded.reason = "full";
	audit_client_message(a, &m);
}

/* Let so much time go by; the timer fires if it was due. */
static void
pass(int64_t ms)
{
	now += ms;
	on_timer(-1, 0, a);
}

/* All that was sent since the last call, in one line. */
static const char *
sent_since(void)
{
	static char text[1024];
	size_t i;

	text[0] = '\0';
	for (i = 0; i < nsent; i++)
		(void)strlcat(text, sent[i], sizeof(text));
	nsent = 0;
	return text;
}

static void
set_up(void)
{
	base = event_base_new();
	a = audit_client_new(base, NULL);
	ck_assert_ptr_nonnull(a);
	nsent = 0;
	send_fails = 0;
	calls[0] = '\0';
}

static void
tear_down(void)
{
	audit_client_free(&a);
	ck_assert_ptr_null(a);
	audit_client_free(&a);
	event_base_free(base);
}

START_TEST(answers)
{
	ck_assert_int_eq(deny("a"), 0);
	ck_assert_int_eq(deny("b"), 0);
	ck_assert_int_eq(deny("c"), 0);
	ck_assert_int_eq(deny("d"), 0);
	ck_assert_str_eq(sent_since(), "abcd");
	ck_assert_str_eq(calls, "");
	ck_assert_uint_eq(audit_client_waiting(a), 4);
	recorded(2);
	ck_assert_str_eq(calls, "+a+b");
	ck_assert(audit_client_healthy(a));
	unrecorded(1);
	ck_assert_str_eq(calls, "+a+b-c");
	ck_assert(!audit_client_healthy(a));
	recorded(1);
	ck_assert_str_eq(calls, "+a+b-c+d");
	ck_assert(audit_client_healthy(a));
	ck_assert_uint_eq(audit_client_waiting(a), 0);
}
END_TEST

/* A refusal makes unhealthy for a while, then new work may try. */
START_TEST(refusal_wears_off)
{
	ck_assert_int_eq(deny("a"), 0);
	unrecorded(1);
	ck_assert(!audit_client_healthy(a));
	pass(AUDIT_RETRY_MS - 1);
	ck_assert(!audit_client_healthy(a));
	pass(1);
	ck_assert(audit_client_healthy(a));
	ck_assert_int_eq(deny("b"), 0);
	unrecorded(1);
	ck_assert(!audit_client_healthy(a));
}
END_TEST

START_TEST(late)
{
	ck_assert_int_eq(deny("a"), 0);
	pass(AUDIT_WAIT_MS - 1);
	ck_assert_int_eq(deny("b"), 0);
	ck_assert_str_eq(calls, "");
	ck_assert(audit_client_healthy(a));
	pass(1);
	ck_assert_str_eq(calls, "-a");
	ck_assert(!audit_client_healthy(a));
	ck_assert_uint_eq(audit_client_waiting(a), 1);
	/* a's answer comes after all, and is not taken for b's */
	recorded(1);
	ck_assert_str_eq(calls, "-a");
	ck_assert_uint_eq(audit_client_waiting(a), 1);
	ck_assert(audit_client_healthy(a));
	recorded(1);
	ck_assert_str_eq(calls, "-a+b");
	ck_assert_uint_eq(audit_client_waiting(a), 0);
}
END_TEST

/* The timer is set for the oldest: let the loop run for real. */
START_TEST(timer)
{
	struct timeval tv;

	ck_assert_int_eq(deny("a"), 0);
	ck_assert(evtimer_pending(a->timer, &tv));
	recorded(1);
	ck_assert(!evtimer_pending(a->timer, NULL));
	ck_assert_int_eq(closed("x"), 0);
	unrecorded(1);
	ck_assert(evtimer_pending(a->timer, NULL));
	now += AUDIT_RETRY_MS;
	arm(a);
	ck_assert_int_eq(event_base_loop(base, EVLOOP_ONCE), 0);
	ck_assert_str_eq(sent_since(), "axx");
	recorded(1);
	ck_assert(!evtimer_pending(a->timer, NULL));
}
END_TEST

START_TEST(forgotten)
{
	static char mine[] = "m";
	struct msg m = { .type = MSG_TYPE_rec_deny };

	m.u.rec_deny.host = "m";
	ck_assert_int_eq(audit_client_send(a, &m, called, mine), 0);
	ck_assert_int_eq(audit_client_send(a, &m, NULL, NULL), 0);
	ck_assert_int_eq(deny("b"), 0);
	audit_client_forget(a, mine);
	ck_assert_uint_eq(audit_client_waiting(a), 3);
	recorded(3);
	ck_assert_str_eq(calls, "+b");
	/* nothing waits: no timer, no late call */
	pass(AUDIT_WAIT_MS);
	ck_assert_str_eq(calls, "+b");
}
END_TEST

/* Lasting ones are asked for one at a time, then all, in their order. */
START_TEST(lasting)
{
	ck_assert_int_eq(closed("x"), 0);
	ck_assert_int_eq(closed("y"), 0);
	ck_assert_int_eq(deny("a"), 0);
	ck_assert_int_eq(closed("z"), 0);
	ck_assert_str_eq(sent_since(), "xyaz");
	unrecorded(1);
	ck_assert_int_eq(closed("w"), 0);
	ck_assert_str_eq(sent_since(), "");
	unrecorded(3);
	ck_assert_str_eq(calls, "-a");
	ck_assert_uint_eq(audit_client_waiting(a), 4);
	pass(AUDIT_RETRY_MS - 1);
	ck_assert_str_eq(sent_since(), "");
	pass(1);
	ck_assert_str_eq(sent_since(), "x");
	ck_assert(!audit_client_healthy(a));
	unrecorded(1);
	ck_assert_str_eq(sent_since(), "");
	pass(AUDIT_RETRY_MS);
	ck_assert_str_eq(sent_since(), "x");
	recorded(1);
	ck_assert_str_eq(sent_since(), "yzw");
	ck_assert(audit_client_healthy(a));
	ck_assert_uint_eq(audit_client_waiting(a), 3);
	recorded(3);
	ck_assert_uint_eq(audit_client_waiting(a), 0);
}
END_TEST

static int
lasting_told(const char *name)
{
	struct msg m = { .type = MSG_TYPE_rec_tunnel_close };

	m.u.rec_tunnel_close.id = "0-1";
	m.u.rec_tunnel_close.host = "h";
	m.u.rec_tunnel_close.port = 443;
	m.u.rec_tunnel_close.end = name;
	return audit_client_send_lasting(
	    a, &m, called, (void *)(uintptr_t)name);
}

/* Who sent a lasting one hears of it once, however late it is written. */
START_TEST(lasting_is_told)
{
	ck_assert_int_eq(lasting_told("x"), 0);
	ck_assert_int_eq(lasting_told("y"), 0);
	recorded(1);
	ck_assert_str_eq(calls, "+x");
	pass(AUDIT_WAIT_MS);
	unrecorded(1);
	ck_assert_str_eq(calls, "+x");
	pass(AUDIT_RETRY_MS);
	ck_assert_str_eq(sent_since(), "xyy");
	recorded(1);
	ck_assert_str_eq(calls, "+x+y");
	ck_assert_uint_eq(audit_client_waiting(a), 0);
	/* Forgotten: it is sent all the same. */
	ck_assert_int_eq(lasting_told("z"), 0);
	unrecorded(1);
	audit_client_forget(a, (void *)(uintptr_t) "z");
	pass(AUDIT_RETRY_MS);
	ck_assert_str_eq(sent_since(), "zz");
	recorded(1);
	ck_assert_str_eq(calls, "+x+y");
}
END_TEST

/* One that can never be written is let go; those behind it are not held up. */
START_TEST(lasting_final)
{
	struct msg m = { .type = MSG_TYPE_unrecorded };

	ck_assert_int_eq(lasting_told("x"), 0);
	ck_assert_int_eq(closed("y"), 0);
	m.u.unrecorded.count = 1;
	m.u.unrecorded.reason = "it does not fit into a record";
	m.u.unrecorded.final = true;
	audit_client_message(a, &m);
	ck_assert_str_eq(calls, "-x");
	ck_assert(audit_client_healthy(a));
	recorded(1);
	ck_assert_uint_eq(audit_client_waiting(a), 0);
	ck_assert_str_eq(sent_since(), "xy");
}
END_TEST

/* Another record that gets through tells that the disk is good again. */
START_TEST(lasting_woken)
{
	ck_assert_int_eq(closed("x"), 0);
	ck_assert_int_eq(deny("a"), 0);
	unrecorded(1);
	ck_assert_str_eq(sent_since(), "xa");
	recorded(1);
	ck_assert_str_eq(sent_since(), "x");
	recorded(1);
	ck_assert_uint_eq(audit_client_waiting(a), 0);
}
END_TEST

/* A lasting record whose answer is late is not sent twice. */
START_TEST(lasting_late)
{
	ck_assert_int_eq(closed("x"), 0);
	pass(AUDIT_WAIT_MS);
	ck_assert(!audit_client_healthy(a));
	pass(AUDIT_RETRY_MS);
	ck_assert_str_eq(sent_since(), "x");
	unrecorded(1);
	pass(AUDIT_RETRY_MS);
	ck_assert_str_eq(sent_since(), "x");
	ck_assert_uint_eq(audit_client_waiting(a), 1);
	recorded(1);
	ck_assert_uint_eq(audit_client_waiting(a), 0);
}
END_TEST

/* It waits on although its answer is late: who leaves would lose it. */
START_TEST(lasting_late_waits)
{
	ck_assert_int_eq(closed("a"), 0);
	ck_assert_int_eq(deny("b"), 0);
	pass(AUDIT_WAIT_MS);
	ck_assert_str_eq(calls, "-b");
	ck_assert_uint_eq(audit_client_waiting(a), 1);
	unrecorded(2);
	ck_assert_uint_eq(audit_client_waiting(a), 1);
	pass(AUDIT_RETRY_MS);
	ck_assert_uint_eq(audit_client_waiting(a), 1);
	recorded(1);
	ck_assert_uint_eq(audit_client_waiting(a), 0);
	ck_assert_str_eq(sent_since(), "aba");
}
END_TEST

static void
close_if_late(bool ok, void *arg)
{
	struct msg m = { .type = MSG_TYPE_rec_tunnel_close };

	m.u.rec_tunnel_close.id = "0-1";
	m.u.rec_tunnel_close.host = "h";
	m.u.rec_tunnel_close.port = 443;
	m.u.rec_tunnel_close.end = "z";
	called(ok, arg);
	ck_assert_int_eq(audit_client_send_if_late(a, &m), 0);
}

static int
opened(void)
{
	struct msg m = { .type = MSG_TYPE_rec_deny };
	static char arg[] = "o";

	m.u.rec_deny.host = "o";
	m.u.rec_deny.code = "host";
	m.u.rec_deny.status = 403;
	return audit_client_send(a, &m, close_if_late, arg);
}

/* Written after it was given up: what takes it back follows, and lasts. */
START_TEST(if_late)
{
	ck_assert_int_eq(opened(), 0);
	pass(AUDIT_WAIT_MS);
	ck_assert_str_eq(calls, "-o");
	ck_assert_str_eq(sent_since(), "o");
	recorded(1);
	ck_assert_str_eq(sent_since(), "z");
	ck_assert_uint_eq(audit_client_waiting(a), 1);
	unrecorded(1);
	ck_assert_uint_eq(audit_client_waiting(a), 1);
	pass(AUDIT_RETRY_MS);
	ck_assert_str_eq(sent_since(), "z");
	recorded(1);
	ck_assert_uint_eq(audit_client_waiting(a), 0);
}
END_TEST

/* Refused, in time or late, it is not in the file: nothing follows. */
START_TEST(if_not_late)
{
	ck_assert_int_eq(opened(), 0);
	unrecorded(1);
	ck_assert_str_eq(calls, "-o");
	ck_assert_int_eq(opened(), 0);
	pass(AUDIT_WAIT_MS);
	unrecorded(1);
	pass(AUDIT_RETRY_MS);
	ck_assert_str_eq(sent_since(), "oo");
	ck_assert_uint_eq(audit_client_waiting(a), 0);
}
END_TEST

START_TEST(limits)
{
	size_t i;

	for (i = 0; i < AUDIT_WAITING_MAX; i++)
		ck_assert_int_eq(deny("a"), 0);
	ck_assert_int_eq(deny("b"), -1);
	ck_assert_uint_eq(audit_client_waiting(a), AUDIT_WAITING_MAX);
	/* given up is still not acknowledged: nothing new goes out */
	calls[0] = '\0';
	pass(AUDIT_WAIT_MS);
	ck_assert_uint_eq(audit_client_waiting(a), 0);
	ck_assert_int_eq(deny("b"), -1);
	/* lasting ones are kept meanwhile, and sent when there is room */
	for (i = 0; i < AUDIT_LASTING_MAX; i++)
		ck_assert_int_eq(closed("x"), 0);
	ck_assert_int_eq(closed("y"), -1);
	ck_assert_uint_eq(nsent, AUDIT_WAITING_MAX);
	recorded(1);
	ck_assert_uint_eq(nsent, AUDIT_WAITING_MAX + 1);
	ck_assert_str_eq(sent[nsent - 1], "x");
	for (i = 0; i < AUDIT_LASTING_MAX / AUDIT_WAITING_MAX; i++)
		recorded(AUDIT_WAITING_MAX);
	ck_assert_uint_eq(nsent, AUDIT_WAITING_MAX + AUDIT_LASTING_MAX);
	recorded(AUDIT_WAITING_MAX - 1);
	ck_assert_uint_eq(audit_client_waiting(a), 0);
	ck_assert_int_eq(closed("y"), 0);
	recorded(1);
}
END_TEST

/* A link that takes nothing: nobody is called, lasting ones stay. */
START_TEST(dead_link)
{
	send_fails = 1;
	ck_assert_int_eq(deny("a"), -1);
	ck_assert_int_eq(closed("x"), 0);
	ck_assert_uint_eq(audit_client_waiting(a), 1);
	pass(AUDIT_WAIT_MS);
	ck_assert_str_eq(calls, "");
	ck_assert_str_eq(sent_since(), "");
}
END_TEST

/* From inside a call, more may be sent. */
static int again;

static void
send_again(bool ok, void *arg)
{
	called(ok, arg);
	if (again-- > 0)
		ck_assert_int_eq(deny("n"), 0);
}

START_TEST(reentrant)
{
	static char mine[] = "m";
	struct msg m = { .type = MSG_TYPE_rec_deny };

	again = 2;
	m.u.rec_deny.host = "m";
	ck_assert_int_eq(audit_client_send(a, &m, send_again, mine), 0);
	ck_assert_int_eq(audit_client_send(a, &m, send_again, mine), 0);
	recorded(2);
	ck_assert_str_eq(calls, "+m+m");
	ck_assert_uint_eq(audit_client_waiting(a), 2);
	again = 1;
	ck_assert_int_eq(audit_client_send(a, &m, send_again, mine), 0);
	pass(AUDIT_WAIT_MS);
	ck_assert_str_eq(calls, "+m+m-n-n-m");
	ck_assert_uint_eq(audit_client_waiting(a), 1);
}
END_TEST

/* More acknowledgements than records: audit is broken, and so are we. */
START_TEST(too_many)
{
	ck_assert_int_eq(deny("a"), 0);
	recorded(2);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("audit_client");
	TCase *t = tcase_create("all");
	SRunner *sr;
	int failed;

	log_init("audit_client_test", 1, 0);
	tcase_add_checked_fixture(t, set_up, tear_down);
	/* The limits are many records, on a busy machine. */
	tcase_set_timeout(t, 60);
	tcase_add_test(t, answers);
	tcase_add_test(t, refusal_wears_off);
	tcase_add_test(t, late);
	tcase_add_test(t, timer);
	tcase_add_test(t, forgotten);
	tcase_add_test(t, lasting);
	tcase_add_test(t, lasting_is_told);
	tcase_add_test(t, lasting_final);
	tcase_add_test(t, lasting_woken);
	tcase_add_test(t, lasting_late);
	tcase_add_test(t, lasting_late_waits);
	tcase_add_test(t, if_late);
	tcase_add_test(t, if_not_late);
	tcase_add_test(t, limits);
	tcase_add_test(t, dead_link);
	tcase_add_test(t, reentrant);
	tcase_add_exit_test(t, too_many, 70);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
