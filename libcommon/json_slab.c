/* Memory for yajl: see json_slab.h. */

#include <setjmp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/json_slab.h"

/* A block begins on a multiple of this; its size stands in front of it. */
#define SLAB_ALIGN 16

_Static_assert(sizeof(size_t) <= SLAB_ALIGN, "a block's size fits its head");

void
json_slab_init(struct json_slab *s, size_t max)
{
	s->mem = malloc(max);
	s->max = max;
	s->used = 0;
	s->high = 0;
	s->last = 0;
}

void
json_slab_done(struct json_slab *s)
{
	if (s->mem != NULL)
		freezero(s->mem, s->high);
	s->mem = NULL;
}

void *
json_slab_malloc(void *slab, size_t size)
{
	struct json_slab *s = slab;
	size_t left, need;

	left = s->max - s->used;
	if (size > left)
		longjmp(s->exhausted, 1);
	need = SLAB_ALIGN + (size + SLAB_ALIGN - 1) / SLAB_ALIGN * SLAB_ALIGN;
	if (need > left)
		longjmp(s->exhausted, 1);
	s->last = s->used;
	s->used += need;
	if (s->used > s->high)
		s->high = s->used;
	memcpy(s->mem + s->last, &size, sizeof(size));
	return s->mem + s->last + SLAB_ALIGN;
}

/*
 * The last block grows in place, and at most one of yajl's buffers grows at a
 * time: doubling them costs no more than their final size.
 */
void *
json_slab_realloc(void *slab, void *ptr, size_t size)
{
	struct json_slab *s = slab;
	size_t old;
	void *new;

	if (ptr == NULL)
		return json_slab_malloc(s, size);
	memcpy(&old, (char *)ptr - SLAB_ALIGN, sizeof(old));
	if (size <= old)
		return ptr;
	if ((char *)ptr == s->mem + s->last + SLAB_ALIGN) {
		s->used = s->last;
		return json_slab_malloc(s, size);
	}
	new = json_slab_malloc(s, size);
	memcpy(new, ptr, old);
	return new;
}

void
json_slab_free(void *slab, void *ptr)
{
	/* It goes with all the others. */
}
