#include "node/base/map.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"

static struct map_node **bucket(const struct map *m, uint64_t hash)
{
	return &m->buckets[hash & (m->room - 1)];
}

static void grow(struct map *m)
{
	struct map bigger = {.room = m->room ? 2 * m->room : 16};

	bigger.buckets = mem_zalloc(bigger.room * sizeof(struct map_node *));
	for (size_t i = 0; i < m->room; i++) {
		struct map_node *node, *next;

		for (node = m->buckets[i]; node; node = next) {
			struct map_node **b = bucket(&bigger, node->hash);

			next = node->next;
			node->next = *b;
			*b = node;
		}
	}
	bigger.n = m->n;
	free(m->buckets);
	*m = bigger;
}

void map_fini(struct map *m)
{
	free(m->buckets);
	*m = (struct map){0};
}

struct map_node *map_find(const struct map *m, uint64_t hash, map_is_f *is, const void *wanted)
{
	if (!m->n)
		return NULL;
	for (struct map_node *node = *bucket(m, hash); node; node = node->next)
		if (node->hash == hash && is(node, wanted))
			return node;
	return NULL;
}

void map_insert(struct map *m, struct map_node *node, uint64_t hash)
{
	struct map_node **b;

	if (m->n >= m->room)
		grow(m);
	b = bucket(m, hash);
	node->hash = hash;
	node->next = *b;
	*b = node;
	m->n++;
}

void map_remove(struct map *m, struct map_node *node)
{
	struct map_node **at = bucket(m, node->hash);

	while (*at && *at != node)
		at = &(*at)->next;
	CHECK_THAT(*at == node);
	*at = node->next;
	node->next = NULL;
	m->n--;
}

struct map_node *map_next(const struct map *m, const struct map_node *node)
{
	size_t i = 0;

	if (node) {
		if (node->next)
			return node->next;
		i = (node->hash & (m->room - 1)) + 1;
	}
	for (; i < m->room; i++)
		if (m->buckets[i])
			return m->buckets[i];
	return NULL;
}
