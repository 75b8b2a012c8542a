/* What libbsd or the C library has elsewhere; see include/ beside this. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * A call through a volatile pointer is one that the compiler cannot see to be
 * of no effect.
 */
static void *(*const volatile wipe)(void *, int, size_t) = memset;

void
explicit_bzero(void *p, size_t len)
{
	(void)wipe(p, 0, len);
}

void
freezero(void *p, size_t len)
{
	if (p == NULL)
		return;
	explicit_bzero(p, len);
	free(p);
}

static int
product(size_t n, size_t size, size_t *all)
{
	if (size != 0 && n > SIZE_MAX / size) {
		errno = ENOMEM;
		return -1;
	}
	*all = n * size;
	return 0;
}

void *
reallocarray(void *p, size_t n, size_t size)
{
	size_t all;

	return product(n, size, &all) == -1 ? NULL : realloc(p, all);
}

/*
 * The new room is zero, and what was left behind is wiped: hence always a
 * fresh place, where realloc might leave a copy of what it moved.
 */
void *
recallocarray(void *p, size_t had, size_t n, size_t size)
{
	size_t all, old;
	void *q;

	if (p == NULL)
		return calloc(n, size);
	if (product(n, size, &all) == -1)
		return NULL;
	if (product(had, size, &old) == -1) {
		errno = EINVAL;
		return NULL;
	}
	/* malloc(0) may give NULL, which would look like a failure. */
	if ((q = calloc(1, all == 0 ? 1 : all)) == NULL)
		return NULL;
	memcpy(q, p, old < all ? old : all);
	freezero(p, old);
	return q;
}
