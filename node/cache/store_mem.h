/* store_mem: the memory tier: chunks of entries, counted exactly, evicted by a policy.
 *
 * A hit costs the store nothing: it adds to the entry's atomic count of hits. Only when room is needed is the entry of the least
 * weight taken from the line, weighed anew with the hits it has had, and put back if that has made it worth more. */
#ifndef NODE_CACHE_STORE_MEM_H
#define NODE_CACHE_STORE_MEM_H

#include "node/cache/evict.h"
#include "node/cache/index.h"
#include "node/cache/store.h"

/* Of entries whose body is in a file of the disk tier there are so many at the most: each keeps a file open. The one that has been asked for
 * least recently goes first; its object stays on the disk. */
#define STORE_MEM_FILES 2048

/* The index that entries are taken from when they are evicted has to be given before the first reserve. */
struct store *store_mem_new(uint64_t size_bytes, const struct evict_policy *);
void store_mem_set_index(struct store *, struct index *);
/* After a reload: all that is kept is weighed anew; no hit waits for it, but fills do. */
void store_mem_set_policy(struct store *, const struct evict_policy *);

/* A look at what is kept: at most n entries, from place *at of the line on (0: the first), which moves on; each in a call under the store's
 * lock, with what it costs and how often it was served: for comparing and entry_ref, no more. False: there are no more. Between two calls
 * entries may come, go and move: who walks all may miss some, and meet some twice. Any thread. */
typedef void store_mem_each_f(void *cookie, struct entry *, uint64_t bytes, uint64_t hits);
bool store_mem_walk(struct store *, size_t *at, size_t n, store_mem_each_f *, void *cookie);

#endif
