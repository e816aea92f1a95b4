#include "node/admin/statsjson.h"

#include "node/base/json.h"
#include "node/record/tally.h"

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

bool statsjson_is_counter(const char *metric)
{
	return span_ends(span_str(metric), SPAN("_total"));
}

void statsjson_put_counters(struct buf *b, const struct metrics *const *rows, size_t n, bool gauges)
{
	bool first = true;

	buf_put(b, SPAN("\"counters\":{"));
	for (int i = 0; i < METRIC_COUNT; i++) {
		const char *name = metric_name((enum metric)i);

		if (!gauges && !statsjson_is_counter(name))
			continue;
		if (!first)
			buf_putc(b, ',');
		first = false;
		json_put_string(b, span_str(name));
		buf_putc(b, ':');
		buf_put_u64(b, statsjson_sum(rows, n, (enum metric)i));
	}
	buf_putc(b, '}');
}

static void put_disk(struct buf *b, const struct disk_counts *c)
{
	buf_put(b, SPAN(",\"disk\":"));
	if (!c) {
		buf_put(b, SPAN("null"));
		return;
	}
	buf_putc(b, '{');
#define X(name, metric, help, value) put_u64(b, SPAN("\"" name "\":"), value), buf_putc(b, ',');
	STATSJSON_DISK_TABLE(X)
#undef X
	b->p[b->n - 1] = '}';
}

/* Misses of this node that another one of the cluster answered. */
static uint64_t from_nodes(const struct metrics *const *rows, size_t n)
{
	static const enum metric all[] = {METRIC_HITS_SIBLING, METRIC_STREAMS_SIBLING, METRIC_HITS_PARENT,
					  METRIC_JOINS_PARENT, METRIC_MISSES_PARENT};
	uint64_t sum = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		sum += statsjson_sum(rows, n, all[i]);
	return sum;
}

void statsjson_put_ratios(struct buf *b, const struct metrics *const *rows, size_t n)
{
	uint64_t hits = statsjson_sum(rows, n, METRIC_HITS_MEMORY) + statsjson_sum(rows, n, METRIC_HITS_DISK) +
			statsjson_sum(rows, n, METRIC_HITS_JOINED) + statsjson_sum(rows, n, METRIC_HITS_REVALIDATED) +
			statsjson_sum(rows, n, METRIC_HITS_STALE);
	uint64_t misses = statsjson_sum(rows, n, METRIC_MISSES) + from_nodes(rows, n);
	uint64_t from_cache = statsjson_sum(rows, n, METRIC_BYTES_FROM_CACHE);
	uint64_t from_origins = statsjson_sum(rows, n, METRIC_UPSTREAM_BYTES);
	struct tally tally;

	put_u64(b, SPAN("\"hits\":"), hits);
	buf_put(b, SPAN(",\"hit_ratio\":"));
	json_put_ratio(b, hits, hits + misses);
	buf_put(b, SPAN(",\"byte_hit_ratio\":"));
	json_put_ratio(b, from_cache, from_cache + from_origins);
	tally_of(rows, n, &tally);
	buf_put(b, SPAN(",\"tally\":"));
	tally_put_json(b, &tally);
}

void statsjson_put(struct buf *b, const struct metrics *const *rows, size_t n, const struct statsjson_gauges *g)
{
	buf_put(b, SPAN("{\"node\":"));
	json_put_string(b, span_str(g->node));
	buf_put(b, SPAN(",\"version\":"));
	json_put_string(b, span_str(g->version));
	buf_printf(b, ",\"boot\":\"%016llx\"", (unsigned long long)g->boot);
	buf_put(b, SPAN(",\"time\":"));
	json_put_time(b, g->now);
	put_u64(b, SPAN(",\"uptime_s\":"), (uint64_t)(g->uptime / DUR_SECOND));
	put_u64(b, SPAN(",\"loops\":"), g->loops);
	put_u64(b, SPAN(",\"memory\":{\"used_bytes\":"), g->memory_used_bytes);
	put_u64(b, SPAN(",\"limit_bytes\":"), g->memory_limit_bytes);
	put_u64(b, SPAN(",\"objects\":"), g->objects);
	buf_putc(b, '}');
	put_disk(b, g->disk);
	buf_put(b, SPAN(",\"ca_not_after\":"));
	if (g->ca_not_after)
		json_put_time(b, g->ca_not_after);
	else
		buf_put(b, SPAN("null"));
	buf_putc(b, ',');
	statsjson_put_ratios(b, rows, n);
	if (g->n_hosts) {
		buf_putc(b, ',');
		hosttally_put_json(b, g->hosts, g->n_hosts);
	}
	buf_putc(b, ',');
	statsjson_put_counters(b, rows, n, true);
	buf_put(b, SPAN("}\n"));
}
