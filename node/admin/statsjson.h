/* statsjson: the state of a node as one JSON object, for `pmcachectl stats` and /stats.json.
 *
 *     {"node":"edge1","version":"0.1.0","boot":"0123456789abcdef","time":"2026-11-23T13:00:00.000Z","uptime_s":12,"loops":2,
 *      "memory":{"used_bytes":1,"limit_bytes":2,"objects":3},"ca_not_after":"2036-11-20T13:00:00.000Z",
 *      "hits":4,"hit_ratio":0.8000,"byte_hit_ratio":0.7512,"tally":{…},"hosts":[…],"other_hosts":{…},"classes":[…],
 *      "counters":{"connections_total":5, ...}}
 *
 * hits          answers that cost no body from an origin: memory, joined, revalidated, stale
 * hit_ratio      hits of hits and misses; bypasses, tunnels, denials and errors do not count; null before the first
 * byte_hit_ratio body bytes from the cache, of these and the body bytes received from origins; null before the first
 * tally          where answers came from, one source for each (record/tally.h)
 * hosts …        record/hosttally.h: at most HOSTTALLY_SHOWN, other_hosts, classes
 * counters       every line of METRIC_TABLE under its name, summed over the loops */
#ifndef NODE_ADMIN_STATSJSON_H
#define NODE_ADMIN_STATSJSON_H

#include <stddef.h>
#include <stdint.h>

#include "node/base/clock.h"
#include "node/base/metric.h"
#include "node/base/span.h"
#include "node/record/hosttally.h"

/* Room for the whole, with a node name of up to 255 bytes. */
#define STATSJSON_MAX (16384 + HOSTTALLY_JSON_MAX)

/* What is not a counter. Strings are borrowed. */
struct statsjson_gauges {
	const char *node, *version;
	uint64_t boot;      /* of the process, random */
	wall_ms now, began; /* when the node started; of metricstext.h only */
	dur_ms uptime;
	unsigned loops;
	uint64_t memory_used_bytes, memory_limit_bytes, objects;
	wall_ms ca_not_after;           /* 0: no CA; null in the text */
	struct hosttally *const *hosts; /* of all loops */
	size_t n_hosts;                 /* 0: nothing is said of hosts; of statsjson alone, as the line above */
};

/* Sums one counter over the rows of all loops. Any thread. */
uint64_t statsjson_sum(const struct metrics *const *rows, size_t n, enum metric id);

/* The object and a line's end. */
void statsjson_put(struct buf *, const struct metrics *const *rows, size_t n, const struct statsjson_gauges *);

#endif
