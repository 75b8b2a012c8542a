/* What happens to a message that cannot be sent to a sibling. */

#include <sys/socket.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "libcommon/log.h"
#include "libcommon/proc.h"
#include "libcommon/sibling.h"

#define LONG 600 /* more than the reason of an error may have */

static struct event_base *base;
static struct peer *peer; /* we are the queue, it is the frontend */
static int other;

static const struct peer_ops ops = { .gone = sibling_gone };

static void
setup(void)
{
	int sv[2];

	base = event_base_new();
	ck_assert_ptr_nonnull(base);
	ck_assert_int_eq(proc_socketpair(sv), 0);
	other = sv[1];
	peer = sibling_link(base, sv[0], SIDE_QUEUE, SIDE_FRONTEND, "queue",
	    "frontend", &ops, NULL);
}

static void
turn(void)
{
	ck_assert_int_ne(
	    event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE), -1);
}

/* An answer, or an event, that has no encoding. */
static struct msg
unfit(enum msg_type type)
{
	static char text[LONG + 1];
	struct msg m = { .type = type, .id = 7 };

	memset(text, 'x', LONG);
	if (type == MSG_TYPE_stop_answer)
		m.u.stop_answer.state = text;
	else {
		m.id = 0;
		m.u.run_event.run = m.u.run_event.state = text;
	}
	return m;
}

/* Whoever asked hears of it, and the daemon goes on. */
START_TEST(answer)
{
	struct msg m = unfit(MSG_TYPE_stop_answer);
	char buf[4096];
	ssize_t n;

	sibling_send(peer, &m);
	turn();
	n = recv(other, buf, sizeof(buf) - 1, 0);
	ck_assert_int_gt(n, 8);
	buf[n] = '\0';
	ck_assert_ptr_nonnull(strstr(buf + 8, "\"internal\""));
	ck_assert_ptr_nonnull(strstr(buf + 8, "\"id\":7"));
	m.u.stop_answer.state = "DONE";
	sibling_send(peer, &m);
	turn();
	ck_assert_int_gt(recv(other, buf, sizeof(buf), 0), 8);
}
END_TEST

/* Anything else is a bug that nobody else can be told of. */
START_TEST(no_answer)
{
	struct msg m = unfit(MSG_TYPE_run_event);

	sibling_send(peer, &m);
}
END_TEST

/* It left, in whatever turn that is seen: we leave, and it is no failure. */
START_TEST(it_left)
{
	struct msg m = { .type = MSG_TYPE_stop_answer, .id = 7 };
	int i;

	m.u.stop_answer.state = "DONE";
	(void)close(other);
	for (i = 0; i < 100; i++) {
		sibling_send(peer, &m);
		if (_i == 1)
			peer_flush(peer);
		else
			turn();
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("sibling");
	TCase *tc = tcase_create("sibling");
	SRunner *sr;
	int failed;

	log_init("sibling_test", 1, 0);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, answer);
	tcase_add_exit_test(tc, no_answer, EXIT_INTERNAL);
	tcase_add_loop_exit_test(tc, it_left, 0, 0, 2);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
