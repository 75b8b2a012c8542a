/* The relay between two socket pairs; what judges the bytes is a stand-in. */

#include <sys/socket.h>
#include <sys/types.h>

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "egressd/proxy_relay.c"

static struct proxy proxy;
static struct client client;
static struct proxy_listener listener;
static struct proxy_run run;
static enum egress_end ended;
static int64_t up, down;
static int inside, outside; /* the far ends */
static int more; /* pieces sent while judging */

/* --- what the file under test calls ----------------------------------- */

void
tunnel_end(struct client *c, enum egress_end end)
{
	ended = end;
	up = relay_bytes(c->relay, RELAY_UP);
	down = relay_bytes(c->relay, RELAY_DOWN);
	/* The sums of a run hold those of its tunnels at any time. */
	ck_assert_int_eq(run.bytes[RELAY_UP], up);
	ck_assert_int_eq(run.bytes[RELAY_DOWN], down);
	ck_assert(up + down == 0 || run.active_ms >= 0);
	relay_free(&c->relay);
}

/* All is good. While one piece is judged the next one arrives. */
ssize_t
tunnel_filter_up(struct client *c)
{
	if (more > 0) {
		more--;
		ck_assert_int_eq(send(inside, "+", 1, 0), 1);
	}
	c->fed = c->len;
	return (ssize_t)c->len;
}

void
tunnel_watch_down(struct client *c, const uint8_t *buf, size_t n)
{
}

void
proxy_timer(struct event *ev, int ms)
{
}

/* --- the world -------------------------------------------------------- */

