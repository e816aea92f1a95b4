/* recall: is what is stored for good still there at its origin?
 *
 * An immutable file is never asked for again by its class, so nothing would tell that its origin has withdrawn it, or put other bytes under
 * its name. So a hit may begin a recheck in the background: one conditional GET that costs a head, at most one per object in
 * cache.recall_after (a week) and one per RECALL_SPACING of the whole node, spread by the object's key. None for what has no
 * validator, is guarded, or was asked for with a credential; none with cache.recall: keep, and none offline.
 *
 *     304, or 200 with the same strong ETag and length    still the same: the clock starts anew
 *     404, 410                                            recalled
 *     200 with another length or another told SHA-256     recalled
 *     any other 200                                       nothing: left alone for as long
 *     anything else                                       nothing: asked again in a day, if it is used
 *
 * What is recalled is served on with `detail=recalled` (warn), or forgotten (quarantine), so that the next request gets what the origin says
 * now. Either way there is a warning in the log, and it is counted. Marks live as long as the process does, at most RECALL_MOST of
 * them. */
#ifndef NODE_FETCH_RECALL_H
#define NODE_FETCH_RECALL_H

#include "node/fetch/flight.h"

#define RECALL_MOST 16384
#define RECALL_SPACING (1 * DUR_SECOND)
#define RECALL_AGAIN (1 * DUR_DAY) /* after no verdict */

struct recalls;

/* Shared by all loops, with a lock of its own. */
struct recalls *recalls_new(void);
void recalls_free(struct recalls *);

/* Has it been found recalled? No lock while nothing has. NULL: no. */
bool recall_is_marked(struct recalls *, const struct key *);

/* Is it time, by the age of what is stored alone? Cheap: for every hit of what is good for ever. */
bool recall_is_due(const struct key *, const struct head *, const struct policy_cache *, mono_us now);
/* It is: begins a recheck of `ask->stale`, complete and good for ever, unless one of the rules above forbids it. `ask` as for
 * flight_start, with no entry yet. */
void recall_hit(const struct fetcher *, struct flight_ask *ask, const struct head *);

/* reception.c: what the recheck has brought. recall_judge ends the flight. */
void recall_confirmed(struct flight *);
void recall_judge(struct flight *, const struct http1_response *);

#endif
