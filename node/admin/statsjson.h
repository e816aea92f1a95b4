/* statsjson: the state of a node as one JSON object, for `pmcachectl stats` and /stats.json.
 *
 *     {"node":"edge1","version":"0.1.0","boot":"0123456789abcdef","time":"2026-11-23T13:00:00.000Z","uptime_s":12,"loops":2,
 *      "memory":{"used_bytes":1,"limit_bytes":2,"objects":3},
 *      "disk":{"used_bytes":1,"limit_bytes":2,"objects":3, ...},"ca_not_after":"2036-11-20T13:00:00.000Z",
 *      "hits":4,"hit_ratio":0.8000,"byte_hit_ratio":0.7512,"tally":{…},"hosts":[…],"other_hosts":{…},"classes":[…],
 *      "counters":{"connections_total":5, ...}}
 *
 * hits          answers that cost no body from an origin: memory, joined, revalidated, stale
 * hit_ratio      hits of hits and misses; bypasses, tunnels, denials and errors do not count; null before the first
 * byte_hit_ratio body bytes from the cache, of these and the body bytes received from origins; null before the first
 * disk           every line of STATSJSON_DISK_TABLE; null: there is no tier on disk
 * tally          where answers came from, one source for each (record/tally.h)
 * hosts …        record/hosttally.h: at most HOSTTALLY_SHOWN, other_hosts, classes
 * counters       every line of METRIC_TABLE under its name, summed over the loops */
#ifndef NODE_ADMIN_STATSJSON_H
#define NODE_ADMIN_STATSJSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/base/clock.h"
#include "node/base/metric.h"
#include "node/base/span.h"
#include "node/cache/disk.h"
#include "node/record/hosttally.h"

/* Room for the whole, with a node name of up to 255 bytes. */
#define STATSJSON_MAX (16384 + HOSTTALLY_JSON_MAX)

/* Of the tier on disk: name in JSON, name of the metric, what it is, and where struct disk_counts c has it. */
#define STATSJSON_DISK_TABLE(X)                                                                                        \
	X("used_bytes", "disk_store_bytes", "disk that stored responses take, index included", c->used)                \
	X("limit_bytes", "disk_store_limit_bytes", "disk that they may take (cache.disk.size)", c->size)               \
	X("objects", "disk_store_objects", "stored responses on disk", c->objects)                                     \
	X("free_bytes", "disk_store_free_bytes", "what its file system has left", c->free_on_disk)                     \
	X("floor_bytes", "disk_store_floor_bytes", "what has to stay free there (cache.disk.min_free)", c->floor)      \
	X("loading", "disk_store_loading", "1 while what lies there is compared with the index, after a start",        \
	  c->loading)                                                                                                  \
	X("read_only", "disk_store_read_only", "1 while nothing can be written", c->read_only)                         \
	X("writes", "disk_writes_total", "responses written to disk", c->writes)                                       \
	X("dropped_writes", "disk_writes_dropped_total",                                                               \
	  "responses not written, or not to the end: no room, errors lately, too much to be written",                  \
	  c->dropped_writes)                                                                                           \
	X("dropped_busy", "disk_writes_dropped_busy_total", "of these, as too much waited to be written",              \
	  c->dropped_busy)                                                                                             \
	X("write_errors", "disk_write_errors_total", "errors of the disk while writing", c->write_failures)            \
	X("read_errors", "disk_read_errors_total", "errors of the disk while reading", c->read_failures)               \
	X("evicted", "disk_evicted_total", "responses evicted from disk", c->evicted)                                  \
	X("quarantined", "disk_quarantined_total", "stored responses found damaged and put aside", c->quarantined)

/* What is not a counter. Strings are borrowed. */
struct statsjson_gauges {
	const char *node, *version;
	uint64_t boot;      /* of the process, random */
	wall_ms now, began; /* when the node started; of metricstext.h only */
	dur_ms uptime;
	unsigned loops;
	uint64_t memory_used_bytes, memory_limit_bytes, objects;
	const struct disk_counts *disk; /* NULL: there is no tier on disk */
	wall_ms ca_not_after;           /* 0: no CA; null in the text */
	struct hosttally *const *hosts; /* of all loops */
	size_t n_hosts;                 /* 0: nothing is said of hosts; of statsjson alone, as the line above */
};

/* Sums one counter over the rows of all loops. Any thread. */
uint64_t statsjson_sum(const struct metrics *const *rows, size_t n, enum metric id);

/* By the name of a metric: does it only grow? A gauge does not. */
bool statsjson_is_counter(const char *metric);

/* Parts of the object: from "hits" to "tally"; "counters", with or without gauges. */
void statsjson_put_ratios(struct buf *, const struct metrics *const *rows, size_t n);
void statsjson_put_counters(struct buf *, const struct metrics *const *rows, size_t n, bool gauges);
/* The object and a line's end. */
void statsjson_put(struct buf *, const struct metrics *const *rows, size_t n, const struct statsjson_gauges *);

#endif
