/* history: what the node counted in its last hour: some counters as they stood, a row a minute, for the page's charts.
 *
 *     {"interval_s":60,"columns":["time","local_hit",…,"client_bytes"],"rows":[[1795441498122,4,…,9000],…]}
 *
 * time is in milliseconds since 1970; then the sources of TALLY_TABLE, and bytes. The oldest row comes first; the last is of the
 * moment of asking and is not kept. What happened between two rows is their difference. */
#ifndef NODE_ADMIN_HISTORY_H
#define NODE_ADMIN_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "node/base/clock.h"
#include "node/base/metric.h"
#include "node/base/span.h"
#include "node/record/tally.h"

#define HISTORY_ROWS 60 /* an hour */
#define HISTORY_EVERY DUR_MINUTE
#define HISTORY_MAX ((size_t)32 * 1024) /* room for the whole, whatever the counts */

#define HISTORY_BYTES_TABLE(X)                                                                                         \
	X(CLIENT, "client_bytes", BYTES_TO_CLIENTS)                                                                    \
	X(CACHE, "cache_bytes", BYTES_FROM_CACHE)                                                                      \
	X(SIBLING, "sibling_bytes", SIBLING_BYTES)                                                                     \
	X(PARENT, "parent_bytes", PARENT_BYTES)                                                                        \
	X(UPSTREAM, "upstream_bytes", UPSTREAM_BYTES)

enum history_column {
#define X(id, word, metric) HISTORY_##id,
	TALLY_TABLE(X) HISTORY_BYTES_TABLE(X)
#undef X
		HISTORY_COLUMNS
};

struct history_row {
	wall_ms time;
	uint64_t v[HISTORY_COLUMNS];
};

/* Zeroed: empty. */
struct history {
	struct history_row rows[HISTORY_ROWS];
	size_t next, n;
};

/* The counters as they are now, summed over the rows of all loops. Any thread. */
void history_read(struct history_row *, const struct metrics *const *rows, size_t n, wall_ms now);
/* Copied; the oldest makes room. */
void history_keep(struct history *, const struct history_row *);
/* The object and a line's end. */
void history_put(struct buf *, const struct history *, const struct history_row *now);

#endif