static void
pair(int *near, int *far)
{
	int sv[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	ck_assert_int_eq(fcntl(sv[0], F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(fcntl(sv[1], F_SETFL, O_NONBLOCK), 0);
	*near = sv[0];
	*far = sv[1];
}

static void
setup(void)
{
	memset(&proxy, 0, sizeof(proxy));
	memset(&client, 0, sizeof(client));
	ended = END_none;
	up = down = 0;
	more = 0;
	proxy.base = event_base_new();
	ck_assert_ptr_nonnull(proxy.base);
	relay_pipes_init(4);
	memset(&run, 0, sizeof(run));
	run.active_ms = -1;
	listener.run = &run;
	client.listener = &listener;
	client.proxy = &proxy;
	client.state = CLIENT_RELAY;
	pair(&client.fd, &inside);
	pair(&client.upstream, &outside);
}

static void
teardown(void)
{
	relay_free(&client.relay);
	free(client.buf);
	event_base_free(proxy.base);
	close(client.fd);
	close(client.upstream);
	close(inside);
	close(outside);
}

static void
early(size_t len)
{
	client.buf = calloc(1, len);
	client.len = client.cap = len;
	ck_assert_ptr_nonnull(client.buf);
}

static void
start(bool judged)
{
	/* Never looked into here. */
	client.tls = judged ? (struct tls_client *)&proxy : NULL;
	client.relay = relay_new(&client);
	ck_assert_ptr_nonnull(client.relay);
	relay_start(client.relay);
}

static void
turns(int n)
{
	while (n-- > 0)
		event_base_loop(proxy.base, EVLOOP_NONBLOCK);
}

static void
say(int fd, size_t len)
{
	static char zeros[65536];

	ck_assert_int_eq(send(fd, zeros, len, 0), (ssize_t)len);
}

static size_t
heard(int fd)
{
	static char buf[1 << 17];
	size_t sum = 0;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
		sum += (size_t)n;
	return sum;
}

/* --- budgets ---------------------------------------------------------- */

static const struct {
	const char *name;
	bool judged;
	size_t early, later;
	int64_t budget, up;
	enum egress_end end;
} budgets[] = {
	{ "G6 below it", true, 0, 99, 100, 99, END_none },
	{ "G6 just it, judged", true, 0, 100, 100, 100, END_none },
	{ "G6 just it, not judged", false, 0, 100, 100, 100, END_none },
	{ "G6 a byte over it, judged", true, 0, 101, 100, 100, END_budget },
	{ "G6 a byte over it", false, 0, 101, 100, 100, END_budget },
	{ "G6 early bytes count", false, 60, 50, 100, 100, END_budget },
	{ "G6 early bytes count, judged", true, 60, 50, 100, 100, END_budget },
	{ "G6 early bytes alone", false, 100, 0, 100, 100, END_none },
	{ "G6 too many early bytes", false, 101, 0, 100, 0, END_budget },
	{ "G6 none", false, 60, 50, 0, 110, END_none },
};

START_TEST(budget)
{
	const char *name = budgets[_i].name;

	client.budget_up = budgets[_i].budget;
	if (budgets[_i].early > 0)
		early(budgets[_i].early);
	if (budgets[_i].later > 0)
		say(inside, budgets[_i].later);
	start(budgets[_i].judged);
	turns(4);
	if (client.relay != NULL)
		up = relay_bytes(client.relay, RELAY_UP);
	ck_assert_msg(ended == budgets[_i].end, "%s: ended %s", name,
	    ended == END_none ? "not" : egress_end_name(ended));
	ck_assert_msg(up == budgets[_i].up, "%s: up %lld", name, (long long)up);
	ck_assert_msg(heard(outside) == (size_t)budgets[_i].up,
	    "%s: the other side got something else", name);
}
END_TEST

/* --- turns ------------------------------------------------------------ */

/* What was read last in a turn is judged in the next one, unasked. */
START_TEST(pieces)
{
	early(1);
	more = _i;
	start(true);
	turns(8);
	ck_assert_int_eq(heard(outside), 1 + _i);
}
END_TEST

/* A half that waits for its source has no pipe. */
START_TEST(pipe_idle)
{
	client.budget_down = 2 * PROXY_CHUNK;
	say(outside, 2 * PROXY_CHUNK);
	start(false);
	relay_open_down(client.relay);
	turns(4);
	ck_assert_int_eq(heard(inside), 2 * PROXY_CHUNK);
	ck_assert_int_eq(ended, END_none);
	ck_assert_ptr_null(client.relay->half[RELAY_DOWN].pipe);
}
END_TEST

/* G7: what the other side does not take is held once. */
START_TEST(stalled)
{
	int size = 4096;

	ck_assert_int_eq(setsockopt(client.upstream, SOL_SOCKET, SO_SNDBUF,
	                     &size, sizeof(size)),
	    0);
	early(PROXY_HELLO_MAX + PROXY_CHUNK);
	start(true);
	turns(4);
	ck_assert_uint_gt(client.relay->half[RELAY_UP].rest_len, 0);
	ck_assert_ptr_null(client.buf);
	ck_assert_uint_eq(client.cap, 0);
}
END_TEST

/* --- ends ------------------------------------------------------------- */

START_TEST(half_close)
{
	say(inside, 10);
	shutdown(inside, SHUT_WR);
	start(false);
	relay_open_down(client.relay);
	turns(4);
	ck_assert_int_eq(ended, END_none);
	say(outside, 20);
	shutdown(outside, SHUT_WR);
	turns(4);
	ck_assert_int_eq(ended, END_done);
	ck_assert_int_eq(up, 10);
	ck_assert_int_eq(down, 20);
	ck_assert_int_eq(heard(outside), 10);
	ck_assert_int_eq(heard(inside), 20);
}
END_TEST

/* The client leaves before its hello is whole. */
START_TEST(no_hello)
{
	client.state = CLIENT_HELLO;
	client.budget_up = _i;
	say(inside, 10);
	shutdown(inside, SHUT_WR);
	start(true);
	turns(4);
	ck_assert_int_eq(ended, END_no_hello);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("proxy_relay");
	TCase *t = tcase_create("relay");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(
	    t, budget, 0, (int)(sizeof(budgets) / sizeof(budgets[0])));
	tcase_add_loop_test(t, pieces, 0, 20);
	tcase_add_test(t, pipe_idle);
	tcase_add_test(t, stalled);
	tcase_add_test(t, half_close);
	/* Without a budget, and with one that is used up just then. */
	tcase_add_test(t, no_hello);
	tcase_add_loop_test(t, no_hello, 10, 11);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
