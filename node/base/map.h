/* map: a hash table of nodes embedded in their owners.
 *
 * Chained, doubles when full. The caller brings hashes that strangers cannot steer (from a salted digest or a seeded
 * hash). Not thread-safe: its owner has the lock or the loop. */
#ifndef NODE_BASE_MAP_H
#define NODE_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_node {
	struct map_node *next;
	uint64_t hash;
};

struct map {
	struct map_node **buckets; /* a power of two of them, or none yet */
	size_t n, room;
};

/* True when `node` is the one that `wanted` describes. */
typedef bool map_is_f(const struct map_node *node, const void *wanted);

/* A zeroed struct is an empty map. */
void map_fini(struct map *); /* forgets the nodes */
struct map_node *map_find(const struct map *, uint64_t hash, map_is_f *, const void *wanted);
void map_insert(struct map *, struct map_node *, uint64_t hash);
void map_remove(struct map *, struct map_node *); /* must be in it */

/* A walk in no order: map_next(m, NULL) is the first, NULL after the last. The node returned may be removed (and freed) only
 * after the following map_next call. */
struct map_node *map_next(const struct map *, const struct map_node *);

#endif
