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
 * No name of a node, host or URL in it: the address scraped tells nodes apart, and anybody on the host may read it. */
#ifndef NODE_ADMIN_METRICSTEXT_H
#define NODE_ADMIN_METRICSTEXT_H

#include <stddef.h>

#include "node/admin/statsjson.h"

#define METRICSTEXT_MAX 16384 /* room for the whole, with a version of up to 255 bytes */
#define METRICSTEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"

void metricstext_put(struct buf *, const struct metrics *const *rows, size_t n, const struct statsjson_gauges *);

#endif
