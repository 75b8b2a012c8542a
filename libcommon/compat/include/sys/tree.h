#ifndef COMPAT_SYS_TREE_H
#define COMPAT_SYS_TREE_H

/*
 * Those names of the BSDs' <sys/tree.h> that we use, for a system that has it
 * not. Behind them is a treap (../../tree.c) instead of a red-black tree: a
 * search tree by key that is a heap by a random number of each node, and so
 * as deep as a tree of keys that came in random order, whatever their order
 * was. RB_ROOT is not among the names: the head knows no type.
 */

#include <stddef.h>
#include <stdint.h>

struct compat_node {
	struct compat_node *parent, *left, *right;
	uint32_t rank; /* no node's is above its parent's */
};

/* Where a node goes, as the search for it has found. */
struct compat_place {
	struct compat_node *parent, **at;
};

void compat_tree_insert(struct compat_node **root,
    const struct compat_place *place, struct compat_node *n);
void compat_tree_remove(struct compat_node **root, struct compat_node *n);
/* The first and the next in order; NULL when there is none. */
struct compat_node *compat_tree_min(struct compat_node *root);
struct compat_node *compat_tree_next(struct compat_node *n);

#define RB_HEAD(name, type)               \
	struct name {                     \
		struct compat_node *root; \
	}
#define RB_ENTRY(type) struct compat_node
#define RB_INITIALIZER(head) \
	{                    \
		NULL         \
	}
#define RB_INIT(head) ((void)((head)->root = NULL))

#define RB_PROTOTYPE(name, type, field, cmp)                                  \
	struct type *name##_compat_insert(struct name *head, struct type *e); \
	struct type *name##_compat_find(struct name *head, struct type *key); \
	struct type *name##_compat_remove(struct name *head, struct type *e); \
	struct type *name##_compat_min(struct name *head);                    \
	struct type *name##_compat_next(struct type *e);

#define RB_GENERATE(name, type, field, cmp)                                  \
	static struct type *name##_compat_of(struct compat_node *n)          \
	{                                                                    \
		if (n == NULL)                                               \
			return NULL;                                         \
		return (struct type *)(void *)((char *)n -                   \
		    offsetof(struct type, field));                           \
	}                                                                    \
	struct type *name##_compat_insert(struct name *head, struct type *e) \
	{                                                                    \
		struct compat_place place = { NULL, &head->root };           \
		int c;                                                       \
                                                                             \
		while (*place.at != NULL) {                                  \
			place.parent = *place.at;                            \
			c = cmp(e, name##_compat_of(place.parent));          \
			if (c == 0)                                          \
				return name##_compat_of(place.parent);       \
			place.at = c < 0 ? &place.parent->left               \
			                 : &place.parent->right;             \
		}                                                            \
		compat_tree_insert(&head->root, &place, &e->field);          \
		return NULL;                                                 \
	}                                                                    \
	struct type *name##_compat_find(struct name *head, struct type *key) \
	{                                                                    \
		struct compat_node *n = head->root;                          \
		int c;                                                       \
                                                                             \
		while (n != NULL) {                                          \
			c = cmp(key, name##_compat_of(n));                   \
			if (c == 0)                                          \
				break;                                       \
			n = c < 0 ? n->left : n->right;                      \
		}                                                            \
		return name##_compat_of(n);                                  \
	}                                                                    \
	struct type *name##_compat_remove(struct name *head, struct type *e) \
	{                                                                    \
		compat_tree_remove(&head->root, &e->field);                  \
		return e;                                                    \
	}                                                                    \
	struct type *name##_compat_min(struct name *head)                    \
	{                                                                    \
		return name##_compat_of(compat_tree_min(head->root));        \
	}                                                                    \
	struct type *name##_compat_next(struct type *e)                      \
	{                                                                    \
		return name##_compat_of(compat_tree_next(&e->field));        \
	}

/* NULL, or what is there already under that key. */
#define RB_INSERT(name, head, e) name##_compat_insert(head, e)
#define RB_FIND(name, head, key) name##_compat_find(head, key)
#define RB_REMOVE(name, head, e) name##_compat_remove(head, e)
#define RB_MIN(name, head) name##_compat_min(head)
#define RB_NEXT(name, head, e) name##_compat_next(e)
#define RB_EMPTY(head) ((head)->root == NULL)

#define RB_FOREACH(var, name, head)                     \
	for ((var) = RB_MIN(name, head); (var) != NULL; \
	     (var) = RB_NEXT(name, head, var))
#define RB_FOREACH_SAFE(var, name, head, next)                             \
	for ((var) = RB_MIN(name, head);                                   \
	     (var) != NULL && ((next) = RB_NEXT(name, head, var), 1) != 0; \
	     (var) = (next))

#endif
