/* store: where complete responses are kept, and how much room there is.
 *
 * A tier is a row of functions. A fill reserves before it appends; what cannot be reserved, even after evicting all that may go,
 * goes by unstored. */
#ifndef NODE_CACHE_STORE_H
#define NODE_CACHE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "node/cache/entry.h"

struct store;

struct store_counts {
	uint64_t used, size; /* bytes, fills included */
	uint64_t entries, evicted;
	uint64_t open_files; /* of the entries: those whose body is in a file of the disk tier */
};

struct store_ops {
	const char *name;
	/* Room for so many more bytes, now; evicts. False: there is none. Any thread. */
	bool (*reserve)(struct store *, uint64_t bytes);
	void (*release)(struct store *, uint64_t bytes);
	/* A published entry is kept; the `reserved` bytes of its fill pass to it. Shares the entry. */
	void (*keep)(struct store *, struct entry *, uint64_t reserved);
	/* It has left the index. Harmless when it is not kept here. */
	void (*drop)(struct store *, struct entry *);
	/* Something of so many bytes, not kept here, is asked for: is it worth a place? Yes when there is room that nobody has to go for, or
	 * when it was asked for before, and since then not so many others that it would have had to go again. *asked remembers (0: never,
	 * or nobody knows). Any thread. */
	bool (*is_worth)(struct store *, uint64_t bytes, _Atomic uint64_t *asked);
	void (*set_size)(struct store *, uint64_t bytes); /* after a reload */
	struct store_counts (*counts)(struct store *);
	void (*free)(struct store *);
};

struct store {
	const struct store_ops *ops;
};

#endif
