#ifndef LIBCOMMON_JSON_SLAB_H
#define LIBCOMMON_JSON_SLAB_H

/*
 * Private to json.c: the memory of one yajl parser, of a size fixed when the
 * parse begins. yajl does not look at what its allocator returns; so this one
 * never returns NULL but jumps to exhausted, which the caller has set.
 */

#include <setjmp.h>
#include <stddef.h>

struct json_slab {
	char *mem; /* NULL: out of memory */
	size_t max;
	size_t used;
	size_t high; /* the most that was ever used */
	size_t last; /* where the last block begins */
	jmp_buf exhausted;
};

void json_slab_init(struct json_slab *s, size_t max);
/* Zero and release all of it at once. */
void json_slab_done(struct json_slab *s);

/* As yajl_alloc_funcs has them; slab is the struct json_slab. */
void *json_slab_malloc(void *slab, size_t size);
void *json_slab_realloc(void *slab, void *ptr, size_t size);
void json_slab_free(void *slab, void *ptr);

#endif
