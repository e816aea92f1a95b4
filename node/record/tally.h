/* tally: where the answers to clients came from, and what the cluster saved.
 *
 * Every request of a client has exactly one source; those that could not come from any cache (bypass), that failed, and tunnels are left out of
 * ratios. With R eligible requests, of which U needed an origin (directly or by a parent's fetch):
 *
 *     local     what this node had, or was fetching already
 *     sibling   from a sibling, whole or still growing
 *     parent    a parent had it, or was fetching it already
 *     upstream  U
 *
 * each as a part of R; they sum to 1. The cluster's hit ratio is 1 - U/R over the sums of all nodes: node-to-node traffic comes in at
 * another port and is counted apart, so nothing counts twice. Bytes alike: what clients got, what origins gave. That one may be negative,
 * when ranges cause whole fetches. */
#ifndef NODE_RECORD_TALLY_H
#define NODE_RECORD_TALLY_H

#include <stddef.h>
#include <stdint.h>

#include "node/base/metric.h"
#include "node/base/span.h"

#define TALLY_TABLE(X)                                                                                                 \
	X(LOCAL_HIT, "local_hit", HITS_MEMORY)                                                                         \
	X(DISK_HIT, "disk_hit", HITS_DISK)                                                                             \
	X(LOCAL_JOIN, "local_join", HITS_JOINED)                                                                       \
	X(REVALIDATED, "revalidated", HITS_REVALIDATED)                                                                \
	X(STALE, "stale", HITS_STALE)                                                                                  \
	X(SIBLING_HIT, "sibling_hit", HITS_SIBLING)                                                                    \
	X(SIBLING_STREAM, "sibling_stream", STREAMS_SIBLING)                                                           \
	X(PARENT_HIT, "parent_hit", HITS_PARENT)                                                                       \
	X(PARENT_JOIN, "parent_join", JOINS_PARENT)                                                                    \
	X(PARENT_MISS, "parent_miss", MISSES_PARENT)                                                                   \
	X(DIRECT, "direct", MISSES)                                                                                    \
	X(BYPASS, "bypass", BYPASSES)                                                                                  \
	X(ERROR, "error", ERRORS)                                                                                      \
	X(DENIED, "denied", DENIED)                                                                                    \
	X(TUNNEL, "tunnel", TUNNELS)

enum tally_source {
#define X(id, word, metric) TALLY_##id,
	TALLY_TABLE(X)
#undef X
		TALLY_SOURCES
};

struct tally {
	uint64_t v[TALLY_SOURCES];
	uint64_t eligible;               /* R */
	uint64_t local, sibling, parent; /* of these */
	uint64_t upstream;               /* U */
	uint64_t client_bytes;           /* sent to clients */
	uint64_t fetches, fetched_bytes; /* of this node at origins */
	uint64_t sibling_bytes, parent_bytes;
};

void tally_of(const struct metrics *const *rows, size_t n, struct tally *out);
const char *tally_word(enum tally_source);

/* {"eligible":…,"sources":{"local_hit":…},"local":0.5,"sibling":…,"parent":…,"upstream":…,"client_bytes":…,"fetches":…,…}; the ratios are
 * null before the first eligible request. Without a line's end. */
void tally_put_json(struct buf *, const struct tally *);

#endif
