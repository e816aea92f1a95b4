/* index_internal: what the files of the index share. Nobody else includes it.
 *
 *     index.c        looking up, beginning, publishing
 *     index_peek.c   what other nodes may know
 *     index_purge.c  what leaves it, or is stale from now on
 */
#ifndef NODE_CACHE_INDEX_INTERNAL_H
#define NODE_CACHE_INDEX_INTERNAL_H

#include <pthread.h>
#include <stddef.h>

#include "node/cache/index.h"

struct shard {
	pthread_mutex_t lock;
	struct map published, pending;
	char apart[24]; /* two shards do not share a cache line */
};

struct index {
	unsigned magic;
	index_on_removed_f *on_removed;
	void *cookie;
	struct shard shards[INDEX_PARTS];
};

#define INDEX_MAGIC 0x17de8a55

/* What map_find is asked for. */
struct index_wanted {
	const struct key *key;
	const struct key_variant *variant; /* NULL: any */
	const struct key_credential *who;  /* pending only; NULL: any */
};

static inline struct entry *index__entry_of(struct map_node *node)
{
	return (struct entry *)(void *)((char *)node - offsetof(struct entry, node));
}

static inline const struct entry *index__const_entry_of(const struct map_node *node)
{
	return (const void *)((const char *)node - offsetof(struct entry, node));
}

bool index__is_wanted(const struct map_node *, const void *wanted);
/* From the half of a key that other nodes give; not from the bytes that the maps hash by. */
unsigned index__shard_number(const uint8_t key[INDEX_PEEK_KEY_BYTES]);
struct shard *index__shard_of(struct index *, const struct key *);

/* Under the lock; the index's reference passes to the caller, who gives it to index__removed after the lock. */
void index__take_out(struct shard *, struct entry *);
void index__removed(struct index *, struct entry *);
/* Under the lock; harmless when it is not pending (any more). */
void index__leave_pending(struct shard *, struct entry *);

#endif
