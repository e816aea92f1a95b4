/* history: what the node counted in its last hour: some counters as they stood, a row a minute, for the page's charts.
 *
 *     {"interval_s":60,"columns":["time","local_hit",…,"client_bytes",…],"rows":[[1795441498122,4,…,9000],…]}
 *
 * time is in milliseconds since 1970; then the sources of TALLY_TABLE, and bytes. The oldest row comes first; the last is of the
 * moment of asking. What happened between two rows is their difference. The rows are the ledger's. */
#ifndef NODE_ADMIN_HISTORY_H
#define NODE_ADMIN_HISTORY_H

#include "node/admin/ledger.h"
#include "node/base/span.h"

#define HISTORY_MAX ((size_t)32 * 1024) /* room for the whole, whatever the counts */

/* The object and a line's end. */
void history_put(struct buf *, struct ledger *);

#endif
