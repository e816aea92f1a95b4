/* from_disk: what is on this node's own disk, brought back into the index before anybody else is asked.
 *
 * An object is read whole, and published in the memory tier once all its sums have proven good: so a damaged one is a miss, and nobody has
 * seen a byte of it. Whether it is fresh is for the request to see, as with anything that is published. What is too large for memory is not
 * on the disk either.
 *
 * On the fetcher's loop. */
#ifndef NODE_FETCH_FROM_DISK_H
#define NODE_FETCH_FROM_DISK_H

#include "node/fetch/flight.h"

/* Without waiting: the published entry for this request, with a reference. NULL: nothing there; or not in the page cache or too large to
 * be read at once: a flight will (flight_start looks there first). */
struct entry *from_disk_now(const struct fetcher *, const struct index_ask *);

/* A published response is kept on the disk, too, if there is one, and as far as it can keep up. */
void from_disk_keep(const struct fetcher *, struct entry *);

/* All variants of a key, in memory and on disk. How many went. */
unsigned from_disk_purge(const struct fetcher *, const struct key *);

#endif
