#include "node/base/heap.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"

void heap_init(struct heap *h, heap_less_f *less)
{
	*h = (struct heap){.less = less};
}

void heap_fini(struct heap *h)
{
	free(h->v);
	*h = (struct heap){.less = h->less};
}

static void put(struct heap *h, size_t at, struct heap_node *node)
{
	h->v[at] = node;
	node->at = (uint32_t)at;
}

static void sift_up(struct heap *h, size_t at, struct heap_node *node)
{
	while (at > 1 && h->less(node, h->v[at / 2])) {
		put(h, at, h->v[at / 2]);
		at /= 2;
	}
	put(h, at, node);
}

static void sift_down(struct heap *h, size_t at, struct heap_node *node)
{
	for (;;) {
		size_t child = 2 * at;

		if (child > h->n)
			break;
		if (child < h->n && h->less(h->v[child + 1], h->v[child]))
			child++;
		if (!h->less(h->v[child], node))
			break;
		put(h, at, h->v[child]);
		at = child;
	}
	put(h, at, node);
}

void heap_insert(struct heap *h, struct heap_node *node)
{
	CHECK_THAT(!heap_has(node) && h->n < UINT32_MAX);
	if (h->n + 1 >= h->room) {
		h->room = h->room ? 2 * h->room : 16;
		h->v = mem_realloc(h->v, h->room * sizeof(struct heap_node *));
	}
	h->n++;
	sift_up(h, h->n, node);
}

void heap_moved(struct heap *h, struct heap_node *node)
{
	CHECK_THAT(heap_has(node) && h->v[node->at] == node);
	if (node->at > 1 && h->less(node, h->v[node->at / 2]))
		sift_up(h, node->at, node);
	else
		sift_down(h, node->at, node);
}

void heap_remove(struct heap *h, struct heap_node *node)
{
	struct heap_node *last;
	size_t at = node->at;

	CHECK_THAT(at && h->v[at] == node);
	last = h->v[h->n--];
	node->at = 0;
	if (last == node)
		return;
	put(h, at, last);
	heap_moved(h, last);
}
