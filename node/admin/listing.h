/* listing: the URLs of what is stored and is for everybody, by host, prefix, class, or all of it.
 *
 *     {"urls":["https://registry.test/a.tgz",…],"cut":null}
 *
 * As store-ids (storeid.h), in no order; one that is in memory and on the disk, or is there in several variants, is named more than once.
 * Only answers with status 200, complete, not guarded; whether one is fresh is not looked at.
 * cut  null: all that was stored from the begin to the end of it is named; or why it is not: who reads it has to take it for a failure
 *
 * A walk over memory, part by part, then over the disk on a worker. It is given away in pieces while it grows, so that neither its size nor the
 * time that it takes has a limit; what is found and not taken yet has one. On the loop's thread. */
#ifndef NODE_ADMIN_LISTING_H
#define NODE_ADMIN_LISTING_H

#include "node/admin/control.h"
#include "node/cache/disk.h"
#include "node/cache/index.h"
#include "node/net/loop.h"
#include "node/net/work.h"
#include "proto/purgerec.h"

struct listing;

struct listing_ground {
	struct loop *loop;
	struct index *index;
	struct disk *disk; /* NULL: there is none; work is not used then */
	struct work *work;
	size_t room; /* bytes for what is found, and once more for what is being given away */
};

#define LISTING_ROOM ((size_t)32 * 1024 * 1024)
#define LISTING_EVERY (1 * DUR_SECOND) /* a piece comes so often: white space when nothing was found */

/* The next piece, borrowed. After LEFT there are no more of them. */
typedef enum control_piece listing_on_piece_f(void *cookie, struct span json);
/* The last one was taken, or there was nobody left to take it. The listing is gone. */
typedef void listing_on_done_f(void *cookie);

/* `value` as an operator says it (purge.h). NULL with a sentence in *why. Never calls back before it returns. */
struct listing *listing_start(const struct listing_ground *, enum purgerec_kind, struct span value,
			      listing_on_piece_f *, listing_on_done_f *, void *cookie, const char **why);
/* Clears *l; harmless on NULL inside. */
void listing_cancel(struct listing **l);

#endif
