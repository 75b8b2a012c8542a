/* The treap behind include/sys/tree.h. */

#include <stdlib.h>

/* By its path, so that a system with a <sys/tree.h> can test this one. */
#include "libcommon/compat/include/sys/tree.h"

/* What points to n. */
static struct compat_node **
link_to(struct compat_node **root, struct compat_node *n)
{
	if (n->parent == NULL)
		return root;
	return n->parent->left == n ? &n->parent->left : &n->parent->right;
}

/* Put n in the place of its parent, which becomes its child. */
static void
rotate_up(struct compat_node **root, struct compat_node *n)
{
	struct compat_node *p = n->parent, *moved;

	*link_to(root, p) = n;
	n->parent = p->parent;
	if (p->left == n) {
		moved = p->left = n->right;
		n->right = p;
	} else {
		moved = p->right = n->left;
		n->left = p;
	}
	p->parent = n;
	if (moved != NULL)
		moved->parent = p;
}

/* Nobody outside can foresee a rank, so no order of keys makes a list of us. */
void
compat_tree_insert(struct compat_node **root, const struct compat_place *place,
    struct compat_node *n)
{
	n->left = n->right = NULL;
	n->parent = place->parent;
	n->rank = arc4random();
	*place->at = n;
	while (n->parent != NULL && n->rank > n->parent->rank)
		rotate_up(root, n);
}

/* Down, below the child that ranks higher, until one place is left for it. */
void
compat_tree_remove(struct compat_node **root, struct compat_node *n)
{
	struct compat_node *child;

	while (n->left != NULL && n->right != NULL)
		rotate_up(
		    root, n->left->rank > n->right->rank ? n->left : n->right);
	child = n->left != NULL ? n->left : n->right;
	*link_to(root, n) = child;
	if (child != NULL)
		child->parent = n->parent;
}

struct compat_node *
compat_tree_min(struct compat_node *root)
{
	struct compat_node *n = root;

	while (n != NULL && n->left != NULL)
		n = n->left;
	return n;
}

struct compat_node *
compat_tree_next(struct compat_node *n)
{
	if (n->right != NULL)
		return compat_tree_min(n->right);
	while (n->parent != NULL && n->parent->right == n)
		n = n->parent;
	return n->parent;
}
