/* How many records of refusals a user may cause. */

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/excess.h"

static struct excess e;

static void
begin(void)
{
	memset(&e, 0, sizeof(e));
	e.ms = EXCESS_MS;
}

static void
use_up(uint32_t uid, int64_t now)
{
	int i;

	for (i = 0; i < EXCESS_RECORDS_MAX; i++)
		ck_assert(excess_permits(&e, uid, now));
	ck_assert(!excess_permits(&e, uid, now));
}

/* He has his records, what is beyond is told once, and he begins anew. */
START_TEST(test_user)
{
	int64_t beyond;
	uint32_t uid;

	use_up(1000, 1);
	ck_assert(!excess_permits(&e, 1000, EXCESS_MS));
	ck_assert(excess_permits(&e, 0, 2));
	ck_assert(!excess_over(&e, EXCESS_MS, &uid, &beyond));
	/* Late, but not told yet: it is counted to what is. */
	ck_assert(!excess_permits(&e, 1000, EXCESS_MS + 1));
	ck_assert(excess_over(&e, EXCESS_MS + 1, &uid, &beyond));
	ck_assert_uint_eq(uid, 1000);
	ck_assert_int_eq(beyond, 3);
	ck_assert(!excess_over(&e, EXCESS_MS + 1, &uid, &beyond));
	use_up(1000, EXCESS_MS + 2);
}
END_TEST

/* Who keeps within has nothing told of him, and his whole share again. */
START_TEST(test_within)
{
	int64_t beyond;
	uint32_t uid;
	int i;

	for (i = 0; i < EXCESS_RECORDS_MAX; i++)
		ck_assert(excess_permits(&e, 7, 1));
	ck_assert(!excess_over(&e, 10 * EXCESS_MS, &uid, &beyond));
	use_up(7, 1 + EXCESS_MS);
}
END_TEST

/* More users than places share one, and a place is had again. */
START_TEST(test_users)
{
	int64_t beyond;
	uint32_t uid;
	int i;

	for (i = 0; i < EXCESS_USERS_MAX; i++)
		use_up((uint32_t)i, 1);
	for (i = 0; i < EXCESS_RECORDS_MAX; i++)
		ck_assert(excess_permits(&e, (uint32_t)(5000 + i), 1));
	ck_assert(!excess_permits(&e, 6000, 1));
	ck_assert(!excess_permits(&e, 6001, 1));
	for (i = 0; i < EXCESS_USERS_MAX; i++) {
		ck_assert(excess_over(&e, 1 + EXCESS_MS, &uid, &beyond));
		ck_assert_uint_eq(uid, (uint32_t)i);
		ck_assert_int_eq(beyond, 1);
	}
	ck_assert(excess_over(&e, 1 + EXCESS_MS, &uid, &beyond));
	ck_assert_uint_eq(uid, EXCESS_OTHERS);
	ck_assert_int_eq(beyond, 2);
	ck_assert(!excess_over(&e, 1 + EXCESS_MS, &uid, &beyond));
	use_up(6000, 2 + EXCESS_MS);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("excess");
	TCase *tc = tcase_create("excess");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, begin, NULL);
	tcase_add_test(tc, test_user);
	tcase_add_test(tc, test_within);
	tcase_add_test(tc, test_users);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
