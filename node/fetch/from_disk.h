/* from_disk: what is on this node's own disk, brought back into the index before anybody else is asked.
 *
 * An object that memory takes is read whole, and published in the memory tier once all its sums have proven good: so a damaged one is a miss,
 * and nobody has seen a byte of it. A larger one, and a small one that is not worth it (cache/store.h: is_worth), is published as it lies
 * there, checked and its file open: it is read, and each piece of it checked, when it is sent (cache/reader.h). Whether it is fresh is
 * for the request to see, as with anything that is published.
 *
 * On the fetcher's loop. */
#ifndef NODE_FETCH_FROM_DISK_H
#define NODE_FETCH_FROM_DISK_H

#include "node/fetch/flight.h"

/* Without waiting: the published entry for this request, with a reference. NULL: nothing there; or not in the page cache, or to be read
 * into memory but not at once: a flight will (flight_start looks there first). */
struct entry *from_disk_now(const struct fetcher *, const struct index_ask *, uint64_t memory_max_object);

/* One that is read from its file, as index_lookup and entry_look gave it, asked for again: an entry in memory in its place, with a reference.
 * NULL: it is as well where it is. */
struct entry *from_disk_again(const struct fetcher *, struct entry *, const struct entry_view *,
			      uint64_t memory_max_object);

/* An entry over the file alone, published; `pending`: whose place it takes, or NULL. With a reference. NULL: it was purged meanwhile. */
struct entry *from_disk_entry(const struct fetcher *, struct disk_file *, struct entry *pending);

/* A published response is kept on the disk, too, if there is one, and as far as it can keep up. */
void from_disk_keep(const struct fetcher *, struct entry *);

/* All variants of a key, in memory and on disk. How many went. */
unsigned from_disk_purge(const struct fetcher *, const struct key *);

#endif
