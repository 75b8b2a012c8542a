#include <sys/stat.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int synced(int fd);

/* Nothing but a power cut would show whether it was called. */
#define fd_sync synced
#include "libcommon/audit_file.c"
#undef fd_sync

static char dir[] = "/tmp/audit_file_test.XXXXXX";
static char path[64];
static ino_t synced_ino; /* of the last that was synced */
static bool had_file; /* was the record file there by then? */
static int sync_errno;

static int
synced(int fd)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	synced_ino = st.st_ino;
	had_file = access(path, F_OK) == 0;
	errno = sync_errno;
	return sync_errno == 0 ? 0 : -1;
}

static void
set_up(void)
{
	synced_ino = 0;
	had_file = false;
	sync_errno = 0;
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/records", dir);
}

static void
tear_down(void)
{
	(void)unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
}

static ino_t
inode(const char *name)
{
	struct stat st;

	ck_assert_int_eq(stat(name, &st), 0);
	return st.st_ino;
}

static const struct {
	const char *name;
	bool exists;
	bool relative;
	int error; /* of the sync */
	int want;
} rows[] = {
	{ "new", false, false, 0, 0 },
	{ "there before", true, false, 0, 0 },
	{ "no directory in the path", false, true, 0, 0 },
	{ "not known to the file system", false, false, EINVAL, 0 },
	{ "failed", false, false, EIO, EIO },
};

START_TEST(test_name_is_synced)
{
	int fd, made;

	if (rows[_i].exists) {
		ck_assert_int_ne(made = open(path, O_CREAT | O_RDWR, 0600), -1);
		(void)close(made);
	}
	ck_assert_int_eq(chdir(dir), 0);
	sync_errno = rows[_i].error;
	fd = audit_open(
	    rows[_i].relative ? "records" : path, getuid(), getgid());
	ck_assert_msg((fd == -1 ? errno : 0) == rows[_i].want, "%s: %s",
	    rows[_i].name, strerror(errno));
	ck_assert_msg(synced_ino == inode(dir), "%s", rows[_i].name);
	ck_assert_msg(had_file, "%s: before it was there", rows[_i].name);
	if (fd != -1)
		(void)close(fd);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("audit_file");
	TCase *t = tcase_create("all");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(
	    t, test_name_is_synced, 0, sizeof(rows) / sizeof(rows[0]));
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
