/* disk_search: disk_find_start for one who may leave before the answer comes. On his loop. */
#ifndef NODE_CACHE_DISK_SEARCH_H
#define NODE_CACHE_DISK_SEARCH_H

#include "node/cache/disk.h"

struct disk_search;

/* The callback as disk_find_start has it; the search is gone by then. NULL: the workers have too much to do. */
struct disk_search *disk_search_start(struct disk *, const struct index_ask *, struct loop *, disk_on_found_f *,
				      void *cookie);
/* The callback does not come any more. Clears *s; harmless on NULL inside. */
void disk_search_end(struct disk_search **s);

#endif
