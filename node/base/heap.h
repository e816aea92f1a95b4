/* heap: the smallest of many, intrusive.
 *
 * A binary heap of pointers to nodes that are embedded in their owners. The order is given once. Not thread-safe: its
 * owner has the lock or the loop. */
#ifndef NODE_BASE_HEAP_H
#define NODE_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
	uint32_t at; /* 1-based place in the heap; 0: in none */
};

typedef bool heap_less_f(const struct heap_node *, const struct heap_node *);

struct heap {
	heap_less_f *less;
	struct heap_node **v;
	size_t n, room;
};

void heap_init(struct heap *, heap_less_f *);
void heap_fini(struct heap *); /* forgets the nodes; they belong to their owners */

static inline struct heap_node *heap_min(const struct heap *h)
{
	return h->n ? h->v[1] : NULL;
}

static inline bool heap_has(const struct heap_node *node)
{
	return node->at != 0;
}

void heap_insert(struct heap *, struct heap_node *);
void heap_remove(struct heap *, struct heap_node *);
void heap_moved(struct heap *, struct heap_node *); /* its order has changed */

#endif
