#include "node/admin/statsjson.h"

#include "node/base/json.h"

uint64_t statsjson_sum(const struct metrics *const *rows, size_t n, enum metric id)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += metric_read(rows[i], id); /* a gauge may be negative in one row; modulo 2^64 the sum is right */
	return sum;
}

static void put_u64(struct buf *b, struct span before, uint64_t v)
{
	buf_put(b, before);
	buf_put_u64(b, v);
}

/* part/whole with four digits; null when there is no whole. */
static void put_ratio(struct buf *b, struct span before, uint64_t part, uint64_t whole)
{
	uint64_t v;

	buf_put(b, before);
	if (!whole) {
		buf_put(b, SPAN("null"));
		return;
	}
	while (whole > UINT64_MAX / 20000) { /* so that part * 10000 stays below 2^64 */
		part /= 2;
		whole /= 2;
	}
	v = (part * 10000 + whole / 2) / whole;
	buf_printf(b, "%u.%04u", (unsigned)(v / 10000), (unsigned)(v % 10000));
}

static void put_counters(struct buf *b, const struct metrics *const *rows, size_t n)
{
	buf_put(b, SPAN(",\"counters\":{"));
	for (int i = 0; i < METRIC_COUNT; i++) {
		if (i)
			buf_putc(b, ',');
		json_put_string(b, span_str(metric_name((enum metric)i)));
		buf_putc(b, ':');
		buf_put_u64(b, statsjson_sum(rows, n, (enum metric)i));
	}
	buf_putc(b, '}');
}

void statsjson_put(struct buf *b, const struct metrics *const *rows, size_t n, const struct statsjson_gauges *g)
{
	uint64_t hits = statsjson_sum(rows, n, METRIC_HITS_MEMORY) + statsjson_sum(rows, n, METRIC_HITS_JOINED) +
			statsjson_sum(rows, n, METRIC_HITS_REVALIDATED) + statsjson_sum(rows, n, METRIC_HITS_STALE);
	uint64_t misses = statsjson_sum(rows, n, METRIC_MISSES);
	uint64_t from_cache = statsjson_sum(rows, n, METRIC_BYTES_FROM_CACHE);
	uint64_t from_origins = statsjson_sum(rows, n, METRIC_UPSTREAM_BYTES);

	buf_put(b, SPAN("{\"node\":"));
	json_put_string(b, span_str(g->node));
	buf_put(b, SPAN(",\"version\":"));
	json_put_string(b, span_str(g->version));
	buf_put(b, SPAN(",\"time\":"));
	json_put_time(b, g->now);
	put_u64(b, SPAN(",\"uptime_s\":"), (uint64_t)(g->uptime / DUR_SECOND));
	put_u64(b, SPAN(",\"loops\":"), g->loops);
	put_u64(b, SPAN(",\"memory\":{\"used_bytes\":"), g->memory_used_bytes);
	put_u64(b, SPAN(",\"limit_bytes\":"), g->memory_limit_bytes);
	put_u64(b, SPAN(",\"objects\":"), g->objects);
	buf_put(b, SPAN("},\"ca_not_after\":"));
	if (g->ca_not_after)
		json_put_time(b, g->ca_not_after);
	else
		buf_put(b, SPAN("null"));
	put_u64(b, SPAN(",\"hits\":"), hits);
	put_ratio(b, SPAN(",\"hit_ratio\":"), hits, hits + misses);
	put_ratio(b, SPAN(",\"byte_hit_ratio\":"), from_cache, from_cache + from_origins);
	put_counters(b, rows, n);
	buf_put(b, SPAN("}\n"));
}
