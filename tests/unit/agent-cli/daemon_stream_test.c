/* A link that does not come back. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "agent-cli/daemon_stream.c"

static char complaint[512], dir[64];
static int lost_calls;

void
complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(complaint, sizeof(complaint), fmt, ap);
	va_end(ap);
}

char *
visible(const void *text, size_t len)
{
	return strndup(text, len);
}

void
output_line(struct output *o, int fd, const char *fmt, ...)
{
}

int
daemon_open(struct daemon_link *l, const char *run_dir, const char *name,
    int64_t timeout_ms)
{
	memset(l, 0, sizeof(*l));
	return 0;
}

int
daemon_complain(const struct daemon_link *l, int r)
{
	return r;
}

void
daemon_close(struct daemon_link *l)
{
}

static void
fill(struct request *r, struct msg *m)
{
	m->type = MSG_TYPE_wait;
	m->u.wait.run = "abcdefghij27";
}

static void
count(struct request *r)
{
	lost_calls++;
}

START_TEST(gives_up)
{
	static const struct request_ops rops = { .fill = fill, .lost = count };
	struct cli cli = { .run_dir = dir };
	struct request r;
	struct link l;
	char path[96];
	int64_t began = clock_boot_ms();
	int fd, s;

	(void)strlcpy(dir, "/tmp/daemon_stream.XXXXXX", sizeof(dir));
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/dispatchd.sock", dir);
	ck_assert_int_ne(fd = fd_listen_unix(path, 5), -1);
	lost_max_ms = 700;
	ck_assert_int_eq(link_open(&l, &cli), 0);
	request_init(&r, &l, &rops);
	request_ask(&r);
	ck_assert_int_ne(s = accept(fd, NULL, NULL), -1);
	(void)close(s);
	(void)close(fd);
	ck_assert_int_eq(link_loop(&l), EXIT_UNREACHABLE);
	ck_assert_int_ge(clock_boot_ms() - began, 700);
	ck_assert_str_eq(
	    complaint, "dispatchd cannot be reached: Connection refused");
	ck_assert_int_eq(lost_calls, 1);
	link_close(&l);
	(void)unlink(path);
	(void)rmdir(dir);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("daemon_stream");
	TCase *t = tcase_create("all");
	SRunner *sr;
	int failed;

	tcase_add_test(t, gives_up);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
