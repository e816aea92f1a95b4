/* metricstext: the state of a node for Prometheus, in its text format (version 0.0.4).
 *
 *     # HELP pmcache_requests_total requests answered
 *     # TYPE pmcache_requests_total counter
 *     pmcache_requests_total 42
 *
 * Every line of METRIC_TABLE under its name behind "pmcache_", summed over the loops: a counter when the name ends in "_total",
 * else a gauge. Ratios are left to queries. Then what is not a counter, in base units (bytes, seconds since 1970):
 *
 * pmcache_build_info{version}, always 1           pmcache_start_time_seconds
 * pmcache_memory_store_{bytes,limit_bytes,objects} pmcache_ca_not_after_timestamp_seconds, only with a CA
 *
 * In a cluster, behind that, its other nodes. Sums over all members there are now (who leaves takes its part away, which a query sees as a
 * reset), by role, so that their number does not matter:
 *
 *     pmcache_peers{role="edge",state="up"} 3                  every role with every state
 *     pmcache_cluster_asked_keys_total{role="edge"} 812        and what else PEER_TABLE (metricstext.c) has
 *
 * and one by one those METRICSTEXT_WORST that need looking at most: not up first, then by keys unanswered and false hits:
 *
 *     pmcache_peer_up{peer="edge2",role="edge"} 1
 *     pmcache_peer_asked_keys_total{peer="edge2",role="edge"} 812
 *     pmcache_parent_requests_total{parent="parent1"} 90       as their child sees them
 *     pmcache_fellow_requests_total{fellow="parent2"} 4        the same of a parent's fellows
 *
 * No host or URL in it, and no name but of the cluster's nodes: anybody on the host may read it. */
#ifndef NODE_ADMIN_METRICSTEXT_H
#define NODE_ADMIN_METRICSTEXT_H

#include <stddef.h>

#include "node/admin/peersjson.h"
#include "node/admin/statsjson.h"

#define METRICSTEXT_WORST 20
#define METRICSTEXT_NODE_MAX ((size_t)16 * 1024)     /* metricstext_put: with a version of up to 255 bytes */
#define METRICSTEXT_CLUSTER_MAX ((size_t)256 * 1024) /* metricstext_put_cluster: whatever the names and counts */
#define METRICSTEXT_MAX (METRICSTEXT_NODE_MAX + METRICSTEXT_CLUSTER_MAX)
#define METRICSTEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"

void metricstext_put(struct buf *, const struct metrics *const *rows, size_t n, const struct statsjson_gauges *);

/* On the set's thread. */
void metricstext_put_cluster(struct buf *, const struct peersjson_facts *, struct peer_set *,
			     struct parent_set *parents, struct parent_set *fellows);

#endif
