/* mem: the heap, and arenas that die at once.
 *
 * Our own small sizes may not fail: mem_alloc aborts. A size that a stranger chose may: mem_try returns NULL, and the
 * caller must look. Everything is freed with free(). */
#ifndef NODE_BASE_MEM_H
#define NODE_BASE_MEM_H

#include <stddef.h>
#include <stdlib.h>

#include "node/base/span.h"

__attribute__((malloc, returns_nonnull, alloc_size(1))) void *mem_alloc(size_t n);
/* As mem_alloc, all bytes zero. */
__attribute__((malloc, returns_nonnull, alloc_size(1))) void *mem_zalloc(size_t n);
__attribute__((returns_nonnull, alloc_size(2))) void *mem_realloc(void *p, size_t n);
__attribute__((malloc, warn_unused_result, alloc_size(1))) void *mem_try(size_t n);

/* A zeroed struct of this type. */
#define NEW(type) ((type *)mem_zalloc(sizeof(type)))

/* arena: memory of one request. Cheap to take from, given back all together.
 *
 * Embedded in its owner and used by one thread. Under the address sanitizer every piece is a malloc of its own, so
 * that overruns show. */
struct arena_block;

struct arena {
	struct arena_block *blocks;
	char *at;
	size_t left;
};

/* A zeroed struct is an empty arena. */
void *arena_alloc(struct arena *, size_t n); /* aligned for any type; aborts when there is no memory */
void *arena_zalloc(struct arena *, size_t n);
struct span arena_copy(struct arena *, struct span); /* the copy is followed by a NUL that is not counted */
void arena_free(struct arena *);                     /* frees all; the arena is empty and usable again */

#endif
