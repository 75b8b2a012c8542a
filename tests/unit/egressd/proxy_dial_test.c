/* Which addresses are this machine's own. */

#include <sys/resource.h>
#include <sys/types.h>

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "egressd/proxy_dial.c"

void
client_dialled(
    struct client *c, enum egress_code code, int fd, const struct netaddr *a)
{
}

void
proxy_timer(struct event *ev, int ms)
{
}

static const struct {
	const char *name, *address;
	bool exhausted; /* no descriptor is left */
	int want;
} selves[] = {
	{ "B8 loopback", "127.0.0.1", false, 1 },
	{ "B8 somebody else", "93.184.216.34", false, 0 },
	{ "G3 nobody can tell", "93.184.216.34", true, -1 },
};

START_TEST(is_self)
{
	struct rlimit rl, none;
	struct netaddr a;
	int got;

	ck_assert_int_eq(
	    netaddr_parse(selves[_i].address, strlen(selves[_i].address), &a),
	    0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &rl), 0);
	none = rl;
	if (selves[_i].exhausted)
		none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	got = dial_is_self(&a);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &rl), 0);
	ck_assert_msg(got == selves[_i].want, "%s: %d", selves[_i].name, got);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("proxy_dial");
	TCase *t = tcase_create("self");
	SRunner *r;
	int failed;

	tcase_add_loop_test(
	    t, is_self, 0, (int)(sizeof(selves) / sizeof(selves[0])));
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
