/* The start of a tunnel, with the relay and the records counted only. */

#include <sys/socket.h>
#include <sys/types.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "egressd/proxy_tunnel.c"

static struct proxy proxy;
static struct proxy_listener listener;
static struct client client;
static enum egress_end ended;
static int started, freed, sv[2];

/* --- what the file under test calls ----------------------------------- */

void
client_set_state(struct client *c, enum client_state state)
{
	c->state = state;
}

void
client_free(struct client *c)
{
	freed++;
}

void
client_linger(struct client *c, const void *answer, size_t len)
{
	freed++;
}

void
record_close(struct client *c, enum egress_end end, int64_t up, int64_t down)
{
	ended = end;
}

void
dial_socket_options(int fd)
{
}

void
proxy_timer(struct event *ev, int ms)
{
}

struct relay *
relay_new(struct client *c)
{
	return calloc(1, 1);
}

void
relay_start(struct relay *r)
{
	started++;
}

void
relay_open_down(struct relay *r)
{
}

int
relay_timeout(struct relay *r)
{
	return 0;
}

void
relay_free(struct relay **r)
{
	free(*r);
	*r = NULL;
}

int64_t
relay_bytes(const struct relay *r, enum relay_side side)
{
	return 0;
}

/* --- the world -------------------------------------------------------- */

/* A policy of one rule. */
static struct policy *
policy(int64_t generation, const char *host)
{
	struct policy *p = policy_new(generation);
	struct msg_rule_row row;

	memset(&row, 0, sizeof(row));
	row.profile = "dev";
	row.host = host;
	row.port = 443;
	ck_assert_ptr_nonnull(p);
	ck_assert_int_eq(policy_add(p, &row), 0);
	return p;
}

static void
setup(void)
{
	memset(&proxy, 0, sizeof(proxy));
	memset(&listener, 0, sizeof(listener));
	memset(&client, 0, sizeof(client));
	ended = END_none;
	started = freed = 0;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	strlcpy(listener.profile, "dev", sizeof(listener.profile));
	client.proxy = &proxy;
	client.listener = &listener;
	client.fd = sv[0];
	client.upstream = -1;
	client.state = CLIENT_RECORD;
	client.generation = 1;
	ck_assert_int_eq(dest_parse("good.test:443", 13, 0, &client.dest), 0);
	ck_assert_int_eq(
	    netaddr_parse("93.184.216.34", 13, &client.peer_addr), 0);
}

static void
teardown(void)
{
	policy_free(&proxy.policy);
	tls_client_free(&client.tls);
	relay_free(&client.relay);
	close(sv[0]);
	close(sv[1]);
}

static const struct {
	const char *name;
	int64_t generation; /* in force when the record is there */
	const char *host;
	bool closed;
	bool opens;
} starts[] = {
	{ "the policy that let it pass", 1, "good.test", false, true },
	{ "F5 a reload that keeps its rule", 2, "good.test", false, true },
	{ "F5 a reload that takes its rule away", 2, "other.test", false,
	    false },
	{ "F5 its listener went, in the same generation", 1, "good.test", true,
	    false },
};

START_TEST(start)
{
	char buf[128];
	ssize_t n;

	proxy.policy = policy(starts[_i].generation, starts[_i].host);
	listener.closed = starts[_i].closed;
	tunnel_start(&client);
	n = recv(sv[1], buf, sizeof(buf), MSG_DONTWAIT);
	if (starts[_i].opens) {
		ck_assert_msg(n == sizeof(established) - 1 &&
		        memcmp(buf, established, (size_t)n) == 0 &&
		        started == 1 && freed == 0,
		    "%s: not opened", starts[_i].name);
		ck_assert_int_eq(client.generation, starts[_i].generation);
	} else
		ck_assert_msg(n == -1 && started == 0 && freed == 1 &&
		        ended == END_revoked,
		    "%s: opened", starts[_i].name);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("proxy_tunnel");
	TCase *t = tcase_create("start");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(
	    t, start, 0, (int)(sizeof(starts) / sizeof(starts[0])));
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
