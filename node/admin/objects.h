/* objects: the largest and the hottest of what memory holds.
 *
 *     {"urls":true,"as_of":"2026-11-23T13:00:00.000Z","objects":1200,
 *      "largest":[{"host":"registry.test","url":"https://registry.test/a.tgz","type":"application/gzip","bytes":1000500,"hits":3},…],
 *      "hottest":[…]}
 *
 * bytes    what it costs in memory, chunks and all;  hits  how often it was served from here, since it is here
 * as_of    null, and nothing is listed, before the first walk has ended
 * url      without query, cut; null unless asked for with URLs
 *
 * Nothing is counted for it while objects are served: who looks starts a walk over the memory tier, in slices of a few microseconds under
 * the store's lock, which no hit takes; the next not before OBJECTS_EVERY, and not before
 * 50 times as long has passed as this one took: with very many objects what is said is that old. Belongs to its
 * loop's thread. */
#ifndef NODE_ADMIN_OBJECTS_H
#define NODE_ADMIN_OBJECTS_H

#include "node/base/span.h"
#include "node/cache/store.h"
#include "node/net/loop.h"

struct objects;

#define OBJECTS_LISTED 20
#define OBJECTS_EVERY (2 * DUR_SECOND)
#define OBJECTS_URL_BYTES 300
#define OBJECTS_JSON_MAX ((size_t)256 * 1024) /* room for the whole, whatever was stored */

/* Borrows both; `store` is one of store_mem.h. */
struct objects *objects_new(struct loop *, struct store *);
void objects_free(struct objects *); /* harmless on NULL */

/* The object and a line's end, of the last walk; begins one when that is too old. */
void objects_put(struct objects *, struct buf *, bool urls);

#endif
