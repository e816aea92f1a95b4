/* listing: the URLs of what is stored and is for everybody, by host, prefix, class, or all of it.
 *
 *     {"urls":["https://registry.test/a.tgz",…]}
 *
 * As store-ids (storeid.h), in no order; one that is in memory and on the disk, or is there in several variants, is named more than once.
 * Only answers with status 200, complete, not guarded; whether one is fresh is not looked at.
 *
 * A walk over memory in slices, as objects.h has it, then over the disk on a worker. On the loop's thread. */
#ifndef NODE_ADMIN_LISTING_H
#define NODE_ADMIN_LISTING_H

#include "node/cache/disk.h"
#include "node/cache/store.h"
#include "node/net/loop.h"
#include "node/net/work.h"
#include "proto/purgerec.h"

struct listing;

struct listing_ground {
	struct loop *loop;
	struct store *store; /* one of store_mem.h */
	struct disk *disk;   /* NULL: there is none; work is not used then */
	struct work *work;
};

/* json is borrowed; or there is none, and why says so. The listing is gone. */
typedef void listing_on_done_f(void *cookie, struct span json, const char *why);

/* `value` as an operator says it (purge.h). NULL with a sentence in *why. Never calls back before it returns. */
struct listing *listing_start(const struct listing_ground *, enum purgerec_kind, struct span value, listing_on_done_f *,
			      void *cookie, const char **why);
/* Clears *l; harmless on NULL inside. */
void listing_cancel(struct listing **l);

#endif
