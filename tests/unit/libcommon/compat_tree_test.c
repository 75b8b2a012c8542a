/*
 * compat/'s tree, against a table: whatever is put in and taken out, it has
 * what it should have, in order, and keeps its two promises: order by key, and
 * nobody's rank above its parent's.
 */

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* This one, not libbsd's. */
#include "libcommon/compat/include/sys/tree.h"

#include "libcommon/compat/tree.c"

#define KEYS 512
#define TURNS 20000
#define DEPTH_MAX 64 /* of KEYS nodes: about 20 are to be expected */

struct item {
	int before; /* so that the node is not at the start */
	RB_ENTRY(item) entry;
	int key;
};

RB_HEAD(items, item);
RB_PROTOTYPE(items, item, entry, by_key)

static int
by_key(struct item *a, struct item *b)
{
	return (a->key > b->key) - (a->key < b->key);
}

RB_GENERATE(items, item, entry, by_key)

static struct items head = RB_INITIALIZER(&head);
static struct item item[KEYS];
static bool in[KEYS];

static void
empty(void)
{
	RB_INIT(&head);
	memset(in, 0, sizeof(in));
}

static void
check_node(const struct compat_node *n, const struct compat_node *child)
{
	if (child == NULL)
		return;
	ck_assert_ptr_eq(child->parent, n);
	ck_assert_uint_le(child->rank, n->rank);
}

static size_t
depth_of(const struct compat_node *n)
{
	size_t depth = 0;

	for (; n != NULL; n = n->parent)
		depth++;
	return depth;
}

/* Returns the depth. */
static size_t
check_tree(void)
{
	struct item *e = RB_MIN(items, &head);
	size_t d, deepest = 0;
	int i;

	if (head.root != NULL)
		ck_assert_ptr_null(head.root->parent);
	for (i = 0; i < KEYS; i++) {
		struct item key = { .key = i };

		ck_assert_ptr_eq(
		    RB_FIND(items, &head, &key), in[i] ? &item[i] : NULL);
		if (!in[i])
			continue;
		ck_assert_ptr_eq(e, &item[i]);
		check_node(&e->entry, e->entry.left);
		check_node(&e->entry, e->entry.right);
		d = depth_of(&e->entry);
		if (d > deepest)
			deepest = d;
		e = RB_NEXT(items, &head, e);
	}
	ck_assert_ptr_null(e);
	return deepest;
}

static void
put(int key)
{
	struct item twin = { .key = key };

	item[key].key = key;
	ck_assert_ptr_null(RB_INSERT(items, &head, &item[key]));
	in[key] = true;
	/* A second of the same key is told, and changes nothing. */
	ck_assert_ptr_eq(RB_INSERT(items, &head, &twin), &item[key]);
}

static void
take(int key)
{
	ck_assert_ptr_eq(RB_REMOVE(items, &head, &item[key]), &item[key]);
	in[key] = false;
}

START_TEST(test_at_random)
{
	int i, key;

	for (i = 0; i < TURNS; i++) {
		key = (int)arc4random_uniform(KEYS);
		if (in[key])
			take(key);
		else
			put(key);
		if (i % 97 == 0)
			check_tree();
	}
	check_tree();
}
END_TEST

/* The order that makes a list of a tree without balance. */
START_TEST(test_sorted_is_no_list)
{
	int i;

	for (i = 0; i < KEYS; i++)
		put(i);
	ck_assert_uint_le(check_tree(), DEPTH_MAX);
	for (i = 0; i < KEYS; i += 2)
		take(i);
	ck_assert_uint_le(check_tree(), DEPTH_MAX);
	for (i = KEYS - 1; i > 0; i -= 2)
		take(i);
	ck_assert(RB_EMPTY(&head));
	check_tree();
}
END_TEST

START_TEST(test_loops)
{
	struct item *e, *next;
	int n = 0;

	RB_FOREACH(e, items, &head)
		n++;
	ck_assert_int_eq(n, 0);
	for (n = KEYS - 1; n >= 0; n--)
		put(n);
	RB_FOREACH(e, items, &head)
		ck_assert_int_eq(e->key, ++n);
	ck_assert_int_eq(n, KEYS - 1);
	/* Each may be taken out, and made something else, in its turn. */
	RB_FOREACH_SAFE(e, items, &head, next)
	{
		take(e->key);
		e->entry.left = e->entry.right = e->entry.parent = NULL;
	}
	ck_assert(RB_EMPTY(&head));
	put(3);
	RB_INIT(&head);
	ck_assert(RB_EMPTY(&head));
	ck_assert_ptr_null(RB_MIN(items, &head));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("compat_tree");
	TCase *t = tcase_create("compat_tree");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, empty, NULL);
	tcase_add_test(t, test_at_random);
	tcase_add_test(t, test_sorted_is_no_list);
	tcase_add_test(t, test_loops);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
