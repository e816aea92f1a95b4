/* pool: idle links of one loop, by origin.
 *
 * The link used last is given first (it is the least likely to have been closed). An idle link that becomes readable has been
 * closed by the origin, or says something unasked: either way it goes. Links idle for longer than `idle` go too, and when
 * there are more than `most`, the oldest. Belongs to its loop's thread. */
#ifndef NODE_LINK_POOL_H
#define NODE_LINK_POOL_H

#include "node/link/link.h"

struct pool *pool_new(struct loop *, size_t most, dur_ms idle);
void pool_free(struct pool *); /* closes all */

/* A link to this origin, owned by the caller; NULL: none idle. */
struct link *pool_take(struct pool *, const char *origin);
/* Takes the link, whose last exchange has ended cleanly. */
void pool_give(struct pool *, struct link **);
/* After a reload that changes how origins are dialled. */
void pool_clear(struct pool *);
size_t pool_idle(const struct pool *);

#endif
